/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of objects, for the programs that walk them: a real directory.
 *
 * Model: what the surface shows as /sys/fs/bpf is the directory `bpf` in the runtime directory. A
 * pin is an empty file in it, which this daemon made and holds open; directories, links, renaming
 * and permissions are the file system's. libc's own walks, relative names, a working directory and
 * programs without the surface need no help then. A pin ends when its file has no name any more,
 * whoever took the last one away: the surface says so at once, inotify tells of the others.
 *
 * Rules: nothing in the directory outlives the daemon, and nothing from before it is believed. Only
 * files made here are pins; names are a client's and don't lead out of the directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/daemon.h"

#define WALK_FDS 16

static int open_beneath(int dir, const char *name, int flags)
{
	struct open_how how = {.flags = (u64)flags | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));

	if (fd >= 0)
		return fd;
	return errno == EXDEV ? -EPERM : -errno;
}

/* A descriptor of the directory that @name is to be in; its last part in @last. */
static int open_parent(int dir, const char *name, const char **last)
{
	const char *slash = strrchr(name, '/');
	char parent[PATH_MAX];

	*last = slash ? slash + 1 : name;
	if (!slash)
		return open_beneath(dir, ".", O_PATH | O_DIRECTORY);
	if ((size_t)(slash - name) >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, name, (size_t)(slash - name));
	parent[slash - name] = '\0';
	return open_beneath(dir, parent, O_PATH | O_DIRECTORY);
}

static int create(int dir, const char *name)
{
	struct stat st;
	int fd;

	if (!*name)
		return -ENOENT;
	/* the kernel keeps names with dots for itself */
	if (strchr(name, '.'))
		return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ? -EPERM : -EEXIST;
	fd = openat(dir, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static void watch(const struct daemon *d, int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (d->names_src.fd >= 0)
		inotify_add_watch(d->names_src.fd, path, IN_ATTRIB);
}

int names_make(struct ebpf_table *t, const char *name, struct ebpf_pin *pin)
{
	struct daemon *d = t->cookie;
	_cleanup_close_ int parent = -1;
	const char *last;
	struct stat st;
	int fd;

	parent = open_parent(d->names_dir, name, &last);
	if (parent < 0)
		return parent;
	fd = create(parent, last);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st)) {
		close(fd);
		return -EIO;
	}
	watch(d, fd);
	pin->file = (struct osl_ident){.dev = st.st_dev, .ino = st.st_ino};
	pin->fd = fd;
	return 0;
}

int names_find(struct ebpf_table *t, const char *name, struct osl_ident *out)
{
	struct daemon *d = t->cookie;
	_cleanup_close_ int fd = open_beneath(d->names_dir, name, O_PATH);
	struct stat st;

	if (fd < 0)
		return fd == -EPERM ? -ENOENT : fd;
	if (fstat(fd, &st))
		return -errno;
	*out = (struct osl_ident){.dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

bool names_gone(const struct ebpf_pin *pin)
{
	struct stat st;

	return fstat(pin->fd, &st) == 0 && st.st_nlink == 0;
}

void names_free(struct ebpf_pin *pin)
{
	close(pin->fd);
}

bool names_any(const struct daemon *d)
{
	int fd = d->names_dir < 0 ? -1 : openat(d->names_dir, ".", O_RDONLY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	u32 n = 0;

	if (!dir)
		return false;
	while (n < 3 && readdir(dir))
		n++;
	closedir(dir);
	return n == 3; /* more than "." and ".." */
}

static void on_names(struct loop_source *s, u32 events)
{
	struct daemon *d = container_of(s, struct daemon, names_src);
	char buf[4096] __attribute__((aligned(8)));

	while (read(s->fd, buf, sizeof(buf)) > 0)
		;
	ebpf_pin_sync(&d->table);
	daemon_check_idle(d);
}

/* Without inotify (its limits are per user) only the surface tells of names that go. */
static void watch_root(struct daemon *d, const char *path)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return;
	d->names_src.fn = on_names;
	if (inotify_add_watch(fd, path, IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR) < 0 ||
	    loop_add(&d->loop, &d->names_src, fd, EPOLLIN))
		close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	if (type == FTW_DNR || type == FTW_NS)
		chmod(path, 0700);
	remove(path);
	return 0;
}

static void root_path(const struct daemon *d, char *out, size_t size)
{
	snprintf(out, size, "%s/" MSG_NAMES_DIR, d->dir);
}

int names_start(struct daemon *d)
{
	char path[sizeof(d->dir) + 8];
	int fd;

	root_path(d, path, sizeof(path));
	nftw(path, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS);
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d->names_dir = fd;
	watch_root(d, path);
	return 0;
}

/* Another daemon may have made its own there when ours was taken away. */
static bool is_ours(const struct daemon *d, const char *path)
{
	struct stat named, held;

	return !lstat(path, &named) && !fstat(d->names_dir, &held) && named.st_dev == held.st_dev &&
	       named.st_ino == held.st_ino;
}

void names_stop(struct daemon *d)
{
	char path[sizeof(d->dir) + 8];
	int watch_fd = d->names_src.fd;

	if (d->names_dir < 0)
		return;
	root_path(d, path, sizeof(path));
	if (is_ours(d, path))
		nftw(path, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS);
	if (watch_fd >= 0) {
		loop_del(&d->loop, &d->names_src);
		close(watch_fd);
	}
	close(d->names_dir);
	d->names_dir = -1;
}
