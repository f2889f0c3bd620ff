/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "docreport.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "opts.h" /* RT_VERSION */
#include "units.h"

#define LABEL_CELLS 33

static const char *const states[] = {[RT_DOC_YES] = "yes", [RT_DOC_NO] = "no", [RT_DOC_INFO] = "info", [RT_DOC_UNKNOWN] = "unknown"};

void rt_doc_set(struct rt_doc *doc, char **text, const char *value)
{
	char *copy = strdup(value);

	if (!copy) {
		doc->failed = true;
		return;
	}
	free(*text);
	*text = copy;
}

void rt_doc_add(struct rt_doc *doc, const char *section, const char *id, const char *label, enum rt_doc_state state, bool needed,
		const char *value, const char *reason)
{
	struct rt_doc_row *more = realloc(doc->rows, (doc->n_rows + 1) * sizeof(*more)), *row;

	if (!more) {
		doc->failed = true;
		return;
	}
	doc->rows = more;
	row = &more[doc->n_rows++];
	*row = (struct rt_doc_row){section, id, label, state, needed, NULL, NULL};
	rt_doc_set(doc, &row->value, value ? value : "");
	rt_doc_set(doc, &row->reason, reason ? reason : "");
}

static void target_free(struct rt_doc_target *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_threads; i++)
		rt_pystack_free(&t->threads[i].stack);
	for (size_t i = 0; i < t->n_phases; i++) {
		free(t->phases[i].id);
		free(t->phases[i].file);
		free(t->phases[i].reason);
	}
	free(t->threads);
	free(t->phases);
	free(t->name);
	free(t->python);
	free(t->layout);
	free(t->kind);
	free(t->interpreter);
	free(t->profile);
	free(t);
}

void rt_doc_free(struct rt_doc *doc)
{
	for (size_t i = 0; i < doc->n_rows; i++) {
		free(doc->rows[i].value);
		free(doc->rows[i].reason);
	}
	free(doc->rows);
	free(doc->source_reason);
	free(doc->verdict);
	target_free(doc->target);
	memset(doc, 0, sizeof(*doc));
}

/* ---- table ---- */

/* A text made safe for a terminal. */
static void put(FILE *out, const char *text)
{
	char *safe = rt_text_escape(text, 0);

	fputs(safe ? safe : "?", out);
	free(safe);
}

static void put_row(FILE *out, const struct rt_doc_row *row)
{
	static const char *const shown[] = {[RT_DOC_YES] = "yes", [RT_DOC_NO] = "no", [RT_DOC_INFO] = "", [RT_DOC_UNKNOWN] = "?"};

	fprintf(out, "  %-*s ", LABEL_CELLS, row->label);
	if (*shown[row->state])
		fprintf(out, "%s%s", row->state == RT_DOC_NO && row->needed ? "NO" : shown[row->state],
			*row->value || *row->reason ? "  " : "");
	put(out, row->value);
	if (*row->value && *row->reason)
		fputs(": ", out);
	put(out, row->reason);
	fputc('\n', out);
}

static void put_frame(FILE *out, const struct rt_pystack_frame *f)
{
	put(out, f->function);
	fputs("  ", out);
	put(out, f->file);
	if (f->line > 0)
		fprintf(out, ":%d", f->line);
	fputc('\n', out);
}

static void put_stacks(FILE *out, const struct rt_doc_target *t)
{
	for (size_t i = 0; i < t->n_threads; i++) {
		const struct rt_doc_thread *th = &t->threads[i];

		fprintf(out, "\nPython stack of %s%s\n", i ? "another thread" : "the main thread",
			th->stack.moved ? " (it moved while it was read)" : "");
		if (th->error)
			fprintf(out, "  not readable: %s\n", strerror(-th->error));
		else if (!th->stack.n)
			fprintf(out, "  no Python frame\n");
		for (size_t f = 0; f < th->stack.n; f++) {
			fputs("  ", out);
			put_frame(out, &th->stack.frame[f]);
		}
		if (th->stack.depth > th->stack.n)
			fprintf(out, "  and %zu further out\n", th->stack.depth - th->stack.n);
	}
}

static void put_phases(FILE *out, const struct rt_doc_target *t)
{
	if (!t->profile)
		return;
	fputs("\nphases of profile ", out);
	put(out, t->profile);
	fputc('\n', out);
	for (size_t i = 0; i < t->n_phases; i++) {
		const struct rt_doc_phase *p = &t->phases[i];

		fprintf(out, "  %-*s %s  ", LABEL_CELLS, p->id ? p->id : "?", p->found ? "found" : "missing");
		put(out, p->found ? (p->file ? p->file : "") : (p->reason ? p->reason : ""));
		fputc('\n', out);
	}
}

