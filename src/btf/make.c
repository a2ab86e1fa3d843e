/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libdw and libbpf's deduplication do, in a process of its own.
 *
 * Model: they read files of strangers, believe much of what they read, and recurse; so a child does
 * that, with limits to its time, memory and stack, and hands over the BTF in a memfd and a sentence
 * in shared memory. What becomes of it the parent checks as it would any file.
 *
 * Rules: the child never returns into the program it was forked from, and dies with it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/macros.h"
#include "btf/btf_priv.h"
#include "btf/dwarf_conv.h"

#define CPU_SECONDS 900
#define STACK_BYTES (100ull << 20) /* libbpf recurses along chains of structures */
#define DATA_BYTES (6ull << 30)

struct answer {
	int err;
	char why[BTF_WHY_MAX];
};

static void limit(int what, u64 value)
{
	struct rlimit r;

	if (getrlimit(what, &r))
		return;
	r.rlim_cur = MIN((u64)r.rlim_max, value);
	setrlimit(what, &r);
}

static void set_limits(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	limit(RLIMIT_CPU, CPU_SECONDS);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_STACK, STACK_BYTES);
#ifndef __SANITIZE_ADDRESS__
	limit(RLIMIT_DATA, DATA_BYTES);
#endif
}

struct job {
	const char *path; /* for messages */
	int (*run)(struct job *job, struct btf **out, struct answer *answer);
	const struct dwarf_opts *opts;
	struct btf *btf; /* to deduplicate */
};

/* In the child. */
static void do_job(struct job *job, int fd, struct answer *answer)
{
	struct btf *btf = NULL;
	const void *data;
	u32 len;

	answer->err = job->run(job, &btf, answer);
	if (!answer->err) {
		data = btf__raw_data(btf, &len);
		answer->err = data ? write_full(fd, data, len, IO_HERE) : -ENOMEM;
	}
	_exit(0);
}

static int explain(const char *path, int status, const struct answer *answer, char *why,
		   size_t why_size)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		snprintf(why, why_size,
			 "%s: its debug information takes too long to convert; give "
			 "its types with --btf FILE",
			 path);
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		snprintf(why, why_size,
			 "%s: its debug information can't be converted (signal %d); it may be "
			 "damaged: give its types with --btf FILE",
			 path, WTERMSIG(status));
	else if (answer->err && !answer->why[0])
		snprintf(why, why_size, "%s: its debug information can't be converted: %s", path,
			 strerror(-answer->err));
	else
		snprintf(why, why_size, "%.*s", BTF_WHY_MAX - 1, answer->why);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return -EBADMSG;
	return answer->err;
}

static int in_child(struct job *job, int fd, struct answer *answer, char *why, size_t why_size)
{
	pid_t parent = getpid(), pid = fork();
	int status;

	if (pid < 0) {
		snprintf(why, why_size, "%s: no process to convert its types in: %s", job->path,
			 strerror(errno));
		return -EAGAIN;
	}
	if (!pid) {
		set_limits(parent);
		do_job(job, fd, answer);
	}
	status = wait_child(pid);
	if (status < 0)
		return status;
	return explain(job->path, status, answer, why, why_size);
}

static int make(struct job *job, int *fd, char *why, size_t why_size)
{
	_cleanup_close_ int out = memfd_create("ebpfrt-btf", MFD_CLOEXEC);
	struct answer *answer;
	int err;

	if (out < 0)
		return -errno;
	answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (answer == MAP_FAILED)
		return -ENOMEM;
	err = in_child(job, out, answer, why, why_size);
	munmap(answer, sizeof(*answer));
	if (!err)
		*fd = TAKE_FD(out);
	return err;
}

static int run_dwarf(struct job *job, struct btf **out, struct answer *answer)
{
	return btf_from_dwarf(job->path, job->opts, out, answer->why, sizeof(answer->why));
}

static int run_dedup(struct job *job, struct btf **out, struct answer *answer)
{
	int err = btf_tidy(job->btf);

	if (!err)
		err = btf__dedup(job->btf, NULL);
	*out = job->btf;
	return err;
}

int btf_make(const char *path, const struct dwarf_opts *opts, int *fd, char *why, size_t why_size)
{
	struct job job = {.path = path, .run = run_dwarf, .opts = opts};

	return make(&job, fd, why, why_size);
}

int btf_deduplicate(struct btf *btf, struct btf **out)
{
	struct job job = {.path = "", .run = run_dedup, .btf = btf};
	_cleanup_close_ int fd = -1;
	char why[BTF_WHY_MAX];
	int err = make(&job, &fd, why, sizeof(why));

	return err ? err : btf_read_made(fd, out, NULL, NULL);
}
