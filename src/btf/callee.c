/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the x86-64 psABI puts the values of a prototype; and prototypes as libbpf sees them. */
#include "btf/callee.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "btf/btf_priv.h"

#define TEXT_MAX 256u
#define DEPTH 16u
#define CLASSES_MAX 512u /* members looked at, all in all */

struct reason {
	char *text;
	size_t size;
};

static __printf_like(2, 3) int refuse(struct reason *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, why->size, fmt, ap);
	va_end(ap);
	return -EOPNOTSUPP;
}

/* Behind names and qualifiers; NULL: void. */
static const struct btf_type *plain(const struct btf *btf, u32 *id)
{
	const struct btf_type *t;

	while (*id && (t = btf__type_by_id(btf, *id))) {
		if (!btf_is_mod(t) && !btf_is_typedef(t) && !btf_is_type_tag(t))
			return t;
		*id = t->type;
	}
	return NULL;
}

/* --- structures in registers ------------------------------------------------------------------ */

struct words {
	u32 general; /* bit n: in word n is something for a general register */
	bool in_memory;
	u32 looked_at;
};

static void classify(const struct btf *btf, u32 id, u32 at, u32 depth, struct words *w);

static void classify_members(const struct btf *btf, const struct btf_type *t, u32 at, u32 depth,
			     struct words *w)
{
	for (u32 i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		const u32 bits = btf_member_bit_offset(t, i), size = btf_member_bitfield_size(t, i);

		if (size)
			w->general |= 1u << ((at + bits / 8) / 8 & 1) |
				      1u << ((at + (bits + size - 1) / 8) / 8 & 1);
		else
			classify(btf, m->type, at + bits / 8, depth + 1, w);
	}
}

static void classify_scalar(const struct btf *btf, u32 id, const struct btf_type *t, u32 at,
			    struct words *w)
{
	const s64 size = btf__resolve_size(btf, id);

	if (size <= 0 || at % (u32)size || (btf_is_float(t) && size > 8))
		w->in_memory = true;
	else if (!btf_is_float(t))
		w->general |= size > 8 ? 3 : 1u << (at / 8 & 1);
}

static void classify(const struct btf *btf, u32 id, u32 at, u32 depth, struct words *w)
{
	const struct btf_type *t = plain(btf, &id);

	if (!t || depth > DEPTH || ++w->looked_at > CLASSES_MAX) {
		w->in_memory = true;
	} else if (btf_is_composite(t)) {
		classify_members(btf, t, at, depth, w);
	} else if (btf_is_array(t)) {
		const struct btf_array *a = btf_array(t);
		const s64 size = btf__resolve_size(btf, a->type);

		for (u32 i = 0; size > 0 && i < a->nelems && !w->in_memory; i++)
			classify(btf, a->type, at + i * (u32)size, depth + 1, w);
	} else {
		classify_scalar(btf, id, t, at, w);
	}
}

static void lay_out(const struct btf *btf, u32 id, struct ebpf_callee_value *v)
{
	struct words w = {0};

	if (v->size <= 16)
		classify(btf, id, 0, 0, &w);
	if (v->size > 16 || w.in_memory)
		v->flags |= ECALLEE_IN_MEMORY;
	else
		v->flags |= (w.general & 1 ? 0 : ECALLEE_SSE0) | (w.general & 2 ? 0 : ECALLEE_SSE1);
}

/* --- values ----------------------------------------------------------------------------------- */

static bool is_text(const struct btf_type *t)
{
	return btf_is_int(t) && t->size == 1 && !(btf_int_encoding(t) & BTF_INT_BOOL);
}

