/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs to share a map: ns per operation of a compiled program in each of two threads, or
 * processes, beside that of one alone. "separate keys" means that the two have half of the keys
 * each; "one key" that both have the same one, "two keys" that each has one, side by side. Each
 * inserts its keys itself, runs on a CPU of its own and is measured by its own clock, so that who
 * else runs here costs little; a round counts when both were at it all the time, as far as their
 * clocks tell. The ratios are those of the minima and of the medians.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "tests/bench/oracle.h"

#define KEYS 1024
#define TIMES (KEYS / 2) /* round the loop of a program */
#define TURNS 64	 /* of a program in a round */
#define ROUNDS 31
#define TRIES 124 /* of rounds in which both are to run at once */
#define RING (1 << 23)
#define MAX_INSNS 192

#define MAP(reg) LDDW_KIND(reg, BPF_PSEUDO_MAP_FD, 3)
#define KEY_AT_R2 MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -16)
#define VALUE_AT_R3 MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -24), MOV_IMM(4, BPF_ANY)
#define UPDATE MAP(1), KEY_AT_R2, VALUE_AT_R3, CALL(BPF_FUNC_map_update_elem)

/* the bodies of the loops: the key is in r1, at r10 - 16, and zero up to r10 */
static const struct bpf_insn add[] = {
	KEY_AT_R2,
	MAP(1),
	CALL(BPF_FUNC_map_lookup_elem),
	JMP_IMM(BPF_JEQ, 0, 0, 2),
	MOV_IMM(1, 1),
	INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD),
};
static const struct bpf_insn store[] = {
	KEY_AT_R2,
	MAP(1),
	CALL(BPF_FUNC_map_lookup_elem),
	JMP_IMM(BPF_JEQ, 0, 0, 1),
	STX(BPF_DW, 0, 6, 0),
};
static const struct bpf_insn update[] = {UPDATE};
static const struct bpf_insn replace[] = {
	MAP(1),
	KEY_AT_R2,
	CALL(BPF_FUNC_map_delete_elem),
	UPDATE,
};
static const struct bpf_insn output[] = {
	MAP(1),
	MOV_REG(2, 10),
	ALU64_IMM(BPF_ADD, 2, -88),
	MOV_IMM(3, 64),
	MOV_IMM(4, BPF_RB_NO_WAKEUP),
	CALL(BPF_FUNC_ringbuf_output),
};

/* The same with other work in between, some forty ns of it. */
#define MUL8                                                                                       \
	ALU64_IMM(BPF_MUL, 0, 3), ALU64_IMM(BPF_MUL, 0, 5), ALU64_IMM(BPF_MUL, 0, 7),              \
		ALU64_IMM(BPF_MUL, 0, 3), ALU64_IMM(BPF_MUL, 0, 5), ALU64_IMM(BPF_MUL, 0, 7),      \
		ALU64_IMM(BPF_MUL, 0, 3), ALU64_IMM(BPF_MUL, 0, 5)
#define MUL32 MUL8, MUL8, MUL8, MUL8
static const struct bpf_insn work_output[] = {
	MUL32,
	MUL32,
	MUL32,
	MUL32,
	MAP(1),
	MOV_REG(2, 10),
	ALU64_IMM(BPF_ADD, 2, -88),
	MOV_IMM(3, 64),
	MOV_IMM(4, BPF_RB_NO_WAKEUP),
	CALL(BPF_FUNC_ringbuf_output),
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
	{"hash delete + insert, one key", BPF_MAP_TYPE_HASH, ONE_KEY, false, BODY(replace)},
	{"lru_hash add, separate keys", BPF_MAP_TYPE_LRU_HASH, SEPARATE, false, BODY(add)},
	{"percpu_hash add, one key", BPF_MAP_TYPE_PERCPU_HASH, ONE_KEY, false, BODY(store)},
	{"percpu_array add, one key", BPF_MAP_TYPE_PERCPU_ARRAY, ONE_KEY, false, BODY(store)},
	{"array add, two keys", BPF_MAP_TYPE_ARRAY, TWO_KEYS, false, BODY(add)},
	{"ringbuf output, 64 bytes", BPF_MAP_TYPE_RINGBUF, SEPARATE, false, BODY(output)},
	{"ringbuf output, work in between", BPF_MAP_TYPE_RINGBUF, SEPARATE, false,
	 BODY(work_output)},
	{"ringbuf output, 64 bytes, processes", BPF_MAP_TYPE_RINGBUF, SEPARATE, true, BODY(output)},
};

