/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who looks at return addresses must see the true ones: unwinders, those who walk a stack step by
 * step, and functions that ask for their caller. They get sites of ours, at which the agent puts
 * the addresses back and replaces them again (agent/ret.c). The planning worker alone.
 */
#pragma once

#include "base/types.h"
#include "probe/probe.h"

/* What planning sees of a target. */
struct plan_unwind_view {
	const struct probe_maps *maps; /* may grow while sites are wanted */
	const char *exe;
	/* What is mapped as @m; NULL: it can't be read. Not the caller's. */
	struct probe_elf *(*open)(void *cookie, const struct probe_mapping *m);
	/* A site with AGENT_SITE_ @flags at an offset of the file: is or will there be one? */
	bool (*want)(void *cookie, const struct probe_mapping *m, struct probe_elf *elf, u64 offset,
		     u32 flags);
	/* Are the same @len bytes, at most 64, at both addresses, as they are without us? */
	bool (*same_text)(void *cookie, u64 addr, u64 other, size_t len);
	void *cookie;
};

/* Where return addresses are looked at. */
void plan_unwind(const struct plan_unwind_view *v);
/* A file whose unwinder raises exceptions and does not show that nobody catches one; or NULL. */
const char *plan_throws_unseen(const struct plan_unwind_view *v);
/* Where a call ends otherwise than by its return: programs may ask how it ended. */
void plan_left(const struct plan_unwind_view *v);
