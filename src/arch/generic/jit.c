/* SPDX-License-Identifier: BSD-2-Clause */
/* No JIT here: programs run on the interpreter. */
#include <errno.h>

#include "arch/arch.h"

bool arch_jit_asks;

int arch_jit(const struct ebpf_image *img, u8 *out, size_t cap, struct arch_code *code)
{
	return -EOPNOTSUPP;
}

int arch_jit_leaf(const struct ebpf_image *img, u8 *out, struct arch_leaf *leaf)
{
	return -EOPNOTSUPP;
}
