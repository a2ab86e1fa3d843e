/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A checked interpreter: what a verified program does, beside what the verifier believes of it.
 *
 * Model: a world of maps, a context, helpers that answer at random but the same for the same seed
 * (checked_world.c); values that know which object they point into (checked.c); and the checker's
 * abstract state, stepped along the path that the execution takes, which must contain the concrete
 * one at each instruction (checked_state.c). Where the checker would stop, because a stored state
 * of the proof includes the path's, the execution goes on beside the stored state.
 *
 * Rules: the interpreter takes the verifier's word for nothing: each access is looked at again.
 */
#pragma once

#include "core/load/check_proof.h"
#include "core/load/vprog.h"
#include "core/run/prog.h"

/* --- the world ------------------------------------------------------------------------------- */

enum checked_map {
	CMAP_ARRAY,  /* 4 entries of 48 bytes */
	CMAP_HASH,   /* key 8, value 16 */
	CMAP_RING,   /* 4096 bytes */
	CMAP_DATA,   /* one entry of 64 bytes: direct values */
	CMAP_RODATA, /* one frozen entry of 32 bytes */
	CMAP_LOCKED, /* key 4, value 24 with a spin lock at byte 4 */
	CMAP_OUTER,  /* array of 2 maps: entries of 32 bytes */
	CMAP_COUNT
};
#define CMAP_ENTRIES 4u
#define CHECKED_SAMPLES 16u
#define CHECKED_SAMPLE_SIZE 256u
#define CHECKED_CTX 168u

struct checked_world {
	u64 seed;
	u64 calls; /* random numbers drawn */
	u32 samples;
	struct ebpf_map maps[CMAP_COUNT];
	struct ebpf_map inner;
	u8 *memory; /* everything below */
	u8 *value[CMAP_COUNT];
	u8 *inner_value;
	u8 *sample, *key, *ctx;
};
extern const struct ebpf_vmap checked_maps[CMAP_COUNT];

int checked_world_init(struct checked_world *w);
void checked_world_free(struct checked_world *w);
/* Memory and answers as @seed says. */
void checked_world_reset(struct checked_world *w, u64 seed);
u64 checked_world_hash(const struct checked_world *w); /* of what a program can write */
u64 checked_random(u64 *state);
u64 checked_edge(u64 *state); /* a number near a boundary, often */

/*
 * Helper @id: fills what it writes, returns what it returns. With callbacks it only says how often
 * (checked_times()), the caller calls.
 */
u64 checked_helper(struct checked_world *w, u32 id, const u64 arg[5]);
u32 checked_times(struct checked_world *w, u32 id, const u64 arg[5]);
void checked_callback_args(struct checked_world *w, u32 id, const u64 arg[5], u32 turn, u64 out[5]);
const struct ebpf_map_ops *checked_map_ops(void);

/* --- objects and values ---------------------------------------------------------------------- */

struct checked_object {
	u8 type; /* enum ebpf_vtype */
	u8 frame;
	bool live, rdonly, inner;
	u32 map;  /* or subprogram */
	u64 base; /* address of offset 0 */
	s64 lo, hi;
	u32 ref; /* of a sample: index of its reference + 1 */
};

struct checked_value {
	u64 n;
	u32 obj; /* index of the object it points into, 0: none */
	bool init;
	bool taint; /* depends on where things lie */
};

struct checked_frame {
	struct checked_value reg[EBPF_VREGS];
	u32 callsite, subprog;
	bool callback;
	u32 turns, turn; /* of the callback at the current call; turns 0: none is going on */
	u8 init[EBPF_STACK_SIZE];
	struct checked_value cell[EBPF_VSLOTS]; /* whole pointers, by slot as in vstate.h */
	u8 iter[EBPF_VSLOTS];			/* enum ebpf_viter */
	u32 left[EBPF_VSLOTS];			/* turns of the iterator */
	u64 number[EBPF_VSLOTS];		/* what it gave last */
};

#define CHECKED_OBJECTS 256u
#define CHECKED_REFS 64u
#define CHECKED_STEPS 6000u

struct checked {
	const struct ebpf_vprog *prog;
	const struct ebpf_facts *facts;
	struct checked_world *w;
	struct ebpf_proof *proof; /* or NULL: no stored states */
	struct proof_check *c;	  /* NULL: nothing is followed */
	u64 random;
	u32 pc;
	u32 nframes;
	struct checked_frame frame[EBPF_MAX_FRAMES];
	u8 *stack; /* EBPF_MAX_FRAMES * EBPF_STACK_SIZE bytes */
	struct checked_object obj[CHECKED_OBJECTS];
	u32 nobjs;
	struct {
		u32 kind; /* enum ebpf_vref_kind + 1; 0: given back */
		bool null;
	} ref[CHECKED_REFS];
	u32 nrefs;
	/* results */
	u64 r0, hash; /* of the memory afterwards */
	u64 seed;
	u64 steps;
	bool exited;	 /* else: steps ran out */
	bool depends;	 /* on addresses: engines may differ */
	bool unlike;	 /* a thing the engines do in their own way */
	char error[400]; /* what was violated, "" when nothing was */
};

/*
 * Run the program once; 0, or -1 with the reason in ->error. @facts are the checker's. The proof's
 * states have been normalised (proof_normalise()).
 */
int checked_run(struct checked *k, const struct ebpf_vprog *prog, struct ebpf_proof *proof,
		const struct ebpf_facts *facts, struct checked_world *w, u64 seed);
int checked_error(struct checked *k, const char *fmt, ...) __printf_like(2, 3);

static inline struct checked_frame *checked_frame(struct checked *k)
{
	return &k->frame[k->nframes - 1];
}

/* --- checked_state.c ------------------------------------------------------------------------- */

int checked_follow_start(struct checked *k);
void checked_follow_end(struct checked *k);
/* Before the instruction at k->pc is executed: take the abstract step. */
int checked_follow_step(struct checked *k);
/* After it: which of the abstract states contains the concrete one? */
int checked_follow_choose(struct checked *k);
