/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HASH, PERCPU_HASH, LRU_HASH: semantics, the kernel as the oracle, many processes, processes that
 * are killed anywhere, memory that somebody scribbles on.
 */
#include "map_test.h"

#include <pthread.h>

#include "osl/osl.h"
#include "osl/osl_trap.h"

TestSuite(hashtab, .init = test_participants);

struct big {
	u64 w[4]; /* longer than what is stored in place */
};

static struct big big_of(u64 x)
{
	return (struct big){{x, ~x, x * 3, x ^ 0x55}};
}

static bool big_whole(const struct big *b)
{
	struct big want = big_of(b->w[0]);

	return !memcmp(b, &want, sizeof(want));
}

static u32 *buckets(struct ebpf_map *map)
{
	return (u32 *)map->off[0];
}

static u32 *elems(struct ebpf_map *map)
{
	return (u32 *)map->off[1];
}

static u32 count_keys(struct ebpf_map *map)
{
	u8 key[64], *prev = NULL;
	u32 n = 0;

	while (!map->ops->next(map, prev, key) && n <= map->meta.max_entries * 2) {
		prev = key;
		n++;
	}
	return n;
}

Test(hashtab, full_is_exactly_max_entries)
{
	for (u32 max = 1; max < 300; max = max * 2 + 1) {
		struct ebpf_map map;
		struct big b = big_of(1);
		u32 key;

		test_map(&map, BPF_MAP_TYPE_HASH, 4, sizeof(b), max, 0);
		for (key = 0; key < max; key++)
			cr_assert_eq(map.ops->update(&map, &key, &b, BPF_NOEXIST), 0);
		cr_assert_eq(map.ops->update(&map, &key, &b, BPF_ANY), -E2BIG);
		cr_assert_eq(count_keys(&map), max);
		for (key = 0; key < max; key++) /* an existing key may always change */
			for (u32 i = 0; i < 3; i++)
				cr_assert_eq(map.ops->update(&map, &key, &b, BPF_EXIST), 0);
		cr_assert_eq(count_keys(&map), max);
		for (key = 0; key < max; key++)
			cr_assert_eq(map.ops->del(&map, &key), 0);
		cr_assert_eq(count_keys(&map), 0);
		for (key = 1000; key < 1000 + max; key++)
			cr_assert_eq(map.ops->update(&map, &key, &b, 0), 0);
		cr_assert_eq(map.ops->update(&map, &key, &b, 0), -E2BIG);
		munmap(map.base, map.size);
	}
}

/*
 * What a lookup gave stays memory of a value: writing there after the element is gone, as a program
 * may, damages neither the lists nor the keys, only what is in the value.
 */
static void held_values(u32 type, u32 value_size, u32 max)
{
	u8 *held[64], value[64] = {0};
	struct ebpf_map map;
	u32 key;

	test_map(&map, type, 4, value_size, max, 0);
	for (key = 0; key < max; key++) {
		cr_assert_eq(map.ops->update(&map, &key, value, BPF_NOEXIST), 0);
		held[key] = map.ops->lookup(&map, &key);
		cr_assert_not_null(held[key]);
	}
	for (key = 0; key < max; key++)
		cr_assert_eq(map.ops->del(&map, &key), 0);
	for (key = 0; key < max; key++)
		memset(held[key], 0xff, value_size);
	cr_assert_eq(count_keys(&map), 0);
	for (u32 round = 0; round < 3; round++) {
		for (key = 100; key < 100 + max; key++) {
			memset(value, (int)(key + round), sizeof(value));
			cr_assert_eq(map.ops->update(&map, &key, value, BPF_ANY), 0);
		}
		for (key = 100; key < 100 + max; key++) {
			const u8 *v = map.ops->lookup(&map, &key);

			cr_assert(v && v[0] == (u8)(key + round) &&
				  v[value_size - 1] == (u8)(key + round));
		}
		cr_assert_eq(count_keys(&map), max);
	}
	munmap(map.base, map.size);
}

Test(hashtab, a_held_value_outlives_its_element)
{
	for (u32 size = 8; size <= 64; size *= 2) {
		held_values(BPF_MAP_TYPE_HASH, size, 64);
		held_values(BPF_MAP_TYPE_LRU_HASH, size, 64);
		held_values(BPF_MAP_TYPE_PERCPU_HASH, size, 64);
	}
}

