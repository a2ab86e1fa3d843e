// SPDX-License-Identifier: BSD-2-Clause
/*
 * The same objects in the kernel, for comparison: attaches every uprobe of OBJECT to PROGRAM through the kernel's own
 * bpf(2), then runs PROGRAM with ARGS. Ends with status 77 and a reason where that can't be had.
 *
 *	kernel OBJECT PROGRAM ARGS...
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/libbpf.h>

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

static int unavailable(const char *what, int err)
{
	fprintf(stderr, "kernel uprobes: %s: %s\n", what, strerror(err < 0 ? -err : err));
	return 77;
}

static int attach_one(struct bpf_program *prog, const char *path)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts);
	const char *section = bpf_program__section_name(prog);

	opts.func_name = strchr(section, ':') + 1;
	opts.retprobe = !strncmp(section, "uretprobe", 9);
	return bpf_program__attach_uprobe_opts(prog, -1, path, 0, &opts) ? 0 : -errno;
}

int main(int argc, char **argv)
{
	struct bpf_program *prog;
	struct bpf_object *obj;
	int err, status;
	pid_t pid;

	if (argc < 3)
		return 2;
	libbpf_set_print(quiet);
	if (geteuid())
		return unavailable("need root", EPERM);
	obj = bpf_object__open(argv[1]);
	if (!obj)
		return unavailable("open", errno);
	err = bpf_object__load(obj);
	if (err)
		return unavailable("load", err);
	bpf_object__for_each_program(prog, obj) {
		err = attach_one(prog, argv[2]);
		if (err)
			return unavailable("attach", err);
	}
	pid = fork();
	if (!pid) {
		execv(argv[2], argv + 2);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
