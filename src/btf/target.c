/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs that probe one module see of the types of their target: a view.
 *
 * Model: the files of a target are in tiers: the probed module, what it uses, the others. A view is
 * the built-in kernel types, then the module's, then those of the first tier that has a type which
 * is needed and which no tier before has. CO-RE takes every type of a name for a candidate; so of a
 * needed one only the definitions of the file that it is found in keep their name. Kernel types
 * come last, but for the registers: these are what a program gets, whatever the target calls so.
 *
 * Rules: two files of one tier that mean different things by a name are refused, as nobody knows
 * which is meant. Files beside the module are read only where something is still looked for; what
 * is wrong with one of these is no reason to refuse.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/macros.h"
#include "btf/btf_priv.h"
#include "btf/builtin.h"

int btf_builtin(struct btf **out)
{
	_cleanup_free_ void *raw = NULL;
	u32 size;
	int err = btf_builtin_raw(&raw, &size);

	if (err)
		return err;
	*out = btf__new(raw, size);
	return *out ? 0 : -errno;
}

struct holder {
	u32 id;		/* of its first definition, 0: nobody has it */
	u32 first, end; /* the types of the file that has it */
	u32 tier;
	const char *path;
};

struct joiner {
	const struct btf_request *r;
	struct btf *all;
	struct holder *holders; /* of each need */
	u32 tier;
	bool own;
	int found;
	char *why;
	size_t why_size;
};

static int to_memfd(const struct btf *btf, int *fd, char *fd_path)
{
	_cleanup_close_ int m = memfd_create("ebpfrt-btf", MFD_CLOEXEC);
	const void *data;
	u32 len;
	int err;

	if (m < 0)
		return -errno;
	data = btf__raw_data(btf, &len);
	if (!data)
		return -ENOMEM;
	err = write_full(m, data, len, IO_HERE);
	if (err)
		return err;
	snprintf(fd_path, 64, "/proc/self/fd/%d", m);
	*fd = TAKE_FD(m);
	return 0;
}

/* Is @binary what a user means by @object: its path, its name, or "libssl" for libssl.so.3? */
static bool is_meant(const char *binary, const char *object, size_t len)
{
	const char *base = strrchr(binary, '/') ? strrchr(binary, '/') + 1 : binary;

	if (!strncmp(binary, object, len) && !binary[len])
		return true;
	return !strncmp(base, object, len) && (!base[len] || !strncmp(base + len, ".so", 3));
}

/* FILE of OBJ=FILE, with the length of OBJ; NULL for a file whose name just has such a sign. */
static const char *named_object(const char *entry, size_t *len)
{
	const char *equals = strchr(entry, '=');

	if (!equals || equals == entry || !access(entry, F_OK))
		return NULL;
	*len = (size_t)(equals - entry);
	return equals + 1;
}

/* The file that the user names for @binary, NULL: none. */
static const char *file_for(const struct btf_request *r, const char *binary)
{
	for (u32 i = 0; i < r->nuser; i++) {
		size_t len;
		const char *file = named_object(r->user[i], &len);

		if (file && is_meant(binary, r->user[i], len))
			return file;
	}
	return NULL;
}

static bool is_probed(const struct btf_request *r, const char *object, size_t len)
{
	for (const char *const *b = r->binaries; b && *b; b++) {
		if (is_meant(*b, object, len))
			return true;
	}
	return false;
}

/* --- what is meant by a name ----------------------------------------------------------------- */

#define LAYOUT_DEPTH 8
#define LAYOUT_STEPS 20000u

static const struct btf_type *strip(const struct btf *btf, u32 *id)
{
	const struct btf_type *t = btf__type_by_id(btf, *id);

	for (int i = 0; i < 32 && (btf_is_mod(t) || btf_is_typedef(t)); i++) {
		*id = t->type;
		t = btf__type_by_id(btf, *id);
	}
	return t;
}

static bool same_members(const struct btf *btf, const struct btf_type *a, const struct btf_type *b,
			 int depth, u32 *steps);

