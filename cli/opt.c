/* SPDX-License-Identifier: BSD-2-Clause */
/* The option tables at work: see opt.h for their rules. */
#include "cli/opt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/out.h"

struct common common;

const struct opt common_opts[] = {
	{'h', "help", NULL, OPT_FLAG, offsetof(struct common, help), "print this help"},
	{'V', "version", NULL, OPT_FLAG, offsetof(struct common, version), "print the version"},
	{'q', "quiet", NULL, OPT_FLAG, offsetof(struct common, quiet),
	 "print only results and errors"},
	{'v', "verbose", NULL, OPT_FLAG, offsetof(struct common, verbose),
	 "say more; twice: what libbpf says, too"},
	{0, "color", "WHEN", OPT_STRING, offsetof(struct common, color),
	 "auto, always or never; auto is on for terminals unless $NO_COLOR is set"},
	{0},
};

int opt_usage_error(const char *command, const char *fmt, ...)
{
	va_list ap;

	if (command && !strcmp(command, "ebpfrt"))
		command = NULL;
	fputs("ebpfrt: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry 'ebpfrt %s%s--help' for more information.\n", command ? command : "",
		command ? " " : "");
	return EXIT_USAGE;
}

int opt_pid(const char *text)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	return errno || *end || end == text || n <= 0 || n > INT32_MAX ? 0 : (int)n;
}

int opt_time(const char *text, u64 *ns)
{
	static const struct {
		const char *suffix;
		double ns;
	} units[] = {{"", 1e9},	 {"ns", 1},   {"us", 1e3},  {"ms", 1e6},
		     {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
	char *end;
	double n;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	n = strtod(text, &end);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!strcmp(end, units[i].suffix) && n * units[i].ns < 9e18) {
			*ns = (u64)(n * units[i].ns);
			return 0;
		}
	}
	return -EINVAL;
}

static int store_uint(const char *value, u32 *out)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 0);
	if (errno || *end || end == value || *value == '-' || n > UINT32_MAX)
		return -EINVAL;
	*out = (u32)n;
	return 0;
}

static int store_list(struct opt_list *list, const char *value)
{
	if (list->n == OPT_LIST_MAX)
		return -E2BIG;
	list->v[list->n++] = value;
	return 0;
}

static int store_pid(struct opt_pids *list, const char *value)
{
	int pid = opt_pid(value);

	if (!pid)
		return -EINVAL;
	if (list->n == OPT_LIST_MAX)
		return -E2BIG;
	list->v[list->n++] = pid;
	return 0;
}

/* No time at all is at once; 0 in a configuration means that none was given. */
static int store_time(const char *value, u64 *ns)
{
	int err = opt_time(value, ns);

	if (!err)
		*ns = MAX(*ns, (u64)1);
	return err;
}

static int store(const struct opt *opt, char *config, const char *value)
{
	void *at = config + opt->offset;

	switch (opt->kind) {
	case OPT_FLAG:
		/* the one flag that counts */
		if (at == (void *)&common.verbose)
			common.verbose++;
		else
			*(bool *)at = true;
		return 0;
	case OPT_STRING:
		*(const char **)at = value;
		return 0;
	case OPT_LIST:
		return store_list(at, value);
	case OPT_PIDS:
		return store_pid(at, value);
	case OPT_PID:
		*(int *)at = opt_pid(value);
		return *(int *)at ? 0 : -EINVAL;
	case OPT_UINT:
		return store_uint(value, at);
	case OPT_TIME:
		return store_time(value, at);
	}
	return -EINVAL;
}

static const struct opt *find_in(const struct opt *opts, char letter, const char *name, size_t n)
{
	for (; opts && opts->name; opts++) {
		if (name ? strlen(opts->name) == n && !strncmp(opts->name, name, n)
			 : opts->letter && opts->letter == letter)
			return opts;
	}
	return NULL;
}

