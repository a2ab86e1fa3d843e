/* SPDX-License-Identifier: BSD-2-Clause */
/* No JIT here: programs run on the interpreter. */
#include <errno.h>

#include "arch/arch.h"

int arch_jit(const struct ebpf_image *img, u8 *out, size_t cap, u32 *len, u32 *entry)
{
	return -EOPNOTSUPP;
}
