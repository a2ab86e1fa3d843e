/* SPDX-License-Identifier: BSD-2-Clause */
/* An object file from its description to its links: see object.h. */
#include "cli/object.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/guard.h"
#include "cli/out.h"
#include "cli/typed.h"
#include "cli/verdict.h"
#include "core/uapi.h"
#include "ebpfrt/ebpfrt.h"
#include "surface/surface.h"

/* --- what libbpf says --- */

#define KEPT_LINES 64
static char kept[KEPT_LINES][256];
static u32 nkept;

static char relo_line[512]; /* the relocation that libbpf looked at last */

/* It says which one only to those who debug it. */
static void keep_relocation(const char *line)
{
	const char *at = strstr(line, "relo #"), *spec = at ? strstr(at, ": <") : NULL;

	if (spec)
		snprintf(relo_line, sizeof(relo_line), "%.*s", (int)strcspn(line, "\n"), line);
}

static void keep_line(const char *line, size_t n)
{
	char *to = kept[nkept++ % KEPT_LINES];

	if (n > 8 && !strncmp(line, "libbpf: ", 8)) {
		line += 8;
		n -= 8;
	}
	snprintf(to, sizeof(kept[0]), "%.*s", (int)n, line);
}

static int capture(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	_cleanup_free_ char *text = NULL;

	if (level == LIBBPF_DEBUG && common.verbose < 3 && !strstr(fmt, "relo #"))
		return 0;
	if (vasprintf(&text, fmt, ap) < 0)
		return 0;
	if (level == LIBBPF_DEBUG)
		keep_relocation(text);
	if (level == LIBBPF_WARN) {
		for (char *p = text; *p;) {
			size_t n = strcspn(p, "\n");

			if (n)
				keep_line(p, n);
			p += n + (p[n] == '\n');
		}
	}
	if (common.verbose > (level == LIBBPF_DEBUG ? 2 : 1))
		fputs(text, stderr);
	return 0;
}

void object_capture_libbpf(void)
{
	libbpf_set_print(capture);
}

static const char *last_line_about(const char *word)
{
	for (u32 i = 0; i < MIN(nkept, (u32)KEPT_LINES); i++) {
		const char *line = kept[(nkept - 1 - i) % KEPT_LINES];

		if (!word || strstr(line, word))
			return line;
	}
	return NULL;
}

/* The lines of the verifier's log that were kept, oldest first. Returns how many. */
static u32 log_lines(const char *lines[KEPT_LINES])
{
	u32 n = MIN(nkept, (u32)KEPT_LINES), count = 0;

	for (u32 i = 0; i < n; i++) {
		const char *line = kept[(nkept - n + i) % KEPT_LINES];

		if (strstr(line, "BEGIN PROG LOAD LOG"))
			count = 0;
		else if (strstr(line, "END PROG LOAD LOG"))
			return count;
		else
			lines[count++] = line;
	}
	return 0;
}

/* --- life --- */

void object_free(struct object **obj)
{
	struct object *o = *obj;

	if (!o)
		return;
	object_detach(o);
	for (u32 i = 0; i < o->nattachments; i++)
		place_deinit(&o->attachments[i].place);
	for (u32 i = 0; i < o->neditions; i++) {
		bpf_object__close(o->editions[i].bpf);
		btf_view_free(&o->editions[i].types);
		free(o->editions[i].module);
	}
	free(o->editions);
	free(o->needs);
	free(o->attachments);
	free(o);
	*obj = NULL;
}

static struct attachment *new_attachment(struct object *obj)
{
	if (obj->nattachments == obj->attachments_room) {
		u32 room = obj->attachments_room ? obj->attachments_room * 2 : 16;
		struct attachment *v = realloc(obj->attachments, room * sizeof(*v));

		if (!v)
			return NULL;
		obj->attachments = v;
		obj->attachments_room = room;
	}
	obj->attachments[obj->nattachments] = (struct attachment){.fd = -1};
	return &obj->attachments[obj->nattachments++];
}

/* --- where programs go --- */

