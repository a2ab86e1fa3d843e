// SPDX-License-Identifier: BSD-2-Clause
/*
 * Every helper in a real program in a real target, and global data as a libbpf program uses it:
 *constants set before the load, initial values, results read from memory that is mapped. The target
 *is a child, which calls hello() when told and has a SIGSEGV handler of its own, which nobody may
 *disturb. Prints TAP.
 *
 *	helpers OBJECT [kernel]
 *
 * With "kernel" it leaves out what the kernel does not offer at uprobes, and can be run as root
 *without ebpfrt.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helpers.h"

#define TESTS 68

static int tests, to_child[2], from_child[2];
static pid_t child;
static struct bpf_object *obj;
static volatile int faults;

__attribute__((noinline, noclone)) long hello(const char *name)
{
	__asm__ volatile("" ::: "memory");
	return 7 * (long)strlen(name);
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

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	faults++;
}

static void serve(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, now;
	long answer[2];
	char c;

	sigaction(SIGSEGV, &sa, NULL);
	while (read(to_child[0], &c, 1) == 1) {
		answer[0] = hello("hello");
		raise(SIGSEGV);
		sigaction(SIGSEGV, NULL, &now);
		answer[1] =
			faults == 1 && now.sa_sigaction == on_fault && now.sa_flags & SA_SIGINFO;
		if (write(from_child[1], answer, sizeof(answer)) != sizeof(answer))
			break;
	}
	_exit(5);
}

static struct bpf_program *prog(const char *name)
{
	return bpf_object__find_program_by_name(obj, name);
}

static struct bpf_map *map(const char *name)
{
	return bpf_object__find_map_by_name(obj, name);
}

static int attach(const char *name, int ret, unsigned long long cookie)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .func_name = "hello", .retprobe = ret,
		    .bpf_cookie = cookie);

	return !!bpf_program__attach_uprobe_opts(prog(name), child, "/proc/self/exe", 0, &opts);
}

static void on_sample(void *ctx, int cpu, void *d, __u32 size)
{
	if (size >= 8 && *(unsigned long long *)d == 5)
		++*(int *)ctx;
}

static int on_record(void *ctx, void *d, size_t size)
{
	*(unsigned long long *)ctx = *(unsigned long long *)ctx * 10 + *(unsigned long long *)d;
	return 0;
}

/* --- judging -------------------------------------------------------------------------------- */

static void judge_maps(const struct results *r)
{
	check(r->map_missing, "map_lookup_elem: a missing key");
	is(r->map_update_exist, -ENOENT, "map_update_elem: BPF_EXIST without one");
	is(r->map_update, 0, "map_update_elem");
	is(r->map_update_noexist, -EEXIST, "map_update_elem: BPF_NOEXIST with one");
	is(r->map_value, 70, "map_lookup_elem");
	is(r->map_delete, 0, "map_delete_elem");
	is(r->map_delete_again, -ENOENT, "map_delete_elem: a missing key");
	check(r->each_ret == 2 && r->each_calls == 2 && r->each_keys == 15, "for_each_map_elem");
}

static void judge_memory(const struct results *r, int kernel)
{
	is(r->read, 0, "probe_read");
	is(r->read_user, 0, "probe_read_user");
	is(r->read_kernel, 0, "probe_read_kernel");
	if (!kernel)
		check(r->read_str == 4 && !strcmp(r->read_text, "abc"), "probe_read_str");
	check(r->read_user_str == 6 && !strcmp(r->read_user_text, "hello"), "probe_read_user_str");
	check(r->read_kernel_str == 4 && !strcmp(r->read_kernel_text, "abc"),
	      "probe_read_kernel_str");
	check(r->str_cut == 3 && !strcmp(r->str_cut_text, "he"),
	      "probe_read_user_str: cut, with its NUL");
	check(r->copy == 0 && !memcmp(r->copy_text, "hell", 4), "copy_from_user");
	check(r->read_null == -EFAULT && !r->zeroed,
	      "probe_read_user: NULL; the destination is zeroed");
	is(r->read_wrong, -EFAULT, "probe_read_user: a wrong address");
	is(r->read_kernel_wrong, -EFAULT, "probe_read_user: an address of the kernel");
	is(r->read_nowhere, kernel ? r->read_nowhere : -EFAULT,
	   "probe_read_kernel: an address that can't be");
	is(r->read_str_wrong, -EFAULT, "probe_read_user_str: a wrong address");
	is(r->copy_wrong, -EFAULT, "copy_from_user: a wrong address");
}

static unsigned long long now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static int advances(const unsigned long long t[2], clockid_t clock)
{
	unsigned long long n = now(clock);

	return t[0] <= t[1] && t[1] <= n && n - t[1] < 10000000000ull;
}

