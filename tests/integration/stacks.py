# SPDX-License-Identifier: BSD-2-Clause
"""How the agent's pool of stacks stands in a process (agent/stack.c): read from outside, at no moment in particular.

    stacks.py PID AGENT_LIBRARY

Says how many stacks are taken by somebody, how many stay with a place where nobody is, how many with one where
somebody is, and in how many places somebody is."""
import struct
import subprocess
import sys

pid, library = sys.argv[1:]
at, file = {}, ""
for line in subprocess.check_output(["readelf", "-sW", library], text=True).splitlines():
    f = line.split()
    if len(f) >= 8 and f[0][:-1].isdigit():
        file = f[7] if f[3] == "FILE" else file
        if f[3] == "OBJECT" and (f[7] == "agent_active_slots" or (f[7], file) == ("notes", "stack.c")):
            at[f[7]] = int(f[1], 16), int(f[2], 0) # large ones are hexadecimal
load = [l.split() for l in subprocess.check_output(["readelf", "-lW", library], text=True).splitlines() if l.split()[:1] == ["LOAD"]]
executable = next(int(f[2], 16) & -4096 for f in load if "E" in "".join(f[6:-1]))
maps = [l.split(None, 5) for l in open(f"/proc/{pid}/maps")]
base = min(int(m[0].split("-")[0], 16) for m in maps if "x" in m[1] and m[-1].startswith("/memfd:ebpfrt-agent")) - executable
memory = open(f"/proc/{pid}/mem", "rb", 0)


def read(name):
    memory.seek(base + at[name][0])
    return memory.read(at[name][1])


notes, places = read("notes"), read("agent_active_slots")
size = len(places) // 1024  # ACTIVE_SLOTS
inside = {i // size for i in range(0, len(places), size) if struct.unpack_from("<Q", places, i)[0]}
taken = kept = held = astray = 0
for i in range(len(notes) // 64):
    whose = struct.unpack_from("<I", notes, 64 * i)[0]
    taken += whose == 1
    if whose > 1:
        kept += whose - 2 not in inside
        held += whose - 2 in inside
        # struct agent_active says the same of it
        astray += struct.unpack_from("<I", places, (whose - 2) * size + 36)[0] != i + 1
print(f"taken {taken} kept {kept} held {held} places {len(inside)} astray {astray}")
