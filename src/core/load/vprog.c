/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verification: find a proof, then check it. Whatever the first phase says, a program is accepted
 * only when the second does, and what is said about it is what the second found.
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
	ebpf_facts_free(claimed);
	ebpf_proof_free(&proof);
	return r;
}
