// SPDX-License-Identifier: BSD-2-Clause
/*
 * Maps of the types that helpers.c does not need, used from both sides: by this process through
 * libbpf, and by programs that are attached to hello() below, which a child calls. Prints TAP.
 *
 *	maps OBJECT [pin]
 *
 * Knows nothing of ebpfrt: as root, without it, it asks the kernel. With "pin" it leaves some maps
 * behind as /sys/fs/bpf/maps_*.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "maps.h"

#define TESTS 33

static struct bpf_object *obj;
static struct results *r;
static int tests, to_child[2], from_child[2];
static pid_t child;

__attribute__((noinline, noclone)) void hello(void)
{
	__asm__ volatile("" ::: "memory");
}

static void check(int good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
}

static void is(long got, long want, const char *name)
{
	check(got == want, name);
	if (got != want)
		printf("#   got %ld, wanted %ld\n", got, want);
}

static int map_fd(const char *name)
{
	return bpf_object__find_map_fd_by_name(obj, name);
}

/* Results as they are now. */
static void fetch(void)
{
	int key = 0;

	if (bpf_map_lookup_elem(map_fd(".bss"), &key, r))
		printf("# .bss can't be read\n");
}

static void serve(void)
{
	char c;

	close(to_child[1]);
	close(from_child[0]);
	while (read(to_child[0], &c, 1) == 1) {
		hello();
		if (write(from_child[1], &c, 1) != 1)
			break;
	}
	_exit(0);
}

static void start_child(void)
{
	if (pipe(to_child) || pipe(from_child))
		exit(99);
	child = fork();
	if (!child)
		serve();
	close(to_child[0]);
	close(from_child[1]);
}

/* Have @name run once. */
static void hit(const char *name)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "hello");
	struct bpf_program *p = bpf_object__find_program_by_name(obj, name);
	struct bpf_link *link =
		bpf_program__attach_uprobe_opts(p, child, "/proc/self/exe", 0, &opts);
	char c = 'x';

	if (!link)
		printf("# %s can't be attached: %s\n", name, strerror(errno));
	if (write(to_child[1], &c, 1) != 1 || read(from_child[0], &c, 1) != 1)
		printf("# no answer from the child\n");
	bpf_link__destroy(link);
	fetch();
}

static void lru_percpu(void)
{
	int fd = map_fd("lru_percpu"), cpus = libbpf_num_possible_cpus(), err;
	unsigned long long values[4096] = {0}, sum = 0;
	unsigned int key = 1;

	for (int i = 0; i < cpus; i++)
		sum += values[i] = i + 1;
	is(bpf_map_update_elem(fd, &key, values, BPF_NOEXIST), 0, "lru_percpu_hash: update");
	hit("use_lru_percpu");
	check(r->lru_percpu.cpus == (unsigned int)cpus && r->lru_percpu.sum == sum,
	      "lookup_percpu_elem: every CPU's value");
	is(r->lru_percpu.found_behind, 0, "lookup_percpu_elem: there is no CPU behind the last");
	is(r->lru_percpu.update, 0, "lru_percpu_hash: update by the program");
	key = 2;
	err = bpf_map_lookup_elem(fd, &key, values);
	sum = 0;
	for (int i = 0; i < cpus; i++)
		sum += values[i];
	check(!err && sum == 1000, "lru_percpu_hash: one CPU's value is set, the others' are 0");
}

/* Four values into room for three; the fourth pushes the first one out. */
static void fifo(int i, const char *name, unsigned int first, const unsigned int rest[2])
{
	__typeof__(r->fifo[0]) *f = &r->fifo[i];
	int fd = map_fd(name), err;
	unsigned int value = 9;

	printf("# %s\n", name);
	check(f->peek_empty == -ENOENT && f->emptied == 0, "peek at nothing");
	check(!f->push[0] && !f->push[1] && !f->push[2], "push");
	is(f->push[3], -E2BIG, "push: full");
	is(f->push_out, 0, "push: BPF_EXIST makes room");
	is(f->push_flags, -EINVAL, "push: BPF_NOEXIST");
	check(!f->peek && !f->pop && f->peeked == first && f->popped == first, "peek and pop");
	err = bpf_map_lookup_elem(fd, NULL, &value);
	check(!err && value == rest[0], "peek from outside");
	err = bpf_map_lookup_and_delete_elem(fd, NULL, &value);
	check(!err && value == rest[0], "pop from outside");
	err = bpf_map_lookup_and_delete_elem(fd, NULL, &value);
	check(!err && value == rest[1], "pop what came later");
	is(bpf_map_lookup_and_delete_elem(fd, NULL, &value), -ENOENT, "pop of nothing");
}

static void fifos(void)
{
	hit("use_fifo");
	fifo(0, "queue", 2, (const unsigned int[]){3, 4});
	fifo(1, "stack", 4, (const unsigned int[]){3, 2});
}

static void bloom(void)
{
	unsigned long long value = 77;
	int fd = map_fd("bloom");

	is(bpf_map_update_elem(fd, NULL, &value, BPF_ANY), 0, "bloom_filter: push from outside");
	hit("use_bloom");
	is(r->bloom.out, -ENOENT, "bloom_filter: surely not");
	check(!r->bloom.push && !r->bloom.in, "bloom_filter: perhaps");
	is(r->bloom.flags, -EINVAL, "bloom_filter: flags");
	is(r->bloom.of_user, 0, "bloom_filter: what was pushed outside");
	value = 1;
	is(bpf_map_lookup_elem(fd, NULL, &value), 0, "bloom_filter: what the program pushed");
	value = 5;
	is(bpf_map_lookup_elem(fd, NULL, &value), -ENOENT, "bloom_filter: what nobody did");
}

static void load(const char *path)
{
	unsigned int *cpus;
	size_t size;

	obj = bpf_object__open(path);
	if (!obj) {
		printf("Bail out! %s can't be opened\n", path);
		exit(99);
	}
	cpus = (void *)bpf_map__initial_value(bpf_object__find_map_by_name(obj, ".rodata"), &size);
	*cpus = libbpf_num_possible_cpus();
	if (bpf_object__load(obj)) {
		printf("Bail out! %s can't be loaded\n", path);
		exit(99);
	}
	r = calloc(1, bpf_map__value_size(bpf_object__find_map_by_name(obj, ".bss")));
}

static void pin(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/fs/bpf/maps_%s", name);
	if (bpf_obj_pin(map_fd(name), path))
		printf("# %s can't be pinned: %s\n", name, strerror(errno));
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 99;
	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	printf("1..%d\n", TESTS);
	start_child();
	load(argv[1]);
	check(r != NULL, "loaded");
	lru_percpu();
	fifos();
	bloom();
	if (argc > 2) {
		pin("queue");
		pin("stack");
		pin("bloom");
	}
	return 0;
}
