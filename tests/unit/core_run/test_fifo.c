/* SPDX-License-Identifier: BSD-2-Clause */
/* QUEUE and STACK: order, beside the kernel's, many at once, killed anywhere, scribbled on. */
#include "map_test.h"

#include <pthread.h>

#include "osl/osl.h"
#include "osl/osl_trap.h"

#define ENDS 1 /* u64 of the header */

TestSuite(fifo, .init = test_participants);

static const u32 fifos[] = {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK};

Test(fifo, order)
{
	for (u32 t = 0; t < ARRAY_SIZE(fifos); t++) {
		bool stack = fifos[t] == BPF_MAP_TYPE_STACK;
		struct ebpf_map map;
		u64 value, out = 0;

		test_map(&map, fifos[t], 0, 8, 5, 0);
		cr_assert_eq(map.ops->peek(&map, &out), -ENOENT);
		cr_assert_eq(map.ops->pop(&map, &out), -ENOENT);
		for (u32 round = 0; round < 4; round++) {
			for (value = 1; value <= 5; value++)
				cr_assert_eq(map.ops->push(&map, &value, 0), 0);
			cr_assert_eq(map.ops->push(&map, &value, 0), -E2BIG);
			/* 6 pushes 1 out */
			cr_assert_eq(map.ops->push(&map, &value, BPF_EXIST), 0);
			for (u32 i = 0; i < 5; i++) {
				value = stack ? 6 - i : 2 + i;
				cr_assert_eq(map.ops->peek(&map, &out), 0);
				cr_assert_eq(out, value);
				cr_assert_eq(map.ops->pop(&map, &out), 0);
				cr_assert_eq(out, value);
			}
			cr_assert_eq(map.ops->pop(&map, &out), -ENOENT);
		}
	}
}

Test(fifo, there_are_no_keys)
{
	struct ebpf_map map;
	u64 value = 1;

	test_map(&map, BPF_MAP_TYPE_QUEUE, 0, 8, 2, 0);
	cr_assert_null(map.ops->lookup(&map, &value));
	cr_assert_eq(map.ops->update(&map, &value, &value, 0), -EINVAL);
	cr_assert_eq(map.ops->del(&map, NULL), -EINVAL);
	cr_assert_eq(map.ops->next(&map, NULL, &value), -EINVAL);
	cr_assert_eq(map.ops->push(&map, &value, BPF_NOEXIST), -EINVAL);
	cr_assert_eq(map.ops->push(&map, &value, 3), -EINVAL);
	cr_assert_eq(map.ops->push(&map, &value, BPF_F_LOCK), -EINVAL);
	cr_assert_eq(map.ops->lookup_user(&map, NULL, &value, 1), -EINVAL);
}

Test(fifo, values_of_any_size)
{
	for (u32 size = 1; size <= 600; size += size < 40 ? 1 : 70) {
		u8 in[601], out[601];
		struct ebpf_map map;

		test_map(&map, BPF_MAP_TYPE_QUEUE, 0, size, 3, 0);
		for (u32 i = 0; i < 7; i++) {
			memset(in, (int)(size + i), sizeof(in));
			memset(out, 0xee, sizeof(out));
			cr_assert_eq(map.ops->push(&map, in, 0), 0);
			cr_assert_eq(map.ops->pop(&map, out), 0);
			cr_assert_arr_eq(in, out, size);
			cr_assert_eq(out[size], 0xee);
		}
		munmap(map.base, map.size);
	}
}

/* A mapping that can't be written still shows what comes next. */
Test(fifo, a_readonly_mapping)
{
	struct ebpf_map map;
	u64 value = 7, out = 0;

	test_map(&map, BPF_MAP_TYPE_STACK, 0, 8, 3, 0);
	cr_assert_eq(map.ops->push(&map, &value, 0), 0);
	mprotect(map.base, map.size, PROT_READ);
	map.readonly = 1;
	cr_assert_eq(map.ops->lookup_user(&map, NULL, &out, 0), 0);
	cr_assert_eq(out, 7);
	cr_assert_eq(map.ops->push(&map, &value, 0), -EPERM);
	cr_assert_eq(map.ops->lookup_delete_user(&map, NULL, &out), -EPERM);
	cr_assert_eq(ebpf_map_reap(&map), 0);
}

/* ---- against the kernel ---- */

