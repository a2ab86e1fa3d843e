/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The integer names of the kernel, so that structures read like the kernel's own.
 * Freestanding: includes nothing that needs a C library at run time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
