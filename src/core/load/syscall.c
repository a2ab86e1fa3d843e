/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf(2): the command table, and what the commands share. See syscall.h. */
#include "core/load/syscall.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENOTSUPP 524 /* the kernel's own, which user space sees from bpf(2) */

struct ebpf_buf *ebpf_call_buf(struct ebpf_call *call, u32 key)
{
	for (u32 i = 0; i < call->nbufs; i++)
		if (call->bufs[i].key == key)
			return &call->bufs[i];
	return NULL;
}

const void *ebpf_call_in(struct ebpf_call *call, u32 key, u32 len)
{
	struct ebpf_buf *b = ebpf_call_buf(call, key);

	return b && b->in && b->in_len >= len ? b->in : NULL;
}

void *ebpf_call_out(struct ebpf_call *call, u32 key, u32 len)
{
	struct ebpf_buf *b = ebpf_call_buf(call, key);

	if (!b || b->out_cap < len)
		return NULL;
	if (!b->out)
		b->out = calloc(1, b->out_cap ? b->out_cap : 1);
	if (b->out)
		b->out_len = len;
	return b->out;
}

int ebpf_call_str(struct ebpf_call *call, u32 key, char *out, u32 max)
{
	struct ebpf_buf *b = ebpf_call_buf(call, key);
	size_t n;

	if (!b || !b->in)
		return -EFAULT;
	n = strnlen((const char *)b->in, b->in_len);
	if (n == b->in_len)
		return -EFAULT;
	if (n >= max)
		return -ENAMETOOLONG;
	memcpy(out, b->in, n + 1);
	return 0;
}

int ebpf_call_obj(struct ebpf_call *call, s32 fd, u32 kind, struct ebpf_obj **out)
{
	struct ebpf_obj *obj = NULL;
	u32 i;
	int err;

	for (i = 0; i < call->nfds && call->fds[i].fd != fd; i++)
		;
	if (i == call->nfds)
		return -EBADF;
	obj = ebpf_obj_by_ident(call->table, &call->fds[i].ident);
	if (!obj || (kind && obj->kind != kind))
		return -EINVAL;
	/* sockets keep their object alive themselves */
	if (call->owner && obj->fd >= 0) {
		err = ebpf_owner_hold(call->owner, obj);
		if (err)
			return err;
	}
	*out = obj;
	return 0;
}

int ebpf_call_result(struct ebpf_call *call, struct ebpf_obj *obj)
{
	int err = 0;

	if (call->owner && obj->fd >= 0)
		err = ebpf_owner_hold(call->owner, obj);
	if (err) {
		ebpf_obj_put(obj);
		return err;
	}
	call->obj = obj;
	return 0;
}

void ebpf_call_deinit(struct ebpf_call *call)
{
	for (u32 i = 0; i < call->nbufs; i++) {
		free(call->bufs[i].out);
		call->bufs[i].out = NULL;
	}
	ebpf_obj_put(call->obj);
	call->obj = NULL;
	if (call->job)
		call->job_free(call->job);
	call->job = NULL;
}

int ebpf_name_copy(char out[BPF_OBJ_NAME_LEN], const char *in)
{
	u32 n;

	for (n = 0; n < BPF_OBJ_NAME_LEN && in[n]; n++)
		if (!isalnum((unsigned char)in[n]) && in[n] != '_' && in[n] != '.')
			return -EINVAL;
	if (n == BPF_OBJ_NAME_LEN)
		return -EINVAL;
	memset(out, 0, BPF_OBJ_NAME_LEN);
	memcpy(out, in, n);
	return n;
}

void ebpf_call_why(struct ebpf_call *call, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->why, sizeof(call->why), fmt, ap);
	va_end(ap);
}

bool ebpf_attr_zero_from(const struct ebpf_call *call, u32 from)
{
	for (u32 i = from; i < EBPF_ATTR_MAX; i++)
		if (call->raw[i])
			return false;
	return true;
}

static int cmd_next_id(struct ebpf_call *call)
{
	static const u8 kinds[] = {
		[BPF_PROG_GET_NEXT_ID] = EBPF_OBJ_PROG,
		[BPF_MAP_GET_NEXT_ID] = EBPF_OBJ_MAP,
		[BPF_BTF_GET_NEXT_ID] = EBPF_OBJ_BTF,
		[BPF_LINK_GET_NEXT_ID] = EBPF_OBJ_LINK,
	};
	u32 id;

	if (call->attr.start_id >= 0x7fffffff)
		return -EINVAL;
	id = ebpf_obj_next_id(call->table, kinds[call->cmd], call->attr.start_id);
	if (!id)
		return -ENOENT;
	call->attr.next_id = id;
	return 0;
}

static int cmd_fd_by_id(struct ebpf_call *call)
{
	static const u8 kinds[] = {
		[BPF_PROG_GET_FD_BY_ID] = EBPF_OBJ_PROG,
		[BPF_MAP_GET_FD_BY_ID] = EBPF_OBJ_MAP,
		[BPF_BTF_GET_FD_BY_ID] = EBPF_OBJ_BTF,
		[BPF_LINK_GET_FD_BY_ID] = EBPF_OBJ_LINK,
	};
	struct ebpf_obj *obj;

	if (call->cmd == BPF_MAP_GET_FD_BY_ID &&
	    (call->attr.open_flags & ~(u32)(BPF_F_RDONLY | BPF_F_WRONLY)))
		return -EINVAL;
	obj = ebpf_obj_by_id(call->table, kinds[call->cmd], call->attr.map_id);
	if (!obj || obj->hidden)
		return -ENOENT;
	return ebpf_call_result(call, ebpf_obj_get(obj));
}

