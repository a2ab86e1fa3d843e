/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process that is run with the surface asks `ebpfrt` of a typed program's section, and what
 * it gets to read: this, and behind it .size bytes of BTF, in which the function is type 1.
 */
#pragma once

#include <limits.h>

#include "base/types.h"

#define TYPED_CLI "EBPFRT_CLI"	       /* environment: the path of ebpfrt */
#define TYPED_COMMAND "typed-function" /* its command: [--targets PID,...] SECTION */
#define TYPED_MAGIC 0x44505954u	       /* "TYPD" */

struct typed_answer {
	u32 magic;
	u32 size;
	u64 offset; /* of the function in the file */
	char path[PATH_MAX];
};