Test(hashtab, keys_of_any_size)
{
	for (u32 size = 1; size <= 40; size++) {
		struct ebpf_map map;
		u8 key[41], out[41];
		u64 value, n = 0;

		test_map(&map, BPF_MAP_TYPE_HASH, size, 8, 64, 0);
		for (value = 0; value < 64; value++) {
			memset(key, (int)value, sizeof(key));
			key[size - 1] = (u8)~value;
			cr_assert_eq(map.ops->update(&map, key, &value, BPF_NOEXIST), 0);
		}
		memset(out, 0xee, sizeof(out));
		for (int err = map.ops->next(&map, NULL, out); !err;
		     err = map.ops->next(&map, out, out)) {
			cr_assert_eq(out[size], 0xee);
			cr_assert_eq(map.ops->lookup_user(&map, out, &value, 0), 0);
			cr_assert_eq(out[size - 1], (u8)~value);
			n++;
		}
		cr_assert_eq(n, 64);
		munmap(map.base, map.size);
	}
}

/* How many of 1024 keys, @step apart, are not the first of their bucket. */
static u32 behind_others(u32 size, u64 step, u32 seed)
{
	struct ebpf_map_meta meta = {.type = BPF_MAP_TYPE_HASH,
				     .key_size = size,
				     .value_size = 8,
				     .max_entries = 1024,
				     .nr_cpus = 1,
				     .seed = seed};
	u64 bytes = ebpf_map_shm_size(&meta);
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ebpf_map map;
	u32 behind = 1024;

	cr_assert_eq(ebpf_map_bind(&map, &meta, base, bytes), 0);
	for (u64 i = 0, key = 0; i < 1024; i++, key += step)
		cr_assert_eq(map.ops->update(&map, &key, &i, BPF_NOEXIST), 0);
	for (u32 i = 0; i <= map.mask; i++)
		behind -= !!buckets(&map)[2 * i + 1];
	munmap(map.base, map.size);
	return behind;
}

/* Of random ones it would be 218. */
Test(hashtab, integers_spread)
{
	static const u32 seeds[] = {0, 1, 0x12345678, 0x9e3779b9, 0xdeadbeef, ~0u};

	for (u32 i = 0; i < ARRAY_SIZE(seeds); i++) {
		cr_expect_lt(behind_others(4, 1, seeds[i]), 50);
		cr_expect_lt(behind_others(8, 1, seeds[i]), 50);
		for (u32 shift = 1; shift <= 54; shift++)
			cr_expect_lt(behind_others(8, 1ull << shift, seeds[i]), 440,
				     "step 2^%u, seed %#x", shift, seeds[i]);
		cr_expect_lt(behind_others(8, 1ull << 32 | 1, seeds[i]), 300, "seed %#x", seeds[i]);
	}
}

Test(hashtab, a_lost_key_restarts_the_walk)
{
	struct ebpf_map map;
	u32 key, next, gone = 77;
	u64 value = 0;

	test_map(&map, BPF_MAP_TYPE_HASH, 4, 8, 8, 0);
	cr_assert_eq(map.ops->next(&map, NULL, &next), -ENOENT);
	cr_assert_eq(map.ops->next(&map, &gone, &next), -ENOENT);
	for (key = 0; key < 8; key++)
		map.ops->update(&map, &key, &value, 0);
	cr_assert_eq(map.ops->next(&map, NULL, &key), 0);
	cr_assert_eq(map.ops->next(&map, &gone, &next), 0);
	cr_assert_eq(key, next);
}

Test(hashtab, lookup_and_delete)
{
	struct big b = big_of(5), out;
	struct ebpf_map map;
	u64 key = 1;

	test_map(&map, BPF_MAP_TYPE_HASH, 8, sizeof(b), 4, 0);
	cr_assert_eq(map.ops->lookup_delete_user(&map, &key, &out), -ENOENT);
	cr_assert_eq(map.ops->update(&map, &key, &b, 0), 0);
	cr_assert_eq(map.ops->lookup_delete_user(&map, &key, &out), 0);
	cr_assert_arr_eq(&out, &b, sizeof(b));
	cr_assert_null(map.ops->lookup(&map, &key));
}

