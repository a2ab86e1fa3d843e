/* SPDX-License-Identifier: BSD-2-Clause */
/* A crash under guard ends the process with a sentence; without it, it is a crash. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/guard.h"

/* What a child that dies by @signo says on standard error; its wait status. */
static int crash(int signo, bool guarded, char *text, size_t size)
{
	int p[2], status;
	ssize_t n;

	cr_assert_eq(pipe(p), 0);
	if (fork() == 0) {
		dup2(p[1], 2);
		guard_status(125);
		guard_begin("loading", "x.bpf.o");
		if (!guarded)
			guard_end();
		raise(signo);
		_exit(0);
	}
	close(p[1]);
	n = read(p[0], text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	close(p[0]);
	cr_assert_gt(wait(&status), 0);
	return status;
}

Test(guard, every_crash_has_its_sentence)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	char text[1024];

	for (unsigned int i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		int status = crash(signals[i], true, text, sizeof(text));

		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 125);
		cr_expect(strstr(text, "ebpfrt: libbpf crashed while loading x.bpf.o"), "%s", text);
		status = crash(signals[i], false, text, sizeof(text));
		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
		cr_expect_str_empty(text);
	}
}
