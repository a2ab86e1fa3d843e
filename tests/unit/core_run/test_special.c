/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks and timers in values: what copies leave out, whatever the layout; locks of the dead. */
#include "core/run/map/special.h"

#include "map_test.h"

#define VALUE_MAX 1024

TestSuite(special, .init = test_participants, .timeout = 30);

/* A map of @type whose values have a lock and a timer at random places. */
static void random_map(struct ebpf_map *map, u32 type)
{
	u32 units = 2 + test_rand() % (VALUE_MAX / 8 - 2), timer, lock;
	struct ebpf_map_meta meta = test_meta(type, 4, units * 8, 4, 0);
	u64 size;

	timer = test_rand() % (units - 1) * 8;
	lock = test_rand() % (units * 2) * 4;
	if (test_rand() % 4)
		meta.timer_at = (u16)(timer / EBPF_SPECIAL_UNIT + 1);
	if (!meta.timer_at || lock - timer >= EBPF_TIMER_SIZE)
		meta.lock_at = (u16)(lock / EBPF_SPECIAL_UNIT + 1);
	cr_assert_eq(ebpf_map_check(&meta), 0);
	size = ebpf_map_shm_size(&meta);
	cr_assert_eq(ebpf_map_bind(map, &meta, test_mmap(size), size), 0);
}

static bool is_special(const struct ebpf_map *map, u32 i)
{
	u32 lock = (map->meta.lock_at - 1u) * EBPF_SPECIAL_UNIT;
	u32 timer = (map->meta.timer_at - 1u) * EBPF_SPECIAL_UNIT;

	return (map->meta.lock_at && i - lock < 4) ||
	       (map->meta.timer_at && i - timer < EBPF_TIMER_SIZE);
}

static bool in_timer(const struct ebpf_map *map, u32 i)
{
	return map->meta.timer_at &&
	       i - (map->meta.timer_at - 1u) * EBPF_SPECIAL_UNIT < EBPF_TIMER_SIZE;
}

static void check_copies(u32 type)
{
	struct ebpf_map map;
	u8 in[VALUE_MAX], out[VALUE_MAX], *value;
	u32 key = 1;

	random_map(&map, type);
	for (u32 i = 0; i < map.meta.value_size; i++)
		in[i] = (u8)(test_rand() | 1);
	cr_assert_eq(map.ops->update(&map, &key, in, BPF_ANY), 0);
	value = map.ops->lookup(&map, &key);
	for (u32 i = 0; i < map.meta.value_size; i++)
		cr_assert_eq(value[i], is_special(&map, i) ? 0 : in[i], "byte %u", i);
	/* what a program has put there */
	for (u32 i = 0; i < map.meta.value_size; i++)
		value[i] = is_special(&map, i) ? 0xee : value[i];
	cr_assert_eq(map.ops->lookup_user(&map, &key, out, 0), 0);
	for (u32 i = 0; i < map.meta.value_size; i++)
		cr_assert_eq(out[i], is_special(&map, i) ? 0 : in[i], "byte %u", i);
	cr_assert_eq(map.ops->update_user(&map, &key, in, BPF_EXIST), 0);
	value = map.ops->lookup(&map, &key);
	for (u32 i = 0; i < map.meta.value_size; i++) {
		if (in_timer(&map, i))
			cr_assert_eq(value[i], 0, "replaced, a timer is none: %u", i);
		else if (!is_special(&map, i))
			cr_assert_eq(value[i], in[i], "byte %u", i);
	}
}

Test(special, copies_leave_them_out)
{
	test_seed();
	for (u32 i = 0; i < 300; i++) {
		check_copies(BPF_MAP_TYPE_ARRAY);
		check_copies(BPF_MAP_TYPE_HASH);
	}
}

Test(special, a_deleted_elements_timer_is_none)
{
	struct ebpf_map_meta meta = test_meta(BPF_MAP_TYPE_HASH, 4, 24, 4, 0);
	u64 in[3] = {0, 0, 1}, *value, size;
	struct ebpf_map map;
	u32 key = 1;

	meta.timer_at = 1;
	size = ebpf_map_shm_size(&meta);
	cr_assert_eq(ebpf_map_bind(&map, &meta, test_mmap(size), size), 0);
	cr_assert_eq(map.ops->update(&map, &key, in, BPF_ANY), 0);
	value = map.ops->lookup(&map, &key);
	value[0] = value[1] = ~0ull;
	cr_assert_eq(map.ops->del(&map, &key), 0);
	cr_assert(value[0] == 0 && value[1] == 0, "who still holds the value sees that");
}

static struct ebpf_map *locked_map(u32 type)
{
	static struct ebpf_map map;
	struct ebpf_map_meta meta = test_meta(type, 4, 16, 2, 0);
	u64 in[2] = {0, 5}, size = ebpf_map_shm_size(&meta);
	u32 key = 0;

	meta.lock_at = 1;
	cr_assert_eq(ebpf_map_bind(&map, &meta, test_mmap(size), size), 0);
	cr_assert_eq(map.ops->update(&map, &key, in, BPF_ANY), 0);
	return &map;
}

static void try_locks(u32 type)
{
	struct ebpf_map *map = locked_map(type);
	u64 value[2] = {0, 6};
	u32 key = 0, *lock;

	lock = ebpf_value_lock(map, map->ops->lookup(map, &key));
	cr_assert_eq(map->ops->update(map, &key, value, BPF_F_LOCK), 0);
	cr_assert_eq(*lock, 0, "it has let go");
	/* somebody alive holds it, and does not let go */
	*lock = 2;
	cr_assert_eq(map->ops->update(map, &key, value, BPF_F_LOCK), -EBUSY);
	cr_assert_eq(map->ops->lookup_user(map, &key, value, BPF_F_LOCK), -EBUSY);
	cr_assert_eq(map->ops->lookup_user(map, &key, value, 0), 0, "it asks nobody");
	shared->dead[2] = 1;
	cr_assert_eq(map->ops->update(map, &key, value, BPF_F_LOCK), 0);
	/* nobody's number */
	*lock = 0x12345678;
	cr_assert_eq(map->ops->lookup_user(map, &key, value, BPF_F_LOCK), 0);
	cr_assert_eq(value[1], 6);
	shared->dead[2] = 0;
}

Test(special, a_lock_is_waited_for_and_taken_over)
{
	try_locks(BPF_MAP_TYPE_ARRAY);
	try_locks(BPF_MAP_TYPE_HASH);
}
