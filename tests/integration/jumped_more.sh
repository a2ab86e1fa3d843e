#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What others show of targets without a loader, of text that is hard to write, of sessions, other namespaces, executed programs and
# shared locks, where jumps stand.
certain=" static walls session namespaces locks"
scripts="static walls session namespaces locks reads loader exec_target unseen"
. "${top_srcdir:-.}/tests/integration/jumped_lib.sh"
