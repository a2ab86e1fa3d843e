/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several BTFs as one, each type once.
 *
 * Rule: types of one name that are not the same are all kept, for the programs of one file mean
 * that file's; but they are told, for whoever looks a type up by its name finds several.
 */
#pragma once

#include "base/types.h"

struct btf;

struct btfmerge_part {
	const char *word; /* as the user called it */
	struct btf *btf;
};

/* *out is the caller's. 0, or -errno after a message. */
int btfmerge(const struct btfmerge_part *parts, u32 n, struct btf **out);
