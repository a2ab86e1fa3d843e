/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients send: datagrams to frame_recv(), then a row of bpf(2) calls with arbitrary
 * attributes and buffers on one table. Sizes of maps are cut down, since their memory is really
 * made.
 */
#include <string.h>
#include <sys/socket.h>

#include "core/run/helper.h"
#include "proto/frame.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/core_load/syscall_fake.h"

#define MAX_CALLS 16u
#define MAX_BUFS 4u
#define MAX_IN 512u

/* fields of union bpf_attr that are pointers, by offset */
static const u8 pointers[] = {0, 8, 16, 24, 32, 48, 56, 64, 72, 88, 96};
enum { AT_0, AT_8, AT_16 }; /* the first of them, for the seeds */

static void try_frame(const u8 *data, size_t size)
{
	struct frame f = FRAME_INIT;
	int sv[2];

	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv));
	if (send(sv[0], data, MIN(size, (size_t)60000), 0) > 0 &&
	    !frame_recv(sv[1], &f, MSG_DONTWAIT)) {
		FUZZ_CHECK(f.body && !f.body[f.len] && !f.nfds);
		FUZZ_CHECK(!f.text || strlen(f.text) <= f.hdr.text);
		frame_deinit(&f);
	}
	close(sv[0]);
	close(sv[1]);
}

struct session {
	struct ebpf_table table;
	struct ebpf_owner owner;
	struct ebpf_fd fds[MAX_CALLS];
	u32 nfds;
};

static void cut_down(struct ebpf_call *call)
{
	if (call->cmd != BPF_MAP_CREATE)
		return;
	call->attr.key_size &= 0x3f;
	call->attr.value_size &= 0x3ff;
	call->attr.max_entries &= call->attr.map_type == BPF_MAP_TYPE_RINGBUF ? 0xffff : 0x3f;
}

static void take_call(struct ebpf_call *call, struct ebpf_buf *bufs, struct fuzz_input *in)
{
	call->cmd = (u32)fuzz_take(in, 1) % 40;
	call->nbufs = (u32)fuzz_take(in, 1) % (MAX_BUFS + 1);
	call->attr_size = (u32)fuzz_take(in, 1);
	for (u32 i = 0; i < call->attr_size; i++)
		call->raw[i] = (u8)fuzz_take(in, 1);
	for (u32 i = 0; i < call->nbufs; i++) {
		u32 key = (u32)fuzz_take(in, 1), len = (u32)fuzz_take(in, 2) % MAX_IN;

		bufs[i].key = pointers[key % ARRAY_SIZE(pointers)];
		if (key & 0x80)
			bufs[i].key = EBPF_BUF_NESTED + (key & 0x78);
		bufs[i].out_cap = (u32)fuzz_take(in, 2);
		bufs[i].in_len = MIN(len, (u32)in->left);
		bufs[i].in = bufs[i].in_len ? in->p : NULL;
		in->p += bufs[i].in_len;
		in->left -= bufs[i].in_len;
	}
}

/* A call makes at most one object; its descriptor is a number from 3 on. */
static void one_call(struct session *s, struct fuzz_input *in)
{
	struct ebpf_buf bufs[MAX_BUFS] = {0};
	struct ebpf_call call = {.table = &s->table, .owner = &s->owner, .bufs = bufs};
	int r;

	take_call(&call, bufs, in);
	cut_down(&call);
	call.fds = s->fds;
	call.nfds = s->nfds;
	r = ebpf_syscall(&call);
	FUZZ_CHECK(r >= 0 || r > -4096);
	for (u32 i = 0; i < call.nbufs; i++)
		FUZZ_CHECK(!bufs[i].out || bufs[i].out_len <= bufs[i].out_cap);
	if (r >= 0 && call.obj)
		s->fds[s->nfds++] = (struct ebpf_fd){(s32)s->nfds + 3, call.obj->name_of_fd.ident};
	FUZZ_CHECK(r >= 0 || !call.obj);
	ebpf_call_deinit(&call);
}