const char *object_spec(const struct object_prog *prog, const struct object_opts *opts, u32 nth)
{
	size_t n = strlen(prog->name);
	u32 given = 0;

	for (u32 i = 0; i < opts->progs.n; i++) {
		const char *text = opts->progs.v[i];

		if (!strncmp(text, prog->name, n) && text[n] == '=' && given++ == nth)
			return text + n + 1;
	}
	return given || nth ? NULL : prog->section;
}

bool object_is_wanted(const struct object_prog *prog, const struct object_opts *opts)
{
	return !prog->optional || object_spec(prog, opts, 0) != prog->section;
}

enum object_missing object_missing(const struct object_opts *opts)
{
	if (opts->missing && !strcmp(opts->missing, "error"))
		return MISSING_ERROR;
	return opts->missing && !strcmp(opts->missing, "ignore") ? MISSING_IGNORE : MISSING_WARN;
}

static bool holds_program(const struct object *obj, const char *name, size_t n)
{
	for (u32 k = 0; k < obj->nprogs; k++) {
		if (strlen(obj->progs[k].name) == n && !strncmp(obj->progs[k].name, name, n))
			return true;
	}
	return false;
}

int object_check_usage(const struct object_opts *opts, const char *command)
{
	if (opts->missing && strcmp(opts->missing, "error") && strcmp(opts->missing, "warn") &&
	    strcmp(opts->missing, "ignore"))
		return opt_usage_error(command, "--missing takes error, warn or ignore, not '%s'",
				       opts->missing);
	for (u32 i = 0; i < opts->progs.n; i++) {
		const char *text = opts->progs.v[i];
		size_t n = strcspn(text, "=");

		if (!n || !text[n] || !text[n + 1])
			return opt_usage_error(command, "--prog takes NAME=SPEC, not '%s'", text);
	}
	for (u32 i = 0; i < opts->calls.n; i++)
		if (!strchr(opts->calls.v[i], ':'))
			return opt_usage_error(
				command,
				"--allow-call takes LIB:FUNC or LIB:FUNC,signal-safe, not '%s'",
				opts->calls.v[i]);
	if (opts->debuginfo && access(opts->debuginfo, X_OK))
		return opt_usage_error(command, "--debuginfo %s: %s", opts->debuginfo,
				       strerror(errno));
	return 0;
}

int object_check_options(struct object *const *objs, u32 nobjs, const struct object_opts *opts)
{
	for (u32 i = 0; i < opts->progs.n; i++) {
		const char *text = opts->progs.v[i];
		size_t n = strcspn(text, "=");
		bool known = false;

		for (u32 k = 0; k < nobjs; k++)
			known |= holds_program(objs[k], text, n);
		if (!known) {
			out_error("%s holds no program '%.*s'; `ebpfrt check %s` lists them",
				  objs[0]->file, (int)n, text, objs[0]->file);
			return -ENOENT;
		}
	}
	return 0;
}

/* Of one place, where there is one: globs and USDT probes of a file are told by their names. */
static bool is_same_probe(const struct spec *a, const struct spec *b)
{
	return a->kind == b->kind && a->ret == b->ret &&
	       (a->kind == SPEC_UPROBE ||
		(!strcmp(a->func, b->func) && !strcmp(a->provider, b->provider)));
}

static bool is_attached_already(const struct object *obj, u32 prog, const struct spec *spec,
				const struct place *place)
{
	for (u32 i = 0; i < obj->nattachments; i++) {
		const struct attachment *a = &obj->attachments[i];

		if (a->prog == prog && a->place.dev == place->dev && a->place.ino == place->ino &&
		    a->place.offset == place->offset && is_same_probe(&a->spec, spec))
			return true;
	}
	return false;
}

int object_add(struct object *obj, u32 prog, const struct spec *spec, struct place *place)
{
	struct attachment *a = new_attachment(obj);

	if (!a)
		return out_error("out of memory"), -ENOMEM;
	a->prog = prog;
	a->spec = *spec;
	a->place = *place;
	*place = (struct place){0};
	return 0;
}

static int resolve_in(struct object *obj, u32 prog, const struct spec *spec,
		      const struct spec_scope *scope)
{
	char why[SPEC_WHY_MAX] = "";
	struct place place = {0};
	int err = spec_resolve(spec, scope, &place, why);

	if (err && scope->mapped)
		return 0;
	if (err)
		return out_error("%s: %s: %s", obj->file, obj->progs[prog].name, why), err;
	if (!is_attached_already(obj, prog, spec, &place))
		err = object_add(obj, prog, spec, &place);
	place_deinit(&place);
	return err;
}

