// SPDX-License-Identifier: BSD-2-Clause
/* The rows of the map of usdt.bpf.c. */
#define ARGS 12
#define ROW 15
enum {
	P_REGISTERS,
	P_MEMORY,
	P_CONSTANTS,
	P_NOP5,
	P_NOP10,
	P_BARE5,
	P_BARE10,
	P_SEVERAL,
	P_GUARDED,
	P_LIB,
	P_OTHER,
	PROBES
};
