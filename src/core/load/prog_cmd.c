/* SPDX-License-Identifier: BSD-2-Clause */
/* BPF_PROG_LOAD, BPF_PROG_TEST_RUN, BPF_PROG_BIND_MAP. */
#include "core/load/syscall.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/load/verify_btf.h"
#include "core/load/vprog.h"

#define ENOTSUPP 524
#define LICENSE_MAX 128u
#define INFO_REC_MAX 252u
#define LOG_CAP_MAX (32u << 20)
#define INFO_BYTES_MAX (64u << 20)
#define PROG_FLAGS                                                                                 \
	(BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_RND_HI32 |                      \
	 BPF_F_TEST_STATE_FREQ | BPF_F_SLEEPABLE | BPF_F_XDP_HAS_FRAGS)

static void prog_release(struct ebpf_obj *obj)
{
	struct ebpf_prog_obj *p = ebpf_obj_prog(obj);

	for (u32 i = 0; i < p->nmaps; i++)
		ebpf_obj_put(&p->maps[i]->obj);
	if (p->btf)
		ebpf_obj_put(&p->btf->obj);
	if (p->target)
		ebpf_obj_put(&p->target->obj);
	free(p->func_info.data);
	free(p->line_info.data);
	free(p->xlated);
	free(p->image);
	free(p);
}

