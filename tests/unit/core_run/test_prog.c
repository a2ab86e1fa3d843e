/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Executions as a whole, on the interpreter and on the JIT: callbacks, tail calls, faults, the
 * state a run leaves behind. What single instructions do is in tests/conformance.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <ucontext.h>

#include "arch/arch.h"
#include "base/macros.h"
#include "tests/support/engine.h"

#define LOOP 181 /* bpf_loop */
#define TAIL 12
#define ARRAY_FD 3

static struct ebpf_map_meta array_meta = {
	.id = 5, .type = BPF_MAP_TYPE_PROG_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 4};
static u32 array_slots[4];

static void *array_lookup(struct ebpf_map *map, const void *key)
{
	return &array_slots[*(const u32 *)key];
}

static const struct ebpf_map_ops array_ops = {.name = "fake", .lookup = array_lookup};
static struct ebpf_map array_map;

static const struct ebpf_map_meta *by_fd(void *cookie, s32 fd, bool is_index)
{
	return fd == ARRAY_FD ? &array_meta : NULL;
}

static struct engine programs[3];

static const struct ebpf_prog *prog_by_id(u32 id)
{
	return id >= 1 && id <= ARRAY_SIZE(programs) && programs[id - 1].base
		       ? &programs[id - 1].prog
		       : NULL;
}

static const struct ebpf_env env = {.prog_by_id = prog_by_id};

static void load_prog(u32 id, const struct bpf_insn *insns, u32 n, bool jit)
{
	struct engine *e = &programs[id - 1];

	engine_close(e);
	e->load.map_by_fd = by_fd;
	cr_assert_eq(engine_load(e, insns, n, jit), 0, "%s", e->text);
	array_map = (struct ebpf_map){.meta = array_meta, .ops = &array_ops};
	e->refs[0] = (u64)(uintptr_t)&array_map;
}

#define LOAD_PROG(id, p, jit) load_prog(id, p, ARRAY_SIZE(p), jit)

static u64 run_first(void *ctx, struct ebpf_run *run)
{
	*run = (struct ebpf_run){.kind = EBPF_RUN_TEST, .env = &env};
	return ebpf_prog_run(&programs[0].prog, ctx, run);
}

#define BOTH_ENGINES(jit) for (int jit = 0; jit <= (arch_jit_machine != 0); jit++)
#define TAIL_CALL(index)                                                                           \
	MOV_REG(1, 6), LDDW_KIND(2, BPF_PSEUDO_MAP_FD, ARRAY_FD), MOV_IMM(3, index), CALL(TAIL)

/* bpf_loop(10, f, &sum, 0): f adds the index to the caller's stack */
static const struct bpf_insn loop_prog[] = {
	MOV_IMM(6, 1000),
	ST(BPF_DW, 10, -8, 5),
	MOV_IMM(1, 10),
	LDDW_KIND(2, BPF_PSEUDO_FUNC, 8),
	MOV_REG(3, 10),
	ALU64_IMM(BPF_ADD, 3, -8),
	MOV_IMM(4, 0),
	CALL(LOOP),
	LDX(BPF_DW, 0, 10, -8),
	ALU64_REG(BPF_ADD, 0, 6),
	EXIT(),
	/* f(index, ctx) */
	MOV_IMM(6, 0),
	LDX(BPF_DW, 6, 2, 0),
	ALU64_REG(BPF_ADD, 6, 1),
	STX(BPF_DW, 2, 6, 0),
	MOV_IMM(0, 0),
	EXIT(),
};

Test(prog, callbacks)
{
	struct ebpf_run run;

	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, loop_prog, jit);
		cr_assert_eq(run_first(NULL, &run), 1000 + 5 + 45, "jit %d", jit);
		cr_assert_eq(run.aborted, 0);
		cr_assert_null(run.engine);
	}
}

/* --- may_goto -------------------------------------------------------------------------------- */

#define MAY_GOTO(o) INSN(BPF_JMP | BPF_JCOND, 0, 0, o, 0)

Test(prog, may_goto_has_a_budget_and_then_jumps)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 0), MAY_GOTO(2), ALU64_IMM(BPF_ADD, 0, 1), JA(-3),
				     EXIT()};
	struct ebpf_run run;

	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, p, jit);
		cr_assert_eq(run_first(NULL, &run), EBPF_MAX_LOOPS, "jit %d", jit);
		cr_assert_eq(run.may_goto, 0);
		cr_assert_eq(run.aborted, 0);
		cr_assert_eq(run_first(NULL, &run), EBPF_MAX_LOOPS, "a run has its own");
	}
}

