/* SPDX-License-Identifier: BSD-2-Clause */
/* Which bug is in (core/load/mutant.h): the number in EBPF_MUTANT, from before main(). */
#include <stdlib.h>

int ebpf_mutant;

__attribute__((constructor)) static void choose(void)
{
	const char *number = getenv("EBPF_MUTANT");

	ebpf_mutant = number ? atoi(number) : 0;
}
