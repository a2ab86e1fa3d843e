/* SPDX-License-Identifier: BSD-2-Clause */
/* The BTF that stands for the kernel's, as the bytes of a BTF file; no libbpf. */
#pragma once

#include "base/macros.h"
#include "base/types.h"

/* *@out is malloc'ed. 0, or -ENOMEM. */
int btf_builtin_raw(void **out, u32 *size);
