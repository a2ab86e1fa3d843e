#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# `make install` into a staging directory, and what `make installcheck` says about it.
set -u
stage=$(mktemp -d) || exit 99
trap 'rm -rf "$stage"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL
make -C "${top_builddir:-.}" -s DESTDIR="$stage" install >"$stage/log" 2>&1 || {
	echo "Bail out! make install failed"
	sed 's/^/# /' "$stage/log"
	exit 99
}
rm -f "$stage/log"
make -C "${top_builddir:-.}" -s --no-print-directory DESTDIR="$stage" installcheck
