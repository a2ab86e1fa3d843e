/* SPDX-License-Identifier: BSD-2-Clause */
/* What JIT code does without the helper. */
#pragma once

#include "core/run/image.h"
#include "jit_emit.h"

/*
 * bpf_map_lookup_elem() as JIT code has its arguments: rdi a map of the program, of shape @map; the
 * key is at rbp + @key, and readable; the value's address in rax. Like any call it costs the
 * argument registers and wants the stack aligned. True when it may jump to the offset *slow in the
 * code, where jit_map_lookup_slow() and a jump back are to be.
 */
bool jit_map_lookup(struct emit *e, const struct ebpf_map_shape *map, s32 key, const u32 *slow);
void jit_map_lookup_slow(struct emit *e, s32 key);

/* bpf_get_smp_processor_id(), by a load where that tells. */
void jit_cpu(struct emit *e);

/* bpf_probe_read() to the stack, of 1, 2, 4 or 8 bytes; false: of another size. */
bool jit_probe_read(struct emit *e, u32 size);

/* bpf_map_update_elem() and bpf_map_delete_elem() by the map's own code: key and value must be
 * readable. */
void jit_map_change(struct emit *e, u32 helper);
