/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes many bpf(2) calls, right and wrong, and prints a line for each: what was asked and the
 * result. The lines hold nothing that differs from system to system, so that the answers of the
 * surface can be compared with those of a kernel.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#define PAGE 4096

static const char *pin_dir = "/sys/fs/bpf";

/* A result is 0 or -errno; positive results that mean something are printed by the caller. */
static long say(long ret, const char *fmt, ...)
{
	va_list ap;

	if (ret == -1)
		ret = -errno;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(": %ld\n", ret > 0 ? 0 : ret);
	return ret;
}

static const struct {
	__u32 type;
	const char *name;
	__u32 key, value, entries;
} types[] = {
	{BPF_MAP_TYPE_ARRAY, "array", 4, 8, 3},
	{BPF_MAP_TYPE_HASH, "hash", 4, 8, 3},
	{BPF_MAP_TYPE_PERCPU_ARRAY, "percpu_array", 4, 8, 3},
	{BPF_MAP_TYPE_PERCPU_HASH, "percpu_hash", 4, 8, 3},
	{BPF_MAP_TYPE_LRU_HASH, "lru_hash", 4, 8, 3},
	{BPF_MAP_TYPE_LRU_PERCPU_HASH, "lru_percpu_hash", 4, 8, 3},
	{BPF_MAP_TYPE_RINGBUF, "ringbuf", 0, 0, PAGE},
	{BPF_MAP_TYPE_USER_RINGBUF, "user_ringbuf", 0, 0, PAGE},
	{BPF_MAP_TYPE_QUEUE, "queue", 0, 8, 3},
	{BPF_MAP_TYPE_STACK, "stack", 0, 8, 3},
	/* so many that nothing is found by chance */
	{BPF_MAP_TYPE_BLOOM_FILTER, "bloom_filter", 0, 8, 4096},
	{BPF_MAP_TYPE_PERF_EVENT_ARRAY, "perf_event_array", 4, 4, 2},
	{BPF_MAP_TYPE_PROG_ARRAY, "prog_array", 4, 4, 2},
};
#define NTYPES (sizeof(types) / sizeof(types[0]))

static int is_ring(int t)
{
	return types[t].type == BPF_MAP_TYPE_RINGBUF || types[t].type == BPF_MAP_TYPE_USER_RINGBUF;
}

static int create(__u32 type, __u32 key, __u32 value, __u32 entries, __u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .map_flags = flags);
	int fd = bpf_map_create(type, "calls", key, value, entries, &o);

	return fd < 0 ? -errno : fd;
}

/* --- creating ------------------------------------------------------------------------------ */

static void try_create(int t, const char *what, __u32 key, __u32 value, __u32 entries, __u32 flags)
{
	int fd = create(types[t].type, key, value, entries, flags);

	say(fd, "create %s %s", types[t].name, what);
	if (fd >= 0)
		close(fd);
}

static void creations(int t)
{
	__u32 k = types[t].key, v = types[t].value, n = types[t].entries;

	try_create(t, "plain", k, v, n, 0);
	try_create(t, "no entries", k, v, 0, 0);
	try_create(t, "no key", 0, v, n, 0);
	try_create(t, "key 8", 8, v, n, 0);
	try_create(t, "no value", k, 0, n, 0);
	try_create(t, "value 3", k, 3, n, 0);
	if (types[t].type != BPF_MAP_TYPE_ARRAY) /* the memory of the machine would decide */
		try_create(t, "value huge", k, 1u << 30, n, 0);
	try_create(t, "key 513", 513, v, n, 0);
	try_create(t, "odd entries", k, v, n + 1, 0);
	try_create(t, "rdonly", k, v, n, BPF_F_RDONLY);
	try_create(t, "wronly", k, v, n, BPF_F_WRONLY);
	try_create(t, "rdonly and wronly", k, v, n, BPF_F_RDONLY | BPF_F_WRONLY);
	try_create(t, "rdonly_prog", k, v, n, BPF_F_RDONLY_PROG);
	try_create(t, "rdonly_prog and wronly_prog", k, v, n,
		   BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG);
	try_create(t, "mmapable", k, v, n, BPF_F_MMAPABLE);
	try_create(t, "no_prealloc", k, v, n, BPF_F_NO_PREALLOC);
	try_create(t, "no_common_lru", k, v, n, BPF_F_NO_COMMON_LRU);
	try_create(t, "zero_seed", k, v, n, BPF_F_ZERO_SEED);
	try_create(t, "inner_map", k, v, n, BPF_F_INNER_MAP);
	try_create(t, "flag 31", k, v, n, 1u << 31);
}

/* --- elements ------------------------------------------------------------------------------ */

static __u64 buf[256]; /* a value of a per-CPU map on any machine here */

