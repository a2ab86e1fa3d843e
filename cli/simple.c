/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of a few lines: env, help, shutdown, version. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/object.h"
#include "cli/out.h"
#include "ebpfrt/ebpfrt.h"

/* --- env --- */

static int run_env(const struct args *args)
{
	char path[4096];
	int err;

	if (args->n != 1)
		return opt_usage_error("env", "which? agent or surface");
	if (!strcmp(args->v[0], "agent"))
		err = ebpfrt_agent_path(path, sizeof(path));
	else if (!strcmp(args->v[0], "surface"))
		err = ebpfrt_surface_path(path, sizeof(path));
	else
		return opt_usage_error("env", "'%s' is neither agent nor surface", args->v[0]);
	if (err)
		return out_error("%s", ebpfrt_error());
	puts(path);
	return EXIT_SUCCESS;
}

const struct command cmd_env = {
	.name = "env",
	.usage = "agent\nsurface",
	.summary = "print the path of the agent or the surface library, for LD_PRELOAD",
	.run = run_env,
};

/* --- shutdown --- */

static struct {
	bool force;
} shutdown_config;

static int run_shutdown(const struct args *args)
{
	if (args->n)
		return opt_usage_error("shutdown", "it takes no operands");
	if (ebpfrt_shutdown(shutdown_config.force))
		return out_error("%s", ebpfrt_error());
	return EXIT_SUCCESS;
}

static const struct opt shutdown_opts[] = {
	{'f', "force", NULL, OPT_FLAG, offsetof(__typeof__(shutdown_config), force),
	 "even when other programs use it"},
	{0},
};

const struct command cmd_shutdown = {
	.name = "shutdown",
	.usage = "[--force]",
	.summary = "detach everything and end the daemon",
	.details = "The daemon leaves by itself when nobody uses it; this is for when it can't "
		   "wait.\n",
	.opts = shutdown_opts,
	.config = &shutdown_config,
	.run = run_shutdown,
};

/* --- help --- */

static int run_help(const struct args *args)
{
	const struct command *cmd;
	char page[64];

	if (!args->n) {
		execlp("man", "man", "ebpfrt", NULL);
		return out_error("cannot run man: %s; try `ebpfrt --help`", strerror(errno));
	}
	cmd = find_command(args->v[0]);
	if (!cmd)
		return opt_usage_error("help", "unknown command '%s'", args->v[0]);
	if (isatty(STDOUT_FILENO)) {
		snprintf(page, sizeof(page), "ebpfrt-%s", cmd->name);
		execlp("man", "man", page, NULL);
	}
	opt_help(cmd);
	return EXIT_SUCCESS;
}

const struct command cmd_help = {
	.name = "help",
	.usage = "[COMMAND]",
	.summary = "open the manual page of a command",
	.run = run_help,
};

/* --- version --- */

static int run_version(const struct args *args)
{
	if (args->n)
		return opt_usage_error("version", "it takes no operands");
	printf("ebpfrt %s\n", ebpfrt_version());
	if (common.verbose)
		printf("libbpf %s\n", libbpf_version_string());
	return EXIT_SUCCESS;
}

const struct command cmd_version = {
	.name = "version",
	.usage = "",
	.summary = "print the version",
	.run = run_version,
};
