/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The structural check: is this a program at all?
 *
 * Model: three passes over the instructions, each of which may rely on the former.
 *	encoding  every instruction alone: opcode, reserved fields, registers, lddw pairs
 *	layout    subprograms (targets of calls and function references), jumps stay inside theirs,
 *		  each ends in exit or goto
 *	flow      every instruction is reachable, the call graph is at most EBPF_MAX_FRAMES deep
 *
 * Rules: pure; the first fault found decides the errno; the text is the kernel's where it has one,
 * since people search for it. What is accepted here is memory-safe for the engines themselves, not
 * for the program's own loads and stores: that is the verifier's matter.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "core/load/check.h"
#include "core/run/helper.h"

#define MARK_LDDW2 1u	/* second half of a lddw */
#define MARK_SUBPROG 2u /* first instruction of a subprogram */
#define MARK_REACHED 4u

struct check {
	const struct bpf_insn *insns;
	u32 n;
	u32 prog_type;
	u32 flags;
	struct ebpf_log *log;
	u8 *marks;  /* n */
	u32 *stack; /* n: instructions to visit */
	u32 nstack;
	u32 starts[EBPF_MAX_SUBPROGS + 1]; /* ascending; the last entry is n */
	u32 nsubprogs;
	u8 depth[EBPF_MAX_SUBPROGS];	/* frames below this subprogram, itself included */
	u8 visiting[EBPF_MAX_SUBPROGS]; /* on the current path of the call graph */
};

#define refuse(c, err, ...)                                                                        \
	({                                                                                         \
		ebpf_log_printf((c)->log, __VA_ARGS__);                                            \
		-(err);                                                                            \
	})

/* The kernel, whose log it is where a program is loaded, doesn't. */
static void show_insn(struct check *c, u32 i)
{
	struct bpf_insn pair[2] = {c->insns[i], {0}};
	char text[128];

	if (c->flags & EBPF_CHECK_LATER)
		return;
	if (i + 1 < c->n)
		pair[1] = c->insns[i + 1];
	ebpf_disasm(pair, text, sizeof(text));
	ebpf_log_printf(c->log, "%u: (%02x) %s\n", i, c->insns[i].code, text);
}

