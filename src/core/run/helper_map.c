/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Map elements. Keys and values are copied to the stack before a map's code sees them: it may hold
 * a lock in shared memory, where a fault could not be undone.
 */
#include "core/run/helper_impl.h"
#include "core/run/map/inner.h"

#define COPY_MAX EBPF_COPY_FIRST /* larger values are looked at page by page instead */

/* What a lookup in a map of maps gave: a map that can be reached through one of the program's. */
static __noinline struct ebpf_map *inner_map(u64 arg, const struct ebpf_run *run)
{
	const struct ebpf_image *img = run->prog->image;
	const struct ebpf_image_ref *refs = ebpf_image_refs(img);

	for (u32 i = 0; i < img->nrefs; i++) {
		const struct ebpf_map *outer = (const struct ebpf_map *)run->refs[i];
		struct ebpf_map *map;

		if (refs[i].kind != EBPF_REF_MAP)
			continue;
		map = ebpf_inner_by_addr(load_acquire(&outer->inner), arg);
		if (map)
			return map;
	}
	return NULL;
}

struct ebpf_map *ebpf_arg_map(u64 arg, const struct ebpf_run *run)
{
	const struct ebpf_image *img = run->prog->image;
	const struct ebpf_image_ref *refs = ebpf_image_refs(img);

	for (u32 i = 0; i < img->nrefs; i++)
		if (run->refs[i] == arg && refs[i].kind == EBPF_REF_MAP)
			return (struct ebpf_map *)arg;
	return inner_map(arg, run);
}

bool ebpf_readable(const void *p, u64 len)
{
	u64 addr = (u64)p, last = addr + len - 1;
	char c;

	if (!len)
		return true;
	if (last < addr || osl_read(&c, (const void *)last, 1))
		return false;
	for (; addr < last; addr = ALIGN_DOWN(addr, EBPFRT_PAGE_SIZE) + EBPFRT_PAGE_SIZE)
		if (osl_read(&c, (const void *)addr, 1))
			return false;
	return true;
}

/* Memory of the program as map code may use it: a copy in @buf, or itself when it is large and
 * good. */
static const void *take(u64 arg, u32 len, void *buf)
{
	const void *p = (const void *)arg;

	if (likely(len <= COPY_MAX))
		return osl_read(buf, p, len) ? NULL : buf;
	return ebpf_readable(p, len) ? p : NULL;
}

/* Without a value to hold there is a key only, and the frame stays small. */
EBPF_HELPER(map_lookup_elem)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);
	u64 buf[COPY_MAX / 8];
	const void *key;

	if (unlikely(!map))
		return 0;
	key = take(r2, map->meta.key_size, buf);
	return key ? (u64)map->ops->lookup(map, key) : 0;
}

EBPF_HELPER(map_lookup_percpu_elem)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);
	u64 buf[COPY_MAX / 8];
	const void *key;

	if (unlikely(!map || !map->ops->lookup_cpu))
		return 0;
	key = take(r2, map->meta.key_size, buf);
	return key ? (u64)map->ops->lookup_cpu(map, key, (u32)r3) : 0;
}

EBPF_HELPER(map_delete_elem)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);
	u64 buf[COPY_MAX / 8];
	const void *key;

	if (unlikely(!map))
		return (u64)-EINVAL;
	key = take(r2, map->meta.key_size, buf);
	return key ? (u64)(s64)map->ops->del(map, key) : (u64)-EFAULT;
}

EBPF_HELPER(map_update_elem)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);
	u64 kbuf[COPY_MAX / 8], vbuf[COPY_MAX / 8];
	const void *key, *value;

	if (unlikely(!map))
		return (u64)-EINVAL;
	key = take(r2, map->meta.key_size, kbuf);
	value = take(r3, map->meta.value_size, vbuf);
	if (!key || !value)
		return (u64)-EFAULT;
	return (u64)(s64)map->ops->update(map, key, value, r4);
}

EBPF_HELPER(map_push_elem)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);
	u64 buf[COPY_MAX / 8];
	const void *value;

	if (unlikely(!map || !map->ops->push))
		return (u64)-EINVAL;
	value = take(r2, map->meta.value_size, buf);
	return value ? (u64)(s64)map->ops->push(map, value, r3) : (u64)-EFAULT;
}

/* Without a result the program's memory is zeroed: it has become something that may be read. */
static u64 no_value(u64 to, u32 len, int err)
{
	static const u64 zeroes[COPY_MAX / 8];
	u32 n;

	for (; len; len -= n, to += n) {
		n = MIN(len, COPY_MAX);
		if (osl_write((void *)to, zeroes, n))
			return (u64)-EFAULT;
	}
	return (u64)(s64)err;
}

/* The next value into the program's memory; a large one goes there directly. */
static u64 give(struct ebpf_map *map, int (*get)(struct ebpf_map *map, void *value), u64 to)
{
	u32 len = map->meta.value_size;
	u64 buf[COPY_MAX / 8];
	int err = get(map, len <= COPY_MAX ? buf : (void *)to);

	if (unlikely(err))
		return no_value(to, len, err);
	if (len <= COPY_MAX && osl_write((void *)to, buf, len))
		return (u64)-EFAULT;
	return 0;
}

/* A filter: is the value at @from in it? */
static u64 ask(struct ebpf_map *map, u64 from)
{
	u64 buf[COPY_MAX / 8];
	const void *value = take(from, map->meta.value_size, buf);

	return value ? (u64)(s64)map->ops->peek(map, (void *)value) : (u64)-EFAULT;
}

EBPF_HELPER(map_pop_elem)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);

	return map && map->ops->pop ? give(map, map->ops->pop, r2) : (u64)-EINVAL;
}

EBPF_HELPER(map_peek_elem)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);

	if (unlikely(!map || !map->ops->peek))
		return (u64)-EINVAL;
	return map->ops->pop ? give(map, map->ops->peek, r2) : ask(map, r2);
}

EBPF_HELPER(for_each_map_elem)
{
	struct ebpf_map *map = ebpf_arg_map(r1, run);

	if (!map || r4 || !map->ops->for_each)
		return (u64)-EINVAL;
	return (u64)map->ops->for_each(map, run, r2, r3);
}
