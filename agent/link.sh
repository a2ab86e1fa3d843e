#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Link the agent: OBJCOPY FILE COMMAND...
# Unwinders find its call frame information by the program header. Under its usual name valgrind reads the section, too, of every
# program that is run with the agent preloaded, and doesn't know expressions that say more than sums: it complains, and ends.
objcopy=$1
file=$2
shift 2
"$@" && "$objcopy" --rename-section .eh_frame=.unwind "$file"
