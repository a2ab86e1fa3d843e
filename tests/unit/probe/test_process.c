/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of processes, and the words of each refusal to attach. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "probe/probe_priv.h"

#define NOBODY 65534

/* A child that runs @prepare, says that it is ready, and waits to be killed. */
static pid_t child_that(void (*prepare)(void))
{
	int ready[2];
	char c;
	pid_t pid;

	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (prepare)
			prepare();
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		close(ready[1]);
		for (;;)
			pause();
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void block_some(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMAX);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGHUP, end);
	raise(SIGUSR1);
	kill(getpid(), SIGRTMAX);
}

/* Each field is what the kernel's other ways say, also of a file that stays open. */
Test(process, status_of_a_thread)
{
	pid_t pid = child_that(block_some);
	u64 first = 1ull << (SIGUSR1 - 1), last = 1ull << (SIGRTMAX - 1);
	struct probe_task t, own;
	char path[64];
	int fd;

	cr_assert_eq(probe_task_read(pid, pid, &t), 0);
	cr_expect(t.tid == pid && t.tgid == pid && t.nthreads == 1 && !t.tracer);
	cr_expect(t.uid[0] == getuid() && t.uid[1] == geteuid() && t.gid[0] == getgid());
	cr_expect(t.blocked == (first | last) && t.pending == t.blocked);
	cr_expect(t.own == first && t.shared == last);
	cr_expect(t.ignored & 1ull << (SIGUSR2 - 1) && t.caught & 1ull << (SIGHUP - 1));
	cr_expect(!(t.ignored & first) && !(t.caught & first));
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0);
	cr_assert_eq(ptrace(PTRACE_ATTACH, pid, 0, 0), 0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(probe_task_read_fd(fd, &t), 0);
	cr_expect(t.tracer == getpid() && t.state == 't');
	cr_expect(t.waits + t.preemptions > 0);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	cr_assert_eq(probe_task_read_fd(fd, &t), 0);
	cr_expect(!t.tracer);
	end(pid);
	cr_expect_eq(probe_task_read_fd(fd, &t), -ESRCH);
	cr_expect_eq(probe_task_read(pid, 0, &t), -ENOENT);
	cr_assert_eq(probe_task_read(getpid(), 0, &own), 0);
	cr_expect_eq(own.state, 'R');
	close(fd);
}

Test(process, translators_by_their_files)
{
	cr_expect_str_eq(probe_translator("/usr/libexec/valgrind/memcheck-amd64-linux"),
			 "valgrind");
	cr_expect_str_eq(probe_translator("/usr/bin/valgrind"), "valgrind");
	cr_expect_str_eq(probe_translator("/usr/bin/qemu-x86_64"), "qemu");
	cr_expect_str_eq(probe_translator("qemu-aarch64-static"), "qemu");
	cr_expect_null(probe_translator("/usr/bin/qemu-system-x86_64"));
	cr_expect_null(probe_translator("/usr/bin/qemu-img"));
	cr_expect_null(probe_translator("-amd64-linux"));
	cr_expect_null(probe_translator("/usr/bin/qemu-x86_64/python3"));
	cr_expect_null(probe_translator(""));
}

static const char *my_name(void)
{
	static char comm[17];

	prctl(PR_GET_NAME, comm, 0, 0, 0);
	return comm;
}

static void become_ordinary(void)
{
	if (!getuid() && (setgid(NOBODY) || setuid(NOBODY)))
		cr_skip_test("cannot drop root");
}

Test(process, facts_of_a_child)
{
	struct probe_process p, again;
	char why[PROBE_WHY_MAX];
	pid_t pid = child_that(NULL);

	cr_assert_eq(probe_process_read(pid, &p, why), 0, "%s", why);
	cr_expect(p.pid == pid && p.uid == getuid() && p.euid == geteuid());
	cr_expect(p.is_64bit && !p.zombie && !p.kernel_thread && !p.stopped && !p.tracer);
	cr_expect(!p.statically_linked && !p.musl && !p.go && !p.setuid && !p.preloaded);
	cr_expect(p.same_mnt_ns && p.same_pid_ns && p.nthreads == 1 && !p.trap_blocked);
	cr_expect(strstr(p.exe, "test_process"), "%s", p.exe);
	cr_expect_eq(strncmp(p.comm, "test_process", 12), 0, "%s", p.comm);
	cr_expect(p.start_time);
	cr_assert_eq(probe_process_read(pid, &again, why), 0);
	cr_expect_eq(p.start_time, again.start_time);
	cr_expect_eq(probe_process_may_inject(&p, why), 0, "%s", why);
	end(pid);
}

static void block_trap(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void odd_name(void)
{
	prctl(PR_SET_NAME, "a) R 1 (b\n", 0, 0, 0);
	block_trap();
}

Test(process, trap_blocked_and_a_name_that_lies)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX];
	pid_t pid = child_that(odd_name);

	cr_assert_eq(probe_process_read(pid, &p, why), 0, "%s", why);
	cr_expect(p.trap_blocked);
	cr_expect_str_eq(p.comm, "a) R 1 (b\n");
	cr_expect(p.start_time);
	end(pid);
}

Test(process, no_such_process)
{
	struct probe_process p = {.pid = 5};
	char why[PROBE_WHY_MAX];

	cr_expect_eq(probe_process_read(0x3ffffffe, &p, why), -ESRCH);
	cr_expect_str_eq(why, "cannot attach to 1073741822: no such process");
	cr_expect_eq(probe_process_read(-1, &p, why), -ESRCH);
	cr_expect_eq(p.pid, 5, "unchanged");
}

