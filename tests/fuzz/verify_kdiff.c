/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same random programs in the running kernel and in our verifier.
 *
 *	verify_kdiff [-seed=N] [-seconds=N | -programs=N] [-show=N] [-all]
 *
 * Prints how often both accept, both refuse, and who differs. What the kernel accepts and we refuse
 * is a loss of precision: listed by our message. What the kernel refuses and we accept is suspect:
 * printed with both logs and exit status 1, unless the list below has a reason for the kernel's
 * message. -all prints every difference. The seed is fixed unless it is given or a campaign
 * (-seconds) chooses one, and printed. Skips where bpf(2) can't be used, and under a kernel whose
 * rules are older than ours.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "core/load/load.h"
#include "tests/fuzz/verify_gen.h"
#include "tests/support/checked.h"

#define LOG_SIZE (1u << 20)
#define MAX_WORDS 64u
#define FAR (1 << 29)	       /* the kernel's limit for offsets */
#define OLDEST (6u << 8 | 12u) /* the kernel whose rules ours are */

static bool more_is_known(void);
static bool takes_what_is_dead(void);
static bool stopped_at_dead(void);
static bool moves_far(void);
static bool reads_for_helper(void);

/* What the kernel refuses and we don't, on purpose: part of its message, when, and why. */
static struct {
	const char *words;
	bool (*when)(void); /* NULL: always */
	const char *reason;
	u64 n;
} allowed[] = {
	{"BPF program is too large", NULL, "our states include more others: fewer steps"},
	{"The sequence of ", NULL, "our states include more others: fewer pending branches"},
	{"math between ", more_is_known, "the number has bounds for us"},
	{"pointer be out of bounds", more_is_known, "the number's bounds are closer for us"},
	{"unbounded memory access", more_is_known, "the number has an upper bound for us"},
	{"variable-offset", more_is_known, "the number's bounds are closer for us"},
	{"min value is negative", more_is_known, "the number has a lower bound for us"},
	{"min value is outside of", more_is_known, "the number's lower bound is higher for us"},
	{"max value is outside of", more_is_known, "the number's upper bound is lower for us"},
	{"pointer += pointer", more_is_known, "the branch is dead for us: the number has bounds"},
	{"misaligned stack access", more_is_known, "the branch is dead for us"},
	{"invalid write to stack", more_is_known, "the number's bounds are closer for us"},
	{"At callback return", more_is_known, "the number's bounds are closer for us"},
	{"mem access 'map_value_or_null'", stopped_at_dead, "the branch is dead for us"},
	{"type=ctx expected=", stopped_at_dead, "the branch is dead for us"},
	{"invalid zero-sized read", stopped_at_dead, "the branch is dead for us"},
	{"uses reserved fields", stopped_at_dead, "the branch is dead for us"},
	{"pointer offset ", moves_far,
	 "how far a number is from one linked with it is an offset for the kernel"},
	{"invalid size of register fill", reads_for_helper,
	 "a pointer that a helper read is none for us, nor for the kernel of 6.12"},
	{"verifier bug: No program to jit", takes_what_is_dead,
	 "the kernel's mistake: the address of a callback that no path calls"},
	{"invalid access to map value", more_is_known, "the number's bounds are closer for us"},
};

static struct {
	u64 seed;
	u32 seconds, programs, show;
	bool all;
} option = {.show = 3};

static struct {
	u64 both, none, kernel_only, we_only, allowed, left_out;
} count;

static struct {
	char text[96];
	u64 n;
} words[MAX_WORDS];

static char our_log[LOG_SIZE], kernel_log[LOG_SIZE];
static struct bpf_insn insns[VGEN_MAX + 8];
static u32 ninsns;
static u64 program_seed;
static int fds[CMAP_COUNT], btf_fd;

/* --- the kernel ------------------------------------------------------------------------------ */