static bool license_is_gpl(const char *l)
{
	static const char *const ok[] = {
		"GPL",		"GPL v2",	"GPL and additional rights",
		"Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};

	for (u32 i = 0; i < ARRAY_SIZE(ok); i++)
		if (!strcmp(l, ok[i]))
			return true;
	return false;
}

/* Types that can be loaded; only KPROBE attaches to anything, the others serve feature probes and
 * test runs. */
static bool type_known(u32 type)
{
	switch (type) {
	case BPF_PROG_TYPE_SOCKET_FILTER:
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_SCHED_CLS:
	case BPF_PROG_TYPE_SCHED_ACT:
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_XDP:
	case BPF_PROG_TYPE_PERF_EVENT:
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
	case BPF_PROG_TYPE_SYSCALL:
	case BPF_PROG_TYPE_TRACING:
		return true;
	default:
		return false;
	}
}

static int check_attach_type(u32 type, u32 *attach)
{
	switch (type) {
	case BPF_PROG_TYPE_CGROUP_SOCK:
		if (!*attach)
			*attach = BPF_CGROUP_INET_SOCK_CREATE;
		return *attach == BPF_CGROUP_INET_SOCK_CREATE ||
				       *attach == BPF_CGROUP_INET_SOCK_RELEASE ||
				       *attach == BPF_CGROUP_INET4_POST_BIND ||
				       *attach == BPF_CGROUP_INET6_POST_BIND
			       ? 0
			       : -EINVAL;
	case BPF_PROG_TYPE_CGROUP_SKB:
		return *attach == BPF_CGROUP_INET_INGRESS || *attach == BPF_CGROUP_INET_EGRESS
			       ? 0
			       : -EINVAL;
	case BPF_PROG_TYPE_SYSCALL:
		return *attach ? -EINVAL : 0;
	case BPF_PROG_TYPE_TRACING:
		return *attach == BPF_TRACE_FENTRY || *attach == BPF_TRACE_FEXIT ? 0 : -EINVAL;
	default:
		return 0;
	}
}

static int check_load(struct ebpf_call *call)
{
	union bpf_attr *a = &call->attr;
	char license[LICENSE_MAX];
	int err;

	if (a->prog_flags & ~(u32)PROG_FLAGS)
		return -EINVAL;
	err = ebpf_call_str(call, EBPF_KEY(license), license, sizeof(license));
	if (err == -ENAMETOOLONG)
		err = 0;
	if (err)
		return err;
	if (!a->insn_cnt || a->insn_cnt > EBPF_MAX_INSNS)
		return -E2BIG;
	if (a->prog_type != BPF_PROG_TYPE_TRACING && (a->attach_btf_id || a->attach_prog_fd))
		return -EINVAL;
	if (a->prog_ifindex)
		return -EINVAL;
	if (check_attach_type(a->prog_type, &a->expected_attach_type) || !type_known(a->prog_type))
		return -EINVAL;
	if (a->core_relo_cnt) {
		ebpf_call_why(call, "CO-RE relocations in the kernel's place are not supported");
		return -EINVAL;
	}
	return 0;
}

/* --- log ------------------------------------------------------------------------------------- */

static int log_of(struct ebpf_call *call, struct ebpf_log *log)
{
	const union bpf_attr *a = &call->attr;
	struct ebpf_buf *b = ebpf_call_buf(call, EBPF_KEY(log_buf));

	*log = (struct ebpf_log){.level = a->log_level};
	if (!!a->log_buf != !!a->log_size || (a->log_buf && !a->log_level) ||
	    (a->log_level & ~15u) || a->log_size > UINT32_MAX >> 2)
		return -EINVAL;
	if (!a->log_buf)
		return 0;
	if (!b)
		return -EFAULT;
	b->out_cap = MIN(b->out_cap, LOG_CAP_MAX);
	log->buf = ebpf_call_out(call, b->key, 0);
	if (!log->buf)
		return -ENOMEM;
	log->size = MIN(b->out_cap, a->log_size);
	return 0;
}

/* What the buffer protocol asks for: NUL-terminated text, its true size, ENOSPC when cut. */
static int log_finish(struct ebpf_call *call, struct ebpf_log *log, int err)
{
	struct ebpf_buf *b = ebpf_call_buf(call, EBPF_KEY(log_buf));
	u32 true_size = log->level ? log->total : 0;

	memcpy(call->raw + EBPF_KEY(core_relo_rec_size) + 4, &true_size, sizeof(true_size));
	if (!log->level)
		return err;
	ebpf_log_end(log);
	if (log->buf && b)
		b->out_len = MIN(log->len + 1, log->size);
	return log->buf && log->total > log->size ? -ENOSPC : err;
}

/* --- maps of the program --------------------------------------------------------------------- */

static const struct ebpf_map_meta *map_by_fd(void *cookie, s32 fd, bool is_index)
{
	struct ebpf_call *call = cookie;
	struct ebpf_obj *obj;

	if (is_index) {
		const s32 *array;

		if (fd < 0 || fd > 65535)
			return NULL;
		array = ebpf_call_in(call, EBPF_KEY(fd_array), ((u32)fd + 1) * sizeof(*array));
		if (!array)
			return NULL;
		memcpy(&fd, &array[fd], sizeof(fd));
	}
	if (ebpf_call_obj(call, fd, EBPF_OBJ_MAP, &obj))
		return NULL;
	return &ebpf_obj_map(obj)->meta;
}

static void xlate(struct ebpf_call *call, struct bpf_insn *insns, u32 n)
{
	for (u32 i = 0; i + 1 < n; i++) {
		const struct ebpf_map_meta *meta;
		u32 src = insns[i].src_reg;
		bool value = src == BPF_PSEUDO_MAP_VALUE || src == BPF_PSEUDO_MAP_IDX_VALUE;
		bool index = src == BPF_PSEUDO_MAP_IDX || src == BPF_PSEUDO_MAP_IDX_VALUE;

		if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (value || index || src == BPF_PSEUDO_MAP_FD) {
			meta = map_by_fd(call, insns[i].imm, index);
			insns[i].src_reg = value ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
			insns[i].imm = meta ? meta->id : 0;
		}
		i++;
	}
}

/* --- func_info and line_info ----------------------------------------------------------------- */

static bool all_zero(const u8 *p, u32 n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static int info_copy(struct ebpf_call *call, u32 key, u32 cnt, u32 rec, u32 want,
		     struct ebpf_info_blob *out)
{
	const u8 *in;

	if (!cnt)
		return 0;
	if (rec < want || rec > INFO_REC_MAX || rec % 4 || cnt > EBPF_MAX_INSNS)
		return -EINVAL;
	if ((u64)cnt * rec > INFO_BYTES_MAX)
		return -E2BIG;
	in = ebpf_call_in(call, key, cnt * rec);
	if (!in)
		return -EFAULT;
	out->data = malloc((size_t)cnt * want);
	if (!out->data)
		return -ENOMEM;
	for (u32 i = 0; i < cnt; i++, in += rec) {
		if (!all_zero(in + want, rec - want))
			return -E2BIG;
		memcpy(out->data + (size_t)i * want, in, want);
	}
	out->cnt = cnt;
	out->rec_size = want;
	return 0;
}

static int info_check_func(const struct ebpf_prog_obj *p)
{
	const struct bpf_func_info *f = (const void *)p->func_info.data;

	for (u32 i = 0; i < p->func_info.cnt; i++) {
		if (i ? f[i].insn_off <= f[i - 1].insn_off : f[i].insn_off)
			return -EINVAL;
		if (f[i].insn_off >= p->ninsns)
			return -EINVAL;
	}
	for (u32 i = 0; i < p->func_info.cnt; i++)
		if (ebpf_btf_kind(p->btf->data, p->btf->size, f[i].type_id) != BTF_KIND_FUNC)
			return -EINVAL;
	return 0;
}

static int info_check_line(const struct ebpf_prog_obj *p, u32 strs_len)
{
	const struct bpf_line_info *l = (const void *)p->line_info.data;

	for (u32 i = 0; i < p->line_info.cnt; i++) {
		if (l[i].insn_off >= p->ninsns || (i && l[i].insn_off <= l[i - 1].insn_off))
			return -EINVAL;
		if (l[i].line_off >= strs_len || l[i].file_name_off >= strs_len)
			return -EINVAL;
	}
	return 0;
}

static int prog_info(struct ebpf_call *call, struct ebpf_prog_obj *p)
{
	const union bpf_attr *a = &call->attr;
	struct btf_header h;
	struct ebpf_obj *obj;
	int err;

	if (!a->func_info_cnt && !a->line_info_cnt)
		return 0;
	err = ebpf_call_obj(call, a->prog_btf_fd, EBPF_OBJ_BTF, &obj);
	if (err)
		return err;
	p->btf = ebpf_obj_btf(ebpf_obj_get(obj));
	err = info_copy(call, EBPF_KEY(func_info), a->func_info_cnt, a->func_info_rec_size,
			sizeof(struct bpf_func_info), &p->func_info);
	if (!err)
		err = info_copy(call, EBPF_KEY(line_info), a->line_info_cnt, a->line_info_rec_size,
				sizeof(struct bpf_line_info), &p->line_info);
	if (!err)
		err = info_check_func(p);
	memcpy(&h, p->btf->data, sizeof(h));
	return err ? err : info_check_line(p, h.str_len);
}

/* --- load ------------------------------------------------------------------------------------ */

static int prog_maps(struct ebpf_prog_obj *p, struct ebpf_table *t, const struct ebpf_load *load)
{
	for (u32 i = 0; i < load->nused_maps; i++) {
		struct ebpf_obj *obj = ebpf_obj_by_id(t, EBPF_OBJ_MAP, load->used_maps[i]);

		if (!obj)
			return -EINVAL;
		p->maps[p->nmaps++] = ebpf_obj_map(ebpf_obj_get(obj));
	}
	return 0;
}

/* What a load is made of, from the call to the answer. */
struct job {
	struct ebpf_prog_obj *p; /* not in the table yet; NULL when it is */
	struct ebpf_load load;
	struct ebpf_log log;
	char name[BPF_OBJ_NAME_LEN];
	struct ebpf_kfunc_name kfuncs[EBPF_MAX_KFUNC_NAMES];
	struct ebpf_callee callees[EBPF_CALLEES_MAX];
};

static void job_free(void *arg)
{
	struct job *job = arg;

	free(job->load.image);
	if (job->p)
		prog_release(&job->p->obj);
	free(job);
}

static int job_new(struct ebpf_call *call, struct job **out)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	call->job = job;
	call->job_free = job_free;
	job->p = calloc(1, sizeof(*job->p));
	*out = job;
	return job->p ? 0 : -ENOMEM;
}

/* The locks and timers in the map's values, as its BTF says. */
static int map_fields(const struct ebpf_map_obj *m, struct ebpf_vmap *out)
{
	const struct ebpf_vbtf data = {m->btf->data, m->btf->size};
	struct ebpf_btf btf;
	int n = ebpf_btf_open(&btf, &data);

	if (n)
		return n;
	n = ebpf_btf_fields(&btf, m->btf_value_type_id, m->meta.value_size, out->fields);
	ebpf_btf_close(&btf);
	out->nfields = n < 0 ? 0 : (u32)n;
	return MIN(n, 0);
}

static int map_view(void *cookie, u32 id, struct ebpf_vmap *out)
{
	struct ebpf_call *call = cookie;
	struct ebpf_obj *obj = ebpf_obj_by_id(call->table, EBPF_OBJ_MAP, id);
	const struct ebpf_map_obj *m;

	if (!obj)
		return -EINVAL;
	m = ebpf_obj_map(obj);
	*out = (struct ebpf_vmap){.meta = m->meta, .frozen = m->frozen, .has_btf = m->btf};
	if (m->outer)
		out->inner = &m->outer->like;
	if (m->const_fd >= 0)
		out->contents = m->map.base;
	return m->btf && m->btf_value_type_id ? map_fields(m, out) : 0;
}

/* The types of what a typed program probes. */
static int prog_target(struct ebpf_call *call, struct ebpf_prog_obj *p, struct ebpf_load *load)
{
	const union bpf_attr *a = &call->attr;
	struct ebpf_obj *obj;
	int err;

	if (a->prog_type != BPF_PROG_TYPE_TRACING)
		return 0;
	if (!a->attach_btf_id || !a->attach_btf_obj_fd) /* the kernel's own functions */
		return -EINVAL;
	err = ebpf_call_obj(call, (s32)a->attach_btf_obj_fd, EBPF_OBJ_BTF, &obj);
	if (err)
		return err;
	p->target = ebpf_obj_btf(ebpf_obj_get(obj));
	load->target = p->target->data;
	load->target_size = p->target->size;
	load->target_func = a->attach_btf_id;
	return 0;
}

static void job_types(const struct ebpf_prog_obj *p, struct ebpf_load *load)
{
	if (!p->btf)
		return;
	load->btf = p->btf->data;
	load->btf_size = p->btf->size;
	load->funcs = (const void *)p->func_info.data;
	load->nfuncs = p->func_info.cnt;
	load->lines = (const void *)p->line_info.data;
	load->nlines = p->line_info.cnt;
}

/* Anything may be in there: whole rows are taken, each made to end. */
static void job_kfuncs(struct ebpf_call *call, struct job *job)
{
	const struct ebpf_buf *b = ebpf_call_buf(call, EBPF_BUF_KFUNCS);
	u32 n = b && b->in ? (u32)MIN(b->in_len / sizeof(job->kfuncs[0]), EBPF_MAX_KFUNC_NAMES) : 0;

	if (n)
		memcpy(job->kfuncs, b->in, n * sizeof(job->kfuncs[0]));
	for (u32 i = 0; i < n; i++)
		job->kfuncs[i].name[sizeof(job->kfuncs[i].name) - 1] = '\0';
	job->load.kfuncs = job->kfuncs;
	job->load.nkfuncs = n;
}

/* The functions of the target that it may call: they are as the client says, or there are none. */
static int job_callees(struct ebpf_call *call, struct job *job)
{
	const struct ebpf_buf *b = ebpf_call_buf(call, EBPF_BUF_CALLEES);
	u32 n = b && b->in ? (u32)(b->in_len / sizeof(job->callees[0])) : 0;

	if (n > EBPF_CALLEES_MAX)
		return -E2BIG;
	if (n)
		memcpy(job->callees, b->in, n * sizeof(job->callees[0]));
	for (u32 i = 0; i < n; i++)
		if (!ebpf_callee_ok(&job->callees[i]))
			return -EINVAL;
	job->load.callees = job->callees;
	job->load.ncallees = n;
	return 0;
}

/* Everything about the program that its instructions don't say. */
static int job_fill(struct ebpf_call *call, struct job *job)
{
	const union bpf_attr *a = &call->attr;
	char license[LICENSE_MAX];
	const struct bpf_insn *insns =
		ebpf_call_in(call, EBPF_KEY(insns), a->insn_cnt * sizeof(*insns));
	struct ebpf_prog_obj *p = job->p;
	int err;

	if (!insns)
		return -EFAULT;
	job->load = (struct ebpf_load){.insns = insns,
				       .ninsns = a->insn_cnt,
				       .prog_type = a->prog_type,
				       .expected_attach_type = a->expected_attach_type,
				       .want_jit = !call->interpret,
				       .map_by_fd = map_by_fd,
				       .map_view = map_view,
				       .cookie = call,
				       .prog_flags = a->prog_flags,
				       .nr_cpus = osl_nr_cpus(),
				       .log = &job->log};
	p->ninsns = a->insn_cnt;
	p->type = a->prog_type;
	p->expected_attach_type = a->expected_attach_type;
	p->gpl = !ebpf_call_str(call, EBPF_KEY(license), license, sizeof(license)) &&
		 license_is_gpl(license);
	job->load.gpl = p->gpl;
	err = prog_target(call, p, &job->load);
	err = err ? err : prog_info(call, p);
	if (err)
		ebpf_log_stats(&job->log, &(struct ebpf_log_stats){.start_ns = ebpf_log_now()});
	job_types(p, &job->load);
	job_kfuncs(call, job);
	return err ? err : job_callees(call, job);
}

/* The image is there: the rest of the object. */
static int job_finish(struct ebpf_call *call, struct job *job)
{
	struct ebpf_prog_obj *p = job->p;
	size_t size = (size_t)p->ninsns * sizeof(*p->xlated);
	int err;

	p->image = TAKE_PTR(job->load.image);
	p->image_size = job->load.image_size;
	err = prog_maps(p, call->table, &job->load);
	if (err)
		return err;
	p->xlated = malloc(size);
	if (!p->xlated)
		return -ENOMEM;
	memcpy(p->xlated, job->load.insns, size);
	xlate(call, p->xlated, p->ninsns);
	ebpf_prog_tag(job->load.insns, p->ninsns, p->tag);
	return 0;
}

static int prog_enter(struct ebpf_call *call, struct job *job)
{
	struct ebpf_prog_obj *p = job->p;
	int fd = osl_image_create("prog", p->image, p->image_size);
	int err;

	if (fd < 0)
		return fd;
	err = ebpf_obj_init(call->table, &p->obj, EBPF_OBJ_PROG, fd, p->image_size);
	if (err) {
		close(fd);
		return err;
	}
	p->obj.release = prog_release;
	p->obj.uid = call->uid;
	memcpy(p->obj.name, job->name, sizeof(job->name));
	job->p = NULL;
	return ebpf_call_result(call, &p->obj);
}

int ebpf_prog_load_done(struct ebpf_call *call, int err)
{
	struct job *job = call->job;

	if (!err)
		err = job_finish(call, job);
	if (log_finish(call, &job->log, err) != err)
		return -ENOSPC;
	return err ? err : prog_enter(call, job);
}

int ebpf_cmd_prog_load(struct ebpf_call *call)
{
	struct job *job;
	int err = check_load(call);

	if (!err)
		err = job_new(call, &job);
	if (err)
		return err;
	if (ebpf_name_copy(job->name, call->attr.prog_name) < 0)
		return -EINVAL;
	err = log_of(call, &job->log);
	if (err)
		return err;
	err = job_fill(call, job);
	if (!err)
		err = call->table->backend->prog_build(call, &job->load);
	return err == EBPF_LATER ? err : ebpf_prog_load_done(call, err);
}

static bool can_test_run(u32 type)
{
	switch (type) {
	case BPF_PROG_TYPE_SOCKET_FILTER:
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_SCHED_CLS:
	case BPF_PROG_TYPE_SCHED_ACT:
	case BPF_PROG_TYPE_XDP:
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
	case BPF_PROG_TYPE_SYSCALL:
		return true;
	default:
		return false;
	}
}

int ebpf_cmd_prog_test_run(struct ebpf_call *call)
{
	const union bpf_attr *a = &call->attr;
	struct ebpf_obj *obj;
	int err;

	if (!!a->test.ctx_size_in != !!a->test.ctx_in ||
	    !!a->test.ctx_size_out != !!a->test.ctx_out)
		return -EINVAL;
	err = ebpf_call_obj(call, a->test.prog_fd, EBPF_OBJ_PROG, &obj);
	if (err)
		return err;
	if (!can_test_run(ebpf_obj_prog(obj)->type))
		return -ENOTSUPP;
	if (a->test.flags || a->test.cpu || a->test.batch_size)
		return -EINVAL;
	return call->table->backend->test_run(call, ebpf_obj_prog(obj));
}

int ebpf_cmd_prog_bind_map(struct ebpf_call *call)
{
	struct ebpf_obj *prog, *map;
	struct ebpf_prog_obj *p;
	int err;

	if (call->attr.prog_bind_map.flags)
		return -EINVAL;
	err = ebpf_call_obj(call, call->attr.prog_bind_map.prog_fd, EBPF_OBJ_PROG, &prog);
	if (!err)
		err = ebpf_call_obj(call, call->attr.prog_bind_map.map_fd, EBPF_OBJ_MAP, &map);
	if (err)
		return err;
	p = ebpf_obj_prog(prog);
	for (u32 i = 0; i < p->nmaps; i++)
		if (&p->maps[i]->obj == map)
			return 0;
	if (p->nmaps == EBPF_MAX_USED_MAPS)
		return -E2BIG;
	p->maps[p->nmaps++] = ebpf_obj_map(ebpf_obj_get(map));
	return 0;
}
