/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls in code: the shapes that are known, and their neighbours that are not. */
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include "arch/arch.h"
#include "osl/osl_trap.h"

static bool memory_fails;

int osl_read(void *dst, const void *src, size_t len)
{
	if (memory_fails)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

/* The number of the call that @code ends with; what is before it is breaks, or @before. */
static int number_after(u8 before, const void *code, size_t len)
{
	u8 text[ARCH_SYSCALL_TEXT];

	memset(text, before, sizeof(text));
	memcpy(text + sizeof(text) - len, code, len);
	return arch_syscall_number(text);
}
#define NUMBER(code) number_after(ARCH_BREAK, code, sizeof(code) - 1)

Test(syscall, the_instruction)
{
	cr_expect(arch_is_syscall((const u8 *)"\x0f\x05"));
	cr_expect_not(arch_is_syscall((const u8 *)"\x0f\x34")); /* sysenter */
	cr_expect_not(arch_is_syscall((const u8 *)"\xcd\x80")); /* int $0x80 */
}

Test(syscall, number_right_before)
{
	cr_expect_eq(NUMBER("\xb8\xe8\x00\x00\x00\x0f\x05"), 232);
	cr_expect_eq(NUMBER("\x31\xc0\x0f\x05"), 0);
	cr_expect_eq(NUMBER("\xb8\xff\x03\x00\x00\x0f\x05"), 1023);
	cr_expect_eq(NUMBER("\xb8\x00\x04\x00\x00\x0f\x05"), -1, "no call has it");
	cr_expect_eq(NUMBER("\xb9\xe8\x00\x00\x00\x0f\x05"), -1, "another register");
}

Test(syscall, number_before_a_move)
{
	cr_expect_eq(NUMBER("\xb8\x17\x00\x00\x00\x89\xd7\x0f\x05"), 23); /* mov %edx,%edi */
	cr_expect_eq(NUMBER("\xb8\x17\x00\x00\x00\x8b\x34\x24\x0f\x05"), 23);
	cr_expect_eq(NUMBER("\xb8\x17\x00\x00\x00\x8b\x74\x24\x08\x0f\x05"), 23);
	cr_expect_eq(NUMBER("\xb8\x17\x00\x00\x00\x4c\x8b\x44\x24\x08\x0f\x05"), 23);
	cr_expect_eq(NUMBER("\xb8\x17\x00\x00\x00\x31\xd2\x0f\x05"), -1, "no move");
	cr_expect_eq(NUMBER("\xb8\x17\x00\x00\x00\x90\x0f\x05"), -1, "no move");
}

/* Whatever is before it: nothing of that is taken for a load. */
Test(syscall, no_number)
{
	for (unsigned int before = 0; before < 256; before++)
		cr_expect_eq(number_after((u8)before, "\x5d\x0f\x05", 3), -1, "%#x", before);
}

static u64 end_at(const void *code, size_t len, u64 *nr)
{
	struct arch_patch p = {.addr = (u64)code, .len = (u8)len};
	struct arch_regs regs = {.ax = 77};

	memcpy(p.insn, code, len);
	return arch_syscall_end(&p, &regs, nr);
}

Test(syscall, where_it_ends)
{
	static const u8 call[] = "\x0f\x05", load[] = "\xb8\x0e\x00\x00\x00\x0f\x05",
			other[] = "\xb8\x0e\x00\x00\x00\x90\x90", shorter[] = "\x89\xc8\x0f\x05";
	u64 nr;

	cr_expect_eq(end_at(call, 2, &nr), (u64)call + 2);
	cr_expect_eq(nr, 77, "what the thread has in its register");
	cr_expect_eq(end_at(load, 5, &nr), (u64)load + 7);
	cr_expect_eq(nr, 14);
	cr_expect_eq(end_at(other, 5, &nr), 0);
	cr_expect_eq(end_at(shorter, 2, &nr), 0);
	memory_fails = true;
	cr_expect_eq(end_at(load, 5, &nr), 0);
	memory_fails = false;
}

Test(syscall, return_from_a_handler)
{
	cr_expect(arch_is_sigreturn((const u8 *)"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"));
	cr_expect(arch_is_sigreturn((const u8 *)"\xb8\x0f\x00\x00\x00\x0f\x05\x90\x90"));
	cr_expect_not(arch_is_sigreturn((const u8 *)"\xb8\x0e\x00\x00\x00\x0f\x05\x90\x90"));
	cr_expect_not(arch_is_sigreturn((const u8 *)"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x34"));
}
