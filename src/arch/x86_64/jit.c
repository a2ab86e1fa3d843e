/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF to x86-64.
 *
 * Registers: r0 rax, r1 rdi, r2 rsi, r3 rdx, r4 rcx, r5 r8 (the C arguments, so that a helper call
 * moves nothing), r6 rbx, r7 r13, r8 r14, r9 r15 (callee-saved in both worlds), r10 rbp; r12 holds
 * struct ebpf_run from the prologue to the epilogue; r9, r10, r11 of the CPU are scratch.
 *
 * A function saves only the callee-saved registers it names and has a frame only when it names r10.
 * A word above r10 belongs to nobody: a store that begins inside the frame and ends outside hits no
 * saved register.
 * Everything that differs from process to process is reached through r12: helpers [r12] and map
 * references [r12 + 16]; the code itself has no address in it. A function that neither calls nor
 * divides fetches a reference used in a loop once, into a register that is free then
 * (pick_cached()); a lookup in place is no call but where it is slow.
 *
 * Passes: two. In the first a jump ahead is long, so that what lies between two instructions is
 * never much more in the second (jumps are placed in lines, see emit_place_jump()): where it is
 * little enough the jump is short there. Distances are filled in when all addresses are known;
 * should a short one turn out to be too far, all is done again without regard to lines.
 *
 * Rules: the image has passed the structural check. Pure, process context.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/cleanup.h"
#include "core/run/helper.h"
#include "jit_emit.h"
#include "jit_insn.h"
#include "jit_leaf.h"
#include "jit_map.h"
#include "jit_ops.h"
#include "jit_self.h"

#define INT3 0xcc
#define RUN R12
#define CACHED R9
#define RUN_PROG 8 /* offsets in struct ebpf_run, asserted in core/run/prog.c */
#define RUN_REFS 16
#define RUN_CTX 40
#define RUN_MAY_GOTO 224
#define HELPER_TAIL_CALL 12
#define GUARD 8		/* bytes above r10 */
#define FAR (1u << 30)	/* an offset that is not known yet */
#define GROWTH_AHEAD 56 /* of a short distance, from pass to pass: four lines' */
#define GROWTH_BACK 16	/* and from here to the jump: its own line's */

bool x86_jit_avoid_bmi2;
bool x86_jit_avoid_lines;
bool arch_jit_asks;

struct func {
	u32 start, end; /* instructions */
	u32 entry;	/* offsets in the code: of the prologue, */
	u32 epilogue;
	u32 thunk;   /* of the entry for C callers, when it is a callback */
	u32 stack;   /* bytes of frame with its guard, 0: none */
	u64 zeros;   /* slots of it to clear */
	u8 saved[4]; /* callee-saved registers it names */
	u8 nsaved;
	bool cached; /* the reference .cached_ref is in CACHED throughout */
	u32 cached_ref;
	bool calls;	  /* calls anything: the stack is to be aligned */
	bool calls_often; /* anything but what a lookup in place does seldom */
	bool divides;
	bool pad; /* one word of padding for that */
	bool is_callback;
};

struct jit {
	struct emit e;
	const struct bpf_insn *insns;
	u32 n;
	const struct ebpf_image_ref *refs;
	struct func *funcs;
	u32 nfuncs;
	struct func *f; /* the one being emitted */
	u32 *addr;	/* n + 1: offset of each instruction's code, the first pass's ahead of us */
	u32 *stop;	/* n: where the code of each instruction ends */
	u32 *slow;	/* n: where its rest is, behind its function; 0: it has none */
	s16 *key;	/* n: where below r10 a lookup's key is, when that is known */
	u8 *target;	/* n: something jumps here */
	u8 *dead;	/* n: gives a register a value that nobody asks for */
	u8 *own_map;	/* n: a lookup whose map is in CACHED, and nowhere else */
	s32 *loops;	/* n + 1: change in the number of loops around each instruction */
	u32 paired;	/* the instruction behind some that became less, or none */
	u32 answered;	/* the one that has been emitted with that before it, or none */
	bool tail_calls; /* the program makes some */
	bool asks_cpu;	 /* something needs the run's CPU: offsets of how it is asked for, and */
	u32 cpu_slow, cpu_known; /* of where it is known */
	u32 nr_cpus;		 /* that values have whose part is looked up in place; 0: none is */
	struct jit_leaf *leaf;	 /* or NULL: to be called by the agent */
};

/* --- analysis -------------------------------------------------------------------------------- */

static struct func *func_at(struct jit *j, u32 pc)
{
	u32 i;

	for (i = 0; i < j->nfuncs && j->funcs[i].start != pc; i++)
		;
	return &j->funcs[i];
}

static void note_reg(struct func *f, u8 reg)
{
	u32 i;

	if (reg < BPF_REG_6 || reg > BPF_REG_9)
		return;
	for (i = 0; i < f->nsaved; i++)
		if (f->saved[i] == jit_reg[reg])
			return;
	f->saved[f->nsaved++] = jit_reg[reg];
}

static void note_loop(struct jit *j, u32 target, u32 i)
{
	if (target > i)
		return;
	j->loops[target]++;
	j->loops[i + 1]--;
}

