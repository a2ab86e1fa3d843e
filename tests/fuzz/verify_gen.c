/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generator: a prologue that gets a pointer to something, a soup of everything that keeps what
 * is known of the registers, an end that gives back what must be.
 *
 * Model: R6 the context, R7 and R8 numbers, R9 a pointer to `size` bytes; R0 to R5 numbers where
 * `have` says so. Slots fp-8 to fp-64 hold numbers, fp-72 the pointer at times, fp-80 keys, fp-88
 * an iterator. Conditional blocks leave only what both ways have.
 */
#include <stddef.h>
#include <linux/btf.h>
#include <string.h>

#include "core/load/verify_proto.h"
#include "tests/fuzz/verify_gen.h"
#include "tests/support/checked.h"

#define SLOTS 8u
#define KEY (-80)
#define ITER (-88)
#define MAX_SUBS 6u

enum sub_kind { SUB_PLAIN, SUB_LOOP, SUB_EACH };

struct gen {
	struct bpf_insn *insn;
	u32 n, flags;
	u64 *random;
	u32 have; /* registers that hold numbers */
	u32 keep; /* registers that loops count in */
	u32 size; /* bytes at R9, 0: it holds a number */
	bool rdonly, sample, ctx, stack9, locked;
	u32 depth;
	u32 nsubs;
	struct {
		u32 at; /* instruction to patch */
		enum sub_kind kind;
		u32 size;
		bool rdonly, stack;
	} sub[MAX_SUBS];
};

static u32 pick(struct gen *g, u32 n)
{
	return (u32)(checked_random(g->random) >> 11) % n;
}

static void emit(struct gen *g, u8 code, u32 dst, u32 src, s16 off, s32 imm)
{
	if (g->n < VGEN_MAX)
		g->insn[g->n++] = (struct bpf_insn){.code = code,
						    .dst_reg = dst & 15,
						    .src_reg = src & 15,
						    .off = off,
						    .imm = imm};
}

static void mov_imm(struct gen *g, u32 dst, s32 imm)
{
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm);
}

static void mov(struct gen *g, u32 dst, u32 src)
{
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void add_imm(struct gen *g, u32 dst, s32 imm)
{
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, imm);
}

static void call(struct gen *g, u32 id)
{
	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, (s32)id);
}

static void lddw(struct gen *g, u32 dst, u32 kind, u64 n)
{
	emit(g, BPF_LD | BPF_IMM | BPF_DW, dst, kind, 0, (s32)n);
	emit(g, 0, 0, 0, 0, (s32)(n >> 32));
}

static void exit_with(struct gen *g, s32 n)
{
	mov_imm(g, 0, n);
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static u32 any_reg(struct gen *g, u32 set)
{
	u32 i = pick(g, 10);

	for (u32 n = 0; n < 10; n++, i = (i + 1) % 10)
		if (set >> i & 1)
			return i;
	return 7;
}

static u32 source(struct gen *g)
{
	return pick(g, 100) ? any_reg(g, g->have) : pick(g, 11);
}

/* A register that may be written. */
static u32 target(struct gen *g)
{
	return any_reg(g, 0x1bf & ~g->keep & ~(g->ctx ? 0x40u : 0));
}

static s32 constant(struct gen *g)
{
	return (s32)checked_edge(g->random);
}

static s16 slot_off(struct gen *g)
{
	return (s16)(-8 * (s32)(pick(g, SLOTS) + 1));
}

static u8 any_size(struct gen *g, u32 *bytes)
{
	static const u8 sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	u32 i = pick(g, 4);

	*bytes = 1u << i;
	return sizes[i];
}

static u8 any_cond(struct gen *g)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,	 BPF_JLT, BPF_JLE,
				 BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};

	return ops[pick(g, ARRAY_SIZE(ops))];
}

/* After a call the scratch registers are gone. */
static void called(struct gen *g, bool result)
{
	g->have &= ~0x3fu;
	if (result)
		g->have |= 1;
}

/* --- numbers --------------------------------------------------------------------------------- */

#define KERNEL_OPS 8u
static const u8 alu_ops[] = {BPF_ADD, BPF_SUB,	BPF_OR,	 BPF_AND, BPF_LSH, BPF_RSH,
			     BPF_XOR, BPF_ARSH, BPF_MUL, BPF_DIV, BPF_MOD};

