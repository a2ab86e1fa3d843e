/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few files through which libbpf and its tools see the kernel's eBPF:
 *
 *	/sys/bus/event_source/devices/uprobe/...	how to ask for a uprobe event
 *	/sys/kernel/[debug/]tracing/uprobe_events	the older way, which is not here
 *	/sys/kernel/btf/vmlinux				the built-in types, or $EBPFRT_VMLINUX_BTF
 *	/proc/mounts, /proc/self/mounts, /etc/mtab	with a line for /sys/fs/bpf
 *	/proc/self/fd/N, fdinfo/N			of our descriptors, as the kernel shows its
 *own
 *
 * Names are compared as they are written; every other one is the kernel's, or a pin's (names.c).
 * Contents are handed out as memfds.
 */
#include <stdio.h>
#include <string.h>
#include <linux/memfd.h>

#include "btf/builtin.h"
#include "surface/internal.h"

#define UPROBE_DIR "/sys/bus/event_source/devices/uprobe"
#define PIN_DIR "/sys/fs/bpf"
#define STRING_(x) #x
#define STRING(x) STRING_(x)

enum file_kind { FILE_TEXT, FILE_DIR, FILE_ABSENT, FILE_BTF };

static const struct file {
	const char *path;
	enum file_kind kind;
	const char *text;
} files[] = {
	{UPROBE_DIR, FILE_DIR, NULL},
	{UPROBE_DIR "/format", FILE_DIR, NULL},
	{UPROBE_DIR "/type", FILE_TEXT, NULL}, /* made from MSG_PERF_TYPE_UPROBE */
	{UPROBE_DIR "/format/retprobe", FILE_TEXT, "config:0\n"},
	{UPROBE_DIR "/format/ref_ctr_offset", FILE_TEXT, "config:32-63\n"},
	{"/sys/kernel/btf/vmlinux", FILE_BTF, NULL},
	{"/sys/kernel/tracing/uprobe_events", FILE_ABSENT, NULL},
	{"/sys/kernel/debug/tracing/uprobe_events", FILE_ABSENT, NULL},
};

/* Quick no for nearly every name. */
static bool candidate(const char *path)
{
	return user_ok((u64)path, 1) && path[0] == '/' &&
	       (strncmp(path, "/sys/", 5) == 0 || strncmp(path, "/proc/", 6) == 0);
}

static const struct file *find(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (strcmp(path, files[i].path) == 0)
			return &files[i];
	return NULL;
}

/* --- contents ------------------------------------------------------------------------------------
 */

static long serve(const char *text, size_t len, int flags)
{
	u32 cloexec = flags & O_CLOEXEC ? MFD_CLOEXEC : 0;
	long fd;

	if ((flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	fd = sys_call2(SYS_memfd_create, "ebpfrt-file", cloexec);
	if (fd < 0)
		return fd;
	if (sys_call4(SYS_pwrite64, fd, text, len, 0) == (long)len)
		return fd;
	sys_close((int)fd);
	return -ENOMEM;
}

/* Of each opening an offset of its own. */
static long open_callee_types(int flags)
{
	char name[32];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", surface_callee_types());
	return sys_openat(AT_FDCWD, name, flags, 0);
}

/*
 * The kernel's types, for CO-RE and for the numbers of kernel functions, which are ours: those of
 * the running kernel would name functions that are not here.
 */
static long open_types(int flags)
{
	const char *file = secure_getenv("EBPFRT_VMLINUX_BTF");
	_cleanup_free_ void *raw = NULL;
	u32 size;
	int err;

	if (surface_callee_types() >= 0)
		return open_callee_types(flags);
	if (file && *file)
		return sys_openat(AT_FDCWD, file, flags, 0);
	err = btf_builtin_raw(&raw, &size);
	return err ? err : serve(raw, size, flags);
}

static long open_file(const struct file *f, int flags)
{
	char type[16];

	switch (f->kind) {
	case FILE_ABSENT:
		return -ENOENT;
	case FILE_DIR:
		return SURFACE_PASS;
	case FILE_BTF:
		return open_types(flags);
	default:
		break;
	}
	if (f->text)
		return serve(f->text, strlen(f->text), flags);
	return serve(type, (size_t)snprintf(type, sizeof(type), "%u\n", MSG_PERF_TYPE_UPROBE),
		     flags);
}

/* The number in /proc/self/@what/N or /proc/PID/@what/N of ourselves; -1. */
static int own_proc_fd(const char *path, const char *what)
{
	char pid[16], name[16];
	int fd, end = 0;

	if (sscanf(path, "/proc/%15[^/]/%15[^/]/%d%n", pid, name, &fd, &end) != 3 || path[end] ||
	    strcmp(name, what) != 0)
		return -1;
	if (strcmp(pid, "self") != 0 && strtol(pid, NULL, 10) != sys_getpid())
		return -1;
	return fd;
}

static long open_fdinfo(int fd, int flags)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;

	return surface_fdinfo(fd, &text, &len) ? SURFACE_PASS : serve(text, len, flags);
}

static long open_proc(const char *path, int flags)
{
	int fd = surface_idle() ? -1 : own_proc_fd(path, "fdinfo");

	return fd < 0 ? SURFACE_PASS : open_fdinfo(fd, flags);
}

/* Tools look there for where the names of objects are. */
static bool is_mounts(const char *path)
{
	return strcmp(path, "/proc/mounts") == 0 || strcmp(path, "/proc/self/mounts") == 0 ||
	       strcmp(path, "/etc/mtab") == 0;
}

static bool holds_pins(const char *line)
{
	const char *at = strchr(line, ' ');

	return at && strncmp(at, " " PIN_DIR " bpf ", sizeof(" " PIN_DIR " bpf ") - 1) == 0;
}

static long copy_mounts(FILE *in, int out)
{
	static const char ours[] =
		"bpf " PIN_DIR " bpf rw,nosuid,nodev,noexec,relatime,mode=700 0 0\n";
	_cleanup_free_ char *line = NULL;
	bool seen = false;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, in)) > 0) {
		seen |= holds_pins(line);
		if (sys_call3(SYS_write, out, line, n) != n)
			return -EIO;
	}
	if (!seen && sys_call3(SYS_write, out, ours, sizeof(ours) - 1) < 0)
		return -EIO;
	return sys_call3(SYS_lseek, out, 0, SEEK_SET);
}

