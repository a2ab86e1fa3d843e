/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions: which targets belong to which client, and the requests about targets and links.
 *
 * A session lives as long as its connection or a link it made. A target that no session wants any
 * more gets all its bytes back and rests: its agent stays, asleep, and is found again by the next
 * adoption.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/exchange.h"
#include "daemon/hold.h"

/* --- waiting for several targets ---------------------------------------------------------------
 */

struct group {
	struct pending req;
	u32 left;
	s32 pid;
	u32 session;
	s32 err;
	bool detaching; /* only what is not restored is a failure */
	u32 unrestored; /* how many of them are not, */
	s32 unrestored_pid;
	char obstacle[PROBE_WHY_MAX]; /* and why the first one isn't */
	char why[2 * PROBE_WHY_MAX];
	void (*done)(struct daemon *d, struct group *g);
	struct daemon *d;
};

struct group_waiter {
	struct waiter w;
	struct group *g;
};

static struct group *group_new(struct client *c, const struct frame *f,
			       void (*done)(struct daemon *, struct group *))
{
	struct group *g = calloc(1, sizeof(*g));

	if (!g) {
		client_reply(c, &f->hdr, -ENOMEM, NULL, 0, NULL, 0, NULL);
		return NULL;
	}
	list_init(&g->req.node);
	pending_add(c, &g->req, &f->hdr);
	g->session = c->session;
	g->done = done;
	g->d = c->d;
	g->left = 1; /* the one who fills the group */
	return g;
}

static void group_put(struct group *g)
{
	if (--g->left)
		return;
	g->done(g->d, g);
	pending_forget(&g->req);
	free(g);
}

static void group_fail(struct group *g, int err, const char *why)
{
	if (g->err)
		return;
	g->err = err;
	snprintf(g->why, sizeof(g->why), "%s", why ? why : "");
}

/* The first one is named, with what is in the way there; the others are counted. */
static void not_restored(struct group *g, const struct target *t, int err, const char *why)
{
	char others[32] = "";

	if (g->err && !g->unrestored)
		return;
	if (!g->unrestored++) {
		g->err = err;
		g->unrestored_pid = t->pid;
		snprintf(g->obstacle, sizeof(g->obstacle), "%s", why ? why : strerror(-err));
	} else {
		snprintf(others, sizeof(others), " (and %u other%s)", g->unrestored - 1,
			 g->unrestored == 2 ? "" : "s");
	}
	snprintf(g->why, sizeof(g->why),
		 "probes are still in process %d%s: %s; the daemon goes on trying to take them out",
		 g->unrestored_pid, others, g->obstacle);
}

static void group_wait(struct group *g, struct target *t);

/* Children that were found when @t was restored. */
static void wait_for_swept(struct group *g, const struct target *t)
{
	struct target *o;

	list_for_each_entry (o, &t->d->targets, node)
		if (o->swept_by == t->cookie && target_owes_bytes(o))
			group_wait(g, o);
}

/* One of several that ends while it is attached to: as if it had done so a moment later. */
static bool others_go_on(const struct group *g, const struct target *t, int err)
{
	const struct target *o;

	if (err != -ESRCH || !t->gone || t->executed || g->pid)
		return false;
	list_for_each_entry (o, &g->d->targets, node)
		if (o != t && !o->gone && target_has(o, g->session))
			return true;
	return false;
}

static void on_settled(struct waiter *w, struct target *t, int err, const char *why)
{
	struct group *g = container_of(w, struct group_waiter, w)->g;

	if (g->detaching)
		wait_for_swept(g, t);
	/* attaching, the trouble of others' targets is theirs */
	if (err && !g->detaching && (g->pid || target_has(t, g->session)) &&
	    !others_go_on(g, t, err))
		group_fail(g, err, why);
	else if (err && g->detaching && target_owes_bytes(t))
		not_restored(g, t, err, why);
	free(container_of(w, struct group_waiter, w));
	group_put(g);
}

