/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ns per map operation of a compiled program, ours and the kernel's: the same instructions, loaded
 * into either, in a loop over 1024 keys; what the loop itself costs, the first row says. The
 * kernel's run through BPF_PROG_TEST_RUN, which tells how long the program ran without being
 * preempted; ours are measured by their thread's clock, which is asked as often as the kernel asks
 * its own: once before a round of runs and once behind it. A look at that clock takes as long as
 * several hundred of the shortest operations.
 * Rounds alternate; printed are minimum, median and maximum of each, and
 * ratios of the minima and of the medians. A kernel that won't load them is a named skip.
 *
 * Last, what it takes to emit a program of 4,000 instructions, of all kinds, with lookups.
 *
 *	mapprog [PART-OF-A-NAME]
 */
#include "tests/bench/oracle.h"

#define KEYS 1024
#define ROUNDS 51
#define RUNS 16 /* of a program in a round */
#define RING (1 << 17)
#define MAX_INSNS 64

#define MAP(reg) LDDW_KIND(reg, BPF_PSEUDO_MAP_FD, 0)
#define KEY_AT_R2 MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -16)
#define VALUE_AT_R3 MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -24), MOV_IMM(4, BPF_ANY)
#define LOOKUP KEY_AT_R2, MAP(1), CALL(BPF_FUNC_map_lookup_elem)
#define UPDATE MAP(1), KEY_AT_R2, VALUE_AT_R3, CALL(BPF_FUNC_map_update_elem)
#define DELETE MAP(1), KEY_AT_R2, CALL(BPF_FUNC_map_delete_elem)

/* the bodies of the loops: the key is in r6, at r10 - 16, and zero up to r10 */
static const struct bpf_insn nothing[] = {MOV_IMM(0, 0)};
static const struct bpf_insn lookup[] = {LOOKUP};
static const struct bpf_insn add[] = {LOOKUP, JMP_IMM(BPF_JEQ, 0, 0, 2), MOV_IMM(1, 1),
				      INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD)};
static const struct bpf_insn store[] = {LOOKUP, JMP_IMM(BPF_JEQ, 0, 0, 1), STX(BPF_DW, 0, 6, 0)};
static const struct bpf_insn store_constant[] = {ST(BPF_W, 10, -32, 5),
						 MOV_REG(2, 10),
						 ALU64_IMM(BPF_ADD, 2, -32),
						 MAP(1),
						 CALL(BPF_FUNC_map_lookup_elem),
						 JMP_IMM(BPF_JEQ, 0, 0, 1),
						 STX(BPF_DW, 0, 6, 0)};
static const struct bpf_insn update[] = {UPDATE};
static const struct bpf_insn replace[] = {DELETE, UPDATE};
static const struct bpf_insn output[] = {
	MAP(1),		MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -88),
	MOV_IMM(3, 64), MOV_IMM(4, 0),	CALL(BPF_FUNC_ringbuf_output)};
static const struct bpf_insn output_quiet[] = {MAP(1),
					       MOV_REG(2, 10),
					       ALU64_IMM(BPF_ADD, 2, -88),
					       MOV_IMM(3, 64),
					       MOV_IMM(4, BPF_RB_NO_WAKEUP),
					       CALL(BPF_FUNC_ringbuf_output)};
static const struct bpf_insn reserve[] = {MAP(1),
					  MOV_IMM(2, 64),
					  MOV_IMM(3, 0),
					  CALL(BPF_FUNC_ringbuf_reserve),
					  JMP_IMM(BPF_JEQ, 0, 0, 4),
					  STX(BPF_DW, 0, 6, 0),
					  MOV_REG(1, 0),
					  MOV_IMM(2, BPF_RB_NO_WAKEUP),
					  CALL(BPF_FUNC_ringbuf_submit)};
static const struct bpf_insn ktime[] = {CALL(BPF_FUNC_ktime_get_ns)};
static const struct bpf_insn pid_tgid[] = {CALL(BPF_FUNC_get_current_pid_tgid)};
static const struct bpf_insn cpu[] = {CALL(BPF_FUNC_get_smp_processor_id)};
static const struct bpf_insn divide[] = {MOV_REG(0, 6), ALU64_IMM(BPF_ADD, 0, 77), MOV_REG(1, 0),
					 ALU64_REG(BPF_DIV, 0, 6), ALU64_REG(BPF_MOD, 1, 6)};

