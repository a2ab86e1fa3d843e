/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt log: bpf_printk lines of all traced processes of this user, in trace_pipe's format. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/out.h"
#include "ebpfrt/ebpfrt.h"

static struct {
	bool follow, json;
} config;

#define QUIET_MS 200

static volatile sig_atomic_t over;

static void on_signal(int sig)
{
	over = 1;
}

static void on_event(const struct ebpfrt_event *ev, void *cookie)
{
	char clean[4096];

	if (ev->type != EBPFRT_EVENT_LOG)
		return;
	if (ev->lost)
		out_warn("%u lines lost, the reader was slow", ev->lost);
	if (config.json)
		out_json_event(stdout, "printk", out_log_line_json(ev->text));
	else
		puts(out_clean(ev->text, clean, sizeof(clean)));
	fflush(stdout);
}

/* Without -f: what is waiting, until nothing came for a moment. */
static int show(void)
{
	struct pollfd p = {.events = POLLIN};

	while (!over) {
		int n;

		p.fd = ebpfrt_event_fd();
		n = p.fd < 0 ? -1 : poll(&p, 1, config.follow ? -1 : QUIET_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			break;
		if (n < 0 || ebpfrt_event_dispatch(on_event, NULL) < 0)
			return out_error("%s", ebpfrt_error());
	}
	return EXIT_SUCCESS;
}

static int run(const struct args *args)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	if (args->n)
		return opt_usage_error("log", "it takes no operands");
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (ebpfrt_log_start(EBPFRT_LOG_ALL))
		return out_error("%s", ebpfrt_error());
	return show();
}

static const struct opt opts[] = {
	{'f', "follow", NULL, OPT_FLAG, offsetof(__typeof__(config), follow),
	 "go on until interrupted"},
	{'j', "json", NULL, OPT_FLAG, offsetof(__typeof__(config), json),
	 "print JSON, one document a line"},
	{0},
};

const struct command cmd_log = {
	.name = "log",
	.usage = "[-f]",
	.summary = "print bpf_printk lines as they come",
	.opts = opts,
	.config = &config,
	.run = run,
};
