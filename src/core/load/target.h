/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function of the target as a typed program sees it: what its context holds, and where that is
 * found when the function is called and when it returns.
 *
 * Model: the context is an array of words: the arguments in the order of the prototype, then, at
 * an exit, what is returned. A number, a pointer and a float are one word each; a structure of up
 * to sixteen bytes is its words, a larger one, which is passed in memory, its address. Where a word
 * lies says the System V calling convention of x86-64, from the types alone. Behind an argument of
 * which that can't be told (its type is not known as a whole) nothing is.
 *
 * Rules: pure; the types are a stranger's, and what is made of them is never more than a number
 * that a program gets to see.
 */
#pragma once

#include "core/load/verify_btf.h"
#include "core/run/image.h"

struct ebpf_target_word {
	struct ebpf_image_word from;
	u32 arg;	 /* number of the argument, one more than the last: what is returned */
	u32 type;	 /* of the argument */
	bool first;	 /* word of it */
	bool by_address; /* the word is the address of one */
};

struct ebpf_target_sig {
	char name[64];
	u32 nargs; /* words of all arguments; what is returned is behind them */
	u32 nwords;
	struct ebpf_target_word word[EBPF_IMAGE_WORDS];
};

/* The function whose FUNC is type @func. 0, or -EINVAL when that is none. */
int ebpf_target_sig(const struct ebpf_btf *b, u32 func, struct ebpf_target_sig *sig);

/*
 * What @size bytes at @off of the structure @id are: 0 and *pointee, the structure that a pointer
 * read there leads to, EBPF_TARGET_MEMORY for a pointer to anything else, or 0 for a number; or the
 * kernel's errno and, in @why, its words. @vague is set when the way led through a union of several
 * members.
 */
#define EBPF_TARGET_MEMORY ~0u
#define EBPF_TARGET_WHY 256
int ebpf_target_field(const struct ebpf_btf *b, u32 id, u32 off, u32 size, u32 *pointee,
		      bool *vague, char why[EBPF_TARGET_WHY]);

/* The structure that the pointer type @id leads to, or 0. */
u32 ebpf_target_pointee(const struct ebpf_btf *b, u32 id);
