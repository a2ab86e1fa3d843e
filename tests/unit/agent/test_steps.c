/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each step of an injection fails once: every ptrace operation, every system call in the target,
 * every access to its memory, every file, allocation and message of the injector. The program is
 * linked so that the injector's calls come here first, where they are counted; round by round the
 * next one fails, until a round has fewer steps than that. After each the target goes on as before,
 * nothing is left in it, the reason was said, and the next attachment works.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/inject_thread.h"
#include "fake.h"

enum kind { TRACE, REMOTE, MEMORY, OTHER };

/* shared with the injector, which is a child */
static struct {
	pid_t starter;
	enum kind kind;
	bool crew;
	u32 at; /* which one fails, 0: none */
	u32 n;
	char what[64];
} * steps;

static bool fails(enum kind kind, const char *what, long detail)
{
	if (!steps || getpid() == steps->starter || kind != steps->kind || ++steps->n != steps->at)
		return false;
	snprintf(steps->what, sizeof(steps->what), "%s %#lx", what, detail);
	return true;
}

/* --- what the injector calls --------------------------------------------------------------------
 */

#define WRAP(ret, name, ...)                                                                       \
	ret __real_##name(__VA_ARGS__);                                                            \
	ret __wrap_##name(__VA_ARGS__);                                                            \
	ret __wrap_##name(__VA_ARGS__)

WRAP(long, ptrace, int request, pid_t pid, void *addr, void *data)
{
	if (!fails(TRACE, "ptrace", request))
		return __real_ptrace(request, pid, addr, data);
	errno = EIO;
	return -1;
}

/* The target's kernel refuses it. */
WRAP(int, thread_syscall, struct thread *t, s64 *ret, long nr, const u64 args[6])
{
	if (!fails(REMOTE, "system call in the target", nr))
		return __real_thread_syscall(t, ret, nr, args);
	*ret = -ENOMEM;
	return 0;
}

WRAP(ssize_t, pread, int fd, void *buf, size_t len, off_t at)
{
	if (!fails(MEMORY, "read at", at))
		return __real_pread(fd, buf, len, at);
	errno = EIO;
	return -1;
}

WRAP(ssize_t, pwrite, int fd, const void *buf, size_t len, off_t at)
{
	if (!fails(MEMORY, "write at", at))
		return __real_pwrite(fd, buf, len, at);
	errno = EIO;
	return -1;
}

WRAP(int, open, const char *path, int flags, int mode)
{
	if (!fails(OTHER, path, flags))
		return __real_open(path, flags, mode);
	errno = EMFILE;
	return -1;
}

WRAP(FILE *, fopen, const char *path, const char *mode)
{
	if (!fails(OTHER, path, 0))
		return __real_fopen(path, mode);
	errno = EMFILE;
	return NULL;
}

WRAP(DIR *, opendir, const char *path)
{
	if (!fails(OTHER, path, 0))
		return __real_opendir(path);
	errno = EMFILE;
	return NULL;
}

WRAP(void *, realloc, void *p, size_t size)
{
	if (!fails(OTHER, "realloc", (long)size))
		return __real_realloc(p, size);
	errno = ENOMEM;
	return NULL;
}

WRAP(void *, mmap, void *addr, size_t size, int prot, int flags, int fd, off_t off)
{
	if (!fails(OTHER, "mmap", (long)size))
		return __real_mmap(addr, size, prot, flags, fd, off);
	errno = ENOMEM;
	return MAP_FAILED;
}

WRAP(int, fstat, int fd, struct stat *st)
{
	if (!fails(OTHER, "fstat", fd))
		return __real_fstat(fd, st);
	errno = EIO;
	return -1;
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *m, int flags)
{
	if (!fails(OTHER, "sendmsg", flags))
		return __real_sendmsg(fd, m, flags);
	errno = ENOBUFS;
	return -1;
}

WRAP(long, syscall, long nr, long a, long b, long c, long d, long e, long f)
{
	if (!fails(OTHER, "syscall", nr))
		return __real_syscall(nr, a, b, c, d, e, f);
	errno = EPERM;
	return -1;
}

/* --- what is to be seen from outside -----------------------------------------------------------
 */

struct look {
	char maps[32768];
	u32 fds;
	u64 text; /* of the mappings that are executed */
};

static u64 mix(u64 sum, const u8 *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8)
		sum = (sum ^ *(const u64 *)p) * 0x9e3779b97f4a7c15ULL;
	return sum;
}

