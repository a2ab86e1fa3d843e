/* SPDX-License-Identifier: BSD-2-Clause */
/* What the program of maps.bpf.c leaves for maps.c: one structure a map type. */
#ifndef EBPFRT_TESTS_MAPS_H
#define EBPFRT_TESTS_MAPS_H

struct results {
	struct {
		unsigned long long sum; /* over the CPUs */
		unsigned int cpus, found_behind;
		int update;
	} lru_percpu;
	struct {
		int peek_empty, push[4], push_out, peek, pop, push_flags;
		unsigned int peeked, popped, emptied;
	} fifo[2]; /* queue, stack */
	struct {
		int push, flags, in, out, of_user;
	} bloom;
	struct {
		unsigned int found, hash_found; /* bit n: element n leads to a map */
		unsigned long long runs, missed;
		int update;
	} inner;
	struct {
		long drained;
		unsigned long long sum, tagged;
	} commands;
};

#endif