static void compare_step(struct ebpf_map *map, int fd)
{
	u8 in[40], ours[40] = {0}, theirs[40] = {0};
	u64 flags = test_rand() % 4 ? test_rand() % 2 * BPF_EXIST : test_rand() % 6;
	u32 what = test_rand() % 8;
	int a, b;

	memset(in, (int)test_rand(), sizeof(in));
	if (what < 4) {
		a = map->ops->update_user(map, NULL, in, flags);
		b = kernel_elem(BPF_MAP_UPDATE_ELEM, fd, NULL, in, flags);
	} else if (what < 6) {
		flags = test_rand() % 4 ? 0 : flags;
		a = map->ops->lookup_user(map, NULL, ours, flags);
		b = kernel_elem(BPF_MAP_LOOKUP_ELEM, fd, NULL, theirs, flags);
	} else {
		a = map->ops->lookup_delete_user(map, NULL, ours);
		b = kernel_elem(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, NULL, theirs, 0);
	}
	cr_assert_eq(a, b, "op %u flags %llu: %d, the kernel %d", what, (unsigned long long)flags,
		     a, b);
	cr_assert_arr_eq(ours, theirs, sizeof(ours));
}

Test(fifo, random_operations_end_as_in_the_kernel)
{
	const u32 sizes[][2] = {{8, 1}, {3, 5}, {40, 17}};

	if (!kernel_usable())
		cr_skip("bpf(2) is not allowed here");
	test_seed();
	for (u32 t = 0; t < ARRAY_SIZE(fifos); t++) {
		for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
			int fd = kernel_create(fifos[t], 0, sizes[i][0], sizes[i][1], 0);
			struct ebpf_map map;

			cr_assert_geq(fd, 0);
			test_map(&map, fifos[t], 0, sizes[i][0], sizes[i][1], 0);
			for (u32 step = 0; step < 3000; step++)
				compare_step(&map, fd);
			close(fd);
		}
	}
}

/* ---- many at once: a value is five words that agree ---- */

struct five {
	u64 w[5];
};

static bool whole(const struct five *v)
{
	return v->w[1] == ~v->w[0] && v->w[2] == v->w[0] * 3 && v->w[3] == v->w[0] + 7 &&
	       v->w[4] == v->w[0];
}

static struct five five_of(u64 x)
{
	return (struct five){{x, ~x, x * 3, x + 7, x}};
}

static bool step(struct ebpf_map *map)
{
	struct five v = five_of(test_rand());

	switch (test_rand() % 4) {
	case 0:
		return map->ops->pop(map, &v) || whole(&v);
	case 1:
		return map->ops->peek(map, &v) || whole(&v);
	default:
		map->ops->push(map, &v, test_rand() % 2 ? BPF_EXIST : 0);
		return true;
	}
}

static pid_t worker(struct ebpf_map *map, u32 who, u32 rounds)
{
	pid_t pid = test_fork(who);

	if (pid)
		return pid;
	test_rand_state = test_rand_state * 31 + who * 0x9e3779b97f4a7c15ull;
	for (u32 i = 0; !rounds || i < rounds; i++)
		if (!step(map))
			_exit(1);
	_exit(0);
}

/* Empty it, fill it: it holds as much as it should, and nothing torn. */
static void check_whole(struct ebpf_map *map)
{
	struct five v;
	u32 n = 0;

	for (; !map->ops->pop(map, &v); n++)
		cr_assert(whole(&v));
	cr_assert_leq(n, map->meta.max_entries);
	for (n = 0; n < map->meta.max_entries; n++) {
		v = five_of(n);
		cr_assert_eq(map->ops->push(map, &v, 0), 0);
	}
	cr_assert_eq(map->ops->push(map, &v, 0), -E2BIG);
}

Test(fifo, processes_share_it, .timeout = 30)
{
	test_seed();
	for (u32 t = 0; t < ARRAY_SIZE(fifos); t++) {
		struct ebpf_map map;
		int status;

		test_map(&map, fifos[t], 0, sizeof(struct five), 10, 0);
		for (u32 who = 2; who < 5; who++)
			worker(&map, who, 40000);
		for (u32 i = 0; i < 3; i++) {
			wait(&status);
			cr_assert_eq(status, 0, "a torn value");
		}
		check_whole(&map);
	}
}

Test(fifo, killed_anywhere_it_stays_whole, .timeout = 60)
{
	struct ebpf_map map;
	u32 freed = 0;

	test_seed();
	test_map(&map, BPF_MAP_TYPE_QUEUE, 0, sizeof(struct five), 10, 0);
	for (u32 round = 0; round < 100; round++) {
		pid_t pid[2];
		int status;

		for (u32 i = 0; i < 2; i++)
			pid[i] = worker(&map, 2 + round * 2 + i, 0);
		usleep(200 + test_rand() % 1500);
		for (u32 i = 0; i < 2; i++) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], &status, 0);
			cr_assert(WIFSIGNALED(status), "a torn value");
			shared->dead[2 + round * 2 + i] = 1;
		}
		if (round % 2) /* else whoever comes next takes the lock over */
			freed += ebpf_map_reap(&map);
		check_whole(&map);
	}
	fprintf(stderr, "# 200 processes killed, %u locks freed\n", freed);
}

