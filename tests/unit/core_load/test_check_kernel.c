/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The structural check beside the kernel's verifier: each field of each kind of instruction is
 * changed, and both judge the program around it. What the kernel refuses for its structure must be
 * refused here with the same errno, what the kernel takes must be taken. What it refuses for types
 * or bounds is its verifier's matter. Skipped where the kernel's BPF is not to be had.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/macros.h"
#include "tests/support/engine.h"

#define LOG_SIZE 16384
#define MAX_PROG 32
#define EXAMPLES 12

static char kernel_log[LOG_SIZE], our_log[LOG_SIZE];
static u32 tried, refused, differed;

static int kernels(const struct bpf_insn *insns, u32 n)
{
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE,
			    .insns = (u64)(uintptr_t)insns,
			    .insn_cnt = n,
			    .license = (u64)(uintptr_t) "GPL",
			    .log_buf = (u64)(uintptr_t)kernel_log,
			    .log_size = LOG_SIZE,
			    .log_level = 1};
	long fd;

	kernel_log[0] = '\0';
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

static int ours(const struct bpf_insn *insns, u32 n)
{
	struct ebpf_log log = {.buf = our_log, .size = LOG_SIZE, .level = 1};
	struct ebpf_load load = {.insns = insns, .ninsns = n, .log = &log};
	int r;

	our_log[0] = '\0';
	load.prog_type = BPF_PROG_TYPE_KPROBE;
	load.check_flags = EBPF_CHECK_STRUCTURE;
	r = ebpf_load_build(&load);
	free(load.image);
	return r;
}

/* words of the kernel's refusals that are about structure */
static bool structural(const char *log)
{
	static const char *const words[] = {
		"unknown opcode",
		"uses reserved fields",
		"is invalid\n",
		"frame pointer is read",
		"invalid shift",
		"div by zero",
		"bpf_ld_imm64 insn",
		"jump out of range",
		"jump into the middle",
		"not an exit",
		"unreachable insn",
		"to invalid destination",
		"invalid atomic opcode",
		"invalid BPF_LDX mode",
		"not allowed for this program type",
	};

	/* which descriptors there are is not structure, and is asked before the rest */
	for (size_t i = 0; i < ARRAY_SIZE(words) && strncmp(log, "fd", 2); i++)
		if (strstr(log, words[i]))
			return true;
	return false;
}

/* what this kernel may have and user space does not; the offset of an exit, which it never looks at
 */
static bool known_difference(const char *log)
{
	static const char *const words[] = {"may_goto needs", "do not exist in user space",
					    "BPF_EXIT uses reserved fields"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(log, words[i]))
			return true;
	return false;
}

static void judge(const struct bpf_insn *insns, u32 n, u32 at)
{
	int k = kernels(insns, n), o = ours(insns, n);
	bool wrong = k ? structural(kernel_log) && k != o : o && !known_difference(our_log);
	u64 word;

	tried++;
	refused += o != 0;
	if (!wrong)
		return;
	memcpy(&word, &insns[at], sizeof(word));
	if (differed++ < EXAMPLES)
		cr_log_error("%016llx: kernel %d, here %d\nkernel: %s\nhere: %s",
			     (unsigned long long)word, k, o, kernel_log, our_log);
}

/* everything readable, the instruction, something to jump over, the end */
static u32 surround(struct bpf_insn *p, const struct bpf_insn *in, u32 n, u32 *at)
{
	u32 k = 0;

	for (u8 r = 0; r <= 9; r++)
		if (r != 1)
			p[k++] = MOV_IMM(r, 3);
	p[k++] = ST(BPF_DW, 10, -8, 0);
	p[k++] = ST(BPF_DW, 10, -16, 0);
	*at = k;
	for (u32 i = 0; i < n; i++)
		p[k++] = in[i];
	p[k++] = MOV_IMM(0, 0);
	p[k++] = MOV_IMM(0, 0);
	p[k++] = EXIT();
	return k;
}

static void change(const struct bpf_insn *in, u32 n)
{
	static const s32 imms[] = {1,  2,  8,	 16,   31,   32,   63,
				   64, -1, 0x10, 0x41, 0xe1, 0xf1, 0x7fffffff};
	static const s16 offs[] = {1, 2, 3, 4, 8, 16, 32, 64, -1, -2, 0x7fff, -0x8000};
	struct bpf_insn p[MAX_PROG], *x;
	u32 at, len = surround(p, in, n, &at);
	struct bpf_insn keep = p[at];

	x = &p[at];
	judge(p, len, at);
	for (u32 v = 0; v < 256; v++, *x = keep) {
		x->code = (u8)v;
		judge(p, len, at);
	}
	for (u32 v = 0; v < 256; v++, *x = keep) {
		x->dst_reg = v & 15;
		x->src_reg = v >> 4 & 15;
		judge(p, len, at);
	}
	for (u32 i = 0; i < ARRAY_SIZE(offs); i++, *x = keep) {
		x->off = offs[i];
		judge(p, len, at);
	}
	/* which helpers there are is not structure */
	for (u32 i = 0; i < ARRAY_SIZE(imms) && keep.code != (BPF_JMP | BPF_CALL); i++, *x = keep) {
		x->imm = imms[i];
		judge(p, len, at);
	}
}

