#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Types from a debuginfod server, and what a person sees who waits for them.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 11

server=
trap 'end=$?; [ -z "$server" ] || kill $server 2>/dev/null; lib_ended $end' EXIT
mkdir symbols
"${CC:-cc}" -g -DVERSION=1 -Wl,--build-id "$stage/integration/versions.c" -o program || bail "the compiler failed"
objcopy --only-keep-debug program symbols/program.debug
strip -g program
id=$(readelf -n program | sed -n 's/ *Build ID: //p')
serve() { # seconds that an answer takes
	rm -f requests # the last one's address
	python3 "$stage/integration/debuginfod.py" symbols/program.debug "$id" "$1" >requests 2>&1 &
	server=$!
	until_true grep -q '^http:' requests
	url=$(head -1 requests)
}
forget() {
	rm -rf "$HOME/.cache" "$HOME/.debuginfod_client_cache"
}

serve 0
try ebpfrt btf dump program
like "no server is named: none is asked" "$status $err" "^1 ebpfrt: .*program: there is no debug information for it"
is "no request" "$(sed 1d requests)" ""
forget
try env DEBUGINFOD_URLS="$url" ebpfrt btf dump program
like "a server is named: the types are there" "$status $out" "STRUCT 'changed'"
is "they were asked for by build-id" "$(sed 1d requests | grep -c "^/buildid/$id/debuginfo 200")" 1
kill $server
try env DEBUGINFOD_URLS="$url" ebpfrt btf dump program
like "kept for the next time: the server isn't needed" "$status $out" "STRUCT 'changed'"
forget
try env DEBUGINFOD_URLS="$url" ebpfrt btf dump program
like "the server is gone: as if there were none" "$status $err" "^1 ebpfrt: .*program: there is no debug information for it"

# somebody who waits for more than a second is told what for, on a terminal
if command -v script >/dev/null; then
	serve 1.1
	forget
	try env DEBUGINFOD_URLS="$url" script -qec "ebpfrt btf dump program >dumped" /dev/null
	like "a line on a terminal" "$out" "reading the types of program: [0-9]+ %"
	like "which is gone in the end" "$(printf '%s' "$out" | tail -c 4 | od -An -c)" "033 +\\[ +K"
	forget
	try env DEBUGINFOD_URLS="$url" script -qec "ebpfrt btf dump --quiet program >dumped" /dev/null
	is "none with --quiet" "$status $out" "0 "
	kill $server
else
	skip 3 "no terminal to be had"
fi

if command -v debuginfod >/dev/null; then
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	debuginfod -d :memory: -p "$port" -F symbols >log 2>&1 &
	server=$!
	url=http://127.0.0.1:$port
	answers() {
		python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' "$url/buildid/$id/debuginfo" 2>/dev/null
	}
	until_true answers || sed "s/^/# /" log
	forget
	try env DEBUGINFOD_URLS="$url" ebpfrt btf dump program
	like "elfutils' server: the types are there" "$status $out" "STRUCT 'changed'"
	like "and functions" "$out" "FUNC 'api'"
	kill $server
else
	skip 2 "no debuginfod"
fi
server=
