// SPDX-License-Identifier: BSD-2-Clause
/*
 * Asks libbpf's feature probes about every map type, program type and helper there could be; prints
 * what there is, a line each: "map 1", "prog 2", "helper 14".
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>

#define MAPS 40
#define PROGS 40
#define HELPERS 230

int main(void)
{
	libbpf_set_print(NULL);
	for (int i = 1; i < MAPS; i++)
		if (libbpf_probe_bpf_map_type(i, NULL) == 1)
			printf("map %d\n", i);
	for (int i = 1; i < PROGS; i++)
		if (libbpf_probe_bpf_prog_type(i, NULL) == 1)
			printf("prog %d\n", i);
	for (int i = 1; i < HELPERS; i++)
		if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, i, NULL) == 1)
			printf("helper %d\n", i);
	for (int i = 1; i < HELPERS; i++)
		if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_SOCKET_FILTER, i, NULL) == 1)
			printf("filter %d\n", i);
	return 0;
}
