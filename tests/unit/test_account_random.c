/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * The accounting core against a second, much simpler model of the same rules, over random programs; over records that
 * arrive out of order; and over broken records.
 */
#include "account_kit.h"

#define THREADS 4
#define DEPTH 6
#define FUNCTIONS 6
#define CELLS 64 /* paths that the model tells apart */

/* Functions 0..2 are the phases outer, inner and rec; the others are none. */
static const char *const functions[FUNCTIONS] = { "outer", "inner", "rec", "f", "g", "h" };

struct model {
	uint64_t seed;
	int stack[THREADS][DEPTH], site[THREADS][DEPTH], depth[THREADS];
	uint32_t node[FUNCTIONS][2];
	char path[THREADS][64];
	struct {
		char path[64];
		int64_t own, gained;
	} cell[CELLS];
	size_t cells;
	int64_t outside, ambiguous, rss, only;
};

static uint32_t any(struct model *m, uint32_t below)
{
	m->seed = m->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(m->seed >> 33) % below;
}

static size_t model_cell(struct model *m, const char *path)
{
	for (size_t i = 0; i < m->cells; i++) {
		if (!strcmp(m->cell[i].path, path))
			return i;
	}
	assert_true(m->cells < CELLS);
	strcpy(m->cell[m->cells].path, path);
	return m->cells++;
}

static void model_path(struct model *m, int t)
{
	bool in[3] = { false };

	m->path[t][0] = '\0';
	for (int i = 0; i < m->depth[t]; i++) {
		int f = m->stack[t][i];

		if (f > 2 || in[f])
			continue;
		in[f] = true;
		if (m->path[t][0])
			strcat(m->path[t], "/");
		strcat(m->path[t], functions[f]);
	}
}

/* Whom the model charges. */
static void model_charge(struct model *m, int t, int64_t pages)
{
	int with = 0, last = 0;
	size_t len;

	for (int i = 0; i < THREADS; i++) {
		if (m->path[i][0]) {
			with++;
			last = i;
		}
	}
	if (m->path[t][0])
		last = t;
	else if (with == 1)
		m->only += pages;
	if (!m->path[t][0] && with != 1) {
		m->outside += pages;
		m->ambiguous += with ? pages : 0;
		return;
	}
	m->cell[model_cell(m, m->path[last])].own += pages;
	len = strlen(m->path[last]);
	for (size_t end = 1; end <= len; end++) { /* it and all around it */
		char outer[64];

		if (m->path[last][end] && m->path[last][end] != '/')
			continue;
		snprintf(outer, sizeof(outer), "%.*s", (int)end, m->path[last]);
		m->cell[model_cell(m, outer)].gained += pages > 0 ? pages : 0;
	}
}

/* One step of the program: a thread moves, then changes pages. Nodes are made as they are first reached. */
struct known {
	uint32_t parent, code, instr, id;
};

static uint32_t program_node(struct kit *k, struct known *known, size_t *n, uint32_t parent, uint32_t code,
			     uint32_t instr)
{
	for (size_t i = 0; i < *n; i++) {
		if (known[i].parent == parent && known[i].code == code && known[i].instr == instr)
			return known[i].id;
	}
	assert_true(*n < 60000);
	known[*n] = (struct known){ parent, code, instr, kit_node(k, 1, parent, code, instr) };
	return known[(*n)++].id;
}

