/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames on a SEQPACKET socket: struct msg | inline body | text, in one datagram. A body that is
 * too large for one travels in a sealed memfd behind the caller's descriptors, and is read, not
 * mapped.
 *
 * Rules: one sendmsg or recvmsg per frame; descriptors that came with a refused frame are closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "proto/frame.h"

#define TEXT_MAX 4096u
#define DATAGRAM_MAX (sizeof(struct msg) + MSG_INLINE_MAX)
#define FDS_MAX (MSG_FDS_MAX + 1) /* the payload's memfd included */

union control {
	char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* the descriptors of one received datagram; the control buffer's padding has room for one more */
struct received {
	int fds[FDS_MAX + 1];
	u32 n;
};

static void received_close(struct received *r)
{
	while (r->n)
		close(r->fds[--r->n]);
}

#define _cleanup_received_ _cleanup_(received_close)

void frame_deinit(struct frame *f)
{
	for (u32 i = 0; i < f->nfds && i < MSG_FDS_MAX; i++)
		if (f->fds[i] >= 0)
			close(f->fds[i]);
	free(f->body);
	*f = (struct frame)FRAME_INIT;
}

/* --- receiving --- */

static void collect_fds(struct msghdr *mh, struct received *r)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		u32 n = (u32)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (u32 i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (r->n < ARRAY_SIZE(r->fds))
				r->fds[r->n++] = fd;
			else
				close(fd);
		}
	}
}

static ssize_t receive(int sock, void *buf, size_t size, struct received *fds, int flags)
{
	union control control;
	struct iovec iov = {buf, size};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	do {
		n = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	collect_fds(&mh, fds);
	if (mh.msg_flags & (MSG_CTRUNC | MSG_TRUNC))
		return -EPROTO;
	return n ? n : -ECONNRESET;
}

static int header_check(const struct msg *m, size_t n, const struct received *fds)
{
	u32 memfd = m->flags & MSG_F_MEMFD ? 1 : 0;

	if (m->len != n || m->text > n - sizeof(*m))
		return -EPROTO;
	if (m->nfds > MSG_FDS_MAX || fds->n != m->nfds + memfd)
		return -EPROTO;
	if (memfd && (m->payload > MSG_PAYLOAD_MAX || m->text != n - sizeof(*m)))
		return -EPROTO;
	return 0;
}

/*
 * Only a sealed memfd can be read without fear: it does not block and does not change between two
 * reads.
 */
static int read_payload(int fd, u8 *out, size_t len)
{
	const int want = OSL_SEAL_SIZE | OSL_SEAL_WRITE;
	int seals = osl_shm_seals(fd), r;

	if (seals < 0 || (seals & want) != want || osl_shm_size(fd) < (s64)len)
		return -EPROTO;
	r = read_full(fd, out, len, 0);
	return r == -ENODATA ? -EPROTO : r;
}

/* body, then the text, each followed by a NUL that nobody sent */
static int fill_body(struct frame *f, const u8 *inl, const struct received *fds)
{
	const u8 *text = inl + (f->hdr.len - sizeof(f->hdr) - f->hdr.text);
	bool memfd = f->hdr.flags & MSG_F_MEMFD;
	int r = 0;

	f->len = memfd ? f->hdr.payload : f->hdr.len - sizeof(f->hdr) - f->hdr.text;
	f->body = malloc(f->len + 1 + f->hdr.text + 1);
	if (!f->body)
		return -ENOMEM;
	if (memfd)
		r = read_payload(fds->fds[fds->n - 1], f->body, f->len);
	else
		memcpy(f->body, inl, f->len);
	f->body[f->len] = 0;
	memcpy(f->body + f->len + 1, text, f->hdr.text);
	f->body[f->len + 1 + f->hdr.text] = 0;
	f->text = f->hdr.text ? (char *)f->body + f->len + 1 : NULL;
	return r;
}

static void take_fds(struct frame *f, struct received *fds)
{
	f->nfds = f->hdr.nfds;
	for (u32 i = 0; i < f->nfds; i++)
		f->fds[i] = TAKE_FD(fds->fds[i]);
	/* what remains is the payload's memfd, read by now */
	fds->fds[0] = fds->fds[f->nfds];
	fds->n -= f->nfds;
}

int frame_recv(int sock, struct frame *out, int flags)
{
	_cleanup_received_ struct received fds = {.n = 0};
	_cleanup_frame_ struct frame f = FRAME_INIT;
	_cleanup_free_ u8 *buf = malloc(DATAGRAM_MAX);
	ssize_t n;
	int r;

	if (!buf)
		return -ENOMEM;
	n = receive(sock, buf, DATAGRAM_MAX, &fds, flags);
	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(f.hdr))
		return -EPROTO;
	memcpy(&f.hdr, buf, sizeof(f.hdr));
	r = header_check(&f.hdr, (size_t)n, &fds);
	if (!r)
		r = fill_body(&f, buf + sizeof(f.hdr), &fds);
	if (r)
		return r;
	take_fds(&f, &fds);
	*out = f;
	f = (struct frame)FRAME_INIT;
	return 0;
}

/* --- sending --- */

