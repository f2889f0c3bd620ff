/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * account_kit.h - builds sequences of records for tests of the accounting core, and keeps what it tells.
 *
 * Sizes are pages, times are plain numbers; before[] of a run is the model's RSS of that image unless a test says
 * otherwise.
 */
#ifndef RT_ACCOUNT_KIT_H
#define RT_ACCOUNT_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "account.h"

#define PAGE 4096
#define P(pages) ((int64_t)(pages) * PAGE)
#define KIT_SEEN 4096
#define KIT_IMAGES 8192

enum kit_phase {
	KIT_OUTER,
	KIT_INNER,
	KIT_REC,
	KIT_TORCH,
	KIT_ENGINE,
	KIT_EXECUTOR,
	KIT_SCHEDULER,
	KIT_GHOST,
	KIT_NOREAD,
	KIT_NOSUCH,
	KIT_PHASES,
};

struct kit_checkpoint {
	struct rt_checkpoint_view cp;
	uint32_t pid;
};

struct kit_span {
	struct rt_phase_view ph;
	char path[256]; /* "outer/inner" */
	uint32_t pid;
	struct rt_mapping_view maps[21];
	size_t n_maps;
};

struct kit_event {
	enum rt_proc_event event;
	uint32_t pid, ppid;
	char name[64], cmdline[64];
	int64_t rss;
};

struct kit_growth {
	struct rt_growth_view g;
	uint32_t pid;
};

struct kit {
	struct rt_account *account;
	struct rt_phase phase[KIT_PHASES];
	struct rt_profile profile;
	struct kit_checkpoint cp[KIT_SEEN];
	struct kit_span span[KIT_SEEN];
	struct kit_event event[KIT_SEEN];
	struct kit_growth growth[KIT_SEEN];
	char stack[KIT_SEEN][256]; /* "function:line<function:line" innermost first */
	uint32_t stack_id[KIT_SEEN];
	size_t n_cp, n_span, n_event, n_growth, n_stack;
	uint32_t next_code, next_node;
	int64_t rss[KIT_IMAGES][RT_KINDS];
	const char *source; /* what read_source gives; NULL: -ENOENT */
	uint16_t pyversion; /* of code objects; 0: 3.11 */
	char plain[256];    /* what on_plain_name said: "phase name file;..." */
	int reads;
	/* A tape of all records given, for the test that mutates them. */
	uint8_t *tape;
	size_t tape_len, tape_cap;
	bool mute_tape;
};

static void kit_on_process(void *ctx, const struct rt_proc_view *proc, enum rt_proc_event event, uint64_t ts_ns)
{
	struct kit *k = ctx;
	struct kit_event *e = &k->event[k->n_event];

	(void)ts_ns;
	if (k->n_event >= KIT_SEEN)
		return;
	*e = (struct kit_event){ .event = event, .pid = proc->pid, .ppid = proc->ppid, .rss = proc->now.total };
	snprintf(e->name, sizeof(e->name), "%s", proc->name);
	snprintf(e->cmdline, sizeof(e->cmdline), "%s", proc->cmdline);
	k->n_event++;
}

static void kit_on_checkpoint(void *ctx, const struct rt_proc_view *proc, const struct rt_checkpoint_view *cp)
{
	struct kit *k = ctx;

	if (k->n_cp < KIT_SEEN)
		k->cp[k->n_cp++] = (struct kit_checkpoint){ .cp = *cp, .pid = proc->pid };
}

static void kit_on_phase(void *ctx, const struct rt_proc_view *proc, const struct rt_phase_view *phase)
{
	struct kit *k = ctx;
	struct kit_span *s = &k->span[k->n_span];
	size_t at = 0;

	if (k->n_span >= KIT_SEEN)
		return;
	*s = (struct kit_span){ .ph = *phase, .pid = proc->pid };
	s->ph.path = NULL;
	s->n_maps = phase->n_mappings;
	assert_in_range(s->n_maps, 0, 21);
	if (s->n_maps)
		memcpy(s->maps, phase->mappings, s->n_maps * sizeof(s->maps[0])); /* the names last as long as the account */
	for (size_t i = 0; i < phase->path_len && at < sizeof(s->path); i++)
		at += (size_t)snprintf(s->path + at, sizeof(s->path) - at, "%s%s", i ? "/" : "", phase->path[i]->id);
	k->n_span++;
}

