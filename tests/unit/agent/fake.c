/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/run/image.h"
#include "fake.h"
#include "osl/osl.h"

#define SHM_SIZE 65536
#define WAIT_MS 5000

static int memory(const char *name, u64 size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static void *mapped(int fd, u64 size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	cr_assert(p != MAP_FAILED);
	return p;
}

/* --- programs -----------------------------------------------------------------------------------
 */

#define INSN(c, d, s, o, i)                                                                        \
	(struct bpf_insn)                                                                          \
	{                                                                                          \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)                \
	}
#define ATOMIC_ADD(dst, src, off) INSN(BPF_STX | BPF_ATOMIC | BPF_DW, dst, src, off, BPF_ADD)
#define STORE(dst, src, off) INSN(BPF_STX | BPF_MEM | BPF_DW, dst, src, off, 0)
#define LOAD(dst, src, off) INSN(BPF_LDX | BPF_MEM | BPF_DW, dst, src, off, 0)

#define LOAD_VALUES INSN(BPF_LD | BPF_IMM | BPF_DW, 2, EBPF_LD_REF, 0, 0), INSN(0, 0, 0, 0, 0)
#define DONE INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0), INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define INSNS_MAX 16u

/* The image of a program whose one map is that of the values. */
static int image_of(const struct bpf_insn *insns, u32 n)
{
	struct {
		struct ebpf_image img;
		struct bpf_insn insns[INSNS_MAX];
		struct ebpf_image_ref ref;
		u32 sub[2];
		u64 zeros;
	} image = {
		.img =
			{
				.magic = EBPF_IMAGE_MAGIC,
				.version = EBPF_IMAGE_VERSION,
				.size = sizeof(image),
				.ninsns = n,
				.insns = offsetof(typeof(image), insns),
				.nrefs = 1,
				.refs = offsetof(typeof(image), ref),
				.nmaps = 1,
				.nsubprogs = 1,
				.subprogs = offsetof(typeof(image), sub),
				.zeros = offsetof(typeof(image), zeros),
				.code = sizeof(image),
				.prog_type = BPF_PROG_TYPE_KPROBE,
			},
		.ref = {.kind = EBPF_REF_MAP_VALUE},
	};
	int fd = memfd_create("prog", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(n <= INSNS_MAX);
	memcpy(image.insns, insns, n * sizeof(*insns));
	cr_assert(write(fd, &image, sizeof(image)) == (ssize_t)sizeof(image));
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK);
	return fd;
}

/* values[count]++, values[count + 1] = the register at @reg of the context, values[count + 2] = ip
 */
static int program(u32 count, u32 reg, s32 wild)
{
	struct bpf_insn insns[] = {
		LOAD_VALUES,
		/* a program that shifts its pointer away is wild */
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, 2, 0, 0, wild),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 1),
		ATOMIC_ADD(2, 3, (s16)(count * 8)),
		LOAD(3, 1, (s16)reg),
		STORE(2, 3, (s16)(count * 8 + 8)),
		LOAD(3, 1, offsetof(struct arch_regs, ip)),
		STORE(2, 3, (s16)(count * 8 + 16)),
		DONE,
	};

	return image_of(insns, ARRAY_SIZE(insns));
}

/* Says that it is there, waits until it is let go, and counts: each 1 in one of the values. */
static int slow_program(void)
{
	struct bpf_insn insns[] = {
		LOAD_VALUES,
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 1),
		STORE(2, 3, V_ENTERED * 8),
		LOAD(4, 2, V_LET_GO * 8),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, -2, 0),
		ATOMIC_ADD(2, 3, V_OTHER * 8),
		DONE,
	};

	return image_of(insns, ARRAY_SIZE(insns));
}

/* --- the daemon ---------------------------------------------------------------------------------
 */

const char *fake_built(const char *name)
{
	static char path[512];
	const char *dir = getenv("top_builddir");

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", name);
	return path;
}

static int listen_at(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	unlink(path); /* of a test that died, when its process ID comes up again */
	cr_assert(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(fd, 8) == 0);
	return fd;
}

