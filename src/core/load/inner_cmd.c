/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps of maps: what they hold, and their element commands.
 *
 * Model: struct ebpf_outer in object.h. A change is made in our own copy and, when every target
 * that has the outer map has the inner map, too, in the shared memory: a program that finds an id
 * there finds the map. User space reads our own copy and so sees a change at once.
 *
 * Rules: the shared memory is written, never read. One thread; process context.
 */
#include "core/load/syscall.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/run/map/inner.h"

#define ENOTSUPP 524

/* --- what is held ---------------------------------------------------------------------------- */

static bool is_array(const struct ebpf_map_obj *m)
{
	return m->meta.type == BPF_MAP_TYPE_ARRAY_OF_MAPS;
}

int ebpf_inner_make(struct ebpf_map_obj *m, const struct ebpf_map_meta *like)
{
	struct ebpf_map_meta plain = m->meta;
	_cleanup_free_ struct ebpf_outer *o = calloc(1, sizeof(*o));
	u64 size;

	if (!o)
		return -ENOMEM;
	plain.type = is_array(m) ? BPF_MAP_TYPE_ARRAY : BPF_MAP_TYPE_HASH;
	size = ebpf_map_shm_size(&plain);
	o->memory = aligned_alloc(EBPFRT_PAGE_SIZE, size);
	if (!o->memory)
		return -ENOMEM;
	memset(o->memory, 0, size);
	ebpf_map_bind(&o->own, &plain, o->memory, size);
	o->like = *like;
	list_init(&o->later);
	m->outer = TAKE_PTR(o);
	return 0;
}

static u32 id_at(const struct ebpf_map_obj *m, const void *key)
{
	struct ebpf_map *own = &m->outer->own;
	const u32 *id = own->ops->lookup(own, key);

	return id ? *id : 0;
}

/* Elements hold references: what has an id there exists. */
static struct ebpf_map_obj *held(const struct ebpf_map_obj *m, u32 id)
{
	return ebpf_obj_map(ebpf_obj_by_id(m->obj.table, EBPF_OBJ_MAP, id));
}

void ebpf_inner_each(struct ebpf_map_obj *m, void (*fn)(struct ebpf_map_obj *inner, void *cookie),
		     void *cookie)
{
	struct ebpf_map *own = &m->outer->own;
	_cleanup_free_ u8 *key = calloc(1, m->meta.key_size);
	int err = key ? own->ops->next(own, NULL, key) : -ENOMEM;

	for (; !err; err = own->ops->next(own, key, key)) {
		u32 id = id_at(m, key);

		if (id)
			fn(held(m, id), cookie);
	}
}

static void put_one(struct ebpf_map_obj *inner, void *cookie)
{
	ebpf_obj_put(&inner->obj);
}

static void change_free(struct ebpf_inner_change *c)
{
	list_del_init(&c->node);
	free(c);
}

void ebpf_inner_free(struct ebpf_map_obj *m)
{
	struct ebpf_outer *o = m->outer;

	if (!o)
		return;
	ebpf_inner_each(m, put_one, NULL);
	while (!list_empty(&o->later))
		change_free(list_entry(o->later.next, struct ebpf_inner_change, node));
	free(o->memory);
	free(o);
	m->outer = NULL;
}

/* --- what programs see ----------------------------------------------------------------------- */

void ebpf_inner_publish(struct ebpf_map_obj *m)
{
	while (!list_empty(&m->outer->later)) {
		struct ebpf_inner_change *c =
			list_entry(m->outer->later.next, struct ebpf_inner_change, node);

		ebpf_inner_store(&m->map, c->key, c->id);
		change_free(c);
	}
}

