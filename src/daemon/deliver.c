/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an exchange sends, in an order in which nothing refers to what comes later, and what the
 * agent's acknowledgements change in the daemon's view of the target.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/run/map/ringbuf.h"
#include "daemon/exchange.h"

#define RET_INSTANCES 65536u
#define LINGER_ROUNDS 8u
#define RING_PER_SITE (16u << 10) /* bytes */
#define SITES_PER_MSG 128u
#define RESTORES_PER_MSG 512u
_Static_assert(SITES_PER_MSG <= (AGENT_MSG_MAX - 64) / sizeof(struct agent_site), "");
#define CONSUMERS_PER_MSG ((AGENT_MSG_MAX - 64) / sizeof(struct agent_consumer))

/* --- acknowledgements --------------------------------------------------------------------------
 */

struct tlink *deliver_find(struct target *t, u64 link)
{
	struct tlink *first = t->next_open ? t->next_open : tlink_next(t, NULL, false), *tl = first;

	while (tl && tl->link != link) {
		tl = tlink_next(t, tl, false);
		if (!tl)
			tl = tlink_next(t, NULL, false);
		if (tl == first)
			return NULL;
	}
	/* who asks for one asks for the next one then */
	t->next_open = tl ? tlink_next(t, tl, false) : NULL;
	return tl;
}

static void ack_setup(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	if (err) {
		exchange_fail(x, err, "the agent in process %d cannot set itself up: %s", x->t->pid,
			      strerror(-err));
		return;
	}
	x->t->setup = x->t->loaded = true;
	/* what it did before in this exchange, that is; it may be called again for the rest */
	WRITE_ONCE(x->t->stats->inert, 0);
}

static void ack_map(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	u32 i = given_index(&x->t->maps, m->arg);

	if (i == x->t->maps.n || !err)
		return;
	x->t->maps.v[i].sent = false;
	log_line("target %d: map %u was not taken: %s", x->t->pid, m->arg, strerror(-err));
}

static void ack_prog(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	u32 i = given_index(&x->t->progs, m->arg);

	if (i == x->t->progs.n || !err)
		return;
	x->t->progs.v[i].sent = false;
	log_line("target %d: program %u was not taken: %s", x->t->pid, m->arg, strerror(-err));
}

static s32 element_err(const u8 *body, u32 len, u32 i, s32 all)
{
	s32 err = all;

	if ((u64)(i + 1) * sizeof(err) <= len)
		memcpy(&err, body + i * sizeof(err), sizeof(err));
	return MIN(err, 0) < -4095 ? -EPROTO : MIN(err, 0);
}

static void ack_sites(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	const struct agent_site *v = (const void *)(m->body + 8);

	for (u32 i = 0; i < m->arg; i++) {
		struct site *s = target_site(x->t, v[i].patch.addr);

		if (!s)
			continue;
		s->err = element_err(body, len, i, err);
		s->armed = !s->err;
	}
}

static const char *site_trouble(s32 err)
{
	switch (err) {
	case -EBUSY:
		return "another tool has a breakpoint there; end it first";
	case -ESTALE:
		return "the instruction in memory is not the one in the file; was the file "
		       "replaced "
		       "or the code rewritten?";
	case -EFAULT:
		return "the memory there cannot be read or written";
	case -ENOENT:
		return "its program or maps were not taken; the daemon's log says why";
	case -EPERM:
	case -EACCES:
		return "the process may not change its own code (seccomp or a memory policy)";
	default:
		return strerror(-err);
	}
}

static void consumer_failed(struct exchange *x, struct tlink *tl, const struct agent_consumer *c,
			    s32 err)
{
	const struct site *s = target_site(x->t, c->addr);
	char why[PROBE_WHY_MAX];

	if (s && s->err)
		err = s->err;
	snprintf(why, sizeof(why), "cannot probe %s at %#llx in process %d: %s",
		 *tl->symbol ? tl->symbol : "the instruction", (unsigned long long)c->addr,
		 x->t->pid,
		 err == -EOPNOTSUPP ? "returns cannot be probed here (shadow stack)"
				    : site_trouble(err));
	tlink_fail_place(tl, c->index, err, why);
}

static bool moved_away(struct exchange *x, struct tlink *tl, u64 addr)
{
	const struct site *s = target_site(x->t, addr);

	return s && (s->err == -ESTALE || s->err == -EFAULT) && want_again(tl);
}

