/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ebpfrtd: start, stop and the life in between.
 *
 * Starting: the directory is checked, a lock on `pid` decides who is the daemon (the second one
 * leaves with status 0: its clients find the first), stale sockets are replaced by rename, and only
 * then the starter sees us exit into the background: when it has waited for us, we accept.
 *
 * Leaving: when nobody has asked for anything for a while and nothing of ours is in any process; at
 * SIGTERM, after every target has its bytes back or its time is over. The sockets go first, and a
 * client that connected in that moment is still served.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/run/helper.h"
#include "daemon/daemon.h"
#include "daemon/inject.h"
#include "probe/probe.h"

#define NS_PER_MS 1000000ull
#define LEAVING_MAX_MS 8000u /* less than who starts us waits for; a busy machine takes long */
#define ADMIT_AGAIN_MS 50u
#define SETTLED_MS 500 /* after the last removal in the runtime directory */
#define GREETERS_MAX 256u
#define BACKLOG 128

struct options {
	bool foreground;
	int private_fd;
	int ready_fd;
	double idle_s;
	bool jumps, only_jumps, keep_probes;
};

static struct daemon the_daemon;
static int lock_fd = -1;

static void usage(FILE *f)
{
	fputs("usage: ebpfrtd [--foreground] [--idle SECONDS] [--private-fd N] [--ready-fd N]\n"
	      "\n"
	      "Serves bpf(2) to the programs of this user. It is started by the programs that "
	      "need\n"
	      "it and leaves when none has for a while.\n"
	      "\n"
	      "  --foreground     stay in the foreground, log to standard error\n"
	      "  --idle SECONDS   leave after so long without use (default 10, EBPFRT_IDLE)\n"
	      "  --private-fd N   serve the client on descriptor N, and leave with it\n"
	      "  --ready-fd N     write a byte to descriptor N when clients can connect\n"
	      "  --help, --version\n",
	      f);
}

static bool parse_seconds(const char *s, double *out)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end || !(v >= 0) || v > 1e9)
		return false;
	*out = v;
	return true;
}

static int bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "ebpfrtd: %s '%s'; see ebpfrtd --help\n", what, value);
	return 2;
}

/* What the environment says, unless an option does. As parse_options(). */
static int read_environment(struct options *o)
{
	const char *idle = getenv("EBPFRT_IDLE"), *probe = getenv("EBPFRT_PROBE"),
		   *debugger = getenv("EBPFRT_DEBUGGER"), *returns = getenv("EBPFRT_RETURNS");

	if (idle && *idle && !parse_seconds(idle, &o->idle_s))
		return 1 + bad_usage("EBPFRT_IDLE is not a number of seconds:", idle);
	if (!probe_rungs_asked(probe, &o->jumps, &o->only_jumps))
		return 1 + bad_usage("EBPFRT_PROBE is neither trap, jump nor auto:", probe);
	if (debugger && *debugger && strcmp(debugger, "keep") && strcmp(debugger, "sleep"))
		return 1 + bad_usage("EBPFRT_DEBUGGER is neither sleep nor keep:", debugger);
	if (returns && *returns && strcmp(returns, "sites"))
		return 1 + bad_usage("EBPFRT_RETURNS is not sites:", returns);
	o->keep_probes = debugger && !strcmp(debugger, "keep");
	return 0;
}

/* 0: go on, else exit with that status minus one */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"foreground", no_argument, NULL, 'f'},
					      {"idle", required_argument, NULL, 'i'},
					      {"private-fd", required_argument, NULL, 'p'},
					      {"ready-fd", required_argument, NULL, 'r'},
					      {"help", no_argument, NULL, 'h'},
					      {"version", no_argument, NULL, 'V'},
					      {0}};
	int c;

	while ((c = getopt_long(argc, argv, "f", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			o->foreground = true;
			break;
		case 'i':
			if (!parse_seconds(optarg, &o->idle_s))
				return 1 + bad_usage("--idle takes seconds, not", optarg);
			break;
		case 'p':
			o->private_fd = atoi(optarg);
			break;
		case 'r':
			o->ready_fd = atoi(optarg);
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'V':
			puts("ebpfrtd " EBPFRT_VERSION);
			return 1;
		default:
			usage(stderr);
			return 1 + 2;
		}
	}
	if (optind < argc)
		return 1 + bad_usage("unexpected argument", argv[optind]);
	return 0;
}

