/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/cleanup.h"
#include "osl/osl_trap.h"

#define MAX_OBJS 64
#define MAX_CONNS 8

struct fake *fake;

static struct {
	struct msg_object info;
	int fd, event;
} objs[MAX_OBJS];
static u32 nobjs;
static volatile sig_atomic_t ring;

static void on_ring(int sig)
{
	u64 one = 1;

	for (u32 i = 0; i < nobjs; i++)
		if (objs[i].event > 0 && write(objs[i].event, &one, sizeof(one)) < 0)
			_exit(3);
}

static int reply(int sock, const struct frame *f, int err, const void *body, size_t len,
		 const int *fds, u32 nfds, const char *text)
{
	struct msg m = {.type = f->hdr.type, .abi = MSG_ABI, .err = err, .seq = f->hdr.seq};

	return frame_send(sock, &m, body, len, fds, nfds, text, 0);
}

static void hello(int sock, const struct frame *f)
{
	struct msg_welcome w = {.participant = ++fake->connections,
				.nr_cpus = osl_nr_cpus(),
				.bells_size = sizeof(struct osl_bells),
				.life_size = sizeof(struct osl_life),
				.pid = (u32)getpid(),
				.version = "fake"};
	int fds[2] = {osl_shm_create("bells", 8192), osl_shm_create("life", 8192)};

	reply(sock, f, 0, &w, sizeof(w), fds, 2, NULL);
	close(fds[0]);
	close(fds[1]);
}

static int add_obj(struct msg_object *info, int fd)
{
	if (nobjs == MAX_OBJS || osl_ident(fd, &info->ident))
		_exit(4);
	info->id = nobjs + 1;
	objs[nobjs].info = *info;
	objs[nobjs].fd = fd;
	return (int)nobjs++;
}

static int by_ident(const struct osl_ident *id)
{
	for (u32 i = 0; i < nobjs; i++)
		if (objs[i].info.ident.dev == id->dev && objs[i].info.ident.ino == id->ino)
			return (int)i;
	return -1;
}

/* msg_bpf | attr | bufs | data, with one buffer besides the object */
static void bpf_reply(int sock, const struct frame *f, int err, const struct msg_object *obj,
		      u32 key, const void *data, u32 len, int fd, const char *text)
{
	u8 body[4096] = {0}, *p = body;
	struct msg_bpf m;
	struct msg_buf b = {.key = key, .out = len}, ob = {MSG_BUF_OBJECT, 0, sizeof(*obj), 0};

	memcpy(&m, f->body, sizeof(m));
	m.nfds = 0;
	m.nbufs = (data != NULL) + (obj != NULL);
	memcpy(p, &m, sizeof(m));
	memcpy(p + sizeof(m), f->body + sizeof(m), m.attr_size);
	if (m.cmd == BPF_PROG_GET_NEXT_ID)
		memcpy(p + sizeof(m) + offsetof(union bpf_attr, next_id), &fake->answer_next_id, 4);
	p += sizeof(m) + m.attr_size;
	if (data) {
		memcpy(p, &b, sizeof(b));
		p += sizeof(b);
	}
	if (obj) {
		memcpy(p, &ob, sizeof(ob));
		p += sizeof(ob);
	}
	if (data) {
		memcpy(p, data, len);
		p += ALIGN_UP(len, 8u);
	}
	if (obj) {
		memcpy(p, obj, sizeof(*obj));
		p += sizeof(*obj);
	}
	reply(sock, f, err, body, (size_t)(p - body), &fd, fd >= 0, text);
}

static void map_create(int sock, const struct frame *f, const union bpf_attr *a)
{
	struct msg_object info = {.kind = MSG_OBJ_MAP, .local = 1};
	struct ebpf_map_meta *m = &info.meta;
	int fd, err;

	m->id = nobjs + 1;
	m->type = a->map_type;
	m->key_size = a->key_size;
	m->value_size = a->value_size;
	m->max_entries = a->max_entries;
	m->map_flags = a->map_flags;
	m->nr_cpus = osl_nr_cpus();
	info.local = m->type != BPF_MAP_TYPE_PROG_ARRAY;
	err = info.local ? ebpf_map_check(m) : 0;
	if (err) {
		bpf_reply(sock, f, err, NULL, 0, NULL, 0, -1, "the map's attributes are refused");
		return;
	}
	info.size = info.local ? ebpf_map_shm_size(m) : 4096;
	fd = osl_shm_create("fake-map", info.size);
	add_obj(&info, fd);
	bpf_reply(sock, f, 0, &info, 0, NULL, 0, fd, NULL);
}