static bool is_lddw(const struct bpf_insn *in)
{
	return in->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static bool is_pseudo_call(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_CALL;
}

static bool is_func_ref(const struct bpf_insn *in)
{
	return is_lddw(in) && in->src_reg == BPF_PSEUDO_FUNC;
}

/* --- encoding: one instruction alone --------------------------------------------------------- */

static int check_reg(struct check *c, u8 reg)
{
	if (reg > BPF_REG_10)
		return refuse(c, EINVAL, "R%d is invalid\n", reg);
	return 0;
}

static int check_dst(struct check *c, u8 reg)
{
	if (reg == BPF_REG_10)
		return refuse(c, EACCES, "frame pointer is read only\n");
	return check_reg(c, reg);
}

/* What would be wrong only where a path comes by is the verifier's matter. */
static bool left_to_paths(const struct check *c)
{
	return c->flags & (EBPF_CHECK_VERIFIED | EBPF_CHECK_PATHS);
}

/* The verifier asks for each instruction that it walks: see ebpf_check_fields(). */
static bool asked_later(const struct check *c)
{
	return c->flags & EBPF_CHECK_LATER;
}

static int check_alu_dst(struct check *c, u8 reg)
{
	return left_to_paths(c) ? check_reg(c, reg) : check_dst(c, reg);
}

static int unknown(struct check *c, const struct bpf_insn *in)
{
	return refuse(c, EINVAL, "unknown opcode %02x\n", in->code);
}

static int reserved(struct check *c, const char *what)
{
	return refuse(c, EINVAL, "%s uses reserved fields\n", what);
}

static int check_end(struct check *c, const struct bpf_insn *in)
{
	if (BPF_CLASS(in->code) == BPF_ALU64 && BPF_SRC(in->code) != BPF_TO_LE)
		return unknown(c, in);
	if ((in->src_reg || in->off || (in->imm != 16 && in->imm != 32 && in->imm != 64)) &&
	    !asked_later(c))
		return reserved(c, "BPF_END");
	return check_alu_dst(c, in->dst_reg);
}

static bool mov_off_ok(const struct bpf_insn *in)
{
	if (BPF_SRC(in->code) == BPF_K)
		return in->off == 0;
	return in->off == 0 || in->off == 8 || in->off == 16 ||
	       (in->off == 32 && BPF_CLASS(in->code) == BPF_ALU64);
}

static int check_shift(struct check *c, const struct bpf_insn *in)
{
	s32 width = BPF_CLASS(in->code) == BPF_ALU64 ? 64 : 32;

	if (BPF_SRC(in->code) == BPF_K && (in->imm < 0 || in->imm >= width) &&
	    !(c->flags & EBPF_CHECK_ISA) && !left_to_paths(c))
		return refuse(c, EINVAL, "invalid shift %d\n", in->imm);
	return 0;
}

static int check_div(struct check *c, const struct bpf_insn *in)
{
	if (BPF_SRC(in->code) == BPF_K && !in->imm && !(c->flags & EBPF_CHECK_ISA) &&
	    !left_to_paths(c))
		return refuse(c, EINVAL, "div by zero\n");
	return 0;
}

/* operand fields of the two-operand operations */
static int check_alu_fields(struct check *c, const struct bpf_insn *in, bool off_ok,
			    const char *what)
{
	bool x = BPF_SRC(in->code) == BPF_X;

	if ((!off_ok || (x ? in->imm != 0 : in->src_reg != 0)) && !asked_later(c))
		return reserved(c, what);
	if (x && check_reg(c, in->src_reg))
		return -EINVAL;
	return check_alu_dst(c, in->dst_reg);
}

static int check_alu(struct check *c, const struct bpf_insn *in)
{
	u8 op = BPF_OP(in->code);
	int r;

	switch (op) {
	case BPF_END:
		return check_end(c, in);
	case BPF_NEG:
		if (BPF_SRC(in->code) != BPF_K)
			return unknown(c, in);
		return check_alu_fields(c, in, !in->off && !in->imm, "BPF_NEG");
	case BPF_MOV:
		return check_alu_fields(c, in, mov_off_ok(in), "BPF_MOV");
	case BPF_DIV:
	case BPF_MOD:
		r = check_alu_fields(c, in, in->off == 0 || in->off == 1, "BPF_ALU");
		return r ? r : check_div(c, in);
	case BPF_LSH:
	case BPF_RSH:
	case BPF_ARSH:
		r = check_alu_fields(c, in, !in->off, "BPF_ALU");
		return r ? r : check_shift(c, in);
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_OR:
	case BPF_AND:
	case BPF_XOR:
		return check_alu_fields(c, in, !in->off, "BPF_ALU");
	default:
		return unknown(c, in);
	}
}

static int check_ldx(struct check *c, const struct bpf_insn *in)
{
	u8 mode = BPF_MODE(in->code);
	int r;

	if (mode != BPF_MEM && (mode != BPF_MEMSX || BPF_SIZE(in->code) == BPF_DW))
		return unknown(c, in);
	if (in->imm)
		return reserved(c, "BPF_LDX");
	r = check_reg(c, in->src_reg);
	return r ? r : check_dst(c, in->dst_reg);
}

static bool atomic_op_known(s32 imm)
{
	switch (imm) {
	case BPF_ADD:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
	case BPF_ADD | BPF_FETCH:
	case BPF_AND | BPF_FETCH:
	case BPF_OR | BPF_FETCH:
	case BPF_XOR | BPF_FETCH:
	case BPF_XCHG:
	case BPF_CMPXCHG:
		return true;
	default:
		return false;
	}
}

static int check_atomic(struct check *c, const struct bpf_insn *in)
{
	if (BPF_SIZE(in->code) != BPF_W && BPF_SIZE(in->code) != BPF_DW)
		return unknown(c, in);
	if (!atomic_op_known(in->imm))
		return refuse(c, EINVAL, "BPF_ATOMIC uses invalid atomic opcode %02x\n", in->imm);
	if ((in->imm & BPF_FETCH) && in->imm != BPF_CMPXCHG)
		return check_dst(c, in->src_reg);
	return 0;
}

static int check_stx(struct check *c, const struct bpf_insn *in)
{
	int r = check_reg(c, in->src_reg);

	r = r ? r : check_reg(c, in->dst_reg);
	if (r)
		return r;
	if (BPF_MODE(in->code) == BPF_ATOMIC)
		return check_atomic(c, in);
	if (BPF_MODE(in->code) != BPF_MEM)
		return unknown(c, in);
	return in->imm ? reserved(c, "BPF_STX") : 0;
}

static int check_st(struct check *c, const struct bpf_insn *in)
{
	if (BPF_MODE(in->code) != BPF_MEM)
		return unknown(c, in);
	if (in->src_reg)
		return reserved(c, "BPF_ST");
	return check_reg(c, in->dst_reg);
}

static bool lddw_kind_ok(const struct bpf_insn *in)
{
	switch (in->src_reg) {
	case 0:
	case BPF_PSEUDO_MAP_VALUE:
	case BPF_PSEUDO_MAP_IDX_VALUE:
		return true;
	case BPF_PSEUDO_MAP_FD:
	case BPF_PSEUDO_MAP_IDX:
	case BPF_PSEUDO_FUNC:
	case BPF_PSEUDO_BTF_ID:
		return in[1].imm == 0;
	default:
		return false;
	}
}

/* Its address: to see whether there is one. */
static bool names_kfunc(const struct bpf_insn *in)
{
	return in->imm > 0 && !in[1].imm &&
	       (ebpf_kfunc_get((u32)in->imm) ||
		(u32)in->imm - EBPF_KFUNC_CALLEE < EBPF_CALLEES_MAX);
}

static int check_lddw(struct check *c, const struct bpf_insn *in, u32 i)
{
	const struct bpf_insn *next = in + 1;

	if (i + 1 == c->n || next->code || next->dst_reg || next->src_reg || next->off)
		return refuse(c, EINVAL, "invalid bpf_ld_imm64 insn\n");
	if (in->off)
		return reserved(c, "BPF_LD_IMM64");
	if (in->src_reg == BPF_PSEUDO_BTF_ID && !names_kfunc(in))
		return refuse(c, EINVAL, "kernel variables (ksyms) do not exist in user space\n");
	if (!lddw_kind_ok(in))
		return refuse(c, EINVAL, "unrecognized bpf_ld_imm64 insn\n");
	return check_dst(c, in->dst_reg);
}

static int check_ld(struct check *c, const struct bpf_insn *in, u32 i)
{
	u8 mode = BPF_MODE(in->code);

	if (is_lddw(in))
		return check_lddw(c, in, i);
	if ((mode == BPF_ABS || mode == BPF_IND) && BPF_SIZE(in->code) != BPF_DW) {
		if (c->flags & EBPF_CHECK_LATER)
			return 0;
		return refuse(c, EINVAL,
			      "BPF_LD_[ABS|IND] instructions not allowed for this program type\n");
	}
	return unknown(c, in);
}

static int check_helper(struct check *c, const struct bpf_insn *in)
{
	const struct ebpf_helper *h;
	bool tracing;

	if (c->flags & (EBPF_CHECK_VERIFIED | EBPF_CHECK_LATER))
		return 0;
	h = in->imm >= 0 && in->imm < EBPF_MAX_HELPER_ID ? ebpf_helper_get((u32)in->imm) : NULL;
	if (!h || !h->name)
		return refuse(c, EINVAL, "invalid func unknown#%d\n", in->imm);
	tracing =
		c->prog_type == BPF_PROG_TYPE_KPROBE || c->prog_type == BPF_PROG_TYPE_PERF_EVENT ||
		c->prog_type == BPF_PROG_TYPE_TRACING || c->prog_type == BPF_PROG_TYPE_TRACEPOINT ||
		c->prog_type == BPF_PROG_TYPE_RAW_TRACEPOINT;
	if (h->where == EBPF_H_ANY || (tracing && (h->where & EBPF_H_TRACING)) ||
	    (c->prog_type == BPF_PROG_TYPE_TRACING && (h->where & EBPF_H_TYPED)) ||
	    (c->flags & EBPF_CHECK_ANY_HELPER))
		return 0;
	/* the words that every libbpf's feature probes look for */
	return refuse(c, EINVAL, "unknown func %s#%d in a program of this type\n", h->name,
		      in->imm);
}

static int check_kfunc(struct check *c, const struct bpf_insn *in)
{
	if ((c->flags & (EBPF_CHECK_VERIFIED | EBPF_CHECK_LATER)) ||
	    (in->imm > 0 && ebpf_kfunc_get((u32)in->imm)) ||
	    (u32)in->imm - EBPF_KFUNC_CALLEE < EBPF_CALLEES_MAX)
		return 0;
	return refuse(c, EINVAL,
		      "calling kernel function with BTF id %d is not allowed: it does not "
		      "exist in user space\n",
		      in->imm);
}

static int check_callx(struct check *c, const struct bpf_insn *in)
{
	if (!(c->flags & EBPF_CHECK_CALLX))
		return unknown(c, in);
	if (in->src_reg || in->off || in->imm)
		return reserved(c, "BPF_CALL");
	return check_reg(c, in->dst_reg);
}

static int check_call(struct check *c, const struct bpf_insn *in)
{
	if (BPF_SRC(in->code) == BPF_X)
		return check_callx(c, in);
	if ((in->dst_reg || in->off) && !asked_later(c))
		return reserved(c, "BPF_CALL");
	switch (in->src_reg) {
	case 0:
		return check_helper(c, in);
	case BPF_PSEUDO_CALL:
		return 0;
	case BPF_PSEUDO_KFUNC_CALL:
		return check_kfunc(c, in);
	default:
		return asked_later(c) ? 0 : reserved(c, "BPF_CALL");
	}
}

static int check_cond(struct check *c, const struct bpf_insn *in)
{
	bool x = BPF_SRC(in->code) == BPF_X;
	int r;

	if ((x ? in->imm : in->src_reg) && !asked_later(c))
		return reserved(c, "BPF_JMP/JMP32");
	r = x ? check_reg(c, in->src_reg) : 0;
	return r ? r : check_reg(c, in->dst_reg);
}

static int check_ja(struct check *c, const struct bpf_insn *in)
{
	bool wide = BPF_CLASS(in->code) == BPF_JMP32;

	if (BPF_SRC(in->code) != BPF_K)
		return unknown(c, in);
	if ((in->dst_reg || in->src_reg || (wide ? in->off : in->imm)) && !asked_later(c))
		return reserved(c, "BPF_JA");
	return 0;
}

/* the verifier has its own, the kernel's, words for this */
static int check_may_goto(struct check *c, const struct bpf_insn *in)
{
	if (c->flags & (EBPF_CHECK_VERIFIED | EBPF_CHECK_LATER))
		return 0;
	return in->dst_reg || in->src_reg || in->imm ? reserved(c, "BPF_JCOND") : 0;
}

static int check_exit(struct check *c, const struct bpf_insn *in)
{
	if (BPF_SRC(in->code) != BPF_K)
		return unknown(c, in);
	/* the kernel doesn't look at the offset */
	if ((in->dst_reg || in->src_reg || (in->off && !left_to_paths(c)) || in->imm) &&
	    !asked_later(c))
		return reserved(c, "BPF_EXIT");
	return 0;
}

static int check_jmp(struct check *c, const struct bpf_insn *in)
{
	bool jmp32 = BPF_CLASS(in->code) == BPF_JMP32;
	u8 op = BPF_OP(in->code);

	if (op == BPF_JA)
		return check_ja(c, in);
	if (op <= BPF_JSGE || (op >= BPF_JLT && op <= BPF_JSLE))
		return check_cond(c, in);
	if (op == BPF_CALL && !jmp32)
		return check_call(c, in);
	if (op == BPF_EXIT && !jmp32)
		return check_exit(c, in);
	if (op == BPF_JCOND && !jmp32 && BPF_SRC(in->code) == BPF_K)
		return check_may_goto(c, in);
	return unknown(c, in);
}

static int check_insn(struct check *c, u32 i)
{
	const struct bpf_insn *in = &c->insns[i];

	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		return check_alu(c, in);
	case BPF_LDX:
		return check_ldx(c, in);
	case BPF_LD:
		return check_ld(c, in, i);
	case BPF_ST:
		return check_st(c, in);
	case BPF_STX:
		return check_stx(c, in);
	default:
		return check_jmp(c, in);
	}
}

