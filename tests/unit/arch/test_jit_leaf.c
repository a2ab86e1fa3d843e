/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs as leaves, called from a stub as in a target: they do to their maps what the interpreter
 * does, count, and leave every register and flag as it was; and what is in their way sends the hit
 * to the agent, or to where a thread gets its entry, as if the stub had called that. Random
 * programs, too; the seed is printed, EBPFRT_SEED repeats a run.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/arch.h"
#include "arch/x86_64/jit_emit.h"
#include "core/load/vprog.h"
#include "core/run/map/map.h"
#include "tests/support/engine.h"

#define MAP_AT(reg) LDDW_KIND(reg, BPF_PSEUDO_MAP_FD, 3)
#define VALUE_AT(reg, off)                                                                         \
	INSN(BPF_LD | BPF_IMM | BPF_DW, reg, BPF_PSEUDO_MAP_VALUE, 0, 3), INSN(0, 0, 0, 0, off)
#define ENTRIES (1u << ARCH_LEAF_HASH_BITS)
#define VALUE 256
#define STAT 40
#define GPRS 16
#define SP 4 /* the CPU's number of rsp */
#define STATUS 0x8d5

struct leaf_entry {
	u64 thread, low;
	u8 *lane;
	u64 pad;
};

struct world {
	u64 regs[GPRS], flags; /* for the stub */
	u64 got[GPRS], left;   /* and behind it */
	u64 other[4]; /* where the agent was called: times, return address, distance, rsp */
	u64 claims;
	u64 sp;
};

static struct world *w;
static u8 *arena, *text; /* a stub and its record; a leaf's page and its own */
static struct leaf_entry *entries;
static struct osl_life life;
static u8 lane[4096];
static struct ebpf_map map;
static u8 *value;
static u64 state;

static u64 rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void seed(void)
{
	const char *env = getenv("EBPFRT_SEED");
	u64 s = env ? strtoull(env, NULL, 0) : (u64)getpid() * 2654435761u + osl_now_ns();

	state = s | 1;
	cr_log_info("EBPFRT_SEED=%llu", (unsigned long long)s);
}

static const struct ebpf_map_meta *by_fd(void *cookie, s32 fd, bool is_index)
{
	return &map.meta;
}

static int view(void *cookie, u32 id, struct ebpf_vmap *out)
{
	*out = (struct ebpf_vmap){.meta = map.meta};
	return 0;
}

/* Stands for the agent: notes that it was called, and how, and changes nothing. */
__asm__(".text\nleaf_agent:\n"
	"lea -16(%rsp), %rsp\n"
	"push %rax\n push %rcx\n pushfq\n mov leaf_world(%rip), %rax\n incq 272(%rax)\n"
	"mov 48(%rsp), %rcx\n mov %rcx, 288(%rax)\n mov 40(%rsp), %rcx\n mov %rcx, 280(%rax)\n"
	"add $4, %rcx\n mov %rcx, 24(%rsp)\n lea 40(%rsp), %rcx\n mov %rcx, 296(%rax)\n"
	"popfq\n pop %rcx\n pop %rax\n lea 16(%rsp), %rsp\n ret\n"
	/* and for where entries are taken: what is kept below the stack pointer is given back */
	"leaf_claim:\n"
	"mov leaf_world(%rip), %rdx\n incq 304(%rdx)\n mov %rcx, 312(%rdx)\n"
	"mov leaf_dx(%rip), %rdx\n"
	"mov -24(%rsp), %eax\n add $0x7f, %al\n sahf\n mov -32(%rsp), %rcx\n mov -8(%rsp), %rax\n"
	"jmp leaf_agent\n");
extern u8 leaf_agent[], leaf_claim[];
struct world *leaf_world;
u64 leaf_dx;
_Static_assert(offsetof(struct world, other) == 272, "leaf_agent");
_Static_assert(offsetof(struct world, claims) == 304, "leaf_claim");

