// SPDX-License-Identifier: BSD-2-Clause
/*
 * Timers as a libbpf program sees them: results of the helpers, what is called and how often, what
 * is not. `timers OBJECT` is the same on the kernel. `timers OBJECT PID` starts them from a probe
 * in that process, which is told to come by on standard output.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
	__u64 calls;
	__u64 timer[2];
	__u64 key_seen;
};

struct results {
	__s64 init, again, unset, set, start, flags, cancel, idle, none, gone;
};

static int tests, failed;

static void is(const char *what, long long got, long long want)
{
	failed |= got != want;
	printf("%s %d - %s\n", got == want ? "ok" : "not ok", ++tests, what);
	if (got != want)
		printf("#   got %lld, want %lld\n", got, want);
}

static struct bpf_program *prog(struct bpf_object *obj, const char *name)
{
	return bpf_object__find_program_by_name(obj, name);
}

static int map(struct bpf_object *obj, const char *name)
{
	return bpf_map__fd(bpf_object__find_map_by_name(obj, name));
}

static int start(struct bpf_object *obj, pid_t pid)
{
	unsigned char frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 1);
	char line[64];

	if (!pid)
		return bpf_prog_test_run_opts(bpf_program__fd(prog(obj, "in_kernel")), &o)
			       ?: (int)o.retval;
	fprintf(stderr, "attached\n");
	/* somebody makes it come by, then says so */
	return fgets(line, sizeof(line), stdin) ? 0 : 1;
}

/* At most ten seconds: what is waited for happens in another process. */
static __u64 calls_of(int fd, const void *key, __u64 want)
{
	struct entry e = {0};

	for (int i = 0; i < 1000; i++) {
		if (!bpf_map_lookup_elem(fd, key, &e) && e.calls >= want)
			break;
		usleep(10000);
	}
	return e.calls;
}

static void judge_results(const struct results *r)
{
	is("not before it is initialised", r->none, -EINVAL);
	is("init", r->init, 0);
	is("once", r->again, -EBUSY);
	is("start without a callback", r->unset, -EINVAL);
	is("set_callback", r->set, 0);
	is("flags that aren't", r->flags, -EINVAL);
	is("start", r->start, 0);
	is("cancel says that it ran", r->cancel, 1);
	is("a cancelled one does not", r->idle, 0);
	is("delete", r->gone, 0);
}

static void judge_calls(int array, int table)
{
	__u32 index[] = {0, 1, 2};
	__u64 key[] = {7, 8};
	struct entry e;

	is("one runs again and again", calls_of(array, &index[1], 5), 5);
	is("one runs once", calls_of(array, &index[0], 1), 1);
	is("of a hash", calls_of(table, &key[0], 1), 1);
	bpf_map_lookup_elem(array, &index[1], &e);
	is("it gets its key", e.key_seen, 1);
	is("a copy shows no timer", e.timer[0] | e.timer[1], 0);
	bpf_map_lookup_elem(table, &key[0], &e);
	is("of a hash, too", e.key_seen, 7);
	bpf_map_lookup_elem(array, &index[2], &e);
	is("a cancelled one never runs", e.calls, 0);
	is("nor one whose element went", bpf_map_lookup_elem(table, &key[1], &e), -ENOENT);
}

int main(int argc, char **argv)
{
	pid_t pid = argc == 3 ? atoi(argv[2]) : 0;
	struct bpf_object *obj = argc >= 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_link *link = NULL;
	struct results r;
	__u32 zero = 0;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (!obj)
		return 2;
	/* what the kernel does not take */
	bpf_program__set_autoload(prog(obj, "on_work"), pid);
	bpf_program__set_autoload(prog(obj, "in_kernel"), !pid);
	if (bpf_object__load(obj))
		return 2;
	if (pid) {
		LIBBPF_OPTS(bpf_uprobe_opts, o, .func_name = "work");
		char exe[64];

		snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
		link = bpf_program__attach_uprobe_opts(prog(obj, "on_work"), pid, exe, 0, &o);
		if (!link)
			return 2;
	}
	is("it starts them", start(obj, pid), 0);
	bpf_map_lookup_elem(map(obj, ".bss"), &zero, &r);
	judge_results(&r);
	judge_calls(map(obj, "array"), map(obj, "table"));
	bpf_link__destroy(link);
	bpf_object__close(obj);
	return failed;
}