/* Inside: fopen() reaches the kernel's file. */
static long make_mounts(const char *path, int flags)
{
	FILE *in = fopen(path, "re");
	long fd, ret;

	if (!in)
		return -errno;
	fd = sys_call2(SYS_memfd_create, "ebpfrt-mounts", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	ret = fd < 0 ? fd : copy_mounts(in, (int)fd);
	fclose(in);
	if (ret < 0 && fd >= 0)
		sys_close((int)fd);
	return ret < 0 ? ret : fd;
}

long surface_open_mounts(const char *path, int flags)
{
	int saved = errno;
	long ret;

	if (surface_inside || !user_ok((u64)path, 1) || !is_mounts(path) ||
	    (flags & O_ACCMODE) != O_RDONLY)
		return SURFACE_PASS;
	surface_enter();
	ret = make_mounts(path, flags);
	surface_leave();
	errno = saved;
	return ret;
}

long surface_open(int dir, const char *path, int flags)
{
	const struct file *f;
	int saved = errno;
	long ret;

	if (likely(!candidate(path)) || surface_inside)
		return SURFACE_PASS;
	surface_enter();
	f = find(path);
	if (f)
		ret = open_file(f, flags);
	else
		ret = SURFACE_PASS;
	surface_leave();
	if (!f && ret == SURFACE_PASS && path[1] == 'p')
		ret = open_proc(path, flags);
	if (ret == SURFACE_PASS && path[1] == 'p')
		ret = surface_open_mounts(path, flags);
	errno = saved;
	return ret;
}

/* --- names
 * ------------------------------------------------------------------------------------------ */

/* 0 a file, 1 a directory, -errno, or SURFACE_PASS. */
static long lookup(const char *path)
{
	const struct file *f;
	long ret = SURFACE_PASS;

	if (likely(!candidate(path)) || surface_inside)
		return SURFACE_PASS;
	surface_enter();
	f = find(path);
	if (f)
		ret = f->kind == FILE_ABSENT ? -ENOENT : f->kind == FILE_DIR;
	surface_leave();
	return ret;
}

long surface_access(int dir, const char *path, int mode)
{
	long kind = lookup(path);

	if (kind == SURFACE_PASS || kind < 0)
		return kind;
	return (mode & W_OK) || (kind == 0 && (mode & X_OK)) ? -EACCES : 0;
}

/* A number per name, as far as the programs that look for loops need it. */
static ino_t number_of(const char *path)
{
	u64 h = 1469598103934665603ull;

	for (const char *p = path; *p; p++) {
		if (*p == '/' && (p[1] == '/' || !p[1]))
			continue;
		h = (h ^ (u8)*p) * 1099511628211ull;
	}
	return (ino_t)(h >> 1 | 1);
}

long surface_stat(int dir, const char *path, struct stat *st)
{
	long kind = lookup(path);

	if (kind == SURFACE_PASS || kind < 0)
		return kind;
	if (!user_ok((u64)st, sizeof(*st)))
		return -EFAULT;
	memset(st, 0, sizeof(*st));
	st->st_mode = kind ? S_IFDIR | 0755 : S_IFREG | 0444;
	st->st_ino = number_of(path);
	st->st_nlink = 1;
	st->st_blksize = EBPFRT_PAGE_SIZE;
	return 0;
}

long surface_readlink(const char *path, char *buf, size_t size)
{
	static const char *const names[] = {
		[MSG_OBJ_MAP] = "anon_inode:bpf-map",	    [MSG_OBJ_PROG] = "anon_inode:bpf-prog",
		[MSG_OBJ_BTF] = "anon_inode:btf",	    [MSG_OBJ_LINK] = "anon_inode:bpf-link",
		[MSG_OBJ_PERF] = "anon_inode:[perf_event]",
	};
	_cleanup_obj_ struct surface_obj *o = NULL;
	size_t n;
	int fd;

	if (surface_idle() || likely(!candidate(path)) || path[1] != 'p')
		return SURFACE_PASS;
	fd = own_proc_fd(path, "fd");
	o = fd < 0 ? NULL : surface_obj_known(fd);
	if (!o || o->kind >= ARRAY_SIZE(names) || !names[o->kind])
		return SURFACE_PASS;
	n = MIN(strlen(names[o->kind]), size);
	if (!user_ok((u64)buf, n))
		return -EFAULT;
	memcpy(buf, names[o->kind], n);
	return (long)n;
}
