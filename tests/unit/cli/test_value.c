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

static void refuse(int err, const char *why, const char *want)
{
	cr_expect_eq(err, -EINVAL);
	cr_expect_str_eq(why, want);
}

/* --- all that a value may be made of ------------------------------------------------------------
 */

struct wide {
	u32 kind;
	u32 color : 2, signed_bits : 3, rest : 27;
	union {
		u32 number;
		struct {
			u16 low, high;
		};
	};
	bool on;
	char tag[3]; /* full, no NUL */
	u8 mac[6];
	u8 word[6];
	float f;
	double d;
	void *p;
	struct {
		int x, y;
	} at[2];
};
static int wide_id, union_id, halves_id, huge_id, unsigned_enum_id;

#define BITS(member) (8 * offsetof(struct wide, member))

static int add_halves(int u16_id)
{
	int id = btf__add_struct(btf, "", 4);

	btf__add_field(btf, "low", u16_id, 0, 0);
	btf__add_field(btf, "high", u16_id, 16, 0);
	return id;
}

static void wide_setup(void)
{
	int u8_id, u32_id, bool_id, char_id, index, tag_id, bytes_id, float_id, double_id, p_id,
		point_id, at_id;

	setup();
	u8_id = btf__add_int(btf, "unsigned char", 1, 0);
	u32_id = btf__add_int(btf, "unsigned int", 4, 0);
	bool_id = btf__add_int(btf, "_Bool", 1, BTF_INT_BOOL);
	char_id = btf__add_int(btf, "char", 1, BTF_INT_SIGNED);
	index = btf__add_int(btf, "index", 4, 0);
	huge_id = btf__add_int(btf, "__int128", 16, BTF_INT_SIGNED);
	tag_id = btf__add_array(btf, index, char_id, 3);
	bytes_id = btf__add_array(btf, index, u8_id, 6);
	float_id = btf__add_float(btf, "float", 4);
	double_id = btf__add_float(btf, "double", 8);
	p_id = btf__add_ptr(btf, 0);
	halves_id = add_halves(btf__add_int(btf, "unsigned short", 2, 0));
	union_id = btf__add_union(btf, "", 4);
	btf__add_field(btf, "number", u32_id, 0, 0);
	btf__add_field(btf, "", halves_id, 0, 0);
	point_id = btf__add_struct(btf, "", 8);
	btf__add_field(btf, "x", s32_id, 0, 0);
	btf__add_field(btf, "y", s32_id, 32, 0);
	at_id = btf__add_array(btf, index, point_id, 2);
	unsigned_enum_id = btf__add_enum64(btf, "flags", 8, false);
	btf__add_enum64_value(btf, "HIGH", 1ull << 63);
	wide_id = btf__add_struct(btf, "wide", sizeof(struct wide));
	btf__add_field(btf, "kind", u32_id, 0, 0);
	btf__add_field(btf, "color", color_id, 32, 2);
	btf__add_field(btf, "signed_bits", s32_id, 34, 3);
	btf__add_field(btf, "", union_id, 64, 0);
	btf__add_field(btf, "on", bool_id, BITS(on), 0);
	btf__add_field(btf, "tag", tag_id, BITS(tag), 0);
	btf__add_field(btf, "mac", bytes_id, BITS(mac), 0);
	btf__add_field(btf, "word", bytes_id, BITS(word), 0);
	btf__add_field(btf, "f", float_id, BITS(f), 0);
	btf__add_field(btf, "d", double_id, BITS(d), 0);
	btf__add_field(btf, "p", p_id, BITS(p), 0);
	btf__add_field(btf, "at", at_id, BITS(at), 0);
}

TestSuite(wide, .init = wide_setup);

static const struct wide wide = {.kind = 1,
				 .color = 2,
				 .signed_bits = 7,
				 .number = 0x20001,
				 .on = true,
				 .tag = "ABC",
				 .mac = {10, 0, 0, 1},
				 .word = "hi",
				 .f = 0.1f,
				 .d = 0.1,
				 .p = (void *)0x7f00,
				 .at = {{1, 2}, {-3, 4}}};