static void analyse_insn(struct jit *j, struct func *f, u32 i)
{
	const struct bpf_insn *in = &j->insns[i];
	u8 src = in->src_reg;

	if (is_lddw(in)) {
		if (src == BPF_PSEUDO_FUNC)
			func_at(j, (u32)in->imm)->is_callback = true;
		src = 0;
	} else if (BPF_CLASS(in->code) == BPF_JMP && BPF_OP(in->code) == BPF_CALL) {
		f->calls = true;
		src = 0;
	} else if (is_division(in)) {
		f->divides = true;
	} else if (is_jump(in)) {
		j->target[jump_target(in, i)] = 1;
		note_loop(j, jump_target(in, i), i);
	}
	note_reg(f, in->dst_reg);
	note_reg(f, src);
	f->stack = MAX(f->stack, stack_used(in));
}

/*
 * A reference costs two loads where it is used. Where nothing is called or divided, r9 is free; the
 * first reference used in a loop stays there. What a lookup in place calls seldom is seen to there.
 */
static void pick_cached(struct jit *j, struct func *f)
{
	s32 depth = 0;

	for (u32 i = f->start; i < f->end; i++) {
		const struct bpf_insn *in = &j->insns[i];

		depth += j->loops[i];
		if (!is_lddw(in))
			continue;
		if (in->src_reg == EBPF_LD_REF && depth > 0 && !f->calls_often && !f->divides) {
			f->cached = true;
			f->cached_ref = (u32)in->imm;
			return;
		}
		depth += j->loops[++i];
	}
}

/* the words between the return address and the lowest one; calls want their sum even */
static void plan_frame(struct jit *j, struct func *f)
{
	u32 words = 1 + f->nsaved + (f == j->funcs);

	if (f->stack) {
		f->stack = ALIGN_UP(f->stack, 8);
		f->zeros &= ~0ULL >> (64 - f->stack / 8);
		f->stack += GUARD;
		words += 1 + f->stack / 8;
	}
	if (!f->calls || words % 2 == 0)
		return;
	if (f->stack)
		f->stack += 8;
	else
		f->pad = true;
}

/*
 * The instruction before @i that gave @reg its value, when all ways to @i come through it; else
 * @i. The second half of a lddw writes nothing: its code is a load that is never emitted.
 */
static u32 writer_of(const struct jit *j, u32 i, u8 reg)
{
	for (u32 k = i; k > j->f->start && !j->target[k]; k--) {
		bool half = k - 1 > j->f->start && is_lddw(&j->insns[k - 2]);

		if (!half && writes(&j->insns[k - 1], reg))
			return k - 1;
	}
	return i;
}

/* The reference to a map that is in @reg, or NULL. */
static const struct ebpf_image_ref *map_at(const struct jit *j, u32 i, u8 reg)
{
	const struct bpf_insn *in = &j->insns[writer_of(j, i, reg)];

	if (!is_lddw(in) || in->src_reg != EBPF_LD_REF || j->refs[in->imm].kind != EBPF_REF_MAP)
		return NULL;
	return &j->refs[in->imm];
}

/* r10 and a constant that leads into the frame */
static bool is_stack_at(const struct jit *j, u32 i, u8 reg)
{
	u32 at = writer_of(j, i, reg);
	const struct bpf_insn *in = &j->insns[at];

	if (in->code != (BPF_ALU64 | BPF_ADD | BPF_K) || in->imm >= 0 || in->imm < -EBPF_STACK_SIZE)
		return false;
	in = &j->insns[writer_of(j, at, reg)];
	return in->code == (BPF_ALU64 | BPF_MOV | BPF_X) && !in->off && in->src_reg == BPF_REG_10;
}

/*
 * A lookup that is done in place needs no address of its key when that is r10 and a constant. Of
 * the two instructions that make the address nothing is left if nobody else asks for it.
 */
static void analyse_lookup(struct jit *j, u32 i)
{
	u32 add, mov;

	if (!is_stack_at(j, i, BPF_REG_2))
		return;
	add = writer_of(j, i, BPF_REG_2);
	mov = writer_of(j, add, BPF_REG_2);
	j->key[i] = (s16)j->insns[add].imm;
	for (u32 k = mov + 1; k < i; k++)
		if (k != add && asks_for(&j->insns[k], BPF_REG_2))
			return;
	j->dead[mov] = j->dead[add] = 1;
}

/* Is what the store @k puts into its first four bytes a constant? Then it is in *value. */
static bool stores_constant(const struct jit *j, u32 k, u32 *value)
{
	const struct bpf_insn *in = &j->insns[k];

	if (BPF_MODE(in->code) != BPF_MEM ||
	    (BPF_SIZE(in->code) != BPF_W && BPF_SIZE(in->code) != BPF_DW))
		return false;
	if (BPF_CLASS(in->code) == BPF_STX) {
		in = &j->insns[writer_of(j, k, in->src_reg)];
		if ((in->code & ~(BPF_ALU ^ BPF_ALU64)) != (BPF_ALU | BPF_MOV | BPF_K))
			return false;
	}
	*value = (u32)in->imm;
	return true;
}

/*
 * The key of the lookup @i, when all ways to it come through the store of a constant. An array has
 * that element or it has not, and nobody need ask when the program runs.
 */
static bool constant_key(const struct jit *j, u32 i, u32 *value)
{
	for (u32 k = i; k > j->f->start && !j->target[k]; k--) {
		const struct bpf_insn *in = &j->insns[k - 1];

		if (spares(in, j->key[i]))
			continue;
		return (BPF_CLASS(in->code) == BPF_ST || BPF_CLASS(in->code) == BPF_STX) &&
		       in->dst_reg == BPF_REG_10 && in->off == j->key[i] &&
		       stores_constant(j, k - 1, value);
	}
	return false;
}

