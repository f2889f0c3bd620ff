/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * perfetto.c - a trace for ui.perfetto.dev: a track for each thread with its phases as slices, and for each process and kind of pages a counter track of RSS.
 *
 * Field numbers are those of https://github.com/google/perfetto/blob/main/protos/perfetto/trace/ (trace_packet.proto, track_event/, interned_data/).
 *
 * - A slice is as long as the checkpoints of the NDJSON are apart: from the look that first saw the phase (start_ns) to the one that first saw it over (end_ns_max),
 *   so that a phase that only sleeps has its length. When it was last seen (end_ns) is among its figures. On a track the events stand in the file in the order in which they nest, which is
 *   what decides where two share a time stamp.
 * - Counters: at each edge of a phase, and between them one sample a millisecond at most, always the last one before a pause. After each million of samples
 *   the millisecond doubles, so that the file's length goes with the logarithm of the run's. The last sample of a process is the summary's figure.
 * - Times are CLOCK_MONOTONIC, which the clock snapshot makes the trace's clock, and ties to wall time.
 *
 * Native calls are instants on their thread's track, at the time when they were seen to be over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"
#include "formats.h"
#include "protowire.h"
#include "units.h"

#define RT_SAMPLE_NS 1000000ull
#define RT_SAMPLES (1u << 20) /* then the time between two doubles */
#define RT_TRACKS_MAX 65536u  /* threads whose last event is remembered */
#define RT_SEQUENCE 1u	      /* trusted_packet_sequence_id: one writer */
#define RT_TITLE_CHARS 400

/* Fields, by message. */
enum { RT_TRACE_PACKET = 1 };
enum {
	RT_PACKET_CLOCKS = 6, RT_PACKET_TIME = 8, RT_PACKET_SEQUENCE = 10, RT_PACKET_EVENT = 11, RT_PACKET_INTERNED = 12, RT_PACKET_FLAGS = 13,
	RT_PACKET_DEFAULTS = 59, RT_PACKET_TRACK = 60,
};
enum { RT_DEFAULTS_CLOCK = 58 };
enum { RT_CLOCKS_CLOCK = 1, RT_CLOCKS_PRIMARY = 2, RT_CLOCK_ID = 1, RT_CLOCK_TIME = 2 };
enum { RT_TRACK_UUID = 1, RT_TRACK_NAME = 2, RT_TRACK_PROCESS = 3, RT_TRACK_THREAD = 4, RT_TRACK_PARENT = 5, RT_TRACK_COUNTER = 8 };
enum { RT_PROCESS_PID = 1, RT_PROCESS_CMDLINE = 2, RT_PROCESS_NAME = 6 };
enum { RT_THREAD_PID = 1, RT_THREAD_TID = 2 };
enum { RT_COUNTER_UNIT = 3 };
enum { RT_EVENT_ANNOTATION = 4, RT_EVENT_TYPE = 9, RT_EVENT_NAME = 10, RT_EVENT_TRACK = 11, RT_EVENT_TEXT = 23, RT_EVENT_COUNTER = 30 };
enum { RT_ANNOTATION_NAME = 1, RT_ANNOTATION_INT = 4 };
enum { RT_INTERNED_EVENTS = 2, RT_INTERNED_ANNOTATIONS = 3, RT_INTERNED_IID = 1, RT_INTERNED_TEXT = 2 };

/* Values. */
enum { RT_CLOCK_REALTIME = 1, RT_CLOCK_MONOTONIC = 3 };		       /* BuiltinClock */
enum { RT_FLAG_CLEARED = 1, RT_FLAG_NEEDS = 2 };		       /* TracePacket.SequenceFlags */
enum { RT_UNIT_BYTES = 3 };					       /* CounterDescriptor.Unit */
enum { RT_TYPE_BEGIN = 1, RT_TYPE_END = 2, RT_TYPE_INSTANT = 3, RT_TYPE_COUNTER = 4 }; /* TrackEvent.Type */

static const char *const rt_annotations[] = {"rss_delta_bytes", "own_bytes", "gained_bytes", "released_bytes", "peak_rss_bytes", "end_ns", "bytes", "calls", "duration_ns"};
#define RT_ANNOTATIONS (sizeof(rt_annotations) / sizeof(rt_annotations[0]))

/* A process that lives. */
struct rt_pf_proc {
	uint32_t pid, serial; /* tells it from others that had its pid */
	uint32_t open;	      /* slices */
	bool sampled;
	int64_t told[RT_KINDS], waiting[RT_KINDS];
	uint64_t told_ns, waiting_ns; /* waiting_ns 0: nothing waits */
};

