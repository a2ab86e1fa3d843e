/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Laying out an image (core/run/image.h): header, instructions, references, subprograms, and, from
 * the next page boundary on, code. Rules: pure, offsets only, every byte defined (images are
 * compared and hashed).
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "arch/arch.h"
#include "core/load/check.h"
#include "core/load/target.h"
#include "core/run/prog.h"

static void add_words(struct ebpf_image *img, const struct ebpf_target_sig *sig)
{
	img->nwords = sig->nwords;
	img->nargs = sig->nargs;
	for (u32 i = 0; i < sig->nwords; i++)
		img->word[i] = sig->word[i].from;
}

/* Where everything is, one behind the other. */
static struct ebpf_image lay_out(const struct ebpf_image_parts *parts)
{
	struct ebpf_image img = {
		.magic = EBPF_IMAGE_MAGIC,
		.version = EBPF_IMAGE_VERSION,
		.ninsns = parts->ninsns,
		.insns = sizeof(img),
		.nrefs = parts->nrefs,
		.nmaps = parts->nmaps,
		.nsubprogs = parts->layout->nsubprogs,
		.prog_type = parts->prog_type,
		.flags = parts->flags,
		.stack_depth = parts->stack_depth,
		.ctx_size = parts->ctx_size,
		.ctx_read = parts->ctx_read,
		.ntimers = parts->ntimers,
		.ncallees = parts->ncallees,
	};

	img.refs = img.insns + parts->ninsns * (u32)sizeof(*parts->insns);
	img.subprogs = img.refs + parts->nrefs * (u32)sizeof(*parts->refs);
	img.zeros = ALIGN_UP(img.subprogs + img.nsubprogs * (u32)sizeof(u32), 8);
	img.timers = img.zeros + img.nsubprogs * (u32)sizeof(u64);
	img.callees = ALIGN_UP(img.timers + img.ntimers * (u32)sizeof(*parts->timers), 8);
	img.size = img.callees + img.ncallees * (u32)sizeof(*parts->callees);
	img.code = img.size;
	return img;
}

/* @n elements of @size; there may be none. */
static void put(u8 *to, const void *from, u32 n, size_t size)
{
	if (n)
		memcpy(to, from, n * size);
}

int ebpf_image_build(const struct ebpf_image_parts *parts, u8 **out, u32 *size)
{
	struct ebpf_image img = lay_out(parts);
	u8 *p;

	memcpy(img.helpers, parts->helpers, sizeof(img.helpers));
	if (parts->sig)
		add_words(&img, parts->sig);
	p = calloc(1, img.size);
	if (!p)
		return -ENOMEM;
	memcpy(p, &img, sizeof(img));
	put(p + img.insns, parts->insns, img.ninsns, sizeof(*parts->insns));
	put(p + img.refs, parts->refs, img.nrefs, sizeof(*parts->refs));
	put(p + img.subprogs, parts->layout->starts, img.nsubprogs, sizeof(u32));
	if (parts->zeros)
		put(p + img.zeros, parts->zeros, img.nsubprogs, sizeof(u64));
	else
		memset(p + img.zeros, 0xff, img.nsubprogs * sizeof(u64));
	put(p + img.timers, parts->timers, img.ntimers, sizeof(*parts->timers));
	put(p + img.callees, parts->callees, img.ncallees, sizeof(*parts->callees));
	*out = p;
	*size = img.size;
	return 0;
}

int ebpf_image_add_code(u8 **image, u32 *size, const u8 *code, const struct arch_code *what)
{
	u32 start = ALIGN_UP(*size, (u32)EBPFRT_PAGE_SIZE);
	struct ebpf_image *img;
	u8 *p;

	p = realloc(*image, start + what->len);
	if (!p)
		return -ENOMEM;
	memset(p + *size, 0, start - *size);
	memcpy(p + start, code, what->len);
	img = (struct ebpf_image *)p;
	img->arch = arch_jit_machine;
	img->code = start;
	img->code_size = what->size;
	img->entry = what->entry;
	img->faults = start + what->faults;
	img->nfaults = what->nfaults;
	img->size = start + what->len;
	*image = p;
	*size = img->size;
	return 0;
}

int ebpf_image_add_leaf(u8 **image, u32 *size, const u8 *code, const struct arch_leaf *what)
{
	u32 start = ALIGN_UP(*size, (u32)EBPFRT_PAGE_SIZE);
	struct ebpf_image *img;
	u8 *p = realloc(*image, start + ARCH_LEAF_MAX);

	if (!p)
		return -ENOMEM;
	memset(p + *size, 0, start + ARCH_LEAF_MAX - *size);
	memcpy(p + start, code, what->len);
	img = (struct ebpf_image *)p;
	img->leaf = start;
	img->leaf_is = *what;
	img->size = start + ARCH_LEAF_MAX;
	*image = p;
	*size = img->size;
	return 0;
}