#define BODY(x) (x), ARRAY_SIZE(x)

static const struct row {
	const char *what;
	u32 type, key_size;
	const struct bpf_insn *body;
	size_t n;
} rows[] = {
	{"the loop alone", 0, 0, BODY(nothing)},
	{"array lookup", BPF_MAP_TYPE_ARRAY, 4, BODY(lookup)},
	{"array lookup + atomic add", BPF_MAP_TYPE_ARRAY, 4, BODY(add)},
	{"array lookup, constant key + store", BPF_MAP_TYPE_ARRAY, 4, BODY(store_constant)},
	{"array update", BPF_MAP_TYPE_ARRAY, 4, BODY(update)},
	{"percpu_array lookup", BPF_MAP_TYPE_PERCPU_ARRAY, 4, BODY(lookup)},
	{"percpu_array lookup + store", BPF_MAP_TYPE_PERCPU_ARRAY, 4, BODY(store)},
	{"percpu_array update", BPF_MAP_TYPE_PERCPU_ARRAY, 4, BODY(update)},
	{"hash lookup, 4-byte key", BPF_MAP_TYPE_HASH, 4, BODY(lookup)},
	{"hash lookup, 8-byte key", BPF_MAP_TYPE_HASH, 8, BODY(lookup)},
	{"hash lookup, 12-byte key", BPF_MAP_TYPE_HASH, 12, BODY(lookup)},
	{"hash lookup, 16-byte key", BPF_MAP_TYPE_HASH, 16, BODY(lookup)},
	{"hash lookup + atomic add", BPF_MAP_TYPE_HASH, 4, BODY(add)},
	{"hash update, 4-byte key", BPF_MAP_TYPE_HASH, 4, BODY(update)},
	{"hash update, 8-byte key", BPF_MAP_TYPE_HASH, 8, BODY(update)},
	{"hash update, 16-byte key", BPF_MAP_TYPE_HASH, 16, BODY(update)},
	{"hash delete + insert, 4-byte key", BPF_MAP_TYPE_HASH, 4, BODY(replace)},
	{"hash delete + insert, 16-byte key", BPF_MAP_TYPE_HASH, 16, BODY(replace)},
	{"percpu_hash lookup", BPF_MAP_TYPE_PERCPU_HASH, 4, BODY(lookup)},
	{"percpu_hash lookup + store", BPF_MAP_TYPE_PERCPU_HASH, 4, BODY(store)},
	{"percpu_hash update", BPF_MAP_TYPE_PERCPU_HASH, 4, BODY(update)},
	{"lru_hash lookup", BPF_MAP_TYPE_LRU_HASH, 4, BODY(lookup)},
	{"lru_hash update", BPF_MAP_TYPE_LRU_HASH, 4, BODY(update)},
	{"ringbuf output, 64 bytes", BPF_MAP_TYPE_RINGBUF, 0, BODY(output)},
	{"ringbuf output, 64 bytes, no wakeup", BPF_MAP_TYPE_RINGBUF, 0, BODY(output_quiet)},
	{"ringbuf reserve + submit, no wakeup", BPF_MAP_TYPE_RINGBUF, 0, BODY(reserve)},
	{"ktime_get_ns", 0, 0, BODY(ktime)},
	{"get_current_pid_tgid", 0, 0, BODY(pid_tgid)},
	{"get_smp_processor_id", 0, 0, BODY(cpu)},
	{"64-bit division and remainder", 0, 0, BODY(divide)},
};

