/* SPDX-License-Identifier: BSD-2-Clause */
/* Perf rings, read the way libbpf's perf_buffer reads them. */
#include "map_test.h"

#include <linux/perf_event.h>

#include "core/run/map/perf.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#define BELL 3

static struct osl_bells bells;

static void init(void)
{
	struct osl_self self = {.tgid = (u32)getpid(), .bells = &bells};

	osl_trap_init(&self);
	test_participants();
}

TestSuite(perf, .init = init);

static void test_ring(struct ebpf_map *map, u32 size, u32 wakeup)
{
	struct ebpf_map_meta meta = {.type = EBPF_MAP_PERF_RING,
				     .max_entries = size,
				     .id = 77,
				     .bell = BELL,
				     .map_extra = wakeup};

	cr_assert_eq(ebpf_map_bind(map, &meta, test_mmap(size + 4096), size + 4096), 0);
	ebpf_perf_init(map);
}

static struct perf_event_mmap_page *page(struct ebpf_map *map)
{
	return (void *)map->base;
}

static bool rung(void)
{
	return __atomic_exchange_n(&bells.pending[0], 0, __ATOMIC_SEQ_CST) & 1ull << BELL;
}

/* The next record, put together where it wraps; NULL: none. */
static void *next_record(struct ebpf_map *map)
{
	static u64 copy[65536 / 8];
	u64 head = __atomic_load_n(&page(map)->data_head, __ATOMIC_ACQUIRE);
	u64 tail = page(map)->data_tail;
	struct perf_event_header *h;
	u8 *data = map->base + 4096;

	if (head == tail)
		return NULL;
	h = (void *)(data + (tail & map->mask));
	for (u32 i = 0; i < h->size; i++)
		((u8 *)copy)[i] = data[(tail + i) & map->mask];
	__atomic_store_n(&page(map)->data_tail, tail + h->size, __ATOMIC_RELEASE);
	return copy;
}

struct sample {
	struct perf_event_header header;
	u32 size;
	u8 data[];
};

Test(perf, a_sample_is_laid_out_as_the_kernels)
{
	struct ebpf_map map;
	struct sample *s;

	test_ring(&map, 4096, 0);
	cr_assert_eq(page(&map)->data_offset, 4096);
	cr_assert_eq(page(&map)->data_size, 4096);
	cr_assert_eq(ebpf_perf_output(&map, "hello", 5, "you", 3), 0);
	s = next_record(&map);
	cr_assert_eq(s->header.type, PERF_RECORD_SAMPLE);
	cr_assert_eq(s->header.size, 24);
	cr_assert_eq(s->size, 12, "padded so that the record is a multiple of 8");
	cr_assert_arr_eq(s->data, "helloyou\0\0\0\0", 12);
	cr_assert_null(next_record(&map));
}

Test(perf, a_sample_has_its_time_when_that_is_asked_for)
{
	struct ebpf_map map;
	u64 before = osl_ktime_ns(), time;
	struct sample *s;
	u8 *at;

	test_ring(&map, 1 << 17, 0);
	*(u32 *)(map.base + EBPF_PERF_TIMED) = 1;
	cr_assert_eq(ebpf_perf_output(&map, "hello", 5, "you", 3), 0);
	s = next_record(&map);
	at = (u8 *)s + sizeof(s->header);
	cr_assert_eq(s->header.size, 32);
	memcpy(&time, at, sizeof(time));
	cr_assert(time >= before && time <= osl_ktime_ns());
	cr_assert_eq(*(u32 *)(at + 8), 12);
	cr_assert_arr_eq(at + 12, "helloyou\0\0\0\0", 12);
	/* the largest sample has no room for it */
	cr_assert_eq(ebpf_perf_output(&map, map.base, EBPF_PERF_MAX_SAMPLE, NULL, 0), -E2BIG);
	cr_assert_eq(ebpf_perf_output(&map, map.base, EBPF_PERF_MAX_SAMPLE - 8, NULL, 0), 0);
}

Test(perf, sizes_wrap_and_keep_their_bytes)
{
	struct ebpf_map map;
	u8 data[600];

	test_seed();
	test_ring(&map, 4096, 0);
	for (u32 i = 0; i < 20000; i++) {
		u32 a = test_rand() % 300, b = test_rand() % 300;
		struct sample *s;

		for (u32 k = 0; k < a + b; k++)
			data[k] = (u8)test_rand();
		cr_assert_eq(ebpf_perf_output(&map, data, a, data + a, b), 0);
		cr_assert_eq(ebpf_perf_check(&map), 0);
		s = next_record(&map);
		cr_assert_geq(s->size, a + b);
		cr_assert_arr_eq(s->data, data, a + b);
	}
}

