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
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "maps.h"

#define TESTS 62

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

static void hello_for_long(void)
{
	struct pollfd pfd = {.fd = to_child[0], .events = POLLIN};

	while (poll(&pfd, 1, 0) == 0)
		hello();
}

static void serve(void)
{
	char c;

	close(to_child[1]);
	close(from_child[0]);
	while (read(to_child[0], &c, 1) == 1) {
		if (c == 'l') /* until somebody says something else */
			hello_for_long();
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
	signal(SIGPIPE, SIG_IGN); /* a child that is no more is a test that fails */
}

static struct bpf_link *attach(const char *name)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "hello");
	struct bpf_program *p = bpf_object__find_program_by_name(obj, name);
	struct bpf_link *link =
		bpf_program__attach_uprobe_opts(p, child, "/proc/self/exe", 0, &opts);

	if (!link)
		printf("# %s can't be attached: %s\n", name, strerror(errno));
	return link;
}

static void call(void)
{
	char c = 'x';

	if (write(to_child[1], &c, 1) != 1 || read(from_child[0], &c, 1) != 1)
		printf("# no answer from the child\n");
	fetch();
}

/* Have @name run once. */
static void hit(const char *name)
{
	struct bpf_link *link = attach(name);

	call();
	bpf_link__destroy(link);
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

static long ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static unsigned long long value_of(int fd, unsigned int key)
{
	unsigned long long value = 0;

	return bpf_map_lookup_elem(fd, &key, &value) ? ~0ull : value;
}

static unsigned int id_of(int fd)
{
	struct bpf_map_info info = {0};
	unsigned int len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

static int put(const char *outer, unsigned int key, int inner)
{
	return bpf_map_update_elem(map_fd(outer), &key, &inner, BPF_ANY);
}

static int new_counts(void)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "new", 4, 8, 4, NULL);
}

/* New maps for the same element, each in use as soon as the update is over. */
static void inner_swaps(void)
{
	int good = 0;

	for (int i = 0; i < 20; i++) {
		int fd = new_counts();

		put("outer", 0, fd);
		call();
		good += value_of(fd, 0) == 1;
		close(fd);
	}
	is(good, 20, "each new map is used from the update on");
}

/* A program that runs all the time finds a map, whichever. */
static void inner_race(void)
{
	int fds[2] = {new_counts(), new_counts()};
	unsigned long long before = r->inner.runs;
	char c = 'l';

	if (write(to_child[1], &c, 1) != 1)
		return;
	for (int i = 0; i < 30; i++) {
		put("outer", 0, fds[i % 2]);
		if (i % 10 == 0) {
			close(fds[i % 2]);
			fds[i % 2] = new_counts();
		}
	}
	c = 'x';
	if (read(from_child[0], &c, 0) || write(to_child[1], &c, 1) != 1 ||
	    read(from_child[0], &c, 1) != 1 || read(from_child[0], &c, 1) != 1)
		printf("# no answer from the child\n");
	fetch();
	check(r->inner.runs > before + 2, "the program ran meanwhile");
	is((long)r->inner.missed, 0, "an element is never seen without its map");
	close(fds[0]);
	close(fds[1]);
}

/* A process that is stopped keeps nobody waiting for long, and catches up. */
static void inner_stopped(void)
{
	int fd = new_counts();
	long start = ms_now();

	kill(child, SIGSTOP);
	is(put("outer", 0, fd), 0, "an update while the process is stopped");
	check(ms_now() - start < 8000, "it does not wait for the process");
	kill(child, SIGCONT);
	for (int i = 0; i < 100 && value_of(fd, 0) != 1; i++) {
		usleep(100000); /* its agent is told again some time later */
		call();
	}
	check(value_of(fd, 0) >= 1, "the process uses the new map when it runs again");
	close(fd);
}

static void inner_hash(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "in_hash", 4, 8, 8, NULL);
	unsigned int key = 5, id = 0;

	check(!r->inner.hash_found, "hash_of_maps: nothing there");
	is(put("hash_outer", 5, fd), 0, "hash_of_maps: update");
	call();
	check(r->inner.hash_found && !r->inner.update && value_of(fd, 5) == 55,
	      "hash_of_maps: the program updates the inner map");
	bpf_map_lookup_elem(map_fd("hash_outer"), &key, &id);
	check(id && id == id_of(fd), "hash_of_maps: lookup from outside gives the id");
	is(bpf_map_delete_elem(map_fd("hash_outer"), &key), 0, "hash_of_maps: delete");
	call();
	check(!r->inner.hash_found, "hash_of_maps: nothing any more");
	close(fd);
}