static void gen_alu(struct gen *g)
{
	/* the first ones: what our numbers know no more of than the kernel's */
	u32 nops = g->flags & VGEN_KERNEL ? KERNEL_OPS : ARRAY_SIZE(alu_ops);
	u8 op = alu_ops[pick(g, nops)], class = pick(g, 2) ? BPF_ALU64 : BPF_ALU;
	u32 dst = any_reg(g, g->have & ~g->keep);
	s16 off = (op == BPF_DIV || op == BPF_MOD) && !pick(g, 3);
	s32 imm = constant(g);

	if (!(g->have & ~g->keep))
		return;
	if (pick(g, 2)) {
		emit(g, class | op | BPF_X, dst, source(g), off, 0);
		return;
	}
	if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
		imm = (s32)pick(g, class == BPF_ALU64 ? 64 : 32);
	else if ((op == BPF_DIV || op == BPF_MOD) && !imm)
		imm = 7;
	emit(g, class | op | BPF_K, dst, 0, off, imm);
}

static void gen_mov(struct gen *g)
{
	static const s16 sign[] = {8, 16, 32};
	u32 dst = target(g), src = source(g);

	switch (pick(g, 6)) {
	case 0:
		mov_imm(g, dst, constant(g));
		break;
	case 1:
		lddw(g, dst, 0, checked_edge(g->random));
		break;
	case 2:
		mov(g, dst, src);
		break;
	case 3:
		emit(g, BPF_ALU | BPF_MOV | BPF_X, dst, src, 0, 0);
		break;
	case 4:
		emit(g, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, sign[pick(g, 3)], 0);
		break;
	default:
		emit(g, BPF_ALU | BPF_MOV | BPF_X, dst, src, sign[pick(g, 2)], 0);
	}
	g->have |= 1u << dst;
}

static void gen_unary(struct gen *g)
{
	u32 dst = any_reg(g, g->have & ~g->keep);

	if (!(g->have & ~g->keep) || (g->flags & VGEN_KERNEL))
		return;
	if (pick(g, 2))
		emit(g, (pick(g, 2) ? BPF_ALU64 : BPF_ALU) | BPF_NEG, dst, 0, 0, 0);
	else if (pick(g, 2))
		emit(g, BPF_ALU64 | BPF_END, dst, 0, 0, 16 << pick(g, 3));
	else
		emit(g, BPF_ALU | BPF_END | (pick(g, 2) ? BPF_TO_BE : 0), dst, 0, 0,
		     16 << pick(g, 3));
}

static void gen_unknown(struct gen *g)
{
	u32 dst = target(g), bytes;
	u8 size = any_size(g, &bytes);

	if (g->ctx)
		emit(g, BPF_LDX | BPF_MEM | size, dst, 6, (s16)(8 * pick(g, 21)), 0);
	else
		emit(g, BPF_LDX | (pick(g, 3) || size == BPF_DW ? BPF_MEM : BPF_MEMSX) | size, dst,
		     10, slot_off(g), 0);
	g->have |= 1u << dst;
}

/* --- stack ----------------------------------------------------------------------------------- */

static void gen_spill(struct gen *g)
{
	u32 bytes;
	u8 size = pick(g, 2) ? BPF_DW : any_size(g, &bytes);

	if (pick(g, 4))
		emit(g, BPF_STX | BPF_MEM | size, 10, source(g), slot_off(g), 0);
	else
		emit(g, BPF_ST | BPF_MEM | size, 10, 0, slot_off(g), pick(g, 2) ? constant(g) : 0);
}

static void gen_fill(struct gen *g)
{
	u32 dst = target(g), bytes = 8;
	u8 size = pick(g, 2) ? BPF_DW : any_size(g, &bytes);
	s16 off = (s16)(slot_off(g) + (s16)(pick(g, 8 / bytes) * bytes));

	emit(g, BPF_LDX | (size == BPF_DW || pick(g, 3) ? BPF_MEM : BPF_MEMSX) | size, dst, 10, off,
	     0);
	g->have |= 1u << dst;
}

