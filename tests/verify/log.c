/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: what each level shows, what a buffer that is too small keeps, and what its size should
 * have been. People search the web for these lines.
 */
#include "tests/verify/verify.h"

#include <ctype.h>

#include "core/run/kfunc.h"

static const struct vcase fine = OK("fine", LDX(BPF_DW, 6, 1, 0), MOV_IMM(0, 0),
				    JMP_IMM(BPF_JEQ, 6, 7, 1), MOV_IMM(0, 1), EXIT());
static const struct vcase refused = NO("refused", EACCES, "R9 !read_ok", LDX(BPF_DW, 6, 1, 0),
				       JMP_IMM(BPF_JEQ, 6, 7, 2), RET(0), MOV_REG(0, 9), EXIT());
static const struct vcase lookup = OK("lookup", LOOKUP8(M_HASH), NONNULL, LDX(BPF_DW, 6, 0, 8),
				      ALU64_IMM(BPF_AND, 6, 7), STX(BPF_DW, 10, 6, -16), RET(0));
static const struct vcase math =
	OK("math", LOOKUP8(M_HASH), NONNULL, LDX(BPF_DW, 1, 0, 0), ALU64_IMM(BPF_AND, 1, 7),
	   ALU64_REG(BPF_ADD, 0, 1), LDX(BPF_B, 0, 0, 0), RET(0));
static const struct vcase spilled =
	OK("spilled", MOV_IMM(2, -8), STX(BPF_DW, 10, 2, -16), LDX(BPF_DW, 2, 10, -16),
	   MOV_REG(1, 10), ALU64_REG(BPF_ADD, 1, 2), RET(0));

/* verify into @text with room of @size; what the log needed */
static u64 say(const struct vcase *c, u32 level, char *text, u32 size)
{
	struct ebpf_log log = {.buf = text, .size = size, .level = level};
	struct ebpf_facts facts = {0};

	memset(text, 0, size);
	if (!verify_case(c, &log, &facts))
		ebpf_facts_free(&facts);
	return log.total;
}

#define HAS(text, words) cr_expect(strstr(text, words), "no \"%s\" in\n%s", words, text)
#define HAS_NOT(text, words) cr_expect(!strstr(text, words), "\"%s\" in\n%s", words, text)

/* level 1, accepted: the last path, taken back, and the figures */
Test(verify_log, accepted)
{
	char text[4096];

	say(&fine, 1, text, sizeof(text));
	HAS(text, "processed ");
	HAS(text, " insns (limit 1000000) max_states_per_insn ");
	HAS(text, " total_states ");
	HAS(text, " peak_states ");
	HAS(text, " mark_read ");
	HAS_NOT(text, "r6 = *(u64 *)(r1 +0)");
}

/* what mattered is marked in states that are remembered, not in the current one */
Test(verify_log, current_numbers)
{
	char text[16384];

	say(&math, 2, text, sizeof(text));
	HAS(text, "(0f) r0 += r1");
	HAS(text, " R1=scalar(smin=smin32=0,smax=umax=smax32=umax32=7,var_off=(0x0; 0x7))");
	HAS_NOT(text, "; R0=map_value(map=hash,ks=8,vs=16) R1=Pscalar");
	HAS_NOT(text, ") R1=Pscalar");
}

/* level 2: where a number that mattered came from */
Test(verify_log, precision)
{
	char text[16384];

	say(&spilled, 2, text, sizeof(text));
	HAS(text, "mark_precise: frame0: last_idx 4 first_idx 0 subseq_idx -1 \n"
		  "mark_precise: frame0: regs=r2 stack= before 3: (bf) r1 = r10\n"
		  "mark_precise: frame0: regs=r2 stack= before 2: (79) r2 = *(u64 *)(r10 -16)\n"
		  "mark_precise: frame0: regs= stack=-16 before 1: (7b) *(u64 *)(r10 -16) = r2\n"
		  "mark_precise: frame0: regs=r2 stack= before 0: (b7) r2 = -8\n"
		  "5: R1=fp-8 R2=-8\n");
	say(&spilled, 1, text, sizeof(text));
	HAS_NOT(text, "mark_precise");
}

