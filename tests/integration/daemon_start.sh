#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A daemon that can't start, or is started by somebody with limits of his own: why not is said by who started it, and limits that
# can be raised are not those of all who come later.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 21

hello=$samples/hello.bpf.o
at=$stage/run/limited
n=0

# a daemon of its own, with whatever is set before
anew() {
	n=$((n + 1))
	mkdir "$at.$n"
	chmod 700 "$at.$n"
	EBPFRT_RUNTIME_DIR=$at.$n "$@"
}
limited() { # the limit and its value, command
	limit=$1 value=$2
	shift 2
	anew sh -c "ulimit $limit $value"' && exec "$@"' sh "$@"
}
says() { # name, pattern, command: status 1 and the words
	name=$1 pattern=$2
	shift 2
	try "$@"
	is "$name: status" "$status" 1
	like "$name: words" "$err" "$pattern"
}

says "a rung that isn't one" "^ebpfrt: the daemon $stage/ebpfrtd has not come up: EBPFRT_PROBE is neither trap, jump nor auto: 'fast'; see" \
	anew env EBPFRT_PROBE=fast ebpfrt ps
says "ways of a debugger that aren't one" "has not come up: EBPFRT_DEBUGGER is neither sleep nor keep: 'no'; see ebpfrtd --help$" \
	anew env EBPFRT_DEBUGGER=no ebpfrt ps
says "returns that aren't one" "has not come up: EBPFRT_RETURNS is not sites: 'no'; see ebpfrtd --help$" \
	anew env EBPFRT_RETURNS=no ebpfrt ps
printf '#!/bin/sh\nkill -KILL $$\n' >dies
chmod +x dies
says "one that is killed" "^ebpfrt: the daemon $PWD/dies was started but has ended without a word; see $at.[0-9]*/daemon.log, or run \`$PWD/dies --foreground\`$" \
	anew env EBPFRT_DAEMON="$PWD/dies" ebpfrt ps
printf '#!/bin/sh\nexec ebpfrtd --foreground\n' >stays
chmod +x stays
try anew env EBPFRT_DAEMON="$PWD/stays" ebpfrt ps
is "one that keeps its standard error" "$status $err" "0 "
try env EBPFRT_RUNTIME_DIR="$at.$n" ebpfrt shutdown
is "and is told to leave" "$status $err" "0 "

# what is said goes through a pipe: the file that holds it may not grow, either
said=$({ limited -f 0 ebpfrt ps || echo "status $?"; } 2>&1)
is "no file may grow" "$said" "ebpfrt: the daemon $stage/ebpfrtd has not come up: cannot lock the runtime directory: File too large; \
raise the limit of the size of files (ulimit -f), which memory has, too
status 1"
says "no memory may, which is a file" "has not come up: it cannot set itself up: File too large; raise the limit of the size of files \(ulimit -f\)" \
	limited -f 8 ebpfrt ps
says "few descriptors" "has not come up: it cannot set itself up: Too many open files; raise the limit of open files \(ulimit -n\)$" \
	limited -n 14 ebpfrt ps
says "fewer" "^ebpfrt: cannot start the daemon $stage/ebpfrtd: Too many open files; raise the limit of open files \(ulimit -n\)$" \
	limited -n 8 ebpfrt ps

# a limit that may be raised is: it serves others, too
target_start
try limited -Sf 8 ebpfrt attach -d 0 --prog hello=uprobe:target:work "$target" "$hello"
like "limits that may be raised" "$status $err" "detached, 1 site restored"

# an agent that can't be used
try anew env EBPFRT_AGENT=/no/agent.so ebpfrt attach "$target" "$hello"
is "an agent that isn't there" "$status $err" "1 ebpfrt: the agent that the daemon's \$EBPFRT_AGENT names cannot be read; \
end the daemon with \`ebpfrt shutdown\`, and set \$EBPFRT_AGENT anew"
try anew env EBPFRT_AGENT=/bin/sh ebpfrt attach --prog hello=uprobe:target:work "$target" "$hello"
like "one that is none" "$status $err" "^1 ebpfrt: the agent's file can't be loaded; end the daemon with .ebpfrt shutdown., and unset .EBPFRT_AGENT$"
target_quit
is "its target ends well" "$target_status" 0
