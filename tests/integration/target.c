// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that does what it is told, one command a line on standard input, one line of answer on standard output: tests
 * wait for answers and never sleep.
 *
 *	call N             N calls of work(); answers "sum S"
 *	threads T N        T threads, N calls each; answers "sum S"
 *	fork N             a child makes N calls; answers "child STATUS SUM"
 *	load PATH SYM N    dlopen, N calls of SYM, dlclose unless N ends in '+'; answers "sum S"
 *	malloc N           N times malloc and free; answers "malloc N"
 *	env NAME           getenv(NAME); answers "env VALUE"
 *	text               answers "text HASH" over the executable segments of the program and its libraries
 *	self               answers "self FDS THREADS SIGBLK" from /proc
 *	trap               own SIGTRAP handler, then an int3 of its own; answers "trap COUNT"
 *	segv               own SIGSEGV handler, then a bad store; answers "segv COUNT ADDRESS"
 *	deep N             recursion N deep through rec(); answers "sum S"
 *	jump N             N times setjmp, call jumper(), which longjmps; answers "jump N"
 *	exec ARGS...       replaces itself
 *	quit [STATUS]
 */
#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define EXPORT __attribute__((noinline, noclone, visibility("default")))

EXPORT long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

EXPORT long rec(long depth)
{
	__asm__ volatile("" ::: "memory");
	return depth ? rec(depth - 1) + 1 : 0;
}

static jmp_buf back;

EXPORT void jumper(void)
{
	__asm__ volatile("" ::: "memory");
	longjmp(back, 1);
}

static long calls(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		sum += work(i);
	return sum;
}

static void *thread(void *arg)
{
	return (void *)calls((long)arg);
}

static long threads(long count, long n)
{
	pthread_t t[256];
	long sum = 0;
	void *ret;

	if (count > 256)
		count = 256;
	for (long i = 0; i < count; i++)
		pthread_create(&t[i], NULL, thread, (void *)n);
	for (long i = 0; i < count; i++) {
		pthread_join(t[i], &ret);
		sum += (long)ret;
	}
	return sum;
}

static void do_fork(long n)
{
	int fds[2], status;
	long sum = 0;
	pid_t pid;

	if (pipe(fds) < 0)
		exit(99);
	pid = fork();
	if (!pid) {
		sum = calls(n);
		_exit(write(fds[1], &sum, sizeof(sum)) == sizeof(sum) ? 7 : 8);
	}
	close(fds[1]);
	if (read(fds[0], &sum, sizeof(sum)) != sizeof(sum))
		sum = -1;
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (WIFEXITED(status))
		printf("child %d %ld\n", WEXITSTATUS(status), sum);
	else
		printf("child -%d %ld\n", WTERMSIG(status), sum);
}

static void do_load(const char *path, const char *sym, const char *count)
{
	long n = atol(count), sum = 0;
	long (*fn)(long);
	void *lib = dlopen(path, RTLD_NOW);

	fn = lib ? (long (*)(long))dlsym(lib, sym) : NULL;
	if (!fn) {
		printf("error %s\n", dlerror());
		return;
	}
	for (long i = 0; i < n; i++)
		sum += fn(i);
	if (!strchr(count, '+'))
		dlclose(lib);
	printf("sum %ld\n", sum);
}

static int hash_segments(struct dl_phdr_info *info, size_t size, void *data)
{
	uint64_t *hash = data;

	if (!strncmp(info->dlpi_name, "linux-", 6))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		const unsigned char *b = (void *)(info->dlpi_addr + p->p_vaddr);

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		for (size_t k = 0; k < p->p_memsz; k++)
			*hash = (*hash ^ b[k]) * 1099511628211u;
	}
	return 0;
}

static int entries(const char *dir)
{
	struct dirent *e;
	DIR *d = opendir(dir);
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static void do_self(void)
{
	char line[256], blocked[64] = "?";
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "SigBlk: %63s", blocked);
	if (f)
		fclose(f);
	printf("self %d %d %s\n", entries("/proc/self/fd") - 1, entries("/proc/self/task"), blocked);
}

static volatile int traps, faults;
static void *volatile fault_address;

static void on_trap(int sig, siginfo_t *si, void *uc)
{
	traps++;
}

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;

	faults++;
	fault_address = si->si_addr;
	u->uc_mcontext.gregs[REG_RIP] += 2; /* movb %al,(%rdi) */
}

static void do_trap(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	sigaction(SIGTRAP, &sa, NULL);
	__asm__ volatile("int3");
	raise(SIGTRAP);
	printf("trap %d\n", traps);
}

static void do_segv(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &sa, NULL);
	__asm__ volatile("movb %%al,(%%rdi)" ::"a"(1), "D"(0x10) : "memory");
	printf("segv %d %p\n", faults, fault_address);
}

static void do_jump(long n)
{
	volatile long done = 0;

	while (done < n) {
		if (!setjmp(back))
			jumper();
		done++;
	}
	printf("jump %ld\n", done);
}

static void do_exec(char *args)
{
	char *argv[16];
	int n = 0;

	for (char *w = strtok(args, " "); w && n < 15; w = strtok(NULL, " "))
		argv[n++] = w;
	argv[n] = NULL;
	execv(argv[0], argv);
	printf("error exec\n");
}

static void command(char *line)
{
	char a[256] = "", b[256] = "", c[256] = "", d[256] = "";
	uint64_t hash = 14695981039346656037u;

	sscanf(line, "%255s %255s %255s %255s", a, b, c, d);
	if (!strcmp(a, "call"))
		printf("sum %ld\n", calls(atol(b)));
	else if (!strcmp(a, "threads"))
		printf("sum %ld\n", threads(atol(b), atol(c)));
	else if (!strcmp(a, "fork"))
		do_fork(atol(b));
	else if (!strcmp(a, "load"))
		do_load(b, c, d);
	else if (!strcmp(a, "malloc")) {
		for (long i = 0; i < atol(b); i++) {
			char *volatile p = malloc(1 + i % 100);

			free(p);
		}
		printf("malloc %s\n", b);
	} else if (!strcmp(a, "env"))
		printf("env %s\n", getenv(b) ?: "");
	else if (!strcmp(a, "text")) {
		dl_iterate_phdr(hash_segments, &hash);
		printf("text %016lx\n", hash);
	} else if (!strcmp(a, "self"))
		do_self();
	else if (!strcmp(a, "trap"))
		do_trap();
	else if (!strcmp(a, "segv"))
		do_segv();
	else if (!strcmp(a, "deep"))
		printf("sum %ld\n", rec(atol(b)));
	else if (!strcmp(a, "jump"))
		do_jump(atol(b));
	else if (!strcmp(a, "exec"))
		do_exec(line + 5);
	else if (!strcmp(a, "quit"))
		exit(atoi(b));
	else
		printf("error command %s\n", a);
}

int main(void)
{
	char line[1024];

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		command(line);
	}
	return 0;
}
