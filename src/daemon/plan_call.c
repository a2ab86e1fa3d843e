/* SPDX-License-Identifier: BSD-2-Clause */
/* See plan_call.h. Files are a target's: names in them are compared, nothing is believed. */
#include "daemon/plan_call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DEPTH_MAX 8u

static __printf_like(2, 3) int refuse(struct plan_item *it, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(it->why, sizeof(it->why), fmt, ap);
	va_end(ap);
	return -EOPNOTSUPP;
}

/* --- does it stay? --------------------------------------------------------------------------- */

struct needs {
	const struct plan_call_view *v;
	struct probe_elf *wanted;
	u32 depth;
};

static const char *base_name(const char *path)
{
	const char *name = strrchr(path, '/');

	return name ? name + 1 : path;
}

static bool is_libc(const struct plan_call_view *v, const char *path)
{
	const char *name = base_name(path);

	return !strcmp(path, v->exe) || !strncmp(name, "libc.so", 7) ||
	       !strncmp(name, "libc-", 5) || !strncmp(name, "ld-", 3);
}

static int is_called(const char *name, void *cookie)
{
	return !strcmp(name, cookie);
}

static int leads_to(const char *name, void *cookie);

static bool needs(const struct needs *n, struct probe_elf *elf)
{
	struct needs deeper = {n->v, n->wanted, n->depth + 1};

	return elf && n->depth < DEPTH_MAX && probe_elf_each_name(elf, true, leads_to, &deeper);
}

/* Is the library @name the wanted one, or does it need that? */
static int leads_to(const char *name, void *cookie)
{
	const struct needs *n = cookie;

	if (probe_elf_each_name(n->wanted, false, is_called, (void *)(uintptr_t)name))
		return 1;
	for (size_t i = 0; i < n->v->maps->n; i++) {
		const struct probe_mapping *m = &n->v->maps->v[i];

		if ((m->prot & PROT_EXEC) && m->file.ino && !strcmp(base_name(m->path), name))
			return needs(n, n->v->open(n->v->cookie, m));
	}
	return 0;
}

static bool stays(const struct plan_call_view *v, const char *path, struct probe_elf *elf)
{
	const struct needs n = {v, elf, 0};

	if (is_libc(v, path))
		return true;
	for (size_t i = 0; elf && i < v->maps->n; i++) {
		const struct probe_mapping *m = &v->maps->v[i];

		if (m->file.ino && !strcmp(m->path, v->exe))
			return needs(&n, v->open(v->cookie, m));
	}
	return false;
}

/* --- where is it? ---------------------------------------------------------------------------- */

static int find(const struct plan_call_view *v, struct plan_item *it, const struct ebpf_callee *c,
		u64 *addr)
{
	const struct probe_mapping *m = NULL;
	struct stat st;

	if (!stat(c->file, &st))
		m = probe_maps_find(v->maps, &(struct osl_ident){st.st_dev, st.st_ino}, c->offset);
	if (!m) {
		refuse(it, "the program calls %.60s() of %.110s, which process %d has not loaded",
		       c->name, c->file, v->pid);
		return -ENOENT;
	}
	*addr = m->start + (c->offset - m->offset);
	if (stays(v, m->path, v->open(v->cookie, m)))
		return 0;
	return refuse(it,
		      "the program calls %.40s() of %.80s, which process %d may unload: only "
		      "functions of the program and of libraries it was linked with can be called",
		      c->name, c->file, v->pid);
}

static bool is_cxx(const struct plan_call_view *v, const char *path)
{
	const char *name = base_name(path);

	return !strcmp(path, v->exe) || !strncmp(name, "libstdc++", 9) ||
	       !strncmp(name, "libc++", 6);
}

/* Where the first of the files that @may have it has @name; 0: none of them. */
static u64 find_in(const struct plan_call_view *v, const char *name,
		   bool (*may)(const struct plan_call_view *v, const char *path))
{
	char why[PROBE_WHY_MAX];

	for (size_t i = 0; i < v->maps->n; i++) {
		const struct probe_mapping m = v->maps->v[i];
		struct probe_symbol sym;
		struct probe_elf *elf;

		if (!(m.prot & PROT_EXEC) || !m.file.ino || !may(v, m.path))
			continue;
		elf = v->open(v->cookie, &m);
		if (elf && !probe_elf_symbol(elf, name, &sym, why) && sym.offset >= m.offset &&
		    sym.offset - m.offset < m.end - m.start)
			return m.start + (sym.offset - m.offset);
	}
	return 0;
}

/* The application's errno is kept: libc says where it is. What C++ throws C++ throws away. */
static int find_aids(const struct plan_call_view *v, struct plan_item *it, u64 *aids)
{
	aids[ECALLEE_ERRNO] = find_in(v, "__errno_location", is_libc);
	aids[ECALLEE_BEGIN_CATCH] = find_in(v, "__cxa_begin_catch", is_cxx);
	aids[ECALLEE_END_CATCH] = find_in(v, "__cxa_end_catch", is_cxx);
	if (!aids[ECALLEE_ERRNO])
		return refuse(it,
			      "the program calls functions of the target, but process %d has no C "
			      "library whose errno could be kept",
			      v->pid);
	if (v->unseen)
		return refuse(it,
			      "the program calls functions of the target, but what %.110s does "
			      "with an exception that leaves one can't be told from its code, and "
			      "it could end process %d",
			      v->unseen, v->pid);
	return 0;
}

int plan_calls(const struct plan_call_view *v, struct plan_item *it)
{
	int err = it->ncallees ? find_aids(v, it, &it->calls[it->ncallees]) : 0;

	for (u32 i = 0; !err && i < it->ncallees; i++)
		err = find(v, it, &it->callees[i], &it->calls[i]);
	return err;
}

int plan_calls_at(struct plan_item *it, const char *no_jump)
{
	for (u32 i = 0; no_jump && i < it->ncallees; i++) {
		const struct ebpf_callee *c = &it->callees[i];

		if (!(c->flags & EBPF_CALLEE_SIGNAL_SAFE))
			return refuse(
				it,
				"%.30s() may not be called from a signal handler, as %.40s is "
				"probed by a break (%s); if it is async-signal-safe, say "
				"--allow-call LIB:%.30s,signal-safe",
				c->name, it->symbol[0] ? it->symbol : it->path, no_jump, c->name);
	}
	return 0;
}
