#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh SOURCE BUILD [NAME...]: proves what is claimed of the scalar domain (prove.py), all of it or what is named.
# Says why and ends well where clang or Z3's Python module is missing. PROVE_SECONDS: for one question; PROVE_JOBS.
set -eu
source=$1
build=$2
shift 2
skip() {
	echo "prove: skipped: $*"
	exit 0
}

command -v "${CLANG:-clang}" >/dev/null 2>&1 || skip "there is no clang; install clang"
# the distribution's Python has the distribution's module, whatever comes first in PATH
for python in python3 /usr/bin/python3; do
	"$python" -c 'import z3' >/dev/null 2>&1 && break
	python=
done
[ -n "$python" ] || skip "Python has no module z3; install python3-z3"

mkdir -p "$build"
ir=$build/claims.ll
# everything in one function, nothing in vectors; overflow of signed numbers wraps, as it does in the product's claims
"${CLANG:-clang}" -std=gnu11 -O2 -fwrapv -fno-vectorize -fno-slp-vectorize -mllvm -inline-threshold=1000000 \
	-I"$source/src" -I"$source" -S -emit-llvm -o "$ir" "$source/tests/prove/claims_ir.c"
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$source/tests/prove/prove.py" "$ir" "$@"
