/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's annotated verifier tests, against whatever bpf(2) this process has: ours under
 * `ebpfrt exec`, else the kernel's.
 *
 * Model: the objects are compiled from a kernel tree that the tester supplies (kselftests.sh); what
 * each program expects is in their BTF, as declaration tags "comment:test_…" on its function. Each
 * program is loaded by libbpf in a forked child, alone, with a time limit: once under its own type,
 * and once as a kprobe, which many of them are indifferent to.
 *
 * Rules: with -w the answers are kept in a file, and nothing is judged; that is for the kernel.
 * With -k they are read back: what the kernel itself doesn't answer as its tests expect says
 * nothing about us (drift between versions, missing configuration), and a program is portable when
 * the kernel, too, gives it the expected answer as a kprobe. Exit status 0 when the shares of
 * verdicts and messages reach -V and -M (percent). A line of -p's file names a program and why our
 * verdict on it is another on purpose: such are counted apart, neither right nor wrong, and a line
 * that no difference needs is an error. With -b it writes what is the kernel's BTF to
 * programs under us: the kernel functions that are served, then the kernel's types.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "btf/btf.h"

#define LOG_SIZE (4u << 20)
#define WHY_SIZE 4096u
#define MAX_MSGS 32
#define SECONDS 20
#define ANSWER_TIMEOUT 1000 /* not an errno */
#define ANSWER_CRASH 1001
#define TYPE_SLOTS 64
#define RETVAL_ANY 0xcafe4a11

struct spec {
	char name[256];
	bool valid, fails, auxiliary, other_arch, has_retval;
	u32 level, flags, nmsgs, retval;
	const char *msgs[MAX_MSGS];
};

/* what a bpf(2) said to one program under one type */
struct answer {
	int err;     /* 0, errno or ANSWER_* */
	u32 matched; /* expected messages that were found, in order */
	int ran;     /* test run: 0 not tried, 1 as expected, -1 not */
	u32 retval;
	char last[512]; /* last lines of the log */
};

/* written by the child */
struct shared {
	int err;
	int ran_err;
	u32 retval;
	bool done, ran;
	char why[WHY_SIZE];
	char log[LOG_SIZE];
};

static struct shared *shared;
static const char *write_path;
static FILE *kernel_out;
static u32 verbose;
static const char *only;

struct share {
	u32 verdict, message, total, wanted; /* wanted: of total, those that expect messages */
	u32 policy;			     /* beside total: differ on purpose */
	u32 policy_words; /* of total, beside wanted: refused, on purpose with other words */
	u32 accepted_wrongly;
};
static struct share own, kprobe;
static u32 drift, not_run, not_served, unknown_type, not_portable, ran_ok, ran_wrong, not_opened;

/* --- expectations ---------------------------------------------------------------------------- */

static const char *after(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) ? NULL : s + n;
}

/* "N=text" of tags that may come more than once */
static const char *numbered(const char *s, const char *prefix)
{
	s = after(s, prefix);
	s = s ? strchr(s, '=') : NULL;
	return s ? s + 1 : NULL;
}

static u32 flag_of(const char *s)
{
	static const struct {
		const char *name;
		u32 flag;
	} names[] = {
		{"BPF_F_STRICT_ALIGNMENT", BPF_F_STRICT_ALIGNMENT},
		{"BPF_F_ANY_ALIGNMENT", BPF_F_ANY_ALIGNMENT},
		{"BPF_F_TEST_RND_HI32", BPF_F_TEST_RND_HI32},
		{"BPF_F_TEST_STATE_FREQ", BPF_F_TEST_STATE_FREQ},
		{"BPF_F_SLEEPABLE", BPF_F_SLEEPABLE},
		{"BPF_F_XDP_HAS_FRAGS", BPF_F_XDP_HAS_FRAGS},
		{"BPF_F_TEST_REG_INVARIANTS", 1u << 7},
	};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, s))
			return names[i].flag;
	return (u32)strtoul(s, NULL, 0);
}

static u32 retval_of(const char *s)
{
	if (!strcmp(s, "INT_MIN"))
		return 1u << 31;
	if (!strcmp(s, "POINTER_VALUE"))
		return RETVAL_ANY;
	if (!strcmp(s, "TEST_DATA_LEN"))
		return 64;
	return (u32)strtol(s, NULL, 0);
}

