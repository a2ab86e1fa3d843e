/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The static view of a target: which files are mapped where, what symbols they have, and how an
 * instruction in them would be probed. Reads /proc/PID and ELF files; never writes to a target.
 * Process context; daemon, client and tests.
 *
 * ELF files of a target are hostile: everything goes through libelf with its sizes checked, and
 * what can't be made sense of is an error with a sentence, never a guess.
 */
#pragma once

#include <sys/types.h>

#include "arch/arch.h"
#include "osl/osl.h"

#define PROBE_WHY_MAX 256

/* --- a process
 * -------------------------------------------------------------------------------------------------
 */

struct probe_mapping {
	u64 start, end, offset; /* offset in the file */
	struct osl_ident file;	/* dev as in stat(2), 0 for anonymous memory */
	u32 prot;		/* PROT_* */
	bool shared, deleted;
	char *path; /* owned; as in /proc/PID/maps, "" for anonymous */
};
struct probe_maps {
	struct probe_mapping *v;
	size_t n;
};
/* Snapshot of /proc/PID/maps. 0 or -errno. */
int probe_maps_read(pid_t pid, struct probe_maps *out);
void probe_maps_free(struct probe_maps *maps); /* idempotent */
/* Executable mapping of @file that holds file offset @offset, or NULL. */
const struct probe_mapping *probe_maps_find(const struct probe_maps *maps,
					    const struct osl_ident *file, u64 offset);
/* A free range of @size bytes inside [lo, hi], page-aligned, nearest to @near; 0 when there is
 * none. */
u64 probe_maps_gap(const struct probe_maps *maps, u64 lo, u64 hi, u64 near, u64 size);
/*
 * What a heap at [@start, @end) may still grow into, behind its end. Where jumps can only lead to
 * the first 2 GiB less is kept than elsewhere; a C library whose brk() fails maps its memory.
 */
u64 probe_heap_room(u64 start, u64 end);
/* Is [@addr, @addr + @size) free in the same sense? */
bool probe_maps_is_free(const struct probe_maps *maps, u64 addr, u64 size);
/* Where the first named mapping above @addr begins that is not for slots, or ~0: right below such a
 * one the kernel puts what is mapped next. */
u64 probe_maps_above(const struct probe_maps *maps, u64 addr);

/* A thread's /proc/PID/task/TID/status. */
struct probe_task {
	pid_t tid, tgid;
	pid_t tracer; /* 0: none */
	u32 uid[4], gid[4];
	u32 nthreads, seccomp, seccomp_filters, no_new_privs;
	u64 own, shared, pending; /* signals for this thread alone, for the process, both */
	u64 blocked, ignored, caught, caps;
	u64 waits, preemptions; /* context switches */
	u8 state;		/* a letter */
	bool shadow_stack;
};
/* @tid 0: of the process's first thread, whose file is /proc/PID/status. 0 or -errno, -ESRCH. */
int probe_task_read(pid_t pid, pid_t tid, struct probe_task *out);
/* From a status file that is open, as often as one likes. */
int probe_task_read_fd(int fd, struct probe_task *out);

/* What can be said of a process before touching it. */
struct probe_process {
	pid_t pid;
	u32 uid, euid, gid, egid;
	u64 start_time;
	pid_t tracer;
	u32 nthreads;
	u32 seccomp; /* mode */
	u32 seccomp_filters;
	bool no_new_privs, setuid, is_64bit, kernel_thread, zombie, ending, stopped, same_mnt_ns,
		same_pid_ns, trap_blocked, preloaded, statically_linked, musl, shadow_stack, go;
	char comm[16];
	char exe[512];
};
/*
 * Whoever executes translations of a program's code (valgrind, qemu for one program) would never
 * execute what we write there. The name of what the file @exe is of that kind, or NULL.
 */
const char *probe_translator(const char *exe);
/* 0, or -errno with the sentence in @why: no such process, not ours, a kernel thread, a zombie,
 * 32-bit, run by a translator. */
