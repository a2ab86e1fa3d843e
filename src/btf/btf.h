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
 * BTF for the object file @prog_o: the binaries its sections name (and @binaries, NULL-terminated,
 * may be NULL), or
 * @user_file when not NULL. Writes the joined BTF to a memfd, *fd_path (at least 64 bytes) names it
 * and stays valid while *fd is open. *found: 0 when only the built-in types are there. 0, or -errno
 * with a sentence in @why.
 */
int btf_for_object(const char *user_file, const char *const *binaries, int *fd, char *fd_path,
		   int *found, char *why, size_t why_size);
