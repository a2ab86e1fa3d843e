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
	printf 'demo: becoming user nobody, with no capabilities and no_new_privs\n'
	setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups --no-new-privs --inh-caps=-all \
		--bounding-set=-all env -u XDG_RUNTIME_DIR HOME="$dir" TMPDIR="$dir" EBPFRT_DEMO_OBJECTS="$dir/samples" \
		sh "$dir/samples/demo.sh" "$dir"
	exit $?
fi

ebpfrt=$build/ebpfrt
objects=${EBPFRT_DEMO_OBJECTS:-$build/samples}
[ -f "$objects/malloc.bpf.o" ] || objects=$samples
work=$(mktemp -d "${TMPDIR:-/tmp}/ebpfrt-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT

printf 'demo: I am %s; capabilities: %s\n' "$(id -un)" "$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"

# some seconds of real work; the result is known beforehand
rows=2000000
expected=$((rows * (rows + 1) / 2))
cat >"$work/job.sql" <<SQL
CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT);
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $rows)
INSERT INTO t SELECT n, printf('%08d-%s', n, hex(randomblob(16))) FROM c;
CREATE INDEX by_text ON t (text);
SELECT count(DISTINCT substr(text, 10, 4)) > 0 FROM t;
SELECT sum(n) FROM t WHERE length(upper(text) || lower(text)) = 82;
SQL
sqlite3 "$work/db" <"$work/job.sql" >"$work/result" &
pid=$!
printf 'demo: sqlite3 works on %s rows, pid %s\n\n' "$rows" "$pid"
until grep -q libsqlite3 "/proc/$pid/maps"; do :; done

printf '$ ebpfrt attach -d 2 %s malloc.bpf.o\n' "$pid"
"$ebpfrt" attach -d 2 "$pid" "$objects/malloc.bpf.o"

printf '\ndemo: detached; waiting for sqlite3 to end\n'
wait "$pid" && status=0 || status=$?
result=$(tail -n 1 "$work/result")
printf 'demo: sqlite3 ended with status %s and result %s (expected %s)\n' "$status" "$result" "$expected"
[ "$status" = 0 ] || exit 1
[ "$result" = "$expected" ] || exit 1
printf 'demo: ok\n'
