#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Compile the annotated BPF tests of a kernel tree and run them against us, and, where there is one
# that may be used, against the running kernel first.
#	kselftests.sh KERNEL-TREE WORK-DIRECTORY
# Environment: top_builddir; KSELFTESTS_VERDICTS, KSELFTESTS_MESSAGES: percent needed; ONLY: a part
# of the files' names.
set -u
tree=$1
work=$2
bpf=$tree/tools/testing/selftests/bpf
: "${BPF_CLANG:=clang}"
: "${KSELFTESTS_VERDICTS:=99}"
: "${KSELFTESTS_MESSAGES:=95}"
run=$top_builddir/tests/kselftests/run
policy=$(dirname "$0")/policy.txt

if ! test -d "$bpf/progs"; then
	echo "kselftests.sh: $tree has no tools/testing/selftests/bpf/progs: give EBPFRT_KSELFTESTS a kernel's source tree" >&2
	exit 2
fi
mkdir -p "$work" || exit 2
if ! test -s "$work/vmlinux.h"; then
	bpftool btf dump file /sys/kernel/btf/vmlinux format c >"$work/vmlinux.h" || {
		echo "kselftests.sh: no vmlinux.h could be made (bpftool, /sys/kernel/btf/vmlinux): put one into $work" >&2
		exit 2
	}
fi

# one object; those that this clang doesn't know how to compile are counted
compile()
{
	"$BPF_CLANG" -target bpf -g -O2 -mcpu=v3 -w -D__TARGET_ARCH_x86 -DENABLE_ATOMICS_TESTS \
		-I"$work" -I"$bpf" -I"$tree/tools/include/uapi" -I"$tree/tools/lib" \
		-I"$tree/tools/include" -I/usr/include/bpf -I"/usr/include/$(uname -m)-linux-gnu" \
		-c "$1" -o "$2" 2>"$2.err"
}

objects=""
failed=0
for c in $(grep -l bpf_misc.h "$bpf"/progs/*.c); do
	name=$(basename "$c" .c)
	case $name in *"${ONLY:-}"*) ;; *) continue ;; esac
	grep -Eq '__(success|failure)' "$c" || continue
	o=$work/$name.o
	if test "$o" -nt "$c" || compile "$c" "$o"; then
		objects="$objects $o"
	else
		failed=$((failed + 1))
		echo "does not compile here: $name"
	fi
done
echo "objects: $(echo $objects | wc -w), not compiled: $failed"

# what the kernel here says doesn't change from run to run
k=""
said=$work/kernel${ONLY:-}-$(uname -r).txt
if ! test "$said" -nt "$run" && test "$(id -u)" = 0 && "$run" -w "$said.part" $objects; then
	mv "$said.part" "$said"
fi
test -s "$said" && k="-k $said"
"$run" -b "$work/vmlinux.btf" && EBPFRT_VMLINUX_BTF=$work/vmlinux.btf && export EBPFRT_VMLINUX_BTF
exec "$top_builddir/ebpfrt" exec -- "$run" $k -p "$policy" -V "$KSELFTESTS_VERDICTS" -M "$KSELFTESTS_MESSAGES" $objects
