/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Planning a probe: how an instruction is carried out once its first byte is a break.
 *
 * What transfers control or would push its own address is emulated (step.c). Everything else runs
 * from a slot: the copied instruction with its ip-relative displacement rebased, and a jump back.
 * A slot keeps no state and uses no scratch register, so signals, longjmp, fork and the death of a
 * thread inside one are harmless. What must not run elsewhere, or cannot be run by a user at all,
 * is refused with a reason. Pure; process context.
 */
#include "insn.h"

#include <errno.h>
#include <string.h>

#include "arch/arch.h"
#include "arch/x86_64/patch.h"

#define EM_X86_64 62
#define NR_RT_SIGRETURN 15
#define USER_TOP 0x7ffffffff000ull

const u16 arch_elf_machine = EM_X86_64;

enum refusal {
	REFUSED_FAR = ARCH_REFUSED_ARCH,
	REFUSED_BRANCH16,
	REFUSED_PRIVILEGED,
	REFUSED_INTERRUPT,
	REFUSED_UNDEFINED,
	REFUSED_SIGRETURN,
	REFUSED_SS,
	REFUSED_EIP,
	REFUSED_SEGMENT_BRANCH,
	REFUSED_XBEGIN,
	REFUSED_SHADOW_STACK,
	REFUSED_USER_INTERRUPT,
	REFUSED_ENCLAVE,
	REFUSED_LOCK,
	REFUSED_APX,
	REFUSALS
};

static const char *const phrases[REFUSALS] = {
	[ARCH_REFUSED_UNKNOWN] = "unknown opcode",
	[ARCH_REFUSED_CUT] = "the instruction is cut off by the end of the code",
	[ARCH_REFUSED_BREAK] = "the instruction is a breakpoint already",
	[ARCH_REFUSED_SYSCALL] =
		"it is a system call whose number is not a constant just before it",
	[REFUSED_FAR] = "far transfer of control",
	[REFUSED_BRANCH16] = "16-bit branch displacement",
	[REFUSED_PRIVILEGED] = "it is a privileged instruction",
	[REFUSED_INTERRUPT] = "it is a software interrupt",
	[REFUSED_UNDEFINED] = "it is an undefined instruction on purpose (a trap)",
	[REFUSED_SIGRETURN] = "it returns from a signal handler",
	[REFUSED_SS] = "it loads the stack segment, which holds traps back",
	[REFUSED_EIP] = "its address is relative to a 32-bit instruction pointer",
	[REFUSED_SEGMENT_BRANCH] = "it branches through thread-local memory (%fs or %gs)",
	[REFUSED_XBEGIN] = "it begins a transaction, which a probe would abort",
	[REFUSED_SHADOW_STACK] = "it manipulates the shadow stack",
	[REFUSED_USER_INTERRUPT] = "it controls user interrupts",
	[REFUSED_ENCLAVE] = "it enters an enclave or a virtual machine",
	[REFUSED_LOCK] = "its lock prefix makes it invalid",
	[REFUSED_APX] = "it branches through a register of the APX extension",
};

const char *arch_patch_refusal(int reason)
{
	int i = reason < 0 ? -reason : reason;

	return i > 0 && i < REFUSALS && phrases[i] ? phrases[i] : "it cannot be patched";
}

/* --- what is refused --- */

static int refuse_one_byte(const struct arch_insn *in)
{
	switch (in->opcode) {
	case 0x6c ... 0x6f: /* ins, outs */
	case 0xe4 ... 0xe7: /* in, out */
	case 0xec ... 0xef:
	case 0xf4:	    /* hlt */
	case 0xfa ... 0xfb: /* cli, sti */
		return REFUSED_PRIVILEGED;
	case 0x8e:
		return insn_reg(in) == 2 ? REFUSED_SS : 0;
	case 0xc7:
		return in->modrm == 0xf8 ? REFUSED_XBEGIN : 0;
	case 0xca ... 0xcb:
	case 0xcf:
		return REFUSED_FAR;
	case 0xcc:
		return ARCH_REFUSED_BREAK;
	case 0xcd:
	case 0xf1:
		return REFUSED_INTERRUPT;
	case 0xff:
		return insn_reg(in) == 3 || insn_reg(in) == 5 ? REFUSED_FAR : 0;
	default:
		return 0;
	}
}

