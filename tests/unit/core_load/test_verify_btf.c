/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader of a program's BTF: signatures of functions, fields of map values, and what it makes
 * of bytes that are none. The BTFs are written here word by word.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "core/load/verify_btf.h"
#include "core/uapi.h"

#define MAX_WORDS 256

struct builder {
	u32 words[MAX_WORDS];
	u32 n, ids;
	char strs[512];
	u32 nstrs;
	u8 blob[4096];
};

static u32 string(struct builder *b, const char *text)
{
	u32 at = b->nstrs;

	if (!*text)
		return 0;
	strcpy(b->strs + at, text);
	b->nstrs += (u32)strlen(text) + 1;
	return at;
}

static u32 type(struct builder *b, const char *name, u32 kind, u32 vlen, u32 ref)
{
	b->words[b->n++] = string(b, name);
	b->words[b->n++] = kind << 24 | vlen;
	b->words[b->n++] = ref;
	return ++b->ids;
}

static void word(struct builder *b, u32 w)
{
	b->words[b->n++] = w;
}

static u32 integer(struct builder *b, const char *name, u32 size)
{
	u32 id = type(b, name, BTF_KIND_INT, 0, size);

	word(b, size * 8);
	return id;
}

static void member(struct builder *b, const char *name, u32 id, u32 off)
{
	word(b, string(b, name));
	word(b, id);
	word(b, off * 8);
}

static u32 array(struct builder *b, u32 elem, u32 index, u32 n)
{
	u32 id = type(b, "", BTF_KIND_ARRAY, 0, 0);

	word(b, elem);
	word(b, index);
	word(b, n);
	return id;
}

static u32 opaque(struct builder *b, const char *name, u32 size)
{
	return type(b, name, BTF_KIND_STRUCT, 0, size);
}

/* int NAME(PARAM), global */
static u32 function(struct builder *b, const char *name, u32 result, u32 param)
{
	u32 proto = type(b, "", BTF_KIND_FUNC_PROTO, 1, result);

	word(b, string(b, "p"));
	word(b, param);
	return type(b, name, BTF_KIND_FUNC, BTF_FUNC_GLOBAL, proto);
}

static void tag(struct builder *b, const char *text, u32 func, u32 arg)
{
	type(b, text, 17, 0, func);
	word(b, arg);
}

static void start(struct builder *b)
{
	memset(b, 0, sizeof(*b));
	b->nstrs = 1;
}

static struct ebpf_vbtf finish(struct builder *b)
{
	struct btf_header h = {.magic = BTF_MAGIC,
			       .version = BTF_VERSION,
			       .hdr_len = sizeof(h),
			       .type_len = b->n * 4,
			       .str_off = b->n * 4,
			       .str_len = b->nstrs};

	memcpy(b->blob, &h, sizeof(h));
	memcpy(b->blob + sizeof(h), b->words, b->n * 4);
	memcpy(b->blob + sizeof(h) + b->n * 4, b->strs, b->nstrs);
	return (struct ebpf_vbtf){b->blob, (u32)sizeof(h) + b->n * 4 + b->nstrs};
}

static void signature(struct builder *b, u32 func, struct ebpf_sig *sig)
{
	struct ebpf_vbtf in = finish(b);
	struct ebpf_btf btf;

	cr_assert_eq(ebpf_btf_open(&btf, &in), 0);
	cr_assert_eq(ebpf_btf_sig(&btf, func, BPF_PROG_TYPE_KPROBE, sig), 0);
	ebpf_btf_close(&btf);
}

/* --- functions ------------------------------------------------------------------------------- */

Test(verify_btf, number)
{
	struct builder b;
	struct ebpf_sig sig;
	u32 i;

	start(&b);
	i = integer(&b, "int", 4);
	signature(&b, function(&b, "f", i, type(&b, "s32", BTF_KIND_TYPEDEF, 0, i)), &sig);
	cr_assert_eq(sig.err, 0, "%s", sig.why);
	cr_assert(sig.global && sig.nargs == 1 && sig.arg[0].is == EARG_SCALAR);
	cr_assert_str_eq(sig.name, "f");
}

