/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command that run and trace start: as env(1) and timeout(1) do it, but for a moment in which
 * it is there and waits.
 *
 * Exit status: the command's; killed by a signal, the same signal kills us; 125 we failed, 126 it
 * can't be executed, 127 it isn't there.
 */
#pragma once

#include <sys/types.h>

struct session;

enum { STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

struct launch {
	pid_t pid;
	int go, failed; /* pipes */
};

/*
 * What @argv names, without symbolic links, into @path (PATH_MAX bytes); can the agent be brought
 * into it? @advice: what to do else. 0, or an exit status after a message.
 */
int launch_find(char *const *argv, char *path, const char *advice);
/* Say why @name can't be executed. Returns the exit status. */
int launch_refused(const char *name, int err);
/* It is there, and waits. 0, or non-zero after a message. */
int launch_start(struct launch *c, char *const *argv, const char *path, char **env);
/* Let it run. 0, or the errno of its exec. */
int launch_release(struct launch *c);
/* Wait for it, and end as it ended. */
int launch_status(pid_t pid);
/*
 * Start it with what @s wants in place, which goes on until it ends; returns its status, or
 * STATUS_FAILED after a message. Whatever becomes of the session, the command goes on to its end.
 */
int launch_in_session(struct session *s, char **argv, const char *path, char **env);
