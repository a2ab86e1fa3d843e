/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls as the x86-64 psABI has them: which value is in which register. Pure; any context.
 */
#include "core/run/callee.h"

/* --- is it one? ------------------------------------------------------------------------------- */

static bool scalar_size(u32 size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

static bool value_ok(const struct ebpf_callee_value *v)
{
	switch (v->kind) {
	case ECALLEE_NOTHING:
		return true;
	case ECALLEE_NUMBER:
		return scalar_size(v->size);
	case ECALLEE_FLOAT:
		return v->size == 4 || v->size == 8;
	case ECALLEE_ADDRESS:
		return v->size <= EBPF_CALLEE_MEMORY_MAX &&
		       (!(v->flags & ECALLEE_STRING) || (v->size && v->flags & ECALLEE_CONST));
	case ECALLEE_STRUCT:
	case ECALLEE_RESULT:
		return v->size && v->size <= EBPF_CALLEE_MEMORY_MAX &&
		       (v->size <= 16 || v->flags & ECALLEE_IN_MEMORY);
	default:
		return false;
	}
}

bool ebpf_callee_ok(const struct ebpf_callee *c)
{
	bool ended = false;

	if (!value_ok(&c->result) || c->result.kind >= ECALLEE_STRUCT)
		return false;
	for (u32 i = 0; i < EBPF_CALLEE_ARGS; i++) {
		if (!value_ok(&c->arg[i]) || (ended && c->arg[i].kind) ||
		    (i && c->arg[i].kind == ECALLEE_RESULT))
			return false;
		ended = ended || c->arg[i].kind == ECALLEE_NOTHING;
	}
	return !c->name[sizeof(c->name) - 1] && !c->file[sizeof(c->file) - 1] && c->file[0] == '/';
}

/* --- there ------------------------------------------------------------------------------------ */

static void put_general(struct ebpf_native_call *n, u64 word)
{
	if (n->ngeneral < ARRAY_SIZE(n->general))
		n->general[n->ngeneral++] = word;
	else if (n->nstack < EBPF_CALL_WORDS)
		n->stack[n->nstack++] = word;
}

static void put_vector(struct ebpf_native_call *n, u64 word)
{
	if (n->nvector < ARRAY_SIZE(n->vector))
		n->vector[n->nvector++] = word;
	else if (n->nstack < EBPF_CALL_WORDS)
		n->stack[n->nstack++] = word;
}

static u64 word_of(const void *from, u32 size, u32 i)
{
	u64 word = 0;

	__builtin_memcpy(&word, (const u8 *)from + i * 8, MIN(size - i * 8, 8u));
	return word;
}

static bool is_vector(const struct ebpf_callee_value *v, u32 word)
{
	return v->flags & (word ? ECALLEE_SSE1 : ECALLEE_SSE0);
}

/* All of it in registers, or nothing. */
static void put_struct(const struct ebpf_callee_value *v, const void *from,
		       struct ebpf_native_call *n)
{
	u32 words = (v->size + 7u) / 8, vectors = 0;

	for (u32 i = 0; i < MIN(words, 2u); i++)
		vectors += is_vector(v, i);
	if ((v->flags & ECALLEE_IN_MEMORY) || n->nvector + vectors > ARRAY_SIZE(n->vector) ||
	    n->ngeneral + words - vectors > ARRAY_SIZE(n->general)) {
		for (u32 i = 0; i < words && n->nstack < EBPF_CALL_WORDS; i++)
			n->stack[n->nstack++] = word_of(from, v->size, i);
		return;
	}
	for (u32 i = 0; i < words; i++) {
		if (is_vector(v, i))
			put_vector(n, word_of(from, v->size, i));
		else
			put_general(n, word_of(from, v->size, i));
	}
}

/* A number as wide as @v is, in 64 bits. */
static u64 widen(const struct ebpf_callee_value *v, u64 x)
{
	u32 shift = 64 - v->size * 8u;

	return v->flags & ECALLEE_SIGNED ? (u64)((s64)(x << shift) >> shift) : x << shift >> shift;
}

static void put(const struct ebpf_callee_value *v, u64 arg, void *copy, struct ebpf_native_call *n)
{
	switch (v->kind) {
	case ECALLEE_NUMBER:
		return put_general(n, widen(v, arg));
	case ECALLEE_FLOAT:
		return put_vector(n, widen(v, arg));
	case ECALLEE_ADDRESS:
		return put_general(n, copy ? (u64)(uintptr_t)copy : arg);
	case ECALLEE_STRUCT:
		return put_struct(v, copy, n);
	case ECALLEE_RESULT:
		if (v->flags & ECALLEE_IN_MEMORY)
			put_general(n, (u64)(uintptr_t)copy);
	}
}

void ebpf_native_prepare(const struct ebpf_callee *c, const u64 *args, void *const *copy,
			 struct ebpf_native_call *n)
{
	n->ngeneral = n->nstack = 0;
	n->nvector = 0;
	for (u32 i = 0; i < ebpf_callee_nargs(c); i++)
		put(&c->arg[i], args[i], copy[i], n);
}

/* --- and back --------------------------------------------------------------------------------- */

static void take_struct(const struct ebpf_callee_value *v, const struct ebpf_native_call *n,
			u8 *result)
{
	const u64 general[] = {n->rax, n->rdx}, vector[] = {n->xmm0, n->xmm1};
	u32 g = 0, x = 0;

	for (u32 i = 0; i * 8 < v->size && i < 2; i++) {
		const u64 word = is_vector(v, i) ? vector[x++] : general[g++];

		__builtin_memcpy(result + i * 8, &word, MIN(v->size - i * 8, 8u));
	}
}

u64 ebpf_native_result(const struct ebpf_callee *c, const struct ebpf_native_call *n, void *result)
{
	if (c->arg[0].kind == ECALLEE_RESULT && !(c->arg[0].flags & ECALLEE_IN_MEMORY))
		take_struct(&c->arg[0], n, result);
	switch (c->result.kind) {
	case ECALLEE_NUMBER:
		return widen(&c->result, n->rax);
	case ECALLEE_FLOAT:
		return widen(&c->result, n->xmm0);
	case ECALLEE_ADDRESS:
		return n->rax;
	default:
		return 0;
	}
}
