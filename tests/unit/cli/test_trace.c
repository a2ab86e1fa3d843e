/* SPDX-License-Identifier: BSD-2-Clause */
/* What is copied of a call, how its records are read again, and that no record does any harm. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cli/tracecalls.h"

#define ENTRY_WORDS 600

/* int f(int n, const char *s, struct node *p, enum color c, struct pair v, double d) */
static struct btf *types;
static struct trace_plan entry, ret;
static struct trace_func func;
static int int_id, node_id;

static void setup(void)
{
	int chr, str, pair, ptr, color, real, tag;

	types = btf__new_empty();
	btf__add_func(types, "f", BTF_FUNC_GLOBAL, 2);
	btf__add_func_proto(types, 3);
	btf__add_func_param(types, "n", 3);
	btf__add_func_param(types, "s", 6);
	btf__add_func_param(types, "p", 8);
	btf__add_func_param(types, "c", 9);
	btf__add_func_param(types, "v", 10);
	btf__add_func_param(types, "d", 11);
	int_id = btf__add_int(types, "int", 4, BTF_INT_SIGNED);
	chr = btf__add_int(types, "char", 1, BTF_INT_SIGNED);
	str = btf__add_ptr(types, btf__add_const(types, chr));
	node_id = btf__add_struct(types, "node", 32);
	btf__add_field(types, "name", str, 0, 0);
	btf__add_field(types, "next", node_id + 1, 64, 0);
	btf__add_field(types, "low", int_id, 128, 3);
	btf__add_field(types, "high", int_id, 131, 5);
	btf__add_field(types, "tag", node_id + 5, 192, 0);
	ptr = btf__add_ptr(types, node_id);
	color = btf__add_enum(types, "color", 4);
	btf__add_enum_value(types, "RED", 1);
	pair = btf__add_struct(types, "pair", 16);
	btf__add_field(types, "a", str, 0, 0);
	btf__add_field(types, "b", int_id, 64, 0);
	real = btf__add_float(types, "double", 8);
	tag = btf__add_array(types, int_id, chr, 8);
	cr_assert(str == 6 && ptr == 8 && color == 9 && pair == 10 && real == 11 && tag == 12);
}

static void teardown(void)
{
	trace_func_deinit(&func);
}

TestSuite(trace, .init = setup, .fini = teardown);

static void plan(u32 string, u32 depth)
{
	const struct trace_limits limits = {.string = string, .depth = depth};

	func = (struct trace_func){.name = strdup("f"), .file = "/bin/f", .types = types};
	cr_assert_eq(trace_plan(&func, &limits, &entry, &ret), 0);
	func.entry = &entry;
	func.exit = &ret;
}

static struct {
	struct trace_record r;
	u64 rest[ENTRY_WORDS];
} rec;

/* What the programs would do: @from is what the copies' addresses lead to. */
static void fill(const void *const *from, u32 n)
{
	u8 *base = (u8 *)rec.r.reg;

	for (u32 i = 0; i < entry.nops; i++) {
		const struct trace_op *op = &entry.op[i];

		if (op->copy == TRACE_WORD)
			memcpy(base + op->out, base + op->base, 8);
		else if (i < n && from[i])
			memcpy(base + op->out, from[i], op->len);
		else
			rec.r.failed |= 1ull << i;
	}
}

static void expect(const char *want, bool declared)
{
	const struct trace_call call = {&rec.r, sizeof(rec) - offsetof(__typeof__(rec), r.reg)};
	const struct trace_style style = {.string = 4, .types = declared};
	char *text = trace_args_text(&func, &call, &style);

	cr_expect_str_eq(text, want);
	free(text);
}

static void arguments(void)
{
	memset(&rec, 0, sizeof(rec));
	rec.r.kind = TRACE_ENTRY;
	rec.r.reg[0] = (u32)-3;
	rec.r.reg[1] = 0x1000;
	rec.r.reg[2] = 0x2000;
	rec.r.reg[3] = 1;
	rec.r.reg[4] = 0;
	rec.r.reg[5] = 9;
	memcpy(&rec.r.reg[TRACE_REGS], &(double){1.5}, sizeof(double));
}

