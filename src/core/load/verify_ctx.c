/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contexts, as the kernel's program types have them: the ABI of include/uapi/linux.
 *
 * Rules: a row is a range of bytes; the sizes that may be loaded from or stored into it are bits
 * (size 4 is bit value 4). An access lies in one row. What no row has is refused.
 */
#include "core/load/verify_ctx.h"

#include <stddef.h>

#include "arch/arch.h"
#include "core/load/verify_proto.h"
#include "core/uapi.h"

/* expected attach types after the oldest headers we build with */
#define TRACE_KPROBE_SESSION 56

#define SIZE_ANY (1 | 2 | 4 | 8)
#define SIZE_NARROW (1 | 2 | 4) /* of a 4-byte field: it all or a part */

struct ctx_row {
	u32 off, end;
	u8 load, store; /* sizes, as bits */
	u8 type;	/* enum ebpf_vtype of what a load gives; 0: a number */
	u8 obj;
	u16 attach; /* only when attached as that, 0: always */
};

struct ctx_table {
	const char *name; /* of the structure */
	const struct ctx_row *rows;
	u8 nrows;
	bool memory;	   /* functions may get it as memory */
	bool pkt_r, pkt_w; /* packets */
	bool returns;	   /* only 0 .. 1 */
};

/* --- types that run here --------------------------------------------------------------------- */

static const struct ctx_row kprobe_rows[] = {
	{0, sizeof(struct arch_regs), SIZE_ANY, 0, 0, 0, 0},
};

/* Fields of a tracepoint start behind the common header's first word; its largest record. */
static const struct ctx_row tracepoint_rows[] = {
	{8, 8192, SIZE_ANY, 0, 0, 0, 0},
};

static const struct ctx_row raw_tracepoint_rows[] = {
	{0, 12 * 8, SIZE_ANY, 0, 0, 0, 0},
};

/* What is behind the last word of the call is 0. */
static const struct ctx_row tracing_rows[] = {
	{0, EBPF_IMAGE_WORDS * 8, SIZE_ANY, 0, 0, 0, 0},
};

#define REGS_END sizeof(struct arch_regs)
static const struct ctx_row perf_event_rows[] = {
	{0, REGS_END, 8, 0, 0, 0, 0},
	{REGS_END, REGS_END + 8, SIZE_ANY, 0, 0, 0, 0},	     /* sample_period */
	{REGS_END + 8, REGS_END + 16, SIZE_ANY, 0, 0, 0, 0}, /* addr */
};

static const struct ctx_row syscall_rows[] = {
	{0, 65536, SIZE_ANY, SIZE_ANY, 0, 0, 0},
};

/* --- types that are only judged -------------------------------------------------------------- */

#define SKB(field) offsetof(struct __sk_buff, field)
#define SKB_END(field) (SKB(field) + sizeof(((struct __sk_buff *)0)->field))
#define SKB_ROW(first, last, load, store)                                                          \
	{                                                                                          \
		SKB(first), SKB_END(last), load, store, 0, 0, 0                                    \
	}
#define SKB_PTR(field, obj)                                                                        \
	{                                                                                          \
		SKB(field), SKB_END(field), 4, 0, VT_PKT, obj, 0                                   \
	}

static const struct ctx_row socket_filter_rows[] = {
	SKB_ROW(len, tc_index, SIZE_NARROW, 0),	     SKB_ROW(cb, cb, SIZE_ANY, SIZE_ANY),
	SKB_ROW(hash, hash, SIZE_NARROW, 0),	     SKB_ROW(napi_id, napi_id, SIZE_NARROW, 0),
	SKB_ROW(gso_segs, gso_segs, SIZE_NARROW, 0), SKB_ROW(gso_size, gso_size, SIZE_NARROW, 0),
};

static const struct ctx_row sched_cls_rows[] = {
	SKB_ROW(len, pkt_type, SIZE_NARROW, 0),
	SKB_ROW(mark, queue_mapping, SIZE_NARROW, 4),
	SKB_ROW(protocol, vlan_proto, SIZE_NARROW, 0),
	SKB_ROW(priority, priority, SIZE_NARROW, 4),
	SKB_ROW(ingress_ifindex, ifindex, SIZE_NARROW, 0),
	SKB_ROW(tc_index, tc_index, SIZE_NARROW, 4),
	SKB_ROW(cb, cb, SIZE_ANY, SIZE_ANY),
	SKB_ROW(hash, hash, SIZE_NARROW, 0),
	SKB_ROW(tc_classid, tc_classid, SIZE_NARROW, 4),
	SKB_PTR(data, 0),
	SKB_PTR(data_end, 2),
	SKB_ROW(napi_id, napi_id, SIZE_NARROW, 0),
	SKB_PTR(data_meta, 1),
	SKB_ROW(tstamp, tstamp, 8, 8),
	SKB_ROW(wire_len, gso_segs, SIZE_NARROW, 0),
	SKB_ROW(gso_size, gso_size, SIZE_NARROW, 0),
	SKB_ROW(tstamp_type, tstamp_type, 1, 0),
	SKB_ROW(hwtstamp, hwtstamp, 8, 0),
};

