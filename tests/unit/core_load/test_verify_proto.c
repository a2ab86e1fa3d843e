/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tables that explorer and checker share: do their rows make sense, and is every helper that
 * can be run in them?
 */
#include <criterion/criterion.h>
#include <string.h>

#include "arch/arch.h"
#include "core/load/verify_ctx.h"
#include "core/load/verify_proto.h"
#include "core/run/helper.h"

static const u32 types[] = {
	BPF_PROG_TYPE_KPROBE,	  BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT,
	BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_SYSCALL,    BPF_PROG_TYPE_SOCKET_FILTER,
	BPF_PROG_TYPE_SCHED_CLS,  BPF_PROG_TYPE_SCHED_ACT,  BPF_PROG_TYPE_XDP,
	BPF_PROG_TYPE_CGROUP_SKB,
};

static u32 kind(const struct ebpf_proto *p, u32 i)
{
	return p->arg[i] & EARG_KIND;
}

static bool is_size(u32 kind)
{
	return kind == EARG_SIZE || kind == EARG_SIZE0;
}

static void check_row(const struct ebpf_proto *p, const char *name)
{
	u32 raw = 0, maps = 0, funcs = 0, releases = 0;

	for (u32 i = 0; i < 5; i++) {
		u32 k = kind(p, i), next = i < 4 ? kind(p, i + 1) : EARG_NONE;
		bool fixed = p->arg[i] & EARG_FIXED;

		if (k == EARG_NONE)
			cr_expect_eq(next, EARG_NONE, "%s: a gap at argument %u", name, i + 1);
		if (is_size(k))
			cr_expect(i && kind(p, i - 1) == EARG_MEM, "%s: a length of nothing", name);
		if (k == EARG_MEM)
			cr_expect_eq(fixed, !is_size(next), "%s: memory without a length", name);
		if (k == EARG_MEM && fixed)
			cr_expect(p->fixed, "%s: memory of 0 bytes", name);
		if (k == EARG_MEM && (p->arg[i] & EARG_UNINIT))
			cr_expect(p->arg[i] & EARG_WRITE, "%s: neither read nor written", name);
		if ((k == EARG_MAP_KEY || k == EARG_MAP_VALUE))
			cr_expect(maps, "%s: a key or value before its map", name);
		raw += k == EARG_MEM && (p->arg[i] & EARG_UNINIT);
		maps += k == EARG_MAP;
		funcs += k == EARG_FUNC;
		releases += !!(p->arg[i] & EARG_RELEASE);
	}
	cr_expect_leq(raw, 1, "%s", name);
	cr_expect_leq(releases, 1, "%s", name);
	cr_expect_eq(funcs, p->callback != ECB_NONE, "%s: a callback", name);
	cr_expect_eq(maps > 0, p->maps != 0, "%s: maps of no type", name);
}

Test(verify_proto, helpers)
{
	for (u32 id = 0; id < 300; id++)
		for (u32 t = 0; t < ARRAY_SIZE(types); t++) {
			const struct ebpf_proto *p = ebpf_proto_helper(id, types[t]);

			if (p)
				check_row(p, ebpf_proto_name(id));
		}
	cr_assert_null(ebpf_proto_helper(BPF_FUNC_map_lookup_elem, BPF_PROG_TYPE_LSM));
	cr_assert_null(ebpf_proto_helper(0, BPF_PROG_TYPE_KPROBE));
	cr_assert_null(ebpf_proto_helper(~0u, BPF_PROG_TYPE_KPROBE));
}

Test(verify_proto, kernel_functions)
{
	for (u32 id = 1; id < EKFUNC_TARGET; id++) {
		const struct ebpf_proto *p = ebpf_proto_kfunc(id);

		cr_assert_not_null(p);
		check_row(p, p->name);
		cr_assert_eq(ebpf_proto_kfunc_id(p->name), id);
	}
	cr_assert_null(ebpf_proto_kfunc(0));
	cr_assert_null(ebpf_proto_kfunc(EKFUNC_TARGET)); /* of images alone */
	cr_assert_null(ebpf_proto_kfunc(EKFUNC_MAX));
	cr_assert_eq(ebpf_proto_kfunc_id("bpf_obj_new_impl"), 0);
}

