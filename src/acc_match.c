/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"
#include "pydef.h"

#define RT_SOURCE_KEEP (1u << 20) /* bytes: a longer file is split again when it is needed again */
#define RT_MATCH_NAME 1024u	  /* bytes of a qualified name taken from the source */
#define RT_MATCH_PARTS 4096u	  /* statements of one code object */

/* A split file, shared by the images that see the same text. */
struct rt_split {
	struct rt_logical_lines lines;
	uint64_t hash;
	size_t len;
	uint32_t refs;
};

/* What one image sees under one name. */
struct rt_source {
	uint32_t image;
	struct rt_text *file;
	struct rt_split *split; /* NULL: it could not be read */
	bool not_kept;
	uint64_t used;
};

int rt_matcher_init(struct rt_matcher *matcher)
{
	if (matcher->profile->n_phases > UINT16_MAX)
		return -E2BIG;
	matcher->fate = calloc(matcher->profile->n_phases + 1, sizeof(*matcher->fate));
	return matcher->fate ? 0 : -ENOMEM;
}

static void rt_split_put(struct rt_split *split)
{
	if (!split || --split->refs)
		return;
	rt_logical_lines_free(&split->lines);
	free(split);
}

static void rt_source_free(struct rt_matcher *matcher, struct rt_source *source)
{
	if (!source)
		return;
	rt_text_put(matcher->texts, source->file);
	rt_split_put(source->split);
	free(source);
}

void rt_matcher_free(struct rt_matcher *matcher)
{
	for (size_t i = 0; i < RT_SOURCES; i++)
		rt_source_free(matcher, matcher->source[i]);
	for (size_t i = 0; matcher->fate && i < matcher->profile->n_phases; i++)
		rt_text_put(matcher->texts, matcher->fate[i].file);
	free(matcher->fate);
	matcher->fate = NULL;
}

bool rt_matcher_wants_source(const struct rt_matcher *matcher, const char *qualname, const char *file, bool plain)
{
	const struct rt_profile *profile = matcher->profile;

	for (size_t i = 0; i < profile->n_phases; i++) {
		const struct rt_phase *phase = &profile->phases[i];

		if (plain ? rt_phase_names_last(phase, qualname, file) : phase->n_statements && rt_phase_names(phase, qualname, file))
			return true;
	}
	return false;
}

static uint64_t rt_source_hash(const char *text, size_t len)
{
	uint64_t hash = len, word;
	size_t i;

	for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		hash = rt_hash_mix(hash, word);
	}
	for (; i < len; i++)
		hash = rt_hash_mix(hash, (uint8_t)text[i]);
	return hash;
}

/* Splits `text`, or takes the split of the same file with the same content that another image has. Returns NULL: no
 * memory, or too large. */
static struct rt_split *rt_split_get(struct rt_matcher *matcher, const struct rt_text *file, const char *text,
				     size_t len)
{
	uint64_t hash = rt_source_hash(text, len);
	struct rt_split *split;

	for (size_t i = 0; i < RT_SOURCES; i++) {
		const struct rt_source *source = matcher->source[i];

		if (source && source->file == file && source->split && source->split->hash == hash &&
		    source->split->len == len) {
			source->split->refs++;
			return source->split;
		}
	}
	split = calloc(1, sizeof(*split));
	if (!split)
		return NULL;
	if (rt_pysource_split(text, len, &split->lines)) {
		free(split);
		return NULL;
	}
	split->hash = hash;
	split->len = len;
	split->refs = 1;
	return split;
}

static struct rt_split *rt_source_read(struct rt_matcher *matcher, uint32_t image, uint32_t pid,
				       const struct rt_text *file, bool *not_kept)
{
	struct rt_split *split;
	char *text = NULL;
	size_t len = 0;
	int err = matcher->read_source ? matcher->read_source(matcher->ctx, image, pid, file->s, &text, &len) : -ENOENT;

	*not_kept = err == -ENODATA;
	if (err || !text)
		return NULL;
	split = rt_split_get(matcher, file, text, len);
	free(text);
	return split;
}

/* The split source, one reference more; NULL if it cannot be read, or (*not_kept) is not to be had any more. */
static struct rt_split *rt_source_get(struct rt_matcher *matcher, uint32_t image, uint32_t pid, struct rt_text *file, bool *not_kept)
{
	struct rt_source *source, **place = &matcher->source[0];
	struct rt_split *split;

	for (size_t i = 0; i < RT_SOURCES; i++) {
		source = matcher->source[i];
		if (source && source->image == image && source->file == file) {
			source->used = ++matcher->clock;
			*not_kept = source->not_kept;
			if (source->split)
				source->split->refs++;
			return source->split;
		}
		if (!source || (*place && source->used < (*place)->used))
			place = &matcher->source[i];
	}
	split = rt_source_read(matcher, image, pid, file, not_kept);
	source = !split || split->len <= RT_SOURCE_KEEP ? calloc(1, sizeof(*source)) : NULL;
	if (!source)
		return split;
	rt_source_free(matcher, *place);
	*place = source;
	*source = (struct rt_source){ .image = image, .file = file, .split = split, .not_kept = *not_kept, .used = ++matcher->clock };
	file->refs++;
	if (split)
		split->refs++;
	return split;
}

void rt_match_free(struct rt_match *match)
{
	if (!match)
		return;
	free(match->whole);
	free(match->part);
	free(match);
}

