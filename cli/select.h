/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Naming objects on the command line, as bpftool does: id N, name X, tag T, pinned FILE. And
 * walking all of a kind.
 */
#pragma once

#include "base/macros.h"

enum select_kind { SELECT_PROG, SELECT_MAP, SELECT_LINK, SELECT_BTF };

/*
 * The object that @words (two of them: id N ...) names: a descriptor, the caller's; or -errno after
 * a message. A name that several objects have is refused with their ids.
 */
int select_object(enum select_kind kind, char *const *words, int n);

/* Call @fn with id and a descriptor (borrowed) of every object until it returns non-zero. 0 or
 * -errno after a message. */
int select_each(enum select_kind kind, int (*fn)(u32 id, int fd, void *cookie), void *cookie);

/* Subcommands of a noun: "show", "list", ... ended by word NULL. */
struct verb {
	const char *word;
	int (*run)(char **words, int n);
};
/* Run the verb words[0] names (none: the first). Exit status. */
int select_verb(const char *noun, const struct verb *verbs, char **words, int n);

/* Connect, with a message. 0 or -errno. */
int select_connect(void);
