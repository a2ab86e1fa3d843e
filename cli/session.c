/* SPDX-License-Identifier: BSD-2-Clause */
/* A tracing session from the first announcement to the last map: see session.h. */
#include "cli/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/howto.h"
#include "cli/maps.h"
#include "cli/out.h"
#include "ebpfrt/ebpfrt.h"

#define MISSING_SHOWN 5u
#define MISSING_VERBOSE 100000u
#define UNFOLLOWED_SAID 8u
#define FLUSH_MS 200 /* a thread that isn't stopped is done with a record long before */

enum { WHO_SIGNAL = 1, WHO_TIMER, WHO_EVENTS, WHO_RINGS, WHO_CHILD, WHO_TARGET, WHO_PERF = 1000 };

static sigset_t session_signals, saved_mask;

int session_block_signals(bool child)
{
	sigemptyset(&session_signals);
	sigaddset(&session_signals, SIGINT);
	sigaddset(&session_signals, SIGTERM);
	sigaddset(&session_signals, SIGUSR1);
	if (child) {
		sigaddset(&session_signals, SIGHUP);
		sigaddset(&session_signals, SIGQUIT);
		sigaddset(&session_signals, SIGWINCH);
		sigaddset(&session_signals, SIGUSR2);
	}
	return sigprocmask(SIG_BLOCK, &session_signals, &saved_mask) ? -errno : 0;
}

void session_unblock_signals(void)
{
	sigprocmask(SIG_SETMASK, &saved_mask, NULL);
}

FILE *session_open_output(const char *file, FILE *standard)
{
	FILE *f = file ? fopen(file, "we") : standard;

	if (!f)
		out_error("cannot write %s: %s", file, strerror(errno));
	return f;
}

int session_close_output(struct session *s, const char *file)
{
	bool failed = ferror(s->stream);
	int err = 0;

	if (!file)
		return 0;
	if (fclose(s->stream))
		err = errno;
	s->stream = NULL;
	if (!err && !failed)
		return 0;
	out_error("cannot write all of %s%s%s", file, err ? ": " : "; is the disk full?",
		  err ? strerror(err) : "");
	return -EIO;
}

/* --- the beginning --- */

/* "attached" is better than "failed", which says more than "pending". */
static int rank(const struct ebpfrt_link *l)
{
	return l->state == EBPFRT_LINK_ATTACHED ? 2 : l->state == EBPFRT_LINK_FAILED;
}

/*
 * The best row of @rows for the attachment. A USDT probe is many links, none of which libbpf lets
 * us see: those of its program stand for it.
 */
static const struct ebpfrt_link *best_row(const struct attachment *a,
					  const struct ebpfrt_link *rows, size_t n)
{
	const struct ebpfrt_link *best = NULL;

	for (size_t i = 0; i < n; i++) {
		if (a->link_id ? rows[i].id != a->link_id : rows[i].prog_id != a->prog_id)
			continue;
		if (!best || rank(&rows[i]) > rank(best))
			best = &rows[i];
	}
	return best;
}

/* Of a glob: which functions are not probed, as far as the file says; the daemon has counted. */
static void list_missing(const struct session *s, const struct object *obj,
			 const struct attachment *a, const struct ebpfrt_link *row)
{
	u32 shown = 0, most = common.verbose ? MISSING_VERBOSE : MISSING_SHOWN;
	char why[PROBE_WHY_MAX] = "";
	struct howto h;

	if (!row->missing || s->missing == MISSING_IGNORE)
		return;
	out_warn("%s: %u of the %u functions of %s that match %s cannot be probed:",
		 obj->progs[a->prog].name, row->missing, a->place.npoints, a->place.path,
		 a->place.name);
	if (howto_open(&h, a->place.path, why))
		return;
	for (u32 i = 0; i < a->place.npoints && shown < most; i++) {
		const struct point *p = &a->place.points[i];

		if (!howto_place(&h, p->offset, p->name, a->spec.ret || a->spec.session, why)) {
			fprintf(stderr, "  %s\n", why);
			shown++;
		}
	}
	howto_close(&h);
	if (!shown)
		fprintf(stderr, "  %s\n", row->reason);
	if (shown < row->missing)
		fprintf(stderr, "  and %u more; `ebpfrt list -v %s:'%s'` says which\n",
			row->missing - MAX(shown, 1u), a->place.path, a->place.name);
}

