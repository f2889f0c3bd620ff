/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * x86insn.h - the length of x86-64 instructions, and the little that must be known of the first ones of a function.
 *
 * Source: Intel's Software Developer's Manual, volume 2: chapter 2 (instruction format, VEX, EVEX), appendix A (opcode maps). What is not in them, what only AMD
 * has, privileged moves, branches with an operand-size prefix (which processors disagree about) and APX are refused, not guessed.
 */
#ifndef RT_X86INSN_H
#define RT_X86INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RT_X86_MAX 15 /* bytes of an instruction */

enum rt_x86_flow {
	RT_X86_NEXT = 0, /* goes on to the next instruction, or does not return (ud2, int3, hlt) */
	RT_X86_CALL,	 /* call to a target in the instruction */
	RT_X86_JUMP,	 /* jump, also conditional, to a target in the instruction */
	RT_X86_INDIRECT, /* jump to a target that is not in the instruction */
	RT_X86_RETURN,
};

struct rt_x86_insn {
	uint8_t len; /* bytes, 1..15 */
	uint8_t flow;
	bool emulated; /* a breakpoint here costs no single step, on all kernels that are supported */
	bool quiet;    /* changes no memory, nor %rsp, nor a register that arguments are passed in; and goes on to the next */
	int32_t rel;   /* target: from the end of the instruction, for RT_X86_CALL and RT_X86_JUMP */
};

/* The instruction at `bytes`, of which `avail` may be read. False: not known, or cut off; *insn is untouched then. */
bool rt_x86_decode(const uint8_t *bytes, size_t avail, struct rt_x86_insn *insn);

#endif
