/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the words of a call are: target.h tells the model. */
#include <string.h>

#include "core/load/btf_kind.h"
#include "core/load/target.h"

#define STEPS_MAX 4096u /* through the types of one function: they may say one thing very often */
#define INT_REGS 6u
#define SSE_REGS 8u

/* What eight bytes of a value are, in the convention's order: a later one wins over an earlier. */
enum sort { NOTHING, SSE, INTEGER };

struct abi {
	const struct ebpf_btf *b;
	struct ebpf_target_sig *sig;
	u32 steps;
	u32 ints, sses, stack; /* registers, and words of the stack, that are used up */
};

/* A value: how it is passed where there is room. */
struct value {
	u32 size; /* bytes */
	enum sort sort[2];
	bool memory; /* not in registers, however many there are */
	bool aligned16;
	bool is_signed;
};

static bool step(struct abi *a)
{
	return a->steps++ < STEPS_MAX;
}

static void mix(struct value *v, u32 off, u32 size, enum sort sort)
{
	for (u32 i = off / 8; i <= (off + size - 1) / 8 && i < 2; i++)
		v->sort[i] = sort > v->sort[i] ? sort : v->sort[i];
}

static bool is_long_double(const struct ebpf_btf_type *t)
{
	return t->kind == BTF_KIND_FLOAT && t->ref == 16 && strstr(t->name, "long double");
}

/* A number, pointer or float at @off. */
static void scalar(struct value *v, const struct ebpf_btf_type *t, u32 off, u32 size)
{
	v->memory |= off % size || is_long_double(t);
	v->aligned16 |= size == 16;
	mix(v, off, size, t->kind == BTF_KIND_FLOAT ? SSE : INTEGER);
}

static bool classify(struct abi *a, u32 id, u32 off, u32 depth, struct value *v);

static bool classify_array(struct abi *a, const struct ebpf_btf_type *t, u32 off, u32 depth,
			   struct value *v)
{
	u32 elem, n;
	s64 size;

	ebpf_btf_array(a->b, t, &elem, &n);
	size = ebpf_btf_size(a->b, elem);
	if (size <= 0)
		return !n;
	/* what is large is in memory: one of its elements tells the alignment */
	for (u32 i = 0; i < n && i < 16; i++)
		if (!classify(a, elem, off + i * (u32)size, depth + 1, v))
			return false;
	return true;
}

static bool classify_members(struct abi *a, const struct ebpf_btf_type *t, u32 off, u32 depth,
			     struct value *v)
{
	struct ebpf_btf_param m;

	for (u32 i = 0; ebpf_btf_param(a->b, t, i, &m); i++) {
		if (m.width)
			mix(v, off + m.bit / 8, (m.bit % 8 + m.width + 7) / 8, INTEGER);
		else if (!classify(a, m.type, off + m.off, depth + 1, v))
			return false;
	}
	return t->vlen; /* one without members may be anything */
}

/* False: it can't be told. */
static bool classify(struct abi *a, u32 id, u32 off, u32 depth, struct value *v)
{
	struct ebpf_btf_type t;

	if (!step(a) || depth > 16 || !ebpf_btf_skip(a->b, &id, &t))
		return false;
	switch (t.kind) {
	case BTF_KIND_PTR:
		scalar(v, &t, off, 8);
		return true;
	case BTF_KIND_INT:
	case BTF_KIND_ENUM:
	case KIND_ENUM64:
	case BTF_KIND_FLOAT:
		if (!t.ref || t.ref > 16 || (t.ref & (t.ref - 1)))
			return false;
		scalar(v, &t, off, t.ref);
		return true;
	case BTF_KIND_ARRAY:
		return depth && classify_array(a, &t, off, depth, v);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return classify_members(a, &t, off, depth, v);
	default:
		return false;
	}
}

static bool value_of(struct abi *a, u32 id, struct value *v)
{
	struct ebpf_btf_type t;
	s64 size = ebpf_btf_size(a->b, id);

	*v = (struct value){.size = (u32)size};
	if (size <= 0 || !classify(a, id, 0, 0, v) || !ebpf_btf_skip(a->b, &id, &t))
		return false;
	v->memory |= size > 16;
	v->is_signed = ebpf_btf_is_signed(a->b, &t);
	return v->memory || (v->sort[0] != NOTHING && (size <= 8 || v->sort[1] != NOTHING));
}

static bool is_aggregate(const struct ebpf_btf *b, u32 id)
{
	struct ebpf_btf_type t;

	return ebpf_btf_skip(b, &id, &t) && (t.kind == BTF_KIND_STRUCT || t.kind == BTF_KIND_UNION);
}

/* --- words ----------------------------------------------------------------------------------- */

static struct ebpf_target_word *new_word(struct abi *a, u32 arg, u32 type, bool first)
{
	struct ebpf_target_word *w = &a->sig->word[a->sig->nwords++];

	*w = (struct ebpf_target_word){.arg = arg, .type = type, .first = first};
	return w;
}

static void say(struct ebpf_target_word *w, u32 where, u32 n, const struct value *v, u32 i)
{
	u32 bytes = MIN(v->size - 8 * i, 8u);

	w->from = (struct ebpf_image_word){.where = (u8)where,
					   .n = (u8)n,
					   .bits = (u8)(8 * bytes),
					   .is_signed = v->is_signed && v->size <= 8};
}

/* The next words of the stack, all of them or none. */
static bool on_stack(struct abi *a, const struct value *v, u32 *at)
{
	u32 words = (v->size + 7) / 8, start = ALIGN_UP(a->stack, v->aligned16 ? 2u : 1u);

	if (words > 0xff || start + words > 0xff)
		return false;
	a->stack = start + words;
	*at = start;
	return true;
}