static void gen_spill_pointer(struct gen *g)
{
	emit(g, BPF_STX | BPF_MEM | BPF_DW, 10, 9, -72, 0);
	if (!pick(g, 12))
		emit(g, BPF_ST | BPF_MEM | BPF_B, 10, 0, (s16)(-72 + (s32)pick(g, 8)), 0);
	emit(g, BPF_LDX | BPF_MEM | BPF_DW, 9, 10, -72, 0);
}

/* --- places ---------------------------------------------------------------------------------- */

static const u8 bound_ways[] = {0, 2, 3, 4, 5}; /* not the remainder */

/* Make @reg less than @limit, or nearly. Leaves how many instructions the jumps go over. */
static void bound(struct gen *g, u32 reg, u32 limit)
{
	s32 near = (s32)limit - 1 + (pick(g, 8) ? 0 : (s32)pick(g, 3) - 1);
	u32 pow2 = 1;
	u8 class = pick(g, 4) ? BPF_JMP : BPF_JMP32;

	while (pow2 * 2 <= limit)
		pow2 *= 2;
	switch (g->flags & VGEN_KERNEL ? bound_ways[pick(g, 5)] : pick(g, 6)) {
	case 0:
		emit(g, (pick(g, 2) ? BPF_ALU64 : BPF_ALU) | BPF_AND | BPF_K, reg, 0, 0,
		     (s32)pow2 - (pick(g, 12) ? 1 : 0));
		return;
	case 1:
		emit(g, (pick(g, 2) ? BPF_ALU64 : BPF_ALU) | BPF_MOD | BPF_K, reg, 0, 0,
		     MAX(near, 1));
		return;
	case 2:
		emit(g, class | BPF_JLE | BPF_K, reg, 0, 1, near);
		break;
	case 3: /* from both sides */
		emit(g, class | BPF_JSGT | BPF_K, reg, 0, 1, near);
		emit(g, class | BPF_JSGE | BPF_K, reg, 0, 1, pick(g, 8) ? 0 : -1);
		break;
	case 4:
		emit(g, BPF_ALU64 | BPF_RSH | BPF_K, reg, 0, 0, 60);
		return;
	default:
		emit(g, class | BPF_JLT | BPF_K, reg, 0, 1, near + 1);
	}
	mov_imm(g, reg, (s32)pick(g, limit));
}

static void access(struct gen *g, u32 base, s16 off, u8 size, bool write)
{
	if (!write || (g->rdonly && pick(g, 20))) {
		u32 dst = target(g);

		emit(g, BPF_LDX | BPF_MEM | size, dst, base, off, 0);
		g->have |= 1u << dst;
	} else if (pick(g, 2)) {
		emit(g, BPF_STX | BPF_MEM | size, base, any_reg(g, g->have), off, 0);
	} else {
		emit(g, BPF_ST | BPF_MEM | size, base, 0, off, constant(g));
	}
}

static void gen_access(struct gen *g)
{
	u32 bytes;
	u8 size = any_size(g, &bytes);
	s32 at;

	if (g->size < 8)
		return;
	at = (s32)(pick(g, g->size / bytes) * bytes);
	if (!pick(g, 30))
		at += pick(g, 2) ? 8 : -1;
	access(g, 9, (s16)at, size, pick(g, 2));
}

static void gen_var_access(struct gen *g)
{
	bool stack = !pick(g, 3);
	u32 bytes, by = any_reg(g, 0x180 & ~g->keep), tmp = pick(g, 6), size = stack ? 64 : g->size;
	u8 code = any_size(g, &bytes);

	if (size < 16 || g->keep >> by & 1 || g->keep >> tmp & 1)
		return;
	if ((stack || g->stack9) && pick(g, 20)) { /* a stack wants alignment */
		bound(g, by, size / bytes);
		emit(g, BPF_ALU64 | BPF_MUL | BPF_K, by, 0, 0, (s32)bytes);
	} else {
		bound(g, by, size - bytes + 1);
	}
	mov(g, tmp, stack ? 10 : 9);
	if (stack || g->stack9 || pick(g, 3)) {
		emit(g, BPF_ALU64 | BPF_ADD | BPF_X, tmp, by, 0, 0);
	} else {
		add_imm(g, tmp, (s32)size - (s32)bytes);
		emit(g, BPF_ALU64 | BPF_SUB | BPF_X, tmp, by, 0, 0);
	}
	g->have &= ~(1u << tmp);
	if (stack) {
		if (pick(g, 2)) {
			emit(g, BPF_LDX | BPF_MEM | code, by, tmp, -64, 0);
		} else {
			emit(g, BPF_STX | BPF_MEM | code, tmp, by, -64, 0);
		}
		return;
	}
	access(g, tmp, 0, code, pick(g, 2));
}