#define VERSIONS_MAX 16u /* of one library in a process */

/* From the @nth file of that name on that @pid has mapped. */
static void resolve_more(struct object *obj, u32 prog, const struct spec *spec, pid_t pid, u32 nth)
{
	struct spec_scope scope = {.pid = pid, .mapped = true, .nth = nth};
	char why[SPEC_WHY_MAX], path[PATH_MAX];

	for (; scope.nth < VERSIONS_MAX && !spec_find_file(spec->path, &scope, path, why);
	     scope.nth++)
		resolve_in(obj, prog, spec, &scope);
}

/* A process may have several versions of a library. */
static int resolve_all(struct object *obj, u32 prog, const struct spec *spec,
		       const struct spec_scope *scope)
{
	int err = resolve_in(obj, prog, spec, scope);

	if (!err && scope->pid)
		resolve_more(obj, prog, spec, scope->pid, 1);
	return err;
}

/* @text: its section, or the SPEC that --prog gave in its place. */
static int refuse_type(const struct object *obj, const struct object_prog *prog, const char *text)
{
	char section[256];

	out_error(
		"%s: program '%s' is for '%s', which has no meaning in user space; ebpfrt attaches "
		"uprobe, uretprobe, uprobe.multi, uretprobe.multi, uprobe.session, usdt, uentry "
		"and uexit programs",
		obj->file, prog->name, out_clean(text, section, sizeof(section)));
	return -EOPNOTSUPP;
}

/* A program is loaded for one way to be attached, and a typed one with one function's types. */
static int check_together(const struct object *obj, u32 prog, const struct spec *spec)
{
	const char *name = obj->progs[prog].name;

	for (u32 i = 0; i < obj->nattachments; i++) {
		const struct spec *other = &obj->attachments[i].spec;

		if (obj->attachments[i].prog != prog)
			continue;
		if (spec->typed || spec->multi != other->multi || spec->session != other->session) {
			out_error("%s: --prog gives '%s' a place of kind %s and one of kind %s; "
				  "only %s",
				  obj->file, name, spec_kind_name(other), spec_kind_name(spec),
				  spec->typed ? "programs without types can have several"
					      : "places of one kind go together");
			return -EINVAL;
		}
	}
	return 0;
}

/* At one of the places that it has. */
static int resolve_spec(struct object *obj, u32 i, const char *text,
			const struct spec_scope *scopes, u32 nscopes)
{
	const struct object_prog *prog = &obj->progs[i];
	char why[SPEC_WHY_MAX] = "";
	struct spec spec;
	int err;

	err = spec_parse(text, &spec, why);
	if (err)
		return out_error("%s: %s: %s", obj->file, prog->name, why), err;
	if (spec.kind == SPEC_OTHER)
		return refuse_type(obj, prog, text);
	if (spec.kind == SPEC_NONE) {
		out_note("%s: %s names no place to attach to; give it one with --prog "
			 "%s=uprobe:FILE:FUNCTION",
			 obj->file, prog->name, prog->name);
		return 0;
	}
	err = check_together(obj, i, &spec);
	for (u32 s = 0; !err && s < nscopes; s++)
		err = resolve_all(obj, i, &spec, &scopes[s]);
	return err;
}

static int resolve_program(struct object *obj, u32 i, const struct object_opts *opts,
			   const struct spec_scope *scopes, u32 nscopes)
{
	const char *text;
	int err = 0;

	for (u32 n = 0; !err && (text = object_spec(&obj->progs[i], opts, n)); n++)
		err = resolve_spec(obj, i, text, scopes, nscopes);
	return err;
}

int object_resolve(struct object *obj, const struct object_opts *opts,
		   const struct spec_scope *scopes, u32 nscopes)
{
	int err = 0;

	for (u32 i = 0; i < nscopes && obj->nscopes < OPT_LIST_MAX; i++)
		obj->scopes[obj->nscopes++] = scopes[i];
	for (u32 i = 0; !err && i < obj->nprogs; i++)
		if (object_is_wanted(&obj->progs[i], opts))
			err = resolve_program(obj, i, opts, scopes, nscopes);
	if (!err)
		err = typed_check(obj);
	if (!err && !obj->nattachments)
		return out_error("%s: no program has a place to attach to", obj->file), -EINVAL;
	return err;
}

