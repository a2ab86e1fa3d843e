/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF_LINK_CREATE, _UPDATE, _DETACH for the two attach types that reach user-space code: a perf
 * event of the uprobe PMU, and uprobe_multi with its sessions; BPF_TASK_FD_QUERY, which asks a perf
 * event for the same.
 */
#include "core/load/syscall.h"

#include <stdlib.h>
#include <string.h>

#define ENOTSUPP 524 /* the kernel's own, which user space sees from bpf(2) */
#define MULTI_MAX (1u << 20)
#define PATH_MAX_LEN 4096u
/* where struct ebpf_attr_uprobe_multi lies in the attribute */
#define MULTI_OFF 16u
#define MULTI_KEY(field) (MULTI_OFF + (u32)offsetof(struct ebpf_attr_uprobe_multi, field))

static void link_release(struct ebpf_obj *obj)
{
	struct ebpf_link_obj *l = ebpf_obj_link(obj);

	obj->table->backend->link_detach(l);
	if (l->prog)
		ebpf_obj_put(&l->prog->obj);
	ebpf_obj_put(l->event);
	free(l->path);
	free(l->offsets);
	free(l->cookies);
	free(l->ref_ctrs);
	free(l);
}

static int link_new(struct ebpf_call *call, struct ebpf_prog_obj *prog, u32 type,
		    struct ebpf_link_obj **out)
{
	struct ebpf_link_obj *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->obj.release = link_release;
	err = ebpf_obj_init(call->table, &l->obj, EBPF_OBJ_LINK, -1, 0);
	if (err) {
		free(l);
		return err;
	}
	l->obj.uid = call->uid;
	l->type = type;
	l->attach_type = call->attr.link_create.attach_type;
	l->session = call->session;
	l->pid = -1;
	l->prog = ebpf_obj_prog(ebpf_obj_get(&prog->obj));
	*out = l;
	return 0;
}

/* The link is complete: attach it. The call's result is the link unless that fails. */
static int link_finish(struct ebpf_call *call, struct ebpf_link_obj *l, int err)
{
	int later = 0;

	if (!err)
		err = call->table->backend->link_attach(call, l);
	if (err == EBPF_LATER) {
		later = err;
		err = 0;
	}
	if (err) {
		ebpf_obj_put(&l->obj);
		return err;
	}
	err = ebpf_call_result(call, &l->obj);
	return err ? err : later;
}

/* Of a typed program: the arguments are kept from the entry to the return. */
static bool is_exit(const struct ebpf_prog_obj *prog)
{
	return prog->type == BPF_PROG_TYPE_TRACING && prog->expected_attach_type == BPF_TRACE_FEXIT;
}

static int create_perf(struct ebpf_call *call, struct ebpf_prog_obj *prog)
{
	struct ebpf_link_obj *l;
	struct ebpf_obj *event;
	int err;

	if (!ebpf_attr_zero_from(call, 24) || call->attr.link_create.flags)
		return -EINVAL;
	err = ebpf_call_obj(call, call->attr.link_create.target_fd, EBPF_OBJ_PERF, &event);
	if (err)
		return err;
	err = link_new(call, prog, EBPFRT_BPF_LINK_TYPE_PERF_EVENT, &l);
	if (err)
		return err;
	l->event = ebpf_obj_get(event);
	err = call->table->backend->link_of_event(call, l, event);
	if (!err)
		l->cookies[0] = call->attr.link_create.perf_event.bpf_cookie;
	l->is_session = is_exit(prog);
	return link_finish(call, l, err);
}

static int copy_u64s(struct ebpf_call *call, u32 key, u64 ptr, u32 cnt, u64 **out)
{
	const void *in = NULL;

	if (ptr) {
		in = ebpf_call_in(call, key, cnt * sizeof(u64));
		if (!in)
			return -EFAULT;
	}
	*out = calloc(cnt, sizeof(u64));
	if (!*out)
		return -ENOMEM;
	if (in)
		memcpy(*out, in, cnt * sizeof(u64));
	return 0;
}

