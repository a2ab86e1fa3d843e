/* SPDX-License-Identifier: BSD-2-Clause */
/* Pads: see plan_jump.h. */
#include "daemon/plan_jump.h"

#include <stdlib.h>
#include <string.h>

#define PADS_MAX 1000u /* the agent has room for some more: those of an earlier daemon */
#define HEAP_ROOM (1ull << 30)
#define BITS 64u

struct plan_pad {
	u64 page;
	u64 taken[EBPFRT_PAGE_SIZE / BITS]; /* a bit each byte */
};

void plan_pads_free(struct plan_pads *pads)
{
	free(pads->v);
	*pads = (struct plan_pads){0};
}

static struct plan_pad *pad_at(const struct plan_pads *pads, u64 addr)
{
	for (u32 i = 0; i < pads->n; i++)
		if (addr - pads->v[i].page < EBPFRT_PAGE_SIZE)
			return &pads->v[i];
	return NULL;
}

static struct plan_pad *pad_new(struct plan_pads *pads, u64 page)
{
	u32 room = pads->room ? 2 * pads->room : 16;
	struct plan_pad *v;

	if (pads->n == PADS_MAX)
		return NULL;
	if (pads->n == pads->room) {
		v = realloc(pads->v, room * sizeof(*v));
		if (!v)
			return NULL;
		pads->v = v;
		pads->room = room;
	}
	pads->v[pads->n] = (struct plan_pad){.page = page};
	return &pads->v[pads->n++];
}

static bool bit(const struct plan_pad *pad, u64 at)
{
	return pad->taken[at / BITS] >> at % BITS & 1;
}

static bool is_free(const struct plan_pad *pad, u64 at)
{
	if (at > EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN)
		return false;
	for (u64 i = at; i < at + ARCH_JUMP_LEN; i++)
		if (bit(pad, i))
			return false;
	return true;
}

static u64 take(struct plan_pad *pad, u64 at)
{
	for (u64 i = at; i < at + ARCH_JUMP_LEN; i++)
		pad->taken[i / BITS] |= 1ull << i % BITS;
	return pad->page + at;
}

void plan_pads_note(struct plan_pads *pads, u64 to)
{
	u64 page = ALIGN_DOWN(to, EBPFRT_PAGE_SIZE);
	struct plan_pad *pad = pad_at(pads, page);

	if (!pad)
		pad = pad_new(pads, page);
	if (pad)
		take(pad, MIN(to - page, EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN));
}

/* A free place of @pad in [lo, hi]: its address, 0: none. */
static u64 place_in(struct plan_pad *pad, u64 lo, u64 hi)
{
	u64 from = lo > pad->page ? lo - pad->page : 0;
	u64 to = MIN(hi - pad->page, EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN);

	for (u64 at = from; at <= to; at++)
		if (is_free(pad, at))
			return take(pad, at);
	return 0;
}

static bool overlaps(const struct plan_pad *pad, u64 lo, u64 hi)
{
	return pad->page <= hi && pad->page + EBPFRT_PAGE_SIZE > lo;
}

static bool for_the_heap(u64 page, u64 exe_end)
{
	return exe_end && page >= exe_end && page - exe_end < HEAP_ROOM;
}

/* A page for pads that has at least a byte in [lo, hi]. */
static u64 free_page(const struct probe_maps *maps, u64 exe_end, u64 lo, u64 hi)
{
	u64 first = ALIGN_DOWN(lo, EBPFRT_PAGE_SIZE);
	u64 last = ALIGN_DOWN(hi, EBPFRT_PAGE_SIZE) + EBPFRT_PAGE_SIZE - 1, page;

	if (first < EBPFRT_PAGE_SIZE)
		return 0;
	while (first <= hi) {
		page = probe_maps_gap(maps, first, last, first, EBPFRT_PAGE_SIZE);
		if (!page || !for_the_heap(page, exe_end))
			return page;
		first = exe_end + HEAP_ROOM;
	}
	return 0;
}

static u64 pad_place(struct plan_pads *pads, const struct probe_maps *maps, u64 exe_end, u64 lo,
		     u64 hi)
{
	struct plan_pad *pad;
	u64 page, at;

	for (u32 i = 0; i < pads->n; i++) {
		if (!overlaps(&pads->v[i], lo, hi))
			continue;
		at = place_in(&pads->v[i], lo, hi);
		if (at)
			return at;
	}
	page = free_page(maps, exe_end, lo, hi);
	if (!page || pad_at(pads, page))
		return 0;
	pad = pad_new(pads, page);
	return pad ? place_in(pad, lo, hi) : 0;
}

bool plan_jump(struct plan_pads *pads, const struct probe_maps *maps, u64 exe_end,
	       const struct arch_patch *p, const u8 *text, size_t len, struct arch_jump *out)
{
	u64 lo, hi;

	if (!arch_jump_range(p, text, len, &lo, &hi))
		return false;
	if (out->stub >= lo && out->stub <= hi)
		out->to = out->stub;
	else
		out->to = pad_place(pads, maps, exe_end, lo, hi);
	return out->to;
}
