/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups that JIT code does without the helper: the same answers as the interpreter's, for maps of
 * every kind, and nothing without the helper's care that needs it.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "arch/arch.h"
#include "core/run/map/map.h"
#include "osl/linux/cpu.h"
#include "tests/support/engine.h"

#define LOOKUP 1
#define KEYS 8u
#define MAP_AT(reg) LDDW_KIND(reg, BPF_PSEUDO_MAP_FD, 3)

static struct ebpf_map map;
static struct engine e;
static u8 *edge; /* first byte that can't be touched */

static const struct ebpf_map_meta *by_fd(void *cookie, s32 fd, bool is_index)
{
	return &map.meta;
}

static void bind(u32 type, u32 key_size)
{
	struct ebpf_map_meta meta = {.id = 1,
				     .type = type,
				     .key_size = key_size,
				     .value_size = 8,
				     .max_entries = KEYS,
				     .nr_cpus = 1};
	u64 size = ebpf_map_shm_size(&meta), key[2] = {0};
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_eq(ebpf_map_bind(&map, &meta, p, size), 0);
	for (key[0] = 0; key[0] < KEYS; key[0]++)
		cr_assert_eq(map.ops->update(&map, key, &(u64){100 + key[0]}, BPF_ANY), 0);
}

/* Two lookups are to be of the same CPU's value. */
static void stay_here(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	cr_assert_eq(sched_setaffinity(0, sizeof(here), &here), 0);
}

static bool fix(struct arch_regs *regs)
{
	return ebpf_prog_fixup(&e.prog, regs);
}

static void init(void)
{
	u8 *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + 4096, 4096, PROT_NONE);
	edge = p + 4096;
	ebpf_map_self = 1;
	osl_trap_init_self();
	ebpf_helper_table_init();
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_fault_hook(fix);
	stay_here();
}

TestSuite(jit_map, .init = init);

static u64 run(const struct bpf_insn *insns, u32 n, bool jit, u64 ctx)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	u64 ret;

	e.load.map_by_fd = by_fd;
	cr_assert_eq(engine_load(&e, insns, n, jit), 0, "%s", e.text);
	for (u32 i = 0; i < e.prog.image->nrefs; i++)
		e.refs[i] = (u64)(uintptr_t)&map;
	ret = ebpf_prog_run(&e.prog, (void *)(uintptr_t)ctx, &run);
	cr_assert(!run.aborted);
	engine_close(&e);
	return ret;
}

#define BOTH_ENGINES(jit) for (int jit = 0; jit <= (arch_jit_machine != 0); jit++)
#define RUN(p, jit, ctx) run(p, ARRAY_SIZE(p), jit, ctx)

/* the value of the key that is the context, or -1 */
static const struct bpf_insn plain[] = {
	ST(BPF_DW, 10, -16, 0),
	ST(BPF_DW, 10, -8, 0),
	STX(BPF_DW, 10, 1, -16),
	MOV_REG(2, 10),
	ALU64_IMM(BPF_ADD, 2, -16),
	MAP_AT(1),
	CALL(LOOKUP),
	JMP_IMM(BPF_JNE, 0, 0, 2),
	MOV_IMM(0, -1),
	EXIT(),
	LDX(BPF_DW, 0, 0, 0),
	EXIT(),
};

static void each_key(u32 type, u32 key_size)
{
	bind(type, key_size);
	BOTH_ENGINES(jit)
	{
		for (u64 key = 0; key < KEYS; key++)
			cr_assert_eq(RUN(plain, jit, key), 100 + key, "type %u, key %u of %u bytes",
				     type, (u32)key, key_size);
		cr_assert_eq(RUN(plain, jit, KEYS), -1ull);
		cr_assert_eq(RUN(plain, jit, 0xffffffff), -1ull);
		cr_assert_eq(RUN(plain, jit, 0x80000001), -1ull);
	}
}

Test(jit_map, array)
{
	each_key(BPF_MAP_TYPE_ARRAY, 4);
	each_key(BPF_MAP_TYPE_PERCPU_ARRAY, 4);
}

Test(jit_map, hash)
{
	for (u32 key_size = 4; key_size <= 16; key_size += 4) {
		each_key(BPF_MAP_TYPE_HASH, key_size);
		each_key(BPF_MAP_TYPE_PERCPU_HASH, key_size);
		each_key(BPF_MAP_TYPE_LRU_HASH, key_size);
	}
}

/*
 * Keys that can be told from the instructions, and such as only look as if; and what asks
 * afterwards if there was something.
 */