/* What the address leads to: how much, if that can be told, and whether it is only read. */
static void look_behind(const struct btf *btf, u32 id, struct ebpf_callee_value *v)
{
	const struct btf_type *t = btf__type_by_id(btf, id);
	s64 size;

	for (; id && t && (btf_is_mod(t) || btf_is_typedef(t) || btf_is_type_tag(t));
	     id = t->type, t = btf__type_by_id(btf, id))
		if (btf_is_const(t))
			v->flags |= ECALLEE_CONST;
	if (!id || !t || btf_is_func_proto(t))
		return;
	if (is_text(t)) {
		v->flags |= v->flags & ECALLEE_CONST ? ECALLEE_STRING : 0;
		v->size = v->flags & ECALLEE_CONST ? TEXT_MAX : 0;
		return;
	}
	size = btf__resolve_size(btf, id);
	v->size = size > 0 && size <= EBPF_CALLEE_MEMORY_MAX ? (u16)size : 0;
}

static int number(const struct btf *btf, u32 id, const struct btf_type *t,
		  struct ebpf_callee_value *v)
{
	const s64 size = btf__resolve_size(btf, id);

	if (size != 1 && size != 2 && size != 4 && size != 8)
		return -EOPNOTSUPP;
	v->kind = ECALLEE_NUMBER;
	v->size = (u16)size;
	if (btf_is_int(t) ? btf_int_encoding(t) & BTF_INT_SIGNED : btf_kflag(t))
		v->flags = ECALLEE_SIGNED;
	return 0;
}

/* 0, or -EOPNOTSUPP: a program has nothing that could stand for it. */
static int value(const struct btf *btf, u32 id, struct ebpf_callee_value *v)
{
	const struct btf_type *t = plain(btf, &id);

	*v = (struct ebpf_callee_value){0};
	if (!t)
		return -EOPNOTSUPP;
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return number(btf, id, t, v);
	case BTF_KIND_FLOAT:
		v->kind = ECALLEE_FLOAT;
		v->size = (u16)t->size;
		return t->size == 4 || t->size == 8 ? 0 : -EOPNOTSUPP;
	case BTF_KIND_PTR:
		v->kind = ECALLEE_ADDRESS;
		look_behind(btf, t->type, v);
		return 0;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		v->kind = ECALLEE_STRUCT;
		v->size = (u16)t->size;
		lay_out(btf, id, v);
		return t->size && t->size <= EBPF_CALLEE_MEMORY_MAX ? 0 : -EOPNOTSUPP;
	default:
		return -EOPNOTSUPP;
	}
}

static int add_result(const struct btf *btf, u32 id, struct ebpf_callee *c, struct reason *why)
{
	if (!plain(btf, &id))
		return 0;
	if (value(btf, id, &c->result))
		return refuse(why, "%s() returns a type that a program can't take", c->name);
	if (c->result.kind != ECALLEE_STRUCT)
		return 0;
	c->arg[0] = c->result;
	c->arg[0].kind = ECALLEE_RESULT;
	c->result = (struct ebpf_callee_value){0};
	return 0;
}

/* A library's own names for what others call @name: glibc's types go by those. */
static const struct btf_type *find_function(const struct btf *btf, const char *name)
{
	static const char *const prefixes[] = {"", "__GI_", "__", "__GI___"};
	char full[128];
	s32 id = -ENOENT;

	for (u32 i = 0; id < 0 && i < ARRAY_SIZE(prefixes); i++) {
		snprintf(full, sizeof(full), "%s%s", prefixes[i], name);
		id = btf__find_by_name_kind(btf, full, BTF_KIND_FUNC);
	}
	return id < 0 ? NULL : btf__type_by_id(btf, btf__type_by_id(btf, (u32)id)->type);
}

