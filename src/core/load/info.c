/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF_OBJ_GET_INFO_BY_FD: struct bpf_{prog,map,btf,link}_info as the kernel fills them, the memory
 * their pointers name included.
 */
#include "core/load/syscall.h"

#include <stdlib.h>
#include <string.h>

#define NESTED(type, field) (EBPF_BUF_NESTED + (u32)offsetof(struct type, field))

/* The caller's info struct, zero-extended. 0, -E2BIG: it sets what we do not know. */
static int info_in(struct ebpf_call *call, void *info, u32 size)
{
	u32 len = call->attr.info.info_len;
	const u8 *in = ebpf_call_in(call, EBPF_KEY(info.info), len);

	if (len > 4096)
		return -E2BIG;
	if (!in && len)
		return -EFAULT;
	for (u32 i = size; i < len; i++)
		if (in[i])
			return -E2BIG;
	if (len)
		memcpy(info, in, MIN(len, size));
	return 0;
}

static int info_out(struct ebpf_call *call, const void *info, u32 size)
{
	u32 len = MIN(call->attr.info.info_len, size);
	void *out;

	call->attr.info.info_len = len;
	if (!len)
		return 0;
	out = ebpf_call_out(call, EBPF_KEY(info.info), len);
	if (!out)
		return -EFAULT;
	memcpy(out, info, len);
	return 0;
}

/* Copy @have bytes of @data to the nested pointer @key when the caller gave one and room for some.
 */
static int nested(struct ebpf_call *call, u32 key, u64 ptr, u64 room, const void *data, u64 have)
{
	void *out;

	if (!ptr || !room || !have)
		return 0;
	have = MIN(have, room);
	out = ebpf_call_out(call, key, have);
	if (!out)
		return -EFAULT;
	memcpy(out, data, have);
	return 0;
}

static const struct ebpf_image *image_of(const struct ebpf_prog_obj *p)
{
	return (const struct ebpf_image *)p->image;
}

static int prog_code(struct ebpf_call *call, const struct ebpf_prog_obj *p, struct bpf_prog_info *i)
{
	const struct ebpf_image *img = image_of(p);
	u32 room = i->xlated_prog_len;
	int err;

	i->xlated_prog_len = p->ninsns * sizeof(struct bpf_insn);
	err = nested(call, NESTED(bpf_prog_info, xlated_prog_insns), i->xlated_prog_insns, room,
		     p->xlated, i->xlated_prog_len);
	if (err)
		return err;
	room = i->jited_prog_len;
	i->jited_prog_len = img->code_size;
	return nested(call, NESTED(bpf_prog_info, jited_prog_insns), i->jited_prog_insns, room,
		      p->image + img->code, img->code_size);
}

/* The code is one stretch to the outside: position-independent, it has no address here. */
static int prog_jited(struct ebpf_call *call, const struct ebpf_prog_obj *p,
		      struct bpf_prog_info *i)
{
	u32 n = image_of(p)->code_size ? 1 : 0, len = image_of(p)->code_size, room;
	u64 addr = 0;
	int err;

	room = i->nr_jited_ksyms;
	i->nr_jited_ksyms = n;
	err = nested(call, NESTED(bpf_prog_info, jited_ksyms), i->jited_ksyms, room * sizeof(addr),
		     &addr, n * sizeof(addr));
	if (err)
		return err;
	room = i->nr_jited_func_lens;
	i->nr_jited_func_lens = n;
	i->nr_jited_line_info = 0;
	i->jited_line_info_rec_size = sizeof(u64);
	i->nr_prog_tags = n;
	return nested(call, NESTED(bpf_prog_info, jited_func_lens), i->jited_func_lens,
		      room * sizeof(len), &len, n * sizeof(len));
}

static int prog_maps(struct ebpf_call *call, const struct ebpf_prog_obj *p, struct bpf_prog_info *i)
{
	u32 ids[EBPF_MAX_USED_MAPS], room = i->nr_map_ids;

	for (u32 k = 0; k < p->nmaps; k++)
		ids[k] = p->maps[k]->obj.id;
	i->nr_map_ids = p->nmaps;
	return nested(call, NESTED(bpf_prog_info, map_ids), i->map_ids, room * sizeof(u32), ids,
		      p->nmaps * sizeof(u32));
}

static int prog_debug(struct ebpf_call *call, const struct ebpf_prog_obj *p,
		      struct bpf_prog_info *i)
{
	u32 room = i->nr_func_info;
	int err;