#define NOTHING MOV_REG(7, 7)
#define K 3 /* stands for the key */
static const struct {
	struct bpf_insn set[4]; /* makes the key at r10 - 16, which was 0; r1 is the context */
	u32 and, or, add;	/* which is then (K & and | or) + add */
} ways[] = {
	{{ST(BPF_W, 10, -16, K), NOTHING, NOTHING, NOTHING}, ~0u, 0, 0},
	{{ST(BPF_DW, 10, -16, K), NOTHING, NOTHING, NOTHING}, ~0u, 0, 0},
	{{MOV_IMM(3, K), STX(BPF_W, 10, 3, -16), NOTHING, NOTHING}, ~0u, 0, 0},
	{{ALU32_IMM(BPF_MOV, 3, K), NOTHING, STX(BPF_DW, 10, 3, -16), NOTHING}, ~0u, 0, 0},
	{{ST(BPF_W, 10, -16, K), ST(BPF_DW, 10, -24, 9), ST(BPF_W, 10, -12, 9), NOTHING},
	 ~0u,
	 0,
	 0},
	{{ST(BPF_W, 10, -16, K), NOTHING, NOTHING, ST(BPF_B, 10, -15, 1)}, 0xff, 0x100, 0},
	{{ST(BPF_W, 10, -16, K), NOTHING, ST(BPF_H, 10, -14, 0), NOTHING}, 0xffff, 0, 0},
	{{ST(BPF_W, 10, -16, K), NOTHING, ST(BPF_DW, 10, -20, 0), NOTHING}, 0, 0, 0},
	{{ST(BPF_DW, 10, -20, 5), NOTHING, NOTHING, NOTHING}, 0, 0, 0},
	{{ST(BPF_W, 10, -16, K), MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -20), ST(BPF_W, 3, 4, 5)},
	 0,
	 5,
	 0},
	{{MOV_IMM(3, K), ALU64_IMM(BPF_ADD, 3, 1), STX(BPF_W, 10, 3, -16), NOTHING}, ~0u, 0, 1},
	{{ST(BPF_W, 10, -16, K), MOV_IMM(3, 1),
	  INSN(BPF_STX | BPF_ATOMIC | BPF_W, 10, 3, -16, BPF_ADD), NOTHING},
	 ~0u,
	 0,
	 1},
	{{ST(BPF_W, 10, -16, K), JMP_IMM(BPF_JEQ, 1, 0, 1), ST(BPF_W, 10, -16, 5), NOTHING},
	 0,
	 5,
	 0},
	{{ST(BPF_W, 10, -16, 5), JMP_IMM(BPF_JNE, 1, 0, 1), NOTHING, ST(BPF_W, 10, -16, K)},
	 ~0u,
	 0,
	 0},
};

/* the value, or -1; a context of 99 comes to the question by another way */
static const struct bpf_insn questions[][5] = {
	{JMP_IMM(BPF_JEQ, 0, 0, 2), LDX(BPF_DW, 0, 0, 0), EXIT(), MOV_IMM(0, -1), EXIT()},
	{JMP_IMM(BPF_JNE, 0, 0, 2), MOV_IMM(0, -1), EXIT(), LDX(BPF_DW, 0, 0, 0), EXIT()},
	{JMP_IMM(BPF_JGT, 0, 0, 2), MOV_IMM(0, -1), EXIT(), LDX(BPF_DW, 0, 0, 0), EXIT()},
	{JMP_IMM(BPF_JEQ, 0, 0, 0), JMP_IMM(BPF_JEQ, 0, 0, 2), LDX(BPF_DW, 0, 0, 0), EXIT(),
	 EXIT()},
};

static u64 ask(u32 at, u32 question, s32 key, bool jit, u64 ctx, bool another_way)
{
	const struct bpf_insn begin[] = {
		ST(BPF_DW, 10, -16, 0), ST(BPF_DW, 10, -8, 0), MOV_IMM(0, 0),
		JMP_IMM(BPF_JEQ, 1, 99, 4 + 2 + 2 + 1), /* to the question */
	};
	const struct bpf_insn lookup[] = {MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -16), MAP_AT(1),
					  CALL(LOOKUP)};
	struct bpf_insn p[32];
	u32 n = 0;

	memcpy(p, begin, sizeof(begin));
	n += (u32)ARRAY_SIZE(begin);
	if (!another_way)
		p[n - 1] = NOTHING;
	for (u32 i = 0; i < 4; i++) {
		p[n] = ways[at].set[i];
		if (p[n].imm == K)
			p[n].imm = key;
		n++;
	}
	memcpy(p + n, lookup, sizeof(lookup));
	n += (u32)ARRAY_SIZE(lookup);
	memcpy(p + n, questions[question], sizeof(questions[0]));
	n += (u32)ARRAY_SIZE(questions[0]);
	return run(p, n, jit, ctx);
}

static void ask_all(u32 type, u32 at, s32 key, bool another_way)
{
	u32 real = (((u32)key & ways[at].and) | ways[at].or) + ways[at].add;
	u64 none[] = {-1ull, -1ull, -1ull, 0};

	BOTH_ENGINES(jit)
	for (u32 q = 0; q < ARRAY_SIZE(questions); q++) {
		u64 want = real < KEYS ? 100 + real : none[q];

		cr_assert_eq(ask(at, q, key, jit, 1, another_way), want,
			     "type %u, way %u, question %u, key %d, jit %d", type, at, q, key, jit);
		if (another_way)
			cr_assert_eq(ask(at, q, key, jit, 99, true), none[q]);
	}
}

Test(jit_map, keys_that_can_be_told)
{
	static const u32 types[] = {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY,
				    BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH};
	static const s32 some[] = {0, 1, 6, KEYS - 1, KEYS, 1 << 20, INT32_MIN, -1};

	for (u32 t = 0; t < ARRAY_SIZE(types); t++) {
		bind(types[t], 4);
		for (u32 at = 0; at < ARRAY_SIZE(ways); at++)
			for (u32 i = 0; i < ARRAY_SIZE(some); i++) {
				ask_all(types[t], at, some[i], false);
				ask_all(types[t], at, some[i], true);
			}
	}
}

