#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Functions of the target that the programs of an ordinary libbpf program call: `ebpfrt exec --allow-call`.
# functions are called where a hit is a jump
EBPFRT_PROBE=auto
export EBPFRT_PROBE
. "${top_srcdir:-.}/tests/integration/lib.sh"
. "$stage/integration/exec_lib.sh"
plan 11
trap '' PIPE # of a client that ended early

target_program=$bin/callees
CALLEES=left
export CALLEES
exe=$(readlink -f "$bin/callees")
target_start

allowed=
for f in add_five narrow scale make_pair make_mixed make_large length sum change text_length; do
	allowed="$allowed --allow-call $exe:$f"
done
client $allowed -- "$bin/exec_client" "$bin/callees.bpf.o" on_tick "$exe" tick
is "an unmodified libbpf program loads what calls the target" "$(cat client.out client.err)" ready
say n 3
is "the target goes on as before" "$answer" "wrong 0"
client_end
is "it ends well" "$status" 0
is "and its program got what the functions give" "$(tr '\n' ',' <client.out)" \
	"ready,0 1103511693204,1 18446744073709551615,2 4617034042984890368,3 4294967293,4 4,5 7,6 4612811918334230528,7 24,8 4617315517961601024,9 33,11 4242,12 65534,13 13,"

client $allowed -- sh -c 'exec "$@"' sh "$bin/exec_client" "$bin/callees.bpf.o" on_tick "$exe" tick
is "so does one that a script starts" "$(cat client.out client.err)" ready
client_end

client -- "$bin/exec_client" "$bin/callees.bpf.o" on_tick "$exe" tick
client_end
like "without the option it isn't loaded" "$status $(head -n 1 client.out)" "^1 cannot load: "

client $allowed -- python3 -c 'import subprocess, sys
sys.exit(subprocess.call(sys.argv[1:]))' "$bin/exec_client" "$bin/callees.bpf.o" on_tick "$exe" tick
client_end
like "descriptors that were closed: nothing is loaded" "$status $(head -n 1 client.out)" "^1 cannot load: "
like "and that is said" "$(cat client.err)" \
	'^ebpfrt: the functions that --allow-call names are not known in process [0-9]+: its descriptors [0-9]+:[0-9]+ were closed; '

try ebpfrt exec --allow-call "$exe:nowhere" -- true
like "a function that isn't there" "$status $err" "^125 ebpfrt: --allow-call .*:nowhere: .*nowhere"
try ebpfrt exec --allow-call nothing -- true
like "no function" "$status $err" "^2 ebpfrt: --allow-call takes LIB:FUNC or LIB:FUNC,signal-safe, not 'nothing'"
target_quit
is "the target ends well" "$target_status" 0