/* --- open --- */

/* A ring's records may have a type for people to read them by; the kernel takes no value size. */
static void forget_ring_sizes(struct bpf_object *bpf)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, bpf) {
		if (bpf_map__type(map) != BPF_MAP_TYPE_RINGBUF)
			continue;
		bpf_map__set_key_size(map, 0);
		bpf_map__set_value_size(map, 0);
	}
}

static enum bpf_attach_type attach_type(const struct spec *spec)
{
	if (spec->typed)
		return spec->ret ? BPF_TRACE_FEXIT : BPF_TRACE_FENTRY;
	if (spec->session)
		return (enum bpf_attach_type)EBPFRT_BPF_TRACE_UPROBE_SESSION;
	return (enum bpf_attach_type)(spec->multi ? EBPFRT_BPF_TRACE_UPROBE_MULTI : 0);
}

static void set_attach_type(struct bpf_program *prog, const struct spec *spec)
{
	if (spec->sleepable)
		bpf_program__set_flags(prog, bpf_program__flags(prog) | BPF_F_SLEEPABLE);
	bpf_program__set_expected_attach_type(prog, attach_type(spec));
}

/*
 * What libbpf doesn't know by its section, we do. A program goes to globs, or to single places:
 * where --prog says so, or else its section.
 */
static void set_program_types(const struct object *obj, u32 edition)
{
	struct bpf_object *bpf = obj->editions[edition].bpf;
	struct bpf_program *prog;
	char why[SPEC_WHY_MAX];
	struct spec spec;

	bpf_object__for_each_program (prog, bpf) {
		if (bpf_program__type(prog) == BPF_PROG_TYPE_UNSPEC)
			bpf_program__set_type(prog, BPF_PROG_TYPE_KPROBE);
	}
	for (u32 i = 0; i < obj->nprogs; i++) {
		prog = bpf_object__find_program_by_name(bpf, obj->progs[i].name);
		if (prog && !spec_parse(obj->progs[i].section, &spec, why) && spec.multi)
			set_attach_type(prog, &spec);
	}
	for (u32 i = 0; i < obj->nattachments; i++) {
		const struct attachment *a = &obj->attachments[i];

		prog = bpf_object__find_program_by_name(bpf, obj->progs[a->prog].name);
		if (prog)
			set_attach_type(prog, &a->spec);
	}
}

/* A typed program without a place has no types. */
static bool is_loadable(const struct object *obj, u32 prog)
{
	char why[SPEC_WHY_MAX];
	struct spec spec;

	if (spec_parse(obj->progs[prog].section, &spec, why) || !spec.typed)
		return true;
	for (u32 i = 0; i < obj->nattachments; i++)
		if (obj->attachments[i].prog == prog)
			return true;
	return false;
}

/* libbpf leaves out what is optional, and we what goes elsewhere. */
static void choose_programs(const struct object *obj, u32 edition, const struct object_opts *opts)
{
	struct bpf_object *bpf = obj->editions[edition].bpf;
	struct bpf_program *prog;

	/* one that isn't spoken of is in the first, to be verified if that is possible */
	bpf_object__for_each_program (prog, bpf) {
		if (edition || !edition_can_relocate(obj, bpf_program__section_name(prog)))
			bpf_program__set_autoload(prog, false);
	}
	for (u32 i = 0; i < obj->nprogs; i++) {
		prog = bpf_object__find_program_by_name(bpf, obj->progs[i].name);
		if (prog)
			bpf_program__set_autoload(prog,
						  edition_has_program(obj, edition, i, opts) &&
							  is_loadable(obj, i));
	}
}