static void get_info(int sock, const struct frame *f, const union bpf_attr *a)
{
	struct bpf_map_info info = {.type = BPF_MAP_TYPE_HASH, .id = 77};

	bpf_reply(sock, f, 0, NULL, offsetof(union bpf_attr, info.info), &info,
		  MIN(a->info.info_len, (u32)sizeof(info)), -1, NULL);
}

static void bpf(int sock, const struct frame *f)
{
	union bpf_attr a = {0};
	struct msg_bpf m;

	fake->requests++;
	fake->last_len = (u32)MIN(f->len, sizeof(fake->last_body));
	memcpy(fake->last_body, f->body, fake->last_len);
	memcpy(&m, f->body, sizeof(m));
	memcpy(&a, f->body + sizeof(m), MIN((size_t)m.attr_size, sizeof(a)));
	switch (m.cmd) {
	case BPF_MAP_CREATE:
		map_create(sock, f, &a);
		break;
	case BPF_PROG_LOAD:
		bpf_reply(sock, f, -EACCES, NULL, offsetof(union bpf_attr, log_buf), FAKE_LOG,
			  sizeof(FAKE_LOG), -1, "instruction 0 is refused");
		break;
	case BPF_OBJ_GET_INFO_BY_FD:
		get_info(sock, f, &a);
		break;
	case BPF_MAP_FREEZE:
	case BPF_MAP_UPDATE_ELEM:
	case BPF_PROG_GET_NEXT_ID:
	case BPF_LINK_CREATE:
		bpf_reply(sock, f, 0, NULL, 0, NULL, 0, -1, NULL);
		break;
	default:
		reply(sock, f, -EINVAL, NULL, 0, NULL, 0, NULL);
	}
}

static void object(int sock, const struct frame *f)
{
	int i = by_ident((const struct osl_ident *)f->body);

	fake->asked++;
	if (i < 0)
		reply(sock, f, -ENOENT, NULL, 0, NULL, 0, NULL);
	else
		reply(sock, f, 0, &objs[i].info, sizeof(objs[i].info), NULL, 0, NULL);
}

static void event_fd(int sock, const struct frame *f)
{
	int i = by_ident((const struct osl_ident *)f->body);

	if (i < 0) {
		reply(sock, f, -ENOENT, NULL, 0, NULL, 0, NULL);
		return;
	}
	if (!objs[i].event)
		objs[i].event = eventfd(0, EFD_CLOEXEC);
	reply(sock, f, 0, NULL, 0, &objs[i].event, 1, NULL);
}

static void perf_open(int sock, const struct frame *f)
{
	struct msg_object info = {.kind = MSG_OBJ_PERF};
	int sv[2];

	memcpy(&fake->last_open, f->body, sizeof(fake->last_open));
	snprintf(fake->last_path, sizeof(fake->last_path), "%s",
		 (const char *)f->body + sizeof(fake->last_open));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		_exit(5);
	add_obj(&info, sv[1]);
	reply(sock, f, 0, &info, sizeof(info), &sv[1], 1, NULL);
	close(sv[1]);
}

static void perf_mmap(int sock, const struct frame *f)
{
	const struct msg_perf_mmap *m = (const void *)f->body;
	int fd = osl_shm_create("fake-ring", m->size);

	reply(sock, f, 0, NULL, 0, &fd, 1, NULL);
	close(fd);
}

/* Two lines lost, one said: over and over. */
static void chatter(int sock)
{
	struct {
		struct msg_log_line head;
		char text[8];
	} l = {{.len = 4, .lost = 2}, "line"};

	for (; fake->chatter; fake->chatter--) {
		struct msg m = {.type = MSG_LOG_LINES, .abi = MSG_ABI};

		frame_send(sock, &m, &l, sizeof(l), NULL, 0, NULL, 0);
	}
}

static void unasked(int sock)
{
	struct msg m = {.type = (u16)fake->unasked.type, .abi = MSG_ABI};

	if (m.type)
		frame_send(sock, &m, fake->unasked.body, fake->unasked.len, NULL, 0, NULL, 0);
	fake->unasked.type = 0;
}

/* What a test said that the answer is. */
static bool scripted(int sock, const struct frame *f)
{
	fake->asked_type = f->hdr.type;
	fake->asked_len = (u32)MIN(f->len, sizeof(fake->asked_body));
	memcpy(fake->asked_body, f->body, fake->asked_len);
	for (u32 i = 0; i < ARRAY_SIZE(fake->answers); i++) {
		const struct fake_answer *a = &fake->answers[i];

		if (a->type != f->hdr.type)
			continue;
		reply(sock, f, a->err, a->body, a->len, NULL, 0, a->text[0] ? a->text : NULL);
		return true;
	}
	return false;
}

