// SPDX-License-Identifier: BSD-2-Clause
/*
 * Probes on every instruction of generated functions (generate.py) that are entered at each of
 * them through jump tables: each is hit exactly as often as a model of the function says, and the
 * functions compute what they did. Then probes come and go while threads run through them all.
 * Prints TAP.
 *
 *	generated OBJECT LIBRARY SEED
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SITES 8
#define GROUP 8 /* functions that are probed at a time: as many cookies as the map has entries */
#define CALLS 200
#define TOGGLES 30
#define THREADS 3

struct function {
	long (*call)(long n, unsigned int seed);
	long sites;
	unsigned long site[SITES];
};

static const struct function *table;
static long functions;
static unsigned long base;
static const char *library;
static int tests, to_child[2], from_child[2];
static pid_t child;
static unsigned int seed;

static void check(bool good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
}

/* --- the child: calls --- */

static long expected[256];
static volatile bool enough;
static long wrong[THREADS], rounds[THREADS];

static long call(long i)
{
	return table[i].call(CALLS, seed + i);
}

static void *run(void *arg)
{
	long self = (long)arg;

	while (!enough) {
		for (long i = 0; i < functions; i++)
			wrong[self] += call(i) != expected[i];
		rounds[self]++;
	}
	return NULL;
}

static pthread_t threads[THREADS];

static long start(void)
{
	enough = false;
	memset(wrong, 0, sizeof(wrong));
	memset(rounds, 0, sizeof(rounds));
	for (long i = 0; i < functions; i++)
		expected[i] = call(i);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, run, (void *)i);
	return 0;
}

/* How many results were wrong; all if a thread has done nothing. */
static long stop(void)
{
	long n = 0;

	enough = true;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		n += rounds[i] ? wrong[i] : 1000000;
	}
	return n;
}

/* Bytes of the functions that are not those of the file. */
static long changed(void)
{
	FILE *f = fopen(library, "re");
	long n = 0;

	for (long i = 0; f && i < functions; i++) {
		unsigned long from = table[i].site[0], to = table[i].site[table[i].sites - 1] + 8;

		if (fseek(f, from - base, SEEK_SET))
			n++;
		for (; from < to; from++)
			n += fgetc(f) != *(unsigned char *)from;
	}
	if (f)
		fclose(f);
	return f ? n : -1;
}

static void serve(void)
{
	struct {
		char what;
		long i;
	} c;
	long answer;

	while (read(to_child[0], &c, sizeof(c)) == sizeof(c)) {
		answer = c.what == 'c'	 ? call(c.i)
			 : c.what == 's' ? start()
			 : c.what == 'e' ? stop()
					 : changed();
		if (write(from_child[1], &answer, sizeof(answer)) != sizeof(answer))
			break;
	}
	_exit(5);
}

static long ask(char what, long i)
{
	struct {
		char what;
		long i;
	} c = {what, i};
	long answer = -1;

	if (write(to_child[1], &c, sizeof(c)) != sizeof(c) ||
	    read(from_child[0], &answer, sizeof(answer)) != sizeof(answer))
		return -1;
	return answer;
}

/* --- probes --- */

/* bpf(2) as it is since 6.6, which this libbpf does not know */
static int multi(int prog, const unsigned long *offsets, const unsigned long long *cookies, int n)
{
	struct {
		__u32 prog_fd, target_fd, attach_type, flags;
		__u64 path, offsets, ref_ctr_offsets, cookies;
		__u32 cnt, multi_flags, pid;
	} attr = {.prog_fd = prog,
		  .attach_type = 48,
		  .path = (__u64)library,
		  .offsets = (__u64)offsets,
		  .cookies = (__u64)cookies,
		  .cnt = n,
		  .pid = child};

	return syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
}

/* The sites of a group that @keep says, by number. */
static int attach(int prog, long first, unsigned long keep)
{
	unsigned long offsets[GROUP * SITES];
	unsigned long long cookies[GROUP * SITES];
	int n = 0;

	for (long f = 0; f < GROUP && first + f < functions; f++)
		for (long k = 0; k < table[first + f].sites; k++) {
			if (!(keep >> (f * SITES + k) & 1))
				continue;
			offsets[n] = table[first + f].site[k] - base;
			cookies[n++] = f * SITES + k;
		}
	return n ? multi(prog, offsets, cookies, n) : -1;
}

