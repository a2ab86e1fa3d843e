/* SPDX-License-Identifier: BSD-2-Clause */
/* BTF from strangers: whatever the check says must be safe to ask further questions of. */
#include <string.h>

#include "core/load/syscall.h"
#include "tests/fuzz/fuzz.h"

struct blob {
	u8 *p;
	u32 len;
};

static void put(struct blob *b, const void *data, u32 n)
{
	memcpy(b->p + b->len, data, n);
	b->len += n;
}

static void put_type(struct blob *b, u32 name, u32 kind, u32 vlen, u32 size)
{
	struct btf_type t = {.name_off = name, .info = kind << 24 | vlen, .size = size};

	put(b, &t, sizeof(t));
}

/* int, int *, int [4], struct { int a; int *b; }, enum, typedef, function */
static void put_types(struct blob *b)
{
	struct btf_array a = {.type = 1, .index_type = 1, .nelems = 4};
	struct btf_member m[] = {{.name_off = 1, .type = 1},
				 {.name_off = 3, .type = 2, .offset = 64}};
	struct btf_enum e = {.name_off = 1, .val = 7};
	struct btf_param p = {.name_off = 1, .type = 1};
	u32 integer = BTF_INT_SIGNED << 24 | 32;

	put_type(b, 5, BTF_KIND_INT, 0, 4);
	put(b, &integer, sizeof(integer));
	put_type(b, 0, BTF_KIND_PTR, 0, 1);
	put_type(b, 0, BTF_KIND_ARRAY, 0, 0);
	put(b, &a, sizeof(a));
	put_type(b, 9, BTF_KIND_STRUCT, 2, 16);
	put(b, m, sizeof(m));
	put_type(b, 9, BTF_KIND_ENUM, 1, 4);
	put(b, &e, sizeof(e));
	put_type(b, 1, BTF_KIND_TYPEDEF, 0, 4);
	put_type(b, 0, BTF_KIND_CONST, 0, 6);
	put_type(b, 0, BTF_KIND_FUNC_PROTO, 1, 1);
	put(b, &p, sizeof(p));
	put_type(b, 5, BTF_KIND_FUNC, 0, 8);
}

size_t fuzz_seed(u32 i, u8 out[FUZZ_MAX])
{
	static const char strings[] = "\0a\0b\0int\0type";
	struct btf_header h = {.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(h)};
	struct blob b = {out, sizeof(h)};

	if (i)
		return 0;
	put_types(&b);
	h.type_len = b.len - sizeof(h);
	h.str_off = h.type_len;
	h.str_len = sizeof(strings);
	put(&b, strings, sizeof(strings));
	memcpy(out, &h, sizeof(h));
	return b.len;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char text[256];
	struct ebpf_log log = {.buf = text, .size = sizeof(text), .level = 1};
	u8 *copy = malloc(size ? size : 1); /* its end is watched by the sanitizer */
	u32 n;

	if (size)
		memcpy(copy, data, size);
	if (!ebpf_btf_check(copy, (u32)size, &log)) {
		n = ebpf_btf_nr_types(copy, (u32)size);
		FUZZ_CHECK(n <= size / sizeof(struct btf_type));
		for (u32 id = 0; id <= n + 1; id++) {
			int kind = ebpf_btf_kind(copy, (u32)size, id);

			FUZZ_CHECK(id > n ? kind < 0 : !id || kind > 0);
			ebpf_btf_type_size(copy, (u32)size, id);
		}
	}
	free(copy);
	return 0;
}