Test(fifo, locks_of_the_dead_and_of_nobody)
{
	const u32 owners[] = {77, OSL_MAX_PARTICIPANTS, 0xdeadbeef};
	struct ebpf_map map;
	u64 value = 1;

	test_map(&map, BPF_MAP_TYPE_QUEUE, 0, 8, 8, 0);
	shared->dead[77] = 1;
	for (u32 i = 0; i < ARRAY_SIZE(owners); i++) {
		*(u32 *)map.base = owners[i];
		cr_assert_eq(map.ops->push(&map, &value, 0), 0);
	}
	*(u32 *)map.base = 77;
	cr_assert_eq(ebpf_map_reap(&map), 1);
	cr_assert_eq(*(u32 *)map.base, 0);
	*(u32 *)map.base = 78; /* alive */
	cr_assert_eq(ebpf_map_reap(&map), 0);
	cr_assert_eq(map.ops->push(&map, &value, 0), -EBUSY);
	cr_assert_eq(map.ops->pop(&map, &value), -EBUSY);
	cr_assert_eq(map.ops->peek(&map, &value), 0, "peek waits for nobody");
	cr_assert_eq(((u64 *)map.base)[2], 2, "what could not be done is counted");
}

/* ---- scribbled on ---- */

struct scribble {
	struct ebpf_map map;
	u32 seed;
};

static void *scribbler(void *arg)
{
	struct scribble *s = arg;
	u64 x = s->seed | 1;

	while (!__atomic_load_n(&shared->go, __ATOMIC_RELAXED)) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		__atomic_store_n((u32 *)s->map.base + (x >> 20) % 8,
				 (u32)(x >> 40) % (x & 2 ? 12 : ~0u), __ATOMIC_RELAXED);
	}
	return NULL;
}

Test(fifo, scribbling_neither_crashes_nor_hangs, .timeout = 30)
{
	test_seed();
	for (u32 t = 0; t < ARRAY_SIZE(fifos); t++) {
		struct scribble s = {.seed = test_rand()};
		pthread_t thread;

		test_map(&s.map, fifos[t], 0, sizeof(struct five), 10, 0);
		shared->go = 0;
		cr_assert_eq(pthread_create(&thread, NULL, scribbler, &s), 0);
		for (u32 i = 0; i < 500; i++) {
			s.map.meta.max_entries = 10;
			step(&s.map);
			ebpf_map_reap(&s.map);
		}
		shared->go = 1;
		pthread_join(thread, NULL);
	}
}

Test(fifo, ends_that_make_no_sense_are_an_empty_map)
{
	const u64 ends[] = {4ull << 32, 4, ~0ull, 0xffffffffull, 0x8000000000000003};
	struct ebpf_map map;
	u64 value = 5, out = 0;

	test_map(&map, BPF_MAP_TYPE_STACK, 0, 8, 3, 0);
	for (u32 i = 0; i < ARRAY_SIZE(ends); i++) {
		((u64 *)map.base)[ENDS] = ends[i];
		cr_assert_eq(map.ops->peek(&map, &out), -ENOENT);
		cr_assert_eq(map.ops->pop(&map, &out), -ENOENT);
		cr_assert_eq(map.ops->push(&map, &value, 0), 0);
		cr_assert_eq(map.ops->pop(&map, &out), 0);
		cr_assert_eq(out, 5);
	}
}

/* A large value is the program's memory, which may be unmapped: no lock stays, nothing changes. */
Test(fifo, a_value_that_goes_away)
{
	u8 *p = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 good[1000];
	struct ebpf_map map;

	cr_assert_eq(mprotect(p + 4096, 4096, PROT_NONE), 0);
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
	test_map(&map, BPF_MAP_TYPE_QUEUE, 0, 1000, 2, 0);
	memset(good, 1, sizeof(good));
	cr_assert_eq(map.ops->push(&map, p + 4000, 0), -EFAULT);
	cr_assert_eq(map.ops->peek(&map, good), -ENOENT);
	cr_assert_eq(map.ops->push(&map, good, 0), 0);
	cr_assert_eq(map.ops->peek(&map, p + 4000), -EFAULT);
	cr_assert_eq(map.ops->pop(&map, p + 4000), -EFAULT);
	cr_assert_eq(map.ops->pop(&map, p), 0);
	cr_assert_eq(p[999], 1);
	cr_assert_eq(map.ops->pop(&map, p), -ENOENT);
}
