#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# BTF made from DWARF, against what others make of the same files: every structure and union as pahole has it in C, and some
# hundreds of classes as gdb has them, which pahole can't convert. With PEER_FILES, files of your own as well (C only).
. "${top_srcdir:-.}/tests/integration/lib.sh"
cp "$EBPFRT_STAGE/integration/btf_compare.py" .
programs="$EBPFRT_STAGE/ebpfrtd $bin/target $samples/core_two"
plan $((4 + 2 * $(echo "$programs ${PEER_FILES:-}" | wc -w)))

# FILE: its types as JSON in ours.json
ours() {
	ebpfrt btf gen "$1" -o ours.btf && ebpfrt btf dump ours.btf --json >ours.json
}

if command -v pahole >/dev/null 2>&1; then
	for file in $programs ${PEER_FILES:-}; do
		name=$(basename "$file")
		ours "$file"
		rm -f theirs.btf
		pahole --btf_encode_detached theirs.btf "$file" 2>pahole.err
		ebpfrt btf dump theirs.btf --json >theirs.json
		verdict=$(python3 btf_compare.py ours.json theirs.json)
		like "$name: structures as pahole has them" "$verdict" "^same [1-9]"
		unlike "$name: none that is different" "$verdict" "^different"
	done
	# would it be seen?
	sed 's/"bits_offset":64/"bits_offset":96/' ours.json >theirs.json
	like "a member elsewhere is seen" "$(python3 btf_compare.py ours.json theirs.json)" "^different: STRUCT data"
else
	skip $((1 + 2 * $(echo "$programs ${PEER_FILES:-}" | wc -w))) "no pahole"
fi

if [ ! -x "$bin/classes" ]; then
	skip 3 "no C++ compiler"
elif ! gdb -nx -batch -ex 'python print(1)' >/dev/null 2>&1; then
	skip 3 "no gdb with Python"
else
	ours "$bin/classes"
	verdict=$(BTF_JSON=ours.json gdb -nx -batch -x btf_compare.py "$bin/classes" 2>&1)
	like "classes as gdb has them: some hundreds" "$verdict" "^gdb knows [1-9][0-9][0-9]"
	unlike "none that is different" "$verdict" "^different|Error"
	sed 's/"bits_offset":64}/"bits_offset":96}/g' ours.json >moved.json
	verdict=$(BTF_JSON=moved.json gdb -nx -batch -x btf_compare.py "$bin/classes" 2>&1)
	like "members elsewhere are seen" "$verdict" "^different"
fi
