/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What /proc says of a process, and whether it may be injected into.
 *
 * Whether ptrace is allowed is asked of the kernel rather than worked out: opening /proc/PID/mem
 * goes through the same check (uid, dumpable, Yama) and stops nobody. Only when it says no is the
 * reason looked for, to name the remedy.
 */
#include "probe_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"

#define FLAG_KTHREAD 0x00200000u /* PF_KTHREAD, in /proc/PID/stat */
#define SECCOMP_STRICT 1

/* /proc/PID/stat: the name in parentheses may hold anything, so fields count from the last ')'. */
static int read_stat(pid_t pid, struct probe_process *p)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], buf[1024], *open, *close;
	unsigned int flags;
	u64 memory;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	buf[n] = 0;
	open = strchr(buf, '(');
	close = strrchr(buf, ')');
	if (!open || !close || close < open)
		return -ESRCH;
	*close = 0;
	snprintf(p->comm, sizeof(p->comm), "%s", open + 1);
	if (sscanf(close + 1,
		   " %*c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
		   "%" SCNu64 " %" SCNu64,
		   &flags, &p->start_time, &memory) != 3)
		return -ESRCH;
	p->kernel_thread = flags & FLAG_KTHREAD;
	p->ending = !memory && !p->kernel_thread;
	return 0;
}

/* Has any thread SIGTRAP blocked? A break would kill the process there. */
static bool any_thread_blocks_trap(pid_t pid)
{
	char path[64];
	struct dirent *d;
	bool blocked = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!blocked && (d = readdir(dir))) {
		pid_t tid = (pid_t)strtol(d->d_name, NULL, 10);
		struct probe_task s;

		if (tid > 0 && !probe_task_read(pid, tid, &s))
			blocked = s.blocked >> (SIGTRAP - 1) & 1;
	}
	closedir(dir);
	return blocked;
}

static bool same_namespace(pid_t pid, const char *ns)
{
	struct stat theirs, ours;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns);
	if (stat(path, &theirs))
		return true;
	snprintf(path, sizeof(path), "/proc/self/ns/%s", ns);
	return stat(path, &ours) || (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev);
}

/* Did the executable's file give it privileges (set-user-ID, capabilities)? */
static bool file_gives_privileges(const char *path, const struct probe_process *p)
{
	struct stat st;
	char cap[64];

	if (p->uid != p->euid || p->gid != p->egid)
		return true;
	if (p->no_new_privs || stat(path, &st))
		return false;
	if (st.st_mode & S_ISUID && st.st_uid != p->uid)
		return true;
	return getxattr(path, "security.capability", cap, sizeof(cap)) > 0;
}

/* --- the executable --- */

static void read_interpreter(Elf *elf, int fd, struct probe_process *p)
{
	size_t n = 0;

	p->statically_linked = true;
	if (elf_getphdrnum(elf, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		char name[256] = {0};
		GElf_Phdr ph;

		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_INTERP)
			continue;
		p->statically_linked = false;
		if (pread(fd, name, MIN(ph.p_filesz, sizeof(name) - 1), (off_t)ph.p_offset) > 0)
			p->musl = strstr(name, "ld-musl");
	}
}

static void read_go(Elf *elf, struct probe_process *p)
{
	struct probe_elf view = {.elf = elf};

	p->go = probe_elf_is_go(&view);
}

static void read_executable(struct probe_process *p)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;
	Elf *elf;

	snprintf(path, sizeof(path), "/proc/%d/exe", p->pid);
	n = readlink(path, p->exe, sizeof(p->exe) - 1);
	p->exe[n > 0 ? n : 0] = 0;
	p->setuid = file_gives_privileges(path, p);
	p->is_64bit = true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF) {
		p->is_64bit = gelf_getclass(elf) == ELFCLASS64;
		read_interpreter(elf, fd, p);
		read_go(elf, p);
	}
	if (elf)
		elf_end(elf);
}

static bool is_one_of(const char *name, size_t len, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(v[i]) == len && !strncmp(name, v[i], len))
			return true;
	return false;
}

/* qemu-system-ARCH, qemu-img and so on are programs like others. */
static bool is_user_qemu(const char *name)
{
	static const char *const machines[] = {
		"x86_64",      "i386",	  "aarch64", "arm",   "riscv64", "riscv32", "ppc",
		"ppc64",       "ppc64le", "s390x",   "mips",  "mipsel",	 "mips64",  "mips64el",
		"loongarch64", "sparc",	  "sparc64", "alpha", "hppa",	 "m68k",    "sh4",
	};
	const char *end;

	if (strncmp(name, "qemu-", 5))
		return false;
	name += 5;
	end = strstr(name, "-static");
	return is_one_of(name, end ? (size_t)(end - name) : strlen(name), machines,
			 ARRAY_SIZE(machines));
}