/* A thread that had a phase. */
struct rt_pf_thread {
	uint32_t serial, open;
	uint64_t last_ns; /* of its events: none is told of before it */
};

struct rt_perfetto {
	FILE *out;
	enum rt_lang lang;
	struct rt_proto packet;
	struct rt_map procs, threads; /* pid, tid -> what is above */
	uint32_t serial;
	const struct rt_phase **name; /* phases whose names were told; its place is the number - 1 */
	size_t n_names;
	uint64_t every_ns;
	uint32_t samples;
	bool begun;
	int error;
};

/* ---- packets ---- */

static void rt_packet_begin(struct rt_perfetto *p)
{
	rt_proto_reset(&p->packet);
	rt_proto_begin(&p->packet, RT_TRACE_PACKET);
	rt_proto_number(&p->packet, RT_PACKET_SEQUENCE, RT_SEQUENCE);
	rt_proto_number(&p->packet, RT_PACKET_FLAGS, p->begun ? RT_FLAG_NEEDS : RT_FLAG_CLEARED | RT_FLAG_NEEDS);
}

static void rt_packet_write(struct rt_perfetto *p)
{
	rt_proto_end(&p->packet, 1); /* the field's tag is one byte */
	p->begun = true;
	if (!p->error && p->packet.error)
		p->error = p->packet.error;
	if (p->error)
		return;
	errno = 0;
	if (fwrite(p->packet.data, 1, p->packet.len, p->out) != p->packet.len)
		p->error = errno ? -errno : -EIO;
}

/* So that what was told until now can be read even if the tool is killed. */
static void rt_perfetto_flush(struct rt_perfetto *p)
{
	if (!p->error && fflush(p->out))
		p->error = errno ? -errno : -EIO;
}

static void rt_text_write(struct rt_perfetto *p, uint32_t field, const char *text)
{
	char *safe = rt_text_escape(text, RT_TITLE_CHARS);

	if (safe)
		rt_proto_string(&p->packet, field, safe);
	else if (!p->error)
		p->error = -ENOMEM;
	free(safe);
}

/* First packet: whose clock the time stamps are, and the names of a slice's figures. */
static void rt_defaults_write(struct rt_perfetto *p)
{
	size_t part, entry;

	rt_packet_begin(p);
	part = rt_proto_begin(&p->packet, RT_PACKET_DEFAULTS);
	rt_proto_number(&p->packet, RT_DEFAULTS_CLOCK, RT_CLOCK_MONOTONIC);
	rt_proto_end(&p->packet, part);
	part = rt_proto_begin(&p->packet, RT_PACKET_INTERNED);
	for (size_t i = 0; i < RT_ANNOTATIONS; i++) {
		entry = rt_proto_begin(&p->packet, RT_INTERNED_ANNOTATIONS);
		rt_proto_number(&p->packet, RT_INTERNED_IID, i + 1);
		rt_proto_string(&p->packet, RT_INTERNED_TEXT, rt_annotations[i]);
		rt_proto_end(&p->packet, entry);
	}
	rt_proto_end(&p->packet, part);
	rt_packet_write(p);
}

static void rt_clock_write(struct rt_perfetto *p, uint64_t id, uint64_t ns)
{
	size_t part = rt_proto_begin(&p->packet, RT_CLOCKS_CLOCK);

	rt_proto_number(&p->packet, RT_CLOCK_ID, id);
	rt_proto_number(&p->packet, RT_CLOCK_TIME, ns);
	rt_proto_end(&p->packet, part);
}

static void rt_perfetto_start(void *output, const struct rt_json_start *start)
{
	struct rt_perfetto *p = output;
	size_t part;

	rt_packet_begin(p);
	part = rt_proto_begin(&p->packet, RT_PACKET_CLOCKS);
	rt_clock_write(p, RT_CLOCK_MONOTONIC, start->ts_ns);
	rt_clock_write(p, RT_CLOCK_REALTIME, start->wall_ns);
	rt_proto_number(&p->packet, RT_CLOCKS_PRIMARY, RT_CLOCK_MONOTONIC);
	rt_proto_end(&p->packet, part);
	rt_packet_write(p);
	rt_perfetto_flush(p);
}

/* ---- tracks: numbers that nothing has to be remembered for ---- */

static uint64_t rt_process_track(const struct rt_pf_proc *proc)
{
	return (uint64_t)proc->serial << 32 | 1;
}