static void ack_consumers(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body,
			  u32 len)
{
	const struct agent_consumer *v = (const void *)(m->body + 8);

	for (u32 i = 0; i < m->arg; i++) {
		s32 one = element_err(body, len, i, err);
		struct tlink *tl = deliver_find(x->t, v[i].link);

		if (!tl || tl->state != TLINK_FLYING)
			continue;
		if (one && !moved_away(x, tl, v[i].addr))
			consumer_failed(x, tl, &v[i], one);
	}
}

/* All consumers are acknowledged: what has not failed is attached. */
static void ack_last(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	char why[PROBE_WHY_MAX];
	struct tlink *tl, *tmp;

	ack_consumers(x, m, err, body, len);
	list_for_each_entry_safe (tl, tmp, &x->t->open, in_open) {
		if (tl->state != TLINK_FLYING)
			continue;
		if (tl->missing && !tlink_places(tl)) {
			memcpy(why, tl->reason, sizeof(why));
			tlink_fail(tl, tl->err, why);
			continue;
		}
		tlink_become(tl, TLINK_DONE);
		tl->moved = 0;
		if (!tl->had)
			target_event(x->t->d, x->t, MSG_EVENT_LINK_ATTACHED, tl->link, 0, NULL);
		tl->had = true;
	}
}

static void unarm_bare(struct target *t)
{
	for (u32 i = 0; i < t->nsites; i++)
		if (!t->sites[i].consumers && !t->sites[i].site.flags)
			t->sites[i].armed = false;
}

static void forget_drop(struct target *t, u32 link)
{
	u32 n = 0;

	for (u32 i = 0; i < t->ndrops; i++)
		if (t->drops[i] != link)
			t->drops[n++] = t->drops[i];
	t->ndrops = n;
}

/*
 * It is restored, but a thread is in a program that was taken away. Who detaches waits for that, as
 * programs must not count behind his back; but not for a thread that does not get on.
 */
static bool may_linger(struct target *t)
{
	t->lingers = t->rounds < LINGER_ROUNDS;
	return t->lingers;
}

static void ack_drop(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	struct target *t = x->t;

	unarm_bare(t);
	if (err == -EINPROGRESS && may_linger(t))
		return;
	if (err == -EINPROGRESS)
		log_line("target %d: a thread may still be in the program of link %u", t->pid,
			 m->arg);
	else if (err)
		log_line("target %d: link %u was not removed: %s", t->pid, m->arg, strerror(-err));
	forget_drop(t, m->arg);
}

static void ack_restore_all(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body,
			    u32 len)
{
	struct target *t = x->t;

	/* not while its other threads run: next time we stop them, if it is still to be done */
	if (err == -EAGAIN) {
		t->drop_all = t->dirty = list_empty(&t->links);
		if (t->drop_all && x->reason == AGENT_CALLED)
			exchange_fail(
				x, -EPERM,
				"it has several threads, which can't be stopped while ptrace is "
				"denied; no program runs in it any more, but where it changes its "
				"signal masks that is watched until it has one thread");
		return;
	}
	for (u32 i = 0; i < t->nsites; i++)
		t->sites[i].armed = t->sites[i].lies = false;
	/* its memory is given back next time */
	if (err == -EINPROGRESS && list_empty(&t->links) && may_linger(t)) {
		t->drop_all = true;
		return;
	}
	t->setup = t->drop_all = t->slots_changed = false;
	t->sweep = list_empty(&t->links);
	t->ndrops = 0;
}

static void ack_update(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	struct tlink *tl = deliver_find(x->t, m->arg);

	if (!tl)
		return;
	tlink_update(tl, false);
	if (err)
		tlink_fail(tl, err, "the agent did not take the new program");
}

/*
 * What is in the way there: the process may have mapped it since we looked, or the injector for the
 * time of the exchange, and will again. It is kept in the place of the arena, which has no room.
 */
static void keep_obstacle(const struct target *t, struct plan_arena *a)
{
	u64 end = a->addr + a->size, room = a->size + ARCH_STUB_RECORDS;
	struct probe_maps maps = {0};

	if (probe_maps_read(t->pid, &maps) == 0)
		for (size_t i = 0; i < maps.n; i++)
			if (maps.v[i].start < a->addr + room && maps.v[i].end > a->addr)
				end = MAX(end, maps.v[i].end);
	probe_maps_free(&maps);
	*a = (struct plan_arena){.addr = a->addr, .used = end - a->addr};
}