/* Changes of one map are seen in their order. Without memory to wait, it is seen too early. */
static void show(struct ebpf_map_obj *m, const void *key, u32 id, bool now)
{
	struct ebpf_inner_change *c = NULL;

	if (!now || !list_empty(&m->outer->later))
		c = calloc(1, sizeof(*c) + m->meta.key_size);
	if (!c) {
		ebpf_inner_store(&m->map, key, id);
		return;
	}
	c->id = id;
	memcpy(c->key, key, m->meta.key_size);
	list_add_tail(&c->node, &m->outer->later);
}

/* --- element commands ------------------------------------------------------------------------ */

/* What the kernel looks at before the descriptor. */
static int check_update(const struct ebpf_map_obj *m, const void *key, u64 flags)
{
	u32 index;

	if (!is_array(m))
		return 0;
	if (flags != BPF_ANY)
		return -EINVAL;
	memcpy(&index, key, sizeof(index));
	return index >= m->meta.max_entries ? -E2BIG : 0;
}

static int named_map(struct ebpf_call *call, struct ebpf_map_obj *m, s32 fd,
		     struct ebpf_map_obj **out)
{
	struct ebpf_obj *obj;
	int err = ebpf_call_obj(call, fd, EBPF_OBJ_MAP, &obj);

	if (err)
		return err;
	if (!ebpf_inner_fits(&m->outer->like, &ebpf_obj_map(obj)->meta)) {
		ebpf_call_why(call, "map %u is not of the kind that map %u is to hold", obj->id,
			      m->obj.id);
		return -EINVAL;
	}
	*out = ebpf_obj_map(obj);
	return 0;
}

static int inner_update(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	const s32 *fd = ebpf_call_in(call, EBPF_KEY(value), sizeof(*fd));
	struct ebpf_map *own = &m->outer->own;
	struct ebpf_map_obj *inner;
	u32 was;
	int err = fd ? check_update(m, key, call->attr.flags) : -EFAULT;

	if (!err)
		err = named_map(call, m, *fd, &inner);
	if (err)
		return err;
	was = id_at(m, key);
	err = own->ops->update_user(own, key, &inner->obj.id, call->attr.flags);
	if (err)
		return err;
	ebpf_obj_get(&inner->obj);
	show(m, key, inner->obj.id, m->obj.table->backend->inner_reach(m, inner));
	if (was)
		ebpf_obj_put(&held(m, was)->obj);
	return 0;
}

static int inner_delete(struct ebpf_map_obj *m, const void *key)
{
	struct ebpf_map *own = &m->outer->own;
	u32 was, none = 0, index;

	memcpy(&index, key, MIN(sizeof(index), (size_t)m->meta.key_size));
	if (is_array(m) && index >= m->meta.max_entries)
		return -E2BIG;
	was = id_at(m, key);
	if (!was)
		return -ENOENT;
	if (is_array(m))
		own->ops->update_user(own, key, &none, BPF_ANY);
	else
		own->ops->del(own, key);
	show(m, key, 0, true);
	ebpf_obj_put(&held(m, was)->obj);
	return 0;
}

static int inner_lookup(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	u32 id = id_at(m, key);
	u32 *out;

	if (!id)
		return -ENOENT;
	out = ebpf_call_out(call, EBPF_KEY(value), sizeof(*out));
	if (!out)
		return -EFAULT;
	*out = id;
	return 0;
}

static int inner_next(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	struct ebpf_map *own = &m->outer->own;
	void *out = ebpf_call_out(call, EBPF_KEY(next_key), m->meta.key_size);

	return out ? own->ops->next(own, key, out) : -EFAULT;
}

/* @key is NULL for the first key only. */
int ebpf_inner_elem(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	switch (call->cmd) {
	case BPF_MAP_LOOKUP_ELEM:
		return inner_lookup(call, m, key);
	case BPF_MAP_UPDATE_ELEM:
		return inner_update(call, m, key);
	case BPF_MAP_DELETE_ELEM:
		return inner_delete(m, key);
	case BPF_MAP_GET_NEXT_KEY:
		return inner_next(call, m, key);
	default:
		return -ENOTSUPP;
	}
}
