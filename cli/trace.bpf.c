// SPDX-License-Identifier: BSD-2-Clause
/*
 * The programs of `ebpfrt trace`: they copy what the plan of a function says, and know nothing of
 * it themselves. trace.bpf.h tells the model.
 */
#include <bpf/ebpfrt.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/ebpfrt_kfuncs.bpf.h>

#include "trace.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct trace_plan);
	__uint(max_entries, 1);
} plans SEC(".maps");

/* Set before they are loaded. */
const volatile struct trace_sizes sizes = {8, 8, 0};

static __always_inline void copy(struct trace_record *r, char *base, const struct trace_op *op,
				 u32 i)
{
	u32 from = op->base, out = op->out, len = op->len;
	char *to;
	u64 addr;
	long err;

	if (from > sizes.out || out > sizes.out || len > sizes.len)
		return;
	addr = *(u64 *)(base + (from & ~7u));
	to = base + out;
	if (op->copy == TRACE_WORD) {
		if (!(out & 7))
			*(u64 *)to = addr;
		return;
	}
	if (op->copy == TRACE_STRING)
		err = bpf_probe_read_user_str(to, len, (void *)(addr + op->off));
	else
		err = bpf_probe_read_user(to, len, (void *)(addr + op->off));
	if (err < 0)
		r->failed |= 1ull << (i & 63);
}

static __always_inline void note_registers(struct trace_record *r, const struct pt_regs *ctx,
					   u32 kind)
{
	if (kind == TRACE_RETURN) {
		r->reg[0] = ctx->ax;
		r->reg[1] = ctx->dx;
		return;
	}
	r->reg[0] = ctx->di;
	r->reg[1] = ctx->si;
	r->reg[2] = ctx->dx;
	r->reg[3] = ctx->cx;
	r->reg[4] = ctx->r8;
	r->reg[5] = ctx->r9;
	r->reg[TRACE_REG_SP] = ctx->sp;
}

static __always_inline void note_vectors(char *base)
{
	u64 *to = (u64 *)base + TRACE_REGS;

#pragma unroll
	for (u32 i = 0; i < TRACE_VECTORS; i++) {
		to[2 * i] = ebpfrt_vector(i, 0);
		to[2 * i + 1] = ebpfrt_vector(i, 1);
	}
}

static __always_inline void record(struct pt_regs *ctx, u32 kind, u64 now, u64 call)
{
	u64 cookie = bpf_get_attach_cookie(ctx), id = bpf_get_current_pid_tgid();
	u32 key = kind == TRACE_RETURN ? cookie >> 48 : cookie >> 32 & 0xffff, n, i;
	struct trace_plan *plan = bpf_map_lookup_elem(&plans, &key);
	struct trace_record *r;
	char *base;

	if (!plan)
		return;
	r = bpf_ringbuf_reserve(&calls, sizeof(*r) + sizes.out + sizes.len, 0);
	if (!r)
		return; /* the ring counts it */
	base = (char *)r->reg;
	r->ts = now;
	r->call = call;
	r->cookie = cookie;
	r->failed = 0;
	r->pid = id >> 32;
	r->tid = (u32)id;
	r->kind = kind;
	r->left = kind == TRACE_RETURN ? ebpfrt_left() : 0;
	bpf_get_current_comm(r->comm, sizeof(r->comm));
	note_registers(r, ctx, kind);
	if (sizes.vectors && plan->vectors)
		note_vectors(base);
	n = plan->nops;
	if (n > TRACE_OPS)
		n = TRACE_OPS;
	bpf_for (i, 0, n) {
		if (i >= TRACE_OPS)
			break;
		copy(r, base, &plan->op[i], i);
	}
	bpf_ringbuf_submit(r, 0);
}

SEC("uprobe.multi")
int entries(struct pt_regs *ctx)
{
	u64 now = bpf_ktime_get_ns();

	record(ctx, TRACE_ENTRY, now, 0);
	return 0;
}

SEC("uretprobe.multi")
int returns(struct pt_regs *ctx)
{
	record(ctx, TRACE_RETURN, bpf_ktime_get_ns(), 0);
	return 0;
}

/* The word of a call is when it began. */
SEC("uprobe.session")
int both(struct pt_regs *ctx)
{
	u64 now = bpf_ktime_get_ns(), *call = bpf_session_cookie();

	if (bpf_session_is_return()) {
		record(ctx, TRACE_RETURN, now, *call);
	} else {
		*call = now;
		record(ctx, TRACE_ENTRY, now, now);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