/* used up stays used up: the second loop ends at once, and so does that of a callee */
Test(prog, may_goto_shares_its_budget)
{
	const struct bpf_insn p[] = {
		MAY_GOTO(1), JA(-2), MOV_IMM(6, 0), MAY_GOTO(2), ALU64_IMM(BPF_ADD, 6, 1), JA(-3),
		CALL_BPF(2), ALU64_REG(BPF_ADD, 0, 6), EXIT(),
		/* callee */
		MOV_IMM(0, 0), MAY_GOTO(2), ALU64_IMM(BPF_ADD, 0, 1), JA(-3), EXIT()};
	struct ebpf_run run;

	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, p, jit);
		cr_assert_eq(run_first(NULL, &run), 0, "jit %d", jit);
		cr_assert_eq(run.may_goto, 0);
	}
}

static u64 call_wild(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, struct ebpf_run *run)
{
	return run->callback(run, r1, 0, 0, 0, 0, 0);
}

Test(prog, a_callback_is_code_of_the_program)
{
	static const u64 wild[] = {0, 1, 0xebf0000000000001, 0xebf0000000000000, ~0ULL};
	struct ebpf_run run;
	u32 i;

	BOTH_ENGINES(jit)
	{
		for (i = 0; i < ARRAY_SIZE(wild); i++) {
			const struct bpf_insn p[] = {LDDW(1, wild[i]), CALL(LOOP), MOV_IMM(0, 7),
						     EXIT()};

			LOAD_PROG(1, p, jit);
			ebpf_helper_table[LOOP] = call_wild;
			cr_assert_eq(run_first(NULL, &run), 0);
			cr_assert_eq(run.aborted, 1);
		}
	}
}

Test(prog, tail_call_replaces_the_program)
{
	const struct bpf_insn caller[] = {MOV_REG(6, 1), MOV_IMM(0, 1), TAIL_CALL(2), MOV_IMM(0, 2),
					  EXIT()};
	/* the callee sees the context, and its own r6..r9 are free */
	const struct bpf_insn callee[] = {MOV_IMM(6, 0), LDX(BPF_DW, 0, 1, 0),
					  ALU64_IMM(BPF_ADD, 0, 7), EXIT()};
	u64 ctx = 35;
	struct ebpf_run run;

	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, caller, jit);
		LOAD_PROG(2, callee, jit);
		array_slots[2] = 2;
		cr_assert_eq(run_first(&ctx, &run), 42, "jit %d", jit);
		cr_assert_eq(run.tail_calls, 1);
		cr_assert_eq(run.prog, &programs[1].prog);
	}
}

Test(prog, a_tail_call_to_nothing_goes_on)
{
	const struct bpf_insn caller[] = {MOV_REG(6, 1), MOV_IMM(0, 41), TAIL_CALL(0),
					  ALU64_IMM(BPF_ADD, 0, 1), EXIT()};
	const struct bpf_insn outside[] = {MOV_REG(6, 1), MOV_IMM(0, 41), TAIL_CALL(4),
					   ALU64_IMM(BPF_ADD, 0, 1), EXIT()};
	struct ebpf_run run;

	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, caller, jit);
		array_slots[0] = 0;
		cr_assert_eq(run_first(NULL, &run), 42);
		array_slots[0] = 99;
		cr_assert_eq(run_first(NULL, &run), 42);
		LOAD_PROG(1, outside, jit);
		cr_assert_eq(run_first(NULL, &run), 42);
	}
}

Test(prog, tail_calls_are_counted)
{
	const struct bpf_insn p[] = {MOV_REG(6, 1),
				     LDX(BPF_DW, 1, 6, 0),
				     ALU64_IMM(BPF_ADD, 1, 1),
				     STX(BPF_DW, 6, 1, 0),
				     TAIL_CALL(1),
				     LDX(BPF_DW, 0, 6, 0),
				     EXIT()};
	struct ebpf_run run;

	BOTH_ENGINES(jit)
	{
		u64 count = 0;

		LOAD_PROG(1, p, jit);
		array_slots[1] = 1;
		cr_assert_eq(run_first(&count, &run), 1 + EBPF_MAX_TAIL_CALLS);
		cr_assert_eq(run.tail_calls, EBPF_MAX_TAIL_CALLS);
	}
}

/* A function makes a tail call: the other program returns to the function's caller, which goes on
 * with its own registers, stack and references. */
