/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an object makes of one library, and what of another: its CO-RE relocations, tried with
 * libbpf against the types of each, and compared.
 *
 * Model: both lists come from the same records in the same order, so they differ in results only;
 * the list of a side where libbpf stopped is shorter. What is alike is told once, however many
 * instructions it is in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/btfdiff.h"
#include "cli/relocs.h"

#define NOT_THERE "not there"

struct printer {
	const struct btfdiff_side *side;
	struct relocs *side_of[2];
	struct json_object *doc; /* what was told, with --json and without */
	bool json;
};

/* libbpf's words of what is relocated, for people. */
static const char *kind_word(const char *kind)
{
	static const char *const words[][2] = {
		{"byte_off", "offset"},	       {"byte_sz", "size"},
		{"field_exists", "exists"},    {"lshift_u64", "left shift"},
		{"rshift_u64", "right shift"}, {"type_exists", "exists"},
		{"type_matches", "matches"},   {"type_size", "size"},
		{"enumval_exists", "exists"},  {"enumval_value", "value"}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(kind, words[i][0]))
			return words[i][1];
	}
	return kind;
}

/* NULL: libbpf came not that far. */
static const char *result_of(const struct reloc *r)
{
	if (!r)
		return NULL;
	if (r->ambiguous)
		return "ambiguous";
	if (!r->done)
		return "refused";
	return *r->value ? r->value : NOT_THERE;
}

/* Numbers of types are different everywhere. */
static bool is_number_of_type(const struct reloc *r)
{
	return strstr(r->kind, "type_id");
}

static bool fails(const char *result)
{
	return result && (*result < '0' || *result > '9');
}

static struct json_object *describe(const struct reloc *r, const char *from, const char *to)
{
	struct json_object *o = json_object_new_object(), *both = json_object_new_array();
	char clean[1100];

	out_add_str(o, "change",
		    fails(to)	  ? "fails"
		    : fails(from) ? "works"
		    : to && from  ? "moves"
				  : "unknown");
	out_add_str(o, "prog", out_clean(r->prog, clean, sizeof(clean)));
	out_add_str(o, "field", out_clean(r->field, clean, sizeof(clean)));
	out_add_str(o, "what", kind_word(r->kind));
	out_push(both, json_object_new_string(from ? from : "not reached"));
	out_push(both, json_object_new_string(to ? to : "not reached"));
	out_add(o, "value", both);
	return o;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v ? json_object_get_string(v) : "";
}

static void print_text(struct json_object *o, const char *from, const char *to)
{
	const char *change = text_of(o, "change");

	printf("%c %s: %s: %s %s -> %s\n",
	       *change == 'f'	? '-'
	       : *change == 'w' ? '+'
				: '~',
	       text_of(o, "prog"), text_of(o, "field"), text_of(o, "what"),
	       from ? from : "not reached", to ? to : "not reached");
}

static bool was_told(const struct printer *p, struct json_object *o)
{
	for (size_t i = 0; i < json_object_array_length(p->doc); i++) {
		if (json_object_equal(json_object_array_get_idx(p->doc, i), o))
			return true;
	}
	return false;
}

static void compare(struct printer *p, const struct reloc *a, const struct reloc *b)
{
	const char *from = result_of(a), *to = result_of(b);
	const struct reloc *r = from ? a : b;
	struct json_object *o;

	if (!r || (from && to && !strcmp(from, to)))
		return;
	if (is_number_of_type(r) && !fails(from) && !fails(to))
		return;
	o = describe(r, from, to);
	if (was_told(p, o)) {
		json_object_put(o);
		return;
	}
	if (!p->json)
		print_text(o, from, to);
	out_push(p->doc, o);
}

/* Not all that was asked for could be looked at. */
static void warn(const struct printer *p, const char *object, u32 i)
{
	const struct relocs *r = p->side_of[i];
	char clean[512];

	/* what comes behind the relocations doesn't matter here */
	if (r->err && r->n && !r->v[r->n - 1].done)
		out_warn("%s: against %s libbpf stopped at %s in %s: what comes behind it is not "
			 "looked at",
			 object, p->side[i].word,
			 out_clean(r->v[r->n - 1].field, clean, sizeof(clean)),
			 r->v[r->n - 1].prog);
	if (r->dropped)
		out_warn("%s: %u relocations more than can be looked at", object, r->dropped);
}

static int print_all(struct printer *p, const char *object, const struct out_json *json)
{
	struct relocs *a = p->side_of[0], *b = p->side_of[1];
	int status;

	p->doc = json_object_new_array();
	for (u32 i = 0; i < MAX(a->n, b->n); i++)
		compare(p, i < a->n ? a->v + i : NULL, i < b->n ? b->v + i : NULL);
	status = json_object_array_length(p->doc) ? DIFF_DIFFERENT : DIFF_SAME;
	if (p->json) {
		struct json_object *all = json_object_new_object();

		out_add(all, "relocations", p->doc);
		out_json_put(json, all);
	} else {
		json_object_put(p->doc);
	}
	warn(p, object, 0);
	warn(p, object, 1);
	if (!a->n)
		out_note("%s has no CO-RE relocations", object);
	return status;
}

int btfdiff_object(const struct btfdiff_side side[2], const char *object,
		   const struct out_json *json)
{
	_cleanup_(relocs_free) struct relocs *a = NULL, *b = NULL;
	struct printer p = {.side = side, .json = out_json_on(json)};

	if (relocs_try(object, side[0].btf, &a) || relocs_try(object, side[1].btf, &b))
		return DIFF_TROUBLE;
	p.side_of[0] = a;
	p.side_of[1] = b;
	return print_all(&p, object, json);
}
