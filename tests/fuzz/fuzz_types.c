/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Types of strangers: DWARF that is converted, and BTF that is read; what comes out must pass the
 * check, and be fit to be printed with names for C.
 *
 * An input's first byte says which: 0 DWARF, the lengths of .debug_abbrev and .debug_info in two
 * bytes each and the two; 2 the same as a package of split DWARF, with its index behind them; else
 * BTF.
 */
#include <bpf/btf.h>
#include <dwarf.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "btf/btf_priv.h"
#include "btf/dwarf_attr.h"
#include "btf/dwo.h"
#include "btf/shape.h"
#include "core/load/syscall.h"
#include "tests/fuzz/fuzz.h"

struct bytes {
	u8 p[2 * FUZZ_MAX];
	u32 n;
};

static void put(struct bytes *b, const void *data, u32 n)
{
	if (n > sizeof(b->p) - b->n)
		return;
	memcpy(b->p + b->n, data, n);
	b->n += n;
}

static void put_byte(struct bytes *b, u8 v)
{
	put(b, &v, 1);
}

static void put_word(struct bytes *b, u32 v)
{
	put(b, &v, 4);
}

static void put_text(struct bytes *b, const char *text)
{
	put(b, text, (u32)strlen(text) + 1);
}

/* --- a seed: a unit with a type of each kind ----------------------------------------------------
 */

/* Abbreviations, one after the other from 1: tag, children, pairs of attribute and form. */
static const u8 abbrev[] = {
#define NONE 0, 0
	1,
	DW_TAG_compile_unit,
	1,
	DW_AT_language,
	DW_FORM_data1,
	DW_AT_name,
	DW_FORM_string,
	NONE,
	2,
	DW_TAG_base_type,
	0,
	DW_AT_byte_size,
	DW_FORM_data1,
	DW_AT_encoding,
	DW_FORM_data1,
	DW_AT_name,
	DW_FORM_string,
	NONE,
	3,
	DW_TAG_structure_type,
	1,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_byte_size,
	DW_FORM_data1,
	NONE,
	4,
	DW_TAG_member,
	0,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_type,
	DW_FORM_ref4,
	DW_AT_data_member_location,
	DW_FORM_data1,
	NONE,
	5,
	DW_TAG_pointer_type,
	0,
	DW_AT_byte_size,
	DW_FORM_data1,
	DW_AT_type,
	DW_FORM_ref4,
	NONE,
	6,
	DW_TAG_array_type,
	1,
	DW_AT_type,
	DW_FORM_ref4,
	NONE,
	7,
	DW_TAG_subrange_type,
	0,
	DW_AT_upper_bound,
	DW_FORM_data1,
	NONE,
	8,
	DW_TAG_typedef,
	0,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_type,
	DW_FORM_ref4,
	NONE,
	9,
	DW_TAG_enumeration_type,
	1,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_byte_size,
	DW_FORM_data1,
	NONE,
	10,
	DW_TAG_enumerator,
	0,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_const_value,
	DW_FORM_sdata,
	NONE,
	11,
	DW_TAG_subprogram,
	1,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_low_pc,
	DW_FORM_addr,
	DW_AT_type,
	DW_FORM_ref4,
	NONE,
	12,
	DW_TAG_formal_parameter,
	0,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_type,
	DW_FORM_ref4,
	NONE,
	13,
	DW_TAG_namespace,
	1,
	DW_AT_name,
	DW_FORM_string,
	NONE,
	14,
	DW_TAG_inheritance,
	0,
	DW_AT_type,
	DW_FORM_ref4,
	DW_AT_data_member_location,
	DW_FORM_data1,
	NONE,
	15,
	DW_TAG_member,
	0,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_type,
	DW_FORM_ref4,
	DW_AT_bit_size,
	DW_FORM_data1,
	DW_AT_data_bit_offset,
	DW_FORM_data1,
	NONE,
	16,
	DW_TAG_const_type,
	0,
	DW_AT_type,
	DW_FORM_ref4,
	NONE,
	17,
	DW_TAG_variant_part,
	1,
	DW_AT_discr,
	DW_FORM_ref4,
	NONE,
	18,
	DW_TAG_variant,
	1,
	NONE,
	19,
	DW_TAG_variable,
	0,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_type,
	DW_FORM_ref4,
	DW_AT_location,
	DW_FORM_exprloc,
	NONE,
	20,
	DW_TAG_structure_type,
	0,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_declaration,
	DW_FORM_flag_present,
	NONE,
	21,
	DW_TAG_subroutine_type,
	1,
	DW_AT_type,
	DW_FORM_ref4,
	NONE,
	22,
	DW_TAG_union_type,
	1,
	DW_AT_name,
	DW_FORM_string,
	DW_AT_byte_size,
	DW_FORM_data1,
	DW_AT_specification,
	DW_FORM_ref4,
	NONE,
	23,
	DW_TAG_subprogram,
	0,
	DW_AT_abstract_origin,
	DW_FORM_ref4,
	DW_AT_low_pc,
	DW_FORM_addr,
	NONE,
	0};

