# SPDX-License-Identifier: BSD-2-Clause
#
# gdb in a process that ebpfrt probes: `source` this file in gdb, before or after attaching to the process.
#
# To gdb a probe's break instruction is one of the program's own, whose trap it keeps from the program. So traps are passed on
# (`handle SIGTRAP nostop noprint pass`), and what that makes dangerous is refused in words:
#
# - A break point on a probed instruction is disabled: gdb would go on in the middle of that instruction. On a jump
#   it may be, but not behind a short instruction, in the jump's last bytes.
# - step, next, stepi and nexti: gdb would pass on the traps of its own steps, too, and walk into the agent.
#
# The daemon puts the probes of a process to sleep when gdb comes, as gdb keeps traps for itself; a word in the page that the two
# share (agent_stats.debugger in shm_abi.h) says that it doesn't here.
#
# break, tbreak, advance, until LOCATION, finish and continue do what they should. The agent's symbols are loaded where it came
# by injection, so that `bt` finds the way out of calls whose return is probed, and out of the agent; `finish` stops at the probe
# of such a return first, and in the caller the next time. What the agent's file can't tell of, the stubs of jumps, programs and
# functions that they call, is told here.
import re
import subprocess
import time

import gdb
from gdb.unwinder import Unwinder, register_unwinder

BREAK = b"\xcc"
JUMP, JUMP_LEN = b"\xe9", 5


def is_break(address):
    """Is there a break instruction that isn't gdb's?"""
    try:
        return bytes(gdb.selected_inferior().read_memory(address, 1)) == BREAK
    except gdb.error:
        return False


def file_byte(address):
    gdb.execute("set trust-readonly-sections on")
    try:
        return bytes([int(gdb.parse_and_eval(f"*(unsigned char *){address:#x}"))])
    finally:
        gdb.execute("set trust-readonly-sections off")


def jump_over(address):
    """Where the jump of a probe begins that has this byte behind its first; or None."""
    for start in range(address - JUMP_LEN + 1, address):
        try:
            if bytes(gdb.selected_inferior().read_memory(start, 1)) == JUMP and file_byte(start) != JUMP:
                return start
        except gdb.error:
            pass
    return None


def addresses(breakpoint):
    try:
        table = gdb.execute(f"info breakpoints {breakpoint.number}", to_string=True)
    except gdb.error:
        return []
    return [int(a, 16) for a in re.findall(r"\b0x[0-9a-f]{8,}\b", table)]


def next_instruction(address):
    """Behind the one that the program's file has there."""
    gdb.execute("set trust-readonly-sections on")
    try:
        lines = gdb.execute(f"x/2i {address:#x}", to_string=True).splitlines()
        return int(re.search(r"0x[0-9a-f]+", lines[1]).group(), 16)
    finally:
        gdb.execute("set trust-readonly-sections off")


def check_breakpoint(breakpoint):
    if not breakpoint.enabled or breakpoint.type != gdb.BP_BREAKPOINT or breakpoint.number < 0:
        return
    for address in addresses(breakpoint):
        jump = jump_over(address)
        if jump:
            free = address
            while free < jump + JUMP_LEN:
                free = next_instruction(free)
            breakpoint.enabled = False
            gdb.write(
                f"ebpfrt: breakpoint {breakpoint.number} is disabled: {address:#x} is in the jump of the probe at {jump:#x}; "
                f"set it behind that, break *{free:#x}, or detach ebpfrt first\n",
                gdb.STDERR,
            )
            return
        if is_break(address):
            breakpoint.enabled = False
            symbol = gdb.execute(f"info symbol {address:#x}", to_string=True).split(" in section")[0].strip()
            gdb.write(
                f"ebpfrt: breakpoint {breakpoint.number} is disabled: {symbol} is probed, and gdb would go on in the middle of "
                f"that instruction; set it at the next one, break *{next_instruction(address):#x}, or detach ebpfrt first\n",
                gdb.STDERR,
            )
            return


