/* SPDX-License-Identifier: BSD-2-Clause */
/* Targets: coming, going, and what belongs to them. See target.h. */
#include "daemon/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "daemon/hold.h"

#define TARGETS_MAX 1024u
#define LOOK_NS (500ull * 1000000)
#define NEXT_AGENT_NS (10ull * 1000000000) /* a program has its agent by then */
#define ROUNDS_MAX 64u
#define LINGER_NS (500ull * 1000) /* the first round; a program takes microseconds */
#define RESTORE_AGAIN_NS (1000ull * 1000000)
#define SILENT_NS (250ull * 1000000)
#define RESTORE_SLOWER 6u

/* --- lists of what an agent was given --------------------------------------------------------- */

u32 given_index(const struct given *g, u32 id)
{
	u32 i;

	for (i = 0; i < g->n && g->v[i].id != id; i++)
		;
	return i;
}

struct given_one *given_add(struct given *g, u32 id)
{
	u32 i = given_index(g, id);

	if (i < g->n)
		return &g->v[i];
	if (g->n == g->room) {
		u32 room = g->room ? 2 * g->room : 16;
		struct given_one *v = realloc(g->v, room * sizeof(*v));

		if (!v)
			return NULL;
		g->v = v;
		g->room = room;
	}
	g->v[g->n] = (struct given_one){.id = id};
	return &g->v[g->n++];
}

/* --- sites ------------------------------------------------------------------------------------ */

static u32 index_slot(const struct addr_index *x, u64 addr)
{
	return hash_quick(addr) & (x->size - 1);
}

static bool index_grow(struct addr_index *x, u32 n)
{
	u32 size = 256;

	while (size < 2 * n + 2 || size < x->size)
		size *= 2;
	/* the last ones may have been taken back */
	if (size <= x->size && x->n <= n)
		return true;
	free(x->v);
	x->v = calloc(size, sizeof(*x->v));
	x->size = x->v ? size : 0;
	x->n = 0;
	return x->v;
}

int addr_index_find(struct addr_index *x, u64 addr, u32 n, u64 (*at)(const void *v, u32 i),
		    const void *v)
{
	u32 slot;

	if (!index_grow(x, n))
		return -1;
	for (; x->n < n; x->n++) {
		for (slot = index_slot(x, at(v, x->n)); x->v[slot];)
			slot = (slot + 1) & (x->size - 1);
		x->v[slot] = x->n + 1;
	}
	for (slot = index_slot(x, addr); x->v[slot]; slot = (slot + 1) & (x->size - 1))
		if (x->v[slot] <= n && at(v, x->v[slot] - 1) == addr)
			return (int)x->v[slot] - 1;
	return -1;
}

static u64 site_addr(const void *v, u32 i)
{
	return ((const struct site *)v)[i].site.patch.addr;
}

struct site *target_site(struct target *t, u64 addr)
{
	int i = addr_index_find(&t->by_addr, addr, t->nsites, site_addr, t->sites);

	return i < 0 ? NULL : &t->sites[i];
}

struct site *target_site_add(struct target *t)
{
	if (t->nsites == t->sites_room) {
		u32 room = t->sites_room ? 2 * t->sites_room : 64;
		struct site *v = realloc(t->sites, room * sizeof(*v));

		if (!v)
			return NULL;
		t->sites = v;
		t->sites_room = room;
	}
	memset(&t->sites[t->nsites], 0, sizeof(*t->sites));
	return &t->sites[t->nsites++];
}

/* --- statistics ------------------------------------------------------------------------------- */

static int stats_new(struct target *t)
{
	u64 size = AGENT_LANES_AT(TARGET_STATS) + AGENT_LANES_SIZE;
	int err;

	t->stats_fd = osl_shm_create("ebpfrt-stats", size);
	if (t->stats_fd < 0)
		return t->stats_fd;
	t->stats_size = size;
	err = osl_shm_seal(t->stats_fd, OSL_SEAL_SIZE);
	if (!err)
		err = osl_shm_map(t->stats_fd, 0, size, true, (void **)&t->stats);
	return err;
}

/* Entries are not reused: when they run out, the last one is shared. */
u32 target_stat_new(struct target *t)
{
	return t->next_stat < TARGET_STATS - 1 ? t->next_stat++ : TARGET_STATS - 1;
}