Test(hashtab, percpu_starts_at_zero_elsewhere)
{
	u64 value = 5, all[TEST_CPUS] = {1, 2, 3, 4}, out[TEST_CPUS], sum = 0;
	struct ebpf_map map;
	u32 key = 9;

	test_map(&map, BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 1, 0);
	cr_assert_eq(map.ops->update_user(&map, &key, all, 0), 0);
	cr_assert_eq(map.ops->lookup_user(&map, &key, out, 0), 0);
	cr_assert_arr_eq(all, out, sizeof(all));
	cr_assert_eq(map.ops->del(&map, &key), 0);
	cr_assert_eq(map.ops->update(&map, &key, &value, 0), 0);
	cr_assert_eq(map.ops->lookup_user(&map, &key, out, 0), 0);
	for (u32 i = 0; i < TEST_CPUS; i++)
		sum += out[i];
	cr_assert_eq(sum, 5);
	cr_assert_eq(*(u64 *)map.ops->lookup(&map, &key), 5);
}

Test(hashtab, lru_keeps_what_is_used)
{
	struct ebpf_map map;
	u64 value = 1;
	u32 hot = 0, key;

	test_map(&map, BPF_MAP_TYPE_LRU_HASH, 4, 8, 64, 0);
	cr_assert_eq(map.ops->update(&map, &hot, &value, 0), 0);
	for (key = 1; key < 10000; key++) {
		cr_assert_eq(map.ops->update(&map, &key, &value, 0), 0);
		cr_assert_eq(map.ops->lookup_user(&map, &key, &value, 0), 0, "a new key is there");
		if (key % 8 == 0)
			cr_assert_not_null(map.ops->lookup(&map, &hot), "lost at %u", key);
	}
	cr_assert_eq(count_keys(&map), 64);
}

static u64 delete_it(struct ebpf_run *run, u64 fn, u64 m, u64 key, u64 value, u64 ctx, u64 zero)
{
	struct ebpf_map *map = (void *)(uintptr_t)m;

	cr_assert_eq(map->ops->del(map, (void *)(uintptr_t)key), 0);
	return 0;
}

Test(hashtab, for_each_may_delete)
{
	struct ebpf_run run = {.callback = delete_it};
	struct ebpf_map map;
	u64 value = 1;

	test_map(&map, BPF_MAP_TYPE_HASH, 4, 8, 100, 0);
	for (u32 key = 0; key < 100; key++)
		map.ops->update(&map, &key, &value, 0);
	cr_assert_eq(map.ops->for_each(&map, &run, 0, 0), 100);
	cr_assert_eq(count_keys(&map), 0);
}

Test(hashtab, the_value_of_another_cpu)
{
	const u32 types[] = {BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH};
	u64 all[TEST_CPUS] = {1, 2, 3, 4};

	for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
		struct ebpf_map map;
		u32 key = 3, missing = 4;

		test_map(&map, types[i], 4, 8, 8, 0);
		cr_assert_eq(map.ops->update_user(&map, &key, all, 0), 0);
		for (u32 cpu = 0; cpu < TEST_CPUS; cpu++)
			cr_assert_eq(*(u64 *)map.ops->lookup_cpu(&map, &key, cpu), cpu + 1);
		cr_assert_null(map.ops->lookup_cpu(&map, &key, TEST_CPUS));
		cr_assert_null(map.ops->lookup_cpu(&map, &key, ~0u));
		cr_assert_null(map.ops->lookup_cpu(&map, &missing, 0));
	}
}

Test(hashtab, lru_percpu_evicts)
{
	u64 all[TEST_CPUS] = {1, 2, 3, 4}, out[TEST_CPUS];
	struct ebpf_map map;
	u32 key, hot = 0;

	test_map(&map, BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 8, 64, 0);
	cr_assert_eq(map.ops->update_user(&map, &hot, all, 0), 0);
	for (key = 1; key < 5000; key++) {
		cr_assert_eq(map.ops->update_user(&map, &key, all, 0), 0);
		cr_assert_eq(map.ops->lookup_user(&map, &key, out, 0), 0);
		cr_assert_arr_eq(all, out, sizeof(all));
		if (key % 8 == 0)
			cr_assert_not_null(map.ops->lookup_cpu(&map, &hot, key % TEST_CPUS));
	}
	cr_assert_eq(count_keys(&map), 64);
}

