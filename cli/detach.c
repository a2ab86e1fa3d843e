/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt detach: take probes out of a process, a link out of all, or everything out of everywhere.
 * Nothing to do is no failure. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/targets.h"
#include "ebpfrt/ebpfrt.h"

static struct {
	struct opt_pids pids;
	struct opt_list links;
	bool all;
} config;

static int detach_link(u32 id)
{
	uint32_t sites = 0;

	if (ebpfrt_link_detach(id, &sites))
		return out_error("%s", ebpfrt_error());
	out_note("link %u: detached, %u site%s restored", id, sites, sites == 1 ? "" : "s");
	return EXIT_SUCCESS;
}

/* Nothing to take out of a process that is there is no failure. */
static int not_traced(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (access(path, F_OK))
		return out_error("cannot detach from %d: no such process; `ebpfrt ps` lists those "
				 "that are traced",
				 pid);
	out_note("%d: nothing is attached to it", pid);
	return EXIT_SUCCESS;
}

/* Sites in @pid (0: in all). */
static unsigned int count_sites(pid_t pid)
{
	_cleanup_free_ struct ebpfrt_target *rows = NULL;
	unsigned int sites = 0;
	size_t n = 0;

	if (ebpfrt_targets(&rows, &n))
		return 0;
	for (size_t i = 0; i < n; i++)
		sites += !pid || rows[i].pid == pid ? rows[i].sites : 0;
	return sites;
}

static int detach_process(pid_t pid)
{
	unsigned int sites = count_sites(pid);
	int err = ebpfrt_target_detach(pid);

	if (err == -ESRCH && pid)
		return not_traced(pid);
	if (err)
		return out_error("%s", ebpfrt_error());
	if (pid)
		out_note("%d: detached, %u site%s restored", pid, sites, sites == 1 ? "" : "s");
	else
		out_note("detached, %u site%s restored", sites, sites == 1 ? "" : "s");
	return EXIT_SUCCESS;
}

static int take_links(u32 ids[OPT_LIST_MAX])
{
	for (u32 i = 0; i < config.links.n; i++) {
		const char *text = config.links.v[i];
		char *end;
		unsigned long id = strtoul(text, &end, 10);

		if (*end || end == text || !id || id > UINT32_MAX)
			return opt_usage_error("detach", "--link takes a link ID, not '%s'", text);
		ids[i] = (u32)id;
	}
	return 0;
}

static int take_operands(const struct args *args)
{
	targets_unite(&config.pids);
	for (int i = 0; i < args->n; i++) {
		int pid = opt_pid(args->v[i]);

		if (!pid)
			return opt_usage_error("detach", "'%s' is not a process ID", args->v[i]);
		if (targets_add(&config.pids, pid, "detach"))
			return EXIT_USAGE;
	}
	if (config.all && (config.pids.n || config.links.n))
		return opt_usage_error("detach", "either --all, or some of it");
	if (!config.pids.n && !config.links.n && !config.all)
		return opt_usage_error("detach", "from what? PID, --link ID or --all");
	return 0;
}

static int run(const struct args *args)
{
	u32 links[OPT_LIST_MAX];
	int status = take_operands(args);

	/* nothing is done before all of it is understood */
	if (!status)
		status = take_links(links);
	if (status)
		return status;
	if (config.all)
		return detach_process(0);
	for (u32 i = 0; i < config.links.n; i++)
		status |= detach_link(links[i]);
	for (u32 i = 0; i < config.pids.n; i++)
		status |= detach_process(config.pids.v[i]);
	return status;
}

static const struct opt opts[] = {
	TARGETS_PID_OPT(__typeof__(config), pids, "to detach from"),
	{'l', "link", "ID", OPT_LIST, offsetof(__typeof__(config), links),
	 "one link, in all processes; may be given again"},
	{'a', "all", NULL, OPT_FLAG, offsetof(__typeof__(config), all),
	 "everything, in all processes of yours"},
	{0},
};

const struct command cmd_detach = {
	.name = "detach",
	.usage = "PID...\n--link ID\n--all",
	.summary = "take probes out and restore every patched byte",
	.opts = opts,
	.config = &config,
	.run = run,
};
