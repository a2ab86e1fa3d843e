/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One exchange with a target's agent: plan, get the agent's attention (injection, unless it came by
 * itself), then one message after the other, each acknowledged, until everything wanted is there.
 *
 * Rules: the agent's words are hostile: lengths are checked, error numbers only shown. A target
 * that stays silent loses its exchange, not its patches. What changes in the daemon while an
 * exchange runs is found by identity (link id, address), never by pointer. An agent that the
 * injection has called is let go before it was kept for long, and called again for the rest.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/exchange.h"
#include "daemon/hold.h"
#include "osl/osl.h"

#define RETRIES_MAX 8u
/*
 * When an agent has been told enough, after its target was stopped: to let it go takes some of two
 * milliseconds, too. But for the sites that keep signals open, which come first, none depends on
 * another.
 */
#define STOP_NS 1500000ull
#define WEIGHT_NS 3000u	    /* of a unit, as long as nothing is known, */
#define UNIT_MAX_NS 100000u /* and at most: some other thing has come in between */
/* how often an agent that came by itself is told that the plan is being made; that has an end */
#define PLANS_STILL_MS (AGENT_TIMEOUT_MS / 8)
#define TURNS 16u
#define TURN_NS (500ull * NS_PER_MS)
#define LOOK_AT_TURNS_NS (TURN_NS / 10)

/* --- turns -------------------------------------------------------------------------------------
 *
 * Hundreds of injections at a time (children that are restored with their parent) keep each other
 * from the processors until their targets are late to answer, and held for long: so few are under
 * way at a time. One that takes long may wait for what does not depend on us: nobody waits for it.
 */

static struct list_head having = LIST_HEAD_INIT(having), waiting = LIST_HEAD_INIT(waiting);
static struct loop_timer turns;

static bool turn_is_free(void)
{
	u64 now = osl_now_ns();
	struct exchange *x;
	u32 n = 0;

	list_for_each_entry (x, &having, turn)
		n += now - x->turn_ns < TURN_NS;
	return n < TURNS;
}

/* From the loop: who is at the end of a turn is in the middle of something. */
static void look_at_turns(struct loop *l, u64 after_ns)
{
	if (!list_empty(&waiting))
		loop_timer_arm(l, &turns, after_ns);
}

static void turn_end(struct exchange *x)
{
	list_del_init(&x->turn);
	x->turn_ns = 0;
	look_at_turns(&x->t->d->loop, 0);
}

static void turn_wait(struct exchange *x)
{
	list_add_tail(&x->turn, &waiting);
	if (list_empty(&turns.node))
		look_at_turns(&x->t->d->loop, LOOK_AT_TURNS_NS);
}

static void turn_begin(struct exchange *x)
{
	list_del_init(&x->turn);
	list_add_tail(&x->turn, &having);
	x->turn_ns = osl_now_ns();
}

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
	want_over(x);
	turn_end(x);
	if (x->call_dir >= 0)
		close(x->call_dir);
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

/* Everything that was in the air is wanted again. */
static void land(struct target *t)
{
	struct tlink *tl;

	list_for_each_entry (tl, &t->open, in_open)
		if (tl->state == TLINK_FLYING) {
			tlink_release_sites(tl);
			tlink_become(tl, TLINK_WANT);
		}
}

/*
 * Its descriptors go before its pidfd says so: whether it has ended is seen a moment later. If it
 * has not, its agent has not waited any longer for us, and is called.
 */
static bool has_left(int err)
{
	return err == -ECONNRESET || err == -EPIPE || err == -ESRCH;
}

static void finish_badly(struct target *t, int err, const char *why)
{
	if (target_executed(t)) /* that is why, and whoever waits will be told so */
		return;
	if ((exchange_passing(err) || has_left(err)) && t->busy_retries++ < RETRIES_MAX) {
		land(t);
		loop_timer_arm(&t->d->loop, &t->retry, (10ull << t->busy_retries) * NS_PER_MS);
		return;
	}
	t->busy_retries = 0;
	target_fail(t, err, why);
}

/*
 * Its agent has waited for us for as long as it does, and gone on. A child counts what it misses,
 * others can't: it is said once it is sure that the process has not just ended.
 */
static void note_late(const struct exchange *x)
{
	if (!x->t->late && has_left(x->err) &&
	    (x->reason == AGENT_START || x->reason == AGENT_MODULES))
		x->t->late = LATE_TO_SAY;
}

