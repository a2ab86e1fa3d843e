/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_timer: a handle in a map's value, and what the daemon is told.
 *
 * Model: the 16 bytes of struct bpf_timer are two words: which clock and whether it runs, with a
 * number that is new whenever it is started; and which callback of which program. Nobody believes
 * them. A program that starts a timer writes a record into the daemon's ring (trace.h); when the
 * time has come the daemon looks whether the value still is an element of the map and its timer
 * still the one that was started, clears the running bit, and has a process of its own call what
 * the verifier has found to be a callback for values of this map. So a target has no thread and
 * waits for nothing; stopping a timer is one store.
 *
 * Rules: the words change by compare-and-swap only; a record that was not written leaves the timer
 * stopped.
 */
#pragma once

#include "base/macros.h"

/* first word */
#define EBPF_TIMER_CLOCK 0x3ull /* which: enum ebpf_timer_clock */
#define EBPF_TIMER_RUNS 0x4ull
#define EBPF_TIMER_GEN_SHIFT 32

/* flags of bpf_timer_start(), as in newer headers than some machines have */
#define EBPF_TIMER_F_ABS 1u
#define EBPF_TIMER_F_CPU_PIN 2u /* one CPU is as good as any other */

enum ebpf_timer_clock {
	EBPF_TIMER_NONE,
	EBPF_TIMER_MONOTONIC,
	EBPF_TIMER_REALTIME,
	EBPF_TIMER_BOOT,
};

/* second word: id of the program << 32 | first instruction of the callback + 1; 0: none */

/* What follows a struct ebpf_trace_rec whose len is EBPF_TRACE_TIMER. */
struct ebpf_timer_rec {
	u64 value; /* offset of the timer in the map's memory */
	u64 nsecs; /* from the record's ts on, or the time itself */
	u64 state; /* the first word now */
	u32 map, prog, pc;
	u32 absolute;
};