/* 0f 01 with a memory operand */
static int refuse_system_table(const struct arch_insn *in)
{
	switch (insn_reg(in)) {
	case 2: /* lgdt */
	case 3: /* lidt */
	case 6: /* lmsw */
	case 7: /* invlpg */
		return REFUSED_PRIVILEGED;
	case 5:
		return REFUSED_SHADOW_STACK; /* rstorssp */
	default:
		return 0;
	}
}

/* 0f 01 with registers: every byte is another instruction */
static int refuse_0f01(const struct arch_insn *in)
{
	bool rep = in->prefixes & INSN_P_REP;

	switch (in->modrm) {
	case 0xd0:	    /* xgetbv */
	case 0xd5:	    /* xend */
	case 0xd6:	    /* xtest */
	case 0xe0 ... 0xe7: /* smsw */
	case 0xf9 ... 0xfd: /* rdtscp, monitorx, mwaitx, clzero, rdpru */
		return 0;
	case 0xe8 ... 0xef: /* without f3: serialize, xsusldtrk, rdpkru, wrpkru */
		if (rep && (in->modrm == 0xe8 || in->modrm == 0xea))
			return REFUSED_SHADOW_STACK;
		return rep ? REFUSED_USER_INTERRUPT : 0;
	case 0xc0: /* enclv */
	case 0xd4: /* vmfunc */
	case 0xd7: /* enclu */
	case 0xc1: /* vmcall */
	case 0xd9: /* vmmcall */
		return REFUSED_ENCLAVE;
	default:
		return REFUSED_PRIVILEGED;
	}
}

static int refuse_0fc7(const struct arch_insn *in)
{
	bool reg_form = insn_mod(in) == 3;

	if (reg_form)
		return insn_reg(in) == 6 && in->prefixes & INSN_P_REP ? REFUSED_USER_INTERRUPT : 0;
	/* xrstors, xsaves, vmptrld and its family */
	return insn_reg(in) == 3 || insn_reg(in) >= 5 ? REFUSED_PRIVILEGED : 0;
}

static int refuse_0f(const struct arch_insn *in)
{
	switch (in->opcode) {
	case 0x00:
		return insn_reg(in) == 2 || insn_reg(in) == 3 || insn_reg(in) == 6
			       ? REFUSED_PRIVILEGED
			       : 0;
	case 0x01:
		return insn_mod(in) == 3 ? refuse_0f01(in) : refuse_system_table(in);
	case 0x05:
		return ARCH_REFUSED_SYSCALL;
	case 0x06:	    /* clts */
	case 0x08 ... 0x09: /* invd, wbinvd */
	case 0x20 ... 0x23: /* mov to and from control and debug registers */
	case 0x30:	    /* wrmsr */
	case 0x32:	    /* rdmsr */
	case 0x37:	    /* getsec */
	case 0xaa:	    /* rsm */
		return REFUSED_PRIVILEGED;
	case 0x07: /* sysret, sysenter, sysexit */
	case 0x34 ... 0x35:
		return REFUSED_FAR;
	case 0x0b: /* ud2, ud1, ud0 */
	case 0xb9:
	case 0xff:
		return REFUSED_UNDEFINED;
	case 0x78 ... 0x79: /* vmread, vmwrite; with 66 and f2 they are extrq and insertq */
		return in->prefixes & (INSN_P_OPSIZE | INSN_P_REPNE) ? 0 : REFUSED_PRIVILEGED;
	case 0xae: /* f3 /6 on memory: clrssbsy */
		return insn_mod(in) != 3 && insn_reg(in) == 6 && in->prefixes & INSN_P_REP
			       ? REFUSED_SHADOW_STACK
			       : 0;
	case 0xb2:
		return REFUSED_SS;
	case 0xc7:
		return refuse_0fc7(in);
	default:
		return 0;
	}
}

