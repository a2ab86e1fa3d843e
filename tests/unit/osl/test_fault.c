/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies that survive wrong addresses: NULL, no access, non-canonical, straddling, truncated. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "osl/osl.h"
#include "osl/osl_trap.h"

static u8 *edge; /* first byte that can't be touched; the page before it can */
static u8 *gone; /* a mapped page behind the end of its file */

static void start(void)
{
	u8 *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("t", 0);

	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
	mprotect(p + 4096, 4096, PROT_NONE);
	edge = p + 4096;
	cr_assert_eq(ftruncate(fd, 4096), 0);
	gone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_eq(ftruncate(fd, 0), 0);
}

TestSuite(fault, .init = start);

Test(fault, all_sizes_copy_exactly)
{
	u8 src[600], dst[600];

	for (u32 i = 0; i < sizeof(src); i++)
		src[i] = (u8)(i * 7 + 1);
	for (u32 len = 0; len < 590; len++) {
		memset(dst, 0xee, sizeof(dst));
		cr_assert_eq(osl_read(dst + 1, src + len % 9, len), 0);
		cr_assert_eq(memcmp(dst + 1, src + len % 9, len), 0, "len %u", len);
		cr_assert(dst[0] == 0xee && dst[len + 1] == 0xee, "len %u", len);
	}
}

Test(fault, bad_addresses)
{
	const u64 bad[] = {0,
			   8,
			   (u64)edge,
			   (u64)gone,
			   0x0000800000000000,
			   0x8000000000000000,
			   0xdeadbeefdeadbeef,
			   0xffff800000000000,
			   0xffffffffff600000,
			   0xfffffffffffffff8};
	u8 buf[600];

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		for (u32 len = 1; len < sizeof(buf); len += len < 20 ? 1 : 97) {
			cr_assert_eq(osl_read(buf, (void *)bad[i], len), -EFAULT, "%u", i);
			cr_assert_eq(osl_write((void *)bad[i], buf, len), -EFAULT, "%u", i);
			cr_assert_eq(osl_zero((void *)bad[i], len), -EFAULT, "%u", i);
			cr_assert_eq(osl_exchange((u64 *)bad[i], 0, 1), -EFAULT, "%u", i);
		}
	cr_assert_eq(osl_read(buf, NULL, 0), 0);
}

Test(fault, exchange_only_what_was_expected)
{
	u64 at[3] = {1, 2, 3};

	cr_expect_eq(osl_exchange(&at[1], 2, 0x8000000000000005), 0);
	cr_expect_eq(osl_exchange(&at[1], 2, 7), 1);
	cr_expect(at[0] == 1 && at[1] == 0x8000000000000005 && at[2] == 3);
}

Test(fault, straddling_the_edge)
{
	u8 buf[600];

	for (u32 len = 1; len < sizeof(buf); len++) {
		cr_assert_eq(osl_read(buf, edge - len, len), 0, "len %u", len);
		cr_assert_eq(osl_read(buf, edge - len + 1, len), -EFAULT, "len %u", len);
		cr_assert_eq(osl_write(edge - len + 1, buf, len), -EFAULT, "len %u", len);
	}
}

Test(fault, strings)
{
	char dst[64];

	for (u32 n = 0; n < 40; n++) {
		char *s = (char *)edge - n - 1;

		memset(s, 'a', n);
		s[n] = 0;
		memset(dst, 0xee, sizeof(dst));
		cr_assert_eq(osl_read_str(dst, s, sizeof(dst)), n + 1, "n %u", n);
		cr_assert_eq(memcmp(dst, s, n + 1), 0);
		cr_assert_eq((u8)dst[n + 1], 0xee);
	}
}

Test(fault, long_strings_are_cut)
{
	char dst[16];

	memset(dst, 0xee, sizeof(dst));
	cr_assert_eq(osl_read_str(dst, "0123456789", 5), 5);
	cr_assert_str_eq(dst, "0123");
	cr_assert_eq((u8)dst[5], 0xee);
	cr_assert_eq(osl_read_str(dst, "xyz", 1), 1);
	cr_assert_str_eq(dst, "");
	cr_assert_eq(osl_read_str(dst, "xyz", 0), 0);
}

Test(fault, failed_strings_are_zeroed)
{
	char dst[16], zero[16] = "";

	memset(dst, 0xee, sizeof(dst));
	memset(edge - 4, 'x', 4);
	cr_assert_eq(osl_read_str(dst, (char *)edge - 4, sizeof(dst)), -EFAULT);
	cr_assert_eq(memcmp(dst, zero, sizeof(dst)), 0);
	cr_assert_eq(osl_read_str(NULL, "abc", 4), -EFAULT);
}

static bool skip_store(struct arch_regs *regs)
{
	regs->ip += 2; /* movb %al,(%rdx) */
	return true;
}

#ifdef __x86_64__
Test(fault, hook_may_go_on)
{
	if (!osl_thread_pointer())
		cr_skip_test("built without an arch folder: there is no handler");
	osl_fault_hook(skip_store);
	__asm__ volatile("movb %%al,(%%rdx)" ::"a"(0), "d"(0) : "memory");
	osl_fault_hook(NULL);
}
#endif

/* what is not ours kills the process as ever, and goes to the handler that was there before */
Test(fault, foreign_faults_pass_on)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		*(volatile char *)edge = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	pid = fork();
	if (!pid) {
		raise(SIGSEGV);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	cr_assert(WIFEXITED(status) || WTERMSIG(status) == SIGSEGV);
}
