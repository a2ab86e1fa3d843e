/* SPDX-License-Identifier: BSD-2-Clause */
/* What slots and stubs share: copies of displaced instructions, and jumps. Pure; process context.
 */
#pragma once

#include "arch/arch.h"

#define NEAR_JUMP_LEN 5
#define FAR_JUMP_MAX 21 /* with its target, aligned */

/* A jump from @from, whose bytes are @at, to @to, that changes no register: its length. */
u8 patch_put_jump(u8 *at, u64 from, u64 to);
/* The instruction of @p as it has to be at @at, into @out: 0, or -ERANGE when it can't be there,
 * -EINVAL when the copy does not decode as the same. */
int patch_put_copy(const struct arch_patch *p, u64 at, u8 *out);
