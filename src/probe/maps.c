/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/PID/maps as a table, sorted by address as the kernel prints it.
 *
 * The kernel escapes a newline in a path (\012) and nothing else, so a line splits at its first
 * five fields and the rest is the path. Its device number is the superblock's: where stat(2) names
 * another one (btrfs subvolumes, overlayfs before 6.8) the file is looked up through the target's
 * root, and stat's answer is taken when the inode number agrees.
 */
#include "probe/probe.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"

#define MAPS_MAX                                                                                   \
	(1u << 20) /* more than vm.max_map_count lets a process have by default, 16 times */
#define USER_LOWEST 0x10000ull
#define USER_TOP 0x7ffffffff000ull
#define HEAP_ROOM (1ull << 30)	 /* what brk() may still grow into */
#define LOW_ROOM (256ull << 20)	 /* in the first 4 GiB, which jumps of programs there can reach */
#define STACK_ROOM (64ull << 20) /* what a growing stack may still need */

static const char deleted_mark[] = " (deleted)";

static void unescape_newlines(char *path)
{
	char *to = path;

	for (const char *from = path; *from; from++) {
		if (!strncmp(from, "\\012", 4)) {
			*to++ = '\n';
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = 0;
}

static bool cut_deleted(char *path)
{
	size_t n = strlen(path), mark = sizeof(deleted_mark) - 1;

	if (n <= mark || strcmp(path + n - mark, deleted_mark))
		return false;
	path[n - mark] = 0;
	return true;
}

static u32 parse_prot(const char perms[4])
{
	return (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
	       (perms[2] == 'x' ? PROT_EXEC : 0);
}

/* One line, without its newline. */
static int parse_line(char *line, struct probe_mapping *out)
{
	struct probe_mapping m = {0};
	unsigned int major, minor;
	char perms[5];
	int used = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 "%n", &m.start,
		   &m.end, perms, &m.offset, &major, &minor, &m.file.ino, &used) != 7 ||
	    m.end <= m.start)
		return -EPROTO;
	while (line[used] == ' ')
		used++;
	m.prot = parse_prot(perms);
	m.shared = perms[3] == 's';
	m.file.dev = m.file.ino ? makedev(major, minor) : 0;
	m.path = strdup(line + used);
	if (!m.path)
		return -ENOMEM;
	m.deleted = cut_deleted(m.path);
	unescape_newlines(m.path);
	*out = m;
	return 0;
}

/* Where stat(2) knows the file by another device number, take that. */
static void settle_identity(pid_t pid, struct probe_mapping *m, const struct probe_mapping *prev)
{
	char path[4400];
	struct stat st;

	if (!m->file.ino || m->deleted || m->path[0] != '/')
		return;
	if (prev && !strcmp(prev->path, m->path) && prev->file.ino == m->file.ino) {
		m->file = prev->file;
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, m->path);
	if (!stat(path, &st) && st.st_ino == m->file.ino)
		m->file.dev = st.st_dev;
}

static int append(struct probe_maps *maps, size_t *cap, const struct probe_mapping *m)
{
	if (maps->n >= MAPS_MAX)
		return -E2BIG;
	if (maps->n == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		struct probe_mapping *v = reallocarray(maps->v, more, sizeof(*v));

		if (!v)
			return -ENOMEM;
		maps->v = v;
		*cap = more;
	}
	maps->v[maps->n++] = *m;
	return 0;
}

static int read_lines(FILE *f, pid_t pid, struct probe_maps *maps)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0, cap = 0;
	ssize_t n;

	while ((n = getline(&line, &size, f)) > 0) {
		struct probe_mapping m;
		int err;

		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		err = parse_line(line, &m);
		if (err)
			return err;
		settle_identity(pid, &m, maps->n ? &maps->v[maps->n - 1] : NULL);
		err = append(maps, &cap, &m);
		if (err) {
			free(m.path);
			return err;
		}
	}
	return ferror(f) ? -EIO : 0;
}

int probe_maps_read(pid_t pid, struct probe_maps *out)
{
	_cleanup_fclose_ FILE *f = NULL;
	struct probe_maps maps = {0};
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	err = read_lines(f, pid, &maps);
	if (err) {
		probe_maps_free(&maps);
		return err;
	}
	*out = maps;
	return 0;
}

