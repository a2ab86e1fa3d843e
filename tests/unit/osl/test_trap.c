/* SPDX-License-Identifier: BSD-2-Clause */
/* Services for any context, compared with what libc says. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "osl/linux/cpu.h"
#include "osl/linux/vdso.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

static void start(void)
{
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
}

TestSuite(trap, .init = start);

static u64 libc_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

static void check_clock(u64 (*ours)(void), clockid_t id)
{
	u64 before = libc_ns(id), t = ours(), after = libc_ns(id);

	cr_assert(before <= t && t <= after, "clock %d", id);
}

static void check_clocks(void)
{
	check_clock(osl_ktime_ns, CLOCK_MONOTONIC);
	check_clock(osl_ktime_boot_ns, CLOCK_BOOTTIME);
	check_clock(osl_ktime_coarse_ns, CLOCK_MONOTONIC_COARSE);
	check_clock(osl_ktime_tai_ns, CLOCK_TAI);
}

/* as often a second as the coarse clock moves */
static void check_ticks(void)
{
	struct timespec res;
	u64 hz, before, t, after;

	cr_assert_eq(clock_getres(CLOCK_MONOTONIC_COARSE, &res), 0);
	hz = (1000000000u + (u64)res.tv_nsec / 2) / (u64)res.tv_nsec;
	before = libc_ns(CLOCK_MONOTONIC_COARSE) / (u64)res.tv_nsec;
	t = osl_ticks() - (u32)(-300 * (s64)hz);
	after = libc_ns(CLOCK_MONOTONIC_COARSE) / (u64)res.tv_nsec;
	cr_assert(before <= t && t <= after);
}

Test(trap, ticks)
{
	check_ticks();
}

Test(trap, clocks)
{
	check_clocks();
}

Test(trap, clocks_and_cpu_without_a_vdso)
{
	struct osl_self self = {.tgid = 1};

	osl_trap_init(&self);
	check_clocks();
	cr_assert_lt(osl_cpu(), osl_nr_cpus());
}

Test(trap, vdso_symbols)
{
	u64 base = getauxval(AT_SYSINFO_EHDR);

	cr_assert_not_null(osl_vdso_sym(base, "__vdso_clock_gettime"));
	cr_assert_not_null(osl_vdso_sym(base, "__vdso_getcpu"));
	cr_assert_null(osl_vdso_sym(base, "__vdso_clock_gettim"));
	cr_assert_null(osl_vdso_sym(base, ""));
	cr_assert_null(osl_vdso_sym(0, "x"));
	cr_assert_null(osl_vdso_sym(0x1000, "x"));
	cr_assert_null(osl_vdso_sym((u64)&base & ~4095ull, "x"));
}

/* Copies of the vDSO with damaged bytes must find something inside or nothing; never fault. */
Test(trap, vdso_damaged)
{
	static u8 copy[65536] __attribute__((aligned(4096)));
	u64 base = getauxval(AT_SYSINFO_EHDR);
	u64 seed = libc_ns(CLOCK_REALTIME);

	for (u32 i = 0; i < 2000; i++) {
		void *p;

		memcpy(copy, (void *)base, 4096);
		srandom((unsigned)(seed + i));
		for (u32 k = 0; k < 8; k++)
			copy[random() % (k & 1 ? 64 : 4096)] = (u8)random();
		memcpy(copy, "\177ELF\2", 5);
		p = osl_vdso_sym((u64)copy, "__vdso_clock_gettime");
		cr_assert(!p || ((u8 *)p >= copy && (u8 *)p < copy + sizeof(copy)), "seed %llu",
			  (unsigned long long)(seed + i));
	}
}

Test(trap, cpu)
{
	cpu_set_t old, one;
	int cpu = sched_getcpu();

	cr_assert_eq(sched_getaffinity(0, sizeof(old), &old), 0);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	cr_assert_eq((int)osl_cpu(), cpu);
	sched_setaffinity(0, sizeof(old), &old);
}

static void check_cpus(void)
{
	cpu_set_t was, one;

	cr_assert_eq(sched_getaffinity(0, sizeof(was), &was), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &was))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
		cr_expect_eq((int)osl_cpu(), cpu, "%u, not %d", osl_cpu(), cpu);
	}
	cr_assert_eq(sched_setaffinity(0, sizeof(was), &was), 0);
}

static void *check_cpus_thread(void *arg)
{
	check_cpus();
	return NULL;
}

Test(trap, cpu_of_every_thread)
{
	pthread_t t[3];

	check_cpus();
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, check_cpus_thread, NULL), 0);
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
}

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
#define GLIBC_RSEQ_SIGNATURE 0x53053053