/* What can be run must be judged: no helper has no row. */
Test(verify_proto, every_helper_has_a_row)
{
	for (u32 id = 0; id < EBPF_MAX_HELPER_ID; id++) {
		const struct ebpf_helper *h = ebpf_helper_get(id);

		if (!h)
			continue;
		cr_expect(ebpf_proto_helper(id, BPF_PROG_TYPE_KPROBE) ||
				  ebpf_proto_helper(id, BPF_PROG_TYPE_TRACING),
			  "%s", h->name);
		cr_expect_str_eq(ebpf_proto_name(id), h->name);
	}
}

Test(verify_proto, names)
{
	cr_assert_str_eq(ebpf_proto_name(1), "bpf_map_lookup_elem");
	cr_assert_str_eq(ebpf_proto_name(209), "bpf_user_ringbuf_drain");
	cr_assert_str_eq(ebpf_proto_name(210), "bpf_cgrp_storage_get");
	cr_assert_str_eq(ebpf_proto_name(211), "bpf_cgrp_storage_delete");
	cr_assert_str_eq(ebpf_proto_name(212), "unknown");
	cr_assert(ebpf_proto_known(211) && !ebpf_proto_known(212));
}

/* --- contexts -------------------------------------------------------------------------------- */

static bool reads(u32 type, u32 off, u32 size)
{
	struct ebpf_ctx_access a;

	return ebpf_ctx_access(type, 0, off, size, false, &a);
}

static bool writes(u32 type, u32 off, u32 size)
{
	struct ebpf_ctx_access a;

	return ebpf_ctx_access(type, 0, off, size, true, &a);
}

Test(verify_proto, registers)
{
	u32 end = sizeof(struct arch_regs);

	for (u32 size = 0; size <= 16; size++)
		for (u32 off = 0; off < end + 16; off++) {
			bool power = size == 1 || size == 2 || size == 4 || size == 8;
			bool good = power && off % size == 0 && off + size <= end;

			cr_assert_eq(reads(BPF_PROG_TYPE_KPROBE, off, size), good, "%u+%u", off,
				     size);
			cr_assert_not(writes(BPF_PROG_TYPE_KPROBE, off, size));
		}
	cr_assert_not(reads(BPF_PROG_TYPE_KPROBE, ~0u - 7, 8));
	cr_assert_not(reads(BPF_PROG_TYPE_LSM, 0, 8));
}

Test(verify_proto, packets)
{
	struct ebpf_ctx_access a;

	cr_assert(ebpf_ctx_access(BPF_PROG_TYPE_XDP, 0, 4, 4, false, &a));
	cr_assert(a.type == VT_PKT && a.obj == 2);
	cr_assert_not(reads(BPF_PROG_TYPE_XDP, 0, 2));
	cr_assert_not(reads(BPF_PROG_TYPE_XDP, 20, 4));
	cr_assert(ebpf_ctx_access(BPF_PROG_TYPE_XDP, BPF_XDP_DEVMAP, 20, 4, false, &a));
	cr_assert(writes(BPF_PROG_TYPE_SCHED_CLS, offsetof(struct __sk_buff, mark), 4));
	cr_assert_not(writes(BPF_PROG_TYPE_SCHED_CLS, offsetof(struct __sk_buff, mark), 2));
	cr_assert_not(writes(BPF_PROG_TYPE_SOCKET_FILTER, offsetof(struct __sk_buff, mark), 4));
	/* the last word of cb[] is no half of eight bytes */
	cr_assert(reads(BPF_PROG_TYPE_SOCKET_FILTER, offsetof(struct __sk_buff, cb[4]), 4));
	cr_assert_not(reads(BPF_PROG_TYPE_SOCKET_FILTER, offsetof(struct __sk_buff, cb[4]), 8));
	cr_assert(ebpf_ctx_packet(BPF_PROG_TYPE_CGROUP_SKB, false));
	cr_assert_not(ebpf_ctx_packet(BPF_PROG_TYPE_CGROUP_SKB, true));
	cr_assert_not(ebpf_ctx_packet(BPF_PROG_TYPE_KPROBE, false));
}

Test(verify_proto, results)
{
	s32 min = 7, max = 7;

	cr_assert_not(ebpf_ctx_returns(BPF_PROG_TYPE_KPROBE, 0, &min, &max));
	cr_assert(ebpf_ctx_returns(BPF_PROG_TYPE_KPROBE, 57, &min, &max));
	cr_assert(min == 0 && max == 1);
	cr_assert(ebpf_ctx_returns(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS, &min, &max));
	cr_assert_eq(max, 3);
}
