/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the checker tells of a program that it let through: words of the context that are read, who
 * gets its address, helpers, memory that may be missing, stack. One test a fact, and what becomes
 * of them in the image.
 */
#include "arch/arch.h"
#include "core/load/vprog.h"
#include "core/run/kfunc.h"
#include "tests/unit/core_load/verify_case.h"

static struct ebpf_facts facts; /* of the last one */
static u32 ninsns;

static void verify_with(const struct bpf_insn *insns, u32 n, const struct ebpf_vbtf *btf,
			const struct bpf_func_info *funcs, u32 nfuncs)
{
	static char text[1 << 16];
	struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
	struct ebpf_vprog prog = {.insns = insns,
				  .ninsns = n,
				  .prog_type = BPF_PROG_TYPE_KPROBE,
				  .nr_cpus = 2,
				  .gpl = true,
				  .maps = case_maps,
				  .nmaps = ARRAY_SIZE(case_maps),
				  .btf = *btf,
				  .funcs = funcs,
				  .nfuncs = nfuncs};
	int r;

	ebpf_facts_free(&facts);
	memset(&facts, 0, sizeof(facts));
	ninsns = n;
	r = ebpf_verify(&prog, &log, &facts);
	ebpf_log_end(&log);
	cr_assert_eq(r, 0, "%s", text);
}

/* static functions, of any arguments */
static void verify_static(const struct verify_case *c)
{
	struct bpf_func_info funcs[CASE_INSNS];
	u32 n = case_funcs(c, funcs);

	verify_with(c->insns, case_len(c),
		    &(struct ebpf_vbtf){(const u8 *)&case_btf, CASE_BTF_SIZE}, funcs, n);
}
#define VERIFY(...) verify_static(&(const struct verify_case){.insns = {__VA_ARGS__}})

/* int f(struct pt_regs *ctx), for main and for every other function, global */
static const struct {
	struct btf_header head;
	struct btf_type integer;
	u32 bits;
	struct btf_type regs, ptr, proto;
	struct btf_param ctx;
	struct btf_type f, g;
	char names[17];
} global_btf = {
	.head = {.magic = BTF_MAGIC,
		 .version = BTF_VERSION,
		 .hdr_len = sizeof(struct btf_header),
		 .type_len = 6 * sizeof(struct btf_type) + sizeof(u32) + sizeof(struct btf_param),
		 .str_off = 6 * sizeof(struct btf_type) + sizeof(u32) + sizeof(struct btf_param),
		 .str_len = 17},
	.integer = {.name_off = 1, .info = BTF_KIND_INT << 24, .size = 4},
	.bits = BTF_INT_SIGNED << 24 | 32,
	.regs = {.name_off = 5, .info = BTF_KIND_STRUCT << 24, .size = 168},
	.ptr = {.info = BTF_KIND_PTR << 24, .type = 2},
	.proto = {.info = BTF_KIND_FUNC_PROTO << 24 | 1, .type = 1},
	.ctx = {.name_off = 5, .type = 3},
	.f = {.name_off = 13, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_GLOBAL, .type = 4},
	.g = {.name_off = 15, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_GLOBAL, .type = 4},
	.names = "\0int\0pt_regs\0f\0g",
};

static void verify_global(const struct bpf_insn *insns, u32 n, u32 second)
{
	const struct bpf_func_info funcs[] = {{0, 5}, {second, 6}};
	struct ebpf_vbtf btf = {(const u8 *)&global_btf,
				sizeof(struct btf_header) + global_btf.head.type_len + 17};

	verify_with(insns, n, &btf, funcs, 2);
}

static u32 marked(u8 fact)
{
	u32 n = 0;

	for (u32 i = 0; i < ninsns; i++)
		n += facts.insn[i] & fact ? 1 : 0;
	return n;
}

#define WORD(off) (1ull << (off) / 8)

/* R0 = the value of key 0 in the hash: 6 instructions */
#define LOOKUP()                                                                                   \
	ST(BPF_DW, 10, -8, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MAP(1, CASE_HASH),       \
		CALL(BPF_FUNC_map_lookup_elem)
#define LOOP(rel)                                                                                  \
	MOV_IMM(1, 4), FUNC(2, rel), MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -8), MOV_IMM(4, 0),     \
		CALL(BPF_FUNC_loop)

