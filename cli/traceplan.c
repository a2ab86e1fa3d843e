/* SPDX-License-Identifier: BSD-2-Clause */
/* From a function's types to what is copied of its calls: traceplan.h tells the model. */
#include "cli/traceplan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/out.h"
#include "cli/value.h"

#define NESTED_MAX 8
#define ELEMS_MAX 8u /* of an array whose pointers are followed */
#define QUEUE_MAX 256u
#define NAMED_MAX 1024u /* types that a declaration spells out */
#define SCAN_MAX 65536u /* values that are looked at */

/* Pointers that are to be followed, nearest first: what a call was given matters most. */
struct pending {
	u32 at, id, depth;
};

struct planner {
	const struct btf *types;
	const struct trace_limits *limits;
	const struct ebpf_target_sig *sig;
	struct trace_plan *plan;
	u32 used; /* of the record */
	struct pending queue[QUEUE_MAX];
	u32 n;
	u32 left; /* of SCAN_MAX */
};

bool trace_is_char(const struct btf *types, u32 id)
{
	const struct btf_type *t = btf__type_by_id(types, value_strip(types, id));

	return t && btf_is_int(t) && t->size == 1 &&
	       !strcmp(btf__name_by_offset(types, t->name_off), "char");
}

static bool is_byte(const struct btf *types, u32 id)
{
	const struct btf_type *t = btf__type_by_id(types, value_strip(types, id));

	return t && btf_is_int(t) && t->size == 1 && !(btf_int_encoding(t) & BTF_INT_BOOL);
}

/* --- copies ---------------------------------------------------------------------------------- */

/* Room in the record, -1: there is none. */
static int room(struct planner *p, u32 len)
{
	const u32 at = p->used, size = ALIGN_UP(len, 8u);

	if (p->plan->nops == TRACE_OPS || at + size > TRACE_OUT_MAX)
		return -1;
	p->used += size;
	return (int)at;
}

/* Offset of what was copied, -1: nothing is. */
static int copy(struct planner *p, enum trace_copy how, u32 base, s64 off, u32 len)
{
	const int out = room(p, len);

	if (out < 0)
		return -1;
	p->plan->op[p->plan->nops++] = (struct trace_op){
		.copy = how, .base = base, .out = (u32)out, .len = len, .off = off};
	return out;
}

/* --- pointers -------------------------------------------------------------------------------- */

static bool is_followed(const struct planner *p, u32 target, u32 depth)
{
	const struct btf_type *t = btf__type_by_id(p->types, target);

	if (trace_is_char(p->types, target))
		return p->limits->string;
	return t && depth && !btf_is_fwd(t) && !btf_is_func_proto(t) &&
	       btf__resolve_size(p->types, target) > 0;
}

static void scan(struct planner *p, u32 id, u32 at, u32 size, u32 depth, int nested);

static void scan_members(struct planner *p, const struct btf_type *t, u32 at, u32 size, u32 depth,
			 int nested)
{
	/* of a union with several nobody knows which is meant */
	if (btf_is_union(t) && btf_vlen(t) > 1)
		return;
	for (u32 i = 0; i < btf_vlen(t); i++) {
		const u32 off = btf_member_bit_offset(t, i) / 8;

		if (!btf_member_bitfield_size(t, i) && off < size)
			scan(p, btf_members(t)[i].type, at + off, size - off, depth, nested + 1);
	}
}

static void scan_array(struct planner *p, const struct btf_type *t, u32 at, u32 size, u32 depth,
		       int nested)
{
	const struct btf_array *a = btf_array(t);
	const s64 elem = btf__resolve_size(p->types, a->type);

	for (u32 i = 0; elem > 0 && i < MIN(a->nelems, ELEMS_MAX) && (i + 1) * elem <= size; i++)
		scan(p, a->type, at + i * (u32)elem, (u32)elem, depth, nested + 1);
}

