/* SPDX-License-Identifier: BSD-2-Clause */
/* ebpfrt link: which program is on which place of which process. */
#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/select.h"
#include "core/uapi.h"
#include "ebpfrt/ebpfrt.h"

static struct {
	struct out_json json;
	int pid;
} config;

static const char *state_name(const struct ebpfrt_link *l)
{
	switch (l->state) {
	case EBPFRT_LINK_PENDING:
		return "pending";
	case EBPFRT_LINK_ATTACHED:
		return "attached";
	case EBPFRT_LINK_FAILED:
		return "failed";
	}
	return "?";
}

static bool is_typed(uint32_t prog_id)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(prog_id);
	struct bpf_prog_info info = {0};
	u32 len = sizeof(info);

	return fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) &&
	       info.type == BPF_PROG_TYPE_TRACING;
}

static const char *event_of(const struct ebpfrt_link *l)
{
	if (is_typed(l->prog_id))
		return l->is_session ? "uexit" : "uentry";
	return l->is_session ? "uprobe session" : l->is_return ? "uretprobe" : "uprobe";
}

/* The kernel's word for the kind of link. */
static const char *type_of(uint32_t id)
{
	_cleanup_close_ int fd = bpf_link_get_fd_by_id(id);
	struct bpf_link_info info = {0};
	u32 len = sizeof(info);

	if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) &&
	    info.type == EBPFRT_BPF_LINK_TYPE_UPROBE_MULTI)
		return "uprobe_multi";
	return "perf_event";
}

/* With -v: what stands at each place of the link in that process. */
static void print_sites(const struct ebpfrt_link *l)
{
	_cleanup_free_ struct ebpfrt_site *v = NULL;
	size_t n = 0;

	if (!common.verbose || ebpfrt_sites(l->id, l->pid, &v, &n))
		return;
	for (size_t i = 0; i < n; i++)
		printf("\t\t0x%" PRIx64 "  %s%s%s%s%s%s\n", v[i].addr, v[i].is_jump ? "jump (" : "",
		       v[i].rung, v[i].is_jump ? ")" : "", v[i].is_leaf ? ", a leaf" : "",
		       v[i].reason ? ": " : "", v[i].reason ? v[i].reason : "");
}

static struct json_object *site_json(const struct ebpfrt_site *s)
{
	struct json_object *o = json_object_new_object();

	out_add_u64(o, "addr", s->addr);
	out_add_u64(o, "offset", s->offset);
	out_add_str(o, "rung", s->rung);
	if (s->reason)
		out_add_str(o, "reason", s->reason);
	if (s->is_jump)
		out_add_bool(o, "leaf", s->is_leaf);
	return o;
}

static void add_sites(struct json_object *o, const struct ebpfrt_link *l)
{
	struct json_object *all = json_object_new_array();
	_cleanup_free_ struct ebpfrt_site *v = NULL;
	size_t n = 0, jumps = 0;

	if (ebpfrt_sites(l->id, l->pid, &v, &n))
		n = 0;
	for (size_t i = 0; i < n; i++) {
		jumps += !!v[i].is_jump;
		out_push(all, site_json(&v[i]));
	}
	out_add_u64(o, "jumps", jumps);
	out_add(o, "sites", all);
}

static struct json_object *target_json(const struct ebpfrt_link *l)
{
	struct json_object *o = json_object_new_object();
	char text[512];

	out_add_s64(o, "pid", l->pid);
	out_add_str(o, "state", state_name(l));
	if (l->state == EBPFRT_LINK_FAILED)
		out_add_str(o, "error", strerror(-l->err));
	if (l->reason[0])
		out_add_str(o, "reason", out_clean(l->reason, text, sizeof(text)));
	out_add_u64(o, "addr", l->addr);
	out_add_u64(o, "places", l->places);
	out_add_u64(o, "missing", l->missing);
	out_add_u64(o, "hits", l->hits);
	out_add_u64(o, "missed", l->missed);
	out_add_u64(o, "aborted", l->aborted);
	out_add_u64(o, "left", l->left);
	if (common.verbose)
		add_sites(o, l);
	return o;
}

/* What was counted where the link is no longer; in processes that have ended, say. */
static struct json_object *past_json(const struct ebpfrt_link *l)
{
	struct json_object *o = json_object_new_object();

	out_add_u64(o, "hits", l->hits);
	out_add_u64(o, "missed", l->missed);
	out_add_u64(o, "aborted", l->aborted);
	out_add_u64(o, "left", l->left);
	return o;
}

static bool has_counted(const struct ebpfrt_link *l)
{
	return l->hits || l->missed || l->aborted || l->left;
}

/* Rows of one link, @n of them: what they share, then each target. */
static struct json_object *link_json(const struct ebpfrt_link *l, size_t n)
{
	struct json_object *o = json_object_new_object(), *targets = json_object_new_array();
	char text[1024];

