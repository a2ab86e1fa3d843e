/* SPDX-License-Identifier: BSD-2-Clause */
/* The interpreter, as prog.c sees it. Internal to core/run. */
#pragma once

#include "core/run/prog.h"

/* Run run->prog from its start on @ctx. @run is set up but for engine and callback. */
u64 ebpf_interp(void *ctx, struct ebpf_run *run);
