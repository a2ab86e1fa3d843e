/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that a file's debug information takes.
 *
 * Model: libelf maps the file, privately, and libdw reads through it; what has been read stays in
 * memory. (What is compressed comes from a copy: dwarf_unpack.c.) Of a library with gigabytes of
 * debug information that is the most of all that a conversion takes, so pages of the file are
 * given back now and then: what is looked at again is read again.
 *
 * Rules: only pages of a file, which nobody has changed. Of relocatable files libdwfl changes them.
 * That it is a file that is mapped says the kernel, as libelf doesn't.
 */
#include <gelf.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "btf/dwarf_conv.h"

/* The end of the file's mapping that begins at @start, 0: it is memory, or not the whole. */
static unsigned long end_of_mapping(unsigned long start)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, end, inode;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %*x %*x:%*x %lu", &from, &end, &inode) == 3 &&
		    from == start)
			return inode ? end : 0;
	}
	return 0;
}

void dwarf_give_pages_back(Elf *elf)
{
	unsigned long start, end;
	GElf_Ehdr eh;

	if (!elf || !gelf_getehdr(elf, &eh) || eh.e_type == ET_REL)
		return;
	start = (unsigned long)elf_rawfile(elf, NULL);
	end = start ? end_of_mapping(start) : 0;
	if (end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}
