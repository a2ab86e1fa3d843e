/* SPDX-License-Identifier: BSD-2-Clause */
/* What JIT code tells about the thread that runs it without the helper; and how it calls one. */
#pragma once

#include "jit_emit.h"

/* Any helper, by the table. */
void jit_call_helper(struct emit *e, u32 id);
/* A function of the target, with what the call says of it. */
void jit_call_target(struct emit *e, u32 callee);

/*
 * What does not always succeed goes on at the offset *slow in the code otherwise, by a jump or a
 * fault, the argument registers that the helper asks for as they were: there the call and a jump
 * back are to be.
 */

/*
 * A run's CPU is that on which it began: its number is found once and kept in the run, with the
 * part of a value that is its own where that has @nr_cpus (0: none has any). What asks for it
 * afterwards, bpf_get_smp_processor_id() or a lookup of a value per CPU, gets that. A load tells,
 * else *slow, where jit_cpu_ask() is to be, with the stack aligned: it costs all but rdi.
 */
void jit_cpu_find(struct emit *e, u32 nr_cpus, const u32 *slow);
void jit_cpu_ask(struct emit *e, u32 nr_cpus);
void jit_cpu(struct emit *e); /* the number, in rax */

/* bpf_get_current_pid_tgid(), where the thread is one that asked before, else *slow. */
void jit_pid_tgid(struct emit *e, const u32 *slow);
