/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * The bounded ELF reader: libelf is the truth on good files; on damaged ones it must come back, soon, with an answer in
 * bounds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "elf_build.h"
#include "elffile.h"
#include "pybin.h"

static char err[1024];

/* A copy of a file in memory. Returns a descriptor, or -1: no such file here. */
static int file_copy(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("elf", MFD_CLOEXEC);
	char block[65536];
	ssize_t n;

	if (from < 0) {
		close(to);
		return -1;
	}
	while ((n = read(from, block, sizeof(block))) > 0)
		assert_int_equal(write(to, block, (size_t)n), n);
	close(from);
	return to;
}

static const char *libc_path(void)
{
	struct link_map *map;
	void *handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

	assert_non_null(handle);
	assert_int_equal(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	dlclose(handle);
	return map->l_name;
}

/* A name that a table has only once, and defined. */
struct truth {
	char name[128];
	GElf_Sym sym;
};

static size_t libelf_symbols(int fd, struct truth *out, size_t max, size_t step)
{
	Elf *elf;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t n = 0, count;
	Elf_Data *data;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	assert_non_null(elf);
	while ((scn = elf_nextscn(elf, scn)) && gelf_getshdr(scn, &sh) && sh.sh_type != SHT_DYNSYM)
		;
	assert_non_null(scn);
	data = elf_getdata(scn, NULL);
	count = sh.sh_size / sh.sh_entsize;
	for (size_t i = 1; i < count && n < max; i += step) {
		GElf_Sym sym, other;
		const char *name;
		bool once = true;

		gelf_getsym(data, (int)i, &sym);
		name = elf_strptr(elf, sh.sh_link, sym.st_name);
		for (size_t k = 1; k < count && once; k++) {
			gelf_getsym(data, (int)k, &other);
			once = k == i || strcmp(name, elf_strptr(elf, sh.sh_link, other.st_name));
		}
		if (!once || sym.st_shndx == SHN_UNDEF || !*name || strlen(name) >= sizeof(out->name))
			continue;
		strcpy(out[n].name, name);
		out[n++].sym = sym;
	}
	elf_end(elf);
	return n;
}

static void check_symbols(int fd, const struct truth *truth, size_t n, const char *what)
{
	static struct rt_elf elf;
	size_t seen = 0;

	for (size_t from = 0; from < n; from += 16) {
		struct rt_elf_symbol sym[17] = {0};
		size_t count = n - from < 16 ? n - from : 16;

		assert_int_equal(rt_elf_open(&elf, fd, what, err, sizeof(err)), 0);
		for (size_t i = 0; i < count; i++)
			sym[i].name = truth[from + i].name;
		sym[count].name = "rt_no_such_symbol_anywhere";
		assert_int_equal(rt_elf_find_symbols(&elf, sym, count + 1, err, sizeof(err)), 0);
		assert_false(sym[count].found);
		for (size_t i = 0; i < count; i++, seen++) {
			assert_true(sym[i].found);
			assert_int_equal(sym[i].value, truth[from + i].sym.st_value);
			assert_int_equal(sym[i].size, truth[from + i].sym.st_size);
			assert_int_equal(sym[i].type, GELF_ST_TYPE(truth[from + i].sym.st_info));
		}
	}
	assert_int_equal(seen, n);
}

static void put(int fd, uint64_t at, const void *bytes, size_t len)
{
	assert_int_equal(pwrite(fd, bytes, len, (off_t)at), (ssize_t)len);
}

static void test_symbols(void **state)
{
	static struct truth truth[200];
	int fd = file_copy(libc_path());
	size_t n;
	uint64_t zero = 0;
	(void)state;

	assert_true(fd >= 0);
	n = libelf_symbols(fd, truth, 200, 13);
	assert_true(n >= 50);
	check_symbols(fd, truth, n, "libc");
	/* without section headers: what the hash tables lead to */
	put(fd, offsetof(Elf64_Ehdr, e_shoff), &zero, 8);
	put(fd, offsetof(Elf64_Ehdr, e_shnum), &zero, 2);
	check_symbols(fd, truth, n, "libc without section headers");
	close(fd);
}

/* The kernel's own vDSO usually has both kinds of hash table. */
static void test_sysv_hash(void **state)
{
	const uint8_t *vdso = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)vdso;
	static struct truth truth[32];
	static struct rt_elf elf;
	uint64_t zero = 0;
	size_t size, n;
	bool found = false;
	int fd;
	(void)state;

	if (!vdso) {
		print_message("no vDSO: DT_HASH not tested\n");
		skip();
	}
	size = eh->e_shoff + (size_t)eh->e_shnum * eh->e_shentsize;
	fd = memfd_create("vdso", MFD_CLOEXEC);
	put(fd, 0, vdso, size);
	n = libelf_symbols(fd, truth, 32, 1);
	assert_true(n > 0);
	assert_int_equal(rt_elf_open(&elf, fd, "vdso", err, sizeof(err)), 0);
	for (size_t i = 0; i < elf.n_dyn; i++) {
		Elf64_Dyn dyn;

		assert_int_equal(pread(fd, &dyn, sizeof(dyn), (off_t)(elf.dyn_off + i * sizeof(dyn))), sizeof(dyn));
		found |= dyn.d_tag == DT_HASH;
		dyn.d_tag = dyn.d_tag == DT_GNU_HASH ? 0x12345678 : dyn.d_tag;
		put(fd, elf.dyn_off + i * sizeof(dyn), &dyn, sizeof(dyn));
	}
	put(fd, offsetof(Elf64_Ehdr, e_shoff), &zero, 8);
	if (!found) {
		close(fd);
		print_message("this kernel's vDSO has no DT_HASH: not tested\n");
		skip();
	}
	check_symbols(fd, truth, n, "vdso by DT_HASH");
	close(fd);
}

