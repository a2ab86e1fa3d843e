/* SPDX-License-Identifier: BSD-2-Clause */
/* Perf buffers: a sample goes into the ring that the array holds for a CPU, as each process has it.
 */
#include "core/run/helper_impl.h"
#include "core/run/map/perf.h"

EBPF_HELPER(perf_event_output)
{
	struct ebpf_map *array = ebpf_arg_map(r2, run), *ring;
	u64 index = r3 & BPF_F_INDEX_MASK;

	if (!array || array->meta.type != BPF_MAP_TYPE_PERF_EVENT_ARRAY || r3 & ~BPF_F_INDEX_MASK)
		return (u64)-EINVAL;
	if (index == BPF_F_CURRENT_CPU)
		index = osl_cpu();
	if (index >= array->meta.max_entries || r5 > EBPF_PERF_MAX_SAMPLE)
		return (u64)-E2BIG;
	ring = run->env && run->env->perf_ring ? run->env->perf_ring(array, (u32)index) : NULL;
	if (!ring)
		return (u64)-ENOENT;
	return (u64)ebpf_perf_output(ring, (const void *)r4, (u32)r5, NULL, 0);
}
