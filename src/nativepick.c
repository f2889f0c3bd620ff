/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "nativepick.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nativename.h"
#include "nativesite.h"
#include "units.h"

#define HITS_MAX 16384
#define SHOWN_CHARS 120 /* of a name, before it is cut */

int rt_native_pick_add(struct rt_native_pick *pick, const struct rt_native_hit *hit, const char *base, const char *shown)
{
	struct rt_native_hit *to;

	if (pick->n == HITS_MAX)
		return -ENOSPC;
	if (!(pick->n & (pick->n - 1))) { /* full: capacities are powers of two */
		to = realloc(pick->hit, (pick->n ? pick->n * 2 : 1) * sizeof(*to));
		if (!to)
			return -ENOMEM;
		pick->hit = to;
	}
	to = &pick->hit[pick->n++];
	*to = *hit;
	to->base = strdup(base);
	to->shown = strdup(shown);
	return to->base && to->shown ? 0 : -ENOMEM;
}

void rt_native_pick_release(struct rt_native_pick *pick)
{
	for (size_t i = 0; i < pick->n; i++) {
		free(pick->hit[i].base);
		free(pick->hit[i].shown);
	}
	free(pick->hit);
	*pick = (struct rt_native_pick){0};
}

/* By address; at one address the best name first: of the function itself, global, short. */
static int compare_hits(const void *a, const void *b)
{
	const struct rt_native_hit *x = a, *y = b;
	bool xl = x->bind == STB_LOCAL, yl = y->bind == STB_LOCAL;
	size_t xn, yn;

	if (x->vaddr != y->vaddr)
		return x->vaddr < y->vaddr ? -1 : 1;
	if (!x->clone != !y->clone)
		return x->clone ? 1 : -1;
	if (xl != yl)
		return xl ? 1 : -1;
	xn = strlen(x->shown);
	yn = strlen(y->shown);
	return xn != yn ? (xn < yn ? -1 : 1) : strcmp(x->shown, y->shown);
}

/* All symbols at one address. */
struct place {
	size_t first, n; /* of the hits */
	uint64_t own, fallback;
	unsigned int clone; /* RT_CLONE_*: what all its names say */
	bool unsure;	    /* likewise */
	bool gone;	    /* no site */
	struct rt_native_place at;
};

/* Groups the hits, which are sorted. Returns how many places there are. */
static size_t make_places(const struct rt_native_pick *pick, struct place *places)
{
	size_t n = 0;

	for (size_t i = 0; i < pick->n; i++) {
		const struct rt_native_hit *hit = &pick->hit[i];
		struct place *p = &places[n - !!n];

		if (!n || p->at.vaddr != hit->vaddr) {
			p = &places[n++];
			*p = (struct place){.first = i, .clone = ~0u, .unsure = true, .at = {.vaddr = hit->vaddr}};
		}
		p->n++;
		p->own |= hit->own;
		p->fallback |= hit->fallback;
		p->clone &= hit->clone;
		p->unsure &= hit->unsure;
		/* sizes that differ: the smaller one, whose code is surely the function's */
		if (hit->size && (!p->at.size || hit->size < p->at.size))
			p->at.size = hit->size;
	}
	return n;
}

static bool same_function(const struct rt_native_pick *pick, const struct place *a, const struct place *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++)
			if (!strcmp(pick->hit[a->first + i].base, pick->hit[b->first + k].base))
				return true;
	return false;
}

/* Parts that an entry of their own function leads to are no entries. */
static void drop_parts(const struct rt_native_pick *pick, struct place *places, size_t n, struct rt_elf *elf)
{
	for (size_t i = 0; i < n; i++) {
		if (!(places[i].clone & RT_CLONE_PART))
			continue;
		for (size_t k = 0; k < n && !places[i].gone; k++)
			places[i].gone = !places[k].gone && !(places[k].clone & RT_CLONE_PART) && same_function(pick, &places[i], &places[k]) &&
					 rt_native_leads_to(elf, &places[k].at, places[i].at.vaddr);
	}
}

/* Sets, for each rule, how many places it has. */
static void count_places(const struct place *places, size_t n, bool fallback, uint32_t count[RT_NATIVE_RULES_MAX])
{
	memset(count, 0, RT_NATIVE_RULES_MAX * sizeof(*count));
	for (size_t i = 0; i < n; i++) {
		uint64_t set = places[i].gone ? 0 : fallback ? places[i].fallback : places[i].own;

		for (; set; set &= set - 1)
			count[__builtin_ctzll(set)]++;
	}
}