struct self {
	uint64_t bias, exec, dynamic, debug;
	uint8_t id[64];
	size_t id_len;
};

static void self_note(struct self *self, const uint8_t *notes, size_t len)
{
	for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= len;) {
		const Elf64_Nhdr *nh = (const Elf64_Nhdr *)(notes + at);

		if (nh->n_type == NT_GNU_BUILD_ID && nh->n_descsz <= sizeof(self->id)) {
			self->id_len = nh->n_descsz;
			memcpy(self->id, notes + at + sizeof(*nh) + 4, nh->n_descsz);
		}
		at += sizeof(*nh) + (nh->n_namesz + 3) / 4 * 4 + (nh->n_descsz + 3) / 4 * 4;
	}
}

/* The dynamic linker's own view of this program: the first object it names. */
static int self_look(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct self *self = ctx;
	(void)size;

	self->bias = info->dlpi_addr;
	self->exec = UINT64_MAX;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X) && ph->p_vaddr < self->exec)
			self->exec = ph->p_vaddr;
		if (ph->p_type == PT_DYNAMIC)
			self->dynamic = ph->p_vaddr;
		if (ph->p_type == PT_NOTE)
			self_note(self, (const uint8_t *)(info->dlpi_addr + ph->p_vaddr), ph->p_memsz);
	}
	return 1;
}

static const char marker[] = "a constant of this program, to be found in its file";

