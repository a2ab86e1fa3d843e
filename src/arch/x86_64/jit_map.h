/* SPDX-License-Identifier: BSD-2-Clause */
/* Map operations that JIT code does without their helper. */
#pragma once

#include "core/run/image.h"
#include "jit_emit.h"

/*
 * bpf_map_lookup_elem() as JIT code has its arguments: rdi a map of the program, of shape @map, rsi
 * the key, which must be readable; the value's address in rax. Like any call it costs the argument
 * registers and wants the stack aligned. True when it may jump to the offset *slow in the code,
 * where jit_map_lookup_slow() and a jump back are to be.
 */
bool jit_map_lookup(struct emit *e, const struct ebpf_map_shape *map, const u32 *slow);
void jit_map_lookup_slow(struct emit *e);

/* bpf_map_update_elem() and bpf_map_delete_elem() by the map's own code: key and value must be
 * readable. */
void jit_map_change(struct emit *e, u32 helper);