/*
 * Write DIEs: one letter each for what follows, # an abbreviation, b a byte, s a string, r a
 * reference, a an address; 0 ends children.
 */
static void dies(struct bytes *b, const char *shape, ...)
{
	va_list ap;

	va_start(ap, shape);
	for (; *shape; shape++) {
		u64 addr = 0x1000;

		if (*shape == 's')
			put_text(b, va_arg(ap, const char *));
		else if (*shape == 'r')
			put_word(b, va_arg(ap, u32));
		else if (*shape == 'a')
			put(b, &addr, 8);
		else
			put_byte(b, (u8)va_arg(ap, int));
	}
	va_end(ap);
}

/* What can be referred to, by its place in the unit; a structure that is its own base, too. */
enum { INT_AT = 21, LIST_AT = 28, INNER_AT = 0xea };

static void put_unit(struct bytes *b, u8 language, u32 base)
{
	const u32 number = INT_AT, list = LIST_AT;

	put_word(b, 0); /* the length, at the end */
	dies(b, "bbbb", 5, 0, DW_UT_compile, 8);
	put_word(b, 0);
	dies(b, "#bs", 1, language, "unit.c");
	dies(b, "#bbs", 2, 4, DW_ATE_signed, "int");
	dies(b, "#sb", 3, "list", 32);
	dies(b, "#srb", 4, "next", list + 56, 0);
	dies(b, "#srbb", 15, "bits", number, 3, 65);
	dies(b, "#rb", 14, base, 16);
	dies(b, "#r##srb000", 17, list + 7, 18, 4, "some", number, 0, 0, 0, 0);
	for (u32 i = 0; i < 12; i++)
		dies(b, "#br", 5, 8, list + (i % 3 ? 0 : 56 + 2 * i));
	dies(b, "#r#b0", 6, number, 7, 3, 0);
	dies(b, "#sr", 8, "alias", list);
	dies(b, "#sb#sb#sb0", 9, "choice", 4, 10, "A", 1, 10, "B", 0x7f, 0);
	dies(b, "#sar#sr0", 11, "function", number, 12, "argument", list, 0);
	dies(b, "#s#sb0#s0", 13, "ns", 3, "inner", 8, 0, 20, "declared", 0);
	dies(b, "#r#r#sr0", 16, number, 21, number, 12, "x", list, 0);
	dies(b, "#srbb", 19, "variable", list, 1, DW_OP_lit0);
	dies(b, "#sbr0#ra0", 22, "either", 8, list, 0, 23, list, 0);
}

