/* SPDX-License-Identifier: BSD-2-Clause */
/* Values by type: read, written, and both ways back to where they came from. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/maps.h"
#include "cli/value.h"

static struct btf *btf;
static int s32_id, u64_id, comm_id, event_id, color_id;

static void setup(void)
{
	int index;

	btf = btf__new_empty();
	s32_id = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	u64_id = btf__add_int(btf, "u64", 8, 0);
	index = btf__add_int(btf, "index", 4, 0);
	comm_id = btf__add_array(btf, index, btf__add_int(btf, "char", 1, BTF_INT_SIGNED), 8);
	color_id = btf__add_enum(btf, "color", 4);
	btf__add_enum_value(btf, "RED", 1);
	btf__add_enum_value(btf, "GREEN", 2);
	event_id = btf__add_struct(btf, "event", 24);
	btf__add_field(btf, "pid", s32_id, 0, 0);
	btf__add_field(btf, "color", color_id, 32, 0);
	btf__add_field(btf, "size", u64_id, 64, 0);
	btf__add_field(btf, "comm", comm_id, 128, 0);
}

TestSuite(value, .init = setup);

struct event {
	int pid, color;
	u64 size;
	char comm[8];
};

static void expect_text(int id, const void *data, size_t size, const char *want)
{
	char *text = value_text(btf, id, data, size);

	cr_expect_str_eq(text, want);
	free(text);
}

Test(value, text)
{
	struct event e = {-7, 2, 1ULL << 63, "bash"};
	int minus = -1;

	expect_text(s32_id, &minus, 4, "-1");
	expect_text(u64_id, &e.size, 8, "9223372036854775808");
	expect_text(comm_id, e.comm, 8, "bash");
	expect_text(event_id, &e, sizeof(e),
		    "{ \"pid\": -7, \"color\": \"GREEN\", \"size\": 9223372036854775808, \"comm\": "
		    "\"bash\" }");
	expect_text(0, "\1\2\377", 3, "01 02 ff");
}

Test(value, data_shorter_than_its_type_is_bytes)
{
	expect_text(event_id, "\1\2", 2, "[ \"0x01\", \"0x02\" ]");
}

Test(value, control_characters_are_escaped)
{
	expect_text(comm_id, "a\tb", 8, "a\\x09b");
}

static int parse(int id, void *out, size_t size, int n, char **words, char *why)
{
	return value_parse(btf, id, words, n, out, size, why, 256);
}
#define PARSE(id, out, ...)                                                                        \
	({                                                                                         \
		char *words[] = {__VA_ARGS__};                                                     \
		parse(id, out, sizeof(*(out)), ARRAY_SIZE(words), words, why);                     \
	})
#define S (char *)

Test(value, written)
{
	struct event e;
	char why[256];
	int v = 0;
	u64 q;

	cr_expect(!PARSE(s32_id, &v, S "-2") && v == -2);
	cr_expect(!PARSE(s32_id, &v, S "0x10") && v == 16);
	cr_expect(!PARSE(0, &v, S "5") && v == 5);
	cr_expect(!PARSE(0, &v, S "1", S "2", S "0", S "0") && v == 0x201);
	cr_expect(!PARSE(0, &v, S "hex", S "ff", S "00", S "00", S "00") && v == 255);
	cr_expect(!PARSE(color_id, &v, S "GREEN") && v == 2);
	cr_expect(!PARSE(u64_id, &q, S "18446744073709551615") && q == UINT64_MAX);
	cr_expect(!PARSE(event_id, &e, S "{\"pid\": 3, \"size\": 9, \"comm\": \"sh\"}"));
	cr_expect(e.pid == 3 && e.size == 9 && e.color == 0 && !strcmp(e.comm, "sh"));
}

static void refuse(int err, const char *why, const char *want)
{
	cr_expect_eq(err, -EINVAL);
	cr_expect_str_eq(why, want);
}

Test(value, refused)
{
	struct event e = {1};
	char why[256] = "";
	int v = 42;

	refuse(PARSE(s32_id, &v, S "4294967296"), why, "4294967296 does not fit into 4 bytes");
	refuse(PARSE(s32_id, &v, S "two"), why, "'two' is not a number");
	refuse(PARSE(0, &v, S "1", S "2"), why,
	       "2 words where 4 bytes are wanted (decimal, 0x.., or all in hex after the word "
	       "hex)");
	refuse(PARSE(0, &v, S "1", S "2", S "3", S "256"), why, "'256' is not a byte");
	refuse(PARSE(event_id, &e, S "{\"pdi\": 1}"), why, "the type has no member 'pdi'");
	refuse(PARSE(event_id, &e, S "7"), why,
	       "a structure is written as JSON: {\"member\": value}");
	cr_expect_eq(v, 42, "unchanged on failure");
	cr_expect_eq(e.pid, 1);
}

Test(value, histogram_bounds)
{
	char buf[16];

	cr_expect_str_eq(hist_bound(0, buf), "1");
	cr_expect_str_eq(hist_bound(6, buf), "64");
	cr_expect_str_eq(hist_bound(10, buf), "1K");
	cr_expect_str_eq(hist_bound(29, buf), "512M");
	cr_expect_str_eq(hist_bound(64, buf), "16E");
}

Test(value, histogram)
{
	u64 slots[64] = {[0] = 1, [6] = 26, [7] = 52};
	char text[4096];
	FILE *f = fmemopen(text, sizeof(text), "w");

	hist_print(f, "latency_us", slots + 5, 3);
	fclose(f);
	cr_expect_str_eq(text, "@latency_us:\n"
			       "[2, 4)                   26 |@@@@@@@@@@@@@@@@@@@@@@@@@@            "
			       "              |\n"
			       "[4, 8)                   52 "
			       "|@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n");
}
