/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "wait.h"

#include <regex.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"

#define RT_ASKED_MAX 4096

/* What a command line said; what the map holds are addresses of these. */
static char rt_line_matches, rt_line_differs, rt_line_unread;

struct rt_wait {
	regex_t regex;
	char *own_name;
	bool matched;
	struct rt_map asked;  /* images whose command line is known and whose PROC record is to come: two CPUs may be about it at a time */
	struct rt_map ours;   /* images that are traced */
	uint32_t *drop;	      /* images to let go of */
	size_t n_drop, cap_drop;
	uint64_t seen, unread;
};

struct rt_wait *rt_wait_new(const char *regex, const char *own_name)
{
	struct rt_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (regcomp(&w->regex, regex, REG_EXTENDED | REG_NOSUB)) {
		free(w);
		return NULL;
	}
	w->own_name = strdup(own_name);
	if (!w->own_name) {
		rt_wait_free(w);
		return NULL;
	}
	return w;
}

void rt_wait_free(struct rt_wait *w)
{
	if (!w)
		return;
	regfree(&w->regex);
	rt_map_free(&w->asked);
	rt_map_free(&w->ours);
	free(w->own_name);
	free(w->drop);
	free(w);
}

/* Is a word of `line` that name, or a path that ends in it? */
static bool rt_line_runs(const char *line, const char *name)
{
	size_t len = strlen(name), word;

	for (; *line; line += word + (line[word] == ' ')) {
		word = strcspn(line, " ");
		if (word >= len && !memcmp(line + word - len, name, len) && (word == len || line[word - len - 1] == '/'))
			return true;
	}
	return false;
}

static void rt_wait_args(struct rt_wait *w, const uint8_t *record, size_t size)
{
	char line[RT_ARGS_MAX + 1];
	struct rt_rec_args head;
	size_t at = offsetof(struct rt_rec_args, text), len;

	if (size < at)
		return;
	memcpy(&head, record, at);
	len = head.len <= RT_ARGS_MAX && head.len <= size - at ? head.len : 0;
	memcpy(line, record + at, len);
	for (size_t i = 0; i < len; i++)
		line[i] = line[i] ? line[i] : ' ';
	while (len && line[len - 1] == ' ')
		len--;
	line[len] = 0;
	if (w->asked.used >= RT_ASKED_MAX) { /* their PROC records were lost */
		rt_map_free(&w->asked);
		memset(&w->asked, 0, sizeof(w->asked));
	}
	rt_map_set(&w->asked, head.h.image,
		   !len ? &rt_line_unread :
		   !regexec(&w->regex, line, 0, NULL, 0) && !rt_line_runs(line, w->own_name) ? &rt_line_matches :
											       &rt_line_differs);
}

static void rt_wait_reject(struct rt_wait *w, uint32_t image)
{
	uint32_t *grown;

	if (w->n_drop == w->cap_drop) {
		grown = realloc(w->drop, (w->cap_drop * 2 + 64) * sizeof(*grown));
		if (!grown)
			return; /* it is followed, and left out, until it ends */
		w->drop = grown;
		w->cap_drop = w->cap_drop * 2 + 64;
	}
	w->drop[w->n_drop++] = image;
}

static enum rt_wait_verdict rt_wait_proc(struct rt_wait *w, const struct rt_rec_proc *r)
{
	const void *line = rt_map_take(&w->asked, r->h.image);
	bool ours;

	if (!w->matched && r->birth == RT_BIRTH_EXEC) {
		w->seen++;
		w->unread += !line || line == &rt_line_unread;
	}
	if (!w->matched && line == &rt_line_matches && !rt_map_set(&w->ours, r->h.image, w)) {
		w->matched = true;
		return RT_WAIT_MATCH;
	}
	ours = rt_map_get(&w->ours, r->birth == RT_BIRTH_FORK ? r->parent_image : r->prev_image); /* images begin at 1 */
	if (ours && !rt_map_set(&w->ours, r->h.image, w))
		return RT_WAIT_PASS;
	/* On its parent's memory (vfork) it has no address space to let go of. */
	if (!(r->flags & RT_PROC_SHARES_MM))
		rt_wait_reject(w, r->h.image);
	return RT_WAIT_OUT;
}

enum rt_wait_verdict rt_wait_record(struct rt_wait *w, const void *record, size_t size)
{
	struct rt_rec_proc proc;
	struct rt_hdr h;

	if (size < sizeof(h))
		return RT_WAIT_OUT;
	memcpy(&h, record, sizeof(h));
	if (h.type == RT_REC_ARGS) {
		rt_wait_args(w, record, size);
		return RT_WAIT_OUT;
	}
	if (h.type == RT_REC_PROC && size >= sizeof(proc)) {
		memcpy(&proc, record, sizeof(proc));
		return rt_wait_proc(w, &proc);
	}
	if (h.type == RT_REC_MAP)
		return RT_WAIT_PASS; /* a file's name is sent once, by whoever maps it first */
	return rt_map_get(&w->ours, h.image) ? RT_WAIT_PASS : RT_WAIT_OUT;
}

bool rt_wait_matched(const struct rt_wait *w)
{
	return w->matched;
}

uint32_t rt_wait_next_drop(struct rt_wait *w)
{
	return w->n_drop ? w->drop[--w->n_drop] : 0;
}

void rt_wait_counts(const struct rt_wait *w, uint64_t *seen, uint64_t *unread)
{
	*seen = w->seen;
	*unread = w->unread;
}
