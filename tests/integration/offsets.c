// SPDX-License-Identifier: BSD-2-Clause
/*
 * A probe on every instruction of a function that has one of each kind that needs care: calls,
 *jumps both ways, loops, operands relative to the instruction, the stack pointer, prefixes. Each is
 *hit as often as it is executed, sees its own address, and the function computes what it did.
 *Between two boundaries a probe is refused. So is the probe of a return anywhere but where a return
 *address is what the stack pointer points to; a kernel's replaces what is there. (A kernel's
 *uprobes do not pass: they refuse a lock prefix, and pushf stores their trap flag.) Prints TAP.
 *
 *	offsets OBJECT
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__

/* Every instruction leaves its address in the table, with how often one call of mixed(5) executes
 * it. */
/* clang-format off */
#define I(times, insn)                                                                             \
	"99: " insn "\n.pushsection .data.rel,\"aw\"\n.quad 99b, " #times "\n.popsection\n"
/* With whether a return address is known to be on top of the stack. */
#define R(top, insn)                                                                               \
	"99: " insn "\n.pushsection .data.returns,\"aw\"\n.quad 99b, " #top "\n.popsection\n"

__asm__(".pushsection .data.rel,\"aw\"\n"
	".balign 8\n"
	"table:\n"
	".popsection\n"
	".pushsection .data.returns,\"aw\"\n"
	".balign 8\n"
	"returns:\n"
	".popsection\n"
	".text\n"
	".globl mixed\n"
	".type mixed, @function\n"
	"mixed:\n" /* (n): loops n times; 0 when anything is wrong */
	I(1, "endbr64")
	I(1, "push %rbp")
	I(1, "mov %rsp,%rbp")
	I(1, "push $0x1234")
	I(1, "sub $0x18,%rsp")
	I(1, "lea number(%rip),%rdx")
	I(1, "mov number(%rip),%rax")
	I(1, "cmp (%rdx),%rax")
	I(1, "jne 8f")
	I(1, "addq $1,number(%rip)")
	I(1, "mov %rdi,%rcx")
	I(1, "xor %eax,%eax")
	"1:\n"
	I(5, "lea 3(%rax,%rcx,1),%rax")
	I(5, "push %rax")
	I(5, "pop %r10")
	I(5, "cmp %r10,%rax")
	I(5, "jne 8f")
	I(5, "call 7f")
	I(5, "lock xaddq %r11,-0x18(%rbp)")
	I(5, "loop 1b")
	I(1, "jrcxz 2f")
	I(0, "jmp 8f")
	"2:\n"
	I(1, "lea 3f(%rip),%r10")
	I(1, "jmp *%r10")
	I(0, "int3")
	"3:\n"
	I(1, "lea 7f(%rip),%r10")
	I(1, "call *%r10")
	I(1, "mov %rax,-0x10(%rbp)")
	I(1, "mov $2,%ecx")
	I(1, "lea -0x18(%rbp),%rdi")
	I(1, "cld")
	I(1, "xor %eax,%eax")
	I(1, "rep stosb")
	I(1, "mov -0x10(%rbp),%rax")
	I(1, "nopw 0x0(%rax,%rax,1)")
	I(1, "pushf")
	I(1, "popf")
	I(1, "cmpl $0x1234,-0x8(%rbp)")
	I(1, ".byte 0x0f,0x85; .long 8f-(.+4)") /* jne with four bytes of offset */
	I(1, "leave")
	I(1, "ret")
	"8:\n"
	I(0, "xor %eax,%eax")
	I(0, "leave")
	I(0, "ret")
	"7:\n"
	I(6, "add $1,%rax")
	I(6, "ret")
	".size mixed, .-mixed\n"
	/* the same without counts, and with a note of what is on top of the stack */
	".globl framed\n"
	".type framed, @function\n"
	"framed:\n" /* (n): 2n + 7 */
	".cfi_startproc\n"
	R(1, "endbr64")
	R(1, "nop")
	R(1, "lea 7(%rdi),%rax")
	R(1, "push %rbx")
	".cfi_def_cfa_offset 16\n.cfi_offset 3, -16\n"
	R(0, "mov %rdi,%rbx")
	R(0, "push $3")
	".cfi_def_cfa_offset 24\n"
	R(0, "add %rbx,%rax")
	R(0, "pop %rbx")
	".cfi_def_cfa_offset 16\n"
	R(0, "pop %rbx")
	".cfi_def_cfa_offset 8\n"
	R(0, "ret") /* one is, but that is told by the unwind entry alone */
	".cfi_endproc\n"
	".size framed, .-framed\n"
	".pushsection .data.returns,\"aw\"\n"
	".quad 0, 0\n"
	".popsection\n"
	".pushsection .data.rel,\"aw\"\n"
	".quad 0, 0\n"
	".balign 8\n"
	"number: .quad 77\n"
	".popsection\n");
