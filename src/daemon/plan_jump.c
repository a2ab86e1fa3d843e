/* SPDX-License-Identifier: BSD-2-Clause */
/* Pads: see plan_jump.h. */
#include "daemon/plan_jump.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"

#define PADS_MAX 4000u /* the agent has room for some more: those of an earlier daemon */
#define BITS 64u
#define SHEET_PADS 48u /* then no other page comes to it: those that are there need room, too */
#define PARTS 8u       /* of the range in which a page for it is looked for */
#define BUCKETS 4096u
#define ANYWHERE UINT32_MAX
#define INDEX 16384u /* more than PADS_MAX */

struct plan_sheet {
	u32 n;				    /* pads on it */
	u64 taken[EBPFRT_PAGE_SIZE / BITS]; /* a bit each byte */
};

struct plan_pad {
	u64 page;
	u32 sheet; /* one more than its number; 0: it is closed */
};

struct plan_astray {
	u64 addr;
	u32 next; /* in the list of its page: one more than the index */
};

void plan_pads_free(struct plan_pads *pads)
{
	free(pads->index);
	free(pads->v);
	free(pads->sheets);
	free(pads->astray);
	free(pads->by_page);
	*pads = (struct plan_pads){0};
}

/* --- sheets and pages --------------------------------------------------------------------------
 */

/* Where the page is entered, or would be. */
static u32 *index_slot(const struct plan_pads *pads, u64 page)
{
	u32 i = hash_quick(page) % INDEX;

	while (pads->index[i] && pads->v[pads->index[i] - 1].page != page)
		i = (i + 1) % INDEX;
	return &pads->index[i];
}

static struct plan_pad *pad_at(const struct plan_pads *pads, u64 addr)
{
	u32 at = pads->n ? *index_slot(pads, ALIGN_DOWN(addr, EBPFRT_PAGE_SIZE)) : 0;

	return at ? &pads->v[at - 1] : NULL;
}

static struct plan_sheet *sheet_of(const struct plan_pads *pads, const struct plan_pad *pad)
{
	return pad->sheet ? &pads->sheets[pad->sheet - 1] : NULL;
}

u32 plan_pads_sheet(const struct plan_pads *pads, u64 addr)
{
	const struct plan_pad *pad = pad_at(pads, addr);

	return pad ? pad->sheet : 0;
}

static void mark(struct plan_sheet *sheet, u64 addr)
{
	u64 at = addr % EBPFRT_PAGE_SIZE;

	sheet->taken[at / BITS] |= 1ull << at % BITS;
}

static bool bit(const struct plan_sheet *sheet, u64 addr)
{
	u64 at = addr % EBPFRT_PAGE_SIZE;

	return sheet->taken[at / BITS] >> at % BITS & 1;
}

static bool is_free(const struct plan_sheet *sheet, u64 addr)
{
	if (addr % EBPFRT_PAGE_SIZE > EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN)
		return false;
	for (u64 i = addr; i < addr + ARCH_JUMP_LEN; i++)
		if (bit(sheet, i))
			return false;
	return true;
}

static void take(struct plan_sheet *sheet, u64 addr)
{
	sheet->n++;
	for (u64 i = addr; i < addr + ARCH_JUMP_LEN; i++)
		mark(sheet, i);
}

static bool pads_room(struct plan_pads *pads)
{
	u32 room = pads->room ? 2 * pads->room : 16;
	struct plan_pad *v;

	if (!pads->index)
		pads->index = calloc(INDEX, sizeof(*pads->index));
	if (!pads->sheets)
		pads->sheets = calloc(PLAN_SHEETS, sizeof(*pads->sheets));
	if (!pads->index || !pads->sheets || pads->n == PADS_MAX)
		return false;
	if (pads->n < pads->room)
		return true;
	v = realloc(pads->v, room * sizeof(*v));
	if (!v)
		return false;
	pads->v = v;
	pads->room = room;
	return true;
}

static bool pad_new(struct plan_pads *pads, struct plan_pad pad)
{
	if (!pads_room(pads))
		return false;
	pads->v[pads->n++] = pad;
	*index_slot(pads, pad.page) = pads->n;
	return true;
}

static u32 *bucket(const struct plan_pads *pads, u64 addr)
{
	return &pads->by_page[hash_quick(addr / EBPFRT_PAGE_SIZE) % BUCKETS];
}

