# SPDX-License-Identifier: BSD-2-Clause
"""Damaged files for `ebpfrt btf`: N, SEED, OBJECT, FILE... (binaries with debug information, raw BTF).

Each of N times one file is changed at random, mostly where types are, and given to one way of reading it, alone or beside the
good one. What may come of it: what the command does, or a sentence that names the file. Never a crash, and an end.
"""
import os
import random
import subprocess
import sys

n, seed, obj, files = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
rnd = random.Random(seed)
count = {"read": 0, "refused": 0, "wrong": 0}


def sections(name):
    """(offset, size) of what types are read from; the whole file where it isn't ELF."""
    out = subprocess.run(["objdump", "-hw", name], capture_output=True, text=True).stdout
    rows = [line.split() for line in out.splitlines()]
    found = [(int(r[5], 16), int(r[2], 16)) for r in rows if len(r) > 6 and r[1].startswith((".debug", ".BTF"))]
    size = os.path.getsize(name)
    return found + [(0, 64), (size - min(size, 4096), min(size, 4096))] if found else [(0, size)]


good = {name: (open(name, "rb").read(), sections(name)) for name in files}


def mutate(name):
    data, where = good[name]
    data = bytearray(data)
    kind = rnd.randrange(5)
    if kind == 0:
        return data[: rnd.randrange(len(data))]
    for _ in range(rnd.choice((1, 1, 2, 4, 32))):
        at, size = rnd.choice(where)
        at += rnd.randrange(max(1, size))
        if at + 8 > len(data):
            continue
        if kind == 1:
            data[at] ^= 1 << rnd.randrange(8)
        elif kind == 2:
            data[at] = rnd.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 3:
            data[at : at + 4] = rnd.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80"))
        else:
            other = rnd.randrange(len(data) - 64)
            data[at : at + 8] = data[other : other + 8]
    return data


def ways(name):
    return rnd.choice(
        (
            (["gen", "mutant", "-o", "out.btf"], (0, 1)),
            (["dump", "mutant"], (0, 1)),
            (["dump", "mutant", "format", "c"], (0, 1)),
            (["diff", "mutant", name], (0, 1, 2)),
            (["diff", name, "mutant", "--json"], (0, 1, 2)),
            (["diff", "--object", obj, name, "mutant"], (0, 1, 2)),
            (["merge", "-o", "out.btf", name, "mutant"], (0, 1)),
        )
    )


for i in range(n):
    name = rnd.choice(files)
    with open("mutant", "wb") as f:
        f.write(mutate(name))
    words, statuses = ways(name)
    try:
        r = subprocess.run(["ebpfrt", "btf"] + words, capture_output=True, timeout=300)
    except subprocess.TimeoutExpired:
        count["wrong"] += 1
        print(f"{i}: {words} of {name}: no end")
        continue
    err = r.stderr.decode(errors="replace")
    told = [line for line in err.splitlines() if line.startswith("ebpfrt: ") and "warning" not in line]
    failed = r.returncode == 2 or (r.returncode == 1 and words[0] != "diff")
    if r.returncode not in statuses or failed != bool(told) or (failed and not any("mutant" in t or "types" in t for t in told)):
        count["wrong"] += 1
        print(f"{i}: {words} of {name}: status {r.returncode}: {err!r}")
        os.replace("mutant", f"wrong.{i}")
    else:
        count["refused" if failed else "read"] += 1
print(count)