static int refuse_0f38(const struct arch_insn *in)
{
	const u8 pp = in->prefixes & (INSN_P_OPSIZE | INSN_P_REP | INSN_P_REPNE);

	switch (in->opcode) {
	case 0x80 ... 0x82: /* invept, invvpid, invpcid */
		return REFUSED_PRIVILEGED;
	case 0xdc: /* loadiwkey is the register form of aesenc128kl */
		return insn_mod(in) == 3 && pp == INSN_P_REP ? REFUSED_PRIVILEGED : 0;
	case 0xf5: /* wruss */
		return REFUSED_SHADOW_STACK;
	case 0xf6: /* wrss; with 66 and f3 adcx and adox */
		return pp ? 0 : REFUSED_SHADOW_STACK;
	case 0xf8: /* enqcmds */
		return pp == INSN_P_REP ? REFUSED_PRIVILEGED : 0;
	default:
		return 0;
	}
}

static int refuse_opcode(const struct arch_insn *in)
{
	if (in->encoding == INSN_EVEX && in->map == 4) /* wruss, wrss */
		return in->opcode == 0x65 || (in->opcode == 0x66 && !in->prefixes)
			       ? REFUSED_SHADOW_STACK
			       : 0;
	if (in->encoding == INSN_VEX && in->map == 7)
		return REFUSED_PRIVILEGED;
	if (in->encoding > INSN_REX2)
		return 0;
	switch (in->map) {
	case 0:
		return refuse_one_byte(in);
	case 1:
		return refuse_0f(in);
	case 2:
		return refuse_0f38(in);
	default:
		return in->opcode == 0xf0 ? REFUSED_PRIVILEGED : 0; /* hreset */
	}
}

/* --- what is emulated --- */

static bool small_operand(const struct arch_insn *in)
{
	return in->prefixes & INSN_P_OPSIZE && !(in->rex & INSN_REX_W);
}

static bool legacy_op(const struct arch_insn *in, u8 map, u8 lo, u8 hi)
{
	return in->encoding <= INSN_REX2 && in->map == map && in->opcode >= lo && in->opcode <= hi;
}

static u8 rm_register(const struct arch_insn *in)
{
	return insn_rm(in) | (in->rex & INSN_REX_B ? 8 : 0);
}

static bool is_nop(const struct arch_insn *in)
{
	bool endbr = in->modrm == 0xfa || in->modrm == 0xfb;

	if (in->encoding != INSN_LEGACY)
		return false;
	if (legacy_op(in, 0, 0x90, 0x90))
		return !(in->rex & INSN_REX_B) && !(in->prefixes & (INSN_P_REP | INSN_P_REPNE));
	if (legacy_op(in, 1, 0x1e, 0x1e)) /* with f3 and registers: rdssp, but for endbr */
		return endbr || !(in->prefixes & INSN_P_REP);
	return legacy_op(in, 1, 0x1f, 0x1f);
}

static int plan_memory_operand(const struct arch_insn *in, u64 next, struct arch_operand *op)
{
	if (in->seg == 0x64 || in->seg == 0x65)
		return REFUSED_SEGMENT_BRANCH;
	op->addr32 = !!(in->prefixes & INSN_P_ADDRSIZE);
	op->base = op->index = ARCH_NO_REG;
	op->scale = 1;
	op->disp = in->disp;
	if (in->rip_relative) {
		op->disp = (s64)(next + (u64)(s64)in->disp);
		return 0;
	}
	if (!in->has_sib) {
		op->base = rm_register(in);
		return 0;
	}
	if (insn_mod(in) || (in->sib & 7) != 5)
		op->base = (in->sib & 7) | (in->rex & INSN_REX_B ? 8 : 0);
	op->index = (in->sib >> 3 & 7) | (in->rex & INSN_REX_X ? 8 : 0);
	op->scale = (u8)(1 << (in->sib >> 6));
	if (op->index == 4)
		op->index = ARCH_NO_REG, op->scale = 1;
	return 0;
}

static int plan_indirect(const struct arch_insn *in, struct arch_patch *p)
{
	p->kind = insn_reg(in) == 2 ? ARCH_PATCH_CALL_IND : ARCH_PATCH_JMP_IND;
	if (small_operand(in))
		return REFUSED_BRANCH16;
	if (in->high)
		return REFUSED_APX;
	if (insn_mod(in) != 3)
		return plan_memory_operand(in, p->addr + p->len, &p->op);
	p->op.is_reg = 1;
	p->op.reg = rm_register(in);
	p->op.base = p->op.index = ARCH_NO_REG;
	p->op.scale = 1;
	return 0;
}