/* The loop around a row's body; map references name descriptor @fd. */
static u32 program(const struct row *row, struct bpf_insn *out, int fd)
{
	const struct bpf_insn end[] = {JMP_IMM(BPF_JNE, 6, 0, -(s16)row->n - 3), MOV_IMM(0, 0),
				       EXIT()};
	u32 n = 0;

	for (s32 off = -88; off < 0; off += 8)
		out[n++] = ST(BPF_DW, 10, (s16)off, 0);
	out[n++] = MOV_IMM(6, KEYS);
	out[n++] = ALU64_IMM(BPF_SUB, 6, 1);
	out[n++] = STX(BPF_DW, 10, 6, -16);
	memcpy(out + n, row->body, row->n * sizeof(*out));
	for (u32 i = 0; i < row->n; i++)
		if (out[n + i].code == (BPF_LD | BPF_IMM | BPF_DW))
			out[n + i].imm = fd;
	n += (u32)row->n;
	memcpy(out + n, end, sizeof(end));
	return n + (u32)ARRAY_SIZE(end);
}

/* --- the kernel's -----------------------------------------------------------------------------
 */

struct kernel {
	struct kernel_map map;
	int prog;
	const char *why;
};

static void kernel_open(struct kernel *k, const struct row *row)
{
	struct bpf_insn insns[MAX_INSNS];
	bool ring = row->type == BPF_MAP_TYPE_RINGBUF;

	*k = (struct kernel){.map.fd = -1, .prog = -1};
	if (row->type)
		kernel_map_open(&k->map, row->type, row->key_size, ring ? RING : KEYS);
	for (u64 at = 0; row->key_size && at < KEYS && !k->map.why; at++)
		kernel_map_put(&k->map, at);
	k->why = k->map.why;
	if (!k->why)
		k->prog = kernel_load(insns, program(row, insns, k->map.fd), &k->why);
}

static void kernel_close(struct kernel *k)
{
	kernel_map_close(&k->map);
	if (k->prog >= 0)
		close(k->prog);
}

/* ns of a run */
static double kernel_runs(struct kernel *k)
{
	double ns = 0;

	if (!k->map.ring)
		return kernel_run(k->prog, RUNS, &k->why);
	for (u32 i = 0; i < RUNS && !k->why; i++) {
		ns += kernel_run(k->prog, 1, &k->why);
		ring_read(k->map.ring);
	}
	return ns / RUNS;
}

/* --- ours -------------------------------------------------------------------------------------
 */

struct ours {
	struct ebpf_map map;
	struct engine engine;
};

static void ours_open(struct ours *o, const struct row *row)
{
	struct ebpf_map_meta meta = {.type = row->type,
				     .key_size = row->key_size,
				     .value_size = 8,
				     .max_entries = KEYS,
				     .nr_cpus = (u32)sysconf(_SC_NPROCESSORS_CONF)};
	struct bpf_insn insns[MAX_INSNS];
	u32 n = program(row, insns, 3);

	memset(o, 0, sizeof(*o));
	if (row->type == BPF_MAP_TYPE_RINGBUF)
		bind_ring(&o->map, RING);
	else if (row->type)
		bind(&o->map, meta, NULL);
	for (u64 key[2] = {0}; row->key_size && key[0] < KEYS; key[0]++)
		o->map.ops->update(&o->map, key, &(u64){0}, BPF_ANY);
	load_program(&o->engine, &o->map, insns, n);
}

static u64 thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

static double ours_run(struct ours *o)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	u64 start = thread_ns();

	for (u32 i = 0; i < RUNS; i++) {
		ebpf_prog_run(&o->engine.prog, NULL, &run);
		if (o->map.meta.type == BPF_MAP_TYPE_RINGBUF)
			ring_read(o->map.base);
	}
	return (double)(thread_ns() - start) / RUNS;
}

static void measure(const struct row *row)
{
	double ns[2][ROUNDS];
	struct kernel kernel;
	struct ours ours;
	const u32 mid = ROUNDS / 2, last = ROUNDS - 1;

	ours_open(&ours, row);
	kernel_open(&kernel, row);
	for (u32 i = 0; i < ROUNDS; i++) {
		ns[0][i] = ours_run(&ours) / KEYS;
		ns[1][i] = kernel.why ? 0 : kernel_runs(&kernel) / KEYS;
	}
	for (u32 i = 0; i < 2; i++)
		qsort(ns[i], ROUNDS, sizeof(double), by_value);
	printf("%-36s %9.2f %9.2f %9.2f", row->what, ns[0][0], ns[0][mid], ns[0][last]);
	if (kernel.why)
		printf("   the kernel's: skipped: %s\n", kernel.why);
	else
		printf(" %9.2f %9.2f %9.2f %9.2f %9.2f\n", ns[1][0], ns[1][mid], ns[1][last],
		       ns[0][0] / ns[1][0], ns[0][mid] / ns[1][mid]);
	kernel_close(&kernel);
	engine_close(&ours.engine);
	munmap(ours.map.base, ours.map.size);
}

