/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checker by itself. A program without loops needs no proof: every path is stepped from the
 * entry to its exit. A loop needs a stored state, which is made by hand here.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/check_proof.h"
#include "core/load/verify_proto.h"
#include "core/load/vstate.h"

#define INSN(c, d, s, o, i)                                                                        \
	{                                                                                          \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)                \
	}
#define MOVK(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ALUK(op, d, i) INSN(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALU(op, d, s) INSN(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define CALL(n) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, n)
#define CALL_SUB(n) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, n)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define STX(sz, d, s, o) INSN(BPF_STX | BPF_MEM | (sz), d, s, o, 0)
#define ST(sz, d, o, i) INSN(BPF_ST | BPF_MEM | (sz), d, 0, o, i)
#define LDX(sz, d, s, o) INSN(BPF_LDX | BPF_MEM | (sz), d, s, o, 0)
#define LDMAP(d, i) INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_FD, 0, i), INSN(0, 0, 0, 0, 0)
#define LDFUNC(d, to)                                                                              \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_FUNC, 0, to), INSN(0, 0, 0, 0, 0)
#define JK(op, d, i, o) INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
/* R0 = the value of key 0 of map 0, or NULL: 6 instructions */
#define LOOKUP                                                                                     \
	ST(BPF_W, 10, -4, 0), MOV(2, 10), ALUK(BPF_ADD, 2, -4), LDMAP(1, 0),                       \
		CALL(BPF_FUNC_map_lookup_elem)

enum { HASH, RING, LOCKED };
static const struct ebpf_vmap maps[] = {
	[HASH] = {.meta = {.type = BPF_MAP_TYPE_HASH,
			   .key_size = 4,
			   .value_size = 16,
			   .max_entries = 8}},
	[RING] = {.meta = {.type = BPF_MAP_TYPE_RINGBUF, .max_entries = 4096}},
	[LOCKED] = {.meta = {.type = BPF_MAP_TYPE_HASH,
			     .key_size = 4,
			     .value_size = 16,
			     .max_entries = 8},
		    .fields = {{EBPF_FIELD_SPIN_LOCK, 4, 4}},
		    .nfields = 1},
};

static char text[4096];
static u64 zeroed; /* slots of the main program, by the last one */

static int check(const struct bpf_insn *insns, u32 n, struct ebpf_proof *proof)
{
	struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
	struct ebpf_facts facts = {0};
	struct ebpf_proof none = {0};
	struct ebpf_vprog prog = {.insns = insns,
				  .ninsns = n,
				  .prog_type = BPF_PROG_TYPE_KPROBE,
				  .gpl = true,
				  .nr_cpus = 2,
				  .maps = maps,
				  .nmaps = ARRAY_SIZE(maps)};
	int r = ebpf_check_proof(&prog, proof ? proof : &none, &log, &facts);

	ebpf_log_end(&log);
	zeroed = facts.subprog[0].zero;
	ebpf_facts_free(&facts);
	ebpf_proof_free(&none);
	return r;
}

#define ACCEPT(...)                                                                                \
	do {                                                                                       \
		const struct bpf_insn p[] = {__VA_ARGS__};                                         \
		cr_expect_eq(check(p, ARRAY_SIZE(p), NULL), 0, "%s", text);                        \
	} while (0)
#define REFUSE(words, ...)                                                                         \
	do {                                                                                       \
		const struct bpf_insn p[] = {__VA_ARGS__};                                         \
		cr_expect_eq(check(p, ARRAY_SIZE(p), NULL), -EFAULT);                              \
		cr_expect(strstr(text, words), "%s", text);                                        \
	} while (0)

Test(check_proof, what_was_never_written)
{
	ACCEPT(MOVK(0, 0), EXIT);
	REFUSE("R0 is not known", EXIT);
	REFUSE("R3 is not known", MOV(0, 3), EXIT);
	REFUSE("R1 is not known", MOVK(1, 0), MOV(2, 1), MOVK(3, 0), CALL(BPF_FUNC_ktime_get_ns),
	       MOV(0, 1), EXIT);
}

