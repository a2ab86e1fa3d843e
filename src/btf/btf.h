/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BTF of what is probed: found in the binary's .BTF section, a detached FILE.btf beside it, or a
 * file the user names, and joined with a small built-in BTF that defines pt_regs and the other
 * kernel types tracing programs name. The result is a file (a memfd, by its /proc/self/fd path) for
 * bpf_object_open_opts.btf_custom_path. Client side only; libbpf.
 */
#pragma once

#include <stddef.h>

struct btf;

/* The built-in kernel types. Owned by the caller (btf__free). 0 or -errno. */
int btf_builtin(struct btf **out);

/*
 * The types of one file: raw BTF, or the .BTF section of an ELF file (all translation units of it).
 * Owned by the caller (btf__free). 0; -ENOENT when the file is there and has no BTF; or -errno with
 * a sentence in @why.
 */
int btf_read_file(const char *path, struct btf **out, char *why, size_t why_size);

/*
 * BTF for an object that probes @binaries (NULL-terminated, may be NULL): that of @user_file when
 * not NULL, else what is found in each binary or in BINARY.btf beside it. Writes the joined BTF to
 * a memfd, @fd_path (at least 64 bytes) names it and stays valid while *fd is open. *found: how
 * many files with types were joined, 0 when only the built-in types are there. 0, or -errno with a
 * sentence in @why.
 */
int btf_for_object(const char *user_file, const char *const *binaries, int *fd, char *fd_path,
		   int *found, char *why, size_t why_size);

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
