/* SPDX-License-Identifier: BSD-2-Clause */
/* Injection and exchanges against a real target: where a thread is met, and what it notices. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/inject_thread.h"
#include "fake.h"
#include "osl/osl.h"

struct plan {
	struct fake *f;
	pid_t pid;
	u64 entry, ret; /* sites to arm for entry and return programs, 0: none */
	u64 module;	/* bare site with flags */
	int err;
};

static void serve(struct talk *t, void *arg)
{
	struct plan *p = arg;

	p->err = talk_setup(t, p->f);
	if (!p->err)
		p->err = talk_objects(t, p->f);
	if (!p->err && p->entry)
		p->err = talk_site(t, p->pid, p->entry, 0);
	if (!p->err && p->entry)
		p->err = talk_consumer(t, p->entry, 1, PROG_ENTRY, 0);
	if (!p->err && p->ret && p->ret != p->entry)
		p->err = talk_site(t, p->pid, p->ret, 0);
	if (!p->err && p->ret)
		p->err = talk_consumer(t, p->ret, 2, PROG_RET, AGENT_CONSUMER_RET);
	talk_end(t);
}

static void drop_both(struct talk *t, void *arg)
{
	struct plan *p = arg;

	int err = talk_drop(t, 1);

	p->err = talk_drop(t, 2);
	if (err && (!p->err || p->err == -EINPROGRESS))
		p->err = err;
	talk_end(t);
}

static void inject(struct fake *f, struct target *t, u64 entry, u64 ret, struct inject_event *e)
{
	struct plan p = {f, t->pid, entry, ret, 0, 0};
	int err = fake_inject(f, t->pid, INJECT_LOAD, 0, serve, &p, e);

	cr_assert_eq(p.err, 0, "exchange: %d", p.err);
	cr_assert_eq(err, 0, "injection: %d %s", err, e->why);
	cr_assert(e->base);
}

/* Once; what the agent says to it. */
static int try_detach(struct fake *f, struct target *t, u64 base)
{
	struct plan p = {.f = f};
	struct inject_event e;
	int err = fake_inject(f, t->pid, INJECT_COMMAND, base, drop_both, &p, &e);

	cr_assert_eq(err, 0, "injection: %d %s", err, e.why);
	return p.err;
}

/* As a daemon does it: until no program can be running any more. */
static void detach(struct fake *f, struct target *t, u64 base)
{
	int err;

	while ((err = try_detach(f, t, base)) == -EINPROGRESS)
		usleep(1000);
	cr_assert_eq(err, 0, "exchange: %d", err);
}

static void wait_hits(struct fake *f, u64 n)
{
	for (int i = 0; i < 8000 && READ_ONCE(f->values[V_HITS]) < n; i++)
		usleep(1000);
	cr_assert(READ_ONCE(f->values[V_HITS]) >= n, "%lu hits", (unsigned long)f->values[V_HITS]);
}

#define CALLS_1000 1000000L /* sum of 2i+1, i < 1000 */

static void met_in_read(const char *exe)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	u8 before[16], now[16];
	long v[4];

	fake_open(&f);
	target_start(&t, exe, "read", NULL);
	target_in_syscall(&t, SYS_read);
	target_text(&t, t.probe_me, before, sizeof(before));
	inject(&f, &t, t.probe_me, t.probe_me, &e);
	target_text(&t, t.probe_me, now, sizeof(now));
	cr_assert_eq(now[0], 0xcc);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 3);
	cr_assert_eq(v[0], 1, "read returned %ld, errno %ld", v[0], v[1]);
	cr_assert_eq(v[2], CALLS_1000);
	cr_assert_eq(f.values[V_HITS], 1000);
	cr_assert_eq(f.values[V_ARG], 999);
	cr_assert_eq(f.values[V_IP], t.probe_me);
	cr_assert_eq(f.values[V_RETS], 1000);
	cr_assert_eq(f.values[V_RETVAL], 999 * 2 + 1);
	cr_assert_eq(f.stats->stat[PROG_ENTRY].hits, 1000);
	cr_assert_eq(f.stats->stat[PROG_ENTRY].missed, 0);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, in_read)
{
	met_in_read(NULL);
}

/* The next thing the injector says, waited for. */
static int next_event(struct inject *inj, struct inject_event *e)
{
	struct pollfd p = {.fd = inj->report, .events = POLLIN};

	return poll(&p, 1, 5000) == 1 ? inject_read(inj, e) : -ETIMEDOUT;
}