static void kit_on_stack(void *ctx, uint32_t id, const struct rt_frame_view *frames, size_t count)
{
	struct kit *k = ctx;
	char *s = k->stack[k->n_stack];
	size_t at = 0;

	if (k->n_stack >= KIT_SEEN)
		return;
	s[0] = '\0';
	for (size_t i = 0; i < count && at < sizeof(k->stack[0]); i++)
		at += (size_t)snprintf(s + at, sizeof(k->stack[0]) - at, "%s%s:%d", i ? "<" : "", frames[i].function,
				       frames[i].line);
	k->stack_id[k->n_stack++] = id;
}

static void kit_on_growth(void *ctx, const struct rt_proc_view *proc, const struct rt_growth_view *growth)
{
	struct kit *k = ctx;

	if (k->n_growth < KIT_SEEN)
		k->growth[k->n_growth++] = (struct kit_growth){ .g = *growth, .pid = proc->pid };
}

static int kit_read_source(void *ctx, uint32_t image, uint32_t pid, const char *file, char **text, size_t *len)
{
	struct kit *k = ctx;

	(void)image;
	(void)pid;
	k->reads++;
	if (!k->source || strstr(file, "noread"))
		return -2;
	*text = strdup(k->source);
	*len = strlen(k->source);
	return *text ? 0 : -12;
}

static void kit_on_plain_name(void *ctx, const struct rt_phase *phase, const char *name, const char *file)
{
	struct kit *k = ctx;
	size_t used = strlen(k->plain);

	snprintf(k->plain + used, sizeof(k->plain) - used, "%s %s %s;", phase->id, name, file);
}

static inline void kit_phase(struct kit *k, enum kit_phase at, const char *id, const char *function, const char *file,
			     const char *statement)
{
	struct rt_phase *phase = &k->phase[at];

	phase->id = strdup(id);
	phase->functions = calloc(1, sizeof(char *));
	phase->functions[0] = strdup(function);
	phase->n_functions = 1;
	phase->files = calloc(1, sizeof(char *));
	phase->files[0] = strdup(file);
	phase->n_files = 1;
	phase->label.text[RT_LANG_ZH] = phase->label.text[RT_LANG_EN] = phase->id;
	if (!statement)
		return;
	phase->statements = calloc(1, sizeof(*phase->statements));
	phase->statements[0].source = strdup(statement);
	assert_int_equal(regcomp(&phase->statements[0].compiled, statement, REG_EXTENDED | REG_NOSUB), 0);
	phase->n_statements = 1;
}

static inline void kit_account(struct kit *k, const struct rt_account_config *options)
{
	struct rt_sink sink = {
		.ctx = k,
		.on_process = kit_on_process,
		.on_checkpoint = kit_on_checkpoint,
		.on_phase = kit_on_phase,
		.on_stack = kit_on_stack,
		.on_growth = kit_on_growth,
	};
	struct rt_account_config config = options ? *options : (struct rt_account_config){ 0 };

	config.profile = &k->profile;
	config.page_size = PAGE;
	config.read_source = kit_read_source;
	config.on_plain_name = kit_on_plain_name;
	config.ctx = k;
	k->account = rt_account_new(&config);
	assert_non_null(k->account);
	assert_int_equal(rt_account_add_sink(k->account, &sink), 0);
}

