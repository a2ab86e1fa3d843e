/* SPDX-License-Identifier: BSD-2-Clause */
/* Option tables: what they take, and the exact words for what they don't. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>

#include "cli/opt.h"

static struct {
	bool flag;
	const char *text;
	struct opt_list list;
	struct opt_pids pids;
	int pid;
	u32 number;
	u64 time;
} config;

static const struct opt opts[] = {
	{'f', "flag", NULL, OPT_FLAG, offsetof(__typeof__(config), flag), ""},
	{'t', "text", "TEXT", OPT_STRING, offsetof(__typeof__(config), text), ""},
	{'l', "list", "ITEM", OPT_LIST, offsetof(__typeof__(config), list), ""},
	{'p', "pid", "PID", OPT_PIDS, offsetof(__typeof__(config), pids), ""},
	{0, "one", "PID", OPT_PID, offsetof(__typeof__(config), pid), ""},
	{'n', "number", "N", OPT_UINT, offsetof(__typeof__(config), number), ""},
	{'d', "time", "TIME", OPT_TIME, offsetof(__typeof__(config), time), ""},
	{0},
};
static struct command cmd = {
	.name = "test", .usage = "", .summary = "test", .opts = opts, .config = &config};

#define PARSE(...)                                                                                 \
	({                                                                                         \
		char *argv[] = {(char *)"test", __VA_ARGS__};                                      \
		opt_parse(&cmd, ARRAY_SIZE(argv), argv, &args);                                    \
	})
#define S (char *)

static struct args args;

Test(opt, all_forms)
{
	cr_assert_eq(PARSE(S "-ft", S "x", S "--list=a", S "--list", S "b", S "op", S "-p7", S "-p",
			   S "8", S "-n", S "0x10", S "--time=1.5ms"),
		     0);
	cr_expect(config.flag);
	cr_expect_str_eq(config.text, "x");
	cr_expect_eq(config.list.n, 2);
	cr_expect_str_eq(config.list.v[1], "b");
	cr_expect_eq(config.pids.n, 2);
	cr_expect_eq(config.pids.v[1], 8);
	cr_expect_eq(config.number, 16);
	cr_expect_eq(config.time, 1500000);
	cr_expect_eq(args.n, 1);
	cr_expect_str_eq(args.v[0], "op");
}

Test(opt, dashes_end_the_options)
{
	cr_assert_eq(PARSE(S "-f", S "--", S "-t"), 0);
	cr_expect_eq(args.n, 1);
	cr_expect_str_eq(args.v[0], "-t");
	cr_expect(args.after_dashes);
}

Test(opt, a_command_line_is_left_alone)
{
	cmd.flags = OPT_STOP_AT_OPERAND;
	cr_assert_eq(PARSE(S "-f", S "prog", S "-t", S "--pid"), 0);
	cr_expect_eq(args.n, 3);
	cr_expect_null(config.text);
}

Test(opt, a_single_dash_is_an_operand)
{
	cr_assert_eq(PARSE(S "-"), 0);
	cr_expect_eq(args.n, 1);
}

static void expect_refused(int status, const char *sentence)
{
	char text[512];

	snprintf(text, sizeof(text), "ebpfrt: %s\nTry 'ebpfrt test --help' for more information.\n",
		 sentence);
	cr_expect_eq(status, 2);
	fflush(stderr);
	cr_expect_stderr_eq_str(text);
}

#define REFUSED(name, sentence, ...)                                                               \
	Test(opt, name, .init = cr_redirect_stderr)                                                \
	{                                                                                          \
		expect_refused(PARSE(__VA_ARGS__), sentence);                                      \
	}

REFUSED(unknown_long, "unknown option '--fla'", S "--fla")
REFUSED(unknown_short, "unknown option '-x'", S "-fx")
REFUSED(missing_value, "--text needs TEXT", S "--text")
REFUSED(missing_short_value, "-t needs TEXT", S "-t")
REFUSED(flag_with_value, "--flag takes no value", S "--flag=1")
REFUSED(bad_pid, "--pid takes a process ID, not '0'", S "-p", S "0")
REFUSED(bad_one_pid, "--one takes a process ID, not '12x'", S "--one=12x")
REFUSED(bad_number, "--number takes a number, not '-1'", S "-n", S "-1")
REFUSED(bad_time, "--time takes a time like 5, 10ms or 2m, not '5 parsecs'", S "-d", S "5 parsecs")
REFUSED(bad_color, "--color takes auto, always or never, not 'pink'", S "--color=pink")

Test(opt, times)
{
	u64 ns;

	cr_expect(!opt_time("10", &ns) && ns == 10000000000ULL);
	cr_expect(!opt_time("2m", &ns) && ns == 120000000000ULL);
	cr_expect(!opt_time("7us", &ns) && ns == 7000);
	cr_expect(opt_time("", &ns) && opt_time("-1", &ns) && opt_time("1d", &ns) &&
		  opt_time("nan", &ns));
}
