/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrt trace: a line for each call of some functions, with its arguments and what it returned as
 * their types say.
 *
 * Model: one object, built in, whose programs are told by a plan what to copy of a call
 * (trace.bpf.h); the plans are made from the types that the target's binaries have (tracefunc.c),
 * which read the records again (traceshow.c). The rest is a session like that of attach and run:
 * with processes results go to standard output, with a command to standard error.
 *
 * A call is shown when it returns, for only then is everything known: until then its entry is kept.
 * What has not returned in the end is shown as unfinished.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/guard.h"
#include "cli/launch.h"
#include "cli/out.h"
#include "cli/session.h"
#include "cli/targets.h"
#include "cli/tracecalls.h"
#include "cli/tracefunc.h"
#include "ebpfrt/ebpfrt.h"

/* the object, as bytes */
static const u8 image[] __attribute__((aligned(8))) = {
#include "cli/trace_image.inc"
};

#define RING_SIZE (16u << 20)
#define STRING_DEFAULT 64u

static struct {
	struct targets targets;
	struct object_opts object;
	u64 duration;
	const char *output;
	u32 string, deref, count;
	bool json, types;
} config = {.string = STRING_DEFAULT};

/* --- what is traced -------------------------------------------------------------------------- */

/* "p:FUNCTION", a word and a function of the executable; false: the word is none. */
static bool parse_short(const char *text, const char *colon, struct spec *spec)
{
	char full[2 * SPEC_TEXT_MAX], why[SPEC_WHY_MAX];

	if (strchr(colon + 1, ':') || memchr(text, '/', (size_t)(colon - text)) ||
	    strlen(text) >= SPEC_TEXT_MAX)
		return false;
	snprintf(full, sizeof(full), "%.*s::%s", (int)(colon - text), text, colon + 1);
	return !spec_parse(full, spec, why) && spec->kind != SPEC_OTHER;
}

/*
 * As bcc, bpftrace and libbpf write it; FILE:FUNCTION alone is the call from its entry to its
 * return, and FUNCTION alone one of the executable's.
 */
static int parse(const char *text, struct spec *spec)
{
	char why[SPEC_WHY_MAX] = "", full[PATH_MAX + SPEC_TEXT_MAX];
	const char *colon = strchr(text, ':');
	int err = 0;

	if (!colon || !parse_short(text, colon, spec))
		err = spec_parse(text, spec, why);
	if (err || spec->kind == SPEC_OTHER || spec->kind == SPEC_NONE) {
		snprintf(full, sizeof(full), "uprobe:%s%s", colon ? "" : ":", text);
		err = spec_parse(full, spec, why);
		spec->session = true;
	}
	if (err)
		return out_error("%s", why), err;
	if (spec->kind == SPEC_USDT || spec->typed || spec->offset)
		return out_error("'%s': what is traced are calls of functions; write FILE:FUNCTION",
				 text),
		       -EINVAL;
	if (strpbrk(spec->func, "*?["))
		spec->kind = SPEC_MULTI;
	return 0;
}

/* One function is a glob that matches one. */
static int as_points(struct place *place)
{
	if (place->npoints)
		return 0;
	place->points = calloc(1, sizeof(*place->points));
	if (!place->points)
		return -ENOMEM;
	place->points[0] = (struct point){.offset = place->offset, .name = strdup(place->name)};
	place->npoints = 1;
	place->offset = 0;
	return place->points[0].name ? 0 : -ENOMEM;
}

static u32 program_of(const struct object *obj, const struct spec *spec)
{
	const char *name = spec->session ? "both" : spec->ret ? "returns" : "entries";

	for (u32 i = 0; i < obj->nprogs; i++)
		if (!strcmp(obj->progs[i].name, name))
			return i;
	return 0;
}

/* Is the function traced in the same way already? */
static bool is_known(const struct object *obj, u32 prog, const struct place *place, u64 offset)
{
	for (u32 i = 0; i < obj->nattachments; i++) {
		const struct attachment *a = &obj->attachments[i];

		if (a->prog != prog || a->place.dev != place->dev || a->place.ino != place->ino)
			continue;
		for (u32 k = 0; k < a->place.npoints; k++)
			if (a->place.points[k].offset == offset)
				return true;
	}
	return false;
}