/* As a function is called: with all registers and flags of the world. rsp is what it is. */
__asm__(".text\nleaf_go:\n"
	"push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
	"push %rsi\n" /* the stub */
	"mov leaf_world(%rip), %rax\n"
	"push 128(%rax)\n popfq\n"
	"mov 8(%rax), %rcx\n mov 16(%rax), %rdx\n mov 24(%rax), %rbx\n mov 40(%rax), %rbp\n"
	"mov 48(%rax), %rsi\n mov 56(%rax), %rdi\n mov 64(%rax), %r8\n mov 72(%rax), %r9\n"
	"mov 80(%rax), %r10\n mov 88(%rax), %r11\n mov 96(%rax), %r12\n mov 104(%rax), %r13\n"
	"mov 112(%rax), %r14\n mov 120(%rax), %r15\n mov 0(%rax), %rax\n"
	"call *(%rsp)\n"
	"push %rax\n mov leaf_world(%rip), %rax\n"
	"pop 136(%rax)\n mov %rcx, 144(%rax)\n mov %rdx, 152(%rax)\n mov %rbx, 160(%rax)\n"
	"mov %rbp, 176(%rax)\n mov %rsi, 184(%rax)\n mov %rdi, 192(%rax)\n mov %r8, 200(%rax)\n"
	"mov %r9, 208(%rax)\n mov %r10, 216(%rax)\n mov %r11, 224(%rax)\n mov %r12, 232(%rax)\n"
	"mov %r13, 240(%rax)\n mov %r14, 248(%rax)\n mov %r15, 256(%rax)\n"
	"pushfq\n pop 264(%rax)\n"
	"lea -8(%rsp), %rcx\n mov %rcx, 320(%rax)\n"
	"pop %rsi\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");
void leaf_go(void *unused, void *stub);
_Static_assert(offsetof(struct world, got) == 136 && offsetof(struct world, left) == 264, "");

static void make_stub(void)
{
	u8 *s = arena + ARCH_STUB_SIZE;
	static const u8 lea[] = {0x48, 0x8d, 0x64, 0x24, 0x80}, push[] = {0x68, 0x11, 0, 0, 0},
			call[] = {0xff, 0x15},
			back[] = {0xff, 0x64, 0x24, 0xe8, /* ARCH_STUB_BACK: */
				  0x48, 0x8d, 0xa4, 0x24, 136, 0, 0, 0, 0xc3};
	u32 to = ARCH_STUB_RECORDS - ARCH_STUB_HEAD;

	memcpy(s, lea, 5);
	memcpy(s + 5, push, 5);
	memcpy(s + 10, call, 2);
	memcpy(s + 12, &to, 4);
	memcpy(s + 16, back, sizeof(back));
}

static void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	cr_assert_neq(p, MAP_FAILED);
	return p;
}

static void init(void)
{
	struct ebpf_map_meta meta = {.id = 1,
				     .type = BPF_MAP_TYPE_ARRAY,
				     .key_size = 4,
				     .value_size = VALUE,
				     .max_entries = 1,
				     .nr_cpus = 1};
	u64 size = ebpf_map_shm_size(&meta);

	cr_assert_eq(ebpf_map_bind(&map, &meta, pages(size), size), 0);
	value = map.ops->value_addr(&map, 0);
	ebpf_map_self = 1;
	osl_trap_init_self();
	leaf_world = w = pages(4096);
	arena = pages(2 * ARCH_STUB_RECORDS);
	text = pages(2 * ARCH_LEAF_MAX);
	entries = pages(ENTRIES * sizeof(*entries));
	make_stub();
	seed();
}

TestSuite(jit_leaf, .init = init);

/* --- a leaf -------------------------------------------------------------------------------------
 */

struct leaf {
	struct engine e;
	struct arch_leaf is;
};

/* Verified, as in the daemon. */
static int load(struct leaf *l, const struct bpf_insn *insns, u32 n)
{
	struct engine *e = &l->e;
	int r;

	*e = (struct engine){.load = {.map_by_fd = by_fd,
				      .map_view = view,
				      .gpl = true,
				      .nr_cpus = 1,
				      .insns = insns,
				      .ninsns = n,
				      .prog_type = BPF_PROG_TYPE_KPROBE,
				      .want_jit = true,
				      .log = &e->log}};
	e->log = (struct ebpf_log){.buf = e->text, .size = sizeof(e->text), .level = 1};
	r = ebpf_load_build(&e->load);
	cr_assert_eq(r, 0, "%d: %s", r, e->text);
	for (u32 i = 0; i < ((struct ebpf_image *)e->load.image)->nrefs; i++)
		e->refs[i] = ebpf_image_refs((void *)e->load.image)[i].kind == EBPF_REF_MAP
				     ? (u64)&map
				     : (u64)value + ebpf_image_refs((void *)e->load.image)[i].off;
	ebpf_helper_table_init();
	cr_assert_eq(engine_map(e), 0);
	return e->prog.image->leaf ? 0 : -EOPNOTSUPP;
}