/* Note the pointers in a value of @size bytes. */
static void scan(struct planner *p, u32 id, u32 at, u32 size, u32 depth, int nested)
{
	const struct btf_type *t = btf__type_by_id(p->types, id = value_strip(p->types, id));
	u32 target;

	if (!t || nested > NESTED_MAX || !p->left)
		return;
	p->left--;
	if (btf_is_composite(t))
		return scan_members(p, t, at, size, depth, nested);
	if (btf_is_array(t))
		return scan_array(p, t, at, size, depth, nested);
	target = btf_is_ptr(t) ? value_strip(p->types, t->type) : 0;
	if (!target || at % 8 || size < 8 || p->n == QUEUE_MAX || !is_followed(p, target, depth))
		return;
	p->queue[p->n++] = (struct pending){at, target, depth};
}

/* A string, or bytes that signs of one may be in: up to a zero. One more tells that it goes on. */
static int follow_string(struct planner *p, const struct pending *at)
{
	return copy(p, TRACE_STRING, at->at, 0, p->limits->string + 2);
}

static void follow(struct planner *p, const struct pending *at)
{
	const s64 size = btf__resolve_size(p->types, at->id);
	u32 len;
	int out;

	if (is_byte(p->types, at->id) && p->limits->string) {
		follow_string(p, at);
		return;
	}
	len = (u32)MIN(MAX(size, 0), (s64)TRACE_BYTES_MAX);
	out = len ? copy(p, TRACE_BYTES, at->at, 0, len) : -1;
	if (out >= 0)
		scan(p, at->id, (u32)out, len, at->depth - 1, 0);
}

static void follow_all(struct planner *p)
{
	for (u32 i = 0; i < p->n; i++)
		follow(p, &p->queue[i]);
	p->n = 0;
}

int trace_plan_follows(const struct trace_plan *plan, u32 at)
{
	for (u32 i = 0; i < plan->nops; i++) {
		const struct trace_op *op = &plan->op[i];

		if (op->copy != TRACE_WORD && op->base == at && !op->off)
			return (int)i;
	}
	return -1;
}

void trace_plan_extent(const struct trace_plan *plan, u32 *out, u32 *len)
{
	if (plan->vectors)
		*out = MAX(*out, (u32)sizeof(u64) * (TRACE_REGS + 2 * TRACE_VECTORS));
	for (u32 i = 0; i < plan->nops; i++) {
		*out = MAX(*out, plan->op[i].out);
		*out = MAX(*out, plan->op[i].base);
		*len = MAX(*len, plan->op[i].len);
	}
}

/* --- values ---------------------------------------------------------------------------------- */

/* Where a register's word is in the record, -1: it isn't. */
static int at_register(const struct planner *p, const struct ebpf_image_word *w)
{
	const int vectors = sizeof(u64) * TRACE_REGS;

	switch (w->where) {
	case EBPF_WORD_INT:
		return w->n < TRACE_REG_ARGS ? (int)sizeof(u64) * w->n : -1;
	case EBPF_WORD_RET_INT:
		return w->n < 2 ? (int)sizeof(u64) * w->n : -1;
	case EBPF_WORD_SSE:
	case EBPF_WORD_RET_SSE:
		return w->n < TRACE_VECTORS ? vectors + 16 * w->n : -1;
	case EBPF_WORD_SSE_HIGH:
	case EBPF_WORD_RET_SSE_HIGH:
		return w->n < TRACE_VECTORS ? vectors + 16 * w->n + 8 : -1;
	default:
		return -1;
	}
}

/* Behind the return address. */
static int from_stack(struct planner *p, u32 word, u32 size)
{
	return copy(p, TRACE_BYTES, sizeof(u64) * TRACE_REG_SP, 8 * (1 + (s64)word), size);
}

/* A value that is in two registers is put together. */
static int from_words(struct planner *p, const struct ebpf_target_word *w, u32 n)
{
	int out = room(p, 8 * n), at;

	for (u32 i = 0; out >= 0 && i < n; i++) {
		at = at_register(p, &w[i].from);
		if (at < 0 || p->plan->nops == TRACE_OPS)
			return -1;
		p->plan->op[p->plan->nops++] = (struct trace_op){
			.copy = TRACE_WORD, .base = (u32)at, .out = (u32)out + 8 * i, .len = 8};
	}
	return out;
}

