/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large debug files that are compressed: of the copy the same types are made as of the file, in
 * less memory; where none can be made, of the file.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "btf/dwarf_conv.h"
#include "tests/unit/btf/convert.h"

#define PADDING_MB 96

/* In a folder of ours; on a disk, for nothing is written to memory. */
static void setup_folder(void)
{
	struct statfs fs;

	setup();
	setenv("XDG_CACHE_HOME", dir, 1);
	cr_assert_eq(statfs(dir, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		cr_skip_test("/tmp is in memory");
}

TestSuite(unpack, .init = setup_folder, .fini = teardown);

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* @name, with many more strings than anybody asks for, and places that say nothing of types. */
static void pad_and_compress(const char *name)
{
	cr_assert_eq(shell("objcopy --dump-section .debug_str=str %s padded && "
			   "truncate -s +%uM str && objcopy --update-section .debug_str=str "
			   "--add-section .debug_loc=str %s padded && "
			   "objcopy --compress-debug-sections=zlib padded %s && rm str padded",
			   name, PADDING_MB, name, name),
		     0);
}

static int unpack(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), unpacked = fd < 0 ? -1 : dwarf_unpack(fd);

	cr_assert(fd >= 0);
	close(fd);
	return unpacked;
}

static void expect_same(struct btf *a, struct btf *b)
{
	u32 alen, blen;
	const void *araw = btf__raw_data(a, &alen), *braw = btf__raw_data(b, &blen);

	cr_assert_eq(alen, blen);
	cr_expect(!memcmp(araw, braw, alen));
	btf__free(a);
	btf__free(b);
}

static void expect_plain(int fd)
{
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	Elf_Scn *scn = NULL;
	u64 largest = 0;
	size_t strndx;

	cr_assert_eq(elf_getshdrstrndx(elf, &strndx), 0);
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;

		cr_assert_not_null(gelf_getshdr(scn, &sh));
		cr_expect(!(sh.sh_flags & SHF_COMPRESSED));
		if (!strcmp(elf_strptr(elf, strndx, sh.sh_name), ".debug_loc"))
			cr_expect_eq(sh.sh_type, SHT_NOBITS, "it is left out");
		if (sh.sh_type != SHT_NOBITS)
			largest = MAX(largest, (u64)sh.sh_size);
	}
	cr_expect(largest > (u64)PADDING_MB << 20);
	elf_end(elf);
}

Test(unpack, copy_has_no_name_and_is_not_compressed)
{
	const char *path = compile("large.so", "shapes.c", "");
	struct stat st;
	int fd;

	elf_version(EV_CURRENT);
	cr_expect(unpack(path) < 0, "it is small and not compressed");
	cr_assert_eq(shell("objcopy --compress-debug-sections=zlib large.so little.so"), 0);
	cr_expect(unpack(in_dir("little.so")) < 0, "it is small");
	pad_and_compress("large.so");
	fd = unpack(in_dir("large.so"));
	cr_assert(fd >= 0);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_nlink, 0);
	expect_plain(fd);
	close(fd);
	cr_expect_eq(shell("test -z \"$(ls -A ebpfrt/btf)\""), 0);
}

Test(unpack, same_types)
{
	struct btf *plain = convert(compile("large.so", "shapes.c", ""));

	pad_and_compress("large.so");
	expect_same(convert(in_dir("large.so")), plain);
}

Test(unpack, same_types_of_a_debug_file)
{
	struct btf *plain = convert(compile("linked.so", "shapes.c", "-Wl,--build-id=none"));

	cr_assert_eq(shell("mkdir .debug && objcopy --only-keep-debug linked.so linked.dbg"), 0);
	pad_and_compress("linked.dbg");
	cr_assert_eq(shell("mv linked.dbg .debug && strip -g linked.so && "
			   "objcopy --add-gnu-debuglink=.debug/linked.dbg linked.so"),
		     0);
	expect_same(convert(in_dir("linked.so")), plain);
}

/* The binary names it by a way from its own place, which the copy doesn't have. */
Test(unpack, same_types_with_a_supplementary_file)
{
	struct btf *plain;

	if (shell("dwz --version"))
		cr_skip_test("no dwz");
	compile("one.so", "shapes.c", "-gdwarf-4");
	compile("two.so", "shapes.c", "-gdwarf-4 -O2");
	cr_assert_eq(shell("mkdir at && dwz -m common -M ../common one.so two.so && "
			   "mv one.so at/one.so"),
		     0);
	plain = convert(in_dir("at/one.so"));
	pad_and_compress("common");
	pad_and_compress("at/one.so");
	expect_same(convert(in_dir("at/one.so")), plain);
}