/*
 * Would a program read the same of both? A type in memory, without what its pointers lead to; names
 * are there once in a BTF. What is too much to compare counts as the same.
 */
static bool same_layout(const struct btf *btf, u32 ida, u32 idb, int depth, u32 *steps)
{
	const struct btf_type *a = strip(btf, &ida), *b = strip(btf, &idb);

	if (ida == idb || !depth || !*steps)
		return true;
	--*steps;
	if (btf_kind(a) != btf_kind(b) ||
	    (!btf_is_array(a) && !btf_is_ptr(a) && a->size != b->size))
		return false;
	if (btf_is_composite(a))
		return same_members(btf, a, b, depth, steps);
	if (btf_is_array(a))
		return btf_array(a)->nelems == btf_array(b)->nelems &&
		       same_layout(btf, btf_array(a)->type, btf_array(b)->type, depth - 1, steps);
	if (btf_is_int(a))
		return btf_int_encoding(a) == btf_int_encoding(b);
	if (btf_is_enum(a))
		return btf_vlen(a) == btf_vlen(b) &&
		       !memcmp(btf_enum(a), btf_enum(b), btf_vlen(a) * sizeof(struct btf_enum));
	return true;
}

static bool same_members(const struct btf *btf, const struct btf_type *a, const struct btf_type *b,
			 int depth, u32 *steps)
{
	if (btf_vlen(a) != btf_vlen(b) || btf_kflag(a) != btf_kflag(b))
		return false;
	for (u32 i = 0; i < btf_vlen(a); i++) {
		const struct btf_member *m = &btf_members(a)[i], *n = &btf_members(b)[i];

		if (m->name_off != n->name_off || m->offset != n->offset ||
		    !same_layout(btf, m->type, n->type, depth - 1, steps))
			return false;
	}
	return true;
}

/* Its first definition among the types [first, end), 0: none. */
static u32 find_need(const struct btf *btf, const struct btf_need *need, u32 first, u32 end)
{
	for (u32 id = first; id < end; id++) {
		if (btf_is_needed(btf, id, need))
			return id;
	}
	return 0;
}

static bool is_looked_for(const struct joiner *j, u32 need)
{
	return !j->holders[need].id || (j->tier && j->holders[need].tier == j->tier);
}

static bool has_any(const struct joiner *j, const struct btf *one)
{
	for (u32 i = 0; i < j->r->nneeds; i++) {
		if (is_looked_for(j, i) && find_need(one, &j->r->needs[i], 1, btf__type_cnt(one)))
			return true;
	}
	return false;
}

static int refuse_ambiguous(struct joiner *j, const struct btf_need *need, const char *a,
			    const char *b)
{
	snprintf(
		j->why, j->why_size,
		"%s %s is not the same in %s and in %s, and it can't be told which one the "
		"program reads\n  `ebpfrt btf dump FILE format c` shows each; trace one process at "
		"a time, or give the types with --btf FILE",
		need->kind, need->name, a, b);
	return -ENOTUNIQ;
}

/* What is needed and found in the file whose types are [first, end) now. */
static int take_needs(struct joiner *j, const char *path, u32 first, u32 end)
{
	for (u32 i = 0; i < j->r->nneeds; i++) {
		struct holder *h = &j->holders[i];
		u32 steps = LAYOUT_STEPS;
		u32 id = is_looked_for(j, i) ? find_need(j->all, &j->r->needs[i], first, end) : 0;

		if (id && h->id && !same_layout(j->all, h->id, id, LAYOUT_DEPTH, &steps))
			return refuse_ambiguous(j, &j->r->needs[i], h->path, path);
		if (id && !h->id)
			*h = (struct holder){id, first, end, j->tier, path};
	}
	return 0;
}

/* --- files ----------------------------------------------------------------------------------- */

