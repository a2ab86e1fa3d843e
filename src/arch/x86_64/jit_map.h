/* SPDX-License-Identifier: BSD-2-Clause */
/* What JIT code does without the helper. */
#pragma once

#include "core/run/image.h"
#include "jit_emit.h"

/*
 * What does not always succeed goes on at the offset *slow in the code otherwise, by a jump or a
 * fault, the argument registers that the helper asks for as they were: there the call and a jump
 * back are to be.
 */

/*
 * bpf_map_lookup_elem() as JIT code has its arguments: rdi a map of the program, of shape @map; the
 * key is at rbp + @key, and readable; the value's address in rax. Like any call it costs the
 * argument registers and wants the stack aligned. True when it may go on at *slow, where
 * jit_map_lookup_slow() is to be.
 */
bool jit_map_lookup(struct emit *e, const struct ebpf_map_shape *map, s32 key, const u32 *slow);
void jit_map_lookup_slow(struct emit *e, s32 key);

/*
 * A run's CPU is that on which it began: its number is found once and kept in the run, with the
 * part of a value that is its own where that has @nr_cpus (0: none has any). What asks for it
 * afterwards, bpf_get_smp_processor_id() or a lookup of a value per CPU, gets that. A load tells,
 * else *slow, where jit_cpu_ask() is to be, with the stack aligned: it costs all but rdi.
 */
void jit_cpu_find(struct emit *e, u32 nr_cpus, const u32 *slow);
void jit_cpu_ask(struct emit *e, u32 nr_cpus);
void jit_cpu(struct emit *e); /* the number, in rax */
/* Does a lookup in place ask for this CPU's part? */
bool jit_map_asks_cpu(const struct ebpf_map_shape *map);

/* bpf_probe_read() to the stack, of 1, 2, 4 or 8 bytes, else *slow; false: of another size. */
bool jit_probe_read(struct emit *e, u32 size, const u32 *slow);

/* Any helper, by the table. */
void jit_call_helper(struct emit *e, u32 id);

/* bpf_map_update_elem() and bpf_map_delete_elem() by the map's own code: key and value must be
 * readable. */
void jit_map_change(struct emit *e, u32 helper);
