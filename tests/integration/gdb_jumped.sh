#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What gdb.sh shows, where jumps stand.
EBPFRT_PROBE=auto
export EBPFRT_PROBE
. "${top_srcdir:-.}/tests/integration/gdb.sh"
