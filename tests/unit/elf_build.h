/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * elf_build.h - small ELF files made to order, for what no compiler produces. One segment, DT_HASH, no section headers.
 */
#ifndef ELF_BUILD_H
#define ELF_BUILD_H

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EB_BASE 0x10000 /* virtual address of the file's first byte */
#define EB_MAX_DYN 8192

struct eb_symbol {
	const char *name;
	const void *data; /* NULL: undefined */
	size_t len;
	uint8_t type;
};

struct eb_spec {
	const struct eb_symbol *symbols;
	size_t n_symbols;
	const char *const *needed;
	size_t n_needed;
	const char *runpath;
	bool debug;
	const void *note;
	size_t note_len;
	size_t strings_before; /* filler in front of the names */
	const char *strings;   /* more strings, NULs as '|' */
	size_t extra_dyn;      /* entries without meaning */
	uint32_t chains;       /* what DT_HASH says, 0: the truth */
	size_t cut_segment;    /* bytes at the end of the file that are in no segment */
};

struct eb {
	uint8_t *bytes;
	size_t len, cap;
};

/* Room for `len` bytes, filled from `data` unless NULL. Returns its offset. */
static size_t eb_add(struct eb *eb, const void *data, size_t len)
{
	size_t at = (eb->len + 7) / 8 * 8;

	if (at + len > eb->cap) {
		eb->cap = (at + len) * 2;
		eb->bytes = realloc(eb->bytes, eb->cap);
		if (!eb->bytes)
			abort();
	}
	memset(eb->bytes + eb->len, 0, at + len - eb->len);
	if (data && len)
		memcpy(eb->bytes + at, data, len);
	eb->len = at + len;
	return at;
}

static uint32_t eb_string(struct eb *strings, const char *text)
{
	size_t at = strings->len, n = strlen(text) + 1;

	eb_add(strings, NULL, 8 + n);
	memcpy(strings->bytes + at, text, n);
	strings->len = at + n;
	return (uint32_t)at;
}

static size_t eb_symbols(struct eb *eb, struct eb *strings, const struct eb_spec *spec)
{
	Elf64_Sym *sym = calloc(spec->n_symbols + 1, sizeof(*sym));
	size_t at;

	for (size_t i = 0; i < spec->n_symbols; i++) {
		const struct eb_symbol *from = &spec->symbols[i];

		sym[i + 1].st_name = eb_string(strings, from->name);
		sym[i + 1].st_info = ELF64_ST_INFO(STB_GLOBAL, from->type);
		sym[i + 1].st_size = from->len;
		sym[i + 1].st_shndx = from->data ? 1 : SHN_UNDEF;
		sym[i + 1].st_value = from->data ? EB_BASE + eb_add(eb, from->data, from->len) : 0;
	}
	at = eb_add(eb, sym, (spec->n_symbols + 1) * sizeof(*sym));
	free(sym);
	return at;
}

static void eb_more_strings(struct eb *strings, const char *more)
{
	size_t at = strings->len;

	for (size_t n = more ? strlen(more) : 0; n; n = 0) {
		eb_string(strings, more);
		for (size_t i = 0; i < n; i++)
			if (strings->bytes[at + i] == '|')
				strings->bytes[at + i] = 0;
	}
}

/* The file's bytes; the caller frees eb.bytes. */
static struct eb eb_build(const struct eb_spec *spec)
{
	struct eb eb = {0}, strings = {0};
	uint32_t hash[4] = {1, spec->chains ? spec->chains : (uint32_t)spec->n_symbols + 1, 0, 0};
	Elf64_Dyn *dyn = calloc(EB_MAX_DYN + 16, sizeof(*dyn));
	Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_DYN,
			 .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_phoff = sizeof(eh), .e_ehsize = sizeof(eh),
			 .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 3};
	Elf64_Phdr ph[3] = {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = EB_BASE}, {.p_type = PT_DYNAMIC},
			    {.p_type = PT_NOTE}};
	size_t n = 0, at, symtab;

	eb_add(&eb, NULL, sizeof(eh) + sizeof(ph));
	eb_string(&strings, "");
	eb_add(&strings, NULL, spec->strings_before);
	symtab = eb_symbols(&eb, &strings, spec);
	dyn[n++] = (Elf64_Dyn){DT_SYMTAB, {EB_BASE + symtab}};
	dyn[n++] = (Elf64_Dyn){DT_HASH, {EB_BASE + eb_add(&eb, hash, sizeof(hash))}};
	for (size_t i = 0; i < spec->n_needed; i++)
		dyn[n++] = (Elf64_Dyn){DT_NEEDED, {eb_string(&strings, spec->needed[i])}};
	if (spec->runpath)
		dyn[n++] = (Elf64_Dyn){DT_RUNPATH, {eb_string(&strings, spec->runpath)}};
	if (spec->debug)
		dyn[n++] = (Elf64_Dyn){DT_DEBUG, {0}};
	eb_more_strings(&strings, spec->strings);
	dyn[n++] = (Elf64_Dyn){DT_STRSZ, {strings.len}};
	dyn[n++] = (Elf64_Dyn){DT_STRTAB, {EB_BASE + eb_add(&eb, strings.bytes, strings.len)}};
	for (size_t i = 0; i < spec->extra_dyn; i++)
		dyn[n++].d_tag = 0x6abcdef0;
	n++; /* DT_NULL */
	at = eb_add(&eb, dyn, n * sizeof(*dyn));
	ph[1].p_offset = at;
	ph[1].p_vaddr = EB_BASE + at;
	ph[1].p_filesz = ph[1].p_memsz = n * sizeof(*dyn);
	ph[2].p_offset = eb_add(&eb, spec->note, spec->note_len);
	ph[2].p_filesz = ph[2].p_memsz = spec->note_len;
	ph[0].p_filesz = ph[0].p_memsz = eb.len;
	eb_add(&eb, NULL, spec->cut_segment);
	memcpy(eb.bytes, &eh, sizeof(eh));
	memcpy(eb.bytes + sizeof(eh), ph, sizeof(ph));
	free(dyn);
	free(strings.bytes);
	return eb;
}

/* Writes it to an open file. */
static bool eb_write(const struct eb_spec *spec, int fd)
{
	struct eb eb = eb_build(spec);
	bool done = fd >= 0 && write(fd, eb.bytes, eb.len) == (ssize_t)eb.len;

	free(eb.bytes);
	return done;
}

#endif
