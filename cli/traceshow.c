/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of a call by their types: traceshow.h tells the rules. */
#include "cli/traceshow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/value.h"

#define NESTED_MAX 12
#define ELEMS_SHOWN 32u
#define VALUES_MAX 4096u /* of a call */

struct show {
	const struct trace_func *f;
	const struct trace_plan *plan;
	const struct trace_style *style;
	const u8 *base; /* the record's registers */
	u32 size;	/* bytes from there */
	u64 failed;
	FILE *out;
	bool json;
	u32 left; /* values that may be shown yet */
};

static void value(struct show *s, u32 id, u32 at, u32 size, int nested);

static bool is_there(struct show *s, u32 at, u32 size)
{
	return at <= s->size && size <= s->size - at;
}

static u64 load(struct show *s, u32 at, u32 size)
{
	u64 v = 0;

	memcpy(&v, s->base + at, MIN(size, 8u));
	return v;
}

/* What can't be told. */
static void unknown(struct show *s)
{
	fputs(s->json ? "null" : "?", s->out);
}

/* --- text ------------------------------------------------------------------------------------ */

/* Octal, which no digit behind it can become a part of. */
static void put_c(FILE *out, u8 c)
{
	static const char from[] = "\a\b\f\n\r\t\v\"\\", to[] = "abfnrtv\"\\";
	const char *known = c ? strchr(from, c) : NULL;

	if (known)
		fprintf(out, "\\%c", to[known - from]);
	else if (c >= 0x20 && c < 0x7f)
		fputc(c, out);
	else
		fprintf(out, "\\%03o", c);
}

/* A byte is the character of that number: no JSON text can hold bytes. */
static void put_json(FILE *out, u8 c)
{
	if (c == '"' || c == '\\')
		fprintf(out, "\\%c", c);
	else if (c >= 0x20 && c < 0x7f)
		fputc(c, out);
	else
		fprintf(out, "\\u%04x", c);
}

static void put_quoted(struct show *s, const u8 *text, u32 n)
{
	fputc('"', s->out);
	for (u32 i = 0; i < n; i++)
		s->json ? put_json(s->out, text[i]) : put_c(s->out, text[i]);
	fputc('"', s->out);
}

/* Up to a zero, and no more than one wants to see: of longer ones it is said. */
static void string(struct show *s, u32 at, u32 size)
{
	const u32 n = (u32)strnlen((const char *)s->base + at, size);
	const bool cut = n > s->style->string;

	if (s->json && cut)
		fputs("{\"truncated\":true,\"text\":", s->out);
	put_quoted(s, s->base + at, MIN(n, s->style->string));
	if (cut)
		fputs(s->json ? "}" : "...", s->out);
}

/* --- pointers -------------------------------------------------------------------------------- */

/* What a pointer leads to, when that was copied. False: nothing is said of it. */
static bool followed(struct show *s, u32 at, u32 *out, u32 *size)
{
	const int i = trace_plan_follows(s->plan, at);

	if (i < 0 || s->failed & 1ull << i || !is_there(s, s->plan->op[i].out, s->plan->op[i].len))
		return false;
	*out = s->plan->op[i].out;
	*size = s->plan->op[i].len;
	return true;
}

static bool is_string(struct show *s, u32 at)
{
	const int i = trace_plan_follows(s->plan, at);

	return i >= 0 && s->plan->op[i].copy == TRACE_STRING;
}

static void pointee(struct show *s, u64 addr, u32 target, u32 out, u32 size, int nested)
{
	if (s->json)
		fprintf(s->out, "{\"address\":\"0x%" PRIx64 "\",\"to\":", addr);
	else
		fprintf(s->out, "0x%" PRIx64 " -> ", addr);
	value(s, target, out, size, nested + 1);
	if (s->json)
		fputc('}', s->out);
}

static void pointer(struct show *s, const struct btf_type *t, u32 at, int nested)
{
	const u32 target = value_strip(s->f->types, t->type);
	const u64 addr = load(s, at, 8);
	u32 out, size;

	if (!addr)
		fputs(s->json ? "null" : "NULL", s->out);
	else if (!followed(s, at, &out, &size))
		fprintf(s->out, s->json ? "\"0x%" PRIx64 "\"" : "0x%" PRIx64, addr);
	else if (is_string(s, at))
		string(s, out, size);
	else
		pointee(s, addr, target, out, size, nested);
}

/* --- structures ------------------------------------------------------------------------------ */

static void leaf_of(struct show *s, struct json_object *o)
{
	char clean[256];

	if (s->json)
		fputs(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), s->out);
	else
		fputs(out_clean(json_object_get_string(o) ? json_object_get_string(o) : "?", clean,
				sizeof(clean)),
		      s->out);
	json_object_put(o);
}

