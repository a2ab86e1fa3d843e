/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An abstract state: everything that is known at one instruction, on every execution that gets
 * there along some path.
 *
 * Model: up to eight frames, each with eleven registers and a stack of 8-byte slots; the references
 * that are held; the budgets that bound loops. A value is a set of concrete values: a scalar by its
 * ranges (scalar.h), a pointer by its kind, the object, a fixed and a variable offset. The explorer
 * and the checker speak about the same states; each has its own rules for how an instruction
 * changes them.
 *
 * Rules: plain data. `id` links values: registers and spilled values of the same non-zero id have
 * the same value (scalars, up to the delta of VREG_DELTA) or are NULL together (pointers with
 * VREG_NULL). Ids mean nothing across states: comparison maps them one to one.
 */
#pragma once

#include <stddef.h>
#include <string.h>

#include "core/load/scalar.h"
#include "core/load/vprog.h"

enum ebpf_vtype {
	VT_NONE,      /* never written on some path: can't be read */
	VT_SCALAR,    /* a number */
	VT_CTX,	      /* the program's context */
	VT_MAP,	      /* a map itself, obj = index in vprog.maps (inner: of the outer map) */
	VT_MAP_VALUE, /* a value of map obj */
	VT_MAP_KEY,   /* a key of map obj, as callbacks get it */
	VT_STACK,     /* frame obj's stack; offset 0 is its top */
	VT_MEM,	      /* mem_size bytes from offset 0 */
	VT_FUNC,      /* subprogram obj, as a callback */
	VT_DYNPTR,    /* a dynptr that isn't in our stack (an argument), read-only */
	VT_BTF,	      /* explorer: the kernel's object behind the context, mem_size bytes that
		       * are only read: to the checker VT_MEM. Or, of a typed program, a pointer
		       * to the structure obj of the target: to the checker a number */
	VT_PKT,	      /* packet kinds, for test program types: obj 0 data, 1 meta, 2 end */
	VT_OTHER,     /* opaque object that only helpers and kfuncs take; obj says which */
};

/* flags of a register's value */
#define VREG_NULL 1u	/* may be NULL: no access, no arithmetic before a test */
#define VREG_RDONLY 2u	/* VT_MEM, VT_MAP_VALUE: may not be written */
#define VREG_RINGBUF 4u /* VT_MEM: a ring-buffer sample, to be submitted or discarded */
#define VREG_DELTA 8u	/* scalar: value = that of the others with `id`, plus delta */
#define VREG_INNER                                                                                 \
	16u	       /* VT_MAP, VT_MAP_VALUE: the inner map of map obj; uid tells apart lookups  \
			*/
#define VREG_SLICE 32u /* VT_MEM: of a dynptr; ref_id is the dynptr's id */
#define VREG_MAYFAULT 64u /* VT_MEM, VT_BTF: the memory may be unmapped: loads read 0 */
#define VREG_PRECISE 128u /* explorer only: its exact range mattered */
#define VREG_LONE 256u	  /* explorer only, in a finished node: no other number has its id */

struct ebpf_vreg {
	u8 type; /* enum ebpf_vtype */
	u8 dyn;	 /* in a dynptr's slots, or VT_DYNPTR: enum ebpf_vdynptr; an iterator's: its sort */
	u16 flags;
	s32 off;		/* pointers: fixed part of the offset */
	u32 obj;		/* which map, frame, subprogram, type */
	u32 uid;		/* VREG_INNER: which lookup gave it; packets: range id */
	u32 id;			/* see above; 0: linked with nothing */
	s32 delta;		/* VREG_DELTA */
	u32 ref_id;		/* the reference that makes it valid, 0: none needed */
	u32 mem_size;		/* VT_MEM, VT_BTF: bytes; packets: proved range */
	u32 def;		/* explorer only, scalars: what it was computed from */
	struct ebpf_scalar val; /* the number, or the variable part of the offset */
};

/* what a byte of the stack holds */
enum ebpf_vbyte {
	VB_NONE, /* never written */
	VB_MISC, /* something */
	VB_ZERO,
	VB_SPILL, /* part of the slot's spilled register */
	VB_DYNPTR,
	VB_ITER,
	VB_IRQ,
};

enum ebpf_vdynptr {
	VDYN_NONE,
	VDYN_LOCAL,
	VDYN_RINGBUF,
	VDYN_SKB,
	VDYN_XDP,
};

