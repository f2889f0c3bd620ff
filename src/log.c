/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

static int log_level; /* of the process: standard error is one, too */

static void (*log_before)(void *ctx);
static void *log_before_ctx;

void rt_log_set_before(void (*before)(void *ctx), void *ctx)
{
	log_before = before;
	log_before_ctx = ctx;
}

void rt_log_set_level(int level)
{
	log_level = level;
}

int rt_log_level(void)
{
	return log_level;
}

/* One write per message, so that lines of several processes do not mix. Control characters of hostile names are made visible. */
static void log_line(const char *format, va_list args)
{
	char text[2048], line[2300];
	size_t n = 0;

	vsnprintf(text, sizeof(text), format, args);
	n = (size_t)snprintf(line, sizeof(line), "ramtrack-bpf: ");
	for (const char *c = text; *c && n < sizeof(line) - 2; c++)
		line[n++] = ((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f ? '?' : *c;
	line[n++] = '\n';
	if (log_before)
		log_before(log_before_ctx);
	fwrite(line, 1, n, stderr);
	fflush(stderr);
}

#define LOG_AT(least)                      \
	do {                               \
		va_list args;              \
		if (log_level < (least))   \
			return;            \
		va_start(args, format);    \
		log_line(format, args);    \
		va_end(args);              \
	} while (0)

void rt_log_error(const char *format, ...)
{
	LOG_AT(-100);
}

void rt_log_notice(const char *format, ...)
{
	LOG_AT(0);
}

void rt_log_detail(const char *format, ...)
{
	LOG_AT(1);
}
