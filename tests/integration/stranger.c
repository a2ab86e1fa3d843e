// SPDX-License-Identifier: BSD-2-Clause
/*
 * A libbpf program that knows nothing of ebpfrt and uses what libbpf and bpf(2) offer for uprobes:
 *attach by process ID, cookies, perf_buffer, tail calls, links updated, pinned and found again by
 *ID, uprobe_multi, statistics. It traces a child of its own, which calls work() when told. Prints
 *TAP.
 *
 *	stranger OBJECT [kernel]
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define TESTS 40

struct sample {
	unsigned long long arg;
	unsigned int pid, cpu;
};

struct data {
	unsigned long long hits, cookies, other_hits, returned;
};

static int tests, to_child[2], from_child[2];
static pid_t child;
static volatile struct data *data;
static struct bpf_object *obj;
static unsigned long long sum_of_samples, lost_samples;
static unsigned int sample_count, sample_pid;

__attribute__((noinline, noclone)) long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n + 2;
}

static void check(int good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
}

static void serve(void)
{
	long n, sum;

	while (read(to_child[0], &n, sizeof(n)) == sizeof(n)) {
		sum = 0;
		for (long i = 1; i <= n; i++)
			sum += work(i);
		if (write(from_child[1], &sum, sizeof(sum)) != sizeof(sum))
			break;
	}
	_exit(5);
}

/* The child calls work(1) to work(@n); right results? */
static int calls(long n)
{
	long sum = -1;

	if (write(to_child[1], &n, sizeof(n)) != sizeof(n) ||
	    read(from_child[0], &sum, sizeof(sum)) != sizeof(sum))
		return 0;
	return sum == n * (n + 1) / 2 + 2 * n;
}

static struct bpf_program *prog(const char *name)
{
	return bpf_object__find_program_by_name(obj, name);
}

static struct bpf_link *attach(const char *name, int ret, unsigned long long cookie)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "work", .retprobe = ret,
		    .bpf_cookie = cookie);

	return bpf_program__attach_uprobe_opts(prog(name), child, "/proc/self/exe", 0, &opts);
}

static void on_sample(void *ctx, int cpu, void *d, __u32 size)
{
	const struct sample *s = d;

	if (size < sizeof(*s))
		return;
	sum_of_samples += s->arg;
	sample_pid = s->pid;
	sample_count++;
}

static void on_lost(void *ctx, int cpu, __u64 n)
{
	lost_samples += n;
}

/*
 * @rounds times @n calls on every processor that the child may run on: each has a ring of its own.
 * Returns how often it was told to, with right results.
 */
static unsigned int calls_everywhere(int rounds, long n)
{
	unsigned int told = 0;
	cpu_set_t all, one;

	if (sched_getaffinity(child, sizeof(all), &all))
		return 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (!CPU_ISSET(cpu, &all) || sched_setaffinity(child, sizeof(one), &one))
			continue;
		for (int i = 0; i < rounds; i++)
			told += calls(n);
	}
	sched_setaffinity(child, sizeof(all), &all);
	return told;
}

static void consume(struct perf_buffer *pb)
{
	while (pb && perf_buffer__poll(pb, 0) > 0)
		;
}

static void test_perf_buffer(void)
{
	unsigned long long sent;

	struct perf_buffer *pb = perf_buffer__new(bpf_object__find_map_fd_by_name(obj, "samples"),
						  8, on_sample, on_lost, NULL, NULL);
	struct bpf_link *link = attach("on_hit", 0, 7);

	check(pb != NULL, "perf_buffer__new");
	check(link != NULL, "attach by process ID, with a cookie");
	check(calls(50), "the child computes what it should");
	check(data->hits == 50, "every call was a hit");
	check(data->cookies == 350, "every hit had its cookie");
	for (int i = 0; pb && i < 100 && sample_count < 50; i++)
		perf_buffer__poll(pb, 100);
	check(sample_count == 50 && sum_of_samples == 1275 && !lost_samples,
	      "perf_buffer delivers every sample");
	check((pid_t)sample_pid == child, "samples name the process");
	sent = 50 + 50 * calls_everywhere(40, 50);
	consume(pb);
	check(lost_samples == 0 && sample_count < sent, "what does not fit is not delivered");
	/* a record of what was lost comes with the next sample that fits on that processor */
	sent += calls_everywhere(1, 1);
	consume(pb);
	if (sample_count + lost_samples != sent)
		printf("# %u delivered, %llu lost, %llu sent\n", sample_count, lost_samples, sent);
	check(sample_count + lost_samples == sent,
	      "what did not fit is counted as lost, nothing else");
	bpf_link__destroy(link);
	perf_buffer__free(pb);
}