static void elements(int t)
{
	const char *n = types[t].name;
	int fd = create(types[t].type, types[t].key, types[t].value, types[t].entries, 0);
	__u32 key[2] = {0, 0}, next[2];

	if (fd < 0)
		return;
	memset(buf, 0, sizeof(buf));
	say(bpf_map_lookup_elem(fd, key, buf), "%s lookup 0", n);
	say(bpf_map_get_next_key(fd, NULL, next), "%s first key of the empty", n);
	say(bpf_map_delete_elem(fd, key), "%s delete missing", n);
	if (types[t].type == BPF_MAP_TYPE_PROG_ARRAY ||
	    types[t].type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		buf[0] = 9999; /* no descriptor */
	say(bpf_map_update_elem(fd, key, buf, BPF_EXIST), "%s update exist", n);
	say(bpf_map_update_elem(fd, key, buf, BPF_NOEXIST), "%s update noexist", n);
	say(bpf_map_update_elem(fd, key, buf, BPF_NOEXIST), "%s update noexist again", n);
	say(bpf_map_update_elem(fd, key, buf, BPF_ANY), "%s update any", n);
	say(bpf_map_update_elem(fd, key, buf, 3), "%s update flags 3", n);
	say(bpf_map_update_elem(fd, key, buf, BPF_F_LOCK), "%s update lock", n);
	say(bpf_map_update_elem(fd, key, buf, 1ull << 40), "%s update flags 1<<40", n);
	say(bpf_map_lookup_elem_flags(fd, key, buf, BPF_F_LOCK), "%s lookup lock", n);
	say(bpf_map_lookup_elem_flags(fd, key, buf, 1), "%s lookup flags 1", n);
	say(bpf_map_lookup_elem(fd, key, buf), "%s lookup", n);
	say(bpf_map_get_next_key(fd, NULL, next), "%s first key", n);
	say(bpf_map_get_next_key(fd, key, next), "%s key after it", n);
	key[0] = 77;
	say(bpf_map_lookup_elem(fd, key, buf), "%s lookup 77", n);
	say(bpf_map_get_next_key(fd, key, next), "%s key after 77", n);
	for (key[0] = 1; key[0] < 6; key[0]++)
		say(bpf_map_update_elem(fd, key, buf, 0), "%s update %u", n, key[0]);
	key[0] = 1;
	say(bpf_map_lookup_and_delete_elem(fd, key, buf), "%s lookup and delete", n);
	say(bpf_map_lookup_and_delete_elem_flags(fd, key, buf, BPF_F_LOCK),
	    "%s lookup and delete lock", n);
	say(bpf_map_lookup_and_delete_elem_flags(fd, key, buf, 8), "%s lookup and delete 8", n);
	key[0] = 2;
	say(bpf_map_delete_elem(fd, key), "%s delete", n);
	say(bpf_map_lookup_elem(fd, NULL, buf), "%s lookup NULL key", n);
	say(bpf_map_lookup_elem(fd, key, NULL), "%s lookup to NULL", n);
	say(bpf_map_update_elem(fd, NULL, buf, 0), "%s update NULL key", n);
	say(bpf_map_update_elem(fd, key, NULL, 0), "%s update from NULL", n);
	say(bpf_map_get_next_key(fd, key, NULL), "%s next key to NULL", n);
	close(fd);
}

/* What came out of a map without keys. */
static long got(long ret, const __u64 *value)
{
	if (!ret)
		printf("(%llu) ", (unsigned long long)*value);
	return ret;
}

static void values(int t)
{
	const char *n = types[t].name;
	int fd = create(types[t].type, 0, types[t].value, types[t].entries, 0);
	__u64 value = 10, none = 99;

	if (fd < 0)
		return;
	say(bpf_map_lookup_elem(fd, NULL, &none), "%s peek at nothing", n);
	say(bpf_map_lookup_and_delete_elem(fd, NULL, &none), "%s pop of nothing", n);
	say((long)none - 99, "%s: no value came", n);
	for (; value < 15; value++)
		say(bpf_map_update_elem(fd, NULL, &value, BPF_ANY), "%s push", n);
	say(got(bpf_map_lookup_elem(fd, NULL, &none), &none), "%s peek", n);
	for (value = 0; value < 5; value++)
		say(bpf_map_update_elem(fd, NULL, &value, value), "%s push flags %llu", n, value);
	say(bpf_map_update_elem(fd, NULL, &value, BPF_F_LOCK), "%s push lock", n);
	say(bpf_map_update_elem(fd, NULL, &value, 1ull << 40), "%s push flags 1<<40", n);
	say(bpf_map_update_elem(fd, NULL, NULL, 0), "%s push from NULL", n);
	say(bpf_map_lookup_elem_flags(fd, NULL, &none, BPF_F_LOCK), "%s peek lock", n);
	say(bpf_map_lookup_elem_flags(fd, NULL, &none, 1), "%s peek flags 1", n);
	say(bpf_map_lookup_elem(fd, NULL, NULL), "%s peek to NULL", n);
	for (int i = 0; i < 5; i++)
		say(got(bpf_map_lookup_and_delete_elem(fd, NULL, &none), &none), "%s pop", n);
	say(bpf_map_update_elem(fd, NULL, &value, BPF_ANY), "%s push after all", n);
	say(bpf_map_lookup_and_delete_elem_flags(fd, NULL, &none, BPF_F_LOCK), "%s pop lock", n);
	say(bpf_map_lookup_and_delete_elem_flags(fd, NULL, &none, 1), "%s pop flags 1", n);
	say(bpf_map_delete_elem(fd, NULL), "%s delete", n);
	say(bpf_map_get_next_key(fd, NULL, &none), "%s next key", n);
	say(bpf_map_get_next_key(fd, &none, &none), "%s key after", n);
	say(bpf_map_get_next_key(fd, NULL, NULL), "%s next key to NULL", n);
	close(fd);
}

static void modes(int t, __u32 flags, const char *what)
{
	const char *n = types[t].name;
	int fd = create(types[t].type, types[t].key, types[t].value, types[t].entries, flags);
	__u32 key = 0, next, count = 1;

	if (fd < 0)
		return;
	memset(buf, 0, sizeof(buf));
	say(bpf_map_lookup_elem(fd, &key, buf), "%s %s lookup", n, what);
	say(bpf_map_update_elem(fd, &key, buf, 0), "%s %s update", n, what);
	say(bpf_map_delete_elem(fd, &key), "%s %s delete", n, what);
	say(bpf_map_get_next_key(fd, NULL, &next), "%s %s next", n, what);
	say(bpf_map_lookup_and_delete_elem(fd, &key, buf), "%s %s lookup and delete", n, what);
	say(bpf_map_update_batch(fd, &key, buf, &count, NULL), "%s %s update batch", n, what);
	say(bpf_map_freeze(fd), "%s %s freeze", n, what);
	say(bpf_map_freeze(fd), "%s %s freeze again", n, what);
	say(bpf_map_update_elem(fd, &key, buf, 0), "%s %s update frozen", n, what);
	say(bpf_map_delete_elem(fd, &key), "%s %s delete frozen", n, what);
	say(bpf_map_lookup_elem(fd, &key, buf), "%s %s lookup frozen", n, what);
	close(fd);
}

/* --- batches -------------------------------------------------------------------------------- */

static void batches(int t)
{
	const char *n = types[t].name;
	int fd = create(types[t].type, types[t].key, types[t].value, is_ring(t) ? PAGE : 8, 0);
	LIBBPF_OPTS(bpf_map_batch_opts, elem, .elem_flags = BPF_NOEXIST);
	LIBBPF_OPTS(bpf_map_batch_opts, lock, .elem_flags = BPF_F_LOCK);
	LIBBPF_OPTS(bpf_map_batch_opts, other, .flags = 1);
	static __u64 values[8 * 256];
	__u32 keys[8] = {0, 1, 2, 3, 4, 5, 6, 7}, count = 8, cursor[4] = {0};
	long ret;

	if (fd < 0)
		return;
	ret = bpf_map_update_batch(fd, keys, values, &count, NULL);
	say(ret, "%s update batch, %u done", n, count);
	count = 2;
	ret = bpf_map_update_batch(fd, keys, values, &count, &elem);
	say(ret, "%s update batch noexist", n);
	say(bpf_map_update_batch(fd, keys, values, &count, &lock), "%s update batch lock", n);
	say(bpf_map_update_batch(fd, keys, values, &count, &other), "%s update batch flags", n);
	count = 0;
	say(bpf_map_lookup_batch(fd, NULL, cursor, keys, values, &count, NULL),
	    "%s lookup batch of none", n);
	count = 8;
	say(bpf_map_lookup_batch(fd, NULL, cursor, keys, values, &count, &elem),
	    "%s lookup batch elem flags", n);
	say(bpf_map_lookup_batch(fd, NULL, cursor, keys, values, &count, &other),
	    "%s lookup batch flags", n);
	count = 100; /* more than there is */
	if (types[t].type != BPF_MAP_TYPE_PERCPU_ARRAY &&
	    types[t].type != BPF_MAP_TYPE_PERCPU_HASH &&
	    types[t].type != BPF_MAP_TYPE_LRU_PERCPU_HASH) {
		__u32 *many = calloc(100, 4);
		__u64 *vals = calloc(100, 8);

		ret = bpf_map_lookup_batch(fd, NULL, cursor, many, vals, &count, NULL);
		say(ret, "%s lookup batch of all, %u done", n, ret == -ENOENT ? count : 0);
		ret = bpf_map_lookup_batch(fd, cursor, cursor, many, vals, &count, NULL);
		say(ret, "%s lookup batch behind the end", n);
		free(many);
		free(vals);
	}
	keys[1] = 1000;
	keys[0] = 3;
	count = 2;
	ret = bpf_map_delete_batch(fd, keys, &count, NULL);
	say(ret, "%s delete batch with a missing key, %u done", n, ret ? count : 0);
	count = 8;
	ret = bpf_map_lookup_and_delete_batch(fd, NULL, cursor, keys, values, &count, NULL);
	say(ret, "%s lookup and delete batch", n);
	close(fd);
}

/* --- mapping ---------------------------------------------------------------------------------- */

static long try_map(int fd, size_t len, int prot, int flags, off_t off)
{
	void *p = mmap(NULL, len, prot, flags, fd, off);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, len);
	return 0;
}