Test(check_proof, values_of_maps)
{
	ACCEPT(LOOKUP, JK(BPF_JEQ, 0, 0, 1), ST(BPF_DW, 0, 8, 1), MOVK(0, 0), EXIT);
	REFUSE("may be NULL", LOOKUP, ST(BPF_DW, 0, 8, 1), MOVK(0, 0), EXIT);
	REFUSE("bytes 9 to 17", LOOKUP, JK(BPF_JEQ, 0, 0, 1), ST(BPF_DW, 0, 9, 1), MOVK(0, 0),
	       EXIT);
	REFUSE("bytes -1 to 0", LOOKUP, JK(BPF_JEQ, 0, 0, 1), ST(BPF_B, 0, -1, 1), MOVK(0, 0),
	       EXIT);
	/* the other branch is the one that isn't NULL */
	REFUSE("no pointer", LOOKUP, JK(BPF_JNE, 0, 0, 1), ST(BPF_DW, 0, 8, 1), MOVK(0, 0), EXIT);
}

/* A place in the stack is no NULL, but one that was moved by any number may be. */
Test(check_proof, an_address_that_was_moved_to_0)
{
#define MOVED(...)                                                                                 \
	LDX(BPF_DW, 3, 1, 112), MOV(2, 10), __VA_ARGS__, ALU(BPF_ADD, 2, 3), JK(BPF_JEQ, 2, 0, 2), \
		MOVK(0, 0), EXIT, LDX(BPF_DW, 0, 3, 0), EXIT
	ACCEPT(MOVED(ALUK(BPF_AND, 3, 255)));
	REFUSE("no pointer", MOVED(ALUK(BPF_RSH, 3, 1)));
	REFUSE("no pointer", MOVED(ALUK(BPF_RSH, 3, 1), INSN(BPF_ALU64 | BPF_NEG, 3, 0, 0, 0)));
}

Test(check_proof, a_place_that_varies)
{
	ACCEPT(LDX(BPF_DW, 6, 1, 112), LOOKUP, JK(BPF_JEQ, 0, 0, 3), JK(BPF_JGT, 6, 15, 2),
	       ALU(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), MOVK(0, 0), EXIT);
	REFUSE("bytes 0 to 17", LDX(BPF_DW, 6, 1, 112), LOOKUP, JK(BPF_JEQ, 0, 0, 3),
	       JK(BPF_JGT, 6, 16, 2), ALU(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), MOVK(0, 0), EXIT);
	/* signed: it may be far below */
	REFUSE("without bounds", LDX(BPF_DW, 6, 1, 112), LOOKUP, JK(BPF_JEQ, 0, 0, 3),
	       JK(BPF_JSGT, 6, 15, 2), ALU(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), MOVK(0, 0), EXIT);
}

Test(check_proof, the_stack)
{
	ACCEPT(ST(BPF_DW, 10, -512, 0), LDX(BPF_DW, 0, 10, -512), EXIT);
	REFUSE("bytes -520", ST(BPF_DW, 10, -520, 0), MOVK(0, 0), EXIT);
	REFUSE("bytes -4 to 4", ST(BPF_DW, 10, -4, 0), MOVK(0, 0), EXIT);
	/* a pointer that was spilled is one again, unless a byte of it was written */
	ACCEPT(STX(BPF_DW, 10, 1, -8), LDX(BPF_DW, 2, 10, -8), LDX(BPF_DW, 0, 2, 0), EXIT);
	REFUSE("no pointer", STX(BPF_DW, 10, 1, -8), ST(BPF_B, 10, -3, 0), LDX(BPF_DW, 2, 10, -8),
	       LDX(BPF_DW, 0, 2, 0), EXIT);
}

