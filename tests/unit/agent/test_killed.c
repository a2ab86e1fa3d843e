/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The injector is killed in the middle of its work, at every moment of it. The target must not
 * notice: its registers, its mask and its interrupted system calls are as they were.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake.h"
#include "osl/osl.h"

#define KILLS 120
#define STEP_NS 25000u

/* what the target says about itself */
struct seen {
	u64 spins, reads;
	u64 wrong; /* registers, results or masks that it did not expect */
};
static struct seen *seen;
static int wires[2];
static pid_t target;
static u8 next; /* byte to send */

/* Every register holds a number that is checked each time around, and so does a vector. */
static bool registers_hold(void)
{
	u64 bad;

	__asm__ volatile("mov $0x1111,%%rbx\n mov $0x2222,%%rcx\n mov $0x3333,%%rdx\n"
			 "mov $0x4444,%%rsi\n mov $0x5555,%%rdi\n mov $0x6666,%%r8\n"
			 "mov $0x7777,%%r9\n mov $0x8888,%%r10\n mov $0x9999,%%r11\n"
			 "mov $0xaaaa,%%r12\n mov $0xbbbb,%%r13\n mov $0xcccc,%%r14\n"
			 "movq %%rbx,%%xmm7\n mov $20000,%%eax\n"
			 "movq $0x1234,-120(%%rsp)\n"
			 "1: dec %%eax\n jnz 1b\n"
			 "movq %%xmm7,%%r15\n cmp %%r15,%%rbx\n jne 2f\n"
			 "cmpq $0x1234,-120(%%rsp)\n jne 2f\n"
			 "cmp $0x1111,%%rbx\n jne 2f\n cmp $0x2222,%%rcx\n jne 2f\n"
			 "cmp $0x3333,%%rdx\n jne 2f\n cmp $0x4444,%%rsi\n jne 2f\n"
			 "cmp $0x5555,%%rdi\n jne 2f\n cmp $0x6666,%%r8\n jne 2f\n"
			 "cmp $0x7777,%%r9\n jne 2f\n cmp $0x8888,%%r10\n jne 2f\n"
			 "cmp $0x9999,%%r11\n jne 2f\n cmp $0xaaaa,%%r12\n jne 2f\n"
			 "cmp $0xbbbb,%%r13\n jne 2f\n cmp $0xcccc,%%r14\n jne 2f\n"
			 "2: setne %%al\n movzx %%al,%%rax\n"
			 : "=a"(bad)
			 :
			 : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
			   "r13", "r14", "r15", "xmm7", "memory", "cc");
	return !bad;
}

static void check_mask(void)
{
	sigset_t now;

	pthread_sigmask(SIG_BLOCK, NULL, &now);
	for (int sig = 1; sig < 32; sig++)
		if (sigismember(&now, sig) != (sig == SIGUSR1))
			__atomic_fetch_add(&seen->wrong, 1, __ATOMIC_RELAXED);
}

static void spin(void)
{
	for (;;) {
		if (!registers_hold())
			__atomic_fetch_add(&seen->wrong, 1, __ATOMIC_RELAXED);
		check_mask();
		__atomic_fetch_add(&seen->spins, 1, __ATOMIC_RELAXED);
	}
}

static void *wait_for_bytes(void *arg)
{
	u8 due = 0, got;

	for (;;) {
		ssize_t n = read(wires[0], &got, 1);

		if (n == 0)
			_exit(0);
		if (n != 1 || got != due++)
			__atomic_fetch_add(&seen->wrong, 1, __ATOMIC_RELAXED);
		check_mask();
		__atomic_fetch_add(&seen->reads, 1, __ATOMIC_RELEASE);
	}
	return arg;
}

static void start(bool spins, bool reads)
{
	sigset_t one;
	pthread_t t;

	seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(seen != MAP_FAILED && !pipe(wires));
	next = 0;
	target = fork();
	if (target)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(wires[1]);
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	sigprocmask(SIG_SETMASK, &one, NULL);
	if (spins && reads)
		pthread_create(&t, NULL, wait_for_bytes, NULL);
	if (spins)
		spin();
	wait_for_bytes(NULL);
}

static void end(void)
{
	if (target > 0) {
		kill(target, SIGKILL);
		waitpid(target, NULL, 0);
	}
}

