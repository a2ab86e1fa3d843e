/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program's context looks like, one table a program type.
 *
 * Model: a context is a stretch of memory of which a table allows some ranges: which sizes may be
 * loaded and stored, and what a load gives. Offsets are fixed; an access is aligned to its size.
 * The types that get packets (socket filters and the like) don't run here: they are there so that
 * programs of these types can be judged.
 *
 * Rules: pure data and pure functions; explorer and checker read the same tables.
 */
#pragma once

#include "core/load/vstate.h"

struct ebpf_proto;

struct ebpf_ctx_access { /* what a load gives */
	u8 type;	 /* VT_SCALAR or VT_PKT */
	u32 obj;	 /* VT_PKT: 0 data, 1 meta, 2 end */
	u32 flags;	 /* VREG_* */
};

/* Can programs of this type be verified? Pure. */
bool ebpf_ctx_known(u32 prog_type);

/*
 * May a program of @prog_type, to be attached as @attach_type, load (@write: store) @size bytes at
 * @off of its context? Sizes 1, 2, 4, 8. True and *out when it may. A load that gives a pointer is
 * as wide as one, whatever @size says; it can't be a sign-extending one.
 */
bool ebpf_ctx_access(u32 prog_type, u32 attach_type, u32 off, u32 size, bool write,
		     struct ebpf_ctx_access *out);

/* May functions get the context as memory (its bytes then count as accessed one by one)? */
bool ebpf_ctx_is_memory(u32 prog_type);

/* Is a program of that attach type run at entry and at return, as one session? */
bool ebpf_ctx_session(u32 prog_type, u32 attach_type);

/* The row of kfunc @id, or NULL when such a program may not call it. */
const struct ebpf_proto *ebpf_ctx_kfunc(u32 id, u32 prog_type, u32 attach_type);

/* What a program may return; false: anything. */
bool ebpf_ctx_returns(u32 prog_type, u32 attach_type, s32 *min, s32 *max);

/* May programs of this type read (@write: write) packets through pointers? */
bool ebpf_ctx_packet(u32 prog_type, bool write);

/* May they load from where a number says? What can't be read there is 0. */
bool ebpf_ctx_probes(u32 prog_type);

/*
 * Is the kernel's object behind the context there in user space? It is the registers then, the same
 * memory, of a structure of the name below.
 */
bool ebpf_ctx_kern(u32 prog_type);

/* The structure that functions with types name as this type's context ("pt_regs"), or NULL. */
const char *ebpf_ctx_struct(u32 prog_type);
