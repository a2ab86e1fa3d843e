/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatted output: into memory of the program, or as a record of the trace map. A line that finds
 * no room there is counted.
 */
#include "core/run/format.h"
#include "core/run/helper_impl.h"
#include "core/run/map/ringbuf.h"
#include "core/run/trace.h"

struct job {
	char fmt[EBPF_FORMAT_MAX];
	u64 args[EBPF_FORMAT_ARGS];
};

/* Copy a format of at most @size bytes and check it. 0 or -errno. */
static int take_format(struct job *job, u64 fmt, u64 size, u32 nargs)
{
	u64 room = MIN(size, sizeof(job->fmt));
	s64 n;

	if (!size)
		return -EINVAL;
	n = osl_read_str(job->fmt, (const char *)fmt, room);
	if (n < 0)
		return (int)n;
	if ((u64)n == room) {
		char last;

		/* was the last byte the NUL or was it cut? */
		if (osl_read(&last, (const char *)fmt + n - 1, 1) || last)
			return room < size ? -E2BIG : -EINVAL;
	}
	return ebpf_format_check(job->fmt, nargs);
}

static int take_args(struct job *job, u64 data, u64 len)
{
	if (len % 8 || len > sizeof(job->args) || (len && !data))
		return -EINVAL;
	return osl_read(job->args, (const void *)data, len);
}

static void drop(const struct ebpf_env *env)
{
	if (env && env->trace_dropped)
		__atomic_fetch_add(env->trace_dropped, 1, __ATOMIC_RELAXED);
}

static void emit(const struct ebpf_env *env, const char *text, u32 len)
{
	struct ebpf_trace_rec *rec = NULL;

	if (env && env->trace)
		rec = ebpf_ringbuf_reserve(env->trace, sizeof(*rec) + len, 0);
	if (!rec)
		return drop(env);
	rec->ts = osl_ktime_ns();
	rec->tgid = osl_tgid();
	rec->tid = osl_tid();
	rec->cpu = osl_cpu();
	rec->len = len;
	osl_comm(rec->comm);
	__builtin_memcpy(rec->text, text, len);
	ebpf_ringbuf_submit(env->trace, rec, 0);
}

static __noinline u64 print(const struct job *job, struct ebpf_run *run)
{
	char text[EBPF_TRACE_TEXT_MAX];
	u32 len = ebpf_format(text, sizeof(text), job->fmt, job->args);

	emit(run->env, text, MIN(len, sizeof(text) - 1));
	return len;
}

EBPF_HELPER(trace_printk)
{
	struct job job;
	int err = take_format(&job, r1, (u32)r2, 3);

	if (err)
		return (u64)(s64)err;
	job.args[0] = r3;
	job.args[1] = r4;
	job.args[2] = r5;
	return print(&job, run);
}

EBPF_HELPER(trace_vprintk)
{
	struct job job;
	int err = take_args(&job, r3, (u32)r4);

	if (!err)
		err = take_format(&job, r1, (u32)r2, (u32)r4 / 8);
	return err ? (u64)(s64)err : print(&job, run);
}

/* -ENOSPC, as in the kernel, when the text does not fit the buffer it is made in. */
static __noinline s64 print_to(const struct job *job, u64 dst, u64 size)
{
	char text[EBPF_TRACE_TEXT_MAX];
	u32 cap = (u32)MIN(size, sizeof(text));
	u32 len = ebpf_format(text, cap, job->fmt, job->args);

	if (size > sizeof(text) && len >= sizeof(text))
		return -ENOSPC;
	if (cap && osl_write((void *)dst, text, MIN(len + 1, cap)))
		return -EFAULT;
	return (s64)len + 1;
}

EBPF_HELPER(snprintf)
{
	struct job job;
	int err;

	if ((u32)r2 > EBPF_MAX_SIZE)
		return (u64)-EINVAL;
	err = take_args(&job, r4, (u32)r5);
	if (!err)
		err = take_format(&job, r3, EBPF_MAX_SIZE, (u32)r5 / 8);
	return err ? (u64)(s64)err : (u64)print_to(&job, r1, (u32)r2);
}
