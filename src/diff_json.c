/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* A comparison as one JSON object: all figures of all processes, phases and native functions, and the stacks that are said. docs/schema/diff.schema.json describes it. */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "diff_out.h"
#include "jsontext.h"
#include "memtext.h"
#include "units.h"

/* Takes over `value`, also on failure; a NULL value or object fails. */
static void rt_put(bool *good, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		*good = false;
}

static void rt_append(bool *good, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		*good = false;
}

static json_t *rt_value(bool *good, const struct rt_diff *diff, const struct rt_diff_value *value)
{
	json_t *object = json_object(), *old = json_array(), *noise = json_array();

	for (size_t i = 0; i < diff->n_old; i++)
		rt_append(good, old, json_integer(value->old[i]));
	rt_put(good, object, "old", old);
	rt_put(good, object, "new", json_integer(value->now));
	rt_put(good, object, "mean", json_integer(value->noise.mean));
	rt_append(good, noise, json_integer(value->noise.lo));
	rt_append(good, noise, json_integer(value->noise.hi));
	rt_put(good, object, "noise", noise);
	rt_put(good, object, "difference", json_integer(value->difference));
	rt_put(good, object, "within_noise", json_boolean(value->within));
	return object;
}

static json_t *rt_state(enum rt_diff_state state)
{
	static const char *const words[] = {[RT_DIFF_BOTH] = "both", [RT_DIFF_NEW] = "new", [RT_DIFF_GONE] = "gone"};

	return json_string(words[state]);
}

static json_t *rt_path(bool *good, const struct rt_diff_phase *phase)
{
	json_t *path = json_array();

	for (size_t i = 0; i < phase->path_len; i++)
		rt_append(good, path, rt_json_text(phase->path[i]->id));
	return path;
}

static json_t *rt_phase(bool *good, enum rt_lang lang, const struct rt_diff *diff, const struct rt_diff_phase *phase)
{
	static const struct {
		int metric;
		const char *key;
	} keys[] = {
		{RT_DM_DELTA, "rss_delta_bytes"}, {RT_DM_KIND + RT_ANON, "anon_bytes"}, {RT_DM_KIND + RT_FILE, "file_bytes"}, {RT_DM_KIND + RT_SHMEM, "shmem_bytes"},
		{RT_DM_OWN, "own_bytes"}, {RT_DM_OWN_KIND + RT_ANON, "own_anon_bytes"}, {RT_DM_OWN_KIND + RT_FILE, "own_file_bytes"},
		{RT_DM_OWN_KIND + RT_SHMEM, "own_shmem_bytes"}, {RT_DM_GAINED, "gained_bytes"}, {RT_DM_RELEASED, "released_bytes"}, {RT_DM_PEAK, "peak_rss_bytes"},
		{RT_DM_TIME, "duration_ns"}, {RT_DM_CALLS, "calls"},
	};
	json_t *object = json_object();

	rt_put(good, object, "path", rt_path(good, phase));
	rt_put(good, object, "label", rt_json_text(rt_diff_label(phase, lang)));
	rt_put(good, object, "state", rt_state(phase->state));
	rt_put(good, object, "said", json_boolean(rt_diff_phase_counts(diff, phase)));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		bool outside = keys[i].metric == RT_DM_DELTA || (keys[i].metric >= RT_DM_OWN && keys[i].metric < RT_DM_OWN_KIND + RT_KINDS);

		if (phase->phase || outside)
			rt_put(good, object, keys[i].key, rt_value(good, diff, &phase->value[keys[i].metric]));
	}
	return object;
}

static json_t *rt_native(bool *good, const struct rt_diff *diff, const struct rt_diff_native *native)
{
	static const char *const keys[RT_DN_METRICS] = {
		[RT_DN_BYTES] = "bytes", [RT_DN_DELTA] = "rss_delta_bytes", [RT_DN_KIND + RT_ANON] = "anon_bytes", [RT_DN_KIND + RT_FILE] = "file_bytes",
		[RT_DN_KIND + RT_SHMEM] = "shmem_bytes", [RT_DN_OWN] = "own_bytes", [RT_DN_GAINED] = "gained_bytes", [RT_DN_RELEASED] = "released_bytes",
		[RT_DN_MAPPED] = "mapped_bytes", [RT_DN_UNMAPPED] = "unmapped_bytes", [RT_DN_TIME] = "duration_ns", [RT_DN_CALLS] = "calls",
	};
	json_t *object = json_object();

	rt_put(good, object, "symbol", rt_json_text(native->symbol));
	rt_put(good, object, "library", rt_json_text(native->library));
	rt_put(good, object, "kind", rt_json_text(native->kind));
	rt_put(good, object, "op", json_string(native->is_free ? "free" : "alloc"));
	rt_put(good, object, "inner", json_boolean(native->inner));
	rt_put(good, object, "phase", native->phase ? rt_json_text(native->phase->id) : json_null());
	rt_put(good, object, "state", rt_state(native->state));
	rt_put(good, object, "said", json_boolean(rt_diff_native_counts(diff, native)));
	for (int m = 0; m < RT_DN_METRICS; m++)
		rt_put(good, object, keys[m], rt_value(good, diff, &native->value[m]));
	return object;
}