static int plan_branch(const struct arch_insn *in, struct arch_patch *p, u8 kind, u8 cond)
{
	p->kind = kind;
	p->cond = cond;
	p->target = p->addr + p->len + (u64)in->imm;
	return small_operand(in) ? REFUSED_BRANCH16 : 0;
}

static int plan_loop(const struct arch_insn *in, struct arch_patch *p)
{
	p->reg = in->prefixes & INSN_P_ADDRSIZE ? 4 : 8;
	return plan_branch(in, p, ARCH_PATCH_LOOP, in->opcode);
}

static int plan_ret(const struct arch_insn *in, struct arch_patch *p)
{
	p->kind = ARCH_PATCH_RET;
	p->imm = (s32)in->imm;
	return small_operand(in) ? REFUSED_BRANCH16 : 0;
}

static int plan_push(const struct arch_insn *in, struct arch_patch *p)
{
	bool imm = in->opcode == 0x68 || in->opcode == 0x6a;

	p->kind = ARCH_PATCH_PUSH;
	p->reg = imm ? ARCH_NO_REG : (in->opcode & 7) | (in->rex & INSN_REX_B ? 8 : 0);
	p->imm = imm ? (s32)in->imm : 0;
	return 0;
}

static int plan_slot(const struct arch_insn *in, struct arch_patch *p)
{
	p->kind = ARCH_PATCH_SLOT;
	return in->rip_relative && in->prefixes & INSN_P_ADDRSIZE ? REFUSED_EIP : 0;
}

static bool is_push(const struct arch_insn *in)
{
	return (legacy_op(in, 0, 0x50, 0x57) || legacy_op(in, 0, 0x68, 0x68) ||
		legacy_op(in, 0, 0x6a, 0x6a)) &&
	       !(in->prefixes & INSN_P_OPSIZE) && !in->high;
}

/* Emulated kinds; false when @in is none. *refused receives 0 or the reason. */
static bool plan_emulated(const struct arch_insn *in, struct arch_patch *p, int *refused)
{
	*refused = 0;
	/* of APX only what pushes its own address: the CPU may not know the rest */
	if (in->encoding == INSN_REX2 && !(legacy_op(in, 0, 0xff, 0xff) && insn_reg(in) == 2))
		return false;
	if (is_nop(in))
		p->kind = ARCH_PATCH_SKIP;
	else if (is_push(in))
		*refused = plan_push(in, p);
	else if (legacy_op(in, 0, 0xe8, 0xe8))
		*refused = plan_branch(in, p, ARCH_PATCH_CALL, 0);
	else if (legacy_op(in, 0, 0xe9, 0xe9) || legacy_op(in, 0, 0xeb, 0xeb))
		*refused = plan_branch(in, p, ARCH_PATCH_JMP, 0);
	else if (legacy_op(in, 0, 0x70, 0x7f) || legacy_op(in, 1, 0x80, 0x8f))
		*refused = plan_branch(in, p, ARCH_PATCH_JCC, in->opcode & 0xf);
	else if (legacy_op(in, 0, 0xe0, 0xe3))
		*refused = plan_loop(in, p);
	else if (legacy_op(in, 0, 0xc2, 0xc3))
		*refused = plan_ret(in, p);
	else if (legacy_op(in, 0, 0xff, 0xff) && (insn_reg(in) == 2 || insn_reg(in) == 4))
		*refused = plan_indirect(in, p);
	else
		return false;
	if (in->prefixes & INSN_P_LOCK)
		*refused = REFUSED_LOCK;
	return true;
}

/* jmpabs: a jump in a REX2 opcode that is something else without it */
static bool is_jmpabs(const struct arch_insn *in)
{
	return in->encoding == INSN_REX2 && in->map == 0 && in->opcode == 0xa1;
}

static int plan(const struct arch_insn *in, struct arch_patch *p)
{
	int refused;

	if (is_jmpabs(in)) {
		p->kind = ARCH_PATCH_JMP;
		p->target = (u64)in->imm;
		return 0;
	}
	return plan_emulated(in, p, &refused) ? refused : plan_slot(in, p);
}

