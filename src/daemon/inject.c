/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See inject.h. The agent is loaded without a loader, so it needs no path, no libc and no lock in
 * there. What is never written comes from a sealed file that is given to the target for the time,
 * by the socket, and is the same memory in all targets; its data become anonymous memory, written
 * from here, relocated here (relative relocations are the only ones it has). Where the file can't
 * be had there all of it does. Memory is never writable and executable at once: text is written
 * through /proc/PID/mem.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "daemon/inject.h"
#include "daemon/inject_crowd.h"
#include "osl/osl.h"
#include "probe/probe.h"
#include "proto/shm_abi.h"

#define STACK_SIZE (384u << 10) /* its low end: struct agent_withheld_list */
#define SPAN_MAX (16u << 20)
#define CLEAR_TRIES 8u		 /* some 400 ms, with the same thread in the way */
#define CLEAR_TRIES_MAX 100u	 /* with another one each time */
#define AGENT_READY (1ULL << 32) /* in the result of agent_entry(): it is set up and must stay */

struct agent_file {
	const u8 *data;
	size_t size;
	const Elf64_Ehdr *eh;
	const Elf64_Phdr *ph;
	u64 span;  /* bytes of memory from the first to the last segment */
	u8 *image; /* the segments as they will be, relocated */
	u64 dynamic;
};

struct work {
	struct inject_request req;
	struct thread thread;
	struct crowd crowd;
	struct agent_file file;
	int report;
	u64 base;
	bool loaded;   /* by us, now */
	bool found;    /* it was there before we came */
	bool searched; /* for it */
	bool alone;    /* nobody executes anything in the target's memory meanwhile */
	bool cut;      /* the agent was interrupted half-way: all it uses must stay */
	u64 stack;     /* remote; 0: none */
	int remote_fd;
	int ours;    /* the other end, until the daemon has it */
	int file_fd; /* the agent's file, there, for the time of the loading */
	int spare;   /* a descriptor there that the agent closes, as one system call less of ours */
	struct agent_withheld_list withheld;
	char why[INJECT_WHY_MAX];
};

/* --- reporting ----------------------------------------------------------------------------------
 */

static void report(int sock, const struct inject_event *e, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)e, sizeof(*e)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.h = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	}
	sendmsg(sock, &m, MSG_NOSIGNAL);
}

/* --- the agent's file ---------------------------------------------------------------------------
 */

static bool inside(const struct agent_file *f, u64 off, u64 len)
{
	return off <= f->size && len <= f->size - off;
}

static int file_check(struct agent_file *f)
{
	const Elf64_Ehdr *eh = f->eh;

	if (f->size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_type != ET_DYN ||
	    eh->e_phentsize != sizeof(Elf64_Phdr) ||
	    !inside(f, eh->e_phoff, (u64)eh->e_phnum * sizeof(Elf64_Phdr)))
		return -ENOEXEC;
	f->ph = (const Elf64_Phdr *)(f->data + eh->e_phoff);
	for (int i = 0; i < eh->e_phnum; i++) {
		const Elf64_Phdr *p = &f->ph[i];

		if (p->p_type != PT_LOAD)
			continue;
		if (!inside(f, p->p_offset, p->p_filesz) || p->p_filesz > p->p_memsz ||
		    p->p_vaddr > SPAN_MAX || p->p_memsz > SPAN_MAX)
			return -ENOEXEC;
		f->span = MAX(f->span, ALIGN_UP(p->p_vaddr + p->p_memsz, EBPFRT_PAGE_SIZE));
	}
	return f->span ? 0 : -ENOEXEC;
}

static int file_open(struct work *w)
{
	struct agent_file *f = &w->file;
	struct stat st;
	void *p;

	if (fstat(w->req.agent_fd, &st))
		return -errno;
	f->size = (size_t)st.st_size;
	p = f->size ? mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, w->req.agent_fd, 0) : MAP_FAILED;
	if (p == MAP_FAILED)
		return -ENOEXEC;
	f->data = p;
	f->eh = p;
	return file_check(f);
}

