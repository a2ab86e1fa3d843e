/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QUEUE and STACK: values without keys, pushed at one end and taken from the other or the same.
 *
 * Layout: struct fifo_head | max_entries + 1 slots. One slot is always unused; slots `tail` up to
 * before `head`, round and round, are taken, so that zeroed memory is empty.
 *
 * Rules: both ends are one word, and storing it is what makes an operation happen; before that a
 * push has only written the unused slot. So a writer that is killed has pushed (and, where it was
 * asked to, pushed out the oldest) or has done nothing, and whoever takes its lock over finds the
 * map whole. Pop and push serialise on an owned lock; peek takes none: a push says so in `pushes`
 * before it writes, and a peek that saw the number change looks again. Ends that make no sense were
 * scribbled there: the map is empty then.
 */
#include "core/run/map/lock.h"
#include "core/run/map/map_impl.h"

#define MAX_TRIES 64u /* of a peek beside pushes */
#define SLOTS 0	      /* map->off[]: how many there are */

struct fifo_head {
	u32 lock;
	u32 pushes; /* begun */
	u64 ends;   /* head << 32 | tail */
	u64 busy;   /* operations that could not get the lock */
	u64 pad[5];
};

struct ends {
	u32 head, tail;
};

static struct fifo_head *head_of(const struct ebpf_map *map)
{
	return (struct fifo_head *)map->base;
}

static void *slot_at(const struct ebpf_map *map, u32 i)
{
	return map->base + sizeof(struct fifo_head) + (u64)i * map->stride;
}

static bool is_stack(const struct ebpf_map *map)
{
	return map->meta.type == BPF_MAP_TYPE_STACK;
}

static struct ends load_ends(const struct ebpf_map *map)
{
	u64 word = load_acquire(&head_of(map)->ends);
	struct ends e = {.head = (u32)(word >> 32), .tail = (u32)word};

	if (unlikely(e.head >= map->off[SLOTS] || e.tail >= map->off[SLOTS]))
		return (struct ends){0};
	return e;
}

static void store_ends(struct ebpf_map *map, struct ends e)
{
	store_release(&head_of(map)->ends, (u64)e.head << 32 | e.tail);
}

static u32 after(const struct ebpf_map *map, u32 i)
{
	return i + 1ull == map->off[SLOTS] ? 0 : i + 1;
}

static u32 before(const struct ebpf_map *map, u32 i)
{
	return (i ? i : (u32)map->off[SLOTS]) - 1;
}

/* The slot whose value comes next. */
static u32 front(const struct ebpf_map *map, struct ends e)
{
	return is_stack(map) ? before(map, e.head) : e.tail;
}

/*
 * Values that are too large to have been copied first lie in the program's own memory, which can go
 * away: it is touched with care.
 */
static int value_in(const struct ebpf_map *map, void *slot, const void *value)
{
	if (unlikely(map->meta.value_size > EBPF_COPY_FIRST))
		return osl_read(slot, value, map->meta.value_size);
	ebpf_copy_in(slot, value, map->meta.value_size);
	return 0;
}

static int value_out(const struct ebpf_map *map, const void *slot, void *value)
{
	if (unlikely(map->meta.value_size > EBPF_COPY_FIRST))
		return osl_write(value, slot, map->meta.value_size);
	ebpf_copy_out(value, slot, map->meta.value_size);
	return 0;
}

static int fifo_lock(struct ebpf_map *map)
{
	int err;

	if (unlikely(map->readonly))
		return -EPERM;
	err = ebpf_lock(&head_of(map)->lock);
	if (likely(err >= 0))
		return 0; /* a dead owner leaves everything whole */
	__atomic_fetch_add(&head_of(map)->busy, 1, __ATOMIC_RELAXED);
	return err;
}

