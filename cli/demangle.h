/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of C++ functions for people. The demangler is that of the C++ library, where there is one
 * on this machine: nothing is linked with it.
 */
#pragma once

/*
 * What the symbol @name stands for, without the types of its arguments and result:
 * "ns::Shape::grow". malloc'ed; a copy of @name when it is not C++, or nobody knows. NULL: no
 * memory.
 */
char *demangle(const char *name);

/* The same of a demangled name, in place: what is around the function's own name is cut off. */
void demangle_cut(char *text);
