/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Element commands of bpf(2), answered in this process on the map's shared memory: no message, no
 * wait for the daemon.
 *
 * The order of checks, and with it the errno, is the kernel's: the attribute's tail, flags, the
 * descriptor, its mode, whether the map is frozen, then key and value. Keys and values are used in
 * place after a check of their addresses; where the kernel would say -EFAULT for a hole in the
 * middle of the caller's memory, this process takes its own fault.
 */
#include <string.h>

#include "core/run/map/ringbuf.h"
#include "surface/internal.h"

#define END(field) (offsetof(union bpf_attr, field) + sizeof(((union bpf_attr *)0)->field))

/* What a command may look at; the rest of the attribute must be zero. */
struct elem_rule {
	u8 known, batch;
	u8 end;	  /* first byte that must be zero */
	u8 flags; /* takes BPF_F_LOCK at most */
	u32 needs;
};

#define R SURFACE_CAN_READ
#define W SURFACE_CAN_WRITE
static const struct elem_rule rules[] = {
	[BPF_MAP_LOOKUP_ELEM] = {1, 0, END(flags), 1, R},
	[BPF_MAP_UPDATE_ELEM] = {1, 0, END(flags), 0, W},
	[BPF_MAP_DELETE_ELEM] = {1, 0, END(key), 0, W},
	[BPF_MAP_GET_NEXT_KEY] = {1, 0, END(next_key), 0, R},
	[BPF_MAP_LOOKUP_AND_DELETE_ELEM] = {1, 0, END(flags), 1, R | W},
	[BPF_MAP_LOOKUP_BATCH] = {1, 1, END(batch.flags), 0, R},
	[BPF_MAP_UPDATE_BATCH] = {1, 1, END(batch.flags), 0, W},
	[BPF_MAP_DELETE_BATCH] = {1, 1, END(batch.flags), 0, W},
	[BPF_MAP_LOOKUP_AND_DELETE_BATCH] = {1, 1, END(batch.flags), 0, R | W},
};

bool surface_cmd_is_elem(int cmd)
{
	return cmd >= 0 && (size_t)cmd < ARRAY_SIZE(rules) && rules[cmd].known;
}

/* A map is frozen for bpf(2) by BPF_MAP_FREEZE, here or in another process. */
static bool is_frozen(struct surface_obj *o, int fd)
{
	int seals;

	if (o->frozen || !(o->meta.map_flags & BPF_F_RDONLY_PROG))
		return o->frozen;
	seals = sys_fcntl(fd, F_GET_SEALS, 0);
	o->frozen = seals >= 0 && (seals & F_SEAL_FUTURE_WRITE);
	return o->frozen;
}

long surface_obj_allowed(struct surface_obj *o, int fd, u32 needs)
{
	if (needs & ~surface_obj_mode(o, fd))
		return -EPERM;
	if ((needs & W) && is_frozen(o, fd))
		return -EPERM;
	return 0;
}

/* A map without keys is given none. */
static int check_key(const struct surface_obj *o, u64 key)
{
	if (!o->meta.key_size)
		return key ? -EINVAL : 0;
	return user_ok(key, o->meta.key_size) ? 0 : -EFAULT;
}

/* The element is looked for before the result is written: a wrong address is the later error. */
static long lookup_nowhere(struct surface_obj *o, const void *key, u64 flags)
{
	_cleanup_free_ void *value = malloc(ebpf_map_user_value_size(&o->meta));
	int err = value ? o->map.ops->lookup_user(&o->map, key, value, flags) : -ENOMEM;

	return err ? err : -EFAULT;
}

static long elem_lookup(struct surface_obj *o, const union bpf_attr *a)
{
	int err = check_key(o, a->key);

	if (err)
		return err;
	if (!user_ok(a->value, ebpf_map_user_value_size(&o->meta)))
		return o->meta.type == BPF_MAP_TYPE_BLOOM_FILTER
			       ? -EFAULT
			       : lookup_nowhere(o, (void *)a->key, a->flags);
	return o->map.ops->lookup_user(&o->map, (void *)a->key, (void *)a->value, a->flags);
}

static long elem_update(struct surface_obj *o, const union bpf_attr *a)
{
	int err = check_key(o, a->key);

	if (err)
		return err;
	if (!user_ok(a->value, ebpf_map_user_value_size(&o->meta)))
		return -EFAULT;
	return o->map.ops->update_user(&o->map, (void *)a->key, (void *)a->value, a->flags);
}

