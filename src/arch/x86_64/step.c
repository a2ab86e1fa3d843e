/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carrying out a displaced instruction on saved registers, for a thread that sits in a trap.
 *
 * Runs on a probe's path: no libc, no allocation; the target's memory only through osl_read() and
 * osl_write(). Registers change only when everything succeeded, so that after -EFAULT the thread is
 * exactly where it was before the instruction.
 */
#include <errno.h>

#include "arch/arch.h"
#include "osl/osl_trap.h"

#define FLAG_CF 0x001
#define FLAG_PF 0x004
#define FLAG_ZF 0x040
#define FLAG_SF 0x080
#define FLAG_OF 0x800
#define FLAG_AC 0x40000

#define TRAP_STACK 12
#define TRAP_PROTECTION 13
#define TRAP_PAGE 14
#define TRAP_ALIGNMENT 17

#define PAGE 4096
#define REG_SP 4
#define REG_BP 5

#define USER_TOP 0x7ffffffff000ull
#define LAST_REG 15
#define NEAR_JUMP_LEN 5

#define SLOT_OF(member) (offsetof(struct arch_regs, member) / sizeof(u64))

/* Place of each register, by its number in the instruction set, among the words of arch_regs. */
static const u8 places[LAST_REG + 1] = {
	SLOT_OF(ax),  SLOT_OF(cx),  SLOT_OF(dx),  SLOT_OF(bx),	SLOT_OF(sp),  SLOT_OF(bp),
	SLOT_OF(si),  SLOT_OF(di),  SLOT_OF(r8),  SLOT_OF(r9),	SLOT_OF(r10), SLOT_OF(r11),
	SLOT_OF(r12), SLOT_OF(r13), SLOT_OF(r14), SLOT_OF(r15),
};

static u64 reg_value(const struct arch_regs *regs, u8 reg)
{
	return ((const u64 *)regs)[places[reg & LAST_REG]];
}

/* --- is the plan what a planner may say? --- */

static bool reg_ok(u8 reg)
{
	return reg <= LAST_REG || reg == ARCH_NO_REG;
}

static bool operand_ok(const struct arch_operand *op)
{
	return op->is_reg <= 1 && op->reg <= LAST_REG && reg_ok(op->base) && reg_ok(op->index) &&
	       IS_POW2(op->scale) && op->scale <= 8 && op->addr32 <= 1 && !op->seg;
}

static bool slot_ok(const struct arch_patch *p)
{
	return p->slot && p->slot <= USER_TOP - ARCH_SLOT_SIZE && p->slot_len <= ARCH_SLOT_SIZE &&
	       p->slot_len >= p->len + NEAR_JUMP_LEN;
}

bool arch_patch_valid(const struct arch_patch *p)
{
	if (!p->len || p->len >= ARCH_MAX_INSN || p->addr >= USER_TOP || !operand_ok(&p->op))
		return false;
	switch (p->kind) {
	case ARCH_PATCH_SKIP:
	case ARCH_PATCH_JMP:
	case ARCH_PATCH_CALL:
	case ARCH_PATCH_JMP_IND:
	case ARCH_PATCH_CALL_IND:
		return true;
	case ARCH_PATCH_SLOT:
		return slot_ok(p);
	case ARCH_PATCH_PUSH:
		return reg_ok(p->reg);
	case ARCH_PATCH_JCC:
		return p->cond < 16;
	case ARCH_PATCH_LOOP:
		return p->cond >= 0xe0 && p->cond <= 0xe3 && (p->reg == 4 || p->reg == 8);
	case ARCH_PATCH_RET:
		return p->imm >= 0 && p->imm <= 0xffff;
	default:
		return false;
	}
}

static bool in_reach(u64 from, u64 to)
{
	return to - (from + ARCH_JUMP_LEN) + (1ull << 31) < 1ull << 32;
}

