/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One exchange with a target's agent: plan, get the agent's attention (injection, unless it came by
 * itself), then one message after the other, each acknowledged, until everything wanted is there.
 *
 * Rules: the agent's words are hostile: lengths are checked, error numbers only shown. A target
 * that stays silent loses its exchange, not its patches. What changes in the daemon while an
 * exchange runs is found by identity (link id, address), never by pointer.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/target.h"

#define NS_PER_MS 1000000ull
#define RETRIES_MAX 8u
#define RET_INSTANCES 65536u
#define SITES_PER_MSG ((AGENT_MSG_MAX - 64) / sizeof(struct agent_site))
#define CONSUMERS_PER_MSG ((AGENT_MSG_MAX - 64) / sizeof(struct agent_consumer))

struct exchange;

struct xmsg {
	struct list_head node;
	u16 type;
	u32 len; /* of body */
	int fds[3];
	u32 nfds;
	void (*ack)(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len);
	u32 arg;
	u8 body[] __attribute__((aligned(8)));
};

/* where a planned item belongs */
struct want {
	u32 link;
	u32 index; /* of the link's sites */
};

struct exchange {
	struct target *t;
	struct loop_source sock;
	struct loop_source report; /* of the injector */
	struct loop_timer timer;
	struct inject inj;
	struct plan plan;
	struct want *wants;
	u32 nwants;
	struct list_head queue; /* the first one is sent and not yet acknowledged */
	u64 seq;
	u32 reason; /* of the agent's hello, 0: none yet */
	s32 tid;    /* the agent's thread */
	bool planned, injecting, talked;
	s32 err;
	char why[PROBE_WHY_MAX];
};

static void advance(struct exchange *x);

/* --- end ---------------------------------------------------------------------------------------
 */

