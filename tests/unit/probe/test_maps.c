/* SPDX-License-Identifier: BSD-2-Clause */
/* /proc/PID/maps: identity of mapped files, odd paths, gaps; and reading memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "probe/probe.h"

static const struct probe_mapping *at(const struct probe_maps *maps, const void *p)
{
	for (size_t i = 0; i < maps->n; i++)
		if ((u64)p >= maps->v[i].start && (u64)p < maps->v[i].end)
			return &maps->v[i];
	return NULL;
}

Test(maps, own_executable)
{
	struct probe_maps maps = {0};
	const struct probe_mapping *m;
	struct osl_ident file;
	struct stat st;
	char exe[512] = {0};

	cr_assert_eq(probe_maps_read(getpid(), &maps), 0);
	m = at(&maps, (const void *)(uintptr_t)probe_maps_read);
	cr_assert_not_null(m);
	cr_assert_eq(stat("/proc/self/exe", &st), 0);
	cr_assert_gt(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
	cr_expect_eq(m->file.dev, st.st_dev, "dev as stat(2) has it");
	cr_expect_eq(m->file.ino, st.st_ino);
	cr_expect_str_eq(m->path, exe);
	cr_expect(m->prot == (PROT_READ | PROT_EXEC) && !m->shared && !m->deleted);
	file = m->file;
	cr_expect_eq(probe_maps_find(&maps, &file, m->offset), m);
	cr_expect_eq(probe_maps_find(&maps, &file, m->offset + (m->end - m->start) - 1), m);
	cr_expect_null(probe_maps_find(&maps, &file, m->offset + (m->end - m->start)));
	file.ino++;
	cr_expect_null(probe_maps_find(&maps, &file, m->offset));
	probe_maps_free(&maps);
	probe_maps_free(&maps);
	cr_expect_eq(maps.n, 0);
}

Test(maps, odd_paths)
{
	char dir[] = "/tmp/probe maps XXXXXX", path[64], gone[64];
	struct probe_maps maps = {0};
	const struct probe_mapping *m;
	void *p, *q;
	int fd;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a b\nc", dir);
	snprintf(gone, sizeof(gone), "%s/gone", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	cr_assert_eq(ftruncate(fd, 4096), 0);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	fd = open(gone, O_RDWR | O_CREAT, 0600);
	cr_assert_eq(ftruncate(fd, 4096), 0);
	q = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	unlink(gone);
	cr_assert_eq(probe_maps_read(getpid(), &maps), 0);
	unlink(path);
	rmdir(dir);
	m = at(&maps, p);
	cr_expect_str_eq(m->path, path);
	cr_expect(m->shared && !m->deleted && m->prot == PROT_READ);
	m = at(&maps, q);
	cr_expect_str_eq(m->path, gone);
	cr_expect(m->deleted && !m->shared && m->file.ino);
	probe_maps_free(&maps);
}

Test(maps, anonymous_memory)
{
	struct probe_maps maps = {0};
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_eq(probe_maps_read(getpid(), &maps), 0);
	cr_expect(at(&maps, p)->file.ino == 0 && at(&maps, p)->file.dev == 0);
	cr_expect_str_eq(at(&maps, p)->path, "");
	probe_maps_free(&maps);
}

Test(maps, no_such_process)
{
	struct probe_maps maps = {.n = 7};

	cr_expect_eq(probe_maps_read(0x3ffffffe, &maps), -ESRCH);
	cr_expect_eq(maps.n, 7, "unchanged");
}

/* --- gaps --- */

static char empty[] = "", heap[] = "[heap]", stack[] = "[stack]";
static struct probe_mapping table[] = {
	{.start = 0x400000, .end = 0x500000, .path = empty},
	{.start = 0x600000, .end = 0x700000, .path = heap},
	{.start = 0x7f0000000000, .end = 0x7f0000010000, .path = empty},
	{.start = 0x7f0000011000, .end = 0x7f0000020000, .path = empty},
	{.start = 0x7ffffff00000, .end = 0x7ffffffff000, .path = stack},
};
static const struct probe_maps tables = {table, ARRAY_SIZE(table)};

