/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running code from a given state of the CPU and looking at the state it ends in.
 *
 * Model: a break traps into a handler on a stack of its own, which loads the state; the code runs
 * until the next signal, a break of the code area's or a fault, which stores it. A state is all of
 * what a signal frame has: general registers, flags, and the extended state as XSAVE lays it out.
 * The base of %fs is the state's own, too, so that code may do what it likes to "its" thread.
 */
#pragma once

#include "arch/arch.h"

#define MACHINE_AREA 0x10000 /* bytes of each area; pages without access around them */
#define MACHINE_XSTATE 16384
#define MACHINE_FLAGS_VARY 0x8d5u
#define MACHINE_FLAGS_FIXED 0x202u
#define MACHINE_FLAGS_SEEN 0x244fd5u /* ID AC NT OF DF TF SF ZF AF PF CF */

struct machine {
	struct arch_regs regs;
	u64 fs_base; /* 0: the thread's own */
	u8 xstate[MACHINE_XSTATE] __attribute__((aligned(64)));
	/* how it ended */
	int sig, code;
	u64 addr, trapno, err, cr2;
};

/* Code is all breaks at first; data is the stack, too. Slots are where displaced copies go. */
extern u8 *machine_code, *machine_data, *machine_slots;
extern u32 machine_xstate_size;

/* Maps the areas, below 2 GiB when @low, else where nothing else is within 2 GiB. False: no memory
 * that is writable and executable. */
bool machine_setup(bool low);
/* Until the first signal; regs.ip is that of the break when it is one. */
void machine_run(struct machine *m);

/* A generator that is fast enough to fill memory with, and whose seed one can say again. */
extern u64 machine_seed;
u64 machine_random(void);
/* Values of a kind: 0 anything, 1 small ones, 2 those at the ends of ranges, 3 floating point */
#define MACHINE_KINDS 4
u64 machine_value(u32 kind);
void machine_fill(void *p, size_t len, u32 kind);
/* The extended state: all registers there are, exceptions masked. */
void machine_fill_xstate(struct machine *m, u32 kind);

/* What differs in @b from @a, "" when nothing does. */
const char *machine_difference(const struct machine *a, const struct machine *b);

#define machine_word(regs, reg) (&((u64 *)(regs))[machine_places[(reg)&15]])
extern const u8 machine_places[16]; /* of a register's number, among the words of arch_regs */
