/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativesite.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "x86insn.h"

#define MOVE_MAX 32			/* bytes from the function's first one */
#define FUNCTION_MAX (1u << 20)		/* bytes of a function that are decoded */
#define TEXT_MAX (128ull << 20)		/* bytes of code that are looked through */
#define BLOCK 65536u
#define JUMP_MAX 6 /* bytes of a jump: 0f 8x, 32 bits */

/* Bytes from a virtual address to the end of its executable segment in the file; 0: there is none. */
static uint64_t code_at(const struct rt_elf *elf, uint64_t vaddr)
{
	uint64_t offset, avail;

	for (size_t i = 0; i < elf->n_loads; i++) {
		const struct rt_elf_load *load = &elf->load[i];

		if (vaddr < load->vaddr || vaddr - load->vaddr >= load->filesz)
			continue;
		return load->flags & PF_X && !rt_elf_offset(elf, vaddr, &offset, &avail) ? avail : 0;
	}
	return 0;
}

/* The function's code (caller frees), or NULL: not there, too large, or its size is not known. */
static uint8_t *read_code(struct rt_elf *elf, const struct rt_native_place *place)
{
	uint8_t *code;

	if (!place->size || place->size > FUNCTION_MAX || place->size > code_at(elf, place->vaddr))
		return NULL;
	code = malloc(place->size);
	if (code && rt_elf_read_vaddr(elf, place->vaddr, code, place->size)) {
		free(code);
		code = NULL;
	}
	return code;
}

/* Where the site would be: the first instruction that is emulated, behind quiet ones. 0: stay. */
static uint32_t wanted_move(const uint8_t *bytes, size_t len)
{
	struct rt_x86_insn insn;

	for (uint32_t at = 0; at < len && at <= MOVE_MAX; at += insn.len) {
		if (!rt_x86_decode(bytes + at, len - at, &insn))
			return 0;
		if (insn.emulated)
			return at;
		if (!insn.quiet)
			return 0;
	}
	return 0;
}

/* Decodes the function: may a jump in it lead behind its first byte and up to `move`? To its first byte: *loop. */
static bool jumps_in(const uint8_t *code, uint64_t size, uint32_t move, bool *loop)
{
	struct rt_x86_insn insn;
	bool in = false;

	for (uint64_t at = 0; at < size; at += insn.len) {
		int64_t target;

		if (!rt_x86_decode(code + at, size - at, &insn) || insn.flow == RT_X86_INDIRECT)
			return true;
		if (insn.flow != RT_X86_JUMP && insn.flow != RT_X86_CALL)
			continue;
		target = (int64_t)at + insn.len + insn.rel;
		*loop |= !target && insn.flow == RT_X86_JUMP;
		in |= target > 0 && target <= move;
	}
	return in;
}

int rt_native_place(struct rt_elf *elf, struct rt_native_place *place)
{
	uint8_t first[MOVE_MAX + RT_X86_MAX], *code;
	uint64_t avail = code_at(elf, place->vaddr);
	size_t len = avail < sizeof(first) ? avail : sizeof(first);
	struct rt_x86_insn insn;
	bool loop = false;

	if (place->size && place->size < len)
		len = place->size;
	if (elf->machine != EM_X86_64 || !len || rt_elf_read_vaddr(elf, place->vaddr, first, len) || !rt_x86_decode(first, len, &insn))
		return -ENOEXEC;
	place->move = insn.emulated ? 0 : wanted_move(first, len);
	place->stepped = !insn.emulated && !place->move;
	code = read_code(elf, place);
	if (!code || jumps_in(code, place->size, place->move, &loop)) {
		place->stepped |= place->move != 0;
		place->move = 0;
	}
	place->loop = loop && !place->move;
	free(code);
	return 0;
}

/* ---- jumps from elsewhere ---- */

