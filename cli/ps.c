/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt ps: the processes that are traced, and by what. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "ebpfrt/ebpfrt.h"

static struct {
	struct out_json json;
} config;

static const char *how(const struct ebpfrt_target *t)
{
	switch (t->how) {
	case EBPFRT_PRELOADED:
		return "preload";
	case EBPFRT_INJECTED:
		return "ptrace";
	case EBPFRT_FORKED:
		return "fork";
	default:
		return "?";
	}
}

static struct json_object *target_json(const struct ebpfrt_target *t)
{
	struct json_object *o = json_object_new_object();
	char comm[80];

	out_add_s64(o, "pid", t->pid);
	out_add_str(o, "comm", out_clean(t->comm, comm, sizeof(comm)));
	out_add_str(o, "how", how(t));
	out_add_u64(o, "stops", t->stops);
	out_add_u64(o, "stopped_ns", t->stopped_ns);
	out_add_u64(o, "longest_stop_ns", t->longest_ns);
	out_add_u64(o, "sessions", t->sessions);
	out_add_u64(o, "links", t->links);
	out_add_u64(o, "sites", t->sites);
	out_add_u64(o, "jumps", t->jumps);
	out_add_u64(o, "hits", t->hits);
	out_add_u64(o, "missed", t->missed);
	out_add_u64(o, "aborted", t->aborted);
	out_add_u64(o, "left", t->left);
	out_add_u64(o, "foreign", t->foreign);
	out_add_u64(o, "dropped", t->dropped);
	out_add_bool(o, "inert", t->inert);
	return o;
}

static void print_table(const struct ebpfrt_target *rows, size_t n)
{
	static const char *const head[] = {"PID",   "COMMAND", "AGENT", "LINKS",
					   "SITES", "HITS",    "LOST"};
	struct out_table t;
	char comm[80];

	out_table_init(&t, ARRAY_SIZE(head), 0x79);
	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		out_cell(&t, "%s", head[i]);
	for (size_t i = 0; i < n; i++) {
		out_cell(&t, "%d", rows[i].pid);
		out_cell(&t, "%s", out_clean(rows[i].comm, comm, sizeof(comm)));
		out_cell(&t, "%s%s", how(&rows[i]), rows[i].inert ? " (inert)" : "");
		out_cell(&t, "%u", rows[i].links);
		out_cell(&t, "%u", rows[i].sites);
		out_cell(&t, "%" PRIu64, rows[i].hits);
		out_cell(&t, "%" PRIu64, rows[i].missed + rows[i].aborted + rows[i].dropped);
	}
	out_table_print(&t);
}

static int run(const struct args *args)
{
	_cleanup_free_ struct ebpfrt_target *rows = NULL;
	struct json_object *doc;
	size_t n = 0;

	if (args->n)
		return opt_usage_error("ps", "it takes no operands");
	if (ebpfrt_targets(&rows, &n))
		return out_error("%s", ebpfrt_error());
	if (!out_json_on(&config.json)) {
		print_table(rows, n);
		return EXIT_SUCCESS;
	}
	doc = json_object_new_array();
	for (size_t i = 0; i < n; i++)
		out_push(doc, target_json(&rows[i]));
	out_json_put(&config.json, doc);
	return EXIT_SUCCESS;
}

static const struct opt opts[] = {
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_ps = {
	.name = "ps",
	.usage = "[--json]",
	.summary = "list the traced processes",
	.opts = opts,
	.config = &config,
	.run = run,
};
