# SPDX-License-Identifier: BSD-2-Clause
"""Compare our BTF of a binary with what others say of its types.

	python3 btf_compare.py OURS.json THEIRS.json	both as `ebpfrt btf dump FILE --json` prints them
	gdb -batch -x btf_compare.py BINARY		with OURS.json named by the environment's BTF_JSON

Every structure and union with a name: its size, and the place and width of each member, those of anonymous ones
included, and of each base. Prints "same N" and a line for each difference; from gdb "gdb knows N" instead, for it is asked by name.
"""
import json
import os
import sys

SAMPLE = 800


def load(path):
    with open(path) as f:
        return {t["id"]: t for t in json.load(f)["types"]}


def named(types):
    return [t for t in types.values() if t["kind"] in ("STRUCT", "UNION") and t["name"] != "(anon)"]


def layout(types, t, base=0, depth=0):
    """(name, bit, width of a bitfield) of the members, of anonymous ones those in them."""
    out = set()
    for m in t["members"]:
        bit = base + m["bits_offset"]
        of = types.get(m["type_id"], {})
        if m["name"] != "(anon)":
            out.add((m["name"], bit, m.get("bitfield_size", 0)))
        elif of.get("kind") in ("STRUCT", "UNION") and depth < 16:
            out |= layout(types, of, bit, depth + 1)
    return out


def all_layouts(types):
    """By kind and name: what is called that may be different things in different units."""
    out = {}
    for t in named(types):
        out.setdefault((t["kind"], t["name"]), set()).add((t["size"], frozenset(layout(types, t))))
    return out


def compare_files(ours, theirs):
    a, b = all_layouts(load(ours)), all_layouts(load(theirs))
    different = [k for k in sorted(set(a) | set(b)) if a.get(k) != b.get(k)]
    print("same", len(set(a) & set(b)) - len([k for k in different if k in a and k in b]))
    for k in different:
        print("different:", *k, "ours", sorted(map(str, a.get(k, []))), "theirs", sorted(map(str, b.get(k, []))))


def bases_wrong(gdb, types, ours, theirs):
    """Bases that have members are members of ours, where gdb has them (of virtual ones it can't know)."""
    mine = {types[m["type_id"]]["name"]: m["bits_offset"] for m in ours["members"] if m["type_id"] in types}
    out = set()
    for f in theirs.fields():
        if not f.is_base_class or not hasattr(f, "bitpos"):
            continue
        name = f.type.strip_typedefs().name
        if name in mine and mine[name] != f.bitpos:
            out.add((name, f.bitpos))
    return out


def gdb_layout(gdb, t, base=0):
    out = set()
    for f in t.fields():
        if not hasattr(f, "bitpos"):
            continue  # static
        if f.is_base_class or f.name is None or f.name == "":
            inner = f.type.strip_typedefs()
            if f.is_base_class:
                continue
            out |= gdb_layout(gdb, inner, base + f.bitpos)
        else:
            name = "_vptr" if f.name.startswith("_vptr") else f.name
            out.add((name, base + f.bitpos, f.bitsize))
    return out


def compare_gdb(gdb):
    types = load(os.environ["BTF_JSON"])
    names = {}
    for t in named(types):
        names.setdefault(t["name"], []).append(t)
    single = sorted(n for n, all_of in names.items() if len(all_of) == 1)
    known = 0
    for name in single[:: max(1, len(single) // SAMPLE)]:
        ours = names[name][0]
        try:
            theirs = gdb.lookup_type(name).strip_typedefs()
            fields = gdb_layout(gdb, theirs)
        except (gdb.error, TypeError):
            continue
        if theirs.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) or not theirs.sizeof:
            continue
        known += 1
        missing = fields - layout(types, ours)
        # a bool of eight bits is a byte to itself
        missing = {m for m in missing if (m[0], m[1], 0) not in layout(types, ours) or m[2] != 8}
        missing |= bases_wrong(gdb, types, ours, theirs)
        if theirs.sizeof != ours["size"] or missing:
            print("different:", name, "size", ours["size"], theirs.sizeof, sorted(missing))
    print("gdb knows", known)


try:
    import gdb
except ImportError:
    compare_files(sys.argv[1], sys.argv[2])
else:
    compare_gdb(gdb)
