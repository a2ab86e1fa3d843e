/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting a daemon from inside somebody else's process.
 *
 * Model: whoever finds no daemon takes the start lock, looks once more, and starts one; the others
 * wait for the lock and then find it. The daemon must look like nobody's child here: no SIGCHLD, no
 * pid that the program's own wait() could return, none of the program's descriptors, signal
 * dispositions or preloads. So it is cloned twice without an exit signal, and the child makes only
 * system calls until it is exec'ed. Its standard error is a pipe to us until it can serve: what it
 * says there is why it can't.
 */
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "proto/shm_abi.h"
#include "surface/internal.h"

#define START_TIMEOUT_MS 10000 /* a busy machine may take that long */
#define START_POLL_MS 4
#define START_WORDS_MS 500  /* until it has closed its standard error; usually a few */
#define START_QUIET_MS 3000 /* one that ends without a word leaves the place to another */

extern char **environ;

static void sleep_ms(int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	sys_call2(SYS_nanosleep, &ts, NULL);
}

/* Send and receive give up after a while: a stopped daemon must not stop its clients for ever. */
static void set_timeouts(int fd)
{
	struct timeval rcv = {.tv_sec = 60}, snd = {.tv_sec = 10};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &rcv, sizeof(rcv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &snd, sizeof(snd));
}

static int check_peer(int fd)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	return cred.uid == geteuid() || cred.uid == 0 ? 0 : -EPERM;
}

int surface_dial(const char *sock)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	int err;

	if (strlen(sock) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, sock);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set_timeouts(fd);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	err = check_peer(fd);
	return err ? err : TAKE_FD(fd);
}

/* --- where the daemon's program is ----------------------------------------------------------- */

static bool beside(const char *file, char *path, size_t size)
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		return false;
	if ((size_t)snprintf(path, size, "%.*s/ebpfrtd", (int)(slash - file), file) >= size)
		return false;
	return sys_call3(SYS_faccessat, AT_FDCWD, path, X_OK) == 0;
}

/* The file that holds this code: the program, libebpfrt.so or the preload library. */
static bool own_file(char *path, size_t size)
{
	unsigned long lo, hi, self = (unsigned long)&own_file;
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	char line[PATH_MAX + 128];
	int at;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &lo, &hi, &at) != 2 || self < lo ||
		    self >= hi)
			continue;
		line[strcspn(line, "\n")] = '\0';
		return (size_t)snprintf(path, size, "%s", line + at) < size;
	}
	return false;
}

static void daemon_path(char *path, size_t size)
{
	const char *env = secure_getenv("EBPFRT_DAEMON");
	char file[PATH_MAX];
	ssize_t n;

	if (env && *env) {
		snprintf(path, size, "%s", env);
		return;
	}
	n = sys_call4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", file, sizeof(file) - 1);
	if (n > 0) {
		file[n] = '\0';
		if (beside(file, path, size))
			return;
	}
	if (own_file(file, sizeof(file)) && beside(file, path, size))
		return;
	snprintf(path, size, "%s/ebpfrtd", EBPFRT_PKGLIBEXECDIR);
}

/* --- the child ----------------------------------------------------------------------------------
 */

struct spawn {
	const char *path;
	char *const *argv;
	char **envp;
	int null, words, status;
};

static bool env_is(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

/* The program's environment without what would put us, or an agent, into the daemon. A log file
 * that the person chose comes first, and wins. */
static char **daemon_env(char *runtime_dir, char *log_file)
{
	static const char *const drop[] = {"LD_PRELOAD",    "LD_AUDIT",	      AGENT_ENV_SOCKET,
					   AGENT_ENV_TOKEN, "EBPFRT_PRIVATE", "EBPFRT_RUNTIME_DIR"};
	size_t n = 0, kept = 0;
	char **env;

	while (environ && environ[n])
		n++;
	env = calloc(n + 3, sizeof(*env));
	if (!env)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		bool skip = false;

		for (size_t j = 0; j < ARRAY_SIZE(drop); j++)
			skip |= env_is(environ[i], drop[j]);
		if (!skip)
			env[kept++] = environ[i];
	}
	env[kept++] = runtime_dir;
	env[kept] = log_file;
	return env;
}

