/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links and targets: which link covers which target, and what has become of that.
 *
 * A link of one pid covers that process (adopting it when it is no target yet) and the children
 * that follow it. A link of all processes covers the targets of its client's session; of a client
 * that has no targets and is not about to start one (it asked for a token), every target of this
 * user.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/target.h"

static struct daemon *daemon_of(const struct ebpf_link_obj *l)
{
	return l->obj.table->cookie;
}

static bool session_has_targets(struct daemon *d, u32 session)
{
	struct target *t;

	list_for_each_entry (t, &d->targets, node)
		if (target_has(t, session))
			return true;
	return false;
}

static bool starts_its_own(struct daemon *d, u32 session)
{
	const struct client *c = client_by_session(d, session);

	return c && c->token;
}

bool attach_covers(const struct ebpf_link_obj *l, const struct target *t)
{
	if (l->detached || t->gone)
		return false;
	if (l->pid > 0)
		return t->pid == l->pid || t->follow_of == l->pid;
	if (target_has(t, l->session))
		return true;
	return t->nmembers && !session_has_targets(t->d, l->session) &&
	       !starts_its_own(t->d, l->session);
}

/* --- one link in one target ------------------------------------------------------------------ */

static struct tlink *tlink_find(const struct attach *a, const struct target *t)
{
	struct tlink *tl;

	list_for_each_entry (tl, &a->tlinks, in_attach)
		if (tl->t == t)
			return tl;
	return NULL;
}

static bool wants_returns(const struct tlink *tl)
{
	return tl->a->l->is_ret || tl->a->l->is_session;
}

static void tlink_close(struct tlink *tl)
{
	if (tl->t->next_open == tl)
		tl->t->next_open = NULL;
	list_del_init(&tl->in_open);
}

static void reopen(struct tlink *tl)
{
	bool open = tl->state == TLINK_WANT || tl->state == TLINK_FLYING || tl->update;

	if (!open)
		tlink_close(tl);
	else if (list_empty(&tl->in_open))
		list_add_tail(&tl->in_open, &tl->t->open);
}

void tlink_become(struct tlink *tl, enum tlink_state state)
{
	tl->state = state;
	reopen(tl);
}

void tlink_update(struct tlink *tl, bool update)
{
	tl->update = update;
	reopen(tl);
}

struct tlink *tlink_next(const struct target *t, const struct tlink *tl, bool all)
{
	const struct list_head *head = all ? &t->links : &t->open;
	struct list_head *next = !tl ? head->next : all ? tl->in_target.next : tl->in_open.next;

	if (next == head)
		return NULL;
	return all ? list_entry(next, struct tlink, in_target)
		   : list_entry(next, struct tlink, in_open);
}

struct tlink *tlink_new(struct target *t, struct attach *a)
{
	struct tlink *tl = tlink_find(a, t);

	if (tl)
		return tl;
	tl = calloc(1, sizeof(*tl));
	if (!tl)
		return NULL;
	tl->naddrs = a->l->nsites;
	tl->addrs = calloc(tl->naddrs ? tl->naddrs : 1, sizeof(u64));
	tl->semas = calloc(tl->naddrs ? tl->naddrs : 1, sizeof(u64));
	if (!tl->addrs || !tl->semas) {
		free(tl->addrs);
		free(tl->semas);
		free(tl);
		return NULL;
	}
	tl->t = t;
	tl->a = a;
	tl->link = a->l->obj.id;
	tl->stat = target_stat_new(t);
	t->drop_all = false;
	t->nreturns += wants_returns(tl);
	list_init(&tl->in_open);
	list_add_tail(&tl->in_target, &t->links);
	tlink_become(tl, TLINK_WANT);
	list_add_tail(&tl->in_attach, &a->tlinks);
	return tl;
}

void tlink_release_sites(struct tlink *tl)
{
	for (u32 i = 0; i < tl->naddrs; i++) {
		struct site *s = tl->addrs[i] ? target_site(tl->t, tl->addrs[i]) : NULL;

		if (s && s->consumers)
			s->consumers--;
		tl->addrs[i] = 0;
	}
}