static int cmd_enable_stats(struct ebpf_call *call)
{
	if (call->attr.enable_stats.type != BPF_STATS_RUN_TIME)
		return -EINVAL;
	return call->table->backend->enable_stats(call);
}

/* Batches run in the client, on shared memory; what arrives here is a map type that has none. */
static int cmd_batch(struct ebpf_call *call)
{
	struct ebpf_obj *obj;
	int err;

	if (call->attr.batch.elem_flags & ~(u64)BPF_F_LOCK)
		return -EINVAL;
	err = ebpf_call_obj(call, call->attr.batch.map_fd, EBPF_OBJ_MAP, &obj);
	return err ? err : -ENOTSUPP;
}

/* A command, and the end of the last field of its attribute: what lies behind must be zero. */
struct command {
	int (*fn)(struct ebpf_call *call);
	u32 end;
};
#define END(field)                                                                                 \
	((u32)offsetof(union bpf_attr, field) + (u32)sizeof(((union bpf_attr *)0)->field))

static const struct command commands[] = {
	[BPF_MAP_CREATE] = {ebpf_cmd_map_create, END(map_extra)},
	[BPF_MAP_LOOKUP_ELEM] = {ebpf_cmd_map_elem, END(flags)},
	[BPF_MAP_UPDATE_ELEM] = {ebpf_cmd_map_elem, END(flags)},
	[BPF_MAP_DELETE_ELEM] = {ebpf_cmd_map_elem, END(key)},
	[BPF_MAP_GET_NEXT_KEY] = {ebpf_cmd_map_elem, END(next_key)},
	[BPF_MAP_LOOKUP_AND_DELETE_ELEM] = {ebpf_cmd_map_elem, END(flags)},
	[BPF_MAP_LOOKUP_BATCH] = {cmd_batch, END(batch.flags)},
	[BPF_MAP_LOOKUP_AND_DELETE_BATCH] = {cmd_batch, END(batch.flags)},
	[BPF_MAP_UPDATE_BATCH] = {cmd_batch, END(batch.flags)},
	[BPF_MAP_DELETE_BATCH] = {cmd_batch, END(batch.flags)},
	[BPF_MAP_FREEZE] = {ebpf_cmd_map_freeze, END(map_fd)},
	/* log_true_size (6.4) sits in the padding behind core_relo_rec_size */
	[BPF_PROG_LOAD] = {ebpf_cmd_prog_load, END(core_relo_rec_size) + 4},
	[BPF_PROG_TEST_RUN] = {ebpf_cmd_prog_test_run, END(test.batch_size)},
	[BPF_PROG_BIND_MAP] = {ebpf_cmd_prog_bind_map, END(prog_bind_map.flags)},
	/* btf_log_true_size (6.4) follows btf_log_level */
	[BPF_BTF_LOAD] = {ebpf_cmd_btf_load, END(btf_log_level) + 4},
	[BPF_OBJ_PIN] = {ebpf_cmd_pin, END(file_flags)},
	[BPF_OBJ_GET] = {ebpf_cmd_obj_get, END(file_flags)},
	[BPF_PROG_GET_NEXT_ID] = {cmd_next_id, END(next_id)},
	[BPF_MAP_GET_NEXT_ID] = {cmd_next_id, END(next_id)},
	[BPF_BTF_GET_NEXT_ID] = {cmd_next_id, END(next_id)},
	[BPF_LINK_GET_NEXT_ID] = {cmd_next_id, END(next_id)},
	[BPF_PROG_GET_FD_BY_ID] = {cmd_fd_by_id, END(prog_id)},
	[BPF_MAP_GET_FD_BY_ID] = {cmd_fd_by_id, END(open_flags)},
	[BPF_BTF_GET_FD_BY_ID] = {cmd_fd_by_id, END(btf_id)},
	[BPF_LINK_GET_FD_BY_ID] = {cmd_fd_by_id, END(link_id)},
	[BPF_OBJ_GET_INFO_BY_FD] = {ebpf_cmd_info, END(info.info)},
	[BPF_TASK_FD_QUERY] = {ebpf_cmd_task_fd_query, END(task_fd_query.probe_addr)},
	[BPF_LINK_CREATE] = {ebpf_cmd_link_create, 64},
	[BPF_LINK_UPDATE] = {ebpf_cmd_link_update, END(link_update.old_prog_fd)},
	[BPF_LINK_DETACH] = {ebpf_cmd_link_detach, END(link_detach.link_fd)},
	[BPF_ENABLE_STATS] = {cmd_enable_stats, END(enable_stats.type)},
};

int ebpf_syscall(struct ebpf_call *call)
{
	const struct command *c;

	if (call->tail)
		return -E2BIG;
	if (call->cmd >= ARRAY_SIZE(commands) || !commands[call->cmd].fn)
		return -EINVAL;
	c = &commands[call->cmd];
	if (!ebpf_attr_zero_from(call, c->end))
		return -EINVAL;
	return c->fn(call);
}
