/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inner maps and targets: a target that has a map of maps is given what that one holds, and what it
 * is to hold is given before programs see it there.
 *
 * Rules: each inner map is a mapping in the target, which may not have any number of them: behind
 * INNER_MAX a program finds nothing. A target that can't be told (it is stopped, say) keeps nobody
 * waiting for longer than its exchange: then the change is published, and in that target the lookup
 * finds nothing until the next exchange.
 */
#include "daemon/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "core/run/map/inner.h"

#define INNER_MAX 8192u

static struct pair_given *pair_find(struct target *t, u32 outer, u32 inner)
{
	for (u32 i = 0; i < t->npairs; i++)
		if (t->pairs[i].outer == outer && t->pairs[i].inner == inner)
			return &t->pairs[i];
	return NULL;
}

static struct pair_given *pair_add(struct target *t, u32 outer, u32 inner)
{
	struct pair_given *p = pair_find(t, outer, inner);

	if (p)
		return p;
	if (t->npairs == INNER_MAX)
		return NULL;
	if (t->npairs == t->pairs_room) {
		u32 room = t->pairs_room ? 2 * t->pairs_room : 16;
		struct pair_given *v = realloc(t->pairs, room * sizeof(*v));

		if (!v)
			return NULL;
		t->pairs = v;
		t->pairs_room = room;
	}
	if (t->npairs == INNER_MAX - 1)
		log_line("target %d has had %u inner maps: it is given no more until all its "
			 "links are detached",
			 t->pid, INNER_MAX);
	t->pairs[t->npairs] = (struct pair_given){.outer = outer, .inner = inner};
	return &t->pairs[t->npairs++];
}

static bool uses(const struct target *t, const struct ebpf_map_obj *outer)
{
	return !t->gone && given_index(&t->maps, outer->obj.id) < t->maps.n;
}

/* --- what an exchange sends ------------------------------------------------------------------ */

struct put {
	struct exchange *x;
	struct ebpf_map_obj *outer;
};

static void ack_inner(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	struct agent_inner_map in;
	struct pair_given *p;

	memcpy(&in, m->body, sizeof(in));
	p = pair_find(x->t, in.outer, in.inner);
	if (p && !err)
		p->there = true;
	if (err)
		log_line("target %d: map %u in map %u was not taken: %s", x->t->pid, in.inner,
			 in.outer, strerror(-err));
}

static void put_inner(struct ebpf_map_obj *inner, void *cookie)
{
	struct put *p = cookie;
	struct agent_inner_map in = {.outer = p->outer->obj.id, .inner = inner->obj.id};
	struct pair_given *pair = pair_add(p->x->t, in.outer, in.inner);
	struct xmsg *m;

	if (!pair || pair->sent)
		return;
	deliver_put_map(p->x, inner);
	m = exchange_enqueue(p->x, AGENT_INNER_MAP, &in, sizeof(in));
	if (!m)
		return;
	m->ack = ack_inner;
	pair->sent = true;
}

void inner_put(struct exchange *x, struct ebpf_map_obj *outer)
{
	struct put p = {x, outer};

	if (outer->outer)
		ebpf_inner_each(outer, put_inner, &p);
}

void inner_forget(struct target *t)
{
	t->npairs = 0;
}

/* --- what waits for exchanges ---------------------------------------------------------------- */

bool inner_reach(struct ebpf_map_obj *outer, struct ebpf_map_obj *inner)
{
	struct daemon *d = outer->obj.table->cookie;
	bool all = true;
	struct target *t;

	list_for_each_entry (t, &d->targets, node) {
		const struct pair_given *p;

		if (!uses(t, outer))
			continue;
		p = pair_find(t, outer->obj.id, inner->obj.id);
		if ((p && p->there) || (!p && t->npairs == INNER_MAX))
			continue;
		all = false;
		if (p && p->sent)
			continue; /* on its way */
		t->slots_changed = true;
		target_reconcile(t);
	}
	return all;
}

/* Has @t what waits for @outer, or is nothing on its way to it any more? */
static bool told(struct target *t, const struct ebpf_map_obj *outer)
{
	struct ebpf_inner_change *c;

	if (!uses(t, outer) || t->failed || (!t->slots_changed && !t->x))
		return true;
	list_for_each_entry (c, &outer->outer->later, node) {
		const struct pair_given *p = c->id ? pair_find(t, outer->obj.id, c->id) : NULL;

		if (c->id && (!p || !p->there))
			return false;
	}
	return true;
}

static bool all_told(struct daemon *d, const struct ebpf_map_obj *outer)
{
	struct target *t;

	list_for_each_entry (t, &d->targets, node)
		if (!told(t, outer))
			return false;
	return true;
}

void inner_publish(struct daemon *d)
{
	struct ebpf_obj *o;

	list_for_each_entry (o, &d->table.objs[EBPF_OBJ_MAP], node) {
		struct ebpf_map_obj *m = ebpf_obj_map(o);

		if (m->outer && !list_empty(&m->outer->later) && all_told(d, m))
			ebpf_inner_publish(m);
	}
}
