/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Typed programs: see typed.h.
 *
 * Model: the types of a file are found once; for each program those of its function are cut out
 * and loaded as a BTF object of their own, whose first type is the function. A function has several
 * names where libraries have aliases; its types have one of them.
 */
#include "cli/typed.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/out.h"
#include "core/uapi.h"
#include "probe/probe.h"
#include "surface/surface.h"

#define FILES_MAX 64u

/* a file whose types were looked for */
struct typed_file {
	const char *path;
	struct btf *btf;
};

static struct {
	const struct object *obj;
	u32 edition;
	const struct btf_request *types;
	struct typed_file files[FILES_MAX];
	u32 nfiles;
	int fds[OBJECT_PROGS_MAX]; /* of BTF objects, until all is loaded */
	u32 nfds;
	int err;
} now;

static int refuse(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first reason is what is said; libbpf goes no further. */
static int refuse(int err, const char *fmt, ...)
{
	char text[SPEC_WHY_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!now.err)
		out_error("%s: %s", now.obj->file, text);
	now.err = now.err ? now.err : err;
	return err;
}

/* --- types ----------------------------------------------------------------------------------- */

static const struct attachment *attachment_of(const char *name)
{
	for (u32 i = 0; i < now.obj->nattachments; i++) {
		const struct attachment *a = &now.obj->attachments[i];

		if (a->edition == now.edition && !strcmp(now.obj->progs[a->prog].name, name))
			return a;
	}
	return NULL;
}

static int types_of(const char *name, const char *path, const struct btf **out)
{
	struct typed_file *f;
	char why[BTF_WHY_MAX] = "";
	int err;

	for (u32 i = 0; i < now.nfiles; i++) {
		if (strcmp(now.files[i].path, path))
			continue;
		*out = now.files[i].btf;
		return 0;
	}
	if (now.nfiles == FILES_MAX) /* of that many the last is looked for again */
		btf__free(now.files[--now.nfiles].btf);
	f = &now.files[now.nfiles];
	err = btf_for_binary(now.types, path, &f->btf, why, sizeof(why));
	if (err)
		return refuse(err,
			      "%s needs the types of %s\n  %s\n  without types there is "
			      "SEC(\"uprobe/...\")",
			      name, path, why);
	f->path = path;
	now.nfiles++;
	*out = f->btf;
	return 0;
}

struct alias {
	const struct btf *btf;
	struct btf *slice;
	u64 offset;
	char *name; /* SPEC_TEXT_MAX: the last that was tried */
	int err;
};

static int try_alias(const struct probe_symbol *sym, void *cookie)
{
	struct alias *a = cookie;

	if (sym->offset != a->offset)
		return 0;
	snprintf(a->name, SPEC_TEXT_MAX, "%.*s", (int)strcspn(sym->name, "@"), sym->name);
	a->err = btf_slice(a->btf, a->name, &a->slice);
	return a->err != -ENOENT;
}

int typed_slice_by_alias(const struct btf *btf, struct probe_elf *elf, u64 offset, char *name,
			 struct btf **out)
{
	struct alias a = {.btf = btf, .offset = offset, .name = name, .err = -ENOENT};

	probe_elf_each(elf, try_alias, &a);
	*out = a.slice;
	return a.err;
}

static int slice_by_alias(const struct btf *btf, const struct place *place, char *name,
			  struct btf **out)
{
	struct probe_elf *elf = NULL;
	char why[PROBE_WHY_MAX];
	int err = probe_elf_open(place->path, &elf, why);

	if (err)
		return err;
	err = typed_slice_by_alias(btf, elf, place->offset, name, out);
	probe_elf_free(&elf);
	return err;
}

static int slice_of(const char *name, const struct place *place, struct btf **out)
{
	const struct btf *btf = NULL;
	char func[SPEC_TEXT_MAX];
	int err = types_of(name, place->path, &btf);

	if (err)
		return err;
	snprintf(func, sizeof(func), "%.*s", (int)strcspn(place->name, "@"), place->name);
	err = btf_slice(btf, func, out);
	if (err == -ENOENT)
		err = slice_by_alias(btf, place, func, out);
	if (err == -EEXIST)
		return refuse(err,
			      "%s: %s has several functions called %s, with different types; "
			      "without types there is SEC(\"uprobe/...\")",
			      name, place->path, func);
	if (err == -ENOENT)
		return refuse(
			err,
			"%s: the types of %s don't say what %s takes\n  compile it with -g, "
			"install its -dbgsym package, or pass --btf FILE; without types there "
			"is SEC(\"uprobe/...\")",
			name, place->path, place->name[0] ? place->name : func);
	return err ? refuse(err, "%s: the types of %s: %s", name, func, strerror(-err)) : 0;
}

/* --- libbpf ---------------------------------------------------------------------------------- */

static int load_types(const char *name, const struct place *place, int *fd)
{
	struct btf *slice;
	int err = slice_of(name, place, &slice);

	if (err)
		return err;
	err = btf__load_into_kernel(slice);
	if (err)
		err = refuse(err, "%s: the types of %s were refused: %s", name, place->name,
			     surface_error()[0] ? surface_error() : strerror(-err));
	else
		*fd = dup(btf__fd(slice));
	btf__free(slice);
	return err ? err : *fd < 0 ? -errno : 0;
}

static int prepare(struct bpf_program *prog, struct bpf_prog_load_opts *opts, long cookie)
{
	const char *name = bpf_program__name(prog);
	const struct attachment *a = now.obj ? attachment_of(name) : NULL;
	int fd = -1, err;

	if (!a || now.nfds == ARRAY_SIZE(now.fds))
		return -EINVAL;
	err = load_types(name, &a->place, &fd);
	if (err)
		return err;
	now.fds[now.nfds++] = fd;
	opts->attach_btf_obj_fd = (u32)fd;
	opts->attach_btf_id = 1;
	return 0;
}

int typed_register(void)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = prepare);
	static bool done;
	int err;

	if (done)
		return 0;
	err = libbpf_register_prog_handler("uentry+", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY,
					   &opts);
	if (err >= 0)
		err = libbpf_register_prog_handler("uexit+", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT,
						   &opts);
	done = err >= 0;
	return MIN(err, 0);
}

