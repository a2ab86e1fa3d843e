// SPDX-License-Identifier: BSD-2-Clause
/*
 * Functions that are left by exceptions (returns_common.h says how it is told):
 *
 *	throw N            N times through three functions with something to clean up in between
 *	direct N           N times to the immediate caller of the function that throws
 *	catcher N          N times to a caller that is probed itself
 *	rethrow N          caught, thrown again from the handler, caught by the next
 *	within N           a clean-up that throws and catches on its own
 *	carry N            thrown in a thread, rethrown in another
 *	above N            caught below functions that return in order afterwards
 *	moved N            in a coroutine that began in another thread, caught there
 *	moving N           N steps of coroutines that four threads take in turns, some of which
 *throw handler N          in the handler of a signal, which has a stack of its own, and past it
 *	beside N           N times by a thread whose stack ends where that of another begins, which
 *calls meanwhile
 *	cancel N, exit N   threads that end with objects to destroy
 *	hold               waits for a line before it throws; first answers "holding"
 *	noexcept           a child that is terminated, and how
 *	uncaught           another
 *	who                backtrace() in the destructor and in the handler
 */
#include "returns_common.h"

#include <csignal>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <ucontext.h>
#include <vector>

static long destroyed;
static bool asks;

struct Guard {
	~Guard() noexcept(false)
	{
		destroyed += leaf(0);
		if (asks)
			act_backtrace(0);
	}
};

/* frames with a clean-up between those of the probed functions */
static long act_throw(long n)
{
	Guard g;

	throw std::runtime_error(std::to_string(n));
}

static long act_hold(long n)
{
	Guard g;
	char line[64];

	printf("holding\n");
	if (!fgets(line, sizeof(line), stdin))
		return n;
	throw std::runtime_error(std::to_string(n));
}

static long act_nested(long n)
{
	Guard g;

	act = act_throw;
	return middle(n);
}

static long act_rethrow(long n)
{
	Guard g;

	try {
		act = act_throw;
		return middle(n);
	} catch (std::exception &e) {
		leaf(n);
		throw;
	}
}

struct Throwing {
	~Throwing()
	{
		auto before = act;

		try {
			through(act_nested, 1);
		} catch (std::exception &e) {
			destroyed += leaf(1);
		}
		act = before;
	}
};

static long act_within(long n)
{
	Throwing t;

	throw std::logic_error(std::to_string(n));
}

EXPORT long recurse(long n)
{
	ENTER(recurse);
	Guard g;
	if (!n)
		throw std::out_of_range("bottom");
	long r = recurse(n - 1);
	RETURN(recurse, r + 1);
}

EXPORT long catcher(long n)
{
	long r;

	ENTER(catcher);
	act = act_throw;
	try {
		r = inner(n);
	} catch (std::exception &e) {
		r = std::stol(e.what());
	}
	RETURN(catcher, r);
}

EXPORT long tail_first(long n)
{
	return n;
}
EXPORT long tail_second(long n)
{
	return n;
}
EXPORT long tail_last(long n)
{
	return n;
}

static long act_catcher(long n)
{
	return catcher(n);
}

/* the immediate caller of inner() has the handler */
static __attribute__((noinline)) long direct(long n)
{
	act = act_throw;
	try {
		return inner(n);
	} catch (std::exception &e) {
		return std::stol(e.what());
	}
}

static __attribute__((noinline)) long caught(long (*how)(long), long n)
{
	try {
		return through(how, n);
	} catch (std::exception &e) {
		if (asks)
			act_backtrace(0);
		return std::stol(e.what());
	}
}

static void *carry(void *arg)
{
	auto p = new std::exception_ptr;

	try {
		through(act_nested, (long)arg);
	} catch (...) {
		*p = std::current_exception();
	}
	return p;
}

static long act_carried(long n)
{
	pthread_t t;
	void *result;

	pthread_create(&t, NULL, carry, (void *)n);
	pthread_join(t, &result);
	auto p = *(std::exception_ptr *)result;
	delete (std::exception_ptr *)result;
	std::rethrow_exception(p);
}

/* --- coroutines and the stacks of signals
 * ---------------------------------------------------------------------------------------------------
 */

struct Coroutine {
	ucontext_t context, *back;
	char *stack;
	long n, result;
	bool done;
};
#define STACK (256l << 10)
static __thread Coroutine *current;

/* not inlined: the thread may be another one afterwards */
static __attribute__((noinline)) void pause_coroutine(void)
{
	Coroutine *c = current;

	swapcontext(&c->context, c->back);
	__asm__ volatile("" ::: "memory");
}

static long act_pause_throw(long n)
{
	Guard g;

	pause_coroutine();
	if (n % 4 == 1)
		return leaf(n);
	throw std::runtime_error(std::to_string(n));
}

static __attribute__((noinline)) long one_step(long n)
{
	long r = caught(act_pause_throw, n);

	pause_coroutine();
	return r + caught(act_nested, n);
}