static u32 count_missing(const struct attachment *a)
{
	char why[PROBE_WHY_MAX] = "";
	struct howto h;
	u32 n = 0;

	if (howto_open(&h, a->place.path, why))
		return 0;
	for (u32 i = 0; i < a->place.npoints; i++) {
		const struct point *p = &a->place.points[i];

		n += !howto_place(&h, p->offset, p->name, a->spec.ret || a->spec.session, why);
	}
	howto_close(&h);
	return n;
}

u32 session_tell_missing(const struct session *s)
{
	u32 n = 0;

	for (u32 k = 0; k < s->nobjs; k++) {
		for (u32 i = 0; i < s->objs[k]->nattachments; i++) {
			const struct attachment *a = &s->objs[k]->attachments[i];
			const struct ebpfrt_link row = {.missing = count_missing(a)};

			list_missing(s, s->objs[k], a, &row);
			n += row.missing;
		}
	}
	return n;
}

/* "attached", "pending (reason)": the best of its targets. */
static void describe_state(const struct session *s, const struct object *obj, struct attachment *a,
			   char *text, size_t size)
{
	_cleanup_free_ struct ebpfrt_link *rows = NULL;
	const struct ebpfrt_link *best;
	size_t n = 0;

	best = ebpfrt_links(a->link_id, 0, &rows, &n) ? NULL : best_row(a, rows, n);
	a->places = 1;
	if (best && best->state == EBPFRT_LINK_ATTACHED) {
		a->places = best->places;
		if (a->spec.kind == SPEC_MULTI)
			snprintf(text, size, "attached (%u function%s)", best->places,
				 best->places == 1 ? "" : "s");
		else
			snprintf(text, size, "attached");
		list_missing(s, obj, a, best);
	} else if (best && best->state == EBPFRT_LINK_FAILED)
		snprintf(text, size, "failed: %s",
			 best->reason[0] ? best->reason : strerror(-best->err));
	else if (best && best->reason[0])
		snprintf(text, size, "pending (%s)", best->reason);
	else
		snprintf(text, size, "pending");
}

static void place_text(const struct attachment *a, char *text, size_t size)
{
	if (a->spec.kind == SPEC_USDT)
		snprintf(text, size, "%s:%s:%s", a->place.path, a->spec.provider, a->spec.func);
	else if (a->spec.offset && a->place.name[0])
		snprintf(text, size, "%s:%s+0x%" PRIx64, a->place.path, a->place.name,
			 a->spec.offset);
	else if (a->place.name[0])
		snprintf(text, size, "%s:%s", a->place.path, a->place.name);
	else
		snprintf(text, size, "%s+0x%" PRIx64, a->place.path, a->place.offset);
}

static void announce_one(const struct session *s, const struct object *obj, struct attachment *a)
{
	char state[512], place[PATH_MAX + 600];
	struct json_object *o;

	describe_state(s, obj, a, state, sizeof(state));
	place_text(a, place, sizeof(place));
	if (!s->json) {
		out_note("%-16s %-10s %s  %s", obj->progs[a->prog].name, spec_kind_name(&a->spec),
			 place, state);
		return;
	}
	o = json_object_new_object();
	out_add_str(o, "prog", obj->progs[a->prog].name);
	out_add_str(o, "type", spec_kind_name(&a->spec));
	out_add_str(o, "place", place);
	out_add_u64(o, "link_id", a->link_id);
	out_add_str(o, "state", state);
	out_add_u64(o, "places", a->places);
	out_json_event(s->stream, "attached", o);
}

void session_announce(struct session *s)
{
	u32 n = 0, np = s->pids ? s->pids->n : 1;

	for (u32 k = 0; k < s->nobjs; k++) {
		const struct object *obj = s->objs[k];

		for (u32 i = 0; i < obj->nattachments; i++) {
			announce_one(s, obj, &obj->attachments[i]);
			n += obj->attachments[i].places;
		}
	}
	if (s->json) {
		struct json_object *o = json_object_new_object();

		out_add_u64(o, "probes", n);
		out_json_event(s->stream, "attached_probes", o);
	} else if (!common.quiet && !s->child) {
		fprintf(stderr, "Tracing %u probe%s in %u process%s. Hit Ctrl-C to end.\n", n,
			n == 1 ? "" : "s", np, np == 1 ? "" : "es");
	}
}

/* --- what comes later --- */

