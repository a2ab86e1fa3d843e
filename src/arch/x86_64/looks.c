/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where does a function read its own return address, other than by returning? That is a word that a
 * return probe replaces.
 *
 * Model: as long as nothing has touched the stack, a load of the word that the stack pointer points
 * to, or a pop, is such a place. Behind that it is one that the unwind tables have to confirm: what
 * is found here are loads relative to the stack or frame pointer that may be it. To find few of
 * them the depth of the stack is followed from the first to the last byte, whatever the jumps.
 */
#include <errno.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"
#include "base/macros.h"

#define DWARF_BP 6
#define DWARF_SP 7
#define DEPTHS 64u /* words of stack that a prologue saves are among these */

struct depths {
	s64 now;
	s64 seen[DEPTHS];
	u32 n;
	bool touched;
};

static bool is_byte(const struct arch_insn *in, u8 from, u8 to)
{
	return in->encoding == INSN_LEGACY && in->map == 0 && in->opcode >= from &&
	       in->opcode <= to;
}

/* add and sub of a constant, with the stack pointer */
static s64 moved_by(const struct arch_insn *in)
{
	if ((!is_byte(in, 0x81, 0x81) && !is_byte(in, 0x83, 0x83)) || insn_mod(in) != 3 ||
	    insn_rm(in) != 4 || in->rex & INSN_REX_B)
		return 0;
	return insn_reg(in) == 5 ? in->imm : insn_reg(in) == 0 ? -in->imm : 0;
}

static bool is_pop(const struct arch_insn *in)
{
	return is_byte(in, 0x58, 0x5f);
}

static bool is_push(const struct arch_insn *in)
{
	return is_byte(in, 0x50, 0x57) || is_byte(in, 0x68, 0x68) || is_byte(in, 0x6a, 0x6a);
}

/* What it may do to the stack pointer that isn't followed. */
static bool is_other(const struct arch_insn *in)
{
	return is_byte(in, 0xe8, 0xe8) || is_byte(in, 0xff, 0xff) || is_byte(in, 0xc8, 0xc9) ||
	       is_byte(in, 0x9c, 0x9d) || is_byte(in, 0x8f, 0x8f) || moved_by(in) ||
	       (in->has_modrm && insn_mod(in) == 3 && (insn_rm(in) == 4 || insn_reg(in) == 4));
}

static void follow(struct depths *d, const struct arch_insn *in)
{
	s64 by = is_push(in) ? 8 : is_pop(in) ? -8 : moved_by(in);

	d->touched |= by || is_other(in);
	d->now += by;
	for (u32 i = 0; by && i < d->n; i++)
		if (d->seen[i] == d->now)
			return;
	if (by && d->n < DEPTHS)
		d->seen[d->n++] = d->now;
}

static bool may_be_top(const struct depths *d, s64 disp)
{
	for (u32 i = 0; i < d->n; i++)
		if (d->seen[i] == disp)
			return true;
	return false;
}

/* A load of eight bytes relative to the stack pointer, or to %rbp: which, by its DWARF number. */
static u32 loads_relative_to(const struct arch_insn *in)
{
	if (!is_byte(in, 0x8b, 0x8b) || !(in->rex & INSN_REX_W) || in->rex & INSN_REX_B ||
	    in->seg || in->prefixes & INSN_P_ADDRSIZE || insn_mod(in) == 3)
		return 0;
	if (insn_rm(in) == 4) /* no index */
		return in->sib == 0x24 && !(in->rex & INSN_REX_X) ? DWARF_SP : 0;
	return insn_rm(in) == 5 && insn_mod(in) ? DWARF_BP : 0;
}

/* A jump to another function, which finds the stack as this one did. */
static s64 goes_on_at(const struct depths *d, const struct arch_insn *in, size_t at, size_t len)
{
	s64 to = (s64)at + in->len + in->imm;

	if (d->touched || (!is_byte(in, 0xe9, 0xe9) && !is_byte(in, 0xeb, 0xeb)))
		return 0;
	return to >= 0 && to < (s64)len ? 0 : to;
}

static bool looks(const struct depths *d, const struct arch_insn *in, struct arch_look *out)
{
	u32 reg = loads_relative_to(in);

	*out = (struct arch_look){.reg = reg, .disp = in->disp};
	if (is_pop(in) && !d->touched) {
		*out = (struct arch_look){.reg = DWARF_SP, .certain = true};
		return true;
	}
	if (reg == DWARF_BP)
		return in->disp == 8;
	out->certain = reg && !d->touched && !in->disp;
	return reg && (out->certain || may_be_top(d, in->disp));
}

int arch_looks(const u8 *code, size_t len, struct arch_look *v, u32 max)
{
	struct depths d = {.n = 1};
	struct arch_insn in;
	u32 n = 0;

	for (size_t at = 0; at < len; at += in.len) {
		if (arch_insn_decode(code + at, len - at, &in))
			return n ? (int)n : -EINVAL;
		if (n == max)
			break;
		if (looks(&d, &in, &v[n]) || (v[n].follow = goes_on_at(&d, &in, at, len)))
			v[n++].at = (u32)at;
		follow(&d, &in);
	}
	return (int)n;
}
