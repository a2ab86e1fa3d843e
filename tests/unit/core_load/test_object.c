/* SPDX-License-Identifier: BSD-2-Clause */
/* The object table: ids ascend and wrap, and with thousands of objects one is still found at once.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/load/object.h"

#define MANY 10000u

static struct ebpf_table table;

static void release(struct ebpf_obj *obj)
{
	free(obj);
}

static struct ebpf_obj *new_object(u32 kind)
{
	struct ebpf_obj *o = calloc(1, sizeof(*o));

	cr_assert(o);
	o->release = release;
	cr_assert_eq(ebpf_obj_init(&table, o, kind, -1, 0), 0);
	return o;
}

static u32 longest_chain(void)
{
	u32 longest = 0;

	for (u32 i = 0; i < ARRAY_SIZE(table.ids); i++) {
		struct ebpf_obj *o;
		u32 n = 0;

		list_for_each_entry (o, &table.ids[i], by_id)
			n++;
		longest = MAX(longest, n);
	}
	return longest;
}

static void check_order(u32 kind, u32 n)
{
	struct ebpf_obj *o;
	u32 before = 0;

	list_for_each_entry (o, &table.objs[kind], node) {
		cr_assert_gt(o->id, before);
		before = o->id;
		n--;
	}
	cr_assert_eq(n, 0);
}

Test(object, thousands_are_found_at_once)
{
	static struct ebpf_obj *all[MANY];
	u32 most = MANY / ARRAY_SIZE(table.ids) + 1;

	ebpf_table_init(&table);
	for (u32 i = 0; i < MANY; i++)
		all[i] = new_object(EBPF_OBJ_LINK);
	cr_assert_leq(longest_chain(), most);
	check_order(EBPF_OBJ_LINK, MANY);
	for (u32 i = 0; i < MANY; i++)
		cr_assert_eq(ebpf_obj_by_id(&table, EBPF_OBJ_LINK, all[i]->id), all[i]);
	cr_assert_null(ebpf_obj_by_id(&table, EBPF_OBJ_PROG, all[0]->id), "of another kind");
	for (u32 i = 0; i < MANY; i += 2) {
		u32 id = all[i]->id;

		ebpf_obj_put(all[i]);
		cr_assert_null(ebpf_obj_by_id(&table, EBPF_OBJ_LINK, id));
	}
	check_order(EBPF_OBJ_LINK, MANY / 2);
	for (u32 i = 0; i < MANY / 2; i++)
		new_object(EBPF_OBJ_LINK);
	cr_assert_leq(longest_chain(), 2 * most);
	check_order(EBPF_OBJ_LINK, MANY);
}

Test(object, ids_wrap_and_pass_over_those_in_use)
{
	struct ebpf_obj *first, *last, *o;

	ebpf_table_init(&table);
	first = new_object(EBPF_OBJ_MAP);
	cr_assert_eq(first->id, 1);
	table.next_id[EBPF_OBJ_MAP] = 0x7ffffffe;
	last = new_object(EBPF_OBJ_MAP);
	cr_assert_eq(last->id, 0x7fffffff);
	o = new_object(EBPF_OBJ_MAP);
	cr_assert_eq(o->id, 2, "1 is in use");
	cr_assert_eq(new_object(EBPF_OBJ_MAP)->id, 3);
	check_order(EBPF_OBJ_MAP, 4);
	cr_assert_eq(ebpf_obj_by_id(&table, EBPF_OBJ_MAP, 0x7fffffff), last);
	cr_assert_eq(ebpf_obj_next_id(&table, EBPF_OBJ_MAP, 3), 0x7fffffff);
}