static void tell_late(struct target *t)
{
	char why[PROBE_WHY_MAX];

	if (t->late == LATE_TO_SAY)
		target_event(t->d, t, MSG_EVENT_LATE, 0, 0, late_daemon(why));
	t->late = LATE_NOT;
}

void exchange_finish(struct exchange *x)
{
	struct target *t = x->t;
	char why[PROBE_WHY_MAX];
	bool slots = x->slots_changed, silent;
	s32 err = x->err;

	memcpy(why, x->why, sizeof(why));
	silent = x->silent;
	note_late(x);
	exchange_free(x);
	if (err) {
		/* nobody knows how far it got: the next one says everything again */
		t->setup = false;
		t->slots_changed |= slots || t->npairs != 0;
		finish_badly(t, err, why);
		if (silent)
			target_await(t);
		return;
	}
	t->silences = 0;
	tell_late(t);
	inner_publish(t->d);
	debugger_exchanged(t);
	t->busy_retries = 0;
	t->modules = t->dirty = false;
	target_advanced(t);
}

void exchange_fail(struct exchange *x, int err, const char *fmt, ...)
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

struct xmsg *exchange_enqueue(struct exchange *x, u16 type, const void *body, u32 len)
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

void exchange_enqueue_fd(struct xmsg *m, int fd)
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

static void await_agent(struct exchange *x)
{
	/* one that came by itself a busy machine may keep from running, and nobody waits */
	u64 ms = x->injecting ? AGENT_TIMEOUT_MS : AGENT_PATIENCE_MS;

	loop_timer_arm(&x->t->d->loop, &x->timer, ms * NS_PER_MS);
}

/* How long a unit of weight has taken lately, by the kind of message. */
static u32 unit_ns[AGENT_MSG_TYPES];

static u64 expected_ns(const struct xmsg *m)
{
	u32 unit = unit_ns[m->type];

	return (u64)m->weight * (unit ? unit : WEIGHT_NS);
}

/* Quickly up, slowly down. */
static void note_time(const struct xmsg *m, u64 took)
{
	u32 *unit = &unit_ns[m->type], now = (u32)MIN(took / MAX(m->weight, 1u), (u64)UNIT_MAX_NS);

	if (m->weight)
		*unit = now > *unit ? (*unit + now) / 2 + 1 : *unit - (*unit - now) / 8;
}

/* One heavy message may be sent in each stop, however long it takes. */
static bool is_enough(struct exchange *x, const struct xmsg *m)
{
	if (!m->weight || !x->injecting || !x->since_ns ||
	    (x->reason != AGENT_COMMAND && x->reason != AGENT_START))
		return false;
	if (x->heavy && osl_now_ns() + expected_ns(m) > x->since_ns + STOP_NS)
		return true;
	x->heavy = true;
	return false;
}

/* The rest of the queue when the injector has let the target go (injected()). */
static void pause_exchange(struct exchange *x)
{
	static const struct xmsg bye = {.type = AGENT_DONE};

	send_one(x, &bye);
	close_sock(x);
	x->paused = true;
	x->reason = 0;
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
	if (is_enough(x, m)) {
		pause_exchange(x);
		return;
	}
	x->sent_ns = osl_now_ns();
	err = send_one(x, m);
	if (err) {
		exchange_fail(x, err, "the agent in process %d does not listen: %s", x->t->pid,
			      strerror(-err));
		return;
	}
	await_agent(x);
}

/* --- the agent's side --------------------------------------------------------------------------
 */

/* What looks like a child of a target may be one of another daemon's. */
static bool is_foreign(const struct target *t, const struct agent_hello *h)
{
	return t->swept_by && !t->setup && h->generation != t->d->life->generation;
}