static void program_run(struct kit *k, struct model *m, int steps)
{
	struct known *known = calloc(60000, sizeof(*known));
	uint32_t root, code[FUNCTIONS];
	size_t n = 0;

	assert_non_null(known);
	kit_attach(k, 1, 1, 100, 100000);
	root = kit_node(k, 1, 0, RT_CODE_ROOT, 0);
	for (int f = 0; f < FUNCTIONS; f++)
		code[f] = kit_code(k, 1, functions[f], "app/main.py", f + 1);
	for (int step = 0; step < steps; step++) {
		int t = (int)any(m, THREADS), depth;
		int64_t pages = (int64_t)any(m, 200) - 90;
		uint32_t node = root;

		depth = (int)any(m, (uint32_t)m->depth[t] + 2);
		m->depth[t] = depth < m->depth[t] ? depth : m->depth[t];
		if (m->depth[t] && any(m, 2))
			m->site[t][m->depth[t] - 1] = (int)any(m, 2);
		while (m->depth[t] < DEPTH && any(m, 3)) {
			m->stack[t][m->depth[t]] = (int)any(m, FUNCTIONS);
			m->site[t][m->depth[t]++] = (int)any(m, 2);
		}
		for (int i = 0; i < m->depth[t]; i++)
			node = program_node(k, known, &n, node, code[m->stack[t][i]], (uint32_t)m->site[t][i] * 2);
		model_path(m, t);
		model_charge(m, t, pages);
		kit_grow(k, 10 + (uint64_t)step * 10, 1, 100 + (uint32_t)t, node, (int32_t)pages);
	}
	free(known);
}

/* Sums by stack, put together again, are what was charged to each phase by itself. */
static void check_stacks(const struct rt_proc_summary *p)
{
	int64_t own[CELLS] = { 0 }, outside = 0;

	assert_true(p->n_phases < CELLS && p->n_stacks > 10);
	for (size_t i = 0; i < p->n_stacks; i++) {
		const struct rt_stack_row *row = &p->stacks[i];
		int64_t net = row->gained.total - row->released.total;

		*(row->phase ? &own[row->phase - 1] : &outside) += net;
	}
	for (size_t i = 0; i < p->n_phases; i++)
		assert_int_equal(own[i], p->phases[i].own);
	assert_int_equal(outside, p->outside_net);
}

static void test_random_programs(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct kit *k = kit_new(&(struct rt_account_config){ .want_stacks = seed & 1 });
		struct model m = { .seed = seed };
		const struct rt_proc_summary *p;
		const struct rt_summary *s;
		int64_t total = 0;

		k->mute_tape = true;
		program_run(k, &m, 400);
		kit_exit(k, 100000, 1, 100, 0, 0);
		s = rt_account_finish(k->account, 100001, NULL);
		p = &s->procs[0];
		assert_int_equal(s->unaccounted, 0);
		assert_int_equal(s->lost_stacks, 0);
		assert_int_equal(p->outside_net, P(m.outside));
		assert_int_equal(p->ambiguous_net, P(m.ambiguous));
		assert_int_equal(p->helper_by_only, P(m.only));
		if (seed & 1)
			check_stacks(p);
		for (size_t i = 0; i < m.cells; i++) {
			assert_int_equal(kit_row(p, m.cell[i].path)->own, P(m.cell[i].own));
			assert_int_equal(kit_row(p, m.cell[i].path)->gained, P(m.cell[i].gained));
		}
		for (size_t i = 0; i < k->n_cp; i++) {
			total += k->cp[i].cp.delta;
			assert_int_equal(k->cp[i].cp.total, total);
			assert_int_equal(k->cp[i].cp.rss.total, total + P(100000));
		}
		for (size_t i = 0; i < k->n_span; i++) {
			assert_int_equal(k->span[i].ph.rss_end - k->span[i].ph.rss_start, k->span[i].ph.delta.total);
			assert_true(k->span[i].ph.peak >= k->span[i].ph.rss_end);
			assert_true(k->span[i].ph.peak >= k->span[i].ph.rss_start);
		}
		kit_free(k);
	}
}

struct piece {
	const uint8_t *at;
	uint32_t len;
};

static size_t tape_cut(const struct kit *k, struct piece **out)
{
	struct piece *piece = NULL;
	size_t n = 0, at = 0;

	while (at < k->tape_len) {
		uint32_t len;

		memcpy(&len, k->tape + at, sizeof(len));
		if (!(n & (n - 1)))
			piece = realloc(piece, (n ? 2 * n : 1) * sizeof(*piece));
		assert_non_null(piece);
		piece[n++] = (struct piece){ k->tape + at + sizeof(len), len };
		at += sizeof(len) + len;
	}
	*out = piece;
	return n;
}

