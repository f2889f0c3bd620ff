/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Names, libraries, copies of functions; the process that reads a file, when it answers, dies, hangs or lies. What is found in real libraries is compared with
 * binutils in compare_native.py.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "elf_build.h"
#include "elffile.h"
#include "nativeanswer.h"
#include "nativename.h"
#include "nativestr.h"
#include "nativesym.h"
#include "x86insn.h"

static char err[600];

static struct rt_profile *profile_of(const char *natives)
{
	char *text, *reason;
	struct rt_profile *profile;

	assert_true(asprintf(&text, "phases:\n- {id: a, function: f, label: x}\nnative:\n%s", natives) > 0);
	profile = rt_profile_parse("p.yaml", text, strlen(text), &reason);
	if (!profile)
		fail_msg("%s", reason);
	free(text);
	return profile;
}

/* ---- libraries ---- */

static void test_libraries(void **state)
{
	static const struct {
		const char *glob, *path;
		bool match;
	} cases[] = {
		{"_C*.so", "/site-packages/vllm/_C.abi3.so", true},
		{"_C*.so", "/site-packages/vllm/_C_AVX512.abi3.so (deleted)", true},
		{"_C*.so", "/site-packages/vllm/fs_io_C.abi3.so", false},
		{"_C*.so", "/_C/x.so", false},
		{"_C*.so", "_C.so", true},
		{"libc10.so", "/x/torch/lib/libc10.so", true},
		{"libc10.so", "/x/torch/lib/libc10.so.1", false},
		{"libc10.so*", "/x/torch/lib/libc10.so.1", true},
		{"torch/lib/libc10.so", "/x/torch/lib/libc10.so", true},
		{"torch/lib/libc10.so", "/x/pytorch/lib/libc10.so", false},
		{"torch/*/libc10.so", "/x/torch/a/b/libc10.so", true},
		{"/x/*.so", "/x/libc10.so", true},
		{"/x/*.so", "/y/x/libc10.so", false},
		{"lib?10.so", "/libc10.so", true},
		{"lib?10.so", "/libcc10.so", false},
		{"lib[c]10.so", "/libc10.so", false},
		{"x.so", "/a/x.so (deleted) (deleted)", false},
		{"x.so", "", false},
		{"x.so", " (deleted)", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (rt_native_library_matches(cases[i].glob, cases[i].path) != cases[i].match)
			fail_msg("%s %s %s", cases[i].glob, cases[i].match ? "does not match" : "matches", cases[i].path);
}

static void test_rules_for(void **state)
{
	struct rt_profile *profile = profile_of("- {symbol: a, library: [x.so, y.so], kind: k}\n"
						"- {symbol: b, library: '?.so', kind: k, hot: true}\n"
						"- {symbol: c, library: z.so, kind: k}\n");

	(void)state;
	assert_int_equal(rt_native_rules_for(profile, "/lib/x.so", false), 1);
	assert_int_equal(rt_native_rules_for(profile, "/lib/x.so", true), 3);
	assert_int_equal(rt_native_rules_for(profile, "/lib/z.so", true), 6);
	assert_int_equal(rt_native_rules_for(profile, "/lib/zz.so", true), 0);
	rt_profile_free(profile);
}

/* ---- names ---- */

static void test_names(void **state)
{
	static const struct {
		const char *pattern, *name, *demangled;
		bool match;
	} cases[] = {
		{"init_shm", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", true},
		{"SHMManager::init_shm", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", true},
		{"*SHMManager::init_shm(int)", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", true},
		{"init_shm(int)", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", true},
		{"init_shm(long)", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", false},
		{"Manager::init_shm", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", false},
		{"SHMManager", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", false},
		{"::init_shm", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", false},
		{"::init_shm", "_Z8init_shmi", "init_shm(int)", true},
		{"::(anonymous namespace)::SHMManager::init_shm", "_Z1x", "(anonymous namespace)::SHMManager::init_shm(int)", true},
		{"init_shm", "init_shm", NULL, true},
		{"::init_shm", "init_shm", NULL, true},
		{"init_shm", "init_shm2", NULL, false},
		{"init_shm?", "init_shm2", NULL, true},
		{"_Z16init_shm_manager*", "_Z16init_shm_managerRKl", "init_shm_manager(long const&)", true},
		/* a star behind a type is a pointer */
		{"free_cpu(void*)", "_Z1x", "c10::free_cpu(void*)", true},
		{"free_cpu(void*)", "_Z1x", "c10::free_cpu(void*, int)", false},
		{"free_cpu(void**, int)", "_Z1x", "c10::free_cpu(void**, int)", true},
		{"free_cpu(*)", "_Z1x", "c10::free_cpu(void*, int)", true},
		{"free_cpu(void*, *)", "_Z1x", "c10::free_cpu(void*, int)", true},
		{"take<char const*>", "_Z1x", "void pool::take<char const*>(long)", true},
		{"take<char const*>", "_Z1x", "void pool::take<char const* const>(long)", false},
		/* return types, templates, operators, enclosing functions */
		{"take", "_Z1x", "int* pool::take<int>(unsigned long)", true},
		{"take<int>", "_Z1x", "int* pool::take<int>(unsigned long)", true},
		{"pool::take", "_Z1x", "int* pool::take<a::b>(unsigned long)", true},
		{"b>", "_Z1x", "int* pool::take<a::b>(unsigned long)", false},
		{"int", "_Z1x", "int pool::take<int>(unsigned long)", false},
		{"::pool::take", "_Z1x", "int* pool::take<int>(unsigned long)", true},
		{"pool", "_Z1x", "pool<int>::take(unsigned long)", false},
		{"pool<int>::take", "_Z1x", "pool<int>::take(unsigned long)", true},
		{"operator()", "_Z1x", "a::b::operator()(int)", true},
		{"b::operator()(int)", "_Z1x", "a::b::operator()(int)", true},
		{"operator<<", "_Z1x", "std::ostream& std::operator<< <char>(std::ostream&, char)", true},
		{"std::operator<<", "_Z1x", "std::ostream& std::operator<< <char>(std::ostream&, char)", true},
		{"operator new(unsigned long)", "_Znwm", "operator new(unsigned long)", true},
		{"operator new", "_Znwm", "operator new(unsigned long)", true},
		{"operator new", "_Znam", "operator new[](unsigned long)", false},
		{"operator bool", "_Z1x", "pool::Both::operator bool() const", true},
		{"operator std::string", "_Z1x", "Both::operator std::string() const", true},
		{"string", "_Z1x", "Both::operator std::string() const", false},
		{"for_each", "_Z1x", "pool::for_each(int)::{lambda(int)#1}::operator()(int) const", false},
		{"operator()", "_Z1x", "pool::for_each(int)::{lambda(int)#1}::operator()(int) const", true},
		{"{lambda(int)#1}::operator()", "_Z1x", "a::f(int) const::{lambda(int)#1}::operator()(int) const", true},
		{"what", "_Z1x", "std::Bad::what[abi:cxx11]() const", true},
		/* made-up names */
		{"*put*", "_ZThn8_N4Both3putEPv", "non-virtual thunk to Both::put(void*)", false},
		{"put", "_ZThn8_N4Both3putEPv", "non-virtual thunk to Both::put(void*)", false},
		{"_ZT*put*", "_ZThn8_N4Both3putEPv", "non-virtual thunk to Both::put(void*)", true},
		/* odd ones are matched as a whole, and end */
		{"((((", "_Z1x", "((((", true},
		{"a", "_Z1x", "<<<<(((a", false},
		{"a*", "_Z1x", "", false},
		{"operator", "_Z1x", "operator", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (rt_native_name_matches(cases[i].pattern, cases[i].name, cases[i].demangled) != cases[i].match)
			fail_msg("%s %s %s", cases[i].pattern, cases[i].match ? "does not mean" : "means", cases[i].demangled ? cases[i].demangled : cases[i].name);
}

static void test_copies(void **state)
{
	static const struct {
		const char *name, *base;
		unsigned int flags;
	} cases[] = {
		{"_Z3foov", "_Z3foov", 0},
		{"_Z3foov.cold", "_Z3foov", RT_CLONE_COLD},
		{"_Z3foov.cold.17", "_Z3foov", RT_CLONE_COLD},
		{"_Z3foov.part.0", "_Z3foov", RT_CLONE_PART},
		{"_Z3foov.part.0.cold", "_Z3foov", RT_CLONE_PART | RT_CLONE_COLD},
		{"_Z3foov.isra.0", "_Z3foov", RT_CLONE_ALTERED},
		{"_Z3foov.constprop.1.isra.0", "_Z3foov", RT_CLONE_ALTERED},
		{"_Z3foov.lto_priv.0", "_Z3foov", RT_CLONE_SAME},
		{"_Z3foov.localalias", "_Z3foov", RT_CLONE_SAME},
		{"_Z3foov.llvm.1234", "_Z3foov", RT_CLONE_SAME},
		{"_Z3foov.__uniq.12.llvm.3", "_Z3foov", RT_CLONE_SAME},
		{"foo.part", "foo", RT_CLONE_PART},
		{"foo.parts.0", "foo.parts.0", 0},
		{"foo.part.0x", "foo.part.0x", 0},
		{"foo.avx2.0", "foo.avx2.0", 0},
		{"foo.avx2.0.cold", "foo.avx2.0", RT_CLONE_COLD},
		{"foo._omp_fn.0", "foo._omp_fn.0", 0},
		{"foo.cold._omp_fn.0", "foo.cold._omp_fn.0", RT_CLONE_COLD},
		{"foo.isra.0.avx2", "foo.isra.0.avx2", 0},
		{".cold", ".cold", 0},
		{"x.cold", "x", RT_CLONE_COLD},
		{"", "", 0},
		{".", ".", 0},
		{"a..cold", "a.", RT_CLONE_COLD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int flags = 0;
		size_t len = rt_native_clone(cases[i].name, &flags);

		if (len != strlen(cases[i].base) || flags != cases[i].flags)
			fail_msg("%s: %.*s, flags %x", cases[i].name, (int)len, cases[i].name, flags);
	}
}

static void test_needles(void **state)
{
	static const char *const cases[][2] = {
		{"init_shm", "init_shm"}, {"*SHM::init_shm(int)", "init_shm"}, {"std::string::operator=*", ""}, {"operator new(unsigned long)", ""},
		{"my_malloc?", "my_malloc"}, {"*lam*", ""}, {"ab", ""}, {"f64(12345)", "f64"}, {"basic_strings", "basic_strings"}, {"sic_str*", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *at = "";
		size_t len = rt_native_needle(cases[i][0], &at);

		if (len != strlen(cases[i][1]) || strncmp(at, cases[i][1], len) != 0)
			fail_msg("%s: %.*s", cases[i][0], (int)len, at);
	}
}

/* ---- string tables ---- */

/* Where names with a word in them begin, in tables of short and long strings over a few letters: for every offset, what strstr says. */
static void test_string_tables(void **state)
{
	enum { SIZE = 700 << 10 };
	static const struct rt_native_word words[] = {{"abba", 4}, {"bbbbbbb", 7}, {"ccac", 4}};
	struct rt_elf elf = {.name = "strings", .fd = (int)syscall(SYS_memfd_create, "strings", 0), .size = SIZE};
	struct rt_elf_table table = {.str_size = SIZE};
	char *text = malloc(SIZE);

	(void)state;
	for (unsigned int round = 0; round < 4; round++) {
		struct rt_native_ranges ranges;
		struct rt_native_names names = {0};
		size_t found = 0;

		for (size_t i = 0; i < SIZE; i++) { /* in the last round, one string is longer than two blocks */
			bool end = round < 3 ? rand() % (round == 0 ? 6 : 600) == 0 : i < 1000;

			text[i] = end ? '\0' : (char)('a' + rand() % 3);
		}
		text[SIZE - 1] = '\0';
		for (size_t i = 0; round < 3 && i < 2; i++) /* across the borders of blocks, which overlap by 512 bytes */
			memcpy(text + (i ? 2 * (262144 - 512) + 512 : 262144) - 2 - round, "\0abba", 6);
		elf.budget = UINT64_MAX;
		assert_int_equal(pwrite(elf.fd, text, SIZE, 0), SIZE);
		assert_int_equal(rt_native_scan(&elf, &table, words, 3, &ranges), 0);
		for (size_t i = 0, stop = 0; i < SIZE; i++) {
			static bool has; /* the string that begins at i, as long as it is the one before without a byte */
			const char *name;

			if (i >= stop || !text[i] || !has || round < 3) {
				has = strstr(text + i, words[0].at) || strstr(text + i, words[1].at) || strstr(text + i, words[2].at);
				stop = i;
				for (size_t k = 0; round == 3 && has && k < 3; k++) { /* it stays so up to the last of them */
					for (const char *p = text + i; (p = strstr(p, words[k].at)); p++)
						stop = (size_t)(p - text) > stop ? (size_t)(p - text) : stop;
				}
				stop++;
			}
			if (rt_native_in_ranges(&ranges, (uint32_t)i) != has)
				fail_msg("round %u, offset %zu: %d", round, i, has);
			found += has;
			if (i % 101)
				continue;
			assert_int_equal(rt_native_name(&elf, &table, &names, (uint32_t)i, &name), 0);
			if (strlen(text + i) < RT_NATIVE_SYMBOL_MAX)
				assert_true(name && !strcmp(name, text + i));
			else
				assert_null(name);
		}
		assert_true(found > 1000 && found < SIZE);
		free(ranges.range);
	}
	free(text);
	close(elf.fd);
}

/* ---- instructions ---- */

/* What no compiler writes, and what is cut off: objdump has the rest (compare_native.py). */
static void test_decode_refusals(void **state)
{
	static const char *const refused[] = {"06", "0e", "27", "60", "82", "9a", "c4e0", "d6", "ea", "66e9", "66e8", "660f84", "0f04", "0f24", "8fc8", "c7f8", "d5", "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0",
					      "4066", "66c5f8", "62f07c4858c0", "0f0f", "4848"};
	static const uint8_t whole[] = {0x48, 0x81, 0x84, 0x24, 0x10, 0x20, 0, 0, 1, 2, 3, 4}; /* addq $0x4030201, 0x2010(%rsp) */
	struct rt_x86_insn insn;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		uint8_t bytes[32] = {0};
		unsigned int value;

		for (size_t k = 0; refused[i][2 * k]; k++) {
			assert_int_equal(sscanf(refused[i] + 2 * k, "%2x", &value), 1);
			bytes[k] = (uint8_t)value;
		}
		if (rt_x86_decode(bytes, sizeof(bytes), &insn))
			fail_msg("%s is decoded", refused[i]);
	}
	for (size_t len = 0; len <= sizeof(whole); len++) {
		uint8_t *cut = malloc(len ? len : 1);

		memcpy(cut, whole, len);
		assert_int_equal(rt_x86_decode(cut, len, &insn), len == sizeof(whole));
		free(cut);
	}
	assert_int_equal(insn.len, sizeof(whole));
	assert_false(insn.quiet);
}

/* ---- the process that reads ---- */

/* A file whose string table takes seconds to look through: full of a name that is looked for. Sparse, but for the symbols. */
static int slow_file(void)
{
	enum { SYMS = 1000, CODE = 4096 };
	const uint64_t strings = 1500ull << 20;
	static Elf64_Sym sym[SYMS];
	Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
			 .e_phoff = sizeof(eh), .e_shoff = 8192, .e_ehsize = sizeof(eh), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1,
			 .e_shentsize = sizeof(Elf64_Shdr), .e_shnum = 3};
	Elf64_Phdr ph = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 8192, .p_memsz = 8192};
	Elf64_Shdr sh[3] = {{0}, {.sh_type = SHT_SYMTAB, .sh_offset = 16384, .sh_size = sizeof(sym), .sh_link = 2, .sh_entsize = sizeof(*sym)},
			    {.sh_type = SHT_STRTAB, .sh_offset = 65536, .sh_size = strings}};
	int fd = (int)syscall(SYS_memfd_create, "slow", 0);

	for (int i = 0; i < SYMS; i++)
		sym[i] = (Elf64_Sym){.st_name = 1, .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC), .st_shndx = 1, .st_value = CODE, .st_size = 1};
	assert_true(fd >= 0 && !ftruncate(fd, (off_t)(65536 + strings)));
	assert_int_equal(pwrite(fd, &eh, sizeof(eh), 0), sizeof(eh));
	assert_int_equal(pwrite(fd, &ph, sizeof(ph), sizeof(eh)), sizeof(ph));
	assert_int_equal(pwrite(fd, sh, sizeof(sh), 8192), sizeof(sh));
	assert_int_equal(pwrite(fd, sym, sizeof(sym), 16384), sizeof(sym));
	assert_int_equal(pwrite(fd, "\x53\xc3", 2, CODE), 2); /* push %rbx */
	assert_int_equal(pwrite(fd, "my_function", 12, 65536 + 1), 12);
	return fd;
}

/* The only child of this process; 0: none. */
static pid_t only_child(void)
{
	char path[64], text[256];
	pid_t found = 0;
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name), parent = 0;
		FILE *file;

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(text, sizeof(text), file) && strrchr(text, ')'))
			sscanf(strrchr(text, ')') + 1, " %*c %d", &parent);
		fclose(file);
		if (parent == getpid())
			found = pid;
	}
	closedir(dir);
	return found;
}

/* It is killed, or stops, in the middle of its work: an error for this file, and no process is left. */
static void test_child_ends(void **state)
{
	struct rt_profile *profile = profile_of("- {symbol: my_function, library: s.so, kind: k}\n");
	struct rt_native_request request = {.profile = profile, .mask = 1, .fd = slow_file(), .root_fd = -1, .path = "s.so"};
	struct rt_native_sites sites;
	struct rt_native_job *job;
	struct pollfd p;
	int code;

	(void)state;
	/* left alone, it answers */
	assert_int_equal(rt_native_read(&request, &sites, err, sizeof(err)), 0);
	assert_int_equal(sites.n, 1);
	assert_int_equal(sites.site[0].entry, 4096);
	assert_string_equal(sites.site[0].name, "my_function");
	assert_int_equal(sites.rule[0].found, RT_NATIVE_FOUND);
	rt_native_sites_release(&sites);
	for (int stop = 0; stop < 2; stop++) {
		assert_int_equal(rt_native_start(&request, &job, err, sizeof(err)), 0);
		assert_int_equal(rt_native_poll(job, &sites, err, sizeof(err)), -EAGAIN);
		assert_true(only_child() > 0);
		assert_int_equal(kill(only_child(), stop ? SIGSTOP : SIGKILL), 0);
		p = (struct pollfd){.fd = rt_native_fd(job), .events = POLLIN};
		poll(&p, 1, stop ? 100 : 10000);
		code = rt_native_poll(job, &sites, err, sizeof(err));
		assert_int_equal(code, stop ? -EAGAIN : -EBADMSG);
		if (!stop)
			assert_non_null(strstr(err, "s.so: the process that read it died (signal 9)"));
		rt_native_free(job);
		assert_int_equal(only_child(), 0);
	}
	close(request.fd);
	rt_profile_free(profile);
}

static void test_refusals(void **state)
{
	struct rt_profile *profile = profile_of("- {symbol: my_function, library: s.so, kind: k}\n");
	struct eb_spec spec = {0};
	const uint16_t arm = EM_AARCH64;
	struct rt_native_request request = {.profile = profile, .mask = 1, .root_fd = -1, .path = "s.so"};
	struct rt_native_sites sites;
	struct rt_native_job *job;

	(void)state;
	request.fd = open("/dev/null", O_RDONLY);
	assert_int_equal(rt_native_start(&request, &job, err, sizeof(err)), -ENOEXEC);
	assert_non_null(strstr(err, "s.so: not a regular file"));
	close(request.fd);
	request.fd = (int)syscall(SYS_memfd_create, "other", 0);
	assert_true(eb_write(&spec, request.fd));
	assert_int_equal(pwrite(request.fd, &arm, sizeof(arm), offsetof(Elf64_Ehdr, e_machine)), sizeof(arm));
	assert_int_equal(rt_native_read(&request, &sites, err, sizeof(err)), -ENOTSUP);
	assert_non_null(strstr(err, "s.so: is not for x86-64"));
	close(request.fd);
	rt_profile_free(profile);
	rt_native_free(NULL);
}

/* ---- lies ---- */

static struct {
	struct rt_native_answer a;
	struct rt_native_site site[2];
} lie;

static const struct rt_elf lie_elf = {.name = "l.so", .n_loads = 1, .load = {{.offset = 4096, .filesz = 4096, .flags = PF_R | PF_X}}};

static void honest(void)
{
	memset(&lie, 0, sizeof(lie));
	lie.a.magic = RT_NATIVE_MAGIC;
	lie.a.n_sites = 2;
	lie.a.rule[0].found = lie.a.rule[3].found = RT_NATIVE_FOUND;
	lie.site[0] = (struct rt_native_site){.rule = 0, .entry = 4096, .offset = 4100, .name = "f()"};
	lie.site[1] = (struct rt_native_site){.rule = 3, .entry = 8191, .offset = 8191, .name = "数"};
}

static int told(size_t cut)
{
	struct rt_native_sites sites = {0};
	int code = rt_native_answer_take(&lie, sizeof(lie.a) + lie.a.n_sites * sizeof(lie.site[0]) - cut, &lie_elf, 9, &sites, err, sizeof(err));

	rt_native_sites_release(&sites);
	return code;
}

#define LIE(what) do { honest(); what; if (told(0) != -EBADMSG) fail_msg("believed: %s", #what); } while (0)

static void test_lies(void **state)
{
	(void)state;
	honest();
	assert_int_equal(told(0), 0);
	for (size_t cut = 1; cut < sizeof(lie); cut += 37)
		assert_int_equal(told(cut), -EBADMSG);
	LIE(lie.a.magic++);
	LIE(lie.a.status = 1);
	LIE(lie.a.status = INT_MIN);
	LIE(lie.a.status = -5); /* and sites */
	LIE(lie.a.rule[0].found = 0);
	LIE(lie.a.rule[1].found = RT_NATIVE_FOUND);
	LIE(lie.a.rule[0].found = 99);
	LIE(memset(lie.a.rule[0].reason, 'x', sizeof(lie.a.rule[0].reason)));
	LIE(strcpy(lie.a.rule[0].reason, "\033[2J"));
	LIE(lie.site[0].rule = 1);
	LIE(lie.site[0].rule = 64);
	LIE(lie.site[0].rule = UINT32_MAX);
	LIE(lie.site[0].flags = 1u << 31);
	LIE(lie.site[0].entry = 4095);
	LIE(lie.site[0].offset = 4095);
	LIE(lie.site[0].entry = 4101);
	LIE(lie.site[0].offset = 4096 + 65);
	LIE(lie.site[1].offset = 8192);
	LIE(lie.site[1].entry = UINT64_MAX; lie.site[1].offset = 5);
	LIE(lie.site[1] = lie.site[0]; lie.site[1].rule = 3);
	LIE(lie.site[0].name[0] = '\0');
	LIE(strcpy(lie.site[0].name, "\xff\xfe"));
	LIE(strcpy(lie.site[0].name, "a\nb"));
	LIE(memset(lie.site[1].name, 'n', sizeof(lie.site[1].name)));
	honest();
	lie.a.n_sites = RT_NATIVE_SITES_MAX + 1;
	assert_int_equal(rt_native_answer_take(&lie, sizeof(lie.a), &lie_elf, 9, NULL, err, sizeof(err)), -EBADMSG);
	/* its own error is told, made fit for a terminal */
	honest();
	lie.a.n_sites = 0;
	lie.a.status = -EIO;
	strcpy(lie.a.error, "l.so: \033 bad");
	assert_int_equal(told(0), -EIO);
	assert_string_equal(err, "l.so: \\x1b bad");
	memset(lie.a.error, 'e', sizeof(lie.a.error));
	assert_int_equal(told(0), -EIO);
	assert_string_equal(err, "l.so");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libraries),	cmocka_unit_test(test_rules_for), cmocka_unit_test(test_names),	   cmocka_unit_test(test_copies),
		cmocka_unit_test(test_needles), cmocka_unit_test(test_string_tables),		cmocka_unit_test(test_decode_refusals), cmocka_unit_test(test_child_ends), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests_name("native", tests, NULL, NULL);
}
