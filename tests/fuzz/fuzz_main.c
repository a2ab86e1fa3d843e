/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target without libFuzzer: its seeds, then mutations of them, as TAP.
 *
 *	fuzz_X [-seed=N] [-runs=N] [-max_total_time=SECONDS] [FILE...]
 *	fuzz_X -write=DIR
 *
 * The options are libFuzzer's; -write puts the seeds into its corpus. The same seed gives the same
 * inputs everywhere. FILEs are run as they are, nothing else. A finding (signal, abort, hang) is
 * printed as hex bytes with the seed, and written to crash-NAME.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define HANG_SECONDS 20
#define MAX_SEEDS 64

struct options {
	u64 seed;
	u64 runs;
	u64 seconds;
};

static struct {
	u8 data[FUZZ_MAX];
	size_t len;
} seeds[MAX_SEEDS];
static u32 nseeds;

static u8 input[FUZZ_MAX];
static size_t input_len;
static char report[256]; /* "crash-NAME" */
static u64 state;

static u64 rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static u32 below(u32 n)
{
	return (u32)(rnd() >> 11) % n;
}

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

/* only what a signal handler may do */
static void finding(int sig)
{
	static const char digits[] = "0123456789abcdef";
	int fd = open(report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd >= 0 && write(fd, input, input_len) < 0)
		say("cannot write the input\n");
	say(sig == SIGALRM ? "hang" : "crash");
	say(": input written to ");
	say(report);
	say("\n");
	for (size_t i = 0; i < input_len; i++) {
		char two[] = {digits[input[i] >> 4], digits[input[i] & 15], 0};

		say(two);
	}
	say("\n");
	signal(sig, SIG_DFL);
	raise(sig == SIGALRM ? SIGKILL : sig);
}

static void watch(const char *argv0)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGALRM};
	const char *base = strrchr(argv0, '/') ? strrchr(argv0, '/') + 1 : argv0;

	snprintf(report, sizeof(report), "crash-%s", base);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], finding);
}

static void run_one(void)
{
	alarm(HANG_SECONDS);
	LLVMFuzzerTestOneInput(input, input_len);
	alarm(0);
}

static void load_seeds(void)
{
	while (nseeds < MAX_SEEDS) {
		seeds[nseeds].len = fuzz_seed(nseeds, seeds[nseeds].data);
		if (!seeds[nseeds].len)
			break;
		nseeds++;
	}
}

static void pick_seed(void)
{
	u32 i = nseeds ? below(nseeds) : 0;

	input_len = nseeds ? seeds[i].len : below(256);
	for (size_t k = 0; k < input_len; k++)
		input[k] = nseeds ? seeds[i].data[k] : (u8)rnd();
}

static void move_bytes(u32 at, u32 len)
{
	u32 from = below((u32)input_len);

	len = MIN(len, (u32)input_len - MAX(at, from));
	memmove(input + at, input + from, len);
}

static void change_length(void)
{
	size_t len = below(FUZZ_MAX) >> below(12);

	for (size_t i = input_len; i < len; i++)
		input[i] = (u8)rnd();
	input_len = len;
}

static void put_edge(u32 at)
{
	static const u64 edge[] = {0,	   1,	       0x7f,	   0x80,       0xff, 0x7fff,
				   0x8000, 0x7fffffff, 0x80000000, 0xffffffff, ~0ull};
	u32 size = 1u << below(4);
	u64 v = edge[below(ARRAY_SIZE(edge))] + below(3) - 1;

	memcpy(input + at, &v, MIN(size, (u32)input_len - at));
}

static void mutate(void)
{
	for (u32 n = 1 + below(8); n; n--) {
		u32 at = input_len ? below((u32)input_len) : 0, what = below(16);

		if (!input_len || what == 0)
			change_length();
		else if (what < 5)
			input[at] ^= (u8)(1u << below(8));
		else if (what < 9)
			input[at] = (u8)rnd();
		else if (what < 12)
			put_edge(at);
		else
			move_bytes(at, 1 + below(32));
	}
}

static u64 campaign(const struct options *opt)
{
	time_t end = time(NULL) + (time_t)opt->seconds;
	u64 n = 0;

	for (u32 i = 0; i < nseeds; i++) {
		memcpy(input, seeds[i].data, input_len = seeds[i].len);
		run_one();
	}
	while (opt->seconds ? time(NULL) < end : n < opt->runs) {
		pick_seed();
		mutate();
		run_one();
		n++;
	}
	return n + nseeds;
}

static int run_file(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "r");

	if (!f) {
		fprintf(stderr, "cannot open %s\n", path);
		return 1;
	}
	input_len = fread(input, 1, sizeof(input), f);
	run_one();
	return 0;
}

static int write_seeds(const char *dir)
{
	char path[512];

	for (u32 i = 0; i < nseeds; i++) {
		_cleanup_fclose_ FILE *f = NULL;

		snprintf(path, sizeof(path), "%s/seed-%u", dir, i);
		f = fopen(path, "w");
		if (!f || fwrite(seeds[i].data, 1, seeds[i].len, f) != seeds[i].len) {
			fprintf(stderr, "cannot write %s\n", path);
			return 1;
		}
	}
	return 0;
}

static int option(const char *arg, const char *name, u64 *out)
{
	size_t n = strlen(name);

	if (strncmp(arg, name, n))
		return 0;
	*out = strtoull(arg + n, NULL, 0);
	return 1;
}

int main(int argc, char **argv)
{
	struct options opt = {.seed = 1, .runs = 4000};
	u64 n = 0;

	watch(argv[0]);
	load_seeds();
	if (argc == 2 && !strncmp(argv[1], "-write=", 7))
		return write_seeds(argv[1] + 7);
	for (int i = 1; i < argc; i++) {
		if (option(argv[i], "-seed=", &opt.seed) || option(argv[i], "-runs=", &opt.runs) ||
		    option(argv[i], "-max_total_time=", &opt.seconds))
			continue;
		if (*argv[i] == '-' || run_file(argv[i]))
			return 2;
		n++;
	}
	if (n)
		return 0;
	state = opt.seed * 0x9e3779b97f4a7c15ull | 1;
	fprintf(stderr, "seed %llu\n", (unsigned long long)opt.seed);
	n = campaign(&opt);
	printf("1..1\nok 1 - %llu inputs, seed %llu\n", (unsigned long long)n,
	       (unsigned long long)opt.seed);
	return 0;
}
