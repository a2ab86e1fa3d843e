/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The eBPF ABI: instruction encoding, bpf(2) commands, map, program and attach types.
 *
 * These are definitions of eBPF itself, not services of an OS; on Linux they come with the kernel's
 * UAPI headers. What newer kernels added after the oldest headers we build with (6.1) is completed
 * here. The only file of core/ that names a linux/ header.
 */
#pragma once

#include <errno.h>
#include <linux/bpf.h>
#include <linux/btf.h>

#include "base/types.h"

/* cpu v4 (RFC 9669) */
#ifndef BPF_MEMSX
#define BPF_MEMSX 0x80
#endif
#ifndef BPF_JCOND
#define BPF_JCOND 0xe0
#endif

/* How many bytes a load or store touches. */
static inline u32 ebpf_insn_bytes(const struct bpf_insn *in)
{
	switch (BPF_SIZE(in->code)) {
	case BPF_B:
		return 1;
	case BPF_H:
		return 2;
	case BPF_W:
		return 4;
	default:
		return 8;
	}
}

/* attach and link types after 6.1, with the kernel's values */
#define EBPFRT_BPF_TRACE_KPROBE_MULTI 42
#define EBPFRT_BPF_TRACE_UPROBE_MULTI 48
#define EBPFRT_BPF_TRACE_UPROBE_SESSION 57
#define EBPFRT_BPF_LINK_TYPE_PERF_EVENT 7
#define EBPFRT_BPF_LINK_TYPE_UPROBE_MULTI 12

/* bpf_attr.link_create.uprobe_multi (6.6), as the kernel lays it out from offset 16 */
struct ebpf_attr_uprobe_multi {
	u64 path;
	u64 offsets;
	u64 ref_ctr_offsets;
	u64 cookies;
	u32 cnt;
	u32 flags;
	u32 pid;
};
/* as far as it has fields */
#define EBPF_UPROBE_MULTI_SIZE (offsetof(struct ebpf_attr_uprobe_multi, pid) + sizeof(u32))
#define EBPFRT_BPF_F_UPROBE_MULTI_RETURN 1U
/* ours: places that can't be probed are left out and counted, the link is made of the others */
#define EBPFRT_BPF_F_UPROBE_MULTI_PARTIAL 0x80000000U

/* struct bpf_link_info as of 6.15, for the two kinds of link there are here */
struct ebpf_link_info {
	u32 type, id, prog_id, pad;
	union {
		struct {
			u32 type;
			u32 pad;
			u64 file_name;
			u32 name_len;
			u32 offset;
			u64 cookie;
			u64 ref_ctr_offset;
		} perf_event;
		struct {
			u64 path, offsets, ref_ctr_offsets, cookies;
			u32 path_size, count, flags, pid;
		} uprobe_multi;
	};
};
#define EBPFRT_BPF_PERF_EVENT_UPROBE 1u
#define EBPFRT_BPF_PERF_EVENT_URETPROBE 2u
