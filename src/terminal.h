/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * terminal.h - one line at the bottom of the terminal that standard error is: drawn over itself, taken off before anything else is written there.
 *
 * The cursor is left at the line's beginning, so that what somebody else writes (the traced command) begins there.
 */
#ifndef RT_TERMINAL_H
#define RT_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

struct rt_terminal {
	int fd;
	bool color;
	bool drawn;
};

/* Can there be such a line? Standard error has to be a terminal that can erase: TERM is set, and not "dumb". */
bool rt_terminal_usable(void);

void rt_terminal_init(struct rt_terminal *terminal, bool color);

/* Cells of a line that may be used: one less than the terminal is wide, so that no terminal breaks it. */
size_t rt_terminal_cells(const struct rt_terminal *terminal);

/* Draws `text` (safe, and no wider than that) over what is there. Left out while the terminal takes nothing (stopped by ^S), or is another job's. */
void rt_terminal_draw(struct rt_terminal *terminal, const char *text);

/* The line is gone. */
void rt_terminal_erase(struct rt_terminal *terminal);

#endif
