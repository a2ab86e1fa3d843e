// SPDX-License-Identifier: BSD-2-Clause
/*
 * A libbpf program that attaches to a function and detaches, over and over, and looks at the
 * function each time: it has changed, and then it is the first one again. Says "changed ROUNDS";
 * status 6 when it is not so. SIGTERM: no more rounds.
 *
 *	cycles OBJECT PID FILE OFFSET ROUNDS
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <bpf/libbpf.h>

#define BYTES 16

static volatile sig_atomic_t enough;

static void on_term(int sig)
{
	enough = sig;
}

/* Where the file's code at @offset is. */
static unsigned long address(int pid, const char *file, unsigned long offset)
{
	unsigned long from, to, begin;
	char path[64], line[512], prot[8];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%lx-%lx %7s %lx", &from, &to, prot, &begin) == 4 &&
		    prot[2] == 'x' && strstr(line, file) && offset >= begin &&
		    offset - begin < to - from) {
			fclose(f);
			return from + offset - begin;
		}
	}
	exit(7);
}

static void look(int pid, unsigned long at, char *bytes)
{
	struct iovec here = {bytes, BYTES}, there = {(void *)at, BYTES};

	if (process_vm_readv(pid, &here, 1, &there, 1, 0) != BYTES)
		exit(7);
}

/* A link goes with its descriptor, and some time after that what it left in the target. */
static void wait_for(int pid, unsigned long at, const char *bytes)
{
	time_t end = time(NULL) + 60;
	char now[BYTES];

	for (look(pid, at, now); memcmp(now, bytes, BYTES); look(pid, at, now)) {
		if (time(NULL) > end)
			exit(6);
		sched_yield();
	}
}

int main(int argc, char **argv)
{
	char before[BYTES], now[BYTES];
	unsigned long offset, at;
	struct bpf_program *p;
	struct bpf_object *obj;
	long n;
	int pid;

	if (argc != 6)
		return 2;
	pid = atoi(argv[2]);
	offset = strtoul(argv[4], NULL, 0);
	obj = bpf_object__open_file(argv[1], NULL);
	p = obj ? bpf_object__find_program_by_name(obj, "on_work") : NULL;
	if (!p || bpf_object__load(obj))
		return 3;
	at = address(pid, argv[3], offset);
	look(pid, at, before);
	signal(SIGTERM, on_term);
	for (n = 0; n < atol(argv[5]) && !enough; n++) {
		struct bpf_link *link = bpf_program__attach_uprobe(p, false, pid, argv[3], offset);

		if (!link) {
			fprintf(stderr, "after %ld rounds\n", n);
			return 5;
		}
		look(pid, at, now);
		if (!memcmp(now, before, BYTES))
			return 6;
		bpf_link__destroy(link);
		wait_for(pid, at, before);
	}
	bpf_object__close(obj);
	printf("changed %ld\n", n);
	return 0;
}