/* level 2: every instruction with what it changed */
Test(verify_log, every_path)
{
	char text[8192];

	say(&fine, 2, text, sizeof(text));
	HAS(text, "0: R1=ctx() R10=fp0\n");
	HAS(text, "0: (79) r6 = *(u64 *)(r1 +0)          ; R1=ctx() R6=scalar()\n");
	HAS(text, "1: (b7) r0 = 0                        ; R0=0\n");
	HAS(text, "2: (15) if r6 == 0x7 goto pc+1        ; R6=scalar()\n");
	HAS(text, "4: (95) exit\n");
	HAS(text, "\nfrom 2 to 4: R0=0 ");
	HAS(text, " R6=7 R10=fp0\n");
}

/* values in the kernel's notation */
Test(verify_log, notation)
{
	char text[8192];

	say(&lookup, 2, text, sizeof(text));
	HAS(text, "R2=fp-8");
	HAS(text, "fp-8=0");
	HAS(text, "R1=map_ptr(map=hash,ks=8,vs=16)\n");
	HAS(text, "R0=map_value_or_null(id=1,map=hash,ks=8,vs=16)\n");
	HAS(text, "R0=map_value(map=hash,ks=8,vs=16)");
	HAS(text, "9: (57) r6 &= 7                       ; "
		  "R6=scalar(smin=smin32=0,smax=umax=smax32=umax32=7,var_off=(0x0; 0x7))\n");
	HAS(text, "fp-16=");
}

/* refused: the path that fails, then the reason */
Test(verify_log, reason)
{
	char text[4096], *at;

	say(&refused, 1, text, sizeof(text));
	at = strstr(text, "R9 !read_ok\n");
	cr_assert(at, "%s", text);
	HAS(text, "4: (bf) r0 = r9\nR9 !read_ok\nprocessed ");
}

/* level 4 alone: figures, no instructions */
Test(verify_log, figures)
{
	char text[4096];
	u32 insns = 0, depth = 99, states;

	say(&lookup, 4, text, sizeof(text));
	HAS(text, "verification time ");
	HAS_NOT(text, "(79)");
	cr_expect_eq(sscanf(strstr(text, "stack depth"), "stack depth %u", &depth), 1);
	cr_expect_eq(depth, 16);
	cr_expect_eq(sscanf(strstr(text, "processed"),
			    "processed %u insns (limit 1000000) "
			    "max_states_per_insn %u",
			    &insns, &states),
		     2);
	cr_expect_eq(insns, 12);
}

/* the kernel's figure: bytes that its code would need */
static const char *depth_in(const char *text)
{
	static char depth[64];
	const char *at;

	at = strstr(text, "stack depth ");
	cr_assert(at, "%s", text);
	sscanf(at, "stack depth %63s", depth);
	return depth;
}

#define SAVE(r, off) STX(BPF_DW, 10, r, off)
#define RESTORE(r, off) LDX(BPF_DW, r, 10, off)
#define CPU CALL(BPF_FUNC_get_smp_processor_id)
#define LOOP_OVER(rel) LDFUNC(2, rel), MOV_IMM(3, 0), MOV_IMM(4, 0), CALL(BPF_FUNC_loop)

