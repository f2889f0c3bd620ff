/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_mapping.h - what pages belong to: numbers of mappings -> names.
 *
 * Mappings of one name and kind are one, whatever their numbers: memory of a name is shared out among many inodes. They live as long as the account.
 */
#ifndef RT_ACC_MAPPING_H
#define RT_ACC_MAPPING_H

#include <stddef.h>
#include <stdint.h>

#include "acc_map.h"
#include "acc_text.h"
#include "rt_abi.h"

#define RT_MAPPINGS_MAX 65536u /* numbers kept */

struct rt_mapping {
	struct rt_mapping *next; /* of the same hash */
	struct rt_text *name;
	enum rt_map_kind kind;
};

struct rt_mappings {
	struct rt_texts *texts;
	struct rt_map ids;    /* number -> struct rt_mapping */
	struct rt_map hashes; /* hash of name and kind -> the same, once each */
	struct rt_mapping *fixed[RT_MAP_ID_FIRST];
};

/* Returns 0 or -ENOMEM. rt_mappings_free may follow in both cases. */
int rt_mappings_init(struct rt_mappings *mappings, struct rt_texts *texts);

/* A record of `size` bytes, whose size and enum values were checked. Returns 0, -EEXIST (its number is taken), -ENOSPC or -ENOMEM. */
int rt_mappings_add(struct rt_mappings *mappings, const uint8_t *record, size_t size);

/* Never NULL: a number that nothing is known of is "<unknown>". */
const struct rt_mapping *rt_mappings_get(const struct rt_mappings *mappings, uint32_t id);

void rt_mappings_free(struct rt_mappings *mappings);

#endif
