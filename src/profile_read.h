/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * profile_read.h - what the sections of a profile are read with (profile_read.c): shared by profile.c, profile_native.c and profile_pattern.c, of no use to others.
 *
 * Functions return 0 or a negative number after the reason was set with rt_refuse; the first reason stays.
 */
#ifndef RT_PROFILE_READ_H
#define RT_PROFILE_READ_H

#include <yaml.h>

#include "profile.h"

struct rt_reader {
	yaml_parser_t parser;
	yaml_event_t event; /* what is read now; all zero: nothing */
	const char *path, *text;
	size_t len;
	char *error;   /* the first one */
	uint64_t cost; /* of the patterns so far */
	struct rt_profile *profile;
};

/* A key of a mapping. `read` is called at the first event of the value and leaves at its last. */
struct rt_key {
	const char *name;
	int (*read)(struct rt_reader *r, const struct rt_key *key, void *object);
	size_t offset; /* of the field in the object */
	size_t count;  /* a list: of the field with its length */
	bool required;
};

#define RT_FIELD(type, field) .offset = offsetof(struct type, field)
#define RT_LIST(type, field) .offset = offsetof(struct type, field), .count = offsetof(struct type, n_##field)
#define RT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

void *rt_key_field(const struct rt_key *key, void *object);
size_t rt_line(const struct rt_reader *r);

/* Goes on to the next event. */
int rt_next(struct rt_reader *r);

/* Sets the reason, as "PATH:LINE: REASON". */
int rt_refuse(struct rt_reader *r, size_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));
int rt_refuse_memory(struct rt_reader *r);

/* Text of the file, fit for a message (caller frees; NULL without memory). */
char *rt_quote(const char *text);

/* The current event's text (valid until the next event), or NULL with the reason set. */
const char *rt_text(struct rt_reader *r, const struct rt_key *key, bool tabs);

/* Values: a text, a word of a-z, 0-9, _ (outputs use it as a key), true or false, one of the texts of a list, one text or a list of them, whatever `one` reads or a list of it
 * (at most 4096 entries), a label in all languages, a label for one or all. Texts and lists are the object's: rt_texts_release, rt_label_release. */
int rt_read_text(struct rt_reader *r, const struct rt_key *key, void *object);
int rt_read_word(struct rt_reader *r, const struct rt_key *key, void *object);
int rt_read_bool(struct rt_reader *r, const struct rt_key *key, void *object);
int rt_read_list_text(struct rt_reader *r, const struct rt_key *key, void *object);
int rt_read_texts(struct rt_reader *r, const struct rt_key *key, void *object);
int rt_read_list(struct rt_reader *r, const struct rt_key *key, void *object, int (*one)(struct rt_reader *r, const struct rt_key *key, void *object));
int rt_read_label(struct rt_reader *r, const struct rt_key *key, void *object);
int rt_read_edge(struct rt_reader *r, const struct rt_key *key, void *object);

/* A mapping with these keys into `object`. */
int rt_read_mapping(struct rt_reader *r, const char *what, const struct rt_key *keys, size_t n, void *object);

/* One more element of `size` bytes, all zero, at the end of the array that the pointer at `array` points to, whose capacity is its length rounded up to a power of two; NULL without memory. */
void *rt_array_grow(void *array, size_t *n, size_t size);

void rt_texts_release(char **text, size_t n);
void rt_label_release(struct rt_label *label);

/* ---- statements (profile_pattern.c) ---- */

/* One regex or a list of them: appends to the statements of a struct rt_phase. Refused is what regcomp would not take, or only with more memory or time than a profile may cost:
 * r->cost adds up what it makes of all patterns. */
int rt_read_patterns(struct rt_reader *r, const struct rt_key *key, void *object);

/* ---- the section `native` (profile_native.c) ---- */

/* The current event begins an entry: appends a rule to the profile. */
int rt_read_native(struct rt_reader *r, const struct rt_key *key, void *object);
void rt_native_rule_release(struct rt_native_rule *rule);

#endif
