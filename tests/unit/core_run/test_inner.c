/* SPDX-License-Identifier: BSD-2-Clause */
/* ARRAY_OF_MAPS and HASH_OF_MAPS: an id leads to a map of the set, or nowhere. */
#include "map_test.h"

#include "core/run/map/inner.h"

TestSuite(inner, .init = test_participants);

#define ENOTSUPP 524
#define MAPS 100

static struct ebpf_map maps[MAPS];

static struct ebpf_inner *set_of(u32 room)
{
	struct ebpf_inner *set = calloc(1, ebpf_inner_size(room));

	ebpf_inner_init(set, room);
	return set;
}

static void number(void)
{
	for (u32 i = 0; i < MAPS; i++)
		maps[i].meta.id = i * 7 + 1;
}

Test(inner, sets)
{
	struct ebpf_inner *set = set_of(MAPS), *other;

	number();
	for (u32 i = 0; i < MAPS; i++) {
		cr_assert_null(ebpf_inner_by_id(set, maps[i].meta.id));
		cr_assert_eq(ebpf_inner_add(set, &maps[i]), 0);
		cr_assert_eq(ebpf_inner_add(set, &maps[i]), 0, "twice is once");
	}
	other = set_of(2 * MAPS);
	ebpf_inner_copy(other, set);
	for (u32 i = 0; i < MAPS; i++) {
		cr_assert_eq(ebpf_inner_by_id(other, maps[i].meta.id), &maps[i]);
		cr_assert_eq(ebpf_inner_by_addr(other, (u64)&maps[i]), &maps[i]);
		cr_assert_null(ebpf_inner_by_id(other, maps[i].meta.id + 1));
		cr_assert_null(ebpf_inner_by_addr(other, (u64)&maps[i] + 8));
	}
	cr_assert_null(ebpf_inner_by_addr(other, 0));
	cr_assert_null(ebpf_inner_by_addr(other, 1), "an id is no address");
	cr_assert_null(ebpf_inner_by_addr(other, 1ull << 63 | 1));
	cr_assert_null(ebpf_inner_by_id(other, 0));
	cr_assert_null(ebpf_inner_by_id(NULL, 1));
	cr_assert_null(ebpf_inner_by_addr(NULL, (u64)&maps[0]));
}

Test(inner, a_set_is_full_at_some_point)
{
	struct ebpf_inner *set = set_of(8);
	u32 n = 0;

	number();
	while (n < MAPS && !ebpf_inner_add(set, &maps[n]))
		n++;
	cr_assert_geq(n, 8);
	cr_assert_lt(n, MAPS);
	cr_assert_eq(ebpf_inner_add(set, &maps[n]), -ENOSPC);
	cr_assert_null(ebpf_inner_by_id(set, maps[n].meta.id), "searching ends");
}

static void outer_of(struct ebpf_map *outer, u32 type, u32 key_size)
{
	test_map(outer, type, key_size, 4, 16, 0);
	number();
	outer->inner = set_of(2);
	for (u32 i = 0; i < 2; i++)
		cr_assert_eq(ebpf_inner_add(outer->inner, &maps[i]), 0);
}

Test(inner, elements)
{
	const struct {
		u32 type, key_size;
	} rows[] = {{BPF_MAP_TYPE_ARRAY_OF_MAPS, 4},
		    {BPF_MAP_TYPE_HASH_OF_MAPS, 4},
		    {BPF_MAP_TYPE_HASH_OF_MAPS, 8},
		    {BPF_MAP_TYPE_HASH_OF_MAPS, 20}};

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		u32 key[8] = {3}, value = 1, next[8];
		struct ebpf_map outer;

		outer_of(&outer, rows[i].type, rows[i].key_size);
		cr_assert_null(outer.ops->lookup(&outer, key));
		cr_assert_eq(ebpf_inner_store(&outer, key, maps[0].meta.id), 0);
		cr_assert_eq(outer.ops->lookup(&outer, key), &maps[0]);
		cr_assert_eq(ebpf_inner_store(&outer, key, maps[1].meta.id), 0);
		cr_assert_eq(outer.ops->lookup(&outer, key), &maps[1]);
		cr_assert_eq(outer.ops->next(&outer, NULL, next), 0);
		/* a map that exists, but not for programs that use this one */
		cr_assert_eq(ebpf_inner_store(&outer, key, maps[2].meta.id), 0);
		cr_assert_null(outer.ops->lookup(&outer, key));
		cr_assert_eq(ebpf_inner_store(&outer, key, 0), 0);
		cr_assert_null(outer.ops->lookup(&outer, key));
		cr_assert_eq(outer.ops->update(&outer, key, &value, 0), -EINVAL);
		cr_assert_eq(outer.ops->del(&outer, key), -EINVAL);
		cr_assert_eq(outer.ops->lookup_user(&outer, key, &value, 0), -ENOTSUPP);
		key[0] = 1000;
		cr_assert_null(outer.ops->lookup(&outer, key));
	}
}

/* Whatever lies there: a map of the set or none. */
Test(inner, scribbling_leads_nowhere_else, .timeout = 20)
{
	test_seed();
	for (u32 type = BPF_MAP_TYPE_ARRAY_OF_MAPS; type <= BPF_MAP_TYPE_HASH_OF_MAPS; type++) {
		struct ebpf_map outer;
		u32 found = 0;

		outer_of(&outer, type, 4);
		for (u32 key = 0; key < 16; key++)
			ebpf_inner_store(&outer, &key, maps[key % 2].meta.id);
		outer.readonly = 1; /* as in a target */
		for (u32 round = 0; round < 20000; round++) {
			u32 *at = (u32 *)outer.base + test_rand() % (outer.size / 4);
			u32 key = test_rand() % 16;
			struct ebpf_map *m;

			*at = test_rand() % (test_rand() % 2 ? 20 : ~0u);
			m = outer.ops->lookup(&outer, &key);
			cr_assert(!m || m == &maps[0] || m == &maps[1]);
			found += m != NULL;
		}
		cr_assert_gt(found, 0);
	}
}

Test(inner, what_fits)
{
	struct ebpf_map_meta like = test_meta(BPF_MAP_TYPE_ARRAY, 4, 8, 3, 0), m = like;

	cr_assert(ebpf_inner_fits(&like, &m));
	m.max_entries = 4;
	cr_assert_not(ebpf_inner_fits(&like, &m));
	like.map_flags = m.map_flags = BPF_F_INNER_MAP;
	cr_assert(ebpf_inner_fits(&like, &m));
	m.lock_at = 1;
	cr_assert_not(ebpf_inner_fits(&like, &m));
	like = m = test_meta(BPF_MAP_TYPE_HASH, 4, 8, 3, 0);
	m.max_entries = 100;
	cr_assert(ebpf_inner_fits(&like, &m));
	m.value_size = 16;
	cr_assert_not(ebpf_inner_fits(&like, &m));
	m.type = BPF_MAP_TYPE_PROG_ARRAY;
	cr_assert_eq(ebpf_inner_check(&m), -ENOTSUPP);
	m.type = BPF_MAP_TYPE_HASH_OF_MAPS;
	cr_assert_eq(ebpf_inner_check(&m), -EINVAL);
}