static void analyse_call(struct jit *j, u32 i)
{
	const struct ebpf_image_ref *map;

	if (j->insns[i].imm == BPF_FUNC_get_smp_processor_id && !arch_jit_asks)
		j->asks_cpu = true;
	if (j->insns[i].imm != BPF_FUNC_map_lookup_elem)
		return;
	map = map_at(j, i, BPF_REG_1);
	if (!map)
		return;
	analyse_lookup(j, i);
	if (!j->key[i] || !jit_map_in_place(&map->shape) || !map->shape.nr_cpus)
		return;
	j->asks_cpu = true;
	if (!j->nr_cpus)
		j->nr_cpus = map->shape.nr_cpus;
}

static bool calls_helper(const struct jit *j, u32 i, u32 helper)
{
	const struct bpf_insn *in = &j->insns[i];

	return in->code == (BPF_JMP | BPF_CALL) && !in->src_reg && (u32)in->imm == helper;
}

/* Is @i a lookup that is done in place? */
static bool is_in_place(const struct jit *j, u32 i)
{
	const struct ebpf_image_ref *map;

	if (!calls_helper(j, i, BPF_FUNC_map_lookup_elem) || !j->key[i])
		return false;
	map = map_at(j, i, BPF_REG_1);
	return map && jit_map_in_place(&map->shape) &&
	       (!map->shape.nr_cpus || map->shape.nr_cpus == j->nr_cpus);
}

static bool calls_often(const struct jit *j, const struct func *f)
{
	for (u32 i = f->start; i < f->end; i += is_lddw(&j->insns[i]) ? 2 : 1)
		if (is_call(&j->insns[i]) && !is_in_place(j, i))
			return true;
	return false;
}

/* Lookups whose map is in CACHED want it nowhere else, unless somebody else asks for it there. */
static void use_cached(struct jit *j, u32 i)
{
	u32 lddw = writer_of(j, i, BPF_REG_1);

	if (!is_in_place(j, i) || (u32)j->insns[lddw].imm != j->f->cached_ref)
		return;
	for (u32 k = lddw + 2; k < i; k++)
		if (asks_for(&j->insns[k], BPF_REG_1))
			return;
	j->own_map[i] = 1;
	j->dead[lddw] = 1;
}

static void analyse_calls(struct jit *j)
{
	for (u32 s = 0; s < j->nfuncs; s++) {
		j->f = &j->funcs[s];
		for (u32 i = j->f->start; i < j->f->end; i += is_lddw(&j->insns[i]) ? 2 : 1)
			if (j->insns[i].code == (BPF_JMP | BPF_CALL) && !j->insns[i].src_reg)
				analyse_call(j, i);
	}
}

static void plan_cached(struct jit *j)
{
	j->f->calls_often = calls_often(j, j->f);
	pick_cached(j, j->f);
	for (u32 i = j->f->start; j->f->cached && i < j->f->end; i++)
		use_cached(j, i);
}

static void analyse(struct jit *j, const struct ebpf_image *img)
{
	const u32 *starts = ebpf_image_subprogs(img);
	const u64 *zeros = ebpf_image_zeros(img);
	u32 s, i;

	for (s = 0; s < j->nfuncs; s++) {
		j->funcs[s].start = starts[s];
		j->funcs[s].zeros = zeros[s];
		j->funcs[s].end = s + 1 < j->nfuncs ? starts[s + 1] : j->n;
	}
	for (s = 0; s < j->nfuncs; s++)
		for (i = starts[s]; i < j->funcs[s].end; i += is_lddw(&j->insns[i]) ? 2 : 1)
			analyse_insn(j, &j->funcs[s], i);
	analyse_calls(j);
	for (s = 0; s < j->nfuncs; s++) {
		j->f = &j->funcs[s];
		plan_cached(j);
		plan_frame(j, j->f);
	}
}

/* --- frames ---------------------------------------------------------------------------------- */

static void load_ref(struct jit *j, u8 dst, u32 ref)
{
	if (j->leaf) {
		jit_leaf_ref(&j->e, dst, ref);
		return;
	}
	emit_rm(&j->e, 0, true, 0x8b, R11, RUN, RUN_REFS, false);
	emit_rm(&j->e, 0, true, 0x8b, dst, R11, (s32)(ref * 8), false);
}

/* r0 holds nothing yet */
static void clear_stack(struct jit *j)
{
	u64 mask = j->f->stack ? j->f->zeros : 0;

	if (mask)
		emit_mov_imm(&j->e, RAX, 0);
	for (s32 off = -8; mask; off -= 8, mask >>= 1)
		if (mask & 1)
			emit_rm(&j->e, 0, true, 0x89, RAX, RBP, off, false);
}

static void find_cpu(struct jit *j)
{
	jit_cpu_find(&j->e, j->nr_cpus, &j->cpu_slow);
	j->cpu_known = emit_label(&j->e);
}

static void ask_for_cpu(struct jit *j)
{
	j->cpu_slow = j->e.len;
	jit_cpu_ask(&j->e, j->nr_cpus);
	emit_bytes(&j->e, 0xe9, 1);
	emit_rel32(&j->e, &j->cpu_known);
}