Test(check_facts, context_words)
{
	VERIFY(MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.ctx_read, 0);
	VERIFY(LDX(BPF_DW, 0, 1, 112), EXIT());
	cr_expect_eq(facts.ctx_read, WORD(112));
	/* parts of a word; and where only one path comes */
	VERIFY(LDX(BPF_W, 0, 1, 84), MOV_REG(2, 1), JMP_IMM(BPF_JEQ, 0, 7, 1),
	       LDX(BPF_DW, 0, 2, 32), EXIT());
	cr_expect_eq(facts.ctx_read, WORD(80) | WORD(32));
	/* what no path comes to is not read */
	VERIFY(MOV_IMM(0, 1), JMP_IMM(BPF_JEQ, 0, 1, 1), LDX(BPF_DW, 0, 1, 8), EXIT());
	cr_expect_eq(facts.ctx_read, 0);
	VERIFY(LDX(BPF_DW, 0, 1, 160), EXIT());
	cr_expect_eq(facts.ctx_read, WORD(160));
	cr_expect_eq(facts.ctx_size, 168);
}

Test(check_facts, context_words_through_spill_and_fill)
{
	VERIFY(STX(BPF_DW, 10, 1, -16), CALL(BPF_FUNC_ktime_get_ns), LDX(BPF_DW, 6, 10, -16),
	       LDX(BPF_DW, 0, 6, 96), EXIT());
	cr_expect_eq(facts.ctx_read, WORD(96));
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 0);
}

Test(check_facts, context_words_in_functions)
{
	/* static: reads what its caller left it */
	VERIFY(CALL_BPF(1), EXIT(), LDX(BPF_DW, 0, 1, 48), EXIT());
	cr_expect_eq(facts.ctx_read, WORD(48));
	/* called back, with the address of a slot that holds the context's */
	VERIFY(STX(BPF_DW, 10, 1, -8), LOOP(7), MOV_IMM(0, 0), EXIT(), LDX(BPF_DW, 3, 2, 0),
	       LDX(BPF_DW, 4, 3, 128), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.ctx_read, WORD(128));
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 0);
}

Test(check_facts, context_words_in_global_functions)
{
	const struct bpf_insn p[] = {CALL_BPF(1), EXIT(), LDX(BPF_DW, 0, 1, 72), EXIT()};

	verify_global(p, ARRAY_SIZE(p), 2);
	cr_expect_eq(facts.ctx_read, WORD(72));
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 0);
}

/* The kernel's object behind the context is the context: from there on, all of it may be read. */
Test(check_facts, context_behind_itself)
{
	VERIFY(INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, EKFUNC_CAST_TO_KERN_CTX),
	       LDX(BPF_DW, 0, 0, 8), EXIT());
	cr_expect_eq(facts.ctx_read, ~0ull >> (64 - sizeof(struct arch_regs) / 8));
	cr_expect_eq(facts.ctx_size, sizeof(struct arch_regs));
	cr_expect(facts.insn[0] & EBPF_FACT_CTX_ESCAPES);
}

/* An address of the context that became a number can be read from by what reads any address. */
Test(check_facts, context_taken_apart)
{
	const u8 alu32 = BPF_ALU | BPF_MOV | BPF_X;

	VERIFY(INSN(alu32, 2, 1, 0, 0), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "its lower half");
	VERIFY(MOV_REG(2, 1), INSN(BPF_ALU64 | BPF_SUB | BPF_X, 2, 10, 0, 0), MOV_IMM(0, 0),
	       EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "its distance from the stack");
	VERIFY(MOV_REG(2, 10), INSN(BPF_ALU64 | BPF_SUB | BPF_X, 2, 1, 0, 0), MOV_IMM(0, 0),
	       EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "the stack's from it");
	VERIFY(INSN(BPF_ALU64 | BPF_NEG, 1, 0, 0, 0), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "negated");
	VERIFY(INSN(BPF_ALU | BPF_END | BPF_TO_BE, 1, 0, 0, 64), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "its bytes exchanged");
	VERIFY(CALL(BPF_FUNC_ktime_get_ns), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 0);
	VERIFY(MOV_REG(6, 1), CALL(BPF_FUNC_ktime_get_ns), JMP_REG(BPF_JGT, 6, 0, 0), MOV_IMM(0, 0),
	       EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "compared");
	/* another place in it, and what is written over it, are no numbers */
	VERIFY(MOV_REG(2, 1), ALU64_IMM(BPF_ADD, 2, 8), ALU64_IMM(BPF_SUB, 2, 8),
	       LDX(BPF_DW, 0, 2, 0), INSN(BPF_ALU | BPF_MOV | BPF_K, 1, 0, 0, 7), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 0);
}

