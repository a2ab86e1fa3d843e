/* SPDX-License-Identifier: BSD-2-Clause */
/* What events.bpf.c sends and events.c receives. */
#pragma once

struct event {
	unsigned long long ts;
	unsigned int pid, tid;
	unsigned long long size;
	char comm[16];
};
