/* SPDX-License-Identifier: BSD-2-Clause */
/* What a dynptr is to the helpers. Internal to core/run. */
#pragma once

#include "core/uapi.h"

/*
 * Two slots of the program's stack, which the verifier lets nothing but these functions read or
 * write: so there may be an address in it.
 */
struct ebpf_dynptr {
	u8 *data;  /* of the whole memory; NULL: there is none, and nothing but that can be asked */
	u32 size;  /* of the part it shows, bytes */
	u32 start; /* of that part */
};
_Static_assert(sizeof(struct ebpf_dynptr) == sizeof(struct bpf_dynptr), "two slots");

#define EBPF_DYNPTR_MAX ((1u << 24) - 1)

static inline struct ebpf_dynptr *ebpf_dynptr(u64 arg)
{
	return (struct ebpf_dynptr *)(uintptr_t)arg;
}
