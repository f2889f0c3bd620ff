/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "jsontext.h"

#include <stdlib.h>

#include "units.h"

json_t *rt_json_text(const char *text)
{
	json_t *value = json_string(text ? text : "");
	char *valid;

	if (value)
		return value;
	valid = rt_text_utf8(text);
	value = valid ? json_string(valid) : NULL;
	free(valid);
	return value;
}
