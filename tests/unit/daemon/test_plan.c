/* SPDX-License-Identifier: BSD-2-Clause */
/* Plans for copies of this very process, which has threads of the test library's that block
 * signals. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/target.h"

/* daemon/main.c is not linked */
void daemon_check_idle(struct daemon *d)
{
}

void daemon_leave(struct daemon *d)
{
}

static struct loop loop;
static struct plan plan;

static void item(u32 i, const char *path, u64 offset)
{
	struct plan_item *it = &plan_items(plan.out)[i];
	struct stat st;

	cr_assert_eq(stat(path, &st), 0, "%s", path);
	it->file = (struct osl_ident){st.st_dev, st.st_ino};
	it->path = path;
	it->offset = offset;
}

static const char *libc_path(u64 *malloc_offset)
{
	static char path[512];
	struct probe_elf *elf;
	struct probe_symbol sym;
	char why[PROBE_WHY_MAX];
	Dl_info info;

	cr_assert(dladdr((void *)getpid, &info));
	cr_assert(realpath(info.dli_fname, path));
	cr_assert_eq(probe_elf_open(path, &elf, why), 0, "%s", why);
	cr_assert_eq(probe_elf_symbol(elf, "malloc", &sym, why), 0, "%s", why);
	*malloc_offset = sym.offset;
	probe_elf_free(&elf);
	return path;
}

static pid_t child;

static pid_t copy_of_me(void)
{
	child = fork();
	if (!child)
		for (;;)
			pause();
	return child;
}

static void end_child(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
}

TestSuite(plan, .fini = end_child);

static void on_done(struct plan *p)
{
	loop.quit = true;
}

static void run(const struct plan_job *job)
{
	loop.quit = false;
	cr_assert_eq(plan_start(&plan, job, on_done), 0);
	loop_run(&loop);
	cr_assert_eq(plan.out->done, 1);
}

Test(plan, a_library_function_is_found, .timeout = 20)
{
	struct plan_job job = {.pid = copy_of_me(), .mem = -1};
	u64 offset;
	const char *path = libc_path(&offset);

	cr_assert_eq(loop_init(&loop), 0);
	cr_assert_eq(plan_init(&plan, &loop, 3, 0), 0);
	item(0, path, offset);
	item(1, path, offset + 1);
	item(2, "/etc/passwd", 0);
	run(&job);
	cr_expect_eq(plan.out->err, 0, "%s", plan.out->why);

	const struct plan_item *it = plan_items(plan.out);
	const struct plan_site *s = &plan_sites(plan.out)[it[0].site];

	cr_expect_eq(it[0].err, 0, "%s", it[0].why);
	cr_expect_str_eq(it[0].symbol, "malloc");
	cr_expect_eq(it[0].addr,
		     (u64)dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), "malloc"));
	cr_expect(it[0].fixed);
	cr_expect_eq(memcmp(s->patch.insn, (void *)it[0].addr, s->patch.len), 0);
	if (arch_patch_needs_slot(&s->patch)) {
		cr_expect_gt(plan.out->narenas, 0);
		cr_expect_geq(s->patch.slot, plan.out->arenas[0].addr);
	}
	if (s->patch.len > 1) {
		cr_expect_lt(it[1].err, 0, "the middle of an instruction");
		cr_expect(strlen(it[1].why) > 0);
	}
	cr_expect(it[2].pending, "a file nobody has mapped");
	plan_deinit(&plan);
	plan_deinit(&plan);
}

/* What we have patched already must not be taken for the program's own bytes. */
Test(plan, known_sites_keep_their_slots, .timeout = 20)
{
	struct site known = {.armed = true};
	struct plan_job job = {.pid = copy_of_me(), .mem = -1, .sites = &known, .nsites = 1};
	u64 offset;
	const char *path = libc_path(&offset);

	cr_assert_eq(loop_init(&loop), 0);
	cr_assert_eq(plan_init(&plan, &loop, 1, 4), 0);
	item(0, path, offset);
	job.nsites = 0;
	run(&job);
	known.site.patch = plan_sites(plan.out)[0].patch;
	job.nsites = 1;
	plan_deinit(&plan);
	cr_assert_eq(plan_init(&plan, &loop, 1, 4), 0);
	item(0, path, offset);
	run(&job);
	cr_expect_eq(
		memcmp(&plan_sites(plan.out)[0].patch, &known.site.patch, sizeof(known.site.patch)),
		0);
	cr_expect_eq(plan.out->narenas, 0, "no new memory");
	plan_deinit(&plan);
}