static void prologue(struct jit *j)
{
	struct func *f = j->f;
	u32 i;

	f->entry = j->e.len;
	if (j->leaf) {
		jit_leaf_enter(&j->e, j->leaf);
		clear_stack(j);
		return;
	}
	if (f->stack) {
		emit_push(&j->e, RBP);
		emit_lea(&j->e, RBP, RSP, -GUARD);
		emit_alu_imm(&j->e, true, X86_SUB, RSP, (s32)f->stack);
	}
	if (f == j->funcs)
		emit_push(&j->e, RUN);
	for (i = 0; i < f->nsaved; i++)
		emit_push(&j->e, f->saved[i]);
	if (f->pad)
		emit_push(&j->e, RAX);
	if (f == j->funcs)
		emit_mov(&j->e, true, RUN, RSI);
	clear_stack(j);
	if (f == j->funcs && j->asks_cpu)
		find_cpu(j);
	if (f->cached)
		load_ref(j, CACHED, f->cached_ref);
}

/* back to the caller's registers and stack; rcx is dead at every end of a function */
static void leave_frame(struct jit *j)
{
	struct func *f = j->f;
	u32 i;

	if (f->pad)
		emit_pop(&j->e, RCX);
	for (i = f->nsaved; i-- > 0;)
		emit_pop(&j->e, f->saved[i]);
	if (f == j->funcs)
		emit_pop(&j->e, RUN);
	if (f->stack) {
		emit_lea(&j->e, RSP, RBP, GUARD);
		emit_pop(&j->e, RBP);
	}
}

static void leave(struct jit *j)
{
	if (j->leaf) {
		jit_leaf_exit(&j->e, j->leaf);
		return;
	}
	leave_frame(j);
	emit_bytes(&j->e, 0xc3, 1);
}

/*
 * The entry of a callback for C: the run comes as sixth argument. Before it stands which callback
 * it is (ebpf_callback_pc()).
 */
static void thunk(struct jit *j, struct func *f)
{
	emit_bytes(&j->e, f->start, 4);
	f->thunk = j->e.len;
	emit_push(&j->e, RUN);
	emit_mov(&j->e, true, RUN, R9);
	emit_bytes(&j->e, 0xe8, 1);
	emit_rel32(&j->e, &f->entry);
	emit_pop(&j->e, RUN);
	emit_bytes(&j->e, 0xc3, 1);
}

/* --- jumps and calls ------------------------------------------------------------------------- */

/* The distance ahead begins where, as the first pass knew it, instruction @i ends. */
static bool is_near(const struct jit *j, u32 to, u32 i)
{
	if (to > j->e.len)
		return (s32)(to - j->stop[i]) <= INT8_MAX - (j->e.lines ? GROWTH_AHEAD : 0);
	return j->e.len + 2 - to <= -INT8_MIN - (j->e.lines ? GROWTH_BACK : 0);
}

/* @cc < 0: always. The jump ends instruction @i. */
static void jump_to(struct jit *j, int cc, const u32 *to, u32 i)
{
	if (is_near(j, *to, i)) {
		emit_place_jump(&j->e, 2);
		emit_bytes(&j->e, cc < 0 ? 0xeb : 0x70u | (u32)cc, 1);
		emit_rel8(&j->e, to);
	} else if (cc < 0) {
		emit_place_jump(&j->e, 5);
		emit_bytes(&j->e, 0xe9, 1);
		emit_rel32(&j->e, to);
	} else {
		emit_jcc32(&j->e, (enum x86_cc)cc, to);
	}
}

/*
 * Does the instruction before @i, without which nobody gets here, leave in the flags whether its
 * result, which @i compares with 0, is?
 */
static bool flags_say(const struct jit *j, u32 i)
{
	const struct bpf_insn *in = &j->insns[i], *before = in - 1;
	u8 op = BPF_OP(in->code), did = BPF_OP(before->code);
	bool imm = BPF_SRC(before->code) == BPF_K;

	if (i == j->f->start || j->target[i] || j->paired == i)
		return false;
	if (BPF_SRC(in->code) != BPF_K || in->imm || (op != BPF_JEQ && op != BPF_JNE) ||
	    before->dst_reg != in->dst_reg)
		return false;
	if (BPF_CLASS(before->code) != BPF_ALU64 && BPF_CLASS(before->code) != BPF_ALU)
		return false;
	if (BPF_CLASS(before->code) == BPF_ALU64 && BPF_CLASS(in->code) == BPF_JMP32)
		return false;
	if (did == BPF_AND) /* some masks are moves */
		return !imm || (before->imm != 0xff && before->imm != 0xffff && before->imm != -1);
	return did == BPF_ADD || did == BPF_SUB || did == BPF_OR || did == BPF_XOR;
}

/* Is @i the jump of an operation whose other half is before it? Then nobody else comes here. */
static bool follows_closely(const struct jit *j, u32 i)
{
	const struct bpf_insn *in = &j->insns[i];

	return is_jump(in) && BPF_OP(in->code) != BPF_JA && BPF_OP(in->code) != BPF_JCOND &&
	       flags_say(j, i);
}

