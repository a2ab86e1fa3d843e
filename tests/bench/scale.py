# SPDX-License-Identifier: BSD-2-Clause
"""
What more of everything costs: `make bench-scale`.

	scale.py BUILD OBJECT [MOST-PROBES [MOST-PROCESSES [MOST-KEYS]]]

Probes in one process, traced processes, programs on one site, keys in a map: for each the time until all is attached and
until it is detached, the private memory that a target has more, and what a call of a probed function takes. The functions
are made here, by the C compiler; without one it is a named skip. EBPFRT_PROBE says which rung, as everywhere.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

BUILD, OBJECT = sys.argv[1], sys.argv[2]
PROBES, PROCESSES, KEYS = [int(v) for v in sys.argv[3:6]] + [10000, 200, 1000000][len(sys.argv[3:6]):]
FUNCTIONS = 10000
LIBRARY = "libebpfrt-scale.so"


def make_library(folder):
    """push, pop, return, as small functions begin and end; one that nobody calls."""
    cc = os.environ.get("CC", "cc").split()[-1]
    if not shutil.which(cc):
        return None
    source, path = f"{folder}/scale.s", f"{folder}/{LIBRARY}"
    with open(source, "w") as f:
        for name in [f"f{i:05}" for i in range(FUNCTIONS)] + ["unused"]:
            f.write(f"\t.globl {name}\n\t.type {name}, @function\n\t.balign 16\n{name}:\n\tpush %rbp\n\tmov %rsp, %rbp\n"
                    f"\tpop %rbp\n\tret\n\t.size {name}, . - {name}\n")
        f.write('\t.section .note.GNU-stack, "", @progbits\n')
    return path if subprocess.run([cc, "-shared", "-nostdlib", "-o", path, source]).returncode == 0 else None


class Target:
    def __init__(self, library):
        self.child = subprocess.Popen([f"{BUILD}/tests/bench/scale", library], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.pid = int(self.child.stdout.readline().split()[1])
        self.memory = self.private()

    def private(self):
        with open(f"/proc/{self.pid}/smaps_rollup") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith("Private_Dirty:"))

    def call(self, functions=1, keys=1):
        self.child.stdin.write(f"{functions} {keys}\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline().split()[1])

    def end(self):
        self.child.stdin.close()
        self.child.wait()


class Session:
    """`ebpfrt attach`: @where names for each program the functions; what isn't named is where nobody comes."""

    def __init__(self, targets, library, where):
        programs = [f"nothing{i}" for i in range(8)] + ["count"]
        specs = [f"--prog={p}=uprobe.multi:{library}:{where.get(p, 'unused')}" for p in programs]
        begin = time.monotonic()
        self.client = subprocess.Popen([f"{BUILD}/ebpfrt", "attach", "--no-maps", *specs,
                                        *[f"--pid={t.pid}" for t in targets], OBJECT],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = ""
        for line in self.client.stderr:
            said += line
            if line.startswith("Tracing"):
                break
        else:
            raise RuntimeError(said)
        self.attach = (time.monotonic() - begin) * 1e3

    def end(self):
        begin = time.monotonic()
        self.client.terminate()
        self.client.communicate()
        return (time.monotonic() - begin) * 1e3


def head(what):
    print(f"\n{what:<24} {'attach, ms':>11} {'detach, ms':>11} {'per unit, ms':>13} {'memory, KiB':>12} {'call, ns':>10}")


def measure(n, library, processes, where, functions, keys):
    targets = [Target(library) for _ in range(processes)]
    try:
        session = Session(targets, library, where)
        call = targets[0].call(functions, keys)
        memory = max(t.private() - t.memory for t in targets)
        took = session.end()
        print(f"{n:<24} {session.attach:11.1f} {took:11.1f} {session.attach / n:13.4f} {memory:12} {call:10.2f}", flush=True)
    except RuntimeError as e:
        print(f"{n:<24} skipped: {' '.join(str(e).split())[:200]}", flush=True)
    finally:
        for t in targets:
            t.end()


def upto(most, steps):
    return [n for n in steps if n <= most]


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EBPFRT_RUNTIME_DIR"] = f"{folder}/run"
        os.environ["EBPFRT_IDLE"] = "1"
        library = make_library(folder)
        if not library:
            print("bench-scale: skipped: no C compiler to make the functions with")
            return
        bare = Target(library)
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; a call that is not probed: "
              f"{bare.call():.2f} ns, one of {FUNCTIONS} in turn: {bare.call(FUNCTIONS):.2f} ns")
        bare.end()
        head("probes in a process")
        for n in upto(PROBES, (1, 10, 100, 1000, 10000)):
            glob = f"f{0:0{6 - len(str(n))}}" + "?" * (len(str(n)) - 1) if n < FUNCTIONS else "f?????"
            measure(n, library, 1, {"nothing0": glob}, n, 1)
        head("processes")
        for n in upto(PROCESSES, (1, 10, 50, 200)):
            measure(n, library, n, {"nothing0": "f00000"}, 1, 1)
        head("programs on a site")
        for n in (1, 2, 4, 8):
            measure(n, library, 1, {f"nothing{i}": "f00000" for i in range(n)}, 1, 1)
        head("keys in a map")
        for n in upto(KEYS, (1, 100, 10000, 1000000)):
            measure(n, library, 1, {"count": "f00000"}, 1, n)
        time.sleep(2) # the daemon leaves


main()
