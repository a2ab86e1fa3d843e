# SPDX-License-Identifier: BSD-2-Clause
# The executable file mappings of a process, as they are in its memory, in one number.
import hashlib
import sys

pid = sys.argv[1]
h = hashlib.sha256()
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
    for line in maps:
        f = line.split()
        if "x" in f[1] and len(f) > 5 and f[5][0] == "/" and not f[5].startswith("/memfd:"):
            lo, hi = (int(x, 16) for x in f[0].split("-"))
            mem.seek(lo)
            h.update(f[5].encode() + mem.read(hi - lo))
print(h.hexdigest()[:16])