Test(check_facts, context_taken_apart_in_the_stack)
{
	VERIFY(STX(BPF_DW, 10, 1, -8), ST(BPF_B, 10, -1, 0), LDX(BPF_DW, 0, 10, -8), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "all but one of its bytes");
	/* as a map's key */
	VERIFY(STX(BPF_DW, 10, 1, -8), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8), MAP(1, CASE_HASH),
	       CALL(BPF_FUNC_map_delete_elem), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "given to a helper");
	/* by the function that is called; the slot is the caller's */
	VERIFY(STX(BPF_DW, 10, 1, -8), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8), CALL_BPF(1),
	       EXIT(), ST(BPF_B, 1, 7, 0), LDX(BPF_W, 0, 1, 0), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1, "in another function");
	/* beside a slot that is only spilled to and filled from */
	VERIFY(STX(BPF_DW, 10, 1, -16), ST(BPF_DW, 10, -8, 1), MOV_REG(2, 10),
	       ALU64_IMM(BPF_ADD, 2, -8), MAP(1, CASE_HASH), CALL(BPF_FUNC_map_delete_elem),
	       LDX(BPF_DW, 1, 10, -16), LDX(BPF_DW, 0, 1, 96), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 0);
	cr_expect_eq(facts.ctx_read, WORD(96));
}

Test(check_facts, context_escapes)
{
	VERIFY(CALL(BPF_FUNC_get_attach_cookie), EXIT());
	cr_expect(facts.insn[0] & EBPF_FACT_CTX_ESCAPES);
	/* as an address that is read from */
	VERIFY(MOV_REG(3, 1), ALU64_IMM(BPF_ADD, 3, 112), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8),
	       MOV_IMM(2, 8), CALL(BPF_FUNC_probe_read_kernel), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(marked(EBPF_FACT_CTX_ESCAPES), 1);
	cr_expect(facts.insn[5] & EBPF_FACT_CTX_ESCAPES);
	/* into a map's value, by a store or an exchange */
	VERIFY(MOV_REG(6, 1), VALUE_AT(1, CASE_ARRAY, 8), STX(BPF_DW, 1, 6, 0), MOV_IMM(0, 0),
	       EXIT());
	cr_expect(facts.insn[3] & EBPF_FACT_CTX_ESCAPES);
	VERIFY(MOV_REG(6, 1), VALUE_AT(1, CASE_ARRAY, 8),
	       INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 6, 0, BPF_XCHG), MOV_IMM(0, 0), EXIT());
	cr_expect(facts.insn[3] & EBPF_FACT_CTX_ESCAPES);
}

Test(check_facts, helpers)
{
	VERIFY(CALL(BPF_FUNC_ktime_get_ns), CALL_BPF(1), EXIT(),
	       CALL(BPF_FUNC_get_smp_processor_id), EXIT());
	cr_expect_eq(facts.helpers[0],
		     1ull << BPF_FUNC_ktime_get_ns | 1ull << BPF_FUNC_get_smp_processor_id);
	VERIFY(LOOP(7), MOV_IMM(0, 0), EXIT(), CALL(BPF_FUNC_ktime_get_boot_ns), MOV_IMM(0, 0),
	       EXIT());
	cr_expect_eq(facts.helpers[BPF_FUNC_loop / 64] >> BPF_FUNC_loop % 64 & 1, 1);
	cr_expect_eq(facts.helpers[BPF_FUNC_ktime_get_boot_ns / 64] >>
				     BPF_FUNC_ktime_get_boot_ns % 64 &
			     1,
		     1);
	/* where no path comes, nothing is called */
	VERIFY(MOV_IMM(0, 1), JMP_IMM(BPF_JEQ, 0, 1, 1), CALL(BPF_FUNC_ktime_get_ns), EXIT());
	cr_expect_eq(facts.helpers[0], 0);
}