/* It makes progress, and nothing is wrong. */
static void goes_on(bool spins, bool reads, u64 at)
{
	u64 until = osl_now_ns() + 5000000000ull, was = READ_ONCE(seen->spins), wanted = next + 1u;

	if (reads)
		cr_assert_eq(write(wires[1], &next, 1), 1);
	while ((spins && READ_ONCE(seen->spins) < was + 3) ||
	       (reads && (u8)READ_ONCE(seen->reads) != (u8)wanted)) {
		cr_assert_eq(waitpid(target, NULL, WNOHANG), 0, "the target died, killed at %lu",
			     (unsigned long)at);
		cr_assert_lt(osl_now_ns(), until, "the target hangs, killed at %lu",
			     (unsigned long)at);
		sched_yield();
	}
	next++;
	cr_assert_eq(READ_ONCE(seen->wrong), 0, "killed at %lu", (unsigned long)at);
}

/* The daemon goes with its injector: 0 when the work was done before. */
static u32 kill_after(struct fake *f, u64 ns)
{
	struct inject_request req = {.kind = INJECT_LOAD, .pid = target, .agent_fd = f->agent_file};
	struct inject inj = INJECT_INIT;
	struct inject_event e = {0};
	u64 begin = osl_now_ns();
	bool done = false;

	cr_assert_eq(inject_start(&req, &inj), 0);
	do {
		if (inject_read(&inj, &e) == 0 && e.what == INJECT_SOCKET)
			close(e.fd);
		else if (e.what == INJECT_DONE)
			done = true;
		e.what = 0;
	} while (osl_now_ns() - begin < ns && !done);
	kill(inj.child, SIGKILL);
	waitpid(inj.child, NULL, __WALL);
	inject_finish(&inj);
	return !done;
}

static u32 open_files(void)
{
	char path[64];
	u32 n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", target, fd);
		n += !access(path, F_OK);
	}
	return n;
}

static void killed_at_every_moment(bool spins, bool reads)
{
	struct fake f;
	u32 cut = 0, files;

	fake_open(&f);
	start(spins, reads);
	goes_on(spins, reads, 0);
	files = open_files();
	for (u64 i = 0; i < KILLS; i++) {
		cut += kill_after(&f, i * STEP_NS);
		goes_on(spins, reads, i);
	}
	cr_expect_gt(cut, KILLS / 10, "%u were in mid-work", cut);
	/* between two system calls a descriptor is nobody's */
	cr_expect_leq(open_files(), files + KILLS / 4, "%u files more", open_files() - files);
	fake_close(&f);
}

TestSuite(killed, .fini = end, .timeout = 60);

Test(killed, while_it_computes)
{
	killed_at_every_moment(true, false);
}

Test(killed, while_it_waits)
{
	killed_at_every_moment(false, true);
}

Test(killed, while_it_does_both)
{
	killed_at_every_moment(true, true);
}

/* The daemon lives on and serves the exchange to its end. */
static void killed_at_step(u32 step)
{
	struct inject_request req = {.kind = INJECT_LOAD};
	struct inject inj = INJECT_INIT;
	struct inject_event e = {0};
	struct talk t;
	struct fake f;

	fake_open(&f);
	start(true, true);
	goes_on(true, true, step);
	req.pid = target;
	req.agent_fd = f.agent_file;
	cr_assert_eq(inject_start(&req, &inj), 0);
	while (inject_read(&inj, &e) == -EAGAIN)
		sched_yield();
	cr_assert_eq(e.what, INJECT_SOCKET);
	for (u32 i = 0; i < 4; i++) {
		if (i == step) {
			kill(inj.child, SIGKILL);
			waitpid(inj.child, NULL, __WALL);
		}
		if (i == 0)
			cr_assert_eq(talk_begin(&t, e.fd), 0);
		else if (i == 1)
			cr_assert_eq(talk_setup(&t, &f), 0);
		else if (i == 2)
			cr_assert_eq(talk_objects(&t, &f), 0);
		else
			talk_end(&t);
	}
	goes_on(true, true, step);
	inject_finish(&inj);
	end();
	close(wires[0]);
	close(wires[1]);
	fake_close(&f);
}

Test(killed, while_the_agent_works)
{
	for (u32 step = 1; step < 4; step++)
		killed_at_step(step);
	target = 0;
}