/* The most that a conversion has in memory, in KB. */
static long peak_of(const char *path)
{
	struct rusage used;
	int status;
	pid_t pid = fork();

	if (!pid) {
		btf__free(convert(path));
		_exit(0);
	}
	cr_assert_eq(wait4(pid, &status, 0, &used), pid);
	cr_assert_eq(status, 0);
	return used.ru_maxrss;
}

Test(unpack, less_memory)
{
	long with, without;

	compile("large.so", "shapes.c", "");
	pad_and_compress("large.so");
	with = peak_of(in_dir("large.so"));
	setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
	without = peak_of(in_dir("large.so"));
	cr_expect(with + (PADDING_MB << 10) * 3 / 4 < without, "%ld and %ld KB", with, without);
}

/* --- where there is no copy */

Test(unpack, no_folder_or_no_room)
{
	const struct rlimit little = {1 << 20, 1 << 20};
	struct btf *plain = convert(compile("large.so", "shapes.c", ""));

	pad_and_compress("large.so");
	setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
	cr_expect(unpack(in_dir("large.so")) < 0);
	setenv("XDG_CACHE_HOME", dir, 1);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
	cr_expect(unpack(in_dir("large.so")) < 0, "files may be 1 MB large");
	expect_same(convert(in_dir("large.so")), plain);
}

static u64 place_of(const char *path, const char *section, u64 *header)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	Elf_Scn *scn = NULL;
	GElf_Shdr sh = {0};
	GElf_Ehdr eh;
	size_t strndx;

	cr_assert(elf && gelf_getehdr(elf, &eh) && !elf_getshdrstrndx(elf, &strndx));
	while ((scn = elf_nextscn(elf, scn)) && gelf_getshdr(scn, &sh)) {
		if (!strcmp(elf_strptr(elf, strndx, sh.sh_name), section))
			break;
	}
	cr_assert_not_null(scn);
	*header = eh.e_shoff + elf_ndxscn(scn) * sizeof(Elf64_Shdr);
	elf_end(elf);
	close(fd);
	return sh.sh_offset;
}

struct damage {
	const char *what;
	bool of_header; /* the section's header, else what begins it */
	u64 at, value;
};

static void write_damage(const char *path, const struct damage *d, u64 place, u64 header)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	cr_assert_eq(pwrite(fd, &d->value, 8, (off_t)(d->at + (d->of_header ? header : place))), 8);
	close(fd);
}

Test(unpack, damaged)
{
	static const struct damage damages[] = {
		{"no zlib", false, 0, 99},
		{"more bytes", false, offsetof(Elf64_Chdr, ch_size), (PADDING_MB + 4) << 20},
		{"fewer bytes", false, offsetof(Elf64_Chdr, ch_size), (PADDING_MB - 4) << 20},
		{"more than there is room", false, offsetof(Elf64_Chdr, ch_size), 1ull << 62},
		{"no stream", false, sizeof(Elf64_Chdr), 0},
		{"a broken stream", false, sizeof(Elf64_Chdr) + 300, 0x1234567812345678},
		{"the section is beyond the file", true, offsetof(Elf64_Shdr, sh_offset), 1 << 30},
		{"its end is", true, offsetof(Elf64_Shdr, sh_size), ~0ull},
		{"it ends early", true, offsetof(Elf64_Shdr, sh_size), 500},
		{"there is nothing in it", true, offsetof(Elf64_Shdr, sh_size), 3},
	};
	u64 place, header;

	elf_version(EV_CURRENT);
	compile("large.so", "shapes.c", "");
	pad_and_compress("large.so");
	place = place_of(in_dir("large.so"), ".debug_str", &header);
	for (u32 i = 0; i < ARRAY_SIZE(damages); i++) {
		cr_assert_eq(shell("cp large.so damaged.so"), 0);
		write_damage(in_dir("damaged.so"), &damages[i], place, header);
		cr_expect(unpack(in_dir("damaged.so")) < 0, "%s", damages[i].what);
	}
	cr_expect_eq(shell("test -z \"$(ls -A ebpfrt/btf)\""), 0);
}