static void test_links(void)
{
	struct bpf_link *link = attach("on_hit", 0, 1);
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info), id = 0;
	int fd;

	data->hits = data->other_hits = 0;
	check(link && !bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &len) && info.type == 7,
	      "a link says what it is");
	check(!bpf_link_get_next_id(0, &id) && id == info.id, "and is found by its ID");
	fd = bpf_link_get_fd_by_id(id);
	check(fd >= 0, "a second descriptor");
	bpf_link__destroy(link);
	check(calls(3) && data->hits == 3, "keeps it attached");
	if (fd >= 0)
		close(fd);
	check(calls(3) && data->hits == 3, "the last one detaches");
}

static void test_return_and_tail_call(void)
{
	__u32 slot = 1;
	int target = bpf_program__fd(prog("on_other"));
	struct bpf_link *link, *ret;

	data->hits = data->other_hits = data->returned = 0;
	bpf_map_update_elem(bpf_object__find_map_fd_by_name(obj, "jumps"), &slot, &target, 0);
	link = attach("on_jump", 0, 0);
	ret = attach("on_return", 1, 0);
	check(link && ret && calls(4), "two programs on one function");
	check(data->other_hits == 10 && data->hits == 0, "tail call");
	check(data->returned == 18, "return values");
	bpf_map_delete_elem(bpf_object__find_map_fd_by_name(obj, "jumps"), &slot);
	check(calls(4) && data->hits == 4000000 && data->other_hits == 10,
	      "an empty slot falls through");
	target = bpf_program__fd(prog("instead_of_hit"));
	bpf_map_update_elem(bpf_object__find_map_fd_by_name(obj, "jumps"), &slot, &target, 0);
	check(calls(4) && data->hits == 4000000 && data->other_hits == 14,
	      "a program that is new there runs at once");
	bpf_link__destroy(link);
	bpf_link__destroy(ret);
}

/* bpf(2) as it is since 6.6, which this libbpf does not know */
static int multi(unsigned long offset, unsigned long long cookie)
{
	const char *path = "/proc/self/exe";
	struct {
		__u32 prog_fd, target_fd, attach_type, flags;
		__u64 path, offsets, ref_ctr_offsets, cookies;
		__u32 cnt, multi_flags, pid;
	} attr = {.prog_fd = bpf_program__fd(prog("on_multi")),
		  .attach_type = 48,
		  .path = (__u64)path,
		  .offsets = (__u64)&offset,
		  .cookies = (__u64)&cookie,
		  .cnt = 1,
		  .pid = child};

	return syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
}

static unsigned long work_offset(void)
{
	extern char __executable_start;

	return (unsigned long)work - (unsigned long)&__executable_start;
}

static void test_stats_and_bind(void)
{
	int map = bpf_object__find_map_fd_by_name(obj, "bound"),
	    stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);
	struct bpf_link *link = attach("on_other", 0, 0);

	check(calls(100), "run under statistics");
	check(!bpf_obj_get_info_by_fd(bpf_program__fd(prog("on_other")), &info, &len) &&
		      info.run_cnt >= 100 && info.run_time_ns > 0,
	      "run_cnt and run_time_ns");
	check(!bpf_prog_bind_map(bpf_program__fd(prog("on_other")), map, NULL),
	      "a map is bound to a program");
	if (stats >= 0)
		close(stats);
	bpf_link__destroy(link);
}

static void test_multi(void)
{
	int fd;

	data->hits = data->cookies = 0;
	fd = multi(work_offset(), 11);
	check(fd >= 0 && calls(6) && data->hits == 6 && data->cookies == 66, "uprobe_multi");
	if (fd >= 0)
		close(fd);
}

static int prog_fd(const char *name)
{
	return bpf_program__fd(prog(name));
}

/* The child calls work() many times; meanwhile the link has now this program, now that. */
static void replace_while_hit(int link, const char *one, const char *other, const char *kind)
{
	const int fds[2] = {prog_fd(one), prog_fd(other)};
	LIBBPF_OPTS(bpf_link_update_opts, opts, .flags = BPF_F_REPLACE);
	struct pollfd p = {.fd = from_child[0], .events = POLLIN};
	long n = 100000, sum, wrong = 0, rounds = 0;
	int failed = 0, updates = 0;

	data->hits = data->other_hits = 0;
	/* as often as it takes until both have been hit: a hit of a jump is quick */
	while (!failed && rounds < 1000 && !(updates > 1 && data->hits && data->other_hits)) {
		rounds++;
		if (write(to_child[1], &n, sizeof(n)) != sizeof(n))
			return;
		while (!failed && !poll(&p, 1, 0)) {
			opts.old_prog_fd = fds[updates % 2];
			failed = bpf_link_update(link, fds[++updates % 2], &opts);
		}
		if (read(from_child[0], &sum, sizeof(sum)) != sizeof(sum))
			sum = -1;
		wrong += sum != n * (n + 1) / 2 + 2 * n;
	}
	check(!failed && updates > 1 && data->hits && data->other_hits, kind);
	check(!wrong && data->hits + data->other_hits == (unsigned long long)(n * rounds),
	      "every hit ran the one or the other");
	if (updates % 2)
		bpf_link_update(link, fds[0], NULL);
}

