/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is the return address what the stack pointer points to, at an address of a file's code? A return
 * probe replaces what is there, so it must be certain.
 *
 * Model: the unwind entry (FDE) of the function says where the caller's frame ends (CFA) relative
 * to a register, and where the return address was put relative to that; libdw evaluates it. What it
 * says of a function counts as far as no instruction before has changed the stack pointer: entries
 * written by hand may forget to say so. What isn't a plain row is no row at all.
 *
 * And does a function look at its own return address? What setjmp() keeps of it is used when nobody
 * knows of the probe any more, and who asks which library it was called from would get none.
 */
#include "probe_priv.h"

#include <dwarf.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define LEAF_MAX 4096u /* of a function, that is decoded */
#define LOOKS_MAX 64u
#define LOOKED_THROUGH 65536u
#define JUMPS_MAX 2u

static void free_frame(Dwarf_Frame **frame)
{
	free(*frame);
}

/* The CFA is so much above a register. */
static bool cfa_is(Dwarf_Frame *frame, u32 reg, s64 above)
{
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_frame_cfa(frame, &ops, &n) || n != 1)
		return false;
	if (ops->atom == DW_OP_bregx)
		return ops->number == reg && (s64)ops->number2 == above;
	return ops->atom == DW_OP_breg0 + reg && (s64)ops->number == above;
}

/* The return address is one word below the CFA. */
static bool return_is_below(Dwarf_Frame *frame)
{
	Dwarf_Op mem[3], *ops;
	size_t n;

	return !dwarf_frame_register(frame, ARCH_DWARF_RA, mem, &ops, &n) && n == 2 &&
	       ops[0].atom == DW_OP_call_frame_cfa && ops[1].atom == DW_OP_plus_uconst &&
	       ops[1].number == -sizeof(u64);
}

static bool leaves_stack(struct probe_elf *e, u64 start, u64 addr)
{
	const struct probe_segment *s = probe_elf_segment(e, start);
	u8 code[LEAF_MAX];
	u64 len = addr - start;

	return len <= sizeof(code) && s && len <= s->size - (start - s->addr) &&
	       !probe_elf_pread(e, s->offset + (start - s->addr), code, len) &&
	       probe_leaves_stack(code, len);
}

/* Where the function begins by its symbol; 0: none has it. */
static u64 symbol_start(struct probe_elf *e, u64 offset)
{
	struct probe_symbol sym;

	return probe_elf_symbol_at(e, offset, &sym) ? 0 : sym.addr;
}

static int row_at(struct probe_elf *elf, u64 addr, Dwarf_Frame **frame)
{
	if (!elf->cfi)
		elf->cfi = dwarf_getcfi_elf(elf->elf);
	return elf->cfi ? dwarf_cfi_addrframe(elf->cfi, addr, frame) : -1;
}

/* What the unwind entry says. */
static enum probe_top entry_says(struct probe_elf *elf, u64 addr)
{
	__attribute__((cleanup(free_frame))) Dwarf_Frame *frame = NULL;
	bool signal;

	if (row_at(elf, addr, &frame) || dwarf_frame_info(frame, NULL, NULL, &signal) < 0)
		return PROBE_TOP_UNKNOWN;
	return !signal && cfa_is(frame, ARCH_DWARF_SP, sizeof(u64)) && return_is_below(frame)
		       ? PROBE_TOP_RETURN
		       : PROBE_TOP_OTHER;
}

enum probe_top probe_top_of_stack(struct probe_elf *elf, u64 offset)
{
	u64 addr = probe_elf_offset_to_addr(elf, offset), start, end,
	    symbol = symbol_start(elf, offset);
	enum probe_top top = entry_says(elf, addr);

	if (top == PROBE_TOP_UNKNOWN || probe_unwind_bounds(elf, addr, &start, &end))
		return symbol == addr ? PROBE_TOP_RETURN : PROBE_TOP_UNKNOWN;
	if (top == PROBE_TOP_OTHER || symbol == addr || start == addr ||
	    leaves_stack(elf, symbol > start ? symbol : start, addr))
		return top;
	return PROBE_TOP_UNKNOWN;
}

/* --- who looks at it ---------------------------------------------------------------------------
 */

static bool is_own(struct probe_elf *elf, u64 start, const struct arch_look *look)
{
	__attribute__((cleanup(free_frame))) Dwarf_Frame *frame = NULL;

	if (look->certain)
		return true;
	return !row_at(elf, start + look->at, &frame) && return_is_below(frame) &&
	       cfa_is(frame, look->reg, look->disp + (s64)sizeof(u64));
}

static int find_looks(struct probe_elf *elf, u64 addr, u64 *start, struct arch_look *v)
{
	_cleanup_free_ u8 *code = NULL;
	size_t len;
	u64 end;

	if (probe_code_bounds(elf, addr, start, &end) ||
	    probe_read_code(elf, *start, MIN(end - *start, (u64)LOOKED_THROUGH), &code, &len))
		return 0;
	return arch_looks(code, len, v, LOOKS_MAX);
}

static bool looks_at_return(struct probe_elf *elf, u64 addr, u32 jumps, u32 *where)
{
	struct arch_look v[LOOKS_MAX];
	u64 start;
	int n = find_looks(elf, addr, &start, v);

	for (int i = 0; i < n; i++) {
		u32 further;

		*where = v[i].at;
		if (v[i].follow ? jumps && looks_at_return(elf, start + (u64)v[i].follow, jumps - 1,
							   &further)
				: is_own(elf, start, &v[i]))
			return true;
	}
	return false;
}

bool probe_looks_at_return(struct probe_elf *elf, u64 offset, u32 *where)
{
	return looks_at_return(elf, probe_elf_offset_to_addr(elf, offset), JUMPS_MAX, where);
}
