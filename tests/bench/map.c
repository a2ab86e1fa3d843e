/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ns per map operation, as a program in a probe does it, next to the least that plain C needs for
 * the same in shared memory, behind a call like a helper's: an open-addressed table, a spinlock
 * around a store, a locked ring. In short rounds, alternated, so that a busy machine disturbs both
 * alike; the ratio is that of the medians.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/run/map/perf.h"
#include "core/run/map/ringbuf.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#define KEYS 1024u
#define OPS 51200u
#define ROUNDS 51
#define CPUS 2 /* parts of a per-CPU value */

static struct ebpf_map hash, percpu_hash, lru_hash, array, ring, perf;
static struct {
	u32 lock;
	u32 key;
	u64 value;
} * table;
static u64 payload[8], *parts[CPUS];

static void *memory(u64 size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	memset(p, 0, size);
	return p;
}

static void bind(struct ebpf_map *map, struct ebpf_map_meta meta, void *base)
{
	u64 size = ebpf_map_shm_size(&meta);

	meta.nr_cpus = meta.nr_cpus ? meta.nr_cpus : 2;
	if (ebpf_map_bind(map, &meta, base ? base : memory(size), size)) {
		fprintf(stderr, "map type %u: can't be bound\n", meta.type);
		exit(1);
	}
}

static void bind_elems(struct ebpf_map *map, u32 type)
{
	struct ebpf_map_meta meta = {
		.type = type, .key_size = 4, .value_size = 8, .max_entries = KEYS, .nr_cpus = 2};

	bind(map, meta, NULL);
	for (u32 key = 0; key < KEYS; key++)
		map->ops->update(map, &key, &(u64){0}, BPF_ANY);
}

static void bind_ring(void)
{
	struct ebpf_map_meta meta = {.type = BPF_MAP_TYPE_RINGBUF, .max_entries = 1 << 16};
	struct ebpf_map_part part[2];
	u8 *base = memory(ebpf_ringbuf_layout(&meta, part));
	int fd = memfd_create("ring", 0);

	if (fd < 0 || ftruncate(fd, (off_t)ebpf_map_shm_size(&meta)))
		exit(1);
	for (u32 i = 0; i < 2; i++)
		if (mmap(base + part[i].at, part[i].len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, (off_t)part[i].off) == MAP_FAILED)
			exit(1);
	bind(&ring, meta, base);
}

static u32 slot_of(u32 key)
{
	u32 i = (u32)((key * 0x9e3779b97f4a7c15ull) >> 32) % (2 * KEYS);

	while (table[i].key != key + 1)
		i = (i + 1) % (2 * KEYS);
	return i;
}

static void fill_table(void)
{
	table = memory(2 * KEYS * sizeof(*table));
	for (u32 cpu = 0; cpu < CPUS; cpu++)
		parts[cpu] = memory(2 * KEYS * sizeof(u64));
	for (u32 key = 0; key < KEYS; key++) {
		u32 i = (u32)((key * 0x9e3779b97f4a7c15ull) >> 32) % (2 * KEYS);

		while (table[i].key)
			i = (i + 1) % (2 * KEYS);
		table[i].key = key + 1;
	}
}

#define KEEP(x) __asm__ volatile("" ::"r"(x) : "memory")

/* What would be helpers: each is called through a pointer, as a program calls its own. */
static u64 *find(const u32 *key)
{
	return &table[slot_of(*key)].value;
}

static u64 *find_part(const u32 *key)
{
	return &parts[(u32)sched_getcpu() % CPUS][slot_of(*key)];
}

static int store(const u32 *key, const u64 *value)
{
	u32 i = slot_of(*key), zero = 0;

	while (!__atomic_compare_exchange_n(&table[i].lock, &zero, 1, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED))
		zero = 0;
	table[i].value = *value;
	__atomic_store_n(&table[i].lock, 0, __ATOMIC_RELEASE);
	return 0;
}

static u64 *(*volatile plain_find)(const u32 *key) = find;
static u64 *(*volatile plain_find_part)(const u32 *key) = find_part;
static int (*volatile plain_store)(const u32 *key, const u64 *value) = store;

static void plain_lookup(u32 key)
{
	KEEP(plain_find(&key));
}

static void plain_lookup_part(u32 key)
{
	KEEP(plain_find_part(&key));
}

static void plain_add(u32 key)
{
	__atomic_fetch_add(plain_find(&key), 1, __ATOMIC_RELAXED);
}

static void plain_update(u32 key)
{
	u64 value = key;

	plain_store(&key, &value);
}

static void plain_ring(u32 key)
{
	static u8 data[1 << 16];
	static u64 pos;
	static u32 lock;
	u32 zero = 0, *hdr;

	while (!__atomic_compare_exchange_n(&lock, &zero, 1, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED))
		zero = 0;
	hdr = (u32 *)(data + pos % (sizeof(data) - 128) / 8 * 8);
	*hdr = 1u << 31;
	pos += 72;
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	memcpy(hdr + 2, payload, sizeof(payload));
	__atomic_exchange_n(hdr, 64, __ATOMIC_SEQ_CST);
}