static void test_self(void **state)
{
	static struct rt_elf elf;
	struct self self = {0};
	uint64_t vaddr;
	char text[sizeof(marker)], name[64];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool needs_libc = false;
	(void)state;

	dl_iterate_phdr(self_look, &self);
	assert_int_equal(rt_elf_open(&elf, fd, "self", err, sizeof(err)), 0);
	assert_int_equal(rt_elf_exec_vaddr(&elf, &vaddr), 0);
	assert_int_equal(vaddr, self.exec);
	assert_int_equal(elf.dyn_vaddr, self.dynamic);
	/* ld.so has stored the address of its list there */
	assert_int_equal(rt_elf_debug_vaddr(&elf, &vaddr), 0);
	assert_ptr_equal(*(struct r_debug **)(self.bias + vaddr), &_r_debug);
	assert_int_equal(rt_elf_read_vaddr(&elf, (uint64_t)marker - self.bias, text, sizeof(text)), 0);
	assert_memory_equal(text, marker, sizeof(marker));
	assert_int_equal(rt_elf_read_vaddr(&elf, UINT64_MAX - 4, text, sizeof(text)), -ENOENT);
	assert_int_equal(elf.build_id_len, self.id_len);
	assert_memory_equal(elf.build_id, self.id, self.id_len);
	for (size_t i = 0; i < elf.n_needed; i++)
		if (!rt_elf_string(&elf, elf.needed[i], name, sizeof(name)))
			needs_libc |= !strcmp(name, "libc.so.6");
	assert_true(needs_libc);
	assert_int_equal(rt_elf_string(&elf, elf.needed[0], name, 4), -ENAMETOOLONG);
	assert_int_equal(rt_elf_string(&elf, UINT64_MAX, name, sizeof(name)), -ENOENT);
	assert_int_equal(rt_elf_string(&elf, 0, name, sizeof(name)), -ENOENT);
	close(fd);
	fd = open(libc_path(), O_RDONLY | O_CLOEXEC);
	assert_int_equal(rt_elf_open(&elf, fd, "libc", err, sizeof(err)), 0);
	assert_int_equal(rt_elf_string(&elf, elf.needed[0], name, sizeof(name)), 0);
	assert_string_equal(name, "ld-linux-x86-64.so.2");
	assert_int_equal(rt_elf_debug_vaddr(&elf, &vaddr), -ENOENT);
	close(fd);
}

/* Every refusal says which file and what is wrong with it. */
static void test_refusals(void **state)
{
	static const struct {
		const char *what;
		size_t at, len;
		uint64_t value;
		const char *message;
	} cases[] = {
		{"magic", 0, 4, 0x464c4500, "not an ELF file"},
		{"class", EI_CLASS, 1, ELFCLASS32, "not a 64-bit little-endian"},
		{"data", EI_DATA, 1, ELFDATA2MSB, "not a 64-bit little-endian"},
		{"machine", offsetof(Elf64_Ehdr, e_machine), 2, EM_S390, "built for machine 22"},
		{"type", offsetof(Elf64_Ehdr, e_type), 2, ET_REL, "neither an executable nor a shared object"},
		{"phentsize", offsetof(Elf64_Ehdr, e_phentsize), 2, 55, "no usable program headers"},
		{"phnum", offsetof(Elf64_Ehdr, e_phnum), 2, 0, "no usable program headers"},
		{"phnum", offsetof(Elf64_Ehdr, e_phnum), 2, 129, "129 program headers, more than 128"},
		{"phoff", offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX - 8,
		 "cannot read its program headers: the file ends"},
	};
	static struct rt_elf elf;
	int fd;
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fd = file_copy("/proc/self/exe");
		put(fd, cases[i].at, &cases[i].value, cases[i].len);
		assert_int_not_equal(rt_elf_open(&elf, fd, "/some/file", err, sizeof(err)), 0);
		assert_ptr_equal(strstr(err, "/some/file: "), err);
		if (!strstr(err, cases[i].message))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].what, err, cases[i].message);
		close(fd);
	}
	fd = memfd_create("short", MFD_CLOEXEC);
	put(fd, 0, "\177ELF", 4);
	assert_int_equal(rt_elf_open(&elf, fd, "short", err, sizeof(err)), -ENOEXEC);
	close(fd);
	fd = open("/dev/null", O_RDONLY);
	assert_int_equal(rt_elf_open(&elf, fd, "/dev/null", err, sizeof(err)), -ENOEXEC);
	assert_string_equal(err, "/dev/null: not a regular file");
	close(fd);
}