static void compare(struct jit *j, const struct bpf_insn *in)
{
	bool wide = BPF_CLASS(in->code) == BPF_JMP, x = BPF_SRC(in->code) == BPF_X;
	bool set = BPF_OP(in->code) == BPF_JSET;
	u8 dst = jit_reg[in->dst_reg];

	if (x && set)
		emit_test(&j->e, wide, dst, jit_reg[in->src_reg]);
	else if (x)
		emit_alu(&j->e, wide, X86_CMP, dst, jit_reg[in->src_reg]);
	else if (set)
		emit_test_imm(&j->e, wide, dst, in->imm);
	else if (!in->imm)
		emit_test(&j->e, wide, dst, dst);
	else
		emit_alu_imm(&j->e, wide, X86_CMP, dst, in->imm);
}

/* Jump when the run's budget is used up, else use one up: sub 1, add back the borrow, and jump. */
static void may_goto(struct jit *j, u32 target, u32 i)
{
	emit_rm(&j->e, 0, false, 0x83, X86_SUB, RUN, RUN_MAY_GOTO, false);
	emit_bytes(&j->e, 1, 1);
	emit_rm(&j->e, 0, false, 0x83, X86_ADC, RUN, RUN_MAY_GOTO, false);
	emit_bytes(&j->e, 0, 1);
	jump_to(j, CC_B, &j->addr[target], i);
}

/* Does the conditional jump @i lead over a jump, where nobody else gets, and no further? */
static bool leads_over_jump(const struct jit *j, u32 i)
{
	const struct bpf_insn *next = &j->insns[i + 1];

	return jump_target(&j->insns[i], i) == i + 2 && i + 1 < j->f->end && is_jump(next) &&
	       BPF_OP(next->code) == BPF_JA && !j->target[i + 1];
}

static void emit_jump(struct jit *j, u32 i)
{
	const struct bpf_insn *in = &j->insns[i];
	u32 target = jump_target(in, i);
	int cc = cc_of(BPF_OP(in->code));

	if (target == i + 1)
		return;
	if (BPF_OP(in->code) == BPF_JA) {
		jump_to(j, -1, &j->addr[target], i);
		return;
	}
	if (BPF_OP(in->code) == BPF_JCOND) {
		may_goto(j, target, i);
		return;
	}
	if (!flags_say(j, i))
		compare(j, in);
	if (leads_over_jump(j, i)) {
		cc ^= 1; /* the contrary */
		target = jump_target(in + 1, i + 1);
		j->answered = i + 1;
	}
	jump_to(j, cc, &j->addr[target], i);
}

static void emit_exit(struct jit *j, u32 i)
{
	bool bare = !j->leaf && !j->f->stack && !j->f->nsaved && !j->f->pad;

	if (i + 1 == j->f->end) {
		j->f->epilogue = j->e.len;
	} else if (!bare) {
		jump_to(j, -1, &j->f->epilogue, i);
		return;
	}
	leave(j);
}

/* A callee that makes a tail call leaves the other program's references in the run. */
static void call_bpf(struct jit *j, u32 pc)
{
	struct func *callee = func_at(j, pc);

	if (j->tail_calls) {
		emit_rm(&j->e, 0, false, 0xff, 6, RUN, RUN_PROG, false);
		emit_rm(&j->e, 0, false, 0xff, 6, RUN, RUN_REFS, false);
	}
	emit_bytes(&j->e, 0xe8, 1);
	emit_rel32(&j->e, &callee->entry);
	if (j->tail_calls) {
		emit_rm(&j->e, 0, false, 0x8f, 0, RUN, RUN_REFS, false);
		emit_rm(&j->e, 0, false, 0x8f, 0, RUN, RUN_PROG, false);
	}
}

/* The helper's number is in a register; one that is none answers -EINVAL. */
static void call_reg(struct jit *j, u8 reg)
{
	u32 bad, end;

	emit_mov(&j->e, true, R10, reg);
	emit_alu_imm(&j->e, true, X86_CMP, R10, EBPF_HELPER_CALLABLE - 1);
	bad = emit_jcc8(&j->e, CC_A);
	emit_mov(&j->e, true, R9, RUN);
	emit_rm(&j->e, 0, true, 0x8b, R11, RUN, 0, false);
	emit_bytes(&j->e, 0xd314ff43, 4); /* call *(r11, r10, 8) */
	end = emit_jmp8(&j->e);
	emit_patch8(&j->e, bad);
	emit_mov_imm(&j->e, RAX, (u64)-EINVAL);
	emit_patch8(&j->e, end);
}

/* r0 survives a tail call that is not made; two words keep the stack aligned. */
static void tail_call(struct jit *j)
{
	u32 stay;

	emit_push(&j->e, RAX);
	emit_push(&j->e, RAX);
	jit_call_helper(&j->e, EBPF_HELPER_TAIL_CALL);
	emit_mov(&j->e, true, R11, RAX);
	emit_pop(&j->e, RAX);
	emit_pop(&j->e, RAX);
	emit_test(&j->e, true, R11, R11);
	stay = emit_jcc8(&j->e, CC_E);
	emit_rm(&j->e, 0, true, 0x8b, RDI, RUN, RUN_CTX, false);
	emit_mov(&j->e, true, RSI, RUN);
	leave_frame(j);
	emit_bytes(&j->e, 0xe3ff41, 3); /* jmp *r11 */
	emit_patch8(&j->e, stay);
}

/* The instruction has a rest behind its function: as far away as can be until it is known. */
static void has_slow(struct jit *j, u32 i)
{
	if (!j->slow[i])
		j->slow[i] = FAR;
}

