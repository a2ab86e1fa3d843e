/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Map keys and values as people write and read them: by BTF type where there is one, as bytes
 * where there isn't. JSON is the one form; text is JSON with the quotes left off scalars.
 *
 * Rule: types and data come from an object or a target and may be wrong; a value that doesn't fit
 * its type is printed as bytes, nesting is bounded.
 */
#pragma once

#include <bpf/btf.h>

#include "cli/out.h"

/* @data as a value of type @id (0 or @btf NULL: as bytes). The caller's to put. */
struct json_object *value_json(const struct btf *btf, u32 id, const void *data, size_t size);
/* ["0x01", ...] as bpftool prints bytes. */
struct json_object *value_bytes_json(const void *data, size_t size);
/* One line of text. malloc'ed. */
char *value_text(const struct btf *btf, u32 id, const void *data, size_t size);

/*
 * Parse @words (@n of them) into @size bytes at @out: @size bytes in decimal or 0x, all in hex
 * after the word `hex`, or one word by type: a number, a string, or JSON for structures. 0, or
 * -EINVAL with a sentence.
 */
int value_parse(const struct btf *btf, u32 id, char *const *words, int n, void *out, size_t size,
		char *why, size_t why_size);

/* The value as a number, when it is an integer of 1, 2, 4 or 8 bytes. */
bool value_u64(const struct btf *btf, u32 id, const void *data, size_t size, u64 *out);
/* Id behind typedefs and qualifiers; 0 when there is no such type. */
u32 value_strip(const struct btf *btf, u32 id);