static void until_the_agent_speaks(const struct inject_request *req, struct inject *inj,
				   struct inject_event *e)
{
	cr_assert_eq(inject_start(req, inj), 0);
	cr_assert_eq(next_event(inj, e), 0);
	cr_assert_eq(e->what, INJECT_SOCKET);
}

/* An agent that waits for its first message keeps the injector, but not who gave up on it. */
Test(inject, given_up_in_the_middle)
{
	struct inject inj = INJECT_INIT, other = INJECT_INIT;
	struct inject_request req = {.kind = INJECT_LOAD};
	struct inject_event e;
	struct target t;
	struct fake f;
	u64 start;
	long v[4];
	int err;

	fake_open(&f);
	target_start(&t, NULL, "read", NULL);
	target_in_syscall(&t, SYS_read);
	req.pid = t.pid;
	req.agent_fd = f.agent_file;
	until_the_agent_speaks(&req, &inj, &e);
	start = osl_now_ns();
	inject_finish(&inj);
	cr_expect_lt(osl_now_ns() - start, 500000000ull, "it does not wait");
	cr_expect_eq(inject_start(&req, &other), -EAGAIN, "two at once in one process");
	close(e.fd);
	while ((err = inject_start(&req, &other)) == -EAGAIN &&
	       osl_now_ns() - start < 8000000000ull)
		usleep(1000);
	cr_assert_eq(err, 0, "when the first one has ended: %d", err);
	cr_assert_eq(next_event(&other, &e), 0);
	cr_assert_eq(e.what, INJECT_SOCKET);
	close(e.fd);
	cr_assert_eq(next_event(&other, &e), 0);
	cr_assert_eq(e.what, INJECT_DONE);
	inject_finish(&other);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 3);
	cr_expect_eq(v[0], 1, "the interrupted call goes on");
	cr_expect_eq(v[2], CALLS_1000);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

/* Between two of our system calls another thread may unmap it and map something else there. */
Test(inject, no_code_of_ours_in_what_may_be_unmapped)
{
	struct inject inj = INJECT_INIT;
	struct inject_request req = {.kind = INJECT_LOAD};
	struct inject_event e;
	u8 now[4096];
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "memfd", NULL);
	target_in_syscall(&t, SYS_read);
	req.pid = t.pid;
	req.agent_fd = f.agent_file;
	until_the_agent_speaks(&req, &inj, &e);
	target_text(&t, 0x10000000, now, sizeof(now));
	for (size_t i = 0; i < sizeof(now); i++)
		cr_assert_eq(now[i], 0, "byte %zu is %#x", i, now[i]);
	close(e.fd);
	cr_assert_eq(next_event(&inj, &e), 0);
	cr_assert_eq(e.what, INJECT_DONE);
	inject_finish(&inj);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 3);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

static bool musl_target(char *path, size_t size)
{
	const char *src = getenv("top_srcdir");
	char cmd[1024];

	if (!src || system("command -v musl-gcc >/dev/null"))
		return false;
	snprintf(path, size, "/tmp/ebpfrt-test-musl-%d", getpid());
	snprintf(
		cmd, sizeof(cmd),
		"musl-gcc -static -O2 -DNO_DLOPEN -w -o %s %s/tests/support/targets/agent_target.c",
		path, src);
	return system(cmd) == 0;
}

Test(inject, static_program_with_another_libc)
{
	char path[64];

	if (!musl_target(path, sizeof(path)))
		cr_skip("no musl-gcc, or no top_srcdir");
	met_in_read(path);
	unlink(path);
}

Test(inject, detach_restores_every_byte)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	u8 before[64], now[64];
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "call", NULL);
	target_text(&t, t.probe_me, before, sizeof(before));
	inject(&f, &t, t.probe_me, t.probe_me, &e);
	fputs("50\n", t.in);
	fflush(t.in);
	cr_assert_eq(target_done(&t, v, 4), 1);
	cr_assert_eq(f.values[V_HITS], 50);
	detach(&f, &t, e.base);
	target_text(&t, t.probe_me, now, sizeof(now));
	cr_assert_arr_eq(now, before, sizeof(now));
	fputs("70\n", t.in);
	fflush(t.in);
	cr_assert_eq(target_done(&t, v, 4), 1);
	cr_assert_eq(v[0], 4900);
	cr_assert_eq(f.values[V_HITS], 50);
	/* and again, into the agent that is there */
	inject(&f, &t, t.probe_me, 0, &e);
	fputs("30\n", t.in);
	fflush(t.in);
	cr_assert_eq(target_done(&t, v, 4), 1);
	cr_assert_eq(f.values[V_HITS], 80);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

