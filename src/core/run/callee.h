/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of the target that a program calls, by leave of its user.
 *
 * Model: a *callee* says where a function is (a file, an offset in it) and what it takes and gives,
 * value by value: numbers, floating-point numbers as their bits, addresses, structures. It is made
 * by the client, from the types of the function's binary, and checked by the daemon; an image
 * carries those its program calls. There the call is that of a helper no program can name
 * (EKFUNC_TARGET), its .off says which callee and which arguments are memory of the program.
 *
 * Rules: no pointer to memory of ours is ever given to a function: it gets a copy on its own stack,
 * and what it left there is copied back. What a callee says is believed where the worst of a wrong
 * one is a call of the user's own that goes wrong.
 */
#pragma once

#include "base/macros.h"
#include "base/types.h"

#define EBPF_CALLEES_MAX 16u /* of one program */
#define EBPF_CALLEE_AIDS 3u  /* addresses of functions by which the application's state is kept */
#define EBPF_CALLEE_ARGS 5u  /* as many registers as a program has for them */
#define EBPF_CALLEE_MEMORY_MAX 512u

/* The aids, behind the addresses of an image's callees; 0: the target has no such function. */
enum ebpf_callee_aid {
	ECALLEE_ERRNO,	     /* says where the thread's errno is */
	ECALLEE_BEGIN_CATCH, /* of C++: takes an exception, */
	ECALLEE_END_CATCH,   /* and is done with it */
};

enum ebpf_callee_kind {
	ECALLEE_NOTHING,
	ECALLEE_NUMBER,	 /* .size bytes, signed or not */
	ECALLEE_FLOAT,	 /* the bits of a float or double */
	ECALLEE_ADDRESS, /* of anything in the target, or of .size bytes of the program's memory */
	ECALLEE_STRUCT,	 /* .size bytes of the program's memory, handed over by value */
	ECALLEE_RESULT,	 /* first argument: the program's memory for a structure that is returned */
	ECALLEE_KINDS
};

#define ECALLEE_SIGNED 1u
#define ECALLEE_CONST 2u      /* what the address leads to is only read */
#define ECALLEE_STRING 4u     /* and it is text: up to its end, or .size bytes */
#define ECALLEE_SSE0 8u	      /* of a structure: its first eight bytes are in a vector register */
#define ECALLEE_SSE1 16u      /* and the second ones */
#define ECALLEE_IN_MEMORY 32u /* of a structure: it is in no register */

struct ebpf_callee_value {
	u8 kind; /* enum ebpf_callee_kind */
	u8 flags;
	u16 size;
};

struct ebpf_callee {
	u32 id;	   /* of its FUNC in the types the client goes by */
	u32 flags; /* EBPF_CALLEE_* */
	u64 offset;
	struct ebpf_callee_value result, arg[EBPF_CALLEE_ARGS];
	char name[64];
	char file[240];
};
#define EBPF_CALLEE_SIGNAL_SAFE 1u /* may be called in a signal handler, says the user */

/* Is it one that can be called as it says? */
bool ebpf_callee_ok(const struct ebpf_callee *c);

static inline u32 ebpf_callee_nargs(const struct ebpf_callee *c)
{
	u32 n = 0;

	while (n < EBPF_CALLEE_ARGS && c->arg[n].kind != ECALLEE_NOTHING)
		n++;
	return n;
}

/* .off of a call in an image */
#define EBPF_CALLEE_INDEX(off) ((u32)(off)&15)
#define EBPF_CALLEE_IS_MEMORY(off, arg) ((u32)(off) >> (4 + (arg)) & 1)

/* --- how the machine calls it ----------------------------------------------------------------- */

#define EBPF_CALL_WORDS 320u /* of arguments on the stack, at most */

/* Offsets are known to agent/entry.S. */
struct ebpf_native_call {
	u64 general[6]; /* @0 */
	u64 vector[8];	/* @48 */
	u64 rax, rdx;	/* @112: what came back */
	u64 xmm0, xmm1; /* @128 */
	u64 nvector;	/* @144 */
	u32 ngeneral, nstack;
	u64 stack[EBPF_CALL_WORDS];
};

/*
 * Lay out a call: @args as the program gave them; @copy[i] is where the function finds the memory
 * of argument i, if that is the program's (or the structure's bytes), else NULL.
 */
void ebpf_native_prepare(const struct ebpf_callee *c, const u64 *args, void *const *copy,
			 struct ebpf_native_call *n);
/* What the program gets: r0; a structure that was returned in registers goes to @result. */
u64 ebpf_native_result(const struct ebpf_callee *c, const struct ebpf_native_call *n, void *result);