int ebpf_check_fields(const struct bpf_insn *in, struct ebpf_log *log)
{
	struct check c; /* not all of it: asked of every instruction */
	u8 class = BPF_CLASS(in->code);

	c.insns = in;
	c.n = 1;
	c.prog_type = 0;
	c.flags = EBPF_CHECK_VERIFIED;
	c.log = log;
	c.marks = NULL;
	c.nsubprogs = 0;
	if (class == BPF_ALU || class == BPF_ALU64)
		return check_alu(&c, in);
	return class == BPF_JMP || class == BPF_JMP32 ? check_jmp(&c, in) : 0;
}

int ebpf_check_served(const struct bpf_insn *in, u32 prog_type, struct ebpf_log *log)
{
	struct check c = {.insns = in, .n = 1, .prog_type = prog_type, .log = log};

	return check_helper(&c, in);
}

static int check_encoding(struct check *c)
{
	u32 i;
	int r;

	for (i = 0; i < c->n; i++) {
		r = check_insn(c, i);
		if (r) {
			show_insn(c, i);
			return r;
		}
		if (is_lddw(&c->insns[i]))
			i++;
	}
	return 0;
}

/* --- layout: subprograms and jumps ----------------------------------------------------------- */

static int add_subprog(struct check *c, u32 i)
{
	s64 target = (s64)i + c->insns[i].imm + 1;

	if (target < 0 || target >= c->n || (c->marks[target] & MARK_LDDW2))
		return refuse(c, EINVAL, "call to invalid destination\n");
	if (is_func_ref(&c->insns[i]) && target == 0)
		return refuse(c, EINVAL, "the main program is not a callback\n");
	if (c->marks[target] & MARK_SUBPROG)
		return 0;
	if (c->nsubprogs == EBPF_MAX_SUBPROGS)
		return refuse(c, E2BIG, "too many subprograms\n");
	c->marks[target] |= MARK_SUBPROG;
	c->nsubprogs++;
	return 0;
}

