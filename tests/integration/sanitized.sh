#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that are built with sanitizers, and threads and children of theirs, with every function of the C library probed: started
# under probes, by a shell that is, and attached to. The run-times call the kernel by themselves, with all signals blocked where
# threads begin; one ends programs in which it isn't the first library. All that the programs see is as without.
. "${top_srcdir:-.}/tests/integration/lib.sh"

kinds="cc:address cc:thread cc:undefined cc:leak clang:address clang:thread cc:address:-static-libasan cc:thread:-static-libtsan"
plan 42
object=$bin/many.bpf.o
cat >words <<'EOW'
threads 4 20
fork 5
threads 2 10
quit 0
EOW

probed() { # output, command...
	to=$1
	shift
	ebpfrt run --no-maps -P "$object" --missing=ignore --prog "on_call=uprobe.multi:libc.so.6:*" \
		--prog "on_return=uretprobe.multi:libc.so.6:*" -o "$to.run" -- "$@" <words >"$to" 2>"$to.err"
	status=$?
	grep -v '^ready' "$to" >"$to.said"
	hits=$(sed -n 's/.*; \([1-9][0-9]*\) hits, 0 lost.*/\1/p' "$to.err" "$to.run" | tail -n 1)
}
says() { # what it says itself
	grep -v '^ebpfrt: ' "$1.err"
}

for kind in $kinds; do
	compiler=${kind%%:*}
	sanitizer=${kind#*:}
	flags=
	case $sanitizer in
	*:*) flags=${sanitizer#*:} ;;
	esac
	sanitizer=${sanitizer%%:*}
	name="$compiler -fsanitize=$sanitizer $flags"
	# shellcheck disable=SC2086
	if ! $compiler -g -O1 -D_GNU_SOURCE -fsanitize=$sanitizer $flags -o sanitized "$stage/integration/target.c" -ldl -lpthread 2>cc.err ||
		! ./sanitized <words >want 2>want.err; then
		skip 5 "nothing can be built with $name, or runs: $(cat cc.err want.err | head -n 1)"
		continue
	fi
	grep -v '^ready' want >want.said
	probed got ./sanitized
	is "$name: what it says" "$status $(cat got.said) $(says got)" "0 $(cat want.said) "
	like "$name: its calls were counted" "$hits" '^[0-9]{3,}$'
	probed got sh -c './sanitized; exit $?'
	is "$name: started by a shell" "$status $(cat got.said) $(says got)" "0 $(cat want.said) "
	like "$name: its calls were counted there" "$hits" '^[0-9]{3,}$'
	target_program=$PWD/sanitized
	target_start
	if attach_start "$target" "$object" --missing=ignore --prog "on_call=uprobe.multi:libc.so.6:*" \
		--prog "on_return=uretprobe.multi:libc.so.6:*"; then
		while read -r word; do
			[ "$word" = "quit 0" ] || { say "$word" && echo "$answer"; }
		done <words >got.said
		attach_stop INT
		target_quit
		is "$name: attached to" "$target_status $attach_status $(cat got.said) $(cat target.err)" "0 0 $(cat want.said) "
	else
		not_ok "$name: attached to" "$(cat attach.err)"
	fi
done

# children of such a program have neither its library nor ours, and all that is as the user wants it
if cc -g -fsanitize=address -o parent -x c - 2>cc.err <<'EOP'; then
#include <stdlib.h>
int main(void)
{
	return system("env; grep -c -e libasan /proc/self/maps") < 0;
}
EOP
	hidden() {
		grep -E '^LD_PRELOAD|^EBPFRT_AGENT|^[0-9]' "$1" | sort
	}
	env -u LD_PRELOAD ./parent >want 2>want.err
	probed got ./parent
	is "children of a program with a sanitizer: nothing of it, and nothing of ours" "$(hidden got)" "$(hidden want)"
	library=$(ldd parent | sed -n 's/.*=> \(.*libasan[^ ]*\).*/\1/p')
	set -- env LD_PRELOAD="$library" ASAN_OPTIONS=detect_leaks=0 sh -c 'env; exit 5'
	env -u LD_PRELOAD "$@" >want 2>want.err
	probed got "$@"
	is "a sanitizer that the user preloads" "$status $(hidden got) $(says got)" "5 $(hidden want) "
else
	skip 2 "nothing can be built with -fsanitize=address: $(head -n 1 cc.err)"
fi
