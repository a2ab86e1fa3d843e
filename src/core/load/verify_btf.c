/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader of a program's BTF: verify_btf.h tells the model.
 */
#include "core/load/verify_btf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/load/btf_kind.h"
#include "core/load/verify_ctx.h"
#include "core/uapi.h"

#define MAX_CHAIN 32u /* modifiers, arrays of arrays, structs in structs */

/* --- types by number ------------------------------------------------------------------------- */

static u32 word(const struct ebpf_btf *b, u32 off)
{
	u32 w;

	memcpy(&w, b->data + off, sizeof(w));
	return w;
}

static const char *string_at(const struct ebpf_btf *b, u32 off)
{
	return off < b->strs_len ? b->strs + off : "";
}

static bool read_type(const struct ebpf_btf *b, u32 off, struct ebpf_btf_type *t, u32 *next)
{
	s64 tail;
	u32 info;

	if (off > b->end || b->end - off < 12)
		return false;
	info = word(b, off + 4);
	t->kind = BTF_INFO_KIND(info);
	t->vlen = BTF_INFO_VLEN(info);
	t->name = string_at(b, word(b, off));
	t->ref = word(b, off + 8);
	t->tail = off + 12;
	tail = btf_kind_tail(info);
	if (tail < 0 || tail > b->end - t->tail)
		return false;
	*next = t->tail + (u32)tail;
	return true;
}

static int make_index(struct ebpf_btf *b, u32 off)
{
	struct ebpf_btf_type t;
	u32 n = 0, max = (b->end - off) / 12 + 1;

	b->offs = calloc(max + 1, sizeof(*b->offs));
	if (!b->offs)
		return -ENOMEM;
	while (off < b->end) {
		u32 next;

		if (!read_type(b, off, &t, &next))
			return -EINVAL;
		b->offs[++n] = off;
		off = next;
	}
	b->ntypes = n;
	return 0;
}

/* [@off, @off + @len) after the header inside @size bytes? */
static bool section_ok(u32 hdr_len, u32 off, u32 len, u32 size)
{
	return hdr_len <= size && off <= size - hdr_len && len <= size - hdr_len - off;
}

int ebpf_btf_open(struct ebpf_btf *b, const struct ebpf_vbtf *in)
{
	struct btf_header h;
	int r;

	memset(b, 0, sizeof(*b));
	if (!in->data || in->size < sizeof(h))
		return -EINVAL;
	memcpy(&h, in->data, sizeof(h));
	if (h.magic != BTF_MAGIC || !section_ok(h.hdr_len, h.type_off, h.type_len, in->size) ||
	    !section_ok(h.hdr_len, h.str_off, h.str_len, in->size) || !h.str_len)
		return -EINVAL;
	b->data = in->data;
	b->strs = (const char *)in->data + h.hdr_len + h.str_off;
	b->strs_len = h.str_len;
	b->end = h.hdr_len + h.type_off + h.type_len;
	if (b->strs[b->strs_len - 1])
		return -EINVAL;
	r = make_index(b, h.hdr_len + h.type_off);
	if (r)
		ebpf_btf_close(b);
	return r;
}

void ebpf_btf_close(struct ebpf_btf *b)
{
	free(b->offs);
	memset(b, 0, sizeof(*b));
}

bool ebpf_btf_type(const struct ebpf_btf *b, u32 id, struct ebpf_btf_type *t)
{
	u32 next;

	if (!id) {
		*t = (struct ebpf_btf_type){.name = ""};
		return true;
	}
	return id <= b->ntypes && read_type(b, b->offs[id], t, &next);
}

static bool is_modifier(u32 kind)
{
	return kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_VOLATILE || kind == BTF_KIND_CONST ||
	       kind == BTF_KIND_RESTRICT || kind == KIND_TYPE_TAG;
}

