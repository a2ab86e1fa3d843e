/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is the return address what the stack pointer points to, at an address of a file's code? A return
 * probe replaces what is there, so it must be certain.
 *
 * Model: the unwind entry (FDE) of the function is a program that makes up a row of rules for each
 * of its instructions: where the caller's frame ends (CFA) relative to a register, and where the
 * return address was put relative to that. It is run up to the address. What it says of a function
 * counts as far as no instruction before has changed the stack pointer: entries written by hand may
 * forget to say so. Entries are hostile: every length is checked, what isn't known is no row at
 * all.
 */
#include "probe_priv.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

#define ENTRY_MAX (64u << 10)
#define ROWS_MAX 8 /* remembered at a time */
#define EH_PCREL_SDATA4 0x1b
#define LEAF_MAX 4096u /* of a function, that is decoded */

/* instructions with an operand in their lower bits, then the others */
enum {
	CFA_ADVANCE = 0x40,
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
	CFA_NOP = 0,
	CFA_ADVANCE1 = 2,
	CFA_ADVANCE2,
	CFA_ADVANCE4,
	CFA_OFFSET_EXTENDED,
	CFA_RESTORE_EXTENDED,
	CFA_UNDEFINED,
	CFA_SAME_VALUE,
	CFA_REGISTER,
	CFA_REMEMBER,
	CFA_RECALL,
	CFA_DEF,
	CFA_DEF_REGISTER,
	CFA_DEF_OFFSET,
	CFA_DEF_EXPRESSION,
	CFA_EXPRESSION,
	CFA_OFFSET_SIGNED,
	CFA_DEF_SIGNED,
	CFA_DEF_OFFSET_SIGNED,
	CFA_VALUE,
	CFA_VALUE_SIGNED,
	CFA_VALUE_EXPRESSION,
	CFA_ARGUMENTS = 0x2e,
};

/* --- reading ---------------------------------------------------------------------------------- */

struct bytes {
	const u8 *at, *end;
	bool bad; /* something lay beyond the end */
};

static u64 get(struct bytes *b, u32 len)
{
	u64 v = 0;

	if ((size_t)(b->end - b->at) < len) {
		b->bad = true;
		b->at = b->end;
		return 0;
	}
	memcpy(&v, b->at, len);
	b->at += len;
	return v;
}

