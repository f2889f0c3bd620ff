/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE /* memmem */
#include "elffile.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RT_ELF_MAX_NOTE 65536
#define RT_ELF_BLOCK 65536
#define RT_ELF_MAX_HITS 64 /* places in a string table where one name stands */
#define RT_ELF_MAX_WANTED 32
#define RT_ELF_MAX_CHAIN 65536 /* symbols with one hash bucket */

static int __attribute__((format(printf, 5, 6)))
rt_elf_fail(const struct rt_elf *elf, int code, char *err, size_t errlen, const char *format, ...)
{
	char text[192];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (err && errlen)
		snprintf(err, errlen, "%s: %s", elf->name, text);
	return code;
}

static bool rt_elf_inside(const struct rt_elf *elf, uint64_t offset, uint64_t len)
{
	return offset <= elf->size && len <= elf->size - offset;
}

/* The only place that reads: the budget bounds the time that a hostile file can cost. */
static int rt_elf_pread(struct rt_elf *elf, uint64_t offset, void *buf, size_t len)
{
	size_t done = 0;

	if (!rt_elf_inside(elf, offset, len))
		return -EIO;
	if (len > elf->budget)
		return -E2BIG;
	elf->budget -= len;
	while (done < len) {
		ssize_t n = pread(elf->fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int rt_elf_read(struct rt_elf *elf, uint64_t offset, void *buf, size_t len)
{
	return len ? rt_elf_pread(elf, offset, buf, len) : 0;
}

static int rt_elf_read_failed(const struct rt_elf *elf, int code, const char *what, char *err, size_t errlen)
{
	if (code == -E2BIG)
		return rt_elf_fail(elf, code, err, errlen, "too much to read at its %s (more than %u MiB in all)", what,
				   RT_ELF_BUDGET >> 20);
	return rt_elf_fail(elf, code, err, errlen, "cannot read its %s: %s", what,
			   code == -EIO ? "the file ends before it" :
				   code == -ENOEXEC ? "it makes no sense" : strerror(-code));
}

int rt_elf_offset(const struct rt_elf *elf, uint64_t vaddr, uint64_t *offset, uint64_t *avail)
{
	for (size_t i = 0; i < elf->n_loads; i++) {
		const struct rt_elf_load *load = &elf->load[i];

		if (vaddr < load->vaddr || vaddr - load->vaddr >= load->filesz)
			continue;
		*offset = load->offset + (vaddr - load->vaddr);
		*avail = load->filesz - (vaddr - load->vaddr);
		return 0;
	}
	return -ENOENT;
}

int rt_elf_read_vaddr(struct rt_elf *elf, uint64_t vaddr, void *buf, size_t len)
{
	uint64_t offset, avail;
	int code = rt_elf_offset(elf, vaddr, &offset, &avail);

	if (code)
		return code;
	return len <= avail ? rt_elf_pread(elf, offset, buf, len) : -ENOENT;
}

int rt_elf_string(struct rt_elf *elf, uint64_t index, char *buf, size_t len)
{
	uint64_t left;
	char text[4096];
	size_t n;
	int code;

	if (!index || index >= elf->dynstr_size)
		return -ENOENT;
	left = elf->dynstr_size - index;
	n = left < sizeof(text) ? left : sizeof(text);
	code = rt_elf_pread(elf, elf->dynstr_off + index, text, n);
	if (code)
		return code;
	n = strnlen(text, n);
	if (n == sizeof(text) || n == left || n >= len)
		return -ENAMETOOLONG;
	memcpy(buf, text, n + 1);
	return 0;
}

int rt_elf_exec_vaddr(const struct rt_elf *elf, uint64_t *vaddr)
{
	bool found = false;
	uint64_t lowest = 0;

	for (size_t i = 0; i < elf->n_loads; i++) {
		const struct rt_elf_load *load = &elf->load[i];

		if (!(load->flags & PF_X) || (found && load->vaddr >= lowest))
			continue;
		lowest = load->vaddr;
		found = true;
	}
	if (!found)
		return -ENOENT;
	*vaddr = lowest;
	return 0;
}

int rt_elf_debug_vaddr(const struct rt_elf *elf, uint64_t *vaddr)
{
	if (elf->debug_index >= elf->n_dyn)
		return -ENOENT;
	*vaddr = elf->dyn_vaddr + elf->debug_index * sizeof(Elf64_Dyn) + offsetof(Elf64_Dyn, d_un);
	return 0;
}

/* ---- opening: headers ---- */

static int rt_elf_header(struct rt_elf *elf, Elf64_Ehdr *eh, char *err, size_t errlen)
{
	int code;

	if (elf->size < sizeof(*eh))
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "too short for an ELF file");
	code = rt_elf_pread(elf, 0, eh, sizeof(*eh));
	if (code)
		return rt_elf_read_failed(elf, code, "ELF header", err, errlen);
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG))
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "not an ELF file");
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "not a 64-bit little-endian ELF file");
	if (eh->e_machine != EM_X86_64 && eh->e_machine != EM_AARCH64)
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "built for machine %u, neither x86-64 nor aarch64",
				   eh->e_machine);
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "neither an executable nor a shared object (e_type %u)",
				   eh->e_type);
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || !eh->e_phnum)
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "has no usable program headers");
	if (eh->e_phnum > RT_ELF_MAX_PHDRS)
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "has %u program headers, more than %u", eh->e_phnum,
				   RT_ELF_MAX_PHDRS);
	elf->machine = eh->e_machine;
	return 0;
}

