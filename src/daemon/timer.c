/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_timer: keeps the time for all programs, and calls back (see core/run/timer.h for the model).
 *
 * Model: a started timer is an entry with a loop timer, found by map and place. It holds its
 * program; it goes when no client and no pin holds its map any more, as in the kernel. When its
 * time has come, and the value still says so, a job goes to the worker of its program: a forked
 * process that has its maps, made when there is the first job and ended when there was none for a
 * while. One job of a program at a time.
 *
 * Rules: a record is anybody's words: map, place, program and callback are checked against what we
 * know before and after the wait. A callback that does not end in WALL_NS is killed with its
 * worker.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "core/run/map/special.h"
#include "core/run/timer.h"
#include "daemon/daemon.h"
#include "daemon/runner.h"

#define BUCKETS 1024u
#define TIMERS_MAX 16384u
#define JOBS_MAX 1024u			   /* waiting for one worker */
#define WALL_NS (2ull * 1000000000)	   /* of one callback */
#define WORKER_IDLE_NS (5ull * 1000000000) /* without a job */
#define SWEEP_NS (1ull * 1000000000)	   /* between two looks for maps nobody has */

struct timers {
	struct daemon *d;
	struct list_head buckets[BUCKETS]; /* struct armed */
	u32 n;
	struct list_head workers;
	struct loop_timer sweep;
};

/* A timer that was started. */
struct armed {
	struct list_head node;
	struct loop_timer due;
	struct timers *all;
	struct ebpf_prog_obj *prog; /* referenced */
	u32 map;
	u32 pc;
	u64 value; /* offset of the timer in the map's memory */
	u64 state; /* its first word, if nobody has changed it since */
};

/* to the worker */
struct job {
	u32 pc;
	u32 map;   /* index into the program's maps */
	u64 value; /* as in struct armed */
};

struct queued {
	struct list_head node;
	struct job job;
};

struct worker {
	struct list_head node;
	struct timers *all;
	struct ebpf_prog_obj *prog; /* referenced */
	struct loop_child child;
	struct loop_source sock; /* a job goes out, a byte comes back */
	struct loop_timer wall, idle;
	struct list_head jobs; /* struct queued; the first is under way */
	u32 njobs;
	u32 participant;
};

/* --- in the worker --------------------------------------------------------------------------- */

/* The element may have gone since the job was sent. */
static void call_back(const struct ebpf_prog *prog, struct ebpf_map *map, const struct job *job,
		      const struct ebpf_env *env)
{
	struct ebpf_run run = {.kind = EBPF_RUN_TIMER, .env = env};
	void *key, *value;
	u64 args[3];
	u32 index;

	if (map->ops->elem_of(map, job->value, &index, &key, &value))
		return;
	args[0] = (u64)(uintptr_t)map;
	args[1] = (u64)(uintptr_t)key;
	args[2] = (u64)(uintptr_t)value;
	ebpf_prog_call(prog, job->pc, args, map->base + job->value, &run);
}

static void __attribute__((noreturn)) worker_main(struct worker *w, int sock)
{
	const struct ebpf_prog *prog = runner_init(w->all->d, w->prog, w->participant, ~0u);
	struct ebpf_env env;
	struct job job;

	/* what else the daemon has open is not ours to keep open */
	if (!prog || dup2(sock, 3) < 0 || syscall(SYS_close_range, 4, ~0u, 0))
		_exit(1);
	runner_env(w->all->d, &env);
	while (read(3, &job, sizeof(job)) == sizeof(job)) {
		call_back(prog, &w->prog->maps[job.map]->map, &job, &env);
		if (write(3, "", 1) != 1)
			break;
	}
	_exit(0);
}

/* --- workers --------------------------------------------------------------------------------- */

static void worker_free(struct worker *w)
{
	struct loop *loop = &w->all->d->loop;

	loop_timer_stop(loop, &w->wall);
	loop_timer_stop(loop, &w->idle);
	if (w->sock.fd >= 0) {
		int fd = w->sock.fd;

		loop_del(loop, &w->sock);
		close(fd);
	}
	loop_child_kill(loop, &w->child);
	participant_dead(w->all->d, w->participant);
	for (u32 i = 0; i < w->prog->nmaps; i++)
		ebpf_map_reap(&w->prog->maps[i]->map);
	while (!list_empty(&w->jobs)) {
		struct queued *q = list_entry(w->jobs.next, struct queued, node);

		list_del_init(&q->node);
		free(q);
	}
	list_del_init(&w->node);
	ebpf_obj_put(&w->prog->obj);
	free(w);
}

static void worker_over(struct worker *w, const char *how)
{
	struct daemon *d = w->all->d;

	if (w->njobs)
		log_line("a timer's callback of program %u %s; %u more were dropped",
			 w->prog->obj.id, how, w->njobs - 1);
	worker_free(w);
	daemon_check_idle(d);
}

static void on_worker_end(struct loop_child *c, int status)
{
	worker_over(container_of(c, struct worker, child), "ended with its process");
}

