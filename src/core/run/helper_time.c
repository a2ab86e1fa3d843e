/* SPDX-License-Identifier: BSD-2-Clause */
/* Clocks. */
#include "core/run/helper_impl.h"

EBPF_HELPER(ktime_get_ns)
{
	return osl_ktime_ns();
}

EBPF_HELPER(ktime_get_boot_ns)
{
	return osl_ktime_boot_ns();
}

EBPF_HELPER(ktime_get_coarse_ns)
{
	return osl_ktime_coarse_ns();
}

EBPF_HELPER(ktime_get_tai_ns)
{
	return osl_ktime_tai_ns();
}

EBPF_HELPER(jiffies64)
{
	return osl_ticks();
}
