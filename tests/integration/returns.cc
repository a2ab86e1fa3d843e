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
 *	cancel N, exit N   threads that end with objects to destroy
 *	hold               waits for a line before it throws; first answers "holding"
 *	noexcept           a child that is terminated, and how
 *	uncaught           another
 *	who                backtrace() in the destructor and in the handler
 */
#include "returns_common.h"

#include <csignal>
#include <exception>
#include <stdexcept>
#include <string>
#include <sys/resource.h>

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