Test(verify_btf, memory)
{
	struct builder b;
	struct ebpf_sig sig;
	u32 i, s, f;

	start(&b);
	i = integer(&b, "int", 4);
	s = type(&b, "pair", BTF_KIND_STRUCT, 2, 8);
	member(&b, "a", i, 0);
	member(&b, "b", i, 4);
	f = function(&b, "f", i, type(&b, "", BTF_KIND_PTR, 0, type(&b, "", BTF_KIND_CONST, 0, s)));
	signature(&b, f, &sig);
	cr_assert_eq(sig.err, 0, "%s", sig.why);
	cr_assert((sig.arg[0].is & EARG_KIND) == EARG_MEM && sig.arg[0].size == 8 && (sig.arg[0].is & EARG_NULL));
	tag(&b, "arg:nonnull", f, 0);
	signature(&b, f, &sig);
	cr_assert((sig.arg[0].is & EARG_KIND) == EARG_MEM && !(sig.arg[0].is & EARG_NULL));
	tag(&b, "arg:nullable", f, 0);
	signature(&b, f, &sig);
	cr_assert_eq(sig.err, -EINVAL);
	cr_assert_str_eq(sig.why, "arg#0 has invalid combination of tags\n");
}

Test(verify_btf, context)
{
	static const struct {
		const char *name;
		u32 kind;
	} cases[] = {{"pt_regs", BTF_KIND_STRUCT},
		     {"bpf_user_pt_regs_t", BTF_KIND_TYPEDEF},
		     {"bpf_user_pt_regs_t", BTF_KIND_STRUCT}};

	for (u32 k = 0; k < ARRAY_SIZE(cases); k++) {
		struct builder b;
		struct ebpf_sig sig;
		u32 i, t;

		start(&b);
		i = integer(&b, "int", 4);
		t = cases[k].kind == BTF_KIND_STRUCT ? opaque(&b, cases[k].name, 168)
						     : type(&b, cases[k].name, BTF_KIND_TYPEDEF, 0,
							    opaque(&b, "user_pt_regs", 272));
		signature(&b, function(&b, "f", i, type(&b, "", BTF_KIND_PTR, 0, t)), &sig);
		cr_assert_eq(sig.err, 0, "%s", sig.why);
		cr_assert_eq(sig.arg[0].is, EARG_CTX);
	}
}

Test(verify_btf, tagged_context)
{
	struct builder b;
	struct ebpf_sig sig;
	u32 i, f;

	start(&b);
	i = integer(&b, "int", 4);
	f = function(&b, "f", i, type(&b, "", BTF_KIND_PTR, 0, 0));
	signature(&b, f, &sig);
	cr_assert_str_eq(sig.why,
			 "arg#0 reference type('UNKNOWN ') size cannot be determined: -22\n");
	tag(&b, "arg:ctx", f, 0);
	signature(&b, f, &sig);
	cr_assert(!sig.err && sig.arg[0].is == EARG_CTX);

	start(&b);
	i = integer(&b, "int", 4);
	f = function(&b, "f", i, type(&b, "", BTF_KIND_PTR, 0, opaque(&b, "other", 8)));
	tag(&b, "arg:ctx", f, 0);
	signature(&b, f, &sig);
	cr_assert_str_eq(sig.why, "arg#0 should be `struct pt_regs *`\n");
}

Test(verify_btf, unfit)
{
	struct builder b;
	struct ebpf_sig sig;
	u32 i, f;

	start(&b);
	i = integer(&b, "int", 4);
	f = function(&b, "f", i, i);
	tag(&b, "arg:nonnull", f, 0);
	signature(&b, f, &sig);
	cr_assert_str_eq(sig.why, "arg#0 has pointer tag, but is not a pointer type\n");

	start(&b);
	i = integer(&b, "int", 4);
	signature(&b, function(&b, "f", 0, i), &sig);
	cr_assert_str_eq(sig.why, "Global function f() doesn't return scalar. "
				  "Only those are supported.\n");

	start(&b);
	i = integer(&b, "int", 4);
	signature(&b, function(&b, "f", i, opaque(&b, "s", 8)), &sig);
	cr_assert_str_eq(sig.why, "Arg#0 type STRUCT in f() is not supported yet.\n");
}

Test(verify_btf, names_are_printable)
{
	struct builder b;
	struct ebpf_sig sig;
	u32 i;

	start(&b);
	i = integer(&b, "int", 4);
	signature(&b, function(&b, "f\033[2J", i, i), &sig);
	cr_assert_str_eq(sig.name, "f?[2J");
}

/* --- fields ---------------------------------------------------------------------------------- */

static int fields(struct builder *b, u32 id, u32 size, struct ebpf_field *f)
{
	struct ebpf_vbtf in = finish(b);
	struct ebpf_btf btf;
	int n;

	cr_assert_eq(ebpf_btf_open(&btf, &in), 0);
	n = ebpf_btf_fields(&btf, id, size, f);
	ebpf_btf_close(&btf);
	return n;
}

