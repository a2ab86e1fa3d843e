/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction as text, in the notation of the kernel's verifier log and of bpftool: what people
 * read everywhere else. Pure; any byte pattern prints as something.
 */
#include "core/load/log_format.h"
#include "core/load/load.h"
#include "core/load/verify_proto.h"

struct text {
	char *buf;
	size_t size;
};

#define PRINT(t, ...) ebpf_log_format((t)->buf, (t)->size, __VA_ARGS__)

static const char *const alu_op[16] = {
	[BPF_ADD >> 4] = "+=",	  [BPF_SUB >> 4] = "-=",  [BPF_MUL >> 4] = "*=",
	[BPF_DIV >> 4] = "/=",	  [BPF_OR >> 4] = "|=",	  [BPF_AND >> 4] = "&=",
	[BPF_LSH >> 4] = "<<=",	  [BPF_RSH >> 4] = ">>=", [BPF_NEG >> 4] = "neg",
	[BPF_MOD >> 4] = "%=",	  [BPF_XOR >> 4] = "^=",  [BPF_MOV >> 4] = "=",
	[BPF_ARSH >> 4] = "s>>=",
};

static const char *const jmp_op[16] = {
	[BPF_JEQ >> 4] = "==",	 [BPF_JGT >> 4] = ">",	  [BPF_JLT >> 4] = "<",
	[BPF_JGE >> 4] = ">=",	 [BPF_JLE >> 4] = "<=",	  [BPF_JSET >> 4] = "&",
	[BPF_JNE >> 4] = "!=",	 [BPF_JSGT >> 4] = "s>",  [BPF_JSLT >> 4] = "s<",
	[BPF_JSGE >> 4] = "s>=", [BPF_JSLE >> 4] = "s<=",
};

static const char *size_name(u8 code)
{
	switch (BPF_SIZE(code)) {
	case BPF_W:
		return "u32";
	case BPF_H:
		return "u16";
	case BPF_B:
		return "u8";
	default:
		return "u64";
	}
}

static void print_end(const struct text *t, const struct bpf_insn *in)
{
	const char *name = BPF_SRC(in->code) == BPF_TO_BE ? "be" : "le";

	if (BPF_CLASS(in->code) == BPF_ALU64)
		name = "bswap";
	PRINT(t, "r%d = %s%d r%d", in->dst_reg, name, in->imm, in->dst_reg);
}

static void print_alu(const struct text *t, const struct bpf_insn *in)
{
	char r = BPF_CLASS(in->code) == BPF_ALU64 ? 'r' : 'w';
	u8 op = BPF_OP(in->code);
	const char *sign = in->off == 1 && (op == BPF_DIV || op == BPF_MOD) ? "s" : "";

	if (op == BPF_END)
		print_end(t, in);
	else if (op == BPF_NEG)
		PRINT(t, "%c%d = -%c%d", r, in->dst_reg, r, in->dst_reg);
	else if (!alu_op[op >> 4])
		PRINT(t, "bad alu op %x", op);
	else if (op == BPF_MOV && in->off && BPF_SRC(in->code) == BPF_X)
		PRINT(t, "%c%d = (s%d)%c%d", r, in->dst_reg, in->off, r, in->src_reg);
	else if (BPF_SRC(in->code) == BPF_X)
		PRINT(t, "%c%d %s%s %c%d", r, in->dst_reg, sign, alu_op[op >> 4], r, in->src_reg);
	else
		PRINT(t, "%c%d %s%s %d", r, in->dst_reg, sign, alu_op[op >> 4], in->imm);
}

static const char *fetch_name(s32 imm)
{
	switch (imm) {
	case BPF_ADD | BPF_FETCH:
		return "fetch_add";
	case BPF_AND | BPF_FETCH:
		return "fetch_and";
	case BPF_OR | BPF_FETCH:
		return "fetch_or";
	case BPF_XOR | BPF_FETCH:
		return "fetch_xor";
	case BPF_XCHG:
		return "xchg";
	default:
		return NULL;
	}
}

static void print_atomic(const struct text *t, const struct bpf_insn *in)
{
	const char *type = size_name(in->code);
	const char *wide = BPF_SIZE(in->code) == BPF_DW ? "64" : "";
	const char *fetch = fetch_name(in->imm);

	if (in->imm == BPF_CMPXCHG)
		PRINT(t, "r0 = atomic%s_cmpxchg((%s *)(r%d %+d), r0, r%d)", wide, type, in->dst_reg,
		      in->off, in->src_reg);
	else if (fetch)
		PRINT(t, "r%d = atomic%s_%s((%s *)(r%d %+d), r%d)", in->src_reg, wide, fetch, type,
		      in->dst_reg, in->off, in->src_reg);
	else if (in->imm == BPF_ADD || in->imm == BPF_AND || in->imm == BPF_OR ||
		 in->imm == BPF_XOR)
		PRINT(t, "lock *(%s *)(r%d %+d) %s r%d", type, in->dst_reg, in->off,
		      alu_op[BPF_OP(in->imm) >> 4], in->src_reg);
	else
		PRINT(t, "BUG_%02x", in->code);
}

