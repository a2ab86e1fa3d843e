#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# ebpfrt btf diff: what changed between two versions of a library, and what that does to an object.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 58

for v in 1 2; do
	"${CC:-cc}" -g -DVERSION=$v "$stage/integration/versions.c" -o v$v || bail "the compiler failed"
done

try ebpfrt btf diff v1 v1
is "the same: nothing, and 0" "$status $out $err" "0  "
try ebpfrt btf diff v1 v2
is "different: 1" "$status $err" "1 "
tab=$(printf '\t')
# what is said of TYPE, on one line
said() {
	printf '%s\n' "$out" | awk -v type="$1" '/^[-+~]/ { on = index($0, type " ") == 3 || substr($0, 3) == type } on' | tr '\n\t' ';>'
}
is "a member that moved" "$(said 'struct moved')" \
	"~ struct moved (8 -> 12 bytes);>~ second at 4 -> 8;>+ fresh: int at 4;"
changed=$(said 'struct changed')
like "a member that grew" "$changed" ">~ grown: int -> long int at 0, 4 -> 8 bytes;|>~ grown: int -> long int, 4 -> 8 bytes;"
like "a type that is another" "$changed" ">~ retyped: int -> unsigned int at 4 -> 8;"
like "a member that is gone" "$changed" ">- gone: int at 8;"
like "a bitfield that is wider" "$changed" ">~ bits: unsigned int : 3 -> unsigned int : 5 at 12 -> 14;"
like "a structure inside that grew" "$changed" ">~ inside at 20, 8 -> 12 bytes;|>~ inside, 8 -> 12 bytes;"
like "a member of an anonymous union" "$changed" ">\\+ third: short int at 28;"
unlike "what a pointer leads to is no change of it" "$changed" "m:"
is "an enumerator's value" "$(said 'enum color')" "~ enum color;>~ GREEN = 5 -> 6;>+ BLUE = 7;"
is "a typedef of a structure without a name" "$(said 'typedef holder_t')" \
	"~ typedef holder_t (4 -> 8 bytes);>~ a: int [1] -> int [2], 4 -> 8 bytes;"
is "a type that is gone" "$(said 'struct only_before')" "- struct only_before (4 bytes);"
is "a new type" "$(said 'struct only_after')" "+ struct only_after (8 bytes);"
is "a type that was only declared" "$(said 'struct opaque')" "~ struct opaque (declared only before);"
is "a function's prototype" "$(said 'func api:')" \
	"~ func api: int (struct moved *m, int n) -> long int (struct moved *m, int n, const char *why);"
is "a variable" "$(said 'var only_after:')" "+ var only_after: struct only_after (8 bytes);"
is "what is the same isn't named" "$(said 'struct same')$(said 'func alike')$(said 'func main')" ""

# a rename is told where nothing else changed
printf 'struct s { int before; long z; } s; int main(void) { return s.before; }' >r1.c
sed 's/before/after/g' r1.c >r2.c
for v in 1 2; do "${CC:-cc}" -g r$v.c -o r$v; done
try ebpfrt btf diff r1 r2
is "a member that is renamed" "$(said 'struct s')" "~ struct s;>~ before -> after, renamed;"
# several of one name, as static ones may be: only what is different is told
printf 'struct s { char other; } t; int second(void) { return t.other; }' >more.c
"${CC:-cc}" -g r1.c more.c -o twice1 2>/dev/null
"${CC:-cc}" -g -Wl,--build-id=none r2.c -o r2
"${CC:-cc}" -g more.c r2.c -o twice2 2>/dev/null
try ebpfrt btf diff twice1 twice2
is "one of two types of a name" "$(said 'struct s')" "~ struct s;>~ before -> after, renamed;"

