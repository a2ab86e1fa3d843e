/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table-driven length decoder for 64-bit mode.
 *
 * One byte per opcode says whether it exists and what follows it (ModRM, immediates). VEX, EVEX and
 * XOP are regular, so one bit per opcode is enough there: ModRM always, an immediate by map. What
 * the tables do not know is refused: a wrong length would make a patch tear the next instruction.
 */
#include "insn.h"

#include <errno.h>

#include "arch/arch.h"
#include "base/macros.h"

#define MAX_LEN 15

/* what follows an opcode */
#define V 0x80	     /* it exists */
#define M (V | 0x01) /* ModRM */
#define B (V | 0x02) /* imm8 */
#define Z (V | 0x04) /* imm16 with 66, else imm32 */
#define W (V | 0x08) /* imm16 */
#define Q (V | 0x10) /* imm16, imm32, or imm64 with REX.W */
#define O (V | 0x20) /* an address: 8 bytes, 4 with 67 */
#define D (V | 0x40) /* imm32 whatever the prefixes: near branches */
#define MB (M | B)
#define MZ (M | Z)

/* clang-format off */
static const u8 one_byte[256] = {
	[0x00 ... 0x03] = M, [0x04] = B, [0x05] = Z,
	[0x08 ... 0x0b] = M, [0x0c] = B, [0x0d] = Z,
	[0x10 ... 0x13] = M, [0x14] = B, [0x15] = Z,
	[0x18 ... 0x1b] = M, [0x1c] = B, [0x1d] = Z,
	[0x20 ... 0x23] = M, [0x24] = B, [0x25] = Z,
	[0x28 ... 0x2b] = M, [0x2c] = B, [0x2d] = Z,
	[0x30 ... 0x33] = M, [0x34] = B, [0x35] = Z,
	[0x38 ... 0x3b] = M, [0x3c] = B, [0x3d] = Z,
	[0x50 ... 0x5f] = V, [0x63] = M,
	[0x68] = Z, [0x69] = MZ, [0x6a] = B, [0x6b] = MB, [0x6c ... 0x6f] = V,
	[0x70 ... 0x7f] = B, [0x80] = MB, [0x81] = MZ, [0x83] = MB,
	[0x84 ... 0x8f] = M, [0x90 ... 0x99] = V, [0x9b ... 0x9f] = V,
	[0xa0 ... 0xa3] = O, [0xa4 ... 0xa7] = V, [0xa8] = B, [0xa9] = Z, [0xaa ... 0xaf] = V,
	[0xb0 ... 0xb7] = B, [0xb8 ... 0xbf] = Q,
	[0xc0 ... 0xc1] = MB, [0xc2] = W, [0xc3] = V, [0xc6] = MB, [0xc7] = MZ,
	[0xc8] = W | B, [0xc9] = V, [0xca] = W, [0xcb ... 0xcc] = V, [0xcd] = B, [0xcf] = V,
	[0xd0 ... 0xd3] = M, [0xd7] = V, [0xd8 ... 0xdf] = M,
	[0xe0 ... 0xe7] = B, [0xe8 ... 0xe9] = D, [0xeb] = B, [0xec ... 0xef] = V,
	[0xf1] = V, [0xf4 ... 0xf5] = V, [0xf6 ... 0xf7] = M, [0xf8 ... 0xfd] = V, [0xfe ... 0xff] = M,
};

static const u8 map_0f[256] = {
	[0x00 ... 0x03] = M, [0x05 ... 0x09] = V, [0x0b] = V, [0x0d] = M, [0x0e] = V, [0x0f] = MB,
	[0x10 ... 0x23] = M, [0x28 ... 0x2f] = M, [0x30 ... 0x35] = V, [0x37] = V,
	[0x40 ... 0x6f] = M, [0x70 ... 0x73] = MB, [0x74 ... 0x76] = M, [0x77] = V,
	[0x78 ... 0x79] = M, [0x7c ... 0x7f] = M, [0x80 ... 0x8f] = D, [0x90 ... 0x9f] = M,
	[0xa0 ... 0xa2] = V, [0xa3] = M, [0xa4] = MB, [0xa5 ... 0xa7] = M, [0xa8 ... 0xaa] = V,
	[0xab] = M, [0xac] = MB, [0xad ... 0xb9] = M, [0xba] = MB, [0xbb ... 0xc1] = M,
	[0xc2] = MB, [0xc3] = M, [0xc4 ... 0xc6] = MB, [0xc7] = M, [0xc8 ... 0xcf] = V,
	[0xd0 ... 0xff] = M,
};

