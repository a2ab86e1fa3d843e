/* SPDX-License-Identifier: BSD-2-Clause */
/* Joining BTFs: see btfmerge.h. */
#include "cli/btfmerge.h"

#include <bpf/btf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "btf/btf.h"
#include "btf/shape.h"
#include "cli/out.h"

#define TOLD_MAX 20u

struct clashes {
	const char *a, *b;
	u32 n;
};

static int on_change(const struct btf_shape *from, const struct btf_shape *to, void *cookie)
{
	struct clashes *c = cookie;
	char name[256];

	/* functions and variables may well be several of a name: static ones */
	if (!from || !to || from->declared || to->declared || from->kind > SHAPE_TYPEDEF)
		return 0;
	if (c->n++ >= TOLD_MAX)
		return 0;
	out_warn("%s %s is not the same in %s (%" PRIu64 " bytes) and in %s (%" PRIu64
		 " bytes): both are kept",
		 btf_shape_word(from->kind), out_clean(from->name, name, sizeof(name)), c->a,
		 from->size, c->b, to->size);
	return 0;
}

static int tell_clashes(const struct btfmerge_part *parts, u32 n)
{
	struct clashes c = {0};
	int err = 0;

	for (u32 j = 1; j < n; j++) {
		for (u32 i = 0; !err && i < j; i++) {
			c.a = parts[i].word;
			c.b = parts[j].word;
			err = btf_diff(parts[i].btf, parts[j].btf, on_change, &c);
		}
	}
	if (c.n > TOLD_MAX)
		out_warn("and %u more that are not the same; `ebpfrt btf diff` shows them",
			 c.n - TOLD_MAX);
	return err;
}

static int join(const struct btfmerge_part *parts, u32 n, struct btf **out)
{
	_cleanup_btf_ struct btf *all = btf__new_empty();
	int err = all ? 0 : -ENOMEM;

	for (u32 i = 0; err >= 0 && i < n; i++)
		err = btf__add_btf(all, parts[i].btf);
	return err < 0 ? err : btf_deduplicate(all, out);
}

int btfmerge(const struct btfmerge_part *parts, u32 n, struct btf **out)
{
	int err = join(parts, n, out);

	if (!err)
		err = tell_clashes(parts, n);
	if (err)
		out_error("cannot join the types: %s", strerror(-err));
	return err;
}
