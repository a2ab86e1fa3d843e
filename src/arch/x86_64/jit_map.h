/* SPDX-License-Identifier: BSD-2-Clause */
/* Map operations that JIT code does without their helper. */
#pragma once

#include "jit_emit.h"

/*
 * bpf_map_lookup_elem() as JIT code has its arguments: rdi a map of the program, rsi the key, which
 * must be readable; the value's address in rax. Like any call it costs the argument registers.
 */
void jit_map_lookup(struct emit *e);