Test(prog, a_tail_call_in_a_function_returns_to_its_caller)
{
	const struct bpf_insn caller[] = {
		MOV_REG(6, 1),
		MOV_IMM(7, 100),
		ST(BPF_DW, 10, -8, 1000),
		CALL_BPF(6),
		ALU64_REG(BPF_ADD, 0, 7),
		LDX(BPF_DW, 1, 10, -8),
		ALU64_REG(BPF_ADD, 0, 1),
		LDDW_KIND(2, BPF_PSEUDO_MAP_FD, ARRAY_FD),
		EXIT(),
		MOV_REG(6, 1),
		MOV_IMM(7, 5),
		TAIL_CALL(2),
		MOV_IMM(0, 0),
		EXIT(),
	};
	const struct bpf_insn callee[] = {ST(BPF_DW, 10, -8, 3), MOV_IMM(7, 9), MOV_IMM(0, 20000),
					  EXIT()};
	struct ebpf_run run;

	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, caller, jit);
		LOAD_PROG(2, callee, jit);
		array_slots[2] = 2;
		cr_assert_eq(run_first(NULL, &run), 21100, "jit %d", jit);
		cr_assert_eq(run.prog, &programs[0].prog);
		cr_assert_eq(run.refs, programs[0].refs);
	}
}

Test(prog, jit_code_does_not_jump_to_a_program_without_code)
{
	const struct bpf_insn caller[] = {MOV_REG(6, 1), MOV_IMM(0, 1), TAIL_CALL(2), EXIT()};
	const struct bpf_insn callee[] = {MOV_IMM(0, 2), EXIT()};
	struct ebpf_run run;

	LOAD_PROG(1, caller, true);
	LOAD_PROG(2, callee, false);
	array_slots[2] = 2;
	cr_assert_eq(run_first(NULL, &run), programs[0].prog.code ? 1 : 2);
}

static bool fix(struct arch_regs *regs)
{
	return ebpf_prog_fixup(&programs[0].prog, regs);
}

/* The fault comes with registers saved on the stack, in a function, after others were changed. */
Test(prog, faults_end_the_run_only)
{
	const struct bpf_insn p[] = {
		MOV_IMM(6, 1),	      MOV_IMM(7, 2), MOV_IMM(8, 3), MOV_IMM(9, 4),
		CALL_BPF(1),	      EXIT(),	     MOV_IMM(6, 0), ST(BPF_DW, 10, -8, 1),
		LDX(BPF_DW, 0, 6, 0), EXIT(),
	};
	volatile u64 canary[4] = {11, 12, 13, 14};
	struct ebpf_run run;
	u32 i;

	osl_fault_hook(fix);
	cr_assert_eq(osl_fault_handler_install(), 0);
	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, p, jit);
		for (i = 0; i < 1000; i++) {
			cr_assert_eq(run_first(NULL, &run), 0);
			cr_assert_eq(run.aborted, 1);
		}
	}
	cr_assert(canary[0] == 11 && canary[3] == 14);
}

Test(prog, a_foreign_fault_is_not_ours)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 2), EXIT()};
	struct arch_regs regs = {.ip = 0x1000};

	LOAD_PROG(1, p, true);
	cr_assert_not(ebpf_prog_fixup(&programs[0].prog, &regs));
	/* inside the code, but the register names no run */
	regs.ip = (u64)(uintptr_t)programs[0].prog.code;
	osl_fault_handler_install();
	cr_assert_not(ebpf_prog_fixup(&programs[0].prog, &regs));
}

static volatile sig_atomic_t handled;
static struct ebpf_run *current;

static bool abort_current(struct arch_regs *regs)
{
	handled++;
	return ebpf_run_abort(current, regs);
}

static u64 crash(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5, struct ebpf_run *run)
{
	return *(volatile u64 *)(uintptr_t)r1;
}

/* A helper that faults: nobody's code of the table, so the handler must know the run. */
Test(prog, a_handler_that_knows_the_run_can_end_it_anywhere)
{
	const struct bpf_insn p[] = {MOV_IMM(1, 16), MOV_IMM(6, 3), CALL(LOOP), MOV_REG(0, 6),
				     EXIT()};
	struct ebpf_run run = {.env = &env};

	if (!arch_jit_machine)
		return;
	osl_fault_hook(abort_current);
	cr_assert_eq(osl_fault_handler_install(), 0);
	current = &run;
	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, p, jit);
		ebpf_helper_table[LOOP] = crash;
		cr_assert_eq(ebpf_prog_run(&programs[0].prog, NULL, &run), 0);
		cr_assert_eq(run.aborted, 1);
	}
	cr_assert_eq(handled, 2);
}