Test(trace, no_pointers)
{
	plan(0, 0);
	cr_assert(entry.vectors);
	cr_assert_not(ret.vectors);
	/* the structure is in two registers, and is put together */
	cr_assert_eq(entry.nops, 2);
	cr_assert_eq(entry.op[0].copy, TRACE_WORD);
	arguments();
	fill(NULL, 0);
	expect("n=-3, s=0x1000, p=0x2000, c=RED, v={a=NULL, b=9}, d=1.5", false);
	expect("int n=-3, const char *s=0x1000, struct node *p=0x2000, enum color c=RED, "
	       "struct pair v={a=NULL, b=9}, double d=1.5",
	       true);
}

Test(trace, strings)
{
	static const char text[64] = "abcdef";
	const void *from[8] = {NULL, NULL, text};

	plan(4, 0);
	cr_assert_eq(entry.nops, 4, "the structure's two words, two strings");
	cr_assert_eq(entry.op[2].copy, TRACE_STRING);
	cr_assert_eq(entry.op[2].base, 8, "from the second register");
	cr_assert_eq(entry.op[2].len, 6);
	arguments();
	fill(from, 3);
	expect("n=-3, s=\"abcd\"..., p=0x2000, c=RED, v={a=NULL, b=9}, d=1.5", false);
}

Test(trace, followed)
{
	static const struct {
		u64 name, next;
		u8 bits, pad[7];
		char tag[8];
	} node = {0x3000, 0x2000, 0x2d, {0}, "\"\n\377"};
	static const char name[8] = "x";
	const void *from[8] = {NULL, NULL, name, &node, NULL, name};

	plan(4, 1);
	cr_assert_eq(entry.nops, 6, "s, p, what v points to; then what p's name does");
	arguments();
	fill(from, 6);
	expect("n=-3, s=\"x\", p=0x2000 -> {name=\"x\", next=0x2000, low=-3, high=5, "
	       "tag=\"\\\"\\n\\377\"}, c=RED, v={a=NULL, b=9}, d=1.5",
	       false);
}

/* A structure that leads to itself is followed as deep as one said, and no record gets too large.
 */
Test(trace, bounds)
{
	u32 out = 0, len = 0;

	plan(4096, 1000);
	cr_assert_leq(entry.nops, TRACE_OPS);
	trace_plan_extent(&entry, &out, &len);
	cr_assert_lt(out, TRACE_OUT_MAX);
	cr_assert_leq(len, TRACE_STRING_MAX + 2);
	for (u32 i = 0; i < entry.nops; i++)
		cr_assert_leq(entry.op[i].out + entry.op[i].len, TRACE_OUT_MAX);
}

/* --- hostile types --------------------------------------------------------------------------- */

/* struct "e\033[1m" { int "\"\033[2m" } "f"(struct e * "p\033[3m") */
static void escapes(void)
{
	const struct trace_limits limits = {.depth = 1};

	types = btf__new_empty();
	btf__add_func(types, "f", BTF_FUNC_GLOBAL, 2);
	btf__add_func_proto(types, 5);
	btf__add_func_param(types, "p\033[3m", 5);
	btf__add_int(types, "int", 4, BTF_INT_SIGNED);
	btf__add_struct(types, "e\033[1m", 4);
	btf__add_field(types, "\"\033[2m", 3, 0, 0);
	btf__add_ptr(types, 4);
	func = (struct trace_func){.name = strdup("f"), .file = "/bin/f", .types = types};
	cr_assert_eq(trace_plan(&func, &limits, &entry, &ret), 0);
	func.entry = &entry;
	func.exit = &ret;
	memset(&rec, 0, sizeof(rec));
	rec.r.reg[0] = 0x1000;
}

