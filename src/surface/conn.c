/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connection to the daemon: one per process, one request at a time.
 *
 * Model: the descriptor lives high and close-on-exec; before each use it is compared with the
 * socket we opened, because the program may have closed it or put something else there. A lost
 * connection is made anew by the next request, and the daemon then learns which objects this
 * process still holds. A forked child keeps its parent's socket until it makes its own (the objects
 * it inherited must not die in between) and then drops it.
 *
 * Rules: the connection's lock is recursive, because announcing objects on a new connection is
 * itself a request. Unasked messages (seq 0) that arrive while a reply is awaited are queued.
 */
#include <linux/prctl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>

#include "surface/internal.h"

/* Who links the connection gets the interposers with it. */
extern const char surface_interposed;
static const char *const anchor __attribute__((used)) = &surface_interposed;

/* what comes unasked while an answer is waited for: log lines are counted beyond, events last */
#define LOG_QUEUE_MAX 16384
#define EVENT_QUEUE_MAX 65536

struct event {
	struct event *next;
	struct frame frame;
};

static pthread_mutex_t conn_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static struct {
	int fd;
	int pid;    /* whose connection it is */
	bool stale; /* it is the parent's */
	bool lost;  /* objects have to be announced on the next one */
	struct osl_ident ident;
	u64 seq;
	struct msg_welcome welcome;
	void *bells, *life;
	size_t bells_size, life_size;
	struct event *events, **events_tail;
	u32 nevents;
	u32 lines_lost; /* not told yet */
	char parent_dir[108];
	char private_dir[108]; /* of a daemon of our own: EBPFRT_PRIVATE=1 */
	int private_pid;       /* who started it, and takes it along */
} conn = {.fd = -1, .events_tail = &conn.events};

int surface_private_fd(int fd)
{
	int high;

	if (fd < 0 || fd >= SURFACE_FD_MIN)
		return fd;
	high = sys_fcntl(fd, F_DUPFD_CLOEXEC, SURFACE_FD_MIN);
	if (high < 0)
		return fd;
	sys_close(fd);
	return high;
}

bool surface_fd_is_private(int fd)
{
	return fd >= 0 && fd == load_relaxed(&conn.fd);
}

static void conn_enter(void)
{
	surface_enter();
	pthread_mutex_lock(&conn_lock);
}

static void conn_leave(void)
{
	pthread_mutex_unlock(&conn_lock);
	surface_leave();
}

void surface_fd_make_room(int fd)
{
	int moved;

	conn_enter();
	if (fd == conn.fd) {
		moved = sys_fcntl(fd, F_DUPFD_CLOEXEC, MAX(fd + 1, SURFACE_FD_MIN));
		if (moved < 0)
			moved = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (moved >= 0)
			conn.fd = moved;
	}
	conn_leave();
}

void surface_conn_after_fork(void)
{
	conn_lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	conn.stale = true;
}

bool surface_conn_is_ours(void)
{
	return conn.fd >= 0 && !conn.stale && conn.pid == sys_getpid();
}

static void conn_drop(void)
{
	if (conn.fd >= 0)
		sys_close(conn.fd);
	conn.fd = -1;
	conn.lost = true;
	conn.stale = false;
}

static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd};
	const struct timespec now = {0};

	return sys_call5(SYS_ppoll, &p, 1, &now, NULL, 0) > 0 && (p.revents & POLLHUP);
}

/* Is the descriptor still the socket we opened, in the process that opened it? */
static bool conn_usable(void)
{
	struct osl_ident now = {0};

	if (conn.fd < 0)
		return false;
	if (sys_ident(conn.fd, &now) < 0 || !ident_eq(&now, &conn.ident)) {
		conn.fd = -1; /* what is there now is not ours to close */
		conn.lost = true;
		conn.stale = false;
		return false;
	}
	/* the daemon drops who holds nothing and says nothing: it is asked anew */
	if (!surface_obj_count() && hung_up(conn.fd))
		conn.stale = true;
	if (conn.stale)
		conn_drop();
	return conn.fd >= 0;
}

/* --- hello ------------------------------------------------------------------------------------ */

static bool owner_dead(u32 who)
{
	const struct osl_life *life = conn.life;

	return life && who < OSL_MAX_PARTICIPANTS && load_relaxed(&life->dead[who]);
}

static void *map_shared(int fd, size_t size, int prot)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0 || (size_t)st.st_size < size)
		return NULL;
	p = sys_mmap(NULL, size, prot, MAP_SHARED, fd, 0);
	return sys_is_err(p) ? NULL : p;
}

