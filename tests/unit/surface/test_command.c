/* SPDX-License-Identifier: BSD-2-Clause */
/* What bpf(2) sends to the daemon, and what of its answer reaches the caller. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake.h"
#include "surface/surface.h"

TestSuite(command, .init = fake_start, .fini = fake_stop, .timeout = 20);

/* the parts of the last request */
static const struct msg_bpf *head(void)
{
	return (const void *)fake->last_body;
}

/* behind an attr of any size, so aligned to nothing */
static struct msg_fd sent_fd(u32 i)
{
	struct msg_fd m;

	memcpy(&m, fake->last_body + sizeof(struct msg_bpf) + head()->attr_size + i * sizeof(m),
	       sizeof(m));
	return m;
}

static const struct msg_buf *sent_buf(u32 key, const u8 **data)
{
	const struct msg_buf *b =
		(const void *)(fake->last_body + sizeof(struct msg_bpf) + head()->attr_size +
			       head()->nfds * sizeof(struct msg_fd));
	const u8 *at = (const u8 *)(b + head()->nbufs);

	for (u32 i = 0; i < head()->nbufs; i++, b++) {
		if (b->key == key) {
			*data = at;
			return b;
		}
		at += ALIGN_UP(b->in, 8u);
	}
	return NULL;
}

static bool sent_ident(int fd)
{
	struct osl_ident id;

	cr_assert_eq(osl_ident(fd, &id), 0);
	for (u32 i = 0; i < head()->nfds; i++)
		if (sent_fd(i).fd == fd && sent_fd(i).ident.ino == id.ino)
			return true;
	return false;
}

#define LD_MAP(reg, fd)                                                                            \
	{                                                                                          \
		.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = reg, .src_reg = 1, .imm = fd         \
	}

Test(command, prog_load_names_its_maps_and_returns_the_log)
{
	int a_map = fake_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0);
	int b_map = fake_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0);
	struct bpf_insn insns[] = {
		LD_MAP(1, a_map),
		{0},
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = 2,
		 .src_reg = BPF_PSEUDO_MAP_IDX,
		 .imm = 1},
		{0},
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 2, .imm = 12345},
		{0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd_array[2] = {a_map, b_map};
	char log[100] = "";
	union bpf_attr a = {
		.prog_type = BPF_PROG_TYPE_KPROBE,
		.insns = (u64)insns,
		.insn_cnt = 7,
		.license = (u64) "GPL",
		.log_buf = (u64)log,
		.log_size = sizeof(log),
		.log_level = 1,
		.fd_array = (u64)fd_array,
	};
	const struct msg_buf *b;
	const u8 *data;

	cr_assert_eq(bpf_call(BPF_PROG_LOAD, &a, sizeof(a)), -1);
	cr_assert_eq(errno, EACCES);
	cr_assert_str_eq(log, FAKE_LOG);
	cr_assert_str_eq(surface_error(), "instruction 0 is refused");
	cr_assert(sent_ident(a_map));
	cr_assert(sent_ident(b_map));
	b = sent_buf(offsetof(union bpf_attr, insns), &data);
	cr_assert_eq(b->in, sizeof(insns));
	cr_assert_eq(memcmp(data, insns, sizeof(insns)), 0);
	cr_assert(sent_buf(offsetof(union bpf_attr, license), &data));
	cr_assert_str_eq((const char *)data, "GPL");
	cr_assert_eq(sent_buf(offsetof(union bpf_attr, log_buf), &data)->out, sizeof(log));
	cr_assert_eq(sent_buf(offsetof(union bpf_attr, fd_array), &data)->in, 8);
}