Test(check_facts, memory_that_may_be_missing)
{
	/* stack and context are always there */
	VERIFY(LDX(BPF_DW, 0, 1, 0), STX(BPF_DW, 10, 0, -8), LDX(BPF_DW, 0, 10, -8), EXIT());
	cr_expect_eq(marked(EBPF_FACT_MAY_FAULT), 0);
	VERIFY(LOOKUP(), JMP_IMM(BPF_JEQ, 0, 0, 3), LDX(BPF_DW, 1, 0, 0), ST(BPF_B, 0, 8, 1),
	       INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 16, BPF_ADD), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(marked(EBPF_FACT_MAY_FAULT), 3);
	for (u32 i = 7; i < 10; i++)
		cr_expect(facts.insn[i] & EBPF_FACT_MAY_FAULT);
	/* what is the stack on one path is a map's on another */
	VERIFY(VALUE_AT(6, CASE_ARRAY, 0), LDX(BPF_DW, 2, 1, 0), MOV_REG(7, 10),
	       ALU64_IMM(BPF_ADD, 7, -8), JMP_IMM(BPF_JEQ, 2, 0, 1), MOV_REG(7, 6),
	       LDX(BPF_DW, 0, 7, 0), EXIT());
	cr_expect(facts.insn[7] & EBPF_FACT_MAY_FAULT);
	/* in a callback */
	VERIFY(LOOP(7), MOV_IMM(0, 0), EXIT(), VALUE_AT(1, CASE_ARRAY, 0), ST(BPF_DW, 1, 0, 1),
	       MOV_IMM(0, 0), EXIT());
	cr_expect(facts.insn[11] & EBPF_FACT_MAY_FAULT);
}

Test(check_facts, stack_to_zero)
{
	VERIFY(ST(BPF_DW, 10, -8, 1), LDX(BPF_DW, 0, 10, -8), LDX(BPF_DW, 0, 10, -24), EXIT());
	cr_expect_eq(facts.subprog[0].zero, 4);
	/* by a function, of its own and of its caller's */
	VERIFY(MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), CALL_BPF(1), EXIT(), LDX(BPF_W, 0, 1, 0),
	       LDX(BPF_B, 0, 10, -1), EXIT());
	cr_expect_eq(facts.subprog[0].zero, 2);
	cr_expect_eq(facts.subprog[1].zero, 1);
	/* by a callback, of the one who is called back for */
	VERIFY(LOOP(7), MOV_IMM(0, 0), EXIT(), LDX(BPF_DW, 3, 2, 0), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.subprog[0].zero, 1);
	cr_expect_eq(facts.subprog[1].zero, 0);
}

