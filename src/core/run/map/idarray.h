/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PROG_ARRAY and PERF_EVENT_ARRAY: a u32 per element, the daemon's id of what the user put there, 0
 * for nothing. What an id means each process looks up in its own tables (struct ebpf_env), so an id
 * that somebody scribbled there names an object that process knows, or nothing.
 *
 * Programs read them; only the daemon writes, on behalf of bpf(2).
 */
#pragma once

#include "core/run/map/map.h"

/* The id at @index, 0 when there is none or no such element. Any context. */
u32 ebpf_idarray_get(const struct ebpf_map *map, u32 index);

/* Put @id (0: nothing) there; the id that was there into *old, if wanted. 0 or -E2BIG. */
int ebpf_idarray_set(struct ebpf_map *map, u32 index, u32 id, u32 *old);