static uint64_t rt_counter_track(const struct rt_pf_proc *proc, int kind)
{
	return (uint64_t)proc->serial << 32 | (2 + (uint32_t)kind);
}

static uint64_t rt_thread_track(const struct rt_pf_proc *proc, uint32_t tid)
{
	return (uint64_t)proc->serial << 32 | 1u << 31 | tid;
}

static size_t rt_track_begin(struct rt_perfetto *p, uint64_t uuid, uint64_t parent)
{
	size_t part;

	rt_packet_begin(p);
	part = rt_proto_begin(&p->packet, RT_PACKET_TRACK);
	rt_proto_number(&p->packet, RT_TRACK_UUID, uuid);
	if (parent)
		rt_proto_number(&p->packet, RT_TRACK_PARENT, parent);
	return part;
}

static void rt_track_end(struct rt_perfetto *p, size_t part)
{
	rt_proto_end(&p->packet, part);
	rt_packet_write(p);
}

/* Said again when the name changes. */
static void rt_process_write(struct rt_perfetto *p, const struct rt_pf_proc *proc, const struct rt_proc_view *view)
{
	size_t track = rt_track_begin(p, rt_process_track(proc), 0), part;

	part = rt_proto_begin(&p->packet, RT_TRACK_PROCESS);
	rt_proto_number(&p->packet, RT_PROCESS_PID, view->pid);
	if (*view->cmdline)
		rt_text_write(p, RT_PROCESS_CMDLINE, view->cmdline);
	rt_text_write(p, RT_PROCESS_NAME, view->name);
	rt_proto_end(&p->packet, part);
	rt_track_end(p, track);
}

static void rt_counters_write(struct rt_perfetto *p, const struct rt_pf_proc *proc)
{
	static const char *const names[RT_KINDS] = {[RT_FILE] = "RSS file", [RT_ANON] = "RSS anon", [RT_SHMEM] = "RSS shmem"};

	for (int k = 0; k < RT_KINDS; k++) {
		size_t track = rt_track_begin(p, rt_counter_track(proc, k), rt_process_track(proc)), part;

		rt_proto_string(&p->packet, RT_TRACK_NAME, names[k]);
		part = rt_proto_begin(&p->packet, RT_TRACK_COUNTER);
		rt_proto_number(&p->packet, RT_COUNTER_UNIT, RT_UNIT_BYTES);
		rt_proto_end(&p->packet, part);
		rt_track_end(p, track);
	}
}

static void rt_thread_write(struct rt_perfetto *p, const struct rt_pf_proc *proc, uint32_t tid)
{
	size_t track = rt_track_begin(p, rt_thread_track(proc, tid), rt_process_track(proc)), part;

	part = rt_proto_begin(&p->packet, RT_TRACK_THREAD);
	rt_proto_number(&p->packet, RT_THREAD_PID, proc->pid);
	rt_proto_number(&p->packet, RT_THREAD_TID, tid);
	rt_proto_end(&p->packet, part);
	rt_track_end(p, track);
}

/* ---- counters ---- */

static void rt_sample_write(struct rt_perfetto *p, struct rt_pf_proc *proc, uint64_t ts_ns, const int64_t kind[RT_KINDS])
{
	for (int k = 0; k < RT_KINDS; k++) {
		size_t part;

		if (proc->sampled && kind[k] == proc->told[k])
			continue;
		rt_packet_begin(p);
		rt_proto_number(&p->packet, RT_PACKET_TIME, ts_ns);
		part = rt_proto_begin(&p->packet, RT_PACKET_EVENT);
		rt_proto_number(&p->packet, RT_EVENT_TYPE, RT_TYPE_COUNTER);
		rt_proto_number(&p->packet, RT_EVENT_TRACK, rt_counter_track(proc, k));
		rt_proto_number(&p->packet, RT_EVENT_COUNTER, (uint64_t)kind[k]);
		rt_proto_end(&p->packet, part);
		rt_packet_write(p);
		proc->told[k] = kind[k];
		if (++p->samples >= RT_SAMPLES && p->every_ns < UINT64_MAX / 4) {
			p->samples = 0;
			p->every_ns *= 2;
		}
	}
	proc->sampled = true;
	proc->told_ns = ts_ns;
}

