/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verdict: see verdict.h. The reason is the last line that is neither an instruction, a state
 * nor a figure; the place is the last source line before it. A table has a sentence for what people
 * meet most.
 */
#include "cli/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/macros.h"

static const struct {
	const char *part; /* of the reason */
	const char *advice;
} advices[] = {
	{"calling kernel function with BTF id 0 is not allowed",
	 "it is none of the kernel functions there are here; a function of the target may be "
	 "called "
	 "with --allow-call LIB:FUNC"},
	{"map_value_or_null",
	 "bpf_map_lookup_elem() may return NULL: test its result before it is used"},
	{"ringbuf_mem_or_null",
	 "bpf_ringbuf_reserve() may return NULL: test its result before it is used"},
	{"pointer arithmetic on map_value_or_null",
	 "test the pointer for NULL before adding to it"},
	{"mem_or_null", "the pointer may be NULL: test it before it is used"},
	{"invalid access to map value",
	 "the access is not inside the map's value for every value the index can have: compare the "
	 "index with the size first"},
	{"max value is outside of the allowed memory range",
	 "the index may be too large: compare it with the size of the memory first"},
	{"min value is outside of the allowed memory range",
	 "the index may be too small: compare it with the start of the memory first"},
	{"min value is negative",
	 "the index or length may be negative: make it unsigned, or test it"},
	{"unbounded min value",
	 "the index may be anything: compare it with a constant first, or mask it "
	 "(index &= SIZE - 1)"},
	{"unbounded memory access",
	 "the index or length has no upper bound: compare it with a constant first, or mask it "
	 "(index &= SIZE - 1)"},
	{"invalid mem access 'scalar'",
	 "the address is a plain number: memory of the process is read with bpf_probe_read_user()"},
	{"invalid mem access 'inv'",
	 "the address is a plain number: memory of the process is read with bpf_probe_read_user()"},
	{"invalid zero-sized read", "the length may be 0: test it first"},
	{"!read_ok", "the variable is used before it has a value on some path"},
	{"Unreleased reference",
	 "what was reserved is neither submitted nor discarded on some path to the end"},
	{"invalid bpf_context access", "the context has no such field, or it may not be written"},
	{"dereference of modified ctx ptr",
	 "read a field of the context through its own pointer, not a sum"},
	{"infinite loop detected",
	 "the loop does not end: bound it by a constant, or use bpf_loop()"},
	{"BPF program is too large",
	 "too many paths to look at: bound loops tighter, use bpf_loop(), or split the program"},
	{"sequence of 8193 jumps",
	 "too many branches at a time: use bpf_loop() for the loop, or split the program"},
	{"back-edge from insn", "the loop is not allowed for this program"},
	{"combined stack size",
	 "512 bytes of stack for all functions that call each other: move large "
	 "variables to a per-CPU array"},
	{"stack depth", "512 bytes of stack: move large variables to a per-CPU array"},
	{"invalid variable-offset",
	 "an index into the stack that is not known: bound it by the array's size"},
	{"invalid write to stack", "the write is outside the stack's 512 bytes or the variable"},
	{"invalid read from stack", "the read is outside the stack's 512 bytes or the variable"},
	{"unreachable insn", "code that nothing leads to: compile with -O2"},
	{"write into map forbidden", "the map is read-only for programs"},
	{"not allowed while holding a lock",
	 "unlock first: nothing is called between bpf_spin_lock() and "
	 "bpf_spin_unlock()"},
	{"bpf_spin_unlock is missing", "a path leaves with the lock held"},
	{"the proof does not hold", "the program may be fine, but it could not be shown: write the "
				    "part at that instruction in a "
				    "simpler way, and please report it with the object file"},
};

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

/* "12: (85) call ...", "12: R0=...", "from 8 to 12: ...": what the verifier sees, not what it says
 */
static bool is_trace(const char *line)
{
	size_t n = strspn(line, "0123456789");

	return (n && line[n] == ':') || starts(line, "from ") || starts(line, "; ");
}

static bool is_figure(const char *line)
{
	return starts(line, "processed ") || starts(line, "verification time") ||
	       starts(line, "stack depth ") || starts(line, "Validating ") ||
	       starts(line, "func#") || starts(line, "mark_precise:") ||
	       strstr(line, "PROG LOAD LOG");
}

static bool is_reason(const char *line)
{
	return *line && !is_trace(line) && !is_figure(line);
}

static const char *advice_for(const char *line)
{
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++)
		if (strstr(line, advices[i].part))
			return advices[i].advice;
	return NULL;
}

void verdict_find(const char *const *lines, u32 n, struct verdict *out)
{
	*out = (struct verdict){0};
	for (u32 i = n; i-- > 0;) {
		if (starts(lines[i], "; ") && strstr(lines[i], " @ ")) {
			out->source = lines[i] + 2;
			return;
		}
		if (!is_reason(lines[i]))
			continue;
		/* the first of several lines that belong together says most */
		out->word = lines[i];
		out->advice = advice_for(lines[i]) ? advice_for(lines[i]) : out->advice;
	}
}
