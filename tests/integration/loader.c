// SPDX-License-Identifier: BSD-2-Clause
/*
 * A process in which everything happens all the time: two threads load and unload a library and
 *call it, one allocates, one starts threads, one forks. Whoever stops it at any moment finds the
 *loader's or the allocator's lock taken. Says "ready"; ends at SIGUSR1 with status 0 unless
 *anything was wrong.
 *
 *	loader LIBRARY FUNCTION
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t enough;
static char **args;

static void fail(const char *what)
{
	fprintf(stderr, "loader: %s\n", what);
	_exit(9);
}

static void *load(void *arg)
{
	while (!enough) {
		void *lib = dlopen(args[1], RTLD_NOW);
		long (*fn)(long) = lib ? (long (*)(long))dlsym(lib, args[2]) : NULL;

		if (!fn)
			fail(dlerror());
		if (fn(1) - fn(0) != fn(11) - fn(10))
			fail("a wrong result of the library");
		dlclose(lib);
	}
	return NULL;
}

static void *allocate(void *arg)
{
	for (unsigned int i = 0; !enough; i++) {
		unsigned int *volatile p = malloc(sizeof(*p) + i % 5000);

		if (!p)
			fail("no memory");
		*p = i;
		if (*p != i)
			fail("wrong memory");
		free(p);
	}
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *start(void *arg)
{
	pthread_t t;
	void *ret;

	while (!enough)
		if (!pthread_create(&t, NULL, nothing, &t) && (pthread_join(t, &ret) || ret != &t))
			fail("a wrong thread");
	return NULL;
}

static void *multiply(void *arg)
{
	int status;

	while (!enough) {
		pid_t pid = fork();

		if (!pid) {
			free(malloc(100));
			_exit(3);
		}
		if (pid > 0 && (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
				WEXITSTATUS(status) != 3))
			fail("a child ended badly");
		usleep(200);
	}
	return NULL;
}

static void on_usr1(int sig)
{
	enough = 1;
}

int main(int argc, char **argv)
{
	void *(*const work[])(void *) = {load, load, allocate, start, multiply};
	pthread_t t[5];

	if (argc < 3)
		return 2;
	args = argv;
	signal(SIGUSR1, on_usr1);
	for (int i = 0; i < 5; i++)
		pthread_create(&t[i], NULL, work[i], NULL);
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < 5; i++)
		pthread_join(t[i], NULL);
	return 0;
}