static void mappings(int t, __u32 flags, const char *what)
{
	const char *n = types[t].name;
	__u32 entries = is_ring(t) ? 2 * PAGE : 1000;
	int fd = create(types[t].type, types[t].key, types[t].value, entries, flags);
	const int rw = PROT_READ | PROT_WRITE;

	if (fd < 0)
		return;
	say(try_map(fd, PAGE, PROT_READ, MAP_SHARED, 0), "%s %s map ro", n, what);
	say(try_map(fd, PAGE, rw, MAP_SHARED, 0), "%s %s map rw", n, what);
	say(try_map(fd, PAGE, PROT_READ, MAP_PRIVATE, 0), "%s %s map private", n, what);
	say(try_map(fd, 2 * PAGE, rw, MAP_SHARED, 0), "%s %s map two pages", n, what);
	say(try_map(fd, 2 * PAGE, PROT_READ, MAP_SHARED, PAGE), "%s %s map from the second", n,
	    what);
	say(try_map(fd, PAGE, rw, MAP_SHARED, PAGE), "%s %s map the second rw", n, what);
	say(try_map(fd, 5 * PAGE, PROT_READ, MAP_SHARED, PAGE), "%s %s map five", n, what);
	say(try_map(fd, 6 * PAGE, PROT_READ, MAP_SHARED, PAGE), "%s %s map six", n, what);
	say(try_map(fd, 64 * PAGE, PROT_READ, MAP_SHARED, 0), "%s %s map far too much", n, what);
	say(bpf_map_freeze(fd), "%s %s freeze", n, what);
	say(try_map(fd, PAGE, rw, MAP_SHARED, 0), "%s %s map frozen rw", n, what);
	say(try_map(fd, PAGE, PROT_READ, MAP_SHARED, 0), "%s %s map frozen ro", n, what);
	close(fd);
}

/* --- maps of maps ----------------------------------------------------------------------------- */

static int create_outer(__u32 type, int inner, __u32 key, __u32 value, __u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, o, .inner_map_fd = (__u32)inner, .map_flags = flags);
	int fd = bpf_map_create(type, "outer", key, value, 2, &o);

	return fd < 0 ? -errno : fd;
}

static void try_inner(const char *n, __u32 type, const char *what, int inner)
{
	int fd = create_outer(type, inner, 4, 4, 0);

	say(fd, "%s of %s", n, what);
	if (fd >= 0)
		close(fd);
	if (inner >= 0)
		close(inner);
}

static void outer_creations(const char *n, __u32 type, int inner)
{
	const __u32 flags[] = {BPF_F_RDONLY,	  BPF_F_WRONLY,	   BPF_F_RDONLY_PROG,
			       BPF_F_WRONLY_PROG, BPF_F_MMAPABLE,  BPF_F_INNER_MAP,
			       BPF_F_NO_PREALLOC, BPF_F_ZERO_SEED, BPF_F_NUMA_NODE};

	for (size_t t = 0; t < NTYPES; t++)
		try_inner(n, type, types[t].name,
			  create(types[t].type, types[t].key, types[t].value, types[t].entries, 0));
	try_inner(n, type, "outer", create_outer(BPF_MAP_TYPE_ARRAY_OF_MAPS, inner, 4, 4, 0));
	try_inner(n, type, "no map", open("/dev/null", O_RDWR));
	say(create_outer(type, 9999, 4, 4, 0), "%s of no descriptor", n);
	say(create_outer(type, inner, 8, 4, 0), "%s key 8", n);
	say(create_outer(type, inner, 4, 8, 0), "%s value 8", n);
	say(create_outer(type, inner, 0, 4, 0), "%s key 0", n);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		say(create_outer(type, inner, 4, 4, flags[i]), "%s flags %#x", n, flags[i]);
}

static void outer_update(const char *n, int fd, const char *what, int inner)
{
	__u32 key = 0;

	say(bpf_map_update_elem(fd, &key, &inner, 0), "%s update with %s", n, what);
	if (inner >= 0)
		close(inner);
}

