/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a spec to places: which file, then which offsets in it.
 *
 * Rules for the file, in this order: /proc/self/exe and the empty name are the target's executable;
 * a name with a slash is that file; else what the target has mapped under that name (so that
 * libc.so.6 is the libc of that process, container or not), or the loader will map with the
 * command; else libbpf's search: $LD_LIBRARY_PATH and the library directories for *.so*, $PATH for
 * the rest. "c" and "libc" stand for libc.so.*.
 */
#include "cli/spec.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "probe/probe.h"

#define MULTI_MAX 32768

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Is the file @base what a person means by @name: itself, or name.so..., libname.so...? */
static bool is_called(const char *base, const char *name)
{
	size_t n = strlen(name);

	if (!strcmp(base, name))
		return true;
	if (strchr(name, '.'))
		return false;
	if (!strncmp(base, name, n) && !strncmp(base + n, ".so", 3))
		return true;
	return !strncmp(base, "lib", 3) && !strncmp(base + 3, name, n) &&
	       !strncmp(base + 3 + n, ".so", 3);
}

/* Is it so called by those that need it (libz.so.1, the file libz.so.1.2.13)? */
static bool has_soname(const char *path, const char *name)
{
	struct probe_needed needed;
	bool so;

	if (probe_needed_read(path, &needed))
		return false;
	so = needed.soname && is_called(needed.soname, name);
	probe_needed_free(&needed);
	return so;
}

static int refuse_deleted(const char *path, pid_t pid, char *why)
{
	snprintf(why, SPEC_WHY_MAX,
		 "%s, which process %d has mapped, was deleted or replaced on disk: restart the "
		 "process, then attach",
		 path, pid);
	return -ESTALE;
}

static int has_ended(pid_t pid, char *why)
{
	snprintf(why, SPEC_WHY_MAX, "process %d has ended", pid);
	return -ESRCH;
}

/* Its root may lie deeper than the one its mappings are named from. */
static bool in_its_root(const struct probe_mapping *m, pid_t pid, char *path)
{
	struct stat st;

	for (const char *name = m->path; name; name = strchr(name + 1, '/'))
		if (snprintf(path, PATH_MAX, "/proc/%d/root%s", pid, name) < PATH_MAX &&
		    !stat(path, &st) && st.st_ino == m->file.ino)
			return true;
	return false;
}

int spec_reach(const struct probe_mapping *m, pid_t pid, char path[PATH_MAX],
	       char why[SPEC_WHY_MAX])
{
	struct stat st;

	if (m->deleted)
		return refuse_deleted(m->path, pid, why);
	snprintf(path, PATH_MAX, "%s", m->path);
	if (!stat(path, &st) && st.st_ino == m->file.ino)
		return 0;
	if (in_its_root(m, pid, path))
		return 0;
	/* some file systems number files otherwise in mappings */
	if (snprintf(path, PATH_MAX, "/proc/%d/root%s", pid, m->path) < PATH_MAX &&
	    !stat(path, &st))
		return 0;
	snprintf(why, SPEC_WHY_MAX, "%s of process %d can't be opened: %s", m->path, pid,
		 strerror(errno));
	return -errno;
}

/* Does the mapping before it, of the same file, stand for it? */
static bool is_repeated(const struct probe_maps *maps, size_t i)
{
	const struct probe_mapping *m = &maps->v[i];

	for (size_t k = 0; k < i; k++) {
		if (maps->v[k].file.ino == m->file.ino && maps->v[k].file.dev == m->file.dev)
			return true;
	}
	return false;
}

/* Of mapping @i, the first of its file: is it called so, or does it say that it is (@so)? */
static bool is_wanted(const struct probe_maps *maps, size_t i, const char *name, pid_t pid, bool so)
{
	const struct probe_mapping *m = &maps->v[i];
	char path[PATH_MAX], why[SPEC_WHY_MAX];

	if (!m->path || m->path[0] != '/' || is_repeated(maps, i))
		return false;
	if (is_called(base_name(m->path), name))
		return !so;
	return so && !m->deleted && !spec_reach(m, pid, path, why) && has_soname(path, name);
}

/* The @nth of them: 1 found, 0 not mapped, -errno. */
static int find_mapped(const char *name, pid_t pid, u32 nth, char *path, char *why)
{
	struct probe_maps maps = {0};
	int found = 0, err = probe_maps_read(pid, &maps);

	if (err == -ESRCH || err == -ENOENT)
		return has_ended(pid, why);
	if (err) {
		snprintf(why, SPEC_WHY_MAX, "the mappings of process %d can't be read: %s", pid,
			 strerror(-err));
		return err;
	}
	for (int so = 0; so < 2 && !found; so++) {
		for (size_t i = 0; i < maps.n && !found; i++) {
			if (!is_wanted(&maps, i, name, pid, so) || nth--)
				continue;
			found = spec_reach(&maps.v[i], pid, path, why);
			found = found ? found : 1;
		}
	}
	probe_maps_free(&maps);
	return found;
}

