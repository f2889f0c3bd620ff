/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE
#include "outputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "probe.h" /* enum rt_status */
#include "wholefile.h"

#define SHOW_NS 200000000ull

static int cannot_write(const char *path, const char *option, int err)
{
	rt_log_error("%s %s: cannot be written: %s; give a file in a directory that you may write to", option, path, strerror(err));
	return RT_ERROR;
}

static int open_file(const char *path, const char *option, FILE **out)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return cannot_write(path, option, errno);
	*out = f;
	return RT_OK;
}

/* One more output: `path`, or standard output for "-". Returns an exit status, errors logged. */
static int rt_outputs_add_format(struct rt_outputs *o, enum rt_format_id id, const char *path)
{
	struct rt_output_format *f = &o->format[id];
	const struct rt_format *format = rt_format_get(id);
	const char *option = format->option ? format->option : "-o";
	bool to_stdout = !strcmp(path, "-");
	int status = RT_OK;

	f->path = to_stdout ? "standard output" : path;
	if (to_stdout) {
		f->file = stdout;
	} else if (format->atomic) {
		int err = rt_wholefile_check(path);

		if (err)
			return cannot_write(path, option, -err);
		f->file = open_memstream(&f->whole, &f->whole_len);
		if (!f->file) {
			rt_log_error("out of memory");
			return RT_ERROR;
		}
	} else {
		status = open_file(path, option, &f->file);
	}
	if (!status)
		f->format = format;
	return status;
}

unsigned int rt_outputs_needs(const struct rt_outputs *o)
{
	unsigned int needs = 0;

	for (int id = 0; id < RT_FORMATS; id++)
		needs |= o->format[id].format ? o->format[id].format->needs : 0;
	return needs;
}

int rt_outputs_open(struct rt_outputs *o, const struct rt_opts *opts)
{
	int status = RT_OK;

	*o = (struct rt_outputs){
		.log_file = opts->log_to_stderr ? stderr : stdout,
		.log_name = opts->log_to_stderr ? "standard error" : "standard output",
		.lang = opts->lang,
	};
	if (opts->no_log) {
		o->log_file = NULL;
		o->log_name = "";
	}
	o->summary_file = o->log_file;
	if (opts->output) {
		o->log_name = opts->output;
		o->log_file = NULL;
		status = open_file(opts->output, "-o", &o->log_file);
		/* The summary stays on standard output, unless the NDJSON has it. */
		o->summary_file = opts->json && !strcmp(opts->json, "-") ? o->log_file : stdout;
	}
	if (!status && opts->json) {
		o->json_name = opts->json;
		if (!strcmp(opts->json, "-")) {
			o->json_file = stdout;
			o->json_name = "standard output";
		} else {
			status = open_file(opts->json, "-j", &o->json_file);
		}
	}
	for (int id = 0; !status && id < RT_FORMATS; id++) {
		if (opts->format_file[id])
			status = rt_outputs_add_format(o, (enum rt_format_id)id, opts->format_file[id]);
	}
	return status;
}

static int begin_formats(struct rt_outputs *o, const struct rt_opts *opts, struct rt_account *account)
{
	for (int id = 0; id < RT_FORMATS; id++) {
		struct rt_output_format *f = &o->format[id];
		struct rt_format_config config = {.out = f->file, .lang = o->lang, .value = opts->folded_value};
		struct rt_sink sink;

		if (!f->format)
			continue;
		f->output = f->format->open(&config);
		if (!f->output)
			return -ENOMEM;
		if (!f->format->sink)
			continue;
		sink = f->format->sink(f->output);
		if (rt_account_add_sink(account, &sink))
			return -ENOMEM;
	}
	return 0;
}

static void clear_progress(void *ctx)
{
	struct rt_outputs *o = ctx;

	rt_terminal_erase(&o->terminal);
}

/* The progress is told first: it takes its line off the terminal before others write there. */
static int begin_progress(struct rt_outputs *o, const struct rt_opts *opts, struct rt_account *account)
{
	bool log = o->log_file && isatty(fileno(o->log_file)), json = o->json_file && isatty(fileno(o->json_file));
	struct rt_sink sink;

	if (opts->verbosity < 0 || !rt_terminal_usable())
		return 0;
	rt_terminal_init(&o->terminal, rt_opts_use_color(opts->color, getenv("NO_COLOR"), getenv("CLICOLOR_FORCE"), true));
	o->progress = rt_progress_new(opts->lang, log || json ? clear_progress : NULL, o, json);
	if (!o->progress)
		return -ENOMEM;
	rt_log_set_before(clear_progress, o);
	sink = rt_progress_sink(o->progress);
	return rt_account_add_sink(account, &sink);
}

static void end_progress(struct rt_outputs *o)
{
	if (!o->progress)
		return;
	rt_terminal_erase(&o->terminal);
	rt_log_set_before(NULL, NULL);
	rt_progress_free(o->progress);
	o->progress = NULL;
}