static void outer_elements(const char *n, __u32 type, int inner)
{
	int fd = create_outer(type, inner, 4, 4, 0), null = 9999;
	__u32 key[2] = {0, 0}, next, id = 0;

	say(bpf_map_lookup_elem(fd, key, &id), "%s lookup of nothing", n);
	say(bpf_map_delete_elem(fd, key), "%s delete of nothing", n);
	say(bpf_map_get_next_key(fd, NULL, &next), "%s first key", n);
	for (__u64 flags = 0; flags < 5; flags++)
		say(bpf_map_update_elem(fd, key, &inner, flags), "%s update flags %llu", n, flags);
	say(bpf_map_update_elem(fd, key, &null, 0), "%s update with no descriptor", n);
	say(bpf_map_update_elem(fd, key, &null, 5), "%s update with nothing right", n);
	outer_update(n, fd, "another type", create(BPF_MAP_TYPE_HASH, 4, 8, 3, 0));
	outer_update(n, fd, "another value", create(BPF_MAP_TYPE_ARRAY, 4, 16, 3, 0));
	outer_update(n, fd, "more entries", create(BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0));
	outer_update(n, fd, "other flags", create(BPF_MAP_TYPE_ARRAY, 4, 8, 3, BPF_F_MMAPABLE));
	outer_update(n, fd, "the same", create(BPF_MAP_TYPE_ARRAY, 4, 8, 3, 0));
	say(bpf_map_lookup_elem(fd, key, &id), "%s lookup", n);
	say(bpf_map_lookup_elem_flags(fd, key, &id, BPF_F_LOCK), "%s lookup lock", n);
	say(bpf_map_lookup_and_delete_elem(fd, key, &id), "%s lookup and delete", n);
	for (key[0] = 1; key[0] < 4; key[0]++)
		say(bpf_map_update_elem(fd, key, &inner, 0), "%s update %u", n, key[0]);
	key[0] = 0;
	if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS) /* else it depends on a seed */
		say(bpf_map_get_next_key(fd, key, &next), "%s key after", n);
	say(bpf_map_delete_elem(fd, key), "%s delete", n);
	say(bpf_map_delete_elem(fd, key), "%s delete again", n);
	say(bpf_map_lookup_elem(fd, key, &id), "%s lookup deleted", n);
	key[0] = 7;
	say(bpf_map_lookup_elem(fd, key, &id), "%s lookup 7", n);
	say(bpf_map_delete_elem(fd, key), "%s delete 7", n);
	say(bpf_map_lookup_elem(fd, NULL, &id), "%s lookup NULL key", n);
	say(bpf_map_update_elem(fd, key, NULL, 0), "%s update from NULL", n);
	say(bpf_map_freeze(fd), "%s freeze", n);
	say(bpf_map_update_elem(fd, key, &inner, 0), "%s update frozen", n);
	close(fd);
}

static void outers(void)
{
	int inner = create(BPF_MAP_TYPE_ARRAY, 4, 8, 3, 0);

	outer_creations("array_of_maps", BPF_MAP_TYPE_ARRAY_OF_MAPS, inner);
	outer_creations("hash_of_maps", BPF_MAP_TYPE_HASH_OF_MAPS, inner);
	outer_elements("array_of_maps", BPF_MAP_TYPE_ARRAY_OF_MAPS, inner);
	outer_elements("hash_of_maps", BPF_MAP_TYPE_HASH_OF_MAPS, inner);
	close(inner);
}

/* --- descriptors and attributes ------------------------------------------------------------- */

static long raw(int cmd, void *attr, unsigned int size)
{
	return syscall(SYS_bpf, cmd, attr, size);
}

static void attributes(void)
{
	union bpf_attr a;
	__u64 big[1024] = {0};
	int null = open("/dev/null", O_RDWR);
	__u32 key = 0;

	memset(&a, 0, sizeof(a));
	say(raw(1000, &a, sizeof(a)), "command 1000");
	say(raw(-1, &a, sizeof(a)), "command -1");
	say(raw(BPF_MAP_CREATE, &a, 0), "map create, size 0");
	say(raw(BPF_MAP_CREATE, NULL, sizeof(a)), "map create, NULL");
	say(raw(BPF_MAP_CREATE, big, 8192), "map create, size 8192");
	big[500] = 1;
	say(raw(BPF_MAP_CREATE, big, 4096), "map create, tail set");
	for (int cmd = BPF_MAP_LOOKUP_ELEM; cmd <= BPF_MAP_GET_NEXT_KEY; cmd++) {
		memset(&a, 0, sizeof(a));
		a.map_fd = 9999;
		a.key = a.value = (__u64)&key;
		say(raw(cmd, &a, sizeof(a)), "element command %d, fd 9999", cmd);
		a.map_fd = (__u32)null;
		say(raw(cmd, &a, sizeof(a)), "element command %d, /dev/null", cmd);
		((char *)&a)[sizeof(a) - 1] = 1;
		say(raw(cmd, &a, sizeof(a)), "element command %d, end set", cmd);
		a.map_fd = 9999;
		say(raw(cmd, &a, sizeof(a)), "element command %d, end set, fd 9999", cmd);
	}
	memset(&a, 0, sizeof(a));
	a.batch.map_fd = 9999;
	say(raw(BPF_MAP_LOOKUP_BATCH, &a, sizeof(a)), "batch, fd 9999");
	memset(&a, 0, sizeof(a));
	a.map_fd = 9999;
	say(raw(BPF_MAP_FREEZE, &a, sizeof(a)), "freeze, fd 9999");
	a.map_fd = (__u32)null;
	say(raw(BPF_MAP_FREEZE, &a, sizeof(a)), "freeze, /dev/null");
	memset(&a, 0, sizeof(a));
	a.start_id = ~0u;
	say(raw(BPF_MAP_GET_NEXT_ID, &a, sizeof(a)), "next map id, start ~0");
	a.start_id = 0x7ffffff0;
	say(raw(BPF_PROG_GET_NEXT_ID, &a, sizeof(a)), "next prog id, start high");
	memset(&a, 0, sizeof(a));
	a.map_id = 0x7ffffff0;
	say(raw(BPF_MAP_GET_FD_BY_ID, &a, sizeof(a)), "map fd by id, no such");
	say(raw(BPF_PROG_GET_FD_BY_ID, &a, sizeof(a)), "prog fd by id, no such");
	say(raw(BPF_BTF_GET_FD_BY_ID, &a, sizeof(a)), "btf fd by id, no such");
	say(raw(BPF_LINK_GET_FD_BY_ID, &a, sizeof(a)), "link fd by id, no such");
	a.open_flags = 1u << 20;
	say(raw(BPF_MAP_GET_FD_BY_ID, &a, sizeof(a)), "map fd by id, flags");
	close(null);
}

static void infos(void)
{
	int fd = create(BPF_MAP_TYPE_HASH, 4, 8, 3, BPF_F_NO_PREALLOC),
	    null = open("/dev/null", O_RDWR);
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);
	__u64 big[100] = {0};
	union bpf_attr a;
	int ret;

	ret = bpf_obj_get_info_by_fd(fd, &info, &len);
	say(ret, "info type %u key %u value %u entries %u flags %u name %s", info.type,
	    info.key_size, info.value_size, info.max_entries, info.map_flags, info.name);
	len = 8;
	memset(&info, 0xff, sizeof(info));
	ret = bpf_obj_get_info_by_fd(fd, &info, &len);
	say(ret, "short info type %u key %x, %u bytes", info.type, info.key_size, len);
	len = sizeof(big);
	ret = bpf_obj_get_info_by_fd(fd, big, &len);
	say(ret, "long info, %d", len < sizeof(big));
	big[90] = 1;
	len = sizeof(big);
	say(bpf_obj_get_info_by_fd(fd, big, &len), "long info, tail set");
	len = sizeof(info);
	say(bpf_obj_get_info_by_fd(9999, &info, &len), "info fd 9999");
	say(bpf_obj_get_info_by_fd(null, &info, &len), "info /dev/null");
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (__u32)fd;
	a.info.info_len = sizeof(info);
	say(raw(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), "info to NULL");
	close(fd);
	close(null);
}

