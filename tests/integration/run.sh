#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Start a command under the agent: its output, status and signals are its own.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 34

try ebpfrt run -q -P "$samples/hello.bpf.o" -- sh -c 'echo out; echo diag >&2; exit 7'
is "the status is the command's" "$status" 7
is "its output is untouched" "$out" out
is "so are its diagnostics" "$err" diag
try ebpfrt run -q -P "$samples/hello.bpf.o" -- sh -c 'kill -TERM $$'
is "death by signal is passed on" "$status" 143
try ebpfrt run -P "$samples/hello.bpf.o" -- ./nothing-here
is "no such command: 127" "$status" 127
like "and a sentence" "$err" "^ebpfrt: cannot run ./nothing-here: No such file or directory"
: >plain
try ebpfrt run -P "$samples/hello.bpf.o" -- ./plain
is "not executable: 126" "$status" 126

printf 'call 100\nfork 50\nthreads 4 25\nquit 5\n' >script
try ebpfrt run -P "$bin/count.bpf.o" -- "$bin/target" <script
is "status with probes" "$status" 5
like "calls" "$out" "^sum 10000\$"
like "a forked child ends as it would" "$out" "^child 7 2500\$"
like "threads" "$out" "^sum 2500\$"
like "entries of parent, child and threads are counted" "$err" "\[0\]: 250\$|0: 250\$"
unlike "nothing of ours on the command's output" "$out" "ebpfrt|Tracing|@"

# the plan takes longer than the agent waits for a daemon that says nothing
try env EBPFRT_DAEMON="$(daemon_with "$bin/slow.so")" EBPFRT_RUNTIME_DIR="$stage/run/slow" ebpfrt run -P "$bin/count.bpf.o" -- "$bin/target" <script
is "a daemon that plans for long is waited for: status" "$status" 5
like "and every call was counted" "$err" "\[0\]: 250\$|0: 250\$"

# where a program starts there is no return address on the stack, but the number of its arguments
try ebpfrt run -P "$bin/many.bpf.o" --missing=ignore --prog "on_return=uretprobe.multi:$bin/target:*" -- "$bin/target" <script
is "the returns of all functions of a program, but not of its start: status" "$status" 5
like "and what it says" "$out" "^sum 10000\$"
try ebpfrt run -q -o trace.txt -P "$samples/hello.bpf.o" -- env -u nothing sh -c 'exit 0'
is "-o takes the trace" "$status" 0
is "and nothing is on standard error" "$err" ""
try ebpfrt run -P "$samples/hello.bpf.o" -- "$bin/target" <<EOT
env HOME
quit
EOT
like "bpf_printk lines come through" "$err" "bpf_trace_printk: getenv\(HOME\) in process [0-9]+"
try env LD_PRELOAD= ebpfrt run -q -P "$samples/hello.bpf.o" -- sh -c 'exit 0'
is "an empty LD_PRELOAD is no trouble" "$status" 0
try ebpfrt run -q -P "$samples/hello.bpf.o" -- cat <script
is "standard input is the command's" "$out" "$(cat script)"

# a shell's children, pipelines, vfork and exec: every program that is linked dynamically and keeps its environment
printf 'call 10\nquit 0\n' >ten
printf 'call 20\nfork 3\nquit 6\n' >twenty
cat >spawn.py <<'EOT'
import os, subprocess, sys
subprocess.run([sys.argv[1]], stdin=open("ten"), check=True)
pid = os.posix_spawn(sys.argv[1], [sys.argv[1]], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 0, "twenty", 0, 0)])
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 6
os.execv("/bin/sh", ["sh", "-c", sys.argv[1] + " <ten; exec nice " + sys.argv[1] + " <twenty"])
EOT
try ebpfrt run -P "$bin/count.bpf.o" -- /usr/bin/python3 spawn.py "$bin/target"
is "spawned, executed, executed again: the last one's status" "$status" 6
like "everything was counted, once" "$err" "\[0\]: 66\$|0: 66\$"
try ebpfrt run -q -o run.out -P "$samples/malloc.bpf.o" -- sh -c 'seq 1 1000 | sort -n | tail -n 1'
is "a pipeline" "$status $out" "0 1000"
# SIGPIPE is the command's: the shell of the distribution has no PIPESTATUS
{ ebpfrt run -q -o run.out -P "$samples/malloc.bpf.o" -- yes; echo $? >yes.status; } | head -n 1 >yes.out
is "what ends with its reader" "$(cat yes.status yes.out)" "141
y"
try ebpfrt run -P "$bin/count.bpf.o" --prog "on_work=uprobe:$bin/target:work+1" -- "$bin/target" <ten
like "what can't be probed: the daemon's reason" "$err" \
	"^ebpfrt: warning: on_work could not be attached in [0-9]+: cannot probe work\+0x1 in .*: not an instruction boundary"

# what the command leaves behind is restored with the session; where another tracer keeps us from it, words and status say so
cat >leave.sh <<'EOT'
"$1" <left.in >left.out 2>left.err &
until [ -e leave ]; do sleep 0.01; done
exit "$2"
EOT
left_says() {
	echo "$*" >&6
	read -r answer <&7
}
leave_start() { # the command's status
	rm -f left.in left.out leave
	mkfifo left.in left.out
	ebpfrt run --no-maps -P "$bin/count.bpf.o" -- sh leave.sh "$bin/target" "$1" </dev/null >run.out 2>run.err &
	run_child=$!
	exec 6>left.in 7<left.out
	read -r word left <&7
	left_says call 2
	left_says text
	probed=$answer
}
leave_end() {
	: >leave
	wait "$run_child"
	run_status=$?
}
tracer_start() {
	rm -f tracer.out
	mkfifo tracer.out
	python3 -c 'import ctypes, sys, time
sys.exit(1) if ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), 0, 0) else print("traced", flush=True)
time.sleep(60)' "$left" >tracer.out &
	tracer=$!
	read -r answer <tracer.out
}
text_is_back() {
	left_says text
	[ "$answer" = "$clean" ]
}
leave_start 0
leave_end
left_says text
clean=$answer
is "what is left behind costs nothing" "$run_status" 0
unlike "its probes are taken out" "$clean" "^$probed\$"
left_says quit
for status_of_command in 0 3; do
	leave_start $status_of_command
	tracer_start
	leave_end
	[ $status_of_command != 0 ] || want=125
	[ $status_of_command = 0 ] || want=3
	is "what cannot be restored: status $want after the command's $status_of_command" "$answer $run_status" "traced $want"
	like "and which process it is" "$(cat run.err)" "^ebpfrt: .*probes are still in process $left: .*trac.* goes on trying"
	kill -KILL "$tracer"
	until_true text_is_back || echo "# process $left is not restored"
	left_says quit
done
# nobody can say what is left then, and it restores itself; whether it is in a request that the client notices is chance
fatal=$(daemon_with "$bin/fatal.so")
EBPFRT_DAEMON=$fatal EBPFRT_RUNTIME_DIR="$stage/run/fatal"
export EBPFRT_DAEMON EBPFRT_RUNTIME_DIR
leave_start 0
leave_end
is "a daemon that dies while it restores what is left: the command's status" "$run_status" 0
left_says quit
exec 6>&- 7<&-
