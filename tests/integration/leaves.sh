#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Signals, faults, forks, threads and debuggers, where stubs call leaves: what other tests show with programs that the agent
# runs is true of hits that it knows nothing of.
object=leaf
certain=" signals masks"
scripts="signals masks jumps sent queued hazards over"
. "${top_srcdir:-.}/tests/integration/jumped_lib.sh"
