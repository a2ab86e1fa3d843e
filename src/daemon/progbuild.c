/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF_PROG_LOAD's work, from the instructions to the image, in a forked worker: what a hostile
 * program makes of it (a hang, a crash, all of the memory) is an error of that load.
 *
 * The worker has the daemon's objects as they are at the fork; it may allocate, compute and write
 * its result into one memfd, nothing else (a system call filter says so). What it wrote is checked
 * before it is believed: it can be wrong about its own program only, which it has seen anyway.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "daemon/daemon.h"

#define CPU_LIMIT_S 10
#define WALL_LIMIT_NS (20ull * 1000000000)
#define MEMORY_LIMIT (256ull << 20) /* beyond what the daemon has */
#define IMAGE_MAX (512u << 20)

struct result { /* at the start of the memfd; the log's text, then the image follow */
	u32 done;
	s32 err;
	u32 log_len; /* NUL excluded */
	u32 image_size;
	u64 log_total;
	u32 nused_maps;
	u32 pad;
	u32 used_maps[EBPF_MAX_USED_MAPS];
};

struct worker {
	struct loop_child child;
	struct loop_timer wall;
	struct daemon *d;
	struct ebpf_call *call;
	struct ebpf_load *load;
	int fd;
};

/* --- in the worker --------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static bool only_compute(void)
{
	return true; /* a sanitizer's run-time has needs of its own */
}
#else
#define ALLOW(nr)                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                           \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Memory and how much there is, the clock, the result, the end. Whatever else is a sign of
 * something gone wrong. */