/* As it will be at @base. */
static int relocate(struct agent_file *f, const Elf64_Dyn *dyn, u64 base)
{
	u64 rela = 0, size = 0;

	for (; (const u8 *)(dyn + 1) <= f->image + f->span && dyn->d_tag != DT_NULL; dyn++) {
		if (dyn->d_tag == DT_RELA)
			rela = dyn->d_un.d_ptr;
		else if (dyn->d_tag == DT_RELASZ)
			size = dyn->d_un.d_val;
		else if (dyn->d_tag == DT_RELR || dyn->d_tag == DT_JMPREL)
			return -ENOEXEC;
	}
	if (rela > f->span || size > f->span - rela)
		return -ENOEXEC;
	for (const Elf64_Rela *r = (void *)(f->image + rela), *end = r + size / sizeof(*r); r < end;
	     r++) {
		u64 v = base + (u64)r->r_addend;

		if (ELF64_R_TYPE(r->r_info) != R_X86_64_RELATIVE || r->r_offset > f->span - 8)
			return -ENOEXEC;
		memcpy(f->image + r->r_offset, &v, sizeof(v));
	}
	return 0;
}

/* The memory of the agent, but for the relocations. */
static int build_image(struct agent_file *f)
{
	f->image = mmap(NULL, f->span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->image == MAP_FAILED)
		return -ENOMEM;
	for (int i = 0; i < f->eh->e_phnum; i++) {
		const Elf64_Phdr *p = &f->ph[i];

		if (p->p_type == PT_LOAD)
			memcpy(f->image + p->p_vaddr, f->data + p->p_offset, p->p_filesz);
		else if (p->p_type == PT_DYNAMIC)
			f->dynamic = p->p_vaddr;
	}
	return f->dynamic && f->dynamic <= f->span - sizeof(Elf64_Dyn) ? 0 : -ENOEXEC;
}

/* --- system calls in the target -----------------------------------------------------------------
 */

static const char *error_name(s64 err)
{
	return strerror((int)-err);
}

/* Execute one; a failure becomes a sentence that names @what. */
static int remote(struct work *w, s64 *ret, const char *what, long nr, u64 a, u64 b, u64 c, u64 d,
		  u64 e, u64 f)
{
	const u64 args[6] = {a, b, c, d, e, f};
	int err = thread_syscall(&w->thread, ret, nr, args);

	if (err)
		return err;
	if (*ret < 0 && *ret >= -4095)
		return thread_fail(&w->thread, (int)*ret, "process %d cannot %s for the agent: %s",
				   w->req.pid, what, error_name(*ret));
	return 0;
}

static int remote_mmap(struct work *w, u64 addr, u64 size, int prot, int flags, u64 *out)
{
	s64 ret;
	int err = remote(w, &ret, "map memory", SYS_mmap, addr, size, (u64)prot,
			 (u64)(MAP_PRIVATE | MAP_ANONYMOUS | flags), (u64)-1, 0);

	if (err == 0)
		*out = (u64)ret;
	return err;
}

/* On the way out: whether it works can't change anything any more. */
static void remote_quietly(struct work *w, long nr, u64 a, u64 b, u64 c)
{
	const u64 args[6] = {a, b, c};
	char why[INJECT_WHY_MAX];
	s64 ret;

	if (w->thread.gone)
		return;
	memcpy(why, w->why, sizeof(why));
	if (thread_syscall(&w->thread, &ret, nr, args)) /* nobody else will do it */
		thread_syscall(&w->thread, &ret, nr, args);
	memcpy(w->why, why, sizeof(why));
}

static int make_stack(struct work *w)
{
	int err = remote_mmap(w, 0, STACK_SIZE, PROT_READ | PROT_WRITE, 0, &w->stack);

	if (err == 0) {
		w->thread.extra.stack = w->stack;
		w->thread.extra.stack_size = STACK_SIZE;
		thread_update_way_back(&w->thread);
	}
	return err;
}

/* What the thread would close by itself; numbers that are closed already may be another's. */
static void set_extra_fds(struct work *w, int a, int b)
{
	w->thread.extra.fds[0] = a;
	w->thread.extra.fds[1] = b;
	thread_update_way_back(&w->thread);
}

static void close_spare(struct work *w)
{
	if (w->spare < 0)
		return;
	set_extra_fds(w, w->remote_fd, -1);
	remote_quietly(w, SYS_close, (u64)w->spare, 0, 0);
	w->spare = -1;
}