static int open_edition(struct object *obj, u32 i, const struct object_opts *opts)
{
	LIBBPF_OPTS(bpf_object_open_opts, open_opts);
	struct edition *ed = &obj->editions[i];
	int err = edition_find_types(obj, i, opts);

	if (err)
		return err;
	err = typed_register();
	if (err)
		return out_error("libbpf takes no sections of ours: %s", strerror(-err)), err;
	if (ed->types.fd >= 0)
		open_opts.btf_custom_path = ed->types.path;
	guard_begin("opening", obj->file);
	ed->bpf = bpf_object__open_file(obj->file, &open_opts);
	guard_end();
	if (!ed->bpf) {
		err = -errno;
		out_error("%s is not a valid BPF object (%s)", obj->file,
			  last_line_about(NULL) ? last_line_about(NULL) : strerror(-err));
		return err;
	}
	if (!i)
		obj->bpf = ed->bpf;
	choose_programs(obj, i, opts);
	set_program_types(obj, i);
	forget_ring_sizes(ed->bpf);
	return 0;
}

int object_open(struct object *obj, const struct object_opts *opts)
{
	int err = editions_assign(obj);

	for (u32 i = 0; !err && i < obj->neditions; i++) {
		if (!obj->editions[i].bpf && !obj->editions[i].failed)
			err = open_edition(obj, i, opts);
	}
	return err;
}

/* --- load --- */

/* What the verifier wrote on its way to the refusal. */
static void show_log(const char *const *lines, u32 n)
{
	char clean[512];

	for (u32 i = 0; i < n; i++)
		fprintf(stderr, "  %s\n", out_clean(lines[i], clean, sizeof(clean)));
}

static int refuse_verified(const struct object *obj, const struct verdict *v, int err)
{
	char word[512], source[512] = "";

	out_error("%s was refused: %s%s%s%s%s%s", obj->file, out_clean(v->word, word, sizeof(word)),
		  v->source ? "\n  at " : "",
		  v->source ? out_clean(v->source, source, sizeof(source)) : "",
		  v->advice ? "\n  " : "", v->advice ? v->advice : "",
		  obj->show_log ? "" : "\n  the whole log: ebpfrt check, or add -vv");
	return err;
}

/* libbpf found no such function or variable: extern (func ksym) 'NAME': not found in ... */
static bool refuse_extern(const struct object *obj)
{
	const char *line = last_line_about("extern ("), *name = line ? strchr(line, '\'') : NULL;
	char raw[128], clean[512];

	if (!name || !strstr(line, "ksym) ") || !strstr(line, "not found"))
		return false;
	snprintf(raw, sizeof(raw), "%.*s", (int)strcspn(name + 1, "'"), name + 1);
	out_error(
		"%s cannot be loaded: it uses '%s', which is not one of the kernel functions there "
		"are here\n  ebpfrt(1) lists them; a function of the target may be called with "
		"--allow-call LIB:%s; declare it __weak and test it with bpf_ksym_exists() to do "
		"without",
		obj->file, out_clean(raw, clean, sizeof(clean)), clean);
	return true;
}

/* One that libbpf can make no sense of: what it says of it, and which it is. */
static void refuse_odd_relocation(const struct object *obj, const struct edition *ed)
{
	const char *said = last_line_about("can't be applied"), *spec = strchr(relo_line, '<');
	char clean[512], which[512];

	if (!said)
		said = last_line_about("failed to relocate");
	out_error("%s cannot be relocated%s%s: %s\n  at %s", obj->file, ed->module ? " for " : "",
		  ed->module ? ed->module : "", out_clean(said, clean, sizeof(clean)),
		  out_clean(spec ? spec : relo_line, which, sizeof(which)));
}

/* A relocation that the types don't allow: poisoned, and met by the verifier, or ambiguous. */
static bool refuse_relocation(const struct object *obj, const struct edition *ed,
			      const struct verdict *v)
{
	const char *line = v->word ? strstr(v->word, "failed to resolve CO-RE") : NULL;

	const bool several = !v->word && last_line_about("ambiguity");

	if (several)
		line = relo_line;
	if (line && relo_refuse(obj, ed, line, several, v->source))
		return true;
	if (v->word || !last_line_about("failed to relocate") || !relo_line[0])
		return false;
	refuse_odd_relocation(obj, ed);
	return true;
}

