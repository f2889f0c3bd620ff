/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#define _GNU_SOURCE /* asprintf */
#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profile_read.h"

#define RT_PROFILE_MAX (1u << 20) /* bytes of a file */

/* ---- the sections ---- */

static const struct rt_key rt_phase_keys[] = {
	{ .name = "id", .read = rt_read_word, RT_FIELD(rt_phase, id), .required = true },
	{ .name = "function", .read = rt_read_texts, RT_LIST(rt_phase, functions), .required = true },
	{ .name = "file", .read = rt_read_texts, RT_LIST(rt_phase, files) },
	{ .name = "statement", .read = rt_read_patterns, RT_LIST(rt_phase, statements) },
	{ .name = "label", .read = rt_read_label, RT_FIELD(rt_phase, label), .required = true },
	{ .name = "enter", .read = rt_read_edge, RT_FIELD(rt_phase, enter) },
	{ .name = "exit", .read = rt_read_edge, RT_FIELD(rt_phase, exit) },
	{ .name = "watch", .read = rt_read_bool, RT_FIELD(rt_phase, watch) },
};

static int rt_read_phase(struct rt_reader *r, const struct rt_key *key, void *object)
{
	struct rt_profile *profile = object;
	struct rt_phase *phase = rt_array_grow(&profile->phases, &profile->n_phases, sizeof(*phase));
	int err;

	(void)key;
	if (!phase)
		return rt_refuse_memory(r);
	phase->line = (int)rt_line(r);
	err = rt_read_mapping(r, "a phase", rt_phase_keys, RT_COUNT(rt_phase_keys), phase);
	if (err)
		return err;
	for (const struct rt_phase *other = profile->phases; other < phase; other++) {
		if (!strcmp(other->id, phase->id))
			return rt_refuse(r, (size_t)phase->line, "duplicate id `%s`: line %d has it too", phase->id,
					 other->line);
	}
	return 0;
}

static int rt_read_section(struct rt_reader *r, const struct rt_key *key, void *object)
{
	if (r->event.type != YAML_SEQUENCE_START_EVENT)
		return rt_refuse(r, rt_line(r), "`%s` is a list (each entry begins with `- `)", key->name);
	return rt_read_list(r, key, object,
			    key->count == offsetof(struct rt_profile, n_phases) ? rt_read_phase : rt_read_native);
}

static const struct rt_key rt_profile_keys[] = {
	{ .name = "name", .read = rt_read_text, RT_FIELD(rt_profile, name) },
	{ .name = "phases", .read = rt_read_section, RT_LIST(rt_profile, phases) },
	{ .name = "native", .read = rt_read_section, RT_LIST(rt_profile, natives) },
};

/* The file's name without folder and ending. */
static char *rt_name_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');

	return strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static int rt_read_document(struct rt_reader *r)
{
	struct rt_profile *profile = r->profile;
	int err = rt_next(r); /* the stream begins */

	if (!err)
		err = rt_next(r);
	if (!err && r->event.type == YAML_DOCUMENT_START_EVENT) {
		err = rt_next(r);
		if (!err)
			err = rt_read_mapping(r, "a profile", rt_profile_keys, RT_COUNT(rt_profile_keys), profile);
		if (!err)
			err = rt_next(r); /* the document ends */
		if (!err)
			err = rt_next(r);
		if (!err && r->event.type != YAML_STREAM_END_EVENT)
			return rt_refuse(r, rt_line(r), "a second document (after ---): a profile is one");
	}
	if (!err && !profile->n_phases)
		return rt_refuse(r, 1, "no phases: a profile has a list `phases` with at least one entry");
	if (!err && !profile->name)
		profile->name = rt_name_of(profile->path);
	return (err || profile->name) ? err : rt_refuse_memory(r);
}

/* A ledger keeps the profile that it was recorded with. */
static int rt_keep_text(const struct rt_reader *r)
{
	r->profile->text = malloc(r->len + 1);
	if (!r->profile->text)
		return -ENOMEM;
	memcpy(r->profile->text, r->text, r->len);
	r->profile->text[r->len] = '\0';
	r->profile->text_len = r->len;
	return 0;
}

struct rt_profile *rt_profile_parse(const char *path, const char *text, size_t len, char **error)
{
	struct rt_reader r = { .path = path, .text = text, .len = len };
	int err;

