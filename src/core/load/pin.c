/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins: names of objects below a directory of their own, as bpffs has them.
 *
 * Model: a name is a file that the backend keeps, so that directories, links and renaming are those
 * of a file system; here is only which object belongs to which file. A pin is a user reference of
 * its object, dropped when the file has no name any more.
 */
#include "core/load/syscall.h"

#include <stdlib.h>
#include <string.h>

#define PIN_ROOT "/sys/fs/bpf"
#define PIN_PATH_MAX 4096u
#define PINS_MAX 4096u

/* The part of @path below the pin directory; NULL: it lies elsewhere. */
static const char *below(const char *path)
{
	size_t n = sizeof(PIN_ROOT) - 1;

	if (strncmp(path, PIN_ROOT, n) || (path[n] && path[n] != '/'))
		return NULL;
	return path + n + strspn(path + n, "/");
}

static struct ebpf_pin *find(struct ebpf_table *t, const struct osl_ident *file)
{
	struct ebpf_pin *p;

	list_for_each_entry (p, &t->pins, node)
		if (p->file.dev == file->dev && p->file.ino == file->ino)
			return p;
	return NULL;
}

static int add(struct ebpf_table *t, const char *name, struct ebpf_obj *obj)
{
	struct ebpf_pin *p;
	int err;

	if (!t->backend->pin_make)
		return -EPERM;
	if (t->npins >= PINS_MAX)
		return -ENOSPC;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	err = t->backend->pin_make(t, name, p);
	if (err) {
		free(p);
		return err;
	}
	p->obj = obj;
	ebpf_obj_get_user(obj);
	list_add_tail(&p->node, &t->pins);
	t->npins++;
	return 0;
}

int ebpf_cmd_pin(struct ebpf_call *call)
{
	char path[PIN_PATH_MAX];
	struct ebpf_obj *obj;
	const char *name;
	int err;

	if (call->attr.file_flags)
		return -EINVAL;
	/* the kernel tries one kind after the other and forgets why none fits */
	if (ebpf_call_obj(call, call->attr.bpf_fd, 0, &obj))
		return -EINVAL;
	if (obj->kind == EBPF_OBJ_BTF || obj->kind == EBPF_OBJ_PERF)
		return -EINVAL;
	err = ebpf_call_str(call, EBPF_KEY(pathname), path, sizeof(path));
	if (err)
		return err;
	name = below(path);
	if (!name)
		return -EPERM;
	return *name ? add(call->table, name, obj) : -EEXIST;
}

int ebpf_cmd_obj_get(struct ebpf_call *call)
{
	u32 flags = call->attr.file_flags;
	struct ebpf_table *t = call->table;
	char path[PIN_PATH_MAX];
	struct osl_ident file;
	struct ebpf_pin *p;
	const char *name;
	int err;

	if (call->attr.bpf_fd || (flags & ~(u32)(BPF_F_RDONLY | BPF_F_WRONLY)) ||
	    flags == (BPF_F_RDONLY | BPF_F_WRONLY))
		return -EINVAL;
	err = ebpf_call_str(call, EBPF_KEY(pathname), path, sizeof(path));
	if (err)
		return err;
	name = below(path);
	if (!name || !t->backend->pin_find)
		return -ENOENT;
	err = t->backend->pin_find(t, *name ? name : ".", &file);
	if (err)
		return err;
	p = find(t, &file);
	return p ? ebpf_call_result(call, ebpf_obj_get(p->obj)) : -EACCES;
}

static void drop(struct ebpf_table *t, struct ebpf_pin *p)
{
	list_del_init(&p->node);
	t->npins--;
	t->backend->pin_free(p);
	ebpf_obj_put_user(p->obj);
	free(p);
}

void ebpf_pin_sync(struct ebpf_table *t)
{
	struct ebpf_pin *p, *next;

	list_for_each_entry_safe (p, next, &t->pins, node)
		if (t->backend->pin_gone(p))
			drop(t, p);
}

void ebpf_table_drop_pins(struct ebpf_table *t)
{
	while (!list_empty(&t->pins))
		drop(t, list_entry(t->pins.next, struct ebpf_pin, node));
}
