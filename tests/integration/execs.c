// SPDX-License-Identifier: BSD-2-Clause
/*
 * A program that executes others, in each way there is, and what is executed.
 *
 *	execs kinds TARGET INPUT       every kind, with an empty environment and with none: "KIND STATUS"
 *	execs storm THREADS N TARGET INPUT   threads that spawn and vfork at the same time: "storm STATUS"
 *	execs traced vfork|fork TARGET INPUT   a child that its parent traces: "stop STATUS" at its start, "stops STATUS" at its end
 *	execs fails                    what can't be executed: "KIND ERROR registers same"
 *	execs most                     the largest environment that can be passed on: "most BYTES"
 *	execs env                      "NAME=VALUE" of each variable; "auxv FOUND" behind them; "given N": characters in /proc/self/environ
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *target, *input;
static char *none[] = {NULL};

/* No function of libc's: the call is in our own text. What it does to registers is seen. */
static long raw(long nr, long a, long b, long c, long d, long e, int *same)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret, di = a, si = b, dx = c;

	if (nr == SYS_execve)
		__asm__ volatile("mov $59, %%eax; syscall" : "=a"(ret), "+D"(di), "+S"(si), "+d"(dx), "+r"(r10), "+r"(r8) : : "rcx", "r11", "memory");
	else
		__asm__ volatile("mov $322, %%eax; syscall" : "=a"(ret), "+D"(di), "+S"(si), "+d"(dx), "+r"(r10), "+r"(r8) : : "rcx", "r11", "memory");
	*same = di == a && si == b && dx == c && r10 == d && r8 == e;
	return ret;
}

static void with_input(void)
{
	int fd = open(input, O_RDONLY);

	dup2(fd, 0);
	close(fd);
}

static void by_execve(void)
{
	execve(target, (char *[]){target, NULL}, none);
}

static void by_null(void)
{
	execve(target, (char *[]){target, NULL}, NULL);
}

static void by_execvp(void)
{
	environ = none;
	execvp(target, (char *[]){target, NULL});
}

static void by_fexecve(void)
{
	fexecve(open(target, O_RDONLY | O_CLOEXEC), (char *[]){target, NULL}, none);
}

static void by_path_descriptor(void)
{
	fexecve(open(target, O_PATH | O_CLOEXEC), (char *[]){target, NULL}, none);
}

static void by_execveat(void)
{
	syscall(SYS_execveat, AT_FDCWD, target, (char *[]){target, NULL}, none, 0);
}

static void by_syscall(void)
{
	syscall(SYS_execve, target, (char *[]){target, NULL}, none);
}

static void by_raw(void)
{
	int same;

	raw(SYS_execve, (long)target, (long)(char *[]){target, NULL}, (long)none, 0, 0, &same);
}

static void by_script(void)
{
	FILE *f = fopen("script.sh", "w");

	fprintf(f, "#!/bin/sh\nexec %s\n", target);
	fchmod(fileno(f), 0755);
	fclose(f);
	execve("./script.sh", (char *[]){"script.sh", NULL}, none);
}

static void *execute(void *arg)
{
	by_execve();
	return NULL;
}

static void by_thread(void)
{
	pthread_t t;

	pthread_create(&t, NULL, execute, NULL);
	pthread_join(t, NULL);
}

static void by_env(void)
{
	execlp("env", "env", "-i", target, NULL);
}

static const struct {
	const char *name;
	void (*fn)(void);
} kinds[] = {{"execve", by_execve},   {"no-environment", by_null},	  {"execvp", by_execvp},
	     {"fexecve", by_fexecve}, {"path-descriptor", by_path_descriptor}, {"execveat", by_execveat},
	     {"syscall", by_syscall}, {"raw", by_raw},			  {"script", by_script},
	     {"thread", by_thread},   {"env", by_env}};

static int status_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static int by_fork(void (*fn)(void))
{
	pid_t pid = fork();

	if (pid)
		return status_of(pid);
	with_input();
	fn();
	_exit(99);
}

static int by_vfork(void)
{
	int fd = open(input, O_RDONLY | O_CLOEXEC), status;
	pid_t pid = vfork();

	if (!pid) {
		dup2(fd, 0);
		execve(target, (char *[]){target, NULL}, none);
		_exit(99);
	}
	status = status_of(pid);
	close(fd);
	return status;
}

static int by_spawn(void)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int err;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
	err = posix_spawn(&pid, target, &actions, NULL, (char *[]){target, NULL}, none);
	posix_spawn_file_actions_destroy(&actions);
	return err ? -err : status_of(pid);
}

static int by_system(void)
{
	char command[1024], **was = environ;
	int status;

	snprintf(command, sizeof(command), "%s <%s", target, input);
	environ = none;
	status = system(command);
	environ = was;
	return status;
}

static int by_popen(void)
{
	char command[1024], line[256], **was = environ;
	FILE *f;

	snprintf(command, sizeof(command), "%s <%s", target, input);
	environ = none;
	f = popen(command, "r");
	while (fgets(line, sizeof(line), f))
		;
	environ = was;
	return pclose(f);
}

static int all_kinds(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		printf("%s %d\n", kinds[i].name, by_fork(kinds[i].fn));
	printf("vfork %d\n", by_vfork());
	printf("spawn %d\n", by_spawn());
	printf("system %d\n", by_system());
	printf("popen %d\n", by_popen());
	return 0;
}

static void *spawner(void *arg)
{
	long bad = 0;

	for (long i = 0; i < (long)arg; i++)
		bad += (i % 2 ? by_spawn() : by_vfork()) != 0;
	return (void *)bad;
}

