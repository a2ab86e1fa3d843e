#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What every command has in common: streams, exit statuses, JSON, colour, signals, help, completion.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 73
count=$bin/count.bpf.o

commands='attach run detach ps prog map link btf log check doctor exec env shutdown help version'
wrong=
for c in $commands; do
	for o in -h --help; do
		try ebpfrt "$c" $o
		[ "$status" = 0 ] && [ -z "$err" ] && [ "${out#Usage: ebpfrt "$c"}" != "$out" ] || wrong="$wrong $c$o:$status"
	done
	try ebpfrt "$c" --no-such-option
	[ "$status" = 2 ] && [ -z "$out" ] && [ "$(printf '%s\n' "$err" | wc -l)" = 2 ] || wrong="$wrong $c--no:$status"
done
is "every command: help on standard output and 0, a wrong option two lines and 2" "$wrong" ""
try ebpfrt --version
like "--version is one line" "$status $out" '^0 ebpfrt [0-9]+\.[0-9]+\.[0-9]+$'
try ebpfrt -v --version
like "and with -v what it is built on" "$out" '^libbpf '
cat >./man <<'EOT'
#!/bin/sh
echo "man $*"
EOT
chmod 755 ./man
if command -v script >/dev/null; then
	try env PATH="$PWD:$PATH" script -qec "ebpfrt help attach" /dev/null
	is "help VERB opens its page on a terminal" "$status $(echo "$out" | tr -d '\r')" "0 man ebpfrt-attach"
else
	skip 1 "no terminal to be had"
fi
try ebpfrt help attach
is "and prints the help elsewhere" "$status $out" "0 $(ebpfrt attach --help)"

# wrong usage of the nouns
wrong=
for c in 'prog eat' 'link eat' 'btf eat' 'map eat' 'prog dump' 'prog dump sideways id 1' 'map lookup' 'map update' 'map pin' \
	'btf dump' 'ps 1' 'doctor 1' 'log 1' 'env' 'env other' 'shutdown 1' 'check' 'exec' 'map show id' 'link detach'; do
	# shellcheck disable=SC2086
	try ebpfrt $c
	{ [ "$status" = 2 ] || [ "$status" = 1 ]; } && [ -z "$out" ] && [ -n "$err" ] || wrong="$wrong [$c: $status $out]"
done
is "nouns without what they need say so" "$wrong" ""
try ebpfrt check a.o b.o
is "check takes one object" "$status" 2

# every listing, as a person sees it and as programs do; empty first
wrong=
for c in ps 'prog list' 'map list' 'link list'; do
	# shellcheck disable=SC2086
	for o in --json -j --pretty; do
		try ebpfrt $c $o
		[ "$status $(echo "$out" | tr -d ' \n')" = "0 []" ] || wrong="$wrong [$c $o: $status $out]"
	done
done
is "nothing there: an empty list" "$wrong" ""

target_start
attach_start "$target" "$count"
say call 5
prog=$(ebpfrt prog show name on_work --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
link=$(ebpfrt link show --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])')
btf=$(ebpfrt btf list --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])')
while read -r c; do
	# shellcheck disable=SC2086
	ebpfrt $c --json >one.json 2>one.err && ebpfrt $c --pretty >two.json 2>>one.err && ebpfrt $c >plain 2>>one.err
	status=$?
	is "$c: text, --json in one line, --pretty in many, the same" "$status $(wc -l <one.json) $(python3 -c '
import json
one, two = json.load(open("one.json")), json.load(open("two.json"))
clocks = lambda d: [{k: v for k, v in e.items() if k != "detail"} for e in d] if isinstance(d, list) and d and "verdict" in d[0] else d
print(clocks(one) == clocks(two), len(open("two.json").readlines()) > 2, len(open("plain").read()) > 0)' 2>&1)" "0 1 True True True"
done <<EOT
ps
prog list
prog show id $prog
prog dump xlated id $prog
prog dump xlated id $prog opcodes
prog dump jited id $prog
map list
map show name counts
map dump name counts
map lookup name counts key 0
link list
link show id $link
link show -p $target
btf list
btf show id $btf
btf dump id $btf
btf dump builtin
btf dump file $samples/core_one
check -p $target $count
doctor -p $target
EOT

