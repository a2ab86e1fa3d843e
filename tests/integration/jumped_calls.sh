#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Returns, what is kept, and what comes later, where jumps stand.
certain=" state churn"
scripts="returns state actions windows usdt later churn"
. "${top_srcdir:-.}/tests/integration/jumped_lib.sh"