/* As the daemon has it. */
static int sealed_agent(void)
{
	int file = open(fake_built("libebpfrt-agent.so"), O_RDONLY | O_CLOEXEC), fd;
	struct stat st;
	void *p;

	cr_assert(file >= 0, "no libebpfrt-agent.so");
	cr_assert_eq(fstat(file, &st), 0);
	p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	cr_assert_neq(p, MAP_FAILED);
	fd = osl_image_create("ebpfrt-agent", p, st.st_size);
	cr_assert(fd >= 0);
	munmap(p, st.st_size);
	close(file);
	return fd;
}

void fake_open(struct fake *f)
{
	static u64 generation;

	*f = (struct fake){.generation = ++generation};
	f->bells = memory("bells", SHM_SIZE);
	f->life = memory("life", SHM_SIZE);
	f->stats_fd = memory("stats", SHM_SIZE);
	f->map = memory("map", 4096);
	f->life_page = mapped(f->life, SHM_SIZE);
	f->stats = mapped(f->stats_fd, SHM_SIZE);
	f->values = mapped(f->map, 4096);
	f->life_page->alive = (u32)getpid();
	f->life_page->generation = f->generation;
	f->prog[PROG_ENTRY] = program(V_HITS, offsetof(struct arch_regs, di), 0);
	f->prog[PROG_RET] = program(V_RETS, offsetof(struct arch_regs, ax), 0);
	f->prog[PROG_WILD] = program(V_OTHER, offsetof(struct arch_regs, di), 9);
	f->prog[PROG_OTHER] = program(V_OTHER, offsetof(struct arch_regs, di), 0);
	f->prog[PROG_SLOW] = slow_program();
	f->agent_file = sealed_agent();
	snprintf(f->path, sizeof(f->path), "/tmp/ebpfrt-test-%d-%" PRIu64, getpid(), generation);
	f->listen = listen_at(f->path);
}

void fake_close(struct fake *f)
{
	unlink(f->path);
	close(f->listen);
	for (int i = PROG_ENTRY; i < PROG_MAX; i++)
		close(f->prog[i]);
	close(f->map);
	close(f->stats_fd);
	close(f->life);
	close(f->bells);
	close(f->agent_file);
}

static ssize_t receive(int fd, void *buf, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (poll(&p, 1, WAIT_MS) != 1)
		return -ETIMEDOUT;
	return recv(fd, buf, len, 0);
}

int talk_begin(struct talk *t, int fd)
{
	struct {
		struct agent_msg msg;
		struct agent_hello hello;
	} m;

	*t = (struct talk){.fd = fd};
	if (receive(fd, &m, sizeof(m)) != sizeof(m) || m.msg.type != AGENT_HELLO)
		return -ECONNRESET;
	t->hello = m.hello;
	return 0;
}

static int send_message(int fd, const void *buf, size_t len, const int *fds, u32 nfds)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)buf, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.h.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.h), fds, nfds * sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -ECONNRESET;
}

int talk(struct talk *t, u16 type, const void *body, u32 len, const int *fds, u32 nfds)
{
	static u8 buf[AGENT_MSG_MAX];
	struct agent_msg *m = (void *)buf;
	struct {
		struct agent_msg msg;
		struct agent_ack ack;
		s32 err[512];
	} reply;
	ssize_t n;

	*m = (struct agent_msg){(u32)sizeof(*m) + len, type, AGENT_ABI, ++t->seq};
	if (len)
		memcpy(buf + sizeof(*m), body, len);
	if (send_message(t->fd, buf, m->len, fds, nfds))
		return -ECONNRESET;
	n = receive(t->fd, &reply, sizeof(reply));
	if (n < (ssize_t)(sizeof(reply.msg) + sizeof(reply.ack)) || reply.msg.type != AGENT_ACK ||
	    reply.msg.seq != t->seq)
		return -ECONNRESET;
	t->ack = reply.ack;
	memcpy(t->err, reply.err, (size_t)n - sizeof(reply.msg) - sizeof(reply.ack));
	return reply.ack.err;
}

