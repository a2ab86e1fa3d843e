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
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/guard.h"
#include "cli/out.h"
#include "cli/session.h"
#include "ebpfrt/ebpfrt.h"
#include "probe/probe.h"

enum { STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

static struct {
	struct opt_list progs; /* -P */
	struct object_opts object;
	const char *output;
	bool json, no_maps;
} config;

static int exec_status(const char *name, int err)
{
	out_error("cannot run %s: %s", name, strerror(err));
	return err == ENOENT || err == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

/* In the child: wait for the word, become the command. */
static _Noreturn void child_main(char *const *argv, char **env, const char *path, int go,
				 int failed)
{
	char byte;
	int err;

	session_unblock_signals();
	if (read(go, &byte, 1) != 1)
		_exit(STATUS_FAILED);
	execve(path, argv, env);
	if (errno == ENOEXEC) {
		/* a script without #!, which execvp(3) gives to the shell */
		char *const shell[] = {(char *)"/bin/sh", (char *)path, NULL};

		execve(shell[0], shell, env);
	}
	err = errno;
	if (write(failed, &err, sizeof(err)) != sizeof(err))
		_exit(STATUS_FAILED);
	_exit(STATUS_NOT_EXECUTABLE);
}

struct child {
	pid_t pid;
	int go, failed; /* pipes */
};

static int start_child(struct child *c, char *const *argv, const char *path, char **env)
{
	int go[2], failed[2];

	if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC))
		return out_error("cannot make a pipe: %s", strerror(errno));
	fflush(NULL);
	c->pid = fork();
	if (c->pid < 0)
		return out_error("cannot fork: %s", strerror(errno));
	if (c->pid == 0) {
		close(go[1]);
		child_main(argv, env, path, go[0], failed[1]);
	}
	close(go[0]);
	close(failed[1]);
	c->go = go[1];
	c->failed = failed[0];
	return 0;
}

/* Let it run. 0, or the errno of its exec. */
static int release_child(struct child *c)
{
	int err = 0;

	if (write(c->go, "", 1) != 1)
		return EPIPE;
	close(c->go);
	if (read(c->failed, &err, sizeof(err)) != sizeof(err))
		err = 0;
	close(c->failed);
	return err;
}

/* End as the command ended. */
static int status_of(pid_t pid)
{
	struct rlimit none = {0, 0};
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return STATUS_FAILED;
	}
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	/* the dump is the command's, not ours; its parent should see what its parent would see */
	setrlimit(RLIMIT_CORE, &none);
	fflush(NULL);
	signal(WTERMSIG(status), SIG_DFL);
	session_unblock_signals();
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

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

static int trace(struct session *s, char **argv, const char *path, char **env)
{
	struct child child = {0};
	int err, unrestored, status;

	if (ebpfrt_log_start(EBPFRT_LOG_SESSION)) {
		out_error("%s", ebpfrt_error());
		return STATUS_FAILED;
	}
	if (session_open_streams(s) || start_child(&child, argv, path, env))
		return STATUS_FAILED;
	s->child = child.pid;
	s->child_fd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	err = release_child(&child);
	if (err) {
		waitpid(child.pid, NULL, 0);
		return exec_status(argv[0], err);
	}
	if (common.verbose)
		session_announce(s);
	/* whatever becomes of the session, the command goes on to its own end */
	session_run(s);
	unrestored = session_finish(s);
	status = status_of(child.pid);
	return !status && unrestored && !s->daemon_gone ? STATUS_FAILED : status;
}

static int run_under(const char *path, char **argv)
{
	struct object *objs[OPT_LIST_MAX] = {NULL};
	struct session s = {.objs = objs,
			    .nobjs = config.progs.n,
			    .json = config.json,
			    .no_maps = config.no_maps,
			    .missing = object_missing(&config.object),
			    .opts = &config.object};
	_cleanup_free_ char **env = NULL;
	char exe[PATH_MAX];
	int status;

	if (!realpath(path, exe))
		return exec_status(argv[0], errno);
	s.stream = session_open_output(config.output, stderr);
	if (!s.stream)
		return STATUS_FAILED;
	session_block_signals(true);
	/* before anything is attached: from then on our probes wait for the command */
	if (ebpfrt_run_environment(NULL, &env)) {
		out_error("%s", ebpfrt_error());
		return STATUS_FAILED;
	}
	status = prepare_all(exe, objs);
	if (!status)
		status = trace(&s, argv, path, env);
	session_deinit(&s);
	for (u32 i = 0; i < config.progs.n; i++)
		object_free(&objs[i]);
	/* results that could not be written were said; they don't change the status */
	session_close_output(&s, config.output);
	return status;
}

static int run(const struct args *args)
{
	char path[PATH_MAX], why[PATH_MAX + 256];
	int err;

	if (!config.progs.n)
		return opt_usage_error("run", "which object file? (-P FILE.o)");
	if (!args->n)
		return opt_usage_error("run", "which command?");
	err = exec_find(args->v[0], path, sizeof(path));
	if (err)
		return exec_status(args->v[0], -err);
	if (exec_check_preload(path, "start it, then use `ebpfrt attach PID FILE.o`", why,
			       sizeof(why))) {
		out_error("%s", why);
		return STATUS_FAILED;
	}
	if (probe_translator(path)) {
		out_error(
			"%s never executes the code that probes are in; run the command without it",
			probe_translator(path));
		return STATUS_FAILED;
	}
	return run_under(path, args->v);
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
