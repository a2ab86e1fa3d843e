/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The maps, the BTF and the two verifiers of the conformance cases.
 *
 * Model: the maps are described once, here; ours sees the description, the kernel gets maps made
 * from it. Descriptors take the place of indices in a copy of the program.
 */
#include "tests/verify/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "core/load/verify_btf.h"
#include "core/load/verify_proto.h"
#include "core/load/vstate.h"

#define LOG_SIZE (1u << 20)
#define MAX_INSNS 32768

/* --- BTF ------------------------------------------------------------------------------------- */

static struct {
	struct btf_header head;
	u8 data[8192];
} btf;
static u8 types[4096];
static char strs[2048];
static u32 types_len, strs_len = 1, ntypes;
static u32 func_id[T_LAST], lock_value, timer_value, int_type;

static u32 str(const char *s)
{
	u32 at = strs_len;

	if (!s)
		return 0;
	strs_len += (u32)strlen(s) + 1;
	memcpy(strs + at, s, strlen(s) + 1);
	return at;
}

static void word(u32 w)
{
	memcpy(types + types_len, &w, sizeof(w));
	types_len += sizeof(w);
}

static u32 type(const char *name, u32 kind, u32 vlen, u32 size)
{
	word(str(name));
	word(kind << 24 | vlen);
	word(size);
	return ++ntypes;
}

static u32 pointer(u32 to)
{
	return type(NULL, BTF_KIND_PTR, 0, to);
}

static u32 number(const char *name, u32 size)
{
	u32 id = type(name, BTF_KIND_INT, 0, size);

	word(BTF_INT_SIGNED << 24 | size * 8);
	return id;
}

static void member(const char *name, u32 of, u32 off)
{
	word(str(name));
	word(of);
	word(off * 8);
}

/* a function of @nargs arguments; they are args[] */
static void func(enum vtype_id id, const char *name, u32 linkage, u32 ret, const u32 *args,
		 u32 nargs)
{
	u32 proto = type(NULL, BTF_KIND_FUNC_PROTO, nargs, ret);

	for (u32 i = 0; i < nargs; i++) {
		char arg[2] = {(char)('a' + i), 0};

		word(str(arg));
		word(args[i]);
	}
	func_id[id] = type(name, BTF_KIND_FUNC, linkage, proto);
}
#define FUNC(id, name, linkage, ret, ...)                                                          \
	func(id, name, linkage, ret, (const u32[]){__VA_ARGS__},                                   \
	     sizeof((const u32[]){__VA_ARGS__}) / sizeof(u32))

static void value_types(u32 i, u32 l)
{
	u32 lock, timer;

	lock = type("bpf_spin_lock", BTF_KIND_STRUCT, 1, 4);
	member("val", i, 0);
	timer = type("bpf_timer", BTF_KIND_STRUCT, 2, 16);
	member("a", l, 0);
	member("b", l, 8);
	lock_value = type("locked", BTF_KIND_STRUCT, 3, 16);
	member("n", i, 0);
	member("l", lock, 4);
	member("x", l, 8);
	timer_value = type("timed", BTF_KIND_STRUCT, 2, 24);
	member("t", timer, 0);
	member("x", l, 16);
}

static void exception_tag(enum vtype_id id, const char *tag)
{
	type(tag, BTF_KIND_DECL_TAG, 0, func_id[id]);
	word(~0u);
}

static void exception_types(u32 i)
{
	FUNC(T_MAIN_EXC, "main_exc", 1, i, i);
	exception_tag(T_MAIN_EXC, "exception_callback:g_int");
	FUNC(T_MAIN_EXC2, "main_exc2", 1, i, i);
	exception_tag(T_MAIN_EXC2, "exception_callback:g_int");
	exception_tag(T_MAIN_EXC2, "exception_callback:g_void");
	FUNC(T_MAIN_EXCS, "main_excs", 1, i, i);
	exception_tag(T_MAIN_EXCS, "exception_callback:g_six");
}

