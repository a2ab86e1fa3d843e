#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# `make bench`: every figure of one table comes from one invocation, the contenders alternating round by round, so that
# ratios mean something on a machine that is not quiet. Prints ns per call: minimum, median, maximum over the rounds, and
# the ratio of the medians to the unprobed call and to an empty SIGTRAP handler. A contender that isn't there is skipped
# by name.
set -u
build=${top_builddir:-.}
rounds=${ROUNDS:-5}
calls=${CALLS:-100000}
here=$build/tests/bench
work=$(mktemp -d)
trap 'rm -rf "$work"; EBPFRT_RUNTIME_DIR=$work/run "$build/ebpfrt" detach --all >/dev/null 2>&1' EXIT
export EBPFRT_RUNTIME_DIR="$work/run" EBPFRT_IDLE=2

collect() { # label prefix, command...: appends "prefix:name ns" lines
	prefix=$1
	shift
	"$@" 2>"$work/err" | sed -n "s/^\([a-z]*\) \([0-9.]*\)\$/$prefix:\1 \2/p" >>"$work/samples"
}

i=0
kernel=yes
while [ $i -lt "$rounds" ]; do
	collect floor "$here/hit" --trap "$calls" base trap
	collect ours "$build/ebpfrt" run -q -P "$here/hit.bpf.o" -o "$work/out" -- "$here/hit" "$calls" base empty hash ring ret
	[ -s "$work/err" ] && [ $i = 0 ] && sed 's/^/# /' "$work/err"
	if [ $kernel = yes ]; then
		"$here/kernel" "$here/hit.bpf.o" "$here/hit" "$calls" base empty hash ring ret >"$work/kernel" 2>"$work/err"
		case $? in
		0) sed 's/^/kernel:/' "$work/kernel" >>"$work/samples" ;;
		*)
			kernel=no
			echo "skipped: $(cat "$work/err")"
			;;
		esac
	fi
	i=$((i + 1))
done

echo "ns per call, $rounds alternating rounds of $calls calls"
printf '%-52s %10s %10s %10s %9s %9s\n' what min median max x-call x-trap
sort -k1,1 -k2,2n "$work/samples" | awk '
	BEGIN {
		n = split("floor:base|unprobed call|floor:trap|int3, empty SIGTRAP handler (the floor)|" \
			"ours:base|unprobed call beside probes|ours:empty|ebpfrt int3 probe, empty program|" \
			"ours:hash|ebpfrt int3 probe, hash increment|ours:ring|ebpfrt int3 probe, 64-byte ring record|" \
			"ours:ret|ebpfrt return probe, empty program|" \
			"kernel:empty|kernel uprobe (push %rbp), empty program|kernel:hash|kernel uprobe, hash increment|" \
			"kernel:ring|kernel uprobe, 64-byte ring record|kernel:ret|kernel uretprobe, empty program", list, "|")
	}
	{v[$1, ++c[$1]] = $2}
	function median(k) {return v[k, int((c[k] + 1) / 2)]}
	END {
		for (i = 1; i < n; i += 2) {
			k = list[i]
			if (!c[k]) {printf "%-52s %10s\n", list[i + 1], "missing"; continue}
			printf "%-52s %10.1f %10.1f %10.1f %9.1f %9.2f\n", list[i + 1], v[k, 1], median(k), v[k, c[k]],
				median(k) / median("floor:base"), median(k) / median("floor:trap")
		}
	}'

for more in bench_map bench_bpf; do
	if [ -x "$here/$more" ]; then
		echo
		"$here/$more"
	fi
done