static void on_hello(struct exchange *x, const struct agent_hello *h)
{
	struct target *t = x->t;

	x->reason = h->reason;
	x->heavy = h->reason == AGENT_START; /* to be loaded is heavy enough */
	x->calling = x->paused = false;
	if (h->reason == AGENT_CALLED && !t->loaded)
		t->found = true; /* nothing was stopped or loaded */
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
	bool ahead;

	memcpy(&ack, buf, sizeof(ack));
	list_del_init(&m->node);
	if (x->since_ns)
		note_time(m, osl_now_ns() - x->sent_ns);
	loop_timer_stop(&t->d->loop, &x->timer);
	if (ack.err > 0 || ack.err < -4095)
		ack.err = -EPROTO;
	/* the target is held: it goes on with the next one while we look what has become of this */
	ahead = !ack.err && !list_empty(&x->queue);
	if (ahead)
		send_next(x);
	if (t->x == x && !x->err)
		(m->ack ? m->ack : deliver_ack_nothing)(x, m, ack.err, buf + sizeof(ack),
							len - sizeof(ack));
	xmsg_free(m);
	/* a failed set-up has ended the exchange */
	if (!ahead && t->x == x && !x->err)
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
		if (is_foreign(x->t, &h)) {
			x->t->loaded = false;
			exchange_fail(x, -EXDEV, "process %d belongs to another daemon", x->t->pid);
			return;
		}
		on_hello(x, &h);
		loop_timer_stop(&x->t->d->loop, &x->timer);
		exchange_advance(x);
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

/* It has said what it wants, and it is our turn. */
static bool tell_to_wait(struct exchange *x)
{
	static const struct xmsg wait = {.type = AGENT_WAIT};

	if (x->planned || !x->reason || x->sock.fd < 0)
		return false;
	send_one(x, &wait);
	loop_timer_arm(&x->t->d->loop, &x->timer, PLANS_STILL_MS * NS_PER_MS);
	return true;
}

/* Its own agent: when it goes on it finds that we have not waited, and can be called. */
static void fail_silent(struct exchange *x)
{
	s32 pid = x->t->pid;

	x->silent = true;
	if (target_is_stopped(x->t))
		exchange_fail(x, -ETIMEDOUT,
			      "process %d is stopped, and does not answer: its probes come when it "
			      "goes on (kill -CONT %d)",
			      pid, pid);
	else
		exchange_fail(x, -ETIMEDOUT,
			      "process %d does not answer: its probes come when it does", pid);
}

static void on_silence(struct loop_timer *timer)
{
	struct exchange *x = container_of(timer, struct exchange, timer);

	if (tell_to_wait(x))
		return;
	if (x->calling)
		exchange_fail(x, -ETIMEDOUT,
			      "ptrace is denied, and the agent in process %d does not answer a "
			      "signal (SIGURG); is it stopped, or does it handle that itself?",
			      x->t->pid);
	else if (x->injecting)
		exchange_fail(x, -ETIMEDOUT, "process %d does not answer; is it stopped?",
			      x->t->pid);
	else
		fail_silent(x);
}

static int watch_sock(struct exchange *x, int fd)
{
	int err;

	x->sock.fn = on_readable;
	err = loop_add(&x->t->d->loop, &x->sock, fd, EPOLLIN);
	if (!err)
		await_agent(x);
	return err;
}

/* --- the injector's side -----------------------------------------------------------------------
 */

/* ptrace is denied: the agent may be one that can be called otherwise. */
static void call(struct exchange *x)
{
	char why[PROBE_WHY_MAX];
	int err;

	x->calling = true;
	loop_timer_arm(&x->t->d->loop, &x->timer, AGENT_TIMEOUT_MS * NS_PER_MS);
	err = call_agent(x, why);
	if (err)
		exchange_fail(x, err, "%s", why);
}

static bool callable(const struct target *t)
{
	char why[PROBE_WHY_MAX];

	return call_may(t->pid, why) == 0;
}

static void inject(struct exchange *x);

static void injected(struct exchange *x, const struct inject_event *ev)
{
	struct target *t = x->t;

	x->injecting = false;
	x->since_ns = 0;
	turn_end(x);
	if (ev->denied && !x->err && !x->talked && x->sock.fd < 0 && callable(t)) {
		inject_finish(&x->inj);
		call(x);
		return;
	}
	t->stopped_ns += ev->stopped_ns;
	t->longest_ns = MAX(t->longest_ns, ev->stopped_ns);
	t->stops += ev->stopped_ns != 0;
	if (!x->resumed)
		t->found = ev->found;
	if (ev->base)
		t->base = ev->base;
	if (x->paused && !ev->err && !x->err && x->sock.fd < 0 && !x->talked) {
		inject_finish(&x->inj);
		x->resumed = true;
		inject(x);
		return;
	}
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
		/* the agent may have come by itself in the meantime, and may be served already */
		if (x->sock.fd >= 0 || x->talked || x->err || watch_sock(x, ev.fd))
			close(ev.fd);
		else
			x->since_ns = ev.since_ns;
		return;
	}
	if (err) {
		ev = (struct inject_event){.err = err};
		snprintf(ev.why, sizeof(ev.why),
			 "the injection into process %d broke off, because the process that did "
			 "it was killed; the target goes on as before, try again",
			 x->t->pid);
	}
	loop_del(&x->t->d->loop, &x->report);
	injected(x, &ev);
}