static void default_signals(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		u64 mask;
	} dfl = {0};
	u64 none = 0;

	for (int sig = 1; sig <= 64; sig++)
		sys_call4(SYS_rt_sigaction, sig, &dfl, NULL, 8);
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
}

/* Descriptors 0 to 2 as given, 3 the status pipe, nothing else. 0 or -errno. */
static long child_fds(const struct spawn *s)
{
	int null = sys_fcntl(s->null, F_DUPFD, 4), words = sys_fcntl(s->words, F_DUPFD, 4);
	int status = sys_fcntl(s->status, F_DUPFD, 4);

	if (null < 0 || words < 0 || status < 0) {
		sys_call3(SYS_dup3, s->status, 3, O_CLOEXEC);
		return -EMFILE;
	}
	sys_call3(SYS_dup3, null, 0, 0);
	sys_call3(SYS_dup3, null, 1, 0);
	sys_call3(SYS_dup3, words, 2, 0);
	sys_call3(SYS_dup3, status, 3, O_CLOEXEC);
	if (sys_call3(SYS_close_range, 4, ~0U, 0) == 0)
		return 0;
	for (int fd = 4; fd < 4096; fd++)
		sys_close(fd);
	return 0;
}

/* Only system calls from here on: other threads' locks are frozen as they were. */
static void __attribute__((noreturn)) child_main(const struct spawn *s)
{
	long r;

	sys_call0(SYS_setsid);
	r = sys_call6(SYS_clone, 0, 0, 0, 0, 0, 0);
	if (r != 0)
		for (;;)
			sys_call1(SYS_exit_group, r < 0);
	r = child_fds(s);
	default_signals();
	if (r == 0)
		r = sys_call3(SYS_execve, s->path, s->argv, s->envp);
	sys_call3(SYS_write, 3, &r, sizeof(r));
	for (;;)
		sys_call1(SYS_exit_group, 127);
}

static int make_pipe(int *rd, int *wr)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*rd = fds[0];
	*wr = fds[1];
	return 0;
}

static long spawn(const struct spawn *s)
{
	u64 all = ~0ULL, old = 0;
	long pid;

	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
	pid = sys_call6(SYS_clone, 0, 0, 0, 0, 0, 0);
	if (pid == 0)
		child_main(s);
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
	if (pid < 0)
		return pid;
	while (sys_call4(SYS_wait4, pid, NULL, __WCLONE, NULL) == -EINTR)
		;
	return 0;
}

/* Start the program; 0 when it was executed, and then the end of what it says in @words. */
static int launch(const char *dir, const char *log_dir, const char *path, int *words)
{
	_cleanup_close_ int null = -1, rd = -1, wr = -1, said = -1, says = -1;
	char log_file[PATH_MAX + 32], runtime_dir[PATH_MAX + 32];
	char *const argv[] = {(char *)"ebpfrtd", NULL};
	_cleanup_free_ char **env = NULL;
	long status = 0;

	snprintf(runtime_dir, sizeof(runtime_dir), "EBPFRT_RUNTIME_DIR=%s", dir);
	snprintf(log_file, sizeof(log_file), "EBPFRT_LOG_FILE=%s/daemon.log", log_dir);
	env = daemon_env(runtime_dir, log_file);
	if (!env)
		return -ENOMEM;
	null = sys_openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
	if (null < 0)
		return null;
	if (make_pipe(&rd, &wr) || make_pipe(&said, &says))
		return -errno;
	status = spawn(&(struct spawn){path, argv, env, null, says, wr});
	if (status < 0)
		return (int)status;
	sys_close(TAKE_FD(wr));
	if (sys_call3(SYS_read, rd, &status, sizeof(status)) == sizeof(status))
		return (int)status;
	*words = TAKE_FD(said);
	return 0;
}

/* --- what it says -------------------------------------------------------------------------------
 */

