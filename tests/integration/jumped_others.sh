#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes, libraries, exceptions and hazards, where jumps stand.
certain=" clones load many"
scripts="clones brood execs handlers load many reuse left kinds hazards generated"
. "${top_srcdir:-.}/tests/integration/jumped_lib.sh"
