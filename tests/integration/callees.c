/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target whose functions programs call. "MODE ROUNDS" on its input: so many rounds, each of which
 * is probed, and in which its errno and what it computes must be as they were; answers "wrong N".
 * "o PATH" loads a library, "q" ends it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "callees.h"

#define EXPORT __attribute__((noinline, noclone, used, visibility("default")))

static volatile unsigned long calls, signals, wrong;
static jmp_buf out;
static int mode;
static pid_t first;
static volatile pid_t raw; /* the thread that was begun last */

EXPORT long add_five(signed char a, unsigned short b, int c, unsigned int d, long e)
{
	return a + b + c + d + e;
}

EXPORT signed char narrow(int v)
{
	errno = 77;
	return (signed char)v;
}

EXPORT double scale(double x, int n, float y)
{
	calls++;
	return x * n + y;
}

EXPORT struct pair make_pair(int a, int b)
{
	return (struct pair){a, b};
}

EXPORT struct mixed make_mixed(long n, double x)
{
	return (struct mixed){n, x};
}

EXPORT struct large make_large(long n)
{
	return (struct large){{n, n + 1, n + 2, n + 3, n + 4}};
}

EXPORT double length(struct point p)
{
	return sqrt(p.x * p.x + p.y * p.y);
}

EXPORT long sum(struct large l, struct mixed m)
{
	return l.v[0] + l.v[4] + m.n + (long)m.x;
}

EXPORT int change(struct node *n, int key)
{
	n->key = key;
	n->small = -2;
	return n->name ? n->name[0] : 0;
}

/* Is probed by programs that are told the types of what it gets, and call what gets it, too. */
EXPORT double typed(struct node *n, double x, int by)
{
	volatile char room[1000]; /* the first instruction is long enough for a jump */

	room[n->key & 7] = 1;
	return n->key * x + by;
}

EXPORT long key_of(const struct node *n)
{
	return n->key;
}

EXPORT unsigned long text_length(const char *s)
{
	return strlen(s);
}

EXPORT unsigned long fill(void *room)
{
	memset(room, 1, 4);
	return 1;
}

EXPORT int variable(const char *f, ...)
{
	return f[0];
}

EXPORT long many(long a, long b, long c, long d, long e, long f)
{
	return a + b + c + d + e + f;
}

/* It takes all it can: stack, registers, time for signals to come in. */
EXPORT long wild(int n)
{
	volatile char room[16384];
	double x = n;

	memset((void *)room, n, sizeof(room));
	for (int i = 0; i < 50; i++)
		x = x * 1.0001 + room[i];
	__asm__ volatile(
		"pcmpeqd %%xmm5, %%xmm5\n pcmpeqd %%xmm0, %%xmm0\n pcmpeqd %%xmm7, %%xmm7\n"
		"fld1"
		:
		:
		: "xmm0", "xmm5", "xmm7", "st");
	calls++;
	return (long)x != -1;
}

EXPORT long leave(int how)
{
	calls++;
	if ((mode == 'l' || mode == 'z') && how % 3 == 0)
		longjmp(out, 1);
	if (mode == 'e' && how == 5) {
		puts("leaving");
		exit(3);
	}
	if (mode == 't')
		pthread_exit(NULL);
	if (mode == 'x')
		syscall(SYS_exit, 0);
	return how;
}

/* What the program that probes this calls is probed itself: those hits are missed. */
EXPORT long nested(int n)
{
	calls++;
	return n;
}

EXPORT long wait_long(int n)
{
	calls++;
	puts("waiting");
	fflush(stdout);
	while (mode == 'w' && getchar() != 'g')
		;
	return n;
}

/* The child goes on with the hit, as its parent does, and says how that was when it ends; the one
 * that is to be kept is named, and there is one. It changes its mask before it
 * comes back. */
EXPORT long forks(int n)
{
	static bool kept;
	bool keep = mode == 'k';
	sigset_t mask;
	pid_t child = keep && kept ? 0 : fork();
	int status = 0;

	calls++;
	if (keep && child > 0) {
		printf("child %d\n", child);
		fflush(stdout);
	} else if (child && (waitpid(child, &status, 0) != child || status)) {
		wrong++;
	}
	if (keep && !child) /* where a break is: there it is seen to be a child */
		sigprocmask(SIG_BLOCK, NULL, &mask);
	kept = keep;
	return n;
}

EXPORT double tick_body(int n, double x)
{
	return n + x;
}

/* Its first instruction has room for a jump, wherever that leads; twin() begins with one byte. */
double tick(int n, double x);
double twin(int n, double x);
__asm__(".globl tick, twin\n"
	".type tick, @function\n"
	"tick: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"jmp tick_body\n"
	".size tick, . - tick\n"
	".type twin, @function\n"
	"twin: nop\n"
	"jmp tick_body\n"
	".size twin, . - twin\n");