/* Number @i of those that are in use: of stacks of the agent's, then of threads. NULL: no more. */
static const struct agent_lane *lane_of(const struct target *t, u64 i)
{
	const struct agent_lane *lane =
		(const void *)((const char *)t->stats + AGENT_LANES_AT(TARGET_STATS));
	u64 n = MIN(READ_ONCE(t->stats->lanes), (u64)AGENT_LANES);

	if (i < n)
		return &lane[i];
	i -= n;
	n = MIN(READ_ONCE(t->stats->leaf_lanes), (u64)AGENT_LEAF_LANES);
	return i < n ? &lane[AGENT_LANES + i] : NULL;
}

u64 target_hits(const struct target *t)
{
	u64 hits = READ_ONCE(t->stats->hits);
	const struct agent_lane *lane;

	for (u64 i = 0; (lane = lane_of(t, i)); i++)
		hits += READ_ONCE(lane->hits);
	return hits;
}

/* Those that an agent has counted in @index of its lanes. */
static u64 lane_hits(const struct target *t, u32 index)
{
	const struct agent_lane *lane;
	u64 hits = 0;

	for (u64 i = 0; index < AGENT_LANE_STATS && (lane = lane_of(t, i)); i++)
		hits += READ_ONCE(lane->stat[index]);
	return hits;
}

void target_stat(const struct target *t, u32 index, struct agent_stat *out)
{
	const struct agent_stat *st = &t->stats->stat[MIN(index, TARGET_STATS - 1)];

	out->hits = READ_ONCE(st->hits) + lane_hits(t, index);
	out->missed = READ_ONCE(st->missed);
	out->aborted = READ_ONCE(st->aborted);
	out->run_time_ns = READ_ONCE(st->run_time_ns);
	out->left = READ_ONCE(st->left);
}

/* --- sessions ----------------------------------------------------------------------------------
 */

bool target_has(const struct target *t, u32 session)
{
	for (u32 i = 0; i < t->nmembers; i++)
		if (t->members[i].session == session)
			return true;
	return false;
}

