/* SPDX-License-Identifier: BSD-2-Clause */
/* Where our files are found, in which order, and the environment of a program under the agent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../surface/fake.h"
#include "base/cleanup.h"
#include "client/client.h"
#include "proto/shm_abi.h"
#include "tests/support/library.h"

static char dir[64], file[96];

static void set_up(void)
{
	fake_start();
	strcpy(dir, "/tmp/ebpfrt-files-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/only-here.so", dir);
	library_make(file);
	unsetenv("FILES_TEST");
}

static void tear_down(void)
{
	unlink(file);
	rmdir(dir);
	fake_stop();
}

TestSuite(files, .init = set_up, .fini = tear_down, .timeout = 20);

Test(files, the_environment_wins)
{
	char path[256];

	setenv("FILES_TEST", file, 1);
	cr_assert_eq(client_find_file("FILES_TEST", "test_files", "/nowhere", path, sizeof(path)),
		     0);
	cr_assert_str_eq(path, file);
}

Test(files, what_the_environment_names_is_not_replaced_by_another)
{
	char path[256] = "untouched";

	setenv("FILES_TEST", "/nonexistent/agent.so", 1);
	cr_assert_eq(client_find_file("FILES_TEST", "only-here.so", dir, path, sizeof(path)),
		     -ENOENT);
	cr_assert_str_eq(ebpfrt_error(),
			 "$FILES_TEST names /nonexistent/agent.so: No such file or directory");
	cr_assert_str_eq(path, "untouched");
}

Test(files, then_beside_the_program_then_where_it_was_installed)
{
	char path[4352], self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	cr_assert_gt(n, 0);
	self[n] = 0;
	setenv("FILES_TEST", "", 1); /* set to nothing is not set */
	cr_assert_eq(
		client_find_file("FILES_TEST", strrchr(self, '/') + 1, dir, path, sizeof(path)), 0);
	cr_assert_str_eq(path, self);
	cr_assert_eq(client_find_file("FILES_TEST", "only-here.so", dir, path, sizeof(path)), 0);
	cr_assert_str_eq(path, file);
}

Test(files, what_is_nowhere_is_said_with_what_to_set)
{
	char path[256];

	cr_assert_eq(client_find_file("FILES_TEST", "no-such.so", dir, path, sizeof(path)),
		     -ENOENT);
	cr_assert(strstr(ebpfrt_error(), "no-such.so is not installed"), "%s", ebpfrt_error());
	cr_assert(strstr(ebpfrt_error(), dir), "%s", ebpfrt_error());
	cr_assert(strstr(ebpfrt_error(), "set $FILES_TEST"), "%s", ebpfrt_error());
}

Test(files, a_path_without_room_is_no_path)
{
	char path[8];

	cr_assert_lt(client_find_file("FILES_TEST", "only-here.so", dir, path, sizeof(path)), 0);
}

/* --- the environment --- */

static void grant_token(const char *socket)
{
	u8 body[sizeof(u64) + 108] = {0};
	u64 token = 0xfedcba9876543210;

	memcpy(body, &token, sizeof(token));
	strcpy((char *)body + sizeof(token), socket);
	fake_answer(MSG_TOKEN, 0, body, sizeof(body), NULL);
}

/* The value of @name in @env; fails unless it is there once. */
static const char *value_of(char *const *env, const char *name)
{
	size_t n = strlen(name);
	const char *value = NULL;

	for (; *env; env++) {
		if (strncmp(*env, name, n) || (*env)[n] != '=')
			continue;
		cr_assert_null(value, "%s is there twice", name);
		value = *env + n + 1;
	}
	cr_assert_not_null(value, "%s is not there", name);
	return value;
}

/* how many seccomp filters this process has; kernels before 5.10 do not tell */
static unsigned int filters(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	unsigned int n = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Seccomp_filters: %u", &n) == 1)
			break;
	return n;
}

Test(files, a_programs_environment)
{
	char *const env[] = {(char *)"A=1", (char *)"LD_PRELOAD=/lib/a.so:/lib/b.so",
			     (char *)"LD_PRELOAD_NOT=x", (char *)AGENT_ENV_TOKEN "=of another",
			     NULL};
	_cleanup_free_ char **out = NULL;
	char want[256];

	setenv("EBPFRT_AGENT", file, 1);
	grant_token("/run/agent");
	cr_assert_eq(ebpfrt_run_environment(env, &out), 0);
	snprintf(want, sizeof(want), "%s:/lib/a.so:/lib/b.so", file);
	cr_assert_str_eq(value_of(out, "LD_PRELOAD"), want);
	cr_assert_str_eq(value_of(out, "A"), "1");
	cr_assert_str_eq(value_of(out, "LD_PRELOAD_NOT"), "x");
	cr_assert_str_eq(value_of(out, AGENT_ENV_SOCKET), "/run/agent");
	snprintf(want, sizeof(want), "18364758544493064720:%u", filters());
	cr_assert_str_eq(value_of(out, AGENT_ENV_TOKEN), want);
}

