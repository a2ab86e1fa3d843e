/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A target in C++ whose functions, called by programs, are left by exceptions. "MODE ROUNDS" on its
 * input: so many rounds, in each of which what it probes is called in a try block, in a handler and
 * in a destructor that an exception of its own runs; answers "wrong N".
 */
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

#define EXPORT extern "C" __attribute__((noinline, noclone, used, visibility("default")))

static int mode, wrong, held, texts, destroyed;
static std::mutex lock;
static std::atomic<bool> waiting;

static void expect(bool yes)
{
	if (!yes)
		wrong++;
}

struct guard {
	guard() { held++; }
	~guard() { held--; }
};

struct thrown {
	std::string text;
	explicit thrown(int n) : text("thrown " + std::to_string(n) + " with some text") { texts++; }
	thrown(const thrown &t) : text(t.text) { texts++; }
	~thrown() { texts--; }
};

__attribute__((noinline)) static void deep(int n, int depth)
{
	guard g;
	std::string s(static_cast<size_t>(depth) + 20, 'x');

	if (depth)
		deep(n, depth - 1);
	else if (mode == 'i')
		throw n;
	else
		throw thrown(n);
	expect(s.empty());
}

/* What is thrown goes out of it, or is caught within, or on its way something else is. */
EXPORT int throws(int n)
{
	std::lock_guard<std::mutex> locked(lock);
	guard g;

	errno = 99;
	if (mode == 'c') {
		try {
			deep(n, 3);
		} catch (const thrown &) {
			return n;
		}
	}
	if (mode == 'r') {
		try {
			deep(n, 3);
		} catch (...) {
			throw;
		}
	}
	if (mode == 'p') {
		std::exception_ptr p;
		try {
			deep(n, 3);
		} catch (...) {
			p = std::current_exception();
		}
		std::rethrow_exception(p);
	}
	if (mode == 'x')
		pthread_exit(nullptr);
	if (mode == 'k') {
		waiting = true;
		for (;;)
			pause();
	}
	if (mode == 's' && n % 2)
		return n;
	deep(n, 5);
	return -1;
}

extern "C" int tick_body(int n)
{
	return n + 1;
}

/* Its first instruction has room for a jump. */
extern "C" int tick(int n);
__asm__(".globl tick\n"
	".type tick, @function\n"
	"tick: .cfi_startproc\n"
	".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"jmp tick_body\n"
	".cfi_endproc\n"
	".size tick, . - tick\n");

static void hit(int n)
{
	const int uncaught = std::uncaught_exceptions(), h = held, t = texts;

	errno = n & 63;
	expect(tick(n) == n + 1);
	expect(errno == (n & 63) && held == h && texts == t);
	expect(std::uncaught_exceptions() == uncaught);
	if (lock.try_lock())
		lock.unlock();
	else
		wrong++;
}

struct hits_when_destroyed {
	int n;
	~hits_when_destroyed()
	{
		destroyed++;
		hit(n);
	}
};

static void round_of(int n)
{
	hit(n);
	try {
		hits_when_destroyed h{n};

		throw std::runtime_error("its own");
	} catch (const std::runtime_error &e) {
		hit(n);
		expect(std::string("its own") == e.what() && std::current_exception());
	}
	expect(destroyed == n + 1);
}

static int cleaned;

struct cleans {
	~cleans() { cleaned++; }
};

static void cleanup(void *n)
{
	++*static_cast<int *>(n);
}

/* What it has is cleaned up, wherever the end comes from. */
static void *thread(void *arg)
{
	cleans c;

	pthread_cleanup_push(cleanup, &cleaned);
	expect(tick(*static_cast<int *>(arg)) == 0);
	pthread_cleanup_pop(0);
	return nullptr;
}

static void one_round(int n)
{
	void *result = nullptr;
	pthread_t t;

	if (mode != 'x' && mode != 'k')
		return round_of(n);
	waiting = false;
	expect(!pthread_create(&t, nullptr, thread, &n));
	if (mode == 'k') {
		while (!waiting)
			sched_yield();
		pthread_cancel(t);
	}
	expect(!pthread_join(t, &result) && (mode == 'x' || result == PTHREAD_CANCELED));
	expect(cleaned == 2 * (n + 1) && !held && lock.try_lock());
	lock.unlock();
}

int main()
{
	char line[80], m;
	int rounds;

	printf("ready %d\n", getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && line[0] != 'q') {
		if (sscanf(line, "%c %d", &m, &rounds) != 2)
			continue;
		mode = m;
		destroyed = cleaned = 0;
		for (int n = 0; n < rounds; n++)
			one_round(n);
		printf("wrong %d\n", wrong);
		fflush(stdout);
	}
	return wrong != 0;
}
