/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF_MAP_*: making maps, freezing them, and their elements where the client can't do it itself
 * (arrays of programs and perf events, whose entries are references).
 */
#include "core/load/syscall.h"
#include "core/load/verify_btf.h"
#include "core/run/map/idarray.h"
#include "core/run/map/inner.h"
#include "core/run/map/special.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define ENOTSUPP 524
#define MAP_FILE_FLAGS (BPF_F_RDONLY | BPF_F_WRONLY)

static void map_release(struct ebpf_obj *obj)
{
	struct ebpf_map_obj *m = ebpf_obj_map(obj);

	obj->table->backend->map_gone(m);
	for (u32 i = 0; m->slots && i < m->meta.max_entries; i++)
		ebpf_obj_put(m->slots[i]);
	free(m->slots);
	ebpf_inner_free(m);
	if (m->base)
		obj->table->backend->unmap_pages(&m->meta, m->base, obj->size);
	if (m->const_fd >= 0)
		close(m->const_fd);
	if (m->btf)
		ebpf_obj_put(&m->btf->obj);
	obj->table->map_bytes -= obj->size;
	free(m);
}

static bool holds_references(u32 type)
{
	return type == BPF_MAP_TYPE_PROG_ARRAY || type == BPF_MAP_TYPE_PERF_EVENT_ARRAY;
}

/* Memory of the map: a size-sealed memfd, mapped here too. */
static int map_memory(struct ebpf_table *t, struct ebpf_map_obj *m, u64 size, int *out)
{
	_cleanup_close_ int fd = osl_shm_create(m->meta.name[0] ? m->meta.name : "map", size);
	int err;

	if (fd < 0)
		return fd;
	err = osl_shm_seal(fd, OSL_SEAL_SIZE);
	if (err)
		return err;
	err = t->backend->map_pages(&m->meta, fd, size, &m->base);
	if (err)
		return err;
	err = ebpf_map_bind(&m->map, &m->meta, m->base, size);
	if (err) {
		t->backend->unmap_pages(&m->meta, m->base, size);
		m->base = NULL;
		return err;
	}
	*out = TAKE_FD(fd);
	return 0;
}

static int map_fill(struct ebpf_table *t, struct ebpf_map_obj *m, u64 size)
{
	_cleanup_close_ int fd = -1;
	int err;

	if (holds_references(m->meta.type)) {
		m->slots = calloc(m->meta.max_entries, sizeof(*m->slots));
		if (!m->slots)
			return -ENOMEM;
	}
	err = map_memory(t, m, size, &fd);
	if (err)
		return err;
	err = ebpf_obj_init(t, &m->obj, EBPF_OBJ_MAP, fd, size);
	if (err)
		return err;
	fd = -1;
	t->map_bytes += size;
	m->obj.release = map_release;
	memcpy(m->obj.name, m->meta.name, sizeof(m->obj.name));
	m->meta.id = m->map.meta.id = m->obj.id;
	return 0;
}

int ebpf_map_new(struct ebpf_table *t, const struct ebpf_map_meta *meta, struct ebpf_map_obj **out)
{
	struct ebpf_map_obj *m;
	u64 size;
	int err = ebpf_map_check(meta);

	if (err)
		return err;
	size = ebpf_map_shm_size(meta);
	if (t->map_bytes_max && (size > t->map_bytes_max || t->map_bytes > t->map_bytes_max - size))
		return -ENOMEM;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->const_fd = -1;
	m->meta = *meta;
	m->meta.seed = meta->map_flags & BPF_F_ZERO_SEED ? 0 : t->backend->random();
	err = map_fill(t, m, size);
	if (err) {
		if (m->base)
			t->backend->unmap_pages(&m->meta, m->base, size);
		free(m->slots);
		free(m);
		return err;
	}
	err = t->backend->map_new(m);
	if (err) {
		ebpf_obj_put(&m->obj);
		return err;
	}
	*out = m;
	return 0;
}

