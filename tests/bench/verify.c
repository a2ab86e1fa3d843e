/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long verification takes: ours, both phases, and, as root on a kernel that has BPF, the
 * kernel's of the same program (the "verification time" of its log), alternately. Minimum, median
 * and maximum over the rounds; the ratio is of the medians.
 *
 *	ebpfrt exec tests/bench/verify --loads
 *
 * measures BPF_PROG_LOAD as a whole instead, without a log: syscall() leads to our daemon there,
 * which forks a worker, verifies, compiles and makes the image; a system call that libc isn't asked
 * for leads to the kernel.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "core/load/vprog.h"

#define ROUNDS 15
#define MAX_INSNS 32768
#define VALUE_SIZE 16384

static struct bpf_insn insns[MAX_INSNS];
static u32 ninsns;
static int kernel_map = -1, our_map = -1;
static char text[1 << 16];

/* --- programs -------------------------------------------------------------------------------- */

static void add(u8 code, u8 dst, u8 src, s16 off, s32 imm)
{
	insns[ninsns++] = (struct bpf_insn){
		.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

/* R7 = the context, R6 = the value of key 0, or the end */
static void begin(void)
{
	ninsns = 0;
	add(BPF_ALU64 | BPF_MOV | BPF_X, 7, 1, 0, 0);
	add(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0);
	add(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
	add(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4);
	add(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, 0);
	add(0, 0, 0, 0, 0);
	add(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	add(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 2, 0);
	add(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	add(BPF_ALU64 | BPF_MOV | BPF_X, 6, 0, 0, 0);
}

static void end(void)
{
	add(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* counters indexed by arguments, some only when one is large */
static void tracing(u32 n)
{
	begin();
	while (ninsns + 9 < n) {
		add(BPF_LDX | BPF_MEM | BPF_DW, 1, 7, 112, 0);
		add(BPF_ALU64 | BPF_AND | BPF_K, 1, 0, 0, 0xff8);
		add(BPF_JMP | BPF_JGT | BPF_K, 1, 0, 1, 64);
		add(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, 8);
		add(BPF_ALU64 | BPF_ADD | BPF_X, 1, 6, 0, 0);
		add(BPF_LDX | BPF_MEM | BPF_DW, 2, 1, 0, 0);
		add(BPF_STX | BPF_MEM | BPF_DW, 1, 2, 8, 0);
	}
	end();
}

/* for (i = 0; i < turns; i++) a byte of the value, two conditions, two stores */
static void loop(u32 turns)
{
	begin();
	add(BPF_ALU64 | BPF_MOV | BPF_K, 8, 0, 0, 0);
	add(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
	add(BPF_ALU64 | BPF_ADD | BPF_X, 1, 8, 0, 0);
	add(BPF_LDX | BPF_MEM | BPF_B, 2, 1, 0, 0);
	add(BPF_JMP | BPF_JLE | BPF_K, 2, 0, 1, 'x');
	add(BPF_ST | BPF_MEM | BPF_B, 1, 0, 0, 3);
	add(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 1, 'z');
	add(BPF_ST | BPF_MEM | BPF_B, 1, 0, 1, 3);
	add(BPF_ALU64 | BPF_ADD | BPF_K, 8, 0, 0, 1);
	add(BPF_JMP | BPF_JLT | BPF_K, 8, 0, -9, (s32)turns);
	end();
}

/* --- verifiers ------------------------------------------------------------------------------- */

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* microseconds, negative: refused */
static double ours(u32 *processed)
{
	const struct ebpf_vmap map = {.meta = {.type = BPF_MAP_TYPE_ARRAY,
					       .key_size = 4,
					       .value_size = VALUE_SIZE,
					       .max_entries = 1}};
	struct ebpf_vprog prog = {.insns = insns,
				  .ninsns = ninsns,
				  .prog_type = BPF_PROG_TYPE_KPROBE,
				  .gpl = true,
				  .nr_cpus = 1,
				  .maps = &map,
				  .nmaps = 1};
	struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 4};
	static struct ebpf_facts facts;
	double start = now_us();
	int r = ebpf_verify(&prog, &log, &facts);
	double us = now_us() - start;
	const char *p;

	ebpf_log_end(&log);
	p = strstr(text, "processed ");
	*processed = p ? (u32)atoi(p + 10) : 0;
	ebpf_facts_free(&facts);
	return r ? -1 : us;
}

/* the kernel's, whatever libc's syscall() has become */
static int kernel_bpf(int cmd, union bpf_attr *attr)
{
#ifdef __x86_64__
	register long nr __asm__("rax") = SYS_bpf;

	__asm__ volatile("syscall"
			 : "+r"(nr)
			 : "D"((long)cmd), "S"(attr), "d"(sizeof(*attr))
			 : "rcx", "r11", "memory");
	return (int)nr;
#else
	(void)cmd;
	(void)attr;
	return -ENOSYS;
#endif
}

static int our_bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int make_map(int (*bpf)(int cmd, union bpf_attr *attr))
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_ARRAY,
			    .key_size = 4,
			    .value_size = VALUE_SIZE,
			    .max_entries = 1};

	return bpf(BPF_MAP_CREATE, &a);
}

static bool kernel_open(void)
{
	struct rlimit inf = {RLIM_INFINITY, RLIM_INFINITY};

	setrlimit(RLIMIT_MEMLOCK, &inf);
	kernel_map = make_map(kernel_bpf);
	return kernel_map >= 0;
}

/* microseconds of the whole, negative: refused; with a log, what the kernel says of it */
static double load(int (*bpf)(int cmd, union bpf_attr *attr), int map, bool log)
{
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE,
			    .insns = (u64)insns,
			    .insn_cnt = ninsns,
			    .license = (u64) "GPL",
			    .log_buf = log ? (u64)text : 0,
			    .log_size = log ? sizeof(text) : 0,
			    .log_level = log ? 4 : 0};
	double start;
	int fd;

	insns[4].imm = map;
	start = now_us();
	fd = bpf(BPF_PROG_LOAD, &a);
	start = now_us() - start;
	insns[4].imm = 0;
	if (fd < 0)
		return -1;
	close(fd);
	return start;
}

static double kernels(void)
{
	const char *p;

	if (load(kernel_bpf, kernel_map, true) < 0)
		return -1;
	p = strstr(text, "verification time ");
	return p ? atof(p + 18) : -1;
}

/* --- a table --------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double show(double us[ROUNDS])
{
	qsort(us, ROUNDS, sizeof(*us), ascending);
	printf(" %9.0f %9.0f %9.0f", us[0], us[ROUNDS / 2], us[ROUNDS - 1]);
	return us[ROUNDS / 2];
}

static bool loads; /* as a whole */

static void measure(const char *name)
{
	double us[ROUNDS], their[ROUNDS], median;
	u32 processed = 0;

	for (u32 i = 0; i < ROUNDS; i++) {
		us[i] = ours(&processed);
		if (loads)
			us[i] = load(our_bpf, our_map, false);
		if (kernel_map < 0)
			their[i] = -1;
		else
			their[i] = loads ? load(kernel_bpf, kernel_map, false) : kernels();
	}
	printf("%-28s %6u %9u", name, ninsns, processed);
	if (us[0] < 0) {
		printf("  refused: %s\n", text);
		return;
	}
	median = show(us);
	if (their[0] >= 0)
		printf(" %9.2f", median / show(their));
	printf("\n");
}

static void measure_all(void)
{
	static const u32 turns[] = {100, 1000, 3500}; /* 100,000 instructions are walked */
	static const u32 lengths[] = {50, 200, 500, 30000};
	char name[64];

	for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
		tracing(lengths[i]);
		snprintf(name, sizeof(name), "tracing, %u instructions", lengths[i]);
		measure(name);
	}
	for (u32 i = 0; i < ARRAY_SIZE(turns); i++) {
		loop(turns[i]);
		snprintf(name, sizeof(name), "loop of %u turns", turns[i]);
		measure(name);
	}
}

int main(int argc, char **argv)
{
	bool kernel = !geteuid() && kernel_open();

	loads = argc > 1 && !strcmp(argv[1], "--loads");
	if (loads)
		our_map = make_map(our_bpf);
	if (loads && our_map < 0) {
		printf("loads: skipped: no map can be made: %s\n", strerror(errno));
		return 0;
	}
	printf("%s, us%s\n", loads ? "BPF_PROG_LOAD as a whole, by the daemon" : "verification",
	       kernel ? "" : " (the kernel's is not to be had: not root, or no BPF)");
	printf("%-28s %6s %9s %9s %9s %9s%s\n", "program", "insns", "processed", "min", "median",
	       "max", kernel ? "  kernel: min median max, ratio" : "");
	measure_all();
	return 0;
}
