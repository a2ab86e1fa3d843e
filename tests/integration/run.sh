#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Start a command under the agent: its output, status and signals are its own.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 18

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
