/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the agent starts: as a preloaded library (its constructor) or called by the injection.
 *
 * Rules: without a socket in the environment, with EBPFRT_DISABLE=1, in a program that runs with
 * more privileges than its caller (AT_SECURE), or with more filters for its system calls (seccomp)
 * nothing happens at all. Environment and auxiliary vector are read from /proc: musl calls
 * constructors without arguments.
 */
#include <errno.h>
#include <linux/auxvec.h>
#include <linux/elf.h>

#include "agent/agent.h"

extern u8 __ehdr_start[] __hidden;

struct start {
	char token[48]; /* "NUMBER:FILTERS", or with AGENT_TOKEN_HIDE */
	char disable[4];
	u64 secure;
	u64 phdr, phnum;
	u64 filters; /* for system calls */
	bool auxv;   /* the auxiliary vector could be read */
};

u64 start_text_base(void)
{
	return (u64)__ehdr_start;
}

/* --- /proc/self/environ, /proc/self/status ------------------------------------------------------
 */

static bool copy_value(const char *entry, const char *name, char *out, u32 size)
{
	u32 i = 0;

	while (*name && *entry == *name)
		entry++, name++;
	if (*name || *entry++ != '=')
		return false;
	for (; entry[i] && i < size - 1; i++)
		out[i] = entry[i];
	out[i] = 0;
	return true;
}

static void take_variable(struct start *s, const char *entry)
{
	if (!copy_value(entry, AGENT_ENV_SOCKET, agent.socket, sizeof(agent.socket)) &&
	    !copy_value(entry, AGENT_ENV_TOKEN, s->token, sizeof(s->token)))
		copy_value(entry, AGENT_ENV_DISABLE, s->disable, sizeof(s->disable));
}

/* Those longer than @line are none of ours: their tails are skipped. */
static void read_entries(struct start *s, const char *path, char end,
			 void (*take)(struct start *s, const char *entry))
{
	char buf[512], line[256];
	long fd = sys_open(path, O_RDONLY), n;
	u32 len = 0;

	if (fd < 0)
		return;
	while ((n = sys_read((int)fd, buf, sizeof(buf))) > 0)
		for (long i = 0; i < n; i++) {
			if (len < sizeof(line))
				line[len++] = buf[i] == end ? 0 : buf[i];
			if (buf[i] != end)
				continue;
			if (line[len - 1] == 0)
				take(s, line);
			len = 0;
		}
	sys_close((int)fd);
}

/* --- /proc/self/auxv and the loader -------------------------------------------------------------
 */

static void read_auxv(struct start *s)
{
	u64 v[2];
	long fd = sys_open("/proc/self/auxv", O_RDONLY);

	if (fd < 0)
		return;
	while (sys_read((int)fd, v, sizeof(v)) == sizeof(v)) {
		s->auxv = true;
		if (v[0] == AT_SECURE)
			s->secure = v[1];
		else if (v[0] == AT_PHDR)
			s->phdr = v[1];
		else if (v[0] == AT_PHNUM)
			s->phnum = v[1];
	}
	sys_close((int)fd);
}

static u64 find_debug(const Elf64_Dyn *dyn)
{
	for (; dyn->d_tag != DT_NULL; dyn++)
		if (dyn->d_tag == DT_DEBUG)
			return dyn->d_un.d_val;
	return 0;
}

/* DT_DEBUG of the executable: the loader has put the address of its r_debug there. */
static u64 loader_debug(const struct start *s)
{
	const Elf64_Phdr *ph = (const Elf64_Phdr *)s->phdr;
	u64 bias = 0, dynamic = 0;
	bool has_bias = false;

	for (u64 i = 0; ph && i < s->phnum; i++) {
		if (ph[i].p_type == PT_PHDR) {
			bias = s->phdr - ph[i].p_vaddr;
			has_bias = true;
		} else if (ph[i].p_type == PT_DYNAMIC) {
			dynamic = ph[i].p_vaddr;
		}
	}
	return dynamic && has_bias ? find_debug((const Elf64_Dyn *)(bias + dynamic)) : 0;
}

/* --- entries ------------------------------------------------------------------------------------
 */

static u64 parse_number(const char **s)
{
	u64 v = 0;

	for (; **s >= '0' && **s <= '9'; ++*s)
		v = v * 10 + (u64)(**s - '0');
	return v;
}

