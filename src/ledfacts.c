/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "ledfacts.h"

#include <errno.h>
#include <string.h>

#include "jsontext.h"
#include "ledformat.h"
#include "units.h"

/* ---- writing ---- */

/* Unsigned numbers go through as they are: jansson's are signed, and this is undone when they are read. */
static json_t *rt_ledfacts_number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static char *rt_ledfacts_dump(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

char *rt_ledfacts_write(const struct rt_ledger_facts *f)
{
	json_t *command = json_array();

	for (size_t i = 0; i < f->n_command; i++)
		json_array_append_new(command, rt_json_text(f->command[i]));
	return rt_ledfacts_dump(json_pack("{s:o, s:o, s:o, s:b, s:b, s:{s:o, s:o, s:o, s:o}, s:o}", "page_size", rt_ledfacts_number(f->page_size), "window_ns",
					  rt_ledfacts_number(f->window_ns), "wall_offset_ns", rt_ledfacts_number((uint64_t)f->wall_offset_ns), "mappings",
					  (int)f->mappings, "ignore_mute", (int)f->ignore_mute, "host", "node", rt_json_text(f->node), "machine",
					  rt_json_text(f->machine), "cpus", rt_ledfacts_number(f->cpus), "memory_bytes", rt_ledfacts_number(f->memory_bytes),
					  "command", command));
}

char *rt_ledfacts_write_start(const struct rt_json_start *s)
{
	json_t *targets = json_array();

	for (size_t i = 0; i < s->n_targets && i < RT_LEDGER_TARGETS; i++)
		json_array_append_new(targets, rt_ledfacts_number(s->targets[i]));
	return rt_ledfacts_dump(json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "version", rt_json_text(s->version), "kernel",
					  rt_json_text(s->kernel), "profile", rt_json_text(s->profile), "mm_source", rt_json_text(s->mm_source), "mm_hook",
					  rt_json_text(s->mm_hook), "mm_exact", (int)s->mm_exact, "python_entry", rt_json_text(s->python_entry), "wall_ns",
					  rt_ledfacts_number(s->wall_ns), "ts_ns", rt_ledfacts_number(s->ts_ns), "targets", targets));
}

static json_t *rt_ledfacts_entries(const struct rt_entrylog *log)
{
	json_t *list = json_array();

	for (size_t i = 0; log && i < log->n; i++) {
		const struct rt_entry_row *row = &log->row[i];

		json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "method", rt_json_text(row->method), "phase",
						      row->phase ? rt_json_text(row->phase) : json_null(), "hits", rt_ledfacts_number(row->hits), "attached",
						      rt_ledfacts_number(row->attached), "detached", rt_ledfacts_number(row->detached), "reason",
						      rt_json_text(row->reason)));
	}
	return list;
}

char *rt_ledfacts_write_end(const struct rt_ledger_end *e)
{
	json_t *counters = json_object(), *programs = json_array();

	for (int i = 0; i < RT_COUNTERS; i++)
		json_object_set_new(counters, rt_report_counter((enum rt_counter)i), rt_ledfacts_number(e->counters[i]));
	for (size_t i = 0; i < e->cost.n_progs && i < RT_LEDGER_PROGS; i++) {
		const struct rt_prog_cost *p = &e->cost.progs[i];

		json_array_append_new(programs, json_pack("{s:o, s:o, s:o, s:o}", "name", rt_json_text(p->name), "runs", rt_ledfacts_number(p->runs), "ns",
							  rt_ledfacts_number(p->ns), "missed", rt_ledfacts_number(p->missed)));
	}
	return rt_ledfacts_dump(json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "now_ns", rt_ledfacts_number(e->now_ns), "counters", counters,
					  "mm_source", rt_json_text(e->cost.mm_source), "mm_hook", rt_json_text(e->cost.mm_hook), "mm_exact", (int)e->cost.mm_exact,
					  "bpf_ns", rt_ledfacts_number(e->cost.bpf_ns), "bpf_runs", rt_ledfacts_number(e->cost.bpf_runs), "user_ns",
					  rt_ledfacts_number(e->cost.user_ns), "sys_ns", rt_ledfacts_number(e->cost.sys_ns), "rss_bytes",
					  rt_ledfacts_number(e->cost.rss_bytes), "map_bytes", rt_ledfacts_number(e->cost.map_bytes), "programs", programs, "entries",
					  rt_ledfacts_entries(e->cost.entries)));
}

