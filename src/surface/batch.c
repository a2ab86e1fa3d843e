/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batched element commands.
 *
 * Model: keys and values are arrays in the caller's memory; count goes in as room and comes back as
 * what was done, also on failure; the end of the map is -ENOENT with the rest delivered. For arrays
 * the position between two calls is the last key, for hash tables the number of the bucket to go on
 * with, a u32 as in the kernel: callers give it four bytes of room whatever the key's size, and may
 * hand it to another process. A bucket is delivered whole or, when there is no room for it, not at
 * all; when it was the first of the call, that is -ENOSPC.
 */
#include <string.h>

#include "surface/internal.h"

#define RESTARTS 16 /* of a bucket that changes while we read it */

/* @cur is the key to take, @last the one before it. The steps are bounded: a table whose links were
 * scribbled on ends, too. */
struct walk {
	struct surface_obj *o;
	const union bpf_attr *a;
	u32 key_size, value_size, max;
	bool is_hash, deletes;
	u8 *cur, *last;
	u64 steps;
};

static bool hash_like(u32 type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* One element to the caller. -ENOENT: it went away meanwhile. */
static int take(struct walk *w, u32 at)
{
	struct ebpf_map *m = &w->o->map;
	u8 *key = (u8 *)w->a->batch.keys + (size_t)at * w->key_size;
	u8 *value = (u8 *)w->a->batch.values + (size_t)at * w->value_size;
	int err;

	if (w->deletes)
		err = m->ops->lookup_delete_user(m, w->cur, value);
	else
		err = m->ops->lookup_user(m, w->cur, value, w->a->batch.elem_flags);
	if (!err)
		memcpy(key, w->cur, w->key_size);
	return err;
}

/* --- arrays --------------------------------------------------------------------------------------
 */

static int walk_array(struct walk *w, u32 *done)
{
	struct ebpf_map *m = &w->o->map;
	const u8 *after = NULL;
	int err = 0;

	if (w->a->batch.in_batch) {
		err = user_read(w->last, w->a->batch.in_batch, w->key_size);
		after = w->last;
	}
	while (!err && *done < w->max) {
		err = m->ops->next(m, after, w->cur);
		if (!err)
			err = take(w, *done);
		if (err)
			break;
		memcpy(w->last, w->cur, w->key_size);
		after = w->last;
		++*done;
	}
	if (*done && (!err || err == -ENOENT) &&
	    user_write(w->a->batch.out_batch, w->last, w->key_size))
		return -EFAULT;
	return err;
}

/* --- hash tables ---------------------------------------------------------------------------------
 */

static int next_in(struct walk *w, u32 bucket, const void *key, void *next)
{
	if (w->steps-- == 0)
		return -E2BIG;
	return w->o->map.ops->next_in(&w->o->map, bucket, key, next);
}

/* How many elements are in @bucket: what is deleted has to fit beforehand. */
static int count_bucket(struct walk *w, u32 bucket, u32 *n)
{
	const u8 *key = NULL;
	int err;

	*n = 0;
	while (!(err = next_in(w, bucket, key, w->cur))) {
		memcpy(w->last, w->cur, w->key_size);
		key = w->last;
		++*n;
	}
	return err == -ENOENT ? 0 : err;
}

static int read_bucket(struct walk *w, u32 bucket, u32 *done)
{
	const u8 *key = NULL;
	u32 n = *done;
	int err;

	while (!(err = next_in(w, bucket, key, w->cur))) {
		if (n == w->max)
			return -ENOSPC;
		err = take(w, n);
		if (err && err != -ENOENT)
			return err;
		n += !err;
		memcpy(w->last, w->cur, w->key_size);
		key = w->last;
	}
	if (err == -ENOENT)
		*done = n;
	return err == -ENOENT ? 0 : err;
}

/* What was taken is gone from the table: it counts, whatever comes after. */
static int drain_bucket(struct walk *w, u32 bucket, u32 *done)
{
	u32 n;
	int err = count_bucket(w, bucket, &n);

	if (err)
		return err;
	if (n > w->max - *done)
		return -ENOSPC;
	while (!(err = next_in(w, bucket, NULL, w->cur))) {
		if (*done == w->max)
			return -ENOSPC;
		err = take(w, *done);
		if (err && err != -ENOENT)
			return err;
		*done += !err;
	}
	return err == -ENOENT ? 0 : err;
}

static int take_bucket(struct walk *w, u32 bucket, u32 *done)
{
	int err = -EAGAIN;

	for (int i = 0; err == -EAGAIN && i < RESTARTS; i++)
		err = w->deletes ? drain_bucket(w, bucket, done) : read_bucket(w, bucket, done);
	return err;
}

static int walk_hash(struct walk *w, u32 *done)
{
	u32 bucket = 0;
	int err = 0;

	if (w->a->batch.in_batch)
		err = user_read(&bucket, w->a->batch.in_batch, sizeof(bucket));
	while (!err) {
		err = take_bucket(w, bucket, done);
		bucket += !err;
	}
	if (err == -EINVAL)
		err = -ENOENT; /* behind the last bucket */
	if (err == -ENOSPC && *done)
		err = 0;
	if (err != -EFAULT && user_write(w->a->batch.out_batch, &bucket, sizeof(bucket)))
		return -EFAULT;
	return err;
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
			 .deletes = c->cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH,
			 .steps = 16ULL * o->meta.max_entries + 65536};
	_cleanup_free_ u8 *keys = malloc(2UL * w.key_size);
	u32 done = 0;
	long err, ret;

	if (!keys)
		return -ENOMEM;
	w.cur = keys;
	w.last = keys + w.key_size;
	if (!arrays_ok(o, a, true))
		return -EFAULT;
	ret = put_count(c, 0);
	if (!ret)
		ret = w.is_hash ? walk_hash(&w, &done) : walk_array(&w, &done);
	if (ret == -EFAULT)
		return ret;
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

	if (!o->meta.key_size)
		return -SURFACE_ENOTSUPP;
	if (!is_hash &&
	    (c->cmd == BPF_MAP_DELETE_BATCH || c->cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH))
		return -SURFACE_ENOTSUPP;
	if ((a->batch.elem_flags & ~(u64)BPF_F_LOCK) || (a->batch.elem_flags && !o->meta.lock_at))
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