static void take_status(struct start *s, const char *entry)
{
	static const char name[] = "Seccomp_filters:\t";

	if (memcmp(entry, name, sizeof(name) - 1))
		return;
	entry += sizeof(name) - 1;
	s->filters = parse_number(&entry);
}

/* Who started the session has said how many filters there were: more of them may kill us. */
static bool walled(struct start *s, const char *allowed)
{
	if (*allowed++ != ':')
		return false;
	read_entries(s, "/proc/self/status", '\n', take_status);
	return s->filters > parse_number(&allowed);
}

/* We were put there by the agent of the program before. */
static bool hidden(const char *token)
{
	while (*token && memcmp(token, AGENT_TOKEN_HIDE, sizeof(AGENT_TOKEN_HIDE)))
		token++;
	return *token;
}

/* Signals of the application wait until the agent is set up; ours are open from then on. */
static void start_preloaded(u64 token)
{
	u64 mask = ~0ULL, old = 0;

	SYS6(__NR_rt_sigprocmask, SIG_BLOCK, &mask, &old, 8, 0, 0);
	exchange_run(AGENT_START, -1, token);
	SYS6(__NR_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8, 0, 0);
	if (!agent.ready)
		return;
	sig_unblock();
	if (site_guarded())
		withheld_set(arch_thread_pointer(), sys_gettid(), old & SIG_OURS, 0);
}

/*
 * Preloaded by somebody who means to attach later. Where Yama restricts ptrace a process says
 * itself who may trace it, and nobody knows yet which daemon that will be: all of this user's.
 */
static void admit_later(void)
{
	SYS3(__NR_prctl, PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0);
}

void start_find_loader(void)
{
	struct start s = {0};

	if (agent.ready || agent.dl_debug)
		return;
	read_auxv(&s);
	agent.dl_debug = loader_debug(&s);
}

static void constructor(void)
{
	struct start s = {0};
	const char *at = s.token;
	u64 token;

	read_auxv(&s);
	if (!s.auxv || s.secure)
		return;
	read_entries(&s, "/proc/self/environ", 0, take_variable);
	token = parse_number(&at);
	if (hidden(at))
		environ_hide();
	if (s.disable[0] == '1' || (agent.socket[0] && walled(&s, at)))
		return;
	call_listen();
	if (!agent.socket[0]) {
		admit_later();
		return;
	}
	agent.dl_debug = loader_debug(&s);
	start_preloaded(token);
}

static void (*const constructors[])(void)
	__attribute__((section(".init_array"), used, aligned(8))) = {constructor};

/* What the kernel's loader or libc's has done where one of them has loaded us. */
static void settle(void)
{
	const Elf64_Ehdr *eh = (const void *)__ehdr_start;
	const Elf64_Phdr *ph = (const void *)(__ehdr_start + eh->e_phoff);
	const u64 page = EBPFRT_PAGE_SIZE;

	for (u32 i = 0; i < eh->e_phnum; i++) {
		u64 start = ALIGN_DOWN((u64)__ehdr_start + ph[i].p_vaddr, page);
		u64 end = (u64)__ehdr_start + ph[i].p_vaddr + ph[i].p_memsz;

		if (ph[i].p_type == PT_LOAD)
			sys_name_memory((void *)start, ALIGN_UP(end, page) - start, "ebpfrt-agent");
		else if (ph[i].p_type == PT_GNU_RELRO)
			sys_mprotect(start, ALIGN_DOWN(end, page) - start, PROT_READ);
	}
}

/*
 * Called by agent_entry. @reason START or COMMAND; @fd a connected socket, owned by us; @withheld
 * says what the injection has unblocked, and gets what it is to block. Returns the result in the
 * lower half; bit 32 says that the agent is set up and must not be unloaded.
 */
u64 agent_enter(u64 reason, u64 fd, struct agent_withheld_list *withheld)
{
	const struct agent_crowd held = {
		withheld->who,
		MIN(READ_ONCE(withheld->held), AGENT_WITHHELD_MAX),
		withheld->unsettled,
	};
	int ret;

	if (withheld->spare)
		sys_close((int)withheld->spare - 1);
	if (reason == AGENT_START && !agent.ready)
		settle();
	fork_begin();
	start_find_loader();
	withheld_take(withheld);
	crowd_begin(&held);
	poke_alone(withheld->alone);
	ret = exchange_run((u32)reason, (int)fd, 0);
	poke_alone(false);
	crowd_end(withheld);
	return (u64)(agent.mark != NULL) << 32 | (u32)ret;
}
