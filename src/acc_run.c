/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include <string.h>

#include "acc_span.h"

/* What a run says of its thread's stack. */
enum rt_look {
	RT_LOOK_STACK,	/* it is in this path */
	RT_LOOK_NONE,	/* it has no Python frame */
	RT_LOOK_BLIND,	/* not known */
};

/* A run on its way through the rules. */
struct rt_change {
	const struct rt_rec_run *run;
	struct rt_image *image;
	struct rt_process *proc;
	struct rt_thread *thread; /* NULL: too many threads */
	int64_t before[RT_KINDS];
	struct rt_charge charge;
	int64_t net;
	enum rt_look look;
	uint32_t path;
	bool foreign; /* a vfork child's thread, on the memory of its parent's image */
	bool late;    /* the image has gone on already */
};

enum rt_whose { RT_WHOSE_OWN, RT_WHOSE_CREATOR, RT_WHOSE_ONLY, RT_WHOSE_NOBODY };

struct rt_owner {
	enum rt_whose whose;
	struct rt_thread *thread;
	size_t depth; /* of its spans */
};

static bool rt_charge_empty(const struct rt_charge *charge)
{
	return !charge->delta[RT_FILE] && !charge->delta[RT_ANON] && !charge->delta[RT_SHMEM] && !charge->gained &&
	       !charge->released && !charge->minor_faults && !charge->major_faults;
}

static void rt_change_read(const struct rt_account *account, struct rt_change *change)
{
	const struct rt_rec_run *run = change->run;
	struct rt_charge *charge = &change->charge;

	rt_pages_read(change->before, run->before);
	for (int k = 0; k < RT_KINDS; k++) {
		int64_t released = (int64_t)run->gained[k] - run->delta[k];

		charge->delta[k] = run->delta[k];
		charge->gained += run->gained[k];
		charge->released += released > 0 ? released : 0;
	}
	charge->reused = run->reused;
	charge->minor_faults = run->minflt;
	charge->major_faults = run->majflt;
	if (account->config.want_mappings)
		charge->mapping = rt_mappings_get(&account->mappings, run->map);
	change->net = rt_pages_total(charge->delta);
}

static void rt_change_look(struct rt_account *account, struct rt_change *change)
{
	const struct rt_rec_run *run = change->run;

	change->look = RT_LOOK_BLIND;
	if (run->flags & (RT_RUN_UNREADABLE | RT_RUN_BUSY))
		return;
	if (run->flags & (RT_RUN_NO_PYTHON | RT_RUN_NOT_YET)) {
		change->look = RT_LOOK_NONE;
		return;
	}
	change->path = run->node ? rt_stacks_path(&account->stacks, run->node) : RT_PATH_UNKNOWN;
	if (change->path == RT_PATH_UNKNOWN) {
		account->lost_stacks++;
		return;
	}
	change->look = RT_LOOK_STACK;
	change->proc->python_seen = true;
}

/* Finds the run's thread. One that is on record in another process either shares that one's parent's memory, or its
 * end was lost. */
static void rt_change_thread(struct rt_account *account, struct rt_change *change)
{
	const struct rt_rec_run *run = change->run;
	struct rt_thread *thread = rt_thread_find(&account->procs, run->h.tid);

	if (thread && thread->proc != change->proc) {
		const struct rt_image *image = thread->proc->image;

		if (image && image->shares_mm) {
			change->foreign = true;
		} else {
			account->lost_records++;
			rt_life_drop_thread(account, thread, run->h.ts_ns);
			thread = NULL;
		}
	}
	if (!thread)
		thread = rt_thread_get(&account->procs, run->h.tid, change->proc, change->proc->start_ns);
	if (!thread)
		account->lost_stacks++;
	change->thread = thread;
}

/* Where the thread's last stack had the same call of this function: its line, 0 if it was not on it. */
static int rt_pass_line_before(struct rt_account *account, const struct rt_stack_part *old, size_t n, const struct rt_stack_part *frame)
{
	for (size_t i = 0; i < n; i++) {
		/* What was sent again has another number: a stack that was evicted, all code objects in a vfork child on its parent's thread. */
		if (rt_code_same(old[i].code, frame->code) && rt_stacks_same(&account->stacks, old[i].parent, frame->parent))
			return old[i].line;
	}
	return 0;
}

