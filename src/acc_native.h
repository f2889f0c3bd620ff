/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * acc_native.h - native functions that have a probe, and their calls, added up by process, function and phase. Sizes are pages here, unless they are called bytes.
 */
#ifndef RT_ACC_NATIVE_H
#define RT_ACC_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acc_text.h"
#include "profile.h"
#include "rt_abi.h"

#define RT_SITES_MAX 4096u	 /* probed places, in all files */
#define RT_NATIVE_ROWS_MAX 512u	 /* of one process: functions times phases */

struct rt_site {
	uint32_t flags; /* enum rt_site_kind */
	struct rt_text *symbol, *kind, *library, *label[RT_LANGS]; /* references; symbol NULL: no such site */
	struct rt_phase phase; /* what its checkpoints say they are: borrows the texts above */
};

/* All zero is empty; by number. */
struct rt_natives {
	struct rt_site **site; /* each by itself: outputs keep pointers to `phase` */
	uint32_t cap;
};

struct rt_native_row {
	struct rt_text *symbol, *kind, *library; /* references; symbol NULL: calls that there was no room for */
	bool is_free, inner; /* inner: RT_NATIVE_INNER */
	uint32_t phase; /* index in the profile; UINT32_MAX: none */
	uint64_t calls, bytes, open_ns, mapped, unmapped;
	int64_t delta[RT_KINDS], own, gained;
};

/* All zero is empty. */
struct rt_native_rows {
	struct rt_native_row *row;
	uint32_t n, cap;
};

/* Takes a SITE record. Returns 0, -EINVAL or -ENOMEM. */
int rt_natives_add(struct rt_natives *natives, struct rt_texts *texts, const uint8_t *record, size_t size);
void rt_natives_free(struct rt_natives *natives, struct rt_texts *texts);

/* Adds a process's rows to those of another one. Returns 0, or -ENOSPC or -ENOMEM if some did not fit. */
int rt_native_rows_add(struct rt_native_rows *rows, struct rt_texts *texts, const struct rt_native_rows *from);
void rt_native_rows_free(struct rt_native_rows *rows, struct rt_texts *texts);

#endif