try ebpfrt btf gen v1 -o v1.btf
try ebpfrt btf diff v1.btf v1
is "a .btf and what it is made from" "$status $out $err" "0  "
v2_size=$(ebpfrt btf diff v1 v2 --json | python3 -c '
import json, sys
types = {(t["kind"], t["name"]): t for t in json.load(sys.stdin)["types"]}
moved = types["struct", "moved"]
print(moved["change"], moved["size"], [(m["change"], m["name"], m["bits_offset"]) for m in moved["members"]],
      types["struct", "only_before"]["change"], types["enum", "color"]["values"][0]["value"])')
is "JSON" "$v2_size" "changed [8, 12] [('changed', 'second', [32, 64]), ('added', 'fresh', 32)] removed [5, 6]"
try ebpfrt btf diff v1 v1 --json
is "JSON of no difference" "$status $out" '0 {"types":[]}'

# an object
o=$bin/btfdiff.bpf.o
try ebpfrt btf diff --object "$o" v1 v1
is "an object, the same types" "$status $out $err" "0  "
try ebpfrt btf diff --object "$o" v1 v2
is "an object: 1 where something moves" "$status $err" "1 "
like "an offset, in a function the program calls" "$out" "^~ in_a_function: struct moved\\.second: offset 4 -> 8"
unlike "what stays isn't told" "$out" "moved\\.first"
like "a size" "$out" "^~ on_changed: struct changed\\.grown: size 4 -> 8"
like "a field that is asked for" "$out" "^~ on_changed: struct changed\\.gone: exists 1 -> 0"
like "one that comes, by its flavour" "$out" "^~ on_changed: struct changed___new\\.fresh: exists 0 -> 1"
like "one that is read, and gone" "$out" "^- on_changed: struct changed\\.gone: offset 8 -> not there"
like "a bitfield" "$out" "^~ on_changed: struct changed\\.bits: left shift "
like "an enumerator's value, in a program that is optional" "$out" "^~ on_kinds: enum color::GREEN: value 5 -> 6"
like "a type that is gone" "$out" "^~ on_kinds: struct only_before: exists 1 -> 0"
like "its size" "$out" "^~ on_kinds: struct only_before: size 4 -> 0"
is "each is told once" "$(printf '%s\n' "$out" | sort | uniq -d)" ""
try ebpfrt btf diff --object "$o" v2 v1
like "the other way round it works again" "$out" "^\\+ on_changed: struct changed\\.gone: offset not there -> 8"
try ebpfrt btf diff --object "$o" --json v1 v2
is "JSON of an object" "$(printf '%s' "$out" | python3 -c '
import json, sys
for r in json.load(sys.stdin)["relocations"]:
    if r["field"] == "struct changed.gone" and r["what"] == "offset":
        print(r["change"], r["prog"], r["value"])')" "fails on_changed ['8', 'not there']"
is "no daemon was needed" "$(ls "$EBPFRT_RUNTIME_DIR" 2>/dev/null)" ""
try ebpfrt btf diff --object "$samples/hello.bpf.o" v1 v2
like "an object without CO-RE" "$status $err" "^0 ebpfrt: .*hello\\.bpf\\.o has no CO-RE relocations"

# merge
try ebpfrt btf merge -o both.btf v1 r1
is "merge: two files that have nothing in common" "$status $err" "0 "
try ebpfrt btf diff both.btf v1
is "merge: what is in one is all there" "$(printf '%s\n' "$out" | grep -c '^[+~]')" 0
try ebpfrt btf diff both.btf r1
is "merge: what is in the other" "$(printf '%s\n' "$out" | grep -c '^[+~]')" 0
try ebpfrt btf merge -o again.btf v1 v1 v1.btf
is "merge: the same again and again" "$status $err" "0 "
types() {
	ebpfrt btf dump "$1" | grep -c "^\[[0-9]*\] [^VD]" # variables are each file's
}
is "merge: adds no types" "$(types again.btf)" "$(types v1.btf)"
try ebpfrt btf merge -o clash.btf v1 v2
is "merge: what isn't the same is no error" "$status $out" "0 "
like "merge: but it is told" "$err" "warning: struct moved is not the same in v1 \\(8 bytes\\) and in v2 \\(12 bytes\\): both are kept"
unlike "merge: a declaration clashes with nothing" "$err" "opaque"
is "merge: both are there" "$(ebpfrt btf dump clash.btf | grep -c "STRUCT 'moved'")" 2
try ebpfrt btf merge v1 v2
like "merge without -o" "$status $err" "^2 ebpfrt: merge takes files, and -o FILE"
try ebpfrt btf merge -o x.btf v1 /nowhere
like "merge: a file that isn't there" "$status $err" "^1 ebpfrt: .*/nowhere"
is "merge: and nothing is written" "$(ls x.btf* 2>/dev/null)" ""
mkdir many
for i in $(seq 30); do printf 'struct s%d { char c[VERSION]; } s%d;\n' "$i" "$i"; done >many/t.c
printf 'int main(void) { return 0; }\n' >>many/t.c
for v in 1 2; do "${CC:-cc}" -g -DVERSION=$v many/t.c -o many/v$v; done
try ebpfrt btf merge -o x.btf many/v1 many/v2
like "merge: many that clash are counted" "$err" "warning: and 10 more that are not the same"

# trouble is 2
try ebpfrt btf diff v1
like "one alone" "$status $err" "^2 ebpfrt: diff takes two"
try ebpfrt btf diff v1 /nowhere
like "a file that isn't there" "$status $err" "^2 ebpfrt: .*/nowhere"
head -c 5000 r2 >torn # of no other build that was kept
try ebpfrt btf diff v1 torn
like "a file that ends early" "$status $err" "^2 ebpfrt: torn: "
try ebpfrt btf diff --object v1 v1 v2
like "an object that is none" "$status $err" "^2 ebpfrt: v1 can't be relocated: .*not a valid eBPF object"
try ebpfrt btf diff --object /nowhere.o v1 v2
like "an object that isn't there" "$status $err" "^2 ebpfrt: cannot open /nowhere\\.o: No such file"