static uint64_t rules_with(const uint32_t count[RT_NATIVE_RULES_MAX], uint32_t at_least)
{
	uint64_t set = 0;

	for (int i = 0; i < RT_NATIVE_RULES_MAX; i++)
		set |= count[i] >= at_least ? 1ull << i : 0;
	return set;
}

/* Cuts a name between characters. */
static void set_name(char name[RT_NATIVE_NAME_MAX], const char *shown)
{
	char *text = rt_text_escape(shown, SHOWN_CHARS);
	size_t n = text ? strlen(text) : 0;

	if (n >= RT_NATIVE_NAME_MAX) {
		n = RT_NATIVE_NAME_MAX - 4;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
		memcpy(text + n, "...", 4);
	}
	snprintf(name, RT_NATIVE_NAME_MAX, "%s", text && *text ? text : "?");
	free(text);
}

static void set_site(const struct rt_native_pick *pick, const struct place *place, uint32_t rule, bool fallback, uint64_t entry, struct rt_native_site *site)
{
	const struct rt_native_hit *hit = &pick->hit[place->first];

	for (size_t i = place->n; i-- > 0;) { /* the best of the names that the rule means */
		const struct rt_native_hit *other = &pick->hit[place->first + i];

		if ((fallback ? other->fallback : other->own) >> rule & 1)
			hit = other;
	}
	*site = (struct rt_native_site){.rule = rule, .entry = entry, .offset = entry + place->at.move};
	site->flags = (place->at.stepped ? RT_SITE_STEPPED : 0) | (place->at.loop ? RT_SITE_LOOP : 0) | (place->clone ? RT_SITE_CLONE : 0) |
		      (fallback ? RT_SITE_FALLBACK | RT_SITE_NO_ARGS : 0) |
		      (place->unsure || place->clone & (RT_CLONE_ALTERED | RT_CLONE_PART) ? RT_SITE_NO_ARGS : 0);
	set_name(site->name, hit->shown);
}

/* ---- what is said of each rule ---- */

static void say_missing(struct rt_native_rule_result *result, bool off, bool symtab)
{
	result->found = RT_NATIVE_NOT_FOUND;
	if (off)
		snprintf(result->reason, sizeof(result->reason), "it means more than %d functions there: make its name narrower", RT_NATIVE_RULE_SITES_MAX);
	else if (symtab)
		snprintf(result->reason, sizeof(result->reason), "no function of this name in it (another version, or it was inlined)");
	else
		snprintf(result->reason, sizeof(result->reason),
			 "no exported function of this name, and its other symbols were stripped: install its debug symbols, or give a `fallback`");
}

static void say_fallback(const struct rt_native_rule *rule, struct rt_native_rule_result *result, bool symtab)
{
	char *names = NULL, *more;

	for (size_t i = 0; i < rule->n_fallbacks; i++) {
		if (asprintf(&more, "%s%s%s", names ? names : "", names ? ", " : "", rule->fallbacks[i]) < 0)
			more = NULL;
		free(names);
		names = more;
	}
	more = names ? rt_text_escape(names, 80) : NULL;
	result->found = RT_NATIVE_STANDS_IN;
	snprintf(result->reason, sizeof(result->reason), "%s: %.100s stand%s in", symtab ? "no function of this name" : "its local symbols were stripped",
		 more ? more : "its fallback", rule->n_fallbacks > 1 ? "" : "s");
	free(more);
	free(names);
}

struct verdict {
	uint64_t own, fallback; /* rules that have places of their own; those whose fallback has */
	uint32_t n[RT_NATIVE_RULES_MAX], sites[RT_NATIVE_RULES_MAX]; /* places, and in the end sites, of each */
};

static void say_all(const struct rt_profile *profile, uint64_t mask, uint64_t off, bool symtab, const struct verdict *v, struct rt_native_rule_result *results)
{
	for (uint32_t i = 0; i < RT_NATIVE_RULES_MAX; i++) {
		results[i] = (struct rt_native_rule_result){.found = RT_NATIVE_NOT_ASKED};
		if (!(mask >> i & 1))
			continue;
		if (v->own >> i & 1)
			results[i].found = RT_NATIVE_FOUND;
		else if (v->fallback >> i & 1)
			say_fallback(&profile->natives[i], &results[i], symtab);
		else
			say_missing(&results[i], off >> i & 1, symtab);
		if (results[i].found == RT_NATIVE_FOUND && !v->sites[i])
			snprintf(results[i].reason, sizeof(results[i].reason), "its functions belong to entries before it");
	}
}

