/* SPDX-License-Identifier: BSD-2-Clause */
/* What callers.c and its libraries call of each other. */
#pragma once

long c_work(long n);	/* of the program: n * 2 + 1 */
long lib_open(void);	/* 1: opened what only this library's path leads to */
long inner_value(void); /* 1: its constructor found what comes behind it */
