# SPDX-License-Identifier: BSD-2-Clause
"""
The programs that other tests attach to, under random attachments: for some seconds they are started, told to do what they do,
and their answers compared with those they gave unprobed. Meanwhile clients come and go, with probes at random functions of
theirs and of the C library, at entries and returns, and are told to end, or killed.

	soak.py SECONDS SEED BIN     prints what was done; says what went wrong, and then ends with status 1

Attachments may fail (there may be somebody who kills the daemon): what counts is what the programs see.
"""
import collections
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

# program: its commands; what its answer to any of them may differ in
PROGRAMS = {
    "windows": ["go 1", "go 3"],
    "windows-static": ["go 1", "go 3"],
    "windows-musl-static": ["go 1", "go 3"],
    "masks": ["suspend 20", "ppoll 20", "pselect 20", "epoll 20", "threads 50", "mask"],
    "storm": ["rounds", "rounds", "rounds", "stop"],
    "brood": ["call 100", "crowd 10 7", "crowd 30 2"],
    "jumps": ["slot 300", "step 300"],
    "faults": [k + " 10" for k in "load store swap copy closed wild aligned past divide overflow pushes calls jumps away".split()],
    "returns": "leaf 3|longjmp 1000|siglongjmp 200|recurse 300|hop 50|tail 20|exit 5|cancel 5|coroutines 16|backtrace 1|unwind 1".split("|"),
    "returns_cc": "leaf 3|throw 10|direct 10|catcher 10|rethrow 10|within 10|carry 10|recurse 10|moved 10|handler 3|cancel 5|exit 5".split("|"),
    "target": ["call 100", "threads 4 50", "fork 20", "jump 300", "deep 500"],
    "target-static-pie": ["call 100", "threads 4 50", "fork 20", "jump 300", "deep 500"],
    "state": "slot 3000|step 3000|nop 3000|red mov 500|red jmp 500|red push 500|red pop 500|red call 500|red ret 500|small 300|nested 200".split("|"),
    "actions": ["one " + c for c in "ways masks wait thread suspend nested others back signal ends stacks jump edit float segv".split()],
    "many": ["all 3", "names 10", "libc 5"],
    "usdt": ["fire 10", "fire 30"],
    "hazards": ["call 100", "call 1000"],
    "called": ["call 10", "call 100"] + "nanosleep until poll select ppoll epoll semaphore receive read pause forever".split(),
    "reuse": ["cycle {bin}/reuse_a.so {bin}/reuse_b.so 5", "cycle {bin}/reuse_a.so {bin}/reuse_b.so 20"],
    "kinds": ["ten"],
    "loader": ["seconds"],
    "walker": ["call 100", "call 1000"],
    "offsets": [],
    "generated": [],
}
MODES = {"kinds": "vm sighand vfork clone late vforking mdwe sleeping".split()}
LIBRARIES = {"reuse": ["reuse_a.so"], "many": ["many_lib.so"], "loader": ["later.so"]} # probed, too
CLIENTS = ("offsets", "generated") # of the daemon, themselves; what they probe is a child of theirs
STATUS = {"kinds": 3}
INSIDE = re.compile("(state|red)_[a-z]+$") # of functions: what is on top of the stack there is no return address
ARGUMENTS = {"many": ["{bin}/many_lib.so"], "hazards": ["plain", "0"], "loader": ["{bin}/later.so", "later"]}
DIFFERS = {"state": r"under \d+", "storm": r"^rounds \d+( work \d+)?$", "jumps": r"hits \d+|slots \d+", "reuse": r" \d+ (?=\d+$)"}


