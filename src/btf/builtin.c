/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel types that tracing programs name, described by hand: enough that an object compiled
 * with a vmlinux.h finds its pt_regs when it runs in user space, on a machine that exports no BTF,
 * and the kernel functions that are served.
 *
 * Model: words of types and a table of strings, appended to; nothing is read back. So the surface,
 * which has no libbpf in it, can hand it out as /sys/kernel/btf/vmlinux.
 *
 * Rules: pt_regs is exactly what a program's context is here (arch.h). Of the other structures only
 * the members are there that a user-space tracer can sensibly name; CO-RE matches by name, so their
 * order and the members left out don't matter. Of what programs ask for (a helper, a type of maps)
 * there is what is served, nothing else. The first error sticks in `err`. The functions come first:
 * a program calls one by the number of its FUNC (core/run/kfunc.h). What is here does for a
 * vmlinux.h, too.
 */
#include "btf/builtin.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/run/helper_list.h"

#define WORDS 4096u
#define CHARS 8192u

struct builder {
	u32 words[WORDS]; /* of types */
	char names[CHARS];
	u32 nwords, nchars;
	u32 ntypes;
	u32 open; /* the word of the structure or prototype that members are added to */
	int err;
	u32 u8_id, u16_id, u32_id, u64_id, s32_id, s64_id, char_id, ulong_id, index_id, bool_id;
};

static void add_word(struct builder *b, u32 word)
{
	if (b->nwords == WORDS)
		b->err = -ENOSPC;
	else
		b->words[b->nwords++] = word;
}

/* its offset; the empty name is at 0 */
static u32 add_name(struct builder *b, const char *name)
{
	u32 at = b->nchars, len = (u32)strlen(name) + 1;

	if (!*name)
		return 0;
	if (len > CHARS - at) {
		b->err = -ENOSPC;
		return 0;
	}
	memcpy(b->names + at, name, len);
	b->nchars += len;
	return at;
}

/* @size, or the type that this one is of */
static u32 add_type(struct builder *b, const char *name, u32 kind, u32 size)
{
	b->open = b->nwords;
	add_word(b, add_name(b, name));
	add_word(b, kind << 24);
	add_word(b, size);
	return ++b->ntypes;
}

static u32 add_int(struct builder *b, const char *name, u32 size, u32 encoding)
{
	u32 id = add_type(b, name, BTF_KIND_INT, size);

	add_word(b, encoding << 24 | size * 8);
	return id;
}

static u32 add_typedef(struct builder *b, const char *name, u32 id)
{
	return add_type(b, name, BTF_KIND_TYPEDEF, id);
}

static u32 add_struct(struct builder *b, const char *name, u32 size)
{
	return add_type(b, name, BTF_KIND_STRUCT, size);
}

static u32 add_array(struct builder *b, u32 of, u32 n)
{
	u32 id = add_type(b, "", BTF_KIND_ARRAY, 0);

	add_word(b, of);
	add_word(b, b->index_id);
	add_word(b, n);
	return id;
}

/* One more of what was added last, which counts them beside its kind. */
static void add_part(struct builder *b, const char *name, u32 id)
{
	if (!b->err)
		b->words[b->open + 1]++;
	add_word(b, add_name(b, name));
	add_word(b, id);
}

static void add_field(struct builder *b, const char *name, u32 id, u32 byte_offset)
{
	add_part(b, name, id);
	add_word(b, byte_offset * 8);
}

static void add_base_types(struct builder *b)
{
	b->char_id = add_int(b, "char", 1, BTF_INT_SIGNED);
	b->u8_id = add_int(b, "unsigned char", 1, 0);
	b->u16_id = add_int(b, "short unsigned int", 2, 0);
	b->s32_id = add_int(b, "int", 4, BTF_INT_SIGNED);
	b->u32_id = add_int(b, "unsigned int", 4, 0);
	b->s64_id = add_int(b, "long long int", 8, BTF_INT_SIGNED);
	b->u64_id = add_int(b, "long long unsigned int", 8, 0);
	b->ulong_id = add_int(b, "long unsigned int", 8, 0);
	b->index_id = add_int(b, "__ARRAY_SIZE_TYPE__", 4, 0);
	b->bool_id = add_int(b, "_Bool", 1, BTF_INT_BOOL);
}

