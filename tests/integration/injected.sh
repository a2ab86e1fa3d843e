#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The agent comes into threads that wait, by ptrace, wherever they wait: no wait ends early or by an error, and what is waited for
# comes. So with a program that nobody here wrote, which would tell of an interruption; with threads; and in a process that is
# stopped and stays so. Calls afterwards are counted exactly.
. "${top_srcdir:-.}/tests/integration/lib.sh"
ways="read nanosleep semaphore epoll until poll select receive pause forever" # ppoll blocks SIGTRAP: refused, see cli_targets.sh
strangers="select sleep wait lock read"
set -- $ways
plan $((3 * $# + 4 * 5 + 2 + 3 + 9))

# in a system call
waits() { # pid
	read -r at <"/proc/$1/syscall" && [ "${at%% *}" != running ]
}

target_program=$bin/called
for way in $ways; do
	target_start
	say $way
	until_true waits "$target"
	attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work
	read -r answer <&9
	is "in $way" "$answer" "$way ok"
	say call 7
	is "in $way: calls are counted" "$answer $(map_value counts 0) $(map_value counts 2)" "sum 49 7 7"
	say $way
	until_true waits "$target"
	attach_stop INT
	read -r answer <&9
	is "in $way: left" "$answer" "$way ok"
	target_quit
done


# a program that doesn't begin again what was interrupted, but says so: "ready PID"; "begin" and "WAY RESULT" of a wait; "call N":
# N calls of getppid()
cat >stranger.pl <<'EOT'
use Fcntl ':flock';
use Time::HiRes;
$| = 1;
print "ready $$\n";
for (;;) {
	my $n = sysread(STDIN, my $way, 100);
	if (!defined($n)) { print "read: $!\n"; next; }
	last if !$n;
	chomp $way;
	if ($way =~ /^call (\d+)/) { my $sum = 0; $sum += getppid() > 0 for 1 .. $1; print "called $sum\n"; next; }
	my $child = $way eq "wait" && fork();
	exec("sleep", "1") if $way eq "wait" && !$child;
	print "begin\n";
	next if $way eq "read";
	if ($way eq "select") { my ($n, $left) = select(undef, undef, undef, 0.7); print "select ", $n == 0 ? "in time" : "$n: $!", "\n"; }
	elsif ($way eq "sleep") { my $ns = Time::HiRes::nanosleep(7e8); print "sleep ", $ns >= 7e8 ? "in time" : "$ns: $!", "\n"; }
	elsif ($way eq "wait") { print "wait ", waitpid($child, 0) == $child ? "status $?" : $!, "\n"; }
	elsif ($way eq "lock") { open(my $f, ">", "locked"); print "lock ", flock($f, LOCK_EX) ? "mine" : $!, "\n"; }
}
exit 6;
EOT
cat >stranger <<'EOT'
#!/bin/sh
exec perl stranger.pl
EOT
chmod +x stranger
want_of() {
	case $1 in
	select | sleep) echo "$1 in time" ;;
	wait) echo "wait status 0" ;;
	lock) echo "lock mine" ;;
	read) echo "called 3" ;;
	esac
}
# the wait ends by itself, or by what somebody else does
end_wait() { # way
	case $1 in
	read) echo "call 3" >&8 ;;
	lock) : >enough ;;
	esac
	read -r answer <&9
}
begin_wait() { # way
	rm -f enough held
	[ "$1" != lock ] || {
		flock locked sh -c ': >held; until [ -e enough ]; do sleep 0.01; done' &
		until_true [ -e held ]
	}
	say "$1"
	until_true waits "$target"
}
if ! command -v perl >/dev/null 2>&1 || ! perl -MTime::HiRes -e 1 2>/dev/null; then
	skip $((4 * $(echo "$strangers" | wc -w) + 2)) "perl is not installed"
else
	target_program=$PWD/stranger
	for way in $strangers; do
		target_start
		begin_wait "$way"
		attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:libc.so.6:getppid --prog on_work_done=uretprobe:libc.so.6:getppid
		end_wait "$way"
		is "perl, in $way" "$answer" "$(want_of "$way")"
		[ "$way" = read ] && calls=3 || calls=0
		say call 5
		is "perl, in $way: calls are counted" "$answer $(map_value counts 0) $(map_value counts 2)" \
			"called 5 $((calls + 5)) $((calls + 5))"
		begin_wait "$way"
		attach_stop INT
		end_wait "$way"
		is "perl, in $way: left" "$answer" "$(want_of "$way")"
		exec 8>&- 9<&-
		wait "$target_child"
		is "perl, in $way: its end" "$?" 6
	done
	# many times in one wait for a command
	target_start
	until_true waits "$target"
	bad=
	for i in $(seq 20); do
		ebpfrt attach -q --no-maps -d 0 "$target" "$bin/count.bpf.o" --prog on_work=uprobe:libc.so.6:getppid \
			--prog on_work_done=uretprobe:libc.so.6:getppid 2>again.err || bad="$bad $i: $(cat again.err)"
	done
	is "perl, in one read: twenty times" "$bad" ""
	say call 4
	is "perl: what it read then" "$answer" "called 4"
	exec 8>&- 9<&-
	wait "$target_child"
fi

# threads that wait in all those ways, and end themselves when one is wrong; each stop may meet any of them
cat >waiting <<EOT
#!/bin/sh
exec $bin/called 6
EOT
chmod +x waiting
target_program=$PWD/waiting
target_start
come_and_go() { # not while one of them is in ppoll() with all signals blocked
	ebpfrt attach -q --no-maps -d 0.05 "$target" "$bin/count.bpf.o" --prog on_work=uprobe:called:work \
		--prog on_work_done=uretprobe:called:work 2>again.err || ! grep -q 'waits with SIGTRAP blocked' again.err
}
bad=
for i in $(seq 12); do
	until_true come_and_go
	[ ! -s again.err ] || bad="$bad $i: $(cat again.err)"
done
is "six threads that wait: attached and left, over and over" "$bad" ""
say call 2
is "six threads that wait: they go on" "$answer" "sum 4"
target_quit
is "six threads that wait: none was wrong" "$target_status" 0

# stopped, it stays so
stopped() {
	grep -q '^State:.*T' "/proc/$target/status"
}
target_program=$bin/called
target_start
text=$(python3 "$stage/integration/text_hash.py" "$target")
kill -STOP "$target"
until_true stopped
attach_start "$target" "$bin/count.bpf.o" --prog on_work=uprobe:called:work --prog on_work_done=uretprobe:called:work
like "stopped: it is probed" "$(cat attach.out attach.err)" "^Tracing 2 probes"
stopped && ok "stopped: it stays so" || not_ok "stopped: it stays so" "$(grep State "/proc/$target/status")"
echo "call 6" >&8
is "stopped: nothing is hit" "$(map_value counts 0)" 0
kill -CONT "$target"
read -r answer <&9
is "it goes on, exactly" "$answer $(map_value counts 0) $(map_value counts 2)" "sum 36 6 6"
kill -STOP "$target"
until_true stopped
attach_stop INT
like "stopped: left" "$attach_status $(cat attach.err)" "detached, 1 site restored; 12 hits, 0 lost"
stopped && ok "stopped: it stays so, again" || not_ok "stopped: it stays so, again" "$(grep State "/proc/$target/status")"
is "stopped: every byte is as before" "$(python3 "$stage/integration/text_hash.py" "$target")" "$text"
kill -CONT "$target"
say call 2
is "it goes on without us" "$answer" "sum 4"
target_quit
is "it ends well" "$target_status" 0
