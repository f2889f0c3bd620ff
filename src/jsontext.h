/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* jsontext.h - texts as jansson takes them. */
#ifndef RT_JSONTEXT_H
#define RT_JSONTEXT_H

#include <jansson.h>

/* A JSON string of `text` (NULL: empty). What is no UTF-8 (a kernel's release, arguments) is made so: a line that no reader takes would be the price. Returns a
 * new reference, or NULL without memory. */
json_t *rt_json_text(const char *text);

#endif
