/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verifier log.
 *
 * Model: a text of which the caller's buffer keeps the end (the default: the reason of a refusal is
 * its last line) or, with BPF_LOG_FIXED, the beginning. A position counts the bytes written before
 * it. The end is kept in a ring, since a log of a large program is written line by line and read
 * once; `total` is what a buffer would have needed, as bpf_attr.log_true_size reports.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "core/load/log_format.h"
#include "core/load/load.h"

#define LOG_FIXED 8u /* BPF_LOG_FIXED: not in every uapi header */
#define LOG_STATS 4u /* BPF_LOG_STATS */
#define LOG_LINE 1024

static u32 room(const struct ebpf_log *log)
{
	return log->buf && log->size ? log->size - 1 : 0;
}

static void keep_start(struct ebpf_log *log, const char *text, u32 n)
{
	if (log->pos < room(log))
		memcpy(log->buf + log->pos, text, MIN(n, room(log) - (u32)log->pos));
}

/* @n bytes at most as many as there is room for */
static void ring_write(struct ebpf_log *log, u64 pos, const char *text, u32 n)
{
	u32 cap = room(log), at = (u32)((log->at + (pos - log->first)) % cap);
	u32 part = MIN(n, cap - at);

	memcpy(log->buf + at, text, part);
	memcpy(log->buf, text + part, n - part);
}

static void keep_end(struct ebpf_log *log, const char *text, u32 n)
{
	u64 end = log->pos + n;
	u32 cap = room(log), skip = n > cap ? n - cap : 0;

	if (end - log->first > cap) {
		log->at = (u32)((log->at + (end - cap - log->first)) % cap);
		log->first = end - cap;
	}
	ring_write(log, log->pos + skip, text + skip, n - skip);
}

void ebpf_log_write(struct ebpf_log *log, const char *text, u32 len)
{
	if (room(log) && (log->level & LOG_FIXED))
		keep_start(log, text, len);
	else if (room(log))
		keep_end(log, text, len);
	log->pos += len;
	log->total = MAX(log->total, log->pos + 1);
}

void ebpf_log_printf(struct ebpf_log *log, const char *fmt, ...)
{
	char line[LOG_LINE];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = ebpf_log_vformat(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > 0)
		ebpf_log_write(log, line, MIN((u32)n, (u32)sizeof(line) - 1));
}

void ebpf_log_reset(struct ebpf_log *log, u64 pos)
{
	log->pos = MIN(log->pos, pos);
	if (log->first > log->pos) { /* all that was kept is taken back */
		log->first = log->pos;
		log->at = 0;
	}
}

static void reverse(char *p, u32 n)
{
	for (u32 i = 0; i < n / 2; i++) {
		char c = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = c;
	}
}

void ebpf_log_end(struct ebpf_log *log)
{
	u32 cap = room(log);

	if (!log->buf || !log->size)
		return;
	if (log->at) { /* turn the ring until its oldest byte is first */
		reverse(log->buf, log->at);
		reverse(log->buf + log->at, cap - log->at);
		reverse(log->buf, cap);
		log->at = 0;
	}
	log->len = (u32)MIN(log->pos - log->first, (u64)cap);
	log->buf[log->len] = '\0';
}

/* --- the last lines -------------------------------------------------------------------------- */

static void put_time(struct ebpf_log *log, const struct ebpf_log_stats *s)
{
	ebpf_log_printf(log, "verification time %llu usec\nstack depth ",
			(unsigned long long)(ebpf_log_now() - s->start_ns) / 1000);
	for (u32 i = 0; i < s->nsubprogs; i++)
		ebpf_log_printf(log, "%s%u", i ? "+" : "", s->depth[i]);
	ebpf_log_printf(log, "\n");
}

void ebpf_log_stats(struct ebpf_log *log, const struct ebpf_log_stats *s)
{
	if (!log->level)
		return;
	if (log->level & LOG_STATS)
		put_time(log, s);
	ebpf_log_printf(log,
			"processed %u insns (limit %u) max_states_per_insn %u total_states %u "
			"peak_states %u mark_read 0\n",
			s->insns, EBPF_MAX_INSNS, s->most_states, s->states, s->peak_states);
}

u64 ebpf_log_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
}
