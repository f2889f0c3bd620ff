/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* log.h - diagnostics on standard error: "ramtrack-bpf: MESSAGE". Data never goes here. */
#ifndef RT_LOG_H
#define RT_LOG_H

/* -1 quiet: errors only; 0 normal: errors, warnings, notices; 1 and more: details. */
void rt_log_set_level(int level);
int rt_log_level(void);

/* Called before each message that is written: what is on the terminal there goes first. NULL: nothing. */
void rt_log_set_before(void (*before)(void *ctx), void *ctx);

void rt_log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void rt_log_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));
void rt_log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
