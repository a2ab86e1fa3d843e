// SPDX-License-Identifier: BSD-2-Clause
/*
 * Locks in map values as a libbpf program sees them: what the copies of bpf(2) show and leave out,
 * BPF_F_LOCK, and what is refused. `locks OBJECT` is the same on the kernel. `locks watch` reads
 * the maps of somebody else's session until its input ends: "reads N torn M".
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct pair {
	__u32 spare;
	__u32 lock;
	__u64 a, b;
};

static int tests, failed;

static void is(const char *what, long got, long want)
{
	failed |= got != want;
	printf("%s %d - %s\n", got == want ? "ok" : "not ok", ++tests, what);
	if (got != want)
		printf("#   got %ld, want %ld\n", got, want);
}

static int run(struct bpf_object *obj)
{
	unsigned char frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 1000);
	int fd = bpf_program__fd(bpf_object__find_program_by_name(obj, "in_kernel"));

	return bpf_prog_test_run_opts(fd, &o) ?: (int)o.retval;
}

static void elements(int fd, const void *key, __u64 sum)
{
	struct pair in = {1, ~0u, 100, 100}, out = {0};

	memset(&out, 0xff, sizeof(out));
	is("lookup", bpf_map_lookup_elem(fd, key, &out), 0);
	is("both were added to", out.a == sum && out.b == sum, 1);
	is("the lock is not shown", out.lock, 0);
	is("update leaves the lock alone", bpf_map_update_elem(fd, key, &in, BPF_EXIST), 0);
	is("with BPF_F_LOCK", bpf_map_update_elem(fd, key, &in, BPF_F_LOCK | BPF_EXIST), 0);
	is("lookup with it", bpf_map_lookup_elem_flags(fd, key, &out, BPF_F_LOCK), 0);
	is("what was written", out.spare == 1 && out.a == 100 && out.lock == 0, 1);
	is("flags that aren't", bpf_map_update_elem(fd, key, &in, 8 | BPF_F_LOCK), -EINVAL);
	is("not new", bpf_map_update_elem(fd, key, &in, BPF_NOEXIST | BPF_F_LOCK), -EEXIST);
}

static int plain_map(__u32 flags, __u32 type, int btf, __u32 key_type, __u32 value_type)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .btf_fd = (__u32)btf, .btf_key_type_id = key_type,
		    .btf_value_type_id = value_type, .map_flags = flags);

	return bpf_map_create(type, "plain", 4, sizeof(struct pair), 4, &o);
}

static void refusals(const struct btf *btf)
{
	__u32 value = (__u32)btf__find_by_name_kind(btf, "pair", BTF_KIND_STRUCT);
	__u32 key = (__u32)btf__find_by_name_kind(btf, "unsigned int", BTF_KIND_INT);
	int fd = btf__fd(btf);
	int plain = plain_map(0, BPF_MAP_TYPE_ARRAY, 0, 0, 0);
	struct pair v = {0};
	__u32 zero = 0;

	is("a map without locks", bpf_map_update_elem(plain, &zero, &v, BPF_F_LOCK), -EINVAL);
	is("nor to read", bpf_map_lookup_elem_flags(plain, &zero, &v, BPF_F_LOCK), -EINVAL);
	close(plain);
	is("none in LRU tables", plain_map(0, BPF_MAP_TYPE_LRU_HASH, fd, key, value), -EOPNOTSUPP);
	is("nor per CPU", plain_map(0, BPF_MAP_TYPE_PERCPU_ARRAY, fd, key, value), -EOPNOTSUPP);
	is("nor where programs can't write",
	   plain_map(BPF_F_RDONLY_PROG, BPF_MAP_TYPE_ARRAY, fd, key, value), -EACCES);
}

static int open_map(const char *name)
{
	struct bpf_map_info info;
	__u32 id = 0, len = sizeof(info);

	while (!bpf_map_get_next_id(id, &id)) {
		int fd = bpf_map_get_fd_by_id(id);

		memset(&info, 0, sizeof(info));
		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) && !strcmp(info.name, name))
			return fd;
		close(fd);
	}
	return -1;
}

static int watch(void)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};
	int fds[2] = {open_map("pairs"), open_map("table")};
	unsigned long reads = 0, torn = 0, busy = 0;
	__u64 key = 7;
	__u32 zero = 0;

	if (fds[0] < 0 || fds[1] < 0)
		return 2;
	puts("ready");
	fflush(stdout);
	while (!poll(&in, 1, 0)) {
		for (int i = 0; i < 2; i++) {
			struct pair p;
			void *k = i ? (void *)&key : (void *)&zero;
			int err = bpf_map_lookup_elem_flags(fds[i], k, &p, BPF_F_LOCK);

			busy += err == -EBUSY;
			reads += !err;
			torn += !err && p.a != p.b;
		}
	}
	printf("reads %lu torn %lu busy %lu\n", reads, torn, busy);
	return 0;
}

int main(int argc, char **argv)
{
	struct bpf_object *obj;
	__u64 seven = 7;
	__u32 zero = 0;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (argc == 2 && !strcmp(argv[1], "watch"))
		return watch();
	obj = argc == 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	if (!obj)
		return 2;
	/* what the kernel does not take */
	bpf_program__set_autoload(bpf_object__find_program_by_name(obj, "on_work"), false);
	bpf_program__set_autoload(bpf_object__find_program_by_name(obj, "in_kernel"), true);
	if (bpf_object__load(obj))
		return 2;
	is("a program that locks", run(obj), 0);
	elements(bpf_map__fd(bpf_object__find_map_by_name(obj, "pairs")), &zero, 1000);
	elements(bpf_map__fd(bpf_object__find_map_by_name(obj, "table")), &seven, 1000);
	refusals(bpf_object__btf(obj));
	bpf_object__close(obj);
	printf("1..%d\n", tests);
	return failed;
}