	*error = NULL;
	r.profile = calloc(1, sizeof(*r.profile));
	if (r.profile)
		r.profile->path = strdup(path);
	if (!r.profile || !r.profile->path || !yaml_parser_initialize(&r.parser)) {
		rt_refuse(&r, 1, "out of memory");
		rt_profile_free(r.profile);
		*error = r.error;
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	err = len > RT_PROFILE_MAX ? rt_refuse(&r, 1, "larger than 1 MiB: no profile") : rt_read_document(&r);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	if (!err && rt_keep_text(&r))
		err = rt_refuse_memory(&r);
	if (err) {
		rt_profile_free(r.profile);
		r.profile = NULL;
	}
	*error = r.error;
	return r.profile;
}

/* Reads up to one byte more than a profile may have. Returns 0 or -errno. */
static int rt_file_read(const char *path, char *text, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	while (!err && *len <= RT_PROFILE_MAX) {
		ssize_t n = read(fd, text + *len, RT_PROFILE_MAX + 1 - *len);

		if (n > 0)
			*len += (size_t)n;
		else if (!n)
			break;
		else if (errno != EINTR)
			err = -errno;
	}
	close(fd);
	return err;
}

struct rt_profile *rt_profile_read(const char *path, char **error)
{
	struct rt_profile *profile = NULL;
	char *text = malloc(RT_PROFILE_MAX + 1);
	size_t len = 0;
	int err = text ? rt_file_read(path, text, &len) : -ENOMEM;

	if (!err)
		profile = rt_profile_parse(path, text, len, error);
	else if (asprintf(error, "%s: the profile cannot be read: %s; give the name of an installed profile, or a file that you may read", path, strerror(-err)) < 0)
		*error = NULL;
	free(text);
	return profile;
}

/* ---- release and look-up ---- */

void rt_texts_release(char **text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(text[i]);
	free(text);
}

void rt_label_release(struct rt_label *label)
{
	for (int lang = 0; lang < RT_LANGS; lang++)
		free(label->text[lang]);
}

static void rt_phase_release(struct rt_phase *phase)
{
	free(phase->id);
	rt_texts_release(phase->functions, phase->n_functions);
	rt_texts_release(phase->files, phase->n_files);
	for (size_t i = 0; i < phase->n_statements; i++) {
		free(phase->statements[i].source);
		regfree(&phase->statements[i].compiled);
	}
	free(phase->statements);
	rt_label_release(&phase->label);
	rt_label_release(&phase->enter);
	rt_label_release(&phase->exit);
}

void rt_profile_free(struct rt_profile *profile)
{
	if (!profile)
		return;
	for (size_t i = 0; i < profile->n_phases; i++)
		rt_phase_release(&profile->phases[i]);
	for (size_t i = 0; i < profile->n_natives; i++)
		rt_native_rule_release(&profile->natives[i]);
	free(profile->phases);
	free(profile->natives);
	free(profile->name);
	free(profile->path);
	free(profile->text);
	free(profile);
}

bool rt_profile_file_matches(const char *file, const char *suffix)
{
	size_t len = strlen(file), n = strlen(suffix);

	if (!n || n > len || strcmp(file + len - n, suffix))
		return false;
	return n == len || suffix[0] == '/' || file[len - n - 1] == '/';
}

static bool rt_phase_placed(const struct rt_phase *phase, const char *file)
{
	bool placed = !phase->n_files;

	for (size_t i = 0; !placed && i < phase->n_files; i++)
		placed = rt_profile_file_matches(file, phase->files[i]);
	return placed;
}

bool rt_phase_names(const struct rt_phase *phase, const char *qualname, const char *file)
{
	bool named = false;

	for (size_t i = 0; !named && i < phase->n_functions; i++)
		named = !strcmp(phase->functions[i], qualname);
	return named && rt_phase_placed(phase, file);
}

const char *rt_qualname_last(const char *qualname)
{
	const char *dot = strrchr(qualname, '.');

	return dot ? dot + 1 : qualname;
}

bool rt_phase_names_last(const struct rt_phase *phase, const char *name, const char *file)
{
	bool named = false;

	for (size_t i = 0; !named && i < phase->n_functions; i++)
		named = !strcmp(rt_qualname_last(phase->functions[i]), name);
	return named && rt_phase_placed(phase, file);
}
