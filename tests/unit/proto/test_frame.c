/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames over a socketpair, honest and hostile; the runtime directory. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/frame.h"

static int sv[2];

static void start(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
}

TestSuite(frame, .init = start);

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(frame, body_text_and_fds)
{
	struct msg m = {.type = MSG_STATUS, .seq = 9, .err = -EPERM};
	_cleanup_frame_ struct frame f = FRAME_INIT;
	int before = open_fds();

	cr_assert_eq(frame_send(sv[0], &m, "body", 4, (int[]){0, 1}, 2, "why", 0), 0);
	cr_assert_eq(frame_recv(sv[1], &f, 0), 0);
	cr_assert(f.hdr.type == MSG_STATUS && f.hdr.seq == 9 && f.hdr.err == -EPERM);
	cr_assert(f.len == 4 && !memcmp(f.body, "body", 4));
	cr_assert_str_eq(f.text, "why");
	cr_assert(f.nfds == 2 && fcntl(f.fds[1], F_GETFD) == FD_CLOEXEC);
	frame_deinit(&f);
	frame_deinit(&f);
	cr_assert_eq(open_fds(), before);
}

Test(frame, large_body_goes_by_memfd)
{
	struct msg m = {.type = MSG_BPF};
	_cleanup_frame_ struct frame f = FRAME_INIT;
	size_t len = 1 << 20;
	u8 *big = malloc(len);
	int before = open_fds();

	memset(big, 0x5a, len);
	big[len - 1] = 1;
	cr_assert_eq(frame_send(sv[0], &m, big, len, (int[]){0, 1, 2, 0}, 4, "text", 0), 0);
	cr_assert_eq(frame_recv(sv[1], &f, 0), 0);
	cr_assert(f.len == len && !memcmp(f.body, big, len));
	cr_assert_str_eq(f.text, "text");
	cr_assert_eq(f.nfds, 4);
	frame_deinit(&f);
	cr_assert_eq(open_fds(), before);
	cr_assert_eq(frame_send(sv[0], &m, big, MSG_PAYLOAD_MAX + 1ul, NULL, 0, NULL, 0),
		     -EMSGSIZE);
	cr_assert_eq(frame_send(sv[0], &m, big, 1, (int[]){0, 0, 0, 0, 0}, 5, NULL, 0), -EINVAL);
}

Test(frame, boundary_of_inline)
{
	static u8 body[MSG_INLINE_MAX + 1];

	for (size_t len = MSG_INLINE_MAX - 1; len <= MSG_INLINE_MAX + 1; len++) {
		struct msg m = {.type = MSG_BPF};
		_cleanup_frame_ struct frame f = FRAME_INIT;

		cr_assert_eq(frame_send(sv[0], &m, body, len, NULL, 0, NULL, 0), 0);
		cr_assert_eq(!!(m.flags & MSG_F_MEMFD), len > MSG_INLINE_MAX);
		cr_assert_eq(frame_recv(sv[1], &f, 0), 0);
		cr_assert_eq(f.len, len);
	}
}

Test(frame, nothing_yet_and_the_end)
{
	struct frame f = FRAME_INIT;
	struct msg m = {.type = MSG_BPF};

	cr_assert_eq(frame_recv(sv[1], &f, MSG_DONTWAIT), -EAGAIN);
	close(sv[0]);
	cr_assert_eq(frame_recv(sv[1], &f, 0), -ECONNRESET);
	cr_assert_eq(frame_send(sv[1], &m, NULL, 0, NULL, 0, NULL, 0), -EPIPE);
}

Test(frame, a_peer_that_does_not_read)
{
	static u8 body[50000];
	struct msg m = {.type = MSG_BPF};
	int r = 0;

	for (int i = 0; i < 100 && !r; i++)
		r = frame_send(sv[0], &m, body, sizeof(body), NULL, 0, NULL, MSG_DONTWAIT);
	cr_assert_eq(r, -EAGAIN);
}