struct words {
	int fd;
	bool over;
	size_t n;
	char text[256];
};

/* For at most @ms. */
static void hear(struct words *w, int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	char rest[256];
	bool full = w->n == sizeof(w->text) - 1;
	long n;

	if (w->over) {
		sleep_ms(ms);
		return;
	}
	if (sys_call5(SYS_ppoll, &p, 1, &ts, NULL, 0) <= 0)
		return;
	n = sys_call3(SYS_read, w->fd, full ? rest : w->text + w->n,
		      full ? sizeof(rest) : sizeof(w->text) - 1 - w->n);
	w->over = n <= 0;
	if (n > 0 && !full)
		w->n += (size_t)n;
}

/* The first line, without its name. */
static const char *first_words(struct words *w)
{
	static const char name[] = "ebpfrtd: ";
	bool named = !strncmp(w->text, name, sizeof(name) - 1);

	w->text[strcspn(w->text, "\n")] = '\0';
	return w->text + (named ? sizeof(name) - 1 : 0);
}

/* --- one starter at a time -------------------------------------------------------------------- */

static u64 deadline_ms(int ms)
{
	return osl_now_ns() / 1000000 + ms;
}

static bool past(u64 deadline)
{
	return osl_now_ns() / 1000000 >= deadline;
}

static int take_start_lock(const char *dir)
{
	u64 deadline = deadline_ms(2 * START_TIMEOUT_MS);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = sys_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	while (sys_call2(SYS_flock, fd, LOCK_EX | LOCK_NB) < 0) {
		if (past(deadline)) {
			sys_close(fd);
			return -ETIMEDOUT;
		}
		sleep_ms(START_POLL_MS);
	}
	return fd;
}

static bool nobody_there(int err)
{
	return err == -ECONNREFUSED || err == -ENOENT;
}

/* Where it answers when it has come up; @said is all that it said. */
static int await(const char *sock, struct words *said)
{
	u64 deadline = deadline_ms(START_TIMEOUT_MS), words = deadline_ms(START_WORDS_MS);
	bool over = false;
	int fd;

	while (!said->over && !past(words))
		hear(said, START_POLL_MS);
	for (;;) {
		fd = surface_dial(sock);
		if (!nobody_there(fd) || (said->over && said->n) || past(deadline))
			return fd;
		if (said->over && !over)
			deadline = MIN(deadline, deadline_ms(START_QUIET_MS));
		over = said->over;
		hear(said, START_POLL_MS);
	}
}

static void say_not_there(const char *path, const char *log_dir, struct words *said)
{
	if (said->over && said->n)
		surface_say("the daemon %s has not come up: %s", path, first_words(said));
	else
		surface_say("the daemon %s was started but %s; see %s/daemon.log, or run "
			    "`%s --foreground`",
			    path, said->over ? "has ended without a word" : "does not answer",
			    log_dir, path);
}

int surface_start_daemon(const char *dir, const char *sock, const char *shared)
{
	/* a private daemon's directory is known to nobody else, and goes when it is empty */
	_cleanup_close_ int lock = take_start_lock(shared ? shared : dir);
	const char *log_dir = shared ? shared : dir;
	struct words said = {.fd = -1};
	char path[PATH_MAX];
	int fd, err;

	if (lock < 0) {
		surface_say("cannot take the start lock %s/lock: %s; run `ebpfrt doctor`", log_dir,
			    strerror(-lock));
		return lock;
	}
	fd = surface_dial(sock);
	if (!nobody_there(fd))
		return fd;
	daemon_path(path, sizeof(path));
	err = launch(dir, log_dir, path, &said.fd);
	if (err) {
		surface_say("cannot start the daemon %s: %s%s", path, strerror(-err),
			    err == -EMFILE ? "; raise the limit of open files (ulimit -n)"
					   : "; set EBPFRT_DAEMON to its path");
		return err;
	}
	fd = await(sock, &said);
	sys_close(said.fd);
	if (!nobody_there(fd))
		return fd;
	say_not_there(path, log_dir, &said);
	return -ETIMEDOUT;
}
