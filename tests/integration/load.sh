#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Probes on malloc, memcpy, pthread_mutex_lock, clock_gettime and __tls_get_addr, entries and returns, while threads and a signal
# handler do little else: every call is counted once, none is missed, and the results are those without probes.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 20
threads=6
n=500
calls=$((threads * n))

# target_start starts one word: a script that knows the library
cat >load_target <<EOT
#!/bin/sh
exec $bin/load $bin/load_lib.so
EOT
chmod +x load_target
target_program=$PWD/load_target

counted() { # all, own, returned of each function
	ebpfrt map dump name load --json | python3 -c '
import json, sys
v = {}
for e in json.load(sys.stdin):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
print(*(v[i] for i in range(15)))'
}

missed() {
	ebpfrt link list --json | python3 -c '
import json, sys
print(sum(t["missed"] + t["aborted"] for l in json.load(sys.stdin) for t in l["targets"]))'
}

exactly() { # how it was started
	# shellcheck disable=SC2046 # words
	set -- "$1" $(counted)
	how=$1
	shift
	before=$*
	say go $threads $n
	is "$how: the same result" "${answer% handled*}" "$want"
	handled=${answer##* }
	# shellcheck disable=SC2046
	set -- $before $(counted)
	i=0
	for name in malloc memcpy pthread_mutex_lock clock_gettime __tls_get_addr; do
		own=$calls
		case $name in
		memcpy | clock_gettime) own=$((calls + handled)) ;;
		esac
		eval "all=\$((\${$((i + 16))} - \${$((i + 1))})) ours=\$((\${$((i + 17))} - \${$((i + 2))}))"
		eval "returns=\$((\${$((i + 18))} - \${$((i + 3))}))"
		is "$how: $name: its calls, and returns of all there were" "$ours $returns" "$own $all"
		i=$((i + 3))
	done
	is "$how: none was missed" "$(missed)" 0
	echo "# $how: $handled times in the handler"
}

target_start
text=$(python3 "$stage/integration/text_hash.py" "$target")
say go $threads $n
want=${answer% handled*}
like "unprobed" "$answer" "^went [1-9][0-9]* wrong 0 handled [0-9]+$"
# come and go while all that is under way
bad=
for i in 1 2 3; do
	echo "go $threads $n" >&8
	attach_start "$target" "$bin/load.bpf.o"
	read -r answer <&9
	echo "go $threads $n" >&8
	attach_stop INT
	read -r other <&9
	[ "${answer% handled*} ${other% handled*}" = "$want $want" ] || bad="$bad [$answer] [$other]"
done
is "attached and left meanwhile: the same results" "$bad" ""
is "every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
attach_start "$target" "$bin/load.bpf.o"
exactly attached
attach_stop INT
is "detach" "$attach_status" 0
is "every byte is as before, again" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
target_quit

target_start ebpfrt run -q -o run.out -P "$bin/load.bpf.o" --
exactly run
target_quit
is "run: it ends well" "$target_status" 0
