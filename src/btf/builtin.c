/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel types that tracing programs name, described by hand: enough that an object compiled
 * with a vmlinux.h finds its pt_regs when it runs in user space, on a machine that exports no BTF.
 *
 * Rules: pt_regs is exactly what a program's context is here (arch.h). Of the other structures only
 * the members are there that a user-space tracer can sensibly name; CO-RE matches by name, so their
 * order and the members left out don't matter. Everything is appended in one go; the first error
 * sticks in `err`. The kernel functions (kfuncs) that are served come first: a program calls one by
 * the number of its FUNC, and the verifier knows these numbers (verify_proto.h, enum ebpf_kfunc).
 */
#include "btf/btf.h"

#include <bpf/btf.h>
#include <errno.h>

#include "base/macros.h"

struct builder {
	struct btf *btf;
	int err;
	int u8_id, u16_id, u32_id, u64_id, s32_id, s64_id, char_id, ulong_id, index_id, bool_id;
};

/* Passes ids through, remembers the first failure. */
static int keep(struct builder *b, int id)
{
	if (id < 0 && !b->err)
		b->err = id;
	return id;
}

static int add_int(struct builder *b, const char *name, size_t size, int encoding)
{
	return keep(b, btf__add_int(b->btf, name, size, encoding));
}

static int add_typedef(struct builder *b, const char *name, int id)
{
	return keep(b, btf__add_typedef(b->btf, name, id));
}

static void add_field(struct builder *b, const char *name, int id, u32 byte_offset)
{
	keep(b, btf__add_field(b->btf, name, id, byte_offset * 8, 0));
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
}

/* A structure of unsigned longs, in order. */
static void add_register_struct(struct builder *b, const char *name, const char *const *regs,
				size_t n)
{
	keep(b, btf__add_struct(b->btf, name, n * 8));
	for (size_t i = 0; i < n; i++)
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
	int regs;

	add_register_struct(b, "pt_regs", x86, ARRAY_SIZE(x86));
	regs = keep(b, btf__add_array(b->btf, b->index_id, b->u64_id, 31));
	keep(b, btf__add_struct(b->btf, "user_pt_regs", 34 * 8));
	add_field(b, "regs", regs, 0);
	add_field(b, "sp", b->u64_id, 31 * 8);
	add_field(b, "pc", b->u64_id, 32 * 8);
	add_field(b, "pstate", b->u64_id, 33 * 8);
}

static void add_task(struct builder *b)
{
	int comm = keep(b, btf__add_array(b->btf, b->index_id, b->char_id, 16));
	int task, ptr;

	/* a pointer to the structure that follows it */
	task = (int)btf__type_cnt(b->btf) + 1;
	ptr = keep(b, btf__add_ptr(b->btf, task));
	keep(b, btf__add_struct(b->btf, "task_struct", 72));
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
 * pointer, P int pointer, I iterator, D const dynptr, N new dynptr.
 */
static const struct {
	const char *name, *types;
} functions[] = {
	{"bpf_iter_num_new", "iIii"},	{"bpf_iter_num_next", "PI"},
	{"bpf_iter_num_destroy", "vI"}, {"bpf_dynptr_adjust", "iDuu"},
	{"bpf_dynptr_size", "uD"},	{"bpf_dynptr_is_null", "bD"},
	{"bpf_dynptr_is_rdonly", "bD"}, {"bpf_dynptr_clone", "iDN"},
	{"bpf_dynptr_slice", "pDupu"},	{"bpf_dynptr_slice_rdwr", "pDupu"},
	{"bpf_rcu_read_lock", "v"},	{"bpf_rcu_read_unlock", "v"},
};

struct function_types {
	int ptr, int_ptr, iter_ptr, dynptr_ptr, const_dynptr_ptr;
};

/* Their numbers; the types they refer to come at the end. */
static void add_functions(struct builder *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		keep(b, btf__add_func(b->btf, functions[i].name, BTF_FUNC_STATIC, 1));
}

static int add_opaque(struct builder *b, const char *name, u32 words)
{
	int id = keep(b, btf__add_struct(b->btf, name, words * 8));
	int array = (int)btf__type_cnt(b->btf);

	add_field(b, "__opaque", words == 1 ? b->u64_id : array, 0);
	if (words != 1)
		keep(b, btf__add_array(b->btf, b->index_id, b->u64_id, words));
	return id;
}

static struct function_types add_function_types(struct builder *b)
{
	struct function_types t;
	int iter = add_opaque(b, "bpf_iter_num", 1), dynptr = add_opaque(b, "bpf_dynptr", 2);

	t.ptr = keep(b, btf__add_ptr(b->btf, 0));
	t.int_ptr = keep(b, btf__add_ptr(b->btf, b->s32_id));
	t.iter_ptr = keep(b, btf__add_ptr(b->btf, iter));
	t.dynptr_ptr = keep(b, btf__add_ptr(b->btf, dynptr));
	t.const_dynptr_ptr = keep(b, btf__add_ptr(b->btf, keep(b, btf__add_const(b->btf, dynptr))));
	return t;
}

static int type_of(const struct builder *b, const struct function_types *t, char letter)
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
	case 'I':
		return t->iter_ptr;
	case 'D':
		return t->const_dynptr_ptr;
	case 'N':
		return t->dynptr_ptr;
	default:
		return 0;
	}
}

static void complete_functions(struct builder *b)
{
	struct function_types t = add_function_types(b);

	for (size_t i = 0; i < ARRAY_SIZE(functions) && !b->err; i++) {
		const char *letter = functions[i].types;
		int proto = keep(b, btf__add_func_proto(b->btf, type_of(b, &t, *letter)));

		while (*++letter)
			keep(b, btf__add_func_param(b->btf, "", type_of(b, &t, *letter)));
		if (!b->err) /* ours, and still being made */
			((struct btf_type *)btf__type_by_id(b->btf, (u32)i + 1))->type = (u32)proto;
	}
}

int btf_builtin(struct btf **out)
{
	struct builder b = {.btf = btf__new_empty()};

	if (!b.btf)
		return -ENOMEM;
	add_functions(&b);
	add_base_types(&b);
	add_typedefs(&b);
	add_registers(&b);
	add_task(&b);
	complete_functions(&b);
	if (b.err) {
		btf__free(b.btf);
		return b.err;
	}
	*out = b.btf;
	return 0;
}