static uint64_t piece_time(const struct piece *piece)
{
	struct rt_hdr h;

	memcpy(&h, piece->at, sizeof(h));
	return h.ts_ns;
}

/* Records that are at most 90 apart change places: with a window of 100 the answer is the same as in order. */
static void test_shuffled(void **state)
{
	struct kit *k = kit_new(NULL), *shuffled = kit_new(&(struct rt_account_config){ .window_ns = 100 });
	struct model m = { .seed = 99 };
	struct piece *piece;
	uint64_t now = 0;
	size_t n, moved = 0;

	(void)state;
	program_run(k, &m, 600);
	rt_account_finish(k->account, 100000, NULL);
	n = tape_cut(k, &piece);
	for (size_t i = 0; i + 1 < n; i++) {
		size_t j = i + any(&m, 8);

		/* Nodes and code objects stay where they are, and so before the runs that need them. */
		if (j < n && piece_time(&piece[i]) > 1 && piece_time(&piece[j]) > 1 &&
		    piece_time(&piece[j]) - piece_time(&piece[i]) < 45) {
			struct piece swap = piece[i];
			bool nodes = false;

			for (size_t between = i; between < j; between++)
				nodes |= !piece_time(&piece[between]);
			if (nodes)
				continue;
			piece[i] = piece[j];
			piece[j] = swap;
			moved++;
		}
	}
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(rt_account_record(shuffled->account, piece[i].at, piece[i].len), 0);
		if (piece_time(&piece[i]) > now)
			now = piece_time(&piece[i]);
		rt_account_advance(shuffled->account, now);
	}
	assert_int_equal(rt_account_finish(shuffled->account, 100000, NULL)->late_records, 0);
	assert_true(k->n_cp > 100 && moved > 100);
	assert_int_equal(k->n_cp, shuffled->n_cp);
	for (size_t i = 0; i < k->n_cp; i++) {
		assert_int_equal(k->cp[i].cp.ts_ns, shuffled->cp[i].cp.ts_ns);
		assert_int_equal(k->cp[i].cp.total, shuffled->cp[i].cp.total);
		assert_int_equal(k->cp[i].cp.phase - k->phase, shuffled->cp[i].cp.phase - shuffled->phase);
	}
	free(piece);
	kit_free(k);
	kit_free(shuffled);
}

/* A sequence with everything in it: all kinds of records, several processes. */
static void record_everything(struct kit *k, struct model *m)
{
	uint32_t base, node;

	program_run(k, m, 40);
	kit_meta(k, 500, 1, RT_META_TITLE, "VLLM::EngineCore");
	kit_meta(k, 500, 1, RT_META_PYTHON, "3.11.7");
	kit_rename(k, 501, 1, 100, "vllm");
	kit_fork(k, 510, 2, 200, 1, 900);
	kit_thread(k, 511, 2, 201, 200);
	kit_thread(k, 512, 2, 202, 201);
	base = kit_base(k, 2);
	node = kit_node(k, 2, base, kit_code(k, 2, "outer", "app/main.py", 1), 2);
	kit_map(k, 16, RT_MAP_FILE, "model.safetensors");
	kit_map(k, 17, RT_MAP_SHMEM, "shm");
	kit_grow(k, 520, 2, 200, node, 10);
	kit_run(k, 520, 2, 200, .node = node, .delta = { [RT_FILE] = 30 }, .map = 16);
	kit_run(k, 520, 2, 200, .node = node, .delta = { [RT_SHMEM] = 40 }, .map = 17);
	kit_run(k, 521, 2, 202, .flags = RT_RUN_NO_PYTHON, .delta = { [RT_ANON] = 5 });
	kit_run(k, 522, 2, 200, .node = node, .flags = RT_RUN_ENTRY);
	kit_snap(k, 523, 2, 1);
	kit_proc(k, 524, (struct rt_rec_proc){ .birth = RT_BIRTH_FORK, .flags = RT_PROC_SHARES_MM, .pid = 300,
					       .parent_image = 2 }, 3);
	kit_run(k, 525, 2, 300, .node = node, .delta = { [RT_ANON] = 2 });
	kit_exec(k, 526, 4, 300, 3, 7);
	kit_meta(k, 527, 4, RT_META_MUTED, "");
	kit_exit(k, 528, 4, 300, 0, 0);
	kit_thread_exit(k, 529, 2, 201);
	kit_exec(k, 530, 5, 200, 2, 20);
	kit_exit(k, 540, 5, 200, 0, 0);
	kit_exit(k, 550, 1, 100, 0, 0);
}

