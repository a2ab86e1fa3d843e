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
 * Rules: one depth-first pass with a stack of its own, every reference is followed once.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/dwarf_conv.h"

#define CHAIN_MAX 256u
#define OPEN 0xffffu /* in height[]: in the chain that is being followed */

struct tidy {
	struct btf *btf;
	u16 *height; /* of each type, one more than that of the highest it refers to; 0: not seen */
	u32 ntypes;
	struct {
		u32 id, edge;
	} stack[CHAIN_MAX + 1];
	u32 depth;
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

static void cut(struct btf_type *type, u32 *edge)
{
	/* an array has elements: those of what its index is */
	*edge = btf_is_array(type) ? btf_array(type)->index_type : 0;
}

static void push(struct tidy *t, u32 id)
{
	t->height[id] = OPEN;
	t->stack[t->depth].id = id;
	t->stack[t->depth++].edge = 0;
}

/* One step: down along the next reference of the type on top of the stack, or up from it. */
static void step(struct tidy *t)
{
	u32 id = t->stack[t->depth - 1].id, to;
	struct btf_type *type = type_at(t, id);
	u32 *edge = edge_of(type, t->stack[t->depth - 1].edge);
	u32 highest = 0;

	if (edge) {
		to = *edge;
		if (to >= t->ntypes || t->height[to] == OPEN || t->height[to] >= CHAIN_MAX ||
		    (to && !t->height[to] && t->depth > CHAIN_MAX))
			cut(type, edge);
		else if (to && !t->height[to]) {
			push(t, to);
			return;
		}
		t->stack[t->depth - 1].edge++;
		return;
	}
	for (u32 i = 0; (edge = edge_of(type, i)); i++)
		highest = MAX(highest, (u32)t->height[*edge]);
	t->height[id] = (u16)(highest + 1);
	t->depth--;
}

int btf_tidy(struct btf *btf)
{
	_cleanup_free_ u16 *height = NULL;
	struct tidy t = {.btf = btf, .ntypes = btf__type_cnt(btf)};

	t.height = height = calloc(t.ntypes, sizeof(*height));
	if (!height)
		return -ENOMEM;
	for (u32 id = 1; id < t.ntypes; id++) {
		if (!height[id])
			push(&t, id);
		while (t.depth)
			step(&t);
	}
	return 0;
}
