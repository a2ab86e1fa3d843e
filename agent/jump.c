/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sites that are jumps.
 *
 * Model: a site is armed with a break byte; then the rest of its own instruction becomes that of a
 * jump, then the break byte the jump's first. Back in the opposite order. At each step every thread
 * executes either what was there, or the break, or the jump: what lies behind the instruction never
 * changes, and nobody is within it. Or the jump is *over* instructions that follow, too: each of
 * them gets a break first, and keeps it as a byte of the displacement, so that nobody is within
 * them when the rest changes; who is there goes on where the stub has them. The jump leads to a
 * stub in an arena, or, where the bytes that follow dictate where it leads, to a *pad* with a jump
 * to the stub: a page at that address of memory that the daemon writes.
 *
 * Rules: a jump's displacement ends in bytes of other instructions. Before one of them is given a
 * break the jump becomes a break; it doesn't become a jump while one of them has one. A debugger
 * that gives one of them a break of its own makes the jump lead elsewhere (*astray*): the plan sees
 * to it that nothing can be executed there, and the fault is taken for the hit's trap. Pads are
 * never unmapped and never given another content, as slots are: a thread may be on its way.
 *
 * A process may be forked by another thread at any step: what the child knows of its sites may then
 * be what was before it, or behind. The bytes tell, and a way that was begun goes back to the
 * break.
 *
 * Where the kernel does not serialise other CPUs for us (a filter of system calls may have come
 * over the process) a jump stays: it costs its way through the stub, and does nothing any more.
 *
 * The hit: as one by a trap, but that signals may arrive in it. Where it must be one by a trap
 * (what it needs can't be had from here) the thread traps in the middle of it.
 */
#include <errno.h>

#include "agent/agent.h"

#define PADS 8192u /* hash table of pages */
#define PADS_MAX 4096u

static u64 pads[PADS];
static u32 npads;
static u32 any_inner; /* there are, or have been, jumps over several instructions */
static const u8 break_insn = ARCH_BREAK;

/* --- what jumps lead to -------------------------------------------------------------------------
 */

static u64 *pad_find(u64 page)
{
	u32 i = hash_quick(page) % PADS;

	while (pads[i] && pads[i] != page)
		i = (i + 1) % PADS;
	return &pads[i];
}

/* The daemon has written what is in it: nobody here does. */
int jump_pad_map(const struct agent_pad *new, int fd)
{
	u64 *pad = pad_find(new->addr);
	long p;

	if (!new->addr || new->addr % EBPFRT_PAGE_SIZE)
		return -EINVAL;
	if (*pad)
		return 0;
	if (npads == PADS_MAX)
		return -ENOSPC;
	p = sys_mmap(new->addr, EBPFRT_PAGE_SIZE, PROT_READ | PROT_EXEC,
		     MAP_SHARED | MAP_FIXED_NOREPLACE, fd, (long)new->page *EBPFRT_PAGE_SIZE);
	if (sys_is_err(p))
		return (int)p;
	if ((u64)p != new->addr) { /* a kernel that takes the address as a hint */
		sys_munmap((void *)p, EBPFRT_PAGE_SIZE);
		return -EEXIST;
	}
	*pad = new->addr;
	npads++;
	return 0;
}

/* Is it there, and leads to that stub? An earlier daemon's page may be at that address. */
static bool pad_stands(struct agent_poke *poke, u64 at, u64 stub)
{
	u8 bytes[ARCH_JUMP_LEN], now[ARCH_JUMP_LEN];

	arch_jump_bytes(at, stub, bytes);
	return at % EBPFRT_PAGE_SIZE <= EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN && jump_is_pad(at) &&
	       poke_read(poke, at, now, sizeof(now)) == 0 && memcmp(now, bytes, sizeof(now)) == 0;
}

bool jump_is_pad(u64 addr)
{
	return npads && *pad_find(ALIGN_DOWN(addr, EBPFRT_PAGE_SIZE));
}

u64 jump_pad_leads(u64 addr)
{
	u8 bytes[ARCH_JUMP_LEN];
	s32 rel;

	if (!jump_is_pad(addr) || osl_read(bytes, (void *)addr, sizeof(bytes)) ||
	    bytes[0] != ARCH_JUMP)
		return 0;
	memcpy(&rel, bytes + 1, sizeof(rel));
	return addr + ARCH_JUMP_LEN + (u64)(s64)rel;
}

bool jump_prepare(struct agent_poke *poke, const struct arch_patch *p, const struct arch_jump *j)
{
	if (!j->to || !arch_jump_valid(p, j) || !agent_arena_has_stub(j->stub) ||
	    poke_fill(poke, j->stub, j->bytes, j->stub_len))
		return false;
	leaf_off(j);
	return j->to == j->stub || pad_stands(poke, j->to, j->stub);
}

/* --- between break and jump ---------------------------------------------------------------------
 */

struct jump_text {
	u8 now[ARCH_JUMP_LEN];	/* the text */
	u8 jump[ARCH_JUMP_LEN]; /* as a jump */
	u8 was[ARCH_JUMP_LEN];	/* and without us, as far as they are */
	u32 own;		/* ours to change */
};

static void bytes_of(const struct agent_plan *plan, struct jump_text *t)
{
	arch_jump_bytes(plan->patch.addr, plan->jump.to, t->jump);
	t->own = plan->jump.own;
	for (u32 i = 0; i < t->own; i++)
		t->was[i] = arch_jump_was(&plan->patch, &plan->jump, i);
}

static bool text_of(struct agent_poke *poke, const struct agent_place *p, struct jump_text *t)
{
	bytes_of(p->plan, t);
	return poke_read(poke, p->addr, t->now, ARCH_JUMP_LEN) == 0;
}

/* Our jump, but for break points that somebody has behind what is ours. */
static bool is_jump(const struct jump_text *t)
{
	for (u32 i = t->own; i < ARCH_JUMP_LEN; i++)
		if (t->now[i] != t->jump[i] && t->now[i] != break_insn)
			return false;
	return memcmp(t->now, t->jump, t->own) == 0;
}

bool jump_stands(struct agent_poke *poke, const struct agent_place *p)
{
	struct jump_text t;

	return text_of(poke, p, &t) && is_jump(&t);
}

/* What the stub executes behind the displaced instruction is what is there. */
static bool follows(struct agent_poke *poke, const struct agent_plan *plan)
{
	const struct arch_jump *j = &plan->jump;
	u8 now[ARCH_STUB_SIZE];

	return !j->follow ||
	       (poke_read(poke, plan->patch.addr + plan->patch.len, now, j->follow) == 0 &&
		memcmp(now, j->bytes + j->tail + j->tail_len, j->follow) == 0);
}

/* The break is there, the bytes that are ours to change are as they were, the others as planned. */
static bool may_rise(struct agent_poke *poke, const struct agent_place *p)
{
	struct jump_text t;

	if (p->jumped || p->state != SITE_ARMED || !p->plan->can_jump || !text_of(poke, p, &t))
		return false;
	for (u32 i = 1; i < ARCH_JUMP_LEN; i++) {
		const struct agent_place *other = site_find(p->addr + i);

		if (other && other->state == SITE_ARMED)
			return false;
	}
	return t.now[0] == break_insn && follows(poke, p->plan) &&
	       memcmp(t.now + 1, t.was + 1, t.own - 1) == 0 &&
	       memcmp(t.now + t.own, t.jump + t.own, ARCH_JUMP_LEN - t.own) == 0;
}

/* What follows the break: the rest of the jump, or what was there but for breaks within. */
static bool write_tail(struct agent_poke *poke, const struct agent_place *p, bool jump)
{
	u32 inner = p->plan->jump.inner;
	struct jump_text t;

	if (!text_of(poke, p, &t) || t.now[0] != break_insn)
		return false;
	for (u32 i = 1; i < t.own && !jump; i++)
		t.jump[i] = inner >> i & 1 ? break_insn : t.was[i];
	return t.own == 1 || poke_write(poke, p->addr + 1, t.jump + 1, t.own - 1) == 0;
}

/* Where other instructions begin within: breaks, or what was there. */
static void write_inner(struct agent_poke *poke, const struct agent_place *p, bool breaks)
{
	const struct arch_jump *j = &p->plan->jump;

	for (u32 i = 1; j->inner >> i; i++) {
		u8 was = arch_jump_was(&p->plan->patch, j, i), now;
		u8 from = breaks ? was : break_insn, to = breaks ? break_insn : was;

		if (j->inner >> i & 1 && poke_read(poke, p->addr + i, &now, 1) == 0 && now == from)
			poke_write(poke, p->addr + i, &to, 1);
	}
}

static void count_jumps(s32 n)
{
	if (agent.stats)
		store_relaxed(&agent.stats->jumps, agent.stats->jumps + (u64)(s64)n);
}

/* From here on nobody is within the bytes that are going to be those jumps'. */
static bool clear_ways(struct agent_poke *poke, struct agent_place *const *v, u32 n, u64 over)
{
	for (u32 i = 0; i < n; i++) {
		if (!(over >> i & 1))
			continue;
		store_release(&v[i]->inner, v[i]->inner | v[i]->plan->jump.inner);
		store_release(&any_inner, 1);
		write_inner(poke, v[i], true);
	}
	return poke_sync(poke);
}

static void give_ways_back(struct agent_poke *poke, struct agent_place *const *v, u32 n, u64 over)
{
	for (u32 i = 0; i < n; i++)
		if (over >> i & 1)
			write_inner(poke, v[i], false);
}

static bool raise_one(struct agent_poke *poke, struct agent_place *p)
{
	static const u8 jump_insn = ARCH_JUMP;

	if (poke_write(poke, p->addr, &jump_insn, 1))
		return false;
	p->jumped = JUMP_STANDS;
	count_jumps(1);
	return true;
}

/* Those of @v that can become jumps, and, of them, those that are over several instructions. */
static u64 which_may_rise(struct agent_poke *poke, struct agent_place *const *v, u32 n, u64 *over)
{
	u64 rising = 0;

	*over = 0;
	for (u32 i = 0; i < n; i++)
		if (may_rise(poke, v[i])) {
			rising |= 1ull << i;
			*over |= (u64) !!v[i]->plan->jump.inner << i;
		}
	return rising;
}

void jump_raise(struct agent_poke *poke, struct agent_place *const *v, u32 n)
{
	u64 over, rising = which_may_rise(poke, v, n, &over);
	bool synced;

	if (over && !clear_ways(poke, v, n, over))
		rising &= ~over;
	for (u32 i = 0; i < n; i++)
		if (rising >> i & 1 && !write_tail(poke, v[i], true))
			rising &= ~(1ull << i);
	synced = rising && poke_sync(poke);
	for (u32 i = 0; i < n; i++) {
		if (!(rising >> i & 1) || (synced && raise_one(poke, v[i])))
			continue;
		rising &= ~(1ull << i);
		write_tail(poke, v[i], false);
	}
	if (rising || over)
		poke_sync(poke);
	give_ways_back(poke, v, n, over & ~rising);
}

void jump_forget(struct agent_place *p)
{
	if (__atomic_exchange_n(&p->jumped, 0, __ATOMIC_RELAXED))
		count_jumps(-1);
}

bool jump_tail_is(const struct agent_plan *plan, const u8 *text)
{
	struct jump_text t;
	u32 own;

	if (!plan->can_jump)
		return false;
	bytes_of(plan, &t);
	own = MIN((u32)plan->patch.len, (u32)ARCH_JUMP_LEN);
	return memcmp(text + 1, t.jump + 1, own - 1) == 0;
}

/*
 * Is it still our jump? Else somebody else's code is there now, and nothing is to be put back; or
 * another thread is at it, which is possible when the daemon has died. A debugger's break point on
 * the jump keeps it where it is: what the debugger will put back is the jump's first byte.
 */
static bool lower_head(struct agent_poke *poke, struct agent_place *p)
{
	struct jump_text t;

	if (!text_of(poke, p, &t))
		return false;
	if (t.now[0] == break_insn && jump_tail_is(p->plan, t.now))
		return load_acquire(&p->jumped) == JUMP_LOWERED;
	if (!is_jump(&t)) {
		jump_forget(p);
		return false;
	}
	store_release(&p->jumped, JUMP_LOWERED);
	if (poke_write(poke, p->addr, &break_insn, 1) == 0)
		return true;
	store_release(&p->jumped, JUMP_STANDS);
	return false;
}

static void lower_tail(struct agent_poke *poke, struct agent_place *p)
{
	if (load_relaxed(&p->jumped) != JUMP_LOWERED)
		return;
	write_tail(poke, p, false);
	if (!p->plan->jump.inner)
		jump_forget(p);
}

/* What was within is there again: those who are there may be let in. */
static void lower_inner(struct agent_poke *poke, struct agent_place *p)
{
	if (load_relaxed(&p->jumped) != JUMP_LOWERED || !p->plan->jump.inner)
		return;
	write_inner(poke, p, false);
	jump_forget(p);
}

static bool any_jump(const struct agent_place *first, bool (*pred)(const struct agent_place *p))
{
	for (const struct agent_place *p = first; p; p = p->older)
		if (p->jumped && pred(p))
			return true;
	return false;
}

void jump_lower(struct agent_poke *poke, bool (*pred)(const struct agent_place *p))
{
	struct agent_place *first = load_acquire(&agent.places);

	if (!any_jump(first, pred) || !poke_sync(poke))
		return;
	for (struct agent_place *p = first; p; p = p->older)
		if (p->jumped && pred(p))
			lower_head(poke, p);
	poke_sync(poke);
	for (struct agent_place *p = first; p; p = p->older)
		if (p->jumped && pred(p))
			lower_tail(poke, p);
	poke_sync(poke);
	if (!any_jump(first, pred))
		return;
	for (struct agent_place *p = first; p; p = p->older)
		if (p->jumped && pred(p))
			lower_inner(poke, p);
	poke_sync(poke);
}

static bool any_place(const struct agent_place *p)
{
	return true;
}

/* --- a forked child ------------------------------------------------------------------------------
 */

/* Between break and jump: each byte is as on one of the two sides, or the break within. */
static bool is_halfway(const struct agent_plan *plan, const struct jump_text *t)
{
	bool any = false;

	if (t->now[0] != break_insn)
		return false;
	for (u32 i = 1; i < t->own; i++) {
		bool within = plan->jump.inner >> i & 1 && t->now[i] == break_insn;

		if (t->now[i] != t->was[i] && t->now[i] != t->jump[i] && !within)
			return false;
		any |= t->now[i] != t->was[i];
	}
	return any;
}

static void see_forked(struct agent_place *p)
{
	const struct agent_plan *plan = p->plan;
	struct jump_text t;

	if (!plan || !plan->can_jump || p->state == SITE_GONE ||
	    osl_read(t.now, (void *)p->addr, sizeof(t.now)))
		return;
	bytes_of(plan, &t);
	if (is_jump(&t))
		p->jumped = JUMP_STANDS;
	else if (is_halfway(plan, &t))
		p->jumped = JUMP_LOWERED;
	else
		p->jumped = JUMP_NO;
}

/* As lower_tail() and lower_inner(); in the parent this one has not been counted. */
static void go_back(struct agent_poke *poke, struct agent_place *p)
{
	write_tail(poke, p, false);
	poke_sync(poke);
	write_inner(poke, p, false);
	poke_sync(poke);
	p->jumped = JUMP_NO;
}

void jump_forked(void)
{
	struct agent_place *first = load_acquire(&agent.places);
	struct agent_poke poke;
	bool halfway = false;

	for (struct agent_place *p = first; p; p = p->older) {
		see_forked(p);
		halfway |= p->jumped == JUMP_LOWERED;
	}
	if (!halfway)
		return;
	poke_begin(&poke);
	for (struct agent_place *p = first; p; p = p->older)
		if (p->jumped == JUMP_LOWERED)
			go_back(&poke, p);
	poke_end(&poke);
}

bool jump_give_up(void)
{
	struct agent_poke poke;

	store_relaxed(&agent.jumps, 0);
	poke_begin(&poke);
	jump_lower(&poke, any_place);
	ret_lower(&poke);
	poke_end(&poke);
	for (struct agent_place *p = load_acquire(&agent.places); p; p = p->older)
		if (p->jumped)
			store_relaxed(&agent.jumps, 1);
	return !agent.jumps;
}

/* False: it stays. */
static bool lower_one(struct agent_poke *poke, struct agent_place *p)
{
	if (!poke_sync(poke))
		return false;
	if (!lower_head(poke, p))
		return true;
	poke_sync(poke);
	lower_tail(poke, p);
	poke_sync(poke);
	if (!p->jumped)
		return true;
	lower_inner(poke, p);
	poke_sync(poke);
	return true;
}

bool jump_lower_over(struct agent_poke *poke, u64 addr)
{
	bool none = true;

	for (u32 i = 0; i < ARCH_JUMP_LEN; i++) {
		struct agent_place *p = site_find(addr - i);

		if (p && p->jumped)
			none &= lower_one(poke, p);
	}
	return none;
}

bool jump_lower_around(struct agent_poke *poke, u64 addr)
{
	bool none = true;

	for (u32 i = 1; i < ARCH_JUMP_LEN; i++) {
		struct agent_place *p = site_find(addr - i);

		if (p && p->jumped && p->plan->jump.inner >> i & 1)
			none &= lower_one(poke, p);
	}
	return none;
}

/* --- within -------------------------------------------------------------------------------------
 */

/* The way on from @addr, the @i-th byte of the site of @p, where our break is or was. */
static u64 inner_way(const struct agent_place *p, u64 addr, u32 i)
{
	const struct agent_plan *plan = load_acquire(&p->plan);
	u8 byte;

	if (plan->can_jump && plan->jump.inner >> i & 1)
		return arch_jump_inner(&plan->patch, &plan->jump, i);
	/* that of an earlier plan, which has gone since */
	return osl_read(&byte, (void *)addr, 1) || byte == break_insn ? 0 : addr;
}

/* The site whose jump has, or had, a break within at @addr, its @i-th byte; or NULL. */
static const struct agent_place *inner_site(u64 addr, u32 *i)
{
	const struct agent_place *p = load_acquire(&any_inner) ? site_find(addr) : NULL;

	if (!load_relaxed(&any_inner) || (p && load_acquire(&p->state) == SITE_ARMED))
		return NULL;
	for (*i = 1; *i < ARCH_JUMP_LEN; ++*i) {
		p = site_find(addr - *i);
		if (p && load_acquire(&p->inner) >> *i & 1 && load_acquire(&p->state) != SITE_GONE)
			return p;
	}
	return NULL;
}

u64 jump_inner(u64 addr)
{
	u32 i;
	const struct agent_place *p = inner_site(addr, &i);

	return p ? inner_way(p, addr, i) : 0;
}

bool jump_inner_done(u64 addr, const struct arch_regs *regs)
{
	u32 i;
	const struct agent_place *p = inner_site(addr, &i);
	const struct agent_plan *plan = p ? load_acquire(&p->plan) : NULL;

	return plan && plan->can_jump && plan->jump.inner >> i & 1 &&
	       arch_jump_done(&plan->patch, &plan->jump, i, regs);
}

/* --- astray -------------------------------------------------------------------------------------
 */

/* By a jump that is there, or has been until just now. */
static bool leads_to(const struct agent_place *p, u64 ip)
{
	const struct agent_plan *plan = load_acquire(&p->plan);

	if (!plan || !plan->can_jump)
		return false;
	if (ip == p->addr) /* the CPU may refuse an address that can't be before it goes there */
		return load_relaxed(&p->jumped);
	arch_for_each_breaks (breaks, plan->jump.own)
		if (ip == arch_jump_astray(p->addr, plan->jump.to, breaks))
			return true;
	return false;
}

/* Of a thread that came there by a jump no other access can have failed. */
static bool came_to(const struct osl_ucontext *uc, u64 ip)
{
	return uc->trapno == TRAP_BREAK || (uc->trapno == TRAP_PAGE && uc->cr2 == ip) ||
	       (uc->trapno == TRAP_PROTECTION && (ip >> 47 || site_find(ip)));
}

bool jump_astray(struct osl_ucontext *uc, u64 ip)
{
	if (!came_to(uc, ip))
		return false;
	for (const struct agent_place *p = load_acquire(&agent.places); p; p = p->older) {
		if (!leads_to(p, ip))
			continue;
		uc->ip = p->addr;
		return true;
	}
	return false;
}

/* --- a hit --------------------------------------------------------------------------------------
 */

u8 agent_vectors;

struct hit {
	const struct agent_place *p;
	const struct arch_regs *regs;
	const u64 *vectors;
	struct agent_active *a;
};

static __hot void count_hit(void)
{
	struct agent_lane *lane = agent_lane_at((u64)__builtin_frame_address(0));

	if (likely(lane))
		arch_count(&lane->hits);
	else
		agent_count(&agent.stats->hits);
}

static __hot void on_hit(void *v)
{
	struct hit *h = v;

	count_hit();
	trap_serve(h->p, h->regs, h->a);
}

/* As one by a trap: no signal of the application comes in, and the stack may be changed. */
static void on_closed_hit(void *v)
{
	struct hit *h = v;
	bool nested, settled = fork_check();

	agent_count(&agent.stats->hits);
	if (agent_daemon_dead() && !load_acquire(&agent.inert))
		agent_go_inert(false);
	h->a = settled ? active_enter((u64)__builtin_frame_address(0), &nested) : NULL;
	if (h->a)
		active_carry(h->a, h->vectors);
	trap_serve(h->p, h->regs, h->a);
	if (h->a)
		active_leave(h->a);
}

/* Something is to be done with the daemon, or the stack may not be left. */
static __always_inline bool by_trap(const struct jump_frame *f, u64 thread,
				    const struct agent_alternate *alternate)
{
	return load_acquire(agent.mark) != FORK_KNOWN ||
	       (agent_daemon_dead() && !load_acquire(&agent.inert)) ||
	       !alternate_unused(alternate, (u64)f, thread);
}

/* --- a return -----------------------------------------------------------------------------------
 */

struct back {
	struct jump_frame *f;
	u64 stub;
	struct agent_active *a;
};

static __hot void on_back(void *v)
{
	struct back *b = v;
	u64 to = trap_serve_return(b->stub, &b->f->regs, b->a, &b->f->ret);

	b->f->ret = to ? to : (u64)agent_ret_nowhere;
}

/* Lanes are for those who are noted to be in a hit: then they are not unmapped. */
static __hot void on_open_back(void *v)
{
	count_hit();
	on_back(v);
}

static void on_closed_back(void *v)
{
	struct back *b = v;
	bool nested, settled = fork_check();

	if (agent_daemon_dead() && !load_acquire(&agent.inert))
		agent_go_inert(false);
	agent_count(&agent.stats->hits);
	b->a = settled ? active_enter((u64)__builtin_frame_address(0), &nested) : NULL;
	if (b->a)
		active_carry(b->a, jump_vectors(b->f));
	on_back(b);
	if (b->a)
		active_leave(b->a);
}

/* A program's call of a function comes by here: what runs here has missed it. */
static bool misses(const struct jump_frame *f, u64 thread)
{
	if (!active_calling(thread, (u64)f))
		return false;
	agent_count(&agent.stats->hits);
	return true;
}

/* What can be found out by a trap is; no hit is served. */
static void on_look(void *v)
{
	fork_check();
	if (agent_daemon_dead() && !load_acquire(&agent.inert))
		agent_go_inert(false);
}

static __hot void on_return(struct jump_frame *f)
{
	struct back b = {.f = f, .stub = f->regs.ip};
	u64 thread = arch_thread_pointer();
	const struct agent_alternate *alternate = stack_alternate(thread);

	if (unlikely(misses(f, thread))) {
		on_back(&b);
		return;
	}

	if (unlikely(by_trap(f, thread, alternate))) {
		if (!agent_trap_self(on_closed_back, &b)) {
			agent_count(&agent.stats->hits);
			on_back(&b);
		}
		return;
	}
	b.a = active_enter_open(f, thread);
	b.a->alternate = alternate;
	active_carry(b.a, jump_vectors(f));
	stack_call_open(on_open_back, &b, b.a);
	active_leave(b.a);
}

void jump_serve(struct jump_frame *f)
{
	struct hit h = {.regs = &f->regs, .vectors = jump_vectors(f)};
	const struct agent_alternate *alternate;
	u64 thread;

	if (ret_is_stub(f->regs.ip)) {
		on_return(f);
		return;
	}
	h.p = site_find(f->regs.ip);
	thread = arch_thread_pointer();

	/* restored since: there is only the instruction to be executed */
	if (!h.p || load_acquire(&h.p->state) != SITE_ARMED)
		return;
	if (unlikely(misses(f, thread))) {
		trap_serve(h.p, h.regs, NULL);
		return;
	}
	alternate = stack_alternate(thread);
	/* a thread's first one */
	if (unlikely(by_trap(f, thread, alternate)) && trap_calls(h.p))
		agent_trap_self(on_look, &h);
	if (unlikely(by_trap(f, thread, alternate))) {
		if (!agent_trap_self(on_closed_hit, &h)) {
			agent_count(&agent.stats->hits);
			trap_serve(h.p, h.regs, NULL);
		}
		return;
	}
	h.a = active_enter_open(f, thread);
	h.a->alternate = alternate;
	active_carry(h.a, h.vectors);
	stack_call_open(on_hit, &h, h.a);
	active_leave(h.a);
}