/* ---- reading ---- */

struct rt_ledfacts_reader {
	const json_t *object;
	int err;
};

static uint64_t rt_ledfacts_get(struct rt_ledfacts_reader *r, const char *key)
{
	const json_t *value = json_object_get(r->object, key);

	if (!json_is_integer(value))
		r->err = -EINVAL;
	return (uint64_t)json_integer_value(value);
}

static bool rt_ledfacts_get_bool(struct rt_ledfacts_reader *r, const char *key)
{
	const json_t *value = json_object_get(r->object, key);

	if (!json_is_boolean(value))
		r->err = -EINVAL;
	return json_is_true(value);
}

/* Texts are shown as they are: only what cannot do harm on a terminal is one. */
static const char *rt_ledfacts_get_text(struct rt_ledfacts_reader *r, const char *key)
{
	const char *text = json_string_value(json_object_get(r->object, key));
	size_t len = text ? strlen(text) : 0;

	for (size_t i = 0; i < len; i++) {
		if (len > RT_LEDGER_WORD_MAX || text[i] < 0x20 || text[i] > 0x7e) {
			text = NULL;
			break;
		}
	}
	if (text)
		return text;
	r->err = -EINVAL;
	return "";
}

/* jansson refuses NULs in texts, what is no UTF-8, and deep nesting. */
static json_t *rt_ledfacts_load(const uint8_t *text, size_t len)
{
	json_t *object = len <= RT_LEDGER_JSON_MAX ? json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (json_is_object(object))
		return object;
	json_decref(object);
	return NULL;
}

int rt_ledfacts_read(const uint8_t *text, size_t len, struct rt_ledger_facts *f)
{
	struct rt_ledfacts_reader r = {.object = rt_ledfacts_load(text, len)};

	*f = (struct rt_ledger_facts){0};
	if (!r.object)
		return -EINVAL;
	f->page_size = rt_ledfacts_get(&r, "page_size");
	f->window_ns = rt_ledfacts_get(&r, "window_ns");
	f->wall_offset_ns = (int64_t)rt_ledfacts_get(&r, "wall_offset_ns");
	f->mappings = rt_ledfacts_get_bool(&r, "mappings");
	f->ignore_mute = rt_ledfacts_get_bool(&r, "ignore_mute");
	json_decref((json_t *)(uintptr_t)r.object);
	/* A page of more than 64 KiB is no architecture's; sums of what a record may say must not overflow. */
	if (f->page_size < 4096 || f->page_size > 65536 || f->page_size & (f->page_size - 1) || f->window_ns > RT_LEDGER_WINDOW_MAX)
		return -EINVAL;
	return r.err;
}

int rt_ledfacts_read_start(const uint8_t *text, size_t len, struct rt_json_start *s, uint32_t *target, json_t **keep)
{
	json_t *object = rt_ledfacts_load(text, len), *targets = json_object_get(object, "targets");
	struct rt_ledfacts_reader r = {.object = object};

	if (!object)
		return -EINVAL;
	*s = (struct rt_json_start){
		.version = rt_ledfacts_get_text(&r, "version"),
		.kernel = rt_ledfacts_get_text(&r, "kernel"),
		.profile = json_string_value(json_object_get(object, "profile")),
		.mm_source = rt_ledfacts_get_text(&r, "mm_source"),
		.mm_hook = rt_ledfacts_get_text(&r, "mm_hook"),
		.mm_exact = rt_ledfacts_get_bool(&r, "mm_exact"),
		.python_entry = rt_ledfacts_get_text(&r, "python_entry"),
		.wall_ns = rt_ledfacts_get(&r, "wall_ns"),
		.ts_ns = rt_ledfacts_get(&r, "ts_ns"),
		.targets = target,
	};
	for (size_t i = 0; i < json_array_size(targets) && i < RT_LEDGER_TARGETS; i++)
		target[s->n_targets++] = (uint32_t)json_integer_value(json_array_get(targets, i));
	if (!s->profile)
		r.err = -EINVAL;
	if (!r.err) {
		*keep = object;
		return 0;
	}
	json_decref(object);
	return r.err;
}

