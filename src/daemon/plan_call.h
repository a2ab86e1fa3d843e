/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of the target that a link's program calls: where they are, and whether they may be
 * called from there.
 *
 * Model: a function may be called as long as the process lives, so its file must not be unloaded:
 * it is the program, one of the libraries that it or such a library was linked with, or the C
 * library. Worker process.
 */
#pragma once

#include "daemon/plan.h"

struct plan_call_view {
	const struct probe_maps *maps;
	const char *exe;
	pid_t pid;
	const char *unseen; /* plan_throws_unseen() */
	/* The file of a mapping, or NULL; mappings may move meanwhile. */
	struct probe_elf *(*open)(void *cookie, const struct probe_mapping *m);
	void *cookie;
};

/* The addresses in @it->calls, if it has callees. 0, or -errno with a sentence in @it->why. */
int plan_calls(const struct plan_call_view *v, struct plan_item *it);
/*
 * Its site is a jump or @no_jump says why it is a break: in a signal handler only what the user
 * says is safe is called.
 */
int plan_calls_at(struct plan_item *it, const char *no_jump);
