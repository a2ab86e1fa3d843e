/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a fuzz target provides. libFuzzer calls LLVMFuzzerTestOneInput(); fuzz_main.c does so too,
 * with inputs it makes from the target's seeds, where there is no libFuzzer and in `make check`.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"

#define FUZZ_MAX 4096u

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* Write the @i-th seed; its length, 0 when there are no more. */
size_t fuzz_seed(u32 i, u8 out[FUZZ_MAX]);

/* A broken promise: the input at hand is a finding. */
#define FUZZ_CHECK(cond)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Inputs are read from front to back; past the end there are zeroes. */
struct fuzz_input {
	const u8 *p;
	size_t left;
};

static inline u64 fuzz_take(struct fuzz_input *in, u32 bytes)
{
	u64 v = 0;

	for (u32 i = 0; i < bytes && in->left; i++, in->p++, in->left--)
		v |= (u64)*in->p << (8 * i);
	return v;
}
