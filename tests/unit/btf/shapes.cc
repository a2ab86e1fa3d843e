// SPDX-License-Identifier: BSD-2-Clause
// Classes of every kind. Run, it prints where the compiler has put what: "TYPE SIZE" and "TYPE MEMBER OFFSET".
#include <cstddef>
#include <cstdio>
#include <memory>

namespace shapes
{
struct Plain {
	int number;
	static int nobody;
};
int Plain::nobody;
struct Virtual {
	virtual ~Virtual() {}
	short after_vptr;
};
struct Second {
	long second;
};
struct Empty {
};
struct Derived : Virtual, Second, Empty {
	char own;
	int bits : 5;
};
struct Diamond : virtual Second {
	int tip;
};
template <class T, int N> struct Box {
	T items[N];
	T &reference;
	Box *self;
	int (Box::*method)(int);
	int Box::*data;
	enum class Colour : unsigned char { Red, Green } colour;
	union {
		int one;
		float other;
	};
	struct Inner {
		T deep;
		char tail;
	} inner;
	Box(T &r) : reference(r) {}
	int call(int x) { return x; }
};
namespace
{
struct Hidden {
	short hidden;
};
}
inline namespace v2
{
struct Versioned {
	char16_t c16;
	bool flag;
	wchar_t wide;
	std::nullptr_t nothing;
};
}
enum Old { OLD_A, OLD_B = 7 };

int function(Derived &&moved, const Box<int, 3> &box)
{
	struct Local {
		long here;
	} local = {moved.second};
	return (int)local.here + (int)box.colour;
}
}

using namespace shapes;
using Ints = Box<int, 3>;
using Hiddens = Box<Hidden, 2>;

int main()
{
	Hidden hidden = {1};
	int zero = 0;
	Ints ints(zero);
	Hiddens hiddens(hidden);
	Derived derived;
	Diamond diamond;
	Versioned versioned = {u'a', true, L'b', nullptr};
	Old old = OLD_B;
	std::shared_ptr<Plain> plain = std::make_shared<Plain>();

	derived.second = (long)old;
	zero = function(std::move(derived), ints) + ints.call(diamond.tip = 1);
	ints.method = &Ints::call;
	hiddens.self = nullptr;
	plain->number = versioned.flag;
#define SIZE(t, name) printf("%s\t%zu\n", name, sizeof(t))
#define MEMBER(t, name, m) printf("%s\t%s\t%zu\n", name, #m, offsetof(t, m))
	SIZE(Plain, "shapes::Plain");
	MEMBER(Plain, "shapes::Plain", number);
	SIZE(Virtual, "shapes::Virtual");
	MEMBER(Virtual, "shapes::Virtual", after_vptr);
	SIZE(Derived, "shapes::Derived");
	MEMBER(Derived, "shapes::Derived", own);
	printf("shapes::Derived\tSecond\t%zu\n",
	       (size_t)((char *)static_cast<Second *>(&derived) - (char *)&derived));
	printf("shapes::Derived\tVirtual\t%zu\n",
	       (size_t)((char *)static_cast<Virtual *>(&derived) - (char *)&derived));
	SIZE(Diamond, "shapes::Diamond");
	MEMBER(Diamond, "shapes::Diamond", tip);
	SIZE(Ints, "shapes::Box<int, 3>");
	MEMBER(Ints, "shapes::Box<int, 3>", items);
	MEMBER(Ints, "shapes::Box<int, 3>", self);
	MEMBER(Ints, "shapes::Box<int, 3>", method);
	MEMBER(Ints, "shapes::Box<int, 3>", data);
	MEMBER(Ints, "shapes::Box<int, 3>", colour);
	MEMBER(Ints, "shapes::Box<int, 3>", other);
	MEMBER(Ints, "shapes::Box<int, 3>", inner);
	SIZE(Ints::Inner, "shapes::Box<int, 3>::Inner");
	MEMBER(Ints::Inner, "shapes::Box<int, 3>::Inner", tail);
	SIZE(Hidden, "shapes::(anonymous namespace)::Hidden");
	SIZE(Hiddens, "shapes::Box<shapes::(anonymous namespace)::Hidden, 2>");
	SIZE(Versioned, "shapes::v2::Versioned");
	MEMBER(Versioned, "shapes::v2::Versioned", flag);
	MEMBER(Versioned, "shapes::v2::Versioned", wide);
	MEMBER(Versioned, "shapes::v2::Versioned", nothing);
	return 0;
}
