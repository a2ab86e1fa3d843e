#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# More processes attached to at once than are planned for at a time, in one session and in two that begin together: all are
# probed, every call is counted, every byte is back.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 6

cat >plenty.py <<'EOT'
import subprocess, sys
bin, stage, n, sessions = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def text(pid):
    return subprocess.run(["python3", f"{stage}/integration/text_hash.py", str(pid)], capture_output=True, text=True).stdout

def say(t, words):
    t.stdin.write(words + "\n")
    t.stdin.flush()
    return t.stdout.readline()

targets = [subprocess.Popen([f"{bin}/target"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(n)]
pids = [int(t.stdout.readline().split()[1]) for t in targets]
texts = [text(p) for p in pids]
want = [say(t, "call 100") for t in targets]
clients = [subprocess.Popen(["ebpfrt", "attach", "--no-maps", *[f"--pid={p}" for p in pids[i::sessions]], f"{bin}/count.bpf.o"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
           for i in range(sessions)]
said = [""] * sessions
for i, c in enumerate(clients):
    while "Tracing" not in said[i]:
        line = c.stderr.readline()
        if not line:
            sys.exit(f"attach ended: {said[i]}")
        said[i] += line
print("the same" if [say(t, "call 100") for t in targets] == want else "other results")
hits = []
for c in clients:
    c.send_signal(2)
    hits.append(c.communicate()[1].strip().splitlines()[-1])
print("; ".join(h[h.rfind(";") + 2:] if ";" in h else h for h in hits))
print("as before" if [text(p) for p in pids] == texts else "text has changed")
for t in targets:
    t.stdin.write("quit 0\n")
    t.stdin.close()
    t.wait()
EOT

plenty() { # processes, sessions, hits of each
	try python3 plenty.py "$bin" "$stage" "$1" "$2"
	is "$1 processes, $2 sessions: what they do" "$(printf '%s\n' "$out" | sed -n 1p)" "the same"
	like "$1 processes, $2 sessions: hits" "$(printf '%s\n' "$out" | sed -n 2p) $err" "$3"
	is "$1 processes, $2 sessions: every byte" "$(printf '%s\n' "$out" | sed -n 3p)" "as before"
}
plenty 20 1 "4[,]?000 hits, 0 lost"
plenty 24 2 "2[,]?400 hits, 0 lost.*2[,]?400 hits, 0 lost"
