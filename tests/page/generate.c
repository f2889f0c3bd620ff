/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * generate PROCESSES STACKS [hostile] [natives]: a made-up run, told to the html output as the core tells it; the page goes to standard output, what was told in sum to standard
 * error, as JSON. For pages larger than any start-up at hand, and names that no start-up has.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats.h"

#define MS 1000000ull
#define PHASES 12
#define NATIVES 6
#define LONG 100000

static const char *const plain[] = {"load_weights", "create_model", "import_torch", "zeros", "_touch", "Worker.init_device"};
static const char *const hostile[] = {
	"</script><script>document.title='pwned'</script>", "\"';--><img src=x onerror=alert(1)>", "\xe2\x80\xae\xe2\x81\xa6" "evil\xe2\x80\xa9\xe2\x80\xa8",
	"\x01\x02\x1b[31m\x7f\n\t", "<!--<script>", "&lt;b&gt;${7*7}`'",
};

struct run {
	struct rt_sink sink;
	unsigned int seed;
	struct rt_phase phase[PHASES];
	const char *const *name;
	char *long_name;
	struct rt_proc_summary *proc;
	size_t n_procs, n_stacks;
	uint32_t *leaf, *leaf_proc;
	int64_t gained, released, peak_sum;
};

static unsigned int any(struct run *run, unsigned int n)
{
	return (unsigned int)rand_r(&run->seed) % n;
}

static void make_phases(struct run *run)
{
	for (int i = 0; i < PHASES; i++) {
		char text[400];
		struct rt_phase *p = &run->phase[i];

		snprintf(text, sizeof(text), "%s_%d", run->name[i % 6], i);
		p->id = strdup(text);
		p->label.text[RT_LANG_EN] = strdup(text);
		p->label.text[RT_LANG_ZH] = strdup(text);
	}
}

static void make_procs(struct run *run)
{
	for (size_t i = 0; i < run->n_procs; i++) {
		struct rt_proc_view *v = &run->proc[i].proc;

		v->pid = 1000 + (uint32_t)i;
		v->ppid = i ? 1000 + (uint32_t)(i - 1) / 8 : 1;
		v->name = i == 1 ? run->long_name : run->name[i % 6];
		v->comm = v->exe = v->name;
		v->cmdline = run->long_name;
		v->python = "3.11.2";
		v->first = !i;
		v->depth = i ? i < 9 ? 1 : 2 : 0;
		v->start_ns = (1000 + i) * MS;
		v->end_ns = 60000 * MS;
		run->sink.on_process(run->sink.ctx, v, i ? RT_EV_FORK : RT_EV_ATTACH, v->start_ns);
	}
}

/* A trie of random shape: each stack grows from one that is there, or anew. */
static void make_stacks(struct run *run)
{
	uint32_t id = 0;

	while (id < run->n_stacks) {
		char file[64];
		uint32_t parent = id && any(run, 50) ? 1 + any(run, id) : 0;
		struct rt_frame_view frame = {.function = any(run, 5000) ? run->name[any(run, 6)] : run->long_name, .file = file, .line = 1 + (int)any(run, 3000)};

		snprintf(file, sizeof(file), "/usr/lib/python3/dist-packages/pack%u/mod%u.py", any(run, 12), any(run, 400));
		run->sink.on_node(run->sink.ctx, ++id, parent, &frame);
	}
}

static void change(struct run *run, uint64_t ts, uint32_t stack)
{
	static const char *const maps[] = {"[anon]", "[heap]", "/usr/lib/libtorch_cpu.so", "/dev/shm/ring"};
	static const enum rt_map_kind kinds[] = {RT_MAP_ANON, RT_MAP_HEAP, RT_MAP_FILE, RT_MAP_SHMEM};
	static const int of[] = {RT_ANON, RT_ANON, RT_FILE, RT_SHMEM};
	struct rt_proc_view *v = &run->proc[any(run, (unsigned int)run->n_procs)].proc;
	unsigned int map = any(run, 4), first = any(run, PHASES);
	const struct rt_phase *path[2] = {&run->phase[first], &run->phase[(first + 1) % PHASES]};
	int64_t gained = (1 + any(run, 300)) * 4096ll, released = any(run, 4) ? 0 : gained / 8192 * 4096;
	struct rt_growth_view g = {.ts_ns = ts, .tid = v->pid, .stack = stack, .path = path, .path_len = any(run, 3), .mapping = run->name == hostile && !map ? hostile[0] : maps[map], .mapping_kind = kinds[map]};

	if (v->now.kind[of[map]] < released)
		released = 0;
	g.gained.kind[of[map]] = g.gained.total = gained;
	g.delta.kind[of[map]] = g.delta.total = gained - released;
	v->now.kind[of[map]] += gained - released;
	v->now.total += gained - released;
	if (v->now.total > v->peak)
		v->peak = v->now.total;
	run->gained += gained;
	run->released += released;
	run->sink.on_rss(run->sink.ctx, v, ts);
	run->sink.on_growth(run->sink.ctx, v, &g);
}

