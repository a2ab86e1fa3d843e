/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One object, relocated for each file that it probes.
 *
 * Model: an edition is the object opened once more, with the types of one probed file (a view,
 * btf/target.c) and with those of its programs that go there. libbpf relocates and loads it as it
 * does any object; only its maps are those that the first edition has made. An object that names no
 * type of its target has one edition.
 *
 * Rules: what leads to programs stays an edition's own: arrays of programs, whose slots libbpf
 * fills with programs of the edition, and libbpf's tables for USDT, which it numbers for each
 * object anew.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/module.h"
#include "cli/object.h"
#include "cli/out.h"
#include "core/uapi.h"

/* --- which there are --- */

static struct edition *new_edition(struct object *obj)
{
	struct edition *v = realloc(obj->editions, (obj->neditions + 1) * sizeof(*v));

	if (!v)
		return NULL;
	obj->editions = v;
	v[obj->neditions] = (struct edition){.types.fd = -1};
	return &v[obj->neditions++];
}

/* Does it read anything that is not the same for all files? */
static bool names_types(const struct object *obj)
{
	for (u32 i = 0; i < obj->nneeds; i++) {
		if (!btf_is_registers(&obj->needs[i]))
			return true;
	}
	return false;
}

bool object_differs_by_file(const struct object *obj)
{
	for (u32 i = 0; i < obj->nattachments; i++) {
		if (obj->attachments[i].spec.typed)
			return true;
	}
	return names_types(obj);
}

/* That of the file at @place, or -1. */
static int find_edition(const struct object *obj, const struct place *place)
{
	for (u32 i = 0; i < obj->neditions; i++) {
		const struct edition *ed = &obj->editions[i];

		if (!object_differs_by_file(obj) ||
		    (ed->dev == place->dev && ed->ino == place->ino))
			return (int)i;
	}
	return -1;
}

int editions_assign(struct object *obj)
{
	for (u32 i = 0; i < obj->nattachments; i++) {
		struct attachment *a = &obj->attachments[i];
		int known = find_edition(obj, &a->place);
		struct edition *ed = known < 0 ? new_edition(obj) : &obj->editions[known];

		if (!ed)
			return out_error("out of memory"), -ENOMEM;
		if (known < 0) {
			ed->dev = a->place.dev;
			ed->ino = a->place.ino;
		}
		a->edition = (u32)(ed - obj->editions);
	}
	if (!obj->neditions && !new_edition(obj))
		return out_error("out of memory"), -ENOMEM;
	return 0;
}

/* The file that its programs go to, which is the caller's; NULL: they go nowhere. */
static char *module_of(const struct object *obj, u32 edition)
{
	for (u32 i = 0; i < obj->nattachments; i++) {
		if (obj->attachments[i].edition == edition)
			return strdup(obj->attachments[i].place.path);
	}
	return NULL;
}

/* --- which programs are in it --- */

/*
 * Those that go to its file. One that goes nowhere is in the first edition, to be verified; one
 * that an array of programs leads to is in all, as the array is.
 */
bool edition_has_program(const struct object *obj, u32 edition, u32 prog,
			 const struct object_opts *opts)
{
	bool goes = false;

	if (!object_is_wanted(&obj->progs[prog], opts))
		return false;
	for (u32 i = 0; i < obj->nattachments; i++) {
		const struct attachment *a = &obj->attachments[i];

		if (a->prog == prog && a->edition == edition)
			return true;
		goes |= a->prog == prog;
	}
	return obj->progs[prog].called || (!goes && !edition);
}

/* A program that isn't spoken of, of a target that isn't known: what are its types? */
bool edition_can_relocate(const struct object *obj, const char *section)
{
	for (u32 i = 0; obj->nattachments && i < obj->nneeds; i++) {
		if (obj->needs[i].must && !strcmp(obj->needs[i].section, section))
			return false;
	}
	return true;
}

/* --- its types --- */

static int refuse_missing_type(const struct object *obj, const struct btf_need *need,
			       const struct edition *ed, const char *user_file)
{
	const char *bin = ed->module;

	if (user_file)
		out_error(
			"%s reads %s %s, which %s does not describe\n  give the BTF of the program "
			"that uses it with --btf",
			obj->file, need->kind, need->name, user_file);
	else if (!bin)
		out_error(
			"%s reads %s %s of its target: say which that is with -p PID, or give its "
			"types with --btf FILE",
			obj->file, need->kind, need->name);
	else if (ed->types.found)
		out_error(
			"%s reads %s %s, which the BTF of %s does not describe, nor that of what "
			"is loaded beside it\n  `ebpfrt btf dump %s format c` shows what it does; "
			"give the BTF of the program that uses it with --btf FILE",
			obj->file, need->kind, need->name, bin, bin);
	else
		out_error("%s reads %s %s of its target, but %s has no BTF and no debug "
			  "information to say how that looks there\n"
			  "  compile it with -g, install its -dbgsym package, set DEBUGINFOD_URLS, "
			  "or pass --btf FILE",
			  obj->file, need->kind, need->name, bin);
	return -ENODATA;
}

