/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The image: what PROG_LOAD makes of a program, once, for every process that runs it.
 *
 * Layout of the sealed memfd (all offsets from its start, all little-endian, nothing
 *process-specific inside):
 *
 *	struct ebpf_image | insns (8 bytes each) | refs (struct ebpf_image_ref) | subprogs (u32 pc
 *each) | zeros (u64 each) | code | faults (struct ebpf_image_fault) | leaf (a page)
 *
 * In the instructions, a lddw that names a map or a map's value has been rewritten to
 * src_reg = BPF_PSEUDO_MAP_IDX_VALUE-like "reference": src_reg = EBPF_LD_REF and imm = index into
 *refs. What remains are plain 64-bit constants (src_reg 0) and BPF_PSEUDO_FUNC (imm = pc of the
 *subprogram, absolute). Calls between BPF functions keep BPF_PSEUDO_CALL with a relative imm,
 *helper calls src_reg 0 and the helper's id; a kfunc's is EBPF_HELPER_KFUNC + its own (kfunc.h). A
 *call of a function of the target has an .off (callee.h).
 */
#pragma once

#include "arch/arch.h"
#include "core/run/callee.h"
#include "core/uapi.h"

#define EBPF_IMAGE_MAGIC 0x474d4942u /* "BIMG" */
#define EBPF_IMAGE_VERSION 10u
#define EBPF_LD_REF                                                                                \
	7 /* src_reg of a lddw whose value is refs[imm]; not a kernel value, only inside images */

enum ebpf_ref_kind {
	EBPF_REF_MAP,	    /* struct ebpf_map * of map `map` */
	EBPF_REF_MAP_VALUE, /* address of byte `off` in the values of map `map` (single-entry
			       arrays) */
};

#define EBPF_MAP_SHAPE(type, key_size) ((u32)(type) << 8 | (key_size))

/*
 * A map's kind and where its elements lie: what code is made for that looks them up in place, and
 * what ebpf_prog_bind() compares with the map it gets. Offsets are from the start of the map's
 * memory; none of the numbers but the seed is above EBPF_SHAPE_MAX.
 */
struct ebpf_map_shape {
	u32 kind;	  /* EBPF_MAP_SHAPE(), 0: type or key size are too large for it */
	u32 nr_elems;	  /* an index below it is an element's; 0: nothing is done in place */
	u32 elems;	  /* offset of the elements */
	u32 stride;	  /* bytes from element to element, a multiple of 8 */
	u32 seed;	  /* of a hash, */
	u32 buckets;	  /* offset of its buckets: */
	u32 shift;	  /* 64 - log2 of how many there are */
	u32 used;	  /* LRU: offset of a byte for each element */
	u32 nr_cpus;	  /* per-CPU values: parts, 0: the value is in the element */
	u32 values;	  /* offset of the first CPU's */
	u32 value_stride; /* bytes from element to element, a multiple of 8, */
	u32 area;	  /* and from CPU to CPU */
};
#define EBPF_SHAPE_MAX ((u32)INT32_MAX)

struct ebpf_image_ref {
	u32 kind; /* enum ebpf_ref_kind */
	u32 map;  /* index into the program's used maps, in the order of prog_info.map_ids */
	u32 off;
	struct ebpf_map_shape shape; /* of a map */
};

/* What the verifier has found to be a timer's callback, and for which map's values. */
struct ebpf_image_timer {
	u32 pc;
	u32 map; /* as in struct ebpf_image_ref */
};
#define EBPF_MAX_TIMER_CALLBACKS 64

/* An instruction of the code that may fault, and where the code goes on then: offsets in it. */
struct ebpf_image_fault {
	u32 at;
	u32 to;
};

/*
 * A word of a typed program's context: an argument of the probed function, or what it returns, or
 * eight bytes of either; .bits of it, extended to 64.
 */
enum ebpf_word_where {
	EBPF_WORD_NONE,		 /* it can't be told: 0 */
	EBPF_WORD_INT,		 /* general register number .n of arguments */
	EBPF_WORD_SSE,		 /* low half of vector register .n */
	EBPF_WORD_SSE_HIGH,	 /* its high half */
	EBPF_WORD_STACK,	 /* word .n of the arguments on the stack */
	EBPF_WORD_STACK_ADDRESS, /* the address of that */
	EBPF_WORD_RET_INT,	 /* number .n of the general registers that results are in */
	EBPF_WORD_RET_SSE,	 /* the same of vector registers */
	EBPF_WORD_RET_SSE_HIGH,
};
struct ebpf_image_word {
	u8 where; /* enum ebpf_word_where */
	u8 n;
	u8 bits;
	u8 is_signed;
};
#define EBPF_IMAGE_ARGS 14u /* words of arguments, as many as the kernel has and a structure */
#define EBPF_IMAGE_WORDS (EBPF_IMAGE_ARGS + 2)