#define IS_RING(row) ((row)->type == BPF_MAP_TYPE_RINGBUF)

static struct ebpf_map map;
static struct engine engine[2];
static struct kernel_map kernel;
static struct {
	int prog[2];
	const char *why;
} theirs;

/* What the two tell each other; in shared memory. */
static struct shared {
	u32 ready; /* who has come to its CPU */
	struct {
		u64 from, to;
		double ns;
	} __cacheline_aligned half[2];
} * shared;

static u64 first_key(const struct row *row, u32 which)
{
	return row->keys == ONE_KEY ? 0 : row->keys == TWO_KEYS ? 2 + which : which * TIMES;
}

/* The loop of one of the two around a row's body; map references name descriptor @fd. */
static u32 program(const struct row *row, u32 which, struct bpf_insn *out, s32 fd)
{
	const s16 back = -(s16)row->n - 5;
	u32 n = 0;

	for (s32 off = -88; off < 0; off += 8)
		out[n++] = ST(BPF_DW, 10, (s16)off, 1);
	out[n++] = MOV_IMM(0, 1);
	out[n++] = MOV_IMM(6, TIMES);
	out[n++] = ALU64_IMM(BPF_SUB, 6, 1);
	out[n++] = row->keys == SEPARATE ? MOV_REG(1, 6) : MOV_IMM(1, 0);
	out[n++] = ALU64_IMM(BPF_ADD, 1, (s32)first_key(row, which));
	out[n++] = STX(BPF_DW, 10, 1, -16);
	memcpy(out + n, row->insns, row->n * sizeof(*out));
	for (u32 i = 0; i < row->n; i++)
		if (out[n + i].code == (BPF_LD | BPF_IMM | BPF_DW))
			out[n + i].imm = fd;
	n += (u32)row->n;
	out[n++] = JMP_IMM(BPF_JNE, 6, 0, back);
	out[n++] = MOV_IMM(0, 0);
	out[n++] = EXIT();
	return n;
}

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

/* ns of all turns */
static double turns_of_ours(u32 which)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	u64 start = clock_of(CLOCK_THREAD_CPUTIME_ID);

	for (u32 i = 0; i < TURNS; i++)
		ebpf_prog_run(&engine[which].prog, NULL, &run);
	return (double)(clock_of(CLOCK_THREAD_CPUTIME_ID) - start);
}

static void insert_keys(const struct row *row, u32 which, bool ours)
{
	u64 first = first_key(row, which), n = row->keys == SEPARATE ? TIMES : 1;

	for (u64 key = first; !IS_RING(row) && key < first + n; key++)
		if (ours)
			map.ops->update(&map, &key, &(u64){0}, BPF_NOEXIST);
		else
			kernel_map_put(&kernel, key);
}

static void work(const struct row *row, u32 which, u32 n, bool ours)
{
	stay_on(which); /* and insert our keys there, as they would be */
	insert_keys(row, which, ours);
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < n)
		sched_yield();
	shared->half[which].from = now_ns();
	shared->half[which].ns = ours ? turns_of_ours(which)
				      : kernel_run(theirs.prog[which], TURNS, &theirs.why) * TURNS;
	shared->half[which].to = now_ns();
}

static struct other {
	const struct row *row;
	bool ours;
} other;

static void *thread(void *arg)
{
	work(other.row, 1, 2, other.ours);
	return NULL;
}

static bool together(const struct row *row, bool ours)
{
	pthread_t t;
	pid_t pid;

	other = (struct other){row, ours};
	if (!row->processes) {
		if (pthread_create(&t, NULL, thread, NULL))
			return false;
		work(row, 0, 2, ours);
		return !pthread_join(t, NULL);
	}
	pid = fork();
	if (!pid) {
		ebpf_map_self = 2;
		work(row, 1, 2, ours);
		_exit(0);
	}
	if (pid < 0)
		return false;
	work(row, 0, 2, ours);
	return waitpid(pid, NULL, 0) == pid;
}

/* Were both at it, but for a quarter of the time? */
static bool overlapped(void)
{
	u64 overlap = MIN(shared->half[0].to, shared->half[1].to) -
		      MAX(shared->half[0].from, shared->half[1].from);
	u64 longest = MAX(shared->half[0].to - shared->half[0].from,
			  shared->half[1].to - shared->half[1].from);

	return (s64)overlap >= (s64)(longest / 4 * 3);
}