static void on_signal(int sig)
{
	signals++;
}

static void round_of(int n)
{
	double x = tick(n, 0.25);

	errno = n & 63;
	x += tick(n, 0.5);
	if (x != 2 * n + 0.75 || errno != (n & 63))
		wrong++;
	if (getpid() != first) {
		if (mode == 'k') { /* until it is told to end */
			puts("here");
			fflush(stdout);
			pause();
		}
		_exit(wrong != 0);
	}
}

static void *thread(void *arg)
{
	raw = (pid_t)syscall(SYS_gettid);
	round_of((int)(long)arg);
	return NULL;
}

/* --- a vector register in the middle of a function -------------------------------------------- */

/* Puts a pattern in registers, is probed at vector_site, and tells whether it is there still. */
bool vector_kept(const unsigned char *pattern, unsigned char *after);
__asm__(".globl vector_kept, vector_site\n"
	".type vector_kept, @function\n"
	"vector_kept:\n"
	"movdqu (%rdi), %xmm0\n"
	"movdqu (%rdi), %xmm5\n"
	"movdqu (%rdi), %xmm7\n"
	"movdqu (%rdi), %xmm15\n"
	"fld1\n"
	".size vector_kept, . - vector_kept\n"
	".type vector_site, @function\n"
	"vector_site: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"movdqu %xmm0, (%rsi)\n"
	"movdqu %xmm5, 16(%rsi)\n"
	"movdqu %xmm7, 32(%rsi)\n"
	"movdqu %xmm15, 48(%rsi)\n"
	"fstpl 64(%rsi)\n"
	"ret\n"
	".size vector_site, . - vector_site\n");

void wide_kept(const unsigned char *pattern, unsigned char *after);
__asm__(".globl wide_kept\n"
	".type wide_kept, @function\n"
	"wide_kept:\n"
	"vmovdqu (%rdi), %ymm7\n"
	"call vector_site_of_wide\n"
	"vmovdqu %ymm7, (%rsi)\n"
	"vzeroupper\n"
	"ret\n"
	".size wide_kept, . - wide_kept\n"
	".type vector_site_of_wide, @function\n"
	"vector_site_of_wide: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"ret\n"
	".size vector_site_of_wide, . - vector_site_of_wide\n");

static void vectors(int n)
{
	unsigned char pattern[32], after[72];
	double one = 1;

	memset(pattern, n | 1, sizeof(pattern));
	vector_kept(pattern, after);
	for (int i = 0; i < 64; i += 16)
		wrong += memcmp(pattern, after + i, 16) != 0;
	wrong += memcmp(after + 64, &one, 8) != 0;
	if (__builtin_cpu_supports("avx")) {
		wide_kept(pattern, after);
		wrong += memcmp(pattern, after, 32) != 0;
	}
}

static void types(int n)
{
	struct node node = {.key = n, .name = "a name"};

	__asm__ volatile("" : : "r"(&node) : "memory"); /* typed() doesn't read all of it */
	if (typed(&node, 1.5, n & 7) != n * 1.5 + (n & 7))
		wrong++;
}

static void one_round(int n)
{
	pthread_t t;

	if (mode == 'x') { /* nobody gets its stack: no thread is like another */
		raw = 0;
		pthread_create(&t, NULL, thread, (void *)(long)n);
		while (!raw || syscall(SYS_tgkill, first, raw, 0) == 0)
			sched_yield();
	} else if (mode == 't') {
		pthread_create(&t, NULL, thread, (void *)(long)n);
		pthread_join(t, NULL);
	} else if (mode == 'v') {
		vectors(n);
	} else if (mode == 'y' || mode == 'z') {
		if (!setjmp(out))
			types(n);
	} else if (mode != 'l' || !setjmp(out)) {
		round_of(n);
	}
}

static void set_mode(char m)
{
	struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};

	mode = m;
	signals = 0;
	signal(SIGALRM, on_signal);
	setitimer(ITIMER_REAL, m == 's' ? &often : &never, NULL);
}

int main(void)
{
	char line[300], m, path[256];
	int rounds;

	first = getpid();
	printf("ready %d\n", first);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && line[0] != 'q') {
		if (sscanf(line, "o %255s", path) == 1) {
			puts(dlopen(path, RTLD_NOW) ? "opened" : "not there");
		} else if (sscanf(line, "%c %d", &m, &rounds) == 2) {
			set_mode(m);
			for (int n = 0; n < rounds; n++)
				one_round(n);
			printf("wrong %lu%s\n", wrong,
			       m != 's'	      ? ""
			       : signals > 10 ? " in signals"
					      : " alone");
			set_mode('n');
		}
		fflush(stdout);
	}
	return wrong != 0;
}