/* One bit per opcode. ModRM always follows. */
struct opcode_set {
	u32 bits[8];
};

static const struct opcode_set set_0f38 = {{
	0x70b10fff, 0xffbf0f3f, 0x00000003, 0x00000000, 0x00000c07, 0x00000000, 0xf900bf00, 0x1f630000,
}};
static const struct opcode_set set_0f3a = {{
	0x00f0ff00, 0x00000007, 0x00000017, 0x0000000f, 0x00000000, 0x00000000, 0x8000d000, 0x00010000,
}};
static const struct opcode_set set_vex[4] = {
	[1] = {{ 0x00ff0000, 0x0000ff00, 0xffff0cf6, 0xf0ffffff,
		 0x030f0000, 0x00004000, 0xffff0074, 0x7fffffff }},
	[2] = {{ 0x77c8ffff, 0xffffff3f, 0x570f0ae3, 0x03041000,
		 0xffcf5000, 0xfff3ffc0, 0xfc0cb800, 0x00ecffff }},
	[3] = {{ 0x23f0ff77, 0x030f0007, 0xf0001f57, 0xff00ff0f,
		 0x00000000, 0x00000000, 0xc000c000, 0x00010000 }},
};
static const struct opcode_set set_evex[7] = {
	[1] = {{ 0x00ff0000, 0x0000ff00, 0xfff20000, 0xcf7fffff,
		 0x000f0000, 0x00000000, 0xff7e0074, 0x7f7effff }},
	[2] = {{ 0xff7f3811, 0xffff3fff, 0x0f3ffafd, 0xffef017c,
		 0xffcfaf08, 0xfff0ffcf, 0xf000bdd0, 0x00ecffff }},
	[3] = {{ 0xeff08f3b, 0xcf0000ef, 0x00f3001c, 0x000f00c0,
		 0x00000000, 0x00000000, 0x0000c004, 0x00010000 }},
	/* APX: the legacy opcodes again, from both maps, with their immediates */
	[4] = {{ 0x0f0f0f0f, 0x0f0f1f1f, 0x0000ffff, 0x00000a63,
		 0x0000813b, 0x0000a020, 0x000f0003, 0xd3f30000 }},
	[5] = {{ 0x20030000, 0x0000f400, 0xff020000, 0x7f004000 }},
	[6] = {{ 0x00080000, 0x00003000, 0x00c0f00c, 0x00000000,
		 0xffc00000, 0xffc0ffc0, 0x00c00000, 0x00000000 }},
};
static const struct opcode_set set_xop[3] = { /* maps 8, 9, 10 */
	{{ 0, 0, 0, 0, 0xc0e0c0e0, 0x0040004c, 0x0000f00f, 0x0000f000 }},
	{{ 0x00040006, 0, 0, 0, 0x0fff000f, 0, 0x08ce08ce, 0x0000000e }},
	{{ 0x00050000, 0, 0, 0, 0, 0, 0, 0 }},
};

/* Legacy opcodes of which only some ModRM.reg values exist, as a bit mask. */
static const struct {
	u8 map, opcode, regs;
} groups[] = {
	{ 0, 0x8f, 0x01 }, { 0, 0xc6, 0x01 }, { 0, 0xc7, 0x01 }, { 0, 0xfe, 0x03 },
	{ 0, 0xff, 0x7f }, { 1, 0x00, 0x7f }, { 1, 0x71, 0x54 }, { 1, 0x72, 0x54 },
	{ 1, 0x73, 0xcc }, { 1, 0xba, 0xf0 }, { 1, 0xc7, 0xfa },
};
/* clang-format on */

static bool set_has(const struct opcode_set *set, u8 opcode)
{
	return set->bits[opcode / 32] >> opcode % 32 & 1;
}

struct cursor {
	const u8 *code;
	size_t len;
	u8 pos;
};

/* The next byte, or -EINVAL past the architecture's limit, -ENODATA past the caller's. */
static int fetch(struct cursor *c)
{
	if (c->pos >= MAX_LEN)
		return -EINVAL;
	if (c->pos >= c->len)
		return -ENODATA;
	return c->code[c->pos++];
}

