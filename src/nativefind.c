/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativefind.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nativename.h"
#include "nativepick.h"
#include "nativestr.h"

#define DEMANGLED_MAX 65536 /* bytes; longer texts come of names that nobody writes */
#define HITS_MAX 1024	    /* symbols of a rule */
#define COMMENT_MAX 65536

/* libstdc++'s part of the C++ ABI (Itanium C++ ABI, section 3.4): a demangled copy, malloc'ed, or NULL. */
char *__cxa_demangle(const char *mangled, char *buf, size_t *len, int *status);

struct pattern {
	const char *text;
	uint32_t rule;
	bool fallback;
};

struct finder {
	struct rt_native_pick pick; /* what was found */
	const struct pattern *pattern;
	size_t n_patterns;
	uint64_t off; /* rules that mean too much here */
	uint32_t count[RT_NATIVE_RULES_MAX];
	bool gcc_only;
	uint64_t symbols;
};

/* ---- patterns ---- */

static void add_patterns(struct pattern *to, size_t *n, char *const *texts, size_t count, uint32_t rule, bool fallback)
{
	for (size_t i = 0; i < count; i++)
		to[(*n)++] = (struct pattern){texts[i], rule, fallback};
}

/* All patterns of the rules (caller frees), or NULL without memory. */
static struct pattern *make_patterns(const struct rt_profile *profile, uint64_t mask, size_t *n)
{
	struct pattern *all;
	size_t count = 1;

	for (size_t i = 0; i < profile->n_natives; i++)
		count += profile->natives[i].n_symbols + profile->natives[i].n_fallbacks;
	all = calloc(count, sizeof(*all));
	*n = 0;
	for (uint32_t i = 0; all && i < profile->n_natives && i < RT_NATIVE_RULES_MAX; i++) {
		const struct rt_native_rule *rule = &profile->natives[i];

		if (!(mask >> i & 1))
			continue;
		add_patterns(all, n, rule->symbols, rule->n_symbols, i, false);
		add_patterns(all, n, rule->fallbacks, rule->n_fallbacks, i, true);
	}
	return all;
}

/* The words to look for, one a pattern (caller frees). *all: some pattern has none, every name must be looked at. */
static struct rt_native_word *make_words(const struct finder *f, size_t *n, bool *all)
{
	struct rt_native_word *words = calloc(f->n_patterns + 1, sizeof(*words));

	*n = 0;
	*all = false;
	for (size_t i = 0; words && i < f->n_patterns; i++) {
		struct rt_native_word word = {0};
		bool there = false;

		word.len = rt_native_needle(f->pattern[i].text, &word.at);
		*all |= !word.len;
		for (size_t k = 0; k < *n && !there; k++)
			there = words[k].len == word.len && !memcmp(words[k].at, word.at, word.len);
		if (word.len && !there)
			words[(*n)++] = word;
	}
	return words;
}

/* ---- symbols ---- */

/* Defined functions: no ifunc (STT_GNU_IFUNC is a type of its own), no absolute symbol. */
static bool is_function(const Elf64_Sym *sym)
{
	return ELF64_ST_TYPE(sym->st_info) == STT_FUNC && sym->st_name && sym->st_value && sym->st_shndx != SHN_UNDEF &&
	       (sym->st_shndx < SHN_LORESERVE || sym->st_shndx == SHN_XINDEX);
}

/* The rules that mean this name, as themselves and as a fallback. */
static void match_rules(struct finder *f, const char *name, const char *demangled, uint64_t *own, uint64_t *fallback)
{
	for (size_t i = 0; i < f->n_patterns; i++) {
		const struct pattern *p = &f->pattern[i];
		uint64_t bit = 1ull << p->rule, *set = p->fallback ? fallback : own;

		if (*set & bit || f->off & bit || !rt_native_name_matches(p->text, name, demangled))
			continue;
		*set |= bit;
		if (f->count[p->rule]++ == HITS_MAX)
			f->off |= bit;
	}
}

static char *demangle(const char *name)
{
	char *text = strncmp(name, "_Z", 2) ? NULL : __cxa_demangle(name, NULL, NULL, NULL);

	if (text && strlen(text) >= DEMANGLED_MAX) {
		free(text);
		return NULL;
	}
	return text;
}

static int look_at(struct finder *f, const Elf64_Sym *sym, const char *name)
{
	struct rt_native_hit hit = {.vaddr = sym->st_value, .size = sym->st_size, .bind = ELF64_ST_BIND(sym->st_info)};
	char base[RT_NATIVE_SYMBOL_MAX], *demangled;
	size_t len = rt_native_clone(name, &hit.clone);
	int code = 0;

	if (hit.clone & RT_CLONE_COLD || len >= sizeof(base))
		return 0;
	memcpy(base, name, len);
	base[len] = '\0';
	demangled = demangle(base);
	match_rules(f, base, demangled, &hit.own, &hit.fallback);
	if (name[len]) /* somebody may mean just this copy */
		match_rules(f, name, NULL, &hit.own, &hit.fallback);
	/* Compilers other than GCC drop arguments of a local function without saying so in its name. */
	hit.unsure = !f->gcc_only && hit.bind == STB_LOCAL;
	if (hit.own | hit.fallback)
		code = rt_native_pick_add(&f->pick, &hit, base, demangled ? demangled : base);
	free(demangled);
	return code;
}

