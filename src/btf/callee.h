/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of a target that programs call: how, and the types by which libbpf finds them.
 *
 * Model: libbpf looks for a function that a program declares as __ksym in the types that stand for
 * the kernel's. These are the built-in ones, and each allowed function, with a prototype as libbpf
 * compares it: what a program passes in a register stands for what the function takes. A
 * floating-point number is a number of 8 bytes, its bits; a structure that is taken by value is a
 * pointer to it; one that is returned stays one, as the compiler passes the address itself.
 */
#pragma once

#include <stddef.h>

#include "core/run/callee.h"

struct btf;

/*
 * How @func is called, by its type in @types: .result, .arg and .name of @c. 0, or -errno with a
 * sentence: it isn't there, or takes what a program can't give.
 */
int btf_callee(const struct btf *types, const char *func, struct ebpf_callee *c, char *why,
	       size_t why_size);

/*
 * The types for @n of them, in a memfd *@fd; numbers their .id. @types[i] has callees[i]. 0 or
 * -errno with a sentence.
 */
int btf_callee_types(struct btf *const *types, struct ebpf_callee *callees, u32 n, int *fd,
		     char *why, size_t why_size);
