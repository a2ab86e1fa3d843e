/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk through the vDSO's dynamic symbols. The kernel hands the image out as trustworthy, but its
 * address may have come to us by way of another process: all reads are fallible copies and nothing
 * outside of the image's one load segment is looked at.
 */
#include <linux/elf.h>

#include "osl/linux/vdso.h"
#include "osl/osl_trap.h"

#define VDSO_MAX_SIZE (64u << 10)
#define VDSO_MAX_PHDRS 16
#define VDSO_MAX_DYN 64
#define VDSO_MAX_SYMS 256
#define VDSO_MAX_NAME 64

struct image {
	u64 base, size;	 /* of the load segment */
	u64 text, etext; /* offsets of what is executable */
	u64 bias;	 /* link-time address of the segment */
	u64 dyn, dyn_size;
	u64 symtab, strtab;
};

static bool image_read(const struct image *img, u64 off, void *out, u64 len)
{
	if (off > img->size || len > img->size - off)
		return false;
	return !osl_read(out, (const void *)(img->base + off), len);
}

static bool take_phdr(struct image *img, const struct elf64_phdr *p)
{
	if (p->p_type == PT_LOAD) {
		if (img->text != img->etext || p->p_offset || p->p_memsz > VDSO_MAX_SIZE)
			return false;
		img->bias = p->p_vaddr;
		img->size = p->p_memsz;
		img->etext = p->p_flags & PF_X ? p->p_memsz : 0;
	} else if (p->p_type == PT_DYNAMIC) {
		img->dyn = p->p_offset;
		img->dyn_size = p->p_memsz;
	}
	return true;
}

static bool read_headers(struct image *img)
{
	struct elf64_hdr eh;

	img->size = EBPFRT_PAGE_SIZE; /* until the load segment says more */
	if (!image_read(img, 0, &eh, sizeof(eh)) || eh.e_ident[0] != 0x7f || eh.e_ident[1] != 'E' ||
	    eh.e_ident[2] != 'L' || eh.e_ident[3] != 'F')
		return false;
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_phentsize != sizeof(struct elf64_phdr) ||
	    eh.e_phnum > VDSO_MAX_PHDRS)
		return false;
	for (u32 i = 0; i < eh.e_phnum; i++) {
		struct elf64_phdr p;

		if (!image_read(img, eh.e_phoff + i * sizeof(p), &p, sizeof(p)) ||
		    !take_phdr(img, &p))
			return false;
	}
	return img->etext && img->dyn_size;
}

static bool read_dynamic(struct image *img)
{
	for (u32 i = 0; i < VDSO_MAX_DYN && i < img->dyn_size / sizeof(Elf64_Dyn); i++) {
		Elf64_Dyn d;

		if (!image_read(img, img->dyn + i * sizeof(d), &d, sizeof(d)))
			return false;
		if (d.d_tag == DT_NULL)
			break;
		if (d.d_tag == DT_SYMTAB)
			img->symtab = d.d_un.d_ptr - img->bias;
		else if (d.d_tag == DT_STRTAB)
			img->strtab = d.d_un.d_ptr - img->bias;
	}
	return img->symtab && img->strtab > img->symtab;
}

static bool name_is(const struct image *img, u32 name, const char *want)
{
	char got[VDSO_MAX_NAME];
	u64 off = img->strtab + name;

	if (off >= img->size)
		return false;
	if (osl_read_str(got, (const char *)(img->base + off), MIN(sizeof(got), img->size - off)) <=
	    0)
		return false;
	for (u32 i = 0; i < sizeof(got); i++) {
		if (got[i] != want[i])
			return false;
		if (!got[i])
			return true;
	}
	return false;
}

void *osl_vdso_sym(u64 base, const char *name)
{
	struct image img = {.base = base};

	if (!base || !read_headers(&img) || !read_dynamic(&img))
		return NULL;
	/* the string table follows the symbol table in every vDSO; that bounds the symbols */
	for (u32 i = 1; i < VDSO_MAX_SYMS; i++) {
		struct elf64_sym s;
		u64 off = img.symtab + i * sizeof(s);

		if (off + sizeof(s) > img.strtab || !image_read(&img, off, &s, sizeof(s)))
			return NULL;
		if ((s.st_info & 15) != STT_FUNC || !s.st_shndx || !name_is(&img, s.st_name, name))
			continue;
		off = s.st_value - img.bias;
		return off < img.etext ? (void *)(base + off) : NULL;
	}
	return NULL;
}