static void global_types(u32 i, u32 l)
{
	u32 pi = pointer(i), pl = pointer(l), s, regs, dyn, opaque, task;

	s = type("s16", BTF_KIND_STRUCT, 2, 16);
	member("a", l, 0);
	member("b", l, 8);
	regs = type("pt_regs", BTF_KIND_STRUCT, 1, 168);
	member("r15", l, 0);
	dyn = type("bpf_dynptr", BTF_KIND_STRUCT, 2, 16);
	member("a", l, 0);
	member("b", l, 8);
	dyn = type(NULL, BTF_KIND_CONST, 0, dyn);
	opaque = type("opaque", BTF_KIND_FWD, 0, 0);
	task = type("task_struct", BTF_KIND_STRUCT, 1, 8);
	member("a", l, 0);
	FUNC(T_G_INT, "g_int", 1, i, i);
	func(T_G_VOID, "g_void", 1, i, NULL, 0);
	FUNC(T_G_PTR, "g_ptr", 1, i, pi);
	FUNC(T_G_LONGS, "g_longs", 1, i, pl, i);
	FUNC(T_G_CTX, "g_ctx", 1, i, pointer(regs));
	FUNC(T_G_STRUCT, "g_struct", 1, i, pointer(s));
	FUNC(T_G_NONNULL, "g_nonnull", 1, i, pi);
	type("arg:nonnull", BTF_KIND_DECL_TAG, 0, func_id[T_G_NONNULL]);
	word(0);
	FUNC(T_G_DYNPTR, "g_dynptr", 1, i, pointer(dyn));
	FUNC(T_G_NOSIZE, "g_nosize", 1, i, pointer(opaque));
	FUNC(T_G_VOIDRET, "g_voidret", 1, 0, i);
	FUNC(T_G_PTRRET, "g_ptrret", 1, pi, i);
	FUNC(T_G_TASK, "g_task", 1, i, i, pointer(task));
	type("arg:trusted", BTF_KIND_DECL_TAG, 0, func_id[T_G_TASK]);
	word(1);
	FUNC(T_G_TASKNULL, "g_tasknull", 1, i, pointer(task));
	type("arg:trusted", BTF_KIND_DECL_TAG, 0, func_id[T_G_TASKNULL]);
	word(0);
	type("arg:nullable", BTF_KIND_DECL_TAG, 0, func_id[T_G_TASKNULL]);
	word(0);
	exception_types(i);
	FUNC(T_G_SIX, "g_six", 1, i, i, i, i, i, i, i);
}

static void array(u32 of, u32 n, u32 index)
{
	type(NULL, BTF_KIND_ARRAY, 0, 0);
	word(of);
	word(index);
	word(n);
}

/* a bit-field's place: its struct has the flag for those */
#define WITH_BITS (1u << 31)
static void field(const char *name, u32 of, u32 off, u32 bit, u32 width)
{
	word(str(name));
	word(of);
	word(width << 24 | (off * 8 + bit));
}

/*
 * struct node {
 *	int x; struct node *next; short y; int a:3, b:5; char name[8]; struct { long n; struct node
 **far; } in; union { long n; struct node *p; } u; struct node *list[2]; struct pair { long one;
 *double two; } pairs[2]; int tail[];
 * };
 * struct pair target(struct node *p, signed char c, int *n, double d, struct pair s, struct big b,
 *		      struct opaque *o, const struct node *q, struct none e, int last);
 */