static pid_t thread_id;

static void *wait_as_thread(void *arg)
{
	__atomic_store_n(&thread_id, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	pthread_barrier_wait(arg);
	return NULL;
}

Test(process, a_thread)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX], expected[128];
	pthread_barrier_t barrier;
	pthread_t thread;

	pthread_barrier_init(&barrier, NULL, 2);
	cr_assert_eq(pthread_create(&thread, NULL, wait_as_thread, &barrier), 0);
	while (!__atomic_load_n(&thread_id, __ATOMIC_ACQUIRE))
		sched_yield();
	cr_expect_eq(probe_process_read(thread_id, &p, why), -EINVAL);
	snprintf(expected, sizeof(expected), "it is a thread of process %d; attach to that",
		 getpid());
	cr_expect(strstr(why, expected), "%s", why);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}

Test(process, zombie)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX], expected[PROBE_WHY_MAX];
	pid_t pid = fork();
	siginfo_t info;

	if (!pid)
		_exit(0);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	cr_expect_eq(probe_process_read(pid, &p, why), -ESRCH);
	snprintf(expected, sizeof(expected),
		 "cannot attach to %d (%.15s): it has ended already (a "
		 "zombie)",
		 pid, my_name());
	cr_expect_str_eq(why, expected);
	end(pid);
}

Test(process, of_another_user)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX], expected[64];

	become_ordinary();
	snprintf(expected, sizeof(expected), "belongs to uid 0, you are %u", getuid());
	cr_expect_eq(probe_process_read(1, &p, why), -EPERM);
	cr_expect(strstr(why, expected), "%s", why);
	cr_expect_eq(strncmp(why, "cannot attach to 1 (", 20), 0, "%s", why);
}

Test(process, itself)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX];

	cr_assert_eq(probe_process_read(getpid(), &p, why), 0, "%s", why);
	cr_expect_eq(probe_process_may_inject(&p, why), -EINVAL);
	cr_expect(strstr(why, "a process cannot trace itself"));
}

Test(process, traced)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX], expected[128];
	pid_t pid = child_that(NULL);
	int status;

	if (ptrace(PTRACE_SEIZE, pid, 0, 0)) {
		end(pid);
		cr_skip_test("no ptrace here");
	}
	cr_assert_eq(probe_process_read(pid, &p, why), 0, "%s", why);
	cr_expect_eq(p.tracer, getpid());
	cr_expect_eq(probe_process_may_inject(&p, why), -EBUSY);
	snprintf(expected, sizeof(expected),
		 "process %d (%.15s) traces it already; end that, or start it with 'ebpfrt run'",
		 getpid(), my_name());
	cr_expect(strstr(why, expected), "%s", why);
	kill(pid, SIGKILL);
	waitpid(pid, &status, __WALL);
}

static void hide(void)
{
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

Test(process, undumpable)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX];
	pid_t pid;

	become_ordinary();
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	pid = child_that(hide);
	cr_assert_eq(probe_process_read(pid, &p, why), 0, "%s", why);
	cr_expect_eq(probe_process_may_inject(&p, why), -EPERM);
	cr_expect(strstr(why, "it has made itself undumpable (PR_SET_DUMPABLE, or its file may not "
			      "be read); start it with 'ebpfrt run'"),
		  "%s", why);
	end(pid);
}

Test(process, yama)
{
	char why[192];

	probe_denied_reason(1, EPERM, why, sizeof(why));
	cr_expect_str_eq(why, "ptrace denied, kernel.yama.ptrace_scope is 1; start it with 'ebpfrt "
			      "run', or 'sudo sysctl kernel.yama.ptrace_scope=0'");
	probe_denied_reason(2, EPERM, why, sizeof(why));
	cr_expect(strstr(why, "ptrace_scope is 2; start it with 'ebpfrt run'"), "%s", why);
	probe_denied_reason(3, EPERM, why, sizeof(why));
	cr_expect_str_eq(why, "ptrace denied, kernel.yama.ptrace_scope is 3 until the next boot; "
			      "start it with 'ebpfrt run'");
	probe_denied_reason(0, EPERM, why, sizeof(why));
	cr_expect_str_eq(why, "ptrace denied (Operation not permitted; a security module or "
			      "another user namespace?); start it with 'ebpfrt run'");
}

Test(process, seccomp)
{
	int hold[2], ready[2];
	struct probe_process p;
	char why[PROBE_WHY_MAX], c;
	pid_t pid;

	cr_assert(!pipe(hold) && !pipe(ready));
	pid = fork();
	if (!pid) {
		close(hold[1]);
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		_exit(write(ready[1], "", 1) == 1 && read(hold[0], &c, 1) == 1);
	}
	close(hold[0]);
	cr_assert_eq(read(ready[0], &c, 1), 1);
	cr_assert_eq(probe_process_read(pid, &p, why), 0, "%s", why);
	cr_expect_eq(p.seccomp, SECCOMP_MODE_STRICT);
	cr_expect_eq(probe_process_may_inject(&p, why), -EPERM);
	cr_expect(strstr(why, "it has a seccomp filter, which may kill it for our system calls; "
			      "start it with 'ebpfrt run'"),
		  "%s", why);
	end(pid);
}