static int make_socket(struct work *w)
{
	int fds[2], err;
	_cleanup_close_ int pidfd = -1;
	s64 ret;

	err = remote(w, &ret, "make a socket pair", SYS_socketpair, AF_UNIX,
		     SOCK_SEQPACKET | SOCK_CLOEXEC, 0, w->stack, 0, 0);
	if (err)
		return err;
	/* what it was given must be known, or it stays open */
	err = thread_read(&w->thread, w->stack, fds, sizeof(fds));
	if (err)
		err = thread_read(&w->thread, w->stack, fds, sizeof(fds));
	if (err)
		return thread_fail(&w->thread, err, "cannot read the memory of process %d: %s",
				   w->req.pid, error_name(err));
	w->remote_fd = fds[0];
	set_extra_fds(w, fds[0], fds[1]);
	pidfd = (int)syscall(SYS_pidfd_open, w->req.pid, 0);
	w->ours = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fds[1], 0);
	err = w->ours < 0 ? -errno : 0;
	w->spare = fds[1];
	if (err)
		return thread_fail(&w->thread, err, "cannot take a socket out of process %d: %s",
				   w->req.pid, error_name(err));
	return 0;
}

static void hand_over(struct work *w)
{
	struct inject_event e = {.what = INJECT_SOCKET, .fd = -1, .since_ns = w->thread.held_at_ns};

	report(w->report, &e, w->ours);
	cleanup_close(&w->ours);
}

/* What the thread receives with: on its stack. */
struct remote_message {
	struct msghdr h;
	struct iovec iov;
	u64 byte;
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
};

/* The number that it has there, or -1. Its end of the socket has nothing else to be read. */
static int receive_file(struct work *w)
{
	u64 at = w->stack;
	struct remote_message m = {
		.h = {.msg_iov = (void *)(at + offsetof(struct remote_message, iov)),
		      .msg_iovlen = 1,
		      .msg_control = (void *)(at + offsetof(struct remote_message, control)),
		      .msg_controllen = sizeof(m.control)},
		.iov = {(void *)(at + offsetof(struct remote_message, byte)), sizeof(m.byte)},
	};
	const u64 args[6] = {(u64)w->remote_fd, at, MSG_DONTWAIT | MSG_CMSG_CLOEXEC};
	int fd = -1;
	s64 ret;

	if (thread_write(&w->thread, at, &m, sizeof(m)) ||
	    thread_syscall(&w->thread, &ret, SYS_recvmsg, args) || ret < 0 ||
	    (thread_read(&w->thread, at, &m, sizeof(m)) &&
	     thread_read(&w->thread, at, &m, sizeof(m))))
		return -1;
	if (m.h.msg_controllen >= CMSG_LEN(sizeof(int)) && m.control.h.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&m.control.h), sizeof(fd));
	return fd;
}

/* What can't be changed any more can be shared. */
static void give_file(struct work *w)
{
	int seals = osl_shm_seals(w->req.agent_fd);

	if (seals < 0 ||
	    (seals & (OSL_SEAL_WRITE | OSL_SEAL_SIZE)) != (OSL_SEAL_WRITE | OSL_SEAL_SIZE))
		return;
	close_spare(w);
	report(w->ours, &(struct inject_event){.fd = -1}, w->req.agent_fd);
	w->spare = w->file_fd = receive_file(w);
	set_extra_fds(w, w->remote_fd, w->spare);
}

/* --- loading ------------------------------------------------------------------------------------
 */

static int prot_of(u32 flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
	       (flags & PF_X ? PROT_EXEC : 0);
}

/* Is it in the file as it will be in memory? */
static bool is_constant(const struct agent_file *f, const Elf64_Phdr *p)
{
	return !(p->p_flags & PF_W) && p->p_filesz == p->p_memsz &&
	       p->p_vaddr % EBPFRT_PAGE_SIZE == 0 && p->p_offset % EBPFRT_PAGE_SIZE == 0 &&
	       memcmp(f->image + p->p_vaddr, f->data + p->p_offset, p->p_filesz) == 0;
}

static bool share_segment(struct work *w, const Elf64_Phdr *p)
{
	const u64 args[6] = {w->base + p->p_vaddr,    p->p_memsz,      prot_of(p->p_flags),
			     MAP_PRIVATE | MAP_FIXED, (u64)w->file_fd, p->p_offset};
	s64 ret;

	return w->file_fd >= 0 && is_constant(&w->file, p) &&
	       thread_syscall(&w->thread, &ret, SYS_mmap, args) == 0 && (u64)ret == args[0];
}

