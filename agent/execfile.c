/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is about to be executed: will the loader there bring our agent along?
 *
 * Model: the file is looked at as the kernel will do, scripts down to the program that interprets
 * them. Only a program of this machine that has a loader takes libraries along, unless it runs with
 * more privileges than its caller, and only where the agent's file is to be seen.
 *
 * Rules: what the kernel will refuse anyway is left to it, unsaid. Nothing but regular files is
 * opened, and whatever is opened is closed.
 */
#include <linux/elf.h>
#include <linux/stat.h>

#include "agent/agent.h"

#define MAY_WRITE 2
#define MAY_READ 4
#define SCRIPTS 5    /* one more than the kernel follows */
#define HEADERS 128u /* of a program; more has none that we know */
#define NAME_LEN 256 /* of an interpreter, as long as the kernel reads */

extern u8 __ehdr_start[] __hidden;

/* --- who we are --------------------------------------------------------------------------------
 */

static bool runs_as_another(void)
{
	return SYS3(__NR_getuid, 0, 0, 0) != SYS3(__NR_geteuid, 0, 0, 0) ||
	       SYS3(__NR_getgid, 0, 0, 0) != SYS3(__NR_getegid, 0, 0, 0);
}

static bool gains_privileges(int fd, const struct statx *st)
{
	bool user = st->stx_mode & 04000 && st->stx_uid != SYS3(__NR_geteuid, 0, 0, 0);
	bool group = (st->stx_mode & 02010) == 02010 && st->stx_gid != SYS3(__NR_getegid, 0, 0, 0);
	bool caps = SYS6(__NR_fgetxattr, fd, "security.capability", NULL, 0, 0, 0) > 0;

	return (user || group || caps) && SYS3(__NR_prctl, PR_GET_NO_NEW_PRIVS, 0, 0) != 1;
}

/* --- the file ----------------------------------------------------------------------------------
 */

static int look_at_headers(int fd, const Elf64_Ehdr *eh)
{
	Elf64_Phdr ph;

	if (eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_machine != ((const Elf64_Ehdr *)__ehdr_start)->e_machine)
		return AGENT_EXEC_FOREIGN;
	for (u32 i = 0; i < MIN(eh->e_phnum, HEADERS); i++) {
		if (sys_pread(fd, &ph, sizeof(ph), eh->e_phoff + i * sizeof(ph)) != sizeof(ph))
			return AGENT_EXEC_FOREIGN;
		if (ph.p_type == PT_INTERP)
			return 0;
	}
	return AGENT_EXEC_STATIC;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The name behind "#!" in @head; false: there is none. */
static bool interpreter(const char *head, long len, char name[NAME_LEN])
{
	long at = 2, n = 0;

	while (at < len && is_blank(head[at]))
		at++;
	while (at < len && head[at] && head[at] != '\n' && !is_blank(head[at]))
		name[n++] = head[at++];
	name[n] = 0;
	return n && at < len;
}

static long open_file(int dir, const char *path, int flags, struct statx *st)
{
	static const char self[] = "/proc/self/fd/";
	char of_fd[32];
	int how = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	long ret = SYS6(__NR_statx, dir, path, flags,
			STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID, st, 0);
	char first;

	if (ret)
		return ret;
	if (!(st->stx_mode & 0111))
		return -ENOEXEC;
	if ((st->stx_mode & S_IFMT) != S_IFREG || osl_read(&first, path, 1))
		return -EACCES;
	if (!first) {
		memcpy(of_fd, self, sizeof(self));
		put_number(of_fd + sizeof(self) - 1, (u32)dir);
		path = of_fd;
	}
	return SYS6(__NR_openat, dir, path, how, 0, 0, 0);
}

/* As execfile_look(); or 1 and the next one in @name. */
static int look_once(int dir, const char *path, int flags, char name[NAME_LEN], bool *next)
{
	union {
		Elf64_Ehdr eh;
		char text[NAME_LEN];
	} head;
	struct statx st;
	long fd = open_file(dir, path, flags, &st), n;
	int ret;

	*next = false;
	if (fd < 0)
		return fd == -EACCES || fd == -EMFILE || fd == -ENFILE ? AGENT_EXEC_UNREADABLE : -1;
	n = sys_pread((int)fd, &head, sizeof(head), 0);
	if (n > 2 && head.text[0] == '#' && head.text[1] == '!') {
		*next = interpreter(head.text, n, name);
		ret = *next ? 0 : -1;
	} else if (n < (long)sizeof(head.eh) || memcmp(head.eh.e_ident, ELFMAG, SELFMAG)) {
		ret = AGENT_EXEC_FOREIGN;
	} else {
		ret = gains_privileges((int)fd, &st) ? AGENT_EXEC_PRIVILEGED
						     : look_at_headers((int)fd, &head.eh);
	}
	sys_close((int)fd);
	return ret;
}

int execfile_look(int dir, const char *path, int flags, const char *agent_path)
{
	char name[NAME_LEN];
	bool next = true;
	int ret = 0;

	for (u32 i = 0; next && ret == 0; i++) {
		if (i == SCRIPTS)
			return -1;
		ret = look_once(dir, path, flags, name, &next);
		dir = AT_FDCWD;
		path = name;
		flags = 0;
	}
	if (ret == 0 && runs_as_another())
		ret = AGENT_EXEC_PRIVILEGED;
	if (ret == 0 && (SYS3(__NR_faccessat, AT_FDCWD, agent_path, MAY_READ) ||
			 SYS3(__NR_faccessat, AT_FDCWD, agent.socket, MAY_WRITE)))
		ret = AGENT_EXEC_HIDDEN;
	return ret;
}