/* A phase that is not hit keeps the best it came to. */
static void rt_matcher_fate(struct rt_matcher *matcher, size_t phase, enum rt_not_hit why, struct rt_text *file)
{
	struct rt_match_fate *fate = &matcher->fate[phase];

	if (fate->hit || (fate->file && why < fate->why))
		return;
	fate->why = why;
	rt_text_put(matcher->texts, fate->file);
	fate->file = file;
	file->refs++;
}

static int rt_match_add_whole(struct rt_match *match, uint16_t phase)
{
	uint16_t *whole = realloc(match->whole, (match->n_whole + 1) * sizeof(*whole));

	if (!whole)
		return -ENOMEM;
	match->whole = whole;
	whole[match->n_whole++] = phase;
	return 0;
}

static int rt_match_add_parts(struct rt_match *match, uint16_t phase, const struct rt_line_range *range, size_t n)
{
	struct rt_match_part *part;

	if (n > RT_MATCH_PARTS - match->n_part)
		n = RT_MATCH_PARTS - match->n_part;
	if (!n)
		return 0;
	part = realloc(match->part, (match->n_part + n) * sizeof(*part));
	if (!part)
		return -ENOMEM;
	match->part = part;
	for (size_t i = 0; i < n; i++)
		part[match->n_part++] = (struct rt_match_part){ .phase = phase, .lines = range[i] };
	return 0;
}

/* A code object while its phases are looked for. */
struct rt_matching {
	const struct rt_match_of *of;
	const char *qualname;
	bool last_part; /* of the qualified name is all that is known */
	bool read;	/* the source was asked for */
	bool not_kept;
	struct rt_split *split; /* NULL: not readable */
	char buffer[RT_MATCH_NAME];
};

static void rt_matching_read(struct rt_matcher *matcher, struct rt_matching *m)
{
	if (!m->read)
		m->split = rt_source_get(matcher, m->of->image, m->of->pid, m->of->file, &m->not_kept);
	m->read = true;
}

/* The qualified name of a code object that has just a plain one. */
static void rt_matching_qualify(struct rt_matcher *matcher, struct rt_matching *m)
{
	const char *name = m->of->qualname->s;

	if (!m->of->plain || !strcmp(name, "<module>") || !rt_matcher_wants_source(matcher, name, m->of->file->s, true))
		return;
	rt_matching_read(matcher, m);
	if (m->split && rt_pydef_qualname(&m->split->lines, m->of->firstlineno, name, m->buffer, sizeof(m->buffer)) >= 0)
		m->qualname = m->buffer;
	else
		m->last_part = true;
}

static bool rt_matching_is(struct rt_matcher *matcher, const struct rt_matching *m, size_t index)
{
	const struct rt_phase *phase = &matcher->profile->phases[index];
	struct rt_match_fate *fate = &matcher->fate[index];

	if (!m->last_part)
		return rt_phase_names(phase, m->qualname, m->of->file->s);
	if (!rt_phase_names_last(phase, m->qualname, m->of->file->s))
		return false;
	if (matcher->on_plain_name && !fate->by_plain_name) {
		fate->by_plain_name = true;
		matcher->on_plain_name(matcher->ctx, phase, m->qualname, m->of->file->s);
	}
	return true;
}

static int rt_matching_statements(struct rt_matcher *matcher, struct rt_matching *m, size_t index, struct rt_match *match)
{
	const struct rt_phase *phase = &matcher->profile->phases[index];
	struct rt_line_range *range = NULL;
	int n, err = 0;

	rt_matching_read(matcher, m);
	if (!m->split) {
		rt_matcher_fate(matcher, index, m->not_kept ? RT_NH_SOURCE_NOT_KEPT : RT_NH_SOURCE_UNREADABLE, m->of->file);
		return 0;
	}
	n = rt_pysource_find(&m->split->lines, m->of->firstlineno, m->qualname, phase->statements, phase->n_statements,
			     &range);
	if (n > 0) {
		err = rt_match_add_parts(match, (uint16_t)index, range, (size_t)n);
		free(range);
	}
	rt_matcher_fate(matcher, index, n > 0 ? RT_NH_STATEMENT_NOT_SEEN : RT_NH_STATEMENT_NOT_FOUND, m->of->file);
	return n == -ENOMEM ? n : err;
}

int rt_matcher_find(struct rt_matcher *matcher, const struct rt_match_of *of, struct rt_match **out)
{
	struct rt_matching m = { .of = of, .qualname = of->qualname->s };
	struct rt_match match = { 0 }, *kept;
	int err = 0;

	*out = NULL;
	rt_matching_qualify(matcher, &m);
	for (size_t i = 0; !err && i < matcher->profile->n_phases; i++) {
		if (!rt_matching_is(matcher, &m, i))
			continue;
		if (matcher->profile->phases[i].n_statements) {
			err = rt_matching_statements(matcher, &m, i, &match);
		} else {
			err = rt_match_add_whole(&match, (uint16_t)i);
			rt_matcher_fate(matcher, i, RT_NH_FUNCTION_NOT_SEEN, of->file);
		}
	}
	rt_split_put(m.split);
	if (!err && !match.n_whole && !match.n_part)
		return 0;
	kept = err ? NULL : malloc(sizeof(*kept));
	if (!kept) {
		free(match.whole);
		free(match.part);
		return -ENOMEM;
	}
	*kept = match;
	*out = kept;
	return 0;
}