/* Offset of the value whose @n words begin at @w, or -1. */
static int place(struct planner *p, const struct ebpf_target_word *w, u32 n, u32 size)
{
	if (w->from.where == EBPF_WORD_STACK || w->from.where == EBPF_WORD_STACK_ADDRESS)
		return from_stack(p, w->from.n, size);
	if (w->by_address && w->from.where == EBPF_WORD_RET_INT)
		return copy(p, TRACE_BYTES, 0, 0, size);
	return n == 1 ? at_register(p, &w->from) : from_words(p, w, n);
}

static void find_value(struct planner *p, u32 arg, struct trace_value *v)
{
	const s64 size = btf__resolve_size(p->types, v->id);
	const struct ebpf_target_word *w = p->sig->word;
	u32 n = 0, i = 0;
	int at;

	while (i < p->sig->nwords && w[i].arg != arg)
		i++;
	while (i + n < p->sig->nwords && w[i + n].arg == arg)
		n++;
	if (!n || size <= 0)
		return;
	v->size = (u32)MIN(size, (s64)TRACE_BYTES_MAX);
	at = place(p, &w[i], n, v->size);
	v->known = at >= 0;
	v->at = v->known ? (u32)at : 0;
	if (v->known)
		scan(p, v->id, v->at, v->size, p->limits->depth, 0);
}

/* --- names ----------------------------------------------------------------------------------- */

