#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs of the distribution with hundreds of functions probed at once, entries and returns: what they do and say is what they
# do and say without.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 13

object=$bin/many.bpf.o
probed() { # library, glob, command...
	library=$1
	glob=$2
	shift 2
	try ebpfrt run -P "$object" --missing=ignore --prog "on_call=uprobe.multi:$library:$glob" \
		--prog "on_return=uretprobe.multi:$library:$glob" -o run.out -- "$@"
	hits=$(printf '%s\n' "$err" | sed -n 's/.*; \([0-9]*\) hits.*/\1/p')
}

seq 1 20000 >numbers
if command -v openssl >/dev/null; then
	want=$(openssl dgst -sha256 numbers)
	probed libcrypto.so.3 'EVP_*' openssl dgst -sha256 numbers
	is "openssl dgst: the same digest" "$status $out" "0 $want"
	like "openssl dgst: its calls were counted" "$hits" "^[1-9][0-9]+"
	openssl enc -aes-256-cbc -pbkdf2 -iter 10 -S 0102030405060708 -pass pass:x -in numbers -out plain.enc
	probed libcrypto.so.3 '[A-E]*' openssl enc -aes-256-cbc -pbkdf2 -iter 10 -S 0102030405060708 -pass pass:x -in numbers -out probed.enc
	is "openssl enc: the same bytes" "$status $(cksum <probed.enc)" "0 $(cksum <plain.enc)"
	probed libcrypto.so.3 'SHA*' openssl speed -seconds 1 -bytes 16384 sha256
	like "openssl speed: it has a result" "$status $out" "^sha256 +[0-9.]+k"
else
	skip 4 "openssl is not installed"
fi

if command -v sqlite3 >/dev/null; then
	cat >script.sql <<'EOT'
CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT, r REAL);
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 400)
INSERT INTO t SELECT n, printf('%d-%x', n, n * n), n / 7.0 FROM c;
CREATE INDEX i ON t (s);
BEGIN; UPDATE t SET s = s || 'x' WHERE n % 3 = 0; ROLLBACK;
SELECT count(*), sum(n), round(avg(r), 6), group_concat(substr(s, 2, 1), '') FROM t WHERE s LIKE '%1%';
SELECT json_group_array(n) FROM t WHERE n < 20; PRAGMA integrity_check;
EOT
	want=$(sqlite3 :memory: <script.sql | cksum)
	ebpfrt run -q -P "$object" --missing=ignore --prog "on_call=uprobe.multi:libsqlite3.so.0:sqlite3_*" \
		--prog "on_return=uretprobe.multi:libsqlite3.so.0:sqlite3_*" -o run.out -- sqlite3 :memory: <script.sql >sql.out 2>sql.err
	is "sqlite3: the same answers" "$? $(cksum <sql.out)" "0 $want"
else
	skip 1 "sqlite3 is not installed"
fi

# much of python3's library: threads, children, compression, decimals, regular expressions, signals, sockets
cat >library.py <<'EOT'
import asyncio, bisect, collections, concurrent.futures, configparser, csv, datetime, decimal, difflib, email, fractions, functools
import hashlib, hmac, io, itertools, json, pickle, re, signal, socket, statistics, string, struct, subprocess, tempfile, textwrap
import threading, unicodedata, xml.etree.ElementTree as ET, zlib, os, random
out = []
rng = random.Random(7)
data = bytes(rng.randrange(256) for i in range(3000))
out.append([getattr(hashlib, h)(data).hexdigest() for h in ("md5", "sha1", "sha256", "sha512", "blake2b", "sha3_256")])
out.append(hmac.new(b"k", data, "sha256").hexdigest())
out.append(zlib.crc32(zlib.decompress(zlib.compress(data, 9))))
out.append(str(sum(decimal.Decimal(i) / 7 for i in range(50))))
out.append(re.findall(r"(\d+)-(?=b)", "12-b 34-c 56-b" * 10)[:5])
out.append(json.loads(json.dumps({"k%d" % i: [i, str(i), None] for i in range(50)}))["k7"])
out.append(pickle.loads(pickle.dumps(collections.OrderedDict(a=1, b=[2, 3]))))
out.append(statistics.stdev(rng.random() for i in range(50)) > 0)
out.append(list(difflib.unified_diff(["a", "b"], ["a", "c"], lineterm="")))
out.append(ET.tostring(ET.fromstring("<a><b c='1'>t</b></a>")).decode())
out.append(subprocess.run(["sh", "-c", "echo $((6 * 7)); exit 3"], capture_output=True).stdout.decode())
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    out.append(sum(pool.map(lambda n: sum(i * i for i in range(n)), range(100))))
a, b = socket.socketpair()
a.sendall(data); a.close()
out.append(len(b"".join(iter(lambda: b.recv(512), b""))))
got = []
signal.signal(signal.SIGUSR1, lambda *x: got.append(1))
for i in range(20): os.kill(os.getpid(), signal.SIGUSR1)
out.append(len(got))
async def work(n):
    await asyncio.sleep(0)
    return n