static int refuse_load(const struct object *obj, const struct edition *ed, int err)
{
	const char *line = last_line_about("failed"), *said = surface_error(), *next = "";
	const char *lines[KEPT_LINES], *word = said[0] ? said : line ? line : strerror(-err);
	u32 n = log_lines(lines);
	struct verdict v;
	char clean[512];

	verdict_find(lines, n, &v);
	if (obj->show_log && common.verbose < 2)
		show_log(lines, n);
	if (refuse_relocation(obj, ed, &v))
		return err;
	if (v.word && !strstr(v.word, "invalid func") && !strstr(v.word, "map type"))
		return refuse_verified(obj, &v, err);
	if (!v.word && refuse_extern(obj))
		return err;
	if (v.word)
		word = v.word;
	if (strstr(word, "invalid func") || strstr(word, "map type"))
		next = "\n  ebpfrt(1) lists the helpers and map types there are";
	out_error("%s %s: %s%s", obj->file, v.word ? "was refused" : "cannot be loaded",
		  out_clean(word, clean, sizeof(clean)), next);
	return err;
}

/* The ids by which the daemon's lists speak of them. */
static void learn_ids(struct object *obj, u32 edition)
{
	for (u32 i = 0; i < obj->nattachments; i++) {
		struct attachment *a = &obj->attachments[i];
		struct bpf_program *prog = bpf_object__find_program_by_name(
			obj->editions[edition].bpf, obj->progs[a->prog].name);
		struct bpf_prog_info info = {0};
		u32 len = sizeof(info);

		if (a->edition == edition && prog &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			a->prog_id = info.id;
	}
}

static int load_edition(struct object *obj, u32 edition, const struct object_opts *opts)
{
	struct edition *ed = &obj->editions[edition];
	const char *const env = getenv("EBPFRT_BTF_PATH");
	struct btf_request types = {0};
	int err = edition ? edition_share_maps(obj, edition) : 0;

	if (err)
		return err;
	nkept = 0;
	relo_line[0] = 0;
	edition_ask_for_types(obj, opts, &env, &types);
	typed_begin(obj, edition, &types);
	guard_begin("loading", obj->file);
	err = bpf_object__load(ed->bpf);
	guard_end();
	if (typed_end())
		return err;
	if (err)
		return refuse_load(obj, ed, err);
	ed->loaded = true;
	learn_ids(obj, edition);
	return 0;
}

int object_load(struct object *obj, const struct object_opts *opts)
{
	int err = ebpfrt_connect();

	if (err)
		return out_error("%s", ebpfrt_error()), err;
	for (u32 i = 0; !err && i < obj->neditions; i++) {
		if (!obj->editions[i].loaded && !obj->editions[i].failed)
			err = load_edition(obj, i, opts);
	}
	return err;
}

/* --- attach --- */

#define PROGRESS_LEAST 100 /* functions */

static u32 id_of(int fd)
{
	struct bpf_link_info info = {0};
	u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

static struct bpf_link *attach_usdt(const struct bpf_program *prog, const struct attachment *a)
{
	return bpf_program__attach_usdt(prog, -1, a->place.path, a->spec.provider, a->spec.func,
					NULL);
}

static struct bpf_link *attach_probe(const struct bpf_program *prog, const struct attachment *a)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = a->spec.ret);

	return bpf_program__attach_uprobe_opts(prog, -1, a->place.path, a->place.offset, &opts);
}

/* One link for all functions; libbpf 1.1.2 doesn't know of such. 0, and a->fd, or -errno. */
static int attach_multi(const struct bpf_program *prog, struct attachment *a, bool partial)
{
	struct {
		u32 prog_fd, target_fd, attach_type, flags;
		struct ebpf_attr_uprobe_multi m;
	} attr = {.prog_fd = (u32)bpf_program__fd(prog), .attach_type = attach_type(&a->spec)};
	_cleanup_free_ u64 *offsets = calloc(a->place.npoints + 1, sizeof(*offsets));
	_cleanup_free_ u64 *cookies = calloc(a->place.npoints + 1, sizeof(*cookies));
	const bool at_return = a->spec.ret && !a->spec.typed;

	if (!offsets || !cookies)
		return -ENOMEM;
	for (u32 i = 0; i < a->place.npoints; i++) {
		offsets[i] = a->place.points[i].offset;
		cookies[i] = a->place.points[i].cookie;
	}
	if (a->spec.typed)
		offsets[0] = a->place.offset;
	attr.m.path = (u64)a->place.path;
	attr.m.offsets = (u64)offsets;
	attr.m.cookies = (u64)cookies;
	attr.m.cnt = a->spec.typed ? 1 : a->place.npoints;
	attr.m.flags = (at_return ? EBPFRT_BPF_F_UPROBE_MULTI_RETURN : 0) |
		       (partial ? EBPFRT_BPF_F_UPROBE_MULTI_PARTIAL : 0);
	a->fd = (int)syscall(__NR_bpf, BPF_LINK_CREATE, &attr,
			     offsetof(__typeof__(attr), m) + EBPF_UPROBE_MULTI_SIZE);
	return a->fd < 0 ? -errno : 0;
}

