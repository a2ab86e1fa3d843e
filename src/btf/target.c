/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Joining the types of what an object probes.
 *
 * Model: joined = built-in kernel types, then every type of every file found, ids shifted
 * (btf__add_btf). Types of the same name may be there several times, as in any BTF; CO-RE takes
 * those that have the member it looks for.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "btf/btf_priv.h"
#include "btf/builtin.h"

int btf_builtin(struct btf **out)
{
	_cleanup_free_ void *raw = NULL;
	u32 size;
	int err = btf_builtin_raw(&raw, &size);

	if (err)
		return err;
	*out = btf__new(raw, size);
	return *out ? 0 : -errno;
}

static int join_file(struct btf *into, const char *path, const struct btf_opts *opts, char *why,
		     size_t why_size)
{
	_cleanup_btf_ struct btf *one = NULL;
	int err = btf_find(path, opts, &one, why, why_size);

	if (!err)
		err = btf__add_btf(into, one);
	return err < 0 ? err : 0;
}

static int to_memfd(const struct btf *btf, int *fd, char *fd_path)
{
	_cleanup_close_ int m = memfd_create("ebpfrt-btf", MFD_CLOEXEC);
	const void *data;
	u32 len;
	int err;

	if (m < 0)
		return -errno;
	data = btf__raw_data(btf, &len);
	if (!data)
		return -ENOMEM;
	err = btf_write_all(m, data, len);
	if (err)
		return err;
	snprintf(fd_path, 64, "/proc/self/fd/%d", m);
	*fd = TAKE_FD(m);
	return 0;
}

/* Is @binary what a user means by @object: its path, its name, or "libssl" for libssl.so.3? */
static bool is_meant(const char *binary, const char *object, size_t len)
{
	const char *base = strrchr(binary, '/') ? strrchr(binary, '/') + 1 : binary;

	if (!strncmp(binary, object, len) && !binary[len])
		return true;
	return !strncmp(base, object, len) && (!base[len] || !strncmp(base + len, ".so", 3));
}

/* FILE of OBJ=FILE, with the length of OBJ; NULL for a file whose name just has such a sign. */
static const char *named_object(const char *entry, size_t *len)
{
	const char *equals = strchr(entry, '=');

	if (!equals || equals == entry || !access(entry, F_OK))
		return NULL;
	*len = (size_t)(equals - entry);
	return equals + 1;
}

/* The file that the user names for @binary, NULL: none. */
static const char *file_for(const struct btf_request *r, const char *binary)
{
	for (u32 i = 0; i < r->nuser; i++) {
		size_t len;
		const char *file = named_object(r->user[i], &len);

		if (file && is_meant(binary, r->user[i], len))
			return file;
	}
	return NULL;
}

static bool is_probed(const struct btf_request *r, const char *object, size_t len)
{
	for (const char *const *b = r->binaries; b && *b; b++) {
		if (is_meant(*b, object, len))
			return true;
	}
	return false;
}

/* Files for every target; and a look at whether those for one are for one that is there. */
static int join_users(struct btf *into, const struct btf_request *r, int *found, char *why,
		      size_t why_size)
{
	for (u32 i = 0; i < r->nuser; i++) {
		size_t len;
		const char *file = named_object(r->user[i], &len);
		int err;

		if (file && !is_probed(r, r->user[i], len)) {
			snprintf(why, why_size,
				 "--btf %s: nothing that is probed is called %.*s; say --btf FILE "
				 "for types of any target",
				 r->user[i], (int)len, r->user[i]);
			return -EINVAL;
		}
		if (file)
			continue;
		err = join_file(into, r->user[i], &r->opts, why, why_size);
		if (err)
			return err;
		(*found)++;
	}
	return 0;
}

/* The types of @binary. Having none, or not being allowed to look, is no error. */
static int join_binary(struct btf *into, const struct btf_request *r, const char *binary,
		       int *found, char *why, size_t why_size)
{
	const char *file = file_for(r, binary);
	int err = join_file(into, file ? file : binary, &r->opts, why, why_size);

	if (!err)
		(*found)++;
	if (!file && (err == -EACCES || err == -ENOENT))
		return 0;
	return err;
}

static int join_all(struct btf *into, const struct btf_request *r, int *found, char *why,
		    size_t why_size)
{
	int err = join_users(into, r, found, why, why_size);

	/* a file for every target stands in place of what they have */
	if (err || *found)
		return err;
	for (const char *const *b = r->binaries; !err && b && *b; b++)
		err = join_binary(into, r, *b, found, why, why_size);
	return err;
}

int btf_for_object(const struct btf_request *r, int *fd, char *fd_path, int *found, char *why,
		   size_t why_size)
{
	_cleanup_btf_ struct btf *all = NULL;
	int n = 0, err;

	err = btf_builtin(&all);
	if (err) {
		snprintf(why, why_size, "cannot describe the built-in types: %s", strerror(-err));
		return err;
	}
	err = join_all(all, r, &n, why, why_size);
	if (err)
		return err;
	err = btf_names_for_c(all);
	if (!err)
		err = to_memfd(all, fd, fd_path);
	if (err) {
		snprintf(why, why_size, "cannot write the joined BTF: %s", strerror(-err));
		return err;
	}
	*found = n;
	return 0;
}
