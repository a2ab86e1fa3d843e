/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a place would be probed, or why not, from the bytes in its file: what the daemon plans with
 * the same words once there is a target, whose memory may say more (a debugger's breakpoint, code
 * that was rewritten).
 */
#pragma once

#include "probe/probe.h"

struct howto {
	struct probe_elf *elf;
	int fd;
	const struct probe_maps *maps; /* of a process that has it, or NULL */
};
/* 0, or -errno with a sentence. */
int howto_open(struct howto *h, const char *path, char why[PROBE_WHY_MAX]);
void howto_close(struct howto *h);
/* Can the instruction at @offset be probed? @ret: the return of function @name. Else @why says. */
bool howto_place(struct howto *h, u64 offset, const char *name, bool ret, char why[PROBE_WHY_MAX]);
/*
 * What would stand there, as EBPFRT_PROBE says: enum probe_rung; UNKNOWN where nothing can. Without
 * a process whether a pun leads to free memory is not known, and it is taken for granted.
 */
u32 howto_rung(struct howto *h, u64 offset);
/* The same for people: "jump (pun)", "trap: it can only be emulated", "trap". */
void howto_rung_text(u32 rung, char *out, size_t size);
