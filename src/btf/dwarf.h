/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BTF made from DWARF (libdw). It runs over files of strangers and takes memory and time: callers
 * use btf_make() (make.c), which does it in a process of its own.
 */
#pragma once

#include <stddef.h>

#include "base/types.h"

struct btf;

struct dwarf_opts {
	const char *debuginfo_dir; /* looked into before /usr/lib/debug; NULL: none */
	/* called now and then with how much is done, of 100 */
	void (*progress)(u32 percent, void *cookie);
	void *cookie;
};

/*
 * The types, functions and variables of the ELF file @path, from the DWARF in it or in its separate
 * debug file. 0; -ENOENT when there is none; or another -errno; with a sentence in @why.
 */
int btf_from_dwarf(const char *path, const struct dwarf_opts *opts, struct btf **out, char *why,
		   size_t why_size);
