/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance cases of the verifier: programs, and what is to be said to each.
 *
 * Model: a theme is a file with a table of cases. Every case goes to ebpf_verify(), a refused one
 * also to the checker alone (checker.c), and where this process may use the kernel's bpf(2), to the
 * kernel's verifier: same verdict, same errno, same first error line. All cases see the same maps
 * (enum vmap_id) and the same BTF (enum vtype_id).
 *
 * Rules: a refused case names the words that the log must contain. A case about which the kernel
 * has another opinion says why in `policy`; nothing is compared then. A case the kernel's own
 * words for which depend on its version says so with ANY_WORDS.
 */
#pragma once

#include <criterion/criterion.h>

#include "base/macros.h"
#include "core/load/vprog.h"
#include "tests/support/engine.h"

/* the same instructions as initializers: tables are static */
#undef INSN
#define INSN(c, d, s, o, i)                                                                        \
	{                                                                                          \
		.code = (c), .dst_reg = (d)&15, .src_reg = (s)&15, .off = (o), .imm = (i)          \
	}

enum vmap_id {
	M_ARRAY,   /* 4 entries of 16 bytes */
	M_HASH,	   /* key 8, value 16 */
	M_PERCPU,  /* array, value 16 */
	M_LRU,	   /* hash, key 4, value 8 */
	M_ONE,	   /* array of one entry of 64 bytes */
	M_RODATA,  /* the same, read-only for programs, frozen: VRODATA bytes */
	M_RDONLY,  /* array of 16 bytes, BPF_F_RDONLY_PROG */
	M_WRONLY,  /* array of 16 bytes, BPF_F_WRONLY_PROG */
	M_RING,	   /* ring buffer, 4096 */
	M_PROGS,   /* PROG_ARRAY */
	M_EVENTS,  /* PERF_EVENT_ARRAY */
	M_OUTER,   /* ARRAY_OF_MAPS of maps like M_ARRAY */
	M_HOUTER,  /* HASH_OF_MAPS, key 4, of maps like M_ARRAY */
	M_LOCK,	   /* array of struct { int n; bpf_spin_lock l; long x; } */
	M_TIMER,   /* array of struct { bpf_timer t; long x; } */
	M_STACKS,  /* STACK_TRACE */
	M_QUEUE,   /* of 8 bytes */
	M_BLOOM,   /* of 8 bytes */
	M_USERING, /* USER_RINGBUF */
	M_COUNT,
};

/* first bytes of M_RODATA's value, the rest is 0 */
#define VRODATA "\x08\0\0\0\xff\xff\xff\xff%d %s\0\0\0abcdefg"
#define VRODATA_FMT 8  /* "%d %s" */
#define VRODATA_STR 16 /* "abcdefg" */

/* types of functions */
enum vtype_id {
	T_MAIN,	       /* int main(void *ctx), global */
	T_STATIC,      /* static int f(void *ctx, …) for callbacks and local subprograms */
	T_STATIC2,     /* another */
	T_G_INT,       /* int g(int) */
	T_G_VOID,      /* int g(void) */
	T_G_PTR,       /* int g(int *) */
	T_G_LONGS,     /* int g(long *, int) */
	T_G_CTX,       /* int g(struct pt_regs *) */
	T_G_STRUCT,    /* int g(struct s16 *), 16 bytes */
	T_G_NONNULL,   /* int g(int *p __arg_nonnull) */
	T_G_DYNPTR,    /* int g(const struct bpf_dynptr *) */
	T_G_NOSIZE,    /* int g(struct opaque *) */
	T_G_VOIDRET,   /* void g(int) */
	T_G_PTRRET,    /* int *g(int) */
	T_MAIN_EXC,    /* int f(void *ctx), global, whose exceptions end in g_int */
	T_MAIN_EXC2,   /* the same, and in g_void, too */
	T_MAIN_EXCS,   /* in a function that isn't in the program */
	T_G_SIX,       /* int g(int, int, int, int, int, int) */
	T_G_TASK,      /* int g(int, struct task_struct *p __arg_trusted) */
	T_G_TASKNULL,  /* int g(struct task_struct *p __arg_trusted __arg_nullable) */
	T_TARGET,      /* what typed programs probe: target_types() */
	T_TARGET_VOID, /* void f(void) */
	T_LAST,
};

