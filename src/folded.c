/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * folded.c - growth by stack as flamegraph.pl and speedscope read it: one stack a line, outermost frame first, then bytes.
 *
 *	EngineCore (pid 4242);<module> (vllm/main.py:7);...;fill (app/fill.py:30);[heap] 1048576
 *
 * A line is frames with `;` between them, a blank and a number (stackcollapse's form, https://github.com/brendangregg/FlameGraph). So `;` and line breaks in
 * names are escaped, like all control and direction characters. What has no stack has a word in its place, below the phases that it was charged to.
 *
 * Values are not negative there. A stack that gave back more than it gained has no line under `held`; how much that is in all is said in the note, so that
 * lines - note = the summary's figure. A file would be as long as stacks are deep times their number (vLLM: 500 MB). So where it would be longer than
 * RT_FOLDED_MAX, the smallest branches are added up at the frame that they hang on, as "<smaller>": the total stays whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats.h"
#include "units.h"

#define RT_FOLDED_MAX (64u << 20) /* bytes of the file, about */
#define RT_FOLDED_NAME 400	  /* characters of a name */

struct rt_folded {
	FILE *out;
	enum rt_folded_value value;
	const struct rt_summary *summary;
	size_t *width;	/* of each frame with all its callers, as written */
	int64_t *below; /* of each frame, with all that it called: of one process */
	int64_t negative; /* what has no line, as a positive number */
	size_t n_negative;
	int64_t cut; /* branches below this are added up; 0: none */
	char note[200];
	int error;
};

/* What becomes one line. */
struct rt_fold {
	uint32_t frame, phase; /* phase: of a word, index + 1 */
	const char *mapping;
	bool smaller;
	int64_t value;
};

static void *rt_folded_open(const struct rt_format_config *config)
{
	struct rt_folded *folded = calloc(1, sizeof(*folded));

	if (!folded)
		return NULL;
	folded->out = config->out;
	folded->value = config->value;
	return folded;
}

static void rt_folded_close(void *output)
{
	free(output);
}

static int rt_folded_error(const void *output)
{
	return ((const struct rt_folded *)output)->error;
}

static const char *rt_folded_note(const void *output)
{
	const struct rt_folded *folded = output;

	return folded->note[0] ? folded->note : NULL;
}

/* ---- names ---- */

/* A name as a frame: escaped, without `;`. Caller frees; NULL without memory. */
static char *rt_frame_text(const char *name)
{
	char *safe = rt_text_escape(name && *name ? name : "<no name>", RT_FOLDED_NAME), *text, *to;
	size_t n = 0;

	if (!safe)
		return NULL;
	for (const char *c = safe; *c; c++)
		n += *c == ';';
	text = to = malloc(strlen(safe) + 3 * n + 1);
	for (const char *c = safe; text && *c; c++) {
		if (*c == ';')
			to = stpcpy(to, "\\x3b");
		else
			*to++ = *c;
	}
	if (text)
		*to = '\0';
	free(safe);
	return text;
}

static int rt_name_print(FILE *out, const char *name)
{
	char *text = rt_frame_text(name);
	int n = text ? fprintf(out, "%s", text) : -1;

	free(text);
	return n;
}

static int rt_frame_print(FILE *out, const struct rt_stack_frame *frame)
{
	int n = rt_name_print(out, frame->function), m = 0;

	if (*frame->file) {
		n += fprintf(out, " (");
		m = rt_name_print(out, rt_source_tail(frame->file));
		n += frame->line > 0 ? fprintf(out, ":%d)", frame->line) : fprintf(out, ")");
	}
	return n < 0 || m < 0 ? -1 : n + m;
}

/* How long each stack will be: each frame is written once, into nothing. */
static int rt_folded_widths(struct rt_folded *folded)
{
	const struct rt_summary *s = folded->summary;
	FILE *nothing = fopen("/dev/null", "we");
	int n = 0;

	if (!nothing)
		return -errno;
	for (size_t i = 1; i < s->n_frames && n >= 0; i++) {
		n = rt_frame_print(nothing, &s->frames[i]);
		folded->width[i] = folded->width[s->frames[i].caller] + (size_t)n + 1;
	}
	fclose(nothing);
	return n < 0 ? -ENOMEM : 0;
}

/* ---- lines of one process ---- */

static int64_t rt_row_value(const struct rt_folded *folded, const struct rt_stack_row *row)
{
	return folded->value == RT_FOLDED_GAINED ? row->gained.total : folded->value == RT_FOLDED_RELEASED ? row->released.total : row->gained.total - row->released.total;
}

static int rt_fold_compare(const void *a, const void *b)
{
	const struct rt_fold *x = a, *y = b;

	if (x->frame != y->frame)
		return x->frame < y->frame ? -1 : 1;
	if (x->phase != y->phase)
		return x->phase < y->phase ? -1 : 1;
	if (x->smaller != y->smaller)
		return x->smaller ? 1 : -1;
	return strcmp(x->mapping ? x->mapping : "", y->mapping ? y->mapping : "");
}

/* Sorts, and makes one of what is the same line. Returns how many are left. */
static size_t rt_folds_join(struct rt_fold *fold, size_t n)
{
	size_t to = 0;

	qsort(fold, n, sizeof(*fold), rt_fold_compare);
	for (size_t i = 0; i < n; i++) {
		if (to && !rt_fold_compare(&fold[to - 1], &fold[i]))
			fold[to - 1].value += fold[i].value;
		else
			fold[to++] = fold[i];
	}
	return to;
}

/* A frame without a file below the root is a word: its phases tell more than it does. */
static bool rt_frame_is_word(const struct rt_summary *s, uint32_t frame)
{
	return frame && !s->frames[frame].caller && !*s->frames[frame].file;
}

/* The process's lines, all of them. Returns how many; *out is the caller's, NULL without memory. */
static size_t rt_folds_of(const struct rt_folded *folded, const struct rt_proc_summary *proc, struct rt_fold **out)
{
	struct rt_fold *fold = calloc(proc->n_stacks + 1, sizeof(*fold));

	*out = fold;
	for (size_t i = 0; fold && i < proc->n_stacks; i++) {
		const struct rt_stack_row *row = &proc->stacks[i];

		fold[i] = (struct rt_fold){
			.frame = row->frame,
			.phase = rt_frame_is_word(folded->summary, row->frame) ? row->phase : 0,
			.mapping = row->mapping,
			.value = rt_row_value(folded, row),
		};
	}
	return fold ? rt_folds_join(fold, proc->n_stacks) : 0;
}

/* Takes out what has no line. */
static size_t rt_folds_positive(struct rt_folded *folded, struct rt_fold *fold, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		if (fold[i].value > 0)
			fold[to++] = fold[i];
		if (fold[i].value < 0) {
			folded->negative -= fold[i].value;
			folded->n_negative++;
		}
	}
	return to;
}

