/* SPDX-License-Identifier: BSD-2-Clause */
/* Pads: see plan_jump.h. */
#include "daemon/plan_jump.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PADS_MAX 1000u /* the agent has room for some more: those of an earlier daemon */
#define HEAP_ROOM (1ull << 30)
#define BITS 64u
#define PARTS 8u /* of the range in which a page for it is looked for */

struct plan_pad {
	u64 page;
	u64 taken[EBPFRT_PAGE_SIZE / BITS]; /* a bit each byte */
};

void plan_pads_free(struct plan_pads *pads)
{
	free(pads->v);
	free(pads->astray);
	*pads = (struct plan_pads){0};
}

static struct plan_pad *pad_at(const struct plan_pads *pads, u64 addr)
{
	for (u32 i = 0; i < pads->n; i++)
		if (addr - pads->v[i].page < EBPFRT_PAGE_SIZE)
			return &pads->v[i];
	return NULL;
}

static void mark(struct plan_pad *pad, u64 addr)
{
	u64 at = addr - pad->page;

	pad->taken[at / BITS] |= 1ull << at % BITS;
}

static struct plan_pad *pad_new(struct plan_pads *pads, u64 page)
{
	u32 room = pads->room ? 2 * pads->room : 16;
	struct plan_pad *pad, *v;

	if (pads->n == PADS_MAX)
		return NULL;
	if (pads->n == pads->room) {
		v = realloc(pads->v, room * sizeof(*v));
		if (!v)
			return NULL;
		pads->v = v;
		pads->room = room;
	}
	pad = &pads->v[pads->n++];
	*pad = (struct plan_pad){.page = page};
	for (u32 i = 0; i < pads->nastray; i++)
		if (pads->astray[i] - page < EBPFRT_PAGE_SIZE)
			mark(pad, pads->astray[i]);
	return pad;
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
		mark(pad, pad->page + i);
	return pad->page + at;
}

struct search {
	struct plan_pads *pads;
	const struct probe_maps *maps;
	const struct arch_patch *p;
	u64 exe_end, lo, hi;
	u32 boundaries;
};

/* --- astray -------------------------------------------------------------------------------------
 */

static const struct probe_mapping *mapping_at(const struct probe_maps *maps, u64 addr)
{
	size_t lo = 0, hi = maps->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (addr < maps->v[mid].start)
			hi = mid;
		else if (addr < maps->v[mid].end)
			return &maps->v[mid];
		else
			lo = mid + 1;
	}
	return NULL;
}

/* Where break points can be behind the instruction: bytes of the jump at which others begin. */
static u32 boundaries(const struct arch_patch *p, const u8 *text, size_t len)
{
	u32 at = p->len, bits = 0;
	int n = 1;

	for (; at < ARCH_JUMP_LEN && n > 0; at += (u32)n) {
		bits |= 1u << at;
		n = arch_insn_len(text + at, len - at);
	}
	/* what can't be told may begin anywhere */
	return n > 0 ? bits : (1u << ARCH_JUMP_LEN) - (1u << p->len);
}

/* The jump itself is to be at @to: what is there traps, too. */
static bool faults_at(const struct plan_pads *pads, const struct probe_maps *maps, u64 to, u64 addr)
{
	const struct plan_pad *pad = pad_at(pads, addr);
	const struct probe_mapping *m;

	if (addr - to < ARCH_JUMP_LEN)
		return addr == to;
	if (pad)
		return !bit(pad, addr - pad->page);
	m = mapping_at(maps, addr);
	return !m || !(m->prot & PROT_EXEC);
}

static bool may_lead_to(const struct search *s, u64 to)
{
	arch_for_each_breaks (breaks, s->p->len)
		if (!(breaks & ~s->boundaries) &&
		    !faults_at(s->pads, s->maps, to, arch_jump_astray(s->p->addr, to, breaks)))
			return false;
	return true;
}

static bool astray_room(struct plan_pads *pads, u32 more)
{
	u32 room = MAX(2 * pads->astray_room, 256u);
	u64 *v;

	if (pads->nastray + more <= pads->astray_room)
		return true;
	v = realloc(pads->astray, room * sizeof(*v));
	if (!v)
		return false;
	pads->astray = v;
	pads->astray_room = room;
	return true;
}