/* --- sockets --------------------------------------------------------------------------------- */

static void path_in(const struct daemon *d, char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", d->dir, name);
}

/* A listening socket that appears under its name complete, in place of whatever was there. */
static int listen_on(const struct daemon *d, const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char final[sizeof(sa.sun_path)];
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	path_in(d, sa.sun_path, sizeof(sa.sun_path), "new");
	path_in(d, final, sizeof(final), name);
	unlink(sa.sun_path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fd, BACKLOG))
		return -errno;
	if (rename(sa.sun_path, final))
		return -errno;
	return TAKE_FD(fd);
}

/* Who connects asks the kernel who is at the other end: whoever called listen() last. */
static int listen_again(const struct daemon *d)
{
	return listen(d->ctl.fd, BACKLOG) || listen(d->agent.fd, BACKLOG) ? -errno : 0;
}

static int accept_one(int fd)
{
	return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

static void on_admit(struct loop_timer *t)
{
	struct daemon *d = container_of(t, struct daemon, admit);

	loop_mod(&d->loop, &d->ctl, EPOLLIN);
	loop_mod(&d->loop, &d->agent, EPOLLIN);
}

/*
 * Out of descriptors the listening sockets stay readable for ever: who has said nothing makes room,
 * and when nobody can, those who knock wait for a moment.
 */
static int admit(struct daemon *d, const struct loop_source *s)
{
	static bool told;
	int fd = accept_one(s->fd), err = errno;

	if (fd >= 0 || !is_shortage(err) || client_evict(d) || agent_evict(d))
		return fd;
	if (!told)
		log_line("no new connections for now: %s; raise the limit of open files "
			 "(ulimit -n)",
			 strerror(err));
	told = true;
	loop_mod(&d->loop, &d->ctl, 0);
	loop_mod(&d->loop, &d->agent, 0);
	loop_timer_arm(&d->loop, &d->admit, ADMIT_AGAIN_MS * NS_PER_MS);
	return -1;
}

static void on_ctl(struct loop_source *s, u32 events)
{
	struct daemon *d = container_of(s, struct daemon, ctl);
	int fd = admit(d, s);

	if (fd >= 0)
		client_accept(d, fd);
}

static void on_agent(struct loop_source *s, u32 events)
{
	struct daemon *d = container_of(s, struct daemon, agent);
	int fd = admit(d, s);

	if (fd >= 0)
		agent_accept(d, fd);
}

static int open_socket(struct daemon *d, struct loop_source *s, const char *name,
		       void (*fn)(struct loop_source *, u32))
{
	int fd = listen_on(d, name), err;

	if (fd < 0)
		return fd;
	s->fn = fn;
	err = loop_add(&d->loop, s, fd, EPOLLIN);
	if (err)
		close(fd);
	return err;
}

static void close_socket(struct daemon *d, struct loop_source *s, const char *name)
{
	char path[128];
	int fd = s->fd;

	if (fd < 0)
		return;
	path_in(d, path, sizeof(path), name);
	unlink(path);
	loop_del(&d->loop, s);
	close(fd);
}

/* --- leaving --------------------------------------------------------------------------------- */

/* What nobody can reach any more is no reason to stay, only what processes hold open. */
static bool in_use(struct daemon *d)
{
	if (d->unreachable)
		return d->nclients || !list_empty(&d->handles);
	return d->nclients || !list_empty(&d->handles) || d->table.npins || session_ntargets(d) ||
	       names_any(d);
}

void daemon_check_idle(struct daemon *d)
{
	if (d->leaving)
		return;
	if (in_use(d))
		loop_timer_stop(&d->loop, &d->idle);
	else if (list_empty(&d->idle.node))
		loop_timer_arm(&d->loop, &d->idle, d->idle_ns);
}

void daemon_leave(struct daemon *d)
{
	d->leaving = true;
	d->loop.quit = true;
}

/* The socket's name goes first; whoever had connected before is served after all. */
static void on_idle(struct loop_timer *t)
{
	struct daemon *d = container_of(t, struct daemon, idle);
	char path[128];
	int fd;

	if (in_use(d))
		return;
	path_in(d, path, sizeof(path), "ctl");
	unlink(path);
	fd = accept_one(d->ctl.fd);
	if (fd < 0) {
		daemon_leave(d);
		return;
	}
	client_accept(d, fd);
	close_socket(d, &d->ctl, "ctl");
	if (open_socket(d, &d->ctl, "ctl", on_ctl))
		daemon_leave(d);
}

static void on_signal(struct loop_source *s, u32 events)
{
	struct daemon *d = container_of(s, struct daemon, signals);
	struct signalfd_siginfo si;

	if (read(s->fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGCHLD) {
		inject_reap();
		return;
	}
	log_line("signal %u from %u: leaving", si.ssi_signo, si.ssi_pid);
	daemon_leave(d);
}

/* --- the directory -----------------------------------------------------------------------------
 *
 * Who takes away the runtime directory takes away the only way to us: programs that come later
 * start another daemon. Where only the sockets have gone (something tidies up), they are made anew,
 * after a moment: a name that appears while a directory is being removed makes that fail.
 */

static bool name_exists(const struct daemon *d, const char *name)
{
	char path[128];

	path_in(d, path, sizeof(path), name);
	return access(path, F_OK) == 0;
}

/* Is the file we hold the lock of still the one by that name? */
static bool lock_is_ours(const struct daemon *d)
{
	struct stat named, held;
	char path[128];

	path_in(d, path, sizeof(path), "pid");
	return !stat(path, &named) && !fstat(lock_fd, &held) && named.st_dev == held.st_dev &&
	       named.st_ino == held.st_ino;
}

static int reopen_socket(struct daemon *d, struct loop_source *s, const char *name,
			 void (*fn)(struct loop_source *, u32))
{
	if (name_exists(d, name))
		return 0;
	log_line("somebody removed the socket %s: making it anew", name);
	close_socket(d, s, name);
	return open_socket(d, s, name, fn);
}

static void on_settled(struct loop_timer *t)
{
	struct daemon *d = container_of(t, struct daemon, settled);

	if (d->leaving || d->unreachable)
		return;
	if (lock_is_ours(d) && !reopen_socket(d, &d->ctl, "ctl", on_ctl) &&
	    !reopen_socket(d, &d->agent, "agent", on_agent))
		return;
	log_line("the runtime directory was taken away: leaving when nobody is connected");
	d->unreachable = true;
	daemon_check_idle(d);
}

static void on_dir(struct loop_source *s, u32 events)
{
	struct daemon *d = container_of(s, struct daemon, dir_src);
	char buf[4096] __attribute__((aligned(8)));

	while (read(s->fd, buf, sizeof(buf)) > 0)
		;
	loop_timer_stop(&d->loop, &d->settled);
	loop_timer_arm(&d->loop, &d->settled, SETTLED_MS * NS_PER_MS);
}

/* Without inotify (its limits are per user) we live as well, only longer than we should. */
static void watch_dir(struct daemon *d)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return;
	d->dir_src.fn = on_dir;
	if (inotify_add_watch(fd, d->dir,
			      IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF) < 0 ||
	    loop_add(&d->loop, &d->dir_src, fd, EPOLLIN))
		close(fd);
}

/* --- starting -------------------------------------------------------------------------------- */

/* 0, or 1 when another daemon is there, or -errno. */
static int take_lock(struct daemon *d)
{
	char path[128], text[16];
	int n;

	path_in(d, path, sizeof(path), "pid");
	lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock_fd < 0)
		return -errno;
	if (flock(lock_fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? 1 : -errno;
	n = snprintf(text, sizeof(text), "%d\n", getpid());
	if (ftruncate(lock_fd, 0) || pwrite(lock_fd, text, n, 0) != n)
		return -errno;
	return 0;
}

/* One that is leaving has taken away its socket and holds the lock until it has ended: our turn. */
static bool is_leaving(struct daemon *d)
{
	char path[128];

	path_in(d, path, sizeof(path), "ctl");
	return access(path, F_OK) && errno == ENOENT;
}

static int take_lock_in_turn(struct daemon *d)
{
	const struct timespec pause = {.tv_nsec = 4 * NS_PER_MS};
	u64 until = osl_now_ns() + LEAVING_MAX_MS * NS_PER_MS;
	int r;

	while ((r = take_lock(d)) == 1 && is_leaving(d) && osl_now_ns() < until) {
		close(lock_fd);
		nanosleep(&pause, NULL);
	}
	return r;
}

static void write_pid(void)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", getpid());

	if (ftruncate(lock_fd, 0) || pwrite(lock_fd, text, n, 0) != n)
		log_line("cannot write the pid file: %s", strerror(errno));
}

static int block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	/* whoever started us may have ignored it: children would be gone before they are reaped */
	signal(SIGCHLD, SIG_DFL);
	return sigprocmask(SIG_BLOCK, set, NULL) ? -errno : 0;
}

