/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exchanges that wait until the clients have looked at what the process has become.
 *
 * Model: an agent that comes by itself, as the program or its libraries are others than before, is
 * blocked in its exchange. Clients that asked for it are told of the change first, and attach what
 * there is more to attach; when each has said that it is done, or after a while, the exchange
 * begins, with all of it. So nothing is executed there before its probes are.
 *
 * A client that has not looked in time is told so, and is not waited for again before it says that
 * it has: one that is stopped costs its processes that time once.
 *
 * Rules: whoever is waited for must not wait for the target: what has the daemon wait for the held
 * process ends the hold, as does everything else that begins an exchange there.
 */
#pragma once

#include "daemon/exchange.h"

/*
 * Hold the agent with @h at the other end of @fd, if somebody wants that: then @fd is taken, and
 * exchange_serve() comes later. Else nothing has happened.
 */
bool hold_begin(struct target *t, int fd, const struct agent_hello *h);
void hold_end(struct target *t);    /* go on, if it is held */
void hold_forget(struct target *t); /* it has gone */
/* What @c is waited for is done: it has gone, or its own requests are what the target is for. */
void hold_no_longer(struct client *c);
/* @c is told that @pid has gone on: who was late, and what to do about it. */
#define LATE_CLIENT                                                                                \
	"to look at it took more than a second; make its types beforehand (`ebpfrt btf gen`), or " \
	"name them with --btf"
void late_tell(struct client *c, s32 pid, const char *why);
const char *late_daemon(char why[PROBE_WHY_MAX]); /* we were, a sentence in @why */
/* MSG_HOLD and MSG_SETTLED */
void hold_request(struct client *c, const struct frame *f);
void hold_settled_request(struct client *c, const struct frame *f);
