/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bpf_printk line on its way to the daemon: one record of the trace map, a RINGBUF. Written by
 * any process that runs programs, so nothing in it is to be believed: check len against the
 * record's size. Timers that are started come the same way (timer.h).
 */
#pragma once

#include "base/macros.h"

#define EBPF_TRACE_TIMER UINT32_MAX /* in place of len: no line */
#define EBPF_TRACE_TEXT_MAX 1024    /* NUL included, as in the kernel */

struct ebpf_trace_rec {
	u64 ts; /* CLOCK_MONOTONIC, ns */
	u32 tgid;
	u32 tid;
	u32 cpu;
	u32 len; /* bytes of text, without a NUL; the text is not terminated */
	char comm[16];
	char text[];
};