static long elem_delete(struct surface_obj *o, const union bpf_attr *a)
{
	int err = check_key(o, a->key);

	if (err)
		return err;
	return o->map.ops->del(&o->map, (void *)a->key);
}

static long next_nowhere(struct surface_obj *o, const void *key)
{
	_cleanup_free_ void *next = malloc(MAX(o->meta.key_size, 1u));
	int err = next ? o->map.ops->next(&o->map, key, next) : -ENOMEM;

	return err ? err : -EFAULT;
}

static long elem_next(struct surface_obj *o, const union bpf_attr *a)
{
	int err = a->key ? check_key(o, a->key) : 0;

	if (err)
		return err;
	if (!user_ok(a->next_key, o->meta.key_size))
		return next_nowhere(o, (void *)a->key);
	return o->map.ops->next(&o->map, (void *)a->key, (void *)a->next_key);
}

static long elem_lookup_delete(struct surface_obj *o, const union bpf_attr *a)
{
	int err = check_key(o, a->key);

	if (err)
		return err;
	if (!user_ok(a->value, ebpf_map_user_value_size(&o->meta)))
		return -EFAULT;
	if (!o->map.ops->lookup_delete_user)
		return -SURFACE_ENOTSUPP;
	return o->map.ops->lookup_delete_user(&o->map, (void *)a->key, (void *)a->value);
}

static long run(struct surface_cmd *c, struct surface_obj *o)
{
	switch (c->cmd) {
	case BPF_MAP_LOOKUP_ELEM:
		return elem_lookup(o, &c->attr.a);
	case BPF_MAP_UPDATE_ELEM:
		return elem_update(o, &c->attr.a);
	case BPF_MAP_DELETE_ELEM:
		return elem_delete(o, &c->attr.a);
	case BPF_MAP_GET_NEXT_KEY:
		return elem_next(o, &c->attr.a);
	default:
		return elem_lookup_delete(o, &c->attr.a);
	}
}

/* Ring buffers have no elements, and so no keys. */
static long ringbuf_elem(const struct surface_cmd *c, bool batch)
{
	if (!batch && c->cmd == BPF_MAP_UPDATE_ELEM && c->attr.a.flags & BPF_F_LOCK)
		return -EINVAL;
	return !batch && c->attr.a.key ? -EINVAL : -SURFACE_ENOTSUPP;
}

static bool has_flags(int cmd)
{
	return cmd != BPF_MAP_DELETE_ELEM && cmd != BPF_MAP_GET_NEXT_KEY;
}

/* BPF_F_LOCK is for maps whose values have a lock. */
static bool lacks_lock(const struct surface_obj *o, u64 flags)
{
	return (flags & BPF_F_LOCK) && !o->meta.lock_at;
}

/* To hold a lock is to write, even to read what it protects. */
static bool takes_lock(const struct surface_cmd *c, const struct elem_rule *r)
{
	u64 flags = r->batch ? c->attr.a.batch.elem_flags : has_flags(c->cmd) ? c->attr.a.flags : 0;

	return flags & BPF_F_LOCK;
}

long surface_elem(struct surface_cmd *c)
{
	const struct elem_rule *r = &rules[c->cmd];
	int fd = (int)(r->batch ? c->attr.a.batch.map_fd : c->attr.a.map_fd);
	_cleanup_obj_ struct surface_obj *o = NULL;
	long err;

	if (!surface_attr_ends(c, r->end))
		return -EINVAL;
	if (r->flags && (c->attr.a.flags & ~(u64)BPF_F_LOCK))
		return -EINVAL;
	err = surface_obj_get(fd, MSG_OBJ_MAP, &o);
	if (!err)
		err = surface_obj_allowed(o, fd, r->needs);
	if (!err && !r->batch && has_flags(c->cmd) && lacks_lock(o, c->attr.a.flags))
		err = -EINVAL;
	if (err)
		return err;
	if (ebpf_is_ring(o->meta.type))
		return ringbuf_elem(c, r->batch);
	if (!o->local)
		return r->batch ? -SURFACE_ENOTSUPP : surface_command(c, o);
	err = surface_obj_map(o, fd, (r->needs & W) || takes_lock(c, r));
	if (err)
		return err;
	return r->batch ? surface_batch(c, o, r->needs) : run(c, o);
}