/* What it is over is in the stub; where one of them begins there is a break. */
static bool over_valid(const struct arch_patch *p, const struct arch_jump *j)
{
	u8 bytes[ARCH_JUMP_LEN];

	if (j->own == MIN((u32)p->len, (u32)ARCH_JUMP_LEN))
		return !j->inner;
	if (j->own <= p->len || j->own > ARCH_JUMP_LEN || j->own - p->len > j->follow ||
	    !(j->inner >> p->len & 1) || j->inner >> j->own || j->inner & ((1u << p->len) - 1))
		return false;
	arch_jump_bytes(p->addr, j->to, bytes);
	for (u32 i = p->len; i < j->own; i++)
		if (j->inner >> i & 1 &&
		    (bytes[i] != ARCH_BREAK || arch_jump_was(p, j, i) == ARCH_BREAK))
			return false;
	return true;
}

bool arch_jump_valid(const struct arch_patch *p, const struct arch_jump *j)
{
	return j->to && j->to < USER_TOP - ARCH_STUB_SIZE && j->stub < USER_TOP - ARCH_STUB_SIZE &&
	       j->stub_len <= ARCH_STUB_SIZE && j->tail + j->tail_len + j->follow < j->stub_len &&
	       in_reach(p->addr, j->to) && (j->to == j->stub || in_reach(j->to, j->stub)) &&
	       over_valid(p, j);
}

void arch_jump_bytes(u64 from, u64 to, u8 out[ARCH_JUMP_LEN])
{
	u32 rel = (u32)(to - (from + ARCH_JUMP_LEN));

	out[0] = 0xe9;
	for (u32 i = 0; i < sizeof(rel); i++)
		out[1 + i] = (u8)(rel >> 8 * i);
}

u64 arch_jump_astray(u64 from, u64 to, u32 breaks)
{
	u32 rel = (u32)(to - (from + ARCH_JUMP_LEN));

	for (u32 i = 0; i < sizeof(rel); i++)
		if (breaks >> (1 + i) & 1)
			rel = (rel & ~(0xffu << 8 * i)) | 0xccu << 8 * i;
	return from + ARCH_JUMP_LEN + (u64)(s64)(s32)rel;
}

/* jump.c: step over the red zone, push the distance from behind the call, call */
static const u8 stub_lea[] = {0x48, 0x8d, 0x64, 0x24, 0x80};
#define STUB_PUSH sizeof(stub_lea)
#define STUB_CALL (STUB_PUSH + 5)
#define RED_ZONE 128

bool arch_jump_site(const u8 *head, u64 stub, u64 *site)
{
	u32 distance = 0;

	for (u32 i = 0; i < sizeof(stub_lea); i++)
		if (head[i] != stub_lea[i])
			return false;
	if (head[STUB_PUSH] != 0x68 || head[STUB_CALL] != 0xff || head[STUB_CALL + 1] != 0x15)
		return false;
	for (u32 i = 0; i < sizeof(distance); i++)
		distance |= (u32)head[STUB_PUSH + 1 + i] << 8 * i;
	*site = stub + ARCH_STUB_HEAD + (u64)(s64)(s32)distance;
	return true;
}

u32 arch_jump_depth(u32 offset)
{
	return !offset ? 0 : offset < STUB_CALL ? RED_ZONE : RED_ZONE + 8;
}

/* --- the instructions --- */

/* Condition codes come in pairs: the odd one is the even one's opposite. */
static bool condition(u8 cond, u64 flags)
{
	bool sign = !(flags & FLAG_SF) != !(flags & FLAG_OF), holds;

	switch (cond >> 1 & 7) {
	case 0:
		holds = flags & FLAG_OF;
		break;
	case 1:
		holds = flags & FLAG_CF;
		break;
	case 2:
		holds = flags & FLAG_ZF;
		break;
	case 3:
		holds = flags & (FLAG_CF | FLAG_ZF);
		break;
	case 4:
		holds = flags & FLAG_SF;
		break;
	case 5:
		holds = flags & FLAG_PF;
		break;
	case 6:
		holds = sign;
		break;
	default:
		holds = sign || flags & FLAG_ZF;
		break;
	}
	return holds != (cond & 1);
}

/* Would the CPU refuse an access to a word for its address alone? */
static bool misaligned(const struct arch_regs *regs, u64 addr)
{
	return unlikely(regs->flags & FLAG_AC) && addr % sizeof(u64);
}

static int load(const struct arch_regs *regs, u64 addr, u64 *out)
{
	return misaligned(regs, addr) || osl_read(out, (const void *)addr, sizeof(*out)) ? -EFAULT
											 : 0;
}

