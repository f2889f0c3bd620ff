/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "docphases.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pydef.h"
#include "pysource.h"

#define KEPT 32		/* split files */

struct file {
	char *path;
	struct rt_logical_lines lines;
	uint64_t used;
};

struct search {
	struct rt_doc *doc;
	const struct rt_sourcedirs *dirs;
	char *const *seen;
	size_t n_seen;
	rt_docphases_read read;
	void *ctx;
	struct file kept[KEPT];
	uint64_t clock;
};

/* How far the search for one phase came: more is better. */
enum reached { NO_FILE, UNREADABLE, NO_FUNCTION, NO_STATEMENT, FOUND };

static struct file *file_get(struct search *s, const char *path, int *err)
{
	struct file *f = &s->kept[0];
	char *text = NULL;
	size_t len;

	for (size_t i = 0; i < KEPT; i++) {
		if (s->kept[i].path && !strcmp(s->kept[i].path, path)) {
			s->kept[i].used = ++s->clock;
			return &s->kept[i];
		}
		if (s->kept[i].used < f->used)
			f = &s->kept[i];
	}
	*err = s->read(s->ctx, path, &text, &len);
	if (*err)
		return NULL;
	free(f->path);
	rt_logical_lines_free(&f->lines);
	f->used = ++s->clock;
	f->path = strdup(path);
	*err = f->path ? rt_pysource_split(text, len, &f->lines) : -ENOMEM;
	free(text);
	if (!*err)
		return f;
	free(f->path);
	f->path = NULL;
	f->used = 0;
	return NULL;
}

static enum reached look_in(const struct rt_phase *phase, const struct file *f)
{
	enum reached best = NO_FUNCTION;

	for (size_t i = 0; i < phase->n_functions && best != FOUND; i++) {
		int line[RT_PYDEF_MAX];
		size_t n = rt_pydef_find(&f->lines, phase->functions[i], line);

		if (n && best < NO_STATEMENT)
			best = NO_STATEMENT;
		if (n && !phase->n_statements)
			best = FOUND;
		for (size_t k = 0; k < n && best != FOUND; k++) {
			struct rt_line_range *range = NULL;

			if (rt_pysource_find(&f->lines, line[k], phase->functions[i], phase->statements, phase->n_statements, &range) > 0) {
				free(range);
				best = FOUND;
			}
		}
	}
	return best;
}

/* One path. Keeps what came furthest. */
static void look_at(struct search *s, const struct rt_phase *phase, const char *path, struct rt_doc_phase *out, enum reached *best)
{
	int err = 0;
	struct file *f = file_get(s, path, &err);
	enum reached now = f ? look_in(phase, f) : err == -ENOENT || err == -ENOTDIR || err == -EINVAL || err == -ESRCH ? NO_FILE : UNREADABLE;
	char why[256];

	if (now <= *best)
		return;
	*best = now;
	rt_doc_set(s->doc, &out->file, path);
	if (now == UNREADABLE)
		snprintf(why, sizeof(why), "its source cannot be read: %s", strerror(-err));
	else if (now == NO_FUNCTION)
		snprintf(why, sizeof(why), "function %.150s is not in it", phase->functions[0]);
	else
		snprintf(why, sizeof(why), "no statement of it matches");
	rt_doc_set(s->doc, &out->reason, why);
}

static bool is_named(const struct rt_phase *phase, const char *path)
{
	for (size_t i = 0; i < phase->n_files; i++)
		if (rt_profile_file_matches(path, phase->files[i]))
			return true;
	return !phase->n_files;
}

static void find_phase(struct search *s, const struct rt_phase *phase, struct rt_doc_phase *out)
{
	enum reached best = NO_FILE;
	char path[PATH_MAX];

	rt_doc_set(s->doc, &out->id, phase->id);
	for (size_t i = 0; i < s->n_seen && best != FOUND; i++)
		if (is_named(phase, s->seen[i]))
			look_at(s, phase, s->seen[i], out, &best);
	for (size_t i = 0; i < phase->n_files && best != FOUND; i++) {
		for (size_t d = 0; d < s->dirs->n && best != FOUND; d++) {
			int n = snprintf(path, sizeof(path), "%s/%s", s->dirs->dir[d], phase->files[i]);

			if (n > 0 && (size_t)n < sizeof(path))
				look_at(s, phase, path, out, &best);
		}
	}
	out->found = best == FOUND;
	if (best == NO_FILE)
		rt_doc_set(s->doc, &out->reason,
			   phase->n_files ? "none of its files is in the places known: it may lie elsewhere on sys.path" :
					    "the profile names no file, and no file that runs now has it");
	else if (best != FOUND && out->file) {
		char why[PATH_MAX + 300];

		snprintf(why, sizeof(why), "%s: %s", out->file, out->reason ? out->reason : "?");
		rt_doc_set(s->doc, &out->reason, why);
	}
}

bool rt_docphases_find(struct rt_doc *doc, const struct rt_profile *profile, const struct rt_sourcedirs *dirs, char *const *seen,
		       size_t n_seen, rt_docphases_read read, void *ctx)
{
	struct rt_doc_target *t = doc->target;
	struct search *s = calloc(1, sizeof(*s));

	t->phases = calloc(profile->n_phases + 1, sizeof(*t->phases));
	if (!s || !t->phases) {
		free(s);
		doc->failed = true;
		return false;
	}
	*s = (struct search){.doc = doc, .dirs = dirs, .seen = seen, .n_seen = n_seen, .read = read, .ctx = ctx};
	for (size_t i = 0; i < profile->n_phases; i++)
		find_phase(s, &profile->phases[i], &t->phases[i]);
	t->n_phases = profile->n_phases;
	for (size_t i = 0; i < KEPT; i++) {
		free(s->kept[i].path);
		rt_logical_lines_free(&s->kept[i].lines);
	}
	free(s);
	return true;
}