Test(maps, nearest_gap)
{
	cr_expect_eq(probe_maps_gap(&tables, 0, ~0ull, 0x7f0000004000, 4096), 0x7efffffff000);
	cr_expect_eq(probe_maps_gap(&tables, 0, ~0ull, 0x7f000000c000, 4096), 0x7f0000010000);
	cr_expect_eq(probe_maps_gap(&tables, 0, ~0ull, 0x7f000000c000, 8192), 0x7effffffe000,
		     "two pages do not fit");
	cr_expect_eq(probe_maps_gap(&tables, 0, ~0ull, 0x7f0000018000, 1), 0x7f0000010000);
	cr_expect_eq(probe_maps_gap(&tables, 0x500000, 0x5fffff, 0x400000, 0x100000), 0x500000);
	cr_expect_eq(probe_maps_gap(&tables, 0x500000, 0x5ffffe, 0x400000, 0x100000), 0,
		     "a byte short");
	cr_expect_eq(probe_maps_gap(&tables, 0x500001, 0x5fffff, 0x5f0000, 0x1000), 0x5f0000);
	cr_expect_eq(probe_maps_gap(&tables, 0x400000, 0x4fffff, 0x400000, 0x1000), 0, "taken");
	cr_expect_eq(probe_maps_gap(&tables, 0, 0x3fffff, 0, 0x1000), 0x10000,
		     "not below mmap_min");
	cr_expect_eq(probe_maps_gap(&tables, 0, ~0ull, 0x400000, 0), 0, "nothing asked for");
}

Test(maps, heap_and_stack_keep_their_room)
{
	u64 after_heap = probe_maps_gap(&tables, 0x700000, 0x7effffffffff, 0x700000, 4096);
	u64 below_stack = probe_maps_gap(&tables, 0x7f0000020000, ~0ull, 0x7ffffff00000, 4096);

	cr_expect_geq(after_heap, 0x700000 + (256ull << 20));
	cr_expect(below_stack && below_stack < 0x7ffffff00000 - (32ull << 20));
}

/* A gigabyte; in the first 4 GiB, where other places are few, less, but twice what there is. */
Test(maps, room_of_a_heap)
{
	cr_expect_eq(probe_heap_room(0x555500000000, 0x555500100000), 1ull << 30);
	cr_expect_eq(probe_heap_room(0x600000, 0x700000), 256ull << 20);
	cr_expect_eq(probe_heap_room(0x10000000, 0x30000000), 1ull << 30);
}

/* What is free is what gap finds there. */
Test(maps, free_as_gap_has_it)
{
	static const u64 from[] = {0x8000,
				   0x3f0000,
				   0x600000,
				   0x7f0000000000 - 0x8000,
				   0x7ffffff00000 - 0x8000,
				   0x7ffffff00000 + 0x18000};

	for (u32 i = 0; i < ARRAY_SIZE(from); i++)
		for (u64 at = from[i]; at < from[i] + 0x20000; at += 4096) {
			bool gap = probe_maps_gap(&tables, at, at + 4095, at, 4096) == at;

			cr_expect_eq(probe_maps_is_free(&tables, at, 4096), gap, "%lx", (long)at);
		}
	cr_expect_not(probe_maps_is_free(&tables, 0x7ffffffff000, 4096), "not the user's");
}

/* What gap says is free is free. */
Test(maps, gap_of_a_live_process)
{
	struct probe_maps maps = {0};
	u64 here = (u64)(uintptr_t)probe_maps_gap, gap;

	cr_assert_eq(probe_maps_read(getpid(), &maps), 0);
	gap = probe_maps_gap(&maps, here - 0x70000000, here + 0x70000000, here, 0x10000);
	cr_assert(gap);
	cr_expect_eq(mmap((void *)gap, 0x10000, PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
		     (void *)gap);
	probe_maps_free(&maps);
}

/* --- reading memory --- */

Test(maps, read_memory)
{
	u8 *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 buf[32];

	memset(p, 0x5a, 4096);
	cr_assert_eq(mprotect(p + 4096, 4096, PROT_NONE), 0);
	cr_expect_eq(probe_read_memory(getpid(), (u64)p, buf, sizeof(buf)), sizeof(buf));
	cr_expect_eq(buf[31], 0x5a);
	munmap(p + 4096, 4096);
	cr_expect_eq(probe_read_memory(getpid(), (u64)p + 4080, buf, sizeof(buf)), 16, "short");
	cr_expect_lt(probe_read_memory(getpid(), 8, buf, sizeof(buf)), 0);
	cr_expect_eq(probe_read_memory(0x3ffffffe, (u64)p, buf, 1), -ESRCH);
}
