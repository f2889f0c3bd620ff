/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "acc_stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acc_map.h"
#include "units.h"

#define RT_RESOLVE_MAX 1024 /* ancestors */

#define RT_STACK_GAP "<frames left out>"
#define RT_STACK_UNKNOWN "<unknown>"

int rt_stacks_init(struct rt_stacks *stacks, struct rt_texts *texts, const struct rt_profile *profile, bool want_lines)
{
	stacks->texts = texts;
	stacks->matcher.profile = profile;
	stacks->matcher.texts = texts;
	stacks->codes.texts = texts;
	stacks->codes.matcher = &stacks->matcher;
	stacks->codes.want_tables = want_lines;
	stacks->frame = want_lines ? calloc(RT_STACK_FRAMES, sizeof(*stacks->frame)) : NULL;
	if (want_lines && !stacks->frame)
		return -ENOMEM;
	stacks->gap = rt_text_get(texts, RT_STACK_GAP, strlen(RT_STACK_GAP));
	stacks->unknown = rt_text_get(texts, RT_STACK_UNKNOWN, strlen(RT_STACK_UNKNOWN));
	if (!stacks->gap || !stacks->unknown)
		return -ENOMEM;
	return rt_matcher_init(&stacks->matcher);
}

void rt_stacks_free(struct rt_stacks *stacks)
{
	rt_codes_free(&stacks->codes);
	rt_matcher_free(&stacks->matcher);
	rt_nodes_free(&stacks->nodes);
	rt_paths_free(&stacks->paths);
	free(stacks->frame);
	stacks->frame = NULL;
}

/* What tells the call sites of a phase apart: the stack from the root to the caller, by content. Only computed where
 * a phase begins. */
static uint64_t rt_stacks_anchor(struct rt_stacks *stacks, uint32_t id)
{
	const struct rt_node *node;
	uint64_t hash = 1;

	while (id) {
		const struct rt_code *code;

		node = rt_nodes_find(&stacks->nodes, id);
		if (!node)
			break;
		code = rt_codes_find(&stacks->codes, node->code);
		hash = rt_hash_mix(rt_hash_mix(hash, code ? code->id : node->code), node->instr);
		id = node->parent;
	}
	return hash;
}

bool rt_stacks_same(struct rt_stacks *stacks, uint32_t a, uint32_t b)
{
	return a == b || rt_stacks_anchor(stacks, a) == rt_stacks_anchor(stacks, b);
}

/* The path of a node whose parent has `path`. */
static uint32_t rt_stacks_extend(struct rt_stacks *stacks, uint32_t parent, uint32_t code_id, uint32_t instr,
				 uint32_t path)
{
	const struct rt_code *code;
	const struct rt_match *match;
	uint64_t anchor;
	int line = 0;

	if (code_id == RT_CODE_ROOT || code_id == RT_CODE_GAP || code_id == RT_CODE_UNKNOWN)
		return path;
	code = rt_codes_find(&stacks->codes, code_id);
	if (!code) {
		stacks->lost++;
		return path;
	}
	match = code->match;
	if (!match)
		return path;
	anchor = rt_stacks_anchor(stacks, parent);
	for (size_t i = 0; i < match->n_whole; i++)
		path = rt_path_step(&stacks->paths, path, match->whole[i], anchor);
	if (match->n_part)
		line = rt_code_line(code, instr);
	for (size_t i = 0; line > 0 && i < match->n_part; i++) {
		if (match->part[i].lines.first <= line && line <= match->part[i].lines.last)
			path = rt_path_step(&stacks->paths, path, match->part[i].phase, anchor);
	}
	return path;
}

int rt_stacks_node(struct rt_stacks *stacks, const struct rt_rec_node *rec)
{
	const struct rt_node *known = rt_nodes_find(&stacks->nodes, rec->id), *parent;
	uint32_t path = 0;

	if (known) { /* said again is no harm, said otherwise is */
		bool same = known->parent == rec->parent && known->code == rec->code && known->instr == rec->instr;

		return same ? 0 : -EINVAL;
	}
	if (rec->parent) {
		parent = rt_nodes_find(&stacks->nodes, rec->parent);
		path = parent ? rt_node_path(parent) : RT_PATH_UNKNOWN;
	}
	if (path != RT_PATH_UNKNOWN)
		path = rt_stacks_extend(stacks, rec->parent, rec->code, rec->instr, path);
	return rt_nodes_add(&stacks->nodes, rec->id, rec->parent, rec->code, rec->instr, path);
}

/* The node that a node's path has to be worked out from: the outermost of its ancestors without one, if its own
 * parent has one. */
