#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""core_matches.py OBJECT: where an object asks whether a type ...___match exists, let it ask whether it matches."""
import struct
import sys

EXISTS, MATCHES = 8, 12
path = sys.argv[1]
data = bytearray(open(path, "rb").read())


def section(name):
    shoff, shentsize, shnum, shstrndx = struct.unpack_from("<Q", data, 40)[0], *struct.unpack_from("<HHH", data, 58)
    at = lambda i: struct.unpack_from("<IIQQQQ", data, shoff + i * shentsize)
    names = at(shstrndx)[4]
    for i in range(shnum):
        s = at(i)
        if data[names + s[0]:].split(b"\0", 1)[0] == name:
            return s[4], s[5]
    raise SystemExit("no section " + name.decode())


def type_names(at):
    """Of struct, union: by id."""
    hdr_len, type_off, type_len, str_off, _ = struct.unpack_from("<IIIII", data, at + 4)
    p, end, strings, i, names = at + hdr_len + type_off, at + hdr_len + type_off + type_len, at + hdr_len + str_off, 1, {}
    extra = {1: lambda n: 4, 3: lambda n: 12, 4: lambda n: 12 * n, 5: lambda n: 12 * n, 6: lambda n: 8 * n,
             13: lambda n: 8 * n, 14: lambda n: 4, 15: lambda n: 12 * n, 17: lambda n: 4, 19: lambda n: 12 * n}
    while p < end:
        name, info, _ = struct.unpack_from("<III", data, p)
        kind = info >> 24 & 31
        names[i] = data[strings + name:].split(b"\0", 1)[0]
        p += 12 + extra.get(kind, lambda n: 0)(info & 0xffff)
        i += 1
    return names


names = type_names(section(b".BTF")[0])
ext, _ = section(b".BTF.ext")
hdr_len, = struct.unpack_from("<I", data, ext + 4)
off, length = struct.unpack_from("<II", data, ext + 24)
p, end = ext + hdr_len + off, ext + hdr_len + off + length
size, = struct.unpack_from("<I", data, p)
p += 4
changed = 0
while p < end:
    _, n = struct.unpack_from("<II", data, p)
    p += 8
    for _ in range(n):
        kind, = struct.unpack_from("<I", data, p + 12)
        if kind == EXISTS and names[struct.unpack_from("<I", data, p + 4)[0]].endswith(b"___match"):
            struct.pack_into("<I", data, p + 12, MATCHES)
            changed += 1
        p += size
open(path, "wb").write(data)
print(changed)