static void separate(struct show *s, u32 *n, const char *name)
{
	char clean[256];

	if ((*n)++)
		fputs(s->json ? "," : ", ", s->out);
	if (!name)
		return;
	if (s->json) {
		put_quoted(s, (const u8 *)name, (u32)strlen(name));
		fputc(':', s->out);
	} else {
		fprintf(s->out, "%s=", out_clean(name, clean, sizeof(clean)));
	}
}

/* A bit-field: a structure of its own, of which it is the one member, tells how to read it. */
static void bit_field(struct show *s, u32 id, u32 at, u32 size, const char *name)
{
	struct json_object *o = value_json(s->f->types, id, s->base + at, size), *m = NULL;

	if (o && json_object_object_get_ex(o, name, &m) && m)
		leaf_of(s, json_object_get(m));
	else
		unknown(s);
	json_object_put(o);
}

static void members(struct show *s, u32 id, u32 at, u32 size, int nested, u32 *n)
{
	const struct btf *btf = s->f->types;
	const struct btf_type *t = btf__type_by_id(btf, id);

	for (u32 i = 0; i < btf_vlen(t) && s->left; i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = btf__name_by_offset(btf, m->name_off);
		const u32 off = btf_member_bit_offset(t, i) / 8, mid = value_strip(btf, m->type);
		const struct btf_type *mt = btf__type_by_id(btf, mid);
		const s64 msize = btf__resolve_size(btf, mid);

		s->left--;
		if ((!name || !*name) && mt && btf_is_composite(mt) && nested < NESTED_MAX &&
		    off < size) {
			members(s, mid, at + off, size - off, nested + 1, n);
			continue;
		}
		separate(s, n, name && *name ? name : "?");
		if (btf_member_bitfield_size(t, i) && size >= t->size)
			bit_field(s, id, at, t->size, name);
		else if (msize < 0 || off > size || (u64)msize > size - off)
			fputs(s->json ? "null" : "...", s->out);
		else
			value(s, mid, at + off, (u32)msize, nested + 1);
	}
}

static void structure(struct show *s, u32 id, u32 at, u32 size, int nested)
{
	u32 n = 0;

	fputc('{', s->out);
	members(s, id, at, size, nested, &n);
	fputc('}', s->out);
}

static void array(struct show *s, const struct btf_type *t, u32 at, u32 size, int nested)
{
	const struct btf_array *a = btf_array(t);
	const s64 elem = btf__resolve_size(s->f->types, a->type);
	u32 n = 0, shown = MIN(a->nelems, ELEMS_SHOWN);

	if (trace_is_char(s->f->types, a->type)) {
		string(s, at, MIN(size, a->nelems));
		return;
	}
	fputc('[', s->out);
	for (u32 i = 0; elem > 0 && i < shown && (i + 1) * elem <= size; i++) {
		separate(s, &n, NULL);
		value(s, value_strip(s->f->types, a->type), at + i * (u32)elem, (u32)elem,
		      nested + 1);
	}
	if (n < a->nelems && !s->json)
		fputs(n ? ", ..." : "...", s->out);
	fputc(']', s->out);
}

/* --- values ---------------------------------------------------------------------------------- */

/* A character is shown as one where it can be. */
static void character(struct show *s, u8 c)
{
	if (s->json) {
		fprintf(s->out, "%d", (s8)c);
		return;
	}
	if (!c || c >= 0x7f || (c < 0x20 && !strchr("\a\b\f\n\r\t\v", c))) {
		fprintf(s->out, "%d", (s8)c);
		return;
	}
	fputc('\'', s->out);
	if (c == '\'')
		fputs("\\'", s->out);
	else if (c == '"')
		fputc(c, s->out);
	else
		put_c(s->out, c);
	fputc('\'', s->out);
}

static void wide_float(struct show *s, u32 at)
{
	long double v = 0;

	memcpy(&v, s->base + at, 10); /* which of the sixteen it has */
	fprintf(s->out, s->json ? "\"%.21Lg\"" : "%.21Lg", v);
}

static void value(struct show *s, u32 id, u32 at, u32 size, int nested)
{
	const struct btf_type *t;

	id = value_strip(s->f->types, id);
	t = id ? btf__type_by_id(s->f->types, id) : NULL;
	if (!t || !is_there(s, at, size) || nested > NESTED_MAX || !s->left)
		return unknown(s);
	s->left--;
	if (btf_is_ptr(t) && size >= 8)
		pointer(s, t, at, nested);
	else if (btf_is_composite(t))
		structure(s, id, at, size, nested);
	else if (btf_is_array(t))
		array(s, t, at, size, nested);
	else if (trace_is_char(s->f->types, id))
		character(s, s->base[at]);
	else if (btf_is_float(t) && t->size == 16 && size >= 16)
		wide_float(s, at);
	else if (t->size > size)
		unknown(s);
	else
		leaf_of(s, value_json(s->f->types, id, s->base + at, t->size));
}