static size_t dwarf_seed(u8 out[FUZZ_MAX], u8 language, u32 base)
{
	struct bytes info = {.n = 0};
	u32 length, n = 5;

	put_unit(&info, language, base);
	length = info.n - 4;
	memcpy(info.p, &length, 4);
	out[0] = 0;
	out[1] = sizeof(abbrev) & 0xff;
	out[2] = sizeof(abbrev) >> 8;
	out[3] = (u8)info.n;
	out[4] = (u8)(info.n >> 8);
	memcpy(out + n, abbrev, sizeof(abbrev));
	memcpy(out + n + sizeof(abbrev), info.p, info.n);
	return n + sizeof(abbrev) + info.n;
}

/* One unit, which begins where the sections do. */
static size_t package_seed(u8 out[FUZZ_MAX])
{
	size_t n = dwarf_seed(out, DW_LANG_C11, INNER_AT);
	u32 ninfo = out[3] | (u32)out[4] << 8;
	const u32 index[] = {5,
			     2,
			     1,
			     2,
			     1,
			     0,
			     0,
			     0,
			     1,
			     0,
			     DW_SECT_INFO,
			     DW_SECT_ABBREV,
			     0,
			     0,
			     ninfo,
			     sizeof(abbrev)};

	out[0] = 2;
	memcpy(out + n, index, sizeof(index));
	return n + sizeof(index);
}

static size_t btf_seed(u8 out[FUZZ_MAX])
{
	struct btf *btf = btf__new_empty();
	const void *data;
	u32 len;

	btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	btf__add_struct(btf, "ns::list<int>", 16);
	btf__add_field(btf, "next", 3, 0, 0);
	btf__add_field(btf, "bits", 1, 64, 3);
	btf__add_ptr(btf, 2);
	btf__add_array(btf, 1, 2, 4);
	btf__add_enum(btf, "choice", 4);
	btf__add_enum_value(btf, "A", 1);
	btf__add_func_proto(btf, 1);
	btf__add_func_param(btf, "list", 3);
	btf__add_func(btf, "function", BTF_FUNC_GLOBAL, 6);
	btf__add_const(btf, 4);
	btf__add_typedef(btf, "alias", 8);
	btf__add_union(btf, "register", 64);
	btf__add_field(btf, "default", 9, 0, 0);
	data = btf__raw_data(btf, &len);
	out[0] = 1;
	memcpy(out + 1, data, len);
	btf__free(btf);
	return 1 + len;
}

size_t fuzz_seed(u32 i, u8 out[FUZZ_MAX])
{
	switch (i) {
	case 0:
		return dwarf_seed(out, DW_LANG_C11, INNER_AT);
	case 1:
		return dwarf_seed(out, DW_LANG_C_plus_plus_11, LIST_AT);
	case 2:
		return btf_seed(out);
	case 3:
		return package_seed(out);
	default:
		return 0;
	}
}

/* --- what is done with an input -----------------------------------------------------------------
 */

static void say_nothing(void *ctx, const char *fmt, va_list ap)
{
}

static void print_it(struct btf *btf)
{
	struct btf_dump *d;

	if (!btf_is_printable(btf))
		return;
	d = btf_dump__new(btf, say_nothing, NULL, NULL);

	for (u32 id = 1; d && id < btf__type_cnt(btf); id++)
		btf_dump__dump_type(d, id);
	btf_dump__free(d);
}

static int on_change(const struct btf_shape *from, const struct btf_shape *to, void *cookie)
{
	++*(u32 *)cookie;
	return 0;
}

/* Nothing is different from itself, and everything from nothing. */
static void compare_it(struct btf *btf)
{
	struct btf *none = btf__new_empty();
	u32 changes = 0, named = 0;

	FUZZ_CHECK(!btf_diff(btf, btf, on_change, &changes) && !changes);
	for (u32 id = 1; id < btf__type_cnt(btf); id++)
		named += btf_shape_kind(btf, id) != SHAPE_NONE;
	FUZZ_CHECK(!btf_diff(btf, none, on_change, &changes));
	FUZZ_CHECK(changes <= named && !changes == !named);
	btf__free(none);
}

