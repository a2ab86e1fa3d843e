/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names as C has them, for types of other languages.
 *
 * Model: what separates (ns::Name, crate::Name) becomes two underscores, whatever else C can't read
 * one: Vec<int> is Vec_int_. There are never three in a row where there were none: what follows
 * three is a flavour (libbpf strips it). A keyword gets an underscore behind it.
 *
 * Rules: a program names a type as the header has it, so the header and the BTF that objects are
 * relocated against go through the same function.
 */
#include <bpf/btf.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "btf/btf_priv.h"

static const char *const number_words[] = {"_Bool",
					   "char",
					   "double",
					   "float",
					   "int",
					   "long",
					   "short",
					   "signed",
					   "unsigned",
					   "__int128",
					   "__ARRAY_SIZE_TYPE__"};
static const char *const keywords[] = {
	"auto",	  "break",    "case",	"char",	    "const",	"continue", "default", "do",
	"double", "else",     "enum",	"extern",   "float",	"for",	    "goto",    "if",
	"inline", "int",      "long",	"register", "restrict", "return",   "short",   "signed",
	"sizeof", "static",   "struct", "switch",   "typedef",	"typeof",   "union",   "unsigned",
	"void",	  "volatile", "while",	"asm"};

static bool among(const char *word, size_t len, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strncmp(words[i], word, len) && !words[i][len])
			return true;
	}
	return false;
}

bool btf_name_is_c_number(const char *name)
{
	while (*name) {
		size_t len = strcspn(name, " ");

		if (!among(name, len, number_words, ARRAY_SIZE(number_words)))
			return false;
		name += len + strspn(name + len, " ");
	}
	return true;
}

static bool is_plain(const char *name)
{
	if (isdigit((unsigned char)*name))
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	}
	return true;
}

/* Into @out, of strlen(name) + 3 bytes. */
static void translate(const char *name, char *out)
{
	u32 run = 0; /* underscores at the end */
	char *p = out;

	if (isdigit((unsigned char)*name))
		*p++ = '_';
	for (; *name; name++) {
		bool keep = isalnum((unsigned char)*name) || *name == '_';

		if (!keep && *name != ':' && run)
			continue; /* one for all that follow each other */
		if (!keep && run >= 2)
			continue;
		*p++ = keep ? *name : '_';
		run = p[-1] == '_' ? run + 1 : 0;
		if (run > 2)
			p--, run--;
	}
	*p = 0;
}

static bool is_keyword(const char *name)
{
	/* _Float128 and its like are, or aren't, as the target of the compiler has them */
	return !strncmp(name, "_Float", 6) || !strncmp(name, "__float", 7) ||
	       among(name, strlen(name), keywords, ARRAY_SIZE(keywords));
}

/* The offset of a name for C in place of @off, or -ENOMEM. */
static int for_c(struct btf *btf, u32 off)
{
	const char *name = btf__name_by_offset(btf, off);
	char *out;
	int at;

	if (!name || !*name)
		return (int)off;
	if (is_plain(name) && !is_keyword(name))
		return (int)off;
	out = malloc(strlen(name) + 3);
	if (!out)
		return -ENOMEM;
	if (is_plain(name))
		strcat(strcpy(out, name), "_");
	else
		translate(name, out);
	at = btf__add_str(btf, out);
	free(out);
	return at;
}

/* The @i-th name in a type, by where its offset is; NULL: no more. The type's own is the last. */
static u32 *name_at(struct btf_type *t, u32 i)
{
	u32 n = btf_is_composite(t) || btf_is_any_enum(t) || btf_is_func_proto(t) ? btf_vlen(t) : 0;

	if (i == n)
		return &t->name_off;
	if (i > n)
		return NULL;
	switch (btf_kind(t)) {
	case BTF_KIND_ENUM:
		return &btf_enum(t)[i].name_off;
	case BTF_KIND_ENUM64:
		return &btf_enum64(t)[i].name_off;
	case BTF_KIND_FUNC_PROTO:
		return &btf_params(t)[i].name_off;
	default:
		return &btf_members(t)[i].name_off;
	}
}

static int rename_type(struct btf *btf, u32 id)
{
	struct btf_type *t = (struct btf_type *)btf__type_by_id(btf, id);
	u32 *name;

	/* numbers may have spaces in their names, functions are symbols */
	if (btf_is_func(t) || btf_is_var(t) || btf_is_datasec(t))
		return 0;
	if ((btf_is_int(t) || btf_is_float(t)) &&
	    btf_name_is_c_number(btf__name_by_offset(btf, t->name_off)))
		return 0;
	for (u32 i = 0; (name = name_at(t, i)); i++) {
		int off = for_c(btf, *name);

		if (off < 0)
			return off;
		*name = (u32)off;
	}
	return 0;
}

int btf_names_for_c(struct btf *btf)
{
	/* what was read as it is moves when it is first added to: pointers into it are from then on
	 */
	int err = btf__add_str(btf, "_");

	for (u32 id = 1; err >= 0 && id < btf__type_cnt(btf); id++)
		err = rename_type(btf, id);
	return err < 0 ? err : 0;
}