/* --- programs ------------------------------------------------------------------------------- */

#define EXIT_0                                                                                     \
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},                             \
	{                                                                                          \
		.code = BPF_JMP | BPF_EXIT                                                         \
	}

static int load(const char *name, const struct bpf_insn *insns, size_t n, const char *license)
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, name, license, insns, n, NULL);

	return fd < 0 ? -errno : fd;
}

static void programs(void)
{
	static const struct bpf_insn good[] = {EXIT_0};
	static const struct bpf_insn no_exit[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0}};
	static const struct bpf_insn bad_op[] = {{.code = 0xff}, EXIT_0};
	static const struct bpf_insn bad_reg[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 11}, EXIT_0};
	static const struct bpf_insn far[] = {{.code = BPF_JMP | BPF_JA, .off = 100}, EXIT_0};
	static const struct bpf_insn unreachable[] = {
		{.code = BPF_JMP | BPF_JA, .off = 2}, EXIT_0, EXIT_0};
	static const struct bpf_insn bad_map[] = {
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = 1, .imm = 9999},
		{0},
		EXIT_0};
	static const struct bpf_insn bad_helper[] = {{.code = BPF_JMP | BPF_CALL, .imm = 9999},
						     EXIT_0};
	LIBBPF_OPTS(bpf_prog_load_opts, big, .log_level = 1, .log_size = 1u << 30);
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);
	char log[4096] = "";
	union bpf_attr a;
	int fd;

	say(load("good", good, 2, "GPL"), "load");
	say(load("no exit", good, 2, "GPL"), "load with a space in the name");
	say(load("noexit", no_exit, 1, "GPL"), "load without exit");
	say(load("badop", bad_op, 3, "GPL"), "load with a wrong opcode");
	say(load("badreg", bad_reg, 3, "GPL"), "load with a wrong register");
	say(load("far", far, 3, "GPL"), "load with a jump outside");
	say(load("unreach", unreachable, 5, "GPL"), "load with dead code");
	say(load("badmap", bad_map, 4, "GPL"), "load with a wrong map");
	say(load("badcall", bad_helper, 3, "GPL"), "load with a wrong helper");
	say(load("none", good, 0, "GPL"), "load nothing");
	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_KPROBE;
	a.insns = (__u64)good;
	a.insn_cnt = 2;
	say(raw(BPF_PROG_LOAD, &a, sizeof(a)), "load without license");
	a.license = (__u64) "GPL";
	a.log_level = 1;
	say(raw(BPF_PROG_LOAD, &a, sizeof(a)), "load with a log level and no buffer");
	a.log_buf = (__u64)log;
	a.log_size = 16;
	a.prog_flags = 1u << 31;
	say(raw(BPF_PROG_LOAD, &a, sizeof(a)), "load with wrong flags");
	a.prog_flags = 0;
	a.insns = 8;
	say(raw(BPF_PROG_LOAD, &a, sizeof(a)), "load from a wrong address");
	a.prog_type = 9999;
	a.insns = (__u64)good;
	say(raw(BPF_PROG_LOAD, &a, sizeof(a)), "load of no type");
	fd = load("good", good, 2, "GPL");
	say(bpf_obj_get_info_by_fd(fd, &info, &len), "info of a program, %u bytes of code, name %s",
	    info.xlated_prog_len, info.name);
	say(bpf_map_lookup_elem(fd, &len, &info), "lookup in a program");
	say(bpf_link_create(fd, 9999, BPF_PERF_EVENT, NULL), "link to fd 9999");
	say(bpf_link_create(9999, 0, BPF_PERF_EVENT, NULL), "link of fd 9999");
	close(fd);
}

/* --- logs ------------------------------------------------------------------------------------ */

struct logged {
	const char *name;
	struct bpf_insn insns[5];
	__u32 n;
	int walked; /* at level 2 kernels differ in what they say of a walk */
};

/* What a load leaves in a log of @size bytes: its text, and how long it would have been (of kernel
 * 6.4, behind the last field that older headers have). */
static void load_log(const struct logged *p, __u32 level, __u32 size)
{
	const size_t end = offsetof(union bpf_attr, core_relo_rec_size) + 4;
	__u32 true_size = ~0u;
	char log[512] = "";
	union bpf_attr a;
	char *at;

	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_KPROBE;
	a.insns = (__u64)p->insns;
	a.insn_cnt = p->n;
	a.license = (__u64) "GPL";
	a.log_level = level;
	a.log_buf = size ? (__u64)log : 0;
	a.log_size = size;
	memcpy((char *)&a + end, &true_size, sizeof(true_size));
	say(raw(BPF_PROG_LOAD, &a, sizeof(a)), "load of %s with a log of level %u and %u bytes",
	    p->name, level, size);
	memcpy(&true_size, (char *)&a + end, sizeof(true_size));
	while ((at = strchr(log, '\n')))
		*at = '|';
	say(0, "which takes %d bytes: %s", (int)true_size, log);
}

/* Where it ends before an instruction is looked at, the log is as long as the kernel's, too. */
static void logs(void)
{
	static const struct logged refused[] = {
		{"a jump outside", {{.code = BPF_JMP | BPF_JA, .off = 100}, EXIT_0}, 3},
		{"no exit", {{.code = BPF_ALU64 | BPF_MOV | BPF_K}}, 1},
		{"a wrong opcode", {{.code = 0xff}, EXIT_0}, 3},
		{"dead code", {{.code = BPF_JMP | BPF_JA, .off = 2}, EXIT_0, EXIT_0}, 5},
		{"a wrong map",
		 {{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = 1, .imm = 9999},
		  {0},
		  EXIT_0},
		 4},
		{"a wrong helper", {{.code = BPF_JMP | BPF_CALL, .imm = 9999}, EXIT_0}, 3, 1},
		{"a call outside",
		 {{.code = BPF_JMP | BPF_CALL, .src_reg = 1, .imm = 100}, EXIT_0},
		 3},
		{"half a constant", {{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1}, EXIT_0}, 3},
		{"a constant cut off", {EXIT_0, {.code = BPF_LD | BPF_DW | BPF_IMM}}, 3},
		{"a reserved field",
		 {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .off = 1}, EXIT_0},
		 3,
		 1},
		{"a division by nothing", {{.code = BPF_ALU64 | BPF_DIV | BPF_K}, EXIT_0}, 3, 1},
	};
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		load_log(&refused[i], 1, 512);
		if (!refused[i].walked)
			load_log(&refused[i], 2, 512);
	}
	load_log(refused, 1, 16);
	load_log(refused, 1, 1);
	load_log(refused, 1, 0);
	load_log(refused, 1 | 8, 512);
	load_log(refused, 1 | 8, 16);
	load_log(refused, 8, 512);
	load_log(refused, 0, 0);
}