/* A segment is kept with the part of it that is really in the file. */
static void rt_elf_add_load(struct rt_elf *elf, const Elf64_Phdr *ph)
{
	uint64_t filesz = ph->p_filesz;

	if (ph->p_offset > elf->size || ph->p_vaddr + ph->p_memsz < ph->p_vaddr)
		return;
	if (filesz > elf->size - ph->p_offset)
		filesz = elf->size - ph->p_offset;
	if (filesz > ph->p_memsz)
		filesz = ph->p_memsz;
	elf->load[elf->n_loads++] = (struct rt_elf_load){
		.offset = ph->p_offset,
		.vaddr = ph->p_vaddr,
		.filesz = filesz,
		.memsz = ph->p_memsz,
		.flags = ph->p_flags,
	};
}

/* The first build-id of a note segment. A malformed note ends the search: nobody depends on it. */
static void rt_elf_notes(struct rt_elf *elf, const Elf64_Phdr *ph)
{
	uint8_t notes[4096];
	size_t len = ph->p_filesz < sizeof(notes) ? ph->p_filesz : sizeof(notes);
	size_t at = 0;

	if (elf->build_id_len || ph->p_filesz > RT_ELF_MAX_NOTE || rt_elf_pread(elf, ph->p_offset, notes, len))
		return;
	while (len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		uint64_t name, desc, next;

		memcpy(&nh, notes + at, sizeof(nh));
		name = at + sizeof(nh);
		desc = name + ((uint64_t)nh.n_namesz + 3) / 4 * 4;
		next = desc + ((uint64_t)nh.n_descsz + 3) / 4 * 4;
		if (desc + nh.n_descsz > len)
			return;
		if (nh.n_type == NT_GNU_BUILD_ID && nh.n_namesz == 4 && !memcmp(notes + name, "GNU", 4) &&
		    nh.n_descsz && nh.n_descsz <= sizeof(elf->build_id)) {
			memcpy(elf->build_id, notes + desc, nh.n_descsz);
			elf->build_id_len = nh.n_descsz;
			return;
		}
		if (next >= len)
			return;
		at = next;
	}
}

static int rt_elf_segments(struct rt_elf *elf, const Elf64_Ehdr *eh, char *err, size_t errlen)
{
	Elf64_Phdr ph[RT_ELF_MAX_PHDRS];
	const Elf64_Phdr *dynamic = NULL;
	int code = rt_elf_pread(elf, eh->e_phoff, ph, eh->e_phnum * sizeof(*ph));

	if (code)
		return rt_elf_read_failed(elf, code, "program headers", err, errlen);
	for (size_t i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			rt_elf_add_load(elf, &ph[i]);
		else if (ph[i].p_type == PT_NOTE)
			rt_elf_notes(elf, &ph[i]);
		else if (ph[i].p_type == PT_DYNAMIC && !dynamic)
			dynamic = &ph[i];
	}
	if (!elf->n_loads)
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "has no loadable segment");
	if (!dynamic)
		return 0;
	if (!rt_elf_inside(elf, dynamic->p_offset, dynamic->p_filesz))
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "its dynamic section lies outside of the file");
	elf->dyn_vaddr = dynamic->p_vaddr;
	elf->dyn_off = dynamic->p_offset;
	elf->n_dyn = dynamic->p_filesz / sizeof(Elf64_Dyn);
	if (elf->n_dyn > RT_ELF_MAX_DYN)
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "its dynamic section has %zu entries, more than %u",
				   elf->n_dyn, RT_ELF_MAX_DYN);
	return 0;
}