static u32 lines_of(pid_t pid, const char *file, const char *what)
{
	char path[64], line[512];
	u32 n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	f = fopen(path, "re");
	cr_assert(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, what) != NULL;
	fclose(f);
	return n;
}

static u32 open_files(pid_t pid)
{
	char path[64];
	u32 n = 0;

	for (int fd = 0; fd < 256; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		n += !access(path, F_OK);
	}
	return n;
}

/* What is never written is the file that all targets have, when nobody can change that. */
static void is_shared(bool sealed)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	u32 files;
	long v[4];

	fake_open(&f);
	if (!sealed) {
		close(f.agent_file);
		f.agent_file = open(fake_built("libebpfrt-agent.so"), O_RDONLY | O_CLOEXEC);
	}
	target_start(&t, NULL, "call", NULL);
	files = open_files(t.pid);
	inject(&f, &t, t.probe_me, t.probe_me, &e);
	cr_expect_eq(lines_of(t.pid, "maps", "/memfd:ebpfrt-agent"), sealed ? 3 : 0);
	cr_expect_eq(lines_of(t.pid, "maps", "rwx"), 0);
	cr_expect_eq(open_files(t.pid), files, "no descriptor stays");
	fputs("50\n", t.in);
	fflush(t.in);
	cr_assert_eq(target_done(&t, v, 4), 1);
	cr_assert_eq(f.values[V_HITS], 50);
	detach(&f, &t, e.base);
	/* it is found there again */
	inject(&f, &t, t.probe_me, 0, &e);
	cr_expect(e.found);
	cr_expect_eq(lines_of(t.pid, "maps", "/memfd:ebpfrt-agent"), sealed ? 3 : 0);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, shares_a_sealed_file)
{
	is_shared(true);
}

Test(inject, copies_any_other)
{
	is_shared(false);
}

#define SLACK_US 1000L /* more than the kernel's timers may be late by design */

/*
 * The kernel goes on with a sleep that was interrupted, to its first end (restart_syscall). Begun
 * anew it would have lost what it had slept before: what the kernel says of the rest tells that,
 * and as both ends are measured outside of what is compared it doesn't matter how late anybody is.
 */
Test(inject, in_nanosleep_keeps_the_time)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4], asleep;
	u64 since;

	fake_open(&f);
	target_start(&t, NULL, "sleep", NULL);
	target_in_syscall(&t, SYS_clock_nanosleep);
	since = osl_now_ns();
	usleep(200000);
	inject(&f, &t, t.probe_me, 0, &e);
	target_in_syscall(&t, SYS_restart_syscall);
	asleep = (long)((osl_now_ns() - since) / 1000);
	cr_assert_eq(kill(t.pid, SIGUSR1), 0);
	cr_assert_eq(target_done(&t, v, 4), 4);
	cr_assert(v[0] == -1 && v[1] == EINTR, "nanosleep: %ld, errno %ld", v[0], v[1]);
	cr_assert_geq(v[2], asleep - SLACK_US, "slept %ld us, not %ld", v[2], asleep);
	cr_assert_leq(v[2], v[3], "slept %ld us in %ld", v[2], v[3]);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

static void no_eintr(const char *mode, long nr, long want, long err, bool poke)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, mode, NULL);
	target_in_syscall(&t, nr);
	inject(&f, &t, t.probe_me, 0, &e);
	target_in_syscall(&t, nr);
	if (poke)
		target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(v[0], want, "%s returned %ld, errno %ld", mode, v[0], v[1]);
	cr_assert_eq(v[1], err);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, in_epoll_wait_without_eintr)
{
	no_eintr("epoll", SYS_epoll_wait, 1, 0, true);
}

