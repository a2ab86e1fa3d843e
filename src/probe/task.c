/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What /proc says of a thread: the one reader of its status.
 *
 * Model: fields are looked for by their name at the beginning of a line; of what a kernel doesn't
 * tell the value stays 0. The text is read in pieces of a fixed size: a line that is longer (the
 * groups, of which there may be 65,536) holds nothing we want and is taken apart.
 */
#include "probe/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CHUNK 2048

enum kind { DECIMAL, HEX, LETTER, FOUR };

#define FIELD(name, member, kind)                                                                  \
	{                                                                                          \
		name ":\t", sizeof(name ":\t") - 1, offsetof(struct probe_task, member),           \
			sizeof((struct probe_task){0}.member), kind                                \
	}
static const struct field {
	const char *name;
	size_t len, at, size;
	enum kind kind;
} fields[] = {
	FIELD("State", state, LETTER),
	FIELD("Tgid", tgid, DECIMAL),
	FIELD("Pid", tid, DECIMAL),
	FIELD("TracerPid", tracer, DECIMAL),
	FIELD("Uid", uid, FOUR),
	FIELD("Gid", gid, FOUR),
	FIELD("Threads", nthreads, DECIMAL),
	FIELD("SigPnd", own, HEX),
	FIELD("ShdPnd", shared, HEX),
	FIELD("SigBlk", blocked, HEX),
	FIELD("SigIgn", ignored, HEX),
	FIELD("SigCgt", caught, HEX),
	FIELD("CapEff", caps, HEX),
	FIELD("NoNewPrivs", no_new_privs, DECIMAL),
	FIELD("Seccomp", seccomp, DECIMAL),
	FIELD("Seccomp_filters", seccomp_filters, DECIMAL),
	FIELD("voluntary_ctxt_switches", waits, DECIMAL),
	FIELD("nonvoluntary_ctxt_switches", preemptions, DECIMAL),
};

static void take(const struct field *f, const char *value, struct probe_task *task)
{
	u8 *to = (u8 *)task + f->at;
	u64 v = strtoull(value, NULL, f->kind == HEX ? 16 : 10);
	u32 *four = (u32 *)to;

	if (f->kind == LETTER)
		*to = (u8)*value;
	else if (f->kind == FOUR)
		sscanf(value, "%u %u %u %u", &four[0], &four[1], &four[2], &four[3]);
	else if (f->size == sizeof(u32))
		memcpy(to, &(u32){(u32)v}, sizeof(u32));
	else
		memcpy(to, &v, sizeof(u64));
}

static void take_line(const char *line, struct probe_task *task)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (*line == *fields[i].name && !strncmp(line, fields[i].name, fields[i].len)) {
			take(&fields[i], line + fields[i].len, task);
			return;
		}
	if (!strncmp(line, "x86_Thread_features:", 20))
		task->shadow_stack = strstr(line, "shstk");
}

/* The whole lines in @text; what is left of it begins the next piece. */
static size_t take_lines(char *text, size_t n, struct probe_task *task)
{
	char *line = text, *end;

	while ((end = memchr(line, '\n', n - (size_t)(line - text)))) {
		*end = 0;
		take_line(line, task);
		line = end + 1;
	}
	n -= (size_t)(line - text);
	memmove(text, line, n);
	return n < CHUNK ? n : 0;
}

int probe_task_read_fd(int fd, struct probe_task *out)
{
	struct probe_task task = {0};
	char text[CHUNK];
	size_t left = 0;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, text + left, sizeof(text) - left, at)) > 0) {
		at += n;
		left = take_lines(text, left + (size_t)n, &task);
	}
	if (n < 0)
		return -errno;
	if (!task.state)
		return -ESRCH;
	task.pending = task.own | task.shared;
	*out = task;
	return 0;
}

int probe_task_read(pid_t pid, pid_t tid, struct probe_task *out)
{
	_cleanup_close_ int fd = -1;
	char path[64];

	if (tid)
		snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	else
		snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : probe_task_read_fd(fd, out);
}
