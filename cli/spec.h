/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program wants to be attached to: parsed from its section's name or from --prog, then
 * resolved to places (file, offset) in the files a target maps.
 *
 * Accepted: libbpf's section names (uprobe/PATH:FUNC+OFF, uretprobe/..., uprobe.multi/PATH:GLOB,
 * uprobe.session/PATH:GLOB, usdt/PATH:PROVIDER:NAME, each also with .s), ours for typed programs
 * (uentry/PATH:FUNC, uexit/PATH:FUNC), the same with colons as
 * bpftrace writes them (uprobe:PATH:FUNC), and bcc's p:LIB:FUNC and r:LIB:FUNC.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/macros.h"
#include "probe/probe.h"

enum spec_kind {
	SPEC_NONE, /* a probe program whose section names no place */
	SPEC_UPROBE,
	SPEC_MULTI, /* func is a glob */
	SPEC_USDT,
	SPEC_OTHER, /* not a program for user space */
};

#define SPEC_TEXT_MAX 256
struct spec {
	enum spec_kind kind;
	bool ret;
	bool multi;	/* SPEC_MULTI, or SPEC_NONE of such a program: */
	bool session;	/* one program at entry and return */
	bool sleepable; /* it may call what sleeps */
	bool typed;	/* SPEC_UPROBE, or SPEC_NONE of such a program: it is told what the
			 * function's types say, at its entry or (ret) its return */
	char path[PATH_MAX];
	char func[SPEC_TEXT_MAX]; /* of SPEC_USDT: the probe's name */
	char provider[SPEC_TEXT_MAX];
	u64 offset;
};

#define SPEC_WHY_MAX 5120

/* 0, or -EINVAL with a sentence. */
int spec_parse(const char *text, struct spec *out, char why[SPEC_WHY_MAX]);

/* One word for it, as people know it: uprobe, uretprobe, uprobe.multi, usdt, uentry. */
const char *spec_kind_name(const struct spec *spec);

/* A function that a glob matches. */
struct point {
	u64 offset;
	char *name;
	u64 cookie; /* what a program is told there */
};

struct place {
	char path[PATH_MAX];
	u64 dev, ino;
	u64 offset;
	char name[SPEC_TEXT_MAX]; /* of the function, "" for a bare address; a glob as it is */
	struct point *points;	  /* of a glob, by offset; owned */
	u32 npoints;
};
void place_deinit(struct place *place);

/* Where to look: a live process, or a command that is about to start. */
struct spec_scope {
	pid_t pid;	 /* 0: none */
	const char *exe; /* of the command; NULL: none */
	bool mapped;	 /* only what the process has mapped, and no executable */
	u32 nth;	 /* with it: not the first file of that name, but so many later */
};

/* The path of a mapping of @pid as we can open it: by name, or through the target's own root. */
int spec_reach(const struct probe_mapping *m, pid_t pid, char path[PATH_MAX],
	       char why[SPEC_WHY_MAX]);

/*
 * The file a spec names, as @scope sees it: what the target maps first, then libbpf's search rules.
 * 0 and @path (PATH_MAX bytes), or -errno with a sentence.
 */
int spec_find_file(const char *name, const struct spec_scope *scope, char *path,
		   char why[SPEC_WHY_MAX]);

/* The files that @pid has mapped, the program first, by paths as we can open them. 0 or -errno. */
struct probe_files;
int spec_mapped_files(pid_t pid, struct probe_files *out);

/*
 * The place of @spec in @scope, to be given back with place_deinit(). A usdt's offset is unused; a
 * glob has points. 0, or -errno with a sentence: no such file, no such function (near misses), a
 * function that is chosen at run time (IFUNC) and can't be told from here.
 */
int spec_resolve(const struct spec *spec, const struct spec_scope *scope, struct place *out,
		 char why[SPEC_WHY_MAX]);