static json_t *rt_stack(bool *good, const struct rt_diff *diff, const struct rt_diff_proc *proc, const struct rt_diff_stack *stack)
{
	json_t *object = json_object(), *frames = json_array(), *frame;

	rt_put(good, object, "path", rt_path(good, &proc->phases[stack->phase]));
	rt_put(good, object, "state", rt_state(stack->state));
	for (size_t i = 0; i < stack->n_frames; i++) {
		frame = json_object();
		rt_put(good, frame, "function", rt_json_text(stack->frames[i].function));
		rt_put(good, frame, "file", *stack->frames[i].file ? rt_json_text(stack->frames[i].file) : json_null());
		rt_put(good, frame, "line", stack->frames[i].line ? json_integer(stack->frames[i].line) : json_null());
		rt_append(good, frames, frame);
	}
	rt_put(good, object, "frames", frames);
	rt_put(good, object, "net_bytes", rt_value(good, diff, &stack->total));
	rt_put(good, object, "anon_bytes", rt_value(good, diff, &stack->kind[RT_ANON]));
	rt_put(good, object, "file_bytes", rt_value(good, diff, &stack->kind[RT_FILE]));
	rt_put(good, object, "shmem_bytes", rt_value(good, diff, &stack->kind[RT_SHMEM]));
	return object;
}

static json_t *rt_pids(bool *good, const struct rt_diff *diff, const struct rt_diff_proc *proc)
{
	json_t *pids = json_array();

	for (size_t i = 0; i <= diff->n_old; i++) {
		const struct rt_proc_summary *is = i < diff->n_old ? proc->pair.old[i] : proc->pair.now;

		rt_append(good, pids, is ? json_integer(is->proc.pid) : json_null());
	}
	return pids;
}

static json_t *rt_proc(bool *good, enum rt_lang lang, const struct rt_diff *diff, const struct rt_diff_proc *proc)
{
	static const char *const keys[] = {[RT_DP_END] = "rss_end_bytes", [RT_DP_GROWTH] = "growth_bytes", [RT_DP_PEAK] = "rss_peak_bytes", [RT_DP_TIME] = "duration_ns"};
	json_t *object = json_object(), *list = json_array();

	rt_put(good, object, "name", rt_json_text(proc->pair.name));
	rt_put(good, object, "number", json_integer(proc->number));
	rt_put(good, object, "state", rt_state(proc->state));
	rt_put(good, object, "said", json_boolean(proc->counts));
	rt_put(good, object, "pids", rt_pids(good, diff, proc));
	for (int m = 0; m < RT_DP_METRICS; m++)
		rt_put(good, object, keys[m], rt_value(good, diff, &proc->value[m]));
	for (size_t i = 0; i < proc->n_phases; i++)
		rt_append(good, list, rt_phase(good, lang, diff, &proc->phases[i]));
	rt_put(good, object, "phases", list);
	list = json_array();
	for (size_t i = 0; i < proc->n_natives; i++)
		rt_append(good, list, rt_native(good, diff, &proc->natives[i]));
	rt_put(good, object, "native", list);
	list = json_array();
	for (size_t i = 0; i < proc->n_stacks; i++)
		rt_append(good, list, rt_stack(good, diff, proc, &proc->stacks[i]));
	rt_put(good, object, "stacks", list);
	rt_put(good, object, "stacks_left_out", json_integer((json_int_t)proc->stacks_left_out));
	return object;
}

static json_t *rt_runs(bool *good, const struct rt_diff *diff)
{
	json_t *list = json_array();

	for (size_t i = 0; i <= diff->n_old; i++) {
		const struct rt_diff_run *run = &diff->runs[i];
		json_t *object = json_object();

		rt_put(good, object, "file", rt_json_text(run->file));
		rt_put(good, object, "new", json_boolean(i == diff->n_old));
		rt_put(good, object, "profile", rt_json_text(run->profile ? run->profile->name : ""));
		rt_put(good, object, "partial", json_boolean(run->partial));
		rt_put(good, object, "lost_records", json_integer((json_int_t)run->summary->lost_records));
		rt_put(good, object, "lost_stacks", json_integer((json_int_t)run->summary->lost_stacks));
		rt_put(good, object, "unaccounted_bytes", json_integer(run->summary->unaccounted));
		rt_append(good, list, object);
	}
	return list;
}

static json_t *rt_all(bool *good, enum rt_lang lang, const struct rt_diff *diff)
{
	static const char *const keys[] = {[RT_DW_PEAK] = "tree_peak_bytes", [RT_DW_END] = "tree_end_bytes", [RT_DW_GROWTH] = "growth_bytes", [RT_DW_TIME] = "duration_ns"};
	json_t *object = json_object(), *procs = json_array();

	rt_put(good, object, "type", json_string("diff"));
	rt_put(good, object, "schema", json_integer(RT_DIFF_SCHEMA));
	rt_put(good, object, "runs", rt_runs(good, diff));
	rt_put(good, object, "min_size_bytes", json_integer(diff->min_size));
	rt_put(good, object, "lines", json_boolean(!diff->no_lines));
	for (int m = 0; m < RT_DW_METRICS; m++)
		rt_put(good, object, keys[m], rt_value(good, diff, &diff->whole[m]));
	for (size_t i = 0; i < diff->n_procs; i++)
		rt_append(good, procs, rt_proc(good, lang, diff, &diff->procs[i]));
	rt_put(good, object, "processes", procs);
	return object;
}

int rt_diff_json(FILE *out, enum rt_lang lang, const struct rt_diff *diff)
{
	bool good = true;
	json_t *object;
	struct rt_memtext memory;
	int err = rt_memtext_begin(&memory);

	if (err)
		return err;
	object = rt_all(&good, lang, diff);
	good = good && !json_dumpf(object, memory.out, JSON_COMPACT);
	json_decref(object);
	fputc('\n', memory.out);
	return rt_memtext_put(&memory, good ? 0 : -ENOMEM, out);
}
