/* SPDX-License-Identifier: BSD-2-Clause */
/* The types of one function, cut out of others; and where its words are, by the calling convention.
 */
#include <bpf/btf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "btf/btf.h"
#include "core/load/target.h"

static struct btf *all;
static int t_char, t_short, t_int, t_long, t_wide, t_float, t_double, t_longer, t_quad, t_ptr;

static int structure(const char *name, int size, int n, ...)
{
	int id = btf__add_struct(all, name, (unsigned)size);
	va_list ap;

	va_start(ap, n);
	for (int i = 0; i < n; i++) {
		int type = va_arg(ap, int), off = va_arg(ap, int);

		cr_assert_eq(btf__add_field(all, "m", type, (unsigned)off * 8, 0), 0);
	}
	va_end(ap);
	return id;
}

static int function(const char *name, int ret, int n, const int *args)
{
	int proto = btf__add_func_proto(all, ret);

	for (int i = 0; i < n; i++)
		cr_assert_eq(btf__add_func_param(all, args[i] ? "a" : NULL, args[i]), 0);
	return btf__add_func(all, name, BTF_FUNC_STATIC, proto);
}

static void setup(void)
{
	all = btf__new_empty();
	t_char = btf__add_int(all, "char", 1, BTF_INT_SIGNED);
	t_short = btf__add_int(all, "unsigned short", 2, 0);
	t_int = btf__add_int(all, "int", 4, BTF_INT_SIGNED);
	t_long = btf__add_int(all, "long", 8, BTF_INT_SIGNED);
	t_wide = btf__add_int(all, "__int128", 16, BTF_INT_SIGNED);
	t_float = btf__add_float(all, "float", 4);
	t_double = btf__add_float(all, "double", 8);
	t_longer = btf__add_float(all, "long double", 16);
	t_quad = btf__add_float(all, "_Float128", 16);
	t_ptr = btf__add_ptr(all, 0);
}

static void teardown(void)
{
	btf__free(all);
}

TestSuite(slice, .init = setup, .fini = teardown);

/* "i0s32 x1 m2 a3 | r0": where each word is */
static const char *words(const char *name)
{
	static const char *const where[] = {"?", "i", "x", "X", "m", "a", "r", "y", "Y"};
	static char text[256];
	struct ebpf_target_sig sig;
	struct ebpf_btf b;
	struct btf *slice;
	struct ebpf_vbtf in;
	size_t n = 0;

	cr_assert_eq(btf_slice(all, name, &slice), 0, "%s", name);
	in.data = btf__raw_data(slice, &in.size);
	cr_assert_eq(ebpf_btf_open(&b, &in), 0);
	cr_assert_eq(ebpf_target_sig(&b, 1, &sig), 0);
	for (u32 i = 0; i < sig.nwords; i++) {
		const struct ebpf_image_word *w = &sig.word[i].from;

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s", i ? " " : "",
				      i == sig.nargs ? "| " : "", where[w->where]);
		if (w->where)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%u", w->n);
		if (w->where && w->bits != 64)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%c%u",
					      w->is_signed ? 's' : 'u', w->bits);
	}
	if (!sig.nwords)
		text[0] = 0;
	ebpf_btf_close(&b);
	btf__free(slice);
	return text;
}

#define ARGS(...)                                                                                  \
	sizeof((int[]){__VA_ARGS__}) / sizeof(int), (int[])                                        \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define is(want, ret, ...)                                                                         \
	do {                                                                                       \
		char name_[16];                                                                    \
		snprintf(name_, sizeof(name_), "f%d", __LINE__);                                   \
		function(name_, ret, ARGS(__VA_ARGS__));                                           \
		cr_expect_str_eq(words(name_), want, "%s, not %s", words(name_), want);            \
	} while (0)

Test(slice, numbers_and_floats)
{
	is("i0s8 i1u16 i2s32 i3 | r0s32", t_int, t_char, t_short, t_int, t_long);
	is("x0 i0s32 x1u32 i1 | y0", t_double, t_double, t_int, t_float, t_ptr);
	is("i0 i1 i2 i3 i4 i5 m0 m1s32 | r0", t_ptr, t_long, t_long, t_long, t_long, t_long, t_long,
	   t_long, t_int);
	is("x0 x1 x2 x3 x4 x5 x6 x7 m0 i0s32 | y0u32", t_float, t_double, t_double, t_double,
	   t_double, t_double, t_double, t_double, t_double, t_double, t_int);
	is("i0 i1 i2s32 | r0 r1", t_wide, t_wide, t_int);
	is("x0 X0 x1 | y0 Y0", t_quad, t_quad, t_double);
	/* five are taken: sixteen bytes don't fit any more, four do */
	is("i0 i1 i2 i3 i4 m0 m1 i5s32", 0, t_long, t_long, t_long, t_long, t_long, t_wide, t_int);
	/* aligned to sixteen bytes, behind one word of the stack */
	is("i0 i1 i2 i3 i4 i5 m0 m2 m3 m4", 0, t_long, t_long, t_long, t_long, t_long, t_long,
	   t_long, t_wide, t_long);
}

