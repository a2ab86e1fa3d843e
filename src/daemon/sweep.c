/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children that were forked from a target and have not introduced themselves: they do so at their
 * first hit, and may never come to one.
 *
 * Model: the targets of one program start are a *family*: their agents lie at the same address. A
 * child that nobody knows is found by what it inherited, our break bytes and the agent at the
 * addresses of its family, in the memory of the processes of this user. That is looked for when a
 * target was restored, where such a child is to be restored, too, and when the last one of a family
 * has ended, where the child takes its place. A child becomes a target like one that came by
 * itself, but for the agent, which is called by the injection.
 *
 * Rules: a process is only read here. Whether its agent is ours it says itself (exchange.c), before
 * anything is changed. What can't be read (another user's by now) can't be restored either; it
 * restores itself at its first hit.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/target.h"

#define SITES_LOOKED_AT 256u

static bool same_family(const struct target *a, const struct target *b)
{
	return a->base == b->base && a->nsites && b->nsites &&
	       a->sites[0].site.patch.addr == b->sites[0].site.patch.addr;
}

static bool has_our_bytes(const struct target *t, s32 pid)
{
	_cleanup_close_ int mem = -1;
	char path[64], magic[SELFMAG];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0 || pread(mem, magic, SELFMAG, (off_t)t->base) != SELFMAG ||
	    memcmp(magic, ELFMAG, SELFMAG))
		return false;
	for (u32 i = 0; i < MIN(t->nsites, SITES_LOOKED_AT); i++) {
		const struct arch_patch *p = &t->sites[i].site.patch;
		u8 byte;

		if (p->addr && pread(mem, &byte, 1, (off_t)p->addr) == 1 && byte != p->insn[0])
			return true;
	}
	return false;
}

/* Who still has probes passes them on; else everything goes. */
static const struct target *parent_of(const struct target *t)
{
	const struct target *o;

	list_for_each_entry (o, &t->d->targets, node)
		if (o != t && !o->gone && !list_empty(&o->links) && same_family(o, t))
			return o;
	return t;
}

static void adopt(struct target *t, s32 pid)
{
	struct target *c = target_fork((struct target *)parent_of(t), pid);

	if (!c) {
		log_line("process %d has our break bytes and cannot be taken over", pid);
		return;
	}
	c->swept_by = t->cookie;
	c->drop_all = list_empty(&c->links);
	target_reconcile(c);
}

void sweep_children(struct target *t)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		s32 pid = (s32)strtol(e->d_name, NULL, 10);
		struct stat st;

		if (pid <= 0 || pid == t->pid || fstatat(dirfd(dir), e->d_name, &st, 0) ||
		    st.st_uid != t->d->uid || target_by_pid(t->d, pid))
			continue;
		if (has_our_bytes(t, pid))
			adopt(t, pid);
	}
	if (dir)
		closedir(dir);
}

void sweep_orphans(struct target *t)
{
	const struct target *o;
	bool armed = false;

	for (u32 i = 0; i < t->nsites && !armed; i++)
		armed = t->sites[i].armed;
	if (!t->loaded || !armed)
		return;
	list_for_each_entry (o, &t->d->targets, node)
		if (o != t && !o->gone && o->loaded && same_family(o, t))
			return;
	sweep_children(t);
}