/* One that comes while the thread is held is not missed by who waits for nothing else. */
Test(inject, a_handled_signal_ends_the_wait, .timeout = 30)
{
	struct inject inj = INJECT_INIT;
	struct inject_request req = {.kind = INJECT_LOAD};
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "epoll", NULL);
	target_in_syscall(&t, SYS_epoll_wait);
	req.pid = t.pid;
	req.agent_fd = f.agent_file;
	until_the_agent_speaks(&req, &inj, &e);
	cr_assert_eq(kill(t.pid, SIGUSR1), 0);
	close(e.fd);
	cr_assert_eq(next_event(&inj, &e), 0);
	cr_assert_eq(e.what, INJECT_DONE);
	inject_finish(&inj);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_expect_eq(v[0], -1, "it returned %ld", v[0]);
	cr_expect_eq(v[1], EINTR);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, in_futex_without_eintr)
{
	no_eintr("futex", SYS_futex, 0, 0, true);
}

Test(inject, in_sigtimedwait_without_eintr)
{
	no_eintr("sigwait", SYS_rt_sigtimedwait, -1, EAGAIN, false);
}

Test(inject, while_malloc_is_busy)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	u64 hits;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "busy", NULL);
	inject(&f, &t, t.malloc, t.malloc, &e);
	wait_hits(&f, 2000);
	detach(&f, &t, e.base);
	hits = f.values[V_HITS];
	/* at most the call that had not returned yet */
	cr_assert(f.values[V_RETS] + 1 >= hits && f.values[V_RETS] <= hits, "%lu hits, %lu returns",
		  (unsigned long)hits, (unsigned long)f.values[V_RETS]);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 1);
	cr_assert_eq(f.values[V_HITS], hits, "%lu hits, %lu of them before the detachment",
		     (unsigned long)f.values[V_HITS], (unsigned long)hits);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

static void serve_slow(struct talk *t, void *arg)
{
	struct plan *p = arg;

	p->err = talk_setup(t, p->f);
	if (!p->err)
		p->err = talk_objects(t, p->f);
	if (!p->err)
		p->err = talk_site(t, p->pid, p->entry, 0);
	if (!p->err)
		p->err = talk_consumer(t, p->entry, 1, PROG_SLOW, 0);
	if (!p->err)
		p->err = talk_consumer(t, p->entry, 2, PROG_OTHER, 0);
	talk_end(t);
}

static void serve_third(struct talk *t, void *arg)
{
	struct plan *p = arg;

	p->err = talk_consumer(t, p->entry, 3, PROG_ENTRY, 0);
	talk_end(t);
}

static void drop_second(struct talk *t, void *arg)
{
	struct plan *p = arg;

	p->err = talk_drop(t, 2);
	talk_end(t);
}

static void wait_value(struct fake *f, int at, u64 n)
{
	for (int i = 0; i < 8000 && READ_ONCE(f->values[at]) < n; i++)
		usleep(1000);
	cr_assert(READ_ONCE(f->values[at]) >= n);
}

/*
 * A program that is under way when it is taken away counts before that is said to be done; one that
 * would come after it in the same hit does not run any more.
 */
Test(inject, detached_means_run_to_its_end)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	struct plan p;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "call", NULL);
	p = (struct plan){&f, t.pid, t.probe_me, 0, 0, 0};
	cr_assert_eq(fake_inject(&f, t.pid, INJECT_LOAD, 0, serve_slow, &p, &e), 0);
	cr_assert_eq(p.err, 0);
	fputs("1000\n", t.in);
	fflush(t.in);
	wait_value(&f, V_ENTERED, 1);
	/* the thread goes through an array of consumers that is not the site's any more */
	cr_assert_eq(fake_inject(&f, t.pid, INJECT_COMMAND, e.base, serve_third, &p, &e), 0);
	cr_assert_eq(p.err, 0);
	cr_assert_eq(fake_inject(&f, t.pid, INJECT_COMMAND, e.base, drop_second, &p, &e), 0);
	cr_assert_eq(p.err, 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(try_detach(&f, &t, e.base), -EINPROGRESS);
	cr_assert_eq(f.values[V_OTHER], 0);
	f.values[V_LET_GO] = 1;
	detach(&f, &t, e.base);
	cr_assert_eq(READ_ONCE(f.values[V_OTHER]), 1);
	cr_assert_eq(target_done(&t, v, 4), 1);
	cr_assert_eq(v[0], CALLS_1000);
	cr_assert_eq(f.values[V_OTHER], 1, "%lu", (unsigned long)f.values[V_OTHER]);
	cr_assert_eq(f.stats->stat[PROG_SLOW].hits, 1);
	cr_assert_eq(f.values[V_HITS], 999, "%lu", (unsigned long)f.values[V_HITS]);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, stopped_stays_stopped)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	int status;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "read", NULL);
	kill(t.pid, SIGSTOP);
	cr_assert_eq(waitpid(t.pid, &status, WUNTRACED), t.pid);
	inject(&f, &t, t.probe_me, 0, &e);
	target_poke(&t);
	usleep(20000);
	cr_assert_eq(f.values[V_HITS], 0);
	kill(t.pid, SIGCONT);
	cr_assert_eq(target_done(&t, v, 4), 3);
	cr_assert_eq(v[0], 1);
	cr_assert_eq(f.values[V_HITS], 1000);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, twenty_threads_count_exactly)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "threads", NULL);
	inject(&f, &t, t.probe_me, t.probe_me, &e);
	wait_hits(&f, 5000);
	detach(&f, &t, e.base);
	inject(&f, &t, t.probe_me, t.malloc, &e);
	wait_hits(&f, 10000);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(v[1], 0, "%ld wrong results", v[1]);
	cr_assert_eq(f.stats->stat[PROG_ENTRY].hits, f.values[V_HITS]);
	cr_assert_eq(f.stats->stat[PROG_ENTRY].missed, 0);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

