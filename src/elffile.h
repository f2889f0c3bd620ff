/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * elffile.h - bounded reader of ELF files that belong to somebody else.
 *
 * The file may be hostile, and may be cut short or rewritten while it is read: so it is read with pread into bounded
 * buffers and never mapped, every offset and count is checked against the file's size and fixed limits, and one open
 * file reads at most RT_ELF_BUDGET bytes in all. ELF64, little endian, x86-64 or aarch64; anything else is refused.
 *
 * The dynamic section is the authority, because the dynamic linker uses it; section headers only add the symbols that
 * strip would remove, and are ignored when they make no sense.
 *
 * (Not called elf.h, because with -Isrc that name would hide the system's <elf.h>.)
 *
 * Functions return 0 or -errno; where they take `err`, a message naming the file and what is wrong with it is left
 * there. Malformed: -ENOEXEC.
 */
#ifndef RT_ELFFILE_H
#define RT_ELFFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RT_ELF_MAX_PHDRS 128
#define RT_ELF_MAX_DYN 4096
#define RT_ELF_MAX_NEEDED 64
#define RT_ELF_MAX_SYMS 4000000 /* libtorch_cpu.so has 530,000 */
#define RT_ELF_MAX_NAME 256
#define RT_ELF_MAX_TABLES 3
#define RT_ELF_BUDGET (256u << 20)

struct rt_elf_load {
	uint64_t offset, vaddr, filesz, memsz;
	uint32_t flags; /* PF_R, PF_W, PF_X */
};

/* A symbol table and its strings, as file offsets, within the file. */
struct rt_elf_table {
	uint64_t sym_off, sym_count;
	uint64_t str_off, str_size;
	bool local; /* .symtab: local symbols too; else those for the dynamic linker */
};

struct rt_elf {
	int fd; /* the caller's */
	char name[RT_ELF_MAX_NAME]; /* for messages */
	uint64_t size;
	uint64_t budget; /* bytes that may still be read */
	uint16_t machine;
	uint64_t sections_off; /* section headers, all within the file; n_sections 0: none that make sense */
	uint16_t n_sections, names_section;
	struct rt_elf_load load[RT_ELF_MAX_PHDRS];
	size_t n_loads;
	/* PT_DYNAMIC; n_dyn 0: the file has none */
	uint64_t dyn_vaddr, dyn_off;
	size_t n_dyn;
	uint64_t debug_index; /* of DT_DEBUG's entry, n_dyn if there is none */
	uint64_t dynstr_off, dynstr_size;
	uint64_t needed[RT_ELF_MAX_NEEDED]; /* offsets in .dynstr */
	size_t n_needed;
	uint64_t rpath, runpath; /* offsets in .dynstr, 0: none */
	/* where symbols are looked up, in this order */
	struct rt_elf_table table[RT_ELF_MAX_TABLES];
	size_t n_tables;
	uint8_t build_id[64];
	size_t build_id_len;
	struct rt_elf *debug; /* the caller's: a file with more symbols of this one (rt_elf_open_debug), or NULL */
};

/* Reads headers, dynamic section, tables and build-id of an open file, which stays the caller's and has to stay open.
 * `name` is for messages (copied). */
int rt_elf_open(struct rt_elf *elf, int fd, const char *name, char *err, size_t errlen);

/* The same, but reads the ELF header and the program headers only: segments and, where it is in a note segment, the build-id. No tables. */
int rt_elf_open_headers(struct rt_elf *elf, int fd, const char *name, char *err, size_t errlen);

/* `len` bytes at an offset of the file, all of them or none: -EIO: not in the file; -E2BIG: the budget is used up. */
int rt_elf_read(struct rt_elf *elf, uint64_t offset, void *buf, size_t len);

/* The same for a file of debug symbols, of which only header, build-id and symbol tables are read: its segments and dynamic section are placeholders. -ESTALE: it is
 * of another build than `of`. It can then be hung on `of` (debug). */
int rt_elf_open_debug(struct rt_elf *elf, int fd, const char *name, const struct rt_elf *of, char *err, size_t errlen);

/* A section header that makes sense: its bytes are within the file. */
struct rt_elf_section {
	uint32_t type; /* SHT_* */
	uint64_t addr, offset, size;
};

/* The first section of that name (at most RT_ELF_MAX_NAME - 1 bytes). -ENOENT: none; -ENOEXEC: it is not in the file. Sections are only hints: strip may remove them. */
int rt_elf_find_section(struct rt_elf *elf, const char *name, struct rt_elf_section *out);

/* Its first `len` bytes, at most its size. */
int rt_elf_read_section(struct rt_elf *elf, const struct rt_elf_section *section, void *buf, size_t len);

struct rt_elf_symbol {
	const char *name; /* set by the caller, at most RT_ELF_MAX_NAME - 1 bytes */
	bool found;	  /* the rest is 0 unless found */
	uint64_t value, size;
	uint8_t type; /* STT_* */
};

/* Looks up defined symbols by their exact names, all of them in one pass over each table, those of `debug` last; symbol versions
 * are not told apart. Returns 0 also if some or all were not found. */
int rt_elf_find_symbols(struct rt_elf *elf, struct rt_elf_symbol *symbols, size_t count, char *err, size_t errlen);

/* File offset of a virtual address, and how many bytes from there on are in the same segment. -ENOENT: not
 * in the file. */
int rt_elf_offset(const struct rt_elf *elf, uint64_t vaddr, uint64_t *offset, uint64_t *avail);

/* Reads `len` bytes at a virtual address, all of them or none: -ENOENT if the file has none there (.bss too), -EIO if
 * it ended early. */
int rt_elf_read_vaddr(struct rt_elf *elf, uint64_t vaddr, void *buf, size_t len);

/* A string of .dynstr (DT_NEEDED, DT_RPATH, DT_RUNPATH). -ENOENT: none; -ENAMETOOLONG: more than `len` bytes with its
 * end. */
int rt_elf_string(struct rt_elf *elf, uint64_t index, char *buf, size_t len);

/* Lowest p_vaddr of the executable segments: the kernel's mm->start_code is the load bias and this. -ENOENT: there is
 * none. */
int rt_elf_exec_vaddr(const struct rt_elf *elf, uint64_t *vaddr);

/* Link-time address of the DT_DEBUG entry's value, where the dynamic linker stores the address of its list. -ENOENT:
 * there is none. */
int rt_elf_debug_vaddr(const struct rt_elf *elf, uint64_t *vaddr);

#endif
