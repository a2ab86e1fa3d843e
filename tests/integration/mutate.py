# SPDX-License-Identifier: BSD-2-Clause
# Mutations of an object file for `ebpfrt check`: N, SEED, PID, FILE. A status of 0, or a sentence; nothing else.
import random
import subprocess
import sys

n, seed, pid, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
rnd = random.Random(seed)
good = open(file, "rb").read()
count = {"good": 0, "refused": 0, "crashed": 0}
bad = 0


def mutate():
    data = bytearray(good)
    kind = rnd.randrange(4)
    if kind == 0:
        return data[: rnd.randrange(len(data))]
    for _ in range(rnd.choice((1, 1, 2, 4, 16))):
        at = rnd.randrange(len(data))
        if kind == 1:
            data[at] ^= 1 << rnd.randrange(8)
        elif kind == 2:
            data[at] = rnd.choice((0, 1, 0x7F, 0x80, 0xFF))
        else:
            data[at : at + 4] = rnd.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80"))
    return data


for i in range(n):
    with open("mutant.bpf.o", "wb") as f:
        f.write(mutate())
    r = subprocess.run(["ebpfrt", "check", "-p", pid, "mutant.bpf.o"], capture_output=True, timeout=60)
    err = r.stderr.decode(errors="replace")
    if r.returncode == 0:
        count["good"] += 1
    elif r.returncode == 1 and any(len(line) > 30 and line.startswith("ebpfrt: ") for line in err.splitlines()):
        count["crashed" if "crashed" in err else "refused"] += 1
    elif r.returncode == 1 and "refused: " in r.stdout.decode(errors="replace"):
        count["refused"] += 1
    else:
        bad += 1
        print(f"mutation {i}: status {r.returncode}: {err!r}")
print(count)
print(f"{n} done, {bad} without words")
