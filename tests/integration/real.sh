#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs of the distribution, doing what they do, with probes on their hottest functions: the same results.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 10

sample=$samples/malloc.bpf.o

python='import hashlib, json, threading, subprocess
def job(n):
    return hashlib.sha256(json.dumps([{"k%d" % i: [i] * (i % 7)} for i in range(n)]).encode()).hexdigest()
out = []
t = [threading.Thread(target=lambda n=n: out.append(job(n))) for n in (300, 400, 500, 600)]
[x.start() for x in t]; [x.join() for x in t]
out.append(subprocess.run(["sh", "-c", "echo $((6 * 7)); exit 3"], capture_output=True).stdout.decode())
print(sorted(out))'
want=$(/usr/bin/python3 -c "$python")
try ebpfrt run -P "$sample" -- /usr/bin/python3 -c "$python"
is "python3: the same result with every malloc probed" "$out" "$want"
is "python3: status" "$status" 0
like "python3: its calls were counted" "$err" "python3"

sql="CREATE TABLE t (n, s); WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000)
INSERT INTO t SELECT n, printf('%d-%x', n, n * n) FROM c; SELECT sum(n), count(DISTINCT s), group_concat(substr(s, 2, 1), '') FROM t;"
want=$(sqlite3 :memory: "$sql" | cksum)
try ebpfrt run -q -P "$sample" -- sqlite3 :memory: "$sql"
is "sqlite3: the same result" "$(printf '%s\n' "$out" | cksum)" "$want"

seq 1 200000 >numbers
want=$(xz -c -T2 numbers | xz -dc | cksum)
try ebpfrt run -q -P "$samples/iolat.bpf.o" -- sh -c 'xz -c -T2 numbers | xz -dc'
is "xz, two threads, a pipeline: the same bytes" "$(printf '%s\n' "$out" | cksum)" "$want"
try ebpfrt run -P "$samples/iolat.bpf.o" -- sh -c 'cat numbers | cat'
is "cat: the same bytes" "$(printf '%s\n' "$out" | cksum)" "$(cksum <numbers)"
like "cat: a histogram of its reads" "$err" "@read_us_hist"

cat >job.py <<'EOT'
import sys
print("up", flush=True)
sys.stdin.readline()
n = 0
for i in range(200000): n += len(str(i) * 3)
print(n)
EOT
want=$(echo go | /usr/bin/python3 job.py | tail -n 1)
mkfifo py.in
/usr/bin/python3 job.py <py.in >py.out &
py=$!
exec 7>py.in
until_true grep -q up py.out
attach_start "$py" "$sample"
echo go >&7
exec 7>&-
wait "$py"
is "python3, attached while it waits: status" "$?" 0
is "the same result" "$(tail -n 1 py.out)" "$want"
wait "$attach_child"
is "attach ends with its target" "$?" 0
