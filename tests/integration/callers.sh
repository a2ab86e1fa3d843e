#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Functions that look at return addresses, their own or their caller's, while returns are probed: the loader's answers that
# depend on who asks, a profiler's counts of who called whom; and those that keep it for later (setjmp and its like), also
# where no symbol tells what they are: refused, with the reason.
. "${top_srcdir:-.}/tests/integration/lib.sh"
n=20
kinds="static static-pie"
functions="_setjmp __sigsetjmp getcontext vfork"
set -- $functions
plan $((2 * (8 + 4 + 2 * (3 * $# + 5))))

# target_start starts one word: a script that knows the library
cat >callers_target <<EOT
#!/bin/sh
exec $bin/callers $bin/callers_lib.so
EOT
chmod +x callers_target

totals() { # entries and returns of many functions
	ebpfrt map dump name many --json | python3 -c '
import json, sys
v = {}
for e in json.load(sys.stdin):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
print(v[0], v[1])'
}

loader() { # mode
	target_program=$PWD/callers_target
	target_start
	text=$(python3 "$stage/integration/text_hash.py" "$target")
	say go $n
	want=$answer
	like "$1: unprobed" "$want" "^next $n tail $n version $n open $n none [0-9a-f]+$"
	attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:libc.so.6:dlsym --prog on_work_done=uretprobe:libc.so.6:dlsym
	first=$attach_child
	attach_start "$target" "$bin/many.bpf.o" --prog "on_call=uprobe.multi:$bin/callers:c_*" \
		--prog "on_return=uretprobe.multi:$bin/callers:c_*"
	say go $n
	is "$1: the loader's answers are the same" "$answer" "$want"
	# next, tail, none, lib_open, the constructor
	is "$1: entries and returns of dlsym" "$(map_value counts 0) $(map_value counts 2)" "$((5 * n)) $((5 * n))"
	# next, tail, version, open and its work, none; the constructor's work
	is "$1: and of who calls it" "$(totals)" "$((7 * n)) $((7 * n))"
	attach_stop INT
	attach_child=$first
	attach_stop INT
	attach_start "$target" "$bin/many.bpf.o" --prog "on_call=uprobe.multi:libc.so.6:dl[osv]*" \
		--prog "on_return=uretprobe.multi:libc.so.6:dl[osv]*"
	say go $n
	is "$1: all of those functions probed: the same" "$answer" "$want"
	# dlsym, dlopen twice, dlvsym
	is "$1: entries and returns" "$(totals)" "$((8 * n)) $((8 * n))"
	attach_stop INT
	is "$1: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
	target_quit
	is "$1: it ends well" "$target_status" 0
}

# who called whom how often, as a profiler's file says
cat >arcs.py <<'EOT'
import struct, sys
data, at, arcs = open(sys.argv[1], "rb").read(), 20, []
while at < len(data):
    tag, at = data[at], at + 1
    if tag == 0:  # a histogram of time
        at += 40 + 2 * struct.unpack_from("<QQI", data, at)[2]
    elif tag == 1:
        arcs.append(struct.unpack_from("<QQI", data, at))
        at += 20
    else:
        sys.exit("a record of kind %d" % tag)
print(*("%x-%x:%d" % a for a in sorted(arcs)))
EOT
cat >profiled.c <<'EOT'
long p_leaf(long n);
long p_even(long n);
long p_odd(long n);
__attribute__((noinline)) long p_leaf(long n) { return n * 3; }
__attribute__((noinline)) long p_even(long n) { return n ? p_odd(n - 1) + p_leaf(n) : 0; }
__attribute__((noinline)) long p_odd(long n) { return n ? p_even(n - 1) + p_leaf(n) + p_leaf(1) : 1; }
int main(void)
{
	long sum = 0;
	for (long i = 0; i < 30; i++)
		sum += p_even(i) + p_leaf(i);
	return sum & 127;
}
EOT
profiler() { # mode
	if ! cc -pg -O1 -no-pie -o profiled profiled.c 2>cc.err; then
		skip 4 "nothing can be built with -pg: $(head -n 1 cc.err)"
		return
	fi
	./profiled
	plain=$?
	want=$(python3 arcs.py gmon.out)
	like "$1: a profiler, unprobed" "$want" "^[0-9a-f]+-[0-9a-f]+:[0-9]+ .*-"
	rm gmon.out
	try ebpfrt run -P "$bin/many.bpf.o" --prog "on_call=uprobe.multi:$PWD/profiled:p_*" \
		--prog "on_return=uretprobe.multi:$PWD/profiled:p_*" -- ./profiled
	is "$1: a profiler: status" "$status" "$plain"
	is "$1: a profiler: who called whom" "$(python3 arcs.py gmon.out)" "$want"
	hits=$(printf '%s\n' "$want" | tr ' ' '\n' | sed 's/.*://' | awk '{n += $1} END {print n}')
	like "$1: a profiler: entries and returns" "$err" "; $((2 * hits)) hits, 0 lost"
}

twice() { # mode, kind
	target_program=$bin/twice-$2-stripped
	if [ ! -s "$target_program" ]; then
		skip $((3 * $(echo "$functions" | wc -w) + 5)) "no program of that kind can be built here: $2"
		return
	fi
	target_start
	text=$(python3 "$stage/integration/text_hash.py" "$target")
	say go 30
	want=$answer
	for function in $functions; do
		at=$(nm "$bin/twice-$2" | sed -n "s/^\\([0-9a-f]*\\) . $function\$/0x\\1/p" | head -n 1)
		try ebpfrt attach -d 0 "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:$at" \
			--prog "on_work_done=uretprobe:$target_program:$at"
		like "$1: stripped, $2, the return of what was $function" "$status $(echo "$err" | grep cannot)" \
			"^1 .*cannot probe the return of that place: it reads its own return address .at [+]0x[0-9a-f]+., as setjmp does; use"
		attach_start "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:$at"
		say go 30
		is "$1: stripped, $2, its entry: the same" "$answer" "$want"
		like "$1: stripped, $2, its entry: hits" "$(map_value counts 0)" "^(1|30)$"
		attach_stop INT
	done
	at=$(nm "$bin/twice-$2" | sed -n 's/^\([0-9a-f]*\) . _Fork$/0x\1/p')
	attach_start "$target" "$bin/count.bpf.o" --prog "on_work=uprobe:$target_program:$at" \
		--prog "on_work_done=uretprobe:$target_program:$at"
	say go 30
	is "$1: stripped, $2, fork, which returns in two processes: the same" "$answer" "$want"
	is "$1: stripped, $2, fork: hits and returns" "$(map_value counts 0) $(map_value counts 2)" "30 60"
	attach_stop INT
	say go 30
	is "$1: stripped, $2: the same afterwards" "$answer" "$want"
	is "$1: stripped, $2: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
	target_quit
	is "$1: stripped, $2: it ends well" "$target_status" 4
}

for mode in trap auto; do
	EBPFRT_PROBE=$mode
	export EBPFRT_PROBE
	until_true eval '[ ! -S "$EBPFRT_RUNTIME_DIR/ctl" ]' # a daemon of its own
	loader $mode
	profiler $mode
	for kind in $kinds; do
		twice $mode $kind
	done
done
