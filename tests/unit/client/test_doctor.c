/* SPDX-License-Identifier: BSD-2-Clause */
/* Findings: each check says its piece once, a failure has a remedy, and the worst one is the
 * result. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../surface/fake.h"
#include "client/client.h"
#include "tests/support/library.h"

#define FINDINGS_MAX 32

static struct finding {
	enum ebpfrt_verdict verdict;
	char name[32], detail[256], remedy[256];
} found[FINDINGS_MAX];
static u32 nfound;

static void note(const struct ebpfrt_check *c, void *cookie)
{
	struct finding *f = &found[nfound];

	cr_assert_eq(cookie, &nfound);
	cr_assert_lt(nfound++, FINDINGS_MAX);
	f->verdict = c->verdict;
	snprintf(f->name, sizeof(f->name), "%s", c->name);
	snprintf(f->detail, sizeof(f->detail), "%s", c->detail);
	snprintf(f->remedy, sizeof(f->remedy), "%s", c->remedy);
}

/* What was said of @name; fails unless it was said once. */
static const struct finding *finding(const char *name)
{
	const struct finding *f = NULL;

	for (u32 i = 0; i < nfound; i++) {
		if (strcmp(found[i].name, name))
			continue;
		cr_assert_null(f, "%s twice", name);
		f = &found[i];
	}
	cr_assert_not_null(f, "nothing about %s", name);
	return f;
}

/* A header stands for the libraries that have to be there; the fake for the daemon. */
static void set_up(void)
{
	struct msg_status s = {.pid = 4242, .ntargets = 1, .nlinks = 2, .version = "9.8.7"};
	char library[128];

	fake_start();
	snprintf(library, sizeof(library), "%s/library.so", fake->dir);
	library_make(library);
	setenv("EBPFRT_AGENT", library, 1);
	setenv("EBPFRT_SURFACE", library, 1);
	fake_answer(MSG_STATUS, 0, &s, sizeof(s), NULL);
}

TestSuite(doctor, .init = set_up, .fini = fake_stop, .timeout = 20);

static enum ebpfrt_verdict worst_of_all(void)
{
	enum ebpfrt_verdict worst = EBPFRT_OK;

	for (u32 i = 0; i < nfound; i++)
		worst = MAX(worst, found[i].verdict);
	return worst;
}

Test(doctor, everything_is_looked_at_once)
{
	static const char *const names[] = {
		"cpu",	   "libbpf", "agent",  "surface library", "runtime directory",
		"seccomp", "yama",   "ptrace", "shared memory",	  "daemon"};
	enum ebpfrt_verdict worst = ebpfrt_doctor(0, note, &nfound);

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		finding(names[i]);
	cr_assert_eq(nfound, ARRAY_SIZE(names), "and nothing else without a process");
	cr_assert_eq(worst, worst_of_all());
	for (u32 i = 0; i < nfound; i++)
		cr_assert(found[i].verdict != EBPFRT_FAIL || found[i].remedy[0], "%s",
			  found[i].name);
	cr_assert_str_eq(finding("daemon")->detail, "ebpfrtd 9.8.7, pid 4242, 1 target, 2 links");
	cr_assert_str_eq(finding("runtime directory")->detail, fake->dir);
}

Test(doctor, what_is_missing_fails_with_what_to_do)
{
	setenv("EBPFRT_AGENT", "/nonexistent/agent.so", 1);
	cr_assert_eq(ebpfrt_doctor(0, note, &nfound), EBPFRT_FAIL);
	cr_assert_eq(finding("agent")->verdict, EBPFRT_FAIL);
	cr_assert(strstr(finding("agent")->detail, "/nonexistent/agent.so"));
	cr_assert_str_not_empty(finding("agent")->remedy);
	cr_assert_eq(finding("surface library")->verdict, EBPFRT_OK);
}

Test(doctor, a_directory_that_others_may_enter)
{
	char dir[] = "/tmp/ebpfrt-doctor-XXXXXX";

	cr_assert(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0755), 0);
	setenv("EBPFRT_RUNTIME_DIR", dir, 1);
	ebpfrt_doctor(0, note, &nfound);
	rmdir(dir);
	cr_assert_eq(finding("runtime directory")->verdict, EBPFRT_FAIL);
	cr_assert(strstr(finding("runtime directory")->remedy, "0700"));
	cr_assert_eq(finding("daemon")->verdict, EBPFRT_FAIL, "no daemon without one");
}

Test(doctor, a_daemon_that_answers_with_a_failure)
{
	fake_answer(MSG_STATUS, -ENOMEM, NULL, 0, "no memory left");
	cr_assert_eq(ebpfrt_doctor(0, note, &nfound), EBPFRT_FAIL);
	cr_assert_str_eq(finding("daemon")->detail, "no memory left");
}

static pid_t child;

static void start_child(void)
{
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	cr_assert_gt(child, 0);
}

static void end_child(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

Test(doctor, a_process_of_ours)
{
	char start[32];

	start_child();
	ebpfrt_doctor(child, note, &nfound);
	snprintf(start, sizeof(start), "%d (", child);
	end_child();
	cr_assert_neq(finding("process")->verdict, EBPFRT_WARN);
	cr_assert(strstr(finding("process")->detail, start), "%s", finding("process")->detail);
}

Test(doctor, a_process_that_is_not_there)
{
	start_child();
	end_child();
	cr_assert_eq(ebpfrt_doctor(child, note, &nfound), EBPFRT_FAIL);
	cr_assert_eq(finding("process")->verdict, EBPFRT_FAIL);
	cr_assert_str_not_empty(finding("process")->detail);
}

/* Looking leaves nothing behind: the child that ptrace is tried on is gone. */
Test(doctor, no_child_is_left)
{
	ebpfrt_doctor(0, note, &nfound);
	kill(fake->pid, SIGKILL);
	cr_assert_eq(waitpid(-1, NULL, 0), fake->pid);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_assert_eq(errno, ECHILD);
}
