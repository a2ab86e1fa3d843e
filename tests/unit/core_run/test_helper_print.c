/* SPDX-License-Identifier: BSD-2-Clause */
/* Formatted output: into memory, and as records of a trace map that takes one record at a time. */
#include "core/run/map/ringbuf.h"
#include "core/run/trace.h"
#include "helper_fake.h"

static u8 record[2048] __attribute__((aligned(8)));
static struct ebpf_trace_rec *const rec = (void *)record;
static u64 reserved;
static int committed;
static struct ebpf_map trace_map;
static u64 dropped;

void *ebpf_ringbuf_reserve(struct ebpf_map *map, u64 size, u64 flags)
{
	cr_assert(map == &trace_map && size <= sizeof(record) && !flags);
	reserved = size;
	return record;
}

void ebpf_ringbuf_submit(struct ebpf_map *map, void *sample, u64 flags)
{
	cr_assert(map == &trace_map && sample == record);
	committed++;
}

static void start(void)
{
	fake_start();
	fake_env.trace = &trace_map;
	fake_env.trace_dropped = &dropped;
}

TestSuite(helper_print, .init = start);

static void printed(s64 ret, const char *text)
{
	cr_assert_eq(committed, 1);
	cr_assert_eq(ret, (s64)strlen(text));
	cr_assert(rec->len == strlen(text) && reserved == sizeof(*rec) + rec->len);
	cr_assert_eq(memcmp(rec->text, text, rec->len), 0, "%.*s", (int)rec->len, rec->text);
	committed = 0;
}

Test(helper_print, records)
{
	char comm[16];
	u64 before = osl_ktime_ns();

	printed(CALL(trace_printk, "n %d\n", 6, 42), "n 42\n");
	osl_comm(comm);
	cr_assert(rec->tgid == (u32)getpid() && rec->tid == (u32)gettid());
	cr_assert(rec->ts >= before && rec->ts <= osl_ktime_ns());
	cr_assert_eq(memcmp(rec->comm, comm, sizeof(comm)), 0);
	cr_assert_lt(rec->cpu, osl_nr_cpus());
	printed(CALL(trace_printk, "%s %c %lu", 9 + 1, "str", 'c', ~0ull),
		"str c 18446744073709551615");
	/* the text ends at the NUL, whatever the size says */
	printed(CALL(trace_printk, "ab\0%z", 6), "ab");
}

Test(helper_print, vprintk)
{
	u64 args[12] = {1, 2, 3, 4, 5};

	printed(CALL(trace_vprintk, "%d%d%d%d%d", 11, args, 40), "12345");
	cr_assert_eq(CALL(trace_vprintk, "%d%d%d%d%d", 11, args, 32), -EINVAL);
	cr_assert_eq(CALL(trace_vprintk, "%d", 3, args, 7), -EINVAL);
	cr_assert_eq(CALL(trace_vprintk, "%d", 3, args, 104), -EINVAL);
	cr_assert_eq(CALL(trace_vprintk, "%d", 3, NULL, 8), -EINVAL);
	cr_assert_eq(CALL(trace_vprintk, "%d", 3, bad[1], 8), -EFAULT);
	printed(CALL(trace_vprintk, "x", 2, NULL, 0), "x");
}

Test(helper_print, refused)
{
	cr_assert_eq(CALL(trace_printk, "%d%d%d%d", 9, 1, 2, 3), -EINVAL);
	cr_assert_eq(CALL(trace_printk, "%z", 3), -EINVAL);
	cr_assert_eq(CALL(trace_printk, "abcd", 4), -EINVAL, "no NUL within the size");
	cr_assert_eq(CALL(trace_printk, "abcd", 0), -EINVAL);
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		edge[-1] = 'x';
		cr_assert_eq(CALL(trace_printk, bad[i], 16), -EFAULT, "%u", i);
	}
	cr_assert_eq(committed, 0);
}

Test(helper_print, long_lines_are_cut)
{
	static char fmt[1200];

	memset(fmt, 'a', 1023);
	cr_assert_eq(CALL(trace_printk, fmt, 1024), 1023);
	cr_assert_eq(rec->len, 1023);
	memset(fmt, 'a', 1100);
	cr_assert_eq(CALL(trace_printk, fmt, 1101), -E2BIG);
	cr_assert_eq(CALL(trace_printk, "%1500d", 7, 1), 1500);
	cr_assert_eq(rec->len, EBPF_TRACE_TEXT_MAX - 1);
}

Test(helper_print, without_a_trace_map)
{
	fake_env.trace = NULL;
	cr_assert_eq(CALL(trace_printk, "x", 2), 1);
	cr_assert_eq(dropped, 1);
	fake_env.trace_dropped = NULL;
	cr_assert_eq(CALL(trace_printk, "x", 2), 1);
	run.env = NULL;
	cr_assert_eq(CALL(trace_printk, "x", 2), 1);
}

Test(helper_print, snprintf)
{
	char out[16];
	u64 args[2] = {7, (u64) "abc"};

	memset(out, 0xee, sizeof(out));
	cr_assert_eq(CALL(snprintf, out, 16, "%d-%s", args, 16), 6);
	cr_assert_str_eq(out, "7-abc");
	cr_assert_eq((u8)out[6], 0xee);
	cr_assert_eq(CALL(snprintf, out, 4, "%d-%s", args, 16), 6);
	cr_assert_str_eq(out, "7-a");
	cr_assert_eq(CALL(snprintf, NULL, 0, "%d-%s", args, 16), 6);
	cr_assert_eq(CALL(snprintf, out, 16, "%d-%s", args, 8), -EINVAL);
	cr_assert_eq(CALL(snprintf, out, 16, "%d", args, 9), -EINVAL);
	cr_assert_eq(CALL(snprintf, out, 16, "%d", NULL, 8), -EINVAL);
	cr_assert_eq(CALL(snprintf, bad[1], 16, "%d", args, 8), -EFAULT);
	cr_assert_eq(CALL(snprintf, out, 16, bad[3], args, 8), -EFAULT);
	cr_assert_eq(CALL(snprintf, out, 16, "%d", bad[3], 8), -EFAULT);
	cr_assert_eq(CALL(snprintf, out, -1, "%d", args, 8), -EINVAL);
}