int exchange_agent_file(struct daemon *d)
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

/* How much of the file is mapped; the rest is symbols and debugging information. */
static size_t loaded_part(const u8 *data, size_t size)
{
	const Elf64_Ehdr *eh = (const void *)data;
	size_t end = 0;

	if (size < sizeof(*eh) || eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phoff > size ||
	    (size - eh->e_phoff) / sizeof(Elf64_Phdr) < eh->e_phnum)
		return size;
	for (u32 i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr p;

		memcpy(&p, data + eh->e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type == PT_LOAD && p.p_offset <= size && p.p_filesz <= size - p.p_offset)
			end = MAX(end, (size_t)(p.p_offset + p.p_filesz));
	}
	return end ? end : size;
}

/* The same, sealed: what all targets share. Where there is no memory for it, the file. */
static int agent_shared_file(struct daemon *d)
{
	static int shared = -1;
	int fd = exchange_agent_file(d);
	struct stat st;
	size_t size;
	u8 *data;

	if (shared >= 0 || fd < 0 || fstat(fd, &st) || st.st_size <= 0)
		return shared >= 0 ? shared : fd;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return fd;
	size = loaded_part(data, (size_t)st.st_size);
	shared = osl_image_create("ebpfrt-agent", data, size);
	munmap(data, (size_t)st.st_size);
	/* it is the daemon's memory, and to be counted as such; not to have it there is no error */
	if (shared >= 0)
		mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, shared, 0);
	return shared >= 0 ? shared : fd;
}

static int may_inject(struct target *t, char why[PROBE_WHY_MAX])
{
	struct probe_process p;
	int err = probe_process_read(t->pid, &p, why);

	return err ? err : probe_process_may_inject(&p, why);
}

/* The plan's sites are among the target's. */
static bool guards_masks(const struct target *t)
{
	for (u32 i = 0; i < t->nsites; i++)
		if (t->sites[i].site.flags & AGENT_SITE_SIGMASK)
			return true;
	return false;
}

/* What is to be said is made up before the target is held, as far as it is known by then. */
static void prepare(struct exchange *x)
{
	if (!x->prepared)
		deliver_put_all(x);
	x->prepared = true;
}

static bool begins_with_setup(const struct exchange *x)
{
	return !list_empty(&x->queue) &&
	       list_entry(x->queue.next, struct xmsg, node)->type == AGENT_SETUP;
}

static void forget_prepared(struct exchange *x)
{
	while (!list_empty(&x->queue))
		xmsg_free(list_entry(x->queue.next, struct xmsg, node));
	x->prepared = false;
}

