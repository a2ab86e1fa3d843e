/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Typed programs, SEC("uentry/...") and SEC("uexit/..."), of libbpf programs that know nothing of
 * them.
 *
 * Model: libbpf asks whoever has registered a section's name before it loads and attaches such a
 * program. We have, before main(), where the process has a libbpf of its own that one can ask.
 * Where the function is and what its types are tells another process, `ebpfrt` ($EBPFRT_CLI), which
 * knows how to find that out; what it writes is an answer and the types as BTF.
 *
 * Rules: nothing is linked with libbpf: its functions are looked for. What it hands us of
 * structures is its ABI, which only grows. Only in the library that is preloaded.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "surface/internal.h"
#include "surface/typed.h"

#define TYPES_MAX (16u << 20)

struct bpf_program;
struct bpf_link;

/* struct bpf_prog_load_opts, as far as its oldest version goes */
struct load_opts {
	size_t sz;
	int attempts;
	u32 expected_attach_type, prog_btf_fd, prog_flags, prog_ifindex, kern_version;
	u32 attach_btf_id, attach_prog_fd, attach_btf_obj_fd;
};

/* struct libbpf_prog_handler_opts */
struct handler_opts {
	size_t sz;
	long cookie;
	int (*setup)(struct bpf_program *prog, long cookie);
	int (*prepare)(struct bpf_program *prog, struct load_opts *opts, long cookie);
	int (*attach)(const struct bpf_program *prog, long cookie, struct bpf_link **link);
};

static struct {
	int (*handle)(const char *sec, u32 type, u32 attach, const struct handler_opts *opts);
	const char *(*section)(const struct bpf_program *prog);
	struct bpf_link *(*uprobe)(const struct bpf_program *prog, bool ret, pid_t pid,
				   const char *path, size_t offset);
} libbpf;

/* What is known of a program that was loaded. */
struct place {
	struct place *next;
	const struct bpf_program *prog;
	struct typed_answer at;
	int types; /* BTF, as long as the program is about to be loaded, and then */
};
static struct place *places;

/* --- the other process ----------------------------------------------------------------------- */

extern char **environ;

static bool is_left_out(const char *var)
{
	return !strncmp(var, "LD_PRELOAD=", 11);
}

/* Our environment without what would bring us there, too; malloc'ed. */
static char **without_us(void)
{
	char **v;
	u32 n = 0;

	while (environ && environ[n])
		n++;
	v = calloc(n + 1, sizeof(char *));
	for (u32 i = 0, k = 0; v && i < n; i++)
		if (!is_left_out(environ[i]))
			v[k++] = environ[i];
	return v;
}

static int start(const char *section, int out, pid_t *pid)
{
	const char *cli = secure_getenv(TYPED_CLI), *targets = secure_getenv("EBPFRT_TARGETS");
	char *argv[] = {(char *)cli,	 (char *)TYPED_COMMAND, (char *)"--targets",
			(char *)targets, (char *)section,	NULL};
	_cleanup_free_ char **env = without_us();
	posix_spawn_file_actions_t files;
	int err;

	if (!cli || !env)
		return -ENOENT;
	if (!targets || !*targets) {
		argv[2] = (char *)section;
		argv[3] = NULL;
	}
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	err = posix_spawn(pid, cli, &files, NULL, argv, env);
	posix_spawn_file_actions_destroy(&files);
	return -err;
}

static int take_types(int fd, struct place *p)
{
	union bpf_attr attr = {.btf_size = p->at.size};
	_cleanup_free_ void *types = NULL;
	int err;

	if (p->at.magic != TYPED_MAGIC || !p->at.size || p->at.size > TYPES_MAX ||
	    !memchr(p->at.path, 0, sizeof(p->at.path)))
		return -EINVAL;
	types = malloc(p->at.size);
	err = types ? read_full(fd, types, p->at.size, IO_HERE) : -ENOMEM;
	if (err)
		return err;
	attr.btf = (u64)(uintptr_t)types;
	p->types = (int)syscall(SYS_bpf, BPF_BTF_LOAD, &attr, sizeof(attr));
	return p->types < 0 ? -errno : 0;
}

/* What it can't find it says itself, on standard error. */
static int ask(const char *section, struct place *p)
{
	int pipefd[2], err;
	pid_t pid = 0;

	if (pipe2(pipefd, O_CLOEXEC))
		return -errno;
	err = start(section, pipefd[1], &pid);
	close(pipefd[1]);
	if (!err)
		err = read_full(pipefd[0], &p->at, sizeof(p->at), IO_HERE) ? -ENOENT : 0;
	if (!err)
		err = take_types(pipefd[0], p);
	close(pipefd[0]);
	if (pid > 0)
		wait_child(pid);
	return err;
}

/* --- for libbpf ------------------------------------------------------------------------------ */

static int prepare(struct bpf_program *prog, struct load_opts *opts, long cookie)
{
	struct place *p = calloc(1, sizeof(*p));
	int err = p ? ask(libbpf.section(prog), p) : -ENOMEM;

	if (err) {
		free(p);
		return err;
	}
	p->prog = prog;
	p->next = places;
	places = p;
	opts->attach_btf_obj_fd = (u32)p->types;
	opts->attach_btf_id = 1;
	return 0;
}

static int attach(const struct bpf_program *prog, long cookie, struct bpf_link **link)
{
	const struct place *p = places;

	while (p && p->prog != prog)
		p = p->next;
	if (!p)
		return -ENOENT;
	*link = libbpf.uprobe(prog, false, -1, p->at.path, p->at.offset);
	return *link ? 0 : -errno;
}

static int handle(const char *section, u32 attach_type)
{
	const struct handler_opts opts = {.sz = sizeof(opts), .prepare = prepare, .attach = attach};

	return libbpf.handle(section, BPF_PROG_TYPE_TRACING, attach_type, &opts);
}

__attribute__((constructor)) static void begin(void)
{
	if (!secure_getenv(TYPED_CLI))
		return;
	libbpf.handle = dlsym(RTLD_DEFAULT, "libbpf_register_prog_handler");
	libbpf.section = dlsym(RTLD_DEFAULT, "bpf_program__section_name");
	libbpf.uprobe = dlsym(RTLD_DEFAULT, "bpf_program__attach_uprobe");
	if (!libbpf.handle || !libbpf.section || !libbpf.uprobe)
		return;
	handle("uentry+", BPF_TRACE_FENTRY);
	handle("uexit+", BPF_TRACE_FEXIT);
}
