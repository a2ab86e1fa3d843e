#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Bad input: each is an error that names the cause and the next step, and nothing is touched.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 77

hello=$samples/hello.bpf.o
self=$$

# usage: exit status 2, two lines, the second says where to read on
try ebpfrt
is "no command" "$status $err" "2 ebpfrt: which command?
Try 'ebpfrt --help' for more information."
try ebpfrt atach
is "unknown command" "$status $err" "2 ebpfrt: unknown command 'atach'
Try 'ebpfrt --help' for more information."
try ebpfrt attach --fast
is "unknown option" "$status $err" "2 ebpfrt: unknown option '--fast'
Try 'ebpfrt attach --help' for more information."
refused "attach without an object" 2 '^ebpfrt: which object file\?$' ebpfrt attach 1
refused "attach without a process" 2 '^ebpfrt: which process\?$' ebpfrt attach "$hello"
refused "attach with two objects" 2 "^ebpfrt: one object at a time: 'a\.o' and 'b\.o'$" ebpfrt attach 1 a.o b.o
refused "attach: what is no process ID" 2 "^ebpfrt: '0' is not a process ID$" ebpfrt attach 0 "$hello"
refused "attach: a name where a process ID belongs" 2 \
	"^ebpfrt: 'nginx' is neither a process ID nor a file; -n nginx is the process that is called so$" ebpfrt attach nginx "$hello"
refused "a program and no place" 2 "^ebpfrt: --prog takes NAME=SPEC, not 'hello='$" ebpfrt attach --prog hello= 1 "$hello"
refused "run: a program and no place" 2 "^ebpfrt: --prog takes NAME=SPEC, not 'hello'$" ebpfrt run --prog hello -P "$hello" -- true
refused "a call of nothing" 2 "^ebpfrt: --allow-call takes LIB:FUNC or LIB:FUNC,signal-safe, not 'abs'$" \
	ebpfrt check --allow-call abs "$hello"
refused "no folder of debug files" 2 '^ebpfrt: --debuginfo /no/such/place: No such file or directory$' \
	ebpfrt trace --debuginfo /no/such/place c:getenv -- true
refused "a bad duration" 2 "^ebpfrt: --duration takes a time like 5, 10ms or 2m, not 'soon'$" ebpfrt attach -d soon 1 x.o
refused "run without an object" 2 '^ebpfrt: which object file\? \(-P FILE\.o\)$' ebpfrt run -- true
refused "run without a command" 2 '^ebpfrt: which command\?$' ebpfrt run -P "$hello"
refused "detach without saying what" 2 '^ebpfrt: from what\? PID, --link ID or --all$' ebpfrt detach
refused "detach what is no process" 2 "^ebpfrt: 'x' is not a process ID$" ebpfrt detach x
refused "detach all and one" 2 '^ebpfrt: either --all, or some of it$' ebpfrt detach --all 1
refused "detach what is no link" 2 "^ebpfrt: --link takes a link ID, not 'x'$" ebpfrt detach --link 1 --link x
refused "detach a link that isn't there" 1 '^ebpfrt: there is no link 4294967295' ebpfrt detach --link 4294967295
refused "a verb that isn't one" 2 "^ebpfrt: 'eat' is nothing to do with a map$" ebpfrt map eat

# processes
refused "no such process" 1 '^ebpfrt: cannot attach to 99999999: no such process' ebpfrt attach 99999999 "$hello"
refused "a process of another user" 1 '^ebpfrt: cannot attach to 1 \(.*\): .*(uid 0|denied)' ebpfrt attach 1 "$hello"
for way in "list" "list -p" "btf dump" "trace c:getenv -p" "check $hello -p"; do
	# shellcheck disable=SC2086 # words
	refused "no such process: $way" 1 '^ebpfrt: cannot attach to 99999999: no such process$' ebpfrt $way 99999999
done
refused "no such process: exec" 125 '^ebpfrt: cannot attach to 99999999: no such process$' ebpfrt exec -p 99999999 -- true
refused "a name nobody has" 2 "^ebpfrt: no process of yours is called 'no-such-name'$" ebpfrt attach -n no-such-name "$hello"