static const struct {
	const char *depth;
	struct vcase c;
} depths[] = {
	{"8", OK("saved around a call that needs it not", MOV_IMM(1, 1), MOV_IMM(2, 2),
		 SAVE(1, -16), SAVE(2, -24), CPU, RESTORE(2, -24), RESTORE(1, -16), RET(0))},
	{"0", OK("a slot for that alone", MOV_IMM(1, 1), SAVE(1, -8), CPU, RESTORE(1, -8), RET(0))},
	{"16", OK("another register comes back", MOV_IMM(1, 1), SAVE(1, -16), CPU, RESTORE(2, -16),
		  RET(0))},
	{"16", OK("saved around a call that needs it, too", MOV_IMM(1, 1), SAVE(1, -16), CPU,
		  RESTORE(1, -16), SAVE(1, -16), CALL(BPF_FUNC_get_prandom_u32), RESTORE(1, -16),
		  RET(0))},
	{"16", OK("the slot is read besides", MOV_IMM(1, 1), SAVE(1, -16), CPU, RESTORE(1, -16),
		  RESTORE(3, -16), RET(0))},
	{"16", OK("the slot is written besides", MOV_IMM(1, 1), SAVE(1, -16), CPU, RESTORE(1, -16),
		  ST(BPF_B, 10, -12, 0), RET(0))},
	{"16", OK("a helper writes there", MOV_IMM(1, 1), SAVE(1, -16), CPU, RESTORE(1, -16),
		  MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -16), MOV_IMM(2, 8),
		  CALL(BPF_FUNC_get_current_comm), RET(0))},
	{"8", OK("below what else is used", ST(BPF_DW, 10, -8, 0), MOV_IMM(1, 1), SAVE(1, -16), CPU,
		 RESTORE(1, -16), RET(0))},
	{"16", OK("a jump between", MOV_IMM(1, 1), JMP_IMM(BPF_JEQ, 1, 1, 1), SAVE(1, -16), CPU,
		  RESTORE(1, -16), ST(BPF_DW, 10, -8, 0), SAVE(1, -16), RET(0))},
	{"24+0", OKW("a loop that is inlined", (MAIN_AND({8, T_STATIC})), MOV_IMM(1, 1),
		     LOOP_OVER(6), RET(0), MOV_IMM(0, 0), EXIT())},
	{"32+0", OKW("the same, with a slot dropped", (MAIN_AND({12, T_STATIC})), MOV_IMM(1, 1),
		     ST(BPF_DW, 10, -8, 0), SAVE(1, -16), CPU, RESTORE(1, -16), LOOP_OVER(6),
		     RET(0), MOV_IMM(0, 0), EXIT())},
	{"0+0", OKW("a loop with flags that are not known", (MAIN_AND({9, T_STATIC})),
		    LDX(BPF_DW, 4, 1, 0), ALU64_IMM(BPF_AND, 4, 0x10), MOV_IMM(1, 1), LDFUNC(2, 5),
		    MOV_IMM(3, 0), CALL(BPF_FUNC_loop), RET(0), MOV_IMM(0, 0), EXIT())},
	{"512+0",
	 OKW("a full frame, and one that is empty but for saves", (MAIN_AND({5, T_STATIC})),
	     MOV_IMM(1, 1), ST(BPF_DW, 10, -512, 0), CALL_BPF(2), RET(0), SAVE(1, -8), CPU,
	     RESTORE(1, -8), MOV_IMM(0, 0), EXIT())},
};

/* newer kernels keep a time beside the counter */
static const struct vcase counter = OK("the counter of may_goto", MAY_GOTO(1), JA(-2), RET(0));

Test(verify_log, depth)
{
	char text[8192];

	for (u32 i = 0; i < ARRAY_SIZE(depths); i++) {
		say(&depths[i].c, 4, text, sizeof(text));
		cr_expect_str_eq(depth_in(text), depths[i].depth, "%s: %s", depths[i].c.name,
				 depth_in(text));
	}
	say(&counter, 4, text, sizeof(text));
	cr_expect_str_eq(depth_in(text), "8");
}

Test(verify_kernel, depth)
{
	char text[8192];

	if (!verify_kernel_maps())
		cr_skip_test("the kernel's bpf(2) is not to be had here, or too old");
	for (u32 i = 0; i < ARRAY_SIZE(depths); i++) {
		struct vcase c = depths[i].c;

		c.level = 4;
		cr_expect_geq(verify_kernel(&c, text, sizeof(text)), 0, "%s", text);
		cr_expect_str_eq(depth_in(text), depths[i].depth, "%s: the kernel says %s", c.name,
				 depth_in(text));
	}
}

/* a full frame below another one is too much, saves or not */
static const struct vcase too_deep = NOW(
	"too deep", (MAIN_AND({4, T_STATIC})), EACCES,
	"combined stack size of 2 calls is 528. Too large", ST(BPF_DW, 10, -512, 0), CALL_BPF(2),
	RET(0), SAVE(1, -8), CPU, RESTORE(1, -8), RESTORE(2, -8), MOV_IMM(0, 0), EXIT());

Test(verify_log, too_deep)
{
	char text[8192];

	say(&too_deep, 4, text, sizeof(text));
	HAS(text, "combined stack size of 2 calls is 528. Too large\n");
	HAS(text, "stack depth 512+8\n");
}

/* numbers without a name are told as what flows from a state, too */
static const struct vcase constants =
	OKW("constants", (FLAGS(BPF_F_TEST_STATE_FREQ)), CALL(BPF_FUNC_ktime_get_ns),
	    JMP_IMM(BPF_JGT, 0, 7, 3), MOV_IMM(3, 0), MOV_IMM(4, 0), JA(2), MOV_IMM(3, 0),
	    MOV_IMM(4, 0), JMP_REG(BPF_JEQ, 3, 4, 0), RET(0));