/* --- emission ---------------------------------------------------------------------------------
 */

#define EMITTED 4000

static const struct bpf_insn mix[] = {
	MOV_REG(2, 10),
	ALU64_IMM(BPF_ADD, 2, -16),
	MAP(1),
	CALL(BPF_FUNC_map_lookup_elem),
	JMP_IMM(BPF_JEQ, 0, 0, 3),
	LDX(BPF_DW, 1, 0, 0),
	ALU64_IMM(BPF_DIV, 1, 1000),
	STX(BPF_DW, 0, 1, 0),
	MOV_REG(1, 6),
	ALU64_REG(BPF_ADD, 1, 7),
	ALU64_IMM(BPF_LSH, 1, 3),
	JMP_IMM(BPF_JGT, 1, 100, 2),
	ALU32_REG(BPF_XOR, 7, 1),
	ALU64_IMM(BPF_AND, 7, 0xffff),
	MOV_IMM(1, 1),
	CALL(BPF_FUNC_ktime_get_ns),
	ALU64_REG(BPF_SUB, 6, 0),
	STX(BPF_DW, 10, 6, -16),
	LDDW(3, 0x123456789abcdefULL),
};

static u32 mixture(struct bpf_insn *out)
{
	u32 n = 0;

	out[n++] = ST(BPF_DW, 10, -16, 0);
	out[n++] = MOV_IMM(6, 1);
	out[n++] = MOV_IMM(7, 2);
	while (n + ARRAY_SIZE(mix) + 2 <= EMITTED) {
		memcpy(out + n, mix, sizeof(mix));
		n += (u32)ARRAY_SIZE(mix);
	}
	while (n + 2 < EMITTED)
		out[n++] = ALU64_IMM(BPF_ADD, 6, 1);
	out[n++] = MOV_IMM(0, 0);
	out[n++] = EXIT();
	return n;
}

static void measure_emission(void)
{
	static struct bpf_insn insns[EMITTED];
	static u8 code[EMITTED * 256];
	struct ebpf_map_meta meta = {
		.type = BPF_MAP_TYPE_HASH, .key_size = 16, .value_size = 8, .max_entries = KEYS};
	double us[ROUNDS];
	struct ebpf_map map;
	struct engine e = {0};
	struct arch_code made;
	u64 start;

	bind(&map, meta, NULL);
	load_program(&e, &map, insns, mixture(insns));
	for (u32 i = 0; i < ROUNDS; i++) {
		start = now_ns();
		if (arch_jit((const void *)e.load.image, code, sizeof(code), &made))
			return;
		us[i] = (double)(now_ns() - start) / 1000;
	}
	qsort(us, ROUNDS, sizeof(double), by_value);
	printf("\n%-36s %9s %9s %9s\n%-36s %9.1f %9.1f %9.1f   %u bytes\n", "emitting, us", "min",
	       "median", "max", "4000 instructions", us[0], us[ROUNDS / 2], us[ROUNDS - 1],
	       made.size);
	engine_close(&e);
}

int main(int argc, char **argv)
{
	osl_trap_init_self();
	ebpf_map_self = 1;
	ebpf_helper_table_init();
	printf("%-36s %9s %9s %9s %9s %9s %9s %9s %9s\n", "from a program, ns per operation", "min",
	       "median", "max", "kernel's", "median", "max", "x-kernel", "by med.");
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (argc < 2 || strstr(rows[i].what, argv[1]))
			measure(&rows[i]);
	measure_emission();
	return 0;
}
