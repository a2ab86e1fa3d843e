/* SPDX-License-Identifier: BSD-2-Clause */
/* The sentence of the last failure: a thread's own, never longer than its room, gone when asked. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "client/client.h"

Test(error, nothing_has_failed_at_first)
{
	cr_assert_str_empty(ebpfrt_error());
}

Test(error, a_failure_is_returned_and_said)
{
	cr_assert_eq(client_fail(-ENOENT, "no %s in %d files", "main", 3), -ENOENT);
	cr_assert_str_eq(ebpfrt_error(), "no main in 3 files");
	cr_assert_eq(client_fail(-EPERM, "denied"), -EPERM);
	cr_assert_str_eq(ebpfrt_error(), "denied", "only the last one");
	client_error_clear();
	cr_assert_str_empty(ebpfrt_error());
}

Test(error, a_long_one_is_cut)
{
	char text[4096];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	cr_assert_eq(client_fail(-EIO, "start %s", text), -EIO);
	cr_assert_eq(strlen(ebpfrt_error()), 511);
	cr_assert_eq(strncmp(ebpfrt_error(), "start xxx", 9), 0);
}

static void *fail_elsewhere(void *seen)
{
	strcpy(seen, ebpfrt_error());
	client_fail(-EIO, "the other thread's");
	return NULL;
}

Test(error, each_thread_has_its_own)
{
	char seen[64] = "unset";
	pthread_t t;

	client_fail(-EIO, "mine");
	cr_assert_eq(pthread_create(&t, NULL, fail_elsewhere, seen), 0);
	pthread_join(t, NULL);
	cr_assert_str_empty(seen);
	cr_assert_str_eq(ebpfrt_error(), "mine");
}

Test(error, the_version_is_the_packages)
{
	cr_assert_str_eq(ebpfrt_version(), EBPFRT_VERSION);
	cr_assert_str_not_empty(ebpfrt_version());
}
