/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands between the angle brackets, where the compiler hasn't written it down (clang
 * -gsimple-template-names): Box<int, 3> is a DIE called Box with a child for each argument.
 *
 * Model: the arguments are appended to the name that is being made, in clang's own words; C sees
 * them with underscores in place of what is between words, so a space more or less is none.
 *
 * Rules: what is too deep, or can't be said, is "?"; a name that is full ends the walk.
 */
#include <dwarf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "btf/dwarf_conv.h"
#include "btf/dwo.h"

#define DEPTH_MAX 40u

static int put_type(struct dwarf_conv *c, struct die *d);

static bool ends_with_star(const struct dwarf_conv *c)
{
	return c->name_len && strchr("*&", c->name[c->name_len - 1]);
}

/* The type that @d is made of, NULL: void. */
static struct die *target_of(struct die *d, struct die *out)
{
	Dwarf_Die to;

	return die_ref(d, AT_TYPE, &to) && !die_read(&to, out) ? out : NULL;
}

static int put_target(struct dwarf_conv *c, struct die *d)
{
	struct die to;

	return target_of(d, &to) ? put_type(c, &to) : dwarf_append(c, "void");
}

static int put_params(struct dwarf_conv *c, const struct die *d)
{
	Dwarf_Die child;
	struct die param;
	int err = dwarf_append(c, "("), n = 0;

	for (int more = die_child(&d->dw, &child); !err && more > 0; more = die_next(&child)) {
		int tag = dwarf_tag(&child);

		if (tag != DW_TAG_formal_parameter && tag != DW_TAG_unspecified_parameters)
			continue;
		err = n++ ? dwarf_append(c, ", ") : 0;
		if (!err && tag == DW_TAG_unspecified_parameters)
			err = dwarf_append(c, "...");
		else if (!err && !die_read(&child, &param))
			err = put_target(c, &param);
	}
	return err ? err : dwarf_append(c, ")");
}

/* Of an array, its dimensions. */
static int put_dimensions(struct dwarf_conv *c, const struct die *d)
{
	Dwarf_Die child;
	struct die range;
	int err = 0;

	for (int more = die_child(&d->dw, &child); !err && more > 0; more = die_next(&child)) {
		char text[32] = "[]";
		u64 n;

		if (dwarf_tag(&child) != DW_TAG_subrange_type || die_read(&child, &range))
			continue;
		if (die_number(&range, AT_COUNT, &n))
			snprintf(text, sizeof(text), "[%" PRIu64 "]", n);
		else if (die_number(&range, AT_UPPER_BOUND, &n))
			snprintf(text, sizeof(text), "[%" PRIu64 "]", n + 1);
		err = dwarf_append(c, text);
	}
	return err;
}

/* A pointer or reference: "int *", "int (*)(long)", "int (&)[3]". */
static int put_pointer(struct dwarf_conv *c, struct die *d, const char *sign)
{
	struct die to, of;
	bool inside = target_of(d, &to) &&
		      (to.tag == DW_TAG_subroutine_type || to.tag == DW_TAG_array_type);
	int err;

	if (!inside) {
		err = put_target(c, d);
		if (!err && !ends_with_star(c))
			err = dwarf_append(c, " ");
		return err ? err : dwarf_append(c, sign);
	}
	err = target_of(&to, &of) ? put_type(c, &of) : dwarf_append(c, "void");
	if (!err)
		err = dwarf_append(c, " (");
	if (!err)
		err = dwarf_append(c, sign);
	if (!err)
		err = dwarf_append(c, ")");
	if (err)
		return err;
	return to.tag == DW_TAG_array_type ? put_dimensions(c, &to) : put_params(c, &to);
}

static int put_member_pointer(struct dwarf_conv *c, struct die *d)
{
	Dwarf_Attribute attr;
	Dwarf_Die class;
	struct die of;
	int err = put_target(c, d);

	if (!err)
		err = dwarf_append(c, " ");
	if (!err && dwarf_attr(&d->dw, DW_AT_containing_type, &attr) &&
	    dwarf_formref_die(&attr, &class) && !die_read(&class, &of))
		err = put_type(c, &of);
	return err ? err : dwarf_append(c, "::*");
}

/* Behind a pointer, before anything else. */
static int put_qualified(struct dwarf_conv *c, struct die *d, const char *word)
{
	struct die to;
	bool behind = target_of(d, &to) && to.tag == DW_TAG_pointer_type;
	int err = behind ? put_target(c, d) : dwarf_append(c, word);

	if (!err && !behind)
		err = dwarf_append(c, " ");
	if (err)
		return err;
	return behind ? dwarf_append(c, word) : put_target(c, d);
}

