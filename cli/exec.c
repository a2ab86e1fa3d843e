/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrt exec: run an unmodified libbpf program on this runtime, by preloading the surface library.
 * It becomes the program: same process, same streams. -p names the processes its probes are for:
 * the surface adopts them for the session that the program opens (EBPFRT_TARGETS). Functions that
 * its programs may call are found here, and handed down (EBPFRT_CALLEES).
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/launch.h"
#include "cli/object.h"
#include "cli/out.h"
#include "cli/targets.h"
#include "ebpfrt/ebpfrt.h"
#include "surface/typed.h"

static struct {
	struct opt_pids pids;
	struct object_opts object;
} config;

static int set_targets(void)
{
	char text[OPT_LIST_MAX * 12] = "";
	size_t at = 0;

	if (!config.pids.n)
		return 0;
	for (u32 i = 0; i < config.pids.n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d", i ? "," : "",
				       config.pids.v[i]);
	return setenv("EBPFRT_TARGETS", text, 1);
}

/* Who tells it of typed programs' functions. */
static int set_self(void)
{
	char self[PATH_MAX];

	return realpath("/proc/self/exe", self) ? setenv(TYPED_CLI, self, 1) : 0;
}

static int set_preload(void)
{
	const char *old = getenv("LD_PRELOAD");
	char path[PATH_MAX], *value;
	int err;

	if (ebpfrt_surface_path(path, sizeof(path)))
		return out_error("%s", ebpfrt_error());
	if (strpbrk(path, " :"))
		return out_error(
			"the path %s holds a space or colon, which LD_PRELOAD can't express; "
			"set $EBPFRT_SURFACE to another",
			path);
	if (asprintf(&value, "%s%s%s", path, old && *old ? ":" : "", old ? old : "") < 0)
		return out_error("out of memory");
	err = setenv("LD_PRELOAD", value, 1) || set_targets() || set_self();
	free(value);
	return err ? out_error("out of memory") : 0;
}

static int run(const struct args *args)
{
	const struct spec_scope scope = {.pid = config.pids.n ? config.pids.v[0] : 0};
	char path[PATH_MAX], why[PATH_MAX + 256];
	int err;

	if (!args->n)
		return opt_usage_error("exec", "which program?");
	err = object_check_usage(&config.object, "exec");
	if (err)
		return err;
	err = exec_find(args->v[0], path, sizeof(path));
	if (!err) {
		if (targets_check(&config.pids))
			return STATUS_FAILED;
		if (exec_check_preload(path, "it has to be linked dynamically", why, sizeof(why)))
			return out_error("%s", why), STATUS_FAILED;
		if (set_preload() || object_hand_calls_down(&config.object, &scope))
			return STATUS_FAILED;
		execv(path, args->v);
		err = -errno;
	}
	out_error("cannot run %s: %s", args->v[0], strerror(-err));
	return err == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

static const struct opt opts[] = {
	TARGETS_PID_OPT(__typeof__(config), pids, "that the program's probes are for"),
	OBJECT_CALL_OPTS(__typeof__(config), object),
	{0, "debuginfo", "DIR", OPT_STRING, offsetof(__typeof__(config), object.debuginfo),
	 "folder of separate debug files, before /usr/lib/debug"},
	{0},
};

const struct command cmd_exec = {
	.name = "exec",
	.usage = "[OPTIONS] -- PROGRAM [ARGUMENTS]",
	.summary = "run a libbpf program (bpftool, a skeleton) on this runtime",
	.opts = opts,
	.config = &config,
	.run = run,
	.flags = OPT_STOP_AT_OPERAND,
};
