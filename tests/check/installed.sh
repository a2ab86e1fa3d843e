#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# An installation, complete and working: for `make installcheck`, which names the directories. Under a DESTDIR the programs
# are told where their files are; without, they find them by themselves.
set -u
. "$srcdir/tests/check/lib.sh"
: "${bindir:?run this by make installcheck}" "${DESTDIR=}"
root=$DESTDIR
work=$(mktemp -d) || exit 99
export EBPFRT_RUNTIME_DIR="$work/run" EBPFRT_IDLE=1
trap '"$root$bindir/ebpfrt" -q shutdown --force 2>/dev/null; rm -rf "$work"' EXIT
unset EBPFRT_AGENT EBPFRT_DAEMON EBPFRT_SURFACE
if [ -n "$root" ]; then
	export EBPFRT_AGENT="$root$pkglibdir/libebpfrt-agent.so" EBPFRT_DAEMON="$root$pkglibexecdir/ebpfrtd" \
		EBPFRT_SURFACE="$root$pkglibdir/libebpfrt-surface.so"
fi
probes=$([ "$EBPFRT_ARCH" = generic ] || echo yes)

plan 9
programs="$bindir/ebpfrt $pkglibexecdir/ebpfrtd"
libraries="$pkglibdir/libebpfrt-surface.so $libdir/libebpfrt.so.0 $libdir/libebpfrt.so"
[ -z "$probes" ] || libraries="$libraries $pkglibdir/libebpfrt-agent.so"
files="$includedir/ebpfrt/ebpfrt.h $includedir/bpf/ebpfrt.bpf.h $includedir/bpf/ebpfrt_kfuncs.bpf.h $includedir/bpf/ebpfrt_typed.bpf.h $libdir/pkgconfig/ebpfrt.pc
$datadir/bash-completion/completions/ebpfrt.bash"
for f in "$srcdir"/man/*.scd; do
	page=$(basename "$f" .scd)
	files="$files $mandir/man${page##*.}/$page"
done
for f in "$srcdir"/samples/*.bpf.c; do
	files="$files $pkgdatadir/samples/$(basename "$f") $pkgdatadir/samples/$(basename "$f" .c).o"
done
for f in events.c events.h events.skel.h; do files="$files $pkgdatadir/samples/$f"; done
files="$files $pkgdatadir/ebpfrt-gdb.py"
for f in README.md NEWS LICENSE; do files="$files $docdir/$f"; done

result "the programs" "$(for f in $programs; do [ -x "$root$f" ] || echo "$f"; done)"
result "the libraries" "$(for f in $libraries; do [ -r "$root$f" ] || echo "$f"; done)"
result "headers, pages, samples" "$(for f in $files; do [ -s "$root$f" ] || echo "$f"; done)"
if [ -n "$root" ]; then
	for f in $programs $libraries $files; do echo "$f"; done | sort >"$work/known"
	result "nothing else" "$(cd "$root" && find . ! -type d | sed 's/^\.//' | sort | comm -23 - "$work/known")"
else
	result "nothing else # SKIP the place is not ours alone" ""
fi

PATH=$root$bindir:$PATH
# where nothing is probed doctor says so, and that is a failure
result "ebpfrt doctor finds everything" "$(ebpfrt doctor >"$work/doctor" 2>&1 || [ -z "$probes" ] || cat "$work/doctor"
	[ -z "$probes" ] || grep -qF "$root$pkglibdir/libebpfrt-agent.so" "$work/doctor" || cat "$work/doctor")"
if [ -n "$probes" ]; then
	result "a program is traced" "$(ebpfrt run -o "$work/trace" -P "$root$pkgdatadir/samples/malloc.bpf.o" -- ls / >"$work/out" 2>&1 ||
		cat "$work/out"
		grep -q 'size_hist' "$work/trace" || cat "$work/trace")"
else
	result "a program is traced # SKIP nothing is probed on this CPU" ""
fi

# a program of somebody else: the flags are pkg-config's
cat >"$work/use.c" <<'C'
#include <ebpfrt/ebpfrt.h>
#include <stdio.h>
int main(void) { return puts(ebpfrt_version()) < 0; }
C
result "pkg-config, the header and the library fit together" "$(
	export PKG_CONFIG_PATH="$root$libdir/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
	# shellcheck disable=SC2046
	{ ${CC:-cc} $SAN_CFLAGS -o "$work/use" "$work/use.c" $(pkg-config --cflags --libs ebpfrt) &&
		LD_LIBRARY_PATH=$root$libdir "$work/use"; } >"$work/out" 2>&1 && [ "$(cat "$work/out")" = "$VERSION" ] || cat "$work/out"
)"
cat >"$work/use.bpf.c" <<'C'
#include <bpf/ebpfrt.bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/ebpfrt_kfuncs.bpf.h>
u64 sizes[8];
SEC("uprobe/libc.so.6:malloc") int BPF_KPROBE(on_malloc, u64 size)
{
	int i;

	bpf_for(i, 0, 8) sizes[i] += size >> i;
	return 0;
}
char _license[] SEC("license") = "GPL";
C
if [ -n "${BPF_CLANG:-}" ] && [ -n "$probes" ]; then
	result "an object that includes our header is accepted" "$({ $BPF_CLANG -g -O2 -target bpf -D__TARGET_ARCH_x86 -I"$root$includedir" \
		-idirafter /usr/include/x86_64-linux-gnu -c "$work/use.bpf.c" -o "$work/use.bpf.o" &&
		ebpfrt check "$work/use.bpf.o"; } >"$work/out" 2>&1 || cat "$work/out")"
else
	result "an object that includes our header is accepted # SKIP no clang, or nothing to probe" ""
fi
if command -v bash >/dev/null; then
	result "bash completes" "$(bash -c '. "$1" && complete -p ebpfrt' - \
		"$root$datadir/bash-completion/completions/ebpfrt.bash" 2>&1 >/dev/null)"
else
	result "bash completes # SKIP no bash" ""
fi
exit $failed
