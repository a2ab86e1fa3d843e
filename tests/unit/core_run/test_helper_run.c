/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Helpers as programs meet them: called by the interpreter through the table, on a real ring, with
 * what a program left open when it ended.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/run/helper.h"
#include "core/run/map/map.h"
#include "core/run/map/ringbuf.h"
#include "core/run/trace.h"
#include "osl/osl.h"
#include "osl/osl_trap.h"

#define RING_SIZE 4096

#define INSN(op, dst, src, o, i)                                                                   \
	((struct bpf_insn){                                                                        \
		.code = (op), .dst_reg = (dst), .src_reg = (src), .off = (o), .imm = (i)})
#define MOV(dst, src) INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define MOVI(dst, imm) INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
#define LDREF(dst) INSN(BPF_LD | BPF_IMM | BPF_DW, dst, EBPF_LD_REF, 0, 0), INSN(0, 0, 0, 0, 0)
#define CALLH(name) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##name)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

static struct {
	struct ebpf_image img;
	struct bpf_insn insns[64];
	struct ebpf_image_ref ref;
	u32 subprog;
	u64 zeros;
} image;
static struct ebpf_map ring;
static u64 refs[1], dropped;
static struct ebpf_env env;

static void make_ring(void)
{
	struct ebpf_map_meta meta = {
		.type = BPF_MAP_TYPE_RINGBUF, .max_entries = RING_SIZE, .nr_cpus = 1};
	u64 size = ebpf_map_shm_size(&meta);
	int fd = osl_shm_create("ring", size);
	struct ebpf_map_part part[2];
	u8 *base = mmap(NULL, ebpf_ringbuf_layout(&meta, part), PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (u32 i = 0; i < 2; i++)
		cr_assert_neq(mmap(base + part[i].at, part[i].len, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, fd, (off_t)part[i].off),
			      MAP_FAILED);
	cr_assert_eq(ebpf_map_bind(&ring, &meta, base, size), 0);
	ebpf_map_self = 1;
}

static void start(void)
{
	cr_assert_eq(osl_fault_handler_install(), 0);
	osl_trap_init_self();
	ebpf_helper_table_init();
	make_ring();
	refs[0] = (u64)&ring;
	env = (struct ebpf_env){.trace = &ring, .trace_dropped = &dropped};
}

TestSuite(helper_run, .init = start);

static u64 run_insns(const struct bpf_insn *insns, u32 n)
{
	struct ebpf_run run = {.env = &env};
	struct ebpf_prog prog;

	image.img = (struct ebpf_image){.magic = EBPF_IMAGE_MAGIC,
					.version = EBPF_IMAGE_VERSION,
					.size = sizeof(image),
					.ninsns = n,
					.insns = offsetof(__typeof__(image), insns),
					.nrefs = 1,
					.refs = offsetof(__typeof__(image), ref),
					.nmaps = 1,
					.nsubprogs = 1,
					.subprogs = offsetof(__typeof__(image), subprog),
					.zeros = offsetof(__typeof__(image), zeros),
					.code = sizeof(image),
					.stack_depth = 512};
	ebpf_map_shape(&ring.meta, &image.ref.shape);
	memcpy(image.insns, insns, n * sizeof(*insns));
	cr_assert_eq(ebpf_prog_bind(&prog, &image, sizeof(image), refs, 1), 0);
	return ebpf_prog_run_interp(&prog, NULL, &run);
}
#define RUN(...)                                                                                   \
	run_insns((const struct bpf_insn[]){__VA_ARGS__},                                          \
		  sizeof((const struct bpf_insn[]){__VA_ARGS__}) / sizeof(struct bpf_insn))

static u8 seen[2048];
static u32 seen_len;

static int take(void *ctx, const void *data, u32 len)
{
	memcpy(seen, data, MIN(len, (u32)sizeof(seen)));
	seen_len = len;
	return 0;
}

Test(helper_run, what_a_program_leaves_open_is_discarded)
{
	u64 r0 = RUN(LDREF(1), MOVI(2, 16), MOVI(3, 0), CALLH(ringbuf_reserve), MOV(6, 0), LDREF(1),
		     MOVI(2, 24), MOVI(3, 0), CALLH(ringbuf_reserve),
		     INSN(BPF_ST | BPF_MEM | BPF_DW, 0, 0, 0, 77), MOV(1, 0), MOVI(2, 0),
		     CALLH(ringbuf_submit), MOV(0, 6), EXIT);

	cr_assert_neq(r0, 0);
	cr_assert_eq(ebpf_ringbuf_consume(&ring, take, NULL), 1);
	cr_assert_eq(seen_len, 24);
	cr_assert_eq(seen[0], 77);
	/* and nothing is in the way of later records */
	cr_assert_eq(ebpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA), 0);
}

Test(helper_run, a_run_cut_short_leaves_nothing_open)
{
	RUN(LDREF(1), MOVI(2, 16), MOVI(3, 0), CALLH(ringbuf_reserve), MOVI(1, 0),
	    INSN(BPF_LDX | BPF_MEM | BPF_DW, 0, 1, 8, 0), EXIT);
	cr_assert_eq(ebpf_ringbuf_consume(&ring, take, NULL), 0);
	cr_assert_eq(ebpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA), 0);
}

/* "hi %d" on the stack, printed with 42 */
#define PRINT                                                                                      \
	INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -8, 0x25206968),                                     \
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0x64), MOV(1, 10),                       \
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -8), MOVI(2, 8), MOVI(3, 42),           \
		CALLH(trace_printk), EXIT

Test(helper_run, printed_lines_arrive)
{
	struct ebpf_trace_rec *rec = (void *)seen;

	cr_assert_eq(RUN(PRINT), 5);
	cr_assert_eq(ebpf_ringbuf_consume(&ring, take, NULL), 1);
	cr_assert_eq(seen_len, sizeof(*rec) + 5);
	cr_assert_eq(rec->len, 5);
	cr_assert_eq(memcmp(rec->text, "hi 42", 5), 0);
	cr_assert_eq(rec->tgid, (u32)getpid());
}

Test(helper_run, lines_without_room_are_counted)
{
	const u32 room = (RING_SIZE - 1) / ALIGN_UP(sizeof(struct ebpf_trace_rec) + 5 + 8, 8);

	for (u32 i = 0; i < room + 3; i++)
		cr_assert_eq(RUN(PRINT), 5);
	cr_assert_eq(dropped, 3);
	cr_assert_eq(ebpf_ringbuf_consume(&ring, take, NULL), room);
}

Test(helper_run, unknown_helper)
{
	cr_assert_eq((s64)RUN(INSN(BPF_JMP | BPF_CALL, 0, 0, 0, 222), EXIT), -EINVAL);
}
