/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scalar domain beside the kernel's: random arithmetic and conditions on two registers, the
 * kernel's log of level 2 says what it knows after each instruction, and so do we, from the same
 * state before it. What we know must contain nothing that the kernel excludes (we are at least as
 * precise), and is mostly the same, to the letter. Skipped where the kernel's BPF is not to be had.
 * DOMAIN_SEED repeats a run, DOMAIN_ROUNDS lengthens it.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/uapi.h"
#include "tests/unit/core_load/domain_random.h"

#define FIRST 2 /* instructions before the random ones: the two registers are loaded */
#define BODY 12
#define MAX_PROG (FIRST + BODY + 2 + 2 * BODY)
#define LOG_SIZE (1 << 20)
#define R6 6
#define NREGS 2

static char log_text[LOG_SIZE];
static struct bpf_insn prog[MAX_PROG];
static u32 nprog;
static u64 seed, began;
/* comparisons of a register's text */
static unsigned long same, better, worse;

/* --- programs ------------------------------------------------------------------------------- */
static u32 below(u32 n)
{
	return (u32)(random_next(&seed) % n);
}

static struct bpf_insn insn(u8 code, u8 dst, u8 src, s16 off, s32 imm)
{
	return (struct bpf_insn){
		.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

static s32 immediate(void)
{
	return (s32)random_number(&seed);
}

static bool is_shift(u8 op)
{
	return op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
}

static struct bpf_insn random_alu(void)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_AND,  BPF_OR,  BPF_XOR,
				 BPF_AND, BPF_LSH, BPF_RSH, BPF_ARSH, BPF_DIV, BPF_MOD};
	u8 op = ops[below(ARRAY_SIZE(ops))], class = below(2) ? BPF_ALU64 : BPF_ALU;
	u8 dst = (u8)(R6 + below(NREGS)), src = (u8)(R6 + R6 + 1 - dst);
	s32 imm = immediate();
	s16 off = (op == BPF_DIV || op == BPF_MOD) && below(2);

	if (below(3) == 0)
		return insn(class | op | BPF_X, dst, src, off, 0);
	if (is_shift(op))
		imm = (s32)below(class == BPF_ALU64 ? 64 : 32);
	if ((op == BPF_DIV || op == BPF_MOD) && !imm)
		imm = 7;
	return insn(class | op | BPF_K, dst, 0, off, imm);
}

static struct bpf_insn random_unary(void)
{
	static const u8 widths[] = {8, 16, 32};
	u8 dst = (u8)(R6 + below(NREGS)), class = below(2) ? BPF_ALU64 : BPF_ALU;

	if (below(2))
		return insn(class | BPF_NEG, dst, 0, 0, 0);
	return insn(class | BPF_MOV | BPF_X, dst, dst, widths[below(class == BPF_ALU64 ? 3 : 2)],
		    0);
}

static struct bpf_insn random_jmp(void)
{
	static const u8 ops[] = {BPF_JEQ, BPF_JNE,  BPF_JSET, BPF_JGT,	BPF_JGE, BPF_JLT,
				 BPF_JLE, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE};
	u8 op = ops[below(ARRAY_SIZE(ops))], class = below(2) ? BPF_JMP : BPF_JMP32;
	u8 dst = (u8)(R6 + below(NREGS));

	if (below(2))
		return insn(class | op | BPF_X, dst, (u8)(R6 + R6 + 1 - dst), 0, 0);
	return insn(class | op | BPF_K, dst, 0, 0, immediate());
}

static bool is_jmp(const struct bpf_insn *i)
{
	return BPF_CLASS(i->code) == BPF_JMP || BPF_CLASS(i->code) == BPF_JMP32;
}