static int check_btf_types(const struct ebpf_map_meta *meta, const struct ebpf_btf_obj *btf,
			   u32 key_id, u32 value_id)
{
	s64 size;

	if (key_id) {
		size = ebpf_btf_type_size(btf->data, btf->size, key_id);
		if (size < 0 || size != meta->key_size)
			return -EINVAL;
	}
	size = ebpf_btf_type_size(btf->data, btf->size, value_id);
	if (size < 0 || size != meta->value_size)
		return -EINVAL;
	return 0;
}

static bool holds_locks(u32 type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_ARRAY;
}

static bool holds_timers(u32 type)
{
	return holds_locks(type) || type == BPF_MAP_TYPE_LRU_HASH;
}

static int place_field(struct ebpf_call *call, struct ebpf_map_meta *meta,
		       const struct ebpf_field *f)
{
	bool lock = f->kind == EBPF_FIELD_SPIN_LOCK, timer = f->kind == EBPF_FIELD_TIMER;

	if (meta->map_flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG))
		return -EACCES;
	if ((!lock || !holds_locks(meta->type)) && (!timer || !holds_timers(meta->type))) {
		ebpf_call_why(call, "values of map type %u can't hold %s here", meta->type,
			      lock    ? "a bpf_spin_lock"
			      : timer ? "a bpf_timer"
				      : "kernel pointers, lists, trees or work queues");
		return -EOPNOTSUPP;
	}
	if (f->off / EBPF_SPECIAL_UNIT >= UINT16_MAX) {
		ebpf_call_why(call,
			      "locks and timers lie in the first 256 KiB of a value; this "
			      "one at %u: put it first",
			      f->off);
		return -E2BIG;
	}
	*(lock ? &meta->lock_at : &meta->timer_at) = (u16)(f->off / EBPF_SPECIAL_UNIT + 1);
	return 0;
}

/* Locks and timers in the values, as the kernel looks for them. */
static int place_fields(struct ebpf_call *call, struct ebpf_map_meta *meta,
			const struct ebpf_btf_obj *obj, u32 value_id)
{
	const struct ebpf_vbtf data = {obj->data, obj->size};
	struct ebpf_field fields[EBPF_MAX_FIELDS];
	struct ebpf_btf btf;
	int n = ebpf_btf_open(&btf, &data), err = 0;

	if (n)
		return n;
	n = ebpf_btf_fields(&btf, value_id, meta->value_size, fields);
	ebpf_btf_close(&btf);
	for (int i = 0; i < n && !err; i++)
		err = place_field(call, meta, &fields[i]);
	return n < 0 ? n : err;
}

static int map_btf(struct ebpf_call *call, struct ebpf_map_meta *meta, struct ebpf_btf_obj **out)
{
	const union bpf_attr *a = &call->attr;
	struct ebpf_obj *obj;
	int err;

	if (!a->btf_key_type_id && !a->btf_value_type_id)
		return 0;
	err = ebpf_call_obj(call, a->btf_fd, EBPF_OBJ_BTF, &obj);
	if (err)
		return err;
	if (!a->btf_value_type_id)
		return -EINVAL;
	err = check_btf_types(meta, ebpf_obj_btf(obj), a->btf_key_type_id, a->btf_value_type_id);
	if (!err)
		err = place_fields(call, meta, ebpf_obj_btf(obj), a->btf_value_type_id);
	if (err)
		return err;
	*out = ebpf_obj_btf(obj);
	return 0;
}

static int check_create(const union bpf_attr *a)
{
	if (a->btf_vmlinux_value_type_id)
		return -EINVAL;
	if (a->btf_key_type_id && !a->btf_value_type_id)
		return -EINVAL;
	if (a->map_type != BPF_MAP_TYPE_BLOOM_FILTER && a->map_extra)
		return -EINVAL;
	if ((a->map_flags & MAP_FILE_FLAGS) == MAP_FILE_FLAGS)
		return -EINVAL;
	if (a->map_ifindex)
		return -EINVAL;
	if ((a->map_flags & BPF_F_NUMA_NODE) && a->numa_node > 1023)
		return -EINVAL;
	return 0;
}

