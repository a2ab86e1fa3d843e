/* SPDX-License-Identifier: BSD-2-Clause */
/* A preloaded agent: its start, what it does about masks, modules and programs that go wrong. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake.h"

static char preload[600], socket_var[200], token_var[64], disable_var[] = "EBPFRT_DISABLE=1";
static char *environment[5];

static char **preloaded(const struct fake *f, bool disabled)
{
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", fake_built("libebpfrt-agent.so"));
	snprintf(socket_var, sizeof(socket_var), AGENT_ENV_SOCKET "=%s", f->path);
	snprintf(token_var, sizeof(token_var), AGENT_ENV_TOKEN "=12345678901");
	environment[0] = preload;
	environment[1] = socket_var;
	environment[2] = token_var;
	environment[3] = disabled ? disable_var : NULL;
	environment[4] = NULL;
	return environment;
}

static void start(struct fake *f, struct target *t, const char *mode, struct agent_hello *hello)
{
	struct talk first;

	fake_open(f);
	target_spawn(t, NULL, mode, preloaded(f, false));
	cr_assert_eq(fake_accept(f, &first), 0);
	*hello = first.hello;
	cr_assert_eq(talk_setup(&first, f), 0);
	cr_assert_eq(talk_objects(&first, f), 0);
	talk_end(&first);
	target_ready(t);
	target_in_syscall(t, SYS_read);
}

struct command {
	pid_t pid;
	u64 entry, ret, site, flags;
	u32 prog;
	int err;
};

static void serve(struct talk *t, void *arg)
{
	struct command *c = arg;

	c->err = 0;
	if (c->site)
		c->err = talk_site(t, c->pid, c->site, (u32)c->flags);
	if (!c->err && c->entry)
		c->err = talk_site(t, c->pid, c->entry, 0);
	if (!c->err && c->entry)
		c->err = talk_consumer(t, c->entry, 1, c->prog ? c->prog : PROG_ENTRY, 0);
	talk_end(t);
}

static void command(struct fake *f, struct command *c, u64 base)
{
	struct inject_event e;
	int err = fake_inject(f, c->pid, INJECT_COMMAND, base, serve, c, &e);

	cr_assert_eq(err, 0, "%d %s", err, e.why);
	cr_assert_eq(c->err, 0, "exchange: %d", c->err);
}

Test(preload, starts_and_serves)
{
	struct agent_hello hello;
	struct target t;
	struct fake f;
	struct command c;
	long v[4];

	start(&f, &t, "read", &hello);
	cr_assert_eq(hello.reason, AGENT_START);
	cr_assert_eq(hello.token, 12345678901);
	cr_assert_eq(hello.pid, (u32)t.pid);
	cr_assert(hello.dl_debug);
	c = (struct command){.pid = t.pid, .entry = t.probe_me};
	command(&f, &c, hello.text_base);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 3);
	cr_assert_eq(v[0], 1);
	cr_assert_eq(f.values[V_HITS], 1000);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

static void runs_alone(struct fake *f, struct target *t)
{
	long v[4];

	target_ready(t);
	target_poke(t);
	cr_assert_eq(target_done(t, v, 4), 3);
	cr_assert_eq(v[2], 1000000);
	cr_assert_eq(target_wait(t), 0);
	fake_close(f);
}

Test(preload, disabled_does_nothing)
{
	struct target t;
	struct fake f;

	fake_open(&f);
	target_spawn(&t, NULL, "read", preloaded(&f, true));
	runs_alone(&f, &t);
}

Test(preload, without_a_daemon_does_nothing)
{
	struct target t;
	struct fake f;

	fake_open(&f);
	unlink(f.path);
	target_spawn(&t, NULL, "read", preloaded(&f, false));
	runs_alone(&f, &t);
}

static u32 descriptors(pid_t pid)
{
	char path[64];
	u32 n = 0;

	for (int fd = 0; fd < 128; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		n += access(path, F_OK) == 0;
	}
	return n;
}

/* nothing of an exchange stays behind: as many descriptors as without an agent */
Test(preload, leaves_no_descriptor)
{
	struct agent_hello hello;
	struct target t, plain;
	struct fake f;
	struct command c;
	long v[4];

	start(&f, &t, "read", &hello);
	c = (struct command){.pid = t.pid, .entry = t.probe_me};
	command(&f, &c, hello.text_base);
	target_start(&plain, NULL, "read", NULL);
	cr_assert_eq(descriptors(t.pid), descriptors(plain.pid));
	target_poke(&plain);
	cr_assert_eq(target_wait(&plain), 0);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 3);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

