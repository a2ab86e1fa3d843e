/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request over the surface's connection, failures turned into a sentence.
 *
 * Rules: the surface reports nothing by itself here (a library must not write to its program's
 * standard error): its sentence becomes ours. The daemon's own sentence is complete and is passed
 * on as it is; where there is none, "what failed: the errno's text" is made up.
 */
#include "client/client.h"

#include <pthread.h>
#include <string.h>

#include "surface/surface.h"

static pthread_once_t reporter_once = PTHREAD_ONCE_INIT;

static void silence_reporter(void)
{
	surface_set_reporter(NULL);
}

int client_request(u16 type, const void *body, size_t len, struct frame *reply, const char *what)
{
	struct msg req = {.type = type};
	const char *sentence;
	int err;

	pthread_once(&reporter_once, silence_reporter);
	client_error_clear();
	err = surface_request(&req, body, len, NULL, 0, reply);
	if (err >= 0)
		return err;
	sentence = surface_error();
	if (sentence[0])
		return client_fail(err, "%s", sentence);
	return client_fail(err, "%s: %s", what, strerror(-err));
}

__export int ebpfrt_connect(void)
{
	int err;

	pthread_once(&reporter_once, silence_reporter);
	client_error_clear();
	err = surface_connect(true);
	if (err >= 0)
		return 0;
	if (surface_error()[0])
		return client_fail(err, "%s", surface_error());
	return client_fail(err, "cannot reach the daemon: %s", strerror(-err));
}