static void add_typedefs(struct builder *b)
{
	add_typedef(b, "u8", add_typedef(b, "__u8", b->u8_id));
	add_typedef(b, "u16", add_typedef(b, "__u16", b->u16_id));
	add_typedef(b, "s32", add_typedef(b, "__s32", b->s32_id));
	add_typedef(b, "u32", add_typedef(b, "__u32", b->u32_id));
	add_typedef(b, "s64", add_typedef(b, "__s64", b->s64_id));
	add_typedef(b, "u64", add_typedef(b, "__u64", b->u64_id));
	add_typedef(b, "pid_t", add_typedef(b, "__kernel_pid_t", b->s32_id));
	add_typedef(b, "uid_t", add_typedef(b, "__kernel_uid32_t", b->u32_id));
	add_typedef(b, "gid_t", add_typedef(b, "__kernel_gid32_t", b->u32_id));
	add_typedef(b, "size_t", add_typedef(b, "__kernel_size_t", b->ulong_id));
	add_typedef(b, "loff_t", add_typedef(b, "__kernel_loff_t", b->s64_id));
	add_typedef(b, "uintptr_t", b->ulong_id);
	add_typedef(b, "bool", b->bool_id);
}

/* What the kernel's headers call its numbers, also those of bytes in a certain order. */
static void add_odd_typedefs(struct builder *b)
{
	static const char *const wide[] = {"16", "32", "64"};
	static const char *const kinds[] = {"__be", "__le"};
	u32 s8_id = add_int(b, "signed char", 1, BTF_INT_SIGNED);
	u32 s16_id = add_int(b, "short int", 2, BTF_INT_SIGNED);
	u32 id[] = {b->u16_id, b->u32_id, b->u64_id};
	char name[8];

	add_typedef(b, "s8", add_typedef(b, "__s8", s8_id));
	add_typedef(b, "s16", add_typedef(b, "__s16", s16_id));
	add_int(b, "long int", 8, BTF_INT_SIGNED);
	for (u32 i = 0; i < 6; i++) {
		strcat(strcpy(name, kinds[i / 3]), wide[i % 3]);
		add_typedef(b, name, id[i % 3]);
	}
	add_typedef(b, "__sum16", b->u16_id);
	add_typedef(b, "__wsum", b->u32_id);
}

struct value {
	const char *name;
	u32 value;
};

static void add_enum(struct builder *b, const char *name, const struct value *v, u32 n)
{
	add_type(b, name, BTF_KIND_ENUM, 4);
	for (u32 i = 0; i < n; i++)
		add_part(b, v[i].name, v[i].value);
}

/* clang-format off */
#define VALUE(name) {#name, name}
/* clang-format on */
#define MAP(type) VALUE(BPF_MAP_TYPE_##type)

/* The numbers that bpf(2) takes, as far as they are served: programs ask for some before. */
static void add_bpf_enums(struct builder *b)
{
	static const struct value truth[] = {{"false", 0}, {"true", 1}};
	static const struct value maps[] = {MAP(HASH),
					    MAP(ARRAY),
					    MAP(PROG_ARRAY),
					    MAP(PERF_EVENT_ARRAY),
					    MAP(PERCPU_HASH),
					    MAP(PERCPU_ARRAY),
					    MAP(STACK_TRACE),
					    MAP(LRU_HASH),
					    MAP(LRU_PERCPU_HASH),
					    MAP(ARRAY_OF_MAPS),
					    MAP(HASH_OF_MAPS),
					    MAP(QUEUE),
					    MAP(STACK),
					    MAP(RINGBUF),
					    MAP(BLOOM_FILTER),
					    MAP(USER_RINGBUF)};
	static const struct value flags[] = {VALUE(BPF_ANY),
					     VALUE(BPF_NOEXIST),
					     VALUE(BPF_EXIST),
					     VALUE(BPF_F_LOCK),
					     VALUE(BPF_F_NO_PREALLOC),
					     VALUE(BPF_F_NO_COMMON_LRU),
					     VALUE(BPF_F_RDONLY_PROG),
					     VALUE(BPF_F_MMAPABLE),
					     VALUE(BPF_F_USER_STACK),
					     VALUE(BPF_F_REUSE_STACKID),
					     VALUE(BPF_F_FAST_STACK_CMP),
					     VALUE(BPF_RB_NO_WAKEUP),
					     VALUE(BPF_RB_FORCE_WAKEUP),
					     VALUE(BPF_RB_AVAIL_DATA),
					     VALUE(BPF_RB_RING_SIZE),
					     VALUE(BPF_RB_CONS_POS),
					     VALUE(BPF_RB_PROD_POS),
					     {"BPF_F_CURRENT_CPU", 0xffffffff}};

	add_enum(b, "", truth, ARRAY_SIZE(truth));
	add_enum(b, "bpf_map_type", maps, ARRAY_SIZE(maps));
	add_enum(b, "", flags, ARRAY_SIZE(flags));
}