/* Does the instruction behind lookup @i, where nobody else comes by, ask if there was something? */
static bool asks_if_found(const struct jit *j, u32 i)
{
	const struct bpf_insn *in = &j->insns[i + 1];

	return i + 1 < j->f->end && !j->target[i + 1] && !in->dst_reg && !in->imm &&
	       (in->code == (BPF_JMP | BPF_JEQ | BPF_K) || in->code == (BPF_JMP | BPF_JNE | BPF_K));
}

/* What was found in place was found: whoever asks next has his answer. */
static void answer_found(struct jit *j, u32 i)
{
	if (!asks_if_found(j, i))
		return;
	j->addr[i + 1] = j->e.len;
	if (BPF_OP(j->insns[i + 1].code) == BPF_JNE)
		jump_to(j, -1, &j->addr[jump_target(&j->insns[i + 1], i + 1)], i + 1);
	j->stop[i + 1] = j->e.len;
	j->answered = i + 1;
}

/* False: the helper is to be called. */
static bool map_lookup(struct jit *j, u32 i)
{
	const struct ebpf_image_ref *map = map_at(j, i, BPF_REG_1);
	u8 at = j->own_map[i] ? CACHED : RDI;
	u32 index;

	if (!map || !j->key[i])
		return false;
	if (!is_in_place(j, i)) {
		jit_map_lookup_slow(&j->e, j->key[i]);
		return true;
	}
	if (!constant_key(j, i, &index) || !jit_map_element(&j->e, &map->shape, at, index)) {
		jit_map_lookup(&j->e, &map->shape, at, j->key[i], &j->slow[i]);
		has_slow(j, i);
	}
	answer_found(j, i);
	return true;
}

/* The same for update and delete, whose value is to be on the stack, too. */
static bool map_change(struct jit *j, u32 i, u32 helper)
{
	bool update = helper == BPF_FUNC_map_update_elem;

	if (!map_at(j, i, BPF_REG_1) || !is_stack_at(j, i, BPF_REG_2) ||
	    (update && !is_stack_at(j, i, BPF_REG_3)))
		return false;
	jit_map_change(&j->e, helper);
	return true;
}

/* Of a constant size, to the stack. */
static bool probe_read(struct jit *j, u32 i)
{
	const struct bpf_insn *in = &j->insns[writer_of(j, i, BPF_REG_2)];
	bool constant = in->code == (BPF_ALU64 | BPF_MOV | BPF_K) ||
			in->code == (BPF_ALU | BPF_MOV | BPF_K);

	if (arch_jit_asks || !constant || !is_stack_at(j, i, BPF_REG_1) ||
	    !jit_probe_read(&j->e, (u32)in->imm, &j->slow[i]))
		return false;
	has_slow(j, i);
	return true;
}

static bool pid_tgid(struct jit *j, u32 i)
{
	if (arch_jit_asks)
		return false;
	jit_pid_tgid(&j->e, &j->slow[i]);
	has_slow(j, i);
	return true;
}

/* False: the helper is to be called. */
static bool without_helper(struct jit *j, u32 i, u32 helper)
{
	switch (helper) {
	case BPF_FUNC_map_lookup_elem:
		return map_lookup(j, i);
	case BPF_FUNC_map_update_elem:
	case BPF_FUNC_map_delete_elem:
		return map_change(j, i, helper);
	case BPF_FUNC_get_smp_processor_id:
		if (!arch_jit_asks)
			jit_cpu(&j->e);
		return !arch_jit_asks;
	case BPF_FUNC_get_current_pid_tgid:
		return pid_tgid(j, i);
	case BPF_FUNC_probe_read:
	case BPF_FUNC_probe_read_user:
	case BPF_FUNC_probe_read_kernel:
		return probe_read(j, i);
	default:
		return false;
	}
}

static void emit_call(struct jit *j, u32 i)
{
	const struct bpf_insn *in = &j->insns[i];

	if (BPF_SRC(in->code) == BPF_X)
		call_reg(j, jit_reg[in->dst_reg]);
	else if (in->src_reg == BPF_PSEUDO_CALL)
		call_bpf(j, i + 1 + (u32)in->imm);
	else if (in->imm == HELPER_TAIL_CALL)
		tail_call(j);
	else if (in->imm == EBPF_HELPER_KFUNC + EKFUNC_TARGET)
		jit_call_target(&j->e, (u16)in->off);
	else if (!without_helper(j, i, (u32)in->imm))
		jit_call_helper(&j->e, (u32)in->imm);
}

static void emit_lddw(struct jit *j, const struct bpf_insn *in)
{
	u8 dst = jit_reg[in->dst_reg];

	if (in->src_reg == EBPF_LD_REF && j->f->cached && j->f->cached_ref == (u32)in->imm) {
		emit_mov(&j->e, true, dst, CACHED);
	} else if (in->src_reg == EBPF_LD_REF) {
		load_ref(j, dst, (u32)in->imm);
	} else if (in->src_reg == BPF_PSEUDO_FUNC) {
		/* lea dst, [rip + thunk] */
		emit_bytes(&j->e, dst >= R8 ? 0x4c : 0x48, 1);
		emit_bytes(&j->e, 0x8d, 1);
		emit_bytes(&j->e, (dst & 7u) << 3 | 5u, 1);
		emit_rel32(&j->e, &func_at(j, (u32)in->imm)->thunk);
	} else {
		emit_mov_imm(&j->e, dst, (u32)in[0].imm | (u64)(u32)in[1].imm << 32);
	}
}