static void inner(void)
{
	struct bpf_link *link = attach("use_inner");
	int third = new_counts(), other = bpf_map_create(BPF_MAP_TYPE_ARRAY, "", 4, 16, 4, NULL);
	unsigned int key = 1, id = 0;

	call();
	is(r->inner.found, 3, "array_of_maps: the elements that the object came with");
	check(value_of(map_fd("first"), 0) == 1 && value_of(map_fd("second"), 1) == 1,
	      "array_of_maps: the inner maps are the object's");
	bpf_map_lookup_elem(map_fd("outer"), &key, &id);
	is(id, id_of(map_fd("second")), "array_of_maps: lookup from outside gives the id");
	is(put("outer", 2, other), -EINVAL, "array_of_maps: a map of another kind");
	is(put("outer", 2, third), 0, "array_of_maps: a map while the program is attached");
	call();
	check(r->inner.found == 7 && value_of(third, 2) == 1, "array_of_maps: it is used");
	key = 2;
	is(bpf_map_delete_elem(map_fd("outer"), &key), 0, "array_of_maps: delete");
	call();
	check(r->inner.found == 3 && value_of(third, 2) == 1, "array_of_maps: it is used no more");
	inner_swaps();
	inner_hash();
	inner_race();
	inner_stopped();
	bpf_link__destroy(link);
	close(third);
	close(other);
}

/*
 * How many samples of 56 bytes go in: with their headers they fill the ring to its last byte. As
 * long as any is left it polls as writable, here as in the kernel, and who waits for more loops.
 */
#define SAMPLE 56

/* How many times this process gave its CPU away because it had nothing to do. */
static long waits(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return use.ru_nvcsw;
}

static int fill_up(struct user_ring_buffer *rb)
{
	unsigned long long *sample;
	int n = 0;

	while ((sample = user_ring_buffer__reserve(rb, SAMPLE))) {
		memset(sample, 0, SAMPLE);
		sample[0] = 1;
		user_ring_buffer__submit(rb, sample);
		n++;
	}
	return errno == ENOSPC ? n : -1;
}

/* A full ring: who waits for room is told when a program has made some. */
static void commands_wait(struct user_ring_buffer *rb)
{
	long start = ms_now(), before = waits();
	void *sample = user_ring_buffer__reserve_blocking(rb, SAMPLE, 100);
	char c = 'x';

	check(!sample && ms_now() - start >= 99, "user_ringbuf: nobody drains, the wait ends");
	check(waits() > before, "user_ringbuf: a wait, not a loop");
	if (write(to_child[1], &c, 1) != 1)
		return;
	sample = user_ring_buffer__reserve_blocking(rb, SAMPLE, 10000);
	check(sample && ms_now() - start < 5000, "user_ringbuf: there is room after a drain");
	if (sample)
		user_ring_buffer__discard(rb, sample);
	if (read(from_child[0], &c, 1) != 1)
		printf("# no answer from the child\n");
	fetch();
}

static void commands(void)
{
	struct user_ring_buffer *rb = user_ring_buffer__new(map_fd("commands"), NULL);
	struct bpf_link *link = attach("use_commands");
	unsigned long long *sample;
	int n;

	check(rb != NULL, "user_ringbuf: libbpf's user_ring_buffer");
	call();
	is(r->commands.drained, 0, "user_ringbuf: nothing to drain");
	for (unsigned long long i = 1; i <= 4; i++) {
		sample = user_ring_buffer__reserve(rb, 16);
		sample[0] = i;
		sample[1] = i * 100;
		if (i == 3)
			user_ring_buffer__discard(rb, sample);
		else
			user_ring_buffer__submit(rb, sample);
	}
	call();
	is(r->commands.drained, 3, "user_ringbuf: samples are drained");
	check(r->commands.sum == 7 && r->commands.tagged == 700,
	      "user_ringbuf: read and looked at");
	n = fill_up(rb);
	is(n, 4096 / (SAMPLE + 8), "user_ringbuf: it is full at some point");
	commands_wait(rb);
	is(r->commands.drained, n, "user_ringbuf: all are drained at once");
	user_ring_buffer__free(rb);
	bpf_link__destroy(link);
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
	inner();
	commands();
	if (argc > 2) {
		pin("queue");
		pin("stack");
		pin("bloom");
		pin("outer");
		pin("second");
	}
	return 0;
}