def agent_file():
    """The agent of the ebpfrt that is found first; the process may have another's."""
    run = subprocess.run(["ebpfrt", "env", "agent"], stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.strip()


def find_agent(pid, agent):
    """Where it lies without a name: what is mapped there begins as the file does."""
    with open(agent, "rb") as f:
        head = f.read(4096)
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, permissions, _, _, inode = line.split()[:5]
            if permissions != "r--p" or (inode != "0" and "/memfd:ebpfrt-agent" not in line):
                continue
            begin = int(span.split("-")[0], 16)
            try:
                memory.seek(begin)
                if memory.read(len(head)) == head:
                    return begin
            except OSError:  # the kernel's own pages
                continue
    return None


loaded = set()


def load_symbols():
    pid = gdb.selected_inferior().pid
    if not pid or pid in loaded:
        return
    try:
        agent = agent_file()
        base = find_agent(pid, agent)
        if base:
            loaded.add(pid)
            gdb.execute(f"add-symbol-file '{agent}' -o {base:#x}", to_string=True)
    except (OSError, subprocess.SubprocessError, gdb.error) as e:
        gdb.write(f"ebpfrt: the agent's symbols can't be loaded: {e}\n", gdb.STDERR)


def probed():
    pid = gdb.selected_inferior().pid
    try:
        with open(f"/proc/{pid}/maps") as maps:
            return pid in loaded or "libebpfrt-agent" in maps.read()
    except OSError:
        return False


class RefuseStep(gdb.Command):
    """Before each command that steps."""

    def __init__(self):
        super().__init__("ebpfrt-refuse-step", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        if probed():
            raise gdb.GdbError(
                "ebpfrt: no steps in a process that is probed: gdb would pass their traps on to it; use tbreak or advance, finish "
                "and continue, or detach ebpfrt first"
            )


REGISTERS = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi".split()  # as a hit's frame has them
STUB_SIZE, STUB_HEAD, RED_ZONE = 64, 16, 128
STUB_BACK, STUB_TAIL = STUB_HEAD + 4, STUB_HEAD + 12
# how far the stack is below where it was, at its instructions
STUB_DEPTHS = {0: 0, 5: RED_ZONE, 10: RED_ZONE + 8, STUB_HEAD: RED_ZONE + 8, STUB_BACK: RED_ZONE + 8, STUB_TAIL: 0}
# of the stacks that programs run on: where a hit's frame is noted, by the short way or by another
STACK_SHIFT, STACKS, STACK_NOTES = 15, 17, (32256, 32256 + 160 + 296)
CALL_FRAME, FRAME_REGS, FRAME_IP, FRAME_SP, FRAME_MARK = 2736, 32, 160, 184, 0x5EED5EED  # entry.S
FRAME_DISTANCE, RETURNS = 208, (-5, -4)


def memory(address, length):
    return bytes(gdb.selected_inferior().read_memory(address, length))


def signed(word):
    return int.from_bytes(word, "little", signed=True)


def site_of(stub):
    """The instruction whose hit begins at this address; or None."""
    head = memory(stub, STUB_HEAD)
    if head[:6] == b"\x48\x8d\x64\x24\x80\x68" and head[10:12] == b"\xff\x15":
        return stub + STUB_HEAD + signed(head[6:10])
    return None


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class HitUnwinder(Unwinder):
    """From the stub of a jump, a program, or a function that one called, to the instruction that is probed."""

    def __init__(self):
        super().__init__("ebpfrt")

    def caller(self, frame, ip, sp, registers):
        info = frame.create_unwind_info(FrameId(frame.read_register("rsp"), frame.read_register("rip")))
        for name, value in {**registers, "rip": ip, "rsp": sp}.items():
            info.add_saved_register(name, gdb.Value(int(value)).cast(frame.read_register(name).type))
        return info

    def from_stub(self, frame, pc):
        stub = pc & -STUB_SIZE
        if memory(pc, 1) == JUMP and site_of(pc + JUMP_LEN + signed(memory(pc + 1, 4))):
            stub = pc = pc + JUMP_LEN + signed(memory(pc + 1, 4))  # it is on the way there
        site, depth, sp = site_of(stub), STUB_DEPTHS.get(pc - stub), int(frame.read_register("rsp"))
        if depth is None or site in (None, int(frame.read_register("rip"))):
            return None
        if pc == stub + STUB_HEAD and self.word(sp - 24) != stub + STUB_BACK:
            depth = RED_ZONE  # where it goes is a call, which pushes a word more
        # of outer frames gdb takes the address for one behind a call
        return self.caller(frame, site + 1, sp + depth, {r: frame.read_register(r) for r in REGISTERS})

    def from_call(self, frame, pc):
        begin, end = (int(gdb.parse_and_eval(f"(long)&{name}")) for name in ("agent_call_away", "agent_call_back"))
        if not begin < pc <= end:
            return None
        return self.from_hit(frame, self.word(int(frame.read_register("rbx")) + CALL_FRAME))

    def from_program(self, frame, pc):
        stacks = int(gdb.parse_and_eval("(long)&agent_stacks"))
        stack = int(frame.read_register("rsp")) - stacks >> STACK_SHIFT
        if not 0 <= stack < STACKS or "No symbol" not in gdb.execute(f"info symbol {pc:#x}", to_string=True):
            return None  # the agent's own code is in its file
        hits = (self.word(stacks + (stack << STACK_SHIFT) + at) for at in STACK_NOTES)
        return next(filter(None, (self.from_hit(frame, hit) for hit in hits)), None)

    def from_hit(self, frame, hit):
        if not hit or self.word(hit) != hit + FRAME_MARK:
            return None
        registers = {r: self.word(hit + FRAME_REGS + 8 * i) for i, r in enumerate(REGISTERS)}
        site = self.word(hit + FRAME_IP)
        if signed(memory(hit + FRAME_DISTANCE, 8)) not in RETURNS:  # a return's is behind a call
            site += 1
        return self.caller(frame, site, self.word(hit + FRAME_SP), registers)

    @staticmethod
    def word(address):
        return int.from_bytes(memory(address, 8), "little")

    def __call__(self, frame):
        pc = int(frame.read_register("rip"))
        for way in self.from_stub, self.from_call, self.from_program:
            try:
                found = way(frame, pc)
            except (gdb.error, gdb.MemoryError):  # nothing is there, or no agent
                continue
            if found:
                return found
        return None


PASSES, ASLEEP = 80, 88  # offsets of words in the page
WAKING = 2.0  # seconds


def pages(pid):
    with open(f"/proc/{pid}/maps") as maps:
        return [int(line.split("-")[0], 16) for line in maps if "memfd:ebpfrt-stats" in line and line.split()[2] == "00000000"]


def word(address):
    return int.from_bytes(bytes(gdb.selected_inferior().read_memory(address, 8)), "little")


def keep_awake():
    """Before anything of the process runs: then its probes are where they were."""
    try:
        for page in pages(gdb.selected_inferior().pid):
            if word(page + PASSES) != 1:
                gdb.selected_inferior().write_memory(page + PASSES, (1).to_bytes(8, "little"))
            end = time.monotonic() + WAKING
            while word(page + ASLEEP) and time.monotonic() < end:
                time.sleep(0.01)
            if word(page + ASLEEP):
                gdb.write("ebpfrt: the probes sleep until gdb leaves: the process has run since gdb came\n", gdb.STDERR)
    except (OSError, gdb.error, gdb.MemoryError):
        pass


def on_stop(event):
    load_symbols()
    keep_awake()


gdb.execute("handle SIGTRAP nostop noprint pass", to_string=True)
gdb.execute("set displaced-stepping off")
RefuseStep()
register_unwinder(None, HitUnwinder(), replace=True)
for command in ("step", "next", "stepi", "nexti"):
    gdb.execute(f"define hook-{command}\nebpfrt-refuse-step\nend")
gdb.events.stop.connect(on_stop)
gdb.events.breakpoint_created.connect(check_breakpoint)
gdb.events.breakpoint_modified.connect(check_breakpoint)
load_symbols()
if gdb.selected_inferior().pid:
    keep_awake()