static void on_overdue(struct loop_timer *t)
{
	worker_over(container_of(t, struct worker, wall), "did not end");
}

static void on_idle(struct loop_timer *t)
{
	worker_over(container_of(t, struct worker, idle), "");
}

static void send_next(struct worker *w)
{
	struct loop *loop = &w->all->d->loop;
	struct queued *q;

	loop_timer_stop(loop, &w->wall);
	if (list_empty(&w->jobs)) {
		loop_timer_arm(loop, &w->idle, WORKER_IDLE_NS);
		return;
	}
	loop_timer_stop(loop, &w->idle);
	q = list_entry(w->jobs.next, struct queued, node);
	/* one at a time: there is room for it; when the worker has gone we hear of that */
	if (send(w->sock.fd, &q->job, sizeof(q->job), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		loop_timer_arm(loop, &w->wall, WALL_NS);
}

static void on_done(struct loop_source *s, u32 events)
{
	struct worker *w = container_of(s, struct worker, sock);
	struct queued *q;
	char byte;

	if (recv(s->fd, &byte, 1, MSG_DONTWAIT) != 1) {
		/* its end comes by the other way */
		if (events & EPOLLHUP)
			loop_mod(&w->all->d->loop, s, 0);
		return;
	}
	if (list_empty(&w->jobs))
		return;
	q = list_entry(w->jobs.next, struct queued, node);
	list_del_init(&q->node);
	free(q);
	w->njobs--;
	send_next(w);
}

static int worker_fork(struct worker *w)
{
	struct loop *loop = &w->all->d->loop;
	int sv[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -errno;
	pid = fork();
	if (!pid)
		worker_main(w, sv[1]);
	close(sv[1]);
	err = pid < 0 ? -errno : loop_child_watch(loop, &w->child, pid);
	if (!err)
		err = loop_add(loop, &w->sock, sv[0], EPOLLIN);
	if (err) {
		w->sock.fd = -1;
		close(sv[0]);
	}
	return err;
}

static struct worker *worker_of(struct timers *all, struct ebpf_prog_obj *prog)
{
	struct worker *w;

	list_for_each_entry (w, &all->workers, node)
		if (w->prog == prog)
			return w;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->all = all;
	w->prog = ebpf_obj_prog(ebpf_obj_get(&prog->obj));
	w->sock.fd = -1;
	w->sock.fn = on_done;
	w->child.fn = on_worker_end;
	loop_timer_init(&w->wall, on_overdue);
	loop_timer_init(&w->idle, on_idle);
	list_init(&w->jobs);
	list_add_tail(&w->node, &all->workers);
	w->participant = participant_new(all->d);
	if (!worker_fork(w))
		return w;
	worker_free(w);
	return NULL;
}

static bool give(struct timers *all, struct ebpf_prog_obj *prog, const struct job *job)
{
	struct worker *w = worker_of(all, prog);
	struct queued *q = w && w->njobs < JOBS_MAX ? calloc(1, sizeof(*q)) : NULL;

	if (!q)
		return false;
	q->job = *job;
	list_add_tail(&q->node, &w->jobs);
	if (!w->njobs++)
		send_next(w);
	return true;
}

/* --- timers ---------------------------------------------------------------------------------- */

static struct list_head *bucket(struct timers *all, u32 map, u64 value)
{
	return &all->buckets[hash_u64(value, map) >> 32 & (BUCKETS - 1)];
}

static struct armed *find(struct timers *all, u32 map, u64 value)
{
	struct armed *a;

	list_for_each_entry (a, bucket(all, map, value), node)
		if (a->map == map && a->value == value)
			return a;
	return NULL;
}

static void disarm(struct armed *a)
{
	loop_timer_stop(&a->all->d->loop, &a->due);
	list_del_init(&a->node);
	a->all->n--;
	ebpf_obj_put(&a->prog->obj);
	free(a);
}

/* The map's index among the program's, when the program may be called at @pc for its values. */
static int callback_map(const struct ebpf_prog_obj *prog, u32 pc, u32 map)
{
	const struct ebpf_image *img = (const struct ebpf_image *)prog->image;

	for (u32 i = 0; img && i < img->ntimers; i++) {
		const struct ebpf_image_timer *t = &ebpf_image_timers(img)[i];

		if (t->pc == pc && t->map < prog->nmaps && prog->maps[t->map]->obj.id == map)
			return (int)t->map;
	}
	return -ENOENT;
}

/* The timer's words at @value of @map, or NULL when no element has them there. */
static u64 *timer_at(struct timers *all, u32 id, u64 value)
{
	struct ebpf_obj *o = ebpf_obj_by_id(&all->d->table, EBPF_OBJ_MAP, id);
	struct ebpf_map *map = o && o->urefs ? &ebpf_obj_map(o)->map : NULL;
	void *key, *start;
	u64 *timer;
	u32 index;

	if (!map || !map->meta.timer_at || !map->ops->elem_of ||
	    map->ops->elem_of(map, value, &index, &key, &start))
		return NULL;
	timer = ebpf_value_timer(map, start);
	return (u8 *)timer == map->base + value ? timer : NULL;
}

static void on_due(struct loop_timer *t)
{
	struct armed *a = container_of(t, struct armed, due);
	struct timers *all = a->all;
	int map = callback_map(a->prog, a->pc, a->map);
	struct job job = {.pc = a->pc, .map = (u32)map, .value = a->value};
	u64 *timer = timer_at(all, a->map, a->value), state = a->state;

	if (map >= 0 && timer &&
	    __atomic_compare_exchange_n(timer, &state, state & ~EBPF_TIMER_RUNS, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED) &&
	    !give(all, a->prog, &job))
		log_line("a timer of program %u came while %u of its callbacks wait: dropped",
			 a->prog->obj.id, JOBS_MAX);
	disarm(a);
}

static u64 now_on(u64 clock)
{
	static const clockid_t ids[] = {[EBPF_TIMER_MONOTONIC] = CLOCK_MONOTONIC,
					[EBPF_TIMER_REALTIME] = CLOCK_REALTIME,
					[EBPF_TIMER_BOOT] = CLOCK_BOOTTIME};
	struct timespec ts;

	clock_gettime(ids[clock], &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

static u64 time_left(const struct ebpf_timer_rec *r, u64 ts)
{
	u64 clock = r->state & EBPF_TIMER_CLOCK, now = osl_now_ns(), passed;

	passed = r->absolute ? now_on(clock) : ts < now ? now - ts : 0;
	return r->nsecs > passed ? r->nsecs - passed : 0;
}

static struct armed *arm(struct timers *all, const struct ebpf_timer_rec *r,
			 struct ebpf_prog_obj *prog)
{
	struct armed *a = all->n < TIMERS_MAX ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return NULL;
	a->all = all;
	a->map = r->map;
	a->value = r->value;
	a->prog = ebpf_obj_prog(ebpf_obj_get(&prog->obj));
	loop_timer_init(&a->due, on_due);
	list_add_tail(&a->node, bucket(all, r->map, r->value));
	if (!all->n++)
		loop_timer_arm(&all->d->loop, &all->sweep, SWEEP_NS);
	return a;
}

static struct ebpf_prog_obj *callback_prog(struct timers *all, const struct ebpf_timer_rec *r)
{
	struct ebpf_obj *o = ebpf_obj_by_id(&all->d->table, EBPF_OBJ_PROG, r->prog);

	return o && callback_map(ebpf_obj_prog(o), r->pc, r->map) >= 0 ? ebpf_obj_prog(o) : NULL;
}

void timers_record(struct daemon *d, u64 ts, const void *data, u32 len)
{
	struct timers *all = d->timers;
	struct ebpf_prog_obj *prog;
	struct ebpf_timer_rec r;
	struct armed *a;

	if (len < sizeof(r))
		return;
	memcpy(&r, data, sizeof(r));
	prog = callback_prog(all, &r);
	if (!prog || !(r.state & EBPF_TIMER_CLOCK)) {
		log_line("a timer of map %u was started with what is no callback of program %u",
			 r.map, r.prog);
		return;
	}
	/* its element may have gone meanwhile, and the timer with it */
	if (!timer_at(all, r.map, r.value))
		return;
	a = find(all, r.map, r.value);
	if (a && a->prog != prog) {
		disarm(a);
		a = NULL;
	}
	if (!a)
		a = arm(all, &r, prog);
	if (!a) {
		log_line("a timer of program %u can't be kept: there are %u", r.prog, all->n);
		return;
	}
	a->pc = r.pc;
	a->state = r.state;
	loop_timer_stop(&d->loop, &a->due);
	loop_timer_arm(&d->loop, &a->due, time_left(&r, ts));
}

/* Timers of maps that only programs hold are none. */
static void on_sweep(struct loop_timer *t)
{
	struct timers *all = container_of(t, struct timers, sweep);
	struct armed *a, *next;

	for (u32 i = 0; i < BUCKETS; i++)
		list_for_each_entry_safe (a, next, &all->buckets[i], node)
			if (!timer_at(all, a->map, a->value))
				disarm(a);
	if (all->n)
		loop_timer_arm(&all->d->loop, &all->sweep, SWEEP_NS);
	else
		daemon_check_idle(all->d);
}

int timers_start(struct daemon *d)
{
	struct timers *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->d = d;
	for (u32 i = 0; i < BUCKETS; i++)
		list_init(&all->buckets[i]);
	list_init(&all->workers);
	loop_timer_init(&all->sweep, on_sweep);
	d->timers = all;
	return 0;
}

void timers_stop(struct daemon *d)
{
	struct timers *all = d->timers;

	if (!all)
		return;
	for (u32 i = 0; i < BUCKETS; i++)
		while (!list_empty(&all->buckets[i]))
			disarm(list_entry(all->buckets[i].next, struct armed, node));
	while (!list_empty(&all->workers))
		worker_free(list_entry(all->workers.next, struct worker, node));
	loop_timer_stop(&d->loop, &all->sweep);
	free(all);
	d->timers = NULL;
}
