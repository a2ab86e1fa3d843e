/* SPDX-License-Identifier: BSD-2-Clause */
/* See jit_leaf.h. What a process has of its own is in a page right behind the code's. */
#include "jit_leaf.h"

#include "core/run/helper.h"
#include "jit_insn.h"
#include "jit_ops.h"

#define GUARD 8 /* bytes above the program's stack */
#define KEPT 48 /* bytes at the top of the frame: */
#define AX (-8) /* from the return address */
#define NEXT (-16) /* where the stub goes on: arch_jump_stub() */
#define FLAGS (-24)
#define CX (-32)
#define HELD (-40) /* anything, for a moment */
#define SP (-48)   /* the site's, if it is read */
#define PUSHED 144 /* bytes of the stub's above it, and it itself */
#define STACK_MAX 64u
#define INSNS_MAX 128u
#define REFS_MAX 64u

/* words of struct arch_regs */
enum { WORD_IP = 16, WORD_SP = 19 };
static const u8 word_of[16] = {10, 11, 12, 5, WORD_SP, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0};
#define READABLE (0x7fffull | 1ull << WORD_IP | 1ull << WORD_SP)

/* offsets in struct agent_leaf_entry, asserted in agent/leaf.c; and from the return address to the
 * record, whose words the ARCH_LEAF_REC_* are */
enum { ENTRY_LOW = 8, ENTRY_LANE = 16 };
#define RECORD (ARCH_STUB_RECORDS - ARCH_STUB_HEAD)

/* --- may it be one? ----------------------------------------------------------------------------
 */

static bool leads_ahead(const struct bpf_insn *in)
{
	return (s32)jump_target(in, 0) > 0 && BPF_OP(in->code) != BPF_JCOND;
}

static bool insn_may(const struct bpf_insn *in)
{
	if (is_jump(in))
		return leads_ahead(in);
	if (is_lddw(in))
		return in->src_reg == 0 || in->src_reg == EBPF_LD_REF;
	if (is_call(in))
		return in->code == (BPF_JMP | BPF_CALL) && !in->src_reg && !in->off &&
		       in->imm == BPF_FUNC_map_lookup_elem;
	return !ebpf_insn_probes(in);
}

static bool insns_may(const struct ebpf_image *img)
{
	const struct bpf_insn *in = ebpf_image_insns(img);

	for (u32 i = 0; i < img->ninsns; i += is_lddw(&in[i]) ? 2 : 1)
		if (!insn_may(&in[i]))
			return false;
	return true;
}

static bool image_may(const struct ebpf_image *img)
{
	return !(img->flags & ~EBPF_IMAGE_MAY_FAULT) && img->nsubprogs == 1 &&
	       img->ninsns <= INSNS_MAX && img->nrefs <= REFS_MAX && !img->ntimers &&
	       !img->ncallees && img->stack_depth <= STACK_MAX && !(img->ctx_read & ~READABLE) &&
	       insns_may(img);
}

/* --- registers --------------------------------------------------------------------------------
 */

/* What the code of some instructions needs besides the registers they name. */
#define SCRATCH (1u << R9 | 1u << R10 | 1u << R11 | 1u << RDX)

static u32 needs(const struct bpf_insn *in, bool bmi2)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);
	bool alu = class == BPF_ALU || class == BPF_ALU64;
	bool shift = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;

	if (is_call(in))
		return 1u << RDX;
	if (is_division(in))
		return SCRATCH;
	if (alu && shift && BPF_SRC(in->code) == BPF_X && !bmi2)
		return SCRATCH;
	if (class == BPF_STX && BPF_MODE(in->code) == BPF_ATOMIC)
		return SCRATCH;
	return 0;
}

static u32 names(const struct bpf_insn *in)
{
	bool pseudo = is_lddw(in);

	return 1u << jit_reg[in->dst_reg] | (pseudo ? 0 : 1u << jit_reg[in->src_reg]);
}

static u32 registers(const struct ebpf_image *img, bool bmi2)
{
	const struct bpf_insn *in = ebpf_image_insns(img);
	u32 regs = 0;

	for (u32 i = 0; i < img->ninsns; i += is_lddw(&in[i]) ? 2 : 1)
		regs |= names(&in[i]) | needs(&in[i], bmi2);
	return regs;
}

