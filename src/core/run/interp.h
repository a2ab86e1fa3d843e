/* SPDX-License-Identifier: BSD-2-Clause */
/* The interpreter, as prog.c sees it. Internal to core/run. */
#pragma once

#include "core/run/prog.h"

/* Run run->prog from its start on @ctx. @run is set up but for engine and callback. */
u64 ebpf_interp(void *ctx, struct ebpf_run *run);

/* The same of one function: @ctx is a struct ebpf_interp_call. */
struct ebpf_interp_call {
	u32 pc;
	u64 args[5];
};
u64 ebpf_interp_call(void *ctx, struct ebpf_run *run);

/* The function behind a BPF_PSEUDO_FUNC value of the interpreter. False: there is none. */
bool ebpf_interp_callback(const struct ebpf_image *img, u64 fn, u32 *pc);