static int take_mapped(const struct probe_mapping *m, pid_t pid, struct probe_files *files)
{
	char path[PATH_MAX], why[SPEC_WHY_MAX];

	return spec_reach(m, pid, path, why) ? 0 : probe_files_add(files, path);
}

int spec_mapped_files(pid_t pid, struct probe_files *out)
{
	struct probe_files files = {0};
	struct probe_maps maps = {0};
	int err = probe_maps_read(pid, &maps);

	for (size_t i = 0; !err && i < maps.n; i++) {
		const struct probe_mapping *m = &maps.v[i];

		if (m->path && m->path[0] == '/' && !is_repeated(&maps, i))
			err = take_mapped(m, pid, &files);
	}
	probe_maps_free(&maps);
	if (err)
		probe_files_free(&files);
	else
		*out = files;
	return err;
}

static bool search_dirs(const char *dirs, const char *name, int mode, char *path)
{
	while (dirs && *dirs) {
		int n = (int)strcspn(dirs, ":");
		struct stat st;

		if (n && snprintf(path, PATH_MAX, "%.*s/%s", n, dirs, name) < PATH_MAX &&
		    !access(path, mode) && !stat(path, &st) && S_ISREG(st.st_mode))
			return true;
		dirs += n;
		dirs += *dirs == ':';
	}
	return false;
}

static bool search(const char *name, char *path)
{
	static const char *const libs = "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:"
					"/lib/aarch64-linux-gnu:/usr/lib/aarch64-linux-gnu:"
					"/usr/lib64:/usr/lib:/lib64:/lib";
	const char *so = strstr(name, ".so");

	if (so && (!so[3] || so[3] == '.'))
		return search_dirs(getenv("LD_LIBRARY_PATH"), name, R_OK, path) ||
		       search_dirs(libs, name, R_OK, path);
	return search_dirs(getenv("PATH"), name, R_OK | X_OK, path) ||
	       search_dirs("/usr/bin:/usr/sbin", name, R_OK | X_OK, path);
}

/* What the loader will map with the command, which knows where (RUNPATH, LD_LIBRARY_PATH). */
static bool find_needed(const char *name, const char *exe, char *path)
{
	struct probe_files files = {0};
	bool found = false;

	probe_files_needed(exe, &files);
	for (u32 i = 1; i < files.n && !found; i++) {
		found = is_called(base_name(files.v[i]), name) || has_soname(files.v[i], name);
		if (found)
			snprintf(path, PATH_MAX, "%s", files.v[i]);
	}
	probe_files_free(&files);
	return found;
}

static bool search_short(const char *name, char *path)
{
	static const char *const forms[] = {"%s",	  "lib%s.so",	"lib%s.so.6",
					    "lib%s.so.1", "lib%s.so.2", "lib%s.so.3",
					    "%s.so.6",	  "%s.so.1",	"%s.so"};
	char full[NAME_MAX];

	if (strlen(name) > NAME_MAX - 16)
		return false;
	for (size_t i = 0; i < (strchr(name, '.') ? 1 : ARRAY_SIZE(forms)); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(full, sizeof(full), forms[i], name);
#pragma GCC diagnostic pop
		if (search(full, path))
			return true;
	}
	return false;
}

