/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is what the verifier accepts safe? Random programs, and mutants of those that were accepted: each
 * is verified, and when accepted executed on the checked interpreter (tests/support/checked.h) with
 * several inputs, and on our engines, which must agree with it. What the explorer refuses may come
 * to the checker one day by a mistake of the explorer's: it is shown to the checker without states
 * to begin from, and executed, too, when that accepts it.
 *
 *	verify_fuzz [-seed=N] [-seconds=N | -programs=N] [-inputs=N] [-show=N] [-words]
 *	            [-level=N] [-keep=DIR]
 *
 * The seed is fixed unless it is given or a campaign (-seconds) chooses one, and printed. A program
 * that fails is written to a file with its disassembly, the verifier's log and what went wrong;
 * exit status 1. Programs that the explorer lets through and the checker refuses are counted; -show
 * prints the first N.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/load/load.h"
#include "tests/fuzz/verify_engines.h"
#include "tests/fuzz/verify_gen.h"
#include "tests/support/checked.h"

#define LOG_SIZE (256u << 10)
#define MAX_INPUTS 8u

static struct {
	u64 seed;
	u32 seconds, programs, inputs, show, words, level;
	const char *keep;
} option = {.inputs = 4, .level = 1, .keep = "."};

static struct {
	u64 programs, accepted, mutants, mutants_accepted, refused, alone, runs, finished, steps,
		compared;
} count;

static char log_text[LOG_SIZE];
static struct bpf_insn insns[VGEN_MAX + 8];
static u32 ninsns;
static u64 program_seed;
static struct checked_world world;

/* --- what failed ----------------------------------------------------------------------------- */

static void print_program(FILE *f, const char *what)
{
	char line[128];

	fprintf(f, "seed %llu: %s\n\n", (unsigned long long)program_seed, what);
	for (u32 i = 0; i < ninsns;) {
		const struct bpf_insn *in = &insns[i];
		u64 raw;

		memcpy(&raw, in, 8);
		i += (u32)ebpf_disasm(in, line, sizeof(line));
		fprintf(f, "%4u: %016llx  %s\n", (u32)(in - insns), (unsigned long long)raw, line);
	}
	fprintf(f, "\n%s\n", log_text);
}

static void keep(const char *what)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/verify-failed-%llu.txt", option.keep,
		 (unsigned long long)program_seed);
	f = fopen(path, "w");
	if (!f)
		return;
	print_program(f, what);
	fclose(f);
	printf("# kept in %s: %s\n", path, what);
}

static void crashed(int sig)
{
	keep(sig == SIGVTALRM ? "too slow" : "a crash"); /* whatever comes of it, we are done */
	fflush(stdout);
	_exit(1);
}

/* --- one program ----------------------------------------------------------------------------- */

static struct ebpf_vprog vprog(void)
{
	static struct bpf_func_info funcs[VGEN_FUNCTIONS];
	struct ebpf_vbtf btf;

	btf.data = verify_btf(&btf.size);
	return (struct ebpf_vprog){.insns = insns,
				   .ninsns = ninsns,
				   .prog_type = BPF_PROG_TYPE_KPROBE,
				   .gpl = true,
				   .nr_cpus = 4,
				   .maps = checked_maps,
				   .nmaps = CMAP_COUNT,
				   .btf = btf,
				   .funcs = funcs,
				   .nfuncs = verify_functions(insns, ninsns, funcs)};
}

/* 1: accepted, 0: not, -1: the two phases disagree */
static int verify(const struct ebpf_vprog *prog, struct ebpf_proof *proof, struct ebpf_facts *facts)
{
	static struct ebpf_facts claimed;
	struct ebpf_log log = {.buf = log_text, .size = sizeof(log_text), .level = option.level};
	int r = ebpf_explore(prog, &log, proof, &claimed);
	bool found = !r;

	if (found) {
		ebpf_facts_free(&claimed);
		r = ebpf_check_proof(prog, proof, &log, facts);
		if (r)
			ebpf_proof_free(proof);
	}
	ebpf_log_end(&log);
	if (!r)
		return 1;
	/* an error of ours, but for one refusal whose errno is the kernel's */
	if (r == -EFAULT && !strstr(log_text, " jumps is too complex.\n"))
		return -1;
	return found ? -1 : 0;
}

/* Does the checker accept it without the explorer's states? */
static bool checker_accepts(const struct ebpf_vprog *prog, struct ebpf_facts *facts)
{
	struct ebpf_log log = {.buf = log_text, .size = sizeof(log_text), .level = 1};
	struct ebpf_proof none = {0};
	int r = ebpf_check_proof(prog, &none, &log, facts);

	ebpf_log_end(&log);
	ebpf_proof_free(&none);
	return !r;
}

static int run_checked(const struct ebpf_vprog *prog, struct ebpf_proof *proof,
		       const struct ebpf_facts *facts, u64 *random)
{
	static struct checked k[MAX_INPUTS];
	struct checked *all[MAX_INPUTS];
	char why[200];

	for (u32 i = 0; i < option.inputs; i++) {
		all[i] = &k[i];
		if (checked_run(&k[i], prog, proof, facts, &world, checked_random(random))) {
			keep(k[i].error);
			return -1;
		}
		count.runs++;
		count.finished += k[i].exited;
		count.steps += k[i].steps;
	}
	if (proof && verify_engines(prog, facts, all, option.inputs, why, &count.compared)) {
		keep(why);
		return -1;
	}
	return 0;
}