int probe_process_read(pid_t pid, struct probe_process *out, char why[PROBE_WHY_MAX]);
/*
 * May the calling user inject into it? 0, or -EPERM and friends with a sentence that names the
 * cause (other user, setuid, not dumpable, traced by PID, Yama scope, seccomp filter) and the
 * remedy. -EAGAIN: an injection of ours is under way, or the process is ending.
 */
#define PROBE_INJECTOR "ebpfrt-inject" /* name of the process that injects */
/*
 * ptrace is denied, for whatever reason: may its agent be called by a signal instead
 * (agent/call.c)? 0, or -errno with the sentence.
 */
int probe_process_may_call(const struct probe_process *p, char why[PROBE_WHY_MAX]);
int probe_process_may_inject(const struct probe_process *p, char why[PROBE_WHY_MAX]);

/* --- a file
 * ----------------------------------------------------------------------------------------------------
 */

struct probe_elf; /* an open ELF file: symbols sorted by address, segments */
int probe_elf_open(const char *path, struct probe_elf **out, char why[PROBE_WHY_MAX]);
void probe_elf_free(struct probe_elf **elf); /* NULL-safe, nulls */
/* The file that @pid has mapped as @m; -ESTALE when its path names another one by now. */
int probe_elf_open_mapping(pid_t pid, const struct probe_mapping *m, struct probe_elf **out,
			   char why[PROBE_WHY_MAX]);

struct probe_symbol {
	const char *name; /* lives as long as the probe_elf */
	u64 addr;	  /* virtual address in the file */
	u64 offset;	  /* file offset */
	u64 size;
	bool ifunc;
};
/* Function symbol by name ("malloc", "memcpy@GLIBC_2.2.5"). -ENOENT: @why lists near misses. */
int probe_elf_symbol(struct probe_elf *elf, const char *name, struct probe_symbol *out,
		     char why[PROBE_WHY_MAX]);
/* Symbol that contains file offset @offset. 0 or -ENOENT. */
int probe_elf_symbol_at(struct probe_elf *elf, u64 offset, struct probe_symbol *out);
/* Call @fn for each function symbol until it returns non-zero, which comes back. */
int probe_elf_each(struct probe_elf *elf, int (*fn)(const struct probe_symbol *sym, void *cookie),
		   void *cookie);
/* A USDT probe; strings live as long as the call. */
struct probe_usdt {
	const char *provider, *name, *args;
	u64 addr, offset; /* of the site */
	u64 semaphore;	  /* address of the counter, 0: none */
};
int probe_elf_each_usdt(struct probe_elf *elf, int (*fn)(const struct probe_usdt *u, void *cookie),
			void *cookie);
u64 probe_elf_offset_to_addr(struct probe_elf *elf, u64 offset); /* virtual address, or ~0 */
bool probe_elf_is_fixed(struct probe_elf *elf); /* it is loaded at its virtual addresses only */
bool probe_elf_is_go(struct probe_elf *elf);
/*
 * Must return addresses stay as they are where @elf's functions are called, because a runtime with
 * stack walks of its own looks them up in tables of its own (Go, Java, V8, OCaml, ...)? An unwinder
 * asks the unwind tables, and finds ours; such a runtime takes the program down.
 */
bool probe_elf_knows_returns(struct probe_elf *elf);
/* Value of a dynamic or static symbol of any type (for the loader's own variables). 0 or -ENOENT.
 */
int probe_elf_data_symbol(struct probe_elf *elf, const char *name, u64 *addr);

/* What the dynamic section says; owned by the caller (probe_needed_free). */
struct probe_needed {
	char *soname, *rpath, *runpath; /* NULL: none */
	char **needed;			/* names of libraries */
	u32 n;
};
/* 0, -ENOENT: there is nothing to read, or -ENOMEM. */
int probe_needed_read(const char *path, struct probe_needed *out);
void probe_needed_free(struct probe_needed *needed); /* idempotent */

