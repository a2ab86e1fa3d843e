#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Probes on all instructions of generated functions that jump into each of them; GENERATED_SEED=N generates the same again.
# EBPFRT_PROBE, when it is set, says how probes are made.
. "${top_srcdir:-.}/tests/integration/lib.sh"
seed=${GENERATED_SEED:-$(date +%s)}
python3 "$stage/integration/generate.py" "$seed" 40 >generated.s
if ! cc -shared -nostdlib -Wl,-z,separate-code -o "$PWD/generated.so" generated.s 2>cc.err; then
	echo "1..0 # SKIP no assembler for it: $(head -1 cc.err)"
	exit 0
fi
exec ebpfrt exec -- "$bin/generated" "$bin/offsets.bpf.o" "$PWD/generated.so" "$seed"
