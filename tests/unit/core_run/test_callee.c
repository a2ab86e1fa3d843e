/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the values of a call go, and come from. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/run/callee.h"

static struct ebpf_native_call n;

static struct ebpf_callee callee(u32 nargs, const struct ebpf_callee_value *args)
{
	struct ebpf_callee c = {.file = "/f", .name = "f", .result = {ECALLEE_NUMBER, 0, 8}};

	memcpy(c.arg, args, nargs * sizeof(*args));
	return c;
}

Test(callee, numbers_are_as_wide_as_they_are)
{
	const struct ebpf_callee_value v[] = {{ECALLEE_NUMBER, ECALLEE_SIGNED, 1},
					      {ECALLEE_NUMBER, 0, 2},
					      {ECALLEE_NUMBER, ECALLEE_SIGNED, 4},
					      {ECALLEE_FLOAT, 0, 4},
					      {ECALLEE_ADDRESS, 0, 0}};
	const struct ebpf_callee c = callee(5, v);
	const u64 args[] = {0x1ff, 0x1ffff, 0x80000000, 0x123456789, 77};
	void *const none[5] = {NULL};

	cr_assert(ebpf_callee_ok(&c));
	ebpf_native_prepare(&c, args, none, &n);
	cr_assert_eq(n.ngeneral, 4);
	cr_assert_eq(n.nvector, 1);
	cr_assert_eq(n.nstack, 0);
	cr_assert_eq(n.general[0], ~0ull);
	cr_assert_eq(n.general[1], 0xffff);
	cr_assert_eq(n.general[2], 0xffffffff80000000);
	cr_assert_eq(n.vector[0], 0x23456789);
	cr_assert_eq(n.general[3], 77);
}

/* All of a structure is in registers, or nothing; what comes behind it may find some. */
Test(callee, structures)
{
	const struct ebpf_callee_value v[] = {{ECALLEE_STRUCT, 0, 16},
					      {ECALLEE_STRUCT, ECALLEE_SSE0, 12},
					      {ECALLEE_STRUCT, 0, 16},
					      {ECALLEE_STRUCT, 0, 16},
					      {ECALLEE_NUMBER, 0, 8}};
	const struct ebpf_callee c = callee(5, v);
	u64 a[] = {1, 2}, b[] = {3, 0xff00000004}, d[] = {5, 6}, e[] = {7, 8};
	void *const copy[] = {a, b, d, e, NULL};
	const u64 args[] = {0, 0, 0, 0, 9};
	const u64 general[] = {1, 2, 4, 5, 6, 9};

	ebpf_native_prepare(&c, args, copy, &n);
	cr_assert_arr_eq(n.general, general, sizeof(general));
	cr_assert_eq(n.vector[0], 3);
	cr_assert_eq(n.nstack, 2);
	cr_assert_eq(n.stack[0], 7);
	cr_assert_eq(n.stack[1], 8);
}

Test(callee, results)
{
	struct ebpf_callee c =
		callee(1, &(struct ebpf_callee_value){ECALLEE_RESULT, ECALLEE_SSE1, 12});
	struct ebpf_native_call back = {.rax = 1, .rdx = 2, .xmm0 = 0xff00000003, .xmm1 = 4};
	u8 result[16];
	const u32 want[] = {1, 0, 3, 0xeeeeeeee};

	memset(result, 0xee, sizeof(result));
	c.result = (struct ebpf_callee_value){0};
	cr_assert(ebpf_callee_ok(&c));
	cr_assert_eq(ebpf_native_result(&c, &back, result), 0);
	cr_assert_arr_eq(result, want, sizeof(want));
	c = callee(0, NULL);
	c.result = (struct ebpf_callee_value){ECALLEE_FLOAT, 0, 4};
	cr_assert_eq(ebpf_native_result(&c, &back, NULL), 3);
	c.result = (struct ebpf_callee_value){ECALLEE_NUMBER, ECALLEE_SIGNED, 1};
	back.rax = 0x80;
	cr_assert_eq(ebpf_native_result(&c, &back, NULL), (u64)-128);
}

Test(callee, what_a_client_may_say)
{
	static const struct ebpf_callee_value bad[] = {
		{ECALLEE_NUMBER, 0, 3},
		{ECALLEE_FLOAT, 0, 2},
		{ECALLEE_ADDRESS, 0, 513},
		{ECALLEE_ADDRESS, ECALLEE_STRING | ECALLEE_CONST, 0},
		{ECALLEE_STRUCT, 0, 17},
		{ECALLEE_STRUCT, 0, 0},
		{ECALLEE_ADDRESS, ECALLEE_STRING, 8},
		{ECALLEE_KINDS, 0, 8},
	};
	const struct ebpf_callee_value late[] = {{ECALLEE_NUMBER, 0, 8}, {ECALLEE_RESULT, 0, 8}};
	struct ebpf_callee c;

	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		c = callee(1, &bad[i]);
		cr_assert_not(ebpf_callee_ok(&c), "%u", i);
	}
	c = callee(2, late);
	cr_assert_not(ebpf_callee_ok(&c));
	c = callee(0, NULL);
	cr_assert(ebpf_callee_ok(&c));
	c.arg[1] = late[0];
	cr_assert_not(ebpf_callee_ok(&c));
	c = callee(0, NULL);
	c.file[0] = 'f';
	cr_assert_not(ebpf_callee_ok(&c));
}