/* Ticks of the kernel's timer, from 300 s before 32 bits overflow: within some seconds. */
static int ticks(const unsigned long long t[2])
{
	struct timespec res;
	long long hz, expected;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &res) || !res.tv_nsec)
		return 0;
	hz = (1000000000 + res.tv_nsec / 2) / res.tv_nsec;
	expected = (long long)(unsigned int)(-300 * hz) +
		   (long long)(now(CLOCK_MONOTONIC) / (unsigned long long)res.tv_nsec);
	return t[0] <= t[1] && llabs((long long)t[1] - expected) < 10 * hz;
}

static void judge_clocks(const struct results *r, int kernel)
{
	check(ticks(r->jiffies), "jiffies64 is the timer's ticks");
	check(advances(r->ktime, CLOCK_MONOTONIC), "ktime_get_ns is CLOCK_MONOTONIC");
	check(advances(r->boot, CLOCK_BOOTTIME), "ktime_get_boot_ns is CLOCK_BOOTTIME");
	check(kernel || advances(r->coarse, CLOCK_MONOTONIC),
	      "ktime_get_coarse_ns is CLOCK_MONOTONIC, coarse");
	check(advances(r->tai, CLOCK_TAI), "ktime_get_tai_ns is CLOCK_TAI");
}

/* The inode of our control group's directory is its id; 0: there is none to be seen. */
static unsigned long long cgroup_id(void)
{
	char line[512], path[600];
	FILE *f = fopen("/proc/self/cgroup", "r");
	unsigned long long id = 0;
	struct stat st;

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s", line + 3);
		if (!strncmp(line, "0::", 3) && !stat(path, &st))
			id = st.st_ino;
	}
	if (f)
		fclose(f);
	return id;
}

static void judge_who(const struct results *r)
{
	unsigned long long id = cgroup_id();

	is((long)r->pid_tgid, (long)child << 32 | child, "get_current_pid_tgid");
	is((long)r->uid_gid, (long)getgid() << 32 | getuid(), "get_current_uid_gid");
	check(r->comm_ret == 0 && !strcmp(r->comm, "helpers"), "get_current_comm");
	is((long)r->cgroup, id ? (long)id : (long)r->cgroup, "get_current_cgroup_id");
	check(r->cpu < (unsigned int)sysconf(_SC_NPROCESSORS_CONF), "get_smp_processor_id");
	check(r->node < 1024, "get_numa_node_id");
	check(r->random[0] != r->random[1] || r->random[1] != r->random[2] ||
		      r->random[2] != r->random[3],
	      "get_prandom_u32");
	check(r->ns_ret == 0 && r->ns_pid == child && r->ns_tgid == child,
	      "get_ns_current_pid_tgid");
	is(r->ns_wrong, -EINVAL, "get_ns_current_pid_tgid: another namespace");
}

static void judge_text(const struct results *r)
{
	check(r->printk > 0, "trace_printk");
	check(r->vprintk > 0, "trace_vprintk");
	check(r->snprintf == 13 && !strcmp(r->snprintf_text, "42 abc ff -1"), "snprintf");
	check(r->snprintf_cut == 13 && !strcmp(r->snprintf_short, "42 abc "), "snprintf: cut");
	check(r->strtol == 5 && r->strtol_value == -123, "strtol");
	is(r->strtol_none, -EINVAL, "strtol: no number");
	check(r->strtoul == 6 && r->strtoul_value == 0xfeed, "strtoul");
	check(r->cmp_equal == 0 && r->cmp_less < 0 && r->cmp_more > 0, "strncmp");
}

static void judge_rings(const struct results *r, struct ring_buffer *rb,
			const unsigned long long *records, struct perf_buffer *pb,
			const int *samples)
{
	ring_buffer__consume(rb);
	perf_buffer__consume(pb);
	is(r->ring_output, 0, "ringbuf_output");
	check(r->ring_reserved && *records == 56,
	      "ringbuf_reserve, _submit and _discard: two records arrive");
	check(r->ring_avail == 48 && r->ring_size == 4096, "ringbuf_query");
	check(r->ring_too_big, "ringbuf_reserve: too much");
	check(r->perf == 0 && *samples == 1, "perf_event_output: the sample arrives");
	is(r->perf_wrong_cpu, -E2BIG, "perf_event_output: no such CPU");
}