/* Other versions of what is probed, in processes that were followed: each is probed, too. */
static void extend(struct session *s, pid_t pid)
{
	for (u32 k = 0; k < s->nobjs; k++) {
		struct object *obj = s->objs[k];
		u32 n = object_extend(obj, s->opts, pid);

		for (u32 i = obj->nattachments - n; i < obj->nattachments; i++) {
			if (!s->child || common.verbose || s->json)
				announce_one(s, obj, &obj->attachments[i]);
		}
	}
}

static void extend_all(struct session *s)
{
	for (u32 i = 0; i < s->nchanged; i++) {
		if (s->opts && !s->over)
			extend(s, s->changed[i]);
		if (s->waited_for)
			ebpfrt_modules_settled(s->changed[i]);
	}
	s->nchanged = 0;
}

/* --- the loop --- */

static int watch(struct session *s, int fd, u64 who)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = who};

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int watch_timer(struct session *s)
{
	struct itimerspec t = {.it_value = {.tv_sec = s->duration_ns / 1000000000,
					    .tv_nsec = s->duration_ns % 1000000000}};

	if (!s->duration_ns)
		return 0;
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (s->timer < 0 || timerfd_settime(s->timer, 0, &t, NULL))
		return -errno;
	return watch(s, s->timer, WHO_TIMER);
}

/* A target that has gone already is one that has ended. */
static int watch_targets(struct session *s)
{
	for (u32 i = 0; s->pids && i < s->pids->n; i++) {
		int fd = (int)syscall(SYS_pidfd_open, s->pids->v[i], 0);

		s->targets[i].fd = fd;
		s->targets[i].done = fd < 0;
		if (fd < 0)
			continue;
		s->alive++;
		watch(s, fd, WHO_TARGET | (u64)i << 32);
	}
	s->ended = s->over = s->pids && !s->alive;
	return 0;
}

/* What comes later and needs an edition of its own is not to run before that is there. */
static void wait_for_us(struct session *s)
{
	for (u32 i = 0; s->opts && i < s->nobjs; i++)
		s->waited_for |= object_differs_by_file(s->objs[i]);
	if (s->waited_for)
		s->waited_for = !ebpfrt_modules_wait(1);
}

static int watch_ring(struct session *s, int fd)
{
	return watch(s, fd, WHO_RINGS);
}

static int watch_all(struct session *s)
{
	int err;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->signals = signalfd(-1, &session_signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->epoll < 0 || s->signals < 0)
		return -errno;
	err = watch(s, s->signals, WHO_SIGNAL);
	if (!err)
		err = watch_timer(s);
	if (!err)
		err = watch(s, ebpfrt_event_fd(), WHO_EVENTS);
	if (!err)
		err = session_watch_rings(s, watch_ring);
	for (u32 i = 0; !err && i < s->nperf; i++)
		err = watch(s, perf_buffer__epoll_fd(s->perf[i]), WHO_PERF + i);
	if (!err && s->child)
		err = watch(s, s->child_fd, WHO_CHILD);
	if (!err)
		wait_for_us(s);
	return err ? err : watch_targets(s);
}

static void show_log(struct session *s, const struct ebpfrt_event *ev)
{
	char clean[4096];

	s->lost += ev->lost;
	if (s->json) {
		out_json_event(s->stream, "printk", out_log_line_json(ev->text));
		return;
	}
	fprintf(s->stream, "%s\n", out_clean(ev->text, clean, sizeof(clean)));
	fflush(s->stream);
}

/* The program of link @id, NULL when it isn't ours. */
static const char *prog_of_link(const struct session *s, u32 id)
{
	for (u32 k = 0; k < s->nobjs; k++) {
		const struct object *obj = s->objs[k];

		for (u32 i = 0; i < obj->nattachments; i++) {
			if (obj->attachments[i].link_id == id)
				return obj->progs[obj->attachments[i].prog].name;
		}
	}
	return NULL;
}

/* The session ends with its last target. */
enum end { END_PROCESS, END_DETACHED, END_PROGRAM /* it executes another one */ };
static void target_done(struct session *s, u32 i, enum end how)
{
	if (s->targets[i].done)
		return;
	s->targets[i].done = true;
	s->left += how != END_PROCESS;
	if (--s->alive)
		return;
	s->over = true;
	s->ended = !s->left;
	if (how == END_DETACHED)
		out_note("no process is traced any more: another client detached %s",
			 s->left == 1 ? "it" : "them");
}