/* --- pins ------------------------------------------------------------------------------------ */

static void pins(void)
{
	char path[64], missing[64], dir[64], inside[80];
	int fd = create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), got;
	LIBBPF_OPTS(bpf_obj_get_opts, ro, .file_flags = BPF_F_RDONLY);
	__u32 key = 0;
	__u64 value = 5;
	struct statfs fs;
	struct stat st;

	snprintf(path, sizeof(path), "%s/ebpfrt_calls_%d", pin_dir, getpid());
	snprintf(missing, sizeof(missing), "%s/ebpfrt_none_%d", pin_dir, getpid());
	snprintf(dir, sizeof(dir), "%s/ebpfrt_dir_%d", pin_dir, getpid());
	snprintf(inside, sizeof(inside), "%s/map", dir);
	if (statfs(pin_dir, &fs) || (__u32)fs.f_type != 0xcafe4a11u) {
		printf("no bpffs\n");
		return;
	}
	say(bpf_obj_get(missing), "get a missing pin");
	say(bpf_obj_pin(fd, path), "pin");
	say(bpf_obj_pin(fd, path), "pin again");
	say(bpf_obj_pin(9999, missing), "pin fd 9999");
	say(bpf_obj_pin(fd, "/tmp/ebpfrt_calls"), "pin elsewhere");
	say(bpf_obj_pin(fd, inside), "pin in a missing directory");
	say(access(path, F_OK), "access a pin");
	say(stat(path, &st), "stat a pin, regular %d", S_ISREG(st.st_mode));
	say(mkdir(dir, 0700), "make a directory");
	say(mkdir(dir, 0700), "make it again");
	say(stat(dir, &st), "stat it, directory %d", S_ISDIR(st.st_mode));
	say(bpf_obj_pin(fd, inside), "pin in it");
	say(bpf_map_update_elem(fd, &key, &value, 0), "update");
	close(fd);
	got = bpf_obj_get(path);
	value = 0;
	say(bpf_map_lookup_elem(got, &key, &value), "lookup through the pin, %llu", value);
	close(got);
	got = bpf_obj_get_opts(path, &ro);
	say(got, "get read-only");
	say(bpf_map_update_elem(got, &key, &value, 0), "update read-only");
	say(bpf_map_lookup_elem(got, &key, &value), "lookup read-only");
	close(got);
	say(unlink(inside), "unlink the inner pin");
	say(rmdir(dir), "remove the directory");
	say(unlink(path), "unlink the pin");
	say(unlink(path), "unlink it again");
	say(bpf_obj_get(path), "get it");
}

/* --- test runs, IDs, binding, statistics, links ---------------------------------------------- */

static int load_filter(void)
{
	static const struct bpf_insn answer[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 42},
		{.code = BPF_JMP | BPF_EXIT}};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "answer", "GPL", answer, 2, NULL);

	return fd < 0 ? -errno : fd;
}

/* R0 = the number at @off of the context */
static int load_reader(enum bpf_prog_type type, short off)
{
	const struct bpf_insn read[] = {
		{.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 0, .src_reg = 1, .off = off},
		{.code = BPF_JMP | BPF_EXIT}};
	LIBBPF_OPTS(bpf_prog_load_opts, o,
		    .prog_flags = type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0);
	int fd = bpf_prog_load(type, "reader", "GPL", read, 2, &o);

	return fd < 0 ? -errno : fd;
}

/* A context must be as long as what the program reads of it. */
static void runs_with_context(enum bpf_prog_type type)
{
	static __u64 in[8300] = {[1] = 7, [11] = 9};
	int near = load_reader(type, 8), far = load_reader(type, 88);

	for (__u32 n = 0; n <= 96; n += 8) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = n ? in : NULL, .ctx_size_in = n);
		int err = bpf_prog_test_run_opts(near, &o);

		say(err, "test run, type %d, %u bytes of context: %u", type, n, o.retval);
		err = bpf_prog_test_run_opts(far, &o);
		say(err, "test run, more of a context of %u bytes: %u", n, o.retval);
	}
	for (__u32 n = 104; n < 66000; n += 65528 - 104) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = in, .ctx_size_in = n);

		say(bpf_prog_test_run_opts(near, &o), "test run, %u bytes of context", n);
	}
	close(near);
	close(far);
}

/* R0 = byte 12 of the packet, whose pointers are at @data and @end of the context */
static int load_packet(enum bpf_prog_type type, short data, short end)
{
	const struct bpf_insn read[] = {
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = data},
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 3, .src_reg = 1, .off = end},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 4, .src_reg = 2},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 4, .imm = 14},
		{.code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = 4, .src_reg = 3, .off = 1},
		{.code = BPF_LDX | BPF_MEM | BPF_B, .dst_reg = 0, .src_reg = 2, .off = 12},
		{.code = BPF_JMP | BPF_EXIT}};
	int fd = bpf_prog_load(type, "packet", "GPL", read, 8, NULL);

	return fd < 0 ? -errno : fd;
}

static void runs_with_packet(void)
{
	char in[64] = {[12] = 77};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in, .data_size_in = sizeof(in));
	int xdp = load_packet(BPF_PROG_TYPE_XDP, offsetof(struct xdp_md, data),
			      offsetof(struct xdp_md, data_end));
	int cls = load_packet(BPF_PROG_TYPE_SCHED_CLS, offsetof(struct __sk_buff, data),
			      offsetof(struct __sk_buff, data_end));
	int err = bpf_prog_test_run_opts(xdp, &o);

	say(err, "test run, a packet's byte %u", o.retval);
	err = bpf_prog_test_run_opts(cls, &o);
	say(err, "test run, a packet's byte %u", o.retval);
	close(xdp);
	close(cls);
}

