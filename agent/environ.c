/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What led to us is taken out of the environment again, where a process that we were in has put it
 * there (exec.c): the program finds the one that it was given.
 *
 * Model: the kernel has put the number of arguments, these, the environment and the auxiliary
 * vector on the stack, in this order, each but the first ended by a zero; C libraries take the
 * environment where it is. Its pointers move together. Some programs look for the vector behind its
 * end: an even number of pointers has gone, whose room becomes pairs that mean nothing.
 */
#include <linux/auxvec.h>

#include "agent/agent.h"

#define STACK_FIELD 28 /* of /proc/self/stat */
#define ARGUMENTS (1u << 20)
#define VARIABLES (1u << 17)
#define PRELOAD "LD_PRELOAD="
#define PRELOAD_LEN (sizeof(PRELOAD) - 1)

/* The name in the second field may hold anything. */
static u64 *initial_stack(void)
{
	char buf[1024];
	long fd = sys_open("/proc/self/stat", O_RDONLY), n = 0, at = 0;
	u64 v = 0;

	if (fd >= 0) {
		n = sys_read((int)fd, buf, sizeof(buf));
		sys_close((int)fd);
	}
	for (long i = 0; i < n; i++)
		if (buf[i] == ')')
			at = i + 1;
	for (u32 field = 2; at && at < n && field < STACK_FIELD; at++)
		field += buf[at] == ' ';
	for (; at && at < n && buf[at] >= '0' && buf[at] <= '9'; at++)
		v = v * 10 + (u64)(buf[at] - '0');
	return v % sizeof(u64) ? NULL : (u64 *)v;
}

bool environ_is_ours(const char *variable)
{
	return text_begins(variable, AGENT_ENV_SOCKET "=") ||
	       text_begins(variable, AGENT_ENV_TOKEN "=") ||
	       text_begins(variable, AGENT_ENV_PAD "=");
}

static void blank(char *s)
{
	while (*s)
		*s++ = 0;
}

static char *next_preload(char *at)
{
	while (*at && *at != ':')
		at++;
	return *at ? at + 1 : NULL;
}

/* The agent is the first one there, or behind what has to be: what is behind it, or NULL. */
static char *other_preloads(char *variable)
{
	char *at = variable + PRELOAD_LEN;

	if (execfile_is_first(at))
		at = next_preload(at);
	return at ? next_preload(at) : NULL;
}

/* LD_PRELOAD as it was: where it begins now. */
static char *without_us(char *variable, char *others)
{
	char *to = others - PRELOAD_LEN;

	while (variable < to)
		*variable++ = 0;
	memcpy(to, PRELOAD, PRELOAD_LEN);
	return to;
}

static bool goes(char *variable)
{
	return environ_is_ours(variable) ||
	       (text_begins(variable, PRELOAD) && !other_preloads(variable));
}

static u64 count(char **env, u64 *n)
{
	u64 going = 0;

	for (*n = 0; env[*n]; ++*n) {
		if (*n == VARIABLES)
			return 0;
		going += goes(env[*n]);
	}
	return going;
}

static void take_out(char **env, u64 n)
{
	u64 k = 0;

	for (u64 i = 0; i < n; i++) {
		char *others = text_begins(env[i], PRELOAD) ? other_preloads(env[i]) : NULL;

		if (others)
			env[k++] = without_us(env[i], others);
		else if (goes(env[i]))
			blank(env[i]);
		else
			env[k++] = env[i];
	}
	for (u64 *at = (u64 *)&env[k]; at <= (u64 *)&env[n]; at++)
		*at = 0;
	for (u64 *pair = (u64 *)&env[k + 1]; pair <= (u64 *)&env[n]; pair += 2)
		*pair = AT_IGNORE;
}

void environ_hide(void)
{
	u64 *stack = initial_stack(), arguments, n, going;
	char **env;

	if (!stack)
		return;
	arguments = stack[0];
	if (arguments > ARGUMENTS || stack[1 + arguments])
		return;
	env = (char **)&stack[2 + arguments];
	going = count(env, &n);
	if (going && going % 2 == 0)
		take_out(env, n);
}
