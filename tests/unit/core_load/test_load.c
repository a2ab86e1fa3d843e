/* SPDX-License-Identifier: BSD-2-Clause */
/* From a client's instructions to an image: references, subprograms, layout, tag. */
#include <criterion/criterion.h>

#include "arch/arch.h"
#include "base/macros.h"
#include "tests/support/engine.h"

static struct ebpf_map_meta hash = {.id = 71, .type = BPF_MAP_TYPE_HASH, .value_size = 8};
static struct ebpf_map_meta data = {
	.id = 72, .type = BPF_MAP_TYPE_ARRAY, .value_size = 64, .max_entries = 1};
static struct ebpf_map_meta wide = {
	.id = 73, .type = BPF_MAP_TYPE_ARRAY, .value_size = 64, .max_entries = 2};

static const struct ebpf_map_meta *by_fd(void *cookie, s32 fd, bool is_index)
{
	switch (is_index ? fd + 100 : fd) {
	case 3:
	case 100:
		return &hash;
	case 4:
	case 101:
		return &data;
	case 5:
		return &wide;
	default:
		return NULL;
	}
}

static int load(struct engine *e, const struct bpf_insn *insns, u32 n)
{
	e->load.map_by_fd = by_fd;
	return engine_load(e, insns, n, true);
}

#define LOAD(e, p) load(e, p, ARRAY_SIZE(p))

Test(load, references_are_shared_and_counted)
{
	const struct bpf_insn p[] = {LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 3),
				     LDDW_KIND(2, BPF_PSEUDO_MAP_VALUE, 4 | 16ULL << 32),
				     LDDW_KIND(3, BPF_PSEUDO_MAP_IDX, 0),
				     LDDW_KIND(4, BPF_PSEUDO_MAP_IDX_VALUE, 1 | 20ULL << 32),
				     LDDW(5, 0x123456789abcdef0),
				     MOV_IMM(0, 0),
				     EXIT()};
	_cleanup_engine_ struct engine e = {0};
	const struct ebpf_image_ref *refs;
	const struct ebpf_image *img;

	cr_assert_eq(LOAD(&e, p), 0, "%s", e.text);
	img = e.prog.image;
	refs = ebpf_image_refs(img);
	cr_assert_eq(img->nrefs, 3);
	cr_assert_eq(img->nmaps, 2);
	cr_assert_eq(e.load.nused_maps, 2);
	cr_assert_eq(e.load.used_maps[0], 71);
	cr_assert_eq(e.load.used_maps[1], 72);
	cr_assert_eq(refs[0].kind, EBPF_REF_MAP);
	cr_assert_eq(refs[1].kind, EBPF_REF_MAP_VALUE);
	cr_assert_eq(refs[1].map, 1);
	cr_assert_eq(refs[1].off, 16);
	cr_assert_eq(refs[2].off, 20);
	cr_assert_eq(ebpf_image_insns(img)[4].src_reg, EBPF_LD_REF);
	cr_assert_eq(ebpf_image_insns(img)[4].imm, 0);
	cr_assert_eq(ebpf_image_insns(img)[3].imm, 0, "the offset is in the reference");
	cr_assert_eq(ebpf_image_insns(img)[8].src_reg, 0);
}

Test(load, both_engines_see_the_references)
{
	const struct bpf_insn p[] = {LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 3),
				     LDDW_KIND(2, BPF_PSEUDO_MAP_VALUE, 4 | 16ULL << 32),
				     MOV_REG(0, 1), ALU64_REG(BPF_ADD, 0, 2), EXIT()};
	_cleanup_engine_ struct engine e = {0};
	struct ebpf_run run = {0};

	cr_assert_eq(LOAD(&e, p), 0, "%s", e.text);
	e.refs[0] = 0x1000;
	e.refs[1] = 0x234;
	cr_assert_eq(ebpf_prog_run(&e.prog, NULL, &run), 0x1234);
	cr_assert_eq(ebpf_prog_run_interp(&e.prog, NULL, &run), 0x1234);
}

static void refused(const struct bpf_insn *p, u32 n, int err, const char *words)
{
	_cleanup_engine_ struct engine e = {0};

	cr_assert_eq(load(&e, p, n), err, "%s", e.text);
	cr_assert(strstr(e.text, words), "%s", e.text);
	cr_assert_null(e.load.image);
}

/* the same by the way of BPF_PROG_LOAD */
static void refused_verified(const struct bpf_insn *p, u32 n, int err, const char *words)
{
	char text[2048] = "";
	struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
	struct ebpf_load l = {
		.insns = p,
		.ninsns = n,
		.prog_type = BPF_PROG_TYPE_KPROBE,
		.map_by_fd = by_fd,
		.log = &log,
		.nr_cpus = 1,
	};

	cr_assert_eq(ebpf_load_build(&l), err, "%s", text);
	cr_assert(strstr(text, words), "%s", text);
	cr_assert_null(l.image);
}