/* ---- against the kernel ---- */

#define VALUES 2048

static void compare_content(struct ebpf_map *map, int fd)
{
	u8 key[16], *prev = NULL, ours[VALUES], theirs[VALUES];
	u32 n = 0, m = 0;

	while (!map->ops->next(map, prev, key)) {
		cr_assert_eq(map->ops->lookup_user(map, key, ours, 0), 0);
		cr_assert_eq(kernel_elem(BPF_MAP_LOOKUP_ELEM, fd, key, theirs, 0), 0);
		cr_assert_arr_eq(ours, theirs, ebpf_map_user_value_size(&map->meta));
		prev = key;
		n++;
	}
	for (prev = NULL; !kernel_elem(BPF_MAP_GET_NEXT_KEY, fd, prev, key, 0); prev = key)
		m++;
	cr_assert_eq(n, m);
}

static void compare_step(struct ebpf_map *map, int fd, u32 keys)
{
	u8 key[16] = {0}, value[VALUES], ours[VALUES] = {0}, theirs[VALUES] = {0};
	bool percpu = map->ops->lookup_cpu;
	u32 what = test_rand() % 10, k = test_rand() % keys;
	u64 flags = test_rand() % 8 ? test_rand() % 3 : test_rand() % 6;
	int a, b;

	memcpy(key, &k, sizeof(k));
	memset(value, (int)test_rand(), sizeof(value));
	if (what < 5) {
		a = !percpu && test_rand() % 2 ? map->ops->update(map, key, value, flags)
					       : map->ops->update_user(map, key, value, flags);
		b = kernel_elem(BPF_MAP_UPDATE_ELEM, fd, key, value, flags);
	} else if (what < 7) {
		a = map->ops->del(map, key);
		b = kernel_elem(BPF_MAP_DELETE_ELEM, fd, key, NULL, 0);
	} else if (what < 9) {
		flags = test_rand() % 8 ? 0 : test_rand() % 6;
		a = map->ops->lookup_user(map, key, ours, flags);
		b = kernel_elem(BPF_MAP_LOOKUP_ELEM, fd, key, theirs, flags);
	} else {
		a = map->ops->lookup_delete_user(map, key, ours);
		b = kernel_elem(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, key, theirs, 0);
	}
	cr_assert_eq(a, b, "op %u key %u flags %llu: %d, the kernel %d", what, k,
		     (unsigned long long)flags, a, b);
	cr_assert_arr_eq(ours, theirs, sizeof(ours));
}

/* A table of so many elements that nothing is evicted; the kernel counts the CPUs itself. */
static void compare_percpu(u32 type, u32 value_size)
{
	int fd = kernel_create(type, 4, value_size, 2000, 0);
	struct ebpf_map_meta meta = test_meta(type, 4, value_size, 2000, 0);
	struct ebpf_map map;
	u64 size;

	cr_assert_geq(fd, 0);
	meta.nr_cpus = osl_nr_cpus();
	size = ebpf_map_shm_size(&meta);
	cr_assert_eq(ebpf_map_bind(&map, &meta, test_mmap(size), size), 0);
	if (ebpf_map_user_value_size(&meta) > VALUES)
		cr_skip("too many CPUs for this test");
	for (u32 i = 0; i < 4000; i++)
		compare_step(&map, fd, 20);
	compare_content(&map, fd);
	close(fd);
}

static void compare_with_kernel(u32 key_size, u32 value_size, u32 max, u32 flags)
{
	int fd = kernel_create(BPF_MAP_TYPE_HASH, key_size, value_size, max, flags);
	struct ebpf_map map;

	cr_assert_geq(fd, 0);
	test_map(&map, BPF_MAP_TYPE_HASH, key_size, value_size, max, flags);
	for (u32 i = 0; i < 4000; i++)
		compare_step(&map, fd, max + max / 2 + 1);
	compare_content(&map, fd);
	close(fd);
}

Test(hashtab, random_operations_end_as_in_the_kernel)
{
	if (!kernel_usable())
		cr_skip("bpf(2) is not allowed here");
	test_seed();
	compare_with_kernel(4, 8, 20, 0);
	compare_with_kernel(4, 32, 1, 0);
	compare_with_kernel(8, 3, 100, BPF_F_NO_PREALLOC);
	compare_with_kernel(16, 20, 300, 0);
	compare_percpu(BPF_MAP_TYPE_PERCPU_HASH, 8);
	compare_percpu(BPF_MAP_TYPE_LRU_PERCPU_HASH, 20);
}

