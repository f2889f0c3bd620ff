/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativename.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "nativesym.h"

#define NEEDLE_MIN 3
#define GLOB_MAX 512 /* bytes of a pattern (profile_native.c) */
#define MAX_BORDERS 64 /* places in a name where a shorter form of it begins */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* A pattern with its wildcards told apart from what is a star in C++. */
struct glob {
	char text[GLOB_MAX];
	size_t len;
};

#define ANY_TEXT '\1' /* in place of `*`, and of `?`: no control character is in a pattern */
#define ANY_BYTE '\2'

/* Inside of brackets, a star directly behind a type and before its end is a pointer: `(void*)`, `(char const*, int)`, `<int**>`. */
static bool is_pointer(const char *pattern, size_t i, size_t depth)
{
	if (!depth || !i)
		return false;
	if (pattern[i - 1] != '*' && !is_word(pattern[i - 1]) && pattern[i - 1] != '>')
		return false;
	return pattern[i + 1] && strchr("*&,)> ", pattern[i + 1]) != NULL;
}

/* False: too long. */
static bool make_glob(const char *pattern, bool name, struct glob *glob)
{
	size_t depth = 0;

	glob->len = strlen(pattern);
	if (glob->len > sizeof(glob->text))
		return false;
	for (size_t i = 0; i < glob->len; i++) {
		char c = pattern[i];

		if (c == '(' || c == '<')
			depth++;
		else if ((c == ')' || c == '>') && depth)
			depth--;
		glob->text[i] = c == '?' ? ANY_BYTE : c == '*' && !(name && is_pointer(pattern, i, depth)) ? ANY_TEXT : c;
	}
	return true;
}

/* Does the glob match the text of `len` bytes? The last `*` is the only one that is ever tried again, so that the time is the product of the lengths at most. */
static bool glob_matches(const struct glob *glob, const char *text, size_t len)
{
	size_t g = 0, t = 0, star = SIZE_MAX, from = 0;

	while (t < len) {
		if (g < glob->len && glob->text[g] == ANY_TEXT) {
			star = g++;
			from = t;
		} else if (g < glob->len && (glob->text[g] == ANY_BYTE || glob->text[g] == text[t])) {
			g++;
			t++;
		} else if (star != SIZE_MAX) {
			g = star + 1;
			t = ++from;
		} else {
			return false;
		}
	}
	while (g < glob->len && glob->text[g] == ANY_TEXT)
		g++;
	return g == glob->len;
}

/* ---- libraries ---- */

bool rt_native_library_matches(const char *pattern, const char *path)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(path);
	struct glob glob;

	if (!make_glob(pattern, false, &glob))
		return false;
	if (len > sizeof(deleted) - 1 && !strcmp(path + len - (sizeof(deleted) - 1), deleted))
		len -= sizeof(deleted) - 1;
	if (!strchr(pattern, '/')) {
		const char *slash = memrchr(path, '/', len);
		size_t skip = slash ? (size_t)(slash - path) + 1 : 0;

		return glob_matches(&glob, path + skip, len - skip);
	}
	if (pattern[0] == '/')
		return glob_matches(&glob, path, len);
	for (size_t i = 0; i < len; i++) {
		if ((!i || path[i - 1] == '/') && glob_matches(&glob, path + i, len - i))
			return true;
	}
	return false;
}

uint64_t rt_native_rules_for(const struct rt_profile *profile, const char *path, bool hot)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < profile->n_natives && i < RT_NATIVE_RULES_MAX; i++) {
		const struct rt_native_rule *rule = &profile->natives[i];
		bool named = false;

		if (rule->hot && !hot)
			continue;
		for (size_t k = 0; k < rule->n_libraries && !named; k++)
			named = rt_native_library_matches(rule->libraries[k], path);
		mask |= named ? 1ull << i : 0;
	}
	return mask;
}

/* ---- copies ---- */

static const struct {
	const char *word;
	unsigned int flag;
} suffixes[] = {
	{"constprop", RT_CLONE_ALTERED}, /* GCC, gcc/ipa-cp.cc */
	{"isra", RT_CLONE_ALTERED},	 /* gcc/ipa-sra.cc */
	{"part", RT_CLONE_PART},	 /* gcc/ipa-split.cc */
	{"cold", RT_CLONE_COLD},	 /* GCC's and LLVM's hot and cold splitting */
	{"lto_priv", RT_CLONE_SAME},	 /* gcc/lto/lto-partition.cc */
	{"localalias", RT_CLONE_SAME},	 /* gcc/symtab.cc */
	{"llvm", RT_CLONE_SAME},	 /* ThinLTO, made global */
	{"__uniq", RT_CLONE_SAME},	 /* clang -funique-internal-linkage-names */
};

