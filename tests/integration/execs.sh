#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that targets execute are followed, also without an environment, in every way there is to execute one, and see the
# environment that they were given; what fails does so as ever; what can't be followed is named.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 39

printf 'call 10\nquit 0\n' >ten
probes="--prog on_work=uprobe:$bin/target:work --prog on_work_done=uretprobe:$bin/target:work"
hits() { # of a session that has ended
	printf '%s\n' "$err" | sed -n 's/^@counts\[0\]: //p'
}

try ebpfrt run -P "$bin/count.bpf.o" -- env -i "$bin/target" <ten
is "env -i: as it would, and exactly" "$status $(echo "$out" | tail -n 1) $(hits)" "0 sum 100 10"
try ebpfrt run -P "$bin/count.bpf.o" -- sh -c 'env -i "$0" <ten; (env -i env -i nice "$0" <ten); unset LD_PRELOAD; "$0" <ten' "$bin/target"
is "from a shell, and further down" "$status $(echo "$out" | grep -c '^sum 100$') $(hits)" "0 3 30"
cat >empty.py <<'EOT'
import os, subprocess, sys
for fds in True, False:
    subprocess.run([sys.argv[1]], stdin=open("ten"), env={}, close_fds=fds, check=True)
pid = os.posix_spawn(sys.argv[1], [sys.argv[1]], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, "ten", os.O_RDONLY, 0)])
assert os.waitpid(pid, 0)[1] == 0
EOT
try ebpfrt run -P "$bin/count.bpf.o" -- python3 empty.py "$bin/target"
is "python3: subprocess with env={}, posix_spawn" "$status $(echo "$out" | grep -c '^sum 100$') $(hits)" "0 3 30"

# every kind, as without us
"$bin/execs" kinds "$bin/target" ten >plain.out
grep -v '^ready' plain.out | grep -v '^sum' >plain.kinds
is "all kinds: what they do without us" "$(grep -vc ' 0$' plain.kinds) $(grep -c ' 0$' plain.kinds)" "0 15"
try ebpfrt run -P "$bin/count.bpf.o" -- "$bin/execs" kinds "$bin/target" ten
is "all kinds: the same" "$status $(echo "$out" | grep -v '^ready' | grep -v '^sum')" "0 $(cat plain.kinds)"
is "all kinds: exactly" "$(hits)" 150
unlike "all kinds: nothing to say" "$err" "not probed|warning"
try ebpfrt run -P "$bin/count.bpf.o" -- env -i "$bin/execs" storm 6 10 "$bin/target" ten
is "threads that spawn and vfork at the same time" "$status $(echo "$out" | grep storm) $(hits)" "0 storm 0 600"

# what can't be executed
"$bin/execs" fails >plain.fails 2>plain.err
is "what fails: without us" "$(wc -l <plain.fails) $(grep -c 'registers same$' plain.fails)" "32 32"
rm -rf noexec short loop denied fifo dir orphan
try ebpfrt run -P "$bin/count.bpf.o" -- "$bin/execs" fails
is "what fails: the same" "$status $out" "0 $(cat plain.fails)"
unlike "what fails: is not said to have been executed" "$err" "not probed: (it|there|its)|(denied|noexec|short|orphan)"
plain=$("$bin/execs" most)
try ebpfrt run --no-maps -P "$bin/count.bpf.o" -- "$bin/execs" most
is "the largest environment is as large" "$out" "$plain"
like "it has no room for more, which is said" "$err" "has executed /proc/self/exe, which is not probed: there is no room for more variables"

# the function itself is probed, where what follows the program stands
for mode in trap auto; do
	try env EBPFRT_PROBE=$mode ebpfrt run -P "$bin/many.bpf.o" --prog on_3=uprobe:libc.so.6:execve --prog "on_call=uprobe:$bin/target:work" \
		-- env -i "$bin/target" <ten
	is "execve() is probed ($mode): exactly, and the program is followed" \
		"$status $(echo "$err" | sed -n 's/^@many\[[03]\]: //p' | tr '\n' ' ')" "0 10 1 "
	rm -rf noexec short loop denied fifo dir orphan
	try env EBPFRT_PROBE=$mode ebpfrt run -P "$bin/many.bpf.o" --prog on_call=uprobe:libc.so.6:execve \
		--prog on_return=uretprobe:libc.so.6:execve -- "$bin/execs" fails
	is "execve() and its return are probed ($mode): what fails does as ever" "$status $out" "0 $(cat plain.fails)"
done

