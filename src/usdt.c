/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "usdt.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OWNER "stapsdt"
#define TYPE 3
#define NOP 0x90 /* x86-64 */

static size_t rt_usdt_align(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* Is the text at *p `want`? Moves *p behind its NUL. -1: it has none before `end`. */
static int rt_usdt_text(const char **p, const char *end, const char *want)
{
	const char *text = *p, *nul = memchr(text, 0, (size_t)(end - text));

	if (!nul)
		return -1;
	*p = nul + 1;
	return !strcmp(text, want);
}

/* One descriptor. Returns 1: it is the one wanted, 0, or -1: malformed. */
static int rt_usdt_note(const uint8_t *desc, size_t len, const char *provider, const char *name, struct rt_usdt_note *out)
{
	const char *p = (const char *)desc + sizeof(*out), *end = (const char *)desc + len;
	int a, b;

	if (len < sizeof(*out))
		return -1;
	a = rt_usdt_text(&p, end, provider);
	b = a < 0 ? -1 : rt_usdt_text(&p, end, name);
	if (b < 0 || !memchr(p, 0, (size_t)(end - p)))
		return -1;
	memcpy(out, desc, sizeof(*out));
	return a && b;
}

int rt_usdt_find(const void *notes, size_t len, const char *provider, const char *name, struct rt_usdt_note *out, size_t max)
{
	const uint8_t *bytes = notes;
	size_t at = 0;
	int found = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		struct rt_usdt_note note;
		Elf64_Nhdr nh;
		size_t owner, desc;
		int is;

		memcpy(&nh, bytes + at, sizeof(nh));
		owner = at + sizeof(nh);
		if (nh.n_namesz > len - owner || rt_usdt_align(nh.n_namesz) > len - owner)
			return -ENOEXEC;
		desc = owner + rt_usdt_align(nh.n_namesz);
		if (nh.n_descsz > len - desc)
			return -ENOEXEC;
		if (nh.n_type == TYPE && nh.n_namesz == sizeof(OWNER) && !memcmp(bytes + owner, OWNER, sizeof(OWNER))) {
			is = rt_usdt_note(bytes + desc, nh.n_descsz, provider, name, &note);
			if (is < 0)
				return -ENOEXEC;
			if (is && (size_t)found < max)
				out[found] = note;
			found += is;
		}
		if (rt_usdt_align(nh.n_descsz) >= len - desc)
			break;
		at = desc + rt_usdt_align(nh.n_descsz);
	}
	return found;
}

/* The file offset of `len` bytes at a virtual address, in a segment with this flag. */
static int rt_usdt_offset(const struct rt_elf *elf, uint64_t vaddr, uint64_t len, uint32_t flag, uint64_t *offset)
{
	uint64_t avail;

	for (size_t i = 0; i < elf->n_loads; i++) {
		const struct rt_elf_load *load = &elf->load[i];

		if (load->flags & flag && vaddr >= load->vaddr && vaddr - load->vaddr < load->filesz)
			return rt_elf_offset(elf, vaddr, offset, &avail) || avail < len ? -ENOEXEC : 0;
	}
	return -ENOEXEC;
}

int rt_usdt_read(struct rt_elf *elf, const char *provider, const char *name, struct rt_usdt *out)
{
	struct rt_usdt_note note[RT_USDT_SITES];
	struct rt_elf_section notes, base;
	struct rt_usdt usdt = {0};
	uint8_t first;
	void *bytes;
	int n, code = rt_elf_find_section(elf, ".note.stapsdt", &notes);

	if (code)
		return code;
	if (elf->machine != EM_X86_64 || notes.type != SHT_NOTE || notes.size > RT_USDT_NOTES_MAX)
		return -ENOEXEC;
	bytes = malloc(notes.size + 1);
	code = !bytes ? -ENOMEM : rt_elf_read_section(elf, &notes, bytes, notes.size);
	n = code ? code : rt_usdt_find(bytes, notes.size, provider, name, note, RT_USDT_SITES);
	free(bytes);
	if (n <= 0)
		return n ? n : -ENOENT;
	if (n > RT_USDT_SITES)
		return -E2BIG;
	code = rt_elf_find_section(elf, ".stapsdt.base", &base);
	if (code && code != -ENOENT)
		return code;
	for (int i = 0; i < n; i++) {
		uint64_t moved = code || !note[i].base ? 0 : base.addr - note[i].base;
		struct rt_usdt_site *site = &usdt.site[usdt.n++];

		if (rt_usdt_offset(elf, note[i].pc + moved, 1, PF_X, &site->offset) || rt_elf_read_vaddr(elf, note[i].pc + moved, &first, 1) || first != NOP ||
		    (note[i].semaphore && rt_usdt_offset(elf, note[i].semaphore + moved, 2, PF_W, &site->semaphore)))
			return -ENOEXEC;
	}
	*out = usdt;
	return 0;
}
