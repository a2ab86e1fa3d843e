/* SPDX-License-Identifier: BSD-2-Clause */
/* Specs: libbpf's section names, bpftrace's and bcc's spelling, and their errors. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/spec.h"

static char why[SPEC_WHY_MAX];
static struct spec spec;

static void expect(const char *text, enum spec_kind kind, bool ret, const char *path,
		   const char *func, u64 offset)
{
	cr_assert_eq(spec_parse(text, &spec, why), 0, "%s: %s", text, why);
	cr_expect_eq(spec.kind, kind, "%s", text);
	cr_expect_eq(spec.ret, ret, "%s", text);
	cr_expect_str_eq(spec.path, path);
	cr_expect_str_eq(spec.func, func);
	cr_expect_eq(spec.offset, offset);
}

Test(spec, section_names)
{
	expect("uprobe/libc.so.6:malloc", SPEC_UPROBE, false, "libc.so.6", "malloc", 0);
	expect("uprobe//usr/bin/x:f+0x10", SPEC_UPROBE, false, "/usr/bin/x", "f", 16);
	expect("uprobe.s/libc.so.6:f+8", SPEC_UPROBE, false, "libc.so.6", "f", 8);
	expect("uretprobe/libc.so.6:malloc", SPEC_UPROBE, true, "libc.so.6", "malloc", 0);
	expect("uprobe.multi/libc.so.6:*alloc", SPEC_MULTI, false, "libc.so.6", "*alloc", 0);
	expect("uretprobe.multi.s/libc.so.6:m?", SPEC_MULTI, true, "libc.so.6", "m?", 0);
	expect("uprobe.session/libc.so.6:m*", SPEC_MULTI, false, "libc.so.6", "m*", 0);
	cr_expect(spec.session && spec.multi && !spec.sleepable);
	expect("uprobe.session.s:c:f", SPEC_MULTI, false, "c", "f", 0);
	cr_expect(spec.session && spec.multi && spec.sleepable);
	cr_expect(!spec.typed);
	expect("uentry/libc.so.6:malloc", SPEC_UPROBE, false, "libc.so.6", "malloc", 0);
	cr_expect(spec.typed);
	cr_expect_str_eq(spec_kind_name(&spec), "uentry");
	expect("uexit//usr/bin/x:f", SPEC_UPROBE, true, "/usr/bin/x", "f", 0);
	cr_expect(spec.typed);
	cr_expect_str_eq(spec_kind_name(&spec), "uexit");
	cr_expect_eq(spec_parse("uexit/x:f+1", &spec, why), -EINVAL);
	cr_expect_str_eq(why, "'uexit/x:f+1': typed probes take no offset");
	expect("uprobe/libc.so.6:memcpy@GLIBC_2.2.5", SPEC_UPROBE, false, "libc.so.6",
	       "memcpy@GLIBC_2.2.5", 0);
}

Test(spec, other_spellings)
{
	expect("uprobe:/bin/x:f", SPEC_UPROBE, false, "/bin/x", "f", 0);
	expect("p:c:malloc", SPEC_UPROBE, false, "c", "malloc", 0);
	expect("r:c:malloc", SPEC_UPROBE, true, "c", "malloc", 0);
	expect("p::main", SPEC_UPROBE, false, "", "main", 0);
	expect("uprobe:x:0x1234", SPEC_UPROBE, false, "x", "0x1234", 0);
	expect("uprobe/x:operator+", SPEC_UPROBE, false, "x", "operator+", 0);
}

Test(spec, usdt)
{
	expect("usdt/libstdc++.so.6:libstdcxx:throw", SPEC_USDT, false, "libstdc++.so.6", "throw",
	       0);
	cr_expect_str_eq(spec.provider, "libstdcxx");
}

Test(spec, no_place_and_no_meaning)
{
	cr_expect(!spec_parse("uprobe", &spec, why) && spec.kind == SPEC_NONE);
	cr_expect(!spec_parse("uretprobe.s", &spec, why) && spec.kind == SPEC_NONE && spec.ret);
	cr_expect(!spec_parse("uprobe.multi", &spec, why) && spec.kind == SPEC_NONE && spec.multi);
	cr_expect(!spec_parse("uprobe.session", &spec, why) && spec.kind == SPEC_NONE);
	cr_expect(spec.multi && spec.session);
	cr_expect(!spec_parse("usdt.s", &spec, why) && spec.kind == SPEC_NONE && spec.sleepable);
	cr_expect(!spec_parse("xdp", &spec, why) && spec.kind == SPEC_OTHER);
	cr_expect(!spec_parse("kprobe/do_exit", &spec, why) && spec.kind == SPEC_OTHER);
	cr_expect(!spec_parse("", &spec, why) && spec.kind == SPEC_OTHER);
}

static void refuse(const char *text, const char *sentence)
{
	spec.offset = 77;
	cr_expect_eq(spec_parse(text, &spec, why), -EINVAL, "%s", text);
	cr_expect_str_eq(why, sentence);
	cr_expect_eq(spec.offset, 77, "unchanged on failure");
}

Test(spec, refused)
{
	refuse("uprobe/libc.so.6",
	       "'uprobe/libc.so.6' names no function: write uprobe/FILE:FUNCTION");
	refuse("uprobe/libc.so.6:",
	       "'uprobe/libc.so.6:' names no function: write uprobe/FILE:FUNCTION");
	refuse("uretprobe/c:f+4", "'uretprobe/c:f+4': return probes take no offset");
	refuse("usdt/c:probe", "'usdt/c:probe' is not complete: write usdt/FILE:PROVIDER:NAME");
}

/* --- places, in this process --- */

