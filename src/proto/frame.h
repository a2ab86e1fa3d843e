/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending and receiving struct msg over a SEQPACKET socket: lengths, descriptors and memfd payloads
 * in one place.
 *
 * Rules: a received frame owns its descriptors and memory until frame_deinit(); descriptors that
 * came truncated (MSG_CTRUNC) or beyond MSG_FDS_MAX are closed and the frame is refused with
 * -EPROTO. Nothing in a frame has been checked beyond its own lengths.
 */
#pragma once

#include "proto/msg.h"

struct frame {
	struct msg hdr;
	u8 *body;	  /* inline body or copied payload */
	size_t len;	  /* of body, error text excluded */
	const char *text; /* error text, NUL-terminated, or NULL */
	int fds[MSG_FDS_MAX];
	u32 nfds;
};
#define FRAME_INIT                                                                                 \
	{                                                                                          \
		.fds = { -1, -1, -1, -1 }                                                          \
	}

void frame_deinit(struct frame *f); /* idempotent */
#define _cleanup_frame_ __attribute__((cleanup(frame_deinit)))

/* Receive one frame. 0; -EAGAIN; -ECONNRESET at the end; -EPROTO. @flags as for recvmsg(2). */
int frame_recv(int sock, struct frame *out, int flags);

/*
 * Send @hdr (len, nfds, payload and text are filled in here) with @len bytes of body, @fds and
 * @text (may be NULL). Large bodies go into a memfd. 0 or -errno; with MSG_DONTWAIT in @flags
 * -EAGAIN when the peer does not read.
 */
int frame_send(int sock, struct msg *hdr, const void *body, size_t len, const int *fds, u32 nfds,
	       const char *text, int flags);

/* The socket directory of this user, checked: 0700, ours, no symlink. 0 or -errno with a sentence
 * in @why. */
int frame_runtime_dir(char *path, size_t size, char *why, size_t why_size);
