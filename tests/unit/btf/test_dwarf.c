/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BTF made from DWARF, against what the compiler says of the same types: shapes.h is compiled into
 * this test, and shapes.c by it with debug information of each kind.
 */
#include <bpf/btf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "btf/dwarf.h"
#include "btf/dwarf_conv.h"
#include "tests/unit/btf/convert.h"
#include "tests/unit/btf/shapes.h"

TestSuite(dwarf, .init = setup, .fini = teardown);

static void check_type(const struct btf *btf, const char *how, const char *name, u32 kind,
		       size_t size)
{
	int id = btf__find_by_name_kind(btf, name, kind);

	cr_assert(id > 0, "%s: no %s", how, name);
	cr_expect_eq(btf__type_by_id(btf, id)->size, size, "%s: %s has %u bytes", how, name,
		     btf__type_by_id(btf, id)->size);
}

static void check_member(const struct btf *btf, const char *how, const char *type, u32 kind,
			 const char *name, size_t offset, size_t size)
{
	struct found f = member(btf, type, kind, name);

	cr_expect_eq(f.bit, offset * 8, "%s: %s.%s at bit %u", how, type, name, f.bit);
	cr_expect_eq(f.nbits, 0);
	cr_expect_eq(btf__resolve_size(btf, f.type), (s64)size, "%s: %s.%s has %lld bytes", how,
		     type, name, (long long)btf__resolve_size(btf, f.type));
}

#define STRUCT(t) check_type(btf, how, #t, BTF_KIND_STRUCT, sizeof(struct t))
#define MEMBER(t, m)                                                                               \
	check_member(btf, how, #t, BTF_KIND_STRUCT, #m, offsetof(struct t, m),                     \
		     sizeof(((struct t *)NULL)->m))

static void check_numbers(const struct btf *btf, const char *how)
{
	STRUCT(numbers);
	MEMBER(numbers, c);
	MEMBER(numbers, sc);
	MEMBER(numbers, uc);
	MEMBER(numbers, s);
	MEMBER(numbers, b);
	MEMBER(numbers, i);
	MEMBER(numbers, l);
	MEMBER(numbers, ll);
	MEMBER(numbers, f);
	MEMBER(numbers, d);
	MEMBER(numbers, ld);
	MEMBER(numbers, wide);
	MEMBER(numbers, cd);
	MEMBER(numbers, u64);
}

static void check_nested(const struct btf *btf, const char *how)
{
	STRUCT(anonymous);
	MEMBER(anonymous, before);
	MEMBER(anonymous, one);
	MEMBER(anonymous, two);
	MEMBER(anonymous, three);
	MEMBER(anonymous, named);
	MEMBER(anonymous, choice);
	STRUCT(aligned);
	MEMBER(aligned, c);
	MEMBER(aligned, i);
	check_type(btf, how, "either", BTF_KIND_UNION, sizeof(union either));
	check_member(btf, how, "either", BTF_KIND_UNION, "real", 0, 4);
	check_member(btf, how, "either", BTF_KIND_UNION, "parts", 0, 2);
	STRUCT(everything);
	MEMBER(everything, packed_bits);
	MEMBER(everything, pointers);
	MEMBER(everything, wide_negative);
	MEMBER(everything, packed);
	MEMBER(everything, top);
	MEMBER(everything, cv);
}

static void check_arrays(const struct btf *btf, const char *how)
{
	struct found f;

	STRUCT(arrays);
	MEMBER(arrays, one);
	MEMBER(arrays, two);
	MEMBER(arrays, three);
	MEMBER(arrays, pointers);
	MEMBER(arrays, nested);
	MEMBER(arrays, none);
	f = member(btf, "arrays", BTF_KIND_STRUCT, "flexible");
	cr_expect_eq(f.bit, offsetof(struct arrays, flexible) * 8);
	cr_expect_eq(btf_array(btf__type_by_id(btf, f.type))->nelems, 0);
	/* from the outermost dimension in */
	f = member(btf, "arrays", BTF_KIND_STRUCT, "three");
	for (int i = 0; i < 3; i++) {
		static const u32 nelems[] = {4, 3, 2};
		const struct btf_type *t = btf__type_by_id(btf, f.type);

		cr_assert(btf_is_array(t), "%s", how);
		cr_expect_eq(btf_array(t)->nelems, nelems[i]);
		f.type = btf_array(t)->type;
	}
}

