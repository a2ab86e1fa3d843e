/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes that a command goes into: see targets.h. */
#include "cli/targets.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/out.h"
#include "ebpfrt/ebpfrt.h"
#include "probe/probe.h"

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

int targets_add(struct opt_pids *pids, pid_t pid, const char *command)
{
	for (u32 i = 0; i < pids->n; i++) {
		if (pids->v[i] == pid)
			return 0;
	}
	if (pids->n == OPT_LIST_MAX)
		return opt_usage_error(command, "at most %d processes at a time", OPT_LIST_MAX);
	pids->v[pids->n++] = pid;
	return 0;
}

void targets_unite(struct opt_pids *pids)
{
	struct opt_pids given = *pids;

	pids->n = 0;
	for (u32 i = 0; i < given.n; i++)
		targets_add(pids, given.v[i], NULL);
}

int targets_find(struct targets *t, const char *command)
{
	targets_unite(&t->pids);
	for (u32 i = 0; i < t->names.n; i++) {
		pid_t pid = find_process(t->names.v[i]);

		if (!pid || targets_add(&t->pids, pid, command))
			return EXIT_USAGE;
	}
	return 0;
}

int targets_check(const struct opt_pids *pids)
{
	for (u32 i = 0; i < pids->n; i++) {
		struct probe_process p;
		char why[PROBE_WHY_MAX] = "";
		int err;

		if (probe_process_read(pids->v[i], &p, why))
			return out_error("%s", why);
		err = p.preloaded ? 0 : probe_process_may_inject(&p, why);
		if (err && err != -EAGAIN) /* the daemon waits for its own injections */
			return out_error("%s", why);
	}
	return 0;
}

u32 targets_scopes(const struct targets *t, struct spec_scope scopes[OPT_LIST_MAX])
{
	for (u32 i = 0; i < t->pids.n; i++)
		scopes[i] = (struct spec_scope){.pid = t->pids.v[i]};
	return t->pids.n;
}

static void say_adopted(const struct ebpfrt_target *now)
{
	if (!now->found && now->how == EBPFRT_INJECTED)
		out_note("%d (%s): agent loaded (ptrace, %.1f ms stopped)", now->pid, now->comm,
			 now->stopped_ns / 1e6);
	else
		out_note("%d (%s): the agent is there already", now->pid, now->comm);
}

/*
 * Bring the agent into each. One that has ended since it was looked at is left out, as long as
 * there is another. 0, or non-zero after a message.
 */
static int adopt(struct targets *t)
{
	struct opt_pids given = t->pids;

	t->pids.n = 0;
	for (u32 i = 0; i < given.n; i++) {
		struct ebpfrt_target now;
		int err = ebpfrt_target_attach(given.v[i], t->no_follow ? 0 : EBPFRT_FOLLOW, &now);
		bool others = t->pids.n || i + 1 < given.n;

		if (err && (err != -ESRCH || !others))
			return out_error("%s", ebpfrt_error());
		if (err) {
			out_warn("%s", ebpfrt_error());
			continue;
		}
		t->pids.v[t->pids.n++] = given.v[i];
		say_adopted(&now);
	}
	return 0;
}

int targets_in_session(struct session *s, struct targets *t, const struct object_opts *opts)
{
	int err, unrestored;

	s->pids = &t->pids;
	if (ebpfrt_log_start(EBPFRT_LOG_SESSION))
		return out_error("%s", ebpfrt_error());
	if (session_open_streams(s) || adopt(t) || object_attach(s->objs[0], opts))
		return EXIT_FAILURE;
	session_announce(s);
	err = session_run(s);
	unrestored = session_finish(s);
	return err || unrestored ? EXIT_FAILURE : EXIT_SUCCESS;
}