static void model(long i, unsigned long long *counts)
{
	unsigned int r = seed + i;
	long at = 0, sites = table[i].sites;

	for (long n = 0; n < CALLS; n++) {
		for (long k = at; k < sites; k++)
			counts[k]++;
		r = r * 69069 + 12345;
		at = (r >> 16) % sites;
	}
}

static bool counted(int hits, long first)
{
	bool good = true;

	for (long f = 0; f < GROUP && first + f < functions; f++) {
		unsigned long long want[SITES] = {0};

		model(first + f, want);
		for (int k = 0; k < table[first + f].sites; k++) {
			unsigned long long v = 0;
			int key = f * SITES + k;

			bpf_map_lookup_elem(hits, &key, &v);
			if (v == want[k])
				continue;
			printf("# function %ld, instruction %d: %llu hits, wanted %llu\n",
			       first + f, k, v, want[k]);
			good = false;
		}
	}
	return good;
}

static void exact(int prog, int hits, const long *want)
{
	bool attached = true, same = true, right = true;

	for (long first = 0; first < functions; first += GROUP) {
		unsigned long long zero = 0;
		int fd;

		for (int key = 0; key < GROUP * SITES; key++)
			bpf_map_update_elem(hits, &key, &zero, 0);
		fd = attach(prog, first, ~0ul);
		attached &= fd >= 0;
		for (long f = first; f < first + GROUP && f < functions; f++)
			same &= ask('c', f) == want[f];
		right &= counted(hits, first);
		close(fd);
	}
	check(attached, "every instruction of every function is probed");
	check(same, "the functions compute the same");
	check(right, "every instruction is hit as often as the model says");
}

static void toggles(int prog)
{
	int attached = 0;

	ask('s', 0);
	for (int i = 0; i < TOGGLES; i++) {
		unsigned long keep = (unsigned long)rand_r(&seed) << 33 ^
				     (unsigned long)rand_r(&seed) << 11 ^ rand_r(&seed);
		int fd = attach(prog, rand_r(&seed) % functions / GROUP * GROUP, keep | 1);

		attached += fd >= 0;
		close(fd);
	}
	check(attached == TOGGLES, "probes come and go under running threads");
	check(ask('e', 0) == 0, "which compute nothing wrong");
}

static int find_base(struct dl_phdr_info *info, size_t size, void *name)
{
	if (strcmp(info->dlpi_name, name))
		return 0;
	base = info->dlpi_addr;
	return 1;
}

static bool set_up(const char *path)
{
	void *so = dlopen(path, RTLD_NOW);

	library = path;
	if (!so || pipe(to_child) || pipe(from_child))
		return false;
	table = dlsym(so, "gen_table");
	functions = *(long *)dlsym(so, "gen_count");
	dl_iterate_phdr(find_base, (void *)path);
	child = fork();
	if (!child) {
		close(to_child[1]);
		close(from_child[0]);
		serve();
	}
	close(to_child[0]);
	close(from_child[1]);
	signal(SIGPIPE, SIG_IGN); /* a child that is no more is a test that fails */
	return base && functions <= 256;
}

int main(int argc, char **argv)
{
	static long want[256];
	struct bpf_object *obj;
	int prog, hits, status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4)
		return 99;
	seed = strtoul(argv[3], NULL, 10);
	obj = bpf_object__open(argv[1]);
	if (obj) /* BPF_TRACE_UPROBE_MULTI */
		bpf_program__set_expected_attach_type(
			bpf_object__find_program_by_name(obj, "at_offset"), 48);
	if (!set_up(argv[2]) || !obj || bpf_object__load(obj)) {
		printf("Bail out! %s or %s can't be loaded\n", argv[1], argv[2]);
		return 99;
	}
	printf("1..10\n# seed %u\n", seed);
	prog = bpf_program__fd(bpf_object__find_program_by_name(obj, "at_offset"));
	hits = bpf_object__find_map_fd_by_name(obj, "hits");
	for (long i = 0; i < functions; i++)
		want[i] = ask('c', i);
	exact(prog, hits, want);
	toggles(prog);
	seed = strtoul(argv[3], NULL, 10);
	exact(prog, hits, want);
	check(ask('b', 0) == 0, "every byte is as before");
	close(to_child[1]);
	waitpid(child, &status, 0);
	printf("# the child's status is %#x\n", status);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 5, "the child ends well");
	return 0;
}
