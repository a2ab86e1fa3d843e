#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# One object, several files with types of their own: each program reads those of the file it is in, in every version at once.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 77

o=$bin/modules.bpf.o
m=$bin/mod

# an app, by its number, on descriptors 3/4 or 5/6
app_start() { # slot, name
	rm -f "app$1.in" "app$1.out"
	mkfifo "app$1.in" "app$1.out"
	"$m/$2" <"app$1.in" >"app$1.out" &
	if [ "$1" = 1 ]; then
		exec 3>app1.in 4<app1.out
		read -r _ app1 <&4
	else
		exec 5>app2.in 6<app2.out
		read -r _ app2 <&6
	fi
}

use1() {
	echo "$*" >&3
	read -r answer <&4
}

use2() {
	echo "$*" >&5
	read -r answer <&6
}

# seen PID: what was read there
seen() {
	printf '%s\n' "$out" | sed -n "s/^@seen\[$1\]: //p"
}

want() { # value, weight, own, caller, tail
	echo "{ \"value\": $1, \"weight\": $2, \"own\": $3, \"caller\": $4, \"tail\": $5 }"
}

# --- two versions at once, and the executables that have another struct item
both() { # object, what it is, tail 1, tail 2, sites
	app_start 1 app1
	app_start 2 app2
	attach_start -p "$app1" -p "$app2" "$1"
	use1 5 50
	is "$2: the first is as it was" "$answer" used
	use2 7 70
	is "$2: the second is as it was" "$answer" used
	attach_stop INT
	out=$(cat attach.out)
	err=$(cat attach.err)
	is "$2: version 1 is read right" "$(seen "$app1")" "$(want 1005 50 6 50 "$3")"
	is "$2: version 2 is read right, at once" "$(seen "$app2")" "$(want 1007 70 8 70 "$4")"
	like "$2: global data is one" "$out" "^@hits: 4$"
	like "$2: its initial value as well" "$out" "^@bias: 1000$"
	like "$2: each is probed, each is restored" "$err" "detached, $5 sites restored; $5 hits, 0 lost"
}

both "$o" "two versions" 0 0 4
both "$bin/modules_tails.bpf.o" "programs that call each other" 5 7 4
both "$bin/modules_usdt.bpf.o" "USDT probes" 50 70 6
exec 3>&- 4<&- 5>&- 6<&-

# --- commands: what the loader will map with them, wherever that is
for v in 1 2; do
	echo "3 30" >line
	ebpfrt run -P "$o" -- "$m/app$v" <line >try.out 2>try.err
	like "run: version $v is found and read right" "$(cat try.err)" "$(want 1003 30 4 30 0)"
	is "run: version $v does what it does" "$(sed 1d try.out)" used
done
LD_LIBRARY_PATH=$m/v2 ebpfrt run -P "$o" -- "$m/app1" <line >try.out 2>try.err
like "run: the environment is the loader's" "$(cat try.err)" "$(want 1003 30 4 30 0)"

# --- what is where
try ebpfrt -v check --prog "on_app=uprobe:$m/app1:app_use" --prog "on_item=uprobe:$m/v1/libmod.so.1:item_use" "$o"
like "check: the library's type is the library's" "$err" "libmod.so.1: struct item is that of .*/v1/libmod.so.1"
like "check: the executable's type is the executable's" "$err" "app1: struct item is that of .*/app1$"
like "check: what the library doesn't know is its user's" "$err" "libmod.so.1: struct caller is that of .*/app1$"
is "check: it is fine" "$status" 0

try ebpfrt check --prog "on_item=uprobe:$m/v1/libmod.so.1:item_use" --btf "$m/app1" "$o"
like "check: a target that isn't known" "$out" "^on_app .*known with -p PID"

