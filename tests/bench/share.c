/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs to share a map: ns per operation of a compiled program in each of two threads, or
 * processes, beside that of one alone. "separate keys" means that the two have half of the keys
 * each; "one key" that both have the same one, "two keys" that each has one. Each inserts its keys
 * itself. Each runs on a CPU of its own and is measured by its own clock, so that who
 * else runs here costs little; a round counts when both were at it all the time, as far as their
 * clocks tell. The ratios are those of the minima and of the medians.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "tests/bench/maps.h"

#define KEYS 1024
#define TURNS 64 /* of a program's loop over its keys in a round */
#define ROUNDS 31
#define TRIES 124 /* of rounds in which both are to run at once */
#define RING (1 << 23)

#define MAP(reg) LDDW_KIND(reg, BPF_PSEUDO_MAP_FD, 3)
#define KEY_AT_R2 MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -16)
#define VALUE_AT_R3 MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -24), MOV_IMM(4, BPF_ANY)
#define UPDATE MAP(1), KEY_AT_R2, VALUE_AT_R3, CALL(BPF_FUNC_map_update_elem)

/* The loop: r6 from the context's second word down to its first. */
#define BEGIN                                                                                      \
	LDX(BPF_DW, 6, 1, 8), LDX(BPF_DW, 7, 1, 0), ST(BPF_DW, 10, -24, 1), MOV_REG(8, 6),         \
		MOV_REG(6, 8), ALU64_IMM(BPF_SUB, 6, 1), STX(BPF_DW, 10, 6, -16)
#define END(n) INSN(BPF_JMP | BPF_JGT | BPF_X, 6, 7, -(n)-3, 0), MOV_IMM(0, 0), EXIT()

static const struct bpf_insn add[] = {
	BEGIN,
	KEY_AT_R2,
	MAP(1),
	CALL(BPF_FUNC_map_lookup_elem),
	JMP_IMM(BPF_JEQ, 0, 0, 2),
	MOV_IMM(1, 1),
	INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD),
	END(8),
};
static const struct bpf_insn store[] = {
	BEGIN,
	KEY_AT_R2,
	MAP(1),
	CALL(BPF_FUNC_map_lookup_elem),
	JMP_IMM(BPF_JEQ, 0, 0, 1),
	STX(BPF_DW, 0, 6, 0),
	END(7),
};
static const struct bpf_insn update[] = {BEGIN, UPDATE, END(8)};
static const struct bpf_insn replace[] = {
	BEGIN, MAP(1), KEY_AT_R2, CALL(BPF_FUNC_map_delete_elem), UPDATE, END(13),
};
static const struct bpf_insn output[] = {
	BEGIN,
	MAP(1),
	MOV_REG(2, 10),
	ALU64_IMM(BPF_ADD, 2, -88),
	MOV_IMM(3, 64),
	MOV_IMM(4, BPF_RB_NO_WAKEUP),
	CALL(BPF_FUNC_ringbuf_output),
	END(7),
};

enum keys { SEPARATE, TWO_KEYS, ONE_KEY };
#define BODY(x) (x), ARRAY_SIZE(x)

static const struct row {
	const char *what;
	u32 type;
	enum keys keys;
	bool processes;
	const struct bpf_insn *insns;
	size_t n;
} rows[] = {
	{"hash add, separate keys", BPF_MAP_TYPE_HASH, SEPARATE, false, BODY(add)},
	{"hash add, two keys", BPF_MAP_TYPE_HASH, TWO_KEYS, false, BODY(add)},
	{"hash add, one key", BPF_MAP_TYPE_HASH, ONE_KEY, false, BODY(add)},
	{"hash add, one key, processes", BPF_MAP_TYPE_HASH, ONE_KEY, true, BODY(add)},
	{"hash update, separate keys", BPF_MAP_TYPE_HASH, SEPARATE, false, BODY(update)},
	{"hash update, two keys", BPF_MAP_TYPE_HASH, TWO_KEYS, false, BODY(update)},
	{"hash update, one key", BPF_MAP_TYPE_HASH, ONE_KEY, false, BODY(update)},
	{"hash delete + insert, separate keys", BPF_MAP_TYPE_HASH, SEPARATE, false, BODY(replace)},
	{"lru_hash add, separate keys", BPF_MAP_TYPE_LRU_HASH, SEPARATE, false, BODY(add)},
	{"percpu_hash add, one key", BPF_MAP_TYPE_PERCPU_HASH, ONE_KEY, false, BODY(store)},
	{"percpu_array add, one key", BPF_MAP_TYPE_PERCPU_ARRAY, ONE_KEY, false, BODY(store)},
	{"array add, two keys", BPF_MAP_TYPE_ARRAY, TWO_KEYS, false, BODY(add)},
	{"ringbuf output, 64 bytes", BPF_MAP_TYPE_RINGBUF, SEPARATE, false, BODY(output)},
	{"ringbuf output, 64 bytes, processes", BPF_MAP_TYPE_RINGBUF, SEPARATE, true, BODY(output)},
};

static struct ebpf_map map;
static struct engine engine;

/* What the two tell each other; in shared memory. */
static struct shared {
	u32 ready; /* who has come to its CPU */
	struct {
		u64 range[2], ns, from, to;
	} __cacheline_aligned half[2];
} * shared;

