// SPDX-License-Identifier: BSD-2-Clause
/* A library with a USDT probe and its counter. */
#include "usdt.h"

USDT_COUNTER(lib_entry_semaphore);

long usdt_lib(long n)
{
	if (lib_entry_semaphore)
		__asm__ volatile(USDT(NOP, "lib", "entry", "lib_entry_semaphore", "-8@%%rdi 4@$6")
				 :
				 : "D"(n));
	return n * 3;
}
