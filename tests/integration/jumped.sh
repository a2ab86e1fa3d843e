#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Signals and faults, where jumps stand.
certain=" storm signals masks"
scripts="hot storm offsets signals masks faults jumps sent queued"
. "${top_srcdir:-.}/tests/integration/jumped_lib.sh"