static int watch_signals(struct daemon *d)
{
	sigset_t set;
	int fd, err = block_signals(&set);

	if (err)
		return err;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	d->signals.fn = on_signal;
	return loop_add(&d->loop, &d->signals, fd, EPOLLIN);
}

static void close_standard(int from, int to)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = from; null >= 0 && fd <= to; fd++)
		dup2(null, fd);
	if (null > to)
		close(null);
}

/* The parent exits once the sockets accept. Who started us hears why we can't until we can. */
static int to_background(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid)
		_exit(0);
	setsid();
	if (chdir("/"))
		return -errno;
	close_standard(0, 1);
	write_pid();
	return 0;
}

static void count_what_fits(struct daemon *d)
{
	struct rlimit rl;
	long pages = sysconf(_SC_PHYS_PAGES);

	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		d->table.objs_max = MIN(rl.rlim_cur / 2, (rlim_t)1 << 20);
		d->clients_max = MIN(rl.rlim_cur / 4, (rlim_t)DAEMON_CLIENTS);
		d->greeters_max = MIN(rl.rlim_cur / 8, (rlim_t)GREETERS_MAX);
	}
	/* maps are real memory: at most half of it */
	if (pages > 0)
		d->table.map_bytes_max = (u64)pages * EBPFRT_PAGE_SIZE / 2;
}

