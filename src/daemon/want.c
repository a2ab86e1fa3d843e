/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an exchange has to bring about, planned by a worker, and what of the plan becomes of the
 * target's links, sites and arenas.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "daemon/exchange.h"

#define MOVES_MAX 8

/* --- the plan ----------------------------------------------------------------------------------
 */

static bool wanted(const struct target *t, const struct tlink *tl)
{
	if (tl->a->batched)
		return false;
	return tl->state == TLINK_WANT || (t->modules && tlink_moves(tl));
}

static u32 count_wants(const struct target *t)
{
	const struct tlink *tl;
	u32 n = 0;

	for (tl = tlink_next(t, NULL, t->modules); tl; tl = tlink_next(t, tl, t->modules))
		if (wanted(t, tl))
			n += tl->naddrs;
	return n;
}

static u32 program_callees(const struct ebpf_prog_obj *p, const struct ebpf_callee **callees)
{
	const struct ebpf_image *img = p ? (const void *)p->image : NULL;

	*callees = img ? ebpf_image_callees(img) : NULL;
	return img ? img->ncallees : 0;
}

static void fill_wants(struct exchange *x)
{
	struct plan_item *items = plan_items(x->plan.out);
	const struct target *t = x->t;
	struct tlink *tl;
	u32 n = 0;

	for (tl = tlink_next(t, NULL, t->modules); tl; tl = tlink_next(t, tl, t->modules)) {
		const struct ebpf_link_obj *l = tl->a->l;

		if (!wanted(t, tl))
			continue;
		for (u32 i = 0; i < l->nsites; i++, n++) {
			x->wants[n] = (struct want){tl->link, i};
			items[n].file = l->file;
			items[n].path = l->path;
			items[n].offset = l->offsets[i];
			items[n].is_ret = l->is_ret || l->is_session;
			items[n].is_session = l->is_session;
			items[n].ncallees = program_callees(l->prog, &items[n].callees);
			items[n].ref_ctr = l->ref_ctrs ? l->ref_ctrs[i] : 0;
		}
		tlink_release_sites(tl);
		tl->fixed = tl->entry = true;
		tl->sent = false;
		tl->missing = 0;
		tlink_become(tl, TLINK_FLYING);
	}
}

static u32 module_of(const struct osl_ident *file)
{
	return hash_quick(file->ino ^ (file->dev << 32));
}

static struct site *adopt_site(struct target *t, const struct plan_site *ps)
{
	struct site *s = target_site(t, ps->patch.addr);
	bool stays = s && s->armed && s->file.ino == ps->file.ino && s->file.dev == ps->file.dev;

	if (!s)
		s = target_site_add(t);
	if (!s)
		return NULL;
	/* what else the place does it goes on doing */
	s->site.flags = ps->flags | (stays ? s->site.flags : 0);
	s->site.patch = ps->patch;
	s->site.jump = ps->jump;
	s->rung = ps->rung;
	s->sheet = ps->sheet;
	if (s->sheet && !sheets_put(t, s->sheet, &s->site.jump)) {
		memset(&s->site.jump, 0, sizeof(s->site.jump));
		s->rung = PROBE_RUNG_TAKEN;
		s->sheet = 0;
	}
	s->site.module = module_of(&ps->file);
	s->site.func = ps->func;
	s->file = ps->file;
	s->offset = ps->offset;
	s->err = 0;
	return s;
}

