/* SPDX-License-Identifier: BSD-2-Clause */
/* What kfuncs.bpf.c finds out, for kfuncs.c to print: a number each. */
#pragma once

#define RESULTS(X)                                                                                 \
	X(runs)                                                                                    \
	X(for_sum)                                                                                 \
	X(for_empty)                                                                               \
	X(for_backwards)                                                                           \
	X(for_too_many)                                                                            \
	X(for_negative)                                                                            \
	X(for_break)                                                                               \
	X(for_nested)                                                                              \
	X(repeat)                                                                                  \
	X(for_bounded)                                                                             \
	X(bits_word)                                                                               \
	X(bits_words)                                                                              \
	X(bits_null)                                                                               \
	X(bits_none)                                                                               \
	X(bits_too_many)                                                                           \
	X(bits_wrong)                                                                              \
	X(in_subprogram)                                                                           \
	X(in_callback)                                                                             \
	X(in_rcu)                                                                                  \
	X(absent)                                                                                  \
	X(behind_same)                                                                             \
	X(behind_arg)                                                                              \
	X(behind_copy)                                                                             \
	X(mem)                                                                                     \
	X(mem_flags)                                                                               \
	X(mem_null_read)                                                                           \
	X(mem_null_data)                                                                           \
	X(mem_null_size)                                                                           \
	X(mem_null_adjust)                                                                         \
	X(mem_null_clone)                                                                          \
	X(mem_null_is_null)                                                                        \
	X(is_null)                                                                                 \
	X(is_rdonly)                                                                               \
	X(size)                                                                                    \
	X(read)                                                                                    \
	X(read_value)                                                                              \
	X(read_end)                                                                                \
	X(read_beyond)                                                                             \
	X(read_far)                                                                                \
	X(read_flags)                                                                              \
	X(write)                                                                                   \
	X(write_value)                                                                             \
	X(write_beyond)                                                                            \
	X(write_flags)                                                                             \
	X(write_overlap)                                                                           \
	X(write_overlap_value)                                                                     \
	X(data)                                                                                    \
	X(data_beyond)                                                                             \
	X(slice)                                                                                   \
	X(slice_beyond)                                                                            \
	X(adjust)                                                                                  \
	X(adjust_size)                                                                             \
	X(adjust_value)                                                                            \
	X(adjust_backwards)                                                                        \
	X(adjust_beyond)                                                                           \
	X(clone)                                                                                   \
	X(clone_size)                                                                              \
	X(clone_value)                                                                             \
	X(ring)                                                                                    \
	X(ring_write)                                                                              \
	X(ring_size)                                                                               \
	X(ring_flags)                                                                              \
	X(ring_too_big)                                                                            \
	X(ring_huge)                                                                               \
	X(ring_records)                                                                            \
	X(ring_sum)

struct value {
	unsigned long long words[8];
};

#define MEMBER(name) long long name;
struct results {
	RESULTS(MEMBER)
};