/* ---- many at once ---- */

#define STRESS_KEYS 128

struct stress {
	struct ebpf_map map;
	u32 seed;
	u32 rounds;
	u64 busy;
	u64 torn;
};

static void stress_step(struct stress *s)
{
	u32 key = test_rand() % STRESS_KEYS;
	struct big b, in = big_of(test_rand());
	int err = 0;

	switch (test_rand() % 4) {
	case 0:
		err = s->map.ops->del(&s->map, &key);
		break;
	case 1:
		if (!s->map.ops->lookup_user(&s->map, &key, &b, 0) && !big_whole(&b))
			s->torn++;
		break;
	default:
		err = s->map.ops->update(&s->map, &key, &in, test_rand() % 3);
	}
	s->busy += err == -EBUSY;
}

static void *walker(void *arg)
{
	struct stress *s = arg;

	while (!__atomic_load_n(&shared->go, __ATOMIC_RELAXED)) {
		u32 key, next, n = 0;

		for (int err = s->map.ops->next(&s->map, NULL, &key); !err; key = next) {
			cr_assert_lt(key, STRESS_KEYS);
			err = s->map.ops->next(&s->map, &key, &next);
			if (++n > 1000)
				break; /* restarted by deletions: as the kernel's */
		}
	}
	return NULL;
}

static u32 child_run(u32 who, void (*fn)(void *), void *arg)
{
	pid_t pid = test_fork(who);

	if (!pid) {
		test_rand_state = test_rand_state * 31 + who * 0x9e3779b97f4a7c15ull;
		fn(arg);
		_exit(0);
	}
	return (u32)pid;
}

static void stress_rounds(void *arg)
{
	struct stress *s = arg;

	for (u32 i = 0; i < s->rounds; i++)
		stress_step(s);
	if (s->torn)
		_exit(1);
}

static void stress_for_ever(void *arg)
{
	for (;;)
		stress_step(arg);
}

/* Everything a table promises, asked when nobody works on it. */
static void check_whole(struct ebpf_map *map)
{
	u32 key, n = count_keys(map), seen = 0;
	struct big b;

	for (key = 0; key <= STRESS_KEYS; key++) {
		if (map->ops->lookup_user(map, &key, &b, 0))
			continue;
		seen++;
		cr_assert(big_whole(&b), "the value of key %u is torn", key);
	}
	cr_assert_eq(n, seen, "a walk finds %u keys, lookups find %u", n, seen);
	b = big_of(1);
	for (key = 1000; n < map->meta.max_entries; n++, key++)
		cr_assert_eq(map->ops->update(map, &key, &b, BPF_NOEXIST), 0,
			     "an element is lost: %u of %u fit", n, map->meta.max_entries);
	cr_assert_eq(map->ops->update(map, &key, &b, BPF_NOEXIST), -E2BIG);
	while (key-- > 1000)
		cr_assert_eq(map->ops->del(map, &key), 0);
}

Test(hashtab, processes_share_it)
{
	struct stress s = {.rounds = 60000};
	pthread_t thread;

	test_seed();
	test_map(&s.map, BPF_MAP_TYPE_HASH, 4, sizeof(struct big), 100, 0);
	for (u32 who = 2; who < 5; who++)
		child_run(who, stress_rounds, &s);
	cr_assert_eq(pthread_create(&thread, NULL, walker, &s), 0);
	for (u32 i = 0; i < 3; i++) {
		int status;

		wait(&status);
		cr_assert_eq(status, 0, "a reader saw a torn value");
	}
	shared->go = 1;
	pthread_join(thread, NULL);
	check_whole(&s.map);
}

static void kill_round(struct stress *s, u32 first, u32 n)
{
	pid_t pid[4];

	for (u32 i = 0; i < n; i++)
		pid[i] = (pid_t)child_run(first + i, stress_for_ever, s);
	usleep(200 + test_rand() % 2000);
	for (u32 i = 0; i < n; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
		__atomic_store_n(&shared->dead[first + i], 1, __ATOMIC_RELEASE);
	}
}

