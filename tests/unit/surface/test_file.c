/* SPDX-License-Identifier: BSD-2-Clause */
/* The files libbpf reads: ours whatever the host has, everything else untouched. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "fake.h"

TestSuite(file, .init = fake_start, .fini = fake_stop, .timeout = 20);

#define UPROBE "/sys/bus/event_source/devices/uprobe"

static void expect_text(const char *path, const char *text)
{
	char buf[64] = "";
	FILE *f = fopen(path, "re");
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert(f);
	cr_assert(fgets(buf, sizeof(buf), f));
	cr_assert_str_eq(buf, text);
	fclose(f);
	cr_assert_geq(fd, 0);
	cr_assert_eq(read(fd, buf, sizeof(buf)), (ssize_t)strlen(text));
	close(fd);
}

Test(file, uprobe_source)
{
	expect_text(UPROBE "/type", "253\n");
	expect_text(UPROBE "/format/retprobe", "config:0\n");
	expect_text(UPROBE "/format/ref_ctr_offset", "config:32-63\n");
	cr_assert_eq(faccessat(AT_FDCWD, UPROBE "/format/ref_ctr_offset", F_OK, AT_EACCESS), 0);
	cr_assert_eq(access("/sys/kernel/tracing/uprobe_events", F_OK), -1);
	cr_assert_eq(errno, ENOENT);
	cr_assert_null(fopen("/sys/kernel/debug/tracing/uprobe_events", "a"));
	cr_assert_eq(fake->connections, 0, "none of this needs the daemon");
}

Test(file, pins)
{
	struct statfs fs;
	struct stat st;

	cr_assert_eq(statfs("/sys/fs/bpf", &fs), 0);
	cr_assert_eq(fs.f_type, 0xcafe4a11);
	cr_assert_eq(fake->connections, 1, "the directory is there when the daemon is");
	cr_assert_eq(stat(FAKE_PIN, &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	cr_assert_eq(stat(FAKE_DIR, &st), 0);
	cr_assert(S_ISDIR(st.st_mode));
	cr_assert_eq(statfs(FAKE_DIR, &fs), 0);
	cr_assert_eq(fs.f_type, 0xcafe4a11);
	cr_assert_eq(access("/sys/fs/bpf/none", F_OK), -1);
	cr_assert_eq(errno, ENOENT);
	cr_assert_eq(rmdir(FAKE_PIN), -1);
	cr_assert_eq(errno, ENOTDIR);
	cr_assert_eq(unlink(FAKE_DIR), -1);
	cr_assert_eq(errno, EISDIR);
	cr_assert_eq(fake->names_gone, 0);
	cr_assert_eq(unlink(FAKE_PIN), 0);
	cr_assert_eq(fake->names_gone, 1, "the daemon hears of it");
	cr_assert_eq(rmdir(FAKE_DIR), 0);
	cr_assert_eq(mkdir("/sys/fs/bpf", 0700), -1);
	cr_assert_eq(errno, EEXIST);
}

Test(file, descriptors_look_like_the_kernels)
{
	int fd = fake_map(BPF_MAP_TYPE_HASH, 4, 8, 32, 0);
	char path[64], buf[128] = "", line[128];
	unsigned int entries = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	cr_assert_gt(readlink(path, buf, sizeof(buf)), 0);
	cr_assert_str_eq(buf, "anon_inode:bpf-map");
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", getpid(), fd);
	f = fopen(path, "re");
	cr_assert(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "max_entries:\t%u", &entries);
	fclose(f);
	cr_assert_eq(entries, 32);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", 0);
	cr_assert_gt(readlink(path, buf, sizeof(buf)), 0);
	cr_assert_neq(strncmp(buf, "anon_inode:bpf", 14), 0);
}

Test(file, the_rest_is_the_kernels)
{
	struct stat a, b;
	char name[] = "/tmp/ebpfrt-test-XXXXXX";
	int fd = mkstemp(name);

	cr_assert_eq(fstat(fd, &a), 0);
	cr_assert_eq(stat(name, &b), 0);
	cr_assert_eq(a.st_ino, b.st_ino);
	cr_assert_eq(open(name, O_CREAT | O_EXCL, 0600), -1);
	cr_assert_eq(errno, EEXIST);
	cr_assert_eq(unlink(name), 0);
	cr_assert_eq(stat(name, &b), -1);
	cr_assert_eq(errno, ENOENT);
	cr_assert_eq(open((const char *)8, O_RDONLY), -1);
	cr_assert_eq(errno, EFAULT);
	cr_assert_eq(syscall(SYS_getppid), getppid());
	close(fd);
}

Test(file, memlock_may_be_raised)
{
	struct rlimit before, rl = {RLIM_INFINITY, RLIM_INFINITY};

	cr_assert_eq(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &rl), 0);
	cr_assert_eq(prlimit(0, RLIMIT_MEMLOCK, &rl, NULL), 0);
	rl = (struct rlimit){10, 5};
	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &rl), -1);
	cr_assert_eq(errno, EINVAL);
}

Test(file, directories_of_pins)
{
	DIR *d = opendir("/sys/fs/bpf");
	bool pin = false, dir = false;
	struct stat st[2];
	u32 n = 0;

	cr_assert(d);
	for (struct dirent *e; (e = readdir(d)); n++) {
		pin |= strcmp(e->d_name, "pin") == 0 && e->d_type == DT_REG;
		dir |= strcmp(e->d_name, "dir") == 0 && e->d_type == DT_DIR;
	}
	cr_assert(n == 4 && pin && dir);
	cr_assert_eq(fstatat(dirfd(d), "pin", &st[0], 0), 0);
	cr_assert_eq(stat(FAKE_PIN, &st[1]), 0);
	cr_assert_eq(st[0].st_ino, st[1].st_ino);
	cr_assert_eq(closedir(d), 0);
	cr_assert_null(opendir(FAKE_PIN));
	cr_assert_eq(errno, ENOTDIR);
	cr_assert_null(opendir("/sys/fs/bpf/none"));
	cr_assert_eq(errno, ENOENT);
}

static void expect_at(const char *path, const char *where)
{
	char got[PATH_MAX];

	cr_expect_eq(chdir(path), 0, "%s: %s", path, strerror(errno));
	cr_assert(getcwd(got, sizeof(got)));
	cr_expect_str_eq(got, where, "%s leads to %s, not to %s", path, got, where);
}

Test(file, a_working_directory)
{
	char link[PATH_MAX], *real;
	ssize_t n;
	int fd;

	expect_at("/sys/fs/bpf/./dir/../dir", FAKE_DIR);
	n = readlink("/proc/self/cwd", link, sizeof(link));
	cr_expect(n == sizeof(FAKE_DIR) - 1 && memcmp(link, FAKE_DIR, (size_t)n) == 0);
	real = realpath("../pin", NULL);
	cr_expect_str_eq(real, FAKE_PIN);
	free(real);
	expect_at("..", "/sys/fs/bpf");
	expect_at("dir/../../bpf/dir", FAKE_DIR);
	expect_at("../..", "/sys/fs");
	expect_at("./bpf", "/sys/fs/bpf");
	expect_at("/sys/fs/bpf/../../fs", "/sys/fs");
	fd = open("bpf/dir", O_PATH | O_CLOEXEC);
	cr_assert_eq(fchdir(fd), 0);
	expect_at(".", FAKE_DIR);
	close(fd);
	errno = 0;
	cr_expect_null(getcwd(link, sizeof(FAKE_DIR) - 1));
	cr_expect_eq(errno, ERANGE);
	expect_at("/", "/");
}

Test(file, only_pins_are_made)
{
	cr_expect_eq(open("/sys/fs/bpf/x", O_CREAT | O_RDWR, 0600), -1);
	cr_expect_eq(errno, EACCES);
	cr_expect_null(fopen("/sys/fs/bpf/x", "w"));
	cr_expect_eq(errno, EACCES);
	cr_expect_eq(open("/sys/fs/bpf/none/x", O_CREAT | O_RDWR, 0600), -1);
	cr_expect_eq(errno, ENOENT);
	cr_expect_eq(open("/sys/fs/bpf", O_TMPFILE | O_RDWR, 0600), -1);
	cr_expect_eq(errno, EOPNOTSUPP);
	cr_expect_eq(open(FAKE_PIN, O_RDONLY), -1);
	cr_expect_eq(errno, EIO);
	cr_expect_eq(mkdir("/sys/fs/bpf/a.b", 0700), -1);
	cr_expect_eq(errno, EPERM);
	cr_expect_eq(rename(FAKE_PIN, "/tmp/pin"), -1);
	cr_expect_eq(errno, EXDEV);
	cr_expect_eq(rmdir("/sys/fs/bpf/"), -1);
	cr_expect_eq(errno, EBUSY);
	cr_assert_eq(chdir("/sys/fs/bpf"), 0);
	cr_expect_eq(open("x", O_CREAT | O_RDWR, 0600), -1);
	cr_expect_eq(errno, EACCES);
	cr_expect_eq(open("pin", O_RDONLY), -1);
	cr_expect_eq(errno, EIO);
}

Test(file, other_directories_are_the_kernels)
{
	DIR *mine = opendir("/sys/fs/bpf"), *d = opendir("/proc/self");
	bool seen = false;

	cr_assert(mine && d);
	cr_assert_geq(dirfd(d), 0);
	for (struct dirent *e; (e = readdir(d));)
		seen |= strcmp(e->d_name, "maps") == 0;
	cr_assert(seen);
	cr_assert_eq(closedir(d), 0);
	cr_assert_eq(closedir(mine), 0);
}

static char walked[256];
static int stop_at;

static int note(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	cr_assert(!strncmp(path, "/sys/fs/bpf", 11) || !strncmp(path, fake->dir, 11));
	sprintf(walked + strlen(walked), "%s:%d:%d ", path + ftw->base, type, ftw->level);
	return stop_at && type == stop_at ? -7 : 0;
}

Test(file, nftw)
{
	cr_assert_eq(nftw("/sys/fs/bpf", note, 8, FTW_PHYS), 0);
	cr_assert_eq(strncmp(walked, "bpf:1:0 ", 8), 0);
	cr_assert(strstr(walked, " pin:0:1 ") && strstr(walked, " dir:1:1 "), "%s", walked);
	walked[0] = '\0';
	cr_assert_eq(nftw("/sys/fs/bpf", note, 8, FTW_DEPTH | FTW_CHDIR), 0);
	cr_assert(strstr(walked, "pin:0:1 ") && strstr(walked, "dir:5:1 "), "%s", walked);
	cr_assert_str_eq(walked + 16, "bpf:5:0 ");
	walked[0] = '\0';
	cr_assert_eq(nftw(FAKE_PIN, note, 8, 0), 0);
	cr_assert_str_eq(walked, "pin:0:0 ");
	stop_at = FTW_DP;
	cr_assert_eq(nftw("/sys/fs/bpf", note, 8, FTW_DEPTH), -7, "what the function said");
	stop_at = 0;
	cr_assert_eq(nftw("/sys/fs/bpf/none", note, 8, 0), -1);
	cr_assert_eq(errno, ENOENT);
	walked[0] = '\0';
	cr_assert_eq(nftw(fake->dir, note, 8, FTW_PHYS), 0);
	cr_assert(strstr(walked, "ctl:"), "another directory: %s", walked);
}

Test(file, mounts_name_the_pin_directory)
{
	FILE *f = setmntent("/proc/mounts", "r");
	int bpf = 0, proc = 0;
	struct mntent *m;

	cr_assert(f);
	while ((m = getmntent(f))) {
		bpf += strcmp(m->mnt_dir, "/sys/fs/bpf") == 0 && strcmp(m->mnt_type, "bpf") == 0;
		proc += strcmp(m->mnt_type, "proc") == 0;
	}
	endmntent(f);
	cr_assert_eq(bpf, 1);
	cr_assert_geq(proc, 1);
	cr_assert_null(setmntent("/nowhere", "r"));
}