static void take_off(int link, const char *kind)
{
	data->hits = data->other_hits = 0;
	check(!bpf_link_detach(link) && calls(5) && !data->hits, kind);
	check(bpf_link_update(link, prog_fd("on_hit"), NULL) < 0,
	      "nothing can be put there any more");
}

static void test_updates(void)
{
	struct bpf_link *link = attach("on_hit", 0, 1);
	int fd;

	check(link && bpf_link_update(bpf_link__fd(link), prog_fd("on_multi"), NULL),
	      "a program of another kind is refused");
	replace_while_hit(bpf_link__fd(link), "on_hit", "instead_of_hit",
			  "the program of a perf link is replaced");
	take_off(bpf_link__fd(link), "a perf link is detached");
	fd = multi(work_offset(), 1);
	replace_while_hit(fd, "on_multi", "instead_of_multi",
			  "the program of a multi link is replaced");
	take_off(fd, "a multi link is detached");
	bpf_link__destroy(link);
	close(fd);
}

static void test_pin(void)
{
	struct bpf_link *link = attach("on_hit", 0, 1);
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/bpf/stranger_%d", getpid());
	data->hits = 0;
	check(link && !bpf_link__pin(link, path), "a link is pinned");
	bpf_link__destroy(link);
	check(calls(3) && data->hits == 3, "and stays attached without a descriptor");
	fd = bpf_obj_get(path);
	check(fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) && info.id,
	      "it is had back by its name");
	check(!unlink(path) && calls(3) && data->hits == 6, "and lives on as a descriptor");
	close(fd);
	check(calls(3) && data->hits == 6, "which was the last");
}

typedef int next_fn(__u32 start, __u32 *next);

/* Is @id among those that there are? */
static int listed(next_fn *next, __u32 id)
{
	__u32 i = 0;

	while (!next(i, &i))
		if (i == id)
			return 1;
	return 0;
}

static void test_ids(void)
{
	struct bpf_prog_info prog_info = {0}, other = {0};
	struct bpf_map_info map_info = {0};
	struct bpf_btf_info btf_info = {0};
	__u32 len = sizeof(prog_info);
	int fd;

	bpf_obj_get_info_by_fd(prog_fd("on_hit"), &prog_info, &len);
	fd = bpf_prog_get_fd_by_id(prog_info.id);
	len = sizeof(other);
	check(listed(bpf_prog_get_next_id, prog_info.id) &&
		      !bpf_obj_get_info_by_fd(fd, &other, &len) &&
		      !memcmp(prog_info.tag, other.tag, 8) && !strcmp(other.name, "on_hit"),
	      "a program is found by its ID");
	close(fd);
	len = sizeof(map_info);
	bpf_obj_get_info_by_fd(bpf_object__find_map_fd_by_name(obj, "bound"), &map_info, &len);
	fd = bpf_map_get_fd_by_id(map_info.id);
	check(listed(bpf_map_get_next_id, map_info.id) && fd >= 0, "a map");
	close(fd);
	fd = bpf_btf_get_fd_by_id(prog_info.btf_id);
	len = sizeof(btf_info);
	check(listed(bpf_btf_get_next_id, prog_info.btf_id) &&
		      !bpf_obj_get_info_by_fd(fd, &btf_info, &len) &&
		      btf_info.id == prog_info.btf_id && btf_info.btf_size > 24,
	      "its BTF");
	close(fd);
}

int main(int argc, char **argv)
{
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%d\n", TESTS);
	if (argc < 2 || pipe(to_child) || pipe(from_child))
		return 99;
	child = fork();
	if (!child) {
		close(to_child[1]);
		close(from_child[0]);
		serve();
	}
	close(to_child[0]);
	close(from_child[1]);
	signal(SIGPIPE, SIG_IGN); /* a child that is no more is a test that fails */
	obj = bpf_object__open(argv[1]);
	if (obj) { /* BPF_TRACE_UPROBE_MULTI */
		bpf_program__set_expected_attach_type(prog("on_multi"), 48);
		bpf_program__set_expected_attach_type(prog("instead_of_multi"), 48);
	}
	if (!obj || bpf_object__load(obj)) {
		printf("Bail out! %s can't be loaded\n", argv[1]);
		return 99;
	}
	data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
		    bpf_object__find_map_fd_by_name(obj, ".bss"), 0);
	if (data == MAP_FAILED) {
		printf("Bail out! global data can't be mapped\n");
		return 99;
	}
	test_perf_buffer();
	test_links();
	test_return_and_tail_call();
	test_stats_and_bind();
	test_multi();
	test_ids();
	test_pin();
	if (argc < 3) /* the kernel has neither for these links */
		test_updates();
	close(to_child[1]);
	waitpid(child, &status, 0);
	printf("# %d tests, the child's status is %#x\n", tests, status);
	return tests == TESTS && WIFEXITED(status) && WEXITSTATUS(status) == 5 ? 0 : 1;
}
