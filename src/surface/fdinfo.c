/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/self/fdinfo/N of our descriptors: what the kernel shows of maps, programs and links.
 *
 * Model: what it says is asked from the daemon as bpf(2) tells it, BPF_OBJ_GET_INFO_BY_FD, and put
 * into the kernel's lines. What a line is not known of is left out.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/uapi.h"
#include "surface/internal.h"

#define PATH_ROOM 4096u

struct text {
	char *v;
	size_t n, room;
	bool failed;
};

static void add(struct text *t, const char *fmt, ...) __printf_like(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
	char line[PATH_ROOM + 64], *bigger;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (t->failed || n < 0 || (size_t)n >= sizeof(line))
		return;
	if (t->n + (size_t)n > t->room) {
		bigger = realloc(t->v, 2 * t->room + sizeof(line));
		if (!bigger) {
			t->failed = true;
			return;
		}
		t->v = bigger;
		t->room = 2 * t->room + sizeof(line);
	}
	memcpy(t->v + t->n, line, (size_t)n);
	t->n += (size_t)n;
}

/* --- asking ---------------------------------------------------------------------------------- */

static int info_of(int fd, void *info, u32 size)
{
	struct surface_cmd c = {.cmd = BPF_OBJ_GET_INFO_BY_FD, .size = sizeof(c.attr)};

	c.attr.a.info.bpf_fd = (u32)fd;
	c.attr.a.info.info_len = size;
	c.attr.a.info.info = (u64)info;
	c.uattr = (u64)&c.attr;
	return (int)surface_command(&c, NULL);
}

static void add_prog_of(struct text *t, const struct bpf_prog_info *i)
{
	add(t, "prog_tag:\t");
	for (u32 k = 0; k < sizeof(i->tag); k++)
		add(t, "%02x", i->tag[k]);
	add(t, "\n");
}

/* --- what there is to say -------------------------------------------------------------------- */

static void map_lines(struct text *t, const struct surface_obj *o)
{
	add(t,
	    "map_type:\t%u\nkey_size:\t%u\nvalue_size:\t%u\nmax_entries:\t%u\nmap_flags:\t0x%x\n"
	    "map_extra:\t0x%llx\nmemlock:\t%llu\nmap_id:\t%u\nfrozen:\t%u\n",
	    o->meta.type, o->meta.key_size, o->meta.value_size, o->meta.max_entries,
	    o->meta.map_flags, (unsigned long long)o->meta.map_extra, (unsigned long long)o->size,
	    o->id, o->frozen);
}

static int prog_lines(struct text *t, const struct surface_obj *o, int fd)
{
	struct bpf_prog_info i = {0};
	int err = info_of(fd, &i, sizeof(i));

	if (err)
		return err;
	add(t, "prog_type:\t%u\nprog_jited:\t%u\n", i.type, !!i.jited_prog_len);
	add_prog_of(t, &i);
	add(t,
	    "memlock:\t%llu\nprog_id:\t%u\nrun_time_ns:\t%llu\nrun_cnt:\t%llu\n"
	    "recursion_misses:\t%llu\nverified_insns:\t%u\n",
	    (unsigned long long)o->size, i.id, (unsigned long long)i.run_time_ns,
	    (unsigned long long)i.run_cnt, (unsigned long long)i.recursion_misses,
	    i.verified_insns);
	return 0;
}

static void close_own(int fd)
{
	struct surface_obj *o = surface_obj_closing(fd);

	sys_close(fd);
	if (o)
		surface_obj_closed(o);
}

/* The program is asked by a descriptor of its own. */
static void link_prog(struct text *t, u32 id)
{
	struct surface_cmd c = {.cmd = BPF_PROG_GET_FD_BY_ID, .size = sizeof(c.attr)};
	struct bpf_prog_info i = {0};
	long fd;

	c.attr.a.prog_id = id;
	c.uattr = (u64)&c.attr;
	fd = surface_command(&c, NULL);
	if (fd >= 0 && !info_of((int)fd, &i, sizeof(i)))
		add_prog_of(t, &i);
	if (fd >= 0)
		close_own((int)fd);
	add(t, "prog_id:\t%u\n", id);
}