static inline struct kit *kit_new(const struct rt_account_config *options)
{
	struct kit *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	kit_phase(k, KIT_OUTER, "outer", "outer", "app/main.py", NULL);
	kit_phase(k, KIT_INNER, "inner", "inner", "app/main.py", NULL);
	kit_phase(k, KIT_REC, "rec", "rec", "app/main.py", NULL);
	kit_phase(k, KIT_TORCH, "import_torch", "<module>", "torch/__init__.py", NULL);
	kit_phase(k, KIT_ENGINE, "engine", "EngineCore.__init__", "v1/core.py", NULL);
	kit_phase(k, KIT_EXECUTOR, "executor", "EngineCore.__init__", "v1/core.py", "executor_class\\(");
	kit_phase(k, KIT_SCHEDULER, "scheduler", "EngineCore.__init__", "v1/core.py", "Scheduler\\(");
	kit_phase(k, KIT_GHOST, "ghost", "ghost", "app/main.py", NULL);
	kit_phase(k, KIT_NOREAD, "noread", "noread", "app/noread.py", "x");
	kit_phase(k, KIT_NOSUCH, "nosuch", "EngineCore.__init__", "v1/core.py", "no_such_statement");
	k->profile = (struct rt_profile){ .name = "kit", .phases = k->phase, .n_phases = KIT_PHASES };
	k->next_code = k->next_node = 1;
	kit_account(k, options);
	return k;
}

static inline void kit_free(struct kit *k)
{
	rt_account_free(k->account);
	for (int i = 0; i < KIT_PHASES; i++) {
		struct rt_phase *phase = &k->phase[i];

		free(phase->id);
		free(phase->functions[0]);
		free(phase->functions);
		free(phase->files[0]);
		free(phase->files);
		if (phase->n_statements) {
			regfree(&phase->statements[0].compiled);
			free(phase->statements[0].source);
		}
		free(phase->statements);
	}
	free(k->tape);
	free(k);
}

static inline void kit_tape(struct kit *k, const void *record, size_t size)
{
	uint32_t len = (uint32_t)size;

	while (k->tape_len + size + sizeof(len) > k->tape_cap) {
		k->tape_cap = k->tape_cap ? 2 * k->tape_cap : 4096;
		k->tape = realloc(k->tape, k->tape_cap);
		assert_non_null(k->tape);
	}
	memcpy(k->tape + k->tape_len, &len, sizeof(len));
	memcpy(k->tape + k->tape_len + sizeof(len), record, size);
	k->tape_len += sizeof(len) + size;
}

static inline int kit_give(struct kit *k, void *record, size_t size, enum rt_type type, uint64_t ts, uint32_t image,
			   uint32_t tid)
{
	struct rt_hdr *h = record;

	*h = (struct rt_hdr){ .type = type, .size = (uint32_t)size, .ts_ns = ts, .image = image, .tid = tid };
	if (!k->mute_tape)
		kit_tape(k, record, size);
	return rt_account_record(k->account, record, size);
}

static inline void kit_proc(struct kit *k, uint64_t ts, struct rt_rec_proc rec, uint32_t image)
{
	if (!(rec.flags & RT_PROC_SHARES_MM)) {
		for (int i = 0; i < RT_KINDS; i++)
			k->rss[image][i] = (int64_t)rec.pages[i];
	}
	if (!rec.comm[0])
		strcpy(rec.comm, "python");
	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_PROC, ts, image, rec.pid), 0);
}

#define kit_attach(k, ts, image_, pid_, anon)                                                  \
	kit_proc(k, ts,                                                                        \
		 (struct rt_rec_proc){                                                         \
			 .birth = RT_BIRTH_ATTACH,                                             \
			 .pid = pid_,                                                          \
			 .ppid = 1,                                                            \
			 .pages = { [RT_ANON] = anon },                                        \
		 },                                                                            \
		 image_)
#define kit_fork(k, ts, image_, pid_, parent_, anon)                                           \
	kit_proc(k, ts,                                                                        \
		 (struct rt_rec_proc){                                                         \
			 .birth = RT_BIRTH_FORK,                                               \
			 .pid = pid_,                                                          \
			 .parent_image = parent_,                                              \
			 .pages = { [RT_ANON] = anon },                                        \
		 },                                                                            \
		 image_)
#define kit_exec(k, ts, image_, pid_, prev_, anon)                                             \
	kit_proc(k, ts,                                                                        \
		 (struct rt_rec_proc){                                                         \
			 .birth = RT_BIRTH_EXEC,                                               \
			 .pid = pid_,                                                          \
			 .prev_image = prev_,                                                  \
			 .pages = { [RT_ANON] = anon },                                        \
		 },                                                                            \
		 image_)

