// SPDX-License-Identifier: BSD-2-Clause
/* Relocations of every outcome between the two versions of versions.c. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define RELOC __attribute__((preserve_access_index))

struct moved {
	int first, second;
} RELOC;

struct changed {
	int grown, gone;
	unsigned bits : 3;
} RELOC;

struct changed___new {
	short fresh;
} RELOC;

enum color { RED, GREEN = 5 };
enum color___new { BLUE___new = 6 };

struct only_before {
	int x;
} RELOC;

long seen;

static __attribute__((noinline)) int in_a_function(struct moved *m)
{
	return m ? bpf_core_field_offset(m->second) : 0;
}

SEC("uprobe")
int on_moved(void *ctx)
{
	struct moved *m = ctx;

	seen += bpf_core_field_offset(m->first) + in_a_function(m);
	return 0;
}

SEC("uprobe")
int on_changed(void *ctx)
{
	struct changed *c = ctx;
	struct changed___new *n = ctx;

	seen += bpf_core_field_size(c->grown) + bpf_core_field_exists(c->gone) + bpf_core_field_exists(n->fresh);
	seen += BPF_CORE_READ_BITFIELD(c, bits);
	if (bpf_core_field_exists(c->gone))
		seen += BPF_CORE_READ(c, gone);
	return 0;
}

SEC("?uprobe")
int on_kinds(void *ctx)
{
	seen += bpf_core_enum_value(enum color, GREEN) + bpf_core_enum_value_exists(enum color___new, BLUE___new);
	seen += bpf_core_type_exists(struct only_before) + bpf_core_type_size(struct only_before);
	return 0;
}
