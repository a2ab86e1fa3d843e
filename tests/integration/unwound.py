# SPDX-License-Identifier: BSD-2-Clause
"""gdb walks the stack at each instruction of a call: `source` this in gdb, attached to unwound, with $begins where the call is.

Says "steps N gdb G": at so many the true callers were found; where they weren't, one line each: the instruction; and "paired"
when the call and the return of a probed return were ones that the CPU expects: by a call before a stub, by agent_ret_home."""
import gdb


def walk():
    pcs, frame = [], gdb.newest_frame()
    while frame is not None and len(pcs) < 64:
        pcs.append(frame.pc())
        try:
            frame = frame.older()
        except gdb.error:
            break
    return pcs


begins = int(gdb.parse_and_eval("(long)$begins"))
# its own steps are not the program's
gdb.execute("handle SIGTRAP stop noprint nopass", to_string=True)
gdb.execute("define hook-stepi\nend")
gdb.execute(f"tbreak *{begins:#x}", to_string=True)
gdb.execute("continue", to_string=True)
callers, ends = walk()[1:], begins + 5
steps = good = 0
missed, ways = [], set()
while gdb.newest_frame().pc() != ends and steps < 5000:
    pcs = walk()
    name = gdb.newest_frame().name()
    ways.add("call" if name == "agent_ret_stubs" and pcs[0] % 16 == 12 else name)
    at = len(pcs) - len(callers)
    if at > 0 and pcs[at:] == callers and begins <= pcs[at - 1] <= ends:
        good += 1
    else:
        missed.append("%x %s: %s" % (pcs[0], name, " ".join("%x" % pc for pc in pcs)))
    steps += 1
    gdb.execute("stepi", to_string=True)
print(f"steps {steps} gdb {good}")
if {"call", "agent_ret_home"} <= ways:
    print("paired")
for m in missed:
    print("missed:", m)