static void rt_ledfacts_read_programs(const json_t *list, struct rt_ledger_end *e)
{
	for (size_t i = 0; i < json_array_size(list) && i < RT_LEDGER_PROGS; i++) {
		struct rt_ledfacts_reader r = {.object = json_array_get(list, i)};

		e->prog[e->cost.n_progs++] = (struct rt_prog_cost){
			.name = rt_ledfacts_get_text(&r, "name"),
			.runs = rt_ledfacts_get(&r, "runs"),
			.ns = rt_ledfacts_get(&r, "ns"),
			.missed = rt_ledfacts_get(&r, "missed"),
		};
	}
	e->cost.progs = e->prog;
}

/* What there is no list of in a ledger of an older ramtrack-bpf. */
static void rt_ledfacts_read_entries(const json_t *list, struct rt_ledger_end *e)
{
	for (size_t i = 0; i < json_array_size(list) && e->entries.n < RT_ENTRYLOG_ROWS; i++) {
		struct rt_ledfacts_reader r = {.object = json_array_get(list, i)};
		struct rt_entry_row *row = &e->entries.row[e->entries.n];

		row->method = rt_ledfacts_get_text(&r, "method");
		row->phase = json_is_null(json_object_get(r.object, "phase")) ? NULL : rt_ledfacts_get_text(&r, "phase");
		row->hits = rt_ledfacts_get(&r, "hits");
		row->attached = (uint32_t)rt_ledfacts_get(&r, "attached");
		row->detached = (uint32_t)rt_ledfacts_get(&r, "detached");
		snprintf(row->reason, sizeof(row->reason), "%s", rt_ledfacts_get_text(&r, "reason"));
		e->entries.n += !r.err;
	}
	e->cost.entries = &e->entries;
}

int rt_ledfacts_read_end(const uint8_t *text, size_t len, struct rt_ledger_end *e, json_t **keep)
{
	json_t *object = rt_ledfacts_load(text, len);
	struct rt_ledfacts_reader r = {.object = object};
	const json_t *counters = json_object_get(object, "counters");

	if (!object)
		return -EINVAL;
	memset(e, 0, sizeof(*e));
	e->now_ns = rt_ledfacts_get(&r, "now_ns");
	/* A counter that the writer did not have yet is 0. */
	for (int i = 0; i < RT_COUNTERS; i++)
		e->counters[i] = (uint64_t)json_integer_value(json_object_get(counters, rt_report_counter((enum rt_counter)i)));
	e->cost = (struct rt_self_cost){
		.mm_source = rt_ledfacts_get_text(&r, "mm_source"),
		.mm_hook = rt_ledfacts_get_text(&r, "mm_hook"),
		.mm_exact = rt_ledfacts_get_bool(&r, "mm_exact"),
		.bpf_ns = rt_ledfacts_get(&r, "bpf_ns"),
		.bpf_runs = rt_ledfacts_get(&r, "bpf_runs"),
		.user_ns = rt_ledfacts_get(&r, "user_ns"),
		.sys_ns = rt_ledfacts_get(&r, "sys_ns"),
		.rss_bytes = rt_ledfacts_get(&r, "rss_bytes"),
		.map_bytes = rt_ledfacts_get(&r, "map_bytes"),
	};
	rt_ledfacts_read_programs(json_object_get(object, "programs"), e);
	rt_ledfacts_read_entries(json_object_get(object, "entries"), e);
	if (!r.err) {
		*keep = object;
		return 0;
	}
	json_decref(object);
	return r.err;
}
