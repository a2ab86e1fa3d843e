/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sites and their consumers.
 *
 * Model: a hash table from address to place, insert-only: a place is published before its break
 * byte is written and stays for the life of the process, so that a trap that is already on its way
 * always finds it. When the table is as full as it should be those that come are in a larger one. A
 * place whose instruction changes (another library came to that address) gets a new plan. Slots are
 * written before the place is published and never given another content.
 *
 * A consumer may have a counter in the program's memory, which says whether anybody looks (the
 * semaphore of a USDT probe). It is the module's, as the site is: it is touched only while the
 * site's bytes show that the module is still there.
 *
 * A break becomes a jump where there is one (jump.c), and a jump a break again before anything else
 * happens to it.
 *
 * Removal: original byte, then SITE_DEAD. A trap that arrives later finds the place dead and starts
 * the instruction again. The sites that keep our signals unblocked are only removed while no other
 * thread runs; until then they stay and do what the application asked for.
 */
#include <errno.h>

#include "agent/agent.h"

#define MANY 8192u
#define MAX_ORDER 12u /* at most 4096 consumers of a site */
#define RAISED_AT_ONCE 64u

struct agent_place *agent_sites[SITES_FEW];
static struct agent_place *many[MANY];
static u32 nfew;
static struct agent_hooks *spare[MAX_ORDER + 1];
static struct agent_hooks *retired;
static const u8 break_insn = ARCH_BREAK;

__hot struct agent_place *site_find_more(u64 addr)
{
	if (load_relaxed(&nfew) < SITES_FEW)
		return NULL;
	return site_find_in(&many[site_hash(addr) % MANY], addr);
}

static struct agent_place *site_insert(u64 addr)
{
	struct agent_place *p = agent_alloc(sizeof(*p)), **head = &many[site_hash(addr) % MANY];

	if (!p)
		return NULL;
	if (nfew < SITES_FEW) {
		head = &agent_sites[site_hash(addr) % SITES_FEW];
		store_relaxed(&nfew, nfew + 1);
	}
	p->addr = addr;
	p->chain = *head;
	p->older = agent.places;
	store_release(head, p);
	store_release(&agent.places, p);
	return p;
}

struct agent_place *site_of_slot(u64 ip)
{
	for (struct agent_place *p = load_acquire(&agent.places); p; p = p->older) {
		const struct agent_plan *plan = load_acquire(&p->plan);

		if (plan && plan->patch.slot && ip - plan->patch.slot < plan->patch.slot_len)
			return p;
		if (plan && plan->can_jump && ip - plan->jump.stub < plan->jump.stub_len)
			return p;
	}
	return NULL;
}

/* The displaced instruction is at @copy: what is before and behind is ours. */
static u64 unslot_ip(const struct arch_patch *p, u64 copy, u32 len, u64 ip)
{
	return ip < copy + len || !len ? p->addr : p->addr + p->len;
}

/* At @into of the stub the displaced instruction is done. */
static u64 behind(const struct arch_patch *p, const struct arch_jump *j, u32 into)
{
	return p->addr + p->len + MIN(into - j->tail - j->tail_len, (u32)j->follow);
}

void site_unslot(const struct agent_place *p, struct arch_regs *regs)
{
	const struct agent_plan *plan = load_acquire(&p->plan);
	const struct arch_jump *j = &plan->jump;

	if (plan->can_jump && regs->ip - j->stub < j->stub_len) {
		u32 into = (u32)(regs->ip - j->stub);

		regs->sp += into < j->tail ? arch_jump_depth(into) : 0;
		if (j->follow && into >= j->tail + j->tail_len)
			regs->ip = behind(&plan->patch, j, into);
		else
			regs->ip =
				unslot_ip(&plan->patch, j->stub + j->tail, j->tail_len, regs->ip);
		return;
	}
	regs->ip = unslot_ip(&plan->patch, plan->patch.slot, plan->patch.len, regs->ip);
}

u64 site_behind(u64 ip)
{
	const struct agent_place *p = agent_arena_holds(ip, 1) ? site_of_slot(ip) : NULL;
	const struct agent_plan *plan = p ? load_acquire(&p->plan) : NULL;
	const struct arch_jump *j = plan && plan->can_jump ? &plan->jump : NULL;

	if (!j || !j->follow || ip - j->stub >= j->stub_len ||
	    ip - j->stub < (u64)j->tail + j->tail_len)
		return ip;
	return behind(&plan->patch, j, (u32)(ip - j->stub));
}

