// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that does with SIGTRAP what a program can do with a signal, and says what it sees. Says
 * "ready PID", then obeys:
 *
 * - all: a line for each case, then "done"
 * - one CASE: that one's line
 * - names: the names of the cases in a line
 * - count: how often work() was called: "work N"; children count, too
 * - quit
 */
#include <errno.h>
#include <execinfo.h>
#include <fenv.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK 65536
#define TRAP_BIT (1ul << (SIGTRAP - 1))

static long *calls; /* shared with children */
static char line[1024];
static char stacks[2][STACK] __attribute__((aligned(64)));
static sigjmp_buf away;

/* what the handler has seen */
static struct {
	volatile int n, depth, deepest, usr1, frames, jump, quiet;
	int code, trapno, value, sender, stack, onstack, df, mxcsr, saved_errno;
	long off;
} seen;
/* what it is to do */
static void (*volatile within)(ucontext_t *uc);

__attribute__((noinline, noclone, visibility("default"))) long work(long n)
{
	__asm__ volatile("" ::: "memory");
	__sync_fetch_and_add(calls, 1);
	return n * 2 + 1;
}

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	size_t len = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	va_end(ap);
}

static unsigned long mask_now(void)
{
	unsigned long mask = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	return mask;
}

static int stack_of(const void *p)
{
	for (int i = 0; i < 2; i++)
		if ((const char *)p >= stacks[i] && (const char *)p < stacks[i] + STACK)
			return i + 1;
	return 0;
}

extern char own_break[], own_break_end[];

__attribute__((noinline, noclone)) static void break_here(void)
{
	__asm__ volatile(
		".globl own_break\nown_break: int3\n.globl own_break_end\nown_break_end:" ::
			: "memory");
}

static void on_trap(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;
	void *frames[64];
	unsigned long flags;
	unsigned int mxcsr;
	stack_t ss;

	__asm__ volatile("pushfq; pop %0; stmxcsr %1" : "=r"(flags), "=m"(mxcsr));
	seen.n++;
	if (++seen.depth > seen.deepest)
		seen.deepest = seen.depth;
	seen.code = info->si_code;
	seen.sender = info->si_code <= 0 && info->si_pid == getpid();
	seen.value = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
	seen.off = uc->uc_mcontext.gregs[REG_RIP] - (long)own_break;
	if (info->si_code <= 0)
		seen.off = 0;
	seen.trapno = info->si_code > 0 ? (int)uc->uc_mcontext.gregs[REG_TRAPNO] : 0;
	seen.stack = stack_of(&ss);
	sigaltstack(NULL, &ss);
	seen.onstack = ss.ss_flags;
	seen.df = !!(flags & 0x400);
	seen.mxcsr = (int)mxcsr;
	if (!seen.quiet)
		seen.frames = backtrace(frames, 64);
	work(sig);
	if (within)
		within(uc);
	errno = 77;
	seen.depth--;
	if (seen.jump) {
		seen.depth = 0;
		siglongjmp(away, 1);
	}
}

static void on_usr1(int sig)
{
	seen.usr1 += seen.depth ? 10 : 1;
	work(sig);
}

static void report(const char *what)
{
	say(" %s: n %d deep %d code %d off %ld trap %d from %d value %d stack %d %d "
	    "frames %d "
	    "df %d mxcsr %x usr1 %d;",
	    what, seen.n, seen.deepest, seen.code, seen.off, seen.trapno, seen.sender, seen.value,
	    seen.stack, seen.onstack, seen.frames, seen.df, seen.mxcsr, seen.usr1);
	memset(&seen, 0, sizeof(seen));
}

static void handle(int flags)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | flags};

	sigaction(SIGTRAP, &sa, NULL);
}

static void mask_trap(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	pthread_sigmask(how, &set, NULL);
}

static int pending(void)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, SIGTRAP);
}

static void use_stack(int i)
{
	stack_t ss = {.ss_sp = stacks[i - 1], .ss_size = STACK};

	if (!i)
		ss = (stack_t){.ss_flags = SS_DISABLE};
	sigaltstack(&ss, NULL);
}

