/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins: names of objects below a virtual directory, as bpffs has them. The names live here, in the
 * table; a pin is a user reference of its object.
 */
#include "core/load/syscall.h"

#include <stdlib.h>
#include <string.h>

#define PIN_ROOT "/sys/fs/bpf"
#define PIN_PATH_MAX 512u
#define PINS_MAX 4096u

/* @in without double slashes, "." components and a trailing slash; ".." and foreign roots refused.
 */
static int normalise(const char *in, char out[PIN_PATH_MAX])
{
	size_t n = 0;

	if (in[0] != '/')
		return -ENOENT;
	while (*in) {
		size_t len;

		while (*in == '/')
			in++;
		len = strcspn(in, "/");
		if (!len)
			break;
		if (len == 2 && !strncmp(in, "..", 2))
			return -EPERM;
		if (n + len + 2 > PIN_PATH_MAX)
			return -ENAMETOOLONG;
		if (len != 1 || *in != '.') {
			out[n++] = '/';
			memcpy(out + n, in, len);
			n += len;
		}
		in += len;
	}
	out[n] = 0;
	if (strncmp(out, PIN_ROOT, sizeof(PIN_ROOT) - 1) ||
	    (out[sizeof(PIN_ROOT) - 1] && out[sizeof(PIN_ROOT) - 1] != '/'))
		return -EPERM;
	return 0;
}

static struct ebpf_pin *find(struct ebpf_table *t, const char *path)
{
	struct ebpf_pin *p;

	list_for_each_entry (p, &t->pins, node)
		if (!strcmp(p->path, path))
			return p;
	return NULL;
}

static int parent_ok(struct ebpf_table *t, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PIN_PATH_MAX];
	struct ebpf_pin *p;

	if (strlen(path) <= sizeof(PIN_ROOT) - 1)
		return -EEXIST;
	memcpy(dir, path, slash - path);
	dir[slash - path] = 0;
	if (!strcmp(dir, PIN_ROOT))
		return 0;
	p = find(t, dir);
	if (!p)
		return -ENOENT;
	return p->obj ? -ENOTDIR : 0;
}

static int add(struct ebpf_table *t, const char *path, struct ebpf_obj *obj)
{
	struct ebpf_pin *p;
	int err = parent_ok(t, path);

	if (err)
		return err;
	if (find(t, path))
		return -EEXIST;
	/* the kernel keeps names with dots for itself */
	if (obj && strchr(strrchr(path, '/'), '.'))
		return -EPERM;
	if (t->npins >= PINS_MAX)
		return -ENOSPC;
	p = malloc(sizeof(*p) + strlen(path) + 1);
	if (!p)
		return -ENOMEM;
	strcpy(p->path, path);
	p->obj = obj;
	if (obj)
		ebpf_obj_get_user(obj);
	list_add_tail(&p->node, &t->pins);
	t->npins++;
	return 0;
}

int ebpf_cmd_pin(struct ebpf_call *call)
{
	char raw[PIN_PATH_MAX], path[PIN_PATH_MAX];
	struct ebpf_obj *obj;
	int err;

	if (call->attr.file_flags)
		return -EINVAL;
	/* the kernel tries one kind after the other and forgets why none fits */
	if (ebpf_call_obj(call, call->attr.bpf_fd, 0, &obj))
		return -EINVAL;
	if (obj->kind == EBPF_OBJ_BTF || obj->kind == EBPF_OBJ_PERF)
		return -EINVAL;
	err = ebpf_call_str(call, EBPF_KEY(pathname), raw, sizeof(raw));
	if (!err)
		err = normalise(raw, path);
	return err ? err : add(call->table, path, obj);
}

int ebpf_cmd_obj_get(struct ebpf_call *call)
{
	char raw[PIN_PATH_MAX], path[PIN_PATH_MAX];
	u32 flags = call->attr.file_flags;
	struct ebpf_pin *p;
	int err;

	if (call->attr.bpf_fd || (flags & ~(u32)(BPF_F_RDONLY | BPF_F_WRONLY)) ||
	    flags == (BPF_F_RDONLY | BPF_F_WRONLY))
		return -EINVAL;
	err = ebpf_call_str(call, EBPF_KEY(pathname), raw, sizeof(raw));
	if (!err)
		err = normalise(raw, path);
	if (err)
		return err == -EPERM ? -ENOENT : err;
	p = find(call->table, path);
	if (!p)
		return strcmp(path, PIN_ROOT) ? -ENOENT : -EACCES;
	if (!p->obj)
		return -EACCES;
	return ebpf_call_result(call, ebpf_obj_get(p->obj));
}

int ebpf_pin_stat(struct ebpf_table *t, const char *in)
{
	char path[PIN_PATH_MAX];
	struct ebpf_pin *p;
	int err = normalise(in, path);

	if (err)
		return err;
	if (!strcmp(path, PIN_ROOT))
		return 2;
	p = find(t, path);
	if (!p)
		return -ENOENT;
	return p->obj ? 1 : 2;
}

int ebpf_pin_mkdir(struct ebpf_table *t, const char *in)
{
	char path[PIN_PATH_MAX];
	int err = normalise(in, path);

	return err ? err : add(t, path, NULL);
}

static bool has_children(struct ebpf_table *t, const char *path)
{
	size_t n = strlen(path);
	struct ebpf_pin *p;

	list_for_each_entry (p, &t->pins, node)
		if (!strncmp(p->path, path, n) && p->path[n] == '/')
			return true;
	return false;
}

int ebpf_pin_unlink(struct ebpf_table *t, const char *in)
{
	char path[PIN_PATH_MAX];
	struct ebpf_pin *p;
	int err = normalise(in, path);

	if (err)
		return err;
	if (!strcmp(path, PIN_ROOT))
		return -EBUSY;
	p = find(t, path);
	if (!p)
		return -ENOENT;
	if (!p->obj && has_children(t, path))
		return -ENOTEMPTY;
	list_del_init(&p->node);
	t->npins--;
	if (p->obj)
		ebpf_obj_put_user(p->obj);
	free(p);
	return 0;
}

/* The name of @p in the directory @dir, NULL when it is elsewhere or deeper. */
static const char *name_in(const struct ebpf_pin *p, const char *dir, size_t n)
{
	if (strncmp(p->path, dir, n) || p->path[n] != '/' || strchr(p->path + n + 1, '/'))
		return NULL;
	return p->path + n + 1;
}

int ebpf_pin_list(struct ebpf_table *t, const char *in, char **out, u32 *len)
{
	char path[PIN_PATH_MAX], *list, *at;
	struct ebpf_pin *p;
	size_t room = 1;
	int what = ebpf_pin_stat(t, in);

	if (what != 2)
		return what < 0 ? what : -ENOTDIR;
	normalise(in, path);
	list_for_each_entry (p, &t->pins, node)
		room += strlen(p->path);
	at = list = malloc(room);
	if (!list)
		return -ENOMEM;
	list_for_each_entry (p, &t->pins, node) {
		const char *name = name_in(p, path, strlen(path));

		if (!name)
			continue;
		*at++ = p->obj ? 'f' : 'd';
		at = stpcpy(at, name) + 1;
	}
	*out = list;
	*len = (u32)(at - list);
	return 0;
}
