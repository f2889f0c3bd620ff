/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <jansson.h>

#include "formats.h"
#include "jsontext.h"
#include "mapname.h"
#include "units.h"

struct rt_json {
	FILE *out;
	enum rt_lang lang;
	int error;
};

struct rt_json *rt_json_new(FILE *out, enum rt_lang lang)
{
	struct rt_json *json = calloc(1, sizeof(*json));

	if (!json)
		return NULL;
	json->out = out;
	json->lang = lang;
	return json;
}

void rt_json_free(struct rt_json *json)
{
	free(json);
}

int rt_json_error(const struct rt_json *json)
{
	return json->error;
}

/* ---- building: a value that could not be made or put is an error of the output, noticed before a line is
 * written ---- */

static void rt_json_put(struct rt_json *json, json_t *object, const char *key, json_t *value)
{
	/* Takes over `value`, also on failure; a NULL value or object fails. */
	if (json_object_set_new(object, key, value) && !json->error)
		json->error = -ENOMEM;
}

static void rt_json_append(struct rt_json *json, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) && !json->error)
		json->error = -ENOMEM;
}

static void rt_json_int(struct rt_json *json, json_t *object, const char *key, int64_t value)
{
	rt_json_put(json, object, key, json_integer(value));
}

/* A counter or a time: readers take integers as signed. */
static void rt_json_uint(struct rt_json *json, json_t *object, const char *key, uint64_t value)
{
	rt_json_put(json, object, key, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

static void rt_json_string(struct rt_json *json, json_t *object, const char *key, const char *text)
{
	rt_json_put(json, object, key, rt_json_text(text));
}

static void rt_json_maybe(struct rt_json *json, json_t *object, const char *key, const char *text)
{
	rt_json_put(json, object, key, text && *text ? rt_json_text(text) : json_null());
}

static void rt_json_kinds(struct rt_json *json, json_t *object, const struct rt_sizes *sizes)
{
	rt_json_int(json, object, "anon_bytes", sizes->kind[RT_ANON]);
	rt_json_int(json, object, "file_bytes", sizes->kind[RT_FILE]);
	rt_json_int(json, object, "shmem_bytes", sizes->kind[RT_SHMEM]);
}

static void rt_json_ending(struct rt_json *json, json_t *object, const struct rt_proc_view *proc, bool ended)
{
	int status = (int)proc->wait_status;

	rt_json_put(json, object, "exit_code",
		    ended && WIFEXITED(status) ? json_integer(WEXITSTATUS(status)) : json_null());
	rt_json_put(json, object, "signal",
		    ended && WIFSIGNALED(status) ? json_integer(WTERMSIG(status)) : json_null());
}

/* An object that begins a line, or NULL once nothing is to be written any more. */
static json_t *rt_json_line(struct rt_json *json, const char *type)
{
	json_t *object;

	if (json->error)
		return NULL;
	object = json_object();
	if (!object) {
		json->error = -ENOMEM;
		return NULL;
	}
	rt_json_string(json, object, "type", type);
	return object;
}

/* Writes the line and takes the object over. */
static void rt_json_write(struct rt_json *json, json_t *object)
{
	char *text = json->error ? NULL : json_dumps(object, JSON_COMPACT);
	size_t len;

	json_decref(object);
	if (!text) {
		if (!json->error)
			json->error = -ENOMEM;
		return;
	}
	/* The line's end in place of the string's: one write a line. */
	len = strlen(text) + 1;
	text[len - 1] = '\n';
	errno = 0;
	if (fwrite(text, 1, len, json->out) != len || fflush(json->out))
		json->error = errno ? -errno : -EIO;
	free(text);
}

/* ---- lines ---- */

void rt_json_start(struct rt_json *json, const struct rt_json_start *start)
{
	json_t *object = rt_json_line(json, "start"), *targets;
	size_t i;

	if (!object)
		return;
	rt_json_string(json, object, "version", start->version);
	rt_json_int(json, object, "schema", RT_JSON_SCHEMA);
	rt_json_string(json, object, "kernel", start->kernel);
	rt_json_string(json, object, "profile", start->profile);
	rt_json_string(json, object, "mm_source", start->mm_source);
	rt_json_string(json, object, "mm_hook", start->mm_hook);
	rt_json_put(json, object, "mm_exact", json_boolean(start->mm_exact));
	rt_json_string(json, object, "python_entry", start->python_entry);
	rt_json_uint(json, object, "wall_ns", start->wall_ns);
	rt_json_uint(json, object, "ts_ns", start->ts_ns);
	targets = json_array();
	for (i = 0; i < start->n_targets; i++)
		rt_json_append(json, targets, json_integer(start->targets[i]));
	rt_json_put(json, object, "targets", targets);
	rt_json_write(json, object);
}

static void rt_json_process(void *ctx, const struct rt_proc_view *proc, enum rt_proc_event event, uint64_t ts_ns)
{
	static const char *const events[] = {
		[RT_EV_ATTACH] = "attach", [RT_EV_EXEC] = "exec", [RT_EV_FORK] = "fork", [RT_EV_EXIT] = "exit",
		[RT_EV_TITLE] = "title",
	};
	struct rt_json *json = ctx;
	json_t *object = rt_json_line(json, "process");

	if (!object)
		return;
	rt_json_uint(json, object, "ts_ns", ts_ns);
	rt_json_string(json, object, "event", events[event]);
	rt_json_int(json, object, "pid", proc->pid);
	rt_json_int(json, object, "ppid", proc->ppid);
	rt_json_string(json, object, "name", proc->name);
	rt_json_string(json, object, "exe", proc->exe);
	rt_json_string(json, object, "cmdline", proc->cmdline);
	rt_json_maybe(json, object, "python", proc->python);
	rt_json_ending(json, object, proc, event == RT_EV_EXIT);
	rt_json_int(json, object, "rss_bytes", proc->now.total);
	rt_json_write(json, object);
}

static void rt_json_checkpoint(void *ctx, const struct rt_proc_view *proc, const struct rt_checkpoint_view *cp)
{
	struct rt_json *json = ctx;
	json_t *object = rt_json_line(json, "checkpoint");

	if (!object)
		return;
	rt_json_uint(json, object, "ts_ns", cp->ts_ns);
	rt_json_int(json, object, "pid", proc->pid);
	rt_json_int(json, object, "tid", cp->tid);
	rt_json_string(json, object, "phase", cp->phase->id);
	rt_json_string(json, object, "edge", cp->edge == RT_ENTER ? "enter" : "exit");
	rt_json_string(json, object, "label", cp->phase->label.text[json->lang]);
	rt_json_int(json, object, "delta_bytes", cp->delta);
	rt_json_int(json, object, "total_bytes", cp->total);
	rt_json_int(json, object, "rss_bytes", cp->rss.total);
	rt_json_kinds(json, object, &cp->rss);
	rt_json_write(json, object);
}

static json_t *rt_json_mappings(struct rt_json *json, const struct rt_phase_view *phase)
{
	json_t *list = json_array(), *object;
	size_t i;

	for (i = 0; i < phase->n_mappings; i++) {
		object = json_object();
		rt_json_string(json, object, "name", phase->mappings[i].name);
		rt_json_string(json, object, "kind", rt_mapname_kind(phase->mappings[i].kind));
		rt_json_int(json, object, "bytes", phase->mappings[i].net.total);
		rt_json_kinds(json, object, &phase->mappings[i].net);
		rt_json_append(json, list, object);
	}
	return list;
}

/* The keys of a phase, over one call or added up. In a sum "call" is the number of the last call, which is
 * the number of calls. */
static void rt_json_phase_keys(struct rt_json *json, json_t *object, uint32_t pid, const struct rt_phase_view *phase)
{
	json_t *path = json_array();
	size_t i;

	rt_json_int(json, object, "pid", pid);
	rt_json_int(json, object, "tid", phase->tid);
	rt_json_string(json, object, "phase", phase->phase->id);
	rt_json_string(json, object, "label", phase->phase->label.text[json->lang]);
	for (i = 0; i < phase->path_len; i++)
		rt_json_append(json, path, rt_json_text(phase->path[i]->id));
	rt_json_put(json, object, "path", path);
	rt_json_int(json, object, "call", phase->call);
	rt_json_uint(json, object, "start_ns", phase->start_ns);
	rt_json_uint(json, object, "end_ns", phase->end_ns);
	rt_json_int(json, object, "rss_start_bytes", phase->rss_start);
	rt_json_int(json, object, "rss_end_bytes", phase->rss_end);
	rt_json_int(json, object, "rss_delta_bytes", phase->delta.total);
	rt_json_int(json, object, "own_bytes", phase->own);
	rt_json_kinds(json, object, &phase->delta);
	rt_json_int(json, object, "gained_bytes", phase->gained);
	rt_json_int(json, object, "released_bytes", phase->released);
	rt_json_int(json, object, "reused_bytes", phase->reused);
	rt_json_int(json, object, "helper_bytes", phase->helper);
	rt_json_int(json, object, "peak_rss_bytes", phase->peak);
	rt_json_uint(json, object, "minor_faults", phase->minor_faults);
	rt_json_uint(json, object, "major_faults", phase->major_faults);
	rt_json_int(json, object, "tree_delta_bytes", phase->tree_delta);
	if (phase->mappings)
		rt_json_put(json, object, "mappings", rt_json_mappings(json, phase));
	rt_json_put(json, object, "exact", json_boolean(phase->exact));
	rt_json_uint(json, object, "start_ns_min", phase->start_ns_min);
	rt_json_uint(json, object, "end_ns_max", phase->end_ns_max);
	rt_json_uint(json, object, "duration_ns", phase->duration_ns);
}

static void rt_json_phase(void *ctx, const struct rt_proc_view *proc, const struct rt_phase_view *phase)
{
	struct rt_json *json = ctx;
	json_t *object = rt_json_line(json, "phase");

	if (!object)
		return;
	rt_json_phase_keys(json, object, proc->pid, phase);
	rt_json_write(json, object);
}

static void rt_json_stack(void *ctx, uint32_t id, const struct rt_frame_view *frames, size_t count)
{
	struct rt_json *json = ctx;
	json_t *object = rt_json_line(json, "stack"), *list, *frame;
	size_t i;

	if (!object)
		return;
	rt_json_int(json, object, "id", id);
	list = json_array();
	for (i = 0; i < count; i++) {
		frame = json_object();
		rt_json_string(json, frame, "function", frames[i].function);
		rt_json_string(json, frame, "file", frames[i].file);
		rt_json_put(json, frame, "line", frames[i].line > 0 ? json_integer(frames[i].line) : json_null());
		rt_json_append(json, list, frame);
	}
	rt_json_put(json, object, "frames", list);
	rt_json_write(json, object);
}

static void rt_json_native(void *ctx, const struct rt_proc_view *proc, const struct rt_native_view *native)
{
	struct rt_json *json = ctx;
	json_t *object = rt_json_line(json, "native");

	if (!object)
		return;
	rt_json_uint(json, object, "ts_ns", native->begin_ns);
	rt_json_int(json, object, "pid", proc->pid);
	rt_json_int(json, object, "tid", native->tid);
	rt_json_string(json, object, "symbol", native->symbol);
	rt_json_string(json, object, "library", native->library);
	rt_json_string(json, object, "kind", native->kind);
	rt_json_string(json, object, "op", native->is_free ? "free" : "alloc");
	rt_json_put(json, object, "inner", json_boolean(native->inner));
	rt_json_int(json, object, "calls", native->calls);
	rt_json_uint(json, object, "bytes", native->bytes);
	rt_json_put(json, object, "addr", native->addr ? json_integer((json_int_t)native->addr) : json_null());
	rt_json_uint(json, object, "duration_ns", native->duration_ns);
	rt_json_uint(json, object, "end_ns_max", native->ts_ns);
	rt_json_int(json, object, "rss_delta_bytes", native->delta.total);
	rt_json_int(json, object, "own_bytes", native->own);
	rt_json_kinds(json, object, &native->delta);
	rt_json_int(json, object, "gained_bytes", native->gained);
	rt_json_int(json, object, "released_bytes", native->released);
	rt_json_uint(json, object, "mapped_bytes", native->mapped);
	rt_json_uint(json, object, "unmapped_bytes", native->unmapped);
	rt_json_put(json, object, "open", json_boolean(native->open));
	rt_json_put(json, object, "phase", native->phase ? rt_json_text(native->phase->id) : json_null());
	rt_json_write(json, object);
}

static void rt_json_oom(void *ctx, const struct rt_proc_view *proc, const struct rt_oom_view *oom)
{
	struct rt_json *json = ctx;
	json_t *object = rt_json_line(json, "oom");

	if (!object)
		return;
	rt_json_uint(json, object, "ts_ns", oom->ts_ns);
	rt_json_int(json, object, "pid", proc->pid);
	rt_json_int(json, object, "tid", oom->tid);
	rt_json_string(json, object, "name", proc->name);
	rt_json_put(json, object, "phase", oom->phase ? rt_json_text(oom->phase->id) : json_null());
	rt_json_int(json, object, "rss_bytes", oom->rss.total);
	rt_json_kinds(json, object, &oom->rss);
	rt_json_write(json, object);
}

static void rt_json_growth(void *ctx, const struct rt_proc_view *proc, const struct rt_growth_view *growth)
{
	struct rt_json *json = ctx;
	json_t *object;

	if (!growth->delta.kind[RT_FILE] && !growth->delta.kind[RT_ANON] && !growth->delta.kind[RT_SHMEM])
		return;
	object = rt_json_line(json, "growth");
	if (!object)
		return;
	rt_json_uint(json, object, "ts_ns", growth->ts_ns);
	rt_json_int(json, object, "pid", proc->pid);
	rt_json_int(json, object, "tid", growth->tid);
	rt_json_kinds(json, object, &growth->delta);
	rt_json_put(json, object, "stack", growth->stack ? json_integer(growth->stack) : json_null());
	rt_json_put(json, object, "phase", growth->phase ? rt_json_text(growth->phase->id) : json_null());
	rt_json_write(json, object);
}

struct rt_sink rt_json_sink(struct rt_json *json)
{
	return (struct rt_sink){
		.ctx = json,
		.on_process = rt_json_process,
		.on_checkpoint = rt_json_checkpoint,
		.on_phase = rt_json_phase,
		.on_native = rt_json_native,
		.on_oom = rt_json_oom,
		.on_stack = rt_json_stack,
		.on_growth = rt_json_growth,
	};
}

/* ---- summary ---- */

static json_t *rt_json_proc_phases(struct rt_json *json, const struct rt_proc_summary *proc)
{
	json_t *list = json_array(), *object;
	size_t i;

	for (i = 0; i < proc->n_phases; i++) {
		object = json_object();
		rt_json_phase_keys(json, object, proc->proc.pid, &proc->phases[i]);
		rt_json_int(json, object, "calls", proc->phases[i].call);
		rt_json_put(json, object, "open", json_boolean(proc->phases[i].open));
		rt_json_append(json, list, object);
	}
	return list;
}

static json_t *rt_json_proc_natives(struct rt_json *json, const struct rt_proc_summary *proc)
{
	json_t *list = json_array(), *object;

	for (size_t i = 0; i < proc->n_natives; i++) {
		const struct rt_native_sum_view *row = &proc->natives[i];

		object = json_object();
		rt_json_string(json, object, "symbol", row->symbol);
		rt_json_string(json, object, "library", row->library);
		rt_json_string(json, object, "kind", row->kind);
		rt_json_string(json, object, "op", row->is_free ? "free" : "alloc");
		rt_json_put(json, object, "inner", json_boolean(row->inner));
		rt_json_put(json, object, "phase", row->phase ? rt_json_text(row->phase->id) : json_null());
		rt_json_uint(json, object, "calls", row->calls);
		rt_json_uint(json, object, "bytes", row->bytes);
		rt_json_uint(json, object, "duration_ns", row->duration_ns);
		rt_json_int(json, object, "rss_delta_bytes", row->delta.total);
		rt_json_int(json, object, "own_bytes", row->own);
		rt_json_kinds(json, object, &row->delta);
		rt_json_int(json, object, "gained_bytes", row->gained);
		rt_json_int(json, object, "released_bytes", row->released);
		rt_json_uint(json, object, "mapped_bytes", row->mapped);
		rt_json_uint(json, object, "unmapped_bytes", row->unmapped);
		rt_json_append(json, list, object);
	}
	return list;
}

static json_t *rt_json_proc_opening(struct rt_json *json, const struct rt_proc_summary *proc)
{
	static const char *const kinds[RT_KINDS] = {[RT_FILE] = "file", [RT_ANON] = "anon", [RT_SHMEM] = "shmem"};
	json_t *list = json_array(), *object;
	size_t i;

	for (i = 0; i < proc->n_opening; i++) {
		object = json_object();
		rt_json_string(json, object, "name", proc->opening[i].name);
		rt_json_string(json, object, "kind", kinds[proc->opening[i].kind]);
		rt_json_int(json, object, "bytes", proc->opening[i].bytes);
		rt_json_append(json, list, object);
	}
	return list;
}

static json_t *rt_json_proc_outside(struct rt_json *json, const struct rt_proc_summary *proc)
{
	json_t *list = json_array(), *object;
	const struct rt_outside_view *row;
	size_t i;

	for (i = 0; i < proc->n_outside; i++) {
		row = &proc->outside[i];
		object = json_object();
		rt_json_string(json, object, "module", row->module);
		rt_json_int(json, object, "rss_delta_bytes", row->net.total);
		rt_json_kinds(json, object, &row->net);
		rt_json_int(json, object, "gained_bytes", row->gained);
		rt_json_int(json, object, "released_bytes", row->released);
		rt_json_append(json, list, object);
	}
	return list;
}

static json_t *rt_json_proc_causes(struct rt_json *json, const struct rt_proc_summary *proc)
{
	json_t *object = json_object();

	rt_json_int(json, object, "reclaim_bytes", proc->cause_net[RT_CAUSE_RECLAIM]);
	rt_json_int(json, object, "khugepaged_bytes", proc->cause_net[RT_CAUSE_KHUGEPAGED]);
	rt_json_int(json, object, "remote_bytes", proc->cause_net[RT_CAUSE_REMOTE]);
	return object;
}

static json_t *rt_json_proc_oom(struct rt_json *json, const struct rt_proc_summary *proc)
{
	json_t *object;

	if (!proc->oom)
		return json_null();
	object = json_object();
	rt_json_uint(json, object, "ts_ns", proc->oom->ts_ns);
	rt_json_put(json, object, "phase", proc->oom->phase ? rt_json_text(proc->oom->phase->id) : json_null());
	rt_json_int(json, object, "rss_bytes", proc->oom->rss.total);
	return object;
}

static json_t *rt_json_proc(struct rt_json *json, const struct rt_proc_summary *proc)
{
	const struct rt_proc_view *view = &proc->proc;
	json_t *object = json_object();

	rt_json_int(json, object, "pid", view->pid);
	rt_json_int(json, object, "ppid", view->ppid);
	rt_json_string(json, object, "name", view->name);
	rt_json_maybe(json, object, "python", view->python);
	rt_json_int(json, object, "rss_start_bytes", view->start.total);
	rt_json_int(json, object, "rss_end_bytes", view->now.total);
	rt_json_int(json, object, "rss_peak_bytes", view->peak);
	rt_json_put(json, object, "opening", rt_json_proc_opening(json, proc));
	rt_json_put(json, object, "phases", rt_json_proc_phases(json, proc));
	rt_json_int(json, object, "outside_bytes", proc->outside_net);
	rt_json_put(json, object, "native", rt_json_proc_natives(json, proc));
	rt_json_put(json, object, "outside", rt_json_proc_outside(json, proc));
	rt_json_put(json, object, "causes", rt_json_proc_causes(json, proc));
	rt_json_int(json, object, "helper_by_creator_bytes", proc->helper_by_creator);
	rt_json_int(json, object, "helper_by_only_bytes", proc->helper_by_only);
	rt_json_int(json, object, "ambiguous_bytes", proc->ambiguous_net);
	rt_json_int(json, object, "unaccounted_bytes", proc->unaccounted);
	rt_json_string(json, object, "exe", view->exe);
	rt_json_string(json, object, "cmdline", view->cmdline);
	rt_json_uint(json, object, "start_ns", view->start_ns);
	rt_json_uint(json, object, "end_ns", view->end_ns);
	rt_json_put(json, object, "muted", json_boolean(view->muted));
	rt_json_put(json, object, "ended", json_boolean(view->ended));
	rt_json_put(json, object, "oom", rt_json_proc_oom(json, proc));
	rt_json_ending(json, object, view, view->ended);
	return object;
}

static json_t *rt_json_not_hit(struct rt_json *json, const struct rt_summary *summary)
{
	json_t *list = json_array(), *object;
	size_t i;

	for (i = 0; i < summary->n_not_hit; i++) {
		object = json_object();
		rt_json_string(json, object, "phase", summary->not_hit[i].phase->id);
		rt_json_string(json, object, "reason", rt_report_reason(summary->not_hit[i].why, RT_LANG_EN));
		rt_json_maybe(json, object, "file", summary->not_hit[i].detail);
		rt_json_append(json, list, object);
	}
	return list;
}

static json_t *rt_json_self(struct rt_json *json, const struct rt_self_cost *cost)
{
	json_t *object = json_object(), *programs = json_array(), *program;
	size_t i;

	rt_json_uint(json, object, "bpf_ns", cost->bpf_ns);
	rt_json_uint(json, object, "bpf_runs", cost->bpf_runs);
	rt_json_uint(json, object, "user_ns", cost->user_ns);
	rt_json_uint(json, object, "sys_ns", cost->sys_ns);
	rt_json_uint(json, object, "rss_bytes", cost->rss_bytes);
	rt_json_uint(json, object, "map_bytes", cost->map_bytes);
	for (i = 0; i < cost->n_progs; i++) {
		program = json_object();
		rt_json_string(json, program, "name", cost->progs[i].name);
		rt_json_uint(json, program, "runs", cost->progs[i].runs);
		rt_json_uint(json, program, "ns", cost->progs[i].ns);
		rt_json_uint(json, program, "missed", cost->progs[i].missed);
		rt_json_append(json, programs, program);
	}
	rt_json_put(json, object, "programs", programs);
	return object;
}

/* What told of calls exactly, and what was taken off. */
static json_t *rt_json_entries(struct rt_json *json, const struct rt_entrylog *log)
{
	json_t *list = json_array(), *entry;

	for (size_t i = 0; log && i < log->n; i++) {
		const struct rt_entry_row *row = &log->row[i];

		entry = json_object();
		rt_json_string(json, entry, "method", row->method);
		rt_json_maybe(json, entry, "phase", row->phase);
		rt_json_uint(json, entry, "attached", row->attached);
		rt_json_uint(json, entry, "hits", row->hits);
		rt_json_uint(json, entry, "detached", row->detached);
		rt_json_maybe(json, entry, "reason", row->reason);
		rt_json_append(json, list, entry);
	}
	return list;
}

void rt_json_summary(struct rt_json *json, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	static const struct rt_self_cost none;
	json_t *object = rt_json_line(json, "summary"), *part;
	size_t i;

	if (!object)
		return;
	rt_json_uint(json, object, "duration_ns", summary->duration_ns);
	part = json_array();
	for (i = 0; i < summary->n_procs; i++)
		rt_json_append(json, part, rt_json_proc(json, &summary->procs[i]));
	rt_json_put(json, object, "processes", part);
	rt_json_put(json, object, "phases_not_hit", rt_json_not_hit(json, summary));
	part = json_object();
	rt_json_uint(json, part, "records", summary->lost_records);
	rt_json_uint(json, part, "stacks", summary->lost_stacks);
	rt_json_put(json, object, "lost", part);
	rt_json_int(json, object, "unaccounted_bytes", summary->unaccounted);
	rt_json_put(json, object, "self", rt_json_self(json, cost ? cost : &none));
	rt_json_put(json, object, "entries", rt_json_entries(json, cost ? cost->entries : NULL));
	rt_json_uint(json, object, "late_records", summary->late_records);
	part = json_object();
	for (i = 0; i < RT_COUNTERS; i++)
		rt_json_uint(json, part, rt_report_counter((enum rt_counter)i), summary->counters[i]);
	rt_json_put(json, object, "counters", part);
	rt_json_int(json, object, "tree_peak_bytes", summary->tree_peak);
	rt_json_int(json, object, "tree_end_bytes", summary->tree_end);
	rt_json_write(json, object);
}

/* ---- the summary alone ---- */

static void *rt_json_alone_open(const struct rt_format_config *config)
{
	return rt_json_new(config->out, config->lang);
}

static void rt_json_alone_finish(void *json, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	rt_json_summary(json, summary, cost);
}

static int rt_json_alone_error(const void *json)
{
	return rt_json_error(json);
}

static void rt_json_alone_close(void *json)
{
	rt_json_free(json);
}

const struct rt_format rt_format_json = {
	.name = "json",
	.open = rt_json_alone_open,
	.finish = rt_json_alone_finish,
	.error = rt_json_alone_error,
	.close = rt_json_alone_close,
};
