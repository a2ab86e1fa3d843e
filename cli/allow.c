/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --allow-call LIB:FUNC[,signal-safe]: functions of the target that programs may call.
 *
 * Model: the binary is found as a probe's is, its types tell how the function is called. What is
 * allowed is handed to the surface once, for the life of this process; or, by way of descriptors
 * and an environment variable, to the surface in the program that this process becomes (exec).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "base/cleanup.h"
#include "btf/btf.h"
#include "btf/callee.h"
#include "cli/commands.h"
#include "cli/object.h"
#include "cli/out.h"
#include "surface/surface.h"

static struct {
	struct ebpf_callee v[EBPF_CALLEES_MAX];
	struct btf *types[EBPF_CALLEES_MAX];
	u32 n;
} allowed;

#define HANDED_DOWN 64 /* the first number of a descriptor */
#define SIGNAL_SAFE ",signal-safe"

/* Takes the end off @text. */
static bool is_signal_safe(char *text)
{
	const size_t len = strlen(text), end = strlen(SIGNAL_SAFE);

	if (len <= end || strcmp(text + len - end, SIGNAL_SAFE) != 0)
		return false;
	text[len - end] = 0;
	return true;
}

static int find_function(const char *what, const char *option, const struct spec_scope *scope,
			 struct ebpf_callee *c)
{
	char text[SPEC_TEXT_MAX + 16], why[SPEC_WHY_MAX] = "";
	struct place place = {0};
	struct spec spec;
	int err = -EINVAL;

	snprintf(text, sizeof(text), "uprobe:%s", what);
	if (!strchr(what, ':') || spec_parse(text, &spec, why) || spec.kind != SPEC_UPROBE ||
	    spec.offset)
		return out_error("--allow-call %s: it is LIB:FUNC or LIB:FUNC,signal-safe", option),
		       -EINVAL;
	err = spec_resolve(&spec, scope, &place, why);
	if (err) {
		out_error("--allow-call %s: %s", option, why);
	} else if (strlen(place.path) >= sizeof(c->file) || strlen(spec.func) >= sizeof(c->name)) {
		err = -ENAMETOOLONG;
		out_error("--allow-call %s: the names are too long", option);
	} else {
		err = !strncmp(place.name, "_Z", 2) ? -EOPNOTSUPP : 0;
		if (err)
			out_error("--allow-call %s: it is C++: only functions with C names can be "
				  "called, as it is by its name alone that a program declares one",
				  option);
		c->offset = place.offset;
		snprintf(c->file, sizeof(c->file), "%s", place.path);
		snprintf(c->name, sizeof(c->name), "%s", spec.func);
	}
	place_deinit(&place);
	return err;
}

/* Types that are there already, of the same file. */
static struct btf *types_of(const char *file)
{
	for (u32 i = 0; i < allowed.n; i++)
		if (!strcmp(allowed.v[i].file, file))
			return allowed.types[i];
	return NULL;
}

static int allow_one(const char *option, const struct object_opts *opts,
		     const struct spec_scope *scope)
{
	struct ebpf_callee *c = &allowed.v[allowed.n];
	const struct btf_opts how = {.debuginfo_dir = opts->debuginfo, .quiet = common.quiet};
	struct btf *types;
	char text[SPEC_TEXT_MAX], why[BTF_WHY_MAX] = "", func[sizeof(c->name)];
	int err;

	if (allowed.n == EBPF_CALLEES_MAX)
		return out_error("at most %u functions can be allowed", EBPF_CALLEES_MAX), -E2BIG;
	*c = (struct ebpf_callee){0};
	snprintf(text, sizeof(text), "%s", option);
	c->flags = is_signal_safe(text) ? EBPF_CALLEE_SIGNAL_SAFE : 0;
	err = find_function(text, option, scope, c);
	if (err)
		return err;
	types = types_of(c->file);
	err = types ? 0 : btf_find(c->file, &how, &types, why, sizeof(why));
	snprintf(func, sizeof(func), "%s", c->name);
	err = err ? err : btf_callee(types, func, c, why, sizeof(why));
	if (err)
		return out_error("--allow-call %s: how it is called is not known: %s", option, why),
		       err;
	allowed.types[allowed.n++] = types;
	return 0;
}

/* All of them, and @fd of the types in which they are. */
static int allow_all(const struct object_opts *opts, const struct spec_scope *scope, int *fd)
{
	char why[BTF_WHY_MAX] = "";
	int err = 0;

	for (u32 i = 0; !err && i < opts->calls.n; i++)
		err = allow_one(opts->calls.v[i], opts, scope);
	if (err)
		return err;
	err = btf_callee_types(allowed.types, allowed.v, allowed.n, fd, why, sizeof(why));
	return err ? out_error("%s", why), err : 0;
}

int object_allow_calls(const struct object_opts *opts, const struct spec_scope *scope)
{
	int fd, err;

	if (allowed.n || !opts->calls.n)
		return 0;
	err = allow_all(opts, scope, &fd);
	if (!err)
		surface_allow_calls(allowed.v, allowed.n, fd);
	return err;
}

/* A descriptor that programs we become have, too, and above those that scripts number themselves.
 */
static int inherited(int fd)
{
	int high = fcntl(fd, F_DUPFD, HANDED_DOWN);

	return high < 0 ? fcntl(fd, F_DUPFD, 3) : high;
}

static int write_list(int fd)
{
	const ssize_t size = (ssize_t)(allowed.n * sizeof(allowed.v[0]));

	return write(fd, allowed.v, (size_t)size) == size ? 0 : -EIO;
}

int object_hand_calls_down(const struct object_opts *opts, const struct spec_scope *scope)
{
	_cleanup_close_ int types = -1, list = memfd_create("ebpfrt-allowed", MFD_CLOEXEC);
	char text[32];
	int err;

	if (!opts->calls.n)
		return 0;
	err = allow_all(opts, scope, &types);
	if (err)
		return err;
	err = list < 0 ? -errno : write_list(list);
	if (!err) {
		snprintf(text, sizeof(text), "%d:%d", inherited(list), inherited(types));
		err = setenv(SURFACE_CALLEES, text, 1) ? -errno : 0;
	}
	if (err)
		out_error("the allowed functions cannot be handed down: %s", strerror(-err));
	return err;
}
