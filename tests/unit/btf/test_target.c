/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding, joining and refusing BTF, and what CO-RE then makes of it. */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "btf/btf_priv.h"
#include "core/load/verify_proto.h"
#include "core/run/map/map.h"

static char dir[64];

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_btf.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	setenv("XDG_CACHE_HOME", dir, 1);
	unsetenv("DEBUGINFOD_URLS");
	libbpf_set_print(NULL);
}

static void teardown(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_expect_eq(system(cmd), 0);
}

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static int i;

	i = !i;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static void put(const char *path, const void *data, size_t len, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | flags, 0600);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

/* Raw BTF with one struct of ints, appended to @path. */
static void put_struct(const char *path, const char *name, const char *const *fields, int n)
{
	struct btf *btf = btf__new_empty();
	int id = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	const void *data;
	__u32 len;

	btf__add_struct(btf, name, n * 4);
	for (int i = 0; i < n; i++)
		cr_assert_eq(btf__add_field(btf, fields[i], id, i * 32, 0), 0);
	data = btf__raw_data(btf, &len);
	put(path, data, len, O_APPEND);
	btf__free(btf);
}

static int member_offset(const struct btf *btf, const char *type, const char *name)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, id) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(t)[i].name_off), name))
			return btf_member_bit_offset(t, i) / 8;
	return -1;
}

static struct btf_need need(const char *kind, const char *name)
{
	struct btf_need n = {.must = true};

	snprintf(n.kind, sizeof(n.kind), "%s", kind);
	snprintf(n.name, sizeof(n.name), "%s", name);
	return n;
}

static void make_view(const struct btf_module *modules, u32 n, const struct btf_need *needs,
		      u32 nneeds, struct btf_view *view)
{
	struct btf_request r = {
		.modules = modules, .nmodules = n, .needs = needs, .nneeds = nneeds};
	char why[BTF_WHY_MAX] = "";

	cr_assert_eq(btf_view_make(&r, view, why, sizeof(why)), 0, "%s", why);
}

static const char *beside(const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.btf", name);
	return in_dir(file);
}

/* A file with a structure in the BTF beside it. */
static void put_module(struct btf_module *m, const char *name, u32 tier, const char *type,
		       const char *const *fields, int n)
{
	m->path = strdup(in_dir(name));
	m->tier = tier;
	put(m->path, "\177ELF", 4, O_TRUNC);
	put_struct(beside(name), type, fields, n);
}

TestSuite(target, .init = setup, .fini = teardown);

Test(target, builtin_pt_regs_is_the_kernels)
{
	struct btf *btf;

	cr_assert_eq(btf_builtin(&btf), 0);
	cr_expect_eq(member_offset(btf, "pt_regs", "r15"), 0);
	cr_expect_eq(member_offset(btf, "pt_regs", "ax"), 80);
	cr_expect_eq(member_offset(btf, "pt_regs", "si"), 104);
	cr_expect_eq(member_offset(btf, "pt_regs", "di"), 112);
	cr_expect_eq(member_offset(btf, "pt_regs", "ip"), 128);
	cr_expect_eq(member_offset(btf, "pt_regs", "sp"), 152);
	cr_expect_eq(btf__resolve_size(btf, btf__find_by_name(btf, "pt_regs")), 168);
	cr_expect_eq(member_offset(btf, "task_struct", "comm"), 56);
	btf__free(btf);
}

/* The verifier knows kernel functions by the numbers they have here. */
Test(target, builtin_functions_have_fixed_numbers)
{
	const struct btf_type *t;
	struct btf *btf;

	cr_assert_eq(btf_builtin(&btf), 0);
	for (u32 id = 1; id < EKFUNC_PREEMPT_DISABLE; id++) {
		const struct ebpf_proto *p = ebpf_proto_kfunc(id);
		u32 n = 0;

		t = btf__type_by_id(btf, id);
		cr_assert(btf_is_func(t), "%s", p->name);
		cr_assert_str_eq(btf__name_by_offset(btf, t->name_off), p->name);
		t = btf__type_by_id(btf, t->type);
		cr_assert(btf_is_func_proto(t), "%s", p->name);
		while (n < 5 && (p->arg[n] & EARG_KIND) != EARG_NONE)
			n++;
		cr_expect_eq(btf_vlen(t), n, "%s", p->name);
		cr_expect_eq(t->type == 0, p->ret == ERET_VOID, "%s", p->name);
	}
	cr_assert_not(btf_is_func(btf__type_by_id(btf, EKFUNC_PREEMPT_DISABLE)));
	cr_expect_eq(btf__resolve_size(btf, btf__find_by_name(btf, "bpf_dynptr")), 16);
	cr_expect_eq(btf__resolve_size(btf, btf__find_by_name(btf, "bpf_iter_num")), 8);
	cr_expect_eq(btf__resolve_size(btf, btf__find_by_name(btf, "bpf_iter_bits")), 16);
	btf__free(btf);
}

