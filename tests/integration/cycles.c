// SPDX-License-Identifier: BSD-2-Clause
/*
 * Attaches one uprobe and one uretprobe to a process and takes them away again, as often as is
 *asked for.
 *
 *	cycles OBJECT PID FUNCTION TIMES	by the object's first two programs; "cycles N" at
 *the end
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bpf_link *attach(struct bpf_program *prog, int pid, const char *path,
			       const char *function, bool ret)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = function, .retprobe = ret);

	return bpf_program__attach_uprobe_opts(prog, pid, path, 0, &opts);
}

int main(int argc, char **argv)
{
	struct bpf_program *entry, *ret;
	struct bpf_object *obj;
	char path[64];
	int pid, times;

	if (argc < 5)
		return 2;
	pid = atoi(argv[2]);
	times = atoi(argv[4]);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	obj = bpf_object__open(argv[1]);
	if (!obj || bpf_object__load(obj))
		return 2;
	entry = bpf_object__next_program(obj, NULL);
	ret = bpf_object__next_program(obj, entry);
	for (int i = 0; i < times; i++) {
		struct bpf_link *link = attach(i % 2 ? ret : entry, pid, path, argv[3], i % 2);

		if (!link) {
			printf("the %dth time: %s\n", i, strerror(errno));
			return 1;
		}
		bpf_link__destroy(link);
	}
	printf("cycles %d\n", times);
	return 0;
}