/* The map that stands for the inner ones of a map of maps. */
static int inner_like(struct ebpf_call *call, struct ebpf_map_meta *out)
{
	struct ebpf_obj *obj;
	int err = ebpf_call_obj(call, (s32)call->attr.inner_map_fd, EBPF_OBJ_MAP, &obj);

	if (!err)
		err = ebpf_inner_check(&ebpf_obj_map(obj)->meta);
	if (err)
		return err;
	*out = ebpf_obj_map(obj)->meta;
	if (out->lock_at | out->timer_at) {
		ebpf_call_why(call,
			      "maps with a lock or a timer in their values can't be inner maps");
		return -ENOTSUPP;
	}
	return 0;
}

static int map_create(struct ebpf_call *call, const struct ebpf_map_meta *meta,
		      struct ebpf_map_obj **out)
{
	bool outer = ebpf_is_map_of_maps(meta->type);
	struct ebpf_map_meta like;
	struct ebpf_map_obj *m;
	int err = outer ? inner_like(call, &like) : 0;

	if (!err)
		err = ebpf_map_new(call->table, meta, &m);
	if (err)
		return err;
	err = outer ? ebpf_inner_make(m, &like) : 0;
	if (err)
		ebpf_obj_put(&m->obj);
	else
		*out = m;
	return err;
}

int ebpf_cmd_map_create(struct ebpf_call *call)
{
	const union bpf_attr *a = &call->attr;
	struct ebpf_map_meta meta = {.type = a->map_type,
				     .key_size = a->key_size,
				     .value_size = a->value_size,
				     .max_entries = a->max_entries,
				     .map_flags = a->map_flags,
				     .map_extra = a->map_extra,
				     .nr_cpus = osl_nr_cpus()};
	struct ebpf_btf_obj *btf = NULL;
	struct ebpf_map_obj *m;
	int err = check_create(a);

	if (err)
		return err;
	if (ebpf_name_copy(meta.name, a->map_name) < 0)
		return -EINVAL;
	if (!ebpf_map_ops_of(meta.type)) {
		ebpf_call_why(call, "map type %u is not one this runtime has", meta.type);
		return -EINVAL;
	}
	err = ebpf_map_check(&meta);
	if (!err)
		err = map_btf(call, &meta, &btf);
	if (!err)
		err = map_create(call, &meta, &m);
	if (err)
		return err;
	if (btf) {
		m->btf = btf;
		ebpf_obj_get(&btf->obj);
		m->btf_key_type_id = a->btf_key_type_id;
		m->btf_value_type_id = a->btf_value_type_id;
	}
	m->obj.uid = call->uid;
	return ebpf_call_result(call, &m->obj);
}

/* A copy of @size bytes that nobody has mapped for writing, nor ever can. Descriptor or -errno. */
static int constant_copy(const void *data, u64 size)
{
	_cleanup_close_ int fd = osl_shm_create("constants", size);
	void *base;
	int err = fd < 0 ? fd : osl_shm_map(fd, 0, size, true, &base);

	if (err)
		return err;
	memcpy(base, data, size);
	osl_shm_unmap(base, size);
	err = osl_shm_seal(fd, OSL_SEAL_SIZE | OSL_SEAL_FUTURE_WRITE);
	return err ? err : TAKE_FD(fd);
}

/*
 * The values of a frozen array that programs can't write are constants to the verifier. Whoever
 * mapped the memory before can still write it; so programs get a copy that nobody can. A target
 * that has the map already keeps what it has, and nothing is taken for constant.
 */
static int make_constant(struct ebpf_map_obj *m)
{
	_cleanup_close_ int fd = -1;
	void *base;
	int err;

	if (m->meta.type != BPF_MAP_TYPE_ARRAY || m->delivered)
		return 0;
	fd = constant_copy(m->base, m->obj.size);
	if (fd < 0)
		return fd;
	err = osl_shm_map(fd, 0, m->obj.size, false, &base);
	if (err)
		return err;
	m->obj.table->backend->unmap_pages(&m->meta, m->base, m->obj.size);
	m->base = base;
	m->const_fd = TAKE_FD(fd);
	err = ebpf_map_bind(&m->map, &m->meta, m->base, m->obj.size);
	m->map.readonly = 1;
	return err;
}

