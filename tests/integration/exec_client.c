// SPDX-License-Identifier: BSD-2-Clause
/*
 * An ordinary libbpf program, linked with nothing of ours: exec_client OBJECT PROGRAM BINARY
 * FUNCTION loads one program, which is named, probes the function with it, says "ready", waits for
 * a line, and prints the numbers of the map "results".
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static int fail(const char *what)
{
	printf("cannot %s: %s\n", what, strerror(errno));
	return 1;
}

static void print_results(const struct bpf_object *obj)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(obj, "results");
	unsigned long long v;

	for (unsigned int i = 0; map && i < bpf_map__max_entries(map); i++)
		if (!bpf_map_lookup_elem(bpf_map__fd(map), &i, &v) && v)
			printf("%u %llu\n", i, v);
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = argc == 5 ? argv[4] : NULL);
	struct bpf_object *obj = argc == 5 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_program *prog, *other;
	struct bpf_link *link;
	char line[64];

	if (!obj)
		return fail("open");
	prog = bpf_object__find_program_by_name(obj, argv[2]);
	bpf_object__for_each_program(other, obj) bpf_program__set_autoload(other, other == prog);
	if (!prog || bpf_object__load(obj))
		return fail("load");
	link = bpf_program__attach_uprobe_opts(prog, -1, argv[3], 0, &opts);
	if (!link)
		return fail("attach");
	printf("ready\n");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin))
		print_results(obj);
	bpf_link__destroy(link);
	bpf_object__close(obj);
	return 0;
}