/* The part of the context from the first word that is read to the last one. */
static u32 plan_context(struct jit_leaf *l, u32 at)
{
	u32 first, last;

	if (!l->read)
		return at;
	first = (u32)__builtin_ctzll(l->read);
	last = 63 - (u32)__builtin_clzll(l->read);
	l->ctx = (s32)at - (s32)first * 8;
	return at + (last - first + 1) * 8;
}

bool jit_leaf_plan(struct jit_leaf *l, const struct ebpf_image *img, bool bmi2)
{
	u32 at = 0;

	if (!image_may(img))
		return false;
	*l = (struct jit_leaf){.read = img->ctx_read};
	l->stack = ALIGN_UP(img->stack_depth, 8u);
	l->saves = registers(img, bmi2) & ~(1u << RAX | 1u << RCX);
	if (l->stack)
		at = l->stack + GUARD;
	at = plan_context(l, at);
	for (u8 reg = 0; reg < ARRAY_SIZE(l->save); reg++) {
		if (!(l->saves >> reg & 1))
			continue;
		if (l->read >> word_of[reg] & 1) {
			l->save[reg] = l->ctx + word_of[reg] * 8;
			continue;
		}
		l->save[reg] = (s32)at;
		at += 8;
	}
	l->depth = at + KEPT;
	return true;
}

/* --- code -------------------------------------------------------------------------------------
 */

static void load(struct emit *e, u8 dst, u8 base, s32 disp)
{
	emit_rm(e, 0, true, 0x8b, dst, base, disp, false);
}

static void store(struct emit *e, u8 src, u8 base, s32 disp)
{
	emit_rm(e, 0, true, 0x89, src, base, disp, false);
}

/* [rip + ...]: word @i of the process's page, for what ends with this */
static void own_word(struct emit *e, u32 i)
{
	emit_bytes(e, ARCH_LEAF_MAX + i * 8 - (e->len + 4), 4);
}

static void load_own(struct emit *e, u8 dst, u32 i)
{
	emit_bytes(e, dst >= R8 ? 0x4c : 0x48, 1);
	emit_bytes(e, 0x8b, 1);
	emit_bytes(e, (dst & 7u) << 3 | 5u, 1);
	own_word(e, i);
}

void jit_leaf_ref(struct emit *e, u8 dst, u32 ref)
{
	load_own(e, dst, ARCH_LEAF_REFS + ref);
}

/* Until here nothing but the stack has changed: ARCH_LEAF_KEPT, and but rax: ARCH_LEAF_FLAGS. */
static void keep(struct emit *e, s32 depth)
{
	emit_bytes(e, 0x24848948, 4); /* mov %rax, -depth(%rsp): faults here or nowhere */
	emit_bytes(e, (u32)-depth, 4);
	store(e, RAX, RSP, AX);
	store(e, RCX, RSP, CX);
	emit_bytes(e, 0xc0900f9f, 4); /* lahf; seto %al */
	emit_rm(e, 0, false, 0x89, RAX, RSP, FLAGS, false);
}

static bool reads(const struct jit_leaf *l, u32 word)
{
	return l->read >> word & 1;
}

/* And what is told by the stack pointer: behind the commit that may be a copy's (agent/leaf.c). */
static void lead_on(struct emit *e, const struct jit_leaf *l)
{
	load(e, RCX, RSP, 0);
	emit_lea(e, RCX, RCX, ARCH_STUB_BACK - ARCH_STUB_HEAD);
	store(e, RCX, RSP, NEXT);
	if (reads(l, WORD_SP)) {
		emit_lea(e, RCX, RSP, PUSHED);
		store(e, RCX, RSP, SP);
	}
}

static void give_back(struct emit *e, s32 from)
{
	emit_rm(e, 0, false, 0x8b, RAX, RSP, from + FLAGS, false);
	emit_bytes(e, 0x9e7f04, 3); /* add $0x7f, %al; sahf */
	load(e, RCX, RSP, from + CX);
	load(e, RAX, RSP, from + AX);
}