/* ---- opening: dynamic section ---- */

struct rt_elf_dynamic {
	uint64_t strtab, strsz, symtab, hash, gnu_hash;
};

static void rt_elf_dyn_entry(struct rt_elf *elf, const Elf64_Dyn *dyn, size_t index, struct rt_elf_dynamic *at)
{
	uint64_t value = dyn->d_un.d_val;

	switch (dyn->d_tag) {
	case DT_STRTAB:
		at->strtab = value;
		break;
	case DT_STRSZ:
		at->strsz = value;
		break;
	case DT_SYMTAB:
		at->symtab = value;
		break;
	case DT_HASH:
		at->hash = value;
		break;
	case DT_GNU_HASH:
		at->gnu_hash = value;
		break;
	case DT_DEBUG:
		if (elf->debug_index >= elf->n_dyn)
			elf->debug_index = index;
		break;
	case DT_NEEDED:
		if (elf->n_needed < RT_ELF_MAX_NEEDED)
			elf->needed[elf->n_needed++] = value;
		break;
	case DT_RPATH:
		elf->rpath = value;
		break;
	case DT_RUNPATH:
		elf->runpath = value;
		break;
	}
}

/* Number of symbols that a GNU hash table covers: the table does not say, so it is the end of the highest chain. */
static int rt_elf_gnu_count(struct rt_elf *elf, uint64_t vaddr, uint64_t *count)
{
	struct {
		uint32_t buckets, first, bloom, shift;
	} head;
	uint64_t offset, avail, at;
	uint32_t block[1024], highest = 0;
	int code = rt_elf_offset(elf, vaddr, &offset, &avail);

	if (code || avail < sizeof(head))
		return -ENOEXEC;
	code = rt_elf_pread(elf, offset, &head, sizeof(head));
	if (code)
		return code;
	if (head.buckets > RT_ELF_MAX_SYMS || head.bloom > RT_ELF_MAX_SYMS || head.first > RT_ELF_MAX_SYMS)
		return -ENOEXEC;
	at = offset + sizeof(head) + head.bloom * 8ull;
	for (uint32_t done = 0; done < head.buckets;) {
		uint32_t n = head.buckets - done < 1024 ? head.buckets - done : 1024;

		code = rt_elf_pread(elf, at, block, n * 4);
		if (code)
			return code;
		for (uint32_t i = 0; i < n; i++)
			highest = block[i] > highest ? block[i] : highest;
		done += n;
		at += n * 4;
	}
	if (highest < head.first) {
		*count = head.first;
		return 0;
	}
	if (highest >= RT_ELF_MAX_SYMS)
		return -ENOEXEC;
	at += (highest - head.first) * 4ull;
	for (uint32_t steps = 0;; steps++, highest++, at += 4) {
		uint32_t hash;

		if (steps >= RT_ELF_MAX_CHAIN)
			return -ENOEXEC;
		code = rt_elf_pread(elf, at, &hash, 4);
		if (code)
			return code;
		if (hash & 1)
			break;
	}
	*count = highest + 1ull;
	return 0;
}

static int rt_elf_hash_count(struct rt_elf *elf, uint64_t vaddr, uint64_t *count)
{
	uint32_t head[2];
	int code = rt_elf_read_vaddr(elf, vaddr, head, sizeof(head));

	if (code)
		return code;
	*count = head[1];
	return 0;
}

/* The dynamic linker's own symbol table. Its size is stated nowhere but in the hash tables. */
static int rt_elf_dynsym(struct rt_elf *elf, const struct rt_elf_dynamic *at, char *err, size_t errlen)
{
	struct rt_elf_table table = {.str_off = elf->dynstr_off, .str_size = elf->dynstr_size};
	uint64_t avail;
	int code;

	if (!at->symtab || !elf->dynstr_size || (!at->hash && !at->gnu_hash))
		return 0;
	if (rt_elf_offset(elf, at->symtab, &table.sym_off, &avail))
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "its dynamic symbol table lies outside of the file");
	code = at->gnu_hash ? rt_elf_gnu_count(elf, at->gnu_hash, &table.sym_count)
			    : rt_elf_hash_count(elf, at->hash, &table.sym_count);
	if (code)
		return rt_elf_read_failed(elf, code, "hash table of dynamic symbols", err, errlen);
	if (table.sym_count > RT_ELF_MAX_SYMS || table.sym_count * sizeof(Elf64_Sym) > avail)
		return rt_elf_fail(elf, -ENOEXEC, err, errlen,
				   "its dynamic symbol table of %llu entries does not fit in",
				   (unsigned long long)table.sym_count);
	elf->table[elf->n_tables++] = table;
	return 0;
}

