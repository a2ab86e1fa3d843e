/* SPDX-License-Identifier: BSD-2-Clause */
/* The table: numbers are the kernel's, every slot can be called. */
#include "helper_fake.h"

#define NAME(x) [BPF_FUNC_##x] = "bpf_" #x
static const char *const kernel_names[] = {__BPF_FUNC_MAPPER(NAME)};

Test(helper, rows_are_named_and_numbered_as_in_the_kernel)
{
	u32 rows = 0;

	for (u32 i = 0; i < EBPF_MAX_HELPER_ID; i++) {
		const struct ebpf_helper *h = ebpf_helper_get(i);

		if (!h)
			continue;
		rows++;
		cr_assert_lt(i, ARRAY_SIZE(kernel_names));
		cr_assert_str_eq(h->name, kernel_names[i]);
		cr_assert(h->fn && h->where);
	}
	cr_assert_geq(rows, 42);
	cr_assert_null(ebpf_helper_get(0));
	cr_assert_null(ebpf_helper_get(EBPF_MAX_HELPER_ID));
	cr_assert_null(ebpf_helper_get(~0u));
}

Test(helper, unknown_numbers_fail)
{
	ebpf_helper_table_init();
	ebpf_helper_table_init();
	for (u32 i = 0; i < EBPF_HELPER_CALLABLE; i++)
		cr_assert_not_null(ebpf_helper_table[i]);
	for (u32 i = EBPF_HELPER_CPU_AT + 1; i < EBPF_MAX_HELPER_ID; i++)
		cr_assert_not_null(ebpf_helper_table[i]);
	cr_assert_eq((s64)ebpf_helper_table[0](0, 0, 0, 0, 0, &run), -EINVAL);
	cr_assert_eq((s64)ebpf_helper_table[210](0, 0, 0, 0, 0, &run), -EINVAL);
	cr_assert_eq(ebpf_helper_table[BPF_FUNC_tail_call](0, 0, 0, 0, 0, &run), 0);
}
