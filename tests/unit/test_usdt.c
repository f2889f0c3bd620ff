/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Notes of static probes: good ones that <sys/sdt.h>'s format describes, built byte by byte, and hostile ones, which must be refused without a read out of bounds (the sanitizer
 * sees to that: every buffer has its exact size).
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "elffile.h"
#include "usdt.h"

#define TEXT(s) (s), sizeof(s)

static uint8_t built[4096];
static size_t n_built;

static void begin(void)
{
	memset(built, 0, sizeof(built));
	n_built = 0;
}

/* Appends one note; `text` is provider, name and arguments with their NULs. Returns where it begins. */
static size_t note(const char *owner, uint32_t type, uint64_t pc, uint64_t base, uint64_t semaphore, const char *text, size_t len)
{
	uint64_t words[3] = {pc, base, semaphore};
	Elf64_Nhdr nh = {.n_namesz = (uint32_t)strlen(owner) + 1, .n_descsz = (uint32_t)(sizeof(words) + len), .n_type = type};
	size_t at = n_built;

	memcpy(built + n_built, &nh, sizeof(nh));
	memcpy(built + n_built + sizeof(nh), owner, nh.n_namesz);
	n_built += sizeof(nh) + (nh.n_namesz + 3) / 4 * 4;
	memcpy(built + n_built, words, sizeof(words));
	memcpy(built + n_built + sizeof(words), text, len);
	n_built += (nh.n_descsz + 3) / 4 * 4;
	return at;
}

/* In memory of exactly that size. */
static int find(size_t len, struct rt_usdt_note *out, size_t max)
{
	uint8_t *copy = malloc(len ? len : 1);
	int n;

	memcpy(copy, built, len);
	n = rt_usdt_find(copy, len, "python", "function__entry", out, max);
	free(copy);
	return n;
}

static void test_good(void **state)
{
	struct rt_usdt_note out[2] = {0};

	begin();
	note("stapsdt", 3, 1, 2, 3, TEXT("python\0gc__done\0-8@%rax"));
	note("stapsdt", 3, 0x42daa2, 0x883cd0, 0x93a1b8, TEXT("python\0function__entry\0008@%r13 8@%r14 -4@%eax"));
	note("GNU", 3, 4, 5, 6, TEXT("python\0function__entry\0"));
	note("stapsdt", 4, 4, 5, 6, TEXT("python\0function__entry\0"));
	note("stapsdt", 3, 4, 5, 6, TEXT("pythonx\0function__entry\0"));
	note("stapsdt", 3, 4, 5, 6, TEXT("python\0function__entry_\0"));
	assert_int_equal(find(n_built, out, 2), 1);
	assert_int_equal(out[0].pc, 0x42daa2);
	assert_int_equal(out[0].base, 0x883cd0);
	assert_int_equal(out[0].semaphore, 0x93a1b8);
	note("stapsdt", 3, 7, 8, 0, TEXT("python\0function__entry\0"));
	note("stapsdt", 3, 9, 8, 0, TEXT("python\0function__entry\0"));
	out[1].pc = 0;
	assert_int_equal(find(n_built, out, 2), 3); /* all are counted, two are kept */
	assert_int_equal(out[1].pc, 7);
	assert_int_equal(find(0, out, 2), 0);
}

static void test_hostile(void **state)
{
	struct rt_usdt_note out[2];
	size_t at, cut;

	begin();
	note("stapsdt", 3, 1, 2, 3, TEXT("python\0function__entry\0x"));
	cut = n_built;
	for (size_t len = sizeof(Elf64_Nhdr); len < cut - 3; len++) /* the last word may be padding */
		assert_true(find(len, out, 2) == -ENOEXEC);
	for (uint32_t huge = 0xffffffff, i = 0; i < 5; huge -= i++) { /* sums that wrap around, in 32 bits */
		begin();
		at = note("stapsdt", 3, 1, 2, 3, TEXT("python\0function__entry\0"));
		memcpy(built + at, &huge, 4);
		assert_int_equal(find(n_built, out, 2), -ENOEXEC);
		memcpy(built + at, &(uint32_t){8}, 4);
		memcpy(built + at + 4, &huge, 4);
		assert_int_equal(find(n_built, out, 2), -ENOEXEC);
	}
	begin(); /* no NUL in the descriptor */
	note("stapsdt", 3, 1, 2, 3, "python", 6);
	note("stapsdt", 3, 1, 2, 3, TEXT("python\0function__entry\0"));
	assert_int_equal(find(n_built, out, 2), -ENOEXEC);
	begin(); /* no arguments, not even none */
	note("stapsdt", 3, 1, 2, 3, "python\0function__entry", 23);
	assert_int_equal(find(n_built, out, 2), -ENOEXEC);
	begin(); /* shorter than its addresses */
	at = note("stapsdt", 3, 1, 2, 3, TEXT("python\0function__entry\0"));
	memcpy(built + at + 4, &(uint32_t){23}, 4);
	assert_int_equal(find(n_built, out, 2), -ENOEXEC);
}

