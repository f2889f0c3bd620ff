/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Damaged ELF files through the whole search for native functions, in this process, so that the sanitizers see it; a part of them through the child as well.
 * Each file is a C++ library with one or more of its parts changed: truncated, counts and offsets wild, tables on top of each other, chains without end, names without end, code at random.
 *
 *	test_nativefuzz                 2,000 files of each kind, always the same ones
 *	RT_FUZZ_ROUNDS=N RT_FUZZ_SEED=M how many, and others (`make fuzz`)
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "elffile.h"
#include "nativefind.h"
#include "nativesym.h"
#include "units.h"

#define SEED_FILE "build/san/native_seed.so"
#define ROUNDS 2000
#define SLOW_NS 5000000000ull /* of processor time, under sanitizers; what is seen is 20 ms */

static uint64_t random_state;

static uint64_t next(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return below ? random_state % below : 0;
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- the file ---- */

struct area {
	uint64_t at, len, step; /* elements of `step` bytes */
};

static struct {
	uint8_t *bytes; /* as it is on disk */
	uint8_t *now;
	size_t len;
	int fd;
	struct area areas[64]; /* what the reader looks at */
	size_t n_areas;
	Elf64_Shdr *sh; /* in `now` */
	size_t n_sh;
} lib;

static void add_area(uint64_t at, uint64_t len, uint64_t step)
{
	if (len >= step && lib.n_areas < 64)
		lib.areas[lib.n_areas++] = (struct area){at, len, step};
}

static int setup(void **state)
{
	int fd = open(SEED_FILE, O_RDONLY | O_CLOEXEC);
	struct stat st;
	Elf64_Ehdr eh;

	(void)state;
	if (fd < 0 || fstat(fd, &st))
		fail_msg("%s: %s (make builds it)", SEED_FILE, strerror(errno));
	lib.len = (size_t)st.st_size;
	lib.bytes = malloc(lib.len);
	lib.now = malloc(lib.len);
	assert_int_equal(read(fd, lib.bytes, lib.len), st.st_size);
	close(fd);
	lib.fd = (int)syscall(SYS_memfd_create, "fuzz", 0);
	memcpy(&eh, lib.bytes, sizeof(eh));
	lib.n_sh = eh.e_shnum;
	lib.sh = (Elf64_Shdr *)(void *)(lib.now + eh.e_shoff);
	add_area(0, sizeof(eh), 1);
	add_area(eh.e_phoff, eh.e_phnum * sizeof(Elf64_Phdr), 8);
	add_area(eh.e_shoff, eh.e_shnum * sizeof(Elf64_Shdr), 8);
	for (size_t i = 0; i < eh.e_shnum; i++) {
		Elf64_Shdr sh;

		memcpy(&sh, lib.bytes + eh.e_shoff + i * sizeof(sh), sizeof(sh));
		if (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM || sh.sh_type == SHT_DYNAMIC)
			add_area(sh.sh_offset, sh.sh_size, 8);
		else if (sh.sh_type == SHT_STRTAB || sh.sh_type == SHT_NOTE || sh.sh_flags & SHF_EXECINSTR)
			add_area(sh.sh_offset, sh.sh_size, 1);
		else if (sh.sh_type == SHT_GNU_HASH || sh.sh_type == SHT_HASH)
			add_area(sh.sh_offset, sh.sh_size, 4);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(lib.bytes);
	free(lib.now);
	close(lib.fd);
	return 0;
}

/* ---- damage ---- */

static uint64_t odd_value(void)
{
	const uint64_t values[] = {0, 1, 2, 23, 24, 25, 63, 64, 4095, 4096, lib.len - 1, lib.len, lib.len + 1, INT32_MAX, UINT32_MAX, (uint64_t)UINT32_MAX + 1,
				   INT64_MAX, UINT64_MAX, UINT64_MAX - 23, 1ull << 63, UINT64_MAX - lib.len};
	uint64_t n = sizeof(values) / sizeof(values[0]), i = next(n + 3);

	return i < n ? values[i] : i == n ? next(lib.len) : i == n + 1 ? lib.areas[next(lib.n_areas)].at : next(0) + (random_state << 1);
}

static void damage_field(void)
{
	const struct area *a = &lib.areas[next(lib.n_areas)];
	uint64_t at = a->at + next(a->len / a->step) * a->step, value = odd_value();
	size_t len = 1u << next(4);

	if (at + len <= lib.len)
		memcpy(lib.now + at, &value, len);
}

static void damage_bytes(void)
{
	const struct area *a = &lib.areas[next(lib.n_areas)];
	uint64_t at = a->at + next(a->len), n = 1 + next(64);

	for (uint64_t i = 0; i < n && at + i < a->at + a->len && at + i < lib.len; i++)
		lib.now[at + i] = (uint8_t)next(256);
}

/* One section lies where another is, or is linked to itself. */
static void damage_overlap(void)
{
	Elf64_Shdr *a = &lib.sh[next(lib.n_sh)], *b = &lib.sh[next(lib.n_sh)];

	if (next(3)) {
		a->sh_offset = b->sh_offset + next(64);
		a->sh_size = next(2) ? b->sh_size : a->sh_size;
	} else {
		a->sh_link = (uint32_t)(a - lib.sh);
		a->sh_type = next(2) ? SHT_STRTAB : SHT_SYMTAB;
	}
}

/* Hash chains without an end; names without one; names that demanglers dislike. */
static void damage_ends(void)
{
	static const char *const deep[] = {"_ZN", "_Z1fI", "St", "PKR", "N1aI", "S_", "T_", "_ZZ", "dpcl", "LZ", "XadL_Z", "B5abc", "_ZNK12_GLOBAL__N_1", "J", "F", "EvT_"};

	for (size_t i = 0; i < lib.n_sh; i++) {
		uint64_t at = lib.sh[i].sh_offset, len = lib.sh[i].sh_size;

		if (at > lib.len || len > lib.len - at || !len)
			continue;
		if (lib.sh[i].sh_type == SHT_GNU_HASH && !next(3)) {
			for (uint64_t k = 16; k + 4 <= len; k += 4)
				lib.now[at + k] &= 0xfe;
		} else if (lib.sh[i].sh_type == SHT_STRTAB && !next(3)) {
			uint64_t from = next(len), n = next(len - from);
			const char *piece = deep[next(sizeof(deep) / sizeof(deep[0]))];

			memcpy(lib.now + at + from, "_Z", from + 2 <= len ? 2 : 0);
			for (uint64_t k = 2; k < n; k++) {
				if (!(k % strlen(piece)) && !next(16))
					piece = deep[next(sizeof(deep) / sizeof(deep[0]))];
				lib.now[at + from + k] = (uint8_t)piece[k % strlen(piece)];
			}
		}
	}
}

static void damage(void)
{
	memcpy(lib.now, lib.bytes, lib.len);
	for (uint64_t n = 1 + next(8); n; n--) {
		switch (next(8)) {
		case 0:
		case 1:
			damage_bytes();
			break;
		case 2:
			damage_overlap();
			break;
		case 3:
			damage_ends();
			break;
		default:
			damage_field();
		}
	}
}

static void write_file(size_t len)
{
	assert_int_equal(ftruncate(lib.fd, 0), 0);
	assert_int_equal(pwrite(lib.fd, lib.now, len, 0), len);
}

/* ---- use ---- */

static struct rt_profile *profile;
static struct rt_elf elf, debug;
static unsigned long opened, searched, sites_seen;
static uint64_t slowest;

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* Whatever comes out has to be in bounds. */
static void check(const struct rt_native_sites *sites, size_t len)
{
	assert_true(sites->n <= RT_NATIVE_SITES_MAX);
	for (size_t i = 0; i < sites->n; i++) {
		const struct rt_native_site *s = &sites->site[i];
		char *escaped = rt_text_escape(s->name, 0);

		assert_true(s->rule < profile->n_natives && s->entry < len && s->offset < len && s->offset >= s->entry && s->offset - s->entry <= 32);
		assert_true(!i || sites->site[i - 1].offset < s->offset);
		assert_true(memchr(s->name, 0, sizeof(s->name)) && s->name[0]);
		assert_string_equal(escaped, s->name);
		free(escaped);
	}
	for (size_t i = 0; i < RT_NATIVE_RULES_MAX; i++) {
		assert_true((sites->rule[i].found != RT_NATIVE_NOT_ASKED) == (i < profile->n_natives));
		assert_non_null(memchr(sites->rule[i].reason, 0, sizeof(sites->rule[i].reason)));
	}
	sites_seen += sites->n;
}

static void use(size_t len)
{
	struct rt_native_sites sites = {0};
	uint64_t begin = cpu_ns();
	char err[600] = "";
	int code = rt_elf_open(&elf, lib.fd, "fuzzed", err, sizeof(err));

	if (!code) {
		opened++;
		if (!rt_elf_open_debug(&debug, lib.fd, "fuzzed", &elf, err, sizeof(err)))
			elf.debug = &debug;
		elf.budget = debug.budget = RT_NATIVE_BUDGET;
		code = rt_native_find(profile, (1ull << profile->n_natives) - 1, &elf, &sites, err, sizeof(err));
	}
	if (code) {
		assert_true(code < 0 && !strncmp(err, "fuzzed: ", 8));
	} else {
		searched++;
		check(&sites, len);
		rt_native_sites_release(&sites);
	}
	begin = cpu_ns() - begin;
	slowest = begin > slowest ? begin : slowest;
	if (begin >= SLOW_NS)
		fail_msg("%llu ms", (unsigned long long)(begin / 1000000));
}

static int through_child(void)
{
	struct rt_native_request request = {.profile = profile, .mask = (1ull << profile->n_natives) - 1, .fd = lib.fd, .root_fd = -1, .path = "fuzzed"};
	struct rt_native_sites sites;
	char err[600] = "";
	int code = rt_native_read(&request, &sites, err, sizeof(err));

	if (code) {
		assert_true(code < 0 && !strncmp(err, "fuzzed: ", 8));
		return 0;
	}
	check(&sites, lib.len);
	rt_native_sites_release(&sites);
	return 1;
}

/* With a rule whose pattern leaves no word to look for, so that every name is demangled, and without. */
static void read_rules(bool every_name)
{
	char text[1024], *reason;

	snprintf(text, sizeof(text), "phases:\n- {id: a, function: f, label: x}\nnative:\n"
				     "- {symbol: [init_shm, 'coldly*', reached], library: x.so, kind: k, fallback: [init_shm_manager, join_shm_manager]}\n"
				     "- {symbol: ['my_*', 'pool::*', 'site_*'], library: x.so, kind: k, bytes: arg1}\n"
				     "- {symbol: no_such, library: x.so, kind: k, fallback: spin}\n%s",
		 every_name ? "- {symbol: 'std::*string*', library: x.so, kind: k}\n" : "");
	rt_profile_free(profile);
	profile = rt_profile_parse("p.yaml", text, strlen(text), &reason);
	if (!profile)
		fail_msg("%s", reason);
}

static void test_damaged(void **state)
{
	uint64_t rounds = from_env("RT_FUZZ_ROUNDS", ROUNDS);

	(void)state;
	random_state = 0x9e3779b97f4a7c15ull + from_env("RT_FUZZ_SEED", 0);
	read_rules(false);
	memcpy(lib.now, lib.bytes, lib.len);
	write_file(lib.len);
	use(lib.len);
	assert_true(opened == 1 && searched == 1 && sites_seen > 20); /* else nothing below is worth anything */
	for (uint64_t i = 0; i < rounds; i++) {
		if (i == rounds / 2)
			read_rules(true);
		damage();
		write_file(lib.len);
		use(lib.len);
	}
	print_message("%llu damaged files: %lu opened, %lu searched, %lu sites, the slowest took %llu ms\n", (unsigned long long)rounds, opened, searched, sites_seen,
		      (unsigned long long)(slowest / 1000000));
	/* else the damage is always seen at the first header, and nothing behind it was tried; or there is none */
	assert_true(searched > rounds / 4 && searched < rounds);
}

static void test_cut(void **state)
{
	uint64_t rounds = from_env("RT_FUZZ_ROUNDS", ROUNDS) / 4;

	(void)state;
	read_rules(false);
	for (uint64_t i = 0; i < rounds; i++) {
		size_t len = next(lib.len);

		if (next(2))
			memcpy(lib.now, lib.bytes, lib.len);
		else
			damage();
		write_file(len);
		use(len);
	}
}

static void test_child(void **state)
{
	int answers = 0;

	(void)state;
	read_rules(true);
	for (int i = 0; i < 40; i++) {
		damage();
		write_file(lib.len);
		answers += through_child();
	}
	assert_true(answers > 8 && answers < 40);
	rt_profile_free(profile);
	profile = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_damaged), cmocka_unit_test(test_cut), cmocka_unit_test(test_child)};

	return cmocka_run_group_tests_name("nativefuzz", tests, setup, teardown);
}
