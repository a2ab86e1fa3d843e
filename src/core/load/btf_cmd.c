/* SPDX-License-Identifier: BSD-2-Clause */
/* BPF_BTF_LOAD: a checked copy, kept in a sealed memfd and in our own memory. */
#include "core/load/syscall.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static void btf_release(struct ebpf_obj *obj)
{
	struct ebpf_btf_obj *b = ebpf_obj_btf(obj);

	free(b->data);
	free(b);
}

static int btf_new(struct ebpf_call *call, const u8 *data, u32 size, struct ebpf_btf_obj **out)
{
	_cleanup_free_ struct ebpf_btf_obj *b = calloc(1, sizeof(*b));
	_cleanup_free_ u8 *copy = malloc(size);
	_cleanup_close_ int fd = -1;
	int err;

	if (!b || !copy)
		return -ENOMEM;
	memcpy(copy, data, size);
	fd = osl_image_create("btf", copy, size);
	if (fd < 0)
		return fd;
	err = ebpf_obj_init(call->table, &b->obj, EBPF_OBJ_BTF, fd, size);
	if (err)
		return err;
	fd = -1;
	b->obj.release = btf_release;
	b->obj.uid = call->uid;
	b->data = TAKE_PTR(copy);
	b->size = size;
	*out = TAKE_PTR(b);
	return 0;
}

static void finish_log(struct ebpf_call *call, struct ebpf_log *log)
{
	u32 true_size = log->level ? log->total : 0;
	struct ebpf_buf *b = ebpf_call_buf(call, EBPF_KEY(btf_log_buf));

	ebpf_log_end(log);
	if (b && log->buf && log->level)
		b->out_len = MIN(log->len + 1, log->size);
	memcpy(call->raw + offsetof(union bpf_attr, btf_log_level) + 4, &true_size, 4);
}

static int log_of(struct ebpf_call *call, struct ebpf_log *log)
{
	const union bpf_attr *a = &call->attr;
	struct ebpf_buf *b = ebpf_call_buf(call, EBPF_KEY(btf_log_buf));

	*log = (struct ebpf_log){.level = a->btf_log_level};
	if (!!a->btf_log_buf != !!a->btf_log_size || (a->btf_log_buf && !a->btf_log_level) ||
	    (a->btf_log_level & ~15u) || a->btf_log_size > UINT32_MAX >> 2)
		return -EINVAL;
	if (!b || !log->level)
		return 0;
	log->buf = ebpf_call_out(call, b->key, 0);
	log->size = log->buf ? MIN(b->out_cap, a->btf_log_size) : 0;
	return 0;
}

int ebpf_cmd_btf_load(struct ebpf_call *call)
{
	const union bpf_attr *a = &call->attr;
	struct ebpf_btf_obj *btf;
	struct ebpf_log log;
	const u8 *data;
	int err;

	if (a->btf_size > (16u << 20))
		return -E2BIG;
	err = log_of(call, &log);
	if (err)
		return err;
	data = a->btf_size ? ebpf_call_in(call, EBPF_KEY(btf), a->btf_size) : (const u8 *)"";
	if (!data)
		return -EFAULT;
	err = ebpf_btf_check(data, a->btf_size, &log);
	finish_log(call, &log);
	if (log.level && log.buf && log.total > log.size)
		return -ENOSPC;
	if (!err)
		err = btf_new(call, data, a->btf_size, &btf);
	return err ? err : ebpf_call_result(call, &btf->obj);
}
