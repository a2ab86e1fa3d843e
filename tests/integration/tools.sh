#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What people do to a session that nobody thought of: interrupt it twice, take its daemon away, give it broken objects; and
# bpftool's verbs that do more than list.
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 18

target_start
say text
clean=$answer

# the first Ctrl-C detaches, which takes as long as the daemon does; the second one doesn't wait
# (a shell makes what it puts in the background ignore the signal: not so a terminal)
: >attach.out
: >attach.err
env --default-signal=INT ebpfrt attach "$target" "$bin/count.bpf.o" >attach.out 2>attach.err </dev/null &
attach_child=$!
until_true attach_ready
say call 3
daemon=$(cat "$EBPFRT_RUNTIME_DIR/pid")
kill -STOP "$daemon"
kill -INT "$attach_child"
# it has let the signals through when it has taken the first one
unblocked() {
	[ $((0x$(sed -n 's/^SigBlk:	//p' "/proc/$attach_child/status") & 2)) = 0 ]
}
until_true unblocked && ok "the first Ctrl-C is taken" || not_ok "the first Ctrl-C is taken"
kill -0 "$attach_child" 2>/dev/null && ok "it waits for the daemon" || not_ok "it waits for the daemon"
attach_stop INT
is "the second one ends it at once" "$attach_status" 130
kill -CONT "$daemon"
restored() {
	say text
	[ "$answer" = "$clean" ]
}
until_true restored && ok "the daemon restores what it left" || not_ok "the daemon restores what it left"
say call 4
is "the target goes on" "$answer" "sum 16"

# a program whose daemon dies is told, keeps its maps, and finds the next daemon
cat >again.py <<'EOT'
import ctypes, errno, os, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
key, value, info = (ctypes.create_string_buffer(n) for n in (4, 8, 80))
address = ctypes.addressof
def bpf(cmd, attr):
    b = ctypes.create_string_buffer(attr.ljust(128, b"\0"), 128)
    r = libc.syscall(321, cmd, b, 128)
    return r if r >= 0 else -ctypes.get_errno()
def create():
    return bpf(0, struct.pack("5I", 2, 4, 8, 4, 0))
def elem(cmd, fd):
    return bpf(cmd, struct.pack("IxxxxQQQ", fd, address(key), address(value), 0))
def pid():
    return int(open(os.environ["EBPFRT_RUNTIME_DIR"] + "/pid").read())
def gone(): # its last thread has: nobody listens any more
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(os.environ["EBPFRT_RUNTIME_DIR"] + "/ctl")
    except ConnectionRefusedError:
        return True
old = create()
value.raw = struct.pack("Q", 42)
print("update", elem(2, old))
first = pid()
os.kill(first, signal.SIGKILL)
while not gone():
    pass
value.raw = bytes(8)
print("lookup", elem(1, old), struct.unpack("Q", value.raw)[0])
new = create()
print("told", new in (-errno.EPIPE, -errno.ECONNRESET))
new = create()
print("create", new > 0, pid() != first)
print("update", elem(2, new))
print("info", bpf(15, struct.pack("IIQ", new, 80, address(info))))
EOT
try ebpfrt exec -- python3 again.py
is "maps live on, the next daemon serves" "$(echo $out)" "update 0 lookup 0 42 told True create True True update 0 info 0"
like "the person is told, too" "$err" "^ebpfrt: lost the daemon \(pid [0-9]+\) during a request: .*; its log is in the runtime directory"

# broken objects, as a user would try them: a sentence or a session, and the target goes on
python3 - "$target" "$bin/count.bpf.o" >broken.out 2>&1 <<'EOT'
import random, subprocess, sys
rnd = random.Random(11)
good = open(sys.argv[2], "rb").read()
wrong = good_ones = 0
for i in range(50):
    data = bytearray(good)
    for _ in range(rnd.choice((1, 2, 8))):
        data[rnd.randrange(len(data))] = rnd.choice((0, 1, 0x7F, 0x80, 0xFF))
    if i % 5 == 0:
        data = data[: rnd.randrange(len(data))]
    open("broken.bpf.o", "wb").write(data)
    for cmd, failure in ((["attach", "-d", "1ms", sys.argv[1], "broken.bpf.o"], (1,)),
                         (["run", "-P", "broken.bpf.o", "--", "true"], (125,))):
        r = subprocess.run(["ebpfrt"] + cmd, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        err = r.stderr.decode(errors="replace")
        good_ones += r.returncode == 0
        if r.returncode and not (r.returncode in failure and any(len(l) > 30 and l.startswith("ebpfrt: ") for l in err.splitlines())):
            wrong += 1
            print("seed 11, object %d, %s: status %d: %s" % (i, cmd[0], r.returncode, err))
print("done, %d went on, %d without words" % (good_ones, wrong))
EOT
like "50 broken objects through attach and run: a sentence each, or a session" "$(tail -n 1 broken.out)" "^done, [0-9]+ went on, 0 without words"
head -n 20 broken.out | sed 's/^/# /'
until_true restored && ok "the target has its text" || not_ok "the target has its text"
say call 5
is "and goes on" "$answer" "sum 25"

# bpftool
bt="ebpfrt exec -- bpftool"
if ! command -v bpftool >/dev/null; then
	skip 7 "bpftool is not installed"
else
	attach_start "$target" "$bin/stream.bpf.o"
	# it ends with a signal only
	env --default-signal=INT $bt -j map event_pipe name samples >pipe.out 2>pipe.err </dev/null &
	pipe=$!
	pipe_ready() { # it has begun when the array's events are its own
		say call 1
		[ -s pipe.out ]
	}
	until_true pipe_ready
	kill -INT $pipe
	wait $pipe
	is "bpftool map event_pipe ends with Ctrl-C" "$?" 0
	like "and has shown events with their time and data" "$(cat pipe.out)" \
		'^\[\{"type":9,"cpu":[0-9]+,"index":[0-9]+,"timestamp":[0-9]{9,},"data":\[[0-9]+,'
	try $bt btf dump prog name on_work
	like "bpftool btf dump prog" "$status $out" "INT 'int' size=4"
	attach_stop INT
	objcopy --dump-section .BTF=one.btf "$samples/core_one" /dev/null
	try $bt gen min_core_btf one.btf minimal.btf "$samples/core.bpf.o"
	is "bpftool gen min_core_btf" "$status" 0
	try ebpfrt run --btf minimal.btf -P "$samples/core.bpf.o" -- "$samples/core_bare"
	like "what it made is enough" "$err" "1 \\+ 3 = 4"
	# the kernel's own log is not ours to read: as an ordinary user without us
	bpftool prog tracelog >kernel.out 2>&1 </dev/null
	want=$?
	try timeout 10 $bt prog tracelog
	is "bpftool prog tracelog: what an ordinary user gets" "$status" $want
	is "in the same words" "$out$err" "$(cat kernel.out)"
fi
target_quit
is "the target ends well" "$target_status" 0