static void use(struct btf *btf)
{
	struct ebpf_log log = {0};
	const void *data;
	u32 len;

	FUZZ_CHECK(!btf_names_for_c(btf));
	data = btf__raw_data(btf, &len);
	FUZZ_CHECK(data && !ebpf_btf_check_form(data, len, &log));
	print_it(btf);
	compare_it(btf);
}

static void read_btf(const u8 *data, size_t size)
{
	struct btf *btf;

	if (btf_read_memory(data, size, &btf))
		return;
	use(btf);
	btf__free(btf);
}

static void put_section(struct bytes *b, u32 name, u32 type, u64 offset, u64 size)
{
	Elf64_Shdr sh = {.sh_name = name,
			 .sh_type = type,
			 .sh_offset = offset,
			 .sh_size = size,
			 .sh_addralign = 1};

	put(b, &sh, sizeof(sh));
}

static const char plain_names[] = "\0.debug_abbrev\0.debug_info\0.debug_cu_index\0.shstrtab";
static const char split_names[] =
	"\0.debug_abbrev.dwo\0.debug_info.dwo\0.debug_cu_index\0.shstrtab";

/* An ELF file around the sections, called as @names has them one after the other. */
static void put_elf(struct bytes *b, const u8 *a, u32 na, const u8 *info, u32 ninfo,
		    const u8 *index, u32 nindex, const char *names, u32 nnames)
{
	Elf64_Ehdr eh = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = 1,
		.e_ehsize = sizeof(eh),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 5,
		.e_shstrndx = 4};
	u32 at = sizeof(eh), name = 1;
	const u32 sizes[] = {na, ninfo, nindex};

	eh.e_shoff = at + na + ninfo + nindex + nnames;
	put(b, &eh, sizeof(eh));
	put(b, a, na);
	put(b, info, ninfo);
	put(b, index, nindex);
	put(b, names, nnames);
	put_section(b, 0, SHT_NULL, 0, 0);
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		put_section(b, name, SHT_PROGBITS, at, sizes[i]);
		at += sizes[i];
		name += (u32)strlen(names + name) + 1;
	}
	put_section(b, name, SHT_STRTAB, at, nnames);
}

static int walk(Dwarf *dwarf, void *cookie)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit, child;

	while (!dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL)) {
		++*(u32 *)cookie;
		for (int more = die_child(&unit, &child); more > 0; more = die_next(&child))
			dwo_name(&child);
	}
	return 0;
}

static void take_apart(const struct bytes *elf)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];
	u32 units = 0;

	FUZZ_CHECK(fd >= 0 && !write_full(fd, elf->p, elf->n, IO_HERE));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	dwo_read(path, walk, &units);
	FUZZ_CHECK(units <= FUZZ_MAX * 64);
	close(fd);
}

static void convert(const struct bytes *elf)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64], why[BTF_WHY_MAX] = "";
	struct dwarf_opts opts = {0};
	struct btf *btf = NULL;

	FUZZ_CHECK(fd >= 0 && !write_full(fd, elf->p, elf->n, IO_HERE));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!btf_from_dwarf(path, &opts, &btf, why, sizeof(why)))
		use(btf);
	else
		FUZZ_CHECK(strstr(why, path));
	btf__free(btf);
	close(fd);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct bytes elf = {.n = 0};
	u32 na, ninfo, nindex;

	if (size < 5)
		return 0;
	if (data[0] && data[0] != 2) {
		read_btf(data + 1, size - 1);
		return 0;
	}
	na = MIN(data[1] | (u32)data[2] << 8, (u32)size - 5);
	ninfo = MIN(data[3] | (u32)data[4] << 8, (u32)size - 5 - na);
	nindex = (u32)size - 5 - na - ninfo;
	if (data[0] == 2) {
		put_elf(&elf, data + 5, na, data + 5 + na, ninfo, data + 5 + na + ninfo, nindex,
			split_names, sizeof(split_names));
		take_apart(&elf);
		return 0;
	}
	put_elf(&elf, data + 5, na, data + 5 + na, ninfo, data, 0, plain_names,
		sizeof(plain_names));
	convert(&elf);
	return 0;
}