/* What follows a jump that is there already is not looked at any more: anything. */
static bool note_astray(struct plan_pads *pads, const struct arch_patch *p, u64 to)
{
	if (!astray_room(pads, 1u << ARCH_JUMP_LEN))
		return false;
	arch_for_each_breaks (breaks, p->len) {
		u64 addr = arch_jump_astray(p->addr, to, breaks);
		struct plan_pad *pad = pad_at(pads, addr);

		if (addr == to)
			continue;
		pads->astray[pads->nastray++] = addr;
		if (pad)
			mark(pad, addr);
	}
	return true;
}

void plan_pads_note(struct plan_pads *pads, const struct arch_patch *p, const struct arch_jump *j)
{
	u64 page = ALIGN_DOWN(j->to, EBPFRT_PAGE_SIZE);
	struct plan_pad *pad;

	note_astray(pads, p, j->to);
	if (j->to == j->stub)
		return;
	pad = pad_at(pads, page);
	if (!pad)
		pad = pad_new(pads, page);
	if (pad)
		take(pad, MIN(j->to - page, EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN));
}

bool plan_pads_lead_into(const struct plan_pads *pads, u64 addr, u64 size)
{
	for (u32 i = 0; i < pads->nastray; i++)
		if (pads->astray[i] - addr < size)
			return true;
	return false;
}

/* --- a place ------------------------------------------------------------------------------------
 */

/* A free place of @pad: its address, 0: none. */
static u64 place_in(const struct search *s, struct plan_pad *pad)
{
	u64 from = s->lo > pad->page ? s->lo - pad->page : 0;
	u64 to = MIN(s->hi - pad->page, EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN);

	for (u64 at = from; at <= to; at++)
		if (is_free(pad, at) && may_lead_to(s, pad->page + at))
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

/* A page for pads that has at least a byte in [@from, .hi]. */
static u64 free_page(const struct search *s, u64 from)
{
	u64 first = ALIGN_DOWN(from, EBPFRT_PAGE_SIZE);
	u64 last = ALIGN_DOWN(s->hi, EBPFRT_PAGE_SIZE) + EBPFRT_PAGE_SIZE - 1, page;

	if (first < EBPFRT_PAGE_SIZE)
		return 0;
	while (first <= s->hi) {
		page = probe_maps_gap(s->maps, first, last, first, EBPFRT_PAGE_SIZE);
		if (!page || !for_the_heap(page, s->exe_end))
			return page;
		first = s->exe_end + HEAP_ROOM;
	}
	return 0;
}

static u64 place_in_new(const struct search *s, u64 from)
{
	u64 page = free_page(s, from), at;
	struct plan_pad *pad;

	if (!page || pad_at(s->pads, page))
		return 0;
	pad = pad_new(s->pads, page);
	at = pad ? place_in(s, pad) : 0;
	if (pad && !at)
		s->pads->n--;
	return at;
}

static u64 pad_place(const struct search *s)
{
	u64 at = 0;

	for (u32 i = 0; i < s->pads->n && !at; i++)
		if (overlaps(&s->pads->v[i], s->lo, s->hi))
			at = place_in(s, &s->pads->v[i]);
	for (u64 i = 0; i < PARTS && !at; i++)
		at = place_in_new(s, s->lo + i * (s->hi - s->lo) / PARTS);
	return at;
}

bool plan_jump(struct plan_pads *pads, const struct probe_maps *maps, u64 exe_end,
	       const struct arch_patch *p, const u8 *text, size_t len, struct arch_jump *out)
{
	struct search s = {
		.pads = pads,
		.maps = maps,
		.p = p,
		.exe_end = exe_end,
		.boundaries = boundaries(p, text, len),
	};

	if (!arch_jump_range(p, text, len, &s.lo, &s.hi))
		return false;
	if (out->stub >= s.lo && out->stub <= s.hi && may_lead_to(&s, out->stub))
		out->to = out->stub;
	else
		out->to = pad_place(&s);
	return out->to && note_astray(pads, p, out->to);
}