static void group_wait(struct group *g, struct target *t)
{
	struct group_waiter *gw = calloc(1, sizeof(*gw));

	if (!gw) {
		group_fail(g, -ENOMEM, "out of memory");
		return;
	}
	gw->g = g;
	gw->w.fn = on_settled;
	list_add_tail(&gw->w.node, &t->waiters);
	g->left++;
	target_reconcile(t);
}

static void reply_plain(struct daemon *d, struct group *g)
{
	pending_reply(&g->req, g->err, NULL, 0, NULL, 0, g->why);
}

/* --- sessions ----------------------------------------------------------------------------------
 */

bool session_alive(struct daemon *d, u32 session)
{
	struct ebpf_obj *o;

	if (client_by_session(d, session))
		return true;
	list_for_each_entry (o, &d->table.objs[EBPF_OBJ_LINK], node)
		if (ebpf_obj_link(o)->session == session && ebpf_obj_link(o)->priv)
			return true;
	return false;
}

/* No link covers it: everything is restored, hooks into loader and signal masks included. */
void target_rest(struct target *t)
{
	if (!list_empty(&t->links) || !t->loaded || t->drop_all)
		return;
	if (!target_any_armed(t) && !t->ndrops)
		return;
	t->drop_all = true;
	target_reconcile(t);
}

void session_prune(struct daemon *d)
{
	struct target *t;

	list_for_each_entry (t, &d->targets, node) {
		for (u32 i = 0; i < t->nmembers;) {
			if (session_alive(d, t->members[i].session))
				i++;
			else
				target_leave(t, t->members[i].session);
		}
		target_rest(t);
	}
	family_prune(d, session_alive);
	daemon_check_idle(d);
}

void session_gone(struct daemon *d, u32 session)
{
	tally_session_gone(d, session);
	session_prune(d);
}

bool session_in_use(struct daemon *d, u32 session)
{
	struct ebpf_obj *o;
	struct target *t;

	list_for_each_entry (t, &d->targets, node)
		if (target_has(t, session))
			return true;
	list_for_each_entry (o, &d->table.objs[EBPF_OBJ_LINK], node)
		if (ebpf_obj_link(o)->session == session)
			return true;
	return false;
}

u32 session_ntargets(struct daemon *d)
{
	struct target *t;
	u32 n = 0;

	list_for_each_entry (t, &d->targets, node)
		n += t->nmembers || !list_empty(&t->links) || t->x || target_owes_bytes(t);
	return n;
}

/* --- adopt -------------------------------------------------------------------------------------
 */

static void fill_info(const struct target *t, struct msg_target_info *o)
{
	const struct tlink *tl;
	struct agent_stat st;

	memset(o, 0, sizeof(*o));
	o->pid = t->pid;
	o->how = t->how;
	o->start_time = t->start_time;
	o->stopped_ns = t->stopped_ns;
	o->longest_ns = t->longest_ns;
	o->stops = t->stops;
	o->sessions = t->nmembers;
	o->found = t->found || t->nmembers > 1;
	memcpy(o->comm, t->comm, sizeof(o->comm));
	for (u32 i = 0; i < t->nsites; i++)
		o->nsites += t->sites[i].armed && !t->sites[i].site.flags;
	list_for_each_entry (tl, &t->links, in_target) {
		target_stat(t, tl->stat, &st);
		o->nlinks += tl->state == TLINK_DONE;
		o->missed += st.missed;
		o->aborted += st.aborted;
		o->left += st.left;
	}
	o->hits = target_hits(t);
	o->foreign = READ_ONCE(t->stats->foreign);
	o->trace_dropped = READ_ONCE(t->stats->trace_dropped);
	o->inert = READ_ONCE(t->stats->inert);
	o->jumps = READ_ONCE(t->stats->jumps);
}

