/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers at a call that code makes which uses general ones only: those of the application
 * are kept by XSAVE, all but protection keys; the arguments are set, and the result is got, by
 * FXRSTOR and FXSAVE, so that no vector register is named.
 */
#include "arch/arch.h"

#define LEGACY 512u
#define HEADER 64u
#define STATE (~(1u << 9)) /* protection keys are nothing that is kept at a call */
#define STATE_MAX 16384u
/* in the legacy area */
#define AT_FSW 2u
#define AT_FTW 4u
#define AT_XMM 160u
_Static_assert(ARCH_CALL_REGISTERS == LEGACY, "FXSAVE");

static void cpuid(u32 leaf, u32 sub, u32 *a, u32 *b, u32 *c, u32 *d)
{
	__asm__("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(*d) : "a"(leaf), "c"(sub));
}

u32 arch_state_size(void)
{
	u32 a, b, c, d;

	cpuid(1, 0, &a, &b, &c, &d);
	if (!(c >> 27 & 1)) /* OSXSAVE */
		return 0;
	cpuid(0xd, 0, &a, &b, &c, &d);
	return b <= STATE_MAX ? b : 0;
}

void arch_state_keep(u8 *state)
{
	__builtin_memset(state + LEGACY, 0, HEADER);
	__asm__ volatile("xsave64 (%0)" : : "r"(state), "a"(STATE), "d"(~0u) : "memory");
}

void arch_state_give_back(const u8 *state)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(state), "a"(STATE), "d"(~0u) : "memory");
}

/* As at a call: modes as they are, nothing on the stack of the x87. */
void arch_call_set(u8 *registers, const u64 *vector, u32 n)
{
	u8 *r = registers;

	__asm__ volatile("fxsave64 (%0)" : : "r"(r) : "memory");
	__builtin_memset(r + AT_FSW, 0, 2);
	r[AT_FTW] = 0;
	for (u32 i = 0; i < n; i++) {
		__builtin_memset(r + AT_XMM + i * 16, 0, 16);
		__builtin_memcpy(r + AT_XMM + i * 16, &vector[i], 8);
	}
	__asm__ volatile("fxrstor64 (%0)" : : "r"(r) : "memory");
}

void arch_call_get(u8 *registers, u64 *first, u64 *second)
{
	__asm__ volatile("fxsave64 (%0)" : : "r"(registers) : "memory");
	__builtin_memcpy(first, registers + AT_XMM, 8);
	__builtin_memcpy(second, registers + AT_XMM + 16, 8);
}