/* Ring buffers have no mapping that could be taken away from their producers. */
int ebpf_cmd_map_freeze(struct ebpf_call *call)
{
	struct ebpf_map_obj *m;
	struct ebpf_obj *obj;
	int err = ebpf_call_obj(call, call->attr.map_fd, EBPF_OBJ_MAP, &obj);

	if (err)
		return err;
	m = ebpf_obj_map(obj);
	/* a frozen map can't be written by bpf(2), and freezing takes that right */
	if (m->frozen)
		return -EPERM;
	if (m->meta.map_flags & BPF_F_RDONLY_PROG) {
		err = osl_shm_seal(obj->fd, OSL_SEAL_FUTURE_WRITE);
		if (!err)
			err = make_constant(m);
		if (err)
			return err;
	}
	m->frozen = true;
	return 0;
}

/* --- entries that are references ------------------------------------------------------------ */

static int slot_kind(const struct ebpf_map_obj *m)
{
	return m->meta.type == BPF_MAP_TYPE_PROG_ARRAY ? EBPF_OBJ_PROG : EBPF_OBJ_PERF;
}

static int slot_write(struct ebpf_map_obj *m, u32 index, struct ebpf_obj *obj)
{
	struct ebpf_obj *old = m->slots[index];
	int err = m->obj.table->backend->slot_set(m, index, obj);

	if (err < 0)
		return err;
	if (obj)
		ebpf_obj_get(obj);
	m->slots[index] = obj;
	ebpf_idarray_set(&m->map, index, obj ? obj->id : 0, NULL);
	ebpf_obj_put(old);
	return err;
}

