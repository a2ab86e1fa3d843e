/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls as code has them: `syscall`, and what loads its number.
 *
 * For any context, so there is no decoder here: the few shapes in which C libraries make their
 * calls are told by their bytes. What has another shape is not known, which is always an answer.
 * Where a whole function can be looked at, arch_syscall_site() (patch.c) knows more of them.
 */
#include "arch/arch.h"
#include "osl/osl_trap.h"

#define LOAD_LEN 5   /* mov $imm32,%eax */
#define NUMBERS 1024 /* more than there are */
#define NR_RT_SIGRETURN 15

bool arch_is_syscall(const u8 *code)
{
	return code[0] == 0x0f && code[1] == 0x05;
}

static bool is_load(const u8 *code)
{
	return code[0] == 0xb8;
}

static u32 loaded(const u8 *load)
{
	u32 nr;

	__builtin_memcpy(&nr, load + 1, sizeof(nr));
	return nr;
}

/* Between the load of the number and the call there may be one move: its bytes. */
static bool is_move(const u8 *p, u32 len)
{
	if (len < 3)
		return !len || (len == 2 && p[0] == 0x89); /* between registers */
	p += len == 5;					   /* REX */
	return p[0] == 0x8b && p[2] == 0x24;		   /* from the stack */
}

int arch_syscall_number(const u8 text[ARCH_SYSCALL_TEXT])
{
	const u8 *call = text + ARCH_SYSCALL_TEXT - ARCH_SYSCALL_LEN;

	if (call[-2] == 0x31 && call[-1] == 0xc0) /* xor %eax,%eax */
		return 0;
	for (u32 gap = 0; gap <= ARCH_SYSCALL_TEXT - ARCH_SYSCALL_LEN - LOAD_LEN; gap++) {
		const u8 *load = call - gap - LOAD_LEN;

		if (is_load(load) && loaded(load) < NUMBERS && is_move(load + LOAD_LEN, gap))
			return (int)loaded(load);
	}
	return -1;
}

u64 arch_syscall_end(const struct arch_patch *p, const struct arch_regs *regs, u64 *nr)
{
	u64 behind = p->addr + p->len;
	u8 next[ARCH_SYSCALL_LEN];

	*nr = regs->ax;
	if (p->len == ARCH_SYSCALL_LEN && arch_is_syscall(p->insn))
		return behind;
	if (p->len != LOAD_LEN || !is_load(p->insn) ||
	    osl_read(next, (const void *)behind, sizeof(next)) || !arch_is_syscall(next))
		return 0;
	*nr = loaded(p->insn);
	return behind + ARCH_SYSCALL_LEN;
}

/* mov $15,%rax or %eax; syscall */
bool arch_is_sigreturn(const u8 code[ARCH_SIGRETURN_LEN])
{
	static const u8 wide[] = {0x48, 0xc7, 0xc0, NR_RT_SIGRETURN, 0, 0, 0, 0x0f, 0x05};
	static const u8 narrow[] = {0xb8, NR_RT_SIGRETURN, 0, 0, 0, 0x0f, 0x05};

	_Static_assert(sizeof(wide) == ARCH_SIGRETURN_LEN, "the longest");
	return !__builtin_memcmp(code, wide, sizeof(wide)) ||
	       !__builtin_memcmp(code, narrow, sizeof(narrow));
}