/* Branches below folded->cut end where they begin. */
static size_t rt_folds_cut(const struct rt_folded *folded, struct rt_fold *fold, size_t n)
{
	const struct rt_stack_frame *frames = folded->summary->frames;

	memset(folded->below, 0, folded->summary->n_frames * sizeof(*folded->below));
	for (size_t i = 0; i < n; i++)
		folded->below[fold[i].frame] += fold[i].value;
	for (size_t i = folded->summary->n_frames; i-- > 1;)
		folded->below[frames[i].caller] += folded->below[i];
	for (size_t i = 0; i < n; i++) {
		uint32_t at = fold[i].frame;

		while (at && folded->below[at] < folded->cut)
			at = frames[at].caller;
		if (at != fold[i].frame)
			fold[i] = (struct rt_fold){.frame = at, .smaller = true, .value = fold[i].value};
	}
	return rt_folds_join(fold, n);
}

/* Bytes, about. */
static size_t rt_folds_width(const struct rt_folded *folded, const struct rt_fold *fold, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += folded->width[fold[i].frame] + 60 + (fold[i].mapping ? strlen(fold[i].mapping) : 0);
	return sum;
}

static int rt_callers_print(const struct rt_folded *folded, uint32_t frame)
{
	const struct rt_stack_frame *frames = folded->summary->frames;
	uint32_t depth = 0, *stack;
	int n = 0;

	for (uint32_t at = frame; at; at = frames[at].caller)
		depth++;
	stack = malloc((depth + 1) * sizeof(*stack));
	if (!stack)
		return -1;
	for (uint32_t at = frame, i = depth; at; at = frames[at].caller)
		stack[--i] = at;
	for (uint32_t i = 0; i < depth && n >= 0; i++) {
		fputc(';', folded->out);
		n = rt_frame_print(folded->out, &frames[stack[i]]);
	}
	free(stack);
	return n;
}

