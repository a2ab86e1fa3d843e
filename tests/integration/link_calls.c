/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls about links, right and wrong: made of many places or of a perf event, asked about in every
 * awkward size, found by id, pinned. Prints a line for each, with nothing in it that differs from
 * system to system, so that the answers of the surface can be compared with those of a kernel.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define MULTI 48
#define SESSION 57
#define LINK_MULTI 12
#define FLAG_RETURN 1u

static long say(long ret, const char *fmt, ...)
{
	va_list ap;

	if (ret == -1)
		ret = -errno;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(": %ld\n", ret > 0 ? 0 : ret);
	return ret;
}

/* --- what is probed ------------------------------------------------------------------------ */

#define PLACES 3
#define PROBED __attribute__((noinline, noclone, used))
PROBED int place_a(int n)
{
	__asm__ volatile("" ::: "memory");
	return n + 1;
}
PROBED int place_b(int n)
{
	__asm__ volatile("" ::: "memory");
	return n + 2;
}
PROBED int place_c(int n)
{
	__asm__ volatile("" ::: "memory");
	return n + 3;
}

static char exe[4096];
static __u64 places[PLACES], cookies[PLACES] = {11, 22, 33};

static __u64 file_offset(const void *p)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long lo, hi, off, at = (unsigned long)p;
	__u64 found = 0;
	char line[4352];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &lo, &hi, &off) == 3 && at >= lo && at < hi)
			found = at - lo + off;
	if (f)
		fclose(f);
	return found;
}

static int load(const char *name, __u32 attach)
{
	const struct bpf_insn insns[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0},
					 {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = attach);

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, name, "GPL", insns, 2, &o);
}

/* --- making them --------------------------------------------------------------------------- */

struct attr {
	__u32 prog_fd, target_fd, attach_type, flags;
	__u64 path, offsets, ref_ctr_offsets, cookies;
	__u32 cnt, multi_flags, pid, more;
};

static struct attr good(int prog)
{
	return (struct attr){.prog_fd = (__u32)prog,
			     .attach_type = MULTI,
			     .path = (uintptr_t)exe,
			     .offsets = (uintptr_t)places,
			     .cookies = (uintptr_t)cookies,
			     .cnt = PLACES,
			     .pid = (__u32)getpid()};
}

static int create(const struct attr *a)
{
	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, a, sizeof(*a));
}

#define TRY(what, ...)                                                                             \
	do {                                                                                       \
		struct attr a = good(prog);                                                        \
		int fd;                                                                            \
		__VA_ARGS__;                                                                       \
		fd = create(&a);                                                                   \
		say(fd, "create, %s", what);                                                       \
		if (fd >= 0)                                                                       \
			close(fd);                                                                 \
	} while (0)