static void check_pointers(const struct btf *btf, const char *how)
{
	STRUCT(pointers);
	MEMBER(pointers, next);
	MEMBER(pointers, end);
	MEMBER(pointers, text);
	MEMBER(pointers, vector);
	MEMBER(pointers, call);
	MEMBER(pointers, plain);
	MEMBER(pointers, table);
	MEMBER(pointers, row);
	MEMBER(pointers, atomic);
	MEMBER(pointers, hidden);
	MEMBER(pointers, cv);
	cr_expect(btf__find_by_name_kind(btf, "hidden", BTF_KIND_FWD) > 0, "%s", how);
}

/* Which bits the compiler sets when it writes the field. */
#define BIT_FIELD(t, m)                                                                            \
	do {                                                                                       \
		struct t _t;                                                                       \
		memset(&_t, 0, sizeof(_t));                                                        \
		_t.m = (__typeof__(_t.m + 0))~0ull;                                                \
		check_bits(btf, how, #t, #m, (const u8 *)&_t, sizeof(_t));                         \
	} while (0)

static void check_bits(const struct btf *btf, const char *how, const char *type, const char *name,
		       const u8 *bytes, size_t len)
{
	struct found f = member(btf, type, BTF_KIND_STRUCT, name);
	u32 first = ~0u, n = 0;

	for (u32 i = 0; i < len * 8; i++) {
		if (!(bytes[i / 8] & 1 << i % 8))
			continue;
		first = MIN(first, i);
		n++;
	}
	cr_expect_eq(f.bit, first, "%s: %s.%s at bit %u, not %u", how, type, name, f.bit, first);
	cr_expect_eq(f.nbits, n, "%s: %s.%s has %u bits, not %u", how, type, name, f.nbits, n);
}

static void check_bitfields(const struct btf *btf, const char *how)
{
	STRUCT(bits);
	BIT_FIELD(bits, first);
	BIT_FIELD(bits, second);
	BIT_FIELD(bits, third);
	BIT_FIELD(bits, fourth);
	BIT_FIELD(bits, fifth);
	BIT_FIELD(bits, flag);
	BIT_FIELD(bits, in_enum);
	MEMBER(bits, after);
	STRUCT(packed_bits);
	BIT_FIELD(packed_bits, a);
	BIT_FIELD(packed_bits, b);
	BIT_FIELD(packed_bits, c);
	MEMBER(packed_bits, tail);
}

static const struct btf_type *find(const struct btf *btf, const char *name, u32 kind)
{
	int id = btf__find_by_name_kind(btf, name, kind);

	cr_assert(id > 0, "no %s", name);
	return btf__type_by_id(btf, id);
}

static void check_enums(const struct btf *btf, const char *how)
{
	const struct btf_type *t = find(btf, "small", BTF_KIND_ENUM);

	cr_assert_eq(btf_vlen(t), 3);
	cr_expect_eq(btf_enum(t)[2].val, SMALL_BIG, "%s", how);
	cr_expect_str_eq(btf__name_by_offset(btf, btf_enum(t)[2].name_off), "SMALL_BIG");
	t = find(btf, "negative", BTF_KIND_ENUM);
	cr_expect_eq(btf_enum(t)[0].val, -1);
	cr_expect(btf_kflag(t));
	t = find(btf, "packed_enum", BTF_KIND_ENUM);
	cr_expect_eq(t->size, 1);
	t = find(btf, "unsigned_top", BTF_KIND_ENUM);
	cr_expect_eq((u32)btf_enum(t)[0].val, UNSIGNED_TOP);
	cr_expect_not(btf_kflag(t));
	t = find(btf, "wide", BTF_KIND_ENUM64);
	cr_expect_eq(t->size, sizeof(enum wide));
	cr_expect_eq(btf_enum64_value(btf_enum64(t) + 1), WIDE_HIGH);
	t = find(btf, "wide_negative", BTF_KIND_ENUM64);
	cr_expect_eq((s64)btf_enum64_value(btf_enum64(t)), WIDE_NEGATIVE);
	cr_expect(btf_kflag(t), "%s: it has a sign", how);
}

static void check_kinds(const struct btf *btf, const char *how)
{
	const struct btf_type *t =
		skip_mods(btf, member(btf, "numbers", BTF_KIND_STRUCT, "b").type);

	cr_expect_eq(btf_int_encoding(t), BTF_INT_BOOL, "%s", how);
	cr_expect(btf_is_float(find(btf, "double", BTF_KIND_FLOAT)));
	t = skip_mods(btf, member(btf, "numbers", BTF_KIND_STRUCT, "wide").type);
	cr_expect_eq(btf_int_bits(t), 128);
	cr_expect_eq(btf_int_encoding(t), BTF_INT_SIGNED);
	t = btf__type_by_id(btf, member(btf, "everything", BTF_KIND_STRUCT, "cv").type);
	cr_assert(btf_is_typedef(t));
	cr_expect_str_eq(btf__name_by_offset(btf, t->name_off), "cv_word_t");
	cr_expect(btf_is_mod(btf__type_by_id(btf, t->type)));
}

static void check_param(const struct btf *btf, const struct btf_type *proto, int i,
			const char *name)
{
	cr_expect_str_eq(btf__name_by_offset(btf, btf_params(proto)[i].name_off), name);
}

static void check_functions(const struct btf *btf, const char *how)
{
	const struct btf_type *f = find(btf, "shapes_find", BTF_KIND_FUNC), *p;

	cr_expect_eq(btf_vlen(f), BTF_FUNC_GLOBAL);
	p = btf__type_by_id(btf, f->type);
	cr_assert_eq(btf_vlen(p), 5, "%s", how);
	check_param(btf, p, 0, "all");
	check_param(btf, p, 1, "name");
	check_param(btf, p, 2, "weight");
	check_param(btf, p, 3, "nr");
	cr_expect_eq(btf_params(p)[4].type, 0, "the rest");
	cr_expect(btf_is_float(skip_mods(btf, btf_params(p)[2].type)));
	cr_expect(btf_is_ptr(btf__type_by_id(btf, p->type)));
	f = find(btf, "forget", BTF_KIND_FUNC);
	cr_expect_eq(btf_vlen(f), BTF_FUNC_STATIC);
	p = btf__type_by_id(btf, f->type);
	cr_expect_eq(p->type, 0, "it returns nothing");
	cr_expect_eq(btf_vlen(p), 1);
	check_type(btf, how, "inner", BTF_KIND_STRUCT, 16);
}

static void check_variables(const struct btf *btf, const char *how)
{
	const struct btf_type *t = find(btf, "everything", BTF_KIND_VAR);

	cr_expect_eq(btf_var(t)->linkage, BTF_VAR_GLOBAL_ALLOCATED);
	cr_expect_eq(btf__resolve_size(btf, t->type), sizeof(struct everything));
	t = find(btf, "counter", BTF_KIND_VAR);
	cr_expect_eq(btf_var(t)->linkage, BTF_VAR_STATIC, "%s", how);
}

static void check_all(const struct btf *btf, const char *how)
{
	check_numbers(btf, how);
	check_nested(btf, how);
	check_arrays(btf, how);
	check_pointers(btf, how);
	check_bitfields(btf, how);
	check_enums(btf, how);
	check_kinds(btf, how);
	check_functions(btf, how);
	check_variables(btf, how);
}

/* One file for each way of writing it down that the compiler has. */
static void check_made_with(const char *options)
{
	struct btf *btf = convert(compile("shapes.so", "shapes.c", options));

	check_all(btf, options);
	btf__free(btf);
}

Test(dwarf, version_5)
{
	check_made_with("-gdwarf-5");
	check_made_with("-gdwarf-5 -O2");
}

Test(dwarf, version_4)
{
	check_made_with("-gdwarf-4");
}

/* bitfields counted from the other end */
Test(dwarf, version_2_and_3)
{
	check_made_with("-gdwarf-3 -gstrict-dwarf");
	check_made_with("-gdwarf-2 -gstrict-dwarf");
}

Test(dwarf, type_units)
{
	check_made_with("-gdwarf-5 -fdebug-types-section");
	check_made_with("-gdwarf-4 -fdebug-types-section");
}

Test(dwarf, split)
{
	check_made_with("-gdwarf-5 -gsplit-dwarf");
	check_made_with("-gdwarf-4 -gsplit-dwarf");
}

/* The .dwo file has sections of their own for each type unit. */
Test(dwarf, split_type_units)
{
	check_made_with("-gdwarf-5 -gsplit-dwarf -fdebug-types-section");
	check_made_with("-gdwarf-4 -gsplit-dwarf -fdebug-types-section");
}

/* packed.so of two units, whose .dwo files are gone and in a package; false: no such @tool. */
static bool pack(const char *tool, const char *options)
{
	if (shell("command -v %s", tool))
		return false;
	cr_assert_eq(shell("rm -f *.dwo *.o packed.*"), 0);
	cr_assert_eq(shell("printf 'struct elsewhere { int q; } elsewhere; int other(struct "
			   "elsewhere *e) { return e->q; }' >other.c"),
		     0);
	cr_assert_eq(shell("%s -g %s -gsplit-dwarf -fPIC -c other.c '%s/tests/unit/btf/shapes.c'",
			   TEST_CC, options, source_dir()),
		     0);
	cr_assert_eq(shell("%s -shared -o packed.so other.o shapes.o", TEST_CC), 0);
	cr_assert_eq(shell("%s -e packed.so -o packed.so.dwp && rm *.dwo", tool), 0);
	return true;
}

static void check_packed(const char *how)
{
	char path[128];
	struct btf *btf;

	snprintf(path, sizeof(path), "%s/packed.so", dir);
	btf = convert(path);
	check_all(btf, how);
	check_type(btf, how, "elsewhere", BTF_KIND_STRUCT, 4);
	find(btf, "other", BTF_KIND_FUNC);
	btf__free(btf);
}

Test(dwarf, package)
{
	bool any = false;

	for (u32 i = 0; i < 4; i++) {
		/* gold's knows no DWARF 5 */
		const char *options = i == 1   ? "-gdwarf-5"
				      : i == 2 ? "-gdwarf-5 -fdebug-types-section"
				      : i == 3 ? "-gdwarf-4 -fdebug-types-section"
					       : "-gdwarf-4";
		const char *tool = i && i < 3 ? "llvm-dwp" : "dwp";

		if (!pack(tool, options))
			continue;
		check_packed(options);
		any = true;
	}
	if (!any)
		cr_skip_test("no dwp");
}

/* Two files see both types; a package has each once, of whichever file was first. */
static const char *const sharing[] = {
	"struct inner { long first; char name[24]; };"
	"struct shared { int before; struct inner in; struct shared *next; };"
	"enum kind { KIND_ONE = 1, KIND_TWO };",
	"#include \"both.h\"\nstruct own_one { struct shared s; enum kind k; } one;"
	"int first(struct own_one *o) { return o->s.before + (int)o->k; }",
	"struct only_two { int filler; } filler; int filling(void) { return filler.filler; }\n"
	"#include \"both.h\"\n"
	"struct own_two { char c; struct shared s[2]; struct inner *p; enum kind k; } two;"
	"long second(struct own_two *t, struct inner i) { return t->p->first + i.first + t->k; }",
};

static void write_sharing(void)
{
	static const char *const files[] = {"both.h", "one.c", "two.c"};

	for (u32 i = 0; i < ARRAY_SIZE(files); i++) {
		char path[128];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		f = fopen(path, "w");
		cr_assert_not_null(f);
		fprintf(f, "%s\n", sharing[i]);
		fclose(f);
	}
}

static struct btf *convert_sharing(const char *tool, const char *options)
{
	char path[128];

	cr_assert_eq(shell("rm -f *.dwo *.o sharing.* && %s -g %s -gsplit-dwarf "
			   "-fdebug-types-section -fPIC -c one.c two.c && "
			   "%s -shared -o sharing.so one.o two.o && "
			   "timeout 60 %s -e sharing.so -o sharing.so.dwp && rm *.dwo",
			   TEST_CC, options, TEST_CC, tool),
		     0, "%s %s", tool, options);
	snprintf(path, sizeof(path), "%s/sharing.so", dir);
	return convert(path);
}

static void check_sharing(const struct btf *btf, const char *how)
{
	static const char *const structs[] = {"inner", "shared", "own_one", "own_two", "only_two"};
	static const u32 sizes[] = {32, 48, 56, 120, 4};
	const struct btf_type *t;
	u32 n = 0;

	for (u32 i = 0; i < ARRAY_SIZE(structs); i++)
		check_type(btf, how, structs[i], BTF_KIND_STRUCT, sizes[i]);
	check_member(btf, how, "own_one", BTF_KIND_STRUCT, "s", 0, 48);
	check_member(btf, how, "own_one", BTF_KIND_STRUCT, "k", 48, 4);
	check_member(btf, how, "own_two", BTF_KIND_STRUCT, "s", 8, 96);
	check_member(btf, how, "own_two", BTF_KIND_STRUCT, "k", 112, 4);
	check_member(btf, how, "shared", BTF_KIND_STRUCT, "in", 8, 32);
	check_member(btf, how, "inner", BTF_KIND_STRUCT, "name", 8, 24);
	t = skip_mods(btf, member(btf, "own_two", BTF_KIND_STRUCT, "s").type);
	t = skip_mods(btf, btf_array(t)->type);
	cr_expect_str_eq(btf__name_by_offset(btf, t->name_off), "shared", "%s", how);
	t = skip_mods(btf, skip_mods(btf, member(btf, "own_two", BTF_KIND_STRUCT, "p").type)->type);
	cr_expect_str_eq(btf__name_by_offset(btf, t->name_off), "inner", "%s", how);
	t = skip_mods(btf, member(btf, "own_two", BTF_KIND_STRUCT, "k").type);
	cr_expect_eq(btf_vlen(t), 2, "%s", how);
	cr_expect_str_eq(btf__name_by_offset(btf, btf_enum(t)[1].name_off), "KIND_TWO", "%s", how);
	/* and nothing stands in for them */
	for (u32 id = 1; id < btf__type_cnt(btf); id++) {
		t = btf__type_by_id(btf, id);
		n += btf_is_composite(t) && !btf_vlen(t);
	}
	cr_expect_eq(n, 0, "%s: %u empty structures", how, n);
	find(btf, "first", BTF_KIND_FUNC);
	find(btf, "second", BTF_KIND_FUNC);
}

Test(dwarf, package_has_shared_types_once)
{
	/* binutils' knows no DWARF 5 */
	static const char *const ways[][2] = {
		{"dwp", "-gdwarf-4"}, {"llvm-dwp", "-gdwarf-4"}, {"llvm-dwp", "-gdwarf-5"}};
	u32 n = 0;

	write_sharing();
	for (u32 i = 0; i < ARRAY_SIZE(ways); i++) {
		struct btf *btf;

		if (shell("command -v %s", ways[i][0]))
			continue;
		btf = convert_sharing(ways[i][0], ways[i][1]);
		check_sharing(btf, ways[i][1]);
		btf__free(btf);
		n++;
	}
	if (!n)
		cr_skip_test("neither dwp nor llvm-dwp");
}

Test(dwarf, damaged_package)
{
	static const u8 bytes[] = {0xff, 0xff, 0xff, 0x7f};
	char path[128], why[512] = "";

	if (!pack("dwp", "-gdwarf-4"))
		cr_skip_test("no dwp");
	snprintf(path, sizeof(path), "%s/packed.so", dir);
	for (u32 i = 0; i < 6; i++) {
		struct btf *btf = NULL;
		int err;

		/* the index: its words one after the other */
		cr_assert_eq(shell("objcopy -O binary --only-section=.debug_cu_index "
				   "--set-section-flags .debug_cu_index=alloc packed.so.dwp index"),
			     0);
		cr_assert_eq(
			shell("printf '\\%o\\%o\\%o\\%o' | dd of=index bs=4 seek=%u conv=notrunc",
			      bytes[0], bytes[1], bytes[2], bytes[3], i ? i * 2 + 1 : 0),
			0);
		cr_assert_eq(shell("objcopy --update-section .debug_cu_index=index packed.so.dwp "
				   "&& cp packed.so.dwp damaged.dwp"),
			     0);
		err = btf_from_dwarf(path, &no_opts, &btf, why, sizeof(why));
		cr_expect(!err || strstr(why, "packed.so: its debug information is damaged"),
			  "%d %s", err, why);
		btf__free(btf);
	}
}

Test(dwarf, compressed)
{
	check_made_with("-gz");
}

Test(dwarf, link_time_optimisation)
{
	struct btf *btf = convert(compile("lto.so", "shapes.c", "-flto -O2 -ffat-lto-objects"));

	check_bitfields(btf, "-flto");
	check_arrays(btf, "-flto");
	btf__free(btf);
}

/* Not linked: sections are yet to be relocated. */
Test(dwarf, object_file)
{
	struct btf *btf;
	char path[128];

	cr_assert_eq(
		shell("%s -g -c -o shapes.o '%s/tests/unit/btf/shapes.c'", TEST_CC, source_dir()),
		0);
	snprintf(path, sizeof(path), "%s/shapes.o", dir);
	btf = convert(path);
	check_all(btf, "an object file");
	btf__free(btf);
}

/* Two units with the same types: each is there once. */
Test(dwarf, units_are_deduplicated)
{
	struct btf *btf;
	u32 structs = 0;

	cr_assert_eq(shell("echo '#include \"%s/tests/unit/btf/shapes.h\"\n"
			   "struct everything second;' >second.c && %s -g -shared -fPIC -o two.so "
			   "second.c '%s/tests/unit/btf/shapes.c'",
			   source_dir(), TEST_CC, source_dir()),
		     0);
	btf = convert(strcat(strcpy((char[128]){0}, dir), "/two.so"));
	for (u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);

		structs += btf_is_struct(t) &&
			   !strcmp(btf__name_by_offset(btf, t->name_off), "pointers");
	}
	cr_expect_eq(structs, 1);
	cr_expect(btf__find_by_name_kind(btf, "second", BTF_KIND_VAR) > 0);
	btf__free(btf);
}