static int bpf(u32 cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int make_map(u32 i, int inner)
{
	const struct ebpf_map_meta *m = &checked_maps[i].meta;
	union bpf_attr attr = {.map_type = m->type,
			       .key_size = m->key_size,
			       .value_size = m->value_size,
			       .max_entries = m->max_entries,
			       .map_flags = m->map_flags};

	if (m->type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
		attr.inner_map_fd = (u32)inner;
	return bpf(BPF_MAP_CREATE, &attr);
}

static int freeze(int fd)
{
	u32 key = 0;
	union bpf_attr set = {.map_fd = (u32)fd,
			      .key = (u64)&key,
			      .value = (u64)checked_maps[CMAP_RODATA].contents};
	union bpf_attr attr = {.map_fd = (u32)fd};

	return bpf(BPF_MAP_UPDATE_ELEM, &set) ? -1 : bpf(BPF_MAP_FREEZE, &attr);
}

static int load_btf(void)
{
	union bpf_attr attr = {0};
	u32 size;

	attr.btf = (u64)verify_btf(&size);
	attr.btf_size = size;
	return bpf(BPF_BTF_LOAD, &attr);
}

static bool load_nothing(void)
{
	static const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_KPROBE,
			       .insns = (u64)nothing,
			       .insn_cnt = ARRAY_SIZE(nothing),
			       .license = (u64) "GPL"};
	int fd = bpf(BPF_PROG_LOAD, &attr);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool make_maps(void)
{
	union bpf_attr inner = {.map_type = BPF_MAP_TYPE_ARRAY,
				.key_size = 4,
				.value_size = checked_maps[CMAP_OUTER].inner->value_size,
				.max_entries = checked_maps[CMAP_OUTER].inner->max_entries};
	int inner_fd = bpf(BPF_MAP_CREATE, &inner);

	for (u32 i = 0; i < CMAP_COUNT; i++) {
		fds[i] = make_map(i, inner_fd);
		if (fds[i] < 0)
			return false;
	}
	btf_fd = load_btf();
	return btf_fd >= 0 && !freeze(fds[CMAP_RODATA]);
}

/* Why the kernel can't be asked, or NULL. */
static const char *have_kernel(void)
{
	struct utsname name;
	u32 major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2 ||
	    (major << 8) + minor < OLDEST)
		return "the rules of the kernel here are older than ours (6.12)";
	return load_nothing() && make_maps() ? NULL : "bpf(2) can't be used here";
}

static bool kernel_accepts(u32 level)
{
	static struct bpf_insn copy[VGEN_MAX + 8];
	static struct bpf_func_info funcs[VGEN_FUNCTIONS];
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_KPROBE,
			       .insns = (u64)copy,
			       .insn_cnt = ninsns,
			       .license = (u64) "GPL",
			       .log_level = level,
			       .prog_btf_fd = (u32)btf_fd,
			       .func_info_rec_size = sizeof(*funcs),
			       .func_info = (u64)funcs};
	int fd;

	memcpy(copy, insns, sizeof(copy));
	for (u32 i = 0; i < ninsns; i++)
		if (copy[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
		    (copy[i].src_reg == BPF_PSEUDO_MAP_FD ||
		     copy[i].src_reg == BPF_PSEUDO_MAP_VALUE))
			copy[i].imm = fds[copy[i].imm];
	attr.func_info_cnt = verify_functions(insns, ninsns, funcs);
	kernel_log[0] = 0;
	if (level) {
		attr.log_buf = (u64)kernel_log;
		attr.log_size = LOG_SIZE;
	}
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* --- ours ------------------------------------------------------------------------------------ */

static bool reached[VGEN_MAX + 8]; /* instructions of the last program that was accepted */

static int we_say(u32 level)
{
	static struct bpf_func_info funcs[VGEN_FUNCTIONS];
	static struct ebpf_facts facts;
	struct ebpf_log log = {.buf = our_log, .size = LOG_SIZE, .level = level};
	struct ebpf_vprog prog = {.insns = insns,
				  .ninsns = ninsns,
				  .prog_type = BPF_PROG_TYPE_KPROBE,
				  .gpl = true,
				  .nr_cpus = (u32)sysconf(_SC_NPROCESSORS_CONF),
				  .maps = checked_maps,
				  .nmaps = CMAP_COUNT,
				  .funcs = funcs};
	int r;

	prog.btf.data = verify_btf(&prog.btf.size);
	prog.nfuncs = verify_functions(insns, ninsns, funcs);
	memset(&facts, 0, sizeof(facts));
	r = ebpf_verify(&prog, &log, &facts);
	ebpf_log_end(&log);
	if (!r) {
		for (u32 i = 0; i < ninsns; i++)
			reached[i] = facts.insn[i] & EBPF_FACT_SEEN;
		ebpf_facts_free(&facts);
	}
	return r;
}

/* --- differences ----------------------------------------------------------------------------- */

static void print_program(const char *what)
{
	char line[128];

	printf("# %s: seed %llu\n", what, (unsigned long long)program_seed);
	for (u32 i = 0; i < ninsns;) {
		u32 at = i;

		i += (u32)ebpf_disasm(&insns[i], line, sizeof(line));
		printf("# %4u: %s\n", at, line);
	}
}

static void print_log(const char *who, const char *text)
{
	const char *from = text + strlen(text);

	for (u32 lines = 0; from > text && lines < 40; from--)
		lines += from[-1] == '\n' && from[0];
	printf("# --- %s\n%s\n", who, from);
}

/* The last line of @text that is not an instruction; cuts off what follows. */
static char *last_words(char *text)
{
	for (;;) {
		char *from = strrchr(text, '\n');
		int n = 0;

		from = from ? from + 1 : text;
		if (*from && (sscanf(from, "%*u: (%n", &n), !n))
			return from;
		if (from == text)
			return from;
		from[-1] = 0;
	}
}

/* The line before the figures: the reason, its numbers taken out. */
static void reason_of(char *text, char *out, size_t size)
{
	char *end = strstr(text, "\nprocessed "), *from;
	size_t n = 0;

	if (strstr(text, "the proof does not hold"))
		from = strstr(text, "the proof does not hold");
	else {
		if (end)
			*end = 0;
		from = last_words(text);
	}
	for (; *from && *from != '\n' && n < size - 1; from++)
		if (*from < '0' || *from > '9')
			out[n++] = *from;
		else if (!n || out[n - 1] != 'N')
			out[n++] = 'N';
	out[n] = 0;
}

static void note_words(const char *who, char *log)
{
	char text[96], reason[80];
	u32 i;

	reason_of(log, reason, sizeof(reason));
	snprintf(text, sizeof(text), "%s %s", who, reason);
	for (i = 0; i < MAX_WORDS - 1 && words[i].n && strcmp(words[i].text, text); i++)
		;
	memcpy(words[i].text, text, sizeof(text));
	words[i].n++;
}

/* A branch that is dead for us alone: anything may be wrong with what the kernel sees there. */
static bool compares_with_itself(const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code), op = BPF_OP(in->code);

	return (class == BPF_JMP || class == BPF_JMP32) && BPF_SRC(in->code) == BPF_X &&
	       op != BPF_JA && op != BPF_CALL && op != BPF_EXIT && in->dst_reg == in->src_reg;
}

/* Of what these compute, our numbers know more than the kernel's. */
static bool knows_more(const struct bpf_insn *in)
{
	u8 class = BPF_CLASS(in->code);
	bool x = BPF_SRC(in->code) == BPF_X;

	if (class != BPF_ALU && class != BPF_ALU64)
		return false;
	switch (BPF_OP(in->code)) {
	case BPF_DIV:
	case BPF_MOD:
	case BPF_MUL:
	case BPF_NEG:
	case BPF_END:
		return true;
	case BPF_LSH:
	case BPF_RSH:
	case BPF_ARSH:
		return x || class == BPF_ALU;
	case BPF_MOV:
		return false;
	default:
		return x && in->dst_reg == in->src_reg;
	}
}

static bool more_is_known(void)
{
	for (u32 i = 0; i < ninsns; i++)
		if (knows_more(&insns[i]))
			return true;
	return false;
}

static bool takes_what_is_dead(void)
{
	for (u32 i = 0; i < ninsns; i++)
		if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
		    insns[i].src_reg == BPF_PSEUDO_FUNC && reached[i] &&
		    !reached[i + 1 + (u32)insns[i].imm])
			return true;
	return false;
}

