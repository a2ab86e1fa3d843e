#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The main job, on a program nobody wrote for it: sqlite3 works on a database; while it runs, an ordinary user without any
# capability attaches a compiled BPF object to it, sees live events and a histogram read from maps, and detaches; sqlite3
# goes on and ends with the right result.
#
# usage: samples/demo.sh BUILD-DIR
set -eu
build=$(cd "${1:?usage: samples/demo.sh BUILD-DIR}" && pwd)
samples=$(cd "$(dirname "$0")" && pwd)

say() {
	printf 'demo: %s\n' "$*"
}

# As root, become nobody for good: no capabilities, no way to gain any. The product is copied where nobody can read it.
if [ "$(id -u)" = 0 ]; then
	dir=$(mktemp -d /tmp/ebpfrt-demo.XXXXXX)
	trap 'rm -rf "$dir"' EXIT
	cp "$build/ebpfrt" "$build/ebpfrtd" "$build"/libebpfrt*.so* "$dir/"
	mkdir "$dir/samples"
	cp "$samples/demo.sh" "$dir/samples/"
	for o in "$build"/samples/*.bpf.o "$samples"/*.bpf.o; do
		[ ! -f "$o" ] || cp "$o" "$dir/samples/"
	done
	chown -R nobody "$dir"
	chmod 755 "$dir"
	say "becoming user nobody, with no capabilities and no_new_privs"
	cd "$dir"
	status=0
	setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups --no-new-privs --inh-caps=-all \
		--bounding-set=-all env -u XDG_RUNTIME_DIR HOME="$dir" TMPDIR="$dir" sh "$dir/samples/demo.sh" "$dir" || status=$?
	exit $status
fi

objects=$build/samples
[ -f "$objects/malloc.bpf.o" ] || objects=$samples
work=$(mktemp -d "${TMPDIR:-/tmp}/ebpfrt-demo.XXXXXX")
export EBPFRT_RUNTIME_DIR="$work/run" EBPFRT_IDLE=1
sqlite=
finish() {
	[ -z "$sqlite" ] || kill "$sqlite" 2>/dev/null || :
	"$build/ebpfrt" -q shutdown --force 2>/dev/null || :
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
say "I am $(id -un); capabilities: $(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"

# The job goes on for as long as we have not had enough, whatever the speed of this machine; its result is known all the same.
# The blank lines fill the pipe: what is waiting in it is never more than a round.
rows=20000
cat >"$work/round.sql" <<SQL
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $rows)
INSERT INTO t SELECT n, printf('%08d-%s', n, hex(randomblob(16))) FROM c;
DELETE FROM seen; INSERT INTO seen SELECT count(DISTINCT substr(text, 10, 4)) FROM t;
SQL
head -c 65536 /dev/zero | tr '\0' '\n' >>"$work/round.sql"
mkfifo "$work/job"
sqlite3 "$work/db" <"$work/job" >"$work/result" &
sqlite=$!
(
	echo 'PRAGMA synchronous = off; CREATE TABLE t (n INTEGER, text TEXT); CREATE TABLE seen (n INTEGER);'
	rounds=0
	while [ ! -e "$work/enough" ]; do
		cat "$work/round.sql"
		rounds=$((rounds + 1))
		echo $rounds >"$work/rounds"
	done
	echo 'PRAGMA integrity_check; SELECT sum(n) FROM t;'
) >"$work/job" &
say "sqlite3 works on a database, pid $sqlite"
until [ -e "$work/rounds" ]; do sleep 0.05; done

printf '\n$ ebpfrt attach -d 2 %s malloc.bpf.o\n' "$sqlite"
"$build/ebpfrt" attach -d 2 "$sqlite" "$objects/malloc.bpf.o" || {
	say "the attachment failed; what doctor says:"
	"$build/ebpfrt" doctor -p "$sqlite"
	exit 1
}
printf '\n'

touch "$work/enough"
say "detached; sqlite3 works on"
pid=$sqlite status=0
wait "$pid" || status=$?
sqlite=
expected=$(($(cat "$work/rounds") * (rows * (rows + 1) / 2)))
result=$(tr '\n' ' ' <"$work/result")
say "sqlite3 ended with status $status and said: $result(expected: ok $expected)"
[ "$status" = 0 ] && [ "$result" = "ok $expected " ] || {
	say "that is wrong"
	exit 1
}
say "ok"