/* The RSS is this. `now`: at an edge, it has to be told here. */
static void rt_sample(struct rt_perfetto *p, struct rt_pf_proc *proc, uint64_t ts_ns, const struct rt_sizes *rss, bool now)
{
	if (ts_ns < proc->told_ns)
		ts_ns = proc->told_ns;
	/* What has waited is told before an edge, and before a change that comes after a pause, so that a step stands where it was. */
	if (proc->waiting_ns && (now || ts_ns - proc->waiting_ns >= p->every_ns) && proc->waiting_ns < ts_ns)
		rt_sample_write(p, proc, proc->waiting_ns, proc->waiting);
	proc->waiting_ns = 0;
	if (!now && proc->sampled && ts_ns - proc->told_ns < p->every_ns) {
		memcpy(proc->waiting, rss->kind, sizeof(proc->waiting));
		proc->waiting_ns = ts_ns;
		return;
	}
	rt_sample_write(p, proc, ts_ns, rss->kind);
}

/* ---- processes ---- */

static struct rt_pf_proc *rt_proc_of(struct rt_perfetto *p, const struct rt_proc_view *view)
{
	struct rt_pf_proc *proc = rt_map_get(&p->procs, view->pid);

	if (proc)
		return proc;
	proc = calloc(1, sizeof(*proc));
	if (!proc || rt_map_set(&p->procs, view->pid, proc)) {
		free(proc);
		p->error = p->error ? p->error : -ENOMEM;
		return NULL;
	}
	proc->pid = view->pid;
	proc->serial = ++p->serial;
	rt_process_write(p, proc, view);
	rt_counters_write(p, proc);
	return proc;
}

static void rt_end_write(struct rt_perfetto *p, uint64_t track, uint64_t ts_ns, const struct rt_phase_view *phase);

/* Slices whose phases were dropped without a word: the process turned out to be muted. */
static void rt_close_slices(struct rt_perfetto *p, struct rt_pf_proc *proc, uint64_t ts_ns)
{
	for (size_t i = 0; proc->open && i < p->threads.cap; i++) {
		struct rt_pf_thread *thread = p->threads.slot[i].value;

		if (!thread || thread->serial != proc->serial)
			continue;
		for (; thread->open; thread->open--, proc->open--)
			rt_end_write(p, rt_thread_track(proc, p->threads.slot[i].key), ts_ns > thread->last_ns ? ts_ns : thread->last_ns, NULL);
	}
}

static void rt_perfetto_process(void *output, const struct rt_proc_view *view, enum rt_proc_event event, uint64_t ts_ns)
{
	struct rt_perfetto *p = output;
	bool known = rt_map_get(&p->procs, view->pid);
	struct rt_pf_proc *proc = rt_proc_of(p, view);

	if (!proc)
		return;
	if (known && (event == RT_EV_EXEC || event == RT_EV_TITLE))
		rt_process_write(p, proc, view);
	rt_sample(p, proc, ts_ns, &view->now, true);
	if (event == RT_EV_EXIT) {
		rt_close_slices(p, proc, ts_ns);
		free(rt_map_take(&p->procs, view->pid));
	}
	rt_perfetto_flush(p);
}

static void rt_perfetto_rss(void *output, const struct rt_proc_view *view, uint64_t ts_ns)
{
	struct rt_perfetto *p = output;
	struct rt_pf_proc *proc = rt_proc_of(p, view);

	if (proc)
		rt_sample(p, proc, ts_ns, &view->now, false);
}

/* ---- slices ---- */

/* Number of the phase's name, told before it is used. Writes it into the packet that is being made: at the packet's level, before the event. */
static uint64_t rt_name_of(struct rt_perfetto *p, const struct rt_phase *phase)
{
	const struct rt_phase **more;
	size_t part, entry, i = 0;

	while (i < p->n_names && p->name[i] != phase)
		i++;
	if (i < p->n_names)
		return i + 1;
	more = realloc(p->name, (i + 1) * sizeof(*more));
	if (!more) {
		p->error = p->error ? p->error : -ENOMEM;
		return 0;
	}
	p->name = more;
	p->name[p->n_names++] = phase;
	part = rt_proto_begin(&p->packet, RT_PACKET_INTERNED);
	entry = rt_proto_begin(&p->packet, RT_INTERNED_EVENTS);
	rt_proto_number(&p->packet, RT_INTERNED_IID, i + 1);
	rt_text_write(p, RT_INTERNED_TEXT, phase->label.text[p->lang]);
	rt_proto_end(&p->packet, entry);
	rt_proto_end(&p->packet, part);
	return i + 1;
}

