# SPDX-License-Identifier: BSD-2-Clause
#
# What every integration test sources first. The tests see the product as its users do: started as root they become nobody
# for good (no capabilities, no_new_privs) in a staged copy of the product, with a runtime directory of their own.
#
# TAP: plan N; ok NAME; not_ok NAME; is NAME GOT WANT; like NAME TEXT PATTERN; bail WHY... where nothing can follow.
# A test that ends before its end (a shell's error, a signal, nobody who reads what `say` writes, its time) bails out, too:
# with its last test, its last command, how its target and the client ended, and what the daemon has written down.
# Tests show breaks unless they say otherwise: what they show of those the scripts jumped*.sh show of jumps, which are the
# default, EBPFRT_PROBE=auto.
# A target: target_start; say COMMAND -> $answer; target_quit.
set -u

# without an arch folder nothing is probed; a test that needs no probe says so before it comes here
if [ "${EBPFRT_ARCH:-}" = generic ] && [ -z "${no_probe_needed:-}" ]; then
	echo "1..0 # SKIP nothing is probed on this CPU"
	exit 0
fi

if [ -z "${EBPFRT_STAGE:-}" ]; then
	stage=$(mktemp -d /tmp/ebpfrt-test.XXXXXX) || {
		echo "Bail out! no directory can be made in /tmp"
		exit 99
	}
	trap 'rm -rf "$stage"' EXIT
	for f in "$top_builddir"/ebpfrt "$top_builddir"/ebpfrtd "$top_builddir"/libebpfrt*.so* \
		"$top_builddir"/tests/integration/bin "$top_builddir"/samples "$top_srcdir"/tests/integration \
		"$top_srcdir"/cli/completion/ebpfrt.bash "$top_srcdir"/cli/ebpfrt-gdb.py; do
		[ ! -e "$f" ] || cp -r "$f" "$stage/"
	done
	for f in "$top_srcdir"/samples/*.bpf.o "$top_srcdir"/samples/*.[ch]; do
		[ ! -f "$f" ] || cp -n "$f" "$stage/samples/"
	done
	for f in "$top_srcdir"/tests/integration/bin/*.bpf.o; do # built, or part of the tarball
		[ ! -f "$f" ] || cp -n "$f" "$stage/bin/"
	done
	mkdir -p "$stage/tmp" "$stage/run"
	chmod 700 "$stage/run"
	set -- sh "$stage/integration/$(basename "$0")" "$@"
	if [ "$(id -u)" = 0 ]; then
		chown -R nobody "$stage"
		chmod 755 "$stage"
		set -- setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups --no-new-privs --inh-caps=-all \
			--bounding-set=-all "$@"
	fi
	cd "$stage" || exit 99
	# signals as a terminal leaves them, whoever runs the tests; in the background, so that what ends this shell ends all of it
	env --default-signal=INT,QUIT,PIPE -u XDG_RUNTIME_DIR -u XDG_CACHE_HOME -u DEBUGINFOD_URLS EBPFRT_STAGE="$stage" \
		EBPFRT_RUNTIME_DIR="$stage/run/ebpfrt" HOME="$stage" TMPDIR="$stage/tmp" \
		PATH="$stage:$stage/bin:$PATH:/usr/sbin:/sbin" EBPFRT_IDLE=1 \
		timeout 0 "$@" </dev/null & # which passes on to all of it what ends it
	inner=$!
	trap 'kill -TERM $inner 2>/dev/null; wait $inner; exit 143' HUP INT TERM
	wait $inner
	status=$?
	# who reads TAP stops at the first of these words: the test itself may have said it better
	if [ $status != 0 ]; then
		echo "Bail out! $(basename "$0"): exited with status $status$([ $status -le 128 ] || echo " (SIG$(kill -l $status))")"
		find "$stage" -name daemon.log | while read -r f; do
			tail -n 20 "$f" | sed "s|^|# $(basename "$(dirname "$f")"): |"
		done
	fi
	# built with sanitizers: nobody sees the daemon's end, so what they say about it is looked for in its log
	if [ -n "${ASAN_OPTIONS:-}" ]; then
		daemons() {
			for exe in /proc/[0-9]*/exe; do
				[ "$(readlink "$exe")" != "$stage/ebpfrtd" ] || return 0
			done
			return 1
		}
		i=0
		while daemons && [ $i -lt 50 ]; do
			i=$((i + 1))
			sleep 0.1
		done
		reports=$(find "$stage" -name daemon.log -exec grep -hA30 -e 'ERROR: .*Sanitizer' -e ': runtime error: ' {} +)
		[ -z "$reports" ] || {
			printf '%s\n' "$reports" | sed 's/^/# /'
			status=1
		}
	fi
	exit $status
fi

stage=$EBPFRT_STAGE
samples=$stage/samples
bin=$stage/bin
cd "$stage/tmp" || exit 99
tests=0
EBPFRT_PROBE=${EBPFRT_PROBE:-trap}
export EBPFRT_PROBE
lib_planned=unknown
lib_test="none yet" # the last one
lib_last="nothing"  # what has been begun last
lib_bailed=

# how a child has ended, if it has
lib_fate() { # what it is, its pid
	case $(sed 's/.*) //' "/proc/$2/stat" 2>/dev/null) in
	Z* | '')
		wait "$2" 2>/dev/null
		set -- "$1" "$2" $?
		echo "# the $1 ($2) has ended with status $3$([ "$3" -le 128 ] || echo " (SIG$(kill -l "$3"))")"
		;;
	*) echo "# the $1 ($2) has not ended" ;;
	esac
}