Test(trace, names_tell_a_terminal_nothing)
{
	const struct trace_call call = {&rec.r, sizeof(rec) - offsetof(__typeof__(rec), r.reg)};
	const struct trace_style style = {.string = 4, .types = true};
	struct json_object *o, *to = NULL;
	char *text;

	escapes();
	rec.r.kind = TRACE_ENTRY;
	text = trace_args_text(&func, &call, &style);
	cr_expect_null(strchr(text, '\033'), "%s", text);
	cr_expect(strstr(text, "p\\x1b[3m=0x1000 -> {\"\\x1b[2m=0}"), "%s", text);
	free(text);
	o = json_object_array_get_idx(trace_args_json(&func, &call, &style), 0);
	cr_assert(json_object_object_get_ex(o, "value", &o) &&
		  json_object_object_get_ex(o, "to", &to));
	cr_expect(json_object_object_get_ex(to, "\"\033[2m", NULL), "the key as it is");
	rec.r.kind = TRACE_RETURN;
	text = trace_ret_text(&func, &call, &style);
	cr_expect_null(strchr(text, '\033'), "%s", text);
	free(text);
}

/* struct d0 { struct d1 a, b, ..; }, each at the same place: as large as one, and without end. */
Test(trace, types_without_end, .timeout = 60)
{
	const struct trace_limits limits = {.depth = 1};
	const struct trace_call call = {&rec.r, sizeof(rec) - offsetof(__typeof__(rec), r.reg)};
	char name[16];

	types = btf__new_empty();
	btf__add_func(types, "f", BTF_FUNC_GLOBAL, 2);
	btf__add_func_proto(types, 4);
	btf__add_func_param(types, "p", 4);
	btf__add_int(types, "int", 4, BTF_INT_SIGNED);
	btf__add_ptr(types, 5);
	for (int i = 0; i < 12; i++) {
		btf__add_struct(types, "", 4);
		for (int k = 0; k < 40; k++) {
			snprintf(name, sizeof(name), "m%d", k);
			btf__add_field(types, i % 2 ? name : "", i == 11 ? 3 : 6 + i, 0, 0);
		}
	}
	func = (struct trace_func){.name = strdup("f"), .file = "/bin/f", .types = types};
	cr_assert_eq(trace_plan(&func, &limits, &entry, &ret), 0);
	func.entry = &entry;
	func.exit = &ret;
	memset(&rec, 0, sizeof(rec));
	rec.r.kind = TRACE_ENTRY;
	rec.r.reg[0] = 0x1000;
	free(trace_args_text(&func, &call, &(struct trace_style){.string = 4}));
	json_object_put(trace_args_json(&func, &call, &(struct trace_style){.string = 4}));
}

/* --- hostile records ------------------------------------------------------------------------- */

static struct trace_plan *plans[] = {&entry, &ret};
static struct trace_set set = {.funcs = &func, .nfuncs = 1, .plans = plans, .nplans = 2};
static struct trace_calls calls;
static char *printed;
static size_t len;

static void begin(void)
{
	plan(4, 1);
	set.sizes.out = sizeof(rec) - sizeof(rec.r);
	trace_calls_init(&calls, &set, open_memstream(&printed, &len), false,
			 &(struct trace_style){.string = 4});
}

static void end(void)
{
	trace_calls_end(&calls);
	fclose(calls.stream);
	free(printed);
}

Test(trace, of_any_length)
{
	u64 lost = 0;

	begin();
	arguments();
	fill(NULL, 0);
	rec.r.failed = 0;
	for (size_t n = 0; n < sizeof(rec); n++) {
		void *copy = malloc(n); /* for those who watch over memory */

		memcpy(copy, &rec, n);
		lost += trace_calls_take(&calls, copy, n);
		free(copy);
	}
	cr_expect_eq(calls.shown + lost, sizeof(rec));
	end();
}

Test(trace, of_nothing_known)
{
	begin();
	arguments();
	rec.r.cookie = 1;
	cr_expect_eq(trace_calls_take(&calls, &rec, sizeof(rec)), 1);
	rec.r.cookie = 0;
	rec.r.kind = 3;
	cr_expect_eq(trace_calls_take(&calls, &rec, sizeof(rec)), 1);
	cr_expect_eq(calls.shown, 0);
	end();
}