/* A program that asks whether there is a helper is told what the verifier says of it. */
Test(target, builtin_helpers_are_those_served)
{
	const struct btf_type *t;
	u64 served[8] = {0}, named[8] = {0};
	struct btf *btf;
	s32 id;

	cr_assert_eq(btf_builtin(&btf), 0);
	id = btf__find_by_name_kind(btf, "bpf_func_id", BTF_KIND_ENUM);
	cr_assert_gt(id, 0);
	t = btf__type_by_id(btf, (u32)id);
	for (u32 i = 0; i < btf_vlen(t); i++) {
		u32 func = (u32)btf_enum(t)[i].val;
		const char *name = btf__name_by_offset(btf, btf_enum(t)[i].name_off);

		cr_assert_lt(func, 512);
		cr_expect_str_eq(name + 9, ebpf_proto_name(func) + 4);
		named[func / 64] |= 1ull << func % 64;
	}
	for (u32 func = 1; func < 512; func++) {
		if (ebpf_proto_helper(func, BPF_PROG_TYPE_KPROBE) ||
		    ebpf_proto_helper(func, BPF_PROG_TYPE_TRACING))
			served[func / 64] |= 1ull << func % 64;
	}
	for (u32 func = 1; func < 512; func++)
		cr_expect_eq(served[func / 64] >> func % 64 & 1, named[func / 64] >> func % 64 & 1,
			     "%s", ebpf_proto_name(func));
	btf__free(btf);
}

Test(target, builtin_maps_are_those_served)
{
	const struct btf_type *t;
	struct btf *btf;
	u64 named = 0;
	s32 id;

	cr_assert_eq(btf_builtin(&btf), 0);
	id = btf__find_by_name_kind(btf, "bpf_map_type", BTF_KIND_ENUM);
	cr_assert_gt(id, 0);
	t = btf__type_by_id(btf, (u32)id);
	for (u32 i = 0; i < btf_vlen(t); i++)
		named |= 1ull << btf_enum(t)[i].val;
	for (u32 type = 1; type < 40; type++)
		cr_expect_eq(ebpf_map_ops_of(type) != NULL, named >> type & 1, "type %u", type);
	btf__free(btf);
}

Test(target, builtin_alone_when_nothing_is_found)
{
	const struct btf_need needs[] = {need("struct", "pt_regs"), need("struct", "data")};
	const struct btf_module module = {in_dir("prog"), 0};
	struct btf_view view;

	put(module.path, "\177ELF", 4, O_TRUNC);
	make_view(&module, 1, needs, 2, &view);
	cr_expect_eq(view.found, 0);
	cr_expect_str_eq(view.from[0], "the built-in types");
	cr_expect_null(view.from[1]);
	btf_view_free(&view);
}

Test(target, detached_file_is_found_and_ids_are_shifted)
{
	static const char *const fields[] = {"a", "b", "c", "d"};
	struct btf_module module = {NULL, 0};
	char binary[128];
	struct btf_view view;
	struct btf *all;

	snprintf(binary, sizeof(binary), "%s", in_dir("prog"));
	put(binary, "#!/bin/true\n", 12, 0);
	/* what is no BTF and no ELF file is an error, not silence: give it an ELF header's look */
	put(binary, "\177ELF", 4, O_TRUNC);
	put_struct(in_dir("prog.btf"), "data", fields, 4);
	module.path = binary;
	make_view(&module, 1, NULL, 0, &view);
	cr_expect_eq(view.found, 1);
	all = btf__parse_raw(view.path);
	cr_assert_not_null(all);
	cr_expect_eq(member_offset(all, "data", "c"), 8);
	cr_expect_eq(member_offset(all, "pt_regs", "di"), 112);
	btf__free(all);
	btf_view_free(&view);
}

