// SPDX-License-Identifier: BSD-2-Clause
/*
 * A library of a thousand functions, and of names that are more, or less, than they seem: two names
 * of one function, two versions of one name, a name that is resolved at load time, and code that
 * can't be probed.
 */
#define F(n)                                                                                       \
	__attribute__((noinline)) long m_##n(long x)                                               \
	{                                                                                          \
		return x + 1##n;                                                                   \
	}
#define F10(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7) F(n##8) F(n##9)
#define F100(n)                                                                                    \
	F10(n##0)                                                                                  \
	F10(n##1) F10(n##2) F10(n##3) F10(n##4) F10(n##5) F10(n##6) F10(n##7) F10(n##8) F10(n##9)
F100(0)
F100(1) F100(2) F100(3) F100(4) F100(5) F100(6) F100(7) F100(8) F100(9)

	__attribute__((noinline)) long twice_a(long x)
{
	return x * 2;
}
long twice_b(long x) __attribute__((alias("twice_a")));

__attribute__((noinline)) long chosen_one(long x)
{
	return x * 3;
}
static long (*choose(void))(long)
{
	return chosen_one;
}
long chosen(long x) __attribute__((ifunc("choose")));

__attribute__((noinline)) long old_versioned(long x)
{
	return x * 5;
}
__attribute__((noinline)) long new_versioned(long x)
{
	return x * 7;
}
__asm__(".symver old_versioned, versioned@V1\n.symver new_versioned, versioned@@V2");

__attribute__((naked)) long m_bad_hlt(long x)
{
	__asm__("hlt\nret");
}
__attribute__((naked)) long m_bad_port(long x)
{
	__asm__("in %dx, %al\nret");
}
