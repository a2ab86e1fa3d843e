/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions of the vDSO, found without libc. Internal to osl/linux. */
#pragma once

#include "base/macros.h"

/*
 * Address of function @name in the vDSO whose ELF header is at @base, or NULL. Every offset in the
 * image is checked, every read goes through osl_read(): a wrong @base finds nothing.
 */
void *osl_vdso_sym(u64 base, const char *name);
