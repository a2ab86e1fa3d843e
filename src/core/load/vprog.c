/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verification: find a proof, then check it. Whatever the first phase says, a program is accepted
 * only when the second does, and what is said about it is what the second found; but where an
 * address of the context becomes a number, which is no danger, only the first one looks.
 */
#include "core/load/vprog.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "core/load/vstate.h"

int ebpf_verify(const struct ebpf_vprog *prog, struct ebpf_log *log, struct ebpf_facts *facts)
{
	_cleanup_free_ struct ebpf_facts *claimed = calloc(1, sizeof(*claimed));
	struct ebpf_proof proof = {0};
	int r;

	if (!claimed)
		return -ENOMEM;
	r = ebpf_explore(prog, log, &proof, claimed);
	if (!r)
		r = ebpf_check_proof(prog, &proof, log, facts);
	/* No memory is safe because of that: it is all that the first phase is believed. */
	for (u32 i = 0; !r && i < prog->ninsns; i++)
		facts->insn[i] |= claimed->insn[i] & EBPF_FACT_CTX_ESCAPES;
	ebpf_facts_free(claimed);
	ebpf_proof_free(&proof);
	return r;
}
