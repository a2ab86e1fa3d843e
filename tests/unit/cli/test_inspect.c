/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects that are none: each is refused with its words, none takes the process with it. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/object.h"

static char path[64];

static void put(const void *data, size_t len)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_inspect.XXXXXX");
	fd = mkstemp(path);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static void teardown(void)
{
	if (path[0])
		unlink(path);
}

static void setup(void)
{
	setenv("NO_COLOR", "1", 1);
	cr_redirect_stderr();
}

TestSuite(inspect, .init = setup, .fini = teardown);

static void expect_refused(const char *file, const char *part)
{
	struct object *obj = NULL;
	char text[2048];
	size_t n;
	FILE *err;

	cr_expect_lt(object_inspect(file, &obj), 0);
	cr_expect_null(obj);
	fflush(stderr);
	err = cr_get_redirected_stderr();
	n = fread(text, 1, sizeof(text) - 1, err);
	text[n] = 0;
	cr_expect_not_null(strstr(text, part), "%s", text);
}

Test(inspect, not_there)
{
	expect_refused("/nowhere/x.o",
		       "ebpfrt: cannot open /nowhere/x.o: No such file or directory\n");
}

Test(inspect, a_directory)
{
	expect_refused("/tmp", "ebpfrt: /tmp is not a file\n");
}

Test(inspect, text)
{
	put("hello\n", 6);
	expect_refused(path, "is not a valid BPF object (");
}

Test(inspect, an_ordinary_program)
{
	expect_refused("/proc/self/exe", "is not a valid BPF object (");
}

Test(inspect, empty)
{
	put("", 0);
	expect_refused(path, "is not a valid BPF object (");
}

/* A valid object with bytes changed or cut off: an answer of some kind, every time. */
Test(inspect, random_damage_never_reaches_us)
{
	const char *src = getenv("top_srcdir");
	unsigned int seed = (unsigned int)getpid();
	char good[65536], bad[65536], shipped[4096];
	ssize_t len;
	int fd;

	fd = open("samples/malloc.bpf.o", O_RDONLY);
	snprintf(shipped, sizeof(shipped), "%s/samples/malloc.bpf.o", src ? src : ".");
	if (fd < 0)
		fd = open(shipped, O_RDONLY);
	if (fd < 0)
		cr_skip("no object to damage");
	len = read(fd, good, sizeof(good));
	close(fd);
	printf("# seed %u\n", seed);
	for (int i = 0; i < 60; i++) {
		struct object *obj = NULL;

		memcpy(bad, good, len);
		for (int k = 0; k < 8; k++)
			bad[rand_r(&seed) % len] = (char)rand_r(&seed);
		put(bad, i % 3 ? len : rand_r(&seed) % len);
		object_inspect(path, &obj);
		object_free(&obj);
		unlink(path);
	}
}
