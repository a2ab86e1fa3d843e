/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of this folder share. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "btf/btf.h"
#include "btf/dwarf.h"

/* read.c: the types in an open file, or in memory, every blob of them. 0; -ENOENT: none. */
int btf_read_fd(int fd, struct btf **out);
int btf_read_memory(const void *data, size_t len, struct btf **out);
/* A memfd of ours, mapped and read. */
int btf_read_made(int fd, struct btf **out,
		  void (*keep)(const void *data, size_t len, void *cookie), void *cookie);

/*
 * unlinked.c: sizes and places that the types @data of the object file @elf don't have yet. @data
 * is changed; nobody has checked it, and it has to be checked afterwards.
 */
typedef struct Elf Elf;
bool btf_is_unlinked(Elf *elf);
void btf_complete(Elf *elf, void *data, size_t len);

/* make.c: btf_from_dwarf() in a child; *fd is a memfd with raw BTF. */
int btf_make(const char *path, const struct dwarf_opts *opts, int *fd, char *why, size_t why_size);

/*
 * cache.c: conversions that were made before, by the build-id of @binary. Nobody misses what isn't
 * there or can't be kept. get: 0 or -ENOENT.
 */
int btf_cache_get(const char *binary, struct btf **out);
void btf_cache_put(const char *binary, const void *data, size_t len);
/* A new file without a name in that folder, where @size bytes have room; -1: there is none. */
int btf_cache_scratch(u64 size);