Test(check_proof, what_has_to_be_zeroed)
{
	ACCEPT(ST(BPF_DW, 10, -8, 0), LDX(BPF_DW, 0, 10, -8), EXIT);
	cr_expect_eq(zeroed, 0);
	ACCEPT(ST(BPF_W, 10, -16, 0), LDX(BPF_DW, 0, 10, -16), EXIT);
	cr_expect_eq(zeroed, 1 << 1);
	/* a helper may read what it doesn't write */
	ACCEPT(MOV(1, 10), ALUK(BPF_ADD, 1, -16), MOVK(2, 16), MOVK(3, 0),
	       CALL(BPF_FUNC_probe_read_user_str), MOVK(0, 0), EXIT);
	cr_expect_eq(zeroed, 3);
}

Test(check_proof, numbers_that_are_the_same)
{
	/* R7 is R6: what is learnt of one holds for the other */
	ACCEPT(LDX(BPF_DW, 6, 1, 112), MOV(7, 6), LOOKUP, JK(BPF_JEQ, 0, 0, 3),
	       JK(BPF_JGT, 7, 15, 2), ALU(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1), MOVK(0, 0), EXIT);
	/* R7 is R6 + 1 */
	REFUSE("bytes -1 to", LDX(BPF_DW, 6, 1, 112), MOV(7, 6), ALUK(BPF_ADD, 7, 1), LOOKUP,
	       JK(BPF_JEQ, 0, 0, 3), JK(BPF_JGT, 7, 15, 2), ALU(BPF_ADD, 0, 6), ST(BPF_B, 0, 0, 1),
	       MOVK(0, 0), EXIT);
}

#define RESERVE                                                                                    \
	LDMAP(1, RING), MOVK(2, 8), MOVK(3, 0), CALL(BPF_FUNC_ringbuf_reserve),                    \
		JK(BPF_JEQ, 0, 0, 4), MOV(1, 0)
#define SUBMIT MOVK(2, 0), CALL(BPF_FUNC_ringbuf_submit)

Test(check_proof, samples_are_given_back)
{
	ACCEPT(RESERVE, ST(BPF_DW, 1, 0, 1), SUBMIT, MOVK(0, 0), EXIT);
	REFUSE("not given back", RESERVE, ST(BPF_DW, 1, 0, 1), MOVK(2, 0), MOVK(2, 0), MOVK(0, 0),
	       EXIT);
	REFUSE("R1 is not known", RESERVE, MOV(6, 1), SUBMIT, LDX(BPF_DW, 0, 1, 0), EXIT);
	REFUSE("bytes 4 to 12", RESERVE, ST(BPF_DW, 1, 4, 1), SUBMIT, MOVK(0, 0), EXIT);
}

Test(check_proof, a_sample_in_the_stack_is_given_back_too)
{
	REFUSE("no pointer", LDMAP(1, RING), MOVK(2, 8), MOVK(3, 0), CALL(BPF_FUNC_ringbuf_reserve),
	       JK(BPF_JNE, 0, 0, 2), MOVK(0, 0), EXIT, STX(BPF_DW, 10, 0, -8), MOV(1, 0), SUBMIT,
	       LDX(BPF_DW, 1, 10, -8), LDX(BPF_DW, 0, 1, 0), EXIT);
}

#define LOCK_LOOKUP                                                                                \
	ST(BPF_W, 10, -4, 0), MOV(2, 10), ALUK(BPF_ADD, 2, -4), LDMAP(1, LOCKED),                  \
		CALL(BPF_FUNC_map_lookup_elem), JK(BPF_JNE, 0, 0, 2), MOVK(0, 0), EXIT

Test(check_proof, locks)
{
	ACCEPT(LOCK_LOOKUP, MOV(6, 0), MOV(1, 0), ALUK(BPF_ADD, 1, 4), CALL(BPF_FUNC_spin_lock),
	       ST(BPF_DW, 6, 8, 1), MOV(1, 6), ALUK(BPF_ADD, 1, 4), CALL(BPF_FUNC_spin_unlock),
	       MOVK(0, 0), EXIT);
	REFUSE("not given back", LOCK_LOOKUP, MOV(1, 0), ALUK(BPF_ADD, 1, 4),
	       CALL(BPF_FUNC_spin_lock), MOVK(0, 0), EXIT);
	REFUSE("while a lock is held", LOCK_LOOKUP, MOV(1, 0), ALUK(BPF_ADD, 1, 4),
	       CALL(BPF_FUNC_spin_lock), CALL(BPF_FUNC_ktime_get_ns), MOVK(0, 0), EXIT);
	REFUSE("only helpers may touch", LOCK_LOOKUP, ST(BPF_W, 0, 4, 1), MOVK(0, 0), EXIT);
	REFUSE("beside the field", LOCK_LOOKUP, MOV(1, 0), CALL(BPF_FUNC_spin_lock), MOVK(0, 0),
	       EXIT);
}

