/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a type is called: in C its DIE's name, elsewhere with the namespaces and classes around it.
 *
 * Model: a DIE doesn't know its parent, so a unit is walked once before the first name in it is
 * asked for, and each type that stands in a scope is remembered with it. What a function has inside
 * is called by its own name alone.
 *
 * Model of one definition: C++ and Rust allow one type of a name in a program, and every unit that
 * sees it describes it anew. dwarf_fingerprint() tells those that are the same by their name, size
 * and members, so that all but the first are not even converted.
 */
#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/macros.h"
#include "btf/dwarf_conv.h"
#include "btf/dwo.h"

#define NAME_LEN_MAX (1u << 16)
#define HOPS_MAX 8
#define SCOPES_MAX (1u << 28)

struct dwarf_scope {
	Dwarf_Die die;
	u32 parent; /* one more than its index; 0: none */
};

static bool is_scope(u32 tag)
{
	switch (tag) {
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_interface_type:
	case DW_TAG_union_type:
		return true;
	default:
		return false;
	}
}

static bool has_name_in_scope(u32 tag)
{
	return is_scope(tag) || tag == DW_TAG_enumeration_type || tag == DW_TAG_typedef;
}

static int add_scope(struct dwarf_scopes *s, const Dwarf_Die *die, u32 parent)
{
	if (s->n == s->cap) {
		u32 cap = s->cap ? s->cap * 2 : 256;
		struct dwarf_scope *bigger =
			cap > SCOPES_MAX ? NULL : reallocarray(s->v, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		s->v = bigger;
		s->cap = cap;
	}
	s->v[s->n++] = (struct dwarf_scope){*die, parent};
	return (int)s->n;
}

/* Remember the scope of @die, and enter it where it is one. */
static int note(const Dwarf_Die *die, u32 *scope, void *cookie)
{
	struct dwarf_scopes *s = cookie;
	u32 tag = (u32)dwarf_tag((Dwarf_Die *)die);
	int inner;

	if (*scope && has_name_in_scope(tag) &&
	    idmap_put(&s->of, (u64)(uintptr_t)die->addr, *scope))
		return -ENOMEM;
	if (!is_scope(tag) || !dwarf_haschildren((Dwarf_Die *)die))
		return 0;
	inner = add_scope(s, die, *scope);
	*scope = (u32)inner;
	return inner < 0 ? inner : 1;
}

void dwarf_scopes_clear(struct dwarf_scopes *s)
{
	idmap_clear(&s->of);
	s->n = 0;
}

void dwarf_scopes_free(struct dwarf_scopes *s)
{
	idmap_free(&s->of);
	free(s->v);
}

/* The unit's scopes, known; NULL for no memory or a unit that can't be walked. */
static struct dwarf_scopes *scopes_of(struct dwarf_conv *c, const Dwarf_Die *die)
{
	struct dwarf_scopes *s = die->cu == c->cu ? &c->local_scopes : &c->shared_scopes;
	u64 key = (u64)(uintptr_t)die->cu;
	Dwarf_Die unit;

	if (idmap_get(&s->of, key))
		return s;
	if (dwarf_cu_info(die->cu, NULL, NULL, &unit, NULL, NULL, NULL, NULL))
		return NULL;
	if (idmap_put(&s->of, key, 1))
		return NULL;
	return die_walk(&unit, note, s) ? NULL : s;
}

/* --- the name -----------------------------------------------------------------------------------
 */

int dwarf_append(struct dwarf_conv *c, const char *text)
{
	size_t room = NAME_LEN_MAX - c->name_len - 1, len = strlen(text);

	if (!c->name)
		c->name = malloc(NAME_LEN_MAX);
	if (!c->name)
		return -ENOMEM;
	memcpy(c->name + c->name_len, text, MIN(len, room));
	c->name_len += MIN(len, room);
	c->name[c->name_len] = 0;
	return len > room ? -ENAMETOOLONG : 0;
}

/* clang may leave the arguments to the DIE's children. */
static bool is_bare(const struct dwarf_conv *c, u32 tag, const char *name)
{
	return c->bare_names && tag != DW_TAG_namespace && tag != DW_TAG_module &&
	       tag != DW_TAG_base_type && *name && !strchr(name, '<');
}

static int append_own(struct dwarf_conv *c, const struct die *d, const char *name)
{
	int err = dwarf_append(c, name);

	return !err && is_bare(c, d->tag, name) ? dwarf_append_args(c, &d->dw) : err;
}

static int append_scopes(struct dwarf_conv *c, const struct dwarf_scopes *s, u32 scope)
{
	u32 chain[DIE_DEPTH_MAX], n = 0;
	struct die d;
	int err = 0;

	for (; scope && n < DIE_DEPTH_MAX; scope = s->v[scope - 1].parent)
		chain[n++] = scope - 1;
	while (!err && n--) {
		const char *name;

		if (die_read(&s->v[chain[n]].die, &d))
			continue;
		name = die_name(&d);
		if (!*name && d.tag != DW_TAG_namespace)
			continue; /* an anonymous structure's inner ones are as if beside it */
		err = append_own(c, &d, *name ? name : "(anonymous namespace)");
		if (!err)
			err = dwarf_append(c, "::");
	}
	return err;
}

/* The DIE that stands where the type was declared, for one that completes it elsewhere. */
static void declared_as(struct die *d)
{
	for (int i = 0; i < HOPS_MAX; i++) {
		struct die next;
		Dwarf_Die to;

		if (!die_ref(d, AT_SPECIFICATION, &to) || die_read(&to, &next))
			return;
		*d = next;
	}
}

int dwarf_append_name(struct dwarf_conv *c, const struct die *d)
{
	struct dwarf_scopes *s;
	struct die named = *d;
	u32 scope;
	int err = 0;

	declared_as(&named);
	s = scopes_of(c, &named.dw);
	scope = s ? idmap_get(&s->of, (u64)(uintptr_t)named.dw.addr) : 0;
	if (scope)
		err = append_scopes(c, s, scope);
	return err ? err : append_own(c, &named, die_name(&named));
}

const char *dwarf_type_name(struct dwarf_conv *c, const struct die *d)
{
	struct die named = *d;
	const char *name;
	int err;

	declared_as(&named);
	name = die_name(&named);
	if (!c->scoped || !*name)
		return name;
	c->name_len = 0;
	err = dwarf_append_name(c, &named);
	return err && err != -ENAMETOOLONG ? name : c->name;
}

/* --- one definition --------------------------------------------------------------------------- */

static u64 mix_text(u64 h, const char *text)
{
	return hash_bytes(text, (u32)strlen(text), (u32)(h >> 32)) ^ h * HASH_K1;
}

static u64 mix_number(u64 h, u64 number)
{
	return hash_u64(number, (u32)(h >> 32)) ^ h * HASH_K1;
}

static u64 mix_child(u64 h, const Dwarf_Die *child)
{
	Dwarf_Die type;
	u64 number = 0;
	struct die d;

	if (die_read(child, &d))
		return h;
	h = mix_text(mix_number(h, d.tag), die_name(&d));
	if (die_member_location(&d, &number))
		h = mix_number(h, number);
	if (die_number(&d, AT_BIT_SIZE, &number))
		h = mix_number(h, number);
	if (die_number(&d, AT_CONST_VALUE, &number))
		h = mix_number(h, number);
	if (die_ref(&d, AT_TYPE, &type)) {
		const char *name = dwo_name(&type);

		h = mix_number(h, (u64)dwarf_tag(&type));
		h = mix_text(h, name ? name : "");
	}
	return h;
}

/* Names that every unit, or every function, has its own of. */
static bool is_local_name(const char *name)
{
	return !*name || strstr(name, "(anonymous") || strchr(name, '{') ||
	       strstr(name, "<lambda") || strstr(name, "<unnamed");
}

u64 dwarf_fingerprint(struct dwarf_conv *c, const struct die *d)
{
	struct die own = *d;
	const char *name = dwarf_type_name(c, d);
	Dwarf_Die child;
	u64 h, size = 0;

	if (is_local_name(name))
		return 0;
	h = mix_text(mix_number(1, d->tag), name);
	h = mix_number(h, die_flag(&own, AT_DECLARATION));
	if (die_number(&own, AT_BYTE_SIZE, &size))
		h = mix_number(h, size);
	for (int more = die_child(&d->dw, &child); more > 0; more = die_next(&child)) {
		int tag = dwarf_tag(&child);

		if (tag == DW_TAG_variant_part)
			return 0; /* what is different may be further inside */
		if (tag == DW_TAG_member || tag == DW_TAG_inheritance || tag == DW_TAG_enumerator)
			h = mix_child(h, &child);
	}
	return h;
}