/* --- the stack ------------------------------------------------------------------------------- */

__attribute__((noinline)) static void soil_stack(void)
{
	volatile u64 words[4096];

	for (u32 i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = ~0ULL;
}

static u64 run_on_soiled_stack(void)
{
	struct ebpf_run run;

	soil_stack();
	return run_first(NULL, &run);
}

/* every word of the stack, in the program, in a function it calls, and behind a tail call */
#define SUM_STACK                                                                                  \
	MOV_REG(7, 10), ALU64_IMM(BPF_ADD, 7, -512), MOV_IMM(8, 64), MOV_IMM(9, 0),                \
		LDX(BPF_DW, 0, 7, 0), ALU64_REG(BPF_OR, 9, 0), ALU64_IMM(BPF_ADD, 7, 8),           \
		ALU64_IMM(BPF_SUB, 8, 1), JMP_IMM(BPF_JNE, 8, 0, -5)

Test(prog, a_stack_begins_with_zeroes)
{
	const struct bpf_insn p[] = {MOV_REG(6, 1), SUM_STACK, CALL_BPF(10),
				     ALU64_REG(BPF_OR, 9, 0), JMP_IMM(BPF_JNE, 9, 0, 6),
				     TAIL_CALL(2), MOV_IMM(9, 1), MOV_REG(0, 9), EXIT(),
				     /* called: */
				     SUM_STACK, MOV_REG(0, 9), EXIT()};
	const struct bpf_insn next[] = {SUM_STACK, MOV_REG(0, 9), EXIT()};

	BOTH_ENGINES(jit)
	{
		LOAD_PROG(1, p, jit);
		LOAD_PROG(2, next, jit);
		array_slots[2] = 2;
		cr_assert_eq(run_on_soiled_stack(), 0, "jit %d", jit);
	}
}

/* what a proof says need not be cleared isn't */
static u64 cleared(const struct bpf_insn *p, u32 n, u32 function)
{
	struct engine e __attribute__((cleanup(engine_close))) = {0};

	e.log = (struct ebpf_log){.buf = e.text, .size = sizeof(e.text), .level = 1};
	e.load = (struct ebpf_load){.insns = p,
				    .ninsns = n,
				    .prog_type = BPF_PROG_TYPE_KPROBE,
				    .gpl = true,
				    .nr_cpus = 1,
				    .log = &e.log};
	cr_assert_eq(ebpf_load_build(&e.load), 0, "%s", e.text);
	cr_assert_eq(engine_map(&e), 0);
	cr_assert_lt(function, e.prog.image->nsubprogs);
	return ebpf_image_zeros(e.prog.image)[function];
}

Test(prog, only_what_is_read_first_is_cleared)
{
	const struct bpf_insn p[] = {ST(BPF_DW, 10, -8, 1), LDX(BPF_DW, 0, 10, -8),
				     LDX(BPF_B, 1, 10, -13), ALU64_REG(BPF_ADD, 0, 1), CALL_BPF(1),
				     EXIT(),
				     /* called: */
				     ST(BPF_DW, 10, -24, 0), LDX(BPF_DW, 0, 10, -24), EXIT()};

	cr_expect_eq(cleared(p, ARRAY_SIZE(p), 0), 1ULL << 1);
	cr_expect_eq(cleared(p, ARRAY_SIZE(p), 1), 0);
}

/* what @helper writes at r10 - 24, as many bytes as @size puts into r2, is read */
#define FILL(helper, size)                                                                         \
	{                                                                                          \
		LDX(BPF_DW, 2, 1, 0), MOV_REG(3, 1), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -24),   \
			size, CALL(helper), LDX(BPF_DW, 0, 10, -24), EXIT()                        \
	}
#define SIXTEEN MOV_IMM(2, 16)
#define LESS ALU64_IMM(BPF_AND, 2, 15)

Test(prog, what_a_helper_always_fills_is_not_cleared)
{
	const struct bpf_insn all[] = FILL(BPF_FUNC_probe_read_user, SIXTEEN);
	const struct bpf_insn some[] = FILL(BPF_FUNC_probe_read_user, LESS);
	const struct bpf_insn text[] = FILL(BPF_FUNC_probe_read_user_str, SIXTEEN);

	cr_expect_eq(cleared(all, ARRAY_SIZE(all), 0), 0);
	cr_expect_eq(cleared(some, ARRAY_SIZE(some), 0), 6);
	cr_expect_eq(cleared(text, ARRAY_SIZE(text), 0), 6);
}