Test(check_proof, the_low_half_of_an_address)
{
	ACCEPT(MOV(2, 10), INSN(BPF_ALU | BPF_SUB | BPF_K, 2, 0, 0, 8), MOV(0, 2), EXIT);
	REFUSE("no pointer", MOV(2, 10), INSN(BPF_ALU | BPF_SUB | BPF_K, 2, 0, 0, 8),
	       LDX(BPF_DW, 0, 2, 0), EXIT);
	REFUSE("other than", MOV(2, 10), INSN(BPF_ALU | BPF_XOR | BPF_K, 2, 0, 0, 8), MOV(0, 2),
	       EXIT);
}

Test(check_proof, functions)
{
	ACCEPT(MOVK(1, 5), CALL_SUB(1), EXIT, MOV(0, 1), EXIT);
	REFUSE("R2 is not known", MOVK(1, 5), CALL_SUB(1), EXIT, MOV(0, 2), EXIT);
	REFUSE("a stack that is gone", CALL_SUB(1), EXIT, MOV(0, 10), EXIT);
	REFUSE("ends before this one", MOV(1, 10), CALL_SUB(1), EXIT, STX(BPF_DW, 1, 10, -8),
	       MOVK(0, 0), EXIT);
}

/* What is called is bad: it reads where a number points to. */
#define CALLS_BAD(...)                                                                             \
	__VA_ARGS__, LDFUNC(2, 6), MOVK(3, 0), MOVK(4, 0), CALL(BPF_FUNC_loop), MOVK(0, 0), EXIT,  \
		LDX(BPF_DW, 0, 1, 0), EXIT

Test(check_proof, bpf_loop_calls_as_often_as_it_may)
{
	ACCEPT(CALLS_BAD(MOVK(1, 0)));
	REFUSE("no pointer", CALLS_BAD(MOVK(1, 1)));
	REFUSE("no pointer", CALLS_BAD(LDX(BPF_DW, 1, 1, 112), ALUK(BPF_AND, 1, 1)));
}

Test(check_proof, the_loop_that_is_walked)
{
	ACCEPT(MOVK(0, 0), ALUK(BPF_ADD, 0, 1), JK(BPF_JLT, 0, 100, -2), EXIT);
}

/* --- with a stored state --------------------------------------------------------------------- */

static struct ebpf_proof stored(u32 insn)
{
	struct ebpf_proof proof = {.states = calloc(1, sizeof(*proof.states)), .nstates = 1};
	struct ebpf_vframe *f;

	proof.states->insn = insn;
	cr_assert_eq(ebpf_vframe_push(&proof.states->state), 0);
	f = ebpf_vframe(&proof.states->state);
	f->callsite = ~0u;
	f->regs[BPF_REG_10].type = VT_STACK;
	ebpf_scalar_const(&f->regs[BPF_REG_10].val, 0);
	for (u32 i = 0; i < BPF_REG_10; i++)
		ebpf_scalar_unknown(&f->regs[i].val);
	return proof;
}

static const struct bpf_insn endless[] = {MOVK(0, 0), JK(BPF_JEQ, 0, 1, 1),
					  INSN(BPF_JMP | BPF_JA, 0, 0, -2, 0), EXIT};

Test(check_proof, a_cycle_that_nothing_bounds)
{
	struct ebpf_proof proof = stored(1);

	proof.states->state.frame[0]->regs[BPF_REG_0].type = VT_SCALAR;
	cr_expect_eq(check(endless, ARRAY_SIZE(endless), &proof), -EFAULT);
	cr_expect(strstr(text, "a loop that nothing bounds"), "%s", text);
	ebpf_proof_free(&proof);
}

