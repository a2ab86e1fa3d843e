/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the map types share: a map in shared anonymous memory, the kernel's map of the
 * same kind as the oracle (where bpf(2) is allowed), participants that die, random numbers whose
 * seed is printed.
 */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/run/map/map.h"
#include "core/run/prog.h"

#define TEST_CPUS 4

struct test_shared {
	u8 dead[4096];
	u32 go;
	u64 words[64];
};
static struct test_shared *shared __maybe_unused;

static __maybe_unused bool test_owner_dead(u32 who)
{
	return who < sizeof(shared->dead) && __atomic_load_n(&shared->dead[who], __ATOMIC_ACQUIRE);
}

static __maybe_unused void *test_mmap(u64 size)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(base, MAP_FAILED);
	return base;
}

/* Everyone in the test is participant 1 until it says otherwise. */
static __maybe_unused void test_participants(void)
{
	shared = test_mmap(sizeof(*shared));
	ebpf_owner_dead = test_owner_dead;
	ebpf_map_self = 1;
}

static __maybe_unused struct ebpf_map_meta test_meta(u32 type, u32 key, u32 value, u32 max,
						     u32 flags)
{
	return (struct ebpf_map_meta){
		.type = type,
		.key_size = key,
		.value_size = value,
		.max_entries = max,
		.map_flags = flags,
		.nr_cpus = TEST_CPUS,
	};
}

static __maybe_unused void test_map(struct ebpf_map *map, u32 type, u32 key, u32 value, u32 max,
				    u32 flags)
{
	struct ebpf_map_meta meta = test_meta(type, key, value, max, flags);
	u64 size;

	cr_assert_eq(ebpf_map_check(&meta), 0);
	size = ebpf_map_shm_size(&meta);
	cr_assert_eq(size % 4096, 0);
	cr_assert_eq(ebpf_map_bind(map, &meta, test_mmap(size), size), 0);
}

/* A child that does not outlive a test that failed. */
static __maybe_unused pid_t test_fork(u32 who)
{
	pid_t parent = getpid(), pid = fork();

	cr_assert_geq(pid, 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	ebpf_map_self = who;
	return 0;
}

/* xorshift; EBPFRT_TEST_SEED repeats a run */
static u64 test_rand_state;

static __maybe_unused void test_seed(void)
{
	const char *env = getenv("EBPFRT_TEST_SEED");

	test_rand_state = env ? strtoull(env, NULL, 0) : (u64)time(NULL) << 20 ^ (u64)getpid();
	test_rand_state |= 1;
	fprintf(stderr, "# EBPFRT_TEST_SEED=%#llx\n", (unsigned long long)test_rand_state);
}

static __maybe_unused u32 test_rand(void)
{
	test_rand_state ^= test_rand_state << 13;
	test_rand_state ^= test_rand_state >> 7;
	test_rand_state ^= test_rand_state << 17;
	return (u32)(test_rand_state >> 16);
}

static __maybe_unused u64 test_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

/* ---- the kernel as the oracle: 0 or -errno ---- */

static __maybe_unused int kernel_bpf(int cmd, union bpf_attr *attr)
{
	long ret = syscall(__NR_bpf, cmd, attr, sizeof(*attr));

	return ret < 0 ? -errno : (int)ret;
}

static __maybe_unused int kernel_create(u32 type, u32 key, u32 value, u32 max, u32 flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = type;
	attr.key_size = key;
	attr.value_size = value;
	attr.max_entries = max;
	attr.map_flags = flags;
	return kernel_bpf(BPF_MAP_CREATE, &attr);
}

static __maybe_unused bool kernel_usable(void)
{
	int fd = kernel_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static __maybe_unused int kernel_elem(int cmd, int fd, const void *key, const void *value,
				      u64 flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = fd;
	attr.key = (u64)(uintptr_t)key;
	attr.value = (u64)(uintptr_t)value;
	attr.flags = flags;
	return kernel_bpf(cmd, &attr);
}