static void xmsg_free(struct xmsg *m)
{
	list_del_init(&m->node);
	for (u32 i = 0; i < m->nfds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	free(m);
}

static void close_sock(struct exchange *x)
{
	int fd = x->sock.fd;

	loop_del(&x->t->d->loop, &x->sock);
	if (fd >= 0)
		close(fd);
	loop_timer_stop(&x->t->d->loop, &x->timer);
}

static void exchange_free(struct exchange *x)
{
	close_sock(x);
	loop_del(&x->t->d->loop, &x->report);
	inject_finish(&x->inj);
	plan_deinit(&x->plan);
	while (!list_empty(&x->queue))
		xmsg_free(list_entry(x->queue.next, struct xmsg, node));
	free(x->wants);
	x->t->x = NULL;
	free(x);
}

void exchange_abort(struct target *t)
{
	if (t->x)
		exchange_free(t->x);
}

static bool passing(int err)
{
	return err == -EBUSY || err == -EAGAIN || err == -EINTR;
}

/* Everything that was in the air is wanted again. */
static void land(struct target *t)
{
	struct tlink *tl;

	list_for_each_entry (tl, &t->links, in_target)
		if (tl->state == TLINK_FLYING) {
			tlink_release_sites(tl);
			tl->state = TLINK_WANT;
		}
}

static void finish_badly(struct target *t, int err, const char *why)
{
	if (passing(err) && t->busy_retries++ < RETRIES_MAX) {
		land(t);
		loop_timer_arm(&t->d->loop, &t->retry, (10ull << t->busy_retries) * NS_PER_MS);
		return;
	}
	t->busy_retries = 0;
	target_fail(t, err, why);
}

static void exchange_finish(struct exchange *x)
{
	struct target *t = x->t;
	char why[PROBE_WHY_MAX];
	s32 err = x->err;

	memcpy(why, x->why, sizeof(why));
	exchange_free(x);
	if (err) {
		/* nobody knows how far it got: the next one says everything again */
		t->setup = false;
		finish_badly(t, err, why);
		return;
	}
	t->busy_retries = 0;
	t->modules = false;
	if (t->dirty && target_has_work(t)) {
		t->dirty = false;
		target_reconcile(t);
	}
	t->dirty = false;
	target_settled(t, 0, NULL);
}

static __printf_like(3, 4) void exchange_fail(struct exchange *x, int err, const char *fmt, ...)
{
	va_list ap;

	if (!x->err) {
		x->err = err;
		va_start(ap, fmt);
		vsnprintf(x->why, sizeof(x->why), fmt, ap);
		va_end(ap);
	}
	close_sock(x);
	/* the injector puts the thread back and reports; until then the target is not free */
	if (!x->injecting)
		exchange_finish(x);
}

/* --- messages ----------------------------------------------------------------------------------
 */

static struct xmsg *enqueue(struct exchange *x, u16 type, const void *body, u32 len)
{
	struct xmsg *m = calloc(1, sizeof(*m) + len);

	if (!m)
		return NULL;
	m->type = type;
	m->len = len;
	if (len)
		memcpy(m->body, body, len);
	list_add_tail(&m->node, &x->queue);
	return m;
}

static void enqueue_fd(struct xmsg *m, int fd)
{
	if (m)
		m->fds[m->nfds++] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int send_one(struct exchange *x, const struct xmsg *m)
{
	struct agent_msg hdr = {
		.len = sizeof(hdr) + m->len, .type = m->type, .abi = AGENT_ABI, .seq = ++x->seq};
	struct iovec iov[] = {{&hdr, sizeof(hdr)}, {(void *)m->body, m->len}};
	union {
		char room[CMSG_SPACE(sizeof(m->fds))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};

	if (m->nfds) {
		struct cmsghdr *c;

		mh.msg_control = control.room;
		mh.msg_controllen = CMSG_SPACE(m->nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(m->nfds * sizeof(int));
		memcpy(CMSG_DATA(c), m->fds, m->nfds * sizeof(int));
	}
	return sendmsg(x->sock.fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The agent goes on; when it was called by the injector, that one's report ends the exchange. */
static void done(struct exchange *x)
{
	static const struct xmsg bye = {.type = AGENT_DONE};

	send_one(x, &bye);
	close_sock(x);
	x->talked = true;
	if (!x->injecting)
		exchange_finish(x);
}

static void send_next(struct exchange *x)
{
	const struct xmsg *m;
	int err;

	if (list_empty(&x->queue)) {
		done(x);
		return;
	}
	m = list_entry(x->queue.next, struct xmsg, node);
	err = send_one(x, m);
	if (err) {
		exchange_fail(x, err, "the agent in process %d does not listen: %s", x->t->pid,
			      strerror(-err));
		return;
	}
	loop_timer_arm(&x->t->d->loop, &x->timer, AGENT_TIMEOUT_MS * NS_PER_MS);
}

/* --- acknowledgements --------------------------------------------------------------------------
 */

static struct tlink *find_link(struct target *t, u64 link)
{
	struct tlink *tl;

	list_for_each_entry (tl, &t->links, in_target)
		if (tl->link == link)
			return tl;
	return NULL;
}

static void ack_setup(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	if (err)
		exchange_fail(x, err, "the agent in process %d cannot set itself up: %s", x->t->pid,
			      strerror(-err));
	else
		x->t->setup = x->t->loaded = true;
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
	case -EPERM:
	case -EACCES:
		return "the process may not change its own code (seccomp or a memory policy)";
	default:
		return strerror(-err);
	}
}

static void consumer_failed(struct exchange *x, struct tlink *tl, u64 addr, s32 err)
{
	const struct site *s = target_site(x->t, addr);
	char why[PROBE_WHY_MAX];

	if (s && s->err)
		err = s->err;
	snprintf(why, sizeof(why), "cannot probe %s at %#llx in process %d: %s",
		 *tl->symbol ? tl->symbol : "the instruction", (unsigned long long)addr, x->t->pid,
		 err == -EOPNOTSUPP ? "returns cannot be probed here (shadow stack)"
				    : site_trouble(err));
	tlink_fail(tl, err, why);
}

static void ack_consumers(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body,
			  u32 len)
{
	const struct agent_consumer *v = (const void *)(m->body + 8);

	for (u32 i = 0; i < m->arg; i++) {
		s32 one = element_err(body, len, i, err);
		struct tlink *tl = find_link(x->t, v[i].link);

		if (!tl || tl->state != TLINK_FLYING)
			continue;
		if (one)
			consumer_failed(x, tl, v[i].addr, one);
	}
}

/* All consumers are acknowledged: what has not failed is attached. */
static void ack_last(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	struct tlink *tl;

	ack_consumers(x, m, err, body, len);
	list_for_each_entry (tl, &x->t->links, in_target) {
		if (tl->state != TLINK_FLYING)
			continue;
		tl->state = TLINK_DONE;
		if (!tl->had)
			target_event(x->t->d, x->t, 2, tl->link, 0);
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

static void ack_drop(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	if (err)
		log_line("target %d: link %u was not removed: %s", x->t->pid, m->arg,
			 strerror(-err));
	forget_drop(x->t, m->arg);
	unarm_bare(x->t);
}

static void ack_restore_all(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body,
			    u32 len)
{
	struct target *t = x->t;

	for (u32 i = 0; i < t->nsites; i++)
		t->sites[i].armed = false;
	t->setup = t->drop_all = false;
	t->ndrops = 0;
}

static void ack_update(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	struct tlink *tl = find_link(x->t, m->arg);

	if (!tl)
		return;
	tl->update = false;
	if (err)
		tlink_fail(tl, err, "the agent did not take the new program");
}

/*
 * The process has mapped something there since we looked. The range is given up, with the slots
 * that were planned in it, and everything is planned once more.
 */
static void ack_arena(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
{
	struct target *t = x->t;
	struct plan_arena *a = &t->arenas[m->arg];

	if (!err)
		return;
	for (u32 i = 0; i < t->nsites; i++) {
		struct arch_patch *p = &t->sites[i].site.patch;

		if (!t->sites[i].armed && p->slot >= a->addr && p->slot - a->addr < a->size)
			memset(p, 0, sizeof(*p));
	}
	a->used = a->size = 0;
	exchange_fail(x, -EAGAIN, "process %d has no room for the displaced instructions at %#llx",
		      t->pid, (unsigned long long)a->addr);
}

static void ack_nothing(struct exchange *x, const struct xmsg *m, s32 err, const u8 *body, u32 len)
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

static void put_map(struct exchange *x, struct ebpf_map_obj *m)
{
	struct agent_map am = {.meta = m->meta,
			       .size = m->obj.size,
			       .ring = m->meta.type == BPF_MAP_TYPE_RINGBUF,
			       .readonly = !!(m->meta.map_flags & BPF_F_RDONLY_PROG)};
	struct given_one *g = given_add(&x->t->maps, m->obj.id);
	struct xmsg *msg;

	if (!g || g->sent)
		return;
	msg = enqueue(x, AGENT_MAP, &am, sizeof(am));
	if (!msg)
		return;
	enqueue_fd(msg, m->obj.fd);
	msg->ack = ack_map;
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
				.ret_instances = RET_INSTANCES};
	struct xmsg *m;

	snprintf(s.socket, sizeof(s.socket), "%s/agent", d->dir);
	m = enqueue(x, AGENT_SETUP, &s, sizeof(s));
	if (m)
		m->ack = ack_setup;
	enqueue_fd(m, d->bells_fd);
	enqueue_fd(m, d->life_fd);
	enqueue_fd(m, t->stats_fd);
	/* a new set-up is a new start: the agent may have forgotten what it had */
	for (u32 i = 0; i < t->maps.n; i++)
		t->maps.v[i].sent = false;
	for (u32 i = 0; i < t->progs.n; i++)
		t->progs.v[i].sent = false;
	for (u32 i = 0; i < t->nrings; i++)
		t->rings[i].done = false;
	t->arenas_sent = 0;
	if (d->trace_map)
		put_map(x, d->trace_map);
}

static void put_drops(struct exchange *x)
{
	struct target *t = x->t;

	for (u32 i = 0; i < (t->forked ? t->ndropped : t->ndrops); i++) {
		struct agent_drop drop = {.link = t->forked ? t->dropped[i] : t->drops[i]};
		struct xmsg *m = enqueue(x, AGENT_DROP_LINK, &drop, sizeof(drop));

		if (m) {
			m->ack = ack_drop;
			m->arg = drop.link;
		}
	}
}

/* What is not a link's goes too: hooks into the loader and the signal masks. */
static void put_restore_all(struct exchange *x)
{
	struct xmsg *m = enqueue(x, AGENT_RESTORE_ALL, NULL, 0);

	if (m)
		m->ack = ack_restore_all;
}

static void put_prog(struct exchange *x, struct ebpf_prog_obj *p);

/* What its arrays of programs lead to has to be there as well. */
static void put_tail_calls(struct exchange *x, struct ebpf_map_obj *m)
{
	if (m->meta.type != BPF_MAP_TYPE_PROG_ARRAY)
		return;
	for (u32 i = 0; i < m->meta.max_entries; i++)
		if (m->slots[i])
			put_prog(x, ebpf_obj_prog(m->slots[i]));
}

static void put_prog(struct exchange *x, struct ebpf_prog_obj *p)
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
		for (u32 i = 0; i < p->nmaps; i++) {
			body.ids[i] = p->maps[i]->obj.id;
			put_map(x, p->maps[i]);
		}
		m = enqueue(x, AGENT_PROG, &body, sizeof(body.prog) + p->nmaps * sizeof(u32));
		enqueue_fd(m, p->obj.fd);
		if (m) {
			m->ack = ack_prog;
			m->arg = p->obj.id;
		}
	}
	/* each program is entered once: the recursion ends */
	for (u32 i = 0; !again && i < p->nmaps; i++)
		put_tail_calls(x, p->maps[i]);
}

static void put_new_tail_calls(struct exchange *x)
{
	struct ebpf_obj *o;

	list_for_each_entry (o, &x->t->d->table.objs[EBPF_OBJ_MAP], node)
		if (given_index(&x->t->maps, o->id) < x->t->maps.n)
			put_tail_calls(x, ebpf_obj_map(o));
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
	msg = enqueue(x, AGENT_PERF_RING, &r, sizeof(r));
	if (msg && fd >= 0)
		enqueue_fd(msg, fd);
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

	list_for_each_entry (tl, &x->t->links, in_target)
		if (tl->state == TLINK_FLYING || tl->update)
			put_prog(x, tl->a->l->prog);
	put_new_tail_calls(x);
	put_rings(x);
	x->t->slots_changed = false;
}

static void put_updates(struct exchange *x)
{
	struct tlink *tl;

	list_for_each_entry (tl, &x->t->links, in_target) {
		struct agent_update u = {.link = tl->link, .prog = tl->a->l->prog->obj.id};
		struct xmsg *m;

		if (!tl->update)
			continue;
		/* a link in the air goes out with its new program anyway */
		if (tl->state != TLINK_DONE) {
			tl->update = false;
			continue;
		}
		m = enqueue(x, AGENT_UPDATE_LINK, &u, sizeof(u));
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
					.size = t->arenas[t->arenas_sent].size};

		struct xmsg *m = enqueue(x, AGENT_ARENA, &a, sizeof(a));

		if (!m)
			continue;
		m->ack = ack_arena;
		m->arg = t->arenas_sent;
	}
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

static u32 module_of(const struct osl_ident *file)
{
	return ((file->ino ^ (file->dev << 32)) * 0x9e3779b97f4a7c15ULL) >> 33;
}

static void put_sites(struct exchange *x)
{
	struct plan_out *o = x->plan.out;
	_cleanup_free_ struct agent_site *v = calloc(o->nsites + 1, sizeof(*v));
	u32 n = 0;

	/* those that do other things than run programs are listed last and armed first */
	for (u32 pass = 0; v && pass < 2; pass++)
		for (u32 i = 0; i < o->nsites; i++) {
			const struct site *s = target_site(x->t, plan_sites(o)[i].patch.addr);

			if (s && !!s->site.flags == !pass)
				v[n++] = s->site;
		}
	for (u32 i = 0; i < n; i += SITES_PER_MSG) {
		struct xmsg *m =
			put_list(x, AGENT_SITES, v + i, sizeof(*v), MIN(n - i, (u32)SITES_PER_MSG));

		if (m)
			m->ack = ack_sites;
	}
}

static void put_consumers(struct exchange *x)
{
	struct agent_consumer *v = calloc(x->nwants + 1, sizeof(*v));
	struct xmsg *m = NULL;
	u32 n = 0;

	for (u32 i = 0; v && i < x->nwants; i++) {
		struct tlink *tl = find_link(x->t, x->wants[i].link);
		u32 k = x->wants[i].index;

		if (!tl || tl->state != TLINK_FLYING || k >= tl->naddrs || !tl->addrs[k])
			continue;
		v[n++] = (struct agent_consumer){
			.addr = tl->addrs[k],
			.link = tl->link,
			.cookie = tl->a->l->cookies[k],
			.prog = tl->a->l->prog->obj.id,
			.flags = tl->a->l->is_ret ? AGENT_CONSUMER_RET : 0,
			.stat = tl->stat,
		};
	}
	for (u32 i = 0; i < n; i += CONSUMERS_PER_MSG) {
		m = put_list(x, AGENT_CONSUMERS, v + i, sizeof(*v),
			     MIN(n - i, (u32)CONSUMERS_PER_MSG));
		if (m)
			m->ack = ack_consumers;
	}
	if (m)
		m->ack = ack_last;
	free(v);
}

static void put_everything(struct exchange *x)
{
	struct target *t = x->t;

	if (!t->setup || x->reason == AGENT_START || x->reason == AGENT_FORK)
		put_setup(x);
	put_drops(x);
	t->forked = false;
	if (t->drop_all) {
		put_restore_all(x);
		if (!x->nwants)
			return;
		put_setup(x);
	}
	put_programs(x);
	put_updates(x);
	put_arenas(x);
	if (x->plan.out) {
		put_sites(x);
		put_consumers(x);
	}
}

/* --- the plan ----------------------------------------------------------------------------------
 */

static bool wanted(const struct target *t, const struct tlink *tl)
{
	if (tl->a->batched)
		return false;
	return tl->state == TLINK_WANT || (t->modules && tlink_moves(tl));
}

static u32 count_wants(const struct target *t)
{
	const struct tlink *tl;
	u32 n = 0;

	list_for_each_entry (tl, &t->links, in_target)
		if (wanted(t, tl))
			n += tl->naddrs;
	return n;
}

static void fill_wants(struct exchange *x)
{
	struct plan_item *items = plan_items(x->plan.out);
	struct tlink *tl;
	u32 n = 0;

	list_for_each_entry (tl, &x->t->links, in_target) {
		const struct ebpf_link_obj *l = tl->a->l;

		if (!wanted(x->t, tl))
			continue;
		for (u32 i = 0; i < l->nsites; i++, n++) {
			x->wants[n] = (struct want){tl->link, i};
			items[n].file = l->file;
			items[n].path = l->path;
			items[n].offset = l->offsets[i];
			items[n].is_ret = l->is_ret;
		}
		tlink_release_sites(tl);
		tl->fixed = true;
		tl->state = TLINK_FLYING;
	}
}

static struct site *adopt_site(struct target *t, const struct plan_site *ps)
{
	struct site *s = target_site(t, ps->patch.addr);

	if (!s)
		s = target_site_add(t);
	if (!s)
		return NULL;
	/* what else the place does it goes on doing */
	s->site.flags = ps->flags | (s->armed ? s->site.flags : 0);
	s->site.patch = ps->patch;
	s->site.module = module_of(&ps->file);
	s->file = ps->file;
	s->offset = ps->offset;
	s->err = 0;
	return s;
}

static int adopt_arenas(struct target *t, const struct plan_out *o)
{
	struct plan_arena *v = realloc(t->arenas, (o->narenas + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	memcpy(v, o->arenas, o->narenas * sizeof(*v));
	t->arenas = v;
	t->narenas = o->narenas;
	return 0;
}

static void take_item(struct exchange *x, const struct want *w, struct plan_item *it)
{
	struct plan_out *o = x->plan.out;
	struct tlink *tl = find_link(x->t, w->link);
	struct site *s;

	if (!tl || tl->state != TLINK_FLYING || w->index >= tl->naddrs)
		return;
	it->symbol[sizeof(it->symbol) - 1] = it->why[sizeof(it->why) - 1] = 0;
	if (!w->index)
		memcpy(tl->symbol, it->symbol, sizeof(tl->symbol));
	if (it->err) {
		tlink_fail(tl, it->err, it->why);
		return;
	}
	if (it->pending || it->site >= o->nsites) {
		memcpy(tl->reason, it->why, sizeof(tl->reason));
		return;
	}
	s = target_site(x->t, plan_sites(o)[it->site].patch.addr);
	if (!s)
		return;
	tl->addrs[w->index] = it->addr;
	tl->fixed &= it->fixed;
	if (!w->index || !tl->addr)
		tl->addr = it->addr;
	s->consumers++;
}

/* A link none of whose places are mapped waits for them. */
static void note_pending(struct target *t)
{
	struct tlink *tl;

	list_for_each_entry (tl, &t->links, in_target) {
		bool any = false;

		if (tl->state != TLINK_FLYING)
			continue;
		for (u32 i = 0; i < tl->naddrs && !any; i++)
			any = tl->addrs[i];
		if (!any)
			tl->state = TLINK_PENDING;
	}
}

/* What workers found out about files, for the next ones: the newest SCANS_KEPT. */
#define SCANS_KEPT 32u
static struct plan_scan scans[SCANS_KEPT];
static u32 nscans, next_scan;

static void remember_scans(const struct plan_out *o)
{
	for (u32 i = 0; i < o->nscans; i++) {
		scans[next_scan] = o->scans[i];
		scans[next_scan].n = MIN(scans[next_scan].n, PLAN_SYSCALL_SITES);
		next_scan = (next_scan + 1) % SCANS_KEPT;
		nscans = MIN(nscans + 1, SCANS_KEPT);
	}
}

static bool nothing_to_say(const struct exchange *x)
{
	const struct target *t = x->t;

	const struct tlink *tl;

	list_for_each_entry (tl, &t->links, in_target)
		if (tl->update)
			return false;
	return t->loaded && t->setup && x->sock.fd < 0 && !(x->plan.out && x->plan.out->nsites) &&
	       !t->ndrops && !t->drop_all && !t->slots_changed;
}

static void planned(struct exchange *x)
{
	x->planned = true;
	if (nothing_to_say(x))
		exchange_finish(x);
	else
		advance(x);
}

static void plan_done(struct plan *p)
{
	struct exchange *x = container_of(p, struct exchange, plan);
	struct plan_out *o = p->out;
	struct target *t = x->t;

	o->why[sizeof(o->why) - 1] = 0;
	if (!o->err)
		o->err = adopt_arenas(t, o);
	remember_scans(o);
	if (o->err) {
		if (passing(o->err))
			o->err = -EPERM;
		exchange_fail(x, o->err, "%s", o->why);
		return;
	}
	for (u32 i = 0; i < o->nsites; i++)
		adopt_site(t, &plan_sites(o)[i]);
	for (u32 i = 0; i < x->nwants; i++)
		take_item(x, &x->wants[i], &plan_items(o)[i]);
	note_pending(t);
	t->hooked |= o->hooked;
	t->sanitised |= o->sanitised;
	planned(x);
}

static bool any_return(const struct target *t)
{
	const struct tlink *tl;

	list_for_each_entry (tl, &t->links, in_target)
		if (tl->a->l->is_ret)
			return true;
	return false;
}

static int start_worker(struct exchange *x)
{
	struct target *t = x->t;
	struct plan_job job = {.pid = t->pid,
			       .tid = x->tid,
			       .dl_debug = t->dl_debug,
			       .want_hook = !t->hooked,
			       .want_sanitise = !t->sanitised,
			       .want_unwind = any_return(t),
			       .scans = scans,
			       .nscans = nscans,
			       .sites = t->sites,
			       .nsites = t->nsites};
	int err;

	x->wants = calloc(x->nwants + 1, sizeof(*x->wants));
	if (!x->wants)
		return -ENOMEM;
	err = plan_init(&x->plan, &t->d->loop, x->nwants);
	if (err)
		return err;
	fill_wants(x);
	x->plan.out->narenas = MIN(t->narenas, PLAN_ARENAS);
	for (u32 i = 0; i < x->plan.out->narenas; i++)
		x->plan.out->arenas[i] = t->arenas[i];
	return plan_start(&x->plan, &job, plan_done);
}

/* Plan what is wanted; without that, go on at once. May end the exchange. */
static int start_plan(struct exchange *x)
{
	struct target *t = x->t;

	x->nwants = count_wants(t);
	if (t->drop_all)
		t->hooked = t->sanitised = false;
	/* a library that has come may be the unwinder */
	if (!x->nwants && !(t->modules && any_return(t))) {
		planned(x);
		return 0;
	}
	return start_worker(x);
}

/* --- the agent's side --------------------------------------------------------------------------
 */

static void on_hello(struct exchange *x, const struct agent_hello *h)
{
	struct target *t = x->t;

	x->reason = h->reason;
	x->tid = h->tid;
	t->base = h->text_base;
	if (h->dl_debug)
		t->dl_debug = h->dl_debug;
	/* an agent that another daemon set up, or that restored everything by itself */
	if (h->generation != t->d->life->generation || h->target != t->cookie ||
	    READ_ONCE(t->stats->inert))
		t->setup = false;
	t->loaded = true;
	WRITE_ONCE(t->stats->inert, 0);
}

static void on_ack(struct exchange *x, const u8 *buf, u32 len)
{
	struct xmsg *m = list_entry(x->queue.next, struct xmsg, node);
	struct agent_ack ack;
	struct target *t = x->t;

	memcpy(&ack, buf, sizeof(ack));
	list_del_init(&m->node);
	loop_timer_stop(&t->d->loop, &x->timer);
	if (ack.err > 0 || ack.err < -4095)
		ack.err = -EPROTO;
	(m->ack ? m->ack : ack_nothing)(x, m, ack.err, buf + sizeof(ack), len - sizeof(ack));
	xmsg_free(m);
	/* a failed set-up has ended the exchange */
	if (t->x == x && !x->err)
		send_next(x);
}

static void on_message(struct exchange *x, const u8 *buf, ssize_t n)
{
	struct agent_msg m;

	memcpy(&m, buf, MIN((size_t)n, sizeof(m)));
	if (n < (ssize_t)sizeof(m) || m.len != n || m.abi != AGENT_ABI) {
		exchange_fail(x, -EPROTO,
			      "the agent in process %d is not of this version; restart the process",
			      x->t->pid);
	} else if (m.type == AGENT_HELLO && !x->reason &&
		   n >= (ssize_t)(sizeof(m) + sizeof(struct agent_hello))) {
		struct agent_hello h;

		memcpy(&h, buf + sizeof(m), sizeof(h));
		on_hello(x, &h);
		loop_timer_stop(&x->t->d->loop, &x->timer);
		advance(x);
	} else if (m.type == AGENT_ACK && !list_empty(&x->queue) && m.seq == x->seq &&
		   n >= (ssize_t)(sizeof(m) + sizeof(struct agent_ack))) {
		on_ack(x, buf + sizeof(m), n - sizeof(m));
	} else {
		exchange_fail(x, -EPROTO, "the agent in process %d sent nonsense", x->t->pid);
	}
}

static void on_readable(struct loop_source *s, u32 events)
{
	struct exchange *x = container_of(s, struct exchange, sock);
	static u8 buf[AGENT_MSG_MAX];
	ssize_t n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		on_message(x, buf, n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		exchange_fail(x, -ECONNRESET, "the agent in process %d broke off the exchange",
			      x->t->pid);
}

static void on_silence(struct loop_timer *timer)
{
	struct exchange *x = container_of(timer, struct exchange, timer);

	exchange_fail(x, -ETIMEDOUT, "process %d does not answer; is it stopped?", x->t->pid);
}

static int watch_sock(struct exchange *x, int fd)
{
	int err;

	x->sock.fn = on_readable;
	err = loop_add(&x->t->d->loop, &x->sock, fd, EPOLLIN);
	if (!err)
		loop_timer_arm(&x->t->d->loop, &x->timer, AGENT_TIMEOUT_MS * NS_PER_MS);
	return err;
}

/* --- the injector's side -----------------------------------------------------------------------
 */

static void injected(struct exchange *x, const struct inject_event *ev)
{
	struct target *t = x->t;

	x->injecting = false;
	t->stopped_ns += ev->stopped_ns;
	if (ev->base)
		t->base = ev->base;
	if (ev->err && !x->err && !x->talked) {
		x->err = ev->err;
		memcpy(x->why, ev->why, sizeof(x->why));
		x->why[sizeof(x->why) - 1] = 0;
	}
	/* the agent was busy with an exchange of its own, which we are serving */
	if (x->sock.fd >= 0 && x->reason) {
		x->err = 0;
		return;
	}
	if (!x->talked && !x->err)
		exchange_fail(x, -EPROTO, "the agent in process %d did not say a word", t->pid);
	else
		exchange_finish(x);
}

static void on_report(struct loop_source *s, u32 events)
{
	struct exchange *x = container_of(s, struct exchange, report);
	struct inject_event ev = {.fd = -1};
	int err = inject_read(&x->inj, &ev);

	if (err == -EAGAIN)
		return;
	if (!err && ev.what == INJECT_SOCKET) {
		/* the agent may have come by itself in the meantime */
		if (x->sock.fd >= 0 || watch_sock(x, ev.fd))
			close(ev.fd);
		return;
	}
	if (err) {
		ev = (struct inject_event){.err = err};
		snprintf(ev.why, sizeof(ev.why), "the injection into process %d broke off",
			 x->t->pid);
	}
	loop_del(&x->t->d->loop, &x->report);
	injected(x, &ev);
}

static int agent_file(struct daemon *d)
{
	static int fd = -1;
	const char *env = secure_getenv("EBPFRT_AGENT");
	char path[PATH_MAX], *slash;
	ssize_t n;

	if (fd >= 0)
		return fd;
	if (env && *env) {
		fd = open(env, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	path[MAX(n, 0)] = 0;
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash + 1, "libebpfrt-agent.so");
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		fd = open(EBPFRT_PKGLIBDIR "/libebpfrt-agent.so", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int may_inject(struct target *t, char why[PROBE_WHY_MAX])
{
	struct probe_process p;
	int err = probe_process_read(t->pid, &p, why);

	return err ? err : probe_process_may_inject(&p, why);
}

static void inject(struct exchange *x)
{
	struct target *t = x->t;
	struct inject_request req = {.kind = t->loaded ? INJECT_COMMAND : INJECT_LOAD,
				     .pid = t->pid,
				     .base = t->base,
				     .agent_fd = agent_file(t->d)};
	char why[PROBE_WHY_MAX];
	int err;

	if (req.agent_fd < 0) {
		exchange_fail(
			x, req.agent_fd,
			"the agent libebpfrt-agent.so is not beside ebpfrtd; set EBPFRT_AGENT");
		return;
	}
	err = may_inject(t, why);
	if (err) {
		exchange_fail(x, err, "%s", why);
		return;
	}
	err = inject_start(&req, &x->inj);
	if (!err) {
		x->report.fn = on_report;
		err = loop_add(&t->d->loop, &x->report, x->inj.report, EPOLLIN);
	}
	x->injecting = !err;
	if (err)
		exchange_fail(x, err, "cannot start the injection into process %d: %s", t->pid,
			      strerror(-err));
}

/* --- start -------------------------------------------------------------------------------------
 */

/* Planned? Does the agent listen? Then talk; else do what is missing. */
static void advance(struct exchange *x)
{
	if (!x->planned)
		return;
	if (x->sock.fd < 0 && !x->injecting) {
		inject(x);
	} else if (x->reason) {
		put_everything(x);
		send_next(x);
	}
}

static struct exchange *exchange_new(struct target *t)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->t = t;
	x->sock.fd = x->report.fd = -1;
	x->inj = (struct inject)INJECT_INIT;
	list_init(&x->queue);
	loop_timer_init(&x->timer, on_silence);
	t->x = x;
	return x;
}

void exchange_start(struct target *t)
{
	struct exchange *x = exchange_new(t);
	int err = x ? start_plan(x) : -ENOMEM;

	if (err && x)
		exchange_fail(x, err, "cannot plan the probes in process %d: %s", t->pid,
			      strerror(-err));
	else if (err)
		target_fail(t, err, "out of memory");
}

void exchange_serve(struct target *t, int fd, const struct agent_hello *h)
{
	struct exchange *x = t->x;
	int err = 0;

	/* ours is on its way: the agent that came by itself is served with it */
	if (x && (x->sock.fd >= 0 || x->talked)) {
		close(fd);
		return;
	}
	if (!x)
		x = exchange_new(t);
	if (!x || watch_sock(x, fd)) {
		close(fd);
		return;
	}
	loop_timer_stop(&t->d->loop, &x->timer);
	on_hello(x, h);
	if (x->planned || x->plan.out)
		advance(x);
	else
		err = start_plan(x);
	if (err)
		exchange_fail(x, err, "cannot plan the probes in process %d: %s", t->pid,
			      strerror(-err));
}