# colour: for terminals, asked for, forced, refused
esc=$(printf '\033')
coloured() {
	"$@" 2>&1 | grep -q "$esc" && echo yes || echo no
}
is "no colour in a pipe" "$(coloured ebpfrt doctor)" no
is "--color always" "$(coloured ebpfrt doctor --color always)" yes
is "CLICOLOR_FORCE" "$(coloured env CLICOLOR_FORCE=1 ebpfrt doctor)" yes
is "NO_COLOR is stronger" "$(coloured env CLICOLOR_FORCE=1 NO_COLOR=1 ebpfrt doctor)" no
is "--color never is stronger still" "$(coloured env CLICOLOR_FORCE=1 ebpfrt doctor --color=never)" no
try ebpfrt doctor --color blue
is "another colour is wrong usage" "$status" 2

# options in files: what is stronger wins
mkdir -p config/ebpfrt
printf '# mine\ncolor = always\n\n[map]\njson\n' >config/ebpfrt/config
with_config() {
	env XDG_CONFIG_HOME="$PWD/config" "$@"
}
is "the configuration file" "$(coloured with_config ebpfrt doctor)" yes
is "the environment is stronger" "$(coloured with_config env NO_COLOR=1 ebpfrt doctor)" no
is "the command line, too" "$(coloured with_config ebpfrt doctor --color never)" no
like "an option of one command" "$(with_config ebpfrt map show)" '^\[\{"id":'
printf '[map]\ncolour = red\n' >config/ebpfrt/config
try with_config ebpfrt map show
is "an option it does not know" "$status $err" "2 ebpfrt: $PWD/config/ebpfrt/config:2: there is no option 'colour'"
try with_config ebpfrt doctor
is "is another command's affair" "$status $err" "0 "
printf '[attach]\nduration = long\n' >config/ebpfrt/config
try with_config ebpfrt attach 1 x.o
is "a value it can't be" "$status $err" "2 ebpfrt: $PWD/config/ebpfrt/config:2: not a value of 'duration'"
printf '%s\n' '# what' --json '' -p "$target" >words
is "@FILE: arguments from a file" "$(ebpfrt link show @words)" "$(ebpfrt link show --json -p "$target")"
try ebpfrt link show @nothing
like "that isn't there" "$status $err" "^2 ebpfrt: cannot read nothing: No such file"
try ebpfrt run -q -P "$samples/hello.bpf.o" -- echo @words
is "a command's own are its own" "$status $out" "0 @words"

# elements that can't be had, in words of the map
try ebpfrt map delete name counts key 0
is "delete from an array" "$status $err" "1 ebpfrt: a map of type array does not allow that"
try ebpfrt map update name counts key 99 value 1
is "beyond its end" "$status $err" "1 ebpfrt: there is no room: the map holds at most 4 elements"
try ebpfrt map update name counts key many value 1
like "a key that is no number" "$status $err" "^1 ebpfrt: the key: "
try ebpfrt map update name counts key 1 2 3 value 1
like "a key that is too short" "$status $err" "^1 ebpfrt: the key: "
try ebpfrt map dump id 4000000000
like "no such map" "$status $err" "^1 ebpfrt: there is no map 4000000000; "

like "a tag nobody has" "$(ebpfrt prog show tag 0123 2>&1)" "^ebpfrt: there is no program tagged '0123'; "
try ebpfrt map pin name counts /sys/fs/bpf/one
is "a pin" "$status $err" "0 "
try ebpfrt map pin name counts /sys/fs/bpf/one
is "where there is one" "$status $err" "1 ebpfrt: there is something at /sys/fs/bpf/one already; choose another name"
try ebpfrt map pin name counts /tmp/one
is "in another place" "$status $err" "1 ebpfrt: cannot pin to /tmp/one: pins are names below /sys/fs/bpf"

# times and processes that are odd
try timeout 20 ebpfrt attach -d 0 "$target" "$count"
is "a duration of 0 is at once" "$status" 0
try ebpfrt attach -d 0 -p "$target" "$target" "$count" -p "$target"
like "a process that is named twice is one" "$err" '^Tracing 2 probes in 1 process\.'
try ebpfrt attach -d 0 "$target" 99999999 "$count"
is "one of two isn't there: nothing is attached" "$status $err" "1 ebpfrt: cannot attach to 99999999: no such process"