#define REFUSED(err, words, ...)                                                                   \
	do {                                                                                       \
		const struct bpf_insn p[] = {__VA_ARGS__, MOV_IMM(0, 0), EXIT()};                  \
		refused(p, ARRAY_SIZE(p), err, words);                                             \
	} while (0)

Test(load, refuses_what_is_no_map)
{
	REFUSED(-EBADF, "fd 9 is not pointing to valid bpf_map",
		LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 9));
	REFUSED(-EBADF, "fd 7 is not pointing to valid bpf_map",
		LDDW_KIND(1, BPF_PSEUDO_MAP_IDX, 7));
}

/* as in the kernel: descriptors first, then what the verifier says of what it walks */
Test(load, refuses_in_the_order_of_the_kernel)
{
	const struct bpf_insn no_map[] = {LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 9), CALL(4711), EXIT()};
	const struct bpf_insn walked[] = {INSN(BPF_ALU64 | BPF_MOV | BPF_K, 9, 9, 0, 0), CALL(4711),
					  EXIT()};

	refused_verified(no_map, ARRAY_SIZE(no_map), -EBADF, "fd 9 is not pointing to valid");
	refused_verified(walked, ARRAY_SIZE(walked), -EINVAL,
			 "0: (b7) r9 = 0\nBPF_MOV uses reserved fields\n");
	refused_verified(walked + 1, 2, -EINVAL,
			 "0: (85) call unknown#4711\n"
			 "invalid func unknown#4711\n");
}

/* What libbpf leaves where a field or function is missing, and fields that should be empty. */
static struct bpf_insn odd_insn(u32 seed)
{
	static const u8 codes[] = {
		BPF_JMP | BPF_CALL,
		BPF_ALU64 | BPF_MOV | BPF_K,
		BPF_ALU64 | BPF_MOV | BPF_X,
		BPF_ALU | BPF_NEG,
		BPF_ALU | BPF_END | BPF_TO_BE,
		BPF_ALU64 | BPF_DIV | BPF_X,
		BPF_JMP | BPF_JEQ | BPF_K,
		BPF_JMP32 | BPF_JSGT | BPF_X,
		BPF_JMP | BPF_JA,
		BPF_JMP | BPF_EXIT,
		BPF_ALU | BPF_LSH | BPF_K,
		BPF_JMP | BPF_JCOND,
		BPF_LD | BPF_ABS | BPF_W,
		BPF_LD | BPF_IND | BPF_B,
	};
	u32 x = seed * 2654435761u;
	u8 code = codes[seed % ARRAY_SIZE(codes)];
	bool jump = BPF_CLASS(code) == BPF_JMP || BPF_CLASS(code) == BPF_JMP32;

	return (struct bpf_insn){.code = code,
				 .dst_reg = (x >> 8 & 15) % 11,
				 .src_reg = (x >> 12 & 15) % 11,
				 .off = jump && BPF_OP(code) != BPF_EXIT ? 0 : (s16)(x >> 16),
				 .imm = (s32)(x ^ x << 13)};
}

/* It isn't judged, and isn't in the image. */
Test(load, leaves_out_what_no_path_comes_to)
{
	const struct bpf_insn exit = EXIT();

	for (u32 seed = 0; seed < 2000; seed++) {
		struct bpf_insn p[] = {MOV_IMM(0, 7), JMP_IMM(BPF_JEQ, 0, 7, 1), odd_insn(seed),
				       EXIT()};
		char text[2048] = "";
		struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
		struct ebpf_load l = {.insns = p,
				      .ninsns = ARRAY_SIZE(p),
				      .prog_type = BPF_PROG_TYPE_KPROBE,
				      .log = &log,
				      .want_jit = true,
				      .nr_cpus = 1};
		const struct bpf_insn *image;

		/* a call of one of its own functions must be of one */
		if (p[2].code == (BPF_JMP | BPF_CALL) && p[2].src_reg == BPF_PSEUDO_CALL)
			continue;
		p[3].off = (s16)seed;
		cr_assert_eq(ebpf_load_build(&l), 0, "%u: %02x: %s", seed, p[2].code, text);
		image = ebpf_image_insns((struct ebpf_image *)l.image);
		cr_assert_eq(ebpf_check_structure_flags(image, ARRAY_SIZE(p), l.prog_type,
							EBPF_CHECK_STRUCTURE, &log),
			     0, "%u: %02x", seed, p[2].code);
		cr_assert(!image[2].imm && !image[2].off && !image[2].dst_reg && !image[2].src_reg);
		cr_assert(!memcmp(&image[3], &exit, sizeof(exit)));
		free(l.image);
	}
}

Test(load, refuses_addresses_outside_a_value)
{
	REFUSED(-EINVAL, "invalid access to map value pointer, value_size=64 off=64",
		LDDW_KIND(1, BPF_PSEUDO_MAP_VALUE, 4 | 64ULL << 32));
	REFUSED(-EINVAL, "direct value offset of 4294967295 is not allowed",
		LDDW_KIND(1, BPF_PSEUDO_MAP_VALUE, 4 | 0xffffffffULL << 32));
	REFUSED(-EINVAL, "no direct value access support for this map type",
		LDDW_KIND(1, BPF_PSEUDO_MAP_VALUE, 3));
	REFUSED(-524, "invalid access to map value pointer", LDDW_KIND(1, BPF_PSEUDO_MAP_VALUE, 5));
}