/* clang-format on */

long mixed(long n);
long framed(long n);
extern struct place {
	unsigned long addr, times;
} table[], returns[];
extern char __executable_start;

#define CALLS 20

static int tests, to_child[2], from_child[2];
static pid_t child;

static void check(int good, const char *name)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, name);
}

static void serve(void)
{
	long sum;
	char c;

	while (read(to_child[0], &c, 1) == 1) {
		sum = 0;
		for (int i = 0; i < CALLS; i++)
			sum += mixed(5) * 1000 + framed(i);
		if (write(from_child[1], &sum, sizeof(sum)) != sizeof(sum))
			break;
	}
	_exit(5);
}

static long calls(void)
{
	long sum = -1;

	if (write(to_child[1], "x", 1) != 1 ||
	    read(from_child[0], &sum, sizeof(sum)) != sizeof(sum))
		return -1;
	return sum;
}

#define RETURN 1 /* BPF_F_UPROBE_MULTI_RETURN */

/* bpf(2) as it is since 6.6, which this libbpf does not know */
static int multi(int prog, const unsigned long *offsets, const unsigned long long *cookies, int n,
		 int flags)
{
	const char *path = "/proc/self/exe";
	struct {
		__u32 prog_fd, target_fd, attach_type, flags;
		__u64 path, offsets, ref_ctr_offsets, cookies;
		__u32 cnt, multi_flags, pid;
	} attr = {.prog_fd = prog,
		  .attach_type = 48,
		  .path = (__u64)path,
		  .offsets = (__u64)offsets,
		  .cookies = (__u64)cookies,
		  .cnt = n,
		  .multi_flags = flags,
		  .pid = child};

	return syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
}

static unsigned long offset_of(const struct place *p)
{
	return p->addr - (unsigned long)&__executable_start;
}

static int inside_refused(int prog)
{
	int n = 0, refused = 0;

	for (int i = 0; table[i + 1].addr; i++)
		for (unsigned long at = table[i].addr + 1; at < table[i + 1].addr; at++, n++) {
			unsigned long offset = at - (unsigned long)&__executable_start;
			unsigned long long cookie = 0;
			int fd = multi(prog, &offset, &cookie, 1, 0);

			if (fd >= 0)
				close(fd);
			else
				refused++;
		}
	return n > 50 && n == refused;
}

/* --- returns --- */

/* Is the probe of the return there, by its own link or by a perf event, given or refused as wanted?
 */
static int as_wanted(struct bpf_program *multi_prog, struct bpf_program *prog,
		     const struct place *p, int wanted)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = true);
	unsigned long offset = offset_of(p);
	unsigned long long cookie = 0;
	int fd = multi(bpf_program__fd(multi_prog), &offset, &cookie, 1, RETURN),
	    err = fd < 0 ? errno : 0, single;
	struct bpf_link *link;

	if (fd >= 0)
		close(fd);
	link = bpf_program__attach_uprobe_opts(prog, child, "/proc/self/exe", offset, &opts);
	single = link ? 0 : errno;
	bpf_link__destroy(link);
	if (err == (wanted ? 0 : EOPNOTSUPP) && single == err)
		return 1;
	printf("# the return at %#lx: errno %d and %d\n", offset, err, single);
	return 0;
}

static int returns_as_wanted(struct bpf_program *multi_prog, struct bpf_program *prog)
{
	int good = 1;

	for (int i = 0; table[i].addr; i++) /* it has no unwind entry: its start, nothing else */
		good &= as_wanted(multi_prog, prog, &table[i], i == 0);
	for (int i = 0; returns[i].addr; i++)
		good &= as_wanted(multi_prog, prog, &returns[i], returns[i].times);
	return good;
}

#define FIRST_COOKIE 56