static void target_types(u32 i, u32 l)
{
	u32 at = ntypes, node = at + 1, p_node = at + 2, chars = at + 3, in = at + 4, u = at + 5,
	    list = at + 6, pair = at + 7, pairs = at + 8, tail = at + 9, c = at + 10, h = at + 11,
	    d = at + 12, p_l = at + 13, args[10], big;

	type("node", BTF_KIND_STRUCT, 12 | WITH_BITS, 128);
	field("x", i, 0, 0, 0);
	field("next", p_node, 8, 0, 0);
	field("y", h, 16, 0, 0);
	field("a", i, 20, 0, 3);
	field("b", i, 20, 3, 5);
	field("name", chars, 24, 0, 0);
	field("in", in, 32, 0, 0);
	field("u", u, 48, 0, 0);
	field("list", list, 56, 0, 0);
	field("pairs", pairs, 80, 0, 0);
	field("bytes", p_l, 120, 0, 0);
	field("tail", tail, 128, 0, 0);
	pointer(node);
	array(c, 8, i);
	type("inner", BTF_KIND_STRUCT, 2, 16);
	member("n", l, 0);
	member("far", p_node, 8);
	type("both", BTF_KIND_UNION, 2, 8);
	member("n", l, 0);
	member("p", p_node, 0);
	array(p_node, 2, i);
	type("pair", BTF_KIND_STRUCT, 2, 16);
	member("one", l, 0);
	member("two", d, 8);
	array(pair, 2, i);
	array(i, 0, i);
	number("signed char", 1);
	number("short", 2);
	type("double", BTF_KIND_FLOAT, 0, 8);
	pointer(l);
	big = type("big", BTF_KIND_STRUCT, 1, 32);
	member("pairs", pairs, 0);
	args[0] = p_node;
	args[1] = c;
	args[2] = pointer(i);
	args[3] = d;
	args[4] = pair;
	args[5] = big;
	args[6] = pointer(type("hidden", BTF_KIND_FWD, 0, 0));
	args[7] = pointer(type(NULL, BTF_KIND_CONST, 0, node));
	args[8] = type("none", BTF_KIND_STRUCT, 0, 1);
	args[9] = i;
	func(T_TARGET, "target", 1, pair, args, 10);
	func(T_TARGET_VOID, "nothing", 1, 0, NULL, 0);
}

static void btf_make(void)
{
	u32 i, l;

	if (ntypes)
		return;
	int_type = i = number("int", 4);
	l = number("long", 8);
	FUNC(T_MAIN, "main_prog", 1, i, i);
	func(T_STATIC, "local", 0, i, NULL, 0);
	func(T_STATIC2, "local2", 0, i, NULL, 0);
	value_types(i, l);
	global_types(i, l);
	target_types(i, l);
	btf.head = (struct btf_header){.magic = BTF_MAGIC,
				       .version = BTF_VERSION,
				       .hdr_len = sizeof(btf.head),
				       .type_len = types_len,
				       .str_off = types_len,
				       .str_len = strs_len};
	memcpy(btf.data, types, types_len);
	memcpy(btf.data + types_len, strs, strs_len);
}

/* --- maps ------------------------------------------------------------------------------------ */

#define META(t, k, v, n, f, text)                                                                  \
	{                                                                                          \
		.type = BPF_MAP_TYPE_##t, .key_size = (k), .value_size = (v), .max_entries = (n),  \
		.map_flags = (f), .nr_cpus = 1, .name = text                                       \
	}

static const struct ebpf_map_meta inner = META(ARRAY, 4, 16, 4, 0, "array");
static u8 rodata[64] = VRODATA;