int rt_doc_table(const struct rt_doc *doc, FILE *out)
{
	const char *section = "";

	fprintf(out, "ramtrack-bpf %s doctor\n", RT_VERSION);
	for (size_t i = 0; i < doc->n_rows; i++) {
		if (strcmp(section, doc->rows[i].section)) {
			section = doc->rows[i].section;
			fprintf(out, "\n%s\n", section);
		}
		put_row(out, &doc->rows[i]);
	}
	if (doc->target) {
		put_stacks(out, doc->target);
		put_phases(out, doc->target);
	}
	fprintf(out, "\nsource of RSS changes that auto takes: %s\n  ", doc->source);
	put(out, doc->source_reason ? doc->source_reason : "");
	fputs("\n\nresult: ", out);
	put(out, doc->verdict ? doc->verdict : "");
	fprintf(out, " (exit status %d)\n", doc->status);
	if (doc->failed)
		return -ENOMEM;
	return fflush(out) || ferror(out) ? -(errno ? errno : EIO) : 0;
}

/* ---- JSON ---- */

static json_t *text_or_null(const char *text)
{
	char *valid;
	json_t *v;

	if (!text)
		return json_null();
	valid = rt_text_utf8(text);
	v = valid ? json_string(valid) : NULL;
	free(valid);
	return v;
}

static json_t *json_rows(const struct rt_doc *doc)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < doc->n_rows; i++) {
		const struct rt_doc_row *r = &doc->rows[i];

		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o}", "section", r->section, "id", r->id, "label",
						      r->label, "state", states[r->state], "needed", r->needed, "value",
						      text_or_null(*r->value ? r->value : NULL), "reason",
						      text_or_null(*r->reason ? r->reason : NULL)));
	}
	return rows;
}

static json_t *json_threads(const struct rt_doc_target *t)
{
	json_t *threads = json_array();

	for (size_t i = 0; i < t->n_threads; i++) {
		const struct rt_doc_thread *th = &t->threads[i];
		json_t *frames = json_array();

		for (size_t f = 0; f < th->stack.n; f++) {
			const struct rt_pystack_frame *fr = &th->stack.frame[f];

			json_array_append_new(frames, json_pack("{s:o, s:o, s:o}", "function", text_or_null(fr->function), "file",
								text_or_null(fr->file), "line",
								fr->line > 0 ? json_integer(fr->line) : json_null()));
		}
		json_array_append_new(threads, json_pack("{s:b, s:i, s:b, s:o, s:o}", "main", i == 0, "depth", (int)th->stack.depth, "moved",
							 th->stack.moved, "error",
							 text_or_null(th->error ? strerror(-th->error) : NULL), "frames", frames));
	}
	return threads;
}

static json_t *json_target(const struct rt_doc_target *t)
{
	json_t *phases = json_array();

	if (!t)
		return json_null();
	for (size_t i = 0; i < t->n_phases; i++)
		json_array_append_new(phases, json_pack("{s:s, s:b, s:o, s:o}", "phase", t->phases[i].id ? t->phases[i].id : "?", "found", t->phases[i].found, "file",
							text_or_null(t->phases[i].file), "reason",
							text_or_null(t->phases[i].found ? NULL : t->phases[i].reason)));
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "pid", (int)t->pid, "name", text_or_null(t->name), "python",
			 text_or_null(t->python), "layout", text_or_null(t->layout), "interpreter", text_or_null(t->kind),
			 "interpreter_file", text_or_null(t->interpreter), "threads", json_threads(t), "profile", text_or_null(t->profile),
			 "phases", phases);
}

int rt_doc_json(const struct rt_doc *doc, FILE *out)
{
	json_t *root = json_pack("{s:s, s:i, s:s, s:o, s:{s:s, s:o}, s:o, s:i, s:o}", "type", "doctor", "schema", RT_DOC_SCHEMA, "version",
				 RT_VERSION, "checks", json_rows(doc), "mm_source", "auto", doc->source, "reason",
				 text_or_null(doc->source_reason), "target", json_target(doc->target), "status", doc->status, "result",
				 text_or_null(doc->verdict));
	int err = root && !doc->failed ? 0 : -ENOMEM;

	if (!err && (json_dumpf(root, out, JSON_COMPACT) || fputc('\n', out) == EOF || fflush(out)))
		err = -(errno ? errno : EIO);
	json_decref(root);
	return err;
}
