/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory that a file's debug information takes.
 *
 * Model: libelf maps the file, privately, and libdw reads through it, or makes the whole of each
 * compressed section anew; what has been read stays in memory. Of a library with gigabytes of debug
 * information that is the most of all that a conversion takes, so pages of the file are given
 * back now and then: what is looked at again is read again.
 *
 * Rules: only pages of the file itself, which nobody has changed. Of relocatable files libdwfl
 * changes them. How the process is mapped says the kernel, as libelf doesn't.
 */
#include <gelf.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/macros.h"
#include "btf/dwarf_conv.h"

struct mapping {
	unsigned long start, end, inode;
	unsigned int major, minor;
	char perms[5];
};

static void give_back(const char *path)
{
	struct mapping m;
	char line[512];
	struct stat st;
	FILE *f;

	if (stat(path, &st))
		return;
	f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %4s %*x %x:%x %lu", &m.start, &m.end, m.perms, &m.major,
			   &m.minor, &m.inode) == 6 &&
		    m.inode == st.st_ino && m.major == major(st.st_dev) &&
		    m.minor == minor(st.st_dev) && m.perms[2] != 'x')
			madvise((void *)m.start, m.end - m.start, MADV_DONTNEED);
	if (f)
		fclose(f);
}

void dwarf_give_pages_back(Dwfl_Module *mod, Elf *elf)
{
	const char *main_file = NULL, *debug_file = NULL;
	GElf_Ehdr eh;

	if (!mod || !elf || !gelf_getehdr(elf, &eh) || eh.e_type == ET_REL)
		return;
	dwfl_module_info(mod, NULL, NULL, NULL, NULL, NULL, &main_file, &debug_file);
	if (debug_file)
		give_back(debug_file);
	else if (main_file)
		give_back(main_file);
}