static void judge_hit(const struct results *r)
{
	unsigned long long ips[16] = {0};
	int id = (int)r->stack_id;

	check(!bpf_map_lookup_elem(bpf_map__fd(map("stacks")), &id, ips) && ips[0] == r->ip,
	      "get_stackid");
	check(r->stack_len >= 8 && r->stack_len <= (long)sizeof(ips) &&
		      !memcmp(r->stack, ips, r->stack_len),
	      "get_stack");
	check(r->cookie == 0x1234567890 && r->cookie_leave == 22, "get_attach_cookie");
	check(r->func_ip == (unsigned long)hello && r->ip == (unsigned long)hello,
	      "get_func_ip at the entry");
	is((long)r->func_ip_leave, (long)hello, "get_func_ip at the return");
	check(r->ret_leave == 35, "the value that is returned");
	check(r->loop == 100 && r->loop_sum == 4950 && r->loop_stopped == 6, "loop");
	check(r->enters == 1 && r->tail_called == 1 && r->tail_missed == 0, "tail_call");
}

/* --- the object ------------------------------------------------------------------------------ */

static void load(const char *path, int kernel)
{
	struct {
		unsigned long long dev, ino;
		char constant[8];
		unsigned int in_kernel;
	} * ro;
	struct stat st;
	size_t size;

	obj = bpf_object__open(path);
	if (!obj || stat("/proc/self/ns/pid", &st)) {
		printf("Bail out! %s can't be opened\n", path);
		exit(99);
	}
	ro = (void *)bpf_map__initial_value(map(".rodata"), &size);
	check(size >= sizeof(*ro) && ro->dev == 1 && ro->ino == 1 && !strcmp(ro->constant, "abc"),
	      "constants can be seen before the load");
	ro->dev = st.st_dev;
	ro->ino = st.st_ino;
	ro->in_kernel = kernel;
	bpf_program__set_autoload(prog("value_of_return"), !kernel);
	if (bpf_object__load(obj)) {
		printf("Bail out! %s can't be loaded\n", path);
		exit(99);
	}
}

/* What a skeleton does: the map's memory where its initial value was. */
static void *live(const char *name, int prot)
{
	size_t size;
	void *p = (void *)bpf_map__initial_value(map(name), &size);

	p = mmap(p, (size + 4095) & ~4095ul, prot, MAP_SHARED | MAP_FIXED, bpf_map__fd(map(name)),
		 0);
	return p == MAP_FAILED ? NULL : p;
}

static void judge_data(void)
{
	unsigned long long *data, *ro, value = 0;
	int key = 0;

	data = live(".data", PROT_READ | PROT_WRITE);
	check(data && *data == 4711, ".data has its initial value");
	*data = 4712;
	bpf_map_lookup_elem(bpf_map__fd(map(".data")), &key, &value);
	is((long)value, 4712, "what is written there is the map's value");
	ro = live(".rodata", PROT_READ);
	check(ro && ro[0] != 1, ".rodata has what was set");
	is(bpf_map_update_elem(bpf_map__fd(map(".rodata")), &key, ro, 0), -EPERM, "and is frozen");
}

int main(int argc, char **argv)
{
	int status, index = 0, fd, samples = 0, kernel = argc > 2;
	unsigned long long records = 0;
	struct perf_buffer *pb;
	struct ring_buffer *rb;
	struct results *r;
	long answer[2] = {0};

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (argc < 2 || pipe(to_child) || pipe(from_child))
		return 99;
	if (!kernel)
		printf("1..%d\n", TESTS);
	child = fork();
	if (!child) {
		close(to_child[1]);
		close(from_child[0]);
		serve();
	}
	close(to_child[0]);
	close(from_child[1]);
	load(argv[1], kernel);
	judge_data();
	fd = bpf_program__fd(prog("after_tail_call"));
	bpf_map_update_elem(bpf_map__fd(map("jumps")), &index, &fd, 0);
	pb = perf_buffer__new(bpf_map__fd(map("samples")), 8, on_sample, NULL, &samples, NULL);
	rb = ring_buffer__new(bpf_map__fd(map("ring")), on_record, &records, NULL);
	r = live(".bss", PROT_READ | PROT_WRITE);
	check(r && attach("enter", 0, 0x1234567890) && attach("sleeper", 0, 0) &&
		      attach("leave", 1, 22) && (kernel || attach("value_of_return", 1, 0)),
	      "attached");
	if (write(to_child[1], "x", 1) != 1 ||
	    read(from_child[0], answer, sizeof(answer)) != sizeof(answer))
		printf("# no answer from the child\n");
	is(answer[0], 35, "the function did what it does");
	check(answer[1], "the SIGSEGV handler is the child's, and ran for its own fault only");
	judge_maps(r);
	judge_memory(r, kernel);
	judge_clocks(r, kernel);
	judge_who(r);
	judge_text(r);
	judge_rings(r, rb, &records, pb, &samples);
	judge_hit(r);
	if (!kernel)
		is(r->retval, 35, "get_retval");
	close(to_child[1]);
	waitpid(child, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 5, "the child ends well");
	return 0;
}
