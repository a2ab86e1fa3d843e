// SPDX-License-Identifier: BSD-2-Clause
/* A function of a name that another file has for one of another type. */
long other_twin(long n);

static __attribute__((noinline, noclone)) long twin(long a, const char *b)
{
	__asm__ volatile("" ::: "memory");
	return a + *b;
}

long other_twin(long n)
{
	return twin(n, "x");
}
