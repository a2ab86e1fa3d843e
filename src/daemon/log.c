/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's own log: standard error in the foreground, else a file that is started anew when it
 * has grown to LOG_MAX, the one before kept as FILE.1. In the background the file is standard error
 * too: what a library or a sanitizer says last would be heard by nobody.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/daemon.h"

#define LOG_MAX (1 << 20)

static int log_fd = -1;
static bool log_is_file;
static bool log_is_stderr;
static char log_path[PATH_MAX];

static void open_file(void)
{
	log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log_is_stderr && log_fd >= 0)
		dup2(log_fd, STDERR_FILENO);
}

void log_open(const char *path, bool foreground)
{
	if (foreground) {
		log_fd = STDERR_FILENO;
		return;
	}
	snprintf(log_path, sizeof(log_path), "%s", path);
	log_is_file = true;
	open_file();
}

void log_take_stderr(void)
{
	log_is_stderr = true;
	if (log_fd >= 0)
		dup2(log_fd, STDERR_FILENO);
}

static void rotate(void)
{
	char old[PATH_MAX + 2];
	struct stat st;

	if (!log_is_file || fstat(log_fd, &st) || st.st_size < LOG_MAX)
		return;
	snprintf(old, sizeof(old), "%s.1", log_path);
	rename(log_path, old);
	close(log_fd);
	open_file();
}

/* A line is made of names that others chose: nothing in it reaches a terminal as a command. */
static void tame(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

void log_line(const char *fmt, ...)
{
	char line[768];
	struct timespec ts;
	va_list ap;
	int n, m;

	if (log_fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	n = snprintf(line, sizeof(line), "%lld.%03ld ebpfrtd[%d]: ", (long long)ts.tv_sec,
		     ts.tv_nsec / 1000000, getpid());
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	n = MIN(n + MAX(m, 0), (int)sizeof(line) - 2);
	line[n] = 0;
	tame(line);
	line[n++] = '\n';
	rotate();
	if (write(log_fd, line, n) < 0)
		return;
}
