/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RINGBUF: layout, room, wakeups as the kernel's; many producers, producers that are killed
 * anywhere, memory that somebody scribbles on.
 */
#include "map_test.h"

#include <pthread.h>

#include "core/run/map/ringbuf.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#define BELL 5

static struct osl_bells bells;

static void init(void)
{
	struct osl_self self = {.tgid = (u32)getpid(), .bells = &bells};

	osl_trap_init(&self);
	test_participants();
}

TestSuite(ringbuf, .init = init);

static bool rung(void)
{
	u64 bit = 1ull << BELL;

	return __atomic_fetch_and(&bells.pending[0], ~bit, __ATOMIC_SEQ_CST) & bit;
}

static void test_ring(struct ebpf_map *map, u32 size)
{
	struct ebpf_map_meta meta = test_meta(BPF_MAP_TYPE_RINGBUF, 0, 0, size, 0);
	struct ebpf_map_part part[2];
	int fd = memfd_create("ring", 0);
	u8 *base;

	meta.bell = BELL;
	cr_assert_eq(ebpf_map_check(&meta), 0);
	cr_assert_eq(ftruncate(fd, (off_t)ebpf_map_shm_size(&meta)), 0);
	base = test_mmap(ebpf_ringbuf_layout(&meta, part));
	for (u32 i = 0; i < 2; i++)
		cr_assert_neq(mmap(base + part[i].at, part[i].len, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, fd, (off_t)part[i].off),
			      MAP_FAILED);
	close(fd);
	cr_assert_eq(ebpf_map_bind(map, &meta, base, ebpf_map_shm_size(&meta)), 0);
}

static u64 *cons_pos(struct ebpf_map *map)
{
	return (u64 *)map->base;
}

static u64 *prod_pos(struct ebpf_map *map)
{
	return (u64 *)(map->base + 4096);
}

Test(ringbuf, attributes_are_judged_as_by_the_kernel)
{
	static const u32 sizes[] = {0, 1, 2048, 4096, 8192, 12288, 1 << 16};

	if (!kernel_usable())
		cr_skip("bpf(2) is not allowed here");
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++)
		for (u32 kv = 0; kv < 4; kv++)
			for (u32 flag = 0; flag < 2; flag++) {
				u32 key = kv & 1 ? 4 : 0, value = kv & 2 ? 4 : 0;
				u32 flags = flag ? BPF_F_NO_PREALLOC : 0;
				struct ebpf_map_meta meta = test_meta(BPF_MAP_TYPE_RINGBUF, key,
								      value, sizes[i], flags);
				int fd = kernel_create(BPF_MAP_TYPE_RINGBUF, key, value, sizes[i],
						       flags);

				cr_expect_eq(ebpf_map_check(&meta), fd < 0 ? fd : 0);
				if (fd >= 0)
					close(fd);
			}
}

Test(ringbuf, layout_is_the_kernels)
{
	struct ebpf_map map;
	u64 value = 0x1122334455667788;
	u32 *hdr;

	test_ring(&map, 4096);
	cr_assert_eq(ebpf_ringbuf_output(&map, &value, 5, 0), 0);
	cr_assert_eq(*prod_pos(&map), 16);
	hdr = (u32 *)(map.base + 8192);
	cr_assert_eq(hdr[0], 5);
	cr_assert_eq(hdr[1], 1, "the producer's number");
	cr_assert_arr_eq(hdr + 2, &value, 5);
	cr_assert_eq(ebpf_ringbuf_query(&map, BPF_RB_AVAIL_DATA), 16);
	cr_assert_eq(ebpf_ringbuf_query(&map, BPF_RB_RING_SIZE), 4096);
	cr_assert_eq(ebpf_ringbuf_query(&map, BPF_RB_PROD_POS), 16);
	cr_assert_eq(ebpf_ringbuf_query(&map, BPF_RB_CONS_POS), 0);
	cr_assert_eq(ebpf_ringbuf_query(&map, 99), 0);
	cr_assert_eq(map.ops->del(&map, &value), -524);
}

static int reads(void *ctx, const void *data, u32 len)
{
	cr_assert_eq(len, 8);
	*(u64 *)ctx = *(const u64 *)data;
	return 0;
}