static u64 clock_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

static void stay_on(u32 cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static u32 ops(const struct row *row)
{
	return (row->keys == SEPARATE ? KEYS / 2 : 1) * TURNS *
	       (row->keys == SEPARATE ? 1 : KEYS / 2);
}

static void work(const struct row *row, u32 which, u32 n)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	u64 *range = shared->half[which].range, start;
	u32 turns = ops(row) / (u32)(range[1] - range[0]);

	stay_on(which); /* and insert our keys there, as they would be */
	for (u64 key = range[0]; row->type != BPF_MAP_TYPE_RINGBUF && key < range[1]; key++)
		map.ops->update(&map, &key, &(u64){0}, BPF_NOEXIST);
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < n)
		sched_yield();
	shared->half[which].from = now_ns();
	start = clock_of(CLOCK_THREAD_CPUTIME_ID);
	for (u32 i = 0; i < turns; i++)
		ebpf_prog_run(&engine.prog, range, &run);
	shared->half[which].ns = clock_of(CLOCK_THREAD_CPUTIME_ID) - start;
	shared->half[which].to = now_ns();
}

static void *thread(void *arg)
{
	work(arg, 1, 2);
	return NULL;
}

static void choose_keys(const struct row *row)
{
	for (u32 i = 0; i < 2; i++) {
		u64 *range = shared->half[i].range;

		range[0] = row->keys == SEPARATE ? i * KEYS / 2 : row->keys == TWO_KEYS ? i : 0;
		range[1] = range[0] + (row->keys == SEPARATE ? KEYS / 2 : 1);
	}
}

/* ns per operation of the two, or of one alone; 0: they did not run at once */
static double run_round(const struct row *row, u32 n)
{
	u64 overlap, longest;
	pthread_t t;
	pid_t pid = 0;

	shared->ready = 0;
	stay_on(1); /* where the other begins; we go to 0 */
	if (n == 2 && row->processes) {
		pid = fork();
		if (!pid) {
			ebpf_map_self = 2;
			work(row, 1, 2);
			_exit(0);
		}
	} else if (n == 2 && pthread_create(&t, NULL, thread, (void *)(uintptr_t)row)) {
		return 0;
	}
	work(row, 0, n);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	else if (n == 2)
		pthread_join(t, NULL);
	if (row->type == BPF_MAP_TYPE_RINGBUF)
		ring_read(map.base);
	if (n == 1)
		return (double)shared->half[0].ns / ops(row);
	overlap = MIN(shared->half[0].to, shared->half[1].to) -
		  MAX(shared->half[0].from, shared->half[1].from);
	longest = MAX(shared->half[0].to - shared->half[0].from,
		      shared->half[1].to - shared->half[1].from);
	if ((s64)overlap < (s64)(longest / 4 * 3))
		return 0;
	return (double)(shared->half[0].ns + shared->half[1].ns) / 2 / ops(row);
}

static void measure(const struct row *row)
{
	struct ebpf_map_meta meta = {.type = row->type,
				     .key_size = 4,
				     .value_size = 8,
				     .max_entries = KEYS,
				     .nr_cpus = (u32)sysconf(_SC_NPROCESSORS_CONF)};
	double ns[2][ROUNDS];
	u32 got[2] = {0};

	memset(&engine, 0, sizeof(engine));
	if (row->type == BPF_MAP_TYPE_RINGBUF)
		bind_ring(&map, RING);
	else
		bind(&map, meta, NULL);
	load_program(&engine, &map, row->insns, (u32)row->n);
	choose_keys(row);
	for (u32 i = 0; i < TRIES && got[1] < ROUNDS; i++)
		for (u32 n = 1; n <= 2; n++) {
			double one = run_round(row, n);

			if (one > 0 && got[n - 1] < ROUNDS)
				ns[n - 1][got[n - 1]++] = one;
		}
	for (u32 n = 0; n < 2; n++)
		qsort(ns[n], got[n], sizeof(double), by_value);
	if (got[0] < 5 || got[1] < 5)
		printf("%-36s   skipped: the two hardly ever ran at once\n", row->what);
	else
		printf("%-36s %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", row->what, ns[0][0],
		       ns[0][got[0] / 2], ns[1][0], ns[1][got[1] / 2], ns[1][got[1] - 1],
		       ns[1][0] / ns[0][0], ns[1][got[1] / 2] / ns[0][got[0] / 2]);
	engine_close(&engine);
}

int main(int argc, char **argv)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		printf("two at once: skipped: there is one CPU\n");
		return 0;
	}
	/* a few milliseconds at a time; without the right to it there is more noise */
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
	setvbuf(stdout, NULL, _IOLBF, 0);
	osl_trap_init_self();
	ebpf_map_self = 1;
	ebpf_helper_table_init();
	shared = memory(sizeof(*shared));
	printf("%-36s %9s %9s %9s %9s %9s %9s %9s\n", "two at once, ns per operation of each",
	       "alone", "median", "both", "median", "max", "x-alone", "by med.");
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (argc < 2 || strstr(rows[i].what, argv[1]))
			measure(&rows[i]);
	return 0;
}