/* The command's own options come first: it may give a letter its own meaning. */
static const struct opt *find(const struct command *cmd, char letter, const char *name, size_t n,
			      char **config)
{
	const struct opt *opt = find_in(cmd->opts, letter, name, n);

	*config = cmd->config;
	if (!opt) {
		opt = find_in(common_opts, letter, name, n);
		*config = (char *)&common;
	}
	return opt;
}

static int apply(const struct command *cmd, const struct opt *opt, char *config, const char *value)
{
	int err = store(opt, config, value);

	if (err == -E2BIG)
		return opt_usage_error(cmd->name, "--%s is given more than %d times", opt->name,
				       OPT_LIST_MAX);
	if (err)
		return opt_usage_error(cmd->name, "--%s takes %s, not '%s'", opt->name,
				       opt->kind == OPT_TIME   ? "a time like 5, 10ms or 2m"
				       : opt->kind == OPT_UINT ? "a number"
							       : "a process ID",
				       value);
	return 0;
}

struct parser {
	const struct command *cmd;
	char **argv;
	int argc, i;
	int end_of_file; /* what stands before it comes from an @FILE, and names no other */
};

static int parse_long(struct parser *p, const char *text)
{
	const char *eq = strchr(text, '='), *value = NULL;
	size_t n = eq ? (size_t)(eq - text) : strlen(text);
	char *config;
	const struct opt *opt = find(p->cmd, 0, text, n, &config);

	if (!opt)
		return opt_usage_error(p->cmd->name, "unknown option '--%.*s'", (int)n, text);
	if (opt->kind == OPT_FLAG && eq)
		return opt_usage_error(p->cmd->name, "--%s takes no value", opt->name);
	if (opt->kind != OPT_FLAG) {
		value = eq ? eq + 1 : p->i + 1 < p->argc ? p->argv[++p->i] : NULL;
		if (!value)
			return opt_usage_error(p->cmd->name, "--%s needs %s", opt->name, opt->arg);
	}
	return apply(p->cmd, opt, config, value);
}

static int parse_short(struct parser *p, const char *text)
{
	for (; *text; text++) {
		const char *value = NULL;
		char *config;
		const struct opt *opt = find(p->cmd, *text, NULL, 0, &config);
		int err;

		if (!opt)
			return opt_usage_error(p->cmd->name, "unknown option '-%c'", *text);
		if (opt->kind != OPT_FLAG) {
			value = text[1] ? text + 1 : p->i + 1 < p->argc ? p->argv[++p->i] : NULL;
			if (!value)
				return opt_usage_error(p->cmd->name, "-%c needs %s", *text,
						       opt->arg);
		}
		err = apply(p->cmd, opt, config, value);
		if (err || value)
			return err;
	}
	return 0;
}

/* A copy that lives until the end, as command lines do. */
static const char *keep(const char *value)
{
	static char *kept[OPT_LIST_MAX];
	static u32 n;

	return n < OPT_LIST_MAX && (kept[n] = strdup(value)) ? kept[n++] : NULL;
}

int opt_set(const struct command *cmd, const char *name, const char *value)
{
	char *config;
	const struct opt *opt = find(cmd, 0, name, strlen(name), &config);

	if (!opt)
		return -ENOENT;
	if ((opt->kind == OPT_FLAG) != !value)
		return -EINVAL;
	if (value && !(value = keep(value)))
		return -ENOMEM;
	return store(opt, config, value);
}

/* --- @FILE --- */

/* The lines of @file that hold something. Their number, or -errno. */
static int read_lines(const char *file, char **lines, int max)
{
	FILE *f = fopen(file, "re");
	char *buf = NULL;
	size_t size = 0;
	int n = 0;

	if (!f)
		return -errno;
	while (n < max && getline(&buf, &size, f) >= 0) {
		buf[strcspn(buf, "\r\n")] = 0;
		if (!*buf || *buf == '#')
			continue;
		lines[n++] = buf;
		buf = NULL;
		size = 0;
	}
	free(buf);
	fclose(f);
	return n;
}

