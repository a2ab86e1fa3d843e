#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that nobody here wrote, where jumps stand.
certain=" nginx real"
scripts="nginx real many_real"
. "${top_srcdir:-.}/tests/integration/jumped_lib.sh"
