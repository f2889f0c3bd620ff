/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "formats.h"

#include <string.h>

static const struct rt_format *const rt_formats[RT_FORMATS] = {
	[RT_FORMAT_JSON] = &rt_format_json,
	[RT_FORMAT_FOLDED] = &rt_format_folded,
	[RT_FORMAT_PERFETTO] = &rt_format_perfetto,
	[RT_FORMAT_PROM] = &rt_format_prom,
	[RT_FORMAT_HTML] = &rt_format_html,
};

const struct rt_format *rt_format_get(enum rt_format_id id)
{
	return rt_formats[id];
}

int rt_format_find(const char *name)
{
	for (int id = 0; id < RT_FORMATS; id++) {
		if (!strcmp(rt_formats[id]->name, name))
			return id;
	}
	return -1;
}