static struct rt_node *rt_stacks_unresolved(struct rt_stacks *stacks, uint32_t id)
{
	struct rt_node *node = rt_nodes_find(&stacks->nodes, id), *parent;

	for (int hops = 0; node && hops < RT_RESOLVE_MAX; hops++) {
		parent = rt_nodes_find(&stacks->nodes, node->parent);
		if (!parent)
			return NULL;
		if (rt_node_path(parent) != RT_PATH_UNKNOWN)
			return node;
		node = parent;
	}
	return NULL;
}

uint32_t rt_stacks_path(struct rt_stacks *stacks, uint32_t id)
{
	const struct rt_node *node = rt_nodes_find(&stacks->nodes, id);

	if (!node)
		return RT_PATH_UNKNOWN;
	/* Another CPU may have been about to send an ancestor when this node came: by the time of its run it is
	 * there. */
	for (int hops = 0; rt_node_path(node) == RT_PATH_UNKNOWN && hops < RT_RESOLVE_MAX; hops++) {
		struct rt_node *at = rt_stacks_unresolved(stacks, id);
		uint32_t path;

		if (!at)
			break;
		path = rt_node_path(rt_nodes_find(&stacks->nodes, at->parent));
		path = rt_stacks_extend(stacks, at->parent, at->code, at->instr, path);
		at->tag = (path + 1) | (at->tag & RT_NODE_MARKS);
	}
	return rt_node_path(node);
}

uint32_t rt_stacks_depth_outside(struct rt_stacks *stacks, uint32_t node)
{
	const struct rt_node *found = rt_nodes_find(&stacks->nodes, node);
	uint32_t path;

	if (!found || !found->parent)
		return 0;
	path = rt_stacks_path(stacks, found->parent);
	return path == RT_PATH_UNKNOWN ? rt_path_depth(&stacks->paths, rt_node_path(found)) :
					 rt_path_depth(&stacks->paths, path);
}

size_t rt_stacks_parts(struct rt_stacks *stacks, uint32_t node, struct rt_stack_part part[RT_STACK_PARTS], uint32_t *root)
{
	size_t n = 0;

	*root = 0;
	while (node) {
		const struct rt_node *at = rt_nodes_find(&stacks->nodes, node);
		const struct rt_code *code = at ? rt_codes_find(&stacks->codes, at->code) : NULL;

		if (!at)
			break;
		if (code && code->match && code->match->n_part && n < RT_STACK_PARTS)
			part[n++] = (struct rt_stack_part){
				.parent = at->parent, .code = code, .line = rt_code_line(code, at->instr) };
		if (!at->parent)
			*root = node;
		node = at->parent;
	}
	return n;
}

uint32_t rt_stacks_part_path(struct rt_stacks *stacks, const struct rt_stack_part *frame, size_t index)
{
	uint64_t anchor = rt_stacks_anchor(stacks, frame->parent);
	const struct rt_match *match = frame->code->match;
	uint32_t path = rt_stacks_path(stacks, frame->parent), inner;

	if (path == RT_PATH_UNKNOWN)
		return path;
	for (size_t i = 0; i < match->n_whole; i++)
		path = rt_path_step(&stacks->paths, path, match->whole[i], anchor);
	inner = rt_path_step(&stacks->paths, path, match->part[index].phase, anchor);
	return inner == path ? RT_PATH_UNKNOWN : inner;
}

/* Dotted name of the module that a file is, as `import` would name it; a file outside the import roots is itself. */
static struct rt_text *rt_module_of(struct rt_texts *texts, struct rt_text *file)
{
	const char *tail;
	char *name;
	size_t len;

	if (file->module)
		return file->module;
	tail = rt_source_tail(file->s);
	if (tail == file->s || !*tail || !(name = strdup(tail))) {
		file->module = file;
		return file;
	}
	len = strlen(name);
	if (len > 3 && !strcmp(name + len - 3, ".py"))
		len -= 3;
	if (len > 9 && !strncmp(name + len - 9, "/__init__", 9))
		len -= 9;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '/')
			name[i] = '.';
	}
	file->module = rt_text_get(texts, name, len);
	free(name);
	if (!file->module)
		file->module = file;
	else if (file->module == file)
		rt_text_put(texts, file); /* no reference to itself */
	return file->module;
}

struct rt_text *rt_stacks_module(struct rt_stacks *stacks, uint32_t node)
{
	struct rt_text *frozen = NULL;

