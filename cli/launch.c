/* SPDX-License-Identifier: BSD-2-Clause */
/* A command of ours: launch.h tells the model. */
#include "cli/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/session.h"
#include "base/cleanup.h"
#include "client/client.h"
#include "ebpfrt/ebpfrt.h"
#include "probe/probe.h"

struct launch {
	pid_t pid;
	int go, failed; /* pipes */
};

/* Say why it can't be executed. Returns the exit status. */
static int refused(const char *name, int err)
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

/* It is there, and waits. 0, or non-zero after a message. */
static int start(struct launch *c, char *const *argv, const char *path, char **env)
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
static int release(struct launch *c)
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

/* Wait for it, and end as it ended. */
static int status_of(pid_t pid)
{
	struct rlimit none = {0, 0};
	int status = wait_child(pid);

	if (status < 0)
		return STATUS_FAILED;
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

int launch_find(char *const *argv, char *path, const char *advice)
{
	char found[PATH_MAX], why[PATH_MAX + 256];
	int err = exec_find(argv[0], found, sizeof(found));

	if (err)
		return refused(argv[0], -err);
	if (exec_check_preload(found, advice, why, sizeof(why))) {
		out_error("%s", why);
		return STATUS_FAILED;
	}
	if (probe_translator(found)) {
		out_error(
			"%s never executes the code that probes are in; run the command without it",
			probe_translator(found));
		return STATUS_FAILED;
	}
	if (!realpath(found, path))
		return refused(argv[0], errno);
	return 0;
}

/* A sanitizer's library ends the program where another was loaded before it. */
static bool is_first(const char *name)
{
	return !strncmp(name, "libasan.so", 10) || !strncmp(name, "libclang_rt.asan", 16);
}

int launch_environment(const char *path, char ***env)
{
	struct probe_needed needed = {0};
	int err;

	probe_needed_read(path, &needed);
	err = client_run_environment(
		NULL, needed.n && is_first(needed.needed[0]) ? needed.needed[0] : NULL, env);
	if (err)
		out_error("%s", ebpfrt_error());
	probe_needed_free(&needed);
	return err;
}

int launch_in_session(struct session *s, char **argv, const char *path, char **env)
{
	struct launch child = {0};
	int err, unrestored, status;

	if (ebpfrt_log_start(EBPFRT_LOG_SESSION)) {
		out_error("%s", ebpfrt_error());
		return STATUS_FAILED;
	}
	if (session_open_streams(s) || start(&child, argv, path, env))
		return STATUS_FAILED;
	s->child = child.pid;
	s->child_fd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	err = release(&child);
	if (err) {
		wait_child(child.pid);
		return refused(argv[0], err);
	}
	if (common.verbose)
		session_announce(s);
	/* whatever becomes of the session, the command goes on to its own end */
	session_run(s);
	unrestored = session_finish(s);
	fflush(s->stream);
	session_wait_child(s);
	status = status_of(child.pid);
	return !status && unrestored && !s->daemon_gone ? STATUS_FAILED : status;
}
