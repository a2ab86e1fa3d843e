// SPDX-License-Identifier: BSD-2-Clause
/*
 * Attaches to a function that is called all the time, and has what runs there be another program
 * again and again: programs that are leaves and one that is not, a second link, times.
 *
 *	leaves OBJECT PID FUNCTION ROUNDS	says "ready" and does it; when it is told to go on,
 *						"counts A B C": what each program has counted
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"on_work", "on_work_too", "on_work_by_agent", "on_work_second"};
#define PROGS 3 /* in turn; the last one is beside them */

static struct bpf_link *attach(struct bpf_program *prog, int pid, const char *function)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = function);
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return bpf_program__attach_uprobe_opts(prog, pid, path, 0, &opts);
}

static int round_of(int i, struct bpf_program **progs, struct bpf_link *link, int pid,
		    const char *function)
{
	struct bpf_link *second;
	int fd;

	if (bpf_link_update(bpf_link__fd(link), bpf_program__fd(progs[i % PROGS]), NULL))
		return printf("update %d: %s\n", i, strerror(errno));
	if (i % 4 == 0) {
		second = attach(progs[PROGS], pid, function);
		if (!second)
			return printf("second %d: %s\n", i, strerror(errno));
		bpf_link__destroy(second);
	}
	if (i % 5 == 0) {
		fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
		if (fd < 0)
			return printf("times %d: %s\n", i, strerror(errno));
		usleep(1000);
		close(fd);
	}
	return 0;
}

static unsigned long long count(struct bpf_object *obj, unsigned int key)
{
	unsigned long long n = 0;

	bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(obj, "counts"), &key, &n);
	return n;
}

int main(int argc, char **argv)
{
	struct bpf_program *progs[PROGS + 1];
	struct bpf_link *link;
	struct bpf_object *obj;
	char line[16];
	int pid;

	if (argc < 5)
		return 2;
	pid = atoi(argv[2]);
	obj = bpf_object__open(argv[1]);
	for (int i = 0; i <= PROGS; i++) {
		progs[i] = bpf_object__find_program_by_name(obj, names[i]);
		bpf_program__set_autoload(progs[i], true);
	}
	if (bpf_object__load(obj))
		return 2;
	link = attach(progs[0], pid, argv[3]);
	if (!link)
		return 3;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");
	for (int i = 0; i < atoi(argv[4]); i++)
		if (round_of(i, progs, link, pid, argv[3]))
			return 1;
	printf("done\n");
	if (!fgets(line, sizeof(line), stdin))
		return 4;
	bpf_link__destroy(link);
	printf("counts %llu %llu %llu\n", count(obj, 0), count(obj, 2), count(obj, 3));
	return 0;
}
