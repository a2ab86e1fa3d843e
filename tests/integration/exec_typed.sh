#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Typed programs, uentry and uexit, that an ordinary libbpf program loads and attaches by their sections.
. "${top_srcdir:-.}/tests/integration/lib.sh"
. "$stage/integration/exec_lib.sh"
plan 14
trap '' PIPE # of a client that ended early

target_program=$bin/traced
target_start

client -- "$bin/exec_client" "$bin/exec_typed.bpf.o"
is "an unmodified libbpf program loads and attaches them" "$(cat client.out client.err)" ready
say go
is "the target goes on as before" "$answer" "done"
client_end
is "it ends well" "$status" 0
sed 1d client.out >results
is "an entry: what the argument leads to" "$(grep -E '^[12] ' results | tr '\n' ,)" "1 7,2 1,"
is "an exit: arguments and result" "$(grep -E '^[3-7] ' results | tr '\n' ,)" \
	"3 4294967291,4 120,5 200,6 1099511627776,7 4294967291,"
is "an exit: floating-point numbers" "$(grep -E '^[89] ' results | tr '\n' ,)" "8 4609434218613702656,9 4609997168567123968,"
say go
is "the target, without them" "$answer" "done"

client -- "$bin/exec_client" "$bin/exec_typed.bpf.o" on_items "$bin/traced" items
is "one is attached to a function that is named" "$(cat client.out client.err)" ready
client_end
client -- "$bin/exec_client" "$bin/exec_typed.bpf.o" on_items "$bin/traced" ret:items
client_end
like "as a return probe it isn't: it says itself at which end it runs" "$status $(head -n 1 client.out)" \
	"^1 cannot attach: Invalid argument"
client -- "$bin/exec_client" "$bin/exec_typed.bpf.o" on_nowhere
client_end
like "a function that isn't there" "$status $(head -n 1 client.out)" "^1 cannot load: "
like "is named" "$(cat client.err)" '^ebpfrt: SEC\("uentry//proc/self/exe:nowhere"\): .*nowhere'
client -- "$bin/exec_client" "$bin/exec_typed.bpf.o" on_nothing
client_end
like "a section without one" "$(cat client.err)" '^ebpfrt: SEC\("uentry"\) names no function: write SEC\("uentry/FILE:FUNCTION"\) or SEC\("uexit/FILE:FUNCTION"\)$'
ebpfrt typed-function >answer.out 2>answer.err
like "the command behind it is not for people" "$? $(cat answer.err)" "^2 ebpfrt: which section\\?"
target_quit
is "the target ends well" "$target_status" 0