static bool only_compute(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(__NR_brk),
		ALLOW(__NR_mmap),
		ALLOW(__NR_munmap),
		ALLOW(__NR_mremap),
		ALLOW(__NR_mprotect),
		ALLOW(__NR_madvise),
		ALLOW(__NR_clock_gettime),
		ALLOW(__NR_sysinfo), /* qsort(3) asks how much memory there is */
		ALLOW(__NR_write),
		ALLOW(__NR_futex),
		ALLOW(__NR_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {.len = ARRAY_SIZE(code), .filter = code};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* their shadow is terabytes of address space */
static void limit_memory(void)
{
}
#else
/* Not by stdio, which costs as much as the verification of a small program. */
static u64 memory_now(void)
{
	_cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128] = "";

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		return 0;
	return strtoull(text, NULL, 10) * (u64)sysconf(_SC_PAGESIZE);
}

static void limit_memory(void)
{
	u64 bytes = memory_now() + MEMORY_LIMIT;
	struct rlimit memory = {bytes, bytes};

	setrlimit(RLIMIT_AS, &memory);
}
#endif

static void limit(void)
{
	struct rlimit cpu = {CPU_LIMIT_S, CPU_LIMIT_S + 1};
	struct rlimit core = {0, 0};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
	limit_memory();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) worker_main(struct worker *w)
{
	struct ebpf_load *load = w->load;
	struct result r = {0};

	limit();
	if (!only_compute())
		_exit(2);
	r.err = ebpf_load_build(load);
	ebpf_log_end(load->log);
	r.log_len = load->log->buf ? load->log->len : 0;
	r.log_total = load->log->total;
	r.nused_maps = load->nused_maps;
	r.image_size = r.err ? 0 : load->image_size;
	memcpy(r.used_maps, load->used_maps, sizeof(r.used_maps));
	r.done = 1;
	_exit(write_full(w->fd, &r, sizeof(r), IO_HERE) ||
	      write_full(w->fd, load->log->buf, r.log_len, IO_HERE) ||
	      write_full(w->fd, load->image, r.image_size, IO_HERE));
}

/* --- in the daemon --------------------------------------------------------------------------- */

static void worker_free(struct worker *w)
{
	loop_timer_stop(&w->d->loop, &w->wall);
	loop_child_kill(&w->d->loop, &w->child);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

static bool read_at(int fd, void *data, size_t len, off_t at)
{
	return pread(fd, data, len, at) == (ssize_t)len;
}

static int take_log(struct worker *w, const struct result *r)
{
	struct ebpf_log *log = w->load->log;

	log->total = r->log_total;
	if (!r->log_len)
		return 0;
	if (!log->buf || r->log_len >= log->size ||
	    !read_at(w->fd, log->buf, r->log_len, sizeof(*r)))
		return -EPROTO;
	log->pos = log->len = r->log_len;
	return 0;
}

static int take_image(struct worker *w, const struct result *r)
{
	struct ebpf_load *load = w->load;
	_cleanup_free_ u8 *image = NULL;

	if (r->image_size < sizeof(struct ebpf_image) || r->image_size > IMAGE_MAX ||
	    r->nused_maps > EBPF_MAX_USED_MAPS)
		return -EPROTO;
	image = malloc(r->image_size);
	if (!image)
		return -ENOMEM;
	if (!read_at(w->fd, image, r->image_size, (off_t)(sizeof(*r) + r->log_len)))
		return -EPROTO;
	load->image = TAKE_PTR(image);
	load->image_size = r->image_size;
	load->nused_maps = r->nused_maps;
	memcpy(load->used_maps, r->used_maps, sizeof(load->used_maps));
	return 0;
}

static int take(struct worker *w)
{
	struct result r;
	int err;

	if (!read_at(w->fd, &r, sizeof(r), 0) || !r.done)
		return -EPROTO;
	err = take_log(w, &r);
	if (err || r.err)
		return err ? err : MIN(r.err, -1);
	return take_image(w, &r);
}

/* It did not end by itself: the kernel's errno for a program that is too much, and why. */
static int failed(struct worker *w, int status)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (sig == SIGXCPU || sig == SIGKILL || sig == SIGALRM) {
		ebpf_log_printf(w->load->log,
				"BPF program is too large: not verified within %d s\n",
				CPU_LIMIT_S);
		ebpf_call_why(w->call,
			      "the program could not be verified within %d s of CPU time: make it "
			      "smaller, or bound its loops with bpf_loop()",
			      CPU_LIMIT_S);
		return -E2BIG;
	}
	ebpf_log_printf(w->load->log, "the verifier failed on this program (status %#x)\n", status);
	ebpf_call_why(w->call,
		      "the verifier itself failed on this program (status %#x), which is refused; "
		      "please report it with the object file",
		      status);
	return -EFAULT;
}

static void worker_done(struct loop_child *c, int status)
{
	struct worker *w = container_of(c, struct worker, child);
	struct ebpf_call *call = w->call;
	int err = WIFEXITED(status) && !WEXITSTATUS(status) ? take(w) : -EPROTO;

	if (err == -EPROTO)
		err = failed(w, status);
	worker_free(w);
	bpf_done(call, ebpf_prog_load_done(call, err));
}

static void worker_overdue(struct loop_timer *t)
{
	kill(container_of(t, struct worker, wall)->child.pid, SIGKILL);
}

int progbuild_start(struct ebpf_call *call, struct ebpf_load *load)
{
	struct worker *w = calloc(1, sizeof(*w));
	pid_t pid;
	int err;

	if (!w)
		return -ENOMEM;
	w->d = call->table->cookie;
	w->call = call;
	w->load = load;
	loop_timer_init(&w->wall, worker_overdue);
	w->child.fn = worker_done;
	w->fd = memfd_create("ebpfrt-build", MFD_CLOEXEC);
	pid = w->fd < 0 ? -1 : fork();
	if (!pid)
		worker_main(w);
	err = pid < 0 ? -errno : loop_child_watch(&w->d->loop, &w->child, pid);
	if (err) {
		worker_free(w);
		return err;
	}
	loop_timer_arm(&w->d->loop, &w->wall, WALL_LIMIT_NS);
	return EBPF_LATER;
}
