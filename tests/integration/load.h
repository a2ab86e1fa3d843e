/* SPDX-License-Identifier: BSD-2-Clause */
/* How load.bpf.c knows the calls that load.c makes itself, and what it counts of each function. */
#pragma once

#define LOAD_MALLOC 7001		 /* bytes */
#define LOAD_COPY 777			 /* bytes */
#define LOAD_MAGIC 0x6c6f61642e6d7578ULL /* right behind the mutex */
#define LOAD_MUTEX 40			 /* bytes of a mutex */
#define LOAD_CLOCK 6			 /* CLOCK_MONOTONIC_COARSE */

enum { LOAD_ALL, LOAD_OURS, LOAD_RETURNS, LOAD_FIELDS };
enum { F_MALLOC, F_MEMCPY, F_MUTEX_LOCK, F_CLOCK_GETTIME, F_TLS_GET_ADDR, LOAD_FUNCTIONS };