/* Little-endian, sign-extended. */
static int fetch_value(struct cursor *c, u8 n, s64 *out)
{
	u64 v = 0;

	for (u8 i = 0; i < n; i++) {
		int b = fetch(c);

		if (b < 0)
			return b;
		v |= (u64)b << 8 * i;
	}
	if (n && n < 8)
		v = (u64)((s64)(v << (64 - 8 * n)) >> (64 - 8 * n));
	*out = (s64)v;
	return 0;
}

static bool is_segment(u8 b)
{
	return b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x64 || b == 0x65;
}

static u8 prefix_bit(u8 b)
{
	switch (b) {
	case 0x66:
		return INSN_P_OPSIZE;
	case 0x67:
		return INSN_P_ADDRSIZE;
	case 0xf0:
		return INSN_P_LOCK;
	case 0xf2:
		return INSN_P_REPNE;
	case 0xf3:
		return INSN_P_REP;
	default:
		return 0;
	}
}

/*
 * Legacy prefixes and REX. Returns the first byte that is neither. A REX that is followed by
 * another prefix is ignored by the CPU, and so here.
 */
static int take_prefixes(struct cursor *c, struct arch_insn *in, bool *rex)
{
	*rex = false;
	for (;;) {
		int b = fetch(c);

		if (b < 0)
			return b;
		if ((b & 0xf0) == 0x40) {
			in->rex = b & 0xf;
			*rex = true;
			continue;
		}
		if (!is_segment((u8)b) && !prefix_bit((u8)b))
			return b;
		if (is_segment((u8)b))
			in->seg = (u8)b;
		in->prefixes |= prefix_bit((u8)b);
		in->rex = 0;
		*rex = false;
	}
}

static const u8 pp_prefix[4] = {0, INSN_P_OPSIZE, INSN_P_REP, INSN_P_REPNE};

/* Behind c4 and 8f: R X B map, W vvvv L pp, opcode. Behind c5 the first byte is left out: R moves
 * to W's place. */
static int take_vex(struct cursor *c, struct arch_insn *in, u8 lead)
{
	int p0 = 0xe1, p1, op;

	if (lead != 0xc5 && (p0 = fetch(c)) < 0)
		return p0;
	if ((p1 = fetch(c)) < 0)
		return p1;
	if ((op = fetch(c)) < 0)
		return op;
	if (lead == 0xc5)
		p0 = (p1 & 0x80) | 0x61, p1 &= 0x7f;
	in->encoding = lead == 0x8f ? INSN_XOP : INSN_VEX;
	in->map = p0 & 0x1f;
	in->rex = (u8)((~p0 >> 5 & 7) | (p1 >> 7) << 3);
	in->prefixes |= pp_prefix[p1 & 3];
	in->opcode = (u8)op;
	return 0;
}

static int take_evex(struct cursor *c, struct arch_insn *in)
{
	int p[4];

	for (int i = 0; i < 4; i++) {
		p[i] = fetch(c);
		if (p[i] < 0)
			return p[i];
	}
	in->encoding = INSN_EVEX;
	in->map = p[0] & 7;
	in->rex = (u8)((~p[0] >> 5 & 7) | (p[1] >> 7) << 3);
	if (p[0] & 8)
		in->high |= INSN_REX_B;
	if (!(p[1] & 4))
		in->high |= INSN_REX_X;
	if (!(p[0] & 0x10))
		in->high |= INSN_REX_R;
	in->prefixes |= pp_prefix[p[1] & 3];
	in->opcode = (u8)p[3];
	return 0;
}

static int take_rex2(struct cursor *c, struct arch_insn *in)
{
	int payload = fetch(c), op;

	if (payload < 0)
		return payload;
	if ((op = fetch(c)) < 0)
		return op;
	in->encoding = INSN_REX2;
	in->map = (u8)payload >> 7;
	in->rex = payload & 0xf;
	in->high = payload >> 4 & 7;
	in->opcode = (u8)op;
	return 0;
}

static int take_legacy(struct cursor *c, struct arch_insn *in, int op)
{
	if (op == 0x0f) {
		if ((op = fetch(c)) < 0)
			return op;
		in->map = op == 0x38 ? 2 : op == 0x3a ? 3 : 1;
		if (in->map > 1 && (op = fetch(c)) < 0)
			return op;
	}
	in->opcode = (u8)op;
	return 0;
}

/* 8f is pop unless what would be its ModRM.reg makes it XOP. */
static bool is_xop(const struct cursor *c)
{
	return c->pos < c->len && (c->code[c->pos] & 0x1f) >= 8;
}