static bool owner_is_dead(u32 who)
{
	return who < OSL_MAX_PARTICIPANTS && load_relaxed(&the_daemon.life->dead[who]);
}

/* Be a participant of our own: element commands for others run here. */
static int join(struct daemon *d)
{
	struct osl_self self;
	int err = osl_fault_handler_install();

	if (err)
		return err;
	osl_self_fill(&self);
	self.bells = d->bells;
	self.life = d->life;
	osl_trap_init(&self);
	ebpf_helper_table_init();
	ebpf_owner_dead = owner_is_dead;
	ebpf_map_self = participant_new(d);
	return 0;
}

static void init_lists(struct daemon *d)
{
	ebpf_table_init(&d->table);
	d->table.backend = &daemon_backend;
	d->table.cookie = d;
	list_init(&d->clients);
	list_init(&d->targets);
	list_init(&d->handles);
	list_init(&d->gone_tallies);
	list_init(&d->greeters);
	list_init(&d->families);
	list_init(&d->waiting);
	d->clients_max = DAEMON_CLIENTS;
	d->greeters_max = GREETERS_MAX;
	loop_timer_init(&d->idle, on_idle);
	loop_timer_init(&d->admit, on_admit);
	loop_timer_init(&d->settled, on_settled);
	d->ctl.fd = d->agent.fd = d->signals.fd = d->trace_src.fd = d->dir_src.fd = -1;
	d->handles_src.fd = -1;
	d->names_src.fd = d->names_dir = -1;
	d->next_participant = 1;
	d->uid = geteuid();
	d->started_ns = osl_now_ns();
}

/* Everything that has to exist before the first client can be answered. */
static int bring_up(struct daemon *d)
{
	int err = watch_signals(d);

	count_what_fits(d);
	exchange_agent_file(d); /* who needs it says when it isn't there */
	if (!err)
		err = handles_start(d);
	if (!err)
		err = waker_start(d);
	if (!err)
		err = join(d);
	if (!err)
		err = timers_start(d);
	if (!err)
		err = trace_start(d);
	if (!err)
		err = names_start(d);
	return err;
}