static void read_tag(struct spec *sp, const char *s)
{
	const char *v;

	if (!(s = after(s, "comment:test_")))
		return;
	if (!strcmp(s, "expect_failure"))
		sp->valid = sp->fails = true;
	else if (!strcmp(s, "expect_success"))
		sp->valid = true;
	else if (!strcmp(s, "auxiliary"))
		sp->auxiliary = true;
	else if ((v = numbered(s, "expect_msg=")) && sp->nmsgs < MAX_MSGS)
		sp->msgs[sp->nmsgs++] = v;
	else if ((v = after(s, "log_level=")))
		sp->level = (u32)strtoul(v, NULL, 0);
	else if ((v = after(s, "prog_flags=")))
		sp->flags = *v == '!' ? sp->flags & ~flag_of(v + 1) : sp->flags | flag_of(v);
	else if ((v = after(s, "retval="))) {
		sp->has_retval = true;
		sp->retval = retval_of(v);
	} else if ((v = after(s, "arch=")))
		sp->other_arch = strcmp(v, "X86_64") && sp->other_arch;
}

static void read_spec(const struct btf *btf, const char *name, struct spec *sp)
{
	s32 func = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);
	bool any_arch = true;

	*sp = (struct spec){.other_arch = true};
	snprintf(sp->name, sizeof(sp->name), "%s", name);
	for (u32 i = 1; func > 0 && i < btf__type_cnt(btf); i++) {
		const struct btf_type *t = btf__type_by_id(btf, i);
		const char *s = btf__str_by_offset(btf, t->name_off);

		if (!btf_is_decl_tag(t) || (s32)t->type != func ||
		    btf_decl_tag(t)->component_idx != -1)
			continue;
		any_arch &= !after(s, "comment:test_arch=");
		read_tag(sp, s);
	}
	sp->other_arch &= !any_arch;
}

/* --- messages -------------------------------------------------------------------------------- */

/* The end of @pattern's first match in @text, NULL: none. Parts in {{ }} are regular expressions.
 */
static const char *match(const char *text, const char *pattern)
{
	char buf[2048];
	size_t n = 0;
	bool in = false;
	regmatch_t m;
	regex_t re;
	int r;

	for (const char *p = pattern; *p && n < sizeof(buf) - 3; p++) {
		if (p[0] == (in ? '}' : '{') && p[1] == p[0]) {
			in = !in;
			p++;
			continue;
		}
		if (!in && strchr(".[]\\()*+?{}|^$", *p))
			buf[n++] = '\\';
		buf[n++] = *p;
	}
	buf[n] = '\0';
	if (regcomp(&re, buf, REG_EXTENDED | REG_NEWLINE))
		return NULL;
	r = regexec(&re, text, 1, &m, 0);
	regfree(&re);
	return r ? NULL : text + m.rm_eo;
}

static u32 count_matches(const struct spec *sp, const char *log)
{
	u32 n;

	for (n = 0; n < sp->nmsgs; n++) {
		log = match(log, sp->msgs[n]);
		if (!log)
			break;
	}
	return n;
}

/* The last lines of @log but the figures, on one line. Bytes that begin a line and are figures: */
static bool figures(const char *line)
{
	return !strncmp(line, "processed ", 10) || !strncmp(line, "verification time ", 18) ||
	       !strncmp(line, "stack depth ", 12);
}

static const char *back(const char *log, const char *p)
{
	while (p > log && p[-1] != '\n')
		p--;
	return p;
}

static void last_lines(const char *log, char *out, size_t size)
{
	const char *end = log + strlen(log), *lines[4], *p = end;
	u32 n = 0;
	size_t len = 0;

	while (p > log && n < ARRAY_SIZE(lines)) {
		p = back(log, p - 1);
		if (!figures(p))
			lines[n++] = p;
	}
	out[0] = '\0';
	while (n-- > 0 && len < size - 8)
		len += (size_t)snprintf(out + len, size - len, "%.*s | ",
					(int)MIN(strcspn(lines[n], "\n"), size - len - 4),
					lines[n]);
	for (char *c = out; *c; c++)
		*c = *c == '\t' ? ' ' : *c;
}