static void creations(int prog, int other)
{
	static const __u64 huge[PLACES] = {1ull << 63, 0, 0}, beyond[PLACES] = {1ull << 40, 0, 0};
	static char empty[] = "", absent[] = "/no/such/file", directory[] = "/",
		    device[] = "/dev/null", relative[] = "no_such_file";
	struct attr small = good(prog);

	TRY("as it should be", );
	TRY("no cookies", a.cookies = 0);
	TRY("every process", a.pid = 0);
	TRY("at returns", a.multi_flags = FLAG_RETURN);
	TRY("flag 2", a.multi_flags = 2);
	TRY("all flags but the first", a.multi_flags = 0x7ffffffe);
	TRY("flags of the link", a.flags = 1);
	TRY("a target", a.target_fd = 1);
	TRY("no path", a.path = 0);
	TRY("an empty path", a.path = (uintptr_t)empty);
	TRY("a file that is not there", a.path = (uintptr_t)absent);
	TRY("a name that is not there", a.path = (uintptr_t)relative);
	TRY("a directory", a.path = (uintptr_t)directory);
	TRY("a device", a.path = (uintptr_t)device);
	TRY("a path that can't be read", a.path = 8);
	TRY("no offsets", a.offsets = 0);
	TRY("offsets that can't be read", a.offsets = 8);
	TRY("cookies that can't be read", a.cookies = 8);
	TRY("reference counters that can't be read", a.ref_ctr_offsets = 8);
	TRY("a negative offset", a.offsets = (uintptr_t)huge);
	TRY("a negative reference counter", a.ref_ctr_offsets = (uintptr_t)huge);
	TRY("an offset beyond the file", a.offsets = (uintptr_t)beyond);
	TRY("no place", a.cnt = 0);
	TRY("one place", a.cnt = 1);
	TRY("more places than there may be", a.cnt = (1u << 20) + 1);
	TRY("process -1", a.pid = ~0u);
	TRY("a process that is not", a.pid = 0x3ffffffe);
	TRY("more behind", a.more = 1);
	TRY("another attach type than the program's", a.attach_type = SESSION);
	TRY("as a perf event", a.attach_type = BPF_PERF_EVENT);
	TRY("a program of no attach type", a.prog_fd = (__u32)other);
	TRY("no program", a.prog_fd = 9999);
	TRY("something else as a program", a.prog_fd = 0);
	say(syscall(SYS_bpf, BPF_LINK_CREATE, &small, 60), "create, as short as it may be");
	say(syscall(SYS_bpf, BPF_LINK_CREATE, &small, 52), "create, shorter, without flags");
	say(syscall(SYS_bpf, BPF_LINK_CREATE, &small, 24), "create, shorter, without offsets");
}

/* --- asking -------------------------------------------------------------------------------- */

struct info {
	__u32 type, id, prog_id, pad;
	__u64 path, offsets, ref_ctr_offsets, cookies;
	__u32 path_size, count, flags, pid;
};

static __u64 got_offsets[PLACES + 1], got_cookies[PLACES + 1], got_counters[PLACES + 1];
static char got_path[4096];

static void fill(void)
{
	memset(got_path, 'x', sizeof(got_path));
	memset(got_offsets, 0xee, sizeof(got_offsets));
	memset(got_cookies, 0xee, sizeof(got_cookies));
	memset(got_counters, 0xee, sizeof(got_counters));
}

static int matching(const __u64 *got, const __u64 *want)
{
	int n = 0;

	while (n < PLACES && got[n] == (want ? want[n] : 0))
		n++;
	return n;
}

/* A length beside the path's. */
static const char *length(__u32 n)
{
	static char text[16];

	snprintf(text, sizeof(text), "%u", n);
	return n == strlen(exe) + 1 ? "whole" : n == strlen(exe) ? "one less" : text;
}

static void ask(const char *what, int fd, struct info *i, __u32 size)
{
	__u32 len = size;
	long r;

	r = bpf_obj_get_info_by_fd(fd, (struct bpf_link_info *)i, &len);
	say(r, "info, %s", what);
	printf("  length %u, path %s bytes %s, %u places, flags %u, pid %d, offsets %d, cookies "
	       "%d, counters %d\n",
	       len, length(i->path_size),
	       !strncmp(got_path, exe, strlen(got_path) < 4096 ? strlen(got_path) : 1) ? "right"
										       : "none",
	       i->count, i->flags, i->pid == (__u32)getpid(), matching(got_offsets, places),
	       matching(got_cookies, cookies), matching(got_counters, NULL));
}

static struct info all_of(__u32 count)
{
	fill();
	return (struct info){.type = LINK_MULTI,
			     .path = (uintptr_t)got_path,
			     .path_size = sizeof(got_path),
			     .offsets = (uintptr_t)got_offsets,
			     .cookies = (uintptr_t)got_cookies,
			     .ref_ctr_offsets = (uintptr_t)got_counters,
			     .count = count};
}

#define ASK(what, count_, ...)                                                                     \
	do {                                                                                       \
		struct info i = all_of(count_);                                                    \
		__VA_ARGS__;                                                                       \
		ask(what, fd, &i, sizeof(i));                                                      \
	} while (0)

