/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatted text with the conversions a BPF program may use (bpf_trace_printk, bpf_snprintf).
 *
 * Rules: any context. What pointers in the arguments name is read with care; a string that can't be
 * read prints as nothing.
 */
#pragma once

#include "base/macros.h"

#define EBPF_FORMAT_ARGS 12  /* at most */
#define EBPF_FORMAT_MAX 1024 /* bytes of a format, NUL included */

/*
 * Is @fmt (NUL-terminated) one the kernel would take with @nargs arguments? 0 or -EINVAL. Pure.
 */
int ebpf_format_check(const char *fmt, u32 nargs);

/*
 * Format into @out, @size bytes, always terminated when @size > 0; @out is memory of the caller.
 * @fmt has passed ebpf_format_check(). Returns the length the whole text has, NUL excluded.
 */
u32 ebpf_format(char *out, u32 size, const char *fmt, const u64 *args);