/* --- one load -------------------------------------------------------------------------------- */

static int keep_why(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	size_t n = strlen(shared->why);

	if (level != LIBBPF_WARN || n > WHY_SIZE - 256)
		return 0;
	vsnprintf(shared->why + n, WHY_SIZE - n, fmt, ap);
	return 0;
}

static int no_words(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

static int probed(int (*probe)(u32 type), u32 type, s8 cache[TYPE_SLOTS])
{
	if (type >= TYPE_SLOTS)
		return 0;
	if (!cache[type])
		cache[type] = probe(type) ? 1 : 2;
	return cache[type] == 2;
}

static int probe_map(u32 type)
{
	return libbpf_probe_bpf_map_type(type, NULL) != 1;
}

static int probe_prog(u32 type)
{
	return libbpf_probe_bpf_prog_type(type, NULL) != 1;
}

static bool map_known(u32 type)
{
	static s8 cache[TYPE_SLOTS];

	return probed(probe_map, type, cache);
}

static bool prog_known(u32 type)
{
	static s8 cache[TYPE_SLOTS];

	return probed(probe_prog, type, cache);
}

static void prepare(struct bpf_object *obj, const struct spec *specs, const struct spec *sp,
		    bool as_kprobe, struct bpf_program **out)
{
	struct bpf_program *prog;
	struct bpf_map *map;

	bpf_object__for_each_program(prog, obj)
	{
		const struct spec *s = specs++;
		bool load = s == sp || s->auxiliary;

		bpf_program__set_autoload(prog, load);
		if (load && as_kprobe) {
			bpf_program__set_type(prog, BPF_PROG_TYPE_KPROBE);
			bpf_program__set_expected_attach_type(prog, 0);
		}
		if (s == sp)
			*out = prog;
	}
	bpf_object__for_each_map(map, obj) if (!map_known(bpf_map__type(map)))
		bpf_map__set_autocreate(map, false);
}

static void test_run(int fd, u32 type)
{
	static u8 in[64], out[256];
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in, .data_size_in = sizeof(in),
		    .data_out = out, .data_size_out = sizeof(out), .repeat = 1);
	LIBBPF_OPTS(bpf_test_run_opts, bare);
	struct bpf_test_run_opts *opts = type == BPF_PROG_TYPE_SYSCALL ? &bare : &o;

	shared->ran_err = bpf_prog_test_run_opts(fd, opts) ? errno : 0;
	shared->retval = opts->retval;
	shared->ran = true;
}

static void child(struct bpf_object *obj, const struct spec *specs, const struct spec *sp,
		  bool as_kprobe)
{
	struct bpf_program *prog = NULL;
	int err;

	alarm(SECONDS);
	prepare(obj, specs, sp, as_kprobe, &prog);
	libbpf_set_print(keep_why);
	bpf_program__set_log_buf(prog, shared->log, LOG_SIZE);
	bpf_program__set_log_level(prog, sp->level & 3 ? sp->level : sp->level | 1);
	bpf_program__set_flags(prog, bpf_program__flags(prog) | sp->flags);
	err = bpf_object__load(obj);
	shared->err = -err;
	if (!err && sp->has_retval && !as_kprobe)
		test_run(bpf_program__fd(prog), bpf_program__type(prog));
	shared->done = true;
}

/*
 * The verifier had no objection (its figures came first), but something in the program can't be
 * executed in user space yet. That is told apart: this is about verifiers.
 */
static bool not_executable(const char *log)
{
	static const char *const words[] = {"invalid func unknown", "may_goto needs"};
	const char *p = strstr(log, "processed ");

	for (u32 i = 0; p && i < ARRAY_SIZE(words); i++)
		if (strstr(p, words[i]))
			return true;
	return false;
}