static void map_lookup(struct ebpf_map *map, u32 key)
{
	KEEP(map->ops->lookup(map, &key));
}

static void map_add(struct ebpf_map *map, u32 key)
{
	u64 *value = map->ops->lookup(map, &key);

	if (value)
		__atomic_fetch_add(value, 1, __ATOMIC_RELAXED);
}

static void map_update(struct ebpf_map *map, u32 key)
{
	u64 value = key;

	map->ops->update(map, &key, &value, BPF_ANY);
}

static void map_delete_insert(struct ebpf_map *map, u32 key)
{
	u64 value = key;

	map->ops->del(map, &key);
	map->ops->update(map, &key, &value, BPF_ANY);
}

/* As if the reader had read everything: the cost of a reader is not the producer's. */
static void ring_output(struct ebpf_map *map, u32 key)
{
	*(u64 *)map->base = *(u64 *)(map->base + EBPFRT_PAGE_SIZE);
	ebpf_ringbuf_output(map, payload, sizeof(payload), BPF_RB_NO_WAKEUP);
}

static void ring_reserve(struct ebpf_map *map, u32 key)
{
	u64 *r;

	*(u64 *)map->base = *(u64 *)(map->base + EBPFRT_PAGE_SIZE);
	r = ebpf_ringbuf_reserve(map, sizeof(payload), 0);
	if (r) {
		memcpy(r, payload, sizeof(payload));
		ebpf_ringbuf_submit(map, r, BPF_RB_NO_WAKEUP);
	}
}

static void perf_output(struct ebpf_map *map, u32 key)
{
	*(u64 *)(map->base + 1032) = *(u64 *)(map->base + 1024);
	ebpf_perf_output(map, payload, sizeof(payload), NULL, 0);
}

static u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

static const struct row {
	const char *what;
	struct ebpf_map *map;
	void (*op)(struct ebpf_map *map, u32 key);
	void (*plain)(u32 key);
} rows[] = {
	{"array lookup", &array, map_lookup, NULL},
	{"array lookup + atomic add", &array, map_add, NULL},
	{"array update", &array, map_update, NULL},
	{"hash lookup", &hash, map_lookup, plain_lookup},
	{"hash lookup + atomic add", &hash, map_add, plain_add},
	{"hash update", &hash, map_update, plain_update},
	{"hash delete + insert", &hash, map_delete_insert, NULL},
	{"percpu_hash lookup", &percpu_hash, map_lookup, plain_lookup_part},
	{"percpu_hash update", &percpu_hash, map_update, NULL},
	{"lru_hash lookup", &lru_hash, map_lookup, plain_lookup},
	{"lru_hash update", &lru_hash, map_update, plain_update},
	{"ringbuf output, 64 bytes", &ring, ring_output, plain_ring},
	{"ringbuf reserve + submit, 64 bytes", &ring, ring_reserve, plain_ring},
	{"perf ring output, 64 bytes", &perf, perf_output, NULL},
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double run_op(const struct row *row)
{
	u64 start = now_ns();

	for (u32 i = 0; i < OPS; i++)
		row->op(row->map, i % KEYS);
	return (double)(now_ns() - start) / OPS;
}

static double run_plain(const struct row *row)
{
	u64 start = now_ns();

	for (u32 i = 0; row->plain && i < OPS; i++)
		row->plain(i % KEYS);
	return (double)(now_ns() - start) / OPS;
}

static void measure(const struct row *row)
{
	double op[ROUNDS], plain[ROUNDS];

	for (u32 i = 0; i < ROUNDS; i++) {
		op[i] = run_op(row);
		plain[i] = run_plain(row);
	}
	qsort(op, ROUNDS, sizeof(op[0]), by_value);
	qsort(plain, ROUNDS, sizeof(plain[0]), by_value);
	printf("%-36s %10.2f %10.2f %10.2f", row->what, op[0], op[ROUNDS / 2], op[ROUNDS - 1]);
	if (row->plain)
		printf(" %9.2f %9.2f\n", plain[ROUNDS / 2], op[ROUNDS / 2] / plain[ROUNDS / 2]);
	else
		printf(" %9s %9s\n", "-", "-");
}

int main(void)
{
	struct ebpf_map_meta meta = {.type = EBPF_MAP_PERF_RING, .max_entries = 1 << 16};

	osl_trap_init_self();
	ebpf_map_self = 1;
	fill_table();
	bind_elems(&array, BPF_MAP_TYPE_ARRAY);
	bind_elems(&hash, BPF_MAP_TYPE_HASH);
	bind_elems(&percpu_hash, BPF_MAP_TYPE_PERCPU_HASH);
	bind_elems(&lru_hash, BPF_MAP_TYPE_LRU_HASH);
	bind_ring();
	bind(&perf, meta, NULL);
	printf("%-36s %10s %10s %10s %9s %9s\n", "map operation, ns, of 1024 keys", "min", "median",
	       "max", "plain C", "x-plain");
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		measure(&rows[i]);
	return 0;
}
