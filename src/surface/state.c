/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the process as a whole has of the surface: whether it is in use, the table lock, what
 * happens over fork, and the sentence of the last failure.
 *
 * Rules: a forked child keeps the memory (objects, mappings, registrations) but not the connection;
 * its first request makes a new one. The table lock is held across fork so that the child's copy is
 * consistent; the connection's lock is not, because a request may take long: the child makes it
 * anew.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "surface/internal.h"

bool surface_active;
__thread int surface_inside __attribute__((tls_model("initial-exec")));

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread char sentence[512];
static char reported[256];

static void report_stderr(const char *text)
{
	char line[640];
	int n = snprintf(line, sizeof(line), "ebpfrt: %s\n", text);

	sys_call3(SYS_write, 2, line, MIN((size_t)n, sizeof(line) - 1));
}

static void (*reporter)(const char *) = report_stderr;

void surface_lock(void)
{
	pthread_mutex_lock(&table_lock);
}

void surface_unlock(void)
{
	pthread_mutex_unlock(&table_lock);
}

static void fork_prepare(void)
{
	surface_enter();
	surface_lock();
}

static void fork_parent(void)
{
	surface_unlock();
	surface_leave();
}

static void fork_child(void)
{
	surface_conn_after_fork();
	fork_parent();
}

static void activate_once(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
	__atomic_store_n(&surface_active, true, __ATOMIC_RELEASE);
}

void surface_activate(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, activate_once);
}

void surface_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
}

void surface_say_clear(void)
{
	sentence[0] = '\0';
}

const char *surface_error(void)
{
	return sentence;
}

__export const char *ebpfrt_surface_error(void)
{
	return sentence;
}

void surface_set_reporter(void (*report)(const char *))
{
	reporter = report;
}

void surface_report(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!reporter || strncmp(text, reported, sizeof(reported) - 1) == 0)
		return;
	snprintf(reported, sizeof(reported), "%.*s", (int)sizeof(reported) - 1, text);
	reporter(text);
}
