/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt attach: put an object's programs into processes that run. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/session.h"
#include "ebpfrt/ebpfrt.h"
#include "probe/probe.h"

static struct {
	struct opt_pids pids;
	struct opt_list names;
	struct object_opts object;
	u64 duration;
	const char *output;
	bool json, no_maps, no_follow;
} config;

/* The one process of ours called @name, or 0 after a message. */
static pid_t find_process(const char *name)
{
	DIR *proc = opendir("/proc");
	char candidates[256] = "";
	struct dirent *d;
	int found = 0;
	pid_t pid = 0;

	while (proc && (d = readdir(proc))) {
		struct probe_process p;
		char why[PROBE_WHY_MAX];
		int n = opt_pid(d->d_name);
		size_t at = strlen(candidates);

		if (!n || n == getpid() || probe_process_read(n, &p, why) || strcmp(p.comm, name))
			continue;
		snprintf(candidates + at, sizeof(candidates) - at, " %d", n);
		pid = n;
		found++;
	}
	if (proc)
		closedir(proc);
	if (!found)
		out_error("no process of yours is called '%s'", name);
	if (found > 1)
		out_error("%d processes are called '%s':%s\n  choose with -p PID", found, name,
			  candidates);
	return found == 1 ? pid : 0;
}

/* Each once, however often it is named. 0, or an exit status. */
static int add_pid(pid_t pid)
{
	for (u32 i = 0; i < config.pids.n; i++) {
		if (config.pids.v[i] == pid)
			return 0;
	}
	if (config.pids.n == OPT_LIST_MAX)
		return opt_usage_error("attach", "at most %d processes at a time", OPT_LIST_MAX);
	config.pids.v[config.pids.n++] = pid;
	return 0;
}

/* What -p gave, the same. */
static void drop_repeated(void)
{
	struct opt_pids given = config.pids;

	config.pids.n = 0;
	for (u32 i = 0; i < given.n; i++)
		add_pid(given.v[i]);
}

/* 0, or an exit status. */
static int add_named(void)
{
	for (u32 i = 0; i < config.names.n; i++) {
		pid_t pid = find_process(config.names.v[i]);

		if (!pid || add_pid(pid))
			return EXIT_USAGE;
	}
	return 0;
}

/* Operands: PIDs, and one object file. */
static int take_operands(const struct args *args, const char **file)
{
	for (int i = 0; i < args->n; i++) {
		int pid = opt_pid(args->v[i]);

		if (pid && add_pid(pid))
			return EXIT_USAGE;
		if (pid)
			continue;
		if (*file)
			return opt_usage_error("attach", "one object at a time: '%s' and '%s'",
					       *file, args->v[i]);
		*file = args->v[i];
	}
	if (!*file)
		return opt_usage_error("attach", "which object file?");
	return 0;
}

/* Before anything is loaded or touched: is each target there and ours? */
static int check_targets(void)
{
	for (u32 i = 0; i < config.pids.n; i++) {
		struct probe_process p;
		char why[PROBE_WHY_MAX] = "";
		int err;

		if (probe_process_read(config.pids.v[i], &p, why))
			return out_error("%s", why);
		err = p.preloaded ? 0 : probe_process_may_inject(&p, why);
		if (err && err != -EAGAIN) /* the daemon waits for its own injections */
			return out_error("%s", why);
	}
	return 0;
}

static int adopt(void)
{
	for (u32 i = 0; i < config.pids.n; i++) {
		struct ebpfrt_target t;
		int pid = config.pids.v[i];

		if (ebpfrt_target_attach(pid, config.no_follow ? 0 : EBPFRT_FOLLOW, &t))
			return out_error("%s", ebpfrt_error());
		if (!t.found && t.how == EBPFRT_INJECTED)
			out_note("%d (%s): agent loaded (ptrace, %.1f ms stopped)", pid, t.comm,
				 t.stopped_ns / 1e6);
		else
			out_note("%d (%s): the agent is there already", pid, t.comm);
	}
	return 0;
}

static int prepare(struct object *obj)
{
	struct spec_scope scopes[OPT_LIST_MAX];
	int err;

	for (u32 i = 0; i < config.pids.n; i++)
		scopes[i] = (struct spec_scope){.pid = config.pids.v[i]};
	err = object_check_options(&obj, 1, &config.object);
	if (!err)
		err = object_resolve(obj, &config.object, scopes, config.pids.n);
	if (!err)
		err = object_allow_calls(&config.object, &scopes[0]);
	if (!err)
		err = object_open(obj, &config.object);
	return err ? err : object_load(obj, &config.object);
}

static int trace(struct object *obj)
{
	struct session s = {
		.objs = &obj,
		.nobjs = 1,
		.json = config.json,
		.no_maps = config.no_maps,
		.missing = object_missing(&config.object),
		.opts = &config.object,
		.duration_ns = config.duration,
		.pids = &config.pids,
	};
	int err, unrestored;

	s.stream = session_open_output(config.output, stdout);
	if (!s.stream)
		return EXIT_FAILURE;
	if (ebpfrt_log_start(EBPFRT_LOG_SESSION))
		return out_error("%s", ebpfrt_error());
	err = session_open_streams(&s);
	if (!err)
		err = adopt() ? -EPERM : 0;
	if (!err)
		err = object_attach(obj, &config.object);
	if (!err) {
		session_announce(&s);
		err = session_run(&s);
		unrestored = session_finish(&s);
		err = err ? err : unrestored;
	}
	session_deinit(&s);
	if (session_close_output(&s, config.output))
		err = -EIO;
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(const struct args *args)
{
	_cleanup_(object_free) struct object *obj = NULL;
	const char *file = NULL;
	int status;

	drop_repeated();
	status = take_operands(args, &file);

	if (!status)
		status = add_named();
	if (status)
		return status;
	if (!config.pids.n)
		return opt_usage_error("attach", "which process?");
	session_block_signals(false);
	if (check_targets() || object_inspect(file, &obj) || prepare(obj))
		return EXIT_FAILURE;
	return trace(obj);
}

static const struct opt opts[] = {
	{'p', "pid", "PID", OPT_PIDS, offsetof(__typeof__(config), pids),
	 "process to attach to; may be given again"},
	{'n', "name", "NAME", OPT_LIST, offsetof(__typeof__(config), names),
	 "the one process of yours called NAME"},
	{'d', "duration", "TIME", OPT_TIME, offsetof(__typeof__(config), duration),
	 "detach after TIME (5, 500ms, 2m)"},
	{'o', "output", "FILE", OPT_STRING, offsetof(__typeof__(config), output),
	 "write results to FILE instead of standard output"},
	OBJECT_OPTS(__typeof__(config)),
	{0, "no-follow", NULL, OPT_FLAG, offsetof(__typeof__(config), no_follow),
	 "leave processes that the targets fork alone"},
	{0, "no-maps", NULL, OPT_FLAG, offsetof(__typeof__(config), no_maps),
	 "print no maps at the end"},
	{'j', "json", NULL, OPT_FLAG, offsetof(__typeof__(config), json),
	 "print events and maps as JSON, one document a line"},
	{0},
};

const struct command cmd_attach = {
	.name = "attach",
	.usage = "[OPTIONS] PID... FILE.o\n[OPTIONS] -p PID... FILE.o",
	.summary = "run a BPF object's programs inside running processes",
	.details = "Ctrl-C detaches and prints the maps.\n",
	.opts = opts,
	.config = &config,
	.run = run,
};
