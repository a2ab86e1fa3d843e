/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the planted bugs is in: the number in EBPF_MUTANT. Only in the build for `make mutants`.
 */
#include <stdlib.h>

int ebpf_mutant;

__attribute__((constructor)) static void choose(void)
{
	const char *number = getenv("EBPF_MUTANT");

	ebpf_mutant = number ? atoi(number) : 0;
}
