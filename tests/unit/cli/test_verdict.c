/* SPDX-License-Identifier: BSD-2-Clause */
/* From the verifier's log to what a person reads. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/macros.h"
#include "cli/verdict.h"

#define FIND(v, ...)                                                                               \
	struct verdict v;                                                                          \
	static const char *const lines[] = {__VA_ARGS__};                                          \
	verdict_find(lines, ARRAY_SIZE(lines), &v)

Test(verdict, a_result_that_was_not_tested)
{
	FIND(v, "0: R1=ctx() R10=fp0", "; int k = 0; @ bad.bpf.c:8", "0: (b7) r1 = 0   ; R1=0",
	     "; v[0] = 1; @ bad.bpf.c:10", "8: (7b) *(u64 *)(r0 +0) = r1",
	     "R0 invalid mem access 'map_value_or_null'",
	     "processed 8 insns (limit 1000000) max_states_per_insn 0");
	cr_expect_str_eq(v.word, "R0 invalid mem access 'map_value_or_null'");
	cr_expect_str_eq(v.source, "v[0] = 1; @ bad.bpf.c:10");
	cr_expect(strstr(v.advice, "may return NULL"));
}

Test(verdict, two_lines_say_it)
{
	FIND(v, "; *p = 1; @ a.c:3", "9: (7b) *(u64 *)(r0 +8) = r1",
	     "invalid access to map value, value_size=8 off=8 size=8",
	     "R0 max value is outside of the allowed memory range", "processed 9 insns");
	cr_expect_str_eq(v.word, "invalid access to map value, value_size=8 off=8 size=8");
	cr_expect(strstr(v.advice, "inside the map's value"));
}

Test(verdict, without_source_or_advice)
{
	FIND(v, "0: (b7) r0 = 1", "something nobody has seen before");
	cr_expect_str_eq(v.word, "something nobody has seen before");
	cr_expect_null(v.source);
	cr_expect_null(v.advice);
}

Test(verdict, nothing_is_said)
{
	FIND(v, "0: (b7) r0 = 1", "processed 2 insns");
	cr_expect_null(v.word);
}
