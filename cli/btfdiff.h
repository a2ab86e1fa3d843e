/* SPDX-License-Identifier: BSD-2-Clause */
/* What is different between two BTFs, and what that means to an object. Exit status: as diff(1). */
#pragma once

#include "cli/out.h"

struct btf;

#define DIFF_SAME 0
#define DIFF_DIFFERENT 1
#define DIFF_TROUBLE 2

struct btfdiff_side {
	const char *word; /* as the user called it */
	struct btf *btf;
};

int btfdiff_types(const struct btfdiff_side side[2], const struct out_json *json);
/* Which CO-RE relocations of @object come out differently. */
int btfdiff_object(const struct btfdiff_side side[2], const char *object,
		   const struct out_json *json);
