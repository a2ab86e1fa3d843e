/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From instructions to an image: what PROG_LOAD does between the attribute and the object.
 *
 *	check (structure) -> resolve (descriptors to maps) -> verify -> clean (what no path comes
 *to)
 *		-> check (all of it) -> build (refs, subprogs) -> JIT
 *
 * All pure: memory in, memory out, nothing shared is touched. Process context. The log is the
 *verifier log that libbpf prints; the text of an error is there, its errno is the return value (the
 *kernel's: EINVAL, EACCES, E2BIG).
 */
#pragma once

#include "core/run/image.h"
#include "core/run/map/map.h"

/*
 * The verifier log: a caller's buffer, filled as BPF_PROG_LOAD's log_buf is (what does not fit is
 * dropped from the front, or from the end with BPF_LOG_FIXED). Text can be taken back to an earlier
 * position. While it grows the buffer is used round and round: ebpf_log_end() makes it a
 * NUL-terminated string, and may be called more than once.
 */
struct ebpf_log {
	char *buf; /* may be NULL */
	u32 size;  /* bytes of buf */
	u32 level; /* log_level of the attribute */
	u32 len;   /* kept in buf, NUL excluded; set by ebpf_log_end() */
	u64 total; /* the most that was needed, NUL included */
	u64 pos;   /* bytes written so far */
	u64 first; /* position of the oldest byte that is kept */
	u32 at;	   /* where in buf that is */
};
void ebpf_log_printf(struct ebpf_log *log, const char *fmt, ...) __printf_like(2, 3);
void ebpf_log_write(struct ebpf_log *log, const char *text, u32 len);
/* Forget what was written after position @pos (an earlier log->pos). */
void ebpf_log_reset(struct ebpf_log *log, u64 pos);
void ebpf_log_end(struct ebpf_log *log);

#define EBPF_MAX_USED_MAPS 64
#define EBPF_MAX_INSNS 1000000u
#define EBPF_MAX_SUBPROGS 256u

/* How the walk went: what a log ends with, at every level but 0. All 0 where there was none. */
struct ebpf_log_stats {
	u64 start_ns; /* ebpf_log_now() when the load began; said with BPF_LOG_STATS */
	u32 insns;
	u32 most_states; /* of one instruction */
	u32 states;
	u32 peak_states;
	u32 nsubprogs;
	u32 depth[EBPF_MAX_SUBPROGS]; /* bytes of stack, of each function */
};
void ebpf_log_stats(struct ebpf_log *log, const struct ebpf_log_stats *stats);
u64 ebpf_log_now(void); /* CLOCK_MONOTONIC, ns */

struct ebpf_vmap;
struct ebpf_facts;

/* What the client calls a kernel function, for messages alone. */
struct ebpf_kfunc_name {
	u32 id;
	char name[60];
};
#define EBPF_MAX_KFUNC_NAMES 64u

struct ebpf_load {
	/* in */
	const struct bpf_insn *insns; /* as the client sent them: map descriptors in lddw */
	u32 ninsns;
	u32 prog_type;
	u32 expected_attach_type;
	bool want_jit;
	/*
	 * Map of descriptor @fd (or of fd_array index), as the client numbers them. Index into used
	 * maps by way of the returned meta's id; NULL: not a map.
	 */
	const struct ebpf_map_meta *(*map_by_fd)(void *cookie, s32 fd, bool is_index);
	void *cookie;
	struct ebpf_log *log; /* never NULL */
	u32 check_flags;      /* EBPF_CHECK_*; 0 for PROG_LOAD: then the program is verified */
	/* for engines under test, with EBPF_CHECK_VERIFIED: what the proof said; or NULL */
	const struct ebpf_facts *facts;
	/* what verification looks at besides */
	u32 prog_flags; /* BPF_F_STRICT_ALIGNMENT, … */
	bool gpl;
	u32 nr_cpus;
	const u8 *btf; /* or NULL */
	u32 btf_size;
	const struct bpf_func_info *funcs;
	u32 nfuncs;
	const struct bpf_line_info *lines;
	u32 nlines;
	const struct ebpf_kfunc_name *kfuncs;
	u32 nkfuncs;
	const u8 *target; /* of a typed program: BTF of what it probes, and its FUNC there */
	u32 target_size;
	u32 target_func;
	const struct ebpf_callee *callees; /* checked */
	u32 ncallees;
	/* What the verifier may know of the map with @id: 0, or -EINVAL. */
	int (*map_view)(void *cookie, u32 id, struct ebpf_vmap *out);
	/* out: on success only; image is malloc'ed and the caller's */
	u32 used_maps[EBPF_MAX_USED_MAPS]; /* ids */
	u32 nused_maps;
	u8 *image;
	u32 image_size;
};

/* Do all of it. 0, or -errno with the reason in the log. */
int ebpf_load_build(struct ebpf_load *load);

/*
 * The structural check alone: opcodes, reserved fields, registers, jump targets, lddw pairs,
 * subprogram bounds, calls to known helpers (allowed for @prog_type), reachability of every
 * instruction, exit at the end of every path, size. The guard of PROG_LOAD until a verifier stands
 * there. 0, -EINVAL, -EACCES, -E2BIG.
 */
int ebpf_check_structure(const struct bpf_insn *insns, u32 ninsns, u32 prog_type,
			 struct ebpf_log *log);

/*
 * The same with differences for engines under test: what the instruction set defines (RFC 9669) but
 * the kernel's verifier refuses.
 */
/* immediate shifts are masked, division by an immediate 0 is defined, dead code is no fault */
#define EBPF_CHECK_ISA 1u
#define EBPF_CHECK_CALLX 2u	 /* call by register: the number of a helper */
#define EBPF_CHECK_ANY_HELPER 4u /* helpers of no program type: test engines bring their own */
/* the verifier goes on from here: calls, loops, reachability and depth are its matter */
#define EBPF_CHECK_VERIFIED 8u
#define EBPF_CHECK_STRUCTURE 16u /* nothing more, no proof: for engines under test */
/* the verifier comes next: shifts, divisors and what writes r10 only matter where a path comes by
 */
#define EBPF_CHECK_PATHS 32u
/*
 * The verifier looks at what it walks, the full check follows when it is known what that was:
 * helpers, kernel functions, loads from packets, and fields that must be empty pass.
 */
#define EBPF_CHECK_LATER 64u
int ebpf_check_structure_flags(const struct bpf_insn *insns, u32 ninsns, u32 prog_type, u32 flags,
			       struct ebpf_log *log);

/* One instruction as the kernel's disassembler prints it ("r0 = r1"), into @buf. Returns slots used
 * (1, or 2 for lddw). */
int ebpf_disasm(const struct bpf_insn *insn, char *buf, size_t size);

/* The tag of a program: first 8 bytes of the SHA-1 over its instructions with map references zeroed
 * (as the kernel). */
void ebpf_prog_tag(const struct bpf_insn *insns, u32 ninsns, u8 tag[BPF_TAG_SIZE]);