static void perf_lines(struct text *t, const struct ebpf_link_info *i, const char *path)
{
	link_prog(t, i->prog_id);
	add(t, "name:\t%s\n", path);
	add(t, "offset:\t0x%x\nref_ctr_offset:\t0x%llx\nevent_type:\t%s\ncookie:\t%llu\n",
	    i->perf_event.offset, (unsigned long long)i->perf_event.ref_ctr_offset,
	    i->perf_event.type == EBPFRT_BPF_PERF_EVENT_URETPROBE ? "uretprobe" : "uprobe",
	    (unsigned long long)i->perf_event.cookie);
}

static int multi_places(struct text *t, int fd, u32 n)
{
	_cleanup_free_ u64 *v = calloc((size_t)n + 1, 3 * sizeof(*v));
	struct ebpf_link_info i = {.type = EBPFRT_BPF_LINK_TYPE_UPROBE_MULTI};
	int err;

	if (!v)
		return -ENOMEM;
	i.uprobe_multi.offsets = (u64)v;
	i.uprobe_multi.ref_ctr_offsets = (u64)(v + n);
	i.uprobe_multi.cookies = (u64)(v + 2 * (size_t)n);
	i.uprobe_multi.count = n;
	err = info_of(fd, &i, sizeof(i));
	for (u32 k = 0; !err && k < n; k++)
		add(t, "%llu\t 0x%llx\t 0x%llx\n", (unsigned long long)v[2 * (size_t)n + k],
		    (unsigned long long)v[k], (unsigned long long)v[n + k]);
	return err;
}

static int multi_lines(struct text *t, const struct ebpf_link_info *i, const char *path, int fd)
{
	link_prog(t, i->prog_id);
	add(t, "uprobe_cnt:\t%u\npid:\t%u\n", i->uprobe_multi.count, i->uprobe_multi.pid);
	add(t, "path:\t%s\n", path);
	add(t, "%s\t %s\t %s\n", "cookie", "offset", "ref_ctr_offset");
	return multi_places(t, fd, i->uprobe_multi.count);
}

static int link_lines(struct text *t, int fd)
{
	struct ebpf_link_info i = {0}, path_of = {0};
	char path[PATH_ROOM] = "";
	bool multi;
	int err = info_of(fd, &i, sizeof(i));

	if (err)
		return err;
	multi = i.type == EBPFRT_BPF_LINK_TYPE_UPROBE_MULTI;
	path_of.type = i.type;
	if (multi) {
		path_of.uprobe_multi.path = (u64)path;
		path_of.uprobe_multi.path_size = sizeof(path);
	} else {
		path_of.perf_event.file_name = (u64)path;
		path_of.perf_event.name_len = sizeof(path);
	}
	info_of(fd, &path_of, sizeof(path_of));
	path[sizeof(path) - 1] = '\0';
	add(t, "link_type:\t%s\nlink_id:\t%u\n",
	    !multi		       ? "perf"
	    : i.uprobe_multi.flags & 1 ? "uretprobe_multi"
				       : "uprobe_multi",
	    i.id);
	if (multi)
		return multi_lines(t, &i, path, fd);
	perf_lines(t, &i, path);
	return 0;
}

int surface_fdinfo(int fd, char **out, size_t *len)
{
	_cleanup_obj_ struct surface_obj *o = surface_obj_known(fd);
	struct text t = {0};
	int err = 0;

	if (!o || (o->kind != MSG_OBJ_MAP && o->kind != MSG_OBJ_PROG && o->kind != MSG_OBJ_LINK))
		return -ENOENT;
	add(&t, "pos:\t0\nflags:\t0%o\n", (unsigned int)sys_fcntl(fd, F_GETFL, 0));
	if (o->kind == MSG_OBJ_MAP)
		map_lines(&t, o);
	else if (o->kind == MSG_OBJ_PROG)
		err = prog_lines(&t, o, fd);
	else
		err = link_lines(&t, fd);
	if (err || t.failed) {
		free(t.v);
		return err ? err : -ENOMEM;
	}
	*out = t.v;
	*len = t.n;
	return 0;
}
