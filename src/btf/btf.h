/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BTF of what is probed: from a file the user names, the binary's .BTF section, a detached FILE.btf
 * beside it, or made from its DWARF. What programs that probe one module see of it is a view: the
 * module's types, those that only its neighbours have, and a small built-in BTF that defines
 * pt_regs and the other kernel types tracing programs name. A view is a file (a memfd, by its
 * /proc/self/fd path) for bpf_object_open_opts.btf_custom_path. Client side only; libbpf, libdw.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf;

static inline void btf_cleanup(struct btf **btf)
{
	extern void btf__free(struct btf * btf);

	btf__free(*btf);
}
#define _cleanup_btf_ __attribute__((cleanup(btf_cleanup)))

/* The built-in kernel types. Owned by the caller (btf__free). 0 or -errno. */
int btf_builtin(struct btf **out);

/*
 * The types of one file: raw BTF, or the .BTF section of an ELF file (all translation units of it).
 * Owned by the caller (btf__free). 0; -ENOENT when the file is there and has no BTF; or -errno with
 * a sentence in @why.
 */
int btf_read_file(const char *path, struct btf **out, char *why, size_t why_size);

/*
 * The types of @btf, each once: made in a process of its own, as it may be a stranger's. Owned by
 * the caller (btf__free). 0 or -errno.
 */
int btf_deduplicate(struct btf *btf, struct btf **out);

#define BTF_WHY_MAX 512

struct btf_opts {
	const char *debuginfo_dir; /* for separate debug files, before /usr/lib/debug; NULL: none */
	bool no_cache;
	bool quiet; /* no progress on a terminal */
};

/*
 * The types of @binary: its .BTF section, BINARY.btf, or made from its DWARF (and kept for the next
 * time). As btf_read_file(); -ENOENT says in @why what could be done.
 */
int btf_find(const char *binary, const struct btf_opts *opts, struct btf **out, char *why,
	     size_t why_size);
/* From its DWARF, or what was kept of that. */
int btf_convert(const char *binary, const struct btf_opts *opts, struct btf **out, char *why,
		size_t why_size);

/* Is nothing in it that printing it as C would recurse along without end, or too far? */
bool btf_is_printable(struct btf *btf);
/* Give every type, member and value a name that C can read (ns::Foo<int> is ns__Foo_int_). */
int btf_names_for_c(struct btf *btf);
/* A number's name that C has: "long unsigned int". */
bool btf_name_is_c_number(const char *name);

/* A type that an object's CO-RE relocations name. */
struct btf_need {
	char kind[8]; /* "struct", "union", "enum", "typedef" */
	bool must;    /* it is read, or its size: not only asked for */
	bool asked;   /* it, or something in it, is asked for */
	char name[246];
	char section[256]; /* of the object, where that is: the programs that want it */
};

/*
 * Which named types the CO-RE relocations of the object file @prog_o name, each once for each
 * section, flavours (___x) stripped. Number of them (0: no CO-RE), or -errno; -E2BIG: more than
 * @max.
 */
int btf_needs(const char *prog_o, struct btf_need *out, int max);

/* Is it one of the registers, which are never the target's (target.c)? */
bool btf_is_registers(const struct btf_need *need);

/* Call @fn with the name of each program or map that a map of object file @prog_o leads to. */
void btf_slots(const char *prog_o, void (*fn)(const char *name, void *cookie), void *cookie);

/* Is type @id of @btf one that libbpf would take for @need? */
bool btf_is_needed(const struct btf *btf, uint32_t id, const struct btf_need *need);

/* A file whose types may be meant. */
struct btf_module {
	const char *path;
	uint32_t tier; /* 0: it is probed, 1: it is used by what is probed, 2: beside it */
};

struct btf_request {
	const char *const *user; /* @nuser of "FILE", for every target, or "OBJ=FILE" */
	uint32_t nuser;
	const char *const *binaries;	  /* that are probed, NULL-terminated; NULL: none */
	const struct btf_module *modules; /* nearest first */
	uint32_t nmodules;
	const struct btf_need
		*needs; /* what is looked for; more modules than need be aren't read */
	uint32_t nneeds;
	struct btf_opts opts;
};

/* Types for programs that probe one module; owned by the caller (btf_view_free). */
struct btf_view {
	int fd;	       /* -1: none */
	char path[64]; /* names it, valid while it is open */
	bool own;      /* the user's file, or the probed one itself, has types */
	int found;     /* how many files with types are in it; 0: only the built-in ones are */
	char **from;   /* for each need the file that it is from, NULL: it is nowhere; owned */
	uint32_t nfrom;
};

/*
 * The types of @binary alone, for the request's options and the user's file for it: as btf_find().
 */
int btf_for_binary(const struct btf_request *request, const char *binary, struct btf **out,
		   char *why, size_t why_size);

/*
 * What the prototype of the function @name in @btf leads to, with names for C; the function is type
 * 1. Owned by the caller (btf__free). 0; -ENOENT; -EEXIST: there are several, of different types.
 */
int btf_slice(const struct btf *btf, const char *name, struct btf **out);

/* For bpf_object_open_opts.btf_custom_path. 0, or -errno with a sentence in @why. */
int btf_view_make(const struct btf_request *request, struct btf_view *out, char *why,
		  size_t why_size);
void btf_view_free(struct btf_view *view); /* idempotent */
