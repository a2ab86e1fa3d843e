#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that nobody here wrote, with stubs that call leaves, and with returns of the same calls: the same results, each call
# counted once where it is known how many there are, by the program and by us, and every byte as before.
EBPFRT_PROBE=auto
export EBPFRT_PROBE
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 26

object=$bin/many.bpf.o
hits() { # of the links, those of processes that have ended included
	ebpfrt link list --json | python3 -c '
import json, sys
links = json.load(sys.stdin)
targets = [t for l in links for t in l["targets"]] + [l["past"] for l in links if l.get("past")]
print(*(sum(t[k] for t in targets) for k in ("hits", "missed", "aborted")))'
}
text_of() { # pid
	target=$1 python3 "$stage/integration/text_hash.py" "$1"
}
leaves_in() { # pid
	python3 "$stage/integration/rungs.py" "$1"
}

# python3: threads, children, an event loop; getppid() is called as often as the script does, and once by each shell
cat >job.py <<'EOT'
import asyncio, os, subprocess, sys, threading
def calls(n):
    for i in range(n):
        os.getppid()
async def task(n):
    for i in range(n):
        os.getppid()
        await asyncio.sleep(0)
async def tasks():
    await asyncio.gather(*(task(20) for i in range(50)))
print("up", flush=True)
for line in sys.stdin:
    threads = [threading.Thread(target=calls, args=(2000,)) for i in range(8)]
    [t.start() for t in threads]
    out = [subprocess.run(["sh", "-c", "echo $((6 * %d))" % i], capture_output=True).stdout for i in range(3)]
    [t.join() for t in threads]
    asyncio.run(tasks())
    pid = os.fork()
    if not pid:
        calls(1000)
        os._exit(7)
    print(out, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
EOT
mkfifo py.in
/usr/bin/python3 job.py <py.in >py.out &
py=$!
exec 7>py.in
until_true grep -q up py.out
lines=1
once_more() {
	echo go >&7
	lines=$((lines + 1))
	until_true eval '[ $(wc -l <py.out) = $lines ]'
}
once_more
text=$(text_of $py)
attach_start $py "$object" --no-follow --prog on_call=uprobe:libc.so.6:getppid
like "python3: its stub calls a leaf" "$(leaves_in $py)" "^1 jumps .* 1 leaves$"
ebpfrt detach $py 2>/dev/null
wait "$attach_child"
attach_start $py "$object" --prog on_call=uprobe:libc.so.6:getppid
once_more
is "python3: threads, an event loop, a child: each call" "$(map_value many 0) $(hits)" "18003 18003 0 0"
attach_stop INT
attach_start $py "$object" --prog on_call=uprobe:libc.so.6:getppid --prog on_return=uretprobe:libc.so.6:getppid
once_more
is "python3: each call, and each return" "$(map_value many 0) $(map_value many 1) $(hits)" "18003 18003 36006 0 0"
attach_stop INT
# much that is called all the time, while it comes and goes
bad=
for i in 1 2 3; do
	attach_start $py "$object" --missing=ignore --prog 'on_call=uprobe.multi:libc.so.6:[m-s]*' || bad="$bad $i"
	once_more
	attach_stop INT
	bad="$bad$(grep -o 'lost.*' attach.err | grep -v '^lost$')"
	[ "$attach_status" = 0 ] || bad="$bad $attach_status"
done
is "python3: hundreds of leaves come and go" "$bad" ""
is "python3: every byte is as before" "$(text_of $py)" "$text"
exec 7>&-
wait $py
is "python3: its results, and its end" "$? $(sort -u py.out | paste -sd ' ')" "0 [b'0\\n', b'6\\n', b'12\\n'] 7 up"

# the same work twice: its entries alone, which are leaves, and with their returns
counted() { # library:glob, command...
	glob=$1
	shift
	try ebpfrt run -P "$object" --missing=ignore --prog "on_call=uprobe.multi:$glob" -o alone.out -- "$@"
	plain_status=$status plain_out=$out plain_err=$err
	alone=$(sed -n 's/^@many\[0\]: //p' alone.out)
	try ebpfrt run -P "$object" --missing=ignore --prog "on_call=uprobe.multi:$glob" --prog "on_return=uretprobe.multi:$glob" \
		-o both.out -- "$@"
	entries=$(sed -n 's/^@many\[0\]: //p' both.out)
	returns=$(sed -n 's/^@many\[1\]: //p' both.out)
}
said() { # what a client's last line counts
	printf '%s\n' "$1" | sed -n 's/.*; \([0-9]*\) hits\{0,1\}, \([0-9]*\) lost.*/\1 \2/p'
}

if command -v sqlite3 >/dev/null; then
	sql="CREATE TABLE t (n, s); WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000)
INSERT INTO t SELECT n, printf('%d-%x', n, n * n) FROM c; SELECT n, s FROM t WHERE n % 3 = 0; SELECT count(DISTINCT s) FROM t;"
	want=$(sqlite3 :memory: "$sql" | cksum)
	counted 'libsqlite3.so.0:sqlite3_column_*' sqlite3 :memory: "$sql"
	is "sqlite3: the same answers" "$(printf '%s\n' "$plain_out" | cksum) $(printf '%s\n' "$out" | cksum)" "$want $want"
	is "sqlite3: what is counted, by leaves and with returns" "$(said "$plain_err") $entries $returns" "$alone 0 $alone $alone"
	[ "${alone:-0}" -ge 2000 ] && ok "sqlite3: every row's columns" || not_ok "sqlite3: every row's columns" "$alone"
	steps() { # of a select with so many rows; the shell has some of its own
		counted 'libsqlite3.so.0:sqlite3_step' sqlite3 :memory: \
			"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < $1) SELECT n FROM c;"
	}
	steps 1000
	few="$alone $entries $returns"
	steps 6000
	# shellcheck disable=SC2086
	set -- $few
	is "sqlite3: a step for each row" "$((alone - $1)) $((entries - $2)) $((returns - $3))" "5000 5000 5000"
else
	skip 4 "sqlite3 is not installed"
fi

if command -v openssl >/dev/null; then
	seq 1 20000 >numbers
	want=$(openssl dgst -sha256 numbers)
	counted 'libcrypto.so.3:EVP_*' openssl dgst -sha256 numbers
	is "openssl: the same digest" "$plain_status $plain_out $status $out" "0 $want 0 $want"
	is "openssl: what is counted, by leaves and with returns" "$(said "$plain_err") $entries $returns" "$alone 0 $alone $alone"
	counted 'libcrypto.so.3:SHA256_*' openssl speed -seconds 1 -bytes 64 sha256
	like "openssl speed: it has a result" "$status $out" "^sha256 +[0-9.]+k"
	is "openssl speed: as many returns as calls" "$(said "$err")" "$((entries * 2)) 0"
else
	skip 4 "openssl is not installed"
fi

if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
	redis-server --port 0 --unixsocket "$PWD/redis.sock" --save '' --daemonize no >redis.log 2>&1 &
	redis=$!
	until_true eval '[ "$(redis-cli -s redis.sock ping 2>/dev/null)" = PONG ]'
	redis_file=$(readlink -f "/proc/$redis/exe")
	text=$(text_of $redis)
	redis-benchmark -s redis.sock -n 40000 -c 8 -P 4 -t set,incr,lpush,hset,zadd -q >bench.out 2>&1 &
	bench=$!
	bad=
	rounds=0
	while kill -0 $bench 2>/dev/null || [ $rounds -lt 3 ]; do
		rounds=$((rounds + 1))
		attach_start $redis "$object" --missing=ignore --prog 'on_call=uprobe.multi:libc.so.6:[m-s]*' || bad="$bad start"
		attach_stop INT
		[ "$attach_status" = 0 ] && grep -q ', 0 lost' attach.err || bad="$bad $attach_status $(tail -n 1 attach.err)"
	done
	wait $bench
	is "redis under load: every test ran" "$? $(tr '\r' '\n' <bench.out | grep -c 'requests per second')" "0 5"
	is "redis: leaves came and went, and lost nothing" "$bad" ""
	echo "# redis: $rounds times"
	attach_start $redis "$object" --prog "on_call=uprobe.multi:$redis_file:*" --missing=ignore
	like "redis: stubs call leaves" "$(leaves_in $redis)" " [1-9][0-9]* leaves$"
	redis-cli -s redis.sock llen mylist >llen
	attach_stop INT
	is "redis: what it was told" "$(cat llen)" 40000
	is "redis: every byte is as before" "$(text_of $redis)" "$text"
	redis-cli -s redis.sock shutdown nosave 2>/dev/null
	wait $redis
	is "redis ends well" "$?" 0
else
	skip 6 "redis is not installed"
fi

# goroutines move between threads, and their stacks move: no jump is set there
if command -v go >/dev/null &&
	GO111MODULE=off GOCACHE=$stage/go GOFLAGS='' go build -o "$stage/returns_gc" "$stage/integration/returns.go" 2>go.err; then
	target_program=$stage/returns_gc
	target_start
	say load 40 200
	want=$answer
	say counts
	before=${answer##* }
	attach_start "$target" "$object" --prog "on_call=uprobe:$target_program:main.pick" --prog "on_3=uprobe:$target_program:main.work"
	like "Go: breaks stand there, as stacks of Go move" "$(leaves_in "$target")" "^0 jumps [1-9][0-9]* breaks 0 leaves$"
	i=0
	results=$want
	while [ $i -lt 5 ]; do
		i=$((i + 1))
		say load 40 200
		[ "$answer" = "$want" ] || results=$answer
	done
	say counts
	is "Go: each call of one, in goroutines that move" "${answer##* } $(map_value many 0)" "$((before * 6)) $((before * 5))"
	# a function whose stack has to grow begins once more; 40 goroutines, four times 200 to 206 calls deep, and one more
	deep=$(seq 0 39 | awk '{ n += 4 * (201 + $1 % 7) } END { print 5 * n }')
	begun=$(map_value many 3)
	is "Go: each beginning is counted once, by the program and by us" "$(hits)" "$((before * 5 + begun)) 0 0"
	[ "$begun" -ge "$deep" ] && [ "$begun" -lt $((deep + deep / 10)) ] && ok "Go: and there is one for each call" ||
		not_ok "Go: beginnings" "$begun of $deep calls"
	is "Go: the same results" "$results" "$want"
	attach_stop INT
	target_quit
	is "Go: it ends well" "$target_status" 0
else
	skip 6 "no Go compiler, or one that does not work here"
fi