/* The lowest rule of a set. */
static bool lowest(uint64_t set, uint32_t *rule)
{
	*rule = set ? (uint32_t)__builtin_ctzll(set) : 0;
	return set != 0;
}

static int compare_sites(const void *a, const void *b)
{
	const struct rt_native_site *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Two segments may hold the same bytes of the file, two functions the same site: one probe. The first rule has it. */
static size_t unique_sites(struct rt_native_site *site, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(site, n, sizeof(*site), compare_sites);
	for (size_t i = 0; i < n; i++) {
		if (!kept || site[kept - 1].offset != site[i].offset)
			site[kept++] = site[i];
		else if (site[i].rule < site[kept - 1].rule)
			site[kept - 1] = site[i];
	}
	return kept;
}

static int make_sites(const struct rt_native_pick *pick, const struct place *places, size_t n, const struct rt_elf *elf, struct verdict *v,
		      struct rt_native_sites *out)
{
	struct rt_native_site *sites = calloc(RT_NATIVE_SITES_MAX, sizeof(*sites));
	uint64_t offset, avail;
	size_t count = 0;

	if (!sites)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint32_t rule;
		uint64_t own = places[i].own & v->own;
		bool meant = lowest(own | (places[i].fallback & v->fallback), &rule), fallback = meant && !(own >> rule & 1);

		if (places[i].gone || !meant || rt_elf_offset(elf, places[i].at.vaddr, &offset, &avail))
			continue;
		if (count == RT_NATIVE_SITES_MAX) {
			free(sites);
			return -ENOSPC;
		}
		set_site(pick, &places[i], rule, fallback, offset, &sites[count++]);
	}
	count = unique_sites(sites, count);
	for (size_t i = 0; i < count; i++)
		v->sites[sites[i].rule]++;
	out->site = sites;
	out->n = count;
	return 0;
}

/* Looks at the code of all places. */
static int place_all(const struct rt_native_pick *pick, struct place *places, size_t n, struct rt_elf *elf)
{
	struct rt_native_place *at = calloc(n + 1, sizeof(*at));
	int code;

	if (!at)
		return -ENOMEM;
	drop_parts(pick, places, n, elf);
	for (size_t i = 0; i < n; i++) {
		if (!places[i].gone)
			places[i].gone = rt_native_place(elf, &places[i].at) != 0;
		at[i] = places[i].at;
		at[i].move = places[i].gone ? 0 : at[i].move;
	}
	code = rt_native_places_confirm(elf, at, n);
	for (size_t i = 0; i < n; i++)
		places[i].at = at[i];
	free(at);
	return code;
}

int rt_native_pick_sites(struct rt_native_pick *pick, const struct rt_profile *profile, uint64_t mask, uint64_t off, bool symtab, struct rt_elf *elf,
			 struct rt_native_sites *out)
{
	struct place *places = calloc(pick->n + 1, sizeof(*places));
	struct verdict v = {0};
	size_t n;
	int code;

	if (!places)
		return -ENOMEM;
	if (pick->n)
		qsort(pick->hit, pick->n, sizeof(*pick->hit), compare_hits);
	n = make_places(pick, places);
	/* A rule that means too much is refused, and its fallback does not hide that. What belongs only to such rules is not looked at. */
	count_places(places, n, false, v.n);
	off |= rules_with(v.n, RT_NATIVE_RULE_SITES_MAX + 1);
	count_places(places, n, true, v.n);
	off |= rules_with(v.n, RT_NATIVE_RULE_SITES_MAX + 1);
	for (size_t i = 0; i < n; i++)
		places[i].gone = !((places[i].own | places[i].fallback) & ~off);
	code = place_all(pick, places, n, elf);
	count_places(places, n, false, v.n);
	v.own = mask & rules_with(v.n, 1) & ~off;
	count_places(places, n, true, v.n);
	v.fallback = mask & ~v.own & rules_with(v.n, 1) & ~off;
	if (!code)
		code = make_sites(pick, places, n, elf, &v, out);
	if (!code)
		say_all(profile, mask, off, symtab, &v, out->rule);
	free(places);
	return code;
}