static struct spec_scope self(void)
{
	return (struct spec_scope){.pid = getpid()};
}

Test(place, library_that_is_mapped)
{
	struct spec_scope scope = self();
	char path[PATH_MAX];

	cr_assert_eq(spec_find_file("libc.so.6", &scope, path, why), 0, "%s", why);
	cr_expect_not_null(strstr(path, "libc"));
	cr_expect_eq(spec_find_file("c", &scope, path, why), 0);
	cr_expect_eq(spec_find_file("libc", &scope, path, why), 0);
	cr_expect_eq(spec_find_file("/proc/self/exe", &scope, path, why), 0);
	cr_expect_not_null(strstr(path, "test_spec"));
}

Test(place, function_of_a_library)
{
	struct spec_scope scope = self();
	struct place place = {0};
	struct stat st;

	cr_assert_eq(spec_parse("uprobe/libc.so.6:malloc+4", &spec, why), 0);
	cr_assert_eq(spec_resolve(&spec, &scope, &place, why), 0, "%s", why);
	cr_assert_eq(stat(place.path, &st), 0);
	cr_expect_eq(place.ino, st.st_ino);
	cr_expect_str_eq(place.name, "malloc");
	cr_expect_gt(place.offset, 4);
	place_deinit(&place);
}

Test(place, globs_match_many)
{
	struct spec_scope scope = self();
	struct place place = {0};

	cr_assert_eq(spec_parse("uprobe.multi/libc.so.6:pthread_mutex_*", &spec, why), 0);
	cr_assert_eq(spec_resolve(&spec, &scope, &place, why), 0, "%s", why);
	cr_expect_gt(place.npoints, 3);
	for (u32 i = 1; i < place.npoints; i++)
		cr_expect_gt(place.points[i].offset, place.points[i - 1].offset,
			     "each place once, whatever its names");
	place_deinit(&place);
	cr_expect_eq(place.npoints, 0);
}

Test(place, ifunc_of_a_library_we_have_too)
{
	struct spec_scope scope = self();
	struct place place = {0};

	cr_assert_eq(spec_parse("uprobe/libc.so.6:strlen", &spec, why), 0);
	cr_expect_eq(spec_resolve(&spec, &scope, &place, why), 0, "%s", why);
}

static void refuse_place(const char *text, const char *part)
{
	struct spec_scope scope = self();
	struct place place = {0};

	cr_assert_eq(spec_parse(text, &spec, why), 0);
	cr_expect_lt(spec_resolve(&spec, &scope, &place, why), 0);
	cr_expect_not_null(strstr(why, part), "%s", why);
	cr_expect_null(place.points);
}

Test(place, refused)
{
	refuse_place("uprobe/libc.so.6:strlem", "no function 'strlem'");
	refuse_place("uprobe/libc.so.6:strlem", "did you mean");
	refuse_place("uprobe/libnothing.so.9:f",
		     "no file 'libnothing.so.9': not mapped by the target");
	refuse_place("uprobe//nowhere/x:f", "/nowhere/x: No such file or directory");
	refuse_place("uprobe.multi/libc.so.6:no_such_*", "matches 'no_such_*'");
	refuse_place("uprobe/libc.so.6:malloc+0x100000", "lies outside the function");
}