static void add_exit(void)
{
	prog[nprog++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	prog[nprog++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Each condition jumps to an exit of its own, so that no branch looks like another. */
static void make_program(void)
{
	u32 i, kind;

	nprog = 0;
	prog[nprog++] = insn(BPF_LDX | BPF_MEM | BPF_DW, R6, 1, 0, 0);
	prog[nprog++] = insn(BPF_LDX | BPF_MEM | BPF_DW, R6 + 1, 1, 8, 0);
	while (nprog < FIRST + BODY) {
		kind = below(8);
		prog[nprog++] = kind < 4 ? random_alu() : kind < 5 ? random_unary() : random_jmp();
	}
	add_exit();
	for (i = FIRST; i < FIRST + BODY; i++) {
		if (is_jmp(&prog[i])) {
			prog[i].off = (s16)(nprog - i - 1);
			add_exit();
		}
	}
}

static int load(void)
{
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE,
			    .insns = (u64)(uintptr_t)prog,
			    .insn_cnt = nprog,
			    .license = (u64)(uintptr_t) "GPL",
			    .log_buf = (u64)(uintptr_t)log_text,
			    .log_size = LOG_SIZE,
			    .log_level = 2};
	long fd;

	log_text[0] = '\0';
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

/* --- the kernel's log ----------------------------------------------------------------------- */
/* The line that begins with @head, or NULL. */
static const char *line_of(const char *head)
{
	char begin[80];
	const char *at;

	snprintf(begin, sizeof(begin), "\n%s", head);
	at = strstr(log_text, begin);
	return at ? at + 1 : NULL;
}

/* The text inside "scalar(...)" of register @reg in @line, or its number, without an id. */
static bool register_text(const char *line, int reg, char *out, size_t size)
{
	const char *end = strchr(line, '\n'), *at;
	char name[24];
	size_t n;

	snprintf(name, sizeof(name), " R%d=", reg);
	at = strstr(line, name);
	if (!at || at > end)
		return false;
	at += strlen(name);
	at += *at == 'P';
	n = (size_t)(end - at);
	if (strncmp(at, "scalar(", 7)) {
		n = strcspn(at, " \n");
		snprintf(out, size, "%.*s", (int)n, at);
		return true;
	}
	at += 7;
	/* closed before the next register, or at the end */
	for (n = 0; at + n < end && strncmp(at + n, ") R", 3) && at + n + 1 != end; n++)
		;
	snprintf(out, size, "%.*s", (int)n, at);
	if (!strncmp(out, "id=", 3))
		memmove(out, out + strcspn(out, ",") + 1, strlen(out));
	return true;
}

static void set_bound(struct ebpf_scalar *s, const char *name, size_t len, u64 value)
{
#define BOUND(which, field)                                                                        \
	if (len == sizeof(which) - 1 && !strncmp(name, which, len))                                \
	s->field = (__typeof__(s->field))value
	BOUND("smin", smin);
	BOUND("smax", smax);
	BOUND("umin", umin);
	BOUND("umax", umax);
	BOUND("smin32", s32_min);
	BOUND("smax32", s32_max);
	BOUND("umin32", u32_min);
	BOUND("umax32", u32_max);
}

static u64 number(const char *text)
{
	return *text == '-' ? (u64)strtoll(text, NULL, 0) : strtoull(text, NULL, 0);
}

/* "smin=smin32=0": the names, then the value of them all. */
static const char *parse_group(const char *at, struct ebpf_scalar *s)
{
	size_t len = strcspn(at, ",");
	const char *value = at + len, *name;

	while (value[-1] != '=')
		value--;
	for (name = at; name < value; name += strcspn(name, "=") + 1)
		set_bound(s, name, strcspn(name, "="), number(value));
	return at + len + (at[len] == ',');
}

static struct ebpf_scalar parse(const char *text)
{
	struct ebpf_scalar s;
	unsigned long long value, mask;

	ebpf_scalar_unknown(&s);
	if (*text && !strchr(text, '=')) {
		ebpf_scalar_const(&s, number(text));
		return s;
	}
	while (*text && strncmp(text, "var_off", 7))
		text = parse_group(text, &s);
	if (sscanf(text, "var_off=(0x%llx; 0x%llx)", &value, &mask) == 2)
		s.var_off = (struct ebpf_tnum){value, mask};
	return s;
}

/* --- comparison ----------------------------------------------------------------------------- */
static void report(u32 i, const char *what, const char *theirs, const char *mine)
{
	const struct bpf_insn *n = &prog[i];

	cr_log_warn("%s at %u: %02x r%u r%u off %d imm %d: kernel (%s), here (%s), "
		    "DOMAIN_SEED=%#" PRIx64,
		    what, i, n->code, n->dst_reg, n->src_reg, n->off, n->imm, theirs, mine, began);
}

/* Compare @s with what the kernel's line says of @reg, and go on from what the kernel knows. */
static void compare(u32 i, const char *line, int reg, struct ebpf_scalar *s)
{
	struct ebpf_scalar theirs;
	char text[512], mine[512];

	if (!register_text(line, reg, text, sizeof(text)))
		return;
	ebpf_scalar_print(s, mine, sizeof(mine));
	if (!strcmp(text, mine)) {
		same++;
		return;
	}
	theirs = parse(text);
	if (ebpf_scalar_in(s, &theirs)) {
		better++;
		if (getenv("DOMAIN_SHOW"))
			report(i, "more precise", text, mine);
	} else {
		worse++;
		report(i, "less precise", text, mine);
	}
	*s = theirs;
	cr_assert(ebpf_scalar_sync(s), "the kernel's state is empty: (%s)", text);
}

static void do_alu(const struct bpf_insn *i, struct ebpf_scalar *regs)
{
	struct ebpf_scalar *dst = &regs[i->dst_reg - R6], src;
	bool is64 = BPF_CLASS(i->code) == BPF_ALU64;

	if (BPF_OP(i->code) == BPF_NEG) {
		ebpf_scalar_neg(dst, is64);
		return;
	}
	if (BPF_OP(i->code) == BPF_MOV) {
		ebpf_scalar_sext(dst, (u8)(i->off / 8), is64);
		return;
	}
	if (BPF_SRC(i->code) == BPF_X)
		src = regs[i->src_reg - R6];
	else
		ebpf_scalar_const(&src, (u64)(s64)i->imm);
	ebpf_scalar_alu(dst, &src, BPF_OP(i->code), is64, i->off == 1);
}

static void compare_taken(u32 at, const struct ebpf_scalar *regs)
{
	struct ebpf_scalar now[NREGS] = {regs[0], regs[1]};
	char head[64];
	const char *line;
	int r;

	snprintf(head, sizeof(head), "from %u to %u: R", at, at + 1 + prog[at].off);
	line = line_of(head);
	for (r = 0; line && r < NREGS; r++)
		compare(at, line, R6 + r, &now[r]);
}

static bool goes_on(u32 at)
{
	char head[32];

	snprintf(head, sizeof(head), "%u: (", at + 1);
	return line_of(head);
}

/* Both ways of a condition. False: the kernel's path doesn't go on to the next instruction. */
static bool do_jmp(u32 at, struct ebpf_scalar *regs, const char *line)
{
	const struct bpf_insn *i = &prog[at];
	bool is32 = BPF_CLASS(i->code) == BPF_JMP32, lives, falls = goes_on(at);
	struct ebpf_scalar yes[NREGS] = {regs[0], regs[1]}, constant, was;
	struct ebpf_scalar *dst = &regs[i->dst_reg - R6], *src = &constant;
	struct ebpf_scalar *yes_src = &was;
	char jump[64];
	int taken, r;

	ebpf_scalar_const(&constant, (u64)(s64)i->imm);
	was = constant;
	if (BPF_SRC(i->code) == BPF_X) {
		src = &regs[i->src_reg - R6];
		yes_src = &yes[i->src_reg - R6];
	}
	snprintf(jump, sizeof(jump), "from %u to %u:", at, at + 1 + i->off);
	taken = ebpf_scalar_taken(dst, src, BPF_OP(i->code), is32);
	if (!falls || !line_of(jump)) { /* the kernel is sure */
		worse += taken != !falls;
		if (taken != !falls)
			report(at, "not predicted", falls ? "no" : "yes", "?");
		return falls;
	}
	if (ebpf_scalar_refine(&yes[i->dst_reg - R6], yes_src, BPF_OP(i->code), is32, true))
		compare_taken(at, yes);
	lives = ebpf_scalar_refine(dst, src, BPF_OP(i->code), is32, false);
	better += taken != -1 || !lives;
	if (!lives || taken == 1)
		return false;
	for (r = 0; r < NREGS; r++)
		compare(at, line, R6 + r, &regs[r]);
	return true;
}

/* Newer kernels follow 0 and -1 apart where a number is one of the two and masked next. */
static bool is_split(u32 at)
{
	char head[32];

	snprintf(head, sizeof(head), "from %u to %u:", at, at);
	return line_of(head);
}

static void compare_program(void)
{
	struct ebpf_scalar regs[NREGS];
	const char *line;
	char head[32];
	u32 i;

	ebpf_scalar_unknown(&regs[0]);
	ebpf_scalar_unknown(&regs[1]);
	for (i = FIRST; i < FIRST + BODY; i++) {
		snprintf(head, sizeof(head), "%u: (", i);
		line = line_of(head);
		if (!line || is_split(i))
			return;
		if (is_jmp(&prog[i])) {
			if (!do_jmp(i, regs, line))
				return;
			continue;
		}
		do_alu(&prog[i], regs);
		compare(i, line, prog[i].dst_reg, &regs[prog[i].dst_reg - R6]);
	}
}

Test(scalar_kernel, at_least_as_precise_and_mostly_the_same_text)
{
	const char *given = getenv("DOMAIN_ROUNDS");
	unsigned long rounds = given ? strtoul(given, NULL, 0) : 400, n, all;
	int r;

	seed = random_seed();
	for (n = 0; n < rounds; n++) {
		began = seed;
		make_program();
		r = load();
		if (r == -EPERM || r == -ENOSYS || r == -EACCES)
			cr_skip_test("the kernel's BPF is not to be had: %s", strerror(-r));
		if (r)
			cr_log_warn("refused (%d): %s", r, log_text);
		else
			compare_program();
	}
	all = same + better + worse;
	cr_log_info(
		"%lu states compared: %.2f%% the same text, %.2f%% more precise, %lu less precise",
		all, 100.0 * same / all, 100.0 * better / all, worse);
	cr_assert_gt(same, rounds);
	cr_assert_eq(worse, 0);
}
