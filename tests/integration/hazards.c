// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that is short of something. Says "ready PID", then obeys:
 *
 * - call N: calls of work(): "sum S"
 * - text: a sum over its own code: "text S"
 * - rseq N: four threads that count N times each in a restartable sequence, a counter for each CPU:
 *   "rseq S", their sum, or "rseq none" where there is none registered
 * - quit
 *
 *	hazards as KIB    address space: that much more than it has
 *	hazards lock KIB  all memory locked, now and in future; that much more may be
 *	hazards plain 0
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

extern char __executable_start, etext;

__attribute__((noinline, noclone)) long work(long n)
{
	__asm__ volatile("" : "+r"(n));
	return n * 3 + 1;
}

/* --- a restartable sequence --- */

#define CPUS 4096
#define THREADS 4

long rseq_counters[CPUS];
void rseq_count(ptrdiff_t area);

/* The descriptor is entered in the thread's area; a thread that is interrupted begins again. */
__asm__(".pushsection __rseq_cs, \"aw\"\n.balign 32\n"
	"rseq_descriptor: .long 0, 0\n.quad rseq_inside, rseq_end - rseq_inside, rseq_again\n"
	".popsection\n.text\n"
	".globl rseq_count\n.type rseq_count, @function\nrseq_count:\n"
	"lea rseq_descriptor(%rip), %rax\nmov %rax, %fs:8(%rdi)\n"
	".globl rseq_inside\n.type rseq_inside, @function\nrseq_inside:\n"
	"mov %fs:4(%rdi), %eax\nlea rseq_counters(%rip), %rdx\nincq (%rdx, %rax, 8)\n"
	"rseq_end: movq $0, %fs:8(%rdi)\nret\n"
	".long 0x53053053\nrseq_again: jmp rseq_count\n.size rseq_count, . - rseq_count\n");

struct counting {
	ptrdiff_t area;
	long n;
};

static void *count(void *arg)
{
	const struct counting *c = arg;

	for (long i = 0; i < c->n; i++)
		rseq_count(c->area);
	return NULL;
}

/* By name: an older C library has none. */
static void count_restartably(long n)
{
	const ptrdiff_t *area = dlsym(RTLD_DEFAULT, "__rseq_offset");
	const unsigned int *size = dlsym(RTLD_DEFAULT, "__rseq_size");
	struct counting c = {.n = n};
	pthread_t t[THREADS];
	long sum = 0;

	if (!area || !size || !*size) {
		printf("rseq none\n");
		return;
	}
	c.area = *area;
	memset(rseq_counters, 0, sizeof(rseq_counters));
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, count, &c);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < CPUS; i++)
		sum += rseq_counters[i];
	printf("rseq %ld\n", sum);
}

static unsigned long kib_of(const char *word)
{
	unsigned long v = 0;
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, word, strlen(word)))
			v = strtoul(line + strlen(word), NULL, 10);
	if (f)
		fclose(f);
	return v;
}

static int limit(const char *what, unsigned long kib)
{
	struct rlimit as = {(kib_of("VmSize:") + kib) << 10, RLIM_INFINITY};

	if (!strcmp(what, "lock"))
		return mlockall(MCL_CURRENT | MCL_FUTURE);
	if (!strcmp(what, "as"))
		return setrlimit(RLIMIT_AS, &as);
	return 0;
}

int main(int argc, char **argv)
{
	char line[64];
	long n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3 || limit(argv[1], strtoul(argv[2], NULL, 10))) {
		printf("limited %d\n", getpid());
		return 2;
	}
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long sum = 0;

		if (sscanf(line, "call %ld", &n) == 1) {
			for (long i = 0; i < n; i++)
				sum += work(i);
			printf("sum %lu\n", sum);
		} else if (!strncmp(line, "text", 4)) {
			for (char *p = &__executable_start; p < &etext; p++)
				sum = (sum ^ (unsigned char)*p) * 0x100000001b3;
			printf("text %lx\n", sum);
		} else if (sscanf(line, "rseq %ld", &n) == 1) {
			count_restartably(n);
		} else {
			break;
		}
	}
	return 0;
}