static void put_fds(struct msghdr *mh, union control *control, const int *fds, u32 n)
{
	struct cmsghdr *c;

	if (!n)
		return;
	mh->msg_control = control->buf;
	mh->msg_controllen = CMSG_SPACE(n * sizeof(int));
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
}

static int transmit(int sock, struct iovec *iov, u32 niov, const int *fds, u32 nfds, int flags)
{
	union control control = {.buf = {0}};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = niov};
	ssize_t n;

	put_fds(&mh, &control, fds, nfds);
	do {
		n = sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

int frame_send(int sock, struct msg *hdr, const void *body, size_t len, const int *fds, u32 nfds,
	       const char *text, int flags)
{
	size_t ntext = text ? strnlen(text, TEXT_MAX) : 0;
	_cleanup_close_ int memfd = -1;
	int all[FDS_MAX];

	if (nfds > MSG_FDS_MAX)
		return -EINVAL;
	if (len > MSG_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (nfds)
		memcpy(all, fds, nfds * sizeof(int));
	hdr->nfds = nfds;
	hdr->text = (u32)ntext;
	hdr->payload = 0;
	hdr->flags &= (u16)~MSG_F_MEMFD;
	if (len + ntext > MSG_INLINE_MAX) {
		memfd = osl_image_create("ebpfrt-payload", body, len);
		if (memfd < 0)
			return memfd;
		hdr->flags |= MSG_F_MEMFD;
		hdr->payload = len;
		all[nfds++] = memfd;
		len = 0;
	}
	hdr->len = (u32)(sizeof(*hdr) + len + ntext);
	struct iovec iov[] = {
		{hdr, sizeof(*hdr)},
		{(void *)body, len},
		{(void *)text, ntext},
	};
	return transmit(sock, iov, ARRAY_SIZE(iov), all, nfds, flags);
}

/* --- the directory --- */

static __printf_like(4, 5) int refuse(char *why, size_t size, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return err;
}

/* Room for the longest socket name behind it, and absolute: client and daemon have different
 * working directories. */
static int choose_dir(char *path, size_t size, char *why, size_t why_size)
{
	const char *own = getenv("EBPFRT_RUNTIME_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof("/agent");
	int n;

	if (own && *own)
		n = snprintf(path, size, "%s", own);
	else if (xdg && *xdg)
		n = snprintf(path, size, "%s/ebpfrt", xdg);
	else
		n = snprintf(path, size, "/tmp/ebpfrt-%u", geteuid());
	if ((size_t)n >= size || (size_t)n > max)
		return refuse(why, why_size, -ENAMETOOLONG,
			      "the runtime directory's path is longer than the %zu bytes a socket "
			      "allows; set EBPFRT_RUNTIME_DIR to a shorter one",
			      max);
	if (path[0] != '/')
		return refuse(why, why_size, -EINVAL,
			      "the runtime directory '%s' is not an absolute path; set "
			      "EBPFRT_RUNTIME_DIR to one",
			      path);
	return 0;
}

static int check_dir(int fd, const char *path, char *why, size_t why_size)
{
	struct stat st, up;

	if (fstat(fd, &st) || fstatat(fd, "..", &up, 0))
		return refuse(why, why_size, -errno, "cannot examine the runtime directory %s: %s",
			      path, strerror(errno));
	if (st.st_uid != geteuid())
		return refuse(why, why_size, -EPERM,
			      "the runtime directory %s belongs to user %u, not to you (%u); set "
			      "EBPFRT_RUNTIME_DIR to a directory of your own",
			      path, st.st_uid, geteuid());
	if (st.st_mode & 077)
		return refuse(why, why_size, -EPERM,
			      "the runtime directory %s is open to other users (mode %04o); run: "
			      "chmod 700 %s",
			      path, st.st_mode & 07777, path);
	if ((up.st_mode & S_IWOTH) && !(up.st_mode & S_ISVTX))
		return refuse(
			why, why_size, -EPERM,
			"anybody can replace the runtime directory %s, its parent is writable "
			"for all; set EBPFRT_RUNTIME_DIR to a directory elsewhere",
			path);
	return 0;
}

int frame_runtime_dir(char *path, size_t size, char *why, size_t why_size)
{
	_cleanup_close_ int fd = -1;
	char dir[256];
	int r;

	r = choose_dir(dir, sizeof(dir), why, why_size);
	if (r)
		return r;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return refuse(why, why_size, -errno,
			      "cannot create the runtime directory %s: %s; set EBPFRT_RUNTIME_DIR "
			      "to a directory you can create",
			      dir, strerror(errno));
	fd = open(dir, O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return refuse(why, why_size, -errno,
			      "the runtime directory %s cannot be used: %s (a symbolic link or a "
			      "file is refused); remove it or set EBPFRT_RUNTIME_DIR",
			      dir, strerror(errno));
	r = check_dir(fd, dir, why, why_size);
	if (r)
		return r;
	if (strlen(dir) >= size)
		return refuse(why, why_size, -ENAMETOOLONG,
			      "the runtime directory's path %s is too long here", dir);
	strcpy(path, dir);
	return 0;
}
