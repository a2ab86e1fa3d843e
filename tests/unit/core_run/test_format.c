/* SPDX-License-Identifier: BSD-2-Clause */
/* Formats: like snprintf(3) where the two agree, like the kernel where they do not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/run/format.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

static void start(void)
{
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
}

TestSuite(format, .init = start);

static void expect(const char *want, const char *fmt, u64 a, u64 b, u64 c)
{
	u64 args[EBPF_FORMAT_ARGS] = {a, b, c};
	char out[512];
	u32 len;

	cr_assert_eq(ebpf_format_check(fmt, 3), 0, "'%s' refused", fmt);
	len = ebpf_format(out, sizeof(out), fmt, args);
	cr_assert_str_eq(out, want, "'%s' gave '%s', not '%s'", fmt, out, want);
	cr_assert_eq(len, strlen(want));
}

Test(format, plain)
{
	expect("", "", 0, 0, 0);
	expect("a b\tc\n", "a b\tc\n", 0, 0, 0);
	expect("100%", "100%%", 0, 0, 0);
	expect("%d", "%%d", 1, 2, 3);
}

Test(format, integers)
{
	expect("-1 4294967295 ffffffff", "%d %u %x", ~0ull, ~0ull, ~0ull);
	expect("-1 18446744073709551615 FFFFFFFFFFFFFFFF", "%ld %llu %lX", ~0ull, ~0ull, ~0ull);
	expect("-9223372036854775808 -2147483648 0", "%lld %i %lx", 1ull << 63, 0x80000000u, 0);
	expect("5 5 5", "%d %d %d", 0xdead00000005, 0xbeef00000005, 5);
}

Test(format, pointers)
{
	expect("0000000000001234", "%p", 0x1234, 0, 0);
	expect("0000000000001234 00000000000000ff", "%px %pK", 0x1234, 0xff, 0);
	expect("[0x0000000000401000]", "[%ps]", 0x401000, 0, 0);
	expect("0x0000000000401000,0x0000000000401000", "%pS,%pB", 0x401000, 0x401000, 0);
}

Test(format, strings)
{
	expect("<abc> <  abc> <abc  >", "<%s> <%5s> <%-5s>", (u64) "abc", (u64) "abc", (u64) "abc");
	expect("kernel user", "%pks %pus", (u64) "kernel", (u64) "user", 0);
	expect("x|  y|z  |", "%c|%3c|%-3c|", 'x', 'y', 'z');
	expect("[] []", "[%s] [%s]", 0, 0xdead00000000beef, 0);
}

Test(format, addresses)
{
	static const u8 v4[] = {192, 0, 2, 17};
	static const u8 v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

	expect("192.0.2.17 192.000.002.017", "%pI4 %pi4", (u64)v4, (u64)v4, 0);
	expect("2001:0db8:0000:0000:0000:0000:0000:0001", "%pI6", (u64)v6, 0, 0);
	expect("20010db8000000000000000000000001", "%pi6", (u64)v6, 0, 0);
	expect("0.0.0.0", "%pI4", 8, 0, 0);
}

Test(format, refused)
{
	static const char *const bad[] = {"%",	   "%z",   "%h",    "%hd",  "%o",	"%f",
					  "%n",	   "%.3d", "%*d",   "%#x",  "%l",	"%lll",
					  "%llld", "%ls",  "%sabc", "%pz",  "%pI",	"%pI5",
					  "%pksx", "%lc",  "\x01",  "\x7f", "\xc3\xa9", "%5%"};

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(ebpf_format_check(bad[i], 12), -EINVAL, "'%s' taken", bad[i]);
	cr_assert_eq(ebpf_format_check("%d%d", 1), -EINVAL);
	cr_assert_eq(ebpf_format_check("%d%%", 1), 0);
	cr_assert_eq(ebpf_format_check("%d", 3), 0);
}

Test(format, truncation)
{
	char out[8];
	u64 arg = (u64) "0123456789";

	memset(out, 0xee, sizeof(out));
	cr_assert_eq(ebpf_format(out, 4, "%s", &arg), 10);
	cr_assert_str_eq(out, "012");
	cr_assert_eq((u8)out[4], 0xee);
	cr_assert_eq(ebpf_format(NULL, 0, "ab%s", &arg), 12);
	cr_assert_eq(ebpf_format(out, 1, "%s", &arg), 10);
	cr_assert_str_eq(out, "");
}

Test(format, string_at_the_edge)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + 4096, 4096, PROT_NONE);
	memset(p + 4090, 'a', 6);
	expect("()", "(%s)", (u64)p + 4090, 0, 0);
	p[4095] = 0;
	expect("(aaaaa)", "(%s)", (u64)p + 4090, 0, 0);
}

static u64 number(void)
{
	u64 v = (u64)random() << 33 ^ (u64)random() << 11 ^ (u64)random();

	return v >> random() % 64;
}

/* Every conversion snprintf(3) has in common with the kernel, at random. */
Test(format, as_snprintf)
{
	static const char *const conv[] = {"d",	 "i",  "u",  "x",   "X",   "ld",
					   "lu", "lx", "lX", "lld", "llu", "llx"};
	unsigned int seed = (unsigned int)time(NULL);

	srandom(seed);
	for (int i = 0; i < 20000; i++) {
		char flags[4] = "", fmt[32], got[256], want[256];
		u64 v = number();

		if (random() % 2)
			strcat(flags, (const char *[]){"0", "-"}[random() % 2]);
		const char *c = conv[(u64)random() % ARRAY_SIZE(conv)];
		if (random() % 3 == 0 && strpbrk(c, "di"))
			strcat(flags, (const char *[]){"+", " "}[random() % 2]);
		if (random() % 2)
			snprintf(fmt, sizeof(fmt), "<%%%s%ld%s>", flags, 1 + random() % 30, c);
		else
			snprintf(fmt, sizeof(fmt), "<%%%s%s>", flags, c);
		cr_assert_eq(ebpf_format_check(fmt, 1), 0, "%s", fmt);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(want, sizeof(want), fmt, v);
#pragma GCC diagnostic pop
		ebpf_format(got, sizeof(got), fmt, &v);
		cr_assert_str_eq(got, want, "seed %u: %s of %llx: '%s', not '%s'", seed, fmt,
				 (unsigned long long)v, got, want);
	}
}

/* Random text never does more than be refused. */
Test(format, random_text)
{
	unsigned int seed = (unsigned int)time(NULL);
	u64 args[EBPF_FORMAT_ARGS] = {0, 1, ~0ull, (u64) "text", 0xdeadbeef};

	srandom(seed);
	for (int i = 0; i < 20000; i++) {
		char fmt[24], out[64];
		u32 n = (u32)random() % 20;

		for (u32 k = 0; k < n; k++)
			fmt[k] = "%%%%dlxuspkiIBS0123-+ c46K\n\x80z"[random() % 29];
		fmt[n] = 0;
		memset(out, 0xee, sizeof(out));
		if (!ebpf_format_check(fmt, EBPF_FORMAT_ARGS))
			ebpf_format(out, 32, fmt, args);
		cr_assert_eq((u8)out[32], 0xee, "seed %u", seed);
	}
}