Test(hashtab, killed_anywhere_nothing_is_lost, .timeout = 60)
{
	struct big b = big_of(42);
	struct stress s = {0};
	u32 kept = STRESS_KEYS, reaped = 0;

	test_seed();
	test_map(&s.map, BPF_MAP_TYPE_HASH, 4, sizeof(struct big), 64, 0);
	cr_assert_eq(s.map.ops->update(&s.map, &kept, &b, 0), 0);
	for (u32 round = 0; round < 150; round++) {
		kill_round(&s, 2 + round * 3, 3);
		reaped += ebpf_map_reap(&s.map);
		for (u32 key = 0; key < STRESS_KEYS; key++)
			if (round % 10 == 0)
				s.map.ops->del(&s.map, &key);
		if (round % 10 == 0)
			cr_assert_eq(count_keys(&s.map), 1);
		cr_assert_eq(s.map.ops->lookup_user(&s.map, &kept, &b, 0), 0);
		cr_assert(b.w[0] == 42 && big_whole(&b));
		check_whole(&s.map);
	}
	fprintf(stderr, "# 450 processes killed, %u elements recovered\n", reaped);
}

/* Values replaced in place: each key's value names the key, whatever element it went through. */
static void small_for_ever(void *arg)
{
	struct stress *s = arg;

	for (;;) {
		u32 key = test_rand() % STRESS_KEYS;
		u64 value = (u64)key << 32 | key;

		if (test_rand() % 3)
			s->map.ops->update(&s->map, &key, &value, test_rand() % 3);
		else
			s->map.ops->del(&s->map, &key);
	}
}

static u32 check_small(struct ebpf_map *map)
{
	u32 seen = 0;
	u64 value;

	for (u32 key = 0; key < STRESS_KEYS; key++) {
		if (map->ops->lookup_user(map, &key, &value, 0))
			continue;
		cr_assert_eq(value, (u64)key << 32 | key, "key %u has the value of another", key);
		seen++;
	}
	return seen;
}

Test(hashtab, killed_anywhere_small_values_stay_with_their_keys, .timeout = 60)
{
	struct stress s = {0};

	test_seed();
	test_map(&s.map, BPF_MAP_TYPE_HASH, 4, 8, 64, 0);
	for (u32 round = 0; round < 60; round++) {
		u64 until = test_now_ns() + 200000 + test_rand() % 2000000;
		pid_t pid[2];

		for (u32 i = 0; i < 2; i++)
			pid[i] = (pid_t)child_run(2 + round * 2 + i, small_for_ever, &s);
		while (test_now_ns() < until)
			check_small(&s.map);
		for (u32 i = 0; i < 2; i++) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
			shared->dead[2 + round * 2 + i] = 1;
		}
		ebpf_map_reap(&s.map);
		cr_assert_eq(count_keys(&s.map), check_small(&s.map));
	}
	for (u32 key = 0; key < STRESS_KEYS; key++)
		s.map.ops->del(&s.map, &key);
	for (u64 key = 0; key < 64; key++)
		cr_assert_eq(s.map.ops->update(&s.map, &key, &key, BPF_NOEXIST), 0);
}

Test(hashtab, killed_lru_stays_full, .timeout = 60)
{
	struct stress s = {0};

	test_seed();
	test_map(&s.map, BPF_MAP_TYPE_LRU_HASH, 4, sizeof(struct big), 64, 0);
	for (u32 round = 0; round < 60; round++) {
		u64 start;

		kill_round(&s, 2 + round * 3, 3);
		ebpf_map_reap(&s.map);
		start = test_now_ns();
		for (u32 key = 0; key < 200; key++) {
			struct big b = big_of(key);

			cr_assert_eq(s.map.ops->update(&s.map, &key, &b, 0), 0);
		}
		cr_assert_lt(test_now_ns() - start, 1000000000u);
		cr_assert_eq(count_keys(&s.map), 64);
	}
}