static void coroutine(unsigned low, unsigned high)
{
	auto c = (Coroutine *)((uintptr_t)high << 32 | low);

	for (long i = c->n; i; i--)
		c->result += one_step(i);
	c->done = true;
	pause_coroutine();
}

/* with a page below that can't be touched, as who makes many of them does */
static void create(Coroutine *c, long n)
{
	c->stack = (char *)mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
	mprotect(c->stack, 4096, PROT_NONE);
	c->n = n;
	getcontext(&c->context);
	c->context.uc_stack.ss_sp = c->stack;
	c->context.uc_stack.ss_size = STACK;
	c->context.uc_link = NULL;
	makecontext(&c->context, (void (*)())coroutine, 2, (unsigned)(uintptr_t)c,
		    (unsigned)((uintptr_t)c >> 32));
}

static __attribute__((noinline)) void advance(Coroutine *c)
{
	ucontext_t here;

	current = c;
	c->back = &here;
	swapcontext(&here, &c->context);
	__asm__ volatile("" ::: "memory");
}

static void *advance_once(void *arg)
{
	advance((Coroutine *)arg);
	return NULL;
}

static void moved(const char *word, long n)
{
	Coroutine c{};

	destroyed = 0;
	create(&c, n);
	while (!c.done) {
		pthread_t t;

		advance(&c);
		if (c.done)
			break;
		pthread_create(&t, NULL, advance_once, &c);
		pthread_join(t, NULL);
	}
	printf("%s %ld %ld\n", word, c.result, destroyed);
	munmap(c.stack, STACK);
}

static std::mutex lock;
static std::vector<Coroutine *> idle;
static size_t unfinished;

static void *advance_any(void *)
{
	while (true) {
		std::unique_lock<std::mutex> held(lock);
		if (!unfinished)
			return NULL;
		if (idle.empty())
			continue;
		Coroutine *c = idle.front();
		idle.erase(idle.begin());
		held.unlock();
		advance(c);
		held.lock();
		if (c->done)
			unfinished--;
		else
			idle.push_back(c);
	}
}

static void moving(const char *word, long n)
{
	Coroutine all[8]{};
	pthread_t threads[4];
	long sum = 0;

	for (auto &c : all) {
		create(&c, n);
		idle.push_back(&c);
	}
	unfinished = sizeof(all) / sizeof(all[0]);
	for (auto &t : threads)
		pthread_create(&t, NULL, advance_any, NULL);
	for (auto &t : threads)
		pthread_join(t, NULL);
	for (auto &c : all) {
		sum += c.result;
		munmap(c.stack, STACK);
	}
	printf("%s %ld\n", word, sum);
}

static void on_signal(int)
{
	act_backtrace(0);
	caught(act_nested, 1);
	throw std::runtime_error("3");
}

static long act_raise(long n)
{
	raise(SIGUSR1);
	return n;
}

static void *raise_often(void *arg)
{
	long sum = 0;

	for (long i = (long)arg; i; i--)
		sum += caught(act_raise, i) + caught(act_leaf, i);
	return (void *)sum;
}

#define PAGE 4096

/* The handler's stack is below that of the thread, or above. */
static long handle(char *stack, char *signal_stack, long n)
{
	struct sigaction action = {};
	pthread_attr_t attr;
	pthread_t t;
	void *sum;
	struct Arg {
		stack_t alternate;
		long n;
	} arg = {{signal_stack, 0, (size_t)STACK - PAGE}, n};

	action.sa_handler = on_signal;
	action.sa_flags = SA_ONSTACK | SA_NODEFER;
	sigaction(SIGUSR1, &action, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK - PAGE);
	pthread_create(
		&t, &attr,
		[](void *p) {
			auto a = (Arg *)p;

			sigaltstack(&a->alternate, NULL);
			return raise_often((void *)a->n);
		},
		&arg);
	pthread_join(t, &sum);
	return (long)sum;
}

static void handler(const char *word, long n)
{
	char *stacks = (char *)mmap(NULL, 3 * STACK, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long below, above;

	mprotect(stacks + STACK - PAGE, PAGE, PROT_NONE);
	mprotect(stacks + 2 * STACK - PAGE, PAGE, PROT_NONE);
	trace[0] = 0;
	below = handle(stacks + STACK, stacks, n);
	above = handle(stacks + STACK, stacks + 2 * STACK, n);
	printf("%s %ld %ld%s\n", word, below, above, trace);
	munmap(stacks, 3 * STACK);
}

/* --- stacks without anything between them: an unwinder's way up goes on in the next
 * ---------------------------------------------------------------------------------------------------
 */

static int beside_over;

static void *call_on(void *)
{
	long wrong = 0;

	for (long i = 0; !__atomic_load_n(&beside_over, __ATOMIC_ACQUIRE); i++)
		wrong += through(act_leaf, i) != i + 4;
	return (void *)wrong;
}

static void *throw_on(void *arg)
{
	long sum = 0;

	for (long i = (long)arg; i; i--)
		sum += caught(act_nested, i);
	return (void *)sum;
}

static pthread_t start_on(char *stack, void *(*fn)(void *), long n)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK);
	pthread_create(&t, &attr, fn, (void *)n);
	return t;
}