struct vfunc {
	u32 insn, type;
};

struct vcase {
	const char *name;
	int err;	   /* 0: accepted */
	const char *words; /* in the log */
	u32 type;	   /* 0: BPF_PROG_TYPE_KPROBE */
	u32 flags;
	u32 attach; /* expected attach type */
	u32 target; /* TRACING: what is probed, 0: T_TARGET; ~0: nothing */
	u32 level;  /* 0: 1 */
	bool not_gpl;
	bool any_words;	    /* the kernel may say it otherwise */
	const char *policy; /* the kernel has another opinion, for this reason */
	const struct vfunc *funcs;
	u32 nfuncs;
	const struct bpf_insn *insns;
	u32 n;
};

#define VINSNS(...)                                                                                \
	.insns = (const struct bpf_insn[]){__VA_ARGS__},                                           \
	.n = sizeof((const struct bpf_insn[]){__VA_ARGS__}) / sizeof(struct bpf_insn)
/* what functions the program has: {instruction, T_…}, … */
#define FUNCS(...)                                                                                 \
	.funcs = (const struct vfunc[]){__VA_ARGS__},                                              \
	.nfuncs = sizeof((const struct vfunc[]){__VA_ARGS__}) / sizeof(struct vfunc)
#define MAIN_AND(...) FUNCS({0, T_MAIN}, __VA_ARGS__)

#define OK(text, ...)                                                                              \
	{                                                                                          \
		.name = (text), VINSNS(__VA_ARGS__)                                                \
	}
#define NO(text, errno_, says, ...)                                                                \
	{                                                                                          \
		.name = (text), .err = (errno_), .words = (says), VINSNS(__VA_ARGS__)              \
	}
/* the same with more said: WITH is a list of designated fields in parentheses */
#define UNPAREN(...) __VA_ARGS__
#define OKW(text, with, ...)                                                                       \
	{                                                                                          \
		.name = (text), UNPAREN with, VINSNS(__VA_ARGS__)                                  \
	}
#define NOW(text, with, errno_, says, ...)                                                         \
	{                                                                                          \
		.name = (text), .err = (errno_), .words = (says), UNPAREN with,                    \
		VINSNS(__VA_ARGS__)                                                                \
	}
#define TYPE(t) .type = BPF_PROG_TYPE_##t
#define FLAGS(f) .flags = (f)
#define SESSION .attach = EBPFRT_BPF_TRACE_UPROBE_SESSION
#define POLICY(reason) .policy = (reason)
#define ANY_WORDS .any_words = true
#define LEVEL(n) .level = (n)

void verify_theme(const char *theme, const struct vcase *cases, u32 n);
void verify_theme_states(const char *theme, const struct vcase *cases, u32 n);
void verify_theme_checker(const char *theme, const struct vcase *cases, u32 n);
void verify_theme_kernel(const char *theme, const struct vcase *cases, u32 n);