static void open_log(const struct daemon *d, const struct options *o)
{
	const char *file = getenv("EBPFRT_LOG_FILE");
	char path[128];

	path_in(d, path, sizeof(path), "daemon.log");
	log_open(file && *file ? file : path, o->foreground);
}

static void tell_ready(int fd)
{
	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0)
		log_line("nobody waits on the ready descriptor: %s", strerror(errno));
	close(fd);
}

static const char *remedy(int err)
{
	switch (err) {
	case -EMFILE:
		return "; raise the limit of open files (ulimit -n)";
	case -EFBIG:
		return "; raise the limit of the size of files (ulimit -f), which memory has, too";
	case -ENOMEM:
		return "; raise the limit of memory (ulimit -v)";
	default:
		return "";
	}
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "ebpfrtd: %s: %s%s\n", what, strerror(-err), remedy(err));
	log_line("%s: %s%s", what, strerror(-err), remedy(err));
	return 1;
}

static void shut_down(struct daemon *d)
{
	char path[128];

	d->leaving = true;
	close_socket(d, &d->ctl, "ctl");
	targets_drop_all(d);
	close_socket(d, &d->agent, "agent");
	while (!list_empty(&d->clients))
		client_free(list_entry(d->clients.next, struct client, node));
	ebpf_table_drop_pins(&d->table);
	names_stop(d);
	timers_stop(d);
	handle_drop_all(d);
	trace_stop(d);
	waker_stop(d);
	path_in(d, path, sizeof(path), "pid");
	unlink(path);
	if (d->private)
		rmdir(d->dir);
	log_line("left");
}

static int serve(struct daemon *d, const struct options *o)
{
	int err = loop_init(&d->loop);

	if (!err)
		err = open_socket(d, &d->ctl, "ctl", on_ctl);
	if (!err)
		err = open_socket(d, &d->agent, "agent", on_agent);
	if (err)
		return fail("cannot open the sockets in the runtime directory", err);
	/* epoll and the listening sockets survive the fork; threads and watches are made after it
	 */
	if (!o->foreground)
		err = to_background();
	if (!err)
		err = listen_again(d);
	if (!err)
		err = bring_up(d);
	if (err)
		return fail("it cannot set itself up", err);
	if (!o->foreground) {
		close_standard(2, 2);
		log_take_stderr();
	}
	if (o->private_fd >= 0) {
		d->private = true;
		client_accept(d, o->private_fd);
	}
	watch_dir(d);
	debugger_init(d);
	log_line("serving in %s", d->dir);
	tell_ready(o->ready_fd);
	daemon_check_idle(d);
	loop_run(&d->loop);
	shut_down(d);
	return 0;
}

/*
 * Limits are those of whoever happened to start us, and we serve others, too: as far up as we may.
 * What is over the limit of a file's size, which memory has as well, is an error then, no death.
 */
static void raise_limits(void)
{
	static const int ours[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_CPU};
	struct rlimit rl;

	signal(SIGXFSZ, SIG_IGN);
	for (u32 i = 0; i < ARRAY_SIZE(ours); i++) {
		if (getrlimit(ours[i], &rl))
			continue;
		rl.rlim_cur = rl.rlim_max;
		setrlimit(ours[i], &rl);
	}
}

int main(int argc, char **argv)
{
	struct options o = {.private_fd = -1, .ready_fd = -1, .idle_s = DAEMON_IDLE_MS / 1000.0};
	struct daemon *d = &the_daemon;
	char why[256];
	int r = read_environment(&o);

	if (!r)
		r = parse_options(argc, argv, &o);
	if (r)
		return r - 1;
	umask(077);
	prctl(PR_SET_NAME, "ebpfrtd");
	if (frame_runtime_dir(d->dir, sizeof(d->dir), why, sizeof(why))) {
		fprintf(stderr, "ebpfrtd: %s\n", why);
		return 1;
	}
	raise_limits();
	init_lists(d);
	open_log(d, &o);
	d->idle_ns = (u64)(o.idle_s * 1000) * NS_PER_MS;
	d->jumps = o.jumps;
	d->only_jumps = o.only_jumps;
	d->keep_probes = o.keep_probes;
	r = take_lock_in_turn(d);
	if (r)
		return r < 0 ? fail("cannot lock the runtime directory", r) : 0;
	return serve(d, &o);
}