static int multi_path(struct ebpf_call *call, struct ebpf_link_obj *l, u64 *size)
{
	char path[PATH_MAX_LEN];
	int err = ebpf_call_str(call, MULTI_KEY(path), path, sizeof(path));

	if (err == -ENAMETOOLONG)
		return -E2BIG;
	if (err)
		return err;
	if (!*path) /* the directory it is in, to the kernel */
		return -EBADF;
	err = call->table->backend->file_ident(call, path, &l->file, size);
	if (err)
		return err;
	l->path = strdup(path);
	return l->path ? 0 : -ENOMEM;
}

static bool is_session(const struct ebpf_prog_obj *prog)
{
	return prog->expected_attach_type == EBPFRT_BPF_TRACE_UPROBE_SESSION;
}

static int fill_multi(struct ebpf_call *call, struct ebpf_link_obj *l,
		      const struct ebpf_attr_uprobe_multi *m)
{
	u64 size;
	int err = multi_path(call, l, &size);

	if (err)
		return err;
	l->pid = m->pid ? (s32)m->pid : -1;
	l->flags = m->flags & ~EBPFRT_BPF_F_UPROBE_MULTI_PARTIAL;
	l->partial = m->flags & EBPFRT_BPF_F_UPROBE_MULTI_PARTIAL;
	/* a session without its entry is a return probe, as in the kernel */
	l->is_ret = m->flags & EBPFRT_BPF_F_UPROBE_MULTI_RETURN;
	l->is_session = (is_session(l->prog) || is_exit(l->prog)) && !l->is_ret;
	l->nsites = m->cnt;
	err = copy_u64s(call, MULTI_KEY(offsets), m->offsets, m->cnt, &l->offsets);
	if (!err)
		err = copy_u64s(call, MULTI_KEY(cookies), m->cookies, m->cnt, &l->cookies);
	if (!err)
		err = copy_u64s(call, MULTI_KEY(ref_ctr_offsets), m->ref_ctr_offsets, m->cnt,
				&l->ref_ctrs);
	for (u32 i = 0; !err && i < m->cnt; i++)
		if (l->offsets[i] > size)
			err = -EINVAL;
	return err;
}

static int create_multi(struct ebpf_call *call, struct ebpf_prog_obj *prog)
{
	struct ebpf_attr_uprobe_multi m;
	struct ebpf_link_obj *l;
	int err;

	memcpy(&m, call->raw + MULTI_OFF, sizeof(m));
	if (!ebpf_attr_zero_from(call, MULTI_OFF + sizeof(m) - 4))
		return -EINVAL;
	if (call->attr.link_create.flags ||
	    prog->expected_attach_type != call->attr.link_create.attach_type ||
	    (m.flags & ~(EBPFRT_BPF_F_UPROBE_MULTI_RETURN | EBPFRT_BPF_F_UPROBE_MULTI_PARTIAL)) ||
	    !m.path || !m.offsets || !m.cnt || (s32)m.pid < 0)
		return -EINVAL;
	if (m.cnt > MULTI_MAX)
		return -E2BIG;
	err = link_new(call, prog, EBPFRT_BPF_LINK_TYPE_UPROBE_MULTI, &l);
	if (err)
		return err;
	err = fill_multi(call, l, &m);
	return link_finish(call, l, err);
}

static bool is_multi(u32 attach)
{
	return attach == EBPFRT_BPF_TRACE_UPROBE_MULTI || attach == EBPFRT_BPF_TRACE_UPROBE_SESSION;
}

int ebpf_cmd_link_create(struct ebpf_call *call)
{
	u32 attach = call->attr.link_create.attach_type;
	struct ebpf_prog_obj *prog;
	struct ebpf_obj *obj;
	int err = ebpf_call_obj(call, call->attr.link_create.prog_fd, EBPF_OBJ_PROG, &obj);

	if (err)
		return err;
	prog = ebpf_obj_prog(obj);
	if (prog->type == BPF_PROG_TYPE_KPROBE && is_multi(attach))
		return create_multi(call, prog);
	/* the kernel has no such links: they say where by a file, as those of user space do */
	if (prog->type == BPF_PROG_TYPE_TRACING && attach == prog->expected_attach_type)
		return create_multi(call, prog);
	if (attach != BPF_PERF_EVENT)
		return -EINVAL;
	if (prog->type != BPF_PROG_TYPE_KPROBE && prog->type != BPF_PROG_TYPE_TRACEPOINT &&
	    prog->type != BPF_PROG_TYPE_PERF_EVENT && prog->type != BPF_PROG_TYPE_TRACING)
		return -EINVAL;
	return create_perf(call, prog);
}