Test(files, what_has_to_be_loaded_first)
{
	char *const env[] = {(char *)"LD_PRELOAD=/lib/a.so", NULL}, *const none[] = {NULL};
	_cleanup_free_ char **out = NULL, **alone = NULL;
	char want[256];

	setenv("EBPFRT_AGENT", file, 1);
	grant_token("/run/agent");
	cr_assert_eq(client_run_environment(env, "libfirst.so.1", &out), 0);
	snprintf(want, sizeof(want), "libfirst.so.1:%s:/lib/a.so", file);
	cr_assert_str_eq(value_of(out, "LD_PRELOAD"), want);
	snprintf(want, sizeof(want), "18364758544493064720:%u" AGENT_TOKEN_HIDE, filters());
	cr_assert_str_eq(value_of(out, AGENT_ENV_TOKEN), want);
	cr_assert_null(out[3], "two that go, and one that stays");
	/* what the agent takes out again is an even number */
	grant_token("/run/agent");
	cr_assert_eq(client_run_environment(none, "libfirst.so.1", &alone), 0);
	snprintf(want, sizeof(want), "libfirst.so.1:%s", file);
	cr_assert_str_eq(value_of(alone, "LD_PRELOAD"), want);
	cr_assert_str_eq(value_of(alone, AGENT_ENV_PAD), "");
}

Test(files, an_empty_preload_leaves_no_colon)
{
	char *const env[] = {(char *)"LD_PRELOAD=", NULL};
	_cleanup_free_ char **out = NULL;

	setenv("EBPFRT_AGENT", file, 1);
	grant_token("/run/agent");
	cr_assert_eq(ebpfrt_run_environment(env, &out), 0);
	cr_assert_str_eq(value_of(out, "LD_PRELOAD"), file);
}

Test(files, without_one_it_is_the_callers)
{
	_cleanup_free_ char **out = NULL;

	setenv("EBPFRT_AGENT", file, 1);
	setenv("FILES_TEST", "inherited", 1);
	grant_token("/run/agent");
	cr_assert_eq(ebpfrt_run_environment(NULL, &out), 0);
	cr_assert_str_eq(value_of(out, "FILES_TEST"), "inherited");
}

Test(files, a_socket_without_end_gets_one)
{
	_cleanup_free_ char **out = NULL;
	u8 body[sizeof(u64) + 200];

	memset(body, 'x', sizeof(body));
	fake_answer(MSG_TOKEN, 0, body, sizeof(body), NULL);
	setenv("EBPFRT_AGENT", file, 1);
	cr_assert_eq(ebpfrt_run_environment(NULL, &out), 0);
	cr_assert_eq(strlen(value_of(out, AGENT_ENV_SOCKET)), 107);
}

Test(files, no_environment_without_a_token)
{
	char **out = (void *)1;

	setenv("EBPFRT_AGENT", file, 1);
	fake_answer(MSG_TOKEN, 0, "12345678", 8, NULL);
	cr_assert_eq(ebpfrt_run_environment(NULL, &out), -EPROTO);
	cr_assert(strstr(ebpfrt_error(), "token of 8 bytes"));
	fake_answer(MSG_TOKEN, -EMFILE, NULL, 0, NULL);
	cr_assert_eq(ebpfrt_run_environment(NULL, &out), -EMFILE);
	cr_assert_eq(out, (void *)1);
}

Test(files, a_path_that_LD_PRELOAD_would_split_is_refused)
{
	char odd[128], **out = (void *)1;

	snprintf(odd, sizeof(odd), "%s/a b.so", dir);
	cr_assert_eq(link(file, odd), 0);
	setenv("EBPFRT_AGENT", odd, 1);
	grant_token("/run/agent");
	cr_assert_eq(ebpfrt_run_environment(NULL, &out), -EINVAL);
	unlink(odd);
	cr_assert(strstr(ebpfrt_error(), "space or colon"), "%s", ebpfrt_error());
	cr_assert_eq(out, (void *)1);
}