/* How a child ends that does this. */
static void child(const char *what, void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		work(1);
		fn();
		_exit(7);
	}
	waitpid(pid, &status, 0);
	say(" %s: %x;", what, status);
}

static void kill_self(void)
{
	kill(getpid(), SIGTRAP);
}

/* --- the cases ----------------------------------------------------------------------------------
 */

static void case_ways(void)
{
	errno = 5;
	break_here();
	say(" errno %d;", errno);
	report("int3");
	kill_self();
	report("kill");
	raise(SIGTRAP);
	report("raise");
	sigqueue(getpid(), SIGTRAP, (union sigval){.sival_int = 42});
	report("sigqueue");
	pthread_kill(pthread_self(), SIGTRAP);
	report("pthread_kill");
}

static void case_masks(void)
{
	mask_trap(SIG_BLOCK);
	kill_self();
	kill_self();
	say(" blocked %d pending %d", !!(mask_now() & TRAP_BIT), pending());
	work(1);
	report("before");
	mask_trap(SIG_UNBLOCK);
	report("after");
	say(" pending %d", pending());
}

static void case_wait(void)
{
	struct timespec none = {0, 0}, some = {5, 0};
	siginfo_t info = {0};
	sigset_t set;
	int sig = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	mask_trap(SIG_BLOCK);
	say(" nothing %d", sigtimedwait(&set, &info, &none));
	say(" %d", errno);
	sigqueue(getpid(), SIGTRAP, (union sigval){.sival_int = 43});
	say(" got %d", sigtimedwait(&set, &info, &some));
	say(" code %d value %d", info.si_code, info.si_value.sival_int);
	kill_self();
	say(" sigwait %d", sigwait(&set, &sig));
	say(" %d pending %d", sig, pending());
	mask_trap(SIG_UNBLOCK);
	report("handled");
}

static volatile sig_atomic_t started;

static void *waiter(void *arg)
{
	sigset_t set;
	int sig = 0;

	started = 1;
	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigwait(&set, &sig);
	work(1);
	*(int *)arg = sig;
	return NULL;
}

static void case_thread(void)
{
	int got[3] = {0};
	pthread_t t[3];

	mask_trap(SIG_BLOCK);
	for (int i = 0; i < 3; i++) {
		started = 0;
		pthread_create(&t[i], NULL, waiter, &got[i]);
		while (!started) /* until then the C library has not set the thread's mask */
			sched_yield();
		usleep(i * 20000); /* the first one most likely not waiting yet */
		if (i)
			kill_self();
		else
			pthread_kill(t[i], SIGTRAP);
		pthread_join(t[i], NULL);
	}
	say(" got %d %d %d", got[0], got[1], got[2]);
	mask_trap(SIG_UNBLOCK);
	report("handled");
}

static void case_suspend(void)
{
	sigset_t none;

	sigemptyset(&none);
	mask_trap(SIG_BLOCK);
	kill_self();
	say(" suspend %d", sigsuspend(&none));
	say(" %d", errno);
	report("handled");
	mask_trap(SIG_UNBLOCK);
}

static void again(ucontext_t *uc)
{
	if (seen.n < 3)
		raise(SIGTRAP);
}

static void case_nested(void)
{
	handle(SA_NODEFER);
	within = again;
	kill_self();
	report("kill");
	break_here();
	report("int3");
	within = NULL;
}

static void usr1(ucontext_t *uc)
{
	raise(SIGUSR1);
}

static void case_others(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	within = usr1;
	kill_self();
	report("open");
	sigaddset(&sa.sa_mask, SIGUSR1);
	sigaction(SIGTRAP, &sa, NULL);
	kill_self();
	report("masked");
	break_here();
	report("int3 masked");
	within = NULL;
}

static void raw(const char *what, int sig, const void *act, void *old, size_t size)
{
	long ret = syscall(SYS_rt_sigaction, sig, act, old, size);

	say(" %s %ld %d;", what, ret, ret ? errno : 0);
}