static int take_opcode(struct cursor *c, struct arch_insn *in)
{
	const u8 forbidden = INSN_P_OPSIZE | INSN_P_LOCK | INSN_P_REPNE | INSN_P_REP;
	bool rex;
	int b = take_prefixes(c, in, &rex);
	bool wide = b == 0xc4 || b == 0xc5 || b == 0x62 || (b == 0x8f && is_xop(c));

	if (b < 0)
		return b;
	if (wide && (rex || in->prefixes & forbidden))
		return -EINVAL;
	if (b == 0x62)
		return take_evex(c, in);
	if (wide)
		return take_vex(c, in, (u8)b);
	if (b == 0xd5)
		return rex ? -EINVAL : take_rex2(c, in);
	return take_legacy(c, in, b);
}

/* --- what follows the opcode --- */

/* REX2 keeps out the opcodes that are prefixes, escapes or short branches in disguise. */
static u8 shape_rex2(const struct arch_insn *in)
{
	u8 row = in->opcode >> 4;

	if (in->map == 0 && in->opcode == 0xa1)
		return Q; /* jmpabs: an absolute 64-bit target, whatever W says */
	if (in->map == 0)
		return row == 0x4 || row == 0x7 || row == 0xa || row == 0xe ? 0
									    : one_byte[in->opcode];
	return row == 0x3 || row == 0x8 ? 0 : map_0f[in->opcode];
}

static u8 shape_evex4(const struct arch_insn *in)
{
	switch (in->opcode) {
	case 0x24:
	case 0x2c:
	case 0x6b:
	case 0x80:
	case 0x83:
	case 0xc0:
	case 0xc1:
		return MB;
	case 0x69:
	case 0x81:
		return MZ;
	default:
		return M;
	}
}