/* an address in the stack is no number: what it is compared with doesn't flow into it */
static const struct vcase beside_address =
	OK("beside an address", MOV_IMM(0, 0), MOV_IMM(2, 77), MOV_REG(3, 10),
	   JMP_REG(BPF_JLE, 3, 2, 1), JMP_IMM(BPF_JLE, 2, 8, 1), MOV_IMM(0, 2), EXIT());
/* r1 is linked with nothing any more, or never was: the same state */
static const struct vcase lone =
	OKW("a lone id", (FLAGS(BPF_F_TEST_STATE_FREQ)), CALL(BPF_FUNC_ktime_get_ns), MOV_REG(6, 0),
	    CALL(BPF_FUNC_ktime_get_ns), ALU64_IMM(BPF_AND, 0, 255), MOV_REG(1, 0), MOV_IMM(0, 0),
	    JMP_IMM(BPF_JGT, 6, 7, 1), JA(1), ALU64_IMM(BPF_AND, 1, 255), MOV_REG(2, 10),
	    ALU64_REG(BPF_ADD, 2, 1), EXIT());
/* two numbers without a link don't include two that are linked, as in the kernel */
static const struct vcase linked =
	OKW("linked", (FLAGS(BPF_F_TEST_STATE_FREQ)), CALL(BPF_FUNC_ktime_get_ns),
	    ALU64_IMM(BPF_AND, 0, 255), MOV_REG(6, 0), CALL(BPF_FUNC_ktime_get_ns),
	    ALU64_IMM(BPF_AND, 0, 255), MOV_REG(7, 0), MOV_IMM(0, 0), CALL(BPF_FUNC_ktime_get_ns),
	    JMP_REG(BPF_JGT, 6, 7, 1), JA(1), MOV_REG(6, 7), JMP_REG(BPF_JGT, 6, 7, 2),
	    MOV_REG(1, 10), ALU64_REG(BPF_ADD, 1, 6), RET(0));
/* bytes that may be anything may be a pointer's */
static const struct vcase anything =
	OKW("anything", (FLAGS(BPF_F_TEST_STATE_FREQ)), MOV_REG(9, 1), CALL(BPF_FUNC_ktime_get_ns),
	    JMP_IMM(BPF_JEQ, 0, 0, 4), CALL(BPF_FUNC_ktime_get_ns), STX(BPF_DW, 10, 0, -8),
	    STX(BPF_W, 10, 0, -4), JA(1), STX(BPF_DW, 10, 9, -8), LDX(BPF_DW, 1, 10, -8), RET(0));
/* the low part of what isn't known isn't known, either */
static const struct vcase low_part =
	OK("low part", CALL(BPF_FUNC_get_prandom_u32), STX(BPF_B, 10, 0, -8), RET(0));

Test(verify_log, paths)
{
	char text[16384];

	say(&constants, 2, text, sizeof(text));
	HAS(text, "\nframe 0: propagating r3,r4\n");
	HAS(text, "\n7: safe\n");
	say(&beside_address, 2, text, sizeof(text));
	HAS(text, "mark_precise: frame0: regs=r2 stack= before 3: (bd) if r3 <= r2 goto pc+1\n"
		  "mark_precise: frame0: regs=r2 stack= before 2: (bf) r3 = r10\n");
	say(&lone, 2, text, sizeof(text));
	HAS(text, "\n9: safe\n");
	HAS(text, "processed 13 insns");
	say(&linked, 2, text, sizeof(text));
	HAS_NOT(text, "\n11: safe");
	say(&anything, 2, text, sizeof(text));
	HAS(text, "\n8: safe\n");
	say(&low_part, 2, text, sizeof(text));
	HAS(text, "fp-8=???????scalar()\n");
}

/* what a call or a load looked at in the stack */
static const struct vcase iterator =
	OK("iterator", MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8), MOV_IMM(2, 0), MOV_IMM(3, 3),
	   KFUNC(EKFUNC_ITER_NUM_NEW), MOV_REG(1, 10), ALU64_IMM(BPF_ADD, 1, -8),
	   KFUNC(EKFUNC_ITER_NUM_NEXT), JMP_IMM(BPF_JNE, 0, 0, -4), MOV_REG(1, 10),
	   ALU64_IMM(BPF_ADD, 1, -8), KFUNC(EKFUNC_ITER_NUM_DESTROY), RET(0));