static void gen_atomic(struct gen *g)
{
	static const s32 ops[] = {
		BPF_ADD,  BPF_OR,     BPF_AND, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_XOR | BPF_FETCH,
		BPF_XCHG, BPF_CMPXCHG};
	u32 bytes = pick(g, 2) ? 8 : 4, src = any_reg(g, g->have & ~g->keep);
	bool stack = !pick(g, 2);
	s32 op = ops[pick(g, ARRAY_SIZE(ops))];

	if (!(g->have & ~g->keep) || (!stack && (g->size < 8 || g->rdonly)) ||
	    (op == BPF_CMPXCHG && (!(g->have & 1) || g->keep & 1)))
		return;
	emit(g, BPF_STX | BPF_ATOMIC | (bytes == 8 ? BPF_DW : BPF_W), stack ? 10 : 9, src,
	     stack ? slot_off(g) : (s16)(pick(g, g->size / 8) * 8), op);
}

/* --- calls ----------------------------------------------------------------------------------- */

static void gen_plain_call(struct gen *g)
{
	static const u32 ids[] = {BPF_FUNC_ktime_get_ns, BPF_FUNC_get_prandom_u32,
				  BPF_FUNC_get_smp_processor_id, BPF_FUNC_get_current_pid_tgid};

	call(g, ids[pick(g, ARRAY_SIZE(ids))]);
	called(g, true);
}

/* Fill some of the stack, or of what R9 points to. */
static void gen_read_call(struct gen *g)
{
	bool stack = g->rdonly || g->size < 16 || pick(g, 2);
	u32 limit = stack ? 64 : g->size;

	mov(g, 1, stack ? 10 : 9);
	if (stack)
		add_imm(g, 1, -64);
	if (pick(g, 2)) {
		mov_imm(g, 2, (s32)pick(g, limit + (pick(g, 10) ? 1 : 2)));
	} else {
		mov(g, 2, any_reg(g, 0x180));
		bound(g, 2, limit + 1);
	}
	mov_imm(g, 3, 0);
	call(g, pick(g, 2) ? BPF_FUNC_probe_read_kernel : BPF_FUNC_probe_read_user_str);
	called(g, true);
}

static void key_of(struct gen *g)
{
	emit(g, BPF_STX | BPF_MEM | BPF_DW, 10, any_reg(g, 0x180), KEY, 0);
	mov(g, 2, 10);
	add_imm(g, 2, KEY);
}

static u32 lookup(struct gen *g, u32 map)
{
	if (pick(g, 3))
		key_of(g);
	else {
		emit(g, BPF_ST | BPF_MEM | BPF_DW, 10, 0, KEY, (s32)pick(g, 6));
		mov(g, 2, 10);
		add_imm(g, 2, KEY);
	}
	lddw(g, 1, BPF_PSEUDO_MAP_FD, map);
	call(g, BPF_FUNC_map_lookup_elem);
	called(g, false);
	return checked_maps[map].meta.value_size;
}

static void gen_lookup(struct gen *g)
{
	u32 size = lookup(g, pick(g, 2)), bytes;
	u8 code = any_size(g, &bytes);

	if (pick(g, 40))
		emit(g, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1, 0);
	emit(g, BPF_STX | BPF_MEM | code, 0, any_reg(g, 0x180),
	     (s16)(pick(g, size - bytes + (pick(g, 20) ? 1 : 2))), 0);
}

static void gen_update(struct gen *g)
{
	key_of(g);
	mov(g, 3, 10);
	add_imm(g, 3, -(s32)(pick(g, 9) * 8 + 16));
	mov_imm(g, 4, 0);
	lddw(g, 1, BPF_PSEUDO_MAP_FD, CMAP_HASH);
	call(g, BPF_FUNC_map_update_elem);
	called(g, true);
}