void rt_outputs_show(struct rt_outputs *o, uint64_t now_ns)
{
	char *text;

	if (!o->progress)
		return;
	if (!o->begun_ns)
		o->begun_ns = now_ns;
	if (o->shown_ns && now_ns - o->shown_ns < SHOW_NS)
		return;
	o->shown_ns = now_ns;
	text = rt_progress_text(o->progress, now_ns - o->begun_ns, rt_terminal_cells(&o->terminal));
	if (text)
		rt_terminal_draw(&o->terminal, text);
	free(text);
}

int rt_outputs_begin(struct rt_outputs *o, const struct rt_opts *opts, struct rt_account *account, int64_t wall_offset_ns)
{
	struct rt_taglog_config config = {
		.out = o->log_file,
		.lang = opts->lang,
		.tag = opts->tag,
		.min_size = opts->min_size,
		.timestamps = opts->timestamps,
		.wall_offset_ns = wall_offset_ns,
		.color = o->log_file && rt_opts_use_color(opts->color, getenv("NO_COLOR"), getenv("CLICOLOR_FORCE"), isatty(fileno(o->log_file))),
	};
	struct rt_sink sink;

	if (begin_progress(o, opts, account))
		goto no_memory;
	if (o->log_file) {
		o->log = rt_taglog_new(&config);
		if (!o->log)
			goto no_memory;
		sink = rt_taglog_sink(o->log);
		if (rt_account_add_sink(account, &sink))
			goto no_memory;
	}
	if (o->json_file) {
		o->json = rt_json_new(o->json_file, opts->lang);
		if (!o->json)
			goto no_memory;
		sink = rt_json_sink(o->json);
		if (!opts->json_growth) { /* told for the sake of another output */
			sink.on_growth = NULL;
			sink.on_stack = NULL;
		}
		if (rt_account_add_sink(account, &sink))
			goto no_memory;
	}
	if (begin_formats(o, opts, account))
		goto no_memory;
	return RT_OK;
no_memory:
	rt_log_error("out of memory");
	return RT_ERROR;
}

void rt_outputs_start(struct rt_outputs *o, const struct rt_json_start *start)
{
	if (o->json)
		rt_json_start(o->json, start);
	for (int id = 0; id < RT_FORMATS; id++) {
		struct rt_output_format *f = &o->format[id];

		if (f->output && f->format->start)
			f->format->start(f->output, start);
	}
}

static void report(struct rt_outputs *o, const char *name, int err)
{
	if (o->reported)
		return;
	o->reported = 1;
	rt_log_error("%s: writing failed: %s%s", name, strerror(-err),
		     err == -ENOSPC ? "; free some space, or write to another disk: what follows is lost" :
		     err == -EPIPE  ? "; its reader is gone" :
				      "");
}

int rt_outputs_error(struct rt_outputs *o)
{
	int err = o->log ? rt_taglog_error(o->log) : 0;

	if (err) {
		report(o, o->log_name, err);
		return err;
	}
	err = o->json ? rt_json_error(o->json) : 0;
	if (err)
		report(o, o->json_name, err);
	for (int id = 0; !err && id < RT_FORMATS; id++) {
		const struct rt_output_format *f = &o->format[id];

		err = f->output ? f->format->error(f->output) : 0;
		if (err)
			report(o, f->path, err);
	}
	return err;
}

static int finish_format(struct rt_outputs *o, struct rt_output_format *f, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	int err;

	if (!f->output)
		return 0;
	f->format->finish(f->output, summary, cost);
	err = f->format->error(f->output);
	if (!err && fflush(f->file))
		err = -errno;
	if (!err && f->format->atomic && f->file != stdout)
		err = rt_wholefile_write(f->path, f->whole, f->whole_len);
	if (err)
		report(o, f->path, err);
	else if (f->format->note && f->format->note(f->output))
		rt_log_notice("%s: %s", f->path, f->format->note(f->output));
	return err;
}

int rt_outputs_finish(struct rt_outputs *o, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	int err, failed = 0;

	if (o->progress)
		rt_terminal_erase(&o->terminal);
	if (o->json)
		rt_json_summary(o->json, summary, cost);
	for (int id = 0; id < RT_FORMATS; id++)
		failed |= finish_format(o, &o->format[id], summary, cost);
	err = !o->summary_file || (o->log && rt_taglog_error(o->log) && o->summary_file == o->log_file) ?
		      0 : /* none is wanted, or nothing more goes there, and it is said below */
		      rt_report_print(o->summary_file, o->lang, summary, cost);
	if (err)
		report(o, o->summary_file == stdout ? "standard output" : o->log_name, err);
	return rt_outputs_error(o) || err || failed ? RT_ERROR : RT_OK;
}

static void close_file(struct rt_outputs *o, FILE *f, const char *name)
{
	if (!f || f == stdout || f == stderr)
		return;
	if (fclose(f))
		report(o, name, -errno);
}

void rt_outputs_close(struct rt_outputs *o)
{
	end_progress(o);
	rt_taglog_free(o->log);
	rt_json_free(o->json);
	close_file(o, o->log_file, o->log_name);
	close_file(o, o->json_file, o->json_name);
	for (int id = 0; id < RT_FORMATS; id++) {
		struct rt_output_format *f = &o->format[id];

		if (f->output)
			f->format->close(f->output);
		close_file(o, f->file, f->path);
		free(f->whole);
	}
}