static bool serve(int sock)
{
	_cleanup_frame_ struct frame f = FRAME_INIT;

	if (frame_recv(sock, &f, 0))
		return false;
	chatter(sock);
	unasked(sock);
	if (scripted(sock, &f))
		return true;
	switch (f.hdr.type) {
	case MSG_HELLO:
		hello(sock, &f);
		break;
	case MSG_BPF:
		bpf(sock, &f);
		break;
	case MSG_OBJECT:
		object(sock, &f);
		break;
	case MSG_EVENTFD:
		event_fd(sock, &f);
		break;
	case MSG_CLOSED:
		memcpy(&fake->last_closed, f.body, sizeof(fake->last_closed));
		__atomic_add_fetch(&fake->closed, 1, __ATOMIC_RELEASE);
		break;
	case MSG_PERF_OPEN:
		perf_open(sock, &f);
		break;
	case MSG_PERF_IOCTL:
		memcpy(&fake->last_ioctl, f.body, sizeof(fake->last_ioctl));
		reply(sock, &f, 0, NULL, 0, NULL, 0, NULL);
		break;
	case MSG_PERF_MMAP:
		perf_mmap(sock, &f);
		break;
	case MSG_NAMES:
		fake->names_gone++;
		reply(sock, &f, 0, NULL, 0, NULL, 0, NULL);
		break;
	default:
		reply(sock, &f, -EINVAL, NULL, 0, NULL, 0, "unknown to the fake");
	}
	return true;
}

static void run(int listener)
{
	struct pollfd p[MAX_CONNS + 1] = {{.fd = listener, .events = POLLIN}};
	u32 n = 1;

	for (;;) {
		if (poll(p, n, -1) < 0)
			continue;
		if (p[0].revents && n <= MAX_CONNS)
			p[n++] = (struct pollfd){.fd = accept(listener, NULL, NULL),
						 .events = POLLIN};
		for (u32 i = 1; i < n; i++)
			if (p[i].revents && !serve(p[i].fd)) {
				close(p[i].fd);
				p[i].fd = -1;
			}
		for (u32 i = 1; i < n; i++)
			p[i].revents = 0;
	}
}

/* What a daemon has at FAKE_PIN and FAKE_DIR. */
static void make_names(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/" MSG_NAMES_DIR, fake->dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	strcat(path, "/dir");
	cr_assert_eq(mkdir(path, 0700), 0);
	strcpy(strrchr(path, '/'), "/pin");
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

void fake_start(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t pid;

	fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(fake->dir, "/tmp/ebpfrt-fake-XXXXXX");
	cr_assert(mkdtemp(fake->dir));
	make_names();
	setenv("EBPFRT_RUNTIME_DIR", fake->dir, 1);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/ctl", fake->dir);
	cr_assert_eq(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	cr_assert_eq(listen(listener, 8), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGUSR1, on_ring);
		run(listener);
	}
	fake->pid = pid;
	close(listener);
}

void fake_stop(void)
{
	static const char *const names[] = {"/bpf/pin", "/bpf/dir", "/bpf"};
	char sock[128];

	kill(fake->pid, SIGKILL);
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(sock, sizeof(sock), "%s%s", fake->dir, names[i]);
		remove(sock);
	}
	snprintf(sock, sizeof(sock), "%s/ctl", fake->dir);
	unlink(sock);
	rmdir(fake->dir);
}

void fake_answer(u32 type, s32 err, const void *body, u32 len, const char *text)
{
	struct fake_answer *a = fake->answers;

	while (a->type && a->type != type)
		a++;
	cr_assert_lt(a - fake->answers, (long)ARRAY_SIZE(fake->answers));
	cr_assert_leq(len, sizeof(a->body));
	a->err = err;
	a->len = len;
	if (len)
		memcpy(a->body, body, len);
	snprintf(a->text, sizeof(a->text), "%s", text ? text : "");
	a->type = type;
}

void fake_ring(void)
{
	kill(fake->pid, SIGUSR1);
}

void fake_expect(const u32 *counter, u32 value)
{
	struct timespec ms = {.tv_nsec = 1000000};

	for (int i = 0; i < 2000 && load_acquire(counter) != value; i++)
		nanosleep(&ms, NULL);
	cr_assert_eq(load_acquire(counter), value);
}

int fake_map(u32 type, u32 key, u32 value, u32 entries, u32 flags)
{
	union bpf_attr a = {.map_type = type,
			    .key_size = key,
			    .value_size = value,
			    .max_entries = entries,
			    .map_flags = flags};

	return bpf_call(BPF_MAP_CREATE, &a, sizeof(a));
}
