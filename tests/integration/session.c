// SPDX-License-Identifier: BSD-2-Clause
/*
 * Attaches the programs of OBJECT to functions of its own as sessions, calls them in many ways and
 * prints what was counted, a line a matter. Knows nothing of ebpfrt: runs in `ebpfrt exec`, and as
 * root without it. libbpf 1.1 doesn't know of sessions; what they need is said here.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/types.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "session.h"

#define ATTACH_MULTI 48
#define ATTACH_SESSION 57
#define FLAG_RETURN 1u

#define PROBED __attribute__((noinline, noclone))

static struct bpf_object *obj;

/* --- what is probed ------------------------------------------------------------------------ */

static void (*meanwhile)(void);

PROBED long first(long n)
{
	if (meanwhile)
		meanwhile();
	__asm__ volatile("" ::: "memory");
	return 7 * n + 1;
}

PROBED long second(long n)
{
	__asm__ volatile("" ::: "memory");
	return first(n) + 0 * n;
}

PROBED long deep(long n)
{
	__asm__ volatile("" ::: "memory");
	if (n)
		deep(n - 1);
	__asm__ volatile("" ::: "memory");
	return 7 * n + 1;
}

static jmp_buf back;

PROBED long leaves(long n)
{
	__asm__ volatile("" ::: "memory");
	if (n % 3 == 0)
		longjmp(back, 1);
	return 7 * n + 1;
}

PROBED long around(long n)
{
	__asm__ volatile("" ::: "memory");
	return leaves(n) + 0 * n;
}

/* tail calls, whatever the compiler thinks */
long chained(long n);
__asm__(".text\n.globl chained\n.type chained, @function\nchained:\n\tnop\n\tjmp first\n"
	".size chained, .-chained\n");

/* --- links --------------------------------------------------------------------------------- */

struct multi {
	__u32 prog_fd, target_fd, attach_type, flags;
	__u64 path, offsets, ref_ctr_offsets, cookies;
	__u32 cnt, multi_flags, pid;
};

static unsigned long offset_of(const void *fn)
{
	unsigned long start, end, off, addr = (unsigned long)fn;
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &off) == 3 && addr >= start &&
		    addr < end) {
			fclose(f);
			return addr - start + off;
		}
	exit(9);
}

static int prog(const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(obj, name));
}

static int attach_as(int type, const char *name, unsigned int flags, int n, ...)
{
	__u64 offsets[8], cookies[8];
	struct multi attr = {.prog_fd = (__u32)prog(name), .attach_type = (__u32)type};
	va_list ap;

	va_start(ap, n);
	for (int i = 0; i < n; i++) {
		offsets[i] = offset_of(va_arg(ap, const void *));
		cookies[i] = (__u64)va_arg(ap, int);
	}
	va_end(ap);
	attr.path = (uintptr_t) "/proc/self/exe";
	attr.offsets = (uintptr_t)offsets;
	attr.cookies = (uintptr_t)cookies;
	attr.cnt = (__u32)n;
	attr.multi_flags = flags;
	attr.pid = (__u32)getpid();
	return (int)syscall(__NR_bpf, BPF_LINK_CREATE, &attr, 60);
}
#define ATTACH(name, ...) attach_as(ATTACH_SESSION, name, 0, __VA_ARGS__)

static void detach(int fd)
{
	if (fd < 0)
		printf("  not attached\n");
	else
		close(fd);
}

/* What slot @i has counted; it is empty then. */
static void say(const char *what, unsigned int i)
{
	int fd = bpf_object__find_map_fd_by_name(obj, "slots");
	struct slot s = {0};

	bpf_map_lookup_elem(fd, &i, &s);
	printf("%s: %lld entries, %lld returns, %lld wrong, %lld\n", what, s.entries, s.returns,
	       s.wrong, s.sum);
	memset(&s, 0, sizeof(s));
	bpf_map_update_elem(fd, &i, &s, 0);
}

