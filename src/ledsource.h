/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ledsource.h - source texts of a ledger: found by image and name, read from the file when they are asked for.
 *
 * What was read live for a code object comes back at the same place of the sequence (rt_ledsource_said), so that the same profile gives the same. For any other one
 * there is what was kept because of growth (rt_ledsource_index, before the first record).
 */
#ifndef RT_LEDSOURCE_H
#define RT_LEDSOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "ledger.h"

struct rt_ledsource;

/* `ledger` is used for one text at a time and must outlive it; its last block is not valid any longer after a call below. NULL: no memory. */
struct rt_ledsource *rt_ledsource_new(struct rt_ledger *ledger);
void rt_ledsource_free(struct rt_ledsource *sources);

/* A block of texts or of kept names. Returns 0, -EINVAL (it is damaged), or -ENOMEM. */
int rt_ledsource_index(struct rt_ledsource *sources, const struct rt_ledblock *block);

/* From here on `file` is this text (number + 1; 0: it cannot be read) to this image. Returns 0 or -ENOMEM. */
int rt_ledsource_said(struct rt_ledsource *sources, uint32_t image, const char *file, size_t len, uint64_t text);

/* Returns 0 with *text (malloc'ed), -ENOENT: it could not be read live, -ENODATA: it was not kept, -EIO: the file has changed, -ENOMEM. */
int rt_ledsource_read(struct rt_ledsource *sources, uint32_t image, const char *file, char **text, size_t *len);

#endif