static int open_types(const struct joiner *j, const char *path, struct btf **out)
{
	int err = btf_find(path, &j->r->opts, out, j->why, j->why_size);

	if (!err && btf_names_for_c(*out)) {
		snprintf(j->why, j->why_size, "%s: out of memory", path);
		err = -ENOMEM;
	}
	return err;
}

static int join(struct joiner *j, const struct btf *one)
{
	int err = btf__add_btf(j->all, one);

	if (err < 0)
		snprintf(j->why, j->why_size, "cannot write the joined BTF: %s", strerror(-err));
	else
		j->found++;
	j->own |= !j->tier;
	return err < 0 ? err : 0;
}

/* Files for every target; and a look at whether those for one are for one that is there. */
static int join_users(struct joiner *j)
{
	const struct btf_request *r = j->r;
	u32 first = btf__type_cnt(j->all);

	for (u32 i = 0; i < r->nuser; i++) {
		_cleanup_btf_ struct btf *one = NULL;
		size_t len;
		const char *file = named_object(r->user[i], &len);
		int err;

		if (file && !is_probed(r, r->user[i], len)) {
			snprintf(j->why, j->why_size,
				 "--btf %s: nothing that is probed is called %.*s; say --btf FILE "
				 "for types of any target",
				 r->user[i], (int)len, r->user[i]);
			return -EINVAL;
		}
		if (file)
			continue;
		err = open_types(j, r->user[i], &one);
		if (!err)
			err = join(j, one);
		if (!err)
			err = take_needs(j, r->user[i], first, btf__type_cnt(j->all));
		if (err)
			return err;
	}
	/* none of them comes before another */
	for (u32 i = 0; i < r->nneeds; i++) {
		if (j->holders[i].id >= first)
			j->holders[i].end = btf__type_cnt(j->all);
	}
	return 0;
}

/*
 * The types of @m; of one that isn't probed itself only when something is found there. Having none,
 * or not being allowed to look, is no error.
 */
static int join_module(struct joiner *j, const struct btf_module *m)
{
	_cleanup_btf_ struct btf *one = NULL;
	const char *file = file_for(j->r, m->path);
	u32 first = btf__type_cnt(j->all);
	int err = open_types(j, file ? file : m->path, &one);

	if (err && !file && (m->tier || err == -EACCES || err == -ENOENT)) {
		*j->why = 0;
		return 0;
	}
	if (err)
		return err;
	if (m->tier && !has_any(j, one))
		return 0;
	err = join(j, one);
	return err ? err : take_needs(j, m->path, first, btf__type_cnt(j->all));
}

static bool is_satisfied(const struct joiner *j)
{
	for (u32 i = 0; i < j->r->nneeds; i++) {
		if (is_looked_for(j, i))
			return false;
	}
	return true;
}

static int join_modules(struct joiner *j)
{
	int err = 0;

	for (u32 i = 0; !err && i < j->r->nmodules; i++) {
		const struct btf_module *m = &j->r->modules[i];

		j->tier = m->tier;
		if (!m->tier || !is_satisfied(j))
			err = join_module(j, m);
	}
	return err;
}

/* --- a view ---------------------------------------------------------------------------------- */

bool btf_is_registers(const struct btf_need *need)
{
	return !strcmp(need->name, "pt_regs") || !strcmp(need->name, "user_pt_regs");
}

/* The built-in types: of the registers the only ones, of all else the last. */
static void take_builtin(struct joiner *j, u32 end, bool registers)
{
	for (u32 i = 0; i < j->r->nneeds; i++) {
		const struct btf_need *need = &j->r->needs[i];
		u32 id = j->holders[i].id ? 0 : find_need(j->all, need, 1, end);

		if (id && (btf_is_registers(need) || !registers))
			j->holders[i] =
				(struct holder){id, 1, end, UINT32_MAX, "the built-in types"};
	}
}