/* Another client detached it, or it became another program that can't be followed. */
static void on_left(struct session *s, pid_t pid, bool executed)
{
	const char *why = executed ? "has started another program (exec), where nothing is probed; "
				     "attach to it again"
				   : "is no longer traced";

	for (u32 i = 0; s->pids && i < s->pids->n; i++) {
		if (s->pids->v[i] == pid && !s->targets[i].done) {
			out_note("process %d %s", pid, why);
			target_done(s, i, executed ? END_PROGRAM : END_DETACHED);
			return;
		}
	}
	out_debug("process %d %s", pid, why);
}

/* Is there a probe that nobody has detached? What libbpf hides from us counts as one. */
static bool any_link(const struct session *s)
{
	for (u32 k = 0; k < s->nobjs; k++)
		for (u32 i = 0; i < s->objs[k]->nattachments; i++)
			if (!s->objs[k]->attachments[i].lost)
				return true;
	return false;
}

static void on_detached(struct session *s, u32 id)
{
	bool ours = false;

	for (u32 k = 0; k < s->nobjs; k++) {
		struct object *obj = s->objs[k];

		for (u32 i = 0; i < obj->nattachments; i++) {
			struct attachment *a = &obj->attachments[i];

			if (!attachment_is_on(a) || a->lost || a->link_id != id)
				continue;
			a->lost = ours = true;
			out_note("another client detached %s (link %u)", obj->progs[a->prog].name,
				 id);
		}
	}
	/* a command goes on; its output and status are what people wait for */
	if (ours && !s->child && !any_link(s)) {
		out_note("no probe is left");
		s->over = true;
	}
}

/* Said of the first few, counted of all: whoever runs a build may have thousands. */
static void on_unfollowed(struct session *s, const struct ebpfrt_event *ev)
{
	s->unfollowed += ev->lost;
	if (ev->text && s->unfollowed <= UNFOLLOWED_SAID)
		out_warn("%s", ev->text);
}

/* Looked at when all events are in: to attach is to ask the daemon something. */
static void on_modules(struct session *s, pid_t pid)
{
	pid_t *v;

	for (u32 i = 0; i < s->nchanged; i++) {
		if (s->changed[i] == pid)
			return;
	}
	v = realloc(s->changed, (s->nchanged + 1) * sizeof(*v));
	if (!v)
		return;
	s->changed = v;
	v[s->nchanged++] = pid;
}

static void on_event(const struct ebpfrt_event *ev, void *cookie)
{
	struct session *s = cookie;
	const char *prog = prog_of_link(s, ev->link);

	switch (ev->type) {
	case EBPFRT_EVENT_LOG:
		show_log(s, ev);
		break;
	case EBPFRT_EVENT_LOST:
		s->lost += ev->lost;
		break;
	case EBPFRT_EVENT_LINK_DETACHED:
		on_detached(s, ev->link);
		break;
	case EBPFRT_EVENT_LINK_ATTACHED:
		if (prog)
			out_debug("%s is now attached in %d", prog, ev->pid);
		break;
	case EBPFRT_EVENT_LINK_FAILED:
		if (prog)
			out_warn("%s could not be attached in %d: %s", prog, ev->pid, ev->text);
		break;
	case EBPFRT_EVENT_TARGET_LEFT:
		on_left(s, ev->pid, ev->err != 0);
		break;
	case EBPFRT_EVENT_UNFOLLOWED:
		on_unfollowed(s, ev);
		break;
	case EBPFRT_EVENT_ASLEEP:
		s->asleep += !ev->link;
		if (ev->text)
			(ev->link ? out_note : out_warn)("%s", ev->text);
		break;
	case EBPFRT_EVENT_MODULES:
		on_modules(s, ev->pid);
		break;
	case EBPFRT_EVENT_LATE:
		out_warn("process %d was not held any longer: what its new program or libraries "
			 "called before their probes were there was missed%s%s",
			 ev->pid, ev->text ? "; " : "", ev->text ? ev->text : "");
		break;
	case EBPFRT_EVENT_TARGET_END:
		out_debug("process %d has ended", ev->pid);
		break;
	}
}

