// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target whose functions are such that no jump fits over their first instruction alone: what
 * follows it leads into the program's own text. Each has a back door, right behind that
 * instruction. Says "ready PID", then obeys:
 *
 * - call N, door N: calls each function so often, or enters it by its back door: "sum S"
 * - start: three threads do both all the time, interrupted by a timer's signals; "started"
 * - rounds: "rounds R"
 * - stop: "rounds R wrong W"
 * - stay: calls a function that stays right behind the last instruction within the jump, until a
 *   signal comes there that another thread sends: "sum S"
 * - quit
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

/* @first goes before @rest; who comes by the door has executed it already. */
#define FUNCTION(name, first, rest)                                                                \
	__asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name          \
		":\n" first "\n" #name "_inside:\n" rest "\nret\n.size " #name ", . - " #name "\n" \
		".p2align 4\n.type " #name "_door, @function\n" #name "_door:\n" first             \
		"\njmp " #name "_inside\n.size " #name "_door, . - " #name "_door\n");             \
	long name(long x), name##_door(long x)

/* one byte, and two instructions that begin in the jump; 0xba bytes on */
FUNCTION(one, "push %rbx", "mov $0, %edx\nlea 3(%rdi,%rdx), %rax\npop %rbx");
/* two bytes: some 0xba00 bytes on */
FUNCTION(two, "push %r14", "mov $0, %edx\nlea 5(%rdi,%rdx), %rax\npop %r14");
/* three: some 0x40000 bytes on */
FUNCTION(three, "mov %rdi, %rax", "add $0, %al\nlea 7(%rax), %rax\nnop");
/* four, a nop, and the last one begins in the jump's last byte */
FUNCTION(four, "lea 9(%rdi), %rax", "nop\nnop\nnop");
__asm__(".text\n.space 0x60000, 0xcc\n");

/* As a compiler's: one byte, and the jump's last one is an instruction. Nothing fits that leads to
 * where it does without us, and around. */
__asm__(".text\n.p2align 4\n.globl five\n.type five, @function\nfive:\npush %rbp\nmov %rsp, %rbp\n"
	"push %rbx\n.globl five_stay\nfive_stay:\njmp five_stay\nlea 11(%rdi), %rax\npop %rbx\n"
	"pop %rbp\nret\n.size five, . - five\n");
long five(long x);
extern const char five_stay[];
#define LEADS 0x53000000ul /* 16 MiB from there on, behind the jump */
#define SPIN_LEN 2

static long (*const functions[])(long) = {one, two, three, four};
static long (*const doors[])(long) = {one_door, two_door, three_door, four_door};
#define N (sizeof(functions) / sizeof(functions[0]))

static atomic_long rounds, wrong;
static atomic_int stop;

static void on_alarm(int sig)
{
}

static atomic_int stayed;
static pthread_t stayer;

static void on_bus(int sig, siginfo_t *info, void *v)
{
	ucontext_t *uc = v;

	if (uc->uc_mcontext.gregs[REG_RIP] != (greg_t)five_stay)
		return;
	uc->uc_mcontext.gregs[REG_RIP] += SPIN_LEN;
	stayed = 1;
}

static void *push_on(void *arg)
{
	while (!stayed) {
		pthread_kill(stayer, SIGBUS);
		sched_yield();
	}
	return NULL;
}

static long stay(void)
{
	struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	pthread_t pusher;
	long sum;

	stayer = pthread_self();
	stayed = 0;
	sigaction(SIGBUS, &act, NULL);
	pthread_create(&pusher, NULL, push_on, NULL);
	sum = five(31);
	pthread_join(pusher, NULL);
	return sum;
}

static long all(long (*const *v)(long), long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		for (size_t k = 0; k < N; k++)
			sum += v[k](i);
	return sum;
}

static void *work(void *arg)
{
	for (long i = 0; !stop; i++, rounds++)
		for (size_t k = 0; k < N; k++)
			wrong += functions[k](i) != i + 3 + 2 * (long)k ||
				 doors[k](i) != i + 3 + 2 * (long)k;
	return NULL;
}

int main(void)
{
	struct itimerval often = {{0, 500}, {0, 500}}, never = {{0}};
	pthread_t threads[3];
	char line[64];
	long n;

	mmap((void *)(((unsigned long)five + LEADS) & ~0xffful), 0x2000000, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	signal(SIGALRM, on_alarm);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (sscanf(line, "call %ld", &n) == 1) {
			printf("sum %ld\n", all(functions, n));
		} else if (sscanf(line, "door %ld", &n) == 1) {
			printf("sum %ld\n", all(doors, n));
		} else if (!strncmp(line, "start", 5)) {
			stop = 0;
			for (int i = 0; i < 3; i++)
				pthread_create(&threads[i], NULL, work, NULL);
			setitimer(ITIMER_REAL, &often, NULL);
			printf("started\n");
		} else if (!strncmp(line, "stay", 4)) {
			printf("sum %ld\n", stay());
		} else if (!strncmp(line, "rounds", 6)) {
			printf("rounds %ld\n", rounds);
		} else {
			stop = 1;
			for (int i = 0; i < 3; i++)
				pthread_join(threads[i], NULL);
			setitimer(ITIMER_REAL, &never, NULL);
			printf("rounds %ld wrong %ld\n", rounds, wrong);
		}
	}
	return 0;
}