static int decode(const u8 *code, size_t len, u64 addr, struct arch_insn *in, struct arch_patch *p)
{
	int err = arch_insn_decode(code, MIN(len, (size_t)ARCH_MAX_INSN), in);

	if (err)
		return err == -ENODATA ? -ARCH_REFUSED_CUT : -ARCH_REFUSED_UNKNOWN;
	memset(p, 0, sizeof(*p));
	p->addr = addr;
	p->len = in->len;
	p->op.base = p->op.index = ARCH_NO_REG;
	p->op.scale = 1;
	memcpy(p->insn, code, in->len);
	return 0;
}

int arch_patch_plan(const u8 *code, size_t len, u64 addr, struct arch_patch *out)
{
	struct arch_patch p;
	struct arch_insn in;
	int err = decode(code, len, addr, &in, &p);

	if (!err)
		err = -refuse_opcode(&in);
	if (!err)
		err = -plan(&in, &p);
	if (!err)
		*out = p;
	return err;
}

int arch_patch_plan_syscall(const u8 *code, size_t len, u64 addr, u32 nr, struct arch_patch *out)
{
	struct arch_patch p;
	struct arch_insn in;
	int err = decode(code, len, addr, &in, &p);

	if (err)
		return err;
	if (!legacy_op(&in, 1, 0x05, 0x05))
		return -ARCH_REFUSED_UNKNOWN;
	if (nr == NR_RT_SIGRETURN)
		return -REFUSED_SIGRETURN;
	p.kind = ARCH_PATCH_SLOT;
	*out = p;
	return 0;
}

bool arch_patch_needs_slot(const struct arch_patch *p)
{
	return p->kind == ARCH_PATCH_SLOT;
}

bool arch_patch_native(struct arch_patch *p)
{
	if (p->kind == ARCH_PATCH_CALL || p->kind == ARCH_PATCH_CALL_IND)
		return false;
	if (p->kind == ARCH_PATCH_RET) {
		p->kind = ARCH_PATCH_SLOT;
		p->imm = 0;
	}
	return true;
}

/* --- slots --- */

/* What the ip-relative operand of @p points to. */
static bool ip_relative_target(const struct arch_patch *p, struct arch_insn *in, s64 *target)
{
	if (arch_insn_decode(p->insn, p->len, in) || !in->rip_relative)
		return false;
	*target = (s64)(p->addr + p->len) + in->disp;
	return true;
}

static u64 clamp_user(s64 v)
{
	return v < 0 ? 0 : MIN((u64)v, USER_TOP - ARCH_SLOT_SIZE);
}

void arch_patch_slot_range(const struct arch_patch *p, u64 *lo, u64 *hi)
{
	struct arch_insn in;
	s64 target;

	*lo = 0;
	*hi = USER_TOP - ARCH_SLOT_SIZE;
	if (!ip_relative_target(p, &in, &target))
		return;
	*lo = clamp_user(target - p->len - INT32_MAX);
	*hi = clamp_user(target - p->len - INT32_MIN);
}

static bool fits_s32(s64 v)
{
	return v == (s32)v;
}

u8 patch_put_jump(u8 *at, u64 from, u64 to)
{
	s64 rel = (s64)(to - (from + NEAR_JUMP_LEN));
	s32 near = (s32)rel, gap = (s32)(-(from + 6) % 8);

	if (fits_s32(rel)) {
		at[0] = 0xe9;
		memcpy(at + 1, &near, sizeof(near));
		return NEAR_JUMP_LEN;
	}
	/* jmp *gap(%rip): no register is changed, and with EFLAGS.AC the address must be aligned */
	memcpy(at, "\xff\x25", 2);
	memcpy(at + 2, &gap, sizeof(gap));
	memset(at + 6, 0, (size_t)gap);
	memcpy(at + 6 + gap, &to, sizeof(to));
	return (u8)(6 + gap + sizeof(to));
}

