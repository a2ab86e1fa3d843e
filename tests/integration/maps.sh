#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The map types a program and its loader share: what each side does is seen by the other. As root `bin/maps OBJECT` alone
# asks the kernel the same.
. "${top_srcdir:-.}/tests/integration/lib.sh"
exec ebpfrt exec -- "$bin/maps" "$bin/maps.bpf.o"