static void beside(const char *word, long n)
{
	char *stacks = (char *)mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *sum, *wrong;

	beside_over = 0;
	pthread_t calls = start_on(stacks + STACK, call_on, 0);
	pthread_t throws = start_on(stacks, throw_on, n);
	pthread_join(throws, &sum);
	__atomic_store_n(&beside_over, 1, __ATOMIC_RELEASE);
	pthread_join(calls, &wrong);
	printf("%s %ld %ld\n", word, (long)sum, (long)wrong);
	munmap(stacks, 2 * STACK);
}

/* --- threads that end
 * ---------------------------------------------------------------------------------------------------
 */

static long (*thread_act)(long);

static long act_exit(long n)
{
	Guard g;

	pthread_exit((void *)n);
}

static int waiting[2];

static long act_wait(long n)
{
	Guard g;
	char c;

	if (write(waiting[1], "", 1) != 1)
		return n;
	while (true)
		pause();
	return read(waiting[0], &c, 1);
}

static void *thread(void *arg)
{
	Guard g;

	through(thread_act, (long)arg);
	return NULL;
}

static void threads(const char *word, long n, long (*how)(long))
{
	long sum = 0;

	destroyed = 0;
	thread_act = how;
	if (pipe(waiting))
		return;
	for (long i = 0; i < n; i++) {
		void *result;
		pthread_t t;
		char c;

		pthread_create(&t, NULL, thread, (void *)i);
		if (how == act_wait && read(waiting[0], &c, 1) == 1)
			pthread_cancel(t);
		pthread_join(t, &result);
		sum += (long)result;
	}
	close(waiting[0]);
	close(waiting[1]);
	printf("%s %ld %ld\n", word, sum, destroyed);
}

/* --- the end
 * ------------------------------------------------------------------------------------------------------------
 */

static long act_noexcept(long n) noexcept
{
	act = act_throw;
	return middle(n);
}

static void child(const char *word, long (*how)(long))
{
	struct rlimit none = {0, 0};
	int status = 0;
	pid_t pid;

	trace[0] = 0;
	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &none);
		std::set_terminate([] {
			act_backtrace(0);
			abort();
		});
		through(how, 1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	printf("%s %d%s\n", word, WIFSIGNALED(status) ? WTERMSIG(status) : -1, trace);
}

static void repeat(const char *word, long n, long (*fn)(long (*)(long), long), long (*how)(long))
{
	long sum = 0;

	destroyed = 0;
	for (long i = 0; i < n; i++)
		sum += fn(how, i);
	printf("%s %ld %ld\n", word, sum, destroyed);
}

static void who(void)
{
	trace[0] = 0;
	asks = true;
	long r = caught(act_nested, 5);
	asks = false;
	printf("who %ld%s\n", r, trace);
}

static long call_direct(long (*)(long), long n)
{
	return direct(n);
}

static long call_recurse(long (*)(long), long n)
{
	try {
		return recurse(n);
	} catch (std::exception &e) {
		return e.what()[0];
	}
}

static void command(const char *word, long n)
{
	if (!strcmp(word, "throw"))
		repeat(word, n, caught, act_nested);
	else if (!strcmp(word, "direct"))
		repeat(word, n, call_direct, NULL);
	else if (!strcmp(word, "catcher"))
		repeat(word, n, caught, act_catcher);
	else if (!strcmp(word, "rethrow"))
		repeat(word, n, caught, act_rethrow);
	else if (!strcmp(word, "within"))
		repeat(word, n, caught, act_within);
	else if (!strcmp(word, "carry"))
		repeat(word, n, caught, act_carried);
	else if (!strcmp(word, "moved"))
		moved(word, n);
	else if (!strcmp(word, "handler"))
		handler(word, n);
	else if (!strcmp(word, "moving"))
		moving(word, n);
	else if (!strcmp(word, "beside"))
		beside(word, n);
	else if (!strcmp(word, "hold"))
		repeat(word, 1, caught, act_hold);
	else if (!strcmp(word, "recurse"))
		repeat(word, n, call_recurse, NULL);
	else if (!strcmp(word, "cancel"))
		threads(word, n, act_wait);
	else if (!strcmp(word, "exit"))
		threads(word, n, act_exit);
	else if (!strcmp(word, "noexcept"))
		child(word, act_noexcept);
	else if (!strcmp(word, "uncaught"))
		child(word, act_throw);
	else if (!strcmp(word, "who"))
		who();
	else
		printf("%s?\n", word);
}
