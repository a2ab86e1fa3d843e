/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's maps and programs, for comparison with ours. Where they can't be had, .why says so.
 */
#pragma once

#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include "tests/bench/maps.h"

struct kernel_map {
	int fd;
	void *ring; /* its consumer's page and, behind it, the producer's */
	const char *why;
};

static inline int kernel_bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static inline void *kernel_ring(int fd)
{
	u8 *at = mmap(NULL, 2 * EBPFRT_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *cons, *prod;

	if (at == MAP_FAILED)
		return NULL;
	cons = mmap(at, EBPFRT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	prod = mmap(at + EBPFRT_PAGE_SIZE, EBPFRT_PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
		    EBPFRT_PAGE_SIZE);
	return cons == MAP_FAILED || prod == MAP_FAILED ? NULL : at;
}

/* Of values of 8 bytes, or a ring of @entries bytes. */
static inline void kernel_map_open(struct kernel_map *k, u32 type, u32 key_size, u32 entries)
{
	bool ring = type == BPF_MAP_TYPE_RINGBUF;
	union bpf_attr attr = {.map_type = type,
			       .key_size = key_size,
			       .value_size = ring ? 0 : 8,
			       .max_entries = entries};

	*k = (struct kernel_map){.fd = kernel_bpf(BPF_MAP_CREATE, &attr)};
	if (k->fd < 0)
		k->why = strerror(errno);
	else if (ring && !(k->ring = kernel_ring(k->fd)))
		k->why = "its ring can't be mapped";
}

static inline void kernel_map_put(struct kernel_map *k, u64 at)
{
	u64 key[2] = {at}, value[64] = {0};
	union bpf_attr attr = {
		.map_fd = (u32)k->fd, .key = (uintptr_t)key, .value = (uintptr_t)value};

	if (kernel_bpf(BPF_MAP_UPDATE_ELEM, &attr))
		k->why = "its map can't be filled";
}

static inline void kernel_map_close(struct kernel_map *k)
{
	if (k->ring)
		munmap(k->ring, 2 * EBPFRT_PAGE_SIZE);
	if (k->fd >= 0)
		close(k->fd);
}

/* A program's descriptor, or -1 and *why. */
static inline int kernel_load(const struct bpf_insn *insns, u32 n, const char **why)
{
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
			       .insns = (uintptr_t)insns,
			       .insn_cnt = n,
			       .license = (uintptr_t) "Dual BSD/GPL"};
	int fd = kernel_bpf(BPF_PROG_LOAD, &attr);

	if (fd < 0)
		*why = strerror(errno);
	return fd;
}

/* ns of one of @repeat runs, by the kernel's clock, without what it was preempted; 0 and *why. */
static inline double kernel_run(int prog, u32 repeat, const char **why)
{
	u8 packet[64] = {0};
	union bpf_attr attr = {.test = {.prog_fd = (u32)prog,
					.data_in = (uintptr_t)packet,
					.data_size_in = sizeof(packet),
					.repeat = repeat}};

	if (kernel_bpf(BPF_PROG_TEST_RUN, &attr)) {
		*why = strerror(errno);
		return 0;
	}
	return attr.test.duration;
}