void talk_end(struct talk *t)
{
	struct agent_msg m = {sizeof(m), AGENT_DONE, AGENT_ABI, ++t->seq};

	send_message(t->fd, &m, sizeof(m), NULL, 0);
	close(t->fd);
	t->fd = -1;
}

int talk_setup(struct talk *t, struct fake *f)
{
	struct agent_setup s = {
		.participant = 5,
		.tgid = t->hello.pid,
		.target = 99,
		.generation = f->generation,
		.nr_cpus = 2,
		.nstats = STATS,
		.bells_size = SHM_SIZE,
		.life_size = SHM_SIZE,
		.stats_size = SHM_SIZE,
		.ret_instances = 2000,
	};
	int fds[3] = {f->bells, f->life, f->stats_fd};

	snprintf(s.socket, sizeof(s.socket), "%s", f->path);
	return talk(t, AGENT_SETUP, &s, sizeof(s), fds, 3);
}

int talk_objects(struct talk *t, struct fake *f)
{
	struct agent_map m = {
		.meta = {.id = MAP_VALUES,
			 .type = BPF_MAP_TYPE_ARRAY,
			 .key_size = 4,
			 .value_size = V_MAX * 8 + 16,
			 .max_entries = 1,
			 .nr_cpus = 2},
		.size = 4096,
	};
	int ret = talk(t, AGENT_MAP, &m, sizeof(m), &f->map, 1);

	for (u32 i = PROG_ENTRY; i < PROG_MAX && ret == 0; i++) {
		struct stat st;
		struct {
			struct agent_prog p;
			u32 map;
		} p = {.p = {.id = i, .nmaps = 1, .stat = i}, .map = MAP_VALUES};

		fstat(f->prog[i], &st);
		p.p.size = (u32)st.st_size;
		ret = talk(t, AGENT_PROG, &p, sizeof(p), &f->prog[i], 1);
	}
	return ret;
}

/* --- sites --------------------------------------------------------------------------------------
 */

/* A free page below @addr, near enough for a slot. */
static u64 gap_near(pid_t pid, u64 addr)
{
	char path[64], line[512];
	u64 start, end, last = 0x10000, best = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
			continue;
		if (start - last >= 65536 && start <= addr && addr - start < 0x70000000)
			best = start - 32768;
		if (start - last >= 65536 && last > addr && last - addr < 0x70000000 && !best)
			best = last + 16384;
		last = end;
	}
	if (f)
		fclose(f);
	return best;
}

int talk_site(struct talk *t, pid_t pid, u64 addr, u32 flags)
{
	struct {
		u32 n, pad;
		struct agent_site site;
	} m = {.n = 1, .site = {.flags = flags, .module = 1}};
	struct target target = {.pid = pid};
	u8 code[32];
	int ret;

	target_text(&target, addr, code, sizeof(code));
	ret = arch_patch_plan(code, sizeof(code), addr, &m.site.patch);
	if (ret)
		return ret;
	if (arch_patch_needs_slot(&m.site.patch)) {
		struct agent_arena a = {gap_near(pid, addr), 4096};

		ret = talk(t, AGENT_ARENA, &a, sizeof(a), NULL, 0);
		if (ret == 0)
			ret = arch_patch_relocate(&m.site.patch, a.addr + ARCH_SLOT_SIZE);
		if (ret)
			return ret;
	}
	return talk(t, AGENT_SITES, &m, sizeof(m), NULL, 0);
}

int talk_consumer(struct talk *t, u64 addr, u64 link, u32 prog, u32 flags)
{
	struct {
		u32 n, pad;
		struct agent_consumer c;
	} m = {.n = 1,
	       .c = {.addr = addr, .link = link, .prog = prog, .flags = flags, .stat = prog}};

	return talk(t, AGENT_CONSUMERS, &m, sizeof(m), NULL, 0);
}