async def main():
    return sum(await asyncio.gather(*(work(i) for i in range(50))))
out.append(asyncio.run(main()))
pid = os.fork()
if not pid:
    os._exit(len(hashlib.sha256(data).hexdigest()))
out.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with tempfile.TemporaryFile() as f:
    f.write(data); f.seek(1000); out.append(zlib.crc32(f.read(100)))
print(json.dumps(out, default=str))
EOT
want=$(/usr/bin/python3 library.py)
probed libc.so.6 '[a-p]*' /usr/bin/python3 library.py
is "python3, half of the C library: the same results" "$status $out" "0 $want"
probed libcrypto.so.3 '*' /usr/bin/python3 library.py
is "python3, all of libcrypto, which is loaded later: the same results" "$status $out" "0 $want"
like "its calls were counted" "$hits" "^[1-9][0-9]+"

if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
	redis-server --port 0 --unixsocket "$PWD/redis.sock" --save '' --daemonize no >redis.log 2>&1 &
	redis=$!
	until_true eval '[ "$(redis-cli -s redis.sock ping 2>/dev/null)" = PONG ]'
	cat >redis.commands <<'EOT'
SET a 1
INCRBYFLOAT a 2.5
APPEND s hello
GETRANGE s 1 3
LPUSH l 3 1 2
SORT l DESC
ZADD z 3 c 1 a 2 b
ZRANGE z 0 -1 WITHSCORES
HSET h f 1 g 2
HGETALL h
SADD x 1 2 3
SADD y 2 3 4
SINTERCARD 2 x y
PFADD p a b c d e
PFCOUNT p
XADD st 1-1 k v
XRANGE st - +
EVAL "local s = 0 for i = 1, 1000 do s = s + i end return {s, redis.call('LRANGE', 'l', 0, -1)}" 0
EVAL "return error('of a script')" 0
MULTI
SETBIT b 7 1
BITCOUNT b
EXEC
GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEODIST g Palermo Catania km
DUMP l
NOSUCH
FLUSHALL
EOT
	redis-cli -s redis.sock <redis.commands >redis.want
	attach_start "$redis" "$object" --missing=ignore --prog "on_call=uprobe.multi:libc.so.6:*" \
		--prog "on_return=uretprobe.multi:libc.so.6:*"
	redis-cli -s redis.sock <redis.commands >redis.got
	is "redis, all of the C library: the same answers" "$(wc -l <redis.got) $(diff redis.want redis.got)" "$(wc -l <redis.want) "
	redis-benchmark -s redis.sock -n 500 -c 8 -r 50 -t set,incr,lpush,hset,zadd -q >bench.out 2>&1
	is "redis-benchmark, hundreds of functions probed: every test ran" "$? $(tr '\r' '\n' <bench.out | grep -c 'requests per second')" "0 5"
	attach_stop INT
	[ "$attach_status" = 0 ] || sed "s/^/# /" attach.err
	is "its list is as long as it should be, and its answers are right" \
		"$attach_status $(redis-cli -s redis.sock llen mylist) $(redis-cli -s redis.sock dbsize | grep -c '[0-9]')" "0 500 1"
	redis-cli -s redis.sock flushall >/dev/null
	redis_file=$(readlink -f "/proc/$redis/exe")
	attach_start "$redis" "$object" --missing=ignore --prog "on_call=uprobe.multi:$redis_file:*" \
		--prog "on_return=uretprobe.multi:$redis_file:*"
	redis-cli -s redis.sock <redis.commands >redis.got
	attach_stop INT
	is "all functions it exports: the same answers" "$attach_status $(wc -l <redis.got) $(diff redis.want redis.got)" "0 $(wc -l <redis.want) "
	redis-cli -s redis.sock shutdown nosave 2>/dev/null
	wait $redis
	is "redis ends well" "$?" 0
else
	skip 5 "redis is not installed"
fi
