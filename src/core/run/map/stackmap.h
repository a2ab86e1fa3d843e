/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * STACK_TRACE: call stacks by id; the id is a hash of the stack, so that equal stacks have one.
 *
 * Layout: round_up_pow2(max_entries) slots, each a header and room for the longest stack. A slot is
 * empty while its length is 0: a writer, under the slot's owned lock, sets it to 0 first and to the
 * stack's length last, so a killed one leaves an empty slot. Readers compare the slot's sequence
 * before and after.
 */
#pragma once

#include "core/run/map/map.h"

#define EBPF_MAX_STACK_DEPTH 127

/*
 * bpf_get_stackid() once the stack is in hand: its id, or the kernel's errno. @flags: of
 * BPF_F_FAST_STACK_CMP and BPF_F_REUSE_STACKID, others are ignored. Longer stacks than the map's
 * are cut at their outer end. Any context.
 */
s64 ebpf_stackmap_put(struct ebpf_map *map, const u64 *ips, u32 n, u64 flags);