static void adopted(struct daemon *d, struct group *g)
{
	struct target *t = target_by_pid(d, g->pid);
	struct msg_target_info info;

	if (!t && !g->err) {
		char why[PROBE_WHY_MAX];

		snprintf(why, sizeof(why), "process %d has ended", g->pid);
		group_fail(g, -ESRCH, why);
	}
	if (t && !t->loaded && !g->err)
		group_fail(g, -EIO, "the agent could not be loaded");
	if (g->err) {
		if (t && !t->loaded)
			target_leave(t, g->session);
		reply_plain(d, g);
		return;
	}
	fill_info(t, &info);
	pending_reply(&g->req, 0, &info, sizeof(info), NULL, 0, NULL);
}

static struct target *find_or_make(struct daemon *d, s32 pid, struct group *g)
{
	struct target *t = pid > 0 ? target_by_pid(d, pid) : NULL;
	char why[PROBE_WHY_MAX] = "process IDs are above 0";
	int err = -EINVAL;

	if (!t && pid > 0)
		t = target_new(d, pid, &err, why);
	if (!t)
		group_fail(g, err, why);
	return t;
}

static struct target *adopt(struct client *c, const struct msg_target *m, struct group *g)
{
	struct target *t = find_or_make(c->d, m->pid, g);
	struct probe_process p;
	char why[PROBE_WHY_MAX], other[PROBE_WHY_MAX];
	int err;

	if (!t)
		return NULL;
	err = probe_process_read(m->pid, &p, why);
	if (!err && !t->loaded)
		err = probe_process_may_inject(&p, why);
	if (err == -EPERM && !call_may(m->pid, other))
		err = 0;
	if (err && err != -EAGAIN) {
		group_fail(g, err, why);
		return NULL;
	}
	memcpy(t->comm, p.comm, sizeof(t->comm));
	err = target_join(t, c->session, m->flags & MSG_TARGET_FOLLOW);
	if (err) {
		group_fail(g, err, "out of memory");
		return NULL;
	}
	return t;
}

void session_adopt_request(struct client *c, const struct frame *f)
{
	struct group *g = group_new(c, f, adopted);
	struct msg_target m = {0};
	struct target *t;

	if (!g)
		return;
	if (f->len >= sizeof(m))
		memcpy(&m, f->body, sizeof(m));
	g->pid = m.pid;
	t = adopt(c, &m, g);
	if (t) {
		target_link_up(t);
		group_wait(g, t);
	}
	group_put(g);
}

/* --- drop --------------------------------------------------------------------------------------
 */

static void drop_target(struct target *t, struct group *g)
{
	/* first, while the sessions it leaves are known: its lines are theirs */
	trace_drain(t->d);
	trace_settle(t);
	if (t->nmembers)
		target_event(t->d, t, MSG_EVENT_TARGET_LEFT, 0, 0, NULL);
	t->nmembers = 0;
	while (!list_empty(&t->links))
		tlink_free(list_entry(t->links.next, struct tlink, in_target));
	if (!t->x && (!t->loaded || !target_any_armed(t)))
		return;
	t->drop_all = true;
	group_wait(g, t);
}

void session_drop_request(struct client *c, const struct frame *f)
{
	struct group *g = group_new(c, f, reply_plain);
	struct msg_target m = {0};
	struct target *t, *tmp;
	bool found = false;

	if (!g)
		return;
	g->detaching = true;
	if (f->len >= sizeof(m))
		memcpy(&m, f->body, sizeof(m));
	list_for_each_entry_safe (t, tmp, &c->d->targets, node) {
		if (t->gone || (m.pid && t->pid != m.pid) ||
		    (!t->nmembers && list_empty(&t->links)))
			continue;
		found = true;
		drop_target(t, g);
	}
	if (m.pid && !found) {
		char why[PROBE_WHY_MAX];

		snprintf(why, sizeof(why),
			 "process %d is not a target; `ebpfrt ps` lists those there are", m.pid);
		group_fail(g, -ESRCH, why);
	}
	group_put(g);
	daemon_check_idle(c->d);
}

