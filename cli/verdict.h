/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verifier's verdict in a person's words: from the lines of its log to what is wrong, where,
 * and what to do about it. Pure; the pointers are into the lines.
 */
#pragma once

#include "base/types.h"

struct verdict {
	const char *word;   /* the reason, as the verifier says it; NULL: the log has none */
	const char *source; /* "v[0] = 1; @ prog.bpf.c:10", or NULL */
	const char *advice; /* a plain sentence for a common case, or NULL */
};

/* @lines: the log's, in order. */
void verdict_find(const char *const *lines, u32 n, struct verdict *out);