bool ebpf_btf_skip(const struct ebpf_btf *b, u32 *id, struct ebpf_btf_type *t)
{
	for (u32 i = 0; i < MAX_CHAIN; i++) {
		if (!ebpf_btf_type(b, *id, t))
			return false;
		if (!is_modifier(t->kind))
			return true;
		*id = t->ref;
	}
	return false;
}

/* In bits; of a struct with bit-fields the top byte is a width. */
static void set_place(struct ebpf_btf_param *out, u32 place, bool bitfields)
{
	out->bit = bitfields ? place & 0xffffff : place;
	out->width = bitfields ? place >> 24 : 0;
	out->off = out->bit / 8;
}

bool ebpf_btf_param(const struct ebpf_btf *b, const struct ebpf_btf_type *t, u32 i,
		    struct ebpf_btf_param *out)
{
	u32 step = t->kind == BTF_KIND_FUNC_PROTO ? 8 : 12, off = t->tail + i * step;

	if (i >= t->vlen)
		return false;
	if (t->kind == BTF_KIND_DATASEC) { /* type, offset, size */
		*out = (struct ebpf_btf_param){"", word(b, off), word(b, off + 4), 0, 0};
		return true;
	}
	*out = (struct ebpf_btf_param){.name = string_at(b, word(b, off)),
				       .type = word(b, off + 4)};
	if (step == 12)
		set_place(out, word(b, off + 8), word(b, t->tail - 8) >> 31);
	return true;
}

void ebpf_btf_array(const struct ebpf_btf *b, const struct ebpf_btf_type *t, u32 *elem, u32 *n)
{
	*elem = word(b, t->tail);
	*n = word(b, t->tail + 8);
}

bool ebpf_btf_is_signed(const struct ebpf_btf *b, const struct ebpf_btf_type *t)
{
	if (t->kind == BTF_KIND_INT)
		return BTF_INT_ENCODING(word(b, t->tail)) & BTF_INT_SIGNED;
	/* of an enum the flag says it; compilers before that had it for 64 bits only */
	return (t->kind == BTF_KIND_ENUM || t->kind == KIND_ENUM64) && word(b, t->tail - 8) >> 31;
}

s64 ebpf_btf_size(const struct ebpf_btf *b, u32 id)
{
	u64 times = 1;
	struct ebpf_btf_type t;

	for (u32 i = 0; i < MAX_CHAIN; i++) {
		if (!ebpf_btf_skip(b, &id, &t))
			return -EINVAL;
		if (t.kind != BTF_KIND_ARRAY) {
			if (!btf_kind_is_sized(t.kind) && t.kind != BTF_KIND_PTR)
				return -EINVAL;
			times *= t.kind == BTF_KIND_PTR ? 8 : t.ref;
			return times > INT32_MAX ? -EINVAL : (s64)times;
		}
		times *= word(b, t.tail + 8);
		if (times > INT32_MAX)
			return -EINVAL;
		id = word(b, t.tail);
	}
	return -EINVAL;
}

/* --- functions ------------------------------------------------------------------------------- */

#define TAG_CTX 1u
#define TAG_TRUSTED 2u
#define TAG_NONNULL 4u
#define TAG_NULLABLE 8u
#define TAG_ARENA 16u

const char *ebpf_btf_kind_name(u32 kind)
{
	static const char *const names[] = {
		"UNKNOWN", "INT",     "PTR",	  "ARRAY",    "STRUCT",	  "UNION",  "ENUM",
		"FWD",	   "TYPEDEF", "VOLATILE", "CONST",    "RESTRICT", "FUNC",   "FUNC_PROTO",
		"VAR",	   "DATASEC", "FLOAT",	  "DECL_TAG", "TYPE_TAG", "ENUM64",
	};

	return kind < ARRAY_SIZE(names) ? names[kind] : names[0];
}

