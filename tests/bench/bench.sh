#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# `make bench`: what a hit, a map operation and a program cost. The contenders of a table alternate, round by round, in one
# invocation, so that ratios mean something on a machine that is not quiet: look at those, not at the nanoseconds. Every
# figure of a round is itself the median of pieces of it; printed are minimum, median and maximum over the rounds, and
# ratios of the medians (x-floor-min: of the minima, which are disturbed least). What can't be had here is skipped, by
# name and with the reason. Nothing is left behind.
#
#	ROUNDS=15 CALLS=30000 make bench
set -u
build=${top_builddir:-.}
rounds=${ROUNDS:-15}
calls=${CALLS:-30000}
here=$build/tests/bench
names="base empty hash ring ret"
nnames="nbase nempty ncount nhash nring nret"
work=$(mktemp -d) || exit 1
EBPFRT_RUNTIME_DIR=$work/run
EBPFRT_IDLE=1
EBPFRT_PROBE="trap"
export EBPFRT_RUNTIME_DIR EBPFRT_IDLE EBPFRT_PROBE

# the daemon leaves by itself when it has been idle for a second
clean() {
	tries=0
	while [ -n "$(find "$work" -name ctl)" ] && [ $tries -lt 50 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP PIPE

collect() { # prefix, command...: "prefix:name ns" to the samples
	prefix=$1
	shift
	"$@" 2>"$work/err" | sed -n "s/^\([a-z]*\) \([0-9.]*\)\$/$prefix:\1 \2/p" >>"$work/samples"
}

# what others need that the machine may not have
why_no_uftrace=
if ! command -v uftrace >/dev/null; then
	why_no_uftrace="uftrace is not installed"
elif ! ${CC:-cc} -O2 -pg -o "$work/peer" "$(dirname "$0")/peer.c" 2>"$work/err"; then
	why_no_uftrace="no compiler makes its target"
fi
why_no_lttng="lttng is not installed"
if command -v lttng >/dev/null; then
	why_no_lttng="its events are compiled into a program of their own, which is not here"
fi

why_no_kernel=
why_no_multi=
i=0
while [ $i -lt "$rounds" ]; do
	collect floor "$here/hit" --trap "$calls" base trap
	EBPFRT_PROBE="trap"
	collect ours "$build/ebpfrt" run -q -P "$here/hit.bpf.o" -o "$work/out" -- "$here/hit" "$calls" $names
	# another daemon: how it probes is settled when it starts
	runtime=$EBPFRT_RUNTIME_DIR
	EBPFRT_PROBE=auto
	EBPFRT_RUNTIME_DIR=$work/jump
	collect jump "$build/ebpfrt" run -q -P "$here/hit.bpf.o" -o "$work/out" -- "$here/hit" $((calls * 10)) empty $nnames
	collect two "$build/ebpfrt" run -q -P "$here/hit.bpf.o" -o "$work/out" -- "$here/hit" --threads 2 $((calls * 10)) \
		nempty nhash
	EBPFRT_RUNTIME_DIR=$runtime
	if [ $i = 0 ] && [ -s "$work/err" ]; then
		sed 's/^/# /' "$work/err"
	fi
	if [ -z "$why_no_kernel" ]; then
		"$here/kernel" "$here/hit.bpf.o" "$here/hit" "$calls" $names nempty >"$work/kernel" 2>"$work/err" ||
			why_no_kernel=$(sed 's/^kernel uprobes: //' "$work/err")
		[ -n "$why_no_kernel" ] || sed 's/^/kernel:/' "$work/kernel" >>"$work/samples"
	fi
	collect peer "$here/peer" ptrace $((calls / 10))
	[ -n "$why_no_uftrace" ] || collect uftrace uftrace record --no-libcall -d "$work/uftrace" "$work/peer" work "$calls"
	if [ -z "$why_no_multi" ]; then
		"$here/kernel" --multi "$here/hit.bpf.o" "$here/hit" "$calls" $nnames >"$work/kernel" 2>"$work/err" ||
			why_no_multi=$(sed 's/^kernel uprobes: //' "$work/err")
		[ -n "$why_no_multi" ] || sed 's/^/multi:/' "$work/kernel" >>"$work/samples"
	fi
	i=$((i + 1))
done

echo "$(uname -rm), $(nproc) CPUs, load $(cut -d' ' -f1 /proc/loadavg); $rounds rounds of $calls calls"
echo
sort -k1,1 -k2,2n "$work/samples" | awk -v why="$why_no_kernel" -v why_multi="$why_no_multi" \
	-v no_uftrace="$why_no_uftrace" -v no_lttng="$why_no_lttng" '
	function reason(k) {
		return k ~ /^multi/ ? why_multi : k ~ /^kernel/ ? why : k ~ /^uftrace/ ? no_uftrace : \
			k ~ /^lttng/ ? no_lttng : ""
	}
	function median(k) {return v[k, int((c[k] + 1) / 2)]}
	function ratio(a, b) {return b ? sprintf("%9.2f", a / b) : sprintf("%9s", "-")}
	function row(k, what) {
		if (c[k])
			printf "%-36s %10.1f %10.1f %10.1f %s   %s %s\n", what, v[k, 1], median(k), v[k, c[k]],
				ratio(v[k, 1], v["floor:trap", 1]), ratio(median(k), median("floor:trap")),
				ratio(median(k), median("ours:empty"))
		else
			printf "%-36s skipped: %s\n", what, reason(k) ? reason(k) : "it failed"
	}
	# against the call of the same function unprobed, and the best that the kernel has for it
	function jump(k, what, peer) {
		if (c[k])
			printf "%-36s %10.1f %10.1f %10.1f %s   %s\n", what, v[k, 1], median(k), v[k, c[k]],
				ratio(median(k), median("jump:nbase")), peer && c[peer] ? ratio(median(peer), median(k)) : ""
		else
			printf "%-36s skipped: %s\n", what, reason(k) ? reason(k) : "it failed"
	}
	{v[$1, ++c[$1]] = $2}
	END {
		printf "%-36s %10s %10s %10s %9s %11s\n", "hit by a jump, ns per call", "min", "median", "max", "x-call",
			"kernel is x"
		jump("jump:nbase", "unprobed call")
		jump("jump:nempty", "jump on nop, empty program", "multi:nempty")
		jump("jump:empty", "jump on push, empty program", "kernel:empty")
		jump("jump:ncount", "jump, counter in a global variable", "multi:ncount")
		jump("jump:nhash", "jump, hash increment, 1,024 keys", "multi:nhash")
		jump("jump:nring", "jump, 64-byte ring record, reader", "multi:nring")
		jump("jump:nret", "return probe, empty", "multi:nret")
		jump("two:nempty", "two threads, empty program", "jump:nempty")
		jump("two:nhash", "two threads, separate keys", "jump:nhash")
		jump("kernel:nempty", "kernel uprobe on nop, empty")
		jump("kernel:empty", "kernel uprobe on push, empty")
		jump("multi:nempty", "kernel uprobe.multi on nop, empty")
		jump("multi:ncount", "kernel uprobe.multi, counter")
		jump("multi:nhash", "kernel uprobe.multi, hash increment")
		jump("multi:nring", "kernel uprobe.multi, ring record")
		jump("multi:nret", "kernel uretprobe.multi, empty")
		printf "\n%-36s %10s %10s %10s %11s %9s %9s\n", "hit, ns per call", "min", "median", "max", "x-floor-min",
			"x-floor", "x-empty"
		row("floor:base", "unprobed call")
		row("ours:base", "unprobed call in a probed process")
		row("floor:trap", "int3, empty SIGTRAP handler (floor)")
		row("ours:empty", "int3 probe, empty program")
		row("ours:hash", "int3 probe, hash increment")
		row("ours:ring", "int3 probe, 64-byte ring record")
		row("ours:ret", "return probe (two hits), empty")
		row("kernel:empty", "kernel uprobe, empty program")
		row("kernel:hash", "kernel uprobe, hash increment")
		row("kernel:ring", "kernel uprobe, 64-byte ring record")
		row("kernel:ret", "kernel uretprobe, empty program")
		row("peer:ptrace", "ptrace, an empty tracer")
		row("uftrace:work", "uftrace -pg, entry and exit")
		row("lttng:event", "lttng-ust event")
	}'
echo
"$here/map"
echo
"$here/mapprog"
echo
"$here/share"
echo
for mode in trap auto; do
	EBPFRT_PROBE=$mode
	EBPFRT_RUNTIME_DIR=$work/attach-$mode
	echo "EBPFRT_PROBE=$mode"
	python3 "$(dirname "$0")/attach.py" "$build" "$here/attach.bpf.o" "$rounds"
	echo
done
EBPFRT_PROBE="trap"
EBPFRT_RUNTIME_DIR=$work/run
"$here/exec" "$here/exec.bpf.o"
echo
"$here/verify"
echo
"$build/ebpfrt" exec -- "$here/verify" --loads