static struct ebpf_map_meta many[EBPF_MAX_USED_MAPS + 1];

static const struct ebpf_map_meta *one_of_many(void *cookie, s32 fd, bool is_index)
{
	many[fd] = hash;
	many[fd].id = (u32)fd + 1;
	return &many[fd];
}

Test(load, refuses_too_many_maps)
{
	struct bpf_insn p[2 * EBPF_MAX_USED_MAPS + 4];
	_cleanup_engine_ struct engine e = {0};
	u32 i, n = 0;

	e.load.map_by_fd = one_of_many;
	for (i = 0; i <= EBPF_MAX_USED_MAPS; i++) {
		p[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, (s32)i);
		p[n++] = INSN(0, 0, 0, 0, 0);
	}
	p[n++] = MOV_IMM(0, 0);
	p[n++] = EXIT();
	cr_assert_eq(engine_load(&e, p, n, false), -E2BIG);
	cr_assert(strstr(e.text, "limit of 64"), "%s", e.text);
}

Test(load, functions_and_layout)
{
	const struct bpf_insn p[] = {CALL_BPF(3), LDDW_KIND(1, BPF_PSEUDO_FUNC, 2), EXIT(),
				     MOV_IMM(0, 1), EXIT()};
	_cleanup_engine_ struct engine e = {0};
	const struct ebpf_image *img;

	cr_assert_eq(LOAD(&e, p), 0, "%s", e.text);
	img = e.prog.image;
	cr_assert_eq(img->nsubprogs, 2);
	cr_assert_eq(ebpf_image_subprogs(img)[1], 4);
	cr_assert_eq(ebpf_image_insns(img)[1].imm, 4, "absolute");
	cr_assert_eq(ebpf_image_insns(img)[0].imm, 3, "relative");
	cr_assert_eq(img->stack_depth, 2 * EBPF_STACK_SIZE);
	if (img->code_size) {
		cr_assert_eq(img->code % EBPFRT_PAGE_SIZE, 0);
		cr_assert_eq(img->arch, arch_jit_machine);
		cr_assert_not_null(e.prog.code);
	}
}

Test(load, bind_refuses_what_is_no_image)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 1), EXIT()};
	_cleanup_engine_ struct engine e = {0};
	struct ebpf_image *img;
	struct ebpf_prog prog;
	u32 i;

	cr_assert_eq(LOAD(&e, p), 0);
	img = (struct ebpf_image *)e.load.image;
	cr_assert_eq(ebpf_prog_bind(&prog, img, e.load.image_size, NULL, 1), 0);
	cr_assert_eq(ebpf_prog_bind(&prog, img, e.load.image_size - 1, NULL, 1), -EINVAL);
	cr_assert_eq(ebpf_prog_bind(&prog, img, 16, NULL, 1), -EINVAL);
	for (i = 0; i < 14; i++) {
		u32 *field = (u32 *)img + i, saved = *field;

		if (field == &img->nmaps || field == &img->arch || field == &img->entry)
			continue;
		*field = 0xfffffff0u;
		cr_assert_eq(ebpf_prog_bind(&prog, img, e.load.image_size, NULL, 1), -EINVAL,
			     "field %u", i);
		*field = saved;
	}
}

/* SHA-1 of the 16 bytes b7 00 00 00 01 00 00 00 95 00 .. by sha1sum */
Test(load, tag_is_sha1)
{
	const struct bpf_insn p[] = {MOV_IMM(0, 1), EXIT()};
	const u8 want[BPF_TAG_SIZE] = {0x57, 0xcd, 0x31, 0x1f, 0x2e, 0x27, 0x36, 0x6b};
	u8 tag[BPF_TAG_SIZE];

	ebpf_prog_tag(p, ARRAY_SIZE(p), tag);
	cr_assert_arr_eq(tag, want, sizeof(want));
}

Test(load, tag_ignores_which_map)
{
	const struct bpf_insn a[] = {LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 3), EXIT()};
	const struct bpf_insn b[] = {LDDW_KIND(1, BPF_PSEUDO_MAP_FD, 7), EXIT()};
	const struct bpf_insn c[] = {LDDW(1, 7), EXIT()};
	u8 ta[BPF_TAG_SIZE], tb[BPF_TAG_SIZE], tc[BPF_TAG_SIZE];

	ebpf_prog_tag(a, 3, ta);
	ebpf_prog_tag(b, 3, tb);
	ebpf_prog_tag(c, 3, tc);
	cr_assert_arr_eq(ta, tb, sizeof(ta));
	cr_assert_arr_neq(tb, tc, sizeof(ta));
}
