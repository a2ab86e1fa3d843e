#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
#
# prove.py IR [NAME...]: proves what tests/prove/claims_ir.c claims of the scalar domain, at 64 bits.
#
# The IR is clang's, of the very sources that are built into the product. Every function prove_*() in
# it is translated to a formula over bit-vectors (ir.py) and its negation given to Z3: unsatisfiable
# means that no arguments make it return false. Functions refute_*() have a planted bug; for those a
# counterexample must be found, or the machinery shows nothing.
#
# Products and quotients are left uninterpreted: what is said of them are lemmas (lemmas.py), which
# are proved, too, over the integers.
#
# Last line: "proved N of N". Exit status 1 when something is not.
import multiprocessing
import os
import sys
import time

import z3

import ir
import lemmas

PARTS = 11
TIMEOUT = int(os.environ.get("PROVE_SECONDS", "600"))


def solve(conditions):
    solver = z3.Then("simplify", "propagate-values", "solve-eqs", "simplify", "bit-blast", "sat").solver()
    solver.set("timeout", TIMEOUT * 1000)
    for c in conditions:
        solver.add(c)
    return solver, solver.check()


def show(model, result):
    words = []
    for name, term in sorted(result.inputs.items()):
        value = model.eval(term, model_completion=True)
        words.append("%s=%#x" % (name, value.as_long()))
    return " ".join(words)


MODULE = None


def goals(result):
    """The function's result, for each value of its argument that says which part of it is asked for."""
    if "arg4" not in result.inputs:
        return [result.value]
    part = result.inputs["arg4"]
    return [z3.substitute(result.value, (part, z3.BitVecVal(i, 32))) for i in range(PARTS)]


def decide(given, groups, goal):
    """With as few facts as will do: a model that not all of them had a say in shows nothing."""
    given = list(given)
    for facts in groups:
        given += facts
        solver, answer = solve(given + [z3.Not(goal)])
        if answer == z3.unsat:
            break
    return solver, answer


def claim(name):
    began = time.time()
    result = MODULE.translate(name)
    groups = lemmas.instances(result)
    verdict, detail = "proved", ""
    for i, goal in enumerate(goals(result)):
        solver, answer = decide(result.assumptions, groups, goal)
        if answer == z3.sat:
            verdict, detail = "refuted", "part %d: %s" % (i, show(solver.model(), result))
            break
        if answer == z3.unknown:
            verdict, detail = "unknown", "part %d: %s" % (i, solver.reason_unknown())
            break
    return name, verdict, detail, time.time() - began


def lemma(job):
    began = time.time()
    name, solver = job, lemmas.solver(job)
    solver.set("timeout", TIMEOUT * 1000)
    answer = solver.check()
    verdict = "proved" if answer == z3.unsat else "refuted" if answer == z3.sat else "unknown"
    return name, verdict, "", time.time() - began


def run(kind, jobs, expected, processes):
    good = 0
    with multiprocessing.Pool(processes) as pool:
        for name, verdict, detail, seconds in pool.imap_unordered(kind, jobs, 1):
            good += verdict == expected
            remark = "" if verdict == expected else " (expected: %s)" % expected
            print("%-32s %s%s %.1f s %s" % (name, verdict, remark, seconds, detail), flush=True)
    return good


def main():
    global MODULE
    path, wanted = sys.argv[1], sys.argv[2:]
    MODULE = ir.Module(path)  # the workers are forked and have it, too
    names = [n for n in MODULE.functions() if not wanted or n in wanted]
    claims = [n for n in names if n.startswith("prove_")]
    planted = [n for n in names if n.startswith("refute_")]
    processes = int(os.environ.get("PROVE_JOBS", os.cpu_count() or 1))
    named = [n for n in lemmas.names() if not wanted or n in wanted]
    good = run(claim, claims, "proved", processes)
    good += run(lemma, named, "proved", processes)
    total = len(claims) + len(named)
    refuted = run(claim, planted, "refuted", processes)
    print("refuted %d of %d planted bugs" % (refuted, len(planted)))
    print("proved %d of %d" % (good, total))
    return 0 if good == total and refuted == len(planted) else 1


if __name__ == "__main__":
    sys.exit(main())
