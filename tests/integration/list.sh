#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What `ebpfrt list` says can be probed is what attach then does, for every function of a library, entries and returns.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 31

lib=$bin/many_lib.so
object=$bin/many.bpf.o

try ebpfrt list "$lib:m_00?"
is "names in the words that attach takes" "$(printf '%s\n' "$out" | sed -n '1p;10p')" "uprobe:$lib:m_000
uprobe:$lib:m_009"
is "as many as match" "$(printf '%s\n' "$out" | wc -l)" 10
try ebpfrt list -v "$lib:m_[1b]*"
like "-v: how" "$out" "^uprobe:$lib:m_123  [0-9]+ bytes, trap$"
like "-v: why not" "$out" "^uprobe:$lib:m_bad_hlt  [0-9]+ bytes, refused: cannot probe m_bad_hlt in .*: it is a privileged instruction$"
like "-v: how many" "$err" "many_lib.so: 102 probes, 2 refused"
try ebpfrt list -v "$lib:chosen"
like "an IFUNC of a library we don't have loaded" "$out" "refused: an IFUNC, whose implementation the loader chooses; name that one"
try ebpfrt list -v "libc.so.6:strlen" "libc.so.6:fork"
like "an IFUNC of one that we have" "$out" "libc.so.6:strlen  [0-9]+ bytes, trap, an IFUNC: here "
like "a return that can't be probed" "$out" "libc.so.6:fork  [0-9]+ bytes, trap; cannot probe the return of fork: it returns more than once"
try ebpfrt list -v "$lib:versioned*" "$lib:twice_*"
is "versions, and each name of a function" "$(printf '%s\n' "$out" | sed 's/.*so:\([^ ]*\) .*/\1/' | sort | paste -sd ' ')" \
	"twice_a twice_b versioned versioned@V1"
try ebpfrt list -v "$bin/usdt:shapes:[cn]*"
like "USDT: arguments" "$out" "^usdt:$bin/usdt:shapes:constants  trap, arguments: -4@\\\$-5 8@\\\$123456789012"
like "USDT: a counter" "$out" "^usdt:$bin/usdt:shapes:nop5  trap, arguments: 8@%rdi, with a counter of who looks$"
is "USDT: those that match" "$(printf '%s\n' "$out" | wc -l)" 3
try ebpfrt list "$bin/usdt:guarded"
is "a function and a probe of that name" "$(printf '%s\n' "$out" | sort | paste -sd ' ')" \
	"uprobe:$bin/usdt:guarded usdt:$bin/usdt:shapes:guarded"

try ebpfrt list --json "$lib:m_*"
is "JSON" "$(printf '%s' "$out" | python3 -c '
import json, sys
v = {e["name"]: e for e in json.load(sys.stdin)}
print(len(v), v["m_007"]["ok"], v["m_007"]["type"], v["m_007"]["probe"].split("/")[-1], v["m_bad_hlt"]["ok"], v["m_bad_hlt"]["reason"].split(": ")[-1])')" \
	"1002 True uprobe many_lib.so:m_007 False it is a privileged instruction"

try ebpfrt list
is "of what?" "$status $(printf '%s\n' "$err" | head -n 1)" "2 ebpfrt: of which file or process?"
try ebpfrt list "$lib:none_*"
like "nothing" "$status $err" "^1 ebpfrt: nothing there can be probed by that name; without :GLOB it lists everything"
try ebpfrt list no_such_file.so
like "no file" "$status $err" "^1 ebpfrt: no file 'no_such_file.so': "
try ebpfrt list "$stage/integration/list.sh"
like "not a program" "$status $err" "^1 ebpfrt: .*list.sh.*ELF"