static void questions(const char *kind, int fd)
{
	printf("of a link %s\n", kind);
	if (fd < 0)
		return;
	ASK("all of it", PLACES);
	ASK("room for more", PLACES + 1);
	ASK("room for less", 2);
	ASK("room for one", 1);
	ASK("room for none", 0);
	ASK("nothing but the number", 0, i.path = i.offsets = i.cookies = i.ref_ctr_offsets = 0;
	    i.path_size = 0);
	ASK("a number and no room", PLACES, i.path = i.offsets = i.cookies = i.ref_ctr_offsets = 0;
	    i.path_size = 0);
	ASK("cookies alone", PLACES, i.offsets = i.ref_ctr_offsets = 0);
	ASK("counters alone", PLACES, i.offsets = i.cookies = 0);
	ASK("cookies alone, room for less", 2, i.offsets = i.ref_ctr_offsets = 0);
	ASK("a path without its room", PLACES, i.path_size = 0);
	ASK("room for a path without it", PLACES, i.path = 0);
	ASK("room for half a path", PLACES, i.path_size = 5);
	ASK("offsets that can't be written", PLACES, i.offsets = 8);
	ASK("cookies that can't be written", PLACES, i.cookies = 8,
	    i.offsets = i.ref_ctr_offsets = 0);
	ASK("a path that can't be written", PLACES, i.path = 8);
	ASK("a large path room", PLACES, i.path_size = 1u << 20);
	{
		struct info i = all_of(PLACES);

		ask("half of the struct", fd, &i, 32);
		i = all_of(PLACES);
		ask("nothing of it", fd, &i, 0);
	}
}

static void perf_info(const char *what, int fd, __u32 room, __u64 path)
{
	struct {
		__u32 type, id, prog_id, pad, kind, pad2;
		__u64 name;
		__u32 name_len, offset;
		__u64 cookie, counter;
	} i = {.name = path, .name_len = room};
	__u32 len = sizeof(i);
	long r;

	fill();
	r = bpf_obj_get_info_by_fd(fd, (struct bpf_link_info *)&i, &len);
	say(r, "info of a perf link, %s", what);
	printf("  type %u kind %u, name %s, offset %d, cookie %llu, counter %llu, %s\n", i.type,
	       i.kind, length(i.name_len), i.offset == places[0], i.cookie, i.counter,
	       !strncmp(got_path, exe, strlen(got_path) < 4096 ? strlen(got_path) : 1) ? "right"
										       : "none");
}

static int open_event(int ret, __u64 offset)
{
	struct perf_event_attr a = {.size = sizeof(a), .config = (__u64)ret};
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "r");

	if (!f || fscanf(f, "%u", &a.type) != 1)
		a.type = ~0u;
	if (f)
		fclose(f);
	a.uprobe_path = (uintptr_t)exe;
	a.probe_offset = offset;
	return (int)syscall(SYS_perf_event_open, &a, getpid(), -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static int perf_link(int prog, int ret)
{
	LIBBPF_OPTS(bpf_link_create_opts, o, .perf_event.bpf_cookie = 77);
	int event = open_event(ret, places[0]), link;

	link = bpf_link_create(prog, event, BPF_PERF_EVENT, &o);
	close(event);
	return link;
}

static void perf_questions(int prog)
{
	say(open_event(0, 1ull << 40), "an event beyond the file");
	for (int ret = 0; ret < 2; ret++) {
		int fd = perf_link(prog, ret);

		say(fd, "a perf link, %d", ret);
		perf_info("all", fd, sizeof(got_path), (uintptr_t)got_path);
		perf_info("exactly", fd, (__u32)strlen(exe) + 1, (uintptr_t)got_path);
		perf_info("one byte less", fd, (__u32)strlen(exe), (uintptr_t)got_path);
		perf_info("half a path", fd, 5, (uintptr_t)got_path);
		perf_info("one byte", fd, 1, (uintptr_t)got_path);
		perf_info("no name", fd, 0, 0);
		perf_info("a name without room", fd, 0, (uintptr_t)got_path);
		perf_info("room without a name", fd, 100, 0);
		perf_info("a name that can't be written", fd, 100, 8);
		close(fd);
	}
}

/* --- finding ------------------------------------------------------------------------------- */

static __u32 id_of(int fd)
{
	struct info i = {0};
	__u32 len = sizeof(i);

	return bpf_obj_get_info_by_fd(fd, (struct bpf_link_info *)&i, &len) ? 0 : i.id;
}

/* How many links there are that run @prog. */
static int count_links(__u32 prog_id)
{
	__u32 id = 0, last = 0;
	int n = 0, fd;

	while (!bpf_link_get_next_id(id, &id)) {
		struct info i = {0};
		__u32 len = sizeof(i);

		if (id <= last)
			return -1;
		last = id;
		fd = bpf_link_get_fd_by_id(id);
		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, (struct bpf_link_info *)&i, &len))
			n += i.prog_id == prog_id;
		close(fd);
	}
	return n;
}