static const struct bpf_insn samples[] = {
	ALU64_IMM(BPF_ADD, 2, 5),
	ALU32_IMM(BPF_LSH, 2, 5),
	ALU64_REG(BPF_XOR, 2, 3),
	ALU32_REG(BPF_MOV, 2, 3),
	ALU64_REG(BPF_DIV, 2, 3),
	INSN(BPF_ALU64 | BPF_NEG, 2, 0, 0, 0),
	INSN(BPF_ALU | BPF_END | BPF_TO_BE, 2, 0, 0, 16),
	INSN(BPF_ALU64 | BPF_END, 2, 0, 0, 32),
	LDX(BPF_DW, 2, 10, -8),
	LDX(BPF_W, 2, 10, -16),
	STX(BPF_DW, 10, 3, -8),
	ST(BPF_W, 10, -8, 7),
	INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 10, 3, -8, BPF_ADD),
	INSN(BPF_STX | BPF_ATOMIC | BPF_W, 10, 3, -8, BPF_XCHG),
	JMP_IMM(BPF_JEQ, 2, 5, 1),
	INSN(BPF_JMP32 | BPF_JSLT | BPF_X, 2, 3, 1, 0),
	JA(0),
	INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, 0),
	CALL(14),
};

static void first_half(void)
{
	const struct bpf_insn wide[] = {LDDW(2, 0x123456789abcdef0)};

	change(wide, 2);
}

/* the word behind a lddw: nothing but an immediate */
static void second_half(void)
{
	struct bpf_insn wide[] = {LDDW(2, 0x123456789abcdef0)}, p[MAX_PROG];
	const struct bpf_insn keep = wide[1];

	for (u32 v = 0; v < 24; v++) {
		u32 at, len;

		wide[1] = keep;
		if (v < 8)
			wide[1].code = (u8)(1u << v);
		else if (v < 16)
			wide[1].dst_reg = v & 15;
		else
			wide[1].src_reg = v & 15;
		len = surround(p, wide, 2, &at);
		judge(p, len, at + 1);
	}
}

/* the last instruction and what it may be instead of exit */
static void endings(void)
{
	for (u32 v = 0; v < 256; v++) {
		const struct bpf_insn p[] = {MOV_IMM(0, 0), INSN(v, 0, 0, 0, 0)};

		judge(p, 2, 1);
	}
	for (u32 v = 0; v < 4; v++) {
		struct bpf_insn p[] = {MOV_IMM(0, 0), EXIT()};

		p[1].dst_reg = v == 0;
		p[1].src_reg = v == 1;
		p[1].off = v == 2;
		p[1].imm = v == 3;
		judge(p, 2, 1);
	}
}

/* one that knows the instructions of cpu v4 (6.6) */
static void need_kernel(void)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 0), INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, 0), EXIT()};

	if (geteuid() || kernels(p, 3))
		cr_skip_test("the kernel's bpf(2) is not to be had here, or too old");
	ebpf_helper_table_init();
}

static u64 state;

static u32 below(u32 n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (u32)(state >> 11) % n;
}

/* short programs of jumps, calls and wide instructions that go anywhere */
static u32 maze(struct bpf_insn *p)
{
	const struct bpf_insn wide[] = {LDDW(2, 1)};
	u32 n = 0, want = 2 + below(8);

	while (n < want) {
		s16 to = (s16)(below(9) - 4);

		switch (below(8)) {
		case 0:
			p[n++] = wide[0];
			p[n++] = wide[1];
			break;
		case 1:
			p[n++] = JA(to);
			break;
		case 2:
			p[n++] = INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, to);
			break;
		case 3:
			p[n++] = JMP_IMM(BPF_JEQ, 2, 5, to);
			break;
		case 4:
			p[n++] = CALL_BPF(to);
			break;
		case 5:
			p[n++] = EXIT();
			break;
		default:
			p[n++] = MOV_IMM(below(4) ? 0 : 2, 3);
		}
	}
	if (below(4))
		p[n++] = EXIT();
	return n;
}

/* A maze may be wrong in two ways, and who looks first is nobody's promise: no errno here. */
Test(check_kernel, same_verdict_on_mazes)
{
	const char *env = getenv("EBPFRT_SEED");
	u32 i, wrong = 0, fine = 0;

	need_kernel();
	state = (env ? strtoull(env, NULL, 0) : (u64)getpid() * 2654435761u) | 1;
	fprintf(stderr, "# EBPFRT_SEED=%llu\n", (unsigned long long)state);
	for (i = 0; i < 20000; i++) {
		struct bpf_insn p[MAX_PROG];
		u32 n = maze(p);
		int k = kernels(p, n), o = ours(p, n);

		fine += !o;
		if (k ? o || !structural(kernel_log) : !o)
			continue;
		if (wrong++ < EXAMPLES)
			cr_log_error("kernel %d %s\nhere %d %s", k, kernel_log, o, our_log);
	}
	cr_assert(fine > 200);
	cr_assert_eq(wrong, 0, "%u verdicts differ", wrong);
}

Test(check_kernel, same_verdict_on_every_field)
{
	need_kernel();
	for (u32 i = 0; i < ARRAY_SIZE(samples); i++)
		change(&samples[i], 1);
	first_half();
	second_half();
	endings();
	cr_log_info("%u programs, %u refused here", tried, refused);
	cr_assert(tried > 5000 && refused > tried / 4 && refused < tried);
	cr_assert_eq(differed, 0, "%u verdicts differ", differed);
}
