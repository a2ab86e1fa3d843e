#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A process that another of its threads forks while its sites are on the way from break to jump, and back: the children, which
# have jumps that nobody has noted yet, or bytes of them, are restored with their parent, byte for byte.
. "${top_srcdir:-.}/tests/integration/lib.sh"
rounds=${ROUNDS:-3}
plan $((rounds * 5 + 2))
EBPFRT_PROBE=auto
export EBPFRT_PROBE
target_program=$bin/midfork
target_start
text=$(python3 "$stage/integration/text_hash.py" "$target")
# all of them: the first is named, the others are counted
restored() {
	for p in $(pgrep -P "$target"); do
		[ "$(python3 "$stage/integration/text_hash.py" "$p")" = "$text" ] || return 1
	done
}
round=0
while [ $round -lt "$rounds" ]; do
	round=$((round + 1))
	# the agent is there then, and other threads run while probes are added
	attach_start -p "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:main" \
		--prog "on_work_done=uprobe:$target_program:main"
	first=$attach_child
	mv attach.err other.err # it writes there still
	say fork 300
	attach_start -p "$target" "$bin/many.bpf.o" --prog "on_call=uprobe.multi:libm.so.6:*" --missing=ignore
	say stop
	children=${answer#children }
	echo "# $children children"
	like "$round: there are children" "$children" '^[1-9][0-9]*$'
	attach_stop INT
	is "$round: the client ends well" "$attach_status" 0
	attach_child=$first
	attach_stop INT
	# of so many one may not get the time to answer: that is said, and tried again
	late=$(sed -n 's/^ebpfrt: probes are still in process \([0-9]*\).*: .*; the daemon goes on trying .*/\1/p' other.err)
	is "$round: the other client, too${late:+, but for $late}" "$attach_status" "$([ -z "$late" ] && echo 0 || echo 1)"
	[ -z "$late" ] || until_true restored || echo "# not restored: $late"
	say check
	is "$round: every child's text is as before" "${answer% results*}" "same $children"
	is "$round: and does what it did" "${answer#same * }" "results $children ended $children"
done
is "every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
target_quit
is "it ends well" "$target_status" 0
