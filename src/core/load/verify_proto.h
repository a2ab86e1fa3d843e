/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the functions take and give that programs can call: helpers and kernel functions (kfuncs).
 *
 * Model: one row a function. An argument is a kind and flags; a length follows the memory it
 * measures. The rows say what the kernel's functions of these numbers and names do
 * (bpf-helpers(7)); whether this build has the function at all is the structural check's matter.
 *
 * Rules: pure data and pure functions; explorer and checker read the same rows, each with its own
 * rules for what an argument of a kind must be.
 */
#pragma once

#include "base/macros.h"
#include "base/types.h"
#include "core/run/callee.h"
#include "core/run/kfunc.h"

/* kinds of arguments */
enum ebpf_arg {
	EARG_NONE,	  /* not looked at */
	EARG_ANY,	  /* any initialised value */
	EARG_SCALAR,	  /* a number */
	EARG_CTX,	  /* the context, unmoved */
	EARG_MAP,	  /* a map */
	EARG_MAP_KEY,	  /* key_size bytes of that map, read */
	EARG_MAP_VALUE,	  /* value_size bytes of that map */
	EARG_MEM,	  /* as many bytes as the next argument, or with EARG_FIXED the row, says */
	EARG_SIZE,	  /* bytes of the argument before, not 0 */
	EARG_SIZE0,	  /* the same, 0 allowed */
	EARG_ALLOC_SIZE,  /* a constant: bytes of the memory that is returned */
	EARG_RINGBUF_MEM, /* a sample that ringbuf_reserve gave, unmoved */
	EARG_FUNC,	  /* a subprogram */
	EARG_STACK,	  /* an address in the stack */
	EARG_CONST_STR,	  /* a string in a frozen read-only map */
	EARG_SPIN_LOCK,	  /* the lock in a map's value */
	EARG_TIMER,	  /* the timer in a map's value */
	EARG_DYNPTR,	  /* a dynptr in the stack, or one that was passed in */
	EARG_ITER_NUM,	  /* a bpf_iter_num in the stack */
	EARG_ITER_BITS,	  /* a bpf_iter_bits in the stack */
};
#define EARG_KIND 0xffu
#define EARG_NULL 0x100u      /* may be NULL (a constant 0) */
#define EARG_UNINIT 0x200u    /* need not hold anything yet */
#define EARG_WRITE 0x400u     /* is written to */
#define EARG_RDONLY 0x800u    /* is only read: read-only memory will do */
#define EARG_RELEASE 0x1000u  /* its reference ends here */
#define EARG_FIXED 0x2000u    /* EARG_MEM of .fixed bytes */
#define EARG_ALIGNED 0x4000u  /* and aligned to that */
#define EARG_LOCAL 0x8000u    /* EARG_DYNPTR: becomes or must be a local one */
#define EARG_RINGBUF 0x10000u /* EARG_DYNPTR: becomes or must be a ring-buffer one */
#define EARG_CONST 0x20000u   /* EARG_SIZE: must be a constant */
#define EARG_WHOLE 0x40000u   /* EARG_UNINIT: every byte is written, whatever is returned */

/* what is returned */
enum ebpf_ret {
	ERET_VOID,
	ERET_INT,	  /* any 64-bit number */
	ERET_LENGTH,	  /* -4095 .. the largest length that was passed */
	ERET_CPU,	  /* 0 .. possible CPUs - 1 */
	ERET_BOOL,	  /* a byte; kfuncs only */
	ERET_U32,	  /* kfuncs only */
	ERET_S32,	  /* kfuncs only */
	ERET_MAP_VALUE,	  /* of the map argument, or NULL; of a map of maps: an inner map or NULL */
	ERET_RINGBUF_MEM, /* as many bytes as EARG_ALLOC_SIZE says, or NULL; must be released */
	ERET_DYNPTR_MEM,  /* the same, valid as long as the dynptr argument */
	ERET_SLICE,	  /* bytes of the dynptr argument or of the buffer argument, or NULL */
	ERET_INT_PTR,	  /* an iterator's next: a readable int, or NULL when drained */
	ERET_MEM,	  /* .fixed bytes that are there as long as the program runs */
	ERET_KERN_CTX,	  /* what is behind the context: ebpf_ctx_kern() bytes, only read */
};