# what the program sees
see() { # environment...
	env -i "$@" "$bin/execs" env >see.plain
	try ebpfrt run -q --no-maps -P "$bin/count.bpf.o" -- env -i "$@" "$bin/execs" env
	is "the environment: $*" "$status $out" "0 $(cat see.plain)"
}
see
see A=b LONG="$(head -c 5000 /dev/zero | tr '\0' x)"
see LD_PRELOAD= A=b
see A=b LD_PRELOAD=libm.so.6 C=d
see LD_PRELOAD=libm.so.6:libdl.so.2
# what the kernel says of it: zeros where something was, behind all of it but for an LD_PRELOAD that was there before
block='print(open("/proc/self/environ", "rb").read().strip(bytes(1)))'
plain=$(env -i A=b C="d e" /usr/bin/python3 -c "$block")
try ebpfrt run -q --no-maps -P "$bin/count.bpf.o" -- env -i A=b C="d e" /usr/bin/python3 -c "$block"
is "/proc/self/environ: as it would, then zeros" "$status $out" "0 $plain"
block='print([v for v in open("/proc/self/environ", "rb").read().split(bytes(1)) if v])'
plain=$(env -i A=b LD_PRELOAD=libm.so.6 C=d /usr/bin/python3 -c "$block")
try ebpfrt run -q --no-maps -P "$bin/count.bpf.o" -- env -i A=b LD_PRELOAD=libm.so.6 C=d /usr/bin/python3 -c "$block"
is "/proc/self/environ, where something was preloaded: its variables" "$status $out" "0 $plain"
env -i A=b EBPFRT_DISABLE=1 "$bin/execs" env >see.plain
try ebpfrt run --no-maps -P "$bin/count.bpf.o" -- env -i A=b EBPFRT_DISABLE=1 "$bin/execs" env
is "who wants no agent gets none" "$status $out" "0 $(cat see.plain)"
unlike "and that is no trouble" "$err" "warning|not probed"

# attached to, then executed
target_start
# shellcheck disable=SC2086
attach_start "$target" "$bin/count.bpf.o" $probes
say call 3
say exec /usr/bin/env -i "$bin/target"
is "attached: it executes another program" "$answer" "ready $target"
say call 4
say exec "$bin/target"
say call 5
is "attached: exactly, over two of them" "$answer $(map_value counts 0)" "sum 25 12"
attach_stop INT
like "attached: the session goes on to its end" "$attach_status $(cat attach.err)" "detached, 1 site restored; 24 hits, 0 lost"
say call 6
target_quit
is "attached: and it goes on" "$target_status" 0

# a running shell
mkfifo shell.in shell.out
sh <shell.in >shell.out 2>shell.err &
shell=$!
exec 6>shell.in 7<shell.out
# shellcheck disable=SC2086
attach_start "$shell" "$bin/count.bpf.o" $probes
shell_says() {
	echo "$*" >&6
	read -r answer <&7
	read -r answer <&7
}
shell_says "$bin/target <ten"
shell_says "env -i $bin/target <ten"
is "a shell: what it starts is followed" "$answer $(map_value counts 0)" "sum 100 20"
shell_says "env -i $bin/target-static <ten"
until_true grep -q 'has executed' attach.err
like "a shell: but what is static, says a sentence" "$answer $(map_value counts 0) $(cat attach.err)" \
	"^ebpfrt: warning: process [0-9]+ has executed $bin/target-static, which is not probed: it is statically linked\$"
is "a shell: its output" "$answer $(map_value counts 0)" "sum 100 20"
echo "exec env -i $bin/target" >&6
read -r answer <&7
echo "call 7" >&6
read -r answer <&7
is "a shell: that becomes another program" "$answer $(map_value counts 0)" "sum 49 27"
attach_stop INT
like "a shell: and how many there were" "$(cat attach.err)" "^ebpfrt: 1 executed program was not probed"
echo quit >&6
exec 6>&- 7<&-
wait "$shell"

# not followed: untouched
target_start
# shellcheck disable=SC2086
attach_start --no-follow "$target" "$bin/count.bpf.o" $probes
say call 3
say exec "$bin/target"
say call 3
wait "$attach_child"
like "--no-follow: it is not" "$(cat attach.err)" "has started another program"
say env LD_PRELOAD
is "--no-follow: nothing is added to its environment" "$answer" "env"
target_quit

# a child that is traced from its start on, in its parent's memory and in its own: it traps for nobody else
for how in vfork fork; do
	"$bin/execs" traced $how "$bin/target" ten >traced.plain
	try timeout 60 ebpfrt run --no-maps -P "$bin/count.bpf.o" -- "$bin/execs" traced $how "$bin/target" ten
	is "traced by its parent, by $how: stops as it would" "$status $(echo "$out" | grep stop)" "0 $(grep stop traced.plain)"
done
