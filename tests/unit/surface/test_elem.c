/* SPDX-License-Identifier: BSD-2-Clause */
/* Element commands on shared memory: results and errno as bpf(2) has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "fake.h"

TestSuite(elem, .init = fake_start, .fini = fake_stop, .timeout = 20);

static int elem(int cmd, int fd, const void *key, const void *value, u64 flags)
{
	union bpf_attr a = {
		.map_fd = (u32)fd, .key = (u64)key, .value = (u64)value, .flags = flags};

	return bpf_call(cmd, &a, sizeof(a)) < 0 ? -errno : 0;
}

Test(elem, hash_update_lookup_delete)
{
	int fd = fake_map(BPF_MAP_TYPE_HASH, 4, 8, 16, 0);
	u32 key = 7;
	u64 value = 42, got = 0;

	cr_assert_geq(fd, 0);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &got, 0), -ENOENT);
	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_EXIST), -ENOENT);
	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0), 0);
	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_NOEXIST), -EEXIST);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &got, 0), 0);
	cr_assert_eq(got, 42);
	got = 0;
	cr_assert_eq(elem(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, &key, &got, 0), 0);
	cr_assert_eq(got, 42);
	cr_assert_eq(elem(BPF_MAP_DELETE_ELEM, fd, &key, NULL, 0), -ENOENT);
	cr_assert_eq(fake->requests, 1, "element commands send nothing");
}

Test(elem, flags_and_descriptors)
{
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0);
	u32 key = 0;
	u64 value = 1;

	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, BPF_F_LOCK), -EINVAL);
	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_F_LOCK), -EINVAL);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 1ULL << 40), -EINVAL);
	cr_assert_eq(elem(BPF_MAP_DELETE_ELEM, fd, &key, NULL, 1), -EINVAL);
	cr_assert_eq(elem(BPF_MAP_DELETE_ELEM, fd, &key, NULL, 0), -EINVAL);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, &key, &value, 0), -524);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, 9999, &key, &value, 0), -EBADF);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, 0, &key, &value, 0), -EINVAL);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, NULL, &value, 0), -EFAULT);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, NULL, 0), -EFAULT);
	key = 2;
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0), -ENOENT);
	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0), -E2BIG);
}

Test(elem, attribute_size)
{
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0);
	u64 big[64] = {0};
	u32 key = 0;
	u64 value = 0;
	union bpf_attr *a = (void *)big;

	a->map_fd = (u32)fd;
	a->key = (u64)&key;
	a->value = (u64)&value;
	cr_assert_eq(bpf_call(BPF_MAP_LOOKUP_ELEM, big, sizeof(big)), 0);
	cr_assert_eq(bpf_call(BPF_MAP_LOOKUP_ELEM, big, 24), 0);
	big[60] = 1;
	cr_assert_eq(bpf_call(BPF_MAP_LOOKUP_ELEM, big, sizeof(big)), -1);
	cr_assert_eq(errno, E2BIG);
	big[60] = 0;
	big[5] = 1;
	cr_assert_eq(bpf_call(BPF_MAP_LOOKUP_ELEM, big, sizeof(big)), -1);
	cr_assert_eq(errno, EINVAL);
	cr_assert_eq(bpf_call(BPF_MAP_LOOKUP_ELEM, (void *)8, 24), -1);
	cr_assert_eq(errno, EFAULT);
}

Test(elem, access_modes)
{
	int ro = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY);
	int wo = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_WRONLY);
	u32 key = 0;
	u64 value = 3;

	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, ro, &key, &value, 0), 0);
	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, ro, &key, &value, 0), -EPERM);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, wo, &key, &value, 0), -EPERM);
	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, wo, &key, &value, 0), 0);
}

Test(elem, frozen)
{
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	union bpf_attr a = {.map_fd = (u32)fd};
	u32 key = 0;
	u64 value = 3;

	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0), 0);
	cr_assert_eq(bpf_call(BPF_MAP_FREEZE, &a, sizeof(a)), 0);
	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0), -EPERM);
	cr_assert_eq(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0), 0);
}

Test(elem, iteration_reaches_every_key)
{
	int fd = fake_map(BPF_MAP_TYPE_HASH, 4, 4, 100, 0);
	u8 seen[100] = {0};
	u32 key, next, n = 0;

	for (key = 0; key < 100; key++)
		cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &key, 0), 0);
	cr_assert_eq(elem(BPF_MAP_GET_NEXT_KEY, fd, NULL, &key, 0), 0);
	do {
		cr_assert_lt(key, 100);
		cr_assert_not(seen[key]++);
		n++;
		next = key;
	} while (elem(BPF_MAP_GET_NEXT_KEY, fd, &next, &key, 0) == 0);
	cr_assert_eq(n, 100);
}

Test(elem, a_child_reads_what_it_inherited)
{
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), status;
	u32 key = 0;
	u64 value = 9;
	pid_t pid;

	cr_assert_eq(elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0), 0);
	pid = fork();
	if (pid == 0) {
		value = 0;
		_exit(elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0) || value != 9);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}

/* --- batches --- */

static int batch(int cmd, int fd, void *in, void *out, void *keys, void *values, u32 *count)
{
	union bpf_attr a = {.batch = {.in_batch = (u64)in,
				      .out_batch = (u64)out,
				      .keys = (u64)keys,
				      .values = (u64)values,
				      .count = *count,
				      .map_fd = (u32)fd}};
	int err = bpf_call(cmd, &a, sizeof(a)) < 0 ? -errno : 0;

	*count = a.batch.count;
	return err;
}