/* @whole: all that there is by now, however long it takes. */
static void drain(struct session *s, bool whole)
{
	if (ebpfrt_event_dispatch(on_event, s) < 0 && !s->daemon_gone) {
		s->daemon_gone = true;
		s->over = true;
	}
	extend_all(s);
	s->more = session_read_rings(s, whole);
	if (s->on_record) /* what it has printed of all these */
		fflush(s->stream);
	for (u32 i = 0; i < s->nperf; i++) {
		perf_buffer__poll(s->perf[i], 0);
		perf_buffer__consume(s->perf[i]);
	}
}

static void print_maps(struct session *s)
{
	for (u32 i = 0; i < s->nobjs; i++)
		maps_print(s->objs[i]->bpf, s->stream, s->json);
	fflush(s->stream);
}

/* What the session does when no command of its own gets the signal. */
static void act_on(struct session *s, u32 signo)
{
	if (signo != SIGUSR1) {
		s->over = true;
		/* from now on it would end us */
		signal(SIGUSR1, SIG_IGN);
		return;
	}
	/* what happened before comes first */
	drain(s, true);
	print_maps(s);
}

static void on_signal(struct session *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		/* what the terminal sends goes to the whole foreground group: the child has it */
		if (s->child && info.ssi_code != SI_KERNEL)
			kill(s->child, (int)info.ssi_signo);
		if (!s->child)
			act_on(s, info.ssi_signo);
	}
	/* from here on the default: a second signal ends us at once */
	if (s->over && !s->child)
		session_unblock_signals();
}

static void on_ready(struct session *s, u64 who)
{
	switch (who & UINT32_MAX) {
	case WHO_SIGNAL:
		on_signal(s);
		break;
	case WHO_CHILD:
		s->ended = true;
		__attribute__((fallthrough));
	case WHO_TIMER:
		s->over = true;
		break;
	case WHO_TARGET:
		/* the pidfd leaves the set with its descriptor */
		close(s->targets[who >> 32].fd);
		target_done(s, (u32)(who >> 32), END_PROCESS);
		break;
	default:
		drain(s, false);
	}
}

int session_run(struct session *s)
{
	struct epoll_event ev[16];
	int err = watch_all(s);

	if (err)
		return out_error("cannot wait for events: %s", strerror(-err)), err;
	while (!s->over) {
		int n = epoll_wait(s->epoll, ev, ARRAY_SIZE(ev), s->more ? 0 : -1);

		if (n < 0 && errno != EINTR)
			return out_error("cannot wait for events: %s", strerror(errno)), -errno;
		for (int i = 0; i < n; i++)
			on_ready(s, ev[i].data.u64);
		if (!n)
			drain(s, false);
	}
	if (s->daemon_gone)
		return out_error(
			       "the daemon went away; the probes restore themselves at their next "
			       "hit\n  attach again to go on"),
		       -ECONNRESET;
	return 0;
}

/* --- the end --- */

struct totals {
	u64 sites, hits, missed, aborted, left;
};

/* Several links may share a patched place: each is restored once. */
static bool site_is_new(struct ebpfrt_link *seen, u32 *nseen, const struct ebpfrt_link *l)
{
	for (u32 i = 0; i < *nseen; i++) {
		if (seen[i].pid == l->pid && seen[i].addr == l->addr)
			return false;
	}
	seen[(*nseen)++] = *l;
	return true;
}

static bool is_ours(const struct session *s, const struct ebpfrt_link *l)
{
	for (u32 k = 0; k < s->nobjs; k++) {
		for (u32 i = 0; i < s->objs[k]->nattachments; i++) {
			if (l->prog_id && s->objs[k]->attachments[i].prog_id == l->prog_id)
				return true;
		}
	}
	return false;
}

/* Before the detachment: what it will restore. */
static void count_sites(const struct session *s, struct totals *t)
{
	_cleanup_free_ struct ebpfrt_link *rows = NULL, *seen = NULL;
	u32 nseen = 0;
	size_t n = 0;

	if (ebpfrt_links(0, 0, &rows, &n))
		return;
	seen = calloc(n ? n : 1, sizeof(*seen));
	for (size_t i = 0; seen && i < n; i++) {
		if (rows[i].state == EBPFRT_LINK_ATTACHED && is_ours(s, &rows[i]))
			t->sites += site_is_new(seen, &nseen, &rows[i]) ? rows[i].places : 0;
	}
}