static int rt_elf_dynamic(struct rt_elf *elf, char *err, size_t errlen)
{
	Elf64_Dyn block[128];
	struct rt_elf_dynamic at = {0};
	uint64_t avail;
	bool end = false;

	elf->debug_index = elf->n_dyn;
	for (size_t done = 0; done < elf->n_dyn && !end;) {
		size_t n = elf->n_dyn - done < 128 ? elf->n_dyn - done : 128;
		int code = rt_elf_pread(elf, elf->dyn_off + done * sizeof(*block), block, n * sizeof(*block));

		if (code)
			return rt_elf_read_failed(elf, code, "dynamic section", err, errlen);
		for (size_t i = 0; i < n && !end; i++) {
			end = block[i].d_tag == DT_NULL;
			rt_elf_dyn_entry(elf, &block[i], done + i, &at);
		}
		done += n;
	}
	if (!at.strtab)
		return 0;
	if (rt_elf_offset(elf, at.strtab, &elf->dynstr_off, &avail))
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "its dynamic strings lie outside of the file");
	elf->dynstr_size = at.strsz < avail ? at.strsz : avail;
	return rt_elf_dynsym(elf, &at, err, errlen);
}

/* ---- opening: section headers, which may be anything ---- */

static bool rt_elf_section_table(struct rt_elf *elf, const Elf64_Ehdr *eh, const Elf64_Shdr *sh,
				 struct rt_elf_table *table)
{
	Elf64_Shdr str;

	if (sh->sh_entsize != sizeof(Elf64_Sym) || sh->sh_link >= eh->e_shnum ||
	    rt_elf_pread(elf, eh->e_shoff + sh->sh_link * sizeof(str), &str, sizeof(str)) || str.sh_type != SHT_STRTAB)
		return false;
	*table = (struct rt_elf_table){
		.sym_off = sh->sh_offset,
		.sym_count = sh->sh_size / sizeof(Elf64_Sym),
		.str_off = str.sh_offset,
		.str_size = str.sh_size,
		.local = sh->sh_type == SHT_SYMTAB,
	};
	return table->sym_count <= RT_ELF_MAX_SYMS && rt_elf_inside(elf, sh->sh_offset, sh->sh_size) &&
	       rt_elf_inside(elf, str.sh_offset, str.sh_size);
}

static void rt_elf_sections(struct rt_elf *elf, const Elf64_Ehdr *eh)
{
	Elf64_Shdr block[64];

	if (!eh->e_shoff || !eh->e_shnum || eh->e_shentsize != sizeof(Elf64_Shdr) ||
	    !rt_elf_inside(elf, eh->e_shoff, eh->e_shnum * sizeof(Elf64_Shdr)))
		return;
	elf->sections_off = eh->e_shoff;
	elf->n_sections = eh->e_shnum;
	elf->names_section = eh->e_shstrndx;
	for (size_t done = 0; done < eh->e_shnum;) {
		size_t n = eh->e_shnum - done < 64 ? eh->e_shnum - done : 64;

		if (rt_elf_pread(elf, eh->e_shoff + done * sizeof(*block), block, n * sizeof(*block)))
			return;
		for (size_t i = 0; i < n && elf->n_tables < RT_ELF_MAX_TABLES; i++) {
			struct rt_elf_table table;
			bool dynsym = block[i].sh_type == SHT_DYNSYM;
			Elf64_Phdr note = {.p_offset = block[i].sh_offset, .p_filesz = block[i].sh_size};

			if (block[i].sh_type == SHT_NOTE && !elf->build_id_len)
				rt_elf_notes(elf, &note);

			if (!dynsym && block[i].sh_type != SHT_SYMTAB)
				continue;
			/* The dynamic linker's own view of .dynsym is there already. */
			if (dynsym && elf->n_tables)
				continue;
			if (rt_elf_section_table(elf, eh, &block[i], &table))
				elf->table[elf->n_tables++] = table;
		}
		done += n;
	}
}