/* --- signal masks -------------------------------------------------------------------------------
 */

/* Where libc makes system call @nr with its number loaded right before it. */
static u32 find_calls(const struct target *t, u8 nr, u64 *v, u32 max)
{
	static u8 text[4 << 20];
	const u8 pattern[] = {0xb8, nr, 0, 0, 0, 0x0f, 0x05};
	char path[64], line[512];
	u64 lo, hi;
	u32 n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " r-xp", &lo, &hi) != 2 ||
		    !strstr(line, " r-xp ") || !strstr(line, "/libc.so"))
			continue;
		target_text(t, lo, text, hi - lo);
		for (u64 i = 0; i + sizeof(pattern) < hi - lo && n < max; i++)
			if (memcmp(text + i, pattern, sizeof(pattern)) == 0)
				v[n++] = lo + i;
	}
	fclose(f);
	return n;
}

Test(preload, masks_keep_our_signals_open)
{
	struct agent_hello hello;
	struct target t;
	struct fake f;
	struct command c;
	u64 sites[64];
	long v[4];
	u32 n;

	start(&f, &t, "masks", &hello);
	n = find_calls(&t, SYS_rt_sigprocmask, sites, 64);
	if (!n)
		cr_skip("this libc makes the call in another way");
	for (u32 i = 0; i < n; i++) {
		c = (struct command){t.pid, 0, 0, sites[i], AGENT_SITE_SIGMASK, 0, 0};
		command(&f, &c, hello.text_base);
	}
	n = find_calls(&t, SYS_rt_sigaction, sites, 64);
	for (u32 i = 0; i < n; i++) {
		c = (struct command){t.pid, 0, 0, sites[i], AGENT_SITE_SIGACTION, 0, 0};
		command(&f, &c, hello.text_base);
	}
	c = (struct command){.pid = t.pid, .entry = t.probe_me};
	command(&f, &c, hello.text_base);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(v[0], 100);
	cr_assert_eq(v[1], 0, "system() gave %lx", v[1]);
	cr_assert_eq(f.values[V_HITS], 10);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

/* --- modules ------------------------------------------------------------------------------------
 */

Test(preload, a_new_module_is_told)
{
	struct agent_hello hello;
	struct talk told;
	struct target t;
	struct fake f;
	struct command c;
	u64 brk;
	long v[4];

	start(&f, &t, "dlopen", &hello);
	target_text(&t, hello.dl_debug + 16, (u8 *)&brk, sizeof(brk));
	c = (struct command){t.pid, t.probe_me, 0, brk, AGENT_SITE_MODULES, 0, 0};
	command(&f, &c, hello.text_base);
	target_poke(&t);
	cr_assert_eq(fake_accept(&f, &told), 0);
	cr_assert_eq(told.hello.reason, AGENT_MODULES);
	cr_assert_eq(talk_drop(&told, 1), 0);
	talk_end(&told);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(v[0], 1);
	cr_assert_eq(v[1], 100);
	cr_assert_eq(f.values[V_HITS], 0);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

/* a silent daemon must not hang dlopen() */
Test(preload, a_silent_daemon_does_not_hang_dlopen)
{
	struct agent_hello hello;
	struct target t;
	struct fake f;
	struct command c;
	u64 brk;
	long v[4];

	start(&f, &t, "dlopen", &hello);
	target_text(&t, hello.dl_debug + 16, (u8 *)&brk, sizeof(brk));
	c = (struct command){t.pid, t.probe_me, 0, brk, AGENT_SITE_MODULES, 0, 0};
	command(&f, &c, hello.text_base);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 2);
	cr_assert_eq(v[0], 1);
	cr_assert_eq(v[1], 100);
	cr_assert_eq(f.values[V_HITS], 10);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}

/* --- a program that goes wrong ------------------------------------------------------------------
 */

Test(preload, a_fault_of_a_program_cuts_it_short)
{
	struct agent_hello hello;
	struct target t;
	struct fake f;
	struct command c;
	long v[4];

	start(&f, &t, "read", &hello);
	c = (struct command){.pid = t.pid, .entry = t.probe_me, .prog = PROG_WILD};
	command(&f, &c, hello.text_base);
	target_poke(&t);
	cr_assert_eq(target_done(&t, v, 4), 3);
	cr_assert_eq(v[2], 1000000);
	cr_assert_eq(f.stats->stat[PROG_WILD].hits, 1000);
	cr_assert_eq(f.stats->stat[PROG_WILD].aborted, 1000);
	cr_assert_eq(target_wait(&t), 0);
	fake_close(&f);
}