/* --- consumers ----------------------------------------------------------------------------------
 */

static struct agent_hooks *hooks_new(u32 n)
{
	struct agent_hooks *h;
	u32 order = 0;

	while ((1u << order) < n)
		order++;
	if (order > MAX_ORDER)
		return NULL;
	h = spare[order];
	if (h)
		spare[order] = h->next;
	else
		h = agent_alloc(sizeof(*h) + (sizeof(h->v[0]) << order));
	if (h)
		*h = (struct agent_hooks){.order = order};
	return h;
}

/* What was retired may be used again once no thread can still be looking at it. */
static void hooks_reclaim(void)
{
	struct agent_hooks *h, *next;

	if (!retired || !active_quiet(NULL))
		return;
	for (h = retired; h; h = next) {
		next = h->next;
		h->next = spare[h->order];
		spare[h->order] = h;
	}
	retired = NULL;
}

/* Before anybody looks who may still use what they were. */
void site_changed(void)
{
	if (agent.changes)
		__atomic_fetch_add(agent.changes, 1, __ATOMIC_SEQ_CST);
}

static void hooks_swap(struct agent_place *p, struct agent_hooks *new)
{
	struct agent_hooks *old = p->hooks;

	__atomic_store_n(&p->hooks, new, __ATOMIC_SEQ_CST);
	leaf_update(p);
	site_changed();
	if (old) {
		old->next = retired;
		retired = old;
	}
}

static void hooks_append(struct agent_hooks *h, const struct agent_hook *hook)
{
	bool lean = hook->ret != HOOK_SESSION && hook->stat < AGENT_LANE_STATS;

	h->lean = lean && (!h->n || h->lean);
	h->v[h->n++] = *hook;
	h->nret += hook->ret == HOOK_STUB;
	h->more = h->n > 1 || h->nret;
}

static enum hook_when when_of(const struct agent_consumer *c)
{
	if (c->flags & AGENT_CONSUMER_SESSION)
		return HOOK_SESSION;
	if (!(c->flags & AGENT_CONSUMER_RET))
		return HOOK_ENTRY;
	return c->flags & AGENT_CONSUMER_AT_RETURNS ? HOOK_RETURN : HOOK_STUB;
}

static bool hook_same(const struct agent_hook *h, const struct agent_consumer *c)
{
	return h->link == c->link && h->index == c->index && h->ret == when_of(c);
}

/* Writable, as the kernel demands it of a counter, or left alone. */
static bool sema_add(u64 addr, int by)
{
	u16 n;

	if (osl_read(&n, (void *)addr, sizeof(n)) || (by < 0 && !n))
		return false;
	n = (u16)(n + by);
	return osl_write((void *)addr, &n, sizeof(n)) == 0;
}

/* Once, whoever comes: when the daemon has died several threads restore at the same time. */
static void hook_lower(struct agent_hook *h)
{
	u64 sema = __atomic_exchange_n(&h->sema, 0, __ATOMIC_ACQ_REL);

	if (sema)
		sema_add(sema, -1);
}

/* What the same consumer had raised before stays so. */
static void hook_raise(struct agent_hook *new, struct agent_hook *before, u64 sema)
{
	if (before && before->sema == sema)
		new->sema = __atomic_exchange_n(&before->sema, 0, __ATOMIC_ACQ_REL);
	else if (before)
		hook_lower(before);
	if (sema && !new->sema && sema_add(sema, 1))
		new->sema = sema;
}

static bool site_is_armed(const struct agent_place *p)
{
	return load_acquire(&p->state) == SITE_ARMED && load_acquire(&p->plan);
}

static bool guards_actions(const struct agent_place *p)
{
	return p->plan->flags & AGENT_SITE_SIGACTION;
}

/*
 * Jumps need to know of every handler that begins: who sets one without our seeing it keeps the
 * breaks. Those that are set already are called through ours from here on.
 */
static bool handlers_seen(void)
{
	bool seen = false;

	for (struct agent_place *p = agent.places; p && !seen; p = p->older)
		seen = site_is_armed(p) && guards_actions(p);
	if (seen)
		sig_see_handlers();
	return seen;
}