	out_add_u64(o, "id", l->id);
	out_add_str(o, "type", type_of(l->id));
	out_add_u64(o, "prog_id", l->prog_id);
	out_add_str(o, "prog_name", out_clean(l->prog_name, text, sizeof(text)));
	out_add_str(o, "event", event_of(l));
	out_add_bool(o, "retprobe", l->is_return);
	out_add_str(o, "path", out_clean(l->path, text, sizeof(text)));
	out_add_str(o, "symbol", out_clean(l->symbol, text, sizeof(text)));
	out_add_u64(o, "offset", l->offset);
	if (l->cookie)
		out_add_u64(o, "cookie", l->cookie);
	for (size_t i = 0; i < n; i++) {
		if (l[i].pid)
			out_push(targets, target_json(&l[i]));
		else if (has_counted(&l[i]))
			out_add(o, "past", past_json(&l[i]));
	}
	out_add(o, "targets", targets);
	return o;
}

/* A link of many functions says of how many, and why not of all. */
static void print_state(const struct ebpfrt_link *l)
{
	char text[512];

	printf("\tpid %d  %s", l->pid, state_name(l));
	if (l->places > 1 || l->missing)
		printf(", %u place%s", l->places, l->places == 1 ? "" : "s");
	if (l->missing)
		printf(", %u left out", l->missing);
	if (l->reason[0])
		printf(": %s", out_clean(l->reason, text, sizeof(text)));
}

static void link_print(const struct ebpfrt_link *l, size_t n)
{
	char text[1024];

	printf("%u: %s  prog %u", l->id, type_of(l->id), l->prog_id);
	printf("  name %s\n", out_clean(l->prog_name, text, sizeof(text)));
	printf("\t%s %s", event_of(l), out_clean(l->path, text, sizeof(text)));
	printf(":%s  offset 0x%" PRIx64 "\n",
	       l->symbol[0] ? out_clean(l->symbol, text, sizeof(text)) : "?", l->offset);
	for (size_t i = 0; i < n; i++) {
		if (!l[i].pid && !has_counted(&l[i]))
			continue;
		if (l[i].pid)
			print_state(&l[i]);
		else
			printf("\tprocesses that it has left");
		printf("  hits %" PRIu64 "  missed %" PRIu64 "  aborted %" PRIu64 "\n", l[i].hits,
		       l[i].missed, l[i].aborted);
		if (l[i].left)
			printf("\t\t%" PRIu64 " calls ended without a return\n", l[i].left);
		if (l[i].pid)
			print_sites(&l[i]);
	}
}

static int show_links(uint32_t id)
{
	_cleanup_free_ struct ebpfrt_link *rows = NULL;
	struct json_object *doc = out_json_on(&config.json) ? json_object_new_array() : NULL;
	size_t n = 0;

	if (ebpfrt_links(id, config.pid, &rows, &n))
		return out_error("%s", ebpfrt_error());
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && rows[k].id == rows[i].id; k++)
			;
		if (doc)
			out_push(doc, link_json(&rows[i], k - i));
		else
			link_print(&rows[i], k - i);
	}
	if (doc)
		out_json_put(&config.json, doc);
	return EXIT_SUCCESS;
}

static int id_of(char **words, int n, uint32_t *id)
{
	_cleanup_close_ int fd = select_object(SELECT_LINK, words, n);
	struct bpf_link_info info = {0};
	u32 len = sizeof(info);

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return out_error("cannot read the link: %s", strerror(errno)), -errno;
	*id = info.id;
	return 0;
}

static int show(char **words, int n)
{
	uint32_t id = 0;

	if (n && id_of(words, n, &id))
		return EXIT_FAILURE;
	return show_links(id);
}

static int detach(char **words, int n)
{
	uint32_t id, sites;

	if (id_of(words, n, &id))
		return EXIT_FAILURE;
	if (ebpfrt_link_detach(id, &sites))
		return out_error("%s", ebpfrt_error());
	out_note("link %u: detached, %u site%s restored", id, sites, sites == 1 ? "" : "s");
	return EXIT_SUCCESS;
}

static int run(const struct args *args)
{
	static const struct verb verbs[] = {
		{"show", show}, {"list", show}, {"detach", detach}, {0}};

	return select_verb("link", verbs, args->v, args->n);
}

static const struct opt opts[] = {
	{'p', "pid", "PID", OPT_PID, offsetof(__typeof__(config), pid), "only in this process"},
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_link = {
	.name = "link",
	.usage = "{show|list} [LINK]\ndetach LINK",
	.summary = "show which program is attached where, with its hits",
	.details = "LINK is id N or pinned FILE.\n",
	.opts = opts,
	.config = &config,
	.run = run,
};