# a process
cat >many_target <<EOT
#!/bin/sh
exec $bin/many $lib
EOT
chmod +x many_target
target_program=$PWD/many_target
target_start
try ebpfrt list "$target:main"
is "a process: its own functions" "$out" "uprobe:$bin/many:main"
try ebpfrt list "$target"
is "a process: all its files" "$(printf '%s\n' "$out" | sed 's/^[a-z]*:\([^:]*\):.*/\1/; s/.*\///' | sort -u | paste -sd ' ')" \
	"ld-linux-x86-64.so.2 libc.so.6 many many_lib.so"
try ebpfrt list -p "$target" "many_lib.so:m_000"
is "-p: a file by the name that it is mapped under" "$out" "uprobe:$lib:m_000"
try ebpfrt list 999999999
like "no such process" "$status $err" "^1 ebpfrt: .*999999999"

# what list says, and what attach does: the same functions are refused, in the same words, and all others attached
cat >agree.py <<'EOT'
import json, re, subprocess, sys
pid, lib, obj = sys.argv[1:]
listed = [e for e in json.loads(subprocess.run(["ebpfrt", "list", "-p", pid, "--json", lib], capture_output=True, text=True).stdout)
          if e["type"] == "uprobe" and "IFUNC" not in e.get("note", "") and "an IFUNC" not in e.get("reason", "")]
for kind, ok, reason in ("uprobe.multi", "ok", "reason"), ("uretprobe.multi", "return_ok", "return_reason"):
    prog = "on_call" if kind == "uprobe.multi" else "on_return"
    r = subprocess.run(["ebpfrt", "attach", "-v", "-d", "1ms", "--prog", f"{prog}={kind}:{lib}:*", pid, obj],
                       capture_output=True, text=True)
    attached = int((re.search(r"attached \((\d+) functions\)", r.stderr) or [0, -1])[1])
    refused = set(re.findall(r"^  (cannot probe .*)$", r.stderr, re.M))
    by_offset = {}
    for e in sorted(listed, key=lambda e: (e["offset"], e["name"])):
        by_offset.setdefault(e["offset"], e)
    good = {o for o, e in by_offset.items() if e[ok]}
    words = {e.get("reason") or e.get(reason) for e in by_offset.values() if not e[ok]}
    print(kind, r.returncode, "agree" if (attached, refused) == (len(good), words) else
          f"list: {len(good)} {sorted(words)[:5]}; attach: {attached} {sorted(refused)[:5]}; {r.stderr[-300:]}",
          "many" if attached > 500 else attached)
EOT
for file in "$lib" libc.so.6; do
	set -- "$(python3 agree.py "$target" "$file" "$object")"
	is "${file##*/}: every entry is as it was said" "$(printf '%s\n' "$1" | sed -n 1p)" "uprobe.multi 0 agree many"
	is "${file##*/}: every return" "$(printf '%s\n' "$1" | sed -n 2p)" "uretprobe.multi 0 agree many"
done
say all 1
is "the target goes on" "$answer" "all 1999000"
target_quit
is "and ends well" "$target_status" 0

printf 'import sys, hashlib\nprint("up", hashlib.sha256(b"x").hexdigest(), flush=True)\nsys.stdin.readline()\nprint(hashlib.sha256(b"x").hexdigest())\n' >hash.py
mkfifo py.in
/usr/bin/python3 hash.py <py.in >py.out &
py=$!
exec 7>py.in
until_true grep -q up py.out
if grep -q libcrypto "/proc/$py/maps"; then
	set -- "$(python3 agree.py "$py" libcrypto.so.3 "$object")"
	is "libcrypto: every entry is as it was said" "$(printf '%s\n' "$1" | sed -n 1p)" "uprobe.multi 0 agree many"
	is "libcrypto: every return" "$(printf '%s\n' "$1" | sed -n 2p)" "uretprobe.multi 0 agree many"
else
	skip 2 "python3 does without libcrypto"
fi
echo >&7
exec 7>&-
wait $py
is "python3 ends with the same result" "$? $(sed 's/up //' py.out | sort -u | wc -l)" "0 1"
