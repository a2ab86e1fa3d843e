/* SPDX-License-Identifier: BSD-2-Clause */
#include "machine.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
#define LOW 0x10000000
#define HIGH 0x200000000000
#define APART 0x1000000
#define LEGACY 416 /* bytes of x87 and SSE state at the beginning */
#define XSTATE_BV 512
#define SW_RESERVED 464 /* what the kernel says of the frame */
#define SW_MAGIC 0x46505853u
#define X87_IP 8

u8 *machine_code, *machine_data, *machine_slots;
u32 machine_xstate_size;
u64 machine_seed;
static u8 pristine[MACHINE_XSTATE]; /* with the kernel's own words in them */

#define PLACE(member) (offsetof(struct arch_regs, member) / sizeof(u64))
const u8 machine_places[16] = {
	PLACE(ax),  PLACE(cx),	PLACE(dx),  PLACE(bx),	PLACE(sp),  PLACE(bp),
	PLACE(si),  PLACE(di),	PLACE(r8),  PLACE(r9),	PLACE(r10), PLACE(r11),
	PLACE(r12), PLACE(r13), PLACE(r14), PLACE(r15),
};

/* --- values --- */

u64 machine_random(void)
{
	machine_seed ^= machine_seed << 13;
	machine_seed ^= machine_seed >> 7;
	machine_seed ^= machine_seed << 17;
	return machine_seed * 0x2545f4914f6cdd1d;
}

u64 machine_value(u32 kind)
{
	static const u64 ends[] = {0,	       1,	   ~0ull,      1ull << 63, ~0ull >> 1,
				   0x7fffffff, 0x80000000, 0xffffffff, 0x80,	   0x7fff8000ffff};
	u64 v = machine_random();
	union {
		double d[1];
		float f[2];
		u64 u;
	} fp;

	switch (kind % MACHINE_KINDS) {
	case 1:
		return v & 0xff;
	case 2:
		return ends[v % ARRAY_SIZE(ends)];
	case 3:
		if (v & 1)
			fp.d[0] = (double)(s64)v / 65536.0;
		else
			fp.f[0] = (float)(s32)v, fp.f[1] = (float)(s32)(v >> 32) / 3.0f;
		return fp.u;
	default:
		return v;
	}
}

void machine_fill(void *p, size_t len, u32 kind)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		u64 v = machine_value(kind);

		memcpy((u8 *)p + i, &v, sizeof(v));
	}
}

static u32 component(u32 i, u32 *offset)
{
	u32 size, b, c, d;

	__cpuid_count(0xd, i, size, b, c, d);
	*offset = b;
	return size;
}

/* AVX, and the three of AVX-512 */
static const u8 vectors[] = {2, 5, 6, 7};

static u64 features(const struct machine *m)
{
	u64 v;

	memcpy(&v, m->xstate + SW_RESERVED + 8, sizeof(v));
	return v;
}

static void fill_x87(u8 *x, u32 kind)
{
	static const u16 precision[] = {0, 0x200, 0x300};
	u16 control = 0x7f | precision[machine_random() % 3] | (machine_random() & 0xc00);
	u16 status = machine_random() & 0x7f7f;
	u32 mxcsr = 0x1f80 | (machine_random() & 0xe07f);

	memcpy(x, &control, 2);
	memcpy(x + 2, &status, 2);
	x[4] = (u8)machine_random();
	memcpy(x + 24, &mxcsr, 4);
	for (int i = 0; i < 8; i++) {
		u64 significand = machine_value(kind) | 1ull << 63;
		u16 exponent = kind ? 0x3ff0 + machine_random() % 64 : (u16)machine_random();

		memcpy(x + 32 + 16 * i, &significand, 8);
		memcpy(x + 40 + 16 * i, &exponent, 2);
	}
	machine_fill(x + 160, 256, kind);
}