static void drop_known(const struct object *obj, u32 prog, struct place *place)
{
	u32 n = 0;

	for (u32 i = 0; i < place->npoints; i++) {
		if (is_known(obj, prog, place, place->points[i].offset))
			free(place->points[i].name);
		else
			place->points[n++] = place->points[i];
	}
	place->npoints = n;
}

/* All functions of a file that one program goes to are one attachment: it is made at once. */
static struct attachment *companion(const struct object *obj, u32 prog, const struct place *place)
{
	for (u32 i = 0; i < obj->nattachments; i++) {
		struct attachment *a = &obj->attachments[i];

		if (a->prog == prog && a->place.dev == place->dev && a->place.ino == place->ino)
			return a;
	}
	return NULL;
}

static int join(struct place *to, struct place *from)
{
	const size_t at = strlen(to->name);
	struct point *v = realloc(to->points, (to->npoints + from->npoints) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	to->points = v;
	memcpy(v + to->npoints, from->points, from->npoints * sizeof(*v));
	to->npoints += from->npoints;
	from->npoints = 0;
	snprintf(to->name + at, sizeof(to->name) - at, ", %s", from->name);
	return 0;
}

static int add_in(struct object *obj, struct spec spec, const struct spec_scope *scope)
{
	const u32 prog = program_of(obj, &spec);
	char why[SPEC_WHY_MAX] = "";
	struct attachment *with;
	struct place place = {0};
	int err = spec_resolve(&spec, scope, &place, why);

	if (err)
		return out_error("%s", why), err;
	err = as_points(&place);
	drop_known(obj, prog, &place);
	with = companion(obj, prog, &place);
	spec.kind = SPEC_MULTI;
	spec.multi = true;
	if (!err && place.npoints)
		err = with ? join(&with->place, &place) : object_add(obj, prog, &spec, &place);
	place_deinit(&place);
	return err;
}

static int add_specs(struct object *obj, char *const *specs, int n, const struct spec_scope *scopes,
		     u32 nscopes)
{
	struct spec spec;
	int err = 0;

	for (int i = 0; !err && i < n; i++) {
		err = parse(specs[i], &spec);
		for (u32 k = 0; !err && k < nscopes; k++)
			err = add_in(obj, spec, &scopes[k]);
	}
	return err;
}

/* --- the object ------------------------------------------------------------------------------ */

/* libbpf opens files. */
static int image_file(char *path, size_t size)
{
	int fd = memfd_create("ebpfrt-trace", MFD_CLOEXEC);

	if (fd < 0 || write(fd, image, sizeof(image)) != (ssize_t)sizeof(image))
		return out_error("cannot make a file in memory: %s", strerror(errno)), -errno;
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

static bool is_used(const struct object *obj, const char *name)
{
	for (u32 i = 0; i < obj->nattachments; i++)
		if (!strcmp(obj->progs[obj->attachments[i].prog].name, name))
			return true;
	return false;
}

/* Before it is loaded: as large as the plans want it. */
static int size_object(struct object *obj, const struct trace_set *set)
{
	struct bpf_map *rodata = NULL, *map;
	struct bpf_program *prog;
	int err;

	bpf_object__for_each_map (map, obj->bpf)
		if (strstr(bpf_map__name(map), ".rodata"))
			rodata = map;
	err = rodata ? bpf_map__set_initial_value(rodata, &set->sizes, sizeof(set->sizes))
		     : -ENOENT;
	if (err)
		return err;
	bpf_object__for_each_program (prog, obj->bpf)
		if (!is_used(obj, bpf_program__name(prog)))
			bpf_program__set_autoload(prog, false);
	map = bpf_object__find_map_by_name(obj->bpf, "calls");
	bpf_map__set_max_entries(map, RING_SIZE);
	map = bpf_object__find_map_by_name(obj->bpf, "plans");
	return bpf_map__set_max_entries(map, set->nplans);
}

static int fill_plans(const struct object *obj, const struct trace_set *set)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(obj->bpf, "plans");
	int err = 0;

	for (u32 i = 0; !err && i < set->nplans; i++)
		err = bpf_map_update_elem(bpf_map__fd(map), &i, set->plans[i], 0);
	return err;
}

static int load(struct object *obj, struct trace_set *set)
{
	int err = trace_set_make(set, obj, &config.object);

	if (!err)
		err = object_open(obj, &config.object);
	if (err)
		return err;
	err = size_object(obj, set);
	if (err)
		return out_error("the programs can't be fitted: %s", strerror(-err)), err;
	err = object_load(obj, &config.object);
	if (!err && fill_plans(obj, set))
		return out_error("the plans can't be stored: %s", strerror(errno)), -errno;
	return err;
}

/* --- a session ------------------------------------------------------------------------------- */

struct tracing {
	struct object *obj;
	struct trace_set set;
	struct trace_calls calls;
	struct session session;
	char file[64];
	int fd;
};

static void on_record(void *cookie, const void *data, size_t size)
{
	struct tracing *t = cookie;

	if (trace_calls_full(&t->calls))
		return;
	t->session.lost += trace_calls_take(&t->calls, data, size);
	t->session.over |= trace_calls_full(&t->calls);
}

static void on_end(void *cookie)
{
	struct tracing *t = cookie;

	trace_calls_end(&t->calls);
}

static int begin(struct tracing *t, FILE *standard)
{
	t->session = (struct session){
		.objs = &t->obj,
		.nobjs = 1,
		.json = config.json,
		.no_maps = true,
		.missing = object_missing(&config.object),
		.duration_ns = config.duration,
		.on_record = on_record,
		.on_end = on_end,
		.cookie = t,
	};
	t->session.stream = session_open_output(config.output, standard);
	if (!t->session.stream)
		return -EIO;
	t->set.limits = (struct trace_limits){.string = config.string, .depth = config.deref};
	trace_calls_init(&t->calls, &t->set, t->session.stream, config.json,
			 &(struct trace_style){.string = config.string, .types = config.types});
	t->calls.most = config.count;
	t->fd = image_file(t->file, sizeof(t->file));
	if (t->fd < 0 || object_inspect(t->file, &t->obj))
		return -EIO;
	t->obj->file = "ebpfrt trace";
	return object_check_options(&t->obj, 1, &config.object);
}

static void end(struct tracing *t)
{
	session_deinit(&t->session);
	object_free(&t->obj);
	trace_calls_deinit(&t->calls);
	trace_set_free(&t->set);
	if (t->fd > 0)
		close(t->fd);
}

static int prepare(struct tracing *t, char *const *specs, int n, const struct spec_scope *scopes,
		   u32 nscopes)
{
	int err = add_specs(t->obj, specs, n, scopes, nscopes);

	for (u32 i = 0; i < nscopes && i < OPT_LIST_MAX; i++)
		t->obj->scopes[t->obj->nscopes++] = scopes[i];
	t->obj->file = t->file;
	return err ? err : load(t->obj, &t->set);
}

/* --- processes ------------------------------------------------------------------------------- */

static int trace_processes(char *const *specs, int n)
{
	struct spec_scope scopes[OPT_LIST_MAX];
	struct tracing t = {0};
	int status = EXIT_FAILURE;

	session_block_signals(false);
	if (targets_check(&config.targets.pids))
		return EXIT_FAILURE;
	if (!begin(&t, stdout) &&
	    !prepare(&t, specs, n, scopes, targets_scopes(&config.targets, scopes)))
		status = targets_in_session(&t.session, &config.targets, &config.object);
	end(&t);
	if (t.session.stream && session_close_output(&t.session, config.output))
		status = EXIT_FAILURE;
	return status;
}

/* --- a command ------------------------------------------------------------------------------- */

static int run_command(struct tracing *t, char **argv, const char *exe, char **env)
{
	struct session *s = &t->session;

	if (session_tell_missing(s) && s->missing == MISSING_ERROR) {
		out_error("some of the functions cannot be probed: the command was not started");
		return STATUS_FAILED;
	}
	return launch_in_session(s, argv, exe, env);
}

static int trace_command(char *const *specs, int n, char **argv)
{
	_cleanup_free_ char **env = NULL;
	struct tracing t = {0};
	char exe[PATH_MAX];
	const struct spec_scope scope = {.exe = exe};
	int status = launch_find(argv, exe, "start it, then use `ebpfrt trace -p PID ...`");

	if (status)
		return status;
	session_block_signals(true);
	guard_status(STATUS_FAILED);
	status = STATUS_FAILED;
	if (!launch_environment(exe, &env) && !begin(&t, stderr) &&
	    !prepare(&t, specs, n, &scope, 1) && !object_attach(t.obj, &config.object))
		status = run_command(&t, argv, exe, env);
	end(&t);
	if (t.session.stream)
		session_close_output(&t.session, config.output);
	return status;
}

static int check_options(void)
{
	if (config.string > TRACE_STRING_MAX)
		return opt_usage_error("trace", "strings of up to %u characters can be shown",
				       TRACE_STRING_MAX);
	return object_check_usage(&config.object, "trace");
}

static int run(const struct args *args)
{
	const int nspecs = args->after_dashes ? args->dashes_at : args->n;
	int status = check_options();

	if (!status)
		status = targets_find(&config.targets, "trace");
	if (status)
		return status;
	if (!nspecs)
		return opt_usage_error("trace", "which functions? (FILE:FUNCTION)");
	if (args->after_dashes && config.targets.pids.n)
		return opt_usage_error("trace", "either a command or processes");
	if (args->after_dashes && args->n == nspecs)
		return opt_usage_error("trace", "which command?");
	if (args->after_dashes)
		return trace_command(args->v, nspecs, args->v + nspecs);
	if (!config.targets.pids.n)
		return opt_usage_error("trace", "which process? (-p PID, or -- COMMAND)");
	return trace_processes(args->v, nspecs);
}

static const struct opt opts[] = {
	TARGETS_OPTS(__typeof__(config), "to trace"),
	{'c', "count", "N", OPT_UINT, offsetof(__typeof__(config), count), "stop after N lines"},
	{'d', "duration", "TIME", OPT_TIME, offsetof(__typeof__(config), duration),
	 "stop after TIME (5, 500ms, 2m)"},
	{'s', "string", "N", OPT_UINT, offsetof(__typeof__(config), string),
	 "show N characters of a string; without it 64, 0: only addresses"},
	{'D', "deref", "N", OPT_UINT, offsetof(__typeof__(config), deref),
	 "show what pointers lead to, N one behind the other"},
	{'t', "types", NULL, OPT_FLAG, offsetof(__typeof__(config), types),
	 "show each argument as it is declared in C"},
	{'o', "output", "FILE", OPT_STRING, offsetof(__typeof__(config), output),
	 "write the calls to FILE"},
	{0, "missing", "WHAT", OPT_STRING, offsetof(__typeof__(config), object.missing),
	 "functions of a glob that can't be probed: warn, ignore, error"},
	OBJECT_TYPE_OPTS(__typeof__(config), object),
	TARGETS_FOLLOW_OPT(__typeof__(config)),
	{'j', "json", NULL, OPT_FLAG, offsetof(__typeof__(config), json),
	 "print calls as JSON, one document a line"},
	{0},
};

const struct command cmd_trace = {
	.name = "trace",
	.usage = "[OPTIONS] -p PID... SPEC...\n[OPTIONS] SPEC... -- COMMAND [ARGUMENTS]",
	.summary = "print calls of functions with their arguments and results",
	.details = "SPEC is FILE:FUNCTION or FUNCTION, globs allowed; p:FILE:FUNCTION is shown "
		   "when it is "
		   "entered,\nr:FILE:FUNCTION when it returns, with its result only.\n",
	.opts = opts,
	.config = &config,
	.run = run,
};