Test(trace, pairs)
{
	begin();
	arguments();
	rec.r.call = rec.r.ts = 100;
	trace_calls_take(&calls, &rec, sizeof(rec));
	rec.r.call = rec.r.ts = 200;
	trace_calls_take(&calls, &rec, sizeof(rec));
	cr_expect_eq(calls.shown, 0, "they wait");
	rec.r.kind = TRACE_RETURN;
	rec.r.ts = 2000200;
	rec.r.reg[0] = 7;
	trace_calls_take(&calls, &rec, sizeof(rec));
	cr_expect_eq(calls.shown, 1);
	fflush(calls.stream);
	cr_expect(strstr(printed, ") -> 7 <0.002000>\n"), "%s", printed);
	trace_calls_take(&calls, &rec, sizeof(rec));
	fflush(calls.stream);
	cr_expect(strstr(printed, " f(?) -> 7 <"), "an entry that was lost: %s", printed);
	rec.r.left = 1;
	trace_calls_take(&calls, &rec, sizeof(rec));
	fflush(calls.stream);
	cr_expect(strstr(printed, " f(?) -> (exception) <"), "%s", printed);
	rec.r.left = 2;
	trace_calls_take(&calls, &rec, sizeof(rec));
	fflush(calls.stream);
	cr_expect(strstr(printed, " f(?) -> (end of thread) <"), "%s", printed);
	trace_calls_end(&calls);
	fflush(calls.stream);
	cr_expect(strstr(printed, ") <unfinished ...>\n"), "%s", printed);
	cr_expect_eq(calls.shown, 5);
	end();
}

/* What is kept of a call is no more than the programs write: nobody fills our memory. */
Test(trace, too_long)
{
	u8 *large = calloc(1, sizeof(rec) + 8);

	begin();
	arguments();
	rec.r.call = rec.r.ts = 100;
	memcpy(large, &rec, sizeof(rec));
	cr_expect_eq(trace_calls_take(&calls, large, sizeof(rec) + 8), 1);
	cr_expect_eq(calls.nwaiting, 0);
	cr_expect_eq(trace_calls_take(&calls, large, sizeof(rec)), 0);
	cr_expect_eq(calls.nwaiting, 1);
	free(large);
	end();
}

Test(trace, no_more_lines)
{
	begin();
	calls.most = 2;
	arguments();
	for (u32 i = 0; i < 3; i++) {
		rec.r.call = rec.r.ts = 100 + i;
		trace_calls_take(&calls, &rec, sizeof(rec));
	}
	cr_expect_not(trace_calls_full(&calls));
	trace_calls_end(&calls);
	cr_expect_eq(calls.shown, 2);
	cr_expect(trace_calls_full(&calls));
	end();
}

Test(trace, at_any_time)
{
	static const u64 times[] = {0, 1, INT64_MAX, 1ull << 63, UINT64_MAX - 5, UINT64_MAX};
	int hour, min, sec, us, end_of_it;

	for (u32 i = 0; i < ARRAY_SIZE(times); i++) {
		begin();
		arguments();
		rec.r.ts = times[i];
		trace_calls_take(&calls, &rec, sizeof(rec));
		fflush(calls.stream);
		end_of_it = 0;
		sscanf(printed, "%2d:%2d:%2d.%6d %n", &hour, &min, &sec, &us, &end_of_it);
		cr_expect_eq(end_of_it, 16, "%s", printed);
		cr_expect_null(memchr(printed, '-', 16), "%s", printed);
		end();
	}
}

Test(trace, too_many_wait)
{
	begin();
	arguments();
	for (u32 i = 0; i < TRACE_WAITING_MAX + 10; i++) {
		rec.r.call = rec.r.ts = i + 1;
		trace_calls_take(&calls, &rec, sizeof(rec.r));
	}
	cr_expect_eq(calls.shown, 10, "what finds no room is shown at once");
	trace_calls_deinit(&calls);
	end();
}