	while (node) {
		const struct rt_node *at = rt_nodes_find(&stacks->nodes, node);
		const struct rt_code *code = at ? rt_codes_find(&stacks->codes, at->code) : NULL;

		if (!at)
			break;
		if (code && code->file->len) {
			if (strncmp(code->file->s, "<frozen ", 8))
				return rt_module_of(stacks->texts, code->file);
			if (!frozen)
				frozen = code->file;
		}
		node = at->parent;
	}
	return frozen;
}

/* False: the node stands for no frame. */
static bool rt_stacks_frame(const struct rt_stacks *stacks, const struct rt_node *node, struct rt_frame_view *frame)
{
	const struct rt_code *code = rt_codes_find(&stacks->codes, node->code);

	if (code) {
		*frame = (struct rt_frame_view){
			.function = code->qualname->s,
			.file = code->file->s,
			.line = rt_code_line(code, node->instr),
		};
		return true;
	}
	*frame = (struct rt_frame_view){
		.function = node->code == RT_CODE_GAP ? RT_STACK_GAP : RT_STACK_UNKNOWN,
		.file = "",
	};
	return node->code != RT_CODE_ROOT;
}

size_t rt_stacks_frames(struct rt_stacks *stacks, uint32_t node, const struct rt_frame_view **frames)
{
	size_t n = 0;

	while (node && stacks->frame && n < RT_STACK_FRAMES) {
		const struct rt_node *at = rt_nodes_find(&stacks->nodes, node);

		if (!at)
			break;
		if (rt_stacks_frame(stacks, at, &stacks->frame[n]))
			n++;
		node = at->parent;
	}
	*frames = stacks->frame;
	return n;
}

size_t rt_stacks_untold(struct rt_stacks *stacks, uint32_t node, uint32_t ids[RT_STACK_FRAMES])
{
	struct rt_node *at = rt_nodes_find(&stacks->nodes, node);
	size_t n = 0;

	while (at && !(at->tag & RT_NODE_TOLD) && n < RT_STACK_FRAMES) {
		ids[n++] = node;
		at->tag |= RT_NODE_TOLD;
		node = at->parent;
		at = node ? rt_nodes_find(&stacks->nodes, node) : NULL;
	}
	return n;
}

bool rt_stacks_node_frame(struct rt_stacks *stacks, uint32_t node, uint32_t *parent, struct rt_frame_view *frame)
{
	const struct rt_node *at = rt_nodes_find(&stacks->nodes, node);

	if (!at)
		return false;
	*parent = at->parent;
	return rt_stacks_frame(stacks, at, frame);
}

static uint32_t rt_stacks_sum_step(struct rt_stacks *stacks, struct rt_sum_frames *frames, uint32_t parent, const struct rt_node *at)
{
	const struct rt_code *code = rt_codes_find(&stacks->codes, at->code);

	if (code)
		return rt_sum_frame(frames, parent, code->qualname, code->file, rt_code_line(code, at->instr));
	if (at->code == RT_CODE_ROOT)
		return parent;
	return rt_sum_frame(frames, parent, at->code == RT_CODE_GAP ? stacks->gap : stacks->unknown, NULL, 0);
}

/* A node's number in the trie of sums is noted with it (+ 1), so that each node is worked out once. */
uint32_t rt_stacks_sum_frame(struct rt_stacks *stacks, struct rt_sum_frames *frames, uint32_t node)
{
	uint32_t inside[RT_STACK_FRAMES], n = 0, frame = RT_SUM_ROOT, *note;

	while (node && n < RT_STACK_FRAMES) {
		const struct rt_node *at = rt_nodes_find(&stacks->nodes, node);

		note = rt_nodes_note(&stacks->nodes, node);
		if (note && *note) {
			frame = *note - 1;
			break;
		}
		if (!at)
			break;
		inside[n++] = node;
		node = at->parent;
	}
	while (n--) {
		frame = rt_stacks_sum_step(stacks, frames, frame, rt_nodes_find(&stacks->nodes, inside[n]));
		note = rt_nodes_note(&stacks->nodes, inside[n]);
		if (note && frame != RT_SUM_OTHERS)
			*note = frame + 1;
	}
	return frame;
}

static void rt_stacks_mark(void *ctx, const struct rt_node *node)
{
	struct rt_paths *paths = ctx;
	uint32_t path = rt_node_path(node);

	if (path != RT_PATH_UNKNOWN)
		rt_path_mark(paths, path);
}

void rt_stacks_forget(struct rt_stacks *stacks, uint32_t node, uint32_t code)
{
	rt_nodes_forget(&stacks->nodes, node);
	rt_codes_forget(&stacks->codes, code);
	rt_nodes_each(&stacks->nodes, rt_stacks_mark, &stacks->paths);
	rt_paths_sweep(&stacks->paths);
}
