/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random scalars for tests of the domain, at any width: numbers are likely to be at an edge, and
 * the parts of a scalar are chosen around a number, so that it isn't empty.
 */
#pragma once

#include <stdlib.h>
#include <time.h>

#include "core/load/scalar_view.h"

/* DOMAIN_SEED repeats a run. */
static inline u64 random_seed(void)
{
	const char *given = getenv("DOMAIN_SEED");
	struct timespec now;

	if (given)
		return strtoull(given, NULL, 0);
	clock_gettime(CLOCK_REALTIME, &now);
	return (u64)now.tv_sec * 1000000007ull ^ (u64)now.tv_nsec;
}

/* splitmix64 */
static inline u64 random_next(u64 *seed)
{
	u64 z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* A number of the domain's width: near 0, a power of two, an edge of a half, or anything. */
static inline u64 random_number(u64 *seed)
{
	u64 r = random_next(seed);
	u64 near = (r >> 8) % 5 - 2;

	switch (r % 6) {
	case 0:
		return zero_extend(near, BITS);
	case 1:
		return zero_extend((1ull << (r >> 16) % BITS) + near, BITS);
	case 2:
		return zero_extend(EBPF_UMAX(HALF) / 2 + 1 + near, BITS);
	case 3:
		return zero_extend(-(1ull << (r >> 16) % BITS) + near, BITS);
	case 4:
		return zero_extend(random_next(seed) >> (r >> 16) % BITS, BITS);
	default:
		return zero_extend(random_next(seed), BITS);
	}
}

static inline void around(u64 *seed, u64 x, u32 width, u64 *min, u64 *max, s64 *smin, s64 *smax)
{
	u64 a = zero_extend(random_number(seed), width),
	    b = zero_extend(random_number(seed), width);
	s64 s = sign_extend(x, width), sa = sign_extend(random_number(seed), width),
	    sb = sign_extend(random_number(seed), width);
	u64 which = random_next(seed);

	*min = which & 1 ? MIN(a, x) : 0;
	*max = which & 2 ? MAX(b, x) : EBPF_UMAX(width);
	*smin = which & 4 ? MIN(sa, s) : signed_min(width);
	*smax = which & 8 ? MAX(sb, s) : signed_max(width);
}

/* Parts that have a number in common, which is returned; not synced. */
static inline u64 random_parts(u64 *seed, struct ebpf_scalar *s)
{
	u64 x = random_number(seed), mask = random_number(seed), min, max;
	s64 smin, smax;

	if (random_next(seed) % 4 == 0)
		mask |= random_next(seed);
	if (random_next(seed) % 4 == 0)
		mask = EBPF_UMAX(BITS);
	mask = zero_extend(mask, BITS);
	s->var_off = (struct ebpf_tnum){x & ~mask, mask};
	around(seed, x, BITS, &s->umin, &s->umax, &s->smin, &s->smax);
	around(seed, zero_extend(x, HALF), HALF, &min, &max, &smin, &smax);
	s->u32_min = (u32)min;
	s->u32_max = (u32)max;
	s->s32_min = (s32)smin;
	s->s32_max = (s32)smax;
	return x;
}