static int filled_hash(u32 n)
{
	int fd = fake_map(BPF_MAP_TYPE_HASH, 4, 4, n, 0);
	u32 *keys = calloc(n, 4), count = n;

	for (u32 i = 0; i < n; i++)
		keys[i] = i;
	cr_assert_eq(batch(BPF_MAP_UPDATE_BATCH, fd, NULL, NULL, keys, keys, &count), 0);
	cr_assert_eq(count, n);
	free(keys);
	return fd;
}

static void walk_hash(int cmd, u32 step)
{
	int fd = filled_hash(90), err = 0;
	u32 keys[90], values[90], cursor[2] = {0, 0x5a5a5a5a}, n = 0, count;
	u8 seen[90] = {0};
	void *in = NULL;

	while (!err) {
		count = step;
		err = batch(cmd, fd, in, cursor, keys, values, &count);
		for (u32 i = 0; i < count; i++) {
			cr_assert_eq(keys[i], values[i]);
			cr_assert_not(seen[keys[i]]++);
		}
		n += count;
		in = cursor;
	}
	cr_assert_eq(err, -ENOENT);
	cr_assert_eq(n, 90);
	cr_assert_eq(cursor[1], 0x5a5a5a5a, "a hash table's position takes four bytes");
}

/* A bucket comes whole: with too little room for it, the position stays where it is. */
Test(elem, batch_without_room_for_a_bucket)
{
	int fd = fake_map(BPF_MAP_TYPE_HASH, 4, 4, 300, 0), err = 0, full = 0;
	u32 keys[300], values[300], cursor = 0, n = 0, count = 300, room = 1;
	unsigned int seed = 1;
	void *in = NULL;

	for (u32 i = 0; i < count; i++)
		keys[i] = (u32)rand_r(&seed);
	cr_assert_eq(batch(BPF_MAP_UPDATE_BATCH, fd, NULL, NULL, keys, keys, &count), 0);
	while (!err || err == -ENOSPC) {
		count = room;
		err = batch(BPF_MAP_LOOKUP_BATCH, fd, in, &cursor, keys, values, &count);
		cr_assert(err != -ENOSPC || count == 0);
		full += err == -ENOSPC;
		room = err == -ENOSPC ? room + 1 : 1;
		n += count;
		in = &cursor;
	}
	cr_assert_eq(err, -ENOENT);
	cr_assert_eq(n, 300);
	cr_assert_gt(full, 0, "300 keys in as many buckets: some share one");
}

/* The position means the same to every process, and to a descriptor that comes later. */
Test(elem, batch_goes_on_in_another_process)
{
	u32 keys[90], values[90], cursor = 0, count = 40, first;
	int fd = filled_hash(90), err, status;
	pid_t pid;

	cr_assert_eq(batch(BPF_MAP_LOOKUP_BATCH, fd, NULL, &cursor, keys, values, &count), 0);
	first = count;
	pid = fork();
	if (pid == 0) {
		count = 90;
		err = batch(BPF_MAP_LOOKUP_BATCH, fd, &cursor, &cursor, keys, values, &count);
		_exit(err == -ENOENT ? (int)count : 255);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 90 - first);
	cursor = 1u << 30;
	count = 90;
	cr_assert_eq(batch(BPF_MAP_LOOKUP_BATCH, fd, &cursor, &cursor, keys, values, &count),
		     -ENOENT);
	cr_assert_eq(count, 0);
}

Test(elem, batch_lookup_hash)
{
	walk_hash(BPF_MAP_LOOKUP_BATCH, 7);
	walk_hash(BPF_MAP_LOOKUP_BATCH, 90);
}

Test(elem, batch_lookup_and_delete_hash)
{
	walk_hash(BPF_MAP_LOOKUP_AND_DELETE_BATCH, 7);
	walk_hash(BPF_MAP_LOOKUP_AND_DELETE_BATCH, 45);
}

Test(elem, batch_delete_stops_at_the_first_error)
{
	int fd = filled_hash(8);
	u32 keys[3] = {1, 99, 2}, count = 3;

	cr_assert_eq(batch(BPF_MAP_DELETE_BATCH, fd, NULL, NULL, keys, NULL, &count), -ENOENT);
	cr_assert_eq(count, 1);
	count = 0;
	cr_assert_eq(batch(BPF_MAP_DELETE_BATCH, fd, NULL, NULL, keys, NULL, &count), 0);
}

Test(elem, batch_array)
{
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 8, 10, 0);
	u32 keys[10], position, count = 4;
	u64 values[10];

	for (u32 i = 0; i < 10; i++) {
		keys[i] = i;
		values[i] = 100 + i;
	}
	count = 10;
	cr_assert_eq(batch(BPF_MAP_UPDATE_BATCH, fd, NULL, NULL, keys, values, &count), 0);
	count = 4;
	cr_assert_eq(batch(BPF_MAP_LOOKUP_BATCH, fd, NULL, &position, keys, values, &count), 0);
	cr_assert_eq(count, 4);
	cr_assert_eq(position, 3);
	count = 10;
	cr_assert_eq(batch(BPF_MAP_LOOKUP_BATCH, fd, &position, &position, keys, values, &count),
		     -ENOENT);
	cr_assert_eq(count, 6);
	cr_assert_eq(values[0], 104);
	count = 1;
	cr_assert_eq(batch(BPF_MAP_DELETE_BATCH, fd, NULL, NULL, keys, NULL, &count), -524);
}