static int slot_update(struct ebpf_call *call, struct ebpf_map_obj *m, u32 index)
{
	const s32 *fd = ebpf_call_in(call, EBPF_KEY(value), sizeof(*fd));
	struct ebpf_obj *obj;
	int err;

	if (!fd)
		return -EFAULT;
	if (call->attr.flags != BPF_ANY)
		return -EINVAL;
	if (index >= m->meta.max_entries)
		return -E2BIG;
	err = ebpf_call_obj(call, *fd, slot_kind(m), &obj);
	if (err == -EINVAL && m->meta.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		err = -EBADF; /* as for every file that is no event */
	if (err)
		return err;
	return slot_write(m, index, obj);
}

static int slot_delete(struct ebpf_map_obj *m, u32 index)
{
	if (index >= m->meta.max_entries)
		return -E2BIG;
	if (!m->slots[index])
		return -ENOENT;
	return slot_write(m, index, NULL);
}

static int slot_lookup(struct ebpf_call *call, struct ebpf_map_obj *m, u32 index)
{
	u32 *out;

	if (m->meta.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		return -ENOTSUPP;
	if (index >= m->meta.max_entries || !m->slots[index])
		return -ENOENT;
	out = ebpf_call_out(call, EBPF_KEY(value), sizeof(*out));
	if (!out)
		return -EFAULT;
	*out = m->slots[index]->id;
	return 0;
}

static int slot_elem(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	u32 index;

	memcpy(&index, key, sizeof(index));
	switch (call->cmd) {
	case BPF_MAP_LOOKUP_ELEM:
		return slot_lookup(call, m, index);
	case BPF_MAP_UPDATE_ELEM:
		return slot_update(call, m, index);
	case BPF_MAP_DELETE_ELEM:
		return slot_delete(m, index);
	default:
		return -ENOTSUPP;
	}
}

/* --- elements of ordinary maps, for a client that did not map them -------------------------- */

static int elem_lookup(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	u32 size = ebpf_map_user_value_size(&m->meta);
	void *out = ebpf_call_out(call, EBPF_KEY(value), size);
	int err;

	if (!out)
		return -EFAULT;
	if (call->cmd == BPF_MAP_LOOKUP_ELEM)
		err = m->map.ops->lookup_user(&m->map, key, out, call->attr.flags);
	else if (m->map.ops->lookup_delete_user)
		err = m->map.ops->lookup_delete_user(&m->map, key, out);
	else
		err = -ENOTSUPP;
	if (err)
		ebpf_call_buf(call, EBPF_KEY(value))->out_len = 0;
	return err;
}

/* A filter is asked for a value. */
static int elem_ask(struct ebpf_call *call, struct ebpf_map_obj *m)
{
	const void *value = ebpf_call_in(call, EBPF_KEY(value), m->meta.value_size);

	if (call->cmd != BPF_MAP_LOOKUP_ELEM)
		return -ENOTSUPP;
	return value ? m->map.ops->peek(&m->map, (void *)value) : -EFAULT;
}

static int elem_update(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	const void *value = ebpf_call_in(call, EBPF_KEY(value), ebpf_map_user_value_size(&m->meta));

	if (!value)
		return -EFAULT;
	return m->map.ops->update_user(&m->map, key, value, call->attr.flags);
}

static int elem_next(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	void *out = ebpf_call_out(call, EBPF_KEY(next_key), m->meta.key_size);

	return out ? m->map.ops->next(&m->map, key, out) : -EFAULT;
}

static int elem(struct ebpf_call *call, struct ebpf_map_obj *m, const void *key)
{
	switch (call->cmd) {
	case BPF_MAP_LOOKUP_ELEM:
	case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
		if (m->meta.type == BPF_MAP_TYPE_BLOOM_FILTER)
			return elem_ask(call, m);
		return elem_lookup(call, m, key);
	case BPF_MAP_UPDATE_ELEM:
		return elem_update(call, m, key);
	default:
		return m->map.ops->del(&m->map, key);
	}
}

static int check_elem_flags(const struct ebpf_call *call, const struct ebpf_map_obj *m)
{
	bool writes = call->cmd == BPF_MAP_UPDATE_ELEM || call->cmd == BPF_MAP_DELETE_ELEM ||
		      call->cmd == BPF_MAP_LOOKUP_AND_DELETE_ELEM;
	bool has_flags = call->cmd != BPF_MAP_DELETE_ELEM && call->cmd != BPF_MAP_GET_NEXT_KEY;

	if (writes && (m->frozen || (m->meta.map_flags & BPF_F_RDONLY)))
		return -EPERM;
	if (call->cmd != BPF_MAP_UPDATE_ELEM && call->cmd != BPF_MAP_DELETE_ELEM &&
	    (m->meta.map_flags & BPF_F_WRONLY))
		return -EPERM;
	if (has_flags && (call->attr.flags & BPF_F_LOCK) && !m->meta.lock_at)
		return -EINVAL;
	return 0;
}

int ebpf_cmd_map_elem(struct ebpf_call *call)
{
	bool look = call->cmd == BPF_MAP_LOOKUP_ELEM || call->cmd == BPF_MAP_LOOKUP_AND_DELETE_ELEM;
	struct ebpf_map_obj *m;
	struct ebpf_obj *obj;
	const void *key;
	int err;

	if (look && (call->attr.flags & ~(u64)BPF_F_LOCK))
		return -EINVAL;
	err = ebpf_call_obj(call, call->attr.map_fd, EBPF_OBJ_MAP, &obj);
	if (err)
		return err;
	m = ebpf_obj_map(obj);
	err = check_elem_flags(call, m);
	if (err)
		return err;
	if (call->cmd == BPF_MAP_GET_NEXT_KEY && !m->meta.key_size)
		return call->attr.key ? -EINVAL : m->map.ops->next(&m->map, NULL, NULL);
	if (call->cmd == BPF_MAP_GET_NEXT_KEY && m->outer)
		return ebpf_inner_elem(call, m,
				       ebpf_call_in(call, EBPF_KEY(key), m->meta.key_size));
	if (call->cmd == BPF_MAP_GET_NEXT_KEY)
		return elem_next(call, m, ebpf_call_in(call, EBPF_KEY(key), m->meta.key_size));
	if (!m->meta.key_size)
		return call->attr.key ? -EINVAL : elem(call, m, NULL);
	key = ebpf_call_in(call, EBPF_KEY(key), m->meta.key_size);
	if (!key)
		return -EFAULT;
	if (m->outer)
		return ebpf_inner_elem(call, m, key);
	return m->slots ? slot_elem(call, m, key) : elem(call, m, key);
}