enum ebpf_viter { /* spilled.obj of an iterator's first slot */
		  VITER_ACTIVE = 1,
		  VITER_DRAINED,
};

enum ebpf_viter_sort { /* spilled.dyn of an iterator's slots */
		       VITER_NUM,
		       VITER_BITS,
};

/*
 * Eight bytes of stack. kind[i] is the byte at the slot's lowest address plus i; a spill of n bytes
 * (n = 8, 4, 2, 1, of the register's low part) starts at the lowest address: kind[0..n) is
 * VB_SPILL. (The kernel's log prints these kinds from the highest address to the lowest.)
 *
 * A dynptr is two slots, the one at the lower address first: spilled.dyn, spilled.id (its own id),
 * spilled.ref_id, spilled.flags & VREG_RDONLY; spilled.uid = 1 in the first, 2 in the second.
 * An iterator over numbers is one slot, one over bits two: spilled.dyn = enum ebpf_viter_sort,
 * spilled.ref_id in each; of two, spilled.uid = 1 in the first and 2 in the second, else 0. In the
 * first, spilled.obj = enum ebpf_viter, spilled.mem_size = how often the explorer followed it
 * ("depth").
 */
struct ebpf_vslot {
	u8 kind[8]; /* enum ebpf_vbyte */
	struct ebpf_vreg spilled;
};

#define EBPF_VREGS 11
#define EBPF_VSLOTS (EBPF_STACK_SIZE / 8)

struct ebpf_vframe {
	struct ebpf_vreg regs[EBPF_VREGS];
	u32 callsite;	      /* instruction in the caller; of the main program and entries ~0 */
	u32 subprog;	      /* index of the function */
	bool callback;	      /* called by the helper at callsite */
	bool async;	      /* entry of a callback that runs later (a timer's) */
	s32 ret_min, ret_max; /* what a callback may return */
	/* at a call that calls back: how often, at least, it did so already; everywhere else 0 */
	u32 cb_depth;
	u32 nslots;		  /* slots that were ever touched; the rest is VB_NONE */
	u32 room;		  /* slots there is memory for */
	struct ebpf_vslot *slots; /* malloc'ed; slot i covers fp-8*i-8 .. fp-8*i-1 */
};

enum ebpf_vref_kind {
	VREF_PTR,  /* must be released: ring-buffer sample, dynptr, iterator */
	VREF_LOCK, /* bpf_spin_lock; ptr = id of the map value it lies in */
	VREF_RCU,
	VREF_PREEMPT,
	VREF_IRQ,
};

struct ebpf_vref {
	u32 id;
	u32 kind;  /* enum ebpf_vref_kind */
	u32 insn;  /* that acquired it */
	u32 obj;   /* VREF_LOCK: map index; */
	u32 uid;   /* VREF_LOCK: id of the value's register */
	u32 frame; /* acquired in this frame (a callback can't release its caller's) */
};

#define EBPF_MAX_VREFS 64

struct ebpf_vstate {
	struct ebpf_vframe *frame[EBPF_MAX_FRAMES]; /* malloc'ed: curframe + 1 */
	u32 curframe;
	struct ebpf_vref *refs; /* malloc'ed: nrefs, in the order they were acquired */
	u32 nrefs;
	u32 may_goto_depth; /* explorer */
};

/* All of these: 0 or -ENOMEM. *dst is a valid state before (zeroed counts) and after. */
int ebpf_vstate_copy(struct ebpf_vstate *dst, const struct ebpf_vstate *src);
int ebpf_vframe_push(struct ebpf_vstate *st); /* one more frame, all registers VT_NONE */
void ebpf_vframe_pop(struct ebpf_vstate *st);
int ebpf_vframe_grow(struct ebpf_vframe *f, u32 nslots);
int ebpf_vref_add(struct ebpf_vstate *st, const struct ebpf_vref *ref);
/* false: there is no such reference */
bool ebpf_vref_del(struct ebpf_vstate *st, u32 id);
void ebpf_vstate_free(struct ebpf_vstate *st); /* what it owns; leaves it zeroed */

/* Make the register hold: nothing that can be read; any number; that number; a pointer. */
static inline void ebpf_vreg_none(struct ebpf_vreg *r)
{
	memset(r, 0, offsetof(struct ebpf_vreg, val));
	ebpf_scalar_unknown(&r->val);
}

static inline void ebpf_vreg_unknown(struct ebpf_vreg *r)
{
	ebpf_vreg_none(r);
	r->type = VT_SCALAR;
}