static void case_back(void)
{
	struct {
		unsigned long handler, flags, restorer, mask;
	} act, old;
	struct sigaction sa;

	syscall(SYS_rt_sigaction, SIGTRAP, NULL, &act, 8);
	for (int i = 0; i < 34; i++) {
		unsigned long flags = act.flags;

		flags |= i < 32 ? 1ul << i : i == 32 ? 0xffffffff : 1ul << 40;
		act.mask = i % 2 ? ~0ul : 0x5a5a;
		act.flags = flags;
		syscall(SYS_rt_sigaction, SIGTRAP, &act, NULL, 8);
		syscall(SYS_rt_sigaction, SIGTRAP, NULL, &old, 8);
		say(" %lx %lx %d", old.flags, old.mask, old.handler == act.handler);
		act.flags = old.flags & 0x04000004;
	}
	handle(0);
	raw("size", SIGTRAP, &act, NULL, 4);
	raw("pointer", SIGTRAP, (void *)8, NULL, 8);
	raw("old", SIGTRAP, NULL, (void *)8, 8);
	act.handler = 1;
	raw("both", SIGTRAP, &act, (void *)8, 8);
	sigaction(SIGTRAP, NULL, &sa);
	say(" now %d", sa.sa_handler == SIG_IGN);
	raw("signal", 65, &act, NULL, 8);
	raw("kill", SIGKILL, &act, NULL, 8);
}

static void case_signal(void)
{
	struct sigaction sa;

	say(" %d", signal(SIGTRAP, SIG_IGN) == (void *)on_trap);
	say(" %d", signal(SIGTRAP, SIG_DFL) == SIG_IGN);
	say(" %d", signal(SIGTRAP, on_usr1) == SIG_DFL);
	sigaction(SIGTRAP, NULL, &sa);
	say(" %x", sa.sa_flags);
	kill_self();
	report("signal");
	say(" %d", sysv_signal(SIGTRAP, on_usr1) == on_usr1);
	break_here();
	sigaction(SIGTRAP, NULL, &sa);
	say(" %d %x", sa.sa_handler == SIG_DFL, sa.sa_flags);
	report("sysv");
	handle(SA_RESETHAND);
	kill_self();
	sigaction(SIGTRAP, NULL, &sa);
	say(" %d %x", sa.sa_handler == SIG_DFL, sa.sa_flags);
	report("resethand");
	child("again", kill_self);
}

static void ignore(void)
{
	signal(SIGTRAP, SIG_IGN);
}

static void ignored_break(void)
{
	ignore();
	break_here();
}

static void default_break(void)
{
	signal(SIGTRAP, SIG_DFL);
	break_here();
}

static void default_kill(void)
{
	signal(SIGTRAP, SIG_DFL);
	kill_self();
}

static void blocked_default(void)
{
	signal(SIGTRAP, SIG_DFL);
	mask_trap(SIG_BLOCK);
	kill_self();
	if (pending())
		mask_trap(SIG_UNBLOCK);
}

static void blocked_ignored(void)
{
	mask_trap(SIG_BLOCK);
	kill_self();
	ignore(); /* what is pending is forgotten */
	handle(0);
	mask_trap(SIG_UNBLOCK);
	_exit(seen.n);
}

static void case_ends(void)
{
	ignore();
	kill_self();
	report("ignored");
	child("ignored int3", ignored_break);
	child("default int3", default_break);
	child("default kill", default_kill);
	handle(0);
	child("blocked default", blocked_default);
	child("blocked ignored", blocked_ignored);
}

static void case_stacks(void)
{
	stack_t ss;

	for (int i = 0; i < 3; i++) {
		use_stack(i);
		handle(0);
		kill_self();
		report("plain kill");
		break_here();
		report("plain int3");
		handle(SA_ONSTACK);
		kill_self();
		report("kill");
		break_here();
		report("int3");
	}
	sigaltstack(NULL, &ss);
	say(" %d %d %zx", stack_of(ss.ss_sp), ss.ss_flags, ss.ss_size);
	use_stack(0);
}