static void print_to(void *ctx, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void print_to(void *ctx, const char *fmt, va_list ap)
{
	vfprintf(ctx, fmt, ap);
}

static bool is_short(const struct btf *types, u32 id, u32 *left);

static bool are_short(const struct btf *types, const struct btf_type *t, u32 *left)
{
	bool all = true;

	for (u32 i = 0; all && i < btf_vlen(t); i++)
		all = is_short(types,
			       btf_is_composite(t) ? btf_members(t)[i].type : btf_params(t)[i].type,
			       left);
	return all;
}

/* What has no name is spelled out, and what that consists of: not all of what a stranger says. */
static bool is_short(const struct btf *types, u32 id, u32 *left)
{
	const struct btf_type *t = btf__type_by_id(types, id);

	if (!*left)
		return false;
	--*left;
	if (!t || btf_is_typedef(t))
		return true;
	if (btf_is_array(t))
		return is_short(types, btf_array(t)->type, left);
	if (btf_is_ptr(t) || btf_is_mod(t))
		return is_short(types, t->type, left);
	if (btf_is_func_proto(t))
		return is_short(types, t->type, left) && are_short(types, t, left);
	return !btf_is_composite(t) || t->name_off || are_short(types, t, left);
}

/* The declaration of @name as C has it; malloc'ed, NULL: no memory. */
static char *declaration(const struct btf *types, u32 id, const char *name)
{
	LIBBPF_OPTS(btf_dump_emit_type_decl_opts, opts, .field_name = name);
	struct btf_dump *d = NULL;
	char *text = NULL;
	size_t len = 0;
	u32 left = NAMED_MAX;
	FILE *f;

	if (!id)
		return strdup("void");
	if (!is_short(types, id, &left))
		return asprintf(&text, "...%s%s", *name ? " " : "", name) < 0 ? NULL : text;
	f = open_memstream(&text, &len);
	d = f ? btf_dump__new(types, print_to, f, NULL) : NULL;
	if (d)
		btf_dump__emit_type_decl(d, id, &opts);
	btf_dump__free(d);
	if (f)
		fclose(f);
	return text;
}

/* Takes @text; malloc'ed, NULL: no memory. */
static char *cleaned(char *text)
{
	const size_t size = text ? 4 * strlen(text) + 8 : 0;
	char *clean = size ? malloc(size) : NULL;

	if (clean)
		out_clean(text, clean, size);
	free(text);
	return clean;
}

static int name_value(const struct btf *types, const char *name, struct trace_value *v)
{
	v->name = cleaned(strdup(name ? name : ""));
	v->type = cleaned(declaration(types, v->id, ""));
	v->decl = cleaned(declaration(types, v->id, name ? name : ""));
	for (size_t n = v->type ? strlen(v->type) : 0; n && v->type[n - 1] == ' '; n--)
		v->type[n - 1] = 0;
	return v->name && v->type && v->decl ? 0 : -ENOMEM;
}

void trace_func_deinit(struct trace_func *f)
{
	for (u32 i = 0; i <= f->nargs; i++) {
		struct trace_value *v = i < f->nargs ? &f->args[i] : &f->ret;

		free(v->name);
		free(v->type);
		free(v->decl);
	}
	free(f->args);
	free(f->name);
	free(f->plain);
	btf__free(f->types);
	*f = (struct trace_func){0};
}

/* --- the function ---------------------------------------------------------------------------- */

/* Are any of the words of arguments, or of the result, in vector registers? */
static bool wants_vectors(const struct ebpf_target_sig *sig, bool ret)
{
	for (u32 i = ret ? sig->nargs : 0; i < (ret ? sig->nwords : sig->nargs); i++) {
		const u32 where = sig->word[i].from.where;

		if (where == EBPF_WORD_SSE || where == EBPF_WORD_SSE_HIGH ||
		    where == EBPF_WORD_RET_SSE || where == EBPF_WORD_RET_SSE_HIGH)
			return true;
	}
	return false;
}

static void begin(struct planner *p, struct trace_plan *plan, bool ret)
{
	*plan = (struct trace_plan){.vectors = wants_vectors(p->sig, ret)};
	p->plan = plan;
	p->n = 0;
	p->left = SCAN_MAX;
	p->used = sizeof(u64) * (TRACE_REGS + (plan->vectors ? 2 * TRACE_VECTORS : 0));
}

static int plan_entry(struct planner *p, struct trace_func *f, const struct btf_type *proto,
		      struct trace_plan *plan)
{
	const struct btf_param *params = btf_params(proto);
	int err = 0;

	begin(p, plan, false);
	f->args = calloc(btf_vlen(proto) + 1u, sizeof(*f->args));
	if (!f->args)
		return -ENOMEM;
	for (u32 i = 0; !err && i < btf_vlen(proto); i++) {
		struct trace_value *v = &f->args[f->nargs];

		f->variadic = !params[i].type;
		if (f->variadic)
			break;
		v->id = params[i].type;
		find_value(p, i, v);
		f->nargs++;
		err = name_value(f->types, btf__name_by_offset(f->types, params[i].name_off), v);
	}
	follow_all(p);
	return err;
}

static int plan_exit(struct planner *p, struct trace_func *f, const struct btf_type *proto,
		     struct trace_plan *plan)
{
	begin(p, plan, true);
	f->ret.id = proto->type;
	if (f->ret.id)
		find_value(p, btf_vlen(proto), &f->ret);
	follow_all(p);
	return name_value(f->types, "", &f->ret);
}

int trace_plan(struct trace_func *f, const struct trace_limits *limits, struct trace_plan *entry,
	       struct trace_plan *exit)
{
	const struct btf_type *func = btf__type_by_id(f->types, 1);
	_cleanup_free_ struct planner *p = calloc(1, sizeof(*p));
	struct ebpf_target_sig sig;
	struct ebpf_vbtf raw = {0};
	struct ebpf_btf b;
	int err;

	if (!p)
		return -ENOMEM;
	raw.data = btf__raw_data(f->types, &raw.size);
	err = raw.data ? ebpf_btf_open(&b, &raw) : -ENOMEM;
	if (err)
		return err;
	err = ebpf_target_sig(&b, 1, &sig);
	ebpf_btf_close(&b);
	if (err || !func)
		return -EINVAL;
	*p = (struct planner){.types = f->types, .limits = limits, .sig = &sig};
	err = plan_entry(p, f, btf__type_by_id(f->types, func->type), entry);
	return err ? err : plan_exit(p, f, btf__type_by_id(f->types, func->type), exit);
}