/* There is going to be a return by a stub. */
static void raise_returns(void)
{
	struct agent_poke poke;

	if (!agent.jumps || !handlers_seen())
		return;
	poke_begin(&poke);
	ret_raise(&poke);
	poke_end(&poke);
}

static void lower_returns(void)
{
	struct agent_poke poke;

	poke_begin(&poke);
	ret_lower(&poke);
	poke_end(&poke);
}

int site_hook(const struct agent_consumer *c)
{
	struct agent_place *p = site_find(c->addr);
	const struct ebpf_prog *prog = agent_prog_find(c->prog);
	struct agent_hook hook = {
		.link = c->link,
		.cookie = c->cookie,
		.prog = prog,
		.ret = when_of(c),
		.stat = c->stat,
		.index = c->index,
		.entry = c->flags & AGENT_CONSUMER_ENTRY,
	};
	struct agent_hooks *new, *old;
	struct agent_hook *before = NULL;

	if (!p || !prog || load_relaxed(&p->state) != SITE_ARMED)
		return -ENOENT;
	if ((hook.ret == HOOK_STUB || hook.ret == HOOK_SESSION) &&
	    (agent.shadow_stack || !agent.ret_limit))
		return -EOPNOTSUPP;
	if (hook.ret == HOOK_SESSION && session_init(prog->image->flags & EBPF_IMAGE_AT_EXIT))
		return -ENOMEM;
	if (prog->image->flags & EBPF_IMAGE_VECTORS)
		store_release(&agent_vectors, 1);
	hooks_reclaim();
	old = p->hooks;
	new = hooks_new(old ? old->n + 1 : 1);
	if (!new)
		return -ENOMEM;
	for (u32 i = 0; old && i < old->n; i++)
		if (hook_same(&old->v[i], c))
			before = &old->v[i];
		else
			hooks_append(new, &old->v[i]);
	hook_raise(&hook, before, c->sema);
	if (hook.ret == HOOK_STUB || hook.ret == HOOK_SESSION)
		raise_returns();
	hooks_append(new, &hook);
	hooks_swap(p, new);
	return 0;
}

int site_update_link(u64 link, const struct ebpf_prog *prog)
{
	int found = 0;

	for (struct agent_place *p = agent.places; p; p = p->older)
		for (u32 i = 0; p->hooks && i < p->hooks->n; i++)
			if (p->hooks->v[i].link == link) {
				store_release(&p->hooks->v[i].prog, prog);
				leaf_update(p);
				found++;
			}
	site_changed();
	return found ? 0 : -ENOENT;
}

/* --- arming and restoring -----------------------------------------------------------------------
 */

static bool byte_is(struct agent_poke *poke, u64 addr, u8 want)
{
	u8 byte;

	return poke_read(poke, addr, &byte, 1) == 0 && byte == want;
}

/* The bytes of the instruction are as expected, the first one being @first. */
static int text_matches(struct agent_poke *poke, const struct arch_patch *p, u8 first)
{
	u8 text[ARCH_MAX_INSN];

	if (poke_read(poke, p->addr, text, p->len))
		return -EFAULT;
	if (text[0] != first)
		return text[0] == break_insn ? -EBUSY : -ESTALE;
	return memcmp(text + 1, p->insn + 1, p->len - 1) ? -ESTALE : 0;
}

static int slot_write(struct agent_poke *poke, const struct arch_patch *p)
{
	if (!p->slot)
		return 0;
	if (!agent_arena_holds(p->slot, p->slot_len))
		return -EFAULT;
	return poke_fill(poke, p->slot, p->slot_bytes, p->slot_len);
}

static u64 patch_size(const struct arch_patch *p)
{
	return p->slot ? sizeof(*p) : offsetof(struct arch_patch, slot_bytes);
}

static u64 jump_size(const struct arch_jump *j)
{
	return offsetof(struct arch_jump, bytes) + MIN(j->stub_len, sizeof(j->bytes));
}

static struct agent_plan *plan_new(const struct agent_site *s)
{
	bool jumps = s->jump.to;
	struct agent_plan *plan =
		agent_alloc(jumps ? offsetof(struct agent_plan, jump) + jump_size(&s->jump)
				  : offsetof(struct agent_plan, patch) + patch_size(&s->patch));

