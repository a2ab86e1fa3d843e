/* SPDX-License-Identifier: BSD-2-Clause */
/* The verifier log: which end of it a small buffer shows, and what it says it needed. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/load/load.h"

Test(log, all_of_it)
{
	char buf[32];
	struct ebpf_log log = {.buf = buf, .size = sizeof(buf), .level = 1};

	ebpf_log_printf(&log, "%d: %s\n", 1, "one");
	ebpf_log_printf(&log, "two\n");
	ebpf_log_end(&log);
	cr_assert_str_eq(buf, "1: one\ntwo\n");
	cr_assert_eq(log.len, 11);
	cr_assert_eq(log.total, 12);
}

Test(log, the_end_by_default)
{
	char buf[8];
	struct ebpf_log log = {.buf = buf, .size = sizeof(buf), .level = 1};

	ebpf_log_printf(&log, "abcdef");
	ebpf_log_printf(&log, "ghi");
	ebpf_log_end(&log);
	cr_assert_str_eq(buf, "cdefghi");
	ebpf_log_printf(&log, "0123456789");
	ebpf_log_end(&log);
	cr_assert_str_eq(buf, "3456789");
	cr_assert_eq(log.total, 20);
}

Test(log, the_beginning_with_fixed)
{
	char buf[8];
	struct ebpf_log log = {.buf = buf, .size = sizeof(buf), .level = 1 | 8};

	ebpf_log_printf(&log, "abcdef");
	ebpf_log_printf(&log, "ghi");
	ebpf_log_printf(&log, "jkl");
	ebpf_log_end(&log);
	cr_assert_str_eq(buf, "abcdefg");
	cr_assert_eq(log.total, 13);
}

Test(log, one_byte_and_no_buffer)
{
	char c = 'x';
	struct ebpf_log tiny = {.buf = &c, .size = 1, .level = 1};
	struct ebpf_log none = {0};

	ebpf_log_printf(&tiny, "abc");
	ebpf_log_end(&tiny);
	cr_assert_eq(c, '\0');
	ebpf_log_printf(&none, "abc");
	cr_assert_eq(none.total, 4);
}

Test(log, text_is_taken_back)
{
	char buf[8];
	struct ebpf_log log = {.buf = buf, .size = sizeof(buf), .level = 1};
	u64 pos;

	ebpf_log_printf(&log, "abc");
	pos = log.pos;
	ebpf_log_printf(&log, "defgh");
	ebpf_log_reset(&log, pos);
	ebpf_log_printf(&log, "XY");
	ebpf_log_end(&log);
	cr_assert_str_eq(buf, "bcXY");
	cr_assert_eq(log.total, 9, "the most that was needed");
}

Test(log, all_that_was_kept_is_taken_back)
{
	char buf[4];
	struct ebpf_log log = {.buf = buf, .size = sizeof(buf), .level = 1};

	ebpf_log_printf(&log, "ab");
	ebpf_log_printf(&log, "0123456789");
	ebpf_log_reset(&log, 2);
	ebpf_log_printf(&log, "c");
	ebpf_log_end(&log);
	cr_assert_str_eq(buf, "c");
}

Test(log, fixed_is_taken_back_too)
{
	char buf[8];
	struct ebpf_log log = {.buf = buf, .size = sizeof(buf), .level = 1 | 8};

	ebpf_log_printf(&log, "abcdefghijkl");
	ebpf_log_reset(&log, 2);
	ebpf_log_printf(&log, "X");
	ebpf_log_end(&log);
	cr_assert_str_eq(buf, "abX");
}