/*
 * The range is given up, with the slots that were planned in it, and everything is planned once
 * more.
 */
static void ack_arena(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	struct target *t = x->t;
	struct plan_arena *a = &t->arenas[m->arg];
	u64 addr = a->addr;

	if (!err)
		return;
	for (u32 i = 0; i < t->nsites; i++) {
		struct agent_site *s = &t->sites[i].site;

		if (!t->sites[i].armed &&
		    (s->patch.slot - a->addr < a->size || s->jump.stub - a->addr < a->size)) {
			memset(&s->patch, 0, sizeof(s->patch));
			memset(&s->jump, 0, sizeof(s->jump));
		}
	}
	keep_obstacle(t, a);
	exchange_fail(x, -EAGAIN,
		      "process %d has no room for the displaced instructions at %#llx%s", t->pid,
		      (unsigned long long)addr,
		      err == -ENOMEM ? ": it may map no more memory (ulimit -v)" : "");
}

void deliver_ack_nothing(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	if (err)
		log_line("target %d: message %u refused: %s", x->t->pid, m->type, strerror(-err));
}

/* --- what is to be sent ------------------------------------------------------------------------
 */

/* The unified hierarchy's id of the target's control group: the inode of its directory. */
static u64 cgroup_of(s32 pid)
{
	char path[64], line[4200], dir[4300];
	_cleanup_fclose_ FILE *f = NULL;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3))
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(dir, sizeof(dir), "/sys/fs/cgroup%s", line + 3);
		return stat(dir, &st) ? 0 : st.st_ino;
	}
	return 0;
}

/* AT_SYSINFO_EHDR of the target. */
static u64 vdso_of(s32 pid)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	u64 v[2];

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && read(fd, v, sizeof(v)) == sizeof(v))
		if (v[0] == AT_SYSINFO_EHDR)
			return v[1];
	return 0;
}

/* A program only reads what a map of maps holds. */
static bool is_readonly(const struct ebpf_map_obj *m)
{
	return m->outer || m->meta.map_flags & BPF_F_RDONLY_PROG;
}

void deliver_put_map(struct exchange *x, struct ebpf_map_obj *m)
{
	struct agent_map am = {.meta = m->meta,
			       .size = m->obj.size,
			       .ring = ebpf_is_ring(m->meta.type),
			       .readonly = is_readonly(m)};
	struct given_one *g = given_add(&x->t->maps, m->obj.id);
	struct xmsg *msg;

	if (!g || g->sent)
		return;
	msg = exchange_enqueue(x, AGENT_MAP, &am, sizeof(am));
	if (!msg)
		return;
	exchange_enqueue_fd(msg, m->const_fd >= 0 ? m->const_fd : m->obj.fd);
	m->delivered = true;
	msg->ack = ack_map;
	/* of a ring the first pages are made present */
	if (am.ring && m != x->t->d->trace_map)
		msg->weight = MIN(m->obj.size, AGENT_RING_PRESENT) / RING_PER_SITE;
	msg->arg = m->obj.id;
	g->sent = true;
}

static void put_setup(struct exchange *x)
{
	struct target *t = x->t;
	struct daemon *d = t->d;
	struct agent_setup s = {.participant = t->participant,
				.tgid = t->pid,
				.target = t->cookie,
				.generation = d->life->generation,
				.uid = d->uid,
				.gid = getegid(),
				.cgroup_id = cgroup_of(t->pid),
				.vdso = vdso_of(t->pid),
				.nr_cpus = osl_nr_cpus(),
				.nstats = TARGET_STATS,
				.trace_map = d->trace_map ? d->trace_map->obj.id : 0,
				.bells_size = ALIGN_UP(sizeof(struct osl_bells), EBPFRT_PAGE_SIZE),
				.life_size = ALIGN_UP(sizeof(struct osl_life), EBPFRT_PAGE_SIZE),
				.stats_size = t->stats_size,
				.ret_instances = RET_INSTANCES,
				.jumps = d->jumps};
	struct xmsg *m;

	snprintf(s.socket, sizeof(s.socket), "%s/agent", d->dir);
	m = exchange_enqueue(x, AGENT_SETUP, &s, sizeof(s));
	if (m)
		m->ack = ack_setup;
	exchange_enqueue_fd(m, d->bells_fd);
	exchange_enqueue_fd(m, d->life_fd);
	exchange_enqueue_fd(m, t->stats_fd);
	/* a new set-up is a new start: the agent may have forgotten what it had */
	for (u32 i = 0; i < t->maps.n; i++)
		t->maps.v[i].sent = false;
	for (u32 i = 0; i < t->progs.n; i++)
		t->progs.v[i].sent = false;
	for (u32 i = 0; i < t->nrings; i++)
		t->rings[i].done = false;
	inner_forget(t);
	t->arenas_sent = 0;
	if (d->trace_map)
		deliver_put_map(x, d->trace_map);
}