static int rt_elf_begin(struct rt_elf *elf, int fd, const char *name, Elf64_Ehdr *eh, char *err, size_t errlen)
{
	struct stat st;

	memset(elf, 0, sizeof(*elf));
	elf->fd = fd;
	elf->budget = RT_ELF_BUDGET;
	snprintf(elf->name, sizeof(elf->name), "%s", name);
	if (fstat(fd, &st))
		return rt_elf_fail(elf, -errno, err, errlen, "cannot stat: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return rt_elf_fail(elf, -ENOEXEC, err, errlen, "not a regular file");
	elf->size = (uint64_t)st.st_size;
	return rt_elf_header(elf, eh, err, errlen);
}

int rt_elf_open_debug(struct rt_elf *elf, int fd, const char *name, const struct rt_elf *of, char *err, size_t errlen)
{
	Elf64_Ehdr eh;
	int code = rt_elf_begin(elf, fd, name, &eh, err, errlen);

	if (code)
		return code;
	rt_elf_sections(elf, &eh);
	if (!of->build_id_len || elf->build_id_len != of->build_id_len || memcmp(elf->build_id, of->build_id, of->build_id_len))
		return rt_elf_fail(elf, -ESTALE, err, errlen, "its symbols are of another build than %s", of->name);
	return 0;
}

int rt_elf_open_headers(struct rt_elf *elf, int fd, const char *name, char *err, size_t errlen)
{
	Elf64_Ehdr eh;
	int code = rt_elf_begin(elf, fd, name, &eh, err, errlen);

	return code ? code : rt_elf_segments(elf, &eh, err, errlen);
}

int rt_elf_open(struct rt_elf *elf, int fd, const char *name, char *err, size_t errlen)
{
	Elf64_Ehdr eh;
	int code = rt_elf_begin(elf, fd, name, &eh, err, errlen);

	if (!code)
		code = rt_elf_segments(elf, &eh, err, errlen);
	if (!code)
		code = rt_elf_dynamic(elf, err, errlen);
	if (!code)
		rt_elf_sections(elf, &eh);
	return code;
}

/* ---- sections by name ---- */

static int rt_elf_section_at(struct rt_elf *elf, size_t index, Elf64_Shdr *sh)
{
	return index < elf->n_sections ? rt_elf_pread(elf, elf->sections_off + index * sizeof(*sh), sh, sizeof(*sh)) : -ENOENT;
}

int rt_elf_find_section(struct rt_elf *elf, const char *name, struct rt_elf_section *out)
{
	char text[RT_ELF_MAX_NAME];
	size_t len = strlen(name) + 1;
	Elf64_Shdr names, sh;

	if (len > sizeof(text) || rt_elf_section_at(elf, elf->names_section, &names) || names.sh_type != SHT_STRTAB ||
	    !rt_elf_inside(elf, names.sh_offset, names.sh_size))
		return -ENOENT;
	for (size_t i = 0; i < elf->n_sections; i++) {
		int code = rt_elf_section_at(elf, i, &sh);

		if (code)
			return code;
		if (sh.sh_name > names.sh_size || len > names.sh_size - sh.sh_name)
			continue;
		code = rt_elf_pread(elf, names.sh_offset + sh.sh_name, text, len);
		if (code)
			return code;
		if (memcmp(text, name, len))
			continue;
		*out = (struct rt_elf_section){.type = sh.sh_type, .addr = sh.sh_addr, .offset = sh.sh_offset, .size = sh.sh_size};
		return sh.sh_type == SHT_NOBITS || rt_elf_inside(elf, sh.sh_offset, sh.sh_size) ? 0 : -ENOEXEC;
	}
	return -ENOENT;
}

int rt_elf_read_section(struct rt_elf *elf, const struct rt_elf_section *section, void *buf, size_t len)
{
	if (section->type == SHT_NOBITS || len > section->size)
		return -ENOENT;
	return len ? rt_elf_pread(elf, section->offset, buf, len) : 0;
}

/* ---- symbols by name ---- */

/* Where the wanted names stand in a string table. Tables share tails, so a name may begin in the middle of another
 * string, and stand in several places. */
struct rt_elf_hits {
	uint32_t at[RT_ELF_MAX_WANTED][RT_ELF_MAX_HITS];
	size_t n[RT_ELF_MAX_WANTED];
};

/* Notes every place in `text` where `name` and its end stand. `base`: offset of `text` in the table. */
static int rt_elf_note_hits(const char *text, size_t len, uint64_t base, const char *name, uint32_t *at, size_t *n)
{
	size_t name_len = strlen(name) + 1;
	const char *from = text, *hit;

	while ((hit = memmem(from, len - (size_t)(from - text), name, name_len))) {
		uint64_t offset = base + (uint64_t)(hit - text);

		from = hit + 1;
		if (offset > UINT32_MAX || (*n && at[*n - 1] >= offset))
			continue; /* seen already, where two blocks overlap */
		if (*n == RT_ELF_MAX_HITS)
			return -ENOEXEC;
		at[(*n)++] = (uint32_t)offset;
	}
	return 0;
}

static int rt_elf_scan_strings(struct rt_elf *elf, const struct rt_elf_table *table,
			       const struct rt_elf_symbol *symbols, size_t count, struct rt_elf_hits *hits)
{
	char block[RT_ELF_BLOCK];
	uint64_t at = 0;

	memset(hits->n, 0, sizeof(hits->n));
	while (at < table->str_size) {
		uint64_t left = table->str_size - at;
		size_t n = left < sizeof(block) ? left : sizeof(block);
		int code = rt_elf_pread(elf, table->str_off + at, block, n);

		for (size_t i = 0; !code && i < count; i++)
			if (!symbols[i].found)
				code = rt_elf_note_hits(block, n, at, symbols[i].name, hits->at[i], &hits->n[i]);
		if (code)
			return code;
		if (n == left)
			break;
		at += n - RT_ELF_MAX_NAME; /* a name may lie across two blocks */
	}
	return 0;
}

static void rt_elf_match(const Elf64_Sym *sym, struct rt_elf_symbol *symbols, size_t count,
			 const struct rt_elf_hits *hits)
{
	if (sym->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(sym->st_info) == STT_FILE ||
	    ELF64_ST_TYPE(sym->st_info) == STT_SECTION)
		return;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; !symbols[i].found && k < hits->n[i]; k++) {
			if (hits->at[i][k] != sym->st_name)
				continue;
			symbols[i].found = true;
			symbols[i].value = sym->st_value;
			symbols[i].size = sym->st_size;
			symbols[i].type = ELF64_ST_TYPE(sym->st_info);
		}
	}
}