void probe_maps_free(struct probe_maps *maps)
{
	for (size_t i = 0; i < maps->n; i++)
		free(maps->v[i].path);
	free(maps->v);
	*maps = (struct probe_maps){0};
}

const struct probe_mapping *probe_maps_find(const struct probe_maps *maps,
					    const struct osl_ident *file, u64 offset)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct probe_mapping *m = &maps->v[i];

		if (m->prot & PROT_EXEC && m->file.ino == file->ino && m->file.dev == file->dev &&
		    offset >= m->offset && offset - m->offset < m->end - m->start)
			return m;
	}
	return NULL;
}

/* --- gaps --- */

static u64 distance(u64 a, u64 b)
{
	return a > b ? a - b : b - a;
}

/* The start nearest to @near such that @size bytes lie in [from, to); 0 when it does not fit. */
static u64 place(u64 from, u64 to, u64 near, u64 size)
{
	from = ALIGN_UP(from, EBPFRT_PAGE_SIZE);
	if (to < size || to - size < from)
		return 0;
	to = ALIGN_DOWN(to - size, EBPFRT_PAGE_SIZE);
	if (to < from)
		return 0;
	near = ALIGN_DOWN(near, EBPFRT_PAGE_SIZE);
	return near < from ? from : near > to ? to : near;
}

u64 probe_heap_room(u64 start, u64 end)
{
	return end >> 32 ? HEAP_ROOM : MAX(LOW_ROOM, 2 * (end - start));
}

/* The heap grows up and the stack down: leave them room, else the target would run out for us. */
static void keep_room(const struct probe_mapping *below, const struct probe_mapping *above,
		      u64 *from, u64 *to)
{
	if (below && !strcmp(below->path, "[heap]"))
		*from += MIN(probe_heap_room(below->start, below->end), *to - *from);
	if (above && !strcmp(above->path, "[stack]"))
		*to -= MIN(STACK_ROOM, *to - *from);
}

u64 probe_maps_gap(const struct probe_maps *maps, u64 lo, u64 hi, u64 near, u64 size)
{
	u64 best = 0, end = hi == ~0ull ? hi : hi + 1;

	size = ALIGN_UP(size, EBPFRT_PAGE_SIZE);
	for (size_t i = 0; size && i <= maps->n; i++) {
		const struct probe_mapping *below = i ? &maps->v[i - 1] : NULL;
		const struct probe_mapping *above = i < maps->n ? &maps->v[i] : NULL;
		u64 from = below ? below->end : USER_LOWEST, at;
		u64 to = above ? MIN(above->start, USER_TOP) : USER_TOP;

		if (from >= to)
			continue;
		keep_room(below, above, &from, &to);
		at = place(MAX(from, lo), MIN(to, end), near, size);
		if (at && (!best || distance(at, near) < distance(best, near)))
			best = at;
	}
	return best;
}

/* Of the first mapping that begins above @addr: its number. */
static size_t first_above(const struct probe_maps *maps, u64 addr)
{
	size_t lo = 0, hi = maps->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (maps->v[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool probe_maps_is_free(const struct probe_maps *maps, u64 addr, u64 size)
{
	size_t i = first_above(maps, addr);
	const struct probe_mapping *below = i ? &maps->v[i - 1] : NULL;
	const struct probe_mapping *above = i < maps->n ? &maps->v[i] : NULL;
	u64 from = below ? below->end : USER_LOWEST;
	u64 to = above ? MIN(above->start, USER_TOP) : USER_TOP;

	if (from >= to)
		return false;
	keep_room(below, above, &from, &to);
	return addr >= MAX(from, USER_LOWEST) && addr <= to && size <= to - addr;
}

u64 probe_maps_above(const struct probe_maps *maps, u64 addr)
{
	size_t i = first_above(maps, addr);

	while (i < maps->n && (!maps->v[i].path[0] || strstr(maps->v[i].path, "ebpfrt-slots")))
		i++;
	return i < maps->n ? maps->v[i].start : ~0ull;
}
