/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbols of real files, words for what is missing, and files that lie. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <limits.h>

#include "probe/probe.h"
#include "probe/probe_priv.h"

#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"
#define SELF "/proc/self/exe"

static struct probe_elf *open_elf(const char *path)
{
	struct probe_elf *e = NULL;
	char why[PROBE_WHY_MAX] = "";

	if (access(path, R_OK))
		cr_skip_test("no %s", path);
	cr_assert_eq(probe_elf_open(path, &e, why), 0, "%s", why);
	return e;
}

__attribute__((noinline, used)) static int test_elf_local_function(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

int test_elf_global_function(int x);
__attribute__((noinline)) int test_elf_global_function(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x - 1;
}

/* Offset in the file, by what the loader did. */
static u64 offset_of(const void *p)
{
	struct probe_maps maps = {0};
	u64 offset = 0;

	cr_assert_eq(probe_maps_read(getpid(), &maps), 0);
	for (size_t i = 0; i < maps.n; i++)
		if ((u64)p >= maps.v[i].start && (u64)p < maps.v[i].end)
			offset = (u64)p - maps.v[i].start + maps.v[i].offset;
	probe_maps_free(&maps);
	return offset;
}

Test(elf, own_functions)
{
	struct probe_elf *e = open_elf(SELF);
	struct probe_symbol sym, at;
	char why[PROBE_WHY_MAX];

	cr_assert_eq(probe_elf_symbol(e, "test_elf_global_function", &sym, why), 0, "%s", why);
	cr_expect_eq(sym.offset, offset_of((void *)(uintptr_t)test_elf_global_function));
	cr_expect(sym.size > 0 && !sym.ifunc);
	cr_expect_eq(probe_elf_offset_to_addr(e, sym.offset), sym.addr);
	cr_assert_eq(probe_elf_symbol_at(e, sym.offset + sym.size - 1, &at), 0);
	cr_expect_str_eq(at.name, "test_elf_global_function");
	cr_assert_eq(probe_elf_symbol(e, "test_elf_local_function", &sym, why), 0, "%s", why);
	cr_expect_eq(sym.offset, offset_of((void *)(uintptr_t)test_elf_local_function));
	cr_expect_eq(probe_elf_symbol_at(e, 0, &at), -ENOENT);
	cr_expect_eq(probe_elf_offset_to_addr(e, 1ull << 40), ~0ull);
	cr_expect(!probe_elf_is_go(e) && !probe_elf_knows_returns(e));
	probe_elf_free(&e);
	cr_expect_null(e);
	probe_elf_free(&e);
}

Test(elf, runtimes_that_know_return_addresses)
{
	static const struct {
		const char *name;
		bool defined, mark;
	} cases[] = {
		{"JNI_CreateJavaVM", true, true},
		{"JNI_CreateJavaVM", false, false}, /* of who starts one */
		{"JNI_CreateJavaVM2", true, false},
		{"_ZN2v87Isolate10GetCurrentEv", true, true},
		{"_ZN2v87Isolate10GetCurrentEv", false, true}, /* it is called by V8 */
		{"_ZNK2v85Value8IsStringEv", false, true},
		{"_ZN3foo2v8Ev", true, false},
		{"camlStdlib__frametable", true, true},
		{"camlStdlib__frametable", false, false},
		{"__frametable", true, false},
		{"caml_frametable", true, true},
		{"caml_frametable", false, false},
		{"malloc", true, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(probe_marks_returns(cases[i].name, cases[i].defined), cases[i].mark,
			     "%s, %d", cases[i].name, cases[i].defined);
}

Test(elf, versions_and_ifuncs)
{
	struct probe_elf *e = open_elf(LIBC);
	struct probe_symbol newest, oldest, again;
	char why[PROBE_WHY_MAX];

	cr_assert_eq(probe_elf_symbol(e, "memcpy", &newest, why), 0, "%s", why);
	cr_assert_eq(probe_elf_symbol(e, "memcpy@GLIBC_2.2.5", &oldest, why), 0, "%s", why);
	cr_expect_neq(newest.addr, oldest.addr);
	cr_expect_str_eq(newest.name, "memcpy");
	cr_expect_str_eq(oldest.name, "memcpy@GLIBC_2.2.5");
	cr_expect(newest.ifunc && !oldest.ifunc);
	cr_assert_eq(probe_elf_symbol(e, "memcpy@@GLIBC_2.14", &again, why), 0, "%s", why);
	cr_expect_eq(again.addr, newest.addr);
	cr_assert_eq(probe_elf_symbol(e, "memcpy@GLIBC_2.14", &again, why), 0, "%s", why);
	cr_expect_eq(again.addr, newest.addr);
	cr_expect_eq(probe_elf_symbol(e, "memcpy@@GLIBC_2.2.5", &again, why), -ENOENT);
	probe_elf_free(&e);
}

Test(elf, near_misses)
{
	struct probe_elf *e = open_elf(LIBC);
	struct probe_symbol sym;
	char why[PROBE_WHY_MAX];

	cr_expect_eq(probe_elf_symbol(e, "strlem", &sym, why), -ENOENT);
	cr_expect_eq(strncmp(why, "no function 'strlem' in " LIBC " (did you mean strlen",
			     strlen("no function 'strlem' in " LIBC " (did you mean strlen")),
		     0, "%s", why);
	cr_expect_eq(probe_elf_symbol(e, "aligned_allo", &sym, why), -ENOENT);
	cr_expect(strstr(why, "aligned_alloc"), "%s", why);
	cr_expect_eq(probe_elf_symbol(e, "qzxjvkwpqzxjvkwp", &sym, why), -ENOENT);
	cr_expect_str_eq(why, "no function 'qzxjvkwpqzxjvkwp' in " LIBC);
	probe_elf_free(&e);
}

static int count(const struct probe_symbol *sym, void *cookie)
{
	size_t *n = cookie;

	cr_assert(sym->name && *sym->name);
	return ++*n == 10 ? 42 : 0;
}

Test(elf, each_stops_when_told)
{
	struct probe_elf *e = open_elf(SELF);
	size_t n = 0;

	cr_expect_eq(probe_elf_each(e, count, &n), 42);
	cr_expect_eq(n, 10);
	probe_elf_free(&e);
}

Test(elf, data_symbols)
{
	struct probe_elf *e = open_elf(LIBC);
	u64 addr = 0;

	cr_expect_eq(probe_elf_data_symbol(e, "stdout", &addr), 0);
	cr_expect(addr);
	cr_expect_eq(probe_elf_data_symbol(e, "no_such_thing", &addr), -ENOENT);
	probe_elf_free(&e);
}

/* --- files that are none --- */

static void refused(const char *path, int err, const char *words)
{
	struct probe_elf *e = NULL;
	char why[PROBE_WHY_MAX] = "";
	int got = probe_elf_open(path, &e, why);

	cr_expect_eq(got, err, "%s: %d", path, got);
	cr_expect_str_eq(why, words);
	cr_expect_null(e);
}

Test(elf, not_elf_files)
{
	refused("/no/such/file", -ENOENT, "cannot open /no/such/file: No such file or directory");
	refused("/tmp", -EINVAL, "/tmp is not a regular file");
	refused("/dev/zero", -EINVAL, "/dev/zero is not a regular file");
	refused("/etc/passwd", -ENOEXEC, "/etc/passwd is not an ELF file, or a damaged one");
}

static void *load_self(size_t *size)
{
	int fd = open(SELF, O_RDONLY | O_CLOEXEC);
	struct stat st;
	u8 *copy;

	cr_assert_eq(fstat(fd, &st), 0);
	*size = (size_t)st.st_size;
	copy = malloc(*size);
	cr_assert_eq(read(fd, copy, *size), (ssize_t)*size);
	close(fd);
	return copy;
}

static int try_bytes(const u8 *bytes, size_t n, char why[PROBE_WHY_MAX])
{
	int fd = memfd_create("elf", MFD_CLOEXEC), err;
	struct probe_elf *e = NULL;
	struct probe_symbol sym;
	char path[64];
	size_t seen = 0;

	cr_assert_eq(write(fd, bytes, n), (ssize_t)n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = probe_elf_open(path, &e, why);
	if (!err) {
		struct arch_patch p;
		char more[PROBE_WHY_MAX];
		u8 text[16] = {0};

		probe_elf_each(e, count, &seen);
		probe_elf_symbol(e, "mainn", &sym, more);
		if (!probe_elf_symbol(e, "test_elf_global_function", &sym, more))
			probe_plan(e, sym.offset + 4, 0x555555555000 + sym.addr, text, sizeof(text),
				   &p, more);
		probe_elf_is_go(e);
	}
	probe_elf_free(&e);
	close(fd);
	return err;
}

Test(elf, another_machine)
{
	char why[PROBE_WHY_MAX];
	size_t n;
	u8 *bytes = load_self(&n);

	if (!arch_elf_machine)
		cr_skip_test("no file is refused for its machine where none can be probed");
	bytes[18] = 183; /* aarch64 */
	cr_expect_eq(try_bytes(bytes, n, why), -ENOEXEC);
	cr_expect(strstr(why, "is for another machine (ELF class 2, machine 183)"), "%s", why);
	bytes[18] = 62;
	bytes[16] = 1;
	cr_expect_eq(try_bytes(bytes, n, why), -ENOEXEC);
	cr_expect(strstr(why, "is neither an executable nor a shared library (ELF type 1)"), "%s",
		  why);
	free(bytes);
}

Test(elf, truncated_anywhere)
{
	char why[PROBE_WHY_MAX];
	size_t n;
	u8 *bytes = load_self(&n);

	for (size_t cut = 0; cut < 200; cut++)
		cr_expect_eq(try_bytes(bytes, cut, why), -ENOEXEC, "cut to %zu", cut);
	for (size_t cut = 200; cut < n; cut += n / 150) {
		int err;

		why[0] = 0;
		err = try_bytes(bytes, cut, why);
		cr_expect(!err || (err == -ENOEXEC && why[0]), "cut to %zu: %d", cut, err);
	}
	free(bytes);
}

/* Damage in the headers and tables: an error or an answer, never a crash. */
Test(elf, damaged_at_random)
{
	unsigned int seed = (unsigned int)getpid();
	char why[PROBE_WHY_MAX];
	size_t n;
	u8 *good = load_self(&n), *bytes = malloc(n);

	cr_log_info("seed %u", seed);
	for (int i = 0; i < 150; i++) {
		memcpy(bytes, good, n);
		for (int k = 0; k < 1 + i % 20; k++)
			bytes[rand_r(&seed) % 0x400] = (u8)rand_r(&seed);
		for (int k = 0; k < 40; k++) /* the section table is at the end */
			bytes[n - 1 - (size_t)rand_r(&seed) % 0xc00] = (u8)rand_r(&seed);
		memcpy(bytes, good, i % 3 ? 18 : 64);
		try_bytes(bytes, n, why);
	}
	free(bytes);
	free(good);
}

Test(elf, noise)
{
	unsigned int seed = (unsigned int)getpid();
	u8 bytes[4096];
	char why[PROBE_WHY_MAX];

	cr_log_info("seed %u", seed);
	for (int i = 0; i < 200; i++) {
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (u8)rand_r(&seed);
		memcpy(bytes, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\76\0", i % 2 ? 20 : 4);
		cr_expect_eq(try_bytes(bytes, sizeof(bytes), why), -ENOEXEC);
	}
}

/* --- the file behind a mapping --- */

Test(elf, of_a_mapping)
{
	struct probe_maps maps = {0};
	struct probe_mapping m = {0};
	struct probe_elf *e = NULL;
	struct probe_symbol sym;
	char why[PROBE_WHY_MAX];

	cr_assert_eq(probe_maps_read(getpid(), &maps), 0);
	for (size_t i = 0; i < maps.n; i++)
		if ((u64)(uintptr_t)test_elf_global_function - maps.v[i].start <
		    maps.v[i].end - maps.v[i].start)
			m = maps.v[i];
	cr_assert_eq(probe_elf_open_mapping(getpid(), &m, &e, why), 0, "%s", why);
	cr_expect_eq(probe_elf_symbol(e, "test_elf_global_function", &sym, why), 0);
	probe_elf_free(&e);
	m.start++; /* no such mapping: the path is left, and it must be the same file */
	cr_assert_eq(probe_elf_open_mapping(getpid(), &m, &e, why), 0, "%s", why);
	probe_elf_free(&e);
	m.file.ino++;
	cr_expect_eq(probe_elf_open_mapping(getpid(), &m, &e, why), -ESTALE);
	cr_expect(strstr(why, "was replaced or deleted; restart the process to probe it"), "%s",
		  why);
	probe_maps_free(&maps);
}

static bool is_among(const struct probe_files *files, const char *end)
{
	for (u32 i = 0; i < files->n; i++) {
		size_t n = strlen(files->v[i]), k = strlen(end);

		if (n >= k && !strcmp(files->v[i] + n - k, end))
			return true;
	}
	return false;
}

/* What the loader has mapped here is what would be expected of it. */
Test(elf, needed_is_what_is_mapped)
{
	struct probe_files files;
	struct probe_maps maps;
	char exe[PATH_MAX] = "";

	cr_assert(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	cr_assert_eq(probe_files_needed(exe, &files), 0);
	cr_expect_str_eq(files.v[0], exe);
	cr_assert_eq(probe_maps_read(getpid(), &maps), 0);
	for (size_t i = 0; i < maps.n; i++) {
		const char *name = strrchr(maps.v[i].path, '/');

		if (name && strstr(name, ".so"))
			cr_expect(is_among(&files, name), "%s", maps.v[i].path);
	}
	probe_maps_free(&maps);
	probe_files_free(&files);
}

Test(elf, needed_names)
{
	struct probe_needed n = {0};

	cr_assert_eq(probe_needed_read("/lib/x86_64-linux-gnu/libz.so.1", &n), 0);
	cr_expect_str_eq(n.soname, "libz.so.1");
	cr_assert_eq(n.n, 1);
	cr_expect_str_eq(n.needed[0], "libc.so.6");
	cr_expect_null(n.runpath);
	probe_needed_free(&n);
	cr_expect_eq(probe_needed_read("/etc/passwd", &n), -ENOENT);
	cr_expect_eq(probe_needed_read("/nowhere", &n), -ENOENT);
	cr_expect_eq(probe_needed_read("/dev/null", &n), -ENOENT);
}

/* Its strings and segments are anything: no crash, no endless loop. */
Test(elf, needed_of_damaged_files)
{
	unsigned int seed = (unsigned int)getpid();
	char path[] = "/tmp/test_needed.XXXXXX", *data = malloc(20000);
	int in = open("/proc/self/exe", O_RDONLY), fd = mkstemp(path);
	ssize_t len = read(in, data, 20000);

	printf("# seed %u\n", seed);
	cr_assert(len > 4096 && fd >= 0);
	for (int i = 0; i < 300; i++) {
		struct probe_needed n = {0};
		struct probe_files files = {0};
		u8 was = 0;
		size_t at = rand_r(&seed) % 4096;

		was = (u8)data[at];
		data[at] = (char)rand_r(&seed);
		cr_assert_eq(pwrite(fd, data, (size_t)len, 0), len);
		data[at] = i % 3 ? (char)was : data[at];
		probe_needed_read(path, &n);
		probe_needed_free(&n);
		probe_files_needed(path, &files);
		probe_files_free(&files);
	}
	unlink(path);
	close(in);
	close(fd);
	free(data);
}