	i->func_info_rec_size = sizeof(struct bpf_func_info);
	i->line_info_rec_size = sizeof(struct bpf_line_info);
	i->nr_func_info = p->func_info.cnt;
	err = nested(call, NESTED(bpf_prog_info, func_info), i->func_info,
		     (u64)room * i->func_info_rec_size, p->func_info.data,
		     (u64)p->func_info.cnt * i->func_info_rec_size);
	if (err)
		return err;
	room = i->nr_line_info;
	i->nr_line_info = p->line_info.cnt;
	return nested(call, NESTED(bpf_prog_info, line_info), i->line_info,
		      (u64)room * i->line_info_rec_size, p->line_info.data,
		      (u64)p->line_info.cnt * i->line_info_rec_size);
}

static void prog_facts(struct ebpf_prog_obj *p, struct bpf_prog_info *i)
{
	u64 cnt = p->run_cnt, ns = p->run_time_ns, missed = p->missed;

	p->obj.table->backend->prog_stats(p, &cnt, &ns, &missed);
	i->type = p->type;
	i->id = p->obj.id;
	i->load_time = p->obj.since_ns;
	i->created_by_uid = p->obj.uid;
	i->gpl_compatible = p->gpl;
	memcpy(i->tag, p->tag, sizeof(i->tag));
	memcpy(i->name, p->obj.name, sizeof(i->name));
	i->btf_id = p->btf ? p->btf->obj.id : 0;
	i->run_cnt = cnt;
	i->run_time_ns = ns;
	i->recursion_misses = missed;
	i->verified_insns = p->ninsns;
}

static int prog_info(struct ebpf_call *call, struct ebpf_prog_obj *p)
{
	struct bpf_prog_info i = {0};
	int err = info_in(call, &i, sizeof(i));

	if (err)
		return err;
	prog_facts(p, &i);
	err = prog_maps(call, p, &i);
	if (!err)
		err = prog_code(call, p, &i);
	if (!err)
		err = prog_jited(call, p, &i);
	if (!err)
		err = prog_debug(call, p, &i);
	return err ? err : info_out(call, &i, sizeof(i));
}

static int map_info(struct ebpf_call *call, const struct ebpf_map_obj *m)
{
	struct bpf_map_info i = {0};
	int err = info_in(call, &i, sizeof(i));

	if (err)
		return err;
	memset(&i, 0, sizeof(i));
	i.type = m->meta.type;
	i.id = m->obj.id;
	i.key_size = m->meta.key_size;
	i.value_size = m->meta.value_size;
	i.max_entries = m->meta.max_entries;
	i.map_flags = m->meta.map_flags;
	i.map_extra = m->meta.map_extra;
	memcpy(i.name, m->meta.name, sizeof(i.name));
	if (m->btf) {
		i.btf_id = m->btf->obj.id;
		i.btf_key_type_id = m->btf_key_type_id;
		i.btf_value_type_id = m->btf_value_type_id;
	}
	return info_out(call, &i, sizeof(i));
}

static int btf_info(struct ebpf_call *call, const struct ebpf_btf_obj *b)
{
	struct bpf_btf_info i = {0};
	u32 room;
	int err = info_in(call, &i, sizeof(i));

	if (err)
		return err;
	room = i.btf_size;
	i.id = b->obj.id;
	i.btf_size = b->size;
	i.kernel_btf = 0;
	err = nested(call, NESTED(bpf_btf_info, btf), i.btf, room, b->data, b->size);
	if (err)
		return err;
	if (!i.name != !i.name_len)
		return -EINVAL;
	room = i.name_len;
	i.name_len = 0;
	err = nested(call, NESTED(bpf_btf_info, name), i.name, room, "", 1);
	return err ? err : info_out(call, &i, sizeof(i));
}

/* A path into the caller's room: cut and terminated, with -ENOSPC, as the kernel does. */
static int link_path(struct ebpf_call *call, u32 key, u64 ptr, u32 *len, const char *path)
{
	u32 have = strlen(path) + 1, room = *len;
	char *out;

	if (!ptr != !room)
		return -EINVAL;
	*len = have;
	if (!ptr)
		return 0;
	out = ebpf_call_out(call, key, MIN(have, room));
	if (!out)
		return -EFAULT;
	memcpy(out, path, MIN(have, room));
	out[MIN(have, room) - 1] = 0;
	return have > room ? -ENOSPC : 0;
}