/* Statements that a function on the stack has run since the last look, unseen because no page changed in them and nothing else looked: those of
 * its body between the line it was at (or its begin) and the line where it is now. Their spans begin and end now, with a change of 0: exact, because
 * every change is a look. */
static void rt_change_passed(struct rt_account *account, struct rt_change *change, const struct rt_moment *moment)
{
	struct rt_stack_part old[RT_STACK_PARTS], new[RT_STACK_PARTS];
	uint32_t old_root = 0, root = 0, want[RT_PATH_DEPTH];
	size_t n_old, n;

	if (change->look != RT_LOOK_STACK || !(change->run->flags & RT_RUN_EDGE) || !change->thread->node)
		return;
	n = rt_stacks_parts(&account->stacks, change->run->node, new, &root);
	if (!n)
		return;
	n_old = rt_stacks_parts(&account->stacks, change->thread->node, old, &old_root);
	if (!root || root != old_root)
		return; /* another generation of the trie: not to be compared */
	while (n-- > 0) { /* outermost first */
		const struct rt_match *match = new[n].code->match;
		int before = rt_pass_line_before(account, old, n_old, &new[n]);

		for (size_t i = 0; new[n].line > 0 && i < match->n_part; i++) {
			const struct rt_line_range *lines = &match->part[i].lines;
			uint32_t path;

			if (!lines->always || lines->first <= before || lines->last >= new[n].line)
				continue;
			path = rt_stacks_part_path(&account->stacks, &new[n], i);
			if (path != RT_PATH_UNKNOWN)
				rt_spans_follow(account, change->thread, want,
						rt_path_elements(&account->stacks.paths, path, want), SIZE_MAX, moment);
		}
	}
}

/* Closes and opens spans as the look says. */
static void rt_change_edges(struct rt_account *account, struct rt_change *change)
{
	const struct rt_rec_run *run = change->run;
	struct rt_thread *thread = change->thread;
	uint32_t want[RT_PATH_DEPTH];
	struct rt_moment moment = { .ts_ns = run->h.ts_ns };
	size_t n = 0, keep = SIZE_MAX;

	if (!thread || change->foreign || change->proc->muted || change->look == RT_LOOK_BLIND)
		return;
	if (change->late && thread->seen_ns > run->h.ts_ns)
		return; /* it has been seen somewhere else since */
	if (change->look == RT_LOOK_STACK)
		n = rt_path_elements(&account->stacks.paths, change->path, want);
	if (!n && !thread->n_spans && !(run->flags & RT_RUN_EDGE))
		return;
	moment.seen_ns = run->prev_seen_ns && run->prev_seen_ns <= run->h.ts_ns ? run->prev_seen_ns : 0;
	if (thread->seen_ns > moment.seen_ns)
		moment.seen_ns = thread->seen_ns;
	if (!moment.seen_ns)
		moment.seen_ns = thread->born_ns;
	memcpy(moment.pages, change->before, sizeof(moment.pages));
	if (run->flags & RT_RUN_EXIT) {
		const struct rt_code *code = rt_codes_find(&account->stacks.codes, run->code);

		moment.left = code ? code->match : NULL;
	}
	rt_change_passed(account, change, &moment);
	if (run->flags & RT_RUN_ENTRY && n) {
		keep = rt_stacks_depth_outside(&account->stacks, run->node);
		if (keep >= n)
			keep = SIZE_MAX; /* the function entered is no phase, or one that is open further out */
	}
	rt_spans_follow(account, thread, want, n, keep, &moment);
}

/* Spans that a vfork child's stack, a copy of its parent's thread's, lies in. */
static struct rt_owner rt_owner_foreign(struct rt_account *account, const struct rt_change *change)
{
	struct rt_owner owner = { .whose = RT_WHOSE_NOBODY };
	uint32_t want[RT_PATH_DEPTH];
	size_t n = change->look == RT_LOOK_STACK ? rt_path_elements(&account->stacks.paths, change->path, want) : 0;

	for (struct rt_thread *at = change->proc->phase_threads; at; at = at->next_phase) {
		size_t common = 0;

		while (common < n && common < at->n_spans && at->span[common]->path == want[common])
			common++;
		if (common > owner.depth)
			owner = (struct rt_owner){ .whose = RT_WHOSE_OWN, .thread = at, .depth = common };
	}
	return owner;
}

