/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrt typed-function: where the function of a typed program's section is, and its types, for a
 * libbpf program under `ebpfrt exec` (surface/typed.h). Not for people.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>

#include "cli/commands.h"
#include "cli/out.h"
#include "cli/typed.h"
#include "surface/typed.h"

static struct {
	const char *targets;
	struct object_opts object;
} config;

static int answer(const struct place *place, struct btf *types)
{
	struct typed_answer a = {.magic = TYPED_MAGIC, .offset = place->offset};
	const void *raw = btf__raw_data(types, &a.size);

	snprintf(a.path, sizeof(a.path), "%s", place->path);
	if (!raw)
		return out_error("out of memory");
	fwrite(&a, sizeof(a), 1, stdout);
	fwrite(raw, a.size, 1, stdout);
	return EXIT_SUCCESS;
}

static int run(const struct args *args)
{
	const struct spec_scope scope = {.pid = config.targets ? atoi(config.targets) : 0};
	char why[SPEC_WHY_MAX] = "";
	struct place place = {0};
	struct btf *types = NULL;
	struct spec spec;
	int status;

	if (args->n != 1)
		return opt_usage_error(TYPED_COMMAND, "which section?");
	if (spec_parse(args->v[0], &spec, why))
		return out_error("%s", why);
	if (!spec.typed || spec.kind != SPEC_UPROBE)
		return out_error(
			"SEC(\"%s\") names no function: write SEC(\"uentry/FILE:FUNCTION\") "
			"or SEC(\"uexit/FILE:FUNCTION\")",
			args->v[0]);
	if (spec_resolve(&spec, &scope, &place, why))
		return out_error("SEC(\"%s\"): %s", args->v[0], why);
	status = typed_slice(args->v[0], &place, &config.object, &types) ? EXIT_FAILURE
									 : answer(&place, types);
	btf__free(types);
	place_deinit(&place);
	return status;
}

static const struct opt opts[] = {
	{0, "targets", "PIDS", OPT_STRING, offsetof(__typeof__(config), targets),
	 "processes that are probed, the first of which has the file"},
	{0},
};

const struct command cmd_typed = {
	.name = TYPED_COMMAND,
	.usage = "SECTION",
	.summary = "for programs under exec: where a typed program's function is, and its types",
	.opts = opts,
	.config = &config,
	.run = run,
	.flags = OPT_HIDDEN,
};