/* rcx: the thread's entry, if it has one; rax: its lane */
static void ask(struct emit *e, struct jit_leaf *l)
{
	emit_load_self(e, RAX);
	emit_imul_imm(e, false, RCX, RAX, ARCH_LEAF_HASH);
	emit_shift_imm(e, false, X86_SHR, RCX, 32 - ARCH_LEAF_HASH_BITS);
	emit_shift_imm(e, false, X86_SHL, RCX, ARCH_LEAF_ENTRY_SHIFT);
	emit_bytes(e, 0x0d0348, 3); /* add own(%rip), %rcx */
	own_word(e, ARCH_LEAF_ENTRIES);
	emit_rm(e, 0, true, 0x39, RAX, RCX, 0, false);
	emit_jcc32(e, CC_NE, &l->claim);
	emit_mov(e, true, RAX, RSP);
	emit_rm(e, 0, true, 0x2b, RAX, RCX, ENTRY_LOW, false);
	emit_shift_imm(e, true, X86_SHR, RAX, ARCH_LEAF_WINDOW);
	emit_jcc32(e, CC_NE, &l->otherwise);
	load(e, RAX, RCX, ENTRY_LANE);
	load_own(e, RCX, ARCH_LEAF_LIFE);
	emit_rm(e, 0, false, 0xf7, 0, RCX, 3, false);
	emit_bytes(e, 0x140, 4); /* the owner died, times are wanted */
	emit_jcc32(e, CC_NE, &l->otherwise);
}

/* Of what the program reads, what is not where it was. */
static void put_special(struct emit *e, const struct jit_leaf *l)
{
	s32 top = (s32)l->depth;

	if (reads(l, word_of[RCX])) {
		load(e, RAX, RSP, top + CX);
		store(e, RAX, RSP, l->ctx + word_of[RCX] * 8);
	}
	if (reads(l, word_of[RAX])) {
		load(e, RAX, RSP, top + AX);
		store(e, RAX, RSP, l->ctx + word_of[RAX] * 8);
	}
	if (reads(l, WORD_SP)) {
		load(e, RAX, RSP, top + SP);
		store(e, RAX, RSP, l->ctx + WORD_SP * 8);
	}
}

static void put_registers(struct emit *e, const struct jit_leaf *l)
{
	for (u8 reg = 0; reg < ARRAY_SIZE(l->save); reg++) {
		if (reg == RAX || reg == RCX || reg == RSP)
			continue;
		if (reads(l, word_of[reg]))
			store(e, reg, RSP, l->ctx + word_of[reg] * 8);
		else if (l->saves >> reg & 1)
			store(e, reg, RSP, l->save[reg]);
	}
}

/* rax: the lane, rcx: the return address */
static void count(struct emit *e, const struct jit_leaf *l)
{
	emit_rm(e, 0, true, 0xff, 0, RAX, 0, false); /* incq: hits */
	if (reads(l, WORD_IP))
		store(e, RCX, RSP, (s32)l->depth + HELD);
	load(e, RCX, RCX, RECORD + 8 * ARCH_LEAF_REC_STAT);
	emit_rm_index(e, true, 0xff, 0, RAX, RCX, 1, 0);
	if (reads(l, WORD_IP)) {
		load(e, RCX, RSP, (s32)l->depth + HELD);
		load(e, RCX, RCX, RECORD + 8 * ARCH_LEAF_REC_SITE);
		store(e, RCX, RSP, l->ctx + WORD_IP * 8);
	}
}

void jit_leaf_enter(struct emit *e, struct jit_leaf *l)
{
	keep(e, (s32)l->depth);
	lead_on(e, l);
	ask(e, l);
	load(e, RCX, RSP, 0);
	l->commit = emit_label(e);
	emit_lea(e, RSP, RSP, -(s32)l->depth);
	count(e, l);
	put_registers(e, l);
	put_special(e, l);
	if (l->saves >> RDI & 1)
		emit_lea(e, RDI, RSP, l->ctx);
	if (l->saves >> RBP & 1)
		emit_lea(e, RBP, RSP, (s32)l->stack);
}

void jit_leaf_exit(struct emit *e, struct jit_leaf *l)
{
	l->cut = emit_label(e);
	for (u8 reg = 0; reg < ARRAY_SIZE(l->save); reg++)
		if (l->saves >> reg & 1)
			load(e, reg, RSP, l->save[reg]);
	give_back(e, (s32)l->depth);
	emit_lea(e, RSP, RSP, (s32)l->depth);
	l->ret = e->len;
	emit_bytes(e, 0xc3, 1);
}

void jit_leaf_cold(struct emit *e, struct jit_leaf *l)
{
	l->cold = l->otherwise = emit_label(e);
	give_back(e, 0);
	emit_bytes(e, 0x25ff, 2); /* jmp *own(%rip) */
	own_word(e, ARCH_LEAF_AGENT);
	l->claim = emit_label(e);
	emit_bytes(e, 0x25ff, 2);
	own_word(e, ARCH_LEAF_CLAIM);
}
