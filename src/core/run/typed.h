/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The context of a typed program: the words of a call, made from the thread's registers.
 *
 * Model: the image says where each word is (image.h). Those of the arguments are taken at the
 * function's entry, before its first instruction; what it returns, at its return. Helpers that want
 * the registers find them before the words.
 *
 * Rules: any context. What is on the target's stack is read with care: what isn't there is 0.
 */
#pragma once

#include "arch/arch.h"
#include "core/run/image.h"

struct ebpf_typed_ctx {
	struct arch_regs regs;
	u64 word[EBPF_IMAGE_WORDS]; /* the program's context */
};

/* @vectors: sixteen bytes of each vector register that arguments are in; NULL: zeroes. */
void ebpf_typed_arguments(const struct ebpf_image *img, const struct arch_regs *regs,
			  const u64 *vectors, u64 word[EBPF_IMAGE_ARGS]);
/* What is returned, into its place behind the arguments; what is behind that becomes 0. */
void ebpf_typed_result(const struct ebpf_image *img, const struct arch_regs *regs,
		       const u64 *vectors, u64 word[EBPF_IMAGE_WORDS]);