/* The rule of whose phase it is: its own, its creators', the only one there is. */
static struct rt_owner rt_owner_of(struct rt_process *proc, struct rt_thread *thread)
{
	struct rt_owner owner = { .whose = RT_WHOSE_NOBODY };
	struct rt_thread *up;
	int hops = 0;

	if (!proc->phase_threads)
		return owner;
	if (thread && thread->n_spans)
		return (struct rt_owner){ .whose = RT_WHOSE_OWN, .thread = thread, .depth = thread->n_spans };
	for (up = thread ? rt_thread_creator(thread) : NULL; up && up->proc == proc && hops++ < RT_HOPS_MAX;
	     up = rt_thread_creator(up)) {
		if (up->n_spans)
			return (struct rt_owner){ .whose = RT_WHOSE_CREATOR, .thread = up, .depth = up->n_spans };
	}
	up = proc->phase_threads;
	if (!up->next_phase)
		return (struct rt_owner){ .whose = RT_WHOSE_ONLY, .thread = up, .depth = up->n_spans };
	return owner;
}

const struct rt_span *rt_run_owner(struct rt_process *proc, struct rt_thread *thread)
{
	struct rt_owner owner = rt_owner_of(proc, thread);

	return owner.depth ? owner.thread->span[owner.depth - 1] : NULL;
}

static struct rt_owner rt_change_owner(struct rt_account *account, const struct rt_change *change)
{
	struct rt_owner owner = { .whose = RT_WHOSE_NOBODY };

	if (change->foreign && change->proc->phase_threads)
		owner = rt_owner_foreign(account, change);
	return owner.depth ? owner : rt_owner_of(change->proc, change->foreign ? NULL : change->thread);
}

/* What a charge outside any phase is put under; the text is borrowed. */
static struct rt_text *rt_change_module(struct rt_account *account, const struct rt_change *change)
{
	struct rt_text *module = NULL;

	if (change->look == RT_LOOK_STACK)
		module = rt_stacks_module(&account->stacks, change->run->node);
	if (module)
		return module;
	if (change->run->flags & RT_RUN_NOT_YET)
		return account->word[RT_WORD_START];
	if (change->look != RT_LOOK_NONE)
		return account->word[RT_WORD_UNREADABLE];
	if (change->proc->python_seen && change->run->h.tid != change->proc->pid)
		return account->word[RT_WORD_HELPER];
	return account->word[RT_WORD_NO_PYTHON];
}

static void rt_change_charge(struct rt_account *account, const struct rt_change *change, const struct rt_owner *owner)
{
	struct rt_process *proc = change->proc;
	const struct rt_charge *charge = &change->charge;

	if (rt_charge_empty(charge))
		return;
	if (owner->whose != RT_WHOSE_NOBODY) {
		rt_spans_charge(owner->thread, owner->depth, charge, owner->whose != RT_WHOSE_OWN);
		if (owner->whose == RT_WHOSE_CREATOR)
			proc->by_creator += change->net;
		if (owner->whose == RT_WHOSE_ONLY)
			proc->by_only += change->net;
		return;
	}
	if (proc->phase_threads)
		proc->ambiguous += change->net;
	rt_outside_charge(&proc->outside, rt_change_module(account, change), charge->delta, charge->gained,
			  charge->released);
}

/* Where the pages moved, as a place in the trie of sums: a stack, or a word for what has none. */
static uint32_t rt_change_frame(struct rt_account *account, const struct rt_change *change)
{
	static const char *const cause[RT_CAUSES] = {[RT_CAUSE_RECLAIM] = "<reclaim>", [RT_CAUSE_KHUGEPAGED] = "<khugepaged>", [RT_CAUSE_REMOTE] = "<remote>"};
	const struct rt_rec_run *run = change->run;
	struct rt_text *word;
	uint32_t frame;

	if (run->cause == RT_CAUSE_SELF) {
		if (change->look == RT_LOOK_STACK)
			return rt_stacks_sum_frame(&account->stacks, &account->frames, run->node);
		return rt_sum_frame(&account->frames, RT_SUM_ROOT, rt_change_module(account, change), NULL, 0);
	}
	word = rt_text_get(&account->texts, cause[run->cause], strlen(cause[run->cause]));
	frame = word ? rt_sum_frame(&account->frames, RT_SUM_ROOT, word, NULL, 0) : RT_SUM_OTHERS;
	rt_text_put(&account->texts, word);
	return frame;
}

