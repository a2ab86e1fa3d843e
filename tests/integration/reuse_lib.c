// SPDX-License-Identifier: BSD-2-Clause
/*
 * Two libraries of the same layout: where the first has a nop, the second has a break instruction
 * of its own, so that whoever takes the one for the other can't tell them apart by the bytes behind
 * it.
 */
__attribute__((naked, aligned(64))) long slot(long n)
{
#ifdef SECOND
	__asm__("int3\nlea (%rdi,%rdi,4), %rax\nret\n");
#else
	__asm__("nop\nlea (%rdi,%rdi,2), %rax\nret\n");
#endif
}

__attribute__((naked, aligned(64))) long plain(long n)
{
#ifdef SECOND
	__asm__("push %rbx\nlea 1(%rdi), %rax\npop %rbx\nret\n");
#else
	__asm__("push %rbx\nlea 2(%rdi), %rax\npop %rbx\nret\n");
#endif
}
