/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon as its clients meet it: a real one in a directory of the test's own. Clients that send
 * nonsense, hang or die; objects that live as long as somebody holds them.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/uapi.h"
#include "proto/frame.h"
#include "proto/shm_abi.h"

static char dir[64];
static pid_t daemon_pid;
static u64 seq;

static void start(const char *idle)
{
	char path[512];
	int ready[2];
	char c, fd[16];

	strcpy(dir, "/tmp/ebpfrt-unit-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/ebpfrtd",
		 getenv("top_builddir") ? getenv("top_builddir") : ".");
	cr_assert_eq(pipe(ready), 0);
	daemon_pid = fork();
	if (!daemon_pid) {
		setenv("EBPFRT_RUNTIME_DIR", dir, 1);
		setenv("EBPFRT_LOG_FILE", "/dev/null", 1);
		snprintf(fd, sizeof(fd), "%d", ready[1]);
		close(2);
		execl(path, path, "--foreground", "--idle", idle, "--ready-fd", fd, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &c, 1), 1, "the daemon %s did not start", path);
}

static int stop(void)
{
	char cmd[128];
	int status;

	kill(daemon_pid, SIGTERM);
	waitpid(daemon_pid, &status, 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_expect_eq(system(cmd), 0);
	return status;
}

static int dial(const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct timeval tv = {.tv_sec = 5};

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", dir, name);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static int ask(int fd, u16 type, const void *body, size_t len, struct frame *reply)
{
	struct msg m = {.type = type, .abi = MSG_ABI, .seq = ++seq};
	int err = frame_send(fd, &m, body, len, NULL, 0, NULL, 0);

	if (!err)
		err = frame_recv(fd, reply, 0);
	if (err)
		return err;
	cr_expect_eq(reply->hdr.seq, seq);
	return reply->hdr.err;
}

static int client(void)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_hello h = {.pid = getpid(), .name = "unit"};
	int fd = dial("ctl");

	cr_assert_eq(ask(fd, MSG_HELLO, &h, sizeof(h), &reply), 0);
	cr_assert_eq(reply.nfds, 2);
	cr_assert_geq(reply.len, sizeof(struct msg_welcome));
	return fd;
}

static bool dropped(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == 0;
}

static struct msg_status status(int fd)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct msg_status s = {0};

	cr_assert_eq(ask(fd, MSG_STATUS, NULL, 0, &reply), 0);
	memcpy(&s, reply.body, sizeof(s));
	return s;
}

/* A map of one element; its descriptor. */
static int make_map(int fd, struct osl_ident *ident)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	struct {
		struct msg_bpf m;
		union bpf_attr attr;
	} req = {.m = {.cmd = BPF_MAP_CREATE, .attr_size = sizeof(union bpf_attr)},
		 .attr = {.map_type = BPF_MAP_TYPE_ARRAY,
			  .key_size = 4,
			  .value_size = 8,
			  .max_entries = 1}};

	cr_assert_eq(ask(fd, MSG_BPF, &req, sizeof(req), &reply), 0);
	cr_assert_eq(reply.nfds, 1);
	osl_ident(reply.fds[0], ident);
	return dup(reply.fds[0]);
}

Test(serve, nonsense_costs_only_its_connection, .timeout = 30)
{
	struct msg m = {.len = sizeof(m), .type = MSG_STATUS, .abi = MSG_ABI};
	unsigned int seed = getpid();
	u8 junk[256];
	int fd, good;

	start("30");
	good = client();
	printf("# seed %u\n", seed);
	fd = dial("ctl");
	cr_assert_eq(send(fd, &m, sizeof(m), 0), sizeof(m));
	cr_expect(dropped(fd), "a request before the greeting");
	close(fd);
	for (u32 i = 0; i < 200; i++) {
		size_t n = 1 + rand_r(&seed) % sizeof(junk);

		fd = i % 3 ? client() : dial(i % 2 ? "agent" : "ctl");
		for (size_t k = 0; k < n; k++)
			junk[k] = rand_r(&seed);
		if (i % 2 && n > sizeof(m)) {
			/* a good header, so that the body is looked at */
			m.len = n;
			m.type = 1 + rand_r(&seed) % MSG_RELEASED;
			if (m.type == MSG_SHUTDOWN || m.type == MSG_TARGET_ADOPT)
				m.type = MSG_BPF;
			memcpy(junk, &m, sizeof(m));
		}
		cr_assert_gt(send(fd, junk, n, MSG_NOSIGNAL), 0);
		close(fd);
	}
	cr_expect_eq(status(good).pid, (u32)daemon_pid, "it goes on");
	close(good);
	cr_expect_eq(stop(), 0);
}

Test(serve, objects_live_as_long_as_they_are_held, .timeout = 30)
{
	struct msg closed = {.type = MSG_CLOSED, .abi = MSG_ABI};
	struct osl_ident ident;
	int a, b, map;

	start("30");
	a = client();
	b = client();
	map = make_map(a, &ident);
	cr_expect_eq(status(b).nmaps, 1);
	cr_assert_eq(frame_send(a, &closed, &ident, sizeof(ident), NULL, 0, NULL, 0), 0);
	cr_expect_eq(status(a).nmaps, 0, "it said that it has closed it");
	close(map);
	map = make_map(a, &ident);
	{
		_cleanup_frame_ struct frame reply = FRAME_INIT;

		cr_expect_eq(ask(b, MSG_OBJECT, &ident, sizeof(ident), &reply), 0);
	}
	close(a);
	/* the other connection's end is seen in its own time, this one's requests after it */
	for (u32 i = 0; i < 100 && status(b).nclients > 1; i++)
		usleep(1000);
	cr_expect_eq(status(b).nmaps, 1, "who names an object holds it");
	close(b);
	close(map);
	cr_expect_eq(stop(), 0);
}