/* The kind of the suffix at `dot`, with its numbers; *len: its length. 0: not known. */
static unsigned int suffix_at(const char *dot, size_t *len)
{
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t n = strlen(suffixes[i].word) + 1;

		if (strncmp(dot + 1, suffixes[i].word, n - 1) || (dot[n] && dot[n] != '.'))
			continue;
		while (dot[n] == '.' && isdigit((unsigned char)dot[n + 1])) {
			size_t digits = strspn(dot + n + 1, "0123456789");

			if (dot[n + 1 + digits] && dot[n + 1 + digits] != '.')
				break;
			n += 1 + digits;
		}
		*len = n;
		return suffixes[i].flag;
	}
	return 0;
}

size_t rt_native_clone(const char *name, unsigned int *flags)
{
	const char *dot = *name ? strchr(name + 1, '.') : NULL;
	unsigned int all = 0;
	size_t base = 0, len = 0;

	while (dot && *dot) {
		unsigned int flag = suffix_at(dot, &len);

		if (flag) {
			base = base ? base : (size_t)(dot - name);
			all |= flag;
			dot += len;
		} else { /* something else: what was before it is part of the name */
			base = 0;
			all &= RT_CLONE_COLD;
			dot = strchr(dot + 1, '.');
		}
	}
	*flags |= all;
	return base ? base : strlen(name);
}

/* Is it a thunk, a virtual table or another of the names that compilers make up (_ZT..., _ZG...)? They lead to a function, and are none of it. */
static bool rt_native_made_up(const char *name)
{
	return !strncmp(name, "_ZT", 3) || !strncmp(name, "_ZG", 3);
}

/* ---- demangled names ---- */

/* Length of the operator whose name follows the word `operator` at `s`, without template arguments; *type: it is a conversion, and what follows is a type. */
static size_t operator_len(const char *s, bool *type)
{
	size_t n;

	*type = false;
	if (!strncmp(s, "()", 2) || !strncmp(s, "[]", 2))
		return 2;
	if (!strncmp(s, "\"\"", 2)) {
		for (n = 2 + (s[2] == ' '); is_word(s[n]);)
			n++;
		return n;
	}
	n = strspn(s, "<>=!+-*/%^&|~,");
	if (n)
		return n;
	if (!strncmp(s, " new", 4) || !strncmp(s, " delete", 7)) {
		n = s[1] == 'n' ? 4 : 7;
		return !strncmp(s + n, "[]", 2) ? n + 2 : n;
	}
	*type = *s == ' ';
	return 0;
}

/* The index behind the bracket that closes the one at `i`; the text's end if none does. */
static size_t bracket_end(const char *s, size_t i)
{
	size_t depth = 0;

	for (; s[i]; i++) {
		if (s[i] == '-' && s[i + 1] == '>')
			i++;
		else if (strchr("(<{[", s[i]))
			depth++;
		else if (strchr(")>}]", s[i]) && !--depth)
			return i + 1;
	}
	return i;
}

/* Where forms of a demangled name begin and end. */
struct forms {
	size_t border[MAX_BORDERS], n; /* the first is the outermost: a return type is left out */
	size_t name_end;	       /* without parameters */
	size_t plain_end;	       /* and without template arguments */
};

/* Parameters are followed by nothing, by `const`, `&`, `[clone...]`; those of an enclosing function by `::`. */
static bool scope_follows(const char *s)
{
	static const char *const words[] = {" const", " volatile", " &&", " &", " noexcept"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strncmp(s, words[i], strlen(words[i])))
			return scope_follows(s + strlen(words[i]));
	}
	return !strncmp(s, "::", 2);
}

static void add_border(struct forms *f, size_t at)
{
	if (f->n < MAX_BORDERS)
		f->border[f->n++] = at;
}