/* How many instructions it makes into less, from @i on, where nobody comes by but through @i; or 0.
 */
static u32 emit_together(struct jit *j, u32 i)
{
	u32 n = 1;

	while (n < JIT_TOGETHER && i + n < j->f->end && !j->target[i + n])
		n++;
	return is_lddw(&j->insns[i]) ? 0 : jit_together(&j->e, &j->insns[i], n);
}

/* --- passes ---------------------------------------------------------------------------------- */

static int emit_insn(struct jit *j, u32 i)
{
	const struct bpf_insn *in = &j->insns[i];

	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		return jit_arith(&j->e, in);
	case BPF_LDX:
		if (ebpf_insn_probes(in)) {
			emit_guard(&j->e, &j->slow[i]);
			has_slow(j, i);
		}
		return jit_memory(&j->e, in);
	case BPF_ST:
	case BPF_STX:
		return jit_memory(&j->e, in);
	case BPF_LD:
		emit_lddw(j, in);
		return 0;
	default:
		break;
	}
	if (in->code == (BPF_JMP | BPF_EXIT))
		emit_exit(j, i);
	else if (BPF_OP(in->code) == BPF_CALL)
		emit_call(j, i);
	else
		emit_jump(j, i);
	return 0;
}

static int emit_func(struct jit *j)
{
	u32 i, used;
	int r;

	prologue(j);
	for (i = j->f->start; i < j->f->end; i += used) {
		used = 1;
		if (i == j->answered)
			continue;
		j->addr[i] = follows_closely(j, i) ? j->e.len : emit_label(&j->e);
		if (j->dead[i]) {
			used = is_lddw(&j->insns[i]) ? 2 : 1;
			j->paired = i + used;
			continue;
		}
		used = emit_together(j, i);
		if (used) {
			j->paired = i + used;
			continue;
		}
		used = is_lddw(&j->insns[i]) ? 2 : 1;
		r = emit_insn(j, i);
		if (r)
			return r;
		j->stop[i] = j->e.len;
	}
	return 0;
}

/* A function whose last instruction is a jump has its epilogue behind it. */
static void late_epilogue(struct jit *j)
{
	if (j->insns[j->f->end - 1].code == (BPF_JMP | BPF_EXIT))
		return;
	j->f->epilogue = j->e.len;
	leave(j);
}

/* Where a lookup was answered in place, what asked is to be asked here. */
static void go_on_behind(struct jit *j, u32 i)
{
	u32 last = i;

	if (calls_helper(j, i, BPF_FUNC_map_lookup_elem) && asks_if_found(j, i)) {
		const struct bpf_insn *in = &j->insns[++last];

		emit_test(&j->e, true, RAX, RAX);
		emit_jcc32(&j->e, (enum x86_cc)cc_of(BPF_OP(in->code)),
			   &j->addr[jump_target(in, last)]);
		last++;
	}
	emit_bytes(&j->e, 0xe9, 1);
	emit_rel32(&j->e, last == i ? &j->stop[i] : &j->addr[last]);
}

static void lookup_slow(struct jit *j, u32 i)
{
	if (j->leaf) { /* an array has no more */
		emit_mov_imm(&j->e, RAX, 0);
		return;
	}
	if (j->own_map[i])
		emit_mov(&j->e, true, RDI, CACHED);
	jit_map_lookup_slow(&j->e, j->key[i]);
	if (j->f->cached)
		load_ref(j, CACHED, j->f->cached_ref);
}

/* What its instructions do seldom. */
static void slow_paths(struct jit *j)
{
	if (j->f == j->funcs && j->asks_cpu)
		ask_for_cpu(j);
	for (u32 i = j->f->start; i < j->f->end; i++) {
		if (!j->slow[i])
			continue;
		j->slow[i] = j->e.len;
		if (ebpf_insn_probes(&j->insns[i]))
			emit_mov_imm(&j->e, jit_reg[j->insns[i].dst_reg], 0);
		else if (calls_helper(j, i, BPF_FUNC_map_lookup_elem))
			lookup_slow(j, i);
		else
			jit_call_helper(&j->e, (u32)j->insns[i].imm);
		go_on_behind(j, i);
	}
}

static void nothing_known(struct jit *j)
{
	for (u32 i = 0; i < j->n; i++)
		j->addr[i] = FAR;
	for (u32 s = 0; s < j->nfuncs; s++)
		j->funcs[s].epilogue = FAR;
}

static int one_pass(struct jit *j)
{
	u32 s;
	int r;

	j->answered = UINT32_MAX;
	j->e.len = 0;
	j->e.nfixes = 0;
	j->e.nguards = 0;
	j->e.fused_end = 0;
	for (s = 0; s < j->nfuncs; s++) {
		j->f = &j->funcs[s];
		r = emit_func(j);
		if (r)
			return r;
		late_epilogue(j);
		slow_paths(j);
		if (j->f->is_callback)
			thunk(j, j->f);
	}
	if (j->leaf)
		jit_leaf_cold(&j->e, j->leaf);
	emit_bytes(&j->e, INT3, 1);
	return 0;
}