/* Forgets threads without an open slice: their tracks go on under the same numbers when they come back. */
static void rt_threads_prune(struct rt_perfetto *p)
{
	struct rt_map kept = {0};

	for (size_t i = 0; i < p->threads.cap; i++) {
		struct rt_map_slot *slot = &p->threads.slot[i];
		struct rt_pf_thread *thread = slot->value;

		if (thread && (!thread->open || rt_map_set(&kept, slot->key, thread)))
			free(thread);
	}
	rt_map_free(&p->threads);
	p->threads = kept;
}

static struct rt_pf_thread *rt_thread_of(struct rt_perfetto *p, const struct rt_pf_proc *proc, uint32_t tid)
{
	struct rt_pf_thread *thread = rt_map_get(&p->threads, tid);

	if (!thread) {
		if (p->threads.used >= RT_TRACKS_MAX)
			rt_threads_prune(p);
		thread = p->threads.used < RT_TRACKS_MAX ? calloc(1, sizeof(*thread)) : NULL;
		if (!thread || rt_map_set(&p->threads, tid, thread)) {
			free(thread);
			p->error = p->error ? p->error : -ENOMEM;
			return NULL;
		}
	}
	if (thread->serial != proc->serial) {
		*thread = (struct rt_pf_thread){.serial = proc->serial};
		rt_thread_write(p, proc, tid);
	}
	return thread;
}

/* An event on a track; `phase` gives its name, NULL: none. The caller ends the event (the part that is returned) and writes the packet. */
static size_t rt_event_begin(struct rt_perfetto *p, uint64_t track, uint64_t ts_ns, int type, const struct rt_phase *phase)
{
	uint64_t name;
	size_t part;

	rt_packet_begin(p);
	rt_proto_number(&p->packet, RT_PACKET_TIME, ts_ns);
	name = phase ? rt_name_of(p, phase) : 0;
	part = rt_proto_begin(&p->packet, RT_PACKET_EVENT);
	rt_proto_number(&p->packet, RT_EVENT_TYPE, (uint64_t)type);
	rt_proto_number(&p->packet, RT_EVENT_TRACK, track);
	if (name)
		rt_proto_number(&p->packet, RT_EVENT_NAME, name);
	return part;
}

static void rt_event_end(struct rt_perfetto *p, size_t part)
{
	rt_proto_end(&p->packet, part);
	rt_packet_write(p);
}

/* A figure of the event that is being made: the name is rt_annotations[name]. */
static void rt_figure_write(struct rt_perfetto *p, size_t name, int64_t value)
{
	size_t note = rt_proto_begin(&p->packet, RT_EVENT_ANNOTATION);

	rt_proto_number(&p->packet, RT_ANNOTATION_NAME, name + 1);
	rt_proto_number(&p->packet, RT_ANNOTATION_INT, (uint64_t)value);
	rt_proto_end(&p->packet, note);
}

static void rt_end_write(struct rt_perfetto *p, uint64_t track, uint64_t ts_ns, const struct rt_phase_view *phase)
{
	size_t part = rt_event_begin(p, track, ts_ns, RT_TYPE_END, NULL);

	if (phase) {
		const int64_t figure[] = {phase->delta.total, phase->own, phase->gained, phase->released, phase->peak, (int64_t)phase->end_ns};

		for (size_t i = 0; i < sizeof(figure) / sizeof(figure[0]); i++)
			rt_figure_write(p, i, figure[i]);
	}
	rt_event_end(p, part);
}

static void rt_perfetto_checkpoint(void *output, const struct rt_proc_view *view, const struct rt_checkpoint_view *cp)
{
	struct rt_perfetto *p = output;
	struct rt_pf_proc *proc = rt_proc_of(p, view);
	struct rt_pf_thread *thread;

	if (!proc)
		return;
	rt_sample(p, proc, cp->ts_ns, &cp->rss, true);
	thread = cp->edge == RT_ENTER && !cp->native ? rt_thread_of(p, proc, cp->tid) : NULL;
	if (thread) {
		thread->last_ns = cp->ts_ns > thread->last_ns ? cp->ts_ns : thread->last_ns;
		thread->open++;
		proc->open++;
		rt_event_end(p, rt_event_begin(p, rt_thread_track(proc, cp->tid), thread->last_ns, RT_TYPE_BEGIN, cp->phase));
	}
	rt_perfetto_flush(p);
}