Test(dwarf, debug_file_by_link)
{
	const char *path = compile("linked.so", "shapes.c", "-Wl,--build-id=none");
	struct btf *btf;

	cr_assert_eq(
		shell("mkdir .debug && objcopy --only-keep-debug linked.so .debug/linked.dbg && "
		      "strip -g linked.so && "
		      "objcopy --add-gnu-debuglink=.debug/linked.dbg linked.so"),
		0);
	btf = convert(path);
	check_all(btf, "debuglink");
	btf__free(btf);
}

Test(dwarf, debug_file_by_build_id_in_a_folder_of_the_users)
{
	static const char id[] = "0123456789abcdef0123456789abcdef01234567";
	const char *path = compile("found.so", "shapes.c",
				   "-Wl,--build-id=0x0123456789abcdef0123456789abcdef01234567");
	char where[128], why[512];
	struct dwarf_opts opts = {.debuginfo_dir = where};
	struct btf *btf = NULL;

	snprintf(where, sizeof(where), "%s/symbols", dir);
	cr_assert_eq(shell("mkdir -p symbols/.build-id/%.2s && objcopy --only-keep-debug found.so "
			   "symbols/.build-id/%.2s/%s.debug && strip -g found.so",
			   id, id, id + 2),
		     0);
	cr_expect_eq(btf_from_dwarf(path, &no_opts, &btf, why, sizeof(why)), -ENOENT);
	cr_assert_eq(btf_from_dwarf(path, &opts, &btf, why, sizeof(why)), 0, "%s", why);
	check_all(btf, "build-id");
	btf__free(btf);
}

