/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exchanges with the daemon (proto/shm_abi.h): the only time the agent has a descriptor, waits, or
 * changes its tables.
 *
 * Rules: one exchange at a time in a process. Everything in a message is checked against the
 * message's own length before it is used; an error is answered, not fatal. A daemon that stays
 * silent for AGENT_TIMEOUT_MS or AGENT_PATIENCE_MS is given up. All descriptors are closed at the
 * end.
 */
#include <errno.h>

#include "agent/agent.h"

#define FDS_MAX 4u
#define ELEMENTS_MAX (AGENT_MSG_MAX / sizeof(struct agent_consumer))
#define STATS_MAX (1u << 20)
#define SLICE_MS 100u

struct exchange {
	int fd;
	u32 reason;
	u32 patience_ms;
	bool injected; /* all other threads are held meanwhile */
	u32 len;       /* of the body */
	int fds[FDS_MAX];
	u32 nfds;
};

/* one exchange at a time: its messages need no stack */
static union {
	struct agent_msg msg;
	u8 bytes[AGENT_MSG_MAX];
} in __attribute__((aligned(EBPFRT_PAGE_SIZE)));
static struct {
	struct agent_msg msg;
	struct agent_ack ack;
	s32 err[ELEMENTS_MAX];
} out;

static void *body(void)
{
	return in.bytes + sizeof(in.msg);
}

/* --- transport ----------------------------------------------------------------------------------
 */

/* A daemon that is stopped doesn't accept; nor does it read. */
static void set_patience(int fd, u32 ms)
{
	const s64 tv[2] = {ms / 1000, ms % 1000 * 1000};

	SYS6(__NR_setsockopt, fd, SYS_SOL_SOCKET, SYS_SO_SNDTIMEO, tv, sizeof(tv), 0);
}