static void check_strings(const struct rt_summary *s)
{
	for (size_t i = 0; i < s->n_procs; i++) {
		assert_true(strlen(s->procs[i].proc.name) < 8192);
		assert_true(strlen(s->procs[i].proc.cmdline) < 8192);
		for (size_t r = 0; r < s->procs[i].n_phases; r++)
			assert_true(s->procs[i].phases[r].call > 0 && s->procs[i].phases[r].path_len > 0);
		for (size_t r = 0; r < s->procs[i].n_phases; r++) {
			for (size_t m = 0; m < s->procs[i].phases[r].n_mappings; m++)
				assert_true(strlen(s->procs[i].phases[r].mappings[m].name) < 8192);
		}
		for (size_t o = 0; o < s->procs[i].n_stacks; o++)
			assert_true(s->procs[i].stacks[o].frame < s->n_frames && s->procs[i].stacks[o].phase <= s->procs[i].n_phases);
		for (size_t o = 0; o < s->procs[i].n_outside; o++)
			assert_true(strlen(s->procs[i].outside[o].module) < 8192);
	}
}

static void test_broken_records(void **state)
{
	struct kit *k = kit_new(NULL);
	struct model m = { .seed = 7 };
	struct piece *piece;
	size_t n;

	(void)state;
	record_everything(k, &m);
	n = tape_cut(k, &piece);
	for (int round = 0; round < 1500; round++) {
		struct kit *broken = kit_new(&(struct rt_account_config){
			.window_ns = round % 3 ? 20 : 0,
			.want_growth = round % 2,
			.want_mappings = round % 5 > 0,
			.want_stacks = round % 7 < 4,
		});
		uint32_t harm = 1 + any(&m, 40);

		for (size_t i = 0; i < n; i++) {
			/* exactly as long: one byte beyond it is an error to the sanitizer */
			uint8_t *copy = malloc(piece[i].len);
			size_t len = piece[i].len;

			assert_non_null(copy);
			memcpy(copy, piece[i].at, len);
			if (any(&m, 100) < harm)
				copy[any(&m, (uint32_t)len)] ^= (uint8_t)(1u << any(&m, 8));
			if (any(&m, 400) < harm)
				memset(copy + any(&m, (uint32_t)len - 8), any(&m, 2) ? 0xff : 0, 8);
			if (any(&m, 400) < harm)
				len = any(&m, (uint32_t)len);
			if (any(&m, 400) >= harm)
				rt_account_record(broken->account, copy, len);
			if (any(&m, 400) < harm)
				rt_account_record(broken->account, copy, len);
			free(copy);
			rt_account_advance(broken->account, piece_time(&piece[i]));
			if (any(&m, 400) < 2)
				rt_account_forget(broken->account, any(&m, k->next_node), any(&m, k->next_code));
		}
		check_strings(rt_account_finish(broken->account, 600, NULL));
		kit_free(broken);
	}
	free(piece);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_programs),
		cmocka_unit_test(test_shuffled),
		cmocka_unit_test(test_broken_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
