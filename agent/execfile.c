/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is about to be executed: will the loader there bring our agent along?
 *
 * Model: the file is looked at as the kernel will do, scripts down to the program that interprets
 * them. What is built with AddressSanitizer ends unless that is loaded before all other libraries.
 * Only a program of this machine that has a loader takes libraries along, unless it runs with
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
#define DYNAMIC 512u /* entries of its dynamic section */
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

static bool read_header(int fd, const Elf64_Ehdr *eh, u32 i, Elf64_Phdr *ph)
{
	return sys_pread(fd, ph, sizeof(*ph), eh->e_phoff + i * sizeof(*ph)) == sizeof(*ph);
}

/* Where in the file @addr is; 0: nowhere. */
static u64 file_offset(int fd, const Elf64_Ehdr *eh, u64 addr)
{
	Elf64_Phdr ph;

	for (u32 i = 0; i < MIN(eh->e_phnum, HEADERS) && read_header(fd, eh, i, &ph); i++)
		if (ph.p_type == PT_LOAD && addr - ph.p_vaddr < ph.p_filesz)
			return addr - ph.p_vaddr + ph.p_offset;
	return 0;
}

/* What the dynamic section at @at says: the first library that is needed, and where names are. */
static bool read_dynamic(int fd, u64 at, u64 *needed, u64 *names)
{
	Elf64_Dyn part[16];
	bool found = false;

	*names = *needed = 0;
	for (u32 i = 0; i < DYNAMIC; i++) {
		const Elf64_Dyn *d = &part[i % ARRAY_SIZE(part)];

		if (d == part &&
		    sys_pread(fd, part, sizeof(part), at + i * sizeof(*part)) != sizeof(part))
			break;
		if (d->d_tag == DT_NULL)
			break;
		if (d->d_tag == DT_STRTAB)
			*names = d->d_un.d_ptr;
		if (d->d_tag == DT_NEEDED && !found) {
			*needed = d->d_un.d_val;
			found = true;
		}
	}
	return found && *names;
}

bool execfile_is_first(const char *entry)
{
	const char *name = entry;

	for (; *entry && *entry != ':' && *entry != ' '; entry++)
		if (*entry == '/')
			name = entry + 1;
	return text_begins(name, "libasan.so") || text_begins(name, "libclang_rt.asan");
}

/* A program that insists on being the first to load a library has it as the first that it needs. */
static void look_for_first(int fd, const Elf64_Ehdr *eh, u64 dynamic, char first[FIRST_LEN])
{
	u64 needed, names;
	long n;

	first[0] = 0;
	if (!dynamic || !read_dynamic(fd, dynamic, &needed, &names))
		return;
	names = file_offset(fd, eh, names);
	n = names ? sys_pread(fd, first, FIRST_LEN - 1, names + needed) : 0;
	first[n < 0 ? 0 : n] = 0;
	if (!execfile_is_first(first))
		first[0] = 0;
}

static int look_at_headers(int fd, const Elf64_Ehdr *eh, char first[FIRST_LEN])
{
	int ret = AGENT_EXEC_STATIC;
	u64 dynamic = 0;
	Elf64_Phdr ph;

	if (eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_machine != ((const Elf64_Ehdr *)__ehdr_start)->e_machine)
		return AGENT_EXEC_FOREIGN;
	for (u32 i = 0; i < MIN(eh->e_phnum, HEADERS); i++) {
		if (!read_header(fd, eh, i, &ph))
			return AGENT_EXEC_FOREIGN;
		if (ph.p_type == PT_INTERP)
			ret = 0;
		if (ph.p_type == PT_DYNAMIC)
			dynamic = ph.p_offset;
	}
	if (!ret)
		look_for_first(fd, eh, dynamic, first);
	return ret;
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
static int look_once(int dir, const char *path, int flags, char name[NAME_LEN], bool *next,
		     char first[FIRST_LEN])
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
						     : look_at_headers((int)fd, &head.eh, first);
	}
	sys_close((int)fd);
	return ret;
}

int execfile_look(int dir, const char *path, int flags, const char *agent_path,
		  char first[FIRST_LEN])
{
	char name[NAME_LEN];
	bool next = true;
	int ret = 0;

	first[0] = 0;
	for (u32 i = 0; next && ret == 0; i++) {
		if (i == SCRIPTS)
			return -1;
		ret = look_once(dir, path, flags, name, &next, first);
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
