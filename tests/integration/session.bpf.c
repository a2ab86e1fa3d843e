// SPDX-License-Identifier: BSD-2-Clause
/*
 * Programs of SEC("?uprobe.session"). The probed functions take a number n and return 7 n + 1; the
 * attach cookie says which slot counts, and what the entry wants (session.h, session.c).
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "session.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern bool bpf_session_is_return(void) __ksym;
extern __u64 *bpf_session_cookie(void) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SESSION_SLOTS);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

static struct slot *slot_of(void *ctx)
{
	__u32 i = (__u32)bpf_get_attach_cookie(ctx) % SESSION_SLOTS;

	return bpf_map_lookup_elem(&slots, &i);
}

static int at_return(struct pt_regs *ctx, struct slot *s)
{
	__u64 word = *bpf_session_cookie();

	__sync_fetch_and_add(&s->returns, 1);
	if (word != (__u64)PT_REGS_RC(ctx) * 3)
		__sync_fetch_and_add(&s->wrong, 1);
	s->sum = s->sum * 3 + (long long)(word % 1000);
	return 0;
}

static int at_entry(struct pt_regs *ctx, struct slot *s)
{
	__sync_fetch_and_add(&s->entries, 1);
	if (*bpf_session_cookie())
		__sync_fetch_and_add(&s->wrong, 1);
	*bpf_session_cookie() = (PT_REGS_PARM1(ctx) * 7 + 1) * 3;
	return 0;
}

SEC("?uprobe.session")
int always(struct pt_regs *ctx)
{
	struct slot *s = slot_of(ctx);

	if (!s)
		return 0;
	return bpf_session_is_return() ? at_return(ctx, s) : at_entry(ctx, s);
}

SEC("?uprobe.session")
int never(struct pt_regs *ctx)
{
	struct slot *s = slot_of(ctx);

	if (!s)
		return 0;
	if (bpf_session_is_return())
		return at_return(ctx, s);
	at_entry(ctx, s);
	return 1;
}

SEC("?uprobe.session")
int when_odd(struct pt_regs *ctx)
{
	struct slot *s = slot_of(ctx);

	if (!s)
		return 0;
	if (bpf_session_is_return())
		return at_return(ctx, s);
	at_entry(ctx, s);
	return !(PT_REGS_PARM1(ctx) & 1);
}

/* attached without its entry: it has no word then */
SEC("?uprobe.session")
int only_return(struct pt_regs *ctx)
{
	struct slot *s = slot_of(ctx);

	if (s)
		__sync_fetch_and_add(bpf_session_is_return() ? &s->returns : &s->entries, 1);
	return 0;
}

/* what it returns at the return is nobody's business */
SEC("?uprobe.session")
int ones(struct pt_regs *ctx)
{
	struct slot *s = slot_of(ctx);

	if (!s)
		return 1;
	if (!bpf_session_is_return())
		return at_entry(ctx, s);
	at_return(ctx, s);
	return 1;
}

/* one that may sleep */
SEC("?uprobe.session.s")
int sleeps(struct pt_regs *ctx)
{
	__u64 top;
	struct slot *s = slot_of(ctx);

	if (s && !bpf_copy_from_user(&top, sizeof(top), (void *)PT_REGS_SP(ctx)))
		__sync_fetch_and_add(bpf_session_is_return() ? &s->returns : &s->entries, 1);
	return 0;
}

/* whose section names no place */
SEC("uprobe.session")
int nowhere(struct pt_regs *ctx)
{
	*bpf_session_cookie() = bpf_session_is_return();
	return 0;
}

SEC("?uprobe.multi")
int plain(struct pt_regs *ctx)
{
	struct slot *s = slot_of(ctx);

	if (s)
		__sync_fetch_and_add(&s->entries, 1);
	return 1; /* means nothing here */
}

SEC("?uretprobe.multi")
int plain_return(struct pt_regs *ctx)
{
	struct slot *s = slot_of(ctx);

	if (s)
		__sync_fetch_and_add(&s->returns, 1);
	return 0;
}

/* what the verifier refuses */

SEC("?uprobe.session")
int refused_two(void *ctx)
{
	return 2;
}

SEC("?uprobe.session")
int refused_unknown(void *ctx)
{
	return (int)bpf_get_prandom_u32();
}

SEC("?uprobe.multi")
int refused_is_return(void *ctx)
{
	return bpf_session_is_return();
}

SEC("?uprobe.multi")
int refused_cookie(void *ctx)
{
	return !bpf_session_cookie();
}

SEC("?uprobe.session")
int refused_beyond(void *ctx)
{
	return bpf_session_cookie()[1] & 1;
}

SEC("?uprobe.session")
int refused_before(void *ctx)
{
	return ((__u8 *)bpf_session_cookie())[-1] & 1;
}

SEC("?uprobe.session")
int refused_cookie_returned(void *ctx)
{
	return (int)(long)bpf_session_cookie();
}