/* To below the stack pointer, which stays. */
static int store_below(const struct arch_regs *regs, u64 value)
{
	u64 sp = regs->sp - sizeof(value);

	return misaligned(regs, sp) || osl_write((void *)sp, &value, sizeof(value)) ? -EFAULT : 0;
}

static int push(struct arch_regs *regs, u64 value)
{
	if (store_below(regs, value))
		return -EFAULT;
	regs->sp -= sizeof(value);
	return 0;
}

static bool is_intel(void)
{
	u32 a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b == 0x756e6547; /* "Genu" */
}

/*
 * Is the branch to @target refused, as by Intel's CPUs when no address can be there? Others branch
 * and then fault, which a thread that returns to there does anyway. How many bits an address has
 * the CPU knows best.
 */
static bool refuses_target(u64 target)
{
	struct osl_fault f;

	if (likely((u64)((s64)(target << 16) >> 16) == target))
		return false;
	return osl_touch(target, false, &f) && f.trap == TRAP_PROTECTION && is_intel();
}

static u64 effective(const struct arch_operand *op, const struct arch_regs *regs)
{
	u64 ea = (u64)op->disp;

	if (op->base != ARCH_NO_REG)
		ea += reg_value(regs, op->base);
	if (op->index != ARCH_NO_REG)
		ea += reg_value(regs, op->index) * op->scale;
	return op->addr32 ? (u32)ea : ea;
}

static int operand(const struct arch_operand *op, const struct arch_regs *regs, u64 *out)
{
	if (op->is_reg) {
		*out = reg_value(regs, op->reg);
		return 0;
	}
	return load(regs, effective(op, regs), out);
}

static int step_push(const struct arch_patch *p, struct arch_regs *regs)
{
	u64 value = p->reg == ARCH_NO_REG ? (u64)(s64)p->imm : reg_value(regs, p->reg);

	if (push(regs, value))
		return -EFAULT;
	regs->ip = p->addr + p->len;
	return 0;
}

static int step_call(const struct arch_patch *p, struct arch_regs *regs, u64 target)
{
	if (store_below(regs, p->addr + p->len) || refuses_target(target))
		return -EFAULT;
	regs->sp -= sizeof(u64);
	regs->ip = target;
	return 0;
}

static int step_ret(const struct arch_patch *p, struct arch_regs *regs)
{
	u64 ip;

	if (load(regs, regs->sp, &ip) || refuses_target(ip))
		return -EFAULT;
	regs->sp += sizeof(ip) + (u32)p->imm;
	regs->ip = ip;
	return 0;
}

static void step_loop(const struct arch_patch *p, struct arch_regs *regs)
{
	bool half = p->reg == 4, zero = regs->flags & FLAG_ZF, taken;
	u64 count = half ? (u32)regs->cx : regs->cx;

	if (p->cond == 0xe3) {
		taken = !count;
	} else {
		count = half ? (u32)(count - 1) : count - 1;
		regs->cx = count;
		taken = count && (p->cond == 0xe2 || zero == (p->cond == 0xe1));
	}
	regs->ip = taken ? p->target : p->addr + p->len;
}

static int step_indirect(const struct arch_patch *p, struct arch_regs *regs)
{
	u64 target;

	if (operand(&p->op, regs, &target))
		return -EFAULT;
	if (p->kind == ARCH_PATCH_CALL_IND) /* the CPU looks at the target last */
		return step_call(p, regs, target);
	if (refuses_target(target))
		return -EFAULT;
	regs->ip = target;
	return 0;
}

__hot int arch_patch_step(const struct arch_patch *p, struct arch_regs *regs)
{
	u64 next = p->addr + p->len;

	switch (p->kind) {
	case ARCH_PATCH_SLOT:
		regs->ip = p->slot;
		return 0;
	case ARCH_PATCH_PUSH:
		return step_push(p, regs);
	case ARCH_PATCH_JMP:
		regs->ip = p->target;
		return 0;
	case ARCH_PATCH_CALL:
		return step_call(p, regs, p->target);
	case ARCH_PATCH_JCC:
		regs->ip = condition(p->cond, regs->flags) ? p->target : next;
		return 0;
	case ARCH_PATCH_LOOP:
		step_loop(p, regs);
		return 0;
	case ARCH_PATCH_RET:
		return step_ret(p, regs);
	case ARCH_PATCH_JMP_IND:
	case ARCH_PATCH_CALL_IND:
		return step_indirect(p, regs);
	default:
		regs->ip = next;
		return 0;
	}
}

