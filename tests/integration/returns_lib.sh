# SPDX-License-Identifier: BSD-2-Clause
#
# What the tests of the targets returns and returns_cc share, behind lib.sh.

# what is said to a target; $c_commands and $cc_commands are the test's
commands_of() {
	case $1 in
	returns) echo "$c_commands" ;;
	returns_cc) echo "$cc_commands" ;;
	esac
}

# what the programs counted, as the targets say it of themselves: "counts N...", as many as are asked for
counted() {
	ebpfrt map dump name returns --json | python3 -c '
import json, sys
v = {}
for e in json.loads(sys.stdin.read() or "[]"):
    e = e.get("formatted", e)
    v[e["key"]] = e["value"]
print("counts", *(v.get(i) for i in range(int(sys.argv[1]))))' "$1"
}