/* Paths without symbolic links, owned by the caller (probe_files_free). */
struct probe_files {
	char **v;
	u32 n;
};
/*
 * What the loader would map with the program or library @path in the caller's environment: itself
 * first, then what it needs, breadth first. What isn't found is left out. 0 or -ENOMEM.
 */
int probe_files_needed(const char *path, struct probe_files *out);
/* @path, unless it is there already. 0 or -ENOMEM. */
int probe_files_add(struct probe_files *files, const char *path);
void probe_files_free(struct probe_files *files); /* idempotent */

/*
 * Call @fn with the name of each library that @elf needs, or (not @needed) with its own name, until
 * it returns non-zero, which comes back.
 */
int probe_elf_each_name(struct probe_elf *elf, bool needed,
			int (*fn)(const char *name, void *cookie), void *cookie);

/* --- a plan
 * ----------------------------------------------------------------------------------------------------
 */

/*
 * Is @offset an instruction boundary of the function that contains it, and how would it be probed
 * if the file's byte 0 of that segment were loaded as in @mapping? Decodes from the symbol's start
 * with our own decoder, and has capstone decode it, too, and the copy in a slot (length, operands,
 * effective address). 0 and *out, or -errno (EINVAL not on a boundary, EOPNOTSUPP refused
 * instruction, EBUSY a foreign breakpoint is there) with the sentence in @why. @text are the bytes
 * in the target's memory at the site, @text_len of them (read by the caller).
 */
int probe_plan(struct probe_elf *elf, u64 offset, u64 addr, const u8 *text, size_t text_len,
	       struct arch_patch *out, char why[PROBE_WHY_MAX]);
/* arch_jump_follows() of the site at @offset, as far as the second decoder agrees. */
u32 probe_follows(struct probe_elf *elf, u64 offset, const struct arch_patch *p, const u8 *text,
		  size_t text_len);

/*
 * Does the function around @offset branch into the @own bytes there, but to their begin, or does
 * another one begin in them?
 */
bool probe_branches_into(struct probe_elf *elf, u64 offset, u32 own);

/*
 * What stands at a site, from the fastest down. Those behind PROBE_RUNG_BREAK are breaks, too, and
 * say why it is no jump.
 */
enum probe_rung {
	PROBE_RUNG_UNKNOWN,
	PROBE_RUNG_NOP,	 /* a jump over a nop of its length or longer */
	PROBE_RUNG_LONG, /* over another instruction that is as long */
	PROBE_RUNG_PUN,	 /* whose last bytes are what follows a shorter instruction */
	PROBE_RUNG_OVER, /* over what follows it, too: breaks within, for those who are there */
	PROBE_RUNG_BREAK,
	PROBE_RUNG_ASKED,    /* EBPFRT_PROBE=trap */
	PROBE_RUNG_SHADOW,   /* a process with a shadow stack */
	PROBE_RUNG_GO,	     /* Go */
	PROBE_RUNG_ENDS,     /* its mapping ends within the jump */
	PROBE_RUNG_EMULATED, /* an instruction that no stub executes */
	PROBE_RUNG_FAR,	     /* nothing is free near it */
	PROBE_RUNG_TAKEN,    /* nothing is free where the pun would lead */
	PROBE_RUNG_KEPT,     /* a jump was planned, and the agent keeps the break */
	PROBE_RUNG_OWN,	     /* the agent guards something there, too */
	PROBE_RUNGS
};
/* "nop", "long", "pun", "over" or "trap"; "" for what is none of them. */
const char *probe_rung_name(u32 rung);
/* Why it is a break: a clause that can stand behind a colon; NULL: it is none, or nobody knows. */
const char *probe_rung_why(u32 rung);
static inline bool probe_rung_is_jump(u32 rung)
{
	return rung >= PROBE_RUNG_NOP && rung < PROBE_RUNG_BREAK;
}
/* What EBPFRT_PROBE (NULL or empty: the default) asks for. False: it says nothing that we know. */
#define PROBE_RUNGS_DEFAULT "auto"
bool probe_rungs_asked(const char *env, bool *jumps, bool *only_jumps);
/* The best for @p by its own bytes and those behind it, @text: what is free near it is not known.
 */
