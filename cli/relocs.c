/* SPDX-License-Identifier: BSD-2-Clause */
/* CO-RE relocations, tried: see relocs.h. */
#include "cli/relocs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "btf/btf.h"
#include "cli/out.h"
#include "surface/surface.h"

#define CPU_SECONDS 60

static struct relocs *found; /* in the child */

/* --- what libbpf says ---------------------------------------------------------------------------
 */

/* "<byte_off> [2] struct data.c (0:1 @ offset 4)", "<enumval_value> [9] enum col::GREEN = 5" */
static void begin_reloc(const char *prog, size_t prog_len, u32 n, const char *text)
{
	const char *kind = text + 1, *field = strstr(text, "] ");
	struct reloc *r = found->v + found->n;
	size_t len;

	if (!field)
		return;
	if (found->n == RELOCS_MAX) {
		found->dropped++;
		return;
	}
	*r = (struct reloc){.n = n};
	snprintf(r->prog, sizeof(r->prog), "%.*s", (int)prog_len, prog);
	snprintf(r->kind, sizeof(r->kind), "%.*s", (int)strcspn(kind, ">"), kind);
	field += 2;
	len = strstr(field, " (") ? (size_t)(strstr(field, " (") - field) : strcspn(field, "\n");
	if (!strncmp(r->kind, "enumval", 7) && strstr(field, " = "))
		len = (size_t)(strstr(field, " = ") - field);
	snprintf(r->field, sizeof(r->field), "%.*s", (int)len, field);
	found->n++;
}

/* "patched insn #2 (LDX/ST/STX) off 4 -> 8"; a second line says another part of it. */
static void end_reloc(struct reloc *r, const char *text)
{
	const char *value = strstr(text, "-> ");
	size_t n = strlen(r->value);

	r->done = true;
	if (!strncmp(text, "patched insn", 12) && value)
		snprintf(r->value + n, sizeof(r->value) - n, "%s%.*s", n ? "/" : "",
			 (int)strcspn(value + 3, "\n"), value + 3);
}

static void take_line(const char *line)
{
	const char *prog = line + strlen("libbpf: prog '"), *end, *text;
	struct reloc *last = found->n ? found->v + found->n - 1 : NULL;
	unsigned int n;

	if (strncmp(line, "libbpf: prog '", strlen("libbpf: prog '")))
		return;
	end = strstr(prog, "': relo #");
	if (!end || sscanf(end, "': relo #%u:", &n) != 1)
		return;
	text = strchr(end + 9, ':') + 1;
	text += *text == ' ';
	if (*text == '<')
		begin_reloc(prog, (size_t)(end - prog), n, text);
	else if (last && (!strncmp(text, "patched insn", 12) || !strncmp(text, "substituting", 12)))
		end_reloc(last, text);
	else if (last && strstr(text, "ambiguity"))
		last->ambiguous = true;
}

static int on_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[1024];

	vsnprintf(line, sizeof(line), fmt, ap);
	take_line(line);
	if (level == LIBBPF_WARN && !found->err) {
		line[strcspn(line, "\n")] = 0;
		snprintf(found->said, sizeof(found->said), "%.*s", (int)sizeof(found->said) - 1,
			 line);
	}
	return 0;
}

/* --- the child ----------------------------------------------------------------------------------
 */

static long answer(int cmd, void *attr, u32 size)
{
	switch (cmd) {
	case BPF_MAP_CREATE:
	case BPF_PROG_LOAD:
	case BPF_BTF_LOAD: {
		int fd = memfd_create("nothing", MFD_CLOEXEC);

		return fd < 0 ? -errno : fd;
	}
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_PROG_BIND_MAP:
		return 0;
	case BPF_OBJ_GET:
		return -ENOENT;
	default:
		return -EINVAL;
	}
}

static int load(const char *object, const char *types)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = types);
	struct bpf_object *obj = bpf_object__open_file(object, &opts);
	struct bpf_program *prog;
	struct bpf_map *map;

	if (!obj)
		return -errno;
	bpf_object__for_each_program (prog, obj)
		bpf_program__set_autoload(prog, true);
	bpf_object__for_each_map (map, obj)
		bpf_map__set_pin_path(map, NULL);
	return bpf_object__load(obj);
}

static void limit(void)
{
	struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS + 1}, core = {0, 0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
}

static void in_child(const char *object, const char *types, struct relocs *r)
{
	limit();
	found = r;
	surface_answer(answer);
	libbpf_set_print(on_print);
	r->err = load(object, types);
	_exit(0);
}

/* --- the parent ---------------------------------------------------------------------------------
 */

static int types_file(struct btf *types, char path[64])
{
	_cleanup_close_ int fd = memfd_create("ebpfrt-btf", MFD_CLOEXEC);
	_cleanup_btf_ struct btf *all = NULL;
	const void *data;
	u32 len;
	int err = btf_builtin(&all);

	if (fd < 0 || err)
		return fd < 0 ? -errno : err;
	err = btf__add_btf(all, types);
	if (err >= 0)
		err = btf_names_for_c(all);
	data = err < 0 ? NULL : btf__raw_data(all, &len);
	if (!data)
		return -ENOMEM;
	err = write_full(fd, data, len, IO_HERE);
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return err ? err : TAKE_FD(fd);
}

void relocs_free(struct relocs **r)
{
	if (*r)
		munmap(*r, sizeof(**r));
}

static int run(const char *object, const char *types, struct relocs *r)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid)
		in_child(object, types, r);
	status = wait_child(pid);
	if (status < 0)
		return status;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EBADMSG;
}

/* What a child that went wrong may have left. */
static void check(struct relocs *r)
{
	r->n = MIN(r->n, RELOCS_MAX);
	r->said[sizeof(r->said) - 1] = 0;
	for (u32 i = 0; i < r->n; i++) {
		struct reloc *one = r->v + i;

		one->prog[sizeof(one->prog) - 1] = 0;
		one->kind[sizeof(one->kind) - 1] = 0;
		one->field[sizeof(one->field) - 1] = 0;
		one->value[sizeof(one->value) - 1] = 0;
	}
}

static int refuse(const char *object, const struct relocs *r, int err)
{
	char clean[512];

	if (err == -EBADMSG)
		out_error("libbpf crashed while relocating %s, which is malformed\n"
			  "  compile it anew, or see what `llvm-readelf -a` makes of it",
			  object);
	else if (err == -ENOENT)
		out_error("cannot open %s: %s", object, strerror(ENOENT));
	else
		out_error("%s can't be relocated: %s", object,
			  *r->said ? out_clean(r->said, clean, sizeof(clean)) : strerror(-err));
	return err;
}

int relocs_try(const char *object, struct btf *types, struct relocs **out)
{
	_cleanup_(relocs_free) struct relocs *r = NULL;
	_cleanup_close_ int fd = -1;
	char path[64];
	void *shared;
	int err;

	fd = types_file(types, path);
	if (fd < 0)
		return out_error("cannot write the types: %s", strerror(-fd)), fd;
	shared = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return out_error("out of memory"), -ENOMEM;
	r = shared;
	err = run(object, path, r);
	check(r);
	if (err || (r->err && !r->n))
		return refuse(object, r, err ? err : r->err);
	*out = TAKE_PTR(r);
	return 0;
}