static struct ebpf_vmap maps[M_COUNT] = {
	[M_ARRAY] = {.meta = META(ARRAY, 4, 16, 4, 0, "array")},
	[M_HASH] = {.meta = META(HASH, 8, 16, 16, 0, "hash")},
	[M_PERCPU] = {.meta = META(PERCPU_ARRAY, 4, 16, 4, 0, "percpu")},
	[M_LRU] = {.meta = META(LRU_HASH, 4, 8, 16, 0, "lru")},
	[M_ONE] = {.meta = META(ARRAY, 4, 64, 1, 0, "one")},
	[M_RODATA] = {.meta = META(ARRAY, 4, 64, 1, BPF_F_RDONLY_PROG, "rodata"),
		      .frozen = true,
		      .contents = rodata},
	[M_RDONLY] = {.meta = META(ARRAY, 4, 16, 1, BPF_F_RDONLY_PROG, "rdonly")},
	[M_WRONLY] = {.meta = META(ARRAY, 4, 16, 1, BPF_F_WRONLY_PROG, "wronly")},
	[M_RING] = {.meta = META(RINGBUF, 0, 0, 4096, 0, "ring")},
	[M_PROGS] = {.meta = META(PROG_ARRAY, 4, 4, 4, 0, "progs")},
	[M_EVENTS] = {.meta = META(PERF_EVENT_ARRAY, 4, 4, 1, 0, "events")},
	[M_OUTER] = {.meta = META(ARRAY_OF_MAPS, 4, 4, 2, 0, "outer"), .inner = &inner},
	[M_HOUTER] = {.meta = META(HASH_OF_MAPS, 4, 4, 2, 0, "houter"), .inner = &inner},
	[M_LOCK] = {.meta = META(ARRAY, 4, 16, 2, 0, "lock"),
		    .fields = {{EBPF_FIELD_SPIN_LOCK, 4, 4}},
		    .nfields = 1,
		    .has_btf = true},
	[M_TIMER] = {.meta = META(ARRAY, 4, 24, 2, 0, "timer"),
		     .fields = {{EBPF_FIELD_TIMER, 0, 16}},
		     .nfields = 1,
		     .has_btf = true},
	[M_STACKS] = {.meta = META(STACK_TRACE, 4, 64, 16, 0, "stacks")},
	[M_QUEUE] = {.meta = META(QUEUE, 0, 8, 4, 0, "queue")},
	[M_BLOOM] = {.meta = META(BLOOM_FILTER, 0, 8, 100, 0, "bloom")},
	[M_USERING] = {.meta = META(USER_RINGBUF, 0, 0, 4096, 0, "usering")},
};

const struct ebpf_vmap *verify_map(enum vmap_id id)
{
	return &maps[id];
}

/* --- ours ------------------------------------------------------------------------------------ */

static u32 prog_type(const struct vcase *c)
{
	return c->type ? c->type : BPF_PROG_TYPE_KPROBE;
}

static void func_info(const struct vcase *c, struct bpf_func_info *out)
{
	for (u32 i = 0; i < c->nfuncs; i++)
		out[i] = (struct bpf_func_info){c->funcs[i].insn, func_id[c->funcs[i].type]};
}

struct ebpf_vprog verify_program(const struct vcase *c, struct bpf_func_info *funcs)
{
	struct ebpf_vprog prog = {
		.insns = c->insns,
		.ninsns = c->n,
		.prog_type = prog_type(c),
		.prog_flags = c->flags,
		/* what the kernel makes of none */
		.expected_attach_type = prog_type(c) == BPF_PROG_TYPE_CGROUP_SOCK
						? BPF_CGROUP_INET_SOCK_CREATE
						: c->attach,
		.gpl = !c->not_gpl,
		.maps = maps,
		.nmaps = M_COUNT,
		.btf = {(const u8 *)&btf, (u32)sizeof(btf.head) + types_len + strs_len},
		.funcs = c->nfuncs ? funcs : NULL,
		.nfuncs = c->nfuncs,
	};

	btf_make();
	prog.btf.size = (u32)sizeof(btf.head) + types_len + strs_len;
	if (prog.prog_type == BPF_PROG_TYPE_TRACING && c->target != ~0u) {
		prog.target = prog.btf;
		prog.target_func = c->target < T_LAST ? func_id[c->target ?: T_TARGET] : int_type;
	}
	func_info(c, funcs);
	return prog;
}

int verify_case(const struct vcase *c, struct ebpf_log *log, struct ebpf_facts *facts)
{
	struct bpf_func_info funcs[VERIFY_MAX_FUNCS];
	struct ebpf_vprog prog = verify_program(c, funcs);
	int r = ebpf_verify(&prog, log, facts);

	ebpf_log_end(log);
	return r;
}

/* As errno or, what user space has no name for, as number. */
static const char *verdict(int r, char *buf)
{
	if (!r)
		return "accepted";
	snprintf(buf, 64, "refused (%d, %s)", -r, strerror(-r));
	return buf;
}

