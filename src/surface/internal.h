/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside src/surface: what the files share.
 *
 * Rules of the place:
 *  - We are in somebody else's process. Nothing happens before the first use: every interposer
 *    asks surface_idle() and then makes the plain system call.
 *  - What runs on behalf of an interposer runs between surface_enter() and surface_leave(): libc
 *    functions called in there (malloc, sendmsg, and through them our own close or mmap) reach the
 *    kernel directly, and so does a signal handler that interrupts it.
 *  - Locks: conn (a request and its reply) before table (objects, waits). The table lock is never
 *    held across a request.
 *  - Descriptors of ours live above SURFACE_FD_MIN and are close-on-exec.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "core/run/map/map.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"
#include "surface/surface.h"
#include "surface/sys.h"

#define SURFACE_FD_MIN 100
#define SURFACE_ENOTSUPP 524 /* the kernel's own ENOTSUPP, which has no name in user space */
/* Bytes of union bpf_attr this surface carries: room for the fields newer tools send. */
#define SURFACE_ATTR_SIZE 192u

#define _unused_result_ __attribute__((warn_unused_result))

/* --- state.c: one process ------------------------------------------------------------------ */

extern bool surface_active;
extern __thread int surface_inside __attribute__((tls_model("initial-exec")));

/* Nothing of ours is in this process yet, or we are already inside. */
static inline bool surface_idle(void)
{
	return likely(!load_relaxed(&surface_active)) || surface_inside;
}

static inline void surface_enter(void)
{
	surface_inside++;
}

static inline void surface_leave(void)
{
	surface_inside--;
}

/* From now on the interposers look at descriptors; registers the fork handlers. Once. */
void surface_activate(void);
void surface_lock(void); /* the table lock */
void surface_unlock(void);

/* The sentence of this thread's failure. */
void surface_say(const char *fmt, ...) __printf_like(1, 2);
void surface_say_clear(void);
/* Tell the person, once per distinct sentence. */
void surface_report(const char *fmt, ...) __printf_like(1, 2);

/* --- conn.c, start.c: the connection ------------------------------------------------------- */

/*
 * Start a daemon for @dir and connect to it: returns the socket. @shared: for a private daemon, the
 * directory that it logs to (its own goes with it), else NULL.
 */
int surface_start_daemon(const char *dir, const char *sock, const char *shared);
int surface_dial(const char *sock); /* one attempt; a socket or -errno */
int surface_private_fd(int fd); /* moves @fd out of the way; takes it over, returns the new one */
/* The descriptor of the connection, or -1; and its move to make room for a dup2() of the program.
 */
bool surface_fd_is_private(int fd);
void surface_fd_make_room(int fd);
void surface_conn_after_fork(void);
bool surface_conn_is_ours(void); /* connected, by this very process */
/* The directory of the daemon that this process talks to, or would; -errno. */
int surface_runtime_dir(char *dir, size_t size);
/* Tell the daemon that this process holds no descriptor of @ident any more. */
void surface_send_closed(const struct osl_ident *ident);

/* --- fdinfo.c ------------------------------------------------------------------------------- */

/* What /proc/self/fdinfo/@fd says: *out is the caller's. -errno: not an object of ours. */
int surface_fdinfo(int fd, char **out, size_t *len);

/* --- kfunc.c --------------------------------------------------------------------------------- */

struct msg_kfunc;
/* Kernel functions that the program calls and that are not served, into @f[MSG_KFUNCS_MAX]. */
struct ebpf_callee;
/* Those of the allowed functions that the program calls, malloc'ed; NULL: none. */
struct ebpf_callee *surface_callees_of(const struct bpf_insn *insns, u32 n, u32 *found);
/* The types with them, a descriptor of ours; -1: there are none. */
int surface_callee_types(void);
u32 surface_kfunc_names(const struct bpf_insn *insns, u32 n, struct msg_kfunc *f);

/* --- object.c: descriptors of ours ----------------------------------------------------------- */

