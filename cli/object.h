/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An object file as the commands use it: looked at in a forked child first, then opened, relocated,
 * loaded and attached by libbpf in this process.
 *
 * Rule: libbpf is not robust against every malformed file. Whatever it does to the child, this
 * process only reads a bounded description from a pipe; what it does to this process later happens
 * under guard (guard.h).
 */
#pragma once

#include <bpf/libbpf.h>

#include "btf/btf.h"
#include "cli/opt.h"
#include "cli/spec.h"

#define OBJECT_PROGS_MAX 512
#define OBJECT_NEEDS_MAX 1024

struct object_prog {
	char name[64];
	char section[256];
	u32 type;
	bool optional; /* SEC("?..."): only when --prog names it */
	bool called;   /* an array of programs leads to it */
};

struct object_map {
	char name[64];
	u32 type;
	u32 value_type; /* id in the object's BTF; libbpf forgets it for rings once loaded */
};

/*
 * The object as it is relocated for one file that is probed: its programs read what that file's
 * types are. An object without such relocations has one edition for all files. The maps are the
 * first edition's, but for those that only lead to programs of the same edition.
 */
struct edition {
	struct bpf_object *bpf;
	char *module; /* the file; NULL: none in particular; owned */
	u64 dev, ino;
	struct btf_view types;
	bool loaded;
	bool failed; /* later than the first ones */
};

struct object {
	bool show_log; /* a refusal comes with the verifier's log */
	const char *file;
	u32 nprogs, nneeds;
	struct object_prog progs[OBJECT_PROGS_MAX];
	struct btf_need *needs;
	struct bpf_object *bpf; /* the first edition's */
	struct edition *editions;
	u32 neditions;
	struct attachment *attachments;
	u32 nattachments, attachments_room;
	struct spec_scope scopes[OPT_LIST_MAX]; /* the targets that are known */
	u32 nscopes;
};

/* One program on one place. */
struct attachment {
	u32 prog;    /* index into progs */
	u32 edition; /* index into editions, once opened */
	u32 prog_id; /* of the program there, once loaded */
	struct spec spec;
	struct place place;
	struct bpf_link *link; /* of a glob: NULL */
	int fd;		       /* of a glob's link, one for all its functions; -1: none */
	u32 link_id;	       /* 0: unknown */
	u32 places;	       /* that are probed, where it is attached */
	bool lost;	       /* somebody else detached it */
};
static inline bool attachment_is_on(const struct attachment *a)
{
	return a->link || a->fd >= 0;
}

/* What becomes of functions of a glob that can't be probed: the others are, or none. */
enum object_missing { MISSING_WARN, MISSING_ERROR, MISSING_IGNORE };

/* Options that say how an object's programs are attached; shared by attach, run and check. */
struct object_opts {
	struct opt_list btf;   /* FILE or OBJ=FILE */
	const char *debuginfo; /* folder of separate debug files */
	struct opt_list progs; /* NAME=SPEC */
	const char *missing;   /* error, warn, ignore; NULL: warn */
	struct opt_list calls; /* LIB:FUNC[,signal-safe] */
};
/* Their rows in the table of a command whose configuration of type @config has them as .object. */
/* clang-format off */
#define OBJECT_TYPE_OPTS(config, member)                                                           \
	{0, "btf", "[OBJ=]FILE", OPT_LIST, offsetof(config, member.btf),                           \
	 "types of the target, or of OBJ in it: BTF, or a binary that has them"},                  \
	{0, "debuginfo", "DIR", OPT_STRING, offsetof(config, member.debuginfo),                    \
	 "folder of separate debug files, before /usr/lib/debug"}
#define OBJECT_CALL_OPTS(config, member)                                                           \
	{0, "allow-call", "LIB:FUNC", OPT_LIST, offsetof(config, member.calls),                    \
	 "let programs call FUNC of the target; FUNC,signal-safe: in signal handlers, too"}
