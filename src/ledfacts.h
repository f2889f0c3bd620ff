/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ledfacts.h - the JSON blocks of a ledger: what the run was set up with, its start, its end.
 *
 * Written and read here, so that both agree. What is read is checked: the type of each value, and bounds where it decides something.
 */
#ifndef RT_LEDFACTS_H
#define RT_LEDFACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "entrylog.h"
#include "json.h"
#include "report.h"

#define RT_LEDGER_WINDOW_MAX 10000000000ull /* ns */
#define RT_LEDGER_PROGS 64
#define RT_LEDGER_WORD_MAX 256 /* bytes of a text, but for the profile's name */
#define RT_LEDGER_TARGETS 4096

struct rt_ledger_facts {
	uint64_t page_size, window_ns;
	int64_t wall_offset_ns;
	bool mappings, ignore_mute;
	/* for whoever reads the file; "" or 0: not known */
	const char *node, *machine;
	uint64_t cpus, memory_bytes;
	const char *const *command; /* of the recording ramtrack-bpf */
	size_t n_command;
};

struct rt_ledger_end {
	uint64_t now_ns;
	uint64_t counters[RT_COUNTERS];
	struct rt_self_cost cost;
	struct rt_prog_cost prog[RT_LEDGER_PROGS];
	struct rt_entrylog entries; /* cost.entries, when it was read */
};

/* Text of a block (free with free()), or NULL without memory. */
char *rt_ledfacts_write(const struct rt_ledger_facts *facts);
char *rt_ledfacts_write_start(const struct rt_json_start *start);
char *rt_ledfacts_write_end(const struct rt_ledger_end *end);

/* Read a block's text. Return 0 or -EINVAL. Texts in *start and *end live as long as *keep (json_decref it); facts have none. `target`: room for RT_LEDGER_TARGETS. */
int rt_ledfacts_read(const uint8_t *text, size_t len, struct rt_ledger_facts *facts);
int rt_ledfacts_read_start(const uint8_t *text, size_t len, struct rt_json_start *start, uint32_t *target, json_t **keep);
int rt_ledfacts_read_end(const uint8_t *text, size_t len, struct rt_ledger_end *end, json_t **keep);

#endif