/* What is no pair after all is refused when instructions are looked at. */
static void find_pairs(struct check *c)
{
	for (u32 i = 0; i + 1 < c->n; i++)
		if (is_lddw(&c->insns[i]))
			c->marks[++i] |= MARK_LDDW2;
}

static void show_subprogs(struct check *c)
{
	for (u32 i = 0; i < c->nsubprogs; i++)
		ebpf_log_printf(c->log, "func#%u @%u\n", i, c->starts[i]);
}

static int find_subprogs(struct check *c)
{
	u32 i, k = 0;
	int r;

	find_pairs(c);
	c->marks[0] |= MARK_SUBPROG;
	c->nsubprogs = 1;
	for (i = 0; i < c->n; i++) {
		if (c->marks[i] & MARK_LDDW2)
			continue;
		if (!is_pseudo_call(&c->insns[i]) && !is_func_ref(&c->insns[i]))
			continue;
		r = add_subprog(c, i);
		if (r)
			return r;
	}
	for (i = 0; i < c->n; i++)
		if (c->marks[i] & MARK_SUBPROG)
			c->starts[k++] = i;
	c->starts[k] = c->n;
	return 0;
}

/* where a jump goes, or -1 when @in is none */
static s64 jump_target(const struct bpf_insn *in, u32 i)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	if ((class != BPF_JMP && class != BPF_JMP32) || op == BPF_CALL || op == BPF_EXIT)
		return -1;
	if (class == BPF_JMP32 && op == BPF_JA)
		return (s64)i + in->imm + 1;
	return (s64)i + in->off + 1;
}