static void test_runs(void)
{
	char in[64] = "", out[64] = "";
	LIBBPF_OPTS(bpf_test_run_opts, none);
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in, .data_size_in = sizeof(in), .repeat = 3);
	LIBBPF_OPTS(bpf_test_run_opts, copy, .data_in = in, .data_size_in = sizeof(in),
		    .data_out = out, .data_size_out = sizeof(out));
	LIBBPF_OPTS(bpf_test_run_opts, tight, .data_in = in, .data_size_in = sizeof(in),
		    .data_out = out, .data_size_out = 8);
	LIBBPF_OPTS(bpf_test_run_opts, cpu, .data_in = in, .data_size_in = sizeof(in), .cpu = 1);
	LIBBPF_OPTS(bpf_test_run_opts, tiny, .data_in = in, .data_size_in = 4);
	int fd = load_filter();
	union bpf_attr a;

	say(bpf_prog_test_run_opts(fd, &none), "test run without data");
	say(bpf_prog_test_run_opts(fd, &tiny), "test run, 4 bytes");
	say(bpf_prog_test_run_opts(fd, &o), "test run, three times, %u", o.retval);
	say(bpf_prog_test_run_opts(fd, &copy), "test run, %u bytes back", copy.data_size_out);
	say(bpf_prog_test_run_opts(fd, &tight), "test run, %u bytes to be had",
	    tight.data_size_out);
	say(bpf_prog_test_run_opts(fd, &cpu), "test run, a CPU");
	say(bpf_prog_test_run_opts(9999, &o), "test run, fd 9999");
	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (__u32)fd;
	a.test.data_size_in = 64;
	a.test.data_in = 8;
	say(raw(BPF_PROG_TEST_RUN, &a, sizeof(a)), "test run, data at a wrong address");
	a.test.data_in = (__u64)in;
	a.test.ctx_size_in = 8;
	say(raw(BPF_PROG_TEST_RUN, &a, sizeof(a)), "test run, context without an address");
	a.test.ctx_size_in = 0;
	((char *)&a)[sizeof(a) - 1] = 1;
	say(raw(BPF_PROG_TEST_RUN, &a, sizeof(a)), "test run, end set");
	close(fd);
	runs_with_context(BPF_PROG_TYPE_SYSCALL);
	runs_with_context(BPF_PROG_TYPE_RAW_TRACEPOINT);
	runs_with_packet();
}

static void ids(void)
{
	struct bpf_prog_info prog = {0};
	struct bpf_map_info map = {0};
	int fd = load_filter(), m = create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), again;
	__u32 len = sizeof(prog), next = 0, key = 0;
	__u64 value = 3;

	say(bpf_obj_get_info_by_fd(fd, &prog, &len), "info of a filter, type %u", prog.type);
	len = sizeof(map);
	say(bpf_obj_get_info_by_fd(m, &map, &len), "info of an array");
	say(bpf_prog_get_next_id(prog.id - 1, &next), "next program, it is that one: %d",
	    next == prog.id);
	say(bpf_map_get_next_id(map.id - 1, &next), "next map, it is that one: %d", next == map.id);
	again = bpf_map_get_fd_by_id(map.id);
	say(bpf_map_update_elem(again, &key, &value, 0), "update by a second descriptor");
	value = 0;
	say(bpf_map_lookup_elem(m, &key, &value), "lookup by the first, %llu", value);
	close(again);
	close(m);
	close(fd);
	/* the kernel frees them a moment later */
	usleep(50000);
	say(bpf_map_get_fd_by_id(map.id), "map by ID after its last close");
	say(bpf_prog_get_fd_by_id(prog.id), "program by ID after its last close");
}

static void bindings(void)
{
	int fd = load_filter(), m = create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	LIBBPF_OPTS(bpf_prog_bind_opts, flags, .flags = 1);
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);
	union bpf_attr a;

	say(bpf_prog_bind_map(fd, m, &flags), "bind with flags");
	say(bpf_prog_bind_map(fd, 9999, NULL), "bind map 9999");
	say(bpf_prog_bind_map(9999, m, NULL), "bind to program 9999");
	say(bpf_prog_bind_map(m, fd, NULL), "bind the other way around");
	say(bpf_prog_bind_map(fd, m, NULL), "bind");
	say(bpf_prog_bind_map(fd, m, NULL), "bind again");
	bpf_obj_get_info_by_fd(fd, &info, &len);
	printf("maps of the program: %u\n", info.nr_map_ids);
	say(bpf_enable_stats(7), "statistics of no kind");
	say(bpf_link_update(fd, fd, NULL), "update what is no link");
	say(bpf_link_update(9999, fd, NULL), "update fd 9999");
	say(bpf_link_detach(fd), "detach what is no link");
	say(bpf_link_detach(9999), "detach fd 9999");
	say(bpf_link_create(fd, m, 9999, NULL), "link of no attach type");
	memset(&a, 0, sizeof(a));
	a.link_update.flags = 1u << 9;
	say(raw(BPF_LINK_UPDATE, &a, sizeof(a)), "update with flags");
	close(m);
	close(fd);
}

/* --- what a descriptor traces ---------------------------------------------------------------- */

static char query_path[4096];

static long query(pid_t pid, int fd, __u32 flags, __u64 addr, __u32 room, union bpf_attr *a)
{
	memset(a, 0, sizeof(*a));
	a->task_fd_query.pid = (__u32)pid;
	a->task_fd_query.fd = (__u32)fd;
	a->task_fd_query.flags = flags;
	a->task_fd_query.buf = addr;
	a->task_fd_query.buf_len = room;
	return raw(BPF_TASK_FD_QUERY, a, sizeof(*a));
}

static void try_query(const char *what, pid_t pid, int fd, __u32 flags)
{
	union bpf_attr a;

	say(query(pid, fd, flags, (__u64)query_path, sizeof(query_path), &a), "query %s", what);
}

/* What is answered, path and all, as @event of @prog; the path in a buffer of every awkward size.
 */
static void try_answers(const char *what, int event, __u32 prog, const char *path, __u64 offset)
{
	__u32 n = (__u32)strlen(path), rooms[] = {n + 1, n, 2, 1, 0};
	__u64 p = (__u64)query_path;
	union bpf_attr a;

	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		memset(query_path, 'x', sizeof(query_path));
		say(query(getpid(), event, 0, p, rooms[i], &a), "query %s, room %zu", what, i);
		printf("says: prog %d type %u offset %d addr %llu length %d, written %d\n",
		       a.task_fd_query.prog_id == prog, a.task_fd_query.fd_type,
		       a.task_fd_query.probe_offset == offset, a.task_fd_query.probe_addr,
		       (int)(a.task_fd_query.buf_len - n),
		       rooms[i] && !strncmp(query_path, path, rooms[i] - 1) &&
			       strlen(query_path) == rooms[i] - 1);
	}
	say(query(getpid(), event, 0, 0, 100, &a), "query %s, no buffer", what);
	printf("says: length %d\n", (int)(a.task_fd_query.buf_len - n));
	say(query(getpid(), event, 0, 8, n + 1, &a), "query %s, wrong address", what);
	say(query(getpid(), event, 0, 8, 1, &a), "query %s, wrong address, no room", what);
}

/* Never called: what is traced only has to be a function in this file. */
__attribute__((noinline, used)) void traced(void);
void traced(void)
{
	__asm__ volatile("nop");
}