static void case_jump(void)
{
	seen.jump = 1;
	for (volatile int i = 0; i < 100; i++)
		if (!sigsetjmp(away, 1))
			i % 2 ? break_here() : kill_self();
	seen.jump = 0;
	say(" mask %lx", mask_now());
	report("jumps");
	kill_self();
	report("after");
}

static void block_usr1(ucontext_t *uc)
{
	sigaddset(&uc->uc_sigmask, SIGUSR1);
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
}

static void case_edit(void)
{
	long rax = 1;

	within = block_usr1;
	__asm__ volatile("int3" : "+a"(rax)::"memory");
	say(" rax %ld mask %lx", rax, mask_now());
	report("usr1");
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &(unsigned long){0}, NULL, 8);
	within = NULL;
}

static void case_float(void)
{
	volatile double third = 1, three = 3;
	unsigned int mxcsr;

	fesetround(FE_UPWARD);
	break_here();
	third /= three;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	say(" mxcsr %x third %a", mxcsr & 0xff80, third);
	report("int3");
	kill_self();
	report("kill");
	fesetround(FE_TONEAREST);
	__asm__ volatile("std; int3; cld" ::: "memory");
	report("df");
}

static void case_fd(void)
{
	struct signalfd_siginfo info = {0};
	struct pollfd p = {.events = POLLIN};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	mask_trap(SIG_BLOCK);
	p.fd = signalfd(-1, &set, SFD_NONBLOCK);
	say(" poll %d", poll(&p, 1, 0));
	kill_self();
	say(" poll %d", poll(&p, 1, 1000));
	say(" read %zd", read(p.fd, &info, sizeof(info)));
	say(" sig %u", info.ssi_signo);
	close(p.fd);
	mask_trap(SIG_UNBLOCK);
	report("handled");
}

static char *page;

static void mend(ucontext_t *uc)
{
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void case_segv(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	within = mend;
	for (int i = 0; i < 2; i++) {
		use_stack(i);
		sigaction(SIGSEGV, &sa, NULL);
		mprotect(page, 4096, PROT_READ);
		*(volatile char *)page = 1;
		seen.off = 0;
		report("plain");
		sa.sa_flags ^= SA_ONSTACK;
		sigaction(SIGSEGV, &sa, NULL);
		mprotect(page, 4096, PROT_READ);
		*(volatile char *)page = 1;
		seen.off = 0;
		report("other");
	}
	within = NULL;
	use_stack(0);
	munmap(page, 4096);
	signal(SIGSEGV, SIG_DFL);
}

#define CASE(name)                                                                                 \
	{                                                                                          \
#name, case_##name                                                                 \
	}
static const struct {
	const char *name;
	void (*fn)(void);
} cases[] = {
	CASE(ways),   CASE(masks), CASE(wait),	 CASE(thread), CASE(suspend), CASE(nested),
	CASE(others), CASE(back),  CASE(signal), CASE(ends),   CASE(stacks),  CASE(jump),
	CASE(edit),   CASE(float), CASE(segv),	 CASE(fd),
};
#define NCASES (sizeof(cases) / sizeof(cases[0]))

static void run(size_t i)
{
	line[0] = 0;
	memset(&seen, 0, sizeof(seen));
	handle(0);
	signal(SIGUSR1, on_usr1);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &(unsigned long){0}, NULL, 8);
	cases[i].fn();
	work(1);
	printf("%s%s\n", cases[i].name, line);
}

int main(void)
{
	char command[64], name[32];
	void *frames[4];

	setvbuf(stdout, NULL, _IOLBF, 0);
	calls = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	backtrace(frames, 4);
	printf("ready %d\n", getpid());
	while (fgets(command, sizeof(command), stdin)) {
		for (size_t i = 0; i < NCASES; i++)
			if (!strcmp(command, "all\n") || (sscanf(command, "one %31s", name) == 1 &&
							  !strcmp(name, cases[i].name)))
				run(i);
		if (!strcmp(command, "all\n"))
			printf("done\n");
		if (!strcmp(command, "count\n"))
			printf("work %ld\n", *calls);
		if (!strncmp(command, "quit", 4))
			break;
	}
	return 0;
}