struct surface_obj {
	struct surface_obj *next;
	u32 refs; /* the table's and users' */
	u32 kind; /* enum msg_object_kind */
	u32 id;
	struct osl_ident ident;
	u64 size;
	bool local;
	bool modes; /* descriptors of this map may be read-only or write-only */
	bool frozen;
	bool reported; /* bad records were reported */
	int event_fd;  /* to poll in its place, or -1 */
	struct ebpf_map_meta meta;
	struct ebpf_map map; /* bound when map.base is set */
	void *old_base;	     /* a read-only mapping that a writable one replaced */
	u8 *ring;	     /* perf events: the ring's memory; ring maps: map.base */
	u64 ring_size;
	bool ring_writable; /* the program consumes: it mapped the perf ring writable */
	bool ring_timed;    /* and samples in it begin with their time */
};

void surface_obj_put(struct surface_obj *obj);
static inline void cleanup_obj(struct surface_obj **obj)
{
	if (*obj)
		surface_obj_put(*obj);
}
#define _cleanup_obj_ _cleanup_(cleanup_obj)

/* The object behind @fd when this process knows it, else NULL. One fstat. */
struct surface_obj *surface_obj_known(int fd);
/*
 * The same, asking the daemon about descriptors we have not seen. -EBADF: not open. -EINVAL: not
 * ours, or not of @kind (MSG_OBJ_NONE: any).
 */
int surface_obj_get(int fd, u32 kind, struct surface_obj **out);
/* Enter what the daemon told about a descriptor we now hold. */
int surface_obj_enter(const struct msg_object *info, int fd, bool modes);
/* Map the elements, writable when possible. @fd is a descriptor of it. 0 or -errno. */
int surface_obj_map(struct surface_obj *obj, int fd, bool write);
/* A descriptor of ours is about to be closed: tell the daemon when it was the last. */
struct surface_obj *surface_obj_closing(int fd);
void surface_obj_closed(struct surface_obj *obj);
/* Returns when what was asked for before has reached the targets, as the kernel's calls do. */
void surface_settle(void);
/* Many descriptors may have been closed: look which objects are left without one. */
void surface_obj_resync(void);
/* After fork: the child's connection learns which objects the child holds. */
void surface_obj_reannounce(void);
u32 surface_obj_count(void);
/* How may @fd of @obj be used: FMODE-like bits. */
#define SURFACE_CAN_READ 1u
#define SURFACE_CAN_WRITE 2u
u32 surface_obj_mode(struct surface_obj *obj, int fd);
void surface_obj_reset_locks(void);

/* --- user.c: the caller's memory ------------------------------------------------------------ */

int user_read(void *dst, u64 src, size_t len);	      /* 0 or -EFAULT */
int user_write(u64 dst, const void *src, size_t len); /* 0 or -EFAULT */
/* A string of at most @max bytes, NUL included, malloc'ed. -EFAULT, -ENAMETOOLONG, -ENOMEM. */
int user_str(u64 src, size_t max, char **out);
/* The absolute path of the file that the path at @src names for the caller, malloc'ed. 0, -errno.
 */
int user_path(u64 src, char **out);
/* May @p be the address of @len bytes? Cheap: catches NULL and nonsense, not every hole. */
bool user_ok(u64 p, size_t len);

/* --- command.c, elem.c, batch.c: bpf(2) --------------------------------------------------------
 */

union surface_attr {
	union bpf_attr a;
	u8 bytes[SURFACE_ATTR_SIZE];
};

struct surface_cmd {
	int cmd;
	union surface_attr attr;
	u64 uattr; /* the caller's */
	u32 size;  /* of it */
};

/* bpf(2). Returns the result or -errno. */
long surface_bpf(int cmd, u64 uattr, u32 size);
/* Through the daemon. @obj: the map of element commands, else NULL. */
long surface_command(struct surface_cmd *c, const struct surface_obj *obj);
bool surface_cmd_is_elem(int cmd);
long surface_elem(struct surface_cmd *c);
/* 0, or -EPERM: the descriptor's mode, or a frozen map, forbids what @needs says. */
long surface_obj_allowed(struct surface_obj *obj, int fd, u32 needs);
long surface_batch(struct surface_cmd *c, struct surface_obj *obj, u32 mode);
/* Are all bytes of the attribute from @end on zero? */
bool surface_attr_ends(const struct surface_cmd *c, size_t end);