/* The last lines of a log but its figures. */
static const char *tail(const char *log)
{
	const char *figures = strstr(log, "\nprocessed "), *p;
	u32 lines = getenv("EBPFRT_FULL_LOG") ? ~0u : 4;

	for (p = figures ? figures : log + strlen(log); p > log && lines; p--)
		lines -= p[-1] == '\n';
	return p;
}

static bool ours_right(const struct vcase *c, char *text, const char *how)
{
	struct ebpf_log log = {.buf = text, .size = LOG_SIZE, .level = c->level ? c->level : 1};
	struct ebpf_facts facts = {0};
	char got[64], want[64];
	int r;

	text[0] = '\0';
	r = verify_case(c, &log, &facts);
	if (!r)
		ebpf_facts_free(&facts);
	if (r == -c->err && (!c->words || strstr(text, c->words)))
		return true;
	cr_log_error("%s%s: expected %s%s%s, got %s\n%s", c->name, how, verdict(-c->err, want),
		     c->words ? ", " : "", c->words ? c->words : "", verdict(r, got), tail(text));
	return false;
}

static char *log_room(void)
{
	char *p = malloc(LOG_SIZE);

	cr_assert(p);
	return p;
}

void verify_theme(const char *theme, const struct vcase *cases, u32 n)
{
	_cleanup_free_ char *text = log_room();
	u32 bad = 0;

	for (u32 i = 0; i < n; i++)
		bad += !ours_right(&cases[i], text, "");
	cr_assert_eq(bad, 0, "%s: %u of %u cases are not as expected", theme, bad, n);
}

/* With a state remembered at every place where paths can meet, nothing is to be said otherwise. */
void verify_theme_states(const char *theme, const struct vcase *cases, u32 n)
{
	_cleanup_free_ char *text = log_room();
	u32 bad = 0;

	for (u32 i = 0; i < n; i++) {
		struct vcase c = cases[i];

		c.flags |= BPF_F_TEST_STATE_FREQ;
		bad += !ours_right(&c, text, ", states everywhere");
	}
	cr_assert_eq(bad, 0, "%s: %u of %u cases are not as expected", theme, bad, n);
}

/* --- the kernel ------------------------------------------------------------------------------ */

static int map_fd[M_COUNT], btf_fd = -1;
static u32 kfunc_id[EKFUNC_MAX];

static long bpf(int cmd, union bpf_attr *a)
{
	long r = syscall(SYS_bpf, cmd, a, sizeof(*a));

	return r < 0 ? -errno : r;
}

static int kernel_btf(void)
{
	union bpf_attr a = {.btf = (u64)(uintptr_t)&btf};

	btf_make();
	a.btf_size = (u32)sizeof(btf.head) + types_len + strs_len;
	return (int)bpf(BPF_BTF_LOAD, &a);
}

static int kernel_map(const struct ebpf_map_meta *m, u32 value_type, int inner_fd)
{
	union bpf_attr a = {.map_type = m->type,
			    .key_size = m->key_size,
			    .value_size = m->value_size,
			    .max_entries = m->max_entries,
			    .map_flags = m->map_flags,
			    .inner_map_fd = (u32)inner_fd};

	memcpy(a.map_name, m->name, sizeof(a.map_name));
	if (value_type) {
		a.btf_fd = (u32)btf_fd;
		a.btf_key_type_id = int_type;
		a.btf_value_type_id = value_type;
	}
	return (int)bpf(BPF_MAP_CREATE, &a);
}

static bool freeze(int fd)
{
	u32 key = 0;
	union bpf_attr set = {
		.map_fd = (u32)fd, .key = (u64)(uintptr_t)&key, .value = (u64)(uintptr_t)rodata};
	union bpf_attr a = {.map_fd = (u32)fd};

	return !bpf(BPF_MAP_UPDATE_ELEM, &set) && !bpf(BPF_MAP_FREEZE, &a);
}