static bool is_jump(const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;
}

static bool ends_path(const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	return (class == BPF_JMP && (op == BPF_EXIT || op == BPF_JA)) ||
	       (class == BPF_JMP32 && op == BPF_JA);
}

static int check_subprog(struct check *c, u32 start, u32 end)
{
	u32 i;

	for (i = start; i < end; i++) {
		s64 to;

		if ((c->marks[i] & MARK_LDDW2) || !is_jump(&c->insns[i]))
			continue;
		to = jump_target(&c->insns[i], i);
		if (to < start || to >= end)
			return refuse(c, EINVAL, "jump out of range from insn %u to %lld\n", i,
				      (long long)to);
		if (c->marks[to] & MARK_LDDW2)
			return refuse(c, EINVAL, "jump into the middle of ldimm64 insn %lld\n",
				      (long long)to - 1);
	}
	if ((c->marks[end - 1] & MARK_LDDW2) || !ends_path(&c->insns[end - 1])) {
		show_insn(c, end - 1);
		return refuse(c, EINVAL, "last insn is not an exit or jmp\n");
	}
	return 0;
}

static int check_layout(struct check *c)
{
	u32 s;
	int r;

	r = find_subprogs(c);
	if (!r && (c->flags & EBPF_CHECK_LATER) && !(c->flags & EBPF_CHECK_VERIFIED) &&
	    (c->log->level & 2))
		show_subprogs(c);
	for (s = 0; !r && s < c->nsubprogs; s++)
		r = check_subprog(c, c->starts[s], c->starts[s + 1]);
	return r;
}