/* `exact` differs from the model's total by `off` pages. */
static inline void kit_exit(struct kit *k, uint64_t ts, uint32_t image, uint32_t pid, uint32_t status, int64_t off)
{
	struct rt_rec_exit rec = { .pid = pid, .wait_status = status, .have_exact = 1 };

	for (int i = 0; i < RT_KINDS; i++)
		rec.pages[i] = rec.exact[i] = (uint64_t)k->rss[image][i];
	rec.exact[RT_ANON] += (uint64_t)off;
	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_EXIT, ts, image, pid), 0);
}

static inline void kit_snap(struct kit *k, uint64_t ts, uint32_t image, int64_t off)
{
	struct rt_rec_snap rec = { .peak_pages = 0 };

	for (int i = 0; i < RT_KINDS; i++)
		rec.pages[i] = rec.exact[i] = (uint64_t)k->rss[image][i];
	rec.exact[RT_ANON] += (uint64_t)off;
	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_SNAP, ts, image, 0), 0);
}

static inline void kit_thread(struct kit *k, uint64_t ts, uint32_t image, uint32_t tid, uint32_t creator)
{
	struct rt_rec_thread rec = { .creator = creator };

	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_THREAD, ts, image, tid), 0);
}

static inline void kit_thread_exit(struct kit *k, uint64_t ts, uint32_t image, uint32_t tid)
{
	struct rt_rec_thread rec = { .creator = 0 };

	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_THREAD_EXIT, ts, image, tid), 0);
}

static inline void kit_rename(struct kit *k, uint64_t ts, uint32_t image, uint32_t tid, const char *comm)
{
	struct rt_rec_rename rec = { .comm = { 0 } };

	snprintf(rec.comm, sizeof(rec.comm), "%s", comm);
	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_RENAME, ts, image, tid), 0);
}

static inline void kit_meta(struct kit *k, uint64_t ts, uint32_t image, enum rt_meta key, const char *text)
{
	uint8_t buf[512] = { 0 };
	struct rt_rec_meta rec = { .key = key, .len = (uint32_t)strlen(text) };

	memcpy(buf, &rec, sizeof(rec));
	memcpy(buf + sizeof(rec), text, rec.len);
	assert_int_equal(kit_give(k, buf, (sizeof(rec) + rec.len + 7) & ~7ul, RT_REC_META, ts, image, 0), 0);
}

static inline uint32_t kit_code_table(struct kit *k, uint32_t image, const char *qualname, const char *file,
				      int firstlineno, const uint8_t *table, size_t table_len)
{
	uint8_t buf[2048] = { 0 };
	struct rt_rec_code rec = {
		.id = k->next_code++,
		.firstlineno = firstlineno,
		.qualname_len = (uint16_t)strlen(qualname),
		.file_len = (uint16_t)strlen(file),
		.table_len = (uint16_t)table_len,
		.qualname_width = 1,
		.file_width = 1,
		.pyversion = k->pyversion ? k->pyversion : 0x30b,
	};
	size_t tail_len = rec.qualname_len + rec.file_len + table_len;
	uint8_t *tail = buf + sizeof(rec);

	memcpy(buf, &rec, sizeof(rec));
	memcpy(tail, qualname, rec.qualname_len);
	memcpy(tail + rec.qualname_len, file, rec.file_len);
	if (table_len)
		memcpy(tail + rec.qualname_len + rec.file_len, table, table_len);
	assert_int_equal(kit_give(k, buf, (sizeof(rec) + tail_len + 7) & ~7ul, RT_REC_CODE, 0, image, 0), 0);
	return rec.id;
}

static inline uint32_t kit_code(struct kit *k, uint32_t image, const char *qualname, const char *file, int firstlineno)
{
	return kit_code_table(k, image, qualname, file, firstlineno, NULL, 0);
}

