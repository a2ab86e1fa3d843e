/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What works here, what doesn't, and what to do about it.
 *
 * Rules: a check tries the thing itself rather than guess from a version or a configuration file,
 * and names the setting only to say what to change. FAIL means that attaching or running can't
 * work; WARN that something narrower can't. Nothing here touches a process that isn't our child.
 */
#include "client/client.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "probe/probe.h"

struct doctor {
	void (*fn)(const struct ebpfrt_check *check, void *cookie);
	void *cookie;
	enum ebpfrt_verdict worst;
};

static void say(struct doctor *d, enum ebpfrt_verdict verdict, const char *name, const char *remedy,
		const char *fmt, ...) __printf_like(5, 6);

static void say(struct doctor *d, enum ebpfrt_verdict verdict, const char *name, const char *remedy,
		const char *fmt, ...)
{
	char detail[512];
	struct ebpfrt_check check = {verdict, name, detail, remedy};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	if (verdict > d->worst)
		d->worst = verdict;
	d->fn(&check, d->cookie);
}

/* First number of a file under /proc, or @missing. */
static long read_number(const char *path, long missing)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	long n;

	return f && fscanf(f, "%ld", &n) == 1 ? n : missing;
}

static void check_cpu(struct doctor *d)
{
#if defined(__LP64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	if (sizeof(struct arch_regs) == 168)
		say(d, EBPFRT_OK, "cpu", "", "x86-64: probes and native code");
	else
		say(d, EBPFRT_FAIL, "cpu", "use an x86-64 machine",
		    "this build can run programs but has no probes for this CPU");
#else
	say(d, EBPFRT_FAIL, "cpu", "use a 64-bit little-endian machine", "not supported");
#endif
}

static void check_runtime_dir(struct doctor *d)
{
	char path[108], why[256] = "";

	if (frame_runtime_dir(path, sizeof(path), why, sizeof(why)))
		say(d, EBPFRT_FAIL, "runtime directory",
		    "set $EBPFRT_RUNTIME_DIR to a directory that is yours alone (mode 0700)", "%s",
		    why);
	else
		say(d, EBPFRT_OK, "runtime directory", "", "%s", path);
}

static void check_memfd(struct doctor *d)
{
	static const u8 code[] = {ARCH_BREAK}; /* never executed */
	_cleanup_close_ int fd = osl_shm_create("ebpfrt-doctor", EBPFRT_PAGE_SIZE);
	_cleanup_close_ int image = osl_image_create("ebpfrt-doctor", code, sizeof(code));
	void *p;

	if (fd < 0 || osl_shm_seal(fd, OSL_SEAL_SIZE)) {
		say(d, EBPFRT_FAIL, "shared memory", "use a kernel with memfd_create(2) (3.17)",
		    "a sealed memfd can't be made: %s", strerror(fd < 0 ? -fd : errno));
		return;
	}
	if (image < 0 || osl_image_map(image, EBPFRT_PAGE_SIZE, &p)) {
		say(d, EBPFRT_FAIL, "executable memory",
		    "sysctl vm.memfd_noexec=0, or let the security policy map memfds executable",
		    "a memfd can't be mapped executable");
		return;
	}
	osl_shm_unmap(p, EBPFRT_PAGE_SIZE);
	say(d, EBPFRT_OK, "shared memory", "", "memfds can be sealed and mapped executable");
}

static int trace_child(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0))
		return -errno;
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -ECHILD;
	ptrace(PTRACE_DETACH, pid, 0, 0);
	return 0;
}

static void check_ptrace(struct doctor *d)
{
	pid_t pid = fork();
	int err;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	if (pid < 0) {
		say(d, EBPFRT_WARN, "ptrace", "", "can't fork to try it: %s", strerror(errno));
		return;
	}
	err = trace_child(pid);
	kill(pid, SIGKILL);
	wait_child(pid);
	if (err)
		say(d, EBPFRT_WARN, "ptrace",
		    "start programs with `ebpfrt run`, or allow ptrace (containers: --cap-add "
		    "SYS_PTRACE or a seccomp profile that permits it)",
		    "denied (%s): running processes can't be attached to, only started ones",
		    strerror(-err));
	else
		say(d, EBPFRT_OK, "ptrace", "", "a child can be traced");
}

