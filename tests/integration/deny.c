// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs a command, and all that it starts, without a system call: it fails with EPERM, or with '!'
 * kills who makes it.
 *
 *	deny ptrace|kcmp|socket[!] COMMAND [ARGUMENTS]
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	unsigned int nr = !strncmp(name, "kcmp", 4)	? SYS_kcmp
			  : !strncmp(name, "socket", 6) ? SYS_socket
							: SYS_ptrace;
	unsigned int how = strchr(name, '!') ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, how),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	if (argc < 3)
		return 2;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return 77;
	execvp(argv[2], argv + 2);
	return 127;
}
