/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ns per map operation, next to the least that plain C needs for the same in shared memory: an
 * open-addressed table, a spinlock around a store, a locked ring. That floor is measured twice,
 * compiled into its loop (inlined) and behind a call through a pointer, which is how our operations
 * are reached here and by helpers (called). Either reads its key from memory, where a program and a
 * caller of ours have it. In short rounds, alternated, so that a busy machine disturbs all alike;
 * of the floors the minimum is shown, ratios are those of the minima and of the medians.
 */
#include <sched.h>

#include "core/run/map/perf.h"
#include "tests/bench/maps.h"

#define KEYS 1024u
#define OPS 51200u
#define ROUNDS 51
#define CPUS 2 /* parts of a per-CPU value */

static struct ebpf_map hash, hash8, percpu_hash, lru_hash, array, percpu_array, ring, perf;
static struct {
	u32 lock;
	u32 key;
	u64 value;
} * table;
static struct {
	u64 key, value;
} * table8;
static struct {
	u32 lock, head;
} * chains;
static struct {
	u32 next, key;
	u64 value;
} * links;
static u64 payload[8], *parts[CPUS];
static u8 *marks;

static void bind_elems(struct ebpf_map *map, u32 type, u32 key_size)
{
	struct ebpf_map_meta meta = {.type = type,
				     .key_size = key_size,
				     .value_size = 8,
				     .max_entries = KEYS,
				     .nr_cpus = 2};

	bind(map, meta, NULL);
	for (u64 key = 0; key < KEYS; key++)
		map->ops->update(map, &key, &(u64){0}, BPF_ANY);
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
	table8 = memory(2 * KEYS * sizeof(*table8));
	chains = memory(2 * KEYS * sizeof(*chains));
	links = memory((KEYS + 1) * sizeof(*links));
	marks = memory(2 * KEYS);
	for (u32 cpu = 0; cpu < CPUS; cpu++)
		parts[cpu] = memory(2 * KEYS * sizeof(u64));
	for (u32 key = 0; key < KEYS; key++) {
		u32 i = (u32)((key * 0x9e3779b97f4a7c15ull) >> 32) % (2 * KEYS);

		while (table[i].key)
			i = (i + 1) % (2 * KEYS);
		table[i].key = key + 1;
		table8[i].key = key + 1;
		chains[i].head = key + 1;
	}
}

#define KEEP(x) __asm__ volatile("" ::"r"(x) : "memory")
/* The address of a key whose value the compiler doesn't know any more. */
#define IN_MEMORY(x)                                                                               \
	({                                                                                         \
		key = (x);                                                                         \
		__asm__ volatile("" : "+m"(key));                                                  \
		&key;                                                                              \
	})
#define INLINE static inline __attribute__((always_inline))

/* --- the floor: what would be helpers ---------------------------------------------------------
 */

INLINE u64 *find(const u32 *key)
{
	return &table[slot_of(*key)].value;
}

/* what LRU asks of a lookup: a mark of use, written only when it isn't there */
INLINE u64 *find_mark(const u32 *key)
{
	u32 i = slot_of(*key);

	if (!marks[i])
		marks[i] = 1;
	return &table[i].value;
}

INLINE u64 *find_part(const u32 *key)
{
	return &parts[(u32)sched_getcpu() % CPUS][slot_of(*key)];
}

INLINE u64 *add(const u32 *key)
{
	u64 *value = find(key);

	__atomic_fetch_add(value, 1, __ATOMIC_RELAXED);
	return value;
}

INLINE void lock(u32 *word)
{
	u32 zero = 0;

	while (!__atomic_compare_exchange_n(word, &zero, 1, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED))
		zero = 0;
}

INLINE u64 *store(const u32 *key)
{
	u32 i = slot_of(*key);

	lock(&table[i].lock);
	table[i].value = *key;
	__atomic_store_n(&table[i].lock, 0, __ATOMIC_RELEASE);
	return &table[i].value;
}

INLINE u64 *append(const u32 *key)
{
	static u8 data[(1 << 16) + 128];
	static u64 pos;
	static u32 busy;
	u32 *hdr;

	lock(&busy);
	hdr = (u32 *)(data + (pos & 0xffff));
	*hdr = 1u << 31;
	pos += 72;
	__atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
	memcpy(hdr + 2, payload, sizeof(payload));
	__atomic_exchange_n(hdr, 64, __ATOMIC_SEQ_CST);
	return (u64 *)hdr;
}

INLINE u64 *element(const u32 *key)
{
	return *key < KEYS ? &parts[0][*key] : NULL;
}

INLINE u64 *element_part(const u32 *key)
{
	return *key < KEYS ? &parts[(u32)sched_getcpu() % CPUS][*key] : NULL;
}

/* the same table with room for keys of 8 bytes */
INLINE u64 *find8(const u64 *key)
{
	u32 i = (u32)((*key * 0x9e3779b97f4a7c15ull) >> 32) % (2 * KEYS);

	while (table8[i].key != *key + 1)
		i = (i + 1) % (2 * KEYS);
	return &table8[i].value;
}