Test(perf, what_did_not_fit_is_told)
{
	struct ebpf_map map;
	u8 data[100] = {0};
	u32 n = 0;
	u64 *rec;

	test_ring(&map, 4096, 0);
	cr_assert_eq(ebpf_perf_output(&map, data, 65517, NULL, 0), -E2BIG);
	while (!ebpf_perf_output(&map, data, 100, NULL, 0))
		n++;
	cr_assert_eq(n, 36);
	cr_assert_eq(ebpf_perf_output(&map, data, 100, NULL, 0), -ENOSPC);
	while (next_record(&map))
		;
	cr_assert_eq(ebpf_perf_output(&map, data, 100, NULL, 0), 0);
	rec = next_record(&map);
	cr_assert_eq(((struct perf_event_header *)rec)->type, PERF_RECORD_LOST);
	cr_assert_eq(rec[1], 77);
	cr_assert_eq(rec[2], 2);
	rec = next_record(&map);
	cr_assert_eq(((struct perf_event_header *)rec)->type, PERF_RECORD_SAMPLE);
}

Test(perf, wakes_as_often_as_asked)
{
	struct ebpf_map map;

	test_ring(&map, 4096, 1);
	ebpf_perf_output(&map, "x", 1, NULL, 0);
	cr_assert(rung());
	ebpf_perf_output(&map, "x", 1, NULL, 0);
	cr_assert(rung());
	test_ring(&map, 4096, 3);
	for (u32 i = 1; i <= 9; i++) {
		ebpf_perf_output(&map, "x", 1, NULL, 0);
		cr_assert_eq(rung(), i % 3 == 0);
	}
}

Test(perf, memory_that_is_not_there_costs_nothing)
{
	u8 *p = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ebpf_map map;
	struct sample *s;

	cr_assert_eq(osl_fault_handler_install(), 0);
	cr_assert_eq(munmap(p + 4096, 4096), 0);
	test_ring(&map, 4096, 0);
	for (u32 i = 0; i < 100; i++) {
		cr_assert_eq(ebpf_perf_output(&map, p + 4000, 200, NULL, 0), -EFAULT);
		cr_assert_eq(ebpf_perf_output(&map, "x", 1, (void *)16, 8), -EFAULT);
		cr_assert_null(next_record(&map));
		cr_assert_eq(ebpf_perf_output(&map, "good", 4, "next", 4), 0);
		s = next_record(&map);
		cr_assert_eq(s->header.type, PERF_RECORD_SAMPLE);
		cr_assert_arr_eq(s->data, "goodnext", 8);
		cr_assert_null(next_record(&map), "nothing was lost");
	}
}

struct rec {
	u64 seq;
	u64 who;
	u64 sum;
};

static pid_t start(struct ebpf_map *map, u32 who)
{
	pid_t pid = test_fork(who);

	if (pid)
		return pid;
	for (struct rec r = {.who = who};; r.seq++) {
		r.sum = r.seq * 31 + who;
		while (ebpf_perf_output(map, &r, sizeof(r), NULL, 0))
			usleep(20);
	}
}

Test(perf, killed_anywhere_the_reader_goes_on, .timeout = 60)
{
	struct ebpf_map map;
	u64 records = 0, seq[512] = {0};

	test_seed();
	test_ring(&map, 4096, 0);
	for (u32 round = 0; round < 60; round++) {
		u64 until = test_now_ns() + 200000 + test_rand() % 2000000;
		u32 first = 2 + round * 2;
		pid_t pid[2] = {start(&map, first), start(&map, first + 1)};

		for (bool more = true; more;) {
			struct sample *s = next_record(&map);
			struct rec r;

			if (!s || s->header.type != PERF_RECORD_SAMPLE) {
				more = test_now_ns() < until;
				continue;
			}
			memcpy(&r, s->data, sizeof(r));
			cr_assert_eq(r.sum, r.seq * 31 + r.who);
			cr_assert_eq(r.seq, seq[r.who]++);
			records++;
		}
		for (u32 i = 0; i < 2; i++) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
			shared->dead[first + i] = 1;
		}
		cr_assert_eq(ebpf_perf_check(&map), 0);
		while (next_record(&map))
			;
		cr_assert_eq(ebpf_perf_output(&map, "x", 1, NULL, 0), 0);
		while (next_record(&map))
			;
	}
	cr_assert_gt(records, 0);
}

Test(perf, nonsense_is_found_and_cleared)
{
	struct ebpf_map map;

	test_seed();
	test_ring(&map, 4096, 0);
	for (u32 i = 0; i < 100000; i++) {
		u64 *at = test_rand() % 2   ? (u64 *)(map.base + 4096) + test_rand() % 512
			  : test_rand() % 2 ? (u64 *)&page(&map)->data_head
					    : (u64 *)&page(&map)->data_tail;

		*at = (u64)test_rand() << (test_rand() % 40);
		ebpf_perf_output(&map, &i, 4, NULL, 0);
		if (ebpf_perf_check(&map)) {
			ebpf_perf_reset(&map);
			cr_assert_eq(ebpf_perf_check(&map), 0);
			cr_assert_eq(ebpf_perf_output(&map, &i, 4, NULL, 0), 0);
		}
	}
}