/* After it: nothing counts any more, and the daemon remembers what our links have counted. */
static void count_hits(const struct session *s, struct totals *t)
{
	_cleanup_free_ struct ebpfrt_link *rows = NULL;
	size_t n = 0;

	if (ebpfrt_links(0, 0, &rows, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		if (!is_ours(s, &rows[i]))
			continue;
		t->hits += rows[i].hits;
		t->missed += rows[i].missed;
		t->aborted += rows[i].aborted;
		t->left += rows[i].left;
	}
}

static void report_json(struct session *s, const struct totals *t)
{
	struct json_object *o = json_object_new_object();

	out_add_u64(o, "sites", t->sites);
	out_add_u64(o, "hits", t->hits);
	out_add_u64(o, "missed", t->missed);
	out_add_u64(o, "aborted", t->aborted);
	out_add_u64(o, "left", t->left);
	out_add_u64(o, "lost", s->lost);
	out_add_u64(o, "unfollowed", s->unfollowed);
	out_add_u64(o, "asleep", s->asleep);
	out_add_bool(o, "ended", s->ended);
	out_json_event(s->stream, "detached", o);
}

static void report(struct session *s, const struct totals *t)
{
	u64 lost = t->missed + t->aborted + s->lost;
	char what[64];

	if (s->ended)
		snprintf(what, sizeof(what), "%s ended",
			 s->child		      ? "the command has"
			 : s->pids && s->pids->n == 1 ? "the target has"
						      : "all targets have");
	else
		snprintf(what, sizeof(what), "detached, %" PRIu64 " site%s restored", t->sites,
			 t->sites == 1 ? "" : "s");
	out_note("%s; %" PRIu64 " hit%s, %" PRIu64 " lost", what, t->hits, t->hits == 1 ? "" : "s",
		 lost);
	if (t->missed)
		out_debug("%" PRIu64 " missed: they came while the same thread ran a program",
			  t->missed);
	if (s->unfollowed)
		out_note("%" PRIu64 " executed program%s not probed", s->unfollowed,
			 s->unfollowed == 1 ? " was" : "s were");
	if (t->left)
		out_note("%" PRIu64
			 " call%s ended without a return: exceptions, longjmp, threads that "
			 "end",
			 t->left, t->left == 1 ? "" : "s");
	if (t->aborted)
		out_note("%" PRIu64 " program run%s cut short by a fault", t->aborted,
			 t->aborted == 1 ? " was" : "s were");
}

/* Every line and record that was written, and a count of those that are being written. */
static void flush(struct session *s)
{
	int open = ebpfrt_log_flush(FLUSH_MS);

	drain(s, true);
	if (open > 0) {
		s->lost += (u32)open;
		out_warn("%d printk line%s left: a thread was stopped while it wrote", open,
			 open == 1 ? " was" : "s were");
	}
	session_count_open(s, FLUSH_MS);
}

static int detach_all(struct session *s)
{
	int ret = 0;

	for (u32 i = 0; i < s->nobjs; i++) {
		int err = object_detach(s->objs[i]);

		if (err && !ret)
			out_error("%s", ebpfrt_error());
		ret = ret ? ret : err;
	}
	return ret;
}

int session_finish(struct session *s)
{
	struct totals t = {0};
	int err;

	if (s->daemon_gone)
		return 0;
	count_sites(s, &t);
	err = detach_all(s);
	/* said already; nobody can tell whether something was left */
	s->daemon_gone = err == -ECONNRESET || err == -EPIPE;
	flush(s);
	session_count_drops(s);
	if (s->on_end)
		s->on_end(s->cookie);
	if (!s->no_maps)
		print_maps(s);
	/* last: a thread that was in a program when it was detached counts when it comes out */
	count_hits(s, &t);
	if (s->json)
		report_json(s, &t);
	else if (!err)
		report(s, &t);
	return err;
}

void session_wait_child(struct session *s)
{
	struct pollfd fds[] = {{.fd = s->child_fd, .events = POLLIN},
			       {.fd = s->signals, .events = POLLIN}};

	if (s->child_fd < 0 || s->signals <= 0)
		return;
	while (!fds[0].revents && (poll(fds, ARRAY_SIZE(fds), -1) >= 0 || errno == EINTR))
		on_signal(s);
}

void session_deinit(struct session *s)
{
	session_close_streams(s);
	free(s->changed);
	if (s->epoll > 0)
		close(s->epoll);
	if (s->signals > 0)
		close(s->signals);
	if (s->timer > 0)
		close(s->timer);
}
