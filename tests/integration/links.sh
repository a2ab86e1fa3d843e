#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs come to one function and leave it, a thousand times, two clients at once: each call is counted by those that are there.
# What is said of links, and of calls about them that are wrong, is the kernel's (link_calls.expect); started as root where there
# is eBPF, the kernel at hand is asked, too. What a kernel refuses: another program in the place of a link's, and detaching one.
if [ -z "${EBPFRT_STAGE:-}" ] && [ "$(id -u)" = 0 ]; then
	# lib.sh takes this folder along
	timeout 60 "$top_builddir"/tests/integration/bin/link_calls >"$top_builddir"/tests/integration/bin/link_calls.oracle 2>/dev/null ||
		: >"$top_builddir"/tests/integration/bin/link_calls.oracle
fi
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 8

rounds=1000
target_start
say text
text=$answer
# 2172: what the schedule of links.c comes to
offset=$(ebpfrt list --json "$bin/target:work" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["offset"])')
attach_start "$target" "$bin/count.bpf.o"
ebpfrt exec -p "$target" -- "$bin/links" "$bin/many.bpf.o" "$target" "$bin/target" "$offset" $rounds <&9 >&8 2>links.err
is "a thousand times attached or detached beside another client: every count is right" "$? $(cat links.err)" "0 counted 0 2172"
calls=$((rounds / 4 * (0 + 1 + 2 + 3)))
is "and the other's" "$(map_value counts 0) $(map_value counts 2)" "$calls $calls"
attach_stop INT
say text
is "every byte is back" "$answer" "$text"
say call 5
is "the target goes on" "$answer" "sum 25"
target_quit
is "and ends well" "$target_status" 0

ebpfrt exec -- "$bin/link_calls" >link_calls.out 2>link_calls.err
if diff "$stage/integration/link_calls.expect" link_calls.out >link_calls.diff; then
	ok "$(wc -l <link_calls.out) lines about links are the kernel's"
else
	not_ok "what is said of links is the kernel's" "$(cat link_calls.diff link_calls.err)"
fi
if [ ! -s "$bin/link_calls.oracle" ]; then
	skip 1 "no kernel to ask: this needs root and eBPF"
elif n=$(diff "$bin/link_calls.oracle" "$stage/integration/link_calls.expect" | grep -c '^<') && [ "$n" -gt 0 ]; then
	skip 1 "kernel $(uname -r) answers $n of them differently from the one that was written down"
else
	ok "the kernel at hand agrees"
fi
changes() {
	cat <<-END
		a link $1
		as it was made: 5 and 0
		update to another attach type: -22
		replace what it doesn't run: -1
		not replaced: 4 and 0
		replace what it runs: 0
		replaced: 0 and 3
		update, whatever it runs: 0
		updated: 2 and 0
		detach: 0
		detached: 0 and 0
		update what is detached: -67
		detach again: 0
		it still has a number: 1
	END
}
is "a program takes another's place, every hit is that of one of them" \
	"$(ebpfrt exec -- "$bin/link_calls" changes 2>&1)" "$(changes "of many places" && changes "of an event")"