/* --- matters ------------------------------------------------------------------------------- */

static void plain(void)
{
	int fd = ATTACH("always", 1, first, 1);

	for (long i = 0; i < 100; i++)
		first(i);
	detach(fd);
	first(1);
	say("every return", 1);
	fd = ATTACH("never", 1, first, 1);
	for (long i = 0; i < 100; i++)
		first(i);
	detach(fd);
	say("no return", 1);
	fd = ATTACH("when_odd", 1, first, 1);
	for (long i = 0; i < 101; i++)
		first(i);
	detach(fd);
	say("every other return", 1);
	fd = ATTACH("ones", 1, first, 1);
	for (long i = 0; i < 100; i++)
		first(i);
	detach(fd);
	say("the return's result means nothing", 1);
}

static void several(void)
{
	int fds[7] = {
		ATTACH("always", 2, first, 1, second, 2),
		ATTACH("never", 1, first, 3),
		ATTACH("when_odd", 2, first, 4, second, 5),
		ATTACH("always", 1, first, 6),
		attach_as(ATTACH_MULTI, "plain", 0, 1, first, 7),
		attach_as(ATTACH_MULTI, "plain_return", FLAG_RETURN, 1, first, 8),
		ATTACH("never", 1, second, 9),
	};

	for (long i = 0; i < 50; i++) {
		first(i);
		second(i);
	}
	for (int i = 0; i < 7; i++)
		detach(fds[i]);
	for (unsigned int i = 1; i <= 9; i++)
		say("many at one place", i);
	/* the same place twice in a link */
	fds[0] = ATTACH("always", 2, first, 1, first, 2);
	for (long i = 0; i < 10; i++)
		first(i);
	detach(fds[0]);
	say("a place twice in a link, its first cookie", 1);
	say("and its second", 2);
}

static void nested(void)
{
	int fd = ATTACH("always", 1, deep, 1);
	int odd = ATTACH("when_odd", 1, deep, 2);

	for (int i = 0; i < 10; i++)
		deep(40);
	detach(fd);
	detach(odd);
	say("forty deep", 1);
	say("every other level", 2);
	fd = ATTACH("always", 2, chained, 1, first, 2);
	for (long i = 0; i < 20; i++)
		chained(i);
	detach(fd);
	say("who makes a tail call", 1);
	say("and who was called", 2);
}

static void jumps(void)
{
	int fd = ATTACH("always", 2, leaves, 1, around, 2);
	volatile long i, jumped = 0;

	for (i = 0; i < 300; i++) {
		if (setjmp(back))
			jumped++;
		else
			around(i);
	}
	detach(fd);
	printf("%ld jumps\n", jumped);
	say("left by longjmp", 1);
	say("and its caller", 2);
}

static void *thread(void *arg)
{
	for (long i = 0; i < 500; i++)
		second((long)arg * 1000 + i);
	return NULL;
}

static void threads(void)
{
	int fd = ATTACH("always", 1, first, 1), odd = ATTACH("when_odd", 1, second, 2);
	struct slot s[2];
	pthread_t t[8];

	for (long i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, thread, (void *)i);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	detach(fd);
	detach(odd);
	for (unsigned int i = 1; i <= 2; i++) {
		bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(obj, "slots"), &i, &s[i - 1]);
		/* their order is the threads' */
		printf("eight threads: %lld entries, %lld returns, %lld wrong\n", s[i - 1].entries,
		       s[i - 1].returns, s[i - 1].wrong);
		memset(&s[i - 1], 0, sizeof(s[0]));
		bpf_map_update_elem(bpf_object__find_map_fd_by_name(obj, "slots"), &i, &s[i - 1],
				    0);
	}
}

static int late = -1;

static void attach_late(void)
{
	late = ATTACH("always", 1, first, 2);
}

static void detach_late(void)
{
	detach(late);
}