# --- a process that becomes another program, with another version
mkfifo later.in later.out
ebpfrt -v run -o results -P "$o" -- "$m/app1" "$m/app2" <later.in >later.out 2>later.err &
run_child=$!
exec 3>later.in 4<later.out
read -r _ app1 <&4
use1 5 50
echo "0 0" >&3
read -r word _ <&4
is "later: it is another program" "$word" ready
probed() {
	ebpfrt link list | grep -A1 'v2/libmod.so.1.2.0:item_use' | grep -q attached
}
until_true probed && ok "later: its version is probed" || not_ok "later: its version is probed" "$(ebpfrt link list)" "$(cat later.err)"
use1 7 70
is "later: it is as ever" "$answer" used
exec 3>&- 4<&-
wait $run_child
is "later: so is its end" "$?" 0
like "later: what it read is right" "$(cat results)" "^@seen\[$app1\]: { \"value\": 1007, \"weight\": 70, \"own\": 6, \"caller\": 70,"
like "later: said" "$(cat later.err)" "on_item +uprobe .*v2/libmod.so.1.2.0:item_use  attached"

# --- whose first call comes before anybody could wait for it
printf '5 50\n0 0\n7 70\n' >line
ebpfrt run -o results -P "$o" -- "$m/app1" "$m/app2" <line >first.out 2>first.err
is "first: it does what it does" "$(grep -c used first.out)" 2
# on a machine that is slow enough it is missed, and that is said
like "first: its first call is read, and right" "$(cat results first.err)" \
	'"value": 1007, "weight": 70, "own": 6, "caller": 70,|was not held any longer'

# --- who is to look at it doesn't: it goes on, and that is said
rm -f later.in later.out
mkfifo later.in later.out
ebpfrt run -o results -P "$o" -- "$m/app1" "$m/app2" "$m/app1" "$m/app2" <later.in >later.out 2>later.err &
run_child=$!
exec 3>later.in 4<later.out
read -r _ app1 <&4
use1 5 50
waited() { # times
	[ "$(grep -c "process $app1: not all of its clients have looked" "$stage/run/ebpfrt/daemon.log")" = "$1" ]
}
kill -STOP $run_child
for again in 1 2 3; do
	echo "0 0" >&3
	read -r word _ <&4
	is "late: it goes on ($again)" "$word" ready
done
waited 1 && ok "late: who was late is not waited for again" ||
	not_ok "late: who was late is not waited for again" "$(cat "$stage/run/ebpfrt/daemon.log")"
use1 7 70
is "late: it is as ever" "$answer" used
kill -CONT $run_child
said_late() {
	[ "$(grep -c "^ebpfrt: warning: process $app1 was not held any longer: what its new program or libraries called before their probes were there was missed" later.err)" = 3 ]
}
until_true said_late && ok "late: said" || not_ok "late: said" "$(cat later.err)"
exec 3>&- 4<&-
wait $run_child
is "late: so is its end" "$?" 0

# --- another version, loaded by a process that runs
for how in run attach before; do
	printf '5 50\n-1 0\n7 70\n' >line
	if [ $how = run ]; then
		ebpfrt -v run -o results -P "$o" -- "$m/app1" "$m/v2/libmod.so.1" <line >loads.out 2>loads.err
		out=$(cat results)
	else
		rm -f app1.in app1.out
		mkfifo app1.in app1.out
		"$m/app1" "$m/v2/libmod.so.1" <app1.in >app1.out &
		exec 3>app1.in 4<app1.out
		read -r _ app1 <&4
		if [ $how = before ]; then
			echo "-1 0" >&3
			until_true grep -q 'v2/libmod.so.1.2.0' "/proc/$app1/maps" || not_ok "$how: it is loaded"
			echo "7 70" >line
			echo used >loads.out
		else
			: >loads.out
		fi
		attach_start -v -p "$app1" "$o"
		cat line >&3
		[ $how = before ] || {
			read -r answer <&4
			echo "$answer" >>loads.out
		}
		read -r answer <&4
		echo "$answer" >>loads.out
		attach_stop INT
		exec 3>&- 4<&-
		out=$(cat attach.out)
		cp attach.err loads.err
	fi
	is "loaded later, $how: it does what it does" "$(grep -c used loads.out)" 2
	like "loaded later, $how: its first call is read, and right" "$out $(cat loads.err)" \
		'"value": 1007, "weight": 70, "own": 8, "caller": 70,|was not held any longer'
	like "loaded later, $how: said" "$(cat loads.err)" "on_item +uprobe .*v2/libmod.so.1.2.0:item_use  (attached|pending)"