static u64 text_of(pid_t pid, const char *maps)
{
	static u8 buf[65536];
	char path[64], perms[8];
	u64 start, end, sum = 0;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC, 0);
	for (const char *line = maps; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, perms) != 3 ||
		    perms[2] != 'x' || start >> 63)
			continue;
		if (end - start > sizeof(buf)) /* a library's: nobody writes but to its end */
			start = end - EBPFRT_PAGE_SIZE;
		for (; start < end; start += sizeof(buf)) {
			size_t n = MIN(sizeof(buf), end - start);

			cr_assert_eq(pread(mem, buf, n, (off_t)start), (ssize_t)n);
			sum = mix(sum, buf, n);
		}
	}
	close(mem);
	return sum;
}

static void look(pid_t pid, struct look *out)
{
	char path[64];
	DIR *dir;
	FILE *f;

	memset(out, 0, sizeof(*out));
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	cr_assert(f && fread(out->maps, 1, sizeof(out->maps) - 1, f) > 0);
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	cr_assert(dir);
	while (readdir(dir))
		out->fds++;
	closedir(dir);
	out->text = text_of(pid, out->maps);
}

/* --- a round ------------------------------------------------------------------------------------
 */

struct serving {
	struct fake *f;
	struct target *t;
	int err;
};

static void serve(struct talk *t, void *arg)
{
	struct serving *s = arg;

	s->err = talk_setup(t, s->f);
	if (!s->err)
		s->err = talk_objects(t, s->f);
	if (!s->err)
		s->err = talk_site(t, s->t->pid, s->t->probe_me, 0);
	if (!s->err)
		s->err = talk_consumer(t, s->t->probe_me, 1, PROG_ENTRY, 0);
	if (!s->err)
		s->err = talk_consumer(t, s->t->probe_me, 2, PROG_RET, AGENT_CONSUMER_RET);
	talk_end(t);
}

static void serve_drop(struct talk *t, void *arg)
{
	struct serving *s = arg;

	s->err = talk(t, AGENT_RESTORE_ALL, NULL, 0, NULL, 0);
	talk_end(t);
}

/* The injector of the round before may be at work for a moment longer. */
static int attach(struct fake *f, struct target *t, enum inject_kind kind, u64 base,
		  void (*fn)(struct talk *t, void *arg), struct inject_event *e)
{
	struct serving s = {f, t, -ENOTCONN};
	int err;

	*e = (struct inject_event){0};
	while ((err = fake_inject(f, t->pid, kind, base, fn, &s, e)) == -EAGAIN)
		usleep(1000);
	return err ? err : s.err;
}

/*
 * As a daemon does it: until the agent knows that no thread needs its memory any more. On a busy
 * machine one may be on its way out of a program still; that is no failure, and has no reason.
 */
static int drop(struct fake *f, struct target *t, enum inject_kind kind, u64 base,
		struct inject_event *e)
{
	int err;

	while ((err = attach(f, t, kind, base, serve_drop, e)) == -EINPROGRESS)
		usleep(1000);
	return err;
}

#define CREW 3u /* threads beside the first, that wait and must not notice */

static u32 waiting(pid_t pid)
{
	char path[64], line[32];
	struct dirent *e;
	DIR *dir;
	FILE *f;
	u32 n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, atoi(e->d_name));
		f = fopen(path, "re");
		n += f && fgets(line, sizeof(line), f) && atoi(line) == SYS_epoll_wait;
		if (f)
			fclose(f);
	}
	closedir(dir);
	return n;
}

static void start(struct target *t)
{
	target_start(t, NULL, steps->crew ? "crew" : "call", NULL);
	while (steps->crew && waiting(t->pid) != CREW)
		usleep(1000);
	target_in_syscall(t, SYS_read);
}

static void nobody_noticed(struct target *t)
{
	long v[2];

	fputs("-1\n", t->in);
	fflush(t->in);
	cr_assert_eq(target_done(t, v, 2), 1, "%s: the target has ended", steps->what);
	cr_assert_eq(v[0], 0, "%s: %ld waits were interrupted", steps->what, v[0]);
}

static void calls_go_on(struct target *t)
{
	long v[2];

	fputs("100\n", t->in);
	fflush(t->in);
	cr_assert_eq(target_done(t, v, 2), 1, "%s: the target has ended", steps->what);
	cr_assert_eq(v[0], 10000, "%s: sum %ld", steps->what, v[0]);
}