int target_join(struct target *t, u32 session, bool follow)
{
	struct member *v;

	for (u32 i = 0; i < t->nmembers; i++)
		if (t->members[i].session == session) {
			t->members[i].follow |= follow;
			return 0;
		}
	v = realloc(t->members, (t->nmembers + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	t->members = v;
	v[t->nmembers++] = (struct member){session, follow};
	loop_timer_stop(&t->d->loop, &t->d->idle);
	return 0;
}

void target_leave(struct target *t, u32 session)
{
	u32 n = 0;

	for (u32 i = 0; i < t->nmembers; i++)
		if (t->members[i].session != session)
			t->members[n++] = t->members[i];
	t->nmembers = n;
}

void target_event(struct daemon *d, const struct target *t, enum msg_event_what what, u32 link,
		  s32 err, const char *why)
{
	const struct msg_event e = {.what = what, .pid = t->pid, .link = link, .err = err};
	char body[sizeof(e) + PROBE_WHY_MAX], *text = body + sizeof(e);
	struct client *c;

	memcpy(body, &e, sizeof(e));
	snprintf(text, PROBE_WHY_MAX, "%s", why ? why : "");

	list_for_each_entry (c, &d->clients, node)
		if (c->hello && target_has(t, c->session))
			client_tell(c, MSG_EVENT, body, sizeof(e) + strlen(text));
}

/* --- life --------------------------------------------------------------------------------------
 */

struct target *target_by_pid(struct daemon *d, s32 pid)
{
	struct target *t;

	list_for_each_entry (t, &d->targets, node)
		if (t->pid == pid && !t->gone)
			return t;
	return NULL;
}

struct target *target_by_cookie(struct daemon *d, u64 cookie)
{
	struct target *t;

	list_for_each_entry (t, &d->targets, node)
		if (cookie && t->cookie == cookie)
			return t;
	return NULL;
}

static void on_exit_of(struct loop_source *s, u32 events)
{
	struct target *t = container_of(s, struct target, exit);

	trace_settle(t);
	family_tell(t);
	target_event(t->d, t, MSG_EVENT_TARGET_END, 0, 0, NULL);
	sweep_orphans(t);
	target_free(t);
}

/* What can't be read says nothing: it may have made itself undumpable. */
enum agent_seen agent_look(s32 pid, u64 base)
{
	_cleanup_close_ int mem = -1;
	char path[64], magic[SELFMAG];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return errno == ENOENT ? AGENT_NO_MEMORY : AGENT_UNSEEN;
	n = pread(mem, magic, SELFMAG, (off_t)base);
	if (n <= 0)
		return !n ? AGENT_NO_MEMORY : errno == EIO ? AGENT_VANISHED : AGENT_UNSEEN;
	return n == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) ? AGENT_VANISHED : AGENT_THERE;
}

static bool agent_vanished(const struct target *t)
{
	return agent_look(t->pid, t->base) == AGENT_VANISHED;
}

bool target_executed(struct target *t)
{
	if (!t->executed && t->loaded && t->base)
		t->executed = agent_vanished(t);
	if (t->executed)
		loop_timer_arm(&t->d->loop, &t->look, 0);
	return t->executed;
}

/* Is our agent in the environment of the program it is now? What can't be read may be yet to come.
 */
static bool agent_is_preloaded(s32 pid)
{
	static const char name[] = "libebpfrt-agent";
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *variable = NULL;
	bool found = false, any = false;
	size_t size = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	f = fopen(path, "re");
	while (f && !found && getdelim(&variable, &size, 0, f) > 0) {
		any = true;
		found = !strncmp(variable, "LD_PRELOAD=", 11) && strstr(variable, name);
	}
	return found || !any;
}

/*
 * Has it executed a program where no agent of ours comes to? One may be under way: that of a
 * program executed where it was seen says so; of others that a preloaded one has executed, its
 * environment.
 */
static bool look_executed(struct target *t)
{
	u64 how = READ_ONCE(t->stats->leaving);
	bool seen = how == LEAVING_WITH_AGENT;

	if (!t->loaded || !t->base || (!t->executed && !agent_vanished(t))) {
		t->vanished_ns = 0;
		return false;
	}
	if (!t->vanished_ns)
		t->vanished_ns = osl_now_ns();
	if (osl_now_ns() - t->vanished_ns < NEXT_AGENT_NS &&
	    (seen || (how == STAYING && t->how == 1 && agent_is_preloaded(t->pid))))
		return false;
	return target_executed(t);
}

/*
 * A followed one has executed a program by a system call that is no site: code that it made itself,
 * or that came when nobody looked.
 */
static void tell_unseen(struct target *t)
{
	char path[64], exe[128] = "", why[PROBE_WHY_MAX];

	if (READ_ONCE(t->stats->leaving) != STAYING || !family_of(t))
		return;
	snprintf(path, sizeof(path), "/proc/%d/exe", t->pid);
	if (readlink(path, exe, sizeof(exe) - 1) < 0)
		exe[0] = 0;
	snprintf(why, sizeof(why),
		 "process %d has executed %s, which is not probed: by a system call of its own, "
		 "where nothing of ours is",
		 t->pid, exe[0] ? exe : "a program");
	target_event(t->d, t, MSG_EVENT_UNFOLLOWED, 1, 0, why);
}

/* Nobody says that a process executes another program; its new agent does. */
static void on_look(struct loop_timer *timer)
{
	struct target *t = container_of(timer, struct target, look);

	family_tell(t);
	if (!t->x && look_executed(t)) {
		trace_settle(t);
		tell_unseen(t);
		target_event(t->d, t, MSG_EVENT_TARGET_LEFT, 0, -ESRCH, NULL);
		target_free(t);
		return;
	}
	loop_timer_arm(&t->d->loop, &t->look, LOOK_NS);
}

static void on_retry(struct loop_timer *timer)
{
	struct target *t = container_of(timer, struct target, retry);

	if (t->hold)
		return; /* what there is to do is done then */
	if (!t->x && target_has_work(t))
		exchange_start(t);
	else if (!t->x)
		target_settled(t, 0, NULL);
}

/* --- one that doesn't answer --------------------------------------------------------------------
 */

bool target_is_stopped(const struct target *t)
{
	struct probe_task task;

	return !probe_task_read(t->pid, 0, &task) && task.state == 'T';
}

void target_await(struct target *t)
{
	if (!t->gone && list_empty(&t->silent.node))
		loop_timer_arm(&t->d->loop, &t->silent, SILENT_NS << MIN(t->silences, 8u));
}

/* What failed because of that is wanted again. */
static void on_silent(struct loop_timer *timer)
{
	struct target *t = container_of(timer, struct target, silent);
	struct tlink *tl;

	if (t->x || target_is_stopped(t)) {
		target_await(t);
		return;
	}
	t->silences++;
	list_for_each_entry (tl, &t->links, in_target) {
		if (tl->state != TLINK_FAILED || tl->err != -ETIMEDOUT)
			continue;
		tlink_release_sites(tl);
		tlink_become(tl, TLINK_WANT);
	}
	target_reconcile(t);
}

/* What kept us from its text (another debugger, say) may have gone. */
static void on_restore(struct loop_timer *timer)
{
	target_reconcile(container_of(timer, struct target, restore));
}

static int watch_exit(struct target *t)
{
	int fd = syscall(SYS_pidfd_open, t->pid, 0), err;

	if (fd < 0)
		return -errno;
	t->exit.fn = on_exit_of;
	err = loop_add(&t->d->loop, &t->exit, fd, EPOLLIN);
	if (err)
		close(fd);
	return err;
}

static int target_init(struct target *t, char why[PROBE_WHY_MAX])
{
	struct probe_process p;
	int err = probe_process_read(t->pid, &p, why);

	if (err)
		return err;
	memcpy(t->comm, p.comm, sizeof(t->comm));
	t->start_time = p.start_time;
	t->participant = participant_new(t->d);
	if (!t->participant)
		err = -EUSERS;
	if (!err && getrandom(&t->cookie, sizeof(t->cookie), 0) != sizeof(t->cookie))
		err = -EIO;
	if (!err)
		err = stats_new(t);
	if (!err)
		err = watch_exit(t);
	if (err == -ESRCH)
		snprintf(why, PROBE_WHY_MAX, "process %d does not exist any more", t->pid);
	else if (err)
		snprintf(why, PROBE_WHY_MAX, "cannot make process %d a target: %s", t->pid,
			 strerror(-err));
	return err;
}

struct target *target_new(struct daemon *d, s32 pid, int *err, char why[PROBE_WHY_MAX])
{
	struct target *t, *other;
	u32 n = 0;

	list_for_each_entry (other, &d->targets, node)
		n++;
	t = n < TARGETS_MAX ? calloc(1, sizeof(*t)) : NULL;
	if (!t) {
		*err = -ENOMEM;
		snprintf(why, PROBE_WHY_MAX, "there are as many targets as the daemon serves");
		return NULL;
	}
	t->d = d;
	t->pid = pid;
	t->exit.fd = t->stats_fd = t->mem = t->status = t->watch = t->sheets_fd = -1;
	list_init(&t->links);
	list_init(&t->open);
	list_init(&t->leaving);
	list_init(&t->waiters);
	loop_timer_init(&t->retry, on_retry);
	loop_timer_init(&t->restore, on_restore);
	loop_timer_init(&t->silent, on_silent);
	loop_timer_init(&t->look, on_look);
	list_add_tail(&t->node, &d->targets);
	*err = target_init(t, why);
	if (*err) {
		target_free(t);
		return NULL;
	}
	loop_timer_arm(&d->loop, &t->look, LOOK_NS);
	debugger_watch(t);
	t->how = 2;
	return t;
}

static void reap_maps(struct target *t)
{
	for (u32 i = 0; i < t->maps.n; i++) {
		struct ebpf_obj *o = ebpf_obj_by_id(&t->d->table, EBPF_OBJ_MAP, t->maps.v[i].id);

		if (o)
			ebpf_map_reap(&ebpf_obj_map(o)->map);
	}
	if (t->d->trace_map)
		ebpf_map_reap(&t->d->trace_map->map);
}

static const char *why_gone(const struct target *t, char why[PROBE_WHY_MAX])
{
	snprintf(why, PROBE_WHY_MAX, "process %d has %s", t->pid,
		 t->executed ? "started another program (exec); attach to it again" : "ended");
	return why;
}

static void drop_links(struct target *t)
{
	char why[PROBE_WHY_MAX];

	while (!list_empty(&t->links)) {
		struct tlink *tl = list_entry(t->links.next, struct tlink, in_target);
		struct attach *a = tl->a;
		bool waiting = a->waiting && a->l->pid == t->pid;

		if (waiting)
			tlink_fail(tl, -ESRCH, why_gone(t, why));
		/* a link of one process outlives it, as in the kernel, without a place */
		if (waiting && a->waiting) {
			struct ebpf_call *call = a->waiting;

			attach_wait(a, NULL);
			ebpf_call_why(call, "%s", why);
			tlink_free(tl);
			bpf_done(call, -ESRCH);
			continue;
		}
		tlink_free(tl);
		attach_settle(a);
	}
}

/* What it holds, and itself; nobody else does any more. */
static void release(struct target *t)
{
	if (t->stats)
		osl_shm_unmap(t->stats, t->stats_size);
	if (t->stats_fd >= 0)
		close(t->stats_fd);
	if (t->mem >= 0)
		close(t->mem);
	sheets_close(t);
	free(t->members);
	free(t->maps.v);
	free(t->progs.v);
	free(t->rings);
	free(t->pairs);
	free(t->sites);
	free(t->by_addr.v);
	free(t->arenas);
	free(t);
}

void target_free(struct target *t)
{
	struct daemon *d = t->d;
	char why[PROBE_WHY_MAX];
	int fd = t->exit.fd;

	if (t->stats && READ_ONCE(t->stats->signals_lost))
		log_line("target %d: %llu signals were lost, the process has no memory for them",
			 t->pid, (unsigned long long)READ_ONCE(t->stats->signals_lost));
	/* its last lines are for those who watch it */
	trace_drain(d);
	t->gone = true;
	hold_forget(t);
	exchange_abort(t);
	loop_timer_stop(&d->loop, &t->retry);
	loop_timer_stop(&d->loop, &t->restore);
	loop_timer_stop(&d->loop, &t->silent);
	loop_timer_stop(&d->loop, &t->look);
	debugger_forget(t);
	loop_del(&d->loop, &t->exit);
	if (fd >= 0)
		close(fd);
	participant_dead(d, t->participant);
	reap_maps(t);
	if (t->stats)
		drop_links(t);
	target_settled(t, -ESRCH, why_gone(t, why));
	list_del_init(&t->node);
	release(t);
	daemon_check_idle(d);
}

/* --- what is to be done ------------------------------------------------------------------------
 */

void target_link_up(struct target *t)
{
	struct ebpf_obj *o;

	list_for_each_entry (o, &t->d->table.objs[EBPF_OBJ_LINK], node) {
		struct ebpf_link_obj *l = ebpf_obj_link(o);

		if (l->priv && attach_covers(l, t))
			tlink_new(t, l->priv);
	}
}

static bool worth_planning(const struct target *t, const struct tlink *tl)
{
	if (tl->a->batched)
		return false;
	return tl->state == TLINK_WANT || tl->update || (t->modules && tlink_moves(tl));
}

bool target_any_armed(const struct target *t)
{
	for (u32 i = 0; i < t->nsites; i++)
		if (t->sites[i].armed)
			return true;
	return false;
}

bool target_owes_bytes(const struct target *t)
{
	return t->loaded && !t->gone && (t->drop_all || t->ndrops);
}

bool target_has_work(const struct target *t)
{
	const struct tlink *tl;
	const struct waiter *w;

	if (t->gone)
		return false;
	for (tl = tlink_next(t, NULL, t->modules); tl; tl = tlink_next(t, tl, t->modules))
		if (worth_planning(t, tl))
			return true;
	if (target_owes_bytes(t) || (t->loaded && t->slots_changed))
		return true;
	/* somebody wants it adopted */
	list_for_each_entry (w, &t->waiters, node)
		if (!t->loaded)
			return true;
	return false;
}

/* Always from the loop: whoever asks is in the middle of something. */
void target_reconcile(struct target *t)
{
	if (t->gone)
		return;
	t->failed = false;
	if (t->x)
		t->dirty = true;
	else if (list_empty(&t->retry.node))
		loop_timer_arm(&t->d->loop, &t->retry, 0);
}

/* An answer may free any of the list: after each the search starts over. */
static void settle_links(struct daemon *d)
{
	struct attach *a;
again:
	list_for_each_entry (a, &d->waiting, in_waiting)
		if (attach_settle(a))
			goto again;
}

void target_settled(struct target *t, int err, const char *why)
{
	struct list_head done;

	t->rounds = 0;
	inner_publish(t->d);
	if (t->stats && t->gone)
		tally_settle(t);
	if (!t->gone)
		settle_links(t->d);
	list_init(&done);
	while (!list_empty(&t->waiters)) {
		struct waiter *w = list_entry(t->waiters.next, struct waiter, node);

		list_del_init(&w->node);
		list_add_tail(&w->node, &done);
	}
	while (!list_empty(&done)) {
		struct waiter *w = list_entry(done.next, struct waiter, node);

		list_del_init(&w->node);
		w->fn(w, t, err, why);
	}
}

/*
 * Who waits is told when everything is done that is wanted by now, not when the exchange is over
 * that happened to be under way: it may have begun before.
 */
void target_advanced(struct target *t)
{
	char why[PROBE_WHY_MAX];

	target_rest(t);
	if (t->sweep)
		sweep_children(t);
	t->sweep = false;
	if (!target_has_work(t)) {
		t->restores = 0;
		debugger_awake(t);
		target_settled(t, 0, NULL);
		return;
	}
	if (t->rounds++ < ROUNDS_MAX) {
		settle_links(t->d);
		target_reconcile(t);
		if (t->lingers)
			loop_timer_arm(&t->d->loop, &t->retry, LINGER_NS << MIN(t->rounds, 7u));
		t->lingers = false;
		return;
	}
	snprintf(why, sizeof(why), "process %d changes faster than it can be probed", t->pid);
	target_fail(t, -EBUSY, why);
}

void target_fail(struct target *t, int err, const char *why)
{
	struct tlink *tl, *tmp;

	log_line("target %d (%s): %s", t->pid, t->comm, why);
	list_for_each_entry_safe (tl, tmp, &t->open, in_open) {
		if (tl->state == TLINK_WANT || tl->state == TLINK_FLYING)
			tlink_fail(tl, err, why);
		tlink_update(tl, false);
	}
	t->failed = true;
	if (target_owes_bytes(t) || (t->loaded && t->slots_changed && !t->gone))
		loop_timer_arm(&t->d->loop, &t->restore,
			       RESTORE_AGAIN_NS << MIN(t->restores++, RESTORE_SLOWER));
	target_settled(t, err, why);
}

/* --- fork --------------------------------------------------------------------------------------
 */

static void *copy(const void *p, size_t n)
{
	void *q = malloc(n ? n : 1);

	if (q && n)
		memcpy(q, p, n);
	return q;
}

static int inherit(struct target *t, const struct target *parent)
{
	t->sites = copy(parent->sites, parent->nsites * sizeof(*t->sites));
	t->arenas = copy(parent->arenas, parent->narenas * sizeof(*t->arenas));
	t->progs.v = copy(parent->progs.v, parent->progs.n * sizeof(*t->progs.v));
	if (!t->sites || !t->arenas || !t->progs.v)
		return -ENOMEM;
	t->nsites = t->sites_room = parent->nsites;
	t->narenas = parent->narenas;
	t->progs.n = t->progs.room = parent->progs.n;
	for (u32 i = 0; i < t->progs.n; i++)
		t->progs.v[i].sent = false;
	for (u32 i = 0; i < t->nsites; i++)
		t->sites[i].consumers = 0;
	memcpy(t->dropped, parent->dropped, sizeof(t->dropped));
	t->ndropped = parent->ndropped;
	t->next_stat = parent->next_stat;
	t->base = parent->base;
	t->dl_debug = parent->dl_debug;
	return 0;
}

struct target *target_fork(struct target *parent, s32 pid)
{
	char why[PROBE_WHY_MAX];
	struct tlink *tl, *mine;
	struct target *t;
	int err;

	t = target_new(parent->d, pid, &err, why);
	if (!t)
		return NULL;
	t->how = 3;
	t->forked = t->loaded = true;
	t->follow_of = parent->follow_of ? parent->follow_of : parent->pid;
	for (u32 i = 0; i < parent->nmembers; i++)
		if (parent->members[i].follow)
			target_join(t, parent->members[i].session, true);
	if (!t->nmembers)
		t->follow_of = 0;
	if (inherit(t, parent)) {
		target_free(t);
		return NULL;
	}
	/* the same memory in both: neither writes to it any more */
	sheets_close(t);
	sheets_close(parent);
	/* what the child has of its parent's links it counts where the parent would have */
	list_for_each_entry (tl, &parent->links, in_target) {
		if (!attach_covers(tl->a->l, t)) {
			if (t->ndropped < TARGET_DROPPED)
				t->dropped[t->ndropped++] = tl->link;
			continue;
		}
		mine = tlink_new(t, tl->a);
		if (mine) {
			mine->stat = tl->stat;
			mine->inherited = tl->had || tl->inherited;
		}
	}
	return t;
}