/* Bytes at random, also within good notes: any answer, in bounds. */
static void test_damaged(void **state)
{
	struct rt_usdt_note out[2];
	uint64_t seed = 1;
	unsigned int good = 0;

	for (int round = 0; round < 20000; round++) {
		begin();
		note("stapsdt", 3, 1, 2, 3, TEXT("python\0gc__done\0"));
		note("stapsdt", 3, 1, 2, 3, TEXT("python\0function__entry\0x"));
		for (int i = 0; i < 2; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			built[(seed >> 33) % n_built] = (uint8_t)(seed >> 24);
		}
		good += find(n_built, out, 2) == 1;
	}
	assert_true(good > 1000 && good < 19000);
}

/* A whole file: one executable and one writable segment, probes in notes, and what prelink would have moved. */
static int whole(uint64_t base_now, uint8_t instruction, uint64_t pc, uint64_t semaphore, struct rt_usdt *out)
{
	static const char names[] = "\0.note.stapsdt\0.stapsdt.base\0.shstrtab";
	Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
			 .e_phoff = 64, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2, .e_ehsize = 64, .e_shoff = 1024, .e_shentsize = sizeof(Elf64_Shdr), .e_shnum = 4,
			 .e_shstrndx = 3};
	Elf64_Phdr ph[2] = {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 256, .p_vaddr = 0x10100, .p_filesz = 64, .p_memsz = 64},
			    {.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = 320, .p_vaddr = 0x20140, .p_filesz = 64, .p_memsz = 128}};
	Elf64_Shdr sh[4] = {{0}, {.sh_name = 1, .sh_type = SHT_NOTE, .sh_offset = 512}, {.sh_name = 15, .sh_type = SHT_PROGBITS, .sh_addr = base_now, .sh_offset = 256, .sh_size = 1},
			    {.sh_name = 29, .sh_type = SHT_STRTAB, .sh_offset = 448, .sh_size = sizeof(names)}};
	int fd = memfd_create("usdt", MFD_CLOEXEC), code;
	struct rt_elf *elf = malloc(sizeof(*elf));
	uint8_t file[2048] = {0};
	char err[256] = "";

	begin();
	note("stapsdt", 3, pc, 0x10100, semaphore, TEXT("python\0function__entry\0"));
	sh[1].sh_size = n_built;
	memcpy(file, &eh, sizeof(eh));
	memcpy(file + 64, ph, sizeof(ph));
	file[256 + 16] = instruction;
	memcpy(file + 448, names, sizeof(names));
	memcpy(file + 512, built, n_built);
	memcpy(file + 1024, sh, sizeof(sh));
	assert_true(fd >= 0 && write(fd, file, sizeof(file)) == sizeof(file));
	code = rt_elf_open(elf, fd, "usdt", err, sizeof(err));
	if (code)
		fail_msg("%s", err);
	assert_int_equal(rt_usdt_read(elf, "python", "function__return", out), -ENOENT);
	code = rt_usdt_read(elf, "python", "function__entry", out);
	free(elf);
	close(fd);
	return code;
}

static void test_file(void **state)
{
	struct rt_usdt out = {0};

	assert_int_equal(whole(0x10100, 0x90, 0x10110, 0x20150, &out), 0);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.site[0].offset, 256 + 16);
	assert_int_equal(out.site[0].semaphore, 320 + 16);
	assert_int_equal(whole(0x10200, 0x90, 0x10010, 0x20050, &out), 0); /* moved by 0x100 since */
	assert_int_equal(out.site[0].offset, 256 + 16);
	assert_int_equal(out.site[0].semaphore, 320 + 16);
	assert_int_equal(whole(0x10100, 0x90, 0x10110, 0, &out), 0);
	assert_int_equal(out.site[0].semaphore, 0);
	assert_int_equal(whole(0x10100, 0x55, 0x10110, 0x20150, &out), -ENOEXEC); /* no nop */
	assert_int_equal(whole(0x10100, 0x90, 0x20150, 0x20150, &out), -ENOEXEC); /* a site in data */
	assert_int_equal(whole(0x10100, 0x90, 0x10110, 0x10120, &out), -ENOEXEC); /* a counter in code */
	assert_int_equal(whole(0x10100, 0x90, 0x10110, 0x2017f, &out), -ENOEXEC); /* half of one behind the file's part */
	assert_int_equal(whole(0x10100, 0x90, 0x10110, 0x201a0, &out), -ENOEXEC); /* one that is not in the file */
	assert_int_equal(whole(0x10100, 0x90, UINT64_MAX, 0x20150, &out), -ENOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_hostile), cmocka_unit_test(test_damaged), cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests_name("usdt", tests, NULL, NULL);
}