void ebpf_btf_clean_name(char *out, size_t size, const char *name)
{
	size_t i;

	for (i = 0; i + 1 < size && name[i]; i++)
		out[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
	out[i] = 0;
}

#define unfit(sig, error, ...)                                                                     \
	do {                                                                                       \
		(sig)->err = -(error);                                                             \
		snprintf((sig)->why, sizeof((sig)->why), __VA_ARGS__);                             \
	} while (0)

static u32 tag_of(const char *text)
{
	static const char *const tags[] = {"ctx", "trusted", "nonnull", "nullable", "arena"};

	for (u32 i = 0; i < ARRAY_SIZE(tags); i++)
		if (!strcmp(text, tags[i]))
			return 1u << i;
	return 0;
}

u32 ebpf_btf_tags(const struct ebpf_btf *b, u32 id, const char *prefix, const char **rest)
{
	size_t len = strlen(prefix);
	struct ebpf_btf_type t;
	u32 n = 0;

	for (u32 tag = 1; tag <= b->ntypes; tag++) {
		if (!ebpf_btf_type(b, tag, &t) || t.kind != KIND_DECL_TAG || t.ref != id ||
		    word(b, t.tail) != ~0u || strncmp(t.name, prefix, len))
			continue;
		*rest = t.name + len;
		n++;
	}
	return n;
}

/* Tags "arg:…" of argument @i. */
static u32 arg_tags(const struct ebpf_btf *b, u32 func, u32 i, struct ebpf_sig *sig)
{
	u32 tags = 0;

	for (u32 id = 1; id <= b->ntypes; id++) {
		struct ebpf_btf_type t;

		if (!ebpf_btf_type(b, id, &t) || t.kind != KIND_DECL_TAG || t.ref != func ||
		    word(b, t.tail) != i || strncmp(t.name, "arg:", 4))
			continue;
		if (!tag_of(t.name + 4)) {
			unfit(sig, EOPNOTSUPP, "arg#%u has unsupported set of tags\n", i);
			return 0;
		}
		tags |= tag_of(t.name + 4);
	}
	return tags;
}

/* Up to and including a typedef of that name. */
static bool is_typedef(const struct ebpf_btf *b, u32 id, const char *name)
{
	struct ebpf_btf_type t;

	for (u32 i = 0; i < MAX_CHAIN && ebpf_btf_type(b, id, &t) && is_modifier(t.kind); i++) {
		if (t.kind == BTF_KIND_TYPEDEF)
			return !strcmp(t.name, name);
		id = t.ref;
	}
	return false;
}

static bool is_struct(const struct ebpf_btf_type *t, const char *name)
{
	return t->kind == BTF_KIND_STRUCT && name && !strcmp(t->name, name);
}

static bool is_ctx(const struct ebpf_btf *b, u32 pointee, u32 prog_type)
{
	struct ebpf_btf_type t;

	if (prog_type == BPF_PROG_TYPE_KPROBE && is_typedef(b, pointee, "bpf_user_pt_regs_t"))
		return true;
	if (!ebpf_btf_skip(b, &pointee, &t))
		return false;
	/* how programs named the registers before there were types for them */
	if (prog_type == BPF_PROG_TYPE_KPROBE && is_struct(&t, "bpf_user_pt_regs_t"))
		return true;
	return is_struct(&t, ebpf_ctx_struct(prog_type));
}

/* An argument that is tagged as the context must have a type that could be it. */
static void tagged_ctx(const struct ebpf_btf *b, u32 pointee, u32 i, u32 prog_type,
		       struct ebpf_sig *sig)
{
	const char *name = ebpf_ctx_struct(prog_type);
	bool regs = prog_type == BPF_PROG_TYPE_KPROBE || prog_type == BPF_PROG_TYPE_PERF_EVENT;
	struct ebpf_btf_type t;

	if (regs && is_typedef(b, pointee, "bpf_user_pt_regs_t"))
		return;
	if (!ebpf_btf_skip(b, &pointee, &t)) {
		unfit(sig, EINVAL, "arg#%u type doesn't have a name\n", i);
		return;
	}
	if (!t.kind)
		return;
	if (!*t.name) {
		unfit(sig, EINVAL, "arg#%u type doesn't have a name\n", i);
		return;
	}
	if (prog_type == BPF_PROG_TYPE_TRACEPOINT || prog_type == BPF_PROG_TYPE_SYSCALL)
		return; /* theirs have no type: any will do */
	if (is_struct(&t, name) || (regs && is_struct(&t, "pt_regs")) ||
	    (prog_type == BPF_PROG_TYPE_RAW_TRACEPOINT && t.kind == BTF_KIND_INT && t.ref == 8))
		return;
	if (!name)
		unfit(sig, EINVAL, "arg#%u should be void pointer\n", i);
	else
		unfit(sig, EINVAL, "arg#%u should be `struct %s *`\n", i, name);
}

static void plain_memory(const struct ebpf_btf *b, u32 pointee, u32 i, u32 tags,
			 struct ebpf_sig *sig)
{
	struct ebpf_btf_type t = {.name = ""};
	s64 size = ebpf_btf_size(b, pointee);
	char name[64];

	if (size < 0) {
		ebpf_btf_skip(b, &pointee, &t);
		ebpf_btf_clean_name(name, sizeof(name), t.name);
		unfit(sig, EINVAL, "arg#%u reference type('%s %s') size cannot be determined: %d\n",
		      i, ebpf_btf_kind_name(t.kind), name, -EINVAL);
		return;
	}
	sig->arg[i].is = EARG_MEM | EARG_FIXED | EARG_WRITE | (tags & TAG_NONNULL ? 0 : EARG_NULL);
	sig->arg[i].size = (u32)size;
}

static void pointer_arg(const struct ebpf_btf *b, u32 pointee, u32 i, u32 tags, u32 prog_type,
			struct ebpf_sig *sig)
{
	u32 target = pointee;
	struct ebpf_btf_type t = {.name = ""};
	bool ctx = (tags & TAG_CTX) || is_ctx(b, pointee, prog_type);
	bool dynptr = !ctx && ebpf_btf_skip(b, &target, &t) &&
		      (is_struct(&t, "bpf_dynptr") || is_struct(&t, "bpf_dynptr_kern"));

	if ((ctx && (tags & ~TAG_CTX)) || (dynptr && tags) ||
	    (!ctx && !dynptr && (tags & TAG_NULLABLE) && !(tags & TAG_TRUSTED))) {
		unfit(sig, EINVAL, "arg#%u has invalid combination of tags\n", i);
	} else if (ctx) {
		sig->arg[i].is = EARG_CTX;
		if (tags)
			tagged_ctx(b, pointee, i, prog_type, sig);
	} else if (dynptr) {
		sig->arg[i].is = EARG_DYNPTR | EARG_RDONLY;
	} else if (tags & (TAG_TRUSTED | TAG_ARENA)) {
		sig->kernel_arg = tags & (TAG_ARENA | TAG_NULLABLE) ? 0 : i + 1;
		unfit(sig, EOPNOTSUPP,
		      "arg#%u is tagged as kernel object or arena, which user space has none of\n",
		      i);
	} else {
		plain_memory(b, pointee, i, tags, sig);
	}
}

static bool is_int(const struct ebpf_btf_type *t)
{
	return t->kind == BTF_KIND_INT || t->kind == BTF_KIND_ENUM || t->kind == KIND_ENUM64;
}

static void one_arg(const struct ebpf_btf *b, u32 func, u32 type, u32 i, u32 prog_type,
		    struct ebpf_sig *sig)
{
	u32 tags = arg_tags(b, func, i, sig);
	struct ebpf_btf_type t;

	if (sig->err)
		return;
	if (!ebpf_btf_skip(b, &type, &t))
		t = (struct ebpf_btf_type){.name = ""};
	if (t.kind == BTF_KIND_PTR)
		pointer_arg(b, t.ref, i, tags, prog_type, sig);
	else if (tags)
		unfit(sig, EINVAL, "arg#%u has pointer tag, but is not a pointer type\n", i);
	else if (is_int(&t))
		sig->arg[i].is = EARG_SCALAR;
	else
		unfit(sig, EINVAL, "Arg#%u type %s in %s() is not supported yet.\n", i,
		      ebpf_btf_kind_name(t.kind), sig->name);
}

static void read_args(const struct ebpf_btf *b, u32 func, const struct ebpf_btf_type *proto,
		      u32 prog_type, struct ebpf_sig *sig)
{
	if (proto->vlen > 5) {
		unfit(sig, EINVAL, "Global function %s() with %u > 5 args. Buggy compiler.\n",
		      sig->name, proto->vlen);
		return;
	}
	if (!sig->int_result) {
		unfit(sig, EINVAL,
		      "Global function %s() doesn't return scalar. Only those are supported.\n",
		      sig->name);
		return;
	}
	for (u32 i = 0; i < proto->vlen && !sig->err; i++) {
		struct ebpf_btf_param p;

		if (ebpf_btf_param(b, proto, i, &p))
			one_arg(b, func, p.type, i, prog_type, sig);
	}
	sig->nargs = proto->vlen;
}

int ebpf_btf_sig(const struct ebpf_btf *b, u32 func, u32 prog_type, struct ebpf_sig *sig)
{
	struct ebpf_btf_type f, proto, result;
	u32 id;

	memset(sig, 0, sizeof(*sig));
	if (!ebpf_btf_type(b, func, &f) || f.kind != BTF_KIND_FUNC ||
	    !ebpf_btf_type(b, f.ref, &proto) || proto.kind != BTF_KIND_FUNC_PROTO)
		return -EINVAL;
	ebpf_btf_clean_name(sig->name, sizeof(sig->name), f.name);
	sig->global = f.vlen == BTF_FUNC_GLOBAL;
	id = proto.ref;
	sig->int_result = ebpf_btf_skip(b, &id, &result) && is_int(&result);
	if (sig->global)
		read_args(b, func, &proto, prog_type, sig);
	return 0;
}

int ebpf_btf_sigs(const struct ebpf_vprog *prog, u32 n, struct ebpf_sig *sigs)
{
	struct ebpf_btf b;
	int r;

	memset(sigs, 0, n * sizeof(*sigs));
	if (!prog->nfuncs)
		return 0;
	if (!prog->funcs || prog->nfuncs != n)
		return -EINVAL;
	r = ebpf_btf_open(&b, &prog->btf);
	if (r)
		return r;
	for (u32 i = 1; !r && i < n; i++)
		r = ebpf_btf_sig(&b, prog->funcs[i].type_id, prog->prog_type, &sigs[i]);
	ebpf_btf_close(&b);
	return r;
}

/* --- fields of map values -------------------------------------------------------------------- */

#define MAX_STEPS 100000u /* types within types can be many */

struct field_list {
	struct ebpf_field *fields;
	u32 n, steps;
	int err;
};

static u32 field_kind(const char *name)
{
	static const char *const others[] = {
		"bpf_wq",      "bpf_list_head", "bpf_list_node",     "bpf_rb_root",
		"bpf_rb_node", "bpf_refcount",	"bpf_res_spin_lock", "bpf_task_work"};

	if (!strcmp(name, "bpf_spin_lock"))
		return EBPF_FIELD_SPIN_LOCK;
	if (!strcmp(name, "bpf_timer"))
		return EBPF_FIELD_TIMER;
	for (u32 i = 0; i < ARRAY_SIZE(others); i++)
		if (!strcmp(name, others[i]))
			return EBPF_FIELD_KPTR;
	return EBPF_FIELD_NONE;
}

static bool is_kptr(const struct ebpf_btf *b, const struct ebpf_btf_type *t)
{
	struct ebpf_btf_type tag;

	return t->kind == BTF_KIND_PTR && ebpf_btf_type(b, t->ref, &tag) &&
	       tag.kind == KIND_TYPE_TAG &&
	       (!strcmp(tag.name, "kptr") || !strcmp(tag.name, "kptr_untrusted") ||
		!strcmp(tag.name, "percpu_kptr") || !strcmp(tag.name, "uptr"));
}

static void add_field(struct field_list *l, u32 kind, u32 off, u32 size)
{
	for (u32 i = 0; i < l->n && kind != EBPF_FIELD_KPTR; i++)
		if (l->fields[i].kind == kind)
			l->err = -EEXIST;
	if (l->n == EBPF_MAX_FIELDS)
		l->err = -E2BIG;
	if (off % (kind == EBPF_FIELD_SPIN_LOCK ? 4 : 8))
		l->err = -EINVAL;
	if (!l->err)
		l->fields[l->n++] = (struct ebpf_field){kind, off, size};
}

static void find_fields(const struct ebpf_btf *b, u32 id, u32 off, u32 depth, struct field_list *l);

/* Elements beyond what can be counted are looked at only while they bring something. */
static void find_in_array(const struct ebpf_btf *b, const struct ebpf_btf_type *t, u32 off,
			  u32 depth, struct field_list *l)
{
	u32 elem = word(b, t->tail), count = word(b, t->tail + 8), before = l->n;
	s64 size = ebpf_btf_size(b, elem);

	for (u32 i = 0; i < count && !l->err && size > 0; i++) {
		find_fields(b, elem, off + i * (u32)size, depth, l);
		if (l->n == before)
			return;
	}
}

static void find_in_struct(const struct ebpf_btf *b, const struct ebpf_btf_type *t, u32 off,
			   u32 depth, struct field_list *l)
{
	for (u32 i = 0; i < t->vlen && !l->err; i++) {
		struct ebpf_btf_type var;
		struct ebpf_btf_param m;

		if (!ebpf_btf_param(b, t, i, &m))
			return;
		if (t->kind == BTF_KIND_DATASEC && ebpf_btf_type(b, m.type, &var))
			m.type = var.ref;
		find_fields(b, m.type, off + m.off, depth, l);
	}
}

static void find_fields(const struct ebpf_btf *b, u32 id, u32 off, u32 depth, struct field_list *l)
{
	struct ebpf_btf_type t;
	u32 kind;

	if (depth > 8 || ++l->steps > MAX_STEPS) {
		l->err = -E2BIG;
		return;
	}
	if (!ebpf_btf_skip(b, &id, &t))
		return;
	kind = t.kind == BTF_KIND_STRUCT ? field_kind(t.name) : EBPF_FIELD_NONE;
	if (kind != EBPF_FIELD_NONE)
		add_field(l, kind, off, t.ref);
	else if (is_kptr(b, &t))
		add_field(l, EBPF_FIELD_KPTR, off, 8);
	else if (t.kind == BTF_KIND_ARRAY)
		find_in_array(b, &t, off, depth + 1, l);
	else if (t.kind == BTF_KIND_STRUCT || t.kind == BTF_KIND_DATASEC ||
		 t.kind == BTF_KIND_UNION)
		find_in_struct(b, &t, off, depth + 1, l);
}

static int by_offset(const void *a, const void *b)
{
	const struct ebpf_field *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

int ebpf_btf_fields(const struct ebpf_btf *b, u32 value, u32 size, struct ebpf_field *fields)
{
	struct field_list l = {.fields = fields};

	find_fields(b, value, 0, 0, &l);
	if (l.err)
		return l.err;
	if (l.n)
		qsort(fields, l.n, sizeof(*fields), by_offset);
	for (u32 i = 0; i < l.n; i++)
		if (fields[i].off > size || fields[i].size > size - fields[i].off ||
		    (i && fields[i].off < fields[i - 1].off + fields[i - 1].size))
			return -EINVAL;
	return (int)l.n;
}