/* The map's own code, which may leave anything in a register that is nobody's. */
static const struct ebpf_map_ops *real;

static void *littering_lookup(struct ebpf_map *m, const void *key)
{
	void *value = real->lookup(m, key);

#ifdef __x86_64__
	__asm__ volatile(
		"xor %%ecx, %%ecx; xor %%edx, %%edx; xor %%esi, %%esi; xor %%edi, %%edi;"
		"xor %%r8d, %%r8d; xor %%r9d, %%r9d; xor %%r10d, %%r10d; xor %%r11d, %%r11d" ::
			: "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
#endif
	return value;
}

static void litter(void)
{
	static struct ebpf_map_ops ops;

	real = map.ops;
	ops = *real;
	ops.lookup = littering_lookup;
	map.ops = &ops;
}

/* Lookups in a loop, whose map stays in a register: half of the keys are there. */
static u64 loop(const struct bpf_insn *extra, u32 n, bool jit)
{
	const struct bpf_insn begin[] = {
		ST(BPF_DW, 10, -16, 0),	    ST(BPF_DW, 10, -8, 0),
		MOV_IMM(6, 2 * KEYS),	    MOV_IMM(7, 0),
		ALU64_IMM(BPF_SUB, 6, 1), /* the loop begins */
		STX(BPF_W, 10, 6, -16),	    MOV_REG(2, 10),
		ALU64_IMM(BPF_ADD, 2, -16), MAP_AT(1),
	};
	const struct bpf_insn end[] = {
		CALL(LOOKUP),
		JMP_IMM(BPF_JEQ, 0, 0, 2),
		LDX(BPF_DW, 3, 0, 0),
		ALU64_REG(BPF_ADD, 7, 3),
		ALU64_IMM(BPF_MUL, 7, 3),
		JMP_IMM(BPF_JNE, 6, 0, -12 - (s16)n),
		MOV_REG(0, 7),
		EXIT(),
	};
	struct bpf_insn p[32];

	memcpy(p, begin, sizeof(begin));
	memcpy(p + ARRAY_SIZE(begin), extra, n * sizeof(*p));
	memcpy(p + ARRAY_SIZE(begin) + n, end, sizeof(end));
	return run(p, (u32)ARRAY_SIZE(begin) + n + (u32)ARRAY_SIZE(end), jit, 1);
}

Test(jit_map, in_a_loop)
{
	const struct bpf_insn extras[][7] = {
		{NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING},
		/* the map is asked for elsewhere, */
		{MOV_REG(8, 1), NOTHING, NOTHING, MOV_IMM(1, 0), MOV_REG(1, 8), NOTHING, NOTHING},
		{MOV_REG(8, 1), ALU64_REG(BPF_XOR, 7, 8), NOTHING, NOTHING, NOTHING, NOTHING,
		 NOTHING},
		{NOTHING, JMP_IMM(BPF_JEQ, 1, 0, 3), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING},
		/* its register is somebody's, */
		{NOTHING, ALU64_IMM(BPF_DIV, 7, 1000003), NOTHING, NOTHING, NOTHING, NOTHING,
		 NOTHING},
		{ALU64_REG(BPF_DIV, 7, 6), NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING},
		{CALL(5), MAP_AT(1), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -16), NOTHING, NOTHING},
		/* and there are others */
		{CALL(LOOKUP), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -16), MAP_AT(1), NOTHING,
		 NOTHING},
	};
	static const u32 types[] = {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY,
				    BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH,
				    BPF_MAP_TYPE_LRU_HASH};

	for (u32 t = 0; t < ARRAY_SIZE(types); t++)
		for (u32 size = 4; size <= (t < 2 ? 4 : 16); size += 4) {
			bind(types[t], size);
			litter();
			for (u32 i = 0; i < ARRAY_SIZE(extras); i++) {
				u64 want = loop(extras[i], ARRAY_SIZE(extras[i]), false);

				if (arch_jit_machine)
					cr_assert_eq(loop(extras[i], ARRAY_SIZE(extras[i]), true),
						     want, "type %u, keys of %u, extra %u",
						     types[t], size, i);
			}
		}
}

/* A key anywhere else may be nowhere: NULL, not a fault. */
Test(jit_map, key_that_is_not_on_the_stack)
{
	static const struct bpf_insn of_ctx[] = {
		MOV_REG(2, 1),
		MAP_AT(1),
		CALL(LOOKUP),
		EXIT(),
	};
	static const struct bpf_insn wandered[] = {
		MOV_REG(2, 10),
		ALU64_REG(BPF_SUB, 2, 10),
		ALU64_REG(BPF_ADD, 2, 1),
		ALU64_IMM(BPF_ADD, 2, -1),
		MAP_AT(1),
		CALL(LOOKUP),
		EXIT(),
	};
	static const struct bpf_insn outside[] = {
		MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -0x40000000), MAP_AT(1), CALL(LOOKUP), EXIT(),
	};

	bind(BPF_MAP_TYPE_ARRAY, 4);
	BOTH_ENGINES(jit)
	{
		cr_assert_eq(RUN(of_ctx, jit, (u64)edge), 0);
		cr_assert_eq(RUN(of_ctx, jit, 0), 0);
		cr_assert_eq(RUN(wandered, jit, (u64)edge), 0);
		cr_assert_eq(RUN(outside, jit, 0), 0);
	}
}

