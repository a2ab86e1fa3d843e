/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What links have counted, kept for their client: in targets that have ended, and up to the last
 * hit before a detachment took effect.
 *
 * Model: a link has a tally from its creation. When it leaves a target, what it has counted there
 * is added; what it still counts until the agent has dropped it, and the last thread has come out
 * of its program, is added whenever somebody asks (struct leaving remembers how much is in
 * already). A link that is gone leaves its tally to the session that made it, which may read it
 * until its connection ends.
 */
#include <stdlib.h>

#include "daemon/target.h"

#define TALLIES_MAX 4096u

struct leaving {
	struct list_head node;
	u32 link, prog, stat;
	struct agent_stat counted;
};

struct tally *tally_find(struct daemon *d, u32 link)
{
	struct tally *y;

	list_for_each_entry (y, &d->tallies, node)
		if (y->link == link)
			return y;
	return NULL;
}

static void tally_free(struct daemon *d, struct tally *y)
{
	list_del_init(&y->node);
	d->ntallies--;
	free(y);
}

/* Room for one more: the oldest of those whose link is gone has been there for long enough. */
static void make_room(struct daemon *d)
{
	struct tally *y;

	list_for_each_entry (y, &d->tallies, node)
		if (y->gone) {
			tally_free(d, y);
			return;
		}
}

/* Without memory nothing is kept, and the link works. */
void tally_new(struct daemon *d, const struct ebpf_link_obj *l)
{
	struct tally *y = calloc(1, sizeof(*y));

	if (!y)
		return;
	if (d->ntallies >= TALLIES_MAX)
		make_room(d);
	y->link = l->obj.id;
	y->prog = l->prog->obj.id;
	y->session = l->session;
	list_add_tail(&y->node, &d->tallies);
	d->ntallies++;
}

void tally_link_gone(struct daemon *d, u32 link)
{
	struct tally *y = tally_find(d, link);

	if (!y)
		return;
	y->gone = true;
	if (!client_by_session(d, y->session))
		tally_free(d, y);
}

void tally_session_gone(struct daemon *d, u32 session)
{
	struct tally *y, *tmp;

	list_for_each_entry_safe (y, tmp, &d->tallies, node)
		if (y->gone && y->session == session)
			tally_free(d, y);
}

/* What @l has counted in @t since the last time goes to its link and its program. */
static void take(struct target *t, struct leaving *l)
{
	struct ebpf_obj *o = ebpf_obj_by_id(&t->d->table, EBPF_OBJ_PROG, l->prog);
	struct tally *y = tally_find(t->d, l->link);
	struct agent_stat now;

	target_stat(t, l->stat, &now);
	if (o) {
		ebpf_obj_prog(o)->run_cnt += now.hits - l->counted.hits;
		ebpf_obj_prog(o)->run_time_ns += now.run_time_ns - l->counted.run_time_ns;
		ebpf_obj_prog(o)->missed += now.missed - l->counted.missed;
	}
	if (y) {
		y->hits += now.hits - l->counted.hits;
		y->missed += now.missed - l->counted.missed;
		y->aborted += now.aborted - l->counted.aborted;
		y->left += now.left - l->counted.left;
	}
	l->counted = now;
}

void tally_leave(const struct tlink *tl)
{
	struct leaving once = {0}, *l = calloc(1, sizeof(*l));

	if (!l)
		l = &once;
	l->link = tl->link;
	l->prog = tl->a->l->prog->obj.id;
	l->stat = tl->stat;
	take(tl->t, l);
	if (l != &once)
		list_add_tail(&l->node, &tl->t->leaving);
}

void tally_settle(struct target *t)
{
	struct leaving *l, *tmp;

	list_for_each_entry_safe (l, tmp, &t->leaving, node) {
		/* the last entry may be shared: it was counted once, when the link left */
		if (l->stat < TARGET_STATS - 1)
			take(t, l);
		if (!t->gone)
			continue;
		list_del_init(&l->node);
		free(l);
	}
}
