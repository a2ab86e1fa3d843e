// SPDX-License-Identifier: BSD-2-Clause
/*
 * A program that executes another one by a system call in code that it makes itself, which is in no
 * file. Says "ready PID", then obeys: call: "worked"; exec FILE VARIABLE: with that environment.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((noinline, noclone)) long work(long n)
{
	__asm__ volatile("" ::: "memory");
	return n * 2 + 1;
}

static long execute(char *file, char *variable)
{
	static const unsigned char code[] = {0x0f, 0x05, 0xc3}; /* syscall; ret */
	char *args[] = {file, NULL}, *environment[] = {variable, NULL};
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	long ret = SYS_execve;

	memcpy(at, code, sizeof(code));
	__asm__ volatile("call *%1"
			 : "+a"(ret)
			 : "r"(at), "D"(file), "S"(args), "d"(environment)
			 : "rcx", "r11", "memory");
	return ret;
}

int main(void)
{
	char line[512], file[256], variable[256];

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "exec %255s %255s", file, variable) == 2)
			printf("errno %ld\n", -execute(file, variable));
		else if (!strcmp(line, "call\n"))
			printf("worked %ld\n", work(3));
		else
			break;
	}
	return 0;
}
