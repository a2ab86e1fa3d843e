/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libebpfrt-surface.so: the surface for a program that was not built with it. Preloaded by
 * `ebpfrt exec`; contains nothing but the surface, does nothing until its first use.
 */
#include "surface/internal.h"

/* Takes the interposers out of the archive. */
extern const char surface_interposed;
const char *const surface_preload_anchor __attribute__((used)) = &surface_interposed;