/* For us no path comes to the instruction at which the kernel stopped. */
static bool stopped_at_dead(void)
{
	u32 at = 0;

	for (const char *line = kernel_log; line; line = strchr(line, '\n')) {
		u32 n;
		int end = 0;

		line += *line == '\n';
		if (sscanf(line, "%u: (%n", &n, &end) == 1 && end)
			at = n;
	}
	return at < ninsns && !reached[at];
}

static bool moves_far(void)
{
	for (u32 i = 0; i < ninsns; i++)
		if ((insns[i].code == (BPF_ALU64 | BPF_ADD | BPF_K) ||
		     insns[i].code == (BPF_ALU64 | BPF_SUB | BPF_K)) &&
		    (insns[i].imm >= FAR || insns[i].imm <= -FAR))
			return true;
	return false;
}

/* A helper is told to read memory. */
static bool reads_for_helper(void)
{
	for (u32 i = 0; i < ninsns; i++)
		if (insns[i].code == (BPF_JMP | BPF_CALL) && !insns[i].src_reg && reached[i])
			return true;
	return false;
}

static bool left_out(void)
{
	for (u32 i = 0; i < ninsns; i++)
		if (compares_with_itself(&insns[i]))
			return true;
	return false;
}

static bool is_allowed(void)
{
	static char log[LOG_SIZE];
	char reason[96];

	memcpy(log, kernel_log, sizeof(log));
	reason_of(log, reason, sizeof(reason));
	for (u32 i = 0; i < ARRAY_SIZE(allowed); i++)
		if (strstr(reason, allowed[i].words) && (!allowed[i].when || allowed[i].when())) {
			allowed[i].n++;
			return true;
		}
	return false;
}