/* All that some program may call: who asks whether there is one gets the same answer everywhere. */
static void add_helpers(struct builder *b)
{
#define ROW(name, fn, where) VALUE(BPF_FUNC_##name),
	static const struct value helpers[] = {EBPF_HELPERS(ROW)};
#undef ROW

	add_enum(b, "bpf_func_id", helpers, ARRAY_SIZE(helpers));
}

/* A structure of unsigned longs, in order. */
static void add_register_struct(struct builder *b, const char *name, const char *const *regs, u32 n)
{
	add_struct(b, name, n * 8);
	for (u32 i = 0; i < n; i++)
		add_field(b, regs[i], b->ulong_id, i * 8);
}

/*
 * Both register files are always described: an object compiled for the other CPU then fails on
 * what it does, with its own message, and not on a type nobody knows.
 */
static void add_registers(struct builder *b)
{
	static const char *const x86[] = {"r15", "r14",	    "r13", "r12", "bp",	   "bx", "r11",
					  "r10", "r9",	    "r8",  "ax",  "cx",	   "dx", "si",
					  "di",	 "orig_ax", "ip",  "cs",  "flags", "sp", "ss"};
	u32 regs;

	add_register_struct(b, "pt_regs", x86, ARRAY_SIZE(x86));
	regs = add_array(b, b->u64_id, 31);
	add_struct(b, "user_pt_regs", 34 * 8);
	add_field(b, "regs", regs, 0);
	add_field(b, "sp", b->u64_id, 31 * 8);
	add_field(b, "pc", b->u64_id, 32 * 8);
	add_field(b, "pstate", b->u64_id, 33 * 8);
}

static void add_task(struct builder *b)
{
	u32 comm = add_array(b, b->char_id, 16);
	/* a pointer to the structure that follows it */
	u32 ptr = add_type(b, "", BTF_KIND_PTR, b->ntypes + 2);

	add_struct(b, "task_struct", 72);
	add_field(b, "flags", b->u32_id, 0);
	add_field(b, "exit_code", b->s32_id, 4);
	add_field(b, "pid", b->s32_id, 8);
	add_field(b, "tgid", b->s32_id, 12);
	add_field(b, "real_parent", ptr, 16);
	add_field(b, "parent", ptr, 24);
	add_field(b, "group_leader", ptr, 32);
	add_field(b, "start_time", b->u64_id, 40);
	add_field(b, "start_boottime", b->u64_id, 48);
	add_field(b, "comm", comm, 56);
}

/* --- kernel functions ------------------------------------------------------------------------ */

/*
 * What they take and give, a letter each, the result first: v nothing, i int, u u32, b bool, p void
 * pointer, P int pointer, L u64 pointer, l u64, I iterator over numbers, B one over bits, W const
 * u64 pointer, D const dynptr, N new dynptr.
 */
static const struct {
	const char *name, *types;
} functions[] = {
	{"bpf_iter_num_new", "iIii"},	 {"bpf_iter_num_next", "PI"},
	{"bpf_iter_num_destroy", "vI"},	 {"bpf_dynptr_adjust", "iDuu"},
	{"bpf_dynptr_size", "uD"},	 {"bpf_dynptr_is_null", "bD"},
	{"bpf_dynptr_is_rdonly", "bD"},	 {"bpf_dynptr_clone", "iDN"},
	{"bpf_dynptr_slice", "pDupu"},	 {"bpf_dynptr_slice_rdwr", "pDupu"},
	{"bpf_rcu_read_lock", "v"},	 {"bpf_rcu_read_unlock", "v"},
	{"bpf_iter_bits_new", "iBWu"},	 {"bpf_iter_bits_next", "PB"},
	{"bpf_iter_bits_destroy", "vB"}, {"ebpfrt_left", "i"},
	{"bpf_session_is_return", "b"},	 {"bpf_session_cookie", "L"},
	{"bpf_cast_to_kern_ctx", "pp"},	 {"ebpfrt_vector", "luu"},
};

struct function_types {
	u32 ptr, int_ptr, u64_ptr, word_ptr, iter_ptr, bits_ptr, dynptr_ptr, const_dynptr_ptr;
};

/* Their numbers; the types they refer to come at the end. */
static void add_functions(struct builder *b)
{
	for (u32 i = 0; i < ARRAY_SIZE(functions); i++)
		add_type(b, functions[i].name, BTF_KIND_FUNC, 0);
}

