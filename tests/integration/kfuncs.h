/* SPDX-License-Identifier: BSD-2-Clause */
/* What kfuncs.bpf.c finds out, for kfuncs.c to print: a number each. */
#pragma once

#define RESULTS(X)                                                                                 \
	X(runs)                                                                                    \
	X(for_sum)                                                                                 \
	X(for_empty)                                                                               \
	X(for_backwards)                                                                           \
	X(for_too_many)                                                                            \
	X(for_negative)                                                                            \
	X(for_break)                                                                               \
	X(for_nested)                                                                              \
	X(repeat)                                                                                  \
	X(in_subprogram)                                                                           \
	X(in_callback)                                                                             \
	X(in_rcu)                                                                                  \
	X(absent)

#define MEMBER(name) long long name;
struct results {
	RESULTS(MEMBER)
};