/* --- lists -------------------------------------------------------------------------------------
 */

struct rows {
	u8 *v;
	size_t len, room;
};

static void *row(struct rows *r, size_t size)
{
	if (r->len + size > r->room) {
		size_t room = r->room ? 2 * r->room : 16 * size;
		u8 *v = realloc(r->v, room);

		if (!v)
			return NULL;
		r->v = v;
		r->room = room;
	}
	r->len += size;
	return memset(r->v + r->len - size, 0, size);
}

static void reply_rows(struct client *c, const struct frame *f, struct rows *r)
{
	client_reply(c, &f->hdr, 0, r->v, r->len, NULL, 0, NULL);
	free(r->v);
}

void session_targets_request(struct client *c, const struct frame *f)
{
	struct rows rows = {0};
	struct target *t;

	list_for_each_entry (t, &c->d->targets, node) {
		struct msg_target_info *o;

		if (t->gone || (!t->nmembers && list_empty(&t->links)))
			continue;
		o = row(&rows, sizeof(*o));
		if (o)
			fill_info(t, o);
	}
	reply_rows(c, f, &rows);
}

static void fill_link(const struct ebpf_link_obj *l, struct msg_link_info *o)
{
	o->link = l->obj.id;
	o->prog = l->prog->obj.id;
	o->is_ret = l->is_ret;
	o->is_session = l->is_session;
	o->state = MSG_LINK_PENDING;
	o->offset = l->nsites ? l->offsets[0] : 0;
	o->cookie = l->nsites ? l->cookies[0] : 0;
	memcpy(o->prog_name, l->prog->obj.name, sizeof(o->prog_name));
	strncpy(o->path, l->path ? l->path : "", sizeof(o->path) - 1);
}

static void fill_tlink(const struct tlink *tl, struct msg_link_info *o)
{
	struct agent_stat st;

	fill_link(tl->a->l, o);
	target_stat(tl->t, tl->stat, &st);
	o->pid = tl->t->pid;
	o->addr = tl->addr;
	o->hits = st.hits;
	o->missed = st.missed;
	o->aborted = st.aborted;
	o->left = st.left;
	memcpy(o->symbol, tl->symbol, sizeof(o->symbol));
	if (tl->state == TLINK_DONE)
		o->state = MSG_LINK_ATTACHED;
	if (tl->state == TLINK_FAILED) {
		o->state = MSG_LINK_FAILED;
		o->err = tl->err;
	}
	o->places = tl->state == TLINK_DONE ? tlink_places(tl) : 0;
	o->missing = tl->missing;
	if (tl->state != TLINK_DONE || tl->missing)
		snprintf(o->reason, sizeof(o->reason), "%.*s", (int)sizeof(o->reason) - 1,
			 tl->reason);
}

/* Without a process: what was counted where the link is no longer. */
static void fill_tally(const struct tally *y, struct msg_link_info *o)
{
	o->link = y->link;
	o->prog = y->prog;
	o->state = MSG_LINK_PENDING;
	o->hits = y->hits;
	o->missed = y->missed;
	o->aborted = y->aborted;
	o->left = y->left;
}

static void list_rest(struct rows *rows, const struct ebpf_link_obj *l, const struct tally *y)
{
	struct msg_link_info *o = row(rows, sizeof(*o));

	if (!o)
		return;
	if (y)
		fill_tally(y, o);
	fill_link(l, o);
	snprintf(o->reason, sizeof(o->reason), "%s",
		 l->detached ? "detached" : "no process to attach to yet");
}

static void list_link(struct daemon *d, struct rows *rows, const struct ebpf_link_obj *l, u32 pid)
{
	const struct tally *y = tally_find(d, l->obj.id);
	const struct attach *a = l->priv;
	const struct tlink *tl;
	struct msg_link_info *o;
	bool any = false;

	if (a)
		list_for_each_entry (tl, &a->tlinks, in_attach) {
			any = true;
			if (pid && tl->t->pid != (s32)pid)
				continue;
			o = row(rows, sizeof(*o));
			if (o)
				fill_tlink(tl, o);
		}
	if (!pid && (!any || (y && (y->hits || y->missed || y->aborted || y->left))))
		list_rest(rows, l, y);
}