/* Adds the change to its stack's sum, under the phase that was charged. */
static void rt_change_sum(struct rt_account *account, const struct rt_change *change, const struct rt_owner *owner)
{
	const struct rt_charge *charge = &change->charge;
	struct rt_sum_row row = { .mapping = charge->mapping };

	if (!account->config.want_stacks || (!charge->gained && !charge->released))
		return;
	for (int k = 0; k < RT_KINDS; k++) {
		row.gained[k] = change->run->gained[k];
		row.released[k] = row.gained[k] - charge->delta[k];
		if (row.released[k] < 0) /* no sane run; its net is what counts */
			row.gained[k] = charge->delta[k], row.released[k] = 0;
	}
	for (size_t depth = owner->depth; depth && !row.phase; depth--)
		row.phase = owner->thread->span[depth - 1]->row;
	row.frame = rt_change_frame(account, change);
	if (rt_stacksum_charge(&change->proc->stacks, &account->frames, &row))
		account->lost_stacks++;
}

static void rt_change_tell_stack(struct rt_account *account, uint32_t id)
{
	struct rt_node *node = rt_nodes_find(&account->stacks.nodes, id);
	const struct rt_frame_view *frames;
	size_t n;

	if (!node || node->tag & RT_NODE_SENT)
		return;
	node->tag |= RT_NODE_SENT;
	n = rt_stacks_frames(&account->stacks, id, &frames);
	rt_account_tell(account, on_stack, id, frames, n);
}

/* What of this stack's trie is not known outside yet, callers first: each frame is looked up once, however many stacks go through it. */
static void rt_change_tell_nodes(struct rt_account *account, uint32_t id)
{
	uint32_t ids[RT_STACK_FRAMES], parent = 0;
	size_t n = rt_stacks_untold(&account->stacks, id, ids);
	struct rt_frame_view frame;

	while (n-- > 0) {
		if (rt_stacks_node_frame(&account->stacks, ids[n], &parent, &frame))
			rt_account_tell(account, on_node, ids[n], parent, &frame);
	}
}

static void rt_change_growth(struct rt_account *account, const struct rt_change *change, const struct rt_owner *owner)
{
	const struct rt_span *span = owner->depth ? owner->thread->span[owner->depth - 1] : NULL;
	struct rt_growth_view view = { .ts_ns = change->run->h.ts_ns, .tid = change->run->h.tid, .cause = (enum rt_cause)change->run->cause };
	const struct rt_phase *path[RT_PATH_DEPTH];
	uint32_t ids[RT_PATH_DEPTH];
	int64_t gained[RT_KINDS];
	struct rt_proc_view proc_view;

	if (!account->config.want_growth || change->proc->muted ||
	    (!change->charge.delta[RT_FILE] && !change->charge.delta[RT_ANON] && !change->charge.delta[RT_SHMEM] && !change->charge.gained))
		return;
	for (int k = 0; k < RT_KINDS; k++) /* a kind cannot end up by more than it gained: charge.released has it the same way */
		gained[k] = change->run->gained[k] > change->charge.delta[k] ? change->run->gained[k] : change->charge.delta[k];
	view.delta = rt_account_sizes(account, change->charge.delta);
	view.gained = rt_account_sizes(account, gained);
	if (change->run->cause == RT_CAUSE_SELF && change->look == RT_LOOK_STACK) {
		if (rt_account_heard(account, on_stack))
			rt_change_tell_stack(account, change->run->node);
		if (rt_account_heard(account, on_node))
			rt_change_tell_nodes(account, change->run->node);
		view.stack = change->run->node;
	} else if (change->run->cause == RT_CAUSE_SELF) {
		view.instead = rt_change_module(account, change)->s;
	}
	if (span) {
		view.phase = &account->config.profile->phases[span->phase];
		view.path_len = rt_path_elements(&account->stacks.paths, span->path, ids);
		for (size_t i = 0; i < view.path_len; i++)
			path[i] = &account->config.profile->phases[account->stacks.paths.path[ids[i]].phase];
		view.path = path;
	}
	if (change->charge.mapping) {
		view.mapping = change->charge.mapping->name->s;
		view.mapping_kind = change->charge.mapping->kind;
	}
	rt_proc_view(change->proc, account->config.page_size, &proc_view);
	rt_account_tell(account, on_growth, &proc_view, &view);
}

