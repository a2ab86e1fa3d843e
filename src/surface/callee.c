/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of targets that programs call.
 *
 * Model: libbpf finds them as it finds kernel functions, by name in the types that stand for the
 * kernel's; whoever allows them hands over types in which they are. With a program go those that it
 * calls. Set once, before anything is loaded.
 */
#include <string.h>

#include "core/run/callee.h"
#include "surface/internal.h"
#include "surface/surface.h"

static const struct ebpf_callee *allowed;
static u32 nallowed;
static int types = -1;

void surface_allow_calls(const struct ebpf_callee *callees, u32 n, int fd)
{
	allowed = callees;
	nallowed = n;
	types = fd;
}

int surface_callee_types(void)
{
	return types;
}

static bool names(const struct bpf_insn *in, u32 id)
{
	const bool call = in->code == (BPF_JMP | BPF_CALL) &&
			  in->src_reg == BPF_PSEUDO_KFUNC_CALL && !in->off;
	const bool address =
		in->code == (BPF_LD | BPF_DW | BPF_IMM) && in->src_reg == BPF_PSEUDO_BTF_ID;

	return (call || address) && (u32)in->imm == id;
}

static bool is_named(const struct bpf_insn *insns, u32 n, u32 id)
{
	for (u32 i = 0; i < n; i++) {
		if (names(&insns[i], id))
			return true;
		i += insns[i].code == (BPF_LD | BPF_DW | BPF_IMM);
	}
	return false;
}

struct ebpf_callee *surface_callees_of(const struct bpf_insn *insns, u32 n, u32 *found)
{
	struct ebpf_callee *v = nallowed ? calloc(nallowed, sizeof(*v)) : NULL;

	*found = 0;
	for (u32 i = 0; v && i < nallowed; i++)
		if (is_named(insns, n, allowed[i].id))
			v[(*found)++] = allowed[i];
	if (*found)
		return v;
	free(v);
	return NULL;
}
