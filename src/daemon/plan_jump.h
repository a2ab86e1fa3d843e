/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the jumps of a target may lead: the part of a plan that makes breaks jumps.
 *
 * Model: a stub lies near its site, as slots do. Where the bytes behind a short instruction dictate
 * where the jump leads, and that is not where the stub is, five bytes of a page of its own (a
 * *pad*) there lead on to it. Pages are shared by what falls into them; what is known to be taken
 * comes from the sites the target has. Worker process; no system call.
 *
 * A debugger's break point behind a short instruction changes where the jump leads. Nothing may be
 * executed there: it is no executable memory, or in a pad where nothing else is.
 */
#pragma once

#include "arch/arch.h"
#include "probe/probe.h"

struct plan_pads {
	struct plan_pad *v;
	u32 n, room;
	u64 *astray; /* where break points would lead jumps */
	u32 nastray, astray_room;
};

void plan_pads_free(struct plan_pads *pads);
/* That is a jump already. */
void plan_pads_note(struct plan_pads *pads, const struct arch_patch *p, const struct arch_jump *j);
/* May a jump be led astray into this memory, which is thus not for anything executable? */
bool plan_pads_lead_into(const struct plan_pads *pads, u64 addr, u64 size);
/*
 * The jump of @p, whose text is @text: @out->to is @out->stub or an address in a pad that is taken
 * with it. False: it has none, or there is no room where it would lead. @exe_end: the end of the
 * program's own memory, above which its heap will be; 0: it has one already, in @maps.
 */
bool plan_jump(struct plan_pads *pads, const struct probe_maps *maps, u64 exe_end,
	       const struct arch_patch *p, const u8 *text, size_t len, struct arch_jump *out);
