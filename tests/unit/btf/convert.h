/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of conversions: a folder, a compiler at work in it, and looking at what came out. */
#pragma once

#include <bpf/btf.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "btf/dwarf.h"

static char dir[64];
static const struct dwarf_opts no_opts;

static inline void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_dwarf.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	unsetenv("DEBUGINFOD_URLS");
}

static inline void teardown(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_expect_eq(system(cmd), 0);
}

static inline int shell(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;
	int n;

	n = snprintf(cmd, sizeof(cmd), "cd '%s' && { ", dir);
	va_start(ap, fmt);
	n += vsnprintf(cmd + n, sizeof(cmd) - n, fmt, ap);
	va_end(ap);
	snprintf(cmd + n, sizeof(cmd) - n, "; } >log 2>&1");
	return system(cmd);
}

static inline const char *source_dir(void)
{
	const char *top = getenv("top_srcdir");

	return top ? top : ".";
}

/* DIR/NAME, a shared object of @source made with @options. */
static inline const char *compile(const char *name, const char *source, const char *options)
{
	static char path[128];

	cr_assert_eq(shell("%s -g %s -shared -fPIC -o %s '%s/tests/unit/btf/%s'", TEST_CC, options,
			   name, source_dir(), source),
		     0, "%s %s", options, source);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static inline struct btf *convert(const char *path)
{
	struct btf *btf = NULL;
	char why[512] = "";
	int err = btf_from_dwarf(path, &no_opts, &btf, why, sizeof(why));

	cr_assert_eq(err, 0, "%s: %d %s", path, err, why);
	return btf;
}

static inline const struct btf_type *skip_mods(const struct btf *btf, u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (btf_is_mod(t) || btf_is_typedef(t))
		t = btf__type_by_id(btf, t->type);
	return t;
}

struct found {
	u32 bit, nbits, type;
};

/* A member by its name, anonymous ones looked into. */
static inline bool find_in(const struct btf *btf, const struct btf_type *t, const char *name,
			   u32 base, struct found *out)
{
	for (int i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		const char *has = btf__name_by_offset(btf, m->name_off);
		u32 bit = base + btf_member_bit_offset(t, i);
		const struct btf_type *of = skip_mods(btf, m->type);

		if (!strcmp(has, name)) {
			*out = (struct found){bit, btf_member_bitfield_size(t, i), m->type};
			return true;
		}
		if (!*has && btf_is_composite(of) && find_in(btf, of, name, bit, out))
			return true;
	}
	return false;
}

static inline struct found member(const struct btf *btf, const char *type, u32 kind,
				  const char *name)
{
	int id = btf__find_by_name_kind(btf, type, kind);
	struct found f = {0};

	cr_assert(id > 0, "no type %s", type);
	cr_assert(find_in(btf, btf__type_by_id(btf, id), name, 0, &f), "no %s.%s", type, name);
	return f;
}
