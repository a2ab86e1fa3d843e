/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A daemon for tests of the surface: a forked process that answers the requests a test needs, and
 * notes what it was sent on a page both share. Started per test; dies with it.
 */
#pragma once

#include <criterion/criterion.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/frame.h"

#define FAKE_PIN "/sys/fs/bpf/pin"
#define FAKE_DIR "/sys/fs/bpf/dir"
#define FAKE_LOG "the program is no good"

/* What requests of @type are answered with, before the fake thinks of an answer of its own. */
struct fake_answer {
	u32 type;
	s32 err;
	u32 len;
	u8 body[4096];
	char text[256];
};

struct fake {
	int pid;
	char dir[64];
	u32 names_gone; /* MSG_NAMES */
	u32 connections, closed, asked, requests;
	struct osl_ident last_closed;
	u32 last_len;
	u8 last_body[32768]; /* of the last MSG_BPF */
	struct msg_perf_open last_open;
	char last_path[256];
	struct msg_perf_ioctl last_ioctl;
	u32 answer_next_id;
	u32 chatter; /* log lines before the next answer */
	struct fake_answer answers[8];
	struct fake_answer unasked; /* comes once, before the next answer */
	u32 asked_type, asked_len;  /* the last request */
	u8 asked_body[256];
};

extern struct fake *fake;

void fake_start(void);
void fake_stop(void);
/* From now on requests of @type are answered like this; @text may be NULL. */
void fake_answer(u32 type, s32 err, const void *body, u32 len, const char *text);
/* Ring every eventfd that was handed out. */
void fake_ring(void);
/* Wait until *@counter is @value; fails the test after two seconds. */
void fake_expect(const u32 *counter, u32 value);

static inline int bpf_call(int cmd, void *attr, u32 size)
{
	return (int)syscall(SYS_bpf, cmd, attr, size);
}

/* A map through the surface; the descriptor. */
int fake_map(u32 type, u32 key, u32 value, u32 entries, u32 flags);
