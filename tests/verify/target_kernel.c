/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What may be read through a typed pointer, beside the kernel: its own types are the target. There
 * a program of the kernel's gets its task by a helper, one of ours as the argument of a function of
 * the kernel's. What they read from there on, at random places of the structure and of those it
 * leads to, is accepted or refused by ours as by the kernel, with the same words.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/load/target.h"
#include "core/load/verify_btf.h"
#include "tests/verify/verify.h"

#define LOG_SIZE (64u << 10)
#define ROUNDS 1000u

static struct {
	u8 *data;
	u32 size;
	struct ebpf_btf btf;
} vmlinux;

static bool read_types(void)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	struct ebpf_vbtf in;

	vmlinux.data = size > 0 ? malloc((size_t)size) : NULL;
	if (!vmlinux.data)
		return false;
	for (ssize_t n = 1, at = 0; n > 0 && at < size; at += n) {
		n = pread(fd, vmlinux.data + at, (size_t)(size - at), at);
		vmlinux.size = (u32)at + (u32)n;
	}
	close(fd);
	in = (struct ebpf_vbtf){vmlinux.data, vmlinux.size};
	return !ebpf_btf_open(&vmlinux.btf, &in);
}

static u32 function(const char *name)
{
	struct ebpf_btf_type t;

	for (u32 id = 1; id <= vmlinux.btf.ntypes; id++)
		if (ebpf_btf_type(&vmlinux.btf, id, &t) && t.kind == BTF_KIND_FUNC &&
		    !strcmp(t.name, name))
			return id;
	return 0;
}

static int kernel_says(const struct bpf_insn *insns, u32 n, char *log)
{
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE,
			    .insns = (u64)(uintptr_t)insns,
			    .insn_cnt = n,
			    .license = (u64)(uintptr_t) "GPL",
			    .log_buf = (u64)(uintptr_t)log,
			    .log_size = LOG_SIZE,
			    .log_level = 1};
	long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
	int err = errno;

	if (fd < 0)
		return -err;
	close((int)fd);
	return 0;
}

static int ours_says(const struct bpf_insn *insns, u32 n, u32 func, char *text)
{
	struct ebpf_vprog prog = {.insns = insns,
				  .ninsns = n,
				  .prog_type = BPF_PROG_TYPE_TRACING,
				  .expected_attach_type = BPF_TRACE_FENTRY,
				  .gpl = true,
				  .target = {vmlinux.data, vmlinux.size},
				  .target_func = func};
	struct ebpf_log log = {.buf = text, .size = LOG_SIZE, .level = 1};
	struct ebpf_facts facts = {0};
	int r = ebpf_verify(&prog, &log, &facts);

	ebpf_log_end(&log);
	if (!r)
		ebpf_facts_free(&facts);
	return r;
}

/* The line before the figures. */
static const char *reason(char *log)
{
	char *figures = strstr(log, "processed "), *p = figures ? figures : log + strlen(log);

	if (p > log && p[-1] == '\n')
		*--p = 0;
	while (p > log && p[-1] != '\n')
		p--;
	return p;
}

/* The kernel marks some of its pointers by tags, and what it may follow otherwise by lists. */
static bool is_kernels_own(const char *words)
{
	return strstr(words, "rcu_ptr_") || strstr(words, "percpu_") || strstr(words, "user_") ||
	       strstr(words, "untrusted_") || strstr(words, "trusted_");
}

static char theirs[LOG_SIZE], ours[LOG_SIZE];
static struct {
	u32 compared, accepted;
} count;

#define GET_CURRENT_TASK_BTF 158
#define READS 3u

/* The same loads behind what gives the pointer: both programs are as long. */
static bool agree(const struct bpf_insn *loads, u32 n, u32 func, const char *what)
{
	struct bpf_insn kernel[READS + 4] = {CALL(GET_CURRENT_TASK_BTF), MOV_REG(2, 0)};
	struct bpf_insn own[READS + 4] = {LDX(BPF_DW, 0, 1, 0), MOV_REG(2, 0)};
	const struct bpf_insn end[] = {RET(0)};
	const char *kw, *rw;
	int k, r;

	memcpy(kernel + 2, loads, n * sizeof(*loads));
	memcpy(own + 2, loads, n * sizeof(*loads));
	memcpy(kernel + 2 + n, end, sizeof(end));
	memcpy(own + 2 + n, end, sizeof(end));
	k = kernel_says(kernel, n + 4, theirs);
	r = ours_says(own, n + 4, func, ours);
	kw = reason(theirs);
	rw = reason(ours);
	count.accepted += !k;
	if (k && is_kernels_own(kw))
		return true;
	count.compared++;
	if (k == r && (!k || !strcmp(kw, rw)))
		return true;
	cr_log_error("%s: the kernel %d, %s; ours %d, %s", what, k, kw, r, rw);
	return false;
}

/* Loads in a row, each at a random place behind the last. */
static bool random_reads(u32 func)
{
	static const u8 sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW, BPF_DW, BPF_DW};
	struct bpf_insn p[READS];
	char what[200];
	u32 depth = 1 + (u32)random() % READS;
	int at = 0;

	for (u32 i = 0; i < depth; i++) {
		const u8 size = sizes[(u32)random() % ARRAY_SIZE(sizes)];
		const u32 range = random() % 2 ? 512 : 12000;
		const s16 off = (s16)((u32)random() % range & (random() % 8 ? ~7u : ~0u));

		p[i] = (struct bpf_insn)LDX(size, 2, 2, off);
		at += snprintf(what + at, sizeof(what) - (size_t)at, "size %#x at %d, ", size, off);
	}
	return agree(p, depth, func, what);
}

/* of one argument, a task */
static const char *const names[] = {"wake_up_new_task", "get_task_mm", "get_task_cred"};

Test(verify_kernel, target_types, .timeout = 120)
{
	u32 seed = (u32)time(NULL), bad = 0, func = 0;

	if (!verify_kernel_maps() || !read_types())
		cr_skip_test("the kernel's bpf(2) and types are not to be had here");
	for (u32 i = 0; !func && i < ARRAY_SIZE(names); i++)
		func = function(names[i]);
	if (!func)
		cr_skip_test("the kernel has no such function");
	printf("# seed %u\n", seed);
	srandom(seed);
	for (u32 i = 0; i < ROUNDS; i++)
		bad += !random_reads(func);
	cr_log_info("%u compared, %u accepted", count.compared, count.accepted);
	cr_expect(count.accepted > ROUNDS / 20);
	cr_assert_eq(bad, 0, "the kernel says otherwise to %u of %u, seed %u", bad, count.compared,
		     seed);
}