/* ns per operation of the two, or of one alone; 0: they did not run at once */
static double run_round(const struct row *row, u32 n, bool ours)
{
	bool counts = true;

	shared->ready = 0;
	stay_on(1); /* where the other begins; we go to 0 */
	if (n == 1)
		work(row, 0, 1, ours);
	else
		counts = together(row, ours) && overlapped();
	if (IS_RING(row))
		ring_read(ours ? map.base : kernel.ring);
	if (!counts)
		return 0;
	return (shared->half[0].ns + (n == 2 ? shared->half[1].ns : shared->half[0].ns)) / 2 /
	       TURNS / TIMES;
}

static void open_ours(const struct row *row)
{
	struct ebpf_map_meta meta = {.type = row->type,
				     .key_size = 4,
				     .value_size = 8,
				     .max_entries = KEYS,
				     .nr_cpus = (u32)sysconf(_SC_NPROCESSORS_CONF)};
	struct bpf_insn insns[MAX_INSNS];

	memset(engine, 0, sizeof(engine));
	if (IS_RING(row))
		bind_ring(&map, RING);
	else
		bind(&map, meta, NULL);
	for (u32 i = 0; i < 2; i++)
		load_program(&engine[i], &map, insns, program(row, i, insns, 3));
}

static void open_theirs(const struct row *row)
{
	struct bpf_insn insns[MAX_INSNS];

	theirs.prog[0] = theirs.prog[1] = -1;
	kernel_map_open(&kernel, row->type, IS_RING(row) ? 0 : 4, IS_RING(row) ? RING : KEYS);
	theirs.why = kernel.why;
	for (u32 i = 0; i < 2 && !theirs.why; i++)
		theirs.prog[i] = kernel_load(insns, program(row, i, insns, kernel.fd), &theirs.why);
}

static void close_both(void)
{
	for (u32 i = 0; i < 2; i++) {
		engine_close(&engine[i]);
		if (theirs.prog[i] >= 0)
			close(theirs.prog[i]);
	}
	munmap(map.base, map.size);
	kernel_map_close(&kernel);
}

struct samples {
	double ns[2][ROUNDS]; /* of one alone, of both */
	u32 got[2];
};

static void sample(const struct row *row, struct samples *s, bool ours)
{
	for (u32 n = 1; n <= 2; n++) {
		double one = run_round(row, n, ours);

		if (one > 0 && s->got[n - 1] < ROUNDS)
			s->ns[n - 1][s->got[n - 1]++] = one;
	}
}

static void sort(struct samples *s)
{
	for (u32 n = 0; n < 2; n++)
		qsort(s->ns[n], s->got[n], sizeof(double), by_value);
}

static void print_ours(const struct samples *s)
{
	double alone = s->ns[0][s->got[0] / 2], both = s->ns[1][s->got[1] / 2];

	printf(" %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f", s->ns[0][0], alone, s->ns[1][0], both,
	       s->ns[1][s->got[1] - 1], s->ns[1][0] / s->ns[0][0], both / alone);
}

static void print_theirs(const struct samples *s, const struct samples *ours)
{
	double alone = s->ns[0][s->got[0] / 2], both = s->ns[1][s->got[1] / 2];

	printf(" %9.2f %9.2f %9.2f %9.2f\n", alone, both, both / alone,
	       ours->ns[1][ours->got[1] / 2] / both);
}

static bool enough(const struct samples *s)
{
	return s->got[0] >= 5 && s->got[1] >= 5;
}

static void measure(const struct row *row)
{
	struct samples ours = {0}, kernels = {0};

	open_ours(row);
	open_theirs(row);
	for (u32 i = 0; i < TRIES && ours.got[1] < ROUNDS; i++) {
		sample(row, &ours, true);
		if (!theirs.why)
			sample(row, &kernels, false);
	}
	sort(&ours);
	sort(&kernels);
	printf("%-36s", row->what);
	if (!enough(&ours)) {
		printf("   skipped: the two hardly ever ran at once\n");
	} else {
		print_ours(&ours);
		if (theirs.why)
			printf("   the kernel's: skipped: %s\n", theirs.why);
		else if (enough(&kernels))
			print_theirs(&kernels, &ours);
		else
			printf("   the kernel's: skipped: hardly ever at once\n");
	}
	close_both();
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
	printf("%-36s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n",
	       "two at once, ns per operation of each", "alone", "median", "both", "median", "max",
	       "x-alone", "by med.", "kernel's", "both", "x-alone", "x-kernel");
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (argc < 2 || strstr(rows[i].what, argv[1]))
			measure(&rows[i]);
	return 0;
}