static int rt_fold_print(const struct rt_folded *folded, const struct rt_proc_summary *proc, const char *root, const struct rt_fold *fold)
{
	const struct rt_phase_view *phase = fold->phase ? &proc->phases[fold->phase - 1] : NULL;
	int n = fputs(root, folded->out);

	for (size_t i = 0; phase && i < phase->path_len; i++)
		fprintf(folded->out, ";[%s]", phase->path[i]->id);
	if (n >= 0)
		n = rt_callers_print(folded, fold->frame);
	if (fold->smaller)
		fputs(";<smaller>", folded->out);
	if (fold->mapping && n >= 0) {
		fputc(';', folded->out);
		n = rt_name_print(folded->out, fold->mapping);
	}
	fprintf(folded->out, " %lld\n", (long long)fold->value);
	return n < 0 ? -ENOMEM : 0;
}

/* First frame: whose they are. NULL without memory. */
static char *rt_folded_root(const struct rt_proc_view *proc)
{
	char *name = rt_frame_text(proc->name), *root = NULL;

	/* A line that begins with # is a comment. */
	if (name && asprintf(&root, proc->pid ? "%s%s (pid %u)" : "%s%s (several)", *name == '#' ? "\\" : "", name, proc->pid) < 0)
		root = NULL;
	free(name);
	return root;
}

/* Writes a process's lines, or adds up how long they would be. Returns 0 or -errno. */
static int rt_folded_proc(struct rt_folded *folded, const struct rt_proc_summary *proc, size_t *width)
{
	struct rt_fold *fold;
	size_t n = rt_folds_of(folded, proc, &fold);
	char *root = rt_folded_root(&proc->proc);
	int err = fold && root ? 0 : -ENOMEM;

	if (!err) {
		n = rt_folds_positive(folded, fold, n);
		if (folded->cut)
			n = rt_folds_cut(folded, fold, n);
		if (width)
			*width += rt_folds_width(folded, fold, n);
	}
	for (size_t i = 0; !err && !width && i < n; i++) {
		err = rt_fold_print(folded, proc, root, &fold[i]);
		if (!err && ferror(folded->out))
			err = errno ? -errno : -EIO;
	}
	free(root);
	free(fold);
	return err;
}

/* ---- the whole ---- */

/* The smallest power of two below which branches have to be added up so that the file is not too long; 0: none. */
static int rt_folded_find_cut(struct rt_folded *folded)
{
	size_t width = SIZE_MAX;
	int err = 0;

	while (!err && width > RT_FOLDED_MAX && folded->cut < INT64_MAX / 2) {
		if (width != SIZE_MAX)
			folded->cut = folded->cut ? 2 * folded->cut : 8192;
		width = 0;
		for (size_t i = 0; !err && i < folded->summary->n_procs; i++)
			err = rt_folded_proc(folded, &folded->summary->procs[i], &width);
	}
	return err;
}

static int rt_folded_write(struct rt_folded *folded)
{
	int err = rt_folded_widths(folded);

	if (!err)
		err = rt_folded_find_cut(folded);
	folded->negative = 0;
	folded->n_negative = 0;
	errno = 0;
	for (size_t i = 0; !err && i < folded->summary->n_procs; i++)
		err = rt_folded_proc(folded, &folded->summary->procs[i], NULL);
	if (!err && fflush(folded->out))
		err = -errno;
	return err;
}

static void rt_folded_finish(void *output, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	struct rt_folded *folded = output;
	size_t n = 0;

	(void)cost;
	folded->summary = summary;
	folded->width = calloc(summary->n_frames + 1, sizeof(*folded->width));
	folded->below = calloc(summary->n_frames + 1, sizeof(*folded->below));
	folded->error = folded->width && folded->below ? rt_folded_write(folded) : -ENOMEM;
	free(folded->width);
	free(folded->below);
	if (!folded->error && folded->negative)
		n = (size_t)snprintf(folded->note, sizeof(folded->note), "%zu stacks gave back %lld bytes more than they gained and have no line; --value released shows them",
				     folded->n_negative, (long long)folded->negative);
	if (!folded->error && folded->cut && n < sizeof(folded->note))
		snprintf(folded->note + n, sizeof(folded->note) - n, "%sbranches below %lld KiB are added up as <smaller>", n ? "; " : "", (long long)(folded->cut >> 10));
}

const struct rt_format rt_format_folded = {
	.name = "folded",
	.option = "--folded",
	.needs = RT_NEED_STACKS,
	.open = rt_folded_open,
	.finish = rt_folded_finish,
	.note = rt_folded_note,
	.error = rt_folded_error,
	.close = rt_folded_close,
};