static __u32 prog_id(int fd)
{
	struct bpf_prog_info i = {0};
	__u32 len = sizeof(i);

	return bpf_obj_get_info_by_fd(fd, &i, &len) ? 0 : i.id;
}

static void finding(int multi, int other)
{
	struct attr a = good(multi);
	int one = create(&a), two = create(&a), three = perf_link(other, 0), again;
	__u32 id = id_of(one);

	printf("links of a program: %d and %d\n", count_links(prog_id(multi)),
	       count_links(prog_id(other)));
	again = bpf_link_get_fd_by_id(id);
	say(again, "a link by its id");
	close(one);
	printf("closed, with another descriptor: %d\n", count_links(prog_id(multi)));
	printf("the same: %d\n", id_of(again) == id);
	close(again);
	say(bpf_link_get_fd_by_id(id), "by its id when it is gone");
	printf("closed: %d\n", count_links(prog_id(multi)));
	say(bpf_link_get_next_id(0x7fffffff, &id), "the one after the last number");
	say(bpf_link_get_next_id(0xffffffff, &id), "the one after the last of all");
	close(two);
	close(three);
	printf("all closed: %d and %d\n", count_links(prog_id(multi)), count_links(prog_id(other)));
}

/* --- changing them ------------------------------------------------------------------------- */

static void changing(int multi, int other)
{
	struct attr a = good(multi);
	int link = create(&a), perf = perf_link(other, 0);
	LIBBPF_OPTS(bpf_link_update_opts, replace, .flags = BPF_F_REPLACE, .old_prog_fd = other);

	say(bpf_link_update(link, other, NULL), "update to a program of another attach type");
	say(bpf_link_update(link, 9999, NULL), "update to no program");
	say(bpf_link_update(link, link, NULL), "update to a link");
	say(bpf_link_update(multi, multi, NULL), "update of a program");
	replace.old_prog_fd = 9999;
	say(bpf_link_update(link, multi, &replace), "update in place of no program");
	replace.old_prog_fd = other;
	replace.flags = 0;
	say(bpf_link_update(link, multi, &replace), "update with an old program and no flag");
	replace.flags = 1u << 5;
	say(bpf_link_update(link, multi, &replace), "update with another flag");
	close(link);
	close(perf);
}

/* --- what is said of a descriptor ----------------------------------------------------------- */

/* Whose values differ from system to system. */
static int varies(const char *line, size_t n)
{
	static const char *const names[] = {
		"prog_tag", "memlock", "prog_id", "link_id", "mnt_id",	       "ino", "pos",
		"flags",    "offset",  "path",	  "pid",     "verified_insns", "name"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == n && !strncmp(line, names[i], n))
			return 1;
	return 0;
}

/* A kernel's descriptors have an inode of their own; ours are sockets. */
static int general(const char *line)
{
	return !strncmp(line, "mnt_id:", 7) || !strncmp(line, "ino:", 4) ||
	       !strncmp(line, "scm_fds:", 8);
}