int btf_callee(const struct btf *btf, const char *func, struct ebpf_callee *c, char *text,
	       size_t text_size)
{
	const struct btf_type *proto = find_function(btf, func);
	struct reason why = {text, text_size};
	u32 n;
	int err;

	if (!proto || !btf_is_func_proto(proto))
		return refuse(&why, "the types of its file have no function %s", func);
	snprintf(c->name, sizeof(c->name), "%s", func);
	err = add_result(btf, proto->type, c, &why);
	n = c->arg[0].kind == ECALLEE_RESULT;
	if (!err && btf_vlen(proto) + n > EBPF_CALLEE_ARGS)
		return refuse(&why, "%s() takes more than the five arguments a program can give",
			      func);
	for (u32 i = 0; !err && i < btf_vlen(proto); i++) {
		if (!btf_params(proto)[i].type)
			return refuse(&why, "%s() takes a variable number of arguments", func);
		if (value(btf, btf_params(proto)[i].type, &c->arg[n + i]))
			return refuse(&why,
				      "argument %u of %s() has a type that a program can't give",
				      i + 1, func);
	}
	return err;
}

/* --- as libbpf sees it ------------------------------------------------------------------------ */

struct types {
	struct btf *out;
	const struct btf *from;
	int number; /* 8 bytes */
};

/* A type that libbpf finds compatible with one like @id. Its number, or -errno. */
static int alike(const struct types *x, u32 id, bool result, u32 depth)
{
	const struct btf_type *t = plain(x->from, &id);
	int to;

	if (!t)
		return 0;
	switch (btf_kind(t)) {
	case BTF_KIND_ENUM:
		return btf__add_enum(x->out, NULL, t->size);
	case BTF_KIND_ENUM64:
		return btf__add_enum64(x->out, NULL, 8, false);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_FWD:
		if (btf_is_union(t) || (btf_is_fwd(t) && btf_kflag(t)))
			to = btf__add_union(x->out, NULL, 0);
		else
			to = btf__add_struct(x->out, NULL, 0);
		return to < 0 || depth || result ? to : btf__add_ptr(x->out, to);
	case BTF_KIND_PTR:
		to = depth > DEPTH ? 0 : alike(x, t->type, false, depth + 1);
		return to < 0 ? to : btf__add_ptr(x->out, to);
	case BTF_KIND_ARRAY:
	case BTF_KIND_FUNC_PROTO:
		return 0;
	default:
		return x->number;
	}
}

static int add_function(const struct types *x, struct ebpf_callee *c)
{
	const struct btf_type *proto = find_function(x->from, c->name);
	int ret = alike(x, proto->type, true, 0), args[EBPF_CALLEE_ARGS] = {0}, id;

	for (u32 i = 0; i < btf_vlen(proto); i++)
		args[i] = alike(x, btf_params(proto)[i].type, false, 0);
	id = ret < 0 ? ret : btf__add_func_proto(x->out, ret);
	for (u32 i = 0; id >= 0 && i < btf_vlen(proto); i++) {
		int err = args[i] < 0 ? args[i] : btf__add_func_param(x->out, NULL, args[i]);

		id = err < 0 ? err : id;
	}
	id = id < 0 ? id : btf__add_func(x->out, c->name, BTF_FUNC_GLOBAL, id);
	if (id < 0)
		return id;
	c->id = (u32)id;
	return 0;
}

int btf_callee_types(struct btf *const *types, struct ebpf_callee *callees, u32 n, int *fd,
		     char *why, size_t why_size)
{
	_cleanup_btf_ struct btf *out = NULL;
	struct types x = {0};
	const void *raw;
	u32 size;
	int err = btf_builtin(&out);

	x.out = out;
	x.number = err ? err : btf__add_int(out, "long", 8, BTF_INT_SIGNED);
	err = MIN(x.number, 0);
	for (u32 i = 0; !err && i < n; i++) {
		x.from = types[i];
		err = add_function(&x, &callees[i]);
	}
	raw = err ? NULL : btf__raw_data(out, &size);
	*fd = raw ? memfd_create("ebpfrt-callees", MFD_CLOEXEC) : -1;
	err = err ? err : *fd < 0 ? -errno : write_full(*fd, raw, size, IO_HERE);
	if (err)
		snprintf(why, why_size, "the types of the functions could not be written: %s",
			 strerror(-err));
	return err;
}