/* delete and insert: out of a chain, to the list of free ones, and back, each under its lock */
INLINE u64 *take_and_put(const u32 *key)
{
	static u32 free_lock, first_free;
	u32 bucket = slot_of(*key), at;

	lock(&chains[bucket].lock);
	at = chains[bucket].head;
	chains[bucket].head = links[at].next;
	__atomic_store_n(&chains[bucket].lock, 0, __ATOMIC_RELEASE);
	lock(&free_lock);
	links[at].next = first_free;
	first_free = at;
	__atomic_store_n(&free_lock, 0, __ATOMIC_RELEASE);

	lock(&chains[bucket].lock);
	lock(&free_lock);
	at = first_free;
	first_free = links[at].next;
	__atomic_store_n(&free_lock, 0, __ATOMIC_RELEASE);
	links[at].key = *key;
	links[at].value = *key;
	links[at].next = chains[bucket].head;
	chains[bucket].head = at;
	__atomic_store_n(&chains[bucket].lock, 0, __ATOMIC_RELEASE);
	return &links[at].value;
}

/* Both forms of a floor: of the loop that calls it, and of that which contains it. */
#define FLOOR_OF(type, name, of)                                                                   \
	static __noinline __cacheline_aligned u64 *name##_fn(const type *key)                      \
	{                                                                                          \
		return of(key);                                                                    \
	}                                                                                          \
	static u64 *(*volatile name##_called)(const type *key) = name##_fn;                        \
	static __cacheline_aligned void name(bool inlined)                                         \
	{                                                                                          \
		u64 *(*fn)(const type *key) = name##_called;                                       \
		type key;                                                                          \
                                                                                                   \
		if (inlined)                                                                       \
			for (u32 i = 0; i < OPS; i++)                                              \
				KEEP(of(IN_MEMORY((type)(i % KEYS))));                             \
		else                                                                               \
			for (u32 i = 0; i < OPS; i++)                                              \
				KEEP(fn(IN_MEMORY((type)(i % KEYS))));                             \
	}
#define FLOOR(name, of) FLOOR_OF(u32, name, of)

FLOOR(plain_element, element)
FLOOR(plain_element_part, element_part)
FLOOR(plain_find, find)
FLOOR_OF(u64, plain_find8, find8)
FLOOR(plain_find_mark, find_mark)
FLOOR(plain_find_part, find_part)
FLOOR(plain_add, add)
FLOOR(plain_store, store)
FLOOR(plain_take_and_put, take_and_put)
FLOOR(plain_append, append)

/* --- ours -------------------------------------------------------------------------------------
 */

#define OPERATION(name, ...) OPERATION_OF(u32, name, __VA_ARGS__)
#define OPERATION_OF(type, name, ...)                                                              \
	static __cacheline_aligned void name(struct ebpf_map *map)                                 \
	{                                                                                          \
		for (u32 i = 0; i < OPS; i++) {                                                    \
			type key = i % KEYS;                                                       \
			u64 value = key, *at = &value;                                             \
                                                                                                   \
			__VA_ARGS__;                                                               \
			KEEP(at);                                                                  \
		}                                                                                  \
	}

static void ring_fill(struct ebpf_map *map, u64 *record)
{
	if (!record)
		return;
	memcpy(record, payload, sizeof(payload));
	ebpf_ringbuf_submit(map, record, BPF_RB_NO_WAKEUP);
}

static void perf_read(struct ebpf_map *map)
{
	*(u64 *)(map->base + 1032) = *(u64 *)(map->base + 1024);
}

OPERATION(map_lookup, at = map->ops->lookup(map, &key))
OPERATION_OF(u64, map_lookup8, at = map->ops->lookup(map, &key))
OPERATION(map_add, at = map->ops->lookup(map, &key);
	  if (at) __atomic_fetch_add(at, 1, __ATOMIC_RELAXED))
OPERATION(map_update, map->ops->update(map, &key, &value, BPF_ANY))
OPERATION(map_delete_insert, map->ops->del(map, &key); map->ops->update(map, &key, &value, BPF_ANY))
OPERATION(ring_output, ring_read(map->base); ebpf_ringbuf_output(map, payload, sizeof(payload), 0))
OPERATION(ring_output_quiet, ring_read(map->base);
	  ebpf_ringbuf_output(map, payload, sizeof(payload), BPF_RB_NO_WAKEUP))
OPERATION(ring_reserve, ring_read(map->base);
	  ring_fill(map, ebpf_ringbuf_reserve(map, sizeof(payload), 0)))
OPERATION(perf_output, perf_read(map); ebpf_perf_output(map, payload, sizeof(payload), NULL, 0))

/* Lookups of all keys as a compiled program makes them. */
static const struct bpf_insn lookups[] = {
	MOV_IMM(6, KEYS),
	ALU64_IMM(BPF_SUB, 6, 1),
	STX(BPF_DW, 10, 6, -8),
	MOV_REG(2, 10),
	ALU64_IMM(BPF_ADD, 2, -8),
	LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 3),
	CALL(BPF_FUNC_map_lookup_elem),
	JMP_IMM(BPF_JNE, 6, 0, -8),
	EXIT(),
};
static struct {
	struct ebpf_map *map;
	struct engine engine;
} programs[] = {{&array}, {&percpu_array}, {&hash}, {&hash8}, {&percpu_hash}, {&lru_hash}};

