/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt attach: put an object's programs into processes that run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/session.h"
#include "cli/targets.h"
#include "ebpfrt/ebpfrt.h"

static struct {
	struct targets targets;
	struct object_opts object;
	u64 duration;
	const char *output;
	bool json, no_maps;
} config;

static bool looks_like_object(const char *text)
{
	size_t n = strlen(text);

	return strchr(text, '/') || (n > 2 && !strcmp(text + n - 2, ".o")) || !access(text, F_OK);
}

/* Of two that are no process ID, the one that is meant to be a process. */
static int which_is_wrong(const char *a, const char *b)
{
	const char *odd = !looks_like_object(a) ? a : !looks_like_object(b) ? b : NULL;

	if (!odd)
		return opt_usage_error("attach", "one object at a time: '%s' and '%s'", a, b);
	if (!*odd || strspn(odd, "-+0123456789") || !strncmp(odd, "0x", 2))
		return opt_usage_error("attach", "'%s' is not a process ID", odd);
	return opt_usage_error("attach",
			       "'%s' is neither a process ID nor a file; -n %s is the process that "
			       "is called so",
			       odd, odd);
}

/* Operands: PIDs, and one object file. */
static int take_operands(const struct args *args, const char **file)
{
	for (int i = 0; i < args->n; i++) {
		int pid = opt_pid(args->v[i]);

		if (pid && targets_add(&config.targets.pids, pid, "attach"))
			return EXIT_USAGE;
		if (pid)
			continue;
		if (*file)
			return which_is_wrong(*file, args->v[i]);
		*file = args->v[i];
	}
	if (!*file)
		return opt_usage_error("attach", "which object file?");
	return 0;
}

static int prepare(struct object *obj)
{
	struct spec_scope scopes[OPT_LIST_MAX];
	u32 n = targets_scopes(&config.targets, scopes);
	int err = object_check_options(&obj, 1, &config.object);

	if (!err)
		err = object_resolve(obj, &config.object, scopes, n);
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
	};
	int status;

	s.stream = session_open_output(config.output, stdout);
	if (!s.stream)
		return EXIT_FAILURE;
	status = targets_in_session(&s, &config.targets, &config.object);
	session_deinit(&s);
	return session_close_output(&s, config.output) ? EXIT_FAILURE : status;
}

static int run(const struct args *args)
{
	_cleanup_(object_free) struct object *obj = NULL;
	const char *file = NULL;
	int status = take_operands(args, &file);

	if (!status)
		status = object_check_usage(&config.object, "attach");
	if (!status)
		status = targets_find(&config.targets, "attach");
	if (status)
		return status;
	if (!config.targets.pids.n)
		return opt_usage_error("attach", "which process?");
	session_block_signals(false);
	if (targets_check(&config.targets.pids) || object_inspect(file, &obj) || prepare(obj))
		return EXIT_FAILURE;
	return trace(obj);
}

static const struct opt opts[] = {
	TARGETS_OPTS(__typeof__(config), "to attach to"),
	{'d', "duration", "TIME", OPT_TIME, offsetof(__typeof__(config), duration),
	 "detach after TIME (5, 500ms, 2m)"},
	{'o', "output", "FILE", OPT_STRING, offsetof(__typeof__(config), output),
	 "write results to FILE instead of standard output"},
	OBJECT_OPTS(__typeof__(config)),
	TARGETS_FOLLOW_OPT(__typeof__(config)),
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
