/* SPDX-License-Identifier: BSD-2-Clause */
/* What is left of a demangled name. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/demangle.h"

Test(demangle, cut)
{
	static const char *const names[][2] = {
		{"ns::Shape::grow(int, ns::Mode, ns::V const&)", "ns::Shape::grow"},
		{"ns::Shape::sides() const", "ns::Shape::sides"},
		{"long ns::add<long>(long, long)", "ns::add<long>"},
		{"std::vector<int, std::allocator<int> >::push_back(int&&)",
		 "std::vector<int, std::allocator<int> >::push_back"},
		{"void call<void (*)(int)>(void (*)(int))", "call<void (*)(int)>"},
		{"(anonymous namespace)::hidden(int)", "(anonymous namespace)::hidden"},
		{"main::{lambda(int)#1}::operator()(int) const",
		 "main::{lambda(int)#1}::operator()(int) const"},
		{"plain", "plain"},
		{"", ""},
		{")", ")"},
		{"()", "()"},
	};
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		strcpy(text, names[i][0]);
		demangle_cut(text);
		cr_expect_str_eq(text, names[i][1], "%s: %s", names[i][0], text);
	}
}

Test(demangle, others_stay)
{
	static const char *const names[] = {"malloc", "_Z", "_Znot_one", "_ZN", ""};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *text = demangle(names[i]);

		cr_expect_str_eq(text, names[i]);
		free(text);
	}
}
