/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes that attach and trace go into: -p PID and -n NAME. */
#pragma once

#include <sys/types.h>

#include "cli/opt.h"

/* Each once, however often it is named. 0, or an exit status after a message. */
int targets_add(struct opt_pids *pids, pid_t pid, const char *command);
void targets_unite(struct opt_pids *pids);
/* Of each name the one process of ours that has it. */
int targets_add_named(struct opt_pids *pids, const struct opt_list *names, const char *command);

/* Before anything is loaded or touched: is each there, and ours? 0, or non-zero after a message. */
int targets_check(const struct opt_pids *pids);
/* Bring the agent into each. The same. */
int targets_adopt(const struct opt_pids *pids, bool follow);