/* The agent has to forget the link, and a child forked before it did must as well. */
static void note_drop(struct target *t, u32 link)
{
	if (t->ndropped == TARGET_DROPPED)
		memmove(t->dropped, t->dropped + 1, --t->ndropped * sizeof(t->dropped[0]));
	t->dropped[t->ndropped++] = link;
	if (t->ndrops == TARGET_DROPPED)
		t->drop_all = true;
	else
		t->drops[t->ndrops++] = link;
}

void tlink_free(struct tlink *tl)
{
	if (tl->had || tl->inherited)
		tally_leave(tl);
	if ((tl->had || tl->inherited || tl->state == TLINK_FLYING) && !tl->t->gone)
		note_drop(tl->t, tl->link);
	tlink_release_sites(tl);
	tl->t->nreturns -= wants_returns(tl);
	tlink_close(tl);
	list_del_init(&tl->in_target);
	list_del_init(&tl->in_attach);
	free(tl->addrs);
	free(tl->semas);
	free(tl);
}

u32 tlink_places(const struct tlink *tl)
{
	u32 n = 0;

	for (u32 i = 0; i < tl->naddrs; i++)
		n += !!tl->addrs[i];
	return n;
}

void tlink_fail_place(struct tlink *tl, u32 index, int err, const char *why)
{
	struct site *s = tl->addrs[index] ? target_site(tl->t, tl->addrs[index]) : NULL;

	if (!tl->a->l->partial) {
		tlink_fail(tl, err, why);
		return;
	}
	if (s && s->consumers)
		s->consumers--;
	tl->addrs[index] = 0;
	if (tl->missing++)
		return;
	tl->err = err;
	snprintf(tl->reason, sizeof(tl->reason), "%s", why);
}

void tlink_fail(struct tlink *tl, int err, const char *why)
{
	/* what the agent took of it before has to go */
	if (tl->state == TLINK_FLYING && tl->sent && !tl->t->gone)
		note_drop(tl->t, tl->link);
	tlink_release_sites(tl);
	tlink_become(tl, TLINK_FAILED);
	tl->err = err;
	snprintf(tl->reason, sizeof(tl->reason), "%s", why);
	target_event(tl->t->d, tl->t, MSG_EVENT_LINK_FAILED, tl->link, err, tl->reason);
}

/* --- answering ------------------------------------------------------------------------------- */

static bool under_way(const struct attach *a)
{
	struct tlink *tl;

	list_for_each_entry (tl, &a->tlinks, in_attach)
		if (tl->state == TLINK_WANT || tl->state == TLINK_FLYING || tl->update)
			return true;
	return false;
}

/* The first failure when nothing has succeeded; one target in trouble is no trouble for others. */
static const struct tlink *all_failed(const struct attach *a)
{
	const struct tlink *tl, *first = NULL;

	list_for_each_entry (tl, &a->tlinks, in_attach) {
		if (tl->state != TLINK_FAILED)
			return NULL;
		if (!first)
			first = tl;
	}
	return first;
}

void attach_wait(struct attach *a, struct ebpf_call *call)
{
	a->waiting = call;
	list_del_init(&a->in_waiting);
	if (call)
		list_add_tail(&a->in_waiting, &a->d->waiting);
}

bool attach_settle(struct attach *a)
{
	const struct tlink *failed;
	struct ebpf_call *call = a->waiting;

	if (!call || a->batched || under_way(a))
		return false;
	attach_wait(a, NULL);
	failed = all_failed(a);
	if (failed)
		ebpf_call_why(call, "%s", failed->reason);
	bpf_done(call, failed ? failed->err : 0);
	return true;
}

/* --- the backend ------------------------------------------------------------------------------ */

static int adopt_for(struct ebpf_call *call, struct ebpf_link_obj *l)
{
	struct daemon *d = daemon_of(l);
	struct target *t;
	char why[PROBE_WHY_MAX];
	int err = 0;

	if (l->pid <= 0)
		return 0;
	t = target_by_pid(d, l->pid);
	if (!t) {
		t = target_new(d, l->pid, &err, why);
		if (!t) {
			ebpf_call_why(call, "%s", why);
			return err;
		}
	}
	return target_join(t, l->session, false);
}

