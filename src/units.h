/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * units.h - sizes, times and names as people write and read them.
 *
 * Pure functions: no locale, no globals (rt_wall_format reads the time zone through localtime_r). Names come from
 * a traced process or a profile: any bytes may be in them.
 */
#ifndef RT_UNITS_H
#define RT_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "4096", "64K", "1M", "1.5G", "2T", also with "iB" ("64KiB") and in lower case. K is 1024. The result is
 * rounded down to a byte. Returns 0, -EINVAL (not a size) or -ERANGE (too large); *bytes is untouched on
 * failure. */
int rt_size_parse(const char *text, int64_t *bytes);

/* "30" and "30s", "5m", "1h", "500ms", "1.5h". Returns 0, -EINVAL or -ERANGE; *ns is untouched on failure. */
int rt_time_parse(const char *text, uint64_t *ns);

/* A decimal number, nothing before or after it, within [min, max]. Returns 0, -EINVAL or -ERANGE; *value is
 * untouched on failure. */
int rt_number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* A short text, returned by value so that several can stand in one printf. */
struct rt_value {
	char text[48];
};

/* MiB with two decimals, rounded half away from zero. `sign`: + or - in front always, - also where a
 * negative size rounds to 0.00. Without `sign` only a negative size has a sign, and one that rounds to 0.00
 * has none. */
struct rt_value rt_mib_format(int64_t bytes, bool sign);

/* "850 us", "12.3 ms", "5.20 s", "2m05s", "1h02m". */
struct rt_value rt_time_format(uint64_t ns);

/* Local time in ISO 8601 with milliseconds: "2026-01-31T08:15:00.123+08:00". */
struct rt_value rt_wall_format(int64_t wall_ns);

/* `text` made safe for a terminal and a log: control characters become \xNN, C1 controls, bidirectional
 * controls, line separators and invisible format characters \u{NN}, invalid UTF-8 U+FFFD. More than
 * `max_chars` characters (0: no limit) are cut and end in "...". Returns a string (caller frees) or NULL
 * without memory. NULL as text is "". */
char *rt_text_escape(const char *text, size_t max_chars);

/* `text` with invalid UTF-8 replaced by U+FFFD, nothing else changed. Caller frees; NULL without memory. */
char *rt_text_utf8(const char *text);

/* `text` (escaped) cut so that it takes at most that many cells; what is cut ends in "..." where there is room for it. Caller frees; NULL without memory. */
char *rt_text_fit(const char *text, size_t cells);

/* What a source file's name is behind the directory that its module is imported from (site-packages, lib/python3.11), else the whole. Points into `file`. */
const char *rt_source_tail(const char *file);

/* Cells of a terminal that escaped text takes: 2 for a wide (CJK) character, 0 for a combining one. */
size_t rt_text_cells(const char *text);

#endif
