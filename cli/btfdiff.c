/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Printing what changed between two BTFs.
 *
 * Model: each type that changed is made into one JSON object, with an array of what changed in it;
 * what has another value on each side is a field [from, to]. The text is the same fields: a line
 * for the type, one for each of these, with diff's signs.
 */
#include "cli/btfdiff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "btf/shape.h"

struct printer {
	const struct out_json *json;
	struct json_object *doc; /* NULL: text */
	u32 n;
};

static void add_text(struct json_object *o, const char *key, const char *text)
{
	char clean[1024];

	out_add_str(o, key, out_clean(text, clean, sizeof(clean)));
}

static struct json_object *clean_string(const char *text)
{
	char clean[1024];

	return json_object_new_string(out_clean(text ? text : "", clean, sizeof(clean)));
}

static void add_both(struct json_object *o, const char *key, struct json_object *from,
		     struct json_object *to)
{
	struct json_object *both = json_object_new_array();

	out_push(both, from);
	out_push(both, to);
	out_add(o, key, both);
}

static void add_numbers(struct json_object *o, const char *key, u64 from, u64 to)
{
	if (from != to)
		add_both(o, key, json_object_new_uint64(from), json_object_new_uint64(to));
}

static void add_types(struct json_object *o, const char *from, const char *to)
{
	if (from && to && strcmp(from, to))
		add_both(o, "type", clean_string(from), clean_string(to));
}

/* --- what is in a type --------------------------------------------------------------------------
 */

static struct json_object *value_of(const struct btf_shape *s, u64 value)
{
	return s->is_signed ? json_object_new_int64((s64)value) : json_object_new_uint64(value);
}

static struct json_object *one_row(const char *change, const struct btf_shape *s,
				   const struct btf_row *row)
{
	struct json_object *o = json_object_new_object();

	out_add_str(o, "change", change);
	add_text(o, "name", row->name);
	if (!row->type) {
		out_add(o, "value", value_of(s, row->at));
		return o;
	}
	add_text(o, "type", row->type);
	out_add_u64(o, "bits_offset", row->at);
	out_add_u64(o, "size", row->size);
	return o;
}

static struct json_object *changed_row(const struct btf_shape *s, const struct btf_row *from,
				       const struct btf_row *to)
{
	bool renamed = strcmp(from->name, to->name);
	struct json_object *o = json_object_new_object();

	out_add_str(o, "change", renamed ? "renamed" : "changed");
	add_text(o, "name", from->name);
	if (renamed)
		add_text(o, "to", to->name);
	if (!from->type) {
		if (from->at != to->at)
			add_both(o, "value", value_of(s, from->at), value_of(s, to->at));
		return o;
	}
	add_types(o, from->type, to->type);
	add_numbers(o, "bits_offset", from->at, to->at);
	add_numbers(o, "size", from->size, to->size);
	return o;
}

static bool same_but_name(const struct btf_row *a, const struct btf_row *b)
{
	return a->at == b->at && a->size == b->size && !a->type == !b->type &&
	       (!a->type || !strcmp(a->type, b->type));
}

static bool same_name(const struct btf_row *a, const struct btf_row *b)
{
	return !strcmp(a->name, b->name);
}

/*
 * Tie each row of @from to one of @to that nothing is tied to yet, of which @is says yes: *tied is
 * one more than its index. What is in the same order is found at once.
 */
static void tie(const struct btf_shape *from, const struct btf_shape *to, u32 *tied, bool *taken,
		bool (*is)(const struct btf_row *a, const struct btf_row *b))
{
	u32 at = 0;

	for (u32 i = 0; i < from->n; i++) {
		for (u32 tries = 0; !tied[i] && tries < to->n; tries++) {
			u32 j = (at + tries) % to->n;

			if (taken[j] || !is(from->rows + i, to->rows + j))
				continue;
			tied[i] = j + 1;
			taken[j] = true;
			at = j + 1;
		}
	}
}

static void compare_rows(const struct btf_shape *from, const struct btf_shape *to, const u32 *tied,
			 const bool *taken, struct json_object *rows)
{
	for (u32 i = 0; i < from->n; i++) {
		const struct btf_row *a = from->rows + i, *b;

		b = tied[i] ? to->rows + tied[i] - 1 : NULL;
		if (!b)
			out_push(rows, one_row("removed", from, a));
		else if (!same_name(a, b) || !same_but_name(a, b))
			out_push(rows, changed_row(from, a, b));
	}
	for (u32 j = 0; j < to->n; j++) {
		if (!taken[j])
			out_push(rows, one_row("added", to, to->rows + j));
	}
}

static int add_rows(struct json_object *o, const struct btf_shape *from, const struct btf_shape *to)
{
	_cleanup_free_ u32 *tied = calloc(from->n + 1, sizeof(*tied));
	_cleanup_free_ bool *taken = calloc(to->n + 1, sizeof(*taken));
	struct json_object *rows;

	if (!tied || !taken)
		return -ENOMEM;
	tie(from, to, tied, taken, same_name);
	tie(from, to, tied, taken, same_but_name);
	rows = json_object_new_array();
	compare_rows(from, to, tied, taken, rows);
	if (json_object_array_length(rows))
		out_add(o, from->kind == SHAPE_ENUM ? "values" : "members", rows);
	else
		json_object_put(rows);
	return 0;
}