static void ask(struct bpf_object *obj, const struct spec *specs, const struct spec *sp,
		bool as_kprobe, struct answer *a)
{
	int status;
	pid_t pid;

	memset(shared, 0, offsetof(struct shared, log) + 1);
	pid = fork();
	if (!pid) {
		child(obj, specs, sp, as_kprobe);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	shared->log[LOG_SIZE - 1] = '\0';
	*a = (struct answer){.err = shared->err, .retval = shared->retval};
	if (!shared->done)
		a->err = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ANSWER_TIMEOUT
									    : ANSWER_CRASH;
	if (shared->ran)
		a->ran = !shared->ran_err &&
					 (sp->retval == RETVAL_ANY || shared->retval == sp->retval)
				 ? 1
				 : -1;
	if (a->err && not_executable(shared->log)) {
		not_run++;
		a->err = 0;
	}
	a->matched = count_matches(sp, shared->log);
	last_lines(shared->log[0] ? shared->log : shared->why, a->last, sizeof(a->last));
}

/* --- what the kernel said -------------------------------------------------------------------- */

struct kernel_answer {
	char *key;
	struct answer a;
	struct kernel_answer *next;
};
#define KERNEL_BUCKETS 1024u
static struct kernel_answer *kernel_answers[KERNEL_BUCKETS];

static u32 bucket(const char *key)
{
	u32 h = 5381;

	while (*key)
		h = h * 33 + (u8)*key++;
	return h % KERNEL_BUCKETS;
}

static const struct answer *kernels(const char *key)
{
	const struct kernel_answer *k = kernel_answers[bucket(key)];

	while (k && strcmp(k->key, key))
		k = k->next;
	return k ? &k->a : NULL;
}

static int kernel_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[2048], key[512], last[512];
	struct answer a = {0};

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		struct kernel_answer *k;

		last[0] = '\0';
		if (sscanf(line, "%511s %d %u %d %511[^\n]", key, &a.err, &a.matched, &a.ran,
			   last) < 4)
			continue;
		k = calloc(1, sizeof(*k));
		if (!k)
			break;
		k->key = strdup(key);
		k->a = a;
		memcpy(k->a.last, last, sizeof(last));
		k->next = kernel_answers[bucket(key)];
		kernel_answers[bucket(key)] = k;
	}
	fclose(f);
	return 0;
}

static bool verdict_ok(const struct spec *sp, const struct answer *a)
{
	return a->err < ANSWER_TIMEOUT && sp->fails == !!a->err;
}

static bool as_expected(const struct spec *sp, const struct answer *a)
{
	return verdict_ok(sp, a) && a->matched == sp->nmsgs;
}

/* --- where we decide otherwise on purpose ---------------------------------------------------- */

/* "object/program reason", under whichever type the program is loaded */
struct policy {
	char key[256];
	char reason[256];
	bool met, differs;
};
#define MAX_POLICIES 128
static struct policy policies[MAX_POLICIES];
static u32 npolicies;

static int policy_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[512];
	int r = 0;

	if (!f)
		return -errno;
	while (!r && fgets(line, sizeof(line), f)) {
		struct policy *p = &policies[npolicies];

		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (npolicies < MAX_POLICIES &&
		    sscanf(line, "%255s %255[^\n]", p->key, p->reason) == 2)
			npolicies++;
		else
			r = -EINVAL; /* no reason, no policy */
	}
	fclose(f);
	return r;
}

static struct policy *policy_of(const char *key)
{
	size_t n = strcspn(key, ":");

	for (u32 i = 0; i < npolicies; i++)
		if (strlen(policies[i].key) == n && !strncmp(policies[i].key, key, n))
			return &policies[i];
	return NULL;
}

/* Lines that nothing needs any more. */
static u32 stale_policies(void)
{
	u32 n = 0;

	for (u32 i = 0; i < npolicies; i++) {
		if (!policies[i].met || policies[i].differs)
			continue;
		n++;
		printf("stale policy: %s is answered as expected\n", policies[i].key);
	}
	return n;
}

/* --- judgement ------------------------------------------------------------------------------- */

static const char *err_name(int err, char *buf, size_t size)
{
	if (!err)
		return "accepted";
	if (err == ANSWER_TIMEOUT)
		return "no answer in time";
	if (err == ANSWER_CRASH)
		return "crashed";
	snprintf(buf, size, "refused (%s)", strerror(err));
	return buf;
}

