/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_core.h - the account itself, shared by the files that apply records to it.
 *
 *	account.c   records in: checked, sorted by time, handed out
 *	acc_life    processes and threads come and go
 *	acc_run     changes: edges of phases, and whose the pages are
 *	acc_span    open phases
 *	acc_native  calls of native functions
 *	acc_oom     processes that the OOM killer chose
 *	acc_summary the end
 */
#ifndef RT_ACC_CORE_H
#define RT_ACC_CORE_H

#include "acc_mapping.h"
#include "acc_native.h"
#include "acc_order.h"
#include "acc_proc.h"
#include "acc_stack.h"
#include "account.h"

#define RT_SINKS 16
#define RT_PAGES_MAX (1ll << 36) /* 256 TiB of 4 KiB pages: more is nonsense, and sums of it must not overflow */

enum rt_word { /* what stands in the place of a module's name */
	RT_WORD_HELPER,
	RT_WORD_START,
	RT_WORD_UNREADABLE,
	RT_WORD_NO_PYTHON,
	RT_WORDS,
};

struct rt_block; /* memory of the summary */

struct rt_account {
	struct rt_account_config config;
	struct rt_sink sink[RT_SINKS];
	size_t n_sinks;
	struct rt_account_tap tap;
	struct rt_texts texts;
	struct rt_stacks stacks;
	struct rt_order order;
	struct rt_procs procs;
	struct rt_mappings mappings;
	struct rt_natives natives;
	struct rt_sum_frames frames; /* if config.want_stacks */
	/* image -> pid, from the moment its record arrives: sources are read before it is applied */
	struct rt_map pids;
	struct rt_text *word[RT_WORDS];
	/* A process or image whose beginning is still to be told: what user space knows of it (title, executable, Python) comes with the same time, right after it. */
	struct {
		struct rt_process *proc; /* NULL: none */
		enum rt_proc_event event;
		uint64_t ts_ns;
	} born;
	uint64_t first_ns, applied_ns; /* oldest and newest time applied */
	uint64_t newest_ns;	       /* newest time given */
	bool begun, finished;
	uint64_t lost_records, lost_stacks, late_records;
	struct rt_summary summary;
	struct rt_block *blocks;
};

/* Tells the outputs; `call` is a member of struct rt_sink. */
#define rt_account_tell(account, call, ...)                                                        \
	do {                                                                                       \
		for (size_t sink_ = 0; sink_ < (account)->n_sinks; sink_++) {                      \
			const struct rt_sink *to_ = &(account)->sink[sink_];                       \
			if (to_->call)                                                             \
				to_->call(to_->ctx, __VA_ARGS__);                                  \
		}                                                                                  \
	} while (0)

/* Does any output want `call`? What is dear to make is made only then. */
#define rt_account_heard(account, call)                                                            \
	({                                                                                         \
		bool heard_ = false;                                                               \
		for (size_t sink_ = 0; sink_ < (account)->n_sinks; sink_++)                        \
			heard_ |= (account)->sink[sink_].call != NULL;                             \
		heard_;                                                                            \
	})

static inline int64_t rt_account_bytes(const struct rt_account *account, int64_t pages)
{
	return rt_bytes(pages, account->config.page_size);
}

static inline struct rt_sizes rt_account_sizes(const struct rt_account *account, const int64_t pages[RT_KINDS])
{
	struct rt_sizes sizes = { .total = rt_account_bytes(account, rt_pages_total(pages)) };

	for (int k = 0; k < RT_KINDS; k++)
		sizes.kind[k] = rt_account_bytes(account, pages[k]);
	return sizes;
}

/* Totals of an address space as a record has them. */
static inline void rt_pages_read(int64_t to[RT_KINDS], const uint64_t from[RT_KINDS])
{
	for (int k = 0; k < RT_KINDS; k++)
		to[k] = from[k] < (uint64_t)RT_PAGES_MAX ? (int64_t)from[k] : RT_PAGES_MAX;
}

/* Tells of a beginning that waits to be told. */
void rt_life_born(struct rt_account *account);

/* acc_life.c, acc_run.c: apply one record, checked for size and aligned. What cannot be applied is counted. */
void rt_life_proc(struct rt_account *account, const struct rt_rec_proc *rec);
void rt_life_exit(struct rt_account *account, const struct rt_rec_exit *rec);
void rt_life_thread(struct rt_account *account, const struct rt_rec_thread *rec);
void rt_life_thread_exit(struct rt_account *account, const struct rt_rec_thread *rec);
void rt_life_rename(struct rt_account *account, const struct rt_rec_rename *rec);
void rt_life_snap(struct rt_account *account, const struct rt_rec_snap *rec);
void rt_life_meta(struct rt_account *account, const struct rt_rec_meta *rec);
void rt_life_opening(struct rt_account *account, const struct rt_rec_opening *rec);
void rt_run_apply(struct rt_account *account, const struct rt_rec_run *run);

/* acc_native.c */
void rt_native_apply(struct rt_account *account, const struct rt_rec_native *rec);
void rt_native_enter(struct rt_account *account, const struct rt_rec_native_enter *rec);

/* acc_oom.c */
void rt_oom_apply(struct rt_account *account, const struct rt_rec_oom *rec);
/* The process as the OOM killer's choice, as the outputs see it: proc->oom must be set. */
struct rt_oom_view rt_oom_view(const struct rt_account *account, const struct rt_process *proc);

/* The span that a change of this thread (NULL: not known) would be charged to now by the rule of whose phase it is, its own stack apart; NULL: none. */
const struct rt_span *rt_run_owner(struct rt_process *proc, struct rt_thread *thread);

/* Closes the spans of a thread that is not where its process is any longer, and ends it. */
void rt_life_drop_thread(struct rt_account *account, struct rt_thread *thread, uint64_t ts_ns);

/* acc_summary.c: fills account->summary; a part that there is no memory for is left out and counted as lost. */
void rt_summary_build(struct rt_account *account, uint64_t now_ns, const uint64_t *counters);
void rt_summary_free(struct rt_account *account);

#endif