static void print_store(const struct text *t, const struct bpf_insn *in)
{
	const char *type = size_name(in->code);

	if (BPF_MODE(in->code) == BPF_ATOMIC && BPF_CLASS(in->code) == BPF_STX)
		print_atomic(t, in);
	else if (BPF_MODE(in->code) != BPF_MEM)
		PRINT(t, "BUG_%02x", in->code);
	else if (BPF_CLASS(in->code) == BPF_STX)
		PRINT(t, "*(%s *)(r%d %+d) = r%d", type, in->dst_reg, in->off, in->src_reg);
	else
		PRINT(t, "*(%s *)(r%d %+d) = %d", type, in->dst_reg, in->off, in->imm);
}

static void print_ldx(const struct text *t, const struct bpf_insn *in)
{
	const char *type = size_name(in->code);

	if (BPF_MODE(in->code) == BPF_MEMSX)
		PRINT(t, "r%d = *(s%s *)(r%d %+d)", in->dst_reg, type + 1, in->src_reg, in->off);
	else if (BPF_MODE(in->code) == BPF_MEM)
		PRINT(t, "r%d = *(%s *)(r%d %+d)", in->dst_reg, type, in->src_reg, in->off);
	else
		PRINT(t, "BUG_%02x", in->code);
}

static void print_lddw(const struct text *t, const struct bpf_insn *in)
{
	u64 value = (u32)in[0].imm | (u64)(u32)in[1].imm << 32;

	switch (in->src_reg) {
	case BPF_PSEUDO_MAP_FD:
		PRINT(t, "r%d = map[fd:%d]", in->dst_reg, in->imm);
		break;
	case BPF_PSEUDO_MAP_VALUE:
		PRINT(t, "r%d = map[fd:%d][0]+%u", in->dst_reg, in->imm, (u32)in[1].imm);
		break;
	case BPF_PSEUDO_MAP_IDX:
		PRINT(t, "r%d = map[idx:%d]", in->dst_reg, in->imm);
		break;
	case BPF_PSEUDO_MAP_IDX_VALUE:
		PRINT(t, "r%d = map[idx:%d]+%u", in->dst_reg, in->imm, (u32)in[1].imm);
		break;
	case EBPF_LD_REF:
		PRINT(t, "r%d = ref[%d]", in->dst_reg, in->imm);
		break;
	case BPF_PSEUDO_FUNC:
		PRINT(t, "r%d = subprog[%+d]", in->dst_reg, in->imm);
		break;
	default:
		PRINT(t, "r%d = 0x%llx", in->dst_reg, (unsigned long long)value);
	}
}

static void print_ld(const struct text *t, const struct bpf_insn *in)
{
	if (in->code == (BPF_LD | BPF_IMM | BPF_DW))
		print_lddw(t, in);
	else if (BPF_MODE(in->code) == BPF_ABS)
		PRINT(t, "r0 = *(%s *)skb[%d]", size_name(in->code), in->imm);
	else if (BPF_MODE(in->code) == BPF_IND)
		PRINT(t, "r0 = *(%s *)skb[r%d + %d]", size_name(in->code), in->src_reg, in->imm);
	else
		PRINT(t, "BUG_ld_%02x", in->code);
}

static void print_kfunc(const struct text *t, s32 id)
{
	const struct ebpf_proto *p = id > 0 ? ebpf_proto_kfunc((u32)id) : NULL;

	PRINT(t, "call %s#%d", p ? p->name : "kernel-function", id);
}

static void print_call(const struct text *t, const struct bpf_insn *in)
{
	if (BPF_SRC(in->code) == BPF_X)
		PRINT(t, "callx r%d", in->dst_reg);
	else if (in->src_reg == BPF_PSEUDO_CALL)
		PRINT(t, "call pc%+d", in->imm);
	else if (in->src_reg == BPF_PSEUDO_KFUNC_CALL)
		print_kfunc(t, in->imm);
	else
		PRINT(t, "call %s#%d", ebpf_proto_name((u32)in->imm), in->imm);
}

static void print_jmp(const struct text *t, const struct bpf_insn *in)
{
	bool wide = BPF_CLASS(in->code) == BPF_JMP;
	char r = wide ? 'r' : 'w';
	u8 op = BPF_OP(in->code);

	if (op == BPF_CALL && wide)
		print_call(t, in);
	else if (op == BPF_EXIT && wide)
		PRINT(t, "exit");
	else if (op == BPF_JA && wide)
		PRINT(t, "goto pc%+d", in->off);
	else if (op == BPF_JA)
		PRINT(t, "gotol pc%+d", in->imm);
	else if (op == BPF_JCOND && wide)
		PRINT(t, "may_goto pc%+d", in->off);
	else if (!jmp_op[op >> 4])
		PRINT(t, "bad jmp op %x", op);
	else if (BPF_SRC(in->code) == BPF_X)
		PRINT(t, "if %c%d %s %c%d goto pc%+d", r, in->dst_reg, jmp_op[op >> 4], r,
		      in->src_reg, in->off);
	else
		PRINT(t, "if %c%d %s 0x%x goto pc%+d", r, in->dst_reg, jmp_op[op >> 4],
		      (u32)in->imm, in->off);
}

int ebpf_disasm(const struct bpf_insn *insn, char *buf, size_t size)
{
	struct text t = {buf, size};

	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		print_alu(&t, insn);
		break;
	case BPF_LDX:
		print_ldx(&t, insn);
		break;
	case BPF_LD:
		print_ld(&t, insn);
		break;
	case BPF_ST:
	case BPF_STX:
		print_store(&t, insn);
		break;
	default:
		print_jmp(&t, insn);
	}
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW) ? 2 : 1;
}