/* The arguments come from two ways; and what isn't a map of the program is none. */
Test(jit_map, arguments_from_elsewhere)
{
	static const struct bpf_insn joined[] = {
		MOV_REG(6, 1),
		ST(BPF_W, 10, -4, 3),
		MOV_REG(2, 6),
		MAP_AT(1),
		JMP_IMM(BPF_JNE, 6, 0, 2),
		MOV_REG(2, 10),
		ALU64_IMM(BPF_ADD, 2, -4),
		CALL(LOOKUP),
		EXIT(),
	};
	static const struct bpf_insn no_map[] = {
		ST(BPF_W, 10, -4, 3),	  MAP_AT(1),	MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -4),
		ALU64_IMM(BPF_ADD, 1, 8), CALL(LOOKUP), EXIT(),
	};
	static const struct bpf_insn swapped[] = {
		ST(BPF_DW, 10, -8, 0),
		MAP_AT(0),
		MOV_IMM(1, 0),
		MOV_REG(2, 10),
		ALU64_IMM(BPF_ADD, 2, -8),
		MAP_AT(3),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 10, 1, -8, BPF_XCHG),
		CALL(LOOKUP),
		EXIT(),
	};

	bind(BPF_MAP_TYPE_ARRAY, 4);
	BOTH_ENGINES(jit)
	{
		cr_assert_eq(RUN(joined, jit, (u64)edge), 0);
		cr_assert_eq(*(u64 *)RUN(joined, jit, 0), 103);
		cr_assert_eq(RUN(no_map, jit, 0), 0);
		cr_assert_eq(RUN(swapped, jit, 0), 0);
	}
}

/* --- in place -----------------------------------------------------------------------------------
 */

#define KEY_WORDS 6 /* of the longest key */
#define COPY_WORD(i) LDX(BPF_DW, 3, 1, 8 * (i)), STX(BPF_DW, 10, 3, -48 + 8 * (i))
#define COPY_KEY COPY_WORD(0), COPY_WORD(1), COPY_WORD(2), COPY_WORD(3), COPY_WORD(4), COPY_WORD(5)
#define KEY_IN(reg) MOV_REG(reg, 10), ALU64_IMM(BPF_ADD, reg, -48)

/* the address that a lookup of the key at the context gives */
static const struct bpf_insn address[] = {
	COPY_KEY, KEY_IN(2), MAP_AT(1), CALL(LOOKUP), EXIT(),
};

static void load(const struct bpf_insn *insns, u32 n, bool jit)
{
	e.load.map_by_fd = by_fd;
	cr_assert_eq(engine_load(&e, insns, n, jit), 0, "%s", e.text);
	for (u32 i = 0; i < e.prog.image->nrefs; i++)
		e.refs[i] = (u64)(uintptr_t)&map;
}

static void load_for_map(bool jit)
{
	load(address, ARRAY_SIZE(address), jit);
}

static u64 lookup(u64 *key)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	u64 ret = ebpf_prog_run(&e.prog, key, &run);

	cr_assert(!run.aborted);
	return ret;
}

static u64 state;

static u32 any(void)
{
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return (u32)(state >> 32);
}

static void seed(void)
{
	const char *given = getenv("EBPFRT_TEST_SEED");

	state = given ? strtoull(given, NULL, 0) : 0x6a09e667f3bcc909ull;
	fprintf(stderr, "# EBPFRT_TEST_SEED=%#llx\n", (unsigned long long)state);
}

static void bind_large(u32 type, u32 key_size, u32 value_size, u32 max)
{
	struct ebpf_map_meta meta = {.id = 1,
				     .type = type,
				     .key_size = key_size,
				     .value_size = value_size,
				     .max_entries = max,
				     .nr_cpus = any() % 3 + 1,
				     .seed = any()};
	u64 size = ebpf_map_shm_size(&meta);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_eq(ebpf_map_bind(&map, &meta, p, size), 0);
}

static void random_key(u64 key[KEY_WORDS], u32 key_size, u32 keys)
{
	memset(key, 0, 8 * KEY_WORDS);
	for (u32 i = 0, k = any() % keys; i < key_size; i++)
		((u8 *)key)[i] = (u8)(k * (i + 1) >> i % 4 * 2);
}

/* Whatever is in the map, a program finds what the map's own code finds. */
static void same_answers(u32 type, u32 key_size, u32 value_size, u32 max, bool jit)
{
	u8 value[64] = {0};
	u64 key[KEY_WORDS];

	bind_large(type, key_size, value_size, max);
	load_for_map(jit);
	for (u32 i = 0; i < 4000; i++) {
		random_key(key, key_size, 2 * max);
		if (any() % 4 == 0)
			map.ops->update(&map, key, value, BPF_ANY);
		else if (any() % 4 == 0)
			map.ops->del(&map, key);
		random_key(key, key_size, 2 * max);
		cr_assert_eq(lookup(key), (u64)(uintptr_t)map.ops->lookup(&map, key),
			     "type %u, keys of %u bytes, after %u", type, key_size, i);
	}
	engine_close(&e);
	munmap(map.base, map.size);
}

