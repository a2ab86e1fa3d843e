#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every helper, in a program that runs inside another process; global data with constants and initial values.
. "${top_srcdir:-.}/tests/integration/lib.sh"
exec ebpfrt exec -- "$bin/helpers" "$bin/helpers.bpf.o"