/* Doorbell and life pages, and who we are in shared memory. */
static int conn_setup(const struct frame *reply)
{
	struct osl_self self = {.tgid = getpid(), .uid = getuid(), .gid = getgid()};
	void *bells, *life;

	if (reply->len < sizeof(conn.welcome) || reply->nfds < 2)
		return -EPROTO;
	memcpy(&conn.welcome, reply->body, sizeof(conn.welcome));
	conn.welcome.version[sizeof(conn.welcome.version) - 1] = '\0';
	if (conn.welcome.bells_size < sizeof(struct osl_bells) ||
	    conn.welcome.life_size < sizeof(struct osl_life))
		return -EPROTO;
	bells = map_shared(reply->fds[0], conn.welcome.bells_size, PROT_READ | PROT_WRITE);
	life = map_shared(reply->fds[1], conn.welcome.life_size, PROT_READ);
	if (!bells || !life)
		return -EPROTO;
	/* earlier pages stay mapped: another thread may be looking at them */
	conn.bells = bells;
	conn.life = life;
	self.bells = bells;
	self.life = life;
	self.vdso = getauxval(AT_SYSINFO_EHDR);
	osl_trap_init(&self);
	ebpf_map_self = conn.welcome.participant;
	ebpf_owner_dead = owner_dead;
	return 0;
}

static int exchange(struct msg *req, const void *body, size_t len, const int *fds, u32 nfds,
		    struct frame *reply);

static bool is_set_to(const char *name, const char *value)
{
	const char *v = secure_getenv(name);

	return v && strcmp(v, value) == 0;
}

static int hello(void)
{
	struct msg_hello h = {.pid = sys_getpid(),
			      .flags = conn.private_dir[0] ? MSG_HELLO_PRIVATE : 0};
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg req = {.type = MSG_HELLO};
	int err;

	if (conn.private_dir[0] && conn.private_pid == (int)h.pid)
		h.flags |= MSG_HELLO_PRIVATE;
	if (is_set_to("EBPFRT_JIT", "0"))
		h.flags |= MSG_HELLO_INTERPRET;
	sys_call2(SYS_prctl, PR_GET_NAME, h.name);
	err = exchange(&req, &h, sizeof(h), NULL, 0, &reply);
	if (!err)
		err = reply.hdr.err;
	if (!err)
		err = conn_setup(&reply);
	if (err && !reply.text && hung_up(conn.fd))
		surface_say("the daemon hung up at the greeting: it has ended, or has no room for "
			    "another client; see daemon.log in the runtime directory");
	else if (err)
		surface_say("%s", reply.text
					  ? reply.text
					  : "the daemon answered the greeting with nonsense; stop "
					    "it with `ebpfrt shutdown` and try again");
	return err;
}

/* --- connecting ------------------------------------------------------------------------------ */

