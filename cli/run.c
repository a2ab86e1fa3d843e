/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrt run: start a command under the agent.
 *
 * Model: probes are loaded and attached (pending) first, then the command is started with the agent
 * preloaded; its first exchange with the daemon makes the probes real before main() runs. Its
 * standard streams, status and signals are its own: our results go to standard error or to -o FILE.
 *
 * Exit status: the command's; killed by a signal, the same signal kills us; 125 we failed, 126 it
 * can't be executed, 127 it isn't there (as env(1) and timeout(1)). We fail before it ran, or after
 * it: when it left a process behind that our probes could not be taken out of. The command's own
 * failure says more than that one. That the daemon went away is no failure, before the end or at
 * it: what is left restores itself.
 */
#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/guard.h"
#include "cli/launch.h"
#include "cli/out.h"
#include "cli/session.h"
#include "ebpfrt/ebpfrt.h"

static struct {
	struct opt_list progs; /* -P */
	struct object_opts object;
	const char *output;
	bool json, no_maps;
} config;

static int prepare(struct object *obj, const char *exe)
{
	struct spec_scope scope = {.exe = exe};

	if (object_resolve(obj, &config.object, &scope, 1) ||
	    object_allow_calls(&config.object, &scope) || object_open(obj, &config.object))
		return STATUS_FAILED;
	return object_load(obj, &config.object) || object_attach(obj, &config.object)
		       ? STATUS_FAILED
		       : 0;
}

static int prepare_all(const char *exe, struct object **objs)
{
	u32 n = config.progs.n;
	int status = 0;

	guard_status(STATUS_FAILED);
	for (u32 i = 0; i < n; i++) {
		if (object_inspect(config.progs.v[i], &objs[i]))
			return STATUS_FAILED;
	}
	if (object_check_options(objs, n, &config.object))
		return STATUS_FAILED;
	for (u32 i = 0; !status && i < n; i++)
		status = prepare(objs[i], exe);
	return status;
}

static int run_under(const char *exe, char **argv)
{
	struct object *objs[OPT_LIST_MAX] = {NULL};
	struct session s = {.objs = objs,
			    .nobjs = config.progs.n,
			    .json = config.json,
			    .no_maps = config.no_maps,
			    .missing = object_missing(&config.object),
			    .opts = &config.object};
	_cleanup_free_ char **env = NULL;
	int status;

	s.stream = session_open_output(config.output, stderr);
	if (!s.stream)
		return STATUS_FAILED;
	session_block_signals(true);
	/* before anything is attached: from then on our probes wait for the command */
	if (launch_environment(exe, &env))
		return STATUS_FAILED;
	status = prepare_all(exe, objs);
	if (!status)
		status = launch_in_session(&s, argv, exe, env);
	session_deinit(&s);
	for (u32 i = 0; i < config.progs.n; i++)
		object_free(&objs[i]);
	/* results that could not be written were said; they don't change the status */
	session_close_output(&s, config.output);
	return status;
}

static int run(const struct args *args)
{
	char path[PATH_MAX];
	int status;

	if (!config.progs.n)
		return opt_usage_error("run", "which object file? (-P FILE.o)");
	if (!args->n)
		return opt_usage_error("run", "which command?");
	status = object_check_usage(&config.object, "run");
	if (status)
		return status;
	status = launch_find(args->v, path, "start it, then use `ebpfrt attach PID FILE.o`");
	return status ? status : run_under(path, args->v);
}

static const struct opt opts[] = {
	{'P', "object", "FILE.o", OPT_LIST, offsetof(__typeof__(config), progs),
	 "BPF object to run inside the command; may be given again"},
	{'o', "output", "FILE", OPT_STRING, offsetof(__typeof__(config), output),
	 "write results to FILE instead of standard error"},
	OBJECT_OPTS(__typeof__(config)),
	{0, "no-maps", NULL, OPT_FLAG, offsetof(__typeof__(config), no_maps),
	 "print no maps at the end"},
	{'j', "json", NULL, OPT_FLAG, offsetof(__typeof__(config), json),
	 "print events and maps as JSON, one document a line"},
	{0},
};

const struct command cmd_run = {
	.name = "run",
	.usage = "[OPTIONS] -P FILE.o -- COMMAND [ARGUMENTS]",
	.summary = "start a command with a BPF object's programs inside it",
	.details = "The exit status is the command's; 125 when ebpfrt failed, 126 and 127 when the "
		   "command\ncan't be executed or found.\n",
	.opts = opts,
	.config = &config,
	.run = run,
	.flags = OPT_STOP_AT_OPERAND,
};