static void check_yama(struct doctor *d)
{
	static const char *const remedy =
		"start programs with `ebpfrt run`, or sudo sysctl kernel.yama.ptrace_scope=0";
	long scope = read_number("/proc/sys/kernel/yama/ptrace_scope", -1);

	if (scope <= 0)
		say(d, EBPFRT_OK, "yama", "", "%s",
		    scope < 0 ? "not in this kernel" : "ptrace_scope is 0");
	else
		say(d, EBPFRT_WARN, "yama", remedy,
		    "ptrace_scope is %ld: only descendants of the tracer can be attached to",
		    scope);
}

static void check_seccomp(struct doctor *d)
{
	if (client_own_status("Seccomp") > 0)
		say(d, EBPFRT_WARN, "seccomp", "if attaching fails, try outside the container",
		    "this process runs under a seccomp filter");
	else
		say(d, EBPFRT_OK, "seccomp", "", "no filter");
}

static void check_file(struct doctor *d, const char *name, int (*find)(char *path, size_t size))
{
	char path[4096];

	if (find(path, sizeof(path)))
		say(d, EBPFRT_FAIL, name, "install ebpfrt again, or run it from its build tree",
		    "%s", ebpfrt_error());
	else
		say(d, EBPFRT_OK, name, "", "%s", path);
}

static void check_libbpf(struct doctor *d)
{
	if (libbpf_major_version() < 1)
		say(d, EBPFRT_FAIL, "libbpf", "install libbpf 1.1 or later", "version %s",
		    libbpf_version_string());
	else
		say(d, EBPFRT_OK, "libbpf", "", "%s", libbpf_version_string());
}

static void check_daemon(struct doctor *d)
{
	struct ebpfrt_status s;

	if (ebpfrt_status(&s))
		say(d, EBPFRT_FAIL, "daemon",
		    "see the line above this one that failed, or run ebpfrtd "
		    "by hand and read what it says",
		    "%s", ebpfrt_error());
	else
		say(d, EBPFRT_OK, "daemon", "", "ebpfrtd %s, pid %d, %u target%s, %u link%s",
		    s.version, s.daemon, s.targets, s.targets == 1 ? "" : "s", s.links,
		    s.links == 1 ? "" : "s");
}

static void check_process_kind(struct doctor *d, const struct probe_process *p)
{
	if (p->statically_linked)
		say(d, EBPFRT_WARN, "preload", "attach to it by PID instead of `ebpfrt run`",
		    "%s is statically linked: it ignores LD_PRELOAD", p->exe);
	if (p->setuid)
		say(d, EBPFRT_WARN, "preload", "run it without the setuid bit",
		    "%s changes its user: it ignores LD_PRELOAD", p->exe);
	if (p->go)
		say(d, EBPFRT_OK, "go", "",
		    "a Go program: its stacks move, returns are probed at the functions' ret "
		    "instructions");
	if (p->shadow_stack)
		say(d, EBPFRT_OK, "shadow stack", "",
		    "in force: returns are probed at the functions' ret instructions");
}

static void check_process(struct doctor *d, pid_t pid)
{
	struct probe_process p;
	char why[PROBE_WHY_MAX] = "";

	if (probe_process_read(pid, &p, why)) {
		say(d, EBPFRT_FAIL, "process", "", "%s", why);
		return;
	}
	if (p.preloaded && !probe_process_may_call(&p, why))
		say(d, EBPFRT_OK, "process", "",
		    "%d (%s) holds the agent already: no ptrace needed", pid, p.comm);
	else if (probe_process_may_inject(&p, why))
		say(d, EBPFRT_FAIL, "process", "", "%s", why);
	else
		say(d, EBPFRT_OK, "process", "", "%d (%s) can be attached to", pid, p.comm);
	check_process_kind(d, &p);
}

__export enum ebpfrt_verdict
ebpfrt_doctor(pid_t pid, void (*fn)(const struct ebpfrt_check *check, void *cookie), void *cookie)
{
	struct doctor d = {.fn = fn, .cookie = cookie};

	check_cpu(&d);
	check_libbpf(&d);
	check_file(&d, "agent", ebpfrt_agent_path);
	check_file(&d, "surface library", ebpfrt_surface_path);
	check_runtime_dir(&d);
	check_memfd(&d);
	check_seccomp(&d);
	check_yama(&d);
	check_ptrace(&d);
	check_daemon(&d);
	if (pid)
		check_process(&d, pid);
	return d.worst;
}
