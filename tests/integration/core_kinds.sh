#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every kind of CO-RE relocation against the types of a target, in every way in which a structure changes: what a program finds is
# what the target's compiler says.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 37

cp "$bin/core_kinds.bpf.o" kinds.bpf.o
chmod u+w kinds.bpf.o
is "types are asked whether they match" "$(python3 "$stage/integration/core_matches.py" kinds.bpf.o)" 3

try ebpfrt run -P "$bin/core_odd.bpf.o" -- "$bin/core_plain"
like "a relocation that makes no sense is refused by its file" "$status $err" \
	"^125 ebpfrt: .*core_odd.bpf.o cannot be relocated for .*/core_plain: .*relo 4 at insn .* can't be applied to array access"
like "and by what it reads" "$err" "^  at <lshift_u64> .* struct rec.numbers\[2\]"
strip -g -o stripped "$bin/core_plain"
rm -rf "$HOME/.cache" # what was converted, by build-id
try ebpfrt run -P kinds.bpf.o -- ./stripped
like "who asks first isn't told no when nothing is known" "$status $err" \
	"^125 ebpfrt: kinds.bpf.o reads struct rec of its target, but .*stripped has no BTF and no debug information"

# --- what one file has twice, in two translation units
cat >one.c <<EOF
struct data { int a, c; };
__attribute__((noinline)) int add_test(struct data *d) { __asm__ volatile("" ::: "memory"); return d->a + d->c; }
int other(void *);
int main(void) { struct data d = {1, 3}; int o[3] = {1, 2, 3}; return add_test(&d) + other(o) != 8; }
EOF
cat >two.c <<EOF
struct data { int a, b, c; };
int other(void *p) { struct data *d = p; return d->a + d->c; }
EOF
"${CC:-cc}" -O2 -g -o twice one.c two.c
try ebpfrt run -P "$samples/core.bpf.o" -- ./twice
like "a field of a structure that is there twice is refused" "$status $err" \
	"^125 ebpfrt: .*core.bpf.o cannot be relocated: it reads field 'c' of struct data, which .*/twice has more than once, and not alike"
like "and what to do" "$err" \
	"^  .ebpfrt btf dump .*/twice format c. shows what is there; give the types of the one that is meant with --btf FILE"
"${CC:-cc}" -O2 -g -c -o one.o one.c
try ebpfrt run --btf one.o -P "$samples/core.bpf.o" -- ./twice
like "which does it" "$status $err" "^0 .*1 \\+ 3 = 4"

cp "$samples/core_one" other_name
try ebpfrt run --btf "$bin/mod/app1" --btf "$bin/core_plain" -P "$samples/core.bpf.o" -- ./other_name
like "what the user's files don't describe" "$status $err" "^125 .*reads struct data, which .*/mod/app1 does not describe"
try ebpfrt run --btf "$bin/core_plain" --btf four_types.o -P "$samples/core.bpf.o" -- ./other_name
like "a file of the user's that isn't there" "$status $err" "^125 .*cannot open four_types.o"
echo 'struct data { int a; } d;' >less.c
"${CC:-cc}" -g -c -o less.o less.c
try ebpfrt run --btf less.o -P "$samples/core.bpf.o" -- ./other_name
like "a field that the user's file doesn't have" "$status $err" \
	"^125 .*reads field 'c' of struct data, which less.o does not have"
like "by its name, too" "$err" "^  .ebpfrt btf dump less.o format c. shows what is there"

# --- a field of another kind
sed 's/struct data { int a, c; }/struct data { int a; struct { int x; } c; }/; s/d->c/d->c.x/; s/{1, 3}/{1, {3}}/' one.c >three.c
sed '/^struct/d; s/struct data \*d/int *d/; s/d->a + d->c/d[0] + d[2]/' two.c >four.c
"${CC:-cc}" -O2 -g -o otherwise three.c four.c
try ebpfrt run -P "$samples/core.bpf.o" -- ./otherwise
like "a field of another kind is said to be that" "$status $err" \
	"^125 ebpfrt: .*reads field 'c' of struct data, which .*/otherwise has in another form"
like "and how to ask" "$err" "bpf_core_field_exists\(\) asks for it first"

# --- in every layout
for layout in plain moved wider bitfield renamed pointer removed nested; do
	ebpfrt run -o found -P kinds.bpf.o -- "$bin/core_$layout" >wanted 2>errors
	is "$layout: it runs" "$? $(cat errors)" "0 ebpfrt: the command has ended; 1 hit, 0 lost"
	sed -n 's/^@found\[\(.*\)\]: /\1 /p' found | tr -d '"' | sort >got
	sort wanted >want
	# what isn't there isn't said
	is "$layout: what is found is what is there" "$(comm -23 want got)" ""
	is "$layout: and nothing else is" "$(cut -d' ' -f1 got | grep -vxF "$(cut -d' ' -f1 want)" | grep -vxE 'value_(offset|size)' | tr '\n' ' ')" ""
done