static void gen_sub_call(struct gen *g)
{
	if (g->nsubs == MAX_SUBS || g->depth > 2)
		return;
	g->sub[g->nsubs].at = g->n + 2;
	g->sub[g->nsubs].kind = SUB_PLAIN;
	g->sub[g->nsubs].size = g->size;
	g->sub[g->nsubs].rdonly = g->rdonly;
	g->sub[g->nsubs++].stack = g->stack9;
	mov(g, 1, any_reg(g, 0x180));
	mov(g, 2, 9);
	emit(g, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
	called(g, true);
}

static void gen_callback(struct gen *g)
{
	bool each = !pick(g, 3);
	u32 at;

	if (g->nsubs == MAX_SUBS || g->depth > 1)
		return;
	if (each)
		lddw(g, 1, BPF_PSEUDO_MAP_FD, pick(g, 2) ? CMAP_ARRAY : CMAP_HASH);
	else
		mov_imm(g, 1, (s32)pick(g, 12));
	at = g->n;
	lddw(g, 2, BPF_PSEUDO_FUNC, 0);
	mov(g, 3, 10);
	add_imm(g, 3, -64);
	mov_imm(g, 4, 0);
	g->sub[g->nsubs].at = at;
	g->sub[g->nsubs].size = 64;
	g->sub[g->nsubs].rdonly = false;
	g->sub[g->nsubs].stack = true;
	g->sub[g->nsubs++].kind = each ? SUB_EACH : SUB_LOOP;
	call(g, each ? BPF_FUNC_for_each_map_elem : BPF_FUNC_loop);
	called(g, true);
}

/* --- blocks and loops ------------------------------------------------------------------------ */

static void soup(struct gen *g, u32 n);

static void gen_block(struct gen *g)
{
	u32 have = g->have, at = g->n, other = 0, a = source(g), b = source(g);
	bool is32 = pick(g, 2), k = pick(g, 2);

	/* of a register compared with itself ours knows which way it goes */
	k |= (g->flags & VGEN_KERNEL) && a == b;
	emit(g, (is32 ? BPF_JMP32 : BPF_JMP) | any_cond(g) | (k ? BPF_K : BPF_X), a, k ? 0 : b, 0,
	     k ? constant(g) : 0);
	soup(g, 1 + pick(g, 3));
	if (pick(g, 2)) {
		other = g->n;
		emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	}
	g->insn[at].off = (s16)(g->n - at - 1);
	g->have &= have;
	if (other) {
		u32 one = g->have;

		g->have = have;
		soup(g, 1 + pick(g, 2));
		g->insn[other].off = (s16)(g->n - other - 1);
		g->have &= one;
	}
}

static void gen_loop(struct gen *g)
{
	u32 counter = 7 + pick(g, 2), top, have;
	u8 class = pick(g, 3) ? BPF_JMP : BPF_JMP32;

	if ((g->keep & 0x180) || g->depth > 2)
		return;
	mov_imm(g, counter, (s32)pick(g, 3));
	g->keep |= 1u << counter;
	g->have &= ~0x3fu; /* the body may call */
	top = g->n;
	have = g->have;
	soup(g, 1 + pick(g, 3));
	add_imm(g, counter, 1 + (s32)pick(g, 2));
	emit(g, class | (pick(g, 4) ? BPF_JLT : BPF_JSLT) | BPF_K, counter, 0,
	     (s16)(top - g->n - 1), (s32)pick(g, 8));
	g->keep &= ~(1u << counter);
	g->have &= have;
}

static void gen_may_goto(struct gen *g)
{
	u32 at = g->n, have = g->have &= ~0x3fu;

	emit(g, BPF_JMP | BPF_JCOND, 0, 0, 0, 0);
	soup(g, 1 + pick(g, 3));
	emit(g, BPF_JMP | BPF_JA, 0, 0, (s16)(at - g->n - 1), 0);
	g->insn[at].off = (s16)(g->n - at - 1);
	g->have &= have;
}

static void kfunc(struct gen *g, u32 id)
{
	mov(g, 1, 10);
	add_imm(g, 1, ITER);
	if (id == EKFUNC_ITER_NUM_NEW) {
		mov_imm(g, 2, 0);
		mov_imm(g, 3, 10);
	}
	emit(g, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, (s32)id);
	called(g, false);
}

static void gen_iter(struct gen *g)
{
	u32 top, have = g->have & ~0x3fu;

	if ((g->flags & VGEN_KERNEL) || g->keep & 1)
		return;
	g->keep |= 1; /* no nesting */
	kfunc(g, EKFUNC_ITER_NUM_NEW);
	top = g->n;
	kfunc(g, EKFUNC_ITER_NUM_NEXT);
	emit(g, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0, 0);
	emit(g, BPF_LDX | BPF_MEM | BPF_W, 1, 0, 0, 0);
	g->have |= 2;
	soup(g, 1 + pick(g, 3));
	emit(g, BPF_JMP | BPF_JA, 0, 0, (s16)(top - g->n - 1), 0);
	g->insn[top + 3].off = (s16)(g->n - (top + 3) - 1);
	kfunc(g, EKFUNC_ITER_NUM_DESTROY);
	g->keep &= ~1u;
	g->have &= have;
}

/* numbers that are known to be equal but for a constant */
static void gen_linked(struct gen *g)
{
	u32 a = 7, b = pick(g, 6), at;

	if ((g->keep & 0x80) || g->keep >> b & 1)
		return;
	mov(g, b, a);
	if (pick(g, 2))
		add_imm(g, b, (s32)pick(g, 64) - 8);
	at = g->n;
	emit(g, (pick(g, 4) ? BPF_JMP : BPF_JMP32) | any_cond(g) | BPF_K, pick(g, 2) ? a : b, 0, 0,
	     (s32)pick(g, 64));
	emit(g, BPF_ALU64 | BPF_AND | BPF_K, a, 0, 0, 15);
	mov_imm(g, b, 3);
	g->insn[at].off = (s16)(pick(g, 2) ? 0 : 2);
	g->have |= 1u << b;
	if (g->size < 16 || !pick(g, 2))
		return;
	emit(g, BPF_JMP | BPF_JGT | BPF_K, a, 0, 4, (s32)(g->size - 8));
	mov(g, 0, 9);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_X, 0, b, 0, 0);
	emit(g, BPF_LDX | BPF_MEM | BPF_B, 0, 0, 0, 0);
	emit(g, BPF_JMP | BPF_JA, 0, 0, 1, 0);
	mov_imm(g, 0, 0);
	g->have |= 1;
}

