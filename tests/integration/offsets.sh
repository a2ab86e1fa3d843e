#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A probe on every instruction of a function, and none between them.
. "${top_srcdir:-.}/tests/integration/lib.sh"
exec ebpfrt exec -- "$bin/offsets" "$bin/offsets.bpf.o"