/* A uprobe event on that function, or -errno. */
static int open_uprobe(const char *path, __u64 offset, int ret)
{
	struct perf_event_attr a = {.size = sizeof(a), .config = (__u64)ret};
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	int fd;

	if (!f || fscanf(f, "%u", &a.type) != 1)
		a.type = ~0u;
	if (f)
		fclose(f);
	a.uprobe_path = (__u64)path;
	a.probe_offset = offset;
	fd = (int)syscall(SYS_perf_event_open, &a, getpid(), -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Where in its file the function is. */
static __u64 file_offset(const void *p)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long lo, hi, off, at = (unsigned long)p;
	__u64 found = 0;
	char line[4352];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &lo, &hi, &off) == 3 && at >= lo && at < hi)
			found = at - lo + off;
	if (f)
		fclose(f);
	return found;
}

static int load_kprobe(void)
{
	struct bpf_insn insns[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0},
				   {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "traces", "GPL", insns, 2, NULL);
}

static void query_event(const char *what, int prog, int ret)
{
	__u64 offset = file_offset((const void *)traced);
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);
	char path[4096] = "";
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int event = open_uprobe(path, offset, ret), copy;

	say(event, "open %s%s", what, n > 0 && offset ? "" : " without a name");
	try_query(what, getpid(), event, 0); /* no program yet */
	bpf_obj_get_info_by_fd(prog, &info, &len);
	say(ioctl(event, PERF_EVENT_IOC_SET_BPF, prog), "give %s a program", what);
	try_answers(what, event, info.id, path, offset);
	copy = dup(event);
	close(event);
	try_query("the closed", getpid(), event, 0);
	try_query("a copy", getpid(), copy, 0);
	close(copy);
}

static void query_link(int prog)
{
	char path[4096] = "";
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int event = open_uprobe(n > 0 ? path : "", file_offset((const void *)traced), 0);
	int link = bpf_link_create(prog, event, BPF_PERF_EVENT, NULL);

	say(link < 0 ? -errno : link, "a link");
	try_query("a link", getpid(), link, 0);
	try_query("its event", getpid(), event, 0);
	close(link);
	try_query("its event, detached", getpid(), event, 0);
	close(event);
}

static void queries(void)
{
	int prog = load_kprobe(), map = create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	int file = open("/dev/null", O_RDONLY), pair[2] = {-1, -1};
	struct perf_event_attr sw = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(sw), .config = PERF_COUNT_SW_BPF_OUTPUT};
	int ring = (int)syscall(SYS_perf_event_open, &sw, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	char attr[256] = {0};

	try_query("no process", 0, file, 0);
	try_query("a process that is not", 0x3fffffff, file, 0);
	try_query("process -1", -1, file, 0);
	try_query("flags", getpid(), file, 1);
	try_query("flags of no process", 0, file, 1);
	try_query("a file", getpid(), file, 0);
	try_query("fd 9999", getpid(), 9999, 0);
	try_query("fd -1", getpid(), -1, 0);
	try_query("a map", getpid(), map, 0);
	try_query("a program", getpid(), prog, 0);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
		try_query("a socket", getpid(), pair[0], 0);
	try_query("a ring", getpid(), ring, 0);
	attr[offsetof(union bpf_attr, task_fd_query.probe_addr) + 8] = 1;
	say(raw(BPF_TASK_FD_QUERY, (union bpf_attr *)attr, sizeof(attr)), "query with more");
	query_event("uprobe", prog, 0);
	query_event("uretprobe", prog, 1);
	query_link(prog);
	close(ring);
	close(pair[0]);
	close(pair[1]);
	close(file);
	close(map);
	close(prog);
}

static void btfs(void)
{
	/* a header, one INT, its name */
	static const struct {
		struct {
			__u16 magic;
			__u8 version, flags;
			__u32 hdr_len, type_off, type_len, str_off, str_len;
		} h;
		__u32 types[4];
		char strings[6];
	} good = {{0xeb9f, 1, 0, 24, 0, 16, 16, 5}, {1, 1u << 24, 4, 1u << 24 | 32}, "\0int"};
	char bad[sizeof(good)];
	union bpf_attr a;
	int fd;

	fd = bpf_btf_load(&good, 24 + 16 + 5, NULL);
	say(fd < 0 ? -errno : fd, "load BTF");
	close(fd);
	say(bpf_btf_load(&good, 10, NULL), "load short BTF");
	for (int at = 0; at < 45; at++) {
		memcpy(bad, &good, sizeof(bad));
		bad[at] ^= 0x55;
		fd = bpf_btf_load(bad, 45, NULL);
		say(fd < 0 ? -errno : fd, "load BTF, byte %d wrong", at);
		if (fd >= 0)
			close(fd);
	}
	memset(&a, 0, sizeof(a));
	a.btf = 8;
	a.btf_size = 45;
	say(raw(BPF_BTF_LOAD, &a, sizeof(a)), "load BTF from a wrong address");
	a.btf_size = 1u << 30;
	say(raw(BPF_BTF_LOAD, &a, sizeof(a)), "load too much BTF");
}

/* --- feature probes, as libbpf and bpftool make them -------------------------------------------
 */

static void probes(void)
{
	for (size_t t = 0; t < NTYPES; t++)
		printf("probe map %s: %d\n", types[t].name,
		       libbpf_probe_bpf_map_type(types[t].type, NULL));
	printf("probe map array_of_maps: %d\n",
	       libbpf_probe_bpf_map_type(BPF_MAP_TYPE_ARRAY_OF_MAPS, NULL));
	printf("probe map hash_of_maps: %d\n",
	       libbpf_probe_bpf_map_type(BPF_MAP_TYPE_HASH_OF_MAPS, NULL));
	printf("probe prog kprobe: %d\n", libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_KPROBE, NULL));
	printf("probe helper attach_cookie: %d\n",
	       libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_get_attach_cookie, NULL));
	printf("probe helper ktime: %d\n",
	       libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_ktime_get_ns, NULL));
}

int main(int argc, char **argv)
{
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(NULL);
	for (size_t t = 0; t < NTYPES; t++) {
		creations((int)t);
		elements((int)t);
		if (!types[t].key)
			values((int)t);
		modes((int)t, 0, "plain");
		modes((int)t, BPF_F_RDONLY, "rdonly");
		modes((int)t, BPF_F_WRONLY, "wronly");
		modes((int)t, BPF_F_RDONLY_PROG, "rdonly_prog");
		batches((int)t);
		mappings((int)t, 0, "plain");
		mappings((int)t, BPF_F_MMAPABLE, "mmapable");
		mappings((int)t, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG, "mmapable rdonly_prog");
	}
	outers();
	attributes();
	infos();
	programs();
	logs();
	pins();
	test_runs();
	ids();
	bindings();
	queries();
	btfs();
	probes();
	return 0;
}