/* glibc's own words for it; what is found is what it registered, and looking changed nothing. */
Test(trap, rseq_of_libc)
{
	u64 at;

	if (!&__rseq_size || !__rseq_size)
		cr_skip_test("libc registers no rseq here");
	if (!osl_thread_pointer())
		cr_skip_test("no arch folder, no thread pointer");
	cr_expect_eq(osl_rseq_find(), __rseq_offset);
	at = osl_thread_pointer() + (u64)__rseq_offset;
	cr_assert_eq(syscall(__NR_rseq, at, 32, 1, GLIBC_RSEQ_SIGNATURE), 0, "%d", errno);
	check_cpus(); /* asks otherwise, now that the kernel says nothing any more */
	cr_expect_eq(osl_rseq_find(), 0);
}

Test(trap, identity)
{
	cr_assert_eq(osl_tgid(), (u32)getpid());
	cr_assert_eq(osl_tid(), (u32)gettid());
	cr_assert_eq(osl_uid_gid(), (u64)getgid() << 32 | getuid());
	/* an unknown arch has none */
	cr_assert(!osl_thread_pointer() || osl_thread_pointer() == (u64)pthread_self());
}

static void *check_thread(void *arg)
{
	char comm[16], want[16] = "";
	u64 bad = 0;

	snprintf(want, sizeof(want), "t%d", (int)gettid());
	prctl(PR_SET_NAME, want);
	for (int i = 0; i < 100; i++) {
		osl_comm(comm);
		bad += osl_tid() != (u32)gettid();
		bad += memcmp(comm, want, strlen(want) + 1) != 0;
	}
	return (void *)bad;
}

/* Control blocks are reused by later threads; their tids must not be. */
Test(trap, tid_and_comm_of_many_threads)
{
	for (int round = 0; round < 40; round++) {
		pthread_t t[8];
		void *bad;

		for (int i = 0; i < 8; i++)
			cr_assert_eq(pthread_create(&t[i], NULL, check_thread, NULL), 0);
		for (int i = 0; i < 8; i++) {
			pthread_join(t[i], &bad);
			cr_assert_null(bad);
		}
	}
}

Test(trap, tid_in_a_child)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		osl_trap_init_self();
		_exit(osl_tid() == (u32)gettid() && osl_tgid() == (u32)getpid() ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
	/* a child made behind libc's back has a stale tid in its control block */
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid) {
		osl_trap_init_self();
		_exit(osl_tid() == (u32)syscall(SYS_gettid) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
}

Test(trap, comm_is_refreshed)
{
	struct timespec ms20 = {0, 20000000};
	char comm[16];

	prctl(PR_SET_NAME, "first");
	osl_comm(comm);
	prctl(PR_SET_NAME, "fifteen-letters");
	nanosleep(&ms20, NULL);
	osl_comm(comm);
	cr_assert_str_eq(comm, "fifteen-letters");
}

Test(trap, random)
{
	u32 a = osl_random(), ones = 0;

	for (int i = 0; i < 1000; i++)
		ones += (u32)__builtin_popcount(osl_random());
	cr_assert(a != osl_random() || a != osl_random());
	cr_assert(ones > 15000 && ones < 17000, "%u", ones);
}

static void *waker(void *arg)
{
	struct osl_bells *b = arg;

	while (!load_acquire(&b->pending[0]))
		syscall(SYS_futex, &b->seq, FUTEX_WAIT, 0, NULL, NULL, 0);
	return NULL;
}

Test(trap, bell_marks_and_wakes)
{
	static struct osl_bells bells;
	struct osl_self self = {.bells = &bells};
	pthread_t t;

	osl_trap_init(&self);
	osl_ring(0);
	osl_ring(OSL_BELLS);
	cr_assert_eq(bells.seq, 0);
	bells.asleep = 1;
	pthread_create(&t, NULL, waker, &bells);
	osl_ring(5);
	pthread_join(t, NULL);
	cr_assert_eq(bells.pending[0], 1u << 5);
	osl_ring(1023);
	cr_assert_eq(bells.pending[15], 1ull << 63);
}

Test(trap, death_of_the_daemon)
{
	static struct osl_life life = {.alive = 1234};
	struct osl_self self = {.life = &life};

	cr_assert(!osl_daemon_dead());
	osl_trap_init(&self);
	cr_assert(!osl_daemon_dead());
	life.alive |= OSL_LIFE_OWNER_DIED;
	cr_assert(osl_daemon_dead());
}
