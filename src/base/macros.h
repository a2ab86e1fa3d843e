/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every file uses: sizes, alignment, branch hints, single loads and stores.
 * Freestanding; safe in any context, a probe's path included.
 */
#pragma once

#include "base/types.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define __noinline __attribute__((noinline))
#define __hot __attribute__((hot)) /* laid out beside the others: on the way of every hit */
#define __maybe_unused __attribute__((unused))
#define __packed_struct __attribute__((packed))
#define __hidden __attribute__((visibility("hidden")))
#define __export __attribute__((visibility("default")))
#define __printf_like(f, a) __attribute__((format(printf, f, a)))
#define __cacheline_aligned __attribute__((aligned(64)))

#define ALIGN_UP(x, a) (((x) + ((__typeof__(x))(a)-1)) & ~((__typeof__(x))(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define IS_POW2(x) ((x) && !((x) & ((x)-1)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/*
 * Memory that another process may write is read exactly once, into a local copy, and only the copy
 * is checked and used.
 */
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
/* The compiler keeps @p in a register, and doesn't compute it again from what it was made of. */
#define keep_pointer(p) __asm__("" : "+r"(p))
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

#define EBPFRT_PAGE_SIZE 4096UL
