/* SPDX-License-Identifier: BSD-2-Clause */
/* Who and where: the thread, the CPU, and the hit that runs the program. */
#include "core/run/helper_impl.h"

EBPF_HELPER(get_prandom_u32)
{
	return osl_random();
}

EBPF_HELPER(get_smp_processor_id)
{
	return osl_cpu();
}

EBPF_HELPER(get_numa_node_id)
{
	return osl_numa_node();
}

EBPF_HELPER(get_current_pid_tgid)
{
	return (u64)osl_tgid() << 32 | osl_tid();
}

/* Only the namespace the thread lives in can be asked for: its numbers are the ones we have. */
EBPF_HELPER(get_ns_current_pid_tgid)
{
	struct bpf_pidns_info info = {0};
	s64 err = -EINVAL;

	if (r4 == sizeof(info) && osl_pidns_is(r1, r2)) {
		info.pid = osl_tid();
		info.tgid = osl_tgid();
		err = 0;
	}
	if (r4 > EBPF_MAX_SIZE)
		return (u64)-EINVAL;
	if (osl_zero((void *)r3, r4) || (!err && osl_write((void *)r3, &info, sizeof(info))))
		return (u64)-EFAULT;
	return (u64)err;
}

EBPF_HELPER(get_current_uid_gid)
{
	return osl_uid_gid();
}

EBPF_HELPER(get_current_comm)
{
	char comm[OSL_COMM_LEN];
	u64 n = MIN(r2, sizeof(comm));

	if (!r2 || r2 > EBPF_MAX_SIZE)
		return (u64)-EINVAL;
	osl_comm(comm);
	comm[n - 1] = 0;
	if (osl_write((void *)r1, comm, n) || osl_zero((void *)(r1 + n), r2 - n))
		return (u64)-EFAULT;
	return 0;
}

EBPF_HELPER(get_current_cgroup_id)
{
	return osl_cgroup_id();
}

EBPF_HELPER(get_attach_cookie)
{
	return run->cookie;
}

EBPF_HELPER(get_func_ip)
{
	return run->func_ip;
}

/* The words of the call that a typed program is told of. */
static const u64 *words_of(const struct ebpf_run *run)
{
	return run->prog->image->flags & EBPF_IMAGE_TYPED ? run->ctx : NULL;
}

EBPF_HELPER(get_func_arg)
{
	const u64 *words = words_of(run);

	if (!words || r2 >= MIN(run->prog->image->nargs, EBPF_IMAGE_ARGS))
		return (u64)-EINVAL;
	return osl_write((void *)r3, &words[r2], sizeof(u64)) ? (u64)-EFAULT : 0;
}

EBPF_HELPER(get_func_ret)
{
	const u64 *words = words_of(run);

	if (!words || !(run->prog->image->flags & EBPF_IMAGE_AT_EXIT))
		return (u64)-EOPNOTSUPP;
	words += MIN(run->prog->image->nargs, EBPF_IMAGE_ARGS);
	return osl_write((void *)r2, words, sizeof(u64)) ? (u64)-EFAULT : 0;
}

EBPF_HELPER(get_func_arg_cnt)
{
	return words_of(run) ? run->prog->image->nargs : (u64)-EINVAL;
}

EBPF_HELPER(get_retval)
{
	return run->kind == EBPF_RUN_URETPROBE ? (u64)run->retval : (u64)-EOPNOTSUPP;
}

EBPF_KFUNC(left)
{
	return run->kind == EBPF_RUN_URETPROBE ? run->left : (u64)-EINVAL;
}

/* Programs that aren't a session's don't get here: the verifier sees to it. */
EBPF_KFUNC(session_is_return)
{
	return !!run->is_return;
}

EBPF_KFUNC(target)
{
	const u64 args[] = {r1, r2, r3, r4, r5};

	if (run->env->call)
		return run->env->call(run, args);
	ebpf_run_leave(run);
	return 0;
}

/* Of those that pass values, where they are known: else the program isn't run, or 0 is theirs. */
EBPF_KFUNC(vector)
{
	const u32 n = (u32)r1, half = (u32)r2;

	return run->vectors && n < 8 && half < 2 ? run->vectors[2 * n + half] : 0;
}

EBPF_KFUNC(session_cookie)
{
	return (u64)&run->session_cookie;
}
