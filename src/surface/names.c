/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where names below the pin directory lie.
 *
 * Model: the daemon keeps a real directory in the runtime directory (src/daemon/names.c). A name
 * that the program gives is led there, and what is told back (a working directory, what a link in
 * /proc says) is led the other way. Everything in between is the kernel's: descriptors of
 * directories, relative names, libc's own walks. So the functions in path.c only lead names.
 *
 * Rules: a name is led by how it is written: /sys/fs/bpf and below, and `bpf` seen from /sys/fs. A
 * name that climbs out of the pin directory goes on in /sys/fs. Relative names are looked at only
 * in a process that has used the directory, or was started in it. When there is no daemon, a name
 * is led to nowhere rather than to a directory of the kernel's.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "surface/internal.h"

#define PARENT_DIR "/sys/fs"
#define PIN_DIR PARENT_DIR "/bpf"
#define PIN_DIR_LEN (sizeof(PIN_DIR) - 1)
#define NOWHERE "/proc/self/mem/no-ebpfrt-daemon"
#define BPFFS_MAGIC 0xcafe4a11

enum { USED_UNKNOWN, USED_NO, USED_YES };
static int used;

static char real_dir[128]; /* empty: not known */
static size_t real_len;

/* Learn the real directory's path. True when it is known. */
static bool know_real_dir(bool connect)
{
	char dir[sizeof(real_dir) - sizeof("/" MSG_NAMES_DIR)];
	int err = 0;

	surface_enter();
	if (connect)
		err = surface_connect(true);
	if (err)
		surface_report("%s", surface_error());
	if (!err && !load_acquire(&real_len))
		err = surface_runtime_dir(dir, sizeof(dir));
	surface_lock();
	if (!err && !real_len) {
		size_t n = (size_t)snprintf(real_dir, sizeof(real_dir), "%s/" MSG_NAMES_DIR, dir);

		store_release(&real_len, n);
	}
	surface_unlock();
	surface_leave();
	return !err;
}

