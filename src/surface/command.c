/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf(2) commands that the daemon answers: the attribute and everything it points to, as one
 * message, and the reply's fields and buffers back into the caller's memory.
 *
 * Model: a table says for each command which fields are descriptors, which are pointers (direction
 * and how long), and which fields the kernel writes back. What depends on other values (the
 * descriptors in a program's instructions, the nested buffers of an info struct, the union of
 * LINK_CREATE) is added by a function. The attribute travels as it is: errors in it are the
 * daemon's to find, in the kernel's order.
 */
#include <stdio.h>
#include <string.h>

#include "surface/internal.h"

#define A(field) offsetof(union bpf_attr, field)
#define LICENSE_MAX 128
#define FD_ARRAY_MAX 4096
#define NO_FIELD 0xff
#define NOWHERE 1 /* an address nobody can write to */

enum dir { IN = 1, OUT = 2, INOUT = 3, STR_NAME = 4, STR_SHORT = 8, STR_FILE = 16 };

/* a pointer field at @off; its bytes are u32 at @len times (@unit, or u32 at @unit_off) */
struct ptr_rule {
	u8 off, dir, len, unit, unit_off;
};
/* a field the kernel writes */
struct out_rule {
	u8 off, size;
};

struct rule {
	u8 known;
	u8 nfds, nptrs, nouts;
	u8 fds[4];
	struct ptr_rule ptrs[5];
	struct out_rule outs[5];
};