static void kernel_kfuncs(void)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	_cleanup_free_ u8 *data = malloc((size_t)size + 1);
	struct ebpf_vbtf in = {data, (u32)size};
	struct ebpf_btf b;
	struct ebpf_btf_type t;

	if (fd < 0 || !data)
		return;
	for (ssize_t n = 1, at = 0; n > 0 && at < size; at += n)
		n = pread(fd, data + at, (size_t)(size - at), at);
	close(fd);
	if (ebpf_btf_open(&b, &in))
		return;
	for (u32 id = 1; ebpf_btf_type(&b, id, &t); id++)
		if (t.kind == BTF_KIND_FUNC && !strncmp(t.name, "bpf_", 4) &&
		    ebpf_proto_kfunc_id(t.name))
			kfunc_id[ebpf_proto_kfunc_id(t.name)] = id;
	ebpf_btf_close(&b);
}

bool verify_kernel_maps(void)
{
	if (geteuid())
		return false;
	btf_fd = kernel_btf();
	if (btf_fd < 0)
		return false;
	for (u32 i = 0; i < M_COUNT; i++) {
		u32 value = i == M_LOCK ? lock_value : i == M_TIMER ? timer_value : 0;

		map_fd[i] = kernel_map(&maps[i].meta, value, maps[i].inner ? map_fd[M_ARRAY] : 0);
		if (map_fd[i] < 0)
			return false;
	}
	kernel_kfuncs();
	return freeze(map_fd[M_RODATA]);
}

static void for_kernel(struct bpf_insn *insns, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		struct bpf_insn *in = &insns[i];
		bool wide = in->code == (BPF_LD | BPF_IMM | BPF_DW);

		if (wide &&
		    (in->src_reg == BPF_PSEUDO_MAP_FD || in->src_reg == BPF_PSEUDO_MAP_VALUE) &&
		    (u32)in->imm < M_COUNT)
			in->imm = map_fd[in->imm];
		if (in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_KFUNC_CALL &&
		    (u32)in->imm < EKFUNC_MAX)
			in->imm = (s32)kfunc_id[in->imm];
		i += wide;
	}
}

int verify_kernel(const struct vcase *c, char *log, u32 size)
{
	struct bpf_func_info funcs[VERIFY_MAX_FUNCS];
	static struct bpf_insn insns[MAX_INSNS];
	union bpf_attr a = {.prog_type = prog_type(c),
			    .insns = (u64)(uintptr_t)insns,
			    .insn_cnt = c->n,
			    .license = (u64)(uintptr_t)(c->not_gpl ? "Proprietary" : "GPL"),
			    .log_buf = (u64)(uintptr_t)log,
			    .log_size = size,
			    .log_level = c->level ? c->level : 1,
			    .prog_flags = c->flags,
			    .expected_attach_type = c->attach,
			    .prog_btf_fd = (u32)btf_fd,
			    .func_info = (u64)(uintptr_t)funcs,
			    .func_info_rec_size = sizeof(*funcs),
			    .func_info_cnt = c->nfuncs};
	int r;

	if (c->n > MAX_INSNS)
		return -E2BIG;
	memcpy(insns, c->insns, c->n * sizeof(*insns));
	for_kernel(insns, c->n);
	func_info(c, funcs);
	log[0] = '\0';
	r = (int)bpf(BPF_PROG_LOAD, &a);
	if (r >= 0)
		close(r);
	return r;
}

/* Is it a line about states and instructions, or figures? */
static bool progress(const char *l)
{
	static const char *const starts[] = {";",	   "from ",	"func#",     "processed ",
					     "mark_prec",  "Live regs", "caller",    "callee",
					     "returning ", "to caller", "Func#",     "Validating ",
					     "Global fun", "stack dep", "verificat", " frame",
					     "propagat",   " R",	"frame"};
	const char *p = l;

	while (*p >= '0' && *p <= '9')
		p++;
	if (p > l && *p == ':')
		return true;
	for (u32 i = 0; i < ARRAY_SIZE(starts); i++)
		if (!strncmp(l, starts[i], strlen(starts[i])))
			return true;
	return *l == '\n' || !*l;
}

