/* SPDX-License-Identifier: BSD-2-Clause */
/* Types as text, as JSON with bpftool's field names, or as C. Exit status. */
#pragma once

#include "cli/out.h"

struct btf;

int btfdump_raw(const struct btf *btf);
int btfdump_json(const struct btf *btf, const struct out_json *json);
/* With names that C can read; @header: guarded, for objects that relocate. NULL: neither. */
int btfdump_c(struct btf *btf, const char *header);