void typed_begin(const struct object *obj, u32 edition, const struct btf_request *types)
{
	now.obj = obj;
	now.edition = edition;
	now.types = types;
	now.err = 0;
}

int typed_end(void)
{
	for (u32 i = 0; i < now.nfds; i++)
		close(now.fds[i]);
	for (u32 i = 0; i < now.nfiles; i++)
		btf__free(now.files[i].btf);
	now.nfds = now.nfiles = 0;
	now.obj = NULL;
	return now.err;
}

int typed_check(const struct object *obj)
{
	char why[SPEC_WHY_MAX];
	struct spec spec;

	for (u32 i = 0; i < obj->nattachments; i++) {
		const struct attachment *a = &obj->attachments[i];
		const struct object_prog *p = &obj->progs[a->prog];

		if (spec_parse(p->section, &spec, why) ||
		    (spec.typed == a->spec.typed && (!spec.typed || spec.ret == a->spec.ret)))
			continue;
		out_error("%s: %s is made for SEC(\"%s\"), and can't be attached as %s: it would "
			  "take its arguments from where they are not",
			  obj->file, p->name, spec_kind_name(&spec), spec_kind_name(&a->spec));
		return -EINVAL;
	}
	return 0;
}

int typed_slice(const char *name, const struct place *place, const struct object_opts *opts,
		struct btf **out)
{
	_cleanup_free_ struct object *nobody = calloc(1, sizeof(*nobody));
	const char *const env = getenv("EBPFRT_BTF_PATH");
	struct btf_request types = {0};

	if (!nobody)
		return out_error("out of memory"), -ENOMEM;
	nobody->file = "ebpfrt exec";
	edition_ask_for_types(nobody, opts, &env, &types);
	typed_begin(nobody, 0, &types);
	slice_of(name, place, out);
	return typed_end();
}
