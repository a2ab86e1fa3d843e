/* SPDX-License-Identifier: BSD-2-Clause */
#include "forms.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define BUCKETS 65536u

const char *const forms_libraries[3] = {
	"/lib/x86_64-linux-gnu/libc.so.6",
	"/lib/x86_64-linux-gnu/libcrypto.so.3",
	"/lib/x86_64-linux-gnu/libstdc++.so.6",
};

static u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15;
	return h ^ h >> 29;
}

/* Opcodes whose ModRM.reg, or all of ModRM, is part of the opcode. */
static bool is_group(const struct arch_insn *in)
{
	if (in->encoding == INSN_EVEX || in->encoding == INSN_VEX)
		return in->map == 1 && (in->opcode >= 0x71 && in->opcode <= 0x73);
	if (in->map == 0)
		return (in->opcode >= 0x80 && in->opcode <= 0x83) || in->opcode == 0x8f ||
		       (in->opcode >= 0xc0 && in->opcode <= 0xc1) ||
		       (in->opcode >= 0xd0 && in->opcode <= 0xd3) ||
		       (in->opcode >= 0xd8 && in->opcode <= 0xdf) || in->opcode >= 0xf6;
	return in->map == 1 && (in->opcode <= 0x01 || in->opcode == 0x0d || in->opcode == 0x18 ||
				(in->opcode >= 0x71 && in->opcode <= 0x73) || in->opcode == 0xae ||
				in->opcode == 0xba || in->opcode == 0xc7);
}

static bool all_of_modrm(const struct arch_insn *in)
{
	bool x87 = in->map == 0 && in->opcode >= 0xd8 && in->opcode <= 0xdf;

	return in->encoding <= INSN_REX2 && insn_mod(in) == 3 &&
	       (x87 || (in->map == 1 && (in->opcode == 0x01 || in->opcode == 0x1e)));
}

static u64 operands(const struct arch_insn *in, u64 h)
{
	if (!in->has_modrm)
		return h;
	h = mix(h, insn_mod(in));
	h = mix(h, all_of_modrm(in) ? in->modrm : is_group(in) ? insn_reg(in) : 8);
	if (insn_mod(in) != 3)
		h = mix(h, insn_rm(in) == 4 || insn_rm(in) == 5 ? insn_rm(in) : 0);
	if (in->has_sib)
		h = mix(h, (in->sib & 7) == 4 ? 1 : (in->sib & 7) == 5 ? 2 : 0);
	return in->has_sib ? mix(h, in->sib >> 6 | ((in->sib >> 3 & 7) == 4 ? 4 : 0)) : h;
}

/* What only the prefix says: vector length; masking, broadcast. */
static u64 vector(const struct arch_insn *in, const u8 *bytes, u64 h)
{
	const u8 *p = memchr(bytes, in->encoding == INSN_EVEX ? 0x62 : 0xc4, in->len);

	if (in->encoding == INSN_EVEX && p)
		return mix(mix(h, p[3] & 0xf0), (p[3] & 7) != 0);
	if (in->encoding != INSN_VEX)
		return h;
	if (!p)
		p = memchr(bytes, 0xc5, in->len);
	return p ? mix(mix(h, *p), (*p == 0xc4 ? p[2] : p[1]) & 4) : h;
}

static u64 key_of(const struct arch_insn *in, const u8 *bytes)
{
	u64 h = mix(1, in->encoding | in->map << 8 | in->opcode << 16 | in->prefixes << 24);

	h = mix(h, in->seg | in->rex << 8 | in->high << 16 | (u64)in->disp_len << 24 |
			   (u64)in->imm_len << 32);
	return vector(in, bytes, operands(in, h)) | 1;
}

static int add(struct forms *f, u32 *table, const struct arch_insn *in, const u8 *bytes)
{
	u64 key = key_of(in, bytes);
	u32 at = (u32)(key >> 20) % BUCKETS;

	for (; table[at]; at = (at + 1) % BUCKETS) {
		if (f->v[table[at] - 1].key != key)
			continue;
		f->v[table[at] - 1].seen++;
		return 0;
	}
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 4096;
		struct form *v = cap < BUCKETS ? realloc(f->v, cap * sizeof(*v)) : NULL;

		if (!v)
			return -ENOMEM;
		f->v = v;
		f->cap = cap;
	}
	f->v[f->n] = (struct form){.key = key, .in = *in, .seen = 1};
	memcpy(f->v[f->n].bytes, bytes, in->len);
	table[at] = (u32)++f->n;
	return 0;
}

static int collect(struct forms *f, u32 *table, const u8 *code, size_t len)
{
	struct arch_insn in;
	int err = 0;

	for (size_t at = 0; !err && at < len; at += in.len) {
		f->instructions++;
		if (arch_insn_decode(code + at, len - at, &in)) {
			in.len = 1; /* data among the code */
			f->undecoded++;
			continue;
		}
		err = add(f, table, &in, code + at);
	}
	return err;
}

static u8 *whole(const char *file, size_t *len)
{
	_cleanup_fclose_ FILE *f = fopen(file, "re");
	u8 *p;
	long n;

	if (!f || fseek(f, 0, SEEK_END) || (n = ftell(f)) <= 0)
		return NULL;
	rewind(f);
	p = malloc((size_t)n);
	if (p && fread(p, 1, (size_t)n, f) != (size_t)n) {
		free(p);
		return NULL;
	}
	*len = (size_t)n;
	return p;
}

int forms_collect(const char *file, struct forms *out)
{
	size_t len;
	_cleanup_free_ u8 *image = whole(file, &len);
	_cleanup_free_ u32 *table = calloc(BUCKETS, sizeof(*table));
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)image;
	const Elf64_Shdr *s;
	int err = 0;

	if (!image || len < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) || !table)
		return -ENOENT;
	for (size_t i = 0; i < out->n; i++) { /* of other files */
		u32 at = (u32)(out->v[i].key >> 20) % BUCKETS;

		while (table[at])
			at = (at + 1) % BUCKETS;
		table[at] = (u32)i + 1;
	}
	s = (const Elf64_Shdr *)(image + e->e_shoff);
	for (int i = 0; !err && i < e->e_shnum; i++)
		if (s[i].sh_flags & SHF_EXECINSTR && s[i].sh_type == SHT_PROGBITS)
			err = collect(out, table, image + s[i].sh_offset, s[i].sh_size);
	return err;
}

void forms_free(struct forms *f)
{
	free(f->v);
	*f = (struct forms){0};
}
