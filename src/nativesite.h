/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativesite.h - at which instruction of a function an entry probe goes.
 *
 * At the first, unless the kernel would single-step it and a later one is as good: only instructions that change no memory, nor the stack pointer, nor a register that arguments are passed in
 * may lie before it (endbr64, nops, tests, moves to other registers), and no jump may lead to it or in between. That is proven by decoding the whole function,
 * in which nothing may be unknown and no jump indirect, and by looking at every byte outside of it that could be a jump there. Where the proof fails, for whatever reason, the first it is.
 */
#ifndef RT_NATIVESITE_H
#define RT_NATIVESITE_H

#include "elffile.h"

struct rt_native_place {
	uint64_t vaddr, size; /* in: link-time address of the function, and its size (0: not known) */
	uint32_t move;	      /* out: bytes from there to the site */
	bool stepped;	      /* out: the kernel may single-step the site */
	bool loop;	      /* out: a jump in the function leads to its first instruction, which is the site */
};

/* Returns 0; -ENOEXEC: no function can begin there (not in an executable segment, no instruction). */
int rt_native_place(struct rt_elf *elf, struct rt_native_place *place);

/* The second half of the proof, for all functions of a file that rt_native_place was asked about: takes moves back. Always 0 or an error of reading, with all moves taken back. */
int rt_native_places_confirm(struct rt_elf *elf, struct rt_native_place *places, size_t n);

/* Does the code of the function `place` hold a call or a jump to `target`? Where the code cannot be decoded, any bytes that look like one count. */
bool rt_native_leads_to(struct rt_elf *elf, const struct rt_native_place *place, uint64_t target);

#endif