/* What two files have in common is in a third one. */
Test(dwarf, supplementary_file)
{
	char path[128], why[512] = "";
	struct btf *btf;

	if (shell("dwz --version"))
		cr_skip_test("no dwz");
	compile("one.so", "shapes.c", "-gdwarf-4");
	compile("two.so", "shapes.c", "-gdwarf-4 -O2");
	cr_assert_eq(shell("dwz -m \"$PWD/common\" one.so two.so && readelf -S one.so | grep -q "
			   "gnu_debugaltlink"),
		     0);
	snprintf(path, sizeof(path), "%s/one.so", dir);
	btf = convert(path);
	check_all(btf, "dwz");
	btf__free(btf);
	cr_assert_eq(shell("rm common"), 0);
	cr_expect_eq(btf_from_dwarf(path, &no_opts, &btf, why, sizeof(why)), -ENOENT);
	cr_expect_not_null(strstr(why, "/common, which isn't there"), "%s", why);
}

Test(dwarf, none_is_said_so)
{
	struct btf *btf = NULL;
	char why[512] = "";
	const char *path = compile("bare.so", "shapes.c", "-g0 -Wl,--build-id=none");

	cr_expect_eq(btf_from_dwarf(path, &no_opts, &btf, why, sizeof(why)), -ENOENT);
	cr_expect_not_null(strstr(why, "bare.so: there is no debug information for it; install its "
				       "-dbgsym package or compile it with -g"),
			   "%s", why);
	cr_expect_null(btf);
}