static const struct bpf_insn bounded[] = {MOVK(0, 0), INSN(BPF_JMP | BPF_JCOND, 0, 0, 1, 0),
					  INSN(BPF_JMP | BPF_JA, 0, 0, -2, 0), EXIT};

Test(check_proof, a_cycle_that_uses_up_a_budget)
{
	struct ebpf_proof proof = stored(1);

	proof.states->state.frame[0]->regs[BPF_REG_0].type = VT_SCALAR;
	cr_expect_eq(check(bounded, ARRAY_SIZE(bounded), &proof), 0, "%s", text);
	ebpf_proof_free(&proof);
}

/* A state that says more than is so isn't reached: the path goes on, and finds no end. */
Test(check_proof, a_state_that_claims_too_much)
{
	struct ebpf_proof proof = stored(1);

	proof.states->state.frame[0]->regs[BPF_REG_0].type = VT_SCALAR;
	ebpf_scalar_const(&proof.states->state.frame[0]->regs[BPF_REG_0].val, 1);
	cr_expect_eq(check(endless, ARRAY_SIZE(endless), &proof), -EFAULT);
	cr_expect(strstr(text, "steps"), "%s", text);
	ebpf_proof_free(&proof);
}

/* The same of a call that is said to have called back already. */
Test(check_proof, a_state_that_claims_a_call)
{
	const struct bpf_insn p[] = {CALLS_BAD(MOVK(1, 1))};
	struct ebpf_proof proof = stored(5);
	struct ebpf_vframe *f = proof.states->state.frame[0];

	for (u32 i = BPF_REG_1; i <= BPF_REG_4; i++) {
		f->regs[i].type = VT_SCALAR;
		ebpf_scalar_const(&f->regs[i].val, i == BPF_REG_1);
	}
	f->regs[BPF_REG_2].type = VT_FUNC;
	f->regs[BPF_REG_2].obj = 1;
	f->cb_depth = 1;
	cr_expect_eq(check(p, ARRAY_SIZE(p), &proof), -EFAULT);
	cr_expect(strstr(text, "no pointer"), "%s", text);
	ebpf_proof_free(&proof);
}

/* One that takes bytes for written makes them so. */
Test(check_proof, a_state_that_takes_bytes_for_written)
{
	struct ebpf_proof proof = stored(1);
	struct ebpf_vframe *f = proof.states->state.frame[0];

	f->regs[BPF_REG_0].type = VT_SCALAR;
	cr_assert_eq(ebpf_vframe_grow(f, 3), 0);
	f->slots[2].kind[5] = VB_MISC;
	cr_expect_eq(check(bounded, ARRAY_SIZE(bounded), &proof), 0, "%s", text);
	cr_expect_eq(zeroed, 1 << 2);
	ebpf_proof_free(&proof);
}

/* R0 is forgotten, and then it is returned. */
Test(check_proof, a_state_that_forgets_too_much)
{
	struct ebpf_proof proof = stored(1);

	cr_expect_eq(check(bounded, ARRAY_SIZE(bounded), &proof), -EFAULT);
	cr_expect(strstr(text, "R0 is not known"), "%s", text);
	ebpf_proof_free(&proof);
}

static void pointer(struct ebpf_vreg *r, u32 type, u32 obj)
{
	r->type = (u8)type;
	r->obj = obj;
	ebpf_scalar_const(&r->val, 0);
}

static void sample(struct ebpf_vreg *r, u32 ref)
{
	pointer(r, VT_MEM, 0);
	r->flags = VREG_RINGBUF;
	r->mem_size = 8;
	r->ref_id = ref;
	r->id = ref;
}