static struct leaf_entry *own_entry(void)
{
	u32 hash = (u32)arch_thread_pointer() * (u32)ARCH_LEAF_HASH;

	return &entries[hash >> (32 - ARCH_LEAF_HASH_BITS)];
}

static u64 *record(void)
{
	return (u64 *)(arena + ARCH_STUB_SIZE + ARCH_STUB_RECORDS);
}

static void put(const struct leaf *l)
{
	const struct ebpf_image *img = l->e.prog.image;
	u64 *own = (u64 *)(text + ARCH_LEAF_MAX);

	memcpy(text, (const u8 *)img + img->leaf, ARCH_LEAF_MAX);
	own[ARCH_LEAF_ENTRIES] = (u64)entries;
	own[ARCH_LEAF_LIFE] = (u64)&life;
	own[ARCH_LEAF_AGENT] = (u64)leaf_agent;
	own[ARCH_LEAF_CLAIM] = (u64)leaf_claim;
	memcpy(own + ARCH_LEAF_REFS, l->e.refs, sizeof(l->e.refs));
	record()[ARCH_LEAF_REC_CALL] = (u64)text;
	record()[ARCH_LEAF_REC_STAT] = STAT;
	record()[ARCH_LEAF_REC_SITE] = 0x1234567890;
	*own_entry() = (struct leaf_entry){.thread = arch_thread_pointer(),
					   .low = (u64)&own - (3u << (ARCH_LEAF_WINDOW - 2)),
					   .lane = lane};
}

static void go(void)
{
	for (u32 i = 0; i < GPRS; i++)
		w->regs[i] = rnd();
	w->flags = 0x202 | (rnd() & STATUS);
	leaf_dx = w->regs[2];
	memset(w->other, 0, sizeof(w->other));
	w->claims = 0;
	leaf_go(NULL, arena + ARCH_STUB_SIZE);
	for (u32 i = 0; i < GPRS; i++)
		if (i != SP)
			cr_assert_eq(w->got[i], w->regs[i], "register %u: %llx, not %llx", i,
				     (unsigned long long)w->got[i], (unsigned long long)w->regs[i]);
	cr_assert_eq(w->left & STATUS, w->flags & STATUS, "flags: %llx, not %llx",
		     (unsigned long long)w->left, (unsigned long long)w->flags);
}

/* What the program reads, in the thread that has gone. */
static struct arch_regs as_context(void)
{
	const u64 *r = w->regs;

	return (struct arch_regs){
		.ax = r[0],
		.cx = r[1],
		.dx = r[2],
		.bx = r[3],
		.bp = r[5],
		.si = r[6],
		.di = r[7],
		.r8 = r[8],
		.r9 = r[9],
		.r10 = r[10],
		.r11 = r[11],
		.r12 = r[12],
		.r13 = r[13],
		.r14 = r[14],
		.r15 = r[15],
		.ip = 0x1234567890,
		.sp = *(u64 *)((u8 *)w + 320),
	};
}

static void same_as_interpreter(struct leaf *l, const char *what)
{
	static u8 before[VALUE], after[VALUE];
	struct ebpf_run run = {.kind = EBPF_RUN_TEST};
	struct arch_regs regs;

	memcpy(before, value, VALUE);
	memset(lane, 0, sizeof(lane));
	put(l);
	go();
	cr_assert_eq(w->other[0], 0, "%s: the agent was called", what);
	cr_assert_eq(*(u64 *)lane, 1);
	cr_assert_eq(*(u64 *)(lane + STAT), 1);
	memcpy(after, value, VALUE);
	memcpy(value, before, VALUE);
	regs = as_context();
	ebpf_prog_run_interp(&l->e.prog, &regs, &run);
	cr_assert_arr_eq(after, value, VALUE, "%s", what);
}