/* The file is cut short between open and use: an error, no signal. */
static void test_truncated_later(void **state)
{
	static struct rt_elf elf;
	struct rt_elf_symbol sym = {.name = "malloc"};
	char byte;
	int fd = file_copy(libc_path());
	(void)state;

	assert_int_equal(rt_elf_open(&elf, fd, "libc", err, sizeof(err)), 0);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(rt_elf_find_symbols(&elf, &sym, 1, err, sizeof(err)), -EIO);
	assert_non_null(strstr(err, "libc: cannot read its symbols: the file ends before it"));
	assert_int_equal(rt_elf_read_vaddr(&elf, elf.load[0].vaddr + 200, &byte, 1), -EIO);
	close(fd);
}

/* ---- files made to order ---- */

static struct rt_elf made;

static int make(const struct eb_spec *spec)
{
	int fd = memfd_create("made", MFD_CLOEXEC);

	assert_true(eb_write(spec, fd));
	return fd;
}

static int make_and_open(const struct eb_spec *spec)
{
	int fd = make(spec);

	if (rt_elf_open(&made, fd, "made", err, sizeof(err)))
		fail_msg("%s", err);
	return fd;
}

static void check_made(const struct eb_spec *spec, const char *name, const void *data, size_t len)
{
	int fd = make_and_open(spec);
	struct rt_elf_symbol sym = {.name = name};
	char found[64];

	assert_int_equal(rt_elf_find_symbols(&made, &sym, 1, err, sizeof(err)), 0);
	assert_int_equal(sym.found, data != NULL);
	if (data) {
		assert_int_equal(sym.size, len);
		assert_int_equal(rt_elf_read_vaddr(&made, sym.value, found, len), 0);
		assert_memory_equal(found, data, len);
	}
	close(fd);
}

static void test_names(void **state)
{
	const struct eb_symbol symbols[] = {
		{"target", NULL, 0, STT_FUNC}, /* imported: not this one */
		{"target2", "22", 2, STT_OBJECT},
		{"my_target", "333", 3, STT_OBJECT},
		{"target", "4444", 4, STT_OBJECT},
		{"tail", "55555", 5, STT_OBJECT},
	};
	struct eb_spec spec = {.symbols = symbols, .n_symbols = 5};
	struct rt_elf_symbol many[33] = {0};
	char long_name[RT_ELF_MAX_NAME + 1];
	int fd;
	(void)state;

	check_made(&spec, "target", "4444", 4);
	check_made(&spec, "target2", "22", 2);
	check_made(&spec, "get2", NULL, 0);
	check_made(&spec, "targe", NULL, 0);
	/* at every place around the border of a block of strings */
	for (size_t before = 65536 - 48; before < 65536 + 8; before++) {
		spec.strings_before = before;
		check_made(&spec, "my_target", "333", 3);
		check_made(&spec, "target", "4444", 4);
		check_made(&spec, "tail", "55555", 5);
	}
	fd = make_and_open(&spec);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	many[0].name = long_name;
	assert_int_equal(rt_elf_find_symbols(&made, many, 1, err, sizeof(err)), -EINVAL);
	many[0].name = "";
	assert_int_equal(rt_elf_find_symbols(&made, many, 1, err, sizeof(err)), -EINVAL);
	assert_int_equal(rt_elf_find_symbols(&made, many, 33, err, sizeof(err)), -E2BIG);
	close(fd);
}