/* Behind the code, ascending: the order in which it was emitted. */
static void fault_table(struct jit *j, struct arch_code *code)
{
	code->size = j->e.len;
	while (j->e.len % sizeof(u32))
		emit_bytes(&j->e, INT3, 1);
	code->faults = j->e.len;
	code->nfaults = j->e.nguards;
	for (u32 i = 0; i < j->e.nguards; i++) {
		emit_bytes(&j->e, j->e.guards[i].at, 4);
		emit_bytes(&j->e, *j->e.guards[i].to, 4);
	}
	code->len = j->e.len;
}

/* -ERANGE: a jump that was short in the second pass had to go too far. */
static int both_passes(struct jit *j, struct arch_code *code)
{
	_cleanup_free_ struct emit_guard *guards = NULL;
	_cleanup_free_ struct emit_fix *fixes = NULL;
	int r;

	j->e.fixes = NULL;
	j->e.guards = NULL;
	nothing_known(j);
	r = one_pass(j);
	if (r)
		return r;
	fixes = calloc(j->e.nfixes + 1, sizeof(*fixes));
	guards = calloc(j->e.nguards + 1, sizeof(*guards));
	if (!fixes || !guards)
		return -ENOMEM;
	j->e.fixes = fixes;
	j->e.guards = guards;
	r = one_pass(j);
	if (r)
		return r;
	if (!emit_fix_all(&j->e))
		return -ERANGE;
	fault_table(j, code);
	return code->len <= j->e.cap ? 0 : -ENOSPC;
}

/* Its lookups are done in place, and end there. */
static bool lookups_end(const struct jit *j)
{
	for (u32 i = 0; i < j->n; i += is_lddw(&j->insns[i]) ? 2 : 1) {
		const struct ebpf_image_ref *map;

		if (!is_call(&j->insns[i]))
			continue;
		map = map_at(j, i, BPF_REG_1);
		if (!is_in_place(j, i) || map->shape.nr_cpus ||
		    map->shape.kind >> 8 != BPF_MAP_TYPE_ARRAY)
			return false;
	}
	return true;
}

/* Its frame is another one. */
static int plan_leaf(struct jit *j, const struct ebpf_image *img)
{
	struct func *f = j->funcs;

	if (!j->leaf)
		return 0;
	j->f = f;
	if (f->cached || !jit_leaf_plan(j->leaf, img, j->e.bmi2) || !lookups_end(j))
		return -EOPNOTSUPP;
	f->stack = j->leaf->stack;
	f->zeros = f->stack ? *ebpf_image_zeros(img) & ~0ULL >> (64 - f->stack / 8) : 0;
	return 0;
}

static void jit_deinit(struct jit *j)
{
	free(j->funcs);
	free(j->addr);
	free(j->stop);
	free(j->slow);
	free(j->key);
	free(j->target);
	free(j->dead);
	free(j->own_map);
	free(j->loops);
}

static int jit_init(struct jit *j, const struct ebpf_image *img, u8 *out, size_t cap,
		    struct jit_leaf *leaf)
{
	u32 n = img->ninsns + 1;

	*j = (struct jit){
		.e = {.out = out,
		      .cap = cap,
		      .lines = !x86_jit_avoid_lines,
		      .bmi2 = __builtin_cpu_supports("bmi2") && !x86_jit_avoid_bmi2},
		.insns = ebpf_image_insns(img),
		.n = img->ninsns,
		.refs = ebpf_image_refs(img),
		.funcs = calloc(img->nsubprogs + 1, sizeof(*j->funcs)),
		.nfuncs = img->nsubprogs,
		.addr = calloc(n, sizeof(*j->addr)),
		.stop = calloc(n, sizeof(*j->stop)),
		.slow = calloc(n, sizeof(*j->slow)),
		.key = calloc(n, sizeof(*j->key)),
		.target = calloc(n, 1),
		.dead = calloc(n, 1),
		.own_map = calloc(n, 1),
		.loops = calloc(n, sizeof(*j->loops)),
		.tail_calls = img->flags & EBPF_IMAGE_TAIL_CALLS,
		.leaf = leaf,
	};
	return j->funcs && j->addr && j->stop && j->slow && j->key && j->target && j->dead &&
			       j->own_map && j->loops
		       ? 0
		       : -ENOMEM;
}

static int jit(const struct ebpf_image *img, u8 *out, size_t cap, struct arch_code *code,
	       struct jit_leaf *leaf)
{
	_cleanup_(jit_deinit) struct jit j;
	struct arch_code made;
	int r = jit_init(&j, img, out, cap, leaf);

	if (r)
		return r;
	analyse(&j, img);
	r = plan_leaf(&j, img);
	if (r)
		return r;
	r = both_passes(&j, &made);
	if (r == -ERANGE) {
		j.e.lines = false;
		r = both_passes(&j, &made);
	}
	if (r)
		return r;
	made.entry = j.funcs[0].entry;
	*code = made;
	return 0;
}

int arch_jit(const struct ebpf_image *img, u8 *out, size_t cap, struct arch_code *code)
{
	return jit(img, out, cap, code, NULL);
}

int arch_jit_leaf(const struct ebpf_image *img, u8 *out, struct arch_leaf *leaf)
{
	struct arch_code code;
	struct jit_leaf l;
	int r = jit(img, out, ARCH_LEAF_MAX, &code, &l);

	if (r)
		return r == -ENOSPC ? -EOPNOTSUPP : r;
	*leaf = (struct arch_leaf){
		.len = code.size,
		.commit = l.commit,
		.cut = l.cut,
		.ret = l.ret,
		.cold = l.cold,
		.depth = l.depth,
	};
	return 0;
}
