/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPU we have no folder for: nothing is decoded, nothing is patched. */
#include <errno.h>

#include "arch/arch.h"

const u16 arch_elf_machine = 0;

const char *arch_patch_refusal(int reason)
{
	(void)reason;
	return "instructions of this CPU cannot be patched";
}

int arch_insn_len(const u8 *code, size_t len)
{
	(void)code, (void)len;
	return -EOPNOTSUPP;
}

int arch_patch_plan(const u8 *code, size_t len, u64 addr, struct arch_patch *out)
{
	(void)code, (void)len, (void)addr, (void)out;
	return -EOPNOTSUPP;
}

int arch_patch_plan_syscall(const u8 *code, size_t len, u64 addr, u32 nr, struct arch_patch *out)
{
	(void)code, (void)len, (void)addr, (void)nr, (void)out;
	return -EOPNOTSUPP;
}

int arch_syscall_site(const u8 *code, size_t len, u32 *nr, u32 *call_len)
{
	(void)code, (void)len, (void)nr, (void)call_len;
	return -ENOENT;
}

bool arch_is_syscall(const u8 *code)
{
	(void)code;
	return false;
}

int arch_syscall_number(const u8 text[ARCH_SYSCALL_TEXT])
{
	(void)text;
	return -1;
}

u64 arch_syscall_end(const struct arch_patch *p, const struct arch_regs *regs, u64 *nr)
{
	(void)p, (void)regs, (void)nr;
	return 0;
}

bool arch_is_sigreturn(const u8 code[ARCH_SIGRETURN_LEN])
{
	(void)code;
	return false;
}

bool arch_patch_needs_slot(const struct arch_patch *p)
{
	(void)p;
	return false;
}

u32 arch_state_size(void)
{
	return 0;
}

int arch_unwind_exits(const u8 *code, size_t len, bool lands, u32 *offsets, u32 max)
{
	(void)code, (void)len, (void)lands, (void)offsets, (void)max;
	return -EOPNOTSUPP;
}

void arch_patch_slot_range(const struct arch_patch *p, u64 *lo, u64 *hi)
{
	(void)p;
	*lo = 1;
	*hi = 0;
}

int arch_patch_relocate(struct arch_patch *p, u64 slot)
{
	(void)p, (void)slot;
	return -EOPNOTSUPP;
}

bool arch_patch_valid(const struct arch_patch *p)
{
	(void)p;
	return false;
}

int arch_patch_step(const struct arch_patch *p, struct arch_regs *regs)
{
	(void)p, (void)regs;
	return -EOPNOTSUPP;
}

bool arch_patch_done(const struct arch_patch *p, const struct arch_regs *regs)
{
	(void)p, (void)regs;
	return true;
}

bool arch_jump_done(const struct arch_patch *p, const struct arch_jump *j, u32 i,
		    const struct arch_regs *regs)
{
	(void)p, (void)j, (void)i, (void)regs;
	return true;
}

bool arch_patch_fault(const struct arch_patch *p, const struct arch_regs *regs,
		      struct osl_fault *out)
{
	(void)p, (void)regs, (void)out;
	return false;
}

int arch_leaves(const u8 *code, size_t len, u32 *offsets, u32 max)
{
	(void)code, (void)len, (void)offsets, (void)max;
	return -EOPNOTSUPP;
}

int arch_looks(const u8 *code, size_t len, struct arch_look *v, u32 max)
{
	(void)code, (void)len, (void)v, (void)max;
	return 0;
}

int arch_returns(const u8 *code, size_t len, bool tables, u32 *offsets, u32 max, u32 *at)
{
	return -EINVAL;
}

bool arch_patch_native(struct arch_patch *p)
{
	return false;
}

bool arch_jump_executes(const struct arch_patch *p)
{
	return false;
}

bool arch_jump_range(const struct arch_patch *p, const u8 *text, size_t len, u64 *lo, u64 *hi)
{
	(void)p, (void)text, (void)len, (void)lo, (void)hi;
	return false;
}

u32 arch_jump_follows(const struct arch_patch *p, const u8 *text, size_t len)
{
	(void)p, (void)text, (void)len;
	return 0;
}

int arch_jump_stub(const struct arch_patch *p, const u8 *text, u32 follow, u64 stub, u64 entry,
		   struct arch_jump *out)
{
	(void)p, (void)text, (void)follow, (void)stub, (void)entry, (void)out;
	return -EOPNOTSUPP;
}

bool arch_branches_into(const u8 *code, size_t len, u32 from, u32 to)
{
	(void)code, (void)len, (void)from, (void)to;
	return true;
}

bool arch_jump_valid(const struct arch_patch *p, const struct arch_jump *j)
{
	(void)p, (void)j;
	return false;
}

void arch_jump_bytes(u64 from, u64 to, u8 out[ARCH_JUMP_LEN])
{
	(void)from, (void)to, (void)out;
}

u64 arch_jump_astray(u64 from, u64 to, u32 breaks)
{
	(void)from, (void)breaks;
	return to;
}

bool arch_jump_site(const u8 *head, u64 stub, u64 *site)
{
	(void)head, (void)stub, (void)site;
	return false;
}

u32 arch_jump_depth(u32 offset)
{
	(void)offset;
	return 0;
}