static struct btf *opened(const struct btf_view *view)
{
	struct btf *btf = btf__parse_raw(view->path);

	cr_assert_not_null(btf);
	return btf;
}

/* A module's types for a name, and only they: the neighbours' are no candidates. */
Test(target, the_probed_module_comes_first)
{
	static const char *const one[] = {"a", "c"}, *const two[] = {"a", "b", "c"};
	static const char *const app[] = {"x"};
	const struct btf_need needs[] = {need("struct", "data"), need("struct", "app")};
	struct btf_module modules[3];
	struct btf_view view;
	struct btf *btf;
	int n = 0;

	put_module(&modules[0], "first", 0, "data", one, 2);
	put_module(&modules[1], "uses", 1, "data", two, 3);
	put_module(&modules[2], "beside", 2, "app", app, 1);
	put_struct(beside("beside"), "data", two, 3);
	make_view(modules, 3, needs, 2, &view);
	cr_expect_str_eq(view.from[0], modules[0].path);
	cr_expect_str_eq(view.from[1], modules[2].path);
	cr_expect_eq(view.found, 2, "what has nothing that is looked for isn't joined");
	btf = opened(&view);
	for (u32 id = 1; id < btf__type_cnt(btf); id++)
		n += btf_is_needed(btf, id, &needs[0]);
	cr_expect_eq(n, 1);
	cr_expect_eq(member_offset(btf, "data", "c"), 4);
	cr_expect_eq(member_offset(btf, "app", "x"), 0);
	btf__free(btf);
	btf_view_free(&view);
}

/* A nearer tier wins; two of one tier that differ are refused, two that agree are not. */
Test(target, ambiguity_is_said)
{
	static const char *const one[] = {"a", "c"}, *const two[] = {"a", "b", "c"};
	const struct btf_need needs[] = {need("struct", "data")};
	struct btf_module modules[4];
	char why[BTF_WHY_MAX] = "";
	struct btf_request r = {.modules = modules, .nmodules = 4, .needs = needs, .nneeds = 1};
	struct btf_view view = {.fd = -1};

	put_module(&modules[0], "first", 0, "other", one, 2);
	put_module(&modules[1], "uses", 1, "data", one, 2);
	put_module(&modules[2], "same", 2, "data", one, 2);
	put_module(&modules[3], "differs", 2, "data", two, 3);
	cr_expect_eq(btf_view_make(&r, &view, why, sizeof(why)), 0, "%s", why);
	cr_expect_str_eq(view.from[0], modules[1].path);
	btf_view_free(&view);
	modules[3].tier = 1;
	cr_expect_eq(btf_view_make(&r, &view, why, sizeof(why)), -ENOTUNIQ);
	cr_expect_not_null(strstr(why, "struct data is not the same in"), "%s", why);
	cr_expect_not_null(strstr(why, "/uses and in "), "%s", why);
	cr_expect_not_null(strstr(why, "give the types with --btf FILE"), "%s", why);
	modules[3].tier = 2;
	modules[1].tier = 2;
	modules[3].path = modules[2].path;
	cr_expect_eq(btf_view_make(&r, &view, why, sizeof(why)), 0, "%s", why);
	btf_view_free(&view);
}

/* The registers are what a program gets, whatever the target calls so; the rest is the target's. */
Test(target, kernel_types_come_last_but_for_the_registers)
{
	static const char *const mine[] = {"rdi"};
	const struct btf_need needs[] = {need("struct", "pt_regs"), need("struct", "task_struct")};
	struct btf_module module;
	struct btf_view view;

	put_module(&module, "first", 0, "pt_regs", mine, 1);
	put_struct(beside("first"), "task_struct", mine, 1);
	make_view(&module, 1, needs, 2, &view);
	cr_expect_str_eq(view.from[0], "the built-in types");
	cr_expect_str_eq(view.from[1], module.path);
	btf_view_free(&view);
}