Test(jit_map, random_tables)
{
	static const u32 types[] = {BPF_MAP_TYPE_ARRAY,	       BPF_MAP_TYPE_HASH,
				    BPF_MAP_TYPE_LRU_HASH,     BPF_MAP_TYPE_PERCPU_HASH,
				    BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_LRU_PERCPU_HASH};

	seed();
	BOTH_ENGINES(jit)
	for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
		bool array =
			types[i] == BPF_MAP_TYPE_ARRAY || types[i] == BPF_MAP_TYPE_PERCPU_ARRAY;

		for (u32 size = array ? 4 : 1; size <= (array ? 4u : 8u * KEY_WORDS);
		     size += size < 17 ? 1 : 3)
			same_answers(types[i], size, any() % 64 + 1, any() % 100 + 1, jit);
	}
}

/* update and delete as a program asks for them: flags and, behind them, the key at the context */
static const struct bpf_insn update[] = {
	LDX(BPF_DW, 4, 1, 0),
	ALU64_IMM(BPF_ADD, 1, 8),
	COPY_KEY,
	ST(BPF_DW, 10, -56, 7),
	KEY_IN(2),
	MOV_REG(3, 10),
	ALU64_IMM(BPF_ADD, 3, -56),
	MAP_AT(1),
	CALL(BPF_FUNC_map_update_elem),
	EXIT(),
};
static const struct bpf_insn delete[] = {
	ALU64_IMM(BPF_ADD, 1, 8),	COPY_KEY, KEY_IN(2), MAP_AT(1),
	CALL(BPF_FUNC_map_delete_elem), EXIT(),
};
/* the value isn't on the stack, or may not be */
static const struct bpf_insn update_from_context[] = {
	ST(BPF_DW, 10, -48, 0),		KEY_IN(2), MOV_REG(3, 1), MOV_IMM(4, 0), MAP_AT(1),
	CALL(BPF_FUNC_map_update_elem), EXIT(),
};

static s64 change(bool jit, const struct bpf_insn *insns, u32 n, const u64 *args)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	s64 ret;

	load(insns, n, jit);
	ret = (s64)ebpf_prog_run(&e.prog, (void *)(uintptr_t)args, &run);
	cr_assert(!run.aborted);
	engine_close(&e);
	return ret;
}

#define CHANGE(p, args) change(jit, p, ARRAY_SIZE(p), args)

static void changes(u32 type, u32 key_size, bool jit)
{
	u64 args[1 + KEY_WORDS] = {BPF_ANY}, *key = args + 1;

	bind_large(type, key_size, 8, 40);
	random_key(key, key_size, 20);
	cr_assert_eq(CHANGE(delete, args), -ENOENT);
	cr_assert_eq(CHANGE(update, args), 0);
	cr_assert_eq(*(u64 *)map.ops->lookup(&map, key), 7);
	args[0] = BPF_NOEXIST;
	cr_assert_eq(CHANGE(update, args), -EEXIST);
	args[0] = BPF_EXIST;
	cr_assert_eq(CHANGE(update, args), 0);
	args[0] = 1000;
	cr_assert_eq(CHANGE(update, args), -EINVAL);
	cr_assert_eq(CHANGE(delete, args), 0);
	cr_assert_null(map.ops->lookup(&map, key));
	cr_assert_eq(change(jit, update_from_context, ARRAY_SIZE(update_from_context),
			    (u64 *)(uintptr_t)edge),
		     -EFAULT);
	munmap(map.base, map.size);
}

/* Updates and deletions that go straight to the map's code say what the helpers say. */
Test(jit_map, update_and_delete)
{
	static const u32 types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH,
				    BPF_MAP_TYPE_PERCPU_HASH};

	seed();
	BOTH_ENGINES(jit)
	for (u32 i = 0; i < ARRAY_SIZE(types); i++)
		for (u32 size = 1; size <= 8 * KEY_WORDS; size += size < 17 ? 1 : 3)
			changes(types[i], size, jit);
}

/* What they say is a number of 32 bits with a sign: r0 has 64. */
Test(jit_map, array_refuses)
{
	u64 args[1 + KEY_WORDS] = {BPF_ANY, 3};

	bind(BPF_MAP_TYPE_ARRAY, 4);
	BOTH_ENGINES(jit)
	{
		cr_assert_eq(CHANGE(delete, args), -EINVAL);
		cr_assert_eq(CHANGE(update, args), 0);
		args[0] = BPF_NOEXIST;
		cr_assert_eq(CHANGE(update, args), -EEXIST);
		args[0] = BPF_ANY;
		args[1] = KEYS;
		cr_assert_eq(CHANGE(update, args), -E2BIG);
		args[1] = 3;
	}
}

/* A lookup marks the element of an LRU table as used, and what can't be written is not marked. */
Test(jit_map, lru_marks)
{
	for (u32 key_size = 4; key_size <= 8; key_size += 4) {
		u64 key[KEY_WORDS] = {3};

		bind(BPF_MAP_TYPE_LRU_HASH, key_size);
		BOTH_ENGINES(jit)
		{
			u8 *used = (u8 *)(uintptr_t)map.off[2];

			memset(used, 0, KEYS);
			load_for_map(jit);
			map.readonly = 1;
			cr_assert_neq(lookup(key), 0);
			for (u32 i = 0; i < KEYS; i++)
				cr_assert_eq(used[i], 0);
			map.readonly = 0;
			cr_assert_neq(lookup(key), 0);
			cr_assert_eq(used[3], 1);
			cr_assert_neq(lookup(key), 0);
			engine_close(&e);
		}
	}
}

