/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration file: options a person wants every time.
 *
 * Model: $XDG_CONFIG_HOME/ebpfrt/config (else ~/.config/ebpfrt/config) has lines `option` or
 * `option = value`, long names without dashes; `[command]` begins those of one command, what stands
 * before is for all. The environment is stronger than the file, the command line than both.
 *
 * Rule: what can't be understood is wrong usage, named by file and line; no file is no trouble.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/opt.h"
#include "cli/out.h"

static int config_path(char path[PATH_MAX])
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n;

	if (xdg && *xdg == '/')
		n = snprintf(path, PATH_MAX, "%s/ebpfrt/config", xdg);
	else if (home && *home == '/')
		n = snprintf(path, PATH_MAX, "%s/.config/ebpfrt/config", home);
	else
		return -ENOENT;
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	n = strlen(s);
	while (n && strchr(" \t\r\n", s[n - 1]))
		s[--n] = 0;
	return s;
}

/* The environment has spoken about colour already. */
static bool environment_decides(const char *name)
{
	const char *no = getenv("NO_COLOR"), *force = getenv("CLICOLOR_FORCE");

	return !strcmp(name, "color") && ((no && *no) || (force && *force));
}

static int wrong(const char *path, int line, const char *what, const char *name)
{
	out_error("%s:%d: %s '%s'", path, line, what, name);
	return EXIT_USAGE;
}

static int set_line(const struct command *cmd, char *text, const char *path, int line)
{
	char *eq = strchr(text, '='), *value = NULL, *name;
	int err;

	if (eq) {
		*eq = 0;
		value = trim(eq + 1);
	}
	name = trim(text);
	if (environment_decides(name))
		return 0;
	err = opt_set(cmd, name, value);
	if (err == -ENOENT)
		return wrong(path, line, "there is no option", name);
	return err ? wrong(path, line, value ? "not a value of" : "a value is missing for", name)
		   : 0;
}

static int read_config(const struct command *cmd, FILE *f, const char *path)
{
	/* what stands before the first section is for the command of no name */
	bool mine = !strcmp(cmd->name, "ebpfrt");
	_cleanup_free_ char *buf = NULL;
	size_t size = 0;
	int status = 0;

	for (int line = 1; !status && getline(&buf, &size, f) >= 0; line++) {
		char *text = trim(buf), *end = strchr(text, ']');

		if (!*text || *text == '#')
			continue;
		if (*text == '[' && end && !end[1]) {
			*end = 0;
			mine = !strcmp(text + 1, cmd->name);
		} else if (*text == '[') {
			status = wrong(path, line, "no section is called", text);
		} else if (mine) {
			status = set_line(cmd, text, path, line);
		}
	}
	return status;
}

int opt_read_config(const struct command *cmd)
{
	char path[PATH_MAX];
	int status;
	FILE *f;

	if (config_path(path))
		return 0;
	f = fopen(path, "re");
	if (!f)
		return 0;
	status = read_config(cmd, f, path);
	fclose(f);
	return status;
}