static int search_table(struct finder *f, struct rt_elf *elf, const struct rt_elf_table *table, const struct rt_native_ranges *ranges)
{
	struct rt_native_names names = {0};
	Elf64_Sym block[1024];

	for (uint64_t done = 0; done < table->sym_count;) {
		uint64_t left = table->sym_count - done;
		size_t n = left < 1024 ? left : 1024;
		int code = rt_elf_read(elf, table->sym_off + done * sizeof(*block), block, n * sizeof(*block));

		for (size_t i = 0; !code && i < n; i++) {
			const char *name;

			if (!is_function(&block[i]) || !rt_native_in_ranges(ranges, block[i].st_name))
				continue;
			code = rt_native_name(elf, table, &names, block[i].st_name, &name);
			if (!code && name)
				code = look_at(f, &block[i], name);
		}
		if (code)
			return code;
		done += n;
		f->symbols += n;
	}
	return 0;
}

static int search_file(struct finder *f, struct rt_elf *elf, const struct rt_native_word *words, size_t n, bool all)
{
	int code = 0;

	for (size_t t = 0; t < elf->n_tables && !code; t++) {
		struct rt_native_ranges ranges = {.all = true};

		if (!all)
			code = rt_native_scan(elf, &elf->table[t], words, n, &ranges);
		if (!code)
			code = search_table(f, elf, &elf->table[t], &ranges);
		free(ranges.range);
	}
	return code;
}

/* Does the section .comment name GCC and no other compiler? */
static bool is_gcc_only(struct rt_elf *elf)
{
	static const char *const others[] = {"clang", "LLVM", "rustc", "Intel", "nvc"};
	struct rt_elf_section section;
	char *text;
	size_t len;
	bool gcc;

	if (rt_elf_find_section(elf, ".comment", &section) || section.type == SHT_NOBITS)
		return false;
	len = section.size < COMMENT_MAX ? section.size : COMMENT_MAX;
	text = malloc(len + 1);
	gcc = text && section.size <= COMMENT_MAX && !rt_elf_read_section(elf, &section, text, len) && memmem(text, len, "GCC: ", 5);
	for (size_t i = 0; gcc && i < sizeof(others) / sizeof(others[0]); i++)
		gcc = !memmem(text, len, others[i], strlen(others[i]));
	free(text);
	return gcc;
}

static bool has_symtab(const struct rt_elf *elf)
{
	for (size_t t = 0; t < elf->n_tables; t++)
		if (elf->table[t].local)
			return true;
	return false;
}

static int failed(const struct rt_elf *elf, int code, char *err, size_t errlen)
{
	const char *why = code == -E2BIG ? "more is to be read than a library has" : code == -EIO ? "the file ends before it" :
			  code == -ENOSPC ? "the profile means too many functions in it, make its names narrower" : strerror(-code);

	snprintf(err, errlen, "%s: its symbols cannot be searched: %s; native functions in it are not seen", elf->name, why);
	return code;
}

int rt_native_find(const struct rt_profile *profile, uint64_t mask, struct rt_elf *elf, struct rt_native_sites *out, char *err, size_t errlen)
{
	struct finder f = {0};
	struct rt_native_word *words = NULL;
	struct pattern *patterns;
	size_t n_words = 0;
	bool all = false, symtab = has_symtab(elf) || (elf->debug && has_symtab(elf->debug));
	int code = 0;

	if (elf->machine != EM_X86_64) {
		snprintf(err, errlen, "%s: is not for x86-64: native functions in it are not seen", elf->name);
		return -ENOTSUP;
	}
	f.gcc_only = is_gcc_only(elf) || (elf->debug && is_gcc_only(elf->debug));
	patterns = make_patterns(profile, mask, &f.n_patterns);
	f.pattern = patterns;
	if (patterns)
		words = make_words(&f, &n_words, &all);
	code = words ? search_file(&f, elf, words, n_words, all) : -ENOMEM;
	if (!code && elf->debug)
		code = search_file(&f, elf->debug, words, n_words, all);
	if (!code)
		code = rt_native_pick_sites(&f.pick, profile, mask, f.off, symtab, elf, out);
	if (!code) {
		out->symtab = symtab;
		out->symbols = f.symbols;
	}
	rt_native_pick_release(&f.pick);
	free(words);
	free(patterns);
	return code ? failed(elf, code, err, errlen) : 0;
}