	if (!plan)
		return NULL;
	memcpy(&plan->patch, &s->patch, patch_size(&s->patch));
	plan->flags = s->flags;
	plan->module = s->module;
	plan->func = s->func;
	plan->has_jump = jumps;
	plan->can_jump = false;
	if (jumps)
		memcpy(&plan->jump, &s->jump, jump_size(&s->jump));
	return plan;
}

static bool jump_same(const struct agent_plan *plan, const struct arch_jump *j)
{
	return plan->has_jump ? memcmp(&plan->jump, j, jump_size(j)) == 0 : !j->to;
}

static bool plan_same(const struct agent_plan *plan, const struct agent_site *s)
{
	return plan && plan->flags == s->flags && plan->module == s->module &&
	       plan->func == s->func && plan->patch.slot == s->patch.slot &&
	       memcmp(&plan->patch, &s->patch, patch_size(&s->patch)) == 0 &&
	       jump_same(plan, &s->jump);
}

static bool site_stands(struct agent_poke *poke, const struct agent_place *p)
{
	return p->jumped ? jump_stands(poke, p)
			 : text_matches(poke, &p->plan->patch, break_insn) == 0;
}

static int site_check(struct agent_poke *poke, const struct agent_site *s)
{
	const struct agent_place *p = site_find(s->patch.addr);
	int ret;

	if (!arch_patch_valid(&s->patch) || s->patch.insn[0] == break_insn)
		return -EINVAL;
	if (s->patch.kind == ARCH_PATCH_SLOT && !s->patch.slot)
		return -EINVAL;
	/* armed already, unless the text was replaced under us */
	if (p && (p->state == SITE_ARMED || p->jumped) && site_stands(poke, p))
		return 0;
	ret = text_matches(poke, &s->patch, s->patch.insn[0]);
	/* a debugger that removed its break point over ours left our own byte behind */
	if (ret == -EBUSY && p && p->state != SITE_GONE && plan_same(p->plan, s))
		return 0;
	return ret;
}

void site_forget(u64 addr)
{
	struct agent_place *p = site_find(addr);

	if (!p)
		return;
	store_release(&p->state, SITE_GONE);
	jump_forget(p);
	hooks_swap(p, NULL);
}

/* Everything but the byte: from here on a trap at the site would be served. */
static int site_prepare(struct agent_poke *poke, const struct agent_site *s)
{
	struct agent_place *p;
	struct agent_plan *plan;
	int ret = jump_lower_around(poke, s->patch.addr) ? site_check(poke, s) : -EFAULT;

	if (ret)
		return ret;
	ret = slot_write(poke, &s->patch);
	if (ret)
		return ret;
	p = site_find(s->patch.addr);
	if (!p)
		p = site_insert(s->patch.addr);
	if (!p)
		return -ENOMEM;
	/* the module was loaded anew since: its data are as new as its text */
	if (p->state == SITE_ARMED && !site_stands(poke, p) &&
	    byte_is(poke, p->addr, s->patch.insn[0]))
		site_forget(p->addr);
	if (plan_same(p->plan, s))
		return 0;
	if (!jump_lower_over(poke, p->addr))
		return -EFAULT;
	plan = plan_new(s);
	if (!plan)
		return -ENOMEM;
	if (p->plan && p->plan->module != s->module)
		hooks_swap(p, NULL); /* whoever was here before is unloaded */
	if (p->plan && p->plan->can_jump)
		leaf_off(&p->plan->jump);
	plan->can_jump = plan->has_jump && !s->flags && jump_prepare(poke, &s->patch, &s->jump);
	store_release(&p->plan, plan);
	leaf_update(p);
	return 0;
}

static int site_break(struct agent_poke *poke, const struct agent_site *s)
{
	struct agent_place *p = site_find(s->patch.addr);
	int ret;

	if (p->jumped) { /* it had to stay perhaps */
		store_release(&p->state, SITE_ARMED);
		return 0;
	}
	if (!jump_lower_over(poke, p->addr))
		return -EFAULT;
	store_release(&p->state, SITE_ARMED);
	ret = poke_write(poke, s->patch.addr, &break_insn, 1);
	if (ret)
		store_release(&p->state, SITE_DEAD);
	return ret;
}

