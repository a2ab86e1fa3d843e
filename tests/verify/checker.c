/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The refused cases before the checker alone.
 *
 * Model: the explorer may be wrong, the checker may not. So what is refused must be refused by the
 * checker, too, were the explorer to let it through. A program without loops needs no proof; the
 * others would be refused for want of one and show nothing.
 *
 * Rules: the checker proves that a program stays inside its memory, ends and gives back what it
 * holds. What the kernel refuses for another reason, it accepts: named below with the reason.
 */
#include "tests/verify/verify.h"

#include "core/load/vstate.h"

#define LOG_SIZE (64u << 10)

#define SECRET "an address is no secret: the program runs in its user's own process"
#define ALIGNED "the machine's loads and stores need no alignment"
#define FORM "a rule of form: what is executed touches nothing else"
#define REGS "the registers behind the context are memory: the access stays inside"
#define CLOSER "the checker knows more: the access stays inside"
#define TYPES "what type it has is the explorer's: the load is contained, and gives a number"
#define RUN_TIME "the helper looks at run time"

static const struct {
	const char *name, *reason;
} beyond[] = {
	{"more than 512 in two", "frames are 512 bytes each here"},
	{"in a subprogram, much stack above it", "frames are 512 bytes each here"},
	{"a function that nobody calls", FORM},
	{"func_info at another instruction", FORM},
	{"bpf_loop without func_info", FORM},
	{"a global function as a callback", FORM},
	{"code that nothing reaches", FORM},
	{"what exceptions end in, called", FORM},
	{"two functions that exceptions end in", FORM},
	{"exceptions that end in a function of another program", FORM},
	{"an unreachable end", FORM},
	{"may_goto with an immediate", FORM},
	{"a fixed offset added", FORM},
	{"a GPL helper from another license", "a licence isn't about safety"},
	{"two kinds of pointer met at one instruction", "loads are not rewritten by kind here"},
	{"two kinds of pointer at one load", "loads are not rewritten by kind here"},
	{"a slice after its dynptr was overwritten", "its memory is a map's value, which stays"},
	{"overwritten by a helper", "it is none then, and nothing uses it as one"},
	{"its bytes read", SECRET},
	{"its bytes as a key", SECRET},
	{"bits read from the stack", SECRET},
	{"half a pointer was filled as a whole", SECRET},
	{"half a pointer read", SECRET},
	{"upper half of a pointer read", SECRET},
	{"a byte of a pointer read", SECRET},
	{"half a pointer spilled", "what is filled from it is a number"},
	{"a slice of a length that varies, by kernel function", RUN_TIME},
	{"no byte, where it isn't", "nothing is touched"},
	{"may be none, where it mustn't", "nothing is touched"},
	{"snprintf with arguments of 12 bytes", RUN_TIME},
	{"strtol, its result unaligned", ALIGNED},
	{"2017-17856: alignment of the stack was not enforced", ALIGNED},
	{"misaligned by one", ALIGNED},
	{"misaligned load", ALIGNED},
	{"strict alignment of the stack is the same", ALIGNED},
	{"unaligned, when alignment is asked for", ALIGNED},
	{"variable offset, alignment not known", ALIGNED},
	{"the stack pointer might be 0", "it never is"},
	{"stack pointer minus a constant", "nothing is accessed"},
	{"too far in one step", "nothing is accessed"},
	{"too far in two steps", "nothing is accessed"},
	{"an unbounded number added to the stack pointer", "nothing is accessed"},
	{"division by 0", "the result is 0"},
	{"32-bit division by 0", "the result is 0"},
	{"signed division by 0", "the result is 0"},
	{"constants beside each other are no word", CLOSER},
	{"variable minus variable has no lower bound here", CLOSER},
	{"a register that is 0 checks nothing", CLOSER},
	{"behind it: across two", REGS},
	{"behind it: two for a helper", REGS},
	{"behind it: moved by a number", REGS},
	{"behind it: or itself", REGS},
	{"the context as a key", "the context is memory, and the key is inside"},
	{"typed: what is returned, at an entry", TYPES},
	{"typed: behind what is returned", TYPES},
	{"typed: what a void function returns", TYPES},
	{"typed: the second half of an argument", TYPES},
	{"typed: half of a pointer", TYPES},
	{"typed: an argument that can't be found", TYPES},
	{"typed: one behind it", TYPES},
	{"typed: nothing is probed", TYPES},
	{"typed: what is probed is no function", TYPES},
	{"typed: before it", TYPES},
	{"typed: behind it, where there is no such array", TYPES},
	{"typed: at a number", TYPES},
	{"typed: more than a member", TYPES},
	{"typed: a part of a pointer", TYPES},
	{"typed: between members", TYPES},
	{"typed: a part of bit-fields", TYPES},
	{"typed: through a number of the target", TYPES},
	{"typed: through a pointer to numbers", TYPES},
	{"typed: through nothing", TYPES},
	{"typed: bits of a pointer", TYPES},
	{"typed: one instruction for a pointer and the stack", TYPES},
	{"delete from a stack trace's map by key of the context",
	 "the context is memory, and the key is inside"},
};