/* Nothing is to be where jumps are led astray to: what such addresses are on the page. */
static bool any_astray(const struct plan_pads *pads, u64 page, const struct plan_sheet *sheet)
{
	u32 i = pads->by_page ? *bucket(pads, page) : 0;

	for (; i; i = pads->astray[i - 1].next)
		if (pads->astray[i - 1].addr - page < EBPFRT_PAGE_SIZE &&
		    bit(sheet, pads->astray[i - 1].addr))
			return true;
	return false;
}

static void mark_astray(const struct plan_pads *pads, u64 page, struct plan_sheet *sheet)
{
	u32 i = pads->by_page ? *bucket(pads, page) : 0;

	for (; i; i = pads->astray[i - 1].next)
		if (pads->astray[i - 1].addr - page < EBPFRT_PAGE_SIZE)
			mark(sheet, pads->astray[i - 1].addr);
}

struct search {
	struct plan_pads *pads;
	const struct probe_maps *maps;
	const struct arch_patch *p;
	u64 exe_end, lo, hi;
	u32 boundaries; /* where break points can be in the jump, as bits */
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
static bool faults_at(const struct search *s, const struct plan_pad *own, u64 to, u64 addr)
{
	bool is_own = own && addr - own->page < EBPFRT_PAGE_SIZE;
	const struct plan_pad *pad = is_own ? own : pad_at(s->pads, addr);
	const struct probe_mapping *m;

	if (addr - to < ARCH_JUMP_LEN)
		return addr == to;
	if (pad)
		return pad->sheet && !bit(sheet_of(s->pads, pad), addr);
	m = mapping_at(s->maps, addr);
	return !m || !(m->prot & PROT_EXEC);
}

/* @own: the page it is on, which may not be entered yet. */
static bool may_lead_to(const struct search *s, const struct plan_pad *own, u64 to)
{
	arch_for_each_breaks (breaks, s->p->len)
		if (!(breaks & ~s->boundaries) &&
		    !faults_at(s, own, to, arch_jump_astray(s->p->addr, to, breaks)))
			return false;
	return true;
}

static bool astray_room(struct plan_pads *pads, u32 more)
{
	u32 room = MAX(2 * pads->astray_room, 256u);
	struct plan_astray *v;

	if (!pads->by_page)
		pads->by_page = calloc(BUCKETS, sizeof(*pads->by_page));
	if (!pads->by_page || pads->nastray + more <= pads->astray_room)
		return pads->by_page;
	v = realloc(pads->astray, room * sizeof(*v));
	if (!v)
		return false;
	pads->astray = v;
	pads->astray_room = room;
	return true;
}

static void enter_astray(struct plan_pads *pads, u64 addr)
{
	struct plan_pad *pad = pad_at(pads, addr);
	u32 *head = bucket(pads, addr);

	pads->astray[pads->nastray++] = (struct plan_astray){addr, *head};
	*head = pads->nastray;
	if (pad && pad->sheet)
		mark(sheet_of(pads, pad), addr);
}

/* @at: where break points can be, as bits. */
static bool note_astray(struct plan_pads *pads, const struct arch_patch *p, u64 to, u32 at)
{
	if (!astray_room(pads, 1u << ARCH_JUMP_LEN))
		return false;
	arch_for_each_breaks (breaks, p->len) {
		u64 addr = arch_jump_astray(p->addr, to, breaks);

		if (addr != to && !(breaks & ~at))
			enter_astray(pads, addr);
	}
	return true;
}

void plan_pads_note(struct plan_pads *pads, const struct arch_patch *p, const struct arch_jump *j,
		    u32 sheet)
{
	u64 page = ALIGN_DOWN(j->to, EBPFRT_PAGE_SIZE);
	struct plan_pad *pad;

	/* what follows it is not looked at any more: anything */
	note_astray(pads, p, j->to, ANYWHERE << j->own);
	if (j->to == j->stub)
		return;
	if (!pad_at(pads, page))
		pad_new(pads, (struct plan_pad){page, sheet <= PLAN_SHEETS ? sheet : 0});
	pad = pad_at(pads, page);
	if (!pad || !pad->sheet)
		return;
	pads->nsheets = MAX(pads->nsheets, pad->sheet);
	mark_astray(pads, page, sheet_of(pads, pad));
	take(sheet_of(pads, pad), MIN(j->to, page + EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN));
}

bool plan_pads_lead_into(const struct plan_pads *pads, u64 addr, u64 size)
{
	for (u32 i = 0; i < pads->nastray; i++)
		if (pads->astray[i].addr - addr < size)
			return true;
	return false;
}

/* --- a place ------------------------------------------------------------------------------------
 */

/* A free place of @pad: its address, 0: none. */
static u64 place_in(const struct search *s, const struct plan_pad *pad)
{
	struct plan_sheet *sheet = sheet_of(s->pads, pad);
	u64 from = MAX(s->lo, pad->page);
	u64 to = MIN(s->hi, pad->page + EBPFRT_PAGE_SIZE - ARCH_JUMP_LEN);

	for (u64 at = from; sheet && at <= to; at++)
		if (is_free(sheet, at) && may_lead_to(s, pad, at)) {
			take(sheet, at);
			return at;
		}
	return 0;
}

static bool overlaps(const struct plan_pad *pad, u64 lo, u64 hi)
{
	return pad->page <= hi && pad->page + EBPFRT_PAGE_SIZE > lo;
}

static bool for_the_heap(u64 page, u64 exe_end)
{
	return exe_end && page >= exe_end && page - exe_end < probe_heap_room(exe_end, exe_end);
}

static u64 one_page(const struct search *s, u64 page)
{
	return probe_maps_is_free(s->maps, page, EBPFRT_PAGE_SIZE) &&
			       !for_the_heap(page, s->exe_end)
		       ? page
		       : 0;
}

/* A page for pads that has at least a byte in [@from, .hi]. */
static u64 free_page(const struct search *s, u64 from)
{
	u64 first = ALIGN_DOWN(from, EBPFRT_PAGE_SIZE);
	u64 last = ALIGN_DOWN(s->hi, EBPFRT_PAGE_SIZE) + EBPFRT_PAGE_SIZE - 1, page;

	if (first < EBPFRT_PAGE_SIZE)
		return 0;
	if (last - first < EBPFRT_PAGE_SIZE)
		return one_page(s, first);
	while (first <= s->hi) {
		page = probe_maps_gap(s->maps, first, last, first, EBPFRT_PAGE_SIZE);
		if (!page || !for_the_heap(page, s->exe_end))
			return page;
		first = s->exe_end + probe_heap_room(s->exe_end, s->exe_end);
	}
	return 0;
}

/* The new page @pad on sheet number @i: a place, 0: none. */
static u64 place_on(const struct search *s, struct plan_pad *pad, u32 i)
{
	u64 at;

	pad->sheet = i + 1;
	if (sheet_of(s->pads, pad)->n >= SHEET_PADS ||
	    any_astray(s->pads, pad->page, sheet_of(s->pads, pad)))
		return 0;
	at = place_in(s, pad);
	if (at)
		mark_astray(s->pads, pad->page, sheet_of(s->pads, pad));
	return at;
}

/* The first sheet that has a place for it, so that there are few. */
static u64 place_in_new(const struct search *s, u64 from)
{
	struct plan_pads *pads = s->pads;
	struct plan_pad pad = {.page = free_page(s, from)};
	u64 at = 0;
	u32 i;

	if (!pad.page || pad_at(pads, pad.page) || !pads_room(pads))
		return 0;
	for (i = 0; i < MIN(pads->nsheets + 1, PLAN_SHEETS) && !at; i++)
		at = place_on(s, &pad, i);
	if (!at)
		return 0;
	pads->nsheets = MAX(pads->nsheets, i);
	pad_new(pads, pad);
	return at;
}

/* In the pages of a range that are there: each, or where there are more of those all there are. */
static u64 place_in_old(const struct search *s)
{
	u64 first = ALIGN_DOWN(s->lo, EBPFRT_PAGE_SIZE), at = 0;

	if (s->hi - first >= 64 * EBPFRT_PAGE_SIZE) {
		for (u32 i = 0; i < s->pads->n && !at; i++)
			if (overlaps(&s->pads->v[i], s->lo, s->hi))
				at = place_in(s, &s->pads->v[i]);
		return at;
	}
	for (u64 page = first; page <= s->hi && !at; page += EBPFRT_PAGE_SIZE) {
		const struct plan_pad *pad = pad_at(s->pads, page);

		if (pad)
			at = place_in(s, pad);
	}
	return at;
}

static u64 pad_place(const struct search *s)
{
	u64 at = place_in_old(s);

	for (u64 i = 0; i < PARTS && !at && (!i || s->hi - s->lo >= EBPFRT_PAGE_SIZE); i++)
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
	if (out->stub >= s.lo && out->stub <= s.hi && may_lead_to(&s, NULL, out->stub))
		out->to = out->stub;
	else
		out->to = pad_place(&s);
	return out->to && note_astray(pads, p, out->to, s.boundaries);
}

/* --- over what follows --------------------------------------------------------------------------
 */

#define TRIES 64u
#define SPREAD 0x9e3779b1u /* multiples of it lie far from each other */

/*
 * Displacements that have these bits: bytes that stay as they are, and breaks. Those below the
 * first such byte are free: a *block* of them.
 */
struct shape {
	u32 mask, value;
	s64 block;
};

static struct shape shape_of(const struct arch_patch *p, const u8 *text, u32 own, u32 inner)
{
	struct shape sh = {.block = 1ll << 8 * (p->len - 1)};

