/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps for the benchmarks: bound to anonymous shared memory, without a daemon. What fails ends the
 * program. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/run/map/ringbuf.h"
#include "tests/support/engine.h"

static inline u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static inline void *memory(u64 size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	memset(p, 0, size);
	return p;
}

static inline void bind(struct ebpf_map *map, struct ebpf_map_meta meta, void *base)
{
	u64 size = ebpf_map_shm_size(&meta);

	meta.nr_cpus = meta.nr_cpus ? meta.nr_cpus : 2;
	if (ebpf_map_bind(map, &meta, base ? base : memory(size), size)) {
		fprintf(stderr, "map type %u: can't be bound\n", meta.type);
		exit(1);
	}
}

static inline void bind_ring(struct ebpf_map *map, u32 bytes)
{
	struct ebpf_map_meta meta = {.type = BPF_MAP_TYPE_RINGBUF, .max_entries = bytes};
	struct ebpf_map_part part[2];
	u8 *base = memory(ebpf_ringbuf_layout(&meta, part));
	int fd = memfd_create("ring", 0);

	if (fd < 0 || ftruncate(fd, (off_t)ebpf_map_shm_size(&meta)))
		exit(1);
	for (u32 i = 0; i < 2; i++)
		if (mmap(base + part[i].at, part[i].len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, (off_t)part[i].off) == MAP_FAILED)
			exit(1);
	close(fd);
	bind(map, meta, base);
}

/* As if the reader had read everything: the cost of a reader is not the producer's. */
static inline void ring_read(void *base)
{
	*(u64 *)base = *(u64 *)((u8 *)base + EBPFRT_PAGE_SIZE);
}

/* engine_load()'s map_by_fd: the one map that there is. */
static inline const struct ebpf_map_meta *only_map(void *cookie, s32 fd, bool is_index)
{
	return &((struct ebpf_map *)cookie)->meta;
}

/* A compiled program that refers to @map. */
static inline void load_program(struct engine *e, struct ebpf_map *map,
				const struct bpf_insn *insns, u32 n)
{
	e->load.map_by_fd = only_map;
	e->load.cookie = map;
	if (engine_load(e, insns, n, true) || !e->prog.code) {
		fprintf(stderr, "bench: no compiled programs here: %s\n", e->text);
		exit(1);
	}
	for (u32 i = 0; i < ENGINE_REFS; i++)
		e->refs[i] = (u64)(uintptr_t)map;
}