static int load_segment(struct work *w, const Elf64_Phdr *p)
{
	u64 start = ALIGN_DOWN(p->p_vaddr, EBPFRT_PAGE_SIZE);
	u64 end = ALIGN_UP(p->p_vaddr + p->p_memsz, EBPFRT_PAGE_SIZE), at;
	u64 data = ALIGN_UP(p->p_vaddr + p->p_filesz, 8);
	int err;

	if (share_segment(w, p))
		return 0;
	err = remote_mmap(w, w->base + start, end - start, prot_of(p->p_flags), MAP_FIXED, &at);

	if (err == 0)
		err = thread_write(&w->thread, at, w->file.image + start, data - start);
	if (err && !w->why[0])
		thread_fail(&w->thread, err, "cannot write the agent into process %d: %s",
			    w->req.pid, error_name(err));
	return err;
}

static int load(struct work *w)
{
	struct agent_file *f = &w->file;
	int err = remote_mmap(w, 0, f->span, PROT_NONE, MAP_NORESERVE, &w->base);

	if (err)
		return err;
	w->loaded = true;
	err = relocate(f, (const Elf64_Dyn *)(f->image + f->dynamic), w->base);
	if (err)
		return thread_fail(&w->thread, err,
				   "the agent's file can't be loaded; end the daemon with `ebpfrt "
				   "shutdown`, and unset $EBPFRT_AGENT");
	/* the file's head comes last: where it is, all of it is (see find_loaded) */
	for (int i = f->eh->e_phnum - 1; i >= 0 && err == 0; i--)
		if (f->ph[i].p_type == PT_LOAD)
			err = load_segment(w, &f->ph[i]);
	return err;
}

static bool is_loaded_at(struct work *w, u64 base)
{
	const u64 head = MIN(w->file.ph[0].p_type == PT_LOAD ? w->file.ph[0].p_filesz : 512, 4096);
	u8 now[4096];

	/* most that it is not has another first word */
	return thread_read(&w->thread, base, now, SELFMAG) == 0 && !memcmp(now, ELFMAG, SELFMAG) &&
	       thread_read(&w->thread, base, now, head) == 0 &&
	       memcmp(now, w->file.data, head) == 0;
}

/* Is the same agent there from an earlier time (an earlier daemon's, or preloaded)? Then @base. */
static int find_loaded(struct work *w, u64 *base)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[512];
	u64 start;

	snprintf(path, sizeof(path), "/proc/%d/maps", w->req.pid);
	f = fopen(path, "re");
	if (!f)
		return thread_fail(&w->thread, -errno, "cannot read %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%" SCNx64 "-%*x r--p", &start) == 1 && is_loaded_at(w, start)) {
			*base = start;
			break;
		}
	return 0;
}

/* The list of signals withheld is at the low end of the stack. */
static int call_with_list(struct work *w, u32 reason, s64 *ret)
{
	u64 entry = w->base + w->file.eh->e_entry;
	size_t head = offsetof(struct agent_withheld_list, v);
	size_t who = offsetof(struct agent_withheld_list, who);
	int err;

	crowd_given(&w->crowd, &w->withheld);
	w->withheld.alone = w->alone;
	w->withheld.unsettled |= !w->alone;
	w->withheld.spare = (u32)(w->spare + 1);
	err = thread_write(&w->thread, w->stack, &w->withheld,
			   head + w->withheld.given * sizeof(w->withheld.v[0]));
	if (err == 0)
		err = thread_write(&w->thread, w->stack + who, w->withheld.who,
				   w->withheld.held * sizeof(w->withheld.who[0]));
	if (err)
		return thread_fail(&w->thread, err, "cannot write to the memory of process %d: %s",
				   w->req.pid, error_name(err));
	set_extra_fds(w, -1, -1); /* the agent's from here on */
	return thread_call(&w->thread, entry, w->stack + STACK_SIZE, reason, (u64)w->remote_fd,
			   w->stack, w->base, w->base + w->file.span, ret);
}

static int read_list(struct work *w)
{
	struct agent_withheld_list *l = &w->withheld;
	int err = thread_read(&w->thread, w->stack, l, offsetof(struct agent_withheld_list, v));

	if (err || !l->back)
		return err;
	return thread_read(&w->thread, w->stack, l, offsetof(struct agent_withheld_list, who));
}

static int call_agent(struct work *w, u32 reason)
{
	s64 ret;
	int err = call_with_list(w, reason, &ret);

	w->cut = err && w->thread.called;
	if (err)
		return err;
	w->spare = -1;
	if (read_list(w) == 0)
		crowd_back(&w->crowd, &w->withheld);
	w->remote_fd = -1;
	if ((u64)ret & AGENT_READY)
		w->loaded = false; /* for good */
	err = (int)(u32)(u64)ret;
	if (err)
		return thread_fail(&w->thread, err, "the agent in process %d reports: %s",
				   w->req.pid, error_name(err));
	return 0;
}

