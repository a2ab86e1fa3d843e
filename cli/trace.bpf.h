/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `ebpfrt trace` and its programs agree about: the plan of a function and a call's record.
 *
 * Model: a record is a header, the registers that pass values, and room for what is copied. A plan
 * is a list of copies, each from where a word of the record points to, so that a later copy can
 * start from a pointer that an earlier one brought. It is made by the command line from the types
 * of the function (traceplan.c), and the same types read the record (traceshow.c): the programs
 * know of no function and no type. Offsets count from the registers.
 */
#ifndef CLI_TRACE_BPF_H
#define CLI_TRACE_BPF_H

#define TRACE_OPS 64 /* a bit each in .failed */
#define TRACE_COMM 16

enum trace_copy {
	TRACE_BYTES,  /* .len from the address at .base, and .off */
	TRACE_STRING, /* the same, up to and with a zero */
	TRACE_WORD,   /* the word at .base itself */
};

struct trace_op {
	__u8 copy; /* enum trace_copy */
	__u8 pad[3];
	__u32 base; /* offset of a word of the record */
	__u32 out;  /* where it goes */
	__u32 len;
	__s64 off;
};

struct trace_plan {
	__u32 nops;
	__u32 vectors; /* vector registers are wanted */
	struct trace_op op[TRACE_OPS];
};

/* Of the entry: the registers of arguments and the stack pointer. Of the return: two of results. */
#define TRACE_REG_ARGS 6
#define TRACE_REG_SP 6
#define TRACE_REGS 8
/* Behind them, where they are wanted: the vector registers of arguments or results, two words each.
 */
#define TRACE_VECTORS 8

/* A probe's cookie: number of the function, of the plan at its entry and at its return. */
#define TRACE_COOKIE(func, entry, ret) ((__u64)(func) | (__u64)(entry) << 32 | (__u64)(ret) << 48)
#define TRACE_PLANS_MAX 0xffff

/* What is constant of all plans, for the verifier: the last byte's place, and the longest copy. */
struct trace_sizes {
	__u32 out, len;
	__u32 vectors; /* of some plan */
};

enum trace_kind { TRACE_ENTRY = 1, TRACE_RETURN };

struct trace_record {
	__u64 ts;   /* CLOCK_MONOTONIC */
	__u64 call; /* .ts of the entry; 0: no entry was recorded */
	__u64 cookie;
	__u64 failed; /* bit n: what op n copies can't be read */
	__u32 pid, tid;
	__u32 kind;
	__u32 left; /* of a return: enum ebpfrt_left, how the call ended */
	char comm[TRACE_COMM];
	__u64 reg[TRACE_REGS];
	/* vector registers, then what is copied */
};
#endif