static inline void ebpf_vreg_const(struct ebpf_vreg *r, u64 value)
{
	memset(r, 0, offsetof(struct ebpf_vreg, val));
	r->type = VT_SCALAR;
	ebpf_scalar_const(&r->val, value);
}

static inline void ebpf_vreg_pointer(struct ebpf_vreg *r, u32 type, u32 obj, u32 flags)
{
	ebpf_vreg_const(r, 0);
	r->type = (u8)type;
	r->obj = obj;
	r->flags = (u16)flags;
}

/* Call @fn for every register and spilled register. */
void ebpf_vreg_each(struct ebpf_vstate *st, void (*fn)(struct ebpf_vreg *r, void *arg), void *arg);
/* The same, one after the other: the next one, or NULL. @it is zeroed at first. */
struct ebpf_vreg_iter {
	u32 frame, i;
};
struct ebpf_vreg *ebpf_vreg_next(const struct ebpf_vstate *st, struct ebpf_vreg_iter *it);

static inline struct ebpf_vframe *ebpf_vframe(const struct ebpf_vstate *st)
{
	return st->frame[st->curframe];
}

static inline struct ebpf_vreg *ebpf_vreg(const struct ebpf_vstate *st, u32 regno)
{
	return &st->frame[st->curframe]->regs[regno];
}

static inline bool ebpf_vreg_is_ptr(const struct ebpf_vreg *r)
{
	return r->type > VT_SCALAR;
}

/* bytes of the spill in a slot: 8, 4, 2, 1, or 0 when there is none */
u32 ebpf_vslot_spill_size(const struct ebpf_vslot *slot);

/*
 * The proof: for each entry and each point where paths meet, the states that cover every execution.
 *
 * Model: a list of states, each at an instruction. Before it is handed over, what a proof need not
 * know is forgotten: a register or slot that is dead (not read before it is written again) is
 * VT_NONE or VB_NONE, which in a stored state includes every value; a scalar whose range did not
 * matter is unknown. Every state's frames, references and iterators are exact; memory that was got
 * from a dynptr has the dynptr's reference; no number has an id that no other has. The states come
 * by instruction; those of one come by the value of register `key`, at first those where it is no
 * constant. The place of a pointer but a packet's is all in its variable part. The checker trusts
 * none of it: it shows that from every stored state every path leads, without a fault, to an exit
 * or to a state that is included in a stored one, and that this can't go on for ever.
 */
struct ebpf_proof_state {
	u32 insn;
	/* the explorer's hint, 0 is none: where no budget is used, paths from here lead to lower
	 * ranks */
	u32 rank;
	u32 key; /* register; the same in all states of the instruction */
	struct ebpf_vstate state;
};

struct ebpf_proof {
	struct ebpf_proof_state *states; /* malloc'ed */
	u32 nstates;
	u32 *first; /* malloc'ed: ninsns + 1, the states of an instruction; ebpf_proof_index() */
};
void ebpf_proof_free(struct ebpf_proof *proof);

/*
 * Where a state may be found that includes another: the first phase's word (verify_proof.c), which
 * nobody has to trust. States that are not in order, or a wrong rank, may not be found.
 */
struct ebpf_proof_search { /* the rest is 0 at first */
	const struct ebpf_vprog *prog;
	u32 pc;
	u32 from; /* the state that the path began in, ~0: an entry */
	bool begun, keyed;
	u64 value;
	u32 i;
};
/* Before the first search: 0 or -ENOMEM. Each state's insn is below @ninsns. */
int ebpf_proof_index(struct ebpf_proof *proof, u32 ninsns);
/* The next state, if any, that may include @st; ~0: no more. */
u32 ebpf_proof_next(const struct ebpf_proof *proof, const struct ebpf_vstate *st,
		    struct ebpf_proof_search *s);

/*
 * The first phase: find the proof, write the log. 0 and *proof and the untrusted part of *facts.
 */
int ebpf_explore(const struct ebpf_vprog *prog, struct ebpf_log *log, struct ebpf_proof *proof,
		 struct ebpf_facts *facts);

/*
 * The second phase: is it one? 0, or -EFAULT with a text that names instruction and reason (an
 * error of ours: the first phase must not let through what the second refuses). Computes the facts
 * that the code generator relies on by itself.
 */
int ebpf_check_proof(const struct ebpf_vprog *prog, struct ebpf_proof *proof, struct ebpf_log *log,
		     struct ebpf_facts *facts);