static inline uint32_t kit_node(struct kit *k, uint32_t image, uint32_t parent, uint32_t code, uint32_t instr)
{
	struct rt_rec_node rec = { .id = k->next_node++, .parent = parent, .code = code, .instr = instr };

	assert_int_equal(kit_give(k, &rec, sizeof(rec), RT_REC_NODE, 0, image, 0), 0);
	return rec.id;
}

/* A file directly below the root. */
static inline uint32_t kit_map(struct kit *k, uint32_t id, enum rt_map_kind kind, const char *name)
{
	uint8_t buf[512] = { 0 };
	struct rt_rec_map rec = { .id = id, .kind = kind, .dev = 1, .ino = id, .len = (uint32_t)strlen(name) + 1 };

	memcpy(buf, &rec, sizeof(rec));
	memcpy(buf + sizeof(rec), name, rec.len);
	assert_int_equal(kit_give(k, buf, (sizeof(rec) + rec.len + 7) & ~7ul, RT_REC_MAP, 0, 1, 0), 0);
	return id;
}

/* A root, and on it the frame of app/main.py's module body. */
static inline uint32_t kit_base(struct kit *k, uint32_t image)
{
	uint32_t root = kit_node(k, image, 0, RT_CODE_ROOT, 0);

	return kit_node(k, image, root, kit_code(k, image, "<module>", "app/main.py", 1), 2);
}

/* A run as the test describes it; what it leaves 0 is filled in from the model. */
static inline int kit_run_rec(struct kit *k, uint64_t ts, uint32_t image, uint32_t tid, struct rt_rec_run rec)
{
	bool given = rec.before[RT_FILE] || rec.before[RT_ANON] || rec.before[RT_SHMEM];
	uint64_t total = 0;

	for (int i = 0; i < RT_KINDS; i++) {
		if (!given)
			rec.before[i] = (uint64_t)k->rss[image][i];
		if (!rec.gained[i] && rec.delta[i] > 0)
			rec.gained[i] = (uint32_t)rec.delta[i];
		k->rss[image][i] += rec.delta[i];
		total += rec.before[i] + (rec.delta[i] > 0 ? (uint64_t)rec.delta[i] : 0);
	}
	if (!rec.max_pages)
		rec.max_pages = total;
	if (!rec.last_ns)
		rec.last_ns = ts;
	rec.events = 1;
	return kit_give(k, &rec, sizeof(rec), RT_REC_RUN, ts, image, tid);
}

#define kit_run(k, ts, image, tid, ...) \
	assert_int_equal(kit_run_rec(k, ts, image, tid, (struct rt_rec_run){ __VA_ARGS__ }), 0)
#define kit_grow(k, ts, image, tid, node_, pages_) \
	kit_run(k, ts, image, tid, .node = node_, .delta = { [RT_ANON] = pages_ })

static inline const struct rt_phase_view *kit_row(const struct rt_proc_summary *proc, const char *path)
{
	for (size_t i = 0; i < proc->n_phases; i++) {
		char buf[256] = "";
		size_t at = 0;

		for (size_t p = 0; p < proc->phases[i].path_len; p++)
			at += (size_t)snprintf(buf + at, sizeof(buf) - at, "%s%s", p ? "/" : "",
					       proc->phases[i].path[p]->id);
		if (!strcmp(buf, path))
			return &proc->phases[i];
	}
	fail_msg("no row %s", path);
	return NULL;
}

static inline int64_t kit_outside(const struct rt_proc_summary *proc, const char *module)
{
	for (size_t i = 0; i < proc->n_outside; i++) {
		if (!strcmp(proc->outside[i].module, module))
			return proc->outside[i].net.total;
	}
	return INT64_MIN;
}

/* Everything charged to the process: must be its RSS change. */
static inline int64_t kit_charged(const struct rt_proc_summary *proc)
{
	int64_t sum = proc->outside_net;

	for (size_t i = 0; i < proc->n_phases; i++)
		sum += proc->phases[i].own;
	for (int c = 0; c < RT_CAUSES; c++)
		sum += proc->cause_net[c];
	return sum;
}

#endif