static void ack_follow(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	const struct agent_follow *f = (const void *)m->body;

	x->t->family = err ? 0 : f->token;
}

/* Where LD_PRELOAD can express it; false: nothing can be followed. */
static bool agent_name(struct daemon *d, char *name, size_t size)
{
	char link[64];
	ssize_t n;
	int fd = exchange_agent_file(d);

	if (fd < 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, size - 1);
	name[MAX(n, 0)] = 0;
	return n > 0 && (size_t)n < size - 1 && !strpbrk(name, " :");
}

/* What it executes belongs to the same sessions. */
static void put_follow(struct exchange *x)
{
	struct target *t = x->t;
	struct agent_follow f = {.token = family_of(t)};
	char why[PROBE_WHY_MAX];
	struct probe_process p;
	struct xmsg *m;

	if (!agent_name(t->d, f.agent, sizeof(f.agent)))
		f.token = 0;
	if (f.token == t->family && !deliver_needs_setup(x))
		return;
	if (probe_process_read(t->pid, &p, why) == 0)
		f.filters = p.seccomp_filters;
	m = exchange_enqueue(x, AGENT_FOLLOW, &f, sizeof(f));
	if (m)
		m->ack = ack_follow;
}

/* Lists go out in as many messages as they need. */
static struct xmsg *put_list(struct exchange *x, u16 type, const void *v, u32 size, u32 n)
{
	u32 head[2] = {n, 0};
	struct xmsg *m = calloc(1, sizeof(*m) + sizeof(head) + (size_t)n * size);

	if (!m)
		return NULL;
	m->type = type;
	m->len = sizeof(head) + n * size;
	m->arg = n;
	memcpy(m->body, head, sizeof(head));
	memcpy(m->body + sizeof(head), v, (size_t)n * size);
	list_add_tail(&m->node, &x->queue);
	return m;
}

