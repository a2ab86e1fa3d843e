/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C++ and Rust: a program that prints where its compiler has put what is compiled, run, and
 * converted, and both are compared.
 */
#include "btf/btf.h"
#include "tests/unit/btf/convert.h"

TestSuite(dwarf_cxx, .init = setup, .fini = teardown);

static bool have_cxx(void)
{
	return *TEST_CXX && !shell("%s --version", TEST_CXX);
}

static struct btf *convert_cxx(const char *options)
{
	char path[128];

	cr_assert_eq(shell("%s -std=gnu++17 -g %s -Wno-invalid-offsetof -o shapes "
			   "'%s/tests/unit/btf/shapes.cc' && ./shapes >layout",
			   TEST_CXX, options, source_dir()),
		     0, "%s", options);
	snprintf(path, sizeof(path), "%s/shapes", dir);
	return convert(path);
}

static void check_line(const struct btf *btf, const char *how, char *line)
{
	char *type = strtok(line, "\t\n"), *second = strtok(NULL, "\t\n"),
	     *third = strtok(NULL, "\t\n");
	int id;

	cr_assert_not_null(second);
	id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	cr_assert(id > 0, "%s: no %s", how, type);
	if (third)
		cr_expect_eq(member(btf, type, BTF_KIND_STRUCT, second).bit, atoi(third) * 8,
			     "%s: %s.%s", how, type, second);
	else
		cr_expect_eq(btf__type_by_id(btf, id)->size, atoi(second), "%s: %s", how, type);
}

static void check_layout(const struct btf *btf, const char *how)
{
	char path[128], line[512];
	u32 lines = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/layout", dir);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	for (; fgets(line, sizeof(line), f); lines++)
		check_line(btf, how, line);
	fclose(f);
	cr_expect_eq(lines, 26, "%u", lines);
}

static void check_names(const struct btf *btf, const char *how)
{
	struct found f;

	cr_expect(btf__find_by_name_kind(btf, "shapes::Box<int, 3>::Colour", BTF_KIND_ENUM) > 0);
	cr_expect(btf__find_by_name_kind(btf, "shapes::Old", BTF_KIND_ENUM) > 0, "%s", how);
	cr_expect(btf__find_by_name_kind(btf, "std::shared_ptr<shapes::Plain>", BTF_KIND_STRUCT) >
		  0);
	cr_expect_eq(member(btf, "shapes::Virtual", BTF_KIND_STRUCT, "_vptr").bit, 0);
	f = member(btf, "shapes::Derived", BTF_KIND_STRUCT, "bits");
	cr_expect_eq(f.nbits, 5);
	cr_expect(btf_is_ptr(btf__type_by_id(
		btf, member(btf, "shapes::Box<int, 3>", BTF_KIND_STRUCT, "reference").type)));
	cr_expect(btf_is_ptr(skip_mods(
		btf, member(btf, "shapes::v2::Versioned", BTF_KIND_STRUCT, "nothing").type)));
	/* what is in no object of the class */
	cr_expect_not(find_in(btf, btf__type_by_id(btf, btf__find_by_name(btf, "shapes::Plain")),
			      "nobody", 0, &f));
	cr_expect_not(find_in(btf, btf__type_by_id(btf, btf__find_by_name(btf, "shapes::Derived")),
			      "Empty", 0, &f));
	cr_expect(btf__find_by_name_kind(btf, "_ZN6shapes8functionEONS_7DerivedERKNS_3BoxIiLi3EEE",
					 BTF_KIND_FUNC) > 0,
		  "functions are called what their symbols are");
	cr_expect(btf__find_by_name_kind(btf, "_ZN6shapes5Plain6nobodyE", BTF_KIND_VAR) > 0);
}

static void check_made_with(const char *options)
{
	struct btf *btf = convert_cxx(options);

	check_layout(btf, options);
	check_names(btf, options);
	btf__free(btf);
}

Test(dwarf_cxx, classes)
{
	if (!have_cxx())
		cr_skip_test("no C++ compiler");
	check_made_with("-gdwarf-5");
	check_made_with("-gdwarf-4");
}

Test(dwarf_cxx, type_units)
{
	if (!have_cxx())
		cr_skip_test("no C++ compiler");
	check_made_with("-gdwarf-5 -fdebug-types-section");
	check_made_with("-gdwarf-4 -fdebug-types-section");
}

Test(dwarf_cxx, split)
{
	if (!have_cxx())
		cr_skip_test("no C++ compiler");
	check_made_with("-gdwarf-5 -gsplit-dwarf");
}

/* A type that many units define is there once, one that each has its own of as often. */
/* What templates.cc has, made with @options; NULL: no such compiler. */
static struct btf *templates(const char *options)
{
	char path[128];

	if (shell("clang++ -g %s -std=c++11 -shared -fPIC -o templates.so "
		  "'%s/tests/unit/btf/templates.cc'",
		  options, source_dir()))
		return NULL;
	snprintf(path, sizeof(path), "%s/templates.so", dir);
	return convert(path);
}

