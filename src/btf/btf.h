/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BTF of what is probed: from a file the user names, the binary's .BTF section, a detached FILE.btf
 * beside it, or made from its DWARF, and joined with a small built-in BTF that defines pt_regs and
 * the other kernel types tracing programs name. The result is a file (a memfd, by its /proc/self/fd
 * path) for bpf_object_open_opts.btf_custom_path. Client side only; libbpf, libdw.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf;

/* The built-in kernel types. Owned by the caller (btf__free). 0 or -errno. */
int btf_builtin(struct btf **out);

/*
 * The types of one file: raw BTF, or the .BTF section of an ELF file (all translation units of it).
 * Owned by the caller (btf__free). 0; -ENOENT when the file is there and has no BTF; or -errno with
 * a sentence in @why.
 */
int btf_read_file(const char *path, struct btf **out, char *why, size_t why_size);

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

struct btf_request {
	const char *const *user; /* @nuser of "FILE", for every target, or "OBJ=FILE" */
	uint32_t nuser;
	const char *const *binaries; /* that are probed, NULL-terminated; NULL: none */
	struct btf_opts opts;
};

/*
 * BTF for an object that probes the request's binaries: that of the user's files where they are
 * for every target, else what is found for each binary. Writes the joined BTF to a memfd, @fd_path
 * (at least 64 bytes) names it and stays valid while *fd is open. *found: how many files with types
 * were joined, 0 when only the built-in types are there. 0, or -errno with a sentence in @why.
 */
int btf_for_object(const struct btf_request *request, int *fd, char *fd_path, int *found, char *why,
		   size_t why_size);

/* A structure, union, enum or typedef that an object's CO-RE relocations can't do without. */
struct btf_need {
	char kind[8]; /* "struct", "union", "enum" */
	char name[120];
};

/*
 * Which named types the CO-RE relocations of the object file @prog_o read, relocations that only
 * ask whether a type exists left out. Fills at most @max, each name once, flavours (___x)
 * stripped. Number of them (0: no CO-RE), or -errno.
 */
int btf_needs(const char *prog_o, struct btf_need *out, int max);

/* Is a type of that name in the BTF file @path (as btf_for_object() wrote it)? */
int btf_file_has(const char *path, const struct btf_need *need);
