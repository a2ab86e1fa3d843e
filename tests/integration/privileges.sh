#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The tests that follow mean something only if nothing here has privileges.
no_probe_needed=1
. "${top_srcdir:-.}/tests/integration/lib.sh"
plan 4

[ "$(id -u)" != 0 ] && ok "not root" || not_ok "not root"
is "no capability is in effect" "$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)" 0000000000000000
is "nor could one be had" "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' /proc/self/status)" 1
if sh -c 'echo 1 >/proc/sys/kernel/sysrq' 2>/dev/null; then not_ok "root's files can't be written"; else ok "root's files can't be written"; fi