/* --- faults --- */

/* The word at @addr: false when it is accessible. That it is misaligned comes before its pages. */
static bool word_fault(const struct arch_regs *regs, u64 addr, bool write, bool stack,
		       struct osl_fault *out)
{
	u64 last = addr + sizeof(u64) - 1;
	bool fails = osl_touch(addr, write, out) ||
		     ((addr ^ last) / PAGE && osl_touch(last & ~(PAGE - 1ull), write, out));

	if (fails && out->trap == TRAP_PROTECTION) {
		*out = (struct osl_fault){.trap = stack ? TRAP_STACK : TRAP_PROTECTION};
		return true;
	}
	if (!misaligned(regs, addr))
		return fails;
	*out = (struct osl_fault){.trap = TRAP_ALIGNMENT};
	return true;
}

static bool target_fault(u64 target, struct osl_fault *out)
{
	*out = (struct osl_fault){.trap = TRAP_PROTECTION};
	return refuses_target(target);
}

/* An operand with the stack or frame pointer as its base is one on the stack. */
static bool on_stack(const struct arch_operand *op)
{
	return op->base == REG_SP || op->base == REG_BP;
}

static bool operand_fault(const struct arch_patch *p, const struct arch_regs *regs,
			  struct osl_fault *out)
{
	return !p->op.is_reg &&
	       word_fault(regs, effective(&p->op, regs), false, on_stack(&p->op), out);
}

/* A call has pushed before its target is looked at: perhaps onto the operand itself. */
static bool pushed_over(const struct arch_patch *p, const struct arch_regs *regs)
{
	u64 distance = effective(&p->op, regs) - (regs->sp - sizeof(u64));

	return p->kind == ARCH_PATCH_CALL_IND && !p->op.is_reg &&
	       (distance < sizeof(u64) || -distance < sizeof(u64));
}

bool arch_patch_fault(const struct arch_patch *p, const struct arch_regs *regs,
		      struct osl_fault *out)
{
	bool indirect = p->kind == ARCH_PATCH_CALL_IND || p->kind == ARCH_PATCH_JMP_IND;
	bool is_ret = p->kind == ARCH_PATCH_RET;
	u64 target;

	if (indirect && operand_fault(p, regs, out))
		return true;
	if (p->kind != ARCH_PATCH_JMP_IND &&
	    word_fault(regs, is_ret ? regs->sp : regs->sp - sizeof(u64), !is_ret, true, out))
		return true;
	if (is_ret ? load(regs, regs->sp, &target) : !indirect || operand(&p->op, regs, &target))
		return false;
	return target_fault(target, out) || pushed_over(p, regs);
}

#define OP_PUSH 0x50 /* and the register */
#define OP_POP 0x58
#define OP_NOP 0x90
#define OP_LEAVE 0xc9
#define OP_RET 0xc3
#define REG_OF 7

bool arch_patch_done(const struct arch_patch *p, const struct arch_regs *regs)
{
	u8 op = p->insn[0], reg = op & REG_OF;
	u64 top;

	if (p->len > 1)
		return false;
	switch (op) {
	case OP_PUSH ... OP_PUSH + REG_OF:
		return load(regs, regs->sp, &top) == 0 &&
		       top == reg_value(regs, reg) + (reg == REG_SP ? sizeof(top) : 0);
	case OP_POP ... OP_POP + REG_OF:
		return load(regs, regs->sp - sizeof(top), &top) == 0 && top == reg_value(regs, reg);
	case OP_LEAVE:
		return load(regs, regs->sp - sizeof(top), &top) == 0 &&
		       top == reg_value(regs, REG_BP);
	default:
		return op == OP_NOP;
	}
}

bool arch_jump_done(const struct arch_patch *p, const struct arch_jump *j, u32 i,
		    const struct arch_regs *regs)
{
	struct arch_patch inner = {.len = 1};

	/* those that are one byte are known by it, among what jumps are over */
	inner.insn[0] = arch_jump_was(p, j, i);
	return inner.insn[0] == OP_RET || arch_patch_done(&inner, regs);
}