static void fdinfo(const char *what, int fd)
{
	unsigned long long cookie, offset, counter;
	char path[64], line[4352];
	FILE *f;

	printf("fdinfo of %s\n", what);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		size_t n = strcspn(line, ":\n");

		if (general(line))
			continue;
		if (sscanf(line, "%llu\t 0x%llx\t 0x%llx", &cookie, &offset, &counter) == 3)
			printf("  %llu at place %d, 0x%llx\n", cookie,
			       offset == places[0]   ? 0
			       : offset == places[1] ? 1
			       : offset == places[2] ? 2
						     : -1,
			       counter);
		else if (varies(line, n))
			printf("  %.*s:\tN\n", (int)n, line);
		else
			printf("  %s", line);
	}
	if (f)
		fclose(f);
}

static void descriptors(int multi, int other)
{
	struct attr a = good(multi);
	int link = create(&a), perf = perf_link(other, 0), ret = perf_link(other, 1), back;

	a.multi_flags = FLAG_RETURN;
	back = create(&a);
	fdinfo("a program", other);
	fdinfo("a perf link", perf);
	fdinfo("a perf link at a return", ret);
	fdinfo("a link of many places", link);
	fdinfo("one at returns", back);
	close(link);
	close(perf);
	close(ret);
	close(back);
}

/* --- what a kernel can't do with these links, and ebpfrt can -------------------------------- */

static unsigned long long runs(int prog)
{
	struct bpf_prog_info i = {0};
	__u32 len = sizeof(i);

	return bpf_obj_get_info_by_fd(prog, &i, &len) ? ~0ull : i.run_cnt;
}

static void hits(const char *what, int n, int one, int two)
{
	unsigned long long a = runs(one), b = runs(two);

	while (n--)
		place_a(n);
	printf("%s: %lld and %lld\n", what, (long long)(runs(one) - a), (long long)(runs(two) - b));
}

static void updates(const char *kind, int link, int one, int two, int other)
{
	LIBBPF_OPTS(bpf_link_update_opts, replace, .flags = BPF_F_REPLACE, .old_prog_fd = two);

	printf("a link %s\n", kind);
	hits("as it was made", 5, one, two);
	say(bpf_link_update(link, other, NULL), "update to another attach type");
	say(bpf_link_update(link, two, &replace), "replace what it doesn't run");
	hits("not replaced", 4, one, two);
	replace.old_prog_fd = one;
	say(bpf_link_update(link, two, &replace), "replace what it runs");
	hits("replaced", 3, one, two);
	say(bpf_link_update(link, one, NULL), "update, whatever it runs");
	hits("updated", 2, one, two);
	say(bpf_link_detach(link), "detach");
	hits("detached", 6, one, two);
	say(bpf_link_update(link, two, NULL), "update what is detached");
	say(bpf_link_detach(link), "detach again");
	printf("it still has a number: %d\n", id_of(link) != 0);
	close(link);
}

static void changes(void)
{
	int one = load("one", MULTI), two = load("two", MULTI);
	int three = load("three", 0), four = load("four", 0);
	struct attr a = good(one);

	updates("of many places", create(&a), one, two, three);
	updates("of an event", perf_link(three, 0), three, four, one);
}

int main(int argc, char **argv)
{
	int multi, other;
	struct attr a;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) <= 0)
		return 1;
	places[0] = file_offset((const void *)place_a);
	places[1] = file_offset((const void *)place_b);
	places[2] = file_offset((const void *)place_c);
	if (argc > 1 && !strcmp(argv[1], "changes")) {
		changes();
		return 0;
	}
	multi = load("multi", MULTI);
	other = load("other", 0);
	if (multi < 0 || other < 0)
		return 2;
	creations(multi, other);
	a = good(multi);
	questions("of many places", create(&a));
	a.multi_flags = FLAG_RETURN;
	a.cookies = 0;
	questions("at returns, without cookies", create(&a));
	a.multi_flags = 0;
	a.pid = 0;
	questions("of every process", create(&a));
	perf_questions(other);
	finding(multi, other);
	changing(multi, other);
	descriptors(multi, other);
	place_a(place_b(place_c(0)));
	return 0;
}
