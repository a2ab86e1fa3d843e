/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrt list: what can be probed in a file, or in all files of a process, each in the words that
 * attach takes; with -v how, or why not.
 *
 * Model: a function is listed once by each of its names. What is said of it is what the daemon
 * would say (howto.h); USDT probes are read from their notes. What stands in a process already the
 * daemon and the process's memory say.
 */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/howto.h"
#include "cli/out.h"
#include "cli/spec.h"
#include "ebpfrt/ebpfrt.h"

static struct {
	int pid;
	struct out_json json;
} config;

/* What is probed in the process. */
static struct ebpfrt_site *sites;
static size_t nsites;

struct listing {
	const char *path, *glob;
	struct osl_ident file;
	struct howto how;
	struct json_object *doc; /* NULL: text */
	u64 found, refused;
};

/* --- one line -------------------------------------------------------------------------------- */

struct entry {
	const char *kind; /* uprobe, usdt */
	char name[SPEC_TEXT_MAX * 2];
	u64 offset, size;
	bool ok, ret_ok; /* the entry can be probed, the return can */
	char why[PROBE_WHY_MAX], ret_why[PROBE_WHY_MAX];
	char note[SPEC_TEXT_MAX]; /* what else is to be known */
	u32 rung;
};

static const struct ebpfrt_site *site_at(const struct listing *l, u64 offset)
{
	for (size_t i = 0; i < nsites; i++)
		if (sites[i].offset == offset && sites[i].ino == l->file.ino &&
		    sites[i].dev == l->file.dev)
			return &sites[i];
	return NULL;
}

static void put_rung_json(struct json_object *o, const struct listing *l, const struct entry *e)
{
	const struct ebpfrt_site *s = site_at(l, e->offset);

	out_add_str(o, "rung", probe_rung_name(e->rung));
	if (probe_rung_why(e->rung))
		out_add_str(o, "rung_reason", probe_rung_why(e->rung));
	if (s)
		out_add_str(o, "probed", s->rung);
	if (s && s->reason)
		out_add_str(o, "probed_reason", s->reason);
}

static void put_rung(const struct listing *l, const struct entry *e)
{
	const struct ebpfrt_site *s = site_at(l, e->offset);
	char text[SPEC_TEXT_MAX];

	howto_rung_text(e->rung, text, sizeof(text));
	printf("%s", text);
	if (!s)
		return;
	if (s->is_jump)
		printf(", probed by a jump (%s)", s->rung);
	else
		printf(", probed%s%s%s%s", s->rung[0] ? " by a " : "", s->rung,
		       s->reason ? ": " : "", s->reason ? s->reason : "");
}

static void put_json(const struct listing *l, const struct entry *e)
{
	struct json_object *o = json_object_new_object();
	char probe[PATH_MAX + 600];

	snprintf(probe, sizeof(probe), "%s:%s:%s", e->kind, l->path, e->name);
	out_add_str(o, "probe", probe);
	out_add_str(o, "type", e->kind);
	out_add_str(o, "path", l->path);
	out_add_str(o, "name", e->name);
	out_add_u64(o, "offset", e->offset);
	if (e->size)
		out_add_u64(o, "size", e->size);
	out_add_bool(o, "ok", e->ok);
	out_add_bool(o, "return_ok", e->ret_ok);
	if (!e->ok)
		out_add_str(o, "reason", e->why);
	else if (!e->ret_ok && e->ret_why[0])
		out_add_str(o, "return_reason", e->ret_why);
	if (e->note[0])
		out_add_str(o, "note", e->note);
	if (e->ok)
		put_rung_json(o, l, e);
	out_push(l->doc, o);
}

static void put_text(const struct listing *l, const struct entry *e)
{
	char clean[SPEC_TEXT_MAX * 3], size[32] = "";

	printf("%s:%s:%s", e->kind, l->path, out_clean(e->name, clean, sizeof(clean)));
	if (common.verbose) {
		if (e->size)
			snprintf(size, sizeof(size), "%" PRIu64 " bytes, ", e->size);
		printf("  %s", size);
		if (e->ok)
			put_rung(l, e);
		else
			printf("refused: %s", e->why);
		if (e->note[0])
			printf(", %s", out_clean(e->note, clean, sizeof(clean)));
		if (e->ok && e->ret_why[0])
			printf("; %s", e->ret_why);
	}
	printf("\n");
}