static const struct rule rules[] = {
	[BPF_MAP_CREATE] = {1, .nfds = 2, .fds = {A(inner_map_fd), A(btf_fd)}},
	[BPF_MAP_LOOKUP_ELEM] = {1, .nfds = 1, .fds = {A(map_fd)}},
	[BPF_MAP_UPDATE_ELEM] = {1, .nfds = 1, .fds = {A(map_fd)}},
	[BPF_MAP_DELETE_ELEM] = {1, .nfds = 1, .fds = {A(map_fd)}},
	[BPF_MAP_GET_NEXT_KEY] = {1, .nfds = 1, .fds = {A(map_fd)}},
	[BPF_MAP_LOOKUP_AND_DELETE_ELEM] = {1, .nfds = 1, .fds = {A(map_fd)}},
	[BPF_MAP_LOOKUP_BATCH] = {1, .nfds = 1, .fds = {A(batch.map_fd)}},
	[BPF_MAP_LOOKUP_AND_DELETE_BATCH] = {1, .nfds = 1, .fds = {A(batch.map_fd)}},
	[BPF_MAP_UPDATE_BATCH] = {1, .nfds = 1, .fds = {A(batch.map_fd)}},
	[BPF_MAP_DELETE_BATCH] = {1, .nfds = 1, .fds = {A(batch.map_fd)}},
	[BPF_MAP_FREEZE] = {1, .nfds = 1, .fds = {A(map_fd)}},
	[BPF_PROG_LOAD] = {1, .nfds = 2, .fds = {A(prog_btf_fd), A(attach_prog_fd)}, .nptrs = 5,
			   .ptrs = {{A(license), STR_SHORT, NO_FIELD, 0, 0},
				    {A(func_info), IN, A(func_info_cnt), 0, A(func_info_rec_size)},
				    {A(line_info), IN, A(line_info_cnt), 0, A(line_info_rec_size)},
				    {A(core_relos), IN, A(core_relo_cnt), 0, A(core_relo_rec_size)},
				    {A(log_buf), OUT, A(log_size), 1, 0}},
			   .nouts = 1, .outs = {{A(core_relo_rec_size) + 4, 4}}},
	[BPF_BTF_LOAD] = {1, .nptrs = 2,
			  .ptrs = {{A(btf), IN, A(btf_size), 1, 0},
				   {A(btf_log_buf), OUT, A(btf_log_size), 1, 0}},
			  .nouts = 1, .outs = {{A(btf_log_level) + 4, 4}}},
	[BPF_OBJ_PIN] = {1, .nfds = 1, .fds = {A(bpf_fd)}, .nptrs = 1,
			 .ptrs = {{A(pathname), STR_NAME, NO_FIELD, 0, 0}}},
	[BPF_OBJ_GET] = {1, .nptrs = 1, .ptrs = {{A(pathname), STR_NAME, NO_FIELD, 0, 0}}},
	[BPF_PROG_ATTACH] = {1, .nfds = 3,
			     .fds = {A(target_fd), A(attach_bpf_fd), A(replace_bpf_fd)}},
	[BPF_PROG_DETACH] = {1, .nfds = 2, .fds = {A(target_fd), A(attach_bpf_fd)}},
	[BPF_PROG_TEST_RUN] = {1, .nfds = 1, .fds = {A(test.prog_fd)}, .nptrs = 4,
			       .ptrs = {{A(test.data_in), IN, A(test.data_size_in), 1, 0},
					{A(test.data_out), OUT, A(test.data_size_out), 1, 0},
					{A(test.ctx_in), IN, A(test.ctx_size_in), 1, 0},
					{A(test.ctx_out), OUT, A(test.ctx_size_out), 1, 0}},
			       .nouts = 4,
			       .outs = {{A(test.retval), 4},
					{A(test.data_size_out), 4},
					{A(test.duration), 4},
					{A(test.ctx_size_out), 4}}},
	[BPF_PROG_GET_NEXT_ID] = {1, .nouts = 1, .outs = {{A(next_id), 4}}},
	[BPF_MAP_GET_NEXT_ID] = {1, .nouts = 1, .outs = {{A(next_id), 4}}},
	[BPF_BTF_GET_NEXT_ID] = {1, .nouts = 1, .outs = {{A(next_id), 4}}},
	[BPF_LINK_GET_NEXT_ID] = {1, .nouts = 1, .outs = {{A(next_id), 4}}},
	[BPF_PROG_GET_FD_BY_ID] = {1},
	[BPF_MAP_GET_FD_BY_ID] = {1},
	[BPF_BTF_GET_FD_BY_ID] = {1},
	[BPF_LINK_GET_FD_BY_ID] = {1},
	[BPF_OBJ_GET_INFO_BY_FD] = {1, .nfds = 1, .fds = {A(info.bpf_fd)}, .nptrs = 1,
				    .ptrs = {{A(info.info), INOUT, A(info.info_len), 1, 0}},
				    .nouts = 1, .outs = {{A(info.info_len), 4}}},
	[BPF_PROG_QUERY] = {1, .nfds = 1, .fds = {A(query.target_fd)}, .nptrs = 1,
			    .ptrs = {{A(query.prog_ids), OUT, A(query.prog_cnt), 4, 0}}, .nouts = 2,
			    .outs = {{A(query.attach_flags), 4}, {A(query.prog_cnt), 4}}},
	[BPF_RAW_TRACEPOINT_OPEN] = {1, .nfds = 1, .fds = {A(raw_tracepoint.prog_fd)}, .nptrs = 1,
				     .ptrs = {{A(raw_tracepoint.name), STR_SHORT, NO_FIELD, 0, 0}}},
	[BPF_TASK_FD_QUERY] = {1, .nptrs = 1,
			       .ptrs = {{A(task_fd_query.buf), OUT, A(task_fd_query.buf_len), 1,
					 0}},
			       .nouts = 5,
			       .outs = {{A(task_fd_query.buf_len), 4},
					{A(task_fd_query.prog_id), 4},
					{A(task_fd_query.fd_type), 4},
					{A(task_fd_query.probe_offset), 8},
					{A(task_fd_query.probe_addr), 8}}},
	[BPF_LINK_CREATE] = {1, .nfds = 2,
			     .fds = {A(link_create.prog_fd), A(link_create.target_fd)}},
	[BPF_LINK_UPDATE] = {1, .nfds = 3,
			     .fds = {A(link_update.link_fd), A(link_update.new_prog_fd),
				     A(link_update.old_prog_fd)}},
	[BPF_LINK_DETACH] = {1, .nfds = 1, .fds = {A(link_detach.link_fd)}},
	[BPF_ENABLE_STATS] = {1},
	[BPF_ITER_CREATE] = {1, .nfds = 1, .fds = {A(iter_create.link_fd)}},
	[BPF_PROG_BIND_MAP] = {1, .nfds = 2,
			       .fds = {A(prog_bind_map.prog_fd), A(prog_bind_map.map_fd)}},
};

/* --- building the request ------------------------------------------------------------------------
 */

#define MAX_BUFS 24

/* a buffer of the request, and where its output goes */
struct wire_buf {
	struct msg_buf head;
	u64 out_ptr; /* the caller's */
	u8 *data;    /* input, malloc'ed */
};

struct wire {
	struct wire_buf bufs[MAX_BUFS];
	u32 nbufs;
	struct msg_fd *fds;
	u32 nfds, cap;
};

static void wire_deinit(struct wire *w)
{
	for (u32 i = 0; i < w->nbufs; i++)
		free(w->bufs[i].data);
	free(w->fds);
}
#define _cleanup_wire_ _cleanup_(wire_deinit)

