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
#include "cli/howto.h"
#include "cli/object.h"
#include "cli/out.h"

static struct {
	int pid;
	struct object_opts object;
	struct out_json json;
} config;

/* How the place would be probed, or why not. True when it can. */
static bool plan_text(struct howto *h, const struct attachment *a, u64 offset, const char *name,
		      char *text, size_t size)
{
	char why[PROBE_WHY_MAX] = "";

	if (a->spec.kind == SPEC_USDT) {
		snprintf(text, size, "by its note");
		return true;
	}
	if (!howto_place(h, offset, name, a->spec.ret || a->spec.session, why)) {
		snprintf(text, size, "refused: %s", why);
		return false;
	}
	howto_rung_text(howto_rung(h, offset), text, size);
	return true;
}

static bool show_place(const struct object *obj, struct howto *h, const struct attachment *a,
		       u64 at, const char *name, struct json_object *doc)
{
	char plan[PROBE_WHY_MAX + 16], offset[32] = "";
	struct json_object *o;
	bool ok = plan_text(h, a, at, name, plan, sizeof(plan));

	if (a->spec.offset || !name[0])
		snprintf(offset, sizeof(offset), "+0x%" PRIx64,
			 a->spec.offset ? a->spec.offset : at);
	if (!doc) {
		printf("%-16s %-10s %s:%s%s  %s\n", obj->progs[a->prog].name,
		       spec_kind_name(&a->spec), a->place.path, name, offset, plan);
		return ok;
	}
	o = json_object_new_object();
	out_add_str(o, "prog", obj->progs[a->prog].name);
	out_add_str(o, "type", spec_kind_name(&a->spec));
	out_add_str(o, "path", a->place.path);
	out_add_str(o, "function", name);
	out_add_u64(o, "offset", at);
	out_add_str(o, "plan", plan);
	out_add_bool(o, "ok", ok);
	out_push(doc, o);
	return ok;
}

/* Of a glob, each function. */
static bool show(const struct object *obj, const struct attachment *a, struct json_object *doc)
{
	char why[PROBE_WHY_MAX] = "";
	struct howto h;
	bool ok = true;

	if (howto_open(&h, a->place.path, why)) {
		out_error("%s", why);
		return false;
	}
	if (a->spec.kind != SPEC_MULTI)
		ok = show_place(obj, &h, a, a->place.offset, a->place.name, doc);
	for (u32 i = 0; i < a->place.npoints; i++)
		ok &= show_place(obj, &h, a, a->place.points[i].offset, a->place.points[i].name,
				 doc);
	howto_close(&h);
	return ok;
}

/* Without a process the executable is nobody's: such programs are shown by their section. */
static void split_unresolvable(struct object *obj, struct json_object *doc)
{
	u32 kept = 0;

	for (u32 i = 0; i < obj->nprogs; i++) {
		struct spec spec;
		char why[SPEC_WHY_MAX], section[256];

		if (!config.pid &&
		    !spec_parse(object_spec(&obj->progs[i], &config.object, 0), &spec, why) &&
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
		err = object_allow_calls(&config.object, &scope);
	if (!err)
		err = object_open(obj, &config.object);
	if (!err)
		err = object_load(obj, &config.object);
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
	int status;

	if (args->n != 1)
		return opt_usage_error("check",
				       args->n ? "one object at a time" : "which object file?");
	status = object_check_usage(&config.object, "check");
	if (status)
		return status;
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
	 "attach program NAME to uprobe:FILE:FUNCTION; may be given again"},
	OBJECT_CALL_OPTS(__typeof__(config), object),
	OBJECT_TYPE_OPTS(__typeof__(config), object),
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
