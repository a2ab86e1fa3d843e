/* SPDX-License-Identifier: BSD-2-Clause */
/* libbpf under guard: see guard.h. */
#include "cli/guard.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "cli/out.h"

#define STACK_SIZE (64 * 1024)

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static struct sigaction before[ARRAY_SIZE(signals)];
static char stack[STACK_SIZE]; /* the usual one may be what ran out */
static char sentence[1024];
static size_t sentence_len;
static int status = EXIT_FAILURE;

static void on_crash(int signo)
{
	if (write(STDERR_FILENO, sentence, sentence_len) < 0)
		_exit(status);
	_exit(status);
}

void guard_status(int s)
{
	status = s;
}

void guard_begin(const char *what, const char *file)
{
	struct sigaction sa = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
	stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
	char clean[512];
	int n;

	n = snprintf(sentence, sizeof(sentence),
		     "ebpfrt: libbpf crashed while %s %s, which is malformed; nothing of it stays "
		     "attached\n  compile it anew, or see what `llvm-readelf -a` makes of it\n",
		     what, out_clean(file, clean, sizeof(clean)));
	sentence_len = MIN((size_t)n, sizeof(sentence) - 1);
	sigaltstack(&alt, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, &before[i]);
}

void guard_end(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &before[i], NULL);
}