/* Put the arguments that the file of @p's current one holds in its place. */
static int splice(struct parser *p, struct args *args)
{
	enum { MAX = 256 };
	const char *file = p->argv[p->i] + 1;
	char **argv, **operands, *lines[MAX];
	int n = read_lines(file, lines, MAX);

	if (n < 0)
		return opt_usage_error(p->cmd->name, "cannot read %s: %s", file, strerror(-n));
	if (n == MAX)
		return opt_usage_error(p->cmd->name, "%s holds too many arguments", file);
	argv = calloc(p->argc + n + 1, sizeof(*argv));
	operands = realloc(args->v, (p->argc + n + 1) * sizeof(*operands));
	if (!argv || !operands)
		return EXIT_FAILURE;
	args->v = operands;
	memcpy(argv, p->argv, p->i * sizeof(*argv));
	memcpy(argv + p->i, lines, n * sizeof(*argv));
	memcpy(argv + p->i + n, p->argv + p->i + 1, (p->argc - p->i - 1) * sizeof(*argv));
	free(args->spliced);
	args->spliced = p->argv = argv;
	p->argc += n - 1;
	p->end_of_file = p->i + n;
	p->i--;
	return 0;
}

int opt_parse(const struct command *cmd, int argc, char **argv, struct args *args)
{
	struct parser p = {.cmd = cmd, .argv = argv, .argc = argc};
	bool only_operands = false;

	*args = (struct args){.v = calloc(argc + 1, sizeof(char *))};
	if (!args->v)
		return EXIT_FAILURE;
	for (p.i = 1; p.i < p.argc; p.i++) {
		char *arg = p.argv[p.i];
		int err = 0;

		if (!only_operands && arg[0] == '@' && arg[1] && p.i >= p.end_of_file) {
			err = splice(&p, args);
		} else if (only_operands || arg[0] != '-' || !arg[1]) {
			args->v[args->n++] = arg;
			only_operands |= !!(cmd->flags & OPT_STOP_AT_OPERAND);
		} else if (!strcmp(arg, "--")) {
			only_operands = args->after_dashes = true;
			args->dashes_at = args->n;
		} else {
			err = arg[1] == '-' ? parse_long(&p, arg + 2) : parse_short(&p, arg + 1);
		}
		if (err)
			return err;
	}
	if (common.color && out_set_color(common.color))
		return opt_usage_error(cmd->name, "--color takes auto, always or never, not '%s'",
				       common.color);
	return 0;
}

static void help_option(const struct opt *opt)
{
	char left[64];

	snprintf(left, sizeof(left), "%s%c%s--%s%s%s", opt->letter ? "-" : "   ",
		 opt->letter ? opt->letter : ' ', opt->letter ? ", " : "", opt->name,
		 opt->arg ? " " : "", opt->arg ? opt->arg : "");
	printf("  %-26s %s\n", left, opt->help);
}

void opt_print(const struct opt *opts)
{
	for (; opts->name; opts++)
		help_option(opts);
}

static void help_usage(const struct command *cmd)
{
	const char *line = cmd->usage, *name = strcmp(cmd->name, "ebpfrt") ? cmd->name : NULL;
	const char *lead = "Usage:";

	for (;;) {
		int n = (int)strcspn(line, "\n");

		printf("%s ebpfrt%s%s%s%.*s\n", lead, name ? " " : "", name ? name : "",
		       n ? " " : "", n, line);
		if (!line[n])
			return;
		line += n + 1;
		lead = "      ";
	}
}

void opt_help(const struct command *cmd)
{
	help_usage(cmd);
	printf("\n%c%s.\n", cmd->summary[0] - ('a' - 'A') * (cmd->summary[0] >= 'a'),
	       cmd->summary + 1);
	if (cmd->details)
		printf("\n%s", cmd->details);
	if (cmd->opts && cmd->opts->name) {
		puts("\nOptions:");
		opt_print(cmd->opts);
	}
	puts("\nCommon options:");
	opt_print(common_opts);
}

void opt_dump(const struct command *cmd)
{
	if (!cmd->opts || !cmd->opts->name)
		printf("%s\n", cmd->name);
	for (const struct opt *o = cmd->opts; o && o->name; o++)
		printf("%s --%s\n", cmd->name, o->name);
}
