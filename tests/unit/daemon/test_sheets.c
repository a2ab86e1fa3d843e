/* SPDX-License-Identifier: BSD-2-Clause */
/* Sheets: what is put there is what a target maps, and nobody else writes it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/plan_jump.h"
#include "daemon/target.h"

/* daemon/main.c is not linked */
void daemon_check_idle(struct daemon *d)
{
}

void daemon_leave(struct daemon *d)
{
}

static struct target t;
static struct site one;

static void setup(void)
{
	t = (struct target){.sheets_fd = -1, .sites = &one, .nsites = 1};
	one.sheet = 1;
}

static void teardown(void)
{
	sheets_close(&t);
}

TestSuite(sheets, .init = setup, .fini = teardown);

#define PAGE 0x7f0000123000ull

/* A pad at offset @at of a page; the stub is @away from there. */
static struct arch_jump jump(u64 at, u64 away)
{
	return (struct arch_jump){.to = PAGE + at, .stub = PAGE + at + away};
}

static const u8 *mapped(u32 sheet)
{
	u8 *p = mmap(NULL, EBPFRT_PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, t.sheets_fd,
		     (off_t)sheet * EBPFRT_PAGE_SIZE);

	cr_assert_neq(p, MAP_FAILED);
	return p;
}

Test(sheets, a_target_sees_what_is_put)
{
	struct arch_jump j = jump(0x100, 0x12345);
	u8 want[ARCH_JUMP_LEN];
	const u8 *p;

	cr_assert(sheets_put(&t, 3, &j));
	arch_jump_bytes(j.to, j.stub, want);
	p = mapped(2);
	cr_assert_eq(memcmp(p + 0x100, want, sizeof(want)), 0);
	cr_assert_eq(p[0xff], ARCH_BREAK);
	cr_assert_eq(p[0x105], ARCH_BREAK);
	/* later ones show where it is mapped already */
	j = jump(0x200, 0x777);
	cr_assert(sheets_put(&t, 3, &j));
	cr_assert_eq(p[0x200], ARCH_JUMP);
	/* those before it are there, too */
	p = mapped(0);
	for (u32 i = 0; i < EBPFRT_PAGE_SIZE; i++)
		cr_assert_eq(p[i], ARCH_BREAK);
}

Test(sheets, nothing_is_changed_that_is_there)
{
	struct arch_jump j = jump(0x100, 0x12345), same = j, over = jump(0x104, 1),
			 before = jump(0xfc, 1);

	cr_assert(sheets_put(&t, 1, &j));
	cr_assert(sheets_put(&t, 1, &same), "it is there");
	same.stub++;
	cr_assert_not(sheets_put(&t, 1, &same));
	cr_assert_not(sheets_put(&t, 1, &over));
	cr_assert_not(sheets_put(&t, 1, &before));
	cr_assert(sheets_put(&t, 2, &over), "on another one");
}

Test(sheets, what_is_out_of_it_is_refused)
{
	struct arch_jump j = jump(EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN, 9), past = jump(0xffc, 9);

	cr_assert(sheets_put(&t, PLAN_SHEETS, &j));
	cr_assert_not(sheets_put(&t, 1, &past));
	cr_assert_not(sheets_put(&t, 0, &j));
	cr_assert_not(sheets_put(&t, PLAN_SHEETS + 1, &j));
	cr_assert_not(sheets_put(&t, ~0u, &j));
}

Test(sheets, a_target_cannot_write)
{
	struct arch_jump j = jump(0, 9);
	void *p;

	cr_assert(sheets_put(&t, 1, &j));
	p = (void *)mapped(0);
	cr_assert(mprotect(p, EBPFRT_PAGE_SIZE, PROT_READ | PROT_WRITE));
	cr_assert_eq(
		mmap(NULL, EBPFRT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t.sheets_fd, 0),
		MAP_FAILED);
	cr_assert_eq(pwrite(t.sheets_fd, "x", 1, 0), -1);
	cr_assert_eq(ftruncate(t.sheets_fd, 0), -1);
}

Test(sheets, closed_ones_stay_as_they_are)
{
	struct arch_jump j = jump(0x100, 0x12345);
	const u8 *p;

	cr_assert(sheets_put(&t, 1, &j));
	p = mapped(0);
	sheets_close(&t);
	cr_assert_eq(one.sheet, 0, "no pad comes to its page any more");
	sheets_close(&t);
	j = jump(0x100, 0x54321);
	cr_assert(sheets_put(&t, 1, &j), "a new one");
	cr_assert_neq(memcmp(p + 0x100, mapped(0) + 0x100, ARCH_JUMP_LEN), 0);
}
