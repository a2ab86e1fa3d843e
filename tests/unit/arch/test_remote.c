/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way back that an injection leaves to a thread: executed without anybody's help it ends where
 * the thread was, with its registers and flags, EFLAGS.AC among them. And waits that a mere stop
 * made fail: they go on, unless a signal ends them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/x86_64/arch_remote.h"

#define FLAG_AC 0x40000

/* Ends the process: 40, 1 more with the flag, 2 more when rbx, 4 when r15 is as it was set. */
extern u8 landing[];
__asm__(".pushsection .text\n"
	"landing:\n"
	"pushf\n"
	"pop %rdi\n"
	"shr $18, %edi\n"
	"and $1, %edi\n"
	"add $40, %edi\n"
	"cmp $0x1111, %rbx\n"
	"jne 1f\n"
	"add $2, %edi\n"
	"1: cmp $0x2222, %r15\n"
	"jne 2f\n"
	"add $4, %edi\n"
	"2: mov $231, %eax\n"
	"syscall\n"
	".popsection\n");

static pid_t stopped_child(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSTOPPED(status));
	return pid;
}

/* Its status in the end. */
static int goes_back(u64 flags)
{
	u8 *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	const struct remote_extra extra = {.fds = {-1, -1}};
	struct remote_regs saved, away;
	pid_t pid;
	int status;

	cr_assert_neq(page, MAP_FAILED);
	pid = stopped_child();
	cr_assert_eq(ptrace(PTRACE_GETREGS, pid, 0, &saved.user), 0);
	saved.user.orig_rax = -1;
	saved.user.rip = (u64)landing;
	saved.user.rbx = 0x1111;
	saved.user.r15 = 0x2222;
	saved.user.eflags |= flags;
	remote_way_back(&saved, 0, &extra, (u64)page + 4096 - REMOTE_WAY_BACK,
			page + 4096 - REMOTE_WAY_BACK);
	away = saved;
	remote_set_syscall(&away, (u64)page + 4096 - REMOTE_WAY_BACK, SYS_getpid, (u64[6]){0});
	away.user.rbx = away.user.r15 = away.user.rsp = 0;
	cr_assert_eq(ptrace(PTRACE_SETREGS, pid, 0, &away.user), 0);
	cr_assert_eq(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	munmap(page, 4096);
	return status;
}

Test(remote, goes_back_by_itself)
{
	int status = goes_back(0);

	cr_assert(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	cr_assert_eq(WEXITSTATUS(status), 46);
}

Test(remote, goes_back_where_unaligned_accesses_are_faults)
{
	int status = goes_back(FLAG_AC);

	cr_assert(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	cr_assert_eq(WEXITSTATUS(status), 47);
}

Test(remote, says_which_stack_it_drops)
{
	static u8 code[REMOTE_WAY_BACK];
	const struct remote_extra extra = {.stack = 0x7000, .stack_size = 4096, .fds = {-1, -1}};
	const struct remote_regs saved = {0};
	u64 stack = 0;

	cr_assert_not(remote_is_way_back(code, &stack));
	remote_way_back(&saved, 0, &extra, 0x1000, code);
	cr_assert(remote_is_way_back(code, &stack));
	cr_assert_eq(stack, 0x7000);
}

/* --- waits --------------------------------------------------------------------------------------
 */

#define PATIENCE_MS 2000

static void on_signal(int sig)
{
}

/* It waits for @fd: 0: with success, 1: for all its time, or the error. */
static pid_t waiting_child(int fd)
{
	struct epoll_event e = {.events = EPOLLIN};
	pid_t pid = fork();
	int epfd, n;

	if (pid)
		return pid;
	signal(SIGUSR1, on_signal);
	epfd = epoll_create1(0);
	epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
	n = epoll_wait(epfd, &e, 1, PATIENCE_MS);
	_exit(n < 0 ? errno : n == 0);
}

/* In its wait, which has failed for no other reason than that. */
static void stop_in_wait(pid_t pid, struct remote_regs *r)
{
	int status;

	for (int n = 0; n == 0 || !remote_spurious_eintr(r); n++) {
		if (n == 0)
			cr_assert_eq(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
		else
			ptrace(PTRACE_CONT, pid, 0, 0);
		usleep(1000);
		cr_assert_eq(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
		cr_assert_eq(waitpid(pid, &status, __WALL), pid);
		cr_assert_eq(status >> 16, PTRACE_EVENT_STOP);
		cr_assert_eq(ptrace(PTRACE_GETREGS, pid, 0, &r->user), 0);
	}
}

static int end_of_wait(int sig)
{
	struct remote_regs r;
	int fds[2], status;
	pid_t pid;

	cr_assert_eq(pipe(fds), 0);
	pid = waiting_child(fds[0]);
	stop_in_wait(pid, &r);
	remote_repeat_syscall(&r, NULL);
	cr_assert_eq(ptrace(PTRACE_SETREGS, pid, 0, &r.user), 0);
	if (sig) /* nobody could have seen it coming */
		kill(pid, sig);
	else
		cr_assert_eq(write(fds[1], "", 1), 1);
	cr_assert_eq(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	close(fds[0]);
	close(fds[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(remote, a_wait_goes_on)
{
	cr_assert_eq(end_of_wait(0), 0);
	cr_assert_eq(end_of_wait(SIGWINCH), 1); /* ignored: it has its time */
}

Test(remote, a_signal_that_comes_while_it_is_stopped_ends_a_wait)
{
	cr_assert_eq(end_of_wait(SIGUSR1), EINTR);
}

/* One whose wait has a mask, or may raise a signal, has to be looked at. */
Test(remote, waits_with_a_mask_are_not_plain)
{
	static const long plain[] = {
		SYS_futex,	     SYS_read,	    SYS_poll, SYS_clock_nanosleep,
		SYS_restart_syscall, SYS_epoll_wait};
	static const long others[] = {-1,
				      SYS_rt_sigsuspend,
				      SYS_ppoll,
				      SYS_pselect6,
				      SYS_epoll_pwait,
				      SYS_rt_sigtimedwait,
				      SYS_rt_sigreturn,
				      SYS_tgkill,
				      333 /* io_pgetevents */,
				      426 /* io_uring_enter */,
				      441 /* epoll_pwait2 */};
	/* sigsuspend, pselect6, ppoll, epoll_pwait, where 32-bit code calls them */
	static const long of32[] = {72, 179, 308, 309, 319, 385, 413, 414, 416};
	struct remote_regs r = {0};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		r.user.orig_rax = (u64)plain[i];
		cr_expect(remote_waits_plainly(&r), "%ld", plain[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		r.user.orig_rax = (u64)others[i];
		cr_expect_not(remote_waits_plainly(&r), "%ld", others[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(of32); i++) {
		r.user.orig_rax = (u64)of32[i];
		cr_expect_not(remote_waits_plainly(&r), "%ld of 32 bit", of32[i]);
	}
}
