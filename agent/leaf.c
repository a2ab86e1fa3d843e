/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leaves: hits that are served without the agent.
 *
 * Model: a program that needs nothing of the agent has in its image code that stubs can call in its
 * place (arch.h: arch_jit_leaf()). What a stub calls is the first word of its record: the agent, or
 * the leaf while the site has that one consumer and the hit is one like any other. To go over from
 * one to the other is one store. A leaf enters nothing, takes no lock and has no stack of ours: who
 * is in one is told by where the threads are, so nothing it uses is given back but when they are
 * held.
 *
 * It counts in a lane that is its thread's alone. Which, a table says, of which a thread looks at
 * one entry: it is known there by its thread pointer, and by where its stack is, as threads may
 * have been cloned without a pointer of their own. An entry is taken once, by the first hit that
 * finds it free, and stays. Who finds another's, or is far from where the stack was then, goes to
 * the agent, as ever. The table is of memory that the kernel wipes in a forked child: there nobody
 * has an entry until the daemon knows the child.
 *
 * A signal of the application that arrives in a leaf puts the thread back to the site when the hit
 * doesn't count yet; else the rest of it is run on the spot, on a copy of its frame (leaf_code.S),
 * and the thread is behind it. So handlers see a hit as a whole, and are never on top of one.
 */
#include <errno.h>

#include "agent/agent.h"

#define ENTRIES (1u << ARCH_LEAF_HASH_BITS)

/* .thread: 0: free, 1 more than the thread pointer: it is being made */
struct agent_leaf_entry {
	u64 thread, low;
	struct agent_lane *lane;
	u64 pad;
};
_Static_assert(sizeof(struct agent_leaf_entry) == 1 << ARCH_LEAF_ENTRY_SHIFT, "jit_leaf.c");
_Static_assert(offsetof(struct agent_leaf_entry, low) == 8, "jit_leaf.c: ENTRY_LOW");
_Static_assert(offsetof(struct agent_leaf_entry, lane) == 16, "jit_leaf.c: ENTRY_LANE");
_Static_assert(offsetof(struct agent_lane, hits) == 0, "jit_leaf.c: count()");
_Static_assert(sizeof(struct agent_lane) == 1 << 15, "leaf_code.S: lane_shift");
_Static_assert(offsetof(struct agent, mark) == 112, "leaf_code.S: agent_mark");
_Static_assert(FORK_KNOWN == 2, "leaf_code.S: fork_known");
_Static_assert(AGENT_LEAF_LANES == 128, "leaf_code.S: lanes");
_Static_assert(ARCH_LEAF_WINDOW == 18, "leaf_code.S: window_below");
_Static_assert(offsetof(struct osl_life, alive) == 0 &&
		       offsetof(struct osl_life, stats_enabled) == 4,
	       "jit_leaf.c: ask()");

/* behind a stub */
struct record {
	u64 call;
	u64 stat; /* from the lane's start to the counter */
	u64 site;
	u64 agent; /* for those who look from outside: .call where there is no leaf */
	u64 pad[4];
};
_Static_assert(sizeof(struct record) == ARCH_STUB_SIZE, "ARCH_STUB_RECORDS");

static struct agent_leaf_entry *entries;
/* of programs that have one, until all of them are given back; insert-only */
static struct leaf {
	struct leaf *next;
	const struct ebpf_image *image;
} * leaves;
static bool barred;   /* for good: who is in one was not to be told */
static bool switched; /* a leaf was taken away, and nobody has asked yet who is in it */
static u32 ncalling;  /* programs here that call functions of the target */

/* for leaf_code.S */
u64 agent_leaf_lanes __hidden; /* the first one; 0: none may be taken */
u32 agent_leaf_next __hidden;
u64 *agent_leaf_used __hidden; /* of the statistics page */

extern u8 agent_leaf_claim_end[] __hidden;
void agent_leaf_finish(struct osl_ucontext *uc, u64 depth) __hidden;

/* --- programs -----------------------------------------------------------------------------------
 */

void leaf_init(void)
{
	const u64 size = ENTRIES * sizeof(*entries);

	if (entries || barred)
		return;
	entries = agent_pages(size, "ebpfrt-fork");
	barred = !entries || SYS3(__NR_madvise, entries, size, SYS_MADV_WIPEONFORK);
}

int leaf_bind(const struct ebpf_prog *prog, u64 *own)
{
	struct leaf *l;

	if (!prog->image->leaf)
		return 0;
	l = agent_lend(sizeof(*l));
	if (!l)
		return -ENOMEM;
	own[ARCH_LEAF_ENTRIES] = (u64)entries;
	own[ARCH_LEAF_LIFE] = (u64)agent.life;
	own[ARCH_LEAF_AGENT] = (u64)agent_jump_entry;
	own[ARCH_LEAF_CLAIM] = (u64)agent_leaf_claim;
	for (u32 i = 0; i < prog->image->nrefs; i++)
		own[ARCH_LEAF_REFS + i] = prog->refs[i];
	*l = (struct leaf){leaves, prog->image};
	store_release(&leaves, l);
	return (int)sys_mprotect((u64)own, EBPFRT_PAGE_SIZE, PROT_READ);
}

