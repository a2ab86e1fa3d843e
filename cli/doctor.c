/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt doctor: what works here, what doesn't, and the remedy. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/out.h"
#include "ebpfrt/ebpfrt.h"

static struct {
	int pid;
	struct out_json json;
} config;

static const char *const words[] = {"ok", "warn", "fail"};

static void print_check(const struct ebpfrt_check *check, void *cookie)
{
	static const enum out_color colors[] = {OUT_GOOD, OUT_WARN, OUT_BAD};
	char detail[1024];

	printf("%s%-4s%s  %-18s %s\n", out_color(stdout, colors[check->verdict]),
	       words[check->verdict], out_color(stdout, OUT_PLAIN), check->name,
	       out_clean(check->detail, detail, sizeof(detail)));
	if (check->remedy[0] && check->verdict != EBPFRT_OK)
		printf("      %-18s %s\n", "", check->remedy);
}

static void collect_check(const struct ebpfrt_check *check, void *cookie)
{
	struct json_object *o = json_object_new_object();

	out_add_str(o, "verdict", words[check->verdict]);
	out_add_str(o, "name", check->name);
	out_add_str(o, "detail", check->detail);
	out_add_str(o, "remedy", check->remedy);
	out_push(cookie, o);
}

static int run(const struct args *args)
{
	enum ebpfrt_verdict worst;

	if (args->n)
		return opt_usage_error("doctor", "a process is given with -p PID");
	if (out_json_on(&config.json)) {
		struct json_object *doc = json_object_new_array();

		worst = ebpfrt_doctor(config.pid, collect_check, doc);
		out_json_put(&config.json, doc);
	} else {
		worst = ebpfrt_doctor(config.pid, print_check, NULL);
	}
	return worst == EBPFRT_FAIL ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{'p', "pid", "PID", OPT_PID, offsetof(__typeof__(config), pid),
	 "look at this process, too"},
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_doctor = {
	.name = "doctor",
	.usage = "[-p PID]",
	.summary = "say what works here, what doesn't, and the remedy",
	.details = "Exit status: 0 when everything needed works, 1 when something fails.\n",
	.opts = opts,
	.config = &config,
	.run = run,
};