static const struct ctx_row cgroup_skb_rows[] = {
	SKB_ROW(len, pkt_type, SIZE_NARROW, 0),
	SKB_ROW(mark, mark, SIZE_NARROW, 4),
	SKB_ROW(queue_mapping, vlan_proto, SIZE_NARROW, 0),
	SKB_ROW(priority, priority, SIZE_NARROW, 4),
	SKB_ROW(ingress_ifindex, tc_index, SIZE_NARROW, 0),
	SKB_ROW(cb, cb, SIZE_ANY, SIZE_ANY),
	SKB_ROW(hash, hash, SIZE_NARROW, 0),
	SKB_PTR(data, 0),
	SKB_PTR(data_end, 2),
	SKB_ROW(napi_id, family, SIZE_NARROW, 0),
	SKB_ROW(remote_ip4, local_ip6, 4, 0),
	SKB_ROW(remote_port, local_port, SIZE_NARROW, 0),
	SKB_ROW(tstamp, tstamp, 8, 8),
	SKB_ROW(gso_segs, gso_segs, SIZE_NARROW, 0),
	SKB_ROW(gso_size, gso_size, SIZE_NARROW, 0),
	SKB_ROW(hwtstamp, hwtstamp, 8, 0),
};

#define SOCK_ROW(first, last, l, s, attach)                                                        \
	{                                                                                          \
		offsetof(struct bpf_sock, first),                                                  \
			offsetof(struct bpf_sock, last) + sizeof(((struct bpf_sock *)0)->last), l, \
			s, 0, 0, attach                                                            \
	}
/* What a socket may be told, and in whose address there is something, depends on the moment. */
static const struct ctx_row cgroup_sock_rows[] = {
	SOCK_ROW(bound_dev_if, bound_dev_if, 4, 4, BPF_CGROUP_INET_SOCK_CREATE),
	SOCK_ROW(bound_dev_if, bound_dev_if, 4, 4, BPF_CGROUP_INET_SOCK_RELEASE),
	SOCK_ROW(bound_dev_if, bound_dev_if, 4, 0, 0),
	SOCK_ROW(family, protocol, SIZE_NARROW, 0, 0),
	SOCK_ROW(mark, priority, 4, 4, BPF_CGROUP_INET_SOCK_CREATE),
	SOCK_ROW(mark, priority, 4, 4, BPF_CGROUP_INET_SOCK_RELEASE),
	SOCK_ROW(mark, priority, 4, 0, 0),
	SOCK_ROW(src_ip4, src_ip4, SIZE_NARROW, 0, BPF_CGROUP_INET4_POST_BIND),
	SOCK_ROW(src_ip6, src_ip6, SIZE_NARROW, 0, BPF_CGROUP_INET6_POST_BIND),
	SOCK_ROW(src_port, src_port, SIZE_NARROW, 0, BPF_CGROUP_INET4_POST_BIND),
	SOCK_ROW(src_port, src_port, SIZE_NARROW, 0, BPF_CGROUP_INET6_POST_BIND),
	SOCK_ROW(dst_ip4, rx_queue_mapping, SIZE_NARROW, 0, 0),
};

#define XDP(field) offsetof(struct xdp_md, field)
static const struct ctx_row xdp_rows[] = {
	{XDP(data), XDP(data) + 4, 4, 0, VT_PKT, 0, 0},
	{XDP(data_end), XDP(data_end) + 4, 4, 0, VT_PKT, 2, 0},
	{XDP(data_meta), XDP(data_meta) + 4, 4, 0, VT_PKT, 1, 0},
	{XDP(ingress_ifindex), XDP(ingress_ifindex) + 4, 4, 0, 0, 0, 0},
	{XDP(rx_queue_index), XDP(rx_queue_index) + 4, 4, 0, 0, 0, 0},
	{XDP(egress_ifindex), XDP(egress_ifindex) + 4, 4, 0, 0, 0, BPF_XDP_DEVMAP},
};

/* --- by type --------------------------------------------------------------------------------- */

#define ROWS(rows) rows, ARRAY_SIZE(rows)

