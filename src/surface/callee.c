/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of targets that programs call.
 *
 * Model: libbpf finds them as it finds kernel functions, by name in the types that stand for the
 * kernel's; whoever allows them hands over types in which they are. With a program go those that it
 * calls. Set once, before anything is loaded: by a call, or by descriptors that the environment
 * names.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/run/callee.h"
#include "surface/internal.h"
#include "surface/surface.h"

static const struct ebpf_callee *allowed;
static u32 nallowed;
static int types = -1;

void surface_allow_calls(const struct ebpf_callee *callees, u32 n, int fd)
{
	allowed = callees;
	nallowed = n;
	types = fd;
}

/* --- handed down ----------------------------------------------------------------------------- */

static struct ebpf_callee handed[EBPF_CALLEES_MAX];

/* How many there are, 0 when it isn't what we were told. */
static u32 read_list(int fd)
{
	long n = sys_call4(SYS_pread64, fd, handed, sizeof(handed), 0);

	if (n <= 0 || n % (long)sizeof(handed[0]))
		return 0;
	for (u32 i = 0; i < n / sizeof(handed[0]); i++)
		if (!ebpf_callee_ok(&handed[i]))
			return 0;
	return (u32)(n / sizeof(handed[0]));
}

static void take_handed(void)
{
	const char *text = secure_getenv(SURFACE_CALLEES);
	struct osl_ident file;
	int list, fd;
	u32 n;

	if (!text || types >= 0)
		return;
	n = sscanf(text, "%d:%d", &list, &fd) == 2 && !sys_ident(fd, &file) ? read_list(list) : 0;
	if (n)
		surface_allow_calls(handed, n, fd);
	else
		surface_report("the functions that --allow-call names are not known in process %d: "
			       "its descriptors %s were closed; start it with `ebpfrt exec` itself",
			       sys_getpid(), text);
}

static void take_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, take_handed);
}

int surface_callee_types(void)
{
	take_once();
	return types;
}

/* --- what a program calls -------------------------------------------------------------------- */

static bool names(const struct bpf_insn *in, u32 id)
{
	const bool call = in->code == (BPF_JMP | BPF_CALL) &&
			  in->src_reg == BPF_PSEUDO_KFUNC_CALL && !in->off;
	const bool address =
		in->code == (BPF_LD | BPF_DW | BPF_IMM) && in->src_reg == BPF_PSEUDO_BTF_ID;

	return (call || address) && (u32)in->imm == id;
}

static bool is_named(const struct bpf_insn *insns, u32 n, u32 id)
{
	for (u32 i = 0; i < n; i++) {
		if (names(&insns[i], id))
			return true;
		i += insns[i].code == (BPF_LD | BPF_DW | BPF_IMM);
	}
	return false;
}

struct ebpf_callee *surface_callees_of(const struct bpf_insn *insns, u32 n, u32 *found)
{
	struct ebpf_callee *v;

	take_once();
	v = nallowed ? calloc(nallowed, sizeof(*v)) : NULL;

	*found = 0;
	for (u32 i = 0; v && i < nallowed; i++)
		if (is_named(insns, n, allowed[i].id))
			v[(*found)++] = allowed[i];
	if (*found)
		return v;
	free(v);
	return NULL;
}
