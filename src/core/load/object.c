/* SPDX-License-Identifier: BSD-2-Clause */
/* The object table: see object.h. */
#include "core/load/object.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"

static u32 ident_hash(const struct osl_ident *i)
{
	return hash_quick(i->ino ^ (i->dev << 40)) >> 16;
}

void ebpf_table_init(struct ebpf_table *t)
{
	memset(t, 0, sizeof(*t));
	for (u32 i = 0; i < EBPF_OBJ_KINDS; i++)
		list_init(&t->objs[i]);
	for (u32 i = 0; i < ARRAY_SIZE(t->names); i++)
		list_init(&t->names[i]);
	for (u32 i = 0; i < ARRAY_SIZE(t->ids); i++)
		list_init(&t->ids[i]);
	list_init(&t->pins);
}

static struct list_head *ids_of(struct ebpf_table *t, u32 id)
{
	return &t->ids[id % ARRAY_SIZE(t->ids)];
}

/*
 * The place in the ascending list where a new id goes; ids wrap after 2^31. It is looked for from
 * the end, where it is until then.
 */
static u32 new_id(struct ebpf_table *t, u32 kind, struct list_head **before)
{
	u32 id = t->next_id[kind];
	struct list_head *at;

	do {
		id = id >= 0x7fffffff ? 1 : id + 1;
	} while (ebpf_obj_by_id(t, kind, id));
	t->next_id[kind] = id;
	*before = &t->objs[kind];
	for (at = t->objs[kind].prev; at != &t->objs[kind]; at = at->prev) {
		if (list_entry(at, struct ebpf_obj, node)->id < id)
			break;
		*before = at;
	}
	return id;
}

int ebpf_obj_init(struct ebpf_table *t, struct ebpf_obj *obj, u32 kind, int fd, u64 size)
{
	struct osl_ident ident = {0};
	struct list_head *before;
	u32 total = 0;
	int err;

	for (u32 i = 0; i < EBPF_OBJ_KINDS; i++)
		total += t->count[i];
	if (t->objs_max && total >= t->objs_max)
		return -ENFILE;
	if (fd >= 0) {
		err = osl_ident(fd, &ident);
		if (err)
			return err;
	}
	obj->table = t;
	obj->kind = kind;
	obj->fd = fd;
	obj->size = size;
	obj->refs = 1;
	obj->since_ns = osl_now_ns();
	obj->id = new_id(t, kind, &before);
	list_add_tail(&obj->node, before);
	list_add_tail(&obj->by_id, ids_of(t, obj->id));
	list_init(&obj->name_of_fd.node);
	if (fd >= 0)
		ebpf_name_add(t, &obj->name_of_fd, obj, &ident);
	t->count[kind]++;
	return 0;
}

struct ebpf_obj *ebpf_obj_get(struct ebpf_obj *obj)
{
	obj->refs++;
	return obj;
}

void ebpf_obj_put(struct ebpf_obj *obj)
{
	if (!obj || --obj->refs)
		return;
	list_del_init(&obj->node);
	list_del_init(&obj->by_id);
	ebpf_name_del(&obj->name_of_fd);
	obj->table->count[obj->kind]--;
	if (obj->fd >= 0)
		close(obj->fd);
	obj->release(obj);
}

void ebpf_obj_get_user(struct ebpf_obj *obj)
{
	obj->refs++;
	obj->urefs++;
}

static void drop_slots(struct ebpf_map_obj *m)
{
	for (u32 i = 0; m->slots && i < m->meta.max_entries; i++) {
		struct ebpf_obj *o = m->slots[i];

		if (!o)
			continue;
		m->slots[i] = NULL;
		m->map.ops->del(&m->map, &i);
		ebpf_obj_put(o);
	}
}

void ebpf_obj_put_user(struct ebpf_obj *obj)
{
	if (!--obj->urefs && obj->kind == EBPF_OBJ_MAP)
		drop_slots(ebpf_obj_map(obj));
	ebpf_obj_put(obj);
}

void ebpf_name_add(struct ebpf_table *t, struct ebpf_name *name, struct ebpf_obj *obj,
		   const struct osl_ident *ident)
{
	name->ident = *ident;
	name->obj = obj;
	list_add_tail(&name->node, &t->names[ident_hash(ident)]);
}

void ebpf_name_del(struct ebpf_name *name)
{
	list_del_init(&name->node);
}

struct ebpf_obj *ebpf_obj_by_ident(struct ebpf_table *t, const struct osl_ident *ident)
{
	struct ebpf_name *n;

	list_for_each_entry (n, &t->names[ident_hash(ident)], node)
		if (n->ident.ino == ident->ino && n->ident.dev == ident->dev)
			return n->obj;
	return NULL;
}

struct ebpf_obj *ebpf_obj_by_id(struct ebpf_table *t, u32 kind, u32 id)
{
	struct ebpf_obj *o;

	list_for_each_entry (o, ids_of(t, id), by_id)
		if (o->id == id && o->kind == kind)
			return o;
	return NULL;
}

u32 ebpf_obj_next_id(struct ebpf_table *t, u32 kind, u32 id)
{
	struct ebpf_obj *o;

	list_for_each_entry (o, &t->objs[kind], node)
		if (o->id > id && !o->hidden)
			return o->id;
	return 0;
}

static u32 owner_find(const struct ebpf_owner *o, const struct ebpf_obj *obj)
{
	u32 i;

	for (i = 0; i < o->n && o->held[i] != obj; i++)
		;
	return i;
}

int ebpf_owner_hold(struct ebpf_owner *o, struct ebpf_obj *obj)
{
	if (owner_find(o, obj) < o->n)
		return 0;
	if (o->max && o->n >= o->max)
		return -ENFILE;
	if (o->n == o->room) {
		u32 room = o->room ? 2 * o->room : 16;
		struct ebpf_obj **held = realloc(o->held, room * sizeof(*held));

		if (!held)
			return -ENOMEM;
		o->held = held;
		o->room = room;
	}
	o->held[o->n++] = obj;
	ebpf_obj_get_user(obj);
	return 0;
}

void ebpf_owner_drop(struct ebpf_owner *o, struct ebpf_obj *obj)
{
	u32 i = owner_find(o, obj);

	if (i == o->n)
		return;
	o->held[i] = o->held[--o->n];
	ebpf_obj_put_user(obj);
}

void ebpf_owner_drop_all(struct ebpf_owner *o)
{
	while (o->n)
		ebpf_obj_put_user(o->held[--o->n]);
	free(o->held);
	o->held = NULL;
	o->room = 0;
}