static void difference(const char *key, const struct spec *sp, const struct answer *a)
{
	const struct answer *k = kernels(key);
	char buf[128];

	printf("%s %s: expected %s, %s\n", verdict_ok(sp, a) ? "message" : "VERDICT", key,
	       sp->fails ? "refusal" : "acceptance", err_name(a->err, buf, sizeof(buf)));
	if (sp->nmsgs && a->matched < sp->nmsgs)
		printf("\twanted: %s\n", sp->msgs[a->matched]);
	printf("\there:   %s\n", a->last);
	if (k)
		printf("\tkernel: %s\n", k->last);
}

/* Refused for want of something user space doesn't have. */
static bool unserved(const char *last)
{
	static const char *const words[] = {"does not exist in user space", "invalid func unknown",
					    "program of this type cannot use helper",
					    "do not exist in user space"};

	for (u32 i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(last, words[i]))
			return true;
	return false;
}

/* Is what we say, if not what the kernel says, meant? Then it is in no other figure. */
static bool by_policy(const char *key, const struct answer *a, bool right)
{
	struct policy *p = policy_of(key);
	char buf[128];

	if (!p || a->err >= ANSWER_TIMEOUT)
		return false;
	p->met = true;
	if (right)
		return false;
	p->differs = true;
	printf("policy %s: %s: %s\n", key, err_name(a->err, buf, sizeof(buf)), p->reason);
	return true;
}

static void judge(const char *key, const struct spec *sp, const struct answer *a,
		  struct share *share)
{
	bool v = verdict_ok(sp, a), m = v && a->matched == sp->nmsgs;
	bool meant = by_policy(key, a, m);

	share->policy += meant && !v;
	share->policy_words += meant && v;
	if (meant && !v)
		return;
	share->total++;
	share->verdict += v;
	share->wanted += sp->nmsgs > 0 && !meant;
	share->message += m && sp->nmsgs > 0;
	share->accepted_wrongly += !v && sp->fails && !a->err;
	not_served += !v && !sp->fails && unserved(a->last);
	if ((!m && !meant) || verbose)
		difference(key, sp, a);
}

static void judge_run(const char *key, const struct spec *sp, const struct answer *a)
{
	const struct answer *k = kernels(key);

	if (!a->ran || (k && k->ran != 1))
		return;
	ran_ok += a->ran == 1;
	ran_wrong += a->ran != 1;
	if (a->ran != 1)
		printf("run %s: expected %d, got %d\n", key, sp->retval, a->retval);
}

static void keep_answer(const char *key, const struct answer *a)
{
	fprintf(kernel_out, "%s %d %u %d %s\n", key, a->err, a->matched, a->ran, a->last);
	fflush(kernel_out);
}

/* A program under one type. */
static void one(struct bpf_object *obj, const struct spec *specs, const struct spec *sp,
		const char *object, bool as_kprobe)
{
	const struct answer *k;
	struct answer a;
	char key[512];

	snprintf(key, sizeof(key), "%s/%s%s", object, sp->name, as_kprobe ? ":kprobe" : "");
	k = kernels(key);
	if (!write_path && as_kprobe && !(k && as_expected(sp, k))) {
		not_portable++;
		return;
	}
	if (!write_path && k && !as_expected(sp, k)) {
		drift++;
		return;
	}
	ask(obj, specs, sp, as_kprobe, &a);
	if (write_path) {
		keep_answer(key, &a);
		return;
	}
	judge(key, sp, &a, as_kprobe ? &kprobe : &own);
	judge_run(key, sp, &a);
}

static void each(struct bpf_object *obj, const struct spec *specs, const char *object)
{
	const struct spec *sp = specs;
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, obj)
	{
		const struct spec *s = sp++;

		if (!s->valid || s->auxiliary || s->other_arch || (only && !strstr(s->name, only)))
			continue;
		if (prog_known(bpf_program__type(prog)))
			one(obj, specs, s, object, false);
		else
			unknown_type++;
		one(obj, specs, s, object, true);
	}
}