/* A needed type is a candidate in the file it is found in, nowhere else. */
static void hide_others(struct joiner *j)
{
	for (u32 i = 0; i < j->r->nneeds; i++) {
		const struct holder *h = &j->holders[i];

		for (u32 id = 1; h->id && id < btf__type_cnt(j->all); id++) {
			if ((id < h->first || id >= h->end) &&
			    btf_is_needed(j->all, id, &j->r->needs[i]))
				((struct btf_type *)btf__type_by_id(j->all, id))->name_off = 0;
		}
	}
}

/* Programs are compiled by clang, targets by whatever: a type matches when its numbers are called
 * alike. */
static int name_numbers(struct btf *btf)
{
	static const struct {
		const char *gcc, *clang;
	} names[] = {
		{"short int", "short"},		{"short unsigned int", "unsigned short"},
		{"long int", "long"},		{"long unsigned int", "unsigned long"},
		{"long long int", "long long"}, {"long long unsigned int", "unsigned long long"},
	};

	for (u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		const char *name = btf_is_int(t) ? btf__name_by_offset(btf, t->name_off) : "";
		int off = 0;

		for (u32 i = 0; i < ARRAY_SIZE(names) && !off; i++) {
			if (!strcmp(name, names[i].gcc))
				off = btf__add_str(btf, names[i].clang);
		}
		if (off < 0)
			return off;
		if (off)
			((struct btf_type *)btf__type_by_id(btf, id))->name_off = (u32)off;
	}
	return 0;
}

static int join_all(struct joiner *j)
{
	u32 builtin = btf__type_cnt(j->all);
	int err;

	take_builtin(j, builtin, true);
	err = join_users(j);
	/* a file for every target stands in place of what they have */
	if (!err && !j->found)
		err = join_modules(j);
	if (err)
		return err;
	take_builtin(j, builtin, false);
	/* what was read as it is moves when it is first added to */
	err = btf__add_str(j->all, "_");
	if (err >= 0)
		err = name_numbers(j->all);
	if (err < 0)
		return err;
	hide_others(j);
	return 0;
}

static int tell_from(const struct joiner *j, struct btf_view *view)
{
	view->from = calloc(j->r->nneeds + 1, sizeof(*view->from));
	if (!view->from)
		return -ENOMEM;
	view->nfrom = j->r->nneeds;
	for (u32 i = 0; i < view->nfrom; i++) {
		const char *path = j->holders[i].path;

		view->from[i] = path ? strdup(path) : NULL;
		if (path && !view->from[i])
			return -ENOMEM;
	}
	return 0;
}

void btf_view_free(struct btf_view *view)
{
	for (u32 i = 0; i < view->nfrom; i++)
		free(view->from[i]);
	free(view->from);
	if (view->fd >= 0)
		close(view->fd);
	*view = (struct btf_view){.fd = -1};
}

int btf_view_make(const struct btf_request *r, struct btf_view *out, char *why, size_t why_size)
{
	_cleanup_free_ struct holder *holders = calloc(r->nneeds + 1, sizeof(*holders));
	_cleanup_btf_ struct btf *all = NULL;
	struct joiner j = {.r = r, .holders = holders, .why = why, .why_size = why_size};
	struct btf_view view = {.fd = -1};
	int err = holders ? btf_builtin(&all) : -ENOMEM;

	*why = 0;
	j.all = all;
	if (!err)
		err = join_all(&j);
	if (!err)
		err = tell_from(&j, &view);
	if (!err)
		err = to_memfd(all, &view.fd, view.path);
	if (err) {
		btf_view_free(&view);
		if (!*why)
			snprintf(why, why_size, "cannot write the joined BTF: %s", strerror(-err));
		return err;
	}
	view.found = j.found;
	view.own = j.own;
	*out = view;
	return 0;
}

int btf_for_binary(const struct btf_request *r, const char *binary, struct btf **out, char *why,
		   size_t why_size)
{
	const char *file = file_for(r, binary);
	size_t len;

	for (u32 i = 0; !file && i < r->nuser; i++)
		if (!named_object(r->user[i], &len))
			file = r->user[i];
	return btf_find(file ? file : binary, &r->opts, out, why, why_size);
}
