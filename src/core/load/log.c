/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verifier log. Model: an append-only text of which the caller's buffer shows the end (the
 * default: the reason of a refusal is its last line) or, with BPF_LOG_FIXED, the beginning.
 * `total` is what a buffer would have needed for all of it, as bpf_attr.log_true_size reports.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/load.h"

#define LOG_FIXED 8u /* BPF_LOG_FIXED: not in every uapi header */
#define LOG_LINE 1024

static void keep_start(struct ebpf_log *log, const char *text, u32 n)
{
	n = MIN(n, log->size - 1 - log->len);
	memcpy(log->buf + log->len, text, n);
	log->len += n;
}

static void keep_end(struct ebpf_log *log, const char *text, u32 n)
{
	u32 room = log->size - 1;
	u32 keep, drop;

	drop = n > room ? n - room : 0;
	text += drop;
	n -= drop;
	keep = MIN(log->len, room - n);
	memmove(log->buf, log->buf + log->len - keep, keep);
	memcpy(log->buf + keep, text, n);
	log->len = keep + n;
}

void ebpf_log_printf(struct ebpf_log *log, const char *fmt, ...)
{
	char line[LOG_LINE];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = MIN(n, (int)sizeof(line) - 1);
	log->total = (log->total ? log->total : 1) + (u32)n;
	if (!log->buf || !log->size)
		return;
	if (log->level & LOG_FIXED)
		keep_start(log, line, (u32)n);
	else
		keep_end(log, line, (u32)n);
	log->buf[log->len] = '\0';
}