/* -words: what the log says last of each program that was refused */
static void print_words(void)
{
	char *end = strstr(log_text, "\nprocessed "), *from;

	if (!end)
		return;
	*end = 0;
	from = strrchr(log_text, '\n');
	printf("%llu: %s (%s\n", (unsigned long long)program_seed, from ? from + 1 : log_text,
	       end + 1);
}

/* 1: accepted and fine, 0: refused by the explorer or both, -1: failed */
static int one(u64 *random)
{
	static struct ebpf_facts facts;
	struct ebpf_proof proof = {0};
	struct ebpf_vprog prog = vprog();
	int r;

	memset(&facts, 0, sizeof(facts));
	setitimer(ITIMER_VIRTUAL, &(struct itimerval){.it_value = {60, 0}}, NULL);
	r = verify(&prog, &proof, &facts);
	if (r < 0) {
		count.refused++;
		if (option.show && option.show--)
			print_program(stdout, "explored, but not proved");
	}
	if (!r && option.words)
		print_words();
	if (!r && checker_accepts(&prog, &facts)) {
		count.alone++;
		r = run_checked(&prog, NULL, &facts, random);
		ebpf_facts_free(&facts);
		return r;
	}
	if (r <= 0)
		return 0;
	r = run_checked(&prog, &proof, &facts, random);
	ebpf_proof_free(&proof);
	ebpf_facts_free(&facts);
	return r ? -1 : 1;
}

static int mutants(u64 *random)
{
	static struct bpf_insn good[VGEN_MAX];
	int r = 0;

	memcpy(good, insns, sizeof(good));
	for (u32 i = 0; r >= 0 && i < 4; i++) {
		memcpy(insns, good, sizeof(good));
		verify_mutate(random, insns, ninsns);
		r = one(random);
		count.mutants++;
		count.mutants_accepted += r > 0;
		if (r > 0 && checked_random(random) % 2)
			memcpy(good, insns, sizeof(good));
	}
	return r;
}

static int program(u64 seed)
{
	u64 random = seed;
	int r;

	program_seed = seed;
	ninsns = verify_generate(&random, 0, insns);
	r = one(&random);
	count.programs++;
	count.accepted += r > 0;
	return r > 0 ? mutants(&random) : r;
}

/* --- all ------------------------------------------------------------------------------------- */

static u64 number(const char *arg, const char *name, u64 otherwise)
{
	size_t n = strlen(name);

	return strncmp(arg, name, n) ? otherwise : strtoull(arg + n, NULL, 0);
}

static void options(int argc, char **argv)
{
	option.seed = 0;
	for (int i = 1; i < argc; i++) {
		option.seed = number(argv[i], "-seed=", option.seed);
		option.seconds = (u32)number(argv[i], "-seconds=", option.seconds);
		option.programs = (u32)number(argv[i], "-programs=", option.programs);
		option.inputs = (u32)number(argv[i], "-inputs=", option.inputs);
		option.show = (u32)number(argv[i], "-show=", option.show);
		option.level = (u32)number(argv[i], "-level=", option.level);
		option.words |= !strcmp(argv[i], "-words");
		if (!strncmp(argv[i], "-keep=", 6))
			option.keep = argv[i] + 6;
	}
	option.inputs = MIN(MAX(option.inputs, 1u), MAX_INPUTS);
	if (!option.seconds && !option.programs)
		option.programs = 200;
	/* a campaign is another one each time; what runs among the tests is not */
	if (!option.seed)
		option.seed =
			option.seconds ? ((u64)time(NULL) << 20 ^ (u64)getpid()) * 1000003u : 1;
}

static void report(void)
{
	printf("# %llu programs, %llu%% accepted; %llu mutants of those, %llu%% accepted; %llu "
	       "explored but not proved\n",
	       (unsigned long long)count.programs,
	       (unsigned long long)(100 * count.accepted / MAX(count.programs, 1ull)),
	       (unsigned long long)count.mutants,
	       (unsigned long long)(100 * count.mutants_accepted / MAX(count.mutants, 1ull)),
	       (unsigned long long)count.refused);
	printf("# %llu of those that were refused the checker alone accepts\n",
	       (unsigned long long)count.alone);
	printf("# %llu executions (%llu to their end), %llu instructions checked, %llu compared "
	       "with an engine\n",
	       (unsigned long long)count.runs, (unsigned long long)count.finished,
	       (unsigned long long)count.steps, (unsigned long long)count.compared);
}

static int all(void)
{
	time_t end = time(NULL) + option.seconds;
	int r = 0;

	printf("# seed %llu\n", (unsigned long long)option.seed);
	fflush(stdout);
	for (u64 i = 0; r >= 0 && (option.seconds ? time(NULL) < end : i < option.programs); i++)
		r = program(option.seed + i);
	report();
	printf("%sok 1 - accepted programs stay inside what was proved\n", r < 0 ? "not " : "");
	fflush(stdout);
	return r < 0;
}

int main(int argc, char **argv)
{
	int r;

	options(argc, argv);
	signal(SIGSEGV, crashed);
	signal(SIGBUS, crashed);
	signal(SIGABRT, crashed);
	signal(SIGVTALRM, crashed);
	if (checked_world_init(&world))
		return 1;
	printf("1..1\n");
	r = all();
	checked_world_free(&world);
	return r;
}