Test(command, bad_pointers_are_faults)
{
	char *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	union bpf_attr a = {.insns = (u64)hole, .insn_cnt = 2, .license = (u64) "GPL"};

	cr_assert_eq(bpf_call(BPF_PROG_LOAD, &a, sizeof(a)), -1);
	cr_assert_eq(errno, EFAULT);
	cr_assert_eq(bpf_call(BPF_PROG_LOAD, hole, sizeof(a)), -1);
	cr_assert_eq(errno, EFAULT);
	a = (union bpf_attr){.insns = (u64)&a, .insn_cnt = 2};
	cr_assert_eq(bpf_call(BPF_PROG_LOAD, &a, sizeof(a)), -1);
	cr_assert_eq(errno, EFAULT);
	cr_assert_eq(fake->requests, 0);
}

Test(command, info_comes_back)
{
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0);
	struct bpf_map_info info = {0};
	union bpf_attr a = {.info = {(u32)fd, sizeof(info), (u64)&info}};

	cr_assert_eq(bpf_call(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), 0);
	cr_assert_eq(info.id, 77);
	cr_assert(sent_ident(fd));
}

Test(command, only_results_are_written_back)
{
	union bpf_attr a = {.start_id = 3, .next_id = 0};

	fake->answer_next_id = 5;
	cr_assert_eq(bpf_call(BPF_PROG_GET_NEXT_ID, &a, sizeof(a)), 0);
	cr_assert_eq(a.next_id, 5);
	a.next_id = 0;
	/* the caller's attribute ends before the result: nothing is written behind it */
	cr_assert_eq(bpf_call(BPF_PROG_GET_NEXT_ID, &a, 4), 0);
	cr_assert_eq(a.next_id, 0);
}

Test(command, a_slot_of_a_prog_array_names_the_program)
{
	int array = fake_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0);
	int other = fake_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0);
	u32 key = 1;
	union bpf_attr a = {.map_fd = (u32)array, .key = (u64)&key, .value = (u64)&other};

	cr_assert_eq(bpf_call(BPF_MAP_UPDATE_ELEM, &a, sizeof(a)), 0);
	cr_assert(sent_ident(array));
	cr_assert(sent_ident(other));
}

Test(command, uprobe_multi_takes_its_arrays_along)
{
	u64 attr[16] = {0}, offsets[3] = {16, 32, 48};
	const struct msg_buf *b;
	const u8 *data;
	u32 *w = (u32 *)attr;

	w[0] = 0;
	w[2] = EBPFRT_BPF_TRACE_UPROBE_MULTI;
	attr[2] = (u64) "/bin/true";
	attr[3] = (u64)offsets;
	w[12] = 3;
	cr_assert_eq(bpf_call(BPF_LINK_CREATE, attr, 64), 0);
	b = sent_buf(16, &data);
	cr_assert(b);
	cr_assert_str_eq((const char *)data, realpath("/bin/true", NULL));
	b = sent_buf(24, &data);
	cr_assert_eq(b->in, 24);
	cr_assert_eq(memcmp(data, offsets, 24), 0);
}

Test(command, unknown_commands)
{
	u64 attr[16] = {0};

	cr_assert_eq(bpf_call(99, attr, sizeof(attr)), -1);
	cr_assert_eq(errno, EINVAL);
	cr_assert_eq(bpf_call(-1, attr, sizeof(attr)), -1);
	cr_assert_eq(errno, EINVAL);
	cr_assert_eq(bpf_call(BPF_MAP_CREATE, attr, 5000), -1);
	cr_assert_eq(errno, E2BIG);
}

Test(command, a_lost_daemon_is_an_error_and_not_a_hang)
{
	union bpf_attr a = {0};
	int fd = fake_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0);

	cr_assert_geq(fd, 0);
	surface_set_reporter(NULL);
	setenv("EBPFRT_DAEMON", "/nonexistent/ebpfrtd", 1);
	fake_stop();
	cr_assert_eq(bpf_call(BPF_PROG_GET_NEXT_ID, &a, sizeof(a)), -1);
	cr_assert_neq(errno, ENOENT);
	cr_assert_eq(bpf_call(BPF_PROG_GET_NEXT_ID, &a, sizeof(a)), -1);
	cr_assert_neq(errno, ENOENT);
	cr_assert(strstr(surface_error(), "EBPFRT_"), "%s", surface_error());
}