/* What failed was part of the tidying up: it could not be done. */
static bool was_tidying(void)
{
	long nr;

	return steps->kind == REMOTE &&
	       sscanf(steps->what, "system call in the target %lx", &nr) == 1 &&
	       (nr == SYS_munmap || nr == SYS_close);
}

static void next_one_works(struct fake *f, struct target *t, const struct look *before)
{
	u64 hits = f->values[V_HITS], rets = f->values[V_RETS];
	static struct look after;
	struct inject_event e;
	int err = attach(f, t, INJECT_LOAD, 0, serve, &e);

	cr_assert_eq(err, 0, "%s, then: %d %s", steps->what, err, e.why);
	calls_go_on(t);
	cr_assert_eq(f->values[V_HITS], hits + 100, "%s: %lu hits", steps->what,
		     (unsigned long)(f->values[V_HITS] - hits));
	cr_assert_eq(f->values[V_RETS], rets + 100);
	err = drop(f, t, INJECT_COMMAND, e.base, &e);
	cr_assert_eq(err, 0, "%s, then detach: %d %s", steps->what, err, e.why);
	look(t->pid, &after);
	cr_assert(after.fds == before->fds || was_tidying(), "%s: %u descriptors", steps->what,
		  after.fds);
	cr_assert_eq(text_of(t->pid, before->maps), before->text, "%s: text", steps->what);
	calls_go_on(t);
	cr_assert_eq(f->values[V_HITS], hits + 100);
}

static void nothing_left(struct target *t, const struct look *before, const char *why)
{
	static struct look after;

	look(t->pid, &after);
	if (was_tidying())
		return;
	cr_expect(!strcmp(after.maps, before->maps), "%s: mappings (%s)", steps->what, why);
	cr_expect_eq(after.fds, before->fds, "%s: %u descriptors (%s)", steps->what, after.fds,
		     why);
	cr_expect_eq(after.text, before->text, "%s: text (%s)", steps->what, why);
}

/* False: there are not that many steps. */
static bool round_of(enum kind kind, u32 at)
{
	static struct look before;
	struct inject_event e;
	struct target t;
	struct fake f;
	int err;

	fake_open(&f);
	start(&t);
	look(t.pid, &before);
	steps->starter = getpid();
	steps->kind = kind;
	steps->n = 0;
	strcpy(steps->what, "nothing");
	steps->at = at;
	err = attach(&f, &t, INJECT_LOAD, 0, serve, &e);
	steps->at = 0;
	if (steps->n < at)
		cr_assert_eq(err, 0, "without a failure: %d %s", err, e.why);
	if (err && err != -ECONNRESET) { /* when its last message is lost, nobody knows why */
		cr_expect(e.why[0], "%s: %d without a reason", steps->what, err);
		cr_expect(!strstr(e.why, "ended") && !strstr(e.why, "exec") &&
				  !strstr(e.why, "exist"),
			  "%s: %s", steps->what, e.why);
	}
	calls_go_on(&t);
	if (f.values[V_HITS]) { /* it was of no importance, or came after everything was done */
		err = drop(&f, &t, INJECT_LOAD, 0, &e);
		cr_assert_eq(err, 0, "%s, detach: %d %s", steps->what, err, e.why);
	} else if (!e.base) {
		nothing_left(&t, &before, e.why);
	}
	next_one_works(&f, &t, &before);
	nobody_noticed(&t);
	cr_assert_eq(target_wait(&t), 0, "%s", steps->what);
	fake_close(&f);
	return strcmp(steps->what, "nothing");
}

static void each_fails(enum kind kind, bool crew, u32 least)
{
	u32 n = 1;

	steps = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(steps != MAP_FAILED);
	steps->crew = crew;
	while (round_of(kind, n))
		n++;
	cr_log_info("%u steps", n - 1);
	cr_assert_geq(n, least, "%u steps", n);
}

Test(steps, each_ptrace_operation, .timeout = 240)
{
	each_fails(TRACE, false, 30);
}

Test(steps, each_system_call_in_the_target, .timeout = 240)
{
	each_fails(REMOTE, false, 8);
}

Test(steps, each_access_to_its_memory, .timeout = 240)
{
	each_fails(MEMORY, false, 10);
}

Test(steps, each_file_allocation_and_message, .timeout = 240)
{
	each_fails(OTHER, false, 15);
}

Test(steps, each_ptrace_operation_with_threads, .timeout = 240)
{
	each_fails(TRACE, true, 40);
}

Test(steps, each_file_allocation_and_message_with_threads, .timeout = 240)
{
	each_fails(OTHER, true, 25);
}