#define LEAF(what, ...)                                                                            \
	do {                                                                                       \
		const struct bpf_insn insns_[] = {__VA_ARGS__};                                    \
		struct leaf l_;                                                                    \
		cr_assert_eq(load(&l_, insns_, ARRAY_SIZE(insns_)), 0, "%s: no leaf", what);       \
		for (u32 k_ = 0; k_ < 50; k_++)                                                    \
			same_as_interpreter(&l_, what);                                            \
		engine_close(&l_.e);                                                               \
	} while (0)

#define NO_LEAF(what, ...)                                                                         \
	do {                                                                                       \
		const struct bpf_insn insns_[] = {__VA_ARGS__};                                    \
		struct leaf l_;                                                                    \
		cr_assert_neq(load(&l_, insns_, ARRAY_SIZE(insns_)), 0, "%s: a leaf", what);       \
		engine_close(&l_.e);                                                               \
	} while (0)

#define AT(field) offsetof(struct arch_regs, field)
#define ATOMIC(size, op, d, s, o) INSN(BPF_STX | BPF_ATOMIC | (size), d, s, o, op)

Test(jit_leaf, forms)
{
	LEAF("nothing", MOV_IMM(0, 0), EXIT());
	LEAF("a counter", VALUE_AT(1, 8), MOV_IMM(2, 1), ATOMIC(BPF_DW, BPF_ADD, 1, 2, 0),
	     MOV_IMM(0, 0), EXIT());
	LEAF("a counter without a lock", VALUE_AT(1, 8), LDX(BPF_DW, 2, 1, 0),
	     ALU64_IMM(BPF_ADD, 2, 1), STX(BPF_DW, 1, 2, 0), MOV_IMM(0, 0), EXIT());
	LEAF("an element", ST(BPF_W, 10, -4, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -4),
	     MAP_AT(1), CALL(1), JMP_IMM(BPF_JEQ, 0, 0, 2), MOV_IMM(1, 3),
	     ATOMIC(BPF_DW, BPF_ADD, 0, 1, 16), MOV_IMM(0, 0), EXIT());
	LEAF("an element that there may be", MOV_REG(6, 1), LDX(BPF_DW, 2, 6, AT(di)),
	     ALU64_IMM(BPF_AND, 2, 1), STX(BPF_W, 10, 2, -4), MOV_REG(2, 10),
	     ALU64_IMM(BPF_ADD, 2, -4), MAP_AT(1), CALL(1), JMP_IMM(BPF_JNE, 0, 0, 2),
	     VALUE_AT(0, 0), LDX(BPF_DW, 1, 6, AT(si)), ATOMIC(BPF_DW, BPF_ADD, 0, 1, 24),
	     MOV_IMM(0, 0), EXIT());
	LEAF("several ends", LDX(BPF_DW, 2, 1, AT(dx)), ALU64_IMM(BPF_AND, 2, 3),
	     JMP_IMM(BPF_JNE, 2, 2, 2), MOV_IMM(0, 0), EXIT(), VALUE_AT(1, 0),
	     ATOMIC(BPF_DW, BPF_ADD, 1, 2, 0), MOV_IMM(0, 1), EXIT());
	LEAF("fetch and or", VALUE_AT(1, 0), MOV_IMM(2, 0x55), MOV_IMM(0, 7),
	     ATOMIC(BPF_DW, BPF_OR | BPF_FETCH, 1, 2, 0), STX(BPF_DW, 1, 2, 8),
	     STX(BPF_DW, 1, 0, 16), EXIT());
	LEAF("division", LDX(BPF_DW, 6, 1, AT(di)), LDX(BPF_DW, 7, 1, AT(si)),
	     ALU64_REG(BPF_DIV, 6, 7), ALU32_IMM(BPF_MOD, 7, 77), VALUE_AT(9, 0),
	     STX(BPF_DW, 9, 6, 0), STX(BPF_DW, 9, 7, 8), MOV_IMM(0, 0), EXIT());
	LEAF("stack", LDX(BPF_DW, 2, 1, AT(r9)), STX(BPF_DW, 10, 2, -64), ST(BPF_DW, 10, -8, 5),
	     LDX(BPF_DW, 3, 10, -64), VALUE_AT(9, 0), STX(BPF_DW, 9, 3, 0), LDX(BPF_DW, 3, 10, -32),
	     STX(BPF_DW, 9, 3, 8), MOV_IMM(0, 0), EXIT());
}

