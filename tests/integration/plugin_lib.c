// SPDX-License-Identifier: BSD-2-Clause
/* A library that comes later: loaded by the target's `load` command. */
__attribute__((visibility("default"), noinline)) long later(long n)
{
	__asm__ volatile("" ::: "memory");
	return n + 5;
}