static int storm(int threads, long n)
{
	pthread_t t[64];
	void *bad;
	long all = 0;

	for (int i = 0; i < threads; i++)
		pthread_create(&t[i], NULL, spawner, (void *)n);
	for (int i = 0; i < threads; i++) {
		pthread_join(t[i], &bad);
		all += (long)bad;
	}
	printf("storm %ld\n", all);
	return 0;
}

/* What the tracer of a child sees that it makes, until it has executed its program. */
static int traced(const char *how)
{
	int status, fd = open(input, O_RDONLY | O_CLOEXEC);
	pid_t pid = !strcmp(how, "vfork") ? vfork() : fork();

	if (!pid) {
		dup2(fd, 0);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execve("./nothing", (char *[]){target, NULL}, environ);
		execve(target, (char *[]){target, NULL}, environ);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	printf("stop %x\n", status);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	printf("stops %x\n", status_of(pid));
	return 0;
}

/* --- what fails --------------------------------------------------------------------------------- */

static char *large(size_t bytes)
{
	char *s = malloc(bytes + 1);

	memset(s, 'x', bytes);
	memcpy(s, "X=", 2);
	s[bytes] = 0;
	return s;
}

static void fail(const char *name, const char *path, char **env)
{
	char *args[] = {"x", NULL};
	int same[2];
	long err = raw(SYS_execve, (long)path, (long)args, (long)env, 11, 12, &same[0]);
	long at = raw(SYS_execveat, AT_FDCWD, (long)path, (long)args, (long)env, 0, &same[1]);

	printf("%s %ld %ld registers %s\n", name, err, at, same[0] && same[1] ? "same" : "changed");
}

static int fails(void)
{
	char *huge[] = {large(131072 + 1), NULL};
	char **many = calloc(3000001, sizeof(*many));
	FILE *f;

	for (size_t i = 0; i < 3000000; i++)
		many[i] = "ABCDEFGH=1";
	f = fopen("noexec", "w");
	fputs("no program\n", f);
	fchmod(fileno(f), 0755);
	fclose(f);
	f = fopen("short", "w");
	fputs("\177ELF", f);
	fchmod(fileno(f), 0755);
	fclose(f);
	symlink("loop", "loop");
	system("cp /bin/true denied; chmod 644 denied; mkfifo -m 755 fifo; mkdir dir; printf '#!./missing\n' >orphan; chmod 755 orphan");
	for (int i = 0; i < 2; i++) {
		fail("missing", "./missing", none);
		fail("denied", "./denied", none);
		fail("directory", "./dir", none);
		fail("fifo", "./fifo", none);
		fail("device", "/dev/null", none);
		fail("loop", "./loop", none);
		fail("no-program", "./noexec", none);
		fail("short", "./short", none);
		fail("orphan", "./orphan", none);
		fail("below-a-file", "./noexec/x", none);
		fail("empty-name", "", none);
		fail("bad-name", (char *)8, none);
		fail("bad-environment", "/bin/true", (char **)8);
		fail("bad-variable", "/bin/true", (char *[]){"A=b", (char *)8, NULL});
		fail("huge-variable", "/bin/true", huge);
		fail("many-variables", "/bin/true", many);
	}
	return 0;
}

static int fits(size_t bytes)
{
	size_t n = bytes / 100000, i;
	char **env = calloc(n + 2, sizeof(*env));
	int status;
	pid_t pid;

	for (i = 0; i < n; i++)
		env[i] = large(100000 - 1);
	env[i] = large(bytes % 100000 + 2);
	pid = fork();
	if (!pid) {
		execve("/proc/self/exe", (char *[]){"execs", "nothing", NULL}, env);
		_exit(errno == E2BIG ? 1 : 2);
	}
	status = status_of(pid);
	for (i = 0; env[i]; i++)
		free(env[i]);
	free(env);
	return status;
}

static int most(void)
{
	struct rlimit limit = {2 << 20, 2 << 20};
	size_t low = 1000, high = 2 << 20;

	setrlimit(RLIMIT_STACK, &limit);
	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (fits(middle) == 0)
			low = middle;
		else
			high = middle;
	}
	printf("most %zu\n", low);
	return 0;
}

/* --- what is executed --------------------------------------------------------------------------- */

static int show(void)
{
	char **env = environ, buf[65536];
	size_t given = 0;
	FILE *f = fopen("/proc/self/environ", "r");
	Elf64_auxv_t *aux;
	size_t n = fread(buf, 1, sizeof(buf), f);

	fclose(f);
	for (size_t i = 0; i < n; i++)
		given += buf[i] != 0;
	for (; *env; env++)
		puts(*env);
	for (aux = (Elf64_auxv_t *)(env + 1); aux->a_type != AT_NULL && aux->a_type != AT_PHDR; aux++)
		;
	printf("auxv %s\n", aux->a_type == AT_PHDR && aux->a_un.a_val == getauxval(AT_PHDR) ? "found" : "lost");
	printf("given %zu\n", given);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 3) {
		target = argv[argc - 2];
		input = argv[argc - 1];
	}
	if (!strcmp(what, "kinds"))
		return all_kinds();
	if (!strcmp(what, "traced"))
		return traced(argv[2]);
	if (!strcmp(what, "storm"))
		return storm(atoi(argv[2]), atol(argv[3]));
	if (!strcmp(what, "fails"))
		return fails();
	if (!strcmp(what, "most"))
		return most();
	if (!strcmp(what, "env"))
		return show();
	return 0;
}