static int runtime_dir(char *dir, size_t size)
{
	char why[256] = "";
	int err;

	if (conn.private_dir[0])
		return snprintf(dir, size, "%s", conn.private_dir) < (int)size ? 0 : -ENAMETOOLONG;
	err = frame_runtime_dir(dir, size, why, sizeof(why));
	if (err) {
		surface_say("%s", why);
		return err;
	}
	if (!is_set_to("EBPFRT_PRIVATE", "1"))
		return 0;
	snprintf(conn.parent_dir, sizeof(conn.parent_dir), "%s", dir);
	conn.private_pid = sys_getpid();
	if (snprintf(conn.private_dir, sizeof(conn.private_dir), "%s/p%d", dir, sys_getpid()) >=
	    (int)sizeof(conn.private_dir))
		return -ENAMETOOLONG;
	if (mkdir(conn.private_dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	return snprintf(dir, size, "%s", conn.private_dir) < (int)size ? 0 : -ENAMETOOLONG;
}

int surface_runtime_dir(char *dir, size_t size)
{
	int err = -ENOENT;

	conn_enter();
	/* a private daemon that is not there yet has no directory either */
	if (conn.private_dir[0] || !is_set_to("EBPFRT_PRIVATE", "1"))
		err = runtime_dir(dir, size);
	conn_leave();
	return err;
}

static int dial(bool start)
{
	char dir[108], sock[128];
	int fd, err;

	err = runtime_dir(dir, sizeof(dir));
	if (err)
		return err;
	snprintf(sock, sizeof(sock), "%s/ctl", dir);
	fd = surface_dial(sock);
	if ((fd == -ECONNREFUSED || fd == -ENOENT) && start)
		return surface_start_daemon(dir, sock,
					    conn.private_dir[0] ? conn.parent_dir : NULL);
	if (fd < 0)
		surface_say("cannot reach the daemon at %s: %s; run `ebpfrt doctor`", sock,
			    strerror(-fd));
	return fd;
}

/*
 * `ebpfrt exec -p PID` names the processes that the program's probes are for: they are this
 * session's targets from its first request on. A process that can't be is said, and skipped.
 */
static void adopt_named_targets(void)
{
	const char *p = secure_getenv("EBPFRT_TARGETS");

	while (p && *p) {
		_cleanup_frame_ struct frame reply = FRAME_INIT;
		struct msg_target t = {.pid = atoi(p), .flags = MSG_TARGET_FOLLOW};
		struct msg req = {.type = MSG_TARGET_ADOPT};
		int err = t.pid > 0 ? exchange(&req, &t, sizeof(t), NULL, 0, &reply) : -EINVAL;

		if (!err)
			err = reply.hdr.err;
		if (err < 0)
			surface_say("%s", reply.text ? reply.text : strerror(-err));
		p += strcspn(p, ",");
		p += *p == ',';
	}
}

/* Reach the daemon and greet it. */
static int connect_once(bool start)
{
	int fd = dial(start), err;

	if (fd < 0)
		return fd;
	fd = surface_private_fd(fd);
	err = sys_ident(fd, &conn.ident);
	if (err) {
		sys_close(fd);
		return err;
	}
	conn.fd = fd;
	conn.pid = sys_getpid();
	err = hello();
	if (err)
		conn_drop();
	return err;
}

static int connect_locked(bool start)
{
	int err;

	if (conn_usable())
		return 0;
	err = connect_once(start);
	/* one that is just ending took the call, and will not take another */
	if (err == -ECONNRESET || err == -EPIPE) {
		surface_say_clear();
		err = connect_once(start);
	}
	if (err)
		return err;
	surface_activate();
	adopt_named_targets();
	if (conn.lost) {
		conn.lost = false;
		surface_obj_reannounce();
	}
	return conn.fd >= 0 ? 0 : -ECONNRESET;
}

/* --- requests --------------------------------------------------------------------------------- */

/* Lines of a frame, and those that were lost before them. */
static u32 lines_of(const struct frame *f)
{
	struct msg_log_line line;
	size_t at = 0;
	u32 n = 0;

	while (f->len - at >= sizeof(line)) {
		memcpy(&line, f->body + at, sizeof(line));
		n += line.lost + !!line.len;
		at += sizeof(line);
		at += MIN(ALIGN_UP((size_t)line.len, 8), f->len - at);
	}
	return n;
}

static void queue_event(struct frame *f)
{
	bool lines = f->hdr.type == MSG_LOG_LINES;
	u32 max = lines ? LOG_QUEUE_MAX : EVENT_QUEUE_MAX;
	struct event *e = conn.nevents < max ? calloc(1, sizeof(*e)) : NULL;

	if (!e) {
		conn.lines_lost += lines ? lines_of(f) : 0;
		frame_deinit(f);
		return;
	}
	e->frame = *f;
	*conn.events_tail = e;
	conn.events_tail = &e->next;
	conn.nevents++;
}

static int receive_reply(u64 seq, struct frame *reply)
{
	for (;;) {
		struct frame f = FRAME_INIT;
		int err = frame_recv(conn.fd, &f, 0);

		if (err == -EINTR)
			continue;
		if (err == -EAGAIN) {
			surface_say("the daemon (pid %u) has not answered for 60 s",
				    conn.welcome.pid);
			return -ETIMEDOUT;
		}
		if (err)
			return err;
		if (f.hdr.seq == 0) {
			queue_event(&f);
			continue;
		}
		if (f.hdr.seq != seq) {
			frame_deinit(&f);
			return -EPROTO;
		}
		*reply = f;
		return 0;
	}
}

static int exchange(struct msg *req, const void *body, size_t len, const int *fds, u32 nfds,
		    struct frame *reply)
{
	int err;

	req->abi = MSG_ABI;
	req->seq = ++conn.seq;
	do {
		err = frame_send(conn.fd, req, body, len, fds, nfds, NULL, 0);
	} while (err == -EINTR);
	return err ? err : receive_reply(req->seq, reply);
}

/* "No daemon" must not look like a result of the command: ENOENT ends an enumeration. */
static int unreachable(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
	case -EBADF:
	case -EINVAL:
	case -EEXIST:
	case -EAGAIN:
		return -ECONNREFUSED;
	default:
		return err;
	}
}

static int request_locked(struct msg *req, const void *body, size_t len, const int *fds, u32 nfds,
			  struct frame *reply)
{
	int err = connect_locked(true);

	if (err) {
		surface_report("%s", surface_error());
		return unreachable(err);
	}
	err = exchange(req, body, len, fds, nfds, reply);
	if (err) {
		if (!surface_error()[0])
			surface_say(
				"lost the daemon (pid %u) during a request: %s; its log is in the "
				"runtime directory",
				conn.welcome.pid, strerror(-err));
		surface_report("%s", surface_error());
		conn_drop();
		return err;
	}
	if (reply->hdr.err < 0 && reply->text)
		surface_say("%s", reply->text);
	return reply->hdr.err;
}

int surface_request(struct msg *req, const void *body, size_t len, const int *fds, u32 nfds,
		    struct frame *reply)
{
	_cleanup_frame_ struct frame unused = FRAME_INIT;
	int saved = errno, err;

	conn_enter();
	surface_say_clear();
	err = request_locked(req, body, len, fds, nfds, reply ? reply : &unused);
	conn_leave();
	errno = saved;
	return err;
}

void surface_send_closed(const struct osl_ident *ident)
{
	struct msg req = {.type = MSG_CLOSED, .abi = MSG_ABI};

	conn_enter();
	if (conn_usable()) {
		req.seq = ++conn.seq;
		frame_send(conn.fd, &req, ident, sizeof(*ident), NULL, 0, NULL, 0);
	}
	conn_leave();
}

int surface_connect(bool start)
{
	int saved = errno, err;

	conn_enter();
	surface_say_clear();
	err = connect_locked(start);
	conn_leave();
	errno = saved;
	return err;
}

void surface_welcome(struct msg_welcome *out)
{
	conn_enter();
	if (conn_usable())
		*out = conn.welcome;
	else
		memset(out, 0, sizeof(*out));
	conn_leave();
}

/* --- unasked messages --------------------------------------------------------------------------
 */

/* A frame as the daemon sends it, of the lines for which there was no room here. */
static int tell_lost(struct frame *out)
{
	struct msg_log_line line = {.lost = conn.lines_lost};

	out->body = malloc(sizeof(line));
	if (!out->body)
		return -EAGAIN;
	memcpy(out->body, &line, sizeof(line));
	out->len = sizeof(line);
	out->hdr = (struct msg){.type = MSG_LOG_LINES, .abi = MSG_ABI};
	conn.lines_lost = 0;
	return 0;
}

/* 0: one in @out; -EAGAIN: none at the moment. */
static int take_event(struct frame *out)
{
	struct event *e = conn.events;
	int err;

	if (e) {
		conn.events = e->next;
		if (!conn.events)
			conn.events_tail = &conn.events;
		conn.nevents--;
		*out = e->frame;
		free(e);
		return 0;
	}
	if (conn.lines_lost)
		return tell_lost(out);
	if (!conn_usable())
		return -ENOTCONN;
	err = frame_recv(conn.fd, out, MSG_DONTWAIT);
	if (err && err != -EAGAIN && err != -EINTR)
		conn_drop();
	if (!err && out->hdr.seq != 0) {
		frame_deinit(out);
		conn_drop();
		return -EPROTO;
	}
	return err;
}

int surface_poll_fd(void)
{
	int fd;

	conn_enter();
	fd = conn_usable() ? conn.fd : -ENOTCONN;
	conn_leave();
	return fd;
}

static int wait_input(u64 deadline, int timeout_ms)
{
	struct pollfd p = {.fd = surface_poll_fd(), .events = POLLIN};
	struct timespec ts, *tsp = NULL;
	u64 now = osl_now_ns();
	long r;

	if (p.fd < 0)
		return p.fd;
	if (timeout_ms >= 0) {
		u64 left = deadline > now ? deadline - now : 0;

		ts.tv_sec = (time_t)(left / 1000000000);
		ts.tv_nsec = (long)(left % 1000000000);
		tsp = &ts;
	}
	r = sys_call5(SYS_ppoll, &p, 1, tsp, NULL, 0);
	if (r == 0)
		return -ETIMEDOUT;
	return r < 0 ? (int)r : 0;
}

int surface_next_event(int timeout_ms, struct frame *out)
{
	u64 deadline = osl_now_ns() + (u64)MAX(timeout_ms, 0) * 1000000;
	int saved = errno, err;

	for (;;) {
		conn_enter();
		err = take_event(out);
		conn_leave();
		if (err != -EAGAIN && err != -EINTR)
			break;
		err = wait_input(deadline, timeout_ms);
		if (err)
			break;
	}
	errno = saved;
	return err;
}