static int adopt_arenas(struct target *t, const struct plan_out *o)
{
	struct plan_arena *v = realloc(t->arenas, (o->narenas + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	memcpy(v, o->arenas, o->narenas * sizeof(*v));
	t->arenas = v;
	t->narenas = o->narenas;
	return 0;
}

bool want_again(struct tlink *tl)
{
	if (tl->fixed || tl->moved == MOVES_MAX)
		return false;
	tl->moved++;
	tlink_release_sites(tl);
	tlink_become(tl, TLINK_WANT);
	tl->t->dirty = true;
	return true;
}

/* Its library went while it was planned. */
static bool moved_away(struct tlink *tl, const struct plan_item *it)
{
	tl->fixed &= it->fixed;
	return (it->err == -EIO || it->err == -EFAULT) && want_again(tl);
}

static void take_item(struct exchange *x, const struct want *w, struct plan_item *it)
{
	struct plan_out *o = x->plan.out;
	struct tlink *tl = deliver_find(x->t, w->link);
	struct site *s;

	if (!tl || tl->state != TLINK_FLYING || w->index >= tl->naddrs)
		return;
	it->symbol[sizeof(it->symbol) - 1] = it->why[sizeof(it->why) - 1] = 0;
	if (!w->index)
		memcpy(tl->symbol, it->symbol, sizeof(tl->symbol));
	if (it->err) {
		if (!moved_away(tl, it))
			tlink_fail_place(tl, w->index, it->err, it->why);
		return;
	}
	if (it->pending || it->site >= o->nsites) {
		if (!tl->missing)
			memcpy(tl->reason, it->why, sizeof(tl->reason));
		return;
	}
	s = target_site(x->t, plan_sites(o)[it->site].patch.addr);
	if (!s)
		return;
	tl->addrs[w->index] = it->addr;
	tl->semas[w->index] = it->sema;
	tl->at_returns = it->at_returns;
	if (it->ncallees && !w->index) {
		tl->calls_of = tl->a->l->prog->obj.id;
		memcpy(tl->calls, it->calls, sizeof(tl->calls));
	}
	tl->fixed &= it->fixed;
	tl->entry &= it->symbol[0] && !strchr(it->symbol, '+');
	if (!w->index || !tl->addr)
		tl->addr = it->addr;
	s->consumers++;
}

/* None of its places can be probed. */
static void fail_all(struct tlink *tl)
{
	char why[PROBE_WHY_MAX];

	memcpy(why, tl->reason, sizeof(why));
	tlink_fail(tl, tl->err, why);
}

/* A link none of whose places are mapped waits for them. */
static void note_pending(struct target *t)
{
	struct tlink *tl, *tmp;

	list_for_each_entry_safe (tl, tmp, &t->open, in_open) {
		if (tl->state != TLINK_FLYING || tlink_places(tl))
			continue;
		if (tl->missing)
			fail_all(tl);
		else
			tlink_become(tl, TLINK_PENDING);
	}
}

#define WORKERS_MAX 8u
#define WORK_NS 20000000ull /* for an injection, which takes a few milliseconds */
static u32 nworking;
static struct list_head line = LIST_HEAD_INIT(line); /* of exchanges whose turn will come */
static struct loop_timer turn;

/* What workers found out about files, for the next ones: the newest SCANS_KEPT. */
#define SCANS_KEPT 32u
static struct plan_scan scans[SCANS_KEPT];
static u32 nscans, next_scan;

/* By a worker that was at work at the same time. */
static bool is_known(const struct plan_scan *scan)
{
	for (u32 i = 0; i < nscans; i++)
		if (scans[i].file.ino == scan->file.ino && scans[i].file.dev == scan->file.dev &&
		    scans[i].ctime_ns == scan->ctime_ns)
			return true;
	return false;
}

static void remember_scans(const struct plan_out *o)
{
	for (u32 i = 0; i < o->nscans; i++) {
		if (is_known(&o->scans[i]))
			continue;
		scans[next_scan] = o->scans[i];
		scans[next_scan].n = MIN(scans[next_scan].n, PLAN_SYSCALL_SITES);
		next_scan = (next_scan + 1) % SCANS_KEPT;
		nscans = MIN(nscans + 1, SCANS_KEPT);
	}
}

static bool nothing_to_say(const struct exchange *x)
{
	const struct target *t = x->t;

	const struct tlink *tl;

	list_for_each_entry (tl, &t->open, in_open)
		if (tl->update)
			return false;
	if (x->plan.out && (x->plan.out->nsites || x->plan.out->ngone))
		return false;
	return t->loaded && t->setup && x->sock.fd < 0 && !t->ndrops && !t->drop_all &&
	       !t->slots_changed;
}

static void planned(struct exchange *x)
{
	x->planned = true;
	if (nothing_to_say(x))
		exchange_finish(x);
	else
		exchange_advance(x);
}

/* Who came by itself is held already, and nobody waits for it. */
static void hold_place(struct exchange *x)
{
	if (x->working && x->sock.fd < 0)
		loop_timer_arm(&x->t->d->loop, &x->work, WORK_NS);
	else
		want_over(x);
}

static void plan_done(struct plan *p)
{
	struct exchange *x = container_of(p, struct exchange, plan);
	struct plan_out *o = p->out;
	struct target *t = x->t;

	hold_place(x);
	o->why[sizeof(o->why) - 1] = 0;
	if (target_executed(t)) {
		exchange_fail(x, -ESRCH,
			      "process %d has started another program (exec); attach to it again",
			      t->pid);
		return;
	}
	if (!o->err)
		o->err = adopt_arenas(t, o);
	remember_scans(o);
	if (o->err) {
		if (exchange_passing(o->err))
			o->err = -EPERM;
		exchange_fail(x, o->err, "%s", o->why);
		return;
	}
	for (u32 i = 0; i < o->nsites; i++)
		adopt_site(t, &plan_sites(o)[i]);
	for (u32 i = 0; i < x->nwants; i++)
		take_item(x, &x->wants[i], &plan_items(o)[i]);
	note_pending(t);
	planned(x);
}

static bool any_return(const struct target *t)
{
	return t->nreturns;
}

/* Is there a program that calls functions of the target? */
static bool any_calls(const struct target *t)
{
	const struct ebpf_callee *ignored;
	const struct tlink *tl;

	list_for_each_entry (tl, &t->links, in_target)
		if (program_callees(tl->a->l->prog, &ignored))
			return true;
	return false;
}

/* Is anything of ours on stacks that are unwound? */
static bool minds_unwinders(const struct target *t)
{
	return any_return(t) || any_calls(t);
}

/* Is there a program that asks how calls ended? */
static bool any_asks(const struct target *t)
{
	const struct tlink *tl;

	if (!any_return(t))
		return false;
	list_for_each_entry (tl, &t->links, in_target) {
		const struct ebpf_link_obj *l = tl->a->l;
		const struct ebpf_prog_obj *p = l->is_ret || l->is_session ? l->prog : NULL;

		if (p && p->image &&
		    ((const struct ebpf_image *)p->image)->flags & EBPF_IMAGE_ASKS_LEFT)
			return true;
	}
	return false;
}

/* Is there a site of that kind, and will it be there after the exchange? */
static bool stays(const struct exchange *x, u32 flag)
{
	const struct target *t = x->t;

	for (u32 i = 0; i < t->nsites && !x->drop_all; i++)
		if (t->sites[i].armed && t->sites[i].site.flags & flag)
			return true;
	return false;
}

static int start_worker(struct exchange *x)
{
	struct target *t = x->t;
	struct plan_job job = {.pid = t->pid,
			       .tid = x->tid,
			       .mem = t->mem,
			       .dl_debug = t->dl_debug,
			       .want_hook = !stays(x, AGENT_SITE_MODULES),
			       .want_sanitise = !stays(x, AGENT_SITE_SIGMASK),
			       .want_guards = family_of(t) != 0,
			       .want_unwind = minds_unwinders(t),
			       .want_left = any_asks(t),
			       .jumps = t->d->jumps,
			       .only_jumps = t->d->only_jumps,
			       .scans = scans,
			       .nscans = nscans,
			       .sites = t->sites,
			       .nsites = t->nsites,
			       .known = &t->by_addr};
	int err;

	x->wants = calloc(x->nwants + 1, sizeof(*x->wants));
	if (!x->wants)
		return -ENOMEM;
	err = plan_init(&x->plan, &t->d->loop, x->nwants, t->nsites);
	if (err)
		return err;
	fill_wants(x);
	x->plan.out->narenas = MIN(t->narenas, PLAN_ARENAS);
	for (u32 i = 0; i < x->plan.out->narenas; i++)
		x->plan.out->arenas[i] = t->arenas[i];
	err = plan_start(&x->plan, &job, plan_done);
	x->working = !err;
	nworking += x->working;
	return err;
}

/* At least two: one of them may have to wait for something. */
static u32 workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 2 ? 2 : MIN((u32)n, WORKERS_MAX);
}

/*
 * Where many processes are attached to at once each worker would look through the same C library:
 * those behind the first ones know what is in it. And who is held would wait for a processor while
 * the next ones are planned: so no more are at work than there are processors. Who came by itself
 * is waiting: it doesn't.
 */
static bool has_to_wait(struct exchange *x)
{
	if (nworking < workers() || x->sock.fd >= 0)
		return false;
	list_add_tail(&x->in_line, &line);
	return true;
}

static void on_turn(struct loop_timer *timer)
{
	while (nworking < workers() && !list_empty(&line)) {
		struct exchange *x = list_entry(line.next, struct exchange, in_line);
		int err = want_start(x);

		if (err)
			exchange_fail(x, err, "cannot plan the probes in process %d: %s", x->t->pid,
				      strerror(-err));
	}
}

void want_over(struct exchange *x)
{
	list_del_init(&x->in_line);
	loop_timer_stop(&x->t->d->loop, &x->work);
	if (!x->working)
		return;
	x->working = false;
	nworking--;
	if (list_empty(&line))
		return;
	if (!turn.fn)
		loop_timer_init(&turn, on_turn);
	loop_timer_arm(&x->t->d->loop, &turn, 0);
}

static void on_work_over(struct loop_timer *timer)
{
	want_over(container_of(timer, struct exchange, work));
}

void want_init(struct exchange *x)
{
	loop_timer_init(&x->work, on_work_over);
}

/* Plan what is wanted; without that, go on at once. May end the exchange. */
int want_start(struct exchange *x)
{
	struct target *t = x->t;

	want_over(x);
	/* an agent that came by itself while a debugger is there */
	x->nwants = t->asleep && x->sock.fd >= 0 ? 0 : count_wants(t);
	x->drop_all = t->drop_all;
	/* a library that has come may be the unwinder */
	if (!x->nwants && (t->asleep || !(t->modules && minds_unwinders(t)))) {
		planned(x);
		return 0;
	}
	return has_to_wait(x) ? 0 : start_worker(x);
}