static void gen_lock(struct gen *g)
{
	if (!g->locked || pick(g, 2))
		return;
	mov(g, 1, 9);
	add_imm(g, 1, 4);
	call(g, BPF_FUNC_spin_lock);
	emit(g, BPF_LDX | BPF_MEM | BPF_DW, 7, 9, 8, 0);
	mov(g, 1, 9);
	add_imm(g, 1, 4);
	call(g, BPF_FUNC_spin_unlock);
	called(g, false);
}

static void gen_one(struct gen *g)
{
	static void (*const light[])(struct gen * g) = {
		gen_alu,   gen_alu,  gen_alu,	 gen_mov,	 gen_mov,	 gen_unary,
		gen_spill, gen_fill, gen_access, gen_var_access, gen_var_access, gen_unknown};
	static void (*const heavy[])(struct gen * g) = {
		gen_block,	gen_block,	  gen_block,  gen_loop,	  gen_may_goto,
		gen_plain_call, gen_read_call,	  gen_lookup, gen_update, gen_sub_call,
		gen_callback,	gen_iter,	  gen_linked, gen_linked, gen_atomic,
		gen_lock,	gen_spill_pointer};

	if (g->n > VGEN_MAX - 150 || g->depth > 3 || pick(g, 3))
		light[pick(g, ARRAY_SIZE(light))](g);
	else
		heavy[pick(g, ARRAY_SIZE(heavy))](g);
}

static void soup(struct gen *g, u32 n)
{
	g->depth++;
	while (n-- && g->n < VGEN_MAX - 100)
		gen_one(g);
	g->depth--;
}

/* --- programs -------------------------------------------------------------------------------- */

static void null_test(struct gen *g)
{
	mov(g, 9, 0);
	if (!pick(g, 60))
		return;
	emit(g, BPF_JMP | BPF_JNE | BPF_K, pick(g, 2) ? 0 : 9, 0, 2, 0);
	exit_with(g, 0);
}

static void get_inner(struct gen *g)
{
	lookup(g, CMAP_OUTER);
	emit(g, BPF_JMP | BPF_JNE | BPF_K, 0, 0, 2, 0);
	exit_with(g, 0);
	mov(g, 1, 0);
	mov(g, 2, 10);
	add_imm(g, 2, KEY);
	call(g, BPF_FUNC_map_lookup_elem);
	g->size = 32;
	null_test(g);
}

