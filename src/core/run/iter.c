/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Iterators over numbers, of which bpf_for() and bpf_repeat() are made, and over bits.
 *
 * Model: an iterator is one or two slots of the program's stack, which the verifier lets nobody
 * else read or write between new and destroy. One over numbers holds the number before the next one
 * and how many are left; 0 left is drained, and stays so. One over bits holds the last bit's number
 * and either the only word or, there being no memory to copy more to, where the words are: each is
 * read when its turn comes, and one that can't be read any more ends the loop. The number only
 * grows, so the loop ends whatever becomes of the words.
 */
#include "core/run/helper_impl.h"

struct iter_num {
	s32 at; /* first: the program is given its address */
	u32 left;
};
_Static_assert(sizeof(struct iter_num) == sizeof(u64), "one slot");

EBPF_KFUNC(iter_num_new)
{
	struct iter_num *it = (void *)(uintptr_t)r1;
	s32 start = (s32)r2, end = (s32)r3;

	*it = (struct iter_num){0};
	if (start > end)
		return (u32)-EINVAL; /* an int, of which the upper half is 0 */
	if ((s64)end - start > EBPF_MAX_LOOPS)
		return (u32)-E2BIG;
	it->at = (s32)((u32)start - 1);
	it->left = (u32)end - (u32)start;
	return 0;
}

EBPF_KFUNC(iter_num_next)
{
	struct iter_num *it = (void *)(uintptr_t)r1;

	if (!it->left)
		return 0;
	it->left--;
	it->at = (s32)((u32)it->at + 1);
	return (u64)(uintptr_t)&it->at;
}

EBPF_KFUNC(iter_num_destroy)
{
	*(struct iter_num *)(uintptr_t)r1 = (struct iter_num){0};
	return 0;
}

/* --- bits ------------------------------------------------------------------------------------ */

#define WORD_BITS 64
#define MAX_WORDS 511u

struct iter_bits {
	u64 word; /* of one word, it; of more, their address */
	s32 nbits;
	s32 bit; /* last one: the program is given its address */
};
_Static_assert(sizeof(struct iter_bits) == 2 * sizeof(u64), "two slots");

/* Can all of them be read? The last is left in @it. */
static bool words_readable(struct iter_bits *it, const u64 *words, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (osl_read(&it->word, words + i, sizeof(u64)))
			return false;
	return true;
}

EBPF_KFUNC(iter_bits_new)
{
	struct iter_bits *it = (void *)(uintptr_t)r1;
	const u64 *words = (const void *)(uintptr_t)r2;
	u32 n = (u32)r3;

	*it = (struct iter_bits){.bit = -1};
	if (!words || !n)
		return (u32)-EINVAL; /* an int, of which the upper half is 0 */
	if (n > MAX_WORDS)
		return (u32)-E2BIG;
	if (!words_readable(it, words, n)) {
		it->word = 0;
		return (u32)-EFAULT;
	}
	if (n > 1)
		it->word = (u64)(uintptr_t)words;
	it->nbits = (s32)(n * WORD_BITS);
	return 0;
}

/* Word @i, 0 if it can't be read: then there are no more. */
static u64 word_at(struct iter_bits *it, u32 i)
{
	u64 word = it->word;

	if (it->nbits > WORD_BITS &&
	    osl_read(&word, (const u64 *)(uintptr_t)it->word + i, sizeof(word))) {
		it->nbits = 0;
		return 0;
	}
	return word;
}

EBPF_KFUNC(iter_bits_next)
{
	struct iter_bits *it = (void *)(uintptr_t)r1;

	for (u32 bit = (u32)(it->bit + 1); (s32)bit < it->nbits;) {
		u64 rest = word_at(it, bit / WORD_BITS) >> bit % WORD_BITS;

		if (rest) {
			it->bit = (s32)bit + __builtin_ctzll(rest);
			return (u64)(uintptr_t)&it->bit;
		}
		bit = (bit / WORD_BITS + 1) * WORD_BITS;
	}
	it->nbits = 0;
	return 0;
}

EBPF_KFUNC(iter_bits_destroy)
{
	*(struct iter_bits *)(uintptr_t)r1 = (struct iter_bits){0};
	return 0;
}