/* The command, and what that executes for each of its tools. */
static bool is_valgrind(const char *name)
{
	static const char suffix[] = "-amd64-linux";
	size_t n = strlen(name);

	return !strcmp(name, "valgrind") || !strcmp(name, "valgrind.bin") ||
	       (n > strlen(suffix) && !strcmp(name + n - strlen(suffix), suffix));
}

const char *probe_translator(const char *exe)
{
	const char *slash = strrchr(exe, '/'), *name = slash ? slash + 1 : exe;

	return is_valgrind(name) ? "valgrind" : is_user_qemu(name) ? "qemu" : NULL;
}

static int sentence(const struct probe_process *p, int err, const char *reason, char *why)
{
	probe_why(why, "cannot attach to %d (%s): %s", p->pid, p->comm, reason);
	return err;
}

static int translated(const struct probe_process *p, char why[PROBE_WHY_MAX])
{
	char reason[128];

	snprintf(reason, sizeof(reason),
		 "it is run by %s, which never executes the code that probes are in; run it "
		 "without",
		 probe_translator(p->exe));
	return sentence(p, -EOPNOTSUPP, reason, why);
}

static bool has_agent(pid_t pid)
{
	_cleanup_(probe_maps_free) struct probe_maps maps = {0};

	if (probe_maps_read(pid, &maps))
		return false;
	for (size_t i = 0; i < maps.n; i++)
		if (strstr(maps.v[i].path, "ebpfrt-agent"))
			return true;
	return false;
}

/* --- the facts --- */

static void take_status(const struct probe_task *s, struct probe_process *p)
{
	p->uid = s->uid[0];
	p->euid = s->uid[1];
	p->gid = s->gid[0];
	p->egid = s->gid[1];
	p->tracer = s->tracer;
	p->nthreads = s->nthreads;
	p->seccomp = s->seccomp;
	p->seccomp_filters = s->seccomp_filters;
	p->no_new_privs = s->no_new_privs;
	p->shadow_stack = s->shadow_stack;
	p->zombie = s->state == 'Z' || s->state == 'X';
	p->stopped = s->state == 'T' || s->state == 't';
}

static bool is_ours(const struct probe_process *p)
{
	return !geteuid() || (p->uid == getuid() && p->euid == getuid());
}

static int only_a_thread(const struct probe_process *p, pid_t tgid, char why[PROBE_WHY_MAX])
{
	char reason[96];

	snprintf(reason, sizeof(reason), "it is a thread of process %d; attach to that", tgid);
	return sentence(p, -EINVAL, reason, why);
}

static int not_ours(const struct probe_process *p, char why[PROBE_WHY_MAX])
{
	char reason[128];

	if (p->uid == getuid())
		return sentence(p, -EPERM,
				"it runs with other privileges than yours (set-user-ID); nobody "
				"but root may look into it",
				why);
	snprintf(reason, sizeof(reason), "belongs to uid %u, you are %u; run ebpfrt as that user",
		 p->uid, getuid());
	return sentence(p, -EPERM, reason, why);
}

int probe_process_read(pid_t pid, struct probe_process *out, char why[PROBE_WHY_MAX])
{
	struct probe_process p = {.pid = pid};
	struct probe_task s;

	if (pid <= 0 || probe_task_read(pid, 0, &s) || read_stat(pid, &p)) {
		probe_why(why, "cannot attach to %d: no such process", pid);
		return -ESRCH;
	}
	take_status(&s, &p);
	if (p.kernel_thread)
		return sentence(&p, -EINVAL, "it is a thread of the kernel", why);
	if (s.tgid != pid)
		return only_a_thread(&p, s.tgid, why);
	if (p.zombie)
		return sentence(&p, -ESRCH, "it has ended already (a zombie)", why);
	if (!is_ours(&p))
		return not_ours(&p, why);
	p.trap_blocked = any_thread_blocks_trap(pid);
	p.same_mnt_ns = same_namespace(pid, "mnt");
	p.same_pid_ns = same_namespace(pid, "pid");
	p.preloaded = has_agent(pid);
	read_executable(&p);
	if (!p.is_64bit)
		return sentence(&p, -EOPNOTSUPP, "it is a 32-bit program, only 64-bit ones can be",
				why);
	if (probe_translator(p.exe))
		return translated(&p, why);
	*out = p;
	return 0;
}

/* --- may it be injected into? --- */

static long yama_scope(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	long scope = 0;

	return f && fscanf(f, "%ld", &scope) == 1 ? scope : 0;
}

