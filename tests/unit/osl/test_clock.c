/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time where asking the kernel for it is death, and where reading the CPU's counter is. Each
 * test is a child that must reach its end. The truth is the coarse clock, which libc reads without
 * either, too.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "osl/linux/vdso.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#ifdef __x86_64__

#define NS 1000000000ull
#define LONG_NS (60 * NS) /* how far off a loaded machine may be */

static u64 libc_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * NS + (u64)ts.tv_nsec;
}

static u64 tick_ns(void)
{
	struct timespec res;

	clock_getres(CLOCK_MONOTONIC_COARSE, &res);
	return (u64)res.tv_nsec;
}

/* The end of a process that asks for the time. */
static int filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_getres, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {ARRAY_SIZE(code), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &prog);
}

/*
 * A copy of the vDSO which makes a system call for the clocks that aren't coarse, as the kernel's
 * does where it doesn't trust the counter.
 */
static u64 distrustful_vdso(void)
{
	u64 real = getauxval(AT_SYSINFO_EHDR), fn = (u64)osl_vdso_sym(real, "__vdso_clock_gettime");
	const Elf64_Phdr *ph = (void *)(real + ((Elf64_Ehdr *)real)->e_phoff);
	u8 *copy = mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	   /* cmp $6,%edi; jne 1f; movabs $fn,%rax; jmp *%rax; 1: mov $228,%eax; syscall; ret */
		code[] = {0x83, 0xff, 6,    0x75, 12,	0x48, 0xb8, 0, 0, 0,	0,    0,   0,
			  0,	0,    0xff, 0xe0, 0xb8, 228,  0,    0, 0, 0x0f, 0x05, 0xc3};

	if (copy == MAP_FAILED || !fn)
		return 0;
	for (u32 i = 0; i < ((Elf64_Ehdr *)real)->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD)
			memcpy(copy, (void *)real, ph[i].p_memsz);
	memcpy(code + 7, &fn, sizeof(fn));
	memcpy(copy + (fn - real), code, sizeof(code));
	return (u64)copy;
}

/* Long enough that the counter's rate is known. */
static void watch_counter(void)
{
	u64 until = libc_ns(CLOCK_MONOTONIC) + 5000000;

	while (libc_ns(CLOCK_MONOTONIC) < until)
		;
}

/*
 * As the truth, to a tick, or as it was when we became calm, before @calm: the coarse clock may be
 * late then. *between says that it was told more exactly than that.
 */
static bool right(u64 tick, u64 calm, bool *between)
{
	u64 before = libc_ns(CLOCK_MONOTONIC_COARSE), t = osl_ktime_ns(),
	    after = libc_ns(CLOCK_MONOTONIC_COARSE);

	*between |= t != before && t != before + tick && t != after && t != after + tick;
	return before <= t && t <= MAX(after + tick, calm);
}

static void ends_well(int (*fn)(void), const char *how)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(fn());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "%s: status %#x", how, status);
}

static u64 behind_vdso; /* of the process behind a wall */

static int behind_wall(void)
{
	struct osl_self self = {.tgid = 1, .vdso = behind_vdso};
	u64 tick = tick_ns(), until, start, calm, m1, boot, m2;
	bool between = false;

	osl_trap_init(&self);
	watch_counter();
	m1 = libc_ns(CLOCK_MONOTONIC);
	boot = libc_ns(CLOCK_BOOTTIME);
	m2 = libc_ns(CLOCK_MONOTONIC);
	start = osl_ktime_ns();
	osl_wall();
	calm = libc_ns(CLOCK_MONOTONIC);
	if (filter())
		return 1;
	until = libc_ns(CLOCK_MONOTONIC_COARSE) + LONG_NS;
	for (u32 i = 0; i < 1000 || (!between && libc_ns(CLOCK_MONOTONIC_COARSE) < until); i++) {
		if (osl_ktime_ns() < start)
			return 2;
		if (self.vdso && !right(tick, calm, &between))
			return 3;
		between |= !self.vdso && osl_ktime_ns() != start;
	}
	if (!between)
		return 4;
	m1 = osl_ktime_ns() + (boot - m2);
	boot = osl_ktime_boot_ns();
	if (boot + tick < m1 || boot > m1 + LONG_NS || osl_ktime_tai_ns() < NS)
		return 5;
	return osl_ktime_coarse_ns() && osl_ticks() ? 0 : 6;
}

Test(clock, behind_a_wall)
{
	cr_assert_eq(osl_fault_handler_install(), 0);
	behind_vdso = getauxval(AT_SYSINFO_EHDR);
	ends_well(behind_wall, "a vDSO");
	behind_vdso = distrustful_vdso();
	cr_assert(behind_vdso);
	ends_well(behind_wall, "the vDSO makes system calls");
	behind_vdso = 0;
	ends_well(behind_wall, "no vDSO");
}

static int forbid_counter(void)
{
	return prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
}

static int without_counter(void)
{
	u64 tick = tick_ns(), calm;
	bool ignored;

	if (forbid_counter())
		return 1;
	osl_trap_init_self();
	calm = osl_ktime_ns(); /* libc's would read it */
	for (u32 i = 0; i < 100; i++)
		if (!right(tick, calm, &ignored))
			return 2;
	return osl_ktime_boot_ns() && osl_ktime_tai_ns() > NS ? 0 : 3;
}

static int counter_is_forbidden(void)
{
	u64 tick = tick_ns(), calm;
	bool ignored;

	osl_trap_init_self();
	watch_counter();
	osl_clock_calm(false);
	calm = libc_ns(CLOCK_MONOTONIC);
	if (forbid_counter())
		return 1;
	for (u32 i = 0; i < 100; i++)
		if (!right(tick, calm, &ignored))
			return 2;
	return 0;
}

/* Where it was read until then. */
static int counter_is_forbidden_behind_wall(void)
{
	u64 tick = tick_ns(), calm, before;
	bool ignored;

	osl_trap_init_self();
	watch_counter();
	osl_wall();
	calm = libc_ns(CLOCK_MONOTONIC);
	before = osl_ktime_ns();
	if (forbid_counter())
		return 1;
	for (u32 i = 0; i < 100; i++)
		if (!right(tick, calm, &ignored))
			return 2;
	return osl_ktime_ns() + tick >= before ? 0 : 3;
}

Test(clock, without_the_counter)
{
	cr_assert_eq(osl_fault_handler_install(), 0);
	ends_well(without_counter, "from the start");
	ends_well(counter_is_forbidden, "later");
	ends_well(counter_is_forbidden_behind_wall, "behind a wall");
}
#endif