/* The return of one call from each place that is accepted: nothing changes, each is counted. */
static int returns_counted(struct bpf_object *obj, int prog, long want)
{
	unsigned long offsets[8];
	unsigned long long cookies[8];
	int n = 0, good, fd, hits = bpf_object__find_map_fd_by_name(obj, "hits");

	for (int i = 0; returns[i].times; i++) {
		offsets[n] = offset_of(&returns[i]);
		cookies[n] = FIRST_COOKIE + n;
		n++;
	}
	fd = multi(prog, offsets, cookies, n, RETURN);
	good = fd >= 0 && n == 4 && calls() == want;
	for (int i = FIRST_COOKIE; i < FIRST_COOKIE + n; i++) {
		unsigned long long v = 0;

		bpf_map_lookup_elem(hits, &i, &v);
		if (v != CALLS)
			printf("# return %d: %llu\n", i - FIRST_COOKIE, v);
		good &= v == CALLS;
	}
	close(fd);
	return good;
}

static int counted(struct bpf_object *obj, int n)
{
	int hits = bpf_object__find_map_fd_by_name(obj, "hits"),
	    where = bpf_object__find_map_fd_by_name(obj, "where");
	int good = 1;

	for (int i = 0; i < n; i++) {
		unsigned long long v = 0, ip = 0;

		bpf_map_lookup_elem(hits, &i, &v);
		bpf_map_lookup_elem(where, &i, &ip);
		if (v == CALLS * table[i].times && (!v || ip == table[i].addr))
			continue;
		printf("# instruction %d at mixed+%#lx: %llu hits, wanted %lu; ip %#llx\n", i,
		       table[i].addr - (unsigned long)mixed, v, CALLS * table[i].times, ip);
		good = 0;
	}
	return good;
}

int main(int argc, char **argv)
{
	static unsigned long offsets[64];
	static unsigned long long cookies[64];
	int n = 0, fd, prog, status;
	struct bpf_object *obj, *events;
	struct bpf_program *at_offset, *at_event;
	long want;

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(NULL); /* refusals are wanted */
	if (argc < 2 || pipe(to_child) || pipe(from_child))
		return 99;
	printf("1..10\n");
	child = fork();
	if (!child) {
		close(to_child[1]);
		close(from_child[0]);
		serve();
	}
	close(to_child[0]);
	close(from_child[1]);
	signal(SIGPIPE, SIG_IGN); /* a child that is no more is a test that fails */
	obj = bpf_object__open(argv[1]);
	if (obj) /* BPF_TRACE_UPROBE_MULTI */
		bpf_program__set_expected_attach_type(
			bpf_object__find_program_by_name(obj, "at_offset"), 48);
	if (!obj || bpf_object__load(obj)) {
		printf("Bail out! %s can't be loaded\n", argv[1]);
		return 99;
	}
	at_offset = bpf_object__find_program_by_name(obj, "at_offset");
	prog = bpf_program__fd(at_offset);
	events = bpf_object__open(argv[1]); /* for links of one uprobe */
	if (!events || bpf_object__load(events)) {
		printf("Bail out! %s can't be loaded\n", argv[1]);
		return 99;
	}
	at_event = bpf_object__find_program_by_name(events, "at_offset");
	for (int i = 0; table[i].addr; i++) {
		if (!strncmp((char *)table[i].addr, "\xcc", 1)) /* nobody's to probe */
			continue;
		offsets[n] = offset_of(&table[i]);
		cookies[n++] = i;
	}
	want = calls();
	check(want > 0, "the function computes something");
	fd = multi(prog, offsets, cookies, n, 0);
	check(fd >= 0, "every instruction is probed");
	for (int i = 0; fd < 0 && i < n; i++)
		if (multi(prog, offsets + i, cookies + i, 1, 0) < 0)
			printf("# mixed+%#lx is refused: %m\n", offsets[i] - offsets[0]);
	check(calls() == want, "the function computes the same");
	check(counted(obj, n + 1), "every probe is hit as often as its instruction is executed");
	close(fd);
	check(calls() == want, "and goes on when they are gone");
	check(inside_refused(prog), "inside of an instruction every probe is refused");
	check(returns_as_wanted(at_offset, at_event),
	      "returns are probed only where a return address is on top of the stack");
	check(returns_counted(obj, prog, want), "and are counted there");
	check(calls() == want, "and nothing of it stays");
	close(to_child[1]);
	waitpid(child, &status, 0);
	printf("# the child's status is %#x\n", status);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 5, "the child ends well");
	return 0;
}
#else
int main(void)
{
	printf("1..0 # SKIP written for x86-64\n");
	return 0;
}
#endif