# nothing can follow: why, and where that was
bail() {
	lib_bailed=yes
	echo "Bail out! $(basename "$0"): $*; after test $tests of $lib_planned ($lib_test), at: $lib_last"
	[ -z "${target_child:-}" ] || lib_fate target "$target_child"
	[ -z "${attach_child:-}" ] || lib_fate client "$attach_child"
	tail -n 5 target.err attach.err try.err 2>/dev/null | sed 's/^/# /'
	exit 99
}

lib_ended() { # status, of the shell itself: its EXIT trap
	[ "$1" = 0 ] || [ -n "$lib_bailed" ] || bail "exited with status $1"
}
trap 'lib_ended $?' EXIT
lib_no_reader() {
	bail "nobody reads what it writes (SIGPIPE)"
}
trap lib_no_reader PIPE
trap 'bail "told to end by a signal, after its time perhaps (TEST_TIMEOUT)"' HUP INT TERM

plan() {
	lib_planned=$1
	echo "1..$1"
	echo "# probes: EBPFRT_PROBE=$EBPFRT_PROBE"
}

ok() {
	tests=$((tests + 1))
	lib_test=$1
	echo "ok $tests - $1"
}

not_ok() {
	tests=$((tests + 1))
	lib_test=$1
	echo "not ok $tests - $1"
	shift
	for line in "$@"; do
		printf '%s\n' "$line" | sed 's/^/#   /'
	done
}

skip() { # how many, why
	i=0
	while [ $i -lt "$1" ]; do
		tests=$((tests + 1))
		i=$((i + 1))
		echo "ok $tests # SKIP $2"
	done
}

is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got:  $2" "want: $3"; fi
}

like() {
	if printf '%s\n' "$2" | grep -qE -- "$3"; then ok "$1"; else not_ok "$1" "got:  $2" "want a line like: $3"; fi
}

unlike() {
	if printf '%s\n' "$2" | grep -qE -- "$3"; then not_ok "$1" "got:  $2" "want no line like: $3"; else ok "$1"; fi
}

# run CMD; its status in $status, output in $out, diagnostics in $err
try() {
	lib_last=$*
	"$@" >try.out 2>try.err
	status=$?
	out=$(cat try.out)
	err=$(cat try.err)
}

# NAME STATUS PATTERN COMMAND...: it ends with that status, and says a line like that
refused() {
	name=$1 want=$2 pattern=$3
	shift 3
	try "$@"
	if [ "$status" = "$want" ] && printf '%s\n' "$err" | grep -qE -- "$pattern"; then
		ok "$name"
	else
		not_ok "$name" "command: $*" "status: $status, wanted $want" "said: $err" "wanted a line like: $pattern"
	fi
}

# wait until a command succeeds, at most ten seconds: for what can only be polled (another process's state)
until_true() {
	i=0
	until "$@"; do
		i=$((i + 1))
		[ $i -lt 1000 ] || return 1
		sleep 0.01
	done
}

# a target under our control; any prefix command comes before it
target_start() {
	lib_last="target_start $*"
	rm -f target.in target.out
	mkfifo target.in target.out
	"$@" "${target_program:-$bin/target}" <target.in >target.out 2>target.err &
	target_child=$!
	exec 8>target.in 9<target.out
	read -r word target <&9
	[ "$word" = ready ] || bail "the target did not start"
}

say() {
	lib_last="say $*"
	echo "$*" >&8
	answer=
	read -r answer <&9
}

target_quit() {
	lib_last="target_quit $*"
	echo "quit ${1:-0}" >&8
	exec 8>&- 9<&-
	wait "$target_child"
	target_status=$?
}

# `ebpfrt attach ARGS` in the background, until it says that it traces
attach_start() {
	lib_last="attach_start $*"
	: >attach.out
	: >attach.err
	ebpfrt attach "$@" >attach.out 2>attach.err </dev/null &
	attach_child=$!
	until_true attach_ready || {
		echo "# attach did not come up: $(cat attach.out attach.err)"
		return 1
	}
	case ${1:-} in
	'' | *[!0-9]*) set -- "${target:-0}" ;; # it says a process in another way
	esac
	[ "${EBPFRT_PROBE:-trap}" = trap ] || rungs "$1"
}

# what stands at the sites of a process: how many jumps, how many breaks
rungs() { # pid
	echo "# standing in $1: $(python3 "$stage/integration/rungs.py" "$1" 2>/dev/null)"
}

attach_ready() {
	grep -q '^Tracing' attach.out attach.err || ! kill -0 "$attach_child" 2>/dev/null
}

attach_stop() { # signal
	lib_last="attach_stop $*"
	kill -"$1" "$attach_child"
	wait "$attach_child"
	attach_status=$?
}

# a daemon that has a library preloaded, which the client would leave out of its environment: EBPFRT_DAEMON for it
daemon_with() { # library
	printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$@"\n' "$1" "$stage/ebpfrtd" >daemon_with.sh
	chmod +x daemon_with.sh
	echo "$PWD/daemon_with.sh"
}

# one value of a map by key, in decimal, from the JSON dump
map_value() { # map, key
	ebpfrt map dump name "$1" --json | python3 -c '
import json, sys
for e in json.loads(sys.stdin.read() or "[]"):
    e = e.get("formatted", e)
    if e["key"] == int(sys.argv[1]):
        print(e["value"])' "$2"
}