Test(ringbuf, unreadable_data_costs_a_discarded_record_at_most)
{
	u8 *gone = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ebpf_map map;
	u64 value = 7, got = 0;

	cr_assert_eq(osl_fault_handler_install(), 0);
	test_ring(&map, 4096);
	cr_assert_eq(ebpf_ringbuf_output(&map, gone, 16, BPF_RB_FORCE_WAKEUP), -EFAULT);
	cr_assert_eq(*prod_pos(&map), 0, "of a short one nobody hears");
	cr_assert_eq(ebpf_ringbuf_output(&map, gone - 4, 300, 0), -EFAULT);
	cr_assert_eq(*prod_pos(&map), 312);
	cr_assert(!rung());
	cr_assert_eq(ebpf_ringbuf_dropped(&map), 0);
	cr_assert_eq(ebpf_ringbuf_output(&map, &value, 8, 0), 0);
	cr_assert_eq(ebpf_ringbuf_consume(&map, reads, &got), 1, "only the whole one");
	cr_assert_eq(got, 7);
	cr_assert_eq(*cons_pos(&map), *prod_pos(&map));
}

Test(ringbuf, room_is_the_kernels)
{
	struct ebpf_map map;
	u8 data[5000] = {0};
	u32 n = 0;

	test_ring(&map, 4096);
	cr_assert_eq(ebpf_ringbuf_output(&map, data, 4096, 0), -EAGAIN);
	cr_assert_eq(ebpf_ringbuf_output(&map, data, 4088, 0), -EAGAIN, "never full to the byte");
	cr_assert_eq(ebpf_ringbuf_output(&map, data, 4080, 0), 0);
	cr_assert_null(ebpf_ringbuf_reserve(&map, 0, 0));
	*cons_pos(&map) = *prod_pos(&map);
	cr_assert_null(ebpf_ringbuf_reserve(&map, 8, 1));
	cr_assert_null(ebpf_ringbuf_reserve(&map, 1ull << 40, 0));
	cr_assert_eq(ebpf_ringbuf_output(&map, data, 8, 4), -EINVAL);
	while (!ebpf_ringbuf_output(&map, data, 56, 0))
		n++;
	cr_assert_eq(n, 63);
	cr_assert_eq(ebpf_ringbuf_dropped(&map), 3);
}

Test(ringbuf, a_record_left_open_is_dropped_and_counted)
{
	struct ebpf_map map;
	u64 at_offset;
	void *open;

	test_ring(&map, 4096);
	open = ebpf_ringbuf_reserve(&map, 100, 0);
	cr_assert_not_null(open);
	ebpf_ringbuf_abandon(&map, open);
	memcpy(&at_offset, map.base + EBPF_RINGBUF_DROPPED, sizeof(at_offset));
	cr_assert(ebpf_ringbuf_dropped(&map) == 1 && at_offset == 1);
	ebpf_ringbuf_abandon(&map, (u8 *)open + 4);
	cr_assert_eq(ebpf_ringbuf_dropped(&map), 1, "it is no record");
	ebpf_ringbuf_discard(&map, ebpf_ringbuf_reserve(&map, 8, 0), 0);
	cr_assert_eq(ebpf_ringbuf_dropped(&map), 1, "the program's own decision");
}

struct late {
	struct ebpf_map *map;
	u32 left, seen;
};

/* A record comes while one is read: its producer finds the reader behind it, and does not ring. */
static int write_another(void *ctx, const void *data, u32 len)
{
	struct late *l = ctx;

	l->seen++;
	if (l->left && l->left--) {
		ebpf_ringbuf_submit(l->map, ebpf_ringbuf_reserve(l->map, 8, 0), 0);
		cr_assert_not(rung());
	}
	return 0;
}

Test(ringbuf, what_comes_while_it_reads_is_read)
{
	struct ebpf_map map;
	struct late l = {.map = &map, .left = 3};

	test_ring(&map, 4096);
	ebpf_ringbuf_submit(&map, ebpf_ringbuf_reserve(&map, 8, 0), 0);
	cr_assert(rung());
	cr_assert_eq(ebpf_ringbuf_consume(&map, write_another, &l), 4);
	cr_assert_eq(l.seen, 4);
}