static int connect_daemon(const char *path, u32 patience_ms)
{
	struct sockaddr_un un = {.sun_family = SYS_AF_UNIX};
	long fd, ret;

	if (!path[0])
		return -ENOTCONN;
	for (u32 i = 0; path[i] && i < sizeof(un.sun_path) - 1; i++)
		un.sun_path[i] = path[i];
	fd = SYS3(__NR_socket, SYS_AF_UNIX, SYS_SOCK_SEQPACKET | SYS_SOCK_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	set_patience((int)fd, patience_ms);
	ret = SYS3(__NR_connect, fd, &un, sizeof(un));
	if (ret == 0)
		return (int)fd;
	sys_close((int)fd);
	return (int)ret;
}

static int send_all(int fd, const void *buf, u32 len)
{
	long n = SYS6(__NR_sendto, fd, buf, len, SYS_MSG_NOSIGNAL, 0, 0);

	return n == (long)len ? 0 : n < 0 ? (int)n : -EIO;
}

/*
 * In slices: when the machine stood still, or we were stopped ourselves, for how long ever, one of
 * them has passed; the daemon had no more time than that.
 */
static int wait_readable(int fd, u32 patience_ms)
{
	const struct sys_timespec slice = {.nsec = (s64)SLICE_MS * 1000000};
	struct sys_pollfd pfd = {.fd = fd, .events = POLLIN};
	u64 waited = 0, since, took;
	struct sys_timespec ts;
	long n;

	/* ppoll, not poll: poll would overwrite what the kernel remembers for restarting an
	 * interrupted sleep of the thread we borrowed */
	while (waited < patience_ms) {
		ts = slice; /* the kernel changes it */
		since = sys_now_ms();
		n = SYS6(__NR_ppoll, &pfd, 1, &ts, NULL, 0, 0);
		if (n == 1)
			return 0;
		if (n < 0 && n != -EINTR)
			return (int)n;
		took = sys_now_ms() - since;
		waited += MIN(took, (u64)SLICE_MS);
	}
	return -ETIMEDOUT;
}

static void close_fds(struct exchange *x)
{
	for (u32 i = 0; i < x->nfds; i++)
		if (x->fds[i] >= 0)
			sys_close(x->fds[i]);
	x->nfds = 0;
}

static void take_fds(struct exchange *x, const struct sys_cmsg *c, u64 controllen)
{
	x->nfds = 0;
	if (controllen < sizeof(*c) || c->len > controllen || c->level != SYS_SOL_SOCKET ||
	    c->type != SYS_SCM_RIGHTS)
		return;
	for (u64 at = sizeof(*c); at + 4 <= c->len && x->nfds < FDS_MAX; at += 4)
		x->fds[x->nfds++] = c->fd[(at - sizeof(*c)) / 4];
}

static int receive(struct exchange *x)
{
	union {
		struct sys_cmsg c;
		u8 room[sizeof(struct sys_cmsg) + FDS_MAX * 4];
	} control;
	struct sys_iov iov = {in.bytes, sizeof(in.bytes)};
	struct sys_msghdr h = {
		.iov = &iov, .iovlen = 1, .control = &control, .controllen = sizeof(control)};
	long n;
	int ret = wait_readable(x->fd, x->patience_ms);

	if (ret)
		return ret;
	n = SYS3(__NR_recvmsg, x->fd, &h, SYS_MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n ? (int)n : -ECONNRESET;
	take_fds(x, &control.c, h.controllen);
	if (h.flags & (SYS_MSG_TRUNC | SYS_MSG_CTRUNC) || n < (long)sizeof(in.msg) ||
	    in.msg.len != (u32)n || in.msg.abi != AGENT_ABI)
		return -EPROTO;
	x->len = (u32)n - sizeof(in.msg);
	return 0;
}

/*
 * Where Yama restricts ptrace only descendants may be traced, and those who were told so: the
 * daemon at the other end, who could not read our text otherwise, nor come back to restore it. The
 * kernel forgets it when that process ends; without Yama there is nothing to tell.
 */
static void admit_daemon(int fd)
{
	s32 cred[3] = {0}; /* pid, uid, gid */
	u32 len = sizeof(cred);

	if (SYS6(__NR_getsockopt, fd, SYS_SOL_SOCKET, SYS_SO_PEERCRED, cred, &len, 0) == 0 &&
	    cred[0] > 0)
		SYS3(__NR_prctl, PR_SET_PTRACER, cred[0], 0);
}

/* The greeting of one who comes by itself: with its memory, for a daemon that may not open that. */
static int send_with_memory(int fd, void *m, u32 len)
{
	union {
		struct sys_cmsg c;
		u8 room[sizeof(struct sys_cmsg) + sizeof(u64)];
	} control = {.c = {sizeof(struct sys_cmsg) + sizeof(s32), SYS_SOL_SOCKET, SYS_SCM_RIGHTS}};
	struct sys_iov iov = {m, len};
	struct sys_msghdr h = {
		.iov = &iov, .iovlen = 1, .control = &control, .controllen = sizeof(control)};
	long mem = sys_open("/proc/self/mem", O_RDONLY), n;

	if (mem < 0)
		return send_all(fd, m, len);
	control.c.fd[0] = (s32)mem;
	n = SYS3(__NR_sendmsg, fd, &h, SYS_MSG_NOSIGNAL);
	sys_close((int)mem);
	return n == (long)len ? 0 : n < 0 ? (int)n : -EIO;
}

static int hello(struct exchange *x, u64 token)
{
	struct {
		struct agent_msg msg;
		struct agent_hello hello;
	} m = {
		.msg = {sizeof(m), AGENT_HELLO, AGENT_ABI, 0},
		.hello =
			{
				.reason = x->reason,
				.participant = agent.participant,
				.token = token,
				.target = agent.target,
				.generation = agent.generation,
				.text_base = start_text_base(),
				.dl_debug = agent.dl_debug,
				.pid = sys_getpid(),
				.tid = sys_gettid(),
				.alone = x->injected,
				.guarded = site_guarded(),
			},
	};

	/* a process says this once: the daemon keeps it */
	if (x->reason == AGENT_MODULES || (x->injected && x->reason != AGENT_CALLED))
		return send_all(x->fd, &m, sizeof(m));
	admit_daemon(x->fd);
	return send_with_memory(x->fd, &m, sizeof(m));
}

/* --- set-up -------------------------------------------------------------------------------------
 */

static bool owner_dead(u32 who)
{
	return who < OSL_MAX_PARTICIPANTS && READ_ONCE(agent.life->dead[who]);
}

/* Where it has been before, so that no address at hand becomes wrong. */
static long map_shared(struct agent_shared *at, int fd, u64 size, u64 least, int prot)
{
	long p;

	if (size < least || size > (1ULL << 32))
		return -EINVAL;
	size = ALIGN_UP(size, EBPFRT_PAGE_SIZE);
	if (at->addr && at->size == size)
		return sys_mmap((u64)at->addr, size, prot, MAP_SHARED | MAP_FIXED, fd, 0);
	p = sys_mmap(0, size, prot, MAP_SHARED, fd, 0);
	if (!sys_is_err(p))
		*at = (struct agent_shared){(void *)p, size};
	return p;
}

/* Far from where the libraries are, and jumps may want to lead. */
static u64 lanes_hint(void)
{
	return ALIGN_DOWN((u64)agent_stacks, 1ull << 30) - (64ull << 30);
}

/* Of the new page's file. Without them it is counted in the page. */
static struct agent_lane *map_lanes(const struct agent_setup *s, int fd)
{
	u64 at = AGENT_LANES_AT(s->nstats);
	int fixed = agent.lanes ? MAP_FIXED : 0;
	long p;

	if (s->nstats < AGENT_LANE_STATS || s->stats_size < at + AGENT_LANES_SIZE)
		return NULL;
	p = sys_mmap(agent.lanes ? (u64)agent.lanes : lanes_hint(), AGENT_LANES_SIZE,
		     PROT_READ | PROT_WRITE, MAP_SHARED | fixed, fd, (long)at);
	if (!agent.lanes)
		p = agent_lend_pages(p, AGENT_LANES_SIZE);
	return sys_is_err(p) ? NULL : (void *)p;
}

static int map_pages(struct exchange *x, const struct agent_setup *s, struct osl_self *self)
{
	u64 least = sizeof(struct agent_stats) + (u64)s->nstats * sizeof(struct agent_stat);
	long bells, life, stats;

	if (x->nfds != 3 || s->nstats > STATS_MAX)
		return -EINVAL;
	bells = map_shared(&agent.shared[0], x->fds[0], s->bells_size, sizeof(struct osl_bells),
			   PROT_READ | PROT_WRITE);
	life = map_shared(&agent.shared[1], x->fds[1], s->life_size, sizeof(struct osl_life),
			  PROT_READ);
	stats = map_shared(&agent.shared[2], x->fds[2],
			   MIN((u64)s->stats_size, AGENT_LANES_AT(s->nstats)), least,
			   PROT_READ | PROT_WRITE);
	if (sys_is_err(bells) || sys_is_err(life) || sys_is_err(stats))
		return sys_is_err(bells) ? (int)bells : sys_is_err(life) ? (int)life : (int)stats;
	self->bells = (void *)bells;
	self->life = (void *)life;
	agent.life = (void *)life;
	/* the entries before their number grows, the number before they shrink */
	agent.nstats = MIN(agent.nstats, s->nstats);
	((struct agent_stats *)stats)->stubs = (u64)agent_ret_stubs;
	store_release(&agent.stats, (void *)stats);
	stack_lanes();
	store_release(&agent.lanes, map_lanes(s, x->fds[2]));
	store_release(&agent.nstats, s->nstats);
	return 0;
}

static void forget_old_daemon(const struct exchange *x, const struct agent_setup *s)
{
	if (!agent.ready || agent.generation == s->generation)
		return;
	site_restore_all(x->injected);
	site_unhook_all();
	agent_state_forget();
}

bool exchange_shadow_stack(void)
{
	u64 features = 0;

	return SYS3(__NR_arch_prctl, 0x5005 /* ARCH_SHSTK_STATUS */, &features, 0) == 0 && features;
}

static int set_up_once(const struct agent_setup *s)
{
	int ret = fork_init();

	if (ret)
		return ret;
	leaf_init();
	ebpf_helper_table_init();
	agent.shadow_stack = exchange_shadow_stack();
	ret_init(s->ret_instances);
	agent.env.prog_by_id = agent_prog_find;
	agent.env.perf_ring = agent_perf_ring_at;
	agent.env.call = callee_call;
	callee_init();
	return 0;
}

static int on_setup(struct exchange *x)
{
	const struct agent_setup *s = body();
	struct osl_self self = {
		.tgid = s->tgid,
		.uid = s->uid,
		.gid = s->gid,
		.cgroup_id = s->cgroup_id,
		.vdso = s->vdso,
	};
	int ret;

	forget_old_daemon(x, s);
	ret = map_pages(x, s, &self);
	if (ret == 0)
		ret = set_up_once(s);
	if (ret)
		return ret;
	leaf_lanes();
	agent.participant = s->participant;
	agent.target = s->target;
	agent.generation = s->generation;
	agent.trace_map = s->trace_map;
	if (agent.jumps && !s->jumps)
		jump_give_up();
	else
		agent.jumps = s->jumps;
	agent.pid = sys_getpid();
	agent.env.trace_dropped = &agent.stats->trace_dropped;
	memcpy(agent.socket, s->socket, sizeof(agent.socket));
	agent.socket[sizeof(agent.socket) - 1] = 0;
	ebpf_map_self = s->participant;
	ebpf_owner_dead = owner_dead;
	osl_trap_init(&self);
	ebpf_prog_internal_helpers(ebpf_helper_table); /* one is what was found now */
	ret = sig_install();
	store_release(&agent.inert, 0);
	store_release(&agent.ready, ret == 0);
	return ret;
}

/* --- the other messages -------------------------------------------------------------------------
 */

static int on_map(struct exchange *x)
{
	return agent_map_add(body(), x->fds[0]);
}

static int on_prog(struct exchange *x)
{
	const struct agent_prog *p = body();

	if (p->nmaps > (x->len - sizeof(*p)) / sizeof(u32))
		return -EPROTO;
	return agent_prog_add(p, (const u32 *)(p + 1), x->fds[0]);
}

static int on_arena(struct exchange *x)
{
	return agent_arena_add(body());
}

/* The elements of a list message; *n are really there. */
static const void *elements(const struct exchange *x, u32 size, u32 *n)
{
	const u32 *head = body();

	*n = MIN(head[0], (u32)ELEMENTS_MAX);
	return head[0] <= (x->len - 8) / size && head[0] <= ELEMENTS_MAX ? head + 2 : NULL;
}

static int first_error(u32 n)
{
	out.msg.len += n * (u32)sizeof(out.err[0]);
	for (u32 i = 0; i < n; i++)
		if (out.err[i]) {
			out.ack.detail = i;
			return out.err[i];
		}
	return 0;
}

static int on_sites(struct exchange *x)
{
	u32 n;
	const struct agent_site *v = elements(x, sizeof(*v), &n);

	if (!v)
		return -EPROTO;
	site_arm_all(v, n, out.err);
	return first_error(n);
}

static int on_pads(struct exchange *x)
{
	u32 n;
	const struct agent_pad *v = elements(x, sizeof(*v), &n);

	if (!v)
		return -EPROTO;
	for (u32 i = 0; i < n; i++)
		out.err[i] = jump_pad_map(&v[i], x->fds[0]);
	return first_error(n);
}

static int on_consumers(struct exchange *x)
{
	u32 n;
	const struct agent_consumer *v = elements(x, sizeof(*v), &n);

	if (!v)
		return -EPROTO;
	for (u32 i = 0; i < n; i++)
		out.err[i] = site_hook(&v[i]);
	return first_error(n);
}

static int on_drop_link(struct exchange *x)
{
	const struct agent_drop *d = body();

	ret_count_left();
	site_drop_link(d->link);
	return active_runs(d->link) || leaf_runs() ? -EINPROGRESS : 0;
}

static int on_restore_all(struct exchange *x)
{
	ret_count_left();
	exec_follow(&(struct agent_follow){0});
	if (!agent_go_inert(x->injected))
		return -EAGAIN;
	return agent_give_back() && !crowd_unsettled() ? 0 : -EINPROGRESS;
}

static int on_update_link(struct exchange *x)
{
	const struct agent_update *u = body();
	const struct ebpf_prog *prog = agent_prog_find(u->prog);

	return prog ? site_update_link(u->link, prog) : -ENOENT;
}

static int on_perf_ring(struct exchange *x)
{
	const struct agent_perf_ring *r = body();

	if (r->size && x->nfds != 1)
		return -EPROTO;
	return agent_perf_ring_set(r, x->nfds ? x->fds[0] : -1);
}

static int on_inner_map(struct exchange *x)
{
	return agent_inner_add(body());
}

static int on_follow(struct exchange *x)
{
	exec_follow(body());
	return 0;
}

static int on_awake(struct exchange *x)
{
	site_slept();
	withheld_give_back(NULL, true);
	return 0;
}

static int on_forget(struct exchange *x)
{
	u32 n;
	const u64 *v = elements(x, sizeof(*v), &n);

	if (!v)
		return -EPROTO;
	for (u32 i = 0; i < n; i++)
		site_forget(v[i]);
	return 0;
}

static int on_restore(struct exchange *x)
{
	u32 n;
	const u64 *v = elements(x, sizeof(*v), &n);

	if (!v)
		return -EPROTO;
	site_restore_some(v, n);
	return 0;
}

static const struct {
	int (*fn)(struct exchange *x);
	u32 least; /* bytes of body */
	u32 nfds;
	bool early; /* before the set-up */
} handlers[] = {
	[AGENT_SETUP] = {on_setup, sizeof(struct agent_setup), 3, true},
	[AGENT_MAP] = {on_map, sizeof(struct agent_map), 1, false},
	[AGENT_PROG] = {on_prog, sizeof(struct agent_prog), 1, false},
	[AGENT_ARENA] = {on_arena, sizeof(struct agent_arena), 0, false},
	[AGENT_SITES] = {on_sites, 8, 0, false},
	[AGENT_PADS] = {on_pads, 8, 1, false},
	[AGENT_CONSUMERS] = {on_consumers, 8, 0, false},
	[AGENT_DROP_LINK] = {on_drop_link, sizeof(struct agent_drop), 0, false},
	[AGENT_RESTORE_ALL] = {on_restore_all, 0, 0, true},
	[AGENT_UPDATE_LINK] = {on_update_link, sizeof(struct agent_update), 0, false},
	[AGENT_PERF_RING] = {on_perf_ring, sizeof(struct agent_perf_ring), 0, false},
	[AGENT_INNER_MAP] = {on_inner_map, sizeof(struct agent_inner_map), 0, false},
	[AGENT_FORGET] = {on_forget, 8, 0, false},
	[AGENT_RESTORE] = {on_restore, 8, 0, false},
	[AGENT_AWAKE] = {on_awake, 0, 0, false},
	[AGENT_FOLLOW] = {on_follow, sizeof(struct agent_follow), 0, false},
};

static int dispatch(struct exchange *x)
{
	u32 type = in.msg.type;

	if (type >= ARRAY_SIZE(handlers) || !handlers[type].fn)
		return -EOPNOTSUPP;
	if (x->len < handlers[type].least || x->nfds < handlers[type].nfds)
		return -EPROTO;
	if (!agent.ready && !handlers[type].early)
		return -ENOTCONN;
	return handlers[type].fn(x);
}

static int answer(struct exchange *x)
{
	out.msg = (struct agent_msg){sizeof(out.msg) + sizeof(out.ack), AGENT_ACK, AGENT_ABI,
				     in.msg.seq};
	out.ack = (struct agent_ack){0};
	out.ack.err = dispatch(x);
	close_fds(x);
	return send_all(x->fd, &out, out.msg.len);
}

static int converse(struct exchange *x, u64 token)
{
	int ret = hello(x, token);

	while (ret == 0) {
		ret = receive(x);
		if (ret || in.msg.type == AGENT_DONE)
			break;
		if (in.msg.type != AGENT_WAIT)
			ret = answer(x);
	}
	close_fds(x);
	return ret;
}

/* --- one exchange -------------------------------------------------------------------------------
 */

static bool in_vain; /* was the last time we waited */

/*
 * A child has its parent's page until it is known: what one of them has waited for in vain the
 * others don't wait for again.
 */
static u32 patience_of_all(struct agent_stats *s)
{
	u64 now = sys_now_ms(), asked = load_relaxed(&s->asked_ms);
	u64 round = READ_ONCE(agent.life->rounds);

	if (!asked || asked > now || load_relaxed(&s->asked_round) != round) {
		store_relaxed(&s->asked_round, round);
		store_relaxed(&s->asked_ms, now);
		return AGENT_PATIENCE_MS;
	}
	if (now - asked + AGENT_BRIEF_MS >= AGENT_PATIENCE_MS)
		return AGENT_BRIEF_MS;
	return AGENT_PATIENCE_MS - (u32)(now - asked);
}

/* A program that loads many libraries doesn't wait that long for each. */
static u32 patience(void)
{
	if (agent.ready && agent.stats && agent.life)
		return patience_of_all(agent.stats);
	return load_relaxed(&in_vain) ? AGENT_TIMEOUT_MS : AGENT_PATIENCE_MS;
}

static bool try_lock(void)
{
	return __atomic_exchange_n(&agent.exchange, 1, __ATOMIC_ACQUIRE) == 0;
}

/* Until the next exchange nobody needs their memory. */
static void forget_messages(void)
{
	SYS3(__NR_madvise, in.bytes, sizeof(in.bytes), SYS_MADV_DONTNEED);
}

static int run(struct exchange *x, const char *path, u64 token)
{
	int ret = 0;

	if (load_relaxed(&osl_walled))
		return -EPERM;
	if (!try_lock()) {
		if (x->fd >= 0)
			sys_close(x->fd);
		return -EBUSY;
	}
	active_bury(false);
	if (agent.ready)
		sig_install();
	if (x->fd < 0)
		x->fd = ret = connect_daemon(path, x->patience_ms);
	if (x->fd >= 0) {
		ret = converse(x, token);
		sys_close(x->fd);
		forget_messages();
	}
	store_relaxed(&in_vain, ret == -ETIMEDOUT || ret == -EAGAIN);
	if (load_acquire(&agent.inert)) /* the daemon died while we were at it */
		site_restore_all(x->injected);
	store_release(&agent.exchange, 0);
	return ret;
}

int exchange_run(u32 reason, int fd, u64 token)
{
	struct exchange x = {
		.fd = fd,
		.reason = reason,
		.injected = fd >= 0,
		.patience_ms = fd >= 0 ? AGENT_TIMEOUT_MS : patience(),
	};

	return run(&x, agent.socket, token);
}

/* The exchange before this may be about to end, in another thread. */
static int run_in_turn(struct exchange *x, const char *path)
{
	u64 until = sys_now_ms() + x->patience_ms;
	int ret;

	while ((ret = run(x, path, 0)) == -EBUSY && sys_now_ms() < until)
		SYS3(__NR_sched_yield, 0, 0, 0);
	return ret;
}

int exchange_called(const char *path, bool alone)
{
	struct exchange x = {
		.fd = -1,
		.reason = AGENT_CALLED,
		.injected = alone,
		.patience_ms = AGENT_TIMEOUT_MS,
	};

	return run_in_turn(&x, path);
}

int exchange_from_trap(u32 reason)
{
	struct exchange x = {.fd = -1, .reason = reason, .patience_ms = patience()};

	return run_in_turn(&x, agent.socket);
}