Test(slice, structures)
{
	int mixed = structure("mixed", 16, 2, t_double, 0, t_int, 8);
	int floats = structure("floats", 12, 3, t_float, 0, t_float, 4, t_float, 8);
	int both = structure("both", 8, 2, t_int, 0, t_float, 4);
	int words2 = structure("words", 16, 2, t_long, 0, t_long, 8);
	int large = structure("large", 24, 3, t_long, 0, t_long, 8, t_long, 16);
	int crooked = structure("crooked", 9, 2, t_char, 0, t_long, 1);
	int inside = structure("inside", 16, 2, both, 0, t_double, 8);
	int array = structure("array", 8, 1, btf__add_array(all, t_int, t_float, 2), 0);
	int opaque = structure("opaque", 16, 0);
	int any = btf__add_union(all, "any", 8);

	btf__add_field(all, "l", t_long, 0, 0);
	btf__add_field(all, "d", t_double, 0, 0);
	is("x0 i0 | y0 r0", mixed, mixed);
	is("x0 x1u32 | y0 y1u32", floats, floats);
	is("i0 x0 | r0", both, both, t_double);
	is("i0 i1 | r0 r1", words2, words2);
	is("a0 i0s32 a3", 0, large, t_int, large);
	is("i0 i1 i2 i3 i4 m0 m1 i5", 0, t_long, t_long, t_long, t_long, t_long, words2, t_long);
	is("a0 i0", 0, crooked, t_long);
	is("i0 x0", 0, inside);
	is("x0", 0, array);
	is("i0", 0, any);
	/* where it is to be written comes first */
	is("i1s32 a0 | r0", large, t_int, large);
	/* of what isn't known nothing is, nor of what follows */
	is("i0 ? ?", 0, t_long, opaque, t_long);
	is("? ? | ?", opaque, t_long, t_long);
	is("a0 i0s32 | ?", t_longer, t_longer, t_int);
}

Test(slice, not_the_rest)
{
	int item = structure("shop::item", 16, 1, t_int, 0), last = btf__add_ptr(all, item);
	const int args[] = {last, t_int, 0}, other[] = {t_long};
	const struct btf_type *t;
	struct btf *slice;
	int id;

	btf__add_enum(all, "sign", 4);
	btf__add_enum_value(all, "MINUS", -1);
	structure("other", 4, 1, t_int, 0);
	function("f", t_int, 3, args);
	function("twice", 0, 1, args);
	function("twice", 0, 1, other);
	cr_expect_eq(btf_slice(all, "g", &slice), -ENOENT);
	cr_expect_eq(btf_slice(all, "twice", &slice), -EEXIST);
	cr_assert_eq(btf_slice(all, "f", &slice), 0);
	t = btf__type_by_id(slice, 1);
	cr_expect(btf_is_func(t));
	cr_expect_str_eq(btf__name_by_offset(slice, t->name_off), "f");
	id = btf__find_by_name_kind(slice, "shop__item", BTF_KIND_STRUCT);
	cr_expect_gt(id, 0, "its name is C's");
	cr_expect_lt(btf__find_by_name_kind(slice, "other", BTF_KIND_STRUCT), 0);
	cr_expect_lt(btf__find_by_name_kind(slice, "sign", BTF_KIND_ENUM), 0);
	cr_expect_eq(btf__type_cnt(slice), 1 + 5, "func, proto, int, pointer, struct");
	btf__free(slice);
}

/* C++ may pass an object's address in its place, which no type says. */
Test(slice, other_languages)
{
	int item = structure("item", 8, 1, t_long, 0);
	const int args[] = {t_int, item, t_int};

	function("_ZN1fE", 0, 3, args);
	cr_expect_str_eq(words("_ZN1fE"), "i0s32 ? ?");
	function("_ZN1gE", item, 1, args);
	cr_expect_str_eq(words("_ZN1gE"), "? | ?");
}

/* Who reads these types in the daemon gets them from a stranger. */
Test(slice, random_damage_never_crashes, .timeout = 60)
{
	int item = structure("item", 64, 3, t_int, 0, t_double, 8, t_ptr, 16);
	int list = structure("list", 80, 2, item, 0, btf__add_array(all, t_int, item, 0), 64);
	const int args[] = {btf__add_ptr(all, list), item, t_int};
	u32 seed = (u32)time(NULL), func, size;
	const void *data;
	u8 *copy;

	printf("# seed %u\n", seed);
	srandom(seed);
	func = (u32)function("f", list, 3, args);
	data = btf__raw_data(all, &size);
	copy = malloc(size);
	for (u32 round = 0; round < 100000; round++) {
		struct ebpf_vbtf in = {copy, size};
		struct ebpf_target_sig sig;
		char why[EBPF_TARGET_WHY];
		struct ebpf_btf b;
		bool vague = false;
		u32 pointee;

		memcpy(copy, data, size);
		for (u32 i = 0; i < 1 + round % 4; i++)
			copy[24 + (u32)random() % (size - 24)] ^= (u8)(1u << random() % 8);
		if (ebpf_btf_open(&b, &in))
			continue;
		if (!ebpf_target_sig(&b, func, &sig))
			cr_assert(sig.nargs <= EBPF_IMAGE_ARGS && sig.nwords <= EBPF_IMAGE_WORDS);
		ebpf_target_field(&b, (u32)random() % (func + 1), (u32)random() % 200,
				  1u << random() % 4, &pointee, &vague, why);
		ebpf_btf_close(&b);
	}
	free(copy);
}