Test(ringbuf, what_waits_behind_an_open_record_is_known)
{
	struct ebpf_map map;
	void *open, *full;

	test_ring(&map, 4096);
	cr_assert_eq(ebpf_ringbuf_unread(&map), 0);
	open = ebpf_ringbuf_reserve(&map, 8, 0);
	full = ebpf_ringbuf_reserve(&map, 24, 0);
	ebpf_ringbuf_submit(&map, full, 0);
	ebpf_ringbuf_discard(&map, ebpf_ringbuf_reserve(&map, 8, 0), 0);
	cr_assert_eq(ebpf_ringbuf_unread(&map), 2, "the discarded one is nobody's");
	ebpf_ringbuf_submit(&map, open, 0);
	cr_assert_eq(ebpf_ringbuf_unread(&map), 2);
}

static int no_record(void *ctx, const void *data, u32 len)
{
	cr_assert_fail("a record in progress was handed over");
	return 0;
}

static int count_record(void *ctx, const void *data, u32 len)
{
	++*(u32 *)ctx;
	return 0;
}

/* What is copied under the lock, and what is not: to the byte, at the end of the data, too. */
static int check_len(void *ctx, const void *data, u32 len)
{
	u32 *want = ctx;

	cr_assert_eq(len, *want);
	for (u32 i = 0; i < len; i++)
		cr_assert_eq(((const u8 *)data)[i], (u8)(len + i));
	return 0;
}

Test(ringbuf, records_of_any_length)
{
	struct ebpf_map map;
	u8 buf[600];

	test_ring(&map, 4096);
	for (u32 len = 0; len < sizeof(buf); len++) {
		for (u32 i = 0; i < len; i++)
			buf[i] = (u8)(len + i);
		cr_assert_eq(ebpf_ringbuf_output(&map, buf, len, 0), 0);
		cr_assert(rung());
		cr_assert_eq(ebpf_ringbuf_consume(&map, check_len, &len), 1);
	}
	cr_assert_gt(*prod_pos(&map), 10 * 4096);
}

Test(ringbuf, a_short_record_behind_an_open_one_waits)
{
	struct ebpf_map map;
	u32 n = 0;
	void *open;

	test_ring(&map, 4096);
	open = ebpf_ringbuf_reserve(&map, 8, 0);
	cr_assert_eq(ebpf_ringbuf_output(&map, &n, 4, 0), 0);
	cr_assert(!rung(), "the reader can't come to it");
	cr_assert_eq(ebpf_ringbuf_consume(&map, no_record, NULL), 0);
	ebpf_ringbuf_submit(&map, open, 0);
	cr_assert(rung());
	cr_assert_eq(ebpf_ringbuf_consume(&map, count_record, &n), 2);
}

Test(ringbuf, reserve_submit_discard)
{
	struct ebpf_map map;
	u64 *a, *b, other;
	u32 n = 0;

	test_ring(&map, 4096);
	a = ebpf_ringbuf_reserve(&map, 16, 0);
	b = ebpf_ringbuf_reserve(&map, 16, 0);
	cr_assert(a && b);
	cr_assert(ebpf_ringbuf_contains(&map, a) && !ebpf_ringbuf_contains(&map, &other));
	ebpf_ringbuf_submit(&map, b, 0);
	cr_assert_eq(ebpf_ringbuf_consume(&map, no_record, NULL), 0);
	ebpf_ringbuf_discard(&map, a, 0);
	ebpf_ringbuf_submit(&map, &other, 0);
	cr_assert_eq(ebpf_ringbuf_consume(&map, count_record, &n), 1);
	cr_assert_eq(n, 1);
	cr_assert_eq(*cons_pos(&map), 48);
}