/* one datagram by hand: @m, @extra bytes behind it, @n descriptors */
static void raw_send(const struct msg *m, size_t len, const int *fds, u32 n)
{
	u8 buf[256] = {0};
	char control[CMSG_SPACE(64 * sizeof(int))] = {0};
	struct iovec iov = {buf, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	memcpy(buf, m, sizeof(*m));
	if (n) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	cr_assert_eq(sendmsg(sv[0], &mh, 0), (ssize_t)len);
}

static void refused(struct msg m, size_t len, const int *fds, u32 n, const char *what)
{
	struct frame f = FRAME_INIT;
	int before = open_fds();

	raw_send(&m, len, fds, n);
	cr_assert_eq(frame_recv(sv[1], &f, 0), -EPROTO, "%s", what);
	cr_assert_eq(open_fds(), before, "%s leaks", what);
}

Test(frame, hostile_headers)
{
	const u32 h = sizeof(struct msg);
	int fds[64] = {0};

	refused((struct msg){.len = h}, h - 1, NULL, 0, "short datagram");
	refused((struct msg){.len = h + 1}, h, NULL, 0, "length too large");
	refused((struct msg){.len = h - 1}, h, NULL, 0, "length too small");
	refused((struct msg){.len = h + 4, .text = 5}, h + 4, NULL, 0, "text beyond the end");
	refused((struct msg){.len = h, .text = ~0u}, h, NULL, 0, "huge text");
	refused((struct msg){.len = h, .nfds = 1}, h, NULL, 0, "missing descriptor");
	refused((struct msg){.len = h}, h, fds, 1, "unannounced descriptor");
	refused((struct msg){.len = h, .nfds = 6}, h, fds, 6, "six descriptors");
	refused((struct msg){.len = h, .nfds = 64}, h, fds, 64, "truncated descriptors");
	refused((struct msg){.len = h, .flags = MSG_F_MEMFD, .payload = 1}, h, NULL, 0, "no memfd");
	refused((struct msg){.len = h, .flags = MSG_F_MEMFD, .payload = ~0ull}, h, fds, 1,
		"absurd payload");
	refused((struct msg){.len = h + 8, .flags = MSG_F_MEMFD, .payload = 1}, h + 8, fds, 1,
		"body beside a memfd");
}

Test(frame, hostile_payloads)
{
	const u32 h = sizeof(struct msg);
	struct msg m = {.len = h, .flags = MSG_F_MEMFD, .payload = 4096};
	int p[2], plain = osl_shm_create("t", 4096), small = osl_image_create("t", "x", 1);

	cr_assert_eq(pipe(p), 0);
	refused(m, h, &p[0], 1, "a pipe would block");
	refused(m, h, &plain, 1, "unsealed memory");
	refused(m, h, &small, 1, "shorter than announced");
}

Test(frame, descriptors_that_do_not_fit)
{
	struct msg m = {.type = MSG_BPF};
	struct frame f = FRAME_INIT;
	struct rlimit old, tight;

	cr_assert_eq(frame_send(sv[0], &m, NULL, 0, (int[]){0, 1, 2, 0}, 4, NULL, 0), 0);
	getrlimit(RLIMIT_NOFILE, &old);
	tight = old;
	tight.rlim_cur = (rlim_t)dup(0) + 2;
	setrlimit(RLIMIT_NOFILE, &tight);
	int r = frame_recv(sv[1], &f, 0);
	setrlimit(RLIMIT_NOFILE, &old);
	cr_assert_eq(r, -EPROTO);
}

/* --- runtime directory --- */

static char base[] = "/tmp/ebpfrt-test-XXXXXX";
static char path[300], why[300];

static void dir_start(void)
{
	start();
	cr_assert_not_null(mkdtemp(base));
	unsetenv("EBPFRT_RUNTIME_DIR");
	setenv("XDG_RUNTIME_DIR", base, 1);
}

static void dir_end(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", base);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(dir, .init = dir_start, .fini = dir_end);

static int try(void)
{
	why[0] = path[0] = 0;
	return frame_runtime_dir(path, 108, why, sizeof(why));
}

Test(dir, is_made_private)
{
	struct stat st;

	cr_assert_eq(try(), 0, "%s", why);
	cr_assert_eq(strncmp(path, base, strlen(base)), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
	cr_assert_eq(try(), 0);
}

Test(dir, own_variable_wins)
{
	char own[64];

	snprintf(own, sizeof(own), "%s/own", base);
	setenv("EBPFRT_RUNTIME_DIR", own, 1);
	cr_assert_eq(try(), 0);
	cr_assert_str_eq(path, own);
}

static void refusal(int err, const char *word)
{
	cr_assert_eq(try(), err, "%d %s", err, why);
	cr_assert_not_null(strstr(why, word), "%s", why);
	cr_assert_str_eq(path, "");
}

Test(dir, refusals_say_why)
{
	char sub[64], longer[200];

	snprintf(sub, sizeof(sub), "%s/ebpfrt", base);
	cr_assert_eq(mkdir(sub, 0700), 0);
	cr_assert_eq(chmod(sub, 0750), 0);
	refusal(-EPERM, "chmod 700");
	rmdir(sub);
	cr_assert_eq(symlink("/tmp", sub), 0);
	refusal(-ENOTDIR, "symbolic link");
	unlink(sub);
	cr_assert_eq(chmod(base, 0777), 0);
	refusal(-EPERM, "writable");
	chmod(base, 0700);
	setenv("EBPFRT_RUNTIME_DIR", "relative", 1);
	refusal(-EINVAL, "absolute");
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[199] = 0;
	setenv("EBPFRT_RUNTIME_DIR", longer, 1);
	refusal(-ENAMETOOLONG, "shorter");
	setenv("EBPFRT_RUNTIME_DIR", "/nonexistent/x", 1);
	refusal(-ENOENT, "cannot create");
}

Test(dir, of_another_user)
{
	char sub[64];

	if (geteuid())
		cr_skip_test("only root can give a directory away");
	snprintf(sub, sizeof(sub), "%s/ebpfrt", base);
	cr_assert_eq(mkdir(sub, 0700), 0);
	cr_assert_eq(chown(sub, 65534, 65534), 0);
	refusal(-EPERM, "belongs to user 65534");
}
