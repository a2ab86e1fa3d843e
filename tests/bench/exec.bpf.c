/* SPDX-License-Identifier: BSD-2-Clause */
/* Three programs that only compute: division, memory, shifts and branches. exec.c includes this
 * file for the same natively. */
#ifndef NATIVE
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(unroll n)
#define WORDS 131072

u64 data[WORDS];
u64 hist[64];
#endif
#define SAMPLES 4096

/* how many primes are below 1000 */
SEC("socket/prime") int prime(void *ctx)
{
	u32 n = 0;

	for (u32 i = 2; i < 1000; i++) {
		u32 is_prime = 1;

		for (u32 j = 2; j * j <= i; j++) {
			if (i % j == 0) {
				is_prime = 0;
				break;
			}
		}
		n += is_prime;
	}
	return (int)n;
}

/* sum of 1 MiB of words */
SEC("socket/sum") int sum(void *ctx)
{
	u64 s = 0;

	UNROLL(8)
	for (u32 i = 0; i < WORDS; i++)
		s += *(volatile u64 *)&data[i];
	return (int)s;
}

u32 log2_of(u64 v);

/* histogram of 4096 values */
SEC("socket/log2hist") int log2hist(void *ctx)
{
	UNROLL(1)
	for (u32 i = 0; i < SAMPLES; i++)
		hist[log2_of(*(volatile u64 *)&data[i]) & 63]++;
	return (int)hist[40];
}

/* global: the kernel verifies it once, not once per sample */
__attribute__((noinline)) u32 log2_of(u64 v)
{
	u32 high = v >> 32, r = 0, s, x = high ? high : (u32)v;

	r = (x > 0xffff) << 4;
	x >>= r;
	s = (x > 0xff) << 3;
	x >>= s;
	r |= s;
	s = (x > 0xf) << 2;
	x >>= s;
	r |= s;
	s = (x > 0x3) << 1;
	x >>= s;
	r |= s;
	r |= x >> 1;
	return r + (high ? 32 : 0);
}

#ifndef NATIVE
char _license[] SEC("license") = "Dual BSD/GPL";
#endif