Test(ringbuf, the_reader_is_woken_when_it_has_caught_up)
{
	struct ebpf_map map;
	u64 value = 0;

	test_ring(&map, 4096);
	cr_assert_eq(ebpf_ringbuf_output(&map, &value, 8, 0), 0);
	cr_assert(rung(), "the reader waits for this record");
	cr_assert_eq(ebpf_ringbuf_output(&map, &value, 8, 0), 0);
	cr_assert(!rung(), "the reader is behind");
	cr_assert_eq(ebpf_ringbuf_output(&map, &value, 8, BPF_RB_FORCE_WAKEUP), 0);
	cr_assert(rung());
	*cons_pos(&map) = *prod_pos(&map);
	cr_assert_eq(ebpf_ringbuf_output(&map, &value, 8, BPF_RB_NO_WAKEUP), 0);
	cr_assert(!rung());
}

/* ---- many at once ---- */

struct rec {
	u32 who;
	u32 len;
	u64 seq;
	u8 fill[];
};

static u64 next_seq[512];
static u64 records;

static int check_record(void *ctx, const void *data, u32 len)
{
	const struct rec *r = data;

	cr_assert_geq(len, sizeof(*r));
	cr_assert_lt(r->who, 512);
	cr_assert_eq(r->len, len);
	cr_assert_eq(r->seq, next_seq[r->who], "producer %u: record %llu instead of %llu", r->who,
		     (unsigned long long)r->seq, (unsigned long long)next_seq[r->who]);
	for (u32 i = 0; i < len - sizeof(*r); i++)
		cr_assert_eq(r->fill[i], (u8)(r->seq + i));
	next_seq[r->who]++;
	records++;
	return 0;
}

static void fill_record(struct rec *r, u32 len, u64 seq)
{
	*r = (struct rec){.who = ebpf_map_self, .len = len, .seq = seq};
	for (u32 i = 0; i < len - sizeof(*r); i++)
		r->fill[i] = (u8)(seq + i);
}

static void produce(struct ebpf_map *map, u64 limit)
{
	u64 buf[64];

	for (u64 seq = 0; seq < limit; seq++) {
		/* short ones, and such as are copied after their reservation */
		u32 len = (u32)sizeof(struct rec) + test_rand() % 480;
		struct rec *r;

		if (seq % 2) {
			fill_record((struct rec *)buf, len, seq);
			while (ebpf_ringbuf_output(map, buf, len, 0))
				usleep(10);
			continue;
		}
		while (!(r = ebpf_ringbuf_reserve(map, len, 0)))
			usleep(10);
		fill_record(r, len, seq);
		if (test_rand() % 16)
			ebpf_ringbuf_submit(map, r, 0);
		else {
			ebpf_ringbuf_discard(map, r, 0);
			seq--; /* never told */
		}
	}
}

static pid_t start(struct ebpf_map *map, u32 who, u64 limit)
{
	pid_t pid = test_fork(who);

	if (pid)
		return pid;
	test_rand_state = (test_rand_state + who) * 0x9e3779b97f4a7c15ull | 1;
	produce(map, limit);
	_exit(0);
}

Test(ringbuf, producers_share_it, .timeout = 30)
{
	struct ebpf_map map;
	u32 left = 3;

	test_seed();
	test_ring(&map, 8192);
	for (u32 i = 0; i < 3; i++)
		start(&map, 2 + i, 20000);
	while (left) {
		cr_assert_eq(ebpf_ringbuf_check(&map), 0);
		cr_assert_geq(ebpf_ringbuf_consume(&map, check_record, NULL), 0);
		while (left && waitpid(-1, NULL, WNOHANG) > 0)
			left--;
	}
	ebpf_ringbuf_consume(&map, check_record, NULL);
	cr_assert_eq(records, 60000);
}

Test(ringbuf, killed_anywhere_the_reader_goes_on, .timeout = 60)
{
	struct ebpf_map map;
	u32 reaped = 0;

	test_seed();
	test_ring(&map, 4096);
	for (u32 round = 0; round < 120; round++) {
		u64 until = test_now_ns() + 200000 + test_rand() % 3000000;
		pid_t pid[3];

		for (u32 i = 0; i < 3; i++)
			pid[i] = start(&map, 2 + round * 3 + i, ~0ull);
		while (test_now_ns() < until)
			cr_assert_geq(ebpf_ringbuf_consume(&map, check_record, NULL), 0);
		for (u32 i = 0; i < 3; i++) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
			shared->dead[2 + round * 3 + i] = 1;
		}
		reaped += ebpf_map_reap(&map);
		cr_assert_geq(ebpf_ringbuf_consume(&map, check_record, NULL), 0);
		cr_assert_eq(*cons_pos(&map), *prod_pos(&map), "the reader is stuck");
	}
	fprintf(stderr, "# 360 producers killed, %llu records read, %u discarded\n",
		(unsigned long long)records, reaped);
	cr_assert_gt(records, 0);
}