static int find_exe(const struct spec_scope *scope, char *path, char *why)
{
	char link[64];
	ssize_t n;
	struct stat st;

	if (!scope->pid && !scope->exe) {
		snprintf(why, SPEC_WHY_MAX,
			 "the program probes its target's executable: say which, with -p PID");
		return -EINVAL;
	}
	if (!scope->pid) {
		snprintf(path, PATH_MAX, "%s", scope->exe);
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/%d/exe", scope->pid);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0 && (errno == ENOENT || errno == ESRCH))
		return has_ended(scope->pid, why);
	if (n < 0) {
		snprintf(why, SPEC_WHY_MAX, "the executable of process %d can't be named: %s",
			 scope->pid, strerror(errno));
		return -errno;
	}
	path[n] = 0;
	if (stat(path, &st))
		snprintf(path, PATH_MAX, "/proc/%d/exe", scope->pid);
	return 0;
}

static bool is_exe_name(const char *name, const struct spec_scope *scope)
{
	char path[PATH_MAX], why[SPEC_WHY_MAX];

	if (!*name || !strcmp(name, "/proc/self/exe"))
		return true;
	if (strchr(name, '/') || (!scope->pid && !scope->exe))
		return false;
	return !find_exe(scope, path, why) && !strcmp(base_name(path), name);
}

int spec_find_file(const char *name, const struct spec_scope *scope, char *path,
		   char why[SPEC_WHY_MAX])
{
	int found;

	if (scope->mapped && (!*name || strchr(name, '/')))
		return -ENOENT;
	if (!scope->nth && is_exe_name(name, scope))
		return find_exe(scope, path, why);
	if (strchr(name, '/')) {
		if (realpath(name, path))
			return 0;
		snprintf(why, SPEC_WHY_MAX, "%s: %s", name, strerror(errno));
		return -errno;
	}
	if (scope->pid) {
		found = find_mapped(name, scope->pid, scope->nth, path, why);
		if (found)
			return found < 0 ? found : 0;
	}
	if (scope->mapped)
		return -ENOENT;
	if (scope->exe && !scope->pid && find_needed(name, scope->exe, path))
		return 0;
	if (search_short(name, path))
		return 0;
	snprintf(why, SPEC_WHY_MAX,
		 "no file '%s': not mapped by the target, nor where libraries and "
		 "programs are looked for; give its full path",
		 name);
	return -ENOENT;
}

/*
 * What an IFUNC of a library that this process has loaded, too, was resolved to. Resolvers choose
 * by CPU, so the target of the same file on this machine got the same. 0 or -ENOENT.
 */
static int resolve_ifunc(const struct place *place, const char *func, u64 *offset)
{
	void *handle = dlopen(place->path, RTLD_LAZY | RTLD_NOLOAD), *addr;
	struct probe_maps maps = {0};
	char name[SPEC_TEXT_MAX];
	int err = -ENOENT;

	if (!handle)
		return -ENOENT;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(func, "@"), func);
	addr = dlsym(handle, name);
	if (addr && !probe_maps_read(getpid(), &maps)) {
		for (size_t i = 0; err && i < maps.n; i++) {
			const struct probe_mapping *m = &maps.v[i];

			if ((u64)addr < m->start || (u64)addr >= m->end ||
			    m->file.ino != place->ino)
				continue;
			*offset = (u64)addr - m->start + m->offset;
			err = 0;
		}
		probe_maps_free(&maps);
	}
	dlclose(handle);
	return err;
}

static int refuse_ifunc(const struct place *place, const char *func, char *why)
{
	snprintf(
		why, SPEC_WHY_MAX,
		"%s in %s is an IFUNC: the loader chooses its implementation at run time and which "
		"can't be told from here; name the implementation itself (`nm -D` or `readelf -s` "
		"list them)",
		func, place->path);
	return -EOPNOTSUPP;
}

/* File offset of virtual address @addr: the program headers say. */
static int addr_to_offset(const char *path, u64 addr, u64 *offset)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr eh;

	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_ident[EI_CLASS] != ELFCLASS64)
		return -ENOEXEC;
	for (u32 i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		if (pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) != sizeof(ph))
			return -ENOEXEC;
		if (ph.p_type == PT_LOAD && addr >= ph.p_vaddr && addr - ph.p_vaddr < ph.p_filesz) {
			*offset = addr - ph.p_vaddr + ph.p_offset;
			return 0;
		}
	}
	return -ENOENT;
}

static int place_address(const struct spec *spec, struct place *place, char *why)
{
	u64 addr = strtoull(spec->func, NULL, 0);

	if (addr_to_offset(place->path, addr, &place->offset)) {
		snprintf(why, SPEC_WHY_MAX, "address %s lies in no segment of %s", spec->func,
			 place->path);
		return -EINVAL;
	}
	place->offset += spec->offset;
	place->name[0] = 0;
	return 0;
}

static int place_function(struct probe_elf *elf, const struct spec *spec, struct place *place,
			  char *why)
{
	struct probe_symbol sym;
	char reason[PROBE_WHY_MAX] = "";
	int err;

	if (spec->func[0] >= '0' && spec->func[0] <= '9')
		return place_address(spec, place, why);
	err = probe_elf_symbol(elf, spec->func, &sym, reason);
	if (err) {
		snprintf(why, SPEC_WHY_MAX, "%s", reason);
		return err;
	}
	place->offset = sym.offset;
	if (sym.ifunc && resolve_ifunc(place, spec->func, &place->offset))
		return refuse_ifunc(place, spec->func, why);
	if (spec->offset && sym.size && spec->offset >= sym.size) {
		snprintf(why, SPEC_WHY_MAX,
			 "%s+0x%llx lies outside the function, which has %llu bytes", spec->func,
			 (unsigned long long)spec->offset, (unsigned long long)sym.size);
		return -EINVAL;
	}
	place->offset += spec->offset;
	return 0;
}

void place_deinit(struct place *place)
{
	for (u32 i = 0; i < place->npoints; i++)
		free(place->points[i].name);
	free(place->points);
	place->points = NULL;
	place->npoints = 0;
}