/* A name that this does not understand is still matched as a whole. */
static void find_forms(const char *s, struct forms *f)
{
	bool type = false;
	size_t i = 0;

	*f = (struct forms){.n = 1};
	while (s[i]) {
		bool begins = !i || !is_word(s[i - 1]);

		if (!type && begins && !strncmp(s + i, "operator", 8) && !is_word(s[i + 8])) {
			i += 8;
			i += operator_len(s + i, &type);
			f->plain_end = i;
			i += type || !strncmp(s + i, " <", 2); /* a blank */
		} else if (s[i] == '(' && !type && begins && !strncmp(s + i, "(anonymous namespace)", 21)) {
			i += 21;
		} else if (s[i] == '(') {
			size_t end = bracket_end(s, i);
			bool decltype = i >= 8 && !strncmp(s + i - 8, "decltype", 8);

			if (!decltype && !scope_follows(s + end))
				break;
			i = end;
		} else if (s[i] == '<' || s[i] == '{' || s[i] == '[') {
			size_t end = bracket_end(s, i);

			if (s[i] != '{' && !type && !f->plain_end)
				f->plain_end = i;
			i = end;
		} else if (!type && s[i] == ':' && s[i + 1] == ':') {
			i += 2;
			f->plain_end = 0;
			add_border(f, i);
		} else if (!type && s[i] == ' ') { /* what was before it is a return type, or an enclosing function's const */
			size_t back = i;

			i++;
			if (!scope_follows(s + back)) {
				f->n = 0;
				f->plain_end = 0;
				add_border(f, i);
			}
		} else {
			i++;
		}
	}
	f->name_end = i;
	if (!f->plain_end || type || !strchr("< [", s[f->plain_end]))
		f->plain_end = i;
}

static bool form_matches(const struct glob *glob, bool anchored, const char *demangled)
{
	size_t len = strlen(demangled);
	struct forms f;

	find_forms(demangled, &f);
	for (size_t i = 0; i < f.n && (!i || !anchored); i++) {
		size_t at = f.border[i];

		if (at >= f.name_end)
			break;
		if (glob_matches(glob, demangled + at, len - at) || glob_matches(glob, demangled + at, f.name_end - at) ||
		    (f.plain_end > at && glob_matches(glob, demangled + at, f.plain_end - at)))
			return true;
	}
	return false;
}

bool rt_native_name_matches(const char *pattern, const char *name, const char *demangled)
{
	bool anchored = !strncmp(pattern, "::", 2);
	struct glob glob;

	if (rt_native_made_up(name) && strncmp(pattern, name, 3) != 0)
		return false;
	if (!make_glob(anchored ? pattern + 2 : pattern, true, &glob))
		return false;
	if (glob_matches(&glob, name, strlen(name)))
		return true;
	return demangled && !rt_native_made_up(name) &&
	       (glob_matches(&glob, demangled, strlen(demangled)) || form_matches(&glob, anchored, demangled));
}

/* ---- what is looked for before anything is demangled ---- */

/* Words that a demangler writes where the mangled name has an abbreviation or a number (libiberty/cp-demangle.c: operators, built-in types, standard
 * substitutions, special names). A name in a pattern that may be a piece of one of them proves nothing. All other names of C++ stand in the mangled name as they are. */
static const char own_words[] =
	"std allocator basic_string char_traits string istream ostream iostream basic_istream basic_ostream basic_iostream "
	"operator new delete co_await alignof __alignof__ abi typeid typename template sizeof noexcept throw requires this auto decltype decltype nullptr_t nullptr "
	"static_cast dynamic_cast const_cast reinterpret_cast "
	"signed unsigned char short int long float double bool wchar_t void __int128 __float128 _Float _Float16 _Float32x _Float64x _Float128x _Accum _Fract _Sat char8_t char16_t char32_t bfloat16_t _BitInt "
	"decimal32 decimal64 decimal128 half ullong ull true false const volatile restrict complex _Complex imaginary _Imaginary __vector "
	"virtual vtable typeinfo name function fn construction covariant return non thunk to for guard variable reference temporary initializer hidden alias "
	"transaction clone java Class resource lambda unnamed type enum struct class union block literal invocation object parameter argument pack expansion "
	"anonymous namespace global constructors destructors keyed TLS init wrapper default arg friend module initializers entry vector "
	"constprop isra part cold lto_priv localalias llvm __uniq safe_to_call unsafe ";

static bool is_own(const char *word, size_t len)
{
	return memmem(own_words, sizeof(own_words) - 1, word, len) != NULL;
}

size_t rt_native_needle(const char *pattern, const char **at)
{
	size_t best = 0;

	for (size_t i = 0; pattern[i];) {
		size_t len = 0;

		while (is_word(pattern[i + len]))
			len++;
		/* numbers are written in several ways */
		if (len >= NEEDLE_MIN && len > best && !isdigit((unsigned char)pattern[i]) && !is_own(pattern + i, len)) {
			*at = pattern + i;
			best = len;
		}
		i += len ? len : 1;
	}
	return best;
}
