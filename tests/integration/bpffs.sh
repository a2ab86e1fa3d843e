#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The pin directory as programs make, walk and remove names in it: as in a bpffs. What a kernel's did is in bpffs.expect;
# started as root where one can be mounted, the kernel at hand is asked, too.
if [ -z "${EBPFRT_STAGE:-}" ] && [ "$(id -u)" = 0 ]; then
	# lib.sh takes this folder along
	oracle=$PWD/$top_builddir/tests/integration/bin/bpffs.oracle
	[ "${top_builddir#/}" = "$top_builddir" ] || oracle=$top_builddir/tests/integration/bin/bpffs.oracle
	unshare -m sh -c 'mount -t bpf bpf /sys/fs/bpf && exec python3 "$0"' "$top_srcdir/tests/integration/bpffs.py" \
		>"$oracle" 2>/dev/null || : >"$oracle"
fi
no_probe_needed=1
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 16

ebpfrt exec -- python3 "$stage/integration/bpffs.py" >names.out 2>names.err
diff "$stage/integration/bpffs.expect" names.out >names.diff
if [ -s names.out ] && [ ! -s names.diff ]; then
	ok "$(wc -l <names.out) lines about names are as a bpffs has them"
else
	not_ok "names are as in a bpffs" "$(head -n 20 names.diff)" "$(tail -n 3 names.err)"
fi
if [ ! -s "$bin/bpffs.oracle" ]; then
	skip 1 "no bpffs to compare with: this needs root and eBPF"
elif ! diff "$stage/integration/bpffs.expect" "$bin/bpffs.oracle" >oracle.diff; then
	skip 1 "kernel $(uname -r) answers differently from the one that was written down: $(sed -n 2p oracle.diff)"
else
	ok "the kernel at hand agrees"
fi

if ! command -v bpftool >/dev/null; then
	skip 14 "bpftool is not installed"
	exit 0
fi
# one that keeps the daemon, so that each line below may have a connection of its own
ebpfrt exec -- sh -c 'mkdir -p /sys/fs/bpf/d/e'
tool() {
	try ebpfrt exec -- "$@"
}
tool bpftool map create /sys/fs/bpf/d/m type array key 4 value 4 entries 1 name kept
is "a map is pinned" "$status" 0
tool sh -c 'cd /sys/fs/bpf/d && bpftool map create ./e/n type hash key 4 value 4 entries 1 name second'
is "one by a relative name" "$status" 0
tool find /sys/fs/bpf -type f
is "find sees both" "$(echo "$out" | sort | tr '\n' ' ')" "/sys/fs/bpf/d/e/n /sys/fs/bpf/d/m "
tool bpftool map show pinned /sys/fs/bpf/d/e/n
like "shown by its pin" "$out" "hash +name second"
tool bpftool -f map show
is "bpftool walks to the pins" "$(echo "$out" | grep pinned | sort | tr -d '\t' | tr '\n' ' ')" \
	"pinned /sys/fs/bpf/d/e/n pinned /sys/fs/bpf/d/m "
tool sh -c 'mv /sys/fs/bpf/d/e/n /sys/fs/bpf/moved && cd /sys/fs/bpf && ln d/m second-name && rm d/m && cat moved'
like "renamed, linked, and not readable" "$err" "moved: Input/output error"
tool bpftool map show pinned /sys/fs/bpf/moved
like "the new name is the map's" "$out" "name second"
tool bpftool map show pinned /sys/fs/bpf/second-name
like "so is the link" "$out" "name kept"
tool bpftool map show pinned /sys/fs/bpf/d/m
like "the old name is gone" "$err" "No such file"
tool bpftool map create /sys/fs/bpf/a.b type array key 4 value 4 entries 1 name dotted
like "names with dots are the kernel's" "$err" "not permitted"
# the surface does not go along here: the working directory is a real one, and what is done there counts
tool sh -c 'cd /sys/fs/bpf && env -u LD_PRELOAD sh -c "ls; rm second-name"'
is "a program without the surface stands in the same directory" "$(echo $out)" "d moved second-name"
gone() {
	! ebpfrt map list | grep -q kept
}
until_true gone && ok "and takes a pin away" || not_ok "and takes a pin away" "$(ebpfrt map list)"
tool rm -rf /sys/fs/bpf/d /sys/fs/bpf/moved
is "rm -rf takes the rest" "$(ebpfrt map list | grep -c second)" 0
tool ls -A /sys/fs/bpf
is "nothing is left" "$status$out" 0