static u32 stop;

static void *scribbler(void *arg)
{
	u64 x = *(u64 *)arg | 1;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		u32 *at;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		at = (u32 *)(map.base + (x >> 20) % (map.size / 4) * 4);
		__atomic_store_n(at, (u32)(x >> 40) % (x & 2 ? 80 : ~0u), __ATOMIC_RELAXED);
	}
	return NULL;
}

static void scribbled(u32 type, u32 key_size)
{
	u64 first, last, at, key[KEY_WORDS], start = any();
	pthread_t thread;

	bind_large(type, key_size, 8, 64);
	first = (u64)(uintptr_t)map.base;
	last = first + map.size - 8;
	load_for_map(arch_jit_machine != 0);
	stop = 0;
	cr_assert_eq(pthread_create(&thread, NULL, scribbler, &start), 0);
	for (u32 i = 0; i < 40000; i++) {
		random_key(key, key_size, 80);
		at = lookup(key);
		cr_assert(!at || (at >= first && at <= last), "a value at %#llx of %#llx",
			  (unsigned long long)(at - first), (unsigned long long)map.size);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	engine_close(&e);
	munmap(map.base, map.size);
}

Test(jit_map, scribbling_leads_nowhere, .timeout = 30)
{
	seed();
	for (u32 key_size = 4; key_size <= 40; key_size += key_size < 12 ? 4 : 14) {
		scribbled(BPF_MAP_TYPE_HASH, key_size);
		scribbled(BPF_MAP_TYPE_LRU_HASH, key_size);
		scribbled(BPF_MAP_TYPE_PERCPU_HASH, key_size);
		scribbled(BPF_MAP_TYPE_LRU_PERCPU_HASH, key_size);
	}
	scribbled(BPF_MAP_TYPE_ARRAY, 4);
	scribbled(BPF_MAP_TYPE_PERCPU_ARRAY, 4);
}

static void same_part(u32 type, u32 key_size, const char *what)
{
	u8 value[64] = {0};
	u64 key[KEY_WORDS] = {5}, want;

	bind_large(type, key_size, 24, 64);
	cr_assert_eq(map.ops->update(&map, key, value, BPF_ANY), 0);
	load_for_map(arch_jit_machine != 0);
	want = (u64)(uintptr_t)map.ops->lookup(&map, key);
	cr_assert_neq(want, 0);
	for (u32 i = 0; i < 3; i++) /* the second finds its element marked */
		cr_assert_eq(lookup(key), want, "type %u, %u CPUs, %s", type, map.meta.nr_cpus,
			     what);
	engine_close(&e);
	munmap(map.base, map.size);
}

static void each_part(const char *what)
{
	for (u32 i = 0; i < 8; i++) {
		same_part(BPF_MAP_TYPE_PERCPU_ARRAY, 4, what);
		for (u32 key_size = 4; key_size <= 8; key_size += 4) {
			same_part(BPF_MAP_TYPE_PERCPU_HASH, key_size, what);
			same_part(BPF_MAP_TYPE_LRU_PERCPU_HASH, key_size, what);
		}
	}
}

/* --- reads of any memory ------------------------------------------------------------------------
 */

static void read_at(u32 size, u32 helper, u64 from, bool jit)
{
	/* the word at r10 - 16 into a map-less 64 bits, and what the helper said, mixed */
	const struct bpf_insn p[] = {
		LDDW(3, from),
		LDDW(4, 0x1122334455667788ULL),
		STX(BPF_DW, 10, 4, -16),
		MOV_REG(1, 10),
		ALU64_IMM(BPF_ADD, 1, -16),
		MOV_IMM(2, (s32)size),
		CALL((s32)helper),
		MOV_REG(6, 0),
		LDX(BPF_DW, 0, 10, -16),
		JMP_IMM(BPF_JEQ, 6, 0, 2),
		ALU64_IMM(BPF_XOR, 0, 0x5555),
		ALU64_REG(BPF_SUB, 0, 6),
		EXIT(),
	};
	u64 want = 0x1122334455667788ULL;
	bool bad = from + size > (u64)(uintptr_t)edge || from < 4096;

	memset(&want, 0, size);
	if (bad)
		want = (want ^ 0x5555) + EFAULT;
	else
		memcpy(&want, (const void *)(uintptr_t)from, size);
	cr_assert_eq(RUN(p, jit, 0), want, "%u bytes at the edge %+lld, engine %d", size,
		     (long long)(from - (u64)(uintptr_t)edge), jit);
}

/* A read that fails leaves zeroes and says -EFAULT, whether code reads or the helper. */
Test(jit_map, probe_read)
{
	static const u32 helpers[] = {BPF_FUNC_probe_read, BPF_FUNC_probe_read_user,
				      BPF_FUNC_probe_read_kernel};

	for (u32 i = 0; i < 64; i++)
		edge[(s32)i - 64] = (u8)(i * 37 + 1);
	BOTH_ENGINES(jit)
	for (u32 size = 1; size <= 8; size++)
		for (u32 h = 0; h < ARRAY_SIZE(helpers); h++) {
			for (s32 back = 0; back < 12; back++)
				read_at(size, helpers[h], (u64)(uintptr_t)edge - (u32)back, jit);
			read_at(size, helpers[h], 0, jit);
		}
}

static u32 loads(const struct bpf_insn *insns, u32 n)
{
	u32 guarded;

	cr_assert_eq(engine_load(&e, insns, n, true), 0, "%s", e.text);
	guarded = e.prog.image->nfaults;
	engine_close(&e);
	return guarded;
}

/* What may fault has an entry in the image, and only what is read to the stack is read by code. */
Test(jit_map, what_code_reads_itself)
{
	const struct bpf_insn direct[] = {
		MOV_REG(3, 1),
		MOV_REG(1, 10),
		ALU64_IMM(BPF_ADD, 1, -8),
		MOV_IMM(2, 8),
		CALL(BPF_FUNC_probe_read),
		EXIT(),
	};
	const struct bpf_insn elsewhere[] = {
		MOV_REG(3, 1),
		MOV_IMM(2, 8),
		CALL(BPF_FUNC_probe_read),
		EXIT(),
	};
	const struct bpf_insn long_one[] = {
		MOV_REG(3, 1),
		MOV_REG(1, 10),
		ALU64_IMM(BPF_ADD, 1, -16),
		MOV_IMM(2, 16),
		CALL(BPF_FUNC_probe_read),
		EXIT(),
	};

	if (!arch_jit_machine)
		return;
	cr_assert_eq(loads(direct, ARRAY_SIZE(direct)), 1);
	cr_assert_eq(loads(elsewhere, ARRAY_SIZE(elsewhere)), 0);
	cr_assert_eq(loads(long_one, ARRAY_SIZE(long_one)), 0);
}

static void same_cpu(const char *what)
{
	static const struct bpf_insn p[] = {CALL(BPF_FUNC_get_smp_processor_id), EXIT()};
	u32 want = osl_cpu();

	BOTH_ENGINES(jit)
	cr_assert_eq(RUN(p, jit, 0), want, "%s, engine %d", what, jit);
}

Test(jit_map, number_of_this_cpu)
{
	static const u32 numbers[] = {0, 1, 4, 0xfff, 0x1000, 0x7fffffff, ~0u};
	static __thread u32 number;

	same_cpu("as it is");
	osl_cpu_at = 0;
	same_cpu("nothing known");
	osl_cpu_at = (s64)1 << 62;
	same_cpu("a thread without it");
	if (!osl_thread_pointer())
		return;
	osl_cpu_at = (s64)((u64)(uintptr_t)&number - osl_thread_pointer());
	for (u32 i = 0; i < ARRAY_SIZE(numbers); i++) {
		number = numbers[i];
		same_cpu("any number");
	}
}

/* A thread's word for its CPU may be missing, nowhere, or say anything. */
Test(jit_map, part_of_this_cpu)
{
	static const u32 numbers[] = {0, 1, 2, 3, 4, 0xfff, 0x1000, 0x7fffffff, 0xfffffffe, ~0u};
	static __thread u32 number;

	seed();
	each_part("as it is");
	osl_cpu_at = 0;
	each_part("nothing known");
	osl_cpu_at = (s64)1 << 62;
	each_part("a thread without it");
	if (!osl_thread_pointer())
		return;
	osl_cpu_at = (s64)((u64)(uintptr_t)&number - osl_thread_pointer());
	for (u32 i = 0; i < ARRAY_SIZE(numbers); i++) {
		number = numbers[i];
		each_part("any number");
	}
}

static struct ebpf_map other_map;

static void bind_parts(struct ebpf_map *m, u32 id, u32 parts)
{
	struct ebpf_map_meta meta = {.id = id,
				     .type = BPF_MAP_TYPE_PERCPU_ARRAY,
				     .key_size = 4,
				     .value_size = 8,
				     .max_entries = KEYS,
				     .nr_cpus = parts};
	u64 size = ebpf_map_shm_size(&meta);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_eq(ebpf_map_bind(m, &meta, p, size), 0);
}

static const struct ebpf_map_meta *either_by_fd(void *cookie, s32 fd, bool is_index)
{
	return fd == 3 ? &map.meta : &other_map.meta;
}

/* Two maps of as many parts as may be, and what a function that is called finds. */
static void both_parts(u32 parts, u32 other_parts, bool jit)
{
	static const struct bpf_insn p[] = {
		MOV_REG(6, 1),
		ST(BPF_DW, 10, -8, 5),
		MOV_REG(2, 10),
		ALU64_IMM(BPF_ADD, 2, -8),
		MAP_AT(1),
		CALL(LOOKUP),
		STX(BPF_DW, 6, 0, 0),
		MOV_REG(1, 6),
		CALL_BPF(1),
		EXIT(),
		MOV_REG(6, 1),
		ST(BPF_DW, 10, -8, 5),
		MOV_REG(2, 10),
		ALU64_IMM(BPF_ADD, 2, -8),
		LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 4),
		CALL(LOOKUP),
		STX(BPF_DW, 6, 0, 8),
		CALL(BPF_FUNC_get_smp_processor_id),
		STX(BPF_DW, 6, 0, 16),
		EXIT(),
	};
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	u64 got[3], key[2] = {5};

	bind_parts(&map, 1, parts);
	bind_parts(&other_map, 2, other_parts);
	e.load.map_by_fd = either_by_fd;
	cr_assert_eq(engine_load(&e, p, ARRAY_SIZE(p), jit), 0, "%s", e.text);
	for (u32 i = 0; i < e.prog.image->nrefs; i++)
		e.refs[i] =
			(u64)(uintptr_t)(ebpf_image_refs(e.prog.image)[i].map ? &other_map : &map);
	ebpf_prog_run(&e.prog, got, &run);
	cr_assert(!run.aborted);
	cr_assert_eq(got[0], (u64)(uintptr_t)map.ops->lookup(&map, key));
	cr_assert_eq(got[1], (u64)(uintptr_t)other_map.ops->lookup(&other_map, key));
	cr_assert_eq(got[2], osl_cpu());
	engine_close(&e);
	munmap(map.base, map.size);
	munmap(other_map.base, other_map.size);
}

