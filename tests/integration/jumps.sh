#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A timer's handler that jumps out of probed code 20,000 times, most often out of a slot: every hit is counted, none twice, no
# jump is lost, and what was probed is as before. The same with signals of faults and traps that are
# sent, and of a function's returns.
. "${top_srcdir:-.}/tests/integration/lib.sh"
jumps=20000
plan 29

target_program=$bin/jumps
target_start
text=$(python3 "$stage/integration/text_hash.py" "$target")
for kind in slot:in_slot step:stepped; do
	insn=${kind#*:}
	kind=${kind%:*}
	say $kind $jumps
	like "$kind: without a probe" "$answer" "^$kind $jumps hits [0-9]+ lost 0 slots 0$"
	attach_start "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:jumps:$insn" \
		--prog on_work_done=uretprobe:jumps:main
	rung=$(python3 "$stage/integration/rungs.py" "$target" "$bin/jumps" "$insn")
	case ${EBPFRT_PROBE:-trap} in
	trap) is "$kind: what stands there" "$rung" "$insn cc" ;;
	*) like "$kind: what stands there" "$rung" "^$insn (cc|e9)$" ;; # whether its jump's end is free is chance
	esac
	say $kind $jumps
	like "$kind: all jumps, nothing lost" "$answer" "^$kind $jumps hits [0-9]+ lost 0 slots [0-9]+$"
	hits=${answer#* hits }
	hits=${hits%% *}
	is "$kind: hits" "$(map_value counts 0)" "$hits"
	slots=${answer##* }
	# only in a trap is it emulated, where it is
	[ "$rung" != "stepped cc" ] || slots=$((jumps - slots))
	[ "$slots" -gt $((jumps / 10)) ] && ok "$kind: where it was" || not_ok "$kind: where it was" "$answer"
	say $kind $jumps sent
	like "$kind: sent, all jumps, nothing lost" "$answer" "^$kind $jumps hits [0-9]+ lost 0 slots [0-9]+$"
	sent=${answer#* hits }
	is "$kind: sent, hits" "$(map_value counts 0)" $((hits + ${sent%% *}))
	attach_stop INT
	is "$kind: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
	say $kind $jumps
	like "$kind: the same afterwards" "$answer" "^$kind $jumps hits [0-9]+ lost 0 slots 0$"
	is "$kind: detach" "$attach_status" 0
done

# the returns of a function, where that is a call instead of a trap
for kind in calm:$jumps back:$jumps; do
	n=${kind#*:}
	kind=${kind%:*}
	attach_start "$target" "$bin/count.bpf.o" --prog on_work_done=uretprobe:jumps:returning
	say "$kind" "$n"
	like "$kind: what it returns" "$answer" "^$kind $n returned [0-9]+ perhaps [0-9]+ wrong 0$"
	least=$(echo "$answer" | sed 's/.* returned \([0-9]*\) .*/\1/')
	most=$((least + $(echo "$answer" | sed 's/.* perhaps \([0-9]*\) .*/\1/')))
	hits=$(map_value counts 2)
	[ "$hits" -ge "$least" ] && [ "$hits" -le "$most" ] && ok "$kind: every return is counted" ||
		not_ok "$kind: every return is counted" "$hits of $least to $most"
	is "$kind: with what it returned" "$(map_value counts 3)" \
		"$(python3 -c 'import sys; print(int(sys.argv[1]) * 0x123456789abcdef0 % 2**64)' "$hits")"
	attach_stop INT
	is "$kind: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
done
target_quit
is "it ends well" "$target_status" 0