static void meanwhiles(void)
{
	int fd = ATTACH("always", 1, first, 1);

	meanwhile = attach_late;
	first(5);
	meanwhile = NULL;
	say("attached meanwhile: who was there", 1);
	say("and who came", 2);
	first(6);
	say("the next call: who was there", 1);
	say("and who came", 2);
	meanwhile = detach_late;
	first(7);
	meanwhile = NULL;
	say("detached meanwhile: who stays", 1);
	say("and who goes", 2);
	detach(fd);
}

static void kinds(void)
{
	int fd = attach_as(ATTACH_SESSION, "only_return", FLAG_RETURN, 1, first, 1);

	for (long i = 0; i < 10; i++)
		first(i);
	detach(fd);
	say("a session without its entry", 1);
	printf("a session as uprobe_multi: %d\n",
	       attach_as(ATTACH_MULTI, "always", 0, 1, first, 1) < 0 ? -errno : 0);
	printf("uprobe_multi as a session: %d\n",
	       attach_as(ATTACH_SESSION, "plain", 0, 1, first, 1) < 0 ? -errno : 0);
	printf("flags that there are not: %d\n",
	       attach_as(ATTACH_SESSION, "always", 2, 1, first, 1) < 0 ? -errno : 0);
	printf("no place: %d\n", attach_as(ATTACH_SESSION, "always", 0, 0) < 0 ? -errno : 0);
}

/* --- what is refused ----------------------------------------------------------------------- */

static char log_text[65536];

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

/* The line before the counts is the reason. */
static void refusal(const char *file, const char *name)
{
	struct bpf_object *o = bpf_object__open_file(file, NULL);
	struct bpf_program *p;
	char *end, *line;
	int err;

	bpf_object__for_each_program(p, o)
	{
		int multi = strstr(bpf_program__section_name(p), ".multi") != NULL;

		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), name));
		bpf_program__set_type(p, BPF_PROG_TYPE_KPROBE);
		bpf_program__set_expected_attach_type(p, multi ? ATTACH_MULTI : ATTACH_SESSION);
		if (bpf_program__autoload(p)) {
			bpf_program__set_log_buf(p, log_text, sizeof(log_text));
			bpf_program__set_log_level(p, 1);
		}
	}
	memset(log_text, 0, sizeof(log_text));
	err = bpf_object__load(o);
	end = strstr(log_text, "processed ");
	if (end)
		*end = '\0';
	for (size_t n = strlen(log_text); n && log_text[n - 1] == '\n';)
		log_text[--n] = '\0';
	line = strrchr(log_text, '\n');
	printf("%s: %d %s\n", name, err, line ? line + 1 : log_text);
	bpf_object__close(o);
}

static int load(const char *file)
{
	struct bpf_program *p;

	obj = bpf_object__open_file(file, NULL);
	if (!obj)
		return -1;
	bpf_object__for_each_program(p, obj)
	{
		int multi = strstr(bpf_program__section_name(p), ".multi") != NULL;

		if (strstr(bpf_program__section_name(p), ".session.s"))
			bpf_program__set_flags(p, BPF_F_SLEEPABLE);
		bpf_program__set_autoload(p, strncmp(bpf_program__name(p), "refused", 7));
		bpf_program__set_type(p, BPF_PROG_TYPE_KPROBE);
		bpf_program__set_expected_attach_type(p, multi ? ATTACH_MULTI : ATTACH_SESSION);
	}
	return bpf_object__load(obj);
}

int main(int argc, char **argv)
{
	static const char *const refused[] = {
		"refused_two",	  "refused_unknown", "refused_is_return",	"refused_cookie",
		"refused_beyond", "refused_before",  "refused_cookie_returned",
	};

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (argc < 2 || load(argv[1]))
		return 1;
	plain();
	several();
	nested();
	jumps();
	threads();
	meanwhiles();
	kinds();
	libbpf_set_print(quiet);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		refusal(argv[1], refused[i]);
	return 0;
}