/* what is called back, and with what */
enum ebpf_callback {
	ECB_NONE,
	ECB_FOR_EACH, /* map, key, value, R3 */
	ECB_LOOP,     /* any number, R3 */
	ECB_TIMER,    /* later: map, key, value */
	ECB_RINGBUF,  /* a read-only local dynptr, R3 */
};

/* program types, as bits */
#define EPROG_KPROBE 1u
#define EPROG_TRACEPOINT 2u
#define EPROG_RAW_TRACEPOINT 4u
#define EPROG_PERF_EVENT 8u
#define EPROG_SYSCALL 16u
#define EPROG_SOCKET_FILTER 32u
#define EPROG_SCHED 64u /* classifiers and actions */
#define EPROG_XDP 128u
#define EPROG_CGROUP_SKB 256u
#define EPROG_CGROUP_SOCK 512u
#define EPROG_TRACING 31u /* all that run here */
#define EPROG_SKB (EPROG_SOCKET_FILTER | EPROG_SCHED | EPROG_CGROUP_SKB)
#define EPROG_ANY 0xffffu

/* flags */
#define EPROTO_GPL 1u	    /* only for programs under a licence compatible with the GPL */
#define EPROTO_SLEEPS 2u    /* only in sleepable programs */
#define EPROTO_PKT 4u	    /* takes packet memory */
#define EPROTO_MOVES_PKT 8u /* packet pointers end here */
#define EPROTO_FASTCALL 16u /* kfuncs: no meaning for what is accepted */
#define EPROTO_ENTERS 32u   /* its section; else it leaves it */
#define EPROTO_ITER_NEW 512u
#define EPROTO_ITER_NEXT 1024u
#define EPROTO_ITER_DESTROY 2048u
#define EPROTO_CHANGES_MAP 4096u /* the map argument's elements */
#define EPROTO_LEAVES 32768u	 /* another program goes on */

struct ebpf_proto {
	const char *name; /* kfuncs; helpers: ebpf_proto_name() */
	u32 arg[5];	  /* enum ebpf_arg and EARG_* */
	u8 ret;		  /* enum ebpf_ret */
	u8 callback;	  /* enum ebpf_callback */
	u8 section;	  /* that is entered or left: VREF_LOCK, VREF_RCU, VREF_PREEMPT; 0: none */
	u16 fixed;	  /* bytes of an EARG_FIXED argument, or of what is returned */
	bool session;	  /* kfuncs: only for programs that are attached as a session */
	u16 flags;	  /* EPROTO_* */
	u16 progs;	  /* EPROG_*: the types that may call it */
	u64 maps;	  /* bit n: an EARG_MAP of type n will do */
};

/* The row of helper @id; NULL: there is none, or a program of @prog_type can't use it. */
const struct ebpf_proto *ebpf_proto_helper(u32 id, u32 prog_type);

/* Does any helper have the number @id, here or in the kernel? */
bool ebpf_proto_known(u32 id);

/* "bpf_map_lookup_elem", as the kernel's messages name it; "unknown". */
const char *ebpf_proto_name(u32 id);

static inline bool ebpf_proto_map_ok(const struct ebpf_proto *p, u32 map_type)
{
	return map_type < 64 && (p->maps >> map_type & 1);
}

/* The five arguments that a callback gets (enum ebpf_callback); EARG_ANY: R3 of the call. */
const u32 *ebpf_proto_callback(u32 callback);

/* Eight bytes of stack that an iterator of this kind takes. */
static inline u32 ebpf_proto_iter_slots(u32 arg)
{
	return (arg & EARG_KIND) == EARG_ITER_BITS ? 2 : 1;
}

/*
 * A value that a function of the target takes (core/run/callee.h), when it is a number or, else,
 * the address of memory: what it must be, and *@size bytes of memory. 0: it can't be that.
 */
u32 ebpf_proto_callee(const struct ebpf_callee_value *v, bool number, u32 *size);
/* May a function of the target get a copy of what this type (VT_*) points to? */
bool ebpf_callee_copies(u32 type);

/* The row of kfunc @id (1 .. EKFUNC_MAX - 1), or NULL. */
const struct ebpf_proto *ebpf_proto_kfunc(u32 id);
/* Its id by name ("bpf_iter_num_new"), or 0. */
u32 ebpf_proto_kfunc_id(const char *name);
