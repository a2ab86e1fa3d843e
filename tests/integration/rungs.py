# SPDX-License-Identifier: BSD-2-Clause
# rungs.py PID FILE FUNCTION... | --share: what the first bytes of functions are in a process that is probed
# rungs.py PID: how many jumps and breaks there are in all of its text, and how many of the jumps' stubs call leaves
import struct
import subprocess
import sys

CHUNK = 64
pid, path, names = sys.argv[1], (sys.argv + [None])[2], sys.argv[3:]
maps = [line.split(None, 5) for line in open(f"/proc/{pid}/maps")]


def differing(now, was):
    for chunk in range(0, len(now), CHUNK):
        if now[chunk : chunk + CHUNK] != was[chunk : chunk + CHUNK]:
            yield from (i for i in range(chunk, min(chunk + CHUNK, len(now))) if now[i] != was[i])


def is_ours(addr):
    return any(
        int(m[0].split("-")[0], 16) <= addr < int(m[0].split("-")[1], 16) and "ebpfrt-agent" in m[5]
        for m in maps
        if len(m) > 5
    )


# what is called by the stub, to which the jump at addr leads by a pad perhaps; of a site that is a jump itself what differs first
# may look like one, and leads anywhere
def calls_leaf(memory, addr):
    try:
        return stub_calls_leaf(memory, addr)
    except (OSError, OverflowError, ValueError, struct.error):
        return False


def stub_calls_leaf(memory, addr):
    for _ in range(2):
        memory.seek(addr)
        text = memory.read(16)
        if text[0] == 0xE9:
            addr += 5 + struct.unpack_from("<i", text, 1)[0]
    memory.seek(addr)
    text = memory.read(16)
    if text[10:12] != b"\xff\x15":
        return False
    memory.seek(addr + 16 + struct.unpack_from("<i", text, 12)[0])
    return not is_ours(struct.unpack("<Q", memory.read(8))[0])


def count_all():
    jumps = breaks = leaves = 0
    memory = open(f"/proc/{pid}/mem", "rb", 0)
    for m in maps:
        if "x" not in m[1] or len(m) < 6 or not m[5].startswith("/") or "(deleted)" in m[5]:
            continue
        lo, hi = (int(x, 16) for x in m[0].split("-"))
        try:
            memory.seek(lo)
            file = open(m[5].strip(), "rb")
            file.seek(int(m[2], 16))
            now, was = memory.read(hi - lo), file.read(hi - lo)
        except OSError:
            continue
        behind = 0
        for i in differing(now[: len(was)], was):
            if i < behind:
                continue
            behind = i + 5 if now[i] == 0xE9 else i + 1
            jumps += now[i] == 0xE9
            breaks += now[i] == 0xCC
            leaves += now[i] == 0xE9 and calls_leaf(memory, lo + i)
    print(f"{jumps} jumps {breaks} breaks {leaves} leaves")


if path is None:
    count_all()
    sys.exit()
mine = [f for f in maps if len(f) > 5 and f[5].strip().split("/")[-1] == path.split("/")[-1]]
segments = []
for line in subprocess.run(["readelf", "-lW", path], capture_output=True, text=True).stdout.splitlines():
    f = line.split()
    if f and f[0] == "LOAD":
        segments.append((int(f[1], 16), int(f[2], 16), int(f[4], 16)))
symbols = {}
for line in subprocess.run(["readelf", "-sW", path], capture_output=True, text=True).stdout.splitlines():
    f = line.split()
    if len(f) >= 8 and f[3] == "FUNC" and f[6] not in ("UND", "ABS"):
        symbols.setdefault(f[7].split("@")[0], int(f[1], 16))


def address(value):
    for offset, at, size in segments:
        if at <= value < at + size:
            where = value - at + offset
            for m in mine:
                lo, hi = (int(x, 16) for x in m[0].split("-"))
                if "x" in m[1] and int(m[2], 16) <= where < int(m[2], 16) + hi - lo:
                    return lo + where - int(m[2], 16), where
    return None, None


memory = open(f"/proc/{pid}/mem", "rb", 0)
text = open(path, "rb").read()
jumps = breaks = 0
seen = set()
for name in names if names != ["--share"] else sorted(symbols):
    addr, where = address(symbols[name])
    if addr is None or addr in seen:
        continue
    seen.add(addr)
    memory.seek(addr)
    byte = memory.read(1)[0]
    if names == ["--share"]:
        jumps += byte == 0xE9 and text[where] != 0xE9
        breaks += byte == 0xCC
    else:
        print(name, "%02x" % byte)
if names == ["--share"]:
    print(f"{jumps} jumps {breaks} breaks {100 * jumps // max(jumps + breaks, 1)} %")
