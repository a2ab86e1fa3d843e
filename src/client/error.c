/* SPDX-License-Identifier: BSD-2-Clause */
/* The sentence of a thread's last failure. */
#include "client/client.h"

#include <stdarg.h>
#include <stdio.h>

static __thread char last_error[512];

int client_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
	return err;
}

void client_error_clear(void)
{
	last_error[0] = 0;
}

__export const char *ebpfrt_error(void)
{
	return last_error;
}

__export const char *ebpfrt_version(void)
{
	return EBPFRT_VERSION;
}