void machine_fill_xstate(struct machine *m, u32 kind)
{
	u64 bv;

	memcpy(m->xstate, pristine, machine_xstate_size);
	memcpy(&bv, pristine + XSTATE_BV, sizeof(bv));
	bv |= 3;
	fill_x87(m->xstate, kind);
	for (size_t i = 0; i < sizeof(vectors); i++) {
		u32 offset, size = component(vectors[i], &offset);

		if (!(features(m) >> vectors[i] & 1))
			continue;
		machine_fill(m->xstate + offset, size, kind);
		bv |= 1ull << vectors[i];
	}
	if (features(m))
		memcpy(m->xstate + XSTATE_BV, &bv, sizeof(bv));
}

/* --- running --- */

static enum { IDLE, GO, DONE } phase;
static struct machine *now;
static gregset_t home;
static u8 home_xstate[MACHINE_XSTATE];

u64 machine_home_fs __attribute__((visibility("hidden")));
u64 machine_next_fs __attribute__((visibility("hidden")));
void machine_on_signal(int sig, siginfo_t *info, ucontext_t *uc)
	__attribute__((visibility("hidden"), used));
void machine_entry(int sig, siginfo_t *info, void *uc) __attribute__((visibility("hidden")));

/* Before and after C: alignment checks off, and the flags that no signal frame sets; the thread's
 * own %fs, then the state's. */
__asm__(".text\n.globl machine_entry\n.hidden machine_entry\nmachine_entry:\n"
	"pushfq\nandl $~0x244000, (%rsp)\npopfq\n"
	"push %rdi\npush %rsi\npush %rdx\n"
	"mov machine_home_fs(%rip), %rsi\nmov $0x1002, %edi\nmov $158, %eax\nsyscall\n"
	"pop %rdx\npop %rsi\npop %rdi\n"
	"sub $8, %rsp\ncall machine_on_signal\n"
	"mov machine_next_fs(%rip), %rsi\nmov $0x1002, %edi\nmov $158, %eax\nsyscall\n"
	"add $8, %rsp\nret\n");

static const int gregs[] = {REG_R15, REG_R14, REG_R13, REG_R12, REG_RBP, REG_RBX, REG_R11, REG_R10,
			    REG_R9,  REG_R8,  REG_RAX, REG_RCX, REG_RDX, REG_RSI, REG_RDI};

static void begin(greg_t *g, u8 *x)
{
	const u64 *r = (const u64 *)&now->regs;

	memcpy(home, g, sizeof(home));
	memcpy(home_xstate, x, machine_xstate_size);
	for (size_t i = 0; i < ARRAY_SIZE(gregs); i++)
		g[gregs[i]] = (greg_t)r[i];
	g[REG_RSP] = (greg_t)now->regs.sp;
	g[REG_RIP] = (greg_t)now->regs.ip;
	g[REG_EFL] = (greg_t)now->regs.flags;
	memcpy(x, now->xstate, LEGACY);
	memcpy(x + XSTATE_BV, now->xstate + XSTATE_BV, machine_xstate_size - XSTATE_BV);
	machine_next_fs = now->fs_base ? now->fs_base : machine_home_fs;
	phase = DONE;
}

static void end(int sig, const siginfo_t *info, greg_t *g, u8 *x)
{
	u64 *r = (u64 *)&now->regs;
	bool is_break = sig == SIGTRAP && info->si_code == SI_KERNEL;

	for (size_t i = 0; i < ARRAY_SIZE(gregs); i++)
		r[i] = (u64)g[gregs[i]];
	now->regs.sp = (u64)g[REG_RSP];
	now->regs.ip = (u64)g[REG_RIP] - is_break;
	now->regs.flags = (u64)g[REG_EFL] & MACHINE_FLAGS_SEEN;
	memcpy(now->xstate, x, machine_xstate_size);
	now->sig = sig;
	now->code = info->si_code;
	now->addr = is_break ? 0 : (u64)info->si_addr;
	now->trapno = (u64)g[REG_TRAPNO];
	now->err = (u64)g[REG_ERR];
	now->cr2 = now->trapno == 14 ? (u64)g[REG_CR2] : 0;
	memcpy(g, home, sizeof(home));
	memcpy(x, home_xstate, machine_xstate_size);
	machine_next_fs = machine_home_fs;
	phase = IDLE;
}

