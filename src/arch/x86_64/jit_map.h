/* SPDX-License-Identifier: BSD-2-Clause */
/* What JIT code does without the helper: lookups, and reads of any memory. See jit_self.h for
 * *slow. */
#pragma once

#include "core/run/image.h"
#include "jit_emit.h"

/*
 * bpf_map_lookup_elem() as JIT code has its arguments: rdi a map of the program, of shape @map; the
 * key is at rbp + @key, and readable; the value's address in rax. Like any call it costs the
 * argument registers and wants the stack aligned. True when it may go on at *slow, where
 * jit_map_lookup_slow() is to be.
 */
bool jit_map_lookup(struct emit *e, const struct ebpf_map_shape *map, s32 key, const u32 *slow);
void jit_map_lookup_slow(struct emit *e, s32 key);

/* The same of a key that is known, an array's @index, which it has; false: it has not. */
bool jit_map_element(struct emit *e, const struct ebpf_map_shape *map, u32 index);

/* Does a lookup in place ask for this CPU's part? */
bool jit_map_asks_cpu(const struct ebpf_map_shape *map);

/* bpf_probe_read() to the stack, of 1, 2, 4 or 8 bytes, else *slow; false: of another size. */
bool jit_probe_read(struct emit *e, u32 size, const u32 *slow);

/* bpf_map_update_elem() and bpf_map_delete_elem() by the map's own code: key and value must be
 * readable. */
void jit_map_change(struct emit *e, u32 helper);