Test(wide, text)
{
	expect_text(wide_id, &wide, sizeof(wide),
		    "{ \"kind\": 1, \"color\": \"GREEN\", \"signed_bits\": -1, \"number\": 131073, "
		    "\"low\": 1, \"high\": 2, \"on\": true, \"tag\": \"ABC\", \"mac\": [ 10, 0, 0, "
		    "1, 0, 0 ], \"word\": \"hi\", \"f\": 0.1, \"d\": 0.1, \"p\": \"0x7f00\", "
		    "\"at\": [ { \"x\": 1, \"y\": 2 }, { \"x\": -3, \"y\": 4 } ] }");
}

Test(wide, written_as_it_is_printed)
{
	char *text = value_text(btf, wide_id, &wide, sizeof(wide)), why[256] = "";
	struct wide got;

	cr_assert(!PARSE(wide_id, &got, text), "%s", why);
	cr_expect_arr_eq(&got, &wide, offsetof(struct wide, on) + 1);
	cr_expect(got.number == 0x20001 && got.f == 0.1f && got.d == 0.1 && got.p == wide.p);
	cr_expect_arr_eq(got.tag, wide.tag, 3);
	cr_expect_arr_eq(got.mac, wide.mac, 12);
	cr_expect_arr_eq(got.at, wide.at, sizeof(wide.at));
	free(text);
}

Test(wide, text_is_utf8)
{
	expect_text(comm_id, "na\xc3\xafve\0", 8, "na\\xc3\\xafve");
	expect_text(comm_id, "\xc3\x28zzzz\0", 8, "[ -61, 40, 122, 122, 122, 122, 0, 0 ]");
	expect_text(comm_id, "\xed\xa0\x80zzz\0", 8, "[ -19, -96, -128, 122, 122, 122, 0, 0 ]");
	expect_text(comm_id, "eightcha", 8, "eightcha");
	expect_text(comm_id, "ab\0left", 8, "ab");
	expect_text(comm_id, "", 8, "");
}

Test(wide, numbers)
{
	u64 high = 1ull << 63, odd = 3;
	u8 huge[16] = {[0] = 1, [15] = 0x80};
	struct wide nan = {.f = __builtin_nanf(""), .d = __builtin_inf()};
	char *text;

	expect_text(unsigned_enum_id, &high, 8, "HIGH");
	expect_text(unsigned_enum_id, &odd, 8, "3");
	expect_text(huge_id, huge, 16, "0x80000000000000000000000000000001");
	text = value_text(btf, wide_id, &nan, sizeof(nan));
	cr_expect(strstr(text, "\"f\": \"nan\", \"d\": \"inf\""), "%s", text);
	free(text);
}

Test(value, data_shorter_than_its_type_is_bytes)
{
	expect_text(event_id, "\1\2", 2, "[ \"0x01\", \"0x02\" ]");
}

Test(value, control_characters_are_escaped)
{
	expect_text(comm_id, "a\tb", 8, "a\\x09b");
}

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

Test(wide, refused)
{
	struct wide w;
	char why[256] = "";
	u8 huge[16];

	refuse(PARSE(wide_id, &w, S "{\"signed_bits\": 8}"), why,
	       "8 does not fit into the 3 bits of 'signed_bits'");
	refuse(PARSE(wide_id, &w, S "{\"signed_bits\": -5}"), why,
	       "-5 does not fit into the 3 bits of 'signed_bits'");
	cr_expect(!PARSE(wide_id, &w, S "{\"signed_bits\": -4, \"color\": \"RED\"}"));
	cr_expect_eq(w.color, 1);
	refuse(PARSE(wide_id, &w, S "{\"color\": \"PINK\"}"), why, "'PINK' is not a number");
	refuse(PARSE(wide_id, &w, S "{\"middle\": 1}"), why, "the type has no member 'middle'");
	refuse(PARSE(wide_id, &w, S "{\"d\": \"much\"}"), why, "'much' is not a number");
	refuse(PARSE(huge_id, &huge, S "1"), why, "a number of 16 bytes is written as bytes");
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
