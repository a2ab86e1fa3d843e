/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands: one file each, one row each in main.c's table. */
#pragma once

#include "cli/opt.h"

extern const struct command cmd_attach, cmd_run, cmd_detach, cmd_ps, cmd_prog, cmd_map, cmd_link,
	cmd_btf, cmd_log, cmd_list, cmd_doctor, cmd_check, cmd_exec, cmd_env, cmd_shutdown,
	cmd_help, cmd_trace, cmd_typed, cmd_version;

/* The table of main.c, ended by NULL. */
extern const struct command *const commands[];
const struct command *find_command(const char *name);

/* What a name on a command line stands for once $PATH was asked: as execvp(3), but looked at before
 * anything starts. 0, or -errno (-ENOENT, -EACCES). */
int exec_find(const char *name, char *path, size_t size);
/* Will @path take LD_PRELOAD? 0, or -errno with a sentence (static, setuid). */
int exec_check_preload(const char *path, const char *advice, char *why, size_t why_size);
