/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command that run and trace start: as env(1) and timeout(1) do it, but for a moment in which
 * it is there and waits. (exec becomes its command; its statuses are the same.)
 *
 * Exit status: the command's; killed by a signal, the same signal kills us; 125 we failed, 126 it
 * can't be executed, 127 it isn't there.
 */
#pragma once

struct session;

enum { STATUS_FAILED = 125, STATUS_NOT_EXECUTABLE = 126, STATUS_NOT_FOUND = 127 };

/*
 * What @argv names, without symbolic links, into @path (PATH_MAX bytes); can the agent be brought
 * into it? @advice: what to do else. 0, or an exit status after a message.
 */
int launch_find(char *const *argv, char *path, const char *advice);
/*
 * The environment that brings the agent into the program @path; 0, or -errno after a message. *env
 * is the caller's to free.
 */
int launch_environment(const char *path, char ***env);
/*
 * Start it with what @s wants in place, which goes on until it ends; returns its status, or
 * STATUS_FAILED after a message. Whatever becomes of the session, the command goes on to its end.
 */
int launch_in_session(struct session *s, char **argv, const char *path, char **env);