/* A late run is of the past: what is known of now does not change by it. */
static void rt_change_tell_rss(struct rt_account *account, const struct rt_change *change)
{
	struct rt_proc_view view;

	if (!change->net && !change->charge.delta[RT_FILE] && !change->charge.delta[RT_ANON] && !change->charge.delta[RT_SHMEM])
		return;
	rt_proc_view(change->proc, account->config.page_size, &view);
	rt_account_tell(account, on_rss, &view, change->image->busy_ns);
}

/* Totals: what the kernel says beats what was added up, wherever no other change can be under way. */
static void rt_change_resync(struct rt_change *change)
{
	struct rt_image *image = change->image;
	const struct rt_rec_run *run = change->run;

	if (!change->late && run->h.ts_ns >= image->busy_ns && !image->shares_mm)
		rt_proc_set_rss(change->proc, change->before, true);
	if (run->last_ns > image->busy_ns)
		image->busy_ns = run->last_ns;
	if (run->h.ts_ns > image->busy_ns)
		image->busy_ns = run->h.ts_ns;
	image->sum += change->net;
	if (change->proc->checked && image->snap_ns && run->h.ts_ns < image->snap_ns)
		change->proc->unaccounted -= change->net;
}

static void rt_change_total(struct rt_change *change)
{
	const struct rt_rec_run *run = change->run;
	int64_t now[RT_KINDS], most = rt_pages_total(change->before);

	for (int k = 0; k < RT_KINDS; k++)
		now[k] = change->proc->rss[k] + change->charge.delta[k];
	if (run->max_pages < (uint64_t)RT_PAGES_MAX && (int64_t)run->max_pages > most)
		most = (int64_t)run->max_pages;
	rt_spans_peak(change->proc, most);
	if (!change->image->shares_mm)
		rt_proc_reached(change->proc, most);
	rt_proc_set_rss(change->proc, now, true);
}

/* A run of an image that is over: it still counts, but no edge and no total of now can follow from it. */
static void rt_change_posthumous(struct rt_account *account, struct rt_change *change)
{
	const struct rt_owner nobody = { .whose = RT_WHOSE_NOBODY };
	struct rt_process *proc = change->proc;

	if (change->image->ended && proc->checked)
		proc->unaccounted -= change->net;
	change->look = RT_LOOK_BLIND;
	if (change->run->cause != RT_CAUSE_SELF) {
		proc->cause[change->run->cause] += change->net;
		rt_change_sum(account, change, &nobody);
		return;
	}
	rt_change_look(account, change);
	rt_change_sum(account, change, &nobody);
	rt_outside_charge(&proc->outside, rt_change_module(account, change), change->charge.delta,
			  change->charge.gained, change->charge.released);
}

void rt_run_apply(struct rt_account *account, const struct rt_rec_run *run)
{
	struct rt_change change = { .run = run, .image = rt_image_find(&account->procs, run->h.image) };
	struct rt_owner owner = { .whose = RT_WHOSE_NOBODY };

	if (!change.image || !change.image->proc) {
		account->lost_records++;
		return;
	}
	change.proc = change.image->proc;
	rt_change_read(account, &change);
	change.late = run->h.ts_ns < change.image->applied_ns;
	if (change.late)
		account->late_records++;
	else
		change.image->applied_ns = run->h.ts_ns;
	if (change.image->ended || change.image->replaced) {
		rt_change_posthumous(account, &change);
		return;
	}
	rt_change_resync(&change);
	if (run->cause == RT_CAUSE_SELF) {
		rt_change_look(account, &change);
		rt_change_thread(account, &change);
		rt_change_edges(account, &change);
		if (change.thread && !change.foreign && change.look == RT_LOOK_STACK)
			change.thread->node = run->node;
		owner = rt_change_owner(account, &change);
		rt_change_charge(account, &change, &owner);
	} else {
		change.proc->cause[run->cause] += change.net;
	}
	rt_change_sum(account, &change, &owner);
	rt_change_total(&change);
	rt_change_tell_rss(account, &change);
	rt_change_growth(account, &change, &owner);
	if (change.thread && !change.foreign) {
		uint64_t last = run->last_ns > run->h.ts_ns ? run->last_ns : run->h.ts_ns;

		if (last > change.thread->seen_ns)
			change.thread->seen_ns = last;
	}
}