static void inject_now(struct exchange *x)
{
	struct target *t = x->t;
	struct inject_request req = {.kind = t->loaded ? INJECT_COMMAND : INJECT_LOAD,
				     .pid = t->pid,
				     .base = t->base,
				     .agent_fd = agent_shared_file(t->d),
				     .arms = x->plan.out && x->plan.out->nsites,
				     .first = !target_any_armed(t),
				     .guarded = guards_masks(t)};
	char why[PROBE_WHY_MAX];
	int err;

	if (req.agent_fd < 0) {
		const char *named = secure_getenv("EBPFRT_AGENT");

		exchange_fail(x, req.agent_fd,
			      "the agent %s; end the daemon with `ebpfrt shutdown`, and set "
			      "$EBPFRT_AGENT anew",
			      named && *named
				      ? "that the daemon's $EBPFRT_AGENT names cannot be read"
				      : "libebpfrt-agent.so is not beside ebpfrtd");
		return;
	}
	if (target_executed(t)) {
		exchange_fail(x, -ESRCH,
			      "process %d has started another program (exec); attach to it again",
			      t->pid);
		return;
	}
	err = may_inject(t, why);
	if (err == -EPERM && callable(t)) {
		call(x);
		return;
	}
	if (err) {
		exchange_fail(x, err, "%s", why);
		return;
	}
	prepare(x);
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

static void on_turns(struct loop_timer *timer)
{
	while (!list_empty(&waiting) && turn_is_free()) {
		struct exchange *x = list_entry(waiting.next, struct exchange, turn);

		/* the agent may have come by itself in the meantime */
		if (x->sock.fd >= 0) {
			list_del_init(&x->turn);
			continue;
		}
		turn_begin(x);
		inject_now(x);
	}
	if (!list_empty(&waiting))
		look_at_turns(&list_entry(waiting.next, struct exchange, turn)->t->d->loop,
			      LOOK_AT_TURNS_NS);
}

static void inject(struct exchange *x)
{
	if (!list_empty(&x->turn) && !x->turn_ns)
		return;
	if (!turns.fn)
		loop_timer_init(&turns, on_turns);
	if (!list_empty(&waiting) || !turn_is_free()) {
		turn_wait(x);
		return;
	}
	turn_begin(x);
	inject_now(x);
}

/* --- start -------------------------------------------------------------------------------------
 */

/* Planned? Does the agent listen? Then talk; else do what is missing. */
void exchange_advance(struct exchange *x)
{
	if (!x->planned)
		return;
	if (x->sock.fd < 0 && !x->injecting) {
		inject(x);
	} else if (x->reason) {
		if (x->prepared && deliver_needs_setup(x) && !begins_with_setup(x))
			forget_prepared(x);
		prepare(x);
		send_next(x);
	}
}

static struct exchange *exchange_new(struct target *t)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->t = t;
	x->sock.fd = x->report.fd = x->call_dir = -1;
	x->inj = (struct inject)INJECT_INIT;
	list_init(&x->queue);
	list_init(&x->in_line);
	list_init(&x->turn);
	want_init(x);
	loop_timer_init(&x->timer, on_silence);
	t->x = x;
	return x;
}

void exchange_greeted(struct exchange *x, int fd)
{
	static const struct agent_msg bye = {sizeof(bye), AGENT_DONE, AGENT_ABI, 1};
	int err;

	send(fd, &bye, sizeof(bye), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	loop_timer_stop(&x->t->d->loop, &x->timer);
	x->calling = x->greets = false;
	err = want_start(x);
	if (err)
		exchange_fail(x, err, "cannot plan the probes in process %d: %s", x->t->pid,
			      strerror(-err));
}

void exchange_start(struct target *t)
{
	struct exchange *x;
	int err;

	if (t->hold) {
		hold_end(t);
		return;
	}
	x = exchange_new(t);
	if (x && call_memory_denied(t) && callable(t)) {
		x->greets = true;
		call(x);
		return;
	}
	err = x ? want_start(x) : -ENOMEM;
	if (err && x)
		exchange_fail(x, err, "cannot plan the probes in process %d: %s", t->pid,
			      strerror(-err));
	else if (err)
		target_fail(t, err, "out of memory");
}

/*
 * What the injection sees to before break bytes are written: nobody else is in the memory, and no
 * thread has blocked SIGTRAP, or is about to. False: the exchange has ended.
 */
static bool safe_to_arm(struct exchange *x, const struct agent_hello *h)
{
	struct target *t = x->t;
	pid_t other;

	if (!x->plan.out || !x->plan.out->nsites || h->guarded)
		return true;
	if (!h->alone) {
		exchange_fail(x, -EPERM,
			      "process %d has several threads, which can't be stopped while ptrace "
			      "is denied; start it with `ebpfrt run`",
			      t->pid);
		return false;
	}
	other = target_any_armed(t) ? 0 : inject_shares_memory(t->pid);
	if (other)
		exchange_fail(x, -EPERM,
			      "process %d shares the memory of process %d (vfork or clone with "
			      "CLONE_VM), a probe would kill it; attach again once one of them has "
			      "ended, or start the program with `ebpfrt run`",
			      other, t->pid);
	return !other;
}

void exchange_serve(struct target *t, int fd, const struct agent_hello *h)
{
	struct exchange *x = t->x;
	int err = 0;

	/* ours is on its way: the agent that came by itself is served with it */
	if (x && (x->sock.fd >= 0 || x->talked || x->err)) {
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
	if (h->reason == AGENT_CALLED && !safe_to_arm(x, h))
		return;
	if (!x->planned)
		loop_timer_arm(&t->d->loop, &x->timer, PLANS_STILL_MS * NS_PER_MS);
	if (x->planned || x->plan.out)
		exchange_advance(x);
	else
		err = want_start(x);
	if (err)
		exchange_fail(x, err, "cannot plan the probes in process %d: %s", t->pid,
			      strerror(-err));
}
