/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batched element commands.
 *
 * Model: keys and values are arrays in the caller's memory; count goes in as room and comes back as
 * what was done, also on failure; the end of the map is -ENOENT with the rest delivered. For arrays
 * the position between two calls is the last key, for hash tables an opaque u32, as in the kernel:
 * callers give it four bytes of room whatever the key's size. Behind the number stands, in this
 * process, the key to go on after. A number we have forgotten is -ENOENT.
 */
#include <string.h>

#include "surface/internal.h"

#define NCURSORS 32u

struct surface_cursor {
	u32 next; /* number of the cursor to be made next, never 0 */
	u32 key_size;
	u32 number[NCURSORS];
	bool start[NCURSORS]; /* go on from the beginning: what came before has been deleted */
	u8 *keys;
};

void surface_cursors_free(struct surface_obj *o)
{
	if (o->cursors)
		free(o->cursors->keys);
	free(o->cursors);
	o->cursors = NULL;
}

static int cursors_make(struct surface_obj *o)
{
	struct surface_cursor *c;

	if (o->cursors)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->next = 1;
	c->key_size = o->meta.key_size;
	c->keys = calloc(NCURSORS, c->key_size);
	if (!c->keys) {
		free(c);
		return -ENOMEM;
	}
	o->cursors = c;
	return 0;
}

/* Remember @key (NULL: the beginning) and return the number that stands for it, 0 without memory.
 */
static u32 cursor_save(struct surface_obj *o, const void *key)
{
	struct surface_cursor *c;
	u32 number = 0, at;

	surface_lock();
	if (cursors_make(o) == 0) {
		c = o->cursors;
		number = c->next++;
		if (c->next == 0)
			c->next = 1;
		at = number % NCURSORS;
		c->number[at] = number;
		c->start[at] = !key;
		if (key)
			memcpy(c->keys + at * c->key_size, key, c->key_size);
	}
	surface_unlock();
	return number;
}

/* 1: go on after @key. 0: from the beginning. -ENOENT. */
static int cursor_load(struct surface_obj *o, u32 number, void *key)
{
	u32 at = number % NCURSORS;
	int ret = -ENOENT;

	if (number == 0)
		return 0;
	surface_lock();
	if (o->cursors && o->cursors->number[at] == number) {
		ret = !o->cursors->start[at];
		if (ret)
			memcpy(key, o->cursors->keys + at * o->cursors->key_size,
			       o->cursors->key_size);
	}
	surface_unlock();
	return ret;
}

/* --- walking -------------------------------------------------------------------------------------
 */

/*
 * @cur is the key to take next, @next the one after it, looked up before @cur may be deleted, and
 * @last the one taken last. A key that others delete under us can send the walk back to the
 * beginning; the steps are bounded so that this ends.
 */
struct walk {
	struct surface_obj *o;
	const union bpf_attr *a;
	u32 key_size, value_size, max;
	bool is_hash, deletes, at_end;
	u8 *cur, *next, *last;
};