static void object(const char *path)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	const char *base = strrchr(path, '/');
	struct bpf_program *prog;
	struct spec *specs;
	u32 n = 0;

	if (!obj || !bpf_object__btf(obj)) {
		not_opened++;
		printf("libbpf does not open %s\n", path);
		return;
	}
	bpf_object__for_each_program(prog, obj) n++;
	specs = calloc(n + 1, sizeof(*specs));
	n = 0;
	bpf_object__for_each_program(prog, obj)
		read_spec(bpf_object__btf(obj), bpf_program__name(prog), &specs[n++]);
	each(obj, specs, base ? base + 1 : path);
	free(specs);
	bpf_object__close(obj);
}

static double percent(u32 part, u32 whole)
{
	return whole ? 100.0 * part / whole : 100.0;
}

static void print_share(const char *what, const struct share *s)
{
	printf("%s: verdict %u of %u (%.1f %%), messages %u of %u (%.1f %%), accepted wrongly %u; "
	       "by policy %u other verdicts (%.1f %% of all are the kernel's), %u other words\n",
	       what, s->verdict, s->total, percent(s->verdict, s->total), s->message, s->wanted,
	       percent(s->message, s->wanted), s->accepted_wrongly, s->policy,
	       percent(s->verdict, s->total + s->policy), s->policy_words);
}

/* Of ours only the functions keep their names: CO-RE wants one structure of a name. */
static int add_kernel(struct btf *all, const struct btf *kernel)
{
	u32 ours = btf__type_cnt(all);
	int r = btf__add_btf(all, kernel);

	for (u32 i = 1; r >= 0 && i < ours; i++) {
		struct btf_type *t = (struct btf_type *)btf__type_by_id(all, i);

		if (btf_is_struct(t))
			t->name_off = 0;
	}
	return r;
}

static int write_btf(const char *path)
{
	struct btf *all, *kernel = btf__load_vmlinux_btf();
	u32 size, done = 0;
	const void *data;
	FILE *f;

	if (!kernel || btf_builtin(&all) || add_kernel(all, kernel) < 0)
		return 2;
	data = btf__raw_data(all, &size);
	f = fopen(path, "w");
	if (data && f)
		done = (u32)fwrite(data, 1, size, f);
	return f && !fclose(f) && done == size ? 0 : 2;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: run -b FILE | [-v] [-n NAME] [-w FILE | -k FILE] [-p FILE] [-V PERCENT] "
		"[-M PERCENT] OBJECT…\n");
	return 2;
}

int main(int argc, char **argv)
{
	const char *kernel_path = NULL, *policy_path = NULL;
	u32 stale;
	double want_v = 0, want_m = 0;
	int c;

	while ((c = getopt(argc, argv, "vb:n:w:k:p:V:M:")) != -1) {
		switch (c) {
		case 'v':
			verbose = 1;
			break;
		case 'b':
			return write_btf(optarg);
		case 'n':
			only = optarg;
			break;
		case 'w':
			write_path = optarg;
			break;
		case 'k':
			kernel_path = optarg;
			break;
		case 'p':
			policy_path = optarg;
			break;
		case 'V':
			want_v = strtod(optarg, NULL);
			break;
		case 'M':
			want_m = strtod(optarg, NULL);
			break;
		default:
			return usage();
		}
	}
	if (optind == argc || (kernel_path && kernel_read(kernel_path)) ||
	    (policy_path && policy_read(policy_path)))
		return usage();
	if (write_path && !(kernel_out = fopen(write_path, "w")))
		return usage();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(no_words);
	for (int i = optind; i < argc; i++)
		object(argv[i]);
	if (write_path)
		return 0;
	stale = stale_policies();
	print_share("as kprobe", &kprobe);
	print_share("own type", &own);
	printf("%u counted as accepted were refused after verification: they can't be executed\n",
	       not_run);
	printf("%u of the wrong refusals are for want of what is not served\n", not_served);
	printf("test runs: %u as expected, %u not; not counted: %u of a type that isn't served, %u "
	       "not "
	       "portable to kprobe, %u that the kernel here answers otherwise, %u objects not "
	       "opened\n",
	       ran_ok, ran_wrong, unknown_type, not_portable, drift, not_opened);
	return percent(kprobe.verdict, kprobe.total) >= want_v &&
			       percent(kprobe.message, kprobe.wanted) >= want_m &&
			       kprobe.total + own.total && !stale
		       ? 0
		       : 1;
}
