/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf(2) beside the kernel's: the same call is made on both, with the same bytes, and the errno has
 * to be the same. Where the kernel has no BPF for us, or we are not root, those tests are skipped;
 * the others check what follows from the kernel's documentation.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "core/run/helper.h"
#include "syscall_fake.h"

static struct ebpf_table table;
static struct ebpf_owner owner;

/* a descriptor of the kernel's and our object of the same make */
static struct ebpf_fd fds[64];
static u32 nfds;

struct mem {
	u32 key;
	u32 in, out;
};

static void setup(void)
{
	ebpf_table_init(&table);
	table.backend = &fake_backend;
	ebpf_helper_table_init();
}

static void teardown(void)
{
	ebpf_owner_drop_all(&owner);
	ebpf_table_drop_pins(&table);
	for (u32 i = 0; i < EBPF_OBJ_KINDS; i++)
		cr_expect_eq(table.count[i], 0, "%u objects of kind %u are left", table.count[i],
			     i);
}

/* Ours. @mem: what the attribute's pointers point to. The new object's id in *id. */
static int ours(u32 cmd, const void *attr, u32 size, const struct mem *mem, u32 nmem, u32 *id)
{
	struct ebpf_buf bufs[8] = {0};
	struct ebpf_call call = {.table = &table,
				 .owner = &owner,
				 .cmd = cmd,
				 .attr_size = size,
				 .fds = fds,
				 .nfds = nfds,
				 .bufs = bufs};
	int err;

	memcpy(call.raw, attr, size < EBPF_ATTR_MAX ? size : EBPF_ATTR_MAX);
	for (u32 i = EBPF_ATTR_MAX; i < size; i++)
		call.tail |= ((const u8 *)attr)[i] != 0;
	for (u32 i = 0; i < nmem; i++) {
		u64 p;

		memcpy(&p, call.raw + mem[i].key, sizeof(p));
		if (!p)
			continue;
		bufs[call.nbufs++] = (struct ebpf_buf){.key = mem[i].key,
						       .in = mem[i].in ? (const u8 *)p : NULL,
						       .in_len = mem[i].in,
						       .out_cap = mem[i].out};
	}
	err = ebpf_syscall(&call);
	if (id && call.obj)
		*id = call.obj->id;
	for (u32 i = 0; err >= 0 && i < call.nbufs; i++)
		if (bufs[i].out && bufs[i].in)
			memcpy((void *)bufs[i].in, bufs[i].out, bufs[i].out_len);
	ebpf_call_deinit(&call);
	return err;
}

static int kernels(u32 cmd, void *attr, u32 size)
{
	long r = syscall(SYS_bpf, cmd, attr, size);

	return r < 0 ? -errno : (int)r;
}

