/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "taglog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

/* A process title may be as long as a command line; a role is a few characters. */
#define RT_NAME_CHARS 64

/* From here on the change of the descendants is worth a word (interface of the log). */
#define RT_CHILDREN_MIN (1 << 20)

#define RT_BOLD "\033[1m"
#define RT_RED "\033[31m"
#define RT_GREEN "\033[32m"
#define RT_PLAIN "\033[0m"

/* What has been left out of a process's lines so far. */
struct rt_carry {
	uint32_t pid;
	int64_t seen_total; /* of the last checkpoint, printed or not */
	int64_t skipped;    /* sum of the changes since the last printed line */
};

struct rt_taglog {
	struct rt_taglog_config config;
	char *tag; /* escaped; NULL: none */
	struct rt_carry *carry;
	size_t n_carry, cap_carry;
	int error;
};

struct rt_taglog *rt_taglog_new(const struct rt_taglog_config *config)
{
	struct rt_taglog *log = calloc(1, sizeof(*log));

	if (!log)
		return NULL;
	log->config = *config;
	log->config.tag = NULL;
	if (config->tag && *config->tag) {
		log->tag = rt_text_escape(config->tag, 0);
		if (!log->tag) {
			free(log);
			return NULL;
		}
	}
	return log;
}

void rt_taglog_free(struct rt_taglog *log)
{
	if (!log)
		return;
	free(log->carry);
	free(log->tag);
	free(log);
}

int rt_taglog_error(const struct rt_taglog *log)
{
	return log->error;
}

/* ---- what a minimum size left out ---- */

static struct rt_carry *rt_carry_find(struct rt_taglog *log, uint32_t pid)
{
	size_t i;

	for (i = 0; i < log->n_carry; i++) {
		if (log->carry[i].pid == pid)
			return &log->carry[i];
	}
	return NULL;
}

static struct rt_carry *rt_carry_get(struct rt_taglog *log, uint32_t pid)
{
	struct rt_carry *carry = rt_carry_find(log, pid), *more;
	size_t cap;

	if (carry)
		return carry;
	if (log->n_carry == log->cap_carry) {
		cap = log->cap_carry ? 2 * log->cap_carry : 16;
		more = realloc(log->carry, cap * sizeof(*more));
		if (!more)
			return NULL;
		log->carry = more;
		log->cap_carry = cap;
	}
	carry = &log->carry[log->n_carry++];
	*carry = (struct rt_carry){.pid = pid};
	return carry;
}

static void rt_carry_drop(struct rt_taglog *log, uint32_t pid)
{
	struct rt_carry *carry = rt_carry_find(log, pid);

	if (carry)
		*carry = log->carry[--log->n_carry];
}

/* Is this checkpoint's line printed, and with which growth? */
static bool rt_carry_apply(struct rt_taglog *log, const struct rt_proc_view *proc, const struct rt_checkpoint_view *cp,
			   int64_t *growth)
{
	struct rt_carry *carry;

	*growth = cp->delta;
	if (log->config.min_size <= 0)
		return true;
	carry = rt_carry_get(log, proc->pid);
	if (!carry)
		return true; /* no memory: a line too many, and still true as far as the core knows */
	/* A total that does not continue the last one has a new baseline: what was left out belongs to the
	 * old one. */
	if (cp->total - cp->delta != carry->seen_total)
		carry->skipped = 0;
	*growth += carry->skipped;
	carry->seen_total = cp->total;
	if (*growth < log->config.min_size && *growth > -log->config.min_size) {
		carry->skipped = *growth;
		return false;
	}
	carry->skipped = 0;
	return true;
}

/* ---- a line ---- */

static void rt_line_front(const struct rt_taglog *log, FILE *line, const struct rt_proc_view *proc, uint64_t ts_ns)
{
	char *name;

	if (log->config.timestamps)
		fprintf(line, "%s ", rt_wall_format((int64_t)ts_ns + log->config.wall_offset_ns).text);
	if (proc->first)
		return;
	name = rt_text_escape(proc->name, RT_NAME_CHARS);
	fprintf(line, "(%s pid=%u) ", name ? name : "?", proc->pid);
	free(name);
}

static void rt_line_label(const struct rt_taglog *log, FILE *line, const struct rt_checkpoint_view *cp)
{
	static const char *const suffix[RT_LANGS][2] = {
		[RT_LANG_ZH] = {[RT_ENTER] = "之前", [RT_EXIT] = "之后"},
		[RT_LANG_EN] = {[RT_ENTER] = " before", [RT_EXIT] = " after"},
	};
	const struct rt_label *own = cp->edge == RT_ENTER ? &cp->phase->enter : &cp->phase->exit;
	enum rt_lang lang = log->config.lang;
	const char *text = own->text[lang], *end = "";
	char *label;

	if (!text) {
		text = cp->phase->label.text[lang];
		end = suffix[lang][cp->edge];
	}
	label = rt_text_escape(text, 0);
	fprintf(line, "%s%s%s%s", log->config.color ? RT_BOLD : "", label ? label : "?", end,
		log->config.color ? RT_PLAIN : "");
	free(label);
}

static void rt_line_size(const struct rt_taglog *log, FILE *line, int64_t growth, struct rt_value size)
{
	bool color = log->config.color && growth;

	fprintf(line, "%s%s%s", color ? growth > 0 ? RT_RED : RT_GREEN : "", size.text, color ? RT_PLAIN : "");
}