static void test_limits(void **state)
{
	static const char *needed[100];
	static char repeated[100 * 7 + 1];
	const uint32_t note[] = {4, 40, NT_GNU_BUILD_ID, 0x00554e47, 1, 2};
	const uint32_t good_note[] = {4, 1, 77, 0x00554e47, 9, 4, 8, NT_GNU_BUILD_ID, 0x00554e47, 1, 2};
	const struct eb_symbol symbols[] = {{"other", "1", 1, STT_OBJECT}};
	struct eb_spec spec = {.symbols = symbols, .n_symbols = 1, .needed = needed, .n_needed = 100};
	struct rt_elf_symbol sym = {.name = "target"};
	uint8_t bytes[32];
	int fd;
	(void)state;

	for (size_t i = 0; i < 100; i++)
		needed[i] = "libx.so";
	fd = make_and_open(&spec);
	assert_int_equal(made.n_needed, RT_ELF_MAX_NEEDED);
	assert_int_equal(made.n_tables, 1);
	close(fd);
	/* a note that claims more than there is; a good one behind another */
	spec = (struct eb_spec){.note = note, .note_len = sizeof(note), .cut_segment = 4096};
	close(make_and_open(&spec));
	assert_int_equal(made.build_id_len, 0);
	spec.note = good_note;
	spec.note_len = sizeof(good_note);
	fd = make_and_open(&spec);
	assert_int_equal(made.build_id_len, 8);
	assert_memory_equal(made.build_id, good_note + 9, 8);
	/* bytes that the file has, but no segment maps */
	assert_int_equal(rt_elf_read_vaddr(&made, EB_BASE + made.load[0].filesz - 32, bytes, 32), 0);
	assert_int_equal(rt_elf_read_vaddr(&made, EB_BASE + made.load[0].filesz - 31, bytes, 32), -ENOENT);
	close(fd);
	/* tables without end */
	spec = (struct eb_spec){.extra_dyn = RT_ELF_MAX_DYN};
	fd = make(&spec);
	assert_int_equal(rt_elf_open(&made, fd, "made", err, sizeof(err)), -ENOEXEC);
	assert_non_null(strstr(err, "made: its dynamic section has 4101 entries, more than 4096"));
	close(fd);
	spec = (struct eb_spec){.symbols = symbols, .n_symbols = 1, .chains = RT_ELF_MAX_SYMS + 1};
	fd = make(&spec);
	assert_int_equal(rt_elf_open(&made, fd, "made", err, sizeof(err)), -ENOEXEC);
	assert_non_null(strstr(err, "4000001 entries does not fit in"));
	close(fd);
	/* one name in too many places */
	for (size_t i = 0; i < 100; i++)
		memcpy(repeated + i * 7, "target|", 7);
	spec = (struct eb_spec){.symbols = symbols, .n_symbols = 1, .strings = repeated};
	fd = make_and_open(&spec);
	assert_int_equal(rt_elf_find_symbols(&made, &sym, 1, err, sizeof(err)), -ENOEXEC);
	close(fd);
}

/* Looking for symbols again and again in 100 MiB of strings ends. */
static void test_budget(void **state)
{
	struct eb_spec spec = {.strings_before = 100u << 20};
	struct rt_elf_symbol sym = {.name = "target"};
	int fd = make_and_open(&spec), code = 0, rounds = 0;
	(void)state;

	while (!code && ++rounds < 10)
		code = rt_elf_find_symbols(&made, &sym, 1, err, sizeof(err));
	assert_int_equal(code, -E2BIG);
	assert_int_equal(rounds, 3);
	assert_string_equal(err, "made: too much to read at its symbols (more than 256 MiB in all)");
	close(fd);
}

/* ---- damaged files ---- */

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint64_t next(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % below;
}

#define MAX_UNDO 8

struct undo {
	uint64_t at;
	uint8_t old[8];
};

static uint64_t odd_value(uint64_t size)
{
	const uint64_t values[] = {0,	 1,	   UINT64_MAX, INT64_MAX, UINT32_MAX, INT32_MAX,
				   size, size - 1, size - 8,   0x1000,	  1000000,    1000001};
	uint64_t pick = next(sizeof(values) / sizeof(values[0]) + 4);

	return pick < sizeof(values) / sizeof(values[0]) ? values[pick] : pick & 1 ? next(size) : rng;
}

/* Somewhere that the reader believes in: headers, dynamic section, symbol and hash tables, notes. */
static uint64_t odd_place(const struct rt_elf *good, uint64_t shoff)
{
	const struct rt_elf_table *table = &good->table[0];
	uint64_t at;

	switch (next(6)) {
	case 0:
		return next(64);
	case 1:
		return 64 + next(56 * 13);
	case 2:
		at = good->dyn_off + next(good->n_dyn * 16);
		break;
	case 3:
		at = good->n_tables ? table->sym_off + next(table->sym_count * 24) : next(4096);
		break;
	case 4:
		at = shoff && shoff < good->size ? shoff + next(good->size - shoff) : next(4096);
		break;
	default:
		at = next(good->size < 8192 ? good->size : 8192); /* notes and hash tables stand near the beginning */
	}
	return at > good->size - 8 ? good->size - 8 : at;
}

