#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Keys and values of maps as their types have them: printed, and written the same way.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 15

target_start
attach_start -p "$target" "$bin/values.bpf.o"
say call 1
key='{"state":"BUSY","address":16777343,"bytes":[127,0,0,1],"port":8080,"name":"worker"}'
value='{"calls":0,"state":1,"retries":33,"last":70000,"range":{"low":0,"high":0},"where":"0x1000","history":[[1,2],[3,0]],"seen":true}'
one_line() {
	python3 -c 'import json,sys; print(json.dumps(json.load(sys.stdin), separators=(",", ":")))'
}
is "dump" "$(ebpfrt map dump name pairs | one_line)" "[{\"key\":$key,\"value\":$value}]"
is "dump for programs has it beside the bytes" "$(ebpfrt map dump name pairs --json | python3 -c '
import json, sys
e = json.load(sys.stdin)[0]
print(e["key"][:4], e["formatted"]["key"]["state"], e["formatted"]["value"]["retries"])')" "['0x01', '0x00', '0x00', '0x00'] BUSY 33"
is "a key as it is printed finds it" "$(ebpfrt map lookup name pairs key "$key" | one_line)" "{\"key\":$key,\"value\":$value}"
try ebpfrt map lookup name pairs key '{"state":"BUSY","address":"0x0100007f","port":8080,"name":"worker"}'
is "as does one by hand" "$status $err" "0 "
try ebpfrt map lookup name pairs key '{"state":"IDLE","address":1}'
like "another one isn't there" "$status $err" "^1 ebpfrt: there is no such element"
try ebpfrt map update name pairs key '{"state":"GONE","name":"x"}' value '{"calls":7,"retries":63,"range":{"low":-5},"history":[[9]],"seen":true}'
is "update" "$status $err" "0 "
is "what was left out is zero" "$(ebpfrt map lookup name pairs key '{"state":-1,"name":"x"}' | one_line)" \
	'{"key":{"state":"GONE","address":0,"bytes":[0,0,0,0],"port":0,"name":"x"},"value":{"calls":7,"state":0,"retries":63,"last":0,"range":{"low":-5,"high":0},"where":"0x0","history":[[9,0],[0,0]],"seen":true}}'
try ebpfrt map update name pairs key '{"state":"GONE"}' value '{"retries":64}'
like "a bitfield that is too narrow" "$status $err" "^1 ebpfrt: the value: 64 does not fit into the 6 bits of 'retries'"
try ebpfrt map update name pairs key '{"state":"ASLEEP"}' value '{}'
like "no such enumerator" "$status $err" "^1 ebpfrt: the key: 'ASLEEP' is not a number"
try ebpfrt map update name pairs key '{"stage":1}' value '{}'
like "no such member" "$status $err" "^1 ebpfrt: the key: the type has no member 'stage'"
try ebpfrt map update name pairs key '{"port":65536}' value '{}'
like "a number that is too large" "$status $err" "^1 ebpfrt: the key: 65536 does not fit into 2 bytes"
try ebpfrt map update name pairs key '{"name":"overlong"}' value '{}'
like "text that is too long" "$status $err" "^1 ebpfrt: the key: the text has 8 bytes, there is room for 6"
try ebpfrt map delete name pairs key '{"state":"GONE","name":"x"}'
is "delete" "$status $err" "0 "
attach_stop INT
like "at the end of the session: the key" "$(cat attach.out)" "^@pairs\\[\\{ \"state\": \"BUSY\", \"address\": 16777343,"
like "the value" "$(cat attach.out)" "\"range\": \\{ \"low\": 0, \"high\": 0 \\}, \"where\": \"0x1000\""
target_quit