/* A lock whose owner died without being reaped is taken over by whoever needs it. */
Test(hashtab, a_dead_owners_lock_is_taken_over)
{
	struct ebpf_map map;
	u64 value = 1;

	test_map(&map, BPF_MAP_TYPE_HASH, 4, 8, 4, 0);
	shared->dead[77] = 1;
	for (u32 *p = buckets(&map); p < elems(&map); p += 2)
		*p = 77;
	for (u32 key = 0; key < 4; key++)
		cr_assert_eq(map.ops->update(&map, &key, &value, 0), 0);
	for (u32 *p = buckets(&map); p < elems(&map); p += 2)
		*p = 78; /* alive: bounded, then busy */
	for (u32 key = 0; key < 4; key++)
		cr_assert_eq(map.ops->del(&map, &key), -EBUSY);
	for (u32 key = 4; key < 8; key++)
		cr_assert_eq(map.ops->update(&map, &key, &value, 0), -EBUSY);
	for (u32 key = 0; key < 4; key++)
		cr_assert_not_null(map.ops->lookup(&map, &key), "readers wait for nobody");
	value = 2;
	for (u32 key = 0; key < 4; key++) {
		cr_assert_eq(map.ops->update(&map, &key, &value, 0), 0, "a value needs no bucket");
		cr_assert_eq(*(u64 *)map.ops->lookup(&map, &key), 2);
	}
}

/* the states of all elements that are linked */
static void written_by(struct ebpf_map *map, u32 owner)
{
	for (u32 i = 0; i < map->meta.max_entries; i++) {
		u32 *state = (u32 *)((u8 *)elems(map) + i * map->stride) + 1;

		if (*state & 1)
			*state = (*state & 0xfff8) | 3 | owner << 16;
	}
}

static void small_value(u32 type, u32 owner, int want)
{
	u64 value[TEST_CPUS] = {5};
	struct ebpf_map map;
	u32 key = 1, missing = 9;

	test_map(&map, type, 4, 8, 4, 0);
	cr_assert_eq(map.ops->update_user(&map, &key, value, 0), 0);
	written_by(&map, owner);
	cr_assert_not_null(map.ops->lookup(&map, &key), "readers wait for nobody");
	cr_assert_eq(map.ops->update(&map, &key, value, 0), want);
	cr_assert_eq(map.ops->update_user(&map, &key, value, 0), want);
	cr_assert_eq(map.ops->update(&map, &missing, value, 0), 0);
	written_by(&map, owner);
	cr_assert_eq(map.ops->lookup_delete_user(&map, &missing, value), want);
	cr_assert_eq(map.ops->del(&map, &key), want);
	cr_assert_eq(!map.ops->lookup(&map, &key), !want);
	if (want)
		return;
	cr_assert_eq(map.ops->update(&map, &key, value, 0), 0);
	written_by(&map, owner);
	cr_assert_eq(ebpf_map_reap(&map), 0, "it is a member, not lost");
	for (u32 i = 0; i < 4; i++)
		cr_assert_neq((((u32 *)((u8 *)elems(&map) + i * map.stride))[1] & 3), 3);
	cr_assert_not_null(map.ops->lookup(&map, &key));
}

/* Who replaces a value where it is may die doing so, or never come to an end. */
Test(hashtab, a_dead_writers_element_is_taken_over)
{
	static const u32 types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH,
				    BPF_MAP_TYPE_LRU_HASH};

	shared->dead[77] = 1;
	for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
		small_value(types[i], 77, 0);
		small_value(types[i], 0xdead, 0);
		small_value(types[i], 78, -EBUSY);
	}
}

/* ---- scribbled on ---- */

static void *scribbler(void *arg)
{
	struct stress *s = arg;
	u64 x = s->seed | 1;

	while (!__atomic_load_n(&shared->go, __ATOMIC_RELAXED)) {
		u32 *at;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		at = (u32 *)(s->map.base + (x >> 20) % (s->map.size / 4) * 4);
		if (at < buckets(&s->map) + 256 || x & 1)
			__atomic_store_n(at, (u32)(x >> 40) % (x & 2 ? 80 : ~0u), __ATOMIC_RELAXED);
	}
	return NULL;
}