/* R6 and R7 are the same sample, and one of them is used when it is gone. */
Test(check_proof, a_state_that_claims_two_references)
{
	const struct bpf_insn p[] = {LDMAP(1, RING),
				     MOVK(2, 8),
				     MOVK(3, 0),
				     CALL(BPF_FUNC_ringbuf_reserve),
				     JK(BPF_JNE, 0, 0, 2),
				     MOVK(0, 0),
				     EXIT,
				     MOV(6, 0),
				     MOV(7, 0),
				     MOV(1, 6),
				     MOVK(2, 0),
				     CALL(BPF_FUNC_ringbuf_submit),
				     LDX(BPF_DW, 0, 7, 0),
				     EXIT};
	struct ebpf_vref ref = {.id = 7, .kind = VREF_PTR};
	struct ebpf_proof proof = stored(10);
	struct ebpf_vframe *f = proof.states->state.frame[0];

	cr_assert_eq(ebpf_vref_add(&proof.states->state, &ref), 0);
	sample(&f->regs[BPF_REG_6], 7);
	sample(&f->regs[BPF_REG_7], 9);
	cr_expect_eq(check(p, ARRAY_SIZE(p), &proof), -EFAULT);
	cr_expect(strstr(text, "no pointer to memory"), "%s", text);
	ebpf_proof_free(&proof);
}

/* A spill of one byte that is 0, and byte 2 a part of it, as it were: it is 0xff. */
Test(check_proof, a_state_with_a_spill_in_pieces)
{
	const struct bpf_insn p[] = {LOOKUP,
				     JK(BPF_JNE, 0, 0, 2),
				     MOVK(0, 0),
				     EXIT,
				     ST(BPF_W, 10, -8, 0xff0000),
				     MOVK(1, 0),
				     LDX(BPF_B, 1, 10, -6),
				     ALU(BPF_ADD, 0, 1),
				     ST(BPF_B, 0, 0, 1),
				     MOVK(0, 0),
				     EXIT};
	struct ebpf_proof proof = stored(10);
	struct ebpf_vframe *f = proof.states->state.frame[0];

	pointer(&f->regs[BPF_REG_0], VT_MAP_VALUE, HASH);
	cr_assert_eq(ebpf_vframe_grow(f, 1), 0);
	f->slots[0].kind[0] = f->slots[0].kind[2] = VB_SPILL;
	f->slots[0].spilled.type = VT_SCALAR;
	ebpf_scalar_const(&f->slots[0].spilled.val, 0);
	cr_expect_eq(check(p, ARRAY_SIZE(p), &proof), -EFAULT);
	cr_expect(strstr(text, "bytes 0 to 256"), "%s", text);
	ebpf_proof_free(&proof);
}

/* R6 and R7 are the same number, and the state says so by an id that only the checker gives. */
Test(check_proof, a_state_with_an_id_of_the_checkers)
{
	const struct bpf_insn p[] = {LDX(BPF_DW, 6, 1, 112),
				     MOV(7, 6),
				     INSN(BPF_JMP | BPF_JCOND, 0, 0, 1, 0),
				     INSN(BPF_JMP | BPF_JA, 0, 0, -2, 0),
				     MOVK(0, 0),
				     EXIT};

	for (u32 given = 0; given < 2; given++) {
		struct ebpf_proof proof = stored(2);
		struct ebpf_vreg *r = proof.states->state.frame[0]->regs;

		r[BPF_REG_6].type = r[BPF_REG_7].type = VT_SCALAR;
		r[BPF_REG_6].id = r[BPF_REG_7].id = given ? PROOF_FIRST_ID + 9 : 9;
		cr_expect_eq(check(p, ARRAY_SIZE(p), &proof), given ? -EFAULT : 0, "%s", text);
		ebpf_proof_free(&proof);
	}
}