static const struct ctx_table tables[] = {
	[BPF_PROG_TYPE_KPROBE] = {"pt_regs", ROWS(kprobe_rows), true},
	[BPF_PROG_TYPE_TRACEPOINT] = {NULL, ROWS(tracepoint_rows), true},
	[BPF_PROG_TYPE_RAW_TRACEPOINT] = {"bpf_raw_tracepoint_args", ROWS(raw_tracepoint_rows),
					  true},
	[BPF_PROG_TYPE_TRACING] = {NULL, ROWS(tracing_rows)},
	[BPF_PROG_TYPE_PERF_EVENT] = {"bpf_perf_event_data", ROWS(perf_event_rows)},
	[BPF_PROG_TYPE_SYSCALL] = {NULL, ROWS(syscall_rows), true},
	[BPF_PROG_TYPE_SOCKET_FILTER] = {"__sk_buff", ROWS(socket_filter_rows)},
	[BPF_PROG_TYPE_SCHED_CLS] = {"__sk_buff", ROWS(sched_cls_rows), .pkt_r = true,
				     .pkt_w = true},
	[BPF_PROG_TYPE_SCHED_ACT] = {"__sk_buff", ROWS(sched_cls_rows), .pkt_r = true,
				     .pkt_w = true},
	[BPF_PROG_TYPE_CGROUP_SKB] = {"__sk_buff", ROWS(cgroup_skb_rows), .pkt_r = true,
				      .returns = true},
	[BPF_PROG_TYPE_CGROUP_SOCK] = {"bpf_sock", ROWS(cgroup_sock_rows), .returns = true},
	[BPF_PROG_TYPE_XDP] = {"xdp_md", ROWS(xdp_rows), .pkt_r = true, .pkt_w = true},
};

static const struct ctx_table *table_of(u32 prog_type)
{
	if (prog_type >= ARRAY_SIZE(tables) || !tables[prog_type].rows)
		return NULL;
	return &tables[prog_type];
}

bool ebpf_ctx_known(u32 prog_type)
{
	return table_of(prog_type);
}

static bool row_takes(const struct ctx_row *row, u32 attach_type, u32 off, u32 size, bool write)
{
	if (row->attach && row->attach != attach_type)
		return false;
	if (off < row->off || off >= row->end || size > row->end - off)
		return false;
	return size & (write ? row->store : row->load);
}

bool ebpf_ctx_access(u32 prog_type, u32 attach_type, u32 off, u32 size, bool write,
		     struct ebpf_ctx_access *out)
{
	const struct ctx_table *t = table_of(prog_type);

	if (!t || (size != 1 && size != 2 && size != 4 && size != 8) || off % size)
		return false;
	for (u32 i = 0; i < t->nrows; i++) {
		const struct ctx_row *row = &t->rows[i];

		if (!row_takes(row, attach_type, off, size, write))
			continue;
		*out = (struct ebpf_ctx_access){.type = row->type ? row->type : VT_SCALAR,
						.obj = row->obj};
		return true;
	}
	return false;
}

bool ebpf_ctx_is_memory(u32 prog_type)
{
	const struct ctx_table *t = table_of(prog_type);

	return t && t->memory;
}

bool ebpf_ctx_session(u32 prog_type, u32 attach_type)
{
	return prog_type == BPF_PROG_TYPE_KPROBE &&
	       (attach_type == TRACE_KPROBE_SESSION ||
		attach_type == EBPFRT_BPF_TRACE_UPROBE_SESSION);
}

const struct ebpf_proto *ebpf_ctx_kfunc(u32 id, u32 prog_type, u32 attach_type)
{
	const struct ebpf_proto *p = ebpf_proto_kfunc(id);

	return p && p->session && !ebpf_ctx_session(prog_type, attach_type) ? NULL : p;
}

bool ebpf_ctx_returns(u32 prog_type, u32 attach_type, s32 *min, s32 *max)
{
	const struct ctx_table *t = table_of(prog_type);
	bool session = ebpf_ctx_session(prog_type, attach_type);

	if (ebpf_ctx_probes(prog_type)) {
		*min = *max = 0;
		return true;
	}
	if (!t || (!t->returns && !session))
		return false;
	*min = 0;
	*max = t->returns && attach_type == BPF_CGROUP_INET_EGRESS ? 3 : 1;
	return true;
}

bool ebpf_ctx_packet(u32 prog_type, bool write)
{
	const struct ctx_table *t = table_of(prog_type);

	return t && (write ? t->pkt_w : t->pkt_r);
}

bool ebpf_ctx_probes(u32 prog_type)
{
	return prog_type == BPF_PROG_TYPE_TRACING;
}

bool ebpf_ctx_kern(u32 prog_type)
{
	return prog_type == BPF_PROG_TYPE_KPROBE;
}

const char *ebpf_ctx_struct(u32 prog_type)
{
	const struct ctx_table *t = table_of(prog_type);

	return t ? t->name : NULL;
}