static void comm_of(pid_t pid, char comm[16])
{
	struct probe_process p = {.comm = "?"};

	read_stat(pid, &p);
	memcpy(comm, p.comm, 16);
}

static int traced(const struct probe_process *p, char why[PROBE_WHY_MAX])
{
	char reason[128], comm[16];

	comm_of(p->tracer, comm);
	/* an injection of ours, or one that is just over: that takes a millisecond */
	if (!strcmp(comm, PROBE_INJECTOR) || !strcmp(comm, "?"))
		return sentence(p, -EAGAIN, "another attach or detach is at work in it; try again",
				why);
	snprintf(reason, sizeof(reason),
		 "process %d (%s) traces it already; end that, or start it with 'ebpfrt run'",
		 p->tracer, comm);
	return sentence(p, -EBUSY, reason, why);
}

static bool is_dumpable(const struct probe_process *p)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", p->pid);
	return stat(path, &st) || st.st_uid == p->euid;
}

/* ptrace is denied for no reason that lies in the process. */
void probe_denied_reason(long scope, int err, char *reason, size_t size)
{
	if (scope > 0 && scope < 3)
		snprintf(reason, size,
			 "ptrace denied, kernel.yama.ptrace_scope is %ld; start it with 'ebpfrt "
			 "run', or 'sudo sysctl kernel.yama.ptrace_scope=0'",
			 scope);
	else if (scope >= 3)
		snprintf(
			reason, size,
			"ptrace denied, kernel.yama.ptrace_scope is %ld until the next boot; start "
			"it with 'ebpfrt run'",
			scope);
	else
		snprintf(reason, size,
			 "ptrace denied (%s; a security module or another user namespace?); start "
			 "it "
			 "with 'ebpfrt run'",
			 strerror(err));
}

/* The kernel said no: find out why. */
static int ptrace_denied(const struct probe_process *p, int err, char why[PROBE_WHY_MAX])
{
	char reason[192];

	if (p->setuid)
		return sentence(p, -EPERM,
				"its file gives it privileges (set-user-ID or capabilities); run a "
				"copy without them",
				why);
	if (!is_dumpable(p))
		return sentence(p, -EPERM,
				"it has made itself undumpable (PR_SET_DUMPABLE, or its file may "
				"not be read); start it with 'ebpfrt run'",
				why);
	probe_denied_reason(yama_scope(), err, reason, sizeof(reason));
	return sentence(p, -EPERM, reason, why);
}

/*
 * A filter that came with our own session (a container's) lets through what we do ourselves; one
 * the target set for itself may kill it for a system call it never made before.
 */
static int check_seccomp(const struct probe_process *p, char why[PROBE_WHY_MAX])
{
	struct probe_task theirs, ours;

	if (!p->seccomp)
		return 0;
	if (p->seccomp != SECCOMP_STRICT && !probe_task_read(p->pid, 0, &theirs) &&
	    !probe_task_read(getpid(), 0, &ours) && theirs.seccomp_filters <= ours.seccomp_filters)
		return 0;
	return sentence(p, -EPERM,
			"it has a seccomp filter, which may kill it for our system calls; start it "
			"with 'ebpfrt run'",
			why);
}

int probe_process_may_call(const struct probe_process *p, char why[PROBE_WHY_MAX])
{
	struct probe_task s;

	if (!is_ours(p))
		return not_ours(p, why);
	if (p->tracer)
		return traced(p, why);
	if (!p->preloaded)
		return sentence(p, -EPERM, "no agent was preloaded; start it with 'ebpfrt run'",
				why);
	if (probe_task_read(p->pid, 0, &s) || !(s.caught & 1ull << (SIGURG - 1)))
		return sentence(p, -EPERM,
				"ptrace is denied, and its agent was not preloaded or does not "
				"handle SIGURG any more; start it with 'ebpfrt run'",
				why);
	return check_seccomp(p, why);
}

int probe_process_may_inject(const struct probe_process *p, char why[PROBE_WHY_MAX])
{
	_cleanup_close_ int fd = -1;
	char path[64];

	if (!is_ours(p))
		return not_ours(p, why);
	if (p->pid == getpid())
		return sentence(p, -EINVAL, "a process cannot trace itself", why);
	if (p->tracer)
		return traced(p, why);
	snprintf(path, sizeof(path), "/proc/%d/mem", p->pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ESRCH))
		return sentence(p, -ESRCH, "it has ended", why);
	if (fd < 0) {
		struct probe_process now;
		int err = errno;

		if (probe_process_read(p->pid, &now, why))
			return -ESRCH;
		if (now.ending) /* without memory it looks like one that must not be read */
			return sentence(p, -EAGAIN, "it is just ending", why);
		return ptrace_denied(p, err, why);
	}
	return check_seccomp(p, why);
}