#define OBJECT_OPTS(config)                                                                        \
	{0, "prog", "NAME=SPEC", OPT_LIST, offsetof(config, object.progs),                         \
	 "attach program NAME to uprobe:FILE:FUNCTION; may be given again"},                       \
	{0, "missing", "WHAT", OPT_STRING, offsetof(config, object.missing),                       \
	 "functions of a glob that can't be probed: warn, ignore, error"},                         \
	OBJECT_CALL_OPTS(config, object), OBJECT_TYPE_OPTS(config, object)
/* clang-format on */

/* The functions below say what is wrong themselves (out_error) and return 0 or -errno. */

/* Look at @file in a child; *out is the caller's (object_free). */
int object_inspect(const char *file, struct object **out);
void object_free(struct object **obj); /* destroys links, closes the object; NULL-safe */

/* Are the options what they can be? 0, or EXIT_USAGE after a message. */
int object_check_usage(const struct object_opts *opts, const char *command);
/* Does each --prog name a program of one of @objs? */
int object_check_options(struct object *const *objs, u32 nobjs, const struct object_opts *opts);

/* Where each program goes, in each of @scopes. Programs without a place are noted, not refused. */
int object_resolve(struct object *obj, const struct object_opts *opts,
		   const struct spec_scope *scopes, u32 nscopes);

/* @prog goes to @place as well, which it takes over. */
int object_add(struct object *obj, u32 prog, const struct spec *spec, struct place *place);

/* The functions that programs may call, as @scope has them. Before anything is opened. */
int object_allow_calls(const struct object_opts *opts, const struct spec_scope *scope);

/* The same for the program that this process becomes. */
int object_hand_calls_down(const struct object_opts *opts, const struct spec_scope *scope);

/*
 * Open with libbpf, an edition for each resolved file, relocated against that file's types; and
 * load. Both take what isn't open or loaded yet.
 */
int object_open(struct object *obj, const struct object_opts *opts);
int object_load(struct object *obj, const struct object_opts *opts);

enum object_missing object_missing(const struct object_opts *opts);
/* Attach everything that was resolved, in one batch. */
int object_attach(struct object *obj, const struct object_opts *opts);
/*
 * Process @pid has a new program, or other libraries: go to those that are called as what is probed
 * already, and are other files. How many attachments are new, the last ones; a file that can't be
 * probed is said once, and left out.
 */
u32 object_extend(struct object *obj, const struct object_opts *opts, pid_t pid);
/* Detach everything; the targets are restored when this returns. */
int object_detach(struct object *obj);

/* edition.c: an edition for each file that has none yet. */
int editions_assign(struct object *obj);
/* Is anything in it made for one file: a relocated program, or one that is told types? */
bool object_differs_by_file(const struct object *obj);
/* Is program @prog one of edition @edition's? */
bool edition_has_program(const struct object *obj, u32 edition, u32 prog,
			 const struct object_opts *opts);
/* May a program of @section be verified whose target isn't known? */
bool edition_can_relocate(const struct object *obj, const char *section);
/* Where the target's types are: --btf, or @env, the environment's file, where an object needs one.
 */
void edition_ask_for_types(const struct object *obj, const struct object_opts *opts,
			   const char *const *env, struct btf_request *out);
/* Find the types that @edition is relocated against, and see that nothing is missing. */
int edition_find_types(struct object *obj, u32 edition, const struct object_opts *opts);
/* Before @edition is loaded: it works on the first one's maps. */
int edition_share_maps(struct object *obj, u32 edition);
/*
 * relocfail.c: say which relocation it was that @line, of libbpf's, is about, and the line of
 * @source, which may be NULL. @several: there is more than one answer. False: none is named.
 */
bool relo_refuse(const struct object *obj, const struct edition *edition, const char *line,
		 bool several, const char *source);

/* The @nth SPEC that --prog gives for a program, or, where it gives none, its section; then NULL. */
const char *object_spec(const struct object_prog *prog, const struct object_opts *opts, u32 nth);
/* Is the program to be loaded? */
bool object_is_wanted(const struct object_prog *prog, const struct object_opts *opts);

/* Route libbpf's messages: the last lines are kept for errors, printed with -vv. */
void object_capture_libbpf(void);
