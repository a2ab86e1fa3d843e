/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split DWARF as libdw can read it.
 *
 * Model: libdw (0.188) takes one section of each name, and knows no packages. So a .dwo file in
 * which every type unit has sections of its own (gcc -fdebug-types-section) is put together, as an
 * ELF file in memory, with what types are made of. A package (.dwp) has one section of each name;
 * which part of it a unit has, its index says. In our copy of it the units' abbreviations are
 * counted from the beginning of the section, and libdw reads all units as those of one file: so a
 * type unit that several files had, and the package has once, is found from all of them. What libdw
 * can't be told is where a unit's strings are: they are looked up here.
 *
 * Rules: in a process of its own, as all of DWARF, and one package at a time. No string of a DIE is
 * asked of libdw itself.
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

/* As dwarf_formstring() and dwarf_diename(), also of what is in the package that is read. */
const char *dwo_string(Dwarf_Attribute *attr);
const char *dwo_name(const Dwarf_Die *die);