/* --- flow: reachability and depth ------------------------------------------------------------ */

static void visit(struct check *c, u32 i)
{
	if (c->marks[i] & MARK_REACHED)
		return;
	c->marks[i] |= MARK_REACHED;
	c->stack[c->nstack++] = i;
}

static void visit_successors(struct check *c, u32 i)
{
	const struct bpf_insn *in = &c->insns[i];

	if (is_jump(in))
		visit(c, (u32)jump_target(in, i));
	if (is_pseudo_call(in) || is_func_ref(in))
		visit(c, i + in->imm + 1);
	if (is_lddw(in)) {
		c->marks[i + 1] |= MARK_REACHED;
		visit(c, i + 2);
	} else if (!ends_path(in)) {
		visit(c, i + 1);
	}
}

static int check_reachable(struct check *c)
{
	u32 i;

	visit(c, 0);
	while (c->nstack)
		visit_successors(c, c->stack[--c->nstack]);
	for (i = 0; i < c->n; i++)
		if (!(c->marks[i] & MARK_REACHED))
			return refuse(c, EINVAL, "unreachable insn %u\n", i);
	return 0;
}

static u32 subprog_of(const struct check *c, u32 pc)
{
	u32 lo = 0, hi = c->nsubprogs;

	while (hi - lo > 1) {
		u32 mid = (lo + hi) / 2;

		if (c->starts[mid] <= pc)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Recursion is walked as far as frames go, so it, too, is of that many. */
static int too_deep(struct check *c)
{
	return refuse(c, E2BIG, "the call stack of %u frames is too deep !\n", EBPF_MAX_FRAMES);
}

/* Frames needed by subprogram @s. The recursion is as deep as the program's call chain allows. */
static int frames_below(struct check *c, u32 s, u32 level)
{
	u32 i, deepest = 0;

	if (level > EBPF_MAX_FRAMES || c->visiting[s])
		return too_deep(c);
	if (c->depth[s])
		return level - 1 + c->depth[s] > EBPF_MAX_FRAMES ? too_deep(c) : 0;
	c->visiting[s] = 1;
	for (i = c->starts[s]; i < c->starts[s + 1]; i++) {
		const struct bpf_insn *in = &c->insns[i];
		u32 callee;
		int r;

		if ((c->marks[i] & MARK_LDDW2) || (!is_pseudo_call(in) && !is_func_ref(in)))
			continue;
		callee = subprog_of(c, i + in->imm + 1);
		r = frames_below(c, callee, level + 1);
		if (r)
			return r;
		deepest = MAX(deepest, c->depth[callee]);
	}
	c->visiting[s] = 0;
	c->depth[s] = (u8)(deepest + 1);
	return 0;
}

/* In the kernel's order: of two faults its is named. */
static int check_all(struct check *c)
{
	int r = check_layout(c);

	r = r ? r : check_encoding(c);
	if (r || (c->flags & EBPF_CHECK_VERIFIED))
		return r;
	if (!(c->flags & EBPF_CHECK_ISA))
		r = check_reachable(c);
	return r ? r : frames_below(c, 0, 1);
}

int ebpf_check_layout(const struct bpf_insn *insns, u32 ninsns, u32 prog_type, u32 flags,
		      struct ebpf_log *log, struct ebpf_layout *out)
{
	struct check c = {.insns = insns, .n = ninsns, .prog_type = prog_type, .flags = flags};
	_cleanup_free_ u8 *marks = NULL;
	_cleanup_free_ u32 *stack = NULL;
	int r;

	c.log = log;
	if (!ninsns || ninsns > EBPF_MAX_INSNS)
		return refuse(&c, E2BIG, "a program has 1 to %u instructions, not %u\n",
			      EBPF_MAX_INSNS, ninsns);
	marks = c.marks = calloc(ninsns, 1);
	stack = c.stack = calloc(ninsns, sizeof(u32));
	if (!marks || !stack)
		return -ENOMEM;
	r = check_all(&c);
	out->nsubprogs = c.nsubprogs;
	if (r)
		return r;
	out->frames = c.depth[0];
	memcpy(out->starts, c.starts, sizeof(out->starts));
	return 0;
}

/* --- the stack of a chain of calls ----------------------------------------------------------- */

static u32 deepest_callee(const struct bpf_insn *insns, u32 from, u32 to,
			  const struct ebpf_facts *facts, const u32 *depth)
{
	u32 deepest = 0;

	for (u32 i = from; i < to; i++) {
		u32 s = facts->nsubprogs;

		if ((facts->insn[i] & EBPF_FACT_SEEN) &&
		    (is_pseudo_call(&insns[i]) || is_func_ref(&insns[i])))
			while (s-- > 0 && facts->subprog[s].start != i + insns[i].imm + 1)
				;
		if (s < facts->nsubprogs)
			deepest = MAX(deepest, depth[s]);
	}
	return deepest;
}

u32 ebpf_check_depth(const struct bpf_insn *insns, u32 ninsns, const struct ebpf_facts *facts)
{
	u32 depth[EBPF_MAX_SUBPROGS] = {0};

	for (u32 round = 0; round < EBPF_MAX_FRAMES; round++)
		for (u32 s = facts->nsubprogs, end = ninsns; s-- > 0;) {
			u32 start = facts->subprog[s].start;

			depth[s] = facts->subprog[s].stack +
				   deepest_callee(insns, start, end, facts, depth);
			end = start;
		}
	return depth[0];
}

int ebpf_check_structure_flags(const struct bpf_insn *insns, u32 ninsns, u32 prog_type, u32 flags,
			       struct ebpf_log *log)
{
	struct ebpf_layout layout;
	int r = ebpf_check_layout(insns, ninsns, prog_type, flags, log, &layout);

	ebpf_log_end(log);
	return r;
}

int ebpf_check_structure(const struct bpf_insn *insns, u32 ninsns, u32 prog_type,
			 struct ebpf_log *log)
{
	return ebpf_check_structure_flags(insns, ninsns, prog_type, 0, log);
}