Test(jit_map, maps_of_several_parts)
{
	static __thread u32 number;

	if (osl_thread_pointer())
		osl_cpu_at = (s64)((u64)(uintptr_t)&number - osl_thread_pointer());
	BOTH_ENGINES(jit)
	for (number = 0; number < 8; number++)
		for (u32 parts = 1; parts < 5; parts++) {
			both_parts(parts, 3, jit);
			both_parts(3, parts, jit);
		}
}

/* Every link there is, right at the bounds: only elements are looked at. */
Test(jit_map, links_at_the_bounds)
{
	u64 key[2] = {0xdeadbeef}, want;
	u32 links[] = {0, 1, KEYS, KEYS + 1, 1u << 31, ~0u, 1u << 30};

	bind(BPF_MAP_TYPE_HASH, 4);
	for (u32 i = 0; i < KEYS; i++) /* all elements have the key */
		((u32 *)(uintptr_t)(map.off[1] + i * map.stride))[3] = 0xdeadbeef;
	load_for_map(arch_jit_machine != 0);
	for (u32 i = 0; i < ARRAY_SIZE(links); i++) {
		for (u32 *p = (u32 *)map.off[0]; p < (u32 *)map.off[1]; p += 2)
			p[1] = links[i];
		want = links[i] - 1 < KEYS ? map.off[1] + (u64)(links[i] - 1) * map.stride + 16 : 0;
		cr_assert_eq(lookup(key), want, "link %#x", links[i]);
	}
	engine_close(&e);
}

