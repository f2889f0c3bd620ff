/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * pagejson.h - JSON written piece by piece into an HTML page.
 *
 * It stands between <script type="application/json"> and </script>, where the HTML parser looks for nothing but `</script` and `<!--` (WHATWG HTML, "script
 * data state"): so `<`, `>` and `&` are written as \u003c and so on, and what is left cannot end the block whatever the names in it are. U+2028 and U+2029 are
 * escaped as well, control characters as JSON wants it, invalid UTF-8 becomes U+FFFD. What JSON.parse gives back is the text itself.
 *
 * Numbers are integers within +-2^53, which JavaScript keeps exactly; larger ones are written as the nearest such.
 */
#ifndef RT_PAGEJSON_H
#define RT_PAGEJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define RT_PAGEJSON_DEPTH 32

/* Set `out`, all else zero. */
struct rt_pagejson {
	FILE *out; /* the caller's; its error flag says whether writing failed */
	unsigned int depth;
	bool more[RT_PAGEJSON_DEPTH]; /* something stands in this array or object already */
};

/* `key` is NULL inside an array; it is the program's own text and not escaped. */
void rt_pagejson_begin(struct rt_pagejson *json, const char *key, char bracket); /* '{' or '[' */
void rt_pagejson_end(struct rt_pagejson *json, char bracket); /* '}' or ']' */
void rt_pagejson_int(struct rt_pagejson *json, const char *key, int64_t value);
void rt_pagejson_bool(struct rt_pagejson *json, const char *key, bool value);
/* NULL is written as null. More than `max_bytes` are cut at a character's border, and a U+2026 follows; 0: no limit. */
void rt_pagejson_text(struct rt_pagejson *json, const char *key, const char *text, size_t max_bytes);

#endif
