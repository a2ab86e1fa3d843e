/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands and their options as tables: what parses a command line also prints --help and what the
 * documentation checks read (--dump-options), so the three can't differ.
 *
 * Rules: POSIX syntax with GNU long options, spelt out in full (an abbreviation would become an
 * interface). Options and operands mix, except where a command says OPT_STOP_AT_OPERAND; `--` ends
 * the options; @FILE among them stands for the arguments in FILE, one a line. An option given
 * wrongly is exit status 2 and two lines on standard error.
 */
#pragma once

#include "base/macros.h"

enum opt_kind {
	OPT_FLAG,   /* bool: true */
	OPT_STRING, /* const char * */
	OPT_LIST,   /* struct opt_list: may be given again */
	OPT_PIDS,   /* struct opt_pids: may be given again */
	OPT_PID,    /* pid_t */
	OPT_UINT,   /* u32 */
	OPT_TIME,   /* u64, nanoseconds; "10" is seconds, suffixes ns us ms s m h */
};

#define OPT_LIST_MAX 256
struct opt_list {
	const char *v[OPT_LIST_MAX];
	u32 n;
};
struct opt_pids {
	int v[OPT_LIST_MAX];
	u32 n;
};

struct opt {
	char letter; /* 0: none */
	const char *name;
	const char *arg; /* placeholder in the help; NULL for flags */
	enum opt_kind kind;
	size_t offset; /* into the command's structure */
	const char *help;
};

enum command_flags {
	OPT_STOP_AT_OPERAND = 1, /* the rest is another program's command line */
	OPT_HIDDEN = 2,
};

struct args {
	int n;
	char **v;	   /* operands, NULL-terminated */
	bool after_dashes; /* a `--` was there */
	int dashes_at;	   /* operands before it */
	char **spliced;	   /* keeps what came from @FILE */
};

struct command {
	const char *name;
	const char *usage;		     /* what follows the name, one form per line */
	const char *summary;		     /* one line, lower case */
	const char *details;		     /* more help, or NULL */
	const struct opt *opts;		     /* ended by name NULL; NULL: none */
	void *config;			     /* what the offsets count from */
	int (*run)(const struct args *args); /* exit status */
	u32 flags;
};

/* Standard options, understood by every command. */
struct common {
	bool quiet, version, help;
	u32 verbose;
	const char *color;
};
extern struct common common;

/*
 * Parse @argv[1..] for @cmd into its config and @args (which points into a block of its own that
 * lives as long as the program). 0, or EXIT_USAGE after a message.
 */
int opt_parse(const struct command *cmd, int argc, char **argv, struct args *args);

/* The user's own defaults for @cmd, before its command line. 0, or EXIT_USAGE after a message. */
int opt_read_config(const struct command *cmd);
/* As --@name=@value would. 0; -ENOENT: no such option; -EINVAL: not its value. */
int opt_set(const struct command *cmd, const char *name, const char *value);

void opt_help(const struct command *cmd);
void opt_print(const struct opt *opts); /* one line each, as in --help */
/* Two lines on standard error: what is wrong, and where to read on. Returns EXIT_USAGE. */
int opt_usage_error(const char *command, const char *fmt, ...) __printf_like(2, 3);
/* "command --option" lines for the documentation checks. */
void opt_dump(const struct command *cmd);
extern const struct opt common_opts[];

/* A decimal process ID, 0 when it isn't one. */
int opt_pid(const char *text);
/* 0, or -EINVAL. */
int opt_time(const char *text, u64 *ns);

#define EXIT_USAGE 2