static void try_calls(const u8 *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct session *s = calloc(1, sizeof(*s));

	FUZZ_CHECK(s);
	ebpf_table_init(&s->table);
	s->table.backend = &fake_backend;
	while (in.left && s->nfds < MAX_CALLS)
		one_call(s, &in);
	ebpf_owner_drop_all(&s->owner);
	ebpf_table_drop_pins(&s->table);
	free(s);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static bool ready;

	if (!ready)
		ebpf_helper_table_init();
	ready = true;
	try_frame(data, size);
	try_calls(data, size);
	return 0;
}

static size_t put(u8 *out, size_t at, const void *data, size_t n)
{
	memcpy(out + at, data, n);
	return at + n;
}

static size_t put_call(u8 *out, size_t at, u8 cmd, u8 nbufs, const union bpf_attr *attr)
{
	const u8 head[] = {cmd, nbufs, 72};

	at = put(out, at, head, sizeof(head));
	return put(out, at, attr, 72);
}

/* @key: AT_* */
static size_t put_buf(u8 *out, size_t at, u8 key, const void *data, u16 len, u16 cap)
{
	at = put(out, at, &key, 1);
	at = put(out, at, &len, 2);
	at = put(out, at, &cap, 2);
	return put(out, at, data, len);
}

static size_t seed_map(u8 *out, u32 type)
{
	union bpf_attr make = {.map_type = type, .key_size = 4, .value_size = 8, .max_entries = 4};
	union bpf_attr elem = {.map_fd = 3, .key = 1, .value = 1};
	u8 key[4] = {1}, value[8] = {9};
	size_t n = put_call(out, 0, BPF_MAP_CREATE, 0, &make);

	n = put_call(out, n, BPF_MAP_UPDATE_ELEM, 2, &elem);
	n = put_buf(out, n, AT_8, key, sizeof(key), 0);
	n = put_buf(out, n, AT_16, value, sizeof(value), 0);
	n = put_call(out, n, BPF_MAP_LOOKUP_ELEM, 2, &elem);
	n = put_buf(out, n, AT_8, key, sizeof(key), 0);
	return put_buf(out, n, AT_16, value, 0, sizeof(value));
}

static size_t seed_prog(u8 *out)
{
	static const u8 code[] = {0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_KPROBE, .insn_cnt = 2, .insns = 1, .license = 1};
	union bpf_attr info = {.info = {.bpf_fd = 3, .info_len = 64, .info = 1}};
	size_t n = put_call(out, 0, BPF_PROG_LOAD, 2, &load);

	n = put_buf(out, n, AT_8, code, sizeof(code), 0);
	n = put_buf(out, n, AT_16, "GPL", 4, 0);
	n = put_call(out, n, BPF_OBJ_GET_INFO_BY_FD, 1, &info);
	return put_buf(out, n, AT_8, code, 0, 64);
}

/* a log that the caller has no room for */
static size_t seed_btf(u8 *out)
{
	union bpf_attr load = {.btf = 1, .btf_log_buf = 1, .btf_log_size = 64, .btf_log_level = 1};
	size_t n = put_call(out, 0, BPF_BTF_LOAD, 2, &load);

	n = put_buf(out, n, AT_0, out, 0, 0);
	return put_buf(out, n, AT_8, out, 0, 0);
}

static size_t seed_frame(u8 *out)
{
	struct msg m = {.len = sizeof(m) + 9, .type = MSG_STATUS, .abi = MSG_ABI, .text = 4};

	return put(out, put(out, 0, &m, sizeof(m)), "body text", 9);
}

size_t fuzz_seed(u32 i, u8 out[FUZZ_MAX])
{
	static const u8 types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_LRU_HASH,
				   BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PROG_ARRAY};

	if (i < ARRAY_SIZE(types))
		return seed_map(out, types[i]);
	switch (i - ARRAY_SIZE(types)) {
	case 0:
		return seed_prog(out);
	case 1:
		return seed_btf(out);
	case 2:
		return seed_frame(out);
	default:
		return 0;
	}
}
