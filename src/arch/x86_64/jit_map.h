/* SPDX-License-Identifier: BSD-2-Clause */
/* What JIT code does without the helper: lookups, and reads of any memory. See jit_self.h for
 * *slow. */
#pragma once

#include "core/run/image.h"
#include "jit_emit.h"

/* Can a lookup in a map of this shape be done in place? */
bool jit_map_in_place(const struct ebpf_map_shape *map);

/*
 * bpf_map_lookup_elem() of a map of the program, of shape @map, that is in register @at_map; the
 * key is at rbp + @key, and readable; the value's address in rax. What is not found is found at
 * *slow, where jit_map_lookup_slow() is to be: that wants the map in rdi and the stack aligned.
 * Like any call, both cost the argument registers.
 */
void jit_map_lookup(struct emit *e, const struct ebpf_map_shape *map, u8 at_map, s32 key,
		    const u32 *slow);
void jit_map_lookup_slow(struct emit *e, s32 key);

/* The same of a key that is known, an array's @index, which it has; false: it has not. */
bool jit_map_element(struct emit *e, const struct ebpf_map_shape *map, u8 at_map, u32 index);

/* bpf_probe_read() to the stack, of 1, 2, 4 or 8 bytes, else *slow; false: of another size. */
bool jit_probe_read(struct emit *e, u32 size, const u32 *slow);

/* bpf_map_update_elem() and bpf_map_delete_elem() by the map's own code: key and value must be
 * readable. */
void jit_map_change(struct emit *e, u32 helper);
