// SPDX-License-Identifier: BSD-2-Clause
/* Preloaded into the daemon: it is killed when a child of its is about to stop a process. */
#include <signal.h>
#include <unistd.h>

long ptrace(int request, ...)
{
	kill(getppid(), SIGKILL);
	_exit(request & 0);
}