/* --- a type -------------------------------------------------------------------------------------
 */

static struct json_object *one_type(const char *change, const struct btf_shape *s)
{
	struct json_object *o = json_object_new_object();

	out_add_str(o, "change", change);
	out_add_str(o, "kind", btf_shape_word(s->kind));
	add_text(o, "name", s->name);
	if (s->type)
		add_text(o, "type", s->type);
	if (s->declared)
		out_add_bool(o, "declared", true);
	else if (s->kind != SHAPE_FUNC)
		out_add_u64(o, "size", s->size);
	return o;
}

static int changed_type(const struct btf_shape *from, const struct btf_shape *to,
			struct json_object **out)
{
	struct json_object *o = json_object_new_object();

	*out = o;
	out_add_str(o, "change", "changed");
	out_add_str(o, "kind", btf_shape_word(from->kind));
	add_text(o, "name", from->name);
	if (from->declared != to->declared) {
		add_both(o, "declared", json_object_new_boolean(from->declared),
			 json_object_new_boolean(to->declared));
		return 0;
	}
	add_types(o, from->type, to->type);
	add_numbers(o, "size", from->size, to->size);
	return add_rows(o, from, to);
}

/* --- text ---------------------------------------------------------------------------------------
 */

static struct json_object *field(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	json_object_object_get_ex(o, key, &v);
	return v;
}

static const char *text_of(struct json_object *v)
{
	return v ? json_object_get_string(v) : "";
}

static char sign_of(struct json_object *o)
{
	const char *change = text_of(field(o, "change"));

	return *change == 'a' ? '+' : !strcmp(change, "removed") ? '-' : '~';
}

static void print_place(struct json_object *bits)
{
	u64 at = json_object_get_uint64(bits);

	printf("%" PRIu64, at / 8);
	if (at % 8)
		printf(".%" PRIu64, at % 8);
}

/* @before "A -> B" @behind, or one value; nothing when it isn't there. */
static void print_field(struct json_object *o, const char *key, const char *before,
			const char *behind)
{
	struct json_object *v = field(o, key);
	bool both = json_object_is_type(v, json_type_array), place = !strcmp(key, "bits_offset");

	if (!v)
		return;
	printf("%s", before);
	for (u32 i = 0; i < (both ? 2 : 1); i++) {
		struct json_object *one = both ? json_object_array_get_idx(v, i) : v;

		printf("%s", i ? " -> " : "");
		if (place)
			print_place(one);
		else
			printf("%s", text_of(one));
	}
	printf("%s", behind);
}

static void print_row(struct json_object *o)
{
	printf("\t%c %s", sign_of(o), text_of(field(o, "name")));
	print_field(o, "to", " -> ", ", renamed");
	print_field(o, "value", " = ", "");
	print_field(o, "type", ": ", "");
	print_field(o, "bits_offset", " at ", "");
	if (sign_of(o) == '~')
		print_field(o, "size", ", ", " bytes");
	putchar('\n');
}

static void print_type(struct json_object *o)
{
	struct json_object *rows = field(o, "members"), *declared = field(o, "declared");

	rows = rows ? rows : field(o, "values");
	printf("%c %s %s", sign_of(o), text_of(field(o, "kind")), text_of(field(o, "name")));
	print_field(o, "type", ": ", "");
	if (declared && !json_object_is_type(declared, json_type_array))
		printf(" (declared only)");
	else if (declared)
		printf(json_object_get_boolean(json_object_array_get_idx(declared, 0))
			       ? " (declared only before)"
			       : " (declared only now)");
	print_field(o, "size", " (", " bytes)");
	putchar('\n');
	for (size_t i = 0; rows && i < json_object_array_length(rows); i++)
		print_row(json_object_array_get_idx(rows, i));
}

static int on_change(const struct btf_shape *from, const struct btf_shape *to, void *cookie)
{
	struct printer *p = cookie;
	struct json_object *o;
	int err = 0;

	p->n++;
	if (from && to)
		err = changed_type(from, to, &o);
	else
		o = one_type(from ? "removed" : "added", from ? from : to);
	if (p->doc) {
		out_push(p->doc, o);
		return err;
	}
	if (!err)
		print_type(o);
	json_object_put(o);
	return err;
}

int btfdiff_types(const struct btfdiff_side side[2], const struct out_json *json)
{
	struct printer p = {.json = json};
	struct json_object *all;
	int err;

	if (out_json_on(json))
		p.doc = json_object_new_array();
	err = btf_diff(side[0].btf, side[1].btf, on_change, &p);
	if (p.doc) {
		all = json_object_new_object();
		out_add(all, "types", p.doc);
		out_json_put(json, all);
	}
	if (err) {
		out_error("cannot compare the types: %s", strerror(-err));
		return DIFF_TROUBLE;
	}
	return p.n ? DIFF_DIFFERENT : DIFF_SAME;
}