/* By a program of the edition. What functions need that several call, only libbpf can tell. */
static bool is_wanted_by(const struct object *obj, u32 edition, const struct btf_need *need,
			 const struct object_opts *opts)
{
	bool known = !strcmp(need->section, ".text");

	for (u32 i = 0; i < obj->nprogs; i++) {
		bool here = !strcmp(obj->progs[i].section, need->section);

		if (here && edition_has_program(obj, edition, i, opts))
			return true;
		known |= here;
	}
	return !known && !obj->nattachments;
}

/* It may be another type that happens to be called so, where the file itself can't tell. */
static void tell_origin(const struct edition *ed, const struct btf_need *need, const char *from)
{
	if (!ed->module || !need->must)
		return;
	if (*from == '/' && !ed->types.own)
		out_note("%s has no types of its own: %s %s is read as %s has it", ed->module,
			 need->kind, need->name, from);
	else
		out_debug("%s: %s %s is that of %s", ed->module, need->kind, need->name, from);
}

/* Of another section. */
static bool is_told(const struct object *obj, u32 need)
{
	for (u32 i = 0; i < need; i++) {
		if (obj->needs[i].must && !strcmp(obj->needs[i].name, obj->needs[need].name) &&
		    !strcmp(obj->needs[i].kind, obj->needs[need].kind))
			return true;
	}
	return false;
}

static int check_needs(const struct object *obj, u32 edition, const char *user_file,
		       const struct object_opts *opts)
{
	const struct edition *ed = &obj->editions[edition];

	for (u32 i = 0; i < obj->nneeds; i++) {
		const struct btf_need *need = &obj->needs[i];

		if (ed->types.from[i] && !is_told(obj, i))
			tell_origin(ed, need, ed->types.from[i]);
		if (ed->types.from[i])
			continue;
		/* who asks first knows what to do without, if that is known for certain */
		if (need->asked && ed->types.own)
			continue;
		if (need->must && is_wanted_by(obj, edition, need, opts))
			return refuse_missing_type(obj, need, ed, user_file);
	}
	return 0;
}

/* Distinct files the programs go to, NULL-terminated. */
static const char **binaries_of(const struct object *obj)
{
	const char **v = calloc(obj->nattachments + 1, sizeof(*v));
	u32 n = 0;

	for (u32 i = 0; v && i < obj->nattachments; i++) {
		const char *path = obj->attachments[i].place.path;
		bool known = false;

		for (u32 k = 0; k < n; k++)
			known |= !strcmp(v[k], path);
		if (!known)
			v[n++] = path;
	}
	return v;
}

void edition_ask_for_types(const struct object *obj, const struct object_opts *opts,
			   const char *const *env, struct btf_request *out)
{
	out->user = opts->btf.v;
	out->nuser = opts->btf.n;
	out->needs = obj->needs;
	out->nneeds = obj->nneeds;
	out->opts.debuginfo_dir = opts->debuginfo;
	out->opts.quiet = common.quiet;
	if (opts->btf.n || !names_types(obj) || !*env || !**env)
		return;
	out->user = env;
	out->nuser = 1;
}

int edition_find_types(struct object *obj, u32 edition, const struct object_opts *opts)
{
	_cleanup_free_ const char **binaries = binaries_of(obj);
	_cleanup_(modules_free) struct modules modules = {0};
	const char *const env = getenv("EBPFRT_BTF_PATH");
	struct btf_request types = {.binaries = binaries};
	struct edition *ed = &obj->editions[edition];
	char why[BTF_WHY_MAX] = "";
	int err = 0;

	edition_ask_for_types(obj, opts, &env, &types);
	ed->module = module_of(obj, edition);
	if (!names_types(obj) && !types.nuser)
		return 0;
	if (!binaries)
		return out_error("out of memory"), -ENOMEM;
	if (ed->module)
		err = modules_of(ed->module, obj->scopes, obj->nscopes, binaries, &modules);
	if (err)
		return out_error("out of memory"), err;
	types.modules = modules.v;
	types.nmodules = modules.n;
	err = btf_view_make(&types, &ed->types, why, sizeof(why));
	if (err)
		return out_error("%s: %s", obj->file, why), err;
	return check_needs(obj, edition, types.nuser ? types.user[0] : NULL, opts);
}

/* --- its maps --- */

static bool is_its_own(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_PROG_ARRAY ||
	       !strncmp(bpf_map__name(map), "__bpf_usdt", 10);
}

/* Maps are in the same order in all editions; libbpf renames some that it is given. */
int edition_share_maps(struct object *obj, u32 edition)
{
	struct bpf_map *first = NULL, *map;

	bpf_object__for_each_map (map, obj->editions[edition].bpf) {
		int err;

		first = bpf_object__next_map(obj->bpf, first);
		if (!first || is_its_own(map) || bpf_map__fd(first) < 0)
			continue;
		err = bpf_map__reuse_fd(map, bpf_map__fd(first));
		if (err)
			return out_error("%s: map %s can't be shared by its programs: %s",
					 obj->file, bpf_map__name(first), strerror(-err)),
			       err;
	}
	return 0;
}