/* ---- scribbled on ---- */

static void *scribbler(void *arg)
{
	struct ebpf_map *map = arg;
	u64 x = test_rand_state;

	while (!__atomic_load_n(&shared->go, __ATOMIC_RELAXED)) {
		u64 *at;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		switch (x >> 60 & 3) {
		case 0:
			at = cons_pos(map);
			break;
		case 1:
			at = prod_pos(map);
			break;
		default:
			at = (u64 *)(map->base + 8192) + (x >> 20) % 512;
		}
		__atomic_store_n(at, x >> (x & 63), __ATOMIC_RELAXED);
	}
	return NULL;
}

static int touch_record(void *ctx, const void *data, u32 len)
{
	const struct ebpf_map *map = ctx;
	const u8 *p = data;
	u8 last = 0;

	cr_assert(p >= map->base + 8192 && p + len <= map->base + 8192 + 2 * 4096);
	if (len)
		last = p[0] ^ p[len - 1];
	__asm__ volatile("" ::"r"(last));
	return 0;
}

Test(ringbuf, scribbling_neither_crashes_nor_hangs, .timeout = 30)
{
	struct ebpf_map map;
	pthread_t thread;
	u8 data[100] = {0};

	test_seed();
	test_ring(&map, 4096);
	cr_assert_eq(pthread_create(&thread, NULL, scribbler, &map), 0);
	for (u32 i = 0; i < 100000; i++) {
		void *r = ebpf_ringbuf_reserve(&map, test_rand() % 4000, 0);

		if (r)
			ebpf_ringbuf_submit(&map, r, 0);
		ebpf_ringbuf_output(&map, data, test_rand() % 100, 0);
		ebpf_ringbuf_check(&map);
		ebpf_ringbuf_consume(&map, touch_record, &map);
		ebpf_map_reap(&map);
	}
	shared->go = 1;
	pthread_join(thread, NULL);
	ebpf_ringbuf_reset(&map);
	cr_assert_eq(ebpf_ringbuf_check(&map), 0);
	cr_assert_eq(ebpf_ringbuf_output(&map, data, 8, 0), 0, "usable again");
}

Test(ringbuf, a_dead_producers_record_is_discarded)
{
	struct ebpf_map map;
	u32 n = 0;

	test_ring(&map, 4096);
	ebpf_map_self = 9;
	cr_assert_not_null(ebpf_ringbuf_reserve(&map, 100, 0));
	ebpf_map_self = 1;
	cr_assert_eq(ebpf_ringbuf_output(&map, &n, 4, 0), 0);
	cr_assert_eq(ebpf_map_reap(&map), 0, "its producer lives");
	cr_assert_eq(ebpf_ringbuf_consume(&map, count_record, &n), 0);
	shared->dead[9] = 1;
	rung();
	cr_assert_eq(ebpf_map_reap(&map), 1);
	cr_assert(rung(), "the reader can go on");
	cr_assert_eq(ebpf_ringbuf_consume(&map, count_record, &n), 1);
}

Test(ringbuf, a_dead_producers_lock_is_taken_over)
{
	struct ebpf_map map;
	u64 value = 0;

	test_ring(&map, 4096);
	shared->dead[9] = 1;
	((u32 *)prod_pos(&map))[2] = 9;
	cr_assert_eq(ebpf_ringbuf_output(&map, &value, 8, 0), 0);
	((u32 *)prod_pos(&map))[2] = 8;
	cr_assert_eq(ebpf_ringbuf_output(&map, &value, 8, 0), -EAGAIN);
}
