# SPDX-License-Identifier: BSD-2-Clause
"""
What it costs a process to be attached to, and to have the agent: called by bench.sh.

	attach.py BUILD OBJECT ROUNDS

Attaching: to a process that runs, by a glob of some thousand functions; how long until everything is attached, how long a
thread of the target was held at a time as the daemon says, and the longest time that another thread of it, which only looks
at the clock, did not run (the quiet row: without us, as the machine is not alone). Having the agent: a program started with it
and without, in turns; memory of its own (Private_Dirty, not shared with anybody).
"""
import json
import os
import statistics
import subprocess
import sys
import time

BUILD, OBJECT, ROUNDS = sys.argv[1], sys.argv[2], int(sys.argv[3])
HERE, AGENT = f"{BUILD}/tests/bench", f"{BUILD}/libebpfrt-agent.so"
LIBRARIES = (("libcrypto.so.3", "[A-D]*"), ("libc.so.6", "[a-m]*"))


class Held:
    """The target: held.c."""

    def __init__(self, library):
        self.child = subprocess.Popen([f"{HERE}/held", library], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True)
        ready = self.child.stdout.readline().split()
        self.pid = int(ready[1]) if ready else None

    def ask(self, what):
        self.child.stdin.write(what + "\n")
        self.child.stdin.flush()
        return int(self.child.stdout.readline().split()[1])

    def end(self):
        self.child.stdin.close()
        self.child.wait()


def head(what):
    print(f"{what:<44} {'min':>10} {'median':>10} {'max':>10}")


def row(what, values, unit=1e6):
    v = sorted(x / unit for x in values)
    print(f"{what:<44} {v[0]:10.2f} {statistics.median(v):10.2f} {v[-1]:10.2f}")


def tracing(client):
    """How many it traces, when it says so."""
    for line in client.stderr:
        if line.startswith("Tracing"):
            return int(line.split()[1])
    return 0


def attach_once(library, glob, got):
    t = Held(library)
    t.ask("reset")
    time.sleep(0.05)
    got["quiet"].append(t.ask("gap"))
    memory = private(t.pid)
    t.ask("reset")
    begin = time.monotonic_ns()
    client = subprocess.Popen([f"{BUILD}/ebpfrt", "attach", "--no-maps", "--missing=ignore", "--prog",
                               f"on_any=uprobe.multi:{library}:{glob}", "-p", str(t.pid), OBJECT],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    got["probes"].append(tracing(client))
    got["total"].append(time.monotonic_ns() - begin)
    got["gap"].append(t.ask("gap"))
    info = json.loads(subprocess.run([f"{BUILD}/ebpfrt", "ps", "--json"], capture_output=True, text=True).stdout or "[]")
    mine = [i for i in info if i["pid"] == t.pid]
    if mine:
        got["held"].append(mine[0]["longest_stop_ns"])
        got["stops"].append(mine[0]["stops"])
    got["memory"].append(private(t.pid) - memory)
    got["threads"].append(len(os.listdir(f"/proc/{t.pid}/task")))
    t.ask("reset")
    begin = time.monotonic_ns()
    client.terminate()
    client.communicate()
    got["detach"].append(time.monotonic_ns() - begin)
    got["detach gap"].append(t.ask("gap"))
    t.end()


def private(pid):
    """Bytes that nobody shares with it."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) << 10 for line in f if line.startswith("Private_Dirty:"))


def attaching():
    for library, glob in LIBRARIES:
        probe = Held(library)
        if probe.pid:
            probe.end()
            break
        probe.child.wait()
    else:
        print("attaching: skipped: no library to probe")
        return
    got = {k: [] for k in ("quiet", "probes", "total", "held", "stops", "gap", "memory", "threads", "detach", "detach gap")}
    for _ in range(ROUNDS):
        attach_once(library, glob, got)
    if not got["held"]:
        print("attaching: skipped: it failed")
        return
    head("attaching, ms")
    print(f"# {got['probes'][0]} functions of {library}, held {got['stops'][0]} times")
    row("until all are attached", got["total"])
    row("a thread held, the longest time", got["held"])
    row("another thread did not run, the longest", got["gap"])
    row("the same without us, in 50 ms", got["quiet"])
    row("detaching", got["detach"])
    row("another thread did not run meanwhile", got["detach gap"])
    print()
    head("what an attached process has more")
    row("private memory, KiB", got["memory"], 1024)
    row("threads more", [n - 2 for n in got["threads"]], 1)


def start_once(env):
    begin = time.monotonic_ns()
    subprocess.run(["/bin/true"], env=env)
    return time.monotonic_ns() - begin


def idle(env):
    child = subprocess.Popen(["/bin/cat"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(b"x")
    child.stdin.flush()
    child.stdout.read(1) # by now it is loaded
    total = private(child.pid)
    child.stdin.close()
    child.wait()
    return total


def starting():
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "EBPFRT_"))}
    agent = dict(plain, LD_PRELOAD=AGENT)
    without, with_it = [], []
    for _ in range(20 * ROUNDS):
        without.append(start_once(plain))
        with_it.append(start_once(agent))
    head("starting /bin/true, ms")
    row("alone", without)
    row("with an idle agent preloaded", with_it)
    print()
    head("what an idle agent takes")
    row("private memory, KiB", [idle(agent) - idle(plain) for _ in range(ROUNDS)], 1024)


attaching()
print()
starting()