/* --- the child ----------------------------------------------------------------------------------
 */

/* Nobody else loads it any more. */
static void search(struct work *w)
{
	if (w->req.kind != INJECT_LOAD || w->thread.mem < 0)
		return;
	w->base = 0;
	w->searched = find_loaded(w, &w->base) == 0;
}

/*
 * Who runs has to get a processor before it can stop, and on a busy machine that takes its time. So
 * such threads are stopped first; those that sleep then do so at once.
 */
static int hold_all(struct work *w)
{
	int err = thread_look(&w->thread);

	if (err)
		return err;
	w->searched = false;
	if (thread_claim(&w->thread) == 0) {
		search(w);
		err = crowd_meet(&w->crowd, &w->thread);
		if (err)
			return err;
		if (thread_stop(&w->thread))
			crowd_release(&w->crowd);
	}
	err = thread_hold(&w->thread);
	if (err)
		return err;
	err = crowd_hold(&w->crowd, &w->thread);
	if (err == 0 && w->req.arms)
		err = crowd_clear(&w->crowd, w->req.guarded);
	return err;
}

/* Threads are in the C library's moments without signals for microseconds; others for good. */
static int hold(struct work *w)
{
	struct timespec ts = {0, 0};
	u32 same = 0;

	w->crowd.blocker = 0;
	for (u32 try = 1;; try++) {
		pid_t before = w->crowd.blocker;
		int err = hold_all(w);

		if (err != -EAGAIN)
			return err;
		same = w->crowd.blocker == before ? same + 1 : 0;
		if (same == CLEAR_TRIES || try == CLEAR_TRIES_MAX)
			return -EPERM; /* trying once more would not help */
		crowd_release(&w->crowd);
		thread_release(&w->thread);
		ts.tv_nsec = MIN(2000000L << same, 100000000L);
		nanosleep(&ts, NULL);
	}
}

static int see_who_is_there(struct work *w)
{
	pid_t other = crowd_other(&w->crowd, w->stack);

	w->alone = !other && crowd_stopped(&w->crowd);
	return other && w->req.arms && w->req.first ? crowd_refuse(&w->crowd, other) : 0;
}

/* What can be done beforehand is: from hold() on the target waits for us. */
static int inject(struct work *w)
{
	u32 reason = w->req.kind == INJECT_LOAD ? AGENT_START : AGENT_COMMAND;
	int err = file_open(w);

	if (err == 0 && w->req.kind == INJECT_LOAD)
		err = build_image(&w->file);
	if (err)
		return thread_fail(&w->thread, err,
				   "cannot use the agent's file: %s; end the daemon with `ebpfrt "
				   "shutdown`, and unset $EBPFRT_AGENT",
				   error_name(err));
	crowd_look_around(&w->crowd, w->req.pid);
	w->base = w->req.base;
	err = hold(w);
	if (err)
		return err;
	if (w->req.kind == INJECT_LOAD && !w->searched)
		err = find_loaded(w, &w->base);
	if (err)
		return err;
	if (w->req.kind == INJECT_COMMAND && !is_loaded_at(w, w->base))
		return thread_fail(&w->thread, -ESRCH,
				   "process %d has started another program (exec), the agent went "
				   "with the old one; attach to it again",
				   w->req.pid);
	w->found = w->base != 0;
	err = make_stack(w);
	if (err == 0)
		err = see_who_is_there(w);
	if (err == 0)
		err = make_socket(w);
	if (err == 0 && !w->base) {
		give_file(w);
		err = load(w);
	}
	if (err == 0) {
		hand_over(w);
		err = call_agent(w, reason);
	}
	return err;
}

/* Leave nothing in the target that is of no use. */
static void tidy(struct work *w)
{
	if (!w->thread.held)
		return;
	if (w->cut)
		return;
	close_spare(w);
	set_extra_fds(w, -1, -1);
	if (w->remote_fd >= 0)
		remote_quietly(w, SYS_close, (u64)w->remote_fd, 0, 0);
	w->thread.extra.stack_size = 0;
	thread_update_way_back(&w->thread);
	if (w->stack)
		remote_quietly(w, SYS_munmap, w->stack, STACK_SIZE, 0);
	if (w->loaded) {
		remote_quietly(w, SYS_munmap, w->base, w->file.span, 0);
		w->base = 0;
	}
}

