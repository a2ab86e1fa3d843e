/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The helpers a program can call: numbers, argument classes and semantics are the kernel's
 * (include/uapi/linux/bpf.h).
 *
 * One table row per helper. `ebpf_helper_table` is what a run uses; `ebpf_helpers` is the
 * description that PROG_LOAD's checks, `ebpfrt doctor` and the documentation read.
 */
#pragma once

#include "core/run/kfunc.h"
#include "core/run/prog.h"

enum ebpf_helper_where { /* bits: program kinds that may call it */
			 EBPF_H_ANY = ~0u,
			 EBPF_H_TRACING = 1u << 0, /* kprobe-type programs (uprobes) and perf_event,
						      tracepoint, raw_tracepoint */
			 EBPF_H_TYPED = 1u << 1,   /* typed programs alone */
};

struct ebpf_helper {
	const char *name; /* "bpf_map_lookup_elem", NULL: no such helper here */
	ebpf_helper_fn fn;
	u32 where; /* enum ebpf_helper_where bits */
};

extern const struct ebpf_helper ebpf_helpers[EBPF_MAX_HELPER_ID];

/* The row of @id, or NULL when this build has no such helper. Pure. */
const struct ebpf_helper *ebpf_helper_get(u32 id);

/* The function of kfunc @id (enum ebpf_kfunc), or NULL when this build has none. Pure. */
ebpf_helper_fn ebpf_kfunc_get(u32 id);

/* Function table for struct ebpf_run, filled at start by ebpf_helper_table_init() (idempotent; not
 * thread-safe). */
extern ebpf_helper_fn ebpf_helper_table[EBPF_MAX_HELPER_ID];
void ebpf_helper_table_init(void);

/*
 * Numbers that no program can name (no row in ebpf_helpers): slots of the function table through
 * which JIT code reaches the engine itself. ebpf_helper_table_init() installs them by calling
 * ebpf_prog_internal_helpers() (prog.h) after filling the table.
 */
#define EBPF_HELPER_TAIL_CALL 255
#define EBPF_HELPER_CPU_AT 254 /* not a function: osl_cpu_at when the table was filled */
#define EBPF_HELPER_WHO 253    /* nor this: &osl_who */
#define EBPF_HELPER_CALLABLE EBPF_HELPER_WHO /* who names a helper by a register ends here */
_Static_assert(EBPF_HELPER_KFUNC + EKFUNC_MAX <= EBPF_HELPER_CALLABLE, "kfuncs have their slots");