static void rt_line_tag(const struct rt_taglog *log, FILE *line)
{
	if (log->tag)
		fprintf(line, log->config.lang == RT_LANG_ZH ? "（%s）" : " [%s]", log->tag);
	fputc('\n', line);
}

#define RT_REUSED_MIN 8192 /* bytes: less would be printed as 0.00 M */

static void rt_line_extras(const struct rt_taglog *log, FILE *line, const struct rt_checkpoint_view *cp)
{
	bool zh = log->config.lang == RT_LANG_ZH;

	if (cp->edge == RT_EXIT && cp->reused >= RT_REUSED_MIN)
		fprintf(line, zh ? " [重用 %s M]" : " [reused %s MiB]", rt_mib_format(cp->reused, false).text);
	if (cp->edge == RT_EXIT && (cp->tree_delta >= RT_CHILDREN_MIN || cp->tree_delta <= -RT_CHILDREN_MIN))
		fprintf(line, zh ? " [子进程 %s M]" : " [children %s MiB]", rt_mib_format(cp->tree_delta, true).text);
	rt_line_tag(log, line);
}

static void rt_line_format(const struct rt_taglog *log, FILE *line, const struct rt_proc_view *proc,
			   const struct rt_checkpoint_view *cp, int64_t growth)
{
	struct rt_value total = rt_mib_format(cp->total, false);

	rt_line_front(log, line, proc, cp->ts_ns);
	fputs("INFO: ", line);
	rt_line_label(log, line, cp);
	if (log->config.lang == RT_LANG_ZH) {
		fputs(growth < 0 ? " 释放 " : " 占用 ", line);
		rt_line_size(log, line, growth, rt_mib_format(growth < 0 ? -growth : growth, false));
		fprintf(line, " M RAM内存 (累计: %s M)", total.text);
	} else {
		fputs(": ", line);
		rt_line_size(log, line, growth, rt_mib_format(growth, true));
		fprintf(line, " MiB RSS (total %s MiB)", total.text);
	}
	rt_line_extras(log, line, cp);
}

/* A line is made in memory first: one write a line, so that lines of several writers to one pipe do not mix. */
struct rt_line {
	FILE *file;
	char *text;
	size_t len;
};

static bool rt_line_open(struct rt_taglog *log, struct rt_line *line)
{
	*line = (struct rt_line){0};
	if (log->error)
		return false;
	line->file = open_memstream(&line->text, &line->len);
	if (!line->file)
		log->error = -ENOMEM;
	return line->file != NULL;
}

static void rt_line_write(struct rt_taglog *log, struct rt_line *line)
{
	if (fclose(line->file)) {
		log->error = -ENOMEM;
		free(line->text);
		return;
	}
	errno = 0;
	if (fwrite(line->text, 1, line->len, log->config.out) != line->len || fflush(log->config.out))
		log->error = errno ? -errno : -EIO;
	free(line->text);
}

static void rt_taglog_checkpoint(void *ctx, const struct rt_proc_view *proc, const struct rt_checkpoint_view *cp)
{
	struct rt_taglog *log = ctx;
	struct rt_line line;
	int64_t growth;

	if (log->error || proc->muted || !rt_carry_apply(log, proc, cp, &growth))
		return;
	if (!rt_line_open(log, &line))
		return;
	rt_line_format(log, line.file, proc, cp, growth);
	rt_line_write(log, &line);
}

/* In every log, whatever its least size. It is no checkpoint: what grew since the last one stays for the next. */
static void rt_taglog_oom(void *ctx, const struct rt_proc_view *proc, const struct rt_oom_view *oom)
{
	struct rt_taglog *log = ctx;
	bool zh = log->config.lang == RT_LANG_ZH;
	char *label = NULL;
	struct rt_line line;

	if (proc->muted || !rt_line_open(log, &line))
		return;
	if (oom->phase)
		label = rt_text_escape(oom->phase->label.text[log->config.lang], 0);
	rt_line_front(log, line.file, proc, oom->ts_ns);
	fputs(zh ? "WARNING: 内存不足, 该进程被内核选中终止 (OOM): " : "WARNING: chosen by the kernel's OOM killer: ", line.file);
	if (oom->phase)
		fprintf(line.file, zh ? "阶段 %s, " : "phase %s, ", label ? label : "?");
	else
		fputs(zh ? "不在任何阶段中, " : "outside any phase, ", line.file);
	fprintf(line.file, zh ? "RSS %s M" : "RSS %s MiB", rt_mib_format(oom->rss.total, false).text);
	rt_line_tag(log, line.file);
	free(label);
	rt_line_write(log, &line);
}

static void rt_taglog_process(void *ctx, const struct rt_proc_view *proc, enum rt_proc_event event, uint64_t ts_ns)
{
	struct rt_taglog *log = ctx;

	(void)ts_ns;
	/* The pid may come back as another process. */
	if (event == RT_EV_EXIT || event == RT_EV_FORK || event == RT_EV_ATTACH)
		rt_carry_drop(log, proc->pid);
}

struct rt_sink rt_taglog_sink(struct rt_taglog *log)
{
	return (struct rt_sink){
		.ctx = log,
		.on_process = rt_taglog_process,
		.on_checkpoint = rt_taglog_checkpoint,
		.on_oom = rt_taglog_oom,
	};
}
