// SPDX-License-Identifier: BSD-2-Clause
/*
 * A libbpf program that attaches and detaches a thousand times, each time one program more or less
 *at the same function, while the target calls it; every call is counted by exactly those programs
 *that were there. Says "counted WRONG".
 *
 *	links OBJECT PID FILE OFFSET ROUNDS < answers of the target > commands for it
 */
#include <stdio.h>
#include <stdlib.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define PROGRAMS 3
static const char *const names[PROGRAMS] = {"on_3", "on_4", "on_5"};
static struct bpf_object *obj;
static struct bpf_link *links[PROGRAMS];

static unsigned long value(unsigned int key)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, "many");
	unsigned long v = 0;

	bpf_map__lookup_elem(map, &key, sizeof(key), &v, sizeof(v), 0);
	return v;
}

static void call(long n)
{
	char line[64];

	printf("call %ld\n", n);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(4);
}

static void toggle(int i, int pid, const char *file, unsigned long offset)
{
	struct bpf_program *p = bpf_object__find_program_by_name(obj, names[i]);

	if (links[i]) {
		bpf_link__destroy(links[i]);
		links[i] = NULL;
		return;
	}
	links[i] = bpf_program__attach_uprobe(p, false, pid, file, offset);
	if (!links[i])
		exit(5);
}

int main(int argc, char **argv)
{
	unsigned long want[PROGRAMS] = {0};
	struct bpf_program *p;
	int wrong = 0;

	if (argc < 6)
		return 2;
	obj = bpf_object__open_file(argv[1], NULL);
	if (!obj)
		return 3;
	bpf_object__for_each_program(p, obj) bpf_program__set_autoload(p, true);
	if (bpf_object__load(obj))
		return 3;
	for (long i = 0; i < atol(argv[5]); i++) {
		toggle((int)(i * 7 / 3 % PROGRAMS), atoi(argv[2]), argv[3],
		       strtoul(argv[4], NULL, 0));
		call(i % 4);
		for (int k = 0; k < PROGRAMS; k++) {
			want[k] += links[k] ? i % 4 : 0;
			wrong += value(3 + k) != want[k];
		}
	}
	for (int k = 0; k < PROGRAMS; k++)
		bpf_link__destroy(links[k]);
	bpf_object__close(obj);
	fprintf(stderr, "counted %d %lu\n", wrong, want[0] + want[1] + want[2]);
	return wrong != 0;
}
