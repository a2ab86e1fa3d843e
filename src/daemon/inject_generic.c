/* SPDX-License-Identifier: BSD-2-Clause */
/* See inject.h: where no arch provides remote calls, nothing is injected. */
#include <errno.h>

#include "daemon/inject.h"

int inject_start(const struct inject_request *req, struct inject *out)
{
	return -EOPNOTSUPP;
}

int inject_read(struct inject *inj, struct inject_event *out)
{
	return -ECONNRESET;
}

void inject_finish(struct inject *inj)
{
	*inj = (struct inject)INJECT_INIT;
}

pid_t inject_shares_memory(pid_t pid)
{
	return 0;
}

void inject_reap(void)
{
}
