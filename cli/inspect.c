/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at an object file in a child that may crash, hang or eat memory.
 *
 * Model: the child opens the file with libbpf and writes a struct description to a pipe; a crash, a
 * time-out or a short description is the file's fault. The child is a fork without exec: libbpf's
 * open needs no descriptor and no connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/object.h"
#include "cli/out.h"

#define INSPECT_SECONDS 5
#define INSPECT_MEMORY (2UL << 30)

struct description {
	s32 err;
	u32 nprogs, nneeds;
	char why[256];
	struct object_prog progs[OBJECT_PROGS_MAX];
	struct btf_need needs[OBJECT_NEEDS_MAX];
};

/* --- in the child --- */

static struct description *child_description;

static int keep_first_warning(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	struct description *d = child_description;
	size_t n;

	if (level != LIBBPF_WARN || d->why[0])
		return 0;
	vsnprintf(d->why, sizeof(d->why), fmt, ap);
	n = strcspn(d->why, "\n");
	d->why[n] = 0;
	if (!strncmp(d->why, "libbpf: ", 8))
		memmove(d->why, d->why + 8, strlen(d->why + 8) + 1);
	return 0;
}

static void mark_called(const char *name, void *cookie)
{
	struct description *d = cookie;

	for (u32 i = 0; i < d->nprogs; i++)
		d->progs[i].called |= !strcmp(d->progs[i].name, name);
}

static void describe(const char *file, struct description *d)
{
	struct bpf_object *bpf = bpf_object__open_file(file, NULL);
	struct bpf_program *prog;
	int n;

	if (!bpf) {
		d->err = -errno;
		return;
	}
	bpf_object__for_each_program (prog, bpf) {
		struct object_prog *p = &d->progs[d->nprogs];

		if (d->nprogs == OBJECT_PROGS_MAX) {
			d->err = -E2BIG;
			snprintf(d->why, sizeof(d->why), "more than %d programs", OBJECT_PROGS_MAX);
			return;
		}
		snprintf(p->name, sizeof(p->name), "%s", bpf_program__name(prog));
		snprintf(p->section, sizeof(p->section), "%s", bpf_program__section_name(prog));
		p->type = bpf_program__type(prog);
		p->optional = !bpf_program__autoload(prog);
		d->nprogs++;
	}
	btf_slots(file, mark_called, d);
	n = btf_needs(file, d->needs, OBJECT_NEEDS_MAX);
	d->nneeds = n > 0 ? n : 0;
	if (n == -E2BIG) {
		d->err = n;
		snprintf(d->why, sizeof(d->why), "its relocations name more than %d types",
			 OBJECT_NEEDS_MAX);
	}
}

static void limit_child(void)
{
	struct rlimit cpu = {INSPECT_SECONDS, INSPECT_SECONDS}, none = {0, 0};
#ifndef __SANITIZE_ADDRESS__
	struct rlimit memory = {INSPECT_MEMORY, INSPECT_MEMORY};

	setrlimit(RLIMIT_AS, &memory);
#endif
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
}

static void write_whole(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n <= 0)
			return;
		p += n;
		len -= n;
	}
}

static _Noreturn void child_main(const char *file, int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	limit_child();
	/* what the C library says when it aborts is no message of ours */
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	child_description = calloc(1, sizeof(*child_description));
	if (!child_description)
		_exit(1);
	libbpf_set_print(keep_first_warning);
	describe(file, child_description);
	write_whole(fd, child_description, sizeof(*child_description));
	_exit(0);
}

/* --- in the parent --- */

/* Bytes read until the end, the time-out, or @len. */
static size_t read_whole(int fd, void *data, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t at = 0;

	while (at < len && poll(&p, 1, (INSPECT_SECONDS + 1) * 1000) > 0) {
		ssize_t n = read(fd, (char *)data + at, len - at);

		if (n <= 0)
			break;
		at += n;
	}
	return at;
}

static int run_child(const char *file, struct description *d, bool *slow)
{
	int fds[2], status;
	size_t got;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return out_error("cannot make a pipe: %s", strerror(errno)), -EMFILE;
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child_main(file, fds[1]);
	close(fds[1]);
	got = pid < 0 ? 0 : read_whole(fds[0], d, sizeof(*d));
	close(fds[0]);
	if (pid < 0)
		return out_error("cannot fork to look at %s: %s", file, strerror(errno)), -EAGAIN;
	if (got < sizeof(*d))
		kill(pid, SIGKILL);
	status = wait_child(pid);
	*slow = status >= 0 && WIFSIGNALED(status) &&
		(WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGXCPU);
	return got == sizeof(*d) ? 0 : -ENOEXEC;
}

static int check_is_file(const char *file)
{
	struct stat st;

	if (stat(file, &st) || access(file, R_OK))
		return out_error("cannot open %s: %s", file, strerror(errno)), -ENOENT;
	if (!S_ISREG(st.st_mode))
		return out_error("%s is not a file", file), -EINVAL;
	return 0;
}

static int refuse(const char *file, const struct description *d)
{
	char clean[256];

	if (d->err == -ENOEXEC || d->err == -LIBBPF_ERRNO__FORMAT || !d->why[0] ||
	    strstr(d->why, "BTF is required"))
		out_error("%s is not a valid BPF object (%s)\n  compile it with "
			  "`clang -g -O2 -target bpf -c`",
			  file,
			  d->why[0] ? out_clean(d->why, clean, sizeof(clean)) : strerror(-d->err));
	else
		out_error("%s is not a valid BPF object (%s)", file,
			  out_clean(d->why, clean, sizeof(clean)));
	return d->err;
}

int object_inspect(const char *file, struct object **out)
{
	_cleanup_free_ struct description *d = calloc(1, sizeof(*d));
	_cleanup_free_ struct btf_need *needs = calloc(OBJECT_NEEDS_MAX, sizeof(*needs));
	_cleanup_free_ struct object *obj = calloc(1, sizeof(*obj));
	bool slow = false;
	int err;

	if (!d || !obj || !needs)
		return out_error("out of memory"), -ENOMEM;
	err = check_is_file(file);
	if (err)
		return err;
	err = run_child(file, d, &slow);
	if (err == -ENOEXEC)
		out_error("%s is not a valid BPF object (the loader %s)", file,
			  slow ? "did not come to an end with it" : "crashed on it");
	if (err)
		return err;
	if (d->err)
		return refuse(file, d);
	obj->file = file;
	obj->nprogs = MIN(d->nprogs, (u32)OBJECT_PROGS_MAX);
	obj->nneeds = MIN(d->nneeds, (u32)OBJECT_NEEDS_MAX);
	memcpy(obj->progs, d->progs, sizeof(obj->progs));
	memcpy(needs, d->needs, obj->nneeds * sizeof(*needs));
	if (!obj->nprogs)
		return out_error("%s holds no BPF program", file), -EINVAL;
	obj->needs = TAKE_PTR(needs);
	*out = TAKE_PTR(obj);
	return 0;
}