# objects
refused "no such file" 1 '^ebpfrt: cannot open nothing\.o: No such file or directory$' ebpfrt check nothing.o
refused "a directory" 1 '^ebpfrt: \. is not a file$' ebpfrt check .
echo hello >text.o
refused "text" 1 '^ebpfrt: text\.o is not a valid BPF object \(' ebpfrt check text.o
head -c 300 "$hello" >short.o
refused "a truncated object" 1 '^ebpfrt: short\.o is not a valid BPF object \(' ebpfrt check short.o
(head -c 64 "$hello" && head -c 4096 /dev/urandom) >random.o
refused "random bytes behind an ELF header" 1 '^ebpfrt: random\.o (is not a valid BPF object \(|holds no BPF program)' \
	ebpfrt check random.o
refused "an ordinary program" 1 '^ebpfrt: .* is not a valid BPF object \(' ebpfrt check /bin/sh

: >empty.o
refused "an empty file" 1 '^ebpfrt: empty\.o is not a valid BPF object \(' ebpfrt check empty.o
like "and how to make one" "$err" '^  compile it with .clang -g -O2 -target bpf -c.$'
cp "$hello" locked.o && chmod 0 locked.o
if [ -r locked.o ]; then
	skip 1 "everything can be read here"
else
	refused "a file that can't be read" 1 '^ebpfrt: cannot open locked\.o: Permission denied$' ebpfrt check locked.o
fi
head -c 100000 /dev/urandom >noise.o
refused "noise" 1 '^ebpfrt: noise\.o is not a valid BPF object \(' ebpfrt check noise.o
# an object cut anywhere, or with a byte of it changed: refused or fine, never a crash
trouble='' size=$(stat -c %s "$hello") i=1
while [ $i -le 20 ]; do
	head -c $((size * i / 21)) "$hello" >cut.o
	try ebpfrt check cut.o
	[ "$status" -le 1 ] || trouble="$trouble cut at $((size * i / 21)): $status"
	cp "$hello" bent.o
	printf '\377' | dd of=bent.o bs=1 seek=$((size * i / 21)) conv=notrunc 2>/dev/null
	try ebpfrt check bent.o
	[ "$status" -le 1 ] || trouble="$trouble bent at $((size * i / 21)): $status"
	i=$((i + 1))
done
is "objects that are cut or bent" "$trouble" ""
if [ -f "$bin/bad-helper.bpf.o" ]; then
	refused "an unknown helper" 1 'bad-helper\.bpf\.o was refused: invalid func unknown#9999$' ebpfrt check "$bin/bad-helper.bpf.o"
	like "and where those known are" "$err" '^  ebpfrt\(1\) lists the helpers and map types there are$'
	refused "a kernel function that isn't here" 1 \
		"bad-kfunc\\.bpf\\.o cannot be loaded: it uses 'bpf_preempt_disable', which is not one of the kernel functions there are here\$" \
		ebpfrt check "$bin/bad-kfunc.bpf.o"
	refused "an unknown map type" 1 'bad-map\.bpf\.o cannot be loaded: map type 999 is not one this runtime has$' \
		ebpfrt check "$bin/bad-map.bpf.o"
	refused "an unknown section" 1 "program 'bad' is for 'uprobe\.fast/libc\.so\.6:getenv', which has no meaning in user space" \
		ebpfrt check "$bin/bad-section.bpf.o"
	refused "an unknown program type" 1 "program 'bad' is for 'xdp', which has no meaning in user space; ebpfrt attaches uprobe" \
		ebpfrt check "$bin/bad-type.bpf.o"
	refused "maps without their types" 1 'bad-nobtf\.bpf\.o is not a valid BPF object \(BTF is required' ebpfrt check "$bin/bad-nobtf.bpf.o"
	like "and how to add them" "$err" '^  compile it with .clang -g '
else
	skip 8 "no clang for BPF"
fi
strip -g -o without_types "$samples/core_bare"
refused "types of a target that has none" 125 \
	"core\.bpf\.o reads struct data of its target, but .*without_types has no BTF and no debug information to say how that looks there\$" \
	ebpfrt run -P "$samples/core.bpf.o" -- ./without_types
like "and how to make them" "$err" '^  compile it with -g, install its -dbgsym package, set DEBUGINFOD_URLS, or pass --btf FILE$'

# places
spec() {
	ebpfrt check --prog "hello=$1" "$hello"
}
refused "a function that isn't there: near misses" 1 "no function 'getenw' in .*libc.*did you mean getenv" spec uprobe:libc.so.6:getenw
refused "a glob where one function belongs" 1 "no function is called 'geten[*]' in .*libc.*; globs are for uprobe.multi, uretprobe.multi and" \
	spec 'uprobe:libc.so.6:geten*'
