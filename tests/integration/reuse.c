// SPDX-License-Identifier: BSD-2-Clause
/*
 * A target whose libraries come and go at the same addresses, told what to do as target.c is:
 *
 *	cycle A B N     N times: load A, call its slot() and plain(), unload; the same with B.
 *Answers "cycle SUM TRAPS REUSED CHANGED": what they returned; SIGTRAPs that came to our handler;
 *how often B was where A had been; how often B's code was not what its file says keep B loads B,
 *where A was unless the loader thinks otherwise; answers "kept CHANGED" call            calls what
 *was kept; answers "called SUM TRAPS CHANGED" quit
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef long (*function)(long);

struct library {
	void *handle;
	function slot, plain;
	struct link_map *map;
};

static volatile long traps;
static struct library kept;

static void on_trap(int sig)
{
	(void)sig;
	traps++;
}

static int load(struct library *l, const char *path)
{
	l->handle = dlopen(path, RTLD_NOW);
	if (!l->handle || dlinfo(l->handle, RTLD_DI_LINKMAP, &l->map)) {
		printf("error %s\n", dlerror());
		return -1;
	}
	l->slot = (function)dlsym(l->handle, "slot");
	l->plain = (function)dlsym(l->handle, "plain");
	return l->slot && l->plain ? 0 : -1;
}

/* Is the code in memory what is in the file? */
static int changed(const struct library *l)
{
	char code[4096];
	ElfW(Ehdr) eh;
	ElfW(Phdr) ph;
	int fd = open(l->map->l_name, O_RDONLY), found = 0;

	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh))
		return 1;
	for (int i = 0; i < eh.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph)) != sizeof(ph))
			return 1;
		if (ph.p_type != PT_LOAD || !(ph.p_flags & PF_X))
			continue;
		for (size_t at = 0, n; at < ph.p_filesz; at += n) {
			n = ph.p_filesz - at < sizeof(code) ? ph.p_filesz - at : sizeof(code);
			if (pread(fd, code, n, ph.p_offset + at) != (ssize_t)n ||
			    memcmp(code, (char *)l->map->l_addr + ph.p_vaddr + at, n))
				found = 1;
		}
	}
	close(fd);
	return found;
}

static long call(const struct library *l, long i)
{
	return l->slot(i) + l->plain(i);
}

static void cycle(const char *a, const char *b, long n)
{
	long sum = 0, reused = 0, different = 0;
	struct library l;
	unsigned long was;

	traps = 0;
	for (long i = 0; i < n; i++) {
		if (load(&l, a))
			return;
		was = l.map->l_addr;
		sum += call(&l, i);
		dlclose(l.handle);
		if (load(&l, b))
			return;
		reused += l.map->l_addr == was;
		different += changed(&l);
		sum += call(&l, i);
		dlclose(l.handle);
	}
	printf("cycle %ld %ld %ld %ld\n", sum, traps, reused, different);
}

int main(void)
{
	char line[1024], word[32], a[400], b[400];
	long n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTRAP, on_trap);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		*word = *a = *b = n = 0;
		sscanf(line, "%31s %399s %399s %ld", word, a, b, &n);
		if (!strcmp(word, "cycle")) {
			cycle(a, b, n);
		} else if (!strcmp(word, "keep")) {
			if (!load(&kept, a))
				printf("kept %d\n", changed(&kept));
		} else if (!strcmp(word, "call")) {
			traps = 0;
			n = 0;
			for (long i = 0; i < 10; i++)
				n += call(&kept, i);
			printf("called %ld %ld %d\n", n, traps, changed(&kept));
		} else {
			return 0;
		}
	}
	return 0;
}
