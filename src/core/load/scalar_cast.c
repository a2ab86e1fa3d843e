/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Narrowing, sign extension, byte order, and instructions. What is kept of a number is known as a
 * view of that width; its ranges are known where the numbers didn't wrap at that width.
 */
#include "core/load/scalar_view.h"

#include "core/uapi.h"

/* The low @bits, as unsigned numbers: kept where all have the same bits above. */
static void narrow_unsigned(struct ebpf_view *out, u64 min, u64 max, u32 bits)
{
	if (zero_extend(max - min, BITS) > EBPF_UMAX(bits) ||
	    zero_extend(min, bits) > zero_extend(max, bits))
		return;
	out->umin = MAX(out->umin, zero_extend(min, bits));
	out->umax = MIN(out->umax, zero_extend(max, bits));
}

void ebpf_scalar_trunc(struct ebpf_scalar *s, u8 bytes)
{
	struct ebpf_view out;
	u32 bits = bits_of(bytes);

	if (bits == BITS)
		return;
	if (bits == HALF) {
		ebpf_scalar_zext32(s);
		return;
	}
	view_unknown(&out, BITS);
	out.t = ebpf_tnum_zext(s->var_off, bits);
	out.umax = EBPF_UMAX(bits);
	narrow_unsigned(&out, s->umin, s->umax, bits);
	narrow_unsigned(&out, (u64)s->smin, (u64)s->smax, bits);
	narrow_unsigned(&out, s->u32_min, s->u32_max, bits);
	narrow_unsigned(&out, (u64)(s64)s->s32_min, (u64)(s64)s->s32_max, bits);
	ebpf_scalar_unknown(s);
	set_full(s, &out);
	finish(s);
}

/* The low @bits, as signed numbers: kept where they go from min to max without a wrap. */
static void narrow_signed(struct ebpf_view *out, u64 min, u64 max, u32 bits)
{
	if (zero_extend(max - min, BITS) > EBPF_UMAX(bits) ||
	    sign_extend(min, bits) > sign_extend(max, bits))
		return;
	out->smin = MAX(out->smin, sign_extend(min, bits));
	out->smax = MIN(out->smax, sign_extend(max, bits));
}

void ebpf_scalar_sext(struct ebpf_scalar *s, u8 bytes, bool is64)
{
	struct ebpf_view out;
	u32 bits = bits_of(bytes);

	view_unknown(&out, BITS);
	out.t = ebpf_tnum_sext(s->var_off, bits, BITS);
	out.smin = signed_min(bits);
	out.smax = signed_max(bits) - EBPF_MUTANT(23, 0, 1);
	narrow_signed(&out, s->umin, s->umax, bits);
	narrow_signed(&out, (u64)s->smin, (u64)s->smax, bits);
	narrow_signed(&out, s->u32_min, s->u32_max, bits);
	narrow_signed(&out, (u64)(s64)s->s32_min, (u64)(s64)s->s32_max, bits);
	ebpf_scalar_unknown(s);
	set_full(s, &out);
	finish(s);
	if (!is64)
		ebpf_scalar_zext32(s);
}

/* The bytes of the low @bits in reverse order. */
static u64 swap(u64 value, u32 bits)
{
	u64 out = 0;
	u32 i;

	for (i = 0; i < bits; i += EBPF_DOMAIN_BYTE)
		out = out << EBPF_DOMAIN_BYTE | (value >> i & EBPF_UMAX(EBPF_DOMAIN_BYTE));
	return out;
}

static bool is_swap(u8 kind)
{
	bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

	return kind == EBPF_END_SWAP || (kind == EBPF_END_BE) == little;
}

void ebpf_scalar_end(struct ebpf_scalar *s, u8 kind, u8 bits)
{
	struct ebpf_tnum t = s->var_off;

	if (!is_swap(kind)) {
		ebpf_scalar_trunc(s, bits / 8);
		return;
	}
	ebpf_scalar_unknown(s);
	s->var_off.value = swap(t.value, bits_of(bits / 8));
	s->var_off.mask = swap(t.mask, bits_of(bits / 8));
	finish(s);
}

static enum ebpf_end end_kind(const struct bpf_insn *in)
{
	if (BPF_CLASS(in->code) == BPF_ALU64)
		return EBPF_END_SWAP;
	return BPF_SRC(in->code) == BPF_TO_BE ? EBPF_END_BE : EBPF_END_LE;
}

void ebpf_scalar_insn(struct ebpf_scalar *dst, const struct ebpf_scalar *src,
		      const struct bpf_insn *in)
{
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;

	switch (BPF_OP(in->code)) {
	case BPF_MOV:
		*dst = *src;
		if (in->off)
			ebpf_scalar_sext(dst, (u8)(in->off / 8), is64);
		else if (!is64)
			ebpf_scalar_zext32(dst);
		break;
	case BPF_NEG:
		ebpf_scalar_neg(dst, is64);
		break;
	case BPF_END:
		ebpf_scalar_end(dst, (u8)end_kind(in), (u8)in->imm);
		break;
	default:
		ebpf_scalar_alu(dst, src, BPF_OP(in->code), is64, in->off == 1);
	}
}

void ebpf_scalar_range(struct ebpf_scalar *s, s64 min, s64 max)
{
	ebpf_scalar_unknown(s);
	s->smin = min;
	s->smax = max;
	finish(s);
}