static void use(int fd, unsigned int *opened)
{
	static struct rt_elf elf;
	struct rt_pybin py;
	char name[256], byte[64];
	uint64_t value;

	memset(err, 0, sizeof(err));
	if (rt_elf_open(&elf, fd, "damaged", err, sizeof(err))) {
		assert_true(!strncmp(err, "damaged: ", 9));
		return;
	}
	++*opened;
	assert_true(elf.n_loads && elf.n_loads <= RT_ELF_MAX_PHDRS && elf.n_tables <= RT_ELF_MAX_TABLES);
	for (size_t i = 0; i < elf.n_needed; i++)
		rt_elf_string(&elf, elf.needed[i], name, sizeof(name));
	rt_elf_string(&elf, elf.rpath, name, sizeof(name));
	rt_elf_string(&elf, elf.runpath, name, sizeof(name));
	rt_elf_debug_vaddr(&elf, &value);
	rt_elf_read_vaddr(&elf, elf.dyn_vaddr, byte, sizeof(byte));
	rt_pybin_needed(&elf, name, sizeof(name));
	if (rt_pybin_read(&elf, NULL, &py, err, sizeof(err)) < 0)
		assert_true(strlen(err) > 10);
	rt_pybin_read(&elf, &elf, &py, err, sizeof(err));
}

static void fuzz(const char *path, unsigned int rounds)
{
	static struct rt_elf good;
	int fd = file_copy(path);
	unsigned int opened = 0;
	uint64_t shoff = 0;
	struct timespec from, to;

	if (fd < 0) {
		print_message("%s: not here, not tried\n", path);
		return;
	}
	assert_int_equal(rt_elf_open(&good, fd, path, err, sizeof(err)), 0);
	assert_int_equal(pread(fd, &shoff, 8, offsetof(Elf64_Ehdr, e_shoff)), 8);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned int round = 0; round < rounds; round++) {
		struct undo undo[MAX_UNDO];
		size_t n = 1 + next(MAX_UNDO);

		for (size_t i = 0; i < n; i++) {
			uint64_t value = odd_value(good.size);

			undo[i].at = odd_place(&good, shoff);
			assert_int_equal(pread(fd, undo[i].old, 8, (off_t)undo[i].at), 8);
			put(fd, undo[i].at, &value, 1u << next(4));
		}
		use(fd, &opened);
		while (n--)
			put(fd, undo[n].at, undo[n].old, 8);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	/* a few milliseconds each; minutes would mean that a count is believed without a bound */
	assert_true(to.tv_sec - from.tv_sec < 120);
	/* else the damage is always seen at the first header, and nothing behind it was tried */
	assert_true(opened > rounds / 20 && opened < rounds);
	print_message("%s: %u damaged copies, %u opened, %ld s\n", path, rounds, opened,
		      (long)(to.tv_sec - from.tv_sec));
	for (unsigned int round = 0; round < 40; round++) {
		assert_int_equal(ftruncate(fd, (off_t)next((uint64_t)lseek(fd, 0, SEEK_END) + 1)), 0);
		use(fd, &opened);
	}
	close(fd);
}

static void test_damaged(void **state)
{
	(void)state;
	fuzz("/bin/true", 20000);
	fuzz("/usr/bin/python3.11", 4000);
	fuzz(libc_path(), 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols),	    cmocka_unit_test(test_sysv_hash),
		cmocka_unit_test(test_self),	    cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_truncated_later), cmocka_unit_test(test_names),
		cmocka_unit_test(test_limits),	    cmocka_unit_test(test_budget),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