/* Every word that may be read, alone, and beside the others. */
Test(jit_leaf, contexts)
{
	static const s16 all[] = {AT(r15), AT(r14), AT(r13), AT(r12), AT(bp), AT(bx),
				  AT(r11), AT(r10), AT(r9),  AT(r8),  AT(ax), AT(cx),
				  AT(dx),  AT(si),  AT(di),  AT(ip),  AT(sp)};

	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		LEAF("one word", LDX(BPF_DW, 2, 1, all[i]), VALUE_AT(1, 0), STX(BPF_DW, 1, 2, 0),
		     LDX(BPF_DW, 3, 1, 0), STX(BPF_DW, 1, 3, 128), MOV_IMM(0, 0), EXIT());
	for (u32 i = 1; i < ARRAY_SIZE(all); i++)
		LEAF("three words", MOV_REG(6, 1), VALUE_AT(7, 0), LDX(BPF_DW, 8, 6, all[i]),
		     STX(BPF_DW, 7, 8, 0), LDX(BPF_W, 8, 6, all[i - 1]), STX(BPF_DW, 7, 8, 8),
		     LDX(BPF_DW, 8, 6, AT(cx)), STX(BPF_DW, 7, 8, 16), MOV_IMM(0, 0), EXIT());
}

/* --- random programs ----------------------------------------------------------------------------
 */

#define OPS 40
static struct bpf_insn body[128];
static u32 nbody;

static void add(struct bpf_insn in)
{
	body[nbody++] = in;
}

/* any but r6, which has the value's address, and r10 */
static u8 any_reg(void)
{
	static const u8 regs[] = {0, 1, 2, 3, 4, 5, 7, 8, 9};

	return regs[rnd() % ARRAY_SIZE(regs)];
}

static void add_alu(void)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,
				 BPF_AND, BPF_MOD, BPF_XOR, BPF_MOV, BPF_NEG};
	u8 class = rnd() % 2 ? BPF_ALU64 : BPF_ALU, op = ops[rnd() % ARRAY_SIZE(ops)];
	bool x = rnd() % 2 && op != BPF_NEG;

	add(INSN(class | op | (x ? BPF_X : BPF_K), any_reg(), x ? any_reg() : 0, 0,
		 x || op == BPF_NEG ? 0 : (s32)rnd() | 1));
}

static void add_shift(void)
{
	static const u8 ops[] = {BPF_LSH, BPF_RSH, BPF_ARSH};
	u8 op = ops[rnd() % ARRAY_SIZE(ops)];

	if (rnd() % 2)
		add(ALU64_IMM(op, any_reg(), (s32)(rnd() % 64)));
	else
		add(INSN(BPF_ALU64 | op | BPF_X, any_reg(), any_reg(), 0, 0));
}

static void add_memory(void)
{
	static const s32 ops[] = {
		BPF_ADD,
		BPF_OR,
		BPF_ADD | BPF_FETCH,
		BPF_XOR | BPF_FETCH,
		BPF_XCHG,
		BPF_AND | BPF_FETCH,
		BPF_CMPXCHG,
	};
	s16 off = (s16)(rnd() % 8 * 8);

	if (rnd() % 2)
		add(ATOMIC(rnd() % 2 ? BPF_DW : BPF_W, ops[rnd() % ARRAY_SIZE(ops)], 6, any_reg(),
			   off));
	else
		add(rnd() % 2 ? STX(BPF_DW, 6, any_reg(), off) : LDX(BPF_W, any_reg(), 6, off));
}

static void add_stack(void)
{
	s16 off = (s16)(-8 - (s16)(rnd() % 8 * 8));

	add(rnd() % 2 ? STX(BPF_DW, 10, any_reg(), off) : LDX(BPF_DW, any_reg(), 10, off));
}