static int push_locked(struct ebpf_map *map, const void *value, u64 flags)
{
	struct fifo_head *h = head_of(map);
	struct ends e = load_ends(map);
	u32 next = after(map, e.head);
	int err;

	if (next == e.tail) {
		if (!(flags & BPF_EXIST))
			return -E2BIG;
		e.tail = after(map, e.tail);
	}
	WRITE_ONCE(h->pushes, READ_ONCE(h->pushes) + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	err = value_in(map, slot_at(map, e.head), value);
	if (err)
		return err;
	e.head = next;
	store_ends(map, e);
	return 0;
}

/* BPF_EXIST makes room: the oldest value goes. */
static int fifo_push(struct ebpf_map *map, const void *value, u64 flags)
{
	int err;

	if (flags & BPF_NOEXIST || flags > BPF_EXIST)
		return -EINVAL;
	err = fifo_lock(map);
	if (err)
		return err;
	err = push_locked(map, value, flags);
	ebpf_unlock(&head_of(map)->lock);
	return err;
}

static int pop_locked(struct ebpf_map *map, void *value)
{
	struct ends e = load_ends(map);
	u32 at = front(map, e);
	int err;

	if (e.head == e.tail)
		return -ENOENT;
	err = value_out(map, slot_at(map, at), value);
	if (err)
		return err;
	if (is_stack(map))
		e.head = at;
	else
		e.tail = after(map, at);
	store_ends(map, e);
	return 0;
}

static int fifo_pop(struct ebpf_map *map, void *value)
{
	int err = fifo_lock(map);

	if (err)
		return err;
	err = pop_locked(map, value);
	ebpf_unlock(&head_of(map)->lock);
	return err;
}

static int fifo_peek(struct ebpf_map *map, void *value)
{
	struct fifo_head *h = head_of(map);

	for (u32 i = 0; i < MAX_TRIES; i++) {
		u32 pushes = load_acquire(&h->pushes);
		struct ends e = load_ends(map);
		int err;

		if (e.head == e.tail)
			return -ENOENT;
		err = value_out(map, slot_at(map, front(map, e)), value);
		if (err)
			return err;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (likely(READ_ONCE(h->pushes) == pushes))
			return 0;
	}
	return -EBUSY;
}

/* --- the same as elements -------------------------------------------------------------------- */

static int fifo_refuse_update(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	return -EINVAL;
}

static int fifo_refuse_del(struct ebpf_map *map, const void *key)
{
	return -EINVAL;
}

static int fifo_no_keys(struct ebpf_map *map, const void *key, void *next)
{
	return -EINVAL;
}

static int fifo_lookup_user(struct ebpf_map *map, const void *key, void *value, u64 flags)
{
	return flags ? -EINVAL : fifo_peek(map, value);
}

static int fifo_update_user(struct ebpf_map *map, const void *key, const void *value, u64 flags)
{
	return fifo_push(map, value, flags);
}

static int fifo_lookup_delete(struct ebpf_map *map, const void *key, void *value)
{
	return fifo_pop(map, value);
}

/* --- attributes and memory ------------------------------------------------------------------- */

static int fifo_check(const struct ebpf_map_meta *meta)
{
	if (!meta->max_entries || meta->key_size || !meta->value_size || meta->map_extra)
		return -EINVAL;
	if (meta->map_flags & ~(BPF_F_NUMA_NODE | EBPF_MAP_ACCESS_FLAGS))
		return -EINVAL;
	return meta->value_size > EBPF_MAX_ELEM_SIZE ? -E2BIG : 0;
}

static u64 fifo_size(const struct ebpf_map_meta *meta)
{
	return ebpf_page_align(sizeof(struct fifo_head) +
			       (meta->max_entries + 1ull) * ebpf_value_stride(meta));
}

static void fifo_bind(struct ebpf_map *map)
{
	map->stride = ebpf_value_stride(&map->meta);
	map->off[SLOTS] = map->meta.max_entries + 1ull;
}

/* The number of a dead owner may go to somebody else: nobody is to wait for that one. */
static u32 fifo_reap(struct ebpf_map *map)
{
	u32 *lock = &head_of(map)->lock;
	u32 owner = READ_ONCE(*lock);

	return ebpf_lock_owner_dead(owner) && ebpf_lock_cas(lock, owner, 0);
}

#define FIFO_OPS(NAME)                                                                             \
	{                                                                                          \
		.name = NAME, .check = fifo_check, .size = fifo_size, .bind = fifo_bind,           \
		.lookup = ebpf_no_lookup, .update = fifo_refuse_update, .del = fifo_refuse_del,    \
		.next = fifo_no_keys, .lookup_user = fifo_lookup_user,                             \
		.update_user = fifo_update_user, .lookup_delete_user = fifo_lookup_delete,         \
		.push = fifo_push, .pop = fifo_pop, .peek = fifo_peek, .reap = fifo_reap,          \
	}

const struct ebpf_map_ops ebpf_queue_ops = FIFO_OPS("queue");
const struct ebpf_map_ops ebpf_stack_ops = FIFO_OPS("stack");