static void put(struct listing *l, struct entry *e)
{
	if (e->ok && (common.verbose || l->doc))
		e->rung = howto_rung(&l->how, e->offset);
	l->found++;
	l->refused += !e->ok;
	if (l->doc)
		put_json(l, e);
	else
		put_text(l, e);
}

/* --- functions and notes --------------------------------------------------------------------- */

static void describe_ifunc(const struct listing *l, const struct probe_symbol *sym, struct entry *e)
{
	struct probe_symbol chosen;
	struct spec_scope scope = {0};
	struct spec spec = {.kind = SPEC_UPROBE};
	struct place place = {0};
	char why[SPEC_WHY_MAX];

	snprintf(spec.path, sizeof(spec.path), "%s", l->path);
	snprintf(spec.func, sizeof(spec.func), "%s", sym->name);
	if (spec_resolve(&spec, &scope, &place, why)) {
		e->ok = e->ret_ok = false;
		snprintf(e->why, sizeof(e->why),
			 "an IFUNC, whose implementation the loader chooses; name that one");
		return;
	}
	e->offset = place.offset;
	if (!probe_elf_symbol_at(l->how.elf, e->offset, &chosen) && chosen.offset == e->offset)
		snprintf(e->note, sizeof(e->note), "an IFUNC: here %s", chosen.name);
	else
		snprintf(e->note, sizeof(e->note), "an IFUNC: here the code at 0x%" PRIx64,
			 e->offset);
}

static int list_function(const struct probe_symbol *sym, void *cookie)
{
	struct listing *l = cookie;
	struct entry e = {.kind = "uprobe", .offset = sym->offset, .size = sym->size, .ok = true};

	if (fnmatch(l->glob, sym->name, 0))
		return 0;
	snprintf(e.name, sizeof(e.name), "%s", sym->name);
	e.ret_ok = true;
	if (sym->ifunc)
		describe_ifunc(l, sym, &e);
	if (e.ok)
		e.ok = howto_place(&l->how, e.offset, sym->name, false, e.why);
	e.ret_ok = e.ok && !probe_ret_refused(l->how.elf, sym->name, e.ret_why);
	put(l, &e);
	return 0;
}

static int list_usdt(const struct probe_usdt *u, void *cookie)
{
	struct listing *l = cookie;
	struct entry e = {.kind = "usdt", .offset = u->offset};

	snprintf(e.name, sizeof(e.name), "%s:%s", u->provider, u->name);
	if (fnmatch(l->glob, e.name, 0) && fnmatch(l->glob, u->name, 0))
		return 0;
	e.ok = howto_place(&l->how, u->offset, u->name, false, e.why);
	snprintf(e.note, sizeof(e.note), "arguments: %s%s", u->args[0] ? u->args : "none",
		 u->semaphore ? ", with a counter of who looks" : "");
	put(l, &e);
	return 0;
}

static int list_file(const char *path, const char *glob, const struct probe_maps *maps,
		     struct json_object *doc, u64 *found)
{
	struct listing l = {.path = path, .glob = glob, .doc = doc};
	char why[PROBE_WHY_MAX] = "";
	int err = howto_open(&l.how, path, why);

	if (err)
		return out_error("%s", why);
	l.how.maps = maps;
	osl_ident(l.how.fd, &l.file);
	err = probe_elf_each(l.how.elf, list_function, &l);
	if (!err)
		err = probe_elf_each_usdt(l.how.elf, list_usdt, &l);
	if (err)
		out_error("%s: %s", path, strerror(-err));
	else if (common.verbose && !doc)
		out_note("%s: %" PRIu64 " probes, %" PRIu64 " refused", path, l.found, l.refused);
	*found += l.found;
	howto_close(&l.how);
	return err ? EXIT_FAILURE : 0;
}