/* --- a call ---------------------------------------------------------------------------------- */

/* Was what it would be copied from there? */
static bool was_read(struct show *s, const struct trace_value *v)
{
	for (u32 i = 0; i < s->plan->nops; i++) {
		if (s->plan->op[i].out == v->at && s->failed & 1ull << i)
			return false;
	}
	return true;
}

static void argument(struct show *s, const struct trace_value *v)
{
	if (v->known && was_read(s, v))
		value(s, v->id, v->at, v->size, 0);
	else
		unknown(s);
}

static struct show show_of(const struct trace_func *f, const struct trace_call *call,
			   const struct trace_style *style, bool json)
{
	const struct trace_record *r = call->record;

	return (struct show){.f = f,
			     .plan = r->kind == TRACE_RETURN ? f->exit : f->entry,
			     .style = style,
			     .base = (const u8 *)r->reg,
			     .size = call->size,
			     .failed = r->failed,
			     .json = json,
			     .left = VALUES_MAX};
}

/* Without types: what may be arguments, or a result. */
static void registers(struct show *s, u32 n)
{
	for (u32 i = 0; i < n && is_there(s, 8 * i, 8); i++)
		fprintf(s->out, "%s0x%" PRIx64, i ? ", " : "", load(s, 8 * i, 8));
}

static void arguments(struct show *s)
{
	u32 n = 0;

	for (u32 i = 0; i < s->f->nargs; i++) {
		const struct trace_value *v = &s->f->args[i];

		separate(s, &n, s->style->types ? v->decl : *v->name ? v->name : NULL);
		argument(s, v);
	}
	if (s->f->variadic)
		fputs(n ? ", ..." : "...", s->out);
}

static void result(struct show *s)
{
	if (s->f->ret.id && s->style->types)
		fprintf(s->out, "(%s)", s->f->ret.type);
	if (s->f->ret.id)
		argument(s, &s->f->ret);
}

/* What @typed prints, or @n registers; malloc'ed, NULL: no memory. */
static char *text_of(struct show s, void (*typed)(struct show *s), u32 n)
{
	char *text = NULL;
	size_t len = 0;

	s.out = open_memstream(&text, &len);
	if (!s.out)
		return NULL;
	s.f->types ? typed(&s) : registers(&s, n);
	fclose(s.out);
	return text;
}

char *trace_args_text(const struct trace_func *f, const struct trace_call *call,
		      const struct trace_style *style)
{
	return text_of(show_of(f, call, style, false), arguments, TRACE_REG_ARGS);
}

char *trace_ret_text(const struct trace_func *f, const struct trace_call *call,
		     const struct trace_style *style)
{
	return text_of(show_of(f, call, style, false), result, 1);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static struct json_object *parsed(FILE *out, char **text)
{
	struct json_object *o;

	fclose(out);
	o = *text ? json_tokener_parse(*text) : NULL;
	free(*text);
	return o;
}

static struct json_object *value_of(struct show *s, const struct trace_value *v)
{
	struct json_object *o = json_object_new_object();
	char *text = NULL;
	size_t len = 0;

	if (*v->name)
		out_add_str(o, "name", v->name);
	out_add_str(o, "type", v->type);
	s->out = open_memstream(&text, &len);
	if (!s->out)
		return o;
	argument(s, v);
	out_add(o, "value", parsed(s->out, &text));
	return o;
}

static struct json_object *register_of(struct show *s, u32 i)
{
	struct json_object *o = json_object_new_object();
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, is_there(s, 8 * i, 8) ? load(s, 8 * i, 8) : 0);
	out_add_str(o, "value", text);
	return o;
}

struct json_object *trace_args_json(const struct trace_func *f, const struct trace_call *call,
				    const struct trace_style *style)
{
	struct show s = show_of(f, call, style, true);
	struct json_object *a = json_object_new_array();

	for (u32 i = 0; f->types && i < f->nargs; i++)
		out_push(a, value_of(&s, &f->args[i]));
	for (u32 i = 0; !f->types && i < TRACE_REG_ARGS; i++)
		out_push(a, register_of(&s, i));
	return a;
}

struct json_object *trace_ret_json(const struct trace_func *f, const struct trace_call *call,
				   const struct trace_style *style)
{
	struct show s = show_of(f, call, style, true);

	return f->types ? value_of(&s, &f->ret) : register_of(&s, 0);
}