Test(verify_btf, lock_and_timer)
{
	struct ebpf_field f[EBPF_MAX_FIELDS];
	struct builder b;
	u32 i, lock, timer, inner, s;

	start(&b);
	i = integer(&b, "int", 4);
	lock = opaque(&b, "bpf_spin_lock", 4);
	timer = opaque(&b, "bpf_timer", 16);
	inner = type(&b, "inner", BTF_KIND_STRUCT, 2, 8);
	member(&b, "n", i, 0);
	member(&b, "lock", lock, 4);
	s = type(&b, "value", BTF_KIND_STRUCT, 3, 32);
	member(&b, "timer", timer, 16);
	member(&b, "inner", inner, 8);
	member(&b, "n", i, 0);
	cr_assert_eq(fields(&b, s, 32, f), 2);
	cr_assert(f[0].kind == EBPF_FIELD_SPIN_LOCK && f[0].off == 12 && f[0].size == 4);
	cr_assert(f[1].kind == EBPF_FIELD_TIMER && f[1].off == 16 && f[1].size == 16);
	cr_assert_eq(fields(&b, s, 24, f), -EINVAL, "the value is shorter than its type");
	cr_assert_eq(fields(&b, i, 4, f), 0);
}

Test(verify_btf, two_locks)
{
	struct ebpf_field f[EBPF_MAX_FIELDS];
	struct builder b;
	u32 i, lock;

	start(&b);
	i = integer(&b, "int", 4);
	lock = opaque(&b, "bpf_spin_lock", 4);
	cr_assert_eq(fields(&b, array(&b, lock, i, 2), 8, f), -EEXIST);
	cr_assert_eq(fields(&b, array(&b, lock, i, 1), 4, f), 1);
}

Test(verify_btf, kernel_pointers)
{
	struct ebpf_field f[EBPF_MAX_FIELDS];
	struct builder b;
	u32 i, p, many;

	start(&b);
	i = integer(&b, "int", 4);
	p = type(&b, "", BTF_KIND_PTR, 0, type(&b, "kptr", 18, 0, opaque(&b, "task", 8)));
	cr_assert_eq(fields(&b, array(&b, p, i, 3), 24, f), 3);
	cr_assert(f[2].kind == EBPF_FIELD_KPTR && f[2].off == 16 && f[2].size == 8);
	many = array(&b, p, i, 0x7fffffff);
	cr_assert_eq(fields(&b, many, 24, f), -E2BIG);
}

/* A value that contains itself is looked at only so deep. */
Test(verify_btf, endless)
{
	struct ebpf_field f[EBPF_MAX_FIELDS];
	struct builder b;
	u32 s;

	start(&b);
	s = type(&b, "s", BTF_KIND_STRUCT, 2, 8);
	member(&b, "a", 1, 0);
	member(&b, "b", 1, 0);
	cr_assert_eq(fields(&b, s, 8, f), -E2BIG);

	start(&b);
	type(&b, "t", BTF_KIND_TYPEDEF, 0, 1);
	cr_assert_eq(fields(&b, 1, 8, f), 0);
}

/* --- bytes that are none --------------------------------------------------------------------- */

static u64 seed = 42;

static u32 roll(u32 n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(seed >> 33) % n;
}

/* Read all there is, whatever it says. */
static void read_all(const struct ebpf_vbtf *in)
{
	struct ebpf_field f[EBPF_MAX_FIELDS];
	struct ebpf_sig sig;
	struct ebpf_btf btf;

	if (ebpf_btf_open(&btf, in))
		return;
	for (u32 id = 0; id <= btf.ntypes + 1; id++) {
		ebpf_btf_size(&btf, id);
		ebpf_btf_fields(&btf, id, 64, f);
		ebpf_btf_sig(&btf, id, BPF_PROG_TYPE_KPROBE, &sig);
	}
	ebpf_btf_close(&btf);
}

Test(verify_btf, damaged)
{
	struct builder b;
	struct ebpf_vbtf in;
	u32 i, s;

	start(&b);
	i = integer(&b, "int", 4);
	s = type(&b, "s", BTF_KIND_STRUCT, 2, 24);
	member(&b, "lock", opaque(&b, "bpf_spin_lock", 4), 0);
	/* the structure's second member is the type's own words now: damage of its own */
	member(&b, "a", array(&b, i, i, 5), 4);
	function(&b, "f", i, type(&b, "", BTF_KIND_PTR, 0, s));
	for (u32 round = 0; round < 20000; round++) {
		in = finish(&b);
		for (u32 k = roll(4); k < 4; k++)
			b.blob[roll(in.size)] = (u8)roll(256);
		if (roll(4) == 0)
			in.size = roll(in.size);
		read_all(&in);
	}
}