static void get_sample(struct gen *g)
{
	g->size = 8 * (1 + pick(g, 12));
	lddw(g, 1, BPF_PSEUDO_MAP_FD, CMAP_RING);
	mov_imm(g, 2, (s32)g->size);
	mov_imm(g, 3, 0);
	call(g, BPF_FUNC_ringbuf_reserve);
	g->sample = true;
	null_test(g);
}

static void get_pointer(struct gen *g)
{
	u32 how = pick(g, 9);

	if (how == 5 && (g->flags & VGEN_KERNEL))
		how = 0;
	switch (how) {
	case 0:
	case 1:
		g->size = lookup(g, how ? CMAP_HASH : CMAP_ARRAY);
		null_test(g);
		break;
	case 2:
		g->size = 64 - 8 * pick(g, 4);
		lddw(g, 9, BPF_PSEUDO_MAP_VALUE, CMAP_DATA | (u64)(64 - g->size) << 32);
		break;
	case 3:
		g->size = 32;
		g->rdonly = true;
		lddw(g, 9, BPF_PSEUDO_MAP_VALUE, CMAP_RODATA);
		break;
	case 4:
		g->size = 64;
		g->stack9 = true;
		mov(g, 9, 10);
		add_imm(g, 9, -64);
		break;
	case 5:
		lookup(g, CMAP_LOCKED);
		g->locked = true;
		g->size = 0;
		null_test(g);
		break;
	case 6:
		get_inner(g);
		break;
	default:
		get_sample(g);
	}
}

static void init_slots(struct gen *g)
{
	u32 skip = pick(g, 4) ? SLOTS : pick(g, SLOTS);

	for (u32 i = 0; i < SLOTS; i++)
		if (i != skip)
			emit(g, BPF_ST | BPF_MEM | BPF_DW, 10, 0, (s16)(-8 * (s32)(i + 1)), (s32)i);
}

static void init_numbers(struct gen *g)
{
	u32 bytes;

	if (g->ctx)
		emit(g, BPF_LDX | BPF_MEM | any_size(g, &bytes), 7, 6, (s16)(8 * pick(g, 21)), 0);
	else
		mov(g, 7, 1);
	if (pick(g, 2) && g->ctx)
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, 8, 6, (s16)(8 * pick(g, 21)), 0);
	else
		mov_imm(g, 8, constant(g));
	g->have |= 0x180;
}

