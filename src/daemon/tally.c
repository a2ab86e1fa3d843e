/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What links have counted, kept for their client: in targets that have ended, and up to the last
 * hit before a detachment took effect.
 *
 * Model: a link has a tally from its creation. When it leaves a target, what it has counted there
 * is added; what it still counts until the agent has dropped it, and the last thread has come out
 * of its program, is added whenever somebody asks (struct leaving remembers how much is in
 * already). A link that is gone leaves its tally to the session that made it, which may read it
 * until its connection ends. Tallies are found by their link, and the gone ones are a list of their
 * own: clients have ten thousand links, and make or lose one at a time.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "daemon/target.h"

#define TALLIES_MAX 4096u

struct leaving {
	struct list_head node;
	u32 link, prog, stat;
	struct agent_stat counted;
};

static struct tally **chain_of(struct daemon *d, u32 link)
{
	return &d->tally_chains[hash_quick(link) % DAEMON_TALLY_CHAINS];
}

struct tally *tally_find(struct daemon *d, u32 link)
{
	struct tally *y = *chain_of(d, link);

	while (y && y->link != link)
		y = y->next;
	return y;
}

static void tally_free(struct daemon *d, struct tally *y)
{
	struct tally **at = chain_of(d, y->link);

	while (*at != y)
		at = &(*at)->next;
	*at = y->next;
	list_del_init(&y->in_gone);
	d->ntallies--;
	free(y);
}

/* Room for one more: the oldest of those whose link is gone has been there for long enough. */
static void make_room(struct daemon *d)
{
	if (!list_empty(&d->gone_tallies))
		tally_free(d, list_entry(d->gone_tallies.next, struct tally, in_gone));
}

/* Without memory nothing is kept, and the link works. */
void tally_new(struct daemon *d, const struct ebpf_link_obj *l)
{
	struct tally *y = calloc(1, sizeof(*y)), **at = chain_of(d, l->obj.id);

	if (!y)
		return;
	if (d->ntallies >= TALLIES_MAX)
		make_room(d);
	y->link = l->obj.id;
	y->prog = l->prog->obj.id;
	y->session = l->session;
	list_init(&y->in_gone);
	y->next = *at;
	*at = y;
	d->ntallies++;
}

void tally_link_gone(struct daemon *d, u32 link)
{
	struct tally *y = tally_find(d, link);

	if (!y)
		return;
	y->gone = true;
	list_add_tail(&y->in_gone, &d->gone_tallies);
	if (!client_by_session(d, y->session))
		tally_free(d, y);
}

void tally_session_gone(struct daemon *d, u32 session)
{
	struct tally *y, *tmp;

	list_for_each_entry_safe (y, tmp, &d->gone_tallies, in_gone)
		if (y->session == session)
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
