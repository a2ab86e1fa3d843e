/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps as results: what attach and run print at the end, and the pieces the map command shares.
 *
 * Rules: only what is there is printed (no zero elements of arrays, no empty maps). A map of counts
 * whose name says hist, lat or dist and whose keys are slots is a histogram in powers of two: slot
 * i counts [2^i, 2^(i+1)), slot 0 counts [0, 2). Per-CPU counts are summed, other per-CPU values
 * are listed.
 */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "cli/value.h"

struct map_view {
	int fd; /* borrowed */
	struct bpf_map_info info;
	struct btf *btf;	  /* may be NULL; borrowed */
	u32 key_type, value_type; /* 0: none */
	size_t user_value_size;	  /* as bpf(2) copies it */
};

/* Fill in everything but the types. 0 or -errno. */
int map_view_init(struct map_view *view, int fd);
bool map_is_percpu(u32 type);
bool map_is_outer(u32 type); /* its elements are maps */
bool map_is_fifo(u32 type);  /* a queue or a stack: no keys */

/* Call @fn with each element until it returns non-zero, which comes back. */
int map_each(const struct map_view *view,
	     int (*fn)(const struct map_view *view, const void *key, const void *value,
		       void *cookie),
	     void *cookie);

/* The value as JSON: {"cpu": n, "value": v} rows for per-CPU types. */
struct json_object *map_value_json(const struct map_view *view, const void *value);

/* Print every map of @obj that holds something; @json: as events. */
struct object;
void maps_print(struct bpf_object *bpf, FILE *stream, bool json);

/* One histogram: bars to @stream under "@name:". Pure otherwise. */
void hist_print(FILE *stream, const char *name, const u64 *slots, u32 n);
/* "1K", "64": a bound of a bar. */
const char *hist_bound(u32 slot, char buf[16]);
