/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * prom.c - the summary as metrics, for node_exporter's textfile collector: Prometheus's text format that is valid OpenMetrics, too
 * (https://prometheus.io/docs/specs/om/open_metrics_spec/).
 *
 * All are gauges, in bytes and seconds: the figures of one run, which the next run replaces. A phase is added up over everything that it was nested in. Two
 * processes of one role with one pid (numbers come back) are told apart by the label `again`. No time stamps: the collector refuses them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats.h"
#include "units.h"

#define RT_LABEL_CHARS 200

static const char *const rt_kind_names[RT_KINDS] = {[RT_FILE] = "file", [RT_ANON] = "anon", [RT_SHMEM] = "shmem"};

/* A phase of a process, over all paths. */
struct rt_prom_phase {
	const struct rt_phase *phase;
	int64_t kind[RT_KINDS], own, gained, released, reused, helper, peak;
	uint64_t duration_ns, calls, faults[2]; /* minor, major */
};

struct rt_prom_proc {
	const struct rt_proc_summary *summary;
	char *labels; /* role="EngineCore",pid="42" */
	struct rt_prom_phase *phase;
	size_t n_phases;
	char **native; /* labels of each row of native functions */
	size_t n_natives;
};

struct rt_prom {
	FILE *out;
	struct rt_prom_proc *proc;
	size_t n_procs;
	char *info; /* labels of the run */
	int error;
};

/* ---- text ---- */

/* name="value", escaped twice: what would move a cursor first, then as the format has it. */
static void rt_label_print(FILE *out, const char *name, const char *value)
{
	char *safe = rt_text_escape(value, RT_LABEL_CHARS);

	fprintf(out, "%s=\"", name);
	for (const char *c = safe ? safe : "?"; *c; c++) {
		if (*c == '\\' || *c == '"')
			fputc('\\', out);
		fputc(*c, out);
	}
	fputc('"', out);
	free(safe);
}

static void rt_family(FILE *out, const char *name, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

/* `labels` and `more` are whole labels with commas between them, or "". */
static void rt_sample_front(FILE *out, const char *name, const char *labels, const char *more)
{
	fputs(name, out);
	if (*labels || *more)
		fprintf(out, "{%s%s%s}", labels, *labels && *more ? "," : "", more);
	fputc(' ', out);
}

static void rt_sample_int(FILE *out, const char *name, const char *labels, const char *more, int64_t value)
{
	rt_sample_front(out, name, labels, more);
	fprintf(out, "%lld\n", (long long)value);
}

static void rt_sample_seconds(FILE *out, const char *name, const char *labels, const char *more, uint64_t ns)
{
	rt_sample_front(out, name, labels, more);
	fprintf(out, "%llu.%09llu\n", (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000));
}

/* ---- the run ---- */

static void rt_prom_run(FILE *out, const struct rt_prom *prom, const struct rt_summary *s, const struct rt_self_cost *cost)
{
	if (prom->info) {
		rt_family(out, "ramtrack_run_info", "What was run.");
		rt_sample_int(out, "ramtrack_run_info", prom->info, "", 1);
	}
	rt_family(out, "ramtrack_run_duration_seconds", "From the first record to the end.");
	rt_sample_seconds(out, "ramtrack_run_duration_seconds", "", "", s->duration_ns);
	rt_family(out, "ramtrack_lost_records", "Records that were lost.");
	rt_sample_int(out, "ramtrack_lost_records", "", "", (int64_t)s->lost_records);
	rt_family(out, "ramtrack_lost_stacks", "Stacks that were lost.");
	rt_sample_int(out, "ramtrack_lost_stacks", "", "", (int64_t)s->lost_stacks);
	rt_family(out, "ramtrack_unaccounted_bytes", "RSS change that no charge explains, added up over processes; 0 on a good run.");
	rt_sample_int(out, "ramtrack_unaccounted_bytes", "", "", s->unaccounted);
	if (!cost)
		return;
	rt_family(out, "ramtrack_self_bpf_seconds", "Time in the BPF programs.");
	rt_sample_seconds(out, "ramtrack_self_bpf_seconds", "", "", cost->bpf_ns);
	rt_family(out, "ramtrack_self_cpu_seconds", "CPU time of ramtrack-bpf itself.");
	rt_sample_seconds(out, "ramtrack_self_cpu_seconds", "mode=\"user\"", "", cost->user_ns);
	rt_sample_seconds(out, "ramtrack_self_cpu_seconds", "mode=\"system\"", "", cost->sys_ns);
	rt_family(out, "ramtrack_self_memory_bytes", "Memory of ramtrack-bpf itself: its RSS, and its maps in the kernel.");
	rt_sample_int(out, "ramtrack_self_memory_bytes", "of=\"rss\"", "", (int64_t)cost->rss_bytes);
	rt_sample_int(out, "ramtrack_self_memory_bytes", "of=\"maps\"", "", (int64_t)cost->map_bytes);
}

/* ---- processes ---- */

static void rt_kinds_print(FILE *out, const char *name, const char *labels, const int64_t kind[RT_KINDS])
{
	for (int k = 0; k < RT_KINDS; k++) {
		char more[32];

		snprintf(more, sizeof(more), "kind=\"%s\"", rt_kind_names[k]);
		rt_sample_int(out, name, labels, more, kind[k]);
	}
}

enum rt_prom_figure { RT_PROC_NOW, RT_PROC_START, RT_PROC_PEAK, RT_PROC_OUTSIDE, RT_PROC_CAUSES, RT_PROC_UNACCOUNTED, RT_PROC_FIGURES };

static void rt_prom_proc_print(FILE *out, const char *name, const struct rt_prom_proc *proc, enum rt_prom_figure figure)
{
	static const char *const cause[RT_CAUSES] = {
		[RT_CAUSE_RECLAIM] = "cause=\"reclaim\"", [RT_CAUSE_KHUGEPAGED] = "cause=\"khugepaged\"", [RT_CAUSE_REMOTE] = "cause=\"remote\"",
	};
	const struct rt_proc_summary *s = proc->summary;

	switch (figure) {
	case RT_PROC_NOW:
		rt_kinds_print(out, name, proc->labels, s->proc.now.kind);
		break;
	case RT_PROC_START:
		rt_kinds_print(out, name, proc->labels, s->proc.start.kind);
		break;
	case RT_PROC_PEAK:
		rt_sample_int(out, name, proc->labels, "", s->proc.peak);
		break;
	case RT_PROC_OUTSIDE:
		rt_sample_int(out, name, proc->labels, "", s->outside_net);
		break;
	case RT_PROC_CAUSES:
		for (int c = RT_CAUSE_SELF + 1; c < RT_CAUSES; c++)
			rt_sample_int(out, name, proc->labels, cause[c], s->cause_net[c]);
		break;
	case RT_PROC_UNACCOUNTED:
		rt_sample_int(out, name, proc->labels, "", s->unaccounted);
		break;
	case RT_PROC_FIGURES:
		break;
	}
}

static void rt_prom_procs(FILE *out, const struct rt_prom *prom)
{
	static const struct {
		const char *name, *help;
	} family[RT_PROC_FIGURES] = {
		[RT_PROC_NOW] = {"ramtrack_process_rss_bytes", "RSS at the end of the run, or of the process."},
		[RT_PROC_START] = {"ramtrack_process_rss_start_bytes", "RSS at the baseline: first exec, or the moment of attaching."},
		[RT_PROC_PEAK] = {"ramtrack_process_rss_peak_bytes", "Highest RSS since the baseline."},
		[RT_PROC_OUTSIDE] = {"ramtrack_process_outside_rss_bytes", "RSS change outside of all phases."},
		[RT_PROC_CAUSES] = {"ramtrack_process_cause_rss_bytes", "RSS change that is no line's work, by cause."},
		[RT_PROC_UNACCOUNTED] = {"ramtrack_process_unaccounted_bytes", "Exact RSS change minus the sum of all charges; 0 on a good run."},
	};

	for (int f = 0; f < RT_PROC_FIGURES; f++) {
		if (prom->n_procs)
			rt_family(out, family[f].name, family[f].help);
		for (size_t i = 0; i < prom->n_procs; i++)
			rt_prom_proc_print(out, family[f].name, &prom->proc[i], (enum rt_prom_figure)f);
	}
}

/* ---- phases ---- */

enum rt_prom_phase_figure {
	RT_PHASE_KINDS, RT_PHASE_OWN, RT_PHASE_PEAK, RT_PHASE_GAINED, RT_PHASE_RELEASED, RT_PHASE_REUSED, RT_PHASE_HELPER, RT_PHASE_DURATION, RT_PHASE_CALLS,
	RT_PHASE_FAULTS, RT_PHASE_FIGURES,
};

static void rt_prom_phase_print(FILE *out, const char *name, const char *labels, const struct rt_prom_phase *phase, enum rt_prom_phase_figure figure)
{
	const int64_t single[RT_PHASE_FIGURES] = {
		[RT_PHASE_OWN] = phase->own,	     [RT_PHASE_PEAK] = phase->peak,	[RT_PHASE_GAINED] = phase->gained,	 [RT_PHASE_RELEASED] = phase->released,
		[RT_PHASE_REUSED] = phase->reused, [RT_PHASE_HELPER] = phase->helper, [RT_PHASE_CALLS] = (int64_t)phase->calls,
	};

	switch (figure) {
	case RT_PHASE_KINDS:
		rt_kinds_print(out, name, labels, phase->kind);
		break;
	case RT_PHASE_DURATION:
		rt_sample_seconds(out, name, labels, "", phase->duration_ns);
		break;
	case RT_PHASE_FAULTS:
		rt_sample_int(out, name, labels, "fault=\"minor\"", (int64_t)phase->faults[0]);
		rt_sample_int(out, name, labels, "fault=\"major\"", (int64_t)phase->faults[1]);
		break;
	default:
		rt_sample_int(out, name, labels, "", single[figure]);
	}
}

static int rt_prom_phases(FILE *out, const struct rt_prom *prom)
{
	static const struct {
		const char *name, *help;
	} family[RT_PHASE_FIGURES] = {
		[RT_PHASE_KINDS] = {"ramtrack_phase_rss_bytes", "RSS change of the process inside the phase, all calls."},
		[RT_PHASE_OWN] = {"ramtrack_phase_own_rss_bytes", "RSS change charged to the phase and to none that is nested in it."},
		[RT_PHASE_PEAK] = {"ramtrack_phase_rss_peak_bytes", "Highest RSS of the process while the phase was open."},
		[RT_PHASE_GAINED] = {"ramtrack_phase_gained_bytes", "RSS gained by the phase and those nested in it."},
		[RT_PHASE_RELEASED] = {"ramtrack_phase_released_bytes", "RSS released by the phase and those nested in it."},
		[RT_PHASE_REUSED] = {"ramtrack_phase_reused_bytes", "Of what was gained: refilled what had been released before."},
		[RT_PHASE_HELPER] = {"ramtrack_phase_helper_rss_bytes", "Of the net charge: by threads without a phase of their own."},
		[RT_PHASE_DURATION] = {"ramtrack_phase_duration_seconds", "Time in the phase, all calls."},
		[RT_PHASE_CALLS] = {"ramtrack_phase_calls", "Number of calls."},
		[RT_PHASE_FAULTS] = {"ramtrack_phase_page_faults", "Page faults in the phase and those nested in it."},
	};

	for (int f = 0; f < RT_PHASE_FIGURES; f++) {
		bool any = false;

		for (size_t i = 0; i < prom->n_procs; i++) {
			const struct rt_prom_proc *proc = &prom->proc[i];

			for (size_t k = 0; k < proc->n_phases; k++) {
				char *labels;

				if (asprintf(&labels, "%s,phase=\"%s\"", proc->labels, proc->phase[k].phase->id) < 0)
					return -ENOMEM;
				if (!any)
					rt_family(out, family[f].name, family[f].help);
				any = true;
				rt_prom_phase_print(out, family[f].name, labels, &proc->phase[k], (enum rt_prom_phase_figure)f);
				free(labels);
			}
		}
	}
	return 0;
}

/* ---- native functions ---- */

enum rt_prom_native_figure { RT_NATIVE_CALLS, RT_NATIVE_BYTES, RT_NATIVE_RSS, RT_NATIVE_OWN, RT_NATIVE_RELEASED, RT_NATIVE_DURATION, RT_NATIVE_FIGURES };

/* The labels of row `at`; ours to free. NULL: no memory. A row whose labels are cut to those of another one before it, which a sample must not have twice, gets
 * its number with them. */
static char *rt_prom_native_labels(const struct rt_prom_proc *proc, size_t at)
{
	const struct rt_native_sum_view *row = &proc->summary->natives[at];
	bool twice = false;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fprintf(out, "%s,", proc->labels);
	rt_label_print(out, "symbol", row->symbol);
	fputc(',', out);
	rt_label_print(out, "native", row->kind);
	fputc(',', out);
	rt_label_print(out, "library", row->library);
	fprintf(out, ",phase=\"%s\",op=\"%s\",inner=\"%s\"", row->phase ? row->phase->id : "", row->is_free ? "free" : "alloc", row->inner ? "yes" : "no");
	if (!fflush(out)) {
		for (size_t i = 0; i < at && !twice; i++)
			twice = !strcmp(proc->native[i], text);
	}
	if (twice)
		fprintf(out, ",row=\"%zu\"", at + 1);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static void rt_prom_native_print(FILE *out, const char *name, const char *labels, const struct rt_native_sum_view *row, enum rt_prom_native_figure figure)
{
	const int64_t single[RT_NATIVE_FIGURES] = {
		[RT_NATIVE_CALLS] = (int64_t)row->calls, [RT_NATIVE_BYTES] = (int64_t)row->bytes, [RT_NATIVE_OWN] = row->own, [RT_NATIVE_RELEASED] = row->released,
	};

	if (figure == RT_NATIVE_RSS)
		rt_kinds_print(out, name, labels, row->delta.kind);
	else if (figure == RT_NATIVE_DURATION)
		rt_sample_seconds(out, name, labels, "", row->duration_ns);
	else
		rt_sample_int(out, name, labels, "", single[figure]);
}

static void rt_prom_natives(FILE *out, const struct rt_prom *prom)
{
	static const struct {
		const char *name, *help;
	} family[RT_NATIVE_FIGURES] = {
		[RT_NATIVE_CALLS] = {"ramtrack_native_calls", "Calls of a native function."},
		[RT_NATIVE_BYTES] = {"ramtrack_native_bytes", "What calls of a native function asked for, or gave back (op)."},
		[RT_NATIVE_RSS] = {"ramtrack_native_rss_bytes", "RSS change of the calling threads inside the calls, nested calls included."},
		[RT_NATIVE_OWN] = {"ramtrack_native_own_rss_bytes", "The same without nested calls."},
		[RT_NATIVE_RELEASED] = {"ramtrack_native_released_bytes", "RSS released inside the calls."},
		[RT_NATIVE_DURATION] = {"ramtrack_native_duration_seconds", "Time in the calls."},
	};

	for (int f = 0; f < RT_NATIVE_FIGURES; f++) {
		bool any = false;

		for (size_t i = 0; i < prom->n_procs; i++) {
			const struct rt_prom_proc *proc = &prom->proc[i];

			for (size_t k = 0; k < proc->summary->n_natives; k++) {
				if (!any)
					rt_family(out, family[f].name, family[f].help);
				any = true;
				rt_prom_native_print(out, family[f].name, proc->native[k], &proc->summary->natives[k], (enum rt_prom_native_figure)f);
			}
		}
	}
}

/* ---- gathering ---- */

static struct rt_prom_phase *rt_prom_phase_of(struct rt_prom_proc *proc, const struct rt_phase *phase)
{
	size_t i = 0;

	while (i < proc->n_phases && proc->phase[i].phase != phase)
		i++;
	if (i == proc->n_phases)
		proc->phase[proc->n_phases++].phase = phase;
	return &proc->phase[i];
}

static void rt_prom_phase_add(struct rt_prom_phase *sum, const struct rt_phase_view *view)
{
	for (int k = 0; k < RT_KINDS; k++)
		sum->kind[k] += view->delta.kind[k];
	sum->own += view->own;
	sum->gained += view->gained;
	sum->released += view->released;
	sum->reused += view->reused;
	sum->helper += view->helper;
	sum->peak = view->peak > sum->peak ? view->peak : sum->peak;
	sum->duration_ns += view->duration_ns;
	sum->calls += view->call;
	sum->faults[0] += view->minor_faults;
	sum->faults[1] += view->major_faults;
}

static char *rt_prom_labels(const struct rt_summary *s, size_t at)
{
	const struct rt_proc_view *view = &s->procs[at].proc;
	unsigned int before = 0;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	for (size_t i = 0; i < at; i++)
		before += s->procs[i].proc.pid == view->pid && !strcmp(s->procs[i].proc.name, view->name);
	rt_label_print(out, "role", view->name);
	fprintf(out, ",pid=\"%u\"", view->pid);
	if (before)
		fprintf(out, ",again=\"%u\"", before + 1);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static int rt_prom_gather(struct rt_prom *prom, const struct rt_summary *s)
{
	prom->proc = calloc(s->n_procs + 1, sizeof(*prom->proc));
	if (!prom->proc)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_procs; i++) {
		struct rt_prom_proc *proc = &prom->proc[prom->n_procs++];

		proc->summary = &s->procs[i];
		proc->labels = rt_prom_labels(s, i);
		proc->phase = calloc(s->procs[i].n_phases + 1, sizeof(*proc->phase));
		if (!proc->labels || !proc->phase)
			return -ENOMEM;
		for (size_t k = 0; k < s->procs[i].n_phases; k++)
			rt_prom_phase_add(rt_prom_phase_of(proc, s->procs[i].phases[k].phase), &s->procs[i].phases[k]);
		proc->native = calloc(s->procs[i].n_natives + 1, sizeof(*proc->native));
		if (!proc->native)
			return -ENOMEM;
		for (; proc->n_natives < s->procs[i].n_natives; proc->n_natives++) {
			proc->native[proc->n_natives] = rt_prom_native_labels(proc, proc->n_natives);
			if (!proc->native[proc->n_natives])
				return -ENOMEM;
		}
	}
	return 0;
}

/* ---- begin and end ---- */

static void *rt_prom_open(const struct rt_format_config *config)
{
	struct rt_prom *prom = calloc(1, sizeof(*prom));

	if (prom)
		prom->out = config->out;
	return prom;
}

static void rt_prom_start(void *output, const struct rt_json_start *start)
{
	struct rt_prom *prom = output;
	FILE *out;
	size_t len;

	free(prom->info);
	prom->info = NULL;
	out = open_memstream(&prom->info, &len);
	if (!out) {
		prom->error = -ENOMEM;
		return;
	}
	rt_label_print(out, "version", start->version);
	fputc(',', out);
	rt_label_print(out, "profile", start->profile);
	fputc(',', out);
	rt_label_print(out, "kernel", start->kernel);
	fputc(',', out);
	rt_label_print(out, "mm_source", start->mm_source);
	if (fclose(out)) {
		free(prom->info);
		prom->info = NULL;
		prom->error = -ENOMEM;
	}
}

static void rt_prom_finish(void *output, const struct rt_summary *summary, const struct rt_self_cost *cost)
{
	struct rt_prom *prom = output;

	if (!prom->error)
		prom->error = rt_prom_gather(prom, summary);
	if (prom->error)
		return;
	errno = 0;
	rt_prom_run(prom->out, prom, summary, cost);
	rt_prom_procs(prom->out, prom);
	prom->error = rt_prom_phases(prom->out, prom);
	if (!prom->error)
		rt_prom_natives(prom->out, prom);
	fputs("# EOF\n", prom->out);
	if (!prom->error && (fflush(prom->out) || ferror(prom->out)))
		prom->error = errno ? -errno : -EIO;
}

static int rt_prom_error(const void *output)
{
	return ((const struct rt_prom *)output)->error;
}

static void rt_prom_close(void *output)
{
	struct rt_prom *prom = output;

	for (size_t i = 0; i < prom->n_procs; i++) {
		free(prom->proc[i].labels);
		free(prom->proc[i].phase);
		for (size_t k = 0; k < prom->proc[i].n_natives; k++)
			free(prom->proc[i].native[k]);
		free(prom->proc[i].native);
	}
	free(prom->proc);
	free(prom->info);
	free(prom);
}

const struct rt_format rt_format_prom = {
	.name = "prom",
	.option = "--prom",
	.atomic = true,
	.open = rt_prom_open,
	.start = rt_prom_start,
	.finish = rt_prom_finish,
	.error = rt_prom_error,
	.close = rt_prom_close,
};
