/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories below the pin directory, for opendir() and nftw().
 *
 * Model: what libc hands out for a directory is opaque; ours is the list of names as it was when
 * the directory was opened, and known by its address. Walking with nftw() is done here, because
 * libc's own walk calls nothing that can be diverted; everything in it is a name the daemon keeps,
 * so there are no loops, no other file systems, and nothing to chdir() into.
 */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include "surface/internal.h"

#define DEPTH_MAX 64

struct surface_dir {
	struct surface_dir *next;
	char *names; /* as MSG_PATH_LIST gives them */
	size_t len, at;
	long pos; /* 0 ".", 1 "..", then the names */
	struct dirent ent;
};

static struct surface_dir *dirs;

long surface_opendir(const char *path, struct surface_dir **out)
{
	struct surface_dir *d;
	size_t len = 0;
	char *names = NULL;
	long ret = surface_list(path, &names, &len);

	if (ret)
		return ret;
	surface_enter();
	d = calloc(1, sizeof(*d));
	if (d) {
		d->names = names;
		d->len = len;
		surface_lock();
		d->next = dirs;
		store_release(&dirs, d);
		surface_unlock();
		*out = d;
	} else {
		free(names);
		ret = -ENOMEM;
	}
	surface_leave();
	return ret;
}

struct surface_dir *surface_dir_known(const void *dir)
{
	struct surface_dir *d;

	if (likely(!load_relaxed(&dirs)))
		return NULL;
	surface_enter();
	surface_lock();
	for (d = dirs; d && d != dir; d = d->next)
		;
	surface_unlock();
	surface_leave();
	return d;
}

static struct dirent *entry(struct surface_dir *d, u8 type, const char *name)
{
	d->pos++;
	d->ent.d_ino = (ino_t)d->pos;
	d->ent.d_off = d->pos;
	d->ent.d_reclen = sizeof(d->ent);
	d->ent.d_type = type;
	snprintf(d->ent.d_name, sizeof(d->ent.d_name), "%s", name);
	return &d->ent;
}

/* The next name and its kind, 'd' or 'f'; NULL at the end. The list ends in a NUL of its own. */
static const char *next_name(const char *names, size_t len, size_t *at, char *kind)
{
	const char *name;

	if (*at + 1 >= len)
		return NULL;
	*kind = names[*at];
	name = names + *at + 1;
	*at += 2 + strlen(name);
	return name;
}

struct dirent *surface_readdir(struct surface_dir *d)
{
	const char *name;
	char kind = 'f';

	if (d->pos < 2)
		return entry(d, DT_DIR, d->pos ? ".." : ".");
	name = next_name(d->names, d->len, &d->at, &kind);
	return name ? entry(d, kind == 'd' ? DT_DIR : DT_REG, name) : NULL;
}

long surface_telldir(const struct surface_dir *d)
{
	return d->pos;
}

void surface_seekdir(struct surface_dir *d, long pos)
{
	d->pos = 0;
	d->at = 0;
	while (d->pos < pos && surface_readdir(d))
		;
}

void surface_closedir(struct surface_dir *d)
{
	surface_enter();
	surface_lock();
	for (struct surface_dir **at = &dirs; *at; at = &(*at)->next) {
		if (*at == d) {
			*at = d->next;
			break;
		}
	}
	surface_unlock();
	free(d->names);
	free(d);
	surface_leave();
}

/* --- walking -------------------------------------------------------------------------------------
 */

/* The functions below return -errno, 1 when @fn ended the walk, 0. */
struct walk {
	surface_nftw_fn *fn;
	int flags;
	int said; /* by @fn, when that ended the walk */
};

static long report(struct walk *w, const char *path, int type, int level)
{
	const char *slash = strrchr(path, '/');
	struct FTW ftw = {.base = slash ? (int)(slash + 1 - path) : 0, .level = level};
	struct stat st = {0};
	long err = surface_stat(AT_FDCWD, path, &st);

	if (err < 0)
		type = FTW_NS;
	w->said = w->fn(path, &st, type, &ftw);
	return w->said ? 1 : 0;
}

static long walk_any(struct walk *w, const char *path, bool dir, int level);

static long walk_names(struct walk *w, const char *path, int level)
{
	_cleanup_free_ char *names = NULL;
	char child[4096], kind = 'f';
	size_t len = 0, at = 0;
	const char *name;
	long ret = surface_list(path, &names, &len);

	if (ret)
		return ret == -ENOENT ? 0 : ret; /* it went meanwhile */
	while (!ret && (name = next_name(names, len, &at, &kind))) {
		snprintf(child, sizeof(child), "%s/%s", path, name);
		ret = walk_any(w, child, kind == 'd', level + 1);
		if (ret > 0 && w->said == FTW_SKIP_SIBLINGS && (w->flags & FTW_ACTIONRETVAL))
			return w->said = 0;
	}
	return ret;
}

static long walk_any(struct walk *w, const char *path, bool dir, int level)
{
	bool after = w->flags & FTW_DEPTH, actions = w->flags & FTW_ACTIONRETVAL;
	long ret = 0;

	if (!dir || level >= DEPTH_MAX)
		return report(w, path, dir ? FTW_D : FTW_F, level);
	if (!after)
		ret = report(w, path, FTW_D, level);
	if (ret && w->said == FTW_SKIP_SUBTREE && actions)
		return w->said = 0;
	if (!ret)
		ret = walk_names(w, path, level);
	if (!ret && after)
		ret = report(w, path, FTW_DP, level);
	return ret;
}

long surface_nftw(const char *path, surface_nftw_fn *fn, int flags, int *said)
{
	struct walk w = {fn, flags, 0};
	struct stat st;
	long err;

	if (surface_inside)
		return SURFACE_PASS;
	err = surface_stat(AT_FDCWD, path, &st);
	/* of the other names the surface serves, none is a directory that one would walk */
	if (err == SURFACE_PASS || strncmp(path, "/sys/fs/bpf", 11) != 0)
		return SURFACE_PASS;
	if (!err)
		err = walk_any(&w, path, S_ISDIR(st.st_mode), 0);
	*said = w.said;
	return MIN(err, 0L);
}
