/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snprintf() for logs, which are written at every instruction that is walked: what they are made of
 * is formatted here, ten times as fast; any other conversion goes to libc's.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/macros.h"

/* The length that the text would have, as snprintf() returns it. */
int ebpf_log_format(char *buf, size_t size, const char *fmt, ...) __printf_like(3, 4);
int ebpf_log_vformat(char *buf, size_t size, const char *fmt, va_list ap);