static u64 code_of(const struct ebpf_image *image)
{
	return (u64)image + image->leaf;
}

/* The leaf that @ip is in, and where it begins, or NULL. */
static const struct arch_leaf *leaf_around(u64 ip, u64 *start)
{
	for (const struct leaf *l = load_acquire(&leaves); l; l = l->next) {
		*start = code_of(l->image);
		if (ip - *start < l->image->leaf_is.len)
			return &l->image->leaf_is;
	}
	return NULL;
}

static bool in_claim(u64 ip)
{
	return ip - (u64)agent_leaf_claim < (u64)(agent_leaf_claim_end - (u8 *)agent_leaf_claim);
}

bool leaf_contains(u64 ip)
{
	u64 start;

	return in_claim(ip) || leaf_around(ip, &start);
}

/* --- who is in one ------------------------------------------------------------------------------
 */

static struct record *record_of(const struct arch_jump *j)
{
	return (struct record *)(j->stub + ARCH_STUB_RECORDS);
}

/* Of the stub that a thread in the leaf has come from, whose return address is at @sp; or NULL. */
static const struct record *record_at(u64 sp)
{
	u64 ret;

	if (osl_read(&ret, (void *)sp, sizeof(ret)) || !agent_arena_has_stub(ret - ARCH_STUB_HEAD))
		return NULL;
	return (const struct record *)(ret - ARCH_STUB_HEAD + ARCH_STUB_RECORDS);
}

/* Where the return address is of a thread in @l, at @at of its code. */
static u64 frame_end(const struct arch_leaf *l, u64 at, u64 sp)
{
	return at > l->commit && at < l->cold && at != l->ret ? sp + l->depth : sp;
}

static const struct record *asked; /* what for: */

static bool is_at_record(u64 ip, u64 sp)
{
	u64 start;
	const struct arch_leaf *l = leaf_around(ip, &start);
	const struct record *r = l ? record_at(frame_end(l, ip - start, sp)) : NULL;

	return l && (!r || r == asked);
}

/* Has what its stub called been taken away since? */
static bool is_left_behind(u64 ip, u64 sp)
{
	u64 start;
	const struct arch_leaf *l = leaf_around(ip, &start);
	const struct record *r = l ? record_at(frame_end(l, ip - start, sp)) : NULL;

	return l && (!r || load_relaxed(&r->call) != start);
}

/* A handler of ours may have interrupted one, and be about to look where in it, or to end it. */
static bool may_be_left_behind(u64 ip, u64 sp)
{
	return leaves && (is_left_behind(ip, sp) || agent_handles(ip));
}

static bool is_in_any(u64 ip, u64 sp)
{
	return leaf_contains(ip) || agent_handles(ip);
}

/*
 * May a program that was taken away still be running? Threads that aren't held had the time until
 * somebody asked again.
 */
bool leaf_runs(void)
{
	bool was = switched;

	switched = false;
	return was ? !crowd_outside(may_be_left_behind) : crowd_any(may_be_left_behind);
}

static bool nobody_in_any(void)
{
	return !leaves || crowd_outside(is_in_any);
}

/* --- sites --------------------------------------------------------------------------------------
 */

void leaf_off(const struct arch_jump *j)
{
	struct record *r = record_of(j);

	if (r->call && r->call != (u64)agent_jump_entry)
		switched = true;
	r->agent = (u64)agent_jump_entry;
	store_release(&r->call, (u64)agent_jump_entry);
}

static bool is_only_entry(const struct agent_hooks *hooks)
{
	return hooks && hooks->n == 1 && hooks->v[0].ret == HOOK_ENTRY &&
	       hooks->v[0].stat < AGENT_LANE_STATS;
}

/* The code that the stub may call, or 0. */
static u64 leaf_of(const struct agent_place *p)
{
	const struct agent_hooks *hooks = p->hooks;
	const struct ebpf_prog *prog;

	if (barred || ncalling || agent.inert || p->plan->flags || !is_only_entry(hooks))
		return 0;
	prog = hooks->v[0].prog;
	return prog && prog->image->leaf ? code_of(prog->image) : 0;
}

/* A thread may still be about to count for the link that was there before. */
static bool take_counter(struct record *r, u64 stat)
{
	if (r->stat && r->stat != stat) {
		asked = r;
		if (!crowd_outside(is_at_record))
			return false;
	}
	r->stat = stat;
	return true;
}

void leaf_update(const struct agent_place *p)
{
	const struct agent_plan *plan = p->plan;
	u64 code, stat;
	struct record *r;

	if (!plan || !plan->can_jump)
		return;
	r = record_of(&plan->jump);
	code = leaf_of(p);
	if (r->call != code)
		leaf_off(&plan->jump);
	if (!code)
		return;
	stat = offsetof(struct agent_lane, stat) + p->hooks->v[0].stat * sizeof(u64);
	if (!take_counter(r, stat))
		return;
	r->site = p->addr;
	store_release(&r->call, code);
}