Test(target, flavours_are_no_part_of_a_name)
{
	struct btf_need data = need("struct", "data"), under = need("struct", "___x");
	struct btf *btf = btf__new_empty();
	static const struct {
		const char *name;
		bool is;
	} cases[] = {{"data", true},	   {"data___old", true}, {"data____old", false},
		     {"data__old", false}, {"data___", false},	 {"dat", false},
		     {"data_", false},	   {"database", false},	 {"data___a___b", false}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int id = btf__add_struct(btf, cases[i].name, 4);

		cr_expect_eq(btf_is_needed(btf, id, &data), cases[i].is, "%s", cases[i].name);
	}
	cr_expect(btf_is_needed(btf, btf__add_struct(btf, "___x", 4), &under));
	cr_expect_not(btf_is_needed(btf, btf__add_union(btf, "data", 4), &data));
	cr_expect_not(btf_is_needed(btf, btf__add_fwd(btf, "data", BTF_FWD_STRUCT), &data));
	btf__free(btf);
}

Test(target, every_translation_unit_of_a_concatenated_section)
{
	static const char *const fields[] = {"x"};
	char why[256];
	struct btf *btf;

	put_struct(in_dir("two"), "first", fields, 1);
	put_struct(in_dir("two"), "second", fields, 1);
	cr_assert_eq(btf_read_file(in_dir("two"), &btf, why, sizeof(why)), 0);
	cr_expect(btf__find_by_name(btf, "first") > 0);
	cr_expect(btf__find_by_name(btf, "second") > 0);
	btf__free(btf);
}

Test(target, user_file_that_is_not_there)
{
	const char *user = "/nowhere/x.btf";
	struct btf_view view = {.fd = -1, .found = -1};
	char why[256] = "";

	cr_expect_lt(btf_view_make(&(struct btf_request){.user = &user, .nuser = 1}, &view, why,
				   sizeof(why)),
		     0);
	cr_expect_str_eq(why, "cannot open /nowhere/x.btf: No such file or directory");
	cr_expect_eq(view.fd, -1, "out-parameters are untouched");
	cr_expect_eq(view.found, -1);
}

Test(target, damaged_btf_is_refused)
{
	static const char *const fields[] = {"a", "b"};
	char why[256] = "", path[128];
	struct btf *btf = NULL;

	snprintf(path, sizeof(path), "%s", in_dir("cut"));
	put_struct(path, "data", fields, 2);
	cr_assert_eq(truncate(path, 40), 0);
	cr_expect_lt(btf_read_file(path, &btf, why, sizeof(why)), 0);
	cr_expect_not_null(strstr(why, "its BTF is damaged; make it again with `ebpfrt btf gen`"),
			   "%s", why);
	cr_expect_null(btf);
}

/* libbpf would write it back without what is before the types, but with their old offset. */
Test(target, a_gap_before_the_types_is_refused)
{
	struct {
		struct btf_header head;
		char strings[4];
	} empty = {{.magic = BTF_MAGIC,
		    .version = BTF_VERSION,
		    .hdr_len = sizeof(struct btf_header),
		    .str_len = 4}};
	struct btf *btf = NULL;

	cr_assert_eq(btf_read_memory(&empty, sizeof(empty), &btf), 0);
	btf__free(btf);
	empty.head.str_off = 0;
	empty.head.type_off = 4;
	cr_expect_eq(btf_read_memory(&empty, sizeof(empty), &btf), -EINVAL);
	cr_expect_eq(btf_read_memory(&empty, 0, &btf), -EINVAL, "nothing at all");
}

/* Bytes changed at random: an answer of some kind, never a crash. The seed repeats it. */
Test(target, random_damage_never_crashes)
{
	static const char *const fields[] = {"a", "b", "c"};
	unsigned int seed = (unsigned int)getpid();
	char good[4096], bad[4096], why[256];
	ssize_t len;
	int fd;

	printf("# seed %u\n", seed);
	put_struct(in_dir("good"), "data", fields, 3);
	fd = open(in_dir("good"), O_RDONLY);
	len = read(fd, good, sizeof(good));
	close(fd);
	for (int i = 0; i < 500; i++) {
		struct btf *btf = NULL;

		memcpy(bad, good, len);
		for (int k = 0; k < 1 + i % 4; k++)
			bad[rand_r(&seed) % len] = (char)rand_r(&seed);
		put(in_dir("bad"), bad, len, O_TRUNC);
		if (!btf_read_file(in_dir("bad"), &btf, why, sizeof(why)))
			btf__free(btf);
	}
}