static u32 add_opaque(struct builder *b, const char *name, u32 words)
{
	u32 id = add_struct(b, name, words * 8);

	add_field(b, "__opaque", words == 1 ? b->u64_id : id + 1, 0);
	if (words != 1)
		add_array(b, b->u64_id, words);
	return id;
}

/*
 * What tools ask for to find out what they run on: is there a ring buffer; and what libbpf's own
 * headers name.
 */
static void add_asked(struct builder *b)
{
	add_struct(b, "bpf_ringbuf", 0);
	add_struct(b, "bpf_spin_lock", 4);
	add_field(b, "val", b->u32_id, 0);
	add_opaque(b, "bpf_timer", 2);
	add_struct(b, "bpf_perf_event_value", 24);
	add_field(b, "counter", b->u64_id, 0);
	add_field(b, "enabled", b->u64_id, 8);
	add_field(b, "running", b->u64_id, 16);
	add_struct(b, "bpf_pidns_info", 8);
	add_field(b, "pid", b->u32_id, 0);
	add_field(b, "tgid", b->u32_id, 4);
}

static u32 add_ptr(struct builder *b, u32 to)
{
	return add_type(b, "", BTF_KIND_PTR, to);
}

static struct function_types add_function_types(struct builder *b)
{
	u32 iter = add_opaque(b, "bpf_iter_num", 1), bits = add_opaque(b, "bpf_iter_bits", 2);
	u32 dynptr = add_opaque(b, "bpf_dynptr", 2);
	struct function_types t;

	t.ptr = add_ptr(b, 0);
	t.int_ptr = add_ptr(b, b->s32_id);
	t.u64_ptr = add_ptr(b, b->u64_id);
	t.word_ptr = add_ptr(b, add_type(b, "", BTF_KIND_CONST, b->u64_id));
	t.iter_ptr = add_ptr(b, iter);
	t.bits_ptr = add_ptr(b, bits);
	t.dynptr_ptr = add_ptr(b, dynptr);
	t.const_dynptr_ptr = add_ptr(b, add_type(b, "", BTF_KIND_CONST, dynptr));
	return t;
}

static u32 type_of(const struct builder *b, const struct function_types *t, char letter)
{
	switch (letter) {
	case 'i':
		return b->s32_id;
	case 'u':
		return b->u32_id;
	case 'b':
		return b->bool_id;
	case 'p':
		return t->ptr;
	case 'P':
		return t->int_ptr;
	case 'L':
		return t->u64_ptr;
	case 'l':
		return b->u64_id;
	case 'W':
		return t->word_ptr;
	case 'I':
		return t->iter_ptr;
	case 'B':
		return t->bits_ptr;
	case 'D':
		return t->const_dynptr_ptr;
	case 'N':
		return t->dynptr_ptr;
	default:
		return 0;
	}
}

/* A FUNC is three words, the last its prototype; they are the first types. */
static void complete_functions(struct builder *b)
{
	struct function_types t = add_function_types(b);

	for (u32 i = 0; i < ARRAY_SIZE(functions); i++) {
		const char *letter = functions[i].types;

		b->words[3 * i + 2] = add_type(b, "", BTF_KIND_FUNC_PROTO, type_of(b, &t, *letter));
		while (*++letter)
			add_part(b, "", type_of(b, &t, *letter));
	}
}

/* --- the file -------------------------------------------------------------------------------- */

static int write_file(const struct builder *b, void **out, u32 *size)
{
	struct btf_header h = {
		.magic = BTF_MAGIC,
		.version = BTF_VERSION,
		.hdr_len = sizeof(h),
		.type_len = b->nwords * (u32)sizeof(u32),
		.str_off = b->nwords * (u32)sizeof(u32),
		.str_len = b->nchars,
	};
	char *p = malloc(sizeof(h) + h.type_len + h.str_len);

	if (!p)
		return -ENOMEM;
	memcpy(p, &h, sizeof(h));
	memcpy(p + sizeof(h), b->words, h.type_len);
	memcpy(p + sizeof(h) + h.str_off, b->names, h.str_len);
	*out = p;
	*size = (u32)sizeof(h) + h.str_off + h.str_len;
	return 0;
}

int btf_builtin_raw(void **out, u32 *size)
{
	_cleanup_free_ struct builder *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->nchars = 1;
	add_functions(b);
	add_base_types(b);
	add_typedefs(b);
	add_odd_typedefs(b);
	add_bpf_enums(b);
	add_helpers(b);
	add_registers(b);
	add_task(b);
	add_asked(b);
	complete_functions(b);
	return b->err ? b->err : write_file(b, out, size);
}