/* The tests of a theme whose table is `cases`. */
#define VERIFY_THEME(theme)                                                                        \
	Test(verify, theme)                                                                        \
	{                                                                                          \
		verify_theme(#theme, cases, ARRAY_SIZE(cases));                                    \
	}                                                                                          \
	Test(verify_states, theme)                                                                 \
	{                                                                                          \
		verify_theme_states(#theme, cases, ARRAY_SIZE(cases));                             \
	}                                                                                          \
	Test(verify_checker, theme)                                                                \
	{                                                                                          \
		verify_theme_checker(#theme, cases, ARRAY_SIZE(cases));                            \
	}                                                                                          \
	Test(verify_kernel, theme)                                                                 \
	{                                                                                          \
		verify_theme_kernel(#theme, cases, ARRAY_SIZE(cases));                             \
	}

/* For themes that look closer: verify one case with this log. */
int verify_case(const struct vcase *c, struct ebpf_log *log, struct ebpf_facts *facts);
/* What it is for both verifiers; @funcs (of VERIFY_MAX_FUNCS) must stay. */
#define VERIFY_MAX_FUNCS 64
struct ebpf_vprog verify_program(const struct vcase *c, struct bpf_func_info *funcs);
/* Map @id as the verifier sees it. */
const struct ebpf_vmap *verify_map(enum vmap_id id);
/* Make the maps in the kernel; false: no bpf(2) here. Then load: descriptor or -errno. */
bool verify_kernel_maps(void);
int verify_kernel(const struct vcase *c, char *log, u32 size);

/* --- instructions beyond engine.h ------------------------------------------------------------- */

#define LDMAP(d, m) LDDW_KIND(d, BPF_PSEUDO_MAP_FD, m)
#define LDVALUE(d, m, off)                                                                         \
	INSN(BPF_LD | BPF_IMM | BPF_DW, d, BPF_PSEUDO_MAP_VALUE, 0, m), INSN(0, 0, 0, 0, off)
#define LDFUNC(d, rel) LDDW_KIND(d, BPF_PSEUDO_FUNC, (u32)(rel))
#define MOV32_IMM(d, i) ALU32_IMM(BPF_MOV, d, i)
#define MOV32_REG(d, s) ALU32_REG(BPF_MOV, d, s)
#define MOVSX(d, s, bits) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, bits, 0)
#define MOVSX32(d, s, bits) INSN(BPF_ALU | BPF_MOV | BPF_X, d, s, bits, 0)
#define LDXS(size, d, s, o) INSN(BPF_LDX | BPF_MEMSX | (size), d, s, o, 0)
#define NEG(d) INSN(BPF_ALU64 | BPF_NEG, d, 0, 0, 0)
#define NEG32(d) INSN(BPF_ALU | BPF_NEG, d, 0, 0, 0)
#define SDIV_IMM(d, i) INSN(BPF_ALU64 | BPF_DIV | BPF_K, d, 0, 1, i)
#define SDIV_REG(d, s) INSN(BPF_ALU64 | BPF_DIV | BPF_X, d, s, 1, 0)
#define SMOD_IMM(d, i) INSN(BPF_ALU64 | BPF_MOD | BPF_K, d, 0, 1, i)
#define SMOD_REG(d, s) INSN(BPF_ALU64 | BPF_MOD | BPF_X, d, s, 1, 0)
#define TO_BE(d, bits) INSN(BPF_ALU | BPF_END | BPF_TO_BE, d, 0, 0, bits)
#define TO_LE(d, bits) INSN(BPF_ALU | BPF_END | BPF_TO_LE, d, 0, 0, bits)
#define BSWAP(d, bits) INSN(BPF_ALU64 | BPF_END, d, 0, 0, bits)
#define JMP_REG(op, d, s, o) INSN(BPF_JMP | (op) | BPF_X, d, s, o, 0)
#define JMP32_IMM(op, d, i, o) INSN(BPF_JMP32 | (op) | BPF_K, d, 0, o, i)
#define JMP32_REG(op, d, s, o) INSN(BPF_JMP32 | (op) | BPF_X, d, s, o, 0)
#define JA32(o) INSN(BPF_JMP32 | BPF_JA, 0, 0, 0, o)
#define MAY_GOTO(o) INSN(BPF_JMP | 0xe0, 0, 0, o, 0)
#define ATOMIC(size, op, d, s, o) INSN(BPF_STX | BPF_ATOMIC | (size), d, s, o, op)
/* kernel function number k of enum ebpf_kfunc; the kernel gets its own number for the same name */
#define KFUNC(k) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, k)

/* r2 = the address of a key of @size zero bytes at fp-@size */
#define KEY4 ST(BPF_W, 10, -4, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -4)
#define KEY8 ST(BPF_DW, 10, -8, 0), MOV_REG(2, 10), ALU64_IMM(BPF_ADD, 2, -8)
/* r0 = the value of key 0, or the program ends; fp-8 is used. 8 instructions */
#define LOOKUP4(m) KEY4, LDMAP(1, m), CALL(BPF_FUNC_map_lookup_elem)
#define LOOKUP8(m) KEY8, LDMAP(1, m), CALL(BPF_FUNC_map_lookup_elem)
#define NONNULL JMP_IMM(BPF_JNE, 0, 0, 1), EXIT()
/* any 32-bit number in d */
#define RANDOM(d) CALL(BPF_FUNC_get_prandom_u32), MOV32_REG(d, 0)
#define RET(v) MOV_IMM(0, v), EXIT()