static bool hash_like(u32 type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static int next_key(struct walk *w, const void *key, void *next)
{
	return w->o->map.ops->next(&w->o->map, key, next);
}

static int walk_start(struct walk *w)
{
	u64 in = w->a->batch.in_batch;
	u32 number;
	int ret;

	if (!in)
		return next_key(w, NULL, w->cur);
	if (!w->is_hash) {
		ret = user_read(w->last, in, w->key_size);
		return ret ? ret : next_key(w, w->last, w->cur);
	}
	ret = user_read(&number, in, sizeof(number));
	if (!ret)
		ret = cursor_load(w->o, number, w->cur);
	return ret == 0 ? next_key(w, NULL, w->cur) : MIN(ret, 0);
}

static int walk_end(struct walk *w, u32 done)
{
	u64 out = w->a->batch.out_batch;
	u32 number;

	if (!w->is_hash)
		return done ? user_write(out, w->last, w->key_size) : 0;
	number = cursor_save(w->o, w->at_end ? NULL : w->cur);
	return number ? user_write(out, &number, sizeof(number)) : -ENOMEM;
}

/* One element to the caller. -ENOENT: it went away meanwhile. */
static int take(struct walk *w, u32 at)
{
	struct ebpf_map *m = &w->o->map;
	u8 *key = (u8 *)w->a->batch.keys + (size_t)at * w->key_size;
	u8 *value = (u8 *)w->a->batch.values + (size_t)at * w->value_size;
	int err;

	if (w->deletes && m->ops->lookup_delete_user)
		err = m->ops->lookup_delete_user(m, w->cur, value);
	else
		err = m->ops->lookup_user(m, w->cur, value, 0);
	if (!err)
		memcpy(key, w->cur, w->key_size);
	return err;
}

static void advance(struct walk *w)
{
	u8 *free_one = w->last;

	w->last = w->cur;
	w->cur = w->next;
	w->next = free_one;
}

static int walk(struct walk *w, u32 *done)
{
	u64 steps = 4ULL * w->o->meta.max_entries + w->max + 16;
	int err, end;

	while (*done < w->max) {
		if (steps-- == 0)
			return -EAGAIN;
		end = next_key(w, w->cur, w->next);
		err = take(w, *done);
		if (err && err != -ENOENT)
			return err;
		*done += !err;
		advance(w);
		if (end) {
			w->at_end = true;
			return *done < w->max || w->is_hash ? end : 0;
		}
	}
	return 0;
}

static long put_count(const struct surface_cmd *c, u32 n)
{
	return user_write(c->uattr + offsetof(union bpf_attr, batch.count), &n, sizeof(n));
}

static bool arrays_ok(const struct surface_obj *o, const union bpf_attr *a, bool values)
{
	u64 value = ebpf_map_user_value_size(&o->meta);

	return user_ok(a->batch.keys, (u64)a->batch.count * o->meta.key_size) &&
	       (!values || user_ok(a->batch.values, a->batch.count * value));
}

static long batch_lookup(struct surface_cmd *c, struct surface_obj *o)
{
	const union bpf_attr *a = &c->attr.a;
	struct walk w = {.o = o,
			 .a = a,
			 .key_size = o->meta.key_size,
			 .value_size = ebpf_map_user_value_size(&o->meta),
			 .max = a->batch.count,
			 .is_hash = hash_like(o->meta.type),
			 .deletes = c->cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH};
	_cleanup_free_ u8 *keys = malloc(3UL * w.key_size);
	u32 done = 0;
	long err, ret;

	if (!keys)
		return -ENOMEM;
	w.cur = keys;
	w.next = keys + w.key_size;
	w.last = w.next + w.key_size;
	if (!arrays_ok(o, a, true))
		return -EFAULT;
	ret = put_count(c, 0);
	if (!ret)
		ret = walk_start(&w);
	w.at_end = ret == -ENOENT;
	if (!ret)
		ret = walk(&w, &done);
	if (ret == -EFAULT)
		return ret;
	err = walk_end(&w, done);
	if (!err)
		err = put_count(c, done);
	return err ? err : ret;
}

static long batch_each(struct surface_cmd *c, struct surface_obj *o, bool update)
{
	const union bpf_attr *a = &c->attr.a;
	u32 key_size = o->meta.key_size, value_size = ebpf_map_user_value_size(&o->meta);
	u8 *key = (u8 *)a->batch.keys, *value = (u8 *)a->batch.values;
	u32 done = 0;
	long ret = 0, err;

	if (!arrays_ok(o, a, update))
		return -EFAULT;
	for (; done < a->batch.count; done++, key += key_size, value += value_size) {
		if (update)
			ret = o->map.ops->update_user(&o->map, key, value, a->batch.elem_flags);
		else
			ret = o->map.ops->del(&o->map, key);
		if (ret)
			break;
	}
	err = put_count(c, done);
	return err ? err : ret;
}

long surface_batch(struct surface_cmd *c, struct surface_obj *o, u32 mode)
{
	const union bpf_attr *a = &c->attr.a;
	bool is_hash = hash_like(o->meta.type);

	if (!is_hash &&
	    (c->cmd == BPF_MAP_DELETE_BATCH || c->cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH))
		return -SURFACE_ENOTSUPP;
	if (a->batch.elem_flags) /* BPF_F_LOCK at most, and these maps hold no lock */
		return -EINVAL;
	if (is_hash && a->batch.flags &&
	    (c->cmd == BPF_MAP_LOOKUP_BATCH || c->cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH))
		return -EINVAL;
	if (a->batch.count == 0)
		return 0;
	if (mode & SURFACE_CAN_READ)
		return batch_lookup(c, o);
	return batch_each(c, o, c->cmd == BPF_MAP_UPDATE_BATCH);
}