static void random_program(void)
{
	static const s16 words[] = {AT(r15), AT(bx), AT(r11), AT(r8), AT(ax),
				    AT(cx),  AT(dx), AT(si),  AT(di), AT(sp)};
	const struct bpf_insn at[] = {VALUE_AT(6, 0)};

	nbody = 0;
	for (u8 r = 9; r != 0; r--)
		if (r != 6)
			add(LDX(BPF_DW, r, 1, words[rnd() % ARRAY_SIZE(words)]));
	add(MOV_IMM(0, (s32)rnd()));
	add(at[0]);
	add(at[1]);
	for (u32 i = 0; i < OPS; i++) {
		static void (*const kinds[])(void) = {add_alu, add_alu, add_shift, add_memory,
						      add_stack};

		if (rnd() % 8 == 0) /* over what comes next */
			add(INSN(BPF_JMP | BPF_JGT | BPF_X, any_reg(), any_reg(), 1, 0));
		kinds[rnd() % ARRAY_SIZE(kinds)]();
	}
	for (u8 r = 0; r < 10; r++)
		if (r != 6)
			add(STX(BPF_DW, 6, r, (s16)(64 + 8 * r)));
	add(MOV_IMM(0, 0));
	add(EXIT());
}

Test(jit_leaf, random_programs)
{
	for (u32 i = 0; i < 300; i++) {
		struct leaf l;

		x86_jit_avoid_bmi2 = i % 2;
		random_program();
		cr_assert_eq(load(&l, body, nbody), 0, "program %u: no leaf", i);
		for (u32 k = 0; k < 5; k++)
			same_as_interpreter(&l, "a random program");
		engine_close(&l.e);
	}
}

Test(jit_leaf, what_is_none)
{
	NO_LEAF("asks for the flags", LDX(BPF_DW, 0, 1, AT(flags)), EXIT());
	NO_LEAF("calls a helper", CALL(5), EXIT());
	NO_LEAF("has a loop", MOV_IMM(0, 0), ALU64_IMM(BPF_ADD, 0, 1), JMP_IMM(BPF_JLT, 0, 9, -2),
		EXIT());
	NO_LEAF("has a function", CALL_BPF(1), EXIT(), MOV_IMM(0, 0), EXIT());
	NO_LEAF("has much on the stack", ST(BPF_DW, 10, -72, 0), MOV_IMM(0, 0), EXIT());
}

/* The hit is the agent's, as if the stub had called it, and has not been counted. */
static void goes_to_agent(u64 claims, const char *why)
{
	memset(lane, 0, sizeof(lane));
	go();
	cr_assert_eq(w->other[0], 1, "%s: called %llu times", why, (unsigned long long)w->other[0]);
	cr_assert_eq(w->other[1], (u64)arena + ARCH_STUB_SIZE + ARCH_STUB_HEAD, "%s", why);
	cr_assert_eq(w->other[2], 0x11, "%s", why);
	cr_assert_eq(w->claims, claims, "%s", why);
	cr_assert_eq(*(u64 *)lane + *(u64 *)(lane + STAT), 0, "%s", why);
}

Test(jit_leaf, what_is_in_the_way)
{
	const struct bpf_insn insns[] = {VALUE_AT(1, 8), MOV_IMM(2, 1),
					 ATOMIC(BPF_DW, BPF_ADD, 1, 2, 0), MOV_IMM(0, 0), EXIT()};
	struct leaf l;

	cr_assert_eq(load(&l, insns, ARRAY_SIZE(insns)), 0);
	put(&l);
	life.alive = 77 | OSL_LIFE_OWNER_DIED;
	goes_to_agent(0, "the daemon has died");
	life.alive = 77;
	life.stats_enabled = 1;
	goes_to_agent(0, "times are wanted");
	life.stats_enabled = 0;
	own_entry()->low += 1ull << (ARCH_LEAF_WINDOW + 1);
	goes_to_agent(0, "another stack");
	own_entry()->low -= 1ull << (ARCH_LEAF_WINDOW + 2);
	goes_to_agent(0, "yet another");
	own_entry()->thread = 0;
	goes_to_agent(1, "no entry");
	own_entry()->thread = 4096;
	goes_to_agent(1, "another's entry");
	cr_assert_eq(*(u64 *)(value + 8), 0);
	put(&l);
	same_as_interpreter(&l, "nothing in the way");
	engine_close(&l.e);
}