static u32 get_u32(const void *base, u32 off)
{
	u32 v;

	memcpy(&v, (const u8 *)base + off, sizeof(v));
	return v;
}

static u64 get_u64(const void *base, u32 off)
{
	u64 v;

	memcpy(&v, (const u8 *)base + off, sizeof(v));
	return v;
}

/* Name the object behind @fd. One that isn't open is left out: the daemon answers EBADF. */
static int add_fd(struct wire *w, s32 fd)
{
	struct osl_ident ident;
	struct msg_fd *bigger;

	for (u32 i = 0; i < w->nfds; i++)
		if (w->fds[i].fd == fd)
			return 0;
	if (fd < 0 || sys_ident(fd, &ident) < 0)
		return 0;
	if (w->nfds == w->cap) {
		bigger = realloc(w->fds, (w->cap + 16) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		w->fds = bigger;
		w->cap += 16;
	}
	w->fds[w->nfds++] = (struct msg_fd){.fd = fd, .ident = ident};
	return 0;
}

/* @ptr: the caller's; 0 adds nothing. Lengths are bounded by what a message may carry. */
static int add_buf(struct wire *w, u32 key, u64 ptr, u64 len, u32 dir)
{
	struct wire_buf b = {.head = {.key = key}, .out_ptr = ptr};
	int err;

	if (ptr == 0 || len == 0)
		return 0;
	if (w->nbufs == MAX_BUFS)
		return -E2BIG;
	if (dir & OUT)
		b.head.out = (u32)MIN(len, MSG_PAYLOAD_MAX / 2);
	if (dir & IN) {
		if (len > MSG_PAYLOAD_MAX / 2)
			return -E2BIG;
		b.data = malloc(len);
		if (!b.data)
			return -ENOMEM;
		b.head.in = (u32)len;
		err = user_read(b.data, ptr, len);
		if (err) {
			free(b.data);
			return err;
		}
	}
	w->bufs[w->nbufs++] = b;
	return 0;
}

/* @err: what fetching the string @s, which becomes the wire's, came to. */
static int add_str(struct wire *w, u32 key, int err, char *s)
{
	struct wire_buf b = {.head = {.key = key}, .data = (u8 *)s};

	if (err)
		return err;
	if (w->nbufs == MAX_BUFS) {
		free(s);
		return -E2BIG;
	}
	b.head.in = (u32)strlen(s) + 1;
	w->bufs[w->nbufs++] = b;
	return 0;
}

static int add_ptr(struct wire *w, const struct surface_cmd *c, const struct ptr_rule *r)
{
	u64 ptr = get_u64(&c->attr, r->off);
	char *s = NULL;
	u64 len;
	int err;

	switch ((int)r->dir) {
	case STR_NAME:
		err = surface_pin_name(ptr, &s);
		return add_str(w, r->off, err, s);
	case STR_SHORT:
		err = user_str(ptr, LICENSE_MAX, &s);
		return add_str(w, r->off, err, s);
	case STR_FILE:
		err = user_path(ptr, &s);
		return add_str(w, r->off, err, s);
	default:
		break;
	}
	len = get_u32(&c->attr, r->len);
	len *= r->unit ? r->unit : get_u32(&c->attr, r->unit_off);
	return add_buf(w, r->off, ptr, len, r->dir);
}

/* --- what the table can't say
 * ---------------------------------------------------------------------- */

static int add_fd_array(struct wire *w, const struct surface_cmd *c, s32 highest)
{
	u64 ptr = c->attr.a.fd_array;
	u32 n = (u32)highest + 1;
	int err;

	if (highest < 0 || !ptr)
		return 0;
	if (n > FD_ARRAY_MAX)
		return -EINVAL;
	err = add_buf(w, A(fd_array), ptr, n * sizeof(s32), IN);
	for (u32 i = 0; !err && i < n; i++)
		err = add_fd(w, (s32)get_u32(w->bufs[w->nbufs - 1].data, i * 4));
	return err;
}

/* Names for the log of what will be refused. */
static int add_kfuncs(struct wire *w, const void *insns, u32 n)
{
	struct msg_kfunc names[MSG_KFUNCS_MAX];
	struct wire_buf b = {.head = {.key = MSG_BUF_KFUNCS}};
	u32 count = surface_kfunc_names(insns, n, names);

	if (!count || w->nbufs == MAX_BUFS)
		return 0;
	b.head.in = count * (u32)sizeof(*names);
	b.data = malloc(b.head.in);
	if (!b.data)
		return -ENOMEM;
	memcpy(b.data, names, b.head.in);
	w->bufs[w->nbufs++] = b;
	return 0;
}

/* The functions of targets that the program calls and the user allows. */
static int add_callees(struct wire *w, const struct bpf_insn *insns, u32 n)
{
	struct wire_buf b = {.head = {.key = MSG_BUF_CALLEES}};
	struct ebpf_callee *found = surface_callees_of(insns, n, &b.head.in);

	if (!found)
		return 0;
	if (w->nbufs == MAX_BUFS) {
		free(found);
		return -E2BIG;
	}
	b.head.in *= (u32)sizeof(*found);
	b.data = (void *)found;
	w->bufs[w->nbufs++] = b;
	return 0;
}

/* The program, and the maps it names: by descriptor, or by index into fd_array. */
static int add_insns(struct wire *w, const struct surface_cmd *c)
{
	const struct bpf_insn *insns;
	u32 n = c->attr.a.insn_cnt, at;
	s32 highest = -1;
	int err;

	if (n == 0 || n > 1000000)
		return 0; /* the daemon says E2BIG */
	err = add_buf(w, A(insns), c->attr.a.insns, (u64)n * sizeof(*insns), IN);
	if (err || !c->attr.a.insns)
		return err ? err : -EFAULT;
	at = w->nbufs - 1;
	insns = (const struct bpf_insn *)w->bufs[at].data;
	for (u32 i = 0; !err && i < n; i++) {
		const struct bpf_insn *insn = &insns[i];

		if (insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_KFUNC_CALL)
			highest = MAX(highest, insn->off);
		if (insn->code != (BPF_LD | BPF_DW | BPF_IMM))
			continue;
		if (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_VALUE)
			err = add_fd(w, insn->imm);
		else if (insn->src_reg == BPF_PSEUDO_MAP_IDX ||
			 insn->src_reg == BPF_PSEUDO_MAP_IDX_VALUE)
			highest = MAX(highest, insn->imm);
		i++;
	}
	err = err ? err : add_fd_array(w, c, highest);
	err = err ? err : add_callees(w, (const struct bpf_insn *)w->bufs[at].data, n);
	return err || !c->attr.a.log_level ? err : add_kfuncs(w, w->bufs[at].data, n);
}

struct nested_rule {
	u16 off, len, unit, unit_off;
};
#define P(field) offsetof(struct bpf_prog_info, field)
static const struct nested_rule prog_nested[] = {
	{P(jited_prog_insns), P(jited_prog_len), 1, 0},
	{P(xlated_prog_insns), P(xlated_prog_len), 1, 0},
	{P(map_ids), P(nr_map_ids), 4, 0},
	{P(jited_ksyms), P(nr_jited_ksyms), 8, 0},
	{P(jited_func_lens), P(nr_jited_func_lens), 4, 0},
	{P(func_info), P(nr_func_info), 0, P(func_info_rec_size)},
	{P(line_info), P(nr_line_info), 0, P(line_info_rec_size)},
	{P(jited_line_info), P(nr_jited_line_info), 0, P(jited_line_info_rec_size)},
	{P(prog_tags), P(nr_prog_tags), 8, 0},
};
#define B(field) offsetof(struct bpf_btf_info, field)
static const struct nested_rule btf_nested[] = {
	{B(btf), B(btf_size), 1, 0},
	{B(name), B(name_len), 1, 0},
};
/* the caller says by type which it wants */
#define L(field) offsetof(struct ebpf_link_info, field)
static const struct nested_rule perf_link_nested[] = {
	{L(perf_event.file_name), L(perf_event.name_len), 1, 0}};
static const struct nested_rule multi_link_nested[] = {
	{L(uprobe_multi.path), L(uprobe_multi.path_size), 1, 0},
	{L(uprobe_multi.offsets), L(uprobe_multi.count), 8, 0},
	{L(uprobe_multi.ref_ctr_offsets), L(uprobe_multi.count), 8, 0},
	{L(uprobe_multi.cookies), L(uprobe_multi.count), 8, 0},
};

static int add_nested_rules(struct wire *w, const struct nested_rule *r, size_t n)
{
	const struct wire_buf info = w->bufs[w->nbufs - 1];
	u64 ptr, len;
	int err = 0;

	for (size_t i = 0; !err && i < n; i++, r++) {
		if (r->off + 8u > info.head.in || r->len + 4u > info.head.in ||
		    r->unit_off + 4u > info.head.in)
			continue;
		ptr = get_u64(info.data, r->off);
		len = get_u32(info.data, r->len);
		len *= r->unit ? r->unit : get_u32(info.data, r->unit_off);
		err = add_buf(w, MSG_BUF_NESTED + r->off, ptr, len, OUT);
	}
	return err;
}

static int add_nested(struct wire *w, const struct surface_cmd *c)
{
	_cleanup_obj_ struct surface_obj *o = NULL;
	u32 type;

	if (w->nbufs == 0 || w->bufs[w->nbufs - 1].head.key != A(info.info) ||
	    surface_obj_get((int)c->attr.a.info.bpf_fd, MSG_OBJ_NONE, &o) < 0)
		return 0;
	if (o->kind == MSG_OBJ_PROG)
		return add_nested_rules(w, prog_nested, ARRAY_SIZE(prog_nested));
	if (o->kind == MSG_OBJ_BTF)
		return add_nested_rules(w, btf_nested, ARRAY_SIZE(btf_nested));
	if (o->kind != MSG_OBJ_LINK || w->bufs[w->nbufs - 1].head.in < 4)
		return 0;
	type = get_u32(w->bufs[w->nbufs - 1].data, 0);
	if (type == EBPFRT_BPF_LINK_TYPE_UPROBE_MULTI)
		return add_nested_rules(w, multi_link_nested, ARRAY_SIZE(multi_link_nested));
	return add_nested_rules(w, perf_link_nested, ARRAY_SIZE(perf_link_nested));
}

#define MULTI A(link_create.target_btf_id)
#define MULTI_MAX (1u << 20) /* the kernel's, too */
#define U(field) (MULTI + offsetof(struct ebpf_attr_uprobe_multi, field))
static int add_link_create(struct wire *w, const struct surface_cmd *c)
{
	static const struct ptr_rule multi[] = {
		{U(path), STR_FILE, NO_FIELD, 0, 0},
		{U(offsets), IN, U(cnt), 8, 0},
		{U(ref_ctr_offsets), IN, U(cnt), 8, 0},
		{U(cookies), IN, U(cnt), 8, 0},
	};
	static const struct ptr_rule iter = {A(link_create.iter_info), IN,
					     A(link_create.iter_info_len), 1, 0};
	u32 type = c->attr.a.link_create.attach_type, cnt = get_u32(&c->attr, U(cnt));
	u64 path = get_u64(&c->attr, U(path));
	char first;
	int err = 0;

	if (type == BPF_TRACE_ITER)
		return add_ptr(w, c, &iter);
	if (type != EBPFRT_BPF_TRACE_UPROBE_MULTI && type != EBPFRT_BPF_TRACE_UPROBE_SESSION &&
	    type != BPF_TRACE_FENTRY && type != BPF_TRACE_FEXIT)
		return 0;
	/* the daemon says what is wrong with others */
	if (!path || !get_u64(&c->attr, U(offsets)) || cnt > MULTI_MAX)
		return 0;
	/* an empty name: to the kernel it is the directory one is in, and no file */
	if (!user_read(&first, path, sizeof(first)) && !first)
		return -EBADF;
	for (size_t i = 0; !err && i < ARRAY_SIZE(multi); i++)
		err = add_ptr(w, c, &multi[i]);
	return err;
}

/* Which object is behind a descriptor of any process that we may look at: all of ours are sockets
 * there. 0, or the kernel's answer for one that is not. */
static int foreign_ident(u32 pid, u32 fd, struct osl_ident *out)
{
	char path[64];
	struct stat st;
	long ret;

	snprintf(path, sizeof(path), "/proc/%d", (s32)pid);
	if ((s32)pid <= 0 || sys_call3(SYS_faccessat, AT_FDCWD, path, F_OK) < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (s32)pid, (s32)fd);
	ret = sys_call4(SYS_newfstatat, AT_FDCWD, path, &st, 0);
	if (ret < 0)
		return ret == -ENOENT ? -EBADF : ret == -EACCES ? -EPERM : (int)ret;
	if (!S_ISSOCK(st.st_mode))
		return -SURFACE_ENOTSUPP;
	*out = (struct osl_ident){.dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

static int add_foreign_fd(struct wire *w, const struct surface_cmd *c)
{
	struct osl_ident ident;
	u32 fd = c->attr.a.task_fd_query.fd;
	int err;

	if (c->attr.a.task_fd_query.flags)
		return -EINVAL;
	err = foreign_ident(c->attr.a.task_fd_query.pid, fd, &ident);
	if (err)
		return err;
	w->fds = malloc(sizeof(*w->fds));
	if (!w->fds)
		return -ENOMEM;
	w->fds[w->nfds++] = (struct msg_fd){.fd = (s32)fd, .ident = ident};
	w->cap = 1;
	return 0;
}

/* Keys and values of maps whose elements are the daemon's; a value may be a descriptor. */
static int add_elem(struct wire *w, const struct surface_cmd *c, const struct surface_obj *o)
{
	u32 key = o->meta.key_size, value = ebpf_map_user_value_size(&o->meta);
	int value_dir = 0, err;
	s32 fd;

	if (c->cmd == BPF_MAP_UPDATE_ELEM)
		value_dir = IN;
	else if (c->cmd == BPF_MAP_LOOKUP_ELEM || c->cmd == BPF_MAP_LOOKUP_AND_DELETE_ELEM)
		value_dir = OUT;
	err = add_buf(w, A(key), c->attr.a.key, key, IN);
	if (err)
		return err;
	if (c->cmd == BPF_MAP_GET_NEXT_KEY)
		return add_buf(w, A(next_key), c->attr.a.next_key, key, OUT);
	if (!value_dir)
		return 0;
	if (!c->attr.a.value && value_dir == IN)
		return -EFAULT;
	/* a result to nowhere is a fault only when there is a result */
	err = add_buf(w, A(value), c->attr.a.value ?: NOWHERE, value, value_dir);
	if (err || value_dir != IN || value < 4)
		return err;
	fd = (s32)get_u32(w->bufs[w->nbufs - 1].data, 0);
	return add_fd(w, fd);
}

static int gather(struct wire *w, const struct surface_cmd *c, const struct rule *r,
		  const struct surface_obj *o)
{
	int err = 0;

	for (u32 i = 0; !err && i < r->nfds; i++)
		err = add_fd(w, (s32)get_u32(&c->attr, r->fds[i]));
	for (u32 i = 0; !err && i < r->nptrs; i++)
		err = add_ptr(w, c, &r->ptrs[i]);
	if (err)
		return err;
	switch (c->cmd) {
	case BPF_PROG_LOAD:
		return add_insns(w, c);
	case BPF_OBJ_GET_INFO_BY_FD:
		return add_nested(w, c);
	case BPF_LINK_CREATE:
		return add_link_create(w, c);
	case BPF_TASK_FD_QUERY:
		return add_foreign_fd(w, c);
	default:
		return o ? add_elem(w, c, o) : 0;
	}
}

/* --- to the wire and back
 * ---------------------------------------------------------------------------- */

static u8 *put(u8 *at, const void *data, size_t len)
{
	memcpy(at, data, len);
	memset(at + len, 0, ALIGN_UP(len, 8UL) - len);
	return at + ALIGN_UP(len, 8UL);
}

static u8 *assemble(const struct wire *w, const struct surface_cmd *c, size_t *len)
{
	struct msg_bpf head = {(u32)c->cmd, SURFACE_ATTR_SIZE, w->nfds, w->nbufs};
	size_t total = sizeof(head) + SURFACE_ATTR_SIZE + w->nfds * sizeof(*w->fds);
	u8 *body, *at;

	for (u32 i = 0; i < w->nbufs; i++)
		total += sizeof(struct msg_buf) + ALIGN_UP((size_t)w->bufs[i].head.in, 8UL);
	body = malloc(total);
	if (!body)
		return NULL;
	at = put(body, &head, sizeof(head));
	at = put(at, &c->attr, SURFACE_ATTR_SIZE);
	if (w->nfds)
		at = put(at, w->fds, w->nfds * sizeof(*w->fds));
	for (u32 i = 0; i < w->nbufs; i++)
		at = put(at, &w->bufs[i].head, sizeof(struct msg_buf));
	for (u32 i = 0; i < w->nbufs; i++)
		if (w->bufs[i].head.in)
			at = put(at, w->bufs[i].data, w->bufs[i].head.in);
	*len = total;
	return body;
}

static const struct wire_buf *request_buf(const struct wire *w, u32 key)
{
	for (u32 i = 0; i < w->nbufs; i++)
		if (w->bufs[i].head.key == key)
			return &w->bufs[i];
	return NULL;
}

/* The fields the kernel would write, as far as the caller's attribute reaches. */
static int deliver_attr(const struct surface_cmd *c, const struct rule *r, const u8 *attr,
			u32 attr_size)
{
	int err = 0;

	for (u32 i = 0; !err && i < r->nouts; i++) {
		const struct out_rule *o = &r->outs[i];

		if (o->off + o->size <= c->size && o->off + o->size <= attr_size)
			err = user_write(c->uattr + o->off, attr + o->off, o->size);
	}
	return err;
}

/* The reply's buffers of one sort, from @at, their contents from @data; lengths were checked. */
static int deliver_bufs(const struct wire *w, const struct frame *reply, u32 n, size_t at,
			size_t data, bool nested, struct msg_object *info)
{
	struct msg_buf buf;
	int err = 0;

	for (u32 i = 0; !err && i < n; i++, at += sizeof(buf)) {
		const struct wire_buf *b;

		memcpy(&buf, reply->body + at, sizeof(buf));
		if (buf.out > reply->len - data)
			return -EPROTO;
		b = request_buf(w, buf.key);
		if (buf.key == MSG_BUF_OBJECT && buf.out >= sizeof(*info))
			memcpy(info, reply->body + data, sizeof(*info));
		else if (b && b->out_ptr && (buf.key >= MSG_BUF_NESTED) == nested)
			err = user_write(b->out_ptr, reply->body + data, MIN(buf.out, b->head.out));
		data += MIN(ALIGN_UP((size_t)buf.out, 8UL), reply->len - data);
	}
	return err;
}

/*
 * Cut the reply apart; every length in it is checked against what arrived. What a structure points
 * to comes first, then the structure, as from the kernel: a fault leaves the rest as it is.
 */
static int deliver(const struct surface_cmd *c, const struct rule *r, const struct wire *w,
		   const struct frame *reply, struct msg_object *info)
{
	size_t attr = sizeof(struct msg_bpf), at, data;
	struct msg_bpf head;
	int err;

	if (reply->len < sizeof(head))
		return 0; /* a bare error */
	memcpy(&head, reply->body, sizeof(head));
	if (head.attr_size > reply->len - attr || head.nbufs > MAX_BUFS + 1)
		return -EPROTO;
	at = attr + ALIGN_UP((size_t)head.attr_size, 8UL);
	data = at + head.nbufs * sizeof(struct msg_buf);
	if (data > reply->len)
		return -EPROTO;
	err = deliver_bufs(w, reply, head.nbufs, at, data, true, info);
	if (!err)
		err = deliver_attr(c, r, reply->body + attr, head.attr_size);
	return err ? err : deliver_bufs(w, reply, head.nbufs, at, data, false, info);
}

/* --- descriptors that come back
 * -------------------------------------------------------------------- */

/* Which access did the caller ask for? An O_* mode. */
static int wanted_mode(const struct surface_cmd *c)
{
	u32 flags = 0;

	if (c->cmd == BPF_MAP_CREATE)
		flags = c->attr.a.map_flags;
	else if (c->cmd == BPF_OBJ_GET)
		flags = c->attr.a.file_flags;
	else if (c->cmd == BPF_MAP_GET_FD_BY_ID)
		flags = c->attr.a.open_flags;
	if (flags & BPF_F_RDONLY)
		return O_RDONLY;
	return flags & BPF_F_WRONLY ? O_WRONLY : O_RDWR;
}

/* Narrow a descriptor of a map, in place: its mode says what bpf(2) allows on it. */
static int narrow(int fd, int mode)
{
	char path[40];
	int other;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = sys_openat(AT_FDCWD, path, mode | O_CLOEXEC, 0);
	if (other < 0)
		return other;
	sys_call3(SYS_dup3, other, fd, O_CLOEXEC);
	sys_close(other);
	return 0;
}

static long take_fd(const struct surface_cmd *c, struct frame *reply, const struct msg_object *info)
{
	_cleanup_close_ int fd = TAKE_FD(reply->fds[0]);
	int mode = wanted_mode(c), err = 0;

	if (info->kind == MSG_OBJ_MAP && c->cmd == BPF_MAP_CREATE)
		surface_ring_fill(fd, &info->meta);
	if (info->kind == MSG_OBJ_MAP && mode != O_RDWR)
		err = narrow(fd, mode);
	if (!err && info->kind != MSG_OBJ_NONE)
		err = surface_obj_enter(info, fd, mode != O_RDWR);
	return err ? err : TAKE_FD(fd);
}

static void note_frozen(const struct surface_cmd *c)
{
	struct surface_obj *o = surface_obj_known((int)c->attr.a.map_fd);

	if (o) {
		o->frozen = true;
		surface_obj_put(o);
	}
}

static long call(const struct surface_cmd *c, const struct rule *r, const struct surface_obj *o)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	_cleanup_wire_ struct wire w = {0};
	struct msg_object info = {0};
	struct msg req = {.type = MSG_BPF};
	_cleanup_free_ u8 *body = NULL;
	size_t len;
	long ret;
	int err;

	err = gather(&w, c, r, o);
	if (err)
		return err;
	body = assemble(&w, c, &len);
	if (!body)
		return -ENOMEM;
	ret = surface_request(&req, body, len, NULL, 0, &reply);
	err = deliver(c, r, &w, &reply, &info);
	/* what does not fit was written as far as it goes: the kernel then tells of the fault first
	 */
	if (err && (ret >= 0 || ret == -ENOSPC))
		ret = err;
	if (ret >= 0 && reply.nfds)
		ret = take_fd(c, &reply, &info);
	if (ret >= 0 && c->cmd == BPF_MAP_FREEZE)
		note_frozen(c);
	return ret;
}

/* What only this process can tell: is the descriptor open, and what is its mode? */
static long precheck(const struct surface_cmd *c)
{
	_cleanup_obj_ struct surface_obj *o = NULL;
	struct osl_ident ident;

	switch (c->cmd) {
	case BPF_OBJ_GET_INFO_BY_FD:
		return sys_ident((int)c->attr.a.info.bpf_fd, &ident) < 0 ? -EBADFD : 0;
	case BPF_TASK_FD_QUERY:
		return surface_attr_ends(c, A(task_fd_query.probe_addr) + sizeof(u64)) ? 0
										       : -EINVAL;
	case BPF_OBJ_PIN:
		return sys_ident((int)c->attr.a.bpf_fd, &ident) < 0 ? -EINVAL : 0;
	case BPF_MAP_FREEZE:
		o = surface_obj_known((int)c->attr.a.map_fd);
		return o ? surface_obj_allowed(o, (int)c->attr.a.map_fd, SURFACE_CAN_WRITE) : 0;
	default:
		return 0;
	}
}

/* Has what was done to reach the targets? A detached link; a new entry for programs to use. */
static bool reaches_targets(int cmd)
{
	return cmd == BPF_LINK_DETACH || cmd == BPF_MAP_UPDATE_ELEM || cmd == BPF_MAP_DELETE_ELEM;
}

long surface_command(struct surface_cmd *c, const struct surface_obj *obj)
{
	static const struct rule unknown = {0};
	bool in_table = c->cmd >= 0 && (size_t)c->cmd < ARRAY_SIZE(rules) && rules[c->cmd].known;
	long ret = in_table ? precheck(c) : 0;

	if (!ret)
		ret = call(c, in_table ? &rules[c->cmd] : &unknown, obj);
	if (!ret && reaches_targets(c->cmd))
		surface_settle();
	return ret;
}

/* --- bpf(2)
 * ------------------------------------------------------------------------------------------- */

bool surface_attr_ends(const struct surface_cmd *c, size_t end)
{
	for (size_t i = end; i < sizeof(c->attr); i++)
		if (c->attr.bytes[i])
			return false;
	return true;
}

/* Copy the attribute as the kernel does: what is longer than we know must be zero there. */
static int fetch_attr(struct surface_cmd *c)
{
	u32 known = MIN(c->size, SURFACE_ATTR_SIZE);
	u8 byte[256];
	int err;

	if (c->size > EBPFRT_PAGE_SIZE)
		return -E2BIG;
	for (u32 at = known; at < c->size; at += sizeof(byte)) {
		u32 n = MIN(c->size - at, (u32)sizeof(byte));

		err = user_read(byte, c->uattr + at, n);
		if (err)
			return err;
		for (u32 i = 0; i < n; i++)
			if (byte[i])
				return -E2BIG;
	}
	memset(&c->attr, 0, sizeof(c->attr));
	return user_read(&c->attr, c->uattr, known);
}

/* Element commands are frequent: their attribute is read in place. */
static int fetch_small(struct surface_cmd *c)
{
	if (c->size > SURFACE_ATTR_SIZE)
		return fetch_attr(c);
	if (!user_ok(c->uattr, c->size))
		return -EFAULT;
	memset(&c->attr, 0, sizeof(c->attr));
	memcpy(&c->attr, (const void *)c->uattr, c->size);
	return 0;
}

long surface_bpf(int cmd, u64 uattr, u32 size)
{
	struct surface_cmd c = {.cmd = cmd, .uattr = uattr, .size = size};
	int saved = errno;
	long ret;

	if (surface_inside)
		return -EBUSY;
	surface_enter();
	surface_say_clear();
	if (surface_cmd_is_elem(cmd)) {
		ret = fetch_small(&c);
		if (!ret)
			ret = surface_elem(&c);
	} else {
		ret = fetch_attr(&c);
		if (!ret)
			ret = surface_command(&c, NULL);
	}
	surface_leave();
	errno = saved;
	return ret;
}
