#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The include rules of ARCHITECTURE.md, over every #include "..." line: a folder includes its own number or lower; the
# agent sees base, arch, osl_trap.h, core/run and proto/shm_abi.h, nothing else; core/ names no OS header.
set -u
. "${top_srcdir:-.}/tests/check/lib.sh"
cd "${top_srcdir:-.}" || exit 99

plan 10
# "file:included" for every project include
includes() {
	grep -rnoE --include='*.[chS]' '^#[[:space:]]*include[[:space:]]+"[^"]+"' src agent cli |
		sed -E 's/^([^:]+):[0-9]+:#[[:space:]]*include[[:space:]]+"([^"]+)"/\1 \2/'
}

level() {
	case $1 in
	src/base/* | base/*) echo 0 ;;
	src/arch/* | arch/* | src/osl/* | osl/* | arch_*) echo 1 ;;
	src/core/run/* | core/run/* | core/uapi.h | src/core/uapi.h) echo 2 ;;
	src/core/* | core/* | src/probe/* | probe/* | src/proto/* | proto/*) echo 3 ;;
	src/surface/* | surface/* | src/btf/* | btf/* | src/client/* | client/*) echo 4 ;;
	src/daemon/* | daemon/* | agent/*) echo 5 ;;
	cli/*) echo 6 ;;
	ebpfrt/* | config.h) echo 0 ;;
	*) echo "${2:-9}" ;; # a sibling named without its folder
	esac
}

result "a folder includes its own layer or lower" "$(includes | while read -r file inc; do
	own=$(level "$file" 9)
	[ "$(level "$inc" "$own")" -le "$own" ] || echo "$file includes $inc"
done | grep -vE '^src/arch/[^ ]+ includes core/(run/(prog|image|helper)\.h|uapi\.h)$')"

result "the agent sees only base, arch, osl_trap.h, core/run and proto/shm_abi.h" "$(includes |
	grep '^agent/' | grep -vE ' (base/|arch/|arch_|agent/|[a-z_]+\.h$|osl/osl_trap\.h|osl/linux/[a-z_]*trap[a-z_]*\.h|osl/linux/ucontext\.h|core/run/|core/uapi\.h|proto/shm_abi\.h)')"

result "core names no OS header" "$(grep -rnE --include='*.[ch]' \
	'^#[[:space:]]*include[[:space:]]+<(sys/|linux/|asm/|fcntl|unistd|pthread|signal|poll|dlfcn)' src/core |
	grep -v '^src/core/uapi.h:')"

result "what may run inside a probe includes no libc header" "$(grep -rnE --include='*.[ch]' \
	'^#[[:space:]]*include[[:space:]]+<' src/core/run agent src/osl/osl_trap.h |
	grep -vE '<(stdint|stddef|stdbool|errno|stdarg|limits|elf|linux/[a-z_]+|asm/[a-z_0-9]+|asm-generic/[a-z_]+)\.h>')"

result "capstone and libelf only in probe, libdw in probe and where libbpf is: btf, client, cli" "$(
	grep -rnE --include='*.[ch]' '^#[[:space:]]*include[[:space:]]+<(capstone|libelf|gelf|elfutils|dwarf|bpf)' src agent cli |
		grep -vE '^src/probe/[^:]+:[0-9]+:#include <(capstone|libelf|gelf|elfutils|dwarf)|^(src/btf|src/client|cli)/'
)"

result "the agent has no assembly but entry.S: src/arch/ has" "$(
	grep -rnE --include='*.[ch]' '(^|[^a-z_])(asm|__asm__)([[:space:]]+(volatile|__volatile__))?[[:space:]]*\(' agent
)"

result "what instructions look like only src/arch/ says" "$(
	grep -rnE --include='*.[ch]' '(==|!=|[{,])[[:space:]]*0x[0-9a-f]{2}([^0-9a-zA-Z]|$)' agent src/client src/daemon src/osl src/probe |
		grep -vE ' 0x7f([^0-9a-f]|$)' # the last character of ASCII
)"

result "an arch's own headers are its own: others include what each has by one name" "$(includes |
	grep -v '^src/arch/' | grep -E ' arch/[^ ]*/')"

result "what the files of a folder share among themselves stays there" "$(includes | while read -r file inc; do
	case $inc in
	*/*_priv.h | */*_impl.h) [ "src/${inc%/*}" = "${file%/*}" ] || echo "$file includes $inc" ;;
	esac
done)"

result "the checker of proofs sees nothing of what finds them" "$(includes |
	grep -E '^src/core/load/(check_[a-z]+\.[ch]|scalar[a-z_]*\.[ch]|tnum\.[ch]|verify_(btf|ctx|proto)\.[ch]) ' |
	grep -vE ' (arch/arch\.h|base/[a-z]+\.h|core/uapi\.h|core/run/[a-z/]+\.h|core/load/(btf_kind|check|check_proof|rank|vstate|vprog|load|scalar|scalar_view|tnum|mutant|verify_btf|verify_ctx|verify_proto)\.h)$')"