# signals to the one who traces
maps_printed() {
	[ "$(grep -c '^@counts\[0\]' attach.out)" = "$1" ]
}
kill -USR1 "$attach_child"
until_true maps_printed 1 && ok "SIGUSR1 prints the maps" || not_ok "SIGUSR1 prints the maps" "$(cat attach.out)"
say call 2
attach_stop TERM
is "and goes on" "$attach_status $(grep '^@counts\[0\]' attach.out | tr '\n' ' ')" "0 @counts[0]: 5 @counts[0]: 7 "

# results elsewhere, diagnostics where they were; -q: results only
try ebpfrt attach -d 0.05 -o results "$target" "$count"
is "attach -o: nothing on standard output" "$status $out" "0 "
like "diagnostics stay" "$err" '^ebpfrt: detached, '
attach_start -o results "$target" "$count"
say call 3
attach_stop INT
is "the results are in the file" "$(grep -c '^@counts\[0\]: 3$' results)" 1
try ebpfrt attach -d 0.05 -o /no/such/place "$target" "$count"
is "a file that can't be written" "$status $err" "1 ebpfrt: cannot write /no/such/place: No such file or directory"
attach_start -o /dev/full "$target" "$count"
say call 3
attach_stop INT
like "a full disk is not passed over" "$attach_status $(tail -n 1 attach.err)" '^1 ebpfrt: cannot write all of /dev/full(: No space left on device|; is the disk full\?)$'
try ebpfrt attach -q -d 0.05 "$target" "$count"
is "-q: no word but results" "$status $err" "0 "

# a reader that has had enough
ebpfrt map dump name nothing 2>/dev/null
{ ebpfrt btf dump builtin 2>pipe.err; echo $? >pipe.status; } | head -n 1 >/dev/null
is "a closed pipe ends it quietly" "$(cat pipe.err)" ""
try sh -c 'ebpfrt doctor >/dev/full'
like "a full disk is an error" "$status $err" '^1 ebpfrt: cannot write the results: No space left on device$'
said=$({ sh -c "ulimit -f 0; exec ebpfrt btf gen '$bin/core_plain' -o types.btf" && echo fine; } 2>&1)
like "so is a limit of files' sizes" "$said" "^ebpfrt: .*core_plain: its debug information can't be converted: File too large$"

# standard streams that are closed are nothing else here, and closed for a command
try sh -c 'exec ebpfrt attach -d 0.05 "$@" <&- >&- 2>&-' sh "$target" "$count"
is "without standard streams" "$status" 0
try sh -c 'exec ebpfrt run -o results -P "$@" -- sh -c "[ -e /proc/\$\$/fd/2 ] || echo closed" 2>&-' sh "$samples/hello.bpf.o"
is "a command finds them closed" "$status $out" "0 closed"

# everything out, while a session is there
attach_start "$target" "$count"
try ebpfrt detach --all
is "detach --all" "$status $out" "0 "
like "says what was restored" "$err" 'detached, 1 site restored$'
attach_stop INT

# run passes on what it is sent
cat >signals.py <<'EOT'
import os, signal, sys
seen = []
for s in (signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM):
    signal.signal(s, lambda n, f: (seen.append(signal.Signals(n).name), os.write(3, b".")))
print("up", flush=True)
while len(seen) < 7:
    signal.pause()
print(*sorted(seen))
EOT
mkfifo dots
ebpfrt run -q -P "$samples/hello.bpf.o" --no-maps -o run.out -- /usr/bin/python3 signals.py >signals.out 2>signals.err 3<>dots &
runner=$!
exec 5<>dots
until_true grep -q up signals.out
for s in HUP QUIT WINCH USR1 USR2 INT TERM; do
	kill -$s $runner
	head -c 1 <&5 >/dev/null
done
wait $runner
is "run passes its signals on" "$? $(tail -n 1 signals.out)" "0 SIGHUP SIGINT SIGQUIT SIGTERM SIGUSR1 SIGUSR2 SIGWINCH"
target_quit

if ! command -v bash >/dev/null; then
	skip 1 "no bash"
else
	cat >complete.bash <<'EOT'
. "$1"
words() { # the command line so far
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	_ebpfrt
	printf '%s,' "${COMPREPLY[@]}"
	echo
}
words ebpfrt at
words ebpfrt map du
words ebpfrt attach --dur
words ebpfrt doctor --color n
words ebpfrt prog dump x
EOT
	is "bash completes" "$(bash complete.bash "$stage/ebpfrt.bash")" "attach,
dump,
--duration,
never,
xlated,"
fi

# what is pinned would keep the daemon
ebpfrt -q shutdown --force
