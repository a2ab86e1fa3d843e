// SPDX-License-Identifier: BSD-2-Clause
/*
 * Attaches OBJECT's program to a function of its own, calls that once, and prints what the program
 * found out, a line each. Knows nothing of ebpfrt: runs in `ebpfrt exec`, and as root without it.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kfuncs.h"

__attribute__((noinline, noclone)) int hello(int n)
{
	__asm__ volatile("" ::: "memory");
	return n;
}

static int attach(struct bpf_object *obj)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "hello");
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, "probe");

	return bpf_program__attach_uprobe_opts(prog, getpid(), "/proc/self/exe", 0, &opts) ? 0 : -1;
}

static int results(const struct bpf_object *obj, struct results *r)
{
	const struct bpf_map *bss = bpf_object__find_map_by_name(obj, ".bss");
	char value[8192]; /* the results are not all of it */
	__u32 key = 0;

	if (bpf_map__value_size(bss) > sizeof(value) ||
	    bpf_map_lookup_elem(bpf_map__fd(bss), &key, value))
		return -1;
	memcpy(r, value, sizeof(*r));
	return 0;
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct results *r = ctx;

	r->ring_records++;
	for (size_t i = 0; i < size / 8; i++)
		r->ring_sum = r->ring_sum * 3 + ((long long *)data)[i] % 1000;
	return 0;
}

static void drain(const struct bpf_object *obj, struct results *r)
{
	struct ring_buffer *rb =
		ring_buffer__new(bpf_object__find_map_fd_by_name(obj, "ring"), on_record, r, NULL);

	ring_buffer__consume(rb);
	ring_buffer__free(rb);
}

int main(int argc, char **argv)
{
	struct bpf_object *obj;
	struct results r;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	obj = bpf_object__open_file(argv[1], NULL);
	if (!obj || bpf_object__load(obj) || attach(obj))
		return 1;
	hello(1);
	if (results(obj, &r))
		return 2;
	drain(obj, &r);
#define PRINT(name) printf(#name ": %lld\n", r.name);
	RESULTS(PRINT)
	return 0;
}