done

mkfifo later2.in later2.out
ebpfrt run -o results -P "$o" -- "$m/app1" "$m/app3" "$m/app3" <later2.in >later2.out 2>later.err &
run_child=$!
exec 3>later2.in 4<later2.out
read -r _ app1 <&4
for again in once twice; do
	echo "0 0" >&3
	read -r word _ <&4
	refused() {
		grep -q 'v3/libmod.so.1 is not probed in process' later.err
	}
	until_true refused && ok "later: a version without the field is left out ($again)" ||
		not_ok "later: a version without the field is left out ($again)" "$(cat later.err)"
	use1 7 70
	is "later: it is as ever ($again)" "$answer" used
done
exec 3>&- 4<&-
wait $run_child
like "later: with the reason" "$(cat later.err)" "reads field 'value' of struct item, which .*/v3/libmod.so.1 does not have"
is "later: once" "$(grep -c 'is not probed in process' later.err)" 1

# --- what isn't there
app_start 1 app3
try ebpfrt attach -p "$app1" "$o"
is "a field that a version doesn't have is refused" "$status" 1
like "by the field, the type and the file" "$err" "modules.bpf.o cannot be relocated: it reads field 'value' of struct item, which .*/v3/libmod.so.1 does not have"
like "with the line" "$err" "^  at .* @ modules.bpf.c:[0-9]+"
like "and what to do" "$err" "^  .ebpfrt btf dump .*/v3/libmod.so.1 format c. shows what is there; bpf_core_field_exists\(\) asks for it first"
use1 1 1
is "and nothing happened to the process" "$answer" used
next=$(printf '%s\n' "$err" | sed -n 's/^  .ebpfrt \(btf dump .*\). shows.*/\1/p')
# shellcheck disable=SC2086 # words of a command
try ebpfrt $next
like "the command that it names shows it" "$out" "^struct item \{"
like "and what is there instead" "$out" "} amount;"
exec 3>&- 4<&-

# --- two callers that differ, one library: nobody knows which is meant
app_start 1 app1
app_start 2 app1b
try ebpfrt attach -p "$app1" -p "$app2" "$o"
is "callers whose types differ are refused" "$status" 1
like "by the type and both files" "$err" "modules.bpf.o: struct caller is not the same in .*/app1 and in .*/app1b, and it can't be told which one the program reads"
like "and what to do" "$err" "^  .ebpfrt btf dump FILE format c. shows each; trace one process at a time, or give the types with --btf FILE"
exec 5>&- 6<&-
app_start 2 app1c
attach_start -p "$app1" -p "$app2" "$o"
use1 5 50
use2 7 70
attach_stop INT
out=$(cat attach.out)
is "callers that agree are not" "$(seen "$app1") $(seen "$app2")" "$(want 1005 50 6 50 0) $(want 1007 70 8 70 0)"
exec 5>&- 6<&-

# --- a library without types, whose user has them
app_start 2 app4
try ebpfrt attach -p "$app2" -d 1ms "$o"
like "a type that only another file has is said to be that" "$err" \
	"^ebpfrt: .*/bare/libmod.so.1 has no types of its own: struct caller is read as .*/app4 has it"
is "once for each type" "$(printf '%s\n' "$err" | grep -c 'libmod.so.1 has no types of its own')" 2
exec 5>&- 6<&-

# --- a type that nobody has
strip -g -o app5 "$m/app1"
rm -rf "$HOME/.cache" # it has the build-id of what was converted
try ebpfrt check --prog "on_app=uprobe:$PWD/app5:app_use" --prog "on_item=uprobe:$m/v1/libmod.so.1:item_use" "$o"
is "a type that nobody has is refused" "$status" 1
like "by the type and the file" "$err" "reads struct caller, which the BTF of .*/v1/libmod.so.1 does not describe, nor that of what is loaded beside it"
like "and what to do" "$err" "^  .ebpfrt btf dump .*/v1/libmod.so.1 format c. shows what it does; give the BTF .* with --btf FILE"