/* Decoded again, is the copy the same but for its displacement, and has that moved with it? */
static bool same_again(const struct arch_patch *p, const u8 *bytes, u64 slot)
{
	struct arch_insn was, is;
	u8 rest;

	if (arch_insn_decode(p->insn, p->len, &was) || arch_insn_decode(bytes, p->len, &is) ||
	    is.len != was.len || is.rip_relative != was.rip_relative || is.disp_off != was.disp_off)
		return false;
	if (!is.rip_relative)
		return memcmp(bytes, p->insn, p->len) == 0;
	rest = is.disp_off + is.disp_len;
	return is.disp_len == sizeof(s32) && memcmp(bytes, p->insn, is.disp_off) == 0 &&
	       memcmp(bytes + rest, p->insn + rest, p->len - rest) == 0 &&
	       slot + (u64)(s64)is.disp == p->addr + (u64)(s64)was.disp;
}

int patch_put_copy(const struct arch_patch *p, u64 at, u8 *out)
{
	struct arch_insn in;
	s64 target, disp;
	s32 disp32;

	memcpy(out, p->insn, p->len);
	if (ip_relative_target(p, &in, &target)) {
		disp = target - (s64)(at + p->len);
		disp32 = (s32)disp;
		if (!fits_s32(disp))
			return -ERANGE;
		memcpy(out + in.disp_off, &disp32, sizeof(disp32));
	}
	return same_again(p, out, at) ? 0 : -EINVAL;
}

int arch_patch_relocate(struct arch_patch *p, u64 slot)
{
	u8 bytes[ARCH_SLOT_SIZE] = {0}, len = p->len;
	int err = patch_put_copy(p, slot, bytes);

	if (err)
		return err;
	len += patch_put_jump(bytes + len, slot + len, p->addr + p->len);
	memcpy(p->slot_bytes, bytes, sizeof(bytes));
	p->slot = slot;
	p->slot_len = len;
	return 0;
}

/* --- system call sites --- */

/* mov $imm32,%eax (b8) or %rax (48 c7 c0): bytes of the instruction, 0 when it is neither */
static u8 loads_number(const u8 *code, size_t len, u32 *nr)
{
	u8 at = 0, n = 0;

	if (len >= 5 && code[0] == 0xb8)
		at = 1, n = 5;
	else if (len >= 7 && code[0] == 0x48 && code[1] == 0xc7 && code[2] == 0xc0)
		at = 3, n = 7;
	if (n)
		memcpy(nr, code + at, sizeof(*nr));
	return n;
}

#define SITE_INSNS 6u /* at the most between the load of the number and the call */

/* Certainly neither transfers control nor changes rax? A few moves and sums are enough to know. */
static bool leaves_number(const struct arch_insn *in)
{
	bool reg_is_ax = insn_reg(in) == 0 && !(in->rex & INSN_REX_R);
	bool rm_is_ax = insn_mod(in) == 3 && insn_rm(in) == 0 && !(in->rex & INSN_REX_B);

	if (in->encoding != INSN_LEGACY)
		return false;
	if (legacy_op(in, 0, 0xb8, 0xbf)) /* mov $imm to another register */
		return in->opcode != 0xb8 || in->rex & INSN_REX_B;
	if (legacy_op(in, 0, 0x8b, 0x8b) || legacy_op(in, 0, 0x8d, 0x8d) ||
	    legacy_op(in, 0, 0x33, 0x33))
		return !reg_is_ax;
	if (legacy_op(in, 0, 0x89, 0x89) || legacy_op(in, 0, 0x31, 0x31) ||
	    legacy_op(in, 0, 0x29, 0x29) || legacy_op(in, 0, 0x83, 0x83) ||
	    legacy_op(in, 0, 0x81, 0x81) || legacy_op(in, 0, 0xc7, 0xc7))
		return !rm_is_ax;
	return legacy_op(in, 1, 0x10, 0x11) || legacy_op(in, 1, 0x28, 0x29);
}

int arch_syscall_site(const u8 *code, size_t len, u32 *nr, u32 *call_len)
{
	struct arch_insn in;
	u32 found;
	size_t at = loads_number(code, len, &found);

	if (!at)
		return -ENOENT;
	for (u32 i = 0; i <= SITE_INSNS; i++) {
		if (arch_insn_decode(code + at, MIN(len - at, (size_t)ARCH_MAX_INSN), &in))
			return -ENOENT;
		if (legacy_op(&in, 1, 0x05, 0x05)) {
			*nr = found;
			*call_len = in.len;
			return (int)at;
		}
		if (!leaves_number(&in))
			return -ENOENT;
		at += in.len;
	}
	return -ENOENT;
}
