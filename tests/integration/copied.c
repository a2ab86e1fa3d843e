// SPDX-License-Identifier: BSD-2-Clause
/*
 * Coroutines that share one stack: what one has on it is copied away while another runs, and back
 * when it goes on, as Python's greenlets do.
 *
 *	start	   begins COUNT calls of work(), each of which stops in the middle
 *	call N	   N calls of plain(), on the stack that those have left
 *	end	   the calls go on and return
 *	quit
 *
 * After each: "wrong W".
 */
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT 4
#define CODE __attribute__((noinline, noclone))

struct context {
	unsigned long rbx, rbp, r12, r13, r14, r15, rsp, rip;
};

/* 0, and 1 when it is returned to by go_to(). */
int remember(struct context *c) __attribute__((returns_twice));
_Noreturn void go_to(const struct context *c);
__asm__(".text\n.globl remember\n.type remember, @function\nremember:\n"
	"mov %rbx, (%rdi)\nmov %rbp, 8(%rdi)\nmov %r12, 16(%rdi)\nmov %r13, 24(%rdi)\n"
	"mov %r14, 32(%rdi)\nmov %r15, 40(%rdi)\nlea 8(%rsp), %rax\nmov %rax, 48(%rdi)\n"
	"mov (%rsp), %rax\nmov %rax, 56(%rdi)\nxor %eax, %eax\nret\n.size remember, . - remember\n"
	".globl go_to\n.type go_to, @function\ngo_to:\n"
	"mov (%rdi), %rbx\nmov 8(%rdi), %rbp\nmov 16(%rdi), %r12\nmov 24(%rdi), %r13\n"
	"mov 32(%rdi), %r14\nmov 40(%rdi), %r15\nmov 48(%rdi), %rsp\nmov $1, %eax\n"
	"jmp *56(%rdi)\n.size go_to, . - go_to\n");

static struct coroutine {
	struct context at;
	char *copy;
	size_t len;
	long x, result;
} coroutines[COUNT], *current;
static struct context home; /* of who runs them; its stack is what they don't share */

static void stop(void)
{
	struct coroutine *c = current;

	if (remember(&c->at))
		return;
	c->len = home.rsp - c->at.rsp;
	c->copy = realloc(c->copy, c->len);
	memcpy(c->copy, (void *)c->at.rsp, c->len);
	go_to(&home);
}

CODE long work(long x)
{
	volatile long kept = x;

	stop();
	return kept + 3;
}

CODE long plain(long x)
{
	__asm__ volatile("");
	return x + 1;
}

CODE static void begin(void)
{
	long result = work(current->x);

	current->result = result;
	go_to(&home);
}

/* From below what it writes. */
CODE static void go_on(const struct coroutine *c)
{
	volatile char *room = alloca(home.rsp - c->at.rsp + 4096);

	room[0] = 0;
	memcpy((void *)c->at.rsp, c->copy, c->len);
	go_to(&c->at);
}

CODE static void run(struct coroutine *c, void (*fn)(void))
{
	current = c;
	if (remember(&home))
		return;
	if (fn)
		fn();
	go_on(c);
}

static long command(const char *line)
{
	long wrong = 0;

	for (long i = 0; i < COUNT; i++) {
		struct coroutine *c = &coroutines[i];

		if (!strncmp(line, "start", 5)) {
			*c = (struct coroutine){.x = i};
			run(c, begin);
		} else if (!strncmp(line, "end", 3)) {
			run(c, NULL);
			wrong += c->result != i + 3;
			free(c->copy);
		}
	}
	for (long i = 0, n = !strncmp(line, "call ", 5) ? atol(line + 5) : 0; i < n; i++)
		wrong += plain(i) != i + 1;
	return wrong;
}

int main(void)
{
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4))
		printf("wrong %ld\n", command(line));
	return 0;
}
