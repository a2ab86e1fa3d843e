// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that hands over addresses, good and bad ones, to a function that does not look at them.
 * Says "ready PID", then obeys:
 *
 * - go N: each address N times: "went SUM faults F", F the faults its own handlers saw
 * - want N: for each address that is to be read: "NAME FIELDS...", as reads.h has them, after as
 *   many calls; then "end"
 * - own: reads a bad address itself: "own FAULTS"
 * - quit
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reads.h"

#define PAGE 4096ul

static struct kind {
	const char *name;
	const char *at;
	int word; /* eight bytes can be read */
	int len;  /* what a string read returns, 0: nothing can be read */
} kinds[READS_KINDS - 1];
static int n;

static volatile long faults;
static sigjmp_buf out;

__attribute__((noinline, noclone)) const void *look(unsigned int kind, const void *at)
{
	__asm__ volatile("" ::"r"(kind), "r"(at) : "memory");
	return at;
}

static void add(const char *name, const void *at, int word, int len)
{
	kinds[n++] = (struct kind){name, at, word, len};
}

/* a page that @text ends at the end of, with @behind (a mapping of one page) right behind it */
static char *before(int prot, int fd, const char *text, size_t len)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fd >= 0)
		mmap(p + PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	else
		mprotect(p + PAGE, PAGE, prot);
	memcpy(p + PAGE - len, text, len);
	return p + PAGE - len;
}

static int truncated(void)
{
	int fd = memfd_create("reads", 0);

	if (ftruncate(fd, PAGE))
		exit(9);
	return fd;
}

static void prepare(void)
{
	static const char text[] = "0123456789abcdefghi";
	int cut = truncated();
	char *ro = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *gone = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, cut, 0);
	char *next = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(ro, "readonly", 9);
	mprotect(ro, PAGE, PROT_READ);
	munmap(next, PAGE);
	add("a word and a string", text, 1, READS_STR_ROOM);
	add("read-only", ro, 1, 9);
	add("a string that ends with its page", before(PROT_NONE, -1, "sevenup", 8), 1, 8);
	add("a short one, a word not", before(PROT_NONE, -1, "abc", 4), 0, 4);
	add("a word, a string not", before(PROT_NONE, -1, "endless.", 8), 1, 0);
	add("across to a page that may be read", before(PROT_READ, -1, "half", 4), 1, 5);
	add("across to PROT_NONE", before(PROT_NONE, -1, "half", 4), 0, 0);
	add("across, one byte", before(PROT_NONE, -1, "1234567", 7), 0, 0);
	add("across to a file's cut off page", before(0, cut, "half", 4), 0, 0);
	add("a string before a file's cut off page", before(0, cut, "abc", 4), 0, 4);
	add("NULL", NULL, 0, 0);
	add("nearly NULL", (void *)8, 0, 0);
	add("the first page's end", (void *)(PAGE - 4), 0, 0);
	add("PROT_NONE", before(PROT_NONE, -1, "", 0), 0, 0);
	add("a file's cut off page", gone, 0, 0);
	add("nothing is there", next, 0, 0);
	add("the first address that is none", (void *)0x800000000000, 0, 0);
	add("half below it", (void *)0x7ffffffffffc, 0, 0);
	add("no address", (void *)0x8000000000000000, 0, 0);
	add("no address either", (void *)0xdeadbeefdeadbeef, 0, 0);
	add("the kernel's", (void *)0xffffffff81000000, 0, 0);
	add("the last ones", (void *)0xfffffffffffffffc, 0, 0);
	if (ftruncate(cut, 0))
		exit(9);
}

static void on_fault(int sig)
{
	faults++;
	siglongjmp(out, 1);
}

static void go(long times)
{
	unsigned long sum = 0;

	for (long i = 0; i < times; i++)
		for (int k = 0; k < n; k++)
			sum = sum * 3 + (unsigned long)look(k, kinds[k].at) -
			      (unsigned long)kinds[k].at;
	printf("went %lu faults %ld\n", sum, faults);
}

/* What the program is to count of @k after @c calls. */
static void want(const struct kind *k, unsigned long c)
{
	unsigned long word = 0, text = 0;

	if (k->word)
		memcpy(&word, k->at, 8);
	if (k->len)
		memcpy(&text, k->at, k->len < 8 ? k->len : 8);
	if (k->len == READS_STR_ROOM)
		memcpy(&text, k->at, 8);
	printf("%s: %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu 0 0\n", k->name, c, k->word * c,
	       !k->word * c, k->word * c * 2, !k->word * c * 2, word * c * 3, !!k->len * c * 3,
	       !k->len * c * 3, k->len * c * 3, text * c * 3);
}

static void own(void)
{
	for (int k = 10; k < n; k++)
		if (!sigsetjmp(out, 1))
			printf("%c", *(volatile const char *)kinds[k].at);
	printf("own %ld\n", faults);
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_fault};
	char line[64];
	long times;

	prepare();
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "go %ld", &times) == 1) {
			go(times);
		} else if (sscanf(line, "want %ld", &times) == 1) {
			for (int k = 0; k < n; k++)
				want(&kinds[k], times);
			printf("end\n");
		} else if (!strncmp(line, "own", 3)) {
			own();
		} else {
			break;
		}
	}
	return 0;
}