static void finish(struct gen *g)
{
	if (g->sample && pick(g, 50)) {
		mov(g, 1, 9);
		mov_imm(g, 2, 0);
		call(g, pick(g, 2) ? BPF_FUNC_ringbuf_submit : BPF_FUNC_ringbuf_discard);
	}
	mov(g, 0, any_reg(g, 0x180));
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void main_program(struct gen *g)
{
	g->ctx = true;
	mov(g, 6, 1);
	init_slots(g);
	init_numbers(g);
	get_pointer(g);
	called(g, false);
	soup(g, 4 + pick(g, 20));
	finish(g);
}

/* A function: R1 a number (a callback for elements: a map), R2 or R4 a pointer. */
static void sub_program(struct gen *g, u32 i)
{
	enum sub_kind kind = g->sub[i].kind;
	u32 at = g->sub[i].at;

	g->insn[at].imm = (s32)(g->n - at - 1);
	g->ctx = g->sample = g->locked = false;
	g->keep = 0;
	g->have = 0;
	g->size = g->sub[i].size;
	g->rdonly = g->sub[i].rdonly;
	g->stack9 = g->sub[i].stack;
	mov(g, 9, kind == SUB_EACH ? 4 : 2);
	if (kind == SUB_EACH)
		mov_imm(g, 1, 5);
	init_slots(g);
	init_numbers(g);
	g->depth = 2;
	soup(g, 2 + pick(g, 6));
	g->depth = 0;
	if (kind == SUB_PLAIN)
		mov(g, 0, any_reg(g, 0x180));
	else if (pick(g, 2))
		mov_imm(g, 0, (s32)pick(g, 2));
	else {
		mov(g, 0, any_reg(g, 0x180));
		emit(g, BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, 1);
	}
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

u32 verify_generate(u64 *random, u32 flags, struct bpf_insn *out)
{
	struct gen g = {.insn = out, .random = random, .flags = flags};

	main_program(&g);
	for (u32 i = 0; i < g.nsubs; i++)
		sub_program(&g, i);
	return g.n;
}

/* --- functions ---------------------------------------------------------------------------------
 */

u32 verify_functions(const struct bpf_insn *insns, u32 n, struct bpf_func_info *out)
{
	static u8 start[VGEN_MAX + 1];
	u32 count = 0;

	memset(start, 0, sizeof(start));
	start[0] = 1;
	for (u32 i = 0; i < n; i++) {
		u32 to = i + 1 + (u32)insns[i].imm;

		if (((insns[i].code == (BPF_JMP | BPF_CALL) &&
		      insns[i].src_reg == BPF_PSEUDO_CALL) ||
		     (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
		      insns[i].src_reg == BPF_PSEUDO_FUNC)) &&
		    to < n)
			start[to] = 1;
	}
	for (u32 i = 0; i < n && count < VGEN_FUNCTIONS; i++)
		if (start[i])
			out[count++] = (struct bpf_func_info){i, 3};
	return count;
}

/* int; int (void); static f */
static const struct {
	struct btf_header head;
	u32 types[4 + 3 + 3];
	char names[8];
} btf = {
	.head = {.magic = BTF_MAGIC,
		 .version = BTF_VERSION,
		 .hdr_len = sizeof(struct btf_header),
		 .type_len = sizeof(btf.types),
		 .str_off = sizeof(btf.types),
		 .str_len = sizeof(btf.names)},
	.types = {1, BTF_KIND_INT << 24, 4, BTF_INT_SIGNED << 24 | 32, 0, BTF_KIND_FUNC_PROTO << 24,
		  1, 5, BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC, 2},
	.names = "\0int\0f",
};

const void *verify_btf(u32 *size)
{
	*size = sizeof(btf);
	return &btf;
}

/* --- mutation -------------------------------------------------------------------------------- */

/* A map stays one: PROG_LOAD has seen to that. */
static void mutate_lddw(u64 *random, struct bpf_insn *in)
{
	u64 r = checked_random(random);

	if (r % 2)
		in->dst_reg = (r >> 8) % 11;
	else if (in->src_reg == BPF_PSEUDO_MAP_FD)
		in->imm = (s32)((r >> 8) % CMAP_LOCKED); /* those beyond need BTF */
	else if (in->src_reg == BPF_PSEUDO_MAP_VALUE)
		in[1].imm = (s32)((r >> 8) % 32);
	else if (!in->src_reg)
		in[r >> 8 & 1].imm = (s32)checked_edge(random);
}

static void mutate_insn(u64 *random, struct bpf_insn *in)
{
	u64 r = checked_random(random);

	if (in->code == (BPF_LD | BPF_IMM | BPF_DW)) {
		mutate_lddw(random, in);
		return;
	}

	switch (r % 8) {
	case 0:
		in->dst_reg = (r >> 8) % 11;
		break;
	case 1:
		in->src_reg = (r >> 8) % 11;
		break;
	case 2:
		in->imm = (s32)checked_edge(random);
		break;
	case 3:
		in->imm += (s32)((r >> 8) % 3) - 1;
		break;
	case 4:
		in->off = (s16)(in->off + (s16)((r >> 8) % 5) - 2);
		break;
	case 5:
		in->off = (s16)(in->off + ((r >> 8) % 2 ? 8 : -8));
		break;
	case 6: /* another operation or size */
		in->code = (u8)((in->code & 0x0f) | (r >> 8 & 0xf0));
		break;
	default: /* another class or operand kind */
		in->code = (u8)(in->code ^ (1u << (r >> 8) % 4));
	}
	if (in->code == (BPF_LD | BPF_IMM | BPF_DW)) /* that would be two */
		in->code = BPF_ALU64 | BPF_MOV | BPF_K;
}

void verify_mutate(u64 *random, struct bpf_insn *insns, u32 n)
{
	u32 at = (u32)(checked_random(random) >> 9) % n;

	if (at && insns[at - 1].code == (BPF_LD | BPF_IMM | BPF_DW))
		at--;
	mutate_insn(random, &insns[at]);
}
