#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Probed instructions that fault, in a slot and emulated: the application's handlers see its own instruction's address and
# registers, as without the probe; what they mend goes on.
. "${top_srcdir:-.}/tests/integration/lib.sh"
kinds="load store swap copy closed wild aligned past divide overflow pushes follows calls jumps away"
kinds="$kinds push_closed push_readonly push_past push_nowhere push_across call_closed call_readonly call_to_nowhere"
kinds="$kinds ret_closed ret_nowhere ret_to_nowhere jump_closed jump_nowhere jump_to_nowhere jump_frame no_block"
plan 94

target_program=$bin/faults
target_start
text=$(python3 "$stage/integration/text_hash.py" "$target")
for kind in $kinds; do
	say "$kind" 10
	want=$answer
	attach_start "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:faults:$kind" \
		--prog on_work_done=uretprobe:faults:nothing_calls_it
	say "$kind" 10
	is "$kind: all that the handler sees, and the result" "$answer" "$want"
	# an instruction that is started again is another hit
	case $kind in
	copy | aligned | divide | overflow | follows | jumps | away | *_*) hits=10 ;;
	*) hits=20 ;;
	esac
	is "$kind: hits" "$(map_value counts 0)" "$hits"
	attach_stop INT
	say "$kind" 10
	is "$kind: the same afterwards" "$answer" "$want"
done
is "every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
target_quit
