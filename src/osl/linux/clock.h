/* SPDX-License-Identifier: BSD-2-Clause */
/* What osl/linux/trap.c tells the clocks (clock.c). Internal to osl/linux. */
#pragma once

#include "base/macros.h"

/* At the start, and again in a child. @vdso: its ELF header, 0 without one. */
void osl_clock_init(u64 vdso);