static int update_check(struct ebpf_call *call, const struct ebpf_link_obj *l,
			const struct ebpf_prog_obj *new)
{
	u32 flags = call->attr.link_update.flags;
	struct ebpf_obj *old;
	int err;

	if (flags & BPF_F_REPLACE) {
		err = ebpf_call_obj(call, call->attr.link_update.old_prog_fd, EBPF_OBJ_PROG, &old);
		if (err)
			return err;
		if (ebpf_obj_prog(old) != l->prog)
			return -EPERM;
	} else if (call->attr.link_update.old_prog_fd) {
		return -EINVAL;
	}
	if (new->type != l->prog->type ||
	    new->expected_attach_type != l->prog->expected_attach_type)
		return -EINVAL;
	return l->detached ? -ENOLINK : 0;
}

/* The kernel refuses this for perf links; ours can, so that a program is replaced without a gap. */
int ebpf_cmd_link_update(struct ebpf_call *call)
{
	struct ebpf_obj *link, *prog;
	struct ebpf_prog_obj *old;
	struct ebpf_link_obj *l;
	int err;

	if (call->attr.link_update.flags & ~(u32)BPF_F_REPLACE)
		return -EINVAL;
	err = ebpf_call_obj(call, call->attr.link_update.link_fd, EBPF_OBJ_LINK, &link);
	if (!err)
		err = ebpf_call_obj(call, call->attr.link_update.new_prog_fd, EBPF_OBJ_PROG, &prog);
	if (err)
		return err;
	l = ebpf_obj_link(link);
	err = update_check(call, l, ebpf_obj_prog(prog));
	if (err)
		return err;
	old = l->prog;
	l->prog = ebpf_obj_prog(ebpf_obj_get(prog));
	err = call->table->backend->link_update(call, l, old);
	ebpf_obj_put(&old->obj);
	return err;
}

int ebpf_cmd_link_detach(struct ebpf_call *call)
{
	struct ebpf_obj *link;
	int err = ebpf_call_obj(call, call->attr.link_detach.link_fd, EBPF_OBJ_LINK, &link);

	if (err)
		return err;
	ebpf_obj_link(link)->detached = true;
	call->table->backend->link_detach(ebpf_obj_link(link));
	return 0;
}

/* The path, cut to the room there is for it. */
static int query_path(struct ebpf_call *call, const char *path)
{
	u32 room = call->attr.task_fd_query.buf_len, len = (u32)strlen(path), n;
	char *out;

	call->attr.task_fd_query.buf_len = len;
	if (!room || !call->attr.task_fd_query.buf)
		return 0;
	n = MIN(len, room - 1);
	out = ebpf_call_out(call, EBPF_KEY(task_fd_query.buf), n + 1);
	if (!out)
		return -EFAULT;
	memcpy(out, path, n);
	out[n] = '\0';
	return n < len ? -ENOSPC : 0;
}

/*
 * What a descriptor of some process traces. The surface says which object is behind it; the
 * descriptor of a link says nothing, as in the kernel, only that of the perf event does.
 */
int ebpf_cmd_task_fd_query(struct ebpf_call *call)
{
	struct ebpf_obj *event = NULL;
	struct ebpf_link_obj *l;
	int err;

	if (call->attr.task_fd_query.flags)
		return -EINVAL;
	err = ebpf_call_obj(call, (s32)call->attr.task_fd_query.fd, EBPF_OBJ_PERF, &event);
	if (err)
		return err == -EINVAL ? -ENOTSUPP : err;
	l = call->table->backend->link_at(event);
	if (!l || !l->path || !l->nsites)
		return -ENOENT;
	err = query_path(call, l->path);
	if (err && err != -ENOSPC)
		return err;
	call->attr.task_fd_query.prog_id = l->prog->obj.id;
	call->attr.task_fd_query.fd_type = l->is_ret ? BPF_FD_TYPE_URETPROBE : BPF_FD_TYPE_UPROBE;
	call->attr.task_fd_query.probe_offset = l->offsets[0];
	call->attr.task_fd_query.probe_addr = l->ref_ctrs[0];
	return err;
}