class Program:
    def __init__(self, name, prefix=(), mode=()):
        self.name = name
        arguments = [a.format(bin=BIN) for a in ARGUMENTS.get(name, ())]
        self.child = subprocess.Popen([*prefix, f"{BIN}/{name}", *arguments, *mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True, bufsize=1)
        ready = self.child.stdout.readline().split()
        self.pid = 0
        if ready[:1] == ["ready"]:
            self.pid = int(ready[1]) if len(ready) > 1 else self.child.pid

    def ask(self, command):
        if self.name == "loader": # it needs no telling, and says nothing unless it goes wrong
            time.sleep(0.3)
            return "" if self.child.poll() is None else "(gone)"
        try:
            self.child.stdin.write(command.format(bin=BIN) + "\n")
        except OSError:
            return "(gone)"
        answer = self.child.stdout.readline().rstrip("\n")
        if answer == "begin":
            answer = self.child.stdout.readline().rstrip("\n")
        return re.sub(DIFFERS[self.name], "...", answer) if self.name in DIFFERS else answer

    def end(self):
        if self.name == "loader":
            self.child.send_signal(signal.SIGUSR1)
        try:
            self.child.stdin.write("quit 0\n")
            self.child.stdin.close()
        except OSError:
            pass
        return self.child.wait(timeout=60) - STATUS.get(self.name, 0)

    def text(self):
        """Executable file mappings, by file and offset."""
        out = {}
        with open(f"/proc/{self.pid}/maps") as maps, open(f"/proc/{self.pid}/mem", "rb") as mem:
            for line in maps:
                f = line.split()
                if "x" in f[1] and len(f) > 5 and f[5][0] == "/" and not f[5].startswith("/memfd:"):
                    lo, hi = (int(x, 16) for x in f[0].split("-"))
                    mem.seek(lo)
                    out[f[5], int(f[2], 16)] = mem.read(hi - lo)
        return out


def differences(was, now):
    for key in was.keys() | now.keys():
        a, b = was.get(key, b""), now.get(key, b"")
        places = [f"{key[1] + i:#x}" for i in range(min(len(a), len(b))) if a[i] != b[i]]
        if a != b:
            yield f"{key[0]}: {len(a)} and {len(b)} bytes, at {' '.join(places[:8])}"


def functions(path, dynamic=False):
    out = subprocess.run(["readelf", "-W", "--dyn-syms" if dynamic else "--syms", path], capture_output=True, text=True).stdout
    names = {f[7].split("@")[0] for f in map(str.split, out.splitlines()) if len(f) > 7 and f[3] in ("FUNC", "IFUNC") and f[6] != "UND"}
    return sorted(n for n in names if n.isidentifier())


def libc_of(pid):
    with open(f"/proc/{pid}/maps") as f:
        found = [l.split()[5] for l in f if "/libc.so.6" in l]
    return found[0] if found else None


class Attacher(threading.Thread):
    """Attaches to one process, over and over."""

    def __init__(self, program, rnd, env=None):
        super().__init__()
        self.p, self.rnd, self.over, self.env = program, rnd, threading.Event(), env
        self.attached = self.failed = 0

    def probes(self):
        own, libc = f"{BIN}/{self.p.name}", libc_of(self.p.pid)
        args = []
        for i in range(self.rnd.randint(1, 14)):
            file = libc if libc and self.rnd.random() < 0.5 else own
            name = self.rnd.choice([f for f in FUNCTIONS[file if file == libc else self.p.name] if (file, f) not in REFUSED])
            if self.p.name in LIBRARIES and self.rnd.random() < 0.2:
                file = f"{BIN}/{LIBRARIES[self.p.name][0]}"
                name = self.rnd.choice(FUNCTIONS[LIBRARIES[self.p.name][0]])
            kind = "uprobe" if INSIDE.match(name) else self.rnd.choice(("uprobe", "uprobe", "uretprobe"))
            args += ["--prog", f"{SINGLE[i]}={kind}:{file}:{name}"]
        if self.rnd.random() < 0.2:
            letter = self.rnd.choice("abcdefghijklmnopqrstuvwxyz")
            args += ["--prog", f"many_1=uprobe.multi/{libc or own}:{letter}*"]
        return args

    def look(self):
        """What the daemon says of the target, and what the target's threads do."""
        said = []
        for what in (["ebpfrt", "ps", "--json"], ["ebpfrt", "link", "list"]):
            try:
                said.append(subprocess.run(what, capture_output=True, text=True, timeout=10, env=self.env).stdout)
            except subprocess.TimeoutExpired:
                said.append(f"{what}: no answer")
        for task in os.listdir(f"/proc/{self.p.pid}/task"):
            with open(f"/proc/{self.p.pid}/task/{task}/stat") as stat, open(f"/proc/{self.p.pid}/task/{task}/syscall") as call:
                said.append(f"{task}: {stat.read().split()[2]} {call.read().strip()}")
        with open(f"{(self.env or os.environ)['EBPFRT_RUNTIME_DIR']}/daemon.log") as log:
            said += log.read().splitlines()[-8:]
        return "; ".join(said)

    def learn(self, err):
        m = re.search(r"cannot probe (?:the return of )?(\S+?) in|cannot probe the return of (\S+?):", err)
        if m:
            for file in list(LIBCS) + [f"{BIN}/{self.p.name}"]:
                REFUSED.add((file, m[1] or m[2]))

    def run(self):
        while not self.over.is_set():
            c = subprocess.Popen(["ebpfrt", "attach", "-q", "--no-maps", "-p", str(self.p.pid), f"{BIN}/windows.bpf.o",
                                  *self.probes()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True, env=self.env)
            try:
                _, err = c.communicate(timeout=self.rnd.choice((0.2, 0.4, 0.8, 1.5)))
                self.failed += 1
                WHY.update(re.sub(r"0x[0-9a-f]+|\d+|/\S+", "N", l) for l in err.splitlines()[:1])
            except subprocess.TimeoutExpired:
                self.attached += 1
                c.send_signal(signal.SIGKILL if self.rnd.random() < 0.15 else signal.SIGINT)
                try:
                    _, err = c.communicate(timeout=60)
                except subprocess.TimeoutExpired:
                    seen = self.look()
                    c.kill()
                    _, err = c.communicate()
                    wrong(f"{self.p.name}: a client does not end: {err!r}; {seen}")
                    return
            self.learn(err)


def wrong(what):
    WRONG.append(what)
    print("wrong:", what, flush=True)


class Served:
    """The child of a client, which it probes."""

    def __init__(self, name, client):
        self.name, self.pid = name, 0
        while not self.pid and client.poll() is None:
            try:
                with open(f"/proc/{client.pid}/task/{client.pid}/children") as f:
                    self.pid = int((f.read().split() or [0])[0])
            except OSError:
                pass
            time.sleep(0.01)


def visit_client(name, rnd):
    """It has a daemon that nobody kills, and says itself what went wrong."""
    env = dict(os.environ, EBPFRT_RUNTIME_DIR=f"{os.environ['EBPFRT_RUNTIME_DIR']}-{name}")
    args = []
    if name == "generated":
        seed = str(rnd.randrange(1 << 31))
        with open("generated.s", "w") as f:
            subprocess.run([sys.executable, f"{BIN}/../integration/generate.py", seed, "40"], stdout=f, check=True)
        if subprocess.run(["cc", "-shared", "-nostdlib", "-Wl,-z,separate-code", "-o", f"{os.getcwd()}/generated.so", "generated.s"],
                          stderr=subprocess.DEVNULL).returncode:
            return 0, 0
        args = [f"{os.getcwd()}/generated.so", seed]
    client = subprocess.Popen(["ebpfrt", "exec", "--", f"{BIN}/{name}", f"{BIN}/offsets.bpf.o", *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    a = Attacher(Served(name, client), rnd, env)
    a.start()
    out, _ = client.communicate(timeout=600)
    a.over.set()
    a.join()
    bad = [l for l in out.splitlines() if l.startswith(("not ok", "Bail"))]
    if client.returncode or bad or "ok 1" not in out:
        wrong(f"{name} {args}: {bad or out[-300:]!r}, ended with {client.returncode}")
    return a.attached, a.failed


def visit(name, rnd):
    if name in CLIENTS:
        return visit_client(name, rnd)
    prefix, mode = [], [rnd.choice(m) for m in [MODES.get(name)] if m]
    if rnd.random() < 0.3 and name != "loader":
        prefix = ["ebpfrt", "run", "-q", "-o", "run.out", "-P", f"{BIN}/windows.bpf.o", "--prog",
                  f"on_fork=uprobe:{BIN}/{name}:main", "--"]
    p = Program(name, prefix, mode)
    if not p.pid:
        p.child.wait()
        return 0, 0 # whoever killed the daemon was quicker
    for _ in range(2): # what the first round leaves behind may show in the second
        want = {c: p.ask(c) for c in PROGRAMS[name]} if name != "storm" else {"rounds": "...", "stop": "..."}
    text = None if prefix or name == "loader" else p.text()
    a = Attacher(p, rnd)
    a.start()
    commands = [rnd.choice(PROGRAMS[name]) for _ in range(rnd.randint(3, 30))]
    if name == "storm":
        commands = ["rounds"] * rnd.randint(3, 10) + ["stop"]
    for c in commands:
        answer = p.ask(c)
        if answer != want[c]:
            wrong(f"{name} {mode} {c}: {answer!r} instead of {want[c]!r}, started by {prefix[:2]}")
            break
        if name == "storm":
            time.sleep(0.3)
    a.over.set()
    a.join()
    if text and not WRONG:
        until, said = time.monotonic() + 10, "none"
        while p.text() != text and time.monotonic() < until: # a killed client's probes go a moment later
            time.sleep(0.05)
        for _ in range(10): # after the end of a daemon a site that nobody hits is restored by the next one, which may be killed
            if p.text() == text:
                break
            r = subprocess.run(["ebpfrt", "attach", "-q", "--no-maps", "-d", "0.1", "-p", str(p.pid), f"{BIN}/windows.bpf.o",
                                "--prog", f"on_fork=uprobe:{BIN}/{name}:main"], stdin=subprocess.DEVNULL,
                               capture_output=True, text=True)
            LATE.append(name)
            said = f"{r.returncode} {r.stderr}"
        if p.text() != text:
            links = subprocess.run(["ebpfrt", "link", "list"], capture_output=True, text=True).stdout
            wrong(f"{name}: its text is not as before: {'; '.join(differences(text, p.text()))}; links: {links!r}; the last attachment: {said}")
    status = p.end()
    if status and not WRONG:
        wrong(f"{name} {mode}: ended with {status}")
    return a.attached, a.failed


def main():
    rnd = random.Random(SEED)
    names = [n for n in os.environ.get("SOAK_PROGRAMS", " ".join(PROGRAMS)).split() if os.path.getsize(f"{BIN}/{n}") > 0]
    for n in names:
        FUNCTIONS[n] = functions(f"{BIN}/{n}")
        for library in LIBRARIES.get(n, ()):
            FUNCTIONS[library] = functions(f"{BIN}/{library}")
    p = Program("target")
    LIBCS.append(libc_of(p.pid))
    FUNCTIONS[LIBCS[0]] = functions(LIBCS[0], True)
    p.end()
    end, done, attached, failed = time.monotonic() + SECONDS, 0, 0, 0
    while time.monotonic() < end and not WRONG:
        name = rnd.choice(names)
        a, f = visit(name, rnd)
        done, attached, failed = done + 1, attached + a, failed + f
    print(f"{done} programs, {attached} attachments, {failed} that failed, {len(REFUSED)} functions refused, "
          f"{len(LATE)} restored by the next daemon")
    for why, n in WHY.most_common(8):
        print(f"failed {n} times: {why[:160]}")
    return 1 if WRONG or not attached else 0


SECONDS, SEED, BIN = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
SINGLE = ["on_" + n for n in ("pthread_create system popen pclose pthread_cancel timer_create posix_spawn fork pthread_join "
                              "timer_delete setrlimit abort execve dup2 pthread_exit").split()]
FUNCTIONS, LIBCS, REFUSED, WRONG, LATE, WHY = {}, [], set(), [], [], collections.Counter()
sys.exit(main())
