#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Attach to and detach from a process that runs through the site all the time: it never notices.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 3

# until it is told to end, then a result that depends on every row
cat >job.py <<'EOT'
import os, sqlite3
db = sqlite3.connect(":memory:")
db.execute("CREATE TABLE t (n INTEGER, s TEXT)")
rounds = 0
while not os.path.exists("enough"):
    db.execute("DELETE FROM t")
    db.executemany("INSERT INTO t VALUES (?, ?)", ((i, "%x" % (i * i)) for i in range(2000)))
    assert db.execute("SELECT sum(n) + sum(length(s)) FROM t").fetchone()[0] == 2010224, "wrong sum"
    rounds += 1
print("right, always" if rounds else "never ran")
EOT
want=$(/usr/bin/python3 -c 'print(sum(i + len("%x" % (i * i)) for i in range(2000)))')
sed -i "s/2010224/$want/" job.py
/usr/bin/python3 job.py >job.out 2>job.err &
job=$!
until_true grep -q libsqlite3 "/proc/$job/maps"

attached=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	for o in malloc iolat; do
		if ebpfrt attach -q -d 0.03 "$job" "$samples/$o.bpf.o" >hot.out 2>hot.err; then
			attached=$((attached + 1))
		else
			sed 's/^/# /' hot.err
		fi
	done
done
is "attached and detached, every time" "$attached" 24
touch enough
wait "$job"
is "the process ends well" "$?" 0
is "with the right result" "$(cat job.out job.err)" "right, always"
