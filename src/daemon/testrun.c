/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF_PROG_TEST_RUN: the program runs in a forked worker with a limit on CPU time, on the maps as
 * they are; result, context and data come back through a shared page range.
 *
 * The worker is a participant of its own, so that a lock it dies with is taken over.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/run/prog.h"
#include "daemon/daemon.h"
#include "daemon/runner.h"

#define CPU_LIMIT_S 10
#define WALL_LIMIT_NS (20ull * 1000000000)
#define CTX_MAX 65536u /* no program can reach beyond (verify_ctx.c) */
#define CTX_MIN 512u   /* what a program may look at when no context was given */
#define DATA_MAX (1u << 20)
#define REPEAT_MAX 100000000u
#define ETH_HLEN 14u

/* Addresses of packets are 32 bits in a context. */
#ifdef MAP_32BIT
#define MAP_LOW MAP_32BIT
#else
#define MAP_LOW 0
#endif

/* shared with the worker */
struct result {
	u32 done;
	u32 retval;
	u64 duration_ns; /* of one run */
	s32 err;
	u8 ctx[CTX_MAX];
	u8 data[];
};

struct worker {
	struct loop_child child;
	struct loop_timer wall;
	struct daemon *d;
	struct ebpf_call *call;
	struct ebpf_prog_obj *prog; /* referenced */
	struct result *result;
	size_t size;
	u32 participant;
	u32 data_len;
};

/* --- in the worker --------------------------------------------------------------------------- */

static void run_all(struct worker *w, const struct ebpf_prog *prog, u32 repeat)
{
	struct ebpf_env env;
	u64 start = osl_ktime_ns();

	runner_env(w->d, &env);
	for (u32 i = 0; i < repeat; i++) {
		struct ebpf_run run = {.kind = EBPF_RUN_TEST, .env = &env};

		w->result->retval = ebpf_prog_run(prog, w->result->ctx, &run);
	}
	w->result->duration_ns = (osl_ktime_ns() - start) / repeat;
}

static void __attribute__((noreturn)) worker_main(struct worker *w, u32 repeat)
{
	struct rlimit cpu = {CPU_LIMIT_S, CPU_LIMIT_S + 1};
	const struct ebpf_prog *prog;

	setrlimit(RLIMIT_CPU, &cpu);
	prog = runner_init(w->d, w->prog, w->participant, CTX_MAX);
	if (!prog) {
		w->result->err = -ENOMEM;
		_exit(1);
	}
	run_all(w, prog, repeat);
	store_release(&w->result->done, 1);
	_exit(0);
}

/* --- in the daemon --------------------------------------------------------------------------- */

static void worker_free(struct worker *w)
{
	loop_timer_stop(&w->d->loop, &w->wall);
	loop_child_kill(&w->d->loop, &w->child);
	participant_dead(w->d, w->participant);
	for (u32 i = 0; w->prog && i < w->prog->nmaps; i++)
		ebpf_map_reap(&w->prog->maps[i]->map);
	if (w->prog)
		ebpf_obj_put(&w->prog->obj);
	if (w->result)
		munmap(w->result, w->size);
	free(w);
}

static int copy_out(struct ebpf_call *call, u32 key, u64 ptr, u32 room, const void *data, u32 len)
{
	void *out;

	if (!ptr || !room)
		return 0;
	out = ebpf_call_out(call, key, MIN(len, room));
	if (!out)
		return -EFAULT;
	memcpy(out, data, MIN(len, room));
	return len > room ? -ENOSPC : 0;
}

static bool takes_data(u32 type)
{
	return type == BPF_PROG_TYPE_SOCKET_FILTER || type == BPF_PROG_TYPE_SCHED_CLS ||
	       type == BPF_PROG_TYPE_SCHED_ACT || type == BPF_PROG_TYPE_XDP ||
	       type == BPF_PROG_TYPE_CGROUP_SKB;
}

/* Where the pointers to a packet are in the context. */
struct packet_fields {
	u32 data, data_end, data_meta;
};

static bool packet_fields(u32 type, struct packet_fields *f)
{
	if (type == BPF_PROG_TYPE_XDP)
		*f = (struct packet_fields){offsetof(struct xdp_md, data),
					    offsetof(struct xdp_md, data_end),
					    offsetof(struct xdp_md, data_meta)};
	else
		*f = (struct packet_fields){offsetof(struct __sk_buff, data),
					    offsetof(struct __sk_buff, data_end),
					    offsetof(struct __sk_buff, data_meta)};
	return takes_data(type);
}

static void set_packet(struct worker *w, u32 data, u32 end)
{
	struct packet_fields f;

	if (!packet_fields(w->prog->type, &f))
		return;
	memcpy(w->result->ctx + f.data, &data, sizeof(data));
	memcpy(w->result->ctx + f.data_meta, &data, sizeof(data));
	memcpy(w->result->ctx + f.data_end, &end, sizeof(end));
}

/*
 * The program follows the context's pointers to the packet: they are ours, whatever the caller
 * gave. A packet that has no address of 32 bits is empty.
 */
static void point_to_packet(struct worker *w)
{
	u64 data = (u64)(uintptr_t)w->result->data;

	if (data + w->data_len > UINT32_MAX)
		set_packet(w, 0, 0);
	else
		set_packet(w, (u32)data, (u32)data + w->data_len);
}