static u64 get_leb(struct bytes *b, bool is_signed)
{
	u64 v = 0;
	u32 shift = 0;
	u8 byte;

	do {
		byte = (u8)get(b, 1);
		if (shift < 64)
			v |= (u64)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (is_signed && byte & 0x40 && shift < 64)
		v |= ~0ull << shift;
	return v;
}

static u64 get_unsigned(struct bytes *b)
{
	return get_leb(b, false);
}

static s64 get_signed(struct bytes *b)
{
	return (s64)get_leb(b, true);
}

static void skip(struct bytes *b, u64 len)
{
	if ((u64)(b->end - b->at) < len) {
		b->bad = true;
		len = (u64)(b->end - b->at);
	}
	b->at += len;
}

/* One entry, a CIE or an FDE, without its length; 0 or -errno. To be freed by the caller. */
static int read_entry(const struct probe_elf *e, u64 addr, u8 **mem, struct bytes *out)
{
	const struct probe_segment *s = probe_elf_segment(e, addr);
	_cleanup_free_ u8 *v = NULL;
	u64 offset;
	u32 len;
	int err;

	if (!s)
		return -ENOENT;
	offset = s->offset + (addr - s->addr);
	err = probe_elf_pread(e, offset, &len, sizeof(len));
	if (err || len < sizeof(u32) || len > ENTRY_MAX)
		return err ? err : -EINVAL;
	v = malloc(len);
	if (!v)
		return -ENOMEM;
	err = probe_elf_pread(e, offset + sizeof(len), v, len);
	if (err)
		return err;
	*out = (struct bytes){v, v + len, false};
	*mem = TAKE_PTR(v);
	return 0;
}

/* --- rules ------------------------------------------------------------------------------------ */

struct row {
	u64 reg; /* what the CFA is relative to */
	s64 offset;
	bool computed; /* by an expression instead */
	bool has_ra;   /* the return address lies at @ra from the CFA */
	s64 ra;
};

struct rules {
	u64 code_align, ra_reg;
	s64 data_align;
	bool has_data; /* entries have a block of data before their instructions */
	bool signal;   /* frames that a signal made */
	u64 addr;      /* whose row is wanted */
	u64 loc;
	struct row row, first, kept[ROWS_MAX];
	u32 nkept;
};

/* The augmentation: what it is, and where the pointers are as all linkers write them. */
static int read_augmentation(struct bytes *b, const char *letters, struct rules *r)
{
	static const u32 sizes[16] = {
		[0] = 8, [2] = 2, [3] = 4, [4] = 8, [10] = 2, [11] = 4, [12] = 8};
	u64 len = get_unsigned(b);
	const u8 *end;
	u8 code;

	if (b->bad || len > (u64)(b->end - b->at))
		return -EINVAL;
	end = b->at + len;
	for (; *letters && !b->bad; letters++) {
		code = *letters == 'S' ? 0 : (u8)get(b, 1);
		if (*letters == 'S')
			r->signal = true;
		else if (*letters == 'P' && sizes[code & 15])
			skip(b, sizes[code & 15]);
		else if (*letters == 'R' ? code != EH_PCREL_SDATA4 : *letters != 'L')
			return -EINVAL;
	}
	if (b->bad || b->at > end)
		return -EINVAL;
	b->at = end;
	return 0;
}

static int read_cie(struct bytes *b, struct rules *r)
{
	const u8 *letters;
	u8 version;

	if (get(b, sizeof(u32))) /* else it is no CIE */
		return -EINVAL;
	version = (u8)get(b, 1);
	letters = b->at;
	skip(b, strnlen((const char *)b->at, (size_t)(b->end - b->at)) + 1);
	if (b->bad || (version != 1 && version != 3))
		return -EINVAL;
	r->code_align = get_unsigned(b);
	r->data_align = get_signed(b);
	r->ra_reg = version == 1 ? get(b, 1) : get_unsigned(b);
	r->has_data = *letters == 'z';
	if (!r->has_data)
		return *letters || b->bad ? -EINVAL : 0;
	return read_augmentation(b, (const char *)letters + 1, r);
}

static s64 factored(const struct rules *r, u64 n)
{
	return (s64)(n * (u64)r->data_align);
}

static void set_rule(struct rules *r, u64 reg, bool saved, s64 where)
{
	if (reg != r->ra_reg)
		return;
	r->row.has_ra = saved;
	r->row.ra = where;
}

static void restore_rule(struct rules *r, u64 reg)
{
	set_rule(r, reg, r->first.has_ra, r->first.ra);
}

static void set_cfa(struct rules *r, u64 reg, s64 offset)
{
	r->row.reg = reg;
	r->row.offset = offset;
	r->row.computed = false;
}

static void advance(struct rules *r, u64 n)
{
	r->loc += n * r->code_align;
}

static bool recall(struct rules *r)
{
	if (!r->nkept)
		return false;
	r->row = r->kept[--r->nkept];
	return true;
}

static bool remember(struct rules *r)
{
	if (r->nkept == ROWS_MAX)
		return false;
	r->kept[r->nkept++] = r->row;
	return true;
}

/* What says where the CFA is. */
static bool run_cfa(struct rules *r, u8 op, struct bytes *b)
{
	u64 reg = r->row.reg;

	switch (op) {
	case CFA_DEF:
		reg = get_unsigned(b);
		set_cfa(r, reg, (s64)get_unsigned(b));
		return true;
	case CFA_DEF_SIGNED:
		reg = get_unsigned(b);
		set_cfa(r, reg, factored(r, (u64)get_signed(b)));
		return true;
	case CFA_DEF_REGISTER:
		r->row.reg = get_unsigned(b);
		return true;
	case CFA_DEF_OFFSET:
		r->row.offset = (s64)get_unsigned(b);
		return true;
	case CFA_DEF_OFFSET_SIGNED:
		r->row.offset = factored(r, (u64)get_signed(b));
		return true;
	case CFA_DEF_EXPRESSION:
		r->row.computed = true;
		skip(b, get_unsigned(b));
		return true;
	default:
		return false;
	}
}

/* What says where a register is: only the return address is of interest. */
static bool run_register(struct rules *r, u8 op, struct bytes *b)
{
	u64 reg = get_unsigned(b);

	switch (op) {
	case CFA_OFFSET_EXTENDED:
		set_rule(r, reg, true, factored(r, get_unsigned(b)));
		return true;
	case CFA_OFFSET_SIGNED:
		set_rule(r, reg, true, factored(r, (u64)get_signed(b)));
		return true;
	case CFA_RESTORE_EXTENDED:
		restore_rule(r, reg);
		return true;
	case CFA_UNDEFINED:
	case CFA_SAME_VALUE:
		set_rule(r, reg, false, 0);
		return true;
	case CFA_REGISTER:
	case CFA_VALUE:
	case CFA_VALUE_SIGNED:
		get_unsigned(b);
		set_rule(r, reg, false, 0);
		return true;
	case CFA_EXPRESSION:
	case CFA_VALUE_EXPRESSION:
		skip(b, get_unsigned(b));
		set_rule(r, reg, false, 0);
		return true;
	default:
		return false;
	}
}

static bool run_other(struct rules *r, u8 op, struct bytes *b)
{
	switch (op) {
	case CFA_NOP:
		return true;
	case CFA_ADVANCE1:
		advance(r, get(b, 1));
		return true;
	case CFA_ADVANCE2:
		advance(r, get(b, 2));
		return true;
	case CFA_ADVANCE4:
		advance(r, get(b, 4));
		return true;
	case CFA_REMEMBER:
		return remember(r);
	case CFA_RECALL:
		return recall(r);
	case CFA_ARGUMENTS:
		get_unsigned(b);
		return true;
	default:
		return run_cfa(r, op, b) || run_register(r, op, b);
	}
}

/* Run the instructions of an entry until they are behind the address that is wanted. */
static int run(struct rules *r, struct bytes *b)
{
	while (b->at < b->end) {
		u8 op = (u8)get(b, 1), low = op & 0x3f;

		if ((op & 0xc0) == CFA_ADVANCE)
			advance(r, low);
		else if ((op & 0xc0) == CFA_OFFSET)
			set_rule(r, low, true, factored(r, get_unsigned(b)));
		else if ((op & 0xc0) == CFA_RESTORE)
			restore_rule(r, low);
		else if (!run_other(r, op, b))
			return -EINVAL;
		if (b->bad)
			return -EINVAL;
		if (r->loc > r->addr)
			return 0;
	}
	return 0;
}

/* The row of @addr, which the entry at @fde covers from @start on. */
static int row_at(const struct probe_elf *e, u64 fde, u64 start, u64 addr, struct rules *r)
{
	_cleanup_free_ u8 *cie_mem = NULL, *fde_mem = NULL;
	struct bytes cie, b;
	int err = read_entry(e, fde, &fde_mem, &b);

	if (!err) /* it says how far before itself its CIE is */
		err = read_entry(e, fde + sizeof(u32) - get(&b, sizeof(u32)), &cie_mem, &cie);
	if (!err)
		err = read_cie(&cie, r);
	if (err)
		return err;
	err = run(r, &cie);
	if (err)
		return err;
	r->first = r->row;
	skip(&b, 2 * sizeof(u32)); /* start and size: probe_code_entry() */
	if (r->has_data)
		skip(&b, get_unsigned(&b));
	r->loc = start;
	r->addr = addr;
	return b.bad ? -EINVAL : run(r, &b);
}

/* --- places ----------------------------------------------------------------------------------- */

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

enum probe_top probe_top_of_stack(struct probe_elf *elf, u64 offset)
{
	u64 addr = probe_elf_offset_to_addr(elf, offset), start, size, fde,
	    symbol = symbol_start(elf, offset);
	struct rules r = {0};

	if (probe_code_entry(elf, addr, &fde, &start, &size) || row_at(elf, fde, start, addr, &r))
		return symbol == addr ? PROBE_TOP_RETURN : PROBE_TOP_UNKNOWN;
	if (r.signal || r.row.computed || r.row.reg != ARCH_DWARF_SP ||
	    r.row.offset != sizeof(u64) || !r.row.has_ra || r.row.ra != -(s64)sizeof(u64))
		return PROBE_TOP_OTHER;
	if (symbol == addr || start == addr ||
	    leaves_stack(elf, symbol > start ? symbol : start, addr))
		return PROBE_TOP_RETURN;
	return PROBE_TOP_UNKNOWN;
}
