/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which member of a structure of the target is accessed: target.h tells the model. Messages are the
 * kernel's, whose rules these are.
 */
#include <stdio.h>
#include <string.h>

#include "core/load/btf_kind.h"
#include "core/load/mutant.h"
#include "core/load/target.h"

#define DEPTH_MAX 32u /* structures in structures */

struct walk {
	const struct ebpf_btf *b;
	struct ebpf_btf_type t; /* the structure that is walked */
	char name[64];		/* its name */
	u32 off, size;		/* the access, from its start */
	u32 pointee;
	bool vague;
	char *why;
};

enum found { FAULT = -1, NUMBER, POINTER, DEEPER, ELSEWHERE };

#define refuse(w, ...) (snprintf((w)->why, EBPF_TARGET_WHY, __VA_ARGS__), FAULT)

static bool is_struct(const struct ebpf_btf_type *t)
{
	return t->kind == BTF_KIND_STRUCT || t->kind == BTF_KIND_UNION;
}

u32 ebpf_target_pointee(const struct ebpf_btf *b, u32 id)
{
	struct ebpf_btf_type t;

	if (!ebpf_btf_skip(b, &id, &t) || t.kind != BTF_KIND_PTR)
		return 0;
	id = t.ref;
	return id && ebpf_btf_skip(b, &id, &t) && is_struct(&t) ? id : 0;
}

static enum found enter(struct walk *w, u32 id, u32 off)
{
	if (!ebpf_btf_skip(w->b, &id, &w->t))
		return refuse(w, "Type '%s' is not a struct\n", w->name);
	ebpf_btf_clean_name(w->name, sizeof(w->name), *w->t.name ? w->t.name : "(anon)");
	if (!is_struct(&w->t))
		return refuse(w, "Type '%s' is not a struct\n", w->name);
	w->vague |= w->t.kind == BTF_KIND_UNION && w->t.vlen != 1;
	w->off = off;
	return DEEPER;
}

/* Behind the end there may be an array of any length. */
static enum found flexible(struct walk *w)
{
	struct ebpf_btf_param last;
	struct ebpf_btf_type t;
	u32 elem, n = 1, id;
	s64 size;

	if (w->t.vlen && ebpf_btf_param(w->b, &w->t, w->t.vlen - 1, &last)) {
		id = last.type;
		if (ebpf_btf_skip(w->b, &id, &t) && t.kind == BTF_KIND_ARRAY)
			ebpf_btf_array(w->b, &t, &elem, &n);
	}
	if (n || w->off < last.off || !ebpf_btf_skip(w->b, &elem, &t))
		goto beyond;
	size = ebpf_btf_size(w->b, elem);
	if (t.kind == BTF_KIND_INT)
		return NUMBER;
	if (is_struct(&t) && size > 0)
		return enter(w, elem, (w->off - last.off) % (u32)size);
beyond:
	return refuse(w, "access beyond struct %s at off %u size %u\n", w->name, w->off, w->size);
}

static enum found pointer(struct walk *w, const struct ebpf_btf_param *m, u32 id, u32 off)
{
	char name[64];

	ebpf_btf_clean_name(name, sizeof(name), m->name);
	if (w->size != 8 || w->off != off)
		return refuse(w,
			      "cannot access ptr member %s with moff %u in struct %s with off %u "
			      "size %u\n",
			      name, off, w->name, w->off, w->size);
	w->pointee = ebpf_target_pointee(w->b, id);
	if (!w->pointee)
		w->pointee = EBPF_TARGET_MEMORY;
	return POINTER;
}

/* Of an array the element that is accessed: its type and place. */
static bool element(struct walk *w, u32 *id, struct ebpf_btf_type *t, u32 *off)
{
	for (u32 i = 0; t->kind == BTF_KIND_ARRAY; i++) {
		u32 elem, n;
		s64 size;

		ebpf_btf_array(w->b, t, &elem, &n);
		size = ebpf_btf_size(w->b, elem);
		if (size <= 0 || i == DEPTH_MAX)
			return false;
		*off += (w->off - *off) / (u32)size * (u32)size;
		*id = elem;
		if (!ebpf_btf_skip(w->b, id, t))
			return false;
	}
	return true;
}

static enum found bitfield(const struct walk *w, const struct ebpf_btf_param *m)
{
	u32 end = (m->bit + m->width + 7) / 8;

	return w->off <= m->off && end <= w->off + w->size ? NUMBER : ELSEWHERE;
}

static enum found member(struct walk *w, const struct ebpf_btf_param *m)
{
	s64 size = ebpf_btf_size(w->b, m->type);
	u32 id = m->type, off = m->off, end = m->off + (u32)size;
	struct ebpf_btf_type t;
	char name[64];

	ebpf_btf_clean_name(name, sizeof(name), m->name);
	if (size < 0 || !ebpf_btf_skip(w->b, &id, &t))
		return refuse(w, "field %s doesn't have size\n", name);
	if (w->off >= end)
		return ELSEWHERE;
	if (!element(w, &id, &t, &off))
		return refuse(w, "field %s doesn't have size\n", name);
	if (is_struct(&t))
		return enter(w, id, w->off - off);
	if (t.kind == BTF_KIND_PTR)
		return pointer(w, m, id, off);
	if (EBPF_MUTANT(143, w->off + w->size > end, false) && !w->vague)
		return refuse(w,
			      "access beyond the end of member %s (mend:%u) in struct %s with off "
			      "%u size %u\n",
			      name, end, w->name, w->off, w->size);
	return NUMBER;
}

/* One structure: what is accessed, or another one inside it. */
static enum found look(struct walk *w)
{
	struct ebpf_btf_param m;
	enum found found;

	if ((u64)w->off + w->size > w->t.ref)
		return flexible(w);
	for (u32 i = 0; ebpf_btf_param(w->b, &w->t, i, &m); i++) {
		if (w->off + w->size <= m.off)
			break;
		if (!m.width && w->off < m.off)
			break;
		found = m.width ? bitfield(w, &m) : member(w, &m);
		if (found != ELSEWHERE)
			return found;
	}
	return refuse(w, "struct %s doesn't have field at offset %u\n", w->name, w->off);
}

int ebpf_target_field(const struct ebpf_btf *b, u32 id, u32 off, u32 size, u32 *pointee,
		      bool *vague, char why[EBPF_TARGET_WHY])
{
	struct walk w = {.b = b, .size = size, .vague = *vague, .why = why};
	enum found found = enter(&w, id, off);

	for (u32 i = 0; found == DEEPER; i++)
		found = i < DEPTH_MAX ? look(&w) : refuse(&w, "struct %s is too deep\n", w.name);
	if (found == FAULT)
		return strstr(why, "have") || strstr(why, "is not") ? -EINVAL : -EACCES;
	*pointee = w.pointee;
	*vague = w.vague;
	return 0;
}