static int deliver(struct worker *w)
{
	union bpf_attr *a = &w->call->attr;
	u32 ctx_len = a->test.ctx_size_in ? a->test.ctx_size_in : a->test.ctx_size_out;
	u32 data_room = a->test.data_size_out, ctx_room = a->test.ctx_size_out;
	int err;

	set_packet(w, 0, 0);
	ctx_len = MIN(ctx_len, CTX_MAX);
	a->test.retval = w->result->retval;
	a->test.duration = MIN(w->result->duration_ns, (u64)UINT32_MAX);
	a->test.data_size_out = w->data_len;
	a->test.ctx_size_out = ctx_room ? MIN(ctx_len, ctx_room) : 0;
	err = copy_out(w->call, EBPF_KEY(test.ctx_out), a->test.ctx_out, ctx_room, w->result->ctx,
		       MIN(ctx_len, ctx_room));
	if (!err)
		err = copy_out(w->call, EBPF_KEY(test.data_out), a->test.data_out, data_room,
			       w->result->data, w->data_len);
	return err;
}

static void worker_done(struct loop_child *c, int status)
{
	struct worker *w = container_of(c, struct worker, child);
	struct ebpf_call *call = w->call;
	int err = w->result->err;

	if (load_acquire(&w->result->done)) {
		err = deliver(w);
	} else if (!err) {
		err = -EINTR;
		ebpf_call_why(call,
			      "the program did not end within %d s of CPU time or crashed (status "
			      "%#x)",
			      CPU_LIMIT_S, status);
	}
	worker_free(w);
	bpf_done(call, err);
}

static void worker_overdue(struct loop_timer *t)
{
	kill(container_of(t, struct worker, wall)->child.pid, SIGKILL);
}

static int fill_input(struct worker *w)
{
	union bpf_attr *a = &w->call->attr;
	const void *in;

	if (a->test.ctx_size_in) {
		in = ebpf_call_in(w->call, EBPF_KEY(test.ctx_in), a->test.ctx_size_in);
		if (!in)
			return -EFAULT;
		memcpy(w->result->ctx, in, a->test.ctx_size_in);
	}
	if (a->test.data_size_in) {
		in = ebpf_call_in(w->call, EBPF_KEY(test.data_in), a->test.data_size_in);
		if (!in)
			return -EFAULT;
		memcpy(w->result->data, in, a->test.data_size_in);
		w->data_len = a->test.data_size_in;
	}
	/* the first word of struct __sk_buff is the length */
	if (takes_data(w->prog->type) && w->prog->type != BPF_PROG_TYPE_XDP)
		memcpy(w->result->ctx, &w->data_len, sizeof(w->data_len));
	point_to_packet(w);
	return 0;
}

/* The most that is given as a context where that is all there is; 0: contexts are longer. */
static u32 context_limit(u32 type)
{
	switch (type) {
	case BPF_PROG_TYPE_SYSCALL:
		return UINT16_MAX;
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
		return 12 * sizeof(u64);
	default:
		return 0;
	}
}

/* It has to hold what the program looks at then. */
static int check_context(const union bpf_attr *a, const struct ebpf_prog_obj *prog)
{
	const struct ebpf_image *img = (const struct ebpf_image *)prog->image;
	u32 limit = context_limit(prog->type);

	if (limit && (a->test.ctx_size_in < img->ctx_size || a->test.ctx_size_in > limit))
		return -EINVAL;
	return img->ctx_size > CTX_MAX ? -EINVAL : 0;
}

static int check_input(const union bpf_attr *a, u32 type)
{
	if (a->test.ctx_size_in > CTX_MAX || a->test.data_size_in > DATA_MAX ||
	    a->test.repeat > REPEAT_MAX)
		return -E2BIG;
	if (takes_data(type) && a->test.data_size_in < ETH_HLEN)
		return -EINVAL;
	if (!takes_data(type) && (a->test.data_in || a->test.data_out || a->test.data_size_in))
		return -EINVAL;
	return 0;
}

static struct worker *worker_new(struct ebpf_call *call, struct ebpf_prog_obj *prog)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->d = call->table->cookie;
	w->call = call;
	w->prog = ebpf_obj_prog(ebpf_obj_get(&prog->obj));
	loop_timer_init(&w->wall, worker_overdue);
	w->child.fn = worker_done;
	w->participant = participant_new(w->d);
	w->size = sizeof(*w->result) + MAX(call->attr.test.data_size_in, CTX_MIN);
	w->result = mmap(NULL, w->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_LOW, -1, 0);
	if (w->result == MAP_FAILED) {
		w->result = NULL;
		worker_free(w);
		return NULL;
	}
	return w;
}

int testrun_start(struct ebpf_call *call, struct ebpf_prog_obj *prog)
{
	u32 repeat = call->attr.test.repeat ? call->attr.test.repeat : 1;
	int err = check_context(&call->attr, prog);
	struct worker *w;
	pid_t pid;

	err = err ? err : check_input(&call->attr, prog->type);
	if (err)
		return err;
	w = worker_new(call, prog);
	if (!w)
		return -ENOMEM;
	err = fill_input(w);
	if (err)
		goto fail;
	pid = fork();
	if (!pid)
		worker_main(w, repeat);
	err = pid < 0 ? -errno : loop_child_watch(&w->d->loop, &w->child, pid);
	if (err)
		goto fail;
	loop_timer_arm(&w->d->loop, &w->wall, WALL_LIMIT_NS);
	return EBPF_LATER;
fail:
	worker_free(w);
	return err;
}
