/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What returns.c, returns.cc and returns.bpf.c have in common: the functions that are probed at
 * entry and return. The programs count by themselves which were entered and which returned; that is
 * what the probes have to agree with.
 */
#pragma once

#define RETURNS_FUNCS(X)                                                                           \
	X(leaf)                                                                                    \
	X(inner) X(middle) X(outer) X(tail_first) X(tail_second) X(tail_last) X(recurse) X(catcher)
/* those that are left by nothing but their own returns */
#define RETURNS_ENDED_BY_RET(X)                                                                    \
	X(leaf) X(inner) X(middle) X(outer) X(tail_last) X(recurse) X(catcher)
#define RETURNS_MAX 16
