/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relocation that failed, in words: libbpf says `<byte_off> [7] struct data.x (0:1 @ offset 4)`,
 * people are told which field of which type isn't in which file. Why it failed is looked up in the
 * types that the edition was relocated against.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/object.h"
#include "cli/out.h"

struct relo {
	char what[24];	/* libbpf's word */
	char part[160]; /* "x.y[2]" of a structure, the name of an enum's value; "" : none */
	struct btf_need type;
};

/* What is the matter with it. */
enum fault { FAULT_NO_TYPE, FAULT_NO_PART, FAULT_OTHER_KIND, FAULT_SEVERAL };

static void free_btf(struct btf **btf)
{
	btf__free(*btf);
}

static void strip_flavour(char *name)
{
	char *sep = strstr(name, "___");

	if (sep && sep != name)
		*sep = 0;
}

/* @line from the word in <> on. */
static bool parse(const char *line, struct relo *r)
{
	const char *p = strchr(line, '<');
	char spec[512], *name, *part;

	*r = (struct relo){0};
	if (!p || sscanf(p, "<%23[^>]> [%*u] %7s %511[^\n]", r->what, r->type.kind, spec) != 3)
		return false;
	name = spec;
	name[strcspn(name, " ")] = 0;
	part = name + strcspn(name, ".[:");
	snprintf(r->part, sizeof(r->part), "%.159s", part + strspn(part, ".:"));
	*part = 0;
	snprintf(r->type.name, sizeof(r->type.name), "%.245s", name);
	strip_flavour(r->type.name);
	return r->type.name[0] && r->type.name[0] != '<';
}

static bool has_value(const struct btf *btf, const struct btf_type *t, const char *name)
{
	for (u32 i = 0; i < btf_vlen(t); i++) {
		u32 off = btf_is_enum(t) ? btf_enum(t)[i].name_off : btf_enum64(t)[i].name_off;

		if (!strcmp(btf__name_by_offset(btf, off), name))
			return true;
	}
	return false;
}

/* Also within members that have no name of their own. */
static bool has_member(const struct btf *btf, u32 id, const char *name, size_t len, int depth)
{
	const struct btf_type *t;

	id = btf__resolve_type(btf, id) > 0 ? (u32)btf__resolve_type(btf, id) : id;
	t = btf__type_by_id(btf, id);
	for (u32 i = 0; depth && btf_is_composite(t) && i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *n = btf__name_by_offset(btf, m->name_off);

		if (*n ? !strncmp(n, name, len) && !n[len]
		       : has_member(btf, m->type, name, len, depth - 1))
			return true;
	}
	return false;
}

static bool has_part(const struct btf *btf, u32 id, const struct relo *r)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	if (!r->part[0])
		return false;
	if (btf_is_any_enum(t))
		return has_value(btf, t, r->part);
	return has_member(btf, id, r->part, strcspn(r->part, ".["), 8);
}

static enum fault find_fault(const struct edition *ed, const struct relo *r)
{
	_cleanup_(free_btf) struct btf *btf =
		ed->types.fd >= 0 ? btf__parse_raw(ed->types.path) : NULL;
	enum fault fault = FAULT_NO_TYPE;

	for (u32 id = 1; btf && id < btf__type_cnt(btf); id++) {
		if (!btf_is_needed(btf, id, &r->type))
			continue;
		fault = FAULT_NO_PART;
		if (has_part(btf, id, r))
			return FAULT_OTHER_KIND;
	}
	return fault;
}

/* The file that the type is from, else the one that is probed. */
static const char *file_of(const struct object *obj, const struct edition *ed, const struct relo *r)
{
	for (u32 i = 0; i < ed->types.nfrom; i++) {
		if (!strcmp(obj->needs[i].name, r->type.name) && ed->types.from[i] &&
		    !strcmp(obj->needs[i].kind, r->type.kind))
			return ed->types.from[i];
	}
	return ed->module ? ed->module : "the target";
}

/* "field 'x' of struct data" */
static void name_it(const struct relo *r, char *text, size_t size)
{
	if (r->part[0])
		snprintf(text, size, "%s '%s' of %s %s",
			 !strcmp(r->type.kind, "enum") ? "value" : "field", r->part, r->type.kind,
			 r->type.name);
	else
		snprintf(text, size, "%s %s", r->type.kind, r->type.name);
}

static const char *word_for(enum fault fault, const struct relo *r)
{
	if (fault == FAULT_NO_TYPE)
		return "does not describe";
	if (fault == FAULT_OTHER_KIND)
		return "has in another form (a pointer, a structure or a number)";
	if (fault == FAULT_SEVERAL)
		return "has more than once, and not alike";
	return r->part[0] ? "does not have" : "does not have in that form";
}

static const char *remedy(enum fault fault, const struct relo *r)
{
	if (fault == FAULT_SEVERAL)
		return "give the types of the one that is meant with --btf FILE";
	if (!r->part[0])
		return "bpf_core_type_exists() asks for it first";
	return !strcmp(r->type.kind, "enum") ? "bpf_core_enum_value_exists() asks for it first"
					     : "bpf_core_field_exists() asks for it first";
}

bool relo_refuse(const struct object *obj, const struct edition *ed, const char *line, bool several,
		 const char *source)
{
	char what[512], clean[512], at[512] = "";
	enum fault fault;
	const char *file;
	struct relo r;

	if (!parse(line, &r))
		return false;
	file = file_of(obj, ed, &r);
	name_it(&r, what, sizeof(what));
	fault = several ? FAULT_SEVERAL : find_fault(ed, &r);
	out_error("%s cannot be relocated: it reads %s, which %s %s%s%s\n  `ebpfrt btf dump %s "
		  "format c` shows what is there; %s",
		  obj->file, out_clean(what, clean, sizeof(clean)), file, word_for(fault, &r),
		  source ? "\n  at " : "", source ? out_clean(source, at, sizeof(at)) : "", file,
		  remedy(fault, &r));
	return true;
}