static int put_kind(struct dwarf_conv *c, struct die *d)
{
	int err;

	switch (d->tag) {
	case DW_TAG_pointer_type:
		return put_pointer(c, d, "*");
	case DW_TAG_reference_type:
		return put_pointer(c, d, "&");
	case DW_TAG_rvalue_reference_type:
		return put_pointer(c, d, "&&");
	case DW_TAG_ptr_to_member_type:
		return put_member_pointer(c, d);
	case DW_TAG_const_type:
		return put_qualified(c, d, "const");
	case DW_TAG_volatile_type:
		return put_qualified(c, d, "volatile");
	case DW_TAG_array_type:
		err = put_target(c, d);
		return err ? err : put_dimensions(c, d);
	case DW_TAG_subroutine_type:
		err = put_target(c, d);
		if (!err)
			err = dwarf_append(c, " ");
		return err ? err : put_params(c, d);
	default:
		return dwarf_append_name(c, d);
	}
}

static int put_type(struct dwarf_conv *c, struct die *d)
{
	int err;

	if (c->name_depth >= DEPTH_MAX)
		return dwarf_append(c, "?");
	c->name_depth++;
	err = put_kind(c, d);
	c->name_depth--;
	return err;
}

/* --- arguments ----------------------------------------------------------------------------------
 */

/* The enumerator of that value. */
static bool find_enumerator(const struct die *d, s64 value, struct die *out)
{
	Dwarf_Die child;

	for (int more = die_child(&d->dw, &child); more > 0; more = die_next(&child)) {
		s64 has;

		if (dwarf_tag(&child) == DW_TAG_enumerator && !die_read(&child, out) &&
		    die_snumber(out, AT_CONST_VALUE, &has) && has == value)
			return true;
	}
	return false;
}

/* What clang puts behind a number of a type that isn't int. */
static const char *suffix_of(const char *type)
{
	bool is_unsigned = !strncmp(type, "unsigned", 8);

	if (strstr(type, "long long"))
		return is_unsigned ? "ULL" : "LL";
	if (strstr(type, "long"))
		return is_unsigned ? "UL" : "L";
	return !strcmp(type, "unsigned int") ? "U" : "";
}

static int put_number(struct dwarf_conv *c, struct die *type, s64 value)
{
	const char *name = die_name(type);
	char text[64];

	if (!strcmp(name, "bool"))
		return dwarf_append(c, value ? "true" : "false");
	if (!strcmp(name, "char") && value >= 0x20 && value < 0x7f)
		snprintf(text, sizeof(text), "'%c'", (char)value);
	else if (!strncmp(name, "unsigned", 8))
		snprintf(text, sizeof(text), "%" PRIu64 "%s", (u64)value, suffix_of(name));
	else
		snprintf(text, sizeof(text), "%" PRId64 "%s", value, suffix_of(name));
	return dwarf_append(c, text);
}

static int put_value(struct dwarf_conv *c, struct die *d)
{
	struct die type, enumerator;
	s64 value;

	if (!target_of(d, &type) || !die_snumber(d, AT_CONST_VALUE, &value))
		return dwarf_append(c, "?");
	if (type.tag == DW_TAG_enumeration_type && find_enumerator(&type, value, &enumerator))
		return dwarf_append(c, die_name(&enumerator));
	return put_number(c, &type, value);
}

static int put_args(struct dwarf_conv *c, const Dwarf_Die *of, bool *any);

static int put_arg(struct dwarf_conv *c, struct die *d, bool *any)
{
	Dwarf_Attribute attr;
	const char *name;
	int err;

	if (d->tag == DW_TAG_GNU_template_parameter_pack) {
		err = *any ? 0 : dwarf_append(c, "<");
		*any = true;
		return err ? err : put_args(c, &d->dw, any);
	}
	err = dwarf_append(c, !*any ? "<" : c->name[c->name_len - 1] == '<' ? "" : ", ");
	*any = true;
	if (err)
		return err;
	if (d->tag == DW_TAG_template_type_parameter)
		return put_target(c, d);
	if (d->tag == DW_TAG_template_value_parameter)
		return put_value(c, d);
	name = dwarf_attr(&d->dw, DW_AT_GNU_template_name, &attr) ? dwo_string(&attr) : NULL;
	return dwarf_append(c, name ? name : "?");
}

static int put_args(struct dwarf_conv *c, const Dwarf_Die *of, bool *any)
{
	Dwarf_Die child;
	struct die d;
	int err = 0;

	for (int more = die_child(of, &child); !err && more > 0; more = die_next(&child)) {
		switch (dwarf_tag(&child)) {
		case DW_TAG_template_type_parameter:
		case DW_TAG_template_value_parameter:
		case DW_TAG_GNU_template_template_param:
		case DW_TAG_GNU_template_parameter_pack:
			err = die_read(&child, &d) ? 0 : put_arg(c, &d, any);
		}
	}
	return err;
}

int dwarf_append_args(struct dwarf_conv *c, const Dwarf_Die *of)
{
	bool any = false;
	int err;

	if (c->name_depth >= DEPTH_MAX)
		return 0;
	c->name_depth++;
	err = put_args(c, of, &any);
	c->name_depth--;
	if (err || !any)
		return err;
	return dwarf_append(c, c->name[c->name_len - 1] == '>' ? " >" : ">");
}
