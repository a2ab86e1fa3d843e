/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random programs for the verifier: most of them make sense, many of them just don't.
 *
 * Rules: the maps are those of tests/support/checked.h, by index. The same seed gives the same
 * program.
 */
#pragma once

#include "base/macros.h"
#include "core/uapi.h"

#define VGEN_MAX 400u
#define VGEN_KERNEL 1u /* nothing that needs BTF: no locks, no kernel functions */

/* Instructions written to @out (of VGEN_MAX). */
u32 verify_generate(u64 *random, u32 flags, struct bpf_insn *out);
/* Change one operand, opcode, offset or constant. */
void verify_mutate(u64 *random, struct bpf_insn *insns, u32 n);

/* A BTF with an int, its function, and a static `f` (type 3); info that every function is one. */
#define VGEN_FUNCTIONS 64u
const void *verify_btf(u32 *size);
u32 verify_functions(const struct bpf_insn *insns, u32 n, struct bpf_func_info *out);