static int bind_to(struct ebpf_map_meta meta)
{
	u64 size = ebpf_map_shm_size(&meta);

	cr_assert_eq(ebpf_map_bind(&map, &meta, map.base, size), 0);
	return ebpf_prog_bind(&e.prog, e.base, e.load.image_size, e.refs, 1);
}

/* What code knows of its map is what the map must be. */
Test(jit_map, made_for_another_map)
{
	static const u32 types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH,
				    BPF_MAP_TYPE_LRU_HASH};
	struct ebpf_map_meta meta, other;

	for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
		bind(types[i], 4);
		load_for_map(true);
		other = meta = map.meta;
		cr_assert_eq(bind_to(meta), 0);
		for (u32 type = 0; type < ARRAY_SIZE(types); type++) {
			other.type = types[type];
			cr_assert_eq(bind_to(other), type == i ? 0 : -EINVAL);
		}
#define REFUSED(what)                                                                              \
	other = meta, other.what;                                                                  \
	cr_assert_eq(bind_to(other), -EINVAL)
		REFUSED(type = BPF_MAP_TYPE_ARRAY);
		REFUSED(key_size = 8);
		REFUSED(key_size = 3);
		REFUSED(value_size = 16);
		REFUSED(max_entries = KEYS - 1);
		REFUSED(max_entries = KEYS + 1);
		REFUSED(seed = 1);
		if (types[i] == BPF_MAP_TYPE_PERCPU_HASH) {
			REFUSED(nr_cpus = 2);
		}
		engine_close(&e);
	}
}

Test(jit_map, made_for_another_array)
{
	struct ebpf_map_meta meta, other;

	bind(BPF_MAP_TYPE_ARRAY, 4);
	load_for_map(true);
	meta = map.meta;
	cr_assert_eq(bind_to(meta), 0);
	REFUSED(type = BPF_MAP_TYPE_PERCPU_ARRAY);
	REFUSED(value_size = 9);
	REFUSED(max_entries = KEYS - 1);
	REFUSED(max_entries = KEYS + 1);
	engine_close(&e);
}

/* Too large for immediates: the map's own code is asked. */
Test(jit_map, large_maps_have_no_shape)
{
	struct ebpf_map_meta meta = {
		.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 1 << 20, .nr_cpus = 1};
	struct ebpf_map_shape shape;

	meta.max_entries = 2047;
	ebpf_map_shape(&meta, &shape);
	cr_assert_eq(shape.nr_elems, 2047);
	meta.max_entries = 2048;
	ebpf_map_shape(&meta, &shape);
	cr_assert_eq(shape.nr_elems, 0);
	meta.type = BPF_MAP_TYPE_LRU_PERCPU_HASH;
	meta.value_size = 1024;
	meta.max_entries = 1u << 21;
	ebpf_map_shape(&meta, &shape);
	cr_assert_eq(shape.nr_elems, 0);
	cr_assert_eq(shape.kind, EBPF_MAP_SHAPE(BPF_MAP_TYPE_LRU_PERCPU_HASH, 4));
}
