/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is verified: a program as PROG_LOAD got it, with everything its proof may depend on.
 *
 * Model: plain memory, filled by PROG_LOAD, read-only for explorer and checker. Map descriptors in
 * lddw have been replaced by indices into maps[]: src_reg keeps its BPF_PSEUDO_MAP_FD or
 * BPF_PSEUDO_MAP_VALUE (the IDX forms are gone), imm is the index, the second imm the offset.
 * Nothing here points into memory that other processes can write.
 */
#pragma once

#include "core/load/load.h"
#include "core/run/map/map.h"
#include "core/run/prog.h"

/* Fields of a map's value that only helpers may touch, found in the map's BTF. */
enum ebpf_field_kind {
	EBPF_FIELD_NONE,
	EBPF_FIELD_SPIN_LOCK, /* struct bpf_spin_lock, 4 bytes */
	EBPF_FIELD_TIMER,     /* struct bpf_timer, 16 bytes */
	EBPF_FIELD_KPTR,      /* anything else the kernel knows: any use is refused */
};

#define EBPF_MAX_FIELDS 11
struct ebpf_field {
	u32 kind; /* enum ebpf_field_kind */
	u32 off;  /* bytes from the start of the value */
	u32 size;
};

struct ebpf_vmap {
	struct ebpf_map_meta meta;
	const struct ebpf_map_meta *inner; /* of a map of maps, else NULL */
	struct ebpf_field fields[EBPF_MAX_FIELDS];
	u32 nfields;
	bool frozen; /* BPF_MAP_FREEZE was done: programs with BPF_F_RDONLY_PROG read constants */
	const u8
		*contents; /* of a frozen, sealed ARRAY of one entry: value_size bytes; else NULL */
	bool has_btf;
};

/* The client's BTF, as bytes that passed ebpf_btf_check(). NULL data: none. */
struct ebpf_vbtf {
	const u8 *data;
	u32 size;
};

/* The callee that a call of kernel function @id is of, or NULL. */
#define ebpf_vprog_callee(prog, id)                                                                \
	((u32)(id)-EBPF_KFUNC_CALLEE < (prog)->ncallees                                            \
		 ? &(prog)->callees[(u32)(id)-EBPF_KFUNC_CALLEE]                                   \
		 : NULL)

struct ebpf_vprog {
	const struct bpf_insn *insns;
	u32 ninsns;
	u32 prog_type;
	u32 expected_attach_type;
	u32 prog_flags; /* BPF_F_STRICT_ALIGNMENT, BPF_F_TEST_STATE_FREQ, BPF_F_SLEEPABLE, … */
	u32 nr_cpus;	/* possible CPUs */
	bool gpl;
	bool served; /* helpers that this build hasn't are refused, in the words of feature probes
		      */
	const struct ebpf_vmap *maps;
	u32 nmaps;
	struct ebpf_vbtf btf;
	const struct bpf_func_info *funcs; /* one a subprogram, ascending, or NULL */
	u32 nfuncs;
	const struct bpf_line_info *lines;
	u32 nlines;
	const struct ebpf_kfunc_name *kfuncs; /* for messages alone */
	u32 nkfuncs;
	struct ebpf_vbtf target;	   /* types of what a typed program probes; else NULL */
	u32 target_func;		   /* there, its FUNC */
	const struct ebpf_callee *callees; /* functions of the target that it may call */
	u32 ncallees;
};

/*
 * What a proof says to those who make and run the code. All arrays are calloc'ed by the verifier,
 * ninsns long, and the caller's afterwards (ebpf_facts_free()).
 */
#define EBPF_FACT_SEEN 1u      /* some path gets here; the rest is dead code */
#define EBPF_FACT_MAY_FAULT 2u /* touches memory that may be missing: not the stack or context */
/* the context's address is given to a helper, stored where others may read it, or made a number */
#define EBPF_FACT_CTX_ESCAPES 4u
/* loads from where a number says: what can't be read is 0, and the program goes on */
#define EBPF_FACT_PROBES 8u
/* of a callee's argument: an address of the program's memory, or one of the target's */
#define EBPF_FACT_MEMORY(arg) (16u << (arg))
#define EBPF_FACT_NUMBER(arg) (512u << (arg))

struct ebpf_facts {
	u16 *insn;	/* EBPF_FACT_* */
	u64 ctx_read;	/* bit n: a load reads of the context's bytes 8n to 8n+7; 63: or of later */
	u32 ctx_size;	/* bytes of the context, from its start, that are read or written */
	u64 helpers[4]; /* bit n: helper n is called */
	u32 nsubprogs;
	struct {
		u32 start; /* first instruction */
		u32 stack; /* bytes below its frame pointer that are touched, a multiple of 8 */
		u64 zero;  /* bit n: slot n (bytes fp-8n-8 ..) may be read before it is written */
	} subprog[EBPF_MAX_SUBPROGS];
	u32 stack_depth; /* bytes of the deepest chain of calls, callbacks included */
	u32 processed;	 /* instructions, both phases */
	struct ebpf_image_timer timer[EBPF_MAX_TIMER_CALLBACKS];
	u32 ntimers;
};
void ebpf_facts_free(struct ebpf_facts *facts);

/*
 * Verify: explore, then check. 0 and *facts; or the kernel's errno with the reason in the log, in
 * the kernel's words. Runs in the calling process, uses malloc, makes no system call but for
 * memory and the clock.
 */
int ebpf_verify(const struct ebpf_vprog *prog, struct ebpf_log *log, struct ebpf_facts *facts);