/* hits + misses == calls, from the first call on */
Test(inject, counts_every_call)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "call", NULL);
	inject(&f, &t, t.probe_me, t.probe_me, &e);
	for (int i = 0; i < 5; i++) {
		fputs("2000\n", t.in);
		fflush(t.in);
		cr_assert_eq(target_done(&t, v, 4), 1);
	}
	cr_assert_eq(f.values[V_HITS], 10000);
	cr_assert_eq(f.values[V_RETS], 10000);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, handlers_of_the_application)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "signals", NULL);
	target_in_syscall(&t, SYS_read);
	inject(&f, &t, t.load, t.probe_me, &e);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 4);
	cr_assert_eq(v[0], 2, "SIGTRAPs: %ld", v[0]);
	cr_assert_eq(v[1], 1, "SIGSEGVs: %ld", v[1]);
	cr_assert_eq(v[2], 1, "the handler saw a foreign address");
	cr_assert_eq(v[3], 100);
	cr_assert_eq(f.values[V_HITS], 1);
	cr_assert_eq(f.values[V_RETS], 10);
	cr_assert_eq(f.stats->foreign, 2);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

static void dies_of(const char *mode, int sig)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	int status;

	fake_open(&f);
	target_start(&t, NULL, mode, NULL);
	target_in_syscall(&t, SYS_read);
	inject(&f, &t, t.load, t.probe_me, &e);
	target_poke(&t);
	status = target_wait(&t);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == sig, "status %x", status);
	cr_assert_eq(f.values[V_RETS], 3);
	fake_close(&f);
}

Test(inject, null_pointer_still_kills)
{
	dies_of("crash", SIGSEGV);
}

Test(inject, own_break_point_still_kills)
{
	dies_of("int3", SIGTRAP);
}

Test(inject, tail_calls_and_recursion)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	struct plan p;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "returns", NULL);
	target_in_syscall(&t, SYS_read);
	inject(&f, &t, 0, t.outer, &e);
	detach(&f, &t, e.base);
	p = (struct plan){&f, t.pid, 0, t.outer, 0, 0};
	cr_assert_eq(fake_inject(&f, t.pid, INJECT_COMMAND, e.base, serve, &p, &e), 0);
	p = (struct plan){&f, t.pid, 0, t.inner, 0, 0};
	cr_assert_eq(fake_inject(&f, t.pid, INJECT_COMMAND, e.base, serve, &p, &e), 0);
	p = (struct plan){&f, t.pid, 0, t.recurse, 0, 0};
	cr_assert_eq(fake_inject(&f, t.pid, INJECT_COMMAND, e.base, serve, &p, &e), 0);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(v[0], 999L * 1000 / 2 + 8 * 1000);
	cr_assert_eq(v[1], 9);
	cr_assert_eq(f.values[V_RETS], 2000 + 10, "%lu", (unsigned long)f.values[V_RETS]);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, longjmp_does_not_use_up_instances)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "longjmp", NULL);
	target_in_syscall(&t, SYS_read);
	inject(&f, &t, t.leaves, t.leaves, &e);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(v[0], 20000);
	cr_assert_eq(f.values[V_HITS], 20001);
	cr_assert_eq(f.values[V_RETS], 1);
	cr_assert_eq(f.stats->stat[PROG_RET].missed, 0);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

