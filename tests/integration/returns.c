// SPDX-License-Identifier: BSD-2-Clause
/*
 * Functions that are left in every way C knows (returns_common.h says how it is told):
 *
 *	leaf N             three calls deep, and back
 *	longjmp N          N times longjmp out of three functions
 *	siglongjmp N       N times siglongjmp from the handler of a signal, likewise
 *	recurse N          N calls deep
 *	hop N              N calls deep, then longjmp out of all of them
 *	tail N             N times a chain of two tail calls
 *	exit N             N threads that end with pthread_exit three calls deep
 *	cancel N           N threads that are cancelled there
 *	leave N            N threads that end there with nothing to clean up
 *	coroutines N       N coroutines, each stopped three calls deep, that return in an order of
 *	                   their own
 *	moved N            the same, in another thread than they began
 *	backtrace, unwind  who called, as backtrace() and _Unwind_Backtrace() see it
 *	libunwind, steps   the same as libunwind sees it, at once and step by step, with calls of
 *	                   probed functions in between; "none" where there is no libunwind
 */
#include "returns_common.h"

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

#ifdef GO_MARK
/* what tells a Go program, whose stacks would move */
__attribute__((used, section(".note.go.buildid"))) static const int go_mark[] = {4, 4, 4, 0x6f47};
#endif

/* --- jumps
 * --------------------------------------------------------------------------------------------------------------
 */

static jmp_buf back;
static sigjmp_buf sigback;

static long act_longjmp(long n)
{
	longjmp(back, 1);
}

static long act_raise(long n)
{
	raise(SIGUSR1);
	return n;
}

static void on_signal(int sig)
{
	siglongjmp(sigback, 1);
}

static void longjmps(long n)
{
	volatile long jumps = 0;

	for (volatile long i = 0; i < n; i++) {
		if (setjmp(back))
			jumps++;
		else
			through(act_longjmp, i);
	}
	printf("longjmp %ld\n", jumps);
}

static void siglongjmps(long n)
{
	volatile long jumps = 0;

	signal(SIGUSR1, on_signal);
	for (volatile long i = 0; i < n; i++) {
		if (sigsetjmp(sigback, 1))
			jumps++;
		else
			through(act_raise, i);
	}
	printf("siglongjmp %ld\n", jumps);
}

/* --- depth
 * --------------------------------------------------------------------------------------------------------------
 */

static int hops;

EXPORT long recurse(long n)
{
	ENTER(recurse);
	if (!n && hops)
		longjmp(back, 1);
	long r = n ? recurse(n - 1) : 0;
	RETURN(recurse, r + 1);
}

static void hop(long n)
{
	if (setjmp(back)) {
		hops = 0;
		printf("hop %ld\n", n);
		return;
	}
	hops = 1;
	recurse(n);
}

/* --- tail calls
 * ---------------------------------------------------------------------------------------------------------
 */

/* the compiler's word for it would be musttail; counted here, as who jumps away never sees its own
 * return */
EXPORT long tail_last(long n)
{
	ENTER(tail_last);
	__atomic_fetch_add(&counts[2 * N_tail_first + 1], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&counts[2 * N_tail_second + 1], 1, __ATOMIC_RELAXED);
	if (n == 7)
		act_backtrace(n);
	RETURN(tail_last, n * 2);
}

long tail_first(long n), tail_second(long n);
__attribute__((used)) static void count_first(void)
{
	ENTER(tail_first);
}
__attribute__((used)) static void count_second(void)
{
	ENTER(tail_second);
}
#define TAIL(from, to, count)                                                                      \
	__asm__(".text\n.globl " #from "\n.type " #from ", @function\n" #from                      \
		":\n.cfi_startproc\npush %rdi\n"                                                   \
		".cfi_adjust_cfa_offset 8\ncall " #count                                           \
		"\npop %rdi\n.cfi_adjust_cfa_offset -8\njmp " #to "\n.cfi_endproc\n.size " #from   \
		", .-" #from "\n")
TAIL(tail_first, tail_second, count_first);
TAIL(tail_second, tail_last, count_second);

static void tails(long n)
{
	long sum = 0;

	trace[0] = 0;
	for (long i = 0; i < n; i++)
		sum += tail_first(i);
	printf("tail %ld%s\n", sum, trace);
}

/* --- threads that end
 * ---------------------------------------------------------------------------------------------------
 */

static long act_exit(long n)
{
	pthread_exit((void *)n);
}

static long act_wait(long n)
{
	pause();
	return n;
}

static void cleanup(void *arg)
{
	*(long *)arg += leaf(0);
}

static long cleanups;
static long (*thread_act)(long);

static void *thread(void *arg)
{
	pthread_cleanup_push(cleanup, &cleanups);
	through(thread_act, (long)arg);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *plain_thread(void *arg)
{
	through(act_exit, (long)arg);
	return NULL;
}

static void leave(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++) {
		void *result;
		pthread_t t;

		pthread_create(&t, NULL, plain_thread, (void *)i);
		pthread_join(t, &result);
		sum += (long)result;
	}
	printf("leave %ld\n", sum);
}

static void threads(const char *word, long n, long (*how)(long))
{
	long sum = 0;

	cleanups = 0;
	thread_act = how;
	for (long i = 0; i < n; i++) {
		void *result;
		pthread_t t;

		pthread_create(&t, NULL, thread, (void *)i);
		if (how == act_wait)
			pthread_cancel(t);
		pthread_join(t, &result);
		sum += (long)result;
	}
	/* one that was cancelled before it began has no clean-up to do */
	printf("%s %ld %ld\n", word, sum, how == act_wait ? 0 : cleanups);
}

/* --- coroutines
 * ---------------------------------------------------------------------------------------------------------
 */

#define COROUTINES 64
#define STACK (64 << 10)
static ucontext_t main_context, contexts[COROUTINES];
static long results[COROUTINES];
static int running;

static long act_switch(long n)
{
	swapcontext(&contexts[running], &main_context);
	if (n % 8 == 3)
		act_backtrace(n);
	return n;
}

static void coroutine(int i)
{
	results[i] = through(act_switch, i);
}

static void run_on(int i)
{
	running = i;
	act = act_switch;
	swapcontext(&main_context, &contexts[i]);
}

static void *run_all(void *arg)
{
	int n = (int)(long)arg;

	for (int i = 0; i < n; i++)
		run_on((i * 7 + 3) % n);
	return NULL;
}

static void elsewhere(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, fn, arg);
	pthread_join(t, NULL);
}