struct ebpf_image {
	u32 magic;
	u32 version;
	u32 size; /* of the whole image, bytes */
	u32 arch; /* EM_* of the code, 0 when there is none */
	u32 ninsns;
	u32 insns; /* offset */
	u32 nrefs;
	u32 refs; /* offset */
	u32 nmaps;
	u32 nsubprogs; /* the main program included, which is subprog 0 */
	u32 subprogs;  /* offset of u32[nsubprogs]: first pc of each, ascending */
	u32 code;      /* offset, page-aligned so that only it needs to be executable */
	u32 code_size;
	u32 entry;	 /* offset of the entry in the code, from `code` */
	u32 prog_type;	 /* BPF_PROG_TYPE_* */
	u32 flags;	 /* EBPF_IMAGE_* */
	u32 stack_depth; /* bytes that the deepest chain of calls touches, guards not counted */
	u32 zeros;    /* offset of u64[nsubprogs]: the stack slots that are zero when the function
			 begins; bit n: the 8 bytes at r10 - 8n - 8 */
	u32 ctx_size; /* bytes of the context, from its start, that are read or written */
	u32 timers;   /* offset of what may be called as a timer's callback */
	u32 ntimers;
	u32 faults; /* offset of struct ebpf_image_fault[nfaults], ascending */
	u32 nfaults;
	u32 callees; /* offset of struct ebpf_callee[ncallees] */
	u32 ncallees;
	u32 leaf;     /* offset of the program as a leaf (arch.h), the image's last page; 0: none */
	u64 ctx_read; /* bit n: loads read of the context's bytes 8n to 8n+7; 63: or of later ones
		       */
	u64 helpers[4]; /* bit n: helper n is called */
	/* of a typed program (EBPF_IMAGE_TYPED): its context, and how much of it arguments are */
	struct ebpf_image_word word[EBPF_IMAGE_WORDS];
	u32 nwords;
	u32 nargs;
	struct arch_leaf leaf_is;
};

#define EBPF_IMAGE_TAIL_CALLS 1u /* makes tail calls */
#define EBPF_IMAGE_ASKS_LEFT 2u	 /* wants to run at the end of calls that do not return, too */
#define EBPF_IMAGE_MAY_FAULT                                                                       \
	4u /* touches memory that may be missing: not stack or context only                        \
	    */
#define EBPF_IMAGE_CTX_ESCAPES                                                                     \
	8u /* helpers, or others, get the context's address: ctx_read is not all that is read */

#define EBPF_IMAGE_TYPED 16u /* its context is words of a call, behind the registers */
#define EBPF_IMAGE_AT_EXIT                                                                         \
	32u /* typed: runs at the return, with the arguments as they were at the entry */
#define EBPF_IMAGE_VECTORS 64u /* some of what it reads is in vector registers */
#define EBPF_IMAGE_CALLS                                                                           \
	128u /* calls functions of the target, one at least not in a signal handler */

/* A load that may fault and goes on with 0: modes that only checked instructions have. */
#define EBPF_PROBE_MEM 0x20
#define EBPF_PROBE_MEMSX 0x40
static inline bool ebpf_insn_probes(const struct bpf_insn *in)
{
	const u8 mode = BPF_MODE(in->code);

	return BPF_CLASS(in->code) == BPF_LDX &&
	       (mode == EBPF_PROBE_MEM || mode == EBPF_PROBE_MEMSX);
}

static inline const struct bpf_insn *ebpf_image_insns(const struct ebpf_image *img)
{
	return (const struct bpf_insn *)((const char *)img + img->insns);
}

static inline const struct ebpf_image_ref *ebpf_image_refs(const struct ebpf_image *img)
{
	return (const struct ebpf_image_ref *)((const char *)img + img->refs);
}

static inline const struct ebpf_image_timer *ebpf_image_timers(const struct ebpf_image *img)
{
	return (const struct ebpf_image_timer *)((const char *)img + img->timers);
}

static inline const u32 *ebpf_image_subprogs(const struct ebpf_image *img)
{
	return (const u32 *)((const char *)img + img->subprogs);
}

static inline const struct ebpf_callee *ebpf_image_callees(const struct ebpf_image *img)
{
	return (const struct ebpf_callee *)((const char *)img + img->callees);
}

static inline const u64 *ebpf_image_zeros(const struct ebpf_image *img)
{
	return (const u64 *)((const char *)img + img->zeros);
}