static void serve_unwind(struct talk *t, void *arg)
{
	struct plan *p = arg;

	p->err = talk_site(t, p->pid, p->module, AGENT_SITE_UNWIND);
	talk_end(t);
}

/* an unwinder that looks at the stack in the midst of ten pending returns */
Test(inject, unwinders_see_true_return_addresses)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	struct plan p;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "returns", NULL);
	target_in_syscall(&t, SYS_read);
	inject(&f, &t, 0, t.recurse, &e);
	p = (struct plan){&f, t.pid, 0, 0, t.probe_me, 0};
	cr_assert_eq(fake_inject(&f, t.pid, INJECT_COMMAND, e.base, serve_unwind, &p, &e), 0);
	cr_assert_eq(p.err, 0);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(v[1], 9);
	cr_assert_eq(f.values[V_RETS], 0);
	cr_assert_eq(f.stats->stat[PROG_RET].missed, 10);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, forked_child_asks)
{
	struct inject_event e;
	struct target t;
	struct talk child;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "fork", NULL);
	target_in_syscall(&t, SYS_read);
	inject(&f, &t, t.probe_me, 0, &e);
	target_poke(&t);
	cr_assert_eq(fake_accept(&f, &child), 0);
	cr_assert_eq(child.hello.reason, AGENT_FORK);
	cr_assert_eq(child.hello.participant, 5);
	cr_assert_neq(child.hello.pid, (u32)t.pid);
	cr_assert_eq(talk_setup(&child, &f), 0);
	talk_end(&child);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(WEXITSTATUS(v[0]), 7);
	cr_assert_eq(f.values[V_HITS], 110);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, forked_child_alone_restores_itself)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "fork", NULL);
	target_in_syscall(&t, SYS_read);
	inject(&f, &t, t.probe_me, 0, &e);
	unlink(f.path); /* nobody to ask */
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(WEXITSTATUS(v[0]), 7);
	cr_assert_eq(f.values[V_HITS], 10);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, daemon_dies)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	u8 before[16], now[16];
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "call", NULL);
	target_text(&t, t.probe_me, before, sizeof(before));
	inject(&f, &t, t.probe_me, 0, &e);
	f.life_page->alive |= OSL_LIFE_OWNER_DIED;
	fputs("100\n", t.in);
	fflush(t.in);
	cr_assert_eq(target_done(&t, v, 4), 1);
	cr_assert_eq(v[0], 10000);
	cr_assert_eq(f.values[V_HITS], 0);
	cr_assert_eq(f.stats->inert, 1);
	target_text(&t, t.probe_me, now, sizeof(now));
	cr_assert_arr_eq(now, before, sizeof(now));
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

static void silent(struct talk *t, void *arg)
{
	/* says nothing: the agent gives up by itself */
}

Test(inject, silent_daemon_is_given_up)
{
	struct inject_event e;
	struct target t;
	struct fake f;
	long v[4];

	fake_open(&f);
	target_start(&t, NULL, "read", NULL);
	cr_assert_eq(fake_inject(&f, t.pid, INJECT_LOAD, 0, silent, NULL, &e), -ETIMEDOUT);
	cr_assert_eq(e.base, 0, "the agent was left behind");
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 3);
	cr_assert_eq(v[2], CALLS_1000);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

Test(inject, no_such_process)
{
	struct inject_event e;
	struct fake f;

	fake_open(&f);
	cr_assert_eq(fake_inject(&f, 0x3ffffff, INJECT_LOAD, 0, silent, NULL, &e), -ESRCH);
	cr_assert(e.why[0]);
	fake_close(&f);
}

/* --- another program is executed while the threads are being stopped ---------------------------
 */

struct becoming {
	pid_t pid, other,
		executing; /* the process; a thread that holds the execution up; its thread */
	int in, out;
};

static int own_ids[2], others_ids[2];

static void *other_thread(void *arg)
{
	pid_t tid = gettid();

	if (write(others_ids[1], &tid, sizeof(tid)) != sizeof(tid))
		_exit(1);
	for (;;)
		pause();
	return arg;
}

static void *executing_thread(void *arg)
{
	pid_t tid = gettid();
	char c;

	if (write(own_ids[1], &tid, sizeof(tid)) != sizeof(tid) || read(0, &c, 1) != 1)
		_exit(1);
	execl("/bin/cat", "cat", NULL);
	_exit(1);
	return arg;
}

