/* SPDX-License-Identifier: BSD-2-Clause */
/* Templates with arguments of each kind, for names that the compiler leaves to their reader. */
template <typename T, int N, bool B> struct Box {
	T v[N];
};
template <typename... A> struct Pack {
	int n;
};
template <class T> struct One {
	T t;
};
template <template <class> class C, typename T> struct Holder {
	C<T> c;
};
enum E { X, Y };
template <E e, char c, unsigned u, long l> struct Values {
	int q;
};
namespace ns
{
struct S {
	int s;
};
template <class T> struct In {
	T t;
	struct Deep {
		T d;
	};
};
} // namespace ns

Box<int, 3, true> box;
Box<const char *, 4, false> text_box;
Pack<int, long, ns::S> pack;
Pack<> empty;
Holder<One, int> holder;
Values<Y, 'c', 7u, -3> values;
ns::In<ns::S>::Deep deep;
One<int (*)(const ns::S &, int &&)> function;
One<One<One<int>>> nested;
One<int[3][2]> array;
One<int (*)[3]> to_array;
One<volatile int *const> *qualified;
One<unsigned long long> wide;
One<void()> *returns_void;
One<int ns::S::*> to_member;
