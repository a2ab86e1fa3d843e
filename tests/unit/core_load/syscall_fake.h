/* SPDX-License-Identifier: BSD-2-Clause */
/* A table with a backend that attaches nothing, for tests of the bpf(2) commands. */
#pragma once

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/load/syscall.h"

static int fake_attached;

static int fake_link_attach(struct ebpf_call *call, struct ebpf_link_obj *link)
{
	fake_attached++;
	return 0;
}

static void fake_link_detach(struct ebpf_link_obj *link)
{
	if (!link->detached && link->nsites)
		fake_attached--;
}

static int fake_link_update(struct ebpf_call *call, struct ebpf_link_obj *link,
			    struct ebpf_prog_obj *old)
{
	return 0;
}

static int fake_link_of_event(struct ebpf_call *call, struct ebpf_link_obj *link,
			      struct ebpf_obj *event)
{
	return -EINVAL;
}
static struct ebpf_link_obj *fake_link_at(struct ebpf_obj *event)
{
	return NULL;
}

static int fake_file_ident(struct ebpf_call *call, const char *path, struct osl_ident *out,
			   u64 *size)
{
	if (!strcmp(path, "/"))
		return -EBADF;
	if (strcmp(path, "/there"))
		return -ENOENT;
	*out = (struct osl_ident){1, 2};
	*size = 4096;
	return 0;
}

static int fake_test_run(struct ebpf_call *call, struct ebpf_prog_obj *prog)
{
	return 0;
}

static int fake_slot_set(struct ebpf_map_obj *map, u32 index, struct ebpf_obj *obj)
{
	return 0;
}

static bool fake_inner_reach(struct ebpf_map_obj *outer, struct ebpf_map_obj *inner)
{
	return true;
}

static void fake_prog_stats(struct ebpf_prog_obj *prog, u64 *cnt, u64 *ns, u64 *missed)
{
}

static int fake_enable_stats(struct ebpf_call *call)
{
	return 0;
}

static int fake_map_pages(const struct ebpf_map_meta *meta, int fd, u64 size, void **out)
{
	return osl_shm_map(fd, 0, size, true, out);
}

static int fake_prog_build(struct ebpf_call *call, struct ebpf_load *load)
{
	return ebpf_load_build(load);
}

static void fake_unmap_pages(const struct ebpf_map_meta *meta, void *base, u64 size)
{
	osl_shm_unmap(base, size);
}

static u32 fake_random(void)
{
	return 1;
}

static int fake_map_new(struct ebpf_map_obj *map)
{
	return 0;
}

static void fake_map_gone(struct ebpf_map_obj *map)
{
}

/* Names: a flat directory. */
static char fake_names[4][32];

static int fake_name_at(const char *name)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(fake_names[i], name))
			return i;
	return -1;
}

static int fake_pin_make(struct ebpf_table *t, const char *name, struct ebpf_pin *pin)
{
	int free = fake_name_at("");

	if (fake_name_at(name) >= 0)
		return -EEXIST;
	snprintf(fake_names[free], sizeof(fake_names[free]), "%s", name);
	pin->file = (struct osl_ident){.dev = 7, .ino = (u64)free};
	pin->fd = free;
	return 0;
}

static int fake_pin_find(struct ebpf_table *t, const char *name, struct osl_ident *out)
{
	bool dir = !strcmp(name, ".");

	*out = (struct osl_ident){.dev = dir ? 8 : 7, .ino = (u64)fake_name_at(name)};
	return dir || fake_name_at(name) >= 0 ? 0 : -ENOENT;
}

static bool fake_pin_gone(const struct ebpf_pin *pin)
{
	return !fake_names[pin->fd][0];
}

static void fake_pin_free(struct ebpf_pin *pin)
{
	fake_names[pin->fd][0] = '\0';
}

static const struct ebpf_backend fake_backend = {
	.link_at = fake_link_at,
	.link_attach = fake_link_attach,
	.link_detach = fake_link_detach,
	.link_update = fake_link_update,
	.link_of_event = fake_link_of_event,
	.file_ident = fake_file_ident,
	.test_run = fake_test_run,
	.prog_build = fake_prog_build,
	.slot_set = fake_slot_set,
	.inner_reach = fake_inner_reach,
	.prog_stats = fake_prog_stats,
	.enable_stats = fake_enable_stats,
	.map_pages = fake_map_pages,
	.unmap_pages = fake_unmap_pages,
	.random = fake_random,
	.map_new = fake_map_new,
	.map_gone = fake_map_gone,
	.pin_make = fake_pin_make,
	.pin_find = fake_pin_find,
	.pin_gone = fake_pin_gone,
	.pin_free = fake_pin_free,
};