static void load_programs(void)
{
	ebpf_helper_table_init();
	for (u32 i = 0; i < ARRAY_SIZE(programs); i++)
		load_program(&programs[i].engine, programs[i].map, lookups, ARRAY_SIZE(lookups));
}

static void prog_lookup(struct ebpf_map *map)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	u32 at = 0;

	while (programs[at].map != map)
		at++;
	for (u32 i = 0; i < OPS / KEYS; i++)
		ebpf_prog_run(&programs[at].engine.prog, NULL, &run);
}

static const struct row {
	const char *what;
	struct ebpf_map *map;
	void (*op)(struct ebpf_map *map);
	void (*plain)(bool inlined);
} rows[] = {
	{"array lookup", &array, map_lookup, plain_element},
	{"array lookup in a program", &array, prog_lookup, plain_element},
	{"array lookup + atomic add", &array, map_add, NULL},
	{"array update", &array, map_update, NULL},
	{"percpu_array lookup", &percpu_array, map_lookup, plain_element_part},
	{"percpu_array lookup in a program", &percpu_array, prog_lookup, plain_element_part},
	{"hash lookup", &hash, map_lookup, plain_find},
	{"hash lookup in a program", &hash, prog_lookup, plain_find},
	{"hash lookup + atomic add", &hash, map_add, plain_add},
	{"hash update", &hash, map_update, plain_store},
	{"hash delete + insert", &hash, map_delete_insert, plain_take_and_put},
	{"hash lookup, 8-byte key", &hash8, map_lookup8, plain_find8},
	{"hash lookup, 8-byte key, in program", &hash8, prog_lookup, plain_find8},
	{"percpu_hash lookup", &percpu_hash, map_lookup, plain_find_part},
	{"percpu_hash lookup in a program", &percpu_hash, prog_lookup, plain_find_part},
	{"percpu_hash update", &percpu_hash, map_update, NULL},
	{"lru_hash lookup", &lru_hash, map_lookup, plain_find_mark},
	{"lru_hash lookup in a program", &lru_hash, prog_lookup, plain_find_mark},
	{"lru_hash update", &lru_hash, map_update, plain_store},
	{"ringbuf output, 64 bytes", &ring, ring_output, plain_append},
	{"ringbuf output, 64 bytes, no wakeup", &ring, ring_output_quiet, plain_append},
	{"ringbuf reserve + submit, no wakeup", &ring, ring_reserve, plain_append},
	{"perf ring output, 64 bytes", &perf, perf_output, NULL},
};

enum form { OURS, INLINED, CALLED, FORMS };

static double run(const struct row *row, enum form form)
{
	u64 start = now_ns();

	if (form == OURS)
		row->op(row->map);
	else if (row->plain)
		row->plain(form == INLINED);
	return (double)(now_ns() - start) / OPS;
}

static void measure(const struct row *row)
{
	double ns[FORMS][ROUNDS], *op = ns[OURS], *inlined = ns[INLINED], *called = ns[CALLED];
	const u32 mid = ROUNDS / 2;

	for (u32 i = 0; i < ROUNDS; i++)
		for (u32 form = 0; form < FORMS; form++)
			ns[form][i] = run(row, form);
	for (u32 form = 0; form < FORMS; form++)
		qsort(ns[form], ROUNDS, sizeof(double), by_value);
	printf("%-36s %9.2f %9.2f", row->what, op[0], op[mid]);
	if (row->plain)
		printf(" %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", inlined[0], called[0],
		       op[0] / inlined[0], op[mid] / inlined[mid], op[0] / called[0],
		       op[mid] / called[mid]);
	else
		printf(" %9s %9s %9s %9s %9s %9s\n", "-", "-", "-", "-", "-", "-");
}

int main(int argc, char **argv)
{
	struct ebpf_map_meta meta = {.type = EBPF_MAP_PERF_RING, .max_entries = 1 << 16};

	osl_trap_init_self();
	ebpf_map_self = 1;
	fill_table();
	bind_elems(&array, BPF_MAP_TYPE_ARRAY, 4);
	bind_elems(&percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 4);
	bind_elems(&hash, BPF_MAP_TYPE_HASH, 4);
	bind_elems(&hash8, BPF_MAP_TYPE_HASH, 8);
	bind_elems(&percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 4);
	bind_elems(&lru_hash, BPF_MAP_TYPE_LRU_HASH, 4);
	bind_ring(&ring, 1 << 16);
	bind(&perf, meta, NULL);
	load_programs();
	printf("%-36s %9s %9s %9s %9s %9s %9s %9s %9s\n", "map operation, ns, of 1024 keys", "min",
	       "median", "inlined C", "called C", "x-inlined", "  by med.", "x-called",
	       "  by med.");
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (argc < 2 || strstr(rows[i].what, argv[1]))
			measure(&rows[i]);
	return 0;
}