/* Why libbpf gave up a USDT probe: its last line, in words of ours where there are any. */
static void usdt_why(const struct attachment *a, int err, char why[SPEC_WHY_MAX])
{
	const char *line = last_line_about("usdt: ");
	char clean[256];

	if (line)
		line = out_clean(line + strlen("usdt: "), clean, sizeof(clean));
	if (line && strstr(line, "unrecognized"))
		snprintf(why, SPEC_WHY_MAX,
			 "an argument of the probe is where libbpf cannot read it (%s); probe the "
			 "function that contains it instead",
			 line);
	else if (line && strstr(line, "no USDT notes"))
		snprintf(why, SPEC_WHY_MAX, "the file has no USDT probes");
	else if (!line && err == -ENOENT)
		snprintf(why, SPEC_WHY_MAX,
			 "the file has no such USDT probe; `ebpfrt list %s` names those it has",
			 a->place.path);
	else
		snprintf(why, SPEC_WHY_MAX, "%s", line ? line : strerror(-err));
}

static int refuse_attach(const struct object *obj, const struct attachment *a, int err)
{
	const char *name = obj->progs[a->prog].name, *said = surface_error();
	const bool usdt = a->spec.kind == SPEC_USDT;
	char why[SPEC_WHY_MAX], clean[256];

	if (!said[0])
		said = last_line_about(name);
	if (said)
		snprintf(why, sizeof(why), "%s", out_clean(said, clean, sizeof(clean)));
	else if (usdt)
		usdt_why(a, err, why);
	else
		snprintf(why, sizeof(why), "%s", strerror(-err));
	out_error("%s: %s cannot be attached to %s:%s%s%s: %s", obj->file, name, a->place.path,
		  usdt ? a->spec.provider : "", usdt ? ":" : "", a->place.name, why);
	return err;
}

static int attach_by_kind(struct bpf_program *prog, struct attachment *a, bool partial)
{
	if (a->spec.kind == SPEC_MULTI || a->spec.typed)
		return attach_multi(prog, a, partial && !a->spec.typed);
	a->link = a->spec.kind == SPEC_USDT ? attach_usdt(prog, a) : attach_probe(prog, a);
	return a->link ? 0 : -errno;
}

static int attach_one(struct object *obj, struct attachment *a, bool partial)
{
	const struct object_prog *p = &obj->progs[a->prog];
	struct bpf_program *prog =
		bpf_object__find_program_by_name(obj->editions[a->edition].bpf, p->name);
	int err;

	if (!prog)
		return out_error("%s: program '%s' is gone", obj->file, p->name), -ENOENT;
	nkept = 0;
	guard_begin("attaching", obj->file);
	err = attach_by_kind(prog, a, partial);
	guard_end();
	if (err)
		return refuse_attach(obj, a, err);
	a->link_id = id_of(a->fd >= 0 ? a->fd : bpf_link__fd(a->link));
	return 0;
}

/* On a terminal: that something is under way which may take a moment. */
static bool show_progress(const struct object *obj)
{
	u64 n = 0;

	for (u32 i = 0; i < obj->nattachments; i++)
		n += obj->attachments[i].place.npoints;
	if (n < PROGRESS_LEAST || common.quiet || !isatty(STDERR_FILENO))
		return false;
	fprintf(stderr, "\rebpfrt: attaching to %" PRIu64 " functions...", n);
	fflush(stderr);
	return true;
}