Test(dwarf, split_files_that_are_gone_are_said_so)
{
	struct btf *btf = NULL;
	char why[512] = "";
	const char *path = compile("gone.so", "shapes.c", "-gsplit-dwarf");

	cr_assert_eq(shell("rm *.dwo"), 0);
	cr_expect_eq(btf_from_dwarf(path, &no_opts, &btf, why, sizeof(why)), -ENOENT);
	cr_expect_not_null(strstr(why,
				  "gone.so: its debug information is in .dwo files that aren't "
				  "there, nor is a package of them (.dwp) beside it"),
			   "%s", why);
}

/* --- what the deduplication must never see */

Test(dwarf, references_in_a_circle_are_cut)
{
	struct btf *btf = btf__new_empty();

	btf__add_ptr(btf, 2);
	btf__add_const(btf, 3);
	btf__add_typedef(btf, "round", 1);
	btf__add_int(btf, "int", 4, 0);
	btf__add_array(btf, 4, 5, 3); /* of itself */
	btf__add_func_proto(btf, 7);
	btf__add_ptr(btf, 6);
	cr_assert_eq(btf_tidy(btf), 0);
	cr_expect_eq(btf__dedup(btf, NULL), 0);
	for (u32 id = 1; id < btf__type_cnt(btf); id++)
		btf__resolve_size(btf, id);
	btf__free(btf);
}

Test(dwarf, chains_without_end_are_cut)
{
	struct btf *btf = btf__new_empty();
	u32 id, hops = 0;

	for (int i = 0; i < 300000; i++)
		btf__add_ptr(btf, i + 2);
	btf__add_int(btf, "int", 4, 0);
	cr_assert_eq(btf_tidy(btf), 0);
	for (id = 1; id; id = btf__type_by_id(btf, id)->type)
		hops++;
	cr_expect_leq(hops, 300, "%u", hops);
	btf__free(btf);
}

Test(dwarf, what_is_fine_stays_as_it_is)
{
	struct btf *btf = btf__new_empty();
	const struct btf_type *t;

	btf__add_struct(btf, "list", 8);
	btf__add_field(btf, "next", 2, 0, 0);
	btf__add_ptr(btf, 1);
	btf__add_const(btf, 2);
	cr_assert_eq(btf_tidy(btf), 0);
	t = btf__type_by_id(btf, 1);
	cr_expect_eq(btf_members(t)[0].type, 2);
	cr_expect_eq(btf__type_by_id(btf, 2)->type, 1);
	cr_expect_eq(btf__type_by_id(btf, 3)->type, 2);
	btf__free(btf);
}
