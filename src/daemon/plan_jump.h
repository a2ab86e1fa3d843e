/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the jumps of a target may lead: the part of a plan that makes breaks jumps.
 *
 * Model: a stub lies near its site, as slots do. Where the bytes behind a short instruction dictate
 * where the jump leads, and that is not where the stub is, five bytes of a page there (a *pad*)
 * lead on to it. Such pages are addresses only: many of them are one *sheet* of memory, in which
 * the pads of all of them lie at different offsets. What is known to be taken comes from the sites
 * the target has; a page whose sheet is none of the daemon's (any more) gets no further pad.
 * Worker process; no system call.
 *
 * Where there is no room the jump may be over instructions that follow: where they begin, a break
 * is what the displacement has there, and the bytes between are free.
 *
 * A debugger's break point behind a short instruction changes where the jump leads. Nothing may be
 * executed there: it is no executable memory, or on a sheet where there is nothing.
 */
#pragma once

#include "arch/arch.h"
#include "probe/probe.h"

#define PLAN_SHEETS 512u /* of a target */

struct plan_pads {
	struct plan_pad *v;
	u32 n, room;
	u32 *index; /* of them, by page */
	struct plan_sheet *sheets;
	u32 nsheets;
	struct plan_astray *astray; /* where break points would lead jumps */
	u32 nastray, astray_room;
	u32 *by_page; /* heads of lists of them */
};

void plan_pads_free(struct plan_pads *pads);
/* That is a jump already; its pad is on sheet number @sheet - 1, 0: on one that is closed. */
void plan_pads_note(struct plan_pads *pads, const struct arch_patch *p, const struct arch_jump *j,
		    u32 sheet);
/* One more than the number of the sheet that holds the pad at @addr; 0: none does. */
u32 plan_pads_sheet(const struct plan_pads *pads, u64 addr);
/* May a jump be led astray into this memory, which is thus not for anything executable? */
bool plan_pads_lead_into(const struct plan_pads *pads, u64 addr, u64 size);
/*
 * As plan_jump(), where that has found no room: over instructions that follow, which @out executes
 * and nothing branches to. .own and .inner of @out are set, too.
 */
bool plan_jump_over(struct plan_pads *pads, const struct probe_maps *maps, u64 exe_end,
		    const struct arch_patch *p, const u8 *text, size_t len, struct arch_jump *out);
/*
 * The jump of @p, whose text is @text: @out->to is @out->stub or an address in a pad that is taken
 * with it. False: it has none, or there is no room where it would lead. @exe_end: the end of the
 * program's own memory, above which its heap will be; 0: it has one already, in @maps.
 */
bool plan_jump(struct plan_pads *pads, const struct probe_maps *maps, u64 exe_end,
	       const struct arch_patch *p, const u8 *text, size_t len, struct arch_jump *out);