/* If the bytes could be a jump or a call, its length, and its distance in *rel. */
static size_t maybe_jump(const uint8_t *b, size_t avail, int64_t *rel)
{
	int32_t far;

	if (avail >= 2 && (b[0] == 0xeb || (b[0] & 0xf0) == 0x70 || (b[0] & 0xfc) == 0xe0)) {
		*rel = (int8_t)b[1];
		return 2;
	}
	if (avail >= 5 && (b[0] == 0xe8 || b[0] == 0xe9)) {
		memcpy(&far, b + 1, sizeof(far));
		*rel = far;
		return 5;
	}
	if (avail >= 6 && b[0] == 0x0f && (b[1] & 0xf0) == 0x80) {
		memcpy(&far, b + 2, sizeof(far));
		*rel = far;
		return 6;
	}
	return 0;
}

/* The moved functions, and the range in which all their sites are. */
struct moved {
	struct rt_native_place *places;
	size_t n;
	uint64_t low, high;
};

static void take_back(struct rt_native_place *place)
{
	place->move = 0;
	place->stepped = true;
}

static void check_jump(const struct moved *m, uint64_t from, uint64_t target)
{
	if (target < m->low || target > m->high)
		return;
	for (size_t i = 0; i < m->n; i++) {
		struct rt_native_place *p = &m->places[i];

		/* in the function itself they were decoded */
		if (p->move && target > p->vaddr && target - p->vaddr <= p->move && !(from >= p->vaddr && from - p->vaddr < p->size))
			take_back(p);
	}
}

static int scan_segment(struct rt_elf *elf, const struct rt_elf_load *load, const struct moved *m, uint8_t *block)
{
	for (uint64_t at = 0; at < load->filesz; at += BLOCK) {
		uint64_t left = load->filesz - at;
		size_t n = left < BLOCK + JUMP_MAX - 1 ? left : BLOCK + JUMP_MAX - 1, mine = left < BLOCK ? left : BLOCK;
		int code = rt_elf_read(elf, load->offset + at, block, n);

		if (code)
			return code;
		for (size_t i = 0; i < mine; i++) {
			uint64_t from = load->vaddr + at + i;
			int64_t rel = 0;
			size_t len = maybe_jump(block + i, n - i, &rel);

			if (len)
				check_jump(m, from, from + len + (uint64_t)rel);
		}
	}
	return 0;
}

int rt_native_places_confirm(struct rt_elf *elf, struct rt_native_place *places, size_t n)
{
	struct moved m = {.places = places, .n = n, .low = UINT64_MAX};
	uint64_t total = 0;
	uint8_t *block;
	int code = 0;

	for (size_t i = 0; i < n; i++) {
		if (!places[i].move)
			continue;
		m.low = places[i].vaddr < m.low ? places[i].vaddr : m.low;
		m.high = places[i].vaddr + places[i].move > m.high ? places[i].vaddr + places[i].move : m.high;
	}
	if (m.low == UINT64_MAX)
		return 0;
	for (size_t i = 0; i < elf->n_loads; i++)
		total += elf->load[i].flags & PF_X ? elf->load[i].filesz : 0;
	block = total > TEXT_MAX ? NULL : malloc(BLOCK + JUMP_MAX);
	for (size_t i = 0; block && !code && i < elf->n_loads; i++)
		if (elf->load[i].flags & PF_X)
			code = scan_segment(elf, &elf->load[i], &m, block);
	for (size_t i = 0; (!block || code) && i < n; i++)
		if (places[i].move)
			take_back(&places[i]);
	free(block);
	return code;
}

/* ---- who calls whom ---- */

bool rt_native_leads_to(struct rt_elf *elf, const struct rt_native_place *place, uint64_t target)
{
	uint8_t *code = read_code(elf, place);
	struct rt_x86_insn insn;
	bool found = false, known = code != NULL;
	int64_t wanted = (int64_t)(target - place->vaddr), rel;
	uint64_t at;

	for (at = 0; known && !found && at < place->size; at += insn.len) {
		known = rt_x86_decode(code + at, place->size - at, &insn);
		if (known)
			found = (insn.flow == RT_X86_JUMP || insn.flow == RT_X86_CALL) && (int64_t)at + insn.len + insn.rel == wanted;
	}
	for (at = 0; code && !known && !found && at < place->size; at++) {
		size_t len = maybe_jump(code + at, place->size - at, &rel);

		found = len && (int64_t)(at + len) + rel == wanted;
	}
	free(code);
	return found;
}