/* Level 2: what was accepted has a log, too. */
static void show(const char *what)
{
	kernel_accepts(2);
	we_say(2);
	print_program(what);
	print_log("the kernel's log", kernel_log);
	print_log("our log", our_log);
}

static void only_kernel(void)
{
	count.kernel_only++;
	note_words("we refuse:", our_log);
	if (option.all)
		show("the kernel accepts, we don't");
}

static void only_we(void)
{
	bool known;

	kernel_accepts(1);
	known = is_allowed();
	if (known)
		count.allowed++;
	else
		count.we_only++;
	if (!known)
		note_words("it refuses:", kernel_log);
	if (option.all || (!known && option.show)) {
		option.show -= option.show && !known;
		show(known ? "we accept, for a reason" : "SUSPECT: we accept, the kernel doesn't");
	}
}

/* Did we accept? */
static bool compare(void)
{
	bool kernel, we;

	if (left_out()) {
		count.left_out++;
		return false;
	}
	kernel = kernel_accepts(0);
	we = !we_say(1);
	count.both += kernel && we;
	count.none += !kernel && !we;
	if (kernel && !we)
		only_kernel();
	else if (we && !kernel)
		only_we();
	return we;
}

static void program(u64 seed)
{
	static struct bpf_insn good[VGEN_MAX];
	u64 random = seed;

	program_seed = seed;
	ninsns = verify_generate(&random, VGEN_KERNEL, insns);
	if (!compare())
		return;
	memcpy(good, insns, sizeof(good));
	for (u32 i = 0; i < 4; i++) {
		memcpy(insns, good, sizeof(good));
		verify_mutate(&random, insns, ninsns);
		compare();
	}
}

static void report(void)
{
	printf("# both accept %llu, both refuse %llu, only the kernel accepts %llu, only we accept "
	       "%llu (and %llu for a known reason); %llu not compared\n",
	       (unsigned long long)count.both, (unsigned long long)count.none,
	       (unsigned long long)count.kernel_only, (unsigned long long)count.we_only,
	       (unsigned long long)count.allowed, (unsigned long long)count.left_out);
	for (u32 i = 0; i < ARRAY_SIZE(allowed); i++)
		if (allowed[i].n)
			printf("# %6llu times known \"%s\": %s\n", (unsigned long long)allowed[i].n,
			       allowed[i].words, allowed[i].reason);
	for (u32 i = 0; i < MAX_WORDS && words[i].n; i++)
		printf("# %6llu times %s\n", (unsigned long long)words[i].n, words[i].text);
}

static u64 number(const char *arg, const char *name, u64 otherwise)
{
	size_t n = strlen(name);

	return strncmp(arg, name, n) ? otherwise : strtoull(arg + n, NULL, 0);
}

static void options(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		option.seed = number(argv[i], "-seed=", option.seed);
		option.seconds = (u32)number(argv[i], "-seconds=", option.seconds);
		option.programs = (u32)number(argv[i], "-programs=", option.programs);
		option.show = (u32)number(argv[i], "-show=", option.show);
		option.all |= !strcmp(argv[i], "-all");
	}
	if (!option.seconds && !option.programs)
		option.programs = 100;
	/* a campaign is another one each time; what runs among the tests is not */
	if (!option.seed)
		option.seed =
			option.seconds ? ((u64)time(NULL) << 20 ^ (u64)getpid()) * 1000003u : 1;
}

int main(int argc, char **argv)
{
	const char *why;
	time_t end;

	options(argc, argv);
	printf("1..1\n");
	why = have_kernel();
	if (why) {
		printf("ok 1 # SKIP %s\n", why);
		return 0;
	}
	printf("# seed %llu\n", (unsigned long long)option.seed);
	fflush(stdout);
	end = time(NULL) + option.seconds;
	for (u64 i = 0; option.seconds ? time(NULL) < end : i < option.programs; i++)
		program(option.seed + i);
	report();
	printf("%sok 1 - what the kernel refuses is refused\n", count.we_only ? "not " : "");
	return count.we_only ? 1 : 0;
}