static bool map1_imm8(u8 opcode)
{
	return (opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 ||
	       (opcode >= 0xc4 && opcode <= 0xc6);
}

static u8 shape_vex(const struct arch_insn *in)
{
	if (in->map == 7) /* urdmsr, uwrmsr: the only ones with an imm32 */
		return in->encoding == INSN_VEX && in->opcode == 0xf8 ? M | D : 0;
	if (in->map < 1 || in->map > 3 || !set_has(&set_vex[in->map], in->opcode))
		return 0;
	if (in->map == 1 && in->opcode == 0x77)
		return V; /* vzeroupper */
	return in->map == 3 || (in->map == 1 && map1_imm8(in->opcode)) ? MB : M;
}

static u8 shape_evex(const struct arch_insn *in)
{
	if (in->map < 1 || in->map > 6 || !set_has(&set_evex[in->map], in->opcode))
		return 0;
	if (in->map == 4)
		return shape_evex4(in);
	return in->map == 3 || (in->map == 1 && map1_imm8(in->opcode)) ? MB : M;
}

static u8 shape_xop(const struct arch_insn *in)
{
	if (in->map < 8 || in->map > 10 || !set_has(&set_xop[in->map - 8], in->opcode))
		return 0;
	return in->map == 8 ? MB : in->map == 9 ? M : M | D;
}

static u8 shape_legacy(const struct arch_insn *in)
{
	switch (in->map) {
	case 0:
		return one_byte[in->opcode];
	case 1:
		return map_0f[in->opcode];
	case 2:
		return set_has(&set_0f38, in->opcode) ? M : 0;
	default:
		return set_has(&set_0f3a, in->opcode) ? MB : 0;
	}
}

static u8 shape(const struct arch_insn *in)
{
	switch (in->encoding) {
	case INSN_REX2:
		return shape_rex2(in);
	case INSN_VEX:
		return shape_vex(in);
	case INSN_EVEX:
		return shape_evex(in);
	case INSN_XOP:
		return shape_xop(in);
	default:
		return shape_legacy(in);
	}
}

static bool is_legacy(const struct arch_insn *in, u8 map, u8 opcode)
{
	return in->encoding <= INSN_REX2 && in->map == map && in->opcode == opcode;
}

/* mov to and from control and debug registers ignores ModRM.mod: both operands are registers. */
static bool registers_only(const struct arch_insn *in)
{
	return in->encoding <= INSN_REX2 && in->map == 1 && in->opcode >= 0x20 &&
	       in->opcode <= 0x23;
}

static int take_modrm(struct cursor *c, struct arch_insn *in)
{
	u8 base = 0xff;
	s64 disp = 0;
	int b = fetch(c), err;

	if (b < 0)
		return b;
	in->has_modrm = true;
	in->modrm = (u8)b;
	if (insn_mod(in) == 3 || registers_only(in))
		return 0;
	if (insn_rm(in) == 4) {
		if ((b = fetch(c)) < 0)
			return b;
		in->has_sib = true;
		in->sib = (u8)b;
		base = in->sib & 7;
	}
	in->rip_relative = insn_mod(in) == 0 && insn_rm(in) == 5;
	if (insn_mod(in) == 1)
		in->disp_len = 1;
	else if (insn_mod(in) == 2 || in->rip_relative || (insn_mod(in) == 0 && base == 5))
		in->disp_len = 4;
	in->disp_off = c->pos;
	err = fetch_value(c, in->disp_len, &disp);
	in->disp = (s32)disp;
	return err;
}

static bool group_exists(const struct arch_insn *in)
{
	if (in->encoding > INSN_REX2)
		return true;
	if (in->map == 0 && (in->opcode == 0xc6 || in->opcode == 0xc7) && in->modrm == 0xf8)
		return true; /* xabort, xbegin */
	if (is_legacy(in, 1, 0xb8) && !(in->prefixes & INSN_P_REP))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (groups[i].map == in->map && groups[i].opcode == in->opcode)
			return groups[i].regs >> insn_reg(in) & 1;
	return true;
}

/* Immediates that depend on ModRM or on a prefix in a way the tables can't say. */
static u8 special_immediate(const struct arch_insn *in, u8 what)
{
	bool evex4 = in->encoding == INSN_EVEX && in->map == 4;

	if ((is_legacy(in, 0, 0xf6) || (evex4 && in->opcode == 0xf6)) && insn_reg(in) < 2)
		return what | B;
	if ((is_legacy(in, 0, 0xf7) || (evex4 && in->opcode == 0xf7)) && insn_reg(in) < 2)
		return what | Z;
	if (is_legacy(in, 1, 0x78) && in->prefixes & (INSN_P_OPSIZE | INSN_P_REPNE))
		return what | W; /* extrq, insertq: two imm8 */
	return what;
}

static u8 immediate_len(const struct arch_insn *in, u8 what)
{
	bool wide = in->rex & INSN_REX_W, small = in->prefixes & INSN_P_OPSIZE && !wide;
	u8 n = 0;

	if (what & (B & ~V))
		n += 1;
	if (what & (W & ~V))
		n += 2;
	if (what & (Z & ~V))
		n += small ? 2 : 4;
	if (what & (D & ~V))
		n += 4;
	if (what & (O & ~V))
		n += in->prefixes & INSN_P_ADDRSIZE ? 4 : 8;
	if (what & (Q & ~V))
		n += wide || (in->encoding == INSN_REX2 && in->opcode == 0xa1) ? 8 : small ? 2 : 4;
	return n;
}

static int take_immediate(struct cursor *c, struct arch_insn *in, u8 what)
{
	u8 n = immediate_len(in, what);
	s64 rest;
	int err;

	in->imm_off = c->pos;
	in->imm_len = n;
	if (what & (W & ~V)) { /* ret, enter: the first is unsigned 16 bits */
		err = fetch_value(c, 2, &in->imm);
		in->imm &= 0xffff;
		return err ? err : fetch_value(c, n - 2, &rest);
	}
	return fetch_value(c, n, &in->imm);
}

int arch_insn_decode(const u8 *code, size_t len, struct arch_insn *out)
{
	struct cursor c = {code, len, 0};
	struct arch_insn in = {0};
	int err = take_opcode(&c, &in);
	u8 what;

	if (err < 0)
		return err;
	what = shape(&in);
	if (!what)
		return -EINVAL;
	if (what & (M & ~V)) {
		err = take_modrm(&c, &in);
		if (err)
			return err;
		if (!group_exists(&in))
			return -EINVAL;
		what = special_immediate(&in, what);
	}
	err = take_immediate(&c, &in, what);
	if (err)
		return err;
	in.len = c.pos;
	*out = in;
	return 0;
}

int arch_insn_len(const u8 *code, size_t len)
{
	struct arch_insn in;
	int err = arch_insn_decode(code, len, &in);

	return err ? err : in.len;
}

/* --- exits of an unwinder -----------------------------------------------------------------------
 */

static bool is_return(const struct arch_insn *in)
{
	return in->encoding == INSN_LEGACY && in->map == 0 &&
	       (in->opcode == 0xc3 || in->opcode == 0xc2);
}

/* mov %rcx,%rsp: what compilers make of __builtin_eh_return() */
static bool takes_stack(const struct arch_insn *in)
{
	return in->encoding == INSN_LEGACY && in->map == 0 && in->rex == INSN_REX_W &&
	       ((in->opcode == 0x89 && in->modrm == 0xcc) ||
		(in->opcode == 0x8b && in->modrm == 0xe1));
}

/* jmp *%rcx, after pop %rcx: the same where there may be a shadow stack */
static bool is_landing(const struct arch_insn *in, const struct arch_insn *before)
{
	return before->map == 0 && before->opcode == 0x59 && !before->rex && in->map == 0 &&
	       in->opcode == 0xff && in->modrm == 0xe1 && !in->rex;
}

int arch_unwind_exits(const u8 *code, size_t len, bool lands, u32 *offsets, u32 max)
{
	struct arch_insn in = {0}, before;
	bool taken = false, landed = false;
	u32 n = 0;

	for (size_t at = 0; at < len; at += in.len) {
		before = in;
		if (arch_insn_decode(code + at, len - at, &in))
			return -EINVAL;
		taken |= takes_stack(&in);
		if (!is_return(&in) && !(taken && is_landing(&in, &before)))
			continue;
		if (n == max)
			return -ENOSPC;
		offsets[n++] = (u32)at;
		landed |= taken;
		taken = false;
	}
	return lands && !landed ? -ENOENT : (int)n;
}

/* --- returns of a function ----------------------------------------------------------------------
 */

/* Does a jump of that kind stay within @len bytes, seen from @next? */
static bool stays_within(const struct arch_insn *in, u64 next, size_t len)
{
	return next + (u64)in->imm < len;
}

static bool is_direct_jump(const struct arch_insn *in)
{
	if (in->encoding != INSN_LEGACY)
		return false;
	if (in->map == 1)
		return (in->opcode & 0xf0) == 0x80;
	return in->map == 0 && (in->opcode == 0xe9 || in->opcode == 0xeb ||
				(in->opcode & 0xf0) == 0x70 || (in->opcode & 0xfc) == 0xe0);
}

/* jmp through a register or memory, near or far; with a notrack prefix it is a table's */
static bool is_indirect_jump(const struct arch_insn *in)
{
	return in->encoding == INSN_LEGACY && in->map == 0 && in->opcode == 0xff &&
	       (insn_reg(in) == 4 || insn_reg(in) == 5) && in->seg != 0x3e;
}

/* retf, iret, jmp far; and what an APX jump may be */
static bool is_odd_exit(const struct arch_insn *in)
{
	return in->map == 0 && ((in->encoding == INSN_REX2 && in->opcode == 0xa1) ||
				(in->encoding == INSN_LEGACY &&
				 (in->opcode == 0xca || in->opcode == 0xcb || in->opcode == 0xcf)));
}

int arch_returns(const u8 *code, size_t len, bool tables, u32 *offsets, u32 max, u32 *at)
{
	struct arch_insn in;
	u32 n = 0;

	for (size_t pos = 0; pos < len; pos += in.len) {
		*at = (u32)pos;
		if (arch_insn_decode(code + pos, len - pos, &in))
			return -EINVAL;
		if (is_odd_exit(&in) || (!tables && is_indirect_jump(&in)) ||
		    (is_direct_jump(&in) && !stays_within(&in, pos + in.len, len)))
			return -EXDEV;
		if (!is_return(&in))
			continue;
		if (n == max)
			return -ENOSPC;
		offsets[n++] = (u32)pos;
	}
	return (int)n;
}

int arch_leaves(const u8 *code, size_t len, u32 *offsets, u32 max)
{
	struct arch_insn in;
	u32 n = 0;

	for (size_t pos = 0; pos < len; pos += in.len) {
		bool away;

		if (arch_insn_decode(code + pos, len - pos, &in))
			return -EINVAL;
		away = is_indirect_jump(&in) ||
		       (is_direct_jump(&in) && !stays_within(&in, pos + in.len, len));
		if (is_odd_exit(&in) ||
		    (away && (in.map || (in.opcode & 0xf0) == 0x70 || (in.opcode & 0xfc) == 0xe0)))
			return -EXDEV;
		if (!away && !is_return(&in))
			continue;
		if (n == max)
			return -ENOSPC;
		offsets[n++] = (u32)pos;
	}
	return (int)n;
}