static void make_calls(struct run *run)
{
	for (size_t i = 0; i < run->n_procs; i++) {
		const struct rt_proc_view *v = &run->proc[i].proc;
		struct rt_phase_view *rows = calloc(PHASES, sizeof(*rows));
		const struct rt_phase **path = calloc(2 * PHASES, sizeof(*path));

		for (int k = 0; k < PHASES; k++) {
			path[2 * k] = &run->phase[k / 2 * 2];
			path[2 * k + 1] = &run->phase[k];
			rows[k] = (struct rt_phase_view){.phase = &run->phase[k], .path = path + 2 * k + (k % 2 ? 0 : 1), .path_len = k % 2 ? 2 : 1, .tid = v->pid, .call = 1,
							 .start_ns = v->start_ns + (uint64_t)(k / 2) * 4000 * MS, .rss_end = (k + 1) * 4096ll, .delta = {.total = (k + 1) * 4096ll}, .gained = 4096, .peak = v->peak};
			if (!(k % 2))
				rows[k].path = path + 2 * k;
			rows[k].end_ns = rows[k].start_ns + (k % 2 ? 2000 : 3900) * MS;
			rows[k].duration_ns = rows[k].end_ns - rows[k].start_ns;
			run->sink.on_phase(run->sink.ctx, v, &rows[k]);
		}
		run->proc[i].phases = rows;
		run->proc[i].n_phases = PHASES;
	}
}

/* Rows of native functions, the n-th of all asks for n pages; and half of each process's shared memory was pinned by one call. */
static void make_natives(struct run *run)
{
	for (size_t i = 0; i < run->n_procs; i++) {
		const struct rt_proc_view *v = &run->proc[i].proc;
		struct rt_native_sum_view *rows = calloc(NATIVES, sizeof(*rows));
		int64_t half = v->now.kind[RT_SHMEM] / 8192 * 4096;
		struct rt_native_view call = {.ts_ns = 59500 * MS, .begin_ns = 59400 * MS, .tid = v->pid, .symbol = run->name[0], .kind = "pinned", .library = run->name[1], .calls = 1,
					      .delta = {half, {[RT_SHMEM] = half}}};

		for (size_t k = 0; k < NATIVES; k++)
			rows[k] = (struct rt_native_sum_view){.symbol = k ? run->name[k % 6] : run->long_name, .library = run->name[(k + 1) % 6], .kind = k % 2 ? "pinned" : run->name[(k + 2) % 6],
							      .is_free = k == NATIVES - 1, .inner = k == 1, .phase = k ? &run->phase[k] : NULL, .calls = k + 1, .bytes = (i * NATIVES + k + 1) * 4096,
							      .delta = {.total = 4096}, .own = 4096, .gained = 4096};
		run->proc[i].natives = rows;
		run->proc[i].n_natives = NATIVES;
		run->sink.on_native(run->sink.ctx, v, &call);
	}
}

static bool asked_for(int argc, char **argv, const char *word)
{
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], word))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct run run = {.seed = 5, .n_procs = argc > 1 ? strtoul(argv[1], NULL, 10) : 256, .n_stacks = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000};
	struct rt_format_config config = {.out = stdout, .lang = RT_LANG_EN};
	const struct rt_format *format = rt_format_get(RT_FORMAT_HTML);
	struct rt_json_start start = {.version = "0", .kernel = "6.18", .profile = "made up", .mm_source = "rss_stat", .mm_hook = "tp_btf", .mm_exact = true, .python_entry = "off",
				      .wall_ns = 1700000000000000000ull, .ts_ns = 1000 * MS};
	struct rt_summary summary = {.duration_ns = 60000 * MS};
	void *page = format->open(&config);
	size_t n;

	run.name = asked_for(argc, argv, "hostile") ? hostile : plain;
	run.long_name = calloc(LONG + 1, 1);
	memset(run.long_name, 'x', LONG);
	if (run.name == hostile)
		memcpy(run.long_name, hostile[0], strlen(hostile[0]));
	run.proc = calloc(run.n_procs, sizeof(*run.proc));
	if (!page || !run.proc || !run.n_procs || !run.n_stacks)
		return 1;
	run.sink = format->sink(page);
	start.kernel = run.name[0];
	format->start(page, &start);
	make_phases(&run);
	make_procs(&run);
	make_stacks(&run);
	n = 2 * run.n_stacks;
	for (size_t i = 0; i < n; i++)
		change(&run, 1300 * MS + i * 58000 * MS / n, 1 + (uint32_t)(i % run.n_stacks));
	make_calls(&run);
	if (asked_for(argc, argv, "natives"))
		make_natives(&run);
	summary.procs = run.proc;
	summary.n_procs = run.n_procs;
	format->finish(page, &summary, NULL);
	fprintf(stderr, "{\"gained\":%" PRId64 ",\"released\":%" PRId64 ",\"peaks\":[", run.gained, run.released);
	for (size_t i = 0; i < run.n_procs; i++)
		fprintf(stderr, "%s%" PRId64, i ? "," : "", run.proc[i].proc.peak);
	fprintf(stderr, "]}\n");
	return format->error(page) ? 1 : 0;
}