int talk_drop(struct talk *t, u64 link)
{
	struct agent_drop d = {link};

	return talk(t, AGENT_DROP_LINK, &d, sizeof(d), NULL, 0);
}

/* --- injection ----------------------------------------------------------------------------------
 */

int fake_inject(struct fake *f, pid_t pid, enum inject_kind kind, u64 base,
		void (*serve)(struct talk *t, void *arg), void *arg, struct inject_event *done)
{
	struct inject_request req = {
		.kind = kind, .pid = pid, .agent_fd = f->agent_file, .base = base};
	struct inject inj = INJECT_INIT;
	struct talk t;
	int ret = inject_start(&req, &inj);

	while (ret == 0) {
		struct pollfd p = {.fd = inj.report, .events = POLLIN};

		ret = poll(&p, 1, 10000) == 1 ? inject_read(&inj, done) : -ETIMEDOUT;
		if (ret || done->what == INJECT_DONE)
			break;
		if (talk_begin(&t, done->fd) == 0)
			serve(&t, arg);
		else
			close(t.fd);
	}
	inject_finish(&inj);
	return ret ? ret : done->err;
}

int fake_accept(struct fake *f, struct talk *t)
{
	struct pollfd p = {.fd = f->listen, .events = POLLIN};

	if (poll(&p, 1, WAIT_MS) != 1)
		return -ETIMEDOUT;
	return talk_begin(t, accept4(f->listen, NULL, NULL, SOCK_CLOEXEC));
}

/* --- the target ---------------------------------------------------------------------------------
 */

void target_spawn(struct target *t, const char *exe, const char *mode, char *const env[])
{
	int in[2], out[2];

	cr_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	if (!exe)
		exe = fake_built("tests/support/targets/agent_target");
	t->pid = fork();
	if (t->pid == 0) {
		char *argv[] = {(char *)exe, (char *)mode, NULL};
		char *none[] = {NULL};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execve(exe, argv, env ? env : none);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	t->in = fdopen(in[1], "w");
	t->out = fdopen(out[0], "r");
}

void target_ready(struct target *t)
{
	char line[512];

	if (!fgets(line, sizeof(line), t->out))
		line[0] = 0;
	cr_assert_eq(sscanf(line,
			    "ready %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
			    " %" SCNx64 " %" SCNx64 " %" SCNx64,
			    &t->probe_me, &t->outer, &t->inner, &t->leaves, &t->load, &t->recurse,
			    &t->malloc, &t->getppid),
		     8, "target: %s", line);
}

void target_start(struct target *t, const char *exe, const char *mode, char *const env[])
{
	target_spawn(t, exe, mode, env);
	target_ready(t);
}

void target_poke(struct target *t)
{
	fputs("x\n", t->in);
	fflush(t->in);
}

int target_done(struct target *t, long *v, int max)
{
	char line[512], *p, *end;
	int n = 0;

	if (!fgets(line, sizeof(line), t->out))
		return -1;
	p = strchr(line, ' ');
	while (p && n < max) {
		v[n] = strtol(p, &end, 10);
		if (end == p)
			break;
		p = end;
		n++;
	}
	return n;
}

int target_wait(struct target *t)
{
	int status = -1;

	fclose(t->in);
	waitpid(t->pid, &status, 0);
	fclose(t->out);
	return status;
}

void target_in_syscall(const struct target *t, long nr)
{
	char path[64], buf[64];

	snprintf(path, sizeof(path), "/proc/%d/syscall", t->pid);
	for (int i = 0; i < 2000; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, buf, sizeof(buf) - 1);

		close(fd);
		buf[n > 0 ? n : 0] = 0;
		if (n > 0 && buf[0] != 'r' && strtol(buf, NULL, 10) == nr)
			return;
		usleep(1000);
	}
	cr_assert_fail("target never reached system call %ld: %s", nr, buf);
}

void target_text(const struct target *t, u64 addr, u8 *bytes, size_t len)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", t->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(pread(fd, bytes, len, (off_t)addr), (ssize_t)len);
	close(fd);
}
