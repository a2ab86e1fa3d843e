/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tag of a program: SHA-1 (FIPS 180-4) over its instructions, map references zeroed so that
 * the same source loaded twice has the same tag.
 */
#include <endian.h>
#include <string.h>

#include "base/macros.h"
#include "core/load/load.h"

#define BLOCK 64

struct sha1 {
	u32 h[5];
	u64 bytes;
	u8 block[BLOCK];
};

static u32 rol(u32 x, unsigned int n)
{
	return x << n | x >> (32 - n);
}

static u32 word_at(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static u32 choose(unsigned int round, u32 b, u32 c, u32 d)
{
	if (round < 20)
		return ((b & c) | (~b & d)) + 0x5a827999u;
	if (round < 40)
		return (b ^ c ^ d) + 0x6ed9eba1u;
	if (round < 60)
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
	return (b ^ c ^ d) + 0xca62c1d6u;
}

static void sha1_block(struct sha1 *s)
{
	u32 w[80], v[5];
	unsigned int i;

	for (i = 0; i < 16; i++)
		w[i] = word_at(s->block + 4 * i);
	for (; i < 80; i++)
		w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	memcpy(v, s->h, sizeof(v));
	for (i = 0; i < 80; i++) {
		u32 t = rol(v[0], 5) + choose(i, v[1], v[2], v[3]) + v[4] + w[i];

		v[4] = v[3];
		v[3] = v[2];
		v[2] = rol(v[1], 30);
		v[1] = v[0];
		v[0] = t;
	}
	for (i = 0; i < 5; i++)
		s->h[i] += v[i];
}

static void sha1_add(struct sha1 *s, const u8 *p, size_t n)
{
	while (n--) {
		s->block[s->bytes++ % BLOCK] = *p++;
		if (s->bytes % BLOCK == 0)
			sha1_block(s);
	}
}

static void sha1_end(struct sha1 *s, u8 digest[20])
{
	static const u8 pad[BLOCK] = {0x80};
	u64 bits = htobe64(s->bytes * 8);
	unsigned int i;

	sha1_add(s, pad, 1 + (119 - s->bytes % BLOCK) % BLOCK);
	sha1_add(s, (const u8 *)&bits, sizeof(bits));
	for (i = 0; i < 20; i++)
		digest[i] = (u8)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

static bool names_map(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW) &&
	       (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_VALUE);
}

void ebpf_prog_tag(const struct bpf_insn *insns, u32 ninsns, u8 tag[BPF_TAG_SIZE])
{
	struct sha1 s = {.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
	bool second = false;
	u8 digest[20];
	u32 i;

	for (i = 0; i < ninsns; i++) {
		struct bpf_insn insn = insns[i];
		bool first = !second && names_map(&insn);

		if (first || second)
			insn.imm = 0;
		second = first;
		sha1_add(&s, (const u8 *)&insn, sizeof(insn));
	}
	sha1_end(&s, digest);
	memcpy(tag, digest, BPF_TAG_SIZE);
}
