// SPDX-License-Identifier: BSD-2-Clause
/*
 * An ordinary libbpf program, linked with nothing of ours: loads an object, attaches it, says
 * "ready", waits for a line, and prints the numbers of the map "results".
 *
 *	exec_client OBJECT [PROGRAM]: as the programs' sections say; or one of them alone
 *	exec_client OBJECT PROGRAM BINARY [ret:]FUNCTION: one program, to that function
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

static void choose(struct bpf_object *obj, const char *name)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, obj) if (name)
		bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), name));
}

static struct bpf_link *attach(const struct bpf_program *prog, int argc, char **argv)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts);

	if (argc == 5) {
		opts.retprobe = !strncmp(argv[4], "ret:", 4);
		opts.func_name = argv[4] + (opts.retprobe ? 4 : 0);
	}
	if (argc == 5)
		return bpf_program__attach_uprobe_opts(prog, -1, argv[3], 0, &opts);
	return bpf_program__attach(prog);
}

int main(int argc, char **argv)
{
	struct bpf_object *obj = argc > 1 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_link *links[16] = {NULL};
	struct bpf_program *prog;
	unsigned int n = 0;
	char line[64];

	if (!obj)
		return fail("open");
	choose(obj, argc > 2 ? argv[2] : NULL);
	if (bpf_object__load(obj))
		return fail("load");
	bpf_object__for_each_program(prog, obj)
	{
		if (!bpf_program__autoload(prog) || n == 16)
			continue;
		links[n] = attach(prog, argc, argv);
		if (!links[n++])
			return fail("attach");
	}
	printf("ready\n");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin))
		print_results(obj);
	while (n--)
		bpf_link__destroy(links[n]);
	bpf_object__close(obj);
	return 0;
}