static void scribble_type(u32 type, u32 rounds)
{
	struct stress s = {.seed = test_rand()};
	pthread_t thread;

	test_map(&s.map, type, 4, sizeof(struct big), 64, 0);
	shared->go = 0;
	cr_assert_eq(pthread_create(&thread, NULL, scribbler, &s), 0);
	for (u32 i = 0; i < rounds; i++) {
		u8 out[TEST_CPUS * sizeof(struct big)];
		u32 key = test_rand() % STRESS_KEYS;

		if (i % 64 == 0) { /* a stuck lock word costs a bounded wait; it is not the point */
			memset(s.map.base, 0, (u64)((u8 *)elems(&s.map) - s.map.base));
			count_keys(&s.map);
			ebpf_map_reap(&s.map);
		}
		s.map.ops->lookup_user(&s.map, &key, out, 0);
		s.map.ops->update_user(&s.map, &key, out, test_rand() % 3);
		s.map.ops->lookup(&s.map, &key);
		s.map.ops->del(&s.map, &key);
	}
	shared->go = 1;
	pthread_join(thread, NULL);
}

Test(hashtab, scribbling_neither_crashes_nor_hangs, .timeout = 30)
{
	test_seed();
	scribble_type(BPF_MAP_TYPE_HASH, 1000);
	scribble_type(BPF_MAP_TYPE_LRU_HASH, 500);
	scribble_type(BPF_MAP_TYPE_PERCPU_HASH, 500);
	scribble_type(BPF_MAP_TYPE_LRU_PERCPU_HASH, 500);
}

/* Links made into rings: every walk ends, a walk over the keys, too. */
Test(hashtab, a_cycle_ends_every_walk)
{
	struct ebpf_map map;
	u64 value = 1;
	u32 key, missing = 1 << 20;

	test_map(&map, BPF_MAP_TYPE_HASH, 4, 8, 64, 0);
	for (key = 0; key < 64; key++)
		map.ops->update(&map, &key, &value, 0);
	for (u32 shift = 1; shift < 64; shift++) {
		for (u32 i = 0; i < 64; i++)
			*(u32 *)((u8 *)elems(&map) + i * map.stride) = (i + shift) % 64 + 1;
		map.ops->lookup(&map, &missing);
		cr_assert_leq(count_keys(&map), 64 * 64);
		map.ops->del(&map, &missing);
	}
}

/* Memory whose second page is not there: what lies across the edge faults in the middle. */
static u8 *edge_memory(void)
{
	u8 *p = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(p, MAP_FAILED);
	cr_assert_eq(munmap(p + 4096, 4096), 0);
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
	return p + 4096;
}

/* As after the helper's look at the pages, when the application has unmapped them since. */
static void value_goes_away(u32 type, u32 key_size)
{
	u8 *bad = edge_memory() - 100, value[2000] = {1}, key[1000] = {2};
	struct ebpf_map map;

	test_map(&map, type, key_size, sizeof(value), 2, 0);
	for (u32 i = 0; i < 20; i++) {
		cr_assert_eq(map.ops->update(&map, key, bad, 0), -EFAULT);
		cr_assert_null(map.ops->lookup(&map, key));
	}
	cr_assert_eq(map.ops->update(&map, key, value, 0), 0);
	for (u32 i = 0; i < 20; i++)
		cr_assert_eq(map.ops->update(&map, key, bad, 0), -EFAULT);
	cr_assert_eq(map.ops->update(&map, key, value, BPF_EXIST), 0);
	cr_assert_eq(*(u8 *)map.ops->lookup(&map, key), 1);
	cr_assert_eq(map.ops->del(&map, key), 0);
}

Test(hashtab, a_value_that_goes_away_leaves_no_lock)
{
	value_goes_away(BPF_MAP_TYPE_HASH, 4);
	value_goes_away(BPF_MAP_TYPE_HASH, 600);
	value_goes_away(BPF_MAP_TYPE_LRU_HASH, 8);
	value_goes_away(BPF_MAP_TYPE_PERCPU_HASH, 16);
}

Test(hashtab, a_lock_word_of_nonsense_is_taken_over)
{
	const u32 nonsense[] = {OSL_MAX_PARTICIPANTS, 0xdeadbeef, 0xfffffffe};
	u64 value = 1;
	u32 key = 1;

	for (u32 i = 0; i < ARRAY_SIZE(nonsense); i++) {
		struct ebpf_map map;

		test_map(&map, BPF_MAP_TYPE_HASH, 4, 8, 1, 0);
		for (u32 *p = buckets(&map); p < elems(&map); p += 2)
			*p = nonsense[i];
		cr_assert_eq(map.ops->update(&map, &key, &value, 0), 0, "%#x", nonsense[i]);
		cr_assert_eq(map.ops->del(&map, &key), 0);
	}
}