static int site_see_broken(struct agent_poke *poke, const struct agent_site *s)
{
	struct agent_place *p = site_find(s->patch.addr);

	if (p->jumped || byte_is(poke, p->addr, break_insn))
		return 0;
	store_release(&p->state, SITE_DEAD);
	return poke->err ? poke->err : -EFAULT;
}

static void raise_all(struct agent_poke *poke, const struct agent_site *v, u32 n, const s32 *err)
{
	struct agent_place *some[RAISED_AT_ONCE];
	u32 k = 0;

	for (u32 i = 0; i < n; i++) {
		if (err[i] == 0)
			some[k++] = site_find(v[i].patch.addr);
		if (k == RAISED_AT_ONCE || i == n - 1) {
			jump_raise(poke, some, k);
			k = 0;
		}
	}
}

void site_arm_all(const struct agent_site *v, u32 n, s32 *err)
{
	struct agent_poke poke;

	poke_begin(&poke);
	for (u32 i = 0; i < n; i++)
		err[i] = site_prepare(&poke, &v[i]);
	poke_sync(&poke);
	/* a slot that could not be written must not be executed; which one it is does not matter */
	for (u32 i = 0; i < n; i++)
		if (err[i] == 0)
			err[i] = poke.err;
	for (u32 i = 0; i < n; i++)
		if (err[i] == 0)
			err[i] = site_break(&poke, &v[i]);
	poke_sync(&poke);
	for (u32 i = 0; i < n; i++)
		if (err[i] == 0)
			err[i] = site_see_broken(&poke, &v[i]);
	/* a debugger has break points of its own, or will have: where jumps have their last bytes
	 */
	if (handlers_seen() && agent.jumps && (agent_entry_sp || !agent_is_traced()))
		raise_all(&poke, v, n, err);
	poke_end(&poke);
}

/* The original byte back, if it is still ours to put back. */
static void site_restore(struct agent_poke *poke, struct agent_place *p)
{
	const struct arch_patch *patch = &p->plan->patch;

	if (text_matches(poke, patch, break_insn))
		return;
	for (u32 i = 0; p->hooks && i < p->hooks->n; i++)
		hook_lower(&p->hooks->v[i]);
	poke_write(poke, p->addr, patch->insn, 1);
}

/* One where a break is or was, the site's own or one within its jump. */
static bool had_break(const struct agent_place *p, u32 i)
{
	return i < ARCH_JUMP_LEN && (!i || load_acquire(&p->inner) >> i & 1) &&
	       load_acquire(&p->state) != SITE_GONE;
}

u64 site_ending(u32 low)
{
	u64 found = 0;

	for (struct agent_place *p = load_acquire(&agent.places); p; p = p->older) {
		u32 i = low - (u32)p->addr;

		if (!had_break(p, i) || found == p->addr + i)
			continue;
		if (found)
			return 0;
		found = p->addr + i;
	}
	return found;
}

/* Whose break somebody has taken out is restored by that. */
void site_slept(void)
{
	struct agent_poke poke;

	poke_begin(&poke);
	for (struct agent_place *p = agent.places; p; p = p->older) {
		if (!site_is_armed(p) ||
		    text_matches(&poke, &p->plan->patch, p->plan->patch.insn[0]))
			continue;
		for (u32 i = 0; p->hooks && i < p->hooks->n; i++)
			hook_lower(&p->hooks->v[i]);
		store_release(&p->state, SITE_DEAD);
		jump_forget(p);
	}
	site_changed();
	poke_end(&poke);
}

static bool site_is_idle(const struct agent_place *p)
{
	return p->state == SITE_ARMED && !p->plan->flags && (!p->hooks || p->hooks->n == 0);
}

static void restore_if(bool (*pred)(const struct agent_place *p))
{
	struct agent_poke poke;
	struct agent_place *first = load_acquire(&agent.places);

	poke_begin(&poke);
	jump_lower(&poke, pred);
	for (struct agent_place *p = first; p; p = p->older)
		if (pred(p))
			site_restore(&poke, p);
	poke_sync(&poke);
	poke_end(&poke);
	for (struct agent_place *p = first; p; p = p->older)
		if (pred(p))
			store_release(&p->state, SITE_DEAD);
	site_changed();
}