/* R7 is R6 + 4 on the way in, both are 8 more then: the state has other numbers for the same. */
Test(check_proof, a_state_that_counts_a_distance_from_elsewhere)
{
	const struct bpf_insn p[] = {LDX(BPF_DW, 6, 1, 112),
				     MOV(7, 6),
				     ALUK(BPF_ADD, 7, 4),
				     ALUK(BPF_ADD, 7, 8),
				     ALUK(BPF_ADD, 6, 8),
				     INSN(BPF_JMP | BPF_JCOND, 0, 0, 1, 0),
				     INSN(BPF_JMP | BPF_JA, 0, 0, -2, 0),
				     MOVK(0, 0),
				     EXIT};

	for (s32 delta = 3; delta < 6; delta++) {
		struct ebpf_proof proof = stored(5);
		struct ebpf_vreg *r = proof.states->state.frame[0]->regs;

		r[BPF_REG_6].type = r[BPF_REG_7].type = VT_SCALAR;
		r[BPF_REG_6].id = r[BPF_REG_7].id = 9;
		r[BPF_REG_7].delta = delta;
		cr_expect_eq(check(p, ARRAY_SIZE(p), &proof), delta == 4 ? 0 : -EFAULT, "%s", text);
		ebpf_proof_free(&proof);
	}
}

/* Else the budget of the first would last in the second. */
Test(check_proof, an_iterator_in_the_place_of_another)
{
#define ITER_NEW                                                                                   \
	MOV(1, 10), ALUK(BPF_ADD, 1, -8), MOVK(2, 0), MOVK(3, 4),                                  \
		INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, EKFUNC_ITER_NUM_NEW)
#define ITER_END                                                                                   \
	MOV(1, 10), ALUK(BPF_ADD, 1, -8),                                                          \
		INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, EKFUNC_ITER_NUM_DESTROY)
	ACCEPT(ITER_NEW, ITER_END, ITER_NEW, ITER_END, MOVK(0, 0), EXIT);
	REFUSE("in the place of another", ITER_NEW, ITER_NEW, ITER_END, MOVK(0, 0), EXIT);
}

Test(check_proof, a_state_that_is_none)
{
	struct ebpf_proof proof = stored(77);

	cr_expect_eq(check(bounded, ARRAY_SIZE(bounded), &proof), -EFAULT);
	cr_expect(strstr(text, "is none"), "%s", text);
	ebpf_proof_free(&proof);
}

/* --- ranks ----------------------------------------------------------------------------------- */

/* An edge from node 0 to node 1, on which the iterators of slots 1 and, with @uses, 2 last. */
static bool harmless(const struct ebpf_rank from[2], const struct ebpf_rank to[2], bool uses)
{
	struct ebpf_rank nodes[2][2] = {{from[0], to[0]}, {from[1], to[1]}};
	struct ebpf_ranks ranks = {.level = {nodes[0], nodes[1]}, .levels = 2};
	struct ebpf_edge edge = {
		0, 1, {2, {{BUDGET_ITER, 0, false, 1}, {BUDGET_ITER, 0, uses, 2}}}};

	return proof_harmless(&edge, &ranks);
}

#define ITER(slot)                                                                                 \
	{                                                                                          \
		BUDGET_ITER, 0, false, slot                                                        \
	}

Test(check_proof, ranks)
{
	const struct ebpf_rank one[] = {{1, ITER(1)}, {1, ITER(2)}};
	const struct ebpf_rank lower[] = {{0, ITER(3)}, {1, ITER(2)}};
	const struct ebpf_rank then_lower[] = {{1, ITER(1)}, {0, ITER(3)}};
	const struct ebpf_rank another[] = {{1, ITER(2)}, {1, ITER(2)}};
	const struct ebpf_rank gone[] = {{1, ITER(3)}, {0, ITER(2)}};

	cr_expect(harmless(one, lower, false), "a lower part");
	cr_expect_not(harmless(lower, one, true), "a higher one");
	cr_expect(harmless(one, then_lower, false), "a lower part at the second level");
	cr_expect_not(harmless(then_lower, one, true), "a higher one there");
	cr_expect(harmless(one, one, true), "a budget is used");
	cr_expect_not(harmless(one, one, false), "none is used");
	cr_expect_not(harmless(one, another, true), "a part with two budgets");
	cr_expect_not(harmless(another, one, false), "the same backwards");
	cr_expect_not(harmless(gone, gone, true), "a budget that doesn't last");
}
