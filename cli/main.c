/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt: the table of commands and what is asked before any of them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/object.h"
#include "cli/out.h"
#include "ebpfrt/ebpfrt.h"

const struct command *const commands[] = {
	&cmd_attach, &cmd_run,	    &cmd_trace, &cmd_detach,  &cmd_ps,	  &cmd_prog,   &cmd_map,
	&cmd_link,   &cmd_btf,	    &cmd_log,	&cmd_list,    &cmd_check, &cmd_doctor, &cmd_exec,
	&cmd_env,    &cmd_shutdown, &cmd_help,	&cmd_version, &cmd_typed, NULL,
};

const struct command *find_command(const char *name)
{
	for (const struct command *const *c = commands; *c; c++) {
		if (!strcmp((*c)->name, name))
			return *c;
	}
	return NULL;
}

static const struct command top = {
	.name = "ebpfrt",
	.usage = "[OPTIONS] COMMAND [...]",
	.summary = "eBPF for user space: attach BPF programs to processes, without root",
	.opts = common_opts,
	.config = &common,
	.flags = OPT_STOP_AT_OPERAND,
};

static int print_version(void)
{
	printf("ebpfrt %s\n", ebpfrt_version());
	if (common.verbose)
		printf("libbpf %s\n", libbpf_version_string());
	return EXIT_SUCCESS;
}

static void print_help(void)
{
	printf("Usage: ebpfrt COMMAND [...]\n\n"
	       "eBPF for user space: attach BPF programs to processes, without "
	       "root.\n\nCommands:\n");
	for (const struct command *const *c = commands; *c; c++) {
		if (!((*c)->flags & OPT_HIDDEN))
			printf("  %-10s %s\n", (*c)->name, (*c)->summary);
	}
	puts("\nOptions:");
	opt_print(common_opts);
	puts("\n'ebpfrt COMMAND --help' says more of one; each has a man page, ebpfrt-COMMAND(1).");
}

static int dump_options(void)
{
	opt_dump(&top);
	for (const struct command *const *c = commands; *c; c++) {
		if (!((*c)->flags & OPT_HIDDEN))
			opt_dump(*c);
	}
	return EXIT_SUCCESS;
}

static int run_command(const struct command *cmd, int argc, char **argv)
{
	static struct args args; /* until the end */
	int status = opt_read_config(cmd);

	if (!status)
		status = opt_parse(cmd, argc, argv, &args);
	if (status)
		return status;
	if (common.help) {
		opt_help(cmd);
		return EXIT_SUCCESS;
	}
	if (common.version)
		return print_version();
	return cmd->run(&args);
}

/* What can't be written was not said: a full disk is a failure, a closed pipe is not. */
static int finish(int status)
{
	int err = fflush(stdout) ? errno : 0;

	if (err || ferror(stdout)) {
		out_error("cannot write the results%s%s", err ? ": " : "; is the disk full?",
			  err ? strerror(err) : "");
		return status ? status : EXIT_FAILURE;
	}
	return status;
}

/*
 * A standard stream that is closed stays so for what we execute; here its number must not become a
 * socket's, into which our words would go.
 */
static void keep_standard_streams(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
		    open("/dev/null", (fd ? O_RDONLY : O_WRONLY) | O_CLOEXEC) < 0)
			return;
}

static void on_too_large(int sig)
{
}

/* What is over the limit of a file's size is an error. Who is executed has the default again. */
static void outlive_large_files(void)
{
	const struct sigaction sa = {.sa_handler = on_too_large, .sa_flags = SA_RESTART};
	struct sigaction was;

	if (!sigaction(SIGXFSZ, NULL, &was) && was.sa_handler == SIG_DFL)
		sigaction(SIGXFSZ, &sa, NULL);
}

int main(int argc, char **argv)
{
	static struct args args; /* until the end */
	const struct command *cmd;
	int status;

	keep_standard_streams();
	outlive_large_files();
	if (argc == 2 && !strcmp(argv[1], "--dump-options"))
		return dump_options();
	object_capture_libbpf();
	status = opt_read_config(&top);
	if (!status)
		status = opt_parse(&top, argc, argv, &args);
	if (status)
		return status;
	if (common.help || (!args.n && common.version)) {
		common.help ? print_help() : (void)print_version();
		return finish(EXIT_SUCCESS);
	}
	if (!args.n)
		return opt_usage_error(NULL, "which command?");
	cmd = find_command(args.v[0]);
	if (!cmd)
		return opt_usage_error(NULL, "unknown command '%s'", args.v[0]);
	return finish(run_command(cmd, args.n, args.v));
}