/* Links that are gone, for the client that made them. */
static void list_gone(struct client *c, struct rows *rows, u32 id)
{
	const struct tally *y;

	list_for_each_entry (y, &c->d->gone_tallies, in_gone) {
		struct msg_link_info *o;

		if (y->session != c->session || (id && y->link != id) ||
		    ebpf_obj_by_id(&c->d->table, EBPF_OBJ_LINK, y->link))
			continue;
		o = row(rows, sizeof(*o));
		if (!o)
			return;
		fill_tally(y, o);
		snprintf(o->reason, sizeof(o->reason), "detached");
	}
}

void session_links_request(struct client *c, const struct frame *f)
{
	struct msg_link_query q = {0};
	struct rows rows = {0};
	struct ebpf_obj *obj;
	struct target *t;

	list_for_each_entry (t, &c->d->targets, node)
		tally_settle(t);
	if (f->len >= sizeof(q))
		memcpy(&q, f->body, sizeof(q));
	list_for_each_entry (obj, &c->d->table.objs[EBPF_OBJ_LINK], node)
		if (!q.id || obj->id == q.id)
			list_link(c->d, &rows, ebpf_obj_link(obj), q.pid);
	if (!q.pid)
		list_gone(c, &rows, q.id);
	reply_rows(c, f, &rows);
}

static void list_site(struct rows *rows, const struct target *t, const struct site *s)
{
	struct msg_site_info *o;

	if (!s || !s->armed || !s->consumers)
		return;
	o = row(rows, sizeof(*o));
	if (o)
		*o = (struct msg_site_info){.pid = t->pid,
					    .rung = s->site.flags ? PROBE_RUNG_OWN : s->rung,
					    .addr = s->site.patch.addr,
					    .offset = s->offset,
					    .file = s->file};
}

/* All that are probed, or those of a link. */
static void list_sites(struct rows *rows, struct target *t, u32 link)
{
	struct tlink *tl;

	for (u32 i = 0; !link && i < t->nsites; i++)
		list_site(rows, t, &t->sites[i]);
	if (!link)
		return;
	list_for_each_entry (tl, &t->links, in_target)
		for (u32 i = 0; tl->link == link && i < tl->naddrs; i++)
			if (tl->addrs[i])
				list_site(rows, t, target_site(t, tl->addrs[i]));
}

void session_sites_request(struct client *c, const struct frame *f)
{
	struct msg_link_query q = {0};
	struct rows rows = {0};
	struct target *t;

	if (f->len >= sizeof(q))
		memcpy(&q, f->body, sizeof(q));
	list_for_each_entry (t, &c->d->targets, node)
		if (!t->gone && (!q.pid || t->pid == (s32)q.pid))
			list_sites(&rows, t, q.id);
	reply_rows(c, f, &rows);
}

void session_link_drop_request(struct client *c, const struct frame *f)
{
	struct group *g = group_new(c, f, reply_plain);
	struct ebpf_obj *obj;
	struct attach *a;
	struct tlink *tl;
	u32 id = 0;

	if (!g)
		return;
	g->detaching = true;
	if (f->len >= sizeof(id))
		memcpy(&id, f->body, sizeof(id));
	obj = ebpf_obj_by_id(&c->d->table, EBPF_OBJ_LINK, id);
	a = obj ? ebpf_obj_link(obj)->priv : NULL;
	if (!obj) {
		char why[PROBE_WHY_MAX];

		snprintf(why, sizeof(why),
			 "there is no link %u; `ebpfrt link` lists those there are", id);
		group_fail(g, -ENOENT, why);
	}
	if (a)
		list_for_each_entry (tl, &a->tlinks, in_attach)
			group_wait(g, tl->t);
	if (obj) {
		ebpf_obj_link(obj)->detached = true;
		attach_detach(ebpf_obj_link(obj));
	}
	group_put(g);
}

