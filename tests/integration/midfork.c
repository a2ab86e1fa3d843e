// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target that forks all the time, while probes come and go.
 *
 *	fork N		a thread forks, from when the first byte of the library's text changes until
 *it has N children or is told to stop: "forking" stop		"children K"; they wait, and call
 *nothing of the probed library check		each child looks whether the library's text is what
 *it was when the program began, and whether its functions do what they did: "same S results R ended
 *E", of K. They have ended then. quit
 */
#include <elf.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 400

struct child {
	pid_t pid;
	int go, said;
};

static struct child children[CHILDREN];
static int wanted;
static volatile int forked, stopped;
static const unsigned char *text;
static size_t text_len;
static uint64_t sum_before;
static double results_before;
static pthread_t forker;

static int on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	if (!strstr(info->dlpi_name, "libm.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
			text = (const unsigned char *)info->dlpi_addr + p->p_vaddr;
			text_len = p->p_memsz;
		}
	}
	return 0;
}

static uint64_t sum_of_text(void)
{
	uint64_t sum = 14695981039346656037u;

	for (size_t i = 0; i < text_len; i++)
		sum = (sum ^ text[i]) * 1099511628211u;
	return sum;
}

/* Not by the compiler. */
static double results(void)
{
	double (*volatile fn[])(double) = {sin,	 cos,  tan,  exp,   log,  sqrt, cbrt, floor,
					   ceil, rint, erf,  expm1, sinh, cosh, tanh, atan,
					   asin, acos, log2, log10, exp2, fabs, logb, lgamma};
	double sum = 0;

	for (size_t i = 0; i < sizeof(fn) / sizeof(*fn); i++)
		sum += fn[i](0.4375);
	return sum;
}

/* Bit 0: the text is as it was; 1: so are results. */
static void child(int go, int said)
{
	char answer = 0;

	if (read(go, &answer, 1) != 1)
		_exit(1);
	answer = sum_of_text() == sum_before;
	answer |= (results() == results_before) << 1;
	_exit(write(said, &answer, 1) != 1);
}

static void *fork_on(void *arg)
{
	int go[2], said[2];

	while (!stopped && sum_of_text() == sum_before)
		;
	while (!stopped && forked < wanted) {
		struct child *c = &children[forked];

		if (pipe(go) || pipe(said))
			break;
		c->pid = fork();
		if (c->pid == 0)
			child(go[0], said[1]);
		if (c->pid < 0)
			break;
		c->go = go[1];
		c->said = said[0];
		close(go[0]);
		close(said[1]);
		forked++;
	}
	return NULL;
}

static void check(void)
{
	int same = 0, right = 0, ended = 0, status;

	for (int i = 0; i < forked; i++) {
		char answer = 0;

		if (write(children[i].go, "", 1) == 1 && read(children[i].said, &answer, 1) == 1) {
			same += answer & 1;
			right += answer >> 1;
		}
		close(children[i].go);
		close(children[i].said);
		waitpid(children[i].pid, &status, 0);
		ended += WIFEXITED(status) && !WEXITSTATUS(status);
	}
	printf("same %d results %d ended %d\n", same, right, ended);
	forked = 0;
}

int main(void)
{
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	results_before = results();
	dl_iterate_phdr(on_object, NULL);
	sum_before = sum_of_text();
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (sscanf(line, "fork %d", &wanted) == 1) {
			wanted = wanted > CHILDREN ? CHILDREN : wanted;
			stopped = 0;
			pthread_create(&forker, NULL, fork_on, NULL);
			printf("forking\n");
		} else if (!strncmp(line, "stop", 4)) {
			stopped = 1;
			pthread_join(forker, NULL);
			printf("children %d\n", forked);
		} else if (!strncmp(line, "check", 5)) {
			check();
		}
	}
	return 0;
}