static void wipe_progress(bool shown)
{
	if (shown)
		fputs("\r\033[K", stderr);
}

static int attach_from(struct object *obj, u32 first, const struct object_opts *opts)
{
	const bool partial = object_missing(opts) != MISSING_ERROR;
	int err = ebpfrt_batch_begin(), end;

	if (err)
		return out_error("%s", ebpfrt_error()), err;
	for (u32 i = first; !err && i < obj->nattachments; i++)
		err = attach_one(obj, &obj->attachments[i], partial);
	end = ebpfrt_batch_end();
	if (!err && end)
		return out_error("%s\n  `ebpfrt check -p PID %s` says which of its probes can be "
				 "attached",
				 ebpfrt_error(), obj->file),
		       end;
	return err;
}

int object_attach(struct object *obj, const struct object_opts *opts)
{
	bool shown = show_progress(obj);
	int err = attach_from(obj, 0, opts);

	wipe_progress(shown);
	return err;
}

/* --- what comes later --- */

/* Forget the attachments from @first on: they couldn't be made. */
static void drop_from(struct object *obj, u32 first)
{
	for (u32 i = first; i < obj->nattachments; i++) {
		struct attachment *a = &obj->attachments[i];

		bpf_link__destroy(a->link);
		if (a->fd >= 0)
			close(a->fd);
		place_deinit(&a->place);
	}
	obj->nattachments = first;
}

/* Those to files that were tried before, and of which it was said why not. */
static void drop_failed(struct object *obj, u32 first)
{
	u32 n = first;

	for (u32 i = first; i < obj->nattachments; i++) {
		if (obj->editions[obj->attachments[i].edition].failed)
			place_deinit(&obj->attachments[i].place);
		else
			obj->attachments[n++] = obj->attachments[i];
	}
	obj->nattachments = n;
}

static void find_more_of(struct object *obj, u32 i, const char *text, pid_t pid)
{
	char why[SPEC_WHY_MAX];
	struct spec spec;

	if (!spec_parse(text, &spec, why) && spec.kind != SPEC_OTHER && spec.kind != SPEC_NONE)
		resolve_more(obj, i, &spec, pid, 0);
}

static void find_more(struct object *obj, const struct object_opts *opts, pid_t pid)
{
	const char *text;

	for (u32 i = 0; i < obj->nprogs; i++) {
		if (!object_is_wanted(&obj->progs[i], opts))
			continue;
		for (u32 n = 0; (text = object_spec(&obj->progs[i], opts, n)); n++)
			find_more_of(obj, i, text, pid);
	}
}

u32 object_extend(struct object *obj, const struct object_opts *opts, pid_t pid)
{
	u32 first = obj->nattachments, was = obj->neditions;
	int err;

	find_more(obj, opts, pid);
	if (obj->nattachments == first || editions_assign(obj))
		return 0;
	drop_failed(obj, first);
	if (obj->nattachments == first)
		return 0;
	if (obj->nscopes < OPT_LIST_MAX)
		obj->scopes[obj->nscopes++] = (struct spec_scope){.pid = pid};
	err = ebpfrt_batch_begin(); /* nothing before is to wait for the process, which waits */
	if (!err)
		err = object_open(obj, opts);
	if (!err)
		err = object_load(obj, opts);
	if (!err)
		err = attach_from(obj, first, opts);
	if (!err)
		return obj->nattachments - first;
	out_warn("%s is not probed in process %d", obj->attachments[first].place.path, pid);
	drop_from(obj, first);
	ebpfrt_batch_end();
	for (u32 i = was; i < obj->neditions; i++)
		obj->editions[i].failed = true;
	return 0;
}

int object_detach(struct object *obj)
{
	bool any = false;

	for (u32 i = 0; i < obj->nattachments; i++)
		any |= attachment_is_on(&obj->attachments[i]);
	if (!any)
		return 0;
	ebpfrt_batch_begin();
	for (u32 i = 0; i < obj->nattachments; i++) {
		struct attachment *a = &obj->attachments[i];

		bpf_link__destroy(a->link);
		a->link = NULL;
		if (a->fd >= 0)
			close(a->fd);
		a->fd = -1;
	}
	return ebpfrt_batch_end();
}