static bool guards_signals(const struct agent_place *p)
{
	return p->plan->flags & (AGENT_SITE_SIGMASK | AGENT_SITE_SIGACTION);
}

bool site_guarded(void)
{
	for (struct agent_place *p = load_acquire(&agent.places); p; p = p->older)
		if (site_is_armed(p) && guards_signals(p))
			return true;
	return false;
}

bool site_any_armed(void)
{
	for (struct agent_place *p = load_acquire(&agent.places); p; p = p->older)
		if (site_is_armed(p) || (p->jumped && p->plan->jump.inner))
			return true;
	return false;
}

/* What threads need that are on their way back to a stub. */
static bool guards_returns(const struct agent_place *p)
{
	return p->plan->flags & (AGENT_SITE_UNWIND | AGENT_SITE_RESUME);
}

static bool site_is_plain(const struct agent_place *p)
{
	return site_is_armed(p) && !guards_signals(p) && !guards_returns(p);
}

/* A child that shares our memory only sees its own threads. */
static bool single_threaded(void)
{
	return sys_getpid() == agent.pid && sys_only_thread();
}

/* Only the exchange that is under way marks them. */
static bool site_leaves(const struct agent_place *p)
{
	return p->leaves;
}

void site_restore_some(const u64 *addrs, u32 n)
{
	u32 found = 0;

	if (load_relaxed(&osl_walled))
		return;
	for (u32 i = 0; i < n; i++) {
		struct agent_place *p = site_find(addrs[i]);

		if (!p || p->leaves || !site_is_armed(p) || p->plan->flags)
			continue;
		p->leaves = true;
		found++;
	}
	if (found)
		restore_if(site_leaves);
	for (struct agent_place *p = agent.places; p && found; p = p->older) {
		found -= p->leaves;
		p->leaves = false;
	}
}

/*
 * Those that guard the signals go last: a thread that blocks SIGTRAP for real must not meet a break
 * byte any more. They guard each other, too, so they go all at once, while nobody else runs. So do
 * those at the unwinder, when there is no stub on any stack any more.
 */
bool site_restore_all(bool others_stopped)
{
	if (load_relaxed(
		    &osl_walled)) /* they stay, and are served, those that guard signals, too */
		return false;
	restore_if(site_is_plain);
	if (!others_stopped && !single_threaded())
		return false;
	ret_put_back_all();
	lower_returns();
	restore_if(site_is_armed);
	return true;
}

static bool module_is_there(struct agent_poke *poke, const struct agent_place *p)
{
	return p->plan && site_stands(poke, p);
}

static void drop_link_at(struct agent_poke *poke, struct agent_place *p, u64 link)
{
	struct agent_hooks *old = p->hooks, *new;
	u32 keep = 0;

	for (u32 i = 0; old && i < old->n; i++)
		keep += old->v[i].link != link;
	if (!old || keep == old->n)
		return;
	new = keep ? hooks_new(keep) : NULL;
	for (u32 i = 0; i < old->n; i++) {
		if (old->v[i].link != link) {
			if (new)
				hooks_append(new, &old->v[i]);
			continue;
		}
		if (old->v[i].sema && module_is_there(poke, p))
			hook_lower(&old->v[i]);
		store_release(&old->v[i].prog, NULL); /* out of memory, this must do */
	}
	if (new || !keep)
		hooks_swap(p, new);
}

/* Threads may be looking at arrays that were replaced. */
static void drop_link_retired(u64 link)
{
	for (struct agent_hooks *h = retired; h; h = h->next)
		for (u32 i = 0; i < h->n; i++)
			if (h->v[i].link == link)
				store_release(&h->v[i].prog, NULL);
}

void site_drop_link(u64 link)
{
	struct agent_poke poke;

	hooks_reclaim();
	poke_begin(&poke);
	for (struct agent_place *p = agent.places; p; p = p->older)
		drop_link_at(&poke, p, link);
	drop_link_retired(link);
	site_changed();
	poke_end(&poke);
	restore_if(site_is_idle);
}

void site_unhook_all(void)
{
	for (struct agent_place *p = agent.places; p; p = p->older)
		hooks_swap(p, NULL);
}