/* The part of @path below the real directory, NULL when it is elsewhere. */
static const char *below_real(const char *path)
{
	size_t n = load_acquire(&real_len);

	if (!n || strncmp(path, real_dir, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

static const char *below_pins(const char *path)
{
	if (strncmp(path, PIN_DIR, PIN_DIR_LEN) != 0 ||
	    (path[PIN_DIR_LEN] && path[PIN_DIR_LEN] != '/'))
		return NULL;
	return path + PIN_DIR_LEN;
}

/* The path of the directory that relative names begin in; false when it can't be said. */
static bool base_path(int dir, char out[PATH_MAX])
{
	char link[40];
	long n;

	if (dir == AT_FDCWD) {
		n = sys_call2(SYS_getcwd, out, PATH_MAX);
		return n > 0 && out[0] == '/';
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = sys_call4(SYS_readlinkat, AT_FDCWD, link, out, PATH_MAX - 1);
	if (n <= 0)
		return false;
	out[n] = '\0';
	return out[0] == '/';
}

static bool holds_name(const char *path)
{
	return strstr(path, "/" MSG_NAMES_DIR);
}

/* Does this process deal with the pin directory? The first time, it may have been started in it. */
static bool dealt_with(void)
{
	char cwd[PATH_MAX];
	int now = load_relaxed(&used);

	if (likely(now != USED_UNKNOWN))
		return now == USED_YES;
	now = USED_NO;
	if (base_path(AT_FDCWD, cwd) && holds_name(cwd) && know_real_dir(false) && below_real(cwd))
		now = USED_YES;
	store_relaxed(&used, now);
	return now == USED_YES;
}

void surface_names_moved(void)
{
	if (load_relaxed(&used) == USED_NO)
		store_relaxed(&used, USED_UNKNOWN);
}

/* How many directories deep is @path? */
static int depth_of(const char *path)
{
	int n = 0;

	while (*(path += strspn(path, "/"))) {
		n++;
		path += strcspn(path, "/");
	}
	return n;
}

/* What is left of @path where it climbs out of the directory that it begins @depth deep in; or
 * NULL. */
static const char *climbs_out(const char *path, int depth)
{
	while (*(path += strspn(path, "/"))) {
		size_t n = strcspn(path, "/");

		if (n == 2 && strncmp(path, "..", 2) == 0) {
			if (depth-- == 0)
				return path + 2;
		} else if (n != 1 || *path != '.') {
			depth++;
		}
		path += n;
	}
	return NULL;
}

static const char *nowhere(struct surface_at *at, bool ours)
{
	at->ours = ours;
	return strcpy(at->buf, NOWHERE);
}

static const char *lead(struct surface_at *at, const char *rest)
{
	const char *out = climbs_out(rest, 0), *again;
	char outside[PATH_MAX];
	size_t n;

	if (out) {
		n = (size_t)snprintf(outside, sizeof(outside), PARENT_DIR "%s", out);
		again = n < sizeof(outside) ? below_pins(outside) : NULL;
		if (again)
			return lead(at, again);
		return n < sizeof(outside) ? strcpy(at->buf, outside) : nowhere(at, false);
	}
	if (!know_real_dir(true))
		return nowhere(at, true);
	store_relaxed(&used, USED_YES);
	at->ours = true;
	n = (size_t)snprintf(at->buf, sizeof(at->buf), "%s%s", real_dir, rest);
	return n < sizeof(at->buf) ? at->buf : nowhere(at, true);
}

/* "bpf" or "./bpf" and what follows, for who stands in its parent. */
static const char *after_bpf(const char *path)
{
	while (path[0] == '.' && path[1] == '/')
		path += 1 + strspn(path + 1, "/");
	if (strncmp(path, "bpf", 3) != 0 || (path[3] && path[3] != '/'))
		return NULL;
	return path + 3;
}

static const char *lead_relative(struct surface_at *at, int dir, const char *path)
{
	const char *rest, *bpf = after_bpf(path), *out;
	char base[PATH_MAX];

	if ((!bpf && !dealt_with()) || !*path || !base_path(dir, base))
		return path;
	if (bpf && strcmp(base, PARENT_DIR) == 0)
		return lead(at, bpf);
	rest = dealt_with() ? below_real(base) : NULL;
	if (!rest)
		return path;
	out = climbs_out(path, depth_of(rest));
	if (out) {
		snprintf(base, sizeof(base), "/..%s", out);
		return lead(at, base);
	}
	at->ours = true;
	return path;
}

static const char *lead_any(struct surface_at *at, int dir, const char *path)
{
	int saved = errno;

	if (path[0] != '/')
		at->path = lead_relative(at, dir, path);
	else if (unlikely(below_pins(path)))
		at->path = lead(at, below_pins(path));
	errno = saved;
	return at->path;
}

const char *surface_lead(struct surface_at *at, int dir, const char *path)
{
	at->ours = false;
	at->path = path;
	return surface_inside || !user_ok((u64)path, 1) ? path : lead_any(at, dir, path);
}

bool surface_at_root(const struct surface_at *at)
{
	const char *rest = below_real(at->path);

	return at->ours && rest && rest[strspn(rest, "/")] == '\0';
}

bool surface_at_dotted(const struct surface_at *at)
{
	size_t n = strlen(at->path), start;

	while (n && at->path[n - 1] == '/')
		n--;
	for (start = n; start && at->path[start - 1] != '/'; start--)
		;
	/* "." and ".." are no new names */
	return at->ours && memchr(at->path + start, '.', n - start) &&
	       strspn(at->path + start, ".") < n - start;
}

size_t surface_shown(char *path)
{
	const char *rest = below_real(path);
	size_t n = strlen(path), tail;

	if (!rest)
		return n;
	tail = strlen(rest);
	/* the caller's room is of PATH_MAX, and both names are short */
	if (PIN_DIR_LEN + tail >= PATH_MAX)
		return n;
	memmove(path + PIN_DIR_LEN, rest, tail + 1);
	memcpy(path, PIN_DIR, PIN_DIR_LEN);
	return PIN_DIR_LEN + tail;
}

bool surface_names_used(void)
{
	return !surface_inside && dealt_with();
}

bool surface_fd_below(int fd)
{
	char path[PATH_MAX];

	return surface_names_used() && fd != AT_FDCWD && base_path(fd, path) && below_real(path);
}

void surface_names_gone(void)
{
	struct msg req = {.type = MSG_NAMES};

	surface_request(&req, NULL, 0, NULL, 0, NULL);
}

void surface_magic(struct statfs *st)
{
	st->f_type = (__typeof__(st->f_type))BPFFS_MAGIC;
}

int surface_pin_name(u64 src, char **out)
{
	_cleanup_free_ char *given = NULL, *full = NULL;
	struct surface_at at;
	char base[PATH_MAX];
	int err = user_str(src, PATH_MAX, &given);

	if (err)
		return err;
	if (!given[0])
		return -ENOENT;
	if (given[0] == '/') {
		*out = TAKE_PTR(given);
		return 0;
	}
	at = (struct surface_at){.path = given};
	lead_any(&at, AT_FDCWD, given);
	if (at.path != given)
		snprintf(base, sizeof(base), "%s", at.path);
	else if (!base_path(AT_FDCWD, base))
		return -ENOENT;
	surface_shown(base);
	if (asprintf(&full, "%s%s%s", base, at.path == given ? "/" : "",
		     at.path == given ? given : "") < 0)
		return -ENOMEM;
	*out = TAKE_PTR(full);
	return 0;
}