/* clang leaves the arguments out of the names; they are the same in the end. */
Test(dwarf_cxx, templates_without_their_arguments)
{
	struct btf *full = templates(""), *bare = templates("-gsimple-template-names");
	u32 n = 0;

	if (!full || !bare)
		cr_skip_test("no clang that has -gsimple-template-names");
	for (u32 id = 1; id < btf__type_cnt(full); id++) {
		const struct btf_type *t = btf__type_by_id(full, id);
		const char *name = btf__name_by_offset(full, t->name_off);

		if (!btf_is_struct(t) && !btf_is_fwd(t))
			continue;
		n += strchr(name, '<') != NULL;
		cr_expect(btf__find_by_name_kind(bare, name, btf_kind(t)) > 0, "%s", name);
	}
	cr_expect_geq(n, 15);
	btf__free(full);
	btf__free(bare);
}

Test(dwarf_cxx, one_definition)
{
	static const char two[] =
		"namespace n { struct Same { int a; Same *next; }; namespace { struct "
		"Own { char c[N]; }; } } n::Same F(n::Same s) { n::Own o; return s; }";
	struct btf *btf;
	u32 same = 0, own = 0;
	char path[128];

	if (!have_cxx())
		cr_skip_test("no C++ compiler");
	cr_assert_eq(shell("echo '%s' >two.cc; for n in 1 2 3; do %s -g -fPIC -DN=$n -DF=f$n -c -o "
			   "$n.o two.cc || exit 1; done; %s -shared -o two.so 1.o 2.o 3.o",
			   two, TEST_CXX, TEST_CXX),
		     0);
	snprintf(path, sizeof(path), "%s/two.so", dir);
	btf = convert(path);
	for (u32 id = 1; id < btf__type_cnt(btf); id++) {
		const char *name = btf__name_by_offset(btf, btf__type_by_id(btf, id)->name_off);

		same += !strcmp(name, "n::Same");
		own += !strcmp(name, "n::(anonymous namespace)::Own");
	}
	cr_expect_eq(same, 1);
	cr_expect_eq(own, 3);
	btf__free(btf);
}

/* As a program for a target in C++ has to name them. */
Test(dwarf_cxx, names_for_c)
{
	struct btf *btf = btf__new_empty();
	static const char *const names[][2] = {
		{"ns::Box<int, 3>", "ns__Box_int_3_"},
		{"plain", "plain"},
		{"a::_b", "a__b"},
		{"(anonymous namespace)::X", "_anonymous_namespace__X"},
		{"register", "register_"},
		{"core::option::Option<u8>", "core__option__Option_u8_"},
		{"__kept___flavour", "__kept___flavour"}};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		btf__add_struct(btf, names[i][0], 4);
	btf__add_int(btf, "long unsigned int", 8, 0);
	cr_assert_eq(btf_names_for_c(btf), 0);
	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		cr_expect_str_eq(btf__name_by_offset(btf, btf__type_by_id(btf, i + 1)->name_off),
				 names[i][1]);
	cr_expect(btf__find_by_name(btf, "long unsigned int") > 0);
	btf__free(btf);
}

/* The same of what was read and not yet changed. */
Test(dwarf_cxx, names_for_c_of_a_file)
{
	struct btf *made = btf__new_empty(), *btf;
	const void *data;
	u32 len;

	btf__add_struct(made, "ns::Box<int>", 4);
	btf__add_struct(made, "ns::Other", 4);
	data = btf__raw_data(made, &len);
	btf = btf__new(data, len);
	cr_assert_not_null(btf);
	cr_assert_eq(btf_names_for_c(btf), 0);
	cr_expect_eq(btf__find_by_name(btf, "ns__Box_int_"), 1);
	cr_expect_eq(btf__find_by_name(btf, "ns__Other"), 2);
	btf__free(btf);
	btf__free(made);
}

static u32 size_of(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);

	cr_assert(id > 0, "no %s", name);
	return btf__type_by_id(btf, id)->size;
}

Test(dwarf_cxx, rust)
{
	struct btf *btf;
	char path[128];

	if (shell("rustc --version"))
		cr_skip_test("no rustc");
	cr_assert_eq(shell("rustc -g --crate-type cdylib -o rust.so '%s/tests/unit/btf/shapes.rs'",
			   source_dir()),
		     0);
	snprintf(path, sizeof(path), "%s/rust.so", dir);
	btf = convert(path);
	cr_expect_eq(size_of(btf, "shapes::inner::Deep"), 8);
	cr_expect_eq(member(btf, "shapes::inner::Deep", BTF_KIND_STRUCT, "flag").bit, 32);
	cr_expect_eq(size_of(btf, "shapes::Shape"), 16);
	/* the variants, and what says which it is, in place of each other */
	cr_expect_eq(member(btf, "shapes::Shape", BTF_KIND_STRUCT, "Square").bit, 0);
	cr_expect_eq(member(btf, "shapes::Shape", BTF_KIND_STRUCT, "Circle").bit, 0);
	cr_expect_eq(member(btf, "shapes::Shape", BTF_KIND_STRUCT, "__discr").bit, 0);
	cr_expect_eq(member(btf, "shapes::Shape::Square", BTF_KIND_STRUCT, "side").bit, 64);
	member(btf, "shapes::Point<f64>", BTF_KIND_STRUCT, "maybe");
	cr_expect(btf__find_by_name_kind(btf, "shapes_look", BTF_KIND_FUNC) > 0);
	btf__free(btf);
}