refused "a glob that nothing matches" 1 "no function of .*libc.* matches 'zz[*]zz'; .ebpfrt list. shows which there are$" \
	spec 'uprobe.multi:libc.so.6:zz*zz'
refused "a library that isn't there" 1 "no file 'libnothing\.so\.1': not mapped" spec uprobe:libnothing.so.1:f
refused "an address inside an instruction" 1 'some of its probes are refused' spec uprobe:libc.so.6:getenv+1
like "and it says which" "$out" 'refused: .*getenv\+0x1.*not an instruction boundary'
refused "an offset beyond the function" 1 'lies outside the function' spec uprobe:libc.so.6:getenv+0x100000
refused "a return probe with an offset" 1 'return probes take no offset' spec uretprobe:libc.so.6:getenv+4
refused "a spec without a function" 1 'names no function: write uprobe/FILE:FUNCTION' spec uprobe:libc.so.6
refused "a kind that has no meaning here" 1 "is for '.*', which has no meaning in user space" spec xdp
refused "a program the object doesn't hold" 1 "holds no program 'nobody'; .ebpfrt check " \
	ebpfrt check --prog nobody=uprobe:libc.so.6:getenv "$hello"
if ldd "$stage/ebpfrt" | grep -q 'libm\.so'; then
	skip 1 "ebpfrt uses libm itself here (sanitizers do), so it can tell"
else
	refused "an IFUNC that can't be told" 1 'is an IFUNC: the loader chooses its implementation at run time .* name the implementation itself' \
		spec "uprobe:libm.so.6:$(nm -D /lib/x86_64-linux-gnu/libm.so.6 | sed -n 's/.* i \([a-z]*\)@.*/\1/p' | head -n 1)"
fi
refused "no file is a binary" 1 'is not an ELF file' spec "uprobe:$stage/tmp/text.o:f"

# commands to run
cp /bin/true suid && chmod 4755 suid
if [ "$(stat -c %u suid)" = "$(id -u)" ]; then
	skip 1 "nobody else's file can be made here"
else
	refused "a setuid command" 125 'is setuid: it changes its user and ignores LD_PRELOAD' ebpfrt run -P "$hello" -- ./suid
fi
refused "an agent that is none" 125 '^ebpfrt: \$EBPFRT_AGENT names /bin/sh, which is no libebpfrt-agent.so; unset it$' \
	env EBPFRT_AGENT=/bin/sh ebpfrt run -P "$hello" -- true
refused "a surface that is none" 125 '^ebpfrt: \$EBPFRT_SURFACE names /etc/passwd, which is no libebpfrt-surface.so; unset it$' \
	env EBPFRT_SURFACE=/etc/passwd ebpfrt exec -- true
su=$(PATH=$PATH:/bin command -v su || echo /nothing)
if [ -u "$su" ]; then
	refused "one of the system's" 125 '^ebpfrt: .*/su is setuid: .*; run a copy without that bit$' ebpfrt run -P "$hello" -- "$su"
else
	skip 1 "no setuid program here"
fi
refused "a static command" 125 'is statically linked and ignores LD_PRELOAD; start it, then use .ebpfrt attach PID FILE\.o' \
	ebpfrt run -P "$hello" -- "$bin/target-static"
refused "a command that isn't there" 127 '^ebpfrt: cannot run no-such-command: No such file' ebpfrt run -P "$hello" -- no-such-command
refused "exec: a command that isn't there" 127 '^ebpfrt: cannot run no-such-command: No such file' ebpfrt exec -- no-such-command

# objects of the runtime
refused "a map that isn't there" 1 "^ebpfrt: there is no map called 'nothing'; .list. shows which there are$" ebpfrt map dump name nothing
refused "an id that isn't there" 1 '^ebpfrt: there is no program 4000000000; ' ebpfrt prog show id 4000000000
refused "a selector that isn't one" 1 "^ebpfrt: 'color' selects no map$" ebpfrt map show color red
refused "a pin that isn't there" 1 '^ebpfrt: nothing is pinned at /sys/fs/bpf/nothing: ' ebpfrt map show pinned /sys/fs/bpf/nothing

# nothing is left behind
try ebpfrt map list --json
is "no map is left" "$out" "[]"
try ebpfrt prog list --json
is "no program is left" "$out" "[]"
