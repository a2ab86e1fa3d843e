/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups that JIT code does without the helper: the same answers as the interpreter's, for maps of
 * every kind, and nothing without the helper's care that needs it.
 */
#include <criterion/criterion.h>

#include "arch/arch.h"
#include "core/run/map/map.h"
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

static void init(void)
{
	u8 *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + 4096, 4096, PROT_NONE);
	edge = p + 4096;
	ebpf_map_self = 1;
	osl_trap_init_self();
	ebpf_helper_table_init();
	cr_assert_eq(osl_fault_handler_install(), 0);
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