/* What was in the way of an arena is not always to be seen in the maps. */
Test(plan, arenas_keep_off_what_was_in_the_way, .timeout = 20)
{
	struct plan_job job = {.pid = copy_of_me(), .mem = -1, .jumps = true};
	struct plan_arena first;
	u64 offset;
	const char *path = libc_path(&offset);

	cr_assert_eq(loop_init(&loop), 0);
	cr_assert_eq(plan_init(&plan, &loop, 1, 0), 0);
	item(0, path, offset);
	run(&job);
	cr_assert_geq(plan.out->narenas, 1);
	first = plan.out->arenas[0];
	plan_deinit(&plan);
	cr_assert_eq(plan_init(&plan, &loop, 1, 0), 0);
	item(0, path, offset);
	plan.out->narenas = 1;
	plan.out->arenas[0] = (struct plan_arena){.addr = first.addr, .used = 1 << 20};
	run(&job);
	cr_assert_eq(plan.out->err, 0, "%s", plan.out->why);
	cr_assert_geq(plan.out->narenas, 2);
	for (u32 i = 1; i < plan.out->narenas; i++) {
		const struct plan_arena *a = &plan.out->arenas[i];

		cr_expect(a->addr + a->size <= first.addr || a->addr >= first.addr + (1 << 20),
			  "%#llx, %#llx", (unsigned long long)a->addr,
			  (unsigned long long)first.addr);
	}
	plan_deinit(&plan);
}

/* Of an agent that has come by itself on another thread; else the injector looks at the masks. */
Test(plan, a_thread_that_blocks_traps_is_a_reason_to_refuse, .timeout = 20)
{
	struct plan_job job = {.tid = getpid()};
	int ready[2];
	u64 offset;
	const char *path = libc_path(&offset);
	sigset_t set;
	char c;

	cr_assert_eq(pipe(ready), 0);
	job.pid = fork();
	if (!job.pid) {
		sigemptyset(&set);
		sigaddset(&set, SIGTRAP);
		sigprocmask(SIG_BLOCK, &set, NULL);
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(0);
	}
	cr_assert_eq(read(ready[0], &c, 1), 1);
	cr_assert_eq(loop_init(&loop), 0);
	cr_assert_eq(plan_init(&plan, &loop, 1, 4), 0);
	item(0, path, offset);
	run(&job);
	cr_expect_eq(plan.out->err, -EBUSY);
	cr_expect(strstr(plan.out->why, "SIGTRAP"), "%s", plan.out->why);
	plan_deinit(&plan);
	kill(job.pid, SIGKILL);
	waitpid(job.pid, NULL, 0);
}

Test(plan, signal_mask_calls_are_remembered, .timeout = 30)
{
	static struct plan_scan scans[PLAN_SCANS];
	struct plan_job job = {.pid = copy_of_me(), .mem = -1, .want_sanitise = true};
	u64 offset;
	const char *path = libc_path(&offset);
	u32 nsites;

	cr_assert_eq(loop_init(&loop), 0);
	cr_assert_eq(plan_init(&plan, &loop, 1, 4), 0);
	item(0, path, offset);
	run(&job);
	cr_expect(plan.out->sanitised);
	nsites = plan.out->nsites;
	cr_expect_gt(nsites, 1);
	cr_assert_gt(plan.out->nscans, 0);
	memcpy(scans, plan.out->scans, sizeof(scans));
	job.scans = scans;
	job.nscans = plan.out->nscans;
	plan_deinit(&plan);
	cr_assert_eq(plan_init(&plan, &loop, 1, 4), 0);
	item(0, path, offset);
	run(&job);
	cr_expect_eq(plan.out->nscans, 0, "no file is looked through twice");
	cr_expect_eq(plan.out->nsites, nsites);
	plan_deinit(&plan);
}
