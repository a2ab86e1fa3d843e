#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A stranger's libbpf program on this surface: every way to attach, perf_buffer, tail calls, links, statistics.
. "${top_srcdir:-.}/tests/integration/lib.sh"
exec ebpfrt exec -- "$bin/stranger" "$bin/stranger.bpf.o"
