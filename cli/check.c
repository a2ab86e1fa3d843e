/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrt check: open, relocate, load, and say what would be attached. Touches no process: without
 * -p, libraries are looked for where the loader would, and a program for "the target's executable"
 * stays unresolved without being refused.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/object.h"
#include "cli/out.h"
#include "probe/probe.h"

static struct {
	int pid;
	struct object_opts object;
	struct out_json json;
} config;

static void free_elf(struct probe_elf **elf)
{
	probe_elf_free(elf);
}

/* How the place would be probed, from the bytes in its file: "trap", or why not. True when it can.
 */
static bool plan_text(const struct attachment *a, char *text, size_t size)
{
	_cleanup_(free_elf) struct probe_elf *elf = NULL;
	_cleanup_fclose_ FILE *f = fopen(a->place.path, "re");
	char why[PROBE_WHY_MAX] = "";
	struct arch_patch patch;
	u8 code[64];
	size_t n;

	if (a->spec.kind == SPEC_USDT) {
		snprintf(text, size, "by its note");
		return true;
	}
	if (!f || fseek(f, (long)a->place.offset, SEEK_SET) ||
	    probe_elf_open(a->place.path, &elf, why)) {
		snprintf(text, size, "%s", why[0] ? why : strerror(errno));
		return false;
	}
	n = fread(code, 1, sizeof(code), f);
	if (probe_plan(elf, a->place.offset, probe_elf_offset_to_addr(elf, a->place.offset), code,
		       n, &patch, why)) {
		snprintf(text, size, "refused: %s", why);
		return false;
	}
	snprintf(text, size, "trap");
	return true;
}

static bool show(const struct object *obj, const struct attachment *a, struct json_object *doc)
{
	char plan[PROBE_WHY_MAX + 16];
	struct json_object *o;
	bool ok = plan_text(a, plan, sizeof(plan));
	char offset[32] = "";

	if (a->spec.offset || !a->place.name[0])
		snprintf(offset, sizeof(offset), "+0x%" PRIx64,
			 a->spec.offset ? a->spec.offset : a->place.offset);
	if (!doc) {
		printf("%-16s %-10s %s:%s%s  %s\n", obj->progs[a->prog].name,
		       spec_kind_name(&a->spec), a->place.path, a->place.name, offset, plan);
		return ok;
	}
	o = json_object_new_object();
	out_add_str(o, "prog", obj->progs[a->prog].name);
	out_add_str(o, "type", spec_kind_name(&a->spec));
	out_add_str(o, "path", a->place.path);
	out_add_str(o, "function", a->place.name);
	out_add_u64(o, "offset", a->place.offset);
	out_add_str(o, "plan", plan);
	out_add_bool(o, "ok", ok);
	out_push(doc, o);
	return ok;
}

/* Without a process the executable is nobody's: such programs are shown by their section. */
static void split_unresolvable(struct object *obj, struct json_object *doc)
{
	u32 kept = 0;

	for (u32 i = 0; i < obj->nprogs; i++) {
		struct spec spec;
		char why[SPEC_WHY_MAX], section[256];

		if (!config.pid && !spec_parse(obj->progs[i].section, &spec, why) &&
		    spec.kind != SPEC_OTHER && spec.kind != SPEC_NONE &&
		    !strcmp(spec.path, "/proc/self/exe")) {
			if (!doc)
				printf("%-16s %-10s %s  known with -p PID\n", obj->progs[i].name,
				       spec_kind_name(&spec),
				       out_clean(obj->progs[i].section, section, sizeof(section)));
			continue;
		}
		obj->progs[kept++] = obj->progs[i];
	}
	obj->nprogs = kept;
}

static int check(struct object *obj)
{
	struct spec_scope scope = {.pid = config.pid};
	struct json_object *doc = out_json_on(&config.json) ? json_object_new_array() : NULL;
	bool ok = true;
	int err = 0;

	err = object_check_options(&obj, 1, &config.object);
	if (!err)
		split_unresolvable(obj, doc);
	if (!err && obj->nprogs)
		err = object_resolve(obj, &config.object, &scope, 1);
	if (!err)
		err = object_open(obj, &config.object);
	if (!err)
		err = object_load(obj);
	for (u32 i = 0; !err && i < obj->nattachments; i++)
		ok &= show(obj, &obj->attachments[i], doc);
	if (doc && !err)
		out_json_put(&config.json, doc);
	if (!err && !ok)
		return out_error("%s: some of its probes are refused", obj->file);
	if (!err && !doc)
		out_note("%s is fine", obj->file);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check_process(void)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX] = "";

	return probe_process_read(config.pid, &p, why) ? out_error("%s", why) : 0;
}

static int run(const struct args *args)
{
	_cleanup_(object_free) struct object *obj = NULL;

	if (args->n != 1)
		return opt_usage_error("check",
				       args->n ? "one object at a time" : "which object file?");
	if (config.pid && check_process())
		return EXIT_FAILURE;
	if (object_inspect(args->v[0], &obj))
		return EXIT_FAILURE;
	obj->show_log = true;
	return check(obj);
}

static const struct opt opts[] = {
	{'p', "pid", "PID", OPT_PID, offsetof(__typeof__(config), pid),
	 "resolve libraries as this process maps them"},
	{0, "prog", "NAME=SPEC", OPT_LIST, offsetof(__typeof__(config), object.progs),
	 "attach program NAME to uprobe:FILE:FUNCTION"},
	{0, "btf", "FILE", OPT_STRING, offsetof(__typeof__(config), object.btf),
	 "types of the target: BTF, or a binary that holds it"},
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_check = {
	.name = "check",
	.usage = "[OPTIONS] FILE.o",
	.summary = "relocate and verify an object, say what it would be attached to",
	.opts = opts,
	.config = &config,
	.run = run,
};
