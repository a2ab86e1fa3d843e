/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Places where a small bug can be planted, to show that the tests would find it.
 *
 *	umax = EBPF_MUTANT(7, b->umax - 1, b->umax);
 *
 * is `b->umax - 1` in every build but the one for `make mutants`, where the variable ebpf_mutant
 * chooses at run time which one of the bugs is in (0: none), so that one build serves them all. A
 * number is used once; tests/mutants/list says in a line what each one does. Both sides must
 * compile without a warning and have one type.
 */
#pragma once

#ifdef EBPF_MUTANT_ON
extern int ebpf_mutant;
#define EBPF_MUTANT(n, good, bad) (__builtin_expect(ebpf_mutant == (n), 0) ? (bad) : (good))
#else
#define EBPF_MUTANT(n, good, bad) (good)
#endif
