/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * mapname.h - what a mapping is called in the outputs.
 */
#ifndef RT_MAPNAME_H
#define RT_MAPNAME_H

#include "sink.h"

/* The kind as NDJSON has it: "file", "heap", ... */
const char *rt_mapname_kind(enum rt_map_kind kind);

/* A few words for the summary: the last component of a file's path, what it is. Escaped; NULL: no memory. The caller frees. */
char *rt_mapname_label(const struct rt_mapping_view *mapping, enum rt_lang lang);

#endif