Test(check_facts, stack_depth)
{
	VERIFY(MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.stack_depth, 0);
	VERIFY(ST(BPF_B, 10, -17, 0), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.stack_depth, 24);
	VERIFY(ST(BPF_DW, 10, -512, 0), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.stack_depth, 512);
	/* of two functions that are called, the deeper one, and what that calls */
	VERIFY(ST(BPF_DW, 10, -8, 0), CALL_BPF(2), CALL_BPF(3), EXIT(), MOV_IMM(0, 0), EXIT(),
	       ST(BPF_DW, 10, -64, 0), CALL_BPF(1), EXIT(), ST(BPF_DW, 10, -104, 0), MOV_IMM(0, 0),
	       EXIT());
	cr_expect_eq(facts.stack_depth, 8 + 64 + 104);
	/* a callback's is on top of the caller's */
	VERIFY(ST(BPF_DW, 10, -32, 0), LOOP(7), MOV_IMM(0, 0), EXIT(), ST(BPF_DW, 10, -48, 0),
	       MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.stack_depth, 32 + 48);
	/* what is never called */
	VERIFY(MOV_IMM(0, 0), JMP_IMM(BPF_JEQ, 0, 0, 1), CALL_BPF(1), EXIT(),
	       ST(BPF_DW, 10, -64, 0), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.stack_depth, 0);
	/* the deepest place that a number may lead to; what a function writes in its caller's */
	VERIFY(LDX(BPF_DW, 2, 1, 0), ALU64_IMM(BPF_AND, 2, 63), MOV_REG(3, 10),
	       ALU64_REG(BPF_ADD, 3, 2), ST(BPF_B, 3, -200, 0), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.stack_depth, 200);
	VERIFY(MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -96), CALL_BPF(1), EXIT(), ST(BPF_DW, 1, 0, 0),
	       MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.subprog[0].stack, 96);
	cr_expect_eq(facts.subprog[1].stack, 0);
	cr_expect_eq(facts.stack_depth, 96);
	/* what a helper writes */
	VERIFY(MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -40), MOV_IMM(2, 16),
	       CALL(BPF_FUNC_get_current_comm), MOV_IMM(0, 0), EXIT());
	cr_expect_eq(facts.stack_depth, 40);
}

Test(check_facts, stack_depth_of_global_functions)
{
	const struct bpf_insn p[] = {ST(BPF_DW, 10, -16, 0), CALL_BPF(1),   EXIT(),
				     ST(BPF_DW, 10, -32, 0), MOV_IMM(0, 0), EXIT()};

	verify_global(p, ARRAY_SIZE(p), 3);
	cr_expect_eq(facts.stack_depth, 16 + 32);
}

/* --- what goes on in the image ---------------------------------------------------------------- */

static const struct ebpf_image *image_of(const struct bpf_insn *insns, u32 n, u32 check_flags)
{
	static char text[4096];
	static struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
	struct ebpf_load load = {.insns = insns,
				 .ninsns = n,
				 .prog_type = BPF_PROG_TYPE_KPROBE,
				 .log = &log,
				 .check_flags = check_flags,
				 .gpl = true,
				 .nr_cpus = 2};

	cr_assert_eq(ebpf_load_build(&load), 0, "%s", text);
	return (const struct ebpf_image *)load.image;
}

Test(check_facts, image)
{
	const struct bpf_insn p[] = {LDX(BPF_DW, 6, 1, 112), LDX(BPF_DW, 7, 1, 0),
				     CALL(BPF_FUNC_ktime_get_ns), STX(BPF_DW, 10, 6, -40), EXIT()};
	const struct bpf_insn q[] = {CALL(BPF_FUNC_get_attach_cookie), EXIT()};
	const struct ebpf_image *img = image_of(p, ARRAY_SIZE(p), 0);

	cr_expect_eq(img->ctx_read, WORD(112) | WORD(0));
	cr_expect_eq(img->ctx_size, 120);
	cr_expect_eq(img->helpers[0], 1ull << BPF_FUNC_ktime_get_ns);
	cr_expect_eq(img->stack_depth, 40);
	cr_expect_eq(img->flags & (EBPF_IMAGE_MAY_FAULT | EBPF_IMAGE_CTX_ESCAPES), 0);
	free((void *)img);
	img = image_of(q, ARRAY_SIZE(q), 0);
	cr_expect(img->flags & EBPF_IMAGE_CTX_ESCAPES);
	cr_expect_eq(img->ctx_read, 0);
	free((void *)img);
	/* without a proof, the worst */
	img = image_of(p, ARRAY_SIZE(p), EBPF_CHECK_STRUCTURE);
	cr_expect_eq(img->ctx_read, ~0ull);
	cr_expect_eq(img->helpers[3], ~0ull);
	cr_expect_eq(img->stack_depth, EBPF_STACK_SIZE);
	cr_expect(img->flags & EBPF_IMAGE_MAY_FAULT);
	cr_expect(img->flags & EBPF_IMAGE_CTX_ESCAPES);
	free((void *)img);
}
