/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "entrylog.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct rt_entry_row *rt_entrylog_row(struct rt_entrylog *log, const char *method, const char *phase)
{
	for (size_t i = 0; i < log->n; i++) {
		struct rt_entry_row *row = &log->row[i];

		if (!strcmp(row->method, method) && (row->phase && phase ? !strcmp(row->phase, phase) : row->phase == phase))
			return row;
	}
	if (log->n == RT_ENTRYLOG_ROWS)
		return &log->row[log->n - 1];
	log->row[log->n] = (struct rt_entry_row){.method = method, .phase = phase};
	return &log->row[log->n++];
}

void rt_entrylog_reason(struct rt_entry_row *row, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(row->reason, sizeof(row->reason), format, args);
	va_end(args);
}