static bool fits_registers(const struct abi *a, const struct value *v)
{
	u32 ints = 0, sses = 0;

	for (u32 i = 0; i < (v->size + 7) / 8; i++)
		v->sort[i] == SSE ? sses++ : ints++;
	/* of a float of sixteen bytes both halves are in one */
	return a->ints + ints <= INT_REGS && a->sses + sses <= SSE_REGS;
}

static bool is_wide_float(const struct ebpf_btf *b, u32 id)
{
	struct ebpf_btf_type t;

	return ebpf_btf_skip(b, &id, &t) && t.kind == BTF_KIND_FLOAT && t.ref == 16;
}

static void in_registers(struct abi *a, const struct value *v, u32 arg, u32 type)
{
	const bool wide = is_wide_float(a->b, type);

	for (u32 i = 0; i < (v->size + 7) / 8; i++) {
		struct ebpf_target_word *w = new_word(a, arg, type, !i);

		if (wide)
			say(w, i ? EBPF_WORD_SSE_HIGH : EBPF_WORD_SSE, a->sses, v, i);
		else if (v->sort[i] == SSE)
			say(w, EBPF_WORD_SSE, a->sses++, v, i);
		else
			say(w, EBPF_WORD_INT, a->ints++, v, i);
	}
	a->sses += wide;
}

/* C++ passes a class that isn't trivial by its address, which types don't say; Rust as it likes. */
static bool is_foreign(const struct abi *a)
{
	return !strncmp(a->sig->name, "_Z", 2) || !strncmp(a->sig->name, "_R", 2);
}

/* False: it can't be told where this is, and what comes behind it. */
static bool argument(struct abi *a, u32 arg, u32 type)
{
	const bool aggregate = is_aggregate(a->b, type);
	struct ebpf_target_word *w;
	struct value v;
	u32 at;

	if ((aggregate && is_foreign(a)) || !value_of(a, type, &v))
		return false;
	if (!v.memory && fits_registers(a, &v)) {
		in_registers(a, &v, arg, type);
		return true;
	}
	if (!on_stack(a, &v, &at))
		return false;
	if (v.memory) { /* a structure, or a long double */
		w = new_word(a, arg, type, true);
		w->by_address = aggregate;
		say(w, EBPF_WORD_STACK_ADDRESS, at, &(struct value){.size = 8}, 0);
		return true;
	}
	for (u32 i = 0; i < (v.size + 7) / 8; i++)
		say(new_word(a, arg, type, !i), EBPF_WORD_STACK, at + i, &v, i);
	return true;
}

static void unknown(struct abi *a, u32 arg, u32 type)
{
	new_word(a, arg, type, true);
}

static void arguments(struct abi *a, const struct ebpf_btf_type *proto)
{
	struct ebpf_btf_param p;
	bool told = true;

	for (u32 i = 0; ebpf_btf_param(a->b, proto, i, &p); i++) {
		if (!p.type) /* the rest of a call with any number */
			break;
		if (a->sig->nwords + 2 > EBPF_IMAGE_ARGS)
			break;
		told = told && argument(a, i, p.type);
		if (!told)
			unknown(a, i, p.type);
	}
	a->sig->nargs = a->sig->nwords;
}

/* --- what is returned ------------------------------------------------------------------------ */

static void result(struct abi *a, u32 arg, u32 type, const struct value *v, bool told)
{
	u32 ints = 0, sses = 0;

	if (!told || (v->memory && !is_aggregate(a->b, type))) { /* a long double */
		unknown(a, arg, type);
		return;
	}
	if (v->memory) {
		struct ebpf_target_word *w = new_word(a, arg, type, true);

		w->by_address = true;
		say(w, EBPF_WORD_RET_INT, 0, &(struct value){.size = 8}, 0);
		return;
	}
	for (u32 i = 0; i < (v->size + 7) / 8; i++) {
		struct ebpf_target_word *w = new_word(a, arg, type, !i);

		if (is_wide_float(a->b, type))
			say(w, i ? EBPF_WORD_RET_SSE_HIGH : EBPF_WORD_RET_SSE, 0, v, i);
		else if (v->sort[i] == SSE)
			say(w, EBPF_WORD_RET_SSE, sses++, v, i);
		else
			say(w, EBPF_WORD_RET_INT, ints++, v, i);
	}
}

int ebpf_target_sig(const struct ebpf_btf *b, u32 func, struct ebpf_target_sig *sig)
{
	struct abi a = {.b = b, .sig = sig};
	struct ebpf_btf_type t, proto;
	struct value ret = {0};
	bool told;

	memset(sig, 0, sizeof(*sig));
	if (!ebpf_btf_type(b, func, &t) || t.kind != BTF_KIND_FUNC ||
	    !ebpf_btf_type(b, t.ref, &proto) || proto.kind != BTF_KIND_FUNC_PROTO)
		return -EINVAL;
	ebpf_btf_clean_name(sig->name, sizeof(sig->name), t.name);
	told = proto.ref && !(is_foreign(&a) && is_aggregate(b, proto.ref)) &&
	       value_of(&a, proto.ref, &ret);
	/* where it is to be written is passed as if it were the first argument */
	a.ints = told && ret.memory && is_aggregate(b, proto.ref);
	/* whether it is, is not known then */
	if (proto.ref && !told && is_aggregate(b, proto.ref))
		a.ints = INT_REGS, a.sses = SSE_REGS, a.stack = 0xff;
	arguments(&a, &proto);
	if (proto.ref)
		result(&a, proto.vlen, proto.ref, &ret, told);
	return 0;
}