struct multi {
	const struct spec *spec;
	struct place *place;
	bool full;
};

static int take_match(const struct probe_symbol *sym, void *cookie)
{
	struct multi *m = cookie;
	struct place *p = m->place;

	if (sym->ifunc || fnmatch(m->spec->func, sym->name, 0))
		return 0;
	if (p->npoints == MULTI_MAX) {
		m->full = true;
		return 1;
	}
	if (!(p->npoints & (p->npoints - 1))) {
		struct point *v =
			realloc(p->points, (p->npoints ? 2 * p->npoints : 1) * sizeof(*v));

		if (!v)
			return -ENOMEM;
		p->points = v;
	}
	p->points[p->npoints] = (struct point){sym->offset, strdup(sym->name), 0};
	return p->points[p->npoints++].name ? 0 : -ENOMEM;
}

/* Of a function's names the one that people call it by comes first. */
static int point_cmp(const void *a, const void *b)
{
	const struct point *x = a, *y = b;
	const bool inner_x = x->name[0] == '_', inner_y = y->name[0] == '_';

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return inner_x != inner_y ? inner_x - inner_y : strcmp(x->name, y->name);
}

/* Several names of one function are one point. */
static void unite_points(struct place *p)
{
	u32 n = 0;

	qsort(p->points, p->npoints, sizeof(*p->points), point_cmp);
	for (u32 i = 0; i < p->npoints; i++) {
		if (n && p->points[n - 1].offset == p->points[i].offset)
			free(p->points[i].name);
		else
			p->points[n++] = p->points[i];
	}
	p->npoints = n;
}

static int place_glob(struct probe_elf *elf, const struct spec *spec, struct place *place,
		      char *why)
{
	struct multi m = {.spec = spec, .place = place};
	int err = probe_elf_each(elf, take_match, &m);

	if (m.full) {
		snprintf(why, SPEC_WHY_MAX, "'%s' matches more than %d functions of %s: narrow it",
			 spec->func, MULTI_MAX, place->path);
		err = -E2BIG;
	} else if (!err && !place->npoints) {
		snprintf(why, SPEC_WHY_MAX,
			 "no function of %s matches '%s'; `ebpfrt list` shows which there are",
			 place->path, spec->func);
		err = -ENOENT;
	} else if (err < 0) {
		snprintf(why, SPEC_WHY_MAX, "%s: %s", place->path, strerror(-err));
	} else {
		unite_points(place);
	}
	if (err)
		place_deinit(place);
	return err;
}

/*
 * Files that have been opened stay so until the command ends: each program in each of many
 * processes asks for the same few, and to read the symbols takes longer than all the rest.
 */
#define KEPT 16u
static struct kept {
	struct stat st;
	struct probe_elf *elf;
} kept[KEPT];
static u32 nkept;

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int open_kept(const char *path, const struct stat *st, struct probe_elf **out,
		     char why[PROBE_WHY_MAX])
{
	struct kept *k;
	int err;

	for (u32 i = 0; i < MIN(nkept, KEPT); i++)
		if (is_same(&kept[i].st, st)) {
			*out = kept[i].elf;
			return 0;
		}
	err = probe_elf_open(path, out, why);
	if (err)
		return err;
	k = &kept[nkept++ % KEPT];
	probe_elf_free(&k->elf);
	*k = (struct kept){*st, *out};
	return 0;
}

int spec_resolve(const struct spec *spec, const struct spec_scope *scope, struct place *out,
		 char why[SPEC_WHY_MAX])
{
	struct probe_elf *elf = NULL;
	struct place place = {0};
	char reason[PROBE_WHY_MAX] = "";
	struct stat st;
	int err;

	err = spec_find_file(spec->path, scope, place.path, why);
	if (err)
		return err;
	if (stat(place.path, &st)) {
		snprintf(why, SPEC_WHY_MAX, "%s: %s", place.path, strerror(errno));
		return -errno;
	}
	place.dev = st.st_dev;
	place.ino = st.st_ino;
	snprintf(place.name, sizeof(place.name), "%s", spec->func);
	err = open_kept(place.path, &st, &elf, reason);
	if (err) {
		snprintf(why, SPEC_WHY_MAX, "%s", reason);
		return err;
	}
	if (spec->kind == SPEC_MULTI)
		err = place_glob(elf, spec, &place, why);
	if (spec->kind == SPEC_UPROBE)
		err = place_function(elf, spec, &place, why);
	if (err == -ENOENT && spec->kind == SPEC_UPROBE && strpbrk(spec->func, "*?["))
		snprintf(why, SPEC_WHY_MAX,
			 "no function is called '%s' in %s; globs are for uprobe.multi, "
			 "uretprobe.multi and uprobe.session",
			 spec->func, place.path);
	if (!err)
		*out = place;
	return err;
}
