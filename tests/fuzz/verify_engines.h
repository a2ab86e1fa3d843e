/* SPDX-License-Identifier: BSD-2-Clause */
/* The engines beside the checked interpreter: the same program, world and answers. */
#pragma once

#include "tests/support/checked.h"

/*
 * Run the program on the interpreter and as JIT code and compare with what @k saw. 0, also when
 * they can't be compared; -1 with the difference in @why (200 bytes). *@compared: how many were.
 */
int verify_engines(const struct ebpf_vprog *prog, const struct ebpf_facts *facts,
		   struct checked *const *k, u32 n, char *why, u64 *compared);
