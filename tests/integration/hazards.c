// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that is short of something. Says "ready PID", then obeys:
 *
 * - call N: calls of work(): "sum S"
 * - text: a sum over its own code: "text S"
 * - quit
 *
 *	hazards as KIB    address space: that much more than it has
 *	hazards lock KIB  all memory locked, now and in future; that much more may be
 *	hazards plain 0
 */
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
		} else {
			break;
		}
	}
	return 0;
}