	for (u32 i = p->len; i < ARCH_JUMP_LEN; i++) {
		u32 at = 8 * (i - 1);

		if (i >= own || inner >> i & 1) {
			sh.mask |= 0xffu << at;
			sh.value |= (u32)(i >= own ? text[i] : ARCH_BREAK) << at;
		}
	}
	return sh;
}

static bool has_shape(const struct shape *sh, s64 rel)
{
	return rel == (s32)rel && !(((u32)rel ^ sh->value) & sh->mask);
}

static bool reaches(u64 at, u64 stub)
{
	s64 d = (s64)(stub - at - ARCH_JUMP_LEN);

	return d == (s32)d;
}

/* .lo and .hi: the block that begins at @rel. False: it is no place for a jump to @stub. */
static bool enter_block(struct search *s, const struct shape *sh, s64 rel, u64 stub)
{
	s64 first = (s64)(s->p->addr + ARCH_JUMP_LEN) + rel, last = first + sh->block - 1;

	s->lo = (u64)first;
	s->hi = (u64)last;
	return has_shape(sh, rel) && first >= (s64)EBPFRT_PAGE_SIZE && !(last >> 47) &&
	       reaches(s->lo, stub) && reaches(s->hi, stub);
}

/* The first block not wholly below @rel that its lowest byte of the shape allows. */
static s64 first_block(const struct shape *sh, s64 rel)
{
	s64 step = sh->block << 8, base = (s64)sh->value & (step - 1);
	s64 past = (rel - base) & (step - 1);

	return rel - past + (past < sh->block ? 0 : step);
}

static u64 over_in_page(struct search *s, const struct shape *sh, const struct plan_pad *pad,
			u64 stub)
{
	s64 first = (s64)(pad->page - s->p->addr - ARCH_JUMP_LEN),
	    last = first + EBPFRT_PAGE_SIZE - 1;
	u64 at = 0;

	if (first != (s32)first)
		return 0;
	for (s64 rel = first_block(sh, first); rel <= last && !at; rel += sh->block << 8)
		if (enter_block(s, sh, rel, stub))
			at = place_in(s, pad);
	return at;
}

static u64 over_place(struct search *s, const struct shape *sh, u64 stub)
{
	u64 at = 0;

	if (has_shape(sh, (s64)(stub - s->p->addr - ARCH_JUMP_LEN)) && may_lead_to(s, NULL, stub))
		return stub;
	for (u32 i = 0; i < s->pads->n && !at; i++)
		at = over_in_page(s, sh, &s->pads->v[i], stub);
	for (u32 i = 0; i < TRIES && !at; i++) {
		u32 free = ~sh->mask & ~(u32)(sh->block - 1);

		if (enter_block(s, sh, (s32)(sh->value | (i * SPREAD & free)), stub))
			at = place_in_new(s, s->lo);
	}
	return at;
}

bool plan_jump_over(struct plan_pads *pads, const struct probe_maps *maps, u64 exe_end,
		    const struct arch_patch *p, const u8 *text, size_t len, struct arch_jump *out)
{
	struct search s = {.pads = pads, .maps = maps, .p = p, .exe_end = exe_end};
	u32 begins = boundaries(p, text, len);

	for (u32 own = p->len + 1; own <= ARCH_JUMP_LEN; own++) {
		u32 inner = begins & ((1u << own) - 1);
		struct shape sh;

		if ((own < ARCH_JUMP_LEN && !(begins >> own & 1)) || own > p->len + out->follow)
			continue;
		s.boundaries = begins & ~inner;
		sh = shape_of(p, text, own, inner);
		out->to = over_place(&s, &sh, out->stub);
		if (!out->to)
			continue;
		out->own = (u8)own;
		out->inner = (u8)inner;
		return note_astray(pads, p, out->to, s.boundaries);
	}
	return false;
}