static int link_perf(struct ebpf_call *call, const struct ebpf_link_obj *l,
		     struct ebpf_link_info *i)
{
	u32 len = i->perf_event.name_len;
	int err = link_path(call, NESTED(ebpf_link_info, perf_event.file_name),
			    i->perf_event.file_name, &len, l->path ? l->path : "");

	if (err)
		return err;
	i->perf_event.type =
		l->is_ret ? EBPFRT_BPF_PERF_EVENT_URETPROBE : EBPFRT_BPF_PERF_EVENT_UPROBE;
	i->perf_event.name_len = len;
	i->perf_event.offset = l->nsites ? l->offsets[0] : 0;
	i->perf_event.cookie = l->nsites ? l->cookies[0] : 0;
	i->perf_event.ref_ctr_offset = l->nsites && l->ref_ctrs ? l->ref_ctrs[0] : 0;
	return 0;
}

/* A path that doesn't fit into its room is none. */
static int multi_path(struct ebpf_call *call, const struct ebpf_link_obj *l,
		      struct ebpf_link_info *i)
{
	u32 len = i->uprobe_multi.path_size;

	if (i->uprobe_multi.path && len && len <= strlen(l->path))
		return -ENAMETOOLONG;
	return link_path(call, NESTED(ebpf_link_info, uprobe_multi.path), i->uprobe_multi.path,
			 &i->uprobe_multi.path_size, l->path);
}

static int multi_places(struct ebpf_call *call, const struct ebpf_link_obj *l,
			const struct ebpf_link_info *i)
{
	u64 room = (u64)i->uprobe_multi.count * sizeof(u64), have = (u64)l->nsites * sizeof(u64);
	int err = nested(call, NESTED(ebpf_link_info, uprobe_multi.offsets),
			 i->uprobe_multi.offsets, room, l->offsets, have);

	if (!err)
		err = nested(call, NESTED(ebpf_link_info, uprobe_multi.cookies),
			     i->uprobe_multi.cookies, room, l->cookies, have);
	if (!err)
		err = nested(call, NESTED(ebpf_link_info, uprobe_multi.ref_ctr_offsets),
			     i->uprobe_multi.ref_ctr_offsets, room, l->ref_ctrs, have);
	return err ? err : room < have ? -ENOSPC : 0;
}

static int link_multi(struct ebpf_call *call, const struct ebpf_link_obj *l,
		      struct ebpf_link_info *i)
{
	bool places = i->uprobe_multi.offsets || i->uprobe_multi.cookies ||
		      i->uprobe_multi.ref_ctr_offsets;
	int err;

	if (!i->uprobe_multi.path != !i->uprobe_multi.path_size ||
	    (places && !i->uprobe_multi.count))
		return -EINVAL;
	err = multi_path(call, l, i);
	if (!err && places)
		err = multi_places(call, l, i);
	i->uprobe_multi.count = l->nsites;
	i->uprobe_multi.flags = l->flags;
	i->uprobe_multi.pid = l->pid > 0 ? l->pid : 0;
	return err;
}

static int link_info(struct ebpf_call *call, const struct ebpf_link_obj *l)
{
	struct ebpf_link_info i = {0};
	int err = info_in(call, &i, sizeof(i));

	if (err)
		return err;
	i.type = l->type;
	i.id = l->obj.id;
	i.prog_id = l->prog->obj.id;
	err = l->type == EBPFRT_BPF_LINK_TYPE_PERF_EVENT ? link_perf(call, l, &i)
							 : link_multi(call, l, &i);
	return err ? err : info_out(call, &i, sizeof(i));
}

int ebpf_cmd_info(struct ebpf_call *call)
{
	struct ebpf_obj *obj;
	int err = ebpf_call_obj(call, call->attr.info.bpf_fd, 0, &obj);

	if (err)
		return err == -EBADF ? -EBADFD : err;
	switch (obj->kind) {
	case EBPF_OBJ_PROG:
		return prog_info(call, ebpf_obj_prog(obj));
	case EBPF_OBJ_MAP:
		return map_info(call, ebpf_obj_map(obj));
	case EBPF_OBJ_BTF:
		return btf_info(call, ebpf_obj_btf(obj));
	case EBPF_OBJ_LINK:
		return link_info(call, ebpf_obj_link(obj));
	default:
		return -EINVAL;
	}
}