Test(verify_log, looked_at)
{
	char text[16384];

	say(&iterator, 2, text, sizeof(text));
	HAS(text, "; R0=0 fp-8=iter_num(ref_id=1,state=drained,depth=0) refs=1\n");
	say(&spilled, 2, text, sizeof(text));
	HAS(text, "2: (79) r2 = *(u64 *)(r10 -16)        ; R2=-8 R10=fp0 fp-16=-8\n");
}

/* functions that aren't served: named as the client names them, who may say anything */
static const struct vcase unserved = NO("unserved", EINVAL, "", KFUNC(4711), RET(0));

static void say_named(const char *name, u32 len, char *text, u32 size)
{
	struct ebpf_kfunc_name names[] = {{.id = 4710, .name = "other"}, {.id = 4711}};
	struct bpf_func_info funcs[VERIFY_MAX_FUNCS];
	struct ebpf_vprog prog = verify_program(&unserved, funcs);
	struct ebpf_log log = {.buf = text, .size = size, .level = 1};
	struct ebpf_facts facts = {0};

	memcpy(names[1].name, name, len);
	prog.kfuncs = names;
	prog.nkfuncs = ARRAY_SIZE(names);
	cr_expect_eq(ebpf_verify(&prog, &log, &facts), -EINVAL);
	ebpf_log_end(&log);
}

Test(verify_log, unserved)
{
	char text[4096];

	say_named("bpf_task_acquire", 16, text, sizeof(text));
	HAS(text, "0: (85) call bpf_task_acquire#4711\n"
		  "calling kernel function bpf_task_acquire is not allowed");
	say_named("evil\n\033[31m", 10, text, sizeof(text));
	HAS(text, "calling kernel function evil??[31m is not allowed");
	say_named("", 0, text, sizeof(text));
	HAS(text, "0: (85) call kernel-function#4711\n"
		  "calling kernel function with BTF id 4711 is not allowed");
}

/* too small a buffer keeps the end, where the reason is; its need doesn't depend on its size */
Test(verify_log, rolling)
{
	char all[8192], some[128];
	u64 need = say(&refused, 2, all, sizeof(all));
	size_t len = strlen(all);

	cr_assert_eq(need, len + 1);
	for (u32 size = 16; size <= sizeof(some); size += 7) {
		cr_expect_eq(say(&refused, 2, some, size), need);
		cr_expect_str_eq(some, all + len - strlen(some));
		cr_expect_eq(strlen(some), size - 1);
	}
}

/* BPF_LOG_FIXED keeps the start */
Test(verify_log, fixed)
{
	char all[8192], some[64];
	u64 need = say(&refused, 2 | 8, all, sizeof(all));

	cr_expect_eq(say(&refused, 2 | 8, some, sizeof(some)), need);
	cr_expect_eq(strlen(some), sizeof(some) - 1);
	cr_expect_eq(strncmp(some, all, sizeof(some) - 1), 0);
}

/* without a buffer the need is found out */
Test(verify_log, size_only)
{
	char all[8192];
	u64 need = say(&refused, 2, all, sizeof(all));
	struct ebpf_log log = {.level = 2};
	struct ebpf_facts facts;

	cr_expect_eq(verify_case(&refused, &log, &facts), -EACCES);
	cr_expect_eq(log.total, need);
}

/* names come from whoever made the object: nothing in them may speak to a terminal */
Test(verify_log, escaping)
{
	static const char evil[] = "\033[31mred\a\n1: (95) exit";
	char text[4096];

	/* a map's name is checked when it is made; the verifier must not rely on it */
	memcpy((char *)(uintptr_t)verify_map(M_HASH)->meta.name, evil, BPF_OBJ_NAME_LEN - 1);
	say(&lookup, 2, text, sizeof(text));
	for (const char *p = text; *p; p++)
		cr_assert(isprint((u8)*p) || *p == '\n' || *p == '\t', "byte %02x in the log",
			  (u8)*p);
	HAS_NOT(text, "\n1: (95) exit\n1");
}
