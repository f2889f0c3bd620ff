/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * usdt.h - static probe sites that a file describes in .note.stapsdt (SystemTap's <sys/sdt.h>): ELF notes, owner "stapsdt", type 3; descriptor: address of the site, address of
 * .stapsdt.base when it was linked, address of a 16-bit semaphore (0: none), then provider, name and arguments, each ended by a NUL. prelink moves the code and
 * .stapsdt.base alike and leaves notes as they are, so that the difference of the two base addresses is added to the others.
 */
#ifndef RT_USDT_H
#define RT_USDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elffile.h"

#define RT_USDT_SITES 8		 /* of one name; a file with more is refused: calls would be missed */
#define RT_USDT_NOTES_MAX 262144 /* bytes of notes; CPython has some 1,000 */

/* Link-time addresses, as the note has them. */
struct rt_usdt_note {
	uint64_t pc, base, semaphore;
};

/* The notes of provider:name in `notes`, which may be hostile. Returns how many there are (those beyond `max` are only counted), or -ENOEXEC: malformed. */
int rt_usdt_find(const void *notes, size_t len, const char *provider, const char *name, struct rt_usdt_note *out, size_t max);

/* Offsets in the file. */
struct rt_usdt_site {
	uint64_t offset;    /* of the site, a nop in an executable segment */
	uint64_t semaphore; /* of its 16-bit counter in a writable segment; 0: it has none */
};

struct rt_usdt {
	struct rt_usdt_site site[RT_USDT_SITES];
	size_t n;
};

/* Returns 0; -ENOENT: no such probe; -ENOEXEC, -E2BIG, -EIO: there is one that cannot be used. Sites that are no nop are refused. */
int rt_usdt_read(struct rt_elf *elf, const char *provider, const char *name, struct rt_usdt *out);

#endif
