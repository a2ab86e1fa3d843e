#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What `ebpfrt list` says can be probed is what attach then does, for every function of a library, entries and returns.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 45

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

# with jumps: which
try env EBPFRT_PROBE=auto ebpfrt list -v "$bin/usdt:shapes:nop5"
like "USDT: an old nop" "$out" ":nop5  jump \\(pun\\), arguments: 8@%rdi, with a counter"
try env EBPFRT_PROBE=auto ebpfrt list -v "$bin/usdt:shapes:constants"
like "USDT: another" "$out" ":constants  jump \(pun\), arguments:"
cat >rungs.s <<'EOT'
.text
.macro function name
.globl \name
.type \name, @function
\name:
.endm
.macro end name
.size \name, . - \name
.endm
function long_one
movl $1, %eax
ret
end long_one
function pun_one
push %rbx
.byte 0x48, 0x89, 0xfb, 0xe8, 0, 0, 0, 0
pop %rbx
ret
end pun_one
function nop_one
.byte 0x0f, 0x1f, 0x44, 0, 0
ret
end nop_one
function locked_one
lock incl (%rdi)
ret
end locked_one
function indirect_one
jmp *%rax
end indirect_one
.section .note.GNU-stack,"",@progbits
EOT
cc -shared -nostdlib -o rungs.so rungs.s
try env EBPFRT_PROBE=auto ebpfrt list -v "$PWD/rungs.so"
is "each rung, and why it is a trap" "$(printf '%s\n' "$out" | sed 's/.*so:\([a-z_]*\)  [0-9]* bytes, /\1 /' | sort)" \
	"indirect_one trap: its first instruction can only be emulated
locked_one trap: its first instruction can only be emulated
long_one jump (long)
nop_one jump (nop)
pun_one jump (pun)"
try env EBPFRT_PROBE="trap" ebpfrt list -v "$PWD/rungs.so:long_one"
like "traps are asked for" "$out" ":long_one  [0-9]+ bytes, trap$"
try env EBPFRT_PROBE=auto ebpfrt list --json "$PWD/rungs.so:*_one"
is "JSON: the rung" "$(printf '%s' "$out" | python3 -c '
import json, sys
for e in sorted(json.load(sys.stdin), key=lambda e: e["name"]):
    print(e["name"], e["rung"], e.get("rung_reason"))')" \
	"indirect_one trap its first instruction can only be emulated
locked_one trap its first instruction can only be emulated
long_one long None
nop_one nop None
pun_one pun None"

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
offsets = {e["name"]: e["offset"] for e in listed}
placed = lambda words: {re.sub(r"^(cannot probe (?:the return of )?)([^ :]+)", # whichever of its names
                               lambda m: m[1] + str(offsets.get(m[2], m[2])), w) for w in words}
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
    print(kind, r.returncode, "agree" if (attached, placed(refused)) == (len(good), placed(words)) else
          f"list: {len(good)} {sorted(words)[:5]}; attach: {attached} {sorted(refused)[:5]}; {r.stderr[-300:]}",
          "many" if attached > 500 else attached)
EOT
for file in "$lib" libc.so.6; do
	set -- "$(python3 agree.py "$target" "$file" "$object")"
	is "${file##*/}: every entry is as it was said" "$(printf '%s\n' "$1" | sed -n 1p)" "uprobe.multi 0 agree many"
	is "${file##*/}: every return" "$(printf '%s\n' "$1" | sed -n 2p)" "uretprobe.multi 0 agree many"
done

# what stands there, in the process's own memory, is what list and link say
cat >standing.py <<'EOT'
import collections, json, subprocess, sys
pid, lib, link = sys.argv[1], sys.argv[2], len(sys.argv) > 3
ask = ["ebpfrt", "link", "show", "-v", "-p", pid, "--json"] if link else ["ebpfrt", "list", "--json", "-p", pid, lib]
rows = json.loads(subprocess.run(ask, capture_output=True, text=True).stdout)
if link:
    target = rows[0]["targets"][0]
    sites = [(s["addr"], s["rung"], s.get("reason")) for s in target["sites"]]
    jumps = sum(s[1] in ("nop", "long", "pun", "over") for s in sites)
    if len(sites) != target["places"] or jumps != target["jumps"]:
        print("link:", len(sites), target["places"], jumps, target["jumps"])
else:
    maps = [l.split(None, 5) for l in open(f"/proc/{pid}/maps")]
    maps = [([int(x, 16) for x in m[0].split("-")], int(m[2], 16)) for m in maps if "x" in m[1] and m[-1].strip().endswith(lib.split("/")[-1])]
    at = lambda o: next((lo + o - off for (lo, hi), off in maps if off <= o < off + hi - lo), None)
    sites = {at(e["offset"]): (at(e["offset"]), e["probed"], e.get("probed_reason")) for e in rows if "probed" in e}.values()
memory = open(f"/proc/{pid}/mem", "rb", 0)
seen = collections.Counter()
for addr, rung, reason in sites:
    memory.seek(addr)
    byte = memory.read(1)[0]
    jump = rung in ("nop", "long", "pun", "over")
    seen["jumps" if jump else "traps"] += 1
    if byte != (0xE9 if jump else 0xCC) or bool(reason) == jump:
        print("%x" % addr, "%02x" % byte, rung, reason)
print("many" if sum(seen.values()) > 500 else sum(seen.values()), "jumps" if seen["jumps"] > seen["traps"] else "traps")
EOT
for mode in "trap" auto; do
	EBPFRT_PROBE=$mode
	export EBPFRT_PROBE
	until_true eval '[ ! -S "$EBPFRT_RUNTIME_DIR/ctl" ]' # a daemon of its own
	[ $mode = auto ] && most=jumps || most=traps
	attach_start -p "$target" "$object" --prog "on_call=uprobe.multi/$lib:m_*"
	is "$mode: list says what stands there" "$(python3 standing.py "$target" "$lib")" "many $most"
	is "$mode: so does link" "$(python3 standing.py "$target" "$lib" link)" "many $most"
	like "$mode: in words" "$(ebpfrt list -v -p "$target" "$lib:m_007")" \
		"bytes, (trap, probed by a trap: EBPFRT_PROBE asks for breaks|jump \((pun|long|over)\), probed by a jump \((pun|long|over)\))$"
	if [ $mode = auto ]; then
		like "auto: a place of the link" "$(ebpfrt link show -v -p "$target")" "^		0x[0-9a-f]+  jump \((pun|long|over)\)(, a leaf)?$"
		is "auto: ps knows how many" "$(ebpfrt ps --json | python3 -c '
import json, sys
t = json.load(sys.stdin)[0]
print(t["sites"] >= t["jumps"] > 500)')" True
	fi
	attach_stop INT
done
unset EBPFRT_PROBE
try ebpfrt list "$target:m_007"
is "what stays of the agent is no file of the target's" "$status $err $out" "0  uprobe:$lib:m_007"
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
