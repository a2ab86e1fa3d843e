/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking at a program before it is started. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"

static char dir[64], path[PATH_MAX], why[PATH_MAX + 256];

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_findexec.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "/bin/rm -rf '%s'", dir);
	cr_expect_eq(system(cmd), 0);
}

TestSuite(findexec, .init = setup, .fini = teardown);

static const char *make(const char *name, const void *data, size_t len, mode_t mode)
{
	static char made[128];
	FILE *f;

	snprintf(made, sizeof(made), "%s/%s", dir, name);
	f = fopen(made, "w");
	cr_assert_not_null(f);
	fwrite(data, 1, len, f);
	fclose(f);
	cr_assert_eq(chmod(made, mode), 0);
	return made;
}

Test(findexec, path_search)
{
	make("tool", "#!/bin/sh\n", 10, 0755);
	setenv("PATH", dir, 1);
	cr_expect_eq(exec_find("tool", path, sizeof(path)), 0);
	cr_expect_eq(strncmp(path, dir, strlen(dir)), 0);
	cr_expect_eq(exec_find("no-tool", path, sizeof(path)), -ENOENT);
	cr_expect_eq(exec_find("", path, sizeof(path)), -ENOENT);
	cr_expect_eq(exec_find("/nowhere/tool", path, sizeof(path)), -ENOENT);
}

Test(findexec, not_executable)
{
	make("plain", "", 0, 0644);
	setenv("PATH", dir, 1);
	cr_expect_eq(exec_find("plain", path, sizeof(path)), -EACCES);
	cr_expect_eq(exec_find(dir, path, sizeof(path)), -EACCES, "a directory");
}

Test(findexec, dynamic_programs_and_scripts_take_a_preload)
{
	cr_expect_eq(exec_check_preload("/bin/sh", "-", why, sizeof(why)), 0);
	cr_expect_eq(
		exec_check_preload(make("s", "#!/bin/sh -e\n", 13, 0755), "-", why, sizeof(why)),
		0);
}

Test(findexec, a_static_program_does_not)
{
	/* an ELF header with no program headers: nothing asks for a loader */
	unsigned char elf[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
	char want[512];
	const char *p = make("static", elf, sizeof(elf), 0755);

	cr_expect_eq(exec_check_preload(p, "start it, then attach", why, sizeof(why)), -EOPNOTSUPP);
	snprintf(want, sizeof(want),
		 "%s is statically linked and ignores LD_PRELOAD; start it, then attach", p);
	cr_expect_str_eq(why, want);
}
