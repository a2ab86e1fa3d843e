/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the types of a binary are.
 *
 * Model: what somebody has put there for this binary comes first: its .BTF section, FILE.btf beside
 * it; then what was made of its DWARF before, and last its DWARF. What is damaged is said, not
 * passed over: the next place might have other types.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/btf_priv.h"

static int beside(const char *binary, struct btf **out, char *why, size_t why_size)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s.btf", binary) >= (int)sizeof(path))
		return -ENOENT;
	if (access(path, F_OK))
		return -ENOENT;
	return btf_read_file(path, out, why, why_size);
}

#define PATIENCE_NS 1000000000ull

/* Of a conversion, as the child that converts sees it. */
struct progress {
	const char *binary;
	u64 since; /* the search for debug files is a part of the wait */
	u32 shown; /* of 100, and one more */
};

static u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * 1000000000ull + (u64)now.tv_nsec;
}

/* A line for people who wait, in place. */
static void show_progress(u32 percent, void *cookie)
{
	struct progress *p = cookie;

	if (percent == 100 && p->shown)
		dprintf(STDERR_FILENO, "\r\033[K");
	if (percent == 100 || percent + 1 == p->shown || now_ns() - p->since < PATIENCE_NS)
		return;
	p->shown = percent + 1;
	dprintf(STDERR_FILENO, "\rreading the types of %s: %u %%", p->binary, percent);
}

static void keep(const void *data, size_t len, void *cookie)
{
	btf_cache_put(cookie, data, len);
}

int btf_convert(const char *binary, const struct btf_opts *opts, struct btf **out, char *why,
		size_t why_size)
{
	struct progress progress = {.binary = binary, .since = now_ns()};
	struct dwarf_opts dwarf = {.debuginfo_dir = opts->debuginfo_dir, .cookie = &progress};
	_cleanup_close_ int fd = -1;
	int err;

	if (!opts->no_cache && !btf_cache_get(binary, out))
		return 0;
	if (!opts->quiet && isatty(STDERR_FILENO))
		dwarf.progress = show_progress;
	err = btf_make(binary, &dwarf, &fd, why, why_size);
	if (err)
		return err;
	err = btf_read_made(fd, out, opts->no_cache ? NULL : keep, (void *)binary);
	if (err)
		snprintf(why, why_size, "%s: its types can't be read back: %s", binary,
			 strerror(-err));
	return err;
}

int btf_find(const char *binary, const struct btf_opts *opts, struct btf **out, char *why,
	     size_t why_size)
{
	int err = btf_read_file(binary, out, why, why_size);

	if (err == -ENOENT && !access(binary, F_OK))
		err = beside(binary, out, why, why_size);
	if (err == -ENOENT && !access(binary, F_OK))
		err = btf_convert(binary, opts, out, why, why_size);
	return err;
}