/* The innermost open slice of its thread ends. */
static void rt_perfetto_phase(void *output, const struct rt_proc_view *view, const struct rt_phase_view *phase)
{
	struct rt_perfetto *p = output;
	struct rt_pf_proc *proc = rt_proc_of(p, view);
	struct rt_pf_thread *thread = proc ? rt_map_get(&p->threads, phase->tid) : NULL;

	if (!thread || thread->serial != proc->serial || !thread->open)
		return;
	thread->last_ns = phase->end_ns_max > thread->last_ns ? phase->end_ns_max : thread->last_ns;
	thread->open--;
	proc->open--;
	rt_end_write(p, rt_thread_track(proc, phase->tid), thread->last_ns, phase);
}

/* A native call, or several small ones. Its name is said with it: there is no end to symbols. */
static void rt_perfetto_native(void *output, const struct rt_proc_view *view, const struct rt_native_view *native)
{
	struct rt_perfetto *p = output;
	struct rt_pf_proc *proc = rt_proc_of(p, view);
	size_t part;

	if (!proc || !rt_thread_of(p, proc, native->tid))
		return;
	part = rt_event_begin(p, rt_thread_track(proc, native->tid), native->ts_ns, RT_TYPE_INSTANT, NULL); /* told late: no slice has to wait for it */
	rt_text_write(p, RT_EVENT_TEXT, native->symbol);
	rt_figure_write(p, 0, native->delta.total);
	rt_figure_write(p, 1, native->own);
	rt_figure_write(p, 2, native->gained);
	rt_figure_write(p, 3, native->released);
	rt_figure_write(p, 6, (int64_t)native->bytes);
	rt_figure_write(p, 7, native->calls);
	rt_figure_write(p, 8, (int64_t)native->duration_ns);
	rt_event_end(p, part);
}

/* Where its growth ends. */
static void rt_perfetto_oom(void *output, const struct rt_proc_view *view, const struct rt_oom_view *oom)
{
	struct rt_perfetto *p = output;
	struct rt_pf_proc *proc = rt_proc_of(p, view);
	size_t part;

	if (!proc || !rt_thread_of(p, proc, oom->tid))
		return;
	part = rt_event_begin(p, rt_thread_track(proc, oom->tid), oom->ts_ns, RT_TYPE_INSTANT, NULL);
	rt_text_write(p, RT_EVENT_TEXT, p->lang == RT_LANG_ZH ? "内存不足 (OOM), 被内核选中终止" : "chosen by the kernel's OOM killer");
	rt_event_end(p, part);
}

/* ---- begin and end ---- */

static void *rt_perfetto_open(const struct rt_format_config *config)
{
	struct rt_perfetto *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->out = config->out;
	p->lang = config->lang;
	p->every_ns = RT_SAMPLE_NS;
	rt_defaults_write(p);
	return p;
}

static struct rt_sink rt_perfetto_sink(void *output)
{
	return (struct rt_sink){
		.ctx = output,
		.on_process = rt_perfetto_process,
		.on_checkpoint = rt_perfetto_checkpoint,
		.on_phase = rt_perfetto_phase,
		.on_native = rt_perfetto_native,
		.on_oom = rt_perfetto_oom,
		.on_rss = rt_perfetto_rss,
	};
}

/* Processes that live on: those that ended have had their last sample. */
static void rt_perfetto_finish(void *output, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	struct rt_perfetto *p = output;

	(void)cost;
	for (size_t i = 0; i < summary->n_procs; i++) {
		const struct rt_proc_view *view = &summary->procs[i].proc;
		struct rt_pf_proc *proc = view->ended ? NULL : rt_map_get(&p->procs, view->pid);

		if (!proc)
			continue;
		rt_sample(p, proc, view->end_ns, &view->now, true);
		rt_close_slices(p, proc, view->end_ns);
	}
	rt_perfetto_flush(p);
}

static int rt_perfetto_error(const void *output)
{
	return ((const struct rt_perfetto *)output)->error;
}

static void rt_values_free(struct rt_map *map)
{
	for (size_t i = 0; i < map->cap; i++)
		free(map->slot[i].value);
	rt_map_free(map);
}

static void rt_perfetto_close(void *output)
{
	struct rt_perfetto *p = output;

	rt_values_free(&p->procs);
	rt_values_free(&p->threads);
	free(p->packet.data);
	free(p->name);
	free(p);
}

const struct rt_format rt_format_perfetto = {
	.name = "perfetto",
	.option = "--perfetto",
	.open = rt_perfetto_open,
	.sink = rt_perfetto_sink,
	.start = rt_perfetto_start,
	.finish = rt_perfetto_finish,
	.error = rt_perfetto_error,
	.close = rt_perfetto_close,
};