static void coroutines(const char *word, long n, bool moved)
{
	char *stacks;
	long sum = 0;

	n = n < COROUTINES ? n : COROUTINES;
	stacks = malloc(n * STACK);
	trace[0] = 0;
	for (int i = 0; i < n; i++) {
		getcontext(&contexts[i]);
		contexts[i].uc_stack.ss_sp = stacks + (long)i * STACK;
		contexts[i].uc_stack.ss_size = STACK;
		contexts[i].uc_link = &main_context;
		makecontext(&contexts[i], (void (*)(void))coroutine, 1, i);
		run_on(i);
	}
	if (moved)
		elsewhere(run_all, (void *)n);
	else
		run_all((void *)n);
	for (int i = 0; i < n; i++)
		sum = sum * 3 + results[i];
	printf("%s %ld%s\n", word, sum, trace);
	free(stacks);
}

EXPORT long catcher(long n)
{
	ENTER(catcher);
	RETURN(catcher, n);
}

/* --- libunwind, which is loaded when it is asked for
 * --------------------------------------------------------------------------------------
 */

#define UNWIND_IP 16 /* UNW_X86_64_RIP */

static struct {
	int (*backtrace)(void **pcs, int n);
	int (*getcontext)(void *context);
	int (*init_local)(void *cursor, void *context);
	int (*step)(void *cursor);
	int (*get_reg)(void *cursor, int reg, unsigned long *value);
} unw;

static bool load_libunwind(void)
{
	void *lib = dlopen("libunwind.so.8", RTLD_NOW);

	if (!lib)
		return false;
	*(void **)&unw.backtrace = dlsym(lib, "unw_backtrace");
	*(void **)&unw.getcontext = dlsym(lib, "_Ux86_64_getcontext");
	*(void **)&unw.init_local = dlsym(lib, "_ULx86_64_init_local");
	*(void **)&unw.step = dlsym(lib, "_ULx86_64_step");
	*(void **)&unw.get_reg = dlsym(lib, "_ULx86_64_get_reg");
	return unw.backtrace && unw.getcontext && unw.init_local && unw.step && unw.get_reg;
}

static long act_libunwind(long n)
{
	void *pcs[64];
	int k = unw.backtrace(pcs, 64);

	for (int i = 0; i < k && i < 64; i++)
		trace_add((char *)pcs[i] - 1);
	return n;
}

static long act_steps(long n)
{
	static unsigned long cursor[127], context[256];
	unsigned long ip;

	unw.getcontext(context);
	unw.init_local(cursor, context);
	for (int i = 0; i < 64 && unw.step(cursor) > 0; i++) {
		unw.get_reg(cursor, UNWIND_IP, &ip);
		leaf(1);
		trace_add((char *)ip - 1);
	}
	return n;
}

static void by_libunwind(const char *word, long n)
{
	if (!load_libunwind())
		printf("%s none\n", word);
	else
		printf("%s%s\n", word, traced(word[0] == 's' ? act_steps : act_libunwind, n));
}

static void command(const char *word, long n)
{
	if (!strcmp(word, "longjmp"))
		longjmps(n);
	else if (!strcmp(word, "siglongjmp"))
		siglongjmps(n);
	else if (!strcmp(word, "recurse"))
		printf("recurse %ld\n", recurse(n));
	else if (!strcmp(word, "hop"))
		hop(n);
	else if (!strcmp(word, "tail"))
		tails(n);
	else if (!strcmp(word, "exit"))
		threads(word, n, act_exit);
	else if (!strcmp(word, "leave"))
		leave(n);
	else if (!strcmp(word, "cancel"))
		threads(word, n, act_wait);
	else if (!strcmp(word, "coroutines") || !strcmp(word, "moved"))
		coroutines(word, n, !strcmp(word, "moved"));
	else if (!strcmp(word, "libunwind") || !strcmp(word, "steps"))
		by_libunwind(word, n);
	else
		printf("%s?\n", word);
}
