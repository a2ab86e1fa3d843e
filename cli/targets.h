/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes that attach and trace go into: -p PID and -n NAME. */
#pragma once

#include <sys/types.h>

#include "cli/session.h"

struct targets {
	struct opt_pids pids;
	struct opt_list names;
	bool no_follow; /* what they fork is left alone */
};
/* Their rows in the table of a command whose configuration of type @config has them as .targets. */
/* clang-format off */
#define TARGETS_PID_OPT(config, member, what)                                                      \
	{'p', "pid", "PID", OPT_PIDS, offsetof(config, member),                                    \
	 "process " what "; may be given again"}
#define TARGETS_OPTS(config, what)                                                                 \
	TARGETS_PID_OPT(config, targets.pids, what),                                               \
	{'n', "name", "NAME", OPT_LIST, offsetof(config, targets.names),                           \
	 "the one process of yours called NAME"}
#define TARGETS_FOLLOW_OPT(config)                                                                 \
	{0, "no-follow", NULL, OPT_FLAG, offsetof(config, targets.no_follow),                      \
	 "leave processes that the targets fork alone"}
/* clang-format on */

/* Each once, however often it is named. 0, or an exit status after a message. */
int targets_add(struct opt_pids *pids, pid_t pid, const char *command);
void targets_unite(struct opt_pids *pids);
/* The ones that are named by a number, and of each name the one process of ours that has it. */
int targets_find(struct targets *t, const char *command);

/* Before anything is loaded or touched: is each there, and ours? 0, or non-zero after a message. */
int targets_check(const struct opt_pids *pids);
/* Where specs of the command line are looked for: in each. How many. */
u32 targets_scopes(const struct targets *t, struct spec_scope scopes[OPT_LIST_MAX]);
/*
 * Bring the agent into each, attach the object of @s there and show what happens until it is over.
 * An exit status.
 */
int targets_in_session(struct session *s, struct targets *t, const struct object_opts *opts);