static bool kernel_has_bpf(void)
{
	union bpf_attr a = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
	struct rlimit inf = {RLIM_INFINITY, RLIM_INFINITY};
	int fd;

	setrlimit(RLIMIT_MEMLOCK, &inf);
	fd = geteuid() ? -EPERM : kernels(BPF_MAP_CREATE, &a, sizeof(a));
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

#define NEED_KERNEL()                                                                              \
	do {                                                                                       \
		if (!kernel_has_bpf())                                                             \
			cr_skip_test("the kernel's bpf(2) is not to be had here");                 \
	} while (0)

/* The same call on both; descriptors become a pair. Returns the kernel's result. */
static int both(const char *what, u32 cmd, const void *attr, u32 size, const struct mem *mem,
		u32 nmem)
{
	u8 copy[4096] = {0};
	u32 id = 0;
	int k, o;

	memcpy(copy, attr, size);
	k = kernels(cmd, copy, size);
	o = ours(cmd, attr, size, mem, nmem, &id);
	cr_expect_eq(k < 0 ? k : 0, o < 0 ? o : 0, "%s: the kernel says %d, we say %d", what, k, o);
	if (k >= 0 && o >= 0 && id) {
		u32 kind = cmd == BPF_MAP_CREATE  ? EBPF_OBJ_MAP
			   : cmd == BPF_PROG_LOAD ? EBPF_OBJ_PROG
			   : cmd == BPF_BTF_LOAD  ? EBPF_OBJ_BTF
						  : EBPF_OBJ_LINK;
		struct ebpf_obj *obj = ebpf_obj_by_id(&table, kind, id);

		if (obj)
			fds[nfds++] = (struct ebpf_fd){k, obj->name_of_fd.ident};
	}
	return k;
}
#define BOTH(what, cmd, a, ...)                                                                    \
	both(what, cmd, &(a), sizeof(a), (struct mem[]){{0}, ##__VA_ARGS__} + 1,                   \
	     sizeof((struct mem[]){{0}, ##__VA_ARGS__}) / sizeof(struct mem) - 1)
#define KEY(f) ((u32)offsetof(union bpf_attr, f))

TestSuite(syscall, .init = setup, .fini = teardown);

/* --- maps ------------------------------------------------------------------------------------ */

static const struct {
	const char *what;
	u32 type, key, value, entries, flags;
} creates[] = {
	{"no type", 0, 4, 4, 1, 0},
	{"a type from the future", 999, 4, 4, 1, 0},
	{"array", BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0},
	{"array, key of 8", BPF_MAP_TYPE_ARRAY, 8, 4, 1, 0},
	{"array, no value", BPF_MAP_TYPE_ARRAY, 4, 0, 1, 0},
	{"array, no entries", BPF_MAP_TYPE_ARRAY, 4, 4, 0, 0},
	{"array, no-prealloc", BPF_MAP_TYPE_ARRAY, 4, 4, 1, BPF_F_NO_PREALLOC},
	{"array, mmapable", BPF_MAP_TYPE_ARRAY, 4, 4, 1, BPF_F_MMAPABLE},
	{"array, unknown flag", BPF_MAP_TYPE_ARRAY, 4, 4, 1, 1u << 30},
	{"array, read-only and write-only", BPF_MAP_TYPE_ARRAY, 4, 4, 1,
	 BPF_F_RDONLY | BPF_F_WRONLY},
	{"hash", BPF_MAP_TYPE_HASH, 4, 4, 1, 0},
	{"hash, no key", BPF_MAP_TYPE_HASH, 0, 4, 1, 0},
	{"hash, no value", BPF_MAP_TYPE_HASH, 4, 0, 1, 0},
	{"hash, no entries", BPF_MAP_TYPE_HASH, 4, 4, 0, 0},
	{"hash, no-prealloc", BPF_MAP_TYPE_HASH, 4, 4, 1, BPF_F_NO_PREALLOC},
	{"hash, mmapable", BPF_MAP_TYPE_HASH, 4, 4, 1, BPF_F_MMAPABLE},
	{"hash, own lru list", BPF_MAP_TYPE_HASH, 4, 4, 1, BPF_F_NO_COMMON_LRU},
	{"lru hash", BPF_MAP_TYPE_LRU_HASH, 4, 4, 8, 0},
	{"lru hash, no-prealloc", BPF_MAP_TYPE_LRU_HASH, 4, 4, 8, BPF_F_NO_PREALLOC},
	{"per-cpu array", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 1, 0},
	{"per-cpu array, mmapable", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 1, BPF_F_MMAPABLE},
	{"per-cpu hash", BPF_MAP_TYPE_PERCPU_HASH, 4, 4, 1, 0},
	{"per-cpu hash, large value", BPF_MAP_TYPE_PERCPU_HASH, 4, 65536, 1, 0},
	{"ring buffer", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0},
	{"ring buffer of 4097", BPF_MAP_TYPE_RINGBUF, 0, 0, 4097, 0},
	{"ring buffer of 2048", BPF_MAP_TYPE_RINGBUF, 0, 0, 2048, 0},
	{"ring buffer with a key", BPF_MAP_TYPE_RINGBUF, 4, 0, 4096, 0},
	{"perf event array", BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2, 0},
	{"perf event array, value of 8", BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 8, 2, 0},
	{"program array", BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2, 0},
	{"program array, key of 8", BPF_MAP_TYPE_PROG_ARRAY, 8, 4, 2, 0},
	{"program array, read-only for programs", BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2,
	 BPF_F_RDONLY_PROG},
};

Test(syscall, map_create_as_the_kernel)
{
	NEED_KERNEL();
	for (u32 i = 0; i < ARRAY_SIZE(creates); i++) {
		union bpf_attr a = {.map_type = creates[i].type,
				    .key_size = creates[i].key,
				    .value_size = creates[i].value,
				    .max_entries = creates[i].entries,
				    .map_flags = creates[i].flags};
		int fd = BOTH(creates[i].what, BPF_MAP_CREATE, a);

		if (fd >= 0)
			close(fd);
	}
}

static union bpf_attr array_attr(void)
{
	return (union bpf_attr){
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 2};
}

static void expect_create(const char *what, union bpf_attr a)
{
	int fd = BOTH(what, BPF_MAP_CREATE, a);

	if (fd >= 0)
		close(fd);
}

Test(syscall, map_create_fields_as_the_kernel)
{
	union bpf_attr a;

	NEED_KERNEL();
	a = array_attr();
	strcpy(a.map_name, "a.good_NAME1");
	expect_create("name", a);
	a = array_attr();
	strcpy(a.map_name, "bad-name");
	expect_create("name with a dash", a);
	a = array_attr();
	memset(a.map_name, 'x', sizeof(a.map_name));
	expect_create("name without an end", a);
	a = array_attr();
	a.map_extra = 1;
	expect_create("map_extra", a);
	a = array_attr();
	a.btf_key_type_id = 1;
	expect_create("key type without value type", a);
	a = array_attr();
	a.btf_value_type_id = 1;
	a.btf_fd = 9999;
	expect_create("types of no BTF", a);
	a = array_attr();
	a.btf_vmlinux_value_type_id = 1;
	expect_create("kernel type", a);
	a = array_attr();
	a.map_ifindex = 0x7ffffff0;
	expect_create("device", a);
}

Test(syscall, size_of_attribute_as_the_kernel)
{
	u8 big[4096] = {0};
	union bpf_attr a = array_attr();
	int fd;

	NEED_KERNEL();
	memcpy(big, &a, sizeof(a));
	fd = both("larger than the kernel knows, zero", BPF_MAP_CREATE, big, sizeof(big), NULL, 0);
	if (fd >= 0)
		close(fd);
	big[4000] = 1;
	both("larger than the kernel knows, not zero", BPF_MAP_CREATE, big, sizeof(big), NULL, 0);
	memset(big, 0, sizeof(big));
	memcpy(big, &a, sizeof(a));
	big[120] = 1;
	both("behind the last field", BPF_MAP_CREATE, big, 128, NULL, 0);
	fd = both("shorter than it could be", BPF_MAP_CREATE, big, 20, NULL, 0);
	if (fd >= 0)
		close(fd);
	both("no such command", 1000, big, 64, NULL, 0);
}

/* --- elements -------------------------------------------------------------------------------- */

static int make(u32 type, u32 key, u32 value, u32 entries)
{
	union bpf_attr a = {
		.map_type = type, .key_size = key, .value_size = value, .max_entries = entries};

	return BOTH("make", BPF_MAP_CREATE, a);
}

static void elem(const char *what, u32 cmd, int fd, u64 key, u64 flags)
{
	u64 k = key, value[16] = {1}, next[2] = {0};
	union bpf_attr a = {.map_fd = fd, .key = (u64)&k, .flags = flags};

	a.value = cmd == BPF_MAP_GET_NEXT_KEY  ? (u64)next
		  : cmd == BPF_MAP_DELETE_ELEM ? 0
					       : (u64)value;
	BOTH(what, cmd, a, {KEY(key), 8, 0}, {KEY(value), 128, 128});
}

Test(syscall, elements_as_the_kernel)
{
	int array, hash;

	NEED_KERNEL();
	array = make(BPF_MAP_TYPE_ARRAY, 4, 8, 2);
	hash = make(BPF_MAP_TYPE_HASH, 8, 8, 2);
	elem("array, there", BPF_MAP_LOOKUP_ELEM, array, 1, 0);
	elem("array, beyond", BPF_MAP_LOOKUP_ELEM, array, 2, 0);
	elem("array, flags", BPF_MAP_LOOKUP_ELEM, array, 1, 1);
	elem("array, lock", BPF_MAP_LOOKUP_ELEM, array, 1, BPF_F_LOCK);
	elem("array update", BPF_MAP_UPDATE_ELEM, array, 1, BPF_ANY);
	elem("array update, new", BPF_MAP_UPDATE_ELEM, array, 1, BPF_NOEXIST);
	elem("array update, beyond", BPF_MAP_UPDATE_ELEM, array, 2, BPF_ANY);
	elem("array update, flags", BPF_MAP_UPDATE_ELEM, array, 1, 77);
	elem("array delete", BPF_MAP_DELETE_ELEM, array, 1, 0);
	elem("array next", BPF_MAP_GET_NEXT_KEY, array, 0, 0);
	elem("array next of the last", BPF_MAP_GET_NEXT_KEY, array, 1, 0);
	elem("array next of beyond", BPF_MAP_GET_NEXT_KEY, array, 7, 0);
	elem("array lookup and delete", BPF_MAP_LOOKUP_AND_DELETE_ELEM, array, 1, 0);
	elem("hash, not there", BPF_MAP_LOOKUP_ELEM, hash, 1, 0);
	elem("hash update, old", BPF_MAP_UPDATE_ELEM, hash, 1, BPF_EXIST);
	elem("hash update, new", BPF_MAP_UPDATE_ELEM, hash, 1, BPF_NOEXIST);
	elem("hash update, new again", BPF_MAP_UPDATE_ELEM, hash, 1, BPF_NOEXIST);
	elem("hash, there", BPF_MAP_LOOKUP_ELEM, hash, 1, 0);
	elem("hash update, second", BPF_MAP_UPDATE_ELEM, hash, 2, BPF_ANY);
	elem("hash update, full", BPF_MAP_UPDATE_ELEM, hash, 3, BPF_ANY);
	elem("hash delete", BPF_MAP_DELETE_ELEM, hash, 1, 0);
	elem("hash delete again", BPF_MAP_DELETE_ELEM, hash, 1, 0);
	elem("hash lookup and delete", BPF_MAP_LOOKUP_AND_DELETE_ELEM, hash, 2, 0);
	elem("no descriptor", BPF_MAP_LOOKUP_ELEM, 9999, 1, 0);
	close(array);
	close(hash);
}

static void keyless(const char *what, u32 cmd, int fd, u64 flags)
{
	u64 value[16] = {1};
	union bpf_attr a = {.map_fd = fd, .flags = flags};

	if (cmd != BPF_MAP_DELETE_ELEM)
		a.value = (u64)value;
	BOTH(what, cmd, a, {KEY(value), 128, 128});
}

Test(syscall, elements_without_keys_as_the_kernel)
{
	const u32 types[] = {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK, BPF_MAP_TYPE_BLOOM_FILTER};
	int fd_of[ARRAY_SIZE(types)];

	NEED_KERNEL();
	for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
		int fd = fd_of[i] = make(types[i], 0, 8, 2);

		keyless("nothing there", BPF_MAP_LOOKUP_ELEM, fd, 0);
		keyless("nothing to take", BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, 0);
		keyless("push", BPF_MAP_UPDATE_ELEM, fd, 0);
		keyless("push again", BPF_MAP_UPDATE_ELEM, fd, 0);
		keyless("push once more", BPF_MAP_UPDATE_ELEM, fd, 0);
		keyless("push, exist", BPF_MAP_UPDATE_ELEM, fd, BPF_EXIST);
		keyless("push, noexist", BPF_MAP_UPDATE_ELEM, fd, BPF_NOEXIST);
		keyless("peek", BPF_MAP_LOOKUP_ELEM, fd, 0);
		keyless("peek, flags", BPF_MAP_LOOKUP_ELEM, fd, 1);
		keyless("pop", BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, 0);
		keyless("pop, lock", BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, BPF_F_LOCK);
		keyless("delete", BPF_MAP_DELETE_ELEM, fd, 0);
		elem("lookup with a key", BPF_MAP_LOOKUP_ELEM, fd, 1, 0);
		elem("update with a key", BPF_MAP_UPDATE_ELEM, fd, 1, 0);
		elem("delete with a key", BPF_MAP_DELETE_ELEM, fd, 1, 0);
		elem("next of a key", BPF_MAP_GET_NEXT_KEY, fd, 1, 0);
	}
	for (u32 i = 0; i < ARRAY_SIZE(types); i++)
		close(fd_of[i]); /* not before: a number stands for one map here */
}

Test(syscall, references_as_the_kernel)
{
	int progs, events;

	NEED_KERNEL();
	progs = make(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
	events = make(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 2);
	elem("empty entry", BPF_MAP_LOOKUP_ELEM, progs, 0, 0);
	fds[nfds++] = (struct ebpf_fd){1, {0, 0}};
	elem("not a program", BPF_MAP_UPDATE_ELEM, progs, 0, 0);
	elem("beyond", BPF_MAP_UPDATE_ELEM, progs, 2, 0);
	elem("delete empty", BPF_MAP_DELETE_ELEM, progs, 0, 0);
	elem("delete beyond", BPF_MAP_DELETE_ELEM, progs, 2, 0);
	elem("event array lookup", BPF_MAP_LOOKUP_ELEM, events, 0, 0);
	elem("delete empty event", BPF_MAP_DELETE_ELEM, events, 0, 0);
	close(progs);
	close(events);
}

Test(syscall, freeze_as_the_kernel)
{
	int fd;

	NEED_KERNEL();
	fd = make(BPF_MAP_TYPE_ARRAY, 4, 8, 2);
	union bpf_attr a = {.map_fd = fd};
	BOTH("freeze", BPF_MAP_FREEZE, a);
	BOTH("freeze again", BPF_MAP_FREEZE, a);
	elem("update frozen", BPF_MAP_UPDATE_ELEM, fd, 1, BPF_ANY);
	elem("read frozen", BPF_MAP_LOOKUP_ELEM, fd, 1, 0);
	a.map_fd = 9999;
	BOTH("freeze nothing", BPF_MAP_FREEZE, a);
	close(fd);
}

/* What a program may take for a constant is one, whoever has the memory mapped. */
Test(syscall, constants_are_a_copy)
{
	union bpf_attr create = {.map_type = BPF_MAP_TYPE_ARRAY,
				 .key_size = 4,
				 .value_size = 8,
				 .max_entries = 1,
				 .map_flags = BPF_F_RDONLY_PROG | BPF_F_MMAPABLE};
	union bpf_attr freeze = {.map_fd = 1};
	struct ebpf_map_obj *m;
	u64 *scribbler;
	void *later;
	u32 id;

	cr_assert_eq(ours(BPF_MAP_CREATE, &create, sizeof(create), NULL, 0, &id), 0);
	m = ebpf_obj_map(ebpf_obj_by_id(&table, EBPF_OBJ_MAP, id));
	fds[nfds++] = (struct ebpf_fd){1, m->obj.name_of_fd.ident};
	cr_assert_eq(osl_shm_map(m->obj.fd, 0, m->obj.size, true, (void **)&scribbler), 0);
	*scribbler = 7;
	cr_assert_eq(ours(BPF_MAP_FREEZE, &freeze, sizeof(freeze), NULL, 0, NULL), 0);
	*scribbler = 8;
	cr_expect_eq(*(u64 *)m->map.base, 7u);
	cr_expect_neq(osl_shm_map(m->const_fd, 0, m->obj.size, true, &later), 0);
	osl_shm_unmap(scribbler, m->obj.size);
}

/* --- programs -------------------------------------------------------------------------------- */

static const struct bpf_insn ret0[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
	{.code = BPF_JMP | BPF_EXIT},
};

static union bpf_attr prog_attr(void)
{
	return (union bpf_attr){.prog_type = BPF_PROG_TYPE_KPROBE,
				.insns = (u64)ret0,
				.insn_cnt = 2,
				.license = (u64) "GPL"};
}

static void expect_load(const char *what, union bpf_attr a)
{
	int fd = BOTH(what, BPF_PROG_LOAD, a, {KEY(insns), sizeof(ret0), 0}, {KEY(license), 4, 0},
		      {KEY(log_buf), 0, a.log_size});

	if (fd >= 0)
		close(fd);
}

Test(syscall, prog_load_as_the_kernel)
{
	static char log[4096];
	union bpf_attr a = prog_attr();

	NEED_KERNEL();
	expect_load("program", a);
	a.insn_cnt = 0;
	expect_load("no instructions", a);
	a.insn_cnt = 1u << 24;
	expect_load("too many", a);
	a = prog_attr();
	a.license = 0;
	expect_load("no license", a);
	a = prog_attr();
	a.prog_type = 4711;
	expect_load("unknown type", a);
	a = prog_attr();
	a.prog_flags = 1u << 30;
	expect_load("unknown flags", a);
	a = prog_attr();
	strcpy(a.prog_name, "has space");
	expect_load("bad name", a);
	a = prog_attr();
	a.log_level = 1;
	a.log_buf = (u64)log;
	a.log_size = sizeof(log);
	expect_load("log", a);
	a.log_level = 0;
	expect_load("log of level 0", a);
	a.log_level = 64;
	expect_load("unknown level", a);
	a.log_level = 1;
	a.log_size = 0;
	expect_load("log without size", a);
	a = prog_attr();
	a.log_size = 100;
	expect_load("size without log", a);
	a = prog_attr();
	a.insns = 0;
	expect_load("instructions nowhere", a);
	a = prog_attr();
	a.func_info_cnt = 1;
	a.func_info_rec_size = 8;
	a.prog_btf_fd = 9999;
	expect_load("func_info of no BTF", a);
	a = prog_attr();
	a.prog_type = BPF_PROG_TYPE_CGROUP_SOCK;
	a.expected_attach_type = BPF_TRACE_FENTRY;
	expect_load("wrong attach type", a);
}

/* --- the others ------------------------------------------------------------------------------ */

Test(syscall, btf_load_as_the_kernel)
{
	static u8 junk[64];
	static struct {
		struct btf_header h;
		struct btf_type t;
		u32 enc;
		char strs[8];
	} good = {
		.h = {.magic = BTF_MAGIC,
		      .version = 1,
		      .hdr_len = 24,
		      .type_len = 16,
		      .str_off = 16,
		      .str_len = 8},
		.t = {.name_off = 1, .info = BTF_KIND_INT << 24, .size = 4},
		.enc = 32,
		.strs = "\0int",
	};
	union bpf_attr a = {.btf = (u64)&good, .btf_size = sizeof(good)};
	int fd;

	NEED_KERNEL();
	fd = BOTH("BTF", BPF_BTF_LOAD, a, {KEY(btf), sizeof(good), 0});
	close(fd);
	good.h.str_len = 9;
	BOTH("strings beyond the end", BPF_BTF_LOAD, a, {KEY(btf), sizeof(good), 0});
	good.h.str_len = 8;
	good.h.version = 2;
	BOTH("version", BPF_BTF_LOAD, a, {KEY(btf), sizeof(good), 0});
	good.h.version = 1;
	good.t.name_off = 100;
	BOTH("name beyond the end", BPF_BTF_LOAD, a, {KEY(btf), sizeof(good), 0});
	good.t.name_off = 1;
	good.t.info = 30u << 24;
	BOTH("kind", BPF_BTF_LOAD, a, {KEY(btf), sizeof(good), 0});
	a = (union bpf_attr){.btf = (u64)junk, .btf_size = sizeof(junk)};
	BOTH("junk", BPF_BTF_LOAD, a, {KEY(btf), sizeof(junk), 0});
	a.btf_size = 3;
	BOTH("too short", BPF_BTF_LOAD, a, {KEY(btf), 3, 0});
	a.btf_size = 32u << 20;
	BOTH("too long", BPF_BTF_LOAD, a, {KEY(btf), sizeof(junk), 0});
}

Test(syscall, ids_as_the_kernel)
{
	static const u32 cmds[] = {BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID,
				   BPF_BTF_GET_FD_BY_ID, BPF_LINK_GET_FD_BY_ID};
	union bpf_attr a = {.start_id = 0x7fffffff};

	NEED_KERNEL();
	BOTH("start at the end", BPF_MAP_GET_NEXT_ID, a);
	a.start_id = 0x7ffffffe;
	BOTH("start at the last", BPF_PROG_GET_NEXT_ID, a);
	for (u32 i = 0; i < ARRAY_SIZE(cmds); i++) {
		a = (union bpf_attr){.map_id = 0x7ffffff0};
		BOTH("no such id", cmds[i], a);
		a.next_id = 1;
		/* newer kernels have taken the field into use for this one */
		if (cmds[i] != BPF_BTF_GET_FD_BY_ID)
			BOTH("next_id given", cmds[i], a);
	}
	a = (union bpf_attr){.map_id = 1, .open_flags = 0x100};
	BOTH("flags", BPF_MAP_GET_FD_BY_ID, a);
}

Test(syscall, pins_and_info_as_the_kernel)
{
	int null = open("/dev/null", O_RDONLY);
	static u8 info[512];
	union bpf_attr a = {.bpf_fd = 9999, .pathname = (u64) "/sys/fs/bpf/x"};

	NEED_KERNEL();
	BOTH("pin nothing", BPF_OBJ_PIN, a, {KEY(pathname), 14, 0});
	a.file_flags = 1;
	BOTH("pin with flags", BPF_OBJ_PIN, a, {KEY(pathname), 14, 0});
	a = (union bpf_attr){.pathname = (u64) "/sys/fs/bpf/not_there"};
	BOTH("get nothing", BPF_OBJ_GET, a, {KEY(pathname), 22, 0});
	a.file_flags = 0x100;
	BOTH("get with flags", BPF_OBJ_GET, a, {KEY(pathname), 22, 0});
	a.file_flags = 0;
	a.bpf_fd = 3;
	BOTH("get with descriptor", BPF_OBJ_GET, a, {KEY(pathname), 22, 0});
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = 9999;
	a.info.info_len = 8;
	a.info.info = (u64)info;
	BOTH("info of nothing", BPF_OBJ_GET_INFO_BY_FD, a, {KEY(info.info), 512, 512});
	close(null);
}

Test(syscall, links_as_the_kernel)
{
	union bpf_attr a = prog_attr();
	int prog;

	NEED_KERNEL();
	prog = BOTH("program", BPF_PROG_LOAD, a, {KEY(insns), sizeof(ret0), 0},
		    {KEY(license), 4, 0});
	memset(&a, 0, sizeof(a));
	a.link_create.prog_fd = 9999;
	BOTH("no program", BPF_LINK_CREATE, a);
	a.link_create.prog_fd = prog;
	a.link_create.attach_type = 4711;
	BOTH("unknown attach type", BPF_LINK_CREATE, a);
	a.link_create.attach_type = BPF_XDP;
	BOTH("foreign attach type", BPF_LINK_CREATE, a);
	a.link_create.attach_type = BPF_PERF_EVENT;
	a.link_create.target_fd = 9999;
	BOTH("no event", BPF_LINK_CREATE, a);
	memset(&a, 0, sizeof(a));
	a.link_update.link_fd = 9999;
	BOTH("update no link", BPF_LINK_UPDATE, a);
	a.link_update.flags = 8;
	BOTH("update with flags", BPF_LINK_UPDATE, a);
	memset(&a, 0, sizeof(a));
	a.link_detach.link_fd = 9999;
	BOTH("detach no link", BPF_LINK_DETACH, a);
	memset(&a, 0, sizeof(a));
	a.enable_stats.type = 5;
	BOTH("unknown statistics", BPF_ENABLE_STATS, a);
	memset(&a, 0, sizeof(a));
	a.test.prog_fd = 9999;
	BOTH("run nothing", BPF_PROG_TEST_RUN, a);
	a.test.ctx_size_in = 8;
	BOTH("run with half a context", BPF_PROG_TEST_RUN, a);
	memset(&a, 0, sizeof(a));
	a.prog_bind_map.prog_fd = prog;
	a.prog_bind_map.map_fd = 9999;
	BOTH("bind nothing", BPF_PROG_BIND_MAP, a);
	a.prog_bind_map.flags = 1;
	BOTH("bind with flags", BPF_PROG_BIND_MAP, a);
	close(prog);
}

/* --- without the kernel ---------------------------------------------------------------------- */

static u32 make_ours(u32 cmd, union bpf_attr a, const struct mem *mem, u32 nmem)
{
	u32 id = 0;
	struct ebpf_obj *obj;
	int err = ours(cmd, &a, sizeof(a), mem, nmem, &id);

	cr_assert_eq(err, 0, "error %d", err);
	obj = ebpf_obj_by_id(&table, cmd == BPF_MAP_CREATE ? EBPF_OBJ_MAP : EBPF_OBJ_PROG, id);
	cr_assert(obj);
	fds[nfds] = (struct ebpf_fd){100 + (s32)nfds, obj->name_of_fd.ident};
	return 100 + nfds++;
}

Test(syscall, map_info_tells_what_was_made)
{
	struct bpf_map_info info = {0};
	union bpf_attr a = array_attr();
	u32 fd;

	strcpy(a.map_name, "mine");
	fd = make_ours(BPF_MAP_CREATE, a, NULL, 0);
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = fd;
	a.info.info_len = sizeof(info);
	a.info.info = (u64)&info;
	cr_assert_eq(ours(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a),
			  &(struct mem){KEY(info.info), sizeof(info), sizeof(info)}, 1, NULL),
		     0);
	cr_expect_str_eq(info.name, "mine");
	cr_expect_eq(info.type, BPF_MAP_TYPE_ARRAY);
	cr_expect_eq(info.max_entries, 2);
	cr_expect_eq(info.value_size, 4);
	cr_expect_neq(info.id, 0);
}

/* The map stays while a program uses it, though nobody holds a descriptor of it. */
Test(syscall, program_keeps_its_maps)
{
	union bpf_attr a = array_attr();
	u32 map_fd = make_ours(BPF_MAP_CREATE, a, NULL, 0);
	struct bpf_insn insns[] = {
		{.code = BPF_LD | BPF_IMM | BPF_DW,
		 .dst_reg = 1,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = map_fd},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct mem mem[] = {{KEY(insns), sizeof(insns), 0}, {KEY(license), 4, 0}};
	struct ebpf_obj *map = ebpf_obj_by_ident(&table, &fds[0].ident);
	struct ebpf_prog_obj *p;
	u32 fd, map_id = map->id;

	a = prog_attr();
	a.insns = (u64)insns;
	a.insn_cnt = 4;
	fd = make_ours(BPF_PROG_LOAD, a, mem, 2);
	cr_assert_eq(fd, map_fd + 1);
	ebpf_owner_drop(&owner, map);
	cr_expect(ebpf_obj_by_id(&table, EBPF_OBJ_MAP, map_id));
	p = ebpf_obj_prog(ebpf_obj_by_ident(&table, &fds[1].ident));
	cr_expect_eq(p->nmaps, 1);
	cr_expect_eq(p->xlated[0].imm, map_id, "the dump names maps by their ids");
	ebpf_owner_drop(&owner, &p->obj);
	cr_expect_not(ebpf_obj_by_id(&table, EBPF_OBJ_MAP, map_id));
}

static int pin(u32 fd, const char *path)
{
	union bpf_attr a = {.bpf_fd = fd, .pathname = (u64)path};

	return ours(BPF_OBJ_PIN, &a, sizeof(a), &(struct mem){KEY(pathname), strlen(path) + 1, 0},
		    1, NULL);
}

static int get(const char *path, u32 *id)
{
	union bpf_attr a = {.pathname = (u64)path};

	return ours(BPF_OBJ_GET, &a, sizeof(a), &(struct mem){KEY(pathname), strlen(path) + 1, 0},
		    1, id);
}

Test(syscall, pins_hold_objects_while_they_have_names)
{
	union bpf_attr a = array_attr();
	u32 fd = make_ours(BPF_MAP_CREATE, a, NULL, 0), id = 0, map_id;
	struct ebpf_obj *map = ebpf_obj_by_ident(&table, &fds[0].ident);

	map_id = map->id;
	cr_expect_eq(pin(fd, "/sys/fs/bpf//m"), 0);
	cr_expect_eq(pin(fd, "/sys/fs/bpf/m"), -EEXIST);
	cr_expect_eq(pin(fd, "/sys/fs/bpf/other"), 0);
	cr_expect_eq(pin(fd, "/sys/fs/bpf"), -EEXIST);
	cr_expect_eq(pin(fd, "/sys/fs/bpfx"), -EPERM);
	cr_expect_eq(pin(fd, "/tmp/m"), -EPERM);
	cr_expect_eq(table.npins, 2);
	ebpf_owner_drop(&owner, map);
	cr_expect_eq(get("/sys/fs/bpf/m", &id), 0);
	cr_expect_eq(id, map_id);
	cr_expect_eq(get("/sys/fs/bpf/", &id), -EACCES, "a directory");
	cr_expect_eq(get("/sys/fs/bpf/none", &id), -ENOENT);
	cr_expect_eq(get("/tmp/m", &id), -ENOENT);
	ebpf_owner_drop(&owner, map);
	fake_names[0][0] = '\0';
	ebpf_pin_sync(&table);
	cr_expect_eq(table.npins, 1);
	cr_expect(ebpf_obj_by_id(&table, EBPF_OBJ_MAP, map_id), "it has another name");
	fake_names[1][0] = '\0';
	ebpf_pin_sync(&table);
	cr_expect_eq(table.npins, 0);
	cr_expect_not(ebpf_obj_by_id(&table, EBPF_OBJ_MAP, map_id));
}

static int multi(u32 prog_fd, const struct ebpf_attr_uprobe_multi *m)
{
	union bpf_attr a = {0};
	struct mem mem[] = {{16, 7, 0}, {24, m->cnt < 8 ? m->cnt * 8 : 8, 0}, {40, 8, 0}};

	a.link_create.prog_fd = prog_fd;
	a.link_create.attach_type = EBPFRT_BPF_TRACE_UPROBE_MULTI;
	memcpy((u8 *)&a + 16, m, sizeof(*m));
	return ours(BPF_LINK_CREATE, &a, sizeof(a), mem, 3, NULL);
}

Test(syscall, uprobe_multi_checks_its_fields)
{
	static u64 offsets[1] = {64};
	struct mem mem[] = {{KEY(insns), sizeof(ret0), 0}, {KEY(license), 4, 0}};
	struct ebpf_attr_uprobe_multi m = {
		.path = (u64) "/there", .offsets = (u64)offsets, .cnt = 1};
	union bpf_attr a = prog_attr();
	u32 fd;

	a.expected_attach_type = EBPFRT_BPF_TRACE_UPROBE_MULTI;
	fd = make_ours(BPF_PROG_LOAD, a, mem, 2);
	cr_expect_eq(multi(fd, &m), 0);
	cr_expect_eq(fake_attached, 0, "the link went with its last reference");
	m.cnt = 0;
	cr_expect_eq(multi(fd, &m), -EINVAL);
	m.cnt = (1u << 20) + 1;
	cr_expect_eq(multi(fd, &m), -E2BIG);
	m.cnt = 1;
	m.flags = 2;
	cr_expect_eq(multi(fd, &m), -EINVAL);
	m.flags = 0;
	m.path = (u64) "/";
	cr_expect_eq(multi(fd, &m), -EBADF, "what libbpf's probe expects of a directory");
	m.offsets = 0;
	cr_expect_eq(multi(fd, &m), -EINVAL);
}

Test(syscall, owner_quota_holds)
{
	union bpf_attr a = array_attr();

	owner.max = 2;
	cr_expect_eq(ours(BPF_MAP_CREATE, &a, sizeof(a), NULL, 0, NULL), 0);
	cr_expect_eq(ours(BPF_MAP_CREATE, &a, sizeof(a), NULL, 0, NULL), 0);
	cr_expect_eq(ours(BPF_MAP_CREATE, &a, sizeof(a), NULL, 0, NULL), -ENFILE);
	table.map_bytes_max = 1;
	owner.max = 0;
	cr_expect_eq(ours(BPF_MAP_CREATE, &a, sizeof(a), NULL, 0, NULL), -ENOMEM);
}