/* A client that asks and never reads must not stop the others. */
Test(serve, a_client_that_does_not_read_only_stops_itself, .timeout = 30)
{
	struct msg m = {.type = MSG_STATUS, .abi = MSG_ABI};
	int lazy, good;
	u32 sent = 0;

	start("30");
	lazy = client();
	good = client();
	while (sent < 100000) {
		m.seq++;
		if (frame_send(lazy, &m, NULL, 0, NULL, 0, NULL, MSG_DONTWAIT))
			break;
		sent++;
	}
	cr_expect_lt(sent, 100000, "its requests are no longer read");
	cr_expect_eq(status(good).nclients, 2);
	close(lazy);
	close(good);
	cr_expect_eq(stop(), 0);
}

Test(serve, leaves_when_idle_and_not_before, .timeout = 30)
{
	char path[128];
	int fd, wstatus;

	start("0.2");
	fd = client();
	usleep(500000);
	cr_expect_eq(status(fd).nclients, 1, "a client is a reason to stay");
	close(fd);
	cr_expect_eq(waitpid(daemon_pid, &wstatus, 0), daemon_pid);
	cr_expect_eq(wstatus, 0);
	snprintf(path, sizeof(path), "%s/ctl", dir);
	cr_expect_eq(access(path, F_OK), -1, "no socket is left");
}

/* Waits for the daemon's end. */
static void expect_end(void)
{
	int wstatus;

	cr_expect_eq(waitpid(daemon_pid, &wstatus, 0), daemon_pid);
	cr_expect_eq(wstatus, 0);
}

Test(serve, who_holds_nothing_is_no_reason_to_stay, .timeout = 30)
{
	struct timeval tv = {.tv_sec = 20};
	struct osl_ident ident;
	int hung, holder, log;
	u32 all = 1;

	start("0.1");
	hung = client();
	log = client();
	cr_expect_eq(ask(log, MSG_LOG, &all, sizeof(all), &(struct frame)FRAME_INIT), 0);
	holder = client();
	close(make_map(holder, &ident));
	setsockopt(hung, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	cr_expect(dropped(hung), "a client that holds nothing");
	/* as long again: who holds a map, or waits for lines, stays */
	usleep(700000);
	cr_expect_eq(status(holder).nclients, 2);
	close(holder);
	close(log);
	expect_end();
}

static void pin_map(int fd, const struct osl_ident *ident)
{
	_cleanup_frame_ struct frame reply = FRAME_INIT;
	static const char path[16] = "/sys/fs/bpf/m";
	struct {
		struct msg_bpf m;
		u8 attr[128];
		struct msg_fd fd;
		struct msg_buf buf;
		char path[16];
	} req = {.m = {.cmd = BPF_OBJ_PIN, .attr_size = 128, .nfds = 1, .nbufs = 1},
		 .fd = {.fd = 7, .ident = *ident},
		 .buf = {.key = offsetof(union bpf_attr, pathname), .in = sizeof(path)}};
	union bpf_attr a = {.bpf_fd = 7, .pathname = 1};

	memcpy(req.attr, &a, MIN(sizeof(a), sizeof(req.attr)));
	memcpy(req.path, path, sizeof(path));
	cr_assert_eq(ask(fd, MSG_BPF, &req, sizeof(req), &reply), 0);
}

Test(serve, without_its_directory_it_leaves, .timeout = 30)
{
	struct osl_ident ident;
	char cmd[128], path[128];
	int fd;

	start("0.1");
	fd = client();
	close(make_map(fd, &ident));
	pin_map(fd, &ident);
	snprintf(path, sizeof(path), "%s/ctl", dir);
	cr_expect_eq(unlink(path), 0);
	/* the answer comes after the daemon has seen the removal, or it sees it next */
	for (u32 i = 0; i < 500 && access(path, F_OK); i++) {
		status(fd);
		usleep(10000);
	}
	close(client()); /* by the socket made anew */
	close(fd);
	usleep(300000);
	fd = client();
	cr_expect_eq(status(fd).npins, 1, "a pin is a reason to stay");
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_expect_eq(system(cmd), 0);
	cr_expect_eq(status(fd).npins, 0, "the names went with it, but a client is one, even then");
	close(fd);
	expect_end();
}

Test(serve, a_killed_one_does_not_block_the_next, .timeout = 30)
{
	char old[64];
	int wstatus, fd;

	start("30");
	kill(daemon_pid, SIGKILL);
	waitpid(daemon_pid, &wstatus, 0);
	strcpy(old, dir);
	start("30");
	cr_assert_eq(stop(), 0);
	/* the same directory, its stale sockets and lock file in it */
	strcpy(dir, old);
	daemon_pid = fork();
	if (!daemon_pid) {
		char path[512];

		setenv("EBPFRT_RUNTIME_DIR", dir, 1);
		setenv("EBPFRT_LOG_FILE", "/dev/null", 1);
		snprintf(path, sizeof(path), "%s/ebpfrtd",
			 getenv("top_builddir") ? getenv("top_builddir") : ".");
		execl(path, path, "--idle", "30", (char *)NULL);
		_exit(127);
	}
	/* in the background mode its end says that clients can connect */
	waitpid(daemon_pid, &wstatus, 0);
	cr_assert_eq(wstatus, 0);
	fd = client();
	daemon_pid = status(fd).pid;
	close(fd);
	kill(daemon_pid, SIGTERM);
}