/* The first line that says what is wrong, "" when there is none. */
static void error_line(const char *log, char *out, size_t size)
{
	out[0] = '\0';
	for (const char *l = log; *l; l = strchr(l, '\n') + 1) {
		if (!progress(l)) {
			snprintf(out, size, "%.*s", (int)strcspn(l, "\n"), l);
			return;
		}
		if (!strchr(l, '\n'))
			return;
	}
}

/* What kernels after 6.12, whose words are ours, say otherwise. */
static const struct {
	const char *here, *newer;
} reworded[] = {
	{"invalid indirect access to stack", "invalid write to stack"},
	{"invalid indirect access to stack", "invalid read from stack"},
	{"invalid indirect read from stack", "invalid read from stack"},
	{"bpf_spin_unlock is missing", "BPF_EXIT instruction in main prog cannot be used inside "
				       "bpf_spin_lock-ed region"},
	{"bpf_rcu_read_unlock is missing",
	 "BPF_EXIT instruction in main prog cannot be used inside "
	 "bpf_rcu_read_lock-ed region"},
	{"1 bpf_preempt_enable is missing",
	 "BPF_EXIT instruction in main prog cannot be used inside "
	 "bpf_preempt_disable-ed region"},
};

static bool says(const char *log, const char *words)
{
	char newer[512];

	for (u32 i = 0; i < ARRAY_SIZE(reworded); i++) {
		size_t n = strlen(reworded[i].here);

		if (strncmp(words, reworded[i].here, n))
			continue;
		snprintf(newer, sizeof(newer), "%s%s", reworded[i].newer, words + n);
		if (strstr(log, newer))
			return true;
	}
	return strstr(log, words) != NULL;
}

static bool kernel_as_said(const struct vcase *c, int r, const char *text)
{
	char got[64], want[64];

	if (r >= 0 ? !c->err : r == -c->err && (c->any_words || says(text, c->words)))
		return true;
	cr_log_error("%s: expected %s%s%s, the kernel: %s\n%s", c->name, verdict(-c->err, want),
		     c->words ? ", " : "", c->words ? c->words : "", verdict(MIN(r, 0), got),
		     tail(text));
	return false;
}

static bool same_line(const struct vcase *c, const char *kernel_log, char *text)
{
	struct ebpf_log log = {.buf = text, .size = LOG_SIZE, .level = c->level ? c->level : 1};
	struct ebpf_facts facts = {0};
	char a[512], b[512];

	text[0] = '\0';
	if (!verify_case(c, &log, &facts))
		ebpf_facts_free(&facts);
	error_line(kernel_log, a, sizeof(a));
	error_line(text, b, sizeof(b));
	if (!c->err || c->any_words || !strcmp(a, b) || (*b && says(a, b)))
		return true;
	cr_log_error("%s: first error line\nkernel: %s\nhere:   %s", c->name, a, b);
	return false;
}

/* A kernel before 6.13 doesn't know what a session may return. */
static bool kernel_knows(u32 attach)
{
	const struct vcase two = NOW("two", (SESSION), EINVAL, "", RET(2));
	char log[1024];

	return attach != EBPFRT_BPF_TRACE_UPROBE_SESSION ||
	       verify_kernel(&two, log, sizeof(log)) < 0;
}

void verify_theme_kernel(const char *theme, const struct vcase *cases, u32 n)
{
	_cleanup_free_ char *theirs = log_room(), *text = log_room();
	u32 bad = 0, compared = 0;

	if (!verify_kernel_maps())
		cr_skip_test("the kernel's bpf(2) is not to be had here, or too old");
	for (u32 i = 0; i < n; i++) {
		int r;

		if (cases[i].policy || !kernel_knows(cases[i].attach))
			continue;
		compared++;
		r = verify_kernel(&cases[i], theirs, LOG_SIZE);
		bad += !kernel_as_said(&cases[i], r, theirs) || !same_line(&cases[i], theirs, text);
	}
	cr_assert(compared);
	cr_assert_eq(bad, 0, "%s: the kernel says otherwise to %u of %u", theme, bad, compared);
}
