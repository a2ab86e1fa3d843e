/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever a client or an agent does, the daemon lives, serves a good client within a bound, and
 * afterwards holds no descriptor more than before. A real daemon in a directory of the test's own.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/uapi.h"
#include "proto/frame.h"
#include "proto/shm_abi.h"

#define BOUND_MS 2000u /* of one request of a good client; the machine may be busy */

static char dir[64];
static pid_t daemon_pid;
static u64 seq;
static u32 fds_before;
static unsigned int seed;

/* --- the daemon ------------------------------------------------------------------------------- */

static void run_daemon(int ready, u32 nofile)
{
	const char *top = getenv("top_builddir");
	struct rlimit rl = {nofile, nofile};
	char path[512], fd[16];

	snprintf(path, sizeof(path), "%s/ebpfrtd", top ? top : ".");
	snprintf(fd, sizeof(fd), "%d", ready);
	setenv("EBPFRT_RUNTIME_DIR", dir, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test ends without stop() */
	if (nofile)
		setrlimit(RLIMIT_NOFILE, &rl);
	close(2);
	open("/dev/null", O_WRONLY);
	execl(path, path, "--foreground", "--idle", "30", "--ready-fd", fd, (char *)NULL);
	_exit(127);
}

static u32 count_fds(void)
{
	char path[64];
	u32 n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", daemon_pid);
	d = opendir(path);
	cr_assert(d, "the daemon has died");
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void start(u32 nofile)
{
	int ready[2];
	char c;

	seed = getpid() ^ (unsigned int)time(NULL);
	printf("# seed %u\n", seed);
	strcpy(dir, "/tmp/ebpfrt-unit-XXXXXX");
	cr_assert(mkdtemp(dir));
	cr_assert_eq(pipe2(ready, 0), 0);
	daemon_pid = fork();
	if (!daemon_pid)
		run_daemon(ready[1], nofile);
	close(ready[1]);
	cr_assert_eq(read(ready[0], &c, 1), 1, "the daemon did not start");
	/* its end of the pipe is closed after the byte */
	cr_assert_eq(read(ready[0], &c, 1), 0);
	close(ready[0]);
	fds_before = count_fds();
}

/* --- a client --------------------------------------------------------------------------------- */

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int dial(const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct timeval tv = {.tv_sec = 20};

	cr_assert_geq(fd, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", dir, name);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0, "%s", strerror(errno));
	return fd;
}

static int ask(int fd, u16 type, const void *body, size_t len, struct frame *reply)
{
	struct msg m = {.type = type, .abi = MSG_ABI, .seq = ++seq};
	u64 t0 = now_ms();
	int err = frame_send(fd, &m, body, len, NULL, 0, NULL, 0);

	/* what comes unasked has no number */
	do {
		frame_deinit(reply);
		if (!err)
			err = frame_recv(fd, reply, 0);
	} while (!err && !reply->hdr.seq);
	cr_expect_lt(now_ms() - t0, BOUND_MS, "request %u", type);
	return err ? err : reply->hdr.err;
}

static int client(void)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_hello h = {.pid = getpid(), .name = "unit"};
	int fd = dial("ctl"), err = ask(fd, MSG_HELLO, &h, sizeof(h), &reply);

	cr_assert_eq(err, 0, "%d", err);
	return fd;
}

/* A map is made, found again, and let go. */
static void use_well(int fd)
{
	_cleanup_frame_ struct frame made = FRAME_INIT, found = FRAME_INIT, gone = FRAME_INIT;
	struct {
		struct msg_bpf m;
		union bpf_attr attr;
	} req = {.m = {.cmd = BPF_MAP_CREATE, .attr_size = sizeof(union bpf_attr)},
		 .attr = {.map_type = BPF_MAP_TYPE_ARRAY,
			  .key_size = 4,
			  .value_size = 8,
			  .max_entries = 1}};
	struct msg closed = {.type = MSG_CLOSED, .abi = MSG_ABI};
	struct osl_ident ident;

	cr_assert_eq(ask(fd, MSG_BPF, &req, sizeof(req), &made), 0);
	cr_assert_eq(made.nfds, 1);
	cr_assert_eq(osl_ident(made.fds[0], &ident), 0);
	cr_expect_eq(ask(fd, MSG_OBJECT, &ident, sizeof(ident), &found), 0);
	cr_assert_eq(frame_send(fd, &closed, &ident, sizeof(ident), NULL, 0, NULL, 0), 0);
	cr_assert_eq(ask(fd, MSG_STATUS, NULL, 0, &gone), 0);
}

/* All clients are gone: so is everything they had. */
static void stop(void)
{
	char cmd[128];
	u32 n = 0;
	int status, fd = client();

	use_well(fd);
	close(fd);
	for (u32 i = 0; i < 300 && (n = count_fds()) > fds_before; i++)
		usleep(10000);
	cr_expect_leq(n, fds_before, "descriptors left: %u, before %u", n, fds_before);
	cr_expect_eq(waitpid(daemon_pid, &status, WNOHANG), 0, "it has died: %#x", status);
	kill(daemon_pid, SIGTERM);
	waitpid(daemon_pid, &status, 0);
	cr_expect_eq(status, 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_expect_eq(system(cmd), 0);
}

static void fill(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((u8 *)p)[i] = rand_r(&seed) % 3 ? rand_r(&seed) : 0;
}

static bool dropped(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == 0;
}

/* --- silence ---------------------------------------------------------------------------------- */

Test(hostile, silent_connections_keep_nobody_out, .timeout = 30)
{
	struct rlimit rl = {4096, 4096};
	int fds[1400], good;
	u64 t0;

	setrlimit(RLIMIT_NOFILE, &rl);
	start(0);
	t0 = now_ms();
	good = client();
	for (u32 i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial(i < 1100 ? "ctl" : "agent");
		if (i % 100 == 0)
			use_well(good);
	}
	use_well(good);
	close(client());
	cr_expect(dropped(fds[0]) && dropped(fds[1100]), "the oldest make room");
	cr_expect_lt(now_ms() - t0, 2000, "before their time is over");
	for (u32 i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	close(good);
	stop();
}

/* They say hello and hang: with nothing in their hands they make room, too. */
Test(hostile, idle_clients_keep_nobody_out, .timeout = 30)
{
	struct rlimit rl = {4096, 4096};
	int fds[1023], good, late[3];

	setrlimit(RLIMIT_NOFILE, &rl);
	start(0);
	good = client();
	for (u32 i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = client();
	for (u64 t0 = now_ms(); now_ms() - t0 < 3100; usleep(100000))
		use_well(good);
	for (u32 i = 0; i < ARRAY_SIZE(late); i++)
		late[i] = client();
	cr_expect(dropped(fds[0]) && dropped(fds[2]), "the oldest make room");
	use_well(good);
	for (u32 i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	for (u32 i = 0; i < ARRAY_SIZE(late); i++)
		close(late[i]);
	close(good);
	stop();
}

Test(hostile, silence_ends_after_a_while, .timeout = 30)
{
	int good, mute, agent;
	u64 t0 = now_ms();

	start(0);
	good = client();
	mute = dial("ctl");
	agent = dial("agent");
	cr_expect(dropped(agent));
	cr_expect(dropped(mute));
	cr_expect_geq(now_ms() - t0, 2000, "but not at once");
	use_well(good);
	close(good);
	close(mute);
	close(agent);
	stop();
}

/* The processor time the daemon has used, in clock ticks. */
static u64 cpu_ticks(void)
{
	char path[64], line[512] = "";
	unsigned long user = 0, sys = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", daemon_pid);
	f = fopen(path, "re");
	cr_assert(f);
	cr_assert(fgets(line, sizeof(line), f));
	fclose(f);
	cr_assert_eq(sscanf(strrchr(line, ')'),
			    ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys),
		     2);
	return user + sys;
}

Test(hostile, few_descriptors, .timeout = 30)
{
	int fds[100], good, n = 0;
	u64 ticks;

	start(64);
	good = client();
	for (u32 i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial(i % 2 ? "ctl" : "agent");
	close(client());
	for (u32 i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	/* descriptors that are used: objects until there is no more */
	for (u32 i = 0; i < 100; i++) {
		_cleanup_frame_ struct frame reply = FRAME_INIT;
		struct {
			struct msg_bpf m;
			union bpf_attr attr;
		} req = {.m = {.cmd = BPF_MAP_CREATE, .attr_size = sizeof(union bpf_attr)},
			 .attr = {.map_type = BPF_MAP_TYPE_ARRAY,
				  .key_size = 4,
				  .value_size = 8,
				  .max_entries = 1}};

		if (ask(good, MSG_BPF, &req, sizeof(req), &reply))
			break;
		n++;
	}
	cr_expect_gt(n, 4);
	cr_expect_lt(n, 64);
	for (u32 i = 0; i < 20; i++)
		fds[i] = dial("ctl");
	ticks = cpu_ticks();
	usleep(300000);
	cr_expect_lt(cpu_ticks() - ticks, 10, "it must not spin");
	for (u32 i = 0; i < 20; i++)
		close(fds[i]);
	close(good);
	stop();
}

/* --- nonsense --------------------------------------------------------------------------------- */

static void send_with_fds(int sock, const void *buf, size_t n, u32 nfds)
{
	union {
		char room[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {(void *)buf, n};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[8];

	for (u32 i = 0; i < nfds; i++)
		fds[i] = i % 2 ? sock : STDIN_FILENO;
	if (nfds) {
		struct cmsghdr *c;

		mh.msg_control = control.room;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Lengths, counts and flags that do not fit, and some that do. */
static void one_frame(int fd, u16 type)
{
	static u8 buf[sizeof(struct msg) + 4096];
	u32 body = rand_r(&seed) % 3 ? rand_r(&seed) % 300 : rand_r(&seed) % 4096;
	u32 nfds = rand_r(&seed) % 4 ? 0 : rand_r(&seed) % 8;
	struct msg m = {.len = sizeof(m) + body,
			.type = type,
			.abi = MSG_ABI,
			.seq = rand_r(&seed),
			.nfds = rand_r(&seed) % 4 ? nfds : rand_r(&seed)};

	fill(buf + sizeof(m), body);
	/* a command that exists, with a size that is plausible */
	if (type == MSG_BPF && body >= sizeof(struct msg_bpf) && rand_r(&seed) % 2) {
		struct msg_bpf b = {.cmd = rand_r(&seed) % 40,
				    .attr_size = rand_r(&seed) % 2 ? 64 : rand_r(&seed) % 200,
				    .nfds = rand_r(&seed) % 3,
				    .nbufs = rand_r(&seed) % 3};

		memcpy(buf + sizeof(m), &b, sizeof(b));
	}
	switch (rand_r(&seed) % 8) {
	case 0:
		m.len = rand_r(&seed);
		break;
	case 1:
		m.text = rand_r(&seed) % 2 ? (u32)rand_r(&seed) : body;
		break;
	case 2:
		m.flags = MSG_F_MEMFD;
		m.payload = rand_r(&seed);
		break;
	case 3:
		m.abi = rand_r(&seed);
		break;
	}
	memcpy(buf, &m, sizeof(m));
	send_with_fds(fd, buf, rand_r(&seed) % 10 ? sizeof(m) + body : rand_r(&seed) % sizeof(m),
		      nfds);
}

static bool is_dangerous(u16 type) /* what it is told to do, it does */
{
	return type == MSG_SHUTDOWN || type == MSG_TARGET_ADOPT;
}

Test(hostile, frames_of_every_type, .timeout = 30)
{
	int good;

	start(0);
	good = client();
	for (u16 type = 0; type < MSG_TYPES + 2; type++) {
		if (is_dangerous(type))
			continue;
		for (u32 i = 0; i < 40; i++) {
			int fd = i % 8 ? client() : dial("ctl");

			for (u32 k = 0; k < 4; k++)
				one_frame(fd, type);
			close(fd);
		}
		use_well(good);
	}
	close(good);
	stop();
}

/* --- clients that stop half-way --------------------------------------------------------------- */

Test(hostile, requests_without_end_and_never_a_look, .timeout = 30)
{
	struct msg m = {.type = MSG_STATUS, .abi = MSG_ABI};
	struct msg hello = {.type = MSG_HELLO, .abi = MSG_ABI};
	struct msg_hello h = {.pid = getpid()};
	int lazy[8], good;

	start(0);
	good = client();
	for (u32 i = 0; i < ARRAY_SIZE(lazy); i++) {
		lazy[i] = client();
		/* answers that carry descriptors, and those that do not */
		for (u32 k = 0; k < 20000; k++)
			if (i % 2 ? frame_send(lazy[i], &hello, &h, sizeof(h), NULL, 0, NULL,
					       MSG_DONTWAIT)
				  : frame_send(lazy[i], &m, NULL, 0, NULL, 0, NULL, MSG_DONTWAIT))
				break;
		use_well(good);
	}
	for (u32 i = 0; i < ARRAY_SIZE(lazy); i++)
		close(lazy[i]);
	close(good);
	stop();
}

/* What a child does and then dies of. */
static void die_in(void (*fn)(void))
{
	pid_t pid = fork();

	if (!pid) {
		fn();
		kill(getpid(), SIGKILL);
	}
	cr_assert_gt(pid, 0);
	waitpid(pid, NULL, 0);
}

static void big_payload(void)
{
	size_t size = 8u << 20;
	u8 *body = calloc(1, size);
	struct msg_bpf b = {.cmd = BPF_PROG_LOAD, .attr_size = size - sizeof(b)};
	struct msg m = {.type = MSG_BPF, .abi = MSG_ABI};

	memcpy(body, &b, sizeof(b));
	frame_send(client(), &m, body, size, NULL, 0, NULL, 0);
}

/* It says more than there is, in a file that is not sealed either. */
static void broken_payload(void)
{
	int memfd = memfd_create("short", MFD_ALLOW_SEALING), fd = client();
	struct msg m = {.len = sizeof(m),
			.type = MSG_BPF,
			.abi = MSG_ABI,
			.flags = MSG_F_MEMFD,
			.payload = 60u << 20};
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {&m, sizeof(m)};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control)};

	control.align = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.align), &memfd, sizeof(memfd));
	sendmsg(fd, &mh, MSG_NOSIGNAL);
}

static void a_batch_begun(void)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	u32 begin = 1;
	int fd = client();

	ask(fd, MSG_ATTACH_BATCH, &begin, sizeof(begin), &reply);
	use_well(fd);
}

Test(hostile, clients_that_die, .timeout = 30)
{
	int good;

	start(0);
	good = client();
	for (u32 i = 0; i < 6; i++) {
		die_in(big_payload);
		die_in(broken_payload);
		die_in(a_batch_begun);
		use_well(good);
	}
	close(good);
	stop();
}

/* --- agents ----------------------------------------------------------------------------------- */

static u64 token_of(int fd)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	u64 token = 0;

	cr_assert_eq(ask(fd, MSG_TOKEN, NULL, 0, &reply), 0);
	cr_assert_geq(reply.len, sizeof(token));
	memcpy(&token, reply.body, sizeof(token));
	return token;
}

static void greet(int fd, u32 reason, u64 token, u16 abi)
{
	struct {
		struct agent_msg m;
		struct agent_hello h;
	} msg = {.m = {.len = sizeof(msg), .type = AGENT_HELLO, .abi = abi},
		 .h = {.reason = reason, .token = token, .pid = getpid(), .tid = gettid()}};

	send(fd, &msg, sizeof(msg), MSG_NOSIGNAL);
}

static void random_hello(int fd)
{
	struct {
		struct agent_msg m;
		struct agent_hello h;
	} msg;

	fill(&msg, sizeof(msg));
	msg.m = (struct agent_msg){.len = sizeof(msg), .type = AGENT_HELLO, .abi = AGENT_ABI};
	msg.h.reason = rand_r(&seed) % 6;
	send(fd, &msg, rand_r(&seed) % 5 ? sizeof(msg) : rand_r(&seed) % sizeof(msg) + 1,
	     MSG_NOSIGNAL);
}

static void random_word(int fd)
{
	u8 buf[600];
	size_t n = sizeof(struct agent_msg) + rand_r(&seed) % 500;
	struct agent_msg m = {.len = n,
			      .type = rand_r(&seed) % (AGENT_DONE + 2),
			      .abi = AGENT_ABI,
			      .seq = rand_r(&seed) % 4};

	fill(buf, sizeof(buf));
	memcpy(buf, &m, sizeof(m));
	send(fd, buf, n, MSG_NOSIGNAL);
}

static u64 the_token;

/* One is a target by its token and then answers what nobody asked. */
static void agent_of_nonsense(void)
{
	for (u32 i = 0; i < 20; i++) {
		int fd = dial("agent");
		struct pollfd p = {.fd = fd, .events = POLLIN};

		seed += i;
		if (i % 4 == 3)
			random_hello(fd);
		else
			greet(fd, i % 4 ? AGENT_START : AGENT_MODULES, the_token,
			      i % 4 == 2 ? AGENT_ABI + 1 : AGENT_ABI);
		if (i % 2)
			poll(&p, 1, 20);
		for (u32 k = 0; k < 4; k++)
			random_word(fd);
		if (i % 3)
			close(fd);
	}
}

static void agent_that_falls_silent(void)
{
	int fd = dial("agent");
	struct pollfd p = {.fd = fd, .events = POLLIN};

	greet(fd, AGENT_START, the_token, AGENT_ABI);
	poll(&p, 1, 500);
}

static void agent_that_hangs(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	agent_that_falls_silent();
	pause();
}

Test(hostile, agents_of_every_kind, .timeout = 30)
{
	pid_t mute;
	int good;

	start(0);
	good = client();
	the_token = token_of(good);
	for (u32 i = 0; i < 4; i++) {
		die_in(agent_of_nonsense);
		use_well(good);
	}
	die_in(agent_that_falls_silent);
	mute = fork();
	if (!mute)
		agent_that_hangs();
	use_well(good);
	close(good);
	good = client();
	use_well(good);
	close(good);
	kill(mute, SIGKILL);
	waitpid(mute, NULL, 0);
	stop();
}
