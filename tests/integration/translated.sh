#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs whose code is never executed as it is: valgrind and qemu execute translations. They are refused with words, also where
# they come by an exec or with our agent in their environment, and go on as without us.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 20
probes="--prog on_work=uprobe:target:work --prog on_work_done=uretprobe:target:work"
target_program=$bin/target

translated() { # what it is, its name, command...
	what=$1
	file=$2
	shift
	shift
	if ! "$@" "$bin/target" </dev/null >plain.out 2>plain.err; then
		skip 10 "no $what here: $(head -n 1 plain.err)"
		return
	fi
	target_start "$@"
	say call 2
	# shellcheck disable=SC2086
	try ebpfrt attach -d 0 "$target" "$bin/count.bpf.o" $probes
	is "$what: attach: status" "$status" 1
	like "$what: attach: words" "$err" \
		"^ebpfrt: cannot attach to $target \($file.*\): it is run by $what, which never executes the code that probes are in; run it without$"
	try ebpfrt list "$target:work"
	like "$what: list: words" "$err" "it is run by $what, which never executes the code"
	say call 3
	is "$what: it goes on" "$answer" "sum 9"
	target_quit
	is "$what: to its end" "$target_status" 0
	# shellcheck disable=SC2086
	try ebpfrt run -P "$bin/count.bpf.o" $probes -- "$@" "$bin/target"
	is "$what: run: status" "$status" 125
	is "$what: run: words" "$err" "ebpfrt: $what never executes the code that probes are in; run the command without it"
	# shellcheck disable=SC2086
	printf 'call 4\nquit 3\n' | ebpfrt run -o run.maps -P "$bin/count.bpf.o" $probes -- sh -c '"$@"; exit $?' sh "$@" "$bin/target" >run.out 2>run.err
	is "$what: by a shell under run: its status" "$?" 3
	is "$what: by a shell under run: what it says" "$(sed 1d run.out)" "sum 16"
	like "$what: by a shell under run: words" "$(cat run.err)" "^ebpfrt: warning: process [0-9]+ has executed .*, which is not probed: "
}
translated valgrind memcheck valgrind -q --tool=memcheck
translated qemu qemu-x86_64 qemu-x86_64