static int rt_elf_scan_symbols(struct rt_elf *elf, const struct rt_elf_table *table, struct rt_elf_symbol *symbols,
			       size_t count, const struct rt_elf_hits *hits)
{
	Elf64_Sym block[1024];

	for (uint64_t done = 0; done < table->sym_count;) {
		uint64_t left = table->sym_count - done;
		size_t n = left < 1024 ? left : 1024;
		int code = rt_elf_pread(elf, table->sym_off + done * sizeof(*block), block, n * sizeof(*block));

		if (code)
			return code;
		for (size_t i = 0; i < n; i++)
			rt_elf_match(&block[i], symbols, count, hits);
		done += n;
	}
	return 0;
}

/* Those that are still missing, in the tables of this file. */
static int rt_elf_find_more(struct rt_elf *elf, struct rt_elf_symbol *symbols, size_t count, char *err, size_t errlen)
{
	struct rt_elf_hits hits;

	for (size_t t = 0; t < elf->n_tables; t++) {
		size_t missing = 0;
		int code;

		for (size_t i = 0; i < count; i++)
			missing += !symbols[i].found;
		if (!missing)
			break;
		code = rt_elf_scan_strings(elf, &elf->table[t], symbols, count, &hits);
		if (!code)
			code = rt_elf_scan_symbols(elf, &elf->table[t], symbols, count, &hits);
		if (code)
			return rt_elf_read_failed(elf, code, "symbols", err, errlen);
	}
	return 0;
}

int rt_elf_find_symbols(struct rt_elf *elf, struct rt_elf_symbol *symbols, size_t count, char *err, size_t errlen)
{
	int code;

	if (count > RT_ELF_MAX_WANTED)
		return rt_elf_fail(elf, -E2BIG, err, errlen, "more than %u symbols asked for", RT_ELF_MAX_WANTED);
	for (size_t i = 0; i < count; i++) {
		if (!*symbols[i].name || strlen(symbols[i].name) >= RT_ELF_MAX_NAME)
			return rt_elf_fail(elf, -EINVAL, err, errlen, "a symbol's name is empty or too long");
		symbols[i] = (struct rt_elf_symbol){.name = symbols[i].name};
	}
	code = rt_elf_find_more(elf, symbols, count, err, errlen);
	return code || !elf->debug ? code : rt_elf_find_more(elf->debug, symbols, count, err, errlen);
}
