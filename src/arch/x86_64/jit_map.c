/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lookup without the helper: an array's is done in place, any other goes straight to the map's
 * own code. What the map is is asked when it runs, of the process's private struct ebpf_map: the
 * code is the same for all maps, and right whatever they are.
 */
#include "jit_map.h"

#include "core/uapi.h"

/* offsets in struct ebpf_map and struct ebpf_map_ops, asserted in core/run/prog.c */
enum { MAP_TYPE = 4, MAP_MAX_ENTRIES = 16, MAP_OPS = 64, MAP_BASE = 72, MAP_STRIDE = 92 };
enum { OPS_LOOKUP = 32 };

/* cmpl $imm, disp(base) */
static void cmp_field(struct emit *e, u8 base, s32 disp, u8 imm)
{
	emit_rm(e, 0, false, 0x83, X86_CMP, base, disp, false);
	emit_bytes(e, imm, 1);
}

void jit_map_lookup(struct emit *e)
{
	u32 other, beyond, end;

	cmp_field(e, RDI, MAP_TYPE, BPF_MAP_TYPE_ARRAY);
	other = emit_jcc8(e, CC_NE);
	emit_rm(e, 0, false, 0x8b, RCX, RSI, 0, false);
	emit_alu(e, false, X86_XOR, RAX, RAX);
	emit_rm(e, 0, false, 0x3b, RCX, RDI, MAP_MAX_ENTRIES, false);
	beyond = emit_jcc8(e, CC_AE);
	emit_rm(e, 0, false, 0x8b, RAX, RDI, MAP_STRIDE, false);
	emit_imul(e, true, RAX, RCX);
	emit_rm(e, 0, true, 0x03, RAX, RDI, MAP_BASE, false);
	end = emit_jmp8(e);
	emit_patch8(e, other);
	emit_rm(e, 0, true, 0x8b, RAX, RDI, MAP_OPS, false);
	emit_rm(e, 0, false, 0xff, 2, RAX, OPS_LOOKUP, false);
	emit_patch8(e, beyond);
	emit_patch8(e, end);
}
