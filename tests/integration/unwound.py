# SPDX-License-Identifier: BSD-2-Clause
"""gdb walks the stack at each instruction of a call: `source` this in gdb, attached to unwound, with $begins where the call is.

Says "steps N gdb G": at so many the true callers were found; and where they weren't, one line each: the instruction."""
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
missed = []
while gdb.newest_frame().pc() != ends and steps < 5000:
    pcs = walk()
    at = len(pcs) - len(callers)
    if at > 0 and pcs[at:] == callers and begins <= pcs[at - 1] <= ends:
        good += 1
    else:
        missed.append("%x %s: %s" % (pcs[0], gdb.newest_frame().name(), " ".join("%x" % pc for pc in pcs)))
    steps += 1
    gdb.execute("stepi", to_string=True)
print(f"steps {steps} gdb {good}")
for m in missed:
    print("missed:", m)