/* --- perf.c --------------------------------------------------------------------------------- */

#define SURFACE_PASS (-4096L) /* not ours: make the system call */

/* What the caller of libc gets: the answer, or that of the system call. */
#define PASS_OR(ret, pass)                                                                         \
	({                                                                                         \
		long _r = (ret);                                                                   \
		sys_ret(_r == SURFACE_PASS ? (long)(pass) : _r);                                   \
	})

long surface_perf_event_open(u64 uattr, s32 pid, s32 cpu, int group, u64 flags);
long surface_ioctl(int fd, u64 request, u64 arg);
long surface_perf_mmap(struct surface_obj *obj, void *addr, size_t len, int prot, int flags,
		       off_t off);

/* --- ring.c, wait.c ------------------------------------------------------------------------- */

long surface_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
/*
 * Look over the records that the reader is about to get. True when there is something to read.
 * Records whose lengths leave the ring are dropped, with one line to the person.
 */
bool surface_ring_ready(struct surface_obj *obj);
/* What a wait is for: EPOLLIN, or EPOLLOUT of a ring this process produces. */
u32 surface_ring_wants(const struct surface_obj *obj);
bool surface_is_ring(const struct surface_obj *obj);
/* @fd is a new ring of @meta: its pages are made, for all who will map them. */
void surface_ring_fill(int fd, const struct ebpf_map_meta *meta);

long surface_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
long surface_epoll_wait(int epfd, struct epoll_event *evs, int n, int timeout, const void *mask,
			size_t mask_size);
struct pollfd;
struct timespec;
long surface_ppoll(struct pollfd *fds, unsigned long n, const struct timespec *timeout,
		   const void *mask, size_t mask_size);
/* As pselect(2); @timeout is not written. */
long surface_select(int n, fd_set *read, fd_set *write, fd_set *except,
		    const struct timespec *timeout, const void *mask, size_t mask_size);
void surface_wait_forget(struct surface_obj *obj);
void surface_wait_forget_epfd(int epfd);

/* --- file.c ----------------------------------------------------------------------------------- */

/* Each returns SURFACE_PASS for names that are not ours, else the result or -errno. */
long surface_open(int dir, const char *path, int flags);
long surface_access(int dir, const char *path, int mode);
long surface_stat(int dir, const char *path, struct stat *st);
long surface_readlink(const char *path, char *buf, size_t size);
/*
 * /proc/mounts with a line for the pin directory when the host's has none: a descriptor, or
 * SURFACE_PASS.
 */
long surface_open_mounts(const char *path, int flags);

/* --- names.c: names below the pin directory ----------------------------------------------------
 */

struct surface_at {
	const char *path; /* where it is */
	bool ours;	  /* below the pin directory */
	char buf[4096];
};

/* Where does the name lie? The path for the kernel, which is @path or in @at->buf. */
const char *surface_lead(struct surface_at *at, int dir, const char *path);
/* Is it the pin directory itself; is its last part one that bpffs does not make? */
bool surface_at_root(const struct surface_at *at);
bool surface_at_dotted(const struct surface_at *at);
/* A path that the kernel told, in a buffer of PATH_MAX, as the program is to see it: its length. */
size_t surface_shown(char *path);
/* Has this process to do with the pin directory? Else nothing needs to be led back. */
bool surface_names_used(void);
bool surface_fd_below(int fd);
/* The working directory may have become one of ours by a descriptor. */
void surface_names_moved(void);
/* The program took names away: returns when the daemon has noticed. */
void surface_names_gone(void);
struct statfs;
void surface_magic(struct statfs *st);
/* The name of a pin that bpf(2) was given at @src, absolute and as it is shown, malloc'ed. */
int surface_pin_name(u64 src, char **out);