void machine_on_signal(int sig, siginfo_t *info, ucontext_t *uc)
{
	u8 *x = (u8 *)uc->uc_mcontext.fpregs;
	u32 magic;

	if (!machine_xstate_size) { /* the first one: only to see what frames are like */
		memcpy(&magic, x + SW_RESERVED, 4);
		machine_xstate_size = LEGACY;
		if (magic == SW_MAGIC)
			memcpy(&machine_xstate_size, x + SW_RESERVED + 16, 4);
		memcpy(pristine, x, machine_xstate_size);
		machine_next_fs = machine_home_fs;
	} else if (phase == GO) {
		begin(uc->uc_mcontext.gregs, x);
	} else if (phase == DONE) {
		end(sig, info, uc->uc_mcontext.gregs, x);
	} else { /* not ours: die of it */
		signal(sig, SIG_DFL);
		machine_next_fs = machine_home_fs;
	}
}

void machine_run(struct machine *m)
{
	now = m;
	phase = GO;
	__asm__ volatile("int3" ::: "memory", "cc");
}

static u8 *area(u64 at)
{
	u8 *p = mmap((void *)(at - PAGE), MACHINE_AREA + 2 * PAGE, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p == MAP_FAILED || mprotect(p + PAGE, MACHINE_AREA, PROT_READ | PROT_WRITE | PROT_EXEC))
		return NULL;
	return p + PAGE;
}

bool machine_setup(bool low)
{
	static const int sigs[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	static u8 stack[1 << 17] __attribute__((aligned(64)));
	struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	u64 base = low ? LOW : HIGH;

	machine_code = area(base);
	machine_data = area(base + APART);
	machine_slots = area(base + 2 * APART);
	if (!machine_code || !machine_data || !machine_slots)
		return false;
	memset(machine_code, 0xcc, MACHINE_AREA);
	memset(machine_slots, 0xcc, MACHINE_AREA);
	machine_seed = ((u64)getpid() << 32 | (u64)time(NULL)) | 1;
	syscall(SYS_arch_prctl, ARCH_GET_FS, &machine_home_fs);
	sigaltstack(&ss, NULL);
	sa.sa_sigaction = machine_entry;
	for (size_t i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
	__asm__ volatile("int3" ::: "memory");
	return true;
}

/* --- comparing --- */

static const char *register_difference(const struct machine *a, const struct machine *b)
{
	static const char *const names[] = {"r15", "r14", "r13", "r12", "bp",	 "bx", "r11",
					    "r10", "r9",  "r8",	 "ax",	"cx",	 "dx", "si",
					    "di",  NULL,  "ip",	 NULL,	"flags", "sp", NULL};
	static char text[120];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		u64 x = ((const u64 *)&a->regs)[i], y = ((const u64 *)&b->regs)[i];

		if (!names[i] || x == y)
			continue;
		snprintf(text, sizeof(text), "%s is %lx, not %lx", names[i], y, x);
		return text;
	}
	return "";
}

static const char *ending_difference(const struct machine *a, const struct machine *b)
{
	static char text[160];

	if (a->sig == b->sig && a->code == b->code && a->addr == b->addr &&
	    a->trapno == b->trapno && a->err == b->err && a->cr2 == b->cr2)
		return "";
	snprintf(text, sizeof(text),
		 "signal %d code %d addr %lx trap %lu err %lx, not %d %d %lx %lu %lx", b->sig,
		 b->code, b->addr, b->trapno, b->err, a->sig, a->code, a->addr, a->trapno, a->err);
	return text;
}

static const char *xstate_difference(const struct machine *a, const struct machine *b)
{
	static char text[80];

	for (u32 i = 0; i < machine_xstate_size; i++) {
		if (a->xstate[i] == b->xstate[i] || (i >= LEGACY && i < XSTATE_BV + 64))
			continue;
		snprintf(text, sizeof(text), "extended state differs at byte %u", i);
		return text;
	}
	return "";
}

const char *machine_difference(const struct machine *a, const struct machine *b)
{
	const char *d = ending_difference(a, b);

	if (!*d)
		d = register_difference(a, b);
	return *d ? d : xstate_difference(a, b);
}