void leaf_all_off(void)
{
	for (struct agent_place *p = load_acquire(&agent.places); p; p = p->older)
		if (p->plan && p->plan->can_jump)
			leaf_off(&p->plan->jump);
}

/* A hit in a function that a program has called is missed, and only the agent knows that it is. */
void leaf_calls(void)
{
	if (!ncalling++)
		leaf_all_off();
}

/* --- lanes --------------------------------------------------------------------------------------
 */

static void forget_threads(void)
{
	if (entries)
		memset(entries, 0, ENTRIES * sizeof(*entries));
	agent_leaf_next = 0;
}

/* Others are going to be there: who has one must not come back to it. */
void leaf_lanes(void)
{
	static u64 were;
	u64 first = agent.lanes ? (u64)(agent.lanes + AGENT_LANES) : 0;

	if (were && were != first) {
		barred |= !nobody_in_any();
		forget_threads();
	}
	were = first;
	agent_leaf_used = &agent.stats->leaf_lanes;
	/* those of the same page have been counted in, whoever's they are next */
	if (load_relaxed(agent_leaf_used) < agent_leaf_next)
		store_relaxed(agent_leaf_used, (u64)MIN(agent_leaf_next, AGENT_LEAF_LANES));
	store_release(&agent_leaf_lanes, entries && !barred ? first : 0);
}

/* Programs, maps and lanes can go: nobody is in a leaf, nor comes to one. */
bool leaf_give_back(void)
{
	store_release(&agent_leaf_lanes, 0);
	if (!nobody_in_any())
		return false;
	store_release(&leaves, NULL);
	ncalling = 0;
	for (struct agent_place *p = agent.places; p; p = p->older)
		if (p->plan && p->plan->can_jump)
			record_of(&p->plan->jump)->stat = 0;
	return true;
}

void leaf_forked(void)
{
	agent_leaf_lanes = 0;
	agent_leaf_next = 0;
}

/* --- a signal in one ----------------------------------------------------------------------------
 */

#define FLAGS_KEPT 0x8d5ull /* those of results */
#define FLAG_CARRY_TO_SIGN 0xd5ull
#define FLAG_OVERFLOW 0x800ull

static u64 word_at(u64 sp, s32 at)
{
	return *(const u64 *)(sp + (u64)(s64)at);
}

static bool to_site(struct osl_ucontext *uc)
{
	u64 ret = word_at(uc->sp, 0), distance = word_at(uc->sp, 8);

	uc->ip = ret + distance;
	uc->sp += JUMP_PUSHED;
	return true;
}

static void give_back_flags(struct osl_ucontext *uc)
{
	u64 kept = word_at(uc->sp, -24);

	uc->eflags = (uc->eflags & ~FLAGS_KEPT) | (kept >> 8 & FLAG_CARRY_TO_SIGN) |
		     (kept & 1 ? FLAG_OVERFLOW : 0);
}

/* It doesn't count yet: nothing has happened. */
static bool undo(struct osl_ucontext *uc, bool ax, bool flags)
{
	if (flags)
		give_back_flags(uc);
	if (ax) {
		uc->ax = word_at(uc->sp, -8);
		uc->cx = word_at(uc->sp, -32);
	}
	return to_site(uc);
}

static void finish(struct osl_ucontext *uc, const struct arch_leaf *l, u64 at)
{
	u64 end = frame_end(l, at, uc->sp), ret = word_at(end, 0);

	if (at != l->ret)
		agent_leaf_finish(uc, l->depth);
	uc->ip = ret;
	uc->sp = end + sizeof(ret);
}

bool leaf_settle(struct osl_ucontext *uc)
{
	u64 start, at;
	const struct arch_leaf *l;

	if (in_claim(uc->ip)) {
		if (uc->ip != (u64)agent_leaf_claim)
			uc->dx = word_at(uc->sp, -40);
		return undo(uc, true, true);
	}
	l = leaf_around(uc->ip, &start);
	if (!l)
		return false;
	at = uc->ip - start;
	if (at <= l->commit || at >= l->cold)
		return undo(uc, at > ARCH_LEAF_KEPT, at > ARCH_LEAF_FLAGS);
	finish(uc, l, at);
	return false;
}

/* The program's own memory has gone: it is cut short. */
bool leaf_faulted(struct arch_regs *regs)
{
	u64 start;
	const struct arch_leaf *l = leaf_around(regs->ip, &start);
	const struct record *r;
	struct agent_stat *st;

	if (!l || regs->ip - start <= l->commit || regs->ip - start >= l->cut)
		return false;
	r = record_at(regs->sp + l->depth); /* none: it is being finished */
	st = r ? agent_stat_at((u32)((r->stat - offsetof(struct agent_lane, stat)) / 8)) : NULL;
	if (st)
		agent_count(&st->aborted);
	regs->ip = start + l->cut;
	return true;
}
