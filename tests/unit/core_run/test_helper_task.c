/* SPDX-License-Identifier: BSD-2-Clause */
/* Identity, clocks and the hit. */
#include "helper_fake.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

TestSuite(helper_task, .init = fake_start);

Test(helper_task, ids)
{
	cr_assert_eq(CALL(get_current_pid_tgid, 0), (s64)((u64)getpid() << 32 | (u64)gettid()));
	cr_assert_eq(CALL(get_current_uid_gid, 0), (s64)((u64)getgid() << 32 | getuid()));
	cr_assert_lt(CALL(get_smp_processor_id, 0), osl_nr_cpus());
	cr_assert_geq(CALL(get_numa_node_id, 0), 0);
	cr_assert_eq(CALL(get_current_cgroup_id, 0), (s64)osl_cgroup_id());
}

Test(helper_task, namespace)
{
	struct bpf_pidns_info info = {1, 1};
	struct stat st;

	cr_assert_eq(stat("/proc/self/ns/pid", &st), 0);
	cr_assert_eq(CALL(get_ns_current_pid_tgid, st.st_dev, st.st_ino, &info, sizeof(info)), 0);
	cr_assert(info.pid == (u32)gettid() && info.tgid == (u32)getpid());
	cr_assert_eq(CALL(get_ns_current_pid_tgid, st.st_dev, st.st_ino + 1, &info, sizeof(info)),
		     -EINVAL);
	cr_assert(!info.pid && !info.tgid);
	cr_assert_eq(CALL(get_ns_current_pid_tgid, st.st_dev, st.st_ino, &info, 4), -EINVAL);
	cr_assert_eq(CALL(get_ns_current_pid_tgid, st.st_dev, st.st_ino, bad[1], sizeof(info)),
		     -EFAULT);
}

Test(helper_task, comm)
{
	char buf[24], zero[24] = "";

	prctl(PR_SET_NAME, "fifteen-letters");
	memset(buf, 0xee, sizeof(buf));
	cr_assert_eq(CALL(get_current_comm, buf, 16), 0);
	cr_assert_str_eq(buf, "fifteen-letters");
	cr_assert_eq((u8)buf[16], 0xee);
	cr_assert_eq(CALL(get_current_comm, buf, 24), 0);
	cr_assert_eq(memcmp(buf + 16, zero, 8), 0);
	memset(buf, 0xee, sizeof(buf));
	cr_assert_eq(CALL(get_current_comm, buf, 4), 0);
	cr_assert_str_eq(buf, "fif");
	cr_assert_eq((u8)buf[4], 0xee);
	cr_assert_eq(CALL(get_current_comm, buf, 0), -EINVAL);
	cr_assert_eq(CALL(get_current_comm, buf, -1), -EINVAL);
	cr_assert_eq(CALL(get_current_comm, bad[1], 16), -EFAULT);
}

Test(helper_task, clocks_advance)
{
	struct timespec ts;
	u64 a = (u64)CALL(ktime_get_ns, 0);

	clock_gettime(CLOCK_MONOTONIC, &ts);
	cr_assert_leq(a, (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec);
	cr_assert_geq((u64)CALL(ktime_get_boot_ns, 0), a);
	cr_assert_leq((u64)CALL(ktime_get_coarse_ns, 0), osl_ktime_ns());
	cr_assert_gt((u64)CALL(ktime_get_tai_ns, 0), 1600000000ull * 1000000000);
	a = (u64)CALL(jiffies64, 0);
	cr_assert_geq((u64)CALL(jiffies64, 0), a);
}

Test(helper_task, hit)
{
	run.cookie = 11;
	run.func_ip = 22;
	run.retval = -33;
	cr_assert_eq(CALL(get_attach_cookie, 0), 11);
	cr_assert_eq(CALL(get_func_ip, 0), 22);
	run.kind = EBPF_RUN_UPROBE;
	cr_assert_eq(CALL(get_retval, 0), -EOPNOTSUPP);
	run.kind = EBPF_RUN_URETPROBE;
	cr_assert_eq(CALL(get_retval, 0), -33);
}

Test(helper_task, vectors)
{
	const u64 words[16] = {1, 2, [14] = 3, 4};

	run.vectors = NULL;
	cr_assert_eq(ebpf_k_vector(0, 0, 0, 0, 0, &run), 0, "nobody knows them");
	run.vectors = words;
	cr_assert_eq(ebpf_k_vector(0, 0, 0, 0, 0, &run), 1);
	cr_assert_eq(ebpf_k_vector(0, 1, 0, 0, 0, &run), 2);
	cr_assert_eq(ebpf_k_vector(7, 0, 0, 0, 0, &run), 3);
	cr_assert_eq(ebpf_k_vector(7, 1, 0, 0, 0, &run), 4);
	cr_assert_eq(ebpf_k_vector(8, 0, 0, 0, 0, &run), 0, "and there are no more");
	cr_assert_eq(ebpf_k_vector(0, 2, 0, 0, 0, &run), 0);
	cr_assert_eq(ebpf_k_vector(UINT64_MAX, 0, 0, 0, 0, &run), 0);
}

/* The words of the call are the context of a typed program; others have none. */
Test(helper_task, words_of_a_call)
{
	u64 words[EBPF_IMAGE_WORDS] = {10, 20, 30}, v = 1;
	struct ebpf_image image = {.flags = EBPF_IMAGE_TYPED, .nargs = 2, .nwords = 3};
	struct ebpf_prog prog = {.image = &image};

	run.prog = &prog;
	run.ctx = words;
	cr_assert_eq(CALL(get_func_arg_cnt, words), 2);
	cr_assert_eq(CALL(get_func_arg, words, 1, &v), 0);
	cr_assert_eq(v, 20);
	cr_assert_eq(CALL(get_func_arg, words, 2, &v), -EINVAL);
	cr_assert_eq(CALL(get_func_arg, words, 1ull << 32, &v), -EINVAL);
	cr_assert_eq(CALL(get_func_arg, words, 0, 8), -EFAULT);
	cr_assert_eq(CALL(get_func_ret, words, &v), -EOPNOTSUPP);
	image.flags |= EBPF_IMAGE_AT_EXIT;
	cr_assert_eq(CALL(get_func_ret, words, &v), 0);
	cr_assert_eq(v, 30);
	cr_assert_eq(CALL(get_func_ret, words, 8), -EFAULT);
	image.flags = 0;
	cr_assert_eq(CALL(get_func_arg, words, 0, &v), -EINVAL);
	cr_assert_eq(CALL(get_func_ret, words, &v), -EOPNOTSUPP);
	cr_assert_eq(CALL(get_func_arg_cnt, words), -EINVAL);
}
