#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Bad input: each is an error that names the cause and the next step, and nothing is touched.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 40

# NAME STATUS PATTERN COMMAND...: exit status and words
refused() {
	name=$1 want=$2 pattern=$3
	shift 3
	try "$@"
	if [ "$status" = "$want" ] && printf '%s\n' "$err" | grep -qE -- "$pattern"; then
		ok "$name"
	else
		not_ok "$name" "command: $*" "status: $status, wanted $want" "said: $err" "wanted a line like: $pattern"
	fi
}
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
refused "a bad duration" 2 "^ebpfrt: --duration takes a time like 5, 10ms or 2m, not 'soon'$" ebpfrt attach -d soon 1 x.o
refused "run without an object" 2 '^ebpfrt: which object file\? \(-P FILE\.o\)$' ebpfrt run -- true
refused "run without a command" 2 '^ebpfrt: which command\?$' ebpfrt run -P "$hello"
refused "detach without saying what" 2 '^ebpfrt: from what\? PID, --link ID or --all$' ebpfrt detach
refused "detach what is no process" 2 "^ebpfrt: 'x' is not a process ID$" ebpfrt detach x
refused "a verb that isn't one" 2 "^ebpfrt: 'eat' is nothing to do with a map$" ebpfrt map eat

# processes
refused "no such process" 1 '^ebpfrt: cannot attach to 99999999: no such process' ebpfrt attach 99999999 "$hello"
refused "a process of another user" 1 '^ebpfrt: cannot attach to 1 \(.*\): .*(uid 0|denied)' ebpfrt attach 1 "$hello"
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

# places
spec() {
	ebpfrt check --prog "hello=$1" "$hello"
}
refused "a function that isn't there: near misses" 1 "no function 'getenw' in .*libc.*did you mean getenv" spec uprobe:libc.so.6:getenw
refused "a library that isn't there" 1 "no file 'libnothing\.so\.1': not mapped" spec uprobe:libnothing.so.1:f
refused "an address inside an instruction" 1 'some of its probes are refused' spec uprobe:libc.so.6:getenv+1
like "and it says which" "$out" 'refused: .*getenv\+0x1.*not an instruction boundary'
refused "an offset beyond the function" 1 'lies outside the function' spec uprobe:libc.so.6:getenv+0x100000
refused "a return probe with an offset" 1 'return probes take no offset' spec uretprobe:libc.so.6:getenv+4
refused "a spec without a function" 1 'names no function: write uprobe/FILE:FUNCTION' spec uprobe:libc.so.6
refused "a kind that has no meaning here" 1 "is for '.*', which has no meaning in user space" spec xdp
refused "a program the object doesn't hold" 1 "holds no program 'nobody'; .ebpfrt check " \
	ebpfrt check --prog nobody=uprobe:libc.so.6:getenv "$hello"
refused "no file is a binary" 1 'is not an ELF file' spec "uprobe:$stage/tmp/text.o:f"

# commands to run
cp /bin/true suid && chmod 4755 suid
if [ "$(stat -c %u suid)" = "$(id -u)" ]; then
	skip 1 "nobody else's file can be made here"
else
	refused "a setuid command" 125 'is setuid: it changes its user and ignores LD_PRELOAD' ebpfrt run -P "$hello" -- ./suid
fi
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
