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
};

#endif
