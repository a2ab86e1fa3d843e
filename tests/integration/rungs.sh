#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What stands at a site: a jump wherever one can, a break where not or where it was asked for (EBPFRT_PROBE=trap). The same
# counts and results either way, back to every byte; and which share of a C library's functions takes a jump.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 24

# "e9" or "cc" or the byte of the file, by function: python reads the target's memory
bytes_of() { # file, function...
	python3 "$stage/integration/rungs.py" "$target" "$@"
}

# of a function's first instruction
length_of() { # file, function
	objdump -d "$1" | sed -n "/<$2>:/,/^$/s/^ *\\([0-9a-f]*\\):.*/\\1/p" | {
		read -r first
		read -r second
		echo $((0x$second - 0x$first))
	}
}

counts() { # mode, what stands there
	if [ "$1" = default ]; then
		unset EBPFRT_PROBE
	else
		EBPFRT_PROBE=$1
		export EBPFRT_PROBE
	fi
	until_true eval '[ ! -S "$EBPFRT_RUNTIME_DIR/ctl" ]' # a daemon of its own
	target_start
	text=$(python3 "$stage/integration/text_hash.py" "$target")
	attach_start "$target" "$bin/count.bpf.o"
	like "$1: what stands there" "$(bytes_of "$bin/target" work)" "^work $2$"
	say call 1000
	is "$1: hits" "$(map_value counts 0)" 1000
	attach_stop INT
	like "$1: nothing is lost" "$(tail -n 1 attach.err)" " 0 lost"
	is "$1: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
	target_quit
	is "$1: it ends well" "$target_status" 0
}

counts trap cc
# shorter than the jump, it is chance whether that has an end
[ "$(length_of "$bin/target" work)" -ge 5 ] && either=e9 || either='(cc|e9)'
counts default "$either"
counts auto "$either"

# the C library's functions, all at once
target_start
text=$(python3 "$stage/integration/text_hash.py" "$target")
libc=$(sed -n 's,.* \(/.*/libc[.-][^ ]*\)$,\1,p' "/proc/$target/maps" | head -n 1)
for pattern in "[a-h]*" "[i-z_]*"; do
	set -f
	attach_start -p "$target" "$bin/windows.bpf.o" --prog "many_1=uprobe.multi/$libc:$pattern"
	set +f
	share=$(bytes_of "$libc" --share)
	echo "# $pattern: $share"
	like "libc $pattern: the share of jumps" "$share" "^[0-9]+ jumps [0-9]+ breaks (99|100) %$"
	say call 100
	like "libc $pattern: it goes on" "$answer" "."
	attach_stop INT
	is "libc $pattern: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
done
target_quit
is "it ends well" "$target_status" 0

# nonsense is told
EBPFRT_PROBE=perhaps ebpfrtd --foreground >words 2>&1
is "a value that there is not" $? 2
like "its words" "$(cat words)" "EBPFRT_PROBE is neither trap, jump nor auto: 'perhaps'"
