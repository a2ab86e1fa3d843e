/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that run in a forked worker of the daemon: for BPF_PROG_TEST_RUN, and timers' callbacks.
 *
 * Model: the worker has the daemon's maps as they were at the fork, mapped shared, and is a
 * participant of its own, so that a lock it dies with is taken over. It lives no longer than the
 * daemon.
 */
#pragma once

#include "core/run/prog.h"
#include "daemon/daemon.h"

/*
 * In the worker, first: set it up for programs, and map @p with all that it may tail-call. @p's
 * program; NULL: no memory, or it looks at more than @ctx_max bytes of context.
 */
const struct ebpf_prog *runner_init(struct daemon *d, const struct ebpf_prog_obj *p,
				    u32 participant, u32 ctx_max);
/* What this process offers to executions. */
void runner_env(struct daemon *d, struct ebpf_env *env);