enum probe_rung probe_rung_of(struct probe_elf *elf, const struct arch_patch *p, const u8 *text,
			      size_t len);

/*
 * Would a return probe of function @symbol break its program? -EOPNOTSUPP and the sentence when it
 * returns twice (setjmp, vfork), or return addresses must stay in @elf, which may be NULL, and the
 * returns of the function are not all known (probe_returns()).
 */
int probe_ret_refused(struct probe_elf *elf, const char *symbol, char why[PROBE_WHY_MAX]);
/*
 * May a return probe be set at file offset @offset, which people call @symbol (may be "")? Only
 * where a return address certainly is what the stack pointer points to: at the start of a function
 * that is called, and behind that as long as the stack is left alone and the unwind tables say the
 * same. -EOPNOTSUPP and the sentence: a program's start, a part of a function, one that returns
 * twice, one that reads its own return address and isn't guarded (probe_askers[], unwinders); the
 * middle of one. (A kernel's uretprobe replaces whatever is there.)
 */
int probe_ret_at(struct probe_elf *elf, u64 offset, const char *symbol, char why[PROBE_WHY_MAX]);
/*
 * Call @fn for each place in @elf where a constant is loaded that is among the @n numbers @nrs, and
 * a system call follows within a few plain instructions, with the file offsets of both, until it
 * returns non-zero, which comes back.
 */
typedef int (*probe_syscall_fn)(u32 nr, u64 load_offset, u64 call_offset, void *cookie);
int probe_libc_syscall_sites(struct probe_elf *elf, const u32 *nrs, u32 n, probe_syscall_fn fn,
			     void *cookie);

/*
 * By its name, is it a library that blocks signals by system calls of its own: a C library, or the
 * run-time of a sanitizer, which blocks all of them where threads begin and end?
 */
bool probe_calls_kernel(const char *path);
/* Is the run-time of a sanitizer in it, which makes system calls of its own? */
bool probe_has_sanitizer(struct probe_elf *elf);
/* As probe_libc_syscall_sites(), for each system call whose number isn't known: @fn is told 0, and
 * its offset twice. */
int probe_unknown_syscalls(struct probe_elf *elf, probe_syscall_fn fn, void *cookie);

/* File offset of the system call in the C library's function syscall(); -ENOENT: there is none. */
int probe_libc_syscall(struct probe_elf *elf, u64 *offset);

/*
 * The returns of the function whose start is at file offset @offset, for where return addresses
 * must not be replaced: file offsets, how many, or -EOPNOTSUPP with the sentence in @why when it is
 * not certain that these are all the ways it is left.
 */
#define PROBE_RETURNS_MAX 256u
int probe_returns(struct probe_elf *elf, u64 offset, u64 offsets[PROBE_RETURNS_MAX],
		  char why[PROBE_WHY_MAX]);

/*
 * File offsets of the exits of the unwinder's function @sym (arch_unwind_exits()): how many, or
 * -errno.
 */
int probe_unwind_exits(struct probe_elf *elf, const struct probe_symbol *sym, bool lands,
		       u64 *offsets, u32 max);

/*
 * Functions of the C library that look up who called them, or their caller, by the return address:
 * who probes returns has to guard them. By name; NULL ends them.
 */
extern const char *const probe_askers[];
/* Is a file of that name (part of) the C library? */
bool probe_is_libc(const char *path);
/* File offsets of where control leaves function @sym, by return or jump: how many, or -errno. */
int probe_asker_exits(struct probe_elf *elf, const struct probe_symbol *sym, u64 *offsets, u32 max);

/* Read @len bytes of a process's memory. Bytes read (may be short) or -errno. */
ssize_t probe_read_memory(pid_t pid, u64 addr, void *buf, size_t len);