static u32 spread(struct daemon *d, struct attach *a)
{
	struct target *t;
	u32 n = 0;

	list_for_each_entry (t, &d->targets, node) {
		if (!attach_covers(a->l, t) || !tlink_new(t, a))
			continue;
		n++;
		if (!a->batched)
			target_reconcile(t);
	}
	return n;
}

int attach_link(struct ebpf_call *call, struct ebpf_link_obj *l)
{
	struct daemon *d = daemon_of(l);
	struct client *c = client_by_session(d, l->session);
	struct attach *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->d = d;
	a->l = l;
	a->batched = c && c->batching;
	list_init(&a->tlinks);
	list_init(&a->in_waiting);
	l->priv = a;
	tally_new(d, l);
	err = adopt_for(call, l);
	if (err)
		return err;
	if (!spread(d, a) || a->batched)
		return 0;
	attach_wait(a, call);
	return EBPF_LATER;
}

static void reconcile_all(struct attach *a)
{
	struct tlink *tl;

	list_for_each_entry (tl, &a->tlinks, in_attach)
		target_reconcile(tl->t);
}

static void drop_tlinks(struct attach *a)
{
	struct tlink *tl, *tmp;

	list_for_each_entry_safe (tl, tmp, &a->tlinks, in_attach) {
		struct target *t = tl->t;

		tlink_free(tl);
		target_rest(t);
		target_reconcile(t);
	}
}

/* Who made the link may be waiting for what it brings. */
static void tell_detached(struct daemon *d, const struct ebpf_link_obj *l)
{
	struct msg_event e = {.what = MSG_EVENT_LINK_DETACHED, .link = l->obj.id};
	struct client *c = client_by_session(d, l->session);

	if (c)
		client_tell(c, MSG_EVENT, &e, sizeof(e));
}

void attach_detach(struct ebpf_link_obj *l)
{
	struct daemon *d = daemon_of(l);
	struct attach *a = l->priv;
	struct ebpf_call *waiting;

	perf_link_gone(l);
	if (!a)
		return;
	l->priv = NULL;
	if (l->detached)
		tell_detached(d, l);
	drop_tlinks(a);
	tally_link_gone(d, l->obj.id);
	waiting = a->waiting;
	attach_wait(a, NULL);
	free(a);
	session_prune(d);
	if (waiting)
		bpf_done(waiting, -ECANCELED);
}

int attach_update(struct ebpf_call *call, struct ebpf_link_obj *l, struct ebpf_prog_obj *old)
{
	struct attach *a = l->priv;
	struct tlink *tl;
	bool any = false;

	if (!a)
		return -ENOLINK;
	if (a->waiting)
		return -EBUSY;
	list_for_each_entry (tl, &a->tlinks, in_attach) {
		if (tl->state != TLINK_DONE && tl->state != TLINK_FLYING)
			continue;
		tlink_update(tl, true);
		any = true;
	}
	if (!any)
		return 0;
	attach_wait(a, call);
	reconcile_all(a);
	return EBPF_LATER;
}

/* Those that have the map have to be told; it is the next exchange that looks what changed. */
int attach_slot_set(struct ebpf_map_obj *map, u32 index, struct ebpf_obj *obj)
{
	struct daemon *d = map->obj.table->cookie;
	struct target *t;

	list_for_each_entry (t, &d->targets, node) {
		if (given_index(&t->maps, map->obj.id) == t->maps.n)
			continue;
		t->slots_changed = true;
		target_reconcile(t);
	}
	return 0;
}

void attach_prog_stats(struct ebpf_prog_obj *prog, u64 *cnt, u64 *ns, u64 *missed)
{
	struct daemon *d = prog->obj.table->cookie;
	struct target *t;
	struct tlink *tl;

	list_for_each_entry (t, &d->targets, node) {
		list_for_each_entry (tl, &t->links, in_target) {
			struct agent_stat st;

			if (tl->a->l->prog != prog)
				continue;
			target_stat(t, tl->stat, &st);
			*cnt += st.hits;
			*ns += st.run_time_ns;
			*missed += st.missed;
		}
	}
}
