// SPDX-License-Identifier: BSD-2-Clause
/*
 * USDT probes as compilers and sys/sdt.h leave them, written by hand so that a test decides where
 * each argument is and of which instructions the site consists: a note names the site, the counter
 * and the arguments.
 */
#pragma once

#define NOP "nop\n"
#define NOP5 ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
#define NOP10 ".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00\n"

#define USDT_BASE                                                                                  \
	".ifndef _.stapsdt.base\n"                                                                 \
	".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"                    \
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"                                           \
	"_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n.popsection\n.endif\n"

/* what stands at the site, its provider, name, counter (a symbol, or 0) and arguments */
#define USDT(code, provider, name, sema, args)                                                     \
	"990: " code ".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n"                       \
	".4byte 992f-991f, 994f-993f, 3\n991: .asciz \"stapsdt\"\n992: .balign 4\n"                \
	"993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " sema "\n"                               \
	".asciz \"" provider "\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n"                      \
	"994: .balign 4\n.popsection\n" USDT_BASE

#define USDT_COUNTER(name) unsigned short volatile name __attribute__((section(".probes"), used))
