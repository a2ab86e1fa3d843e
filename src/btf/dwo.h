/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split DWARF as libdw can read it.
 *
 * Model: libdw (0.188) takes one section of each name, and knows no packages. So a .dwo file in
 * which every type unit has sections of its own (gcc -fdebug-types-section) is put together, and a
 * package (.dwp) is taken apart again into the files it was made from, by its index; each becomes
 * an ELF file in memory, with what types are made of.
 *
 * Rules: in a process of its own, as all of DWARF. Type units that a package has once are found
 * from units of the same file only.
 */
#pragma once

#include <elfutils/libdw.h>
#include <stdbool.h>

/*
 * Call @fn with the DWARF of each file in @path, a .dwo or a .dwp file; it is gone when @fn
 * returns. 0; -ENOENT when @path isn't there, -EBADMSG when it makes no sense, -ENOMEM, or what @fn
 * returned.
 */
int dwo_read(const char *path, int (*fn)(Dwarf *dwarf, void *cookie), void *cookie);

/* Has libdw seen all of this .dwo file? */
bool dwo_is_whole(Dwarf *dwarf);