/* Only what the work needs stays open: other descriptors mean "alive" to whoever holds their ends.
 */
static void close_others(int keep_a, int keep_b)
{
	int lo = MIN(keep_a, keep_b), hi = MAX(keep_a, keep_b);

	if (lo > 3)
		close_range(3, (unsigned)lo - 1, 0);
	if (hi > lo + 1)
		close_range((unsigned)lo + 1, (unsigned)hi - 1, 0);
	close_range((unsigned)hi + 1, ~0U, 0);
}

static void prepare_child(const struct inject_request *req, int sock)
{
	sigset_t all;

	signal(SIGCHLD, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	close_others(req->agent_fd, sock);
	prctl(PR_SET_NAME, PROBE_INJECTOR);
	prctl(PR_SET_TIMERSLACK, 1); /* it naps while others are held */
}

static void child_main(const struct inject_request *req, int sock)
{
	static struct work w;
	struct inject_event e = {.what = INJECT_DONE, .fd = -1};
	u64 ms = req->timeout_ms ? req->timeout_ms : INJECT_TIMEOUT_MS, since;

	prepare_child(req, sock);
	w = (struct work){.req = *req,
			  .report = sock,
			  .remote_fd = -1,
			  .ours = -1,
			  .file_fd = -1,
			  .spare = -1};
	w.thread.pid = req->pid;
	w.thread.mem = -1;
	w.thread.deadline_ns = osl_now_ns() + ms * 1000000;
	w.thread.why = w.why;
	w.thread.why_size = sizeof(w.why);
	e.err = inject(&w);
	w.thread.deadline_ns = osl_now_ns() + 1000000000ULL; /* tidying has its own time */
	tidy(&w);
	since = w.thread.held_at_ns;
	e.stopped_ns = thread_release(&w.thread);
	crowd_release(&w.crowd);
	if (e.stopped_ns)
		e.stopped_ns = w.crowd.released_ns - since;
	e.base = w.base;
	e.found = w.found;
	e.denied = w.thread.denied;
	memcpy(e.why, w.why, sizeof(e.why));
	report(sock, &e, -1);
}

/* --- the daemon's side --------------------------------------------------------------------------
 */

/* Finished injections whose child has not ended yet. */
struct leftover {
	struct list_head node;
	pid_t child;
	pid_t pid; /* as struct inject's */
};

static struct list_head leftovers = LIST_HEAD_INIT(leftovers);

/* Somebody else may have reaped it, or nobody has to: whatever is not a living child has ended. */
static bool ended(pid_t child)
{
	return waitpid(child, NULL, WNOHANG) != 0;
}

void inject_reap(void)
{
	struct leftover *l, *tmp;

	list_for_each_entry_safe (l, tmp, &leftovers, node) {
		if (!ended(l->child))
			continue;
		list_del_init(&l->node);
		free(l);
	}
}

static bool is_busy(pid_t pid)
{
	struct leftover *l;

	inject_reap();
	list_for_each_entry (l, &leftovers, node)
		if (l->pid == pid)
			return true;
	return false;
}

/* Without memory it stays a zombie, and its tracing keeps others out. */
static void leave_to_itself(const struct inject *inj)
{
	struct leftover *l = calloc(1, sizeof(*l));

	if (!l)
		return;
	l->child = inj->child;
	l->pid = inj->pid;
	list_add_tail(&l->node, &leftovers);
}

int inject_start(const struct inject_request *req, struct inject *out)
{
	int sv[2];
	pid_t child;

	if (is_busy(req->pid))
		return -EAGAIN;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -errno;
	child = fork();
	if (child == 0) {
		child_main(req, sv[1]);
		_exit(0);
	}
	close(sv[1]);
	if (child < 0) {
		close(sv[0]);
		return -errno;
	}
	*out = (struct inject){child, sv[0], req->pid};
	return 0;
}

static int received_fd(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int inject_read(struct inject *inj, struct inject_event *out)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct inject_event e;
	struct iovec iov = {&e, sizeof(e)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(inj->report, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n != sizeof(e))
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : -ECONNRESET;
	e.fd = received_fd(&m);
	if (e.what == INJECT_DONE)
		inj->pid = 0;
	*out = e;
	return 0;
}

void inject_finish(struct inject *inj)
{
	if (inj->report >= 0)
		close(inj->report);
	if (inj->child > 0 && !ended(inj->child))
		leave_to_itself(inj);
	*inj = (struct inject)INJECT_INIT;
}
