#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# One object, three builds of a real library at once, each with another layout of what it keeps to itself: Debian's zlib 1.2.13,
# and 1.3.1 in two configurations, from the source packages. `make check-releases`; needs a Debian mirror.
. "${top_srcdir:-.}/tests/integration/lib.sh"

mkdir -p apt/lists/partial
for suite in bookworm trixie; do
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
done >apt/sources.list
from_mirror() { # words of apt-get
	timeout 300 apt-get -q -o Dir::Etc::sourcelist="$stage/tmp/apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$stage/tmp/apt/lists" -o Dir::Cache="$stage/tmp/apt" "$@" >>"$stage/tmp/apt.log" 2>&1
}
source_of() { # suite
	mkdir -p "source/$1" && (cd "source/$1" && from_mirror source "zlib/$1")
}
fetch() {
	from_mirror update && source_of bookworm && source_of trixie
}
if ! fetch; then
	echo "1..0 # SKIP no source packages: $(tail -n 1 apt.log)"
	exit 0
fi
plan 17

build() { # name, suite, flags
	src=$(echo "$PWD/source/$2"/zlib-*/)
	mkdir -p "$1"
	for f in adler32 compress crc32 deflate infback inffast inflate inftrees trees uncompr zutil; do
		echo "$src$f.c"
	done | xargs "${CC:-cc}" -O2 -g -fPIC -shared -Wl,-soname,libz.so.1 -D_LARGEFILE64_SOURCE=1 -DHAVE_UNISTD_H $3 \
		-o "$1/libz.so.1.0" &&
		ln -sf libz.so.1.0 "$1/libz.so.1" &&
		"${CC:-cc}" -O2 -g $3 -I"$src" -include stdint.h -o "$1/compress" "$stage/integration/releases.c" "$1/libz.so.1" \
			-Wl,-rpath,"$PWD/$1"
}
start() { # name; 3 is its input then, $pid its process
	rm -f "$1.in" "$1.out"
	mkfifo "$1.in"
	"$1/compress" <"$1.in" >"$1.out" &
	exec 3>"$1.in"
	until_true grep -q ready "$1.out"
	pid=$(sed -n 's/^ready \([0-9]*\) .*/\1/p' "$1.out")
}
lines() { # name, how many
	[ "$(wc -l <"$1.out")" -ge "$2" ]
}

builds="bookworm lit_mem debug"
try build bookworm bookworm ""
is "bookworm's release is built" "$status" 0
try build lit_mem trixie -DLIT_MEM
is "trixie's is, with LIT_MEM" "$status" 0
try build debug trixie -DZLIB_DEBUG
is "and with ZLIB_DEBUG" "$status" 0
layouts=$(for b in $builds; do
	ebpfrt btf dump "$b/libz.so.1" format json | python3 -c '
import json, sys
for t in json.load(sys.stdin)["types"]:
    if t.get("name") == "internal_state" and t["kind"] == "STRUCT":
        print([(m["name"], m["bits_offset"]) for m in t["members"] if m["name"] in ("sym_next", "matches", "insert", "bi_valid", "high_water")])'
done | sort -u | wc -l)
is "each keeps its state otherwise" "$layouts" 3

start bookworm
one=$pid
exec 5>&3
start lit_mem
two=$pid
exec 6>&3
start debug
three=$pid
exec 7>&3 3>&-
attach_start -p "$one" -p "$two" -p "$three" "$bin/releases.bpf.o"
for round in 1 2 3 4 5; do
	echo >&5
	echo >&6
	echo >&7
	for b in $builds; do
		until_true lines "$b" $((round + 1))
	done
done
echo q >&5
echo q >&6
echo q >&7
wait "$one"
is "bookworm's ends as ever" "$?" 0
wait "$two"
is "trixie's with LIT_MEM, too" "$?" 0
wait "$three"
is "and with ZLIB_DEBUG" "$?" 0
wait "$attach_child"
out=$(cat attach.out)
check() { # name, pid
	got=$(printf '%s\n' "$out" | sed -n "s/^@streams\[$2\]: //p")
	is "$1: its state is read right" "$got" "$(tail -n 1 "$1.out")"
	unlike "$1: and there is something in it" "$got" '"sym_next": 0,|"strstart": 0,|"high_water": 0,'
}
check bookworm "$one"
check lit_mem "$two"
check debug "$three"
like "nothing is lost" "$(cat attach.err)" "15 hits, 0 lost"

# each alone, from its start
for b in $builds; do
	printf '\n\n\n' >rounds
	ebpfrt run -o results -P "$bin/releases.bpf.o" -- "$b/compress" <rounds >"$b.run"
	is "$b: run" "$(sed -n 's/^@streams\[[0-9]*\]: //p' results)" "$(tail -n 1 "$b.run")"
done