static void become(const int in[2], const int out[2])
{
	pthread_t t;

	dup2(in[0], 0);
	dup2(out[1], 1);
	pthread_create(&t, NULL, other_thread, NULL);
	pthread_create(&t, NULL, executing_thread, NULL);
	for (;;)
		pause();
}

/*
 * A thread of the process has begun to execute another program and waits in the kernel until the
 * last of the other threads is gone: one that we trace, and whose end we have yet to take note of.
 */
static void becoming_start(struct becoming *b)
{
	struct probe_task task;
	int in[2], out[2];

	cr_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	cr_assert(pipe2(own_ids, O_CLOEXEC) == 0 && pipe2(others_ids, O_CLOEXEC) == 0);
	b->pid = fork();
	if (b->pid == 0)
		become(in, out);
	close(in[0]);
	close(out[1]);
	b->in = in[1];
	b->out = out[0];
	cr_assert_eq(read(others_ids[0], &b->other, sizeof(pid_t)), sizeof(pid_t));
	cr_assert_eq(read(own_ids[0], &b->executing, sizeof(pid_t)), sizeof(pid_t));
	cr_assert_eq(ptrace(PTRACE_SEIZE, b->other, NULL, NULL), 0);
	cr_assert_eq(write(b->in, "x", 1), 1);
	do {
		usleep(200);
		cr_assert_eq(probe_task_read(b->pid, b->other, &task), 0);
	} while (task.state != 'Z');
	do {
		usleep(200);
		cr_assert_eq(probe_task_read(b->pid, b->executing, &task), 0);
	} while (task.state != 'D');
}

/* From now on nothing holds it up. */
static void becoming_let_on(struct becoming *b)
{
	cr_assert_eq(waitpid(b->other, NULL, __WALL), b->other);
}

static void becoming_unharmed(struct becoming *b)
{
	struct pollfd p = {.fd = b->out, .events = POLLIN};
	char text[8] = "";
	int status;

	cr_assert_eq(write(b->in, "hello", 5), 5);
	cr_assert_eq(poll(&p, 1, 5000), 1, "the new program does not answer");
	cr_expect_eq(read(b->out, text, sizeof(text) - 1), 5);
	cr_expect_str_eq(text, "hello");
	close(b->in);
	cr_assert_eq(waitpid(b->pid, &status, 0), b->pid);
	cr_expect_eq(status, 0);
}

/* Seizing a thread waits for the end of its execution, and nothing cuts that short. */
static bool waits_to_seize(pid_t injector)
{
	char path[64], line[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", injector);
	f = fopen(path, "re");
	cr_assert(f);
	cr_assert(fgets(line, sizeof(line), f));
	fclose(f);
	return atoi(line) == SYS_ptrace;
}

static void becoming_inject(struct fake *f, struct becoming *b, struct inject *inj)
{
	struct inject_request req = {.kind = INJECT_LOAD};

	becoming_start(b);
	req.pid = b->pid;
	req.agent_fd = f->agent_file;
	cr_assert_eq(inject_start(&req, inj), 0);
	while (!waits_to_seize(inj->child))
		usleep(200);
}

Test(inject, executes_while_it_is_being_stopped, .timeout = 30)
{
	struct inject inj = INJECT_INIT;
	struct inject_event e;
	struct becoming b;
	struct fake f;

	fake_open(&f);
	becoming_inject(&f, &b, &inj);
	becoming_let_on(&b);
	cr_assert_eq(next_event(&inj, &e), 0);
	cr_expect_eq(e.what, INJECT_DONE);
	cr_expect_eq(e.err, -ESRCH);
	cr_expect_eq(e.base, 0);
	cr_expect(strstr(e.why, "has started another program (exec) while it was being stopped; "
				"attach to it again"),
		  "%s", e.why);
	inject_finish(&inj);
	becoming_unharmed(&b);
	fake_close(&f);
}

Test(inject, executes_after_it_was_given_up, .timeout = 30)
{
	struct inject inj = INJECT_INIT;
	struct becoming b;
	struct fake f;

	fake_open(&f);
	becoming_inject(&f, &b, &inj);
	inject_finish(&inj);
	becoming_let_on(&b);
	becoming_unharmed(&b);
	fake_close(&f);
}