/* 0, or 1 with a sentence said. */
static int know_process(int pid, struct probe_maps *maps)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX] = "";
	int err = probe_process_read(pid, &p, why);

	if (err)
		return out_error("%s", why);
	err = probe_maps_read(pid, maps);
	if (err)
		return out_error("the mappings of process %d can't be read: %s", pid,
				 strerror(-err));
	free(sites);
	sites = NULL;
	nsites = 0;
	/* without a daemon nothing is probed there */
	if (common.verbose || out_json_on(&config.json))
		ebpfrt_sites(0, pid, &sites, &nsites);
	return 0;
}

/* Code in memory has no file that could be probed; the agent's is there, too. */
static bool is_memory(const char *path)
{
	static const char memfd[] = "/memfd:", ours[] = "/memfd:ebpfrt-";

	if (strncmp(path, memfd, sizeof(memfd) - 1) != 0)
		return false;
	if (strncmp(path, ours, sizeof(ours) - 1) != 0)
		out_note("%s is memory, no file: code there can't be probed", path);
	return true;
}

/* Each file that the process executes code of, once. */
static int list_process(int pid, const char *glob, struct json_object *doc, u64 *found)
{
	struct probe_maps maps = {0};
	const char *last = "";
	int status = know_process(pid, &maps);

	if (status)
		return status;
	for (size_t i = 0; i < maps.n; i++) {
		const struct probe_mapping *m = &maps.v[i];
		char path[PATH_MAX], say[SPEC_WHY_MAX];

		if (!(m->prot & PROT_EXEC) || m->path[0] != '/' || !strcmp(m->path, last))
			continue;
		last = m->path;
		if (is_memory(m->path))
			continue;
		if (spec_reach(m, pid, path, say))
			status = out_error("%s", say);
		else if (list_file(path, glob, &maps, doc, found))
			status = EXIT_FAILURE;
	}
	probe_maps_free(&maps);
	return status;
}

/* --- the command ----------------------------------------------------------------------------- */

/* FILE, FILE:GLOB, :GLOB, PID or PID:GLOB. */
static int list_operand(const char *text, struct json_object *doc, u64 *found)
{
	const char *colon = strchr(text, ':');
	const char *glob = colon ? colon + 1 : "*";
	struct spec_scope scope = {.pid = config.pid};
	char name[PATH_MAX], path[PATH_MAX], why[SPEC_WHY_MAX] = "";
	struct probe_maps maps = {0};
	int status;

	snprintf(name, sizeof(name), "%.*s", (int)(colon ? colon - text : (long)strlen(text)),
		 text);
	if (opt_pid(name) && access(name, F_OK))
		return list_process(opt_pid(name), glob, doc, found);
	if (config.pid && know_process(config.pid, &maps))
		return EXIT_FAILURE;
	if (spec_find_file(name, &scope, path, why)) {
		probe_maps_free(&maps);
		return out_error("%s", why);
	}
	status = list_file(path, glob, config.pid ? &maps : NULL, doc, found);
	probe_maps_free(&maps);
	return status;
}

static int run(const struct args *args)
{
	struct json_object *doc = out_json_on(&config.json) ? json_object_new_array() : NULL;
	u64 found = 0;
	int status = 0;

	if (!args->n && !config.pid)
		return opt_usage_error("list", "of which file or process?");
	if (!args->n)
		status = list_process(config.pid, "*", doc, &found);
	for (int i = 0; i < args->n; i++)
		status |= list_operand(args->v[i], doc, &found);
	if (doc)
		out_json_put(&config.json, doc);
	if (!status && !found)
		return out_error("nothing there can be probed by that name; without :GLOB it "
				 "lists everything");
	return status ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const struct opt opts[] = {
	{'p', "pid", "PID", OPT_PID, offsetof(__typeof__(config), pid),
	 "files as this process maps them; alone: all its files"},
	OUT_JSON_OPTS(__typeof__(config), json),
	{0},
};

const struct command cmd_list = {
	.name = "list",
	.usage = "[-v] [-p PID] FILE[:GLOB]...\n[-v] PID[:GLOB]",
	.summary = "list what can be probed; with -v how, or why not",
	.opts = opts,
	.config = &config,
	.run = run,
};
