/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of a trace: tracefunc.h tells the model. */
#include "cli/tracefunc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/demangle.h"
#include "cli/out.h"
#include "cli/typed.h"
#include "probe/probe.h"

#define NAMES_SAID 5u

/* What is known of one file. */
struct file {
	const char *path;
	struct btf *types; /* NULL: none */
	struct probe_elf *elf;
	u32 untyped;	 /* functions without types, */
	char names[256]; /* the first of them */
};

/* --- plans ----------------------------------------------------------------------------------- */

/* Its number, or -errno. */
static int intern(struct trace_set *set, const struct trace_plan *plan)
{
	struct trace_plan **v, *p;

	for (u32 i = 0; i < set->nplans; i++) {
		if (!memcmp(set->plans[i], plan, sizeof(*plan)))
			return (int)i;
	}
	if (set->nplans == TRACE_PLANS_MAX)
		return -E2BIG;
	v = realloc(set->plans, (set->nplans + 1) * sizeof(struct trace_plan *));
	p = malloc(sizeof(*p));
	if (v)
		set->plans = v;
	if (!v || !p) {
		free(p);
		return -ENOMEM;
	}
	*p = *plan;
	trace_plan_extent(p, &set->sizes.out, &set->sizes.len);
	set->sizes.vectors |= p->vectors;
	v[set->nplans] = p;
	return (int)set->nplans++;
}

/* --- types ----------------------------------------------------------------------------------- */

static void note_untyped(struct file *file, const char *name)
{
	const size_t at = strlen(file->names);

	if (file->untyped++ < NAMES_SAID)
		snprintf(file->names + at, sizeof(file->names) - at, "%s%s", at ? ", " : "", name);
}

/* The types of the function at @offset by any of its names; NULL: nobody knows them. */
static struct btf *types_of(struct file *file, const struct point *p)
{
	char func[SPEC_TEXT_MAX];
	struct btf *slice = NULL;
	int err = -ENOENT;

	snprintf(func, sizeof(func), "%.*s", (int)strcspn(p->name, "@"), p->name);
	if (file->types)
		err = btf_slice(file->types, func, &slice);
	if (err == -ENOENT && file->types && file->elf)
		err = typed_slice_by_alias(file->types, file->elf, p->offset, func, &slice);
	return err ? NULL : slice;
}

static int plan_func(struct trace_set *set, struct trace_func *f, struct point *p)
{
	struct trace_plan plans[2] = {0};
	int err = f->types ? trace_plan(f, &set->limits, &plans[0], &plans[1]) : 0;
	int entry, ret;

	if (err == -ENOMEM)
		return err;
	if (err) { /* what can't be read tells nothing */
		btf__free(f->types);
		f->types = NULL;
	}
	entry = intern(set, &plans[0]);
	ret = entry < 0 ? entry : intern(set, &plans[1]);
	if (ret < 0)
		return ret;
	p->cookie = TRACE_COOKIE(f - set->funcs, entry, ret);
	f->entry = set->plans[entry];
	f->exit = set->plans[ret];
	return 0;
}

static int add_func(struct trace_set *set, struct file *file, struct point *p)
{
	struct trace_func *f = &set->funcs[set->nfuncs];
	int err;

	*f = (struct trace_func){.plain = strdup(p->name), .file = file->path};
	if (!f->plain)
		return -ENOMEM;
	f->plain[strcspn(f->plain, "@")] = 0;
	f->name = demangle(f->plain);
	if (!f->name) {
		free(f->plain);
		return -ENOMEM;
	}
	if (!strcmp(f->name, f->plain)) {
		free(f->plain);
		f->plain = NULL;
	}
	set->nfuncs++;
	f->types = types_of(file, p);
	err = plan_func(set, f, p);
	if (!f->types && file->types)
		note_untyped(file, f->name);
	return err;
}

/* --- files ----------------------------------------------------------------------------------- */

static void close_file(struct file *file)
{
	btf__free(file->types);
	probe_elf_free(&file->elf);
}

static void open_file(struct file *file, const struct object *obj, const struct object_opts *opts)
{
	const char *const env = getenv("EBPFRT_BTF_PATH");
	struct btf_request request = {0};
	char why[BTF_WHY_MAX] = "", elf_why[PROBE_WHY_MAX];

	edition_ask_for_types(obj, opts, &env, &request);
	if (btf_for_binary(&request, file->path, &file->types, why, sizeof(why))) {
		file->types = NULL;
		out_note("%s has no types: arguments are shown as registers\n  %s", file->path,
			 why);
	} else if (probe_elf_open(file->path, &file->elf, elf_why)) {
		file->elf = NULL;
	}
}

static void tell_untyped(const struct file *file, u32 all)
{
	if (file->untyped)
		out_note("the types of %s don't say what %u of %u function%s take%s: %s%s",
			 file->path, file->untyped, all, all == 1 ? "" : "s",
			 file->untyped == 1 ? "s" : "", file->names,
			 file->untyped > NAMES_SAID ? ", ..." : "");
}

static int add_file(struct trace_set *set, struct object *obj, u32 first,
		    const struct object_opts *opts, bool *done)
{
	struct file file = {.path = obj->attachments[first].place.path};
	u32 before = set->nfuncs;
	int err = 0;

	open_file(&file, obj, opts);
	for (u32 i = first; !err && i < obj->nattachments; i++) {
		struct place *place = &obj->attachments[i].place;

		if (strcmp(place->path, file.path) != 0)
			continue;
		done[i] = true;
		for (u32 k = 0; !err && k < place->npoints; k++)
			err = add_func(set, &file, &place->points[k]);
	}
	tell_untyped(&file, set->nfuncs - before);
	close_file(&file);
	return err;
}

int trace_set_make(struct trace_set *set, struct object *obj, const struct object_opts *opts)
{
	_cleanup_free_ bool *done = calloc(obj->nattachments + 1, sizeof(*done));
	const struct trace_plan nothing = {0};
	u32 n = 0;
	int err;

	set->sizes = (struct trace_sizes){.out = sizeof(u64), .len = sizeof(u64)};
	for (u32 i = 0; i < obj->nattachments; i++)
		n += obj->attachments[i].place.npoints;
	set->funcs = calloc(n + 1, sizeof(*set->funcs));
	err = done && set->funcs ? intern(set, &nothing) : -ENOMEM;
	for (u32 i = 0; err >= 0 && i < obj->nattachments; i++) {
		if (!done[i])
			err = add_file(set, obj, i, opts, done);
	}
	if (err < 0)
		out_error("the functions' plans can't be made: %s", strerror(-err));
	return MIN(err, 0);
}

const struct trace_func *trace_set_find(const struct trace_set *set, u64 cookie)
{
	return (u32)cookie < set->nfuncs ? &set->funcs[(u32)cookie] : NULL;
}

size_t trace_set_record_size(const struct trace_set *set)
{
	return sizeof(struct trace_record) + set->sizes.out + set->sizes.len;
}

void trace_set_free(struct trace_set *set)
{
	for (u32 i = 0; i < set->nfuncs; i++)
		trace_func_deinit(&set->funcs[i]);
	for (u32 i = 0; i < set->nplans; i++)
		free(set->plans[i]);
	free(set->funcs);
	free(set->plans);
	*set = (struct trace_set){0};
}