/* --- batch -------------------------------------------------------------------------------------
 */

static void batch_done(struct daemon *d, struct group *g)
{
	struct ebpf_obj *o;
	struct tlink *tl;

	list_for_each_entry (o, &d->table.objs[EBPF_OBJ_LINK], node) {
		struct ebpf_link_obj *l = ebpf_obj_link(o);
		struct attach *a = l->priv;

		if (l->session != g->session || !a || !a->in_batch)
			continue;
		a->in_batch = false;
		list_for_each_entry (tl, &a->tlinks, in_attach)
			if (tl->state == TLINK_FAILED)
				group_fail(g, tl->err, tl->reason);
	}
	reply_plain(d, g);
}

static void wait_for_all(struct group *g)
{
	struct target *t;

	list_for_each_entry (t, &g->d->targets, node)
		if (t->x || target_has_work(t))
			group_wait(g, t);
}

static void batch_end(struct client *c, struct group *g)
{
	struct ebpf_obj *o;

	handle_reap(c->d);
	g->detaching = true;
	list_for_each_entry (o, &c->d->table.objs[EBPF_OBJ_LINK], node) {
		struct attach *a = ebpf_obj_link(o)->priv;

		if (!a || !a->batched || ebpf_obj_link(o)->session != c->session)
			continue;
		a->batched = false;
		a->in_batch = true;
		g->detaching = false;
	}
	hold_no_longer(c); /* they are what a process was held for */
	wait_for_all(g);
}

void session_batch_request(struct client *c, const struct frame *f)
{
	struct group *g;
	u32 begin = 0;

	if (f->len >= sizeof(begin))
		memcpy(&begin, f->body, sizeof(begin));
	c->batching = begin;
	if (begin) {
		client_reply(c, &f->hdr, 0, NULL, 0, NULL, 0, NULL);
		return;
	}
	g = group_new(c, f, batch_done);
	if (!g)
		return;
	batch_end(c, g);
	group_put(g);
}

void session_released_request(struct client *c, const struct frame *f)
{
	struct group *g = group_new(c, f, reply_plain);

	if (!g)
		return;
	g->detaching = true;
	handle_reap(c->d);
	if (!c->batching) {
		hold_no_longer(c);
		wait_for_all(g);
	}
	group_put(g);
}

void session_token_request(struct client *c, const struct frame *f)
{
	struct {
		u64 token;
		char path[108];
	} body = {0};

	while (!c->token)
		if (getrandom(&c->token, sizeof(c->token), 0) != sizeof(c->token)) {
			client_reply(c, &f->hdr, -EIO, NULL, 0, NULL, 0, NULL);
			return;
		}
	body.token = c->token;
	snprintf(body.path, sizeof(body.path), "%s/agent", c->d->dir);
	client_reply(c, &f->hdr, 0, &body, sizeof(body.token) + sizeof(body.path), NULL, 0, NULL);
}

/* --- the end -----------------------------------------------------------------------------------
 */

static bool all_rest(struct daemon *d)
{
	struct target *t;

	list_for_each_entry (t, &d->targets, node)
		if (t->loaded && target_any_armed(t) && t->drop_all)
			return false;
	return true;
}

/* What is not restored when the time is over restores itself: our life word dies with us. */
void targets_drop_all(struct daemon *d)
{
	u64 until = osl_now_ns() + 2000000000ull;
	struct target *t;

	list_for_each_entry (t, &d->targets, node) {
		if (!t->loaded || t->gone || !target_any_armed(t))
			continue;
		t->drop_all = true;
		target_reconcile(t);
	}
	while (!all_rest(d) && osl_now_ns() < until)
		loop_once(&d->loop, 50);
	while (!list_empty(&d->targets))
		target_free(list_entry(d->targets.next, struct target, node));
}