static int by_number(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

static void ack_awake(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	x->t->slept = x->t->slept && err;
}

static void put_awake(struct exchange *x)
{
	struct xmsg *m = x->t->slept ? exchange_enqueue(x, AGENT_AWAKE, NULL, 0) : NULL;

	if (m)
		m->ack = ack_awake;
}

static bool is_bare(const struct site *s)
{
	return s->armed && !s->consumers && !s->site.flags;
}

static bool is_plain(const struct site *s)
{
	return s->armed && !s->site.flags;
}

static void ack_restore(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	const u64 *v = (const void *)(m->body + 8);

	for (u32 i = 0; i < m->arg && !err; i++) {
		struct site *s = target_site(x->t, v[i]);

		if (s)
			s->armed = false;
	}
}

/*
 * So many sites that to restore them at once would hold the target for too long go before. What is
 * left is enough for the rest to be done whatever becomes of us in between.
 */
static void put_restore(struct exchange *x, bool (*goes)(const struct site *s))
{
	struct target *t = x->t;
	_cleanup_free_ u64 *v = calloc(t->nsites + 1, sizeof(*v));
	u32 n = 0;

	for (u32 i = 0; v && i < t->nsites; i++)
		if (goes(&t->sites[i]))
			v[n++] = t->sites[i].site.patch.addr;
	qsort(v, n, sizeof(*v), by_number);
	for (u32 i = 0; n - i > RESTORES_PER_MSG; i += RESTORES_PER_MSG) {
		struct xmsg *m = put_list(x, AGENT_RESTORE, v + i, sizeof(*v), RESTORES_PER_MSG);

		if (m) {
			m->ack = ack_restore;
			m->weight = m->arg;
		}
	}
}

static void put_drops(struct exchange *x)
{
	struct target *t = x->t;

	/* everything goes */
	if (x->drop_all && !x->nwants)
		return;
	if (t->ndrops && !t->forked)
		put_restore(x, is_bare);
	for (u32 i = 0; i < (t->forked ? t->ndropped : t->ndrops); i++) {
		struct agent_drop drop = {.link = t->forked ? t->dropped[i] : t->drops[i]};
		struct xmsg *m = exchange_enqueue(x, AGENT_DROP_LINK, &drop, sizeof(drop));

		if (m) {
			m->ack = ack_drop;
			m->arg = drop.link;
		}
	}
}

/* What is not a link's goes too: hooks into the loader and the signal masks. */
static void put_restore_all(struct exchange *x)
{
	struct xmsg *m;

	put_restore(x, is_plain);
	m = exchange_enqueue(x, AGENT_RESTORE_ALL, NULL, 0);
	if (m)
		m->ack = ack_restore_all;
}

static void put_prog(struct exchange *x, struct ebpf_prog_obj *p, const u64 *calls);

/* What its arrays of programs lead to has to be there as well. */
static void put_tail_calls(struct exchange *x, struct ebpf_map_obj *m)
{
	if (m->meta.type != BPF_MAP_TYPE_PROG_ARRAY)
		return;
	for (u32 i = 0; i < m->meta.max_entries; i++)
		if (m->slots[i])
			put_prog(x, ebpf_obj_prog(m->slots[i]), NULL);
}

/* @calls: where what it calls is, if that is known. */
static void put_prog(struct exchange *x, struct ebpf_prog_obj *p, const u64 *calls)
{
	struct given_one *g = given_add(&x->t->progs, p->obj.id);
	struct {
		struct agent_prog prog;
		u32 ids[EBPF_MAX_USED_MAPS];
	} body = {.prog = {.id = p->obj.id, .size = p->image_size, .nmaps = p->nmaps}};
	bool again = !g || g->sent;
	struct xmsg *m;

	if (g && !g->sent) {
		g->sent = true;
		body.prog.stat = TARGET_STATS - 1;
		if (calls)
			memcpy(body.prog.calls, calls, sizeof(body.prog.calls));
		for (u32 i = 0; i < p->nmaps; i++) {
			body.ids[i] = p->maps[i]->obj.id;
			deliver_put_map(x, p->maps[i]);
		}
		m = exchange_enqueue(x, AGENT_PROG, &body,
				     sizeof(body.prog) + p->nmaps * sizeof(u32));
		exchange_enqueue_fd(m, p->obj.fd);
		if (m) {
			m->ack = ack_prog;
			m->arg = p->obj.id;
		}
	}
	/* each program is entered once: the recursion ends */
	for (u32 i = 0; !again && i < p->nmaps; i++)
		put_tail_calls(x, p->maps[i]);
}

static void put_new_elements(struct exchange *x)
{
	struct ebpf_obj *o;

	list_for_each_entry (o, &x->t->d->table.objs[EBPF_OBJ_MAP], node) {
		if (given_index(&x->t->maps, o->id) == x->t->maps.n)
			continue;
		put_tail_calls(x, ebpf_obj_map(o));
		inner_put(x, ebpf_obj_map(o));
	}
}

static struct ring_given *ring_given(struct target *t, u32 map, u32 index)
{
	struct ring_given *v;

	for (u32 i = 0; i < t->nrings; i++)
		if (t->rings[i].map == map && t->rings[i].index == index)
			return &t->rings[i];
	v = realloc(t->rings, (t->nrings + 1) * sizeof(*v));
	if (!v)
		return NULL;
	t->rings = v;
	v[t->nrings] = (struct ring_given){.map = map, .index = index};
	return &v[t->nrings++];
}

static void put_ring(struct exchange *x, struct ebpf_map_obj *m, u32 index)
{
	struct agent_perf_ring r = {.map = m->obj.id, .index = index};
	struct ebpf_obj *event = m->slots[index];
	struct ring_given *g;
	struct xmsg *msg;
	int fd = -1;

	if (event)
		fd = perf_ring(event, &r.size, &r.id);
	if (event && fd >= 0)
		r.bell = perf_bell(event);
	else
		r.size = 0;
	g = ring_given(x->t, m->obj.id, index);
	if (!g || (g->event == r.id && g->size == r.size && (g->done || !r.size)))
		return;
	msg = exchange_enqueue(x, AGENT_PERF_RING, &r, sizeof(r));
	if (msg && fd >= 0)
		exchange_enqueue_fd(msg, fd);
	*g = (struct ring_given){m->obj.id, index, r.id, r.size, true};
}

static void put_rings(struct exchange *x)
{
	struct ebpf_obj *o;

	list_for_each_entry (o, &x->t->d->table.objs[EBPF_OBJ_MAP], node) {
		struct ebpf_map_obj *m = ebpf_obj_map(o);

		if (m->meta.type != BPF_MAP_TYPE_PERF_EVENT_ARRAY ||
		    given_index(&x->t->maps, o->id) == x->t->maps.n)
			continue;
		for (u32 i = 0; i < m->meta.max_entries; i++)
			put_ring(x, m, i);
	}
}

static void put_programs(struct exchange *x)
{
	struct tlink *tl;

	list_for_each_entry (tl, &x->t->open, in_open)
		if (tl->state == TLINK_FLYING || tl->update)
			put_prog(x, tl->a->l->prog,
				 tl->calls_of == tl->a->l->prog->obj.id ? tl->calls : NULL);
	put_new_elements(x);
	put_rings(x);
	x->t->slots_changed = false;
}

static void put_updates(struct exchange *x)
{
	struct tlink *tl, *tmp;

	list_for_each_entry_safe (tl, tmp, &x->t->open, in_open) {
		struct agent_update u = {.link = tl->link, .prog = tl->a->l->prog->obj.id};
		struct xmsg *m;

		if (!tl->update)
			continue;
		/* a link in the air goes out with its new program anyway */
		if (tl->state != TLINK_DONE) {
			tlink_update(tl, false);
			continue;
		}
		m = exchange_enqueue(x, AGENT_UPDATE_LINK, &u, sizeof(u));
		if (m) {
			m->ack = ack_update;
			m->arg = tl->link;
		}
	}
}

static void put_arenas(struct exchange *x)
{
	struct target *t = x->t;

	for (; t->arenas_sent < t->narenas; t->arenas_sent++) {
		if (!t->arenas[t->arenas_sent].size)
			continue;
		struct agent_arena a = {.addr = t->arenas[t->arenas_sent].addr,
					.size = t->arenas[t->arenas_sent].size,
					.records = ARCH_STUB_RECORDS};

		struct xmsg *m = exchange_enqueue(x, AGENT_ARENA, &a, sizeof(a));

		if (!m)
			continue;
		m->ack = ack_arena;
		m->arg = t->arenas_sent;
	}
}

static int by_address(const void *a, const void *b)
{
	u64 x = ((const struct agent_site *)a)->patch.addr;
	u64 y = ((const struct agent_site *)b)->patch.addr;

	return (x > y) - (x < y);
}

#define PADS_PER_MSG 128u

static int by_page(const void *a, const void *b)
{
	u64 x = ((const struct agent_pad *)a)->addr, y = ((const struct agent_pad *)b)->addr;

	return (x > y) - (x < y);
}

/* The pages where the sites of the plan lead, each once: how many. */
static u32 pages_of(struct target *t, struct plan_out *o, struct agent_pad *v)
{
	u32 n = 0, unique = 0;

	for (u32 i = 0; i < o->nsites; i++) {
		const struct site *s = target_site(t, plan_sites(o)[i].patch.addr);

		if (s && s->sheet)
			v[n++] = (struct agent_pad){ALIGN_DOWN(s->site.jump.to, EBPFRT_PAGE_SIZE),
						    s->sheet - 1, 0};
	}
	qsort(v, n, sizeof(*v), by_page);
	for (u32 i = 0; i < n; i++)
		if (!i || v[i].addr != v[i - 1].addr)
			v[unique++] = v[i];
	return unique;
}

/* What can't be mapped is no jump: the agent sees that. */
static void ack_pads(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
}

static void put_pads(struct exchange *x)
{
	struct plan_out *o = x->plan.out;
	_cleanup_free_ struct agent_pad *v = calloc(o->nsites + 1, sizeof(*v));
	u32 n = v ? pages_of(x->t, o, v) : 0;

	for (u32 i = 0; i < n; i += PADS_PER_MSG) {
		struct xmsg *m =
			put_list(x, AGENT_PADS, v + i, sizeof(*v), MIN(n - i, PADS_PER_MSG));

		exchange_enqueue_fd(m, x->t->sheets_fd);
		if (m) {
			m->ack = ack_pads;
			m->weight = m->arg;
		}
	}
}

/* The agent writes by pages, so they come in the order of addresses. */
static void put_sites(struct exchange *x)
{
	struct plan_out *o = x->plan.out;
	_cleanup_free_ struct agent_site *v = calloc(o->nsites + 1, sizeof(*v));
	u32 n = 0, first;

	/* those that do other things than run programs are listed last and armed first */
	for (u32 pass = 0; v && pass < 2; pass++) {
		first = n;
		for (u32 i = 0; i < o->nsites; i++) {
			const struct site *s = target_site(x->t, plan_sites(o)[i].patch.addr);

			if (s && !!s->site.flags == !pass)
				v[n++] = s->site;
		}
		qsort(v + first, n - first, sizeof(*v), by_address);
	}
	for (u32 i = 0; i < n; i += SITES_PER_MSG) {
		struct xmsg *m =
			put_list(x, AGENT_SITES, v + i, sizeof(*v), MIN(n - i, (u32)SITES_PER_MSG));

		if (m) {
			m->ack = ack_sites;
			m->weight = m->arg;
		}
	}
}

#define ADDRS_PER_MSG 1024u

static void ack_forget(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	const u64 *v = (const void *)(m->body + 8);

	for (u32 i = 0; i < m->arg && !err; i++) {
		struct site *s = target_site(x->t, v[i]);

		if (s)
			s->armed = false;
	}
}

static void put_gone(struct exchange *x)
{
	struct plan_out *o = x->plan.out;
	struct xmsg *m;

	for (u32 i = 0; i < o->ngone; i += ADDRS_PER_MSG) {
		m = put_list(x, AGENT_FORGET, plan_gone(o) + i, sizeof(u64),
			     MIN(o->ngone - i, ADDRS_PER_MSG));
		if (m)
			m->ack = ack_forget;
	}
}

static u32 consumer_flags(const struct tlink *tl)
{
	const u32 entry = tl->entry ? AGENT_CONSUMER_ENTRY : 0;

	if (tl->a->l->is_session)
		return entry | AGENT_CONSUMER_SESSION;
	if (!tl->a->l->is_ret)
		return entry;
	return entry | AGENT_CONSUMER_RET | (tl->at_returns ? AGENT_CONSUMER_AT_RETURNS : 0);
}

static void put_consumers(struct exchange *x)
{
	struct agent_consumer *v = calloc(x->nwants + 1, sizeof(*v));
	struct xmsg *m = NULL;
	u32 n = 0;

	for (u32 i = 0; v && i < x->nwants; i++) {
		struct tlink *tl = deliver_find(x->t, x->wants[i].link);
		u32 k = x->wants[i].index;

		if (!tl || tl->state != TLINK_FLYING || k >= tl->naddrs || !tl->addrs[k])
			continue;
		tl->sent = true;
		v[n++] = (struct agent_consumer){
			.addr = tl->addrs[k],
			.link = tl->link,
			.cookie = tl->a->l->cookies[k],
			.sema = tl->semas[k],
			.prog = tl->a->l->prog->obj.id,
			.flags = consumer_flags(tl),
			.stat = tl->stat,
			.index = k,
		};
	}
	for (u32 i = 0; i < n; i += CONSUMERS_PER_MSG) {
		m = put_list(x, AGENT_CONSUMERS, v + i, sizeof(*v),
			     MIN(n - i, (u32)CONSUMERS_PER_MSG));
		if (m) {
			m->ack = ack_consumers;
			m->weight = m->arg;
		}
	}
	if (m)
		m->ack = ack_last;
	free(v);
}

bool deliver_needs_setup(const struct exchange *x)
{
	return !x->t->setup || x->reason == AGENT_START || x->reason == AGENT_FORK;
}

void deliver_put_all(struct exchange *x)
{
	struct target *t = x->t;

	if (deliver_needs_setup(x))
		put_setup(x);
	x->slots_changed |= t->slots_changed;
	put_awake(x);
	put_drops(x);
	t->forked = false;
	if (x->drop_all) {
		put_restore_all(x);
		if (!x->nwants)
			return;
		put_setup(x);
	}
	/* before anything is mapped that could come to lie there */
	put_arenas(x);
	put_programs(x);
	put_updates(x);
	put_follow(x);
	if (x->plan.out) {
		put_gone(x);
		put_pads(x);
		put_sites(x);
		put_consumers(x);
	}
}
