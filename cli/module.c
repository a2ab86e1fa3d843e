/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which files a target consists of: see module.h.
 *
 * Model: of a process what it has mapped, of a command what the loader will map with it; of neither
 * what the loader maps with the probed file. Names that files need are soname for soname those of
 * the files at hand, so that nothing is looked for on the disk of another container.
 */
#include "cli/module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static int add_files(struct probe_files *files, const struct probe_files *more)
{
	int err = 0;

	for (u32 i = 0; !err && i < more->n; i++)
		err = probe_files_add(files, more->v[i]);
	return err;
}

static bool holds(const struct probe_files *files, const char *path)
{
	for (u32 i = 0; i < files->n; i++) {
		if (!strcmp(files->v[i], path))
			return true;
	}
	return false;
}

static void files_of_scope(const struct spec_scope *scope, struct probe_files *out)
{
	*out = (struct probe_files){0};
	if (scope->pid)
		spec_mapped_files(scope->pid, out);
	else if (scope->exe)
		probe_files_needed(scope->exe, out);
}

/* Of the targets that have @module, or, when none has it (yet), of all. */
static int gather_targets(struct modules *m, const char *module, const struct spec_scope *scopes,
			  u32 nscopes)
{
	bool mapped = false;
	int err = 0;

	for (u32 pass = 0; !err && !mapped && pass < 2; pass++) {
		for (u32 i = 0; !err && i < nscopes; i++) {
			struct probe_files files;

			files_of_scope(&scopes[i], &files);
			if (holds(&files, module) || pass)
				err = add_files(&m->files, &files);
			mapped |= holds(&files, module);
			probe_files_free(&files);
		}
	}
	return err;
}

static int gather(struct modules *m, const char *module, const struct spec_scope *scopes,
		  u32 nscopes, const char *const *beside)
{
	struct probe_files needed = {0};
	int err = probe_files_add(&m->files, module);

	if (!err)
		err = gather_targets(m, module, scopes, nscopes);
	/* of a process everything is known that matters */
	if (!err && (!nscopes || !scopes[0].pid)) {
		err = probe_files_needed(module, &needed);
		if (!err)
			err = add_files(&m->files, &needed);
		probe_files_free(&needed);
	}
	for (; !err && *beside; beside++)
		err = probe_files_add(&m->files, *beside);
	return err;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool needs(const struct probe_needed *by, const char *path, const struct probe_needed *file)
{
	const char *name = file->soname ? file->soname : base_name(path);

	for (u32 i = 0; i < by->n; i++) {
		if (!strcmp(base_name(by->needed[i]), name))
			return true;
	}
	return false;
}

/* @order: the module, then what it needs, breadth first, then the rest. */
static void put_in_order(struct modules *m, const struct probe_needed *needed)
{
	u32 n = m->files.n, at = 0;
	bool *placed = calloc(n, sizeof(*placed));
	u32 *order = calloc(n, sizeof(*order));

	if (placed && order) {
		placed[0] = true;
		m->v[m->n++] = (struct btf_module){m->files.v[0], 0};
		for (; at < m->n; at++) {
			for (u32 i = 0; i < n; i++) {
				if (placed[i] ||
				    !needs(&needed[order[at]], m->files.v[i], &needed[i]))
					continue;
				placed[i] = true;
				order[m->n] = i;
				m->v[m->n++] = (struct btf_module){m->files.v[i], 1};
			}
		}
		for (u32 i = 0; i < n; i++) {
			if (!placed[i])
				m->v[m->n++] = (struct btf_module){m->files.v[i], 2};
		}
	}
	free(placed);
	free(order);
}

int modules_of(const char *module, const struct spec_scope *scopes, u32 nscopes,
	       const char *const *beside, struct modules *out)
{
	struct probe_needed *needed = NULL;
	struct modules m = {0};
	char real[PATH_MAX];
	int err;

	/* what a container has is named through /proc, and nowhere else */
	if (strncmp(module, "/proc/", 6) && realpath(module, real))
		module = real;
	err = gather(&m, module, scopes, nscopes, beside);

	if (!err) {
		needed = calloc(m.files.n, sizeof(*needed));
		m.v = calloc(m.files.n, sizeof(*m.v));
	}
	if (needed && m.v) {
		for (u32 i = 0; i < m.files.n; i++)
			probe_needed_read(m.files.v[i], &needed[i]);
		put_in_order(&m, needed);
	}
	for (u32 i = 0; needed && i < m.files.n; i++)
		probe_needed_free(&needed[i]);
	free(needed);
	if (!m.n) {
		modules_free(&m);
		return -ENOMEM;
	}
	*out = m;
	return 0;
}

void modules_free(struct modules *modules)
{
	probe_files_free(&modules->files);
	free(modules->v);
	*modules = (struct modules){0};
}