static bool may_accept(const char *name)
{
	for (u32 i = 0; i < ARRAY_SIZE(beyond); i++)
		if (!strcmp(beyond[i].name, name))
			return true;
	return false;
}

static bool loops(const struct vcase *c)
{
	for (u32 i = 0; i < c->n; i++) {
		u8 class = BPF_CLASS(c->insns[i].code), op = BPF_OP(c->insns[i].code);

		if ((class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT &&
		    (c->insns[i].off < 0 || (op == BPF_JA && c->insns[i].imm < 0)))
			return true;
	}
	return false;
}

static int check(const struct vcase *c, struct ebpf_proof *proof, char *text)
{
	struct bpf_func_info funcs[VERIFY_MAX_FUNCS];
	struct ebpf_vprog prog = verify_program(c, funcs);
	struct ebpf_log log = {.buf = text, .size = LOG_SIZE, .level = 1};
	struct ebpf_facts facts = {0};
	int r = ebpf_check_proof(&prog, proof, &log, &facts);

	ebpf_facts_free(&facts);
	ebpf_log_end(&log);
	return r;
}

void verify_theme_checker(const char *theme, const struct vcase *cases, u32 n)
{
	_cleanup_free_ char *text = malloc(LOG_SIZE);
	u32 bad = 0;

	cr_assert(text);
	for (u32 i = 0; i < n; i++) {
		struct ebpf_proof none = {0};

		if (!cases[i].err || loops(&cases[i]) || check(&cases[i], &none, text) ||
		    may_accept(cases[i].name))
			continue;
		cr_log_error("%s: the checker accepts it", cases[i].name);
		bad++;
	}
	cr_assert_eq(bad, 0, "%s: the checker accepts %u of %u", theme, bad, n);
}

/*
 * bpf_loop() calls as often as it may, then @again ends the program or starts over. Its callback
 * sets what is 0 before: were that not done, the program would end.
 */
#define CALLS_AND(again)                                                                           \
	MAIN_AND({13, T_STATIC}),                                                                  \
		VINSNS(MOV_IMM(1, 2), LDFUNC(2, 11), MOV_REG(3, 10), ALU64_IMM(BPF_ADD, 3, -8),    \
		       MOV_IMM(4, 0), ST(BPF_DW, 10, -8, 0), CALL(BPF_FUNC_loop),                  \
		       LDX(BPF_DW, 1, 10, -8), JMP_IMM(BPF_JEQ, 1, 0, 1),                          \
		       INSN(BPF_JMP | BPF_JA, 0, 0, again, 0), RET(0), ST(BPF_DW, 2, 0, 1),        \
		       RET(0))

/* The budget of one call of a helper bounds no loop around it. */
Test(verify_checker, a_budget_ends_with_its_call)
{
	const struct vcase ends = {.name = "ends", CALLS_AND(0)};
	const struct vcase endless = {.name = "endless", CALLS_AND(-11)};
	_cleanup_free_ char *text = malloc(LOG_SIZE);
	struct bpf_func_info funcs[VERIFY_MAX_FUNCS];
	struct ebpf_vprog prog = verify_program(&ends, funcs);
	struct ebpf_proof proof = {0};
	struct ebpf_facts facts = {0};
	struct ebpf_log silent = {0};

	cr_assert(text);
	cr_assert_eq(ebpf_explore(&prog, &silent, &proof, &facts), 0);
	ebpf_facts_free(&facts);
	cr_expect_eq(check(&ends, &proof, text), 0, "%s", text);
	cr_expect_eq(check(&endless, &proof, text), -EFAULT);
	cr_expect(strstr(text, "a loop that nothing bounds"), "%s", text);
	ebpf_proof_free(&proof);
}
