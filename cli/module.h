/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of a target, in the order in which a probed one's types are looked for in them. */
#pragma once

#include "btf/btf.h"
#include "cli/spec.h"
#include "probe/probe.h"

struct modules {
	struct btf_module *v; /* paths are in .files */
	u32 n;
	struct probe_files files;
};

/*
 * @module is probed in the @nscopes targets @scopes, as are @beside (NULL-terminated); those that
 * don't map it, when others do, are left out. 0 or -ENOMEM; to be given back with modules_free().
 */
int modules_of(const char *module, const struct spec_scope *scopes, u32 nscopes,
	       const char *const *beside, struct modules *out);
void modules_free(struct modules *modules); /* idempotent */
