/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chains of references cut where they would never end.
 *
 * Model: pointers, modifiers, typedefs, arrays and prototypes refer to other types; a structure or
 * an enumeration ends a chain, for libbpf deduplicates them first. A reference back into the chain
 * that is being followed (which no C can say, and Go can) becomes void, as does one with a longer
 * chain behind it than any program has: libbpf would refuse the whole BTF, or recurse for each
 * link.
 *
 * The same pass, looking only, tells whether a BTF can be printed as C: libbpf recurses along what
 * stands inside of what, too.
 *
 * Rules: one depth-first pass with a stack of its own, every reference is followed once.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/btf.h"
#include "btf/dwarf_conv.h"

#define CHAIN_MAX 256u
#define PATHS_MAX (1u << 22)
#define OPEN 0xffffu /* in height[]: in the chain that is being followed */

struct tidy {
	struct btf *btf;
	u32 *paths;  /* by which something is inside of a type, where that is looked at */
	u16 *height; /* of each type, one more than that of the highest it refers to; 0: not seen */
	u32 ntypes;
	struct {
		u32 id, edge;
	} stack[CHAIN_MAX + 1];
	u32 depth;
	bool looks;   /* nothing is cut; and what is inside of structures counts, too */
	bool endless; /* something would have been cut */
};

static struct btf_type *type_at(struct tidy *t, u32 id)
{
	return (struct btf_type *)btf__type_by_id(t->btf, id);
}

/* The @i-th reference of a type, NULL when there are no more. */
static u32 *edge_of(struct btf_type *type, u32 i)
{
	switch (btf_kind(type)) {
	case BTF_KIND_PTR:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_FUNC:
	case BTF_KIND_VAR:
		return i ? NULL : &type->type;
	case BTF_KIND_ARRAY:
		return i ? NULL : &btf_array(type)->type;
	case BTF_KIND_FUNC_PROTO:
		if (!i)
			return &type->type;
		return i <= btf_vlen(type) ? &btf_params(type)[i - 1].type : NULL;
	default:
		return NULL;
	}
}

/* Of what is printed inside of it: a member's type; not that of a pointer to something named. */
static u32 *inner_of(struct tidy *t, struct btf_type *type, u32 i)
{
	struct btf_type *to;

	if (btf_is_composite(type))
		return i < btf_vlen(type) ? &btf_members(type)[i].type : NULL;
	if (!btf_is_ptr(type))
		return edge_of(type, i);
	to = type->type < t->ntypes ? type_at(t, type->type) : NULL;
	return i || !to || (btf_is_composite(to) && to->name_off) ? NULL : &type->type;
}

static u32 *next_of(struct tidy *t, struct btf_type *type, u32 i)
{
	return t->looks ? inner_of(t, type, i) : edge_of(type, i);
}

static void cut(struct tidy *t, struct btf_type *type, u32 *edge)
{
	if (t->looks) {
		t->endless = true;
		return;
	}
	/* an array has elements: those of what its index is */
	*edge = btf_is_array(type) ? btf_array(type)->index_type : 0;
}

static void push(struct tidy *t, u32 id)
{
	t->height[id] = OPEN;
	t->stack[t->depth].id = id;
	t->stack[t->depth++].edge = 0;
}

/* libbpf follows each path for itself: two of the same in two of the same ... is without end. */
static void count_paths(struct tidy *t, u32 id, u32 inner)
{
	t->paths[id] += 1 + t->paths[inner];
	if (t->paths[id] > PATHS_MAX)
		t->endless = true;
}

/* One step: down along the next reference of the type on top of the stack, or up from it. */
static void step(struct tidy *t)
{
	u32 id = t->stack[t->depth - 1].id, to;
	struct btf_type *type = type_at(t, id);
	u32 *edge = next_of(t, type, t->stack[t->depth - 1].edge);
	u32 highest = 0;

	if (edge) {
		to = *edge;
		if (to >= t->ntypes || t->height[to] == OPEN || t->height[to] >= CHAIN_MAX ||
		    (to && !t->height[to] && t->depth > CHAIN_MAX))
			cut(t, type, edge);
		else if (to && !t->height[to]) {
			push(t, to);
			return;
		}
		t->stack[t->depth - 1].edge++;
		return;
	}
	for (u32 i = 0; (edge = next_of(t, type, i)); i++) {
		highest = MAX(highest, (u32)t->height[*edge]);
		if (t->looks)
			count_paths(t, id, *edge);
	}
	t->height[id] = (u16)(highest + 1);
	t->depth--;
}

static int run(struct tidy *t)
{
	_cleanup_free_ u16 *height = NULL;
	_cleanup_free_ u32 *paths = NULL;

	t->ntypes = btf__type_cnt(t->btf);
	t->height = height = calloc(t->ntypes, sizeof(*height));
	t->paths = paths = t->looks ? calloc(t->ntypes, sizeof(*paths)) : NULL;
	if (!height || (t->looks && !paths))
		return -ENOMEM;
	for (u32 id = 1; id < t->ntypes && !t->endless; id++) {
		if (!height[id])
			push(t, id);
		while (t->depth && !t->endless)
			step(t);
	}
	return 0;
}

int btf_tidy(struct btf *btf)
{
	struct tidy t = {.btf = btf};

	return run(&t);
}

/* libbpf divides by the alignment of what is in a structure, and of numbers. */
static bool has_alignment(const struct btf *btf, const struct btf_type *type)
{
	if (btf_is_int(type) || btf_is_any_enum(type))
		return IS_POW2(type->size) && type->size <= 16;
	if (btf_is_float(type))
		return type->size >= 2 && type->size <= 16;
	for (u32 i = 0; btf_is_composite(type) && i < btf_vlen(type); i++) {
		if (btf__align_of(btf, btf_members(type)[i].type) <= 0)
			return false;
	}
	return true;
}

bool btf_is_printable(struct btf *btf)
{
	struct tidy t = {.btf = btf, .looks = true};

	if (run(&t) || t.endless)
		return false;
	for (u32 id = 1; id < btf__type_cnt(btf); id++) {
		if (!has_alignment(btf, btf__type_by_id(btf, id)))
			return false;
	}
	return true;
}
