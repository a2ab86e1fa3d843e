/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of a call: typed.h tells the model. */
#include "core/run/typed.h"

#include "osl/osl_trap.h"

/* The first word of the arguments on the stack is behind the return address. */
static u64 stack_word(const struct arch_regs *regs, u32 n)
{
	return regs->sp + 8 * (1 + (u64)n);
}

static u64 from_stack(const struct arch_regs *regs, u32 n)
{
	u64 word;

	return osl_read(&word, (const void *)(uintptr_t)stack_word(regs, n), sizeof(word)) ? 0
											   : word;
}

static u64 vector(const u64 *vectors, u32 n, u32 half)
{
	return vectors ? vectors[2 * n + half] : 0;
}

/* As a register of the program would hold it. */
static u64 extend(u64 word, const struct ebpf_image_word *w)
{
	const u32 rest = 64 - (w->bits & 63u);

	if (rest == 64)
		return word;
	word <<= rest;
	return w->is_signed ? (u64)((s64)word >> rest) : word >> rest;
}

static u64 word_of(const struct ebpf_image_word *w, const struct arch_regs *regs,
		   const u64 *vectors)
{
	switch (w->where) {
	case EBPF_WORD_INT:
		return arch_regs_argument(regs, w->n);
	case EBPF_WORD_RET_INT:
		return arch_regs_result(regs, w->n);
	case EBPF_WORD_SSE:
	case EBPF_WORD_RET_SSE:
		return vector(vectors, w->n & 7u, 0);
	case EBPF_WORD_SSE_HIGH:
	case EBPF_WORD_RET_SSE_HIGH:
		return vector(vectors, w->n & 7u, 1);
	case EBPF_WORD_STACK:
		return from_stack(regs, w->n);
	case EBPF_WORD_STACK_ADDRESS:
		return stack_word(regs, w->n);
	default:
		return 0;
	}
}

void ebpf_typed_arguments(const struct ebpf_image *img, const struct arch_regs *regs,
			  const u64 *vectors, u64 word[EBPF_IMAGE_ARGS])
{
	const u32 n = MIN(img->nargs, EBPF_IMAGE_ARGS);

	for (u32 i = 0; i < EBPF_IMAGE_ARGS; i++)
		word[i] = i < n ? extend(word_of(&img->word[i], regs, vectors), &img->word[i]) : 0;
}

void ebpf_typed_result(const struct ebpf_image *img, const struct arch_regs *regs,
		       const u64 *vectors, u64 word[EBPF_IMAGE_WORDS])
{
	const u32 n = MIN(img->nwords, EBPF_IMAGE_WORDS);

	for (u32 i = MIN(img->nargs, EBPF_IMAGE_ARGS); i < EBPF_IMAGE_WORDS; i++)
		word[i] = i < n ? extend(word_of(&img->word[i], regs, vectors), &img->word[i]) : 0;
}
