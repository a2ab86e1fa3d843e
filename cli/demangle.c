/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of C++ functions: see demangle.h. */
#include "cli/demangle.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

typedef char *(*demangler)(const char *name, char *buf, size_t *size, int *status);

static demangler find(void)
{
	static demangler known;
	static bool asked;
	void *lib;

	if (asked)
		return known;
	asked = true;
	lib = dlopen("libstdc++.so.6", RTLD_LAZY);
	if (lib)
		known = (demangler)dlsym(lib, "__cxa_demangle");
	return known;
}

/* Where the bracket that ends at @end begins; NULL: nowhere. */
static char *opening(char *text, char *end)
{
	int depth = 0;

	for (char *p = end; p >= text; p--) {
		depth += *p == ')';
		depth -= *p == '(';
		if (!depth)
			return p;
	}
	return NULL;
}

/* Behind the result's type, which only templates have: the last space that is in no bracket. */
static char *own_name(char *text)
{
	char *name = text;
	int depth = 0;

	for (char *p = text; *p; p++) {
		depth += *p == '<' || *p == '(' || *p == '{';
		depth -= *p == '>' || *p == ')' || *p == '}';
		if (*p == ' ' && !depth)
			name = p + 1;
	}
	return name;
}

void demangle_cut(char *text)
{
	char *end = strrchr(text, ')'), *name;

	/* operators have brackets and spaces of their own */
	if (strstr(text, "operator"))
		return;
	end = end ? opening(text, end) : NULL;
	if (!end || end == text)
		return;
	*end = 0;
	name = own_name(text);
	memmove(text, name, strlen(name) + 1);
}

char *demangle(const char *name)
{
	const demangler how = strncmp(name, "_Z", 2) ? NULL : find();
	int status = -1;
	char *text = how ? how(name, NULL, NULL, &status) : NULL;

	if (!text || status) {
		free(text);
		return strdup(name);
	}
	demangle_cut(text);
	return text;
}
