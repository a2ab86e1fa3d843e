// SPDX-License-Identifier: BSD-2-Clause
/*
 * The same objects in the kernel, for comparison: attaches every uprobe of OBJECT to PROGRAM
 *through the kernel's own bpf(2), each with a perf event or, with --multi, with a link of many
 *places; then runs PROGRAM with ARGS, and empties its ring buffers meanwhile. Ends with status 77
 *and a reason where that can't be had.
 *
 *	kernel [--multi] OBJECT PROGRAM ARGS...
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include <bpf/bpf.h>
#include <gelf.h>
#include <fcntl.h>

/* of newer headers than may be installed */
#define ATTACH_UPROBE_MULTI 48
#define LINK_CREATE 28
#define MULTI_RETURN 1

struct multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid;
};

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

static int unavailable(const char *what, int err)
{
	fprintf(stderr, "kernel uprobes: %s: %s\n", what, strerror(err < 0 ? -err : err));
	return 77;
}

static const char *function_of(const struct bpf_program *prog)
{
	return strchr(bpf_program__section_name(prog), ':') + 1;
}

static bool is_return(const struct bpf_program *prog)
{
	return !strncmp(bpf_program__section_name(prog), "uretprobe", 9);
}

/* Where the file holds @name; its segments' offsets are their addresses less @bias. */
static uint64_t offset_in(Elf *elf, const char *name)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	GElf_Sym sym;
	GElf_Phdr ph;
	size_t n = 0;

	elf_getphdrnum(elf, &n);
	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_SYMTAB)
			continue;
		for (size_t i = 0; i < sh.sh_size / sh.sh_entsize; i++) {
			gelf_getsym(elf_getdata(scn, NULL), (int)i, &sym);
			if (strcmp(elf_strptr(elf, sh.sh_link, sym.st_name), name))
				continue;
			for (size_t k = 0; k < n; k++)
				if (gelf_getphdr(elf, (int)k, &ph) && ph.p_type == PT_LOAD &&
				    sym.st_value - ph.p_vaddr < ph.p_memsz)
					return sym.st_value - ph.p_vaddr + ph.p_offset;
		}
	}
	return 0;
}

static uint64_t offset_of(const char *path, const char *name)
{
	int fd = open(path, O_RDONLY);
	Elf *elf;
	uint64_t at = 0;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf)
		at = offset_in(elf, name);
	elf_end(elf);
	close(fd);
	return at;
}

static int attach_multi(struct bpf_program *prog, const char *path)
{
	uint64_t offset = offset_of(path, function_of(prog));
	struct multi_attr attr = {
		.prog_fd = (uint32_t)bpf_program__fd(prog),
		.attach_type = ATTACH_UPROBE_MULTI,
		.path = (uint64_t)(uintptr_t)path,
		.offsets = (uint64_t)(uintptr_t)&offset,
		.cnt = 1,
		.multi_flags = is_return(prog) ? MULTI_RETURN : 0,
	};

	return syscall(__NR_bpf, LINK_CREATE, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static int attach_one(struct bpf_program *prog, const char *path)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts);

	opts.func_name = function_of(prog);
	opts.retprobe = is_return(prog);
	return bpf_program__attach_uprobe_opts(prog, -1, path, 0, &opts) ? 0 : -errno;
}

static int on_record(void *ctx, void *data, size_t size)
{
	return 0;
}

static struct ring_buffer *rings_of(struct bpf_object *obj)
{
	struct ring_buffer *rings = NULL;
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF && !rings)
		rings = ring_buffer__new(bpf_map__fd(map), on_record, NULL, NULL);
	return rings;
}

int main(int argc, char **argv)
{
	bool multi = argc > 1 && !strcmp(argv[1], "--multi");
	struct ring_buffer *rings;
	struct bpf_program *prog;
	struct bpf_object *obj;
	int err, status = 0;
	pid_t pid;

	argv += multi;
	if (argc < 3 + multi)
		return 2;
	libbpf_set_print(quiet);
	if (geteuid())
		return unavailable("need root", EPERM);
	obj = bpf_object__open(argv[1]);
	if (!obj)
		return unavailable("open", errno);
	bpf_object__for_each_program(prog, obj) if (multi)
		bpf_program__set_expected_attach_type(prog, ATTACH_UPROBE_MULTI);
	err = bpf_object__load(obj);
	if (err)
		return unavailable("load", err);
	bpf_object__for_each_program(prog, obj)
	{
		err = multi ? attach_multi(prog, argv[2]) : attach_one(prog, argv[2]);
		if (err)
			return unavailable("attach", err);
	}
	rings = rings_of(obj);
	pid = fork();
	if (!pid) {
		execv(argv[2], argv + 2);
		_exit(127);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		if (rings)
			ring_buffer__poll(rings, 1);
		else
			usleep(1000);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
