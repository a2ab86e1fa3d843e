// SPDX-License-Identifier: BSD-2-Clause
/*
 * A libbpf program that knows nothing of ebpfrt: attaches to USDT probes with cookies, by process
 *and to all, and says what it saw when its standard input ends.
 *
 *	usdt_client OBJECT PID EXECUTABLE
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "usdt_probes.h"

static struct bpf_object *obj;

static void attach(const char *prog, int pid, const char *path, const char *name, long cookie)
{
	LIBBPF_OPTS(bpf_usdt_opts, opts, .usdt_cookie = cookie);
	struct bpf_program *p = bpf_object__find_program_by_name(obj, prog);

	if (p && bpf_program__attach_usdt(p, pid, path, "shapes", name, &opts))
		return;
	perror(prog);
	exit(1);
}

static void say(unsigned int probe)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, "usdt");

	for (unsigned int i = 0; i < ROW; i++) {
		unsigned int key = probe * ROW + i;
		long v = -1;

		bpf_map__lookup_elem(map, &key, sizeof(key), &v, sizeof(v), 0);
		if (i < 3 || i == ROW - 1)
			printf(" %ld", v);
	}
}

int main(int argc, char **argv)
{
	char c;

	if (argc < 4)
		return 2;
	obj = bpf_object__open_file(argv[1], NULL);
	if (!obj || bpf_object__load(obj))
		return 3;
	attach("on_several", atoi(argv[2]), argv[3], "several", 1000);
	attach("on_guarded", -1, argv[3], "guarded", 7);
	attach("on_nop5", atoi(argv[2]), argv[3], "nop5", 1l << 40);
	printf("attached\n");
	fflush(stdout);
	while (read(0, &c, 1) == 1)
		;
	printf("saw");
	say(P_SEVERAL);
	say(P_GUARDED);
	say(P_NOP5);
	printf("\n");
	bpf_object__close(obj);
	return 0;
}
